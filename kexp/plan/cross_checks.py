"""Checks that types cannot make: of sections, between two sections, and of labels; and warnings about valid specs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from kexp.catalog import Catalog
from kexp.contracts import BackboneOptions, DatasetOptions, FreezingOptions, ObjectiveOptions
from kexp.contracts.freezing import block_names
from kexp.devices import bf16_warning
from kexp.errors import Problem, did_you_mean, plugin_call
from kexp.moving_average import decay_warnings
from kexp.options import Options, Section, component_title, plugin_results
from kexp.plan.other_tools import metric_hint
from kexp.plan.search_metrics import check_search
from kexp.plan.task_checks import check_task
from kexp.redaction import is_masked
from kexp.spec.parts import sections_in
from kexp.spec.pretraining_section import Pretraining
from kexp.spec.search_section import Search
from kexp.spec.sections import Evaluation, Spec, Split
from kexp.spec.training_section import Training

HIDDEN = "give the whole of it with --set, or an address in an environment variable"
"""What to do about a secret that was hidden when the spec was written."""


def cross_check(valid: Mapping[str, Any], catalog: Catalog) -> Iterator[Problem]:
    """Yield what is wrong with every section and component by itself, and with sections that do not fit together.

    ``valid`` holds the sections that are valid by name; a check of two sections is skipped where one is missing.
    """
    for name, section in valid.items():
        yield from _own_problems(name, section, catalog)
    training, evaluation, backbone, freezing, search, dataset, objective, seeds, split = map(
        valid.get,
        ("training", "evaluation", "backbone", "freezing", "search", "dataset", "objective", "seeds", "split"),
    )
    validates = split is None or split.validation > 0
    yield from check_task(valid, catalog)
    if training and not validates:
        yield from _check_without_validation(training)
    if search and not validates:
        yield Problem("split.validation", "0 leaves nothing by which a search could choose", "use a share above 0")
    if (pretraining := valid.get("pretraining")) and pretraining.epochs and backbone:
        yield from _check_pretraining(pretraining, backbone, catalog)
    if training and evaluation:
        yield from _check_monitor(training, evaluation, catalog, validates=validates)
    if evaluation and evaluation.calibrate and not validates:
        message = "a temperature is fitted on validation, and there is no validation split"
        yield Problem("evaluation.calibrate", message, "set split.validation, or remove it")
    if training and backbone:
        yield from _check_positions(training.max_length, "training.max_length", backbone, catalog)
        yield from _check_gradient_checkpointing(training, backbone)
        yield from _check_precision(training, backbone)
        yield from _check_adapter(training, backbone)
    if training and objective:
        yield from _check_evaluated_weights(training, objective)
    if freezing and backbone:
        yield from _check_freezing(freezing, backbone)
        yield from _check_trained_matrices(freezing, backbone, training)
    if training and evaluation and search and validates:
        yield from check_search(search, training, evaluation, catalog)
    if search and seeds and split:
        yield from _check_trial_runs(search, seeds, split)
    if dataset and objective:
        yield from _check_labels(dataset, objective)


def warnings_of(spec: Spec) -> Iterator[Problem]:
    """Yield what a valid spec has that is probably not meant."""
    for name in Spec.model_fields:
        for place, section in sections_in(name, getattr(spec, name)):
            yield from (warning.under(place) for warning in plugin_results(section, "warnings", Problem))
    labels = spec.dataset.label_count()
    if labels is not None:
        yield from (
            Problem("objective", message) for message in plugin_results(spec.objective, "label_warnings", str, labels)
        )
    yield from (Problem("split.validation", message) for message in stated_validation(spec))
    # Where epochs are given, the steps are known once the data are; the run warns then.
    if spec.training.steps is not None:
        yield from step_warnings(spec, spec.training.steps)
    yield from _epochs_without_effect(spec)
    if slow := bf16_warning(spec.training.device, spec.training.precision):
        yield Problem("training.precision", slow, 'use "fp32" or "auto"')
    # It is on by default: only who asked for it expects an effect.
    asked = "length_bucketing" in spec.training.model_fields_set and spec.training.length_bucketing
    if asked and spec.sampler.keeps_order:
        message = "has no effect, since the sampler keeps its order"
        yield Problem("training.length_bucketing", message, "set it to false, or use another sampler")


def _epochs_without_effect(spec: Spec) -> Iterator[Problem]:
    space = {} if spec.search is None else spec.search.space
    for name, section in (("training", spec.training), ("pretraining", spec.pretraining)):
        replaced = section is not None and section.steps is not None and f"{name}.steps" not in space
        if replaced and f"{name}.epochs" in space:
            message = f"values above 0 have no effect, since {name}.steps is given"
            yield Problem(f"search.space.{name}.epochs", message, f"search {name}.steps, or remove {name}.steps")


def step_warnings(spec: Spec, steps: int) -> Iterator[Problem]:
    """Yield what a valid spec has that is probably not meant where training has so many steps."""
    batches = steps * spec.training.gradient_accumulation
    found = plugin_results(spec.objective, "step_warnings", str, steps, batches)
    yield from (Problem("objective", message) for message in found)
    if spec.training.ema:
        yield from (Problem("training", message) for message in decay_warnings("ema", spec.training.ema, steps))


def more_validation(spec: Spec, validation: int, labelled: int) -> Iterator[str]:
    """Yield that more labels choose the model than train it."""
    training = spec.training
    if validation > labelled and (training.keep != "last" or training.patience is not None):
        yield (
            f"the {validation:,} validation rows, by which the step is chosen, are more labels than the {labelled:,} "
            'labelled rows to train on; count them as labels, or take no step by them: training.keep = "last"'
        )


def stated_validation(spec: Spec) -> Iterator[str]:
    """Yield ``more_validation`` as far as the spec states both numbers; the data may have fewer rows."""
    limits = spec.dataset.limit if isinstance(spec.dataset.limit, Mapping) else {}
    stated = limits.get("validation") or (int(spec.split.validation) if spec.split.validation >= 1 else 0)
    classes = spec.dataset.label_count()
    labelled = spec.labelled.n or (spec.labelled.per_class and classes and spec.labelled.per_class * classes)
    if labelled:
        yield from more_validation(spec, stated, labelled)


def components(sections: Iterable[Section], catalog: Catalog) -> dict[str, str]:
    """Return the components in some sections as "kind name", each with the package and version that it comes from."""
    used = {type(part) for section in sections for _, part in sections_in("", section) if isinstance(part, Options)}
    return dict(sorted((f"{part.kind} {catalog.name_of(part)}", str(catalog.owner_of(part))) for part in used))


def _own_problems(name: str, section: Any, catalog: Catalog) -> Iterator[Problem]:
    for place, part in sections_in(name, section):
        # A search asks for its storage itself: only kexp tune connects to it.
        for key in [] if name == "search" else _hidden_options(part):
            message = f"{getattr(part, key)}: the secret is hidden here, so that nothing can be reached with it"
            yield Problem(f"{place}.{key}", message, HIDDEN)
        owner = str(catalog.owner_of(type(part))) if isinstance(part, Options) else ""
        for problem in plugin_results(part, "problems", Problem):
            yield replace(problem.under(place), owner=owner)


def _hidden_options(part: Section) -> list[str]:
    """Return the options with a secret that was hidden when the spec was written."""
    secret = {key: value.get_secret_value() for key, value in part.secrets()}
    plain = {key: text for key in type(part).model_fields if isinstance(text := getattr(part, key), str)}
    found = [key for key, text in secret.items() if is_masked(text)]
    return found + [key for key, text in plain.items() if text.strip("*") and is_masked(text)]


def _check_without_validation(training: Training) -> Iterator[Problem]:
    without = "there is no validation (split.validation = 0)"
    if training.keep != "last":
        yield Problem("training.keep", f"{without} by which a model could be chosen", 'set it to "last"')
    if training.patience is not None:
        yield Problem("training.patience", f"{without} by which training could stop", "leave it out")
    default = Training.model_fields["monitor"].default
    if training.monitor != default:
        yield Problem("training.monitor", f"{without} to watch", f'leave it out, which is "{default}"')


def _check_monitor(
    training: Training, evaluation: Evaluation, catalog: Catalog, *, validates: bool
) -> Iterator[Problem]:
    names = [catalog.name_of(type(metric)) for metric in evaluation.metrics]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem("evaluation.metrics", f'metric "{name}" is given twice')
    if validates and training.monitor not in names:
        hint = metric_hint(training.monitor) or did_you_mean(training.monitor, names)
        yield Problem("training.monitor", f'"{training.monitor}" is not among evaluation.metrics', hint)


def _check_evaluated_weights(training: Training, objective: ObjectiveOptions) -> Iterator[Problem]:
    if objective.evaluates_average and (training.ema or training.average > 1):
        name = "ema" if training.ema else "average"
        message = "the objective has an average of its own that is evaluated, such as a teacher"
        yield Problem(f"training.{name}", message, "leave it out, or let the objective evaluate the trained model")


def _check_positions(length: int, place: str, backbone: BackboneOptions, catalog: Catalog) -> Iterator[Problem]:
    positions = backbone.max_positions()
    if positions is not None and length > positions:
        name = catalog.name_of(type(backbone))
        message = f'{length} is more than the {positions} positions of backbone "{name}"'
        yield Problem(place, message, f"use {positions} or fewer")


def _check_gradient_checkpointing(training: Training, backbone: BackboneOptions) -> Iterator[Problem]:
    if not training.gradient_checkpointing:
        return
    with plugin_call(f"{component_title(backbone)}, gradient_checkpointing_problem()"):
        problem = backbone.gradient_checkpointing_problem()
    if problem:
        yield Problem("training.gradient_checkpointing", problem, "leave it out, or use another backbone")


def precision_remedy(precision: str) -> str:
    """Return what to use instead of a precision that a backbone refuses."""
    return 'use "auto", which is bf16 or fp32' if precision == "fp16" else 'use "fp32"'


def _check_precision(training: Training, backbone: BackboneOptions) -> Iterator[Problem]:
    # On no hardware does "auto" become fp16, the one of which backbones have reason to complain.
    if training.precision == "auto":
        return
    with plugin_call(f"{component_title(backbone)}, precision_problem()"):
        problem = backbone.precision_problem(training.precision)
    if problem:
        yield Problem("training.precision", problem, precision_remedy(training.precision))


def _check_pretraining(pretraining: Pretraining, backbone: BackboneOptions, catalog: Catalog) -> Iterator[Problem]:
    if pretraining.max_length is not None:
        yield from _check_positions(pretraining.max_length, "pretraining.max_length", backbone, catalog)
    with plugin_call(f"{component_title(backbone)}, masked_language_model_problem()"):
        problem = backbone.masked_language_model_problem()
    if problem:
        yield Problem("pretraining", problem, "use another backbone, or leave the section out")


def _check_freezing(freezing: FreezingOptions, backbone: BackboneOptions) -> Iterator[Problem]:
    layers = backbone.layer_count()
    if layers is not None:
        try:
            freezing.frozen(block_names(layers), epoch=0)
        except ValueError as error:
            yield Problem("freezing", str(error))


def _check_adapter(training: Training, backbone: BackboneOptions) -> Iterator[Problem]:
    adapter = backbone.adapter
    if adapter is not None and training.compile:
        yield Problem("training.compile", "a model with an adapter cannot be compiled", "set it to false")
    if adapter is not None and adapter.base == "bf16" and training.precision not in ("auto", "bf16"):
        message = f'a base in bf16 is for passes in bf16, and training.precision is "{training.precision}"'
        yield Problem("backbone.adapter.base", message, 'set training.precision = "bf16", or leave base out')


def _check_trained_matrices(
    freezing: FreezingOptions, backbone: BackboneOptions, training: Training | None
) -> Iterator[Problem]:
    """Yield that a policy freezes every layer in all epochs, as far as their number is known."""
    layers = backbone.layer_count()
    if backbone.adapter is None or layers is None or training is None or training.steps is not None:
        return
    names = block_names(layers)
    try:
        frozen = [set(freezing.frozen(names, epoch)) for epoch in range(training.epochs)]
    except ValueError:
        return
    if all({*names[1:-1]} <= blocks for blocks in frozen):
        message = "every layer is frozen, and so are the matrices of backbone.adapter in it"
        yield Problem("freezing", message, "leave the adapter out, or freeze fewer layers")


def _check_trial_runs(search: Search, seeds: tuple[int, ...], split: Split) -> Iterator[Problem]:
    if search.seeds_per_trial > len(seeds):
        message = f"a trial takes the first {search.seeds_per_trial} seeds, and the spec has {len(seeds)}"
        yield Problem("search.seeds_per_trial", message, "add seeds")
    if search.folds_per_trial > (split.folds or 1):
        found = "none" if split.folds is None else split.folds
        message = f"a trial takes the first {search.folds_per_trial} folds, and the spec has {found}"
        yield Problem("search.folds_per_trial", message, "lower it, or raise split.folds")


def _check_labels(dataset: DatasetOptions, objective: ObjectiveOptions) -> Iterator[Problem]:
    labels = dataset.label_count()
    if labels is not None:
        yield from (
            Problem("objective", message) for message in plugin_results(objective, "label_problems", str, labels)
        )
