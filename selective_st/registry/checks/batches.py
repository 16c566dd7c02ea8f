"""What rows share: texts that meet in a random batch, and texts that have different labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.checks.scan import Integers, Numbers, Tally, Unsigned

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

    def words(self, columns: str, label: str, names: Sequence[str] = ()) -> str:
        """What is said of them.

        Args:
            columns: The columns of texts.
            label: The label column.
            names: The names of classes.

        Returns:
            A sentence without its full stop.
        """
        shown = [
            ", ".join(f"row {row}: {names[int(value)] if names else format(value, 'g')}" for row, value in example)
            for example in self.examples
        ]
        more = "; ..." if self.groups > len(shown) else ""
        return (
            f"{self.tally.count:,} rows hold the same texts in {columns} as another row, but another label in "
            f"{label!r} ({'; '.join(shown)}{more}): one of them is wrong, or the texts do not tell the label"
        )


def conflicts(
    hashes: Sequence[Unsigned], labels: Numbers, rows: Integers, *, is_ordered: bool = True
) -> Conflicts | None:
    """Find rows with the same texts and different labels.

    Args:
        hashes: For each column a number for each row that stands for its text.
        labels: The labels; NaN where there is none.
        rows: The numbers of the rows.
        is_ordered: Whether two columns that have changed places hold something else.

    Returns:
        What was found; None if there is no such row.

    Example:
        >>> texts = np.array([7, 8, 7, 7], dtype=np.uint64)
        >>> found = conflicts([texts], np.array([0.1, 0.5, 0.9, 0.1]), np.arange(4))
        >>> found.tally.rows, found.repeated
        ((0, 2, 3), 2)
    """
    known = np.flatnonzero(np.isfinite(labels))
    columns = [column[known] for column in hashes]
    if len(columns) == 2 and not is_ordered:
        columns = [np.minimum(*columns), np.maximum(*columns)]
    keys = np.zeros(len(known), dtype=np.uint64)
    for column in columns:
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + column  # modulo 2^64: another multiple for each column
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1]]) if len(order) else order
    if len(starts) == len(order):
        return None
    values = labels[known][order]
    differ = np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts) > _TIE
    if not differ.any():
        return None
    sizes = np.diff(np.r_[starts, len(order)])
    bad = np.zeros(len(labels), dtype=bool)
    bad[known[order[np.repeat(differ, sizes)]]] = True
    tally = Tally()
    tally.add(bad, rows)
    first = sorted(np.flatnonzero(differ), key=lambda group: rows[known[order[starts[group]]]])[:_EXAMPLES]
    members = [known[order[starts[group] : starts[group] + sizes[group]]] for group in first]
    examples = tuple(
        tuple((int(rows[place]), float(labels[place])) for place in group[:_EXAMPLES]) for group in members
    )
    return Conflicts(tally, int(differ.sum()), len(order) - len(starts), examples)
