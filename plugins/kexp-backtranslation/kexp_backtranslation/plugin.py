"""What this package registers with kexp."""

from __future__ import annotations

from collections.abc import Mapping

from kexp import hookimpl
from kexp.contracts import AugmenterOptions, TranslatorOptions
from kexp_backtranslation import augmenter, command, ct2, marian


@hookimpl
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:
    """Name the augmenters."""
    return {"back-translation": augmenter.BackTranslation, "keep-original": augmenter.KeepOriginal}


@hookimpl
def kexp_translators() -> Mapping[str, type[TranslatorOptions]]:
    """Name the translators."""
    return {"marian": marian.Marian, "ctranslate2": ct2.CTranslate2, "command": command.Command}
