"""What the metrics take: lists of finite numbers of one length, thresholds, regions, texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from selective_st._validation import finite_number, interval_of, list_of

Floats = npt.NDArray[np.float64]
# Gold scores such as 4.75 / 5 shall reach the threshold 0.95 whatever their last bit, in single precision too.
TIE = 1e-6


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
    if hasattr(values, "detach"):  # a tensor, be it on another device or with a gradient
        values = values.detach().cpu()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be a list of numbers, one for each pair, got {values!r:.60}. Write for example [0.2, 0.9]."
        ) from None
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"{name} must be a non-empty list of numbers, got shape {array.shape}. Give one number for each pair, such "
            "as [0.2, 0.9]."
        )
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


def checked_thresholds(owner: str, name: str, values: Any) -> tuple[float, ...]:
    """Thresholds on gold scores.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        values: What was given.

    Returns:
        The thresholds.

    Raises:
        TypeError: If they are no list of numbers.
    """
    if isinstance(values, (int, float)):
        raise TypeError(f"{owner}: {name} must be a list of thresholds, got {values!r}; use [{values!r}].")
    found = list_of(owner, name, values, "thresholds", "[0.8, 0.95]")
    return tuple(finite_number(owner, f"{name}[{place}]", value) for place, value in enumerate(found))


def range_of_gold(gold: Sequence[float] | Floats) -> tuple[float, float]:
    """The range to cut into bins: 0 to 1, and as far beyond as the gold scores go."""
    return min(0.0, float(np.min(gold))), max(1.0, float(np.max(gold)))


def checked_regions(owner: str, regions: Any) -> tuple[tuple[float, float], ...]:
    """Score regions.

    Args:
        owner: The class or function whose argument it is, for the message.
        regions: What was given.

    Returns:
        The low and the high end of each.

    Raises:
        TypeError: If they are no list of pairs of numbers.
    """
    found = list_of(owner, "regions", regions, "pairs of scores", "[(0.8, 1.0)]")
    if len(found) == 2 and all(isinstance(end, (int, float)) for end in found):
        raise TypeError(
            f"{owner}: regions must be a list of pairs of scores, got one pair: {regions!r}. Write "
            f"regions=[{regions!r}]."
        )
    return tuple(interval_of(owner, f"regions[{place}]", region) for place, region in enumerate(found))


def checked_texts(owner: str, name: str, texts: Any) -> list[Any]:
    """What a model takes: texts, or whatever else it embeds.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        texts: What was given.

    Returns:
        The texts.

    Raises:
        TypeError: If they are one text, no list, or hold None or numbers.
    """
    if isinstance(texts, str):
        raise TypeError(
            f"{owner}: {name} must be a list of texts, got one text: {texts!r:.60}. Write {name}=[{texts!r:.60}]."
        )
    found = list_of(owner, name, texts, "texts", '["a cat", "a dog"]')
    for row, text in enumerate(found):
        if text is None or isinstance(text, (int, float)):
            raise TypeError(
                f"{owner}: {name} must hold texts, got {text!r} in row {row}. Leave the row out, or make it a text: "
                f"str({text!r})."
            )
    return found
