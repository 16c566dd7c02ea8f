"""Every registered link (and a user's own), each with an independent 50-digit reference of h and H."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import torch
from torch import Tensor

from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Interval,
    LinearOutsideLink,
    Link,
    PiecewiseLink,
    SigmoidLink,
    SinhLink,
    WeightedSumLink,
    link_for_thresholds,
    register_link,
)

mp.mp.dps = 50


@register_link
class ArctanCase(Link):
    """A user's own link: nothing but h."""

    def __init__(self, scale: float = 3.0) -> None:
        self.scale = scale

    def h(self, z: Tensor) -> Tensor:
        return torch.atan(self.scale * z)


class From1(Link):
    """A link whose domain lies beside 0: NaN below 1."""

    domain = Interval(1.0, 9.0)

    def h(self, z: Tensor) -> Tensor:
        return (z - 1).sqrt()


@dataclass(frozen=True)
class LinkCase:
    """A link, the scores to try it on, and its h and H in mpmath."""

    name: str
    link: Link
    low: float
    high: float
    h: Callable[[mp.mpf], mp.mpf]
    H: Callable[[mp.mpf], mp.mpf]

    def divergence(self, p: float, s: float) -> mp.mpf:
        """The definition, in 50 digits: cancellation costs nothing here."""
        p_, s_ = mp.mpf(p), mp.mpf(s)
        return self.H(p_) - self.H(s_) - (p_ - s_) * self.h(s_)

    def difference(self, p: float, s: float) -> mp.mpf:
        return self.h(mp.mpf(p)) - self.h(mp.mpf(s))


def _sigmoid(a: float, c: float) -> tuple[Callable[[mp.mpf], mp.mpf], Callable[[mp.mpf], mp.mpf]]:
    a_, c_ = mp.mpf(a), mp.mpf(c)
    return lambda z: 1 / (1 + mp.exp(-a_ * (z - c_))), lambda z: mp.log(1 + mp.exp(a_ * (z - c_))) / a_


def _sinh(a: float, c: float) -> tuple[Callable[[mp.mpf], mp.mpf], Callable[[mp.mpf], mp.mpf]]:
    a_, c_ = mp.mpf(a), mp.mpf(c)
    return lambda z: mp.sinh(a_ * (z - c_)), lambda z: mp.cosh(a_ * (z - c_)) / a_


def _exponential(a: float) -> tuple[Callable[[mp.mpf], mp.mpf], Callable[[mp.mpf], mp.mpf]]:
    a_ = mp.mpf(a)
    return lambda z: mp.sign(a_) * mp.exp(a_ * z), lambda z: mp.exp(a_ * z) / abs(a_)


def _piecewise(
    knots: tuple[float, ...], values: tuple[float, ...]
) -> tuple[Callable[[mp.mpf], mp.mpf], Callable[[mp.mpf], mp.mpf]]:
    """By integrating the sensitivity piece by piece: the trapezoid rule is exact for h, Simpson's for H."""
    ks, vs = [mp.mpf(k) for k in knots], [mp.mpf(v) for v in values]

    def sensitivity(z: mp.mpf) -> mp.mpf:
        if z <= ks[0]:
            return vs[0]
        for i in range(len(ks) - 1):
            if z <= ks[i + 1]:
                return vs[i] + (vs[i + 1] - vs[i]) * (z - ks[i]) / (ks[i + 1] - ks[i])
        return vs[-1]

    def path(z: mp.mpf) -> list[mp.mpf]:
        inner = [k for k in ks if min(ks[0], z) < k < max(ks[0], z)]
        return [ks[0], *(inner if z > ks[0] else reversed(inner)), z]

    def h(z: mp.mpf) -> mp.mpf:
        points = path(z)
        return sum(((b - a) * (sensitivity(a) + sensitivity(b)) / 2 for a, b in itertools.pairwise(points)), mp.mpf(0))

    def H(z: mp.mpf) -> mp.mpf:  # noqa: N802  (the design's name)
        points = path(z)
        return sum(((b - a) * (h(a) + 4 * h((a + b) / 2) + h(b)) / 6 for a, b in itertools.pairwise(points)), mp.mpf(0))

    return h, H


def _weighted(parts: list[tuple[float, LinkCase]]) -> tuple[Callable[[mp.mpf], mp.mpf], Callable[[mp.mpf], mp.mpf]]:
    return (
        lambda z: sum((mp.mpf(w) * case.h(z) for w, case in parts), mp.mpf(0)),
        lambda z: sum((mp.mpf(w) * case.H(z) for w, case in parts), mp.mpf(0)),
    )


def _linear_outside(
    case: LinkCase, low: float | None, high: float | None
) -> tuple[Callable[[mp.mpf], mp.mpf], Callable[[mp.mpf], mp.mpf]]:
    ends = (-mp.inf if low is None else mp.mpf(low), mp.inf if high is None else mp.mpf(high))
    slopes = [mp.diff(case.h, end) if mp.isfinite(end) else mp.mpf(0) for end in ends]

    def h(z: mp.mpf) -> mp.mpf:
        inside = min(max(z, ends[0]), ends[1])
        slope = slopes[0] if z < ends[0] else slopes[1]
        return case.h(inside) + slope * (z - inside)

    def H(z: mp.mpf) -> mp.mpf:  # noqa: N802
        inside = min(max(z, ends[0]), ends[1])
        slope = slopes[0] if z < ends[0] else slopes[1]
        return case.H(inside) + (z - inside) * case.h(inside) + slope * (z - inside) ** 2 / 2

    return h, H


_IDENTITY = LinkCase("identity", IdentityLink(), -10, 10, lambda z: z, lambda z: z * z / 2)
_SIGMOID = LinkCase("sigmoid(20, 0.8)", SigmoidLink(20, 0.8), -1, 1, *_sigmoid(20, 0.8))
_EXPONENTIAL = LinkCase("exponential(5)", ExponentialLink(5), -1, 1, *_exponential(5))
_KNOTS, _VALUES = (0.25, 0.5, 0.75, 0.875), (0.0, 1.5, 10.0, 2.0)

_THRESHOLDS = link_for_thresholds([0.25, 0.75], weights=[1, 2], width=0.0625)
_FACTORS: list[float] = _THRESHOLDS.get_config_dict()["weights"]
_PARTS = [
    LinkCase("", SigmoidLink(16, 0.25), -1, 1, *_sigmoid(16, 0.25)),
    LinkCase("", SigmoidLink(16, 0.75), -1, 1, *_sigmoid(16, 0.75)),
    _IDENTITY,
]

LINK_CASES = [
    LinkCase("constant", ConstantLink(), -10, 10, lambda z: mp.mpf(1), lambda z: z),
    _IDENTITY,
    LinkCase("sigmoid(1, 0)", SigmoidLink(), -20, 20, *_sigmoid(1, 0)),
    _SIGMOID,
    LinkCase("sinh(1, 0)", SinhLink(), -10, 10, *_sinh(1, 0)),
    LinkCase("sinh(5, 0.5)", SinhLink(5, 0.5), -1, 1, *_sinh(5, 0.5)),
    LinkCase("exponential(0.01)", ExponentialLink(0.01), -1, 1, *_exponential(0.01)),
    _EXPONENTIAL,
    LinkCase("exponential(-20)", ExponentialLink(-20), -1, 1, *_exponential(-20)),
    LinkCase("piecewise", PiecewiseLink(_KNOTS, _VALUES), -1, 1.5, *_piecewise(_KNOTS, _VALUES)),
    LinkCase("piecewise, one knot", PiecewiseLink([0.5], [2.0]), -1, 1, *_piecewise((0.5,), (2.0,))),
    LinkCase(
        "0.3 identity + sigmoid",
        0.3 * IdentityLink() + SigmoidLink(20, 0.8),
        -1,
        1,
        *_weighted([(0.3, _IDENTITY), (1.0, _SIGMOID)]),
    ),
    LinkCase("for thresholds", _THRESHOLDS, -1, 1, *_weighted(list(zip(_FACTORS, _PARTS, strict=True)))),
    LinkCase(
        "weighted sum of one", WeightedSumLink([0.01], [ExponentialLink(5)]), -1, 1, *_weighted([(0.01, _EXPONENTIAL)])
    ),
    LinkCase(
        "exponential(5), linear outside",
        LinearOutsideLink(ExponentialLink(5), 0.0, 1.0),
        -10,
        10,
        *_linear_outside(_EXPONENTIAL, 0.0, 1.0),
    ),
    LinkCase(
        "exponential(5), linear above",
        LinearOutsideLink(ExponentialLink(5), None, 1.0),
        -1,
        10,
        *_linear_outside(_EXPONENTIAL, None, 1.0),
    ),
    LinkCase(
        "exponential(5), linear below",
        LinearOutsideLink(ExponentialLink(5), 0.0, None),
        -10,
        1,
        *_linear_outside(_EXPONENTIAL, 0.0, None),
    ),
    LinkCase(
        "own link: arctan",
        ArctanCase(3.0),
        -2,
        2,
        lambda z: mp.atan(3 * z),
        lambda z: z * mp.atan(3 * z) - mp.log(1 + 9 * z * z) / 6,
    ),
]
