"""What the tests share: a Marian pair that has learnt a toy language, and processes that can be killed."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kexp.catalog import Catalog, Entry, Owner
from kexp.contracts import AugmenterContext
from kexp_backtranslation import plugin
from kexp_backtranslation.augmenter import BackTranslation
from kexp_backtranslation.ct2 import CTranslate2
from kexp_backtranslation.gate import Gate
from kexp_backtranslation.marian import Marian
from kexp_backtranslation.models import ModelSource

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import toy_language  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    # Before any library reads it: no test may reach for the network.
    os.environ["HF_HUB_OFFLINE"] = "1"


@dataclass(frozen=True)
class Pair:
    """Toy Korean to the pivot, and back to a paraphrase."""

    forward: Path
    back: Path

    def models(self) -> dict[str, Any]:
        return {"model": ModelSource(path=self.forward), "back_model": ModelSource(path=self.back)}

    def marian(self, **options: Any) -> Marian:
        return Marian(**self.models() | {"batch_tokens": 128} | options)

    def ctranslate2(self, **options: Any) -> CTranslate2:
        return CTranslate2(**self.models() | {"batch_tokens": 128, "compute": "float32", "threads": 1} | options)

    def translator(self, engine: str) -> Marian | CTranslate2:
        return self.marian() if engine == "marian" else self.ctranslate2()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, processes: Any) -> Pair:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("pair")
    known = toy_language.sentences()
    with pytest.warns(UserWarning, match="sacremoses"):
        forward = toy_language.train(folder / "forward", [sentence[:2] for sentence in known])
    with pytest.warns(UserWarning, match="sacremoses"):
        back = toy_language.train(folder / "back", [sentence[1:] for sentence in known])
    return Pair(forward, back)


LENIENT = Gate(min_characters=1, max_length_difference=5, negation=False, min_chrf=0)
"""Toy sentences are short, and sampled ones strange."""


@pytest.fixture
def back_translation(pair: Pair) -> Callable[..., BackTranslation]:
    """Return a function that makes the options of the augmenter; ``engine`` names the translator."""

    def make(engine: str = "ctranslate2", **options: Any) -> BackTranslation:
        return BackTranslation(translator=pair.translator(engine), **{"gate": LENIENT} | options)

    return make


@pytest.fixture(scope="session")
def processes() -> Any:
    """Processes from a server that has imported the slow libraries once, and has no threads that forking would lose."""
    context = multiprocessing.get_context("forkserver")
    transformers = [f"transformers.models.{name}" for name in ("auto.modeling_auto", "marian.modeling_marian")]
    context.set_forkserver_preload(["torch", "ctranslate2.converters", *transformers, "kexp_backtranslation.plugin"])
    starter = context.Process(target=print)
    starter.start()
    return context


@pytest.fixture
def start(processes: Any, pair: Pair) -> Iterator[Callable[..., Any]]:
    """Return a function that starts ``worker.py`` in another process."""
    started = []

    def begin(store: Path, engine: str, texts: list[str], together: int = 0, **options: Any) -> Any:
        job = {"pair": pair, "store": store, "engine": engine, "texts": texts, "options": options, "gate": LENIENT}
        job["together"] = together
        process = processes.Process(target=runpy.run_path, args=(str(HERE / "worker.py"), {"job": job}, "worker"))
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


@dataclass(frozen=True)
class Contents:
    """What a store holds."""

    rows: list[tuple[Any, ...]]
    owners: set[str]
    times: set[int]
    claims: int


def contents(store: Path) -> Contents:
    path = store / "back-translation" / "translations.sqlite"
    database = sqlite3.connect(path)
    try:
        rows = database.execute(
            "SELECT translator, source, target, decoding, seed, text, copy, result, times, owner "
            "FROM translations JOIN jobs ON jobs.id = job ORDER BY 1, 2, 3, 4, 5, 6, 7"
        ).fetchall()
        (claims,) = database.execute("SELECT count(*) FROM claims").fetchone()
    finally:
        database.close()
    return Contents([row[:8] for row in rows], {row[9] for row in rows}, {row[8] for row in rows}, claims)


@pytest.fixture
def read_store() -> Callable[[Path], Contents]:
    return contents


@pytest.fixture
def context(tmp_path: Path) -> AugmenterContext:
    return AugmenterContext(store=tmp_path / "store", device="cpu")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The components of this package and of kexp, whether or not the package is installed."""
    from kexp.catalog import load_catalog

    loaded = load_catalog()
    owner = Owner("kexp-backtranslation", "0.1.0")
    for kind, components in (("augmenter", plugin.kexp_augmenters()), ("translator", plugin.kexp_translators())):
        for name, options in components.items():
            loaded.registered[kind, name] = [Entry(kind, name, options, owner)]
    return loaded
