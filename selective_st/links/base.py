"""The base class: what a link is, what follows from its values, and links as plain data."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, TypeVar, cast

import torch
from torch import Tensor

from selective_st._autograd import KnownSlopes, look, may_hold
from selective_st._caller import caller, wording
from selective_st._validation import score_interval
from selective_st.links._numerics import _LARGEST_SCORE, Interval, _integrate, _to_working_precision, check_tensor

_LINKS: dict[str, type[Link]] = {}  # by name, for configs
_DEEPEST_NESTING = 50  # links within links
_FARTHEST = torch.tensor(2.0**40, dtype=torch.float64)  # where the inverse is looked for
_ALL_SCORES = Interval(-math.inf, math.inf)
# Over many scores a potential of which only h is known is integrated once, over the panels of a table.
_TABLE_PANELS = 512
_FEW_SCORES = 2**15
# Below this relative difference of h(p) and h(s), subtracting them loses too many digits.
_CANCELLATION = 5e-3
_SMALL_WEIGHT = 2.0**-100


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
        found = None if torch.is_grad_enabled() else self._found
        pulled: list[Tensor | None] = [None if found is None else gradient * found]
        for slope_of, is_needed in zip(self._slopes[found is not None :], needed[found is not None :], strict=True):
            pulled.append(_times(gradient, slope_of(*tensors)) if is_needed else None)
        return pulled if found is not None else pulled[1:]


def _times(change: Tensor, slope: Tensor) -> Tensor:
    """Their product: where nothing comes in, nothing goes out, however steep the function is there."""
    return change * torch.where((change == 0) & slope.isinf(), 0, slope)


def _checked_scores(owner: str, **given: Any) -> list[Tensor]:
    """One or two arguments as tensors of one shape and dtype, of at least single precision."""
    scores = []
    for name, value in given.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        tensor = check_tensor(owner, name, torch.tensor(float(value)) if is_number else value)
        if tensor.dtype not in (torch.float32, torch.float64):
            tensor = tensor.float() if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())
        scores.append(tensor)
    if len(scores) == 1:
        return scores
    (a, b), (first, second) = scores, given
    if a.dtype != b.dtype:
        a, b = a.double(), b.double()
    if a.shape != b.shape:
        try:
            a, b = torch.broadcast_tensors(a, b)
        except RuntimeError:
            got = f"got {tuple(a.shape)} and {tuple(b.shape)}. Give both the same shape."
            raise ValueError(f"{owner}: {first} and {second} must have shapes that broadcast, {got}") from None
    if a.dtype == torch.float64:  # single precision cannot come near the largest of these numbers
        a, b = a.clamp(-_LARGEST_SCORE, _LARGEST_SCORE), b.clamp(-_LARGEST_SCORE, _LARGEST_SCORE)
    return [a, b]


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
    # The links made of links, which know this class.
    _weighted_sum: ClassVar[Any]
    _linear_outside: ClassVar[Any]
    _depth: ClassVar[int] = 1  # of links within links
    _is_exact_in_single: ClassVar[bool] = False  # whether `_matching` is, of scores in single precision
    _is_exact_far_out: ClassVar[bool] = False  # whether `_matching` is, which a quadrature is not

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in cls.__dict__ and cls.h is Link.h:  # to define the call does as well
            cls.h, cls.__call__ = cls.__dict__["__call__"], Link.__call__  # type: ignore[method-assign]
        cls._is_exact_far_out = cls._matching is not Link._matching
        domain: Any = cls.domain
        if isinstance(domain, property):
            return
        if not isinstance(domain, tuple) or len(domain) != 2 or not domain[0] < domain[1]:
            raise TypeError(f"{cls.__name__}: domain must be Interval(low, high) with low < high, got {domain!r}.")
        cls.domain = Interval(*domain)

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
        return self._elementwise(self.h, self.sensitivity, z=z)

    def potential(self, z: Tensor) -> Tensor:
        """The potential `H(z)`, a primitive of the link: convex, with derivative `h(z)`.

        Args:
            z: Scores, any shape.

        Returns:
            The potential, in the shape of `z` and at least float32.

        Raises:
            TypeError: If `z` is not a tensor of real numbers.
        """
        return self._elementwise(self._potential, self.__call__, z=z)

    def sensitivity(self, z: Tensor) -> Tensor:
        """The sensitivity `h'(z)`: an error of e near the score z costs `h'(z) e^2 / 2`.

        Args:
            z: Scores, any shape.

        Returns:
            The sensitivity, >= 0, in the shape of `z` and at least float32.

        Raises:
            TypeError: If `z` is not a tensor of real numbers.
        """
        (scores,) = _checked_scores(type(self).__name__, z=z)
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
        return self._elementwise(
            lambda y: self._inverse(self._checked_link_values("y", y)),
            lambda y: 1 / self.sensitivity(self.inverse(y)),
            y=y,
        )

    def conjugate(self, y: Tensor) -> Tensor:
        """The convex conjugate `H*(y) = sup_z (z y - H(z))`.

        Args:
            y: Link values, any shape.

        Returns:
            The conjugate, in the shape of `y` and at least float32; `inf` outside `range`.

        Raises:
            TypeError: If `y` is not a tensor of real numbers.
        """
        return self._elementwise(self._conjugate, self.inverse, y=y)

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
        slopes = (lambda p, s: self.sensitivity(p)), (lambda p, s: -self.sensitivity(s))
        scores = {"predicted": predicted, "target": target}
        return self._elementwise(lambda p, s: self._checked_matching("difference", p, s)[1], *slopes, **scores)

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
        matching = partial(self._checked_matching, "divergence")
        return self._elementwise(matching, self.difference, self._slope_to_target, predicted=predicted, target=target)

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

        def difference(p: Tensor, y: Tensor) -> Tensor:
            slopes = (lambda p, y: self.sensitivity(p)), (lambda p, y: -torch.ones_like(y))
            return _Elementwise(lambda p, y: self._matching_of_value(p, y)[1], *slopes)(p, y)

        scores = {"predicted": predicted, "link_values": link_values}
        return self._elementwise(self._matching_of_value, difference, lambda p, y: self.inverse(y) - p, **scores)

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
        check_domain(owner, self, bottom, top, what="low and high")
        if of == "sensitivity":
            average = float(self.difference(top, bottom)) / (high - low)
            mend = "A link without slope there has no sensitivity; choose another range or link."
        elif of == "value":
            average = float(self.divergence(top, bottom)) / (high - low) + float(self(bottom))
            mend = "Choose a link that is positive on the range, for example ExponentialLink."
        else:
            raise ValueError(f'{owner}: of must be "sensitivity" or "value", got {of!r}.')
        if not bool(self.sensitivity(top).isfinite() and self.sensitivity(bottom).isfinite()):
            average, mend = math.inf, "The link overflows there; lower its scale, or choose a range nearer to 0."
        if not 0 < average < math.inf:
            what = f"the average {of} over [{low:g}, {high:g}]"
            raise ValueError(f"{owner}: {what} must be positive and finite, got {average:g}. {mend}")
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
        return cast(Link, self._linear_outside(self, low, high))

    def get_config_dict(self) -> dict[str, Any]:
        """The link as JSON-serialisable data: its type and parameters. See `link_from_config`."""
        config: dict[str, Any] = {"type": type(self).__name__}
        for name in _parameters_of(type(self)):
            try:
                config[name] = _to_config(getattr(self, name))
            except AttributeError:
                what = f"the constructor's parameter {name!r} must be kept as the attribute of that name"
                mend = f"Add self.{name} = {name} to __init__, or make the class a dataclass."
                raise TypeError(f"{type(self).__name__}.get_config_dict: {what}. {mend}") from None
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
            given = f"for input of shape {tuple(grid.shape)} it gave {got}"
            raise TypeError(f"{name}: h must return one value for each score: {given}.")
        if values.isnan().any():
            mend = "Say where the link is defined: domain = Interval(low, high) in the class."
            raise ValueError(f"{name}: h({float(grid[values.isnan()][0]):g}) is NaN. {mend}")
        falls = (values[1:] < values[:-1] - 1e-9 * (values[1:].abs() + values[:-1].abs())).nonzero()
        if len(falls):
            ends = zip(grid[int(falls[0]) :][:2].tolist(), values[int(falls[0]) :][:2].tolist(), strict=True)
            got = " > ".join(f"h({z:g}) = {value:g}" for z, value in ends)
            mend = "Its matching loss would be negative there; return -h, or restrict the domain to where it rises."
            raise ValueError(f"{name}: a link must be nondecreasing, but {got}. {mend}")
        _set(self, _validated=True)

    @cached_property
    def _lowest_value(self) -> float:
        """`range.low`, worked out once."""
        return self.range.low

    @cached_property
    def _overflows(self) -> bool:
        """Whether the potential is infinite at scores that a model may give."""
        ends = torch.tensor([-1e30, 1e30], dtype=torch.float64).clamp(*self.domain)
        return not bool(self._potential(ends).isfinite().all())

    @cached_property
    def _potential_at_bottom(self) -> float:
        """The potential at minus infinity; NaN where it cannot be had."""
        return float(self._potential(torch.tensor(-math.inf, dtype=torch.float64)))

    # -- algebra

    def __add__(self, other: object) -> Link:
        if isinstance(other, Link):
            return _written(self._weighted_sum((1.0, 1.0), (self, other)), "{!r} + {!r}", self, other)
        if isinstance(other, (int, float)) and other == 0:  # the start of sum(links)
            return self
        return NotImplemented

    __radd__ = __add__

    def __mul__(self, factor: object) -> Link:
        if isinstance(factor, (Link, Tensor)):
            return NotImplemented
        product = self._weighted_sum((cast(float, factor),), (self,))
        _set(product, _preset=self.__dict__.get("_preset"))  # a multiple is shaped as the preset is
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

    # Whether a weight belongs into the exponent, where it keeps what would overflow without it from overflowing; and
    # its logarithm, of a part of a sum.
    _weight_in_exponent: ClassVar[bool] = False
    _log_weight: ClassVar[float] = 0.0

    def _absorb(self, weight: float) -> tuple[float, Link]:
        """This link times a weight: what is left of the weight, and a link that holds the rest."""
        if not vars(type(self)).get("_weight_in_exponent"):  # a subclass may have another h
            return weight, self
        weighted = copy.copy(self)
        _set(weighted, _log_weight=math.log(weight) + self._log_weight)
        return 1.0, weighted

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

            def slopes(t: Tensor) -> Tensor:
                sensitivity = self.sensitivity(between(t))
                return torch.stack([sensitivity, (1 - t) * sensitivity])

            of_p, of_s = self.h(p), self.h(s)
            # Where h(p) and h(s) agree in their first digits, integrate the slope; elsewhere h, which may even jump.
            close = (of_p - of_s).abs() < _CANCELLATION * torch.maximum(of_p.abs(), of_s.abs())
            rise = _integrate(lambda t: self.h(between(t)) - of_s.unsqueeze(-1), d, panels=True)
            slope, weighted_slope = _integrate(slopes, d, panels=True)
            divergence = torch.where(close, d * (d * weighted_slope), d * rise)
            divergence = torch.where(of_s.isinf(), math.inf, divergence)
            difference = torch.where(of_p == of_s, d * 0, of_p - of_s)  # also where both are infinite
            difference = torch.where(close, d * slope, torch.where(of_s.isinf(), d * math.inf, difference))
            return torch.where(d == 0, d, divergence), torch.where(d == 0, d, difference)

    def _inverse(self, y: Tensor) -> Tensor:
        """Bisection outward from 0, on the bits of the distance, for each distinct value once."""
        values, where = y.unique(return_inverse=True)
        start = torch.zeros_like(values).clamp(*self.domain)
        with torch.no_grad():
            side = torch.where(self(start) < values, 1.0, -1.0).to(values)

            def score_at(bits: Tensor) -> Tensor:
                return (start + side * bits.view(torch.float64)).clamp(*self.domain)

            farthest = _FARTHEST.to(values).view(torch.int64).expand(values.shape)
            low, high = torch.full_like(farthest, -1), farthest
            for _ in range(63):
                middle = low + (high - low) // 2
                is_reached = side * (self(score_at(middle)) - values) >= 0
                low, high = torch.where(is_reached, low, middle), torch.where(is_reached, middle, high)
            missed = ~(side * (self(score_at(high)) - values) >= 0)
        ends = torch.where(values <= self.range.low, -math.inf, math.inf).to(values)
        if bool((missed & (values > self.range.low) & (values < self.range.high)).any()):
            value = float(values[missed][0])
            raise ValueError(f"{type(self).__name__}: no score has the link value {value:g}; give values within range.")
        return torch.where(missed, ends, score_at(high))[where].view_as(y)

    def _elementwise(self, value: Any, *slopes: Any, **scores: Tensor) -> Tensor:
        """A function of scores by its value and its slopes, in working precision."""
        return _Elementwise(value, *slopes)(*_checked_scores(type(self).__name__, **scores))

    def _checked_matching(self, method: str, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """`_matching` of scores within the domain."""
        if self.domain != _ALL_SCORES:
            owner = caller(f"{type(self).__name__}.{method}")
            check_domain(owner, self, p, s, what=" and ".join(map(wording, ("predicted", "target"))))
        return self._matching(p, s)

    def _matching_of_value(self, p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """`_matching` for the target whose link value is y."""
        check_domain(caller(f"{type(self).__name__}.fenchel_young"), self, p, what=wording("predicted"))
        return self._matching_anywhere(p, self._inverse(self._checked_link_values("link_values", y)))

    def _matching_anywhere(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """`_matching` also for a target at infinity: the divergence is the area between the link and its limit."""
        at_end = s.isinf()
        if bool(at_end.any()):
            if not self._is_exact_far_out:
                end = self.range.high if float(s[at_end][0]) > 0 else self.range.low
                what = f"the loss is infinite for the link value {end:g}, which the link only approaches"
                raise ValueError(f"{caller(type(self).__name__)}: {what}. Give link values strictly inside the range.")
            s = s.clamp(-_LARGEST_SCORE, _LARGEST_SCORE)
        return self._matching(p, s)

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
        low, high = y.detach().aminmax()
        # The end of a range, rounded to single precision, may lie a little beyond it.
        slack = 1e-6 * max([abs(end) for end in self.range if math.isfinite(end)], default=0.0)
        is_finite = bool(low.isfinite() & high.isfinite())
        if not is_finite or low < self.range.low - slack or high > self.range.high + slack:
            raise ValueError(
                f"{caller(type(self).__name__)}: {wording(name)} must lie within the link's range {self.range}, got "
                f"values from {low:g} to {high:g}. Give finite numbers. If these are scores rather than link values, "
                'use divergence (in a loss: targets="scores"); if they are of another scale, map them to the range.'
            )
        return y.clamp(*self.range)


def check_domain(owner: str, link: Link, *scores: Tensor, what: str = "scores") -> None:
    """Raise where scores leave a link's domain: there its loss may be negative, or NaN.

    Args:
        owner: Who is to be named.
        link: The link.
        *scores: The scores.
        what: What they are called.

    Raises:
        ValueError: If they do.
    """
    if link.domain != _ALL_SCORES:
        look(partial(_check_domain, owner, link, what), *scores)


def _check_domain(owner: str, link: Link, what: str, *scores: Tensor) -> None:
    for tensor in scores:
        low, high = (float(end) for end in tensor.detach().aminmax()) if tensor.numel() else link.domain
        if low < link.domain.low or high > link.domain.high:
            got = f"values from {low:g} to {high:g}"
            mend = "link.linear_outside(low, high), with ends inside the domain"
            raise ValueError(f"{owner}: {what} must lie within the link's domain {link.domain}, got {got}. Use {mend}.")


def _to_config(value: Any) -> Any:
    if isinstance(value, Link):
        return value.get_config_dict()
    if hasattr(value, "tolist"):  # tensors, numbers and arrays of NumPy, which could not be compared either
        return value.tolist()
    return [_to_config(item) for item in value] if isinstance(value, (list, tuple)) else value


_PARAMETERS: dict[type[Link], tuple[str, ...]] = {}  # reading a signature takes longer than a small loss


def _parameters_of(link_class: type[Link]) -> tuple[str, ...]:
    if link_class not in _PARAMETERS:
        has_none = link_class.__init__ is object.__init__
        _PARAMETERS[link_class] = () if has_none else tuple(inspect.signature(link_class).parameters)
    return _PARAMETERS[link_class]


def _set(link: Link, **values: object) -> None:
    """Store checked values in a frozen dataclass."""
    for name, value in values.items():
        object.__setattr__(link, name, value)


def _written(link: Link, code: str, *parts: Link) -> Link:
    """A link that is shown as it was written, code with its parts, if one of these is shown so."""
    if any("_as_written" in part.__dict__ for part in parts):
        _set(link, _as_written=code.format(*parts))
    return link


# --- Links as plain data ----------------------------------------------------------------------------------------------

_LinkType = TypeVar("_LinkType", bound=type[Link])


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
        taken = f"{link_class.__name__!r} is taken by {known.__module__}.{known.__qualname__}"
        raise ValueError(f"register_link: the name {taken}; rename your class.")
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
    if not isinstance(config, Mapping):
        example = "{'type': 'SigmoidLink', 'scale': 20.0, 'shift': 0.8}"
        owner, got = caller("link_from_config"), type(config).__name__
        raise TypeError(f"{owner}: config must be a dict such as {example}, got {got}.")
    return cast(Link, _rebuilt(config, depth=0))


def _rebuilt(value: Any, depth: int) -> Any:
    owner = caller("link_from_config")
    if isinstance(value, (list, tuple)):
        return tuple(_rebuilt(item, depth) for item in value)
    if not isinstance(value, Mapping):
        return value
    if depth > _DEEPEST_NESTING:
        raise ValueError(f"{owner}: config is nested more than {_DEEPEST_NESTING} links deep.")
    fields = dict(value)
    link_type = fields.pop("type", None)
    link_class = _LINKS.get(link_type) if isinstance(link_type, str) else None
    if link_class is None:
        known, mend = ", ".join(sorted(_LINKS)), "A link class of your own is made known with @register_link."
        raise ValueError(f"{owner}: unknown link type {link_type!r}; known types: {known}. {mend}")
    expected = _parameters_of(link_class)
    lacks, unknown = ([of for of in one if of not in other] for one, other in ((expected, fields), (fields, expected)))
    wrong = {"lacks": lacks, "has unknown": unknown}
    problems = " and ".join(f"{words} {', '.join(map(repr, names))}" for words, names in wrong.items() if names)
    if problems:
        its = ", ".join(["type", *expected])
        raise ValueError(f"{owner}: the config of a {link_type} {problems}; its fields are: {its}.")
    link = link_class(**{name: _rebuilt(item, depth + 1) for name, item in fields.items()})
    link.validate()
    return link
