"""The results of an experiment as an object: tables and figures, from the files of its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.api import figures, pages
from kexp.api.arguments import path_of
from kexp.api.frames import epochs_frame, frame, shown_frame, table_frame, tests_frame
from kexp.errors import KexpError, did_you_mean
from kexp.repeats import Repeat
from kexp.report.epochs import epochs
from kexp.report.findings import by_text
from kexp.report.results import results_table
from kexp.report.run_folder import RunFolder
from kexp.report.stored import read_summary
from kexp.report.summary import known_tests, shown_split
from kexp.results.runs import read_spec, results

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

SPLITS = ("test", "validation")


@dataclass(frozen=True, init=False, repr=False)
class RunResult:
    """The results in a run folder: those that ``kexp.run`` has returned, or of an earlier experiment.

    ``kexp.RunResult("runs/reviews/20260101T000000Z-0a1b2c3d")`` opens a folder again. The tables are read from its
    files when they are first asked for. A run folder may be given to other functions in its place. Raises ``KexpError``
    for what is no run folder.
    """

    folder: Path

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        path = path_of(folder, "a run folder").absolute()
        read_spec(path)
        object.__setattr__(self, "folder", path)

    def __fspath__(self) -> str:
        """Return the folder, so that the result can be given where a path is expected."""
        return str(self.folder)

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return str(self.spec.get("name", self.folder.resolve().parent.name))

    @property
    def status(self) -> str:
        """``done``, ``interrupted`` or ``failed``; ``unfinished`` where the experiment is running or was killed."""
        return str(self._summary["status"]) if self._summary["variants"] else "unfinished"

    @property
    def report(self) -> Path:
        """The page of the experiment, ``report.html``."""
        return self.folder / "report.html"

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """The resolved spec, with every default, as a table."""
        return read_spec(self.folder)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per variant, then per baseline, with the mean of every metric over the runs.

        The split is test, or validation where there is no test split. ``METRIC_sd`` is the standard deviation over the
        runs, ``METRIC_low`` and ``METRIC_high`` are an interval of the mean, where there are enough runs for one.
        """
        return table_frame(*self._table)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row per run and split, with variant, seed (draw, fold), every metric, the kept epoch and the seconds.

        A run that is not done has one row with its status and the reason.
        """
        rows = []
        for result in results(self.folder):
            keys = {"variant": result["variant"], **Repeat.of(result).keys(), "status": result["status"]}
            if result["status"] != "done":
                rows.append({**keys, "reason": result["reason"]})
                continue
            facts = {name: result.get(name) for name in ("kept_epoch", "train_seconds")}
            rows += [{**keys, "split": split, **scores, **facts} for split, scores in result["metrics"].items()]
        return frame(rows, ["variant", "seed", "status", "split"])

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row per run and evaluation, with losses and validation metrics; ``best`` marks the best so far."""
        runs = []
        for result in results(self.folder):
            repeat = Repeat.of(result)
            path = RunFolder(self.folder).run(result["variant"], repeat)
            runs.append(({"variant": result["variant"], **repeat.keys()}, epochs(path)))
        return epochs_frame(runs)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per run and text of validation and test, with what is true and predicted, and every probability."""
        import pandas as pd

        from kexp.report.predictions import rows_of

        found = []
        for result in (result for result in results(self.folder) if result["status"] == "done"):
            repeat = Repeat.of(result)
            path = RunFolder(self.folder).run(result["variant"], repeat) / "predictions.parquet"
            if not path.is_file():
                raise KexpError(f"{path} is missing; restore it to see the predictions")
            for split in SPLITS:
                rows = rows_of(path, split, ["text", "label", "predicted"], [], optional=["confidence"])
                for number, (name, value) in enumerate({"variant": result["variant"], **repeat.keys()}.items()):
                    rows.insert(number, name, value)
                found.append(rows)
        found = [rows for rows in found if len(rows)]
        return pd.concat(found, ignore_index=True) if found else frame((), ["variant", "seed", "split", "row", "text"])

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """A row per two variants and metric: their difference with its interval, the p-value, and the sentence."""
        return tests_frame(known_tests(self._summary))

    @property
    def findings(self) -> list[str]:
        """What is stated about the variants, what stands out, and remarks on data and runs."""
        stated = [test["sentence"] for test in known_tests(self._summary) if test["stated"]]
        seen = [f"{of}: {text}" if of else text for of, text in by_text(self._summary.get("findings", []))]
        return [*stated, *seen, *self._summary["remarks"], *self._reasons]

    def plot_epochs(self, metric: str | None = None) -> Figure:
        """Draw a column of ``epochs`` over the epochs, a line per run; by default the metric that chose the models.

        Raises ``KexpError`` for a column that there is not.
        """
        metric = metric or self.spec.get("training", {}).get("monitor", "accuracy")
        known = [name for name in self.epochs.columns if self.epochs[name].dtype.kind in "fi"]
        if metric not in known:
            raise KexpError(f'no column "{metric}" of the evaluations; {did_you_mean(metric, known)}'.rstrip("; "))
        return figures.learning_curves(self.epochs, metric)

    def plot_confusion(self, variant: str | None = None, split: str | None = None) -> Figure:
        """Draw the confusion matrix of a variant, summed over its runs; the first variant if none is named.

        ``split`` is test, or validation where there is no test split. Raises ``KexpError`` for unknown names.
        """
        split = split or shown_split(self._summary)
        done = [result for result in results(self.folder) if result["status"] == "done"]
        known = list(dict.fromkeys(result["variant"] for result in done))
        if not known:
            raise KexpError(f"{self.folder}: it has no finished run")
        variant = variant or known[0]
        if variant not in known:
            raise KexpError(f'no finished run of a variant "{variant}"; {did_you_mean(variant, known)}')
        own = [result for result in done if result["variant"] == variant]
        if any(split not in result.get("confusion_matrix", {}) for result in own):
            shown = {name for result in own for name in result["metrics"]}
            if split in shown and not any("confusion_matrix" in result for result in own):
                raise KexpError(f"{variant}: there is no confusion matrix, since a row has not one label out of few")
            raise KexpError(f'there is no confusion matrix of "{split}"; {did_you_mean(split, SPLITS)}')
        return figures.confusion(
            [(one["labels"], one["confusion_matrix"][split]) for one in own], f"{variant}, {split}"
        )

    def __repr__(self) -> str:
        """Return status and folder, the table of results and what is stated about them."""
        head = f"{self.name}: {self.status}, {self.folder}"
        return "\n".join(filter(None, [head, pages.plain(self._shown), *self.findings]))

    def _repr_html_(self) -> str:
        title = f"{self.name}: {self.status}"
        folder = pages.paragraph(str(self.folder))
        return pages.page(title, pages.table(self._shown), pages.items(self.findings), folder, pages.link(self.report))

    @cached_property
    def _summary(self) -> Mapping[str, Any]:
        """The object of ``summary.json``, which an experiment that was killed does not have."""
        path = self.folder / "summary.json"
        nothing: Mapping[str, Any] = {"variants": {}, "lower_is_better": [], "tests": [], "remarks": []}
        return read_summary(path) if path.is_file() else nothing

    @property
    def _table(self) -> tuple[Mapping[str, Any], str]:
        split = shown_split(self._summary)
        return results_table(self._summary, split), split

    @property
    def _shown(self) -> pd.DataFrame:
        table, split = self._table
        return shown_frame(table, len(self._summary["variants"])).rename(columns={"model": split})

    @property
    def _reasons(self) -> list[str]:
        """Why runs are not done."""
        return [
            f"{result['variant']} {Repeat.of(result).name} {result['status']}: {result['reason']}"
            for result in results(self.folder)
            if result["status"] != "done"
        ]
