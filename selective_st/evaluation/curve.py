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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import scipy  # whose parts come when they are used

from selective_st._templates import say
from selective_st._validation import list_of, same_length
from selective_st.evaluation._checks import Floats, checked_pair, checked_scores, checked_weights, range_of_gold
from selective_st.evaluation.claims import FEWEST
from selective_st.evaluation.metrics import losses_at

_POINTS = 200
_TAIL = 0.025  # of a 95 % band on either side
_DRAWS = 10_000
_ROWS = 8192  # pairs at a time


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
    at = np.unique(np.concatenate([p, s])) if thresholds is None else checked_scores("thresholds", thresholds)
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


def even_thresholds(gold: Floats) -> Floats:
    """Thresholds between which no curve hides much: the middles of equal parts of the gold scores' range.

    Gold scores are round numbers, where a curve jumps; the middles lie between these.
    """
    low, high = range_of_gold(gold)
    return low + (np.arange(_POINTS) + 0.5) * (high - low) / _POINTS


def even_curve(predicted: Any, gold: Floats) -> tuple[Floats, Floats]:
    """The threshold curve at such thresholds, as pictures and files show it."""
    return threshold_curve(predicted, gold, even_thresholds(gold))


# --- Two models by their curves ---------------------------------------------------------------------------------------


class BetterRange(NamedTuple):
    """Neighbouring thresholds at which one of two models is better.

    Attributes:
        model: Its name.
        low: The lowest of these thresholds.
        high: The highest.
        points: How many there are.
    """

    model: str
    low: float
    high: float
    points: int


@dataclass(frozen=True, eq=False)
class CurveComparison:
    """The threshold curves of two models on the same pairs.

    Attributes:
        models: Their names.
        thresholds: The thresholds, in order.
        losses: Their losses at each, a row for each model.
        difference: The first model's loss less the second's.
        low: The lower end of a 95 % band that holds at each threshold by itself; NaN where fewer than ten pairs (or
            clusters of them) tell the models apart.
        high: Its upper end.
        low_of_all: The lower end of a 95 % band that holds at all thresholds together.
        high_of_all: Its upper end.
    """

    models: tuple[str, str]
    thresholds: Floats
    losses: Floats
    difference: Floats
    low: Floats
    high: Floats
    low_of_all: Floats
    high_of_all: Floats

    def better(self) -> list[BetterRange]:
        """Where a model is better, with 95 % confidence for all that is said together.

        Returns:
            The ranges of thresholds, in order.
        """
        sides = np.where(self.high_of_all < 0, 0, np.where(self.low_of_all > 0, 1, -1)).tolist()
        by_side = groupby(zip(sides, self.thresholds.tolist(), strict=True), key=itemgetter(0))
        runs = [(side, [threshold for _, threshold in run]) for side, run in by_side]
        return [BetterRange(self.models[side], at[0], at[-1], len(at)) for side, at in runs if side >= 0]

    def as_dict(self) -> dict[str, Any]:
        """The curves, and where a model is better, for JSON."""
        losses = dict(zip(self.models, self.losses.tolist(), strict=True))
        better = [of._asdict() for of in self.better()]
        return {"thresholds": self.thresholds.tolist(), "losses": losses, "better": better}

    def sentence(self) -> str:
        """Where a model is better, in words, without a full stop."""
        untold = bool(np.isnan(self.low_of_all).all())
        return say("curves", models=self.models, better=self.better(), points=self.thresholds, untold=untold)


def compare_curves(
    gold: Any,
    predicted: Mapping[str, Any],
    thresholds: Any = None,
    *,
    weight: Any = None,
    clusters: Sequence[Any] | None = None,
    seed: int = 0,
) -> CurveComparison:
    """Compare two models by their threshold curves: which is better, and at which thresholds.

    The bands are of the difference pair by pair (or cluster by cluster), by its covariance over the thresholds: with
    the quantile of Student's t for as many cases as tell the models apart there, and for all thresholds together with
    that of the largest of jointly normal differences (Montiel Olea and Plagborg-Moller 2019, J. Appl. Econometrics 34).

    Args:
        gold: Gold scores.
        predicted: The predicted scores of two models, by their names.
        thresholds: The thresholds. Default: 200, evenly over the gold scores' range (0 to 1 at least).
        weight: As for `threshold_curve`.
        clusters: For each pair the cluster that it belongs to, such as its first text. Default: each for itself.
        seed: Which draws the band for all thresholds is from.

    Returns:
        The comparison; `sentence()` says it.

    Raises:
        ValueError: If there are not two models, lists differ in length, or a number is not finite.

    Example:
        >>> gold = np.linspace(0, 1, 400)
        >>> noise = np.random.default_rng(0).normal(size=400)
        >>> found = compare_curves(gold, {"new": gold + 0.05 * noise, "old": gold + 0.2 * noise}, [0.3, 0.5, 0.7])
        >>> print(found.sentence())
        new is better at all 3 thresholds from 0.3 to 0.7 (95 % confidence for all of it together)
    """
    owner = "compare_curves"
    if len(predicted) != 2:
        mend = 'Give the scores of two models by name: {"new": scores, "old": scores}.'
        raise ValueError(f"{owner}: predicted must hold two models, got {len(predicted)}. {mend}")
    target, scores = checked_scores("gold", gold), [checked_pair(gold, of)[1] for of in predicted.values()]
    at = even_thresholds(target) if thresholds is None else np.unique(checked_scores("thresholds", thresholds))
    weights = checked_weights(owner, weight, len(target))
    losses = np.stack([threshold_curve(of, target, at, weights)[1] for of in scores])
    difference = losses[0] - losses[1]
    blocks = _sums_of_clusters(target, scores, at, weights, *rows_by_cluster(owner, clusters, target))
    cases, covariance = _spread(blocks, difference)
    told = cases >= FEWEST
    covariance = covariance[np.ix_(told, told)]
    error = np.sqrt(np.diag(covariance).clip(min=0))
    scale = np.where(error > 0, error, 1)  # where the models differ by the same everywhere, there is no error
    bands = []
    correlation = (covariance / np.outer(scale, scale)).clip(-1, 1)  # beyond it where errors are but rounding
    for tail in (_TAIL, _tail_of_all(correlation, seed)):
        width = np.full(len(at), np.nan)
        width[told] = scipy.stats.t.isf(tail, cases[told] - 1) * error
        bands += [difference - width, difference + width]
    first, second = predicted
    return CurveComparison((first, second), at, losses, difference, *bands)


def _spread(blocks: Iterator[tuple[Floats, Floats]], difference: Floats) -> tuple[Any, Floats]:
    """How many clusters tell two models apart at each threshold, and the covariance of the mean difference."""
    size, count, total = len(difference), 0, 0.0
    products, cases = np.zeros((size + 1, size + 1)), np.zeros(size, dtype=int)
    for sums, of_weight in blocks:
        both = np.hstack([sums, of_weight])
        products += both.T @ both
        cases += (sums != 0).sum(axis=0)
        count += len(sums)
        total += float(of_weight.sum())
    residual = np.hstack([np.eye(size), -difference[:, None]])  # a cluster's sum less what its weight makes of the mean
    return cases, residual @ products @ residual.T * count / max(count - 1, 1) / total**2


def rows_by_cluster(owner: str, clusters: Sequence[Any] | None, gold: Floats) -> tuple[Any, Any]:
    """The rows in the order of their clusters' names, and where each cluster begins."""
    if clusters is None:
        return np.arange(len(gold)), np.arange(len(gold))
    names = list_of(owner, "clusters", clusters, "names, one for each pair", '["question 1", "question 1"]')
    same_length(owner, "Give the cluster of each pair, such as its first text.", gold=gold, clusters=names)
    codes = {name: code for code, name in enumerate(sorted(dict.fromkeys(names), key=str))}
    of_row = np.array([codes[name] for name in names])
    order = np.argsort(of_row, kind="stable")
    return order, np.flatnonzero(np.diff(of_row[order], prepend=-1))


def _sums_of_clusters(
    target: Floats, scores: list[Floats], at: Floats, weights: Floats, order: Any, starts: Any
) -> Iterator[tuple[Floats, Floats]]:
    """The differences at each threshold and the weights, summed over each cluster; some clusters at a time."""
    blocks = np.unique(np.append(np.searchsorted(starts, np.arange(0, len(order), _ROWS)), len(starts)))
    for begin, end in pairwise(blocks):
        stop = starts[end] if end < len(starts) else len(order)
        rows, places = order[starts[begin] : stop], starts[begin:end] - starts[begin]
        first, second = (losses_at(target[rows, None], of[rows, None], at) for of in scores)
        of_rows = weights[rows, None]
        yield np.add.reduceat((first - second) * of_rows, places), np.add.reduceat(of_rows, places)


def _tail_of_all(correlation: Floats, seed: int) -> float:
    """The tail of a band at one threshold by itself, for all bands to hold together."""
    if not len(correlation):
        return _TAIL
    values, vectors = np.linalg.eigh(correlation)
    draws = np.random.default_rng(seed).normal(size=(_DRAWS, len(values)))
    largest = np.abs((draws * np.sqrt(np.maximum(values, 0))) @ vectors.T).max(axis=1)
    return min(_TAIL, float(scipy.stats.norm.sf(np.quantile(largest, 1 - 2 * _TAIL))))
