"""The CTranslate2 engine: the same models converted, several times faster on a CPU and small in memory."""

from __future__ import annotations

import importlib.util
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kexp.atomic_files import replacing_folder
from kexp.contracts import Decoding, Translator, TranslatorContext
from kexp.errors import KexpError, Problem
from kexp.pretrained import fingerprint
from kexp.seeds import derive
from kexp_backtranslation.seq2seq import Draw, Seq2SeqOptions, Seq2SeqTranslator, load
from kexp_backtranslation.workplace import store_of

INSTALL = "pip install 'kexp-backtranslation[ctranslate2]'"


class CTranslate2(Seq2SeqOptions):
    """Translate with OPUS-MT, NLLB or M2M100 in CTranslate2, which converts the folder on first use.

    Sampling has one stream of random numbers per batch: a translation depends on the texts beside it, until the store
    has it.
    """

    compute: Literal["int8", "float16", "float32"] = Field(
        "int8", description="Precision of weights and computation; float16 needs a GPU."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 uses all cores, or OMP_NUM_THREADS if it is set.")

    def problems(self) -> Iterable[Problem]:
        """Yield that the engine is not installed."""
        if importlib.util.find_spec("ctranslate2") is None:
            yield Problem("", "CTranslate2 is not installed", f'{INSTALL}, or use = "marian"')

    def build(self, context: TranslatorContext) -> Translator:
        """Return the translator; the model is converted and loaded with the first text."""
        folder = self.source_of(context).folder()
        return CTranslate2Translator(self, context, folder, fingerprint(folder))


class CTranslate2Translator(Seq2SeqTranslator):
    """A converted sequence-to-sequence model."""

    engine = "ctranslate2"
    options: CTranslate2

    def __init__(self, options: CTranslate2, context: TranslatorContext, folder: Path, model: str) -> None:
        super().__init__(options, context, folder, model)
        self._fingerprint = model
        self._translator: Any = None

    def engine_identity(self) -> dict[str, Any]:
        """Return the precision."""
        return {"compute": self.options.compute}

    def close(self) -> None:
        """Free the model's memory."""
        super().close()
        self._translator = None

    def generate(
        self, rows: Sequence[list[int]], texts: Sequence[str], limits: Sequence[int], decoding: Decoding, draw: Draw
    ) -> list[list[int]]:
        """Decode one batch."""
        tokenizer, target = self.vocabulary.tokenizer, self.vocabulary.target_id
        prefix = None if target is None else [tokenizer.convert_ids_to_tokens([target])] * len(rows)
        method: dict[str, Any] = {"beam_size": decoding.beams if decoding.method == "beam" else 1}
        if decoding.method == "sampling":
            # All words may be drawn, not only the best few.
            method |= {"sampling_topk": 0, "sampling_temperature": decoding.temperature}
            self._reseed(derive(draw[0], "\n".join(texts), draw[1]))
        elif self._translator is None:
            self._translator = self._open()
        results = self._translator.translate_batch(
            [tokenizer.convert_ids_to_tokens(row) for row in rows],
            target_prefix=prefix,
            max_input_length=0,  # cut already
            max_decoding_length=max(limits),
            min_decoding_length=0,  # as in transformers: nothing is a possible answer, and the gate knows it
            **method,
        )
        return [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]

    def _reseed(self, seed: int) -> None:
        """Start the stream of random numbers anew.

        CTranslate2 reads its seed once per worker thread, when that thread first draws (seen in 4.8: setting it again
        changes nothing), so equal seeds give equal texts only in a new translator. Opening one costs milliseconds for
        OPUS-MT, little beside a batch.
        """
        import ctranslate2  # type: ignore[import-untyped,unused-ignore]

        self._translator = None
        ctranslate2.set_random_seed(seed % 2**31)
        self._translator = self._open()

    def _open(self) -> Any:
        import ctranslate2

        device, _, number = self._device().partition(":")
        compute = "int8_float16" if (device, self.options.compute) == ("cuda", "int8") else self.options.compute
        supported = ctranslate2.get_supported_compute_types(device, int(number or 0))
        if compute not in supported:
            known = ", ".join(sorted(supported))
            raise KexpError(f'translator: CTranslate2 has no compute = "{compute}" on this {device}; it has {known}')
        folder = self._converted()
        start = time.perf_counter()
        translator = ctranslate2.Translator(
            str(folder),
            device=device,
            device_index=int(number or 0),
            compute_type=compute,
            intra_threads=self.options.threads or (0 if "OMP_NUM_THREADS" in os.environ else _cores()),
        )
        self.usage.loading += time.perf_counter() - start
        return translator

    def _device(self) -> str:
        import ctranslate2

        device, count = self.context.device, ctranslate2.get_cuda_device_count()
        if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= count:
            raise KexpError(
                f'device "{device}" is not there, CTranslate2 sees {count} CUDA devices; use "auto" or "cpu"'
            )
        if device == "auto":
            return "cuda" if count else "cpu"
        return "cpu" if device == "mps" else device  # Apple's GPU is not supported, its CPU is fast

    def _converted(self) -> Path:
        """Return the converted model, making it once for all processes; it is named after the model's contents."""
        import ctranslate2
        from filelock import FileLock

        store = store_of(self.context) / "ctranslate2"
        name = f"{self._fingerprint}-{self.options.compute}-{ctranslate2.__version__}"
        if (store / name / "model.bin").is_file():
            return store / name
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / f"{name}.lock"):
            if not (store / name / "model.bin").is_file():
                start = time.perf_counter()
                _convert(self.folder, store / name, self.options.compute)
                self.usage.loading += time.perf_counter() - start
        return store / name


def _convert(folder: Path, target: Path, compute: str) -> None:
    """Convert beside ``target`` and move the result there, so that a killed job leaves no half a model."""
    from ctranslate2.converters import TransformersConverter  # type: ignore[import-untyped,unused-ignore]

    try:
        with replacing_folder(target) as prepared, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            converter = TransformersConverter(str(folder))
            converter.load_tokenizer = lambda *_, **options: _with_all_words(folder)
            converter.convert(str(prepared), quantization=compute, force=True)
    # The converter knows some architectures and raises whatever its libraries raise for the others.
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise KexpError(
            f'translator: CTranslate2 cannot convert {folder}: {reason}; use = "marian" translates with it as it is'
        ) from error


def _with_all_words(folder: Path) -> Any:
    """Load a tokenizer whose vocabulary has the languages, which transformers 5 leaves out of M2M100's.

    The converter would refuse the model, since it has more embeddings than words.
    """
    tokenizer = load(folder, "AutoTokenizer")
    words = tokenizer.get_vocab() | getattr(tokenizer, "lang_token_to_id", {})
    tokenizer.get_vocab = lambda: words
    return tokenizer


def _cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
