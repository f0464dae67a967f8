"""The command line: parsing and printing only. A command imports what it needs when it runs."""

from kexp.cli import experiments, installed, models, page, results
from kexp.cli.base import app

__all__ = ["app", "experiments", "installed", "models", "page", "results"]
