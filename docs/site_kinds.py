"""The pages about writing a component of a kind: what ``kexp plugins new`` writes, and what the kind's suite tests."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import kexp.testing
from kexp import hookspecs
from kexp.scaffold.kinds import KINDS, searches, spec_parts
from kexp.scaffold.package import module_of, package_files, short
from kexp.spec import toml
from kexp.testing import OptionsContract

PACKAGE = "kexp-mine"


def guides() -> dict[str, str]:
    """Return a page for everything that a plugin can bring, by its place below ``docs``."""
    return {f"plugins/{kind}.md": "\n\n".join(part.strip("\n") for part in _guide(kind)) + "\n" for kind in KINDS}


def title(kind: str) -> str:
    """Return the title of a kind's page: An augmenter."""
    name = KINDS[kind].title
    return name[0].upper() + name[1:]


def _guide(kind: str) -> Iterator[str]:
    content = package_files(PACKAGE, [kind])
    module = f"{module_of(PACKAGE)}/{kind.replace('-', '_')}.py"
    test = f"tests/test_{kind.replace('-', '_')}.py"
    yield f"# {title(kind)}"
    if kind in hookspecs.KINDS:
        base = hookspecs.KINDS[kind]
        promise = (inspect.getdoc(inspect.getmodule(base)) or "").partition("\n")[0]
        yield f"{promise} [Its contract][{base.__module__}] says all of it."
    else:
        yield "What is called when, and with which arguments, stands on the page of the [hooks](hooks.md)."
    yield (
        f"`kexp plugins new {PACKAGE} --kind {kind}` writes a [package](index.md) with this module. It works as it "
        "is, and is there to be changed:"
    )
    yield _file("python", module, content[module])
    parts = toml.dumps(spec_parts([kind], short(PACKAGE)))
    if parts:
        yield "## In a spec\n\nWhat the module registers is named like any other component:"
        yield f"```toml\n{parts}```"
        if kind == "translator":
            yield "Translators are used by back-translation, which is the package kexp-backtranslation."
    verb = "tune" if searches([kind]) else "run"
    yield (
        f"The package has a spec that uses it, `experiments/{short(PACKAGE)}.toml`, with synthetic reviews beside it: "
        f"`kexp {verb} experiments/{short(PACKAGE)}.toml` takes some seconds."
    )
    yield "## Tests"
    yield _file("python", test, content[test])
    if kind in hookspecs.KINDS:
        yield from _suite(kind)


def _file(language: str, path: str, text: str) -> str:
    return f'```{language} title="{path}"\n{text}```'


def _suite(kind: str) -> Iterator[str]:
    """Yield what the tests of the kind's suite say of themselves."""
    suites = [found for found in vars(kexp.testing).values() if inspect.isclass(found)]
    suite = {found.base: found for found in suites if issubclass(found, OptionsContract)}[hookspecs.KINDS[kind]]
    yield f"{(inspect.getdoc(suite) or '').partition(chr(10))[0]} [`{suite.__name__}`](testing.md) tests:"
    lines = [
        (inspect.getdoc(test) or "").partition("\n")[0]
        for base in suite.__mro__
        for name, test in vars(base).items()
        if name.startswith("test_")
    ]
    yield "\n".join(f"- {line}" for line in lines)
