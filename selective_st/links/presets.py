"""Presets: what matters, not which function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from selective_st._validation import finite_number, score_interval
from selective_st.links.base import Link, _set
from selective_st.links.kinds import ExponentialLink, PiecewiseLink, SigmoidLink, SinhLink

_UNIT = (0.0, 1.0)
_Preset = TypeVar("_Preset", bound=Callable[..., Link])


def _preset(function: _Preset) -> _Preset:
    """A function whose links are shown by its name, with the arguments that differ from their defaults."""
    signature = inspect.signature(function)

    @wraps(function)
    def make(*args: Any, **kwargs: Any) -> Link:
        link = function(*args, **kwargs)
        shown = []
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            default = signature.parameters[name].default
            text = repr(tuple(map(float, value)) if isinstance(value, Sequence) else float(value))
            if default is inspect.Parameter.empty:
                shown.append(text)
            elif value != default:
                shown.append(f"{name}={text}")
        _set(link, _as_written=f"{function.__name__}({', '.join(shown)})")
        return link

    return make  # type: ignore[return-value]


def _preset_arguments(owner: str, strength: object, score_range: object) -> tuple[float, float, float]:
    checked = finite_number(owner, "strength", strength, positive=True, largest=500)
    if isinstance(score_range, str) or not isinstance(score_range, Sequence) or len(score_range) != 2:
        raise TypeError(f"{owner}: score_range must be a pair of numbers such as (0.0, 1.0), got {score_range!r}.")
    low, high = score_interval(owner, *score_range, names=("score_range[0]", "score_range[1]"))
    return checked, low, high


@_preset
def high_scores(strength: float = 5.0, score_range: tuple[float, float] = _UNIT) -> Link:
    """High scores matter: near-duplicates, the top of a ranking. An `ExponentialLink`, normalised on `score_range`.

    Args:
        strength: The logarithm of how much more the top of the range matters than its bottom: at 5.0, 148 times.
        score_range: The range of the target scores, over which the average sensitivity is 1.

    Returns:
        The link.

    Raises:
        TypeError: If an argument is not a number (a pair of numbers).
        ValueError: If `strength` is not in (0, 500] or the range is empty.

    Example:
        >>> import torch
        >>> from selective_st.links import high_scores
        >>> high_scores().sensitivity(torch.tensor([0.0, 0.5, 0.8, 1.0]))
        tensor([0.0339, 0.4132, 1.8519, 5.0339])
    """
    strength, low, high = _preset_arguments("high_scores", strength, score_range)
    return ExponentialLink(strength / (high - low)).normalized(low, high)


@_preset
def low_scores(strength: float = 5.0, score_range: tuple[float, float] = _UNIT) -> Link:
    """Low scores matter: telling the unrelated from the slightly related. An `ExponentialLink` of negative scale.

    Args:
        strength: The logarithm of how much more the bottom of the range matters than its top: at 5.0, 148 times.
        score_range: The range of the target scores, over which the average sensitivity is 1.

    Returns:
        The link.

    Raises:
        TypeError: If an argument is not a number (a pair of numbers).
        ValueError: If `strength` is not in (0, 500] or the range is empty.

    Example:
        >>> import torch
        >>> from selective_st.links import low_scores
        >>> low_scores().sensitivity(torch.tensor([0.0, 0.5, 1.0]))
        tensor([5.0339, 0.4132, 0.0339])
    """
    strength, low, high = _preset_arguments("low_scores", strength, score_range)
    return ExponentialLink(-strength / (high - low)).normalized(low, high)


@_preset
def extreme_scores(strength: float = 5.0, score_range: tuple[float, float] = _UNIT) -> Link:
    """Both ends of the range matter, its middle little. A `SinhLink` around the middle, normalised on `score_range`.

    Args:
        strength: `scale` times half the width of the range: at 5.0 the ends matter `cosh(5) = 74` times as much as
            the middle.
        score_range: The range of the target scores, over which the average sensitivity is 1.

    Returns:
        The link.

    Raises:
        TypeError: If an argument is not a number (a pair of numbers).
        ValueError: If `strength` is not in (0, 500] or the range is empty.

    Example:
        >>> import torch
        >>> from selective_st.links import extreme_scores
        >>> extreme_scores().sensitivity(torch.tensor([0.0, 0.5, 1.0]))
        tensor([5.0005, 0.0674, 5.0005])
    """
    strength, low, high = _preset_arguments("extreme_scores", strength, score_range)
    return SinhLink(2 * strength / (high - low), (low + high) / 2).normalized(low, high)


@_preset
def middle_scores(strength: float = 5.0, score_range: tuple[float, float] = _UNIT) -> Link:
    """The middle of the range matters, its ends little. A `SigmoidLink` at the middle, normalised on `score_range`.

    Args:
        strength: `scale` times half the width of the range: at 5.0 the middle matters 38 times as much as the ends.
        score_range: The range of the target scores, over which the average sensitivity is 1.

    Returns:
        The link.

    Raises:
        TypeError: If an argument is not a number (a pair of numbers).
        ValueError: If `strength` is not in (0, 500] or the range is empty.

    Example:
        >>> import torch
        >>> from selective_st.links import middle_scores
        >>> middle_scores().sensitivity(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.0674, 2.5339, 0.0674])
    """
    strength, low, high = _preset_arguments("middle_scores", strength, score_range)
    return SigmoidLink(2 * strength / (high - low), (low + high) / 2).normalized(low, high)


@_preset
def score_region(low: float, high: float, strength: float = 10.0, score_range: tuple[float, float] = _UNIT) -> Link:
    """The scores from `low` to `high` matter: around a threshold, say. A `PiecewiseLink`, normalised on `score_range`.

    Within the region the sensitivity is `strength` times that outside; it rises and falls linearly over a tenth of the
    width of `score_range` on either side.

    Args:
        low: Lower end of the region, a score.
        high: Upper end of the region, a score.
        strength: How much more the region matters than the rest.
        score_range: The range of the target scores, over which the average sensitivity is 1.

    Returns:
        The link.

    Raises:
        TypeError: If an argument is not a number (a pair of numbers).
        ValueError: If `strength` is not in (0, 500], a range is empty, or the region leaves `score_range`.

    Example:
        >>> import torch
        >>> from selective_st.links import score_region
        >>> score_region(0.7, 0.9).sensitivity(torch.tensor([0.2, 0.65, 0.8, 0.99]))
        tensor([0.2703, 1.4865, 2.7027, 0.5135])
    """
    strength, bottom, top = _preset_arguments("score_region", strength, score_range)
    low, high = score_interval("score_region", low, high)
    if not (bottom <= low and high <= top):
        raise ValueError(
            f"score_region: the region [{low:g}, {high:g}] must lie within score_range ({bottom:g}, {top:g}). Give the "
            f"range your scores have: score_region({low:g}, {high:g}, score_range=({min(low, bottom):g}, "
            f"{max(high, top):g}))."
        )
    ramp = (top - bottom) / 10
    link = PiecewiseLink((low - ramp, low, high, high + ramp), (1.0, strength, strength, 1.0))
    return link.normalized(bottom, top)
