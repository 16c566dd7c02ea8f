r"""The threshold curve: a model's loss at every threshold that one may decide at.

At a threshold t, a pair costs how far its predicted score lies beyond t where target and prediction lie on different
sides of it, and nothing where they lie on the same side. The mean over pairs, as a function of t, is a Murphy diagram
(Ehm, Gneiting, Jordan and Krueger 2016, *Of Quantiles and Expectiles*, JRSS B 78). It holds the model's loss under
every link at once: the area under the curve, weighted by a link's sensitivity, is the mean `matching_loss`.

>>> thresholds, losses = threshold_curve(predicted=[0.2, 0.9], target=[0.6, 0.7], thresholds=[0.4, 0.8])
>>> losses.round(3).tolist()        # of the two pairs one is on the wrong side of each threshold, by 0.2 and 0.1
[0.1, 0.05]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from selective_st.evaluation._checks import Floats, checked_pair, checked_scores, checked_weights


def threshold_curve(predicted: Any, target: Any, thresholds: Any = None, weight: Any = None) -> tuple[Floats, Floats]:
    """The mean loss of deciding at each threshold, for all thresholds at once, in O(n log n).

    The loss of a pair at t is `|predicted - t|` where t lies strictly between prediction and target, else 0: a pair
    whose target is t itself belongs to both sides.

    Args:
        predicted: Predicted scores: a list, array or tensor.
        target: Target scores, as many; 0 and 1 for labels.
        thresholds: The thresholds. Default: all different predicted and target scores, in order. Between two
            neighbours of these the curve is a straight line; at a target score it may jump.
        weight: Weights >= 0 of the pairs. Default: all alike.

    Returns:
        The thresholds, and the loss at each.

    Raises:
        ValueError: If there are no pairs or thresholds, the lists differ in length, a number is not finite, a weight is
            negative or all are 0.

    Example:
        >>> thresholds, losses = threshold_curve([0.2, 0.9], [1, 0])
        >>> thresholds.tolist(), losses.round(2).tolist()
        ([0.0, 0.2, 0.9, 1.0], [0.0, 0.35, 0.35, 0.0])
    """
    p, s = checked_pair(predicted, target, names=("predicted", "target"))
    w = checked_weights("threshold_curve", weight, len(p))
    at = np.unique(np.concatenate([p, s])) if thresholds is None else _checked_places("threshold_curve", thresholds)
    differs = p != s
    p, s, share = p[differs], s[differs], w[differs] / w.sum()
    centre = (at.min() + at.max()) / 2  # sums of scores around 0 lose fewest digits
    terms = (share * np.sign(p - s) * (p - centre), share * np.sign(p - s))
    begun, *sums_of_begun = _sums_below(np.minimum(p, s), at, "left", terms)
    ended, *sums_of_ended = _sums_below(np.maximum(p, s), at, "right", terms)
    of_p, of_sign = (below - above for below, above in zip(sums_of_begun, sums_of_ended, strict=True))
    # Where no pair is undecided, the sums differ by their rounding.
    return at, np.where(begun > ended, np.maximum(of_p - (at - centre) * of_sign, 0.0), 0.0)


def _sums_below(ends: Floats, at: Floats, side: Any, terms: tuple[Floats, ...]) -> list[Any]:
    """How many pairs have their end below each threshold, and the sums of their terms."""
    order = np.argsort(ends)
    count = np.searchsorted(ends[order], at, side)
    return [count, *(np.append(0.0, np.cumsum(term[order]))[count] for term in terms)]


def _checked_places(owner: str, thresholds: Any) -> Floats:
    """Thresholds as an array, or raise unless they are a non-empty list of finite numbers."""
    if isinstance(thresholds, (int, float)):
        raise TypeError(f"{owner}: thresholds must be a list of thresholds, got {thresholds!r}; use [{thresholds!r}].")
    return checked_scores("thresholds", thresholds, each="threshold")
