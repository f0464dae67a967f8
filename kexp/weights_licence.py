"""The licence of weights in a folder: what its model card says, or what the run had that trained them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD = "README.md"


def stated_licence(folder: Path) -> str:
    """Return what is stated about the licence of a folder's weights; "" where nothing is."""
    return _of_card(folder / CARD) or _of_run(folder)


def _of_card(card: Path) -> str:
    """Return the licence in the metadata of a model card."""
    if not card.is_file():
        return ""
    from huggingface_hub import metadata_load

    try:
        metadata = metadata_load(card)
    # A text that is no card of the hub, for which the reader of its metadata has errors of its own.
    except Exception:  # noqa: BLE001
        return ""
    found = (metadata or {}).get("license")
    names = found if isinstance(found, list) else [found]
    if found == "other":
        names = [(metadata or {}).get("license_name"), "a licence of its own, see its card"]
    return ", ".join(str(name) for name in names if name)


def _of_run(model: Path) -> str:
    """Return the licences of the data and the weights of the run that a model lies in."""
    run = model.resolve().parent
    result = _read(run / "result.json")
    if "variant" not in result:
        return ""
    variants = _read(run.parents[1] / "summary.json").get("variants", {})
    data = result.get("dataset") or variants.get(result["variant"], {}).get("data", {}).get("dataset") or {}
    weights = result.get("backbone", {})
    parts = [f"of its data {data.get('licence') or 'not known'}"]
    # A model without a source had fresh weights.
    parts += [f"of its weights {weights.get('licence') or 'not known'}"] if weights.get("source") else []
    return "; ".join(parts)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
