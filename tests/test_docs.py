"""Every statement of the documentation that can be executed is executed; and so is what executes it."""

from __future__ import annotations

import dataclasses
import html
import importlib.util
import inspect
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from page_sessions import REPOSITORY, Session
from pages import PART_OF, Page, PageError, commands

import kexp.testing
from kexp import hookspecs, nested
from kexp.catalog import Catalog
from kexp.contracts import RunIdentity
from kexp.options import Options, Section
from kexp.plan.schema import options_of
from kexp.plan.validate import validate
from kexp.scaffold.kinds import KINDS
from kexp.scaffold.package import package_files
from kexp.spec.sections import Spec

DOCS = REPOSITORY / "docs"
PAGES = [Page(path) for path in sorted(DOCS.rglob("*.md"))]
# Translations have the commands of the English page (tests/test_korean_pages.py), which need not be executed again.
EXECUTED = [page for page in PAGES if page.path.parent.name != "ko" or not (DOCS / page.path.name).exists()]
EXECUTED += [page for page in PAGES if page.path == DOCS / "ko" / "index.md"]


def names(pages: list[Page]) -> list[str]:
    return [page.path.relative_to(DOCS).as_posix() for page in pages]


@pytest.mark.parametrize("page", EXECUTED, ids=names(EXECUTED))
def test_page_says_what_is_so(page: Page, tmp_path: Path, needs: Callable[[bool, str], None]) -> None:
    assert page.headings(), f"{page.path} has no heading"
    wrong = None
    try:
        for package in page.needs:
            there = importlib.util.find_spec(package.replace("-", "_")) is not None
            needs(there, f"{page.path.name} needs {package}")
        if page.is_run:
            run(page, tmp_path)
    except PageError as error:
        wrong = str(error)
    if wrong:
        pytest.fail(wrong, pytrace=False)


def run(page: Page, folder: Path, **options: Any) -> None:
    """Run a page in a folder of its own below ``folder``."""
    inside, other = folder / "page", folder / "other"
    inside.mkdir()
    other.mkdir()
    Session(page, inside, other, **options).run()


class Tolerant(yaml.SafeLoader):
    """Reads mkdocs.yml, which names Python objects that these tests do without."""


Tolerant.add_multi_constructor("", lambda loader, suffix, node: None)


def in_nav(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    for below in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
        yield from in_nav(below)


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.load((REPOSITORY / "mkdocs.yml").read_text("utf-8"), Tolerant)
    assert {name for name in names(PAGES) if not name.startswith("examples/")} <= set(in_nav(config["nav"]))


# --- what runs the pages ----------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Page]:
    def write(text: str) -> Page:
        path = tmp_path / "page.md"
        # Fences of these pages are written with ''' so that editors do not take them for the end of a docstring.
        path.write_text(text.replace("'''", "```"), "utf-8")
        return Page(path)

    return write


WHOLE = """
# A page

'''toml title="first.toml"
[dataset]
use = "dialect-sample"
rows = 200

[backbone]
use = "tiny"
'''

'''sh
# Comments may stand first.
kexp check first.toml
echo one   two && echo three
echo four >&2
'''

'''text title="Output"
one two
th…e

four
'''

1.  In a list:

    '''python title="mine.py"
    def answer():
        return 42
    '''

    '''python
    import dataclasses, mine

    @dataclasses.dataclass
    class Box:
        content: int = mine.answer()
    '''

    ~~~python hl_lines="1"
    print(Box())
    ~~~

    '''text title="Output"
    Box(content=42)
    '''

'''toml
objective = {use = "focal", gamma = 1.5}
[variants.short]
training.epochs = 1
'''

<!-- not executed: needs a network -->
'''sh
X=1 kexp run experiments/dialect.toml --set \\
    training.epochs=1 2> log | tee > out   # it is "large"
pip install something && kexp plugins show objective focal
'''

'''text
└── a listing
'''
"""


def test_a_page_that_is_right(write: Callable[[str], Page], tmp_path: Path) -> None:
    page = write(WHOLE)
    run(page, tmp_path)
    assert page.headings() == ["A page"]
    assert sorted(path.name for path in (tmp_path / "page").iterdir() if path.suffix) == ["first.toml", "mine.py"]
    assert (tmp_path / "page/mine.py").read_text() == "def answer():\n    return 42\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("'''sh\necho before\nfalse\n'''", 1, "`false` in line 2 of the block ended with status 1:\nbefore"),
        ("\n'''sh\necho $UNSET\n'''", 2, "UNSET: unbound variable"),
        ("'''sh\nfalse | cat\n'''", 1, "status 1"),
        ("'''sh\nkexp check nowhere.toml\n'''", 1, "nowhere.toml"),
        ("'''sh\necho one\n'''\n'''text title=\"Output\"\ntwo\n'''", 4, 'no line "two" after the beginning'),
        ("'''sh\necho one; echo two\n'''\n'''text title=\"Output\"\ntwo\none\n'''", 4, 'no line "one" after "two"'),
        ("'''sh\necho one two\n'''\n'''text title=\"Output\"\none\n'''", 4, 'no line "one"'),
        ("'''python\nx = 1\nraise ValueError(x)\n'''", 1, "ValueError: 1"),
        ("'''python\nx = 1\nraise ValueError(x)\n'''", 1, "page.md\", line 3, in <module>"),
        ("'''python\nimport sys; sys.exit(0)\n'''", 1, "the block raises"),
        ("'''python\nimport os; os._exit(0)\n'''", 1, "ended Python"),
        ("'''python\ndef f(:\n'''", 1, "SyntaxError"),
        ("'''python title=\"a.py\"\ndef f(:\n'''", 1, "a.py: invalid syntax"),
        ("'''python\nimport time; time.sleep(60)\n'''", 1, "took more than 3 s"),
        ("'''sh\nsleep 60\n'''", 1, "took more than 3 s"),
        ("'''toml\n[training]\nepoch = 1\n'''", 1, "training.epoch"),
        ("'''toml\n[training\n'''", 1, "not valid TOML"),
        ("'''toml\nobjective.use = \"uda\"\n[variants.a]\nobjective.nothing = 1\n'''", 1, "variants.a"),
        ("'''toml title=\"a.toml\"\nbackbone = \"tiny\"\ndataset = \"nowhere\"\n'''", 1, 'unknown dataset "nowhere"'),
        ("'''toml title=\"a.toml\"\nx =\n'''", 1, "not valid TOML"),
        ("<!-- not executed: needs a GPU -->\n'''sh\nkexp run a.toml --fast\n'''", 2, "--fast"),
        ("<!-- not executed: needs a GPU -->\n'''sh\nls && kexp walk\n'''", 2, "walk"),
        ("<!-- not executed: needs a GPU -->\n'''sh\nkexp run experiments/none.toml\n'''", 2, "does not exist"),
        ("<!-- not executed: needs patience -->\n'''sh\nls\n'''", 2, 'unknown reason "needs patience"'),
        ("<!-- not executed: needs a GPU -->\n'''sh\nls\n'''\n'''text title=\"Output\"\na\n'''", 5, "that is executed"),
        ("'''sh title=\"needs a GPU\"\nls\n'''", 1, 'a sh block has no title; found "needs a GPU"'),
        ("<!-- status: 2 -->\n'''sh\nls\n'''", 2, "no command ended with status 2"),
        ("<!-- status: 2 -->\n'''sh\nls\nfalse\n'''", 2, "`false` in line 2 of the block ended with status 1"),
        ("<!-- status: 1 -->\n'''sh\nfalse\nls\nfalse\n'''", 2, "`false` in line 3 of the block ended with status 1"),
        ("<!-- status: 1, 2 -->\n'''sh\nfalse\n'''", 2, "no command ended with status 2"),
        ("<!-- status: 1 -->\n'''sh\nfalse\necho $UNSET\n'''", 2, "UNSET: unbound variable"),
        ("<!-- status: 2 -->\n'''python\n1\n'''", 2, "stands before no sh block"),
        ("<!-- stats: 2 -->\n'''sh\nls\n'''", 2, "is no note: status, not executed"),
        ("'''sh\nfalse || test $? = 1\n'''", 1, "a reader sees `|| test $? = 1`"),
        ("'''text title=\"Output\"\na\n'''", 1, "without a sh or python block"),
        ("'''sh\nls\n'''\n'''text title=\"Output\"\n\n'''", 4, "says nothing"),
        ("'''text title=\"other\"\na\n'''", 1, 'found "other"'),
        ("'''json title=\"a.json\"\n{}\n'''", 1, 'found "a.json"'),
        ("'''rust\nfn\n'''", 1, "unknown language rust"),
        ("'''\nfn\n'''", 1, "expected a language"),
        ("''' { .sh }\nls\n'''", 1, "expected a language"),
        ("'''python title=\"../a.py\"\n'''", 1, "not a file of the page's folder"),
        ("\n'''sh\nls\n", 2, "the block has no end"),
    ],
)  # fmt: skip
def test_a_page_that_is_wrong(text: str, line: int, message: str, write: Callable[[str], Page], tmp_path: Path) -> None:
    with pytest.raises(PageError) as raised:
        run(write(text), tmp_path, seconds=3 if "60" in text else 100)
    assert str(raised.value).startswith(f"{tmp_path}/page.md:{line}: ")
    assert message in str(raised.value)


def test_commands_that_fail_as_the_page_says(write: Callable[[str], Page], tmp_path: Path) -> None:
    script = "(exit 2)\necho one | grep two\nif false; then ls; fi\nsleep 9 & kill -9 $!; wait $!\necho end\nexit_of() { return 3; }\nexit_of\n"
    run(write(f"<!-- status: 2, 1, 137, 3 -->\n'''sh\n{script}'''\n'''text title=\"Output\"\nend\n'''"), tmp_path)


def test_local_code_is_checked_by_the_command(write: Callable[[str], Page], tmp_path: Path) -> None:
    spec = "'''toml title=\"a.toml\"\ndataset = 'dialect-sample'\nbackbone = 'tiny'\nobjective = '{}'\n"
    code = "'''python title=\"mine.py\"\nimport kexp\n@kexp.hookimpl\ndef kexp_metrics():\n    return {}\n'''\n"
    end = "[plugins]\nlocal = ['mine.py']\n'''\n"
    (tmp_path / "good").mkdir()
    run(write(code + spec.format("focal") + end), tmp_path / "good")
    (tmp_path / "bad").mkdir()
    with pytest.raises(PageError, match="unknown objective"):
        run(write(code + spec.format("foal") + end), tmp_path / "bad")


def test_what_a_block_leaves_running_is_ended(write: Callable[[str], Page], tmp_path: Path) -> None:
    run(write("'''sh\n(sleep 3; touch alive) &\n'''\n'''sh\nsleep 4; ls\n'''"), tmp_path)
    assert not (tmp_path / "page/alive").exists()


def test_a_page_is_off_the_network_and_away_from_the_user(write: Callable[[str], Page], tmp_path: Path) -> None:
    shown = "'''sh\nenv\n'''\n'''text title=\"Output\"\nHF_HUB_OFFLINE=1\n'''\n"
    page = write(
        shown + "'''sh\n[ -z \"${KEXP_RUNS_DIR-}\" ] && [ $KEXP_OFFLINE = 1 ] && [ $OMP_NUM_THREADS = 1 ]\n'''\n"
        "'''python\nimport os; assert 'other' in os.environ['KEXP_CACHE_DIR'], os.environ\n'''\n"
    )
    run(page, tmp_path)


def test_commands_are_found_in_scripts() -> None:
    script = "A=1 kexp run 'a b' > log 2>&1 && ! kexp check x; (kexp ui) | cat  # kexp\nx=$(kexp runs \\\n  --studies)"
    assert list(commands(script)) == [
        ["kexp", "run", "a b"], ["kexp", "check", "x"], ["kexp", "ui"], ["cat"], ["kexp", "runs", "--studies"],
    ]  # fmt: skip


def test_packages_that_a_page_needs(write: Callable[[str], Page]) -> None:
    assert write("---\nneeds: kexp-backtranslation\n---\n# A").needs == ["kexp-backtranslation"]
    assert write("# A").needs == []
    with pytest.raises(PageError, match=r"page\.md:1: expected front matter"):
        assert write("--- needs: kexp-backtranslation ---\n# A").needs


# --- generated pages --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(catalog: Catalog) -> dict[str, str]:
    return runpy.run_path(str(DOCS / "site_pages.py"))["pages"](catalog, {"plugins/objective.md"})


def test_every_component_has_a_page_with_all_its_options(generated: dict[str, str], catalog: Catalog) -> None:
    for entry in catalog.entries():
        if entry.owner.package not in ("kexp", "kexp-korean", "kexp-backtranslation", "kexp-ray", "kexp-slurm"):
            assert f"components/{entry.kind}/{entry.name}.md" not in generated
            continue
        page = shown(generated[f"components/{entry.kind}/{entry.name}.md"])
        assert f"of {entry.owner}." in page
        for option in options_of(entry):
            assert f"| <code>{option.name}</code> |" in page
            assert " ".join(option.description.replace("`", "").split()) in re.sub("</?code>", "", page)
        assert f"[{entry.name}]({entry.name}.md)" in generated[f"components/{entry.kind}/index.md"]
        assert f"]({entry.kind}/{entry.name}.md)" in generated["components/index.md"]
    # Objectives that others may hold are losses per row.
    assert '<code>supervised.use = "focal"</code>' in generated["components/objective/focal.md"]
    assert (
        "Inside another" not in generated["components/objective/uda.md"] + generated["components/objective/r-drop.md"]
    )
    assert "../../plugins/objective.md" in generated["components/objective/index.md"]
    assert "../../plugins/metric.md" not in generated["components/metric/index.md"]


def test_every_objective_has_a_worked_example(generated: dict[str, str], catalog: Catalog) -> None:
    written = {
        path.relative_to(DOCS / "examples").with_suffix("").as_posix() for path in (DOCS / "examples").rglob("*.md")
    }
    made = {name.removeprefix("components/").removesuffix(".md") for name in generated}
    objectives = {f"objective/{entry.name}" for entry in catalog.entries("objective")} & made
    assert written == objectives
    for name in written:
        page = generated[f"components/{name}.md"]
        assert page.endswith((DOCS / "examples" / f"{name}.md").read_text("utf-8"))
        assert f'use = "{name.partition("/")[2]}"' in page or name == "objective/cross-entropy"


def shown(markdown: str) -> str:
    """Return Markdown as it is read: without the signs that keep others from being taken for markup."""
    return html.unescape(re.sub(r"\\(.)", r"\1", markdown))


@pytest.mark.parametrize("kind", KINDS)
def test_guides_show_what_kexp_plugins_new_writes(kind: str, write: Callable[[str], Page]) -> None:
    # What is written is executed by tests/test_scaffold.py.
    page = write(runpy.run_path(str(DOCS / "site_kinds.py"))["guides"]()[f"plugins/{kind}.md"])
    content = package_files("kexp-mine", [kind])
    shown = {block.title: block.text for block in page.blocks if block.language == "python"}
    assert len(shown) == 2
    assert {title: text.strip() for title, text in shown.items()} == {title: content[title].strip() for title in shown}
    whole = tomllib.loads(content["experiments/mine.toml"])
    for block in page.blocks:
        if block.language == "toml":
            assert nested.merge(whole, tomllib.loads(block.text)) == whole


def test_lines_that_name_a_component_are_right(generated: dict[str, str], catalog: Catalog, tmp_path: Path) -> None:
    search = {"trials": 1, "space": {"training.epochs": {"low": 1, "high": 2}}}
    # What a component needs beside the line that names it.
    wanting = re.compile(
        "is required|give either id|no file is named|names no layer|1 seeds of a trial cannot give a p-value"
        # What is for other tasks than that of a spec which names none.
        '|(objective|metric) "[^"]+" is not defined for task "single-label"'
    )
    lines = []
    for text in generated.values():
        (tmp_path / "page.md").write_text(text, "utf-8")
        lines += [
            line
            for block in Page(tmp_path / "page.md").blocks
            for line in block.text.splitlines()
            if block.language == "toml" and block.title is None
        ]
    assert len(lines) > 70
    for line in lines:
        part = tomllib.loads(line)
        table = nested.merge(PART_OF, part | ({"search": search | part["search"]} if "search" in part else {}))
        _, problems = validate(table, catalog)
        assert [str(problem) for problem in problems if not wanting.match(problem.message)] == [], line


def test_every_section_and_key_of_a_spec_is_described(generated: dict[str, str]) -> None:
    page = shown(generated["reference/spec.md"])
    for name, field in Spec.model_fields.items():
        section = get_args(field.annotation)[0] if name in ("search", "pretraining", "execution") else field.annotation
        if isinstance(section, type) and issubclass(section, Section) and not issubclass(section, Options):
            assert f"## `[{name}]`" in page
            for key, below in section.model_fields.items():
                described = page.split(f"### <code>{name}.{key}</code> {{#{name}.{key}}}\n")[1].split("\n#")[0]
                assert str(below.description or "") in re.sub("</?code>", "", described), key
        assert f"<code>{name}</code>" in page
    assert "### `[search.space.KEY]`" in page
    for key in ("extends", "variants"):
        assert f"<code>{key}</code>" in page


def test_every_command_and_option_is_described(generated: dict[str, str]) -> None:
    page = shown(generated["reference/commands.md"])
    for words in (["run"], ["plugins", "show"], ["runs", "prune"]):
        told = subprocess.run(
            [sys.executable, "-m", "kexp", *words, "--help"], capture_output=True, text=True, check=True
        )
        section = page.split(f"## kexp {' '.join(words)}\n")[1].split("\n## ")[0]
        for option in set(re.findall(r"--[a-z-]+", told.stdout)) - {"--help"}:
            assert option in section, (words, option)


def test_half_a_reference_is_not_built(needs: Callable[[bool, str], None], tmp_path: Path) -> None:
    needs(importlib.util.find_spec("mkdocs") is not None, "pip install 'kexp[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"KEXP_DISABLE_PLUGINS": "kexp-korean", "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment)
    assert built.returncode == 1
    # Only where all four are installed can one be missed by being disabled.
    assert re.search("plugins are missing: .*kexp-korean|is not installed", built.stderr), built.stderr
    assert not (tmp_path / "site").exists()


def made(folder: Path, *, installed: bool) -> list[str]:
    """Return what `make docs` calls, where what it needs is installed or not."""
    log = folder / "calls"
    for name in ("python", "pip", "mkdocs"):
        status = 1 if name == "python" and not installed else 0
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\nexit {status}\n', "utf-8")
        (folder / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["make", "docs"], cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    return log.read_text("utf-8").splitlines()


def test_make_docs_installs_what_it_needs_if_it_is_missing(needs: Callable[[bool, str], None], tmp_path: Path) -> None:
    needs(shutil.which("make") is not None, "make is not installed")
    tried, installs, builds = made(tmp_path, installed=False)
    assert tried.startswith("python -c import ")
    assert builds == "mkdocs build --strict"
    for package in set(runpy.run_path(str(DOCS / "site_pages.py"))["PACKAGES"]) - {"kexp"}:
        assert f"-e plugins/{package}" in installs
        assert package.replace("-", "_") in tried
    assert "-e .[docs]" in installs
    (tmp_path / "calls").unlink()
    assert made(tmp_path, installed=True) == [tried, builds]


# --- pages that list what is there ------------------------------------------------------------------------------------


def test_every_hook_is_documented_with_its_arguments() -> None:
    headings = [heading for heading in Page(DOCS / "plugins/hooks.md").headings() if heading.startswith("kexp_")]
    hooks = [
        f"{name}({', '.join(inspect.signature(hook).parameters)})"
        for name, hook in vars(hookspecs).items()
        if name.startswith("kexp_")
    ]
    assert sorted(headings) == sorted(hooks)


def test_every_field_of_a_run_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "plugins/hooks.md").read_text("utf-8"), re.MULTILINE)
    fields = [field.name for field in dataclasses.fields(RunIdentity)]
    assert [row for row in rows if row in fields] == fields


def test_every_suite_and_its_variables_are_documented() -> None:
    text = (DOCS / "plugins/testing.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+Contract)` \|(.*)\|$", text, re.MULTILINE))
    suites = {name: cls for name, cls in vars(kexp.testing).items() if name.endswith("Contract")}
    del suites["OptionsContract"]
    assert rows.keys() == suites.keys()
    own = {"base", "examples", "component"}
    for name, suite in suites.items():
        assert set(re.findall(r"`(\w+)`", rows[name])) == inspect.get_annotations(suite).keys() - own, name
    offered = {name for name in kexp.testing.__all__ if not name.endswith("Contract")}
    assert offered <= set(re.findall(r"`(\w+)", text))
