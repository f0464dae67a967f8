"""The transformers engine: OPUS-MT (Marian), NLLB and M2M100 as PyTorch models, with sampling text by text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from pydantic import Field

from kexp.contracts import Decoding, Translator, TranslatorContext
from kexp.devices import torch_device
from kexp.pretrained import fingerprint
from kexp_backtranslation.sampling import RowSampling, draws
from kexp_backtranslation.seq2seq import Draw, Seq2SeqOptions, Seq2SeqTranslator, load

if TYPE_CHECKING:
    import torch


class Marian(Seq2SeqOptions):
    """Translate with OPUS-MT, NLLB or M2M100 in PyTorch; sampling does not depend on what else is in the batch."""

    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Precision of the weights; auto is float16 on a GPU, else float32."
    )

    def build(self, context: TranslatorContext) -> Translator:
        """Return the translator; the weights are loaded with the first text."""
        folder = self.source_of(context).folder()
        return MarianTranslator(self, context, folder, fingerprint(folder))


_LOADED: WeakValueDictionary[tuple[str, str, str], Any] = WeakValueDictionary()
"""Models in use, so that both directions of a multilingual model share one."""


class MarianTranslator(Seq2SeqTranslator):
    """A sequence-to-sequence model of transformers."""

    engine = "transformers"
    options: Marian

    def engine_identity(self) -> dict[str, Any]:
        """Return the precision of the options, so that what a GPU made is used on a machine without one too."""
        return {"dtype": self.options.dtype}

    _model: Any = None

    def _loaded(self) -> Any:
        if self._model is None:
            import torch

            start = time.perf_counter()
            device = torch_device(self.context.device)
            dtype = self.options.dtype
            if dtype == "auto":
                dtype = "float16" if device.startswith("cuda") else "float32"
            key = (str(self.folder), dtype, device)
            model = _LOADED.get(key)
            if model is None:
                model = load(self.folder, "AutoModelForSeq2SeqLM", dtype=getattr(torch, dtype)).to(device).eval()
                _LOADED[key] = model
            self._model = model
            self.usage.loading += time.perf_counter() - start
        return self._model

    def close(self) -> None:
        """Free the model's memory."""
        super().close()
        self._model = None
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def generate(
        self, rows: Sequence[list[int]], texts: Sequence[str], limits: Sequence[int], decoding: Decoding, draw: Draw
    ) -> list[list[int]]:
        """Decode one padded batch."""
        import torch

        model = self._loaded()
        inputs, mask = _padded(rows, model.config.pad_token_id)
        processors = []
        if decoding.method == "sampling":
            numbers = draws(texts, *draw, max(limits)).to("cpu" if model.device.type == "mps" else model.device)
            processors.append(RowSampling(numbers, decoding.temperature))
        with torch.inference_mode():
            out = model.generate(
                input_ids=inputs.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=self._settings(model, max(limits), decoding),
                logits_processor=processors,
            )
        # The first token only starts the decoder, padding follows the end.
        ended = {model.config.pad_token_id, model.config.eos_token_id}
        return [[token for token in row[1:] if token not in ended] for row in out.tolist()]

    def _settings(self, model: Any, limit: int, decoding: Decoding) -> Any:
        """Return the model's own settings with the spec's method of decoding."""
        import copy

        settings = copy.deepcopy(model.generation_config)
        settings.update(
            do_sample=False,  # sampling is in the processor
            num_beams=decoding.beams if decoding.method == "beam" else 1,
            max_length=None,
            max_new_tokens=limit,
            # OPUS-MT's folders force the end at their own maximum, which would put the limit into the text.
            forced_eos_token_id=None,
            forced_bos_token_id=self.vocabulary.target_id,
        )
        return settings


def _padded(rows: Sequence[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and attention mask of shape (rows, longest row), padded at the right."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    tokens = pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(row) for row in rows])
    return tokens, (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
