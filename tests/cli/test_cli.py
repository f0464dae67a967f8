from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import kexp
from kexp import cli
from kexp.catalog import BrokenPlugin, Catalog, Owner
from kexp.cli.tables import print_table

Write = Callable[..., Path]

GOOD = '[dataset]\nuse = "table"\npath = "data.csv"\n[backbone]\nuse = "tiny"\n'


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def _data(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,0\n")


def test_version() -> None:
    assert run("--version").stdout == f"kexp {kexp.__version__}\n"


def test_check_tells_what_would_run(write_spec: Write) -> None:
    spec = write_spec(f"seeds = [1, 2]\n{GOOD}[variants.a]\n[variants.b]\n")
    assert run("check", spec).stdout == f"{spec}: ok (variants: a, b; seeds: 1, 2)\n"


def test_check_takes_the_seeds_of_a_run(write_spec: Write) -> None:
    spec = write_spec(f"seeds = 5\n{GOOD}")
    assert run("check", spec).stdout == f"{spec}: ok (variants: default; seeds: 5)\n"
    assert run("check", spec, "--seeds", "2,3").stdout == f"{spec}: ok (variants: default; seeds: 2, 3)\n"
    wrong = run("check", spec, "--seeds", "2,2")
    assert (wrong.exit_code, wrong.stderr) == (2, f"{spec}: seeds: a seed is given twice\n")
    words = run("check", spec, "--seeds", "two")
    assert (words.exit_code, words.stderr) == (
        2,
        "--seeds two: expected whole numbers with commas between, for example 1,2,3\n",
    )


def test_check_prints_every_problem_on_standard_error(write_spec: Write) -> None:
    spec = write_spec(f"{GOOD}[training]\nepochs = 0\nbatch = 1\n")
    result = run("check", spec)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{spec}: training.epochs: expected a number greater than 0, found 0",
        f"{spec}: training.batch: unknown key of [training]; use training.batch_size",
    ]


def test_check_as_json_has_the_problems_in_parts(write_spec: Write) -> None:
    result = run("check", write_spec(f'{GOOD}[objective]\nuse = "focal"\ngama = 1\n'), "--json")
    assert result.exit_code == 2
    told = json.loads(result.stdout)
    assert told["ok"] is False
    assert [(p["path"], p["message"]) for p in told["problems"]] == [
        ("objective.gama", 'unknown option of objective "focal"; did you mean "gamma"?')
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "kexp run: expected a spec file, or --resume FOLDER"),
        (
            ["run", "x.toml", "--seeds", "one"],
            "--seeds one: expected whole numbers with commas between, for example 1,2,3",
        ),
        (["run", "x.toml"], "x.toml: cannot be read: No such file or directory; expected a spec in TOML"),
        (["run", "--resume", "nowhere"], "nowhere is not a run folder: it has no spec.toml"),
        (["check", "x.toml", "--set", "epochs"], "--set epochs: expected path=value, for example training.epochs=1"),
        (["plugins", "show", "objective", "vocal"], 'unknown objective "vocal"; did you mean "focal"?'),
        (["plugins", "list", "--kind", "objectives"], 'unknown kind "objectives"; did you mean "objective"?'),
    ],
)
def test_mistakes_on_the_command_line_end_with_two_and_a_message(
    arguments: list[str], message: str, write_spec: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--seeds" in arguments or "--set" in arguments:
        write_spec(GOOD, "x.toml")
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.strip() == message
    assert result.stdout == ""


def test_resume_takes_no_changes(tmp_path: Path) -> None:
    result = run("run", "--resume", tmp_path, "--seeds", "2")
    assert result.exit_code == 2
    assert "--variant and --seeds do not apply" in result.stderr


def test_plugins_list_names_components_and_broken_plugins(monkeypatch: pytest.MonkeyPatch, catalog: Catalog) -> None:
    broken = Catalog(catalog.registered, [BrokenPlugin("bad", Owner("kexp-bad", "1.0"), "ImportError: no")])
    monkeypatch.setattr("kexp.catalog.load_catalog", lambda: broken)
    result = run("plugins", "list", "--kind", "sampler")
    lines = [line.split("\t")[:3] for line in result.stdout.splitlines()]
    assert lines == [
        ["kind", "name", "package"],
        *[["sampler", name, f"kexp {kexp.__version__}"] for name in ("balanced", "random", "sequential")],
    ]
    assert result.stderr == "broken: bad (kexp-bad 1.0): ImportError: no\n"
    told = json.loads(run("plugins", "list", "--json").stdout)
    assert told["broken"] == [
        {"name": "bad", "owner": {"package": "kexp-bad", "version": "1.0"}, "reason": "ImportError: no"}
    ]
    assert {entry["kind"] for entry in told["components"]} >= {"dataset", "backbone", "objective", "metric"}


def test_plugins_show_tells_options_bounds_defaults_and_origin() -> None:
    told = run("plugins", "show", "objective", "focal").stdout
    assert told.startswith(f'objective "focal", from kexp {kexp.__version__}\n\nFocal loss for K classes')
    assert "gamma\tnumber, 0 to 20\t2.0\tHow strongly" in told
    as_json = json.loads(run("plugins", "show", "freezing", "bottom-layers", "--json").stdout)
    assert as_json["options"][0]["default"] is None
    assert as_json["owner"] == {"package": "kexp", "version": kexp.__version__}


def test_schema_prints_json() -> None:
    assert json.loads(run("schema").stdout)["title"] == "kexp spec"


def test_runs_of_an_empty_folder_is_an_empty_table(tmp_path: Path) -> None:
    assert run("runs", "--runs-dir", tmp_path).stdout == (
        "started\texperiment\tstatus\tvariants\tmetric\ttest\tvariant\ttraining\tfolder\n"
    )
    assert json.loads(run("runs", "--runs-dir", tmp_path / "none", "--json").stdout) == []


def test_unfinished_and_unreadable_folders_are_listed_as_such(tmp_path: Path) -> None:
    for name, summary in (("20260101T000000Z-aaaaaaaa", None), ("20260102T000000Z-bbbbbbbb", "{broken")):
        folder = tmp_path / "x" / name
        folder.mkdir(parents=True)
        (folder / "spec.toml").write_text("")
        if summary:
            (folder / "summary.json").write_text(summary)
    rows = json.loads(run("runs", "--runs-dir", tmp_path, "--json").stdout)
    assert [(row["status"], row["started"]) for row in rows] == [
        ("unreadable", "20260102T000000Z"),
        ("unfinished", "20260101T000000Z"),
    ]


def test_debug_shows_the_traceback(write_spec: Write) -> None:
    with pytest.raises(Exception, match="expected a number greater than 0"):
        run("--debug", "check", write_spec(f"{GOOD}[training]\nepochs = 0\n"))


def test_hangul_lines_up_in_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    print_table("", ["라벨", "n"], [["제주", "1"], ["abcd", "22"]], right=1)
    from rich.cells import cell_len

    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert len({cell_len(line.rstrip()) for line in plain.splitlines() if line.strip()}) == 1


@pytest.mark.parametrize("arguments", [["schema"], ["plugins", "show", "metric", "accuracy"]], ids=" ".join)
def test_a_pipe_that_is_closed_ends_a_command_without_a_word(arguments: list[str]) -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = subprocess.Popen(
        [sys.executable, "-m", "kexp", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered
    )
    assert command.stdout is not None
    command.stdout.close()
    assert command.stderr is not None
    assert command.stderr.read() == b""
    assert command.wait() == 141
    command.stderr.close()
