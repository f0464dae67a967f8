"""Words of other tools in a spec are answered with the key that means them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from kexp.builtin.trackers.wandb import Wandb
from kexp.catalog import Catalog
from kexp.errors import SpecError
from kexp.plan.other_tools import COMMAND_LINE, KEYS, METRICS, command_line_hint, key_hint, metric_hint, metric_key_hint
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


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ("learning_rate = 1e-3", "learning_rate: unknown key; use training.learning_rate"),
        ("Learning-Rate = 1e-3", "Learning-Rate: unknown key; use training.learning_rate"),
        ("learnin_rate = 1e-3", "learnin_rate: unknown key; did you mean training.learning_rate?"),
        ("batch_size = 8", "batch_size: unknown key; use training.batch_size or evaluation.batch_size"),
        ("weight_decay = 0.1", "weight_decay: unknown key; use training.weight_decay"),
        ("warmup_ratio = 0.1", "warmup_ratio: unknown key; use training.warmup_ratio"),
        ("per_device_train_batch_size = 8", "per_device_train_batch_size: unknown key; use training.batch_size"),
        ("num_train_epochs = 3", "num_train_epochs: unknown key; use training.epochs"),
        ('path = "a.csv"', "path: unknown key; use dataset.path"),
        ("layers = 3", "layers: unknown key; use backbone.layers"),
        ("n_trials = 3", "n_trials: unknown key; use search.trials"),
        ("jobs = 3", "jobs: unknown key; use search.jobs or execution.jobs"),
        ("mask_probability = 0.2", "mask_probability: unknown key; use pretraining.mask_probability"),
        ("gamma = 2", "gamma: unknown key; use training.gamma"),
        ("xi = 2", 'xi: unknown key; it is an option of objective "vat"'),
        ('output_dir = "x"', "output_dir: unknown key; give --runs-dir on the command line"),
        ("dataset_ = 1", 'dataset_: unknown key; did you mean "dataset"?'),
        ("[variants.a]\nlr = 1", "variants.a.lr: unknown key; in [variants.a] use training.learning_rate"),
        ("[variants.a.training]\nlr = 1", "variants.a.training.lr: unknown key of [training]; in [variants.a] use training.learning_rate"),
        ('[variants."lr-0.1"]\nlr = 1', 'variants.lr-0.1.lr: unknown key; in [variants."lr-0.1"] use training.learning_rate'),
        ("[variants.a]\nfp16 = true", 'variants.a.fp16: unknown key; in [variants.a] use training.precision, for example "fp16"'),
        ("[variants.a]\nseed = 1", "variants.a.seed: unknown key; use seeds"),
        ("[variants.a]\noutput_dir = 1", "variants.a.output_dir: unknown key; give --runs-dir on the command line"),
        ("[split]\nseeds = [1, 2]", 'split.seeds: unknown key of [split]; use seeds, which stands above all tables, or did you mean "seed"?'),
        ("[cleaning]\nseeds = [1, 2]", "cleaning.seeds: unknown key of [cleaning]; use seeds, which stands above all tables"),
        ("[split]\nsampler = 'balanced'", "split.sampler: unknown key of [split]; use sampler"),
        ("[search]\ntrials = 1\nepochs = 1", 'search.epochs: unknown key of [search]; parameters stand in [search.space]: "training.epochs" = ...'),
        ("[search]\ntrials = 1\nlr = 1", 'search.lr: unknown key of [search]; parameters stand in [search.space]: "training.learning_rate" = ...'),
        ("[search]\ntrials = 1\nn_jobs = 1", 'search.n_jobs: unknown key of [search]; use search.jobs'),
        ("[search.training]\nepochs = 1", 'search.training: unknown key of [search]; parameters stand in [search.space]: "training" = ...'),
        ("[split]\npatience = 1", "split.patience: unknown key of [split]; use training.patience"),
        ("[split]\ntests = 1", 'split.tests: unknown key of [split]; did you mean "test"?'),
        ("[labelled]\nshots = 1", "labelled.shots: unknown key of [labelled]; use labelled.per_class"),
        ("[objective]\ngamma = 1.5", 'objective.gamma: unknown option of objective "cross-entropy"; it is an option of objective "focal"'),
        ("[objective]\nepochs = 1", 'objective.epochs: unknown option of objective "cross-entropy"; use training.epochs'),
    ],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_looked_for_in_all_sections(
    problems: Callable[..., list[str]], top: str, expected: str
) -> None:
    lines, _, tables = top.partition("[")
    found = problems(lines + "\n", evaluation=f"[{tables}" if tables else "")
    assert expected in found


def test_a_section_that_the_spec_has_is_named_beside_training(problems: Callable[..., list[str]]) -> None:
    (found,) = problems("learning_rate = 1e-3\n", evaluation="[pretraining]\nepochs = 1")
    assert found == "learning_rate: unknown key; use training.learning_rate or pretraining.learning_rate"


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
    assert not any(hint("colour") for hint in (key_hint, metric_hint, metric_key_hint, command_line_hint))
    # Of two hints for a word one alone could be told.
    words = [word for of in (KEYS, COMMAND_LINE) for known in of.values() for word in known]
    assert len(words) == len({*words}), [word for word in words if words.count(word) > 1]


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
