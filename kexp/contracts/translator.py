"""What a translator promises: translations in one direction, and an identity under which they are stored."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

from kexp.options import Options, component


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a translator chooses words: greedy, beam search, or sampling with a temperature."""

    method: Literal["greedy", "beam", "sampling"] = "greedy"
    beams: int = 1
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class TranslatorContext:
    """The direction, as ISO 639-1 codes, and the device as in the spec's training section."""

    source: str
    target: str
    device: str = "auto"


class Translator(Protocol):
    """Translates in one direction. ``identity`` names model, revision and options: translations are stored under it."""

    identity: str

    def translate(self, texts: Sequence[str], decoding: Decoding, copies: int, seed: int) -> list[list[str]]:
        """Return ``copies`` translations of each text; only sampling makes them differ. Equal seeds, equal texts."""

    def close(self) -> None:
        """End the process or free the memory that it holds, if any; it opens again when it is used again."""


class TranslatorOptions(Options):
    """Base of every translator."""

    kind: ClassVar[str] = "translator"

    @abstractmethod
    def build(self, context: TranslatorContext) -> Translator:
        """Return the translator of one direction."""


AnyTranslator = Annotated[TranslatorOptions, *component("translator")]
"""A field that holds a component of this kind."""
