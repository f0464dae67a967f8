"""How Weights & Biases is set up for the user: whether there is a key, and which mode applies."""

from __future__ import annotations

import configparser
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

Mode = Literal["online", "offline", "disabled"]

MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
"""Values of WANDB_MODE, and what each means."""

HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
"""Names of W&B's own server in a netrc file, used where no other server is configured."""


def user_mode() -> Mode | None:
    """Return the mode that WANDB_MODE or ``wandb offline`` sets; None where neither does."""
    return MODES.get(os.environ.get("WANDB_MODE") or user_settings().get("mode", ""))


def key_configured() -> bool:
    """Return whether W&B would find credentials; its own lookup is repeated here, since importing it is slow."""
    settings = user_settings()
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")) or "api_key" in settings:
        return True
    server = os.environ.get("WANDB_BASE_URL") or settings.get("base_url")
    hosts = (urlsplit(server).netloc,) if server else HOSTS
    try:
        stored = netrc.netrc(_netrc_file())
    except (OSError, netrc.NetrcParseError):
        return False
    return any(found[2] for host in hosts if (found := stored.authenticators(host)))


def user_settings() -> dict[str, str]:
    """Return what ``wandb login`` and ``wandb offline`` wrote, for the user and for the working folder."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read([folder / "settings", Path("wandb") / "settings"], "utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}
    return dict(parser["default"]) if "default" in parser else {}


def _netrc_file() -> Path:
    if configured := os.environ.get("NETRC"):
        return Path(configured).expanduser()
    usual, other = Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()
    return other if other.exists() and not usual.exists() else usual
