"""What a shell completes, asked as typer's scripts for bash, zsh and fish ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kexp.cli import app
from kexp.hookspecs import HOOK_OF_KIND
from tests.support import tiny_spec
from tests.test_layers import HEAVY

VARIANTS = "[variants.default]\n[variants.'작은-학습률']\n[variants.dropout]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go into a folder with a spec, one that cannot be read, and a run folder."""
    (tmp_path / "data.csv").write_text("text,label\na,0\n")
    text = tiny_spec(tables=VARIANTS + "[objective]\nuse = 'focal'\n").format(data="data.csv")
    (tmp_path / "spec.toml").write_text(text, "utf-8")
    (tmp_path / "child.toml").write_text("extends = 'spec.toml'\n[variants.more]\n", "utf-8")
    (tmp_path / "broken.toml").write_text("= 3", "utf-8")
    run = tmp_path / "runs" / "리뷰" / "20260101T000000Z-abcdefgh"
    run.mkdir(parents=True)
    (run / "spec.toml").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bash(line: str) -> list[str]:
    words = line.split(" ")
    asked = {"_KEXP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner().invoke(app, [], env=asked, prog_name="kexp").stdout.split()


def zsh(line: str) -> list[str]:
    asked = {"_KEXP_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
    told = CliRunner().invoke(app, [], env=asked, prog_name="kexp").stdout
    # _arguments '*: :(("kind":"help" ...))', or _files where there is nothing to complete.
    entries = told.removeprefix("_arguments '*: :((").strip().removesuffix("))'").splitlines()
    return [] if told.strip() == "_files" else [entry.split('"')[1] for entry in entries]


def fish(line: str) -> list[str]:
    asked = {"_KEXP_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    told = CliRunner().invoke(app, [], env=asked, prog_name="kexp").stdout
    return [entry.partition("\t")[0] for entry in told.splitlines() if entry]


RUN = "runs/리뷰/20260101T000000Z-abcdefgh"
ALL = ["default", "작은-학습률", "dropout"]


@pytest.mark.parametrize("shell", [bash, zsh, fish])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kexp run spec.toml --variant ", ALL),
        ("kexp run spec.toml --variant d", ["default", "dropout"]),
        ("kexp run spec.toml --variant 작", ["작은-학습률"]),
        ("kexp check spec.toml --variant default --variant ", ["작은-학습률", "dropout"]),
        ("kexp tune child.toml --variant ", [*ALL, "more"]),
        (f"kexp predict {RUN} --variant ", ALL),
        (f"kexp export {RUN} --variant dr", ["dropout"]),
        (f"kexp evaluate {RUN} --variant dr", ["dropout"]),
        (f"kexp data {RUN} --variant dr", ["dropout"]),
        ("kexp run broken.toml --variant ", []),
        ("kexp run missing.toml --variant ", []),
        ("kexp run --variant ", []),
        ("kexp plugins show ", list(HOOK_OF_KIND)),
        ("kexp plugins show ob", ["objective"]),
        ("kexp plugins show objective fo", ["focal"]),
        ("kexp plugins show nothing ", []),
        ("kexp plugins list --kind search", ["search-sampler"]),
        ("kexp plugins new kexp-x --kind tok", []),
        ("kexp tune spec.toml --executor lo", ["local"]),
        ("kexp run spec.toml --set training.learn", ["training.learning_rate="]),
        ("kexp run spec.toml --set objective.", ["objective.alpha=", "objective.gamma="]),
        ("kexp run spec.toml --set see", ["seeds="]),
        ("kexp run spec.toml --set freezing.", []),
        ("kexp augment spec.toml --of l", ["labelled"]),
        ("kexp runs --status int", ["interrupted"]),
        ("kexp runs --spec ", ["리뷰"]),
        ("kexp compare --split v", ["validation"]),
    ],
)
def test_names_are_completed(folder: Path, shell: Callable[[str], list[str]], line: str, expected: list[str]) -> None:
    assert sorted(shell(line)) == sorted(expected)


def test_names_are_completed_without_torch_and_with_nothing_else_on_the_screen(folder: Path) -> None:
    check = "import atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    asked = {"COMP_WORDS": "kexp plugins show objective fo", "COMP_CWORD": "4", "_KEXP_COMPLETE": "complete_bash"}
    code = f"import sys\n{check}from kexp.cli import app\napp(prog_name='kexp')\n"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["focal"]
    assert not {name.partition(".")[0] for name in done.stderr.split()} & HEAVY
