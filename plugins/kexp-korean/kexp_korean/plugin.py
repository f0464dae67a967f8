"""What this package registers with kexp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kexp import hookimpl

if TYPE_CHECKING:
    from kexp.contracts import AugmenterOptions, BackboneOptions, DatasetOptions


@hookimpl
def kexp_datasets() -> Mapping[str, type[DatasetOptions]]:
    """Name the datasets."""
    from kexp_korean import aihub, corpora, dialect_sample, emotional_dialogue, klue, label_sets, nsmc

    return {
        "nsmc": nsmc.NSMC,
        "klue": klue.KLUE,
        "kornli": corpora.KorNLI,
        "korsts": corpora.KorSTS,
        "korean-hate-speech": corpora.KoreanHateSpeech,
        "3i4k": corpora.Intent3i4K,
        "question-pair": corpora.QuestionPair,
        "curse-detection": corpora.CurseDetection,
        "kobest": corpora.KoBEST,
        "unsmile": label_sets.UnSmile,
        "kmhas": label_sets.KMHaS,
        "kote": label_sets.KOTE,
        "kold": label_sets.KOLD,
        "aihub-dialect": aihub.AIHubDialect,
        "aihub-emotion": emotional_dialogue.AIHubEmotion,
        "dialect-sample": dialect_sample.DialectSample,
    }


@hookimpl
def kexp_backbones() -> Mapping[str, type[BackboneOptions]]:
    """Name the backbones."""
    from kexp_korean import backbones, deberta, modernbert

    return {
        "kcbert": backbones.KcBERT,
        "klue": backbones.KLUE,
        "koelectra": backbones.KoELECTRA,
        "kcelectra": backbones.KcELECTRA,
        "kobert": backbones.KoBERT,
        "ax-encoder": modernbert.AXEncoder,
        "kf-deberta": deberta.KFDeBERTa,
        "deberta-v3-korean": deberta.KoreanDeBERTa,
        "mdeberta": deberta.MDeBERTa,
    }


@hookimpl
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:
    """Name the augmenters."""
    from kexp_korean import synonyms

    return {
        "synonym-swap": synonyms.SynonymSwap,
        "random-insertion": synonyms.RandomInsertion,
    }
