"""Fast tokenizers out of SentencePiece unigram models, read without the sentencepiece and protobuf packages.

The file is a protocol buffer, ``ModelProto`` of
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto; only the fields named here are read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kexp.errors import KexpError

if TYPE_CHECKING:
    from tokenizers import Tokenizer, normalizers

# Message ModelProto, and the fields of its parts.
PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_TYPE = 1, 2, 3
TRAINER_MODEL_TYPE, TRAINER_BYTE_FALLBACK = 3, 35
NORMALIZER_CHARSMAP, NORMALIZER_DUMMY_PREFIX = 2, 3

UNIGRAM = 1
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
SPACE = "▁"

Preparation = Callable[[], "list[normalizers.Normalizer]"]


class Piece(NamedTuple):
    """One piece with its log probability; ``kind`` is one of the constants above."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """What a tokenizer needs of a model.

    ``charsmap`` is the compiled table of the normaliser, empty for none. With ``byte_fallback``, characters that no
    piece has are read as the bytes of their UTF-8.
    """

    pieces: tuple[Piece, ...]
    charsmap: bytes
    dummy_prefix: bool
    byte_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Specials:
    """The special tokens by role; the defaults are those of KoBERT and DeBERTa."""

    unknown: str = "[UNK]"
    padding: str = "[PAD]"
    classifier: str = "[CLS]"
    separator: str = "[SEP]"
    mask: str = "[MASK]"

    def all(self) -> tuple[str, ...]:
        """Return all of them."""
        return (self.unknown, self.padding, self.classifier, self.separator, self.mask)

    def named(self) -> dict[str, str]:
        """Return them by the names that transformers gives the roles."""
        return {
            "unk_token": self.unknown,
            "pad_token": self.padding,
            "cls_token": self.classifier,
            "sep_token": self.separator,
            "mask_token": self.mask,
        }


DEFAULT_SPECIALS = KOBERT_SPECIALS = Specials()


def read_model(path: Path) -> SentencePieceModel:
    """Read a ``.model`` file; raises ``KexpError`` for anything but a unigram model."""
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise KexpError(f"{path}: cannot be read: {error.strerror}; check the file's permissions") from None
    except (ValueError, IndexError, struct.error) as error:
        raise KexpError(f"{path}: not a SentencePiece unigram model: {error}; download the file again") from None


def read_vocabulary(path: Path) -> list[str]:
    """Read a ``vocab.txt``: one token per line, the line's number from 0 is the id."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise KexpError(f"{path}: cannot be read: {error.strerror}; check the file's permissions") from None
    except UnicodeDecodeError as error:
        raise KexpError(f"{path}: byte {error.start} is not UTF-8; download the file again") from None
    # Not str.splitlines: a piece may be one of the other characters that it takes for a line's end.
    tokens = [line.strip() for line in lines]
    while tokens and not tokens[-1]:
        tokens.pop()
    return tokens


def build_tokenizer(
    model: SentencePieceModel,
    vocabulary: Sequence[str] | None,
    specials: Specials = DEFAULT_SPECIALS,
    preparation: Preparation | None = None,
) -> Tokenizer:
    """Return a tokenizer that writes ``[CLS] text [SEP]``, or ``[CLS] text [SEP] pair [SEP]``.

    ``vocabulary`` gives the ids; without it the model's own order does. ``preparation`` makes what is done to a text
    before the model's own normaliser, KoBERT's unless another is given. Raises ``ValueError`` if the two do not belong
    together. One difference to monologg's slow tokenizer: that splits a piece that ends in a digit and a comma ("0,").
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    tokens = list(vocabulary) if vocabulary is not None else [piece.text for piece in model.pieces]
    scores = _scores(model, tokens, specials)
    tokenizer = Tokenizer(models.Unigram(scores, tokens.index(specials.unknown), model.byte_fallback))
    tokenizer.normalizer = _normalizer(model, preparation or kobert_preparation)
    scheme = "always" if model.dummy_prefix else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme)
    decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoder]) if model.byte_fallback else decoder
    first, last = specials.classifier, specials.separator
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
        special_tokens=[(first, tokens.index(first)), (last, tokens.index(last))],
    )
    tokenizer.add_special_tokens(list(specials.all()))
    own = [piece.text for piece in model.pieces if piece.kind == USER_DEFINED and piece.text not in specials.all()]
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in own])
    return tokenizer


def _scores(model: SentencePieceModel, tokens: Sequence[str], specials: Specials) -> list[tuple[str, float]]:
    """Return every token with its score in the order of the ids; 0 for those that no text is cut into."""
    missing = [token for token in specials.all() if token not in tokens]
    if missing:
        raise ValueError(f"the vocabulary lacks {', '.join(missing)}")
    if len(set(tokens)) < len(tokens):
        raise ValueError("the vocabulary names a token twice")
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind in (NORMAL, USER_DEFINED)}
    unknown = sorted(scores.keys() - set(tokens))
    if unknown:
        shown = ", ".join(map(repr, unknown[:3]))
        raise ValueError(f"{len(unknown)} pieces of the model have no id in the vocabulary, such as {shown}")
    return [(token, scores.get(token, 0.0)) for token in tokens]


def kobert_preparation() -> list[normalizers.Normalizer]:
    """Return KoBERT's preparation of a text.

    Accents are taken off, which needs the decomposed form; Hangul is composed again at once.
    """
    from tokenizers import normalizers

    return [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.NFC(),
    ]


def nfc_preparation() -> list[normalizers.Normalizer]:
    """Return the composition of Hangul: SentencePiece does it by its table, and ``tokenizers`` by the same does not."""
    from tokenizers import normalizers

    return [normalizers.NFC()]


def _normalizer(model: SentencePieceModel, preparation: Preparation) -> normalizers.Normalizer:
    """Return a preparation of texts, followed by the normaliser that the model was trained with."""
    from tokenizers import Regex, normalizers

    steps = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), *preparation()]
    if model.charsmap:
        steps += [normalizers.Precompiled(model.charsmap), normalizers.Replace(Regex(" {2,}"), " ")]
    return normalizers.Sequence(steps)


# --- the wire format of protocol buffers -----------------------------------------------------------------------------


def _parse(content: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    charsmap, dummy_prefix, byte_fallback, model_type = b"", True, False, UNIGRAM
    for number, value in _fields(content):
        if number == PIECES:
            pieces.append(_piece(_message(value)))
        elif number == TRAINER:
            trainer = dict(_fields(_message(value)))
            model_type = int(trainer.get(TRAINER_MODEL_TYPE, UNIGRAM))
            byte_fallback = bool(trainer.get(TRAINER_BYTE_FALLBACK, False))
        elif number == NORMALIZER:
            normalizer = dict(_fields(_message(value)))
            charsmap = _message(normalizer.get(NORMALIZER_CHARSMAP, b""))
            dummy_prefix = bool(normalizer.get(NORMALIZER_DUMMY_PREFIX, True))
    if model_type != UNIGRAM:
        raise ValueError(f"its type is {model_type}, not {UNIGRAM}")
    if not pieces:
        raise ValueError("it holds no pieces")
    return SentencePieceModel(tuple(pieces), charsmap, dummy_prefix, byte_fallback)


def _piece(content: bytes) -> Piece:
    values = dict(_fields(content))
    (score,) = struct.unpack("<f", _message(values.get(PIECE_SCORE, b"\0\0\0\0")))
    kind = int(values.get(PIECE_TYPE, NORMAL))
    if kind not in (NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE):
        raise ValueError(f"a piece is of type {kind}")
    return Piece(_message(values[PIECE_TEXT]).decode(), score, kind)


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a field has the wrong type")
    return value


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value): an integer for varints, the bytes for all else."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(content, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(content, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"byte {place} starts no field")
        if place + size > len(content):
            raise ValueError("the file ends within a field")
        yield key >> 3, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return the number that starts at ``place``, seven bits a byte from the lowest, and the place after it."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
