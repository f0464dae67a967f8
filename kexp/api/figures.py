"""Figures of results for a notebook, drawn by plotly: texts are shown as they are, not as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from kexp.api.caller_state import kept_filters
from kexp.errors import KexpError

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

NAMES = ("variant", "draw", "fold", "seed")
"""Columns that name a run."""


def _plotly() -> Any:
    try:
        import plotly.graph_objects
    except ImportError:
        raise KexpError("figures need plotly; pip install 'kexp[plotly]'") from None
    return plotly.graph_objects


@kept_filters()
def learning_curves(epochs: pd.DataFrame, metric: str) -> Figure:
    """Draw a column over the epochs, a line per run."""
    graphs = _plotly()
    figure = graphs.Figure()
    keys = [name for name in NAMES if name in epochs]
    for values, rows in epochs.groupby(keys, sort=False, dropna=False):
        of = [
            str(value) if name == "variant" else f"{name} {value:g}" for name, value in zip(keys, values, strict=True)
        ]
        name = escape(", ".join(text for text in of if text and not text.endswith(" nan")))
        figure.add_scatter(x=rows["epoch"], y=rows[metric], mode="lines+markers", name=name)
    figure.update_layout(xaxis_title="epoch", yaxis_title=escape(metric))
    return figure


@kept_filters()
def confusion(counted: Sequence[tuple[Sequence[str], Sequence[Sequence[int]]]], title: str) -> Figure:
    """Draw the sum of confusion matrices, each with its labels: true labels by row, predicted ones by column."""
    graphs = _plotly()
    labels = list(counted[0][0])
    total = [[0] * len(labels) for _ in labels]
    for names, counts in counted:
        places = [labels.index(name) for name in names]
        for row, own in zip(places, counts, strict=True):
            for column, count in zip(places, own, strict=True):
                total[row][column] += count
    shown = list(map(escape, labels))
    figure = graphs.Figure(
        graphs.Heatmap(z=total, x=shown, y=shown, text=total, texttemplate="%{text}", colorscale="Blues")
    )
    figure.update_layout(title=escape(title), xaxis_title="predicted", yaxis_title="true")
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


@kept_filters()
def history(trials: pd.DataFrame, metric: str, *, lower: bool) -> Figure:
    """Draw the value of every complete trial, and the best value so far."""
    graphs = _plotly()
    complete = trials[trials["outcome"] == "complete"]
    best = complete[metric].cummin() if lower else complete[metric].cummax()
    figure = graphs.Figure()
    figure.add_scatter(x=complete["trial"], y=complete[metric], mode="markers", name="trial")
    figure.add_scatter(x=complete["trial"], y=best, mode="lines", line_shape="hv", name="best so far")
    figure.update_layout(xaxis_title="trial", yaxis_title=escape(metric))
    return figure
