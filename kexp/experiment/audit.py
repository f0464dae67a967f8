"""A sheet of augmented views for a reader's verdicts, and the rates that filled sheets give."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kexp.atomic_files import replacing
from kexp.catalog import Catalog
from kexp.contracts import Rejected
from kexp.data.semi_supervised_stream import streams
from kexp.errors import DataError, KexpError, reason_of
from kexp.experiment.augment import Progress, Subject, augmenters_of, subject
from kexp.files.tables import Layout, open_table
from kexp.plan.resolve import Plan
from kexp.redaction import hidden
from kexp.seeds import generator

QUESTIONS: Final = ("label kept", "grammatical", "meaning kept")
"""Columns of a sheet that a reader answers with yes or no."""

COLUMNS: Final = ("number", "row", "augmenter", "original", "augmented", "label", *QUESTIONS, "note")

ANSWERS: Final = {
    **dict.fromkeys(("yes", "y", "예", "네"), True),
    **dict.fromkeys(("no", "n", "아니요", "아니오"), False),
}
"""Verdicts as readers write them, in small or capital letters."""

MOST_FAULTS = 5


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A filled sheet: of each row its augmenter, and of each row and question the verdict, None where it is missing."""

    source: str
    augmenters: dict[str, str]
    answers: dict[str, dict[str, bool | None]]


def write_sheet(
    plan: Plan, catalog: Catalog, of: str | None, count: int, path: Path, progress: Progress
) -> dict[str, Any]:
    """Write a sheet of ``count`` rows of train that the augmenter changes, drawn with the split's seed.

    Views are those of the first epoch. Rows that stay as they are, views that were rejected and repeated pairs are
    counted, not written. A file is replaced only where it is a sheet without a verdict. Returns the counts.
    """
    if path.suffix.lower() != ".csv":
        raise KexpError(f"--output {path}: an audit's sheet is a CSV file; give a name that ends in .csv")
    _need_unfilled(path)
    found = subject(plan, catalog, of, progress)
    name = describe(found.stream, found.augmenter, catalog)
    lines: list[list[object]] = []
    seen: set[str] = set()
    left_out = Counter({"unchanged": 0, "rejected": 0, "repeated": 0})
    for original, augmented, label in _views(found, count):
        if isinstance(augmented, Rejected) or augmented == original:
            left_out["rejected" if isinstance(augmented, Rejected) else "unchanged"] += 1
            continue
        row = _row_id(name, original, augmented)
        if row in seen:
            left_out["repeated"] += 1
            continue
        seen.add(row)
        lines.append([len(lines) + 1, row, name, original, augmented, label, *[""] * len(QUESTIONS), ""])
        if len(lines) == count:
            break
    if not lines:
        raise KexpError(f"{plan.source}: the augmenter changes none of {left_out['unchanged']} rows; nothing to audit")
    _write(path, lines)
    return {"sheet": str(path), "rows": len(lines), **left_out}


def results(plan: Plan, catalog: Catalog, sheets: Sequence[Path]) -> dict[str, Any]:
    """Return the rates of yes of every sheet and, of two, how far their readers agree.

    Rates have 95 % Wilson intervals over the rows with a verdict. Raises ``DataError`` for verdicts that are neither
    yes nor no, and ``KexpError`` for rows of an augmenter that the spec does not have.
    """
    if len(sheets) > 2:
        raise KexpError(f"--audit-results: {len(sheets)} sheets; give one, or those of two readers")
    known = {
        describe(stream, augmenter, catalog)
        for variant in plan.variants
        for stream, augmenter in augmenters_of(variant.spec).items()
    }
    read = [_read(path) for path in sheets]
    for verdicts in read:
        if others := sorted(set(verdicts.augmenters.values()) - known):
            raise KexpError(
                f"{verdicts.source}: has rows of {others[0]}, which {plan.source} does not have "
                f"({'; '.join(sorted(known)) or 'no augmenter'}); give the spec, and --set, that made the sheet"
            )
    found: dict[str, Any] = {"sheets": [{"sheet": one.source, "augmenters": _rates(one)} for one in read]}
    if len(read) == 2:
        found["agreement"] = _agreement(*read)
    return found


def describe(stream: str, augmenter: Any, catalog: Catalog) -> str:
    """Name an augmenter of a spec with all its options that are not the default."""
    options = hidden(augmenter.model_dump(mode="json", exclude_defaults=True))
    return f"{stream} {catalog.name_of(type(augmenter))} {json.dumps(options, ensure_ascii=False, sort_keys=True)}"


def _views(found: Subject, count: int) -> Iterator[tuple[str, str | Rejected, str]]:
    """Yield original, view and label of shuffled rows, "" for an unknown one; as many at once as are wanted."""
    rows, seed = found.rows, found.spec.split.seed
    order = generator(seed, "audited rows").permutation(len(rows))
    augment = found.prepared.augmenter(found.spec, found.data, found.augmenter)
    try:
        for start in range(0, len(order), count):
            chosen = order[start : start + count]
            made = augment([rows.texts[row] for row in chosen], streams(rows, chosen, seed, 0))
            labels = found.spec.task.decode(rows.labels[chosen], found.data.labels)
            yield from zip([rows.texts[row] for row in chosen], made, labels, strict=True)
    finally:
        augment.close()


def _row_id(*parts: str) -> str:
    # The letter keeps spreadsheets from reading a number such as 1e5.
    return "r" + hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:11]


def _write(path: Path, lines: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(lines)
    try:
        with replacing(path) as part:
            # With the byte order mark, without which Excel takes Hangul for another encoding.
            part.write_text(text.getvalue(), "utf-8-sig", newline="")
    except OSError as error:
        raise KexpError(f"--output {path}: cannot be written: {reason_of(error)}") from None


def _need_unfilled(path: Path) -> None:
    """Refuse to replace what is no sheet, or a sheet in which something was written."""
    if not path.exists():
        return
    remedy = "give another name with --output"
    try:
        columns = open_table(path, Layout()).read([*QUESTIONS, "row", "note"])
    except (DataError, OSError):
        raise KexpError(f"{path} exists and is no sheet of an audit; {remedy}") from None
    if filled := sum(bool(_text(value)) for name in (*QUESTIONS, "note") for value in columns[name]):
        raise KexpError(f"{path} exists and has {filled} verdicts and notes; {remedy}")


def _read(path: Path) -> Verdicts:
    """Read a filled sheet; raises ``DataError`` with all faulty cells, the first five of them told."""
    if not path.is_file():
        raise DataError(f"{path}: {'is no file' if path.exists() else 'does not exist'}; give a sheet of --audit")
    columns = open_table(path, Layout()).read(["row", "augmenter", *QUESTIONS], "give a sheet that --audit wrote")
    faults: list[str] = []
    answers: dict[str, dict[str, bool | None]] = {}
    for number, row in enumerate(map(_text, columns["row"])):
        if not row or row in answers:
            faults.append(f"{path}: data row {number + 1}: row {row!r} {'stands twice' if row else 'is empty'}")
            continue
        answers[row] = {}
        for question in QUESTIONS:
            written = _text(columns[question][number])
            answers[row][question] = ANSWERS.get(written.lower())
            if written and written.lower() not in ANSWERS:
                faults.append(
                    f"{path}: data row {number + 1}: {question}: {written[:40]!r}; expected yes, no or nothing"
                )
    if faults:
        more = [f"{path}: {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
        raise DataError("\n".join(faults[:MOST_FAULTS] + more))
    return Verdicts(str(path), dict(zip(answers, map(_text, columns["augmenter"]), strict=True)), answers)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _rates(verdicts: Verdicts) -> dict[str, Any]:
    return {
        name: {
            "rows": len(rows),
            "questions": {question: _rate([verdicts.answers[row][question] for row in rows]) for question in QUESTIONS},
        }
        for name in dict.fromkeys(verdicts.augmenters.values())
        if (rows := [row for row, other in verdicts.augmenters.items() if other == name])
    }


def _rate(answers: Sequence[bool | None]) -> dict[str, Any]:
    """Return how many said yes of those that said anything, with the interval of Wilson (1927)."""
    from scipy.stats import binomtest

    given = [answer for answer in answers if answer is not None]
    found: dict[str, Any] = {"yes": sum(given), "n": len(given), "missing": len(answers) - len(given)}
    if not given:
        return {**found, "rate": None, "low": None, "high": None}
    interval = binomtest(sum(given), len(given)).proportion_ci(method="wilson")
    return {**found, "rate": sum(given) / len(given), "low": float(interval.low), "high": float(interval.high)}


def _agreement(first: Verdicts, second: Verdicts) -> dict[str, Any]:
    """Return, per question, on how many rows two readers agree, and Cohen's kappa (1960)."""
    if first.answers.keys() != second.answers.keys():
        missing = len(first.answers.keys() ^ second.answers.keys())
        raise DataError(
            f"{second.source}: {missing} rows are in one of the two sheets only; both readers need copies of one sheet"
        )
    return {question: _kappa(question, first.answers, second.answers) for question in QUESTIONS}


def _kappa(
    question: str, first: Mapping[str, Mapping[str, bool | None]], second: Mapping[str, Mapping[str, bool | None]]
) -> dict[str, Any]:
    from sklearn.metrics import cohen_kappa_score

    pairs = [(answers[question], second[row][question]) for row, answers in first.items()]
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    same = sum(one == other for one, other in both)
    # Without a second verdict that anyone gives, chance alone explains all agreement, and kappa is not defined.
    defined = len({answer for pair in both for answer in pair}) == 2
    kappa = float(cohen_kappa_score(*zip(*both, strict=True))) if defined else None
    return {"n": len(both), "agree": same, "kappa": kappa}
