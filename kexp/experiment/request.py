"""What ``kexp run`` and ``kexp.run`` share: which folder is continued, and what is said where not all runs are done."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kexp.catalog import Catalog
from kexp.errors import KexpError
from kexp.nested import Table
from kexp.plan.request import make_plan
from kexp.plan.resolve import Plan
from kexp.repeats import repeats_in
from kexp.report.run_folder import RunFolder, read_json
from kexp.results.runs import differences
from kexp.spec.sections import Spec
from kexp.spec.toml import dumps


def plan_run(
    spec: Path | Mapping[str, Any] | Spec | None,
    resume: Path | None,
    *,
    assignments: Sequence[str | Table] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    jobs: int | None = None,
    executor: str | None = None,
    allow_local_code: bool = False,
) -> tuple[Plan, Catalog, RunFolder | None]:
    """Return the plan of a spec, or of a run folder that is continued, the components, and that folder.

    ``jobs`` and ``executor`` replace those of ``[execution]``; a folder may be continued with others.

    Raises ``KexpError`` where both or none of the two are given, and for options that change what is continued.
    """
    if (spec is None) == (resume is None):
        raise KexpError("kexp run: expected a spec file, or --resume FOLDER")
    if resume is not None and (variants or seeds):
        raise KexpError("--resume continues an experiment with its own spec; --variant and --seeds do not apply")
    folder = RunFolder.open(resume) if resume else None
    source: Any = spec if folder is None else folder.path / "spec.toml"
    # Named first, so that assignments may set its options, and last, so that none names another one.
    named = [{"execution.executor.use": executor}] if executor is not None else []
    changes = [*named, *assignments, {"execution.jobs": jobs} if jobs is not None else {}, *named]
    options: dict[str, Any] = {"assignments": changes, "variants": variants, "seeds": seeds}
    plan, catalog = make_plan(source, **options, allow_local_code=allow_local_code)
    if folder is not None and assignments:
        _need_own_spec(folder, plan)
    return plan, catalog, folder


def _need_own_spec(folder: RunFolder, plan: Plan) -> None:
    """Refuse overrides that change the spec of a run folder, besides passwords, which are hidden there."""
    before, now = tomllib.loads((folder.path / "spec.toml").read_text("utf-8")), tomllib.loads(dumps(plan.table))
    if changed := differences(*({**table, "execution": {}} for table in (before, now))):
        remedy = "--resume continues an experiment with its own spec; --set only gives the passwords hidden there"
        raise KexpError(f"--set changes {', '.join(changed)}; {remedy}")


def not_done(summary: Mapping[str, Any]) -> list[str]:
    """Return what is said of an experiment that was interrupted, or of which runs failed; nothing if all are done."""
    status, folder = summary["status"], summary["folder"]
    if status == "interrupted":
        return [f"interrupted; continue with: kexp run --resume {folder}"]
    if status == "failed":
        return [
            *_failures(summary),
            f"not every run succeeded; for details see the log.txt of each run below {folder}",
            f"once the cause is mended, continue with: kexp run --resume {folder}",
        ]
    return []


def _failures(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield every distinct reason for failure, with the runs that failed for it."""
    folder, runs = RunFolder(Path(summary["folder"])), dict[str, list[str]]()
    for name, variant in summary["variants"].items():
        for repeat in (repeat for repeat in repeats_in(variant) if variant["status"][repeat.key] == "failed"):
            reason = read_json(folder.run(name, repeat) / "result.json")["reason"]
            runs.setdefault(reason, []).append(f"{name} {repeat.name}")
    yield from (f"{', '.join(of)} failed: {reason}" for reason, of in runs.items())
