"""Random links with their references in arbitrary precision, and scores as far out as floats go."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath as mp
import torch
from torch import Tensor

from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    LinearOutsideLink,
    Link,
    PiecewiseLink,
    SigmoidLink,
    SinhLink,
    WeightedSumLink,
    extreme_scores,
    high_scores,
    link_for_thresholds,
    low_scores,
    middle_scores,
    score_region,
)

DIGITS = 400  # of log(1 + e^700) less 700 there must be some left
Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Reference:
    """A link in arbitrary precision: its values, their potential and their slope."""

    h: Function
    H: Function
    slope: Function

    def divergence(self, p: float, s: float) -> Any:
        p_, s_ = mp.mpf(p), mp.mpf(s)
        return self.H(p_) - self.H(s_) - (p_ - s_) * self.h(s_)

    def difference(self, p: float, s: float) -> Any:
        return self.h(mp.mpf(p)) - self.h(mp.mpf(s))

    def to_target(self, p: float, s: float) -> Any:
        return (mp.mpf(s) - mp.mpf(p)) * self.slope(mp.mpf(s))


def _piecewise(link: PiecewiseLink) -> Reference:
    knots, values = [[mp.mpf(number) for number in row] for row in (link.knots, link.sensitivities)]

    def piece(z: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Start, potential, h, sensitivity there, and its bend, of the piece that holds z."""
        potential, h = mp.mpf(0), mp.mpf(0)
        if z <= knots[0]:
            return knots[0], potential, h, values[0], mp.mpf(0)
        for (left, right), (at_left, at_right) in zip(
            itertools.pairwise(knots), itertools.pairwise(values), strict=True
        ):
            width, bend = right - left, (at_right - at_left) / (right - left)
            if z <= right:
                return left, potential, h, at_left, bend
            potential += width * h + width**2 * at_left / 2 + width**3 * bend / 6
            h += width * (at_left + at_right) / 2
        return knots[-1], potential, h, values[-1], mp.mpf(0)

    def potential(z: Any) -> Any:
        start, constant, h, slope, bend = piece(z)
        return constant + (z - start) * (h + (z - start) * (slope / 2 + (z - start) * bend / 6))

    def value(z: Any) -> Any:
        start, _, h, slope, bend = piece(z)
        return h + (z - start) * (slope + (z - start) * bend / 2)

    def slope(z: Any) -> Any:
        start, _, _, at_start, bend = piece(z)
        return at_start + (z - start) * bend

    return Reference(value, potential, slope)


def _linear_outside(link: LinearOutsideLink) -> Reference:
    inner = reference(link.link)
    low = -mp.inf if link.low is None else mp.mpf(link.low)
    high = mp.inf if link.high is None else mp.mpf(link.high)

    def cut(z: Any) -> tuple[Any, Any]:
        inside = min(max(z, low), high)
        return inside, z - inside

    def value(z: Any) -> Any:
        inside, beyond = cut(z)
        return inner.h(inside) + (beyond * inner.slope(inside) if beyond else 0)

    def potential(z: Any) -> Any:
        inside, beyond = cut(z)
        more = beyond * inner.h(inside) + beyond**2 * inner.slope(inside) / 2 if beyond else 0
        return inner.H(inside) + more

    return Reference(value, potential, lambda z: inner.slope(cut(z)[0]))


def _weighted(link: WeightedSumLink) -> Reference:
    parts = [(mp.mpf(weight), reference(part)) for weight, part in zip(link.weights, link.links, strict=True)]

    def total(of: Callable[[Reference], Function]) -> Function:
        return lambda z: mp.fsum(weight * of(part)(z) for weight, part in parts)

    return Reference(total(lambda part: part.h), total(lambda part: part.H), total(lambda part: part.slope))


def reference(link: Link) -> Reference:
    """The link in arbitrary precision."""
    if isinstance(link, ConstantLink):
        return Reference(lambda z: mp.mpf(1), lambda z: z, lambda z: mp.mpf(0))
    if isinstance(link, IdentityLink):
        return Reference(lambda z: z, lambda z: z * z / 2, lambda z: mp.mpf(1))
    if isinstance(link, ExponentialLink):
        a = mp.mpf(link.scale)
        sign = mp.sign(a)
        return Reference(
            lambda z: sign * mp.exp(a * z), lambda z: mp.exp(a * z) / abs(a), lambda z: abs(a) * mp.exp(a * z)
        )
    if isinstance(link, (SigmoidLink, SinhLink)):
        a, c = mp.mpf(link.scale), mp.mpf(link.shift)
        if isinstance(link, SinhLink):
            return Reference(
                lambda z: mp.sinh(a * (z - c)), lambda z: mp.cosh(a * (z - c)) / a, lambda z: a * mp.cosh(a * (z - c))
            )
        return Reference(
            lambda z: 1 / (1 + mp.exp(-a * (z - c))),
            lambda z: mp.log1p(mp.exp(a * (z - c))) / a,
            lambda z: a / (2 + mp.exp(a * (z - c)) + mp.exp(-a * (z - c))),
        )
    if isinstance(link, PiecewiseLink):
        return _piecewise(link)
    if isinstance(link, LinearOutsideLink):
        return _linear_outside(link)
    assert isinstance(link, WeightedSumLink)
    return _weighted(link)


class RandomLinks:
    """Makes links with parameters over all orders of magnitude, one within the other."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def magnitude(self, low: float, high: float) -> float:
        return 10 ** self.random.uniform(low, high)

    def signed(self, low: float, high: float) -> float:
        return self.random.choice((-1, 1)) * self.magnitude(low, high)

    def shift(self) -> float:
        return self.random.choice((0.0, self.random.uniform(-1, 1), self.signed(-2, 3)))

    @cached_property
    def simple(self) -> list[Callable[[], Link]]:
        return [
            IdentityLink,
            lambda: SigmoidLink(self.magnitude(-3, 3), self.shift()),
            lambda: SinhLink(self.magnitude(-3, 3), self.shift()),
            lambda: ExponentialLink(self.signed(-3, 3)),
            self.piecewise,
            self.preset,
        ]

    def piecewise(self) -> Link:
        knots = sorted({self.shift() + self.signed(-3, 2) for _ in range(self.random.randint(1, 6))})
        values = [self.random.choice((0.0, self.magnitude(-3, 3))) for _ in knots]
        return PiecewiseLink(tuple(knots), tuple(values if any(values) else [1.0] * len(knots)))

    def preset(self) -> Link:
        low = self.random.choice((0.0, -1.0, self.shift()))
        score_range = (low, low + self.magnitude(-1, 2))
        preset = self.random.choice((high_scores, low_scores, extreme_scores, middle_scores))
        if self.random.random() < 0.2:
            width = score_range[1] - score_range[0]
            if self.random.random() < 0.5:
                thresholds = [low + width * self.random.random() for _ in range(self.random.randint(1, 3))]
                return link_for_thresholds(thresholds, None, width * self.magnitude(-3, 1), score_range=score_range)
            return score_region(low + width / 4, low + width / 2, self.magnitude(-1, 2), score_range)
        return preset(self.magnitude(-1, 2.6), score_range)

    def link(self, depth: int = 2) -> Link:
        """A link; parameters that overflow are drawn again."""
        while True:
            try:
                return self._link(depth)
            except ValueError:
                continue

    def _link(self, depth: int) -> Link:
        kind = self.random.random()
        if not depth or kind < 0.4:
            return self.random.choice(self.simple)()
        if kind < 0.7:
            parts = [self.magnitude(-3, 3) * self.link(depth - 1) for _ in range(self.random.randint(1, 3))]
            return sum(parts[1:], parts[0]) + (ConstantLink() if self.random.random() < 0.2 else 0)
        inner, low = self.link(depth - 1), self.shift()
        high = low + self.magnitude(-2, 2)
        ends = self.random.choice(((low, high), (None, high), (low, None)))
        return inner.linear_outside(*ends)

    def scores(self) -> tuple[float, float]:
        """A pair of scores: anything from alike to far apart, from small to huge."""
        s = self.random.choice((0.0, self.random.uniform(-1, 1), self.signed(-3, 5)))
        p = self.random.choice(
            (s, s, s + self.signed(-8, 0), s * (1 + self.signed(-15, 0)), -s, self.signed(-3, 5), self.signed(-3, 5))
        )
        return p, s


def within(value: float, exact: Any, dtype: torch.dtype) -> bool:
    """Whether a float is what an exact number is to the promised digits; infinite where that is beyond all floats."""
    limits = torch.finfo(dtype)
    allowed = 1e-6 if dtype == torch.float32 else 1e-11
    if math.isnan(value):
        return False
    if abs(exact) > limits.max * (1 - 10 * allowed):
        return value * int(mp.sign(exact)) > limits.max * (1 - 100 * allowed)
    if abs(exact) < limits.tiny * 1e10:  # below, numbers have fewer digits
        return abs(value) <= limits.tiny * 1e11
    return bool(abs((mp.mpf(value) - exact) / exact) <= allowed)


def tensors(pairs: list[tuple[float, float]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The scores p and s, of which a gradient is wanted."""
    p, s = torch.tensor(pairs, dtype=dtype).unbind(1)
    return p.clone().requires_grad_(), s.clone().requires_grad_()
