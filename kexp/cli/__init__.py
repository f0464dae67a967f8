"""The command line: parsing and printing only. A command imports what it needs when it runs."""

from kexp.cli import caches, data, experiments, init, installed, models, publish, results, serve
from kexp.cli import ui as page
from kexp.cli.app_options import app

__all__ = ["app", "caches", "data", "experiments", "init", "installed", "models", "page", "publish", "results", "serve"]
