"""What a search would try is checked before it begins, and what the section ``[search]`` itself may say."""

from __future__ import annotations

from typing import Any

import pytest

from kexp import nested
from kexp.catalog import Catalog
from kexp.plan.validate import dump, space_of, validate
from kexp.spec import toml
from kexp.spec.search_section import seconds_of

EPOCHS = {"training.epochs": {"low": 1, "high": 5}}
USE = {"objective.use": {"choices": ["cross-entropy", "focal"]}}
GAMMA = {"low": 0.5, "high": 3.0}
FOCAL = {"when": {"objective.use": "focal"}}
POSITIONS = {"backbone.positions": {"choices": [64, 256]}}
LENGTHS = {"training.max_length": {"choices": [32, 128]}}
NO_GAMMA = 'objective.gamma: unknown option of objective "cross-entropy"; it is an option of objective "focal"'


def problems(catalog: Catalog, space: dict[str, Any], base: dict[str, Any] | None = None, **search: Any) -> list[str]:
    stated = {"name": "x", "dataset": "dialect-sample", "backbone": "tiny", "training": {"max_length": 32}}
    table = nested.merge(stated, toml.expand(base or {}))
    return [
        str(problem) for problem in validate({**table, "search": {"trials": 9, "space": space, **search}}, catalog)[1]
    ]


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"training.epocs": {"choices": [3]}}, ['training.epocs: 3: training.epocs: unknown key of [training]; did you mean "epochs"?']),
        ({"trainin.epochs": {"choices": [3]}}, ['trainin.epochs: 3: trainin: unknown key; did you mean "training"?']),
        ({"training.epochs": {"low": 0, "high": 3}}, ["training.epochs: 0: training.epochs: expected a number greater than 0, found 0"]),
        ({"training.learning_rate": {"low": 1e-5, "high": 1.0}}, ["training.learning_rate: 1.0: training.learning_rate: expected a number less than 1, found 1.0"]),
        ({"training.epochs": {"choices": [1, "two"]}}, ['training.epochs: two: training.epochs: expected a whole number, found "two"']),
        ({"objective.use": {"choices": ["focal", "focl"]}}, ['objective.use: focl: objective: unknown objective "focl"; did you mean "focal"?']),
        ({"freezing": {"choices": ["none", {"use": "bottom-layers", "layers": 9}]}}, ["freezing: bottom-layers layers=9: freezing: 9 layers cannot be frozen, the model has 2"]),
        (USE | {"objective.gamma": GAMMA}, [f"objective.gamma: 0.5: {NO_GAMMA}"]),
        (USE | {"objective.gamma": {**GAMMA, "low": -1.0, **FOCAL}}, ["objective.gamma: -1.0: objective.gamma: expected a number of at least 0, found -1.0"]),
        (USE | {"objective.gamma": {**GAMMA, "when": {"objective.use": "r-drop"}}}, ["objective.gamma.when: is never true; give values that the spec or the search can have"]),
        (EPOCHS | {"training.patience": {"low": 1, "high": 2, "when": {"training.epochs": 6}}}, ["training.patience.when: is never true; give values that the spec or the search can have"]),
        (EPOCHS | {"training.patience": {"low": 1, "high": 2, "when": {"training.epocs": 1}}}, ["training.patience.when: is never true; give values that the spec or the search can have"]),
    ],
)  # fmt: skip
def test_what_no_trial_could_do_is_told_where_it_is_stated(catalog: Catalog, space: Any, expected: list[str]) -> None:
    assert problems(catalog, space) == [f"search.space.{line}" for line in expected]


def test_conditions_in_a_circle_are_told(catalog: Catalog) -> None:
    one = {"low": 1, "high": 5, "when": {"training.patience": 1}}
    other = {"low": 1, "high": 5, "when": {"training.epochs": 1}}
    [found] = problems(catalog, {"training.epochs": one, "training.patience": other})
    assert found.startswith("search.space: the conditions depend on each other: training.")


@pytest.mark.parametrize(
    ("space", "base"),
    [
        (EPOCHS | {"training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}, "training.weight_decay": {"low": 0.0, "high": 0.3, "step": 0.1}}, {}),
        # Options that there are only where the component is.
        (USE | {"objective.gamma": {**GAMMA, **FOCAL}, "objective.label_smoothing": {"low": 0.0, "high": 0.2, "when": {"objective.use": "cross-entropy"}}}, {}),
        ({"objective": {"choices": ["cross-entropy", {"use": "focal", "gamma": 2.0}]}, "objective.gamma": {**GAMMA, **FOCAL}}, {}),
        ({"freezing": {"choices": ["none", {"use": "bottom-layers", "layers": 1}]}, "freezing.layers": {"low": 1, "high": 2, "when": {"freezing.use": "bottom-layers"}}}, {}),
        # An end that only the spec's value of another parameter would refuse, or the lack of one: no trial has either.
        ({"freezing.use": {"choices": ["none", "bottom-layers"]}, "freezing.layers": {"low": 1, "high": 2, "when": {"freezing.use": "bottom-layers"}}}, {}),
        ({"backbone.positions": {"choices": [64, 128]}, "training.max_length": {"choices": [32, 64]}}, {"training.max_length": 200}),
        # Of two parameters that do not depend on each other, not every pair is checked.
        (POSITIONS | LENGTHS, {}),
        (POSITIONS | {"training.max_length": {"choices": [32, 128], "when": {"backbone.positions": 256}}}, {}),
        (POSITIONS | {"training.max_length": {"choices": [32, 64]}}, {}),
        # Conditions in a row, on the spec itself, and on values within a range.
        (USE | {"objective.gamma": {**GAMMA, **FOCAL}, "training.patience": {"low": 1, "high": 2, "when": {"objective.gamma": 3.0}}}, {}),
        ({"training.patience": {"low": 1, "high": 2, "when": {"training.epochs": [3, 4]}}}, {"training.epochs": 4}),
        (EPOCHS | {"training.patience": {"low": 1, "high": 2, "when": {"training.epochs": 3}}}, {}),
        (EPOCHS | {"training.patience": {"low": 1, "high": 2, "when": {"training.epochs": [2, 3, 4]}}}, {}),
    ],
)  # fmt: skip
def test_a_space_of_which_every_trial_can_be_done_has_no_problem(catalog: Catalog, space: Any, base: Any) -> None:
    assert problems(catalog, space, base) == []


def test_a_condition_within_a_range_is_looked_at_like_any_other(catalog: Catalog) -> None:
    bad = {"choices": [0], "when": {"training.epochs": 3}}
    found = problems(catalog, EPOCHS | {"training.patience": bad})
    assert found == ["search.space.training.patience: 0: training.patience: expected a number greater than 0, found 0"]


def test_a_parameter_is_checked_with_all_values_of_those_it_depends_on(catalog: Catalog) -> None:
    """The condition holds with 64 positions, which are too few for one of the lengths."""
    found = problems(
        catalog, POSITIONS | {"training.max_length": {"choices": [32, 128], "when": {"backbone.positions": [64, 256]}}}
    )
    assert found == [
        'search.space.training.max_length: 128: training.max_length: 128 is more than the 64 positions of backbone "tiny";'
        " use 64 or fewer"
    ]


def test_every_wrong_parameter_is_reported(catalog: Catalog) -> None:
    found = problems(catalog, {"training.epochs": {"choices": [0]}, "training.patience": {"choices": [0]}})
    assert [line.split(": ")[0] for line in found] == ["search.space.training.epochs", "search.space.training.patience"]


# --- the section itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"trials": None}, "trials: nothing ends the search; set trials, timeout or both"),
        ({"trials": 0}, "trials: expected a number greater than 0, found 0"),
        ({"trails": 3}, 'trails: unknown key of [search]; did you mean "trials"?'),
        ({"timeout": "soon"}, 'timeout: expected a duration such as 2h, 90m or 1h30m, found "soon"'),
        ({"timeout": "0h"}, 'timeout: expected a duration such as 2h, 90m or 1h30m, found "0h"'),
        ({"timeout": ""}, 'timeout: expected a duration such as 2h, 90m or 1h30m, found ""'),
        ({"timeout": "30m1h"}, 'timeout: expected a duration such as 2h, 90m or 1h30m, found "30m1h"'),
        ({"metric": ["validation.mcc", "validation.mcc"]}, "metric: a metric is given twice"),
        ({"storage": "disk"}, 'storage: expected "journal", a database URL or grpc://HOST:PORT, found "disk"'),
        ({"seeds_per_trial": 3}, "seeds_per_trial: a trial takes the first 3 seeds, and the spec has 2; add seeds"),
        ({"folds_per_trial": 2}, "folds_per_trial: a trial takes the first 2 folds, and the spec has none; lower it, or raise split.folds"),
        ({"jobs": 0}, "jobs: expected a number greater than 0, found 0"),
        ({"space": {}}, "space: expected at least 1 entry, found 0"),
        ({"space": {"training.epochs": {}}}, "space.training.epochs: expected low and high, or choices"),
        ({"space": {"training.epochs": {"low": 5, "high": 1}}}, "space.training.epochs.high: 1 is not above low, 5"),
        ({"space": {"training.epochs": {"low": "1", "high": 5}}}, "space.training.epochs.low: expected a whole number, found \"1\""),
        ({"space": {"training": {"epochs": {"low": "1", "high": 5}}}}, "space.training.epochs.low: expected a whole number, found \"1\""),
        *(({"space": {path: {"choices": [[1]]}}}, f"space.{path}: cannot be searched: trials could not be compared")
          for path in ("name", "seeds", "evaluation.metrics", "trackers", "search.trials")),
        *(({"space": {path: {"choices": [[1]]}}},
           f"space.{path}: cannot be searched: it changes the validation rows, so trials could not be compared; "
           "compare such specs as variants, by their test results")
          for path in ("split.seed", "cleaning", "cleaning.min_characters", "cleaning.max_per_class", "dataset", "dataset.rows",
                       "dataset.limit", "dataset.limit.validation", "dataset.use")),
    ],
)  # fmt: skip
def test_what_the_section_cannot_mean_is_told(catalog: Catalog, search: dict[str, Any], expected: str) -> None:
    stated = {key: value for key, value in {"space": EPOCHS, "trials": 9, **search}.items() if value is not None}
    table = {"name": "x", "seeds": [1, 2], "dataset": "dialect-sample", "backbone": "tiny", "search": stated}
    assert [str(problem) for problem in validate(table, catalog)[1]] == [f"search.{expected}"]


@pytest.mark.parametrize("space", [{"training.epochs": {"lo": 1, "high": 5}}, {"training": {"epochs": {"lo": 1, "high": 5}}}])  # fmt: skip
def test_a_misspelt_key_of_a_parameter_is_told(catalog: Catalog, space: dict[str, Any]) -> None:
    [found] = problems(catalog, space)
    assert found.startswith("search.space.training.epochs.lo: unknown key")
    assert found.endswith('did you mean "low"?')


@pytest.mark.parametrize(
    "search",
    [*({"timeout": text} for text in ("2h", "90m", "1h30m", "45s")), {"storage": "sqlite:///study.db"}, {"seeds_per_trial": 1},
     {"storage": "postgresql+psycopg://user@host/name"}, {"storage": "grpc://host:13000"}, {"trials": 1, "jobs": 4}],
)  # fmt: skip
def test_what_the_section_can_mean_has_no_problem(catalog: Catalog, search: dict[str, Any]) -> None:
    assert problems(catalog, EPOCHS, **search) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("1h1m1s", 3661), ("soon", 0), ("2 h", 0), ("1.5h", 0), ("-1h", 0)],
)
def test_durations_are_seconds(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


def test_train_rows_alone_may_be_searched(catalog: Catalog) -> None:
    space = {"dataset.limit.train": {"choices": [100, 200]}, "labelled.n": {"choices": [20, 40]}}
    table = {"name": "x", "dataset": "dialect-sample", "backbone": "tiny", "search": {"trials": 2, "space": space}}
    assert not validate(table, catalog)[1]


TOKENS = {"training.batch_tokens": {"choices": [512, 2048]}}


def test_batches_of_tokens_may_be_searched_over_without_those_of_rows(catalog: Catalog) -> None:
    assert problems(catalog, TOKENS) == []
    assert problems(catalog, TOKENS, {"training.batch_tokens": 1024}) == []
    assert problems(catalog, {"training.batch_tokens": {"choices": [512], "when": {"training.epochs": 3}}}) == []
    assert problems(catalog, TOKENS, {"training.batch_size": 32}) == [
        "search.space.training.batch_tokens: 512: training.batch_tokens: batch_size and batch_tokens both say how "
        "large a batch is; remove one of them"
    ]
    rows = {"training.batch_size": {"choices": [16, 32]}}
    assert problems(catalog, rows) == []
    assert len(problems(catalog, rows, {"training.batch_tokens": 1024})) > 0
    low = {"training.batch_tokens": {"low": 16, "high": 64}}
    assert problems(catalog, low) == [
        "search.space.training.batch_tokens: 16: training.batch_tokens: 16 tokens are fewer than those of one row, "
        "max_length = 32; raise it, or lower training.max_length"
    ]


def test_trials_start_from_the_default_batch_size_unless_they_choose_tokens(catalog: Catalog) -> None:
    def base(space: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        table = {"name": "x", "dataset": "dialect-sample", "backbone": "tiny", "search": {"trials": 9, "space": space}}
        spec, found = validate(table, catalog)
        assert not found
        assert spec is not None
        made = space_of(spec, spec.search, catalog)
        return made.base["training"], made.default()

    assert base({"training.batch_size": {"choices": [16, 32]}})[0]["batch_size"] == 32
    assert base({"training.batch_size": {"choices": [16, 32]}})[1] == {"training.batch_size": 32}
    assert "batch_size" not in base(TOKENS)[0]


def test_default_batch_size_is_written_out_unless_batches_are_of_tokens(catalog: Catalog) -> None:
    def written(**training: Any) -> dict[str, Any]:
        table = {"name": "x", "dataset": "dialect-sample", "backbone": "tiny", "training": training}
        spec, found = validate(table, catalog)
        assert not found
        assert spec is not None
        dumped = dump(spec, catalog)
        # What is written can be read again, and means the same.
        again, found = validate(dumped, catalog)
        assert (again, found) == (spec, [])
        return {name: dumped["training"].get(name) for name in ("batch_size", "batch_tokens")}

    assert written() == {"batch_size": 32, "batch_tokens": None}
    assert written(batch_size=8) == {"batch_size": 8, "batch_tokens": None}
    assert written(batch_tokens=512) == {"batch_size": None, "batch_tokens": 512}


@pytest.mark.parametrize(("sampler", "ends"), [("grid", True), ("brute-force", True), ("tpe", False), ("qmc", False)])
def test_samplers_that_visit_every_point_end_a_search_by_themselves(catalog: Catalog, sampler: str, ends: bool) -> None:
    space = (
        {"training.epochs": {"choices": [1, 2]}}
        if ends or sampler == "tpe"
        else {"training.epochs": {"low": 1, "high": 2}}
    )
    found = problems(catalog, space, trials=None, sampler=sampler)
    assert found == ([] if ends else ["search.trials: nothing ends the search; set trials, timeout or both"])
