"""Learning curves: which variants make a line, at which sizes, and that there is a figure where there are two."""

from __future__ import annotations

from typing import Any

from kexp.report.learning_curves import learning_curves


def variant(size: int, mean: float | None, sd: float | None = None, split: str = "test") -> dict[str, Any]:
    found = {split: {"accuracy": {"mean": mean, "sd": sd, "n": 1 if sd is None else 3}}}
    return {"metrics": found, "baselines": {}, "data": {"splits": {"train": {"kept": size}}}}


def table(**variants: dict[str, Any]) -> dict[str, Any]:
    return {"training": {"monitor": "accuracy"}, "objective": {"use": "cross-entropy"}, "labelled": {"n": 50, "draws": 3},
            "variants": variants}  # fmt: skip


def summary(**variants: dict[str, Any]) -> dict[str, Any]:
    return {"variants": variants}


UDA = {"objective": {"use": "uda"}}


def test_variants_that_differ_in_their_labelled_rows_are_a_line() -> None:
    spec = table(**{
        "uda-500": {**UDA, "labelled": {"n": 500}}, "uda-50": UDA, "sup-50": {}, "sup-500": {"labelled": {"n": 500}},
        "sup-all": {"labelled": {"per_class": 400, "draws": 1}}, "other": {"training": {"epochs": 9}},
    })  # fmt: skip
    found = summary(**{
        "uda-500": variant(500, 0.8, 0.01), "uda-50": variant(50, 0.7, 0.02), "sup-50": variant(50, 0.6, 0.03),
        "sup-500": variant(500, 0.75, 0.04), "sup-all": variant(800, 0.9), "other": variant(50, 0.1),
    })  # fmt: skip
    (figure,) = learning_curves(spec, found)
    assert figure.title == "Test accuracy by labelled rows"
    assert figure.image.startswith("data:image/svg+xml;base64,")
    assert [(line.name, line.sizes, line.means, line.deviations, line.colour) for line in figure.lines] == [
        ("uda", [50, 500], [0.7, 0.8], [0.02, 0.01], 0),
        ("sup", [50, 500, 800], [0.6, 0.75, 0.9], [0.03, 0.04, 0.0], 1),
    ]
    assert learning_curves(spec, found)[0].image == figure.image


def test_one_size_makes_no_figure() -> None:
    spec = table(a={}, b=UDA)
    assert learning_curves(spec, summary(a=variant(50, 0.6), b=variant(50, 0.7))) == []
    assert learning_curves(table(), summary(default=variant(50, 0.6))) == []
    assert learning_curves(spec, summary(a=variant(50, None), b=variant(50, 0.7))) == []
    assert learning_curves(spec, {"variants": {"a": {"metrics": {}, "data": {}}}}) == []


def test_a_limit_of_train_is_a_size_and_a_limit_of_test_is_not() -> None:
    spec = table(a={}, b={"dataset": {"limit": {"train": 900}}}, c={"dataset": {"limit": {"test": 90}}})
    (figure,) = learning_curves(spec, summary(a=variant(2000, 0.8), b=variant(900, 0.7), c=variant(2000, 0.6)))
    assert [(line.name, line.sizes) for line in figure.lines] == [("cross-entropy", [900, 2000])]


def test_without_a_test_split_it_is_about_validation() -> None:
    spec = table(a={}, b={"labelled": {"n": 99}})
    (figure,) = learning_curves(
        spec, summary(a=variant(50, 0.6, None, "validation"), b=variant(99, 0.7, None, "validation"))
    )
    assert figure.title == "Validation accuracy by labelled rows"


def test_more_lines_than_colours_are_several_figures_and_equal_names_are_numbered() -> None:
    changes = {
        f"m{number}": {"training": {"epochs": number // 2}, "labelled": {"n": 10 if number % 2 else 99}}
        for number in range(10)
    }
    found = {name: variant(change["labelled"]["n"], 0.5) for name, change in changes.items()}
    first, second = learning_curves(table(**changes), summary(**found))
    assert [line.name for line in (*first.lines, *second.lines)] == [f"m {number}" for number in range(1, 6)]
    assert [line.colour for line in (*first.lines, *second.lines)] == [0, 1, 2, 3, 0]
