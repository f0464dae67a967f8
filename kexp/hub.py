"""Whether the Hugging Face hub can be reached: tried once and briefly, before a library retries for half a minute."""

from __future__ import annotations

import functools
import os

from kexp.settings import is_on, offline

MESSAGE = 300
"""Characters of a library's message that are passed on, at most."""


def reachable() -> bool:
    """Return whether the hub may be used and answers."""
    return not obstacle()


@functools.cache
def obstacle() -> str:
    """Say why the hub is out of reach; empty when it answers within three seconds, through whatever proxy there is.

    Remembered from the first time, since ``prepare_offline`` sets the variables that are looked at here.
    """
    if offline() or is_on("HF_HUB_OFFLINE"):
        return "KEXP_OFFLINE or HF_HUB_OFFLINE is set"
    # Their imports take as long as those of all options of a component.
    import urllib.error
    import urllib.request

    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=3):
            return ""
    except urllib.error.HTTPError:
        return ""
    except OSError:
        return "the Hugging Face hub does not answer"


def prepare_offline(needed: str | None) -> None:
    """Before transformers or datasets is used: without a hub, let them look into their caches alone.

    ``needed`` is the hub id to load, or None when nothing is to be downloaded.
    """
    if needed is None or reachable():
        return
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import huggingface_hub.constants

    # Read once at import by the library; another part of kexp may have imported it before.
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    import datasets.config

    datasets.config.HF_HUB_OFFLINE = True


def explain_missing(kind: str, name: str, error: Exception) -> str:
    """Say what could not be loaded, why, and what to do without network."""
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    if reachable():
        return f'{kind} "{name}" cannot be loaded: {reason}'
    return (
        f'{kind} "{name}" is not in the local cache and {obstacle()}; give a local folder with path = "...", '
        f"or download it first where there is a network ({reason})"
    )


def reason_of(error: Exception) -> str:
    """Return what a library says about a model, as one line of a length that can be read."""
    if "weights_only" in str(error) or "Weights only" in str(error):
        return "its weights are a pickle that holds more than weights and could run code; give them as safetensors"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]} ..."
