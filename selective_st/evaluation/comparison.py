"""Compare models on graded pairs: every metric with its interval, and what it means.

>>> gold = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] * 10
>>> squeezed = [0.4 + 0.3 * score for score in gold]
>>> found = compare(gold, {"gold itself": gold, "squeezed": squeezed}, resamples=20)
>>> found.models[1].metrics["spearman"], round(found.models[1].metrics["spread"], 2)
(1.0, 0.3)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import selective_st.evaluation._checks as checks
import selective_st.evaluation.metrics as measures
from selective_st._validation import list_of
from selective_st.evaluation._checks import Bools, Floats
from selective_st.evaluation.claims import FEWEST, Support, interval, support_of_pairs
from selective_st.evaluation.curve import CurveComparison, compare_curves, rows_by_cluster
from selective_st.evaluation.metrics import metric_meaning
from selective_st.evaluation.thresholds import ScoreThreshold
from selective_st.output import without_nan

if TYPE_CHECKING:
    from selective_st.evaluation import ScoreRegionEvaluator

__all__ = ["Comparison", "ModelScores", "compare", "compare_on", "metric_meaning", "resamples_for"]

CONSTANT = "the mean gold score for every pair"  # what is drawn beside a single model
_SQUEEZED, _STRETCHED = 0.8, 1.25
_MOST_RESAMPLES, _FEWEST_RESAMPLES = 300, 100
_WORK = 3_000_000  # pairs in all resamples together


def resamples_for(pairs: int) -> int:
    """How many resamples of so many pairs are affordable."""
    return min(_MOST_RESAMPLES, max(_FEWEST_RESAMPLES, _WORK // pairs))


@dataclass
class ModelScores:
    """A model's scores of the pairs, and what they come to.

    Attributes:
        name: The model's name for people.
        predicted: Its score for each pair.
        metrics: Its metrics.
        bins: Error, bias and count in bins of the gold score.
        intervals: For some metrics, the ends of the 95 % interval.
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
        if math.isnan(spread) or len(self.predicted) < FEWEST:
            return "unknown"
        if spread < _SQUEEZED:
            return "squeezed"
        return "stretched" if spread > _STRETCHED else "as wide as gold"


@dataclass
class Difference:
    """The first model less the second, in one metric.

    Attributes:
        value: The difference.
        low: The lower end of its 95 % interval; NaN where none is honest.
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
        differences: With two models, their difference in each metric with a better end.
        gold_quantiles: The quantiles of the gold scores, by the names of the metrics.
        resamples: How many resamples the intervals are from.
        support: What each metric rests on.
        clusters: For each pair the cluster that it belongs to; None where each stands for itself.
    """

    gold: Floats
    models: list[ModelScores]
    differences: dict[str, Difference]
    gold_quantiles: dict[str, float]
    resamples: int
    support: dict[str, Support]
    clusters: Sequence[Any] | None = None

    @cached_property
    def compared_curves(self) -> CurveComparison:
        """Which of two models is better at which thresholds; a single one is held against the mean gold score."""
        scores = {model.name: model.predicted for model in self.models}
        if len(scores) == 1:
            scores[CONSTANT] = np.full(len(self.gold), self.gold.mean())
        return compare_curves(self.gold, scores, clusters=self.clusters)

    @property
    def is_binary(self) -> bool:
        """Whether gold says right or wrong, 1 or 0, rather than how alike texts are."""
        return bool(np.isin(self.gold, (0, 1)).all())

    def is_defined(self, name: str) -> bool:
        """Whether a metric says something of one of the models."""
        return any(not math.isnan(model.metrics.get(name, math.nan)) for model in self.models)

    def as_dict(self) -> dict[str, Any]:
        """The numbers for JSON; what is not defined is None."""
        models = [
            {
                "name": model.name,
                "metrics": {name: self.said(name, model) for name in model.metrics},
                "intervals": {name: list(ends) for name, ends in model.intervals.items()},
                "squeezed": model.squeeze,
                "threshold": model.threshold and model.threshold.as_dict(),
                "decisions": model.decisions,
                "bins": model.bins,
            }
            for model in self.models
        ]
        differences = {name: asdict(of) for name, of in self.differences.items()}
        for of in differences.values():
            of["better"] = None if of["better"] is None else self.models[of["better"]].name
        found = {
            "pairs": len(self.gold),
            "gold_quantiles": self.gold_quantiles,
            "resamples": self.resamples,
            "support": {name: support.as_dict() for name, support in self.support.items()},
            "models": models,
            "threshold_curves": self.compared_curves.as_dict(),
            "differences": differences,
        }
        return dict(without_nan(found))

    def said(self, name: str, model: ModelScores) -> float:
        """A metric's value; NaN where there is none, or it is the same for every model."""
        support = self.support.get(name.removeprefix(measures.NEGATIVE))
        return math.nan if support is not None and not support.cases else model.metrics.get(name, math.nan)


def compare(
    gold: Sequence[float],
    predicted: Mapping[str, Sequence[float]],
    *,
    thresholds: Mapping[str, ScoreThreshold] | None = None,
    at_least: Sequence[float] = (0.8, 0.95),
    at_most: Sequence[float] = (),
    regions: Sequence[tuple[float, float]] = ((0.8, 1.0),),
    cuts: Sequence[float] = (),
    groups: Sequence[Sequence[int]] = (),
    positive_from: float = 0.8,
    bins: int = 10,
    bin_range: tuple[float, float] | None = None,
    clusters: Sequence[Any] | None = None,
    resamples: int = 300,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
) -> Comparison:
    """Compare the scores of one or two models with gold scores, and with each other.

    The intervals are bootstrap intervals, taken further out where there are few cases: pairs (or clusters of pairs, and
    for rankings questions) are drawn anew with replacement, for both models the same ones. They tell how far the result
    depends on which pairs happen to be in the data; they know nothing of how the models would differ after another
    training run. A metric that rests on fewer than ten cases has none, and tells no difference.

    Args:
        gold: Gold scores.
        predicted: For one or two models the predicted scores, as many.
        thresholds: Fixed thresholds on predicted scores, by the model's name.
        at_least: As for `region_metrics`.
        at_most: As for `region_metrics`.
        regions: As for `region_metrics`.
        cuts: Thresholds whose decisions are of interest: loss, F1, precision and recall at each.
        groups: For each question the rows of its candidates; then rankings are compared too.
        positive_from: From which gold score a candidate counts as positive.
        bins: In how many bins of the gold score error and bias are reported.
        bin_range: The range of gold scores to cut into bins. Default: 0 to 1, and as far beyond as they go.
        clusters: For each pair the cluster that it belongs to, such as its first text; pairs of one cluster are drawn
            together. Default: each for itself.
        resamples: How many times to draw.
        seed: Which draws.
        metrics: Names of the metrics to draw for. Default: all that have a better end.

    Returns:
        The comparison.

    Raises:
        ValueError: If there are no models or more than two, or the scores differ in length or are not finite.
    """
    owner, thresholds = "compare", thresholds or {}
    if not 1 <= len(predicted) <= 2:
        mend = 'Give the scores by the name of the model: {"base": scores}.'
        raise ValueError(f"{owner}: predicted must hold one or two models, got {len(predicted)}. {mend}")
    for name in thresholds.keys() - predicted.keys():
        raise ValueError(f"{owner}: thresholds has {name!r}, which is none of the models {', '.join(predicted)}.")
    gold_scores = checks.checked_scores("gold", gold)
    rows_of = rows_by_cluster(owner, clusters, gold_scores)
    covered = checks.range_of_gold(gold_scores) if bin_range is None else bin_range
    of_cuts = [of for cut in checks.checked_thresholds(owner, "cuts", cuts) for of in measures.at_threshold(cut)]
    models, reported = [], []
    for name, scores in predicted.items():
        own, of = checks.checked_pair(gold, scores)[1], thresholds.get(name)
        of_pairs = measures.pair_metrics(owner, at_least, at_most, regions, [of])
        values = measures.measured(measures.with_negatives([*of_pairs, *of_cuts]), gold_scores, own)
        by_bin = measures.error_by_score_bin(gold, scores, bins=bins, score_range=covered)
        decided = None if of is None else _decided(of.is_sought(gold_scores), of.is_found(own))
        models.append(ModelScores(name, own, values, by_bin, threshold=of, decisions=decided))
        reported.append({metric.name: metric for metric in (*of_cuts, *of_pairs)})
    support = support_of_pairs(itertools.chain(*(own.values() for own in reported)), gold_scores, clusters)
    wanted = reported[0] if metrics is None else list_of(owner, "metrics", metrics, "names", '["spearman"]')
    shared = reported[0].keys() & reported[-1].keys() & {*wanted}
    names = [name for name, metric in reported[0].items() if metric.better and name in shared]
    parts, generator, drawn = np.split(rows_of[0], rows_of[1][1:]), np.random.default_rng(seed), []
    for _ in range(resamples):
        rows = np.concatenate([parts[i] for i in generator.integers(len(parts), size=len(parts))])
        pairs = [(gold_scores[rows], model.predicted[rows]) for model in models]
        drawn.append([[of[name].compute(*pair) for of, pair in zip(reported, pairs, strict=True)] for name in names])
    by_name = np.reshape(drawn, (resamples, len(names), len(models))).transpose(1, 0, 2)
    draws = dict(zip(names, by_name, strict=True))
    if groups:
        questions = measures.questions_of(groups, gold_scores, positive_from)
        asked = measures.question_metrics(positive_from)
        of_questions = []
        for model in models:
            ranked = measures.list_values(asked, [(gold_scores[rows], model.predicted[rows]) for rows in questions])
            model.metrics |= {**measures.over_lists(asked, ranked), "questions": len(questions)}
            of_questions.append(ranked)
        for name, of_first in of_questions[0].items():
            support[name] = Support(len(of_first), len(questions), "questions")
            if len(of_first):
                rows = np.random.default_rng(seed).integers(len(of_first), size=(resamples, len(of_first)))
                draws[name] = np.stack([ranked[name][rows].mean(axis=1) for ranked in of_questions], axis=1)
    for name, columns in draws.items():
        for model, column in zip(models, columns.T, strict=True):
            ends = interval(column, support[name])
            if ends is not None and ends[0] < ends[1]:  # resamples that are all alike say nothing of other data
                model.intervals[name] = ends
    compared = draws.items() if len(models) == 2 else ()
    differences = {name: _difference(name, models, columns, support[name]) for name, columns in compared}
    quantiles = {f"q{100 * level:g}": float(np.quantile(gold_scores, level)) for level in measures.QUANTILES}
    return Comparison(gold_scores, models, differences, quantiles, resamples, support, clusters)


def compare_on(
    evaluator: ScoreRegionEvaluator,
    predicted: Mapping[str, Sequence[float]],
    *,
    thresholds: Mapping[str, ScoreThreshold] | None = None,
    metrics: Sequence[str] | None = None,
) -> Comparison:
    """Compare the scores of one or two models on the pairs of an evaluator, by its metrics.

    Args:
        evaluator: The evaluator.
        predicted: As for `compare`.
        thresholds: As for `compare`.
        metrics: As for `compare`.

    Returns:
        The comparison. Pairs that share their first text are drawn together.
    """
    names = ("at_least", "at_most", "regions", "groups", "positive_from")
    settings = {name: getattr(evaluator, name) for name in names}
    settings |= {"cuts": evaluator.thresholds, "clusters": evaluator.sentences1}
    settings["resamples"] = resamples_for(len(evaluator.scores))
    return compare(evaluator.scores.tolist(), predicted, thresholds=thresholds, metrics=metrics, **settings)


def _decided(sought: Bools, found: Bools) -> dict[str, int]:
    """How many pairs were left rightly, found wrongly, missed, and found rightly."""
    counts = np.bincount(2 * sought + found, minlength=4).tolist()
    return dict(zip(("left", "found_wrongly", "missed", "found"), counts, strict=True))


def _difference(name: str, models: list[ModelScores], values: Floats, support: Support) -> Difference:
    """The difference in a metric, and which model is better: by the distance from the best value."""
    first, second = (model.metrics[name] for model in models)
    low, high = interval(values[:, 0] - values[:, 1], support) or (math.nan, math.nan)
    badness = metric_meaning(name).badness(values)
    worse = interval(badness[:, 0] - badness[:, 1], support)
    better = None if worse is None else 0 if worse[1] < 0 else 1 if worse[0] > 0 else None
    return Difference(first - second, low, high, better)
