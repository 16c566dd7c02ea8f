"""Links made of links."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._autograd import answers_at_once
from selective_st._validation import finite_number, list_of, same_length, score_interval
from selective_st.links._numerics import _LARGEST_SCORE, Interval
from selective_st.links.base import _DEEPEST_NESTING, Link, _set, register_link

_LARGEST_WEIGHT = 1e300


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class WeightedSumLink(Link):
    """The sum of links with positive weights: their sensitivities, potentials and losses add up likewise.

    Written with operators: `0.3 * IdentityLink() + SigmoidLink(20, 0.8)`. Domain: where all links are defined.

    Args:
        weights: One positive number for each link.
        links: The links.

    Raises:
        TypeError: If a link is not a `Link` or a weight not a number.
        ValueError: If a weight is not positive, the lengths differ, the domains do not meet, or a link decreases.

    Example:
        >>> import torch
        >>> from selective_st.links import IdentityLink, SigmoidLink
        >>> (0.3 * IdentityLink() + SigmoidLink(20, 0.8)).sensitivity(torch.tensor([0.5, 0.8]))
        tensor([0.3493, 5.3000])
    """

    weights: tuple[float, ...]
    links: tuple[Link, ...]
    _parts: ClassVar[tuple[tuple[float, Link], ...]]  # with the weights in the links where they belong into an exponent

    def __post_init__(self) -> None:
        owner = "WeightedSumLink"
        given = list_of(owner, "weights", self.weights, "numbers", "[0.3, 1.0]", lambda _: True)
        parts_of = list_of(owner, "links", self.links, "links", "[IdentityLink(), SigmoidLink(20, 0.8)]")
        same_length(owner, "Give one weight for each link.", weights=given, links=parts_of)
        flat: list[tuple[float, Link]] = []
        for weight, link in zip(map(_weight_of, given), parts_of, strict=True):
            if not isinstance(link, Link):
                raise TypeError(f"{owner}: links must hold links, got {link!r} of type {type(link).__name__}.")
            link.validate()
            # A sum of sums is one sum.
            inner = link._given if isinstance(link, WeightedSumLink) else [(1.0, link)]
            flat += [(_weight_of(weight * factor), part) for factor, part in inner]
        weights, links = zip(*flat, strict=True)
        domain = Interval(max(link.domain.low for link in links), min(link.domain.high for link in links))
        if not domain.low < domain.high:
            raise ValueError(f"{owner}: the links' domains do not meet; add links defined for the same scores.")
        parts = tuple(link._absorb(weight) for weight, link in flat)
        _set(self, weights=weights, links=links, domain=domain, _parts=parts)
        _settle_inner(self, *links)

    @property
    @override
    def range(self) -> Interval:
        ranges = [(weight * link.range.low, weight * link.range.high) for weight, link in self._given]
        return Interval(*map(sum, zip(*ranges, strict=True)))

    @property
    def _given(self) -> list[tuple[float, Link]]:
        return list(zip(self.weights, self.links, strict=True))

    def __repr__(self) -> str:
        written = self.__dict__.get("_as_written")
        return written or " + ".join(f"{weight!r} * {link!r}" for weight, link in self._given)

    def _absorb(self, weight: float) -> tuple[float, Link]:
        if len(self._parts) > 1:
            return weight, self
        own, link = self._parts[0]
        return link._absorb(weight * own)

    def _sum(self, of: Callable[[Link], Tensor]) -> Tensor:
        first, *others = (weight * of(link) for weight, link in self._parts)
        return sum(others, first)

    @override
    def h(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link.h(z))

    def _potential(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link.potential(z))

    def _sensitivity(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link.sensitivity(z))

    def _small_sensitivity(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link._small_sensitivity(z))

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        *others, (last_weight, last) = self._parts
        if not others:
            return last._logits(z, scale * last_weight, out)
        logits, slope = last._logits(z.clone(), scale * last_weight, out)
        for weight, link in others:
            more_logits, more_slope = link._logits(z.clone(), scale * weight)
            logits, slope = logits.add_(more_logits), slope + more_slope
        return logits, slope

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        (weight, link), *others = self._parts
        divergence, difference = link._matching(p, s)
        if weight != 1:
            divergence, difference = divergence * weight, difference * weight
        for weight, link in others:
            more_divergence, more_difference = link._matching(p, s)
            divergence = torch.add(divergence, more_divergence, alpha=weight)
            difference = torch.add(difference, more_difference, alpha=weight)
        return divergence, difference

    def _inverse(self, y: Tensor) -> Tensor:
        if len(self._parts) > 1:
            return super()._inverse(y)
        ((weight, link),) = self._parts
        return link._inverse((y / weight).clamp(*link.range))


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class LinearOutsideLink(Link):
    """A link within `[low, high]`, going on outside with its slope at the end. See `Link.linear_outside`.

    Domain: all scores, except where an end is None: there the link's own. Range: unbounded on a side where the slope at
    the end is not 0.

    Args:
        link: The link inside.
        low: Lower end, a score; None to leave the link as it is below.
        high: Upper end, a score; None to leave the link as it is above.

    Raises:
        TypeError: If `link` is not a `Link` or an end not a number.
        ValueError: If the range is empty, both ends are None, the range leaves the link's domain, or the link overflows
            within it.

    Example:
        >>> import torch
        >>> from selective_st.links import ExponentialLink
        >>> ExponentialLink(5).linear_outside(0, 1).divergence(torch.tensor(1e4), torch.tensor(0.5)).isfinite()
        tensor(True)
        >>> ExponentialLink(5).linear_outside(None, 1).range        # positive everywhere, as label forms need it
        Interval(low=0.0, high=inf)
    """

    link: Link
    low: float | None
    high: float | None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if not isinstance(self.link, Link):
            raise TypeError(f"{owner}: link must be a Link, got {type(self.link).__name__}.")
        low, high = self.low, self.high
        if low is None and high is None:
            raise ValueError(f"{owner}: give low or high, or both; with neither the link would stay as it is.")
        if low is not None and high is not None:
            low, high = score_interval(owner, low, high)
        low = None if low is None else finite_number(owner, "low", low)
        high = None if high is None else finite_number(owner, "high", high)
        inside = self.link.domain
        bounds = Interval(inside.low if low is None else low, inside.high if high is None else high)
        if not (inside.includes(bounds) and bounds.low < bounds.high):
            raise ValueError(f"{owner}: {bounds} must lie within the domain {inside} of {self.link!r}.")
        self.link.validate()
        domain = Interval(inside.low if low is None else -math.inf, inside.high if high is None else math.inf)
        _set(self, low=low, high=high, domain=domain)
        _settle_inner(self, self.link)
        if not all(math.isfinite(value) and math.isfinite(slope) for _, _, value, slope in self._ends):
            raise ValueError(f"{owner}: {self.link!r} overflows at an end of {bounds}; narrow the range.")

    @cached_property
    def _ends(self) -> list[tuple[str, float, float, float]]:
        """Each end: how scores are clamped to what lies beyond it, the score, and the value and slope there."""
        ends = [(side, end) for side, end in (("max", self.low), ("min", self.high)) if end is not None]
        scores = torch.tensor([end for _, end in ends], dtype=torch.float64)
        values, slopes = self.link(scores).tolist(), self.link.sensitivity(scores).tolist()
        return [(*end, value, slope) for end, value, slope in zip(ends, values, slopes, strict=True)]

    @property
    @override
    def range(self) -> Interval:
        low, high = self.link.range
        for side, _, value, slope in self._ends:
            if side == "max":
                low = -math.inf if slope > 0 else value
            else:
                high = math.inf if slope > 0 else value
        return Interval(low, high)

    def _beyond(self, z: Tensor) -> list[tuple[Tensor, float, float]]:
        """Of each end how far beyond it scores lie (0 if they do not, < 0 below the lower one), and value and slope."""
        return [(z.clamp(**{side: end}).sub_(end), value, slope) for side, end, value, slope in self._ends]

    @override
    def h(self, z: Tensor) -> Tensor:
        rises = (slope * outside for outside, _, slope in self._beyond(z))
        return sum(rises, self.link.h(z.clamp(self.low, self.high)))

    def _potential(self, z: Tensor) -> Tensor:
        rises = (outside * (value + slope / 2 * outside) for outside, value, slope in self._beyond(z))
        return sum(rises, self.link.potential(z.clamp(self.low, self.high)))

    def _sensitivity(self, z: Tensor) -> Tensor:
        return self.link.sensitivity(z.clamp(self.low, self.high))

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        inner = z.clamp(self.low, self.high)
        if answers_at_once(z) and torch.equal(inner, z):
            return self.link._logits(inner, scale, out)
        logits, slope = self.link._logits(inner, scale)
        for outside, value, bend in self._beyond(z):
            logits = logits.addcmul(outside, value * scale + bend * scale / 2 * outside)
            slope = slope + bend * scale * outside
        return logits, slope

    def _absorb(self, weight: float) -> tuple[float, Link]:
        inner_weight, inner = self.link._absorb(weight)
        return inner_weight, self if inner is self.link else LinearOutsideLink(inner, self.low, self.high)

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        # D is the integral of (p - z) h'(z) from s to p, cut at both ends; every part is >= 0.
        inner_p, inner_s = p.clamp(self.low, self.high), s.clamp(self.low, self.high)
        divergence, difference = self.link._matching(inner_p, inner_s)
        if answers_at_once(p) and torch.equal(inner_p, p) and torch.equal(inner_s, s):
            return divergence, difference
        # Where the difference is infinite, so is the divergence, unless it is 0 times that.
        divergence = divergence.addcmul(p - inner_p, difference.clamp(-_LARGEST_SCORE, _LARGEST_SCORE))
        for side, edge, _, slope in self._ends:
            start, end = (one.clamp(**{side: edge}) for one in (s, p))
            width = end - start
            divergence = divergence.addcmul(width, (p - start).add_(p - end), value=slope / 2)
            difference = difference.add(width, alpha=slope)
        return divergence, difference


def _weight_of(value: object) -> float:
    return finite_number("WeightedSumLink", "weight", value, positive=True, largest=_LARGEST_WEIGHT)


def _settle_inner(link: Link, *inner: Link) -> None:
    """What a link takes over from those in it."""
    depth = 1 + max(each._depth for each in inner)
    if depth > _DEEPEST_NESTING:
        raise ValueError(f"{type(link).__name__}: links can be nested at most {_DEEPEST_NESTING} deep, got {depth}.")
    _set(link, _depth=depth, _is_exact_far_out=all(each._is_exact_far_out for each in inner))


Link._weighted_sum = WeightedSumLink
Link._linear_outside = LinearOutsideLink
