"""Time an epoch of kexp with options that could make it faster, beside its defaults.

    python benchmarks/options.py --model FOLDER_OR_ID --data ratings_train.txt --set training.precision='"bf16"'

Without ``--set`` a list of options is tried: one that this machine or this version does not have is named and left out.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from common import parser, report, reviews, table, take_turns
from contestants import Work, kexp, need_equal_work, save_classifier

TRIED: tuple[dict[str, Any], ...] = (
    {"training.length_bucketing": False},
    {"training.precision": "bf16"},
    {"training.compile": True},
    {"training.gradient_checkpointing": True},
)


def setting(stated: str) -> dict[str, Any]:
    """Return a key and its value, which is written as in JSON."""
    key, _, value = stated.partition("=")
    return {key: json.loads(value)}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-length", type=int, default=64)
    arguments.add_argument("--set", type=setting, action="append", dest="settings", help='as training.precision="bf16"')
    options = arguments.parse_args()
    rows = reviews(options)
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Work(save_classifier(options.model, Path(folder)), rows, options.max_length)
        # As a peer, so that the others are compared with it.
        contestants = {"defaults": partial(kexp, work)}
        few = Work(work.model, rows.head(32), options.max_length)
        for settings in options.settings or TRIED:
            name = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
            try:
                kexp(few, settings)
            except SystemExit as error:
                left_out[name] = str(error)
                print(f"left out: {name}: {error}")
                continue
            contestants[f"kexp, {name}"] = partial(kexp, work, settings)
        found = take_turns(contestants, options.rounds)
    title = f"options of an epoch at max_length {options.max_length}"
    equal = {title: need_equal_work(work, found)}
    seconds = {name: [outcome.seconds for outcome in outcomes] for name, outcomes in found.items()}
    tables = [table(title, seconds, base="defaults", rows=len(rows))]
    report(options, tables, equal_work=equal, left_out=left_out)


if __name__ == "__main__":
    main()
