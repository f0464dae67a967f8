"""Predictions of every row by the model whose training did not see it: the test rows of all folds in one table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.contracts import Metric, MetricContext, TaskOptions
from kexp.contracts.metric import build_metrics
from kexp.errors import KexpError
from kexp.evaluate.predictions import Predictions
from kexp.evaluate.statistics import ANY, RANGES, summarise
from kexp.experiment.divisions import measured
from kexp.experiment.inputs import PreparedInputs
from kexp.plan.resolve import Variant
from kexp.repeats import Repeat, in_words
from kexp.report import predictions
from kexp.report.repeated import varied
from kexp.report.run_folder import RunFolder
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    import pandas as pd

FILE = "out-of-fold.parquet"

Json = Mapping[str, Any]


def out_of_fold(
    folder: RunFolder, variant: Variant, results: Sequence[Json], prepared: PreparedInputs, remarks: list[str]
) -> dict[str, Any] | None:
    """Write the test predictions of all folds of a variant, ordered by row, into its folder.

    Returns ``out_of_fold`` of ``summary.json``: the metrics over them by seed (and draw), and their means. None if no
    seed has a finished run of every fold; a seed that lacks one is left out. Metrics that fail are remarked on.
    """
    tables, repeats, runs, values = [], list[Repeat](), [], dict[str, list[float]]()
    for own in _complete(results, variant.spec.split.folds or 1):
        labels = own[0]["labels"]
        keys = {name: number for name, number in Repeat.of(own[0]).keys().items() if name != "fold"}
        if any(result["labels"] != labels for result in own):
            remarks.append(f"{variant.name} {in_words(keys)}: its folds have different labels, so no common metrics")
            continue
        table = _joined(folder, variant.name, own, variant.spec.task)
        tables.append(table)
        repeats.append(Repeat.of(keys))
        found = _predictions(folder.path / variant.name / FILE, table, labels, variant.spec.task)
        scores, failures = measured(found, _metrics(prepared, variant.spec, own, table))
        remarks += [f"{variant.name} out of fold has no {failure}" for failure in failures]
        runs.append({**keys, "rows": len(table), "metrics": scores})
        for name, value in scores.items():
            if math.isfinite(value):
                values.setdefault(name, []).append(value)
    if not runs:
        return None
    predictions.write(folder.path / variant.name / FILE, tables)
    over = varied(repeats)
    means = {
        name: asdict(summarise(of, within=RANGES.get(name, ANY))) | {"over": over, "values": of}
        for name, of in values.items()
    }
    return {"file": f"{variant.name}/{FILE}", "runs": runs, "metrics": means}


def _complete(results: Sequence[Json], folds: int) -> Iterator[list[Json]]:
    """Yield the finished runs of each seed (and draw) that has one for every fold, in the order of the folds."""
    groups: dict[tuple[int | None, int], list[Json]] = {}
    for result in results:
        if result["status"] == "done":
            repeat = Repeat.of(result)
            groups.setdefault((repeat.draw, repeat.seed), []).append(result)
    yield from (own for own in groups.values() if len(own) == folds)


def _metrics(prepared: PreparedInputs, spec: Spec, results: Sequence[Json], table: pd.DataFrame) -> dict[str, Metric]:
    """Return the metrics of a spec; where every fold chose for its own decisions, these are taken as they are."""
    labels = results[0]["labels"]
    if not any("decisions" in result for result in results):
        return prepared.metrics(spec, labels)
    decided = spec.task.encode([spec.task.label_of(value) for value in table["predicted"]], labels)
    context = MetricContext(labels, lambda _: decided)
    return build_metrics(spec.evaluation.metrics, context, prepared.catalog.name_of)


def _joined(folder: RunFolder, variant: str, results: Sequence[Json], task: TaskOptions) -> pd.DataFrame:
    import pandas as pd

    tables = []
    for result in results:
        repeat = Repeat.of(result)
        path = folder.run(variant, repeat)
        file = path / "predictions.parquet"
        try:
            rows = predictions.rows_of(file, "test", ["label", "predicted"], [])
            predictions.targets_of(file, rows, result["labels"], task)
        except KexpError as error:
            raise KexpError(f"{error}; delete {path / 'result.json'} to do this run again") from None
        tables.append(rows.drop(columns="split").assign(**repeat.keys()))
    joined = pd.concat(tables).sort_values("row", kind="stable", ignore_index=True)
    keys = list(Repeat.of(results[0]).keys())
    return joined[[*keys, *(name for name in joined if name not in keys)]]


def _predictions(place: Path, table: pd.DataFrame, labels: Sequence[str], task: TaskOptions) -> Predictions:
    return Predictions(*predictions.targets_of(place, table, labels, task))
