"""Loading trained models, with checks of their folders: missing weights raise an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.data.labelled_stream import Collator
from kexp.devices import Hardware, bf16_warning, choose
from kexp.errors import KexpError
from kexp.experiment.model_check import check_padding
from kexp.inference.model_folders import Place, find_all
from kexp.inference.provenance import Provenance, provenance_of
from kexp.inference.text_pipeline import TextPipeline
from kexp.inference.trained_model import Member, TrainedModel
from kexp.model.forward import Classifier
from kexp.model_files import CALIBRATION, DECISIONS, need_unchanged, own_code, read_object, read_temperature
from kexp.model_tokenizer import match_padding, need_tokenizer, padding_note, settle_padding
from kexp.plan.plugins import catalog_with
from kexp.pretrained import folder_problems, fp16_problem, load_pretrained, positions
from kexp.report.stored import read_result
from kexp.weights import need_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

LISTED = 10
"""Models that are named one by one."""
SHORT = 16
"""Tokens of the longer row that a loaded model is tried on: enough to see whether padding changes a prediction."""


def load(
    *folders: str | Path,
    variant: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    allow_local_code: bool = False,
    trust_remote_code: bool = False,
) -> TrainedModel:
    """Load a trained model, or several whose probabilities are averaged.

    A folder is a run folder (the mean over all runs of its variant, which ``variant`` chooses if there are several; or
    those of one ``seed``), the folder of a variant in it (likewise), one run of it, or a Hugging Face folder.
    ``precision`` auto is bf16 on a GPU that multiplies it natively, else fp32. ``batch_size`` is the number of rows per
    forward pass, by default as many as have 4,096 tokens. ``allow_local_code`` runs the Python files that specs name in
    ``plugins.local``, which a model needs whose backbone is in one of them; ``trust_remote_code`` runs the code that a
    model's own folder brings along. Raises ``KexpError`` for folders without a model, for models that are not whole,
    and for models whose labels differ.
    """
    places = [place for folder in folders for place in find_all(Path(folder), variant=variant, seed=seed)]
    if not places:
        raise KexpError("load() needs at least one folder with a model")
    return load_places(places, LoadOptions(device, precision, batch_size, allow_local_code, trust_remote_code))


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How models are loaded and run; the options of ``load``."""

    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    allow_local_code: bool = False
    trust_remote_code: bool = False


def load_places(places: Sequence[Place], options: LoadOptions) -> TrainedModel:
    """Load the models at some places, in this order."""
    if options.batch_size is not None and options.batch_size < 1:
        raise KexpError(f"batch_size: expected 1 or more rows, found {options.batch_size}")
    # Once for all models with the same plugins, so that a local file runs once and equal text pipelines stay equal.
    catalogs = cache(partial(catalog_with, allow_local_code=options.allow_local_code))
    # The specs first, so that an error in one is reported before any weights are read.
    provenances = [provenance_of(place, catalogs) for place in places]
    for place in places:
        _check_folder(place)
    pairs = list(zip(places, provenances, strict=True))
    trusted = [_runs_own_code(*pair, allowed=options.trust_remote_code) for pair in pairs]
    hardware = choose(options.device, options.precision, prefix="--")
    members = [_load(*pair, hardware, trusted=own) for pair, own in zip(pairs, trusted, strict=True)]
    for other in members[1:]:
        _check_task(members[0], other)
        _check_labels(members[0], other)
    _check_columns(members)
    slow = bf16_warning(options.device, options.precision)
    notes = [
        *_mean_note(members),
        *filter(None, [slow]),
        *_calibration_notes(members),
        *(note for one in members for note in _notes(one)),
    ]
    return TrainedModel(members[0].labels, members, notes, options.batch_size)


def _check_folder(place: Place) -> None:
    for message, remedy in folder_problems(place.model):
        raise KexpError(f"{message}; {remedy}")


def _runs_own_code(place: Place, provenance: Provenance, *, allowed: bool) -> bool:
    """Return whether the model is one of Python code in its folder; raises ``KexpError`` unless that is allowed."""
    files = own_code(place.model)
    if not files or (provenance.backbone is not None and not getattr(provenance.backbone, "trust_remote_code", False)):
        return False
    if not allowed and (provenance.backbone is not None or not _is_known(place.model)):
        source = place.model if place.spec is None else f"{place.spec}: backbone.trust_remote_code"
        remedy = f"read it in {place.model}, then use --trust-remote-code (in Python, trust_remote_code=True)"
        raise KexpError(f"{source}: the model runs Python code of its own: {', '.join(files)}; {remedy}")
    return allowed


def _is_known(model: Path) -> bool:
    """Return whether transformers has the architecture, so that the code beside the weights is not needed."""
    from transformers import CONFIG_MAPPING

    return read_object(model / "config.json").get("model_type") in CONFIG_MAPPING


def _mean_note(members: Sequence[Member]) -> Iterator[str]:
    """Yield that several models predict together, each with its own tokenizer, length, labels and temperature."""
    if len(members) > 1:
        names = [member.place.name for member in members[:LISTED]]
        more = [f"{len(members) - LISTED} more"] if len(members) > LISTED else []
        what = "probabilities" if members[0].task.probabilities else "predictions"
        yield f"the mean of the {what} of {len(members)} models: {', '.join([*names, *more])}"
        if chosen := sum(bool(member.chosen) for member in members):
            whose = "the model was" if chosen == 1 else f"{chosen} models were"
            yield (
                f"what {whose} given on validation for decisions ({DECISIONS}) is not that of the mean, "
                "which decides as the task does by default; give one model, for example with --seed, to use it"
            )


def _calibration_notes(members: Sequence[Member]) -> Iterator[str]:
    """Yield that probabilities are calibrated; of several models in one note, since their mean is not."""
    found = [member.temperature for member in members if member.temperature != 1]
    if not found:
        return
    if len(members) == 1:
        yield f"{members[0].place.name}: its probabilities are calibrated, with the temperature {found[0]:.4g}"
        return
    count = (
        f"{len(found)} of {len(members)} models are" if len(found) < len(members) else f"all {len(found)} models are"
    )
    temperatures = f"temperatures from {min(found):.4g} to {max(found):.4g}"
    yield f"{count} calibrated, with {temperatures}; the mean of all, which is predicted, is not calibrated itself"


def _notes(member: Member) -> Iterator[str]:
    if note := padding_note(member.pipeline.tokenizer):
        yield f"{member.place.name}: {note}"
    if member.provenance.task.guessed and not member.task.told_by_config:
        what = f'task "{member.provenance.task.name}", by problem_type in config.json'
        yield f"{member.place.name}: {what}; it decides for {member.task.decision}"
    if member.place.spec is None:
        how = "texts are normalised to NFC and trimmed, without the cleaning of a backbone"
        yield f"{member.place.name}: it has no spec.toml; {how}"
    result = None if member.place.run is None else member.place.run / "result.json"
    metrics = read_result(result).get("metrics", {}) if result is not None and result.is_file() else {}
    if metrics and "test" not in metrics:
        yield f"{member.place.name}: its run has no test split (split.test = 0), so this model was never tested"


def _load(place: Place, provenance: Provenance, hardware: Hardware, *, trusted: bool) -> Member:
    tokenizer, module = _from_pretrained(place, trusted)
    config: Any = module.config
    if hardware.precision == "fp16" and (reason := fp16_problem(config.model_type)):
        raise KexpError(f"{place.name}: --precision fp16: {reason}; use bf16 or fp32")
    labels = provenance.task.labels(place, config)
    pipeline = TextPipeline.of(tokenizer, provenance, _max_length(place, tokenizer, config))
    if config.pad_token_id is None or padding_note(tokenizer):
        config.pad_token_id = tokenizer.pad_token_id
    check_padding(module, tokenizer, min(pipeline.max_length, SHORT), f"model {place.model}")
    match_padding(config, read_object(place.model / "config.json"), tokenizer.pad_token_id, f"model {place.model}")
    need_unchanged(place.model)
    collator = Collator.of(tokenizer, module)
    module.to(hardware.device)  # type: ignore[arg-type]
    classifier = Classifier(module, hardware, collator.pad_id)
    return Member(
        place,
        provenance,
        labels,
        provenance.task.options,
        classifier,
        pipeline,
        collator,
        _temperature(place, provenance),
        provenance.task.chosen(place, labels),
    )


def _temperature(place: Place, provenance: Provenance) -> float:
    temperature = read_temperature(place.model)
    if temperature is not None and not provenance.task.options.calibrates:
        finding = f'predictions of task "{provenance.task.name}" are not calibrated by a temperature'
        raise KexpError(f"{place.model / CALIBRATION}: {finding}; remove the file")
    return temperature or 1.0


def _from_pretrained(place: Place, trusted: bool) -> tuple[PreTrainedTokenizerFast, PreTrainedModel]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    load = partial(load_pretrained, kind="model", source=place.model, trust_remote_code=trusted)
    tokenizer = load(AutoTokenizer)
    module, found = load(
        AutoModelForSequenceClassification,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        # Outputs are read by their names, whatever the folder states.
        return_dict=True,
    )
    need_weights(module, found, f"model {place.model}", head=False)
    # transformers initialises missing weights at random.
    if found["missing_keys"]:
        missing = ", ".join(sorted(found["missing_keys"])[:5])
        raise KexpError(f"{place.model} is not a trained classifier: its weights lack {missing}")
    need_weights(module, found, f"model {place.model}", head=True)
    settle_padding(tokenizer, module.config)
    need_tokenizer(tokenizer, module.config, f"model {place.model}")
    return tokenizer, module


def _max_length(place: Place, tokenizer: PreTrainedTokenizerFast, config: Any) -> int:
    """Return the length of training, which the tokenizer stores; other models' tokenizers may have no limit."""
    limits = [tokenizer.model_max_length, positions(config.to_dict()) or tokenizer.model_max_length]
    if min(limits) > 1_000_000:
        hint = "set model_max_length in tokenizer_config.json"
        raise KexpError(f"{place.model}: neither tokenizer nor model has a maximum length; {hint}")
    return int(min(limits))


def _check_columns(members: Sequence[Member]) -> None:
    """Refuse to average models of which some were trained on several columns or pairs, and others on other ones."""
    known = [member for member in members if member.provenance.columns.known]
    for other in known[1:]:
        one, two = known[0].provenance.columns, other.provenance.columns
        if one != two and not (one.single and two.single):
            read = f"{known[0].place.name} {one.sentence()}, {other.place.name} {two.sentence()}"
            raise KexpError(f"models that were trained on other columns cannot be averaged: {read}")


def _check_task(first: Member, other: Member) -> None:
    one, two = (dict(member.provenance.task.table()) for member in (first, other))
    if one != two:
        found = f"{first.place.name} {one}, {other.place.name} {two}"
        raise KexpError(f"models of different tasks cannot be averaged: {found}")


def _check_labels(first: Member, other: Member) -> None:
    if set(first.labels) == set(other.labels):
        return
    pairs = ((first, other), (other, first))
    lacks = [
        f"only {one.place.name} has {', '.join(sorted(set(one.labels) - set(two.labels)))}"
        for one, two in pairs
        if set(one.labels) - set(two.labels)
    ]
    raise KexpError(f"models with different labels cannot be averaged: {'; '.join(lacks)}")
