"""Korean encoders whose tokenizer is read from its own file, whatever class transformers would take for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kexp.contracts import TokenizerContext
from kexp.errors import KexpError, Problem
from kexp.model_tokenizer import need_tokenizer
from kexp_korean.backbones import KoreanBackbone, input_names
from kexp_korean.sentencepiece_model import DEFAULT_SPECIALS, build_tokenizer, nfc_preparation, read_model

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

TOKENIZER = "tokenizer.json"


class WithTokenizerFile(KoreanBackbone):
    """Base of encoders with a tokenizer.json, which is read as it is.

    The tokenizer classes of transformers take the vocabulary alone out of that file, and normalise and divide texts in
    their own way: DebertaV2Tokenizer, for one, without the NFKC of a SentencePiece model.
    """

    TOKENIZERS: ClassVar[tuple[str, ...]] = (TOKENIZER,)
    """Files of which one is enough."""

    def problems(self) -> Iterable[Problem]:
        """Yield a folder that cannot be a model or has no tokenizer."""
        yield from super().problems()
        folder = self.path
        if folder is not None and folder.is_dir() and not any((folder / name).is_file() for name in self.TOKENIZERS):
            yield Problem("path", f"{folder} has no tokenizer", f"copy {' or '.join(self.TOKENIZERS)} there")

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Load tokenizer.json, with the special tokens that tokenizer_config.json names, or those of BERT and DeBERTa.

        The classes of BERT and DeBERTa know the latter by themselves, so that a published file need not name them.
        """
        from transformers import PreTrainedTokenizerFast

        config = self.load_config()
        tokenizer = self._load(PreTrainedTokenizerFast, model_input_names=input_names(config))
        vocabulary = tokenizer.get_vocab()
        for role, token in DEFAULT_SPECIALS.named().items():
            if getattr(tokenizer, role) is None and token in vocabulary:
                setattr(tokenizer, role, token)
        return self._usable(tokenizer, config)

    def _usable(self, tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig) -> PreTrainedTokenizerFast:
        """Refuse a tokenizer of other weights, or one that cannot read Korean."""
        need_tokenizer(tokenizer, config, f'backbone "{self.source}"')
        return self._checked(tokenizer, config)

    def _in_folder(self, name: str) -> Path | None:
        """Return a file of the folder where it stands in for tokenizer.json, which is missing."""
        if self.path is None or (self.path / TOKENIZER).is_file() or not (self.path / name).is_file():
            return None
        return self.path / name


class WithPieces(WithTokenizerFile):
    """Base of encoders with a SentencePiece model, which becomes a fast tokenizer where there is no tokenizer.json."""

    PIECES: ClassVar[str] = "spm.model"
    TOKENIZERS: ClassVar[tuple[str, ...]] = (TOKENIZER, PIECES)

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Load tokenizer.json, or make the tokenizer out of the SentencePiece model."""
        pieces = self._pieces()
        return super().build_tokenizer(context) if pieces is None else self._from_pieces(pieces)

    def _pieces(self) -> Path | None:
        """Return the SentencePiece model, None where there is a tokenizer.json."""
        return self._in_folder(self.PIECES)

    def _from_pieces(self, pieces: Path) -> PreTrainedTokenizerFast:
        from transformers import PreTrainedTokenizerFast

        config, model, specials = self.load_config(), read_model(pieces), DEFAULT_SPECIALS
        tokens = [piece.text for piece in model.pieces]
        # DeBERTa's mask is no piece of its model: it comes after the last one.
        tokens += [] if specials.mask in tokens else [specials.mask]
        try:
            backend = build_tokenizer(model, tokens, preparation=nfc_preparation)
        except ValueError as error:
            raise KexpError(f"{pieces}: {error}; take {pieces.name} from where the weights are") from None
        tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=backend, model_input_names=input_names(config), **specials.named()
        )
        return self._usable(tokenizer, config)
