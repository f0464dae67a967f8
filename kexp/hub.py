"""The Hugging Face hub, reachable or not: asked once and briefly, before any library retries for half a minute."""

from __future__ import annotations

import functools
import os
import urllib.error
import urllib.request


def offline_asked() -> bool:
    """Tell whether the user asked to stay offline."""
    return any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in ("KEXP_OFFLINE", "HF_HUB_OFFLINE")
    )


@functools.cache
def reachable() -> bool:
    """Tell whether the hub answers at all within three seconds, through whatever proxy is configured."""
    if offline_asked():
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=3):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def prepare_offline(needed: str | None) -> None:
    """Before transformers or datasets is used: without a hub, let them look into their caches alone.

    ``needed`` is the hub id that is wanted, or None when nothing is to be downloaded.
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
    why = "KEXP_OFFLINE or HF_HUB_OFFLINE is set" if offline_asked() else "the Hugging Face hub does not answer"
    return (
        f'{kind} "{name}" is not in the local cache and {why}; give a local folder with path = "...", '
        f"or download it first where there is a network ({reason})"
    )
