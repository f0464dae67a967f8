"""Backbones with pre-trained weights of the hub or a folder; plugins extend ``PretrainedBackbone``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from kexp.contracts import BackboneContext, BackboneOptions, MaskedLanguageModel, TokenizerContext
from kexp.errors import KexpError, Problem
from kexp.hub import explain_missing, prepare_offline, reason_of
from kexp.model_files import (
    AGAIN,
    MODEL_FILES,
    WEIGHTS,
    NotAnObject,
    missing_files,
    need_unchanged,
    read_object,
    weight_problems,
)
from kexp.model_tokenizer import OFFSET_POSITIONS, match_padding, need_tokenizer, padding_note, settle_padding
from kexp.options import LocalPath
from kexp.weights import has_trained_head, need_weights, order_head, replace_head
from kexp.weights_licence import stated_licence

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

OVERFLOW_IN_FP16 = ("deberta", "deberta-v2")
"""Types of models whose attention overflows in fp16."""


class PretrainedBackbone(BackboneOptions):
    """A classifier on top of pre-trained weights, read from the Hugging Face hub or from a folder."""

    path: LocalPath | None = Field(None, description="Local Hugging Face folder with config, weights and tokenizer.")
    trust_remote_code: bool = Field(False, description="Let the model's repository run its own Python code.")
    keep_head: bool = Field(
        False, description="Keep the head of a fine-tuned classifier, whose labels must be those of the data."
    )

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
        """Yield what the folder of a model lacks."""
        if self.path is not None:
            yield from (Problem("path", message, hint) for message, hint in folder_problems(self.path))

    def warnings(self) -> Iterable[Problem]:
        """Yield weights of a folder that are not read."""
        if self.path is not None:
            yield from several_weights(self.path)

    def max_positions(self) -> int | None:
        """Read the positions from the model's configuration, if it is on this machine."""
        return positions(self._stored_config())

    def layer_count(self) -> int | None:
        """Read the number of layers from the model's configuration, if it is on this machine.

        Layers that share their weights (ALBERT) count as one.
        """
        return stated_layers(self._stored_config())

    def gradient_checkpointing_problem(self) -> str:
        """Return that the model's class does not support it, if the configuration is on this machine."""
        stored = self._stored_config()
        if not stored or "auto_map" in stored:
            return ""
        import transformers
        from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

        name = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(stored.get("model_type", ""))
        known = name is None or getattr(transformers, name).supports_gradient_checkpointing
        return "" if known else f"{name} does not support it"

    def architecture(self) -> str | None:
        """Read the type of the model, as transformers names it, from the configuration if it is on this machine."""
        named = self._stored_config().get("model_type")
        return named if isinstance(named, str) else None

    def precision_problem(self, precision: str) -> str:
        """Return that models of this type overflow in fp16, if the type is known."""
        return fp16_problem(self.architecture()) if precision == "fp16" else ""

    def origin(self) -> Mapping[str, str]:
        """Return the source of the weights, the revision of a hub repository, and the licence where it is known."""
        if self.path is not None:
            stated = stated_licence(self.path)
            return {"source": self.source, **super().origin(), **({"licence": stated} if stated else {})}
        revision = {} if self.pinned is None else {"revision": self.pinned}
        return {"source": self.source, **revision, **super().origin()}

    def _stored_config(self) -> dict[str, Any]:
        """Return the configuration in the folder or in the hub's cache; empty if it is missing or unreadable."""
        if self.path is not None:
            config = self.path / "config.json"
        else:
            from huggingface_hub import try_to_load_from_cache

            try:
                cached = try_to_load_from_cache(self.source, "config.json", revision=self.pinned)
            except (OSError, ValueError):
                # No id of the hub, which ``problems`` says.
                return {}
            if not isinstance(cached, str):
                return {}
            config = Path(cached)
        try:
            return read_object(config)
        except (OSError, ValueError):
            return {}

    def load_config(self) -> PretrainedConfig:
        """Load the model's configuration; afterwards ``max_positions`` is known."""
        from transformers import AutoConfig

        config: PretrainedConfig = self._load(AutoConfig)
        # Outputs are read by their names, whatever the folder states.
        config.return_dict = True
        return config

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Load the model's own tokenizer."""
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        config = self.load_config()
        tokenizer = self._load(AutoTokenizer)
        settle_padding(tokenizer, config)
        need_tokenizer(tokenizer, config, f'backbone "{self.source}"')
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        return tokenizer

    def build(self, context: BackboneContext) -> PreTrainedModel:
        """Load the weights under a fresh head for the labels, or under the head that the checkpoint has.

        Raises ``KexpError`` for a checkpoint that lacks other weights, or pads with another token than the tokenizer.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        title = f'backbone "{self.source}"'
        if self.path is not None:
            need_unchanged(self.path)
        config = self.load_config()
        trained = [str(label) for _, label in sorted((config.id2label or {}).items())]
        if self.keep_head:
            need_same_labels(trained, context.label_names, title)
        stored = {} if padding_note(context.tokenizer) else self._stored_config()
        match_padding(config, stored, context.tokenizer.pad_token_id, title)
        set_labels(config, trained if self.keep_head else context.label_names)
        set_dropout(config, self.dropout)
        model: PreTrainedModel
        model, loaded = self._load(
            AutoModelForSequenceClassification,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        need_weights(model, loaded, title, head=self.keep_head)
        if self.keep_head:
            order_head(model, trained, context.label_names)
            set_labels(model.config, context.label_names)
        elif has_trained_head(model, loaded):
            options = {"trust_remote_code": self.trust_remote_code, "dtype": torch.float32}
            replace_head(model, AutoModelForSequenceClassification.from_config(deepcopy(config), **options))  # type: ignore[no-untyped-call]
        return model

    def masked_language_model_problem(self) -> str:
        """Return that the model runs code of its own, or that transformers has no masked language model of its type."""
        stored = self._stored_config()
        if "auto_map" in stored:
            return "the model brings code of its own, whose masked language model is not known"
        if not stored:
            return ""
        from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

        kind = stored.get("model_type")
        known = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        return "" if known else f"transformers has no masked language model of type {kind}"

    def build_masked_language_model(self, tokenizer: PreTrainedTokenizerFast) -> MaskedLanguageModel:
        """Load the weights under the head for masked language modelling that the checkpoint has, or a fresh one."""
        import torch
        from transformers import AutoModelForMaskedLM

        title = f'backbone "{self.source}"'
        config = self.load_config()
        # Here the configuration of a hub model is on this machine.
        if problem := self.masked_language_model_problem():
            raise KexpError(f"{title}: {problem}; use another backbone, or leave [pretraining] out")
        match_padding(config, self._stored_config(), tokenizer.pad_token_id, title)
        model, loaded = self._load(
            AutoModelForMaskedLM,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        need_weights(model, loaded, title, head=False)
        return MaskedLanguageModel(model, sorted(loaded["missing_keys"]))

    def _load(self, factory: Any, **options: Any) -> Any:
        options["trust_remote_code"] = self.trust_remote_code
        return load_pretrained(factory, "backbone", self.path or self.source, self.pinned, **options)


def load_pretrained(factory: Any, kind: str, source: Path | str, revision: str | None = None, **options: Any) -> Any:
    """Load what a class of transformers reads from a folder or, where ``source`` is a string, from the hub.

    Without a network the hub's cache is used. No progress bar and no report of weights is shown. Raises ``KexpError``
    that names the ``kind`` of what cannot be loaded.
    """
    local = isinstance(source, Path)
    with quiet_transformers():
        prepare_offline(None if local else str(source))
        try:
            return factory.from_pretrained(str(source), revision=revision or "main", local_files_only=local, **options)
        # A damaged folder raises whatever the libraries below raise.
        except Exception as error:
            if "trust_remote_code" in str(error) and not options.get("trust_remote_code"):
                remedy = "read it, then set trust_remote_code = true"
                raise KexpError(f"{kind} {source} runs Python code of its own; {remedy}") from error
            if local:
                raise KexpError(
                    f"{kind} folder {source} cannot be loaded: {reason_of(error)}; check its files, or copy them again"
                ) from error
            raise KexpError(explain_missing(kind, str(source), error)) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide what transformers tells of loading: its report of weights here, its progress bars from here on."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def source_problems(id: str | None, path: Path | None) -> Iterable[Problem]:
    """Yield a source that is neither a hub id nor a folder, or both, and what the folder lacks."""
    if (id is None) == (path is None):
        yield Problem("id", "give either id, a hub id, or path, a local folder")
    if id is not None and not re.fullmatch(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?", id, re.ASCII):
        yield Problem("id", f'expected a hub id such as "klue/roberta-base", found "{id[:100]}"')
    if path is not None:
        yield from (Problem("path", message, hint) for message, hint in folder_problems(path))


def unpinned(id: str | None, revision: str | None) -> Iterable[Problem]:
    """Yield a warning that a hub repository may change."""
    if id is not None and revision is None:
        yield Problem("revision", "not pinned: the weights may change under the experiment", "give a commit")


def folder_problems(folder: Path) -> Iterable[tuple[str, str]]:
    """Yield (message, remedy) for what a Hugging Face model folder lacks, without loading it."""
    if not folder.is_dir():
        yield f"{folder} does not exist" if not folder.exists() else f"{folder} is not a folder", "give a model folder"
        return
    stored: dict[str, Any] = {}
    try:
        stored = read_object(folder / "config.json")
    except FileNotFoundError:
        yield f"{folder} has no config.json", "give a folder written by save_pretrained, or a download"
    except NotAnObject as error:
        yield f"{folder / 'config.json'} {error}", AGAIN
    except (OSError, ValueError) as error:
        yield f"{folder / 'config.json'} cannot be read: {error}", AGAIN
    yield from weight_problems(folder, stated_layers(stored))
    yield from missing_files(folder)


def fp16_problem(model_type: str | None) -> str:
    """Say why models of a type cannot be run in fp16; empty if they can, or if the type is not known.

    DeBERTa adds products of queries and keys with embeddings of relative positions. In DeBERTa-v2 and v3, transformers
    multiplies in the precision of the forward pass and divides by the root of the width afterwards, so that fp16
    overflows where other models do not; the softmax over what is then infinite is NaN. Masks are not the reason: masked
    scores are the least number of their type. The first DeBERTa divides before, and is refused with the others.
    """
    if model_type not in OVERFLOW_IN_FP16:
        return ""
    found = "adds products with relative positions that may pass 65,504, the largest number of fp16"
    return f"the attention of DeBERTa ({model_type}) {found}, and then the loss is NaN"


def several_weights(folder: Path) -> Iterable[Problem]:
    """Yield a warning that a folder has weights in several files, of which one is read."""
    found = [name for name in WEIGHTS if (folder / name).is_file()]
    if len(found) > 1:
        message = f"{folder} has {' and '.join(found)}, of which {found[0]} is read"
        yield Problem("path", message, "remove what is not meant")


def stated_layers(config: Mapping[str, Any]) -> int | None:
    """Return the number of layers that a configuration states; layers that share their weights (ALBERT) are one."""
    keys = ("num_hidden_groups", "num_hidden_layers", "n_layers", "n_layer")
    count = next((config[key] for key in keys if key in config), None)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else None


def positions(config: dict[str, Any]) -> int | None:
    """Return the usable positions of a model, special tokens included; None if its configuration has none."""
    count = config.get("max_position_embeddings", config.get("n_positions"))
    if not isinstance(count, int) or count <= 0:
        return None
    padding = config.get("pad_token_id", 1)
    if config.get("model_type") in OFFSET_POSITIONS and isinstance(padding, int):
        return count - padding - 1
    return count


def need_same_labels(trained: Sequence[str], labels: Sequence[str], title: str) -> None:
    """Refuse to keep a head whose labels are not those of the data; their order may differ."""
    if sorted(trained) != sorted(labels):
        found = f"{', '.join(trained) or 'none'}, those of the data {', '.join(labels)}"
        remedy = "rename them with dataset.label_names, or leave out backbone.keep_head"
        raise KexpError(f"{title}: the labels of its head are {found}; {remedy}")


def set_labels(config: PretrainedConfig, labels: Sequence[str]) -> None:
    """Make the configuration one of a single-label classifier over ``labels``."""
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = "single_label_classification"


def set_dropout(config: PretrainedConfig, dropout: float | None) -> None:
    """Set the dropout before the classifier, whose name depends on the architecture."""
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


def fingerprint(folder: Path) -> str:
    """Return a hash of the model's files, so that a folder that changes is a new model, wherever it lies."""
    files = sorted(path for path in folder.iterdir() if path.suffix in MODEL_FILES and path.is_file())
    if any(path.suffix == ".safetensors" for path in files):
        files = [path for path in files if path.suffix != ".bin"]
    total = hashlib.blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as content:
            total.update(path.name.encode() + b"\0" + hashlib.file_digest(content, "blake2b").digest())
    return total.hexdigest()
