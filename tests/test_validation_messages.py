"""Every type of error that pydantic has is told in plain words; the errors here are pydantic's own."""

import decimal
import enum
import re
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, get_args

import pytest
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    Json,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from kexp.options import Section
from kexp.validation_messages import SENTENCES, describe_validation_error

PYDANTIC = re.compile(
    r"Input |input |should |valid |[Uu]nable|dictionary|[Tt]uple|[Ii]terable|permitted|[Ii]nstance|[Mm]apping|"
    r"validation|Value error|Assertion|Field |URL|Decimal|JSON input|datetime"
)
"""Words of pydantic's own messages."""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    first: int
    second: int


@dataclass
class Point:
    x: int


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


CASES: tuple[tuple[Any, Any, str, str], ...] = (
    (str, 3, "string_type", "expected a string, found 3"),
    (str, b"\xff", "string_unicode", "expected a string, found \"b'\\\\xff'\""),
    (Annotated[str, Field(min_length=2)], "a", "string_too_short", 'expected a string of at least 2 characters, found "a"'),
    (Annotated[str, Field(max_length=1)], "ab", "string_too_long", 'expected a string of at most 1 characters, found "ab"'),
    (Annotated[str, Field(pattern="^[a-z]'$")], "A", "string_pattern_mismatch", "expected a string that matches ^[a-z]'$, found \"A\""),
    (Annotated[str, StringConstraints(ascii_only=True)], "가", "string_not_ascii", 'expected a string of ASCII characters, found "가"'),
    (bytes, 3, "bytes_type", "expected a string, found 3"),
    (Annotated[bytes, Field(min_length=2)], "a", "bytes_too_short", 'expected a string of at least 2 bytes, found "a"'),
    (Annotated[bytes, Field(max_length=1)], "ab", "bytes_too_long", 'expected a string of at most 1 bytes, found "ab"'),
    (bool, 3, "bool_parsing", "expected true or false, found 3"),
    (bool, [1], "bool_type", "expected true or false, found [1]"),
    (int, "a", "int_parsing", 'expected a whole number, found "a"'),
    (int, [1], "int_type", "expected a whole number, found [1]"),
    (int, 2.5, "int_from_float", "expected a whole number, found 2.5"),
    (int, "9" * 5000, "int_parsing_size", f'expected a whole number of fewer digits, found "{"9" * 199}...'),
    (float, "a", "float_parsing", 'expected a number, found "a"'),
    (float, [1], "float_type", "expected a number, found [1]"),
    (decimal.Decimal, "a", "decimal_parsing", 'expected a number, found "a"'),
    (decimal.Decimal, [1], "decimal_type", "expected a number, found [1]"),
    (Annotated[decimal.Decimal, Field(max_digits=2)], 123, "decimal_max_digits", "expected a number of at most 2 digits, found 123"),
    (
        Annotated[decimal.Decimal, Field(decimal_places=1)], "1.23", "decimal_max_places",
        'expected a number of at most 1 digits after the point, found "1.23"',
    ),
    (
        Annotated[decimal.Decimal, Field(max_digits=3, decimal_places=2)], 12, "decimal_whole_digits",
        "expected a number of at most 1 digits before the point, found 12",
    ),
    (Fraction, "a", "fraction_parsing", 'expected a number, found "a"'),
    (Fraction, [1], "fraction_type", "expected a number, found [1]"),
    (complex, [1], "complex_type", "expected a number, found [1]"),
    (complex, "a", "complex_type", 'expected a number, found "a"'),
    (float, float("inf"), "finite_number", "expected a finite number, found inf"),
    (Annotated[float, Field(gt=1)], 0.5, "greater_than", "expected a number greater than 1, found 0.5"),
    (Annotated[int, Field(ge=1)], 0, "greater_than_equal", "expected a number of at least 1, found 0"),
    (Annotated[int, Field(lt=1)], 2, "less_than", "expected a number less than 1, found 2"),
    (Annotated[int, Field(le=1)], 2, "less_than_equal", "expected a number of at most 1, found 2"),
    (Annotated[float, Field(lt=0.5)], True, "less_than", "expected a number, found true"),
    (Annotated[float, Field(lt=0.5)], "3", "less_than", 'expected a number, found "3"'),
    (Annotated[int, Field(multiple_of=8)], 12, "multiple_of", "expected a multiple of 8, found 12"),
    (list[int], 3, "list_type", "expected a list, found 3"),
    (tuple[int, int], 3, "tuple_type", "expected a list, found 3"),
    (set[int], 3, "set_type", "expected a list, found 3"),
    (frozenset[int], 3, "frozen_set_type", "expected a list, found 3"),
    (deque[int], 3, "deque_type", "expected a list, found 3"),
    (Pair, 3, "named_tuple_type", "expected a list, found 3"),
    (Iterable[int], 3, "iterable_type", "expected a list, found 3"),
    (set[Any], [[1]], "set_item_not_hashable", "expected a number, a string or true or false, found [1]"),
    (Annotated[list[int], Field(min_length=1)], [], "too_short", "expected at least 1 entry, found 0"),
    (Annotated[list[int], Field(max_length=2)], [1, 2, 3], "too_long", "expected at most 2 entries, found 3"),
    (Annotated[dict[str, int], Field(min_length=1)], {}, "too_short", "expected at least 1 entry, found 0"),
    (dict[str, int], 3, "dict_type", "expected a table, found 3"),
    (Mapping[str, int], 3, "dict_type", "expected a table, found 3"),
    (OrderedDict[str, int], 3, "ordered_dict_type", "expected a table, found 3"),
    (Counter[str], 3, "counter_type", "expected a table, found 3"),
    (Cat, 3, "model_type", "expected a table, found 3"),
    (Point, 3, "dataclass_type", "expected a table, found 3"),
    (Literal["a", "b's", 3], "c", "literal_error", 'expected "a", "b\'s" or 3, found "c"'),
    (Colour, "green", "enum", 'expected "red" or "blue", found "green"'),
    (Annotated[Cat | Dog, Discriminator("kind")], {"kind": "cow"}, "union_tag_invalid", 'expected a table whose "kind" is one of "cat", "dog", found {"kind": "cow"}'),
    (Annotated[Cat | Dog, Discriminator("kind")], {}, "union_tag_not_found", 'expected a table with the key "kind", found {}'),
    (None, 3, "none_required", "expected no value, found 3"),
    (Json[int], 3, "json_type", "expected a string with JSON in it, found 3"),
    (Json[int], "{", "json_invalid", 'expected a string with JSON in it, found "{"'),
    (date, [3], "date_type", "expected a date such as 2026-01-31, found [3]"),
    (date, "x", "date_from_datetime_parsing", 'expected a date such as 2026-01-31, found "x"'),
    (date, datetime(2026, 1, 1, 3), "date_from_datetime_inexact", 'expected a date such as 2026-01-31, found "2026-01-01 03:00:00"'),
    (PastDate, date(2999, 1, 1), "date_past", 'expected a date in the past, found "2999-01-01"'),
    (FutureDate, date(1999, 1, 1), "date_future", 'expected a date in the future, found "1999-01-01"'),
    (time, [3], "time_type", "expected a time such as 07:30:00, found [3]"),
    (time, "x", "time_parsing", 'expected a time such as 07:30:00, found "x"'),
    (datetime, [3], "datetime_type", "expected a date and time such as 2026-01-31T07:30:00, found [3]"),
    (datetime, "x", "datetime_from_date_parsing", 'expected a date and time such as 2026-01-31T07:30:00, found "x"'),
    (PastDatetime, datetime(2999, 1, 1), "datetime_past", 'expected a date and time in the past, found "2999-01-01 00:00:00"'),
    (FutureDatetime, datetime(1999, 1, 1), "datetime_future", 'expected a date and time in the future, found "1999-01-01 00:00:00"'),
    (NaiveDatetime, "2026-01-31T07:30:00Z", "timezone_naive", 'expected a time without a time zone, found "2026-01-31T07:30:00Z"'),
    (
        AwareDatetime, "2026-01-31T07:30:00", "timezone_aware",
        'expected a time with a time zone, such as 2026-01-31T07:30:00Z, found "2026-01-31T07:30:00"',
    ),
    (timedelta, [3], "time_delta_type", 'expected a duration such as "PT1H30M", found [3]'),
    (timedelta, "x", "time_delta_parsing", 'expected a duration such as "PT1H30M", found "x"'),
    (AnyUrl, 3, "url_type", 'expected an address such as "https://example.com", found 3'),
    (AnyUrl, "x", "url_parsing", 'expected an address such as "https://example.com", found "x"'),
    (HttpUrl, "ftp://a.b", "url_scheme", 'expected an address that begins with "http" or "https", found "ftp://a.b"'),
    (HttpUrl, "http://" + "a" * 3000, "url_too_long", f'expected an address of at most 2083 characters, found "http://{"a" * 192}...'),
    (uuid.UUID, 3, "uuid_type", "expected a UUID, found 3"),
    (uuid.UUID, "x", "uuid_parsing", 'expected a UUID, found "x"'),
    (Callable[[], int], 3, "callable_type", "expected a function, found 3"),
    (type[Cat], 3, "is_subclass_of", "expected a subclass of Cat, found 3"),
)  # fmt: skip


REST: Mapping[str, dict[str, Any]] = {
    "bool_type": {}, "bytes_invalid_encoding": {"encoding": "utf8", "encoding_error": "bad"}, "complex_str_parsing": {},
    "counter_type": {}, "dataclass_exact_type": {"class_name": "Point"}, "date_parsing": {"error": "bad"},
    "datetime_object_invalid": {"error": "bad"}, "datetime_parsing": {"error": "bad"}, "default_factory_not_called": {},
    "ellipsis_error": {}, "frozen_dict_type": {}, "frozen_field": {}, "frozen_instance": {},
    "get_attribute_error": {"error": "bad"}, "is_instance_of": {"class": "Point"}, "invalid_key": {},
    "iteration_error": {"error": "bad"}, "mapping_type": {"error": "bad"}, "missing_sentinel_error": {},
    "model_attributes_type": {}, "needs_python_object": {"method_name": "x"}, "no_such_attribute": {"attribute": "x"},
    "recursion_depth_exceeded": {}, "recursion_loop": {}, "timezone_offset": {"tz_expected": 1, "tz_actual": 2},
    "url_syntax_violation": {"error": "bad"}, "uuid_version": {"expected_version": 4}, "arguments_type": {},
    "missing_argument": {}, "missing_keyword_only_argument": {}, "missing_positional_only_argument": {},
    "multiple_argument_values": {}, "unexpected_keyword_argument": {}, "unexpected_positional_argument": {},
    "extra_forbidden": {}, "missing": {},
}  # fmt: skip
"""Types that no value in a field of these provokes, with the context that pydantic gives them."""


def error_of(annotation: Any, value: Any) -> Any:
    """Return the error of an option of this type; a table is what the options of a plugin are."""

    class Made(Section):
        option: annotation

    with pytest.raises(ValidationError) as caught:
        Made.model_validate({"option": value})
    (error,) = caught.value.errors(include_url=False)
    return error


def raised(kind: str, context: dict[str, Any]) -> Any:
    def refuse(value: Any) -> Any:
        raise PydanticKnownError(kind, context or None)  # type: ignore[arg-type]

    return error_of(Annotated[Any, BeforeValidator(refuse)], 3)


@pytest.mark.parametrize(("annotation", "value", "kind", "message"), CASES, ids=[case[2] for case in CASES])
def test_what_was_expected_is_told_in_plain_words(annotation: Any, value: Any, kind: str, message: str) -> None:
    error = error_of(annotation, value)
    assert (error["type"], describe_validation_error(error)) == (kind, message)


@pytest.mark.parametrize("kind", REST)
def test_types_that_no_option_of_a_spec_raises_are_told_in_plain_words_too(kind: str) -> None:
    error = raised(kind, REST[kind])
    message = describe_validation_error(error)
    assert error["type"] == kind
    assert message in SENTENCES.values() or re.fullmatch(r"expected .*[^ ], found 3", message)
    assert not PYDANTIC.search(message), message


def test_no_type_is_left_out() -> None:
    assert {case[2] for case in CASES} | {*REST, "value_error", "assertion_error"} == {*get_args(core_schema.ErrorType)}
    assert not [case[3] for case in CASES if PYDANTIC.search(case[3].partition(", found ")[0])]


class Refusing(Section):
    number: int = 0

    @field_validator("number")
    @classmethod
    def _small(cls, value: int) -> int:
        assert value < 3, "expected fewer than three dogs"
        if value < 0:
            raise ValueError("expected no dogs, or some")
        if value == 1:
            raise PydanticCustomError("too_short", "one dog is {mood}", {"mood": "lonely"})
        if value == 2:
            TypeAdapter(dict[str, int]).validate_python({"a": "b"})
        if not value:
            raise ValueError
        return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "expected no dogs, or some"),
        (0, "0 is refused"),
        (1, "one dog is lonely"),
        (2, 'expected a whole number, found "b"'),
    ],
)
def test_what_a_validator_says_stands_as_it_is(value: int, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Refusing.model_validate({"number": value})
    assert describe_validation_error(caught.value.errors(include_url=False)[0]) == message


def test_an_assertion_of_a_validator_stands_without_the_name_of_its_type() -> None:
    with pytest.raises(ValidationError) as caught:
        Refusing.model_validate({"number": 3})
    assert describe_validation_error(caught.value.errors(include_url=False)[0]).startswith(
        "expected fewer than three dogs"
    )
