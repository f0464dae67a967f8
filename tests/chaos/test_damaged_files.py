"""Files that are read again, with a bit that has changed or without their end: equal results, or a refusal by name."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from cases import SPECS, different, results_of, study_results
from processes import Commands, kill

COSTLY = {"kexp.builtin.augmenters:RandomDeletion.costly": True}
"""So that augmented views are stored."""


def damage(path: Path, draw: random.Random) -> str:
    """Change a bit of a file, or cut it off; return what was done."""
    content = bytearray(path.read_bytes())
    at = draw.randrange(len(content))
    if draw.random() < 0.3:
        path.write_bytes(content[:at])
        return f"{path.name} cut off after {at} bytes"
    bit = draw.randrange(8)
    content[at] ^= 1 << bit
    path.write_bytes(content)
    return f"{path.name} bit {bit} of byte {at}"


# --- a run that was killed while it trained ---------------------------------------------------------------------------

KINDS = {
    "checkpoint": "runs/*/*/uda/seed-1/checkpoint/step-*.safetensors",
    "best weights": "runs/*/*/uda/seed-1/checkpoint/weights-*.safetensors",
    "token cache": "cache/tokens/*.npy",
    "stored views": "cache/augmented/**/*.json",
    "spec.toml": "runs/*/*/spec.toml",
    "environment.json": "runs/*/*/environment.json",
    "rows.npz": "runs/*/*/rows.npz",
    "result.json": "runs/*/*/labels/seed-1/result.json",
    "predictions.parquet": "runs/*/*/labels/seed-1/predictions.parquet",
}


@pytest.fixture(scope="module")
def killed(kexp: Commands, reviews: Path) -> tuple[Path, dict[str, Any]]:
    """Return a folder with the runs and the cache of an experiment whose second run was killed, and its results."""
    spec, folder = kexp.folder / "stored.toml", kexp.folder / "killed"
    spec.write_text(SPECS["stored"].format(data=reviews), "utf-8")
    ended = kexp.run("run", spec, "--runs-dir", kexp.folder / "whole", "--quiet", patch=COSTLY)
    assert ended.status == 0, ended.errors
    results = results_of(*(kexp.folder / "whole" / "stored").iterdir())

    def strike(process: int) -> None:
        checkpoints = folder / "runs"
        deadline = time.monotonic() + 120
        # In one listing: whether two checkpoints and the weights that both need are there.
        while time.monotonic() < deadline:
            names = [path.name for path in checkpoints.glob("*/*/uda/seed-1/checkpoint/[sw]*")]
            if sum(name.startswith("step-") for name in names) == 2 and any(name.startswith("w") for name in names):
                break
            time.sleep(0.001)
        kill(process)

    environment = {"KEXP_CACHE_DIR": str(folder / "cache")}
    ended = kexp.run(
        "run", spec, "--runs-dir", folder / "runs", "--quiet", meanwhile=strike, environment=environment, patch=COSTLY
    )
    assert ended.status == -9, ended.errors
    return folder, results


@pytest.mark.usefixtures("nothing_lost")
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_experiment(
    kind: str, kexp: Commands, killed: tuple[Path, dict[str, Any]], tally: Any, long: bool, tmp_path: Path
) -> None:
    template, expected = killed
    for number in range(12 if long else 1):
        draw, place = random.Random(f"{kind} {number}"), tmp_path / str(number)
        shutil.copytree(template, place)
        path = draw.choice(sorted(place.glob(KINDS[kind])))
        done = damage(path, draw)
        (folder,) = (place / "runs" / "stored").glob("[!.]*")
        environment = {"KEXP_CACHE_DIR": str(place / "cache")}
        ended = kexp.run("run", "--resume", folder, environment=environment, patch=COSTLY)
        told = path.name in ended.errors or (kind == "environment.json" and str(folder) in ended.errors)
        if ended.status == 0:
            own = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""
            wrong = [name for name in different(expected, results_of(folder)) if name != own]
            outcome = ", ".join(wrong) or "survived"
            if not told and "cut off" in done and kind in ("token cache", "stored views"):
                outcome = "nothing was told of it"
        else:
            outcome = "refused" if told and "Traceback" not in ended.errors else f"{ended.status}: {ended.errors}"
        tally(f"damaged {kind}", outcome, f"{place}: {done}")
        shutil.rmtree(place)


# --- a trained model ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_lost", "long_only")
def test_a_model_folder(
    kexp: Commands, killed: tuple[Path, dict[str, Any]], reviews: Path, tally: Any, tmp_path: Path
) -> None:
    (model,) = (kexp.folder / "whole" / "stored").glob("*/labels/seed-1/model")
    output = tmp_path / "predictions.csv"

    def predict(folder: Path) -> Any:
        output.unlink(missing_ok=True)
        return kexp.run("predict", folder, "--input", reviews, "--output", output)

    assert predict(model).status == 0
    expected = output.read_bytes()
    for name in sorted(path.name for path in model.iterdir()):
        for number in range(4):
            place = tmp_path / f"{name}-{number}" / "model"
            shutil.copytree(model, place)
            done = damage(place / name, random.Random(f"{name} {number}"))
            ended = predict(place)
            if ended.status == 0:
                outcome = "survived" if output.read_bytes() == expected else "other predictions"
            else:
                told = str(place) in ended.errors and "Traceback" not in ended.errors
                outcome = "refused" if told else f"{ended.status}: {ended.errors}"
            tally("damaged model folder", outcome, done)


# --- a study -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_lost", "long_only")
def test_a_journal(kexp: Commands, reviews: Path, tally: Any, tmp_path: Path) -> None:
    spec = kexp.folder / "study.toml"
    spec.write_text(SPECS["study"].replace("trials = 5", "trials = 3").format(data=reviews), "utf-8")
    runs = kexp.folder / "studies"
    ended = kexp.run("tune", spec, "--runs-dir", runs, "--quiet")
    assert ended.status == 0, ended.errors
    expected = study_results(*runs.glob("study/study-*"))
    for number in range(12):
        place = tmp_path / str(number)
        shutil.copytree(runs, place)
        (folder,) = place.glob("study/study-*")
        done = damage(folder / "journal.log", random.Random(f"journal {number}"))
        ended = kexp.run("tune", spec, "--runs-dir", place, "--quiet")
        if ended.status == 0:
            outcome = ", ".join(different(expected, study_results(folder))) or "survived"
        else:
            told = str(folder / "journal.log") in ended.errors and "Traceback" not in ended.errors
            outcome = "refused" if told else f"{ended.status}: {ended.errors}"
        tally("damaged journal.log", outcome, done)
