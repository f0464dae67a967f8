"""Texts to the pivot language and back, through the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kexp.contracts import AugmenterContext, Decoding, Translator, TranslatorOptions
from kexp_backtranslation.progress import Meter, Progress
from kexp_backtranslation.sentences import split_sentences
from kexp_backtranslation.store import Store
from kexp_backtranslation.work import Worker
from kexp_backtranslation.workplace import Metered, Workplace

FILE = "translations.sqlite"


class Paraphraser:
    """Makes paraphrases by two translators; what they make is kept in a store in the context's folder."""

    def __init__(
        self,
        forward: TranslatorOptions,
        back: TranslatorOptions,
        source: str,
        pivot: str,
        decoding: Decoding,
        seed: int,
        context: AugmenterContext,
    ) -> None:
        self.decoding, self.seed = decoding, seed
        self.folder = context.store / "back-translation"
        self.directions = ((source, pivot), (pivot, source))
        self.translators = [
            options.build(Workplace(*direction, context.device, self.folder, context.progress))
            for options, direction in zip((forward, back), self.directions, strict=True)
        ]
        self.context = context
        self.meter = Meter()

    def show(self, line: str) -> None:
        """Show a line of progress."""
        self.context.progress(f"back-translation: {line}")

    def close(self) -> None:
        """Close the translators; they stay open between calls, since kexp passes texts in portions."""
        for translator in self.translators:
            translator.close()

    def paraphrase(self, texts: Sequence[str], copies: int, *, split: bool) -> Mapping[str, list[str]]:
        """Return ``copies`` paraphrases of each text; a text of several sentences is put together from theirs."""
        parts = {text: split_sentences(text) if split else [text] for text in texts}
        sentences = list(dict.fromkeys(sentence for part in parts.values() for sentence in part))
        self.folder.mkdir(parents=True, exist_ok=True)
        with Store(self.folder / FILE) as store:
            pivots = self._translate(store, 0, [sentences] * copies)
            returned = self._translate(store, 1, [list(pivot.values()) for pivot in pivots])
        return {
            text: [
                " ".join(back[pivot[sentence]] for sentence in part).strip()
                for pivot, back in zip(pivots, returned, strict=True)
            ]
            for text, part in parts.items()
        }

    def _translate(self, store: Store, way: int, copies: Sequence[Sequence[str]]) -> list[Mapping[str, str]]:
        """Translate every copy's texts in one direction."""
        (source, target), translator = self.directions[way], self.translators[way]
        worker = Worker(store, translator, source, target, self.decoding, self.seed, self.meter)
        made = []
        before = _cut(translator)
        for number, texts in enumerate(copies):
            copy = f", copy {number + 1} of {len(copies)}" if len(copies) > 1 else ""
            title = f"back-translation: {source} to {target}{copy}"
            made.append(worker.translate(texts, number, Progress(title, len(set(texts)), self.context.progress)))
        if _cut(translator) > before:
            cut = f"{_cut(translator):,} texts reached the longest input of the model and may have been cut"
            self.show(f"{source} to {target}: {cut}; see max_length and split")
        return made


def _cut(translator: Translator) -> int:
    return translator.usage.truncated if isinstance(translator, Metered) else 0
