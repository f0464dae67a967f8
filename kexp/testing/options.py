"""What every component has to get right, whatever its kind: specs, schemas and other processes handle its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter, ValidationError

from kexp import contracts
from kexp.catalog import Catalog, Entry, Owner, load_catalog
from kexp.errors import Problem
from kexp.hookspecs import HOOK_OF_KIND, KINDS
from kexp.options import Options
from kexp.plan.schema import options_of
from kexp.spec import toml
from kexp.spec.parts import sections_in
from kexp.testing.subprocess_checks import send

PATIENCE = 2.0
"""Seconds of computing within which a component has to check itself, imports included."""


class OptionsContract:
    r"""Promises of every component; the suites of the kinds add theirs.

    ``examples`` are options that ``kexp check`` accepts, best the defaults and one with every option changed; each test
    runs with each of them. Where an example needs files, it comes from a fixture, and ``component`` names its class::

        from pathlib import Path

        import pytest
        from kexp.testing import AugmenterContract, DatasetContract
        from kexp_shout import Reviews, Shout


        class TestShout(AugmenterContract):
            examples = (Shout(), Shout(times=3))


        class TestReviews(DatasetContract):
            component = Reviews

            @pytest.fixture
            def options(self, tmp_path: Path) -> Reviews:
                rows = [f"{number}번 글,{number % 2}" for number in range(60)]
                (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]), "utf-8")
                return Reviews(path=tmp_path)

    The component stands in a module that can be imported, not in the test's file: it travels to other processes.
    """

    examples: ClassVar[Sequence[Options]] = ()
    component: ClassVar[type[Options] | None] = None
    base: ClassVar[type[Options]] = Options
    """Base of the kind's options."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test with each example."""
        assert isinstance(self.examples, tuple | list), f"{type(self).__name__}.examples: expected a tuple of options"
        if "options" in metafunc.fixturenames and self.examples:
            metafunc.parametrize("options", self.examples, ids=[example_name(example) for example in self.examples])

    @pytest.fixture
    def options(self) -> Options:
        """Return the example; suites with ``examples`` do not use this fixture."""
        pytest.fail(f"{type(self).__name__} has neither examples nor a fixture named options")

    def test_extends_the_base_of_its_kind(self, options: Options) -> None:
        """It extends the base of its kind."""
        assert isinstance(options, self.base), f"{type(options).__name__} is not a {self.base.__name__}"
        assert self.component is None or isinstance(options, self.component)

    def test_is_frozen_and_closed(self, options: Options) -> None:
        """Neither it nor a table in it can be changed, or takes an option that it does not know."""
        for place, section in sections_in("options", options):
            with pytest.raises(ValidationError):
                setattr(section, next(iter(type(section).model_fields), "anything"), None)
            with pytest.raises(ValidationError) as caught:
                type(section).model_validate({**dict(section), "no_such_option": 1})
            refused = {error["loc"][-1] for error in caught.value.errors() if error["type"] == "extra_forbidden"}
            assert refused == {"no_such_option"}, place

    def test_defaults_are_valid(self, options: Options) -> None:
        """Where every option has a default, the component can be named without any."""
        if not any(field.is_required() for field in type(options).model_fields.values()):
            type(options).model_validate({}, context={"catalog": catalog_with(options)})

    def test_round_trips_through_toml(self, options: Options, tmp_path: Path) -> None:
        """Written as TOML and read again it is the same, with all components in it."""
        context, field = {"catalog": catalog_with(options), "secrets": True}, field_of(options.kind)
        table = field.dump_python(options, mode="json", context=context)
        (tmp_path / "spec.toml").write_text(toml.dumps({"component": table}), encoding="utf-8")
        found = field.validate_python(toml.read(tmp_path / "spec.toml")["component"], context=context)
        assert found == options
        # Options that were read from a file can be pickled too.
        assert send(found).returned == options

    def test_is_described(self, options: Options) -> None:
        """The docstring begins with a sentence, and every option says what it does."""
        cls = type(options)
        entry = Entry(options.kind, cls.__name__, cls, Owner("", ""))
        assert cls.__doc__, f"{cls.__name__} has no docstring"
        assert entry.summary.endswith((".", ",", ";")), f"not the beginning of a sentence: {entry.summary}"
        assert entry.summary[:1] == entry.summary[:1].upper(), entry.summary
        assert [option.name for option in options_of(entry)] == list(cls.model_fields)
        schema = cls.model_json_schema()
        for table in (schema, *schema.get("$defs", {}).values()):
            silent = [name for name, field in table.get("properties", {}).items() if not field.get("description")]
            assert not silent, f"no description: {', '.join(silent)}"

    def test_has_no_problems(self, options: Options) -> None:
        """An example is one that can be used; problems and warnings are ``Problem``s of its options."""
        for place, section in sections_in(type(options).__name__, options):
            assert [str(problem.under(place)) for problem in section.problems()] == []
            for warning in section.warnings():
                assert isinstance(warning, Problem)
                assert warning.path.partition(".")[0] in {"", *type(section).model_fields}

    def test_can_be_pickled_and_checks_quickly(self, options: Options) -> None:
        """Another process can unpickle and check it quickly, without importing torch or transformers."""
        arrival = send(options)
        assert not arrival.error, f"it cannot be used in another process: {arrival.error}"
        assert not arrival.loaded, f"its module or its checks import {', '.join(arrival.loaded)}"
        assert arrival.returned == options
        assert arrival.seconds < PATIENCE, "problems and warnings are computed while a user waits"


def catalog_with(options: Options) -> Catalog:
    """Return what is installed, and beside it the components of an example whose package is not."""
    installed = _installed()
    registered = dict(installed.registered)
    known = {entry.options for entry in installed.entries()}
    for _, part in sections_in("", options):
        if isinstance(part, Options) and type(part) not in known:
            cls = type(part)
            owner = Owner(cls.__module__.partition(".")[0], "not installed")
            registered[part.kind, cls.__name__] = [Entry(part.kind, cls.__name__, cls, owner)]
    return Catalog(registered, installed.broken)


@cache
def _installed() -> Catalog:
    return load_catalog()


def field_of(kind: str) -> TypeAdapter[Options]:
    """Return what validates and serialises a component of a kind in a spec."""
    annotation: Any = getattr(contracts, f"Any{KINDS[kind].__name__.removesuffix('Options')}")
    return TypeAdapter(annotation)


def untested(plugin: object, tests: Mapping[str, object]) -> list[str]:
    """Return the components of a plugin that no suite of a module tests.

    ::

        def test_every_component_has_a_suite() -> None:
            assert untested(kexp_shout.plugin, globals()) == []

    Only suites of a kind count, and of those the ones that pytest collects: their name begins with ``Test``.
    """
    suites = [
        suite
        for name, suite in tests.items()
        if name.startswith("Test") and isinstance(suite, type) and issubclass(suite, OptionsContract)
        if suite.base is not Options
    ]
    tested = {suite.component for suite in suites} | {type(one) for suite in suites for one in suite.examples}
    return [
        f'{kind} "{name}"'
        for kind, hook in HOOK_OF_KIND.items()
        if hasattr(plugin, hook)
        for name, component in getattr(plugin, hook)().items()
        if component not in tested
    ]


def example_name(example: Options) -> str:
    """Name an example by the options that are set."""
    given = ", ".join(f"{name}={getattr(example, name)}" for name in sorted(example.model_fields_set))
    return f"{type(example).__name__}({given[:60]})"
