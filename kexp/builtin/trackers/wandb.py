"""Tracker ``wandb``: which run of Weights & Biases mirrors a run, and whether it is online."""

from __future__ import annotations

import configparser
import netrc
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from kexp.builtin.trackers.common import missing
from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from kexp.errors import Problem
from kexp.settings import offline

Mode = Literal["online", "offline", "disabled"]

MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
"""What WANDB_MODE may say."""

HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
"""Under which W&B's own server stands in a netrc file, where no other server is configured."""


class Wandb(TrackerOptions):
    """Mirror runs to Weights & Biases; offline where there is no key or no network, and then says how to send them."""

    project: str | None = Field(None, description="Project; WANDB_PROJECT or the name of the spec when not given.")
    entity: str | None = Field(None, description="Team or user; WANDB_ENTITY or the key's own when not given.")
    group: str | None = Field(None, description="Group of runs; the run folder's or the study's name when not given.")
    job_type: str | None = Field(None, description="Job type; the name of the variant or trial when not given.")
    tags: tuple[str, ...] = Field((), description="Tags of every run.")
    notes: str | None = Field(None, description="Notes of every run.")
    mode: Literal["auto", "online", "offline", "disabled"] = Field(
        "auto", description="auto is online where a key is configured. WANDB_MODE and KEXP_OFFLINE win."
    )
    log_model: bool = Field(False, description="Send the model folder as an artifact.")
    table_rows: int = Field(
        200, ge=0, le=10_000, description="Rows of the table of predictions, texts included; 0 sends no texts."
    )
    init_timeout: float = Field(
        15, gt=0, le=60, description="Seconds for the server to accept a run, before it goes offline."
    )
    finish_timeout: float = Field(
        30, gt=0, description="Seconds at the end for what is not sent yet; large models need more."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a missing package, and a key that is missing where only online will do."""
        yield from missing("wandb", "wandb")
        if self.chosen_mode()[0] == "online" and not key_configured():
            remedy = 'run `wandb login`, set WANDB_API_KEY, or use mode = "auto" or "offline"'
            yield Problem("mode", "online, and no W&B key is configured", remedy)

    def build(self, run: RunIdentity) -> Tracker:
        """Start a run, or go on with it."""
        mode, why = self.chosen_mode()
        if mode == "disabled":
            return Nobody()
        from kexp.builtin.trackers.wandb_run import WandbRun

        return WandbRun(self, run, mode, why)

    def chosen_mode(self) -> tuple[Mode, str]:
        """Return the mode and, where nobody asked to be offline, why it is that."""
        stated = os.environ.get("WANDB_MODE") or user_settings().get("mode", "")
        if stated in MODES:
            return MODES[stated], ""
        if self.mode == "disabled":
            return "disabled", ""
        if offline():
            return "offline", ""
        if self.mode != "auto":
            return self.mode, ""
        return ("online", "") if key_configured() else ("offline", "no W&B key is configured")


class Nobody:
    """Follows nothing."""

    def log(self, event: Mapping[str, Any]) -> None:
        """Do nothing."""

    def finish(self, status: str) -> None:
        """Do nothing."""


def key_configured() -> bool:
    """Tell whether W&B would find credentials; where it looks is looked up here, since importing it is slow."""
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
    if stated := os.environ.get("NETRC"):
        return Path(stated).expanduser()
    usual, other = Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()
    return other if other.exists() and not usual.exists() else usual
