"""The codes by which multilingual models name a language, from its ISO 639-1 code."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from kexp.errors import KexpError, did_you_mean

# FLORES-200 codes, as NLLB writes them; the part before the underscore is ISO 639-3, as multilingual OPUS-MT writes it.
FLORES: Mapping[str, str] = {
    "ar": "arb_Arab", "bn": "ben_Beng", "cs": "ces_Latn", "da": "dan_Latn", "de": "deu_Latn", "el": "ell_Grek",
    "en": "eng_Latn", "es": "spa_Latn", "fi": "fin_Latn", "fr": "fra_Latn", "he": "heb_Hebr", "hi": "hin_Deva",
    "hu": "hun_Latn", "id": "ind_Latn", "it": "ita_Latn", "ja": "jpn_Jpan", "km": "khm_Khmr", "ko": "kor_Hang",
    "mn": "khk_Cyrl", "ms": "zsm_Latn", "my": "mya_Mymr", "nl": "nld_Latn", "no": "nob_Latn", "pl": "pol_Latn",
    "pt": "por_Latn", "ro": "ron_Latn", "ru": "rus_Cyrl", "sv": "swe_Latn", "th": "tha_Thai", "tl": "tgl_Latn",
    "tr": "tur_Latn", "uk": "ukr_Cyrl", "ur": "urd_Arab", "vi": "vie_Latn", "zh": "zho_Hans",
}  # fmt: skip


def language_code(language: str, codes: Mapping[str, str], known: Collection[str], model: str) -> str:
    """Return the code that ``model`` uses for an ISO 639-1 language, out of the ``known`` ones.

    The codes of the spec come first. Raises ``KexpError`` when the model has none of the usual codes.
    """
    if language in codes:
        if codes[language] in known:
            return codes[language]
        hint = did_you_mean(codes[language], known)
        raise KexpError(f'translator: {model} knows no language "{codes[language]}" (languages.{language}); {hint}')
    for code in _usual(language):
        if code in known:
            return code
    hint = f'give its code with languages = {{ {language} = "..." }}; {did_you_mean(language, known)}'
    raise KexpError(f'translator: {model} has no usual code for the language "{language}"; {hint}')


def _usual(language: str) -> Iterator[str]:
    yield language
    if language in FLORES:
        yield FLORES[language]
        yield FLORES[language].partition("_")[0]
