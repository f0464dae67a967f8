"""kexp: experiments in Korean text classification, stated in a TOML file and run by plugins."""

import pluggy

__version__ = "0.1.0"

API_VERSION = 2
"""Version of the interface to plugins; a plugin says with ``KEXP_API = 2`` for which one it was written."""

hookimpl = pluggy.HookimplMarker("kexp")
"""Marks a plugin's functions that answer kexp's hooks."""
