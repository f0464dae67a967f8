"""A backbone: a tokenizer and a classifier that belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import kexp
from kexp.contracts import BackboneContext, BackboneOptions, TokenizerContext
from pydantic import Field

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class MyBackbone(BackboneOptions):
    """A small DistilBERT that reads characters, with fresh weights.

    For pre-trained weights extend ``kexp.pretrained.PretrainedBackbone``, which loads them from the hub or a folder.
    """

    layers: int = Field(2, ge=1, le=24, description="Number of layers.")
    hidden: int = Field(64, ge=4, multiple_of=4, description="Hidden size, of four attention heads.")
    positions: int = Field(128, ge=8, description="Longest input in characters, [CLS] and [SEP] included.")

    def max_positions(self) -> int | None:
        """Return the option: a spec with a larger max_length is refused before anything is loaded."""
        return self.positions

    def layer_count(self) -> int | None:
        """Return the option, by which freezing policies are checked."""
        return self.layers

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Make a tokenizer of the characters that the train texts have."""
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        counts = Counter(character for text in context.texts for character in text if not character.isspace())
        # The order of a set differs from process to process; this one is the same for the same texts.
        words = [*SPECIAL, *sorted(counts)]
        tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Replace(Regex(r"\s+"), "")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
        ends = [("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
        tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        made: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer, model_max_length=self.positions, **names
        )
        return made

    def build(self, context: BackboneContext) -> PreTrainedModel:
        """Return a classifier with random weights, which kexp has seeded."""
        from transformers import DistilBertConfig, DistilBertForSequenceClassification

        config = DistilBertConfig(
            vocab_size=len(context.tokenizer),
            dim=self.hidden,
            hidden_dim=4 * self.hidden,
            n_layers=self.layers,
            n_heads=4,
            max_position_embeddings=self.positions,
            pad_token_id=context.tokenizer.pad_token_id,
            id2label=dict(enumerate(context.label_names)),
            label2id={label: number for number, label in enumerate(context.label_names)},
        )
        if self.dropout is not None:
            config.seq_classif_dropout = self.dropout
        return DistilBertForSequenceClassification(config)


@kexp.hookimpl
def kexp_backbones() -> Mapping[str, type[BackboneOptions]]:
    """Name the backbones of this package."""
    return {"my-name": MyBackbone}
