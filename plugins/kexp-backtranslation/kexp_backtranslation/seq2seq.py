"""What translators of Hugging Face sequence-to-sequence folders share: options, tokens, batches, lengths."""

from __future__ import annotations

import json
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt

from kexp.contracts import Decoding, TranslatorContext, TranslatorOptions
from kexp.errors import KexpError
from kexp.pretrained import fingerprint
from kexp_backtranslation.batching import by_budget
from kexp_backtranslation.languages import language_code
from kexp_backtranslation.models import ModelSource
from kexp_backtranslation.workplace import Usage

FORMAT = 1
"""Raise it when the same model and options come to give other translations."""

# No sentence more than doubles in a translation that is one; what goes on longer is a loop, and the gate refuses it.
OUTPUT_RATIO, OUTPUT_EXTRA = 2, 10

Draw = tuple[int, int]
"""The seed, and the number of the copy under it."""


class Seq2SeqOptions(TranslatorOptions):
    """Options of every translator that reads a Hugging Face folder (OPUS-MT, NLLB, M2M100)."""

    model: ModelSource = Field(description="Model out of `language`, or of both ways if it is multilingual.")
    back_model: ModelSource | None = Field(
        None, description="Model of the way back into `language`; `model` where not given."
    )
    language: str = Field(
        "ko", pattern="^[a-z]{2,3}$", description="ISO code of the language that back_model translates into."
    )
    languages: dict[str, str] = Field(
        {}, description="Codes of a multilingual model by ISO code, where they are not the usual ones."
    )
    max_length: int = Field(256, ge=8, description="Tokens of a text that are read; longer ones are cut and counted.")
    batch_tokens: PositiveInt = Field(4096, description="Tokens of a batch, padding included, times the beams.")

    def source_of(self, context: TranslatorContext) -> ModelSource:
        """Return the model for the direction."""
        return self.back_model if self.back_model is not None and context.target == self.language else self.model

    def files(self) -> str:
        """Return a hash of the local models."""
        sources = [self.model, *([] if self.back_model is None else [self.back_model])]
        return " ".join(fingerprint(source.path) for source in sources if source.path is not None)


class Vocabulary:
    """The tokenizer of a folder, set to one direction."""

    def __init__(self, folder: Path, source: str, target: str, languages: dict[str, str], max_length: int) -> None:
        self.tokenizer = load(folder, "AutoTokenizer")
        self.max_length = max_length
        # transformers 5 does not take M2M100's languages for special tokens, and would write them into the text.
        self._words = set(self.tokenizer.get_vocab().values()) - set(self.tokenizer.all_special_ids)
        self.prefix = ""
        self.target_id: int | None = None
        known = self._languages()
        if not known:
            return
        named = known[language_code(target, languages, known, str(folder))]
        if hasattr(self.tokenizer, "supported_language_codes"):  # Marian: the target alone is named, in the text
            self.prefix = named
            return
        self.tokenizer.src_lang = language_code(source, languages, known, str(folder))
        self.target_id = self.tokenizer.convert_tokens_to_ids(named)

    def _languages(self) -> dict[str, str]:
        """Return the model's languages by code, each with the token that names it; empty for a single direction."""
        marian = getattr(self.tokenizer, "supported_language_codes", None)
        if marian is not None:
            return {token[2:-2]: token for token in marian}
        tokens = getattr(self.tokenizer, "lang_code_to_token", None)  # M2M100
        if tokens is not None:
            return dict(tokens)
        words = self.tokenizer.get_added_vocab()
        return {word: word for word in words if len(word) == 8 and word[3] == "_"}  # NLLB: kor_Hang

    def encode(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Return the tokens of each text and how many texts had to be cut."""
        prefixed = [f"{self.prefix} {text}" for text in texts] if self.prefix else list(texts)
        rows: list[list[int]] = self.tokenizer(prefixed, truncation=True, max_length=self.max_length)["input_ids"]
        # A text of exactly this length counts as cut as well; telling them apart would mean tokenising twice.
        return rows, sum(len(row) >= self.max_length for row in rows)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of rows of tokens."""
        # By default, transformers 5 puts Marian's words together by the rules of the source language.
        own = {"use_source_tokenizer": False} if hasattr(self.tokenizer, "spm_target") else {}
        return [
            self.tokenizer.decode(
                [token for token in row if token in self._words], clean_up_tokenization_spaces=False, **own
            ).strip()
            for row in rows
        ]


class Seq2SeqTranslator(ABC):
    """Translates in batches of similar length; engines add the decoding. The model is loaded when it is first used."""

    engine: str

    def __init__(self, options: Seq2SeqOptions, context: TranslatorContext, folder: Path, fingerprint: str) -> None:
        self.options = options
        self.context = context
        self.folder = folder
        self.usage = Usage()
        self._vocabulary: Vocabulary | None = None
        self._tokens: dict[str, list[int]] = {}
        self.identity = json.dumps(
            {
                "engine": self.engine,
                "format": FORMAT,
                "model": fingerprint,
                "languages": options.languages,
                "max_length": options.max_length,
                **self.engine_identity(),
            },
            sort_keys=True,
        )

    @abstractmethod
    def engine_identity(self) -> dict[str, Any]:
        """Return the engine's own options that change translations."""

    @abstractmethod
    def generate(
        self, rows: Sequence[list[int]], texts: Sequence[str], limits: Sequence[int], decoding: Decoding, draw: Draw
    ) -> list[list[int]]:
        """Return the tokens of one translation per row, of at most ``max(limits)`` tokens, special ones allowed."""

    def close(self) -> None:
        """Forget what has been loaded."""
        self._vocabulary = None
        self._tokens.clear()

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer, loaded when it is first used."""
        if self._vocabulary is None:
            start = time.perf_counter()
            longest = min(self.options.max_length, _positions(self.folder))
            source, target = self.context.source, self.context.target
            self._vocabulary = Vocabulary(self.folder, source, target, self.options.languages, longest)
            self.usage.loading += time.perf_counter() - start
        return self._vocabulary

    def batches(self, texts: Sequence[str], decoding: Decoding) -> list[list[int]]:
        """Return batches by length that keep to the budget of tokens."""
        beams = decoding.beams if decoding.method == "beam" else 1
        return by_budget([len(row) for row in self._encode(texts)], self.options.batch_tokens // beams)

    def translate(self, texts: Sequence[str], decoding: Decoding, copies: int, seed: int) -> list[list[str]]:
        """Translate, batch by batch; without sampling all copies are one translation."""
        made: list[list[str]] = [[] for _ in texts]
        rows = self._encode(texts)
        drawn = copies if decoding.method == "sampling" else 1
        for batch in self.batches(texts, decoding):
            limits = [OUTPUT_RATIO * len(rows[row]) + OUTPUT_EXTRA for row in batch]
            longest = _positions(self.folder) - 1
            limits = [min(limit, longest) for limit in limits]
            for copy in range(drawn):
                out = self.generate(
                    [rows[row] for row in batch], [texts[row] for row in batch], limits, decoding, (seed, copy)
                )
                # A batch runs to the limit of its longest row; every row is held to its own, whatever it came with.
                out = [tokens[:limit] for tokens, limit in zip(out, limits, strict=True)]
                self.usage.tokens_in += sum(len(rows[row]) for row in batch)
                self.usage.tokens_out += sum(map(len, out))
                for row, text in zip(batch, self.vocabulary.decode(out), strict=True):
                    made[row].append(text)
        return [row * (copies // drawn) for row in made]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise what has not been tokenised yet: batches are planned for all texts first, and translated later."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        if missing:
            vocabulary, start = self.vocabulary, time.perf_counter()
            rows, cut = vocabulary.encode(missing)
            self._tokens.update(zip(missing, rows, strict=True))
            self.usage.truncated += cut
            self.usage.tokenising += time.perf_counter() - start
        return [self._tokens[text] for text in texts]


def load(folder: Path, factory: str, **options: Any) -> Any:
    """Load a tokenizer or a model by the name of its class in transformers; raises ``KexpError`` with the reason."""
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            # Marian's tokenizer warns of a missing normaliser that transformers 5 never calls.
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            return getattr(transformers, factory).from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **options
            )
    # A damaged folder fails in as many ways as there are libraries below.
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise KexpError(f"translator: {folder} cannot be loaded: {reason}; download the model again") from error


def _positions(folder: Path) -> int:
    """Return the longest input and output of the model, in tokens."""
    positions = json.loads((folder / "config.json").read_text("utf-8")).get("max_position_embeddings")
    return positions if isinstance(positions, int) and positions > 0 else 512
