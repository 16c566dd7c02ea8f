"""What the losses for a CrossEncoder share: from texts to scores, and from lists of labels to a padded matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.util import batch_to_device, fullname
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from selective_st.functional._common import at_least_single, without_autocast
from selective_st.links import ConstantLink, Interval, Link, SigmoidLink
from selective_st.losses._objectives import Objective, ScoreSpace

# The ranges that these cannot leave; of any other activation none is known.
_RANGES: dict[type[nn.Module], Interval] = {
    nn.Sigmoid: Interval(0.0, 1.0),
    nn.Tanh: Interval(-1.0, 1.0),
    nn.ReLU: Interval(0.0, math.inf),
    nn.Softplus: Interval(0.0, math.inf),
}
_LOGITS = ScoreSpace("the model's logits", sign=0)


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


class CrossEncoderLoss(Objective):
    """Reads the texts of a batch, scores them, and brings labels into the scores' shape.

    Attributes:
        model: The CrossEncoder to train.
        activation_fn: Applied to the logits.
        mini_batch_size: How many pairs the model reads at once: None for as many as the batch has rows, 0 and below for
            all.
    """

    model_type = CrossEncoder
    model: CrossEncoder
    activation_fn: nn.Module
    mini_batch_size: int | None = None

    def _set_model(self, owner: str, model: CrossEncoder, *, classes: bool = False) -> None:
        """Keep the model, if it has as many output labels as the loss needs.

        Args:
            owner: The loss, for messages.
            model: The model, known to be one.
            classes: Whether it needs an output label for each class, rather than a single one.

        Raises:
            ValueError: If it has another number of output labels.
        """
        outputs = getattr(model, "num_labels", None)  # a wrapped model may not tell
        if outputs is not None and (outputs == 1) is classes:
            needs, use = (
                ("one output label for each class", "SelectivePointwiseLoss for a single score")
                if classes
                else ("1 output label", "SelectiveCrossEntropyLoss for classes")
            )
            raise ValueError(
                f"{owner}: model must have {needs}, but has {outputs}. Load it with CrossEncoder(name, num_labels="
                f"{'...' if classes else '1'}), or use {use}."
            )
        self.model = model

    def _set_activation(self, owner: str, activation_fn: nn.Module | None) -> ScoreSpace:
        """Keep the activation function.

        Args:
            owner: The loss, for messages.
            activation_fn: What was given; None for none.

        Returns:
            The space of the scores that it gives.

        Raises:
            TypeError: If it is no module.
        """
        if activation_fn is None:
            activation_fn = nn.Identity()
        if not isinstance(activation_fn, nn.Module):
            hint = " Write link=...." if isinstance(activation_fn, Link) else " Use for example torch.nn.Sigmoid()."
            got = "a link" if isinstance(activation_fn, Link) else repr(activation_fn)
            raise TypeError(f"{owner}: activation_fn must be a torch.nn.Module, got {got}.{hint}")
        self.activation_fn = activation_fn
        kind = type(activation_fn)
        return _LOGITS if kind is nn.Identity else ScoreSpace(kind.__name__, _RANGES.get(kind, _LOGITS.range))

    def _set_mini_batches(self, owner: str, mini_batch_size: int | None) -> None:
        """Keep the size of mini-batches.

        Args:
            owner: The loss, for messages.
            mini_batch_size: What was given.

        Raises:
            TypeError: If it is no whole number.
        """
        if mini_batch_size is not None and (isinstance(mini_batch_size, bool) or not isinstance(mini_batch_size, int)):
            raise TypeError(
                f"{owner}: mini_batch_size must be a whole number of pairs, None for as many as the batch has rows, "
                f"or 0 for all at once; got {mini_batch_size!r}."
            )
        self.mini_batch_size = mini_batch_size

    def _check_batch(self, rows: int) -> None:
        """Raise a ValueError if there are no rows."""
        if not rows:
            raise ValueError(f"{type(self).__name__}: got an empty batch; inputs must hold at least one row.")

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
        queries, columns = (inputs[0] if inputs else ()), inputs[1:]
        rows = len(queries)
        if columns:
            self._check_batch(rows)
        if len(columns) != 1 or not isinstance(columns[0][0], (list, tuple)):
            self._check_columns(len(inputs), rows)
            pairs = [pair for column in columns for pair in zip(queries, column, strict=True)]
            return Documents(pairs, rows, None)
        lists = columns[0]
        for row, documents in enumerate(lists):
            if not isinstance(documents, (list, tuple)):
                raise TypeError(
                    f"{type(self).__name__}: inputs must hold a list of documents in every row, but row {row} of the "
                    f"batch has {type(documents).__name__}. Write [document] for a single one."
                )
            if not documents:
                raise ValueError(
                    f"{type(self).__name__}: inputs must hold documents for every query, but the list of row {row} of "
                    "the batch is empty. Leave such rows out: dataset.filter(lambda row: row['documents'])."
                )
        pairs = [(query, document) for query, documents in zip(queries, lists, strict=True) for document in documents]
        return Documents(pairs, rows, [len(documents) for documents in lists])

    def _outputs(self, pairs: Sequence[tuple[Any, Any]], rows: int, prompt: str | None, task: str | None) -> Tensor:
        """What the model gives for each pair, in at least single precision, after the activation.

        Args:
            pairs: Pairs of texts.
            rows: How many rows the batch has.
            prompt: Passed to the model's preprocessing.
            task: Passed to the model's preprocessing.

        Returns:
            Scores of shape (pairs, output labels).
        """
        size = rows if self.mini_batch_size is None else self.mini_batch_size
        if size <= 0:
            size = len(pairs)
        parts = list(self._parts(pairs, size, prompt, task))
        return self._activated(parts[0] if len(parts) == 1 else torch.cat(parts))

    def _activated(self, logits: Tensor) -> Tensor:
        """Logits after the activation, in at least single precision."""
        # A logit of 5 in bfloat16 is 5 +- 0.02: too coarse for a loss that cares about a region.
        with without_autocast(logits.device.type):
            activated: Tensor = self.activation_fn(at_least_single(logits))
        return activated

    def _parts(
        self, pairs: Sequence[tuple[Any, Any]], size: int, prompt: str | None, task: str | None
    ) -> Iterator[Tensor]:
        for begin in range(0, len(pairs), size):
            features = self.model.preprocess(pairs[begin : begin + size], prompt=prompt, task=task)
            yield self.model(batch_to_device(features, self.model.device))["scores"]

    def _scores(self, documents: Documents, prompt: str | None, task: str | None) -> Tensor:
        """The scores of a batch.

        Args:
            documents: Its documents.
            prompt: Passed to the model's preprocessing.
            task: Passed to the model's preprocessing.

        Returns:
            Scores of shape (rows, documents), 0 where a list is padded; (rows,) for a single column of documents.
        """
        scores = self._outputs(documents.pairs, documents.rows, prompt, task).view(-1)
        if documents.lengths is None:
            return scores if len(scores) == documents.rows else scores.view(-1, documents.rows).T
        return _padded(scores.split(documents.lengths), documents.lengths, 0.0)

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
        owner = type(self).__name__
        device = self.model.device
        lengths = documents.lengths
        is_lists = isinstance(labels, (list, tuple)) and all(isinstance(row, Tensor) and row.dim() for row in labels)
        if lengths is None:
            if not is_lists or not len(labels):
                return labels.to(device) if isinstance(labels, Tensor) else labels
            lengths = [len(labels[0])] * len(labels)
        elif not is_lists and not (isinstance(labels, Tensor) and labels.dim() == 2):
            got = f"a tensor of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(
                f"{owner}: labels must be a list for each row, with a label for each of its documents, got {got}. The "
                'dataset needs a column of lists named "label", "labels", "score" or "scores".'
            )
        if len(labels) != documents.rows:
            raise ValueError(
                f"{owner}: labels must hold a list for each of the {documents.rows} rows, got {len(labels)} lists."
            )
        for row, (own, length) in enumerate(zip(labels, lengths, strict=True)):
            if len(own) != length:
                what = "documents" if documents.lengths else "labels as the first row"
                raise ValueError(
                    f"{owner}: labels must hold one number for each document, but row {row} of the batch has {length} "
                    f"{what} and {len(own)} label(s). Mend that row, or leave it out."
                )
        if any(own.is_floating_point() for own in labels) or self._takes_integers(labels):
            labels = [own if own.is_floating_point() else own.float() for own in labels]
        return _padded(labels, lengths, math.nan).to(device)

    def _takes_integers(self, labels: Sequence[Tensor]) -> bool:
        """Whether these lists of integers can be taken as the floats that they equal."""
        return False

    def _activation_config(self) -> dict[str, Any]:
        """The activation function, JSON-serialisable."""
        return {"activation_fn": fullname(self.activation_fn)}


def _padded(rows: Sequence[Tensor], lengths: Sequence[int], padding: float) -> Tensor:
    """One row for each tensor, those shorter than the longest padded; integers are padded with 0."""
    if min(lengths) == max(lengths):
        return torch.stack(list(rows))
    return pad_sequence(list(rows), batch_first=True, padding_value=padding if rows[0].is_floating_point() else 0)


def logit_list_link(space: ScoreSpace) -> Link | None:
    """The default link of a loss on lists of scores without an upper end; None where there is one.

    It rises from 0.5 to 1.5, with the value 1 at the logit 0: high logits matter, up to three times as much as low
    ones, but low ones are not forgotten, and temperatures and scales keep their meaning.

    Args:
        space: Where the scores come from.

    Returns:
        The link.
    """
    return None if space.range.high <= 1 else 0.5 * ConstantLink() + SigmoidLink(scale=1.0, shift=0.0)
