"""Takes the pictures of a report that the documentation shows: ``python docs/images/take_report.py REPORT.html``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
PARTS = {"results": ("h1", 1500), "variants": ("h2:text-is('Variants')", 1650)}
"""Where a picture begins, and its height in pixels."""


def main(report: Path) -> None:
    """Take both parts at both widths."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for width in (1280, 390):
            page = opened.new_page(viewport={"width": width, "height": 900}, color_scheme="light")
            page.goto(report.resolve().as_uri())
            for name in PARTS:
                _take(page, name, width)
        opened.close()


def _take(page: Page, name: str, width: int) -> None:
    begin, height = PARTS[name]
    box = page.locator(begin).first.bounding_box()
    assert box is not None
    path = HERE / f"report-{name}-{width}.png"
    place = {"x": 0.0, "y": max(box["y"] - 20, 0.0), "width": float(width), "height": float(height)}
    page.screenshot(path=path, full_page=True, clip=place)  # type: ignore[arg-type]
    with Image.open(path) as image:
        # Lines in colours that few pixels have keep them.
        small = image.convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
