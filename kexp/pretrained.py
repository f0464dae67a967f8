"""Backbones that start from published weights, of the hub or a folder; packages extend ``PretrainedBackbone``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from kexp.contracts import BackboneOptions
from kexp.errors import KexpError, Problem
from kexp.hub import explain_missing, prepare_offline
from kexp.options import LocalPath

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# RoBERTa numbers positions from pad_token_id + 1, so that its table is longer than what it can read.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm", "mpnet")


class PretrainedBackbone(BackboneOptions):
    """A classifier on top of pre-trained weights, read from the Hugging Face hub or from a folder."""

    path: LocalPath | None = Field(None, description="Local Hugging Face folder with config, weights and tokenizer.")
    trust_remote_code: bool = Field(False, description="Let the model's repository run its own Python code.")

    @property
    def model_id(self) -> str | None:
        """Hub id of the weights."""
        return None

    @property
    def pinned(self) -> str | None:
        """Commit, tag or branch of the hub repository."""
        return None

    @property
    def source(self) -> str:
        """The folder if one is given, else the hub id."""
        return str(self.path or self.model_id)

    def problems(self) -> Iterable[Problem]:
        """Yield a folder that cannot be a model."""
        if self.path is not None:
            yield from (Problem("path", message, hint) for message, hint in folder_problems(self.path))

    def max_positions(self) -> int | None:
        """Read the positions from the model's configuration, if it is on this machine."""
        return positions(self._stored_config())

    def layer_count(self) -> int | None:
        """Read the number of layers from the model's configuration, if it is on this machine.

        Layers that share their weights (ALBERT) count as one.
        """
        stored = self._stored_config()
        count = next(
            (stored[key] for key in ("num_hidden_groups", "num_hidden_layers", "n_layers") if key in stored), None
        )
        return count if isinstance(count, int) else None

    def _stored_config(self) -> dict[str, Any]:
        """Return the configuration in the folder or in the hub's cache; empty when it is not there or unreadable."""
        if self.path is not None:
            config = self.path / "config.json"
        else:
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(self.source, "config.json", revision=self.pinned)
            if not isinstance(cached, str):
                return {}
            config = Path(cached)
        try:
            stored = json.loads(config.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def load_config(self) -> PretrainedConfig:
        """Load the model's configuration; afterwards ``max_positions`` is known."""
        from transformers import AutoConfig

        config: PretrainedConfig = self._load(AutoConfig)
        return config

    def build_tokenizer(self, texts: Sequence[str]) -> PreTrainedTokenizerFast:
        """Load the model's own tokenizer."""
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        config = self.load_config()
        tokenizer = self._load(AutoTokenizer)
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise KexpError(f'backbone "{self.source}" has no fast tokenizer (tokenizer.json), which kexp needs')
        # Without tokenizer files transformers makes a tokenizer of special tokens alone, and says nothing.
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise KexpError(f'backbone "{self.source}" has no tokenizer (tokenizer.json or vocab.txt)')
        if tokenizer.pad_token_id is None:
            raise KexpError(f'the tokenizer of backbone "{self.source}" has no padding token')
        if len(tokenizer) > config.vocab_size:
            sizes = f"{len(tokenizer)} entries, its weights {config.vocab_size}"
            raise KexpError(f'the tokenizer of backbone "{self.source}" has {sizes}; they do not belong together')
        return tokenizer

    def build(self, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
        """Load the weights under a fresh head for ``labels``."""
        import torch
        from transformers import AutoModelForSequenceClassification

        config = self.load_config()
        set_labels(config, labels)
        set_dropout(config, self.dropout)
        # A head of another size, from an earlier fine-tuning, is replaced; the log names what was.
        model: PreTrainedModel = self._load(
            AutoModelForSequenceClassification, config=config, dtype=torch.float32, ignore_mismatched_sizes=True
        )
        return model

    def _load(self, factory: Any, **options: Any) -> Any:
        prepare_offline(None if self.path else self.model_id)
        try:
            return factory.from_pretrained(
                self.source, revision=self.pinned or "main", trust_remote_code=self.trust_remote_code, **options
            )
        # A damaged folder fails in as many ways as there are libraries below; none of them is kexp's own mistake.
        except Exception as error:
            if self.path:
                raise KexpError(f"backbone folder {self.path} cannot be loaded: {error}") from error
            raise KexpError(explain_missing("backbone", self.source, error)) from error


def folder_problems(folder: Path) -> Iterable[tuple[str, str]]:
    """Yield (message, remedy) for what a Hugging Face model folder lacks, without loading it."""
    if not folder.is_dir():
        yield f"{folder} does not exist" if not folder.exists() else f"{folder} is not a folder", "give a model folder"
        return
    try:
        if not isinstance(json.loads((folder / "config.json").read_text("utf-8")), dict):
            yield f"{folder / 'config.json'} holds no object", "download the model again"
    except FileNotFoundError:
        yield f"{folder} has no config.json", "give a folder that save_pretrained or a download made"
    except (OSError, ValueError) as error:
        yield f"{folder / 'config.json'} cannot be read: {error}", "download the model again"
    if not any((folder / name).is_file() for name in WEIGHTS):
        yield f"{folder} has no weights ({WEIGHTS[0]})", "give a folder that save_pretrained or a download made"
    for index in (folder / name for name in WEIGHTS if name.endswith(".index.json")):
        if index.is_file():
            yield from _missing_parts(index)
    for weights in folder.glob("*.safetensors"):
        yield from _damaged(weights)


def _missing_parts(index: Path) -> Iterable[tuple[str, str]]:
    try:
        parts = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield f"{index} cannot be read: {error}", "download the model again"
        return
    missing = sorted(part for part in parts if not (index.parent / part).is_file())
    if missing:
        yield f"{index.parent} lacks a part of the weights: {', '.join(missing)}", "download the model again"


def _damaged(weights: Path) -> Iterable[tuple[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        yield f"{weights} is damaged: {error}", "download the model again"


def positions(config: dict[str, Any]) -> int | None:
    """Return the usable positions that a model's configuration states, special tokens included."""
    stated = config.get("max_position_embeddings")
    if not isinstance(stated, int) or stated <= 0:
        return None
    if config.get("model_type") in OFFSET_POSITIONS:
        return stated - int(config.get("pad_token_id", 1)) - 1
    return stated


def set_labels(config: PretrainedConfig, labels: Sequence[str]) -> None:
    """Make the configuration one of a single-label classifier over ``labels``."""
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = "single_label_classification"


def set_dropout(config: PretrainedConfig, dropout: float | None) -> None:
    """Set the dropout before the classifier, whatever this architecture calls it."""
    if dropout is None:
        return
    if config.model_type in ("deberta", "deberta-v2"):
        config.cls_dropout = dropout  # read by the model, yet not an attribute of a fresh configuration
        return
    for name in ("classifier_dropout", "seq_classif_dropout", "classifier_dropout_prob", "summary_last_dropout"):
        if hasattr(config, name):
            setattr(config, name, dropout)
            return
    raise KexpError(f"backbone.dropout: models of type {config.model_type} have no dropout before the classifier")
