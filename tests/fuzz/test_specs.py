"""Invented specs: each is accepted, or refused with a message that names file and key; no other exception, ever."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kexp.catalog import Catalog
from kexp.errors import KexpError, SpecError
from kexp.names import file_name_problem
from kexp.plan.plugins import catalog_of
from kexp.plan.resolve import resolve
from kexp.spec import toml
from kexp.testing import changed_tables, damaged_bytes, odd_values
from kexp.testing.invented import ODD_STRINGS

FUZZ = settings(
    derandomize=True,
    database=None,
    deadline=timedelta(seconds=10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The same cases every time, at most ten seconds each."""

PLAIN: dict[str, Any] = {
    "name": "reviews",
    "seeds": [1, 2],
    "dataset": {
        "use": "table",
        "path": "data.csv",
        "limit": 10,
        "text": ["text"],
        "label_names": {"좋음": "p", "나쁨": "n"},
    },
    "backbone": {"use": "tiny", "layers": 1, "hidden": 32, "heads": 2},
    "cleaning": {"min_characters": {"train": 2}, "max_percentile": 99.0},
    "split": {"validation": 0.2, "test": 3},
    "training": {
        "epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "betas": [0.9, 0.99],
        "keep": "best",
        "monitor": "f1",
    },
    "evaluation": {"metrics": ["accuracy", {"use": "f1", "label": "p"}], "baselines": ["majority"]},
    "objective": {"use": "focal", "gamma": 2.0},
    "freezing": {"use": "bottom-layers", "layers": 1},
}
WIDE: dict[str, Any] = {
    **PLAIN,
    "labelled": {"per_class": 2},
    "objective": "uda",
    "augmentation": {"unlabelled": {"use": "compose", "steps": ["random-swap", {"use": "char-noise"}]}},
    "trackers": [{"use": "mlflow", "tracking_uri": "http://u:p@127.0.0.1:9"}, "tensorboard"],
    "plugins": {"require": ["kexp"], "block": [], "local": []},
    "variants": {"a": {"training.epochs": 2}, "b": {"objective": {"use": "uda"}, "training": {"schedule": "cosine"}}},
}
SEARCH: dict[str, Any] = {
    **PLAIN,
    "search": {
        "trials": 3,
        "timeout": "1h",
        "metric": ["validation.accuracy"],
        "sampler": {"use": "tpe"},
        "pruner": "median",
        "space": {
            "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
            "objective": {"choices": ["cross-entropy", {"use": "focal", "gamma": 1.0}]},
            "objective.gamma": {"low": 0.5, "high": 5, "step": 0.5, "when": {"objective.use": "focal"}},
            "training.epochs": {"low": 1, "high": 3},
        },
    },
}
SPECS = (PLAIN, WIDE, SEARCH)
CONTENTS = tuple(tomli_w.dumps(spec).encode() for spec in SPECS)
PATHS = st.sampled_from([
    "training.epochs", "training.learning_rate", "training", "dataset", "dataset.path", "backbone", "backbone.heads", "seeds",
    "name", "objective", "objective.gamma", "evaluation.metrics", "trackers", "search", "search.space", "search.storage",
    "search.space.training.epochs", "search.metric", "plugins", "plugins.local", "variants", "extends", "cleaning.max_characters",
    "", ".", "a..b", " training.epochs ", "x" * 300, ".".join("a" * 200), "\x00", "use",
])  # fmt: skip


def check(path: Path, catalog: Catalog, **options: Any) -> None:
    """Check a spec as ``kexp check`` does; what is accepted can be written and read again."""
    refused: KexpError | None = None
    try:
        catalog_of(path, allow_local_code=False)
        plan = resolve(path, catalog, **options)
    except KexpError as error:
        refused = error
    if refused is None:
        assert toml.dumps(plan.table)
        assert not any(map(file_name_problem, [plan.base.name, *(variant.name for variant in plan.variants)]))
        return
    message = str(refused)
    assert refused.exit_status == 2
    assert 0 < len(message.strip()) < 100_000
    assert not re.search(r"Traceback|object at 0x", message)
    if isinstance(refused, SpecError):
        assert refused.problems
        assert all(problem.message.strip() for problem in refused.problems)
    else:
        # Of what is no spec at all the file is named, of an assignment its place.
        assert path.name in message or "--set" in message or ": " in message


@settings(FUZZ, max_examples=700)
@given(table=changed_tables(SPECS))
def test_changed_specs(table: dict[str, Any], folder: Path, catalog: Catalog) -> None:
    path = folder / "changed.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    check(path, catalog)


@settings(FUZZ, max_examples=400)
@given(content=damaged_bytes(CONTENTS))
def test_damaged_spec_files(content: bytes, folder: Path, catalog: Catalog) -> None:
    path = folder / "damaged.toml"
    path.write_bytes(content)
    check(path, catalog)


@settings(FUZZ, max_examples=300)
@given(
    path=PATHS,
    value=st.one_of(
        odd_values().map(lambda value: tomli_w.dumps({"v": value})[4:].strip()), st.sampled_from(ODD_STRINGS)
    ),
)
def test_assignments(path: str, value: str, folder: Path, catalog: Catalog) -> None:
    spec = folder / "search.toml"
    if not spec.exists():
        spec.write_bytes(CONTENTS[2])
    check(spec, catalog, assignments=[f"{path}={value}"])


GOOD = CONTENTS[0].decode()
DEEP = ".".join("a" * 5000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + '\n[search]\ntrials = 3\n"training.epochs" = {low = 1, high = 3}\n', "parameters stand in [search.space]"),
        (GOOD + "\n[search]\ntrials = 3\ntraining.epochs = {low = 1, high = 3}\n", "parameters stand in [search.space]"),
        (GOOD.replace("epochs = 1", "epochs = " + "9" * 5000), "a number has too many digits"),
        (GOOD.replace("epochs = 1", "epochs = 0x" + "f" * 5000), "training.epochs: a whole number of more than 64 bits"),
        (GOOD.replace("data.csv", "a" * 300), "dataset.path: expected a path"),
        (GOOD.replace("data.csv", "a\\u0000"), "dataset.path: expected a path"),
        (GOOD.replace("data.csv", ""), 'dataset.path: expected a path, found ""'),
        (GOOD.replace("data.csv", "~nobody-at-all/x"), "dataset.path: expected a path"),
        (f"{DEEP} = 1\n{GOOD}", "toml:1: a key of more than a hundred parts"),
        (f'[dataset]\nx = {{{DEEP} = 1}}\n', "toml:2: a key of more than a hundred parts"),
        (f'{GOOD}\n[variants.x]\n"{DEEP}" = 1\n', "a key of more than 32 parts"),
        (GOOD + "\nx = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        (GOOD + "\nx = " + "{a=" * 40 + "1" + "}" * 40, "nested too deeply"),
        (GOOD.replace("seeds = [\n    1,\n    2,\n]", f"seeds = {list(range(20_000))}"), "at most 10000 entries, found 20000"),
        (GOOD.replace("seeds = [\n    1,\n    2,\n]", "seeds = [true]"), "seeds: expected a whole number, found true"),
        ("x = 1\n" * 200_000, "larger than 1 MiB"),
        (
            "".join(f"k{number} = 1\n" for number in range(20_000)) + GOOD.replace("epochs = 1", "epochs = 0"),
            "further mistakes are not listed",
        ),
        ('extends = "' + "a" * 300 + '"\n', "extends: aaa"),
        ('extends = "a\\u0000b"\n', "cannot be the path of a file: embedded null byte"),
        ('extends = "/dev/zero"\n', "extends: "),
        (GOOD.replace("validation = 0.2", "validation = inf"), "split.validation: expected a finite number"),
        (
            GOOD + '\n[search]\ntrials = 1\nsampler = "grid"\n[search.space]\n"training.epochs" = {low = 1, high = 1000000000000}',
            "visits every combination of values, and there are 1,000,000,000,000",
        ),
        (
            GOOD + '\n[search]\ntrials = 1\n[search.space]\n"training.learning_rate" = {low = 1e-5, high = 0.9, step = 1e-12}',
            "make more than 1,000,000 values",
        ),
        ('[dataset]\nuse = "table"\npath = "data.csv"\n[backbone]\nuse = "hf"\nid = "a/b/c d"\n', "backbone.id: expected a hub id"),
    ],
)  # fmt: skip
def test_known_mistakes(text: str, expected: str, folder: Path, catalog: Catalog) -> None:
    path = folder / "known.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KexpError) as caught:
        resolve(path, catalog)
    assert expected in str(caught.value)
    assert caught.value.exit_status == 2


def test_files_that_are_no_specs(folder: Path, catalog: Catalog, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "utf16.toml").write_text(GOOD, encoding="utf-16")
    (tmp_path / "cp949.toml").write_text('description = "가나다"\n' + GOOD, encoding="cp949")
    for number in range(40):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"\n')
    (tmp_path / "40.toml").write_text('extends = "0.toml"\n')
    cases = {
        tmp_path: "is a folder; expected a spec file",
        tmp_path / "pipe.toml": "is no regular file",
        Path("/dev/zero"): "is no regular file",
        tmp_path / ("a" * 300): "cannot be read: File name too long",
        tmp_path / "a\0b": "cannot be read: embedded null byte",
        tmp_path / "missing.toml": "cannot be read: No such file or directory",
        tmp_path / "utf16.toml": "not UTF-8",
        tmp_path / "cp949.toml": "cp949.toml:1: not UTF-8",
        tmp_path / "0.toml": "more than 32 files extend each other",
    }
    for path, expected in cases.items():
        for read in (
            lambda path=path: resolve(path, catalog),
            lambda path=path: catalog_of(path, allow_local_code=False),
        ):
            with pytest.raises(KexpError, match=re.escape(expected)):
                read()
