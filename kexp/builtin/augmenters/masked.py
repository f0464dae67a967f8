"""Words put back by a masked language model."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext, Rejected
from kexp.errors import KexpError, Problem
from kexp.options import LocalPath
from kexp.pretrained import fingerprint, load_pretrained, positions, source_problems, unpinned
from kexp.word_augmenter import Guard, WordAugmenterOptions, cut

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

TEXTS_AT_ONCE = 4096
LENGTH_STEP = 16
LONGEST_EOJEOL = 6
"""In tokens; what is longer is mostly a whole sentence written without spaces, and is not masked as one word."""


class MaskFill(WordAugmenterOptions):
    """Mask words and sample others from a masked language model (Kumar et al. 2020, without their label).

    Only letters are masked and put in; a token at the start of a word gives way to such a token, a continuing one to a
    continuing one, so that all spaces and punctuation stay. The model may put back what was there. With
    ``unit = "eojeol"`` the tokens of an eojeol are filled from left to right (Kesgin & Amasyali 2023), as many as were.
    """

    costly: ClassVar[bool] = True

    path: LocalPath | None = Field(None, description="Local Hugging Face folder of a masked language model.")
    id: str | None = Field(None, description="Hub id of a masked language model, owner/name.")
    revision: str | None = Field(None, description="Commit, tag or branch; a commit makes the experiment repeatable.")
    unit: Literal["token", "eojeol"] = Field("token", description="What is masked: single tokens, or whole eojeol.")
    share: float = Field(0.15, gt=0, le=1, description="Share of the units that are masked, at least one.")
    temperature: float = Field(
        1.0, gt=0, le=10, description="Below 1 the likely words become likelier, above 1 less so."
    )
    top_k: int = Field(50, ge=1, description="Number of likeliest tokens among which one is drawn.")
    max_length: int = Field(
        128, ge=3, description="Tokens that the model reads, at most its positions; the rest of a text stays as it is."
    )
    batch_size: int = Field(32, ge=1, description="Texts per forward pass.")

    def problems(self) -> Iterable[Problem]:
        """Yield a missing or ambiguous model, and what a folder lacks."""
        return source_problems(self.id, self.path)

    def warnings(self) -> Iterable[Problem]:
        """Yield a revision that may change."""
        return unpinned(self.id, self.revision)

    def identity(self, context: AugmenterContext) -> str:
        """Name what protected words are learnt from, and the contents of a local model."""
        return super().identity(context) + ("" if self.path is None else fingerprint(self.path))

    def build(self, context: AugmenterContext) -> Augmenter:
        """Load the model; raises ``KexpError`` where there is none, or one without a masked-language-model head."""
        from kexp.devices import torch_device

        guard = self.guard(context)
        model, tokenizer = self._load()
        model = model.to(torch_device(context.device)).eval()  # type: ignore[arg-type]
        length = min(self.max_length, positions(model.config.to_dict()) or self.max_length)
        return MaskFiller(self, context, guard, model, tokenizer, length)

    def _load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        import torch
        from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

        source = self.path or str(self.id)
        load = partial(load_pretrained, kind="masked language model", source=source, revision=self.revision)
        tokenizer = load(AutoTokenizer, trust_remote_code=False)
        model, report = load(
            AutoModelForMaskedLM,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            # Outputs are read by their names, whatever the folder states.
            return_dict=True,
        )
        if report["missing_keys"]:
            missing = ", ".join(sorted(report["missing_keys"])[:3])
            raise KexpError(f"mask-fill: {source} has no masked-language-model head ({missing} not in its weights)")
        if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.mask_token_id is None:
            raise KexpError(f"mask-fill: {source} has no fast tokenizer with a mask token")
        if len(tokenizer) > model.config.vocab_size:
            raise KexpError(f"mask-fill: the tokenizer of {source} has more entries than its weights")
        return model, tokenizer


class Mask(NamedTuple):
    """A masked token: its place among the tokens, its characters, its turn, and the number that draws its successor."""

    place: int
    start: int
    end: int
    turn: int
    draw: float


@dataclass(slots=True)
class Job:
    """One text, its token ids, its masks, and the token id that has been drawn for each place."""

    text: str
    ids: Sequence[int]
    masks: Sequence[Mask]
    drawn: dict[int, int] = field(default_factory=dict)


class MaskFiller:
    """The augmenter."""

    def __init__(
        self,
        options: MaskFill,
        context: AugmenterContext,
        guard: Guard,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        length: int,
    ) -> None:
        self._options, self._context, self._guard = options, context, guard
        self._model, self._tokenizer, self._length = model, tokenizer, length
        self._surfaces, self._usable, self._continuing = _vocabulary(tokenizer, int(model.config.vocab_size))
        # A piece of a character (byte-level BPE) cannot be exchanged for a word; an unknown word can.
        self._exchangeable = {*self._usable.nonzero().flatten().tolist(), tokenizer.unk_token_id}

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return the texts with their masks filled."""
        results: list[str | Rejected] = []
        pairs = list(zip(texts, generators, strict=True))
        for start in range(0, len(pairs), TEXTS_AT_ONCE):
            jobs = self._jobs(pairs[start : start + TEXTS_AT_ONCE])
            for turn in range(LONGEST_EOJEOL):
                for batch in self._batches([job for job in jobs if any(mask.turn == turn for mask in job.masks)]):
                    self._fill(batch, turn)
            results += map(self._result, jobs)
            self._context.progress(f"mask-fill: {len(results)} of {len(pairs)} texts…")
        return results

    def _jobs(self, pairs: Sequence[tuple[str, Random]]) -> list[Job]:
        encoded = self._tokenizer(
            [text for text, _ in pairs],
            truncation=True,
            max_length=self._length,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        columns = (encoded["input_ids"], encoded["offset_mapping"], encoded["special_tokens_mask"])
        return [
            Job(text, ids, self._masks(text, ids, spans, special, random))
            for (text, random), ids, spans, special in zip(pairs, *columns, strict=True)
        ]

    def _masks(
        self, text: str, ids: Sequence[int], spans: Sequence[tuple[int, int]], special: Sequence[int], random: Random
    ) -> list[Mask]:
        """Draw what is masked, and a number for each mask, from the text's own generator."""
        eojeol = [match.start() for match in re.finditer(r"\S+", text)]
        free = set(self._guard.free(text, cut(text, "eojeol"), "eojeol"))
        units: dict[int, list[tuple[int, int, int]]] = {}
        for place, (left, end) in enumerate(spans):
            if special[place] or ids[place] not in self._exchangeable:
                continue
            # Some tokenizers count the space before a word in.
            start = end - len(text[left:end].lstrip())
            number = bisect(eojeol, start) - 1
            if number in free and text[start:end].isalpha():
                units.setdefault(place if self._options.unit == "token" else number, []).append((place, start, end))
        maskable = [unit for unit in units.values() if len(unit) <= LONGEST_EOJEOL]
        if not maskable:
            return []
        chosen = random.sample(maskable, max(1, round(self._options.share * len(maskable))))
        return [Mask(*token, turn, random.random()) for unit in sorted(chosen) for turn, token in enumerate(unit)]

    def _batches(self, jobs: Sequence[Job]) -> Iterable[list[Job]]:
        """Yield texts of similar length together."""
        by_length: dict[int, list[Job]] = {}
        for job in jobs:
            by_length.setdefault(self._padded(job), []).append(job)
        for _, alike in sorted(by_length.items()):
            for start in range(0, len(alike), self._options.batch_size):
                yield alike[start : start + self._options.batch_size]

    def _padded(self, job: Job) -> int:
        return min(self._length, -(-len(job.ids) // LENGTH_STEP) * LENGTH_STEP)

    def _fill(self, batch: Sequence[Job], turn: int) -> None:
        """Draw the masks of one turn.

        The shape of a pass depends on the length of its texts alone, and a batch that is not full is filled up: with
        other shapes the last bits of the logits would differ, and a text's result would depend on its neighbours.
        """
        import torch

        masked = [(row, mask) for row, job in enumerate(batch) for mask in job.masks if mask.turn == turn]
        shape = (self._options.batch_size, self._padded(batch[0]))
        ids = torch.full(shape, self._tokenizer.pad_token_id or 0)
        attention = torch.zeros(shape, dtype=torch.long)
        attention[:, 0] = 1
        for row, job in enumerate(batch):
            ids[row, : len(job.ids)] = torch.tensor(job.ids)
            attention[row, : len(job.ids)] = 1
            for mask in job.masks:
                ids[row, mask.place] = job.drawn.get(mask.place, self._tokenizer.mask_token_id)
        with torch.inference_mode():
            device = self._model.device
            logits = self._model(input_ids=ids.to(device), attention_mask=attention.to(device)).logits
            logits = logits[[row for row, _ in masked], [mask.place for _, mask in masked]].cpu()
        continuing = self._continuing[[batch[row].ids[mask.place] for row, mask in masked]]
        drawn = self._draw(logits, continuing, [mask.draw for _, mask in masked])
        for (row, mask), token in zip(masked, drawn, strict=True):
            batch[row].drawn[mask.place] = token

    def _draw(self, logits: torch.Tensor, continuing: torch.Tensor, numbers: Sequence[float]) -> list[int]:
        """Return a token id per row of logits (masks, vocabulary): where the number falls in the cumulative sum."""
        import torch

        logits = logits.masked_fill(~self._usable | (self._continuing != continuing[:, None]), -torch.inf)
        tokens = logits.topk(min(self._options.top_k, logits.shape[1])).indices.sort().values
        # In the order of ids: in the order of probability, a rounding error could exchange two tokens.
        chances = (logits.gather(1, tokens).double() / self._options.temperature).softmax(-1).cumsum(-1)
        levels = torch.tensor(numbers, dtype=torch.float64)[:, None] * chances[:, -1:]
        found = torch.searchsorted(chances, levels, right=True).clamp(max=tokens.shape[1] - 1)
        chosen: list[int] = tokens.gather(1, found).squeeze(1).tolist()
        return chosen

    def _result(self, job: Job) -> str:
        text = job.text
        for mask in sorted(job.masks, reverse=True):
            text = text[: mask.start] + self._surfaces[job.drawn[mask.place]] + text[mask.end :]
        return text


def _vocabulary(tokenizer: PreTrainedTokenizerFast, size: int) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Return by token id what it writes, whether it may be put into a text, and whether it continues a word."""
    import torch

    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    prefix = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
    if prefix:
        surfaces = [token.removeprefix(prefix) for token in tokens]
    else:
        surfaces = [tokenizer.convert_tokens_to_string([token]).strip() for token in tokens]
    special = set(tokenizer.all_special_ids)
    usable, continuing = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    for number, token in enumerate(tokens):
        usable[number] = surfaces[number].isalpha() and number not in special
        # SentencePiece and byte-level BPE mark the tokens that begin a word, WordPiece those that do not.
        continuing[number] = token.startswith(prefix) if prefix else not token.startswith(("▁", "Ġ"))
    return surfaces, usable, continuing
