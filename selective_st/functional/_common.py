"""What the losses on tensors share: known gradients, potentials, masks, precision, the reduction."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._ahead import on_cpu
from selective_st._autograd import KnownSlopes, in_transform, may_hold, pull_through
from selective_st.functional._checks import one_of
from selective_st.links import ConstantLink, Link
from selective_st.links._numerics import _LARGEST_SCORE, _to_working_precision

Reduction = Literal["none", "mean", "sum"]


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


@dataclass
class _Potential(KnownGradient):
    link: Link
    scale: float

    @override
    def value(self, *tensors: Tensor) -> Tensor:
        (scores,) = tensors
        logits, slope = self.link._logits(scores.clone(), self.scale)  # which may write to the scores' memory
        self.gradient = slope if isinstance(slope, Tensor) else scores.new_tensor(slope)
        return logits

    @override
    def plain(self, *tensors: Tensor) -> Tensor:
        return self.scale * self.link.potential(*tensors)


def potentials(link: Link, scores: Tensor, scale: float) -> Tensor:
    """`scale G(z)`, in the precision of the scores z."""
    if isinstance(link, ConstantLink):
        return scores if scale == 1 else scores * scale
    # A transform of torch.func would have to differentiate within a derivative.
    return scale * link.potential(scores) if in_transform() else _Potential(link, scale)(scores)


def mean_under(q: Tensor, values: Tensor, *, keepdim: bool = False) -> Tensor:
    """The sums of values weighed by q, over the last dimension: what has the weight 0 counts for nothing."""
    return (q * torch.where(q != 0, values, 0)).sum(-1, keepdim=keepdim)  # NaN counts, in the gradient too


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
    one_of(owner, "reduction", reduction, ("none", "mean", "sum"))
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


def without_padding(mask: Tensor | None, target: Tensor) -> Tensor | None:
    """The mask without what is padded, which NaN among the targets marks."""
    padded = target.isnan()
    if not may_hold(padded):
        return mask
    return ~padded if mask is None else mask & ~padded


def some_score(*links: Link) -> float:
    """A score within the domains of all links, for what does not count."""
    lowest, highest = max(link.domain.low for link in links), min(link.domain.high for link in links)
    return min(max(0.0, lowest), highest)


def fill_masked(scores: Tensor, mask: Tensor | None, filling: float) -> Tensor:
    """Harmless scores where the mask says so: a NaN there must reach neither the loss nor, by 0 * NaN, the gradient."""
    return scores if mask is None else torch.where(mask, scores, filling)


def is_finite(scores: Tensor) -> bool:
    """Whether all scores are known to be finite: their sum is, which takes one operation to see."""
    return not in_transform() and math.isfinite(float(on_cpu(scores).detach().sum()))
