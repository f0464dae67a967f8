"""Weights of a checkpoint in a classifier: missing ones are refused, and another task's head is replaced."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NAMED = 5
"""Weights that a message names, at most."""


def need_weights(model: PreTrainedModel, loaded: Mapping[str, Any], title: str, *, head: bool) -> None:
    """Refuse a checkpoint that did not fill the model; ``loaded`` is the loading info of ``from_pretrained``.

    Without ``head``, the classifier's head and the pooler may be missing. transformers draws what is missing at random.
    """
    missing = sorted(name for name in loaded["missing_keys"] if head or not _may_be_new(model, name))
    if missing:
        remedy = "give a checkpoint of a whole classifier" if head else "give a checkpoint that is whole"
        if prefix := _extra_prefix(model, missing, loaded["unexpected_keys"]):
            remedy = f'its names begin with "{prefix}": {_prefix_remedy(model, prefix)}'
        elif others := sorted(loaded["unexpected_keys"]):
            remedy = f"{remedy}; it has {_listed(others)}"
        raise KexpError(f"{title}: its weights lack {_listed(missing)}, which would stay random; {remedy}")
    if extra := _extra_layers(model, loaded["unexpected_keys"]):
        remedy = "correct the number of layers in config.json, or take it and the weights from one model"
        raise KexpError(f"{title}: its weights have {_listed(extra)}, for which the model has no place; {remedy}")
    mismatched = sorted(found for found in loaded["mismatched_keys"] if head or not _may_be_new(model, found[0]))
    if mismatched:
        shapes = [f"{name} ({_shape(found)}, expected {_shape(expected)})" for name, found, expected in mismatched]
        remedy = "take config.json and the weights from one model"
        raise KexpError(f"{title}: weights of another shape: {_listed(shapes)}; {remedy}")
    if broken := [name for name, parameter in model.named_parameters() if not bool(parameter.isfinite().all())]:
        raise KexpError(f"{title}: weights that are not finite (NaN or infinite): {_listed(broken)}; download it again")


def has_trained_head(model: PreTrainedModel, loaded: Mapping[str, Any]) -> bool:
    """Return whether the checkpoint had an output layer of a classifier, of whatever size."""
    name, layer = _output_layer(model)
    return any(f"{name}.{part}" not in loaded["missing_keys"] for part, _ in layer.named_parameters())


def replace_head(model: PreTrainedModel, fresh: PreTrainedModel) -> None:
    """Copy the head of a fresh model; the pooler stays, since it is pre-trained in most families."""
    drawn = dict(fresh.named_parameters())
    for name, parameter in model.named_parameters():
        if _may_be_new(model, name) and "pooler" not in name:
            parameter.data.copy_(drawn[name].data)


def order_head(model: PreTrainedModel, old: Sequence[str], new: Sequence[str]) -> None:
    """Put the rows of the output layer, which are in the order of the ``old`` labels, into that of the ``new``."""
    _, layer = _output_layer(model)
    order = [old.index(label) for label in new]
    for parameter in layer.parameters():
        parameter.data.copy_(parameter.data[order].clone())


def _may_be_new(model: PreTrainedModel, name: str) -> bool:
    """Return whether a weight is one of the head or the pooler, which a classifier may have to learn anew."""
    base = model.base_model_prefix
    if not base or not hasattr(model, base):
        return name.startswith(f"{_output_layer(model)[0]}.")
    return not name.startswith(f"{base}.") or "pooler" in name


def _extra_layers(model: PreTrainedModel, unexpected: Iterable[str]) -> list[str]:
    """Return weights of layers that the model does not have, which transformers leaves out without a word."""
    base = f"{model.base_model_prefix}."
    inner = (name.removeprefix(base) for name in model.state_dict() if name.startswith(base))
    stacks = {stack for name in inner if (stack := _stack(name))}
    return sorted(name for name in unexpected if _stack(name.removeprefix(base)) in stacks)


def _stack(name: str) -> str | None:
    """Return what stands before the number of a layer."""
    found = re.match(r"(.*?)\.\d+\.", name)
    return found[1] if found else None


def _output_layer(model: PreTrainedModel) -> tuple[str, torch.nn.Module]:
    """Return the layer that makes logits: the last linear one outside the base model, where there is one."""
    import torch

    base = f"{model.base_model_prefix}."
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return next((one for one in reversed(linear) if not one[0].startswith(base)), linear[-1])


def _extra_prefix(model: PreTrainedModel, missing: Sequence[str], others: Iterable[str]) -> str | None:
    """Return what most of the missing names have before them in the checkpoint, as after ``DataParallel``."""
    others = list(others)
    for cut in ("", f"{model.base_model_prefix}."):
        ends = [f".{name.removeprefix(cut)}" for name in missing]
        found = Counter(other.removesuffix(end[1:]) for end in ends for other in others if other.endswith(end))
        if found:
            return found.most_common(1)[0][0]
    return None


def _prefix_remedy(model: PreTrainedModel, prefix: str) -> str:
    from transformers import CONFIG_MAPPING

    last = prefix.rstrip(".").rpartition(".")[2]
    if last in CONFIG_MAPPING and last != model.base_model_prefix:
        return (
            f"they are of a model of type {last}, config.json says {model.config.model_type}; take both from one model"
        )
    return "save the weights again under names without that prefix"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _shape(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
