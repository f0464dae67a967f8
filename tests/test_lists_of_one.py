"""One entry of a list may stand without brackets, in sections and in the options of plugins, and in their schema."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft7Validator
from pydantic import Field, ValidationError

from kexp.catalog import Catalog
from kexp.contracts import AnyMetric
from kexp.lists_of_one import OneOrSeveral
from kexp.options import LocalPath, Section, SpecText
from kexp.validation_messages import describe_validation_error


class Lists(Section):
    words: tuple[str, ...] = ()
    names: list[str] | None = None
    kinds: tuple[Literal["a", "b"], ...] = Field(("a",), min_length=1)
    files: tuple[LocalPath, ...] = ()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], OneOrSeveral()] = ()
    layers: tuple[int, ...] = ()
    pair: tuple[float, float] | None = None
    weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    columns: tuple[str, ...] | dict[str, tuple[str, ...]] = ()
    by_label: dict[str, tuple[str, ...]] | None = None
    anything: tuple[Any, ...] = ()
    metrics: tuple[AnyMetric, ...] = ()


ACCEPTED = [
    ("words", "a,b", ("a,b",)), ("names", "a", ["a"]), ("kinds", "b", ("b",)), ("seeds", 3, (3,)), ("seeds", [3, 4], (3, 4)),
    ("columns", "text", ("text",)), ("columns", {"train": "text"}, {"train": ("text",)}),
    ("by_label", {"긍정": "좋다", "부정": ["싫다", "나쁘다"]}, {"긍정": ("좋다",), "부정": ("싫다", "나쁘다")}),
    ("weights", "balanced", "balanced"), ("weights", [1.0, 2.0], (1.0, 2.0)),
]  # fmt: skip
REFUSED = [
    ("words", 3, "expected a list, found 3"), ("seeds", "3", 'expected a whole number, found "3"'),
    ("seeds", -1, "expected a number of at least 0, found -1"), ("seeds", True, "expected a whole number, found true"),
    ("seeds", 1.5, "expected a whole number, found 1.5"), ("kinds", "c", 'expected "a" or "b", found "c"'),
    ("layers", 3, "expected a list, found 3"), ("pair", 0.5, "expected a list, found 0.5"),
    ("anything", "a", 'expected a list, found "a"'), ("words", {"a": "b"}, 'expected a list, found {"a": "b"}'),
]  # fmt: skip


@pytest.mark.parametrize(("key", "given", "expected"), ACCEPTED)
def test_an_entry_alone_is_a_list_of_one(key: str, given: Any, expected: Any) -> None:
    assert getattr(Lists.model_validate({key: given}), key) == expected


@pytest.mark.parametrize(("key", "given", "expected"), REFUSED)
def test_what_may_mean_something_else_is_refused(key: str, given: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Lists.model_validate({key: given})
    assert describe_validation_error(caught.value.errors(include_url=False)[0]) == expected


def test_a_path_keeps_the_folder_of_its_spec(tmp_path: Path) -> None:
    assert Lists.model_validate({"files": SpecText("a.csv", tmp_path)}).files == (tmp_path / "a.csv",)


def test_a_component_alone_is_named_by_a_word_or_a_table(catalog: Catalog) -> None:
    context = {"catalog": catalog}
    for alone in ("accuracy", {"use": "accuracy"}):
        (metric,) = Lists.model_validate({"metrics": alone}, context=context).metrics
        assert catalog.name_of(type(metric)) == "accuracy"
    with pytest.raises(ValidationError):
        Lists.model_validate({"metrics": {"name": "accuracy"}}, context=context)


def test_the_schema_accepts_what_is_accepted_and_refuses_what_is_refused() -> None:
    schema = Lists.model_json_schema()
    Draft7Validator.check_schema(schema)
    for key, given, _ in ACCEPTED:
        assert Draft7Validator(schema).is_valid({key: given}), (key, given)
    for key, given, _ in REFUSED:
        assert not Draft7Validator(schema).is_valid({key: given}), (key, given)
