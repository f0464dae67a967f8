"""What every search sampler has to get right."""

from __future__ import annotations

from typing import ClassVar

import pytest

from kexp.contracts import SearchSamplerOptions
from kexp.options import Options
from kexp.testing.options import OptionsContract
from kexp.testing.optuna_studies import SPACES, QuietOptuna, contains, cost, draw, sampler_of, study_of, suggest, tell

BY_KIND = pytest.mark.parametrize("kind", SPACES)


class SearchSamplerContract(QuietOptuna, OptionsContract):
    """Promises of search samplers: points of the space, decided by seeds, with any space that is not refused.

    ``trials`` are how many are drawn; a few more than a sampler draws at random before it learns.
    """

    base: ClassVar[type[Options]] = SearchSamplerOptions
    trials: ClassVar[int] = 13

    def test_space_problems_are_messages(self, options: SearchSamplerOptions) -> None:
        """What it cannot search it says of each space, and there is something that it can search."""
        refused = {kind: list(options.space_problems(space)) for kind, space in SPACES.items()}
        assert all(isinstance(message, str) and message for found in refused.values() for message in found)
        assert not all(refused.values())

    @BY_KIND
    def test_draws_from_the_space(self, options: SearchSamplerOptions, kind: str) -> None:
        """Every value lies in its parameter, and is there only under its conditions."""
        if list(options.space_problems(SPACES[kind])):
            return
        for point in draw(options, SPACES[kind], self.trials):
            assert ("o.k" in point) is (point.get("o.use") == "b")
            for path, value in point.items():
                assert contains(SPACES[kind][path], value), f"{path} is {value!r}"

    @BY_KIND
    def test_draws_depend_on_the_seed(self, options: SearchSamplerOptions, kind: str) -> None:
        """Equal seeds draw equal trials; other seeds draw others."""
        if list(options.space_problems(SPACES[kind])):
            return
        made = [draw(options, SPACES[kind], self.trials, seed) for seed in (1, 1, 2, 3)]
        assert made[0] == made[1]
        assert made[0] != made[2] or made[0] != made[3]

    @BY_KIND
    def test_continues_a_study(self, options: SearchSamplerOptions, kind: str) -> None:
        """A study that another process continues draws what one process alone would have drawn."""
        import optuna

        if list(options.space_problems(SPACES[kind])):
            return
        storage = optuna.storages.InMemoryStorage()
        points = [
            point
            for trials in (4, self.trials - 4)
            for point in draw(options, SPACES[kind], trials, study=study_of(options, SPACES[kind], 1, storage))
        ]
        assert points == draw(options, SPACES[kind], self.trials)

    def test_visits_every_point_if_exhaustive(self, options: SearchSamplerOptions) -> None:
        """One that visits every point visits each of a small space once."""
        space = SPACES["whole numbers"]
        if type(options).exhaustive and not list(options.space_problems(space)):
            points = draw(options, space, 18)
            assert len({tuple(sorted(point.items())) for point in points}) == 18

    @BY_KIND
    def test_supports_several_metrics_if_declared(self, options: SearchSamplerOptions, kind: str) -> None:
        """A study of two metrics gets its trials too."""
        if not type(options).multi_objective or list(options.space_problems(SPACES[kind])):
            return
        import optuna

        study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler_of(options, SPACES[kind], 1))
        for number in range(self.trials):
            trial = study.ask()
            if not tell(study, trial, [cost(suggest(trial, SPACES[kind])), float(number)]):
                break
        assert study.best_trials

    def test_accepts_failed_trials(self, options: SearchSamplerOptions) -> None:
        """Trials that fail or are pruned do not stop it."""
        import optuna

        space = next(space for space in SPACES.values() if not list(options.space_problems(space)))
        study = study_of(options, space, 1, optuna.storages.InMemoryStorage())
        states = (optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED)
        for number in range(self.trials):
            trial = study.ask()
            point = suggest(trial, space)
            trial.report(cost(point), 1)
            more = tell(study, trial, None, states[number % 2]) if number % 3 else tell(study, trial, cost(point))
            if not more:
                break
