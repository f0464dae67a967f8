"""Takes the pictures of ``kexp ui`` that the documentation shows: ``python docs/images/take.py``.

Trains a small model on synthetic reviews, searches its learning rate, and opens the pages in Chromium at two widths.
"""

from __future__ import annotations

import csv
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from kexp.sample_reviews import korean_reviews

HERE = Path(__file__).parent
NOISE = 0.05
"""Share of the labels that are wrong."""

SPEC = """
name = "{name}"
seeds = {seeds}
dataset = {{use = "table", path = "reviews.csv"}}
backbone = {{use = "tiny", layers = 1, hidden = 32, heads = 2, vocabulary = 300}}
training = {{epochs = 12, batch_size = 16, max_length = 32, learning_rate = 2e-3}}
"""
VARIANTS = """
[variants."교차-엔트로피"]
[variants."포컬-손실"]
objective = {use = "focal", gamma = 2.0}
[variants."무작위-삭제"]
augmentation = {labelled = {use = "random-deletion", p = 0.2}}
"""
SEARCH = """
[search]
trials = 12
[search.space]
"training.learning_rate" = {low = 1e-4, high = 2e-2, log = true}
"training.batch_size" = {choices = [8, 16, 32]}
"""


def main() -> None:
    """Train, serve, and take every picture."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _train(place)
        command = [sys.executable, "-m", "kexp", "ui", "--runs-dir", "runs", "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=place) as server:
            assert server.stderr is not None
            try:
                found = re.match(r"http://127\.0\.0\.1:\d+", server.stderr.readline())
                assert found is not None
                _take(found[0])
            finally:
                server.send_signal(signal.SIGINT)


def _train(place: Path) -> None:
    chance = random.Random(0)
    texts, labels = korean_reviews(480)
    with (place / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for text, label in zip(texts, labels, strict=True):
            # The last of two reviews counts, which a small model learns slowly.
            writer.writerow((f"{chance.choice(texts)} {text}", ("부정", "긍정")[label ^ (chance.random() < NOISE)]))
    (place / "run.toml").write_text(SPEC.format(name="영화-감상평", seeds=[1, 2, 3]) + VARIANTS, "utf-8")
    (place / "tune.toml").write_text(SPEC.format(name="학습률-탐색", seeds=[1]) + SEARCH, "utf-8")
    for command in ("run", "tune"):
        arguments = [command, f"{command}.toml", "--runs-dir", "runs", "--quiet"]
        subprocess.run([sys.executable, "-m", "kexp", *arguments], check=True, cwd=place)


def _take(address: str) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for width in (1280, 390):
            viewport: Any = {"width": width, "height": 860}
            options: Any = {"color_scheme": "light", "timezone_id": "Asia/Seoul"}
            _pages(opened.new_context(base_url=address, viewport=viewport, **options).new_page(), width)
        opened.close()


def _pages(page: Page, width: int) -> None:
    keys = [run["key"] for run in page.request.get("/data/runs").json() if run["experiment"] == "영화-감상평"]
    page.goto("/")
    page.locator(".expand").first.click()
    page.locator(".all").last.check()
    _save(page, f"page-runs-{width}")
    curve = ".plot[data-curve=cross_entropy] .scatterlayer .point"
    page.goto(f"/run?{urlencode({'run': keys[-1]})}")
    page.wait_for_selector(curve)
    _save(page, f"page-run-{width}")
    page.goto(f"/compare?{urlencode({'run': keys}, doseq=True)}")
    page.wait_for_selector(curve)
    _save(page, f"page-compare-{width}")
    page.goto("/studies")
    page.locator("tbody a").first.click()
    page.wait_for_selector("#trials tbody")
    _save(page, f"page-study-{width}")
    page.goto(f"/predict?{urlencode({'run': [keys[0], keys[-1]]}, doseq=True)}")
    page.fill("#text", "이 영화는 이야기가 정말 감동적이에요! 마지막 장면은 생각보다 별로예요...")
    page.locator("#predict .button").click()
    page.wait_for_function("() => document.querySelectorAll('.words').length === 2")
    page.wait_for_selector("#loading", state="hidden")
    _save(page, "page" if width > 390 else "page-390")


def _save(page: Page, name: str) -> None:
    # Plotly draws at the next frames.
    page.wait_for_timeout(800)
    path = HERE / f"{name}.png"
    page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
