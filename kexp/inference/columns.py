"""Which columns make the text of a row, and how a file of rows is written: as the spec of a model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kexp.data.cleaning import normal_text
from kexp.errors import KexpError
from kexp.files import Layout, format_of
from kexp.files.columns import cell


@dataclass(frozen=True, slots=True)
class TextColumns:
    """The columns of a text, joined by ``join_with``, and that of the second text of a pair.

    ``known`` says whether a spec gives them; a model without a spec takes any text.
    """

    text: tuple[str, ...] = ("text",)
    join_with: str = " "
    pair: str | None = None
    known: bool = False

    @property
    def joint(self) -> str:
        """What stands between joined columns; empty where there is one column."""
        return self.join_with if len(self.text) > 1 else ""

    @property
    def single(self) -> bool:
        """Whether a row is one text."""
        return len(self.text) == 1 and self.pair is None

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, that of the second text last."""
        return self.text if self.pair is None else (*self.text, self.pair)

    def sentence(self) -> str:
        """Return what a row consists of."""
        names = ", ".join(self.text)
        read = f"{len(self.text)} text columns ({names})" if len(self.text) > 1 else f"the text column {names}"
        return read if self.pair is None else f"pairs of {read} and {self.pair}"

    def changed(self, text: Sequence[str], join_with: str | None, pair: str | None) -> TextColumns:
        """Return the columns with what the command line names; their number has to be that of training."""
        if self.known and pair is not None and self.pair is None:
            raise KexpError(f"--pair {pair}: the model was trained on {self.sentence()}, not on pairs; leave it out")
        if self.known and join_with is not None and len(self.text) == 1:
            raise KexpError(
                f"--join-with: the model was trained on {self.sentence()}, so nothing is joined; leave it out"
            )
        if text and self.known and len(text) != len(self.text):
            raise KexpError(
                f"--text {', '.join(text)}: the model was trained on {self.sentence()}; name as many columns"
            )
        changes: dict[str, Any] = {"text": tuple(text) or None, "join_with": join_with, "pair": pair}
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def within(self, columns: Sequence[str]) -> TextColumns:
        """Return the columns for a table: ``text``, as kexp calls it in its own files, for a single one it lacks."""
        if len(self.text) == 1 and self.text[0] not in columns and "text" in columns:
            return replace(self, text=("text",))
        return self

    def text_of(self, row: Mapping[str, Any]) -> str:
        """Return the text of a row, neither trimmed nor cleaned; empty if all its columns are blank."""
        return self.joined([normal_text(cell(row, name), trim=False) for name in self.text])

    def joined(self, cells: Sequence[str]) -> str:
        """Return the text of a row from its cells; empty if all are blank."""
        return normal_text(self.join_with.join(cells), trim=False) if any(map(str.strip, cells)) else ""

    def texts_of(self, rows: Any, pairs: Sequence[Any] | None) -> tuple[list[Any], list[Any] | None]:
        """Return texts, and second texts of pairs, of what a user gives: texts, tuples or mappings of columns.

        Raises ``KexpError`` for one text where the model was trained on several columns or on pairs, for pairs where it
        was not, and for what is no sequence of rows.
        """
        if isinstance(rows, str | bytes | Mapping):
            raise KexpError("a text or mapping alone is no row; give a list of them")
        if hasattr(rows, "columns") and hasattr(rows, "to_dict"):
            # Of a pandas table, which yields the names of its columns.
            rows = rows.to_dict("records")
        rows = list(rows)
        if pairs is not None:
            return self._pairs(rows, list(pairs))
        if self.known and self.pair is not None:
            if any(not isinstance(row, tuple | list | Mapping) for row in rows):
                raise KexpError(
                    f"the model was trained on {self.sentence()}, and is given one text; give the second one too"
                )
            named = [self._named(row, self.names) for row in rows]
            return list(map(self.text_of, named)), [row[self.pair] for row in named]
        return [self._text(row) for row in rows], None

    def _pairs(self, rows: Sequence[Any], pairs: list[Any]) -> tuple[list[Any], list[Any]]:
        if self.known and self.pair is None:
            raise KexpError(f"the model was trained on {self.sentence()}, not on pairs; leave the second texts out")
        if len(pairs) != len(rows):
            raise KexpError(f"found {len(rows)} texts and {len(pairs)} second texts, expected as many")
        return [self._text(row) for row in rows], pairs

    def _text(self, row: Any) -> Any:
        if isinstance(row, tuple | list | Mapping):
            return self.text_of(self._named(row, self.text))
        if len(self.text) > 1:
            raise KexpError(f"the model was trained on {self.sentence()}, and is given one text; give every column")
        return row

    def _named(self, row: Any, names: Sequence[str]) -> Mapping[str, Any]:
        """Return a row as a mapping with these columns."""
        if not isinstance(row, Mapping):
            if len(row) != len(names):
                raise KexpError(f"the model was trained on {self.sentence()}; expected as many texts, found {len(row)}")
            return dict(zip(names, row, strict=True))
        if missing := [name for name in names if name not in row]:
            raise KexpError(f"a row has no column {', '.join(missing)}; the model was trained on {self.sentence()}")
        return row


def columns_of(dataset: Mapping[str, Any]) -> TextColumns:
    """Return the text columns of a spec's ``[dataset]``."""
    text = dataset.get("text", "text")
    columns = (text,) if isinstance(text, str) else tuple(text)
    return TextColumns(columns, dataset.get("join_with", " "), dataset.get("text_pair"), known=bool(dataset))


def layout_as_in(dataset: Mapping[str, Any], path: Path) -> Layout:
    """Return how a file is written: as those of a spec's ``[dataset]``, if it is of their format."""
    files = [dataset[name] for name in ("path", "train", "validation", "test") if isinstance(dataset.get(name), str)]
    chosen = dataset.get("format", "auto")
    formats = {format_of(Path(file)) for file in files} if chosen == "auto" else {chosen}
    if format_of(path) not in formats:
        return Layout()
    header, columns = dataset.get("header", True), dataset.get("columns")
    if isinstance(header, Mapping):
        header = header.get("train", True)
    if isinstance(columns, Mapping):
        columns = columns.get("train")
    return Layout(
        separator=dataset.get("separator"),
        encoding=dataset.get("encoding", "utf-8-sig"),
        header=header,
        columns=None if columns is None or header else tuple(columns),
        quoting=dataset.get("quoting"),
        escape=dataset.get("escape"),
        sheet=dataset.get("sheet"),
    )


def changed_layout(layout: Layout, **options: Any) -> Layout:
    """Return a layout with the options that the command line gives; the others are None."""
    given = {name: value for name, value in options.items() if value is not None}
    if given.get("columns"):
        given = {"header": False, **given}
    if given.get("header"):
        given["columns"] = None
    return replace(layout, **given)
