"""What the metrics take: lists of finite numbers of one length, thresholds, regions, texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from selective_st._validation import finite_number, interval_of, list_of, same_length

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Gold scores such as 4.75 / 5 shall reach the threshold 0.95 whatever their last bit, in single precision too.
TIE = 1e-6


def checked_scores(name: str, values: Any) -> Floats:
    """The values as an array, or raise unless they are a non-empty list of finite numbers."""
    if hasattr(values, "detach"):  # a tensor, be it on another device or with a gradient
        values = values.detach().cpu()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or not array.size:
        mend = "Write for example [0.2, 0.9]."
        raise ValueError(f"{name} must be a list of numbers, at least one, got {values!r:.60}. {mend}")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"{name} must hold finite numbers, got {array[row]} in row {row}.")
    return array


def checked_pair(gold: Any, predicted: Any, names: tuple[str, str] = ("gold", "predicted")) -> tuple[Floats, Floats]:
    """Gold and predicted scores as arrays, or raise unless they are as many finite numbers."""
    first, second = map(checked_scores, names, (gold, predicted))
    same_length("scores", "Give both for each pair.", **dict(zip(names, (first, second), strict=True)))
    return first, second


def checked_weights(owner: str, weight: Any, pairs: int) -> Floats:
    """The weights of pairs, all 1 where none are given; or raise unless they are as many numbers >= 0, not all 0."""
    weights = np.ones(pairs) if weight is None else checked_scores("weight", weight)
    if len(weights) != pairs or weights.min() < 0 or not weights.any():
        allowed = f"a number >= 0 for each of {pairs} pairs, not all 0"
        mend = "Leave it out where all pairs count alike."
        raise ValueError(f"{owner}: weight must hold {allowed}, got {weight!r:.60}. {mend}")
    return weights


def checked_thresholds(owner: str, name: str, values: Any) -> tuple[float, ...]:
    """Thresholds on gold scores, or raise unless they are a list of numbers."""
    found = list_of(owner, name, values, "thresholds", "[0.8, 0.95]")
    return tuple(finite_number(owner, f"{name}[{place}]", value) for place, value in enumerate(found))


def checked_regions(owner: str, regions: Any) -> tuple[tuple[float, float], ...]:
    """The low and the high end of score regions, or raise unless they are a list of pairs of numbers."""
    found = list_of(owner, "regions", regions, "pairs of scores", "[(0.8, 1.0)]")
    return tuple(interval_of(owner, f"regions[{place}]", region) for place, region in enumerate(found))


def checked_texts(owner: str, name: str, texts: Any) -> list[Any]:
    """Texts, or whatever else a model embeds; or raise if they are one text, no list, or hold None or numbers."""
    found = list_of(owner, name, texts, "texts", '["a cat", "a dog"]')
    for row, text in enumerate(found):
        if text is None or isinstance(text, (int, float)):
            mend = f"Leave the row out, or make it a text: str({text!r})."
            raise TypeError(f"{owner}: {name} must hold texts, got {text!r} in row {row}. {mend}")
    return found


def range_of_gold(gold: Sequence[float] | Floats) -> tuple[float, float]:
    """The range to cut into bins: 0 to 1, and as far beyond as the gold scores go."""
    return min(0.0, float(np.min(gold))), max(1.0, float(np.max(gold)))
