"""What several processes compute and find out together, in processes that torchrun begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from distributed.launched import torchrun

SCRIPT = Path(__file__).parent / "world_script.py"


@pytest.fixture(scope="module", params=[2, 3])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process has found, in the order of ranks."""
    folder = tmp_path_factory.mktemp("world")
    ended = torchrun(SCRIPT, folder, processes=request.param)
    assert ended.status == 0, ended.errors
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(request.param)]


def values(found: list[dict[str, Any]], name: str) -> Any:
    """Return what all processes have found, which is the same."""
    first = found[0][name]
    assert [one[name] for one in found] == [first] * len(found)
    return first


def test_sums_are_those_of_all_processes_and_change_nothing_that_is_given(found: list[dict[str, Any]]) -> None:
    size = len(found)
    whole = sum(10**rank for rank in range(size))
    assert values(found, "sums total") == [0, whole, 2 * whole]
    assert [one["sums unchanged"] for one in found] == [[0, 10**rank, 2 * 10**rank] for rank in range(size)]
    assert values(found, "sums whole") == sum(range(1, size + 1))
    assert values(found, "sums flags") == [True, False]
    assert values(found, "sums half") == [[size / 2] * 2, "torch.bfloat16"]
    assert values(found, "sums none") == [0, 4]
    assert values(found, "sums joined") == [number / 3 for number in range(5)]
    assert values(found, "sums agreed") == [size - 1, 0]
    assert values(found, "sums from first") == 0


def test_gradients_add_up_and_what_no_process_has_stays_without(found: list[dict[str, Any]]) -> None:
    size = len(found)
    assert values(found, "gradients loss") == size / 4
    assert values(found, "gradients both") == [[sum(range(1, size + 1))] * 2] * 2
    assert values(found, "gradients last") == [[1, 2], [3, 4]]
    assert values(found, "gradients none") is True


def test_the_first_process_of_a_machine_is_done_before_the_others_begin(found: list[dict[str, Any]]) -> None:
    (_, ended), *others = (one["turns turn"] for one in found)
    assert all(begun >= ended for begun, _ in others)


def test_a_weight_that_differs_in_its_last_bit_is_named(found: list[dict[str, Any]]) -> None:
    said = values(found, "differences different")
    assert said.startswith(f"RunFailed: the {len(found)} processes have different weights at step 4 (bias, and 0 more)")


def test_processes_that_exchange_different_things_fail_instead_of_waiting(found: list[dict[str, Any]]) -> None:
    rest = "another one something else at the same time; an objective calls total and gather equally often"
    for rank, one in enumerate(found):
        shape, what = (3, "torch.float32 of shape (3,)") if rank == 0 else (4, "numbers")
        uneven = f"PluginError: process {rank} exchanges torch.float32 of shape ({shape},), {rest}"
        assert one["differences uneven"].startswith(uneven)
        assert one["differences waiting"].startswith(f"PluginError: process {rank} exchanges {what}, {rest}")
    assert values(found, "differences after") == len(found)


@pytest.mark.parametrize(
    ("case", "rank", "own", "others"),
    [
        ("plugin", -1, "PluginError: objective x: broken", "PluginError: process {rank} on {host}: objective x: broken"),
        ("memory", 0, "RuntimeError: CUDA out of memory", "MemoryError: out of memory: process 0 on {host}: CUDA out of memory"),
        ("bug", 0, "ZeroDivisionError: division", "OtherFailed: process 0 on {host}: ZeroDivisionError: division"),
        ("interrupted", -1, "RunInterrupted: stopped after step 3 of 9", "RunInterrupted: stopped after step 3 of 9"),
        ("Ctrl-C", 0, "KeyboardInterrupt: ", "KeyboardInterrupt: "),
        ("in the first", 0, "KexpError: only in the first", "KexpError: process 0 on {host}: only in the first"),
        ("in turn", -1, "KexpError: in the last", "KexpError: process {rank} on {host}: in the last"),
    ],
)  # fmt: skip
def test_what_one_process_raises_all_raise(
    case: str, rank: int, own: str, others: str, found: list[dict[str, Any]]
) -> None:
    import socket

    said, failed = [one[f"failures {case}"] for one in found], rank % len(found)
    expected = others.format(rank=failed, host=socket.gethostname())
    assert said == [own if number == failed else expected for number in range(len(found))]


def test_errors_of_several_processes_become_one_that_is_not_about_memory(found: list[dict[str, Any]]) -> None:
    assert values(found, "failures all") == "KexpError: the same everywhere"
    said = [one["failures memory and another"] for one in found]
    assert said[1] == "PluginError: broken in 1"
    assert said[0].startswith("PluginError: process 1 on ")
    assert said[0].endswith("broken in 1")


def test_after_a_failure_the_processes_go_on_together(found: list[dict[str, Any]]) -> None:
    assert values(found, "failures afterwards") == len(found)


def test_a_folder_that_another_machine_does_not_see_is_noticed_and_left_as_it_was(found: list[dict[str, Any]]) -> None:
    assert values(found, "folders seen") is True
    assert values(found, "folders unseen") is False
    assert all(
        "is not the folder into which the first process writes; share it" in one["folders needed"] for one in found
    )
    assert values(found, "folders left") == []
    assert values(found, "folders made") is False
