"""When a selective loss pays: whether the model's size or the number of labels limits the decisions at a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from selective_st._templates import say
from selective_st.evaluation._checks import Floats, checked_pair, checked_thresholds
from selective_st.evaluation.curve import rows_by_cluster
from selective_st.evaluation.metrics import losses_at

Limit = Literal["model", "labels", "nothing"]
_NORMAL = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Gain:
    """How much less a selective loss leaves at the thresholds than squared error, as a share of that.

    Attributes:
        share: The share; negative where it leaves more.
        low: The lower end of its 95 % interval over pairs, or clusters of them.
        high: The upper end.
        loss: What the selective loss leaves, per pair.
    """

    share: float
    low: float
    high: float
    loss: float


@dataclass(frozen=True)
class Diagnosis:
    """What limits the decisions at thresholds.

    Attributes:
        thresholds: The thresholds.
        training: The gain on training pairs.
        validation: The gain on validation pairs.
    """

    thresholds: tuple[float, ...]
    training: Gain
    validation: Gain

    @property
    def limit(self) -> Limit:
        """The model where the gain carries over, labels where it does not, nothing where there is none."""
        if self.validation.low > 0:
            return "model"
        return "labels" if self.training.low > 0 else "nothing"

    def sentence(self, few: str = "labels: more pairs, or a teacher's scores,") -> str:
        """What limits them and what helps, in words; `few` says what there are too few of, and what helps."""
        return say("limited", found=self, few=few)

    def as_dict(self) -> dict[str, Any]:
        """The figures and the words, for JSON."""
        return {**asdict(self), "limit": self.limit, "sentence": self.sentence()}


def diagnose(
    training: tuple[Any, Mapping[str, Any]],
    validation: tuple[Any, Mapping[str, Any]],
    thresholds: Sequence[float],
    *,
    clusters: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> Diagnosis:
    """Tell whether selectivity pays for a model and its data, from two short runs.

    A small model with plenty of labels must choose where to err, and a selective loss chooses the thresholds: there the
    gain on training pairs carries over to others. Where labels are few, it fits the training pairs only.

    Args:
        training: The gold scores of training pairs, and the scores predicted for them by two models: one trained by
            `squared`, one by a `selective` loss.
        validation: The same for pairs that neither was trained on, drawn as the training pairs were.
        thresholds: At which will be decided.
        clusters: For the pairs of both, the clusters that they belong to, such as their first texts. Default: each for
            itself.

    Returns:
        The diagnosis; `sentence()` says it.

    Raises:
        ValueError: If lists differ in length, a number is not finite, there is no threshold, or a model is missing.

    Example:
        >>> gold = np.linspace(0, 1, 1000)
        >>> noise = np.random.default_rng(0).normal(size=1000)
        >>> scores = {"squared": gold + 0.1 * noise, "selective": gold + 0.08 * noise}
        >>> diagnose((gold, scores), (gold, scores), [0.8]).limit
        'model'
    """
    at = checked_thresholds("diagnose", "thresholds", thresholds)
    if not at:
        raise ValueError("diagnose: give at least one threshold, for example [0.8].")
    of_training, of_validation = clusters or (None, None)
    return Diagnosis(
        at, _gain("training", *training, at, of_training), _gain("validation", *validation, at, of_validation)
    )


def _gain(
    split: str, gold: Any, predicted: Mapping[str, Any], thresholds: Sequence[float], clusters: Sequence[Any] | None
) -> Gain:
    """By the ratio of the mean losses, whose spread is that of its linear part."""
    missing = [name for name in ("squared", "selective") if name not in predicted]
    if missing:
        raise ValueError(f"diagnose: {split} has no scores {missing[0]!r}. Give both: {{'squared': scores, ...}}.")
    squared, selective = (_losses(gold, predicted[name], thresholds) for name in ("squared", "selective"))
    whole, loss = float(squared.mean()), float(selective.mean())
    if not whole:
        return Gain(0.0, 0.0, 0.0, loss)
    ratio = loss / whole
    order, starts = rows_by_cluster("diagnose", clusters, squared)
    residuals = np.add.reduceat((selective - ratio * squared)[order], starts)
    error = _NORMAL * float(np.sqrt((residuals**2).sum())) / len(squared) / whole
    return Gain(1 - ratio, 1 - ratio - error, 1 - ratio + error, loss)


def _losses(gold: Any, predicted: Any, thresholds: Sequence[float]) -> Floats:
    scores = checked_pair(gold, predicted)
    found: Floats = np.mean([losses_at(*scores, each) for each in thresholds], axis=0)
    return found
