"""The links that are written by a formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._validation import finite_number, same_length
from selective_st.links._numerics import Interval, _constants, _exponential_matching, _integrate, _softplus, numbers_of
from selective_st.links.base import Link, _set, register_link


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class ConstantLink(Link):
    """The link `h(z) = 1` with potential `H(z) = z`: no sensitivity anywhere.

    Only of use inside a composite Softmax, where it gives the plain Softmax. Domain: all scores. Range: {1}.

    Example:
        >>> import torch
        >>> from selective_st.links import ConstantLink
        >>> ConstantLink().potential(torch.tensor([0.2, 0.8]))
        tensor([0.2000, 0.8000])
    """

    range = Interval(1.0, 1.0)

    @override
    def h(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)

    def _potential(self, z: Tensor) -> Tensor:
        return z

    def _sensitivity(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        return z.mul_(scale), scale

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        zeros = 0 * (p - s)  # rather than zeros_like: a NaN stays visible
        return zeros, zeros

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.zeros_like(y)


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class IdentityLink(Link):
    """The link `h(z) = z` with potential `H(z) = z^2 / 2`: every score matters alike.

    Its matching loss is half the squared error. Domain: all scores. Range: all real numbers.

    Example:
        >>> import torch
        >>> from selective_st.links import IdentityLink
        >>> IdentityLink().divergence(torch.tensor(0.9), torch.tensor(0.5))
        tensor(0.0800)
    """

    range = Interval(-math.inf, math.inf)
    _is_exact_in_single = True

    @override
    def h(self, z: Tensor) -> Tensor:
        return z

    def _potential(self, z: Tensor) -> Tensor:
        return z.square() / 2

    def _sensitivity(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        return torch.mul(z, z, out=out).mul_(scale / 2), z.mul_(scale)

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        d = p - s
        return d.square() / 2, d

    def _inverse(self, y: Tensor) -> Tensor:
        return y


@dataclass(frozen=True, eq=False, repr=False)
class _ShiftedLink(Link):
    """A link of `a (z - c)`, with `scale` a > 0 and `shift` c."""

    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        scale = finite_number(owner, "scale", self.scale, positive=True)
        _set(self, scale=scale, shift=finite_number(owner, "shift", self.shift))

    def _scaled(self, z: Tensor) -> Tensor:
        return self.scale * (z - self.shift)


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class SigmoidLink(_ShiftedLink):
    """The link `h(z) = sigmoid(a (z - c))` with potential `H(z) = log(1 + e^(a (z - c))) / a`: scores around c matter.

    With 0/1 link values its loss is the binary cross entropy of the logit `a (z - c)`, divided by a.
    Domain: all scores. Range: [0, 1], the ends only approached.

    Args:
        scale: The steepness a > 0, in 1/score: about half of the sensitivity lies within 1.1 / a of c.
        shift: The score c that matters most.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `scale` is not positive, or an argument is not finite.

    Example:
        >>> import torch
        >>> from selective_st.links import SigmoidLink
        >>> SigmoidLink(scale=20, shift=0.8).sensitivity(torch.tensor([0.5, 0.8, 1.0]))
        tensor([0.0493, 5.0000, 0.3533])
    """

    range = Interval(0.0, 1.0)

    @override
    def h(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self._scaled(z))

    def _potential(self, z: Tensor) -> Tensor:
        return _softplus(self._scaled(z)) / self.scale

    def _sensitivity(self, z: Tensor) -> Tensor:
        w = self._scaled(z)
        return self.scale * torch.sigmoid(w) * torch.sigmoid(-w)

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        w = self._scaled(z)
        # log(1 + e^w) in one pass, where e^w is finite; beyond, it is w to the last digit.
        finite = 700.0 if w.dtype == torch.float64 else 80.0
        out = torch.empty_like(w) if out is None else out
        logits: Tensor = torch.ops.aten.softplus.out(w, 1.0, finite, out=out)
        return logits.mul_(scale / self.scale), w.sigmoid_().mul_(scale)

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        # D is symmetric about c, so reflect the target to below c, where nothing but softplus(u) can be large.
        v = self._scaled(s)
        flip = torch.copysign(_constants(1.0, v.dtype, v.device), -v)
        u, v, x = flip * self._scaled(p), flip * v, flip * self.scale * (p - s)

        def slope(t: Tensor) -> Tensor:
            h = torch.sigmoid(v.unsqueeze(-1) + t * x.clamp(-1, 1).unsqueeze(-1))
            return (1 - t) * torch.addcmul(h, h, h, value=-1)

        near = x.square() * _integrate(slope, x)
        far = _softplus(u) - _softplus(v) - torch.sigmoid(v) * x
        divergence = torch.where(x.abs() < 1, near, far) / self.scale
        decay = torch.expm1(-x.abs()).copysign(flip * x)
        return divergence, torch.sigmoid(torch.maximum(u, v)) * torch.sigmoid(-torch.minimum(u, v)) * decay

    def _inverse(self, y: Tensor) -> Tensor:
        return (torch.log(y) - torch.log1p(-y)) / self.scale + self.shift


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class SinhLink(_ShiftedLink):
    """The link `h(z) = sinh(a (z - c))` with potential `H(z) = cosh(a (z - c)) / a`: scores far from c matter.

    Domain: all scores. Range: all real numbers.

    Args:
        scale: The steepness a > 0, in 1/score: the sensitivity is `a cosh(a (z - c))`.
        shift: The score c that matters least.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `scale` is not positive, or an argument is not finite.

    Example:
        >>> import torch
        >>> from selective_st.links import SinhLink
        >>> SinhLink(scale=5, shift=0.5).sensitivity(torch.tensor([0.0, 0.5, 1.0]))
        tensor([30.6614,  5.0000, 30.6614])
    """

    range = Interval(-math.inf, math.inf)
    _weight_in_exponent = True

    # sinh and cosh as exponentials, with every factor in the exponent: they overflow only where the right value does.

    @override
    def h(self, z: Tensor) -> Tensor:
        w = self._scaled(z)
        return torch.exp(w.abs() + (self._log_weight - math.log(2))).mul_(torch.expm1(-2 * w.abs())).copysign(w)

    def _potential(self, z: Tensor) -> Tensor:
        return self._cosh(z, 1 / self.scale)

    def _sensitivity(self, z: Tensor) -> Tensor:
        return self._cosh(z, self.scale)

    def _cosh(self, z: Tensor, factor: float) -> Tensor:
        w, exponent = self._scaled(z), math.log(factor / 2) + self._log_weight
        return torch.exp(exponent + w) + torch.exp(exponent - w)

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        w, scale = self._scaled(z), scale * math.exp(self._log_weight)
        return torch.cosh(w, out=out).mul_(scale / self.scale), w.sinh_().mul_(scale)

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        x, log_factor = self.scale * (p - s), self._log_weight - math.log(2)
        above, below = (end.sub_(self.shift) for end in (torch.maximum(p, s), torch.minimum(p, s)))
        rising, rise = _exponential_matching(above, x, log_factor, self.scale)
        falling, fall = _exponential_matching(below, x.neg(), log_factor, -self.scale)
        return rising.add_(falling), rise.sub_(fall)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.asinh(y * math.exp(-self._log_weight)) / self.scale + self.shift


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class ExponentialLink(Link):
    """The link `h(z) = sign(a) e^(a z)` with potential `H(z) = e^(a z) / |a|`: one end of the scores matters.

    High scores matter for a > 0, low scores for a < 0. Domain: all scores. Range: [0, inf] for a > 0, [-inf, 0] for
    a < 0, the ends only approached.

    Args:
        scale: The rate a, not 0, in 1/score: the sensitivity `|a| e^(a z)` grows e-fold every 1 / |a|.

    Raises:
        TypeError: If the argument is not a number.
        ValueError: If `scale` is 0 or not finite.

    Example:
        >>> import torch
        >>> from selective_st.links import ExponentialLink
        >>> ExponentialLink(scale=5).sensitivity(torch.tensor([0.0, 0.5, 1.0]))
        tensor([  5.0000,  60.9125, 742.0658])
    """

    scale: float = 1.0
    range = Interval(0.0, math.inf)
    _weight_in_exponent = True

    def __post_init__(self) -> None:
        scale = finite_number("ExponentialLink", "scale", self.scale)
        if scale == 0:
            mend = (
                "Use a positive scale where high scores matter, a negative one where low scores do, or IdentityLink()."
            )
            raise ValueError(f"ExponentialLink: scale must not be 0, got 0.0. {mend}")
        _set(self, scale=scale, range=Interval(0.0, math.inf) if scale > 0 else Interval(-math.inf, 0.0))

    def _exponential(self, z: Tensor, factor: float = 1.0) -> Tensor:
        """`factor e^(a z)`, the factor in the exponent, so that it overflows only where the right value does."""
        return torch.exp(self.scale * z + (math.log(factor) + self._log_weight))

    @override
    def h(self, z: Tensor) -> Tensor:
        return math.copysign(1.0, self.scale) * self._exponential(z)

    def _potential(self, z: Tensor) -> Tensor:
        return self._exponential(z, 1 / abs(self.scale))

    def _sensitivity(self, z: Tensor) -> Tensor:
        return self._exponential(z, abs(self.scale))

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        slope = z.mul_(self.scale).add_(math.log(scale) + self._log_weight).exp_()
        return torch.div(slope, abs(self.scale), out=out), slope if self.scale > 0 else slope.neg_()

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        top = torch.maximum(p, s) if self.scale > 0 else torch.minimum(p, s)
        divergence, difference = _exponential_matching(top, (p - s).mul_(self.scale), self._log_weight, self.scale)
        return divergence, difference if self.scale > 0 else difference.neg_()

    def _inverse(self, y: Tensor) -> Tensor:
        return (torch.log(y.abs()) - self._log_weight) / self.scale


@register_link
@dataclass(frozen=True, eq=False, repr=False)
class PiecewiseLink(Link):
    """A link by its sensitivity: given at knots, linear between them, constant outside.

    `h` is the integral of the sensitivity from the first knot, so `h >= 0` above it, and the potential consists of
    cubic pieces. Domain: all scores. Range: unbounded on a side where the sensitivity does not end at 0.

    Args:
        knots: Scores, strictly increasing, at least one.
        sensitivities: The sensitivity at each knot, >= 0 and not all 0.

    Raises:
        TypeError: If an argument is not a sequence of numbers.
        ValueError: If the knots do not increase, the lengths differ, or a sensitivity is negative.

    Example:
        >>> import torch
        >>> from selective_st.links import PiecewiseLink
        >>> PiecewiseLink(knots=[0.7, 0.8], sensitivities=[1, 10]).sensitivity(torch.tensor([0.0, 0.75, 1.0]))
        tensor([ 1.0000,  5.5000, 10.0000])
    """

    knots: tuple[float, ...]
    sensitivities: tuple[float, ...]

    def __post_init__(self) -> None:
        owner = "PiecewiseLink"
        knots = numbers_of(owner, "knots", self.knots)
        slopes = numbers_of(owner, "sensitivities", self.sensitivities, nonnegative=True)
        same_length(owner, "Give one sensitivity for each knot.", knots=knots, sensitivities=slopes)
        if falls := [f"{left:g}, {right:g}" for left, right in pairwise(knots) if not left < right]:
            raise ValueError(f"{owner}: knots must increase strictly, got {falls[0]}.")
        if not any(slopes):
            raise ValueError(f"{owner}: sensitivities must not all be 0, got {slopes}: nothing would matter.")
        _set(self, knots=knots, sensitivities=slopes)

    @property
    @override
    def range(self) -> Interval:
        top = self._pieces[2][-1]
        falls, rises = self.sensitivities[0] > 0, self.sensitivities[-1] > 0
        return Interval(-math.inf if falls else 0.0, math.inf if rises else top)

    @cached_property
    def _pieces(self) -> tuple[tuple[float, ...], ...]:
        """Of each piece, also those outside: its start, H, h and h' there, h' at its end, and its width."""
        knots, slopes = self.knots, self.sensitivities
        value = h = 0.0
        pieces = [(knots[0], value, h, slopes[0], slopes[0], 1.0)]
        for (start, end), (at_start, at_end) in zip(pairwise(knots), pairwise(slopes), strict=True):
            width = end - start
            pieces.append((start, value, h, at_start, at_end, width))
            value += width * (h + width * (at_start / 3 + at_end / 6))
            h += width * (at_start + at_end) / 2
        pieces.append((knots[-1], value, h, slopes[-1], slopes[-1], 1.0))
        return tuple(zip(*pieces, strict=True))

    @override
    def h(self, z: Tensor) -> Tensor:
        return self._matching(z, torch.full_like(z, self.knots[0]))[1]

    def _potential(self, z: Tensor) -> Tensor:
        return self._matching(z, torch.full_like(z, self.knots[0]))[0]

    def _sensitivity(self, z: Tensor) -> Tensor:
        knots = _constants(self.knots, z.dtype, z.device)
        piece = torch.bucketize(z.detach().contiguous(), knots)
        start, _, _, at_start, at_end, width = (part[piece] for part in _constants(self._pieces, z.dtype, z.device))
        return torch.lerp(at_start, at_end, (z.clamp(self.knots[0], self.knots[-1]) - start) / width)

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        # Which polynomial holds for each score; then all scores at once, by Horner's rule.
        starts, value, h, at_start, at_end, width = _constants(self._pieces, z.dtype, z.device)
        piece = torch.bucketize(z, starts[1:])
        d = z.sub_(starts[piece])
        cubic = (scale * (at_end - at_start) / (6 * width))[piece]
        square, linear, constant = ((scale * part)[piece] for part in (at_start / 2, h, value))
        slope = (3 * cubic * d + 2 * square).mul_(d).add_(linear)
        return cubic.mul_(d).add_(square).mul_(d).add_(linear).mul_(d).add_(constant), slope

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        # Cut the way between s and p at the knots. D is the integral of |p - z| h'(z): on each segment a product of two
        # linear functions >= 0.
        knots = _constants(self.knots, p.dtype, p.device)
        low, high = torch.minimum(p, s).unsqueeze(-1), torch.maximum(p, s).unsqueeze(-1)
        inner = torch.minimum(torch.maximum(knots, low), high)
        ends = torch.cat([low, inner, high], -1)
        width, slope, distance = ends.diff(dim=-1), self._sensitivity(ends), (p.unsqueeze(-1) - ends).abs()
        at_left, at_right = slope[..., :-1], slope[..., 1:]
        from_left, from_right = distance[..., :-1], distance[..., 1:]
        terms = at_left * (from_left / 3 + from_right / 6) + at_right * (from_left / 6 + from_right / 3)
        return (width * terms).sum(-1), (width * (at_left + at_right)).sum(-1) / 2 * (p - s).sign()
