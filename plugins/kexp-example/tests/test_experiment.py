"""The spec in experiments/, run as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

SPEC = Path(__file__).parent.parent / "experiments" / "example.toml"


def test_the_spec_runs_with_what_this_package_brings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kexp", "run", str(SPEC), "--runs-dir", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    components = json.loads((folder / "environment.json").read_text("utf-8"))["components"]
    assert components["objective generalized-cross-entropy"] == "kexp-example 0.1.0"
    assert components["augmenter drop-particles"] == "kexp-example 0.1.0"
    for diary in (folder / "robust" / "seed-1", folder / "plain" / "seed-1"):
        said = [json.loads(line)["what"] for line in (diary / "diary.jsonl").read_text("utf-8").splitlines()]
        assert said == ["started", "epoch", "epoch", "done"]
