"""After the search: the best spec beside the default, trained on all seeds and tested once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from kexp import nested
from kexp.errors import KexpError
from kexp.experiment.run import run
from kexp.plan.resolve import Plan, Variant
from kexp.plan.search_metrics import SearchMetric
from kexp.plan.validate import dump
from kexp.repeats import repeats_in
from kexp.report.findings import by_text
from kexp.report.run_folder import RunFolder
from kexp.report.sentences import sentence
from kexp.report.summary import no_test_remark
from kexp.search.search_job import SearchJob
from kexp.search.study import Study
from kexp.search.summary import best_trials, ranked
from kexp.spec.sections import Spec

DEFAULT, BEST = "default", "best"

POLL = 1.0
"""Seconds between two looks at what other processes of the study have done."""


def await_best(study: Study) -> list[FrozenTrial]:
    """Return the best trials as soon as the first of them has been tested, or this process is to test it.

    Of the processes that are alive, the one that ran the best trial tests the best spec, and where none of them ran a
    trial, the first to claim it: exactly one does. A claim ends with its process.
    """
    waiting = claimed = False
    while (best := best_trials(study)) and not is_tested(study, best[0]):
        if _is_tester(study):
            if not claimed:
                _claim(study)
                claimed = True
            if not _claims_before(study):
                # What the one before has found may have come after the first look.
                return best_trials(study)
        elif claimed:
            study.optuna.set_user_attr(CLAIM + study.heartbeats.own, None)
            claimed = False
        if not waiting:
            study.job.display.phase("another process tests the best spec; waiting for it")
        waiting = True
        time.sleep(POLL)
    return best


def _is_tester(study: Study) -> bool:
    beats, attributes = study.heartbeats, study.optuna.user_attrs
    processes = dict.fromkeys(trial.user_attrs.get("worker", "") for trial in ranked(study))
    alive = [process for process in processes if process == beats.own or not beats.dead(process, attributes)]
    return not alive or alive[0] == beats.own


# Lamport's bakery algorithm: storages have no operation that compares and sets, and need none for it.

CLAIM = "final claim "
"""Beginning of the attribute with a process's claim: 0 while it chooses a number, then the number, None without."""


def _claim(study: Study) -> None:
    mine = CLAIM + study.heartbeats.own
    study.optuna.set_user_attr(mine, 0)
    study.optuna.set_user_attr(mine, 1 + max(_claims(study).values()))


def _claims(study: Study) -> dict[str, int]:
    attributes = study.optuna.user_attrs
    found = {name.removeprefix(CLAIM): value for name, value in attributes.items() if name.startswith(CLAIM)}
    own, dead = study.heartbeats.own, study.heartbeats.dead
    return {
        process: number
        for process, number in found.items()
        if number is not None and (process == own or not dead(process, attributes))
    }


def _claims_before(study: Study) -> bool:
    """Return whether a living process has a claim before that of this one, or is choosing its number."""
    claims, own = _claims(study), study.heartbeats.own
    return any((number, process) < (claims[own], own) for process, number in claims.items() if process != own)


def is_tested(study: Study, trial: FrozenTrial) -> bool:
    """Return whether a trial's spec was tested to the end."""
    return stored_final(study, trial).get("status") == "done"


def stored_final(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """Return what ``final_run`` has returned of a trial's spec in whatever process; empty where it was not tested."""
    return {key: value for key, value in _stored(study, trial).items() if key != "trial"}


def _stored(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """Return what the study knows of the final run of a trial's spec."""
    final: dict[str, Any] = study.optuna.user_attrs.get("final", {})
    return final if final.get("trial") == trial.number else {}


def final_run(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """Test the spec of the best trial, unless that was done.

    Returns status, reason, final (the run folder), gains and remarks of ``study.json``.
    """
    final = _stored(study, trial)
    if final.get("status") != "done":
        study.optuna.set_user_attr("final", {"trial": trial.number, **_test(study.job, trial, final.get("final"))})
    return stored_final(study, trial)


def _test(job: SearchJob, trial: FrozenTrial, folder: str | None) -> dict[str, Any]:
    """Test the best spec; ``folder`` is that of a test that was interrupted."""
    resume = None
    if folder and Path(folder).is_dir():
        try:
            resume = RunFolder.open(Path(folder))
        except KexpError as error:
            job.display.phase(f"the test of the best spec begins again: {error}")
    job.display.phase("testing the best spec")
    summary = _run_best(job, job.spec_of(trial), resume)
    found: dict[str, Any] = {"status": summary["status"], "final": summary["folder"]}
    if summary["status"] != "done":
        return {**found, "reason": f"the best spec could not be tested to the end: see {summary['folder']}"}
    found["gains"] = gains(summary, job.metrics[0].validation_metric or job.spec.training.monitor)
    remarks = [describe_gain(gain) for gain in found["gains"]]
    remarks += [no_gain] if (no_gain := _no_gain(found["gains"])) else []
    untested = no_test_remark({name: variant["data"] for name, variant in summary["variants"].items()})
    remarks += [untested] if untested else []
    calibrated = bool(job.spec_of(trial).evaluation.calibrate)
    again = compare_with_trial(trial.user_attrs["seeds"], job.metrics, summary, calibrated=calibrated)
    return {**found, "remarks": [*remarks, *_stands_out(summary), again]}


def _stands_out(summary: Mapping[str, Any]) -> list[str]:
    """Return what stands out in the runs of the best spec: the best of many trials may be below a baseline still."""
    of_best = [one for one in summary["findings"] if one["variant"] in (BEST, None)]
    return [f"{name}: {text}" if name else text for name, text in by_text(of_best)]


def _run_best(job: SearchJob, best: Spec, resume: RunFolder | None) -> dict[str, Any]:
    """Run the best spec, and beside it the spec without a search where that differs; return the summary."""
    base = dump(job.spec, job.catalog)
    changes = nested.difference(base, dump(best, job.catalog))
    variants = (Variant(DEFAULT, job.spec), Variant(BEST, best)) if changes else (Variant(BEST, best),)
    tables = {variant.name: changes if variant.name == BEST else {} for variant in variants}
    plan = Plan("the best trial", job.spec, variants, {**base, "variants": tables})
    return run(plan, job.catalog, runs_dir=job.folder.parent.parent, display=job.display, resume=resume)


def gains(summary: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """Return by split how much better the best is than the default, with the test of that on the test split.

    ``test`` is None on validation: the best of many trials was chosen there, so that its gain is flattered.
    """
    variants = summary["variants"]
    if DEFAULT not in variants:
        return []
    tests = [test for test in summary["tests"] if (test["a"], test["b"], test["metric"]) == (DEFAULT, BEST, metric)]
    found = []
    for split in ("validation", "test"):
        before, after = (variants[name]["metrics"].get(split, {}).get(metric) for name in (DEFAULT, BEST))
        if before is None or after is None:
            continue
        sign = -1 if metric in summary["lower_is_better"] else 1
        found.append(
            {
                "split": split,
                "metric": metric,
                "default": before["mean"],
                "best": after["mean"],
                "gain": sign * (after["mean"] - before["mean"]),
                "n": after["n"],
                "over": after["over"],
                # The metric of the search is the one on which something is claimed.
                "test": {**tests[0], "stated": True} if tests and split == "test" else None,
            }
        )
    return found


def _no_gain(found: Sequence[Mapping[str, Any]]) -> str:
    """Say that the best trial's spec, trained on all seeds, is not better on validation; "" where it is."""
    lost = [gain for gain in found if gain["split"] == "validation" and gain["gain"] <= 0]
    return f"no gain: over {lost[0]['over']} the best trial's spec is not better on validation" if lost else ""


def describe_gain(gain: Mapping[str, Any]) -> str:
    """Return a gain in words; on test with what is stated about the two specs, on validation without any verdict."""
    name = f"{gain['split']} {gain['metric']}"
    text = (
        f"{name} over {gain['over']}: {gain['best']:.4f} against {gain['default']:.4f} by default, "
        f"a gain of {gain['gain']:+.4f}"
    )
    if gain["split"] == "validation":
        return f"{text}; the best of many trials was chosen by it, so this gain is flattered and not tested"
    return f"{text}; {sentence(gain['test'])}" if gain["test"] else f"{text}; there is no test of {gain['metric']}"


def compare_with_trial(
    values: Mapping[str, Sequence[float]],
    metrics: Sequence[SearchMetric],
    summary: Mapping[str, Any],
    *,
    calibrated: bool = False,
) -> str:
    """Say whether the best spec, trained again, has the validation metrics of its trial, run by run.

    ``values`` are those of the search metrics in the trial, by the key of the run; ``calibrated`` is whether the best
    spec, trained again, was calibrated, which changes metrics of probabilities.
    """
    best = summary["variants"][BEST]
    for number, metric in enumerate(metrics):
        if metric.validation_metric is None:
            continue
        again = best["metrics"]["validation"][metric.validation_metric]["values"]
        for repeat, value in zip(repeats_in(best), again, strict=True):
            in_trial = values.get(repeat.key)
            if in_trial is not None and value != in_trial[number]:
                was, now = f"{in_trial[number]:.6f}", f"{value:.6f}"
                cause = "another device or number of threads rounds differently"
                if calibrated:
                    cause = "the probabilities of its model are calibrated, those of a trial are not"
                return f"{metric.name} of {repeat.name} was {was} in the search and is {now} now: {cause}"
    return "the best spec, trained again, has the validation metrics of its trial to the last digit"
