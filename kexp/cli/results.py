"""Commands about run folders: runs, compare, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kexp.cli import complete
from kexp.cli.app_options import AsJson, LocalCode, RunsDir, app
from kexp.cli.confirm import confirm_removal
from kexp.cli.errors import report_errors

if TYPE_CHECKING:
    from kexp.results.runs import RunRow

runs = typer.Typer(help="List run folders, newest first; show one; remove old ones.")
app.add_typer(runs, name="runs")

Folder = Annotated[Path, typer.Argument(help="Run folder.", show_default=False)]
Status = Annotated[
    str | None,
    typer.Option(
        "--status",
        help="done, interrupted, failed, unfinished or unreadable.",
        metavar="S",
        autocompletion=complete.words("done", "interrupted", "failed", "unfinished", "unreadable"),
    ),
]


@runs.callback(invoke_without_command=True)
def list_folders(
    context: typer.Context,
    runs_dir: RunsDir = Path("runs"),
    spec: Annotated[
        str | None,
        typer.Option("--spec", metavar="NAME", help="Only this experiment.", autocompletion=complete.experiments),
    ] = None,
    status: Status = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="METRIC", help="Best first by this test metric.")
    ] = None,
    studies: Annotated[bool, typer.Option("--studies", help="List the studies of kexp tune instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the run folders, newest first."""
    with report_errors():
        if context.invoked_subcommand is not None:
            _refuse_options_before(context, context.invoked_subcommand)
            return
        from kexp.cli.tables import print_table
        from kexp.results.runs import chosen, list_runs, list_studies

        if studies:
            _list_studies(runs_dir, as_json)
            return
        rows = chosen(list_runs(runs_dir), experiment=spec, status=status, metric=sort)
        if as_json:
            print(json.dumps([row.as_dict(sort) for row in rows], ensure_ascii=False))
            return
        header = ["started", "experiment", "status", "variants", "metric", "test", "variant", "training", "folder"]
        spare = ["variants", "training", "variant", "metric", "test"]
        print_table("runs", header, [_cells(row, sort) for row in rows], spare=spare)
        if count := len(list_studies(runs_dir)):
            print(f"{count} {'study' if count == 1 else 'studies'}: kexp runs --studies", file=sys.stderr)


def _refuse_options_before(context: typer.Context, command: str) -> None:
    """Refuse options that would be ignored: prune must not use another folder than the one that was given."""
    from kexp.errors import KexpError

    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise KexpError(f"kexp runs {command}: put options after {command}")


def _cells(row: RunRow, metric: str | None) -> list[str]:
    from kexp.report.formatting import duration
    from kexp.results.runs import local_time

    best = row.best(metric)
    test = [metric or row.metric, f"{best[1]:.4f}", best[0]] if best else ["", "no test split" * row.untested, ""]
    seconds = duration(row.seconds) if row.seconds else ""
    return [local_time(row.started), row.experiment, row.status, str(len(row.test)), *test, seconds, str(row.folder)]


def _list_studies(runs_dir: Path, as_json: bool) -> None:
    from kexp.cli.tables import print_table
    from kexp.report.formatting import plain
    from kexp.results.runs import list_studies, local_time

    studies = list_studies(runs_dir)
    if as_json:
        print(json.dumps([study.as_dict() for study in studies], ensure_ascii=False))
        return
    rows = [
        [
            local_time(study.started),
            study.experiment,
            study.status,
            ", ".join(f"{count} {outcome}" for outcome, count in study.trials.items()),
            ", ".join(study.goals),
            "" if study.best is None else plain(study.best),
            "" if study.best_trial is None else str(study.best_trial),
            str(study.folder),
        ]
        for study in studies
    ]
    header = ["started", "experiment", "status", "trials", "metric", "best", "trial", "folder"]
    print_table("studies", header, rows, spare=["trial", "trials", "metric", "best"])


@runs.command("show")
def show_folder(
    folder: Folder,
    by_epoch: Annotated[bool, typer.Option("--epochs", help="Show a table of every run by epoch instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run folder: its spec, the results of every variant, why runs failed, where the files are."""
    with report_errors():
        from kexp.results.runs import show

        shown = show(folder)
        if as_json:
            print(json.dumps(shown, ensure_ascii=False))
            return
        if by_epoch:
            _print_epochs(shown)
        else:
            _print_shown(shown)


def _print_epochs(shown: dict[str, Any]) -> None:
    from kexp.cli.tables import is_screen, print_table
    from kexp.repeats import Repeat
    from kexp.report.epochs import epoch_table, spare_columns
    from kexp.results.runs import spec_of

    for run in shown["runs"]:
        name = f"{run['variant']} {Repeat.of(run).name}"
        if not run["epochs"]:
            print(f"{name} {run['status']}: no epoch was evaluated", file=sys.stderr)
            continue
        header, rows = epoch_table(run["epochs"])
        monitor = spec_of(shown["asked"], run["variant"]).get("training", {}).get("monitor", "")
        spare = spare_columns(run["epochs"], monitor)
        if is_screen(sys.stdout):
            print_table(name, header, rows, right=0, spare=spare)
        else:
            print_table("", ["run", *header], [[name, *row] for row in rows], right=1)


def _print_shown(shown: dict[str, Any]) -> None:
    from kexp.cli.output import print_summary
    from kexp.cli.tables import print_table
    from kexp.repeats import Repeat
    from kexp.report.export import changes
    from kexp.report.formatting import duration
    from kexp.results.runs import local_time

    spec = shown["asked"]
    facts = {
        "experiment": shown["experiment"],
        "description": shown["description"],
        "status": shown["status"],
        "started": local_time(shown["started"]),
        "training": duration(shown["seconds"]) if shown["seconds"] else "",
        "command": " ".join(shown["command"]),
        "seeds": ", ".join(map(str, shown["seeds"])),
        **{part: spec.get(part, {}).get("use", "") for part in ("dataset", "backbone", "objective", "freezing")},
        "pre-training": _pretraining(spec.get("pretraining", {})),
        **{f"variant {name}": "; ".join(changes(found)) for name, found in shown["variants"].items()},
    }
    print_table("run folder", ["setting", "value"], [[name, text] for name, text in facts.items() if text])
    print()
    if shown["summary"]:
        print_summary({**shown["summary"], "folder": shown["folder"]})
    _print_calibration(shown["runs"])
    for run in shown["runs"]:
        if run["status"] != "done":
            print(f"{run['variant']} {Repeat.of(run).name} {run['status']}: {run['reason']} ({run['folder']}/log.txt)")
    for name, path in shown["paths"].items():
        print(f"{name}\t{path}")


def _pretraining(stage: dict[str, Any]) -> str:
    if not stage.get("epochs"):
        return ""
    return f"{stage['steps']:,} steps" if "steps" in stage else f"{stage['epochs']:,} epochs"


def _print_calibration(runs: list[dict[str, Any]]) -> None:
    """Print temperature, calibration error and cross entropy without and with it, for every calibrated run."""
    from kexp.cli.tables import as_text, print_table
    from kexp.report.confidence import calibration_table

    rows = []
    header: list[str] = []
    for run in (run for run in runs if run["calibration"]):
        found = calibration_table(run)
        header = ["run", "temperature", *found[0]]
        repeat = (f"{key} {run[key]}" for key in ("draw", "fold", "seed") if key in run)
        name = f"{run['variant']} {', '.join(repeat)}"
        temperature = f"{run['calibration']['temperature']:.4g}"
        rows += [[name, temperature, *map(as_text, row.values())] for row in found]
        if remark := run["calibration"].get("remark"):
            print(f"{name}: {remark}", file=sys.stderr)
    if rows:
        print_table("calibration", header, rows, right=3)
        print()


@runs.command("prune")
def prune_folders(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Only these; all below --runs-dir if none.", show_default=False)
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    status: Status = None,
    keep: Annotated[
        int | None, typer.Option("--keep", min=0, metavar="N", help="Keep the newest N of every experiment.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="30d", help="Only folders older than this: 30d, 12h, 4w.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a confirmation.")] = False,
) -> None:
    """Remove run folders after showing them and a confirmation."""
    with report_errors():
        from kexp.report.formatting import size
        from kexp.results.prune import PruneFilter, plan, remove, seconds_of_age

        age = None if older_than is None else seconds_of_age(older_than)
        removals, spared = plan(runs_dir, folders or [], PruneFilter(status, keep, age))
        _print_removals(removals)
        print("\n".join(spared), file=sys.stderr, end="\n" if spared else "")
        if not removals:
            print("nothing to remove", file=sys.stderr)
            return
        what = f"{len(removals)} run folder{'s' if len(removals) > 1 else ''}, {size(sum(r.size for r in removals))}"
        confirm_removal(what, yes=yes)
        for removal in removals:
            remove(removal.row.folder)
        print(f"removed {what}", file=sys.stderr)


def _print_removals(removals: list[Any]) -> None:
    from kexp.cli.tables import print_table
    from kexp.report.formatting import size
    from kexp.results.runs import local_time

    rows = [
        [local_time(removal.row.started), removal.row.status, size(removal.size), str(removal.row.folder)]
        for removal in removals
    ]
    print_table("to remove", ["started", "status", "size", "folder"], rows)


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Run folders, or VARIANT or VARIANT/seed-N folders in them.", show_default=False),
    ],
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="NAME", help="Only this metric; or train_seconds, peak_memory_mib ..."),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            "--split", metavar="SPLIT", help="test or validation.", autocompletion=complete.words("test", "validation")
        ),
    ] = "test",
    as_json: AsJson = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the table for LaTeX (booktabs).")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print table and findings as Markdown.")] = False,
) -> None:
    """Compare finished runs on the same rows: means, baselines, paired tests, and how their specs differ."""
    with report_errors():
        from kexp.errors import KexpError
        from kexp.report.export import as_csv, as_latex, as_markdown
        from kexp.report.run_folder import finite
        from kexp.results.compare import compare as compare_runs

        if as_json + csv + latex + markdown > 1:
            raise KexpError("kexp compare: choose one of --json, --csv, --latex and --markdown")
        found = compare_runs(folders, split=split, metric=metric)
        if as_json:
            print(json.dumps(finite(found), ensure_ascii=False))
        elif csv or latex or markdown:
            write = as_csv if csv else as_latex if latex else as_markdown
            print(write(found), end="")
            if csv:
                # It has no place for what it lacks.
                print("".join(f"left out: {reason}\n" for reason in found["left_out"]), end="", file=sys.stderr)
        else:
            _print_comparison(found)


def _print_comparison(found: dict[str, Any]) -> None:
    from rich.text import Text

    from kexp.cli.tables import console_of, print_table
    from kexp.report.export import cells, head, spec_notes, test_notes

    rows: list[list[str | Text]] = []
    for row in found["rows"]:
        marked = [Text(text, "bold" if best else "") for text, best in cells(found, row)]
        rows.append([head(row, len(found["models"])), *marked])
    print_table(found["split"], ["model", *found["metrics"]], rows, right=1)
    out = console_of()
    for pair, lines in spec_notes(found):
        out.print("", Text(pair), *(Text(f"  {line}") for line in lines), sep="\n")
    if findings := [*test_notes(found), *found["remarks"]]:
        out.print("", *map(Text, findings), sep="\n")


@app.command()
def report(
    folder: Folder,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    words: Annotated[
        float | None,
        typer.Option("--words", min=1, metavar="SECONDS", help="Ask the models about the words of mistakes, so long."),
    ] = None,
    allow_local_code: LocalCode = False,
) -> None:
    """Write report.html of a run folder again."""
    with report_errors():
        from kexp.errors import KexpError
        from kexp.report.html import write_report
        from kexp.results.runs import read_spec

        read_spec(folder)
        if not (folder / "summary.json").is_file():
            raise KexpError(f"{folder} has no summary.json yet; kexp run --resume {folder} continues its runs")
        if words is not None:
            from kexp.inference.loading import LoadOptions
            from kexp.inference.shade_words import shade_words

            shade_words(folder, words, LoadOptions(allow_local_code=allow_local_code))
        path = write_report(folder)
        print(path)
        if open_it:
            typer.launch(path.resolve().as_uri())
