"""Whether a classifier predicts the same for a text and its paraphrase."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kexp.devices import torch_device
from kexp.pretrained import positions
from kexp_backtranslation.batching import by_budget
from kexp_backtranslation.seq2seq import load

BATCH_TOKENS = 8192


class Classifier:
    """A Hugging Face folder with a sequence classifier, such as the ``model/`` of a kexp run.

    It reads the texts as they are: a backbone that cleans its texts in kexp, such as KcBERT, sees them uncleaned here.
    """

    def __init__(self, folder: Path, device: str) -> None:
        import torch

        self.tokenizer = load(folder, "AutoTokenizer")
        model = load(folder, "AutoModelForSequenceClassification", dtype=torch.float32, return_dict=True)
        self.model = model.to(torch_device(device)).eval()
        self._predicted: dict[str, int] = {}

    def agrees(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Return for each pair of texts whether both get the same label."""
        self._predict([text for pair in pairs for text in pair])
        return [self._predicted[first] == self._predicted[second] for first, second in pairs]

    def _predict(self, texts: Sequence[str]) -> None:
        """Add the label ids of texts that have none yet: an original comes with several paraphrases."""
        import torch

        missing = [text for text in dict.fromkeys(texts) if text not in self._predicted]
        if not missing:
            return
        longest = min(self.tokenizer.model_max_length, positions(self.model.config.to_dict()) or 512)
        rows = self.tokenizer(missing, truncation=True, max_length=longest)["input_ids"]
        for batch in by_budget([len(row) for row in rows], BATCH_TOKENS):
            chosen = [missing[row] for row in batch]
            inputs = self.tokenizer(chosen, truncation=True, max_length=longest, padding=True, return_tensors="pt").to(
                self.model.device
            )
            with torch.inference_mode():
                labels = self.model(**inputs).logits.argmax(-1).tolist()
            self._predicted.update(zip(chosen, labels, strict=True))
