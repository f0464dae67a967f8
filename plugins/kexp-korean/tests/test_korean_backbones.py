"""Each backbone on a small folder of its own architecture: tokenizer, positions, padding, segment ids, cleaning."""

from __future__ import annotations

import inspect
import json
import os
import sys
import unicodedata
from itertools import chain
from pathlib import Path

import pytest
from small_models import FAMILIES, SENTENCEPIECE, Family, make_folder, write_pieces

from kexp.contracts import BackboneContext, BackboneOptions, DatasetOptions, TokenizerContext
from kexp.errors import KexpError
from kexp_korean import backbones, kcbert_cleaning, plugin
from kexp_korean.backbones import KLUE, KcBERT, KcELECTRA, KoBERT, KoELECTRA, KoreanBackbone
from kexp_korean.deberta import KFDeBERTa, KoreanDeBERTa, MDeBERTa
from kexp_korean.modernbert import AXEncoder
from kexp_korean.sentencepiece_model import build_tokenizer, read_model, read_vocabulary

SHARED = Path(os.environ.get("KEXP_SHARED", Path(__file__).parents[4] / "shared"))
LABELS = ("negative", "positive", "neutral")
ROBERTA, KOBERT = FAMILIES[2], FAMILIES[5]


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


@pytest.fixture
def options(family: Family, tmp_path: Path) -> KoreanBackbone:
    return family.options(**family.choice, path=make_folder(tmp_path / "model", family))


# --- what holds for all ----------------------------------------------------------------------------------------------


def test_positions_are_those_of_the_folder(family: Family, options: KoreanBackbone) -> None:
    assert list(options.problems()) == []
    assert list(options.warnings()) == []
    assert options.max_positions() == family.positions


def test_tokenizer_keeps_hangul_and_case(family: Family, options: KoreanBackbone) -> None:
    tokenizer = options.build_tokenizer(TokenizerContext())
    padding = family.vocabulary.index(family.padding)
    assert tokenizer.pad_token_id == padding
    assert tokenizer.get_vocab() == {token: number for number, token in enumerate(family.vocabulary)}
    assert tokenizer.model_max_length == family.positions
    encoded = tokenizer("정말 영화", "영화")
    first, second, other = family.words("정말", "영화", "영화")
    expected = [family.first, first, second, family.last, other, family.last]
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == expected
    assert ("token_type_ids" in encoded) == family.segments
    if family.segments:
        assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_padding_changes_nothing(family: Family, options: KoreanBackbone) -> None:
    import torch

    tokenizer = options.build_tokenizer(TokenizerContext())
    model = options.build(BackboneContext(LABELS, tokenizer)).eval()
    assert model.config.pad_token_id == tokenizer.pad_token_id == model.get_input_embeddings().padding_idx
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.dtype == torch.float32
    texts = ["영화", "정말 영화 정말 영화 정말"]
    with torch.no_grad():
        together = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        alone = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
    assert together.shape == (2, 3)
    torch.testing.assert_close(together, alone)


def test_every_backbone_and_choice_has_a_family() -> None:
    covered = {(family.options, choice) for family in FAMILIES for choice in family.choices}
    assert covered == {(kind, name) for kind in plugin.kexp_backbones().values() for name in kind.WEIGHTS}


def test_runs_without_padding(family: Family, options: KoreanBackbone) -> None:
    import numpy as np
    import torch

    from kexp.model.flat import FlatModel
    from kexp.model.token_rows import TokenRows

    tokenizer = options.build_tokenizer(TokenizerContext())
    model = options.build(BackboneContext(LABELS, tokenizer)).eval()
    run = FlatModel.of(model)
    assert run is not None
    encoded = tokenizer(["영화", "정말 영화 정말 영화 정말", "재미있다 A"], ["영화", "정말", "한글을"])
    ids = encoded["input_ids"]
    types = torch.tensor(list(chain(*encoded["token_type_ids"]))) if family.segments else None
    rows = TokenRows(torch.tensor(list(chain(*ids))), np.array([len(row) for row in ids]), types)
    with torch.no_grad():
        expected = model(**tokenizer.pad(encoded, return_tensors="pt")).logits
        torch.testing.assert_close(run.logits(rows), expected)
    assert expected.std() > 0


def test_reads_as_many_tokens_as_it_says(family: Family, options: KoreanBackbone) -> None:
    tokenizer = options.build_tokenizer(TokenizerContext())
    model = options.build(BackboneContext(LABELS, tokenizer)).eval()
    full = tokenizer("영화 " * 99, truncation=True, return_tensors="pt")
    assert full["input_ids"].shape == (1, family.positions)
    assert model(**full).logits.shape == (1, 3)
    if not family.bounded:
        return
    over = tokenizer("영화 " * 99, truncation=True, max_length=family.positions + 1, return_tensors="pt")
    with pytest.raises((IndexError, RuntimeError)):
        model(**over)


def test_saved_folder_loads_without_this_package(family: Family, options: KoreanBackbone, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = options.build_tokenizer(TokenizerContext())
    model = options.build(BackboneContext(LABELS, tokenizer)).eval()
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    texts = ["정말 영화.", "한글 재미있다 A"]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    for again in (
        AutoTokenizer.from_pretrained(folder),
        type(options)(path=folder).build_tokenizer(TokenizerContext()),
    ):
        assert again(texts)["input_ids"] == tokenizer(texts)["input_ids"]
        assert again.pad_token_id == tokenizer.pad_token_id
    reloaded = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        torch.testing.assert_close(reloaded(**inputs).logits, model(**inputs).logits)


def test_a_tokenizer_of_other_weights_is_refused(family: Family, options: KoreanBackbone) -> None:
    assert options.path is not None
    vocabulary = [*family.vocabulary, "낯선", "많은"]
    family.write(options.path, vocabulary)
    with pytest.raises(KexpError, match=rf"tokenizer .*has {len(vocabulary)} \w+, its weights {len(vocabulary) - 2}"):
        options.build_tokenizer(TokenizerContext())


def test_a_folder_without_tokenizer_is_refused(family: Family, options: KoreanBackbone) -> None:
    assert options.path is not None
    for name in ("vocab.txt", "tokenizer.json", KoBERT.PIECES, MDeBERTa.PIECES):
        (options.path / name).unlink(missing_ok=True)
    needed = {KoBERT: KoBERT.PIECES, AXEncoder: "tokenizer.json", KFDeBERTa: "tokenizer.json or vocab.txt"}
    needed |= dict.fromkeys((KoreanDeBERTa, MDeBERTa), "tokenizer.json or spm.model")
    if type(options) in needed:
        (problem,) = options.problems()
        assert "has no tokenizer" in problem.message
        assert needed[type(options)] in problem.hint
    with pytest.raises(KexpError, match=str(options.path)):
        options.build_tokenizer(TokenizerContext())


def test_roberta_needs_the_padding_that_its_positions_start_from(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, ROBERTA)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": 0}))
    options = KLUE(model="roberta-base", path=folder)
    with pytest.raises(KexpError, match=r"pad_token_id 0.*pads with 1"):
        options.build(BackboneContext(LABELS, options.build_tokenizer(TokenizerContext())))


# --- what is known without loading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "source", "revision", "positions"),
    [
        (KcBERT(), "beomi/kcbert-base", "0f2f3f8ce58a3e2dab3f4c9f547cbb612061c2ed", 300),
        (KcBERT(size="large"), "beomi/kcbert-large", "938ed6f46f35cab013c0a7dc85b2d1159a520d09", 300),
        (KLUE(), "klue/bert-base", "77c8b3d707df785034b4e50f2da5d37be5f0f546", 512),
        (KLUE(model="roberta-small"), "klue/roberta-small", "b6b4c36d827e0293ae2fcf04d527072f10a23064", 512),
        (KLUE(model="roberta-base"), "klue/roberta-base", "02f94ba5e3fcb7e2a58a390b8639b0fac974a8da", 512),
        (KLUE(model="roberta-large"), "klue/roberta-large", "5193b95701189160c45d02a1033a4ea55bdbe259", 512),
        (
            KoELECTRA(size="small"),
            "monologg/koelectra-small-v3-discriminator",
            "7488f8db0f208beff4a1f3f9bb3ed04650a89ed7",
            512,
        ),
        (
            KoELECTRA(),
            "monologg/koelectra-base-v3-discriminator",
            "68b30cd259f34a4b5aa8786392612ba2a2617fcc",
            512,
        ),
        (KcELECTRA(), "beomi/KcELECTRA-base", "a6f029f", 512),
        (KcELECTRA(revision="main"), "beomi/KcELECTRA-base", "main", 512),
        (KcELECTRA(model="base-v2022"), "beomi/KcELECTRA-base", "v2022", 512),
        (KoBERT(), "monologg/kobert", "8ebf2818cfd85570737d31ed8cd7aaa000e7056c", 512),
        (KoBERT(model="distilkobert"), "monologg/distilkobert", "cfbce1328041f68781414250c9013128e77e82d2", 512),
        (AXEncoder(), "skt/A.X-Encoder-base", "9708f9c404ace91efd25c06fac2d73413616f4ef", 16_384),
        (KFDeBERTa(), "kakaobank/kf-deberta-base", "363b171d71443b0874b0bf9cea053eb5b1650633", 512),
        (KoreanDeBERTa(size="xsmall"), "team-lucid/deberta-v3-xsmall-korean", None, 512),
        (KoreanDeBERTa(size="small"), "team-lucid/deberta-v3-small-korean", None, 512),
        (KoreanDeBERTa(), "team-lucid/deberta-v3-base-korean", "0898a84eb074af87817d57b30c513ee2a42dce48", 512),
        (MDeBERTa(), "microsoft/mdeberta-v3-base", "a0484667b22365f84929a935b5e50a51f71f159d", 512),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_published_facts(options: KoreanBackbone, source: str, revision: str | None, positions: int) -> None:
    assert (options.source, options.pinned, options.max_positions()) == (source, revision, positions)
    assert [problem.path for problem in options.warnings()] == ([] if revision else ["revision"])


@pytest.mark.parametrize("options", plugin.kexp_backbones().values())
def test_the_description_and_the_check_agree_on_what_is_pinned(options: type[KoreanBackbone]) -> None:
    choice = next((name for name in ("size", "model") if name in options.model_fields), None)
    warned = [name for name in options.WEIGHTS if list(options(**({choice: name} if choice else {})).warnings())]
    described = options.model_fields["revision"].description or ""
    _, _, unpinned = described.partition("none is pinned for ")
    assert [name for name in unpinned.removesuffix(".").split(", ") if name] == warned


def test_a_revision_means_nothing_for_a_folder(tmp_path: Path) -> None:
    (warning,) = KLUE(path=tmp_path, revision="main").warnings()
    assert warning.path == "revision"


def test_without_network_the_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for options in (KLUE(), KoBERT(), AXEncoder(), KFDeBERTa(), KoreanDeBERTa(), MDeBERTa()):
        with pytest.raises(KexpError, match=rf'"{options.model_id}" is not in the local cache.*path = '):
            options.build_tokenizer(TokenizerContext())


def test_every_component_is_complete_and_described() -> None:
    components = {**plugin.kexp_datasets(), **plugin.kexp_backbones()}
    assert set(plugin.kexp_backbones()) == {
        "kcbert", "klue", "koelectra", "kcelectra", "kobert", "ax-encoder", "kf-deberta", "deberta-v3-korean", "mdeberta",
    }  # fmt: skip
    for options in components.values():
        assert issubclass(options, DatasetOptions | BackboneOptions)
        assert not inspect.isabstract(options)
        assert options.__doc__
        assert all(described.description for described in options.model_fields.values())


def test_importing_the_plugin_is_light() -> None:
    import subprocess

    heavy = ["torch", "transformers", "datasets", "pandas", "tokenizers", "huggingface_hub"]
    program = f"import sys, kexp_korean.plugin; print([name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == "[]"


# --- KcBERT's cleaning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("재밌어요 ㅋㅋㅋㅋㅋ!!!!", "재밌어요 ㅋㅋ!!!!"),
        ("와아아아아 1000000원", "와아아 100원"),
        ("굿👍🏻굿 ❤️ 최고", "굿 굿 최고"),
        ("漢字와 かな", "와"),
        ("여기 https://www.naver.com/a?b=c#d 보세요", "여기 보세요"),
        ("http://a.co/x.", ""),
        ("  빈   칸\n들 ", "빈 칸 들"),
        ("5％·6∼7 (A+) @나", "5％·6∼7 (A+) @나"),
        ("", ""),
    ],
)
def test_kcbert_cleans_as_published(text: str, cleaned: str) -> None:
    assert KcBERT().clean(text) == cleaned
    assert KcBERT(cleaning=False).clean(text) == text
    assert kcbert_cleaning.clean(cleaned) == cleaned


def test_other_backbones_leave_texts_alone() -> None:
    for options in (KLUE(), KoELECTRA(), KcELECTRA(), KoBERT(), AXEncoder(), KFDeBERTa(), KoreanDeBERTa(), MDeBERTa()):
        assert options.clean("굿👍 ㅋㅋㅋㅋ") == "굿👍 ㅋㅋㅋㅋ"


# --- KoBERT's SentencePiece vocabulary -------------------------------------------------------------------------------


def test_kobert_without_vocabulary_takes_the_order_of_the_pieces(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, KOBERT)
    (folder / "vocab.txt").unlink()
    (folder / KoBERT.PIECES).rename(folder / "spiece.model")
    vocabulary = KoBERT(path=folder).build_tokenizer(TokenizerContext()).get_vocab()
    assert sorted(vocabulary, key=vocabulary.__getitem__) == [*SENTENCEPIECE[:5], *sorted(SENTENCEPIECE[5:])]


def test_kobert_prepares_a_text_as_its_port_does(tmp_path: Path) -> None:
    pieces = tmp_path / "spiece.model"
    write_pieces(pieces, SENTENCEPIECE)
    tokenizer = build_tokenizer(read_model(pieces), None)
    encode = tokenizer.encode
    expected = ["[CLS]", "▁영화", "가", "▁정말", "재미", "있다", "[SEP]"]
    assert encode("영화가 정말재미있다").tokens == expected
    assert encode(unicodedata.normalize("NFD", " 영화가\t정말재미있다\n")).tokens == expected
    # What no piece covers is one unknown token, as long as it may be.
    assert encode("쀍쀏 영화").ids == [2, 5, 0, 6, 3]
    assert encode("").tokens == ["[CLS]", "[SEP]"]
    assert tokenizer.decode(encode("영화가 정말").ids) == "영화가 정말"


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"\x0a\xff", "not a SentencePiece unigram model"),
        (b"<!DOCTYPE html><html></html>", "not a SentencePiece unigram model"),
        (b"", "it holds no pieces"),
    ],
)
def test_damaged_pieces_are_named(tmp_path: Path, content: bytes, finding: str) -> None:
    folder = make_folder(tmp_path, KOBERT)
    (folder / KoBERT.PIECES).write_bytes(content)
    with pytest.raises(KexpError, match=finding) as caught:
        KoBERT(path=folder).build_tokenizer(TokenizerContext())
    assert str(folder / KoBERT.PIECES) in str(caught.value)


def test_pieces_of_another_kind_or_vocabulary_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, KOBERT)
    write_pieces(folder / KoBERT.PIECES, SENTENCEPIECE, model_type=2)
    with pytest.raises(KexpError, match="its type is 2, not 1"):
        KoBERT(path=folder).build_tokenizer(TokenizerContext())
    write_pieces(folder / KoBERT.PIECES, [*SENTENCEPIECE, "낯선"])
    with pytest.raises(
        KexpError, match=r"vocab\.txt: 1 pieces of the model have no id in the vocabulary, such as '낯선'"
    ):
        KoBERT(path=folder).build_tokenizer(TokenizerContext())
    (folder / "vocab.txt").write_text("\n".join(SENTENCEPIECE[5:]), "utf-8")
    with pytest.raises(KexpError, match=r"lacks \[UNK\], \[PAD\]"):
        KoBERT(path=folder).build_tokenizer(TokenizerContext())


def test_tokens_are_those_of_sentencepiece(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    from kexp_korean.dialect_grammar import utterances

    texts = [one.dialect for region in ("jeju", "jeolla") for one in utterances(region, 600, seed=1)]
    (tmp_path / "texts.txt").write_text("\n".join(texts), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "texts.txt"), model_prefix=str(tmp_path / "spiece"), vocab_size=900, minloglevel=2,
        unk_id=0, pad_id=1, bos_id=-1, eos_id=-1, unk_piece="[UNK]", pad_piece="[PAD]",
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    )  # fmt: skip
    original = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    pieces = [original.id_to_piece(number) for number in range(original.get_piece_size())]
    vocabulary = [*pieces[:5], *reversed(pieces[5:])]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    tokenizer = build_tokenizer(read_model(tmp_path / "spiece.model"), read_vocabulary(tmp_path / "vocab.txt"))
    hard = [
        "  여러   칸\t사이 ", "ＡＢＣ １２３ ㈜ ①", "쀍 똠방각하 뷁뷁", "1,000원 3.14%", "이모지😀끝",
        "Latin words here!",
        unicodedata.normalize("NFD", "맛있는 감자를 먹었수다"), "가\u200b나\u00a0다", "...?!~ ㅋㅋㅋ ㅠㅠ", "▁밑줄",
    ]  # fmt: skip
    for text in texts[:300] + hard:
        expected = [vocabulary.index(piece) for piece in original.id_to_piece(original.encode(text))]
        assert tokenizer.encode(text, add_special_tokens=False).ids == expected, text
    assert tokenizer.encode("``café''").tokens == tokenizer.encode('"cafe"').tokens


# --- a real folder ---------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_shared_model_tokenises_as_it_was_trained() -> None:
    from transformers import AutoTokenizer

    path = SHARED / "models" / "ko-mini"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: set KEXP_SHARED")
    options = backbones.KcBERT(path=path)
    assert list(options.problems()) == []
    assert options.max_positions() == 256
    tokenizer = options.build_tokenizer(TokenizerContext())
    texts = ["이 영화 정말 재미있다!", "최악... 돈 아깝다 ㅠㅠ"]
    assert tokenizer(texts)["input_ids"] == AutoTokenizer.from_pretrained(path)(texts)["input_ids"]
    model = options.build(BackboneContext(LABELS[:2], tokenizer))
    assert model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.shape == (2, 2)


# --- the hub's cache -------------------------------------------------------------------------------------------------


def test_what_is_in_the_cache_of_the_hub_is_read_at_the_pinned_revision(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    options = family.options(**family.choice)
    repository = tmp_path / "hub" / f"models--{options.source.replace('/', '--')}"
    commit = options.pinned if len(options.pinned or "") == 40 else "0" * 40
    make_folder(repository / "snapshots" / str(commit), family)
    if commit != options.pinned:
        (repository / "refs").mkdir()
        (repository / "refs" / str(options.pinned)).write_text(str(commit))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    tokenizer = options.build_tokenizer(TokenizerContext())
    assert tokenizer.tokenize("정말 영화") == family.words("정말", "영화")
    model = options.build(BackboneContext(LABELS, tokenizer))
    assert model.config.model_type == family.architecture == options.architecture()
    assert options.layer_count() == family.config.get("num_hidden_layers", 1)
