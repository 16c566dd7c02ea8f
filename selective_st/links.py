r"""Links: what a selective loss cares about.

A link `h` is a nondecreasing function of a score. Its slope is the **sensitivity**: how much an error costs where the
score is `z`. Its primitive `H` (the **potential**, `H' = h`) is convex, and the **matching loss** is the Bregman
divergence of `H`:

    D_H(p, s) = H(p) - H(s) - (p - s) h(s)        p predicted, s target;  D >= 0;  dD/dp = h(p) - h(s)

Start from what matters, and let a preset choose the function:

    >>> import torch
    >>> from selective_st.links import high_scores
    >>> link = high_scores()
    >>> predicted, target = torch.tensor([0.1, 0.9]), torch.tensor([0.2, 1.0])
    >>> link.divergence(predicted, target)          # the same error of 0.1 costs more at the top
    tensor([0.0004, 0.0215])

Links add up and scale, because convex potentials do; a link is described by plain JSON, and rebuilt from it:

    >>> from selective_st.links import IdentityLink, SigmoidLink, link_from_config
    >>> link = 0.3 * IdentityLink() + SigmoidLink(scale=20, shift=0.8)
    >>> link_from_config(link.get_config_dict()) == link
    True

Every method takes and returns tensors, elementwise, in at least float32. Source: arXiv 2506.04446 (Shamir & Warmuth
2025) for matching losses and the selective links; the numerically stable forms are this project's own.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, wraps
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from selective_st._autograd import KnownSlopes, may_hold
from selective_st._caller import caller, wording
from selective_st._validation import finite_number, score_interval

__all__ = [
    "ConstantLink",
    "ExponentialLink",
    "IdentityLink",
    "Interval",
    "LinearOutsideLink",
    "Link",
    "PiecewiseLink",
    "SigmoidLink",
    "SinhLink",
    "WeightedSumLink",
    "extreme_scores",
    "high_scores",
    "link_from_config",
    "low_scores",
    "middle_scores",
    "register_link",
    "registered_links",
    "score_region",
]


class Interval(NamedTuple):
    """A closed interval of numbers, possibly unbounded: `(low, high)`."""

    low: float
    high: float

    def includes(self, other: Interval) -> bool:
        """Whether `other` lies within this interval, ends included."""
        return self.low <= other.low and other.high <= self.high

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"


# --- Numerics shared by the links --------------------------------------------------------------------------------

# Gauss-Legendre nodes on [0, 1]. Eight are exact to double precision for e^x and the sigmoid over a length |x| <= 1.
_NODES, _NODE_WEIGHTS = (array.tolist() for array in np.polynomial.legendre.leggauss(8))
_NODES = [(1 + node) / 2 for node in _NODES]
_NODE_WEIGHTS = [weight / 2 for weight in _NODE_WEIGHTS]
# A link of which only h is known may bend anywhere, so its potential is integrated over this many panels of 8 nodes.
_PANELS = 32
_PANEL_NODES = [(panel + node) / _PANELS for panel in range(_PANELS) for node in _NODES]
_PANEL_WEIGHTS = [weight / _PANELS for _ in range(_PANELS) for weight in _NODE_WEIGHTS]
# Over many scores it is integrated once, over the panels of a table.
_TABLE_PANELS = 512
_FEW_SCORES = 2**15
_PRECISE = (torch.float32, torch.float64)
# Below this relative difference of h(p) and h(s), subtracting them loses too many digits.
_CANCELLATION = 5e-3


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


def _scores(owner: str, name: str, value: Any) -> Tensor:
    """`value` as a floating-point tensor of at least single precision, or a TypeError that names the argument."""
    if isinstance(value, Tensor) and value.dtype in _PRECISE:
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = torch.tensor(float(value))
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{owner}: {name} must be a torch.Tensor, got {type(value).__name__}. Use torch.tensor({name})."
        )
    if value.dtype == torch.bool or value.is_complex():
        raise TypeError(
            f"{owner}: {name} must hold real numbers, got dtype {value.dtype}. Use {name}.to(torch.float32)."
        )
    if not value.is_floating_point():
        return value.to(torch.get_default_dtype())
    return value.float()


def _pair_of_scores(owner: str, names: tuple[str, str], first: Any, second: Any) -> tuple[Tensor, Tensor]:
    """Both arguments, checked, in one shape and dtype."""
    a, b = _scores(owner, names[0], first), _scores(owner, names[1], second)
    if a.dtype != b.dtype:
        dtype = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(dtype), b.to(dtype)
    if a.shape != b.shape:
        try:
            shape = torch.broadcast_shapes(a.shape, b.shape)
        except RuntimeError:
            raise ValueError(
                f"{owner}: {names[0]} and {names[1]} must have shapes that broadcast, got {tuple(a.shape)} and "
                f"{tuple(b.shape)}. Give both the same shape."
            ) from None
        a, b = a.expand(shape), b.expand(shape)
    if a.dtype == torch.float64:  # single precision cannot come near the largest of these numbers
        a, b = a.clamp(-_LARGEST_SCORE, _LARGEST_SCORE), b.clamp(-_LARGEST_SCORE, _LARGEST_SCORE)
    return a, b


# An exponential is a product of two, each at most e^709, so that it overflows only where the right value does, and 0
# times it is 0. Scores in double precision are cut here, so that no multiple of them overflows.
_LARGEST_HALF = 709.0
_LARGEST_SCORE = 1e300
_SMALL_WEIGHT = 2.0**-100


# e^-x - 1 + x = x^2 (1/2! - x/3! + ...); six terms reach double precision for x <= 0.02, and beyond it the left side
# loses less than two digits.
_DECAY_SERIES = [(-1) ** k / math.factorial(k) for k in range(7, 1, -1)]
_DECAY_SERIES_END = 0.02
_FEW_FOR_SERIES = 256


def _exponential_matching(half: Tensor, x: Tensor, log_factor: float, rate: float) -> tuple[Tensor, Tensor]:
    """`F (e^u - e^v - x e^v) / rate` and `F (e^u - e^v)` for `x = u - v`, without cancellation, or overflow of a part.

    With the larger of e^u and e^v drawn out, what remains is bounded: for x > 0 it is `1 - (1 + x) e^-x`, which is the
    incomplete gamma function P(2, x); for x < 0 it is `e^-|x| - 1 + |x|`, which is `|x| (1 - e^-|x|) - P(2, |x|)`.

    Args:
        half: Half of the larger of u and v, which is overwritten.
        x: Their difference.
        log_factor: The logarithm of F.
        rate: The rate.

    Returns:
        The two.
    """
    half = (half.add_(log_factor / 2) if log_factor else half).clamp_(max=_LARGEST_HALF).exp_()
    distance = x.abs()
    decay = distance.neg().expm1_()
    if x.numel() <= _FEW_FOR_SERIES:  # one slow operation takes less time than many fast ones
        above = torch.special.gammainc(_constants(2.0, x.dtype, x.device), distance)
        below = torch.addcmul(above, distance, decay).neg_()
    else:
        series = distance * _DECAY_SERIES[0]
        for coefficient in _DECAY_SERIES[1:-1]:
            series.add_(coefficient).mul_(distance)
        series.add_(_DECAY_SERIES[-1]).mul_(distance).mul_(distance)
        near = distance <= _DECAY_SERIES_END
        below = torch.where(near, series, distance + decay)
        above = torch.where(near, torch.addcmul(series, distance, decay), decay + distance * (1 + decay)).neg_()
    difference = decay.copysign_(x).mul_(half).mul_(half)
    return torch.where(x < 0, below, above).mul_(half).div_(rate).mul_(half), difference


def _softplus(x: Tensor) -> Tensor:
    """`log(1 + e^x)`. Unlike `torch.nn.functional.softplus`, exact for large x."""
    return torch.logaddexp(x, torch.zeros((), dtype=x.dtype, device=x.device))


class _Elementwise(KnownSlopes):
    """An elementwise function, computed in working precision, and its slopes.

    Each derivative is the next function, so that gradients are as exact as values: H -> h -> h', D -> difference -> h'.
    """

    def __init__(self, value: Callable[..., Tensor | tuple[Tensor, Tensor]], *slopes: Callable[..., Tensor]) -> None:
        """Say how to compute it.

        Args:
            value: The function; or the function and its slope with respect to the first argument, found beside it.
            *slopes: For each argument the slope, which autograd can follow.
        """
        self._value, self._slopes = value, slopes
        self._found: Tensor | None = None

    def value(self, *tensors: Tensor) -> Tensor:
        found = self._value(*map(_to_working_precision, tensors))
        if isinstance(found, tuple):
            found, slope = found
            self._found = slope.to(tensors[0])
        return found.to(tensors[0])

    def push(self, tangents: Sequence[Tensor | None], *tensors: Tensor) -> Tensor:
        pairs = zip(self._slopes, tangents, strict=True)
        pushed = (_times(tangent, slope_of(*tensors)) for slope_of, tangent in pairs if tangent is not None)
        return sum(pushed, torch.zeros_like(tensors[0]))

    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        pulled: list[Tensor | None] = [None] * len(needed)
        for i, slope_of in enumerate(self._slopes):
            if i == 0 and self._found is not None and not torch.is_grad_enabled():
                pulled[i] = gradient * self._found
            elif needed[i]:
                pulled[i] = _times(gradient, slope_of(*tensors))
        return pulled


def _times(change: Tensor, slope: Tensor) -> Tensor:
    """Their product: where nothing comes in, nothing goes out, however steep the function is there."""
    return change * torch.where((change == 0) & slope.isinf(), 0, slope)


# --- The base class ----------------------------------------------------------------------------------------------


_ALL_SCORES = Interval(-math.inf, math.inf)


class Link:
    r"""A nondecreasing function of a score, whose slope says how much each score region matters.

    A link of your own needs only `h`. Everything else is derived: the sensitivity by automatic differentiation, the
    potential and the divergence by Gauss-Legendre quadrature in double precision (32 panels of 8 nodes between the two
    scores, so `h` should not change much over less than a thirtieth of that distance), the inverse by bisection.
    Override `potential`, `sensitivity` and so on where you know better.

    Attributes:
        domain: The scores for which the link is defined, as `Interval(low, high)`. All real numbers unless overridden.
        range: The values `h` takes, as `Interval(low, high)`; link-value targets must lie in it.

    Example:
        >>> import torch
        >>> from selective_st.links import Link
        >>> class CubicLink(Link):
        ...     def h(self, z):
        ...         return z**3
        >>> CubicLink().divergence(torch.tensor(0.9), torch.tensor(0.5))    # (p - s)^2 (p^2 + 2 p s + 3 s^2) / 4
        tensor(0.0984)
    """

    domain: Interval = _ALL_SCORES

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in cls.__dict__ and cls.h is Link.h:  # to define the call does as well
            cls.h, cls.__call__ = cls.__dict__["__call__"], Link.__call__  # type: ignore[method-assign]
        given = cls.__dict__.get("domain")
        if given is None or isinstance(given, property):
            return
        if not isinstance(given, tuple) or len(given) != 2 or not given[0] < given[1]:
            raise TypeError(f"{cls.__name__}: domain must be Interval(low, high) with low < high, got {given!r}.")
        cls.domain = Interval(*given)

    # -- what a subclass says

    def h(self, z: Tensor) -> Tensor:
        """The link itself, elementwise on a tensor of scores."""
        raise NotImplementedError(
            f"{type(self).__name__} must define h(self, z): the link's value for each score in the tensor z."
        )

    @property
    def range(self) -> Interval:
        """The values the link takes, ends included: `Interval(low, high)`."""
        # Where h cannot be had at infinity (inf / inf), ask for it far out.
        ends = torch.tensor([self.domain, (-1e150, 1e150)], dtype=torch.float64).clamp(*self.domain)
        (low, high), (far_low, far_high) = self(ends).tolist()
        low, high = (far if math.isnan(end) else end for end, far in ((low, far_low), (high, far_high)))
        return Interval(-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)

    # -- what a user calls

    def __call__(self, z: Tensor) -> Tensor:
        """The link's values `h(z)`.

        Args:
            z: Scores, any shape.

        Returns:
            The values, in the shape of `z` and at least float32.

        Raises:
            TypeError: If `z` is not a tensor of real numbers.
        """
        return _Elementwise(self.h, self.sensitivity)(_scores(type(self).__name__, "z", z))

    def potential(self, z: Tensor) -> Tensor:
        """The potential `H(z)`, a primitive of the link: convex, with derivative `h(z)`.

        Args:
            z: Scores, any shape.

        Returns:
            The potential, in the shape of `z` and at least float32.

        Raises:
            TypeError: If `z` is not a tensor of real numbers.
        """
        return _Elementwise(self._potential, self.__call__)(_scores(type(self).__name__, "z", z))

    def sensitivity(self, z: Tensor) -> Tensor:
        """The sensitivity `h'(z)`: an error of e near the score z costs `h'(z) e^2 / 2`.

        Args:
            z: Scores, any shape.

        Returns:
            The sensitivity, >= 0, in the shape of `z` and at least float32.

        Raises:
            TypeError: If `z` is not a tensor of real numbers.
        """
        scores = _scores(type(self).__name__, "z", z)
        return self._sensitivity(_to_working_precision(scores)).to(scores)

    def inverse(self, y: Tensor) -> Tensor:
        """A score `z` with `h(z) = y`; infinite where the link only approaches `y`.

        Args:
            y: Link values, any shape, within `range`.

        Returns:
            The scores, in the shape of `y` and at least float32.

        Raises:
            TypeError: If `y` is not a tensor of real numbers.
            ValueError: If a value lies outside `range`.
        """
        rule = _Elementwise(
            lambda y: self._inverse(self._checked_link_values("y", y)), lambda y: 1 / self.sensitivity(self.inverse(y))
        )
        return rule(_scores(type(self).__name__, "y", y))

    def conjugate(self, y: Tensor) -> Tensor:
        """The convex conjugate `H*(y) = sup_z (z y - H(z))`.

        Args:
            y: Link values, any shape.

        Returns:
            The conjugate, in the shape of `y` and at least float32; `inf` outside `range`.

        Raises:
            TypeError: If `y` is not a tensor of real numbers.
        """
        return _Elementwise(self._conjugate, self.inverse)(_scores(type(self).__name__, "y", y))

    def difference(self, predicted: Tensor, target: Tensor) -> Tensor:
        """`h(predicted) - h(target)`, the gradient of the divergence, without cancellation.

        Args:
            predicted: Predicted scores, any shape.
            target: Target scores, of a shape that broadcasts with it.

        Returns:
            The differences, in the broadcast shape and at least float32.

        Raises:
            TypeError: If an argument is not a tensor of real numbers.
            ValueError: If the shapes do not broadcast.
        """
        rule = _Elementwise(
            lambda p, s: self._checked_matching("difference", p, s)[1],
            lambda p, s: self.sensitivity(p),
            lambda p, s: -self.sensitivity(s),
        )
        return rule(*_pair_of_scores(type(self).__name__, ("predicted", "target"), predicted, target))

    def divergence(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The matching loss `D(p, s) = H(p) - H(s) - (p - s) h(s)`, elementwise.

        Computed as sums of nonnegative terms: never negative, and exact to the last digits however close p and s are.

        Args:
            predicted: Predicted scores p, any shape.
            target: Target scores s, of a shape that broadcasts with it.

        Returns:
            The divergence, >= 0 and 0 where the link values agree, in the broadcast shape and at least float32.

        Raises:
            TypeError: If an argument is not a tensor of real numbers.
            ValueError: If the shapes do not broadcast, or a link of your own turns out to decrease.
        """
        rule = _Elementwise(partial(self._checked_matching, "divergence"), self.difference, self._slope_to_target)
        return rule(*_pair_of_scores(type(self).__name__, ("predicted", "target"), predicted, target))

    def fenchel_young(self, predicted: Tensor, link_values: Tensor) -> Tensor:
        """The matching loss for targets given as link values y: `H(p) + H*(y) - p y`, with gradient `h(p) - y`.

        For the target `y = h(s)` it equals `divergence(p, s)`. Link values at the ends of `range` are allowed: with a
        `SigmoidLink`, y = 0 and y = 1 give the binary cross entropy.

        Args:
            predicted: Predicted scores p, any shape.
            link_values: Link values y within `range`, of a shape that broadcasts with it.

        Returns:
            The loss, >= 0, in the broadcast shape and at least float32.

        Raises:
            TypeError: If an argument is not a tensor of real numbers.
            ValueError: If the shapes do not broadcast, or a link value lies outside `range`.
        """
        to_value = _Elementwise(
            lambda p, y: self._matching_of_value(p, y)[1],
            lambda p, y: self.sensitivity(p),
            lambda p, y: -torch.ones_like(y),
        )
        rule = _Elementwise(self._matching_of_value, to_value, lambda p, y: self.inverse(y) - p)
        return rule(*_pair_of_scores(type(self).__name__, ("predicted", "link_values"), predicted, link_values))

    def normalized(self, low: float, high: float, of: Literal["sensitivity", "value"] = "sensitivity") -> Link:
        """This link, multiplied so that the average over `[low, high]` of its sensitivity (or value) is 1.

        A link whose average sensitivity is 1 costs about as much as half the squared error there, so that changing the
        link does not ask for a new learning rate. For lists and batches normalise the value instead: then the
        potential rises as the score does, and `temperature` and `scale` keep their meaning.

        Args:
            low: Lower end of the scores' range.
            high: Upper end of the scores' range.
            of: What shall average 1: `"sensitivity"` or `"value"`.

        Returns:
            The multiple of this link.

        Raises:
            ValueError: If the range is empty or `of` unknown, or if the average is not positive.
        """
        owner = f"{type(self).__name__}.normalized"
        low, high = score_interval(owner, low, high)
        top, bottom = torch.tensor(high, dtype=torch.float64), torch.tensor(low, dtype=torch.float64)
        self._check_domain("normalized", ("low", "high"), top, bottom)
        if of == "sensitivity":
            average = float(self.difference(top, bottom)) / (high - low)
            remedy = "A link without slope there has no sensitivity; choose another range or link."
        elif of == "value":
            average = float(self.divergence(top, bottom)) / (high - low) + float(self(bottom))
            remedy = "Choose a link that is positive on the range, for example ExponentialLink."
        else:
            raise ValueError(f'{owner}: of must be "sensitivity" or "value", got {of!r}.')
        if not bool(self.sensitivity(top).isfinite() and self.sensitivity(bottom).isfinite()):
            average, remedy = math.inf, "The link overflows there; lower its scale, or choose a range nearer to 0."
        if not 0 < average < math.inf:
            raise ValueError(
                f"{owner}: the average {of} over [{low:g}, {high:g}] must be positive and finite, got {average:g}. "
                f"{remedy}"
            )
        return (1 / average) * self

    def linear_outside(self, low: float | None, high: float | None) -> Link:
        """This link within `[low, high]`, going on outside with its slope at the end.

        Outside, the loss grows as a square: no overflow for unbounded scores, however steep the link is inside.

        Args:
            low: Lower end of the range that keeps the link's shape; None to keep it however low the score.
            high: Upper end of that range; None to keep it however high the score.

        Returns:
            The link.

        Raises:
            ValueError: If the range is empty or leaves the link's domain.
        """
        return LinearOutsideLink(self, low, high)

    def get_config_dict(self) -> dict[str, Any]:
        """The link as JSON-serialisable data: its type and parameters. See `link_from_config`."""
        config: dict[str, Any] = {"type": type(self).__name__}
        for name in _parameters_of(type(self)):
            try:
                config[name] = _to_config(getattr(self, name))
            except AttributeError:
                raise TypeError(
                    f"{type(self).__name__}.get_config_dict: the constructor's parameter {name!r} must be kept as the "
                    f"attribute of that name. Add self.{name} = {name} to __init__, or make the class a dataclass."
                ) from None
        return config

    def validate(self) -> None:
        """Check on a grid over the domain that the link is defined, keeps the shape of its input, and never decreases.

        Raises:
            TypeError: If `h` does not return a tensor of the shape of its input.
            ValueError: If `h` gives NaN or decreases, with the scores where it does.
        """
        if self.__dict__.get("_validated"):
            return
        name = type(self).__name__
        # 200 wide where the domain is not bounded.
        low = max(self.domain.low, min(-100.0, self.domain.high - 200.0))
        high = min(self.domain.high, max(100.0, self.domain.low + 200.0))
        even = torch.linspace(low, high, 2001, dtype=torch.float64)
        near_zero = torch.linspace(-1.5, 1.5, 3001, dtype=torch.float64)
        grid = torch.cat([even, near_zero[(near_zero >= low) & (near_zero <= high)]]).unique()
        with torch.no_grad():
            values = self(grid)
        if not isinstance(values, Tensor) or values.shape != grid.shape:
            got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(
                f"{name}: h must return one value for each score: for input of shape {tuple(grid.shape)} it gave {got}."
            )
        if values.isnan().any():
            z = float(grid[values.isnan()][0])
            raise ValueError(
                f"{name}: h({z:g}) is NaN. Say where the link is defined: domain = Interval(low, high) in the class."
            )
        falls = (values[1:] < values[:-1] - 1e-9 * (values[1:].abs() + values[:-1].abs())).nonzero()
        if len(falls):
            i = int(falls[0])
            raise ValueError(
                f"{name}: a link must be nondecreasing, but h({float(grid[i]):g}) = {float(values[i]):g} > "
                f"h({float(grid[i + 1]):g}) = {float(values[i + 1]):g}. Its matching loss would be negative there; "
                "return -h, or restrict the domain to where it rises."
            )
        object.__setattr__(self, "_validated", True)

    @property
    def _is_everywhere(self) -> bool:
        """Whether it is defined for all scores."""
        return self.domain == _ALL_SCORES

    @property
    def _lowest_value(self) -> float:
        """`range.low`, worked out once."""
        if "_known_lowest_value" not in self.__dict__:
            _set(self, _known_lowest_value=self.range.low)
        return cast(float, self.__dict__["_known_lowest_value"])

    @property
    def _overflows(self) -> bool:
        """Whether the potential is infinite at scores that a model may give; worked out once."""
        if "_known_overflow" not in self.__dict__:
            ends = torch.tensor([-1e30, 1e30], dtype=torch.float64).clamp(*self.domain)
            _set(self, _known_overflow=not bool(self._potential(ends).isfinite().all()))
        return cast(bool, self.__dict__["_known_overflow"])

    @property
    def _potential_at_bottom(self) -> float:
        """The potential at minus infinity, worked out once; NaN where it cannot be had."""
        if "_known_potential_at_bottom" not in self.__dict__:
            bottom = torch.tensor(-math.inf, dtype=torch.float64)
            _set(self, _known_potential_at_bottom=float(self._potential(bottom)))
        return cast(float, self.__dict__["_known_potential_at_bottom"])

    # -- algebra

    def __add__(self, other: object) -> Link:
        if isinstance(other, Link):
            return _written(WeightedSumLink((1.0, 1.0), (self, other)), "{!r} + {!r}", self, other)
        if isinstance(other, (int, float)) and other == 0:  # the start of sum(links)
            return self
        return NotImplemented

    __radd__ = __add__

    def __mul__(self, factor: object) -> Link:
        if isinstance(factor, (Link, Tensor)):
            return NotImplemented
        product = WeightedSumLink((cast(float, factor),), (self,))
        return _written(
            product, f"{factor!r} * " + ("({!r})" if "+" in self.__dict__.get("_as_written", "") else "{!r}"), self
        )

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Link) and type(self) is type(other) and self.get_config_dict() == other.get_config_dict()
        )

    def __hash__(self) -> int:
        return hash(repr(self.get_config_dict()))

    def __repr__(self) -> str:
        parameters = ", ".join(f"{name}={getattr(self, name)!r}" for name in _parameters_of(type(self)))
        return f"{type(self).__name__}({parameters})"

    # -- the mathematics, on tensors of one shape and dtype, without regard to gradients; the defaults need only h

    _log_weight: ClassVar[float] = 0.0  # of a part of a sum, in whose exponent its weight is

    def _absorb(self, weight: float) -> tuple[float, Link]:
        """This link times a weight: what is left of the weight, and a link that holds the rest."""
        return weight, self

    def _potential(self, z: Tensor) -> Tensor:
        candidates = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64).clamp(*self.domain)
        finite = candidates[self(candidates).isfinite()]
        origin = torch.full_like(z, float(finite[0]) if len(finite) else math.nan)
        return self._matching(z, origin)[0] + (z - origin) * self(origin)

    def _conjugate(self, y: Tensor) -> Tensor:
        inside = (y >= self.range.low) & (y <= self.range.high)
        zeros = torch.zeros_like(y).clamp(*self.domain)
        z = self._inverse(torch.where(inside, y, self(zeros)))
        # Of H(p) + H*(y) - p y = D(p, z) for any p: p = z, or where that is infinite any other.
        p = torch.where(z.isfinite(), z, zeros)
        values = p * y - self._potential(p) + self._matching_anywhere(p, z)[0]
        return torch.where(inside | y.isnan(), values, math.inf)

    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        """`scale * H(z)` and its slope `scale * h(z)`, in the dtype of z, for score matrices.

        z may be overwritten; `out` is memory for the first, which need not be used.
        """
        precise = _to_working_precision(z)
        by_quadrature = type(self)._potential is Link._potential and z.numel() > _FEW_SCORES
        potential = self._potential_of_many if by_quadrature else self._potential
        return (scale * potential(precise)).to(z), (scale * self.h(precise)).to(z)

    def _potential_of_many(self, z: Tensor) -> Tensor:
        """The potential by a table: integrated once from panel to panel of the scores' range, then within a panel."""
        low, high = (float(end) for end in z.aminmax())
        edges = torch.linspace(low, high, _TABLE_PANELS + 1, dtype=z.dtype, device=z.device)
        width = (high - low) / _TABLE_PANELS
        rises = width * _integrate(lambda t: self.h(edges[:-1, None] + t * width), edges)
        table = self._potential(edges[:1]) + torch.cat([torch.zeros_like(edges[:1]), rises.cumsum(0)])
        potential = torch.empty_like(z)
        for scores, place in zip(z.view(-1).split(_FEW_SCORES), potential.view(-1).split(_FEW_SCORES), strict=True):
            panel = ((scores - low) / width).nan_to_num().long().clamp(0, _TABLE_PANELS - 1) if width else 0
            start = edges[panel].expand_as(scores).unsqueeze(-1)
            step = scores.unsqueeze(-1) - start
            inside = _integrate(partial(self._between, start, step), scores)
            place.copy_(table[panel] + step.squeeze(-1) * inside)
        return potential

    def _between(self, start: Tensor, step: Tensor, t: Tensor) -> Tensor:
        return self.h(start + t * step)

    def _sensitivity(self, z: Tensor) -> Tensor:
        return self._derivative(1, z)

    def _derivative(self, order: int, z: Tensor) -> Tensor:
        """A derivative of h, whose own is the next."""
        return _Elementwise(partial(self._differentiate, order), partial(self._derivative, order + 1))(z)

    def _differentiate(self, order: int, z: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            scores = z.detach().clone().requires_grad_()
            values = self.h(scores)
            for _ in range(order):
                if not values.requires_grad:  # a constant
                    return torch.zeros_like(z)
                (values,) = torch.autograd.grad(values.sum(), scores, create_graph=True)
        return values.detach()

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The divergence, and its gradient `h(p) - h(s)`, both without cancellation."""
        self.validate()
        with torch.no_grad():
            d = p - s

            def between(t: Tensor) -> Tensor:
                return s.unsqueeze(-1) + t * d.unsqueeze(-1)

            of_p, of_s = self.h(p), self.h(s)
            # Where h(p) and h(s) agree in their first digits, integrate the slope; elsewhere h, which may even jump.
            close = (of_p - of_s).abs() < _CANCELLATION * torch.maximum(of_p.abs(), of_s.abs())
            rise = _integrate(lambda t: self.h(between(t)) - of_s.unsqueeze(-1), d, panels=True)
            slope, weighted_slope = _integrate(
                lambda t: torch.stack([sensitivity := self.sensitivity(between(t)), (1 - t) * sensitivity]),
                d,
                panels=True,
            )
            divergence = torch.where(close, d * (d * weighted_slope), d * rise)
            divergence = torch.where(of_s.isinf(), math.inf, divergence)
            difference = torch.where(of_p == of_s, d * 0, of_p - of_s)  # also where both are infinite
            difference = torch.where(close, d * slope, torch.where(of_s.isinf(), d * math.inf, difference))
            return torch.where(d == 0, d, divergence), torch.where(d == 0, d, difference)

    def _inverse(self, y: Tensor) -> Tensor:
        """Bisection on the link, for each distinct value once."""
        values, where = y.unique(return_inverse=True)
        bottom, top = (min(max(start, self.domain.low), self.domain.high) for start in (-1.0, 1.0))
        low, high = torch.full_like(values, bottom), torch.full_like(values, top)
        with torch.no_grad():
            for step in (2.0**i for i in range(40)):
                low = torch.where(self(low) > values, low - step, low).clamp(*self.domain)
                high = torch.where(self(high) < values, high + step, high).clamp(*self.domain)
            missed = (self(low) > values) | (self(high) < values)
            for _ in range(1100):
                middle = (low + high) / 2
                if bool(((middle <= low) | (middle >= high)).all()):
                    break
                below = self(middle) < values
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        ends = torch.where(values <= self.range.low, -math.inf, math.inf).to(values)
        if bool((missed & (values > self.range.low) & (values < self.range.high)).any()):
            value = float(values[missed][0])
            raise ValueError(f"{type(self).__name__}: no score has the link value {value:g}; give values within range.")
        return torch.where(missed, ends, high)[where].view_as(y)

    def _checked_matching(self, method: str, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """`_matching` of scores within the domain."""
        self._check_domain(method, ("predicted", "target"), p, s)
        return self._matching(p, s)

    def _matching_of_value(self, p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """`_matching` for the target whose link value is y."""
        self._check_domain("fenchel_young", ("predicted",), p)
        return self._matching_anywhere(p, self._inverse(self._checked_link_values("link_values", y)))

    def _matching_anywhere(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """`_matching` also for a target at infinity: the divergence is the area between the link and its limit."""
        at_end = s.isinf()
        if bool(at_end.any()):
            if not self._is_exact_far_out:
                end = self.range.high if float(s[at_end][0]) > 0 else self.range.low
                raise ValueError(
                    f"{caller(type(self).__name__)}: the loss is infinite for the link value {end:g}, which the link "
                    "only approaches. Give link values strictly inside the range."
                )
            s = s.clamp(-_LARGEST_SCORE, _LARGEST_SCORE)
        return self._matching(p, s)

    @property
    def _is_exact_far_out(self) -> bool:
        """Whether `_matching` is right for scores at any distance, which a quadrature is not."""
        return type(self)._matching is not Link._matching

    def _slope_to_target(self, p: Tensor, s: Tensor) -> Tensor:
        """The slope of the divergence with respect to the target: `(s - p) h'(s)`, 0 at the match."""
        precise = _to_working_precision(s)
        distance, sensitivity = precise - _to_working_precision(p), self.sensitivity(precise)
        overflows = sensitivity.isinf()
        if not may_hold(overflows):
            return (distance * sensitivity).to(s)
        # The product may be finite where the sensitivity is not.
        small = torch.where(overflows & (distance != 0), self._small_sensitivity(precise), 0)
        slope = distance * torch.where(overflows, small, sensitivity)
        return torch.where(overflows, slope / _SMALL_WEIGHT, slope).to(s)

    def _small_sensitivity(self, z: Tensor) -> Tensor:
        """`_SMALL_WEIGHT h'(z)`, where `h'(z)` may overflow."""
        weight, link = self._absorb(_SMALL_WEIGHT)
        return weight * link.sensitivity(z)

    def _checked_link_values(self, name: str, y: Tensor) -> Tensor:
        """The link values within the range; an error where they are not."""
        if not y.numel():
            return y
        owner, name = caller(type(self).__name__), wording(name)
        low, high = (float(end) for end in y.detach().aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(
                f"{owner}: {name} must hold finite numbers, got values from {low:g} to {high:g}. Leave such rows out, "
                "or mask them."
            )
        # The end of a range, rounded to single precision, may lie a little beyond it.
        slack = 1e-6 * max([abs(end) for end in self.range if math.isfinite(end)], default=0.0)
        if low < self.range.low - slack or high > self.range.high + slack:
            raise ValueError(
                f"{owner}: {name} must lie within the link's range {self.range}, got values from {low:g} to {high:g}. "
                'If they are scores rather than link values, use divergence (in a loss: targets="scores"); if they are '
                "link values of another scale, map them to the range first."
            )
        return y.clamp(*self.range)

    def _check_domain(self, method: str, names: Sequence[str], *scores: Tensor) -> None:
        """Raise where scores leave a bounded domain: there the loss could be negative, or NaN."""
        if self._is_everywhere:
            return
        for tensor in scores:
            if tensor.numel():
                low, high = (float(end) for end in tensor.detach().aminmax())
                if low < self.domain.low or high > self.domain.high:
                    owner, what = caller(f"{type(self).__name__}.{method}"), " and ".join(map(wording, names))
                    raise ValueError(
                        f"{owner}: {what} must lie within the link's domain {self.domain}, got values from {low:g} to "
                        f"{high:g}. For scores beyond it use link.linear_outside(low, high), with ends inside of it."
                    )


# --- Configs -----------------------------------------------------------------------------------------------------

_LINKS: dict[str, type[Link]] = {}
_LinkType = TypeVar("_LinkType", bound=type[Link])
_DEEPEST_NESTING = 50  # links within links
_LARGEST_WEIGHT = 1e300


def register_link(link_class: _LinkType) -> _LinkType:
    """Make a link class of your own known to `link_from_config`, by its class name; use it as a decorator.

    Its constructor's parameters must be kept as attributes of the same names (a dataclass does so by itself).

    Args:
        link_class: A subclass of `Link`.

    Returns:
        The class, unchanged.

    Raises:
        TypeError: If it is not a subclass of `Link`.
        ValueError: If another class is registered under that name.

    Example:
        >>> from dataclasses import dataclass
        >>> from selective_st.links import Link, link_from_config, register_link
        >>> @register_link
        ... @dataclass(frozen=True, eq=False, repr=False)
        ... class SoftsignLink(Link):
        ...     scale: float = 1.0
        ...     def h(self, z):
        ...         return self.scale * z / (1 + (self.scale * z).abs())
        >>> link_from_config({"type": "SoftsignLink", "scale": 3.0})
        SoftsignLink(scale=3.0)
    """
    if not (isinstance(link_class, type) and issubclass(link_class, Link)):
        raise TypeError(f"register_link: link_class must be a subclass of Link, got {link_class!r}.")
    known = _LINKS.get(link_class.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (link_class.__module__, link_class.__qualname__):
        raise ValueError(
            f"register_link: the name {link_class.__name__!r} is taken by {known.__module__}.{known.__qualname__}; "
            "rename your class."
        )
    _LINKS[link_class.__name__] = link_class
    return link_class


def registered_links() -> dict[str, type[Link]]:
    """The link classes that `link_from_config` knows, by name."""
    return dict(_LINKS)


def link_from_config(config: Mapping[str, Any]) -> Link:
    """Rebuild a link from `Link.get_config_dict()`, exactly.

    A config is data: its type must be registered and its fields must be the type's parameters. Nothing in it is ever
    evaluated, imported or unpickled.

    Args:
        config: For example `{"type": "SigmoidLink", "scale": 20.0, "shift": 0.8}`.

    Returns:
        The link.

    Raises:
        TypeError: If the config is not a mapping, or a field has a value of the wrong type.
        ValueError: If the type is unknown, a field is missing or unknown, or a value is not allowed.

    Example:
        >>> from selective_st.links import link_from_config
        >>> link_from_config({"type": "SigmoidLink", "scale": 20, "shift": 0.8})
        SigmoidLink(scale=20.0, shift=0.8)
    """
    return _link_from_config(config, depth=0)


def _link_from_config(config: object, depth: int) -> Link:
    if not isinstance(config, Mapping):
        raise TypeError(
            f"{caller('link_from_config')}: config must be a dict such as "
            f"{{'type': 'SigmoidLink', 'scale': 20.0, 'shift': 0.8}}, got {type(config).__name__}."
        )
    if depth > _DEEPEST_NESTING:
        raise ValueError(f"{caller('link_from_config')}: config is nested more than {_DEEPEST_NESTING} links deep.")
    fields = dict(config)
    link_type = fields.pop("type", None)
    link_class = _LINKS.get(link_type) if isinstance(link_type, str) else None
    if link_class is None:
        raise ValueError(
            f"{caller('link_from_config')}: unknown link type {link_type!r}; known types: {', '.join(sorted(_LINKS))}. "
            "A link class of your own is made known with @register_link."
        )
    expected = _parameters_of(link_class)
    unknown = [name for name in fields if name not in expected]
    missing = [name for name in expected if name not in fields]
    if unknown or missing:
        problems = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
        problems += [f"has unknown {', '.join(map(repr, unknown))}"] if unknown else []
        raise ValueError(
            f"{caller('link_from_config')}: the config of a {link_type} {' and '.join(problems)}; its fields are: "
            f"{', '.join(['type', *expected])}."
        )
    link = link_class(**{name: _from_config(value, depth) for name, value in fields.items()})
    link.validate()
    return link


def _from_config(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return _link_from_config(value, depth + 1)
    if isinstance(value, (list, tuple)):
        return tuple(_list_item(item, depth) for item in value)
    return value


def _list_item(value: Any, depth: int) -> Any:
    if isinstance(value, (list, tuple)):
        raise TypeError(
            f"{caller('link_from_config')}: a list must hold numbers or links, got a list in it: {value!r:.80}."
        )
    return _from_config(value, depth)


def _check_depth(link: Link) -> None:
    depth, level = 0, [link]
    while level:
        depth += 1
        inner = [(*getattr(outer, "links", ()), getattr(outer, "link", None)) for outer in level]
        level = [link for links in inner for link in links if link is not None]
    if depth > _DEEPEST_NESTING:
        raise ValueError(f"{type(link).__name__}: links can be nested at most {_DEEPEST_NESTING} deep, got {depth}.")


def _to_config(value: Any) -> Any:
    if isinstance(value, Link):
        return value.get_config_dict()
    if isinstance(value, (list, tuple)):
        return [_to_config(item) for item in value]
    return value


_PARAMETERS: dict[type[Link], tuple[str, ...]] = {}  # reading a signature takes longer than a small loss


def _parameters_of(link_class: type[Link]) -> tuple[str, ...]:
    if link_class not in _PARAMETERS:
        has_none = link_class.__init__ is object.__init__
        _PARAMETERS[link_class] = () if has_none else tuple(inspect.signature(link_class).parameters)
    return _PARAMETERS[link_class]


# --- The links ---------------------------------------------------------------------------------------------------


def _set(link: Link, **values: object) -> None:
    """Store checked values in a frozen dataclass."""
    for name, value in values.items():
        object.__setattr__(link, name, value)


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

    @property
    @override
    def range(self) -> Interval:
        return Interval(1.0, 1.0)

    @override
    def h(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)

    @override
    def _potential(self, z: Tensor) -> Tensor:
        return z.clone()

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        return z.mul_(scale), scale

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        zeros = 0 * (p - s)  # rather than zeros_like: a NaN stays visible
        return zeros, zeros

    @override
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

    @property
    @override
    def range(self) -> Interval:
        return Interval(-math.inf, math.inf)

    @override
    def h(self, z: Tensor) -> Tensor:
        return z

    @override
    def _potential(self, z: Tensor) -> Tensor:
        return z.square() / 2

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        return torch.mul(z, z, out=out).mul_(scale / 2), z.mul_(scale)

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        d = p - s
        return d.square() / 2, d

    @override
    def _inverse(self, y: Tensor) -> Tensor:
        return y.clone()


@dataclass(frozen=True, eq=False, repr=False)
class _ShiftedLink(Link):
    """A link of `a (z - c)`, with `scale` a > 0 and `shift` c."""

    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        _set(
            self,
            scale=finite_number(owner, "scale", self.scale, positive=True),
            shift=finite_number(owner, "shift", self.shift),
        )

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

    @property
    @override
    def range(self) -> Interval:
        return Interval(0.0, 1.0)

    @override
    def h(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self._scaled(z))

    @override
    def _potential(self, z: Tensor) -> Tensor:
        return _softplus(self._scaled(z)) / self.scale

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        w = self._scaled(z)
        return self.scale * torch.sigmoid(w) * torch.sigmoid(-w)

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        w = self._scaled(z)
        # log(1 + e^w) in one pass, where e^w is finite; beyond, it is w to the last digit.
        finite = 700.0 if w.dtype == torch.float64 else 80.0
        out = torch.empty_like(w) if out is None else out
        logits: Tensor = torch.ops.aten.softplus.out(w, 1.0, finite, out=out)
        return logits.mul_(scale / self.scale), w.sigmoid_().mul_(scale)

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        # D is symmetric about c, so reflect the target to below c, where nothing but softplus(u) can be large.
        v = self._scaled(s)
        flip = torch.where(v > 0, -1.0, 1.0).to(v)
        u, v, x = flip * self._scaled(p), flip * v, flip * self.scale * (p - s)

        def slope(t: Tensor) -> Tensor:
            h = torch.sigmoid(v.unsqueeze(-1) + t * x.clamp(-1, 1).unsqueeze(-1))
            return (1 - t) * (h - h.square())

        near = x.square() * _integrate(slope, x)
        far = _softplus(u) - _softplus(v) - torch.sigmoid(v) * x
        divergence = torch.where(x.abs() < 1, near, far) / self.scale
        decay = torch.expm1(-x.abs()).copysign(flip * x)
        return divergence, torch.sigmoid(torch.maximum(u, v)) * torch.sigmoid(-torch.minimum(u, v)) * decay

    @override
    def _inverse(self, y: Tensor) -> Tensor:
        return (torch.log(y) - torch.log1p(-y)) / self.scale + self.shift


def _in_exponent(link: Link, weight: float) -> tuple[float, Link]:
    """A link whose weight belongs into its exponent, where it keeps what would overflow without it from overflowing."""
    weighted = copy.copy(link)
    _set(weighted, _log_weight=math.log(weight) + link._log_weight)
    return 1.0, weighted


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

    @property
    @override
    def range(self) -> Interval:
        return Interval(-math.inf, math.inf)

    # sinh and cosh as exponentials, with every factor in the exponent: they overflow only where the right value does.

    @override
    def h(self, z: Tensor) -> Tensor:
        w = self._scaled(z)
        return torch.exp(w.abs() + (self._log_weight - math.log(2))).mul_(torch.expm1(-2 * w.abs())).copysign(w)

    @override
    def _potential(self, z: Tensor) -> Tensor:
        return self._cosh(z, 1 / self.scale)

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        return self._cosh(z, self.scale)

    def _cosh(self, z: Tensor, factor: float) -> Tensor:
        w, exponent = self._scaled(z), math.log(factor / 2) + self._log_weight
        return torch.exp(exponent + w) + torch.exp(exponent - w)

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        w, scale = self._scaled(z), scale * math.exp(self._log_weight)
        return torch.cosh(w, out=out).mul_(scale / self.scale), w.sinh_().mul_(scale)

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        x, log_factor = self.scale * (p - s), self._log_weight - math.log(2)
        above, below = (half.sub_(self.shift) for half in (torch.maximum(p, s), torch.minimum(p, s)))
        rising, rise = _exponential_matching(above.mul_(self.scale / 2), x, log_factor, self.scale)
        falling, fall = _exponential_matching(below.mul_(-self.scale / 2), x.neg(), log_factor, self.scale)
        return rising.add_(falling), rise.sub_(fall)

    @override
    def _absorb(self, weight: float) -> tuple[float, Link]:
        return _in_exponent(self, weight) if type(self) is SinhLink else (weight, self)

    @override
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

    def __post_init__(self) -> None:
        scale = finite_number("ExponentialLink", "scale", self.scale)
        if scale == 0:
            raise ValueError(
                "ExponentialLink: scale must not be 0, got 0.0. Use a positive scale where high scores matter, a "
                "negative one where low scores do, or IdentityLink() where all matter alike."
            )
        _set(self, scale=scale)

    @property
    @override
    def range(self) -> Interval:
        return Interval(0.0, math.inf) if self.scale > 0 else Interval(-math.inf, 0.0)

    @property
    def _sign(self) -> float:
        return math.copysign(1.0, self.scale)

    def _exponential(self, z: Tensor, factor: float = 1.0) -> Tensor:
        """`factor e^(a z)`, the factor in the exponent, so that it overflows only where the right value does."""
        return torch.exp(self.scale * z + (math.log(factor) + self._log_weight))

    @override
    def h(self, z: Tensor) -> Tensor:
        return self._sign * self._exponential(z)

    @override
    def _potential(self, z: Tensor) -> Tensor:
        return self._exponential(z, 1 / abs(self.scale))

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        return self._exponential(z, abs(self.scale))

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        slope = z.mul_(self.scale).add_(math.log(scale) + self._log_weight).exp_()
        return torch.div(slope, abs(self.scale), out=out), slope if self.scale > 0 else slope.neg_()

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        half = (torch.maximum(p, s) if self.scale > 0 else torch.minimum(p, s)).mul_(self.scale / 2)
        divergence, difference = _exponential_matching(
            half, (p - s).mul_(self.scale), self._log_weight, abs(self.scale)
        )
        return divergence, difference if self.scale > 0 else difference.neg_()

    @override
    def _absorb(self, weight: float) -> tuple[float, Link]:
        return _in_exponent(self, weight) if type(self) is ExponentialLink else (weight, self)

    @override
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
    _corners: ClassVar[tuple[tuple[float, ...], ...]]

    def __post_init__(self) -> None:
        for name in ("knots", "sensitivities"):
            value = getattr(self, name)
            if isinstance(value, (Tensor, np.ndarray)):
                value = value.tolist()
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise TypeError(
                    f"PiecewiseLink: {name} must be a list of numbers, got {value!r} of type {type(value).__name__}."
                )
            if not value:
                raise ValueError(f"PiecewiseLink: {name} must not be empty; give at least one number.")
            checked = tuple(
                finite_number("PiecewiseLink", f"{name}[{i}]", item, nonnegative=name == "sensitivities")
                for i, item in enumerate(value)
            )
            _set(self, **{name: checked})
        if len(self.knots) != len(self.sensitivities):
            raise ValueError(
                "PiecewiseLink: give one sensitivity for each knot, got "
                f"{len(self.knots)} knots and {len(self.sensitivities)} sensitivities."
            )
        for i, (left, right) in enumerate(pairwise(self.knots)):
            if not left < right:
                raise ValueError(
                    f"PiecewiseLink: knots must increase strictly, got knots[{i}]={left:g} and "
                    f"knots[{i + 1}]={right:g}."
                )
        if not any(self.sensitivities):
            raise ValueError("PiecewiseLink: sensitivities must not all be 0: nothing would matter.")
        # Of each piece the end with the smaller sensitivity, so that from there all is >= 0, and the slope.
        corners = [
            (*min((at_left, left), (at_right, right))[::-1], (at_right - at_left) / (right - left))
            for (left, right), (at_left, at_right) in zip(
                pairwise(self.knots), pairwise(self.sensitivities), strict=True
            )
        ]
        _set(self, _corners=tuple(zip(*corners, strict=True)))

    @property
    @override
    def range(self) -> Interval:
        first, last = torch.tensor([self.knots[0], self.knots[-1]], dtype=torch.float64)
        top = float(self._matching(last, first)[1])
        return Interval(
            -math.inf if self.sensitivities[0] > 0 else 0.0, math.inf if self.sensitivities[-1] > 0 else top
        )

    @override
    def h(self, z: Tensor) -> Tensor:
        return self._matching(z, torch.full_like(z, self.knots[0]))[1]

    @override
    def _potential(self, z: Tensor) -> Tensor:
        return self._matching(z, torch.full_like(z, self.knots[0]))[0]

    @override
    def _sensitivity(self, z: Tensor) -> Tensor:
        if len(self.knots) == 1:
            return torch.full_like(z, self.sensitivities[0])
        knots = _constants(self.knots, z.dtype, z.device)
        inside = z.clamp(knots[0], knots[-1])
        piece = torch.searchsorted(knots[1:-1], inside.detach().contiguous()).clamp(max=len(knots) - 2)  # also of a NaN
        starts, values, slopes = _constants(self._corners, z.dtype, z.device)
        sensitivity: Tensor = values[piece] + slopes[piece] * (inside - starts[piece])
        return sensitivity

    @override
    def _logits(self, z: Tensor, scale: float, out: Tensor | None = None) -> tuple[Tensor, Tensor | float]:
        # Which polynomial holds for each score; then all scores at once, by Horner's rule.
        starts, *coefficients = _constants(self._pieces(scale), z.dtype, z.device)
        piece = torch.bucketize(z, starts[1:])
        d = z.sub_(starts[piece])
        constant, linear, square, cubic = (values[piece] for values in coefficients)
        slope = (3 * cubic * d + 2 * square).mul_(d).add_(linear)
        return cubic.mul_(d).add_(square).mul_(d).add_(linear).mul_(d).add_(constant), slope

    def _pieces(self, scale: float) -> tuple[tuple[float, ...], ...]:
        """Of each piece of `scale * H`: the score it counts from, and its coefficients from constant to cubic."""
        first, value, h = self.knots[0], 0.0, 0.0
        pieces = [(first, 0.0, 0.0, self.sensitivities[0] / 2, 0.0)]
        ends = zip(pairwise(self.knots), pairwise(self.sensitivities), strict=True)
        for (start, end), (at_start, at_end) in ends:
            width, bend = end - start, (at_end - at_start) / (end - start)
            pieces.append((start, value, h, at_start / 2, bend / 6))
            value += width * (h + width * (at_start / 2 + width * bend / 6))
            h += width * (at_start + at_end) / 2
        pieces.append((self.knots[-1], value, h, self.sensitivities[-1] / 2, 0.0))
        starts, *coefficients = zip(*pieces, strict=True)
        return (starts, *(tuple(scale * number for number in column) for column in coefficients))

    @override
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        # Cut the way between s and p at the knots. D is the integral of |p - z| h'(z): on each segment a product of two
        # linear functions >= 0.
        knots = _constants(self.knots, p.dtype, p.device)
        low, high = torch.minimum(p, s).unsqueeze(-1), torch.maximum(p, s).unsqueeze(-1)
        inner = torch.minimum(torch.maximum(knots, low), high)
        ends = torch.cat([low, inner, high], -1)
        width, slope, distance = ends.diff(dim=-1), self._sensitivity(ends), (p.unsqueeze(-1) - ends).abs()
        at_left, at_right, from_left, from_right = (
            slope[..., :-1],
            slope[..., 1:],
            distance[..., :-1],
            distance[..., 1:],
        )
        terms = at_left * (from_left / 3 + from_right / 6) + at_right * (from_left / 6 + from_right / 3)
        return (width * terms).sum(-1), (width * (at_left + at_right)).sum(-1) / 2 * (p - s).sign()


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


# --- Presets: what matters, not which function --------------------------------------------------------------------

_UNIT = (0.0, 1.0)
_Preset = TypeVar("_Preset", bound=Callable[..., Link])


def _written(link: Link, code: str, *parts: Link) -> Link:
    """A link that is shown as it was written, code with its parts, if one of these is shown so."""
    if any("_as_written" in part.__dict__ for part in parts):
        _set(link, _as_written=code.format(*parts))
    return link


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
