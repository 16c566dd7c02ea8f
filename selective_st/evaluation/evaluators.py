"""The evaluators: of pairs by the score regions that matter, and of queries with candidates.

They ask a model, and report to the trainer, a CSV file and the model's card.
"""

from __future__ import annotations

import csv
import itertools
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import get_rank

import selective_st.evaluation._checks as checks
import selective_st.evaluation.metrics as measures
from selective_st._validation import finite_number, instance_of, list_of, one_of, same_length, whole_number
from selective_st.evaluation._checks import Floats
from selective_st.evaluation.claims import Support, rounded, support_of_pairs
from selective_st.evaluation.curve import even_curve
from selective_st.evaluation.metrics import NEGATIVE, Gains, Metric, metric_meaning
from selective_st.evaluation.scoring import Encoding, Precision
from selective_st.evaluation.thresholds import (
    THRESHOLD_METRICS,
    ScoreThreshold,
    Side,
    choose_threshold,
    remember_threshold,
)

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder

    PairModel = SentenceTransformer | SparseEncoder | MultiVectorEncoder | CrossEncoder

logger = logging.getLogger(__name__)

_OF_AN_ORDER = ("map", "mrr", "ndcg")  # the metrics that are told of the order that candidates come in, too


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

    _other_data: str  # on which its metrics could choose

    def __init__(
        self, kind: str, name: str, batch_size: int, show_progress_bar: bool, write_csv: bool, encoding: Encoding
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # upstream leaves it so
        instance_of(encoding.owner, "name", name, str, 'Write the name of the data: name="dev".')
        whole_number(encoding.owner, "batch_size", batch_size, least=1)
        self.name = name
        self.batch_size, self.show_progress_bar = batch_size, show_progress_bar
        self.write_csv = write_csv
        self.encoding = encoding
        self.csv_file = f"{kind}_evaluation{'_' + name if name else ''}_results.csv"

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
        # What the metrics will be called, without a model: compare the gold scores with themselves.
        perfect = self.metrics(gold)
        allowed = [name for name in perfect if "_bin_" not in name and metric_meaning(name).can_choose]
        chosen = default if main_metric is None else main_metric
        if chosen not in allowed:
            named = ", ".join(name for name in allowed if not name.startswith(NEGATIVE))
            raise ValueError(f"{type(self).__name__}: main_metric must be one of {named}, got {chosen!r}.")
        # A trainer takes the largest value for the best one.
        self._main = chosen if metric_meaning(chosen).better == "higher" else f"{NEGATIVE}{chosen}"
        ends = [_end(function) for function in self.encoding.similarity_fn_names or ("",)]
        self.metric_names = [f"{name}{end}" for end in ends for name in perfect]
        primary = f"{self._main}{ends[0] if len(ends) == 1 else '_max'}"
        self.metric_names += [primary] if len(ends) > 1 else []
        self.primary_metric = f"{self.name}_{primary}" if self.name else primary
        self._warning = ""
        reason = self._why_it_cannot_choose(chosen, perfect[chosen])
        if reason:
            other = next((name for name in allowed if not self._why_it_cannot_choose(name, perfect[name])), None)
            mend = f'name another: main_metric="{other}"; or {self._other_data}' if other else self._other_data
            self._warning = (
                f"{type(self).__name__}: main_metric {chosen} {reason}, so it cannot choose a checkpoint. "
                f"{mend[0].upper()}{mend[1:]}."
            )
        if main_metric is None:
            self._warn_once()

    def _warn_once(self) -> None:
        """Warn of a main metric that cannot choose: a trainer would keep any checkpoint, in silence."""
        if self._warning and get_rank() == 0:  # the first process says it for all
            logger.warning(self._warning)
        self._warning = ""

    def _why_it_cannot_choose(self, name: str, perfect: float) -> str:
        """Why a metric is the same for every model; empty where it is not. Given is that of the gold scores."""
        raise NotImplementedError

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
        if steps >= 0:  # a trainer asks, which may choose; a metric named for another purpose is nobody's concern
            self._warn_once()
        return self._report(model, self.predict_by_function(model), output_path, epoch, steps)

    def _report(
        self, model: PairModel, predicted: Mapping[str, Any], output_path: str | None, epoch: int, steps: int
    ) -> dict[str, float]:
        metrics = self._by_function(predicted)
        if output_path is not None and self.write_csv:
            _append_row(output_path, self.csv_file, {"epoch": epoch, "steps": steps, **metrics})
        self.tell_card(model, metrics, epoch, steps)
        named: dict[str, float] = self.prefix_name_to_metrics(metrics, self.name)
        return named

    def tell_card(self, model: PairModel, metrics: Mapping[str, float], epoch: int = -1, steps: int = -1) -> None:
        """Have metrics, as `metrics` gives them, shown in the model's card."""
        shown = self.prefix_name_to_metrics(self._for_card(metrics), self.name)
        self.store_metrics_in_model_card_data(model, shown, epoch, steps)

    def _for_card(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics as a card shows them, each with as many digits as its cases allow.

        A line for each bin, count or quantile, or for each error with a minus, would hide the rest.
        """
        primary = str(self.primary_metric).removeprefix(f"{self.name}_" if self.name else "")
        ends = [*map(_end, self.encoding.similarity_fn_names), "_max"]
        support, shown = self.support(), {}
        for name, value in metrics.items():
            plain = next((name.removesuffix(end) for end in ends if name.endswith(end)), name)
            hidden = "_bin_" in name or name.startswith(NEGATIVE) or not metric_meaning(plain).better
            on = support.get(plain.removeprefix(NEGATIVE))
            if (name == primary or not hidden) and (on is None or on.cases):
                shown[name] = rounded(value, on)
        return shown

    def _config(self, **own: Any) -> dict[str, Any]:
        """The settings of the evaluator and of its encoding, as far as they are given."""
        names = list(self.encoding.similarity_fn_names) or None
        given = own | vars(self.encoding) | {"similarity_fn_names": names, "owner": None}
        return {name: value for name, value in given.items() if value is not None}


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
        self.sentences1 = checks.checked_texts(owner, "sentences1", sentences1)
        self.sentences2 = checks.checked_texts(owner, "sentences2", sentences2)
        self.scores = checks.checked_scores("scores", scores)
        names: Any = similarity_fn_names or ()
        encoding = Encoding(as_queries, prompt_name, truncate_dim, precision, names, owner)
        super().__init__("score_region", name, batch_size, show_progress_bar, write_csv, encoding)
        self._roles_noted = False
        mend = "Give both texts and the gold score of each pair."
        same_length(owner, mend, sentences1=self.sentences1, sentences2=self.sentences2, scores=self.scores)
        self.at_least = checks.checked_thresholds(owner, "at_least", at_least)
        self.at_most = checks.checked_thresholds(owner, "at_most", at_most)
        self.regions = checks.checked_regions(owner, regions)
        self.thresholds = checks.checked_thresholds(owner, "thresholds", thresholds)
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
        self.threshold = threshold if isinstance(threshold, ScoreThreshold) else None
        self._to_choose: ScoreThreshold | None = None  # what a threshold that is yet to be chosen decides for
        if self.threshold is None and (threshold is not None or threshold_from is not None):
            sought = self._decision(threshold_gold)
            if sought is None:
                raise ValueError(
                    f"{owner}: say which gold score the threshold decides for, for example threshold_gold=0.9."
                )
            if threshold is None:
                self._to_choose = sought
            else:
                self.threshold = replace(sought, value=finite_number(owner, "threshold", threshold))
        self._other_data = "give thresholds and regions that hold some of the gold scores, but not all"
        if np.abs(self.scores).max() > 1:
            self._other_data = "map the gold scores to the scale of the similarity"
        decided = self._decision(None)
        self._set_main_metric(main_metric, "spearman" if decided is None else f"ap_{decided.suffix}", self.scores)

    def _why_it_cannot_choose(self, name: str, perfect: float) -> str:
        seen = f"(they go from {self.scores.min():g} to {self.scores.max():g})"
        if math.isnan(perfect):
            of = self._to_choose
            if of is not None and name.endswith(of.suffix) and of.is_sought(self.scores).any():
                return ""  # a decision of a threshold that is yet to be chosen
            return f"is not defined for these gold scores {seen}"
        of = next((of for of in measures.sought_by(self.at_least, self.at_most) if name == f"ap_{of.suffix}"), None)
        if of is None or not of.is_sought(self.scores).all():
            return ""
        return f"is 1 for every model, as every gold score is {of.side.replace('_', ' ')} {of.gold:g} {seen}"

    def _decision(self, gold: float | None) -> ScoreThreshold | None:
        """Which gold scores a threshold decides for, as a threshold whose value says nothing."""
        if gold is not None:
            side: Side = "at_most" if gold in self.at_most and gold not in self.at_least else "at_least"
            return ScoreThreshold(0.0, gold, side)
        return next(iter(measures.sought_by(sorted(self.at_least)[-1:], sorted(self.at_most)[:1])), None)

    def metrics(self, predicted: Any) -> dict[str, float]:
        """The metrics of scores that someone predicted.

        Args:
            predicted: One score for each pair.

        Returns:
            The metrics of `region_metrics`, and with `groups` those of `ranking_metrics`. With `threshold_from` the
            decisions are those of the threshold chosen last, NaN before.
        """
        scores = checks.checked_pair(self.scores, predicted)[1]
        of_pairs, of_cuts = self._asked()
        found = measures.measured(measures.with_negatives(of_pairs), self.scores, scores)
        found |= measures.by_bin(self.scores, scores, self.bins, self.bin_range)
        found |= measures.measured([*self._decisions(), *measures.with_negatives(of_cuts)], self.scores, scores)
        if self.groups:
            gold: Any = self.scores  # an array serves as a sequence
            found |= measures.ranking_metrics(self.groups, gold, predicted, positive_from=self.positive_from)
        return found

    def _asked(self) -> tuple[list[Metric], list[Metric]]:
        """The metrics of pairs, and those of deciding at thresholds; made anew: they are functions, and no pickle."""
        of_pairs = measures.pair_metrics("ScoreRegionEvaluator", self.at_least, self.at_most, self.regions)
        return of_pairs, [metric for cut in self.thresholds for metric in measures.at_threshold(cut)]

    def _decisions(self) -> list[Metric]:
        """The metrics of the threshold's decisions, if there is one or is to be."""
        of = self.threshold or self._to_choose
        return measures.decisions(of, chosen=self.threshold is not None) if of else []

    def support(self) -> dict[str, Support]:
        """What each metric rests on.

        Returns:
            The support by the metric's name; none for counts and thresholds, which are exact.
        """
        texts = self.sentences1 if all(isinstance(text, str) for text in self.sentences1) else None
        of_pairs, of_cuts = self._asked()
        found = support_of_pairs([*of_pairs, *self._decisions(), *of_cuts], self.scores, texts)
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
        note = self.encoding.note(model, self.sentences1)
        if note and not self._roles_noted and get_rank() == 0:
            told = self.encoding.roles_of(model, self.sentences1)
            logger.log(logging.INFO if told else logging.WARNING, f"ScoreRegionEvaluator: {note}.")
        self._roles_noted = True
        return self._scores_of(model, self.sentences1, self.sentences2, self.encoding)

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
        return self._choose(model, sought, metric, self.encoding, **promise)

    def _choose(
        self, model: PairModel, sought: ScoreThreshold, metric: str, encoding: Encoding, **promise: Any
    ) -> ScoreThreshold:
        name, predicted = next(iter(self._scores_of(model, self.sentences1, self.sentences2, encoding).items()))
        limit: dict[str, Any] = {f"gold_{sought.side}": sought.gold, **promise}
        gold: Any = self.scores
        chosen = choose_threshold(gold, predicted.tolist(), metric=metric, chosen_on=self.name, **limit)
        similarity = name or getattr(model, "similarity_fn_name", None)
        return replace(chosen, similarity=similarity, as_queries=encoding.roles_of(model, self.sentences1))

    def _report(
        self, model: PairModel, predicted: Mapping[str, Any], output_path: str | None, epoch: int, steps: int
    ) -> dict[str, float]:
        if self.threshold_from is not None and self._to_choose is not None:
            of = self.threshold_from.encoding
            if of.as_queries is None:  # a threshold holds for scores that came about alike
                of = replace(of, as_queries=self.encoding.roles_of(model, self.sentences1))
            self.threshold = self.threshold_from._choose(model, self._to_choose, self.threshold_metric, of)
        curves = {function: even_curve(scores, self.scores) for function, scores in predicted.items()}
        self.curve = next(iter(curves.values()))
        if self.thresholds and output_path is not None and self.write_csv:
            for function, (at, losses) in curves.items():
                points = {f"{threshold:g}": loss for threshold, loss in zip(at, losses.tolist(), strict=True)}
                file_name = f"{self.csv_file.removesuffix('_results.csv')}_threshold_curve{_end(function)}.csv"
                _append_row(output_path, file_name, {"epoch": epoch, "steps": steps, **points})
        return super()._report(model, predicted, output_path, epoch, steps)

    @property
    def description(self) -> str:
        """What the model card calls this evaluation."""
        return "Score Regions"

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that the model card shows."""
        return self._config(
            at_least=list(self.at_least),
            at_most=list(self.at_most),
            regions=[list(region) for region in self.regions],
            thresholds=list(self.thresholds) or None,
            positive_from=self.positive_from if self.groups else None,
            threshold=self.threshold and self.threshold.value,
            threshold_decides=self.threshold and str(self.threshold),
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

    _other_data = "give lists with a positive and more candidates"

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
        mend = "Write always_rerank_positives=False, or leave it out."
        instance_of(owner, "always_rerank_positives", always_rerank_positives, bool, mend)
        self.always_rerank_positives = always_rerank_positives
        if not len(samples):
            raise ValueError(f"{owner}: samples must hold at least one query, got none.")
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
        cutoffs = at_k if mrr_at_k is None else mrr_at_k
        self._asked = of = measures.ListMeasures(owner, self.labels, cutoffs, positive_from, top_error, gains)
        self.at_k, self.positive_from, self.gains, self.top_error = of.cutoffs, of.positive_from, gains, of.top_error
        self._set_main_metric(main_metric, f"ndcg@{self.at_k[-1]}", self.labels)

    def _why_it_cannot_choose(self, name: str, perfect: float) -> str:
        if math.isnan(perfect) or not self.support().get(name, Support(1, 1)).cases:
            return "is not defined for these labels, as every order of each list is as good"
        cutoff = name.partition("recall@")[2]
        if cutoff and max(map(len, self.labels)) <= int(cutoff):
            return f"is 1 for every model, as no list has more than {cutoff} candidates"
        return ""

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
            found |= {f"base_{name}": given[name] for name in given if name.split("@")[0] in _OF_AN_ORDER}
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
            cases |= {f"base_{name}": len(self._as_given) for name in values if name.split("@")[0] in _OF_AN_ORDER}
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

    @property
    def description(self) -> str:
        """What the model card calls this evaluation."""
        return "Score Lists"

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that the model card shows."""
        given = {
            "at_k": list(self.at_k),
            "positive_from": self.positive_from,
            "always_rerank_positives": self.always_rerank_positives if self._as_given else None,
            "gains": None if self.gains == "linear" else self.gains,
        }
        return {name: value for name, value in self._config(**given).items() if name != "as_queries"}


class _Sample(NamedTuple):
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
    candidates = tuple(key for key in ("positive", "negative", "documents", "labels") if key in keys)
    if "labels" in keys and "documents" not in keys:
        raise ValueError(
            f"{owner}: sample {row} has 'labels' but no 'documents' that they belong to. Give the candidates as "
            "'documents', or leave 'labels' out."
        )
    if "query" not in keys or candidates not in _SAMPLES:
        ways = ", ".join(f"{first!r} and {second!r}" for first, second in _SAMPLES[:-1])
        possible = sorted((way for way in _SAMPLES if {"query", *way} <= keys), key=lambda way: "labels" not in way)
        more = " and ".join(repr(key) for key in candidates if key not in possible[0]) if possible else ""
        extra = f" Leave {more} out." if more else ""
        raise ValueError(
            f"{owner}: a sample needs the key 'query' and either {ways}, or 'documents' and 'labels', and no more of "
            f"these; sample {row} has {', '.join(map(repr, sample))}.{extra}"
        )
    checks.checked_texts(owner, f"'query' of sample {row}", [sample["query"]])
    first, second = (_texts(row, key, sample[key]) if key != "labels" else [] for key in candidates)
    if "labels" in keys:
        labels = checks.checked_scores(f"{owner}: 'labels' of sample {row}", sample["labels"])
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
