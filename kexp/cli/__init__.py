"""The command line: parsing and printing only. Whatever a command needs is imported when it runs."""

from kexp.cli import experiments, installed, models, page, results
from kexp.cli.base import app

__all__ = ["app", "experiments", "installed", "models", "page", "results"]
