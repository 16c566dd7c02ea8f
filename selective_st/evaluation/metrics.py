"""Metrics of predicted scores against gold scores: by region, by bin, at a threshold, and of rankings.

Ties never favour the model: no metric depends on the order in which tied candidates or pairs happen to stand.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, ndcg_score

from selective_st._validation import finite_number, instance_of, interval_of, list_of, whole_number
from selective_st.evaluation._checks import (
    TIE,
    Floats,
    checked_pair,
    checked_regions,
    checked_scores,
    checked_thresholds,
)
from selective_st.evaluation.thresholds import ScoreThreshold, decision_metrics

RANKING_METRICS = ("map", "mrr@10", "ndcg@10")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_CUTOFF = 10


def _correlation(function: Any, gold: Floats, predicted: Floats) -> float:
    if len(gold) < 3 or np.ptp(gold) == 0 or np.ptp(predicted) == 0:
        return math.nan  # not defined
    return float(function(gold, predicted)[0])


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
        each threshold; `rmse_L_H`, `bias_L_H`, `spearman_L_H`, `count_L_H` for each region; the quantiles `q5`, `q25`,
        `q50`, `q75`, `q95` of the predicted scores, and `spread`, how wide the middle 90 % of the predicted scores lie
        against that of the gold ones (below 1 the score is squeezed). With `bins`: `rmse_bin_L_H`, `bias_bin_L_H`,
        `count_bin_L_H`. For each fixed threshold `threshold_ge_T` itself, `precision_ge_T`, `recall_ge_T`, `f1_ge_T`
        (`le` where low scores are looked for). NaN where a metric is not defined, for example an average precision
        without a single pair that reaches the threshold.

    Raises:
        ValueError: If the lists are empty, differ in length, or hold NaN or infinity.
    """
    owner = "region_metrics"
    at_least = checked_thresholds(owner, "at_least", at_least)
    at_most = checked_thresholds(owner, "at_most", at_most)
    regions = checked_regions(owner, regions)
    whole_number(owner, "bins", bins)
    thresholds = list_of(owner, "thresholds", thresholds, "ScoreThreshold", "[choose_threshold(...)]")
    for threshold in thresholds:
        instance_of(owner, "thresholds", threshold, ScoreThreshold, "Write thresholds=[choose_threshold(...)].")
    gold_scores, scores = checked_pair(gold, predicted)
    error = scores - gold_scores
    metrics = {
        "spearman": _correlation(spearmanr, gold_scores, scores),
        "pearson": _correlation(pearsonr, gold_scores, scores),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "bias": float(np.mean(error)),
    }
    found = [(f"ap_ge_{t:g}", gold_scores >= t - TIE, scores) for t in at_least]
    found += [(f"ap_le_{t:g}", gold_scores <= t + TIE, -scores) for t in at_most]
    for name, relevant, order in found:
        metrics[name] = float(average_precision_score(relevant, order)) if relevant.any() else math.nan
    for low, high in regions:
        inside = (gold_scores >= low - TIE) & (gold_scores <= high + TIE)
        region = f"{low:g}_{high:g}"
        some = bool(inside.any())
        metrics[f"rmse_{region}"] = float(np.sqrt(np.mean(error[inside] ** 2))) if some else math.nan
        metrics[f"bias_{region}"] = float(np.mean(error[inside])) if some else math.nan
        metrics[f"spearman_{region}"] = _correlation(spearmanr, gold_scores[inside], scores[inside])
        metrics[f"count_{region}"] = int(inside.sum())
    quantiles = np.quantile(scores, QUANTILES)
    metrics |= {f"q{100 * level:g}": float(quantile) for level, quantile in zip(QUANTILES, quantiles, strict=True)}
    low, high = np.quantile(gold_scores, (QUANTILES[0], QUANTILES[-1]))
    metrics["spread"] = float((quantiles[-1] - quantiles[0]) / (high - low)) if high > low else math.nan
    if bins:
        for row in error_by_score_bin(gold, predicted, bins=bins, score_range=bin_range):
            metrics |= {f"{name}_bin_{row['low']:g}_{row['high']:g}": row[name] for name in ("rmse", "bias", "count")}
    for threshold in thresholds:
        metrics |= decision_metrics(gold_scores, scores, threshold, threshold.suffix)
    return metrics


def ranking_metrics(
    groups: Sequence[Sequence[int]],
    labels: Sequence[float],
    scores: Sequence[float],
    *,
    positive_from: float = 0.8,
) -> dict[str, float]:
    """How high the positives stand in each question's ranking, averaged over the questions.

    Questions without a positive or without another candidate are left out: every ranking of theirs is as good. Ties
    never favour the model: average precision takes tied candidates together, as scikit-learn does; the reciprocal rank
    puts a positive behind everything that is tied with it; nDCG is the mean over all orders of the tied.

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
    gold, predicted = checked_scores("labels", labels), checked_scores("scores", scores)
    if gold.shape != predicted.shape:
        raise ValueError(f"labels and scores must have the same length, got {len(gold)} and {len(predicted)}.")
    finite_number("ranking_metrics", "positive_from", positive_from)
    values = question_metrics(groups, gold, predicted, positive_from=positive_from)
    means = {name: float(np.mean(column)) if column.size else math.nan for name, column in values.items()}
    return {**means, "questions": len(values[RANKING_METRICS[0]])}


def question_metrics(
    groups: Sequence[Sequence[int]], gold: Floats, predicted: Floats, *, positive_from: float
) -> dict[str, Floats]:
    """The metrics of `ranking_metrics` for each question, before they are averaged.

    Args:
        groups: For each question the rows of its candidates.
        gold: The gold label of each row.
        predicted: The predicted score of each row.
        positive_from: From which label a candidate counts as positive.

    Returns:
        For each metric its values, one for each question with a positive and another candidate.

    Raises:
        ValueError: If a row is out of range.
    """
    found: list[tuple[float, ...]] = []
    for rows in _questions(groups, gold, positive_from):
        label, score = gold[rows], predicted[rows]
        relevant = label >= positive_from - TIE
        ranks = worst_ranks(relevant, score)
        found.append(
            (
                float(average_precision_score(relevant, score)),
                reciprocal_rank(ranks, _CUTOFF),
                mean_ndcg(label, score, _CUTOFF),
            )
        )
    columns = np.asarray(found, dtype=np.float64).reshape(len(found), len(RANKING_METRICS)).T
    return dict(zip(RANKING_METRICS, columns, strict=True))


def worst_ranks(relevant: npt.NDArray[np.bool_], score: Floats) -> npt.NDArray[np.intp]:
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


def reciprocal_rank(ranks: npt.NDArray[np.intp], cutoff: int) -> float:
    """One over the first rank, 0 behind the cutoff.

    Args:
        ranks: Ranks in order.
        cutoff: The last rank that counts.

    Returns:
        The reciprocal rank.
    """
    return 1 / int(ranks[0]) if ranks[0] <= cutoff else 0.0


def mean_ndcg(label: Floats, score: Floats, cutoff: int) -> float:
    """The nDCG with the labels as gains (0 where negative), its mean over all orders of the tied.

    Args:
        label: The candidates' labels.
        score: Their scores.
        cutoff: The last rank that counts.

    Returns:
        The nDCG.
    """
    return float(ndcg_score(np.maximum(label, 0)[None], score[None], k=cutoff))


def _questions(groups: Sequence[Sequence[int]], gold: Floats, positive_from: float) -> list[npt.NDArray[np.intp]]:
    """The rows of each question that has a positive and another candidate."""
    questions = []
    for group in list_of("ranking_metrics", "groups", groups, "lists of rows", "[[0, 1], [2, 3]]"):
        rows = np.asarray(list_of("ranking_metrics", "groups", group, "rows, one for each question", "[[0, 1]]"))
        if rows.size and (rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer)):
            raise ValueError(
                f"groups must hold for each question the numbers of its rows, got {group!r:.60}. Write for example "
                "groups=[[0, 1], [2, 3]]."
            )
        rows = rows.astype(np.intp)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(gold)):
            raise ValueError(f"groups must hold rows from 0 to {len(gold) - 1}, got {rows.min()} to {rows.max()}.")
        relevant = gold[rows] >= positive_from - TIE
        if relevant.any() and not relevant.all():
            questions.append(rows)
    return questions


def list_metrics(
    labels: Sequence[Sequence[float]],
    scores: Sequence[Sequence[float]],
    *,
    at_k: int | Sequence[int] = (10,),
    positive_from: float = 0.8,
    top_error: bool | None = None,
) -> dict[str, float]:
    """How well scores rank lists of candidates, and how far off the scores of the best candidates are.

    Ties never favour the model: average precision takes tied candidates together, as scikit-learn does; a positive's
    rank, for recall and reciprocal rank, is behind all negatives that are tied with it; nDCG is the mean over all
    orders of the tied.

    Args:
        labels: For each list the gold labels of its candidates. nDCG takes them as gains (0 where negative).
        scores: For each list the predicted scores, as many.
        at_k: The cutoff, or several.
        positive_from: From which label a candidate counts as positive.
        top_error: Whether to compare the predicted scores with the labels, which must be on one scale for it. Default:
            where the labels are graded, that is some are neither 0 nor 1.

    Returns:
        `map`, and for each k `ndcg@k`, `recall@k`, `mrr@k`: means over the lists with a positive and another candidate
        (nDCG with graded labels: with different gains), as every ranking of the others is as good; `lists`, how many
        lists there are, and `questions`, how many of them the mean average precision is over. With `top_error`, for
        each k `rmse_top@k` and `bias_top@k`: the error and the bias (predicted - gold) of the k candidates with the
        highest labels, and those tied with the last of them; each list counts alike. NaN where no list counts.

    Raises:
        ValueError: If lists differ in length, are empty, or hold NaN or infinity, or a cutoff is below 1.

    Example:
        >>> metrics = list_metrics([[0.9, 0.5, 0.1], [0.2, 1.0]], [[0.7, 0.8, 0.0], [0.1, 0.9]], at_k=[1])
        >>> metrics["mrr@1"], metrics["recall@1"], metrics["map"], round(metrics["bias_top@1"], 3)
        (0.5, 0.5, 0.75, -0.15)
    """
    instance_of("list_metrics", "top_error", top_error, (bool, type(None)), "Write top_error=True, or leave it out.")
    labels = list_of("list_metrics", "labels", labels, "lists of labels", "[[1, 0]]")
    scores = list_of("list_metrics", "scores", scores, "lists of scores", "[[0.7, 0.2]]")
    if len(labels) != len(scores) or not len(labels):
        raise ValueError(
            f"list_metrics: labels and scores must hold as many lists, at least one; got {len(labels)} and "
            f"{len(scores)}."
        )
    cutoffs = checked_cutoffs("list_metrics", at_k)
    finite_number("list_metrics", "positive_from", positive_from)
    pairs: list[tuple[Floats, Floats]] = []
    for row, (of_gold, of_predicted) in enumerate(zip(labels, scores, strict=True)):
        pair = checked_scores(f"labels[{row}]", of_gold), checked_scores(f"scores[{row}]", of_predicted)
        if pair[0].shape != pair[1].shape:
            raise ValueError(f"list_metrics: list {row} has {len(pair[0])} labels and {len(pair[1])} scores.")
        pairs.append(pair)
    if top_error is None:
        top_error = any(not np.isin(label, (0.0, 1.0)).all() for label, _ in pairs)
    names = ["map", *(f"{name}@{k}" for k in cutoffs for name in ("ndcg", "recall", "mrr"))]
    values: dict[str, list[float]] = {name: [] for name in names}
    squares: dict[int, list[float]] = {k: [] for k in cutoffs}
    biases: dict[int, list[float]] = {k: [] for k in cutoffs}
    for label, score in pairs:
        relevant = label >= positive_from - TIE
        if relevant.any() and not relevant.all():
            values["map"].append(float(average_precision_score(relevant, score)))
            ranks = worst_ranks(relevant, score)
            for k in cutoffs:
                values[f"recall@{k}"].append(float(np.mean(ranks <= k)))
                values[f"mrr@{k}"].append(reciprocal_rank(ranks, k))
        if np.ptp(np.maximum(label, 0)) > 0:
            for k in cutoffs:
                values[f"ndcg@{k}"].append(mean_ndcg(label, score, k))
        for k in cutoffs:
            top = label >= np.sort(label)[-min(k, len(label))] - TIE
            error = (score - label)[top]
            squares[k].append(float(np.mean(error**2)))
            biases[k].append(float(np.mean(error)))
    metrics = {name: float(np.mean(found)) if found else math.nan for name, found in values.items()}
    metrics |= {"lists": len(pairs), "questions": len(values["map"])}
    if top_error:
        for k in cutoffs:
            metrics |= {f"rmse_top@{k}": math.sqrt(np.mean(squares[k])), f"bias_top@{k}": float(np.mean(biases[k]))}
    return metrics


def checked_cutoffs(owner: str, at_k: int | Sequence[int]) -> tuple[int, ...]:
    """The cutoffs, each once, in order.

    Args:
        owner: The class or function whose argument it is, for the message.
        at_k: The cutoff, or several.

    Returns:
        The cutoffs.

    Raises:
        ValueError: If there is none, or one is no whole number from 1.
    """
    cutoffs = [at_k] if isinstance(at_k, int) else list_of(owner, "at_k", at_k, "cutoffs", "[10]")
    wrong = [k for k in cutoffs if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1]
    if wrong or not cutoffs:
        raise ValueError(f"{owner}: at_k must hold whole numbers from 1, for example [10], got {at_k!r}.")
    return tuple(sorted({int(k) for k in cutoffs}))


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
    gold_scores, scores = checked_pair(gold, predicted)
    whole_number("error_by_score_bin", "bins", bins, least=1)
    edges = np.linspace(*interval_of("error_by_score_bin", "score_range", score_range), bins + 1)
    rows = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        below = gold_scores <= high + TIE if i == bins - 1 else gold_scores < high - TIE
        inside = (gold_scores >= low - TIE) & below
        error = (scores - gold_scores)[inside]
        rows.append(
            {
                "low": float(low),
                "high": float(high),
                "count": int(inside.sum()),
                "rmse": float(np.sqrt(np.mean(error**2))) if error.size else math.nan,
                "bias": float(np.mean(error)) if error.size else math.nan,
            }
        )
    return rows
