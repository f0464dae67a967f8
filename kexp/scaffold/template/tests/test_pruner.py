"""The pruner in kexp's suite for pruners, and which trials it ends."""

import optuna
from kexp.contracts import PrunerContext
from kexp.testing import PrunerContract

from my_package.pruner import MyPruner


class TestMyPruner(PrunerContract):
    examples = (MyPruner(), MyPruner(percentile=60, startup_trials=1))


def test_only_the_best_quarter_goes_on() -> None:
    study = optuna.create_study(direction="maximize", pruner=MyPruner(startup_trials=4).build(PrunerContext()))
    ended = []
    for value in (0.1, 0.2, 0.3, 0.4, 0.3, 0.5):
        trial = study.ask()
        trial.report(value, 1)
        ended.append(bool(trial.should_prune()))
        study.tell(trial, value)
    # Of the first four, three quarters are below 0.325.
    assert ended == [False, False, False, False, True, False]
