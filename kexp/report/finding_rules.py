"""Rules that put numbers of a run into words: each takes plain data and returns a sentence, "" if nothing stands out.

A sentence has the numbers that it rests on, and a remedy. Evaluations are those of ``kexp.report.epochs``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kexp.evaluate.proportions import wilson
from kexp.report.formatting import plain

Evaluation = Mapping[str, Any]
Confusion = Sequence[Sequence[int]]
"""Numbers of rows by true label (rows) and predicted label (columns)."""

BELOW = 0.01
"""Least distance to a baseline, one point: a few hundred test rows tell no less apart, and nobody would act on it."""
NO_BETTER = 0.02
"""Share of what the majority baseline leaves to gain; a model that gains less has learnt next to nothing."""
RELATIVE = 0.05
"""Least relative distance where a metric has no points, such as a cross entropy."""
STILL_RISING = 0.02
"""Least gain of the last epoch, two points: a schedule that ends well has flattened by then."""
FLAT = 0.05
"""Relative fall of the training loss up to which nothing was learnt: batches alone make it vary by as much."""
GUESSING = 0.9
"""Share of the entropy of the labels above which a validation loss is about that of guessing by their frequencies."""
LEARNT = 0.1
"""Mean recall above that of guessing, from which something was learnt whatever the losses are."""
LOW_RATE = 1e-5
"""Learning rate below which fine-tuning hardly moves an encoder; the papers of BERT and its kin use 1e-5 to 5e-5."""
RISE = 1.1
"""Factor by which the validation loss must rise above its lowest value; healthy runs waver by a few per cent."""
LEAST_RISE = 0.02
"""Least rise of it in nats: a probability of 0.99 that becomes 0.97 harms nobody, though its loss is tripled."""
FALL = 0.9
"""Factor to which the training loss must fall meanwhile: if it does not, training diverges and does not overfit."""
GAP = 0.15
"""Difference between training and validation that tells overfitting from the flattery of rows that were seen."""
COLLAPSED = 0.95
"""Share of the predictions that one label has in a model that knows one label alone."""
MISSED = 0.9
"""Share of the rows of all other labels that such a model misses: on unequal labels a high share is right."""
FEW_ROWS = 5
"""Rows of other labels below which nothing is said of them."""
UNLEARNT_ROWS = 10
"""Rows from which a recall of 0 is no chance: a label with a recall of 0.26 has none right in 5 of 100 such tests."""
RARE = 0.5
"""Share of the mean number of rows of a label below which more of them, or a greater weight, would help a label."""
CUT = 0.1
"""Share of cut rows: with less, the rows that end too early can move accuracy by a point or two at most."""
WIDE = 0.05
"""Half width of an interval, five points, above which validation is tiny: settings seldom differ by more."""
MOST_SEEDS = 100
"""Seeds that somebody would run; where more were needed, their number is not said."""
BASELINES = {"majority": "the majority baseline", "tfidf-logreg": "the linear baseline"}


@dataclass(frozen=True, slots=True)
class Score:
    """How a metric is told: in points where it is a share and higher is better, else as a number."""

    metric: str
    lower: bool

    def points(self, *values: float) -> bool:
        """Return whether differences of these values are told in points."""
        return not self.lower and all(-1 <= value <= 1 for value in values)

    def gain(self, before: float, after: float) -> float:
        """Return how much better the second value is; negative where it is worse."""
        return before - after if self.lower else after - before

    def distance(self, one: float, other: float) -> str:
        """Return the size of a difference in words."""
        size = abs(one - other)
        if not self.points(one, other):
            return f"{size:.3f}"
        return f"{100 * size:.0f} points" if size >= 0.095 else f"{100 * size:.1f} points"


def below_baseline(score: Score, mean: float, baselines: Mapping[str, float], cause: str = "") -> str:
    """Say that a mean is worse than the best baseline, or no better than the majority baseline.

    ``baselines`` are their values by name; ``cause`` is what is known of the reason, with a remedy.
    """
    parts = []
    others = {name: value for name, value in baselines.items() if name != "majority"}
    if others:
        name = max(others, key=lambda name: score.gain(0, others[name]))
        worse = score.gain(mean, others[name])
        least = BELOW if score.points(mean, others[name]) else RELATIVE * abs(others[name])
        if worse >= least:
            side = "above" if score.lower else "below"
            called = BASELINES.get(name, f"the baseline {name}")
            parts.append(f"{score.distance(mean, others[name])} {side} {called} ({_pair(score, mean, others[name])})")
    if "majority" in baselines:
        guess = baselines["majority"]
        left = 1 - guess if score.points(mean, guess) else abs(guess)
        if score.gain(guess, mean) < NO_BETTER * left:
            parts.append(f"no better than the majority baseline ({_pair(score, mean, guess)})")
    if not parts:
        return ""
    return f"{' and '.join(parts)}; {cause or NO_CAUSE}"


OVERFITS = "it overfits: more labelled rows, augmentation or a lower learning rate"
NO_CAUSE = "its curves show no cause: try another learning rate or backbone, or use the simple model"


def _pair(score: Score, mean: float, other: float) -> str:
    return f"{score.metric} {mean:.3f} against {other:.3f}"


def cause_in_curve(score: Score, evaluations: Sequence[Evaluation]) -> str:
    """Return why a run is below a baseline, as far as its curve shows; here every rise at the end counts."""
    if overfitting(evaluations):
        return OVERFITS
    if len(evaluations) == 1 and evaluations[0]["epoch"] <= 1:
        return "it was trained for one epoch alone: more epochs"
    if gain_at_the_end(score, evaluations) is not None:
        return "validation still rising at the last epoch: more epochs or a higher learning rate"
    return ""


def gain_at_the_end(score: Score, evaluations: Sequence[Evaluation]) -> tuple[Evaluation, Evaluation] | None:
    """Return the evaluation an epoch before the last one, and the last one, where that is better than all others."""
    known = [one for one in evaluations if one["validation"].get(score.metric) is not None]
    if len(known) < 2:
        return None
    *before, last = known
    value = last["validation"][score.metric]
    if any(score.gain(one["validation"][score.metric], value) <= 0 for one in before):
        return None
    earlier = [one for one in before if one["epoch"] <= last["epoch"] - 1]
    return (earlier or before)[-1], last


def underfitting(score: Score, evaluations: Sequence[Evaluation], rows: int = 0) -> str:
    """Say that validation was still rising at the end.

    ``rows`` is the number of validation rows, whose chance a rise must exceed (0: not known).
    """
    found = gain_at_the_end(score, evaluations)
    if found is None or overfitting(evaluations):
        return ""
    before, last = (one["validation"][score.metric] for one in found)
    if score.points(before, last):
        share = min(max(last, 0.0), 1.0)
        least = max(STILL_RISING, math.sqrt(share * (1 - share) / rows) if rows else 0.0)
    else:
        least = RELATIVE * abs(before)
    if score.gain(before, last) < least:
        return ""
    epochs = f"from epoch {plain(found[0]['epoch'])} to {plain(found[1]['epoch'])}"
    verb = "falls" if score.lower else "rises"
    return (
        f"underfitting: validation {score.metric} still {verb} at the last epoch, by {score.distance(before, last)} "
        f"{epochs} ({before:.3f} to {last:.3f}): more epochs or a higher learning rate"
    )


def nothing_learnt(evaluations: Sequence[Evaluation], entropy: float | None, learning_rate: float | None) -> str:
    """Say that neither loss has fallen; ``entropy`` is that of the labels of the validation rows in nats."""
    losses = [one["train_loss"] for one in evaluations if one["train_loss"] is not None]
    validation = _last_loss(evaluations)
    if len(losses) < 2 or not entropy or validation is None or validation < GUESSING * entropy:
        return ""
    if losses[-1] < (1 - FLAT) * losses[0]:
        return ""
    return (
        f"underfitting: nothing was learnt, the training loss goes from {losses[0]:.3f} to {losses[-1]:.3f} and the "
        f"validation loss ends at {validation:.3f}, where guessing by the labels' frequencies gives {entropy:.3f}: "
        f"{_other_rate(learning_rate)}, or more epochs"
    )


def tells_labels_apart(matrix: Sequence[Sequence[int]]) -> bool:
    """Return whether the mean recall is above that of guessing by more than chance; rows of the matrix are labels."""
    rows = [(row[number], sum(row)) for number, row in enumerate(matrix) if sum(row)]
    if len(rows) < 2:
        return False
    guessing = 1 / len(rows)
    recall = sum(right / count for right, count in rows) / len(rows)
    error = math.sqrt(sum(guessing * (1 - guessing) / count for _, count in rows)) / len(rows)
    return recall - guessing > max(LEARNT, 3 * error)


def _other_rate(learning_rate: float | None) -> str:
    """Return the remedy of another learning rate, which is a higher one where it is hardly above 0."""
    if learning_rate is None:
        return "another learning rate"
    return f"{'a higher' if learning_rate < LOW_RATE else 'another'} learning rate (it is {learning_rate:g})"


def validation_loss(evaluation: Evaluation) -> float | None:
    """Return the validation loss, which events of earlier versions have among the metrics alone."""
    found: float | None = evaluation.get("validation_loss")
    return evaluation["validation"].get("cross_entropy") if found is None else found


def _last_loss(evaluations: Sequence[Evaluation]) -> float | None:
    return next((loss for one in reversed(evaluations) if (loss := validation_loss(one)) is not None), None)


def overfitting(evaluations: Sequence[Evaluation], *, calibrates: bool = True) -> str:
    """Say that the validation loss ends above its lowest point while the training loss ends below it.

    ``calibrates`` says whether predictions are probabilities that a temperature can correct.
    """
    points = [
        (one["epoch"], one["train_loss"], loss)
        for one in evaluations
        if one["train_loss"] is not None and (loss := validation_loss(one)) is not None
    ]
    if not points:
        return ""
    epoch, train, validation = min(points, key=lambda point: point[2])
    _, last_train, last_validation = points[-1]
    if last_validation < max(validation * RISE, validation + LEAST_RISE) or last_train > train * FALL:
        return ""
    return (
        f"overfitting: after epoch {plain(epoch)} the validation loss rises from {validation:.3f} to "
        f"{last_validation:.3f} while the training loss falls from {train:.3f} to {last_train:.3f}: "
        f"{CALIBRATED if calibrates else MORE_ROWS}"
    )


CALIBRATED = (
    "fewer epochs, more labelled rows, augmentation, or evaluation.calibrate if the labels stay right and only the "
    "confidence grows"
)
MORE_ROWS = "fewer epochs, more labelled rows, or augmentation"


def generalisation_gap(score: Score, train: float | None, validation: float | None) -> str:
    """Say that a kept model is far better on its training rows, which ``evaluation.train`` measures (else None)."""
    if train is None or validation is None or not score.points(train, validation) or train - validation < GAP:
        return ""
    return (
        f"overfitting: {score.metric} is {train:.3f} on training rows and {validation:.3f} on validation, "
        f"{score.distance(train, validation)} apart: more labelled rows, augmentation, or more weight decay"
    )


def collapsed_class(labels: Sequence[str], confusion: Confusion, learning_rate: float | None = None) -> str:
    """Say that nearly all predictions are one label, and that the rows of the other labels are missed."""
    total = sum(map(sum, confusion))
    by_label = [sum(row[number] for row in confusion) for number in range(len(labels))]
    most = max(range(len(labels)), key=lambda number: by_label[number], default=0)
    others = total - sum(confusion[most]) if total else 0
    if others < FEW_ROWS or by_label[most] < COLLAPSED * total:
        return ""
    if by_label[most] - confusion[most][most] < MISSED * others:
        return ""
    how = "all" if by_label[most] == total else f"{by_label[most]:,} of"
    share = sum(confusion[most]) / total
    return (
        f"collapsed to one label: {how} {total:,} predictions are {labels[most]}, the label of {share:.0%} of the "
        f'rows: {_other_rate(learning_rate)}, a longer warm-up, or sampler = "balanced" where labels are '
        "unequal"
    )


def unlearnt_classes(labels: Sequence[str], confusion: Confusion) -> str:
    """Say which labels with enough rows are never predicted right; "" where the model knows one label alone."""
    if collapsed_class(labels, confusion):
        return ""
    found, rare, usual = [], False, sum(map(sum, confusion)) / max(len(labels), 1)
    for number, (label, of_label) in enumerate(zip(labels, confusion, strict=False)):
        rows = sum(of_label)
        if rows >= UNLEARNT_ROWS and not confusion[number][number]:
            guessed = sum(row[number] for row in confusion)
            wrong = f"predicted {guessed:,} times, always wrong" if guessed else "never predicted"
            found.append(f"{label} (recall 0 on {rows:,} rows, {wrong})")
            rare |= rows < RARE * usual
    if not found:
        return ""
    what = "a label is" if len(found) == 1 else f"{len(found)} labels are"
    remedy = 'more rows of it, sampler = "balanced", or class weights'
    if not rare:
        remedy = f"{'it is' if len(found) == 1 else 'they are'} not rare: more epochs or another learning rate"
    return f"{what} not learnt: {'; '.join(found)}: {remedy}"


def short_max_length(
    rows: float, cut: float, max_length: int | None, high: float | None, most: int | None = None
) -> str:
    """Say that many rows are cut; ``high`` is the length in tokens that 95 % of the rows do not exceed uncut.

    ``most`` are the positions of the backbone, beyond which nothing can be read; None where that is not known.
    """
    if not rows or cut < CUT * rows:
        return ""
    limit = "max_length" if max_length is None else f"max_length = {max_length}"
    longer = "a larger one" if high is None else f"max_length = {math.ceil(high)} would cut 5 %"
    if most is not None and max_length is not None and max(math.ceil(high or 0), max_length + 1) > most:
        longer = f"up to the {most} positions of the backbone, beyond which it takes a backbone that reads longer texts"
        if max_length >= most:
            longer = "the backbone has no more positions: another one that reads longer texts, or shorter rows"
    return f"{cut / rows:.0%} of the training rows ({cut:,.0f} of {rows:,.0f}) are cut at {limit}: {longer}"


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of a variant over its runs with their standard deviation, and what it is over in words."""

    mean: float
    sd: float | None
    over: str


def noisy_difference(score: Score, variants: Mapping[str, Spread], different: Sequence[tuple[str, str]] = ()) -> str:
    """Say that pairs of variants differ by less than the runs of one variant do.

    ``different`` pairs were told apart by a test.
    """
    names = [name for name, of in variants.items() if of.sd is not None]
    pairs = []
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            a, b = variants[one], variants[other]
            noise = math.sqrt(((a.sd or 0.0) ** 2 + (b.sd or 0.0) ** 2) / 2)
            if (one, other) not in different and (other, one) not in different and abs(a.mean - b.mean) < noise:
                pairs.append((noise, one, other))
    if not pairs:
        return ""
    noise, one, other = max(pairs)
    a, b = variants[one], variants[other]
    who, example = f"{one} and {other}", ""
    if len(pairs) > 1:
        who, example = f"{len(pairs)} of {len(names) * (len(names) - 1) // 2} pairs of variants", f"{who}: "
    sizes = f"{score.distance(a.mean, b.mean)} against a standard deviation of {score.distance(noise, 0)} over {a.over}"
    return (
        f"noise: {who} differ in {score.metric} by less than the runs of one variant do ({example}{sizes}): "
        f"{_more_runs(a.mean - b.mean, noise, a.over)}"
    )


def _more_runs(difference: float, noise: float, over: str) -> str:
    """Return how many runs of each would show a difference in 80 of 100 experiments (normal approximation).

    That needs runs that depend on nothing but their seed: folds and draws of labelled rows (``over``) share rows, and
    both variants have the same ones.
    """
    if "fold" in over or "draw" in over:
        return "choose by something else, such as time, or compare with more seeds or on more test rows"
    needed = math.inf if not difference else math.ceil(2 * ((1.96 + 0.84) * noise / difference) ** 2)
    if needed > MOST_SEEDS:
        return "choose by something else, such as time, or compare on more test rows"
    return f"some {needed} seeds of each would be needed to tell them apart"


SHARES = ("accuracy", "macro_f1", "weighted_f1")
"""Metrics whose chance is about that of a share of the rows; no other, such as a correlation, has Wilson's interval."""


def tiny_validation(
    score: Score, rows: int, value: float | None, ahead: float | None, *, of: str = "", folds: bool = False
) -> str:
    """Say that the 95 % interval of a validation score is wide, and wider than the difference that was chosen on.

    ``ahead`` is how far the kept epoch is ahead of the next best one; None where nothing was chosen. ``of`` names the
    variant where there are several, and ``folds`` says whether the rows are divided into folds already.
    """
    if score.metric not in SHARES or value is None or ahead is None or not rows:
        return ""
    low, high = wilson(round(value * rows), rows)
    if (high - low) / 2 <= WIDE or ahead >= high - low:
        return ""
    return (
        f"tiny validation: on {rows:,} rows the 95 % interval of {score.metric}{of and f' of {of}'} is {low:.2f} to "
        f"{high:.2f}, wider than the {score.distance(ahead, 0)} by which the kept epoch is ahead of the next: a larger "
        f"split.validation{'' if folds else ', or split.folds'}"
    )
