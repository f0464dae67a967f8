"""What runs need before they are trained: data, tokenizers, encoded texts, baselines; equal ones are made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kexp
from kexp.catalog import Catalog
from kexp.contracts import AugmenterContext, AugmenterOptions, Metric, MetricContext, TaskOptions
from kexp.contracts.augmenter import CheckedAugmenter, build_augmenter, build_augmenters
from kexp.contracts.metric import build_metrics
from kexp.contracts.task import NOTHING, Chosen
from kexp.data.encoding import Encoded, frame
from kexp.data.fewer_rows import stratified_rows
from kexp.data.long_texts import TOKENS
from kexp.data.prepare import divided_by, needs_views, prepare_read
from kexp.data.ragged import Ragged
from kexp.data.reading import read_splits
from kexp.data.rows import PreparedData, Rows
from kexp.data.stored_views import StoredViews, ViewMaker, make_views
from kexp.data.texts import CHUNK
from kexp.data.tokenising import TokenCache
from kexp.distributed import ALONE, World
from kexp.doing import doing
from kexp.errors import plugin_call
from kexp.evaluate.baselines import MOST_ROWS, Predict, join_pairs
from kexp.evaluate.predictions import Predictions
from kexp.experiment.data_warnings import data_warnings
from kexp.experiment.hidden_state_store import HiddenStateStore
from kexp.experiment.input_checks import check_batch_tokens, check_data, check_positions
from kexp.experiment.memory_cache import RecentResults
from kexp.experiment.model_check import try_backbone
from kexp.experiment.run_inputs import PretrainingRows, RunInputs, UnlabelledInputs
from kexp.experiment.texts import build_tokenizer, clean, eojeol_of_tokens, train_texts, without_long_tails
from kexp.model_tokenizer import padding_note
from kexp.options import Options, component_title
from kexp.plan.cross_checks import components
from kexp.plan.validate import dump
from kexp.pretraining.masking import mask_token_id
from kexp.pretraining.texts import Gathered, gather, total_steps
from kexp.repeats import Repeat, in_words
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast


@dataclass(slots=True)
class PreparedInputs:
    """Makes the inputs of runs. ``folder`` stores between experiments what is costly to make.

    What runs share stays in memory, up to a limit; what was dropped is made, or read from the folder, again.
    """

    catalog: Catalog
    folder: Path
    progress: Callable[[str], None] = lambda line: None
    world: World = ALONE
    made: RecentResults = field(default_factory=RecentResults)
    hidden_states: HiddenStateStore = field(init=False)

    def __post_init__(self) -> None:
        self.hidden_states = HiddenStateStore(self.folder / "hidden-states", self.progress)

    def data(self, spec: Spec, repeat: Repeat) -> PreparedData:
        """Read, clean and divide the data of a run."""
        data: PreparedData = self.made.get(f"data {self._data_key(spec, repeat)}", lambda: self._prepared(spec, repeat))
        return data

    def _prepared(self, spec: Spec, repeat: Repeat) -> PreparedData:
        of = in_words(divided_by(spec, repeat))
        with doing(f"reading the data{of and f' of {of}'}", self.progress):
            read = read_splits(spec)
        rows = sum(map(len, read.frames.values()))
        with doing(f"cleaning and dividing {rows:,} rows{of and f' of {of}'}", self.progress):
            return prepare_read(read, spec, repeat)

    def row_keys(self, spec: Spec, repeat: Repeat) -> Mapping[str, NDArray[np.uint64]]:
        """Return a number for every row of the data of a run, by split."""
        keys: Mapping[str, NDArray[np.uint64]] = self.made.get(
            f"row keys {self._data_key(spec, repeat)}", lambda: self.data(spec, repeat).row_keys(spec.task)
        )
        return keys

    def inputs(self, spec: Spec, repeat: Repeat) -> RunInputs:
        """Prepare, tokenise and encode the data of a run; raises ``DataError`` or ``SpecError`` before any training."""
        data = self.data(spec, repeat)
        check_data(spec, data)
        key = f"{self._data_key(spec, repeat)} {self._key(spec, 'backbone')}"
        tokenizer = self.made.get(f"tokenizer {key}", lambda: self._tokenizer(spec, data))
        check_positions(spec)
        labels, training = data.labels, spec.training
        used = f"{training.max_length} {training.gradient_checkpointing} {training.precision}"
        model = f"model {self._key(spec, 'backbone')} {used} {labels}"
        self.made.get(model, lambda: self._tried(spec, spec.task.outputs(labels), tokenizer))
        encoded = {split: self._encode(spec, tokenizer, rows, f"{split} {key}") for split, rows in data.splits.items()}
        unlabelled = self._unlabelled(spec, repeat, tokenizer, key) if spec.objective.uses_unlabelled else None
        if unlabelled is not None:
            check_batch_tokens(spec, encoded["train"], unlabelled.rows)
        chosen_by = f"{spec.training.keep} {spec.training.patience}"
        order = f"warnings {self._data_key(spec, repeat)} {self._key(spec, 'sampler')} {chosen_by}"
        warnings = self.made.get(order, lambda: tuple(data_warnings(spec, data)))
        warnings = (*warnings, *filter(None, [padding_note(tokenizer)]))
        views, pretraining = self._labelled_views(spec, repeat), self._pretraining(spec, repeat, tokenizer, key)
        return RunInputs(data, tokenizer, encoded, views, unlabelled, warnings, pretraining)

    def _tokenizer(self, spec: Spec, data: PreparedData) -> PreTrainedTokenizerFast:
        with doing("loading the tokenizer", self.progress):
            return build_tokenizer(spec, data)

    def _tried(self, spec: Spec, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> Any:
        with doing("trying the model", self.progress):
            return try_backbone(spec, labels, tokenizer)

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
            labels=spec.task.groups(data.train.labels).tolist(),
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
            f"baseline {name} {self._data_key(spec, repeat)}",
            lambda: _baseline(self.data(spec, repeat), name, spec.task),
        )
        return predictions

    def metrics(self, spec: Spec, labels: Sequence[str], chosen: Chosen = NOTHING) -> dict[str, Metric]:
        """Build the metrics of a spec by name, for these labels and what was chosen for decisions."""
        context = MetricContext(labels, partial(spec.task.decide, chosen=chosen))
        return build_metrics(spec.evaluation.metrics, context, self.catalog.name_of)

    def _encode(self, spec: Spec, tokenizer: PreTrainedTokenizerFast, rows: Rows, key: str) -> Encoded:
        """Encode the rows that ``key`` names: tokenised once, cut to each maximum length."""

        def tokens(texts: Sequence[str] | None) -> Ragged | None:
            cache = TokenCache(self.folder / "tokens", self.progress)
            if texts is None:
                return None
            return cache.tokenise(
                without_long_tails(spec, tokenizer, clean(spec, texts), rows.pairs), tokenizer, spec.dataset.joint()
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
        if options is None or not options.epochs:
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
            words = self.made.get(key, lambda: eojeol_of_tokens(cut, tokenizer, gathered.rows))
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

    def _unlabelled_texts(self, spec: Spec, repeat: Repeat) -> tuple[Rows, Sequence[Sequence[str]], Mapping[str, int]]:
        rows, augmenter = self.data(spec, repeat).unlabelled, spec.augmentation.unlabelled
        assert rows is not None
        if augmenter is not None and augmenter.costly:
            made = self.augment_rows(spec, repeat, rows, augmenter)
            return rows.take(made.accepted()), made.accepted_texts(), made.rejected()
        return rows, [rows.augmented] if augmenter is None and rows.augmented is not None else [], {}

    def _data_key(self, spec: Spec, repeat: Repeat) -> str:
        own = "".join(f" {name} {number}" for name, number in divided_by(spec, repeat).items())
        views = " views" if needs_views(spec) else ""
        return self._key(spec, "task", "dataset", "cleaning", "split", "labelled") + own + views

    def _key(self, spec: Spec, *sections: str) -> str:
        table = dump(spec, self.catalog)
        return json.dumps([table[name] for name in sections], sort_keys=True, ensure_ascii=False)


def _baseline(data: PreparedData, name: str, task: TaskOptions) -> dict[str, Predictions]:
    import numpy as np

    classes = data.train.labels if task.classes else np.zeros(len(data.train), np.int64)
    rows = stratified_rows(classes, MOST_ROWS.get(name, len(data.train)), seed=0)
    train = data.train if len(rows) == len(data.train) else data.train.take(rows)
    model: Predict = task.fit_baseline(name, _joined(train), train.labels, data.labels, seed=0)
    measured = {split: rows for split, rows in data.splits.items() if split != "train"}
    return {split: Predictions(rows.labels, _predicted(model, rows)) for split, rows in measured.items()}


def _predicted(model: Predict, rows: Rows) -> NDArray[np.float64]:
    """Return the probabilities of all rows, a chunk at a time, since their features take far more than the texts."""
    import numpy as np

    parts = [np.arange(start, min(start + CHUNK, len(rows))) for start in range(0, len(rows), CHUNK)]
    return np.concatenate([model(_joined(rows.take(part))) for part in parts])


def _joined(rows: Rows) -> Sequence[str]:
    return list(rows.texts) if rows.pairs is None else join_pairs(rows.texts, rows.pairs)
