"""``python -m kexp``."""

from kexp.cli import app

app()
