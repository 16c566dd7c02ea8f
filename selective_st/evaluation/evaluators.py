"""The evaluators: of pairs by the score regions that matter, and of queries with candidates.

They ask a model, and report to the trainer, a CSV file and the model's card.
"""

from __future__ import annotations

import csv
import itertools
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import get_rank

import selective_st.evaluation._checks as checks
import selective_st.evaluation.metrics as measures
from selective_st._validation import instance_of, one_of, same_length
from selective_st.evaluation._checks import Floats
from selective_st.evaluation.claims import Support, rounded, support_of_pairs
from selective_st.evaluation.curve import even_curve
from selective_st.evaluation.metrics import NEGATIVE, OF_AN_ORDER, Gains, Metric, metric_kind, metric_meaning
from selective_st.evaluation.scoring import Encoding, Precision
from selective_st.evaluation.thresholds import THRESHOLD_METRICS, ScoreThreshold, choose_threshold, remember_threshold

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder

    PairModel = SentenceTransformer | SparseEncoder | MultiVectorEncoder | CrossEncoder

logger = logging.getLogger(__name__)

_FAR = 1e6  # beyond all gold scores


def _append_row(folder: str, file_name: str, row: Mapping[str, Any]) -> None:
    """Append a row to a CSV file; its header is written with the first row.

    Where the file has another header, as of an evaluator of the same name with other thresholds, the row goes to the
    first of `..._2.csv`, `..._3.csv` and so on that has this one or does not exist.
    """
    os.makedirs(folder, exist_ok=True)
    stem, ending = os.path.splitext(os.path.join(folder, file_name))
    for number in itertools.count(1):
        path = f"{stem}{f'_{number}' if number > 1 else ''}{ending}"
        with open(path, "a+", newline="", encoding="utf-8", errors="replace") as file:
            file.seek(0)
            header = next(csv.reader(file), None)
            if header in (None, list(row)):
                writer = csv.writer(file)
                writer.writerows([row.values()] if header else [row, row.values()])
                return


def _end(function: str) -> str:
    """What the name of a metric of scores by a similarity function ends with; nothing where it is the model's own."""
    return f"_{function}" if function else ""


class ScoreEvaluator(BaseEvaluator):
    """An evaluator that asks a model for the scores of text pairs, and reports their metrics.

    Args:
        kind: What its CSV file is called after.
        name: A name for the data set, put before each metric's name.
        batch_size: The batch size of encoding or predicting.
        show_progress_bar: Whether that shows a progress bar.
        write_csv: Whether to append the metrics to a CSV file where the trainer gives an output path.
        encoding: How texts are embedded and compared.
    """

    def __init__(
        self, kind: str, name: str, batch_size: int, show_progress_bar: bool, write_csv: bool, encoding: Encoding
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # upstream leaves it so
        self.name, self.batch_size, self.show_progress_bar = name, batch_size, show_progress_bar
        self.write_csv, self.encoding = write_csv, encoding
        of_name = re.sub(r"[/\\]", "_", f"_{name}" if name else "")  # such as that of a dataset on the hub
        self.csv_file = f"{kind}_evaluation{of_name}_results.csv"

    def metrics(self, predicted: Any) -> dict[str, float]:
        """The metrics of scores that someone predicted."""
        raise NotImplementedError

    def support(self) -> dict[str, Support]:
        """What each metric rests on."""
        raise NotImplementedError

    def predict(self, model: PairModel) -> Any:
        """The model's scores, by the first of the similarity functions."""
        return next(iter(self.predict_by_function(model).values()))

    def predict_by_function(self, model: PairModel) -> dict[str, Any]:
        """The model's scores by each similarity function; by its own under an empty name."""
        raise NotImplementedError

    def _scores_of(self, model: PairModel, first: Any, second: Any, encoding: Encoding) -> dict[str, Floats]:
        return encoding.scores(model, first, second, self.batch_size, self.show_progress_bar)

    def _set_main_metric(self, main_metric: str | None, default: str, gold: Any) -> None:
        """Set the metric that selects the best checkpoint, once `metrics` has what it needs."""
        owner = type(self).__name__
        # What the metrics will be called, without a model: compare the gold scores with themselves.
        perfect = self.metrics(gold)
        allowed = [name for name in perfect if "_bin_" not in name and metric_meaning(name).can_choose]
        chosen = one_of(owner, "main_metric", default if main_metric is None else main_metric, allowed)
        # A trainer takes the largest value for the best one.
        self._main = chosen if metric_meaning(chosen).better == "higher" else f"{NEGATIVE}{chosen}"
        ends = [_end(function) for function in self.encoding.similarity_fn_names or ("",)]
        self.metric_names = [f"{name}{end}" for end in ends for name in perfect]
        primary = f"{self._main}{ends[0] if len(ends) == 1 else '_max'}"
        self.metric_names += [primary] if len(ends) > 1 else []
        self.primary_metric = f"{self.name}_{primary}" if self.name else primary
        # What far higher and far lower scores, in the opposite order, change nothing of is the same for every model.
        others = [self.metrics([offset - of for of in gold]) for offset in (-_FAR, _FAR)]
        told = [name for name in allowed if any(of[name] != perfect[name] == perfect[name] for of in others)]
        self._warning = ""
        if chosen not in told:
            alike = "not defined" if math.isnan(perfect[chosen]) else f"{perfect[chosen]:g} for every model"
            labels = np.hstack(gold)
            self._warning = (
                f"{owner}: main_metric {chosen} is {alike} with these labels (they go from {labels.min():g} to "
                f"{labels.max():g}), so it cannot choose a checkpoint. Give labels on the scale of the scores, some of "
                f"each kind{f', or name another: main_metric={told[0]!r}' if told else ''}."
            )

    def _by_function(self, predicted: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of scores by each similarity function, and of several the best of the main one."""
        found: dict[str, float] = {}
        for function, scores in predicted.items():
            found |= {f"{name}{_end(function)}": value for name, value in self.metrics(scores).items()}
        if len(predicted) > 1:
            found[f"{self._main}_max"] = max(found[f"{self._main}_{function}"] for function in predicted)
        return found

    def __call__(  # type: ignore[override]  # narrower, as in the evaluators of Sentence Transformers
        self, model: PairModel, output_path: str | None = None, epoch: int = -1, steps: int = -1
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
        if steps >= 0 and self._warning and get_rank() == 0:  # a trainer asks, which would keep any checkpoint
            logger.warning(self._warning)
            self._warning = ""
        predicted = self.predict_by_function(model)
        metrics = self._by_function(predicted)
        if output_path is not None and self.write_csv:
            for file_name, row in {self.csv_file: metrics, **self._more_files(predicted)}.items():
                _append_row(output_path, file_name, {"epoch": epoch, "steps": steps, **row})
        self.tell_card(model, metrics, epoch, steps)
        return dict(self.prefix_name_to_metrics(metrics, self.name))

    def _more_files(self, predicted: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        """The CSV files to append to beside that of the metrics, and the row for each."""
        return {}

    def tell_card(self, model: PairModel, metrics: Mapping[str, float], epoch: int = -1, steps: int = -1) -> None:
        """Have metrics, as `metrics` gives them, shown in the model's card."""
        shown = self.prefix_name_to_metrics(self._for_card(metrics), self.name)
        self.store_metrics_in_model_card_data(model, shown, epoch, steps)

    def _for_card(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics as a card shows them, each with as many digits as its cases allow.

        A line for each bin, count or quantile, or for each error with a minus, would hide the rest.
        """
        primary = str(self.primary_metric).removeprefix(f"{self.name}_" if self.name else "")
        ends = "|".join(["max", *self.encoding.similarity_fn_names])
        support, shown = self.support(), {}
        for name, value in metrics.items():
            plain = re.sub(f"_({ends})$", "", name)
            on = support.get(plain.removeprefix(NEGATIVE))
            hidden = "_bin_" in name or name.startswith(NEGATIVE) or not metric_meaning(plain).better
            if (name == primary or not hidden) and (on is None or on.cases):
                shown[name] = rounded(value, on)
        return shown

    @property
    def description(self) -> str:
        """What the model card calls this evaluation."""
        return f"{super().description}s"

    def _config(self, **own: Any) -> dict[str, Any]:
        """The settings of the evaluator and of its encoding, as far as they are given."""
        given = own | {name: value for name, value in self.encoding.given().items() if name != "as_queries"}
        return {name: list(of) if isinstance(of, tuple) else of for name, of in given.items() if of is not None}


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
            says so where a trainer evaluates.
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
        encoding = Encoding(as_queries, prompt_name, truncate_dim, precision, similarity_fn_names or ())
        super().__init__("score_region", name, batch_size, show_progress_bar, write_csv, encoding)
        self.sentences1 = checks.checked_texts(owner, "sentences1", sentences1)
        self.sentences2 = checks.checked_texts(owner, "sentences2", sentences2)
        self.scores = checks.checked_scores("scores", scores)
        mend = "Give both texts and the gold score of each pair."
        same_length(owner, mend, sentences1=self.sentences1, sentences2=self.sentences2, scores=self.scores)
        self.at_least = checks.checked_thresholds(owner, "at_least", at_least)
        self.at_most = checks.checked_thresholds(owner, "at_most", at_most)
        self.regions = checks.checked_regions(owner, regions)
        self.thresholds = checks.checked_thresholds(owner, "thresholds", thresholds)
        self.groups, self.positive_from = list(groups), positive_from
        self.bins, self.bin_range = bins, bin_range
        self.threshold_from, self.threshold_metric = threshold_from, threshold_metric
        one_of(owner, "threshold_metric", threshold_metric, THRESHOLD_METRICS)
        if threshold_from is not None and (threshold is not None or len(encoding.similarity_fn_names) > 1):
            raise ValueError(f"{owner}: threshold_from goes with no threshold, and with one similarity function.")
        self._predicted: Floats | None = None
        self._roles_noted = False
        self.threshold = threshold if isinstance(threshold, ScoreThreshold) else None
        if self.threshold is None and (threshold is not None or threshold_from is not None):
            sought = self._decision(threshold_gold, "threshold_gold")
            self.threshold = sought if threshold is None else replace(sought, value=threshold)  # type: ignore[arg-type]
        self._decides = self.threshold  # for this, also where the threshold itself is yet to be chosen
        self._set_main_metric(main_metric, f"ap_{self._default.suffix}" if self._default else "spearman", self.scores)
        if threshold_from is not None:
            self.threshold = None

    @property
    def _default(self) -> ScoreThreshold | None:
        """What a threshold decides for if nobody says it."""
        return next(iter(measures.sought_by(sorted(self.at_least)[-1:], sorted(self.at_most)[:1])), None)

    def _decision(self, gold: float | None, argument: str) -> ScoreThreshold:
        """What a threshold decides for, as a threshold whose value says nothing."""
        if gold is not None:
            is_low = gold in self.at_most and gold not in self.at_least
            return ScoreThreshold(gold, gold, "at_most" if is_low else "at_least")
        if self._default is None:
            raise ValueError(f"ScoreRegionEvaluator: say which gold score to decide for, for example {argument}=0.9.")
        return self._default

    @property
    def curve(self) -> tuple[Floats, Floats] | None:
        """The threshold curve of the scores that were reported last; None before."""
        return None if self._predicted is None else even_curve(self._predicted, self.scores)

    def metrics(self, predicted: Any) -> dict[str, float]:
        """The metrics of scores that someone predicted.

        Args:
            predicted: One score for each pair.

        Returns:
            The metrics of `region_metrics`, and with `groups` those of `ranking_metrics`. With `threshold_from` the
            decisions are those of the threshold chosen last, NaN before.
        """
        scores = checks.checked_pair(self.scores, predicted)[1]
        found = measures.measured(measures.with_negatives(self._asked()), self.scores, scores)
        found |= measures.by_bin(self.scores, scores, self.bins, self.bin_range)
        if self.threshold is None and self._decides is not None:
            found |= dict.fromkeys((metric.name for metric in measures.decisions(self._decides)), math.nan)
        if self.groups:
            gold: Any = self.scores  # an array serves as a sequence
            found |= measures.ranking_metrics(self.groups, gold, predicted, positive_from=self.positive_from)
        return found

    def _asked(self) -> list[Metric]:
        """The metrics of pairs, and those of deciding; made anew: they are functions, and no pickle."""
        settings = (self.at_least, self.at_most, self.regions, [self.threshold or self._decides])
        found = measures.pair_metrics("ScoreRegionEvaluator", *settings)
        return [*found, *(metric for cut in self.thresholds for metric in measures.at_threshold(cut))]

    def support(self) -> dict[str, Support]:
        """What each metric rests on.

        Returns:
            The support by the metric's name; none for counts and thresholds, which are exact.
        """
        texts = self.sentences1 if all(isinstance(text, str) for text in self.sentences1) else None
        found = support_of_pairs(self._asked(), self.scores, texts)
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
        note = "" if self._roles_noted else self.encoding.note(model, self.sentences1)
        if note and get_rank() == 0:
            told = self.encoding.roles_of(model, self.sentences1)
            logger.log(logging.INFO if told else logging.WARNING, f"ScoreRegionEvaluator: {note}.")
        self._roles_noted = True
        found = self._scores_of(model, self.sentences1, self.sentences2, self.encoding)
        self._predicted = next(iter(found.values()))
        return found

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
        return self._choose(model, self._decision(gold, "gold"), metric, self.encoding, **promise)

    def _choose(
        self, model: PairModel, sought: ScoreThreshold, metric: str, encoding: Encoding, **promise: Any
    ) -> ScoreThreshold:
        name, predicted = next(iter(self._scores_of(model, self.sentences1, self.sentences2, encoding).items()))
        limit: dict[str, Any] = {f"gold_{sought.side}": sought.gold, **promise}
        gold: Any = self.scores
        chosen = choose_threshold(gold, predicted.tolist(), metric=metric, chosen_on=self.name, **limit)
        similarity = name or getattr(model, "similarity_fn_name", None)
        return replace(chosen, similarity=similarity, as_queries=encoding.roles_of(model, self.sentences1))

    def __call__(  # type: ignore[override]
        self, model: PairModel, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Evaluate the model, as every evaluator; with `threshold_from` by a threshold that is chosen for it now."""
        if self.threshold_from is not None and self._decides is not None:
            of = self.threshold_from.encoding
            if of.as_queries is None:  # a threshold holds for scores that came about alike
                of = replace(of, as_queries=self.encoding.roles_of(model, self.sentences1))
            self.threshold = self.threshold_from._choose(model, self._decides, self.threshold_metric, of)
        return super().__call__(model, output_path, epoch, steps)

    def _more_files(self, predicted: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
        found = {}
        for function, scores in predicted.items() if self.thresholds else ():
            at, losses = even_curve(scores, self.scores)
            file_name = f"{self.csv_file.removesuffix('_results.csv')}_threshold_curve{_end(function)}.csv"
            found[file_name] = dict(zip(map("{:g}".format, at), losses.tolist(), strict=True))
        return found

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that the model card shows."""
        return self._config(
            at_least=self.at_least,
            at_most=self.at_most,
            regions=[list(region) for region in self.regions],
            thresholds=self.thresholds or None,
            positive_from=self.positive_from if self.groups else None,
            threshold=self.threshold and self.threshold.value,
            threshold_decides=self.threshold and str(self.threshold),
            as_queries=self.encoding.as_queries,
        )


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
        encoding = Encoding(True, prompt_name, truncate_dim, precision, similarity_fn_names or ())
        super().__init__("score_list", name, batch_size, show_progress_bar, write_csv, encoding)
        instance_of(owner, "always_rerank_positives", always_rerank_positives, bool, "Write True or False.")
        self.always_rerank_positives = always_rerank_positives
        given = samples.values() if isinstance(samples, Mapping) else samples
        read = [_read_sample(row, sample, always_rerank_positives) for row, sample in enumerate(given)]
        # Where nothing was found, nothing can be ranked.
        ranked = [sample for sample in read if sample.documents]
        self.missed = len(read) - len(ranked)
        if not ranked:
            what = "at least one query, with a positive among its documents if always_rerank_positives=False"
            raise ValueError(f"{owner}: samples must hold {what}; got none. Leave that out, which adds the positives.")
        self.queries, self.documents, self.labels, _ = map(list, zip(*ranked, strict=True))
        self._as_given = [sample.as_given for sample in read if sample.as_given is not None]
        cutoffs = at_k if mrr_at_k is None else mrr_at_k
        self._asked = of = measures.ListMeasures(owner, self.labels, cutoffs, positive_from, top_error, gains)
        self.at_k, self.positive_from, self.gains, self.top_error = of.cutoffs, of.positive_from, gains, of.top_error
        self._set_main_metric(main_metric, f"ndcg@{self.at_k[-1]}", self.labels)

    def metrics(self, predicted: Sequence[Any]) -> dict[str, float]:
        """The metrics of scores that someone predicted.

        Args:
            predicted: For each query the scores of its candidates, in the order of `documents`.

        Returns:
            The metrics of `list_metrics`; and where candidates came in an order, `base_map`, `base_mrr@k` and
            `base_ndcg@k` of that order.
        """
        pairs = measures.checked_lists("ScoreListEvaluator", self.labels, predicted)
        found = self._asked.of(pairs, self.missed)
        if self._as_given:
            ordered = [(label, -np.arange(len(label), dtype=np.float64)) for label in self._as_given if label.any()]
            given = self._asked.of(ordered, len(self._as_given) - len(ordered))
            found |= {f"base_{name}": given[name] for name in given if metric_kind(name) in OF_AN_ORDER}
        return found

    def support(self) -> dict[str, Support]:
        """What each metric rests on.

        Returns:
            The support by the metric's name; none for counts, which are exact.
        """
        pairs = [(label, label) for label in self.labels]
        lists = len(pairs) + self.missed
        values = measures.list_values(self._asked.rankings, pairs)
        cases = {name: len(of) + self.missed for name, of in values.items()}
        cases |= {error.name: len(pairs) for error in self._asked.errors}
        if self._as_given:
            cases |= {f"base_{name}": len(self._as_given) for name in values if metric_kind(name) in OF_AN_ORDER}
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
        found = self._scores_of(model, queries, list(itertools.chain(*self.documents)), self.encoding)
        return {name: np.split(scores, np.cumsum(sizes)[:-1]) for name, scores in found.items()}

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that the model card shows."""
        return self._config(
            at_k=self.at_k,
            positive_from=self.positive_from,
            always_rerank_positives=self.always_rerank_positives if self._as_given else None,
            gains=None if self.gains == "linear" else self.gains,
        )


class _Sample(NamedTuple):
    """A query, its candidates and their labels; and the labels in the order of a first stage, where there was one."""

    query: str
    documents: list[str]
    labels: Floats
    as_given: Floats | None = None


_SAMPLES = (("query", "positive", "negative"), ("query", "positive", "documents"), ("query", "documents", "labels"))


def _read_sample(row: int, sample: Mapping[str, Any], always_rerank_positives: bool) -> _Sample:
    owner = "ScoreListEvaluator"
    keys = tuple(key for key in ("query", "positive", "negative", "documents", "labels") if sample.get(key) is not None)
    if keys not in _SAMPLES:
        mend = 'Write {"query": "a pet", "positive": "a cat", "negative": ["a car"]}.'
        what = f"sample {row} must have the keys {', or '.join(map(str, _SAMPLES))}, and no more of these"
        raise ValueError(f"{owner}: {what}; it has {keys}. {mend}")

    def texts(key: str) -> list[str]:
        value = [sample[key]] if key == "query" or isinstance(sample[key], str) else sample[key]
        return checks.checked_texts(owner, f"{key!r} of sample {row}", value)

    (query,), first = texts("query"), texts(keys[1])
    if "labels" in keys:
        labels = checks.checked_scores(f"{owner}: 'labels' of sample {row}", sample["labels"])
        same_length(owner, f"Give one label for each document of sample {row}.", documents=first, labels=labels)
        return _Sample(query, first, labels)
    second = texts(keys[2])
    if "negative" in keys:
        return _Sample(query, first + second, np.repeat([1.0, 0.0], [len(first), len(second)]))
    found = np.array([float(text in first) for text in second])
    others = [text for text in second if text not in first]
    as_given = np.append(found, np.ones(len(first) - int(found.sum()))) if found.any() else np.zeros(len(second))
    if always_rerank_positives:
        return _Sample(query, first + others, np.repeat([1.0, 0.0], [len(first), len(others)]), as_given)
    return _Sample(query, second if found.any() else [], found, as_given)
