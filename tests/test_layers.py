"""Imports run one way, and commands load no more than they need."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kexp"
HEAVY = {"torch", "transformers", "datasets", "accelerate", "sklearn", "scipy", "pandas", "numpy"}
HEAVY |= {"optuna", "plotly", "psutil", "sqlalchemy", "ray", "submitit"}

# A room may import from the rooms of the lines above its own, and from itself; docs/design.md shows this table.
LAYERS = (
    (
        "errors",
        "seeds",
        "repeats",
        "background",
        "atomic_files",
        "redaction",
        "settings",
        "hangul",
        "lists_of_one",
        "doing",
        "validation_messages",
        "names",
        "nested",
        "sample_reviews",
    ),
    (
        "korean",
        "options",
        "packages",
        "tensor_files",
        "files",
        "devices",
        "distributed",
        "hub",
        "weights",
        "weights_licence",
        "model_files",
        "work_lock",
    ),
    ("contracts", "launchers", "model_tokenizer", "process_group", "shared_folder", "trained_weights"),
    ("pretrained", "word_augmenter", "host_batches", "cross_entropy", "moving_average", "hookspecs", "spec"),
    ("semi_supervised",),
    ("data", "model"),
    ("evaluate",),
    ("train", "report"),
    ("builtin", "plugin_checks"),
    ("catalog",),
    ("plan", "results", "scaffold", "pretraining"),
    ("experiment",),
    ("inference", "search", "data_card", "init"),
    ("trained", "ui", "testing", "publish"),
    ("serve",),
    ("cli",),
    ("__main__", "api"),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}


def home(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def nodes(path: Path) -> Iterator[ast.AST]:
    """Yield the nodes of a module; of kexp itself without the names that it imports when they are used."""
    tree = ast.parse(path.read_text("utf-8"))
    if path == PACKAGE / "__init__.py":
        tree.body = [
            one for one in tree.body if not (isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING")
        ]
    return ast.walk(tree)


def imported(path: Path) -> set[str]:
    """Return the parts of kexp that a module imports anywhere, inside functions too."""
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "kexp":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("kexp.")}
    return names & set(LAYER)


# What `kexp plugins new` copies belongs to another package.
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "template" not in path.parts]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    own = home(path)
    if own == "__init__":
        assert imported(path) == set()
        return
    for name in imported(path) - {own}:
        assert LAYER[name] < LAYER[own], f"{own} imports {name}"


def test_the_design_page_shows_the_table() -> None:
    assert "\n".join(" ".join(names) for names in LAYERS) in (PACKAGE.parent / "docs" / "design.md").read_text("utf-8")


def imported_files(path: Path) -> set[Path]:
    """Return the files of kexp that a module imports, in functions and for type checking too."""
    files: set[Path | None] = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            files |= {module(f"{node.module}.{alias.name}") or module(node.module) for alias in node.names}
        if isinstance(node, ast.Import):
            files |= {module(alias.name) for alias in node.names}
    return {file for file in files if file is not None}


def module(name: str) -> Path | None:
    """Return the file of a module of kexp; None for other names."""
    place = PACKAGE.parent.joinpath(*name.split("."))
    found = [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return found[0] if found and name.partition(".")[0] == "kexp" else None


def test_no_file_imports_in_a_circle() -> None:
    graph = {path: imported_files(path) for path in MODULES}
    assert PACKAGE / "catalog.py" in graph[PACKAGE / "cli/plugin_commands.py"]
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(str(path.relative_to(PACKAGE)) for path in error.args[1]))


@pytest.mark.parametrize("heart", ["data", "train", "report"])
def test_data_training_and_report_do_not_know_each_other(heart: str) -> None:
    others = {"data", "train", "report"} - {heart}
    for path in (PACKAGE / heart).rglob("*.py"):
        assert not imported(path) & others, path


PLUGINS = [
    *sorted(PACKAGE.parent.glob("plugins/*/kexp_*/**/*.py")),
    *sorted(PACKAGE.glob("scaffold/template/my_package/*.py")),
]
PUBLIC = {"contracts", "files", "korean", "testing", *(path.stem for path in PACKAGE.glob("*.py"))}


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_plugins_import_public_modules_alone(path: Path) -> None:
    """Public are the modules at the top of kexp, ``kexp.contracts``, ``kexp.files``, ``kexp.korean``, ``kexp.testing``."""
    assert imported(path) <= PUBLIC


def loaded_by(*arguments: str) -> set[str]:
    script = (
        "import sys\n"
        "from kexp.cli import app\n"
        f"sys.argv = ['kexp', *{list(arguments)!r}]\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('LOADED', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stderr.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["check", "experiments/dialect.toml"],
        ["plugins", "list"],
        ["plugins", "show", "objective", "focal"],
        ["schema"],
        ["runs"],
    ],
    ids=" ".join,
)
def test_commands_load_no_more_than_they_need(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGE.parent)
    assert not loaded_by(*arguments) & HEAVY


def test_help_loads_no_component(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins name their components in hooks, which import them there; help asks for commands alone."""
    script = (
        "import sys\n"
        "from kexp.cli import app\n"
        "sys.argv = ['kexp', '--help']\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('LOADED', *sys.modules, file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(result.stderr.rpartition("LOADED")[2].split())
    assert {
        "kexp.cli",
        "kexp_korean.plugin",
        "kexp_backtranslation.plugin",
        "kexp_ray.plugin",
        "kexp_slurm.plugin",
    } <= loaded
    components = {
        "kexp.builtin",
        "kexp_korean.synonyms",
        "kexp_backtranslation.augmenter",
        "kexp_ray.options",
        "kexp_slurm.options",
    }
    assert not loaded & components
