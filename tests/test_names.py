from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from kexp.catalog import Catalog
from kexp.errors import SpecError
from kexp.names import LONGEST, file_name_problem, same_file_names
from kexp.plan.resolve import resolve
from tests.support import kexp

Write = Callable[..., Path]
GOOD = '[dataset]\nuse = "table"\npath = "data.csv"\n[backbone]\nuse = "tiny"\n'
NFD = unicodedata.normalize("NFD", "기준선")


@pytest.mark.parametrize(
    "name", ["base", "v1.0", "기준선", "a_b-c.d", "1", "console", "com10", "가" * 40, "null", "_a"]
)
def test_good_file_names(name: str) -> None:
    assert file_name_problem(name) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "letters, digits"), ("a/b", "letters, digits"), ("a\\b", "letters, digits"), ("..", "letters, digits"),
        (".hidden", "letters, digits"), ("-rf", "letters, digits"), ("a ", "letters, digits"), ("a\n", "letters, digits"),
        ("a\0b", "letters, digits"), ("a\u200bb", "letters, digits"), ("a:b", "letters, digits"), ("a*", "letters, digits"),
        ("a.", "does not end with a dot"), ("CON", '"CON" is a device'), ("nul.txt", '"nul" is a device'),
        ("Lpt1", '"Lpt1" is a device'), ("가" * 41, f"at most {LONGEST} bytes"), ("a" * 300, "found 300"),
    ],
)  # fmt: skip
def test_bad_file_names(name: str, expected: str) -> None:
    assert expected in file_name_problem(name)


def test_names_that_are_one_file() -> None:
    assert list(same_file_names(["a", "A", "b", "기준선", NFD])) == [("A", "a"), (NFD, "기준선")]


@pytest.fixture(autouse=True)
def _data(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,0\n")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("summary.json", "kexp's own files"), ("Spec.TOML", "kexp's own files"), ("a" * 300, "at most 120 bytes"),
        ("base.", "does not end with a dot"), ("CON", "is a device on Windows"), ("../up", "letters, digits"),
        (" ", "letters, digits"), ("-x", "letters, digits"), (".x", "letters, digits"),
    ],
)  # fmt: skip
def test_variants_that_cannot_be_folders_are_refused(name: str, expected: str, write_spec: Write) -> None:
    result = kexp("check", write_spec(f'{GOOD}[variants."{name}"]\n"training.epochs" = 1\n'))
    assert result.exit_code == 2
    assert "a variant's name becomes a folder; expected" in result.stderr
    assert expected in result.stderr


@pytest.mark.parametrize("pair", [("Base", "base"), ("기준선", NFD)])
def test_variants_that_would_share_a_folder_are_refused(
    pair: tuple[str, str], write_spec: Write, catalog: Catalog
) -> None:
    spec = write_spec(GOOD + "".join(f'[variants."{name}"]\n"training.epochs" = 1\n' for name in pair))
    with pytest.raises(SpecError, match=f'variants.{pair[1]}: differs from variant "{pair[0]}" by case or composition'):
        resolve(spec, catalog)
    if pair[0] == "Base":
        assert [variant.name for variant in resolve(spec, catalog, variants=["base"]).variants] == ["base"]


def test_decomposed_names_are_composed(write_spec: Write, catalog: Catalog) -> None:
    spec = write_spec(f'name = "{NFD}"\n{GOOD}[variants."{NFD}"]\n"training.epochs" = 1\n', f"{NFD}.toml")
    plan = resolve(spec, catalog, variants=[NFD])
    assert (plan.base.name, plan.variants[0].name, list(plan.table["variants"])) == ("기준선",) * 2 + (["기준선"],)
    unnamed = write_spec(GOOD, f"{NFD}.toml")
    assert resolve(unnamed, catalog).base.name == "기준선"


@pytest.mark.parametrize("name", ["summary.", "NUL", "a b", "a" * 121, "../x"])
def test_experiments_that_cannot_be_folders_are_refused(name: str, write_spec: Write) -> None:
    result = kexp("check", write_spec(f'name = "{name}"\n{GOOD}'))
    assert result.exit_code == 2
    assert "name: it names a folder; expected" in result.stderr


@pytest.mark.parametrize("name", ["a.", "COM1", "20260101T000000Z-0123abcd", "가" * 41])
def test_studies_that_cannot_be_folders_are_refused(name: str, write_spec: Write) -> None:
    search = '[search]\ntrials = 1\n[search.space]\n"training.epochs" = {low = 1, high = 2}\n'
    result = kexp("tune", write_spec(GOOD + search), "--study", name)
    assert result.exit_code == 2
    assert f"--study {name}: it names a folder; expected" in result.stderr


@pytest.mark.parametrize("name", ["con", "nul", "a" * 200])
def test_packages_that_cannot_be_folders_are_refused(name: str, tmp_path: Path) -> None:
    result = kexp("plugins", "new", name, "--output", tmp_path)
    assert result.exit_code == 2
    assert "cannot name a package" in result.stderr
