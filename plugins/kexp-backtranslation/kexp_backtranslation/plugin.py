"""What this package registers with kexp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kexp import hookimpl

if TYPE_CHECKING:
    from kexp.contracts import AugmenterOptions, TranslatorOptions


@hookimpl
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:
    """Name the augmenters."""
    from kexp_backtranslation import augmenter

    return {"back-translation": augmenter.BackTranslation, "keep-original": augmenter.KeepOriginal}


@hookimpl
def kexp_translators() -> Mapping[str, type[TranslatorOptions]]:
    """Name the translators."""
    from kexp_backtranslation import command, ct2, marian

    return {"marian": marian.Marian, "ctranslate2": ct2.CTranslate2, "command": command.Command}
