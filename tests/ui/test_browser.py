"""The pages in a browser: live, at two widths, light and dark, with the keyboard."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import optuna
import pytest
from ui_support import add_events, served, tab, write_run

from kexp.inference.columns import TextColumns
from kexp.search.journal import open_journal
from kexp.search.silence_optuna import quiet_optuna

pytestmark = pytest.mark.chromium

A, B = "영화-감상/20260101T000000Z-aa", "영화-감상/20260102T150000Z-bb"
LONG = (
    "기본-교차-엔트로피-손실-함수-학습률-낮음",
    "초점-손실-감마-2-불균형-클래스-가중치-켬",
    "라벨-평활화와-무작위-삭제-증강을-함께-쓴-변형",
)
SPEC = '[objective]\nuse = "cross-entropy"\n' + "".join(
    f'[variants."{name}"]\nobjective = {{use = "focal", gamma = {number}.5}}\n' for number, name in enumerate(LONG)
)


class Constant:
    labels = ("긍정적인 감상평", "부정적인 감상평")
    columns = TextColumns()

    def predict(self, texts: Any) -> Any:
        return np.array([[0.75, 0.25]] * len(texts))


def load(path: Path) -> Constant:
    return Constant()


@pytest.fixture
def written(empty: Path) -> Path:
    """Two run folders with long Korean names, one run of which goes on, and a study."""
    for name in LONG:
        for seed in (1, 2):
            path = write_run(empty, f"{A}/{name}/seed-{seed}", value=0.6 + seed / 10, spec=SPEC, steps=8)
            (path / "model").mkdir()
    write_run(empty, f"{B}/{LONG[0]}/seed-1", value=None, spec=SPEC)
    folder = empty / "탐색" / "탐색-1a2b"
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text('[training]\nmonitor = "macro_f1"\n', "utf-8")
    with quiet_optuna():
        made = optuna.create_study(study_name="s", storage=open_journal(folder / "journal.log"), direction="maximize")
        made.set_user_attr("worker here", 1)
        made.tell(made.ask({"training.learning_rate": optuna.distributions.FloatDistribution(0, 1)}), 0.5)
    return empty


@pytest.fixture
def opened(written: Path, chromium: Any) -> Iterator[Any]:
    with served(written, load) as address, tab(chromium, address, viewport={"width": 1280, "height": 900}) as page:
        yield page


# --- screens ----------------------------------------------------------------------------------------------------------

CUT = """() => [...document.querySelectorAll('h1, h2, h3, p, li, dt, dd, label, legend, button, figcaption, .legend span')]
    .filter(part => part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).display !== 'inline'
        && part.clientWidth > 0).map(part => part.outerHTML)"""

# The ratio of WCAG between a text and the colour behind it, of those below 4.5.
FAINT = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const rgb = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((x) => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walk = document.createTreeWalker(document.querySelector('body'), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const part = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || part.closest('svg, script, style, :disabled') || !part.checkVisibility()) continue;
    const behind = [];
    for (let one = part; one; one = one.parentElement) behind.unshift(getComputedStyle(one).backgroundColor);
    const [text, ground] = [light(rgb([...behind, getComputedStyle(part).color])), light(rgb(behind))];
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (ratio < 4.5) found.push([walk.currentNode.data, ratio]);
  }
  return found;
}"""

PAGES = {
    "runs": "/",
    "run": "/run?" + urlencode({"run": f"{A}/{LONG[1]}/seed-1"}),
    "compare": "/compare?"
    + urlencode({"run": [f"{A}/{name}/seed-{seed}" for name in LONG for seed in (1, 2)]}, doseq=True),
    "studies": "/studies",
    "study": "/study?" + urlencode({"study": "탐색/탐색-1a2b"}),
    "predict": "/predict?" + urlencode({"run": f"{A}/{LONG[2]}/seed-2"}),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_screens_hold_everything_and_can_be_read(written: Path, chromium: Any, width: int, scheme: str) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with served(written, load) as address, tab(chromium, address, **options) as page:
        for name, url in PAGES.items():
            page.goto(url)
            page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
            if name == "runs":
                page.locator(".expand").first.click()
            if name in ("run", "compare"):
                page.wait_for_selector(".plot[data-curve=cross_entropy] .scatterlayer .point")
            if name == "study":
                page.wait_for_selector("#trials tbody")
            if name == "predict":
                page.fill("#text", "정말 재미있는 영화 " * 10)
                page.click("#predict .button")
                page.wait_for_selector(".words")
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width, name
            assert page.evaluate(CUT) == [], name
            assert page.evaluate(FAINT) == [], name
            dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
            assert dark == (scheme == "dark")


def test_a_faint_text_and_a_cut_one_would_be_seen(opened: Any) -> None:
    opened.goto("/")
    opened.evaluate(
        """() => {
        const made = Object.assign(document.createElement('p'), {textContent: '가'.repeat(300)});
        made.style = 'color: #aaa; white-space: nowrap; overflow: hidden; width: 9rem';
        document.querySelector('main').append(made);
    }"""
    )
    assert len(opened.evaluate(CUT)) == 1
    assert len(opened.evaluate(FAINT)) == 1


def test_no_name_of_a_legend_is_cut_and_lines_are_hidden_by_it(written: Path, chromium: Any) -> None:
    with served(written, load) as address, tab(chromium, address, viewport={"width": 390, "height": 900}) as page:
        page.goto(PAGES["compare"])
        page.wait_for_selector(".plot[data-curve=cross_entropy] .scatterlayer .point")
        names = page.locator(".legend li")
        assert names.all_inner_texts() == list(LONG)
        boxes = page.locator(".legend button span:last-child").evaluate_all(
            "all => all.map(one => [one.getBoundingClientRect().left, one.getBoundingClientRect().right])"
        )
        assert all(left >= 0 and right <= 390 for left, right in boxes)
        # Two seeds and their mean, of each variant.
        traces = page.locator(".plot[data-curve=cross_entropy] .scatterlayer .trace")
        assert traces.count() == 9
        names.first.locator("button").focus()
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => document.querySelectorAll('.plot[data-curve=cross_entropy] .scatterlayer .trace').length === 6"
        )
        assert names.first.locator("button").get_attribute("aria-pressed") == "false"


# --- the table, live --------------------------------------------------------------------------------------------------


def test_times_are_those_of_the_browser(opened: Any) -> None:
    opened.goto("/")
    times = opened.locator(f"tbody[data-group='{B}/{LONG[0]}'] time")
    # Nine hours later, in Seoul.
    assert times.inner_text() == "2026-01-03 00:00"
    assert times.get_attribute("datetime") == "2026-01-02T15:00:00Z"


def test_the_table_changes_where_something_has_changed(written: Path, opened: Any) -> None:
    opened.goto("/")
    row = opened.locator(f"tbody[data-group='{B}/{LONG[0]}']")
    other = opened.locator(f"tbody[data-group='{A}/{LONG[0]}']")
    opened.evaluate("() => document.querySelectorAll('tbody').forEach(body => { body.old = true; })")
    row.locator(".expand").click()
    row.locator("input[name=run]").check()
    add_events(written / B / LONG[0] / "seed-1", 70)
    opened.wait_for_selector("progress[value='70']")
    assert (row.evaluate("body => body.old ?? false"), other.evaluate("body => body.old")) == (False, True)
    # What was open and chosen stays so.
    assert row.locator("tr.run").is_visible()
    assert row.locator("input[name=run]").is_checked()
    write_run(written, f"{B}/{LONG[0]}/seed-1", value=0.9, spec=SPEC)
    opened.wait_for_function(
        "() => [...document.querySelectorAll('tr.group .done')].length === 4 && !document.querySelector('.running')"
    )
    assert "0.9000" in row.locator("tr.group").inner_text()
    write_run(written, "새-실험/20260105T000000Z-cc/v/seed-1")
    opened.wait_for_selector("section[data-section='새-실험']")
    assert opened.locator("section h2").all_inner_texts()[0] == "새-실험"
    shutil.rmtree(written / "새-실험")
    opened.wait_for_function("() => !document.querySelector(\"section[data-section='새-실험']\")")


def test_a_new_run_folder_comes_among_those_of_its_experiment(written: Path, opened: Any) -> None:
    opened.goto("/")
    # The section is sorted by hand.
    experiment = B.partition("/")[0]
    opened.locator(f"section[data-section='{experiment}'] th button", has_text="started").click()
    opened.evaluate("() => document.querySelectorAll('tbody').forEach(body => { body.old = true; })")
    known = opened.locator(f"section[data-section='{experiment}'] tbody").count()
    new = f"{experiment}/20270105T000000Z-cc/{LONG[0]}"
    write_run(written, f"{new}/seed-1", spec=SPEC)
    opened.wait_for_selector(f"tbody[data-group='{new}']")
    bodies = opened.locator(f"section[data-section='{experiment}'] tbody")
    found = bodies.evaluate_all("all => all.map(body => [body.dataset.group, body.old ?? false])")
    # In the order that was chosen, the oldest first; the others are not made anew.
    assert [key for key, _ in found] == sorted((key for key, _ in found), key=lambda key: key.split("/")[1])
    assert [key for key, old in found if not old] == [new]
    assert len(found) == known + 1
    opened.locator(f"tbody[data-group='{new}'] .expand").click()
    assert opened.locator(f"tbody[data-group='{new}'] tr.run").is_visible()
    shutil.rmtree(written / new.rpartition("/")[0])
    opened.wait_for_function(f"() => !document.querySelector(\"tbody[data-group='{new}']\")")
    assert bodies.count() == known


def test_the_choice_stays_over_reloads_and_filters(opened: Any) -> None:
    opened.goto("/")
    group = opened.locator(f"tbody[data-group='{A}/{LONG[1]}']")
    group.locator(".all").check()
    opened.locator(f"tbody[data-group='{A}/{LONG[2]}'] .expand").click()
    opened.locator(f"input[value='{A}/{LONG[2]}/seed-1']").check()
    assert opened.inner_text("#chosen") == "3 chosen"
    opened.reload()
    assert opened.inner_text("#chosen") == "3 chosen"
    assert group.locator(".all").is_checked()
    assert opened.locator(f"tbody[data-group='{A}/{LONG[2]}'] .all").evaluate("box => box.indeterminate")
    opened.fill("#filter", LONG[0])
    opened.wait_for_function("() => document.querySelectorAll('tr.group').length === 2")
    assert opened.inner_text("#chosen") == "3 chosen"
    opened.click("#compare")
    opened.wait_for_url("**/compare?**")
    assert opened.url.count("run=") == 3
    opened.go_back()
    opened.click("#clear")
    assert opened.inner_text("#chosen") == ""
    assert opened.locator("#compare").is_disabled()


def test_the_keyboard_opens_and_chooses(opened: Any) -> None:
    opened.goto("/")
    opened.keyboard.press("Tab")
    assert opened.evaluate("() => document.activeElement.className") == "skip"
    expand = opened.locator(f"tbody[data-group='{A}/{LONG[1]}'] .expand")
    expand.focus()
    opened.keyboard.press("Enter")
    assert expand.get_attribute("aria-expanded") == "true"
    opened.keyboard.press("Tab")
    opened.keyboard.press("Space")
    assert opened.inner_text("#chosen") == "1 chosen"


# --- one run, one study, live -----------------------------------------------------------------------------------------


def test_a_run_grows_until_it_ends(written: Path, opened: Any) -> None:
    path = written / B / LONG[0] / "seed-1"
    opened.goto("/run?" + urlencode({"run": f"{B}/{LONG[0]}/seed-1"}))
    points = "() => document.querySelectorAll('.plot[data-curve=cross_entropy] .scatterlayer .point').length === {}"
    opened.wait_for_function(points.format(3))
    add_events(path, 40)
    (path / "log.txt").write_text("경고: <b>학습률</b>이 높습니다\n", "utf-8")
    opened.wait_for_function(points.format(4))
    opened.wait_for_selector("text=경고: <b>학습률</b>이 높습니다")
    opened.wait_for_selector("text=step 40 of 100")
    (path / "metrics.jsonl").write_text((path / "metrics.jsonl").read_text("utf-8") + '{"event', "utf-8")
    write_run(written, f"{B}/{LONG[0]}/seed-1", value=0.9, spec=SPEC, steps=5)
    opened.wait_for_selector("text=Confusion matrix")
    opened.wait_for_function(points.format(5))
    assert opened.inner_text("#status") == "done"
    assert opened.locator("#progress").is_hidden()


def test_a_study_grows(written: Path, opened: Any) -> None:
    opened.goto(PAGES["study"])
    opened.wait_for_selector("#trials tbody")
    with quiet_optuna():
        made = optuna.load_study(study_name="s", storage=open_journal(written / "탐색/탐색-1a2b/journal.log"))
        made.tell(made.ask({"training.learning_rate": optuna.distributions.FloatDistribution(0, 1)}), 0.9)
    opened.wait_for_selector("#trials tbody tr.best >> text=0.9")
    assert opened.inner_text("#counts") == "2 complete"
    assert opened.inner_text("#status") == "running"
    opened.wait_for_function(
        "() => document.querySelectorAll('[data-curve=history] .scatterlayer .point').length === 2"
    )


def test_a_bar_is_shown_while_a_model_is_loaded(written: Path, chromium: Any) -> None:
    going = threading.Event()

    def slow(path: Path) -> Constant:
        assert going.wait(60)
        return Constant()

    with served(written, slow) as address, tab(chromium, address) as page:
        try:
            page.goto(PAGES["predict"])
            page.wait_for_selector("#loading:visible")
            assert page.inner_text("#message") == "loading the model…"
            page.fill("#text", "좋은 영화")
            page.click("#predict .button")
            assert page.locator("#answers .card").count() == 0
        finally:
            going.set()
        page.wait_for_selector("#answers .words")
        page.wait_for_selector("#loading", state="hidden")
        assert page.locator(".probability span:first-child").all_inner_texts() == list(Constant.labels)


# --- what a stranger's run folder may do ------------------------------------------------------------------------------


def test_a_strangers_report_reaches_nothing(written: Path, chromium: Any) -> None:
    script = "fetch('/data/runs').then(() => 'read', () => 'refused').then(text => { document.title = text; })"
    (written / A / "report.html").write_text(f"<!doctype html><script>{script}</script>", "utf-8")
    with served(written, load) as address:
        context = chromium.new_context(base_url=address)
        page = context.new_page()
        page.goto(f"/file/{A}/report.html")
        page.wait_for_function("() => document.title === 'refused'")
        context.close()


def test_a_link_out_of_a_run_folder_is_not_followed(written: Path, tmp_path: Path, opened: Any) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("비밀\n", "utf-8")
    run = written / A / LONG[0] / "seed-1"
    (run / "log.txt").symlink_to(secret)
    (written / A / "report.html").symlink_to(secret)
    opened.goto("/run?" + urlencode({"run": f"{A}/{LONG[0]}/seed-1"}))
    opened.wait_for_selector(".plot[data-curve=cross_entropy] .scatterlayer .point")
    assert "비밀" not in opened.content()
    answer = opened.request.get(f"/file/{A}/report.html")
    assert (answer.status, answer.json()) == (404, {"detail": "report.html does not exist yet"})


def test_pages_say_what_they_may_load(opened: Any) -> None:
    for url in PAGES.values():
        policy = opened.request.get(url).headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "script-src" not in policy
    assert not re.search(r"https?://", json.dumps(opened.request.get("/").text()).replace("http://127.0.0.1", ""))
