from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexp import nested
from kexp.errors import KexpError, SpecError
from kexp.spec import toml

leaves = st.integers() | st.booleans() | st.text("abc가나", max_size=3)
keys = st.text("abcd", min_size=1, max_size=2).filter(lambda key: key != "use")
tables = st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


def test_syntax_error_names_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('a = 1\nb = "x\n')
    with pytest.raises(KexpError, match=r"broken\.toml:2:7: not valid TOML: Illegal character"):
        toml.read(path)


def test_syntax_error_at_the_end_names_the_last_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("a = 1\nb = [1,")
    with pytest.raises(KexpError, match=r"broken\.toml:2:8: not valid TOML: "):
        toml.read(path)


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("[variants.기본]\n", "1:11", "기본"),
        ("한국어 = 1\n", "1:1", "한국어"),
        ("a = 1\nnsmc한 = 1\n", "2:5", "nsmc한"),
        ("text = 본문 # 본문\n", "1:8", "본문"),
        ("names = {부정 = 1}\n", "1:10", "부정"),
    ],
)
def test_korean_without_quotation_marks(tmp_path: Path, text: str, place: str, word: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(KexpError) as raised:
        toml.read(path)
    assert f"broken.toml:{place}: not valid TOML: " in str(raised.value)
    assert str(raised.value).endswith(f'; put it in quotation marks: "{word}"')
    path.write_text(text.replace(word, f'"{word}"', 1), "utf-8")
    assert toml.read(path)


def test_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "korean.toml"
    path.write_bytes('a = 1\nname = "사투리"\n'.encode("cp949"))
    with pytest.raises(KexpError, match=r"korean\.toml:2: not UTF-8.*save the file as UTF-8"):
        toml.read(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KexpError, match=r"nothing\.toml: cannot be read: No such file"):
        toml.read(tmp_path / "nothing.toml")


def test_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert toml.read(path) == {"a": 1}


def test_extends_lays_a_file_over_another_and_paths_keep_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text('[dataset]\npath = "base.csv"\n[training]\nepochs = 3\nbatch_size = 8\n')
    (tmp_path / "sub" / "child.toml").write_text(
        'extends = "../base.toml"\n[training]\nepochs = 1\n[x]\npath = "own.csv"\n'
    )
    table = toml.read(tmp_path / "sub" / "child.toml")
    assert table == {
        "dataset": {"path": "base.csv"},
        "training": {"epochs": 1, "batch_size": 8},
        "x": {"path": "own.csv"},
    }
    assert table["dataset"]["path"].folder == tmp_path
    assert table["x"]["path"].folder == tmp_path / "sub"


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"')
    (tmp_path / "b.toml").write_text('extends = "a.toml"')
    with pytest.raises(SpecError, match=r"extends: the files extend each other: .*a\.toml -> .*b\.toml -> .*a\.toml"):
        toml.read(tmp_path / "a.toml")


def test_missing_parent_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"')
    with pytest.raises(SpecError, match=r"a\.toml: extends: .*b\.toml does not exist"):
        toml.read(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.epochs=1", {"training": {"epochs": 1}}),
        ('backbone.use="tiny"', {"backbone": {"use": "tiny"}}),
        ("backbone.use=tiny", {"backbone": {"use": "tiny"}}),
        ("seeds=[1, 2]", {"seeds": [1, 2]}),
        ("training.learning_rate=1e-4", {"training": {"learning_rate": 1e-4}}),
        ("cleaning.trim=false", {"cleaning": {"trim": False}}),
        ('dataset={use = "table"}', {"dataset": {"use": "table"}}),
        ("dataset.path=a=b.csv", {"dataset": {"path": "a=b.csv"}}),
        ("name=1\nx = 2", {"name": "1\nx = 2"}),
        ("name=", {"name": ""}),
    ],
)
def test_assignments_take_toml_values_and_bare_words(text: str, expected: dict[str, object]) -> None:
    assert toml.parse_assignment(text) == expected


def test_assignment_without_equals_sign_is_explained() -> None:
    with pytest.raises(KexpError, match=r"--set training\.epochs: expected path=value"):
        toml.parse_assignment("training.epochs")


def test_paths_on_the_command_line_start_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert toml.parse_assignment("dataset.path=x.csv")["dataset"]["path"].folder == tmp_path


def test_naming_another_component_starts_its_table_anew() -> None:
    base = {"objective": {"use": "focal", "gamma": 2.0}, "training": {"epochs": 3}}
    assert nested.merge(base, {"objective": {"use": "cross-entropy"}})["objective"] == {"use": "cross-entropy"}
    assert nested.merge(base, {"objective": {"use": "focal", "alpha": "balanced"}})["objective"] == {
        "use": "focal",
        "gamma": 2.0,
        "alpha": "balanced",
    }
    assert nested.merge(base, {"objective": {"gamma": 1.0}})["objective"] == {"use": "focal", "gamma": 1.0}


def test_options_can_be_added_to_a_component_that_is_named_by_a_word() -> None:
    assert nested.merge({"objective": "focal"}, {"objective": {"gamma": 1.0}}) == {
        "objective": {"use": "focal", "gamma": 1.0}
    }


def test_dotted_keys_and_tables_say_the_same() -> None:
    assert toml.expand({"objective.use": "focal", "objective.gamma": 3}) == {"objective": {"use": "focal", "gamma": 3}}
    assert toml.expand({"objective": {"use": "focal"}}) == {"objective": {"use": "focal"}}


@given(st.dictionaries(keys, tables, max_size=4), st.dictionaries(keys, tables, max_size=4))
def test_difference_laid_over_the_base_gives_the_other(base: nested.Table, over: nested.Table) -> None:
    other = nested.merge(base, over)
    assert nested.merge(base, nested.difference(base, other)) == other


def test_difference_names_a_changed_component_whole() -> None:
    base = {"objective": {"use": "focal", "gamma": 2.0}, "training": {"epochs": 3, "seed": 1}}
    other = {"objective": {"use": "cross-entropy", "smoothing": 0.1}, "training": {"epochs": 4, "seed": 1}}
    assert nested.difference(base, other) == {
        "objective": {"use": "cross-entropy", "smoothing": 0.1},
        "training": {"epochs": 4},
    }


@given(st.dictionaries(keys, tables, max_size=4))
def test_written_tables_are_read_back(table: nested.Table) -> None:
    assert tomllib.loads(toml.dumps(table)) == table
