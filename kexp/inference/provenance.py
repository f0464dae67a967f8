"""What the spec of a run says about its trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from kexp import nested
from kexp.catalog import Catalog
from kexp.contracts import AnyBackbone, BackboneOptions, Metric, MetricContext
from kexp.contracts.metric import build_metrics
from kexp.contracts.task import Chosen
from kexp.inference.columns import TextColumns, columns_of
from kexp.inference.model_folders import Place
from kexp.inference.saved_spec import SavedSpec
from kexp.inference.saved_task import SavedTask, task_of
from kexp.spec.sections import Cleaning, Evaluation, Plugins


@dataclass(frozen=True, slots=True)
class Provenance:
    """The parts of a run's spec that matter after training; the defaults are those of a model without a spec."""

    spec: SavedSpec
    backbone: BackboneOptions | None
    trim: bool
    label_names: Mapping[str, str]
    columns: TextColumns
    task: SavedTask
    leave_out: frozenset[str] = frozenset()

    @property
    def cleans(self) -> bool:
        """Return whether the backbone changes texts before they are tokenised."""
        return self.backbone is not None and type(self.backbone).clean is not BackboneOptions.clean

    def metrics(self, labels: Sequence[str], chosen: Chosen) -> dict[str, Metric]:
        """Build the metrics of the spec for the model's labels; only a measurement needs them."""
        table = nested.merge(self.task.options.defaults(), self.spec.table)
        metrics = replace(self.spec, table=table).part("evaluation", Evaluation, {}).metrics
        decide = partial(self.task.options.decide, chosen=chosen)
        return build_metrics(metrics, MetricContext(labels, decide), self.spec.catalog.name_of)


def provenance_of(place: Place, catalog_with: Callable[[Plugins], Catalog]) -> Provenance:
    """Read the parts of a run's spec that predicting needs.

    Only these parts are checked: the data of the experiment, or a package that only training needed, may be gone.
    """
    saved = SavedSpec.of(place, catalog_with)
    dataset = saved.table.get("dataset", {})
    return Provenance(
        saved,
        saved.part("backbone", AnyBackbone) if saved.table else None,
        saved.part("cleaning", Cleaning, {}).trim,
        dataset.get("label_names") or {},
        columns_of(dataset),
        task_of(place, saved),
        frozenset(dataset.get("leave_out") or ()),
    )
