"""What a model's configuration says of its encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD = {"_name_or_path", "id2label", "label2id", "architectures", "problem_type"}
"""Keys that say where the model lies and what its head is."""


def encoder_config(model: PreTrainedModel) -> dict[str, Any]:
    """Return the configuration without the place of the model and what its head is."""
    return {name: value for name, value in model.config.to_dict().items() if name not in HEAD}
