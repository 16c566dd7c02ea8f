"""Checks of arguments, in one place so that every error reads alike.

Each error names the argument, what it got, what is allowed, and what to write instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from numbers import Integral, Real
from typing import Any

# Parameters of links beyond this overflow every floating-point type at once; such a number is a typing mistake.
LARGEST_PARAMETER = 1e6


def finite_number(
    owner: str,
    name: str,
    value: object,
    *,
    positive: bool = False,
    nonnegative: bool = False,
    largest: float = LARGEST_PARAMETER,
) -> float:
    """Return `value` as a float, or raise.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        value: What was given. Booleans and strings are refused even where Python would convert them.
        positive: Whether 0 and negative numbers are refused.
        nonnegative: Whether negative numbers are refused.
        largest: The largest absolute value allowed.

    Returns:
        The value as a built-in float.

    Raises:
        TypeError: If `value` is not a real number.
        ValueError: If `value` is NaN, infinite, too large, or of the wrong sign.
    """
    allowed = "a finite number"
    if positive:
        allowed = "a finite number > 0"
    elif nonnegative:
        allowed = "a finite number >= 0"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{owner}: {name} must be {allowed}, got {value!r} of type {type(value).__name__}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (positive and number <= 0) or (nonnegative and number < 0):
        raise ValueError(f"{owner}: {name} must be {allowed}, got {number}.")
    if abs(number) > largest:
        raise ValueError(f"{owner}: {name} must be at most {largest:g} in absolute value, got {number:g}.")
    return number + 0.0  # of two zeros keep one


def score_interval(
    owner: str, low: object, high: object, *, names: tuple[str, str] = ("low", "high")
) -> tuple[float, float]:
    """Return `(low, high)` as floats with `low < high`, or raise.

    Args:
        owner: The class or function whose arguments they are, for the message.
        low: The lower end.
        high: The upper end.
        names: The arguments' names, for the message.

    Returns:
        Both ends as built-in floats.

    Raises:
        TypeError: If an end is not a real number.
        ValueError: If an end is not finite, or `low >= high`.
    """
    lower = finite_number(owner, names[0], low)
    upper = finite_number(owner, names[1], high)
    if not lower < upper:
        raise ValueError(
            f"{owner}: {names[0]} must be below {names[1]}, got {lower:g} and {upper:g}. Give a range of some width, "
            "the smaller number first."
        )
    return lower, upper


def instance_of(owner: str, name: str, value: Any, kinds: type[Any] | tuple[type[Any], ...], mend: str) -> Any:
    """Return `value`, or raise unless it is of a kind.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        value: What was given. Booleans are refused where only numbers are allowed.
        kinds: What is allowed.
        mend: What to write instead, a sentence.

    Returns:
        The value.

    Raises:
        TypeError: If it is of no such kind.
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, kinds) and (bool in kinds or int not in kinds or not isinstance(value, bool)):
        return value
    allowed = " or ".join(kind.__name__ for kind in kinds)
    raise TypeError(f"{owner}: {name} must be of type {allowed}, got {_shown(value)}. {mend}")


def whole_number(owner: str, name: str, value: Any, *, least: int = 0) -> int:
    """Return `value` as an int, or raise.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        value: What was given. Booleans and floats are refused.
        least: The smallest number allowed.

    Returns:
        The value.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{owner}: {name} must be a whole number of at least {least}, got {_shown(value)}. Write {name}={least}, "
            "or more."
        )
    if value < least:
        raise ValueError(
            f"{owner}: {name} must be a whole number of at least {least}, got {value}. Write {name}={least}, or more."
        )
    return int(value)


def list_of(
    owner: str, name: str, value: Any, what: str, example: str, is_one: Callable[[Any], bool] | None = None
) -> list[Any]:
    """Return what `value` holds as a list, or raise; a text is no list, nor is a set, which has no order.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        value: What was given.
        what: What it holds, in the plural.
        example: What to write instead.
        is_one: Tells whether something is one of these, of which there must be at least one. Default: not checked.

    Returns:
        The list.

    Raises:
        TypeError: If it is no list or the like.
        ValueError: If it is empty, or holds something else.
    """
    try:
        found = None if isinstance(value, (str, bytes, Mapping, set, frozenset)) else list(value)
    except TypeError:
        found = None
    if found is None:
        raise TypeError(f"{owner}: {name} must be a list of {what}, got {_shown(value)}. Write {name}={example}.")
    if is_one is not None and not (found and all(map(is_one, found))):
        raise ValueError(f"{owner}: {name} must hold {what}, at least one, got {value!r:.60}. Write {name}={example}.")
    return found


def interval_of(owner: str, name: str, value: Any) -> tuple[float, float]:
    """Return both ends of an argument that is a pair of numbers, or raise.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        value: What was given.

    Returns:
        Both ends as built-in floats, the lower one first.

    Raises:
        TypeError: If it is no pair, or an end is not a real number.
        ValueError: If an end is not finite, or the first is not below the second.
    """
    ends = list_of(owner, name, value, "two numbers", "(0, 1)")
    if len(ends) != 2:
        raise ValueError(f"{owner}: {name} must be two numbers, got {_shown(value)}. Write {name}=(0, 1).")
    return score_interval(owner, *ends, names=(f"{name}[0]", f"{name}[1]"))


def one_of(
    owner: str, name: str, value: Any, allowed: Sequence[Any], mend: str = "", shown: Callable[[Any], str] = str
) -> Any:
    """Return `value`, or raise unless it is one of a few.

    Args:
        owner: The class or function whose argument it is, for the message.
        name: The argument's name, for the message.
        value: What was given.
        allowed: What it may be.
        mend: What to write instead, a sentence. Default: the first text of these.
        shown: How each of these is written.

    Returns:
        The value.

    Raises:
        ValueError: If it is none of these.
    """
    if value not in tuple(allowed):
        mend = mend or f'Write {name}="{next(filter(None, allowed))}".'
        raise ValueError(f"{owner}: {name} must be one of {', '.join(map(shown, allowed))}, got {value!r}. {mend}")
    return value


def same_length(owner: str, mend: str, **lists: Sized) -> None:
    """Raise unless lists have the same length.

    Args:
        owner: The class or function whose arguments they are, for the message.
        mend: What to give instead, a sentence.
        **lists: The lists, by the arguments' names.

    Raises:
        ValueError: If one has another length.
    """
    sizes = [str(len(of)) for of in lists.values()]
    if len({*sizes}) > 1:
        names, got = (" and ".join([", ".join(each[:-1]), each[-1]]) for each in ([*lists], sizes))
        raise ValueError(f"{owner}: {names} must have the same length, got {got}. {mend}")


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"
