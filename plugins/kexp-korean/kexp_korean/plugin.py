"""What this package registers with kexp."""

from __future__ import annotations

from collections.abc import Mapping

from kexp import hookimpl
from kexp.contracts import AugmenterOptions, BackboneOptions, DatasetOptions
from kexp_korean import aihub, backbones, dialect_sample, nsmc, synonyms


@hookimpl
def kexp_datasets() -> Mapping[str, type[DatasetOptions]]:
    """Name the datasets."""
    return {
        "nsmc": nsmc.NSMC,
        "aihub-dialect": aihub.AIHubDialect,
        "dialect-sample": dialect_sample.DialectSample,
    }


@hookimpl
def kexp_backbones() -> Mapping[str, type[BackboneOptions]]:
    """Name the backbones."""
    return {
        "kcbert": backbones.KcBERT,
        "klue": backbones.KLUE,
        "koelectra": backbones.KoELECTRA,
        "kcelectra": backbones.KcELECTRA,
        "kobert": backbones.KoBERT,
    }


@hookimpl
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:
    """Name the augmenters."""
    return {
        "synonym-swap": synonyms.SynonymSwap,
        "random-insertion": synonyms.RandomInsertion,
    }
