"""Commands about what was run: runs."""

from __future__ import annotations

import json
from pathlib import Path

from kexp.cli.base import AsJson, RunsDir, app, told


@app.command()
def runs(runs_dir: RunsDir = Path("runs"), as_json: AsJson = False) -> None:
    """List the run folders, newest first."""
    with told():
        from kexp.console import print_table
        from kexp.runs import list_runs

        rows = list_runs(runs_dir)
        if as_json:
            print(json.dumps([row.as_dict() for row in rows], ensure_ascii=False))
            return
        table = []
        for row in rows:
            best = max((scores.get("accuracy") or 0.0 for scores in row.test.values()), default=None)
            score = "" if best is None else f"{best:.4f}"
            table.append([row.experiment, row.status, str(len(row.test)), score, str(row.folder)])
        print_table("runs", ["experiment", "status", "variants", "best test accuracy", "folder"], table)
