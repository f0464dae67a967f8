"""The search sampler in kexp's suite for such samplers, and whether it stays near the best trial."""

import optuna
from kexp.contracts import SearchContext
from kexp.testing import SearchSamplerContract

from my_package.search_sampler import MySearchSampler


class TestMySearchSampler(SearchSamplerContract):
    examples = (MySearchSampler(), MySearchSampler(draws=20, startup_trials=1))


def test_stays_near_the_best_trial() -> None:
    study = optuna.create_study()
    for number in range(60):
        study.sampler = MySearchSampler().build(SearchContext({}, study_seed=1, trial_seed=number))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 100) ** 2, n_trials=1)
    drawn = [trial.params["x"] for trial in study.trials[20:]]
    # Of 40 values, chance alone would draw 10 below 25.
    assert sum(x < 25 for x in drawn) > 20
