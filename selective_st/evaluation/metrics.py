"""Metrics of predicted scores against gold scores: by region, by bin, at a threshold, and of rankings.

Each is a `Metric`: its title, what it says and which end is better stand beside its computation. Ties never favour the
model: of the orders of tied pairs or candidates the worst counts, and for nDCG the mean over all of them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy  # whose parts come when they are used

import selective_st.evaluation._checks as checks
from selective_st._validation import finite_number, instance_of, interval_of, list_of, one_of, same_length, whole_number
from selective_st.evaluation._checks import TIE, Bools, Floats
from selective_st.evaluation.thresholds import ScoreThreshold

Better = Literal["higher", "lower", "nearer 0", "nearer 1", ""]
Gains = Literal["linear", "exponential"]
Ranks = npt.NDArray[np.intp]
Of2 = Callable[[Floats, Floats], float]
Make = Callable[..., "Metric"]

OF_AN_ORDER = ("map", "mrr@#", "ndcg@#")  # the metrics that are told of the order that candidates come in, too
RANKING_METRICS = ("map", "mrr@10", "ndcg@10")
NEGATIVE = "negative_"  # before the name of an error: the same with the better end up, as upstream's `negative_mse`
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MIDDLE = (QUANTILES[0], QUANTILES[-1])
_CUTOFF = 10
_POSITIVE_FROM = 0.8


def _every(gold: Floats) -> Bools:
    return np.ones(len(gold), dtype=bool)


def _mean(values: Floats) -> float:
    return float(np.mean(values))


@dataclass(frozen=True)
class Metric:
    """A number that says how good predicted scores are.

    Attributes:
        name: Its name, without that of a data set before it.
        title: Its name for people.
        meaning: What it says, in one line.
        better: Which end is better; empty where none is.
        compute: The number, from gold and predicted scores: of all pairs, or of one list of candidates. NaN where it is
            not defined.
        rests_on: Of gold scores, those that the number rests on: where it sets two kinds apart, the rarer kind. None
            where it is a count or a setting, and exact.
        over_lists: The number of several lists, from those of each.
        finer: How many digits more than of other numbers mean something, as it is small.
    """

    name: str
    title: str
    meaning: str
    better: Better
    compute: Callable[[Floats, Floats], float]
    rests_on: Callable[[Floats], Bools] | None = _every
    over_lists: Callable[[Floats], float] = _mean
    finer: int = 0

    @property
    def can_choose(self) -> bool:
        """Whether a checkpoint can be chosen by it: whether more, or less, of it is always better."""
        return self.better in ("higher", "lower")

    @property
    def heading(self) -> str:
        """Its title as the narrow column of a table takes it, with an arrow to the better end."""
        what, _, where = self.title.partition(", ")
        short = {"Average precision": "AP", "Error": "RMSE", "Rank correlation": "Spearman"}.get(what, what)
        arrow = {"higher": "↑", "lower": "↓"}.get(self.better, "")
        return " ".join(filter(None, (short.replace("the threshold ", ""), where.replace(" to ", "-"), arrow)))

    def badness(self, values: Any) -> Any:
        """How far values are from the best one."""
        if self.better == "nearer 0":
            return np.abs(values)
        if self.better == "nearer 1":
            return np.abs(np.log(np.maximum(values, 1e-9)))  # half is as far off as twice
        return values if self.better == "lower" else -values

    def negative(self) -> Metric:
        """An error with the better end up."""
        meaning = f"{self.meaning} With a minus before it, so that a trainer can choose the best checkpoint by it."
        name, title, of = f"{NEGATIVE}{self.name}", f"{self.title}, negative", self.compute
        return replace(self, name=name, title=title, meaning=meaning, better="higher", compute=lambda *at: -of(*at))


# --- Metrics by name --------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(?<=[_@q])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_MAKERS: dict[str, Make] = {}  # by the metric's name with # for each number: what makes it of these


def metric_meaning(name: str) -> Metric:
    """The metric of that name: its title, what it means in one line, and which end is better.

    Args:
        name: The metric's name, without that of a data set before it.

    Returns:
        The metric.

    Raises:
        ValueError: If there is no such metric.

    Example:
        >>> metric_meaning("rmse_0.8_1").meaning
        'Typical distance between predicted and gold score, for gold scores from 0.8 to 1.'
        >>> metric_meaning("ap_ge_0.95").better
        'higher'
    """
    plain = name.removeprefix(NEGATIVE).replace("_bin_", "_")
    make = _MAKERS.get(metric_kind(plain))
    if make is None:
        raise ValueError(f"metric_meaning: there is no metric named {name!r}.")
    metric = make(*map(float, _NUMBER.findall(plain)))
    return metric.negative() if name.startswith(NEGATIVE) else metric


def metric_kind(name: str) -> str:
    """The name of a metric with # for each number."""
    return _NUMBER.sub("#", name)


def _named(name: str, make: Make) -> Make:
    """Have metrics found by their name, in which # stands for each number that they are made of."""
    _MAKERS[name] = make
    return make


def _words(compute: Callable[..., Any]) -> str:
    """What a metric means: the docstring of its computation, in one line; python -OO leaves none."""
    return " ".join((compute.__doc__ or "").split())


# --- Of pairs ---------------------------------------------------------------------------------------------------------


def _of_region(name: str, title: str, better: Better, compute: Of2) -> Make:
    """Make a function of pairs a metric of a region of gold scores; the meaning says with {} which."""

    def make(low: float = -math.inf, high: float = math.inf) -> Metric:
        ends, where, words = "", "", "over all pairs"
        if math.isfinite(low):
            ends, where = f"_{low:g}_{high:g}", f", gold {low:g} to {high:g}"
            words = f"for gold scores from {low:g} to {high:g}"

        def holds(gold: Floats) -> Bools:
            return (gold >= low - TIE) & (gold <= high + TIE)

        def of_region(gold: Floats, predicted: Floats) -> float:
            inside = holds(gold)
            return compute(gold[inside], predicted[inside]) if inside.any() or name == "count" else math.nan

        meaning, rests_on = _words(compute).format(words), None if name == "count" else holds
        return Metric(name + ends, title + where, meaning, better, of_region, rests_on)

    return _named(f"{name}_#_#", _named(name, make))


def _correlation(gold: Floats, predicted: Floats) -> float:
    if len(gold) < 3 or np.ptp(gold) == 0 or np.ptp(predicted) == 0:
        return math.nan  # not defined
    return float(np.corrcoef(gold, predicted)[0, 1])


@partial(_of_region, "spearman", "Rank correlation", "higher")
def _spearman(gold: Floats, predicted: Floats) -> float:
    """Whether the predicted scores put the pairs in the gold order (Spearman), {}; 1 is the same order."""
    return _correlation(scipy.stats.rankdata(gold), scipy.stats.rankdata(predicted))


@partial(_of_region, "pearson", "Linear correlation", "higher")
def _pearson(gold: Floats, predicted: Floats) -> float:
    """Whether predicted and gold scores rise in a line (Pearson), {}."""
    return _correlation(gold, predicted)


@partial(_of_region, "rmse", "Error", "lower")
def _rmse(gold: Floats, predicted: Floats) -> float:
    """Typical distance between predicted and gold score, {}."""
    return float(np.sqrt(np.mean((predicted - gold) ** 2)))


@partial(_of_region, "bias", "Bias", "nearer 0")
def _bias(gold: Floats, predicted: Floats) -> float:
    """Mean of predicted less gold, {}: above 0 the scores are too high, below 0 too low."""
    return float(np.mean(predicted - gold))


@partial(_of_region, "count", "Pairs", "")
def _count(gold: Floats, predicted: Floats) -> float:
    """How many pairs there are {}."""
    return len(gold)


@partial(_of_region, "spread", "Spread of the scores", "nearer 1")
def _spread(gold: Floats, predicted: Floats) -> float:
    """How wide the middle 90 % of the predicted scores lie against that of the gold scores.

    Well below 1 the scores are squeezed together.
    """
    (low, high), (lowest, highest) = (np.quantile(scores, _MIDDLE) for scores in (gold, predicted))
    return float((highest - lowest) / (high - low)) if high > low else math.nan


@partial(_named, "q#")
def _quantile(percent: float) -> Metric:
    def compute(gold: Floats, predicted: Floats) -> float:
        return float(np.quantile(predicted, percent / 100))

    meaning = f"{percent:g} % of the predicted scores lie below this."
    return Metric(f"q{percent:g}", f"{percent:g} % quantile", meaning, "", compute)


def losses_at(gold: Floats, predicted: Floats, threshold: Any) -> Floats:
    """How far the predicted score lies beyond {:g} where the gold score lies on its other side, else 0."""
    alike = (np.minimum(gold, predicted) >= threshold) | (threshold >= np.maximum(gold, predicted))
    return np.where(alike, 0.0, np.abs(predicted - threshold))  # NaN where the prediction is


def _rarer(kind: Bools) -> Bools:
    """Of one kind and the others those that are fewer, on which what tells them apart rests."""
    return kind if 2 * kind.sum() <= len(kind) else ~kind


@partial(_named, "loss_at_#")
def loss_at(threshold: float) -> Metric:
    """The metric `loss_at_T`: a point of the threshold curve."""

    def rarer(gold: Floats) -> Bools:
        return _rarer(gold >= threshold - TIE)

    def compute(gold: Floats, predicted: Floats) -> float:
        return _mean(losses_at(gold, predicted, threshold))

    title, meaning = f"Loss at the threshold {threshold:g}", _words(losses_at).format(threshold)
    return Metric(f"loss_at_{threshold:g}", title, meaning, "lower", compute, rarer, finer=2)


# --- Of the pairs that are sought -------------------------------------------------------------------------------------

OfSought = Callable[[Bools, Floats, ScoreThreshold], float]


def _of_sought(name: str, title: str, better: Better, compute: OfSought, *, decides: bool = True) -> Make:
    """Make a function of the pairs whose gold score reaches a threshold a metric.

    The function gets which pairs are sought, the predicted scores and the threshold. Metrics that decide nothing ask
    only what it looks for.
    """

    def make(of: ScoreThreshold) -> Metric:
        sign, highest = ("≥", "highest") if of.side == "at_least" else ("≤", "lowest")
        words = f"gold {sign} {of.gold:g}"

        def of_pairs(gold: Floats, predicted: Floats) -> float:
            return compute(of.is_sought(gold), predicted, of)

        def rests_on(gold: Floats) -> Bools:
            return of.is_sought(gold) if decides else _rarer(of.is_sought(gold))

        meaning = _words(compute).format(of=words, top=highest)
        on = rests_on if better else None
        return Metric(f"{name}_{of.suffix}", f"{title}, {words}", meaning, better, of_pairs, on)

    _named(f"{name}_ge_#", lambda gold: make(ScoreThreshold(0.0, gold)))
    _named(f"{name}_le_#", lambda gold: make(ScoreThreshold(0.0, gold, "at_most")))
    return make


@partial(_of_sought, "ap", "Average precision", "higher", decides=False)
def _ap(sought: Bools, predicted: Floats, of: ScoreThreshold) -> float:
    """How cleanly the {top} predicted scores pick out the pairs with {of}; 1 is perfect, and needs no threshold."""
    ranks = worst_ranks(sought, of.sign * predicted)
    return _mean_precision(ranks) if len(ranks) else math.nan


@partial(_of_sought, "count", "Pairs", "", decides=False)
def _sought(sought: Bools, predicted: Floats, of: ScoreThreshold) -> float:
    """How many pairs have {of}."""
    return int(sought.sum())


@partial(_of_sought, "threshold", "Threshold", "")
def _threshold(sought: Bools, predicted: Floats, of: ScoreThreshold) -> float:
    """The predicted score from which a pair counts as found."""
    return of.value


def shares(hits: Any, found: Any, sought: Any) -> dict[str, Any]:
    """F1, precision and recall of how many are found rightly, found, and sought; 0 where there is nothing."""
    parts = {"f1": (2 * hits, found + sought), "precision": (hits, found), "recall": (hits, sought)}
    return {name: part / np.maximum(whole, 1) for name, (part, whole) in parts.items()}


def _share(name: str, sought: Bools, predicted: Floats, of: ScoreThreshold) -> float:
    found = of.is_found(predicted)
    counted = shares((sought & found).sum(), found.sum(), sought.sum())
    return float(counted[name]) if sought.any() else math.nan


@partial(_of_sought, "precision", "Precision", "higher")
def _precision(sought: Bools, predicted: Floats, of: ScoreThreshold) -> float:
    """Of the pairs that the threshold finds, the share with {of}."""
    return _share("precision", sought, predicted, of)


@partial(_of_sought, "recall", "Recall", "higher")
def _recall_of_pairs(sought: Bools, predicted: Floats, of: ScoreThreshold) -> float:
    """Of the pairs with {of}, the share that the threshold finds."""
    return _share("recall", sought, predicted, of)


@partial(_of_sought, "f1", "F1", "higher")
def f1(sought: Bools, predicted: Floats, of: ScoreThreshold) -> float:
    """Precision and recall in one number (their harmonic mean); 1 is perfect."""
    return _share("f1", sought, predicted, of)


def decisions(threshold: ScoreThreshold) -> list[Metric]:
    """The metrics of a threshold's decisions.

    They are `threshold_S`, `precision_S`, `recall_S` and `f1_S`; precision is 0 where nothing is found.
    """
    return [make(threshold) for make in (_threshold, _precision, _recall_of_pairs, f1)]


def _decided_at(kind: Make, threshold: float) -> Metric:
    """A metric of deciding at a threshold, which gold scores are held to as well."""
    metric: Metric = kind(ScoreThreshold(threshold, threshold))
    title, name = metric.title.partition(",")[0], metric.name.partition("_")[0]
    return replace(metric, name=f"{name}_at_{threshold:g}", title=f"{title} at the threshold {threshold:g}")


_AT_THRESHOLD = [
    loss_at,
    _named("f1_at_#", partial(_decided_at, f1)),
    _named("precision_at_#", partial(_decided_at, _precision)),
    _named("recall_at_#", partial(_decided_at, _recall_of_pairs)),
]


def at_threshold(threshold: float) -> list[Metric]:
    """The metrics of deciding at a threshold: `loss_at_T`, `f1_at_T`, `precision_at_T` and `recall_at_T`.

    A pair is found where its predicted score is at least T, and sought where its gold score is.
    """
    return [make(threshold) for make in _AT_THRESHOLD]


def sought_by(at_least: Sequence[float], at_most: Sequence[float]) -> list[ScoreThreshold]:
    """What is sought by thresholds on gold scores, as thresholds whose value says nothing."""
    return [*(ScoreThreshold(of, of) for of in at_least), *(ScoreThreshold(of, of, "at_most") for of in at_most)]


def pair_metrics(
    owner: str, at_least: Any, at_most: Any, regions: Any, thresholds: Iterable[ScoreThreshold | None] = ()
) -> list[Metric]:
    """The metrics of `region_metrics`, in the order that they are reported in; or raise."""
    sought = [checks.checked_thresholds(owner, *of) for of in (("at_least", at_least), ("at_most", at_most))]
    inside = checks.checked_regions(owner, regions)
    found = [_spearman(), _pearson(), _rmse(), _bias()]
    found += [make(of) for of in sought_by(*sought) for make in (_ap, _sought)]
    found += [make(*region) for region in inside for make in (_rmse, _bias, _spearman, _count)]
    found += [*(_quantile(100 * level) for level in QUANTILES), _spread()]
    return [*found, *(metric for of in thresholds if of is not None for metric in decisions(of))]


def measured(metrics: Iterable[Metric], gold: Floats, predicted: Floats) -> dict[str, float]:
    """The values of metrics, by their names."""
    return {metric.name: metric.compute(gold, predicted) for metric in metrics}


def with_negatives(metrics: Iterable[Metric]) -> list[Metric]:
    """The metrics, and each error once more with the better end up."""
    found = list(metrics)
    return [*found, *(metric.negative() for metric in found if metric.better == "lower")]


def region_metrics(
    gold: Sequence[float],
    predicted: Sequence[float],
    *,
    at_least: Sequence[float] = (0.8, 0.95),
    at_most: Sequence[float] = (),
    regions: Sequence[tuple[float, float]] = ((0.8, 1.0),),
    bins: int = 0,
    bin_range: tuple[float, float] = (0.0, 1.0),
    thresholds: Sequence[ScoreThreshold] = (),
) -> dict[str, float]:
    """How well predicted scores match gold scores, over all pairs and where it matters.

    Args:
        gold: Gold scores, on the scale of the predicted ones.
        predicted: Predicted scores, as many.
        at_least: Thresholds t; for each, the average precision of finding the pairs with gold >= t by high scores.
        at_most: Thresholds t; for each, the average precision of finding the pairs with gold <= t by low scores.
        regions: Gold regions (low, high), ends included; for each, error, bias, rank correlation and count.
        bins: In how many equal bins of the gold score to report error, bias and count; 0 for none.
        bin_range: The range of gold scores to cut into bins. See `error_by_score_bin`.
        thresholds: Fixed thresholds on predicted scores, chosen on other pairs by `choose_threshold`; for each,
            precision, recall and F1 of finding the pairs that it looks for.

    Returns:
        `spearman`, `pearson`, `rmse`, `bias` (mean of predicted - gold) over all pairs; `ap_ge_T` and `ap_le_T` for
        each threshold, of tied pairs those that are not sought first, and how many are sought, `count_ge_T`;
        `rmse_L_H`, `bias_L_H`, `spearman_L_H`, `count_L_H` for each region; the quantiles `q5`, `q25`, `q50`, `q75`,
        `q95` of the predicted scores, and `spread`, how wide the middle 90 % of the predicted scores lie against that
        of the gold ones (below 1 the score is squeezed). For each fixed threshold `threshold_ge_T` itself,
        `precision_ge_T`, `recall_ge_T`, `f1_ge_T` (`le` where low scores are looked for). For each error
        `negative_rmse`, `negative_rmse_L_H`: a trainer takes the largest value of a metric for the best. With `bins`:
        `rmse_bin_L_H`, `bias_bin_L_H`, `count_bin_L_H`. NaN where a metric is not defined, for example an average
        precision without a single pair that reaches the threshold.

    Raises:
        ValueError: If the lists are empty, differ in length, or hold NaN or infinity.
    """
    owner = "region_metrics"
    for threshold in thresholds:
        instance_of(owner, "thresholds", threshold, ScoreThreshold, "Write thresholds=[choose_threshold(...)].")
    metrics = pair_metrics(owner, at_least, at_most, regions, thresholds)
    gold_scores, scores = checks.checked_pair(gold, predicted)
    return measured(with_negatives(metrics), gold_scores, scores) | by_bin(gold_scores, scores, bins, bin_range)


def by_bin(gold: Any, predicted: Any, bins: int, bin_range: tuple[float, float]) -> dict[str, float]:
    """The metrics of so many bins, such as `rmse_bin_0_0.1`; none for 0."""
    rows = error_by_score_bin(gold, predicted, bins=bins, score_range=bin_range) if bins else []
    return {
        f"{name}_bin_{row['low']:g}_{row['high']:g}": row[name] for row in rows for name in ("rmse", "bias", "count")
    }


def error_by_score_bin(
    gold: Sequence[float], predicted: Sequence[float], *, bins: int = 10, score_range: tuple[float, float] = (0.0, 1.0)
) -> list[dict[str, float]]:
    """Error, bias and count in equal bins of the gold score.

    Args:
        gold: Gold scores.
        predicted: Predicted scores, as many.
        bins: How many bins.
        score_range: The range to cut into bins; the last bin includes its upper end. Pairs outside it are left out.

    Returns:
        One dict for each bin, `low`, `high`, `count`, `rmse` and `bias`; the last two NaN for an empty bin.

    Raises:
        ValueError: If the lists are empty, differ in length, or hold NaN or infinity, or `bins` < 1.
    """
    gold_scores, scores = checks.checked_pair(gold, predicted)
    edges, place = bins_of(gold_scores, bins, score_range)
    rows = []
    for number, (low, high) in enumerate(itertools.pairwise(edges.tolist())):
        inside = place == number
        values = measured((_rmse(), _bias()), gold_scores[inside], scores[inside])
        rows.append({"low": low, "high": high, "count": int(inside.sum()), **values})
    return rows


def bins_of(gold: Floats, bins: int, score_range: tuple[float, float]) -> tuple[Floats, Ranks]:
    """The edges of equal bins, and in which bin each gold score lies; the last one has its upper end."""
    whole_number("error_by_score_bin", "bins", bins, least=1)
    edges = np.linspace(*interval_of("error_by_score_bin", "score_range", score_range), bins + 1)
    place = np.searchsorted(edges, gold + TIE, side="right") - 1
    return edges, np.where(np.abs(gold - edges[-1]) <= TIE, bins - 1, place)


# --- Rankings ---------------------------------------------------------------------------------------------------------


def worst_ranks(relevant: Bools, score: Floats) -> Ranks:
    """The ranks of the positives, in order, where each stands behind everything else that scores as high.

    Args:
        relevant: Which candidates are positive.
        score: The candidates' scores.

    Returns:
        The ranks, counted from 1.

    Example:
        >>> worst_ranks(np.array([True, False, True, False]), np.array([0.5, 0.5, 0.1, 0.2])).tolist()
        [2, 4]
    """
    order = np.lexsort((relevant, -score))  # by falling score, of the tied the negatives first
    return np.flatnonzero(relevant[order]) + 1


def _mean_precision(ranks: Ranks) -> float:
    """The average precision: the mean, over the positives, of the share of positives up to each."""
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def _of_list(name: str, title: str, better: Better, compute: Callable[..., float], *, over_lists: Any = _mean) -> Make:
    """Make a function of a list's labels, its scores and a cutoff, for which {0} stands, a metric of lists."""

    def make(k: float = math.inf, **how: Any) -> Metric:
        best = f", for the {k:g} candidates of each list with the highest gold scores"
        named, titled, meaning = (text.format(f"{k:g}", best=best) for text in (name, title, _words(compute)))
        return Metric(named, titled, meaning, better, partial(compute, k=k, **how), over_lists=over_lists)

    return _named(name.format("#"), make)


def _of_ranks(of: Callable[[Ranks], float], label: Floats, score: Floats, positive_from: float) -> float:
    """What is to be said of the positives' ranks; NaN without a positive or another candidate."""
    relevant = label >= positive_from - TIE
    return of(worst_ranks(relevant, score)) if relevant.any() and not relevant.all() else math.nan


@partial(_of_list, "map", "MAP", "higher")
def _map(label: Floats, score: Floats, k: float, positive_from: float = _POSITIVE_FROM) -> float:
    """How high the positives stand among their question's candidates, over all positives."""
    return _of_ranks(_mean_precision, label, score, positive_from)


@partial(_of_list, "mrr@{0}", "MRR@{0}", "higher")
def _mrr(label: Floats, score: Floats, k: float, positive_from: float = _POSITIVE_FROM) -> float:
    """One over the rank of the first positive (0 behind rank {0}), mean."""
    return _of_ranks(lambda ranks: 1 / int(ranks[0]) if ranks[0] <= k else 0.0, label, score, positive_from)


@partial(_of_list, "recall@{0}", "Recall@{0}", "higher")
def _recall(label: Floats, score: Floats, k: float, positive_from: float = _POSITIVE_FROM) -> float:
    """The share of the positives that stand in the first {0} places."""
    return _of_ranks(lambda ranks: float(np.mean(ranks <= k)), label, score, positive_from)


@partial(_of_list, "ndcg@{0}", "nDCG@{0}", "higher")
def _ndcg(label: Floats, score: Floats, k: float, gains: Gains = "linear") -> float:
    """How much of the best possible gain stands in the first {0} places."""
    from sklearn.metrics import ndcg_score  # late: it imports pandas

    gain = np.maximum(label, 0)
    gain = gain if gains == "linear" else np.exp2(gain) - 1
    return float(ndcg_score(gain[None], score[None], k=int(k))) if np.ptp(gain) > 0 else math.nan


def _errors_of_top(label: Floats, score: Floats, k: float) -> Floats:
    """The errors of a list's best candidates, and of those tied with the last of them."""
    errors: Floats = (score - label)[label >= np.sort(label)[-min(int(k), len(label))] - TIE]
    return errors


@partial(_of_list, "rmse_top@{0}", "Error of the top {0}", "lower", over_lists=lambda of: math.sqrt(np.mean(of)))
def _rmse_of_top(label: Floats, score: Floats, k: float) -> float:
    """Typical distance of predicted and gold score{best}."""
    return float(np.mean(_errors_of_top(label, score, k) ** 2))


@partial(_of_list, "bias_top@{0}", "Bias of the top {0}", "nearer 0")
def _bias_of_top(label: Floats, score: Floats, k: float) -> float:
    """Mean of predicted less gold{best}."""
    return float(np.mean(_errors_of_top(label, score, k)))


def _base(name: str, *cutoff: float) -> Metric:
    of: Metric = _MAKERS[name](*cutoff)
    meaning = f"{of.meaning} In the order that the candidates were given in."
    return Metric(f"base_{of.name}", f"{of.title} as given", meaning, "", of.compute)


def _how_many(name: str, meaning: str) -> Metric:
    return Metric(name, name.capitalize(), meaning, "", lambda label, score: math.nan, None)


_named("questions", partial(_how_many, "questions", "Texts with a positive and another candidate."))
_named("lists", partial(_how_many, "lists", "How many lists there are."))
for _name in OF_AN_ORDER:
    _named(f"base_{_name}", partial(_base, _name))


def question_metrics(positive_from: float) -> list[Metric]:
    """The metrics of `ranking_metrics`."""
    return [_map(positive_from=positive_from), _mrr(_CUTOFF, positive_from=positive_from), _ndcg(_CUTOFF)]


def ranking_metrics(
    groups: Sequence[Sequence[int]],
    labels: Sequence[float],
    scores: Sequence[float],
    *,
    positive_from: float = _POSITIVE_FROM,
) -> dict[str, float]:
    """How high the positives stand in each question's ranking, averaged over the questions.

    Questions without a positive or without another candidate are left out: every ranking of theirs is as good. Ties
    never favour the model: a positive stands behind everything that is tied with it, and nDCG is the mean over all
    orders of the tied.

    Args:
        groups: For each question the rows of its candidates.
        labels: The gold label of each row. nDCG takes them as gains (0 where negative); the other metrics ask only
            which are positive.
        scores: The predicted score of each row.
        positive_from: From which label a candidate counts as positive.

    Returns:
        `map` (mean average precision), `mrr@10`, `ndcg@10`, and `questions`, how many were averaged over; with none,
        the metrics are NaN.

    Raises:
        ValueError: If labels and scores are empty, differ in length, or hold NaN or infinity; if a row is out of range.

    Example:
        >>> metrics = ranking_metrics([[0, 1, 2]], labels=[1, 0, 0], scores=[0.5, 0.7, 0.2])
        >>> metrics["map"], metrics["mrr@10"], round(metrics["ndcg@10"], 3), metrics["questions"]
        (0.5, 0.5, 0.631, 1)
    """
    gold, predicted = checks.checked_pair(labels, scores, names=("labels", "scores"))
    finite_number("ranking_metrics", "positive_from", positive_from)
    metrics = question_metrics(positive_from)
    questions = questions_of(groups, gold, positive_from)
    values = list_values(metrics, [(gold[rows], predicted[rows]) for rows in questions])
    return {**over_lists(metrics, values), "questions": len(questions)}


def questions_of(groups: Sequence[Sequence[int]], gold: Floats, positive_from: float) -> list[npt.NDArray[np.intp]]:
    """The rows of each question that has a positive and another candidate.

    Args:
        groups: For each question the rows of its candidates.
        gold: The gold label of each row.
        positive_from: From which label a candidate counts as positive.

    Returns:
        The rows.

    Raises:
        ValueError: If a row is out of range.
    """
    questions = []
    for group in list_of("ranking_metrics", "groups", groups, "lists of rows", "[[0, 1], [2, 3]]"):
        rows = np.asarray(group if len(group) else np.empty(0, dtype=np.intp))
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or not np.isin(rows, np.arange(len(gold))).all():
            what = f"for each question the numbers of its rows, from 0 to {len(gold) - 1}"
            raise ValueError(f"groups must hold {what}, got {group!r:.60}. Write for example groups=[[0, 1], [2, 3]].")
        relevant = gold[rows] >= positive_from - TIE
        if relevant.any() and not relevant.all():
            questions.append(rows)
    return questions


def list_values(metrics: Sequence[Metric], lists: Sequence[tuple[Floats, Floats]]) -> dict[str, Floats]:
    """The value of each metric for each list that it is defined for.

    Args:
        metrics: The metrics.
        lists: Labels and scores of each list.

    Returns:
        The values, by the metric's name.
    """
    values = {metric.name: np.array([metric.compute(*pair) for pair in lists], dtype=np.float64) for metric in metrics}
    return {name: column[~np.isnan(column)] for name, column in values.items()}


def over_lists(metrics: Sequence[Metric], values: Mapping[str, Floats]) -> dict[str, float]:
    """Each metric over all its lists; NaN without one.

    Args:
        metrics: The metrics.
        values: For each by name its values, as `list_values` gives them.

    Returns:
        The metrics.
    """
    return {m.name: m.over_lists(values[m.name]) if values[m.name].size else math.nan for m in metrics}


def list_metrics(
    labels: Sequence[Sequence[float]],
    scores: Sequence[Sequence[float]],
    *,
    at_k: int | Sequence[int] = (10,),
    positive_from: float = _POSITIVE_FROM,
    top_error: bool | None = None,
    gains: Gains = "linear",
) -> dict[str, float]:
    """How well scores rank lists of candidates, and how far off the scores of the best candidates are.

    Ties never favour the model: a positive's rank is behind all negatives that are tied with it, for average precision,
    recall and reciprocal rank; nDCG is the mean over all orders of the tied.

    Args:
        labels: For each list the gold labels of its candidates. nDCG takes them as gains (0 where negative).
        scores: For each list the predicted scores, as many.
        at_k: The cutoff, or several.
        positive_from: From which label a candidate counts as positive.
        top_error: Whether to compare the predicted scores with the labels, which must be on one scale for it. Default:
            where the labels are graded, that is some are neither 0 nor 1.
        gains: What nDCG takes for the gain of a label: the label (`linear`), or 2 ** label - 1 (`exponential`), usual
            for grades 0, 1, 2, 3.

    Returns:
        `map`, and for each k `ndcg@k`, `recall@k`, `mrr@k`: means over the lists with a positive and another candidate
        (nDCG with graded labels: with different gains), as every ranking of the others is as good; `lists`, how many
        lists there are, and `questions`, how many of them the mean average precision is over. With `top_error`, for
        each k `rmse_top@k`, `negative_rmse_top@k` and `bias_top@k`: the error and the bias (predicted - gold) of the k
        candidates with the highest labels, and those tied with the last of them; each list counts alike. NaN where no
        list counts.

    Raises:
        ValueError: If lists differ in length, are empty, or hold NaN or infinity, or a cutoff is below 1.

    Example:
        >>> metrics = list_metrics([[0.9, 0.5, 0.1], [0.2, 1.0]], [[0.7, 0.8, 0.0], [0.1, 0.9]], at_k=[1])
        >>> metrics["mrr@1"], metrics["recall@1"], metrics["map"], round(metrics["bias_top@1"], 3)
        (0.5, 0.5, 0.75, -0.15)
    """
    pairs = checked_lists("list_metrics", labels, scores)
    of_labels = [label for label, _ in pairs]
    return ListMeasures("list_metrics", of_labels, at_k, positive_from, top_error, gains).of(pairs)


def checked_lists(owner: str, labels: Any, scores: Any) -> list[tuple[Floats, Floats]]:
    """Labels and scores of lists.

    Args:
        owner: The class or function whose arguments they are, for the message.
        labels: For each list its labels.
        scores: For each list its scores.

    Returns:
        Both as arrays, for each list.

    Raises:
        ValueError: If there is no list, or labels and scores do not fit.
    """
    labels = list_of(owner, "labels", labels, "lists of labels", "[[1, 0]]", lambda _: True)
    scores = list_of(owner, "scores", scores, "lists of scores", "[[0.7, 0.2]]")
    same_length(owner, "Give both of each list.", labels=labels, scores=scores)
    both = enumerate(zip(labels, scores, strict=True))
    return [checks.checked_pair(*pair, names=(f"labels[{row}]", f"scores[{row}]")) for row, pair in both]


class ListMeasures:
    """Which metrics of lists are asked for.

    Args:
        owner: The class or function whose arguments they are, for messages.
        labels: The labels of the lists, which say whether these are graded.
        at_k: As for `list_metrics`, like the others.
        positive_from: As there.
        top_error: As there.
        gains: As there.

    Attributes:
        cutoffs: The cutoffs, each once, in order.
        top_error: Whether scores are compared with labels.

    Raises:
        ValueError: If there is no cutoff, or one is no whole number from 1; or if there are no such gains.
    """

    def __init__(
        self, owner: str, labels: Iterable[Any], at_k: Any, positive_from: float, top_error: bool | None, gains: Gains
    ) -> None:
        given = [at_k] if isinstance(at_k, int) else list_of(owner, "at_k", at_k, "cutoffs", "[10]", lambda _: True)
        self.cutoffs = tuple(sorted({whole_number(owner, "at_k", k, least=1) for k in given}))
        self.positive_from = finite_number(owner, "positive_from", positive_from)
        self.gains: Gains = one_of(owner, "gains", gains, ("linear", "exponential"))
        instance_of(owner, "top_error", top_error, (bool, type(None)), "Write top_error=True, or leave it out.")
        are_graded = any(not np.isin(label, (0.0, 1.0)).all() for label in labels)
        self.top_error = are_graded if top_error is None else top_error

    @property
    def rankings(self) -> list[Metric]:
        """The metrics that only look at the order; made anew, as they are functions, and no pickle."""
        of = {"positive_from": self.positive_from}
        at = [(_ndcg(k, gains=self.gains), _recall(k, **of), _mrr(k, **of)) for k in self.cutoffs]
        return [_map(**of), *itertools.chain(*at)]

    @property
    def errors(self) -> list[Metric]:
        """Those that compare scores with labels."""
        return [make(k) for k in self.cutoffs if self.top_error for make in (_rmse_of_top, _bias_of_top)]

    def of(self, pairs: Sequence[tuple[Floats, Floats]], missed: int = 0) -> dict[str, float]:
        """The metrics.

        Args:
            pairs: Labels and scores of each list.
            missed: How many more lists count 0 in every ranking, as none of their positives was found.

        Returns:
            The metrics of `list_metrics`.
        """
        values = {name: np.append(of, np.zeros(missed)) for name, of in list_values(self.rankings, pairs).items()}
        found = over_lists([*self.rankings, *self.errors], values | list_values(self.errors, pairs))
        found |= {"lists": len(pairs) + missed, "questions": len(values["map"])}
        return found | {f"{NEGATIVE}{of.name}": -found[of.name] for of in self.errors if of.better == "lower"}
