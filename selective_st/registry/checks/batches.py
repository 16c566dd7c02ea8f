"""What rows share: texts that meet in a random batch, and texts that have different labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.checks.scan import Integers, Numbers, Tally, Unsigned, scan
from selective_st.registry.table import tables

_EXAMPLES = 3  # of conflicts are shown
_TIE = 1e-9  # labels that differ by less are equal


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
    matches: NDArray[np.int64] = sum((np.bincount(code)[code] - 1 for code in codes), np.zeros(len(codes[0]), np.int64))
    if len(codes) == 2:  # rows that share both texts were counted twice
        pairs = codes[0].astype(np.int64) * (int(codes[1].max()) + 1) + codes[1]
        _, places, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
        matches -= sizes[places] - 1
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
    values, counts = np.unique(matches, return_counts=True)
    others = len(matches) - 1
    return float(np.average(1 - meets_none(others, values, min(batch_size - 1, others)), weights=counts))


def meets_none(others: int, matches: Any, drawn: int) -> Numbers:
    """The probability that none of the matches is among the rows drawn from the others."""
    from scipy.special import gammaln  # late: the command line loads this module for its help too

    left = others - matches
    # Of fewer rows than are drawn, the logarithm is minus infinity.
    among_left = gammaln(left + 1) - gammaln(np.maximum(left - drawn + 1, 0))
    found: Numbers = np.exp(among_left - (gammaln(others + 1) - gammaln(others - drawn + 1)))
    return found


@dataclass(frozen=True)
class Conflicts:
    """Rows that hold the same texts with different labels.

    Attributes:
        tally: The rows.
        groups: How many different texts, or pairs of texts, they hold.
        repeated: How many rows of the data repeat the texts of an earlier row, with whatever label.
        examples: For some of them, the rows and their labels.
    """

    tally: Tally
    groups: int
    repeated: int
    examples: tuple[tuple[tuple[int, float], ...], ...]


def conflicts(
    hashes: Sequence[Unsigned], labels: Numbers, rows: Integers, *, is_ordered: bool = True
) -> Conflicts | None:
    """Find rows with the same texts and different labels."""
    known = np.flatnonzero(np.isfinite(labels))
    known = known[np.argsort(rows[known], kind="stable")]
    columns = [column[known] for column in hashes]
    if len(columns) == 2 and not is_ordered:
        columns = [np.minimum(*columns), np.maximum(*columns)]
    keys = np.zeros(len(known), dtype=np.uint64)
    for column in columns:
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + column  # modulo 2^64: another multiple for each column
    different, group = np.unique(keys, return_inverse=True)
    lows, highs = np.full(len(different), np.inf), np.full(len(different), -np.inf)
    np.minimum.at(lows, group, labels[known])
    np.maximum.at(highs, group, labels[known])
    bad = np.flatnonzero((highs - lows > _TIE)[group])
    if not len(bad):
        return None
    groups, firsts = np.unique(group[bad], return_index=True)
    members = (known[bad[group[bad] == one]][:_EXAMPLES] for one in group[bad[np.sort(firsts)[:_EXAMPLES]]])
    examples = tuple(tuple((int(rows[place]), float(labels[place])) for place in places) for places in members)
    return Conflicts(Tally(rows[known[bad]]), len(groups), len(known) - len(different), examples)


def conflicting_rows(data: object, inputs: tuple[str, ...], label: str, *, is_ordered: bool = True) -> Conflicts | None:
    """Find rows that hold the same texts with different labels.

    Args:
        data: A single dataset, as for `check_dataset`.
        inputs: The columns of texts.
        label: The label column: numbers, or texts that say numbers or classes.
        is_ordered: Whether two texts that have changed places are another pair.

    Returns:
        What was found; None if there is no such row.

    Example:
        >>> data = {"a": ["x", "y", "x"], "b": ["p", "q", "p"], "score": [0.2, 0.5, 0.9]}
        >>> found = conflicting_rows(data, ("a", "b"), "score")
        >>> found.tally.count, found.examples
        (2, (((0, 0.2), (2, 0.9)),))
    """
    (table,) = tables(data)
    seen = scan(table, inputs, label, inputs)
    hashes = [texts.hashes for texts in seen.texts.values() if texts.hashes is not None]
    if seen.labels is None or len(hashes) < len(inputs):
        return None
    return conflicts(hashes, seen.labels.numbers, seen.rows, is_ordered=is_ordered)
