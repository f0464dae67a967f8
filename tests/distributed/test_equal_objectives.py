"""Steps of every objective in several processes are those of one, through gloo and the loop's own step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from distributed.launched import torchrun

from kexp.builtin.objectives import OBJECTIVES

SCRIPT = Path(__file__).parent / "objectives_script.py"


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_losses_gradients_logs_weights_and_states_are_those_of_one_process(processes: int, tmp_path: Path) -> None:
    ended = torchrun(SCRIPT, tmp_path, processes=processes)
    assert ended.status == 0, ended.errors
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(processes)]
    for name, result in found[0].items():
        assert [one[name]["digests"] for one in found] == [result["digests"]] * processes, name
        # The random directions of each process are its own.
        if not name.startswith("vat"):
            assert result["differences"] == pytest.approx(dict.fromkeys(result["differences"], 0), abs=1e-6), name
    assert {name.partition(",")[0] for name in found[0]} == set(OBJECTIVES)
