"""Steps of an objective in several processes, for which threads stand that exchange what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from threading import Condition
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from kexp.contracts import Batch, Objective, ObjectiveOptions, Progress, UnlabelledBatch
from kexp.distributed import World
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows, own
from kexp.testing.objective_steps import StepRows, backward, build

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# --- processes that meet ---------------------------------------------------------------------------------------------


class Exchange:
    """Where processes meet: each brings something, and all get what all have brought, in the order of their ranks."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.brought: dict[int, Any] = {}
        self.rounds: list[list[Any]] = []
        self.error: BaseException | None = None
        self.changed = Condition()

    def meet(self, rank: int, brought: Any) -> list[Any]:
        """Wait for all; raises ``RuntimeError`` where another one has failed."""
        with self.changed:
            number = len(self.rounds)
            self.brought[rank] = brought
            if len(self.brought) == self.size:
                self.rounds.append([self.brought[each] for each in range(self.size)])
                self.brought = {}
                self.changed.notify_all()
            self.changed.wait_for(lambda: self.error is not None or len(self.rounds) > number)
            if len(self.rounds) <= number:
                raise RuntimeError("another process has failed")
            return self.rounds[number]

    def fail(self, error: BaseException) -> None:
        """Remember the first error, and let the others fail, which would wait for ever."""
        with self.changed:
            self.error = self.error or error
            self.changed.notify_all()


@dataclass(frozen=True)
class ThreadWorld:
    """The place of a thread among those that stand for processes, like ``kexp.distributed.World`` of processes."""

    exchange: Exchange
    rank: int

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.exchange.size

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of the values of all, which have one type and shape."""
        found = self._meet(values.detach().clone())
        total: torch.Tensor = sum(found[1:], found[0])
        return total

    def end(self) -> None:
        """Tell that this process has nothing more to exchange."""
        self._meet(None)

    def _meet(self, brought: torch.Tensor | None) -> list[Any]:
        found = self.exchange.meet(self.rank, brought)
        kinds = ["nothing" if one is None else f"{one.dtype} of shape {tuple(one.shape)}" for one in found]
        assert len(set(kinds)) == 1, f"processes exchange different things at the same time: {', '.join(kinds)}"
        return found


def in_processes(size: int, work: Callable[[ThreadWorld], T]) -> list[T]:
    """Return what ``work`` returns in every process; raises what fails first in one."""
    exchange = Exchange(size)

    def one(rank: int) -> T:
        try:
            world = ThreadWorld(exchange, rank)
            # One at a time, until it waits for the others: threads share more than processes do.
            with exchange.changed:
                result = work(world)
                world.end()
        except BaseException as error:
            exchange.fail(error)
            raise
        return result

    with ThreadPoolExecutor(size) as pool:
        running = [pool.submit(one, rank) for rank in range(size)]
    if exchange.error is not None:
        raise exchange.error
    return [one.result() for one in running]


# --- a step in all of them -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What a process returns for a step: its part of the loss, the gradients of that by name, logs, and its state."""

    loss: torch.Tensor
    gradients: Mapping[str, torch.Tensor | None]
    logs: Mapping[str, torch.Tensor]
    state: Mapping[str, torch.Tensor]


class Processes:
    """An objective in ``size`` processes, each with a copy of the model and with ``rows[rank::size]`` of every step."""

    def __init__(self, options: ObjectiveOptions, rows: StepRows, size: int) -> None:
        self.rows, self.size = rows, size
        self.objectives = [build(options, seed=rank) for rank in range(size)]
        self.modules = [deepcopy(rows.module) for _ in range(size)]

    def step(self, progress: Progress) -> Sequence[Part]:
        """Do a step in all processes, with the weights that the model has now; raises what fails first in one."""
        return in_processes(self.size, lambda world: self._part(world, progress))

    def _part(self, world: ThreadWorld, progress: Progress) -> Part:
        module, objective, whole = (
            self.modules[world.rank],
            self.objectives[world.rank],
            cast("Classifier", self.rows.model),
        )
        module.load_state_dict(self.rows.module.state_dict())
        module.zero_grad()
        model = Classifier(module, whole.hardware, whole.pad_id, world=cast("World", world))
        found = objective.step(model, *part_of_rows(self.rows, world.rank, world.size), progress)
        backward(found)
        objective.stepped(model, Progress(progress.step + 1, progress.total_steps))
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        return Part(found.loss.detach(), gradients, found.logs, objective.state_dict())


def part_of_rows(rows: StepRows, rank: int, size: int) -> tuple[Batch, UnlabelledBatch | None]:
    """Return the rows of a step that a process has."""

    def chosen(all_rows: Any) -> TokenRows:
        found = own(all_rows)
        of_token = np.repeat(np.arange(len(found)), found.lengths) % size == rank
        types = None if found.types is None else found.types[of_token]
        return TokenRows(found.ids[of_token], found.lengths[rank::size], types)

    labelled, unlabelled = rows.batch, rows.unlabelled
    part = Batch(chosen(labelled.inputs), labelled.labels[rank::size], len(labelled.labels))
    if unlabelled is None:
        return part, None
    views = chosen(unlabelled.original), chosen(unlabelled.augmented)
    return part, UnlabelledBatch(*views, unlabelled.rows[rank::size], len(unlabelled.rows))


# --- what they have to return ----------------------------------------------------------------------------------------


def check_parts(rows: StepRows, alone: Objective, processes: Processes, progress: Progress, *, is_random: bool) -> None:
    """Do a step alone and in several processes; fail unless the parts add up, and logs and states are those of it.

    Where the objective draws random numbers, each process draws others: then only the processes are compared.
    """
    rows.module.zero_grad()
    whole = rows.step(alone, progress.step, progress.total_steps)
    backward(whole)
    alone.stepped(rows.model, Progress(progress.step + 1, progress.total_steps))
    parts = processes.step(progress)
    for part in parts:
        _check_equal("a log", part.logs, parts[0].logs, rtol=0, atol=0)
        _check_equal("a tensor of the state", part.state, parts[0].state, rtol=0, atol=0)
    if is_random:
        return
    loss = {"loss": sum(part.loss for part in parts)}
    _check_equal("the sum of the parts", loss, {"loss": whole.loss.detach()}, rtol=1e-5, atol=1e-7)
    _check_equal("a log", parts[0].logs, whole.logs, rtol=1e-5, atol=1e-7)
    _check_equal("a tensor of the state", parts[0].state, alone.state_dict(), rtol=1e-5, atol=1e-7)
    _check_gradients(rows, parts)


def _check_equal(what: str, found: Mapping[str, Any], expected: Mapping[str, Any], rtol: float, atol: float) -> None:
    assert found.keys() == expected.keys(), f"{what} is missing"
    for name, value in expected.items():
        _check_close(f"{what} differs, {name}", found[name], value, rtol, atol)


def _check_gradients(rows: StepRows, parts: Sequence[Part]) -> None:
    for name, parameter in rows.module.named_parameters():
        known = [part.gradients[name] for part in parts if part.gradients[name] is not None]
        assert bool(known) is (parameter.grad is not None), f"{name} has a gradient in some processes, or alone"
        if parameter.grad is not None:
            atol = 1e-6 * float(parameter.grad.abs().max()) + 1e-7
            _check_close(f"the sum of the gradients differs, {name}", sum(known), parameter.grad, 1e-4, atol)


def _check_close(what: str, found: Any, expected: Any, rtol: float, atol: float) -> None:
    import torch

    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol, msg=lambda why: f"{what}: {why}")
