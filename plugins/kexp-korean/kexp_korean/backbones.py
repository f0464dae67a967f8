"""Korean pre-trained encoders, with the tokenizer, cleaning and positions that each was published with."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from kexp.contracts import KnownWeights, TokenizerContext
from kexp.errors import KexpError, Problem
from kexp.pretrained import PretrainedBackbone
from kexp_korean import kcbert_cleaning
from kexp_korean.sentencepiece_model import KOBERT_SPECIALS, build_tokenizer, read_model, read_vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PretrainedConfig, PreTrainedTokenizerFast


UNCHECKED = "the published files themselves, since no test downloads them; tests use small random models of their form"


class Published(NamedTuple):
    """Where weights are published, how many tokens they read, and the revision used unless a spec gives one.

    Without a revision here, ``kexp check`` warns until a spec gives one, and the option's description says so.
    """

    id: str
    positions: int
    revision: str | None = None


def revision_option(*unpinned: str) -> Any:
    """Return the field of the revision; ``unpinned`` are the choices of which no commit is known to kexp."""
    known = "the one that kexp-korean pins when not given"
    without = f"; none is pinned for {', '.join(unpinned)}" if unpinned else ""
    return Field(None, description=f"Commit, tag or branch of the hub repository; {known}{without}.")


class KoreanBackbone(PretrainedBackbone):
    """Base of the encoders that are known by name: a cased WordPiece tokenizer, and positions known beforehand."""

    WEIGHTS: ClassVar[Mapping[str, Published]]
    """Weights by the value of the option that chooses among them."""

    revision: str | None = revision_option()

    @property
    @abstractmethod
    def published(self) -> Published:
        """The weights that the options choose."""

    @property
    def model_id(self) -> str:
        """Hub id of the weights."""
        return self.published.id

    @property
    def pinned(self) -> str | None:
        """Commit, tag or branch of the hub repository."""
        return self.revision or self.published.revision

    def max_positions(self) -> int | None:
        """Return the folder's positions if one is given, else the published ones."""
        return self.published.positions if self.path is None else super().max_positions()

    @classmethod
    def provenance(cls) -> dict[str, str]:
        """Return the licence, the hub id, revision and positions of each of the weights, and what was not checked."""
        weights = (
            f"{name}: {one.id}, {one.revision or 'no revision is known'}, {one.positions:,} tokens"
            for name, one in cls.WEIGHTS.items()
        )
        return {**super().provenance(), "weights": "; ".join(weights), "unchecked": UNCHECKED}

    def warnings(self) -> Iterable[Problem]:
        """Yield a revision that may change, or that means nothing, and weights of a folder that are not read."""
        yield from super().warnings()
        if self.path is not None and self.revision is not None:
            yield Problem("revision", "path names a local folder, which has no revisions", "remove one of them")
        if self.path is None and self.pinned is None:
            yield Problem("revision", "not pinned: the weights may change under the experiment", "give a commit")

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Load the cased WordPiece tokenizer.

        Loaded by its class: left to guess from a folder with vocab.txt alone, transformers takes lower-casing
        for granted, which breaks Hangul apart, and for a RoBERTa returns a vocabulary of five tokens.
        """
        from transformers import BertTokenizer

        config = self.load_config()
        tokenizer: PreTrainedTokenizerFast = self._load(
            BertTokenizer, do_lower_case=False, strip_accents=False, model_input_names=input_names(config)
        )
        return self._checked(tokenizer, config)

    def _checked(self, tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig) -> PreTrainedTokenizerFast:
        """Refuse a tokenizer of other weights, and let it cut what the model cannot read."""
        # Weights may have spare rows, but transformers makes up a handful of tokens where it finds no vocabulary.
        if not config.vocab_size // 2 < len(tokenizer) <= config.vocab_size:
            raise KexpError(
                f"backbone {self.source}: its tokenizer has {len(tokenizer)} tokens, its weights {config.vocab_size}; "
                "check that vocab.txt or tokenizer.json is there and of the same revision as the weights"
            )
        tokenizer.model_max_length = self.max_positions() or tokenizer.model_max_length
        return tokenizer

    def _downloaded(self, name: str) -> Path:
        """Return a file of the hub repository from the local cache, downloaded first if need be."""
        from huggingface_hub import hf_hub_download

        from kexp.hub import explain_missing, prepare_offline

        prepare_offline(self.model_id)
        try:
            return Path(hf_hub_download(self.model_id, name, revision=self.pinned))
        # As many kinds of failure as there are networks; all mean that the file is not there.
        except Exception as error:
            raise KexpError(explain_missing("backbone", self.source, error)) from error


def input_names(config: PretrainedConfig) -> list[str]:
    """Return the tokenizer's outputs that a model takes: segment ids only where it embeds more than one."""
    segments = ["token_type_ids"] if getattr(config, "type_vocab_size", 1) > 1 else []
    return ["input_ids", *segments, "attention_mask"]


class KcBERT(KoreanBackbone):
    """KcBERT (Lee 2020): BERT on news comments, cleaned as published; reads 300 tokens at most."""

    licence: ClassVar[str] = "MIT (its repository on GitHub; the cards of the weights name none)"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "base": Published("beomi/kcbert-base", 300, "0f2f3f8ce58a3e2dab3f4c9f547cbb612061c2ed"),
        "large": Published("beomi/kcbert-large", 300, "938ed6f46f35cab013c0a7dc85b2d1159a520d09"),
    }

    size: Literal["base", "large"] = Field("base", description="Size of the model.")
    cleaning: bool = Field(
        True, description="Clean as published: keep Hangul and ASCII, drop emoji and URLs, shorten repeats to two."
    )

    @property
    def published(self) -> Published:
        """The weights of this size."""
        return self.WEIGHTS[self.size]

    def clean(self, text: str) -> str:
        """Clean a text as KcBERT's authors did, unless that is switched off."""
        return kcbert_cleaning.clean(text) if self.cleaning else text


class KLUE(KoreanBackbone):
    """BERT and RoBERTa of KLUE (Park et al. 2021); all read 512 tokens, and the RoBERTas take no segment ids."""

    licence: ClassVar[str] = "CC BY-SA 4.0 (of the benchmark and bert-base; the cards of the RoBERTas name none)"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "bert-base": Published("klue/bert-base", 512, "77c8b3d707df785034b4e50f2da5d37be5f0f546"),
        "roberta-small": Published("klue/roberta-small", 512, "b6b4c36d827e0293ae2fcf04d527072f10a23064"),
        "roberta-base": Published("klue/roberta-base", 512, "02f94ba5e3fcb7e2a58a390b8639b0fac974a8da"),
        "roberta-large": Published("klue/roberta-large", 512, "5193b95701189160c45d02a1033a4ea55bdbe259"),
    }
    suggested: ClassVar[tuple[KnownWeights, ...]] = (
        KnownWeights({"model": "roberta-small"}, 68),
        KnownWeights({"model": "roberta-base"}, 111),
    )

    model: Literal["bert-base", "roberta-small", "roberta-base", "roberta-large"] = Field(
        "bert-base", description="Which of KLUE's models."
    )

    @property
    def published(self) -> Published:
        """The weights of this model."""
        return self.WEIGHTS[self.model]


class KoELECTRA(KoreanBackbone):
    """KoELECTRA v3 (Park 2020): the discriminators, on news, encyclopedia, spoken and web texts."""

    licence: ClassVar[str] = "Apache-2.0"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "small": Published(
            "monologg/koelectra-small-v3-discriminator", 512, "7488f8db0f208beff4a1f3f9bb3ed04650a89ed7"
        ),
        "base": Published("monologg/koelectra-base-v3-discriminator", 512, "68b30cd259f34a4b5aa8786392612ba2a2617fcc"),
    }
    suggested: ClassVar[tuple[KnownWeights, ...]] = (
        KnownWeights({"size": "small"}, 14),
        KnownWeights({"size": "base"}, 113),
    )

    size: Literal["small", "base"] = Field("base", description="Size of the model.")

    @property
    def published(self) -> Published:
        """The weights of this size."""
        return self.WEIGHTS[self.size]


class KcELECTRA(KoreanBackbone):
    """KcELECTRA (Lee 2021): ELECTRA on news comments; its published scores were made without cleaning."""

    licence: ClassVar[str] = "MIT"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        # The main branch of this repository has had another vocabulary since 2023.
        "base": Published("beomi/KcELECTRA-base", 512, "a6f029f"),
        # Its author has deprecated the repository KcELECTRA-base-v2022 for this branch.
        "base-v2022": Published("beomi/KcELECTRA-base", 512, "v2022"),
    }
    suggested: ClassVar[tuple[KnownWeights, ...]] = (KnownWeights({"model": "base-v2022"}, 128),)

    model: Literal["base", "base-v2022"] = Field("base", description="The model of 2021, or that of 2022.")

    @property
    def published(self) -> Published:
        """The weights of this model."""
        return self.WEIGHTS[self.model]


class KoBERT(KoreanBackbone):
    """KoBERT and DistilKoBERT as ported by monologg: BERT with a SentencePiece vocabulary that pads with id 1."""

    licence: ClassVar[str] = "Apache-2.0 (its package on GitHub; the cards of the weights name none)"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "kobert": Published("monologg/kobert", 512, "8ebf2818cfd85570737d31ed8cd7aaa000e7056c"),
        "distilkobert": Published("monologg/distilkobert", 512, "cfbce1328041f68781414250c9013128e77e82d2"),
    }
    PIECES: ClassVar[str] = "tokenizer_78b3253a26.model"
    VOCABULARY: ClassVar[str] = "vocab.txt"
    PADDING: ClassVar[int] = 1

    model: Literal["kobert", "distilkobert"] = Field("kobert", description="12 layers, or 3 distilled ones.")

    @property
    def published(self) -> Published:
        """The weights of this model."""
        return self.WEIGHTS[self.model]

    def problems(self) -> Iterable[Problem]:
        """Yield a folder that cannot be a model or has no tokenizer."""
        yield from super().problems()
        folder = self.path
        if folder is not None and folder.is_dir() and not [*folder.glob("*.model"), *folder.glob("tokenizer.json")]:
            yield Problem("path", f"{folder} has no tokenizer", f"copy {self.PIECES} and {self.VOCABULARY} there")

    def load_config(self) -> PretrainedConfig:
        """Load the configuration with the vocabulary's padding, which the published one gets wrong."""
        config = super().load_config()
        config.pad_token_id = self.PADDING
        return config

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Make a fast tokenizer out of the SentencePiece model, or load the one that a kexp run saved."""
        from transformers import PreTrainedTokenizerFast

        config = self.load_config()
        settings = {"model_input_names": input_names(config), **KOBERT_SPECIALS.named()}
        backend = self._backend()
        if backend is None:
            return self._checked(self._load(PreTrainedTokenizerFast, **settings), config)
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **settings)  # type: ignore[no-untyped-call]
        return self._checked(tokenizer, config)

    def _backend(self) -> Tokenizer | None:
        """Return the tokenizer of the SentencePiece model, None for a folder that has none."""
        if self.path is None:
            pieces, vocabulary = self._downloaded(self.PIECES), self._downloaded(self.VOCABULARY)
        else:
            found = sorted(self.path.glob("*.model"), key=lambda path: (path.name != self.PIECES, path.name))
            if not found:
                return None
            pieces, vocabulary = found[0], self.path / self.VOCABULARY
        tokens = read_vocabulary(vocabulary) if vocabulary.is_file() else None
        try:
            return build_tokenizer(read_model(pieces), tokens)
        except ValueError as error:
            remedy = f"take {pieces.name} and {self.VOCABULARY} from one place"
            raise KexpError(f"{vocabulary if tokens else pieces}: {error}; {remedy}") from None
