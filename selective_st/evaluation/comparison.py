"""Compare models on graded pairs: every metric with its interval, and what it means.

>>> gold = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] * 10
>>> squeezed = [0.4 + 0.3 * score for score in gold]
>>> found = compare(gold, {"gold itself": gold, "squeezed": squeezed}, resamples=20)
>>> found.models[1].metrics["spearman"], round(found.models[1].metrics["spread"], 2)
(1.0, 0.3)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from selective_st._validation import instance_of, list_of, whole_number
from selective_st.evaluation._checks import Floats, checked_pair, range_of_gold
from selective_st.evaluation.metrics import error_by_score_bin, question_metrics, ranking_metrics, region_metrics
from selective_st.evaluation.thresholds import ScoreThreshold
from selective_st.output import without_nan

__all__ = ["Comparison", "MetricMeaning", "ModelScores", "compare", "metric_meaning"]

Better = Literal["higher", "lower", "nearer 0", "nearer 1", ""]
_SQUEEZED, _STRETCHED = 0.8, 1.25


@dataclass(frozen=True)
class MetricMeaning:
    """What a metric means.

    Attributes:
        title: Its name for people.
        meaning: What it says, in one line.
        better: Which end is better; empty where none is.
    """

    title: str
    meaning: str
    better: Better


def metric_meaning(name: str) -> MetricMeaning:
    """What a metric of this library means, in one line.

    Args:
        name: The metric's name, without that of a data set before it.

    Returns:
        The meaning.

    Raises:
        ValueError: If there is no such metric.

    Example:
        >>> metric_meaning("rmse_0.8_1").meaning
        'Typical distance between predicted and gold score, for gold scores from 0.8 to 1.'
        >>> metric_meaning("ap_ge_0.95").better
        'higher'
    """
    instance_of("metric_meaning", "name", name, str, 'Write for example "spearman".')
    cutoff = name.partition("@")[2]
    kind, *rest = name.split("_")
    sign = {"ge": "≥", "le": "≤"}.get(rest[0], "") if len(rest) == 2 else ""
    if rest[:1] == ["bin"]:
        rest = rest[1:]
    where = f", gold {rest[0]} to {rest[1]}" if len(rest) == 2 else ""
    region = f"for gold scores from {rest[0]} to {rest[1]}" if len(rest) == 2 else "over all pairs"
    if sign:
        sought = f"gold {sign} {rest[1]}"
        found = {
            "ap": MetricMeaning(
                f"Average precision, {sought}",
                f"How cleanly the {'highest' if sign == '≥' else 'lowest'} predicted scores pick out the pairs with "
                f"{sought}; 1 is perfect, and needs no threshold.",
                "higher",
            ),
            "precision": MetricMeaning(
                f"Precision, {sought}", f"Of the pairs that the threshold finds, the share with {sought}.", "higher"
            ),
            "recall": MetricMeaning(
                f"Recall, {sought}", f"Of the pairs with {sought}, the share that the threshold finds.", "higher"
            ),
            "f1": MetricMeaning(
                f"F1, {sought}", "Precision and recall in one number (their harmonic mean); 1 is perfect.", "higher"
            ),
            "threshold": MetricMeaning(
                f"Threshold, {sought}", "The predicted score from which a pair counts as found.", ""
            ),
        }.get(kind)
        if found is not None:
            return found
    known = {
        "spearman": MetricMeaning(
            f"Rank correlation{where}",
            f"Whether the predicted scores put the pairs in the gold order (Spearman), {region}; 1 is the same order.",
            "higher",
        ),
        "pearson": MetricMeaning(
            "Linear correlation", "Whether predicted and gold scores rise together in a line (Pearson).", "higher"
        ),
        "rmse": MetricMeaning(
            f"Error{where}", f"Typical distance between predicted and gold score, {region}.", "lower"
        ),
        "bias": MetricMeaning(
            f"Bias{where}",
            f"Mean of predicted less gold, {region}: above 0 the scores are too high, below 0 too low.",
            "nearer 0",
        ),
        "count": MetricMeaning(f"Pairs{where}", f"How many pairs there are {region}.", ""),
        "spread": MetricMeaning(
            "Spread of the scores",
            "How wide the middle 90 % of the predicted scores lie against that of the gold scores; well below 1 the "
            "scores are squeezed together.",
            "nearer 1",
        ),
        "questions": MetricMeaning("Questions", "Texts with a positive and another candidate.", ""),
        "lists": MetricMeaning("Lists", "How many lists of candidates there are.", ""),
        "map": MetricMeaning(
            "MAP", "How high the positives stand among their question's candidates, over all positives.", "higher"
        ),
        "mrr": MetricMeaning(
            f"MRR@{cutoff}", f"One over the rank of the first positive (0 behind rank {cutoff}), mean.", "higher"
        ),
        "ndcg": MetricMeaning(
            f"nDCG@{cutoff}", f"How much of the best possible gain stands in the first {cutoff} places.", "higher"
        ),
        "recall": MetricMeaning(
            f"Recall@{cutoff}", f"The share of the positives that stand in the first {cutoff} places.", "higher"
        ),
        "q": MetricMeaning(
            f"{name[1:]} % quantile", f"{name[1:]} % of the predicted scores lie below this.", ""
        ),
    }  # fmt: skip
    base = kind.partition("@")[0] if cutoff and kind != "rmse" and kind != "bias" else kind
    if cutoff and kind in ("rmse", "bias"):
        title = "Error" if kind == "rmse" else "Bias"
        return MetricMeaning(
            f"{title} of the top {cutoff}",
            f"{'Typical distance of predicted and gold score' if kind == 'rmse' else 'Mean of predicted less gold'}"
            f", for the {cutoff} candidates of each list with the highest gold scores.",
            known[kind].better,
        )
    if base[:1] == "q" and base[1:].replace(".", "").isdigit():
        base = "q"
    if base not in known:
        raise ValueError(f"metric_meaning: there is no metric named {name!r}.")
    return known[base]


@dataclass
class ModelScores:
    """A model's scores of the pairs, and what they come to.

    Attributes:
        name: The model's name for people.
        predicted: Its score for each pair.
        metrics: Its metrics.
        intervals: For some metrics, the ends of the 95 % interval.
        bins: Error, bias and count in bins of the gold score.
        threshold: Its threshold, if there is one.
        decisions: With a threshold, how many pairs were found rightly and wrongly, missed, and left rightly.
    """

    name: str
    predicted: Floats
    metrics: dict[str, float]
    bins: list[dict[str, float]]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    threshold: ScoreThreshold | None = None
    decisions: dict[str, int] | None = None

    @property
    def squeeze(self) -> Literal["squeezed", "stretched", "as wide as gold", "unknown"]:
        """Whether the predicted scores lie closer together than the gold scores."""
        spread = self.metrics["spread"]
        if math.isnan(spread):
            return "unknown"
        if spread < _SQUEEZED:
            return "squeezed"
        return "stretched" if spread > _STRETCHED else "as wide as gold"


@dataclass
class Difference:
    """The first model less the second, in one metric.

    Attributes:
        value: The difference.
        low: The lower end of its 95 % interval; NaN where none was computed.
        high: The upper end.
        better: Which model is better: 0, 1, or None where the interval says neither.
    """

    value: float
    low: float
    high: float
    better: int | None


@dataclass
class Comparison:
    """One model's scores, or two models' on the same pairs.

    Attributes:
        gold: The gold scores.
        models: The models, the one in question first.
        differences: With two models, their difference in each metric with an interval.
        gold_quantiles: The quantiles of the gold scores, by the names of the metrics.
        resamples: How many resamples the intervals are from.
    """

    gold: Floats
    models: list[ModelScores]
    differences: dict[str, Difference]
    gold_quantiles: dict[str, float]
    resamples: int

    @property
    def is_binary(self) -> bool:
        """Whether gold says right or wrong, 1 or 0, rather than how alike texts are."""
        return bool(np.isin(self.gold, (0, 1)).all())

    def as_dict(self) -> dict[str, Any]:
        """The numbers for JSON; what is not defined is None."""
        found: dict[str, Any] = without_nan(
            {
                "pairs": len(self.gold),
                "gold_quantiles": self.gold_quantiles,
                "resamples": self.resamples,
                "models": [
                    {
                        "name": model.name,
                        "metrics": model.metrics,
                        "intervals": {name: list(ends) for name, ends in model.intervals.items()},
                        "squeezed": model.squeeze,
                        "threshold": model.threshold.as_dict() if model.threshold else None,
                        "decisions": model.decisions,
                        "bins": model.bins,
                    }
                    for model in self.models
                ],
                "differences": {
                    name: {
                        "value": found.value,
                        "low": found.low,
                        "high": found.high,
                        "better": None if found.better is None else self.models[found.better].name,
                    }
                    for name, found in self.differences.items()
                },
            }
        )
        return found


def compare(
    gold: Sequence[float],
    predicted: Mapping[str, Sequence[float]],
    *,
    thresholds: Mapping[str, ScoreThreshold] | None = None,
    at_least: Sequence[float] = (0.8, 0.95),
    at_most: Sequence[float] = (),
    regions: Sequence[tuple[float, float]] = ((0.8, 1.0),),
    groups: Sequence[Sequence[int]] = (),
    positive_from: float = 0.8,
    bins: int = 10,
    bin_range: tuple[float, float] | None = None,
    clusters: Sequence[Any] | None = None,
    resamples: int = 300,
    seed: int = 0,
) -> Comparison:
    """Compare the scores of one or two models with gold scores, and with each other.

    The intervals are percentile bootstrap intervals: pairs (or clusters of pairs, and for rankings questions) are drawn
    anew with replacement, for both models the same ones. They tell how far the result depends on which pairs happen to
    be in the data; they know nothing of how the models would differ after another training run.

    Args:
        gold: Gold scores.
        predicted: For one or two models the predicted scores, as many.
        thresholds: Fixed thresholds on predicted scores, by the model's name.
        at_least: As for `region_metrics`.
        at_most: As for `region_metrics`.
        regions: As for `region_metrics`.
        groups: For each question the rows of its candidates; then rankings are compared too.
        positive_from: From which gold score a candidate counts as positive.
        bins: In how many bins of the gold score error and bias are reported.
        bin_range: The range of gold scores to cut into bins. Default: 0 to 1, and as far beyond as they go.
        clusters: For each pair the cluster that it belongs to, such as its first text; pairs of one cluster are drawn
            together. Default: each for itself.
        resamples: How many times to draw.
        seed: Which draws.

    Returns:
        The comparison.

    Raises:
        ValueError: If there are no models or more than two, or the scores differ in length or are not finite.
    """
    owner, mend = "compare", 'Give the scores by the name of the model: {"base": scores}.'
    instance_of(owner, "predicted", predicted, Mapping, mend)
    if not 1 <= len(predicted) <= 2:
        raise ValueError(f"{owner}: predicted must hold one or two models, got {len(predicted)}. {mend}")
    mend = 'Give them by the name of the model: {"base": choose_threshold(...)}.'
    thresholds = instance_of(owner, "thresholds", thresholds or {}, Mapping, mend)
    for name, threshold in thresholds.items():
        instance_of(owner, "thresholds", threshold, ScoreThreshold, mend)
        if name not in predicted:
            raise ValueError(f"{owner}: thresholds has {name!r}, which is none of the models {', '.join(predicted)}.")
    whole_number(owner, "resamples", resamples, least=1)
    whole_number(owner, "seed", seed)
    if clusters is not None:
        clusters = list_of(owner, "clusters", clusters, "names, one for each pair", '["question 1", "question 1"]')
        if len(clusters) != len(gold):
            raise ValueError(
                f"{owner}: clusters must have the length of gold, got {len(clusters)} and {len(gold)}. Give the "
                "cluster of each pair, such as its first text."
            )
    settings: dict[str, Any] = {"at_least": at_least, "at_most": at_most, "regions": regions}
    models = []
    measures: list[Callable[[Any, Any], dict[str, float]]] = []
    for name, scores in predicted.items():
        gold_scores, own = checked_pair(gold, scores)
        threshold = thresholds.get(name)
        fixed = [threshold] if threshold else []
        given: dict[str, Any] = {**settings, "thresholds": fixed}
        measures.append(functools.partial(region_metrics, **given))
        metrics = region_metrics(gold, scores, **given)
        if groups:
            metrics |= ranking_metrics(groups, gold, scores, positive_from=positive_from)
        covered = range_of_gold(gold_scores) if bin_range is None else bin_range
        found = ModelScores(name, own, metrics, error_by_score_bin(gold, scores, bins=bins, score_range=covered))
        if threshold:
            sought, taken = threshold.is_sought(gold_scores), threshold.is_found(own)
            found.threshold = threshold
            found.decisions = {
                "found": int((sought & taken).sum()),
                "found_wrongly": int((~sought & taken).sum()),
                "missed": int((sought & ~taken).sum()),
                "left": int((~sought & ~taken).sum()),
            }
        models.append(found)
    draws = _draw(gold_scores, models, measures, clusters, resamples, seed)
    if groups:
        draws |= _draw_questions(gold_scores, models, groups, positive_from, resamples, seed)
    for name, values in draws.items():
        for model, column in zip(models, values.T, strict=True):
            model.intervals[name] = _interval(column)
    differences = {}
    if len(models) == 2:
        shared = [name for name in models[0].metrics if name in models[1].metrics and name in draws]
        differences = {name: _difference(name, models, draws[name]) for name in shared}
    perfect = region_metrics(gold, gold, **settings)
    quantiles = {name: value for name, value in perfect.items() if name.startswith("q")}
    return Comparison(gold_scores, models, differences, quantiles, resamples)


def _draw(
    gold: Floats,
    models: list[ModelScores],
    measures: list[Callable[[Any, Any], dict[str, float]]],
    clusters: Sequence[Any] | None,
    resamples: int,
    seed: int,
) -> dict[str, Floats]:
    """For each metric its values in every resample, a column for each model."""
    generator = np.random.default_rng(seed)
    rows_of = _rows_of_clusters(range(len(gold)) if clusters is None else clusters)
    found: dict[str, list[list[float]]] = {}
    for _ in range(resamples):
        rows = np.concatenate([rows_of[i] for i in generator.integers(len(rows_of), size=len(rows_of))])
        drawn = [measure(gold[rows], model.predicted[rows]) for model, measure in zip(models, measures, strict=True)]
        for name in drawn[0].keys() & drawn[-1].keys():
            if metric_meaning(name).better:
                found.setdefault(name, []).append([metrics[name] for metrics in drawn])
    return {name: np.array(values) for name, values in found.items()}


def _rows_of_clusters(clusters: Sequence[Any]) -> list[npt.NDArray[np.intp]]:
    """The rows of each cluster, in the order of the clusters' names, so that a seed draws the same ones."""
    rows_of: dict[Any, list[int]] = {}
    for row, cluster in enumerate(clusters):
        rows_of.setdefault(cluster, []).append(row)
    # Names of several types have no order among each other.
    names = sorted(rows_of, key=lambda name: (type(name).__name__, name))
    return [np.array(rows_of[name], dtype=np.intp) for name in names]


def _draw_questions(
    gold: Floats,
    models: list[ModelScores],
    groups: Sequence[Sequence[int]],
    positive_from: float,
    resamples: int,
    seed: int,
) -> dict[str, Floats]:
    values = [question_metrics(groups, gold, model.predicted, positive_from=positive_from) for model in models]
    found = {}
    for name, of_first in values[0].items():
        if len(of_first):
            rows = np.random.default_rng(seed).integers(len(of_first), size=(resamples, len(of_first)))
            found[name] = np.stack([of_model[name][rows].mean(axis=1) for of_model in values], axis=1)
    return found


def _interval(values: Floats) -> tuple[float, float]:
    values = values[np.isfinite(values)]  # a resample may hold no pair of a region
    if not values.size:
        return math.nan, math.nan
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _difference(name: str, models: list[ModelScores], values: Floats) -> Difference:
    """The difference in a metric, and which model is better: by the distance from the best value."""
    first, second = (model.metrics[name] for model in models)
    low, high = _interval(values[:, 0] - values[:, 1])
    sides = [_badness(metric_meaning(name).better, values[:, column]) for column in (0, 1)]
    worse_low, worse_high = _interval(sides[0] - sides[1])
    better = 0 if worse_high < 0 else 1 if worse_low > 0 else None
    return Difference(first - second, low, high, better)


def _badness(better: Better, values: Floats) -> Floats:
    """How far values are from the best one."""
    if better == "nearer 0":
        return np.abs(values)
    if better == "nearer 1":
        return np.abs(np.log(np.maximum(values, 1e-9)))  # half is as far off as twice
    return values if better == "lower" else -values
