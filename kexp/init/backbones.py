"""Which backbone a first spec names: one whose weights fit the machine, and can be had."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kexp.catalog import Catalog
from kexp.contracts import AnyBackbone, BackboneOptions
from kexp.errors import KexpError, did_you_mean
from kexp.hub import obstacle
from kexp.pretrained import PretrainedBackbone

CPU_PARAMETERS = 30
"""Millions of parameters that a processor trains in a time that one waits for."""
SMALL_GPU_GIB = 6
SMALL_GPU_PARAMETERS = 70
GPU_PARAMETERS = 200
FRESH = {"use": "tiny"}
"""A small model with fresh weights, which needs no download."""
SHARE_ALIKE = "BY-SA"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A ``[backbone]``, with the component that it makes, the size of the weights in millions, and their licence."""

    table: Mapping[str, Any]
    options: BackboneOptions
    parameters: int | None = None

    @property
    def title(self) -> str:
        """The name of the component, with what chooses among its weights."""
        return " ".join(str(value) for key, value in self.table.items() if key in ("use", "size", "model", "id"))

    @property
    def sentence(self) -> str:
        """The title, with size and licence."""
        size = f"{self.parameters} million parameters" if self.parameters else ""
        return ", ".join(part for part in (self.title, size, self.options.licence.split(" (")[0]) if part)

    @property
    def fresh(self) -> bool:
        """Whether the model starts from nothing."""
        return not isinstance(self.options, PretrainedBackbone)

    @property
    def is_here(self) -> bool:
        """Whether the weights need no download."""
        if not isinstance(self.options, PretrainedBackbone):
            return True
        return self.options.path is not None or self.options.architecture() is not None


def machine() -> tuple[str, int]:
    """Return what a model would be trained on, in words, and the millions of parameters that suit it."""
    import torch

    if torch.cuda.is_available():
        gib = torch.cuda.get_device_properties(0).total_memory / 2**30
        size = SMALL_GPU_PARAMETERS if gib < SMALL_GPU_GIB else GPU_PARAMETERS
        return f"{torch.cuda.get_device_name(0)}, {gib:.0f} GiB", size
    if torch.backends.mps.is_available():
        return "the GPU of a Mac", SMALL_GPU_PARAMETERS
    return f"a CPU of {os.cpu_count()} cores", CPU_PARAMETERS


def suggestions(catalog: Catalog) -> list[Suggestion]:
    """Return the weights that installed backbones offer for a first spec, the smallest first."""
    found = []
    for entry in catalog.entries("backbone"):
        for weights in getattr(entry.options, "suggested", ()) if catalog.state(entry) == "ok" else ():
            table = {"use": entry.name, **weights.options}
            found.append(Suggestion(table, _built(table, catalog), weights.parameters))
    return sorted(found, key=lambda suggestion: suggestion.parameters or 0)


def choose(catalog: Catalog, most: int) -> tuple[Suggestion, str]:
    """Return the largest weights of at most ``most`` million parameters, and why none where there are none.

    Weights without a share-alike licence come first. Off the network only those on this machine count; without any, it
    is a small model with fresh weights.
    """
    fresh = Suggestion(FRESH, _built(FRESH, catalog))
    known = suggestions(catalog)
    if not known:
        return fresh, "no installed package names Korean models; kexp-korean, in plugins/ of the repository, does"
    fitting = [one for one in known if (one.parameters or 0) <= most] or known[:1]
    if not any(one.is_here for one in fitting) and (reason := obstacle()):
        return fresh, f"{reason}, and no Korean model is on this machine"
    if obstacle():
        fitting = [one for one in fitting if one.is_here]
    return max(fitting, key=lambda one: (SHARE_ALIKE not in one.options.licence, one.parameters or 0)), ""


def named(name: str, catalog: Catalog) -> Suggestion:
    """Return the backbone that a user names: a component, the hub id of weights, or a folder.

    Raises ``KexpError`` for a name that is none of these.
    """
    path = Path(name)
    with suppress(OSError):
        if path.is_dir():
            return _of({"use": "hf", "path": str(path.resolve())}, catalog)
    for one in suggestions(catalog):
        if getattr(one.options, "model_id", None) == name or one.title == name:
            return one
    known = [entry.name for entry in catalog.entries("backbone") if entry.name != "hf"]
    if name in known:
        return next((one for one in suggestions(catalog) if one.table["use"] == name), _of({"use": name}, catalog))
    if name.count("/") == 1 and all(name.split("/")) and not any(map(str.isspace, name)):
        return _of({"use": "hf", "id": name}, catalog)
    expected = "expected an installed backbone, a hub id (owner/name), or a folder with a model"
    raise KexpError(f"--model {name}: {expected}; {did_you_mean(name, known)}")


def _of(table: Mapping[str, Any], catalog: Catalog) -> Suggestion:
    return Suggestion(table, _built(table, catalog))


def _built(table: Mapping[str, Any], catalog: Catalog) -> BackboneOptions:
    try:
        options: BackboneOptions = TypeAdapter(AnyBackbone).validate_python(dict(table), context={"catalog": catalog})
    except ValidationError as error:
        found = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise KexpError(f'backbone "{table["use"]}": {found}') from None
    return options
