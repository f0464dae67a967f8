from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from tests.support import kexp, tiny_spec

Write = Callable[..., Path]

ADDRESS = "http://me:p@ss/pl4nted-in-address@127.0.0.1:9"
PLANTED = ("pl4nted-in-address", "pl4nted-in-storage", "pl4nted-in-wandb-key", "pl4nted-in-hub-token", "pl4nted-token")
TRACKERS = f"""
[[trackers]]
use = "mlflow"
tracking_uri = "{ADDRESS}"
[[trackers]]
use = "wandb"
mode = "offline"
notes = "see https://me:pl4nted-in-address@notes"
[[trackers]]
use = "tensorboard"
[[trackers]]
use = "told"
token = "pl4nted-token"
[plugins]
local = ["told.py"]
"""
TOLD = """
import logging
import warnings

import kexp
from kexp.contracts import TrackerOptions
from pydantic import Field, SecretStr


class Told(TrackerOptions):
    '''Says its token everywhere.'''

    token: SecretStr = Field(description="Secret.")

    def build(self, run):
        return Talking(self.token.get_secret_value(), run)


class Talking:
    def __init__(self, token, run):
        assert "*" not in token, token
        self.token, self.run = token, run
        run.warn(f"the token is {token} for {run.spec}")

    def log(self, event):
        pass

    def finish(self, status):
        logging.getLogger("requests").info("sent %s", self.token)
        warnings.warn(f"deprecated: token={self.token}", stacklevel=1)
        raise ValueError(f"HTTP 401 for http://me:{self.token}@host")


@kexp.hookimpl
def kexp_trackers():
    return {"told": Told}
"""


def planted(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    return [secret for secret in PLANTED if secret.encode() in data]


def assert_hidden(result: Result, folder: Path) -> None:
    assert planted(result.stdout) == planted(result.stderr) == []
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert files
    assert {str(path): found for path in files if (found := planted(path.read_bytes()))} == {}


@pytest.fixture(autouse=True, scope="module")
def _libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the libraries write away from the user's folders, and end W&B's process with the tests."""
    folder = tmp_path_factory.mktemp("libraries")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(folder / name.lower()))
        yield
        import wandb

        wandb.teardown()


@pytest.fixture
def spec(reviews: Path, write_spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("WANDB_API_KEY", "pl4nted-in-wandb-key" * 2)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "pl4nted-in-hub-token")
    monkeypatch.chdir(tmp_path)
    write_spec(TOLD, "told.py")
    return write_spec(tiny_spec(tables=TRACKERS, epochs=1).format(data=reviews))


@pytest.mark.filterwarnings("ignore")
def test_no_file_of_a_run_and_no_line_on_the_screen_has_a_secret(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["run", spec, "--allow-local-code", "--runs-dir", tmp_path / "runs", "--json"]
    monkeypatch.setattr(sys, "argv", ["kexp", *map(str, command), "--set", f'trackers=[{{tracking_uri="{ADDRESS}"}}]'])
    result = kexp(*command)
    assert result.exit_code == 0, result.stderr
    assert_hidden(result, tmp_path / "runs")
    folder = Path(json.loads(result.stdout)["folder"])
    written = tomllib.loads((folder / "spec.toml").read_text("utf-8"))
    assert written["trackers"][0]["tracking_uri"] == "http://me:***@127.0.0.1:9"
    log = (folder / "default" / "seed-1" / "log.txt").read_text("utf-8")
    assert "tracker told: the token is ***" in log
    assert "HTTP 401 for http://me:***@host" in log
    assert "tracker told: " in result.stderr


@pytest.mark.filterwarnings("ignore")
def test_resumed_run_asks_for_what_is_hidden(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = ["--allow-local-code", "--quiet", "--json"]
    done = kexp("run", spec, "--runs-dir", tmp_path / "runs", *runs)
    assert done.exit_code == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    refused = kexp("run", "--resume", folder, *runs)
    assert refused.exit_code == 2
    assert "trackers[0].tracking_uri: http://me:***@127.0.0.1:9: the secret is hidden" in refused.stderr
    assert "trackers[3].token: **********: the secret is hidden" in refused.stderr
    assert "--set" in refused.stderr

    table = tomllib.loads((folder / "spec.toml").read_text("utf-8"))
    table["trackers"][3]["token"] = "pl4nted-token"
    known = ", ".join(
        "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in one.items()) + "}" for one in table["trackers"]
    )
    # The address comes from the environment, the token from the command line.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ADDRESS)
    resumed = kexp("run", "--resume", folder, "--set", f"trackers=[{known}]", *runs)
    assert resumed.exit_code == 0, resumed.stderr
    assert_hidden(resumed, tmp_path / "runs")
    changed = kexp("run", "--resume", folder, "--set", f"trackers=[{known}]", "--set", "training.epochs=2", *runs)
    assert changed.exit_code == 2
    assert "--set changes training.epochs; --resume continues an experiment with its own spec" in changed.stderr


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "storage", ["journal", "sqlite:///file:{folder}/study.db?uri=true&password=pl4nted-in-storage"]
)
def test_no_file_of_a_study_has_a_secret(
    storage: str, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    search = '[search]\ntrials = 2\n[search.space]\n"training.learning_rate" = {low = 1e-4, high = 1e-3}\n'
    spec.write_text(spec.read_text("utf-8") + search, encoding="utf-8")
    place = storage.format(folder=tmp_path / "runs")
    command = ["tune", spec, "--allow-local-code", "--storage", place, "--runs-dir", tmp_path / "runs", "--json"]
    monkeypatch.setattr(sys, "argv", ["kexp", *map(str, command)])
    result = kexp(*command)
    assert result.exit_code == 0, result.stderr
    assert_hidden(result, tmp_path / "runs")
    found = json.loads(result.stdout)
    assert found["trials"]["complete"] == 2
    # The trials and the final run had the token itself, or their tracker would not have been built.
    logs = [path.read_text("utf-8") for path in (tmp_path / "runs").rglob("log.txt")]
    assert len(logs) >= 3
    assert all("tracker told: the token is ***" in log for log in logs)

    # The written study cannot be continued without its passwords.
    study = Path(found["folder"]) / "study.toml"
    again = kexp("tune", study, "--allow-local-code", "--runs-dir", tmp_path / "runs")
    assert again.exit_code == 2
    assert "the secret is hidden" in again.stderr
    assert planted(again.stderr) == []


def test_traceback_of_debug_has_no_secret(write_spec: Write) -> None:
    spec = write_spec('[dataset]\nuse = "table"\npath = "https://me:pl4nted-token@host/file.csv"\n')
    for options in ([], ["--debug"]):
        command = [sys.executable, "-m", "kexp", *options, "check", str(spec)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ("Traceback" in done.stderr) == bool(options)
        assert 'found the address "https://me:***@host/file.csv"' in done.stderr
        assert planted(done.stderr + done.stdout) == []
    shown = json.loads(kexp("check", spec, "--json").stdout)
    assert any("https://me:***@host/file.csv" in problem["message"] for problem in shown["problems"])


def test_labels_that_look_like_secrets_are_labels(write_spec: Write, tmp_path: Path) -> None:
    labels = ["password=abc", "password=xyz"]
    rows = [f"{number}번째 {'좋은' if number % 2 else '나쁜'} 영화,{number % 2}" for number in range(60)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    names = f'[dataset.label_names]\n0 = "{labels[0]}"\n1 = "{labels[1]}"\n'
    spec = write_spec(tiny_spec(epochs=1, tables=names).format(data=tmp_path / "data.csv"))
    done = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    assert done.exit_code == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    result = json.loads((folder / "default" / "seed-1" / "result.json").read_text("utf-8"))
    assert result["labels"] == [row["label"] for row in result["per_class"]["test"]] == labels
    assert tomllib.loads((folder / "spec.toml").read_text("utf-8"))["dataset"]["label_names"] == {
        "0": labels[0],
        "1": labels[1],
    }
    assert kexp("compare", folder, "--metric", "accuracy").exit_code == 0
    resumed = kexp("run", "--resume", folder, "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
