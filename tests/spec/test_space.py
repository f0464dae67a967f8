"""The space of a search: how parameters are written, which values they have, and when they are there."""

from __future__ import annotations

import itertools
import math
import tomllib
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kexp import nested
from kexp.contracts import Parameter, choice_label
from kexp.nested import find, put
from kexp.spec import toml
from kexp.spec.space import Parameters, Space

BASE = {
    "objective": {"use": "cross-entropy", "label_smoothing": 0.1},
    "freezing": {"use": "none"},
    "training": {"epochs": 3, "learning_rate": 5e-5, "weight_decay": 0.3, "betas": [0.9, 0.99]},
}
USE = Parameter(choices=["cross-entropy", "focal"])
GAMMA = Parameter(low=1.0, high=3.0, when={"objective.use": "focal"})


def parameters(table: dict[str, Any]) -> dict[str, Parameter]:
    return TypeAdapter(Parameters).validate_python(table)


def problems(**options: Any) -> list[str]:
    return [str(problem) for problem in Parameter(**options).problems()]


# --- how they are written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['"training.epochs" = {low = 1, high = 5}', "training.epochs = {low = 1, high = 5}",
                                  "[training]\nepochs = {low = 1, high = 5}", "[training.epochs]\nlow = 1\nhigh = 5"])  # fmt: skip
def test_a_path_says_the_same_with_and_without_quotes(text: str) -> None:
    assert parameters(tomllib.loads(text)) == {"training.epochs": Parameter(low=1, high=5)}


def test_deep_paths_and_choices_of_tables_are_told_apart() -> None:
    found = parameters({"a": {"b": {"use": {"choices": ["x"]}}}, "freezing": {"choices": [{"use": "y"}]}})
    assert found == {"a.b.use": Parameter(choices=["x"]), "freezing": Parameter(choices=[{"use": "y"}])}


@pytest.mark.parametrize("text", ['when = {"a.b" = 1, a.c = [2, 3]}', "when = {a = {b = 1, c = [2, 3]}}"])
def test_conditions_are_written_like_paths(text: str) -> None:
    found = parameters(tomllib.loads(f"[x]\nlow = 1\nhigh = 2\n{text}"))
    assert found["x"].when == {"a.b": 1, "a.c": [2, 3]}


@pytest.mark.parametrize("quote", ['"', ""], ids=["quoted", "unquoted"])
@pytest.mark.parametrize(
    ("assignment", "changed"),
    [("objective.gamma.high=9", {"objective.gamma": Parameter(low=1, high=9)}), ('objective.use.choices=["b"]', {"objective.use": Parameter(choices=["b"])}),
     ("objective.other={low=0,high=1}", {"objective.other": Parameter(low=0, high=1)})],
)  # fmt: skip
def test_an_assignment_changes_what_it_names_and_nothing_else(quote: str, assignment: str, changed: Any) -> None:
    use, gamma = (f"{quote}objective.{key}{quote}" for key in ("use", "gamma"))
    space = tomllib.loads(f'{use} = {{choices = ["a"]}}\n{gamma} = {{low = 1, high = 3}}')
    table = nested.merge(
        toml.join_paths({"search": {"space": space}}), toml.parse_assignment(f"search.space.{assignment}")
    )
    before = {"objective.use": Parameter(choices=["a"]), "objective.gamma": Parameter(low=1, high=3)}
    assert parameters(table["search"]["space"]) == {**before, **changed}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "expected low and high, or choices"),
        ({"low": 1}, "expected low and high, or choices"),
        ({"low": 5, "high": 5}, "high: 5 is not above low, 5"),
        ({"low": 0.5, "high": 0.25}, "high: 0.25 is not above low, 0.5"),
        ({"low": 0, "high": 1.0, "log": True}, "low: a logarithmic range starts above 0, found 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "step: a logarithmic range has no step"),
        ({"low": 1, "high": 10, "step": 4}, "step: steps of 4 do not lead from 1 to 10"),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, "step: steps of 0.3 do not lead from 0 to 1"),
        ({"low": 1, "high": 3, "step": 0.5}, "step: a range of whole numbers has a whole step, found 0.5"),
        ({"choices": [1, 2], "log": True}, "choices: choices exclude low, high, log and step"),
        ({"choices": ["focal", {"use": "focal"}]}, "choices: a choice is given twice"),
    ],
)
def test_a_range_or_choices_that_mean_nothing_are_told(options: dict[str, Any], expected: str) -> None:
    assert problems(**options) == [expected]


@pytest.mark.parametrize(("low", "high"), [(0.0, math.inf), (-math.inf, 1.0), (0.0, math.nan)])
def test_ends_are_finite(low: float, high: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Parameter(low=low, high=high)


@pytest.mark.parametrize("options", [{"low": 1, "high": 9, "step": 4}, {"low": 0.1, "high": 0.7, "step": 0.1}, {"low": 1e-5, "high": 5e-5, "step": 1e-5},
                                     {"low": 1, "high": 9, "log": True}, {"choices": ["1", 1]}, {"low": -2, "high": 0.5}])  # fmt: skip
def test_what_is_allowed_has_no_problem(options: dict[str, Any]) -> None:
    assert problems(**options) == []


@pytest.mark.parametrize("options", [{"low": "1"}, {"low": True}, {"low": 1, "high": 2, "step": 0}, {"choices": []}, {"lo": 1}])  # fmt: skip
def test_wrong_types_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Parameter(**options)


# --- which values they have -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "whole", "ends", "values"),
    [({"low": 1, "high": 4}, True, (1, 4), (1, 2, 3, 4)), ({"low": 1, "high": 9, "step": 4}, True, (1, 9), (1, 5, 9)),
     ({"low": 1, "high": 4.0}, False, (1, 4.0), None), ({"low": 0.5, "high": 1.5, "step": 0.5}, False, (0.5, 1.5), (0.5, 1.0, 1.5)),
     ({"choices": ["a", {"use": "b"}]}, False, ("a", {"use": "b"}), ("a", {"use": "b"}))],
)  # fmt: skip
def test_ends_and_values(options: dict[str, Any], whole: bool, ends: Any, values: Any) -> None:
    parameter = Parameter(**options)
    found = parameter.values if parameter.values is None else tuple(parameter.values)
    assert (parameter.whole, parameter.ends, found) == (whole, ends, values)


@pytest.mark.parametrize(("low", "high", "step"), [("0.1", "0.7", "0.1"), ("0.0", "0.3", "0.1"), ("1e-5", "5e-5", "1e-5"),
                                                   ("-0.3", "0.3", "0.1"), ("0.0", "1000.0", "0.1")])  # fmt: skip
def test_steps_neither_add_up_errors_nor_leave_the_range(low: str, high: str, step: str) -> None:
    count = int((Decimal(high) - Decimal(low)) / Decimal(step)) + 1
    expected = [float(Decimal(low) + number * Decimal(step)) for number in range(count)]
    found = Parameter(low=float(low), high=float(high), step=float(step)).values
    assert found == pytest.approx(expected, rel=1e-14, abs=1e-15)
    assert (min(found), max(found)) == (float(low), float(high))


@pytest.mark.parametrize(
    ("choice", "word"),
    [("focal", "focal"), (2, 2), (1e-5, 1e-5), (False, False), (["accuracy", "mcc"], "[accuracy, mcc]"), ([0.9, 0.999], "[0.9, 0.999]"),
     ({"epochs": 3}, "epochs=3"), ({"use": "bottom-layers", "layers": 2}, "bottom-layers layers=2"),
     ({"use": "hf", "id": "a/b", "head": {"use": "cls"}}, "hf id=a/b head=cls")],
)  # fmt: skip
def test_a_choice_is_found_again_by_its_label(choice: Any, word: Any) -> None:
    assert (choice_label(choice), type(choice_label(choice))) == (word, type(word))
    found = Parameter(choices=["another", choice, ["x"]]).value_of(word)
    assert (found, type(found)) == (choice, type(choice))
    assert Parameter(low=1, high=3).value_of(2) == 2


# --- in which order and when they are there -------------------------------------------------------------------------

ORDER = ["objective.use", "objective.gamma", "training.epochs", "training.patience"]


@pytest.mark.parametrize("names", list(itertools.permutations(ORDER)))
def test_a_parameter_comes_after_those_that_decide_about_it(names: tuple[str, ...]) -> None:
    told = {
        "objective.use": USE,
        "objective.gamma": Parameter(low=1.0, high=3.0),
        "training.epochs": Parameter(low=1, high=3, when={"objective.gamma": 1.0}),
        "training.patience": Parameter(low=1, high=3, when={"training.epochs": [1, 3]}),
    }
    assert list(Space.of(BASE, {name: told[name] for name in names}).parameters) == ORDER


@pytest.mark.parametrize("place", ["objective.use", "objective", "objective.gamma"])
def test_a_whole_component_comes_before_conditions_on_any_part_of_it(place: str) -> None:
    told = {"training.epochs": Parameter(low=1, high=2, when={place: "x"}), "objective": USE}
    assert list(Space.of(BASE, told).parameters) == ["objective", "training.epochs"]


def test_conditions_in_a_circle_are_refused() -> None:
    one, other = Parameter(low=1, high=2, when={"b": 1}), Parameter(low=1, high=2, when={"a": 1})
    with pytest.raises(ValueError, match=r"^the conditions depend on each other: (a -> b -> a|b -> a -> b)$"):
        Space.of({}, {"a": one, "b": other})


@pytest.mark.parametrize(
    ("when", "there"),
    [({}, True), ({"objective.use": "cross-entropy"}, True), ({"objective.use": "focal"}, False), ({"training.epochs": [1, 3]}, True),
     ({"training.epochs": [1, 2]}, False), ({"training.epochs": 3, "objective.use": ["focal"]}, False), ({"training.patience": 1}, False),
     ({"training.betas": [0.9, 0.99]}, True)],
)  # fmt: skip
def test_a_parameter_is_there_where_all_its_conditions_hold(when: dict[str, Any], there: bool) -> None:
    assert Space.of(BASE, {"x": Parameter(low=1, high=2, when=when)}).active("x", BASE) is there


def test_values_are_laid_on_the_experiment_component_first() -> None:
    epochs = Parameter(low=1, high=2, when={"objective.label_smoothing": 0.1})
    space = Space.of(BASE, {"training.epochs": epochs, "objective.gamma": GAMMA, "objective.use": USE})
    assert space.apply({}) == BASE
    found = space.apply({"objective.gamma": 2.0, "objective.use": "focal"})
    assert found == {**BASE, "objective": {"use": "focal", "gamma": 2.0}}
    # A condition on an option fails with the component that has none.
    assert (space.active("training.epochs", BASE), space.active("training.epochs", found)) == (True, False)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"training.epochs": Parameter(low=1, high=5, step=2)}, {"training.epochs": 3}),
        ({"training.epochs": Parameter(low=2, high=6, step=2)}, None),
        ({"training.epochs": Parameter(choices=[1, 2])}, None),
        ({"training.patience": Parameter(choices=[1, 2])}, None),
        ({"training.learning_rate": Parameter(low=1e-5, high=1e-4, log=True)}, {"training.learning_rate": 5e-5}),
        ({"training.weight_decay": Parameter(low=0.1, high=0.5, step=0.1)}, {"training.weight_decay": 0.3}),
        ({"objective.use": USE, "objective.gamma": GAMMA}, {"objective.use": "cross-entropy"}),
        ({"freezing": Parameter(choices=["none", {"use": "bottom-layers", "layers": 2}])}, {"freezing": "none"}),
    ],
)
def test_the_experiment_without_a_search_is_a_point_of_the_space(told: dict[str, Parameter], expected: Any) -> None:
    assert Space.of(BASE, told).default() == expected


@pytest.mark.parametrize("choice", ["cross-entropy", {"use": "cross-entropy"}, {"use": "cross-entropy", "label_smoothing": 0.1}])  # fmt: skip
def test_the_default_point_makes_the_experiment_that_it_stands_for(choice: Any) -> None:
    space = Space.of(BASE, {"objective": Parameter(choices=[choice, "focal"])})
    assert (point := space.default()) is None or space.apply(point) == BASE


def test_contexts_are_what_others_must_be_for_a_parameter_to_be_there() -> None:
    warmup = Parameter(low=1, high=9, when={"objective.gamma": [1.0, 3.0]})
    smoothing = Parameter(low=0.0, high=0.2, when={"objective.use": "cross-entropy"})
    told = {"training.warmup_steps": warmup, "objective.label_smoothing": smoothing, "training.epochs": USE}
    space = Space.of(BASE, {**told, "objective.gamma": GAMMA, "objective.use": USE})
    focal = {"objective.use": "focal"}
    for path, expected in {
        "training.epochs": [{}],
        "objective.use": [{}],
        "objective.gamma": [focal],
        "training.warmup_steps": [{**focal, "objective.gamma": 1.0}, {**focal, "objective.gamma": 3.0}],
        "objective.label_smoothing": [{"objective.use": "cross-entropy"}],
    }.items():
        assert list(space.contexts(path)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("objective.use", "focal"), ("training.use", "adam"), ("training.epochs", 3), ("training", {"use": "adam", "epochs": 3}),
     ("objective.gamma", None), ("training.betas", None), ("training.epochs.low", None), ("a", None)],
)  # fmt: skip
def test_finding_knows_the_short_form_of_components(path: str, expected: Any) -> None:
    assert find({"objective": "focal", "training": {"use": "adam", "epochs": 3}}, path) == expected


@pytest.mark.parametrize(
    ("before", "path", "value", "expected"),
    [("focal", "objective.gamma", 2, {"use": "focal", "gamma": 2}), ("focal", "objective.use", "r-drop", {"use": "r-drop"}),
     ("focal", "objective", {"use": "r-drop", "alpha": 1}, {"use": "r-drop", "alpha": 1}),
     ({"use": "focal", "gamma": 2}, "objective.use", "r-drop", {"use": "r-drop"}),
     ({"use": "focal", "gamma": 2}, "objective.use", "focal", {"use": "focal", "gamma": 2})],
)  # fmt: skip
def test_putting_knows_components(before: Any, path: str, value: Any, expected: Any) -> None:
    table = {"objective": before}
    assert put(table, path, value) == {"objective": expected}
    assert table == {"objective": before}


# --- how many points ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "points"),
    [
        ({"training.epochs": {"low": 2, "high": 4}}, 3),
        ({"training.epochs": {"low": 2, "high": 4}, "training.learning_rate": {"choices": [1e-5, 2e-5]}}, 6),
        ({"training.weight_decay": {"low": 0.0, "high": 0.3, "step": 0.1}, "training.epochs": {"choices": [1, 5]}}, 8),
        # Focal loss with three values of gamma, and cross entropy without one.
        ({"objective": {"choices": ["cross-entropy", "focal"]},
          "objective.gamma": {"choices": [1, 2, 3], "when": {"objective.use": "focal"}}}, 4),
        # Never there: it adds no point.
        ({"training.epochs": {"choices": [1, 2]}, "training.patience": {"choices": [1, 2], "when": {"training.epochs": 7}}}, 2),
    ],
)  # fmt: skip
def test_points_are_counted(table: dict[str, Any], points: int) -> None:
    space = Space.of(BASE, parameters(table))
    assert space.count_points() == points
