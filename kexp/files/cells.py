"""What a cell holds as a text or as a label; a list, a table or a fraction is neither."""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.names import has_invisible, plain_name

if TYPE_CHECKING:
    import pyarrow as pa

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_LISTED = re.compile(r"[\[{(].*[\]})]", re.DOTALL)
_TRUTH = {"true": "1", "false": "0"}
_ONE_OF_SEVERAL = '; this task learns one label per row, so choose one; or set [task] use = "multi-label", to learn all'
_KINDS = {"ndarray": "list", "tuple": "list", "dict": "table", "str": "string", "bytes": "byte string"}


@dataclass(frozen=True, slots=True)
class UnreadCell:
    """A cell of a spreadsheet that has no value: ``what`` it holds instead, and as what that is shown."""

    what: str
    shown: str

    def __str__(self) -> str:
        return self.shown


def text_of(value: Any) -> str:
    """Return a string as it is, a whole number as its digits, and a missing value as an empty text.

    Raises ``ValueError`` for anything else, with what it is.
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        return ""
    if (number := _whole(value)) is not None:
        return str(number)
    raise ValueError(f"found {described(value)}, expected a text{_remedy(value, 'text')}")


def label_of(value: Any) -> str:
    """Return a label in NFC without invisible characters; a whole number, or a text like 1.0, becomes its digits.

    A missing label is empty. Raises ``ValueError`` for what is no label, with what it is; a list or table that was
    written as text is one.
    """
    if isinstance(value, str):
        if (held := _listed(value)) is not None:
            raise ValueError(f"found {described(held)}, expected one label{_remedy(held, 'label')}")
        return plain_label(value)
    if is_missing(value):
        return ""
    if type(value).__name__ in ("bool", "bool_"):
        return str(bool(value))
    if (number := _whole(value)) is not None:
        return str(number)
    raise ValueError(f"found {described(value)}, expected one label{_remedy(value, 'label')}")


@lru_cache(10_000)
def plain_label(value: str) -> str:
    """Return a label, or the name of a group, that is text: composed, without what shows nothing, and 1 for 1.0."""
    label = plain_name(value)
    whole = _WHOLE.fullmatch(label)
    if whole is None:
        return label
    return "0" if int(whole[1]) == 0 else whole[1]


@lru_cache(10_000)
def _listed(value: str) -> Any:
    """Return the list or table that a text writes in Python or JSON; None for other texts."""
    if not _LISTED.fullmatch(value.strip()):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            held = read(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(held, list | dict | tuple | set):
            return held
    return None


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: null, or not a number."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return (hasattr(value, "is_integer") or isinstance(value, Decimal)) and math.isnan(value)


def _whole(value: Any) -> int | None:
    if type(value).__name__ in ("bool", "bool_"):
        return None
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else None
    if hasattr(value, "is_integer"):
        return int(value) if value.is_integer() else None
    return int(value) if hasattr(value, "__index__") else None


def described(value: Any) -> str:
    """Return what a value is, and the value, in at most forty characters."""
    kind = type(value).__name__
    shown = str(value)
    if isinstance(value, UnreadCell):
        return f"{value.what} ({shown[:40]}{'...' if len(shown) > 40 else ''})"
    return f"a {_KINDS.get(kind, kind)} ({shown[:40]}{'...' if len(shown) > 40 else ''})"


def _remedy(value: Any, key: str) -> str:
    if isinstance(value, Mapping):
        return f'; name the value in it, for example {key} = "{_first_path(value)}"'
    if isinstance(value, UnreadCell):
        return "; open the file in Excel and save it, or write the value itself"
    if isinstance(value, bytes):
        return "; decode it to a string"
    if hasattr(value, "__len__"):
        return "; join its words to one text" if key == "text" else _ONE_OF_SEVERAL
    if hasattr(value, "is_integer") and key == "label":
        return '; state task = "regression" to learn numbers, or turn them into a few classes'
    return "; write it as a string"


def _first_path(value: Any) -> str:
    path = "COLUMN"
    while isinstance(value, Mapping):
        key = next(iter(value), "KEY")
        path, value = f"{path}.{key}", value.get(key)
    return path


def column_of(
    values: Iterable[Any],
    convert: Callable[[Any], str],
    source: object,
    column: str,
    numbers: Iterable[int] | None = None,
) -> list[str]:
    """Convert the cells of a column; raises ``DataError`` with the column and the number of the row."""
    converted = []
    for row, value in zip(numbers or count(1), values, strict=False):
        try:
            converted.append(convert(value))
        except ValueError as error:
            remedied = str(error).replace("COLUMN", column)
            raise DataError(f"{source}: data row {row}, column {column!r}: {remedied}") from None
    return converted


def listed(values: Sequence[Any] | pa.Array) -> Sequence[Any]:
    """Return cells of a column as Python objects."""
    return values if isinstance(values, Sequence) else values.to_pylist()


def texts_in_arrow(
    values: Sequence[Any] | pa.Array,
    convert: Callable[[Any], str],
    source: object,
    column: str,
    numbers: Sequence[int],
) -> pa.Array:
    """Convert the cells of a column, at the rows ``numbers``, as ``column_of`` does; Arrow arrays by distinct text."""
    import pyarrow as pa

    if isinstance(values, Sequence):
        return pa.array(column_of(values, convert, source, column, numbers), pa.large_string())
    if convert is text_of:
        return values.fill_null("")
    found = values.dictionary_encode()
    try:
        distinct = [convert(value) for value in found.dictionary.to_pylist()]
    except ValueError:
        # The row is named in the message.
        distinct = column_of(values.to_pylist(), convert, source, column, numbers)
    if distinct == found.dictionary.to_pylist():
        return values.fill_null("")
    return pa.array(distinct, pa.large_string()).take(found.indices).fill_null("")


def changed_labels(values: Sequence[Any] | pa.Array) -> Counter[str]:
    """Count the labels that ``label_of`` changes, by what is changed."""
    counts: Counter[str] = Counter()
    for label, rows in _counted(values).items():
        visible = "".join(label.split())
        if has_invisible(label):
            counts["labels without their invisible characters"] += rows
        elif "".join(plain_name(label).split()) != visible:
            counts["labels composed (NFC)"] += rows
    return counts


def _counted(values: Sequence[Any] | pa.Array) -> Mapping[str, int]:
    if isinstance(values, Sequence):
        return Counter(value for value in values if isinstance(value, str))
    found = values.value_counts().to_pylist()
    return {of["values"]: of["counts"] for of in found if isinstance(of["values"], str)}


# --- true and 1 ------------------------------------------------------------------------------------------------------


def same_label(label: str, known: Iterable[str]) -> str:
    """Return the known label that a label is: itself, or true for 1 and false for 0; else the label as it is."""
    known = list(known)
    if label in known:
        return label
    return next((name for name in known if _truth(name) == _truth(label)), label)


def _truth(label: str) -> str:
    return _TRUTH.get(label.lower(), label)


def truth_spelled_once(labels: Iterable[str]) -> dict[str, str]:
    """Return what to replace where truth values are spelled in several ways: by 1 and 0 if these occur."""
    spelled: dict[str, set[str]] = {}
    for label in set(labels):
        spelled.setdefault(_truth(label), set()).add(label)
    several = {value: names for value, names in spelled.items() if value in _TRUTH.values()}
    if all(len(names) < 2 for names in several.values()):
        return {}
    digits = any(name in _TRUTH.values() for names in several.values() for name in names)
    words = {"1": "True", "0": "False"}
    return {name: value if digits else words[value] for value, names in several.items() for name in names}
