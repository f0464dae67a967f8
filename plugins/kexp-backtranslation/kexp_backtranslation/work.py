"""Texts through a translator and the store: what is missing is translated batch by batch, and kept at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kexp.contracts import Decoding, Translator
from kexp.errors import RunFailed
from kexp.seeds import derive
from kexp_backtranslation.batching import in_chunks
from kexp_backtranslation.progress import Meter, Progress
from kexp_backtranslation.store import Job, Store
from kexp_backtranslation.workplace import Batching, Metered

POLL = 0.2
"""Seconds between two looks at what another process is translating."""


@dataclass(slots=True)
class Worker:
    """Translates in one direction through the store."""

    store: Store
    translator: Translator
    source: str
    target: str
    decoding: Decoding
    seed: int
    meter: Meter

    def translate(self, texts: Sequence[str], copy: int, progress: Progress) -> Mapping[str, str]:
        """Return copy number ``copy`` of the translation of each text, by text."""
        job = Job(self.translator.identity, self.source, self.target, self.decoding, self.seed, copy)
        texts = list(dict.fromkeys(texts))
        with self.meter.measure("store"):
            known = self.store.kept(job, texts)
        progress.skip(len(known))
        if len(known) == len(texts):
            return {text: known[text] for text in texts}
        # Planned over all texts, also those that are there: a job that continues forms the same batches as one that
        # was never stopped, so that engines whose results depend on the batch give the same results too.
        plan = [[texts[row] for row in batch] for batch in self._batches(texts)]
        while len(known) < len(texts):
            before = len(known)
            for batch in plan:
                missing = [text for text in batch if text not in known]
                if missing:
                    known |= self._one_batch(job, missing, progress)
            missing = [text for text in texts if text not in known]
            with self.meter.measure("store"):
                others = self.store.kept(job, missing)
            progress.skip(len(others))
            known |= others
            if len(known) == before:
                progress.wait(len(missing))
                with self.meter.measure("waiting for another process"):
                    time.sleep(POLL)
        # In the given order: what comes next is planned in it, whichever of these were there already.
        return {text: known[text] for text in texts}

    def _batches(self, texts: Sequence[str]) -> list[list[int]]:
        with self._counted("planning"):
            if isinstance(self.translator, Batching):
                return self.translator.batches(texts, self.decoding)
        return in_chunks(texts)

    def _one_batch(self, job: Job, texts: Sequence[str], progress: Progress) -> dict[str, str]:
        """Translate and keep those texts of a batch that no other process has made or claimed."""
        with self.meter.measure("store"):
            mine = self.store.claim(job, texts)
        if not mine:
            return {}
        # The copy is part of the seed rather than of one call for all copies: more copies can be made later.
        seed = derive(self.seed, f"{self.source}>{self.target}", job.copy)
        with self._counted("translating"):
            made = self.translator.translate(mine, self.decoding, 1, seed)
        if [len(copies) for copies in made] != [1] * len(mine):
            counts = f"{len(mine)} texts came back as {len(made)} lists of {sorted({len(copies) for copies in made})}"
            raise RunFailed(f"translator {type(self.translator).__name__} is broken: {counts} instead of one each")
        results = {text: copies[0] for text, copies in zip(mine, made, strict=True)}
        with self.meter.measure("store"):
            self.store.keep(job, results)
        self.meter.texts += len(mine)
        progress.advance(len(mine))
        return results

    def _counted(self, activity: str) -> _Counted:
        return _Counted(self, activity)


class _Counted:
    """Adds time and tokens to the meter, and divides the time by what the translator says it did in it."""

    def __init__(self, worker: Worker, activity: str) -> None:
        self.meter, self.activity = worker.meter, activity
        self.usage = worker.translator.usage if isinstance(worker.translator, Metered) else None

    def __enter__(self) -> None:
        self.start = time.perf_counter()
        self.before = self._own()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self.start
        loading, tokenising, tokens = (after - before for after, before in zip(self._own(), self.before, strict=True))
        self.meter.add("loading the model", loading)
        self.meter.add("tokenising", tokenising)
        self.meter.add(self.activity, spent - loading - tokenising)
        self.meter.tokens += int(tokens)

    def _own(self) -> tuple[float, float, int]:
        usage = self.usage
        return (usage.loading, usage.tokenising, usage.tokens_out) if usage else (0.0, 0.0, 0)
