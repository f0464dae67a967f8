"""The benchmarks run and write the figures that docs/performance.md is made of; how fast anything is, is no test's business."""

from __future__ import annotations

import json
import re
import runpy
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from support import REPOSITORY

from kexp.testing import korean_reviews

BENCHMARKS = REPOSITORY / "benchmarks"
KEYS = {"benchmark", "command", "options", "machine", "versions", "tables"}
LIMIT = "limit: "
TRAINER = ["Trainer", "Trainer, grouped by length"]
FROZEN = [TRAINER[1], "kexp, frozen layers in every step", "kexp", LIMIT]
EPOCH = ["loop, fixed padding", *TRAINER, "kexp", LIMIT]
RUN: dict[str, tuple[tuple[str, ...], dict[str, list[str]]]] = {
    "training": (
        ("--rows", "40", "--max-length", "16", "32"),
        {"an epoch at max_length 16": EPOCH, "an epoch at max_length 32": EPOCH},
    ),
    "frozen": (
        ("--rows", "40", "--max-length", "16", "--cases", "1:2"),
        {"1 of 2 layers frozen, 2 epochs": FROZEN},
    ),
    "uda_step": (
        ("--rows", "40", "--labelled", "2", "--ratio", "4", "--steps", "2", "--max-length", "16"),
        {
            "a step of UDA, 2 labelled rows and 8 pairs": [
                "three passes, fixed padding",
                "three passes, dynamic padding",
                "kexp",
            ]
        },
    ),
    "tuning": (
        ("--rows", "40", "--trials", "2", "--max-length", "16"),
        {"2 trials, 2 layers frozen": ["frozen layers in every step", "a run for each trial", "kexp"]},
    ),
    "prediction": (
        ("--rows", "40", "--max-length", "32"),
        {
            "prediction at max_length 32": [
                "loop, fixed padding",
                "pipeline, batch_size 32",
                "pipeline, sorted by length",
                "kexp",
                LIMIT,
            ]
        },
    ),
    "serve": (
        ("--rows", "40", "--max-length", "32", "--clients", "4"),
        {
            name: ["pipeline, 1 client", "pipeline, 4 clients", "kexp, 1 client", "kexp"]
            for name in ("40 requests", *(f"latency, percentile {number}" for number in (50, 95, 99)))
        },
    ),
    "memory": (
        ("--rows", "40", "--max-length", "16"),
        {"peak of memory, an epoch at max_length 16": [*TRAINER, "kexp"]},
    ),
    "options": (
        ("--rows", "40", "--max-length", "16", "--set", "training.length_bucketing=false", "--set", "training.none=1"),
        {"options of an epoch at max_length 16": ["defaults", "kexp, training.length_bucketing = false"]},
    ),
}

SLOW = ("training", "frozen", "tuning", "memory", "serve")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name: str) -> ModuleType:
    return import_module(name)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options that name a small model and some reviews, in the columns of NSMC."""
    folder = tmp_path_factory.mktemp("benchmarks")
    reviews = [f"{n}\t{text} {n}\t{label}" for n, (text, label) in enumerate(zip(*korean_reviews(300), strict=True))]
    (folder / "reviews.tsv").write_text("\n".join(["id\tdocument\tlabel", *reviews]) + "\n", "utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(BENCHMARKS))
        checks = module("gpu_checks")
        model = checks.save_random(folder / "model", checks.Size(2, 64, 64, max_length=128))
    return ("--model", str(model), "--data", str(folder / "reviews.tsv"))


def execute(name: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(BENCHMARKS / f"{name}.py"), *words])
    runpy.run_path(sys.argv[0], run_name="__main__")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in RUN])
def test_every_contestant_is_in_the_table_and_in_the_file(
    name: str, given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    own, tables = RUN[name]
    file = tmp_path / "figures.json"
    execute(name, (*given, "--rounds", "1", *own, "--json", str(file)), monkeypatch)
    report = json.loads(file.read_text("utf-8"))
    assert report.keys() >= KEYS | {"equal_work"}
    assert report["benchmark"] == name
    assert report["command"].startswith(f"python benchmarks/{name}.py --model model --data reviews.tsv --rounds 1")
    # Nothing tells where the files lie.
    assert str(Path(given[1]).parent) not in file.read_text("utf-8")
    assert {found["title"]: [row["contestant"] for row in found["rows"]] for found in report["tables"]}.keys() == (
        tables.keys()
    )
    for found in report["tables"]:
        for row, contestant in zip(found["rows"], tables[found["title"]], strict=True):
            assert row["contestant"].startswith(contestant)
            assert len(row["measured"]) == 1
            assert row["measured"][0] == row["median"] > 0
            assert row["to_base"] > 0
    assert report["equal_work"].keys() == tables.keys()
    printed = capsys.readouterr().out
    for title in tables:
        assert f"| {title} |" in printed
    if name == "options":
        assert list(report["left_out"]) == ["training.none = 1"]


@pytest.mark.slow
def test_the_table_of_many_rows_has_a_line_for_every_number_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "figures.json"
    execute("scale", ("--rows", "3000", "4000", "--steps", "3", "--json", str(file)), monkeypatch)
    report = json.loads(file.read_text("utf-8"))
    (table,) = report["tables"]
    assert report["command"] == "python benchmarks/scale.py --rows 3000 4000 --steps 3"
    assert [line[0] for line in table["lines"]] == [3000, 4000]
    assert all(len(line) == len(table["columns"]) and min(line) > 0 for line in table["lines"])
    assert "| 3,000 |" in capsys.readouterr().out
    assert module("all").summary({"scale": report}) == module("all").NOT_MEASURED
    assert "| 3,000 |" in module("all").section(report)


def test_ratios_are_of_medians_and_the_best_peer_is_no_limit() -> None:
    measured = {"loop": [4.0, 2.0, 3.0], "Trainer": [2.0, 2.0, 9.0], "kexp": [1.0, 0.5, 2.0], "limit: 1 FLOP": [0.1]}
    found = module("common").table("an epoch", measured, base="loop", rows=30)
    assert (found["base"], found["best_peer"]) == ("loop", "Trainer")
    row = found["rows"][2]
    assert (row["median"], row["to_base"], row["to_best_peer"], row["rows_per_second"]) == (1.0, 3.0, 2.0, 30.0)
    text = module("common").markdown(found)
    assert "| kexp | 1 | 0.5 – 2 | 30 | 3.00 | 2.00 | 10% |" in text
    memory = module("common").table("memory", {"Trainer": [200.0], "kexp": [150.0]}, base="Trainer", unit="MiB")
    assert memory["rows"][1]["to_base"] == 0.75


def test_every_contestant_begins_a_round_in_turn() -> None:
    order = list(module("common").turns(["a", "b", "c"], 3))
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]


@pytest.mark.parametrize(
    ("losses", "equal"),
    [
        ([0.7, 0.6, 0.5], True),
        ([0.700001, 0.6001, 0.5001], True),
        ([0.701, 0.6, 0.5], False),
        ([0.7, 0.6, 0.51], False),
        ([0.7, 0.6], False),
        ([0.7, 0.6, float("nan")], False),
    ],
)
def test_other_losses_end_a_benchmark(losses: list[float], equal: bool) -> None:
    check = module("contestants").check_losses
    if equal:
        assert check({"loop": [0.7, 0.6, 0.5], "kexp": losses})["first_step_difference"]["kexp"] < 1e-5
    else:
        with pytest.raises(SystemExit, match="kexp: losses"):
            check({"loop": [0.7, 0.6, 0.5], "kexp": losses})


def test_fewer_rows_or_steps_end_a_benchmark() -> None:
    contestants = module("contestants")
    work = contestants.Work(Path(), korean_reviews(100)[0], epochs=2)
    whole = contestants.Outcome(1.0, 200, 8, [])
    assert contestants.need_equal_work(work, {"kexp": [whole]}) == {"rows": 200, "steps": 8}
    for rows, steps in ((199, 8), (200, 7)):
        with pytest.raises(SystemExit, match=f"kexp: {rows} rows in {steps} steps"):
            contestants.need_equal_work(work, {"kexp": [whole, contestants.Outcome(1.0, rows, steps, [])]})


def test_useful_flop_are_those_that_a_counter_finds() -> None:
    """On a single row of BERT all but the last layer is what the padded pass computes."""
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        attn_implementation="eager",
    )  # fmt: skip
    model, lengths = BertForSequenceClassification(config).eval(), np.array([20])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randint(0, 50, (1, 20)))
    encoder = module("limit").Encoder.of(config)
    last = encoder.layer(lengths) - encoder.layer(lengths, first_token=True)
    assert encoder.forward(lengths) + last == counter.get_total_flops()
    # Twice as much for gradients, and nothing a second time where a layer is frozen.
    assert encoder.training(lengths, epochs=2) == 6 * encoder.forward(lengths)
    frozen = [encoder.training(lengths, epochs=epochs, frozen=3) for epochs in (1, 2)]
    assert frozen[1] - frozen[0] == 2 * encoder.head(1)
    assert frozen[0] == encoder.forward(lengths) + encoder.head(1)


def test_limit_is_printed(
    given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(module("limit"), "SECONDS", 0.01)
    file = tmp_path / "limit.json"
    execute("limit", (*given, "--rows", "20", "--epochs", "2", "--json", str(file)), monkeypatch)
    report = json.loads(file.read_text("utf-8"))
    found = report["limits"]["training, 2 epochs"]
    assert found["seconds"] == found["flop"] / report["matmul_flop_per_second"] > 0
    assert "GFLOP/s" in capsys.readouterr().out


@pytest.mark.slow
def test_precisions_are_compared_for_an_epoch_and_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    program, file = module("precision"), tmp_path / "precision.json"
    monkeypatch.setattr(program, "SIZES", ((1, 64),))
    words = ["precision.py", "--rows", "33", "--rounds", "1", "--device", "cpu", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", words)
    program.main()
    report = json.loads(file.read_text("utf-8"))
    assert report["equal_work"] == {"1 layers of width 64": {"rows": 33, "steps": 2}}
    assert [found["title"] for found in report["tables"]] == [
        "an epoch, 1 layers of width 64", "a text, 1 layers of width 64",
    ]  # fmt: skip
    for found in report["tables"]:
        assert [row["contestant"] for row in found["rows"]] == ["fp32", "kexp, bf16"]
        assert all(row["median"] > 0 for row in found["rows"])
    assert "bf16 natively." in capsys.readouterr().out


# --- the page -------------------------------------------------------------------------------------------------------


def test_page_has_a_place_for_every_benchmark() -> None:
    programs, page = module("all"), (REPOSITORY / "docs/performance.md").read_text("utf-8")
    names = [match["name"] for match in programs.MARKED.finditer(page)]
    assert names == ["summary", *programs.COMMANDS]
    assert {*RUN, *programs.OWN_TEXTS} == set(programs.COMMANDS)


def test_tables_are_put_between_the_marks_of_the_page(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    programs, page, file = module("all"), tmp_path / "page.md", tmp_path / "figures.json"
    before = "# Page\n\n<!-- measured: summary -->\nold\n<!-- end -->\n\ntext\n\n"
    page.write_text(
        before + "".join(f"<!-- measured: {n} -->\n<!-- end -->\n" for n in ("uda_step", "frozen")), "utf-8"
    )
    small = ("--rows", "80", "--rounds", "1", "--only", "uda_step")
    assert programs.main([*given, *small, "--json", str(file), "--page", str(page)]) == 0
    text = page.read_text("utf-8")
    assert "old" not in text
    assert "text" in text
    assert text.count(programs.NOT_MEASURED) == 1
    row = json.loads(file.read_text("utf-8"))["uda_step"]["tables"][0]["rows"][2]
    assert f"| three passes, fixed padding | {row['to_base']:.2f} |" in text
    # Once more from the file: the same page.
    assert programs.main(["--from", str(file), "--page", str(page)]) == 0
    assert page.read_text("utf-8") == text


def test_a_benchmark_that_fails_is_named(given: tuple[str, ...], capfd: pytest.CaptureFixture) -> None:
    assert module("all").main([*given, "--only", "uda_step", "--rows", "100000"]) == 1
    error = capfd.readouterr().err
    assert "lower --rows" in error
    assert error.endswith("failed: uda_step\n")


def test_a_data_card_is_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    execute("data_card", ("--rows", "300"), monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith(" s  tokenising") for line in lines)
    assert re.fullmatch(
        r"300 rows: [0-9.]+ s, [0-9.]+ s of processor time, [0-9.]+ GiB, [1-9][0-9]* findings", lines[-1]
    )


# --- the check on a GPU ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gpu_checks_pass_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "checks.json"
    assert module("gpu").main(["--device", "cpu", "--tiny", "--json", str(file)]) == 0
    results: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["results"]
    assert [result["passed"] for result in results] == [True] * 15
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == 15
    assert lines[-1].startswith("15 of 15 checks passed")


def test_compilation_is_checked_on_gpus_alone() -> None:
    checks = module("gpu_checks")
    planned = {
        compiles: {
            title
            for title, *_ in checks.planned(
                ["fp32", "bf16"], checks.SMALL, checks.BASE, compiles=compiles, on_cuda=False
            )
        }
        for compiles in (False, True)
    }
    assert planned[True] - planned[False] == {
        "compiled parts compute the same, fp32", "speed of a base-size model, bf16 and compiled",
    }  # fmt: skip
    assert len(planned[False]) == 15


def test_without_a_gpu_nothing_is_checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert module("gpu").main(["--quick"]) == 0
    assert capsys.readouterr().out == f"skipped: PyTorch {torch.__version__} sees no CUDA GPU\n"


def test_what_is_wrong_fails_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, checks = module("gpu"), module("gpu_checks")
    kept: list[torch.Tensor] = []
    monkeypatch.setattr(checks, "kexp", lambda work: kept.append(torch.zeros(1000)))
    with pytest.raises(checks.CheckFailed, match="bytes of tensors after each run"):
        checks.memory(tmp_path, checks.SMALL, "fp32", "cpu")
    outcome = module("contestants").Outcome(1.0, 64, 2, [0.7, 0.6], {"tf32": True})
    monkeypatch.setattr(checks, "kexp", lambda work, settings: outcome)
    with pytest.raises(checks.CheckFailed, match="recorded as used"):
        checks.tf32(tmp_path, checks.SMALL, "fp32", "cpu")
    with pytest.raises(checks.CheckFailed, match="no module is recorded as compiled"):
        checks.compiled(tmp_path, checks.SMALL, "fp32", "cpu")
    logits = checks.FlatModel.logits
    monkeypatch.setattr(checks.FlatModel, "logits", lambda self, rows: logits(self, rows) * 1.01)
    with pytest.raises(checks.CheckFailed, match="from those of the padded pass"):
        checks.flat(tmp_path, checks.SMALL, "fp32", "cpu")
    monkeypatch.setattr(gpu, "planned", lambda *given, **named: [("flat", checks.flat, checks.SMALL, "fp32")])
    (result,) = gpu.run_checks("cpu", ["fp32"], checks.SMALL, checks.SMALL)
    assert not result.passed
    assert result.found.startswith("CheckFailed: ")
