"""The task of a trained model: as its folder states it, else its spec, else the problem type of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kexp.catalog import Catalog
from kexp.contracts import AnyTask, TaskOptions
from kexp.contracts.task import Chosen
from kexp.errors import KexpError
from kexp.inference.model_folders import Place
from kexp.inference.saved_spec import SavedSpec
from kexp.model_files import DECISIONS, TASK, read_decisions, read_object, read_task

SINGLE, MULTI, NUMBER = "single_label_classification", "multi_label_classification", "regression"
"""What transformers has as ``problem_type``."""


@dataclass(frozen=True, slots=True)
class SavedTask:
    """A task with its name, and the names that it predicts; None where they are those in ``config.json``.

    ``guessed`` is whether nothing but the problem type in ``config.json`` says the task.
    """

    name: str
    options: TaskOptions
    names: tuple[str, ...] | None
    guessed: bool = False

    def labels(self, place: Place, config: Any) -> tuple[str, ...]:
        """Return the names that a loaded model predicts; raises ``KexpError`` where it has no such outputs."""
        outputs = tuple(str(config.id2label.get(number, "")) for number in range(config.num_labels))
        if self.guessed:
            _need_meaning(place, config)
        if not all(outputs):
            known = f"the labels 0 to {config.num_labels - 1}"
            raise KexpError(f"{place.name}: id2label in config.json does not name {known}")
        if len(set(outputs)) < len(outputs):
            names = ", ".join(outputs)
            raise KexpError(f"{place.name}: two labels have the same name: {names}; correct id2label in config.json")
        if self.names is not None:
            self._need_outputs(place, outputs, self.names)
            return self.names
        if not self.options.told_by_config and not self.guessed:
            lacks = f'{place.model} lacks {TASK}, which a model of task "{self.name}" was saved with'
            raise KexpError(f"{lacks}; copy the folder again")
        if bad := [name for name in outputs if self.options.several and tuple(self.options.names_in(name)) != (name,)]:
            finding = f'id2label in config.json has the label "{bad[0]}", which stands for other labels'
            raise KexpError(f"{place.name}: {finding}; rename it there")
        return outputs

    def _need_outputs(self, place: Place, outputs: Sequence[str], names: Sequence[str]) -> None:
        if (expected := tuple(self.options.outputs(names))) != outputs:
            found = f"config.json has the outputs {', '.join(outputs)}, by {TASK} they are {', '.join(expected)}"
            raise KexpError(f"{place.name}: {found}; copy the folder again")

    def chosen(self, place: Place, names: Sequence[str]) -> Chosen:
        """Return what was chosen for the decisions of the model; raises ``KexpError`` for what fits no such model."""
        try:
            return self.options.chosen_again(read_decisions(place.model), names)
        except ValueError as error:
            raise KexpError(f"{place.model / DECISIONS}: {error}; copy the folder again") from None

    def table(self) -> Mapping[str, Any]:
        """Return the task as a table of a spec."""
        return {"use": self.name, **self.options.model_dump(mode="json", exclude_none=True)}


def task_of(place: Place, saved: SavedSpec) -> SavedTask:
    """Return the task of a model; raises ``KexpError`` where it is not installed, or not known to kexp."""
    if (stated := read_task(place.model)) is not None:
        table, names, package = stated
        provided = {**({f"task {table['use']}": package} if package else {}), **saved.provided}
        own = replace(saved, source=str(place.model / TASK), table={"task": table}, provided=provided)
        return _named(own.part("task", AnyTask), saved.catalog, names)
    if saved.table:
        return _named(saved.part("task", AnyTask, "single-label"), saved.catalog, None)
    kind = _problem_type(place)
    for entry in saved.catalog.entries("task"):
        if entry.owner.package == "kexp" and entry.options.plain and entry.options.problem_type == (kind or SINGLE):  # type: ignore[attr-defined]
            return SavedTask(entry.name, entry.options(), None, guessed=True)  # type: ignore[arg-type]
    known = ", ".join((SINGLE, MULTI, NUMBER))
    raise KexpError(f'{place.name}: config.json has the problem_type "{kind}"; expected one of {known}, or none')


def _named(task: TaskOptions, catalog: Catalog, names: tuple[str, ...] | None) -> SavedTask:
    return SavedTask(catalog.name_of(type(task)), task, names)


def _problem_type(place: Place) -> Any:
    try:
        return read_object(place.model / "config.json").get("problem_type")
    except (OSError, ValueError):
        # What is wrong with the file is told when the folder is checked.
        return None


def _need_meaning(place: Place, config: Any) -> None:
    """Refuse a number of outputs that the problem type of Hugging Face gives no meaning that kexp has."""
    count, kind = config.num_labels, config.problem_type
    if count == 1 and kind is None:
        meaning = "which transformers trains as a regression, and to which its pipeline applies a sigmoid"
        remedy = f'state there which it is: "problem_type": "{NUMBER}" or "{MULTI}"'
        raise KexpError(f"{place.name}: config.json has one label and no problem_type, {meaning}; {remedy}")
    if kind == NUMBER and count != 1:
        raise KexpError(f"{place.name}: predicts {count} numbers by a regression; expected a model of one number")
    if kind in (None, SINGLE) and count < 2:
        raise KexpError(f"{place.name}: predicts one label; expected a classifier with two or more labels")
