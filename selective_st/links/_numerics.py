"""Numerics that the links share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from selective_st._validation import finite_number, list_of


class Interval(NamedTuple):
    """A closed interval of numbers, possibly unbounded: `(low, high)`."""

    low: float
    high: float

    def includes(self, other: Interval) -> bool:
        """Whether `other` lies within this interval, ends included."""
        return self.low <= other.low and other.high <= self.high

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"


# Gauss-Legendre nodes on [0, 1]. Eight are exact to double precision for e^x and the sigmoid over a length |x| <= 1.
_NODES, _NODE_WEIGHTS = (array.tolist() for array in np.polynomial.legendre.leggauss(8))
_NODES = [(1 + node) / 2 for node in _NODES]
_NODE_WEIGHTS = [weight / 2 for weight in _NODE_WEIGHTS]
# A link of which only h is known may bend anywhere, so its potential is integrated over this many panels of 8 nodes.
_PANELS = 32
_PANEL_NODES = [(panel + node) / _PANELS for panel in range(_PANELS) for node in _NODES]
_PANEL_WEIGHTS = [weight / _PANELS for _ in range(_PANELS) for weight in _NODE_WEIGHTS]


@lru_cache(maxsize=256)
def _constants(values: float | tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """`values` as a tensor; cached, because a copy to a GPU in every step would stall it."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def _integrate(integrand: Callable[[Tensor], Tensor], like: Tensor, *, panels: bool = False) -> Tensor:
    """Integrate `integrand(t)` over t in [0, 1] at fixed nodes; t carries an extra last dimension.

    Sums products rather than multiplying matrices, which autocast would do in half precision.
    """
    nodes = tuple(_PANEL_NODES if panels else _NODES)
    weights = tuple(_PANEL_WEIGHTS if panels else _NODE_WEIGHTS)
    t = _constants(nodes, like.dtype, like.device)
    return (_constants(weights, like.dtype, like.device) * integrand(t)).sum(-1)


def _to_working_precision(scores: Tensor) -> Tensor:
    """The scores in double precision, on the CPU where their device has none (Apple's GPUs).

    In single precision e^(a s) alone loses |a s| units in the last place, more than the 1e-6 this library promises.
    """
    if scores.device.type in ("cpu", "cuda"):
        return scores.to(torch.float64)
    return scores.to("cpu").to(torch.float64)


def check_tensor(owner: str, name: str, value: Any, kind: str = "real", *shapes: Sequence[int], of: str = "") -> Tensor:
    """Return `value` if it is a tensor of some kind of numbers, in one of the shapes; or raise.

    Args:
        owner: Who is to be named.
        name: The argument's name.
        value: What was given.
        kind: Which numbers it may hold: "real", "floating-point", "whole", "boolean" or "any" ones.
        *shapes: The shapes it may have; none for any.
        of: What the shapes are, for the message, and what mends them after a full stop.

    Returns:
        The value.

    Raises:
        TypeError: If it is no tensor, or of another dtype.
        ValueError: If it has another shape.
    """
    if not isinstance(value, Tensor):
        got = type(value).__name__
        raise TypeError(f"{owner}: {name} must be a torch.Tensor, got {got}. Use torch.tensor({name}).")
    dtype, whole = value.dtype, ("real", "whole")
    kinds = ("real", "floating-point") if dtype.is_floating_point else () if dtype.is_complex else whole
    if kind not in ("any", *(("boolean",) if dtype == torch.bool else kinds)):
        cast = {"whole": "long", "boolean": "bool"}.get(kind, "float")
        is_mask = kind == "boolean"
        must = "be a boolean tensor (True where a score counts), got" if is_mask else f"hold {kind} numbers, got dtype"
        raise TypeError(f"{owner}: {name} must {must} {dtype}. Use {name}.{cast}().")
    if shapes and value.shape not in shapes:
        allowed = " or ".join(str(tuple(shape)) for shape in shapes)
        words, _, mend = of.partition(". ")
        shape = f"{words + ', ' if words else ''}{allowed}, got {tuple(value.shape)}. {mend}"
        raise ValueError(f"{owner}: {name} must have the shape {shape.strip()}")
    return value


def numbers_of(owner: str, name: str, values: Any, **sign: bool) -> tuple[float, ...]:
    """The numbers of a list, array or tensor, or raise."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(values, (int, float)):
        raise TypeError(f"{owner}: {name} must be a list of numbers, got {values!r}; use [{values!r}].")
    found = list_of(owner, name, values, "numbers", "[0.8, 0.9]")
    return tuple(finite_number(owner, f"{name}[{place}]", value, **sign) for place, value in enumerate(found))


# An exponential is a product of two, each at most e^709, so that it overflows only where the right value does, and 0
# times it is 0. Scores in double precision are cut here, so that no multiple of them overflows.
_LARGEST_HALF = 709.0
_LARGEST_SCORE = 1e300


# e^x - 1 - x = x^2 (1/2! + x/3! + ...); six terms reach double precision for |x| <= 0.02, and beyond it the left side
# loses less than two digits.
_SERIES = [1 / math.factorial(k) for k in range(7, 1, -1)]
SERIES_END = 0.02
# Of so many numbers, what an operation costs is its launch: a few slow ones take less time than many fast ones.
_FEW_FOR_LAUNCHES = {"cpu": 256, "cuda": 2**16}


def exponential_less_linear_near_0(x: Tensor) -> Tensor:
    """`e^x - 1 - x` for `|x| <= SERIES_END`, without cancellation.

    Args:
        x: Numbers; what comes out for others is of no use.

    Returns:
        The values, >= 0.
    """
    total = _constants(_SERIES[0], x.dtype, x.device)
    for coefficient in _SERIES[1:]:
        total = torch.addcmul(_constants(coefficient, x.dtype, x.device), total, x)
    return total.mul_(x).mul_(x)


def exponential_less_linear(x: Tensor) -> Tensor:
    """`e^x - 1 - x`, without cancellation.

    Args:
        x: Numbers.

    Returns:
        The values, >= 0.
    """
    if x.numel() <= _FEW_FOR_LAUNCHES.get(x.device.type, 0):
        # With the incomplete gamma function P(2, |x|) it is e^x P for x > 0, and |x| (1 - e^x) - P for x < 0.
        gamma = torch.special.gammainc(_constants(2.0, x.dtype, x.device), x.abs())
        return torch.addcmul(gamma, x.expm1(), torch.maximum(gamma, x.neg())).abs_()
    return torch.where(x.abs() <= SERIES_END, exponential_less_linear_near_0(x), torch.expm1(x).sub_(x))


def _exponential_matching(top: Tensor, x: Tensor, log_factor: float, rate: float) -> tuple[Tensor, Tensor]:
    """`F (e^u - e^v - x e^v) / |a|` and `F (e^u - e^v)` for `x = u - v`, without cancellation, or overflow of a part.

    With the larger of e^u and e^v drawn out, what remains is bounded: for x > 0 it is `1 - (1 + x) e^-x`, which is the
    incomplete gamma function P(2, x); for x < 0 it is `e^-|x| - 1 + |x|`, which is `|x| (1 - e^-|x|) - P(2, |x|)`.

    Args:
        top: The larger of u and v, divided by a.
        x: Their difference.
        log_factor: The logarithm of F.
        rate: The rate a.

    Returns:
        The two.
    """
    if x.numel() <= _FEW_FOR_LAUNCHES.get(x.device.type, 0):
        # Difference and divergence in one tensor. P(1, x) is 1 - e^-x.
        both, like = (2, *[1] * x.dim()), (x.dtype, x.device)
        logs = _constants((log_factor / 2, (log_factor - math.log(abs(rate))) / 2), *like).view(both)
        half = torch.add(logs, top, alpha=rate / 2).clamp_(max=_LARGEST_HALF).exp_()
        parts = torch.special.gammainc(_constants((1.0, 2.0), *like).view(both), x.abs()).copysign_(x)
        difference, divergence = parts
        divergence.addcmul_(x.clamp(max=0), difference)
        parts.mul_(half).mul_(half)
        return divergence, difference
    half = torch.add(_constants(log_factor / 2, x.dtype, x.device), top, alpha=rate / 2)
    half = half.clamp_(max=_LARGEST_HALF).exp_()
    distance = x.abs()
    below = distance.neg()
    decay = below.expm1()
    near = exponential_less_linear_near_0(below).addcmul_(distance, decay)
    far = torch.addcmul(decay, distance, 1 + decay)
    gamma = torch.where(distance <= SERIES_END, near, far)  # with the other sign, but the right one comes next
    decay.copysign_(x)
    parts = gamma.copysign_(x).addcmul_(x.clamp(max=0), decay)
    divergence = torch.addcmul(_constants(0.0, x.dtype, x.device), parts.mul_(half), half, value=1 / abs(rate))
    return divergence, decay.mul_(half).mul_(half)


def _softplus(x: Tensor) -> Tensor:
    """`log(1 + e^x)`. Unlike `torch.nn.functional.softplus`, exact for large x."""
    return torch.logaddexp(x, _constants(0.0, x.dtype, x.device))
