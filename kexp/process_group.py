"""Several processes that train one run: sums and rows of all, and failures that all of them learn of.

Before every sum a few numbers are exchanged, in which a process that has failed says so: then all processes raise its
error, and none waits for a sum that another one does not take part in.
"""

from __future__ import annotations

import itertools
import os
import socket
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from kexp.background import Worker
from kexp.devices import is_out_of_memory
from kexp.distributed import World
from kexp.errors import DataError, KexpError, PluginError, ProcessLost, RunFailed, RunInterrupted, RunPruned

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Made = TypeVar("Made")

FLAGS = 3
"""Numbers that ``agree`` takes, at most: every exchange has as many, whatever it is for."""

START = timedelta(minutes=10)
"""How long the first process waits for the others."""

WAIT = timedelta(days=1)
"""How long a process waits for what another one does alone, such as preparing data. Lost ones are noticed at once."""

KINDS = (KexpError, DataError, PluginError, RunFailed, RunInterrupted, RunPruned, KeyboardInterrupt)


class OtherFailed(Exception):
    """Another process has raised an error that is not one of kexp's."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a process has raised: the name of its class, and its message."""

    rank: int
    host: str
    kind: str
    message: str

    @classmethod
    def of(cls, rank: int, error: BaseException) -> Failure:
        """Describe an error."""
        kind = next((of.__name__ for of in KINDS if type(error) is of), "")
        # Those with fields of their own, such as SpecError.
        if not kind and isinstance(error, KexpError):
            kind = KexpError.__name__
        if not kind and isinstance(error, Exception) and is_out_of_memory(error):
            kind = MemoryError.__name__
        message = str(error) if kind else f"{type(error).__name__}: {error}"
        return cls(rank, socket.gethostname(), kind, message)

    def error(self) -> BaseException:
        """Return the error as another process raises it."""
        where = f"process {self.rank} on {self.host}: "
        if self.kind == MemoryError.__name__:
            return MemoryError(f"out of memory: {where}{self.message}")
        kind = next((of for of in KINDS if of.__name__ == self.kind), OtherFailed)
        if kind in (RunInterrupted, KeyboardInterrupt):
            return kind(self.message)
        return kind(f"{where}{self.message}")


@dataclass(frozen=True, eq=False, kw_only=True)
class ProcessGroup(World):
    """One of several processes. All that waits for others does so in a thread, so that Ctrl-C is noticed at once."""

    exchanges: Exchanges

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of ``values`` of all processes."""
        return self.exchanges.reduced(values, "SUM")

    def joined(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return an array of which every process has some places, and zeros in all others."""
        import torch

        return self.exchanges.reduced(torch.from_numpy(array), "SUM").numpy()

    def add_gradients(self, parameters: Sequence[torch.nn.Parameter], loss: torch.Tensor) -> torch.Tensor:
        """Give every process the sum of the gradients of all, and return the sum of their losses."""
        import torch

        has_one = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        anywhere = self.exchanges.reduced(has_one, "MAX").tolist()
        chosen = [parameter for parameter, known in zip(parameters, anywhere, strict=True) if known]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in chosen]
        flat = torch.cat([loss.detach().reshape(1), *(gradient.reshape(-1) for gradient in gradients)])
        self.exchanges.do(lambda: torch.distributed.all_reduce(flat), f"gradients of {len(flat):,} weights")
        total, *parts = flat.split([1, *map(torch.numel, chosen)])  # type: ignore[no-untyped-call]
        for parameter, gradient, part in zip(chosen, gradients, parts, strict=True):
            parameter.grad = part.view_as(gradient).to(gradient.dtype)
        return cast("torch.Tensor", total[0].to(loss.dtype))

    def differing(self, values: torch.Tensor) -> list[int]:
        """Return the places at which integers, of shape (n,), are not equal in all processes."""
        import torch

        both = self.exchanges.reduced(torch.cat([values, ~values]).cpu(), "MAX")
        largest, smallest = both.chunk(2)
        return [*map(int, (largest != ~smallest).nonzero()[:, 0])]

    def from_first(self, make: Callable[[], Made]) -> Made:
        """Return what ``make`` returns in the first process, the only one to call it."""
        import torch

        made: list[Any] = [None]
        if self.first:
            with self._telling():
                made = [make()]
        self.exchanges.do(lambda: torch.distributed.broadcast_object_list(made, src=0), "what the first one has made")
        return cast("Made", made[0])

    def agree(self, *flags: int) -> tuple[int, ...]:
        """Wait for all processes and return the largest of each number; raise what another process has raised."""
        return self.exchanges.exchange(flags)

    def tell(self, error: BaseException) -> None:
        """Let all processes raise an error of this one, where it did not come from another.

        Where several fail at once, all raise the same error: the first that is not about memory. Whoever goes on after
        an error calls ``agree``.
        """
        if not isinstance(error, ProcessLost):
            self.exchanges.fail(error)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all processes fail where one of them fails in the block, and go on where all are at its end."""
        with self._telling():
            yield
        self.agree()

    @contextmanager
    def in_turn(self, *, before_others: bool) -> Iterator[None]:
        """Let processes with ``before_others`` do the block before the others begin with it."""
        if not before_others:
            self.agree()
        with self._telling():
            yield
        if before_others:
            self.agree()
        self.agree()

    def wait_for_first(self) -> None:
        """Wait until the first process has ended, which shows and writes what there is to say."""
        import torch

        with suppress(ProcessLost):
            self.exchanges.wait(lambda: torch.distributed.recv(torch.zeros(1), src=0))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the others of what is raised in the block."""
        try:
            yield
        except BaseException as error:
            self.tell(error)
            raise


class Exchanges:
    """What the processes exchange, one after the other, in a thread of its own."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.failed = False
        """Whether the last exchange told of a failure, which all processes know of then."""
        self.lost: ProcessLost | None = None
        self.worker = Worker("kexp processes")

    def exchange(self, flags: Sequence[int]) -> tuple[int, ...]:
        """Return the largest of each number; raises what another process has raised."""
        found = self._result(lambda: self._numbers(None, flags, "numbers"))
        return found[: len(flags)]

    def do(self, work: Callable[[], object], what: str) -> None:
        """Do what all processes take part in, unless one of them has failed; ``what`` is the same in all of them."""

        def unless_failed() -> tuple[int, ...] | Failure:
            found = self._numbers(None, (), what)
            if not isinstance(found, Failure):
                work()
            return found

        self._result(unless_failed)

    def reduced(self, values: torch.Tensor, how: str) -> torch.Tensor:
        """Return ``values`` of all processes summed up (SUM), or the largest of them (MAX)."""
        import torch

        # Gloo has neither; a sum of truth values is one.
        wider = {torch.bool: torch.uint8, torch.float16: torch.float32, torch.bfloat16: torch.float32}
        found = values.detach().to(wider.get(values.dtype, values.dtype), copy=True).contiguous()
        operation = getattr(torch.distributed.ReduceOp, how)
        self.do(lambda: torch.distributed.all_reduce(found, operation), f"{found.dtype} of shape {tuple(found.shape)}")
        return found.to(values.dtype)

    def fail(self, error: BaseException) -> None:
        """Tell the others of an error, unless they know of it; raises that of another process where all raise that."""

        def told() -> tuple[int, ...] | Failure | None:
            # Asked in the thread: an exchange may have been under way when this process was interrupted.
            return None if self.failed else self._numbers(Failure.of(self.rank, error), (), "")

        found = self.wait(told)
        if isinstance(found, Failure) and found.message != Failure.of(self.rank, error).message:
            raise found.error() from error

    def _result(self, work: Callable[[], tuple[int, ...] | Failure]) -> tuple[int, ...]:
        found = self.wait(work)
        if isinstance(found, Failure):
            raise found.error()
        return found

    def wait(self, work: Callable[[], Made]) -> Made:
        """Return the result of some work in the thread; raises ``ProcessLost`` where another process has ended."""
        if self.lost is not None:
            raise self.lost
        try:
            return self.worker.begin(work).result()
        # What gloo and NCCL raise, each in its own words, where a process has ended or does not answer.
        except RuntimeError as error:
            reason = str(error).splitlines()[0][:200]
            self.lost = ProcessLost(f"another process of this run has ended, or cannot be reached: {reason}")
            raise self.lost from error

    def _numbers(self, failure: Failure | None, flags: Sequence[int], what: str) -> tuple[int, ...] | Failure:
        import torch
        from torch import distributed

        place = zlib.crc32(what.encode())
        own = [int(failure is not None), place, -place, *map(int, flags)]
        values = torch.tensor(own + [0] * (3 + FLAGS - len(own)))
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
        failed, last, first, *largest = values.tolist()
        self.failed = bool(failed)
        if not failed:
            if last != -first:
                raise PluginError(
                    f"process {self.rank} exchanges {what}, another one something else at the same time; an objective "
                    "calls total and gather equally often, and with equal shapes, in every process"
                )
            return tuple(largest)
        every: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(every, failure)
        failures = [one for one in every if one is not None]
        chosen: Failure = min(failures, key=lambda one: (one.kind == MemoryError.__name__, one.rank))
        return chosen


_begun = itertools.count()


@contextmanager
def joined(place: World) -> Iterator[World]:
    """Work with the other processes of a launcher in a block, and yield the world of all; they fail together.

    A process without others is yielded as it is. Raises ``KexpError`` where the others cannot be reached, or the caller
    has made a process group of its own.
    """
    if place.size == 1:
        yield place
        return
    from torch.distributed import destroy_process_group

    world = join(place)
    try:
        with world.together():
            yield world
    finally:
        # A launcher ends all processes once one has failed: none leaves before the others are done.
        with suppress(Exception):
            world.agree()
        if world.exchanges.lost is None:
            world.exchanges.worker.close()
            destroy_process_group()


def join(place: World) -> ProcessGroup:
    """Join the other processes until this one ends; raises ``KexpError`` where they cannot be reached."""
    _make_group(place)
    return ProcessGroup(place.rank, place.size, place.local_rank, place.local_size, exchanges=Exchanges(place.rank))


def _make_group(place: World) -> None:
    import torch
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if not distributed.is_available():
        raise KexpError("this PyTorch cannot train in several processes (torch.distributed); install another build")
    if distributed.is_initialized():
        raise KexpError(
            "this program has a process group of its own (torch.distributed.init_process_group); kexp makes one, so "
            "end it before: torch.distributed.destroy_process_group()"
        )
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
    try:
        store, rank, size = next(rendezvous("env://", timeout=START))
        # Names of what is stored are used once: the store outlives a group.
        store = PrefixStore(f"kexp {next(_begun)}", store)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} (MASTER_ADDR, MASTER_PORT)"
        reason = str(error).splitlines()[0][:300]
        raise KexpError(f"process {place.rank} of {place.size} cannot reach the others at {where}: {reason}") from error
