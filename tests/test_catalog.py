from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kexp import catalog as module
from kexp import contracts
from kexp.catalog import Catalog, UnknownComponent, load_catalog
from kexp.errors import CHANGES
from kexp.options import component_title

PLUGIN = """
from kexp import hookimpl
from kexp.contracts import SamplerOptions

class Backwards(SamplerOptions):
    "Visit the rows from the last to the first."
    def order(self, labels, generator):
        import numpy as np
        return np.arange(len(labels))[::-1]

@hookimpl
def kexp_samplers():
    return NAMES
"""


METRIC = """
import kexp
from kexp.contracts import MetricOptions

class M(MetricOptions):
    "Measure."
    def build(self, {parameters}):
        return lambda labels, probabilities: 0.0

@kexp.hookimpl
def kexp_metrics():
    return {{"m": M}}
"""
OBJECTIVE = """
import kexp
from typing import ClassVar
from kexp.contracts import ObjectiveOptions

class O(ObjectiveOptions):
    "Lose."
    {body}
    def build(self, context):
        raise NotImplementedError

@kexp.hookimpl
def kexp_objectives():
    return {{"o": O}}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that installs modules as plugins and loads the catalog."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(**sources: str) -> Catalog:
        points = []
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
            sys.modules.pop(name, None)
            points.append(EntryPoint(name, name, "kexp"))
        monkeypatch.setattr(module, "entry_points", lambda group: points)
        return load_catalog()

    return load


def test_plugin_adds_a_component_with_its_owner(install) -> None:
    catalog = install(plugin_a=PLUGIN.replace("NAMES", '{"backwards": Backwards}'))
    entry = catalog.find("sampler", "backwards")
    assert entry.owner.package == "plugin_a"
    assert entry.summary == "Visit the rows from the last to the first."
    assert catalog.name_of(entry.options) == "backwards"
    assert catalog.find("sampler", "random").owner.package == "kexp"
    assert catalog.broken == []


def test_two_owners_of_a_name_are_both_named_and_neither_wins(install) -> None:
    source = PLUGIN.replace("NAMES", '{"backwards": Backwards}')
    catalog = install(plugin_a=source, plugin_b=source)
    with pytest.raises(
        UnknownComponent, match=r'sampler "backwards" is provided twice, by plugin_[ab].* and plugin_[ab]'
    ):
        catalog.find("sampler", "backwards")
    assert catalog.find("sampler", "random")


def test_name_claimed_twice_is_told_with_every_way_out(install, tmp_path: Path) -> None:
    source = PLUGIN.replace("NAMES", '{"backwards": Backwards}')
    catalog = install(plugin_a=source, plugin_b=source)
    with pytest.raises(UnknownComponent) as caught:
        catalog.find("sampler", "backwards")
    owners = [str(entry.owner) for entry in catalog.registered["sampler", "backwards"]]
    first, second = (owner.partition(" ")[0] for owner in owners)
    assert str(caught.value) == (
        f'sampler "backwards" is provided twice, by {owners[0]} and {owners[1]}; uninstall {first} or {second}, or leave '
        f'one out with [plugins] block = ["{second}"] or KEXP_DISABLE_PLUGINS={second}'
    )
    (tmp_path / "mine.py").write_text(PLUGIN.replace("NAMES", '{"random": Backwards}'))
    install()
    catalog = load_catalog(local=[tmp_path / "mine.py"])
    with pytest.raises(UnknownComponent, match=r"; rename it in mine\.py$"):
        catalog.find("sampler", "random")


def test_plugin_cannot_replace_a_built_in_silently(install) -> None:
    catalog = install(plugin_a=PLUGIN.replace("NAMES", '{"random": Backwards}'))
    with pytest.raises(UnknownComponent, match=r"is provided twice, by plugin_a .* and kexp "):
        catalog.find("sampler", "random")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        (
            "from kexp import hookimpl\n@hookimpl\ndef kexp_sampler():\n    return {}",
            'kexp has no hook kexp_sampler; did you mean "kexp_samplers"?',
        ),
        ("def kexp_samplers():\n    return {}", "has no hooks; functions that are hooks are marked with kexp.hookimpl"),
        ("KEXP_API = '1'", "KEXP_API is '1', expected a whole number such as 3"),
        (
            "from kexp.contracts import POOL",
            f"cannot import name 'POOL' from 'kexp.contracts' ({contracts.__file__}); {CHANGES}",
        ),
        (
            "from kexp import contracts\ncontracts.POOL",
            f"AttributeError: module 'kexp.contracts' has no attribute 'POOL'; {CHANGES}",
        ),
        ("import kexp.data.files", f"ModuleNotFoundError: No module named 'kexp.data.files'; {CHANGES}"),
        (
            METRIC.format(parameters="names"),
            f'kexp_metrics: metric "m": build takes (context), found build(names); {CHANGES}',
        ),
        (METRIC.format(parameters=""), f'kexp_metrics: metric "m": build takes (context), found build(); {CHANGES}'),
        (
            OBJECTIVE.format(body="uses_pool: ClassVar[bool] = True"),
            f'kexp_objectives: objective "o": uses_pool is now uses_unlabelled; {CHANGES}',
        ),
        (
            OBJECTIVE.format(body="def check_labels(self, labels): return ()"),
            f'kexp_objectives: objective "o": check_labels is now label_problems; {CHANGES}',
        ),
        (PLUGIN.replace("NAMES", "[Backwards]"), "kexp_samplers: expected a mapping from names, found list"),
        (
            PLUGIN.replace("NAMES", "{3: Backwards}"),
            "kexp_samplers: expected a name of letters, digits, '-', '_' and '.', found 3",
        ),
        (PLUGIN.replace("NAMES", "{'a b': Backwards}"), "found 'a b'"),
        (
            PLUGIN.replace("NAMES", '{"x": type("X", (Backwards,), {"__annotations__": {"use": int}, "use": 1})}'),
            'sampler "x" has an option "use", which is the key that names a component; rename it',
        ),
        (
            "import kexp\n@kexp.hookimpl\ndef kexp_commands():\n    return {'go': 3}",
            'kexp_commands: "go": expected a class or function, found 3',
        ),
        (PLUGIN.replace("NAMES", "1 / 0"), "kexp_samplers: ZeroDivisionError: division by zero"),
        (PLUGIN.replace("NAMES", '{"x": dict}'), 'sampler "x" must be a subclass of SamplerOptions'),
        (
            "from kexp import hookimpl\nfrom kexp.contracts import SamplerOptions\n"
            "class Half(SamplerOptions):\n    'Half.'\n@hookimpl\ndef kexp_samplers():\n    return {'half': Half}",
            'sampler "half" does not define order',
        ),
    ],
)
def test_broken_plugin_is_collected_and_the_others_load(install, source: str, reason: str) -> None:
    catalog = install(plugin_a=source, plugin_b=PLUGIN.replace("NAMES", '{"backwards": Backwards}'))
    assert len(catalog.broken) == 1
    assert catalog.broken[0].name == "plugin_a"
    assert reason in catalog.broken[0].reason
    assert catalog.find("sampler", "backwards")


@pytest.mark.parametrize("parameters", ["context", "_context", "context, more=1"])
def test_build_takes_one_context(install, parameters: str) -> None:
    catalog = install(plugin_a=METRIC.format(parameters=parameters))
    assert catalog.broken == []
    assert component_title(catalog.find("metric", "m").options()) == 'metric "m" of plugin_a unknown version'


def test_a_class_that_is_not_registered_has_no_name_of_its_base(catalog: Catalog) -> None:
    class Mine(catalog.find("metric", "accuracy").options):  # type: ignore[misc]
        """Measure."""

    assert component_title(Mine()) == f"metric {__name__}.{Mine.__qualname__}"


def test_unknown_name_mentions_the_plugins_that_do_not_load(install) -> None:
    catalog = install(plugin_a="raise RuntimeError('boom')")
    with pytest.raises(UnknownComponent) as caught:
        catalog.find("sampler", "backwards")
    assert str(caught.value) == (
        'unknown sampler "backwards"; known: balanced, random, sequential '
        "(could not be loaded: plugin_a unknown version; see `kexp plugins list`)"
    )


def test_every_built_in_says_what_it_is(catalog: Catalog) -> None:
    assert catalog.broken == []
    for entry in catalog.entries():
        assert entry.summary.endswith("."), entry.name
        for name, field in entry.options.model_fields.items():
            assert field.description, f"{entry.kind} {entry.name}: {name}"


def test_plugin_with_an_option_that_pydantic_cannot_read_is_broken(install) -> None:
    source = PLUGIN.replace('    "Visit', '    weights: "Unread" = None\n    "Visit').replace(
        "class Backwards", "class Unread:\n    pass\n\nclass Backwards"
    )
    catalog = install(plugin_a=source.replace("NAMES", '{"backwards": Backwards}'))
    (broken,) = catalog.broken
    assert broken.owner.package == "plugin_a"
    assert "Unable to generate pydantic-core schema" in broken.reason
    assert catalog.find("sampler", "random").owner.package == "kexp"


def test_commands_are_collected_without_components(install, monkeypatch: pytest.MonkeyPatch) -> None:
    source = PLUGIN.replace("NAMES", "1 / 0") + "\n@hookimpl\ndef kexp_commands():\n    return {'count': print}\n"
    install(plugin_a=source)
    found = module.load_commands()
    assert [(command.name, command.owner.package) for command in found.commands] == [("count", "plugin_a")]
    assert (found.registered, found.broken) == ({}, [])
    monkeypatch.setenv("KEXP_DISABLE_PLUGINS", "plugin-a")
    assert module.load_commands().commands == []
