"""The evaluators: of pairs by the score regions that matter, and of queries with candidates."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sentence_transformers.util import get_rank

import selective_st.evaluation.metrics as measures
from selective_st._validation import finite_number, instance_of, list_of, one_of, same_length
from selective_st.evaluation._checks import Floats, checked_regions, checked_scores, checked_texts, checked_thresholds
from selective_st.evaluation._evaluator import ScoreEvaluator, append_row
from selective_st.evaluation.claims import Support, support_of_pairs
from selective_st.evaluation.curve import even_curve
from selective_st.evaluation.metrics import Gains, Metric
from selective_st.evaluation.scoring import Encoding, Precision, note_on_roles, scores_by_function
from selective_st.evaluation.thresholds import (
    THRESHOLD_METRICS,
    ScoreThreshold,
    Side,
    choose_threshold,
    remember_threshold,
)

if TYPE_CHECKING:
    from selective_st.evaluation._evaluator import PairModel

logger = logging.getLogger(__name__)


class ScoreRegionEvaluator(ScoreEvaluator):
    """Evaluate a model on graded sentence pairs, by the score regions that matter.

    Works like `EmbeddingSimilarityEvaluator`: pass it to a trainer, or call it with a model. The model's own similarity
    function scores the pairs; a cross encoder scores them itself.

    Args:
        sentences1: The first sentence of each pair.
        sentences2: The second sentence of each pair.
        scores: The gold scores, on the scale of the similarity (for cosine usually [0, 1]).
        at_least: Thresholds of the average precision of pairs with gold >= t. See `region_metrics`.
        at_most: Thresholds of the average precision of pairs with gold <= t.
        regions: Gold regions (low, high) whose error, bias and rank correlation are reported.
        main_metric: The metric that selects the best checkpoint. Default: the average precision of the highest
            `at_least`, or else of the lowest `at_most`, or else `spearman`. Of an error, `primary_metric` is the one
            with a minus, `negative_rmse`, as trainers take the largest value for the best. Where all or none of the
            gold scores reach the threshold it is the same for every model, and cannot choose; a warning in the log then
            says so (of one named here, where a trainer evaluates).
        batch_size: The batch size of encoding.
        name: A name for the data set, put before each metric's name.
        show_progress_bar: Whether encoding shows a progress bar.
        write_csv: Whether to append the metrics to a CSV file where the trainer gives an output path.
        groups: For each question the rows of its candidates; then the metrics of `ranking_metrics` are reported too.
        positive_from: From which gold score a candidate of a question counts as positive.
        bins: In how many equal bins of the gold score error, bias and count are reported; 0 for none. They go to the
            log and the CSV file, not to the card.
        bin_range: The range of gold scores to cut into bins.
        threshold: A fixed threshold on predicted scores, chosen on a validation split (`choose_threshold`); then
            precision, recall and F1 of its decisions are reported. A number decides for `threshold_gold`.
        threshold_from: Instead of a threshold, the evaluator of a validation split, on which it is chosen anew for the
            model each time.
        threshold_metric: What is maximised there; see `choose_threshold`.
        threshold_gold: The gold score that is decided for. Default: the highest `at_least`, or else the lowest
            `at_most`; then pairs with gold <= t are to be found.
        as_queries: Whether the first sentences are queries, and embedded as such, the second ones as documents, with
            the model's modules and prompts for these. Default: where the model embeds the two differently, and most
            first sentences stand in several pairs; a warning tells where the model does and the pairs do not.
        prompt_name: A prompt of the model: for the pairs of a cross encoder, for both sentences where they are embedded
            alike, else for the queries.
        truncate_dim: To how many dimensions to cut embeddings.
        precision: To what precision to bring embeddings, as in `EmbeddingSimilarityEvaluator`.
        similarity_fn_names: What compares embeddings, such as `["cosine", "dot"]`. The metrics then end with the
            function's name, and of several the best is `..._max`. Default: the model's own.
        thresholds: Thresholds whose decisions are of interest: the loss at each, `loss_at_0.85`, is reported (see
            `threshold_curve`) with `f1_at_0.85`, `precision_at_0.85` and `recall_at_0.85` (of finding gold >= t by
            predicted >= t), and the whole curve is written where `write_csv` writes, to `..._threshold_curve.csv`.

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
        bins: int = 0,
        bin_range: tuple[float, float] = (0.0, 1.0),
        threshold: float | ScoreThreshold | None = None,
        threshold_from: ScoreRegionEvaluator | None = None,
        threshold_metric: str = "f1",
        threshold_gold: float | None = None,
        as_queries: bool | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        precision: Precision | None = None,
        similarity_fn_names: Sequence[str] = (),
        thresholds: Sequence[float] = (),
    ) -> None:
        owner = "ScoreRegionEvaluator"
        self.sentences1 = checked_texts(owner, "sentences1", sentences1)
        self.sentences2 = checked_texts(owner, "sentences2", sentences2)
        self.scores = checked_scores("scores", scores)
        names: Any = similarity_fn_names or ()
        encoding = Encoding(as_queries, prompt_name, truncate_dim, precision, names, owner)
        super().__init__("score_region", name, batch_size, show_progress_bar, write_csv, encoding)
        self._roles_noted = False
        mend = "Give both texts and the gold score of each pair."
        same_length(owner, mend, sentences1=self.sentences1, sentences2=self.sentences2, scores=self.scores)
        self.at_least = checked_thresholds(owner, "at_least", at_least)
        self.at_most = checked_thresholds(owner, "at_most", at_most)
        self.regions = checked_regions(owner, regions)
        self.thresholds = checked_thresholds(owner, "thresholds", thresholds)
        example = "[[0, 1], [2, 3]]"
        found = list_of(owner, "groups", groups, "lists of rows", example)
        self.groups = [list_of(owner, "groups", rows, "rows, one for each question", example) for rows in found]
        self.positive_from = finite_number(owner, "positive_from", positive_from)
        self.bins, self.bin_range = bins, bin_range
        if threshold is not None and threshold_from is not None:
            raise ValueError(f"{owner}: give either threshold or threshold_from, not both.")
        mend = "Write threshold_from=ScoreRegionEvaluator(...), of a validation split."
        instance_of(owner, "threshold_from", threshold_from, (ScoreRegionEvaluator, type(None)), mend)
        one_of(owner, "threshold_metric", threshold_metric, THRESHOLD_METRICS)
        if threshold_from is not None and len(encoding.similarity_fn_names) > 1:
            raise ValueError(f"{owner}: threshold_from goes with one similarity function, got {', '.join(names)}.")
        self.threshold_from, self.threshold_metric = threshold_from, threshold_metric
        self.curve: tuple[Floats, Floats] | None = None  # the threshold curve of the scores that were reported last
        self._sought = threshold if isinstance(threshold, ScoreThreshold) else self._decision(threshold_gold)
        if (threshold is not None or threshold_from is not None) and self._sought is None:
            raise ValueError(
                f"{owner}: say which gold score the threshold decides for, for example threshold_gold=0.9."
            )
        self.threshold = threshold if isinstance(threshold, ScoreThreshold) else None
        if threshold is not None and self.threshold is None and self._sought is not None:
            self.threshold = replace(self._sought, value=finite_number(owner, "threshold", threshold))
        decided = self._decision(None)
        default = "spearman" if decided is None else f"ap_{decided.suffix}"
        self._set_main_metric(main_metric, default, self.scores)

    def _why_it_cannot_choose(self, name: str, perfect: float) -> str:
        seen = f"(they go from {self.scores.min():g} to {self.scores.max():g})"
        decided = self._sought if self.threshold_from is not None else None
        if math.isnan(perfect):
            if decided is not None and name.endswith(decided.suffix) and decided.is_sought(self.scores).any():
                return ""  # a decision of a threshold that is yet to be chosen
            return f"is not defined for these gold scores {seen}"
        of = next((of for of in measures.sought_by(self.at_least, self.at_most) if name == f"ap_{of.suffix}"), None)
        if of is None or not of.is_sought(self.scores).all():
            return ""
        return f"is 1 for every model, as every gold score is {of.side.replace('_', ' ')} {of.gold:g} {seen}"

    @property
    def _other_data(self) -> str:
        if np.abs(self.scores).max() > 1:
            return "map the gold scores to the scale of the similarity"
        return "give thresholds and regions that hold some of the gold scores, but not all"

    def _decision(self, gold: float | None) -> ScoreThreshold | None:
        """Which gold scores a threshold decides for, as a threshold whose value says nothing."""
        if gold is not None:
            side: Side = "at_most" if gold in self.at_most and gold not in self.at_least else "at_least"
            return ScoreThreshold(0.0, gold, side)
        decided = measures.sought_by(sorted(self.at_least)[-1:], sorted(self.at_most)[:1])
        return decided[0] if decided else None

    def metrics(self, predicted: Any) -> dict[str, float]:
        """The metrics of scores that someone predicted.

        Args:
            predicted: One score for each pair.

        Returns:
            The metrics of `region_metrics`, and with `groups` those of `ranking_metrics`. With `threshold_from` the
            decisions are those of the threshold chosen last, NaN before.
        """
        gold: Any = self.scores  # an array serves as a sequence
        metrics = measures.region_metrics(
            gold,
            predicted,
            at_least=self.at_least,
            at_most=self.at_most,
            regions=self.regions,
            bins=self.bins,
            bin_range=self.bin_range,
        )
        scores = np.asarray(predicted, dtype=np.float64)
        more = [*self._decisions(), *measures.with_negatives(self._at_thresholds())]
        metrics |= {metric.name: metric.compute(self.scores, scores) for metric in more}
        if self.groups:
            metrics |= measures.ranking_metrics(self.groups, gold, predicted, positive_from=self.positive_from)
        return metrics

    def _decisions(self) -> list[Metric]:
        """The metrics of the threshold's decisions, if there is one or is to be."""
        if self.threshold is not None:
            return measures.decisions(self.threshold)
        chosen_later = self._sought is not None and self.threshold_from is not None
        return measures.decisions(self._sought, chosen=False) if chosen_later and self._sought is not None else []

    def _at_thresholds(self) -> list[Metric]:
        return [metric for threshold in self.thresholds for metric in measures.at_threshold(threshold)]

    def support(self) -> dict[str, Support]:
        """What each metric rests on.

        Returns:
            The support by the metric's name; none for counts and thresholds, which are exact.
        """
        metrics = measures.pair_metrics(self.at_least, self.at_most, self.regions)
        metrics += [*self._decisions(), *self._at_thresholds()]
        texts = self.sentences1 if all(isinstance(text, str) for text in self.sentences1) else None
        found = support_of_pairs(metrics, self.scores, texts)
        if self.groups:
            questions = len(measures.questions_of(self.groups, self.scores, self.positive_from))
            found |= dict.fromkeys(measures.RANKING_METRICS, Support(questions, questions, "questions"))
        return found

    def predict_by_function(self, model: PairModel) -> dict[str, Floats]:
        """The model's score for each pair.

        Args:
            model: The model to ask.

        Returns:
            One score for each pair, by each similarity function; by the model's own under an empty name.
        """
        note = note_on_roles(self.encoding, model, self.sentences1)
        if note and not self._roles_noted and get_rank() == 0:
            told = self.encoding.roles_of(model, self.sentences1)
            logger.log(logging.INFO if told else logging.WARNING, f"ScoreRegionEvaluator: {note}.")
        self._roles_noted = True
        return self._predicted(model, self.encoding)

    def _predicted(self, model: PairModel, encoding: Encoding) -> dict[str, Floats]:
        return scores_by_function(
            model, self.sentences1, self.sentences2, encoding, self.batch_size, self.show_progress_bar
        )

    def choose_threshold(
        self, model: PairModel, gold: float | None = None, metric: str = "f1", **promise: Any
    ) -> ScoreThreshold:
        """Choose the threshold that is best for a model on these pairs: a validation split.

        Args:
            model: The model to ask.
            gold: The gold score to decide for. Default: as `threshold_gold`.
            metric: What to maximise, or to promise; see `selective_st.evaluation.choose_threshold`.
            **promise: Its `at_least`, `at_most` and `confidence`.

        Returns:
            The threshold. `remember_threshold` has it saved with the model.

        Raises:
            ValueError: If there is no gold score to decide for, or all or none of the pairs are to be found.
        """
        sought = self._decision(gold)
        if sought is None:
            raise ValueError("ScoreRegionEvaluator: say which gold score to decide for, for example gold=0.9.")
        return self._choose(model, sought, metric, **promise)

    def _choose(
        self, model: PairModel, sought: ScoreThreshold, metric: str, as_queries: bool | None = None, **promise: Any
    ) -> ScoreThreshold:
        limit: dict[str, Any] = {f"gold_{sought.side}": sought.gold, **promise}
        gold: Any = self.scores
        encoding = self.encoding
        if encoding.as_queries is None and as_queries is not None:
            encoding = replace(encoding, as_queries=as_queries)
        name, predicted = next(iter(self._predicted(model, encoding).items()))
        chosen = choose_threshold(gold, predicted.tolist(), metric=metric, chosen_on=self.name, **limit)
        similarity = name or getattr(model, "similarity_fn_name", None)
        return replace(chosen, similarity=similarity, as_queries=encoding.roles_of(model, self.sentences1))

    def _adapt_to(self, model: PairModel) -> None:
        if self.threshold_from is not None and self._sought is not None:
            # A threshold holds for scores that came about alike.
            alike = self.encoding.roles_of(model, self.sentences1)
            self.threshold = self.threshold_from._choose(model, self._sought, self.threshold_metric, alike)

    def _report(
        self, model: PairModel, predicted: Mapping[str, Any], output_path: str | None, epoch: int, steps: int
    ) -> dict[str, float]:
        self.curve = even_curve(next(iter(predicted.values())), self.scores)
        if self.thresholds and output_path is not None and self.write_csv:
            for function, scores in predicted.items():
                at, losses = even_curve(scores, self.scores)
                points = {f"{threshold:g}": loss for threshold, loss in zip(at, losses.tolist(), strict=True)}
                end = f"_threshold_curve{'_' + function if function else ''}.csv"
                file_name = self.csv_file.removesuffix("_results.csv") + end
                append_row(output_path, file_name, {"epoch": epoch, "steps": steps, **points})
        return super()._report(model, predicted, output_path, epoch, steps)

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
        if self.thresholds:
            config["thresholds"] = list(self.thresholds)
        if self.groups:
            config["positive_from"] = self.positive_from
        if self.threshold is not None:
            config["threshold"] = self.threshold.value
            config["threshold_decides"] = str(self.threshold)
        return config | self._common_config()


def store_threshold(
    model: PairModel, validation: ScoreRegionEvaluator, gold: float | None = None, metric: str = "f1", **promise: Any
) -> ScoreThreshold:
    """Choose a threshold on a validation split, and have it saved with the model.

    Args:
        model: The trained model.
        validation: The evaluator of the validation split.
        gold: The gold score to decide for. Default: the highest `at_least` of the evaluator, or else the lowest
            `at_most`.
        metric: What to maximise, or to promise; see `choose_threshold`.
        **promise: Its `at_least`, `at_most` and `confidence`.

    Returns:
        The threshold; `load_threshold` finds it again where the model was saved.

    Raises:
        ValueError: If there is no gold score to decide for, or all or none of the pairs are to be found.

    Example:
        >>> threshold = store_threshold(model, evaluator, gold=0.95)                              # doctest: +SKIP
        >>> model.save_pretrained("model")                                                        # doctest: +SKIP
        >>> load_threshold("model") == threshold                                                  # doctest: +SKIP
        True
    """
    mend = "Write ScoreRegionEvaluator(sentences1, sentences2, scores)."
    instance_of("store_threshold", "validation", validation, ScoreRegionEvaluator, mend)
    threshold = validation.choose_threshold(model, gold, metric, **promise)
    remember_threshold(model, threshold)
    return threshold


class ScoreListEvaluator(ScoreEvaluator):
    """Evaluate a model on questions with candidates: how it ranks them, and how right the best ones' scores are.

    Works like `CrossEncoderRerankingEvaluator` and `RerankingEvaluator`, and takes their samples: pass it to a trainer,
    or call it with a model. A cross encoder scores query and candidate itself; other models embed the queries and the
    candidates, with their prompts for each, and score with their own similarity function. Ties never favour the model.

    Args:
        samples: A dict for each query, with the key `query` and either `positive` and `negative` (a text or a list of
            texts each), `positive` and `documents` (candidates as a first stage ranked them, the best first, which may
            hold the positives; positives that they lack are added), or `documents` and `labels` (a gold score for
            each).
        at_k: The cutoff of the metrics, or several. A list with no more than k candidates has a recall@k of 1 whatever
            the model does.
        positive_from: From which label a candidate counts as positive, where `labels` are given.
        top_error: Whether to report the error and bias of the scores of the k best candidates. The labels must then be
            on the scale of the model's scores. Default: where the labels are graded (some are neither 0 nor 1).
        main_metric: The metric that selects the best checkpoint. Default: `ndcg@k` with the largest k. Of an error,
            `primary_metric` is the one with a minus, `negative_rmse_top@10`.
        name: A name for the data set, put before each metric's name.
        batch_size: The batch size of encoding or predicting.
        show_progress_bar: Whether that shows a progress bar.
        write_csv: Whether to append the metrics to a CSV file where the trainer gives an output path.
        always_rerank_positives: Whether positives that `documents` lack are added to them. Without, a query whose
            `documents` hold no positive counts 0, as what was not found cannot be ranked.
        gains: What nDCG takes for the gain of a label: the label (`linear`), or 2 ** label - 1 (`exponential`).
        mrr_at_k: Instead of `at_k`, as upstream's older name for it.
        prompt_name: A prompt of the model: for the pairs of a cross encoder, else for the queries.
        truncate_dim: To how many dimensions to cut embeddings.
        precision: To what precision to bring embeddings, as in `EmbeddingSimilarityEvaluator`.
        similarity_fn_names: What compares embeddings; see `ScoreRegionEvaluator`.

    Raises:
        ValueError: If a sample lacks a key, has two that exclude each other, is empty or its labels do not fit, or if
            `main_metric` is not one of the metrics.

    Example:
        >>> evaluator = ScoreListEvaluator(
        ...     [{"query": "a pet", "positive": "a cat", "negative": ["a car", "a tax"]}], at_k=[1, 10], name="dev"
        ... )
        >>> evaluator.primary_metric
        'dev_ndcg@10'
        >>> results = evaluator(model)                                                            # doctest: +SKIP
    """

    def __init__(
        self,
        samples: Sequence[Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]],
        at_k: int | Sequence[int] = 10,
        positive_from: float = 0.8,
        top_error: bool | None = None,
        main_metric: str | None = None,
        name: str = "",
        batch_size: int = 64,
        show_progress_bar: bool = False,
        write_csv: bool = True,
        always_rerank_positives: bool = True,
        gains: Gains = "linear",
        mrr_at_k: int | None = None,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        precision: Precision | None = None,
        similarity_fn_names: Sequence[str] = (),
    ) -> None:
        owner = "ScoreListEvaluator"
        names: Any = similarity_fn_names or ()
        encoding = Encoding(True, prompt_name, truncate_dim, precision, names, owner)
        super().__init__("score_list", name, batch_size, show_progress_bar, write_csv, encoding)
        example = '[{"query": "a pet", "positive": "a cat", "negative": ["a car"]}]'
        values = samples.values() if isinstance(samples, Mapping) else samples
        samples = list_of(owner, "samples", values, "dicts", example)
        instance_of(owner, "top_error", top_error, (bool, type(None)), "Write top_error=True, or leave it out.")
        mend = "Write always_rerank_positives=False, or leave it out."
        self.always_rerank_positives = instance_of(
            owner, "always_rerank_positives", always_rerank_positives, bool, mend
        )
        if not len(samples):
            raise ValueError(f"{owner}: samples must hold at least one query, got none.")
        self.at_k = measures.checked_cutoffs(owner, at_k if mrr_at_k is None else mrr_at_k)
        self.positive_from = finite_number(owner, "positive_from", positive_from)
        measures.check_gains(owner, gains)
        self.gains: Gains = gains
        read = [_read_sample(row, sample, always_rerank_positives) for row, sample in enumerate(samples)]
        # Where nothing was found, nothing can be ranked.
        self.missed = sum(not sample.documents for sample in read)
        ranked = [sample for sample in read if sample.documents]
        if not ranked:
            raise ValueError(
                f"{owner}: samples must hold at least one query with a positive among its documents, got none. Leave "
                "always_rerank_positives=False out, which adds the positives."
            )
        self.queries = [sample.query for sample in ranked]
        self.documents = [sample.documents for sample in ranked]
        self.labels = [sample.labels for sample in ranked]
        self._as_given = [sample.as_given for sample in read if sample.as_given is not None]
        self.top_error = measures.is_graded(self.labels) if top_error is None else top_error
        self._set_main_metric(main_metric, f"ndcg@{self.at_k[-1]}", self.labels)

    def _why_it_cannot_choose(self, name: str, perfect: float) -> str:
        if math.isnan(perfect) or not self.support().get(name, Support(1, 1)).cases:
            return "is not defined for these labels, as every order of each list is as good"
        cutoff = name.partition("recall@")[2]
        if cutoff and max(map(len, self.labels)) <= int(cutoff):
            return f"is 1 for every model, as no list has more than {cutoff} candidates"
        return ""

    @property
    def _other_data(self) -> str:
        return "give lists with a positive and more candidates"

    def metrics(self, predicted: Sequence[Any]) -> dict[str, float]:
        """The metrics of scores that someone predicted.

        Args:
            predicted: For each query the scores of its candidates, in the order of `documents`.

        Returns:
            The metrics of `list_metrics`; and where candidates came in an order, `base_map`, `base_mrr@k` and
            `base_ndcg@k` of that order.
        """
        labels: Any = self.labels  # arrays serve as sequences
        pairs = measures.checked_lists("ScoreListEvaluator", labels, predicted)
        found = measures.metrics_of_lists(
            pairs, self.at_k, self.positive_from, top_error=self.top_error, gains=self.gains, missed=self.missed
        )
        if self._as_given:
            none = sum(not label.any() for label in self._as_given)
            ordered = [(label, -np.arange(len(label), dtype=np.float64)) for label in self._as_given if label.any()]
            given = measures.metrics_of_lists(ordered, self.at_k, self.positive_from, top_error=False, missed=none)
            found |= {f"base_{name}": given[name] for name in given if name.split("@")[0] in ("map", "mrr", "ndcg")}
        return found

    def support(self) -> dict[str, Support]:
        """What each metric rests on.

        Returns:
            The support by the metric's name; none for counts, which are exact.
        """
        pairs = [(label, label) for label in self.labels]
        lists = len(pairs) + self.missed
        metrics = measures.ranking_of_lists(self.at_k, self.positive_from, self.gains)
        cases = {name: len(values) + self.missed for name, values in measures.list_values(metrics, pairs).items()}
        if self.top_error:
            cases |= {f"{name}_top@{k}": len(pairs) for k in self.at_k for name in ("rmse", "bias")}
        for name in [name for name in cases if name.split("@")[0] in ("map", "mrr", "ndcg")]:
            cases |= {f"base_{name}": len(self._as_given)} if self._as_given else {}
        return {name: Support(count, lists, "lists") for name, count in cases.items()}

    def predict_by_function(self, model: PairModel) -> dict[str, list[Floats]]:
        """The model's scores.

        Args:
            model: The model to ask.

        Returns:
            For each query the scores of its candidates, by each similarity function; by the model's own under an empty
            name.
        """
        sizes = [len(documents) for documents in self.documents]
        queries = [query for query, size in zip(self.queries, sizes, strict=True) for _ in range(size)]
        documents = [document for documents in self.documents for document in documents]
        found = scores_by_function(model, queries, documents, self.encoding, self.batch_size, self.show_progress_bar)
        return {name: np.split(scores, np.cumsum(sizes)[:-1]) for name, scores in found.items()}

    @property
    def description(self) -> str:
        """What the model card calls this evaluation."""
        return "Score Lists"

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that the model card shows."""
        config: dict[str, Any] = {"at_k": list(self.at_k), "positive_from": self.positive_from}
        if self._as_given:
            config["always_rerank_positives"] = self.always_rerank_positives
        if self.gains != "linear":
            config["gains"] = self.gains
        return config | {name: value for name, value in self._common_config().items() if name != "as_queries"}


@dataclass(frozen=True)
class _Sample:
    """A query, its candidates and their labels; and the labels in the order of a first stage, where there was one."""

    query: str
    documents: list[str]
    labels: Floats
    as_given: Floats | None = None


_SAMPLES = (("positive", "negative"), ("positive", "documents"), ("documents", "labels"))


def _read_sample(row: int, sample: Mapping[str, Any], always_rerank_positives: bool) -> _Sample:
    owner = "ScoreListEvaluator"
    mend = 'Write {"query": "a pet", "positive": "a cat", "negative": ["a car"]}.'
    instance_of(owner, f"sample {row}", sample, Mapping, mend)
    keys = {key for key, value in sample.items() if value is not None}
    candidates = [key for key in ("positive", "negative", "documents", "labels") if key in keys]
    if "labels" in keys and "documents" not in keys:
        raise ValueError(
            f"{owner}: sample {row} has 'labels' but no 'documents' that they belong to. Give the candidates as "
            "'documents', or leave 'labels' out."
        )
    if "query" not in keys or tuple(candidates) not in _SAMPLES:
        ways = ", ".join(f"{first!r} and {second!r}" for first, second in _SAMPLES[:-1])
        extra = ""
        if "query" in keys and any(set(way) <= keys for way in _SAMPLES):
            way = max((way for way in _SAMPLES if set(way) <= keys), key=lambda way: "labels" in way)
            extra = f" Leave {' and '.join(repr(key) for key in candidates if key not in way)} out."
        raise ValueError(
            f"{owner}: a sample needs the key 'query' and either {ways}, or 'documents' and 'labels', and no more of "
            f"these; sample {row} has {', '.join(map(repr, sample))}.{extra}"
        )
    checked_texts(owner, f"'query' of sample {row}", [sample["query"]])
    first, second = (_texts(row, key, sample[key]) if key != "labels" else [] for key in candidates)
    if "labels" in keys:
        labels = checked_scores(f"{owner}: 'labels' of sample {row}", sample["labels"])
        if len(labels) != len(first):
            raise ValueError(
                f"{owner}: sample {row} has {len(first)} documents and {len(labels)} labels; give one label for each "
                "document."
            )
        return _Sample(sample["query"], first, labels)
    if not first and not second:
        raise ValueError(f"{owner}: sample {row} has no candidate; leave it out.")
    if "negative" in keys:
        return _Sample(sample["query"], first + second, _labels(len(first), len(second)))
    found = np.array([float(text in first) for text in second])
    others = [text for text in second if text not in first]
    as_given = np.append(found, np.ones(len(first) - int(found.sum()))) if found.any() else np.zeros(len(second))
    if always_rerank_positives:
        return _Sample(sample["query"], first + others, _labels(len(first), len(others)), as_given)
    return _Sample(sample["query"], second if found.any() else [], found, as_given)


def _labels(positives: int, others: int) -> Floats:
    return np.repeat([1.0, 0.0], [positives, others])


def _texts(row: int, key: str, value: Any) -> list[str]:
    where = f"{key!r} of sample {row}"
    texts = [value] if isinstance(value, str) else list_of("ScoreListEvaluator", where, value, "texts", '["a cat"]')
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"ScoreListEvaluator: {where} must hold texts, got {texts!r:.80}.")
    return texts
