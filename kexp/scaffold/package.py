"""The files of a new package, out of templates that are a package themselves, and how they are written."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import kexp
from kexp.catalog import Catalog
from kexp.errors import KexpError, did_you_mean
from kexp.names import file_name_problem
from kexp.sample_reviews import korean_reviews
from kexp.scaffold.kinds import KINDS, REVIEWS, component, searches, spec_parts, whole_spec
from kexp.spec import toml

TEMPLATE = files("kexp.scaffold").joinpath("template")
LABELS = ("나쁨", "좋음")


def new_package(package: str, kinds: Sequence[str], parent: Path, catalog: Catalog, commands: Collection[str]) -> Path:
    """Write a package into a new folder of its name under ``parent`` and return the folder.

    Raises ``KexpError`` for names that cannot be a package's, that something installed has, or that a component of the
    catalog or a command has, for kinds that there are not, and where the folder exists or cannot be made.
    """
    check_name(package)
    content = package_files(package, kinds)
    check_components(package, kinds, catalog, commands)
    folder = parent / package
    if folder.exists():
        raise KexpError(f"{folder} exists; choose another name, or another place with --output")
    try:
        for path, text in content.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise KexpError(f"{folder} cannot be made: {error.strerror}; choose another place with --output") from None
    return folder


def check_name(package: str) -> None:
    """Raise ``KexpError`` for a name that cannot be a package's, or that is taken by something installed."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*", package) or keyword.iskeyword(package):
        raise KexpError(
            f'"{package}" cannot name a package; expected small letters, digits and hyphens, such as kexp-dialects'
        )
    if problem := file_name_problem(package):
        raise KexpError(f'"{package}" cannot name a package, which is a folder; expected {problem}')
    try:
        distribution(package)
    except PackageNotFoundError:
        if find_spec(module_of(package)) is None:
            return
    raise KexpError(f'"{package}" is the name of something that is installed; choose another, such as kexp-{package}')


def check_components(package: str, kinds: Sequence[str], catalog: Catalog, commands: Collection[str]) -> None:
    """Raise ``KexpError`` for the name of an installed component or command: neither could be used."""
    for kind in kinds:
        name = component(kind, short(package))
        for entry in catalog.registered.get((kind, name), ()):
            raise KexpError(f'{kind} "{name}" is there already, from {entry.owner}; choose another name')
        if kind == "command" and name in commands:
            raise KexpError(f'kexp has a command "{name}" already; choose another name')


def short(package: str) -> str:
    """Return the name that the package gives its components."""
    return package.removeprefix("kexp-")


def module_of(package: str) -> str:
    """Return the name by which the package is imported."""
    return package.replace("-", "_")


def package_files(package: str, kinds: Sequence[str]) -> dict[str, str]:
    """Return the text of every file of a package, by its path; raises ``KexpError`` for an unknown kind."""
    for kind in kinds:
        if kind not in KINDS:
            raise KexpError(f'unknown kind "{kind}"; {did_you_mean(kind, KINDS)}')
    kinds = [kind for kind in KINDS if kind in kinds]
    name, module = short(package), module_of(package)
    content = {f"{module}/__init__.py": f'"""What {package} brings to kexp."""\n', f"{module}/py.typed": ""}
    for kind in kinds:
        file = kind.replace("-", "_")
        for path in (f"my_package/{file}.py", f"tests/test_{file}.py"):
            content[path.replace("my_package", module)] = _renamed(_template(path), package)
    return content | _generated(package, kinds) | dict(_experiment(name, kinds))


def _template(path: str) -> str:
    return TEMPLATE.joinpath(path).read_text("utf-8")


def _renamed(text: str, package: str) -> str:
    """Give a template's module, classes and components the names of the package."""
    name = short(package)
    camel = "".join(part.capitalize() for part in name.split("-"))
    words = set(re.findall(r"\w+", text))
    taken = words & {word.replace("My", camel, 1) for word in words if re.match(r"My[A-Z]", word)}
    if taken:
        raise KexpError(f'"{package}" would have two classes of the name {min(taken)}; choose another name')
    text = re.sub(r"\b(Test)?My(?=[A-Z])", rf"\g<1>{camel}", text)
    text = text.replace('"my-name"', f'"{name}"').replace('"my_name"', f'"{component("metric", name)}"')
    return text.replace("my_package", module_of(package))


def _sentence(kinds: Sequence[str]) -> str:
    """Return the kinds as the beginning of a sentence."""
    *others, last = (KINDS[kind].title for kind in kinds)
    sentence = f"{', '.join(others)} and {last}" if others else last
    return sentence[0].upper() + sentence[1:]


def _generated(package: str, kinds: Sequence[str]) -> dict[str, str]:
    """Return the files that speak of all the package's kinds."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    name = short(package)
    values = {
        "package": package,
        "name": name,
        "module": module_of(package),
        "kinds": kinds,
        "sentence": _sentence(kinds),
        "titles": {kind: KINDS[kind].title for kind in kinds},
        "verb": "tune" if searches(kinds) else "run",
        "parts": toml.dumps(spec_parts(kinds, name)).strip(),
        "used": [f"{kind} {component(kind, name)}" for kind in kinds if KINDS[kind].place],
        "kexp_version": kexp.__version__,
    }
    places = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "test_experiment.py": "tests/test_experiment.py",
        "tests.yml": ".github/workflows/tests.yml",
        "gitignore": ".gitignore",
    }
    return {path: environment.from_string(_template(f"{file}.j2")).render(values) for file, path in places.items()}


def _experiment(name: str, kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the spec that uses the components, and the reviews that it reads."""
    head = "# Tries what this package brings, in some seconds. The reviews are synthetic.\n"
    yield f"experiments/{name}.toml", head + toml.dumps(whole_spec(kinds, name))
    texts, labels = korean_reviews(240)
    rows = [(text, LABELS[label]) for text, label in zip(texts, labels, strict=True)]
    if "dataset" not in kinds:
        yield f"experiments/{REVIEWS}.csv", _lines(["text,label", *(f'"{text}",{label}' for text, label in rows)])
        return
    for label in LABELS:
        yield f"experiments/{REVIEWS}/{label}.txt", _lines([text for text, own in rows if own == label])


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
