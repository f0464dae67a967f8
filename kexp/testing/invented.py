"""Strategies of hypothesis for input that nobody meant: odd values, changed tables, damaged files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from kexp.testing.fixtures import ODD_TEXTS, any_text

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

ODD_STRINGS: Sequence[str] = (
    *ODD_TEXTS[:-2], "-", ".", "..", "/", "../..", "~", "~nobody/x", "/dev/zero", "CON", "summary.json", "a" * 300,
    "가" * 300, "x/" * 200, "\x00", "a\x00b", "-1", "1e999", "true", "none", "inf", "*", "***", "**********", "[]",
    "{}", "a=b", "a.b.c", "use", "http://u:***@h", "https://u:p@h/f.csv", "sqlite://", "grpc://", "%s{}{0}", "$HOME",
    "\\", '"', "\ud7ff",
)  # fmt: skip
"""Strings that are odd as a name, a path, an address, a number or a place in a spec."""

ODD_NUMBERS: Sequence[int | float] = (
    0, -1, 1, 2, 3, 2**31, 2**63 - 1, -(2**63), 0.0, -0.0, 0.5, 1.0, -1e-300, 1e-300, 1e300, 1e308,
    float("inf"), float("-inf"), float("nan"),
)  # fmt: skip


def odd_values() -> SearchStrategy[Any]:
    """Return a strategy for what TOML or JSON may hold: every type, at and beyond its bounds, and nested."""
    moments = st.sampled_from([date(1979, 5, 27), datetime(1979, 5, 27, 7, 32), time(7, 32)])
    plain = st.one_of(
        st.sampled_from(ODD_STRINGS),
        any_text(),
        st.sampled_from(ODD_NUMBERS),
        st.booleans(),
        st.integers(-9, 9),
        moments,
    )
    return st.recursive(
        plain,
        lambda below: st.one_of(
            st.lists(below, max_size=3), st.dictionaries(st.one_of(st.just("use"), any_text()), below, max_size=3)
        ),
        max_leaves=6,
    )


@st.composite
def changed_tables(draw: st.DrawFn, tables: Sequence[Mapping[str, Any]], changes: int = 3) -> dict[str, Any]:
    """Return one of some tables with up to ``changes`` keys at any depth set oddly, added, renamed or removed."""
    table: dict[str, Any] = _copied(draw(st.sampled_from(tables)))
    for _ in range(draw(st.integers(1, changes))):
        holder = draw(st.sampled_from(_holders(table)))
        keys = list(holder)
        what = draw(st.sampled_from(["set", "set", "add", "rename", "remove"] if keys else ["add"]))
        key = draw(st.sampled_from(keys)) if keys else ""
        if what == "set":
            holder[key] = draw(odd_values())
        elif what == "add":
            holder[draw(st.one_of(st.sampled_from(ODD_STRINGS), any_text()))] = draw(odd_values())
        elif what == "rename":
            holder[draw(st.one_of(st.just(f"{key}s"), st.just(key.upper()), any_text()))] = holder.pop(key)
        else:
            del holder[key]
    return table


@st.composite
def damaged_bytes(draw: st.DrawFn, contents: Sequence[bytes]) -> bytes:
    """Return one of some contents cut off, with changed, added, repeated or encoded otherwise bytes."""
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        end = draw(st.integers(place, len(content)))
        what = draw(st.sampled_from(["cut", "change", "insert", "repeat", "encode"]))
        if what == "cut":
            content = content[:place]
        elif what == "change":
            content = content[:place] + draw(st.binary(min_size=1, max_size=8)) + content[place + 1 :]
        elif what == "insert":
            odd = st.one_of(st.binary(max_size=8), st.sampled_from(ODD_STRINGS).map(lambda text: text.encode()))
            content = content[:place] + draw(odd) + content[place:]
        elif what == "repeat":
            content = content[:end] + content[place:end] * draw(st.integers(1, 50)) + content[end:]
        else:
            encoding = draw(st.sampled_from(["utf-16", "cp949", "utf-8-sig", "utf-32"]))
            content = content.decode("utf-8", "replace").encode(encoding, "replace")
    return content


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return list(map(_copied, value)) if isinstance(value, list | tuple) else value


def _holders(value: Any) -> list[dict[str, Any]]:
    """Return a table and every table in it."""
    if isinstance(value, dict):
        return [value, *(holder for item in value.values() for holder in _holders(item))]
    return [holder for item in value for holder in _holders(item)] if isinstance(value, list) else []
