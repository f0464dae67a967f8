"""``kexp.run``, ``kexp.dry_run`` and ``kexp.check``: what the commands of these names do, from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.api import pages
from kexp.api.arguments import Overrides, SpecLike, names_of, numbers_of, overrides_of, path_of, runs_folder, spec_of
from kexp.api.caller_state import as_exceptions, unchanged
from kexp.api.progress import shown, warn_of
from kexp.errors import Problem, RunFailed, RunInterrupted
from kexp.launchers import launched
from kexp.plan.request import make_plan, plan_sentence
from kexp.process_group import joined
from kexp.redaction import hidden

if TYPE_CHECKING:
    from kexp.api.run_result import RunResult
    from kexp.catalog import Catalog
    from kexp.plan.resolve import Plan
    from kexp.spec.sections import Spec


def run(
    spec: SpecLike | None = None,
    *,
    overrides: Overrides = None,
    variants: str | Iterable[str] = (),
    seeds: int | Iterable[int] = (),
    jobs: int | None = None,
    executor: str | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    allow_local_code: bool = False,
    progress: bool = True,
) -> RunResult:
    """Train and evaluate every variant of a spec with every seed, as ``kexp run`` does.

    ``spec`` is the path of a TOML file, a dict of the same content, whose relative paths start at the working folder,
    or a ``Spec`` of ``kexp.check``; ``resume`` is a run folder that is continued instead. ``overrides`` changes keys: a
    dict such as ``{"training.epochs": 1}``, or texts such as ``"training.epochs=1"``. ``variants`` chooses variants,
    ``seeds`` replaces the seeds, and run folders are made in ``runs_dir`` (that of the variable KEXP_RUNS_DIR, or
    ``runs``). ``jobs`` runs train at once, where the ``executor`` puts them, in processes without the program
    that calls: they replace those of ``[execution]``. ``progress=False`` shows no progress.

    Raises ``SpecError`` with every mistake of the spec and other errors of ``kexp.errors`` before anything is created,
    and ``RunFailed`` where a run failed: the message names the folder, and ``kexp.RunResult(folder)`` has the results
    of the others. Ctrl-C raises ``KeyboardInterrupt`` after the step; ``resume`` continues with the bits of a run that
    was not interrupted. In a program that torchrun has started, every process calls this function, and all return the
    result of one run.
    """
    with as_exceptions(), joined(launched()) as world:
        from kexp.experiment.request import not_done, plan_run

        plan, catalog, folder = plan_run(
            None if spec is None else spec_of(spec),
            None if resume is None else path_of(resume, "a run folder"),
            assignments=overrides_of(overrides),
            variants=names_of(variants, "variants"),
            seeds=numbers_of(seeds, "seeds"),
            jobs=jobs,
            executor=executor,
            allow_local_code=allow_local_code,
        )
        home = runs_folder(runs_dir)
        if world.first:
            warn_of(plan)
        with unchanged(), shown(progress and world.first) as display:
            from kexp.api.run_result import RunResult
            from kexp.experiment import run as flow
            from kexp.inference.shade_words import shading

            shade = shading(allow_local_code=allow_local_code)
            try:
                found = flow.run(
                    plan, catalog, runs_dir=home, display=display, resume=folder, shade_words=shade, world=world
                )
                summary = hidden(found)
            except RunInterrupted as error:
                raise KeyboardInterrupt(str(error)) from None
        said = "\n".join(not_done(summary))
        if summary["status"] == "interrupted":
            raise KeyboardInterrupt(said)
        if said:
            raise RunFailed(said)
        return RunResult(Path(summary["folder"]))


def dry_run(
    spec: SpecLike,
    *,
    overrides: Overrides = None,
    variants: str | Iterable[str] = (),
    seeds: int | Iterable[int] = (),
    allow_local_code: bool = False,
    progress: bool = True,
) -> Mapping[str, Any]:
    """Do everything that comes before training, as ``kexp run --dry-run`` does; return what would run on which data.

    The arguments are those of ``kexp.run``, and the result is the object of ``kexp run --dry-run --json``. Raises the
    errors that ``kexp.run`` raises before anything is created.
    """
    with as_exceptions():
        plan, catalog = _plan(spec, overrides, variants, seeds, allow_local_code)
        warn_of(plan)
        with unchanged(), shown(progress) as display:
            from kexp.experiment import run as flow
            from kexp.report.run_folder import finite

            found: Mapping[str, Any] = finite(hidden(flow.dry_run_summary(plan, catalog, display)))
            return found


@dataclass(frozen=True)
class Checked:
    """A spec without mistakes: ``source`` names it, and ``variants`` has the resolved spec of every variant by name.

    ``warnings`` is what is allowed and probably not meant.
    """

    source: str
    spec: Spec
    variants: Mapping[str, Spec]
    warnings: tuple[Problem, ...]
    sentence: str

    def __repr__(self) -> str:
        """Return what ``kexp check`` prints."""
        return "\n".join([*map(str, self._warnings), f"{self.source}: ok ({self.sentence})"])

    def _repr_html_(self) -> str:
        return pages.page(f"{self.source}: ok", pages.paragraph(self.sentence), pages.items(self._warnings))

    @property
    def _warnings(self) -> list[str]:
        return [str(hidden(f"{self.source}: warning: {problem}")) for problem in self.warnings]


def check(
    spec: SpecLike,
    *,
    overrides: Overrides = None,
    variants: str | Iterable[str] = (),
    seeds: int | Iterable[int] = (),
    allow_local_code: bool = False,
) -> Checked:
    """Check a spec completely, as ``kexp check`` does, without reading data or loading a model.

    The arguments are those of ``kexp.run``. Raises ``SpecError``, whose ``problems`` are all mistakes of the spec.
    """
    with as_exceptions():
        plan, catalog = _plan(spec, overrides, variants, seeds, allow_local_code)
        specs = {variant.name: variant.spec for variant in plan.variants}
        return Checked(plan.source, plan.base, specs, plan.warnings, plan_sentence(plan, catalog))


def _plan(
    spec: SpecLike,
    overrides: Overrides,
    variants: str | Iterable[str],
    seeds: int | Iterable[int],
    allow_local_code: bool,
) -> tuple[Plan, Catalog]:
    """Return what the arguments of a function ask for, and the components that it may use."""
    return make_plan(
        spec_of(spec),
        assignments=overrides_of(overrides),
        variants=names_of(variants, "variants"),
        seeds=numbers_of(seeds, "seeds"),
        allow_local_code=allow_local_code,
    )
