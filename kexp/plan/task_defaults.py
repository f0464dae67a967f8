"""The task of a spec, stated or shown by the dataset, and what a spec that does not state it has with a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kexp import nested
from kexp.catalog import Catalog, UnknownComponent
from kexp.contracts import DatasetOptions
from kexp.errors import plugin_call
from kexp.nested import Table
from kexp.options import component_title
from kexp.spec.sections import Spec


def of_task(table: Table, valid: Mapping[str, Any], catalog: Catalog) -> Table | None:
    """Return the table with its task and the defaults of it; None where they are those that any table has.

    ``valid`` are the sections of the table that are valid as they stand.
    """
    stated = table.get("task")
    task, dataset = valid.get("task"), valid.get("dataset")
    # Options alone are those of the task that is shown.
    open_ = stated is None or (isinstance(stated, Mapping) and "use" not in stated)
    if open_ and dataset is not None and (shown := shown_by(dataset)):
        try:
            task = catalog.find("task", shown[0]).options()
        except UnknownComponent:
            return None
        table = {**table, "task": {"use": shown[0], **(stated or {})}}
    if task is None or not task.defaults():
        return None
    return nested.merge(_of_same_shape(task.defaults(), table), table)


def shown_by(dataset: DatasetOptions) -> tuple[str, str] | None:
    """Return the task that a dataset shows, and why."""
    with plugin_call(f"{component_title(dataset)}, shown_task()"):
        return dataset.shown_task()


def task_and_reason(spec: Spec, catalog: Catalog) -> tuple[str, str]:
    """Return the name of the task of a spec, and why the dataset shows it; "" where it is stated or the usual one."""
    name, shown = catalog.name_of(type(spec.task)), shown_by(spec.dataset)
    return name, shown[1] if shown is not None and shown[0] == name else ""


def _of_same_shape(defaults: Mapping[str, Any], table: Table) -> Table:
    """Return the defaults without those whose place in the table is a name alone, which leaves nothing of them."""
    return {key: value for key, value in defaults.items() if isinstance(table.get(key, {}), Mapping)}
