"""Plugins as an experiment sees them: versions, blocking, requirements, local files, observers, commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from support import tiny_spec
from typer.testing import CliRunner, Result

import kexp
from kexp import catalog as module
from kexp.catalog import load_catalog
from kexp.cli import app
from kexp.errors import CHANGES, PluginError

SPEC = tiny_spec(epochs=2, batch_size=64, learning_rate=None)
WATCHER = """
import json, pathlib
from kexp import hookimpl

def note(what, **more):
    with pathlib.Path(r"{diary}").open("a") as file:
        file.write(json.dumps([what, more]) + "\\n")

@hookimpl
def kexp_run_started(run):
    note("started", variant=run.variant, seed=run.seed)

@hookimpl
def kexp_epoch_ended(run, epoch, metrics):
    note("epoch", epoch=epoch, accuracy=metrics["accuracy"])

@hookimpl
def kexp_run_ended(result):
    note("ended", status=result["status"])

@hookimpl
def kexp_run_failed(reason):
    note("failed", reason=reason)
"""
OBJECTIVE = """
import kexp
from kexp.builtin.objectives import OBJECTIVES

class Mine(OBJECTIVES["cross-entropy"]):
    "Cross entropy under another name."

@kexp.hookimpl
def kexp_objectives():
    return {"mine": Mine}
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs modules as plugins beside those that are there."""
    monkeypatch.syspath_prepend(str(tmp_path))
    there = list(module.entry_points(group="kexp"))

    def install(**sources: str) -> None:
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
            sys.modules.pop(name, None)
        points = [EntryPoint(name, name, "kexp") for name in sources]
        monkeypatch.setattr(module, "entry_points", lambda group: [*there, *points])

    return install


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def spec(reviews: Path, write_spec: Callable[..., Path]) -> Callable[[str], Path]:
    return lambda more: write_spec(more + SPEC.format(data=reviews), "reviews.toml")


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(2, f"install a newer version of the plugin, or adapt it: {CHANGES}"), (4, "install a newer kexp")],
)
def test_plugin_for_another_version_of_the_interface_is_one_line(install: Install, version: int, remedy: str) -> None:
    install(old=f"KEXP_API = {version}\n" + OBJECTIVE, new=f"KEXP_API = {kexp.API_VERSION}\n" + OBJECTIVE)
    catalog = load_catalog()
    (broken,) = [plugin for plugin in catalog.broken if plugin.name == "old"]
    assert broken.reason == (
        f"written for version {version} of kexp's plugin interface, kexp {kexp.__version__} has version "
        f"{kexp.API_VERSION}; {remedy}"
    )
    assert catalog.find("objective", "mine").owner.package == "new"
    assert f"broken: old (old unknown version): {broken.reason}" in call("plugins", "list").stderr


@pytest.mark.parametrize("name", ["mine", "kexp-korean", "KEXP_Korean"])
def test_packages_are_disabled_by_the_environment(install: Install, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install(mine=OBJECTIVE)
    monkeypatch.setenv("KEXP_DISABLE_PLUGINS", f"nothing, {name}")
    catalog = load_catalog()
    gone = "mine" if name == "mine" else "kexp-korean"
    assert [owner.package for owner in catalog.disabled] == [gone]
    assert gone not in {entry.owner.package for entry in catalog.entries()}
    assert f"disabled: {gone}" in call("plugins", "list").stderr


def test_spec_blocks_one_of_two_that_claim_a_name(install: Install, spec: Callable[[str], Path]) -> None:
    install(one=OBJECTIVE, two=OBJECTIVE)
    listed = json.loads(call("plugins", "list", "--kind", "objective", "--json").stdout)["components"]
    assert {entry["state"].partition(" ")[0] for entry in listed if entry["name"] == "mine"} == {"shadowed"}
    path = spec('objective = "mine"\n[plugins]\nblock = ["two"]\n')
    assert call("check", path).exit_code == 0
    result = call("check", path, "--set", "plugins.block=[]")
    # What counts is the resolved spec, which the run folder has and a resumed run reads.
    assert 'objective "mine" is provided twice' in result.stderr
    path = spec('objective = "mine"\n')
    assert 'objective "mine" is provided twice' in call("check", path).stderr


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ('require = ["kexp-korean>=99"]', "plugins.require[0]: expected kexp-korean>=99, found kexp-korean 0.1.0"),
        (
            'require = ["kexp", "kexp-nothing"]',
            "plugins.require[1]: kexp-nothing is not installed; install kexp-nothing from where its authors publish it",
        ),
        (
            'require = ["kexp korean"]',
            'plugins.require: expected a package such as "kexp-korean>=0.1", found "kexp korean"',
        ),
        ('local = ["nothing.py"]', "plugins.local: the spec runs Python code: "),
        ("blocks = []", 'plugins.blocks: unknown key of [plugins]; did you mean "block"?'),
    ],
)
def test_what_is_wrong_with_the_section_is_told(spec: Callable[[str], Path], stated: str, message: str) -> None:
    result = call("check", spec(f"[plugins]\n{stated}\n"))
    assert result.exit_code == 2
    assert message in result.stderr


def test_local_file_runs_only_when_the_command_line_says_so(spec: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "my_objective.py").write_text(f"open(r'{tmp_path / 'ran'}', 'w').close()\n{OBJECTIVE}")
    path = spec('objective = "mine"\n[plugins]\nlocal = ["my_objective.py"]\n')
    refused = call("run", path, "--runs-dir", tmp_path / "runs")
    assert refused.exit_code == 2
    assert "read it first, then add --allow-local-code" in refused.stderr
    assert not (tmp_path / "ran").exists()

    result = call("run", path, "--runs-dir", tmp_path / "runs", "--allow-local-code", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    folder = Path(json.loads(result.stdout)["folder"])
    components = json.loads((folder / "environment.json").read_text())["components"]
    assert components["objective mine"].startswith("my_objective.py sha256 ")
    assert components["dataset table"] == f"kexp {kexp.__version__}"
    # The folder's spec names the same file, and again nothing runs unasked.
    assert call("check", folder / "spec.toml").exit_code == 2
    assert call("check", folder / "spec.toml", "--allow-local-code").exit_code == 0


@pytest.mark.parametrize("command", ["run", "run --dry-run", "check", "augment --show 1", "tune"])
@pytest.mark.parametrize("change", ['plugins.local=["FILE"]', 'plugins={local = ["FILE"]}', "extends"])
def test_local_file_of_the_resolved_spec_runs_only_when_the_command_line_says_so(
    spec: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, change: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_objective.py"
    file.write_text(f"open(r'{tmp_path / 'ran'}', 'w').close()\n{OBJECTIVE}")
    search = '[search]\ntrials = 1\n[search.space]\n"training.learning_rate" = {low = 1e-4, high = 1e-2}\n'
    path, assignments = spec(search), ["--set", change.replace("FILE", file.as_posix())]
    if change == "extends":
        stated = f'extends = "{path.as_posix()}"\n[plugins]\nlocal = ["my_objective.py"]\n'
        path, assignments = tmp_path / "child.toml", []
        path.write_text(stated, encoding="utf-8")
    arguments = [*command.split(), path, *assignments]
    refused = call(*arguments)
    assert refused.exit_code == 2
    assert "read it first, then add --allow-local-code" in refused.stderr
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "runs").exists()


def test_what_the_command_line_sets_for_plugins_is_not_ignored(spec: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "my_objective.py").write_text(OBJECTIVE)
    chosen = ["--set", f'plugins.local=["{(tmp_path / "my_objective.py").as_posix()}"]', "--set", "objective=mine"]
    assert 'unknown objective "mine"' not in call("check", spec(""), *chosen).stderr
    assert call("check", spec(""), *chosen, "--allow-local-code").exit_code == 0
    blocked = call("check", spec(""), "--set", 'backbone={use = "kcbert"}', "--set", 'plugins.block=["kexp-korean"]')
    assert 'unknown backbone "kcbert"' in blocked.stderr


def test_local_file_reaches_the_processes_of_a_search(spec: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "my_objective.py").write_text(OBJECTIVE)
    search = '[search]\ntrials = 1\n[search.space]\n"training.learning_rate" = {low = 1e-4, high = 1e-2}\n'
    path = spec(f'objective = "mine"\n[plugins]\nlocal = ["my_objective.py"]\n{search}')
    result = call("tune", path, "--runs-dir", tmp_path / "runs", "--allow-local-code", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["trials"]["complete"] == 1


def test_local_file_that_does_not_load_is_one_message(spec: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    result = call("check", spec('[plugins]\nlocal = ["broken.py"]\n'), "--allow-local-code")
    assert result.exit_code == 2
    assert "broken.py: cannot be loaded: ZeroDivisionError: division by zero" in result.stderr


def test_local_file_for_another_version_is_named(spec: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "newer.py").write_text("KEXP_API = 4\n")
    result = call("check", spec('[plugins]\nlocal = ["newer.py"]\n'), "--allow-local-code")
    assert result.exit_code == 2
    assert "newer.py: written for version 4 of kexp's plugin interface" in result.stderr


def test_argument_that_a_hook_has_not_breaks_the_whole_plugin_and_no_other(
    install: Install, spec: Callable[[str], Path], tmp_path: Path
) -> None:
    wrong = OBJECTIVE + "\n@kexp.hookimpl\ndef kexp_run_started(run, weather):\n    pass\n"
    install(wrong=wrong, right=OBJECTIVE.replace("mine", "other"))
    catalog = load_catalog()
    (broken,) = [plugin for plugin in catalog.broken if plugin.name == "wrong"]
    assert broken.reason == "kexp_run_started has no argument weather; it is kexp_run_started(run)"
    names = {entry.name for entry in catalog.entries("objective")}
    assert {"other", "focal"} <= names
    assert "mine" not in names
    (tmp_path / "local.py").write_text(wrong)
    result = call("check", spec('[plugins]\nlocal = ["local.py"]\n'), "--allow-local-code")
    assert result.exit_code == 2
    assert "local.py: kexp_run_started has no argument weather" in result.stderr


def diary(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_observers_learn_what_happens(install: Install, spec: Callable[[str], Path], tmp_path: Path) -> None:
    install(watcher=WATCHER.format(diary=tmp_path / "diary"))
    result = call("run", spec("seeds = [1, 2]\n"), "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    notes = diary(tmp_path / "diary")
    assert [what for what, _ in notes] == ["started", "epoch", "epoch", "ended"] * 2
    assert [more["epoch"] for what, more in notes if what == "epoch"] == [0, 1, 0, 1]
    assert notes[0] == ["started", {"variant": "default", "seed": 1}]
    events = (
        (Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1" / "metrics.jsonl").read_text().splitlines()
    )
    measured = [event["metrics"]["accuracy"] for event in map(json.loads, events) if event["event"] == "evaluation"]
    assert [more["accuracy"] for what, more in notes[:4] if what == "epoch"] == measured


def test_observers_learn_of_a_failure(install: Install, spec: Callable[[str], Path], tmp_path: Path) -> None:
    augmenter = (
        "import kexp\nfrom kexp.contracts import AugmenterOptions\n\n"
        'class Bad(AugmenterOptions):\n    "Divide by zero."\n    def build(self, context):\n'
        "        return lambda texts, generators: 1 / 0\n\n"
        "@kexp.hookimpl\ndef kexp_augmenters():\n    return {'bad': Bad}\n"
    )
    install(bad=augmenter, watcher=WATCHER.format(diary=tmp_path / "diary"))
    result = call("run", spec('augmentation.labelled = "bad"\n'), "--runs-dir", tmp_path / "runs", "--quiet")
    assert result.exit_code == 1
    reason = 'augmenter "bad" of bad unknown version: ZeroDivisionError: division by zero'
    assert diary(tmp_path / "diary")[-1] == ["failed", {"reason": reason}]


def test_observer_that_raises_is_named_and_training_goes_on(
    install: Install, spec: Callable[[str], Path], tmp_path: Path
) -> None:
    broken = "from kexp import hookimpl\n@hookimpl\ndef kexp_epoch_ended(run):\n    raise RuntimeError('boom')\n"
    install(broken=broken, watcher=WATCHER.format(diary=tmp_path / "diary"))
    result = call("run", spec(""), "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 0
    told = result.stderr.count(
        "kexp_epoch_ended of broken unknown version failed: RuntimeError: boom; it is not called again in this run"
    )
    assert told == 1
    assert diary(tmp_path / "diary")[-1] == ["ended", {"status": "done"}]


def test_plugin_adds_a_command(install: Install) -> None:
    install(
        hello="from kexp import hookimpl\n\ndef hello(name: str, times: int = 1) -> None:\n"
        '    "Greet somebody."\n    print(" ".join([f"안녕, {name}"] * times))\n\n'
        "@hookimpl\ndef kexp_commands():\n    return {'hello': hello, 'run': hello}\n"
    )
    assert call("hello", "세종", "--times", "2").stdout == "안녕, 세종 안녕, 세종\n"
    assert "Greet somebody." in call("--help").stdout
    # A command of kexp's own cannot be replaced.
    assert "Train and evaluate" in call("run", "--help").stdout
    assert call("helo").exit_code == 2
    told = call("plugins", "list").stderr
    assert "command: kexp hello (hello unknown version)\n" in told
    assert "command: kexp run (hello unknown version), shadowed by kexp's own\n" in told
    states = {
        command["name"]: command["state"]
        for command in json.loads(call("plugins", "list", "--json").stdout)["commands"]
    }
    assert states == {"hello": "ok", "run": "shadowed by kexp's own"}


COMMANDS = """
from __future__ import annotations
import kexp
from kexp.errors import KexpError

def refuses() -> None:
    raise KexpError("there is no diary; run something first")

def fails() -> None:
    raise ValueError("seven")

def unmade(path: Nowhere) -> None:
    pass

def contested() -> None:
    pass

@kexp.hookimpl
def kexp_commands():
    return {"refuses": refuses, "fails": fails, "unmade": unmade, "contested": contested}
"""


def test_what_a_command_raises_is_told_without_a_traceback(install: Install) -> None:
    install(mine=COMMANDS)
    refused = call("refuses")
    assert (refused.exit_code, refused.stderr.splitlines()[-1]) == (2, "there is no diary; run something first")
    failed = call("fails")
    assert (failed.exit_code, failed.stderr.splitlines()[-1]) == (1, "kexp: ValueError: seven; --debug shows where")


def test_a_command_that_cannot_be_made_costs_no_other(install: Install) -> None:
    install(mine=COMMANDS, other=COMMANDS.replace('"refuses": refuses, "fails": fails, "unmade": unmade, ', ""))
    shown = call("--help")
    assert shown.exit_code == 0
    assert "refuses" in shown.stdout
    assert "command unmade of mine unknown version: broken: NameError: name 'Nowhere' is not defined" in shown.stderr
    # Of two that claim a name, neither runs.
    assert call("contested").exit_code == 2
    told = call("plugins", "list").stderr
    assert (
        "kexp contested (mine unknown version), shadowed (refused: other unknown version claims the name too)" in told
    )
    assert "kexp unmade (mine unknown version), broken: NameError" in told


def test_observers_are_listed(install: Install, tmp_path: Path) -> None:
    install(watcher=WATCHER.format(diary=tmp_path / "diary"))
    assert "observer: kexp_run_failed (watcher unknown version)\n" in call("plugins", "list").stderr
    listed = json.loads(call("plugins", "list", "--json").stdout)["observers"]
    assert {observer["hook"] for observer in listed if observer["package"] == "watcher"} == {
        "kexp_run_started", "kexp_epoch_ended", "kexp_run_ended", "kexp_run_failed",
    }  # fmt: skip


def test_a_former_class_variable_without_a_type_points_to_the_changes(tmp_path: Path) -> None:
    path = tmp_path / "former.py"
    path.write_text(
        "from kexp.contracts import ObjectiveOptions\n\n\nclass Mine(ObjectiveOptions):\n    uses_pool = True\n",
        encoding="utf-8",
    )
    with pytest.raises(PluginError) as caught:
        load_catalog(local=[path])
    message = str(caught.value)
    assert "`uses_pool = True`" in message
    assert message.endswith(CHANGES)
    assert "http" not in message
