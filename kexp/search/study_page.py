"""``study.html``: one page about a study, with Optuna's interactive figures; it needs no network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler

from kexp.atomic_files import write_text
from kexp.packages import is_installed
from kexp.report.html import page_environment, plain, score
from kexp.search.default_trial import in_space
from kexp.search.history import History
from kexp.search.study import Study
from kexp.search.summary import Row, ranked, rows

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

logger = logging.getLogger("kexp")

NO_FIGURES = "study.html has no figures: they need plotly; pip install 'kexp[plotly]', then the same command once more"

SHOWN = 25
"""Trials in the table of the best; ``trials.csv`` has them all."""

# Readable on a light and on a dark page.
INK, RULE = "#808995", "rgba(128, 137, 149, 0.25)"


def write_page(folder: Path, study: Study, found: Mapping[str, Any]) -> Path:
    """Write ``study.html`` from a study and the object of ``study.json``, and return its path."""
    from markupsafe import Markup

    jinja = page_environment()
    jinja.filters |= {"score": score, "plain": plain}
    table = rows(study)
    page = jinja.from_string(files("kexp.search").joinpath("study.html.j2").read_text("utf-8")).render(
        found=found,
        metrics=study.job.metrics,
        parameters=list(study.job.space.parameters),
        rows=best_rows(study),
        failures=[row for row in table if row["outcome"] in ("failed", "lost", "interrupted")],
        figures=[(title, Markup(_html(figure))) for title, figure in figures(study)] if is_installed("plotly") else [],
        plotly=Markup(_script()),
        spec=(folder / "study.toml").read_text("utf-8"),
    )
    path = folder / "study.html"
    write_text(path, page)
    return path


def missing_figures() -> list[str]:
    """Return what is to be said of figures that cannot be drawn."""
    return [] if is_installed("plotly") else [NO_FIGURES]


def _script() -> str:
    """Return the program of the figures, where there are any."""
    if not is_installed("plotly"):
        return ""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def best_rows(study: Study) -> list[Row]:
    """Return the rows of the best trials, the best first."""
    table = rows(study)
    return [table[trial.number] for trial in ranked(study)[:SHOWN]]


def figures(study: Study) -> Iterator[tuple[str, Figure]]:
    """Yield Optuna's figures of the study with their titles; those for which there are too few trials are left out."""
    from optuna import visualization as draw

    metrics = study.job.metrics
    # A trial outside the space has no parameters, so that no figure of parameters has a place for it.
    trials = History(study.optuna, in_space(study.trials()), RandomSampler(), NopPruner()).study
    charts: Mapping[str, Callable[..., Figure]] = {
        "History": draw.plot_optimization_history,
        "Importance of parameters": draw.plot_param_importances,
        "Parallel coordinates": draw.plot_parallel_coordinate,
        "Slices": draw.plot_slice,
    }
    for number, metric in enumerate(metrics):
        target = {"target": _target(number) if len(metrics) > 1 else None, "target_name": metric.name}
        for title, chart in charts.items():
            yield from _drawn(f"{title} of {metric.name}" if len(metrics) > 1 else title, chart, trials, **target)
    if len(metrics) == 1:
        yield from _drawn("Values during training", draw.plot_intermediate_values, trials)
    elif len(metrics) <= 3:
        names = [metric.name for metric in metrics]
        yield from _drawn("Pareto front", draw.plot_pareto_front, trials, target_names=names)


def _target(number: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: trial.values[number]


def _drawn(
    title: str, chart: Callable[..., Figure], study: optuna.Study, **options: Any
) -> Iterator[tuple[str, Figure]]:
    """Yield a figure; one that cannot be drawn from these trials (too few, all alike) is left out."""
    try:
        with warnings.catch_warnings():
            # Where there are too few trials Optuna warns and draws something anyway.
            warnings.simplefilter("error", UserWarning)
            figure = chart(study, **options)
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
