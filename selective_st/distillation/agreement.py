"""How well a student decides as its teacher does."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from scipy import sparse

from selective_st.distillation.pairs import Pairs
from selective_st.distillation.settings import DistillSettings
from selective_st.evaluation._checks import Bools, Floats
from selective_st.evaluation.claims import Support, interval
from selective_st.evaluation.metrics import loss_at, shares
from selective_st.evaluation.thresholds import ScoreThreshold, choose_threshold
from selective_st.kept_runs import Run

PLACES = "at_teachers", "at_own"  # threshold
_DRAWS = 500  # of texts
_PER_MILLE = 1000


def measured(pairs: dict[str, Pairs], settings: DistillSettings) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """The metrics on the validation and the test pairs, and F1 where texts are drawn anew, at each threshold.

    What the student decides by is chosen on the validation pairs.
    """
    of, losses, agreement, draws = pairs["validation"], [], [], []
    for threshold in settings.thresholds:
        losses.append({"threshold": threshold, "loss": threshold_loss(of.scores, of.predicted, threshold)})
        own = None
        if np.isfinite(of.predicted).all():  # else training has diverged
            gold, predicted = of.scores.astype(float).tolist(), of.predicted.astype(float).tolist()
            own = choose_threshold(gold, predicted, gold_at_least=threshold, chosen_on="validation")
        found, of_texts = _agreement(pairs["test"], threshold, own, settings.seed)
        agreement.append(found)
        draws.append(of_texts)
    return {"thresholds": losses}, {"thresholds": agreement}, draws


def _agreement(
    pairs: Pairs, threshold: float, own: ScoreThreshold | None, seed: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """At the teacher's threshold and at the student's own, with intervals over texts; and the draws of F1."""
    sought, f1 = _sought(pairs.scores, threshold), {}
    texts = len(np.unique([pairs.left[sought], pairs.right[sought]]))
    support = Support(int(sought.sum()), len(sought), texts=texts)
    loss = threshold_loss(pairs.scores, pairs.predicted, threshold)
    found = {"threshold": threshold, "matches": support.cases, "loss": loss, "cut": own and own.as_dict()}
    for where, cut in zip(PLACES, (threshold, own.value if own else math.nan), strict=True):
        draws = _resampled(pairs, threshold, cut, seed)
        ends = {metric: interval(of, support) for metric, of in draws.items()}
        found[where] = decisions(pairs.scores, pairs.predicted, threshold, cut)
        found[f"{where}_intervals"] = {metric: of and np.clip(of, 0, 1).tolist() for metric, of in ends.items()}
        f1[where] = draws["f1"].round(5).tolist()
    return found, f1


def gained(ours: Run, other: Run) -> list[dict[str, Any]]:
    """How much higher our F1 is than another's at each threshold, with the interval on the same resamples of texts."""
    gains = []
    for place, (a, b) in enumerate(zip(ours.test["thresholds"], other.test["thresholds"], strict=True)):
        support, gain = Support(a["matches"], a["matches"]), {}
        for where in PLACES:
            ends = interval(np.subtract(*(run.test_scores[place][where] for run in (ours, other))), support)
            gain[where] = {"f1": a[where]["f1"] - b[where]["f1"], "interval": ends and list(ends)}
        gains.append(gain)
    return gains


def _resampled(pairs: Pairs, threshold: float, cut: float, seed: int) -> dict[str, Floats]:
    """F1, precision and recall where texts are drawn anew: a pair counts as often as both its texts are drawn."""
    texts = int(max(pairs.left.max(), pairs.right.max())) + 1
    times = np.random.default_rng(seed).multinomial(texts, np.full(texts, 1 / texts), size=_DRAWS).astype(np.float32)
    sought, found = _sought(pairs.scores, threshold), pairs.predicted >= cut

    def count(which: Bools) -> Floats:
        places = pairs.left[which], pairs.right[which]
        matrix = sparse.csr_matrix((np.ones(len(places[0]), np.float32), places), (texts, texts))
        return cast(Floats, np.einsum("dt,td->d", times, matrix @ times.T, dtype=np.float64))

    return shares(count(sought & found), count(found), count(sought))


def _sought(gold: Any, threshold: float) -> Bools:
    """Which pairs the teacher finds: its threshold is reached up to rounding, as where the student's is chosen."""
    return ScoreThreshold(threshold, threshold).is_sought(gold)


def decisions(gold: Any, predicted: Any, threshold: float, cut: float) -> dict[str, float]:
    """How well a student's decisions agree with its teacher's.

    Args:
        gold: The teacher's scores.
        predicted: The student's scores.
        threshold: The teacher decides by this.
        cut: The student decides by this.

    Returns:
        F1, precision and recall; 0 where nothing is found.

    Example:
        >>> decisions(np.array([0.9, 0.8, 0.2]), np.array([0.9, 0.3, 0.7]), 0.6, 0.6)
        {'f1': 0.5, 'precision': 0.5, 'recall': 0.5}
    """
    sought, found = _sought(gold, threshold), np.asarray(predicted) >= cut
    counted = shares((sought & found).sum(), found.sum(), sought.sum())
    return {name: float(share) for name, share in counted.items()}


def threshold_loss(gold: Any, predicted: Any, threshold: float) -> float:
    """The mean loss of deciding at a threshold, in per mille: how far a prediction on the wrong side lies beyond it.

    Args:
        gold: The teacher's scores.
        predicted: The student's scores.
        threshold: The threshold.

    Returns:
        The loss.

    Example:
        >>> round(threshold_loss(np.array([0.9, 0.8, 0.2]), np.array([0.9, 0.3, 0.7]), 0.6), 6)
        133.333333
    """
    gold, predicted = (np.asarray(scores, dtype=np.float64) for scores in (gold, predicted))
    return _PER_MILLE * loss_at(threshold).compute(gold, predicted)  # NaN where training has diverged
