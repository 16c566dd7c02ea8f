"""What the evaluators share: they ask a model, and report to the trainer, a CSV file and the model's card."""

from __future__ import annotations

import csv
import itertools
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import get_rank

from selective_st._validation import instance_of, whole_number
from selective_st.evaluation.claims import Support, rounded
from selective_st.evaluation.metrics import (
    NEGATIVE,
    metric_meaning,
)
from selective_st.evaluation.scoring import Encoding

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder

    PairModel = SentenceTransformer | SparseEncoder | MultiVectorEncoder | CrossEncoder

logger = logging.getLogger(__name__)


def append_row(folder: str, file_name: str, row: Mapping[str, Any]) -> None:
    """Append a row to a CSV file; its header is written with the first row.

    Where the file has another header, as of an evaluator of the same name with other thresholds, the row goes to the
    first of `..._2.csv`, `..._3.csv` and so on that has this one or does not exist.
    """
    os.makedirs(folder, exist_ok=True)
    stem, ending = os.path.splitext(os.path.join(folder, file_name))
    paths = (f"{stem}{f'_{number}' if number > 1 else ''}{ending}" for number in itertools.count(1))
    path, header = next((path, header) for path in paths if (header := _header(path)) in (None, list(row)))
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if header is None:
            writer.writerow(row)
        writer.writerow(row.values())


def _header(path: str) -> list[str] | None:
    """The first row of a CSV file; None if there is none."""
    if not os.path.isfile(path):
        return None
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        return next(csv.reader(file), None)


class ScoreEvaluator(BaseEvaluator):
    """An evaluator that asks a model for scores, and reports their metrics.

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
        owner = type(self).__name__
        instance_of(owner, "name", name, str, 'Write the name of the data: name="dev".')
        whole_number(owner, "batch_size", batch_size, least=1)
        self.name = name
        self.batch_size = batch_size
        self.show_progress_bar = show_progress_bar
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

    def _set_main_metric(self, main_metric: str | None, default: str, gold: Any) -> None:
        """Set the metric that selects the best checkpoint, once `metrics` has what it needs."""
        # What the metrics will be called, without a model: compare the gold scores with themselves.
        perfect = self.metrics(gold)
        functions = self.encoding.similarity_fn_names
        allowed = [name for name in perfect if "_bin_" not in name and metric_meaning(name).can_choose]
        chosen = default if main_metric is None else main_metric
        if chosen not in allowed:
            named = ", ".join(name for name in allowed if not name.startswith(NEGATIVE))
            raise ValueError(f"{type(self).__name__}: main_metric must be one of {named}, got {chosen!r}.")
        # A trainer takes the largest value for the best one.
        self._main = chosen if metric_meaning(chosen).better == "higher" else f"{NEGATIVE}{chosen}"
        self.metric_names = list(self._by_function(dict.fromkeys(functions or ("",), gold)))
        end = f"_{functions[0] if len(functions) == 1 else 'max'}" if functions else ""
        self.primary_metric = f"{self.name}_{self._main}{end}" if self.name else f"{self._main}{end}"
        self.greater_is_better = True
        self._warning = ""
        reason = self._why_it_cannot_choose(chosen, perfect[chosen])
        if reason:
            others = (name for name in allowed if not self._why_it_cannot_choose(name, perfect[name]))
            other = next(others, None)
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

    @property
    def _other_data(self) -> str:
        """What data its metrics could choose on."""
        raise NotImplementedError

    def _adapt_to(self, model: PairModel) -> None:
        """Set what the metrics need to know of the model."""

    def _by_function(self, predicted: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of scores by each similarity function, and of several the best of the main one."""
        found: dict[str, float] = {}
        for function, scores in predicted.items():
            end = f"_{function}" if function else ""
            found |= {f"{name}{end}": value for name, value in self.metrics(scores).items()}
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

    def report(
        self,
        model: PairModel,
        predicted: Any,
        output_path: str | None = None,
        epoch: int = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        """Report scores that the model has already predicted: to the CSV file, and to the model's card.

        Args:
            model: The model that predicted them.
            predicted: What `predict` gave.
            output_path: Where to append the CSV file, if anywhere.
            epoch: The epoch, for the CSV file.
            steps: The step, for the CSV file.

        Returns:
            The metrics, each name preceded by `name`.
        """
        function = next(iter(self.encoding.similarity_fn_names), "")
        return self._report(model, {function: predicted}, output_path, epoch, steps)

    def _report(
        self, model: PairModel, predicted: Mapping[str, Any], output_path: str | None, epoch: int, steps: int
    ) -> dict[str, float]:
        self._adapt_to(model)
        metrics = self._by_function(predicted)
        if output_path is not None and self.write_csv:
            append_row(output_path, self.csv_file, {"epoch": epoch, "steps": steps, **metrics})
        shown = self.prefix_name_to_metrics(self._for_card(metrics), self.name)
        self.store_metrics_in_model_card_data(model, shown, epoch, steps)
        named: dict[str, float] = self.prefix_name_to_metrics(metrics, self.name)
        return named

    def _for_card(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics as a card shows them, each with as many digits as its cases allow.

        A line for each bin, count or quantile, or for each error with a minus, would hide the rest.
        """
        primary = str(self.primary_metric).removeprefix(f"{self.name}_" if self.name else "")
        names = [
            name
            for name in metrics
            if name == primary or not ("_bin_" in name or name.startswith(NEGATIVE) or self._is_neutral(name))
        ]
        support = self.support()
        of = {name: support.get(self._without_function(name).removeprefix(NEGATIVE)) for name in names}
        return {name: rounded(metrics[name], on) for name, on in of.items() if on is None or on.cases}

    def _is_neutral(self, name: str) -> bool:
        """Whether a metric has no better end."""
        return not metric_meaning(self._without_function(name)).better

    def _without_function(self, name: str) -> str:
        ends = [f"_{function}" for function in (*self.encoding.similarity_fn_names, "max")]
        return next((name.removesuffix(end) for end in ends if name.endswith(end)), name)

    def _common_config(self) -> dict[str, Any]:
        """The settings of the encoding that are given."""
        names = list(self.encoding.similarity_fn_names) or None
        given = vars(self.encoding) | {"similarity_fn_names": names, "owner": None}
        return {name: value for name, value in given.items() if value is not None}
