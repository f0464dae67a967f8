"""Options that the commands about trained models share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kexp.cli import complete

MODEL = "Run folder, <variant>/seed-<n> in one, or Hugging Face folder"
MODELS = MODEL + "; several are averaged, and so are the runs of a run folder or <variant> folder."
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER", help=MODELS, show_default=False)]
Variant = Annotated[
    str | None,
    typer.Option("--variant", metavar="NAME", help="Which variant of a run folder.", autocompletion=complete.variants),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Which seed of a run folder.")]
Text = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="COLUMN", help="Column of the texts; repeated, columns that are joined. Else as in training."
    ),
]
JoinWith = Annotated[
    str | None, typer.Option("--join-with", metavar="TEXT", help="Between joined columns; else as in training.")
]
Pair = Annotated[
    str | None,
    typer.Option("--pair", metavar="COLUMN", help="Column of the second texts of pairs; else as in training."),
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", help="Of CSV, TSV and JSONL files, e.g. cp949; else as in training.")
]
Quoting = Annotated[
    bool | None,
    typer.Option(
        "--quoting/--no-quoting", help="Whether quotation marks enclose cells; else as in training.", show_default=False
    ),
]
Separator = Annotated[
    str | None, typer.Option("--separator", metavar="CHARACTER", help="Between cells; else as in training.")
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line names the columns; else as in training.",
        show_default=False,
    ),
]
ColumnNames = Annotated[
    str | None, typer.Option("--columns", metavar="A,B,...", help="Names of the columns of a file without header.")
]
Abstain = Annotated[
    float | None,
    typer.Option("--abstain", metavar="P", help="No label where the largest probability is below P, such as 0.6."),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Rows per forward pass; as many as have 4,096 tokens if not given."),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="auto, cpu, cuda, cuda:N or mps.", autocompletion=complete.words("auto", "cpu", "cuda", "mps")
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision", help="auto, fp32, bf16 or fp16.", autocompletion=complete.words("auto", "fp32", "bf16", "fp16")
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
