"""Write a first spec: the tables that a template has, with comments on what was found and what to try."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from kexp.contracts import SPLITS, UNLABELLED
from kexp.errors import KexpError
from kexp.files import format_of
from kexp.init.backbones import Suggestion
from kexp.init.examine import Found
from kexp.init.length import Length
from kexp.init.write_task import against_imbalance, label_comments, task_tables
from kexp.names import composed, file_name_problem, is_utf8

Template = Literal["plain", "compare", "search", "few-labels", "k-fold", "dialect"]
TEMPLATES: tuple[str, ...] = get_args(Template)
SHARE = 0.1
FOLDS = 5
PER_CLASS = 50
BATCH = 16
UNLABELLED_RATIO = 3
FEWEST_NUMBERS = 3
"""Rows with numbers that a split has at least: two always lie on a line."""


def render(
    found: Found, template: str, backbone: Suggestion, why: str, length: Length, path: Path, others: Sequence[str] = ()
) -> str:
    """Return the text of the spec that is to be written at ``path``; ``why`` says why a backbone is fresh.

    Raises ``KexpError`` for a template that does not fit the data.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    task = found.roles.label.task
    if template == "few-labels" and not task.classes:
        reason = "it draws as many labelled rows of each class, and these rows have no class"
        raise KexpError(f"--template few-labels: {reason}; take another, and state [labelled] n in its spec")
    folds = _folds(found) if template == "k-fold" else None
    environment = Environment(
        loader=PackageLoader("kexp", "init"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters |= {"toml": to_toml, "line": line}
    small = backbone.fresh or (backbone.parameters or 100) < 50
    rate = 1e-3 if backbone.fresh else 1e-4 if small else 3e-5
    stem = composed(path.stem)
    return environment.get_template("spec.toml.j2").render(
        source=summary(found),
        spec_name=_argument(path.name),
        name=None if not file_name_problem(stem) else _name(stem),
        template=template,
        seeds=[1] if template in ("few-labels", "k-fold", "search") else [1, 2, 3],
        dataset=_dataset(found, path),
        unlabelled=found.unlabelled,
        partial=any(table.stride > 1 for table in found.tables.values()),
        classes=task.classes,
        measured=found.roles.label.measured,
        task=task_tables(found),
        against=against_imbalance(found),
        split=_folded(found, folds) if folds else _split(found),
        few=_few_labels(found) if template == "few-labels" else None,
        backbone=_backbone(backbone, path),
        epochs=8 if backbone.fresh else 3,
        max_length=length.max_length,
        learning_rate=f"{rate:g}",
        learning_rate_low=f"{rate / 3:.0e}",
        learning_rate_high=f"{rate * 3:.0e}",
        imbalance=found.imbalance,
        comments={
            **_column_comments(found),
            "dataset": list(_dataset_comments(found)),
            "backbone": list(_backbone_comments(backbone, why, others)),
            "max_length": _length_comment(length),
        },
        next=list(_next(found, template, backbone)),
    )


def to_toml(value: Any) -> str:
    """Return a value as TOML on one line: strings quoted, whatever they hold."""
    import tomli_w

    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_toml, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def line(text: str) -> str:
    """Return a text that fits into a comment: on one line, without control characters."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], " ".join(text.split()))


def _argument(name: str) -> str:
    import shlex

    return shlex.quote(name)


def _name(stem: str) -> str:
    """Return a name that a folder may have, as near to the file's as can be."""
    plain = re.sub(r"[^\w가-힣.-]+", "-", stem).strip("-.")
    plain = plain.encode()[:100].decode("utf-8", "ignore").rstrip(".-")
    return plain if not file_name_problem(plain) else "first"


def relative(path: Path, spec: Path) -> str:
    """Return a path as a spec states it: relative to the folder of the spec."""
    whole = path.resolve()
    if not is_utf8(whole):
        raise KexpError(f"{str(whole)!r}: its name is not UTF-8, in which specs are written; rename it")
    try:
        return Path(os.path.relpath(whole, spec.resolve().parent)).as_posix()
    except ValueError:
        # Another drive of Windows.
        return whole.as_posix()


def _dataset(found: Found, spec: Path) -> dict[str, Any]:
    """Return what ``[dataset]`` states besides its comments."""
    layout, roles = found.train.layout, found.roles
    single = list(found.tables) == ["train"]
    table: dict[str, Any] = {
        "path" if single else split: relative(found.tables[split].path, spec)
        for split in (*SPLITS, UNLABELLED)
        if split in found.tables
    }
    formats = {own.layout.format for own in found.tables.values()}
    if any(format_of(own.path) != own.layout.format for own in found.tables.values()):
        if len(formats) > 1:
            names = ", ".join(f"{own.path.name} is {own.layout.format}" for own in found.tables.values())
            raise KexpError(f"{found.path}: {names}; give the files names that end in their formats")
        table["format"] = layout.format
    text = layout.format in ("csv", "tsv", "json", "jsonl")
    if text and layout.encoding != "utf-8-sig":
        table["encoding"] = layout.encoding
    for key in ("separator", "quoting", "escape", "sheet"):
        if (value := getattr(layout, key)) is not None:
            table[key] = value
    for split, own in found.tables.items():
        if not own.layout.header:
            table["header" if single else f"header.{split}"] = False
            table["columns" if single else f"columns.{split}"] = list(own.layout.columns or ())
    table["text"] = roles.text[0] if len(roles.text) == 1 else list(roles.text)
    if roles.text_pair:
        table["text_pair"] = roles.text_pair
    table["label"] = roles.label.columns[0] if len(roles.label.columns) == 1 else list(roles.label.columns)
    if roles.label.separator is not None:
        table["label_separator"] = roles.label.separator
    if roles.group:
        table["group"] = roles.group
    if found.leave_out:
        table["leave_out"] = list(found.leave_out)
    return table


def _column_comments(found: Found) -> dict[str, list[str]]:
    roles = found.roles
    comments = {"label": label_comments(found)}
    if roles.other_texts:
        comments["text"] = [f"Also long: {', '.join(roles.other_texts)}. A list joins columns: {_joined(found)}"]
    if roles.group:
        comments["group"] = ["Rows with an equal value here stay in one split."]
    if found.leave_out:
        comments["leave_out"] = [f"{label}: {reason}" for label, reason in found.leave_out.items()]
        comments["leave_out"].append("Rows of these labels are left out, and counted.")
    return comments


def _joined(found: Found) -> str:
    return f"text = {to_toml([*found.roles.other_texts[:1], *found.roles.text])}"


def _dataset_comments(found: Found) -> Iterator[str]:
    roles = found.roles
    if roles.ids:
        yield f"Not used, since every row has its own value: {', '.join(roles.ids)}"
    yield from found.notes


def _split(found: Found) -> dict[str, Any]:
    """Return shares, or as many rows as there are labels where a tenth of few rows cannot hold each."""
    fewest = FEWEST_NUMBERS if found.roles.label.measured else len(found.counts)
    share: float = SHARE if round(SHARE * found.rows) >= fewest else fewest
    return {split: share for split in ("validation", "test") if split not in found.tables}


def _folded(found: Found, folds: int) -> dict[str, Any]:
    """Return the folds, with a validation split beside them that holds every label."""
    share = _split(found).get("validation", SHARE)
    return {"folds": folds, **({} if share < 1 else {"validation": share})}


def _folds(found: Found) -> int:
    if "test" in found.tables:
        train, test = found.train.path, found.tables["test"].path
        remedy = f"give the train file alone: kexp init {train} --template k-fold"
        raise KexpError(f"--template k-fold: every row is a test row of one fold, and {test} is a test file; {remedy}")
    fewest = found.rows // FEWEST_NUMBERS if found.roles.label.measured else min(found.counts.values())
    return max(2, min(FOLDS, fewest - 1))


def _few_labels(found: Found) -> dict[str, int]:
    """Return the labelled rows of each class, and a batch that neither stream is too small for."""
    per_class = max(1, min(PER_CLASS, min(found.counts.values()) // 3))
    labelled = per_class * len(found.counts)
    taken = sum(round(share * found.rows) if share < 1 else share for share in _split(found).values())
    others = found.rows - taken - labelled
    others += len(found.tables[UNLABELLED].rows) if UNLABELLED in found.tables else 0
    if others < UNLABELLED_RATIO:
        remedy = "give more rows, or a file of rows without labels named unlabelled in the same folder"
        raise KexpError(f"--template few-labels: {max(0, others)} rows are left as unlabelled ones; {remedy}")
    # A margin, since cleaning may drop some more.
    batch = max(1, min(BATCH, labelled, others // (UNLABELLED_RATIO + 1)))
    return {"per_class": per_class, "batch_size": batch, "unlabelled_ratio": UNLABELLED_RATIO}


def _backbone(backbone: Suggestion, spec: Path) -> dict[str, Any]:
    table = dict(backbone.table)
    if "path" in table:
        table["path"] = relative(Path(table["path"]), spec)
    return table


def _backbone_comments(backbone: Suggestion, why: str, others: Sequence[str]) -> Iterator[str]:
    if backbone.fresh:
        yield f"{backbone.title}: a small model with fresh weights, which learns from the train rows alone."
        if why:
            yield f"Chosen because {why}."
    else:
        yield f"{backbone.sentence}" + ("" if backbone.is_here else "; downloaded when it is first used")
    yield from others


def _length_comment(length: Length) -> str:
    how = "measured" if length.measured else "an estimate from the number of characters; kexp data counts tokens"
    share = "99 %" if length.held >= 0.99 else f"{length.held:.0%}"
    return f"Tokens per row, longer rows are cut: holds {share} of the rows ({how})."


def summary(found: Found) -> str:
    """Return in words which files there are, and what they are."""
    kinds = {"csv": "CSV", "tsv": "TSV", "json": "JSON", "jsonl": "JSON lines", "parquet": "Parquet", "xlsx": "Excel"}
    parts = []
    for split, table in found.tables.items():
        layout = table.layout
        text = layout.format in ("csv", "tsv", "json", "jsonl")
        encoding = f" in {layout.encoding.removesuffix('-sig')}" if text else ""
        parts.append(f"{split}: {table.path.name}, {kinds[layout.format]}{encoding}, {table.count:,} rows")
    return "; ".join(parts)


def _next(found: Found, template: str, backbone: Suggestion) -> Iterator[str]:
    if backbone.fresh:
        yield "a pre-trained Korean model: kexp plugins list --kind backbone shows those that are installed"
    if template != "search":
        yield "kexp init with --template search: kexp tune looks for a better learning rate and more"
    if template not in ("few-labels", "compare"):
        yield "kexp init with --template compare: the same with augmentation, and a test of the difference"
    if template == "plain" and found.rows < 2000:
        yield "kexp init with --template k-fold: cross-validation, since a tenth of few rows measures little"
    yield "[cleaning] max_percentile = 99 drops the longest texts"
