"""Weights of rows: a column of a dataset that says how much each row counts.

The losses of this package take the weights of a batch beside its labels, `{"label": labels, "weight": weight}`, and
their mean is weighted. So that the trainer gives them such, its data collator is told once:

    trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss)
    trainer.data_collator = with_row_weights(trainer.data_collator)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any

import torch

from selective_st._templates import say

__all__ = ["WEIGHT_COLUMNS", "RowWeights", "with_row_weights"]

WEIGHT_COLUMNS = ("weight", "sample_weight")


class RowWeights:
    """A data collator that takes a column of weights out of the rows, and gives it beside the labels.

    Args:
        collator: The trainer's own, which does the rest.
        columns: The names that the column may have. One of these that holds texts is left as it is.
    """

    def __init__(self, collator: Callable[..., dict[str, Any]], columns: Sequence[str] = WEIGHT_COLUMNS) -> None:
        self.collator = collator
        self.columns = tuple(columns)

    @property
    def valid_label_columns(self) -> list[str]:
        """The names of columns that are no texts, which the trainer's samplers ask for."""
        return [*getattr(self.collator, "valid_label_columns", []), *self.columns]

    def __getattr__(self, name: str) -> Any:
        """What else the collator has."""
        if name == "collator":  # not there yet, in the making of a copy
            raise AttributeError(name)
        return getattr(self.collator, name)

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate rows.

        Args:
            features: The rows.

        Returns:
            The batch, with the labels and the weights under `label` where there are weights.

        Raises:
            ValueError: If there are two columns of weights.
        """
        found = [name for name in self.columns if features and all(map(partial(_has_weight, name), features))]
        if not found:
            return self.collator(features)
        if len(found) > 1:
            raise ValueError(say("two_weights", found=found))
        (name,) = found
        batch = self.collator([{key: value for key, value in row.items() if key != name} for row in features])
        labels = {"label": batch["label"]} if "label" in batch else {}
        weights = [math.nan if row[name] is None else float(row[name]) for row in features]
        return {**batch, "label": {**labels, "weight": torch.tensor(weights)}}


def _has_weight(name: str, row: Mapping[str, Any]) -> bool:
    """Whether a row has a number there, or None where one is missing, of which the loss tells."""
    return name in row and isinstance(row[name], Real | torch.Tensor | None)


def with_row_weights(
    collator: Callable[..., dict[str, Any]], columns: Sequence[str] | str = WEIGHT_COLUMNS
) -> RowWeights:
    """A data collator for a dataset with a column of weights, `weight` or `sample_weight`.

    Args:
        collator: The trainer's data collator.
        columns: The name of the column, or names that it may have.

    Returns:
        The collator; the losses of this package then weigh the rows, those of Sentence Transformers do not take it.

    Raises:
        TypeError: If the collator cannot be called.

    Example:
        >>> collator = with_row_weights(lambda rows: {"label": torch.tensor([row["score"] for row in rows])})
        >>> collator([{"score": 0.5, "weight": 2.0}, {"score": 1.0, "weight": 1.0}])
        {'label': {'label': tensor([0.5000, 1.0000]), 'weight': tensor([2., 1.])}}
    """
    if not callable(collator):
        mend = "Write with_row_weights(trainer.data_collator)."
        raise TypeError(f"with_row_weights: collator must be a data collator, got {collator!r:.60}. {mend}")
    return RowWeights(collator, (columns,) if isinstance(columns, str) else columns)
