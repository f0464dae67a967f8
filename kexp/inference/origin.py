"""What the spec of a run says about a trained model, and how its texts are read: as they were in training."""

from __future__ import annotations

import hashlib
import math
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kexp.catalog import Catalog
from kexp.contracts import AnyBackbone, BackboneOptions, Metric, MetricContext
from kexp.contracts.metric import build_metrics
from kexp.data.encoding import Encoded, encode, special_tokens, tokenise
from kexp.inference.folders import Place
from kexp.inference.stated import Stated
from kexp.spec.sections import Cleaning, Evaluation, Plugins

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run's spec states that matters after training; the defaults are those of a model without a spec."""

    stated: Stated
    backbone: BackboneOptions | None
    trim: bool
    label_names: Mapping[str, str]
    paired: bool

    @property
    def cleans(self) -> bool:
        """Tell whether the backbone changes texts before they are tokenised."""
        return self.backbone is not None and type(self.backbone).clean is not BackboneOptions.clean

    def metrics(self, labels: Sequence[str]) -> dict[str, Metric]:
        """Build the metrics of the spec for the model's labels; only a measurement needs them."""
        metrics = self.stated.part("evaluation", Evaluation, {}).metrics
        return build_metrics(metrics, MetricContext(labels), self.stated.catalog.name_of)


def origin_of(place: Place, catalog_with: Callable[[Plugins], Catalog]) -> Origin:
    """Read the parts of a run's spec that predicting needs.

    Only these parts are checked: the data of the experiment, or a package that only training needed, may be gone.
    """
    stated = Stated.of(place, catalog_with)
    dataset = stated.table.get("dataset", {})
    return Origin(
        stated,
        stated.part("backbone", AnyBackbone) if stated.table else None,
        stated.part("cleaning", Cleaning, {}).trim,
        dataset.get("label_names") or {},
        dataset.get("text_pair") is not None,
    )


def normalised(text: Any, *, trim: bool) -> str:
    """Bring a text to NFC and trim it, as the cleaning of training does; what is missing becomes an empty text."""
    if text is None or (isinstance(text, float) and math.isnan(text)):
        return ""
    composed = unicodedata.normalize("NFC", str(text))
    return composed.strip() if trim else composed


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts become tokens for a model; equal readings make the same of a text, so that it is done once."""

    digest: str
    max_length: int
    truncation: str
    trim: bool
    backbone: BackboneOptions | None
    specials: tuple[int, int]
    """Special tokens around a text, and around a pair."""
    tokenizer: PreTrainedTokenizerFast = field(compare=False, repr=False)
    # The tokenizer cannot be used by two threads at once.
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, origin: Origin, max_length: int) -> Reading:
        """Return how a model's tokenizer reads, after the cleaning that its spec states."""
        digest = hashlib.blake2b(tokenizer.backend_tokenizer.to_str().encode(), digest_size=16).hexdigest()
        around = special_tokens(tokenizer)
        single = len(around.prefix) + len(around.suffix)
        specials = (single, single + len(around.middle))
        backbone = origin.backbone if origin.cleans else None
        return cls(digest, max_length, tokenizer.truncation_side, origin.trim, backbone, specials, tokenizer)

    def encode(self, texts: Sequence[Any], pairs: Sequence[Any] | None) -> Encoded:
        """Normalise, clean, tokenise and cut texts."""
        first = self._cleaned(texts)
        second = None if pairs is None else self._cleaned(pairs)
        with self.lock:
            return encode(
                first,
                second,
                self.tokenizer,
                max_length=self.max_length,
                truncation=self.truncation,
                tokenise=tokenise,
            )

    def _cleaned(self, texts: Sequence[Any]) -> list[str]:
        normal = [normalised(text, trim=self.trim) for text in texts]
        return normal if self.backbone is None else [self.backbone.clean(text) for text in normal]
