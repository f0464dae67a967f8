"""What stands out in an experiment, in words: the rules of ``finding_rules`` on the files of a run folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp import nested
from kexp.repeats import repeats_in
from kexp.report import finding_rules as rules
from kexp.report.epochs import epochs
from kexp.report.finding_rules import Evaluation, Score, Spread
from kexp.report.sentences import SIGNIFICANT
from kexp.report.stored import read_result, read_spec
from kexp.report.summary import known_tests, over, shown_split

Json = Mapping[str, Any]

LABEL_METRICS = ("macro_f1", "accuracy", "weighted_f1", "mcc")
"""Metrics by which a model is held against baselines where it was chosen by a loss, whose differences say little."""

NOTHING_LEARNT = "nothing was learnt: another learning rate or more epochs"
ONE_LABEL = "collapsed to one label"
A_LABEL_MISSED = "at least one label is not learnt"
CUT_SHORT = "training rows are cut: a larger max_length"


def findings(folder: Path, summary: Json) -> list[dict[str, Any]]:
    """Return what stands out, given the files of a run folder and its summary, which need not be written yet.

    Every finding has the ``id`` of its rule, the ``variant`` that it is about (None: the whole experiment), and a
    ``text`` with numbers and a remedy. Raises ``KexpError`` for a file that cannot be read.
    """
    table = read_spec(folder / "spec.toml")
    split = shown_split(summary)
    found: list[dict[str, Any]] = []
    variants = [*_variants(folder, table, summary, split)]
    for variant in variants:
        found += [{"id": name, "variant": variant.name, "text": text} for name, text in variant.findings() if text]
    texts = {"noise": _noise(variants, summary, split), "tiny_validation": _tiny_validation(variants)}
    return found + [{"id": name, "variant": None, "text": text} for name, text in texts.items() if text]


def by_text(found: Sequence[Json]) -> list[tuple[str, str]]:
    """Return the variants that share a text, in words, and the text; "" stands for the whole experiment."""
    texts = dict.fromkeys(one["text"] for one in found)
    return [
        (", ".join(one["variant"] for one in found if one["text"] == text and one["variant"] is not None), text)
        for text in texts
    ]


@dataclass(frozen=True, slots=True)
class _Run:
    """A finished run: its name, its result, and what its evaluations found."""

    name: str
    result: Json
    evaluations: Sequence[Evaluation]

    def confusion(self, split: str) -> Sequence[Sequence[int]]:
        found: Sequence[Sequence[int]] = self.result.get("confusion_matrix", {}).get(split, [])
        return found

    def kept(self) -> Evaluation | None:
        """Return the evaluation of the kept model."""
        epoch = self.result.get("kept_epoch")
        return next((one for one in self.evaluations if one["epoch"] == epoch), None)


@dataclass(frozen=True, slots=True)
class _Variant:
    """A variant with its finished runs, at least one, and the metric by which its models were chosen."""

    name: str
    spec: Json
    summary: Json
    runs: Sequence[_Run]
    split: str
    score: Score

    def findings(self) -> Iterator[tuple[str, str]]:
        """Yield the id of every rule about one variant with its sentence, "" where it is silent."""
        rate = self.spec.get("training", {}).get("learning_rate")
        flat = self._most(lambda run: _nothing_learnt(run, rate))

        def collapse(run: _Run) -> str:
            return rules.collapsed_class(run.result["labels"], run.confusion(self.split), rate)

        def unlearnt(run: _Run) -> str:
            return rules.unlearnt_classes(run.result["labels"], run.confusion(self.split))

        overfitted = self._most(
            lambda run: rules.overfitting(run.evaluations, calibrates=run.result.get("calibrates", True))
        )
        cut = self._cut()
        cause = NOTHING_LEARNT if flat else self._in_runs(collapse, f"its predictions {ONE_LABEL}", ONE_LABEL)
        missed = self._in_runs(unlearnt, A_LABEL_MISSED, A_LABEL_MISSED)
        yield "below_baseline", self._below(cause, missed, CUT_SHORT if cut else "")
        yield "underfitting", flat or self._most(self._still_rising)
        yield "overfitting", overfitted or self._most(self._gap)
        yield "collapsed_class", self._any(collapse)
        yield "unlearnt_class", self._any(unlearnt)
        yield "short_max_length", cut

    def _in_runs(self, of_run: Callable[[_Run], str], of_all: str, of_some: str) -> str:
        """Return what holds of all runs of which something is said, or of some with their number; "" of none."""
        count, said = len(self.runs), sum(map(bool, map(of_run, self.runs)))
        return "" if not said else of_all if said == count else f"{said} of {count} runs: {of_some}"

    def _said(self, of_run: Callable[[_Run], str], least: float) -> str:
        """Return the sentence on the first run that has one, with how many have, if at least a share of them has."""
        said = [(run.name, text) for run in self.runs if (text := of_run(run))]
        if not said or len(said) < least * len(self.runs):
            return ""
        name, text = said[0]
        return text if len(self.runs) == 1 else f"{text} ({name}; {len(said)} of {len(self.runs)} runs)"

    def _most(self, of_run: Callable[[_Run], str]) -> str:
        """Return what is said of half of the runs: one run alone may waver."""
        return self._said(of_run, 0.5)

    def _any(self, of_run: Callable[[_Run], str]) -> str:
        """Return what is said of any run: one that failed to learn spoils the mean."""
        return self._said(of_run, 0)

    def _below(self, cause: str, missed: str, otherwise: str) -> str:
        """Hold the mean against the baselines; the curves are asked for a cause where none is known.

        Labels that are ``missed`` say more than a loss that rises at the end, and less than a metric that does.
        """
        scores = {metric: found["mean"] for metric, found in self.summary["metrics"].get(self.split, {}).items()}
        baselines = {name: of.get(self.split, {}) for name, of in self.summary["baselines"].items()}
        score = self._compared(scores, baselines)
        mean = scores.get(score.metric)
        if mean is None:
            return ""
        known = {name: value for name, of in baselines.items() if (value := of.get(score.metric)) is not None}
        curves = [rules.cause_in_curve(self.score, run.evaluations) for run in self.runs]
        shared = max(curves, key=curves.count)
        if missed and shared == rules.OVERFITS:
            shared = missed
        return rules.below_baseline(score, mean, known, cause or shared or missed or otherwise)

    def _compared(self, scores: Json, baselines: Mapping[str, Json]) -> Score:
        """Return the metric that is held against baselines: the monitor, unless it is a loss and labels were scored."""
        shared = [name for name in scores if any(name in of for of in baselines.values())]
        by_label = next((name for name in LABEL_METRICS if name in shared), None)
        chosen_by_loss = self.score.lower or self.score.metric not in shared
        return Score(by_label, lower=False) if chosen_by_loss and by_label else self.score

    def _still_rising(self, run: _Run) -> str:
        rows = sum(map(sum, run.confusion("validation"))) or run.result.get("rows", {}).get("validation", 0)
        return rules.underfitting(self.score, run.evaluations, rows)

    def _gap(self, run: _Run) -> str:
        kept = run.kept()
        scores = ({}, {}) if kept is None else (kept["train"], kept["validation"])
        return rules.generalisation_gap(self.score, *(of.get(self.score.metric) for of in scores))

    def _cut(self) -> str:
        data = self.summary["data"]
        tokens = data.get("tokens", {}).get("train", {})
        rows = data.get("splits", {}).get("train", {}).get("kept", 0)
        limit = self.spec.get("training", {}).get("max_length")
        cut, high = tokens.get("truncated rows") or 0, tokens.get("95 % before cutting")
        return rules.short_max_length(rows, cut, limit, high, data.get("max_positions"))

    def chosen_on(self) -> tuple[int, float | None, float | None]:
        """Return the validation rows, the mean score of the kept models, and the lead of the chosen epochs."""
        rows = min((run.result.get("rows", {}).get("validation", 0) for run in self.runs), default=0)
        value = self.summary["metrics"].get("validation", {}).get(self.score.metric, {}).get("mean")
        leads = [lead for run in self.runs if (lead := self._lead(run)) is not None]
        return rows, value, max(leads, default=None)

    def _lead(self, run: _Run) -> float | None:
        if self.spec.get("training", {}).get("keep", "best") != "best":
            return None
        values = [one["validation"].get(self.score.metric) for one in run.evaluations]
        known = sorted((value for value in values if value is not None), reverse=not self.score.lower)
        return None if len(known) < 2 else abs(known[0] - known[1])


def _nothing_learnt(run: _Run, rate: float | None) -> str:
    """Apply the rule to a run; a loss may stand still while the largest probability is that of the right label."""
    if rules.tells_labels_apart(run.confusion("validation")):
        return ""
    return rules.nothing_learnt(run.evaluations, _entropy(run), rate)


def _entropy(run: _Run) -> float | None:
    """Return the entropy of the labels of the validation rows in nats; None where there are none, or one label."""
    rows = [sum(row) for row in run.confusion("validation")]
    shares = [count / sum(rows) for count in rows if count]
    return -sum(share * math.log(share) for share in shares) or None


def _variants(folder: Path, table: Json, summary: Json, split: str) -> Iterator[_Variant]:
    for name, variant in summary["variants"].items():
        runs = [*_finished(folder / name, variant)]
        spec = nested.merge(table, table.get("variants", {}).get(name, {}))
        monitor = next((run.result["monitor"] for run in runs if "monitor" in run.result), None)
        monitor = monitor or spec.get("training", {}).get("monitor", "macro_f1")
        if runs:
            score = Score(monitor, monitor in summary["lower_is_better"])
            yield _Variant(name, spec, variant, runs, split, score)


def _finished(folder: Path, variant: Json) -> Iterator[_Run]:
    for repeat in repeats_in(variant):
        file = folder / repeat.folder / "result.json"
        if variant["status"].get(repeat.key) == "done" and file.is_file():
            yield _Run(repeat.name, read_result(file), epochs(file.parent))


def _noise(variants: Sequence[_Variant], summary: Json, split: str) -> str:
    """Hold the differences of variants that were chosen by one metric against the spread of their runs."""
    if len({variant.score for variant in variants}) != 1:
        return ""
    score = variants[0].score
    spreads = {}
    for variant in variants:
        found = variant.summary["metrics"].get(split, {}).get(score.metric)
        if found and found["mean"] is not None:
            spreads[variant.name] = Spread(found["mean"], found.get("sd"), over(found))
    tests = [test for test in known_tests(summary) if test["stated"] or test["metric"] == score.metric]
    told_apart = [(test["a"], test["b"]) for test in tests if test["p_holm"] < SIGNIFICANT]
    return rules.noisy_difference(score, spreads, told_apart)


def _tiny_validation(variants: Sequence[_Variant]) -> str:
    """Return the sentence on the variant with the fewest validation rows that has one."""
    said = []
    for variant in variants:
        rows, value, ahead = variant.chosen_on()
        of, folds = variant.name if len(variants) > 1 else "", bool(variant.spec.get("split", {}).get("folds"))
        # F1 of labels of sets is no share of the rows.
        if any("per_label" in run.result for run in variant.runs):
            continue
        if text := rules.tiny_validation(variant.score, rows, value, ahead, of=of, folds=folds):
            said.append((rows, text))
    return min(said, key=lambda one: one[0])[1] if said else ""
