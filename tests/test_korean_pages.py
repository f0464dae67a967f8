"""The Korean pages: the commands of the English ones, links both ways, and one word for each thing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import Block, Page, check_commands
from support import kexp

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.ko.md"
KOREAN = sorted((DOCS / "ko").glob("*.md"))
TRANSLATED = [page for page in KOREAN if page.name != "index.md"]

WRONG = {
    "신뢰도 다이어그램": "(신뢰도|신뢰성|보정) ?(도표|그림|도식|그래프)|신뢰성 다이어그램",
    "대응 검정": "(짝지은|짝을 지은|쌍을 이룬|쌍체|짝지어진|페어드) ?(검정|검증|테스트)|대응 (시험|테스트)",
    "포컬 손실": "초점 ?(손실|로스)|포컬 ?로스|포칼",
    "제외된 행": "(빠진|빠뜨린|버려진|버린|떨어진|탈락한|드롭된) 행",
    "테스트 데이터": "시험 ?(데이터|자료|집합|세트|셋|행)|평가용 시험|테스트 ?(집합|셋)",
    "시드": "씨앗|종자|난수 씨|(?<![-\\w./`])seed(?=[가-힣])",
}
"""What each thing is called, and what it is not called."""
ONE_SPELLING = {"레이블": "라벨", "에포크": "에폭", "데이터셋": "데이타|데이터 셋"}
"""For prose; data of others may spell as they like."""


def blocks(path: Path) -> list[tuple[object, ...]]:
    def content(block: Block) -> tuple[object, ...]:
        return block.language, block.title, block.text, block.statuses, block.reason

    return [content(block) for block in Page(path).blocks]


def prose(path: Path) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_the_first_run_few_labels_and_results_are_translated() -> None:
    assert {page.name for page in TRANSLATED} >= {"first-run.md", "semi-supervised.md", "results.md"}


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.name)
def test_a_translation_has_the_commands_of_the_english_page(page: Path) -> None:
    english = DOCS / page.name
    for korean, original in zip(blocks(page), blocks(english), strict=True):
        assert korean == original
    assert f"](../{page.name})" in page.read_text("utf-8")
    assert f"[한국어](ko/{page.name})" in english.read_text("utf-8")
    # As many sections and rows of tables, so that nothing is left out.
    for mark in (r"^## ", r"^### ", r"^\|", r"^\d\. ", r"^- "):
        of_both = [len(re.findall(mark, prose(path), re.MULTILINE)) for path in (page, english)]
        assert of_both[0] == of_both[1], mark


def test_the_first_korean_page_links_to_the_others() -> None:
    for path, prefix in ((DOCS / "ko" / "index.md", ""), (README, "docs/ko/")):
        for page in TRANSLATED:
            assert f"]({prefix}{page.name})" in path.read_text("utf-8"), (path, page)


@pytest.mark.parametrize("path", [*KOREAN, README], ids=lambda path: path.name)
def test_a_thing_has_one_name(path: Path) -> None:
    for right, wrong in {**WRONG, **ONE_SPELLING}.items():
        found = re.search(wrong, prose(path))
        assert not found, f'{path}: "{found and found[0]}" is called {right}'


def test_what_kexp_shows_has_the_same_names() -> None:
    shown = [path for suffix in ("py", "j2", "js", "html") for path in (REPOSITORY / "kexp").rglob(f"*.{suffix}")]
    for path in [*shown, *DOCS.rglob("*.md")]:
        text = path.read_text("utf-8")
        for right in WRONG.keys() - {"시드", "제외된 행"}:
            found = re.search(WRONG[right], text)
            assert not found, f'{path}: "{found and found[0]}" is called {right}'


@pytest.mark.parametrize(
    "wrong", ["신뢰도 도표", "짝지은 검정", "초점손실", "빠진 행", "시험 데이터", "모든 seed로", "씨앗"]
)
def test_wrong_names_are_found(wrong: str) -> None:
    assert any(re.search(pattern, wrong) for pattern in WRONG.values())


@pytest.mark.parametrize("path", [REPOSITORY / "README.md", README], ids=lambda path: path.name)
def test_commands_of_the_readme_are_right(path: Path) -> None:
    scripts = re.findall(r"^```sh\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert scripts
    for script in scripts:
        check_commands(script, REPOSITORY)


def test_the_korean_readme_shows_augmented_texts() -> None:
    command = "kexp augment experiments/dialect.toml --show 4"
    assert command in README.read_text("utf-8")
    words = [str(REPOSITORY / word) if word.startswith("experiments/") else word for word in command.split()[1:]]
    result = kexp(*words)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "original\taugmented\trejected"
    assert len(result.stdout.splitlines()) == 5


def test_the_korean_readme_covers_what_the_english_one_does() -> None:
    text = README.read_text("utf-8")
    for said in (
        "[labelled]",
        "[objective]",
        "trackers = ",
        "kexp augment",
        "kexp compare",
        "kexp predict",
        ".[wandb]",
    ):
        assert said in text
    # The first sentence says what it is, and no more.
    (first,) = re.findall(r"^# kexp\n\n(.*?\.)", text, re.DOTALL)
    assert len(first) <= 40
