"""Words of other tools in a spec are answered with the key that means them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from kexp.builtin.trackers.wandb import Wandb
from kexp.catalog import Catalog
from kexp.errors import SpecError
from kexp.plan.other_tools import KEYS, METRICS, key_hint, metric_hint
from kexp.plan.resolve import resolve

SPEC = """
[dataset]
use = "table"
path = "{data}"
{dataset}
[backbone]
use = "tiny"
{backbone}
[training]
{training}
[evaluation]
{evaluation}
"""


@pytest.fixture
def problems(write_spec: Callable[..., Path], catalog: Catalog, reviews: Path) -> Callable[..., list[str]]:
    """Return a function that gives the problems of a spec with some lines more."""

    def found(top: str = "", **lines: str) -> list[str]:
        parts = {"dataset": "", "backbone": "", "training": "", "evaluation": "", **lines}
        with pytest.raises(SpecError) as caught:
            resolve(write_spec(top + SPEC.format(data=reviews, **parts)), catalog)
        return [str(problem) for problem in caught.value.problems]

    return found


@pytest.mark.parametrize(
    ("section", "line", "expected"),
    [
        ("training", "max_len = 64", "training.max_len: unknown key of [training]; use training.max_length"),
        ("training", "batch = 8", "training.batch: unknown key of [training]; use training.batch_size"),
        ("training", "lr = 1e-4", "training.lr: unknown key of [training]; use training.learning_rate"),
        ("training", "num_epochs = 2", "training.num_epochs: unknown key of [training]; use training.epochs"),
        (
            "training",
            "weight_decay_rate = 0.1",
            "training.weight_decay_rate: unknown key of [training]; use training.weight_decay",
        ),
        ("training", "early_stopping = 3", "training.early_stopping: unknown key of [training]; use training.patience"),
        (
            "training",
            "fp16 = true",
            'training.fp16: unknown key of [training]; use training.precision, for example "fp16"',
        ),
        (
            "training",
            'optimiser = "adam"',
            "training.optimiser: unknown key of [training]; use training.optimizer",
        ),
        ("training", "dr_rate = 0.1", "training.dr_rate: unknown key of [training]; use backbone.dropout"),
        (
            "training",
            "save_steps = 9",
            "training.save_steps: unknown key of [training]; use training.checkpoint_every_steps",
        ),
        ("evaluation", "batch = 9", "evaluation.batch: unknown key of [evaluation]; use evaluation.batch_size"),
        (
            "training",
            "val_loss = 1",
            "training.val_loss: unknown key of [training]; metrics are named in evaluation.metrics and training.monitor; "
            'use "cross_entropy"',
        ),
        ("training", "batch_sizes = 9", 'training.batch_sizes: unknown key of [training]; did you mean "batch_size"?'),
        ("dataset", 'delimiter = ";"', 'dataset.delimiter: unknown option of dataset "table"; use dataset.separator'),
        ("training", "dropout = 0.1", "training.dropout: unknown key of [training]; use backbone.dropout"),
        ("training", "balance = true", "training.balance: unknown key of [training]; use cleaning.balance"),
        ("backbone", "dr_rate = 0.1", 'backbone.dr_rate: unknown option of backbone "tiny"; use backbone.dropout'),
        ("backbone", "max_len = 9", 'backbone.max_len: unknown option of backbone "tiny"; use training.max_length'),
        ("dataset", 'text_col = "a"', 'dataset.text_col: unknown option of dataset "table"; use dataset.text'),
        ("evaluation", 'metrics = ["acc", "macro_f1"]', 'evaluation.metrics[0]: unknown metric "acc"; use "accuracy"'),
        (
            "training",
            'monitor = "val_loss"',
            'training.monitor: "val_loss" is not among evaluation.metrics; use "cross_entropy"',
        ),
    ],
)
def test_words_of_other_tools_get_their_key(
    problems: Callable[..., list[str]], section: str, line: str, expected: str
) -> None:
    assert problems(**{section: line}) == [expected]


def test_words_at_the_top_get_their_key(problems: Callable[..., list[str]]) -> None:
    assert problems("fp16 = true\nepochs = 3\n[optimizer]\nlr = 1e-4\n") == [
        'fp16: unknown key; use training.precision, for example "fp16"',
        "epochs: unknown key; use training.epochs",
        "optimizer: unknown key; use training.optimizer",
    ]


def test_a_name_is_refused_in_words(problems: Callable[..., list[str]]) -> None:
    assert problems('name = "a/b"\n') == [
        'name: it names a folder; expected letters, digits, ".", "-" and "_" only, with a letter or digit at the '
        'beginning, found "a/b"'
    ]


def test_every_hint_names_a_key_that_there_is(catalog: Catalog) -> None:
    from kexp.spec.sections import Spec

    schema = TypeAdapter(Spec).json_schema()["properties"].keys()
    for key, words in KEYS.items():
        assert key.partition(".")[0].partition(";")[0] in schema
        assert all(key_hint(word) == f"use {key}" for word in words)
    metrics = {entry.name for entry in catalog.entries() if entry.kind == "metric"}
    assert METRICS.keys() <= metrics
    assert not {word for words in METRICS.values() for word in words} & metrics
    assert metric_hint("val_loss") == 'use "cross_entropy"'
    assert (key_hint("colour"), metric_hint("colour")) == ("", "")


@pytest.mark.parametrize(("project", "found"), [("team/nsmc", "/"), ("a#b?", "# ?"), ("x" * 129, "129 characters")])
def test_a_project_that_wandb_refuses_is_refused_by_check(
    project: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (problem,) = [one for one in Wandb(project=project).problems() if one.path == "project"]
    assert found in problem.message
    monkeypatch.setenv("WANDB_PROJECT", project)
    assert [one.path for one in Wandb().problems() if one.path == "project"] == ["project"]
    assert [one for one in Wandb(project="nsmc-감성").problems() if one.path == "project"] == []
