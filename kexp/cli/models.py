"""Commands about trained models: predict, evaluate, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kexp.cli.app_options import AsJson, LocalCode, RemoteCode, app
from kexp.cli.errors import report_errors
from kexp.cli.model_options import (
    MODEL,
    MODELS,
    Abstain,
    BatchSize,
    ColumnNames,
    Device,
    Encoding,
    Folders,
    Force,
    Header,
    JoinWith,
    Pair,
    Precision,
    Quoting,
    Seed,
    Separator,
    Text,
    Variant,
)

if TYPE_CHECKING:
    from kexp.inference.columns import TextColumns
    from kexp.inference.input_tables import FileOptions, Table
    from kexp.inference.model_folders import Place


@app.command()
def predict(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER|TEXT",
            help="First the models: " + MODELS + " Then texts; - is standard input.",
            show_default=False,
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="CSV, TSV, JSONL or Parquet; - is a text per line from stdin."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="CSV, TSV, JSONL or Parquet; else TSV on stdout.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, metavar="K", help="The K best labels, not all probabilities.")
    ] = None,
    abstain: Abstain = None,
    text: Text = None,
    join_with: JoinWith = None,
    pair: Pair = None,
    variant: Variant = None,
    seed: Seed = None,
    encoding: Encoding = None,
    separator: Separator = None,
    header: Header = None,
    columns: ColumnNames = None,
    quoting: Quoting = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    precision: Precision = "auto",
    allow_local_code: LocalCode = False,
    trust_remote_code: RemoteCode = False,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object per row on standard output.")] = False,
) -> None:
    """Predict labels for texts, or for the rows of a file of any size.

    The output has the columns of the input and predicted, confidence and a probability:LABEL for each label. A row
    without text stays, with empty cells. After --, a text may begin with a dash. With --abstain, a row whose largest
    probability is below it has no label, and the share of answered rows is told; so is their accuracy, if the file has
    the column of labels.
    """
    with report_errors():
        from kexp.cli.display import note, row_progress
        from kexp.cli.predictions import print_notes, print_warnings, standard_output, warn_of_threshold
        from kexp.errors import KexpError
        from kexp.inference.evaluate import Labels
        from kexp.inference.input_tables import FileOptions
        from kexp.inference.label_columns import LabelColumns
        from kexp.inference.loading import LoadOptions, load_places
        from kexp.inference.predict import Columns, predict_table
        from kexp.inference.saved_spec import dataset_of
        from kexp.inference.writers import check_free, sink_to

        places, texts = _places(words, variant, seed)
        if output is not None and as_json:
            raise KexpError("--json prints the result, --output writes it; give one of them")
        if output is not None:
            check_free(output, force=force)
        options = FileOptions(text or (), join_with, pair, encoding, separator, header, columns, quoting)
        dataset = dataset_of(places)
        table, texts_of = _table(source, texts, dataset, options)
        wanted = Columns(texts_of, top_k, abstain)
        model = load_places(places, LoadOptions(device, precision, batch_size, allow_local_code, trust_remote_code))
        print_notes(model)
        wanted.check(table, model)
        warn_of_threshold(abstain, model)
        label = LabelColumns.of(dataset, table.columns)
        labelled = abstain is not None and {*label.names} <= {*table.columns}
        known = Labels.of_model(label, model) if labelled else None
        added = wanted.added(model)
        few = bool(texts) and texts != ["-"]
        with (
            nullcontext(standard_output(table, added, as_json=as_json, few=few))
            if output is None
            else sink_to(output, table, added, force=force)
        ) as sink:
            truth = None if known is None else known.readable
            counts = predict_table(model, table, wanted, sink, row_progress(), truth)
        print_warnings(table)
        note(counts.sentence())


def _places(words: Sequence[str], variant: str | None, seed: int | None) -> tuple[list[Place], list[str]]:
    """Split the arguments of a command into models and texts: folders come first."""
    from kexp.errors import KexpError
    from kexp.inference.model_folders import EXPECTED, find_all
    from kexp.names import is_utf8

    first_text = next((number for number, word in enumerate(words) if not _is_folder(word)), len(words))
    folders, texts = words[:first_text], list(words[first_text:])
    if not folders:
        raise KexpError(f"{words[0]} is not a folder; {EXPECTED}")
    for word in texts:
        if _is_table(word):
            raise KexpError(f"{word} is a file, not a text; give its rows with --input {word}")
        # A path below an existing folder was mistyped.
        if "/" in word and not any(map(str.isspace, word)) and _is_folder(word.rpartition("/")[0]):
            raise KexpError(f"{word} does not exist; {EXPECTED}")
        if not is_utf8(word):
            raise KexpError(f"the text {word.encode('utf-8', 'replace').decode()} is not UTF-8")
    return [place for folder in folders for place in find_all(Path(folder), variant=variant, seed=seed)], texts


def _is_table(word: str) -> bool:
    from kexp.files import format_of

    try:
        return format_of(Path(word)) is not None and Path(word).is_file()
    except OSError:
        return False


def _is_folder(word: str) -> bool:
    try:
        return bool(word) and Path(word).is_dir()
    except OSError:
        # A text may be longer than any name.
        return False


def _only_text(dataset: Mapping[str, Any]) -> TextColumns:
    """Return the column of texts that come without columns; refuse models that read several columns or pairs."""
    from kexp.errors import KexpError
    from kexp.inference.columns import TextColumns, columns_of

    trained = columns_of(dataset)
    if not trained.single:
        remedy = "give a file with these columns with --input"
        raise KexpError(f"the model was trained on {trained.sentence()}, and is given one text; {remedy}")
    return TextColumns()


def _table(
    source: Path | None, texts: Sequence[str], dataset: Mapping[str, Any], options: FileOptions
) -> tuple[Table, TextColumns]:
    """Return the rows to predict, and which of their columns make a text."""
    from kexp.errors import KexpError
    from kexp.inference.input_tables import Table, read_input, read_lines

    if source is not None and texts:
        raise KexpError(f"--input and texts ({texts[0][:40]} ...) both give texts to predict; use one of them")
    if source is not None and str(source) != "-":
        return read_input(source, "--input", dataset, options)
    if source is None and not texts:
        raise KexpError("nothing to predict; give texts, --input FILE, or - for a text per line from standard input")
    columns = _only_text(dataset)
    if source is not None or texts == ["-"]:
        return read_lines(sys.stdin.buffer, "standard input"), columns
    return Table("the command line", ["text"], iter([{"text": text} for text in texts])), columns


@app.command()
def evaluate(
    folders: Folders,
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="CSV, TSV, JSONL or Parquet with labels.")],
    text: Text = None,
    join_with: JoinWith = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="Column of the true labels; else as in training.")
    ] = None,
    pair: Pair = None,
    renames: Annotated[
        list[str] | None,
        typer.Option("--rename", metavar="OLD=NEW", help="Rename a label of the file to the model's; repeatable."),
    ] = None,
    abstain: Abstain = None,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Leave out rows whose label the model does not know.")
    ] = False,
    variant: Variant = None,
    seed: Seed = None,
    encoding: Encoding = None,
    separator: Separator = None,
    header: Header = None,
    columns: ColumnNames = None,
    quoting: Quoting = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    precision: Precision = "auto",
    allow_local_code: LocalCode = False,
    trust_remote_code: RemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Measure trained models on other labelled data, with the metrics of their spec.

    Texts are read as in training. Rows are not dropped by cleaning; only those without text are, and counted. With
    --abstain, coverage and accuracy of the answered rows stand beside the metrics, which are those of all rows.
    """
    with report_errors():
        from kexp.cli.display import note, row_progress
        from kexp.cli.output import print_evaluation
        from kexp.cli.predictions import print_notes, print_warnings, warn_of_threshold
        from kexp.inference.evaluate import Labels, measure
        from kexp.inference.input_tables import FileOptions, read_input
        from kexp.inference.label_columns import LabelColumns
        from kexp.inference.loading import LoadOptions, load_places
        from kexp.inference.model_folders import find_all
        from kexp.inference.saved_spec import dataset_of
        from kexp.report.run_folder import finite

        places = [place for folder in folders for place in find_all(folder, variant=variant, seed=seed)]
        dataset = dataset_of(places)
        options = FileOptions(text or (), join_with, pair, encoding, separator, header, columns, quoting)
        renamed = _renames(renames or ())
        labelled, texts = read_input(data, "--data", dataset, options)
        where = LabelColumns.of(dataset, labelled.columns, label)
        where.need(labelled)
        model = load_places(places, LoadOptions(device, precision, batch_size, allow_local_code, trust_remote_code))
        metrics = model.members[0].provenance.metrics(model.labels, model.chosen)
        print_notes(model)
        warn_of_threshold(abstain, model)
        labels = Labels.of_model(where, model, renamed, ignore=ignore_unknown)
        # The file is read twice, so that an unknown label in its last row is reported before anything is predicted.
        unknown = labels.check(labelled, ", ".join(model.labels))
        print_warnings(labelled)
        table, _ = read_input(data, "--data", dataset, options)
        found, counts = measure(model, table, texts, labels, metrics, row_progress(), abstain)
        for name, rows in unknown.items():
            note(f'{rows:,} rows left out: the model does not know the label "{name}"')
        note(counts.sentence())
        if as_json:
            read = {"rows": counts.rows, "empty": counts.empty, "truncated": counts.truncated, "unknown": unknown}
            read |= {"left_out": counts.left_out} if counts.left_out else {}
            read["unknown_tokens"] = counts.unknown
            result = {"models": [place.name for place in places], "data": str(data), **read, **found}
            print(json.dumps(finite(result), ensure_ascii=False))
        else:
            print_evaluation(found)


def _renames(renames: Sequence[str]) -> dict[str, str]:
    from kexp.errors import KexpError

    named = {}
    for rename in renames:
        old, equals, new = rename.partition("=")
        if not equals or not old or not new:
            raise KexpError(f"--rename {rename}: expected OLD=NEW, for example 1=positive")
        named[old] = new
    return named


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=MODEL, show_default=False)],
    kind: Annotated[str, typer.Option("--format", metavar="NAME", help="onnx.")] = "onnx",
    quantize: Annotated[
        str | None, typer.Option("--quantize", metavar="int8", help="Weights in int8: a quarter of the size.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="New folder; beside the model when not given.")
    ] = None,
    variant: Variant = None,
    seed: Seed = None,
    allow_local_code: LocalCode = False,
    trust_remote_code: RemoteCode = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Export a trained model to ONNX, and check the export against PyTorch."""
    with report_errors():
        from kexp.cli.display import note
        from kexp.errors import KexpError
        from kexp.inference import export as exporting
        from kexp.inference.model_folders import find

        for option, value, known in (("--format", kind, ("onnx",)), ("--quantize", quantize, (None, "int8"))):
            if value not in known:
                raise KexpError(f"{option} {value}: expected {known[-1]}")
        place = find(folder, variant=variant, seed=seed)
        home = output or exporting.default_output(place, quantize)
        made = exporting.export(
            place,
            home,
            quantize=quantize,
            force=force,
            progress=note,
            allow_local_code=allow_local_code,
            trust_remote_code=trust_remote_code,
        )
        if as_json:
            print(json.dumps({"folder": str(home), **made}, ensure_ascii=False))
        else:
            print(f"{home}: {exporting.sentence(made['check'])}")
