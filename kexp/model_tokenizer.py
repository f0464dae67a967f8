"""Whether a tokenizer is the one of a model: its vocabulary, its padding, and Hangul in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError
from kexp.hub import reason_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

# RoBERTa numbers positions from pad_token_id + 1, so that its table is longer than what it can read.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm", "mpnet")


def need_tokenizer(tokenizer: Any, config: PretrainedConfig, title: str) -> None:
    """Raise ``KexpError`` for a tokenizer that kexp cannot use, or that is not the one of the model."""
    from transformers import PreTrainedTokenizerFast

    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise KexpError(f"{title} has no fast tokenizer (tokenizer.json), which kexp needs")
    # Without tokenizer files transformers silently makes a tokenizer of special tokens alone.
    if tokenizer.get_vocab().keys() <= set(tokenizer.all_special_tokens):
        remedy = "copy it there from where the model was made or downloaded"
        raise KexpError(f"{title} has no tokenizer (tokenizer.json or vocab.txt); {remedy}")
    if tokenizer.pad_token_id is None:
        raise KexpError(f"the tokenizer of {title} has no padding token; state pad_token in tokenizer_config.json")
    limit = tokenizer.model_max_length
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 1 or limit % 1:
        found = f"{title}: tokenizer_config.json says model_max_length {limit!r}"
        raise KexpError(f"{found}; expected a whole number of tokens, 1 or more")
    if _splits_syllables(tokenizer):
        remedy = 'state "do_lower_case": false and "strip_accents": false in tokenizer_config.json'
        raise KexpError(f"the tokenizer of {title} splits Hangul into letters, which its vocabulary lacks; {remedy}")
    try:
        unread = _unread_words(tokenizer)
        tokenizer("영화")
    # Its parts come from files that anybody may have written.
    except Exception as error:
        raise KexpError(f"the tokenizer of {title} cannot read a text: {reason_of(error)}; copy it again") from error
    if unread:
        remedy = "copy tokenizer.json there, or correct tokenizer_class in tokenizer_config.json"
        found = f'{type(tokenizer).__name__} reads words of its own vocabulary as unknown, such as "{unread}"'
        raise KexpError(f"the tokenizer of {title} is of another class than its vocabulary: {found}; {remedy}")
    if len(tokenizer) > config.vocab_size:
        sizes = f"{len(tokenizer)} entries, its weights {config.vocab_size}"
        raise KexpError(f"the tokenizer of {title} has {sizes}; they do not match")


def settle_padding(tokenizer: Any, config: PretrainedConfig) -> None:
    """Let the tokenizer of a language model pad on the right, with a token in which no row ends.

    Its classifier reads the last token of a row, and transformers finds that by the padding token: rows that end in the
    same one would be read a token too early. Where the tokenizer has no padding token, or one in which rows end, the
    configuration's is taken, or another special token, and ``padding_note`` says which. Tokenizers of other models stay
    as they are.
    """
    if not is_language_model(config) or not hasattr(tokenizer, "backend_tokenizer"):
        return
    tokenizer.padding_side = "right"
    try:
        end = _row_end(tokenizer)
    # ``need_tokenizer`` says what is wrong with it.
    except Exception:  # noqa: BLE001
        return
    before = tokenizer.pad_token
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != end:
        return
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    stated = [token for token in added if tokenizer.convert_tokens_to_ids(token) == config.pad_token_id]
    named = [token for token in added if re.search("pad", token, re.IGNORECASE)]
    others = [tokenizer.eos_token, tokenizer.bos_token, *tokenizer.all_special_tokens, tokenizer.unk_token, *added]
    known = [str(token) for token in (*stated, *named, *others) if token is not None]
    chosen = next((token for token in known if tokenizer.convert_tokens_to_ids(token) != end), None)
    if chosen is None:
        return
    tokenizer.pad_token = chosen
    why = "has no padding token" if before is None else f'pads with "{before}", in which its rows end'
    setattr(tokenizer, _NOTE, f'the tokenizer {why}: rows are padded with "{chosen}", which is saved with the model')


_NOTE = "_kexp_padding_note"


def padding_note(tokenizer: Any) -> str:
    """Return what ``settle_padding`` has changed; empty if it has changed nothing."""
    note: str = getattr(tokenizer, _NOTE, "")
    return note


def is_language_model(config: PretrainedConfig) -> bool:
    """Return whether a model is one that reads from left to right and has no masked language model."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind, own = config.model_type, getattr(config, "auto_map", None) or {}
    known = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or "AutoModelForCausalLM" in own
    return known and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _row_end(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """Return the special token that the tokenizer puts behind a text, None if it puts none there."""
    framed, plain = (tokenizer("가", add_special_tokens=special)["input_ids"] for special in (True, False))
    return framed[-1] if framed and framed[-len(plain) :] != plain else None


def _splits_syllables(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Return whether Korean words become letters (jamo) while the vocabulary has syllables alone.

    transformers takes lower-casing for granted where only vocab.txt is there, and every word would be unknown.
    """
    normalizer, vocabulary = tokenizer.backend_tokenizer.normalizer, "".join(tokenizer.get_vocab())
    if normalizer is None or not re.search("[가-힣]", vocabulary):
        return False
    letters = re.compile("[ᄀ-ᇿ]")
    return bool(letters.search(normalizer.normalize_str("영화"))) and not letters.search(vocabulary)


def _unread_words(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return a Korean word of the vocabulary that is unknown when it is read, if many of them are; else "".

    So it is where transformers takes another class than the vocabulary was made for: WordPiece finds no word that
    begins with the mark of SentencePiece.
    """
    vocabulary = tokenizer.get_vocab()
    marked = [token[1:] for token in vocabulary if token.startswith("▁")]
    plain = [token for token in vocabulary if not token.startswith("##")]
    korean = [[word for word in words if re.fullmatch("[가-힣]+", word)] for words in (marked, plain)]
    words = sorted(korean[0] or korean[1])[:100]
    if not words or tokenizer.unk_token_id is None:
        return ""
    unread = [
        word
        for word, ids in zip(words, tokenizer(words, add_special_tokens=False)["input_ids"], strict=True)
        if tokenizer.unk_token_id in ids
    ]
    return unread[0] if len(unread) > len(words) / 4 else ""


def match_padding(config: PretrainedConfig, stored: Mapping[str, Any], padding: int, title: str) -> None:
    """Let the model pad with the tokenizer's token; raises ``KexpError`` where config.json, ``stored``, names another.

    Models whose positions count from the padding token are refused when it is another one, stated or not.
    """
    if config.pad_token_id == padding:
        return
    if isinstance(stored.get("pad_token_id"), int) or config.model_type in OFFSET_POSITIONS:
        raise KexpError(
            f"{title}: config.json says pad_token_id {config.pad_token_id}, but the tokenizer pads with {padding}; "
            "take both from one revision, or correct pad_token_id"
        )
    config.pad_token_id = padding
