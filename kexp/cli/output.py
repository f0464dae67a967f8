"""Results on standard output: what an experiment, a search, an augmenter or an evaluation found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kexp.cli.tables import as_text, console_of, is_screen, print_table, setting
from kexp.report.findings import by_text
from kexp.report.results import OUT_OF_FOLD
from kexp.report.summary import known_tests, no_test_remark, old_tests_remark, over, shared, shown_split

if TYPE_CHECKING:
    from kexp.experiment.augment import Pair

Json = Mapping[str, Any]

UNKNOWN_SHARE = 0.1
"""Share of unknown tokens above which the tokenizer hardly fits the texts."""


def print_summary(summary: Json) -> None:
    """Print the results of an experiment: data, models beside baselines, paired tests, the run folder."""
    out = console_of()
    variants = summary["variants"]
    for names, lines in shared({name: _data_lines(variant.get("data", {})) for name, variant in variants.items()}):
        out.print(*(f"[dim]{escape(', '.join(names))}: {escape(line)}[/]" for line in lines), sep="\n")
    split = shown_split(summary)
    metrics = _metric_names(summary, split)
    rows = [row for name, variant in variants.items() for row in _variant_rows(name, variant, metrics, split)]
    for names, baselines in shared({name: variant.get("baselines", {}) for name, variant in variants.items()}):
        of = f" of {', '.join(names)}" if len(names) < len(variants) else ""
        measured = [(name, splits[split]) for name, splits in baselines.items() if split in splits]
        rows += [_baseline_row(f"{name}{of}", scores, metrics) for name, scores in measured]
    print_table(split, ["model", "runs", *metrics], rows, right=1)
    for name, variant in variants.items():
        for remark in variant.get("remarks", ()):
            out.print(f"[yellow]* {escape(f'{name}, {remark}')}[/]")
    for test in known_tests(summary):
        if test["stated"]:
            out.print(escape(test["sentence"]))
    for of, text in by_text(summary.get("findings", [])):
        out.print(f"[yellow]{escape(f'{of}: {text}' if of else text)}[/]")
    if old := old_tests_remark(summary):
        out.print(f"[dim]{old}[/]")
    untested = no_test_remark({name: variant.get("data", {}) for name, variant in variants.items()})
    for remark in dict.fromkeys(filter(None, [*summary.get("remarks", []), untested])):
        out.print(escape(remark))
    out.print(f"[bold]{escape(summary['folder'])}[/]", soft_wrap=True)


def print_dry_run(found: Json) -> None:
    """Print what would be trained on which rows: rows read and dropped, labels, and lengths in tokens."""
    out = console_of()
    for names, data in shared({name: variant["data"] for name, variant in found["variants"].items()}):
        out.print(*(escape(f"{', '.join(names)}: {line}") for line in _data_lines(data)), sep="\n")
        splits = list(data["labels"])
        labels = [
            [label, *(f"{data['labels'][split].get(label, 0):,}" for split in splits)]
            for label in data["labels"]["train"]
        ]
        print_table("rows by label", ["label", *splits], labels, right=1)
        measures = list(data["tokens"]["train"])
        tokens = [[name, *(f"{data['tokens'][split][name]:g}" for split in splits)] for name in measures]
        print_table("tokens by row", ["tokens", *splits], tokens, right=1)
    stages = {name: variant["pretraining"] for name, variant in found["variants"].items() if "pretraining" in variant}
    for names, counts in shared(stages):
        out.print(escape(f"{', '.join(names)}: {_pretraining_line(counts)}"))
    count = found["runs"]
    out.print(f"[dim]{count} run{'s' if count > 1 else ''} would be trained; nothing was made[/]")


def _metric_names(summary: Json, split: str) -> list[str]:
    found: dict[str, None] = {}
    for variant in summary["variants"].values():
        found |= dict.fromkeys(variant.get("metrics", {}).get(split, {}))
    return list(found)


def _variant_rows(name: str, variant: Json, metrics: Sequence[str], split: str) -> Iterator[list[str]]:
    measured = variant.get("metrics", {}).get(split, {})
    states = list(variant["status"].values())
    varied = next((over(measured[metric]) for metric in metrics if metric in measured), "")
    runs = f"{states.count('done')}/{len(states)}" + (f" ({varied})" if varied else "")
    shown = f"{name} *" if variant.get("remarks") else name
    yield [shown, runs, *(_mean(measured.get(metric), varied) for metric in metrics)]
    if split == "test" and (found := variant.get("out_of_fold")):
        of = next((over(mean) for mean in found["metrics"].values()), "")
        yield [f"{name}{OUT_OF_FOLD}", of, *(_mean(found["metrics"].get(metric), of) for metric in metrics)]


def _baseline_row(name: str, measured: Json, metrics: Sequence[str]) -> list[str]:
    values = [measured.get(metric) for metric in metrics]
    return [f"  {name}", "", *("" if value is None else f"{value:.4f}" for value in values)]


def _mean(found: Json | None, varied: str) -> str:
    """Return a mean with its standard deviation, and what varied where that is not the same as for the row."""
    if not found or found.get("mean") is None:
        return ""
    spread = "" if found.get("sd") is None else f" ± {found['sd']:.4f}"
    own = over(found)
    return f"{found['mean']:.4f}{spread}" + (f" ({own})" if own != varied else "")


def _data_lines(record: Json) -> list[str]:
    lines = [f"{what} {count:,}" for what, count in record.get("source", {}).get("read", {}).items() if count]
    lines = [f"read {', '.join(lines)}"] if lines else []
    if (divisions := record.get("divisions", 1)) > 1:
        lines.append(f"means over {divisions} divisions of the rows")
    for split, counts in record.get("source", {}).get("files", {}).items():
        # Lines and rows are in the record; a person should see what is unusual.
        unusual = {what: count for what, count in counts.items() if count and what not in ("lines", "rows")}
        if unusual:
            found = ", ".join(f"{what.replace('_', ' ')} {count:,}" for what, count in unusual.items())
            lines.append(f"file of {split}: {found}")
    for split, counts in record.get("splits", {}).items():
        gone = [
            f"{count:,} {what.replace('_', ' ')}"
            for what, count in counts.items()
            if count and what not in ("read", "kept")
        ]
        tokens = record.get("tokens", {}).get(split, {})
        if tokens.get("truncated rows"):
            gone.append(f"{tokens['truncated rows']:,} cut at max_length")
        lines.append(f"{split} {counts['kept']:,} rows" + (f" ({', '.join(gone)})" if gone else ""))
        if tokens.get("unknown share", 0) > UNKNOWN_SHARE:
            lines.append(
                f"warning: {tokens['unknown share']:.0%} of the tokens of {split} are unknown to the tokenizer"
            )
        if unknown := tokens.get("unknown rows"):
            rows = f"1 row of {split} consists" if unknown == 1 else f"{unknown:,} rows of {split} consist"
            lines.append(f"warning: {rows} of unknown tokens alone; the model cannot tell them apart")
    return lines + [f"warning: {warning}" for warning in record.get("warnings", ())]


def _pretraining_line(counts: Json) -> str:
    sources = [f"{counts[name]:,} of {name}" for name in ("train", "files") if counts.get(name)]
    others = ("train", "files", "kept", "steps")
    gone = [f"{count:,} {what}" for what, count in counts.items() if count and what not in others]
    return f"pre-training {counts['kept']:,} texts, {counts['steps']:,} steps ({', '.join((*sources, *gone))})"


def print_search(found: Json) -> None:
    """Print the best trial and the results of its test."""
    counts = ", ".join(f"{count} {name}" for name, count in found["trials"].items() if count)
    rows = [["study", found["study"]], ["trials", counts]]
    if found["best_trial"] is not None:
        values = found["front"][0]["values"]
        metrics = zip(found["goals"], values, strict=True)
        rows.append(["best trial", f"{found['best_trial']}: " + ", ".join(f"{name} {v:.4f}" for name, v in metrics)])
        rows += [[path, setting(value)] for path, value in found["best_params"].items()]
        rows.append(["best spec", found["best_spec"]])
    if len(found["front"]) > 1:
        rows.append(["Pareto front", ", ".join(str(point["trial"]) for point in found["front"])])
    if found["final"]:
        rows.append(["tested in", found["final"]])
    rows += [["", remark] for remark in found["remarks"]]
    rows.append(["report", f"{found['folder']}/study.html"])
    print_table("search", ["", ""], rows)


def print_pairs(pairs: Sequence[Pair]) -> None:
    """Print originals beside augmented texts with the changed words marked, and a line per rejected pair."""
    if not is_screen(sys.stdout):
        print_table("", ["original", "augmented", "rejected"], [[p.original, p.augmented, p.rejected] for p in pairs])
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), expand=True)
    table.add_column("original", ratio=1, overflow="fold")
    table.add_column("augmented", ratio=1, overflow="fold")
    for pair in pairs:
        before, after = Text(), Text()
        for kind, old, new in pair.changes():
            before.append(f"{old} " if old else "", "" if kind == "equal" else "red strike")
            after.append(f"{new} " if new else "", "" if kind == "equal" else "bold green underline")
        if pair.rejected:
            after.append(f"\n✗ rejected: {pair.rejected}", "yellow")
        table.add_row(before, after)
    console_of().print(table)


def print_audit(found: Json) -> None:
    """Print the rates of sheets, and how far two readers agree."""
    rows = [
        [sheet["sheet"], name, question, _share(one), f"{one['n']}", f"{one['missing']}"]
        for sheet in found["sheets"]
        for name, of in sheet["augmenters"].items()
        for question, one in of["questions"].items()
    ]
    print_table("", ["sheet", "augmenter", "question", "yes (95 % interval)", "n", "missing"], rows, right=3)
    if agreement := found.get("agreement"):
        print()
        rows = [
            [question, f"{one['agree']} of {one['n']}", "-" if one["kappa"] is None else f"{one['kappa']:.2f}"]
            for question, one in agreement.items()
        ]
        print_table("agreement", ["question", "same verdict", "Cohen's kappa"], rows, right=1)


def _share(one: Json) -> str:
    if one["rate"] is None:
        return "-"
    return f"{one['rate']:.1%} ({one['low']:.1%} to {one['high']:.1%})"


def print_evaluation(found: Json) -> None:
    """Print metrics, and what the task tells besides: tables of labels, the confusion matrix, errors of numbers."""
    print_table(
        "metrics", ["metric", "value"], [[name, as_text(value)] for name, value in found["metrics"].items()], right=1
    )
    if "abstain" in found:
        print()
        answered = found["abstain"]
        columns = ["threshold", "answered", "coverage", "accuracy"]
        print_table("abstain", columns, [[as_text(answered[name]) for name in columns]], right=0)
    if by_label := found.get("per_class") or found.get("per_label"):
        print()
        columns = [name for name in LABEL_COLUMNS if name in by_label[0]]
        rows = [[as_text(label[name]) for name in columns] for label in by_label]
        print_table("labels", columns, rows, right=1)
    if "confusion_matrix" in found:
        print()
        counts = zip(found["labels"], found["confusion_matrix"], strict=True)
        rows = [[label, *map(str, row)] for label, row in counts]
        print_table("confusion", ["true \\ predicted", *found["labels"]], rows, right=1)
    if "scores" in found:
        print()
        rows = [[name.replace("_", " "), _on_one_line(value)] for name, value in found["scores"].items()]
        print_table("numbers", ["", "value"], rows, right=1)


LABEL_COLUMNS = ("label", "precision", "recall", "f1", "average_precision", "auc", "threshold", "support")


def _on_one_line(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_text(of)}" for name, of in value.items())
    return as_text(value)
