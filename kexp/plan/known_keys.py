"""What an unknown key may have meant: a key of another section, a word of another tool, a slip of the keyboard."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from kexp.catalog import Catalog, Entry
from kexp.errors import did_you_mean
from kexp.nested import find
from kexp.options import Component, Section, section_in
from kexp.plan.other_tools import command_line_hint, key_hint, metric_key_hint
from kexp.spec.sections import Spec

PREFERRED = ("training", "dataset", "backbone", "objective")
"""Sections that are named first where several have a key; the others come in their order in a spec."""
NEAR = 0.8
"""Least likeness of a key of another section to a misspelled word."""
MOST_NAMED = 3
"""Components that a hint names."""


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """The keys of a spec by the dotted path of their section, with the options of the components that it names.

    ``stated`` are the sections that the spec has, or that have defaults; ``entries`` the components that fit its task.
    """

    sections: Mapping[str, Sequence[str]]
    stated: frozenset[str]
    entries: Sequence[Entry]

    @classmethod
    def of(cls, table: Mapping[str, Any], catalog: Catalog) -> KnownKeys:
        """Return the keys for a spec as a table, which need not be valid."""
        found = {"": tuple(Spec.model_fields)} | dict(_sections(Spec, "", table, catalog))
        order = ["", *dict.fromkeys((*PREFERRED, *Spec.model_fields))]
        sections = dict(sorted(found.items(), key=lambda item: order.index(item[0].partition(".")[0])))
        absent = {
            path
            for path in sections
            if (field := Spec.model_fields.get(path.partition(".")[0])) is not None
            and field.default is None
            and find(table, path) is None
        }
        return cls(sections, frozenset(sections.keys() - absent), _fitting(table, catalog))

    def hint(self, word: str, section: str, own: Sequence[str]) -> str:
        """Return what to write instead of an unknown key of a section whose keys are ``own``."""
        plain = word.lower().replace("-", "_")
        if known := key_hint(plain, section, own) or metric_key_hint(plain) or command_line_hint(plain):
            return known
        slip = did_you_mean(word, own)
        if section and plain in self.sections[""] and plain not in self.sections and not _is_component(plain):
            near = f', or did you mean "{one[0]}"?' if (one := difflib.get_close_matches(plain, own, 1, NEAR)) else ""
            return f"use {plain}, which stands above all tables{near}"
        is_near = slip.startswith("did you mean")
        # A key that is nearly one of its section is rather a slip than the name of a whole section.
        sections = {path: keys for path, keys in self.sections.items() if path or not is_near}
        if places := self._places(plain, sections):
            return f"use {_either(places)}"
        if near := _nearest(plain, [key for keys in sections.values() for key in keys], own):
            return f"did you mean {_either(self._places(near, sections))}?"
        return slip if is_near else self._other_components(plain) or slip or "it has none"

    def component_hint(self, word: str, section: str, own: Sequence[str], kind: str) -> str:
        """Return what to write instead of an unknown option of a component of a kind."""
        having: dict[str, list[str]] = {}
        for entry in (entry for entry in self.entries if entry.kind == kind):
            for option in entry.options.model_fields:
                having.setdefault(option, []).append(f'"{entry.name}"')
        near = _nearest(word, list(having), own)
        if not near or (near != word and key_hint(word, section, own)):
            return self.hint(word, section, own)
        others = f"{kind} {_either(having[near][:MOST_NAMED])}"
        return f"it is an option of {others}" if near == word else f'did you mean "{near}" of {others}?'

    def _places(self, word: str, sections: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the dotted paths of the keys of this name: those in sections that the spec has, or else the others."""
        having = [path for path, keys in sections.items() if word in keys]
        stated = [path for path in having if path in self.stated]
        return [f"{path}.{word}" if path else word for path in stated or having]

    def _other_components(self, word: str) -> str:
        """Return a hint at components that are not used here and have an option of this name, if these are few."""
        having = [f'{one.kind} "{one.name}"' for one in self.entries if word in one.options.model_fields]
        return f"it is an option of {_either(having)}" if 0 < len(having) <= MOST_NAMED else ""


def _fitting(table: Mapping[str, Any], catalog: Catalog) -> list[Entry]:
    """Return the components that are defined for the task of a spec, those of other kinds among them."""
    stated = find(table, "task.use") or table.get("task") or Spec.model_fields["task"].default
    tasks = catalog.registered.get(("task", stated), []) if isinstance(stated, str) else []
    fits = {target for task in tasks for target in (task.options.trained_as, *task.options.measured_as)}  # type: ignore[attr-defined]
    return [entry for entry in catalog.entries() if not fits or fits & {*getattr(entry.options, "targets", fits)}]


def _nearest(word: str, others: Sequence[str], own: Sequence[str]) -> str:
    """Return the key of another section that is more like a misspelled word than every own key; empty without one."""
    near = difflib.get_close_matches(word, others, n=1, cutoff=NEAR)
    nearer = near and _likeness(word, near[0]) > max((_likeness(word, key) for key in own), default=0)
    return near[0] if nearer else ""


def _sections(section: type[Section], path: str, table: Any, catalog: Catalog) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the paths of the sections and components in a section, with their keys."""
    for name, field in section.model_fields.items():
        place = f"{path}.{name}" if path else name
        value = table.get(name) if isinstance(table, Mapping) else None
        kind = next((one.kind for one in _metadata(field) if isinstance(one, Component)), None)
        if kind is not None:
            used = find({"part": value}, "part.use") or field.default
            entries = catalog.registered.get((kind, used), []) if isinstance(used, str) else []
            if entries:
                yield place, tuple(entries[0].options.model_fields)
        elif _is_table(field.annotation) and (below := section_in(field.annotation)) is not None:
            yield place, tuple(below.model_fields)
            yield from _sections(below, place, value, catalog)


def _is_component(name: str) -> bool:
    """Return whether a key of the spec holds a component, which may be a word or a table."""
    return any(isinstance(one, Component) for one in _metadata(Spec.model_fields[name]))


def _metadata(field: Any) -> Iterator[Any]:
    """Yield what is annotated to a field, or to one of the alternatives that it may hold."""
    yield from field.metadata
    for alternative in get_args(field.annotation):
        yield from getattr(alternative, "__metadata__", ())


def _is_table(annotation: Any) -> bool:
    """Return whether a field holds one section, or none."""
    held = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
    return any(issubclass(one, Section) for one in held)


def _likeness(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, word).ratio()


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
