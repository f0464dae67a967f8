"""``report.html``: one self-contained page on an experiment, from the files of its run folder."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.atomic_files import write_text
from kexp.redaction import hidden, without_passwords
from kexp.repeats import repeats_in
from kexp.report.data_card_link import data_card_link
from kexp.report.findings import by_text, findings
from kexp.report.formatting import as_table, duration, is_table, plain, score
from kexp.report.learning_curves import learning_curves
from kexp.report.results import is_best, results_table
from kexp.report.run_folder import RunFolder
from kexp.report.run_page import run_page
from kexp.report.sentences import difference_table
from kexp.report.stored import read_environment, read_spec, read_summary
from kexp.report.summary import known_tests, no_test_remark, old_tests_remark, over, shared
from kexp.report.variants_page import variants_page
from kexp.spec import toml

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = ["page_environment", "plain", "score", "write_report"]


WORDS_HINT = (
    "The words of mistakes are not shaded: kexp report RUN_FOLDER --words 60 asks the models, for a minute at most."
)


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run folder and return its path; equal files give equal bytes.

    Reads ``spec.toml``, ``environment.json``, ``summary.json`` and the folders of the runs that the summary names.
    Raises ``KexpError`` when one of the three is missing or cannot be read; a run's own files may be missing.
    """
    from markupsafe import Markup

    path = RunFolder.open(folder).path
    spec = (path / "spec.toml").read_text("utf-8")
    table = read_spec(path / "spec.toml")
    if hidden(table) != table:
        # An earlier version wrote passwords.
        spec = toml.dumps(hidden(table))
    summary = read_summary(path / "summary.json")
    environment = read_environment(path / "environment.json")
    untested = no_test_remark({name: variant["data"] for name, variant in summary["variants"].items()})
    remarks = [*summary["remarks"], old_tests_remark(summary)]
    runs = [
        run_page(path / name / repeat.folder, name, repeat, number)
        for number, (name, repeat) in enumerate(
            (name, repeat) for name, variant in summary["variants"].items() for repeat in repeats_in(variant)
        )
    ]
    jinja = page_environment()
    jinja.filters |= {"score": score, "plain": plain, "duration": duration, "over": over}
    jinja.tests |= {"table": is_table}
    jinja.globals |= {"as_table": as_table, "without_warnings": _without_warnings, "is_best": is_best}
    together = variants_page(path, summary)
    mistaken = any(run["mistakes"]["worst"] for run in runs)
    page = _template(jinja, "template.html.j2").render(
        place="/".join(path.resolve().parts[-3:]),
        spec=spec,
        description=without_passwords(table.get("description", "")),
        environment=environment,
        summary={**summary, "remarks": [remark for remark in remarks if remark not in ("", untested)]},
        stated=[test for test in known_tests(summary) if test["stated"]],
        others=difference_table([test for test in known_tests(summary) if not test["stated"]]),
        # Earlier versions wrote none.
        findings=by_text(summary["findings"] if "findings" in summary else findings(path, summary)),
        untested=untested,
        results={split: table for split in ("test", "validation") if (table := results_table(summary, split))["rows"]},
        learning=learning_curves(table, summary),
        data=shared({name: variant["data"] for name, variant in summary["variants"].items()}),
        card=data_card_link(path, environment.get("inputs", {})),
        runs=runs,
        together=Markup(_template(jinja, "variants.html.j2").render(together)),
        words_hint="" if together["shaded"] or not mistaken else WORDS_HINT,
    )
    write_text(path / "report.html", page)
    return path / "report.html"


def _template(jinja: Environment, name: str) -> Template:
    return jinja.from_string(files("kexp.report").joinpath(name).read_text("utf-8"))


def _without_warnings(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "warnings"}


def page_environment() -> Environment:
    """Return the Jinja environment of kexp's pages, which share ``style``; an undefined name raises an error."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    jinja = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.globals["style"] = Markup(files("kexp.report").joinpath("style.css").read_text("utf-8"))
    return jinja
