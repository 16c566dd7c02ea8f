"""How well a student decides as its teacher does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selective_st.distillation.settings import DistillSettings
from selective_st.evaluation._checks import Bools, Floats
from selective_st.evaluation.claims import Support, interval
from selective_st.evaluation.metrics import loss_at, shares
from selective_st.evaluation.thresholds import ScoreThreshold, choose_threshold

_DRAWS = 500  # of texts
_PER_MILLE = 1000


@dataclass(frozen=True)
class Scored:
    """Pairs of texts by their numbers from 0 on, with the teacher's and the student's scores."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    gold: npt.NDArray[np.float32]
    predicted: npt.NDArray[np.float32]


def measured(pairs: dict[str, Scored], settings: DistillSettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metrics on the validation and the test pairs; what the student decides by is chosen on the first."""
    validation, test = pairs["validation"], pairs["test"]
    losses, agreement = [], []
    for threshold in settings.thresholds:
        loss = threshold_loss(validation.gold, validation.predicted, threshold)
        losses.append({"threshold": threshold, "loss": loss})
        agreement.append(_agreement(test, threshold, _best_cut(validation, threshold), settings.seed))
    return {"thresholds": losses}, {"thresholds": agreement}


def _best_cut(pairs: Scored, threshold: float) -> ScoreThreshold | None:
    """The student's best threshold; none where training has diverged."""
    if not np.isfinite(pairs.predicted).all():
        return None
    gold, predicted = (scores.astype(float) for scores in (pairs.gold, pairs.predicted))
    return choose_threshold(gold, predicted, gold_at_least=threshold, chosen_on="validation")  # type: ignore[arg-type]


def _agreement(pairs: Scored, threshold: float, own: ScoreThreshold | None, seed: int) -> dict[str, Any]:
    """At the teacher's threshold and at the student's own, with intervals over texts."""
    sought = _sought(pairs.gold, threshold)
    texts = len(np.unique([pairs.left[sought], pairs.right[sought]]))
    support = Support(int(sought.sum()), len(sought), texts=texts)
    found: dict[str, Any] = {"threshold": threshold, "matches": support.cases}
    for name, cut in (("at_teachers", threshold), ("at_own", own.value if own else math.nan)):
        found[name] = decisions(pairs.gold, pairs.predicted, threshold, cut)
        draws = _resampled(pairs, threshold, cut, seed)
        ends = {metric: interval(of, support) for metric, of in draws.items()}
        found[f"{name}_intervals"] = {metric: of and [max(of[0], 0.0), min(of[1], 1.0)] for metric, of in ends.items()}
        found[f"{name}_draws"] = draws["f1"].round(5).tolist()
    loss = threshold_loss(pairs.gold, pairs.predicted, threshold)
    return {**found, "loss": loss, "cut": own and own.as_dict()}


def difference(ours: dict[str, Any], other: dict[str, Any], where: str) -> dict[str, Any]:
    """How much higher our F1 is than another's on the same resamples of texts.

    Args:
        ours: The agreement of one student.
        other: That of another.
        where: `at_teachers` or `at_own` threshold.

    Returns:
        The difference and its interval.
    """
    draws = np.asarray(ours[f"{where}_draws"]) - np.asarray(other[f"{where}_draws"])
    ends = interval(draws, Support(ours["matches"], ours["matches"]))
    return {"f1": ours[where]["f1"] - other[where]["f1"], "interval": ends and list(ends)}


def _resampled(pairs: Scored, threshold: float, cut: float, seed: int) -> dict[str, Floats]:
    """F1, precision and recall where texts are drawn anew: a pair counts as often as both its texts are drawn."""
    texts = int(max(pairs.left.max(), pairs.right.max())) + 1
    times = np.random.default_rng(seed).multinomial(texts, np.full(texts, 1 / texts), size=_DRAWS).astype(np.float32)
    sought, found = _sought(pairs.gold, threshold), pairs.predicted >= cut

    def count(which: Bools) -> Floats:
        places = pairs.left[which], pairs.right[which]
        matrix = sparse.csr_matrix((np.ones(len(places[0]), np.float32), places), (texts, texts))
        counted: Floats = np.einsum("dt,td->d", times, matrix @ times.T, dtype=np.float64)
        return counted

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
