"""What the processes of a world find out together; each writes it to a file of its own in the folder that is given."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kexp.distributed import World
from kexp.errors import KexpError, PluginError, RunInterrupted
from kexp.launchers import launched
from kexp.process_group import joined
from kexp.shared_folder import all_see, need_shared
from kexp.train.equal_weights import need_equal

Found = dict[str, Any]


def sums(world: World) -> Found:
    own = torch.arange(3.0) * 10**world.rank
    assert world.total(own) is not own
    half = torch.full((2,), 0.5, dtype=torch.bfloat16)
    return {
        "total": world.total(own).tolist(),
        "unchanged": own.tolist(),
        "whole": world.total(torch.tensor(world.rank + 1)).item(),
        "flags": world.total(torch.tensor([world.rank == 1, False])).tolist(),
        "half": [world.total(half).tolist(), str(world.total(half).dtype)],
        "none": list(world.total(torch.zeros(0, 4)).shape),
        "joined": world.joined(np.where(np.arange(5) % world.size == world.rank, np.arange(5) / 3, 0)).tolist(),
        "agreed": world.agree(world.rank, -world.rank),
        "from first": world.from_first(lambda: {"rank": world.rank, "values": np.arange(2)})["rank"],
    }


def gradients(world: World) -> Found:
    both, last, none = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(3))
    both.grad = torch.full((2, 2), float(world.rank + 1))
    if world.rank == world.size - 1:
        last.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    loss = world.add_gradients([both, last, none], torch.tensor(0.25))
    assert both.grad is not None
    assert last.grad is not None
    return {"loss": loss.item(), "both": both.grad.tolist(), "last": last.grad.tolist(), "none": none.grad is None}


def turns(world: World) -> Found:
    """Each process notes when it was in the block."""
    with world.first_on_machine():
        begun = time.monotonic()
        time.sleep(0.2)
        ended = time.monotonic()
    return {"turn": [begun, ended]}


def differences(world: World) -> Found:
    net = torch.nn.Linear(2, 2)
    with torch.no_grad():
        for weights in net.parameters():
            weights.fill_(0.1)
    need_equal(world, net.state_dict(), "at step 3")
    if world.rank == 1:
        with torch.no_grad():
            net.bias[1] = torch.nextafter(net.bias[1], torch.tensor(1.0))
    different = raised(lambda: need_equal(world, net.state_dict(), "at step 4"))
    uneven = raised(lambda: world.total(torch.zeros(3 if world.first else 4)))
    waiting = raised(lambda: world.total(torch.zeros(3)) if world.first else world.agree())
    return {"different": different, "uneven": uneven, "waiting": waiting, "after": world.total(torch.ones(1)).item()}


def failures(world: World) -> Found:
    def fail(*ranks: int, error: BaseException) -> str:
        def work() -> None:
            with world.together():
                world.total(torch.ones(1))
                if world.rank in ranks:
                    raise error
                world.total(torch.ones(1))

        said = raised(work)
        world.agree()
        return said

    def two() -> None:
        with world.together():
            raise (MemoryError("allocation") if world.rank == 0 else PluginError(f"broken in {world.rank}"))

    last = world.size - 1
    found = {
        "plugin": fail(last, error=PluginError("objective x: broken")),
        "memory": fail(0, error=RuntimeError("CUDA out of memory")),
        "bug": fail(0, error=ZeroDivisionError("division")),
        "interrupted": fail(last, error=RunInterrupted("stopped after step 3 of 9")),
        "Ctrl-C": fail(0, error=KeyboardInterrupt()),
        "all": fail(*range(world.size), error=KexpError("the same everywhere")),
        "memory and another": raised(two),
    }
    world.agree()

    def first_fails() -> None:
        if world.first:
            raise KexpError("only in the first")

    found["in the first"] = raised(lambda: world.from_first(first_fails))
    world.agree()

    def last_fails_at_its_turn() -> None:
        with world.in_turn(before_others=world.first):
            if world.rank == last:
                raise KexpError("in the last")

    found["in turn"] = raised(last_fails_at_its_turn)
    world.agree()
    return {**found, "afterwards": world.total(torch.ones(1)).item()}


def folders(world: World) -> Found:
    folder = Path(sys.argv[1])
    elsewhere = folder / f"of {world.rank}"

    @contextmanager
    def moved() -> Iterator[None]:
        """Let the other processes see another folder than the first one, as on another machine."""
        import kexp.shared_folder as module

        exists, module.PATIENCE = Path.exists, 0.2
        Path.exists = lambda self: world.first and exists(self)  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            Path.exists = exists  # type: ignore[method-assign]

    found: Found = {"seen": all_see(world, folder if world.first else None)}
    with moved():
        found["unseen"] = all_see(world, folder if world.first else None)
        found["needed"] = raised(lambda: need_shared(world, folder if world.first else None, "share it"))
    world.agree()
    return {**found, "left": world.from_first(lambda: sorted(map(str, folder.glob(".*")))), "made": elsewhere.exists()}


def raised(work: Callable[[], object]) -> str:
    try:
        work()
    except BaseException as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return "nothing"


def main() -> None:
    folder = Path(sys.argv[1])
    found: Found = {}
    # A process group may be made again.
    for part in (sums, gradients, turns), (differences, failures, folders):
        with joined(launched()) as world:
            for one in part:
                found |= {f"{one.__name__} {name}": value for name, value in one(world).items()}
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(found))


main()
