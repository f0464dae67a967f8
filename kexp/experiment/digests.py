"""What the runs of an experiment read, as digests in its folder: a resumed experiment must read the same."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.atomic_files import replacing
from kexp.catalog import Catalog
from kexp.data.prepare import divided_by
from kexp.errors import KexpError
from kexp.experiment.inputs import PreparedInputs
from kexp.experiment.run_inputs import RunInputs
from kexp.plan.resolve import Variant
from kexp.plan.validate import dump
from kexp.pretrained import fingerprint
from kexp.repeats import Repeat, in_words
from kexp.spec.parts import sections_in
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

Json = Mapping[str, Any]
RowKeys = Mapping[str, "NDArray[np.uint64]"]
"""A number per row, by "<runs>/<split>": equal for equal texts with equal labels."""

ROWS = "rows.npz"
"""File beside the digests that holds ``RowKeys``, to say how many rows have changed."""

ELSEWHERE = {
    "device",
    "checkpoint",
    "checkpoint_every_steps",
    "checkpoint_every_minutes",
    "skip_bad_steps",
    "log_every",
    "gradient_checkpointing",
    "deterministic",
}
"""Keys of the training section that may be other ones when a run is resumed, since they change no step before that."""

SECTIONS = ("backbone", "augmentation", "pretraining", "objective", "freezing", "sampler")
"""Sections whose local files take part in training besides the data."""


def digests(runs: Iterable[tuple[Variant, Repeat]], prepared: PreparedInputs) -> tuple[Json, RowKeys]:
    """Return the digests of rows, labels, tokenizer and local files by runs, and a number for every row.

    Runs are named by their variant, and by draw, fold and seed as far as their rows depend on them.
    """
    found: dict[str, Any] = {}
    keys: dict[str, NDArray[np.uint64]] = {}
    for variant, repeat in runs:
        name = runs_name(variant, repeat)
        if name not in found:
            inputs = prepared.inputs(variant.spec, repeat)
            own = prepared.row_keys(variant.spec, repeat)
            found[name] = describe(variant.spec, inputs, own)
            keys |= {f"{name}/{split}": of for split, of in own.items()}
    return found, keys


def runs_name(variant: Variant, repeat: Repeat) -> str:
    """Return the name that the runs have together which read the same rows as this one."""
    return f"{variant.name} {in_words(divided_by(variant.spec, repeat))}".rstrip()


def row_digests(keys: RowKeys) -> dict[str, dict[str, Any]]:
    """Return the number of rows of every split, and a digest of them in their order."""
    return {split: {"rows": len(of), "digest": _digest(of.tobytes())} for split, of in keys.items()}


def describe(spec: Spec, inputs: RunInputs, keys: RowKeys) -> dict[str, Any]:
    """Return the digests of what one run reads."""
    return {
        "rows": row_digests(keys),
        "labels": list(inputs.data.labels),
        "tokenizer": _tokenizer_digest(inputs.tokenizer),
        "files": dict(_local_files(spec)),
    }


def origin(spec: Spec, seed: int, inputs: RunInputs, keys: RowKeys, catalog: Catalog) -> dict[str, str]:
    """Return digests by name of what the weights of a run are made from: what it reads, how it trains, its seed.

    ``keys`` are those of the rows of ``inputs``.
    """
    table = dump(spec, catalog)
    training = {key: value for key, value in table["training"].items() if key not in ELSEWHERE}
    sections = {"training": training} | {name: table[name] for name in SECTIONS if name in table}
    found = {"spec": sections, "seed": seed, **describe(spec, inputs, keys)}
    return {name: _digest(json.dumps(value, sort_keys=True).encode()) for name, value in found.items()}


def spec_digest(table: Json) -> str:
    """Return a digest of a run folder's spec without what may be another one where an experiment goes on.

    That is where the data are, which have digests of their own, the trackers, how many runs train at once, and what
    changes no step.
    """
    tables = {"": {key: of for key, of in table.items() if key != "execution"}, **table.get("variants", {})}
    fixed = {name: {key: _fixed(key, value) for key, value in of.items()} for name, of in tables.items()}
    return _digest(json.dumps(fixed, sort_keys=True, default=str).encode())


def _fixed(key: str, value: Any) -> Any:
    if key == "training" and isinstance(value, dict):
        return {name: item for name, item in value.items() if name not in ELSEWHERE}
    return None if key in ("dataset", "trackers", "variants") else value


def refuse_changes(what: str, before: Json, now: Json, keys: RowKeys, folder: Path, remedy: str) -> None:
    """Raise ``KexpError`` that names everything that has changed since ``before``; ``folder`` may have the row keys."""
    known = _read_row_keys(folder / ROWS, before)
    runs = [name for name in now if name in before]
    if listed := listed_changes({name: before[name] for name in runs}, now, known, keys):
        raise KexpError(f"{what} cannot go on: what it reads has changed since it began; {remedy}{listed}")


def listed_changes(before: Json, now: Json, known: RowKeys, keys: RowKeys) -> str:
    """Return a line for every difference between the digests of runs, with the names of these; "" for none."""
    lines: dict[str, list[str]] = {}
    for name in before:
        for line in _changes(before[name], now[name], *(_of_runs(of, name) for of in (known, keys))):
            lines.setdefault(line, []).append(name)
    return "".join(f"\n  {', '.join(names)}: {line}" for line, names in lines.items())


def _read_row_keys(path: Path, before: Json) -> RowKeys:
    """Return the row keys of a file, without those whose digests are not the ones that were written with them."""
    import numpy as np

    # A pipe would be waited for.
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found = dict(stored)
    # A damaged file fails in as many ways as there are bytes in its headers: the counts are told without it.
    except Exception:  # noqa: BLE001
        return {}
    digests = {f"{name}/{split}": of["digest"] for name, run in before.items() for split, of in run["rows"].items()}
    return {name: keys for name, keys in found.items() if digests.get(name) == _digest(keys.tobytes())}


def write_row_keys(folder: Path, keys: RowKeys) -> None:
    """Write the row keys into a folder, whole or not at all."""
    import numpy as np

    with replacing(folder / ROWS) as part, part.open("wb") as file:
        np.savez_compressed(file, **keys)  # type: ignore[arg-type]


def _changes(before: Json, now: Json, old: RowKeys, new: RowKeys) -> Iterator[str]:
    for split in dict.fromkeys((*before["rows"], *now["rows"])):
        was, found = before["rows"].get(split), now["rows"].get(split)
        if was != found:
            yield f"{split}: {_rows_changed(was, found, old.get(split), new.get(split))}"
    if before["labels"] != now["labels"]:
        yield f"labels: {', '.join(now['labels'])}; they were {', '.join(before['labels'])}"
    if before["tokenizer"] != now["tokenizer"]:
        yield "the tokenizer is another one"
    for place in dict.fromkeys((*before["files"], *now["files"])):
        if before["files"].get(place) != now["files"].get(place):
            yield f"the contents of {place} differ"


def _rows_changed(
    was: Json | None, found: Json | None, old: NDArray[np.uint64] | None, new: NDArray[np.uint64] | None
) -> str:
    if was is None or found is None:
        return f"{0 if found is None else found['rows']:,} rows, {0 if was is None else was['rows']:,} before"
    counts = f"{found['rows']:,} rows, {was['rows']:,} before"
    if old is None or new is None:
        return f"{counts}, with other texts or labels" if was["rows"] == found["rows"] else counts
    before, now = Counter(old.tolist()), Counter(new.tolist())
    added, removed = (now - before).total(), (before - now).total()
    if not added and not removed:
        return f"{counts}, the same in another order"
    return f"{counts}; {added:,} are new or changed, {removed:,} are gone"


def _of_runs(keys: RowKeys, name: str) -> RowKeys:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): of for key, of in keys.items() if key.startswith(prefix)}


def _tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    special = json.dumps({name: str(token) for name, token in sorted(tokenizer.special_tokens_map.items())})
    return _digest((backend.to_str() + special).encode())


def _local_files(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield the place in the spec of every local file and model folder that training reads, and its digest."""
    for name in SECTIONS:
        for place, section in sections_in(name, getattr(spec, name)):
            for option in type(section).model_fields:
                value = getattr(section, option)
                several = value if isinstance(value, tuple) else ()
                named = {option: value, **{f"{option}[{number}]": item for number, item in enumerate(several)}}
                for key, path in named.items():
                    if isinstance(path, Path) and path.is_file():
                        yield f"{place}.{key}", _digest(path.read_bytes())
                    elif isinstance(path, Path) and (path / "config.json").is_file():
                        yield f"{place}.{key}", fingerprint(path)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
