"""A small random model for every backbone, in a folder as its authors publish it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kexp_korean.backbones import KLUE, KcBERT, KcELECTRA, KoBERT, KoELECTRA, KoreanBackbone
from kexp_korean.deberta import KFDeBERTa, KoreanDeBERTa, MDeBERTa
from kexp_korean.modernbert import AXEncoder

WORDS = ["영화", "정말", "재미", "##있다", "##없다", "A", ".", "한글", "##을"]
WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
KLUE_ROBERTA = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]", *WORDS]
AX = ["<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>", *WORDS]
PIECES = ["▁", "▁영화", "영화", "가", "▁정말", "재미", "있다"]
SENTENCEPIECE = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *PIECES]
DEBERTA = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *PIECES, "[MASK]"]
BYTES = [f"<0x{number:02X}>" for number in range(256)]
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
DEBERTA_V3: dict[str, Any] = {
    **SIZES, "max_position_embeddings": 30, "type_vocab_size": 0, "position_biased_input": False,
    "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 4, "max_relative_positions": -1,
    "share_att_key": True, "norm_rel_ebd": "layer_norm", "pooler_hidden_size": 8, "pad_token_id": 0,
}  # fmt: skip
MODERNBERT: dict[str, Any] = {
    **SIZES, "num_hidden_layers": 3, "max_position_embeddings": 30, "local_attention": 4,
    "global_attn_every_n_layers": 3, "classifier_pooling": "mean", "pad_token_id": AX.index("<pad>"),
    "bos_token_id": 0, "eos_token_id": 1, "cls_token_id": AX.index("<cls>"), "sep_token_id": AX.index("<sep>"),
}  # fmt: skip


# --- a SentencePiece model, written field by field --------------------------------------------------------------------


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def delimited(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def write_pieces(path: Path, pieces: Iterable[str], *, model_type: int = 1, byte_fallback: bool = False) -> None:
    """Write pieces as SentencePiece does: 1 piece (1 text, 2 score, 3 type), 2 trainer (3 type), 3 normaliser."""
    content = b""
    for number, piece in enumerate(pieces):
        kind = 2 if piece == "[UNK]" else 3 if piece.startswith("[") else 6 if piece.startswith("<0x") else 1
        score = b"\x15" + struct.pack("<f", -float(number) / 2 if kind == 1 else 0.0)
        content += delimited(1, delimited(1, piece.encode()) + score + (b"\x18" + varint(kind) if kind != 1 else b""))
    trainer = b"\x18" + varint(model_type) + (varint(35 << 3) + b"\x01" if byte_fallback else b"")
    content += delimited(2, trainer) + delimited(3, delimited(1, b"identity") + b"\x18\x01")
    path.write_bytes(content)


# --- tokenizer files --------------------------------------------------------------------------------------------------


def write_vocabulary(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write vocab.txt alone, without tokenizer_config.json."""
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")


def write_kobert(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write a SentencePiece model whose ids vocab.txt gives in another order."""
    write_vocabulary(folder, vocabulary)
    write_pieces(folder / KoBERT.PIECES, [*vocabulary[:5], *sorted(vocabulary[5:])])


def write_kf_deberta(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write tokenizer.json of a cased BertTokenizer, and vocab.txt beside it."""
    from tokenizers import normalizers

    write_vocabulary(folder, vocabulary)
    normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    write_wordpiece(folder, vocabulary, normalizer, "[UNK]", "[CLS]:0 $A:0 [SEP]:0", "$B:1 [SEP]:1")
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep", "mask")}
    write_config(folder, tokenizer_class="BertTokenizer", do_lower_case=False, **named)


def write_ax_encoder(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write tokenizer.json of WordPiece after NFC, with <s> before and </s> after a text."""
    from tokenizers import normalizers

    write_wordpiece(folder, vocabulary, normalizers.NFC(), "<unk>", "<s>:0 $A:0 </s>:0", "$B:0 </s>:0")
    named = {f"{name}_token": f"<{name}>" for name in ("unk", "pad", "cls", "sep", "mask")}
    named |= {"bos_token": "<s>", "eos_token": "</s>"}
    write_config(folder, tokenizer_class="PreTrainedTokenizerFast", model_max_length=16_384, **named)


def write_wordpiece(
    folder: Path, vocabulary: Sequence[str], normalizer: Any, unknown: str, single: str, second: str
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=unknown))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    write_tokenizer(folder, tokenizer, single, second)


def write_korean_deberta(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write tokenizer.json of a unigram model after NFKC, named as one of DeBERTa's own class."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    scores = [(piece, 0.0 if piece.startswith("[") else -number / 2) for number, piece in enumerate(vocabulary)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=vocabulary.index("[UNK]")))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    write_tokenizer(folder, tokenizer, "[CLS]:0 $A:0 [SEP]:0", "$B:1 [SEP]:1")
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "pad", "cls", "sep", "mask")}
    write_config(folder, tokenizer_class="DebertaV2TokenizerFast", do_lower_case=False, vocab_type="spm", **named)


def write_mdeberta(folder: Path, vocabulary: Sequence[str]) -> None:
    """Write a SentencePiece model alone, which lacks the mask that comes after its pieces."""
    write_pieces(folder / MDeBERTa.PIECES, [token for token in vocabulary if token != "[MASK]"])
    write_config(folder, do_lower_case=False, vocab_type="spm")


def write_tokenizer(folder: Path, tokenizer: Any, single: str, second: str) -> None:
    """Write tokenizer.json with special tokens around a text and, for a pair, ``second`` after it."""
    from tokenizers.processors import TemplateProcessing

    used = sorted({part.rpartition(":")[0] for part in f"{single} {second}".split() if not part.startswith("$")})
    special = [(token, tokenizer.token_to_id(token)) for token in used]
    tokenizer.post_processor = TemplateProcessing(single=single, pair=f"{single} {second}", special_tokens=special)
    tokenizer.add_special_tokens([token for token in tokenizer.get_vocab() if token.startswith(("[", "<"))])
    tokenizer.save(str(folder / "tokenizer.json"))


def write_config(folder: Path, **settings: Any) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


# --- families ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """One kind of published folder; ``positions`` is what a model of it can read.

    ``choices`` are the values of the option that folders of this kind are published for, ``option`` its name.
    """

    options: type[KoreanBackbone]
    choices: tuple[str, ...]
    architecture: str
    config: dict[str, Any]
    vocabulary: Sequence[str] = field(default_factory=lambda: WORDPIECE)
    write: Callable[[Path, Sequence[str]], None] = write_vocabulary
    option: str = ""
    positions: int = 30
    segments: bool = True
    first: str = "[CLS]"
    last: str = "[SEP]"
    padding: str = "[PAD]"
    # Whether more tokens than it has positions raise an error.
    bounded: bool = True
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.options.__name__}-{self.choices[0]}"

    @property
    def choice(self) -> dict[str, str]:
        return {self.option: self.choices[0]} if self.option else {}

    @property
    def pieces(self) -> bool:
        """Whether words begin with a mark, as those of SentencePiece."""
        return "▁" in self.vocabulary

    def words(self, *words: str) -> list[str]:
        """Return the tokens of words that the vocabulary has."""
        return [f"▁{word}" if self.pieces else word for word in words]


FAMILIES = [
    Family(KcBERT, ("base", "large"), "bert", {**SIZES, "max_position_embeddings": 30}, option="size"),
    Family(KLUE, ("bert-base",), "bert", {**SIZES, "max_position_embeddings": 30}, option="model"),
    Family(
        KLUE,
        ("roberta-base", "roberta-small", "roberta-large"),
        "roberta",
        {**SIZES, "max_position_embeddings": 32, "pad_token_id": 1, "type_vocab_size": 1},
        vocabulary=KLUE_ROBERTA,
        option="model",
        segments=False,
    ),
    Family(
        KoELECTRA,
        ("small", "base"),
        "electra",
        {**SIZES, "embedding_size": 4, "max_position_embeddings": 30},
        option="size",
    ),
    Family(
        KcELECTRA,
        ("base", "base-v2022"),
        "electra",
        {**SIZES, "embedding_size": 8, "max_position_embeddings": 30},
        option="model",
    ),
    Family(
        KoBERT,
        ("kobert",),
        "bert",
        {**SIZES, "max_position_embeddings": 30},
        vocabulary=SENTENCEPIECE,
        write=write_kobert,
        option="model",
    ),
    Family(
        KoBERT,
        ("distilkobert",),
        "distilbert",
        {"dim": 8, "hidden_dim": 16, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 30},
        vocabulary=SENTENCEPIECE,
        write=write_kobert,
        option="model",
        segments=False,
    ),
    Family(
        AXEncoder,
        ("base",),
        "modernbert",
        MODERNBERT,
        vocabulary=AX,
        write=write_ax_encoder,
        segments=False,
        first="<s>",
        last="</s>",
        padding="<pad>",
        bounded=False,
        dtype="bfloat16",
    ),
    Family(
        KFDeBERTa,
        ("base",),
        "deberta-v2",
        {**DEBERTA_V3, "type_vocab_size": 2, "position_biased_input": True},
        write=write_kf_deberta,
    ),
    Family(
        KoreanDeBERTa,
        ("base", "small", "xsmall"),
        "deberta-v2",
        DEBERTA_V3,
        vocabulary=DEBERTA,
        write=write_korean_deberta,
        option="size",
        segments=False,
        bounded=False,
    ),
    Family(
        MDeBERTa,
        ("base",),
        "deberta-v2",
        DEBERTA_V3,
        vocabulary=DEBERTA,
        write=write_mdeberta,
        segments=False,
        bounded=False,
    ),
]


def make_folder(path: Path, family: Family, vocabulary: Sequence[str] | None = None, **config: Any) -> Path:
    """Save random weights and a tokenizer as the hub has them."""
    import torch
    from transformers import AutoConfig, AutoModel

    tokens = family.vocabulary if vocabulary is None else vocabulary
    torch.manual_seed(0)
    made = AutoConfig.for_model(family.architecture, **{"vocab_size": len(tokens), **family.config, **config})
    AutoModel.from_config(made).to(getattr(torch, family.dtype)).save_pretrained(path)
    family.write(path, tokens)
    return path


def trained_vocabulary(family: Family) -> list[str]:
    """Return pieces of synthetic Korean texts after the special tokens of a family."""
    from kexp.contracts import TokenizerContext
    from kexp.testing import korean_texts, tiny_backbone

    special = [token for token in family.vocabulary if token[0] + token[-1] in ("[]", "<>")]
    known = tiny_backbone().build_tokenizer(TokenizerContext(korean_texts())).get_vocab()
    words = [token for token in sorted(known, key=known.__getitem__) if not token.startswith("[")]
    if not family.pieces:
        return [*special, *words]
    # Words begin with a mark, and what goes on has none: the other way round than in WordPiece.
    pieces = dict.fromkeys([f"▁{word}" for word in words if not word.startswith("##")])
    pieces |= dict.fromkeys([word.removeprefix("##") for word in words])
    first = [token for token in special if token != "[MASK]"]
    mask = ["[MASK]"] if family.vocabulary[-1] == "[MASK]" else []
    return [*(first if mask else special), "▁", *pieces, *mask]
