"""Opening a study: making it or taking part in it, and making sure that it is about the same question."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import BaseStorage

from kexp.contracts import Parameter, PrunerContext, label
from kexp.errors import KexpError, Problem
from kexp.plan.search_metrics import Goal
from kexp.search.sampling import PerTrial
from kexp.spec.search import Search
from kexp.spec.space import Space

IDENTITY = "kexp"
"""Attribute of the study that names the experiment that it is about."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a study is about: a space, goals, options, the seed of the sampler, and how an experiment is resolved.

    ``identity`` names all that makes trials comparable; ``resolve`` returns a table with every default written out, or
    what is wrong with it.
    """

    space: Space
    goals: Sequence[Goal]
    options: Search
    seed: int
    identity: str
    resolve: Callable[[Mapping[str, Any]], tuple[Mapping[str, Any], Sequence[Problem]]]


def open_optuna(name: str, storage: BaseStorage, question: Question) -> optuna.Study:
    """Make the study or take part in it; raises ``KexpError`` when one of this name is about something else.

    The experiment as it is without a search is the first trial, where the space has it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options, space, goals = question.options, question.space, question.goals
    pruner = (
        options.pruner.build(PrunerContext(options.seeds_per_trial))
        if options.pruner
        else NopPruner()
        if len(goals) > 1
        else MedianPruner()
    )
    sampler = PerTrial(options.sampler, space.parameters, question.seed)
    directions = [goal.direction for goal in goals]
    try:
        study = optuna.create_study(
            storage=storage, sampler=sampler, pruner=pruner, study_name=name, directions=directions
        )
        study.set_user_attr(IDENTITY, question.identity)
        if not options.sampler.exhaustive and (default := space.default()) is not None:
            study.enqueue_trial({path: _internal(value, space.parameters[path]) for path, value in default.items()})
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
        _check_identity(study, question.identity)
    return study


def _check_identity(study: optuna.Study, identity: str) -> None:
    for _ in range(50):
        if IDENTITY in study.user_attrs:
            break
        # Another process is making it at this moment.
        time.sleep(0.1)
    found = study.user_attrs.get(IDENTITY)
    if found != identity:
        what = "is about another experiment or another space" if found else "was not made by kexp"
        raise KexpError(f'study "{study.study_name}" {what}; name another with --study, or change the spec back')


def _internal(value: Any, parameter: Parameter) -> Any:
    return value if parameter.choices is None else label(value)


def digest(table: Mapping[str, Any]) -> str:
    """Return sixteen hexadecimal digits that name an experiment; a path counts by its last part.

    Machines that share a study may keep the same files in different places.
    """

    def portable(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: portable(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return list(map(portable, value))
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    text = json.dumps(portable(table), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
