"""Metrics by score region, and the evaluator that reports them during training.

The usual single number (Spearman over all pairs) hides just what a selective loss changes, so these look at the regions
that matter: average precision of the pairs whose gold score reaches a threshold, error and bias within a region, rank
correlation inside it. For questions with candidates: how high the positives stand in each question's ranking.

    >>> from selective_st.evaluation import region_metrics
    >>> metrics = region_metrics(gold=[0.0, 0.5, 0.9, 1.0], predicted=[0.1, 0.4, 0.8, 0.9], at_least=(0.9,))
    >>> metrics["ap_ge_0.9"], round(metrics["rmse"], 3)
    (1.0, 0.1)
"""

from __future__ import annotations

import csv
import itertools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.stats import pearsonr, spearmanr
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import SimilarityFunction
from sklearn.metrics import average_precision_score, ndcg_score

from selective_st._validation import finite_number, score_interval

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["RANKING_METRICS", "ScoreRegionEvaluator", "error_by_score_bin", "ranking_metrics", "region_metrics"]

RANKING_METRICS = ("map", "mrr@10", "ndcg@10")
_CUTOFF = 10

_Floats = npt.NDArray[np.float64]
# Gold scores such as 4.75 / 5 shall reach the threshold 0.95 whatever their last bit.
_TIE = 1e-9


def _scores(name: str, values: Any) -> _Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must be a non-empty list of numbers, got shape {array.shape}.")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must hold finite numbers, got {array[row]} in row {row}.")
    return array


def _pair(gold: Any, predicted: Any) -> tuple[_Floats, _Floats]:
    of_gold, of_predicted = _scores("gold", gold), _scores("predicted", predicted)
    if of_gold.shape != of_predicted.shape:
        raise ValueError(f"gold and predicted must have the same length, got {len(of_gold)} and {len(of_predicted)}.")
    return of_gold, of_predicted


def _correlation(function: Any, gold: _Floats, predicted: _Floats) -> float:
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
) -> dict[str, float]:
    """How well predicted scores match gold scores, over all pairs and where it matters.

    Args:
        gold: Gold scores, on the scale of the predicted ones.
        predicted: Predicted scores, as many.
        at_least: Thresholds t; for each, the average precision of finding the pairs with gold >= t by high scores.
        at_most: Thresholds t; for each, the average precision of finding the pairs with gold <= t by low scores.
        regions: Gold regions (low, high), ends included; for each, error, bias, rank correlation and count.

    Returns:
        `spearman`, `pearson`, `rmse`, `bias` (mean of predicted - gold) over all pairs; `ap_ge_T` and `ap_le_T` for
        each threshold; `rmse_L_H`, `bias_L_H`, `spearman_L_H`, `count_L_H` for each region. NaN where a metric is not
        defined, for example an average precision without a single pair that reaches the threshold.

    Raises:
        ValueError: If the lists are empty, differ in length, or hold NaN or infinity.
    """
    for name, thresholds in (("at_least", at_least), ("at_most", at_most)):
        if isinstance(thresholds, (int, float)):
            raise TypeError(
                f"region_metrics: {name} must be a list of thresholds, got {thresholds!r}; use [{thresholds!r}]."
            )
    for low, high in regions:
        score_interval("region_metrics", low, high, names=("a region's low end", "its high end"))
    gold_scores, scores = _pair(gold, predicted)
    error = scores - gold_scores
    metrics = {
        "spearman": _correlation(spearmanr, gold_scores, scores),
        "pearson": _correlation(pearsonr, gold_scores, scores),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "bias": float(np.mean(error)),
    }
    found = [(f"ap_ge_{t:g}", gold_scores >= t - _TIE, scores) for t in at_least]
    found += [(f"ap_le_{t:g}", gold_scores <= t + _TIE, -scores) for t in at_most]
    for name, relevant, order in found:
        metrics[name] = float(average_precision_score(relevant, order)) if relevant.any() else math.nan
    for low, high in regions:
        inside = (gold_scores >= low - _TIE) & (gold_scores <= high + _TIE)
        region = f"{low:g}_{high:g}"
        some = bool(inside.any())
        metrics[f"rmse_{region}"] = float(np.sqrt(np.mean(error[inside] ** 2))) if some else math.nan
        metrics[f"bias_{region}"] = float(np.mean(error[inside])) if some else math.nan
        metrics[f"spearman_{region}"] = _correlation(spearmanr, gold_scores[inside], scores[inside])
        metrics[f"count_{region}"] = int(inside.sum())
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
    gold, predicted = _scores("labels", labels), _scores("scores", scores)
    if gold.shape != predicted.shape:
        raise ValueError(f"labels and scores must have the same length, got {len(gold)} and {len(predicted)}.")
    finite_number("ranking_metrics", "positive_from", positive_from)
    found: list[tuple[float, float, float]] = []
    for rows in _questions(groups, gold, positive_from):
        label, score = gold[rows], predicted[rows]
        relevant = label >= positive_from - _TIE
        # The rank of the best positive, behind all others that score as high.
        rank = 1 + int((score[~relevant] >= score[relevant].max()).sum())
        found.append(
            (
                float(average_precision_score(relevant, score)),
                1 / rank if rank <= _CUTOFF else 0.0,
                float(ndcg_score(np.maximum(label, 0)[None], score[None], k=_CUTOFF)),
            )
        )
    means = np.mean(found, axis=0).tolist() if found else [math.nan] * len(RANKING_METRICS)
    return {**dict(zip(RANKING_METRICS, means, strict=True)), "questions": len(found)}


def _questions(groups: Sequence[Sequence[int]], gold: _Floats, positive_from: float) -> list[npt.NDArray[np.intp]]:
    """The rows of each question that has a positive and another candidate."""
    questions = []
    for group in groups:
        rows = np.asarray(group, dtype=np.intp)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(gold)):
            raise ValueError(f"groups must hold rows from 0 to {len(gold) - 1}, got {rows.min()} to {rows.max()}.")
        relevant = gold[rows] >= positive_from - _TIE
        if relevant.any() and not relevant.all():
            questions.append(rows)
    return questions


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
    gold_scores, scores = _pair(gold, predicted)
    if bins < 1:
        raise ValueError(f"error_by_score_bin: bins must be at least 1, got {bins}.")
    edges = np.linspace(*score_interval("error_by_score_bin", *score_range), bins + 1)
    rows = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        below = gold_scores <= high + _TIE if i == bins - 1 else gold_scores < high - _TIE
        inside = (gold_scores >= low - _TIE) & below
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


class ScoreRegionEvaluator(BaseEvaluator):
    """Evaluate a model on graded sentence pairs, by the score regions that matter.

    Works like `EmbeddingSimilarityEvaluator`: pass it to a trainer, or call it with a model. The model's own similarity
    function scores the pairs.

    Args:
        sentences1: The first sentence of each pair.
        sentences2: The second sentence of each pair.
        scores: The gold scores, on the scale of the similarity (for cosine usually [0, 1]).
        at_least: Thresholds of the average precision of pairs with gold >= t. See `region_metrics`.
        at_most: Thresholds of the average precision of pairs with gold <= t.
        regions: Gold regions (low, high) whose error, bias and rank correlation are reported.
        main_metric: The metric that selects the best checkpoint. Default: the average precision of the highest
            `at_least`, or else of the lowest `at_most`, or else `spearman`.
        batch_size: The batch size of encoding.
        name: A name for the data set, put before each metric's name.
        show_progress_bar: Whether encoding shows a progress bar.
        write_csv: Whether to append the metrics to a CSV file where the trainer gives an output path.
        groups: For each question the rows of its candidates; then the metrics of `ranking_metrics` are reported too.
        positive_from: From which gold score a candidate of a question counts as positive.

    Raises:
        ValueError: If the lists differ in length, are empty, or the scores are not finite; or if `main_metric` is not
            one of the metrics.

    Example:
        >>> evaluator = ScoreRegionEvaluator(["a cat", "a dog"], ["a cat", "a car"], [1.0, 0.2], at_least=[0.95])
        >>> evaluator.primary_metric
        'ap_ge_0.95'
        >>> results = evaluator(model)                                                            # doctest: +SKIP
    """

    def __init__(
        self,
        sentences1: Sequence[str],
        sentences2: Sequence[str],
        scores: Sequence[float],
        at_least: Sequence[float] = (0.8, 0.95),
        at_most: Sequence[float] = (),
        regions: Sequence[tuple[float, float]] = ((0.8, 1.0),),
        main_metric: str | None = None,
        batch_size: int = 64,
        name: str = "",
        show_progress_bar: bool = False,
        write_csv: bool = True,
        groups: Sequence[Sequence[int]] = (),
        positive_from: float = 0.8,
    ) -> None:
        for argument, value in (("sentences1", sentences1), ("sentences2", sentences2)):
            if isinstance(value, str):
                raise TypeError(
                    f"ScoreRegionEvaluator: {argument} must be a list of texts, got one text: {value!r:.60}."
                )
        super().__init__()  # type: ignore[no-untyped-call]  # upstream leaves it so
        if not len(sentences1) == len(sentences2) == len(scores):
            raise ValueError(
                "ScoreRegionEvaluator: sentences1, sentences2 and scores must have the same length, got "
                f"{len(sentences1)}, {len(sentences2)} and {len(scores)}."
            )
        self.sentences1, self.sentences2 = list(sentences1), list(sentences2)
        self.scores = _scores("scores", scores)
        self.at_least, self.at_most, self.regions = tuple(at_least), tuple(at_most), tuple(regions)
        self.groups, self.positive_from = [list(rows) for rows in groups], positive_from
        self.batch_size = batch_size
        self.name = name
        self.show_progress_bar = show_progress_bar
        self.write_csv = write_csv
        self.csv_file = f"score_region_evaluation{'_' + name if name else ''}_results.csv"
        # What the metrics will be called, without a model: compare the gold scores with themselves.
        if main_metric is None:
            main_metric = "spearman"
            if self.at_least:
                main_metric = f"ap_ge_{max(self.at_least):g}"
            elif self.at_most:
                main_metric = f"ap_le_{min(self.at_most):g}"
        self.metric_names = list(self.metrics(self.scores))
        # Bias and counts have no better end.
        names = [metric for metric in self.metric_names if not metric.startswith(("bias", "count", "questions"))]
        if main_metric not in names:
            raise ValueError(
                f"ScoreRegionEvaluator: main_metric must be one of {', '.join(names)}, got {main_metric!r}."
            )
        self.primary_metric = f"{name}_{main_metric}" if name else main_metric
        self.greater_is_better = not main_metric.startswith("rmse")

    def metrics(self, predicted: Any) -> dict[str, float]:
        """The metrics of scores that someone predicted.

        Args:
            predicted: One score for each pair.

        Returns:
            The metrics of `region_metrics`, and with `groups` those of `ranking_metrics`.
        """
        gold: Any = self.scores  # an array serves as a sequence
        metrics = region_metrics(gold, predicted, at_least=self.at_least, at_most=self.at_most, regions=self.regions)
        if self.groups:
            metrics |= ranking_metrics(self.groups, gold, predicted, positive_from=self.positive_from)
        return metrics

    def predict(self, model: SentenceTransformer) -> _Floats:
        """The model's similarity for each pair.

        Args:
            model: The model to ask.

        Returns:
            One score for each pair.
        """
        first, second = (
            model.encode(
                sentences,
                batch_size=self.batch_size,
                show_progress_bar=self.show_progress_bar,
                convert_to_tensor=True,
            )
            for sentences in (self.sentences1, self.sentences2)
        )
        similarity = SimilarityFunction.to_similarity_pairwise_fn(model.similarity_fn_name)
        return np.asarray(similarity(first.float(), second.float()).cpu(), dtype=np.float64)

    def __call__(  # type: ignore[override]  # narrower, as in the evaluators of Sentence Transformers
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Evaluate the model; called by the trainer.

        Args:
            model: The model to evaluate.
            output_path: Where to append the CSV file, if anywhere.
            epoch: The epoch, for the CSV file.
            steps: The step, for the CSV file.

        Returns:
            The metrics, each name preceded by `name`.
        """
        return self.report(model, self.predict(model), output_path, epoch, steps)

    def report(
        self,
        model: SentenceTransformer,
        predicted: _Floats,
        output_path: str | None = None,
        epoch: int = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        """Report scores that the model has already predicted: to the CSV file, and to the model's card.

        Args:
            model: The model that predicted them.
            predicted: One score for each pair, from `predict`.
            output_path: Where to append the CSV file, if anywhere.
            epoch: The epoch, for the CSV file.
            steps: The step, for the CSV file.

        Returns:
            The metrics, each name preceded by `name`.
        """
        metrics = self.metrics(predicted)
        if output_path is not None and self.write_csv:
            os.makedirs(output_path, exist_ok=True)
            path = os.path.join(output_path, self.csv_file)
            is_new = not os.path.isfile(path)
            with open(path, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if is_new:
                    writer.writerow(["epoch", "steps", *metrics])
                writer.writerow([epoch, steps, *metrics.values()])
        named: dict[str, float] = self.prefix_name_to_metrics(metrics, self.name)
        self.store_metrics_in_model_card_data(model, named, epoch, steps)
        return named

    @property
    def description(self) -> str:
        """What the model card calls this evaluation."""
        return "Score Regions"

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that the model card shows."""
        config: dict[str, Any] = {
            "at_least": list(self.at_least),
            "at_most": list(self.at_most),
            "regions": [list(region) for region in self.regions],
        }
        return {**config, "positive_from": self.positive_from} if self.groups else config
