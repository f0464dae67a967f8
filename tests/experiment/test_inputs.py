"""What runs share: each result is made once for everything that it depends on, and for nothing else."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from support import tiny_spec

from kexp.builtin.augmenters import RandomDeletion, RandomSwap
from kexp.catalog import Catalog, load_catalog
from kexp.cli.display import NullDisplay
from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions, Rejected
from kexp.data.encoding import Encoded
from kexp.devices import choose
from kexp.distributed import World
from kexp.errors import KexpError
from kexp.experiment import assemble as assembling
from kexp.experiment import run as flow
from kexp.experiment.assemble import assemble
from kexp.experiment.inputs import PreparedInputs
from kexp.plan.resolve import resolve
from kexp.repeats import Repeat
from kexp.spec.sections import Spec
from kexp.spec.training_section import Training

SPEC = """
[dataset]
use = "table"
path = "{data}"
[labelled]
per_class = 5
[backbone]
use = "tiny"
layers = 1
hidden = 8
heads = 2
[objective]
use = "uda"
[training]
batch_size = 4
max_length = 12
[augmentation]
"""
UNLABELLED = 'unlabelled = {use = "random-deletion", p = 0.4, unit = "eojeol"}\n'
LABELLED = 'labelled = {use = "random-deletion", p = 0.4, unit = "eojeol"}\n'

Resolve = Callable[..., Spec]
Write = Callable[..., Path]
Prepare = Callable[[], PreparedInputs]


@pytest.fixture
def spec_of(write_spec: Write, reviews: Path, catalog: Catalog) -> Resolve:
    """Return a function that resolves a spec with these augmenters and changes."""

    def resolved(augmenters: str, *changes: str) -> Spec:
        path = write_spec(SPEC.format(data=reviews) + augmenters)
        return resolve(path, catalog, assignments=changes).base

    return resolved


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make two augmenters costly, and return the list of all texts that they are given."""
    texts: list[str] = []

    def recording(build: Callable[..., Augmenter]) -> Callable[..., Augmenter]:
        def build_recording(self: AugmenterOptions, context: AugmenterContext) -> Augmenter:
            augmenter = build(self, context)

            def record(some: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
                texts.extend(some)
                made = augmenter(some, generators)
                return [
                    Rejected(original, "ninth") if original.startswith("9번째") else new
                    for original, new in zip(some, made, strict=True)
                ]

            return record

        return build_recording

    for augmenter in (RandomDeletion, RandomSwap):
        monkeypatch.setattr(augmenter, "costly", True)
        monkeypatch.setattr(augmenter, "build", recording(augmenter.build))
    return texts


@pytest.fixture
def prepare(catalog: Catalog, tmp_path: Path) -> Prepare:
    """Return a function that makes inputs as a new process would, with one folder of what is kept."""
    return lambda: PreparedInputs(catalog, tmp_path / "cache")


SWAP = 'unlabelled = {use = "random-swap", unit = "eojeol"}\n'


@pytest.mark.parametrize(
    ("augmenters", "change", "seed", "made"),
    [
        (UNLABELLED, "augmentation.probability=0.5", 1, False),
        (UNLABELLED + 'labelled = {use = "aeda"}', "training.batch_size=4", 1, False),
        (UNLABELLED, "training.max_length=10", 1, False),
        (UNLABELLED, "backbone.hidden=16", 1, False),
        (UNLABELLED, "training.batch_size=4", 2, False),
        (UNLABELLED, "augmentation.unlabelled.p=0.3", 1, True),
        (UNLABELLED, "split.seed=1", 1, True),
        (SWAP, "training.batch_size=4", 1, True),
    ],
)
def test_stored_views_of_unlabelled_rows_depend_on_their_augmenter_alone(
    spec_of: Resolve,
    prepare: Prepare,
    given: list[str],
    augmenters: str,
    change: str,
    seed: int,
    made: bool,
) -> None:
    prepare().inputs(spec_of(UNLABELLED), Repeat(1))
    assert given
    given.clear()
    prepare().inputs(spec_of(augmenters, change), Repeat(seed))
    assert bool(given) is made


def test_stored_views_depend_on_labels_only_where_the_augmenter_learns_from_them(
    spec_of: Resolve, prepare: Prepare, given: list[str]
) -> None:
    rows = prepare().inputs(spec_of(UNLABELLED), Repeat(1)).data.unlabelled
    assert rows is not None
    few = rows.take(np.arange(20))
    bound = UNLABELLED.replace("p = 0.4", 'p = 0.4, protect = "negation-and-label"')
    for augmenter, again in ((UNLABELLED, False), (bound, True)):
        for count, expected in ((5, True), (6, again)):
            spec = spec_of(augmenter, f"labelled.per_class={count}")
            prepared = prepare()
            given.clear()
            assert spec.augmentation.unlabelled is not None
            prepared.augment_rows(spec, Repeat(1), few, spec.augmentation.unlabelled)
            assert bool(given) is expected


def test_stored_views_depend_on_the_version_of_the_plugin(
    spec_of: Resolve, prepare: Prepare, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(UNLABELLED)
    prepare().inputs(spec, Repeat(1))
    given.clear()
    monkeypatch.setattr(Catalog, "owner_of", lambda self, options: "kexp 99")
    prepare().inputs(spec, Repeat(1))
    assert given


def test_costly_augmenter_of_labelled_rows_is_run_once(spec_of: Resolve, prepare: Prepare, given: list[str]) -> None:
    spec = spec_of(LABELLED, "objective.use=cross-entropy")
    texts: list[tuple[str, ...]] = []
    for seed in (1, 2):
        run = assemble(spec, Repeat(seed), prepare(), choose("cpu", "fp32"))
        for epoch in range(3):
            list(run.stream.epoch(epoch))
        texts.append(tuple(run.inputs.data.train.texts))
    assert sorted(given) == sorted(texts[0])
    assert texts[0] == texts[1]


def test_stored_views_of_labelled_rows_reach_training_and_rejected_ones_do_not(
    spec_of: Resolve, prepare: Prepare, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(LABELLED, "objective.use=cross-entropy", "augmentation.probability=0.5", "labelled.per_class=20")
    seen: list[str] = []
    plain = assembling.encode_texts

    def encode(spec: Spec, tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None) -> Encoded:
        seen.extend(texts)
        return plain(spec, tokenizer, texts, pairs)

    monkeypatch.setattr(assembling, "encode_texts", encode)
    run = assemble(spec, Repeat(1), prepare(), choose("cpu", "fp32"))
    stream, train = run.stream, run.inputs.data.train
    made = prepare().augment_rows(spec, Repeat(1), train, spec.augmentation.labelled).views[0]  # type: ignore[arg-type]
    encoded: list[list[str]] = []
    for epoch in range(2):
        seen.clear()
        places = [np.searchsorted(train.numbers, np.sort(step[0].labelled.numbers)) for step in stream.epoch(epoch)]
        encoded.append([text for _, text in sorted(zip(np.concatenate(places).tolist(), seen, strict=True))])
    changed = [[one != other for one, other in zip(texts, train.texts, strict=True)] for texts in encoded]
    assert changed[0] != changed[1]
    for texts in encoded:
        kept = [text if isinstance(text, str) else original for text, original in zip(made, train.texts, strict=True)]
        assert all(text in pair for text, pair in zip(texts, zip(train.texts, kept, strict=True), strict=True))
    ninth = [row for row, text in enumerate(train.texts) if text.startswith("9번째")]
    assert ninth
    assert {text for texts in encoded for row in ninth for text in [texts[row]]} == {train.texts[row] for row in ninth}
    counts = run.augmenters["labelled"]
    assert 0 < counts.total < 2 * len(train)
    assert set(counts.rejected) == {"ninth"}


def test_memory_of_inputs_is_bounded(spec_of: Resolve, prepare: Prepare) -> None:
    prepared = prepare()
    prepared.made.limit = 200_000
    first = prepared.data(spec_of("", "objective.use=cross-entropy"), Repeat(1))
    for seed in range(30):
        prepared.data(spec_of("", "objective.use=cross-entropy", f"split.seed={seed}"), Repeat(1))
    assert sum(size for _, size in prepared.made.results.values()) <= 200_000
    again = prepared.data(spec_of("", "objective.use=cross-entropy"), Repeat(1))
    assert again is not first
    assert again.train.digest() == first.train.digest()


def test_garbage_is_collected_as_before_once_data_are_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = gc.get_threshold(), list[int]()

    def hardware_of(training: Training, world: World) -> None:
        seen.append(gc.get_threshold()[0])
        raise KexpError("no such device")

    monkeypatch.setattr(flow, "hardware_of", hardware_of)
    path, data = tmp_path / "spec.toml", tmp_path / "reviews.csv"
    data.write_text("text,label\n", encoding="utf-8")
    path.write_text(tiny_spec().format(data=data), encoding="utf-8")
    catalog = load_catalog()
    with pytest.raises(KexpError, match="no such device"):
        flow.dry_run_summary(resolve(path, catalog), catalog, NullDisplay())
    assert seen == [100_000]
    assert gc.get_threshold() == before
