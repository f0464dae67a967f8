"""``study.html``: one page that tells a study, with Optuna's interactive figures, and needs no network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning

from kexp.report.folder import write_text
from kexp.report.html import page_environment, plain, score
from kexp.search import findings
from kexp.search.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

logger = logging.getLogger("kexp")

SHOWN = 25
"""Trials in the table of the best; ``trials.csv`` has them all."""

# Readable on a light and on a dark page.
INK, RULE = "#808995", "rgba(128, 137, 149, 0.25)"


def write_page(folder: Path, study: Study, found: Mapping[str, Any]) -> Path:
    """Write ``study.html`` from a study and the object of ``study.json``, and return its path."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    jinja = page_environment()
    jinja.filters |= {"score": score, "plain": plain}
    goals = study.question.goals
    page = jinja.from_string(files("kexp.search").joinpath("study.html.j2").read_text("utf-8")).render(
        found=found,
        goals=goals,
        parameters=list(study.question.space.parameters),
        rows=best_rows(study),
        failures=[row for row in findings.rows(study) if row["outcome"] in ("failed", "lost", "interrupted")],
        figures=[(title, Markup(_html(figure))) for title, figure in figures(study)],
        plotly=Markup(get_plotlyjs()),
        spec=(folder / "study.toml").read_text("utf-8"),
    )
    path = folder / "study.html"
    write_text(path, page)
    return path


def best_rows(study: Study) -> list[findings.Row]:
    """Return the complete trials, the best in the first goal first, without repetitions."""
    goal = study.question.goals[0]
    done = [row for row in findings.rows(study) if row["outcome"] == "complete" and row["same as"] is None]
    return sorted(done, key=lambda row: row[goal.name], reverse=goal.direction == "maximize")[:SHOWN]


def figures(study: Study) -> Iterator[tuple[str, Figure]]:
    """Yield Optuna's figures of the study with their titles; those for which there are too few trials are left out."""
    from optuna import visualization as draw

    goals = study.question.goals
    charts: Mapping[str, Callable[..., Figure]] = {
        "History": draw.plot_optimization_history,
        "Importance of parameters": draw.plot_param_importances,
        "Parallel coordinates": draw.plot_parallel_coordinate,
        "Slices": draw.plot_slice,
    }
    for number, goal in enumerate(goals):
        target = {"target": _target(number) if len(goals) > 1 else None, "target_name": goal.name}
        for title, chart in charts.items():
            yield from _drawn(f"{title} of {goal.name}" if len(goals) > 1 else title, chart, study, **target)
    if len(goals) == 1:
        yield from _drawn("Values during training", draw.plot_intermediate_values, study)
    elif len(goals) <= 3:
        names = [goal.name for goal in goals]
        yield from _drawn("Pareto front", draw.plot_pareto_front, study, target_names=names)


def _target(number: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: trial.values[number]


def _drawn(title: str, chart: Callable[..., Figure], study: Study, **options: Any) -> Iterator[tuple[str, Figure]]:
    """Yield a figure; one that cannot be drawn from these trials (too few, all alike) is left out."""
    try:
        with warnings.catch_warnings():
            # Where there are too few trials Optuna warns and draws something anyway.
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", ExperimentalWarning)
            figure = chart(study.optuna, **options)
    except (RuntimeError, ValueError, UserWarning) as error:
        logger.info("%s: not drawn: %s", title, error)
        return
    if figure.data:
        figure.update_layout(
            title=None, margin={"t": 30}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font_color=INK
        )
        figure.update_xaxes(gridcolor=RULE, zerolinecolor=RULE)
        figure.update_yaxes(gridcolor=RULE, zerolinecolor=RULE)
        yield title, figure


def _html(figure: Figure) -> str:
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False}))
