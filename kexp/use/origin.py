"""What the spec of a run says about a trained model, and how its texts are read: as they were in training."""

from __future__ import annotations

import hashlib
import math
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from kexp import toml
from kexp.catalog import Catalog
from kexp.contracts import AnyBackbone, BackboneOptions
from kexp.data.encoding import Encoded, encode, special_tokens, tokenise
from kexp.errors import KexpError
from kexp.report.folder import read_json
from kexp.spec import Cleaning, Evaluation
from kexp.use.folders import Place

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run's spec states that matters after training; the defaults are those of a model without a spec."""

    backbone: BackboneOptions | None
    trim: bool
    evaluation: Evaluation
    label_names: Mapping[str, str]
    paired: bool

    @property
    def cleans(self) -> bool:
        """Tell whether the backbone changes texts before they are tokenised."""
        return self.backbone is not None and type(self.backbone).clean is not BackboneOptions.clean


def origin_of(place: Place, catalog: Catalog) -> Origin:
    """Read the parts of a run's spec that matter here.

    Only these parts are checked: the data of the experiment, or a package that only training needed, may be gone.
    """
    if place.spec is None or place.run is None:
        return Origin(None, True, _part(Evaluation, {}, catalog, "", ""), {}, False)
    source = str(place.spec)
    table = toml.read(place.spec)
    table = toml.merge(table, toml.expand(table.pop("variants", {}).get(place.run.parent.name, {})))
    dataset = table.get("dataset", {})
    return Origin(
        _part(AnyBackbone, table.get("backbone"), catalog, source, f"backbone: {_packages(place)}"),
        _part(Cleaning, table.get("cleaning", {}), catalog, source, "cleaning: ").trim,
        _part(Evaluation, table.get("evaluation", {}), catalog, source, "evaluation: "),
        dataset.get("label_names") or {},
        dataset.get("text_pair") is not None,
    )


def _part(kind: Any, value: Any, catalog: Catalog, source: str, place: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value, context={"catalog": catalog})
    except ValidationError as error:
        found = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise KexpError(f"{source}: {place}{found}") from None


def _packages(place: Place) -> str:
    """Name the packages beside kexp that the run used: what is missing here is one of them."""
    path = None if place.run is None else place.run.parent.parent / "environment.json"
    used = read_json(path).get("plugins", {}) if path is not None and path.is_file() else {}
    others = [f"{name} {version}" for name, version in used.items() if name != "kexp"]
    return f"the run used {', '.join(others)}; here: " if others else ""


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
