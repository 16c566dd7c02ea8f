"""What random batches hold: rows with the same text, rows of the same class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def matching_rows(codes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """How many other rows share a text with each row.

    Args:
        codes: For one column, or two, a number for each row that stands for its text.

    Returns:
        For each row the number of other rows with the same text in a column.

    Example:
        >>> matching_rows([np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])]).tolist()
        [1, 2, 1, 0]
    """
    counts = [np.bincount(code)[code] for code in codes]
    matches: NDArray[np.int64] = sum((count - 1 for count in counts), np.zeros(len(codes[0]), dtype=np.int64))
    if len(codes) == 2:
        # Rows that share both texts were counted twice.
        twice = np.flatnonzero((counts[0] > 1) & (counts[1] > 1))
        pairs = codes[0][twice].astype(np.int64) * (int(codes[1].max()) + 1) + codes[1][twice]
        _, places, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
        matches[twice] -= sizes[places] - 1
    return matches


def false_negative_rate(matches: NDArray[np.int64], batch_size: int) -> float:
    """The share of the rows of a random batch that meet a row which shares a text with them.

    Args:
        matches: For each row of the dataset, how many others share a text with it.
        batch_size: How many rows a batch has, drawn without replacement.

    Returns:
        The expected share, exactly: the mean over the rows of `1 - C(N - 1 - c, B - 1) / C(N - 1, B - 1)`.

    Example:
        >>> false_negative_rate(np.array([1, 1, 0, 0]), 2)  # of two rows with one text, one finds the other in 1 of 3
        0.166...
    """
    rows = len(matches)
    drawn = min(batch_size, rows) - 1
    values, counts = np.unique(matches, return_counts=True)
    meets = [1.0 - math.exp(log_no_match(rows - 1, int(value), drawn)) for value in values]
    return float(np.dot(meets, counts) / rows)


def log_no_match(others: int, matches: int, drawn: int) -> float:
    """The logarithm of the probability that none of the matches is among the rows drawn from the others.

    Args:
        others: How many rows there are to draw from.
        matches: How many of them match.
        drawn: How many are drawn, without replacement.

    Returns:
        The logarithm.

    Example:
        >>> round(math.exp(log_no_match(others=4, matches=1, drawn=2)), 6)
        0.5
    """
    if matches == 0 or drawn == 0:
        return 0.0
    if others - matches < drawn:
        return -math.inf
    return (
        math.lgamma(others - matches + 1)
        - math.lgamma(others - matches - drawn + 1)
        - math.lgamma(others + 1)
        + math.lgamma(others - drawn + 1)
    )
