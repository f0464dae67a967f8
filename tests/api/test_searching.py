"""``kexp.tune``: the search of the command, and its results as an object."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support import tiny_spec

import kexp

SEARCH = """
[search]
trials = 3
sampler = "random"
[search.space]
"training.learning_rate" = {{low = 1e-3, high = 1e-2, log = true}}
"""


@pytest.fixture(scope="module")
def spec(reviews: Path) -> dict[str, Any]:
    return {"name": "검색", **tomllib.loads(tiny_spec(tables=SEARCH, epochs=1).format(data=reviews))}


@pytest.fixture(scope="module")
def found(spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> kexp.SearchResult:
    runs = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEXP_CACHE_DIR", str(runs / "cache"))
        return kexp.tune(spec, trials=2, study="공부", runs_dir=runs / "runs", progress=False)


def test_a_search_has_what_its_files_have(found: kexp.SearchResult) -> None:
    study = json.loads((found.folder / "study.json").read_text("utf-8"))
    assert found.status == "done"
    assert found.folder.name == "공부"
    assert found.best == study["best_params"]
    assert found.best_value == study["best_value"]
    assert len(found.trials) == 2
    best = found.trials.set_index("trial").loc[study["best_trial"]]
    assert best[next(iter(study["goals"]))] == pytest.approx(study["best_value"])
    assert found.final is not None
    assert str(found.final.folder) == study["final"]
    assert found.findings == study["remarks"]
    assert found.report.is_file()
    assert kexp.check(found.best_spec).spec.training.learning_rate == pytest.approx(  # type: ignore[arg-type]
        found.best.get("training.learning_rate", 5e-3)
    )


def test_it_shows_itself(found: kexp.SearchResult) -> None:
    text, html = repr(found), found._repr_html_()
    assert text.startswith("study 공부: done (2 complete), ")
    assert f"best trial {json.loads((found.folder / 'study.json').read_text('utf-8'))['best_trial']}: " in text
    assert found.report.resolve().as_uri() in html
    assert "<table" in html
    points, line = found.plot_history().data
    assert len(points.y) == 2
    assert max(points.y) == line.y[-1] == found.best_value


def test_the_same_call_continues(found: kexp.SearchResult, spec: dict[str, Any]) -> None:
    again = kexp.tune(spec, study="공부", runs_dir=found.folder.parents[1], progress=False)
    assert again.folder == found.folder
    assert len(again.trials) == 3
    assert len(kexp.SearchResult(str(found.folder)).trials) == 3


def test_mistakes_are_those_of_the_command(spec: dict[str, Any], found: kexp.SearchResult, tmp_path: Path) -> None:
    without = {name: value for name, value in spec.items() if name != "search"}
    for given, options, message in (
        (without, {}, r"there is no \[search\]"),
        (spec, {"trials": 0}, "search.trials"),
        (spec, {"study": "a/b"}, "--study a/b: it names a folder"),
        (spec, {"timeout": "soon"}, "search.timeout"),
        (spec, {"executor": "locale"}, "search.executor"),
    ):
        with pytest.raises(kexp.KexpError, match=message):
            kexp.tune(given, runs_dir=tmp_path / "runs", progress=False, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()
    with pytest.raises(kexp.KexpError, match=r"has no study\.json"):
        kexp.SearchResult(found.final or tmp_path)
