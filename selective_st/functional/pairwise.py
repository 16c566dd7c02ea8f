r"""Contrastive pairwise losses: a positive against a negative.

>>> import torch
>>> from selective_st.functional import margin_loss, pairwise_loss
>>> from selective_st.links import ConstantLink, IdentityLink
>>> positive, negative = torch.tensor([0.8, 0.4]), torch.tensor([0.3, 0.5])
>>> pairwise_loss(positive, negative, ConstantLink(), 0.1)                  # logistic loss of the difference / 0.1
tensor(0.6600)
>>> margin_loss(positive, negative, torch.tensor([0.6, 0.2]), IdentityLink())     # half the squared error of the margin
tensor(0.0250)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from selective_st._caller import caller, named
from selective_st.functional._checks import check_link, check_mask, check_scores
from selective_st.functional._common import Reduction
from selective_st.functional.listwise import listwise_label_loss
from selective_st.functional.pointwise import matching_loss
from selective_st.links import Link

SMALLEST_IDEAL = 1e-10  # as LambdaLoss


@named("pairwise_loss", listwise_label_loss="pairwise_loss")
def pairwise_loss(
    positive: Tensor,
    negative: Tensor,
    link: Link,
    temperature: float = 1.0,
    *,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The logistic loss `log(1 + e^((G(n) - G(p)) / T))` of each positive against each of its negatives.

    It is the composite Softmax of a list of two with the positive as the label.

    Args:
        positive: Scores p of the positives, of shape (rows,).
        negative: Scores n of the negatives, of shape (rows,) or (rows, negatives).
        link: The link h of potential G, with h >= 0 on the scores; `ConstantLink()` gives the plain logistic loss.
        temperature: The temperature T > 0, in units of the potential.
        mask: Boolean, in the shape of `negative`: True where a pair counts. What is masked may be NaN.
        weight: Weights >= 0, in the shape of `negative` or one a row.
        reduction: `"mean"` over the pairs (weighted by `weight`), `"sum"` or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or in the shape of `negative` for `reduction="none"`. Where nothing counts
        it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If the shapes do not fit, the link is negative on the scores, the temperature is not positive, or
            another argument is out of range.

    Source:
        arXiv 2506.04446 for contrastive selective losses; RankNet (Burges et al. 2005) for the logistic form.

    Example:
        >>> import torch
        >>> from selective_st.functional import pairwise_loss
        >>> from selective_st.links import ExponentialLink
        >>> positive, negatives = torch.tensor([0.8]), torch.tensor([[0.3, 0.7]])
        >>> pairwise_loss(positive, negatives, ExponentialLink(3.0), 0.1, reduction="none")
        tensor([[4.0083e-13, 7.3121e-05]])
    """
    owner = caller("pairwise_loss")
    link = check_link(owner, link)
    positive, negative = _check_pairs(owner, positive, negative)
    mask = check_mask(owner, mask, negative, "negative")
    pairs = torch.stack([positive, negative], -1)
    return listwise_label_loss(
        pairs,
        torch.zeros_like(negative, dtype=torch.int64),
        link,
        temperature,
        mask=None if mask is None else mask.unsqueeze(-1).expand_as(pairs),
        weight=weight,
        reduction=reduction,
    )


@named("margin_loss", predicted="negative", target="margin")
def margin_loss(
    positive: Tensor,
    negative: Tensor,
    margin: Tensor,
    link: Link,
    *,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The matching loss `D(p - n, m)` of each margin, positive less negative, against its target margin.

    Args:
        positive: Scores p of the positives, of shape (rows,).
        negative: Scores n of the negatives, of shape (rows,) or (rows, negatives).
        margin: Target margins m, in the shape of `negative`.
        link: The link; its slope says which margins matter. `IdentityLink()` gives half the squared error.
        mask: Boolean, in the shape of `negative`: True where a pair counts. What is masked may be NaN.
        weight: Weights >= 0, in the shape of `negative` or one a row.
        reduction: `"mean"` over the pairs (weighted by `weight`), `"sum"` or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or in the shape of `negative` for `reduction="none"`. Where nothing counts
        it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If the shapes do not fit, or another argument is out of range.

    Source:
        arXiv 2506.04446 for matching losses; Hofstätter et al. 2020, arXiv 2010.02666, for margins as targets.

    Example:
        >>> import torch
        >>> from selective_st.functional import margin_loss
        >>> from selective_st.links import high_scores
        >>> positive, negatives = torch.tensor([0.8]), torch.tensor([[0.3, 0.7]])
        >>> margin_loss(positive, negatives, torch.tensor([[0.6, 0.0]]), high_scores())
        tensor(0.0016)
    """
    owner = caller("margin_loss")
    link = check_link(owner, link)
    positive, negative = _check_pairs(owner, positive, negative)
    check_scores(owner, "margin", margin, like=negative, name_of_like="negative")
    mask = check_mask(owner, mask, negative, "negative")
    if mask is not None:
        # Before the subtraction: the gradient of a masked NaN would be NaN.
        positive, negative = torch.where(mask, positive, 0), torch.where(mask, negative, 0)
    return matching_loss(positive - negative, margin, link, mask=mask, weight=weight, reduction=reduction)


def _check_pairs(owner: str, positive: object, negative: object) -> tuple[Tensor, Tensor]:
    """Both scores, in the shape of the negatives."""
    p, n = check_scores(owner, "positive", positive), check_scores(owner, "negative", negative)
    if n.dim() == p.dim() + 1 and n.shape[:-1] == p.shape:
        p = p.unsqueeze(-1).expand_as(n)
    if p.shape != n.shape:
        raise ValueError(
            f"{owner}: negative must have the shape of positive, {tuple(p.shape)}, or one more dimension for several "
            f"negatives, got {tuple(n.shape)}."
        )
    return p, n


# --- Pairs of a list by the ranks of its documents ----------------------------------------------------------------


def among_first(ranks: Tensor, k: int) -> Tensor:
    """Which pairs of a list have a document among the first `k`.

    Args:
        ranks: Of shape (..., documents), from 0.
        k: How many.

    Returns:
        A mask of shape (..., documents, documents).
    """
    first = ranks < k
    return first.unsqueeze(-1) | first.unsqueeze(-2)


def scheme_weights(
    scores: Tensor, labels: Tensor, scheme: Callable[[Tensor, Tensor, Tensor], Tensor], k: int | None
) -> Tensor:
    """The weight that a scheme of `LambdaLoss` gives each pair of documents, by gains and by ranks of the scores.

    Args:
        scores: Scores of shape (lists, documents).
        labels: Relevances in that shape, those below 0 as 0; NaN marks a padded document.
        scheme: Takes gains and relevances of shape (lists, documents), and discounts of shape (1, documents), in the
            order of the scores; gives weights that broadcast to (lists, documents, documents).
        k: How many documents the ideal order has in its sum; None for all.

    Returns:
        Weights of shape (lists, documents, documents).
    """
    with torch.no_grad():
        ranks = ranks_of(scores, labels.isnan())
        relevances = labels.nan_to_num(0.0).clamp(min=0).to(scores)
        discounts = torch.log2(torch.arange(2.0, 2.0 + scores.shape[1], dtype=scores.dtype, device=scores.device))
        ideal = (relevances.sort(descending=True).values.exp2() - 1)[:, :k] / discounts[:k]
        by_rank = torch.zeros_like(relevances).scatter(1, ranks, relevances)
        gains = (by_rank.exp2() - 1) / ideal.sum(1, keepdim=True).clamp(min=SMALLEST_IDEAL)
        weights = scheme(gains, discounts[None], by_rank).expand(*scores.shape, scores.shape[1])
        lists = torch.arange(len(scores), device=scores.device)[:, None, None]
        return weights[lists, ranks.unsqueeze(2), ranks.unsqueeze(1)]


def ranks_of(scores: Tensor, is_padded: Tensor) -> Tensor:
    """The place of each document when a list is sorted by its scores, from 0; padded documents come last."""
    return scores.detach().masked_fill(is_padded, -math.inf).argsort(descending=True).argsort()
