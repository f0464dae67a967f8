"""The part of the report on all variants together: curves, time, accuracy by length, disagreements, shaded words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from html_pages import Page

from kexp.errors import KexpError
from kexp.evaluate.proportions import wilson
from kexp.report.costs import costs, watt_hours
from kexp.report.html import write_report
from kexp.report.sentences import difference_table
from kexp.report.stored import read_summary
from kexp.report.summary import build_summary
from kexp.report.variant_curves import variant_curves
from kexp.report.variant_rows import VariantRows, accuracy_by_length, disagreements, variant_rows
from kexp.report.words import Words, asked, shadable

LABELS = ["부정", "긍정"]


def evaluations(*values: float | None, start: float = 1.0) -> list[dict[str, Any]]:
    return [
        {"epoch": start + n, "train_loss": 1 / (n + 1), "validation_loss": None, "validation": {"macro_f1": value}}
        for n, value in enumerate(values)
    ]


# --- curves ----------------------------------------------------------------------------------------------------------


def test_means_are_over_all_runs_and_end_with_the_shortest() -> None:
    variants = {"a": [evaluations(0.5, 0.7, 0.9), evaluations(0.7, 0.7)], "b": [evaluations(0.4, None, 0.8)]}
    figure, train = variant_curves("macro_f1", variants)  # no validation loss was measured
    assert (figure.title, train.title) == ("Validation macro_f1", "Train loss")
    a, b = figure.bands
    assert (list(a.epochs), list(a.means)) == ([1.0, 2.0], [pytest.approx(0.6), pytest.approx(0.7)])
    assert list(a.spreads) == [pytest.approx(0.02**0.5), 0.0]
    assert [list(run.epochs) for run in a.runs] == [[1.0, 2.0, 3.0], [1.0, 2.0]]
    assert (list(b.epochs), list(b.means), list(b.spreads)) == ([1.0, 3.0], [0.4, 0.8], [0.0, 0.0])
    assert (a.colour, b.colour) == (0, 1)
    assert figure.image.startswith("data:image/svg+xml;base64,")


def test_runs_without_shared_epochs_have_no_mean() -> None:
    apart = {"a": [evaluations(0.5, 0.7), evaluations(0.5, 0.7, start=1.3)]}
    band = variant_curves("macro_f1", apart)[0].bands[0]
    assert (list(band.epochs), len(band.runs)) == ([], 2)


def test_figures_are_split_where_variants_outnumber_colours_and_one_run_has_none() -> None:
    many = {f"v{n}": [evaluations(0.5, 0.6)] for n in range(6)} | {"failed": []}
    figures = variant_curves("macro_f1", many)
    assert [[band.name for band in figure.bands] for figure in figures][:2] == [["v0", "v1", "v2", "v3"], ["v4", "v5"]]
    assert len(figures) == 4
    assert variant_curves("macro_f1", {"a": [evaluations(0.5)]}) == variant_curves("macro_f1", {}) == []


# --- time and energy --------------------------------------------------------------------------------------------------


def test_time_and_energy_are_means_and_sums() -> None:
    runs = [{"train_seconds": 60.0, "energy_joules": 7200.0, "device": "cuda:0"},
            {"train_seconds": 120.0, "energy_joules": 14400.0, "device": "cuda:0"}]  # fmt: skip
    row, other = costs({"a": runs, "b": [{"train_seconds": 5.0}], "failed": []})
    assert row == {
        "variant": "a", "runs": "2", "training time": "1 min 30 s ± 42 s", "of all runs": "3 min 0 s",
        "energy": "3.00 Wh ± 1.41 Wh", "energy of all runs": "6.00 Wh", "device": "cuda:0",
    }  # fmt: skip
    assert (other["training time"], other["energy"]) == ("5.0 s", "–")
    assert "energy" not in costs({"b": [{"train_seconds": 5.0}]})[0]
    assert costs({}) == costs({"failed": []}) == []
    assert [watt_hours(value) for value in (0.123, 42.4, 3600)] == ["0.12 Wh", "42 Wh", "3.60 kWh"]


# --- rows ------------------------------------------------------------------------------------------------------------


def frame(texts: Sequence[str], labels: str, predicted: str, confidence: Sequence[float]) -> pd.DataFrame:
    """Return test rows; labels and predictions are letters, n for the first label and p for the second."""
    names = dict(zip("np", LABELS, strict=True))
    found = pd.DataFrame({"split": "test", "row": range(len(texts)), "text": texts})
    found["label"], found["predicted"] = [names[one] for one in labels], [names[one] for one in predicted]
    found["confidence"] = confidence
    for letter, name in names.items():
        sure = [value if one == letter else 1 - value for one, value in zip(predicted, confidence, strict=True)]
        found[f"probability:{name}"] = sure
    return found


TEXTS = ["좋다", "정말 좋다", "별로 안 좋다", "참 재미없는 영화였다"]


class Folder:
    """A run folder with two variants of two seeds each."""

    def __init__(self, path: Path) -> None:
        self.path, self.results = path, list[dict[str, Any]]()
        path.mkdir(parents=True)
        (path / "spec.toml").write_text('name = "reviews"\n', "utf-8")
        (path / "environment.json").write_text("{}", "utf-8")

    def run(self, variant: str, seed: int, rows: pd.DataFrame | None, **more: Any) -> Path:
        result = {
            "status": "done", "reason": None, "experiment": "reviews", "variant": variant, "seed": seed,
            "labels": LABELS, "metrics": {"test": {"accuracy": 0.8}}, "confusion_matrix": {"test": [[3, 1], [0, 4]]},
            **more,
        }  # fmt: skip
        folder = self.path / variant / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result), "utf-8")
        if rows is not None:
            rows.to_parquet(folder / "predictions.parquet")
        self.results.append(result)
        return folder

    def summary(self) -> dict[str, Any]:
        made = build_summary(self.results, baselines={}, data={}, predictions=lambda _: None)
        (self.path / "summary.json").write_text(json.dumps({**made, "findings": []}), "utf-8")
        return read_summary(self.path / "summary.json")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = Folder(tmp_path / "runs" / "reviews" / "20260101T000000Z-abc")
    found.run("a", 1, frame(TEXTS, "ppnn", "ppnp", (0.9, 0.9, 0.9, 0.95)))
    found.run("a", 2, frame(TEXTS, "ppnn", "ppnn", (0.9, 0.9, 0.9, 0.60)))
    found.run("b", 1, frame(TEXTS, "ppnn", "pnnn", (0.9, 0.7, 0.9, 0.8)))
    found.run("b", 2, frame(TEXTS, "ppnn", "pnnn", (0.9, 0.9, 0.9, 0.8)))
    found.summary()
    return found


def test_a_variant_says_what_the_mean_of_its_runs_says(folder: Folder) -> None:
    a, b = variant_rows(folder.path, folder.summary(), "test")
    assert (a.name, a.runs, b.name) == ("a", 2, "b")
    # 긍정 of the last row: (0.95 + 0.40) / 2.
    assert list(a.rows["predicted"]) == ["긍정", "긍정", "부정", "긍정"]
    assert a.rows["confidence"].iloc[3] == pytest.approx(0.675)
    assert list(a.rows["right"]) == [1.0, 1.0, 1.0, 0.5]


def test_folds_that_test_other_rows_are_put_together(folder: Folder) -> None:
    halves = frame(TEXTS, "ppnn", "ppnn", (0.9,) * 4)
    folder.run("c", 1, halves[:2])
    folder.run("c", 2, halves[2:])
    found = variant_rows(folder.path, folder.summary(), "test")[2]
    assert (list(found.rows["row"]), found.runs) == ([0, 1, 2, 3], 2)


def test_predictions_without_a_probability_of_each_label_are_named(folder: Folder) -> None:
    path = folder.path / "b" / "seed-2" / "predictions.parquet"
    pd.read_parquet(path).drop(columns="probability:긍정").to_parquet(path)
    with pytest.raises(KexpError, match="column probability:긍정 is missing, or not as kexp writes it"):
        write_report(folder.path)


def test_accuracy_is_told_by_length_of_the_text(folder: Folder) -> None:
    found = accuracy_by_length(variant_rows(folder.path, folder.summary(), "test"))
    assert found is not None
    assert found["variants"] == ["a", "b"]
    assert [(group["name"], group["rows"]) for group in found["groups"]] == [("2", 1), ("5", 1), ("7", 1), ("11", 1)]
    assert [[cell["accuracy"] for cell in group["cells"]] for group in found["groups"]] == [
        [1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0],
    ]  # fmt: skip
    low, high = wilson(1, 1)
    assert (found["groups"][0]["cells"][0]["low"], found["groups"][0]["cells"][0]["high"]) == (low, high)


def test_groups_of_length_hold_every_row_of_every_variant() -> None:
    rng = np.random.default_rng(1)
    rows = [
        pd.DataFrame({"row": range(n), "text": ["가" * k for k in rng.integers(1, most, n)], "right": 1.0})
        for n, most in ((200, 40), (50, 90))
    ]
    found = accuracy_by_length([VariantRows("a", 1, rows[0]), VariantRows("b", 1, rows[1])])
    assert found is not None
    assert [sum(group["cells"][n]["rows"] for group in found["groups"]) for n in (0, 1)] == [200, 50]
    assert accuracy_by_length([]) is None


def test_rows_of_which_two_variants_are_most_certain_come_first(folder: Folder) -> None:
    found = disagreements(variant_rows(folder.path, folder.summary(), "test"))
    assert found is not None
    assert (found["rows"], found["count"], found["left_out"]) == (4, 2, 0)
    # Row 1: 0.9 against (0.7 + 0.9) / 2; row 3: 0.675 against 0.8.
    assert [row["row"] for row in found["shown"]] == [1, 3]
    first = found["shown"][0]
    assert first["certainty"] == pytest.approx(0.8)
    assert asked(first) == {"a": "긍정", "b": "부정"}
    assert disagreements(variant_rows(folder.path, folder.summary(), "test")[:1]) is None


def test_rows_that_not_all_variants_have_are_left_out_and_counted(folder: Folder) -> None:
    other = frame(["다르다", *TEXTS[1:]], "ppnn", "nnnn", (0.9,) * 4)
    folder.run("c", 1, other[:3])
    found = disagreements(variant_rows(folder.path, folder.summary(), "test"))
    assert found is not None
    assert (found["rows"], found["left_out"]) == (2, 2)


def test_pairs_without_a_second_text_are_the_same_row(tmp_path: Path) -> None:
    found = Folder(tmp_path / "runs" / "pairs")
    for variant, predicted in (("a", "pp"), ("b", "np")):
        rows = frame(TEXTS[:2], "pp", predicted, (0.9, 0.9))
        rows.insert(3, "text_pair", [None, "둘째"])
        found.run(variant, 1, rows)
    shown = disagreements(variant_rows(found.path, found.summary(), "test"))
    assert shown is not None
    assert (shown["rows"], [row["row"] for row in shown["shown"]]) == (2, [0])
    write_report(found.path)


# --- words -----------------------------------------------------------------------------------------------------------


def write_words(folder: Path, rows: dict[str, Any], remark: str = "", split: str = "test") -> None:
    (folder / "words.json").write_text(json.dumps({"split": split, "rows": rows, "remark": remark}), "utf-8")


def test_models_are_asked_about_mistakes_and_about_what_the_mean_says_too(folder: Folder) -> None:
    a, b = shadable(folder.path, folder.summary())
    assert (a.name, a.folder, a.split) == ("a, seed-1", folder.path / "a" / "seed-1", "test")
    assert [row["row"] for row in a.rows] == [3, 1]  # its mistake, and the disagreement on which it was right
    assert [row["row"] for row in b.rows] == [1, 3]
    folder.run("c", 1, None)
    assert len([*shadable(folder.path, folder.summary())]) == 2


def test_words_are_shaded_by_their_effect(folder: Folder) -> None:
    run = folder.path / "a" / "seed-1"
    texts = [[["참", 0.001], ["재미없는", 0.4], ["영화였다", -0.2]]]
    write_words(run, {"3": {"label": "긍정", "texts": texts}}, "1 text is missing")
    page = Page(write_report(folder.path).read_text("utf-8"))
    styles = [value for tag, name, value in page.attributes if (tag, name) == ("span", "style")]
    assert styles.count("--share: 1.00") == styles.count("--share: 0.50") == 2  # as a mistake, and as a disagreement
    # As a mistake and a disagreement, and among errors of its length, without negation, and of its spacing.
    assert page.text.count("참 재미없는 영화였다") == 2 + 3
    assert "1 text is missing." in page.text
    assert "words in the other colour lower it" in page.text
    row = {"row": 3, "text": TEXTS[3]}
    words = Words.of(run, "test")
    shaded = str(words.shaded(row, "긍정", 400))
    assert shaded == (
        '참 <span class="word" style="--share: 1.00" title="+0.400">재미없는</span> '
        '<span class="word lowers" style="--share: 0.50" title="-0.200">영화였다</span>'
    )
    assert str(words.shaded(row, "긍정", 5)) == "참 …"
    # Another label, another row, another text, another split.
    assert words.shaded(row, "부정", 400) is words.shaded({**row, "row": 4}, "긍정", 400) is None
    assert words.shaded({**row, "text": "참 재미있는 영화였다"}, "긍정", 400) is None
    assert Words.of(run, "validation").rows == {}
    assert Words.of(run.parent, "test") == Words({}, "")


def test_words_of_a_long_text_and_of_pairs_are_shown_whole_and_cannot_run() -> None:
    attack = "<script>alert(1)</script>"
    words = Words({"0": {"label": "긍정", "texts": [[[attack, 0.5]], [["둘째", 0.1]]]}}, "")
    html = str(words.shaded({"row": 0, "text": f"{attack} 뒤", "text_pair": "둘째"}, "긍정", 400))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</span> 뒤<br>" in html


def test_damaged_words_are_named(folder: Folder) -> None:
    write_words(folder.path / "a" / "seed-1", {"3": {"label": "긍정", "texts": "재미없는"}})
    with pytest.raises(KexpError, match=r"words\.json: rows\.3\.texts is not as kexp .* or delete it"):
        write_report(folder.path)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_page_without_words_says_how_to_get_them(folder: Folder) -> None:
    text = Page(write_report(folder.path).read_text("utf-8")).text
    assert "The words of mistakes are not shaded: kexp report RUN_FOLDER --words 60" in text
    assert "2 of 2 among 4 test rows" in text
    assert "There is no data card here yet: kexp data RUN_FOLDER writes it." in text


def test_other_metrics_are_a_table_beside_one_verdict_of_a_pair() -> None:
    test = {"a": "x", "b": "y", "metric": "accuracy", "difference": -0.12, "low": -0.2, "high": -0.04, "better": "y",
            "p_holm": 0.0004}  # fmt: skip
    equal = {**test, "metric": "mse", "difference": 0.0, "low": None, "high": None, "better": None, "p_holm": 1.0}
    found = difference_table([test, equal, {**test, "b": "z"}])
    assert found == {
        "metrics": ["accuracy", "mse"],
        "rows": [
            ("x and y", [{"ahead": "y by 0.120", "interval": "0.040 to 0.200", "p": "p < 0.001"},
                         {"ahead": "equal", "interval": "", "p": "p = 1.000"}]),
            ("x and z", [{"ahead": "y by 0.120", "interval": "0.040 to 0.200", "p": "p < 0.001"}, None]),
        ],
    }  # fmt: skip
    assert difference_table([]) is None
