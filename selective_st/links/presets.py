"""Presets: what matters, not which function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

import torch

from selective_st._validation import finite_number, interval_of, same_length, score_interval
from selective_st.links._numerics import numbers_of
from selective_st.links.base import Link, _set
from selective_st.links.combined import WeightedSumLink
from selective_st.links.kinds import ExponentialLink, IdentityLink, PiecewiseLink, SigmoidLink, SinhLink

_UNIT = (0.0, 1.0)
_Preset = TypeVar("_Preset", bound=Callable[..., Link])


def _preset(function: _Preset) -> _Preset:
    """A preset, by the function that makes its link from checked arguments.

    The link is normalised on the range of the scores, and shown by the function's name, with the arguments that differ
    from their defaults.
    """
    owner, signature = function.__name__, inspect.signature(function)
    defaults = {name: each.default for name, each in signature.parameters.items() if each.default is not each.empty}

    @wraps(function)
    def make(*args: Any, **kwargs: Any) -> Link:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{owner}: {error}.") from None
        values = {**defaults, **given}
        if "strength" in values:
            values["strength"] = finite_number(owner, "strength", values["strength"], positive=True, largest=500)
        values["score_range"] = interval_of(owner, "score_range", values["score_range"])
        link = function(**values).normalized(*values["score_range"])
        required = [value for name, value in given.items() if name not in defaults]
        written = {name: _written(given[name]) for name in given if name in defaults}
        changed = [f"{name}={text}" for name, text in written.items() if text != _written(defaults[name])]
        code = f"{owner}({', '.join([*map(_written, required), *changed])})"
        _set(link, _as_written=code, _preset=(owner, code, required))
        return link

    return make  # type: ignore[return-value]


def _written(value: Any) -> str:
    """An argument of a preset as code: a number, several, or None."""
    if value is None:
        return "None"
    return repr(tuple(map(float, value)) if isinstance(value, Iterable) else float(value))


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
    low, high = score_range
    return ExponentialLink(strength / (high - low))


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
    low, high = score_range
    return ExponentialLink(-strength / (high - low))


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
    low, high = score_range
    return SinhLink(2 * strength / (high - low), (low + high) / 2)


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
    low, high = score_range
    return SigmoidLink(2 * strength / (high - low), (low + high) / 2)


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
    bottom, top = score_range
    low, high = score_interval("score_region", low, high)
    if not (bottom <= low and high <= top):
        what = f"the region [{low:g}, {high:g}] must lie within score_range ({bottom:g}, {top:g})"
        code = f"score_region({low:g}, {high:g}, score_range=({min(low, bottom):g}, {max(high, top):g}))"
        raise ValueError(f"score_region: {what}. Give the range your scores have: {code}.")
    ramp = (top - bottom) / 10
    return PiecewiseLink((low - ramp, low, high, high + ramp), (1.0, strength, strength, 1.0))


@_preset
def link_for_thresholds(
    thresholds: Sequence[float],
    weights: Sequence[float] | None = None,
    width: float = 0.05,
    elsewhere: float = 0.1,
    score_range: tuple[float, float] = _UNIT,
) -> Link:
    """The thresholds that one will decide at matter: a `SigmoidLink` at each, and a floor; normalised on `score_range`.

    A link's sensitivity is the density of the thresholds that one will decide at: the matching loss is the expected
    loss of these decisions, which `selective_st.evaluation.threshold_curve` shows. So tell where you will cut.

    Args:
        thresholds: The thresholds, on the scale of the target scores.
        weights: How much each matters against the others. Default: all alike.
        width: How widely a threshold's weight is spread around it, in scores: the sensitivity of each is a logistic
            hump of scale `1 / width`, half as high as its top 1.76 widths away.
        elsewhere: The sensitivity of the floor (an `IdentityLink`, for all other scores), as a share of the highest: 0
            for none, 1 for nothing but the floor.
        score_range: The range of the target scores, over which the average sensitivity is 1.

    Returns:
        The link.

    Raises:
        TypeError: If an argument is not a number (a list, a pair of numbers).
        ValueError: If there are no thresholds or one lies outside the range, there are not as many weights, a weight or
            `width` is not positive, or `elsewhere` is not from 0 to 1.

    Example:
        >>> import torch
        >>> from selective_st.links import link_for_thresholds
        >>> link = link_for_thresholds([0.8])
        >>> link
        link_for_thresholds((0.8,))
        >>> link.sensitivity(torch.tensor([0.0, 0.7, 0.8, 0.9]))
        tensor([0.3613, 1.7270, 3.6132, 1.7270])
    """
    owner, (low, high) = "link_for_thresholds", score_range
    places = numbers_of(owner, "thresholds", thresholds)
    outside = [place for place in places if not low <= place <= high]
    if not places:
        raise ValueError(f"{owner}: give at least one threshold, for example {owner}([0.85]).")
    if outside:
        what = f"thresholds must lie within score_range ({low:g}, {high:g}), got {outside[0]:g}"
        wider = f"score_range=({min(low, *outside):g}, {max(high, *outside):g})"
        raise ValueError(f"{owner}: {what}. Give the range your scores have: {wider}.")
    shares = [1.0] * len(places) if weights is None else numbers_of(owner, "weights", weights, positive=True)
    same_length(owner, "Leave weights out where all thresholds matter alike.", thresholds=places, weights=shares)
    width = finite_number(owner, "width", width, positive=True)
    floor = finite_number(owner, "elsewhere", elsewhere, nonnegative=True)
    if floor > 1:
        raise ValueError(f"{owner}: elsewhere must be from 0 to 1, got {floor:g}. Write elsewhere=0.1.")
    humps = WeightedSumLink(tuple(shares), tuple(SigmoidLink(1 / width, place) for place in places))
    parts: list[Link] = [(1 - floor) * humps] if floor < 1 else []
    parts += [floor * _highest_sensitivity(humps, places) * IdentityLink()] if floor > 0 else []
    return sum(parts[1:], parts[0])


def _highest_sensitivity(humps: Link, places: Sequence[float]) -> float:
    """The highest sensitivity of humps of one width: at one of them, or between where they run into each other."""
    low, high = min(places), max(places)
    grid = torch.linspace(low, high, 2001, dtype=torch.float64)
    scores = torch.cat([torch.tensor(places, dtype=torch.float64), grid])
    best = scores[humps.sensitivity(scores).argmax()]
    return float(humps.sensitivity(best + (grid - (low + high) / 2) / 1000).max())
