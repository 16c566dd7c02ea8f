"""Pointwise matching losses: each predicted score against its own target.

>>> import torch
>>> from selective_st.functional import matching_loss
>>> from selective_st.links import IdentityLink, high_scores
>>> predicted, target = torch.tensor([0.2, 0.7]), torch.tensor([0.0, 1.0])
>>> matching_loss(predicted, target, IdentityLink())        # half the mean squared error
tensor(0.0325)
>>> matching_loss(predicted, target, high_scores())         # the missed high score dominates
tensor(0.0733)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._caller import caller
from selective_st.functional._checks import check_link, check_mask, check_scores, check_weight, checked
from selective_st.functional._common import (
    KnownGradient,
    Reduction,
    counting,
    fill_masked,
    precise,
    reduce_loss,
    some_score,
)
from selective_st.links import Link


def matching_loss(
    predicted: Tensor,
    target: Tensor,
    link: Link,
    *,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The matching loss `D(p, s) = H(p) - H(s) - (p - s) h(s)` of scores against target scores.

    Args:
        predicted: Predicted scores p, any shape.
        target: Target scores s, in the shape of `predicted`.
        link: The link h; its slope says which scores matter.
        mask: Boolean, in the shape of `predicted`: True where a score counts. What is masked may be NaN.
        weight: Weights >= 0, in the shape of `predicted` or one a row; what has the weight 0 is as if masked.
        reduction: `"mean"` (weighted by `weight`), `"sum"` or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or elementwise for `reduction="none"`. Where nothing counts it is 0, with
        a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes differ, a weight is negative or not finite, or `reduction` is unknown.

    Source:
        arXiv 2506.04446, section 2.

    Example:
        >>> import torch
        >>> from selective_st.functional import matching_loss
        >>> from selective_st.links import high_scores
        >>> target = torch.tensor([0.5, float("nan")])
        >>> matching_loss(torch.tensor([0.6, 0.6]), target, high_scores(), mask=~target.isnan())
        tensor(0.0025)
    """
    owner = caller("matching_loss")
    link = check_link(owner, link)
    targets = ("target", target)
    return _pointwise(owner, predicted, targets, link, link.divergence, lambda z: z, mask, weight, reduction)


def fenchel_young_loss(
    predicted: Tensor,
    link_values: Tensor,
    link: Link,
    *,
    pos_weight: float = 1.0,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The matching loss `H(p) + H*(y) - p y` of scores against link values, such as 0/1 labels for a `SigmoidLink`.

    Args:
        predicted: Predicted scores p, any shape.
        link_values: Targets y within `link.range`, in the shape of `predicted`.
        link: The link h; its slope says which scores matter.
        pos_weight: How much more a 1 counts than a 0, as in `torch.nn.BCEWithLogitsLoss`; a link value y between, of
            which the share y is a 1, has the gradient `pos_weight y (h(p) - 1) + (1 - y) h(p)`.
        mask: Boolean, in the shape of `predicted`: True where a score counts. What is masked may be NaN.
        weight: Weights >= 0, in the shape of `predicted` or one a row; what has the weight 0 is as if masked.
        reduction: `"mean"` (weighted by `weight`), `"sum"` or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or elementwise for `reduction="none"`. Where nothing counts it is 0, with
        a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes differ, a link value lies outside the range, a weight is negative or not finite, or
            `reduction` is unknown.

    Source:
        Blondel, Martins & Niculae 2020, *Learning with Fenchel-Young losses*; arXiv 2506.04446 for the links.

    Example:
        >>> import torch
        >>> from selective_st.functional import fenchel_young_loss
        >>> from selective_st.links import SigmoidLink
        >>> fenchel_young_loss(torch.tensor([0.7, 0.2]), torch.tensor([1.0, 0.0]), SigmoidLink(scale=10, shift=0.5))
        tensor(0.0088)
    """
    owner = caller("fenchel_young_loss")
    link, factor = checked(owner, link=link, pos_weight=pos_weight)
    targets = ("link_values", link_values)
    if factor == 1:
        return _pointwise(owner, predicted, targets, link, link.fenchel_young, link, mask, weight, reduction)

    def weighed(p: Tensor, y: Tensor) -> Tensor:
        if y.numel() and not (float(y.min()) >= 0 and float(y.max()) <= 1):
            raise ValueError(
                f"{owner}: labels must lie from 0 to 1 for a pos_weight, which weighs a 1 against a 0, got values from "
                f"{float(y.min()):g} to {float(y.max()):g}. Leave pos_weight out, or give weight."
            )
        total = 1 + (factor - 1) * y
        loss: Tensor = total * link.fenchel_young(p, (factor * y / total).clamp(max=1))  # of a rounding error
        return loss

    def of_score(score: Tensor) -> Tensor:
        return link(score).clamp(0, 1)

    return _pointwise(owner, predicted, targets, link, weighed, of_score, mask, weight, reduction)


def _pointwise(
    owner: str,
    predicted: Tensor,
    targets: tuple[str, Tensor],
    link: Link,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    target_of_score: Callable[[Tensor], Tensor],
    mask: Tensor | None,
    weight: Tensor | None,
    reduction: Reduction,
) -> Tensor:
    """Check, put harmless values where the mask says so, compute, reduce."""
    name, target = targets
    predicted = check_scores(owner, "predicted", predicted)
    target = check_scores(owner, name, target, like=predicted)
    weight = check_weight(owner, weight, predicted.shape)
    mask = counting(check_mask(owner, mask, predicted), weight)
    if mask is not None:  # else nothing is worked out, which would keep a GPU waiting
        score = some_score(link)
        filling = target_of_score(torch.tensor(score, device=target.device))
        predicted = fill_masked(predicted, mask, score)
        target = torch.where(mask, target, filling.to(target.dtype))
    return reduce_loss(owner, loss_of(predicted, target), mask, weight, reduction)


@dataclass
class MeanMatching(KnownGradient):
    """The mean matching loss of scores and targets of one shape and precision, for a link of all scores."""

    link: Link

    @override
    def value(self, *tensors: Tensor) -> Tensor:
        given = p, s = tensors
        if p.dtype == torch.float64 or p.device.type == "mps":
            p, s = precise(p, s)
        elif not self.link._is_exact_in_single:
            p, s = p.double(), s.double()
        divergence, difference = self.link._matching(p, s)
        self.gradient = (difference / p.numel()).to(given[0])
        return divergence.mean().to(given[0])

    @override
    def plain(self, *tensors: Tensor) -> Tensor:
        return self.link.divergence(*tensors).mean()
