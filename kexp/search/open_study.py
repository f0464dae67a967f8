"""Creating the study of a search, or joining it."""

from __future__ import annotations

import time

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage

from kexp.contracts import PrunerContext
from kexp.errors import KexpError
from kexp.search.heartbeats import Heartbeats
from kexp.search.history import prepare
from kexp.search.search_job import SearchJob
from kexp.search.study import Study

IDENTITY = "kexp"
"""Attribute of the study that holds the identity of its search."""


def open_study(storage: BaseStorage, job: SearchJob) -> Study:
    """Create the study of a search or join it; raises ``KexpError`` when one of this name is about something else."""
    options = job.options
    default = NopPruner() if len(job.metrics) > 1 else MedianPruner()
    pruner = options.pruner.build(PrunerContext(options.runs_per_trial)) if options.pruner else default
    directions = [metric.direction for metric in job.metrics]
    try:
        # Values are drawn and trials pruned by what is in the history, not by this object.
        study = optuna.create_study(
            storage=storage, sampler=RandomSampler(), pruner=NopPruner(), study_name=job.name, directions=directions
        )
        study.set_user_attr(IDENTITY, job.identity)
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=job.name, storage=storage, sampler=RandomSampler(), pruner=NopPruner())
        _check_identity(study, job.identity)
    found = Study(study, storage, job, Heartbeats(study), pruner)
    prepare(study, found.trials(), pruner)
    return found


def _check_identity(study: optuna.Study, identity: str) -> None:
    for _ in range(50):
        if IDENTITY in study.user_attrs:
            break
        # Another process is creating it at this moment.
        time.sleep(0.1)
    else:
        if not study.get_trials(deepcopy=False) and not study.user_attrs:
            # The process that created it was killed before it could say for what.
            study.set_user_attr(IDENTITY, identity)
    found = study.user_attrs.get(IDENTITY)
    if found != identity:
        what = "is about another experiment or another space" if found else "was not made by kexp"
        raise KexpError(f'study "{study.study_name}" {what}; choose another name with --study, or change the spec back')
