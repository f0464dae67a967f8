"""Commands about specs: run, tune, check, augment."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kexp.cli.app_options import AsJson, LocalCode, RunsDir, Set, Spec, Variants, app
from kexp.cli.errors import report_errors
from kexp.cli.plans import plan_of, print_warnings
from kexp.redaction import hidden

if TYPE_CHECKING:
    from kexp.catalog import Catalog
    from kexp.plan.resolve import Plan


@app.command()
def run(
    spec: Annotated[Path | None, typer.Argument(help="Spec file in TOML.", show_default=False)] = None,
    assignments: Set = None,
    variants: Variants = None,
    seeds: Annotated[str, typer.Option("--seeds", metavar="1,2,3", help="Replace the spec's seeds.")] = "",
    runs_dir: RunsDir = Path("runs"),
    resume: Annotated[Path | None, typer.Option("--resume", metavar="FOLDER", help="Continue a run folder.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check spec and data and print what would run, without training.")
    ] = False,
    allow_local_code: LocalCode = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train and evaluate every variant of a spec with every seed."""
    with report_errors():
        from kexp.cli.display import NullDisplay, TerminalDisplay
        from kexp.cli.output import print_dry_run, print_summary
        from kexp.errors import KexpError
        from kexp.report.run_folder import RunFolder, finite

        if (spec is None) == (resume is None):
            raise KexpError("kexp run: expected a spec file, or --resume FOLDER")
        if resume is not None and (variants or seeds):
            raise KexpError("--resume continues an experiment with its own spec; --variant and --seeds do not apply")
        folder = RunFolder.open(resume) if resume else None
        source: Path = spec or resume / "spec.toml"  # type: ignore[operator]
        plan, catalog = plan_of(source, assignments, variants, seeds, allow_local_code=allow_local_code)
        if resume is not None and assignments:
            _need_same_spec(source, plan)
        print_warnings(plan)
        from kexp.experiment import run as flow

        display = NullDisplay() if quiet else TerminalDisplay()
        if dry_run:
            found = finite(hidden(flow.dry_run_summary(plan, catalog, display)))
            print(json.dumps(found, ensure_ascii=False)) if as_json else print_dry_run(found)
            return
        shade = partial(_shade_words, allow_local_code)
        found = flow.run(plan, catalog, runs_dir=runs_dir, display=display, resume=folder, shade_words=shade)
        summary = hidden(found)
        if as_json:
            print(json.dumps(finite(summary), ensure_ascii=False))
        else:
            print_summary(summary)
        _exit_with(summary)


def _shade_words(allow_local_code: bool, folder: Path, seconds: float) -> None:
    from kexp.inference.loading import LoadOptions
    from kexp.inference.shade_words import shade_words

    shade_words(folder, seconds, LoadOptions(allow_local_code=allow_local_code))


def _need_same_spec(source: Path, plan: Plan) -> None:
    """Refuse what --set changes in a run folder's spec, besides passwords, which are hidden there."""
    import tomllib

    from kexp.errors import KexpError
    from kexp.results.runs import differences
    from kexp.spec.toml import dumps

    before, now = tomllib.loads(source.read_text("utf-8")), tomllib.loads(dumps(plan.table))
    if changed := differences(before, now):
        remedy = "--resume continues an experiment with its own spec; --set only gives the passwords hidden there"
        raise KexpError(f"--set changes {', '.join(changed)}; {remedy}")


def _exit_with(summary: dict[str, Any]) -> None:
    status, folder = summary["status"], summary["folder"]
    if status == "interrupted":
        print(f"interrupted; continue with: kexp run --resume {folder}", file=sys.stderr)
        raise typer.Exit(130)
    if status == "failed":
        for failure in _failures(summary):
            print(failure, file=sys.stderr)
        print(f"not every run succeeded; for details see the log.txt of each run below {folder}", file=sys.stderr)
        print(f"once the cause is mended, continue with: kexp run --resume {folder}", file=sys.stderr)
        raise typer.Exit(1)


def _failures(summary: dict[str, Any]) -> Iterator[str]:
    """Yield every distinct reason for failure, with the runs that failed for it."""
    from kexp.repeats import repeats_in
    from kexp.report.run_folder import RunFolder, read_json

    folder, runs = RunFolder(Path(summary["folder"])), dict[str, list[str]]()
    for name, variant in summary["variants"].items():
        for repeat in (repeat for repeat in repeats_in(variant) if variant["status"][repeat.key] == "failed"):
            reason = read_json(folder.run(name, repeat) / "result.json")["reason"]
            runs.setdefault(reason, []).append(f"{name} {repeat.name}")
    yield from (f"{', '.join(of)} failed: {reason}" for reason, of in runs.items())


@app.command()
def check(
    spec: Spec,
    assignments: Set = None,
    variants: Variants = None,
    allow_local_code: LocalCode = False,
    as_json: AsJson = False,
) -> None:
    """Check a spec completely, without reading data or loading a model."""
    with report_errors():
        from kexp.errors import SpecError

        try:
            plan, _ = plan_of(spec, assignments, variants, allow_local_code=allow_local_code)
        except SpecError as error:
            if as_json:
                _print_problems(error.problems, ())
                raise typer.Exit(error.exit_status) from None
            raise
        if as_json:
            _print_problems((), plan.warnings)
            return
        print_warnings(plan)
        names = ", ".join(variant.name for variant in plan.variants)
        stages = {variant.name: variant.spec.pretraining for variant in plan.variants}
        first = ", ".join(name for name, stage in stages.items() if stage is not None and stage.epochs)
        with_stage = f"; with pre-training: {first}" if first else ""
        print(f"{spec}: ok (variants: {names}; seeds: {', '.join(map(str, plan.base.seeds))}{with_stage})")


def _print_problems(problems: Any, warnings: Any) -> None:
    from dataclasses import asdict

    found = {
        "ok": not problems,
        "problems": list(map(asdict, problems)),
        "warnings": list(map(asdict, warnings)),
    }
    print(json.dumps(hidden(found), ensure_ascii=False))


@app.command()
def augment(
    spec: Spec,
    assignments: Set = None,
    variants: Variants = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--of", metavar="ROWS", help="Augmenter of the labelled or the unlabelled rows, if both have one."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only N unlabelled rows.", metavar="N")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the pairs to a CSV, TSV, JSONL or Parquet file.")
    ] = None,
    show: Annotated[
        int | None, typer.Option("--show", min=1, metavar="N", help="Only show N texts beside their augmented views.")
    ] = None,
    audit: Annotated[
        int | None,
        typer.Option(
            "--audit", min=1, metavar="N", help="Only write N augmented views to a sheet for a reader's verdicts."
        ),
    ] = None,
    audit_results: Annotated[
        list[Path] | None,
        typer.Option(
            "--audit-results", metavar="SHEET", help="Only read a filled sheet; given twice, how two readers agree."
        ),
    ] = None,
    allow_local_code: LocalCode = False,
    as_json: AsJson = False,
) -> None:
    """Make costly augmentations before training, or show what an augmenter does."""
    with report_errors():
        from kexp.cli.display import TerminalDisplay
        from kexp.cli.output import print_pairs
        from kexp.errors import KexpError
        from kexp.experiment import augment as stage

        if of is not None and of not in stage.STREAMS:
            raise KexpError(f"--of {of}: expected {' or '.join(sorted(stage.STREAMS))}")
        if sum(option is not None for option in (show, audit, audit_results or None)) > 1:
            raise KexpError("--show, --audit and --audit-results do different things; give one of them")
        plan, catalog = plan_of(spec, assignments, variants, allow_local_code=allow_local_code)
        print_warnings(plan)
        progress = TerminalDisplay().phase
        if audit_results:
            _print_audit(plan, catalog, audit_results, as_json=as_json)
            return
        if audit is not None:
            sheet = output or Path(f"{spec.stem}-audit.csv")
            _write_audit(plan, catalog, of, audit, sheet, as_json=as_json)
            return
        if show is not None:
            pairs = stage.sample(plan, catalog, of, show, progress)
            print_pairs(pairs)
            rejected = sum(1 for pair in pairs if pair.rejected)
            progress(f"{len(pairs)} texts, {rejected} rejected")
            return
        counts = stage.ahead(plan, catalog, of, limit, output, progress)
        if as_json:
            print(json.dumps(counts, ensure_ascii=False))
            return
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts["rejected"].items()) or "none"
        views = f"{counts['accepted']:,} accepted in {counts['forms']} augmented views"
        print(f"{counts['rows']:,} rows, {views}; rejected: {reasons}")


def _write_audit(plan: Plan, catalog: Catalog, of: str | None, count: int, sheet: Path, *, as_json: bool) -> None:
    from kexp.cli.display import TerminalDisplay
    from kexp.experiment.audit import QUESTIONS, write_sheet

    found = write_sheet(plan, catalog, of, count, sheet, TerminalDisplay().phase)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    left_out = f"{found['unchanged']} unchanged, {found['rejected']} rejected and {found['repeated']} repeated"
    print(f"{found['sheet']}: {found['rows']} rows; left out: {left_out}")
    print(f"fill in {', '.join(QUESTIONS)} with yes or no, then: kexp augment {plan.source} --audit-results {sheet}")


def _print_audit(plan: Plan, catalog: Catalog, sheets: list[Path], *, as_json: bool) -> None:
    from kexp.cli.output import print_audit
    from kexp.experiment.audit import results

    found = results(plan, catalog, sheets)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print_audit(found)


@app.command()
def tune(
    spec: Spec,
    assignments: Set = None,
    variants: Variants = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Finished trials of the study at the end.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="2h", help="Start no trial after this time: 2h, 90m, 1h30m.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Trials at once.")] = None,
    executor: Annotated[str | None, typer.Option("--executor", metavar="NAME", help="Where trials run.")] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", envvar="KEXP_STORAGE", metavar="URL", help="Database that several machines share."),
    ] = None,
    study: Annotated[str | None, typer.Option("--study", metavar="NAME", help="Name the study.")] = None,
    runs_dir: RunsDir = Path("runs"),
    allow_local_code: LocalCode = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Search for the best spec, test it once, and write it; the same command continues a search."""
    with report_errors():
        from kexp.report.run_folder import finite
        from kexp.spec.toml import dumps

        options = {"trials": trials, "timeout": timeout, "jobs": jobs, "storage": storage, "executor.use": executor}
        # As TOML, so that no value is read as another type.
        changes = [f"search.{key}={dumps({'v': value})[4:]}" for key, value in options.items() if value is not None]
        plan, catalog = plan_of(spec, [*(assignments or ()), *changes], variants, allow_local_code=allow_local_code)
        print_warnings(plan)
        from kexp.cli.display import NullSearchDisplay, TerminalSearchDisplay
        from kexp.cli.output import print_search
        from kexp.search.tune import tune as search

        display = NullSearchDisplay() if quiet else TerminalSearchDisplay()
        found = hidden(search(plan, catalog, runs_dir=runs_dir, name=_study_name(study), display=display))
        if as_json:
            print(json.dumps(finite(found), ensure_ascii=False))
        else:
            print_search(found)
        if found["status"] != "done":
            again = "; the same command continues" if found["status"] == "interrupted" else ""
            print(f"{found['status']}: {found['reason']}{again}", file=sys.stderr)
            raise typer.Exit({"interrupted": 130}.get(found["status"], 1))


def _study_name(name: str | None) -> str | None:
    import re

    from kexp.errors import KexpError
    from kexp.names import composed, file_name_problem

    if name is None:
        return None
    name = composed(name)
    problem = file_name_problem(name)
    if re.match(r"\d{8}T\d{6}Z-", name):
        problem = "another name: run folders are called so"
    if problem:
        raise KexpError(f"--study {name}: it names a folder; expected {problem}")
    return name
