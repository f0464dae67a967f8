"""Contract suites: what kexp expects of every component, as tests that a plugin's own tests inherit.

A suite per kind; each runs its tests with the examples of the class::

    from kexp.testing import AugmenterContract
    from kexp_shout import Shout


    class TestShout(AugmenterContract):
        examples = (Shout(), Shout(times=3))

``OptionsContract`` documents what all of them share, and where examples that need files come from. ``untested`` returns
the components of a plugin that have no suite. pytest and hypothesis are needed: ``pip install 'kexp[testing]'``.
"""

from __future__ import annotations

try:
    import hypothesis  # noqa: F401
    import pytest
except ModuleNotFoundError as error:
    raise ImportError(f"kexp.testing needs {error.name}: pip install 'kexp[testing]'") from None

MODULES = (
    "augmenter", "backbone", "dataset", "executor", "executor_work", "fixtures", "freezing", "invented", "metric",
    "objective", "objective_processes", "objective_steps", "options", "optuna_studies", "pruner", "sampler", "search",
    "subprocess_checks", "targets", "task", "task_predictions", "task_rows", "tracked_runs", "tracker", "translator",
)  # fmt: skip
# Assertions in these modules then show what they compared.
pytest.register_assert_rewrite(*(f"kexp.testing.{name}" for name in MODULES))

from kexp.sample_reviews import korean_reviews  # noqa: E402
from kexp.testing.augmenter import AugmenterContract  # noqa: E402
from kexp.testing.backbone import BackboneContract  # noqa: E402
from kexp.testing.dataset import DatasetContract  # noqa: E402
from kexp.testing.executor import ExecutorContract  # noqa: E402
from kexp.testing.fixtures import (  # noqa: E402
    ODD_TEXTS,
    STEADY,
    any_text,
    generators,
    korean_texts,
    save_tiny_model,
    tiny_backbone,
    tiny_classifier,
)
from kexp.testing.freezing import FreezingContract  # noqa: E402
from kexp.testing.invented import changed_tables, damaged_bytes, odd_values  # noqa: E402
from kexp.testing.metric import MetricContract  # noqa: E402
from kexp.testing.objective import ObjectiveContract  # noqa: E402
from kexp.testing.options import OptionsContract, untested  # noqa: E402
from kexp.testing.pruner import PrunerContract  # noqa: E402
from kexp.testing.sampler import SamplerContract  # noqa: E402
from kexp.testing.search import SearchSamplerContract  # noqa: E402
from kexp.testing.task import TaskContract  # noqa: E402
from kexp.testing.tracker import TrackerContract  # noqa: E402
from kexp.testing.translator import TranslatorContract  # noqa: E402

__all__ = [
    "ODD_TEXTS",
    "STEADY",
    "AugmenterContract",
    "BackboneContract",
    "DatasetContract",
    "ExecutorContract",
    "FreezingContract",
    "MetricContract",
    "ObjectiveContract",
    "OptionsContract",
    "PrunerContract",
    "SamplerContract",
    "SearchSamplerContract",
    "TaskContract",
    "TrackerContract",
    "TranslatorContract",
    "any_text",
    "changed_tables",
    "damaged_bytes",
    "generators",
    "korean_reviews",
    "korean_texts",
    "odd_values",
    "save_tiny_model",
    "tiny_backbone",
    "tiny_classifier",
    "untested",
]
