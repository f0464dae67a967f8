"""``kexp.tune``: what the command does, from Python, and the results of a search as an object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.api import figures, pages
from kexp.api.arguments import Overrides, SpecLike, names_of, overrides_of, path_of, runs_folder, spec_of
from kexp.api.caller_state import as_exceptions, unchanged
from kexp.api.progress import shown, warn_of
from kexp.api.run_result import RunResult
from kexp.errors import KexpError, RunFailed
from kexp.launchers import need_one_process
from kexp.plan.request import make_plan
from kexp.redaction import hidden
from kexp.report.stored import read_study

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


@dataclass(frozen=True, init=False, repr=False)
class SearchResult:
    """The results of a search in the folder of its study, that of ``kexp.tune`` or of an earlier one.

    ``kexp.SearchResult("runs/reviews/reviews-0a1b2c3d")`` opens a folder again. Raises ``KexpError`` for a folder in
    which no search has ended or was interrupted.
    """

    folder: Path

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        path = path_of(folder, "the folder of a search").absolute()
        if not (path / "study.json").is_file():
            raise KexpError(f"{path} has no study.json: it is not the folder of a search that ended or was interrupted")
        object.__setattr__(self, "folder", path)

    def __fspath__(self) -> str:
        """Return the folder."""
        return str(self.folder)

    @property
    def status(self) -> str:
        """``done``, ``interrupted`` or ``failed``."""
        return str(self._study["status"])

    @property
    def report(self) -> Path:
        """The page of the search, ``study.html``."""
        return self.folder / "study.html"

    @property
    def best(self) -> Mapping[str, Any]:
        """The values of the best trial by the path of their key; empty where no trial is complete."""
        return dict(self._study.get("best_params") or {})

    @property
    def best_value(self) -> Any:
        """The metric of the best trial, a list of several metrics; None where no trial is complete."""
        return self._study.get("best_value")

    @property
    def best_spec(self) -> Path | None:
        """The file with the spec of the best trial, which ``kexp.run`` takes; None where no trial is complete."""
        path = self.folder / "best.toml"
        return path if path.is_file() else None

    @property
    def final(self) -> RunResult | None:
        """The runs that tested the best spec beside the spec as it stands; None where they were not begun."""
        folder = self._study.get("final")
        return RunResult(Path(folder)) if folder and (Path(folder) / "spec.toml").is_file() else None

    @property
    def findings(self) -> list[str]:
        """What the test of the best spec has shown."""
        return [*self._study.get("remarks", [])]

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row per trial, with its outcome, metrics and values by the path of their key."""
        import pandas as pd

        path = self.folder / "trials.csv"
        if not path.is_file():
            raise KexpError(f"{path} is missing; the same kexp tune writes it again")
        return pd.read_csv(path)

    def plot_history(self) -> Figure:
        """Draw the first metric of every complete trial, and the best so far."""
        metric, direction = next(iter(self._study["goals"].items()))
        return figures.history(self.trials, metric, lower=direction == "minimize")

    def __repr__(self) -> str:
        """Return status and folder, the best trial and what its test has shown."""
        return "\n".join([f"{self._title}, {self.folder}", *self._best_lines, *self.findings])

    def _repr_html_(self) -> str:
        lines = [*self._best_lines, *self.findings]
        return pages.page(self._title, pages.items(lines), pages.table(self.trials), pages.link(self.report))

    @property
    def _title(self) -> str:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self._study["trials"].items() if count)
        return f"study {self.folder.name}: {self.status} ({counts})"

    @property
    def _best_lines(self) -> list[str]:
        if not self.best:
            return []
        values = self.best_value if isinstance(self.best_value, list) else [self.best_value]
        goals = ", ".join(f"{name} {value:.4f}" for name, value in zip(self._study["goals"], values, strict=True))
        return [
            f"best trial {self._study.get('best_trial')}: {goals}", *(f"{path} = {v}" for path, v in self.best.items()),
        ]  # fmt: skip

    @cached_property
    def _study(self) -> Mapping[str, Any]:
        return hidden(read_study(self.folder / "study.json"))  # type: ignore[no-any-return]


def tune(
    spec: SpecLike,
    *,
    overrides: Overrides = None,
    variants: str | Iterable[str] = (),
    trials: int | None = None,
    timeout: str | None = None,
    jobs: int | None = None,
    executor: str | None = None,
    storage: str | None = None,
    study: str | None = None,
    runs_dir: str | os.PathLike[str] | None = None,
    allow_local_code: bool = False,
    progress: bool = True,
) -> SearchResult:
    """Search for the best spec, test it once and write it, as ``kexp tune`` does; the same call continues a search.

    ``spec``, ``overrides``, ``variants``, ``runs_dir``, ``allow_local_code`` and ``progress`` are those of
    ``kexp.run``; the others replace those of ``[search]``: the number of finished ``trials``, a ``timeout`` such as
    "90m", trials at once (``jobs``), where they run, the database of the study. ``study`` names it. Trials run in
    processes of their own, which do not import the program that calls.

    Raises ``SpecError`` and other errors of ``kexp.errors`` before anything is created, ``RunFailed`` where the search
    or the test of the best spec failed, and ``KeyboardInterrupt`` on Ctrl-C.
    """
    with as_exceptions():
        need_one_process("kexp.tune")
        from kexp.search.request import not_done, search_overrides, study_name

        changes = search_overrides(
            overrides_of(overrides), trials=trials, timeout=timeout, jobs=jobs, executor=executor, storage=storage
        )
        plan, catalog = make_plan(
            spec_of(spec),
            assignments=changes,
            variants=names_of(variants, "variants"),
            allow_local_code=allow_local_code,
        )
        home, name = runs_folder(runs_dir), study_name(study)
        warn_of(plan)
        with unchanged(), shown(progress) as display:
            from kexp.search.tune import tune as search

            found = hidden(search(plan, catalog, runs_dir=home, name=name, display=display))
        said = "\n".join(not_done(found))
        if found["status"] == "interrupted":
            raise KeyboardInterrupt(said)
        if said:
            raise RunFailed(said)
        return SearchResult(Path(found["folder"]))
