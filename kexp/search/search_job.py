"""A search as it is planned: the experiment, its space and metrics, and the name and folder of its study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from kexp.catalog import Catalog
from kexp.errors import KexpError, Problem
from kexp.plan.resolve import Plan, repeats_of
from kexp.plan.search_metrics import SearchMetric, search_metrics
from kexp.plan.validate import dump, space_of, validate, with_defaults
from kexp.redaction import is_masked
from kexp.repeats import Repeat
from kexp.search.default_trial import values_of
from kexp.search.display import SearchDisplay
from kexp.spec.search_section import Search
from kexp.spec.sections import Spec
from kexp.spec.space import Space

NOT_IDENTITY = ("trials", "timeout", "storage", "jobs", "executor", "max_failures")
"""Options that say how long and where a search runs: they may change when a study is continued."""


@dataclass(frozen=True, slots=True)
class SearchJob:
    """Everything about one ``kexp tune`` before its study is opened.

    ``spec`` is the experiment without ``[search]``, which is ``options``. ``identity`` is a digest of all that makes
    trials comparable.
    """

    name: str
    folder: Path
    spec: Spec
    options: Search
    space: Space
    metrics: Sequence[SearchMetric]
    identity: str
    catalog: Catalog
    display: SearchDisplay

    @property
    def seed(self) -> int:
        """The seed of the search sampler."""
        return self.spec.seeds[0]

    @property
    def trial_repeats(self) -> tuple[Repeat, ...]:
        """The runs of every trial: the first folds with the first seeds, and the first draw of the labelled rows."""
        seeds, folds = self.spec.seeds[: self.options.seeds_per_trial], self.options.folds_per_trial
        return tuple(
            repeat
            for repeat in repeats_of(self.spec)
            if repeat.seed in seeds and (repeat.fold or 1) <= folds and repeat.draw in (None, 1)
        )

    def table_of(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[Problem]]:
        """Return the spec with these values as a table with every default written out, and what is wrong with it."""
        return with_defaults(self.space.apply(values), self.catalog)

    def spec_of(self, trial: FrozenTrial) -> Spec:
        """Return the spec of a trial."""
        spec, problems = validate(self.space.apply(values_of(trial, self.space)), self.catalog)
        if spec is None:
            raise KexpError(f"trial {trial.number}: its values no longer make a valid spec: {problems[0]}")
        return spec


def search_job(plan: Plan, catalog: Catalog, runs_dir: Path, name: str | None, display: SearchDisplay) -> SearchJob:
    """Return the search of a plan; raises ``KexpError`` when it has several variants or no ``[search]``."""
    if len(plan.variants) > 1:
        names = ", ".join(variant.name for variant in plan.variants)
        raise KexpError(f"{plan.source}: a search is about one variant; choose with --variant NAME ({names})")
    variant = plan.variants[0]
    spec, options = variant.spec, variant.spec.search
    if options is None:
        raise KexpError(f"{plan.source}: there is no [search] with a space; kexp tune needs one")
    if is_masked(options.storage.get_secret_value()):
        remedy = "set KEXP_STORAGE to the whole address, or give it with --storage"
        raise KexpError(f"{plan.source}: search.storage: the password of {options.storage} is hidden here; {remedy}")
    identity = _identity(spec, catalog)
    variant_name = [variant.name] if plan.table.get("variants") else []
    name = name or "-".join([spec.name, *variant_name, identity[:8]])
    return SearchJob(
        name=name,
        folder=runs_dir / spec.name / name,
        spec=spec.model_copy(update={"search": None}),
        options=options,
        space=space_of(spec, options, catalog),
        metrics=search_metrics(options, spec.training, spec.evaluation, catalog),
        identity=identity,
        catalog=catalog,
        display=display,
    )


def _identity(spec: Spec, catalog: Catalog) -> str:
    table = dump(spec, catalog)
    table.pop("execution", None)
    search = {key: value for key, value in table.pop("search").items() if key not in NOT_IDENTITY}
    return digest({**table, "description": "", "search": search})


def digest(table: Mapping[str, Any]) -> str:
    """Return sixteen hexadecimal digits that name an experiment; of an absolute path only the last part counts.

    Machines that share a study may keep the same files in different places.
    """

    def portable(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: portable(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return list(map(portable, value))
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    text = json.dumps(portable(table), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
