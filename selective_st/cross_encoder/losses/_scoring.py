"""The scorer of the losses for a CrossEncoder, and what they share: from texts to scores, lists to padded matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from selective_st._ahead import send_ahead
from selective_st._validation import instance_of
from selective_st.functional._common import at_least_single, without_autocast
from selective_st.links import ConstantLink, Interval, Link, SigmoidLink
from selective_st.losses._common import ScoreSpace, labels_and_weight, list_link, said
from selective_st.losses._loss import Loss
from selective_st.losses._scorers import Scorer

# The ranges that these cannot leave; of any other activation none is known.
_RANGES: dict[type[nn.Module], Interval] = {
    nn.Sigmoid: Interval(0.0, 1.0),
    nn.Tanh: Interval(-1.0, 1.0),
    nn.ReLU: Interval(0.0, math.inf),
    nn.Softplus: Interval(0.0, math.inf),
}


class Documents(NamedTuple):
    """The documents of a batch, in columns or in lists.

    Attributes:
        pairs: Query and document: column by column, or list by list.
        rows: How many rows the batch has.
        lengths: How many documents each row's list has; None for columns.
    """

    pairs: list[tuple[Any, Any]]
    rows: int
    lengths: list[int] | None


@dataclass(frozen=True, kw_only=True)
class TextPairs(Scorer):
    """The model's score of each pair of texts.

    Attributes:
        activation_fn: Applied to the logits; None for the default.
        mini_batch_size: How many pairs the model reads at once: None for as many as the batch has rows, 0 and below for
            all.
        of_classes: Whether there is an output label for each class.
        are_graded: Whether labels are known to lie from 0 to 1, as scores then do by default.
    """

    of_classes: ClassVar[bool] = False
    are_graded: ClassVar[bool] = False
    activation_fn: Any
    mini_batch_size: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation_fn is None:
            self._settle(activation_fn=nn.Sigmoid() if self.are_graded else nn.Identity())
        mend = "Use for example torch.nn.Sigmoid(). Write link=... for a link."
        instance_of(self.owner, "activation_fn", self.activation_fn, nn.Module, mend)
        mend = "Write None for as many pairs as the batch has rows, or 0 for all at once."
        instance_of(self.owner, "mini_batch_size", self.mini_batch_size, (int, type(None)), mend)

    @override
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> ScoreSpace:
        outputs: Any = getattr(model, "num_labels", None)  # a wrapped model may not tell
        if outputs is not None and (outputs > 1) != self.of_classes:
            raise ValueError(self.said("outputs", outputs=outputs, of_classes=self.of_classes))
        kind = type(self.activation_fn)
        if kind is nn.Identity:
            return ScoreSpace("the model's logits", sign=0, are_logits=True, inputs="inputs", outputs=outputs)
        bounds = _RANGES.get(kind, Interval(-math.inf, math.inf))
        return ScoreSpace(kind.__name__, bounds, inputs="inputs", outputs=outputs)

    def outputs_of(self, model: Any, documents: Documents, prompt: str | None, task: str | None) -> Tensor:
        """What the model gives for each pair, in at least single precision, after the activation.

        Args:
            model: The model.
            documents: The documents of a batch.
            prompt: Passed to the model's preprocessing.
            task: Passed to the model's preprocessing.

        Returns:
            Scores of shape (pairs, output labels).
        """
        pairs = documents.pairs
        size = documents.rows if self.mini_batch_size is None else self.mini_batch_size
        size = size if size > 0 else len(pairs)
        parts = []
        for begin in range(0, len(pairs), size):
            features = model.preprocess(pairs[begin : begin + size], prompt=prompt, task=task)
            parts.append(model(batch_to_device(features, model.device))["scores"])
        return self.activated(parts[0] if len(parts) == 1 else torch.cat(parts))

    def activated(self, logits: Tensor) -> Tensor:
        """Logits after the activation, in at least single precision."""
        # A logit of 5 in bfloat16 is 5 +- 0.02: too coarse for a loss that cares about a region.
        with without_autocast(logits.device.type):
            activated: Tensor = self.activation_fn(at_least_single(logits))
        return activated

    def scores(self, model: Any, documents: Documents, prompt: str | None, task: str | None) -> Tensor:
        """The scores of a batch.

        Args:
            model: The model.
            documents: The documents of a batch.
            prompt: Passed to the model's preprocessing.
            task: Passed to the model's preprocessing.

        Returns:
            Scores of shape (rows, documents), 0 where a list is padded; (rows,) for a single column of documents.
        """
        scores = self.outputs_of(model, documents, prompt, task).view(-1)
        if documents.lengths is None:
            return scores if len(scores) == documents.rows else scores.view(-1, documents.rows).T
        return _padded(scores.split(documents.lengths), documents.lengths, 0.0)


class CrossEncoderLoss(Loss):
    """Reads the texts of a batch, scores them, and brings labels into the scores' shape."""

    model_type = CrossEncoder
    scorer_type: ClassVar[type[Any]] = TextPairs
    said_if_not: ClassVar[dict[str, Any]] = {}

    @staticmethod
    @override
    def default_link(space: ScoreSpace, targets: str | None) -> Link:
        """For scores without an upper end a link that rises from 0.5 to 1.5, with the value 1 at the logit 0.

        High logits matter, up to three times as much as low ones, but low ones are not forgotten, and temperatures and
        scales keep their meaning.
        """
        if space.range.high <= 1:
            return list_link(space, targets)
        return 0.5 * ConstantLink() + SigmoidLink(scale=1.0, shift=0.0)

    @override
    def forward(  # type: ignore[override]
        self, inputs: Sequence[Sequence[Any]], labels: Any = None, prompt: str | None = None, task: str | None = None
    ) -> Tensor:
        """The loss of one batch.

        Args:
            inputs: The columns: queries, then columns of documents, or one column of lists of documents.
            labels: What the loss takes for labels: a tensor, or one for each row.
            prompt: Passed to the model's preprocessing.
            task: Passed to the model's preprocessing.

        Returns:
            The mean loss, a scalar.
        """
        documents = self._documents(inputs)
        labels, weight = labels_and_weight(type(self).__name__, labels, None, documents.rows)
        labels = self._labels(labels, documents)
        send_ahead(labels)
        of_lists = documents.lengths is not None
        columns = max(documents.lengths) if documents.lengths else len(inputs) - 1
        shape = (documents.rows,) if columns == 1 and not of_lists else (documents.rows, columns)
        targets = self.objective.targets_of(labels, shape, of_lists=of_lists)
        scores = self.scorer.scores(self.model, documents, prompt, task)
        loss: Tensor = self.objective.loss_of(scores, targets, weight)
        if not self._has_remarked:
            self._remark(scores, labels)
        return loss

    def _documents(self, inputs: Sequence[Sequence[Any]]) -> Documents:
        """The pairs of a batch.

        Args:
            inputs: The columns: queries, then columns of documents, or one column of lists of documents.

        Returns:
            The pairs, and how to arrange their scores.

        Raises:
            TypeError: If some rows hold lists and others do not.
            ValueError: If a list is empty.
        """
        lists = inputs[1] if len(inputs) == 2 else ()
        of_lists = any(isinstance(documents, (list, tuple)) for documents in lists)
        rows = self.objective.rows_of(inputs, of_lists=of_lists)
        if not of_lists:
            pairs = [pair for column in inputs[1:] for pair in zip(inputs[0], column, strict=True)]
            return Documents(pairs, rows, None)
        for row, documents in enumerate(lists):
            if not isinstance(documents, (list, tuple)):
                raise TypeError(said("some_lists", type(self).__name__, row=row, got=type(documents).__name__))
            if not documents:
                raise ValueError(said("empty_list", type(self).__name__, row=row))
        pairs = [(query, document) for query, documents in zip(*inputs, strict=True) for document in documents]
        return Documents(pairs, rows, [len(documents) for documents in lists])

    def _labels(self, labels: Any, documents: Documents) -> Any:
        """The labels in the shape of the scores, where they are lists or fit lists of documents.

        Args:
            labels: A tensor, or one tensor for each row, as the trainer gives lists of labels.
            documents: The documents of the batch.

        Returns:
            The labels, with NaN where a list is padded; what is no list of tensors and needs none is left as it is, to
            be checked by the objective.

        Raises:
            TypeError: If lists of documents have no lists of labels.
            ValueError: If a row has more or fewer labels than documents, or than other rows.
        """
        owner, device, lengths = type(self).__name__, self.model.device, documents.lengths
        is_lists = isinstance(labels, (list, tuple)) and all(isinstance(row, Tensor) and row.dim() for row in labels)
        if lengths is None:
            if not is_lists or not len(labels):
                return labels.to(device) if isinstance(labels, Tensor) else labels
            lengths = [len(labels[0])] * len(labels)
        elif not is_lists and not (isinstance(labels, Tensor) and labels.dim() == 2):
            got = f"a tensor of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(said("no_lists_of_labels", owner, got=got))
        of_rows = [len(own) for own in labels]
        if len(of_rows) != documents.rows:
            raise ValueError(said("rows_of_labels", owner, rows=documents.rows, got=len(of_rows)))
        for row, (length, own) in enumerate(zip(lengths, of_rows, strict=True)):
            if own != length:
                raise ValueError(said("length_of_labels", owner, row=row, length=length, got=own))
        if any(own.is_floating_point() for own in labels) or self.objective.takes_integers(labels):
            labels = [own if own.is_floating_point() else own.float() for own in labels]
        return _padded(labels, lengths, math.nan).to(device)


def _padded(rows: Sequence[Tensor], lengths: Sequence[int], padding: float) -> Tensor:
    """One row for each tensor, those shorter than the longest padded; integers are padded with 0."""
    if min(lengths) == max(lengths):
        return torch.stack(list(rows))
    return pad_sequence(list(rows), batch_first=True, padding_value=padding if rows[0].is_floating_point() else 0)
