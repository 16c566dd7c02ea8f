"""What the metrics take: lists of finite numbers of one length."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Gold scores such as 4.75 / 5 shall reach the threshold 0.95 whatever their last bit.
TIE = 1e-9


def checked_scores(name: str, values: Any) -> Floats:
    """The values as an array.

    Args:
        name: What they are, for the message.
        values: What was given.

    Returns:
        The array.

    Raises:
        ValueError: If they are no non-empty list of finite numbers.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must be a non-empty list of numbers, got shape {array.shape}.")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must hold finite numbers, got {array[row]} in row {row}.")
    return array


def checked_pair(gold: Any, predicted: Any) -> tuple[Floats, Floats]:
    """Gold and predicted scores as arrays.

    Args:
        gold: The gold scores.
        predicted: The predicted scores.

    Returns:
        Both arrays.

    Raises:
        ValueError: If one is no non-empty list of finite numbers, or they differ in length.
    """
    of_gold, of_predicted = checked_scores("gold", gold), checked_scores("predicted", predicted)
    if of_gold.shape != of_predicted.shape:
        raise ValueError(f"gold and predicted must have the same length, got {len(of_gold)} and {len(of_predicted)}.")
    return of_gold, of_predicted
