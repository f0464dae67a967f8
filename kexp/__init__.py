"""kexp: experiments in Korean text classification, stated in a TOML file and run by plugins."""

import pluggy

__version__ = "0.1.0"

hookimpl = pluggy.HookimplMarker("kexp")
"""Marks a plugin's functions that answer kexp's hooks."""
