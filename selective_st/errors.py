"""The error of data that are not as they must be."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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


def first_line(error: BaseException) -> str:
    """What an error says, in a line; the kind of error where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def loading(failure: str, mend: str) -> Iterator[None]:
    """While a model is loaded: the hub client raises many kinds of errors, which all mean that it cannot be had."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{failure} ({type(error).__name__}: {first_line(error)}). Give {mend}") from error


def literal(value: Any) -> str:
    """A value as code, texts in double quotes.

    Args:
        value: A text, a number, None, or a list or dict of these.

    Returns:
        The code.

    Example:
        >>> literal(("a", 1, None))
        '["a", 1, None]'
        >>> literal({"yes": 1.0})
        '{"yes": 1.0}'
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # such a text is a literal of Python too
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{literal(key)}: {literal(item)}' for key, item in value.items())}}}"
    return repr(value)
