"""What many test modules share: the command line in this process, and a spec of a model that trains in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from kexp.cli import app

REPOSITORY = Path(__file__).parent.parent


def kexp(*arguments: str | Path | int, stdin: str | bytes | None = None) -> Result:
    """Run a command line of kexp in this process; an exception that it does not report fails the test."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


def tiny_spec(top: str = "", tables: str = "", *, dataset: str = "", layers: int = 1, **training: Any) -> str:
    """Return a spec for ``str.format(data=PATH)`` with a small fresh model.

    ``top`` holds keys that stand before all tables, ``dataset`` more keys of the dataset, ``tables`` more tables.
    """
    keys = {"epochs": 3, "batch_size": 16, "max_length": 16, "learning_rate": 5e-3, **training}
    stated = "\n".join(f"{key} = {value}" for key, value in keys.items() if value is not None)
    return f"""
{top}
[dataset]
use = "table"
path = "{{data}}"
{dataset}
[backbone]
use = "tiny"
layers = {layers}
hidden = 32
heads = 2
vocabulary = 300
[training]
{stated}
{tables}
"""


def unseen(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Return a hook that passes for one of PyTorch's: a model with any other is run padded."""
    hook.__module__ = "torch.tests"
    return hook
