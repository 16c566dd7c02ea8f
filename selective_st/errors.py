"""The error of data that are not as they must be."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5  # rows named in a message


class DataError(ValueError):
    """Something is wrong with the user's data; the message says what, where, and what mends it."""


def shown_rows(rows: Sequence[int], noun: str = "row") -> str:
    """The numbers of rows for a message, the first few.

    Args:
        rows: The numbers.
        noun: What they count.

    Returns:
        The numbers after the noun, which is in the plural where there are several.

    Example:
        >>> shown_rows([3])
        'row 3'
        >>> shown_rows([1, 2, 3, 5, 8, 13, 21])
        'rows 1, 2, 3, 5, 8 and 2 more'
    """
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    return f"{noun}{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_SHOWN]))}{more}"
