"""From a resolved spec to a live experiment, in written order; what runs share is made once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.baselines import fit_baseline, join_pairs
from kexp.catalog import Catalog
from kexp.contracts import Forward, HostBatch, Metric, Objective, ObjectiveContext
from kexp.data.batching import by_length, collate
from kexp.data.encoding import Encoded, TokenCache, Tokenise, encode, tokenise
from kexp.data.prepare import prepare
from kexp.data.rows import PreparedData, Rows
from kexp.data.stream import Augmented, LabelledStream
from kexp.errors import KexpError, Problem, SpecError
from kexp.evaluate import Predictions, predict
from kexp.resolve import dump
from kexp.seeds import derive
from kexp.spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Materials:
    """The data of a run, its tokenizer, and every split encoded."""

    data: PreparedData
    tokenizer: PreTrainedTokenizerFast
    encoded: Mapping[str, Encoded]

    def record(self) -> dict[str, Any]:
        """Return the record of the data with what encoding adds: lengths in tokens and rows that were cut."""
        import numpy as np

        tokens = {}
        for split, encoded in self.encoded.items():
            lengths = encoded.tokens.lengths
            median, high, longest = np.percentile(lengths, [50, 95, 100])
            unknown = float(np.mean(encoded.tokens.values == self.tokenizer.unk_token_id))
            tokens[split] = {
                "median": median,
                "95 %": high,
                "longest": longest,
                "truncated rows": encoded.truncated,
                "unknown share": round(unknown, 4),
            }
        return {**self.data.record, "tokens": tokens}


@dataclass(slots=True)
class Workshop:
    """Makes the materials of runs; equal data, tokenizers and encodings are made once and shared."""

    catalog: Catalog
    cache: TokenCache
    made: dict[str, Any] = field(default_factory=dict)

    def data(self, spec: Spec, seed: int) -> PreparedData:
        """Read, clean and divide the data of a run."""
        data: PreparedData = self._once(f"data {self._data_key(spec, seed)}", lambda: prepare(spec, seed))
        return data

    def materials(self, spec: Spec, seed: int) -> Materials:
        """Prepare, tokenise and encode the data of a run; raises ``DataError`` or ``SpecError`` before any training."""
        data = self.data(spec, seed)
        self._check_labels(spec, data)
        key = f"{self._data_key(spec, seed)} {self._key(spec, 'backbone')}"
        tokenizer = self._once(
            f"tokenizer {key}", lambda: spec.backbone.build_tokenizer(_clean(spec, data.train.texts))
        )
        self._check_positions(spec)
        encoded: dict[str, Encoded] = self._once(
            f"encoded {key} {spec.training.max_length} {spec.training.truncation}",
            lambda: {
                split: encode_texts(spec, tokenizer, rows.texts, rows.pairs, self.cache.tokenise)
                for split, rows in data.splits.items()
            },
        )
        return Materials(data, tokenizer, encoded)

    def baseline(self, spec: Spec, seed: int, name: str) -> dict[str, Predictions]:
        """Fit a baseline on train and predict validation and test."""
        predictions: dict[str, Predictions] = self._once(
            f"baseline {name} {self._data_key(spec, seed)}", lambda: _baseline(self.data(spec, seed), name)
        )
        return predictions

    def metrics(self, spec: Spec) -> dict[str, Metric]:
        """Build the metrics of a spec by name."""
        return {self.catalog.name_of(type(options)): options.build() for options in spec.evaluation.metrics}

    def _data_key(self, spec: Spec, seed: int) -> str:
        own = f" {seed}" if spec.split.resplit else ""
        return self._key(spec, "dataset", "cleaning", "split", "labelled") + own

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def _key(self, spec: Spec, *sections: str) -> str:
        table = dump(spec, self.catalog)
        return json.dumps([table[name] for name in sections], sort_keys=True, ensure_ascii=False)

    def _check_labels(self, spec: Spec, data: PreparedData) -> None:
        problems = [Problem("objective", message) for message in spec.objective.check_labels(len(data.labels))]
        if problems:
            raise SpecError(spec.name, problems)

    def _check_positions(self, spec: Spec) -> None:
        """Repeat the spec's check, since the configuration of a hub model is known only now."""
        positions, wanted = spec.backbone.max_positions(), spec.training.max_length
        if positions is not None and wanted > positions:
            message = f"{wanted} is more than the {positions} positions of the backbone"
            raise SpecError(spec.name, [Problem("training.max_length", message, f"use {positions} or fewer")])


def _baseline(data: PreparedData, name: str) -> dict[str, Predictions]:
    train = data.train
    model = fit_baseline(name, _joined(train), train.labels, len(data.labels), seed=0)
    return {
        split: Predictions(rows.labels, model(_joined(rows)))
        for split, rows in data.splits.items()
        if rows is not train
    }


def _joined(rows: Rows) -> Sequence[str]:
    return rows.texts if rows.pairs is None else join_pairs(rows.texts, rows.pairs)


def encode_texts(
    spec: Spec,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    tokenise: Tokenise,
) -> Encoded:
    """Clean texts as the backbone wants them, tokenise them, and cut them to the spec's length."""
    return encode(
        _clean(spec, texts),
        None if pairs is None else _clean(spec, pairs),
        tokenizer,
        max_length=spec.training.max_length,
        truncation=spec.training.truncation,
        tokenise=tokenise,
    )


def _clean(spec: Spec, texts: Sequence[str]) -> list[str]:
    return [spec.backbone.clean(text) for text in texts]


@dataclass(slots=True)
class Experiment:
    """Everything that one run needs, built."""

    spec: Spec
    seed: int
    materials: Materials
    model: PreTrainedModel
    objective: Objective
    metrics: Mapping[str, Metric]
    greater_is_better: bool
    stream: LabelledStream
    token_types: bool

    def evaluate(self, split: str, forward: Forward) -> Predictions:
        """Predict a split."""
        rows, encoded = self.materials.data.splits[split], self.materials.encoded[split]
        shape = (len(rows), len(self.materials.data.labels))
        return predict(self.model, forward, self._batches(rows, encoded), shape, self.model.device)

    def _batches(self, rows: Rows, encoded: Encoded) -> Iterator[tuple[NDArray[np.int64], HostBatch]]:
        lengths = encoded.tokens.lengths
        for numbers in by_length(lengths, self.spec.evaluation.batch_size):
            inputs = collate(encoded, numbers, pad_id=self.stream.pad_id, token_types=self.token_types)
            yield numbers, HostBatch(inputs, rows.labels[numbers], int(lengths[numbers].sum()))


def assemble(spec: Spec, seed: int, workshop: Workshop) -> Experiment:
    """Build model, objective, metrics and stream for one seed."""
    import torch

    materials = workshop.materials(spec, seed)
    data, tokenizer = materials.data, materials.tokenizer
    torch.manual_seed(derive(seed, "weights"))
    model = spec.backbone.build(data.labels, tokenizer)
    token_types = takes_token_types(model)
    objective = spec.objective.build(ObjectiveContext(data.class_counts()))
    metrics = workshop.metrics(spec)
    monitored = spec.evaluation.metrics[list(metrics).index(spec.training.monitor)]
    stream = LabelledStream(
        rows=data.train,
        encoded=materials.encoded["train"],
        sampler=spec.sampler,
        seed=seed,
        batch_size=spec.training.batch_size,
        accumulation=spec.training.gradient_accumulation,
        bucketing=spec.training.length_bucketing,
        keep_order=spec.sampler.keeps_order,
        pad_id=_pad_id(tokenizer),
        token_types=token_types,
        augmented=_augmented(spec, tokenizer),
    )
    return Experiment(
        spec, seed, materials, model, objective, metrics, monitored.greater_is_better, stream, token_types
    )


def _augmented(spec: Spec, tokenizer: PreTrainedTokenizerFast) -> Augmented | None:
    options = spec.augmentation
    if options.labelled is None:
        return None
    return Augmented(
        options.labelled.build(),
        options.probability,
        # Not through the cache on disk: every epoch's texts are new.
        lambda texts, pairs: encode_texts(spec, tokenizer, texts, pairs, tokenise),
    )


def _pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    pad_id = tokenizer.pad_token_id
    if not isinstance(pad_id, int):
        raise KexpError("the backbone's tokenizer has no padding token")
    return pad_id


def takes_token_types(model: PreTrainedModel) -> bool:
    """Tell whether the model distinguishes the two texts of a pair; some take the argument but know one type only."""
    return (
        getattr(model.config, "type_vocab_size", 0) > 1
        and "token_type_ids" in inspect.signature(model.forward).parameters
    )


def cache_folder() -> Path:
    """Return the folder of tokenised texts: ``KEXP_CACHE_DIR``, or the platform's cache folder."""
    import os

    from platformdirs import user_cache_path

    return Path(os.environ.get("KEXP_CACHE_DIR") or user_cache_path("kexp")) / "tokens"
