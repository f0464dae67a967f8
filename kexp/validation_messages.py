"""pydantic's errors in plain words: what was expected of a value, for every type of error that pydantic has."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_LIST = "a list"
_TABLE = "a table"
_STRING = "a string"
_NUMBER = "a number"
_WHOLE = "a whole number"
_TRUTH = "true or false"
_DATE = "a date such as 2026-01-31"
_TIME = "a time such as 07:30:00"
_DATE_TIME = "a date and time such as 2026-01-31T07:30:00"
_DURATION = 'a duration such as "PT1H30M"'
_ADDRESS = 'an address such as "https://example.com"'
_UUID = "a UUID"
_ARGUMENTS = "other arguments"

EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("string_type", "string_unicode", "bytes_type", "bytes_invalid_encoding"), _STRING),
    "string_too_short": "a string of at least {min_length} characters",
    "string_too_long": "a string of at most {max_length} characters",
    "bytes_too_short": "a string of at least {min_length} bytes",
    "bytes_too_long": "a string of at most {max_length} bytes",
    "string_pattern_mismatch": "a string that matches {pattern}",
    "string_not_ascii": "a string of ASCII characters",
    **dict.fromkeys(("json_type", "json_invalid"), "a string with JSON in it"),
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _WHOLE),
    "int_parsing_size": "a whole number of fewer digits",
    **dict.fromkeys(
        (
            "float_type", "float_parsing", "decimal_type", "decimal_parsing", "fraction_type", "fraction_parsing",
            "complex_type", "complex_str_parsing",
        ),
        _NUMBER,
    ),
    "decimal_max_digits": "a number of at most {max_digits} digits",
    "decimal_max_places": "a number of at most {decimal_places} digits after the point",
    "decimal_whole_digits": "a number of at most {whole_digits} digits before the point",
    "finite_number": "a finite number",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    **dict.fromkeys(
        (
            "list_type", "tuple_type", "set_type", "frozen_set_type", "deque_type", "iterable_type", "iteration_error",
            "named_tuple_type",
        ),
        _LIST,
    ),
    "set_item_not_hashable": "a number, a string or true or false",
    "too_short": "at least {min_length} {entries}",
    "too_long": "at most {max_length} {entries}",
    **dict.fromkeys(
        (
            "dict_type", "frozen_dict_type", "ordered_dict_type", "counter_type", "mapping_type", "model_type",
            "model_attributes_type", "dataclass_type", "dataclass_exact_type", "get_attribute_error",
        ),
        _TABLE,
    ),
    "invalid_key": "a table whose keys are strings",
    **dict.fromkeys(("literal_error", "enum"), "{expected}"),
    "union_tag_invalid": "a table whose {discriminator} is one of {expected_tags}",
    "union_tag_not_found": "a table with the key {discriminator}",
    "none_required": "no value",
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"), _DATE),
    "date_past": "a date in the past",
    "date_future": "a date in the future",
    **dict.fromkeys(("time_type", "time_parsing"), _TIME),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_object_invalid", "datetime_from_date_parsing"), _DATE_TIME
    ),
    "datetime_past": "a date and time in the past",
    "datetime_future": "a date and time in the future",
    "timezone_naive": "a time without a time zone",
    "timezone_aware": "a time with a time zone, such as 2026-01-31T07:30:00Z",
    "timezone_offset": "a time whose distance from UTC is {tz_expected} seconds",
    **dict.fromkeys(("time_delta_type", "time_delta_parsing"), _DURATION),
    **dict.fromkeys(("url_type", "url_parsing", "url_syntax_violation"), _ADDRESS),
    "url_too_long": "an address of at most {max_length} characters",
    "url_scheme": "an address that begins with {expected_schemes}",
    **dict.fromkeys(("uuid_type", "uuid_parsing"), _UUID),
    "uuid_version": "a UUID of version {expected_version}",
    "is_instance_of": "an object of the class {class}",
    "is_subclass_of": "a subclass of {class}",
    "callable_type": "a function",
    "needs_python_object": "an object of Python",
    **dict.fromkeys(
        (
            "arguments_type", "missing_argument", "unexpected_keyword_argument", "missing_keyword_only_argument",
            "unexpected_positional_argument", "missing_positional_only_argument", "multiple_argument_values",
        ),
        _ARGUMENTS,
    ),
    **dict.fromkeys(("missing_sentinel_error", "ellipsis_error"), "no value"),
}  # fmt: skip
"""What was expected where pydantic raises an error of a type, with the names of the error's context in braces."""

SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is unknown",
    "no_such_attribute": "is unknown",
    "frozen_field": "cannot be changed",
    "frozen_instance": "cannot be changed",
    "recursion_loop": "holds itself",
    "recursion_depth_exceeded": "is nested too deeply",
    "default_factory_not_called": "has no default, since another key is wrong",
}
"""What is said where a type of error is not about the value that was found."""

QUOTED = ("expected", "expected_tags", "expected_schemes", "discriminator")
"""Names in the context of errors that hold words which pydantic has quoted with apostrophes."""
NUMBERS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of", "finite_number")
LONGEST = 200
"""Characters of a value that are quoted."""


def describe_validation_error(error: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors (of ``ValidationError.errors()``) in plain words, without its place.

    ``expected a whole number, found "3"``; what a validator of a section or of a plugin says stands as it is.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind in SENTENCES:
        return SENTENCES[kind]
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", "")) or f"{shown(error['input'])} is refused"
    try:
        return f"expected {_expected(error)}, found {_found(error)}"
    except KeyError:
        # A type of error that a plugin has made, whatever it is called: its message is the plugin's.
        return str(error["msg"])


def shown(value: object) -> str:
    """Return a value as a spec writes it, cut to what a line of a message holds."""
    if isinstance(value, float) and not math.isfinite(value):
        text = str(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _expected(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in NUMBERS and isinstance(error["input"], bool | str):
        # pydantic takes true for 1 and "3" for 3 before it looks at bounds; a spec does not.
        return _NUMBER
    least = context.get("min_length", context.get("max_length"))
    words = {name: _in_words(name, value) for name, value in context.items()}
    return EXPECTED[kind].format_map({**words, "entries": "entry" if least == 1 else "entries"})


def _found(error: Mapping[str, Any]) -> str:
    """Return the value that was found, or how many entries it has where their number is wrong."""
    if error["type"] in ("too_short", "too_long"):
        count = error.get("ctx", {}).get("actual_length")
        return "more" if count is None else str(count)
    return shown(error["input"])


def _in_words(name: str, value: object) -> object:
    """Return a value of an error's context as a spec writes it."""
    if name in QUOTED:
        return re.sub(r"'([^'\"]*)'", r'"\1"', str(value))
    return f"{value:g}" if isinstance(value, float) else value
