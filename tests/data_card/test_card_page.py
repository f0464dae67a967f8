"""The card as a page: what stands on it, that it is safe, and when a report links to it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from card_rows import labelled, write_rows
from html_pages import Page
from support import kexp, tiny_spec

from kexp.data_card.card import DataCard
from kexp.data_card.finding import Example, Finding
from kexp.data_card.lengths import lengths_of
from kexp.data_card.page import page
from kexp.data_card.splits import SplitRows
from kexp.data_card.tokens import Sample, Tokens

ATTACK = "<script>alert('가')</script> & <b>\"'"


def card(**changes: object) -> DataCard:
    import numpy as np

    example = Example("train", 7, f"글 {ATTACK}", ATTACK, f"as row 3 {ATTACK}")
    parts = {
        "name": f"영화 {ATTACK}",
        "variant": "default",
        "splits": (SplitRows("train", {ATTACK: 4, "": 1}, {ATTACK: 3}, {"empty": 1, "too_long": 1}),),
        "lengths": (
            lengths_of("train", "characters", np.array([3, 5, 5, 20])),
            lengths_of("train", "tokens", np.array([4, 6, 6, 30]), (16, 32)),
        ),
        "tokens": Tokens(16, 32, 512, {"train": 0.0125}),
        "findings": (
            Finding("near-duplicates", f"2 rows are alike {ATTACK}", 2, 5, (example,), f"drop {ATTACK}"),
            Finding(
                "label-errors", "3 labels", 3, 5, (example,), "look", named=(("train", 2), ("test", 1), ("train", 9))
            ),
        ),
        "samples": (Sample(1, f"글 {ATTACK}", ATTACK, ["[CLS]", "글", "##<b>"], [2, 10, 11]),),
        "remarks": (f"no tokenizer {ATTACK}", "postgresql://me:geheim@host/x"),
        **changes,
    }
    return DataCard(**parts)  # type: ignore[arg-type]


def test_everything_of_a_card_stands_on_the_page() -> None:
    shown = Page(page(card()))
    assert shown.text.count(ATTACK) >= 9
    table = shown.table("split", "row", "text", "label")
    assert table[1] == ["train", "7", f"글 {ATTACK}", ATTACK, f"as row 3 {ATTACK}"]
    assert "near duplicates 2 of 5 rows, 40.0 %" in shown.text
    assert "train 2, test 1, train 9" in " ".join(shown.text.split())
    rows = next(table for table in shown.tables if table[0][:2] == ["", "train"])
    assert rows[1:] == [["label", "read", "used"], ["no label", "1", "0"], [ATTACK, "4", "3"], ["all", "5", "3"]]
    assert "train: 1 empty, 1 too long." in shown.text
    lengths = shown.table("shortest", "median", "99 %", "longest")
    assert lengths[2] == ["train, tokens", "4", "4", "4", "6", "6", "30", "30", "30"]
    assert [cell.split() for cell in shown.table("max_length", "16", "32")[1]] == [
        ["train"],
        ["125.0", "%"],
        ["00.0", "%"],
    ]
    assert "the suggested training.max_length; the spec says 16, and the backbone reads 512 at most" in shown.text
    assert "train 1.25 %" in shown.text
    assert "[CLS]2글10##<b>11" in shown.text
    assert "geheim" not in shown.text


def test_a_card_without_findings_says_so() -> None:
    shown = Page(page(card(findings=(), remarks=(), samples=(), tokens=None)))
    assert "Nothing was found." in shown.text
    assert "0 findings" in shown.text


def test_texts_are_escaped_and_the_page_asks_for_nothing() -> None:
    html = page(card())
    shown = Page(html)
    assert not {"script", "b"} & {tag for tag, _, _ in shown.attributes} - {"b"}
    assert html.count("<b>") == html.count("</b>")
    sources = [value for tag, name, value in shown.attributes if name in ("src", "href")]
    assert sources
    assert all(value.startswith("data:image/svg+xml;base64,") for value in sources)
    assert "default-src 'none'" in html
    images = [base64.b64decode(value.partition(",")[2]).decode() for value in sources]
    assert ["cut here" in image for image in images] == [False, True]


def test_equal_cards_give_equal_pages_and_a_digest_is_named() -> None:
    assert page(card()) == page(card())
    assert '<meta name="kexp-rows" content="00ff">' in page(card(digest="00ff"))[:4096]
    assert "kexp-rows" not in page(card())


def rows_of(count: int, word: str = "") -> list[dict[str, str]]:
    return labelled(
        *((f"{number}번 {word} {['좋다', '나쁘다'][number % 2]}", "xy"[number % 2]) for number in range(count))
    )


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    data = write_rows(tmp_path / "data.jsonl", rows_of(60))
    path = tmp_path / "spec.toml"
    path.write_text(tiny_spec("name = 'card'", dataset="", epochs=1).format(data=data), "utf-8")
    return path


def test_the_page_is_written_where_it_is_wanted(spec: Path, tmp_path: Path) -> None:
    result = kexp("data", spec, "--html", tmp_path / "card.html")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(tmp_path / "card.html")
    shown = Page((tmp_path / "card.html").read_text("utf-8"))
    assert "60 rows read" in shown.text
    result = kexp("data", spec, "--html", tmp_path / "card.html", "--json")
    assert json.loads(result.stdout)["name"] == "card"


@pytest.mark.parametrize("place", [".", "absent/card.html", "/dev/null"])
def test_a_place_that_is_none_is_refused_before_the_data_are_read(spec: Path, tmp_path: Path, place: str) -> None:
    result = kexp("data", spec, "--html", tmp_path / place)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"--html {tmp_path / place}: ")
    assert "reading" not in result.stderr


def test_a_report_links_to_the_card_of_its_rows_alone(spec: Path, tmp_path: Path) -> None:
    folder = Path(json.loads(kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet").stdout)["folder"])
    report = folder / "report.html"
    assert "Data card" not in report.read_text("utf-8")
    result = kexp("data", folder)
    assert result.exit_code == 0, result.stderr
    assert f"wrote {folder / 'data.html'}, to which {report} links" in result.stderr
    assert '<a href="data.html">Data card</a>:' in report.read_text("utf-8")
    assert '<a href="report.html">report</a>' in (folder / "data.html").read_text("utf-8")
    # A new report keeps the link.
    assert kexp("report", folder).exit_code == 0
    assert '<a href="data.html">Data card</a>:' in report.read_text("utf-8")
    write_rows(tmp_path / "data.jsonl", rows_of(62))
    result = kexp("data", folder)
    assert result.exit_code == 0, result.stderr
    assert (
        "data.html, the data card in this folder, is not linked: it is of other rows than the runs read"
        in result.stderr
    )
    assert "<a " not in re.sub(r'<a href="#run.*?</a>', "", report.read_text("utf-8"))
    assert "is not linked: it is of other rows" in Page(report.read_text("utf-8")).text


def test_a_card_is_that_of_the_variants_with_its_rows(spec: Path, tmp_path: Path) -> None:
    variants = (
        "[variants.whole]\n[variants.few.labelled]\nn = 10\ndraws = 2\n[variants.slow.training]\nlearning_rate = 1e-3\n"
    )
    spec.write_text(f"{spec.read_text('utf-8')}\n{variants}", "utf-8")
    folder = Path(json.loads(kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet").stdout)["folder"])
    for chosen, of in (("slow", "whole, slow"), ("few", "few draw 1")):
        result = kexp("data", folder, "--variant", chosen)
        assert result.exit_code == 0, result.stderr
        report = (folder / "report.html").read_text("utf-8")
        assert f'<a href="data.html">Data card</a> of {of}:' in report
        assert f"variant {chosen}" in Page((folder / "data.html").read_text("utf-8")).text


def test_a_folder_without_results_gets_a_card(spec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unfinished"
    folder.mkdir()
    (folder / "spec.toml").write_text(spec.read_text("utf-8"), "utf-8")
    result = kexp("data", folder)
    assert result.exit_code == 0, result.stderr
    assert "the report that the runs write when they end links to it" in result.stderr
    assert (folder / "data.html").is_file()
    assert not (folder / "report.html").exists()
