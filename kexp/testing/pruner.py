"""What every pruner has to get right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import pytest

from kexp.contracts import PrunerContext, PrunerOptions
from kexp.options import Options
from kexp.spec.search_section import Direction
from kexp.testing.options import OptionsContract
from kexp.testing.optuna_studies import QuietOptuna

if TYPE_CHECKING:
    import optuna

TRIALS, STEPS = 10, 9
DIRECTIONS = pytest.mark.parametrize("direction", ["maximize", "minimize"])


class PrunerContract(QuietOptuna, OptionsContract):
    """Promises of pruners: they end trials that others beat, and never the one that beats all others."""

    base: ClassVar[type[Options]] = PrunerOptions

    @DIRECTIONS
    def test_never_prunes_the_first_trial(self, options: PrunerOptions, direction: Direction) -> None:
        """Where there is nothing to compare with, nothing is ended."""
        assert not any(follow(study_of(options, direction), [0.5] * STEPS, options))

    @DIRECTIONS
    def test_never_prunes_the_best_trial(self, options: PrunerOptions, direction: Direction) -> None:
        """A trial that is ahead of all others from its first report to its last reaches its end."""
        study, sign = study_of(options, direction), 1 if direction == "maximize" else -1
        for number in range(TRIALS):
            assert not any(follow(study, [sign * (number + 0.01 * step) for step in range(STEPS)], options))

    @DIRECTIONS
    def test_is_deterministic(self, options: PrunerOptions, direction: Direction) -> None:
        """Equal reports give equal answers: a search can be repeated."""
        studies = [study_of(options, direction) for _ in range(2)]
        for number in range(TRIALS):
            values = [((number * 7) % 5) + 0.1 * ((step * number) % 3) for step in range(STEPS)]
            assert follow(studies[0], values, options) == follow(studies[1], values, options)

    def test_accepts_few_reports(self, options: PrunerOptions) -> None:
        """Trials of other lengths, of one report, and equal ones do not make it raise."""
        study = study_of(options, "maximize")
        # Seeds are as many in every trial that is not ended early.
        for length in (STEPS, 1, 2, 5, 1, 3) if options.compares_seeds else (1, STEPS, 2, 5, 1, 3):
            follow(study, [0.5] * length, options)

    def test_seed_problems_are_messages(self, options: PrunerOptions) -> None:
        """What it says of too few seeds is words, and there is a number of seeds that it takes."""
        refused = [list(options.seed_problems(seeds)) for seeds in range(1, 31)]
        assert all(isinstance(message, str) and message for found in refused for message in found)
        assert [] in refused


def study_of(options: PrunerOptions, direction: Direction) -> optuna.Study:
    """Return a study with the pruner; its name is fixed, by which some pruners deal out their trials."""
    import optuna

    return optuna.create_study(study_name="contract", direction=direction, pruner=options.build(PrunerContext()))


def follow(study: optuna.Study, values: Sequence[float], options: PrunerOptions) -> list[bool]:
    """Report the values of a trial to its end, as a search does, and return at which of them it would have ended."""
    import optuna

    first = 0 if options.compares_seeds else 1
    trial, said = study.ask(), []
    for step, value in enumerate(values, first):
        trial.report(float(value), step)
        said.append(bool(trial.should_prune()))
        if said[-1]:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return said
    study.tell(trial, sum(values) / len(values))
    return said
