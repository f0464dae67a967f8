"""Backbones of no particular language: anything from the hub, and a small encoder that is trained from scratch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kexp.contracts import BackboneContext, BackboneOptions, MaskedLanguageModel, TokenizerContext
from kexp.errors import Problem
from kexp.pretrained import PretrainedBackbone, set_dropout, set_labels, source_problems, unpinned

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class HubBackbone(PretrainedBackbone):
    """Any encoder of the Hugging Face hub with a pinned revision, or of a local folder."""

    id: str | None = Field(None, description="Hub id, owner/name.")
    revision: str | None = Field(None, description="Commit, tag or branch; a commit makes the experiment repeatable.")

    @property
    def model_id(self) -> str | None:
        """Hub id of the weights."""
        return self.id

    @property
    def pinned(self) -> str | None:
        """Commit, tag or branch of the hub repository."""
        return self.revision

    def problems(self) -> Iterable[Problem]:
        """Yield a missing or ambiguous source, and what a folder lacks."""
        return source_problems(self.id, self.path)

    def warnings(self) -> Iterable[Problem]:
        """Yield a revision that may change, and weights of a folder that are not read."""
        yield from super().warnings()
        yield from unpinned(self.id, self.revision)


class TinyBackbone(BackboneOptions):
    """A small BERT or ELECTRA with fresh weights and a WordPiece vocabulary made from the train split."""

    family: Literal["bert", "electra"] = Field("bert", description="Architecture.")
    layers: int = Field(2, ge=1, le=48, description="Number of layers.")
    hidden: int = Field(128, ge=8, description="Hidden size.")
    heads: int = Field(4, ge=1, description="Attention heads per layer; divides hidden.")
    vocabulary: int = Field(4000, ge=100, description="Most WordPiece pieces, special tokens included.")
    positions: int = Field(256, ge=8, description="Longest input in tokens.")

    def problems(self) -> Iterable[Problem]:
        """Yield a hidden size that the heads do not divide."""
        if self.hidden % self.heads:
            yield Problem("heads", f"{self.heads} heads do not divide a hidden size of {self.hidden}")

    def max_positions(self) -> int | None:
        """Return the option."""
        return self.positions

    def layer_count(self) -> int | None:
        """Return the option."""
        return self.layers

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Make a cased WordPiece tokenizer from the texts."""
        return cased_wordpiece(wordpiece_vocabulary(context.texts, self.vocabulary))

    def build(self, context: BackboneContext) -> PreTrainedModel:
        """Return a classifier with random weights."""
        from transformers import AutoModelForSequenceClassification

        config = self._config(context.tokenizer)
        set_labels(config, context.label_names)
        set_dropout(config, self.dropout)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
        return model

    def masked_language_model_problem(self) -> str:
        """Return that there is no problem."""
        return ""

    def build_masked_language_model(self, tokenizer: PreTrainedTokenizerFast) -> MaskedLanguageModel:
        """Return a masked language model with random weights."""
        from transformers import AutoModelForMaskedLM

        model: PreTrainedModel = AutoModelForMaskedLM.from_config(self._config(tokenizer))  # type: ignore[no-untyped-call]
        return MaskedLanguageModel(model, [name for name, _ in model.named_parameters()])

    def _config(self, tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
        from transformers import AutoConfig

        return AutoConfig.for_model(
            self.family,
            vocab_size=len(tokenizer),
            hidden_size=self.hidden,
            embedding_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.hidden,
            max_position_embeddings=self.positions,
            pad_token_id=tokenizer.pad_token_id,
        )


def wordpiece_vocabulary(texts: Sequence[str], size: int) -> dict[str, int]:
    """Train WordPiece pieces, the same ones every time.

    The trainer of ``tokenizers`` numbers continuing characters in the order of a hash map, and breaks ties by these
    numbers: two runs differ. Naming all characters and their continuing forms beforehand fixes the numbers.
    """
    from tokenizers import Tokenizer, models, trainers

    counts = Counter(character for text in texts for character in text if not character.isspace())
    room = (size - len(SPECIAL_TOKENS)) // 3
    kept = sorted(sorted(counts, key=lambda character: (-counts[character], character))[:room])
    fixed = [*SPECIAL_TOKENS, *kept, *(f"##{character}" for character in kept)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    finished = cased_wordpiece({token: number for number, token in enumerate(SPECIAL_TOKENS)}).backend_tokenizer
    tokenizer.normalizer, tokenizer.pre_tokenizer = finished.normalizer, finished.pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=fixed, initial_alphabet=kept, limit_alphabet=len(kept), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return dict(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))


def cased_wordpiece(vocabulary: dict[str, int]) -> PreTrainedTokenizerFast:
    """Return a WordPiece tokenizer that leaves Hangul whole: stripping accents would decompose it."""
    from transformers import BertTokenizer

    return BertTokenizer(vocab=vocabulary, do_lower_case=False, strip_accents=False, tokenize_chinese_chars=False)
