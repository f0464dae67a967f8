"""Counts and baselines of a variant whose rows are divided several times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_spec

from kexp.catalog import Catalog
from kexp.data.prepare import prepare
from kexp.evaluate.baselines import MOST_ROWS, fit_baseline
from kexp.experiment import augment
from kexp.experiment.divisions import _mean, baselines, data_record, divisions
from kexp.experiment.inputs import PreparedInputs
from kexp.plan.resolve import Plan, resolve
from kexp.repeats import Repeat


@pytest.fixture
def plan(write_spec: Any, reviews: Path, catalog: Catalog) -> Any:
    def resolved(tables: str) -> Plan:
        return resolve(write_spec(tiny_spec("seeds = [1, 2, 3]", tables).format(data=reviews)), catalog)

    return resolved


def test_rows_are_divided_by_what_they_depend_on(plan: Any) -> None:
    assert divisions(plan("").base) == {"": Repeat(1)}
    assert list(divisions(plan("[split]\nresplit = true").base)) == ["seed 1", "seed 2", "seed 3"]
    assert divisions(plan("[split]\nfolds = 2").base) == {"fold 1": Repeat(1, fold=1), "fold 2": Repeat(1, fold=2)}
    both = plan("[split]\nfolds = 2\n[labelled]\nn = 30\ndraws = 2").base
    assert list(divisions(both)) == [f"draw {draw}, fold {fold}" for draw in (1, 2) for fold in (1, 2)]


def test_with_a_split_per_seed_counts_and_baselines_are_those_of_every_split(
    plan: Any, catalog: Catalog, tmp_path: Path
) -> None:
    spec = plan('[split]\nresplit = true\nstratify = false\n[evaluation]\nbaselines = ["majority"]').base
    prepared = PreparedInputs(catalog, tmp_path)
    found, record = baselines(spec, prepared, {}), data_record(spec, prepared)
    hits, counts = [], []
    for seed in (1, 2, 3):
        splits = prepare(spec, Repeat(seed)).splits
        most = np.bincount(splits["train"].labels).argmax()
        hits.append(float((splits["test"].labels == most).mean()))
        counts.append(np.bincount(splits["test"].labels, minlength=3))
    assert len({*hits}) > 1
    assert found["majority"]["test"]["accuracy"] == pytest.approx(np.mean(hits))
    assert record["divisions"] == 3
    assert [*record["labels"]["test"].values()] == [round(float(mean), 1) for mean in np.mean(counts, axis=0)]
    assert record["splits"]["train"]["kept"] == 192


def test_the_linear_baseline_is_fitted_to_a_sample_of_many_rows_which_is_told(
    plan: Any, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, fitted = plan("").base, []

    def spied(name: str, texts: Any, labels: Any, n_labels: int, seed: int) -> Any:
        fitted.append((name, list(texts), np.bincount(labels).tolist()))
        return fit_baseline(name, texts, labels, n_labels, seed)

    monkeypatch.setattr("kexp.evaluate.baselines.fit_baseline", spied)
    told = []
    for most in (30, 30, 192):
        monkeypatch.setitem(MOST_ROWS, "tfidf-logreg", most)
        remarks: dict[str, None] = {}
        found = baselines(spec, PreparedInputs(catalog, tmp_path), remarks)
        assert set(found) == {"majority", "tfidf-logreg"}
        told.append([*remarks])
    train = prepare(spec, Repeat(1)).train
    counts = np.bincount(train.labels)
    sample = fitted[1][1]
    assert [*counts] == [64, 64, 64]
    assert [one[2] for one in fitted] == [[64] * 3, [10] * 3, [64] * 3, [10] * 3, [64] * 3, [64] * 3]
    assert sample == fitted[3][1] == [text for text in train.texts if text in sample]
    assert fitted[5][1] == train.texts
    finding = "baseline tfidf-logreg is fitted to a stratified sample of 30 of the 192 train rows"
    assert told == [[finding], [finding], []]


def test_one_division_is_told_as_it_is(plan: Any, catalog: Catalog, tmp_path: Path) -> None:
    spec, prepared = plan("").base, PreparedInputs(catalog, tmp_path)
    positions = {"max_positions": spec.backbone.max_positions()}
    assert data_record(spec, prepared) == prepared.inputs(spec, Repeat(1)).record() | positions


@pytest.mark.parametrize(
    ("values", "mean"),
    [([3, 3], 3), ([3, 4], 3.5), ([3, None], 1.5), ([1, 1, 2], 1.3), ([0.12345, 0.2], 0.1617), (["a", "b"], "a"),
     ([{"x": 1, "y": 2}, {"x": 3}], {"x": 2, "y": 1})],
)  # fmt: skip
def test_records_are_averaged_number_by_number(values: list[Any], mean: Any) -> None:
    assert _mean(values) == mean


def test_views_are_made_for_every_draw(plan: Any, catalog: Catalog, tmp_path: Path) -> None:
    tables = '[labelled]\nn = 30\ndraws = 3\n[augmentation]\nunlabelled = "random-deletion"'
    output = tmp_path / "views.csv"
    counts = augment.ahead(plan(tables), catalog, None, 20, output, lambda line: None)
    assert counts["rows"] == 60
    assert counts["accepted"] + sum(counts["rejected"].values()) == 60
