"""From the splits of a dataset to prepared data: clean, divide, choose the labelled rows, number the labels."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kexp.contracts import SPLITS, UNLABELLED, DatasetContext, DatasetOptions, TaskOptions
from kexp.data.cleaning import (
    Counts,
    cap_classes,
    clean,
    clean_unlabelled,
    drop_empty,
    drop_in_file,
    drop_labelled,
    drop_lengths,
    drop_overlap,
    drop_without_view,
    length_bounds,
    lengths,
    need_rows,
    without_unlabelled,
)
from kexp.data.fewer_rows import choose_labelled, limit_label_sets, limit_labelled_rows, limit_pool, limit_rows
from kexp.data.freed_memory import give_back
from kexp.data.reading import ReadData, read_splits
from kexp.data.row_tables import texts_of, with_texts, without_texts
from kexp.data.rows import PreparedData, Rows
from kexp.data.seed_words import label_by_words, need_known
from kexp.data.splits import divide
from kexp.data.texts import Texts
from kexp.errors import DataError
from kexp.names import alike, with_code_points
from kexp.repeats import Repeat
from kexp.seeds import derive

if TYPE_CHECKING:
    import pandas as pd

    from kexp.spec.sections import Spec


FEW = 0.5
"""Share of the rows that were read below which those that are used are copied, so that the others take no memory."""


def divided_by(spec: Spec, repeat: Repeat) -> dict[str, int]:
    """Return what the rows of a run depend on besides its spec: the draw, the fold, the seed with ``split.resplit``."""
    return {name: number for name, number in repeat.keys().items() if name != "seed" or spec.split.resplit}


def prepare(spec: Spec, repeat: Repeat) -> PreparedData:
    """Prepare the data of a run, which depend on its seed only where the spec says ``split.resplit``.

    Raises ``DataError`` for data that cannot be used, with the split, the label and the remedy.
    """
    return prepare_read(read_splits(spec), spec, repeat)


def prepare_read(read: ReadData, spec: Spec, repeat: Repeat) -> PreparedData:
    """Prepare the data of a run once they are read, as ``prepare`` does; the texts of ``read`` are taken out of it."""
    seed = derive(repeat.seed if spec.split.resplit else spec.split.seed, "split") % 2**32
    frames, names, context = dict(read.frames), read.names, read.context
    counts: dict[str, Counts] = {split: {"read": len(frame)} for split, frame in frames.items()}
    if spec.split.validation == 0 and (unused := frames.pop("validation", None)) is not None:
        counts["validation"] |= {"not_used": len(unused), "kept": 0}
    frames, texts = without_texts(frames, spec.cleaning.trim)
    frames, bounds = _clean(frames, spec, counts)
    give_back()
    brought = set(frames)
    if spec.labelled.pool_from == "whole-file" and UNLABELLED in frames:
        frames["train"] = drop_in_file(frames["train"], frames[UNLABELLED], counts["train"])
        need_rows(frames["train"], "train", counts["train"])
    frames = divide(frames, spec.split, seed, counts["train"], repeat.fold or 1, spec.task.strata)
    if not frames.keys() & {"validation", "test"}:
        remedy = "set split.test, or split.validation, or use a dataset with a test split"
        raise DataError(f"split: neither validation nor test has rows, so nothing would be measured; {remedy}")
    for split in (split for split in SPLITS if split in frames):
        counts.setdefault(split, {})
    if spec.cleaning.by_split:
        for split in ({*frames} - brought | {"train"}) & {*spec.cleaning.splits}:
            frames[split] = drop_lengths(frames[split], spec.cleaning, bounds, counts[split], [split])
            need_rows(frames[split], split, counts[split])
    if spec.cleaning.overlap == "drop" and "train" in spec.cleaning.splits:
        others = [frames[split] for split in ("validation", "test") if split in frames]
        for split in frames.keys() & {"train", UNLABELLED}:
            frames[split] = drop_overlap(frames[split], others, counts[split])
    need_rows(frames["train"], "train", counts["train"])
    frames["train"] = cap_classes(frames["train"], spec.cleaning, seed, counts["train"])
    for split, frame in frames.items():
        frames[split] = _limited(frame, split, spec, seed)
        counts[split]["over_limit"] = len(frame) - len(frames[split])
    context.warnings.extend(_idle_limits(spec.dataset, frames))
    if spec.labelled.chosen or UNLABELLED in frames or spec.labelled.pool_from != "all":
        _separate_unlabelled(frames, spec, seed, repeat.draw or 1, counts)
    by_words = _use_seed_words(frames, texts, spec, counts, context) if spec.labelled.words else {}
    labels = _label_names(frames, names, spec.task)
    left_out = getattr(spec.dataset, "leave_out", ())
    untaught = {*spec.task.unknown(names or (), labels)} - {*left_out}
    if absent := [name for name in names or () if name in untaught]:
        context.warnings.append(f"no train row has the label {', '.join(absent)}: the model does not learn it")
    record = _record(frames, counts, spec.task)
    rows = _rows(frames, texts, labels, spec.task)
    give_back()
    unlabelled = rows.pop(UNLABELLED, None)
    of = {"dataset": found} if (found := spec.dataset.provenance()) else {}
    return PreparedData(labels, rows, unlabelled, of | _source(context) | record | by_words)


def _separate_unlabelled(
    frames: dict[str, pd.DataFrame], spec: Spec, seed: int, draw: int, counts: dict[str, Counts]
) -> None:
    """Leave the labelled rows of a draw in train and gather the unlabelled ones; no text is among both."""
    pool, first = spec.labelled.pool, None
    if draw > 1 and pool is not None:
        _, first = _drawn(frames, spec, seed, 1, copy.deepcopy(counts))
    frames["train"], joined = _drawn(frames, spec, seed, draw, counts)
    frames[UNLABELLED] = limit_pool(joined, pool, seed, joined if first is None else first)
    counts[UNLABELLED]["over_pool_limit"] = len(joined) - len(frames[UNLABELLED])


def _drawn(
    frames: Mapping[str, pd.DataFrame], spec: Spec, seed: int, draw: int, counts: dict[str, Counts]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the labelled rows of a draw, and all unlabelled ones. The first draw is that of a spec with one alone."""
    import pandas as pd

    options, sources, train = spec.labelled, [], frames["train"]
    if options.chosen:
        own = seed if draw == 1 else derive(seed, "labelled rows", draw) % 2**32
        try:
            train, others = choose_labelled(train, options, own, spec.task.strata)
        except DataError as error:
            if gone := counts["train"]["over_limit"]:
                raise DataError(f"{error}; or raise dataset.limit, which left {gone:,} out") from None
            raise
        counts["train"]["unlabelled" if options.pool_from == "all" else "not_among_the_labelled"] = len(others)
        sources += [others] if options.pool_from == "all" else []
    if UNLABELLED in frames:
        # With two sources their numbers must stay distinct, since they name random streams.
        sources.append(frames[UNLABELLED].assign(number=lambda f: -1 - f["number"]) if sources else frames[UNLABELLED])
    if not sources:
        message = f'labelled.pool_from: "{options.pool_from}", but the dataset has no unlabelled split'
        raise DataError(f"{message}; add one, or remove it")
    counted = counts.setdefault(UNLABELLED, {})
    joined = drop_labelled(pd.concat(sources).reset_index(drop=True), train, counted)
    if "augmented" in joined:
        # One of the two sources need not have the column.
        joined = joined.assign(augmented=joined["augmented"] == True)  # noqa: E712
        if len(joined) and needs_views(spec):
            joined = drop_without_view(joined, counted)
    return train, joined


def _use_seed_words(
    frames: dict[str, pd.DataFrame],
    texts: Mapping[str, Texts],
    spec: Spec,
    counts: dict[str, Counts],
    context: DatasetContext,
) -> dict[str, Any]:
    """Move the unlabelled rows that seed words give a label to train; return how many they are and how right."""
    import pandas as pd

    options, train, rows = spec.labelled, frames["train"], frames[UNLABELLED]
    labels = sorted(set(train["label"]))
    need_known(options.seed_words, labels)
    found, others = label_by_words(with_texts(rows, texts), options.words)
    found, frames[UNLABELLED] = found[rows.columns], others[rows.columns]
    counts["train"]["added_by_seed_words"] = counts[UNLABELLED]["labelled_by_seed_words"] = len(found)
    # Numbers name random streams: those of rows of a file alone may be those of labelled rows.
    added = found if options.chosen and options.pool_from == "all" else found.assign(number=-1 - found["number"])
    # Train need not have the column of augmented views, and labelled rows have no use for it.
    frames["train"] = pd.concat([train, added.reindex(columns=train.columns)]).reset_index(drop=True)
    if absent := [label for label in spec.labelled.words if label not in set(found["label"])]:
        context.warnings.append(f"labelled.seed_words: no unlabelled row holds words of {', '.join(absent)} alone")
    record: dict[str, Any] = {"labels": found["label"].value_counts().sort_index().to_dict()}
    hidden = rows["label"].loc[found.index]
    known = hidden.isin(labels)
    if spec.evaluation.oracle and known.any():
        record["oracle_accuracy"] = float((found["label"] == hidden)[known].mean())
    return {"seed_words": record}


def needs_views(spec: Spec) -> bool:
    """Return whether every unlabelled row needs an augmented view that comes with the data."""
    return spec.objective.uses_unlabelled and spec.objective.uses_augmented and spec.augmentation.unlabelled is None


def _clean(
    frames: dict[str, pd.DataFrame], spec: Spec, counts: dict[str, Counts]
) -> tuple[dict[str, pd.DataFrame], tuple[float, float]]:
    """Return the cleaned splits, and the shortest and longest length that the percentiles of train allow.

    From train, out of which other splits may be taken, goes only what none of them may have.
    """
    cleaned = {
        split: drop_empty(frame, counts[split])
        for split, frame in without_unlabelled(frames, spec.cleaning, counts).items()
    }
    need_rows(cleaned["train"], "train", counts["train"])
    bounds = length_bounds(cleaned["train"], spec.cleaning)
    taken = [split for split in SPLITS if split not in frames]
    for split, frame in cleaned.items():
        if split == UNLABELLED:
            cleaned[split] = clean_unlabelled(frame, spec.cleaning, bounds, counts[split])
        elif split in spec.cleaning.splits:
            splits = ["train", *taken] if split == "train" else [split]
            cleaned[split] = clean(frame, spec.cleaning, bounds, counts[split], splits)
        need_rows(cleaned[split], split, counts[split])
    spec.task.need_variety(set(cleaned["train"]["label"].unique()))
    return cleaned, bounds


def _limited(frame: pd.DataFrame, split: str, spec: Spec, seed: int) -> pd.DataFrame:
    """Return the rows of a split that its limit keeps, among them one of every label where that is possible."""
    limit = _limit(spec.dataset, split)
    if spec.task.classes:
        return limit_labelled_rows(frame, split, limit, seed)
    if spec.task.several:
        return limit_label_sets(frame, split, limit, seed, spec.task.strata)
    return limit_rows(frame, limit, seed)


def _limit(dataset: DatasetOptions, split: str) -> int | None:
    if isinstance(dataset.limit, Mapping):
        limits: Mapping[str, int] = dataset.limit  # type: ignore[assignment]
        return limits.get(split)
    return dataset.limit


def _idle_limits(dataset: DatasetOptions, frames: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Yield the limits of splits that there are not."""
    for split in dataset.limit if isinstance(dataset.limit, Mapping) else ():
        if split not in frames:
            remedy = "; labelled.pool limits the unlabelled rows of train" if split == UNLABELLED else ""
            yield f"dataset.limit.{split}: there is no {split} split, and nothing was limited{remedy}"


def _label_names(frames: Mapping[str, pd.DataFrame], names: Sequence[str] | None, task: TaskOptions) -> tuple[str, ...]:
    """Return the names of what the train rows teach; raises ``DataError`` where other splits have labels beside."""
    present = set(frames["train"]["label"].unique())
    task.need_variety(present)
    found = task.names(present, names)
    for split in (split for split in ("validation", "test") if split in frames):
        others = task.unknown(set(frames[split]["label"].unique()), found)
        if others:
            count = int(frames[split]["label"].isin(others).sum())
            rows = f"{count} row{'s' if count > 1 else ''}"
            listed = ", ".join(f'"{label}"' for label in others[:5])
            where = f"is in {rows} of the {split} split but not in train"
            near = [label for group in alike([*present, *others]) if set(group) & set(others) for label in group]
            differ = f" (these differ: {' and '.join(map(with_code_points, near))})" if near else ""
            remedy = "add train rows with it, or remove these rows"
            raise DataError(f"dataset: label {listed} {where}{differ}; {remedy}")
    return found


def _rows(
    frames: Mapping[str, pd.DataFrame], texts: Mapping[str, Texts], labels: Sequence[str], task: TaskOptions
) -> dict[str, Rows]:
    """Return the rows of all splits; where they are few of those that were read, the texts of the others are let go."""
    few = sum(map(len, frames.values())) < FEW * len(texts["text"])

    def column(frame: pd.DataFrame, name: str) -> Texts | None:
        found = texts_of(frame, texts, name)
        return found.copied() if found is not None and few else found

    rows = {}
    for split, frame in frames.items():
        targets = task.encode(frame["label"], labels)
        first = column(frame, "text")
        assert first is not None
        numbers = frame["number"].to_numpy("int64")
        rows[split] = Rows(first, column(frame, "text_pair"), targets, numbers, column(frame, "augmented"))
    return rows


def _source(context: DatasetContext) -> dict[str, Any]:
    """Return what the dataset counted and warned of while it was read."""
    read = {split: dict(counts) for split, counts in context.read.items() if counts}
    source = {**({"read": dict(context.counts)} if context.counts else {}), **({"files": read} if read else {})}
    return {**({"source": source} if source else {}), **({"warnings": context.warnings} if context.warnings else {})}


def _record(frames: Mapping[str, pd.DataFrame], counts: dict[str, Counts], task: TaskOptions) -> dict[str, Any]:
    for split, frame in frames.items():
        counts[split]["kept"] = len(frame)
    splits = [split for split in SPLITS if split in frames]
    return {
        "splits": counts,
        "labels": task.tally({split: frames[split]["label"].value_counts().to_dict() for split in splits}),
        "characters": {split: lengths(frames[split]).describe().round(1).to_dict() for split in splits},
    }
