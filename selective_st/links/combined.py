"""Links made of links."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._validation import finite_number, score_interval
from selective_st.links._numerics import (
    Interval,
)
from selective_st.links.base import Link, _set
from selective_st.links.config import _LARGEST_WEIGHT, _check_depth, register_link


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
        for name in ("weights", "links"):
            if isinstance(getattr(self, name), str) or not isinstance(getattr(self, name), Sequence):
                raise TypeError(f"WeightedSumLink: {name} must be a list, got {type(getattr(self, name)).__name__}.")
        if len(self.weights) != len(self.links) or not self.links:
            raise ValueError(
                "WeightedSumLink: give one weight for each link, and at least one of each, got "
                f"{len(self.weights)} weights and {len(self.links)} links."
            )
        weights: list[float] = []
        links: list[Link] = []
        for given_weight, link in zip(self.weights, self.links, strict=True):
            if not isinstance(link, Link):
                raise TypeError(f"WeightedSumLink: links must hold links, got {link!r} of type {type(link).__name__}.")
            weight = finite_number("WeightedSumLink", "weight", given_weight, positive=True, largest=_LARGEST_WEIGHT)
            link.validate()
            # A sum of sums is one sum.
            inner = link if isinstance(link, WeightedSumLink) else None
            for factor in inner.weights if inner else (1.0,):
                product = weight * factor
                weights.append(
                    finite_number("WeightedSumLink", "weight", product, positive=True, largest=_LARGEST_WEIGHT)
                )
            links += inner.links if inner else (link,)
        domain = Interval(max(link.domain.low for link in links), min(link.domain.high for link in links))
        parts = tuple(link._absorb(weight) for weight, link in zip(weights, links, strict=True))
        _set(self, weights=tuple(weights), links=tuple(links), domain=domain, _parts=parts)
        _check_depth(self)
        if not self.domain.low < self.domain.high:
            raise ValueError("WeightedSumLink: the links' domains do not meet; add links defined for the same scores.")

    @property
    @override
    def range(self) -> Interval:
        return Interval(
            sum(weight * link.range.low for weight, link in zip(self.weights, self.links, strict=True)),
            sum(weight * link.range.high for weight, link in zip(self.weights, self.links, strict=True)),
        )

    @override
    def __repr__(self) -> str:
        parts = (f"{weight!r} * {link!r}" for weight, link in zip(self.weights, self.links, strict=True))
        return self.__dict__.get("_as_written") or " + ".join(parts)

    def _sum(self, of: Callable[[Link], Tensor]) -> Tensor:
        first, *others = (weight * of(link) for weight, link in self._parts)
        return sum(others, first)

    @override
    def h(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link.h(z))

    @override
    def _potential(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link.potential(z))

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link.sensitivity(z))

    @override
    def _small_sensitivity(self, z: Tensor) -> Tensor:
        return self._sum(lambda link: link._small_sensitivity(z))

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        *others, (last_weight, last) = self._parts
        if not others:
            return last._logits(z, scale * last_weight, out)
        logits, slope = last._logits(z.clone(), scale * last_weight, out)
        for place, (weight, link) in enumerate(others, start=1):
            more_logits, more_slope = link._logits(z if place == len(others) else z.clone(), scale * weight)
            logits = logits.add_(more_logits)
            # In place where there is a place: memory of this size costs more than the sum.
            if isinstance(slope, Tensor):
                slope = slope.add_(more_slope)
            else:
                slope = more_slope.add_(slope) if isinstance(more_slope, Tensor) else more_slope + slope
        return logits, slope

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        (weight, link), *others = self._parts
        divergence, difference = link._matching(p, s)
        if weight != 1:
            divergence, difference = divergence * weight, difference * weight
        for weight, link in others:
            more_divergence, more_difference = link._matching(p, s)
            divergence, difference = (
                torch.add(divergence, more_divergence, alpha=weight),
                torch.add(difference, more_difference, alpha=weight),
            )
        return divergence, difference

    @property
    @override
    def _is_exact_far_out(self) -> bool:
        return all(link._is_exact_far_out for link in self.links)

    @override
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
        elif low is not None:
            low = finite_number(owner, "low", low)
        else:
            high = finite_number(owner, "high", high)
        inside = self.link.domain
        bounds = Interval(inside.low if low is None else low, inside.high if high is None else high)
        if not (inside.includes(bounds) and bounds.low < bounds.high):
            raise ValueError(f"{owner}: {bounds} must lie within the domain {inside} of {self.link!r}.")
        self.link.validate()
        ends = torch.tensor([end for end in (low, high) if end is not None], dtype=torch.float64)
        if not bool(self.link(ends).isfinite().all() and self.link.sensitivity(ends).isfinite().all()):
            raise ValueError(f"{owner}: {self.link!r} overflows at an end of {bounds}; narrow the range.")
        domain = Interval(inside.low if low is None else -math.inf, inside.high if high is None else math.inf)
        _set(self, low=low, high=high, domain=domain)
        _check_depth(self)

    @property
    def _sides(self) -> list[tuple[bool, float, float]]:
        """Each end that is given: whether it is the upper one, the score, and the slope there."""
        sides: list[tuple[bool, float, float]] | None = self.__dict__.get("_known_sides")
        if sides is None:
            ends = [(upper, end) for upper, end in ((False, self.low), (True, self.high)) if end is not None]
            slopes = self.link.sensitivity(torch.tensor([end for _, end in ends], dtype=torch.float64)).tolist()
            sides = [(upper, end, slope) for (upper, end), slope in zip(ends, slopes, strict=True)]
            _set(self, _known_sides=sides)
        return sides

    def _beyond(self, z: Tensor) -> list[tuple[float, Tensor]]:
        """For each end that is given, the slope there, and how far the scores lie beyond it: <= 0 below, >= 0 above."""
        return [
            (slope, (z - end).clamp(min=0) if upper else (z - end).clamp(max=0)) for upper, end, slope in self._sides
        ]

    @property
    @override
    def range(self) -> Interval:
        low, high = self.link.range
        for upper, end, slope in self._sides:
            value = float(self.link(torch.tensor(end, dtype=torch.float64)))
            if upper:
                high = math.inf if slope > 0 else value
            else:
                low = -math.inf if slope > 0 else value
        return Interval(low, high)

    @override
    def h(self, z: Tensor) -> Tensor:
        inner = z.clamp(self.low, self.high)
        if torch.equal(inner.detach(), z.detach()):
            return self.link.h(z)
        return sum((slope * beyond for slope, beyond in self._beyond(z)), self.link.h(inner))

    @override
    def _potential(self, z: Tensor) -> Tensor:
        inner = z.clamp(self.low, self.high)
        outside = z - inner
        value = self.link.potential(inner) + torch.where(outside == 0, 0, outside * self.link(inner))
        return sum((slope * beyond.square() / 2 for slope, beyond in self._beyond(z)), value)

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        return self.link.sensitivity(z.clamp(self.low, self.high))

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        inner = z.clamp(self.low, self.high)
        if torch.equal(inner, z):
            return self.link._logits(inner, scale, out)
        outside = z - inner
        logits, slope = self.link._logits(inner, scale)
        logits = logits + torch.where(outside == 0, 0, outside * slope)
        for bend, beyond in self._beyond(z):
            logits, slope = logits + (scale * bend / 2) * beyond.square(), slope + (scale * bend) * beyond
        return logits, slope

    @property
    @override
    def _is_exact_far_out(self) -> bool:
        return self.link._is_exact_far_out

    @override
    def _absorb(self, weight: float) -> tuple[float, Link]:
        inner_weight, inner = self.link._absorb(weight)
        return inner_weight, self if inner is self.link else LinearOutsideLink(inner, self.low, self.high)

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        # D is the integral of (p - z) h'(z) from s to p, cut at both ends; every part is >= 0.
        inner_p, inner_s = p.clamp(self.low, self.high), s.clamp(self.low, self.high)
        divergence, difference = self.link._matching(inner_p, inner_s)
        if torch.equal(inner_p, p) and torch.equal(inner_s, s):
            return divergence, difference
        outside = p - inner_p
        overflows = None in (self.low, self.high)
        divergence = divergence + (
            torch.where(outside == 0, 0, outside * difference) if overflows else outside * difference
        )
        for upper, edge, slope in self._sides:
            start, end = (s.clamp(min=edge), p.clamp(min=edge)) if upper else (s.clamp(max=edge), p.clamp(max=edge))
            divergence = divergence + slope * (end - start).abs() * ((p - start).abs() + (p - end).abs()) / 2
            difference = difference + slope * (end - start)
        return divergence, difference


Link._weighted_sum = WeightedSumLink
Link._linear_outside = LinearOutsideLink
