"""Measure what it takes to list many run folders: kexp runs, and the page of kexp ui with what it is sent.

    python benchmarks/folders.py --folders 2000

One tiny experiment is run; its files are copied under other names, with other learning rates. Times of kexp runs are
those of the function that lists, without the start of Python: the first has no cache, the second that of the first, in
new processes. The page is asked for as a browser does, and bytes are those of answers and events. Beside the seconds of
the clock stand those of the processor, which other programs change less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kexp.testing import korean_texts

COPIED = ("spec.toml", "environment.json", "summary.json", "report.html")
OF_RUNS = ("result.json", "metrics.jsonl", "log.txt")
Seconds = tuple[float, float]
"""Of the clock, and of the processor."""
LISTING = """
import sys, time
from pathlib import Path
from kexp.results.runs import list_runs
started, used = time.perf_counter(), time.process_time()
rows = list_runs(Path(sys.argv[1]))
print(time.perf_counter() - started, time.process_time() - used)
"""


def one_run_folder(folder: Path) -> Path:
    """Run a tiny experiment with two seeds, and return its run folder."""
    rows = [f"{text} {number}\t{number % 2}" for number, text in enumerate([*korean_texts()] * 4)]
    (folder / "rows.tsv").write_text("text\tlabel\n" + "\n".join(rows), "utf-8")
    spec = f"""
name = "many"
seeds = [1, 2]
[dataset]
use = "table"
path = {json.dumps(str(folder / "rows.tsv"))}
[backbone]
use = "tiny"
vocabulary = 200
[training]
epochs = 2
max_length = 16
[evaluation]
baselines = []
"""
    (folder / "many.toml").write_text(spec, "utf-8")
    command = [sys.executable, "-m", "kexp", "run", folder / "many.toml", "--runs-dir", folder / "one", "--quiet"]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = (folder / "one").glob("*/*")
    return found


def copies(template: Path, runs: Path, count: int, experiments: int = 20) -> Iterator[Path]:
    """Write run folders with the files that lists read, and yield them."""
    spec = (template / "spec.toml").read_text("utf-8")
    day = 24 * 3600
    for number in range(count):
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(1_700_000_000 + number * day // 10))
        made = runs / f"실험-{number % experiments:02}" / f"{stamp}-{number:08x}"
        made.mkdir(parents=True)
        for name in COPIED:
            if (template / name).is_file():
                shutil.copyfile(template / name, made / name)
        (made / "spec.toml").write_text(
            spec.replace("learning_rate = ", f"learning_rate = 1e-{2 + number % 4} # "), "utf-8"
        )
        for run in template.glob("*/seed-*"):
            place = made / run.relative_to(template)
            place.mkdir(parents=True)
            for name in OF_RUNS:
                if (run / name).is_file():
                    shutil.copyfile(run / name, place / name)
        yield made


def listed(runs: Path, cache: Path) -> Seconds:
    """Return the seconds in which a new process lists the run folders."""
    command = [sys.executable, "-c", LISTING, str(runs)]
    found = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "KEXP_CACHE_DIR": str(cache)}
    )
    wall, used = map(float, found.stdout.split())
    return wall, used


def timed(call: Callable[[], Any]) -> tuple[Seconds, Any]:
    started, used = time.perf_counter(), time.process_time()
    found = call()
    return (time.perf_counter() - started, time.process_time() - used), found


def sent(events: Any) -> int:
    """Return the bytes of events as they are sent."""
    return sum(len(json.dumps(data, ensure_ascii=False).encode()) for _, data in events)


def page(runs: Path, folders: list[Path], template: Path) -> Iterator[tuple[str, Seconds, int]]:
    """Yield what was asked of the page, the seconds of the answer and its bytes."""
    from fastapi.testclient import TestClient

    from kexp.ui.app import _templates, make_app
    from kexp.ui.library import Library
    from kexp.ui.live import TableChanges

    client = TestClient(make_app(runs, lambda path: None, ["testserver"]))
    for title, path in {
        "page, the first time": "/", "page, again": "/", "search that finds none, the first time": "/?filter=failed",
        "search that finds none, again": "/?filter=failed", "page of 500 folders": "/?folders=500",
        "page of 500 folders, again": "/?folders=500", "all runs as data": "/data/runs", "studies": "/studies",
    }.items():  # fmt: skip
        seconds, answer = timed(lambda path=path: client.get(path))
        assert answer.status_code == 200, answer.text
        yield title, seconds, len(answer.content)
    library = Library(runs)
    changes = TableChanges(lambda: library.groups.table("", 500), _templates(), None)
    seconds, events = timed(changes.changes)
    yield "events, everything", seconds, sent(events)
    seconds, events = timed(changes.changes)
    yield "events, nothing has changed", seconds, sent(events)
    (result,) = folders[-1].glob("*/seed-1/result.json")
    text = result.read_text("utf-8")
    result.unlink()
    os.utime(result.with_name("metrics.jsonl"))
    seconds, events = timed(changes.changes)
    yield "events, a run trains", seconds, sent(events)
    with result.with_name("metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "step", "step": 7}\n')
    seconds, events = timed(changes.changes)
    yield "events, its next step", seconds, sent(events)
    result.write_text(text, "utf-8")
    changes.changes()
    new = runs / folders[-1].parent.name / "20290101T000000Z-aaaaaaaa"
    shutil.copytree(folders[-1], new)
    seconds, events = timed(changes.changes)
    yield "events, a new run folder", seconds, sent(events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="file that the figures are written to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        template = one_run_folder(place)
        runs = place / "runs"
        folders = list(copies(template, runs, options.folders))
        found = [(f"kexp runs, {which}", listed(runs, place / "cache"), 0) for which in ("the first time", "again")]
        (folders[0] / "summary.json").touch()
        found.append(("kexp runs, one folder has changed", listed(runs, place / "cache"), 0))
        os.environ["KEXP_CACHE_DIR"] = str(place / "cache of the page")
        found += page(runs, folders, template)
    print(f"{options.folders:,} run folders\tseconds\tCPU-seconds\tkB sent")
    for title, (wall, used), size in found:
        print(f"{title}\t{wall:.3f}\t{used:.3f}\t{f'{size / 1000:,.1f}' if size else ''}")
    if options.json:
        rows = [{"what": title, "seconds": of[0], "cpu_seconds": of[1], "bytes": size} for title, of, size in found]
        options.json.write_text(json.dumps({"folders": options.folders, "found": rows}, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
