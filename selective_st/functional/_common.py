"""What every loss on tensors shares: checks of its arguments, and the reduction."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from selective_st._ahead import on_cpu
from selective_st._autograd import KnownSlopes, in_transform, look, pull_through
from selective_st._caller import wording
from selective_st._validation import finite_number
from selective_st.links import ConstantLink, Link
from selective_st.links._numerics import _LARGEST_SCORE, _to_working_precision, check_tensor

Reduction = Literal["none", "mean", "sum"]
_REDUCTIONS = ("none", "mean", "sum")
_ROUNDING = 1e-4


def check_link(owner: str, link: object, name: str = "link") -> Link:
    """Return `link` if it is one, or raise a TypeError that says how to get one."""
    if isinstance(link, Link):
        return link
    advice = "Use a preset such as high_scores() from selective_st.links, or a link such as SigmoidLink(20, 0.8)"
    if isinstance(link, dict):
        advice = "Use link_from_config(config)"
    if isinstance(link, type) and issubclass(link, Link):
        advice = f"Make one: {link.__name__}(...)"
    raise TypeError(f"{owner}: {name} must be a Link, got {link!r}. {advice}.")


def check_scores(
    owner: str, name: str, value: object, like: Tensor | None = None, name_of_like: str = "predicted"
) -> Tensor:
    """Return `value` if it is a real floating-point or integer tensor (of the shape of `like`), or raise."""
    if like is None:
        return check_tensor(owner, name, value)
    of = (
        f"of {name_of_like}. Shapes that merely broadcast would pair scores wrongly; use "
        f"{name}.view_as({name_of_like}) if the values correspond."
    )
    return check_tensor(owner, name, value, "real", like.shape, of=of)


class KnownGradient(KnownSlopes):
    """A loss of scores that finds its gradient beside its value; the gradient's own gradient is that of a plain form.

    Attributes:
        gradient: That of the value, or of each of the values, with respect to the first tensor; `value` keeps it.
    """

    gradient: Tensor

    @abstractmethod
    def plain(self, *tensors: Tensor) -> Tensor:
        """The same value, by what autograd can follow to any order."""

    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled() or True in needed[1:]:
            with torch.enable_grad():
                return pull_through(self.plain, gradient, needed, tensors)
        of_each = gradient.view(gradient.shape + (1,) * (self.gradient.dim() - gradient.dim()))
        return [of_each * self.gradient, *[None] * (len(needed) - 1)]


def precise(predicted: Tensor, target: Tensor) -> Tensor:
    """Two tensors of scores, one after the other, in double precision, cut where multiples would overflow."""
    if predicted.dtype == target.dtype == torch.float32 and predicted.device.type in ("cpu", "cuda"):
        return torch.stack([predicted, target]).double()
    both = torch.stack([_to_working_precision(predicted), _to_working_precision(target)])
    return both.clamp_(-_LARGEST_SCORE, _LARGEST_SCORE)


def without_autocast(device: str) -> AbstractContextManager[object]:
    """A context in which autocast is off: in half precision a score of 0.95 is 0.95 +- 0.004, too coarse for a region.

    Args:
        device: The type of the device, such as "cpu".

    Returns:
        The context; where autocast is off already, one that costs nothing.
    """
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def at_least_single(scores: Tensor) -> Tensor:
    """A floating-point tensor in at least single precision."""
    return scores.float() if scores.dtype.itemsize < 4 else scores


def single_or_double(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one dtype, of at least single precision, and dense."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(dense(tensor).to(dtype) for tensor in tensors)


def dense(tensor: Tensor) -> Tensor:
    """The tensor in the usual layout."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def reduce_loss(owner: str, loss: Tensor, mask: Tensor | None, weight: Tensor | None, reduction: Reduction) -> Tensor:
    """Reduce elementwise losses, of which those that do not count have been computed from harmless scores.

    Args:
        owner: The calling function, for messages.
        loss: Elementwise losses.
        mask: Which elements count; None for all.
        weight: A weight for each element, as `check_weight` gives it; None for 1.
        reduction: `"mean"` divides by the sum of the weights (the number of elements where there are none), `"sum"`
            adds up, `"none"` gives the weighted elements, 0 where masked.

    Returns:
        The reduced loss. Over no element (none there, all masked, all of weight 0) it is 0, with a graph; a NaN in an
        element that counts stays visible.

    Raises:
        ValueError: If `reduction` is unknown.
    """
    if reduction not in _REDUCTIONS:
        one_of(owner, "reduction", reduction, _REDUCTIONS)
    if mask is not None:
        loss = torch.where(mask, loss, 0)
    total_weight: Tensor | float = loss.numel() if mask is None else mask.sum()
    if weight is not None:
        weight = weight.to(loss.dtype)
        loss = loss * weight
        total_weight = (weight if mask is None else torch.where(mask, weight, 0)).sum()
    if reduction == "none":
        return loss
    if reduction == "mean" and mask is None and weight is None and loss.numel():
        return loss.mean()
    total = loss.sum()
    if reduction == "sum":
        return total
    if isinstance(total_weight, Tensor):
        return total / torch.where(total_weight > 0, total_weight, 1)
    return total / max(total_weight, 1)


def counting(mask: Tensor | None, weight: Tensor | None) -> Tensor | None:
    """Which elements count: not those of weight 0, which are as if they were not there; None for all."""
    if weight is None:
        return mask
    return weight > 0 if mask is None else mask & (weight > 0)


def check_mask(owner: str, mask: object, like: Tensor, name_of_like: str = "predicted") -> Tensor | None:
    """Return `mask` if it is None or a boolean tensor of the shape of `like`, or raise."""
    if mask is None:
        return None
    return check_tensor(owner, "mask", mask, "boolean", like.shape, of=f"of {name_of_like}")


def check_nonnegative(owner: str, link: Link, scores: Tensor | float) -> None:
    """Raise if the link is negative at the lowest of the scores: there its potential falls as the score rises.

    Args:
        owner: The calling function or loss, for the message.
        link: The link.
        scores: Scores, or the lowest that there can be.

    Raises:
        ValueError: If it is negative; with a link that is not.
    """
    if link._lowest_value >= 0:
        return
    if not isinstance(scores, Tensor):
        scores = torch.tensor(max(scores, link.domain.low), dtype=torch.float64)
    look(partial(_check_nonnegative, owner, link), scores.detach())


def _check_nonnegative(owner: str, link: Link, scores: Tensor) -> None:
    if not scores.numel():
        return
    lowest = scores.amin().double()
    # A cosine of -1.0000001 is a rounding error, not a score where the link is negative.
    if float(link(lowest + _ROUNDING * lowest.abs().clamp(min=1))) < 0:
        value = float(link(lowest))
        raise ValueError(
            f"{owner}: link must not be negative on the scores, but {link!r} is {value:.4g} at the score "
            f"{float(lowest):.4g}: there the loss would push the positive down. Use a link that is positive, such as "
            'ExponentialLink(1.0).normalized(0, 1, of="value") or SigmoidLink(scale, shift), or add a constant: '
            f"link + {math.ceil(-value):g} * ConstantLink()."
        )


def is_finite(scores: Tensor) -> bool:
    """Whether all scores are known to be finite: their sum is, which takes one operation to see."""
    return not in_transform() and math.isfinite(float(on_cpu(scores).detach().sum()))


def check_weight(
    owner: str, weight: object, shape: torch.Size, ask_ends: Callable[..., None] | None = None
) -> Tensor | None:
    """The weights of elements, of the elements' shape; an error where they fit neither them nor their rows.

    Args:
        owner: The calling function, for messages.
        weight: A weight for each element, or for each row (the first dimension); None for none.
        shape: The elements' shape.
        ask_ends: What calls a check with the lowest and the highest number of a tensor. Default: at once.

    Returns:
        The weights.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If the weights have another shape, or one is negative or not finite.
    """
    if weight is None:
        return None
    of = f"of {wording('predicted')}, or one number a row"
    weight = check_tensor(owner, "weight", weight, "real", shape, shape[:1], of=of)
    (ask_ends or _ask_ends)(partial(_check_weights, owner), weight)
    return weight.view(weight.shape + (1,) * (len(shape) - weight.dim())).expand(shape)


def _ask_ends(check: Callable[[float, float], None], tensor: Tensor) -> None:
    """Call a check with the lowest and the highest number of a tensor."""
    if tensor.numel():
        look(lambda tensor: check(*(float(end) for end in tensor.aminmax())), tensor)


def _check_weights(owner: str, low: float, high: float) -> None:
    if not (low >= 0 and high < math.inf):
        bad = high if low >= 0 else low
        raise ValueError(f"{owner}: weight must hold finite numbers >= 0, got {bad:g}. Use weight.clamp(min=0).")


def one_of(owner: str, name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return `value` if it is among what is allowed, or raise."""
    if value in allowed:
        return value
    raise ValueError(f"{owner}: {name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")


def calibration_weight(weight: float, link: Link) -> float:
    """The weight of a calibration term: 0 for a link without sensitivity, whose divergence is 0."""
    return 0.0 if isinstance(link, ConstantLink) else weight


def check_smoothing(owner: str, label_smoothing: object) -> float:
    """Return `label_smoothing` if it is a number from 0 to 1, or raise."""
    smoothing = finite_number(owner, "label_smoothing", label_smoothing, nonnegative=True)
    if smoothing > 1:
        raise ValueError(f"{owner}: label_smoothing must be a number from 0 to 1, got {smoothing:g}.")
    return smoothing
