"""The report of a small run folder, built by hand and read back by an HTML parser."""

from __future__ import annotations

import base64
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from html_pages import Page
from typer.testing import CliRunner

from kexp.builtin.metrics import ECE
from kexp.builtin.tasks.single_label import SingleLabel
from kexp.cli import app
from kexp.errors import KexpError
from kexp.evaluate.calibration import expected_calibration_error, reliability
from kexp.evaluate.proportions import wilson
from kexp.report import predictions as stored
from kexp.report.curves import curves
from kexp.report.figures import INK, LINES, Series, draw, draw_reliability
from kexp.report.formatting import as_table, duration, plain, size
from kexp.report.html import write_report
from kexp.report.results import results_table
from kexp.report.run_page import mistakes
from kexp.report.summary import build_summary

ATTACK = "<script>alert('영화')</script>"
LABELS = ["부정", "긍정 & <b>"]
SPEC = f'name = "nsmc"\ndescription = "few labels {ATTACK}"\n\n[training]\nepochs = 4\n'
DATA = {
    "splits": {"train": {"read": 1200, "duplicates": 37, "kept": 1163}, "test": {"read": 100, "kept": 100}},
    "labels": {"train": {"부정": 600, "긍정": 563}},
    "truncated": {"train": 3},
}
BASELINE = {"majority": {"test": {"accuracy": 0.5123, "cross_entropy": 0.6931}}}


def evaluation(epoch: int, train: float | None, cross_entropy: float | None, f1: float, best: bool) -> dict[str, Any]:
    metrics = {"cross_entropy": cross_entropy, "macro_f1": f1}
    return {"event": "evaluation", "step": epoch * 10, "epoch": float(epoch), "train_loss": train, "metrics": metrics,
            "best": best, "seconds": 0.1}  # fmt: skip


OVERFITTED = [
    evaluation(1, 0.6, 0.5, 0.7, True),
    evaluation(2, 0.4, 0.45, 0.8, True),
    evaluation(3, 0.2, 0.6, 0.79, False),
    evaluation(4, 0.1, 0.7, 0.78, False),
]


LOGS = {"supervised_loss": 0.5, "unsupervised_loss": 0.1, "confident": 0.7, "agreement": 0.9, "강도 <b>": 3.0}
POOL = {"accuracy": 0.81234, "confidence": 0.9, "balance": 0.99, "largest_share": 0.5}


def step(number: int, logs: dict[str, float]) -> dict[str, Any]:
    return {"event": "step", "step": number, "epoch": number / 10, "loss": 1 / number, "gradient_norm": 1.0 + number,
            "learning_rate": 1e-5 * (40 - number), "examples_per_second": 900.0, "tokens_per_second": 3e4,
            "logs": logs}  # fmt: skip


def result(variant: str, seed: int, accuracy: float) -> dict[str, Any]:
    scores = {"accuracy": accuracy, "cross_entropy": 1 - accuracy, "macro_f1": accuracy - 0.01}
    per_class = [{"label": name, "precision": 0.9, "recall": 0.8, "f1": 0.847, "support": 50} for name in LABELS]
    return {
        "status": "done", "reason": None, "experiment": "nsmc", "variant": variant, "seed": seed, "labels": LABELS,
        "metrics": {"validation": scores, "test": scores}, "per_class": {"test": per_class, "validation": per_class},
        "confusion_matrix": {"test": [[40, 10], [5, 45]], "validation": [[1, 0], [0, 1]]}, "best_epoch": 2.0,
        "best_step": 20, "kept_epoch": 2.0, "kept_step": 20, "monitor": "macro_f1", "steps": 40, "epochs": 4.0, "examples_per_second": 1234.5,
        "tokens_per_second": 54321.0, "train_seconds": 200.0, "peak_memory_mib": 2048.0, "device": "cuda:0",
        "time_shares": {"data": 0.25, "steps": 0.5, "evaluation": 0.2, "writing": 0.05},
        "precision": "bf16", "parameters": {"total": 110_000_000, "trainable": 7_000_000},
    }  # fmt: skip


def predictions(right: int) -> pd.DataFrame:
    """Return 100 test rows, the first ``right`` of them right, with growing confidence; and one validation mistake."""
    ids = np.arange(100) % 2
    predicted = np.where(np.arange(100) < right, ids, 1 - ids)
    confidence = np.linspace(0.6, 0.99, 100)
    frame = pd.DataFrame({"split": "test", "row": range(100), "text": [f"{ATTACK} {n}번" for n in range(100)]})
    frame["label"], frame["predicted"] = np.array(LABELS)[ids], np.array(LABELS)[predicted]
    frame["confidence"] = confidence
    for number, name in enumerate(LABELS):
        frame[f"probability:{name}"] = np.where(predicted == number, confidence, 1 - confidence)
    other = frame.tail(1).assign(split="validation", text="only in validation", confidence=0.999)
    return pd.concat([frame, other], ignore_index=True)


def write_run(folder: Path, result: Mapping[str, Any], events: list[dict[str, Any]], right: int | None) -> None:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    steps = [step(n, LOGS if result["variant"] == "uda" else {}) for n in range(1, 41)]
    if result["variant"] == "uda":
        events = [event | {"pool": POOL} for event in events]
    lines = [
        json.dumps(event) for event in [{"event": "started", "total_steps": 40}, *steps, *events, {"event": "finished"}]
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"event": "st', "utf-8")
    if right is not None:
        predictions(right).to_parquet(folder / "predictions.parquet")


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return the folder of two variants: one with two finished seeds, one with a finished and a failed seed."""
    folder = tmp_path / "runs" / "nsmc" / "20260101T000000Z-abc"
    results = [result("plain", 1, 0.80), result("plain", 2, 0.84), result("uda", 1, 0.91)]
    for one, right in zip(results, (80, 84, 91), strict=True):
        write_run(folder / one["variant"] / f"seed-{one['seed']}", one, OVERFITTED, right)
    failed = {
        "status": "failed",
        "reason": f"out of memory {ATTACK}",
        "experiment": "nsmc",
        "variant": "uda",
        "seed": 2,
    }
    write_run(folder / "uda" / "seed-2", failed, OVERFITTED[:1], None)
    (folder / "uda" / "seed-2" / "log.txt").write_text("first\nTraceback: the last line\n", "utf-8")
    (folder / "spec.toml").write_text(SPEC, "utf-8")
    environment = {"started": "2026-01-01T00:00:00+00:00", "packages": {"torch": "2.9"}, "git": None, "gpus": ["H100"]}
    (folder / "environment.json").write_text(json.dumps(environment), "utf-8")

    def held(run: Any) -> Any:
        return stored.tested(
            folder / run["variant"] / f"seed-{run['seed']}" / "predictions.parquet", "test", LABELS, SingleLabel(), {}
        )

    both = {"plain": BASELINE, "uda": BASELINE}
    summary = build_summary([*results, failed], baselines=both, data={"plain": DATA, "uda": DATA}, predictions=held)
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    return folder


@pytest.fixture
def page(run_folder: Path) -> Page:
    """Return the parsed report."""
    return Page(write_report(run_folder).read_text("utf-8"))


def test_results_stand_beside_the_baselines_with_the_best_marked(page: Page, run_folder: Path) -> None:
    head, plain_row, uda, baseline = page.table("accuracy ↑", "cross_entropy ↓")
    assert head == ["", "accuracy ↑", "cross_entropy ↓", "macro_f1 ↑"]
    means = json.loads((run_folder / "summary.json").read_text("utf-8"))["variants"]["plain"]["metrics"]["test"]
    between = {name: f"{mean['low']:.4f} to {mean['high']:.4f}" for name, mean in means.items()}
    # sd = 0.04 / sqrt(2). Student's t of two seeds would be an accuracy from 0.57 to 1.07.
    assert means["accuracy"]["interval"] == "bootstrap"
    assert 0.7 < means["accuracy"]["low"] < 0.8 < 0.84 < means["accuracy"]["high"] < 0.95
    assert plain_row == ["plain", f"0.8200 ± 0.0283{between['accuracy']}2 seeds",
                         f"0.1800 ± 0.0283{between['cross_entropy']}2 seeds",
                         f"0.8100 ± 0.0283{between['macro_f1']}2 seeds"]  # fmt: skip
    assert baseline[0].split() == ["majority", "baseline"]  # once: both variants share it
    assert baseline[1:] == ["0.5123", "0.6931", ""]
    assert uda == ["uda", "*0.91001 seed", "*0.09001 seed", "*0.90001 seed"]


def test_a_lone_result_is_not_called_the_best() -> None:
    summary = build_summary([result("a", 1, 0.8)], baselines={}, data={}, predictions=lambda _: None)
    assert set(results_table(summary, "test")["best"].values()) == {None}
    assert results_table(summary, "train")["rows"] == []


def test_baselines_on_other_data_have_rows_of_their_own() -> None:
    runs = [result(name, 1, 0.8) for name in ("a", "b", "c")]
    scores = {"a": {"majority": {"test": {"accuracy": 0.5}}}, "b": {"majority": {"test": {"accuracy": 0.6}}}}
    summary = build_summary(runs, baselines=scores | {"c": scores["a"]}, data={}, predictions=lambda _: None)
    rows = [(row["name"], row["baseline_of"]) for row in results_table(summary, "test")["rows"]]
    assert rows == [("a", []), ("b", []), ("c", []), ("majority", ["a", "c"]), ("majority", ["b"])]


def test_each_pair_has_one_sentence_and_other_metrics_a_table(page: Page) -> None:
    verdict = "these two models of plain and uda differ in macro_f1: uda is 0.110 ahead (95 % interval "
    assert page.text.count(verdict) == 1
    assert page.text.count("these two models of") == 1
    assert "seed 1, p < 0.001, paired bootstrap); one run of each says nothing about the methods" in page.text
    # Eleven rows differ, all in favour of uda: p = 2 / 2 ** 11.
    pair, cell = page.table("accuracy", "cross_entropy")[1][:2]
    found = re.fullmatch(r"uda by 0\.110(.+) to (.+), p < 0\.001", cell)
    assert pair == "plain and uda"
    assert found
    assert (float(found[1]), float(found[2])) == (pytest.approx(0.05, abs=0.011), pytest.approx(0.17, abs=0.011))
    assert "were compared without 1 run that only one of them has" in page.text
    assert " beats " not in page.text


def test_tests_of_earlier_versions_are_left_out_and_counted(run_folder: Path) -> None:
    path = run_folder / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    old = {"a": "plain", "b": "uda", "seed": 1, "metric": "accuracy", "test": "mcnemar", "difference": -0.11}
    summary["tests"] = [old | {"p_value": 0.001, "sentence": "uda beats plain by 0.110 accuracy"}] * 2
    for variant in summary["variants"].values():
        for scores in variant["metrics"].values():
            for mean in scores.values():
                del mean["over"], mean["interval"]
    path.write_text(json.dumps(summary), "utf-8")
    page = Page(write_report(run_folder).read_text("utf-8"))
    assert "2 tests of an earlier version are left out: they were of single runs, not of methods" in page.text
    assert " beats " not in page.text
    # Nor is their interval of Student's t shown, which reached beyond what an accuracy can be.
    assert page.table("accuracy ↑")[1][1] == "0.8200 ± 0.02832 seeds"


def test_what_was_asked_is_shown(page: Page) -> None:
    assert SPEC in page.text
    assert page.table("read", "duplicates", "kept")[1:] == [
        ["train", "1,200", "37", "1,163"],
        ["test", "100", "", "100"],
    ]
    assert len([table for table in page.tables if "duplicates" in table[0]]) == 1  # equal data is told once
    assert "H100" in page.text
    assert "nsmc/20260101T000000Z-abc" in page.text


def test_warnings_about_the_data_are_shown_as_sentences(run_folder: Path) -> None:
    summary = json.loads((run_folder / "summary.json").read_text("utf-8"))
    for variant in summary["variants"].values():
        variant["data"]["warnings"] = ["labels that look alike: a and b", "rows are <left out>"]
    (run_folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    page = write_report(run_folder).read_text("utf-8")
    assert page.count('<p class="note">labels that look alike: a and b</p>') == 1
    assert page.count('<p class="note">rows are &lt;left out&gt;</p>') == 1
    assert "<dt>warnings</dt>" not in page


def test_runs_tell_speed_classes_and_confusion(page: Page) -> None:
    row = page.table("status", "examples/s")[1]
    assert [cell.strip() for cell in row] == [
        "plain, seed 1", "done", "0.7900 macro_f1", "2", "3 min 20 s", "1,234", "54,321", "2,048 MiB", "cuda:0",
    ]  # fmt: skip
    assert page.table("precision", "recall")[2] == [LABELS[1], "0.9000", "0.8000", "0.8470", "50"]
    assert page.table("true ↓ predicted →")[1:] == [["부정", "40", "10"], [LABELS[1], "5", "45"]]
    shares = [value for tag, name, value in page.attributes if tag == "td" and name == "style"][:4]
    assert shares == ["--share: 0.800", "--share: 0.200", "--share: 0.100", "--share: 0.900"]


def test_the_most_confident_mistakes_come_first(page: Page, run_folder: Path) -> None:
    rows = page.table("text", "confidence")[1:]
    assert [row[0] for row in rows] == [str(n) for n in range(99, 84, -1)]
    assert rows[0] == ["99", f"{ATTACK} 99번", LABELS[1], LABELS[0], "0.990"]
    assert "15 of 20 among 100 test rows" in page.text
    assert "only in validation" not in page.text
    assert mistakes(None)["worst"] == []


def test_pairs_are_shown_whole(run_folder: Path) -> None:
    path = run_folder / "plain" / "seed-1" / "predictions.parquet"
    pd.read_parquet(path).assign(text_pair="둘째 문장").to_parquet(path)
    assert "둘째 문장" in Page(write_report(run_folder).read_text("utf-8")).table("text", "confidence")[1][1]


def test_texts_cannot_run(page: Page, run_folder: Path) -> None:
    html = (run_folder / "report.html").read_text("utf-8")
    assert "<script" not in html.lower()
    # Mistakes of three runs; their examples in the groups of length (errors come last, so one group), negation and
    # spacing; rows on which the variants disagree; description, spec, reason.
    assert html.count("&lt;script&gt;") == 15 + 15 + 9 + examples(page) + 9 + 3
    assert examples(page) >= 3 * 3 * 3
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def examples(page: Page) -> int:
    """Return how many texts stand in the tables of errors by kind of text."""
    return sum(row[-1].count(", predicted ") for table in page.tables if "examples" in table[0] for row in table)


def test_the_page_needs_nothing_else(page: Page, run_folder: Path) -> None:
    html = (run_folder / "report.html").read_text("utf-8")
    assert not {tag for tag, _, _ in page.attributes} & {"script", "link", "iframe", "object", "base"}
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action")]
    assert links
    assert all(link.startswith(("#", "data:image/svg+xml;base64,")) for link in links)
    assert not re.findall(r"https?://|@import|url\((?!#)", html)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)


def test_the_page_suits_reader_and_paper(page: Page, run_folder: Path) -> None:
    html = (run_folder / "report.html").read_text("utf-8")
    assert ("html", "lang", "en") in page.attributes
    assert all(
        word in html for word in ("prefers-color-scheme: dark", "@media print", "width=device-width", "Noto Sans KR")
    )
    # Loss, monitor, reliability; learning rate, gradient norm, two speeds. uda: losses, masks, targets, its own, pool.
    # The failed run neither knows what it monitored nor has predictions.
    images = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    # Of each run with predictions, accuracy by coverage too; of all variants, monitor and losses.
    assert len(images) == 4 * 7 + 2 * 5 - 2 + 3 + 3
    # No colour of a figure may vanish on a light or on a dark page; the legends show those of the lines.
    colours = {colour for image in images for colour in re.findall(r"#[0-9a-f]{6}\b", svg(image))}
    assert {INK, *LINES} >= colours
    assert re.findall(r"--series-\d: (#[0-9a-f]{6});", html) == list(LINES)
    pages = re.findall(r"--page: (#[0-9a-f]{6});", html)
    assert len(pages) == 3  # light, dark, and printed
    assert all(contrast(colour, page) >= 3 for colour in (INK, *LINES) for page in pages)
    used = set(re.findall(r"var\((--[\w-]+)\)", html))
    assert used <= set(re.findall(r"(--[\w-]+):", html))


def svg(image: str) -> str:
    """The SVG file of a data URI."""
    kind, _, data = image.partition(",")
    assert kind == "data:image/svg+xml;base64"
    return base64.b64decode(data, validate=True).decode("utf-8")


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (Web Content Accessibility Guidelines 2.1, section 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def dots(image: str) -> list[tuple[float, float]]:
    """The places of the dots of the first colour."""
    return [
        (float(x), float(y))
        for x, y in re.findall(rf'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: {LINES[0]}', svg(image))
    ]


def test_the_chosen_epoch_is_marked_where_it_is() -> None:
    image = draw([Series("x", [1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0], 0)], 2.0)
    assert len(dots(image)) == 4
    chosen = re.search(r'x="([\d.]+)"[^>]*>chosen</text>', svg(image))
    assert chosen is not None
    assert float(chosen[1]) == pytest.approx(dots(image)[1][0], abs=0.01)
    assert "chosen" not in svg(draw([Series("x", [1], [4.0], 0)], None))


def test_a_run_says_what_its_time_was_spent_on(run_folder: Path) -> None:
    page = " ".join(Page(write_report(run_folder).read_text("utf-8")).text.split())
    assert "data 25%, steps 50%, evaluation 20%, writing 5%" in page


def test_figures_bear_gaps_long_runs_and_any_name() -> None:
    steps = [n / 1000 for n in range(5000)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = draw([Series("손실 ✓", steps, [1 / (1 + s) for s in steps], 0, faint=True)], None)
        gaps = draw([Series("gaps", [1, 2, 3, 4], [0.5, float("nan"), 1.0, 2.0], 0)], 1.0)
        draw([Series("nothing", [1, 2], [None, None], 1)], None)
        assert len(dots(draw([Series("zero", [0], [0.0], 0)], 0.0))) == 1
    assert "손실" not in svg(image)
    assert not dots(image)
    assert len(dots(gaps)) == 3
    assert draw([Series("x", [1, 2], [1.0, 2.0], 0)], None) == draw([Series("x", [1, 2], [1.0, 2.0], 0)], None)


def titles(page: Page) -> list[str]:
    return [value for tag, name, value in page.attributes if name == "alt"]


def test_optimiser_objective_and_pool_have_figures(run_folder: Path) -> None:
    page = Page(write_report(run_folder).read_text("utf-8"))
    plain_run = [
        "Loss by epoch", "Validation macro_f1 by epoch", "accuracy by confidence, with the number of rows",
        "Learning rate by epoch", "Gradient norm by epoch", "Examples per second by epoch", "Tokens per second by epoch",
        "accuracy of the answered rows by the share of rows that are answered",
    ]  # fmt: skip
    objective = [
        "Losses of the objective by epoch", "Masks and thresholds by epoch", "Targets of the unlabelled rows by epoch",
        "강도 <b> by epoch", "Predictions for the unlabelled rows by epoch",
    ]  # fmt: skip
    together = "by epoch, the mean over runs of plain, uda"
    assert titles(page)[:3] == [
        f"{name} {together}" for name in ("Validation macro_f1", "Validation loss", "Train loss")
    ]
    assert titles(page)[3:11] == plain_run
    assert titles(page)[19:32] == [*plain_run[:3], *objective, *plain_run[3:]]
    assert "confident share of the unlabelled rows in the loss" in " ".join(page.text.split())
    assert "0.812" in page.text  # the pool's accuracy at the chosen epoch
    assert "&lt;b&gt; by epoch" in (run_folder / "report.html").read_text("utf-8")


def test_lines_hold_what_was_logged() -> None:
    events = [step(n, {"confident": n / 40, "ramp_loss": 1.0}) for n in (1, 2)] + [OVERFITTED[0] | {"pool": POOL}]
    drawn = curves("macro_f1", events, None)
    norm = next(figure for figure in drawn.work if figure.title == "Gradient norm")
    assert (list(norm.lines[0].epochs), list(norm.lines[0].values)) == ([0.1, 0.2], [2.0, 3.0])
    losses, masks, pool = drawn.objective
    assert [line.name for line in losses.lines] == ["ramp loss"]
    assert list(masks.lines[0].values) == [1 / 40, 2 / 40]
    assert {line.name: list(line.values) for line in pool.lines}["accuracy"] == [0.81234]
    assert curves("", [{"event": "started"}], None).learning == []


# --- reliability ---------------------------------------------------------------------------------------------------


def test_reliability_diagram_shows_accuracy_gap_and_counts() -> None:
    bins = reliability(np.repeat([0.55, 0.95], [3, 12_000]), np.repeat([True, False], [3, 12_000]), 10)
    image = svg(draw_reliability(bins))
    assert ">3</text>" in image
    assert ">12k</text>" in image
    heights = []
    for colour, path in re.findall(
        r'<path d="(M [^"]*z)\s*" clip-path="[^"]*" style="fill: (#[0-9a-f]{6}); opacity: [\d.]+', image
    ):
        ys = [float(y) for y in re.findall(r"[ML] [-\d.]+ ([-\d.]+)", colour)]
        heights.append((path, max(ys) - min(ys)))
    ticks = [
        float(y)
        for y in re.findall(
            r'<use xlink:href="#\w+" x="[\d.]+" y="([\d.]+)"',
            image.partition('id="matplotlib.axis_2"')[2].partition('id="patch')[0],
        )
    ]
    unit = max(ticks) - min(ticks)
    expected = [(LINES[0], 1.0), (LINES[0], 0.0), (LINES[1], 0.45), (LINES[1], 0.95)]
    assert [colour for colour, _ in heights] == [colour for colour, _ in expected]
    for (_, height), (_, share) in zip(heights, expected, strict=True):
        assert height == pytest.approx(share * unit, abs=0.5)


def test_calibration_error_is_that_of_the_metric(page: Page, run_folder: Path) -> None:
    frame = pd.read_parquet(run_folder / "plain" / "seed-1" / "predictions.parquet")[:100]
    ids = frame["label"].map(LABELS.index).to_numpy()
    probabilities = frame[[f"probability:{name}" for name in LABELS]].to_numpy()
    expected = ECE(bins=10).build(LABELS)(ids, probabilities)
    assert f"expected calibration error over 10 bins: {expected:.4f}" in page.text


def test_a_calibrated_run_shows_reliability_before_and_after(run_folder: Path) -> None:
    folder = run_folder / "plain" / "seed-1"
    found = json.loads((folder / "result.json").read_text("utf-8"))
    errors = {"validation": {"ece": 0.1, "cross_entropy": 0.5}, "test": {"ece": 0.2, "cross_entropy": 0.6}}
    better = {"validation": {"ece": 0.01, "cross_entropy": 0.4}, "test": {"ece": 0.02, "cross_entropy": None}}
    calibration = {"temperature": 2.5, "rows": 1234, "before": errors, "after": better, "remark": f"odd {ATTACK}"}
    (folder / "result.json").write_text(json.dumps({**found, "calibration": calibration}), "utf-8")
    html = write_report(run_folder).read_text("utf-8")
    page = Page(html)
    text = " ".join(page.text.split())
    assert "<script" not in html
    assert "divided by the temperature 2.5, fitted on 1,234 validation rows, by which the model was chosen too" in text
    assert f"odd {ATTACK}." in text
    assert page.table("ece before", "cross_entropy after") == [
        ["", "ece before", "ece after", "cross_entropy before", "cross_entropy after"],
        ["validation", "0.1000", "0.0100", "0.5000", "0.4000"],
        ["test", "0.2000", "0.0200", "0.6000", "–"],
    ]
    # The predictions are calibrated; what they were has odds to the power of the temperature.
    frame = predictions(80)[:100]
    confidence = frame["confidence"].to_numpy()
    before = confidence**2.5 / (confidence**2.5 + (1 - confidence) ** 2.5)
    correct = (frame["label"] == frame["predicted"]).to_numpy()
    for when, sure in (("before", before), ("after", confidence)):
        error = expected_calibration_error(sure, correct, 10)
        said = f"Reliability {when} calibration on test accuracy gap to the mean confidence expected calibration error"
        assert f"{said} over 10 bins: {error:.4f}" in text


def test_abstaining_is_shown_by_threshold(page: Page) -> None:
    rows = page.table("threshold", "coverage")
    frame = predictions(80)[:100]
    assert [row[0] for row in rows[1:]] == ["0.6", "0.7", "0.8", "0.9", "0.95", "0.99"]
    for row in rows[1:]:
        answered = frame[frame["confidence"] >= float(row[0])]
        right = (answered["label"] == answered["predicted"]).sum()
        assert row[1:4] == [str(len(answered)), f"{len(answered) / 100:.4f}", f"{right / len(answered):.4f}"]
        low, high = wilson(int(right), len(answered))
        assert row[4] == f"{low:.4f} to {high:.4f}"


def test_errors_are_shown_by_kind_of_text(run_folder: Path) -> None:
    page = Page(write_report(run_folder).read_text("utf-8"))
    table = page.table("error rate", "examples")
    assert table[1][:4] == ["all rows", "100", "20", "0.2000"]
    assert ["negation"] in table
    assert "an earlier version wrote it: lengths are in characters" in page.text
    assert "of this run on test, with the most confident errors" in page.text
    for folder in ("plain/seed-1", "plain/seed-2", "uda/seed-1"):
        path = run_folder / folder / "predictions.parquet"
        frame = pd.read_parquet(path)
        frame["text"] = ["못 봤다 " * 100 if number % 2 else "좋다" for number in range(len(frame))]
        frame.assign(tokens=np.arange(len(frame)), unknown_tokens=0).to_parquet(path)
    page = Page(write_report(run_folder).read_text("utf-8"))
    table = page.table("error rate", "examples")
    named = {row[0]: row for row in table}
    assert named["with negation"][1:4] == ["50", "10", "0.2000"]
    assert named["none"][1:3] == ["100", "20"]
    assert named["no space at all"][1] == "50"
    assert max(len(line) for row in table for line in row[-1].split(")")) < 120 + 40
    assert "an earlier version wrote it" not in page.text
    pd.read_parquet(path).assign(tokens="many").to_parquet(path)
    with pytest.raises(KexpError, match="column tokens is missing, or not as kexp writes it"):
        write_report(run_folder)


def test_overfitting_is_remarked_of_every_run_and_once_of_both_variants(page: Page) -> None:
    remark = (
        "overfitting: after epoch 2 the validation loss rises from 0.450 to 0.700 "
        "while the training loss falls from 0.400 to 0.100: fewer epochs"
    )
    assert page.text.count(remark) == 3 + 2


def test_failed_runs_show_their_reason(page: Page) -> None:
    assert f"out of memory {ATTACK}" in page.text
    assert "Traceback: the last line" in page.text
    assert ("span", "class", "badge failed") in page.attributes
    assert page.text.strip().startswith("nsmc · kexp report")


def test_equal_files_give_equal_bytes(run_folder: Path) -> None:
    first = write_report(run_folder).read_bytes()
    assert write_report(run_folder).read_bytes() == first


def test_an_experiment_that_never_got_anywhere_has_a_report(run_folder: Path) -> None:
    nothing = {"status": "interrupted", "reason": "stopped", "experiment": "nsmc", "variant": "new", "seed": 1}
    summary = build_summary([nothing], baselines={}, data={}, predictions=lambda _: None)
    (run_folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    page = Page(write_report(run_folder).read_text("utf-8"))
    assert "No run has finished" in page.text
    assert "the run left no result.json" in page.text


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KexpError, match="is not a run folder"):
        write_report(tmp_path)
    (tmp_path / "spec.toml").write_text("", "utf-8")
    with pytest.raises(KexpError, match=r"summary\.json"):
        write_report(tmp_path)


# --- kexp report ----------------------------------------------------------------------------------------------------


def report(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)


def test_the_command_draws_the_page_anew(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    result = report(run_folder)
    assert (result.exit_code, result.stdout) == (0, f"{run_folder / 'report.html'}\n")
    assert opened == []
    first = (run_folder / "report.html").read_bytes()
    (run_folder / "report.html").write_text("old")
    assert report(run_folder, "--open").exit_code == 0
    assert (run_folder / "report.html").read_bytes() == first
    assert opened == [(run_folder / "report.html").resolve().as_uri()]


def test_the_command_leaves_studies_and_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("")
    found = {"status": "done", "trials": {}, "goals": {}, "final": "runs/x/1"}
    (tmp_path / "study.json").write_text(json.dumps(found))
    result = report(tmp_path)
    assert result.exit_code == 2
    assert result.stderr.strip() == (
        f"{tmp_path} is a study, not a run folder; its page is study.html; its best spec was tested in runs/x/1"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"study.toml", "study.json"}
    assert "does not exist" in report(tmp_path / "none").stderr
    (tmp_path / "empty").mkdir()
    assert "is not a run folder: it has no spec.toml" in report(tmp_path / "empty").stderr
    (tmp_path / "empty" / "spec.toml").write_text("")
    assert "has no summary.json yet; kexp run --resume" in report(tmp_path / "empty").stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (True, "yes"), (1234, "1,234"), (2.0, "2"), (0.12345, "0.123"), (1234.5, "1,234"), ([], "none"),
     (["a", 2], "a, 2"), ([{"a": 1, "b": [True]}], "a: 1; b: yes"), ("글", "글")],
)  # fmt: skip
def test_plain(value: object, text: str) -> None:
    assert plain(value) == text


def test_durations() -> None:
    assert [duration(s) for s in (None, 1.23, 12.3, 59.96, 61, 200, 3599.9, 3600, 7260)] == [
        "–", "1.2 s", "12 s", "1 min 0 s", "1 min 1 s", "3 min 20 s", "1 h 00 min", "1 h 00 min", "2 h 01 min",
    ]  # fmt: skip


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1000, 9_949, 21_367_904, 999_500_000, 12e9)] == [
        "0 B", "999 B", "1.0 kB", "9.9 kB", "21 MB", "1.0 GB", "12.0 GB",
    ]  # fmt: skip


def test_wide_tables_are_turned() -> None:
    counts = {f"label {n}": n for n in range(12)}
    columns, rows = as_table({"train": counts, "test": {"label 1": 5}})
    assert columns == ["train", "test"]
    assert rows["label 1"] == [1, 5]
    assert rows["label 2"] == [2, None]
