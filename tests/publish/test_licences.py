"""What a licence allows of models made from data and weights, as it is stated."""

from __future__ import annotations

import pytest

from kexp.catalog import Catalog
from kexp.errors import KexpError
from kexp.publish.licences import PERMISSIVE, SHARE_ALIKE, UNKNOWN, Licence, check_id, inherited, refusal

STATED = {
    "": (UNKNOWN, []),
    "ask the authors": (UNKNOWN, []),
    "MIT": (PERMISSIVE, ["mit"]),
    "the Apache License, Version 2.0": (PERMISSIVE, ["apache-2.0"]),
    "CC0 1.0: no limits": (PERMISSIVE, ["cc0-1.0"]),
    "CC BY 4.0": (PERMISSIVE, ["cc-by-4.0"]),
    "cc-by-sa-3.0": (SHARE_ALIKE, ["cc-by-sa-3.0"]),
    "CC BY-NC-SA 4.0": ("non-commercial", ["cc-by-nc-sa-4.0"]),
    "CC BY-NC 4.0": ("non-commercial", ["cc-by-nc-4.0"]),
    "CC BY-ND 4.0": ("no derivatives", ["cc-by-nd-4.0"]),
    "not for commercial use": ("non-commercial", []),
    "MIT, for non-commercial use": ("non-commercial", ["mit"]),
    "비상업적 이용만 허용": ("non-commercial", []),
    "for research purposes only": ("research only", []),
    "연구 목적으로만 사용": ("research only", []),
    "GPLv3": (SHARE_ALIKE, ["gpl-3.0"]),
    "the repository names none; MIT by another": (UNKNOWN, ["mit"]),
    "MIT (its repository; the cards of the weights name none)": (PERMISSIVE, ["mit"]),
}


@pytest.mark.parametrize(("text", "expected"), STATED.items(), ids=STATED)
def test_kind_and_ids_of_a_statement(text: str, expected: tuple[str, list[str]]) -> None:
    licence = Licence("the data", text)
    assert (licence.kind, licence.ids) == expected


def test_every_corpus_and_encoder_of_kexp_korean_is_understood(catalog: Catalog) -> None:
    kinds = {
        (kind, entry.name): Licence("it", entry.options.licence).kind
        for kind in ("dataset", "backbone")
        for entry in catalog.entries(kind)
        if entry.owner.package == "kexp-korean"
    }
    assert kinds["dataset", "aihub-dialect"] == "terms of its own"
    assert kinds["dataset", "nsmc"] == PERMISSIVE
    assert kinds["dataset", "klue"] == SHARE_ALIKE
    assert kinds["dataset", "question-pair"] == UNKNOWN
    assert kinds["backbone", "kcbert"] == PERMISSIVE
    assert kinds["backbone", "klue"] == SHARE_ALIKE
    assert {kind for (of, _), kind in kinds.items() if of == "backbone"} == {PERMISSIVE, SHARE_ALIKE}


def test_a_stated_licence_answers_for_what_is_not_known_alone() -> None:
    unknown, free = Licence("the data", ""), Licence("the weights", "MIT")
    assert "name the model's licence" in refusal([unknown, free], None)
    assert refusal([unknown, free], "mit") == ""
    assert refusal([free], None) == ""
    limited = Licence("the data", "CC BY-NC 4.0")
    for stated in (None, "mit", "cc-by-nc-4.0"):
        assert "the data: CC BY-NC 4.0 (non-commercial)" in refusal([limited, free], stated)


def test_share_alike_is_passed_on() -> None:
    shared, free = Licence("the weights", "CC BY-SA 4.0 (of the benchmark)"), Licence("the data", "MIT")
    assert inherited([free, shared]) == "cc-by-sa-4.0"
    assert refusal([free, shared], None) == ""
    assert refusal([free, shared], "cc-by-sa-4.0") == ""
    assert "expected --licence cc-by-sa-4.0, found mit" in refusal([free, shared], "mit")
    assert inherited([free]) == UNKNOWN
    assert inherited([shared, Licence("the data", "CC BY-NC-SA 4.0")]) == "cc-by-nc-sa-4.0"


def test_names_of_licences_are_those_of_the_hub() -> None:
    assert check_id("Apache-2.0") == "apache-2.0"
    assert check_id("CC BY-SA 4.0") == "cc-by-sa-4.0"
    # Not known is no answer.
    for name in ("unknown", "free"):
        with pytest.raises(KexpError, match=f"--licence {name}: unknown"):
            check_id(name)


@pytest.mark.parametrize(
    "text",
    ["CC BY-SA", "GPL", "Creative Commons Attribution-ShareAlike", "저작자표시-동일조건변경허락"],
)
def test_share_alike_without_a_version_is_not_published_under_another_licence(text: str) -> None:
    of = Licence("the data", text)
    assert of.kind == SHARE_ALIKE
    assert "it is not said in which version" in refusal([of], "apache-2.0")
    assert "it is not said in which version" in refusal([of], None)


def test_two_share_alike_licences_cannot_both_be_kept() -> None:
    data, weights = Licence("the data", "CC BY-SA 4.0"), Licence("the weights", "GPL-3.0")
    assert "expected --licence gpl-3.0, found cc-by-sa-4.0" in refusal([data, weights], None)
    assert "expected --licence gpl-3.0, found cc-by-sa-4.0" in refusal([data, weights], "cc-by-sa-4.0")
    both = Licence("the data", "CC BY-SA 4.0; the code that made it MIT")
    assert "expected --licence cc-by-sa-4.0, found mit" in refusal([both], "mit")


@pytest.mark.parametrize(
    "text",
    [
        "commercial use not allowed", "MIT, for non-profit use", "for evaluation only", "공공누리 제4유형", "공공누리 3유형",
        "AI Hub", "Apache-2.0 with Commons Clause", "CC BY 4.0, 상업적 이용을 금합니다", "상업용 사용 불가",
    ],
)  # fmt: skip
def test_what_forbids_is_refused_whatever_is_stated(text: str) -> None:
    assert "--despite-licence" in refusal([Licence("the data", text)], "mit")
