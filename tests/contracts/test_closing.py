"""Augmenters that hold a process or a model are closed when their texts are made, whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from kexp.builtin.augmenters import Compose, OneOf
from kexp.cli import app
from kexp.contracts import AugmenterContext, AugmenterOptions, ClosableAugmenter
from kexp.contracts.augmenter import build_augmenter
from kexp.errors import PluginError
from kexp.experiment import train_and_test as one_run

PLUGIN = """
from pathlib import Path
import kexp
from kexp.contracts import AugmenterOptions, ObjectiveOptions

class Holder:
    def __init__(self, log):
        self.log = log
        self.log.append("built")

    def __call__(self, texts, generators):
        self.log.append("called")
        return [text + "!" for text in texts]

    def close(self):
        self.log.append("closed")

class Log:
    def append(self, word):
        with Path("calls.txt").open("a") as file:
            file.write(word + "\\n")

class Holding(AugmenterOptions):
    "Hold something."
    def build(self, context):
        return Holder(Log())

class Costly(Holding):
    "Hold something, and be costly."
    @property
    def costly(self):
        return True

class Failing(ObjectiveOptions):
    "Fail in its first step."
    def build(self, context):
        from kexp.cross_entropy import CrossEntropy
        class Failed(CrossEntropy):
            def losses(self, logits, labels):
                raise ValueError("no loss")
        return Failed(0.0, None)

@kexp.hookimpl
def kexp_augmenters():
    return {"holding": Holding, "costly": Costly}

@kexp.hookimpl
def kexp_objectives():
    return {"failing": Failing}
"""
SPEC = """
[dataset]
use = "table"
path = "{data}"
[backbone]
use = "tiny"
layers = 1
hidden = 16
heads = 2
vocabulary = 300
[training]
epochs = 2
batch_size = 8
max_length = 16
[plugins]
local = ["holding.py"]
"""
LABELLED = "[augmentation.labelled]\nuse = 'holding'\n"
UNLABELLED = "[labelled]\nper_class = 8\n[objective]\nuse = 'uda'\n[augmentation.unlabelled]\nuse = 'costly'\n"


@pytest.mark.parametrize(
    ("command", "more", "status"),
    [
        ("run", LABELLED, 0),
        ("run", LABELLED + "[objective]\nuse = 'failing'\n", 1),
        ("run", UNLABELLED, 0),
        ("augment", UNLABELLED, 0),
        ("augment", LABELLED, 0),
    ],
)
def test_kexp_closes_what_it_has_built(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, more: str, status: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "holding.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "holding.toml").write_text(SPEC.format(data=reviews) + more, encoding="utf-8")
    options = {"run": ["--quiet"], "augment": ["--show", "3"]}[command]
    result = CliRunner().invoke(app, [command, "holding.toml", "--allow-local-code", *options])
    assert result.exit_code == status, result.stderr
    calls = (tmp_path / "calls.txt").read_text().split()
    assert calls[0] == "built"
    assert calls.count("built") == calls.count("closed") == 1
    assert set(calls[1:-1]) <= {"called"}
    assert calls[-1] == "closed"


@pytest.mark.parametrize("broken", ["reuse_frozen", "Trainer"])
def test_kexp_closes_what_it_has_built_when_training_cannot_begin(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*given: object, **named: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(one_run, broken, fail)
    test_kexp_closes_what_it_has_built(reviews, tmp_path, monkeypatch, "run", LABELLED, 1)


class Holder:
    """Counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str]:
        return list(texts)

    def close(self) -> None:
        self.closed += 1


def test_augmenters_made_of_others_close_them() -> None:
    holders = []

    class Holding(AugmenterOptions):
        """Hold something."""

        def build(self, context: AugmenterContext) -> ClosableAugmenter:
            holders.append(Holder())
            return holders[-1]  # type: ignore[return-value]

    class Plain(AugmenterOptions):
        """Hold nothing."""

        def build(self, context: AugmenterContext) -> ClosableAugmenter:
            return lambda texts, generators: list(texts)  # type: ignore[return-value]

    nested = OneOf(choices=(Compose(steps=(Holding(), Plain())), Holding()))
    augmenter = build_augmenter(nested, AugmenterContext())
    assert [holder.closed for holder in holders] == [0, 0]
    augmenter.close()
    assert [holder.closed for holder in holders] == [1, 1]
    build_augmenter(Plain(), AugmenterContext()).close()


class Closing:
    """An augmenter that notes when it is closed."""

    def __init__(self, closed: list[str]) -> None:
        self.closed = closed

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str]:
        return list(texts)

    def close(self) -> None:
        self.closed.append("closed")
        raise ValueError("cannot be closed")


CLOSED: list[str] = []


class Built(AugmenterOptions):
    """Can be built."""

    def build(self, context: AugmenterContext) -> Closing:
        return Closing(CLOSED)


class Unbuilt(AugmenterOptions):
    """Cannot be built."""

    def build(self, context: AugmenterContext) -> Closing:
        raise ValueError("cannot be built")


@pytest.mark.parametrize("of", [Compose, OneOf])
def test_where_one_cannot_be_built_those_before_it_are_closed(of: type[Compose] | type[OneOf]) -> None:
    CLOSED.clear()
    key = "steps" if of is Compose else "choices"
    options = of.model_construct(**{key: (Built(), Built(), Unbuilt()), "weights": None})
    with pytest.raises(PluginError):
        build_augmenter(options, AugmenterContext())
    # Also where closing one fails.
    assert CLOSED == ["closed", "closed"]
