"""``words.json`` in the folder of a run: what each word of some texts adds to the prediction of its model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError
from kexp.repeats import repeats_in
from kexp.report.mistakes import worst_mistakes
from kexp.report.predictions import rows_of
from kexp.report.stored import read_words
from kexp.report.summary import shown_split
from kexp.report.variant_rows import disagreements, variant_rows

if TYPE_CHECKING:
    from markupsafe import Markup

Json = dict[str, Any]

WORDS = "words.json"

LEAST = 0.02
"""Effect below which no word of a text gets the full shade: words that change nothing should look so."""

VISIBLE = 0.05
"""Share of the full shade below which none is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Shadable:
    """A run whose model is asked about words, and the rows that the report shows of it, those first that matter most.

    ``rows`` has ``row``, ``text``, ``predicted`` and of pairs ``text_pair``.
    """

    name: str
    folder: Path
    split: str
    rows: Sequence[Json]


def shadable(folder: Path, summary: Mapping[str, Any]) -> Iterator[Shadable]:
    """Yield the first finished run of each variant, with its most confident mistakes and the rows of disagreements.

    Raises ``KexpError`` for damaged files. Runs without predictions are left out.
    """
    split = shown_split(summary)
    differ = disagreements(variant_rows(folder, summary, split))
    for name, variant in summary["variants"].items():
        done = [folder / name / one.folder for one in repeats_in(variant) if variant["status"].get(one.key) == "done"]
        path = next((path for path in done if (path / "predictions.parquet").is_file()), None)
        if path is None:
            continue
        rows = rows_of(path / "predictions.parquet", split, ["text", "label", "predicted"], [], optional=["confidence"])
        if "confidence" not in rows:
            continue
        found = {row["row"]: row for row in worst_mistakes(rows)}
        # Where this run says something else than the mean of all, its words would explain another label.
        wanted = {} if differ is None else {row["row"]: asked(row).get(name) for row in differ["shown"]}
        for row in rows[rows["row"].isin([*wanted])].to_dict("records"):
            if row["predicted"] == wanted[row["row"]]:
                found.setdefault(row["row"], row)
        yield Shadable(f"{name}, {path.relative_to(folder / name)}", path, split, [*found.values()])


def asked(row: Mapping[str, Any]) -> dict[str, str]:
    """Return what the two variants say whose models are asked about the words of a row on which variants disagree."""
    answers = [row["answers"][number] for number in row["pair"]]
    return {answer["variant"]: answer["predicted"] for answer in answers}


def texts_of(row: Mapping[str, Any]) -> list[str]:
    """Return the text of a row, and of a pair its second one."""
    pair = row.get("text_pair")
    return [row["text"], pair] if isinstance(pair, str) else [row["text"]]


@dataclass(frozen=True, slots=True)
class Words:
    """What ``words.json`` of a run says; nothing where there is none."""

    rows: Mapping[str, Json]
    remark: str

    @classmethod
    def of(cls, folder: Path, split: str) -> Words:
        """Read the words of a run; raises ``KexpError`` for a damaged file."""
        if not (folder / WORDS).is_file():
            return cls({}, "")
        try:
            found = read_words(folder / WORDS)
        except KexpError as error:
            raise KexpError(f"{error}; or delete it, kexp report --words makes it again") from None
        return cls(found["rows"] if found["split"] == split else {}, found["remark"])

    def shaded(self, row: Mapping[str, Any], label: str, length: int) -> Markup | None:
        """Return the text of a row with its words shaded by what they add to a label; None where that is not known.

        Words beyond ``length`` characters are left out, with an ellipsis. A row whose text or prediction is another by
        now, since the run was done again, is not known.
        """
        from markupsafe import Markup

        known = self.rows.get(str(row["row"]))
        texts = [text.split() for text in texts_of(row)]
        if known is None or known["label"] != label or len(known["texts"]) != len(texts):
            return None
        # Of long texts only the first words were asked about.
        if any([word for word, _ in of] != text[: len(of)] for of, text in zip(known["texts"], texts, strict=True)):
            return None
        most = max([LEAST, *(abs(effect) for of in known["texts"] for _, effect in of)])
        parts = [
            " ".join(_shown(text, [effect for _, effect in of], most, length))
            for of, text in zip(known["texts"], texts, strict=True)
        ]
        return Markup("<br>").join(map(Markup, parts))


def _shown(words: Sequence[str], effects: Sequence[float], most: float, length: int) -> Iterator[str]:
    """Yield the words as HTML up to a length; those without an effect, beyond the first ones, have no shade."""
    from markupsafe import escape

    for word, effect in itertools.zip_longest(words, effects):
        length -= len(word) + 1
        if length < 0:
            yield "…"
            return
        share = 0 if effect is None else abs(effect) / most
        if share < VISIBLE:
            yield str(escape(word))
        else:
            kind = "word" if effect > 0 else "word lowers"
            yield f'<span class="{kind}" style="--share: {share:.2f}" title="{effect:+.3f}">{escape(word)}</span>'
