"""Encoders whose tokenizer is read from its own file: what transformers would make of it otherwise, and of Korean."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from small_models import BYTES, DEBERTA, FAMILIES, SENTENCEPIECE, Family, make_folder, write_config, write_pieces

from kexp.builtin.backbones import HubBackbone
from kexp.contracts import BackboneContext, TokenizerContext
from kexp.errors import KexpError
from kexp.model.flat import FlatModel
from kexp.model.token_rows import TokenRows
from kexp_korean.backbones import KLUE, KoBERT
from kexp_korean.deberta import KFDeBERTa, KoreanDeBERTa, MDeBERTa
from kexp_korean.modernbert import AXEncoder
from kexp_korean.sentencepiece_model import build_tokenizer, nfc_preparation, read_model

LABELS = ("negative", "positive")
AX_ENCODER, KF_DEBERTA, KOREAN_DEBERTA, M_DEBERTA = FAMILIES[-4:]


def tokens(options: AXEncoder | KFDeBERTa | KoreanDeBERTa | MDeBERTa, text: str) -> list[str]:
    tokenizer = options.build_tokenizer(TokenizerContext())
    found: list[str] = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    return found


@pytest.mark.parametrize("family", FAMILIES[-4:], ids=str)
def test_composed_and_decomposed_hangul_are_read_alike(family: Family, tmp_path: Path) -> None:
    options = family.options(path=make_folder(tmp_path, family))
    expected = [family.first, *family.words("정말", "영화"), family.last]
    assert tokens(options, "정말 영화") == expected
    if family is not KF_DEBERTA:
        # BERT's own normaliser composes nothing: the cleaning of kexp does, before any tokenizer.
        assert tokens(options, unicodedata.normalize("NFD", "정말 영화")) == expected
    assert tokens(options, "") == [family.first, family.last]


# --- A.X Encoder ------------------------------------------------------------------------------------------------------


def test_the_last_token_stays_where_a_row_is_cut(tmp_path: Path) -> None:
    from kexp.data.encoding import special_tokens

    tokenizer = AXEncoder(path=make_folder(tmp_path, AX_ENCODER)).build_tokenizer(TokenizerContext())
    special = special_tokens(tokenizer)
    names = [tokenizer.convert_ids_to_tokens(list(ids)) for ids in (special.prefix, special.middle, special.suffix)]
    assert names == [["<s>"], ["</s>"], ["</s>"]]
    cut = tokenizer.convert_ids_to_tokens(tokenizer("영화 " * 9, truncation=True, max_length=4)["input_ids"])
    assert cut == ["<s>", "영화", "영화", "</s>"]


def test_weights_in_bf16_are_trained_in_fp32(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = make_folder(tmp_path, AX_ENCODER)
    stored = load_file(folder / "model.safetensors")
    assert {weights.dtype for weights in stored.values()} == {torch.bfloat16}
    options = AXEncoder(path=folder)
    model = options.build(BackboneContext(LABELS, options.build_tokenizer(TokenizerContext())))
    assert {weights.dtype for weights in model.parameters()} == {torch.float32}
    own = dict(model.model.named_parameters())
    assert all(torch.equal(own[name], weights.float()) for name, weights in stored.items())


def test_pooling_is_that_of_the_folder_unless_chosen(tmp_path: Path) -> None:
    import torch

    folder = make_folder(tmp_path / "model", AX_ENCODER)
    logits = {}
    for pooling in (None, "cls", "mean"):
        options = AXEncoder(path=folder, pooling=pooling)
        tokenizer = options.build_tokenizer(TokenizerContext())
        torch.manual_seed(0)
        model = options.build(BackboneContext(LABELS, tokenizer)).eval()
        assert model.config.classifier_pooling == (pooling or "mean")
        with torch.no_grad():
            logits[pooling] = model(**tokenizer("정말 영화 재미있다", return_tensors="pt")).logits
        model.save_pretrained(tmp_path / "saved")
        assert json.loads((tmp_path / "saved" / "config.json").read_text())["classifier_pooling"] == (pooling or "mean")
    assert torch.equal(logits[None], logits["mean"])
    assert not torch.allclose(logits["cls"], logits["mean"])


def test_pooling_is_refused_where_there_is_none_to_choose(tmp_path: Path) -> None:
    deberta, ax = make_folder(tmp_path / "deberta", KF_DEBERTA), make_folder(tmp_path / "ax", AX_ENCODER)
    (problem,) = AXEncoder(path=deberta, pooling="mean").problems()
    assert (problem.path, problem.hint) == ("pooling", "leave it out")
    assert "deberta-v2, without a pooling" in problem.message
    assert not [*AXEncoder(path=deberta).problems(), *AXEncoder(path=ax, pooling="mean").problems()]


@pytest.mark.parametrize(("kind", "seen"), [("sliding_attention", [1, 2]), ("full_attention", [1, 2, 3, 12])])
def test_the_first_token_sees_its_window_in_a_local_layer_and_all_in_a_global_one(
    kind: str, seen: list[int], tmp_path: Path
) -> None:
    import torch

    folder = make_folder(tmp_path, AX_ENCODER, num_hidden_layers=1, layer_types=[kind])
    options = AXEncoder(path=folder, pooling="cls")
    tokenizer = options.build_tokenizer(TokenizerContext())
    model = options.build(BackboneContext(LABELS, tokenizer)).eval()
    run, other = FlatModel.of(model), tokenizer.convert_tokens_to_ids("영화")
    assert run is not None
    before = tokenizer("정말 " * 20, return_tensors="pt")["input_ids"]
    for forward in (
        lambda ids: model(input_ids=ids).logits,
        lambda ids: run.logits(TokenRows(ids[0], np.array([22]), None)),
    ):
        changes = []
        for place in (1, 2, 3, 12):
            after = before.clone()
            after[0, place] = other
            with torch.no_grad():
                changes += [] if torch.allclose(forward(before), forward(after), atol=1e-7) else [place]
        assert changes == seen


# --- KF-DeBERTa -------------------------------------------------------------------------------------------------------


def test_kf_deberta_is_cased_also_where_vocab_txt_is_alone(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, KF_DEBERTA)
    expected = ["[CLS]", "A", "재미", "##있다", "[SEP]"]
    assert tokens(KFDeBERTa(path=folder), "A 재미있다") == expected
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert list(KFDeBERTa(path=folder).problems()) == []
    assert tokens(KFDeBERTa(path=folder), "A 재미있다") == expected
    # transformers takes DeBERTa's own class for it, which reads no vocab.txt.
    with pytest.raises(KexpError, match="tokenizer"):
        HubBackbone(path=folder).build_tokenizer(TokenizerContext())


def test_kf_deberta_that_takes_words_apart_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, KF_DEBERTA)
    stored = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    stored["normalizer"] = {**stored["normalizer"], "lowercase": True, "strip_accents": True}
    (folder / "tokenizer.json").write_text(json.dumps(stored), "utf-8")
    with pytest.raises(KexpError, match="splits Hangul into letters"):
        KFDeBERTa(path=folder).build_tokenizer(TokenizerContext())


# --- DeBERTa-v3 -------------------------------------------------------------------------------------------------------


def test_the_normaliser_of_the_file_is_kept_which_transformers_replaces(tmp_path: Path) -> None:
    pieces = [*DEBERTA[:-1], "▁5", "[MASK]"]
    folder = make_folder(tmp_path, KOREAN_DEBERTA, pieces)
    expected = ["[CLS]", "▁5", "▁영화", "[SEP]"]
    # Full-width digits, and a space of another width.
    for text in ("5 영화", "５\u3000영화"):
        assert tokens(KoreanDeBERTa(path=folder), text) == expected
    other = HubBackbone(path=folder).build_tokenizer(TokenizerContext())
    assert other.convert_ids_to_tokens(other("5 영화")["input_ids"]) == expected
    assert other.convert_ids_to_tokens(other("５\u3000영화")["input_ids"]) != expected


@pytest.mark.parametrize("family", [KF_DEBERTA, KOREAN_DEBERTA], ids=str)
def test_special_tokens_that_no_file_names_are_those_of_the_class(family: Family, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", family)
    write_config(folder, do_lower_case=False, vocab_type="spm")
    options = family.options(path=folder)
    tokenizer = options.build_tokenizer(TokenizerContext())
    names = [tokenizer.pad_token, tokenizer.unk_token, tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token]
    assert names == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(tokenizer) == len(family.vocabulary)
    tokenizer.save_pretrained(tmp_path / "saved")
    make_folder(tmp_path / "other", family)
    (tmp_path / "saved" / "config.json").write_bytes((tmp_path / "other" / "config.json").read_bytes())
    assert HubBackbone(path=tmp_path / "saved").build_tokenizer(TokenizerContext()).pad_token == "[PAD]"


def test_a_sentencepiece_model_stands_in_for_a_missing_tokenizer_json(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, KOREAN_DEBERTA)
    before = tokens(KoreanDeBERTa(path=folder), "정말 재미있다")
    (folder / "tokenizer.json").unlink()
    write_pieces(folder / "spm.model", DEBERTA[:-1])
    assert (
        tokens(KoreanDeBERTa(path=folder), "정말 재미있다")
        == before
        == ["[CLS]", "▁정말", "▁", "재미", "있다", "[SEP]"]
    )


def test_characters_without_a_piece_are_bytes_where_the_model_has_them(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, M_DEBERTA, [*DEBERTA[:-1], *BYTES, "[MASK]"])
    assert tokens(MDeBERTa(path=folder), "쀍") == ["[CLS]", "▁", "[UNK]", "[SEP]"]
    write_pieces(folder / MDeBERTa.PIECES, [*DEBERTA[:-1], *BYTES], byte_fallback=True)
    expected = [f"<0x{byte:02X}>" for byte in "쀍".encode()]
    options = MDeBERTa(path=folder)
    assert tokens(options, "영화 쀍") == ["[CLS]", "▁영화", "▁", *expected, "[SEP]"]
    tokenizer = options.build_tokenizer(TokenizerContext())
    assert tokenizer.decode(tokenizer("영화 쀍가")["input_ids"], skip_special_tokens=True) == "영화 쀍가"
    # A saved tokenizer does the same, read by this package and without it.
    tokenizer.save_pretrained(folder)
    assert tokens(options, "영화 쀍") == ["[CLS]", "▁영화", "▁", *expected, "[SEP]"]
    again = HubBackbone(path=folder).build_tokenizer(TokenizerContext())
    assert again("영화 쀍")["input_ids"] == tokenizer("영화 쀍")["input_ids"]


def test_pieces_of_other_weights_are_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, M_DEBERTA)
    write_pieces(folder / MDeBERTa.PIECES, ["<unk>", "<s>", "</s>", *DEBERTA[4:-1]])
    with pytest.raises(KexpError, match=r"spm\.model: the vocabulary lacks \[UNK\], \[PAD\], \[CLS\], \[SEP\]; take"):
        MDeBERTa(path=folder).build_tokenizer(TokenizerContext())
    (folder / MDeBERTa.PIECES).write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(KexpError, match="not a SentencePiece unigram model"):
        MDeBERTa(path=folder).build_tokenizer(TokenizerContext())


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_tokens_are_those_of_sentencepiece(byte_fallback: bool, tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    from kexp.testing import korean_texts

    texts = korean_texts(400)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(tmp_path / "spm"), vocab_size=600, minloglevel=2,
        hard_vocab_limit=False, byte_fallback=byte_fallback, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
    )  # fmt: skip
    original = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    model = read_model(tmp_path / "spm.model")
    assert model.byte_fallback == byte_fallback
    names = [piece.text for piece in model.pieces]
    tokenizer = build_tokenizer(model, [*names, "[MASK]"], preparation=nfc_preparation)
    hard = [
        "  여러   칸\t사이 ", "ＡＢＣ １２３ ㈜ ①", "쀍 똠방각하 뷁뷁", "1,000원 3.14%", "이모지😀끝", "café",
        unicodedata.normalize("NFD", "맛있는 감자를 먹었다"), "가\u200b나\u00a0다", "...?!~ ㅋㅋㅋ ㅠㅠ", "", " ",
    ]  # fmt: skip
    for text in [*texts, *hard]:
        # Of several ways to cut a text that are equally likely, each takes its own: ".." and ".", or "." and "..".
        assert sorted(tokenizer.encode(text, add_special_tokens=False).ids) == sorted(original.encode(text)), text


# --- precision and licences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KFDeBERTa, KoreanDeBERTa, MDeBERTa])
def test_fp16_is_refused_before_any_download(kind: type[KFDeBERTa]) -> None:
    assert "65,504" in kind().precision_problem("fp16")
    assert [kind().precision_problem(precision) for precision in ("bf16", "fp32")] == ["", ""]


def test_fp16_is_refused_by_what_a_folder_is(tmp_path: Path) -> None:
    deberta, ax = make_folder(tmp_path / "deberta", M_DEBERTA), make_folder(tmp_path / "ax", AX_ENCODER)
    for kind in (KFDeBERTa, KoreanDeBERTa, MDeBERTa, KLUE, HubBackbone):
        assert "65,504" in kind(path=deberta).precision_problem("fp16")
        assert kind(path=ax).precision_problem("fp16") == ""
    assert AXEncoder().precision_problem("fp16") == KLUE().precision_problem("fp16") == ""


def test_licence_and_weights_are_stated(tmp_path: Path) -> None:
    known = AXEncoder.provenance()
    assert list(known) == ["licence", "weights", "unchecked"]
    assert known["licence"] == "Apache-2.0"
    assert known["weights"] == "base: skt/A.X-Encoder-base, 9708f9c404ace91efd25c06fac2d73413616f4ef, 16,384 tokens"
    assert "xsmall: team-lucid/deberta-v3-xsmall-korean, no revision is known" in KoreanDeBERTa.provenance()["weights"]
    assert MDeBERTa().origin() == {
        "source": "microsoft/mdeberta-v3-base",
        "revision": "a0484667b22365f84929a935b5e50a51f71f159d",
        "licence": "MIT",
    }
    assert KFDeBERTa(path=tmp_path).origin() == {"source": str(tmp_path), "licence": "MIT"}
    assert KoreanDeBERTa(size="small").origin() == {
        "source": "team-lucid/deberta-v3-small-korean", "licence": "Apache-2.0",
    }  # fmt: skip


def test_a_vocabulary_of_sentencepiece_is_no_wordpiece(tmp_path: Path) -> None:
    kobert = next(family for family in FAMILIES if family.options is KoBERT)
    folder = make_folder(tmp_path, kobert)
    write_config(folder, do_lower_case=False, strip_accents=False)
    assert SENTENCEPIECE[6] == "▁영화"
    with pytest.raises(KexpError, match="another class than its vocabulary"):
        HubBackbone(path=folder).build_tokenizer(TokenizerContext())
    assert KoBERT(path=folder).build_tokenizer(TokenizerContext()).tokenize("영화") == ["▁영화"]
