"""Commands about specs: run, tune, check, augment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kexp.cli import complete
from kexp.cli.app_options import AsJson, LocalCode, RunsDir, Seeds, Set, Spec, Variants, app
from kexp.cli.errors import report_errors
from kexp.cli.plans import plan_of, print_warnings, seeds_of
from kexp.cli.processes import several_processes, shown_once
from kexp.redaction import hidden

if TYPE_CHECKING:
    from kexp.catalog import Catalog
    from kexp.plan.resolve import Plan


@app.command()
def run(
    spec: Annotated[Path | None, typer.Argument(help="Spec file in TOML.", show_default=False)] = None,
    assignments: Set = None,
    variants: Variants = None,
    seeds: Seeds = "",
    runs_dir: RunsDir = Path("runs"),
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, metavar="N", help="Runs at once.")] = None,
    executor: Annotated[
        str | None,
        typer.Option("--executor", metavar="NAME", help="Where runs train.", autocompletion=complete.executors),
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="FOLDER", help="Continue a run folder.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check spec and data and print what would run, without training.")
    ] = False,
    allow_local_code: LocalCode = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train and evaluate every variant of a spec with every seed."""
    with shown_once(), report_errors(), several_processes() as world:
        from kexp.cli.display import NullDisplay, TerminalDisplay
        from kexp.cli.output import print_dry_run, print_summary
        from kexp.experiment.request import plan_run
        from kexp.report.run_folder import finite

        plan, catalog, folder = plan_run(
            spec,
            resume,
            assignments=assignments or (),
            variants=variants or (),
            seeds=seeds_of(seeds),
            jobs=jobs,
            executor=executor,
            allow_local_code=allow_local_code,
        )
        print_warnings(plan)
        from kexp.experiment import run as flow

        display = NullDisplay() if quiet or not world.first else TerminalDisplay()
        if dry_run:
            if not world.first:
                return
            found = finite(hidden(flow.dry_run_summary(plan, catalog, display)))
            print(json.dumps(found, ensure_ascii=False)) if as_json else print_dry_run(found)
            return
        from kexp.inference.shade_words import shading

        shade = shading(allow_local_code=allow_local_code)
        found = flow.run(
            plan, catalog, runs_dir=runs_dir, display=display, resume=folder, shade_words=shade, world=world
        )
        summary = hidden(found)
        if as_json:
            print(json.dumps(finite(summary), ensure_ascii=False))
        else:
            print_summary(summary)
        _exit_with(summary)


def _exit_with(summary: dict[str, Any]) -> None:
    from kexp.experiment.request import not_done

    for line in not_done(summary):
        print(line, file=sys.stderr)
    if status := {"interrupted": 130, "failed": 1}.get(summary["status"]):
        raise typer.Exit(status)


@app.command()
def check(
    spec: Spec,
    assignments: Set = None,
    variants: Variants = None,
    seeds: Seeds = "",
    allow_local_code: LocalCode = False,
    as_json: AsJson = False,
) -> None:
    """Check a spec completely, without loading a model; of the data, only the headers of tables are read."""
    with report_errors():
        from kexp.errors import SpecError
        from kexp.plan.request import plan_sentence

        try:
            plan, catalog = plan_of(spec, assignments, variants, seeds, allow_local_code=allow_local_code)
        except SpecError as error:
            if as_json:
                _print_problems(error.problems, ())
                raise typer.Exit(error.exit_status) from None
            raise
        if as_json:
            _print_problems((), plan.warnings)
            return
        print_warnings(plan)
        print(f"{spec}: ok ({plan_sentence(plan, catalog)})")


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
            "--of",
            metavar="ROWS",
            help="Augmenter of the labelled or the unlabelled rows, if both have one.",
            autocompletion=complete.words("labelled", "unlabelled"),
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
    executor: Annotated[
        str | None,
        typer.Option("--executor", metavar="NAME", help="Where trials run.", autocompletion=complete.executors),
    ] = None,
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
        from kexp.search.request import not_done, search_overrides, study_name

        changes = search_overrides(
            assignments or (), trials=trials, timeout=timeout, jobs=jobs, executor=executor, storage=storage
        )
        plan, catalog = plan_of(spec, changes, variants, allow_local_code=allow_local_code)
        print_warnings(plan)
        from kexp.cli.display import NullSearchDisplay, TerminalSearchDisplay
        from kexp.cli.output import print_search
        from kexp.search.tune import tune as search

        display = NullSearchDisplay() if quiet else TerminalSearchDisplay()
        found = hidden(search(plan, catalog, runs_dir=runs_dir, name=study_name(study), display=display))
        if as_json:
            print(json.dumps(finite(found), ensure_ascii=False))
        else:
            print_search(found)
        for line in not_done(found):
            print(line, file=sys.stderr)
        if found["status"] != "done":
            raise typer.Exit({"interrupted": 130}.get(found["status"], 1))
