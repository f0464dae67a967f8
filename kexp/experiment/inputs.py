"""What runs need before they are trained: data, tokenizers, encoded texts, baselines; equal ones are made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kexp
from kexp.catalog import Catalog
from kexp.contracts import UNLABELLED, AugmenterContext, AugmenterOptions, Metric, MetricContext, TokenizerContext
from kexp.contracts.augmenter import CheckedAugmenter, build_augmenter, build_augmenters
from kexp.contracts.metric import build_metrics
from kexp.data.encoding import Encoded, Ragged, TokenCache, encode, frame, tokenise, unknown_rows
from kexp.data.long_texts import TOKENS, heads
from kexp.data.prepare import divided_by, needs_views, prepare
from kexp.data.rows import PreparedData, Rows
from kexp.data.stored_views import StoredViews, ViewMaker, make_views
from kexp.errors import Problem, SpecError, plugin_call
from kexp.evaluate.baselines import fit_baseline, join_pairs
from kexp.evaluate.predictions import Predictions
from kexp.experiment.data_warnings import data_warnings
from kexp.experiment.memory_cache import RecentResults
from kexp.experiment.model_check import try_backbone
from kexp.options import Options, component_title, plugin_results
from kexp.plan.cross_checks import components
from kexp.plan.validate import dump
from kexp.pretraining.masking import eojeol, mask_token_id
from kexp.pretraining.texts import Gathered, gather, total_steps
from kexp.repeats import Repeat
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class UnlabelledInputs:
    """The unlabelled rows of a run, encoded; ``views`` are augmented ones that were made before training, if any."""

    rows: Rows
    encoded: Encoded
    views: Sequence[Encoded]
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PretrainingRows:
    """The texts of ``[pretraining]``, encoded, with the eojeol of their tokens if these are masked as a whole.

    ``counts`` are how many texts there were, how many were left out, by reason, and the steps on the others.
    """

    encoded: Encoded
    words: Encoded | None
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunInputs:
    """The data of a run, its tokenizer, every split encoded, and the unlabelled rows if the objective takes them.

    ``labelled_views`` are the augmented texts of the labelled rows, if their augmenter is costly. ``pretraining`` are
    the rows of the stage of that name, if there is one.
    """

    data: PreparedData
    tokenizer: PreTrainedTokenizerFast
    encoded: Mapping[str, Encoded]
    labelled_views: StoredViews | None
    unlabelled: UnlabelledInputs | None
    warnings: Sequence[str] = ()
    pretraining: PretrainingRows | None = None

    def record(self) -> dict[str, Any]:
        """Return the data's record with what encoding adds: lengths in tokens, cut rows, rejected augmentations."""
        import numpy as np

        tokens = {}
        unlabelled = {} if self.unlabelled is None else {UNLABELLED: self.unlabelled.encoded}
        for split, encoded in {**self.encoded, **unlabelled}.items():
            lengths = encoded.tokens.lengths
            median, high, longest = np.percentile(lengths, [50, 95, 100])
            unknown = float(np.mean(encoded.tokens.values == self.tokenizer.unk_token_id))
            tokens[split] = {
                "median": median,
                "95 %": high,
                "longest": longest,
                **_full_lengths(encoded),
                "truncated rows": encoded.truncated,
                "unknown share": round(unknown, 4),
                "unknown rows": unknown_rows(encoded, self.tokenizer),
            }
        record = {**self.data.record, "tokens": tokens}
        if self.unlabelled and self.unlabelled.rejected:
            record["rejected augmentations"] = {"unlabelled": dict(self.unlabelled.rejected)}
        if self.warnings:
            record["warnings"] = [*record.get("warnings", ()), *self.warnings]
        return record


@dataclass(slots=True)
class PreparedInputs:
    """Makes the inputs of runs. ``folder`` stores tokenised texts and costly augmentations between experiments.

    What runs share stays in memory, up to a limit; what was dropped is made, or read from the folder, again.
    """

    catalog: Catalog
    folder: Path
    progress: Callable[[str], None] = lambda line: None
    made: RecentResults = field(default_factory=RecentResults)

    def data(self, spec: Spec, repeat: Repeat) -> PreparedData:
        """Read, clean and divide the data of a run."""
        data: PreparedData = self.made.get(f"data {self._data_key(spec, repeat)}", lambda: prepare(spec, repeat))
        return data

    def inputs(self, spec: Spec, repeat: Repeat) -> RunInputs:
        """Prepare, tokenise and encode the data of a run; raises ``DataError`` or ``SpecError`` before any training."""
        data = self.data(spec, repeat)
        _check(spec, data)
        key = f"{self._data_key(spec, repeat)} {self._key(spec, 'backbone')}"
        tokenizer = self.made.get(f"tokenizer {key}", lambda: _build_tokenizer(spec, data))
        _check_positions(spec)
        labels = data.labels
        model = f"model {self._key(spec, 'backbone')} {spec.training.max_length} {labels}"
        self.made.get(model, lambda: try_backbone(spec, labels, tokenizer))
        encoded = {split: self._encode(spec, tokenizer, rows, f"{split} {key}") for split, rows in data.splits.items()}
        unlabelled = self._unlabelled(spec, repeat, tokenizer, key) if spec.objective.uses_unlabelled else None
        chosen_by = f"{spec.training.keep} {spec.training.patience}"
        order = f"warnings {self._data_key(spec, repeat)} {self._key(spec, 'sampler')} {chosen_by}"
        warnings = self.made.get(order, lambda: tuple(data_warnings(spec, data)))
        views, pretraining = self._labelled_views(spec, repeat), self._pretraining(spec, repeat, tokenizer, key)
        return RunInputs(data, tokenizer, encoded, views, unlabelled, warnings, pretraining)

    def augment_rows(self, spec: Spec, repeat: Repeat, rows: Rows, augmenter: AugmenterOptions) -> StoredViews:
        """Return the views of rows by a costly augmenter: from the folder, or made now and stored there."""
        data = self.data(spec, repeat)
        identity = self._identity(augmenter, self._augmenter_context(spec, data))
        # One seed for all runs: what is costly is shared by them, and seeds then differ in training alone.
        build = partial(self.augmenter, spec, data, augmenter)
        maker = ViewMaker(build, spec.split.seed, self.folder / "augmented", identity, self.progress)
        return make_views(rows, maker, augmenter.views())

    def augmenter(self, spec: Spec, data: PreparedData, options: AugmenterOptions) -> CheckedAugmenter:
        """Build an augmenter of these data."""
        return build_augmenter(options, self._augmenter_context(spec, data))

    def augmenters(self, spec: Spec, data: PreparedData, options: Iterable[AugmenterOptions]) -> list[CheckedAugmenter]:
        """Build several augmenters of these data; where one fails, those before it are closed."""
        return build_augmenters(options, self._augmenter_context(spec, data))

    def _augmenter_context(self, spec: Spec, data: PreparedData) -> AugmenterContext:
        """Let augmenters learn from train alone, never from validation or test."""
        return AugmenterContext(
            texts=train_texts(data),
            labelled=data.train.texts,
            labels=data.train.labels.tolist(),
            store=self.folder / "store",
            device=spec.training.device,
            progress=self.progress,
        )

    def _identity(self, augmenter: AugmenterOptions, context: AugmenterContext) -> str:
        """Name everything that the views of a text depend on besides the text and its random stream."""
        with plugin_call(f"{component_title(augmenter)}, identity()"):
            learnt = augmenter.identity(context)
        used = components([augmenter], self.catalog)
        return json.dumps([kexp.__version__, used, self._options(augmenter), learnt], ensure_ascii=False)

    def _options(self, component: Options) -> dict[str, Any]:
        dumped = component.model_dump(mode="json", context={"catalog": self.catalog}, exclude_none=True)
        return {"use": self.catalog.name_of(type(component)), **dumped}

    def baseline(self, spec: Spec, repeat: Repeat, name: str) -> dict[str, Predictions]:
        """Fit a baseline on train and predict validation and test."""
        predictions: dict[str, Predictions] = self.made.get(
            f"baseline {name} {self._data_key(spec, repeat)}", lambda: _baseline(self.data(spec, repeat), name)
        )
        return predictions

    def metrics(self, spec: Spec, labels: Sequence[str]) -> dict[str, Metric]:
        """Build the metrics of a spec by name, for these labels."""
        return build_metrics(spec.evaluation.metrics, MetricContext(labels), self.catalog.name_of)

    def _encode(self, spec: Spec, tokenizer: PreTrainedTokenizerFast, rows: Rows, key: str) -> Encoded:
        """Encode the rows that ``key`` names: tokenised once, cut to each maximum length."""

        def tokens(texts: Sequence[str] | None) -> Ragged | None:
            cache = TokenCache(self.folder / "tokens", self.progress)
            if texts is None:
                return None
            return cache.tokenise(
                _kept(spec, tokenizer, clean(spec, texts), rows.pairs), tokenizer, spec.dataset.joint()
            )

        def framed() -> Encoded:
            # Looked up only here: tokens that were dropped are not read again for rows that are encoded already.
            length = max(training.max_length, TOKENS)
            first, second = self.made.get(
                f"tokens {key} {length} {training.truncation}", lambda: (tokens(rows.texts), tokens(rows.pairs))
            )
            return frame(first, second, tokenizer, max_length=training.max_length, truncation=training.truncation)

        training = spec.training
        encoded: Encoded = self.made.get(f"encoded {key} {training.max_length} {training.truncation}", framed)
        return encoded

    def _unlabelled(self, spec: Spec, repeat: Repeat, tokenizer: PreTrainedTokenizerFast, key: str) -> UnlabelledInputs:
        """Encode the unlabelled rows, and their views if these came with the data or are costly."""
        augmenter = spec.augmentation.unlabelled
        own = "" if augmenter is None else json.dumps(self._options(augmenter), ensure_ascii=False)
        rows, views, rejected = self.made.get(
            f"unlabelled {self._data_key(spec, repeat)} {own}", lambda: self._unlabelled_texts(spec, repeat)
        )
        encoded = [
            self._encode(spec, tokenizer, replace(rows, texts=texts), f"view {number} {key} {own}")
            for number, texts in enumerate(views)
        ]
        return UnlabelledInputs(rows, self._encode(spec, tokenizer, rows, f"unlabelled {key} {own}"), encoded, rejected)

    def _pretraining(
        self, spec: Spec, repeat: Repeat, tokenizer: PreTrainedTokenizerFast, key: str
    ) -> PretrainingRows | None:
        """Gather and encode the texts of pre-training."""
        options = spec.pretraining
        if options is None:
            return None
        mask_token_id(tokenizer)
        names = json.dumps([*map(str, options.texts), options.text_column], ensure_ascii=False)
        key = f"pretraining {key} {names}"
        gathered: Gathered = self.made.get(
            key, lambda: gather(self.data(spec, repeat), options, clean=spec.backbone.clean, trim=spec.cleaning.trim)
        )
        length = options.max_length or spec.training.max_length
        cut = spec.model_copy(update={"training": spec.training.model_copy(update={"max_length": length})})
        encoded, words = self._encode(cut, tokenizer, gathered.rows, key), None
        if options.whole_word:
            key = f"words {key} {length} {spec.training.truncation}"
            words = self.made.get(key, lambda: _words(cut, tokenizer, gathered.rows))
        steps = total_steps(options, len(encoded))
        return PretrainingRows(encoded, words, {**gathered.counts, "steps": steps})

    def _labelled_views(self, spec: Spec, repeat: Repeat) -> StoredViews | None:
        augmenter = spec.augmentation.labelled
        if augmenter is None or not augmenter.costly:
            return None
        views: StoredViews = self.made.get(
            f"labelled views {self._data_key(spec, repeat)} {json.dumps(self._options(augmenter), ensure_ascii=False)}",
            lambda: self.augment_rows(spec, repeat, self.data(spec, repeat).train, augmenter),
        )
        return views

    def _unlabelled_texts(self, spec: Spec, repeat: Repeat) -> tuple[Rows, list[list[str]], Mapping[str, int]]:
        rows, augmenter = self.data(spec, repeat).unlabelled, spec.augmentation.unlabelled
        assert rows is not None
        if augmenter is not None and augmenter.costly:
            made = self.augment_rows(spec, repeat, rows, augmenter)
            return rows.take(made.accepted()), made.accepted_texts(), made.rejected()
        return rows, [rows.augmented] if augmenter is None and rows.augmented is not None else [], {}

    def _data_key(self, spec: Spec, repeat: Repeat) -> str:
        own = "".join(f" {name} {number}" for name, number in divided_by(spec, repeat).items())
        views = " views" if needs_views(spec) else ""
        return self._key(spec, "dataset", "cleaning", "split", "labelled") + own + views

    def _key(self, spec: Spec, *sections: str) -> str:
        table = dump(spec, self.catalog)
        return json.dumps([table[name] for name in sections], sort_keys=True, ensure_ascii=False)


def _full_lengths(encoded: Encoded) -> dict[str, float]:
    """Return the lengths in tokens before rows were cut, by which to choose ``training.max_length``."""
    import numpy as np

    if encoded.full_lengths is None:
        return {}
    names = ("median before cutting", "95 % before cutting", "longest before cutting")
    return dict(zip(names, np.percentile(encoded.full_lengths, [50, 95, 100]).tolist(), strict=True))


def encode_texts(
    spec: Spec,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
) -> Encoded:
    """Clean texts as the backbone does, tokenise them, and cut them to the spec's length."""
    return encode(
        _kept(spec, tokenizer, clean(spec, texts), pairs),
        None if pairs is None else clean(spec, pairs),
        tokenizer,
        max_length=spec.training.max_length,
        truncation=spec.training.truncation,
        tokenise=partial(tokenise, joint=spec.dataset.joint()),
    )


def _kept(spec: Spec, tokenizer: PreTrainedTokenizerFast, texts: list[str], pairs: Sequence[str] | None) -> list[str]:
    """Cut very long texts to what training keeps of them; of pairs and from the left that is not known beforehand."""
    if pairs is not None or spec.training.truncation == "left":
        return texts
    return heads(texts, tokenizer, max(spec.training.max_length, TOKENS), spec.dataset.joint())


def _words(spec: Spec, tokenizer: PreTrainedTokenizerFast, rows: Rows) -> Encoded:
    """Return the eojeol of every token of rows, in the places of the tokens."""
    return eojeol(
        _kept(spec, tokenizer, clean(spec, rows.texts), rows.pairs),
        None if rows.pairs is None else clean(spec, rows.pairs),
        tokenizer,
        max_length=spec.training.max_length,
        truncation=spec.training.truncation,
        joint=spec.dataset.joint(),
    )


def clean(spec: Spec, texts: Sequence[str]) -> list[str]:
    """Clean texts as the backbone does."""
    return [spec.backbone.clean(text) for text in texts]


def _build_tokenizer(spec: Spec, data: PreparedData) -> PreTrainedTokenizerFast:
    return spec.backbone.build_tokenizer(TokenizerContext(clean(spec, train_texts(data))))


def train_texts(data: PreparedData) -> list[str]:
    """Return all texts of train, labelled or not."""
    return [*data.train.texts, *([] if data.unlabelled is None else data.unlabelled.texts)]


def _check(spec: Spec, data: PreparedData) -> None:
    """Check what only the data show: options that do not fit the labels, unlabelled rows missing or too few."""
    found = plugin_results(spec.objective, "label_problems", str, len(data.labels))
    problems = [Problem("objective", message) for message in found]
    problems += _check_unlabelled(spec, data.unlabelled) if spec.objective.uses_unlabelled else ()
    if problems:
        raise SpecError(spec.name, problems)


def _check_unlabelled(spec: Spec, unlabelled: Rows | None) -> Iterator[Problem]:
    if unlabelled is None or not len(unlabelled):
        message = "needs unlabelled rows, but there are none"
        yield Problem(
            "objective", message, "set labelled.n or labelled.per_class, or use a dataset with an unlabelled split"
        )
        return
    taken = spec.training.batch_size * spec.training.unlabelled_ratio
    if len(unlabelled) < taken:
        message = f"a step takes {taken} unlabelled rows, but there are {len(unlabelled)}"
        yield Problem("training.unlabelled_ratio", message, "lower it, or training.batch_size")
    if needs_views(spec) and unlabelled.augmented is None:
        named = getattr(spec.dataset, "augmented", None)
        if named is not None:
            yield Problem("dataset.augmented", f'no column "{named}" in the rows that are unlabelled', "check its name")
            return
        message = "the objective needs an augmented view of every unlabelled row"
        yield Problem(
            "augmentation.unlabelled", message, "name an augmenter, or a column of the dataset with dataset.augmented"
        )


def _check_positions(spec: Spec) -> None:
    """Repeat the spec's check, since the configuration of a hub model is known only now."""
    positions = spec.backbone.max_positions()
    lengths = {"training.max_length": spec.training.max_length}
    if spec.pretraining is not None and spec.pretraining.max_length is not None:
        lengths["pretraining.max_length"] = spec.pretraining.max_length
    problems = [
        Problem(place, f"{length} is more than the {positions} positions of the backbone", f"use {positions} or fewer")
        for place, length in lengths.items()
        if positions is not None and length > positions
    ]
    if problems:
        raise SpecError(spec.name, problems)


def _baseline(data: PreparedData, name: str) -> dict[str, Predictions]:
    model = fit_baseline(name, _joined(data.train), data.train.labels, len(data.labels), seed=0)
    measured = {split: rows for split, rows in data.splits.items() if split != "train"}
    return {split: Predictions(rows.labels, model(_joined(rows))) for split, rows in measured.items()}


def _joined(rows: Rows) -> Sequence[str]:
    return rows.texts if rows.pairs is None else join_pairs(rows.texts, rows.pairs)
