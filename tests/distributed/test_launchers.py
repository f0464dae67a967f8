"""What the variables of launchers say: torchrun is followed, others are refused, and a batch script runs once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support import kexp

import kexp as package
from kexp.distributed import ALONE, World
from kexp.errors import KexpError
from kexp.launchers import follows, launched, need_one_process

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "node1", "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
}  # fmt: skip
ONE = {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
STEP = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2", "SLURM_NTASKS": "4"}


def test_torchrun_says_which_place_a_process_has() -> None:
    found = launched(TORCHRUN)
    assert (found.rank, found.size, found.local_rank, found.local_size, found.first) == (5, 8, 1, 4, False)
    assert follows(TORCHRUN)
    assert not follows({**TORCHRUN, "RANK": "0"})


@pytest.mark.parametrize(
    "variables",
    [
        {},
        ONE,
        {"WORLD_SIZE": "1"},
        {"WORLD_SIZE": "", "RANK": ""},
        # A batch script that asked for several tasks and runs once.
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"},
        {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
        {"OMPI_COMM_WORLD_SIZE": "1", "PMI_SIZE": "1"},
        # Each task is to train a run of its own, as the user says.
        {**STEP, "WORLD_SIZE": "1"},
    ],
)
def test_a_process_without_others_trains_alone(variables: dict[str, str]) -> None:
    assert launched(variables) is ALONE


def test_torchrun_in_each_of_several_tasks_is_followed() -> None:
    assert launched({**STEP, **TORCHRUN}).size == 8


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"WORLD_SIZE": "2"},
            "WORLD_SIZE is 2, but RANK, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT are not set, so this process "
            "cannot find the others; start them with torchrun",
        ),
        ({**TORCHRUN, "MASTER_ADDR": ""}, "but MASTER_ADDR is not set"),
        ({**TORCHRUN, "RANK": "8"}, "RANK=8, WORLD_SIZE=8, LOCAL_RANK=1, LOCAL_WORLD_SIZE=4: ranks are counted from 0"),
        ({**TORCHRUN, "LOCAL_RANK": "4"}, "LOCAL_RANK=4, LOCAL_WORLD_SIZE=4: ranks are counted from 0"),
        ({"WORLD_SIZE": "둘"}, "WORLD_SIZE is '둘', expected a whole number"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0', expected a whole number"),
        ({**TORCHRUN, "RANK": "-1"}, "RANK is '-1', expected a whole number"),
        (STEP, "srun has begun 4 tasks (SLURM_STEP_NUM_TASKS), each of which would train the whole run"),
        ({**STEP, **ONE}, "srun has begun 4 tasks"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "mpirun has begun 2 tasks (OMPI_COMM_WORLD_SIZE)"),
        ({"PMI_SIZE": "3"}, "mpirun has begun 3 tasks (PMI_SIZE)"),
    ],
)
def test_a_launcher_that_cannot_be_followed_is_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(KexpError, match=re.escape(message)) as raised:
        launched(variables)
    assert "torchrun --nproc_per_node N -m kexp run" in str(raised.value)


@pytest.mark.parametrize(
    ("variables", "silent"),
    [
        ({}, False),
        (STEP, True),
        ({**STEP, "SLURM_PROCID": "0"}, False),
        ({"WORLD_SIZE": "2"}, False),
        (ONE, False),
        # A torchrun of one process in each of several tasks is refused, once.
        ({**STEP, **ONE}, True),
        # No other process has what a run of its own, or a rank that does not exist, leads to.
        ({**STEP, "WORLD_SIZE": "1"}, False),
        ({**TORCHRUN, "RANK": "8"}, False),
        ({**TORCHRUN, "RANK": "none"}, False),
        ({**TORCHRUN, "WORLD_SIZE": "둘"}, False),
    ],
)
def test_what_is_refused_is_said_once(variables: dict[str, str], silent: bool) -> None:
    assert follows(variables) is silent


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")


@pytest.mark.usefixtures("launcher")
@pytest.mark.parametrize(
    "command", [["tune", "spec.toml"], ["predict", "model", "a.csv"], ["cache"], ["export", "model"]]
)
def test_other_commands_are_refused_in_several_processes(command: list[str]) -> None:
    ended = kexp(*command)
    assert ended.exit_code == 2
    expected = f"kexp {command[0]} works in one process, and WORLD_SIZE is 2: only kexp run takes several"
    assert ended.stderr.startswith(expected)


@pytest.mark.usefixtures("launcher")
def test_a_run_without_the_other_processes_is_refused_and_makes_nothing(tmp_path: Any) -> None:
    ended = kexp("run", "spec.toml", "--runs-dir", tmp_path)
    assert (ended.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "RANK, LOCAL_RANK" in ended.stderr
    with pytest.raises(KexpError, match="RANK, LOCAL_RANK"):
        package.run("spec.toml", runs_dir=tmp_path)
    with pytest.raises(KexpError, match=r"kexp\.tune works in one process"):
        package.tune("spec.toml", runs_dir=tmp_path)


def test_one_process_is_enough_for_commands_that_read() -> None:
    need_one_process("kexp tune", {})
    need_one_process("kexp tune", STEP)
    assert World().size == 1


def test_a_process_that_cannot_join_the_others_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The first process learns nothing of it, and the others show nothing else."""

    def unreachable(place: World) -> None:
        raise KexpError(f"process {place.rank} of {place.size} cannot reach the others")

    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("kexp.process_group._make_group", unreachable)
    with open(tmp_path / "errors", "w+") as errors:  # noqa: PTH123
        monkeypatch.setattr("sys.__stderr__", errors)
        ended = kexp("run", "spec.toml", "--runs-dir", tmp_path / "runs")
        errors.seek(0)
        said = errors.read()
    assert ended.exit_code == 2
    assert said == "process 5 of 8 cannot reach the others\n"
    assert not (tmp_path / "runs").exists()
