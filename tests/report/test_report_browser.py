"""The report of a real run in a real browser: something is drawn, nothing is refused, and no glyph is missing."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from typer.testing import CliRunner

from kexp.cli import app

pytestmark = pytest.mark.chromium

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 120
"""Seconds after which a browser that hangs is ended."""

SPEC = """
name = "영화-감상"
description = "영화 한 줄 평이 좋은지 나쁜지 <보통인지>: 라벨은 적고 '감상'은 많다"
seeds = [1]
[dataset]
use = "table"
path = "{data}"
[labelled]
per_class = 8
[augmentation]
unlabelled = {{use = "random-deletion", p = 0.3}}
[backbone]
use = "tiny"
layers = 1
hidden = 32
heads = 2
vocabulary = 300
[objective]
use = "uda"
tsa = "linear"
confidence = 0.4
[training]
steps = 60
batch_size = 4
max_length = 16
learning_rate = 5e-3
evaluate_every = 10
[variants."적은-라벨"]
objective = "cross-entropy"
[variants.uda]
"""


@pytest.fixture(scope="module")
def page(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of an experiment with Korean texts, labels and names, one variant of it with an unlabelled pool."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "spec.toml").write_text(SPEC.format(data=reviews), "utf-8")
    command = ["run", str(folder / "spec.toml"), "--runs-dir", str(folder / "runs"), "--json", "--quiet"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return Path(json.loads(result.stdout)["folder"]) / "report.html"


# Chromium listens to file descriptor 3 and answers on 4. Both may be taken until they are put there.
AS_3_AND_4 = """
import os, sys
for given, safe in zip(sys.argv[1:3], (103, 104)):
    os.dup2(int(given), safe)
os.dup2(103, 3), os.dup2(104, 4), os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """Chromium without a window, spoken to through its debugging pipe: a JSON object and a zero byte each way."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM
        (heard, said), (answers, answered) = os.pipe(), os.pipe()
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                   "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank")  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", AS_3_AND_4, str(heard), str(answered), CHROMIUM, *options],
            pass_fds=(heard, answered), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(heard)
        os.close(answered)
        self.said, self.answers = os.fdopen(said, "wb", 0), os.fdopen(answers, "rb")
        self.watch = threading.Timer(PATIENCE, self.process.kill)
        self.watch.start()
        self.number, self.session = 0, ""
        self.events: list[dict[str, Any]] = []

    def start(self) -> None:
        """Take the first page."""
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _hear(self) -> dict[str, Any]:
        data = bytearray()
        while byte := self.answers.read(1):
            if byte == b"\0":
                return json.loads(data)
            data += byte
        raise AssertionError("the browser ended")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to a call; events that come before it are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.said.write(json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (heard := self._hear()).get("id") != self.number:
            self.events.append(heard)
        assert "error" not in heard, heard
        return heard["result"]

    def open(self, path: Path, scheme: str = "light", media: str = "screen") -> None:
        """Load a page in a colour scheme, and wait for all of it."""
        self.call("Emulation.setDeviceMetricsOverride", width=1200, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not self.told("Page.loadEventFired"):
            self.events.append(self._hear())

    def told(self, method: str) -> list[dict[str, Any]]:
        """Return what the events of a kind said."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def evaluate(self, expression: str) -> Any:
        """Return the value of JavaScript, which the page's own rules do not hold back."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> np.ndarray:
        """Return the pixels of the whole page, of shape (height, width, 3), from 0 to 1."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        return matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")[..., :3]

    def close(self) -> None:
        """End it, and let go of everything."""
        self.said.close()
        self.answers.close()
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.watch.cancel()


@pytest.fixture(scope="module")
def browser(needs: Callable[[bool, str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    needs(CHROMIUM is not None, "there is no Chromium; Debian: apt-get install chromium")
    with contextlib.closing(Browser(tmp_path_factory.mktemp("profile"))) as browser:
        browser.start()
        yield browser


@pytest.mark.parametrize(("scheme", "brightness"), [("light", (0.9, 1.0)), ("dark", (0.0, 0.25))])
def test_something_is_drawn_in_light_and_dark(
    browser: Browser, page: Path, scheme: str, brightness: tuple[float, float]
) -> None:
    browser.open(page, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    pixels = browser.picture()
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    assert brightness[0] <= ground.mean() <= brightness[1]
    drawn = np.abs(pixels - ground).max(-1) > 0.2
    assert 0.01 < drawn.mean() < 0.5
    # Nowhere is the page empty over the height of a screen; what is left below the last one may be its margin.
    assert all(drawn[start : start + 900].any() for start in range(0, len(drawn) - 900, 900))
    figures = browser.evaluate(
        "[...document.querySelectorAll('figure img')].map(image => [image.getBoundingClientRect().width, "
        "image.getBoundingClientRect().height, image.naturalWidth])"
    )
    # With accuracy by coverage of each run, and curves of both variants.
    assert len(figures) == 2 * 8 + 4 + 3
    assert all(width > 200 and height > 100 and natural > 100 for width, height, natural in figures)


def test_the_page_asks_for_nothing_and_nothing_goes_wrong(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    browser.picture()
    requested = [event["request"]["url"] for event in browser.told("Network.requestWillBeSent")]
    # Images within the page count as requests too.
    assert [url for url in requested if not url.startswith("data:image/svg+xml;")] == [page.resolve().as_uri()]
    for trouble in ("Network.loadingFailed", "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
        assert browser.told(trouble) == []


def test_trouble_would_be_seen(browser: Browser, page: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(page.read_text("utf-8").replace("</main>", '<img src="x.png"><script>1</script></main>'), "utf-8")
    browser.open(bad)
    told = " ".join(entry["entry"]["text"] for entry in browser.told("Log.entryAdded"))
    assert "Content Security Policy" in told


# Draws every letter that is not ASCII in the font of its element, and the glyph that stands for missing ones.
MISSING = """
(() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 64});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const drawn = (letter, font) => {
    context.clearRect(0, 0, 64, 64);
    context.font = font;
    context.fillText(letter, 8, 48);
    return context.getImageData(0, 0, 64, 64).data.join();
  };
  const nothing = drawn(" ", "32px serif");
  const letters = new Map();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const style = getComputedStyle(walk.currentNode.parentElement);
    const font = `${style.fontWeight} 32px ${style.fontFamily}`;
    if (!letters.has(font)) letters.set(font, new Set());
    for (const letter of walk.currentNode.data) if (letter > "\\u007f") letters.get(font).add(letter);
  }
  const found = {missing: [], letters: [], sound: true};
  for (const [font, set] of letters) {
    const missing = [drawn("\\u0378", font), drawn("\\u0379", font)];
    found.sound &&= missing[0] === missing[1] && missing[0] !== nothing;
    for (const letter of set) {
      found.letters.push(letter);
      if ([missing[0], nothing].includes(drawn(letter, font))) found.missing.push([letter, font]);
    }
  }
  return found;
})()
"""


@pytest.fixture
def _korean_font(needs: Callable[[bool, str], None]) -> None:
    fonts = subprocess.run(["fc-list", ":lang=ko"], capture_output=True, text=True, check=False).stdout
    needs(bool(fonts), "there is no Korean font; Debian: apt-get install fonts-noto-cjk")


@pytest.mark.usefixtures("_korean_font")
def test_no_glyph_is_missing(browser: Browser, page: Path) -> None:
    browser.open(page)
    found = browser.evaluate(MISSING)
    # U+0378 and U+0379 stand for no letter, so they look alike, and not like a space.
    assert found["sound"]
    assert set("좋음나쁨보통영화적은라벨±–↑") <= set(found["letters"])
    assert found["missing"] == []


@pytest.mark.usefixtures("_korean_font")
def test_a_missing_glyph_would_be_seen(browser: Browser, page: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(page.read_text("utf-8").replace("</main>", "<p>\u0380</p></main>"), "utf-8")
    browser.open(bad)
    assert [letter for letter, _ in browser.evaluate(MISSING)["missing"]] == ["\u0380"]


def test_masks_and_pool_are_shown(browser: Browser, page: Path) -> None:
    browser.open(page)
    titles = browser.evaluate("[...document.querySelectorAll('figcaption b')].map(title => title.innerText)")
    for title in (
        "Masks and thresholds",
        "Losses of the objective",
        "Predictions for the unlabelled rows",
        "Reliability on test",
    ):
        assert title in titles
    keys = browser.evaluate("[...document.querySelectorAll('.key')].map(key => key.innerText)")
    assert {"confident", "tsa threshold", "tsa left out", "supervised loss", "largest share"} <= set(keys)


def test_paper_is_white_and_shows_what_is_folded(browser: Browser, page: Path) -> None:
    browser.open(page, "dark", "print")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(29, 33, 38)"
    heights = browser.evaluate(
        "[...document.querySelectorAll('details:not([open]) table, details:not([open]) img')]"
        ".map(part => part.getBoundingClientRect().height)"
    )
    assert heights
    assert min(heights) > 10
    assert base64.b64decode(browser.call("Page.printToPDF")["data"]).startswith(b"%PDF")


def test_a_narrow_screen_scrolls_tables_and_not_the_page(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.call("Emulation.setDeviceMetricsOverride", width=380, height=800, deviceScaleFactor=1, mobile=True)
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 380


# --- the data card, a page of the same kind -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def card(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data card of the same experiment as a page."""
    path = tmp_path_factory.mktemp("card") / "card.html"
    result = CliRunner().invoke(
        app, ["data", str(page.parent / "spec.toml"), "--html", str(path)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.stderr
    return path


@pytest.mark.parametrize(("scheme", "brightness"), [("light", (0.9, 1.0)), ("dark", (0.0, 0.25))])
def test_a_card_is_drawn_in_light_and_dark(
    browser: Browser, card: Path, scheme: str, brightness: tuple[float, float]
) -> None:
    browser.open(card, scheme)
    pixels = browser.picture()
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    assert brightness[0] <= ground.mean() <= brightness[1]
    assert 0.01 < (np.abs(pixels - ground).max(-1) > 0.2).mean() < 0.5
    figures = browser.evaluate("[...document.querySelectorAll('figure img')].map(image => image.naturalWidth)")
    # Characters and tokens of train, validation, test and the unlabelled rows.
    assert len(figures) == 8
    assert min(figures) > 100
    for trouble in ("Network.loadingFailed", "Log.entryAdded", "Runtime.exceptionThrown"):
        assert browser.told(trouble) == []


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_of_a_card_is_cut(browser: Browser, card: Path, width: int) -> None:
    browser.open(card)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    cut = (
        "[...document.querySelectorAll('figcaption, .key, .token, h1, h3, p')]"
        ".filter(part => part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).display !== 'inline')"
        ".map(part => part.innerText)"
    )
    assert browser.evaluate(cut) == []


@pytest.mark.usefixtures("_korean_font")
def test_no_glyph_of_a_card_is_missing(browser: Browser, card: Path) -> None:
    browser.open(card)
    found = browser.evaluate(MISSING)
    assert set("좋음나쁨보통번째영화") <= set(found["letters"])
    assert found["missing"] == []
