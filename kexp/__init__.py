"""kexp: experiments in Korean text classification, described by TOML files and run by plugins."""

import pluggy

__version__ = "0.1.0"

API_VERSION = 3
"""Version of the interface to plugins; a plugin sets ``KEXP_API = 3`` to the one it was written for."""

hookimpl = pluggy.HookimplMarker("kexp")
"""Marks the functions of a plugin that implement hooks."""
