r"""Order losses: of two graded scores the better one is to be predicted higher, by as much as confusing them matters.

Wherever target `y_i > y_j`, the prediction `p_i` is to exceed `p_j`. A pair of pairs weighs as much as the weight link
rises between its targets, `w_ij = h_w(y_i) - h_w(y_j)`, and predictions count by the potential `G` of the link:

    1/s log(1 + sum w_ij exp(s (G(p_j) - G(p_i))))      log-sum-exp form, for a batch
    mean w_ij log(1 + exp(s (G(p_j) - G(p_i))))         logistic form, for lists

>>> import torch
>>> from selective_st.functional import order_loss
>>> from selective_st.links import SigmoidLink
>>> predicted, target = torch.tensor([0.5, 0.6, 0.1]), torch.tensor([0.9, 0.7, 0.2])
>>> order_loss(predicted, target)                                   # CoSENTLoss, divided by the scale
tensor(0.1063)
>>> order_loss(predicted, target, weight_link=SigmoidLink(20, 0.5))     # 0.9 and 0.7 are on one side: hardly a pair
tensor(0.0061)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._autograd import answers_at_once
from selective_st._caller import caller
from selective_st.functional._checks import check_mask, check_nonnegative, check_scores, check_weight, checked, one_of
from selective_st.functional._common import (
    KnownGradient,
    counting,
    fill_masked,
    is_finite,
    reduce_loss,
    some_score,
    without_padding,
)
from selective_st.functional.pairwise import SMALLEST_IDEAL, among_first, ranks_of
from selective_st.links import ConstantLink, Link
from selective_st.links.base import check_domain

Form = Literal["log_sum_exp", "logistic"]
_FEW_PAIRS = 128  # up to here all pairs take less time than to sort them
# Of the logarithm of the largest number: the sum of as many exponentials does not overflow, nor where the rounding of
# huge numbers makes up to 512 of it (64 in single precision).
_HIGHEST_EXPONENT = 0.7
_WIDEST = 300.0  # of potentials: beyond, products of their exponentials may overflow, or lose digits


def order_loss(
    predicted: Tensor,
    target: Tensor,
    link: Link | None = None,
    scale: float = 20.0,
    *,
    weight_link: Link | None = None,
    form: Form | None = None,
    discounts: bool = False,
    k: int | None = None,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    r"""How far predicted scores are from the order of their targets, pairs weighed by the rise of a link between them.

    In time O(n log n) and memory O(n) for the n scores of a batch, O(n^2) for each list of n.

    Args:
        predicted: Predicted scores p, of shape (n,) for a batch, all of which are compared, or (..., n) for lists.
        target: Target scores y, in that shape; of equal ones none has to be higher. NaN marks a padded candidate.
        link: The link of potential G, with h >= 0 on the scores; None or `ConstantLink()` for `G(p) = p`.
        scale: The scale s > 0 of differences, an inverse temperature: large looks at the worst pair only.
        weight_link: The link h_w whose rise between two targets is their weight; None for the weight 1.
        form: `"log_sum_exp"` or `"logistic"`. Default: log-sum-exp for a batch, logistic for lists.
        discounts: In the logistic form, whether weights are multiplied by the difference of the discounts 1 / log2(1 +
            rank) of the predicted ranks, and divided by the list's ideal sum of discounted gains, as in `LambdaLoss`.
        k: In the logistic form, a pair counts if one of the two is among the k highest predictions. Default: all.
        mask: Boolean, in the shape of `predicted`: True where a score counts. What is masked may be NaN.
        weight: Weights >= 0, in the shape of `predicted` a pair of pairs has the product of
            both; or one a list, for its pairs.

    Returns:
        The loss, at least float32: a scalar. Where no two targets differ it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes differ, the scale is not positive, the link is negative on the scores, the weight link is
            flat everywhere, or another argument is out of range.

    Source:
        CoSENT (Huang et al. 2024), RankNet and LambdaRank (Burges et al. 2005, 2006) for the forms, arXiv 2506.04446
        for links; weights by a link's rise are this project's own.

    Example:
        >>> import torch
        >>> from selective_st.functional import order_loss
        >>> from selective_st.links import ExponentialLink
        >>> lists, relevances = torch.tensor([[2.0, 0.5, 1.0]]), torch.tensor([[3.0, 1.0, 0.0]])
        >>> order_loss(lists, relevances, scale=1.0)                                            # RankNetLoss
        tensor(0.4963)
        >>> order_loss(lists, relevances, None, 1.0, weight_link=ExponentialLink(0.6931), discounts=True)   # LambdaRank
        tensor(0.0673)
    """
    owner = caller("order_loss")
    link = ConstantLink() if link is None else link
    link, scale, k, weight_link = checked(owner, link=link, scale=scale, k=k, weight_link=weight_link)
    if isinstance(weight_link, ConstantLink):
        raise ValueError(
            f"{owner}: weight_link must rise somewhere on the targets, but {weight_link!r} is flat: no pair would "
            "count. Use IdentityLink() for weights by the gap, or leave it out for the same weight for all."
        )
    predicted = check_scores(owner, "predicted", predicted)
    target = check_scores(owner, "target", target, like=predicted)
    form = form or ("log_sum_exp" if predicted.dim() < 2 else "logistic")
    one_of(owner, "form", form, ("log_sum_exp", "logistic"))
    of_batch = form == "log_sum_exp"
    if predicted.dim() == 0 or (of_batch and predicted.dim() > 1):
        raise ValueError(
            f"{owner}: predicted must have the shape {'(n,)' if of_batch else '(..., n)'} for form={form!r}, got "
            f"{tuple(predicted.shape)}. Use predicted.flatten() and target.flatten() to compare all with all."
        )
    if of_batch and (discounts or k is not None):
        raise ValueError(
            f'{owner}: {"discounts" if discounts else "k"} is for lists. Leave it out, or give form="logistic".'
        )
    mask = check_mask(owner, mask, predicted)
    is_of_lists = isinstance(weight, Tensor) and weight.shape != predicted.shape
    weight = check_weight(owner, weight, predicted.shape)
    counts = counting(mask if is_finite(target) else without_padding(mask, target), weight)
    scores, target = fill_masked(predicted, counts, some_score(link)), fill_masked(_precise(target.detach()), counts, 0)
    shares = counts if weight is None else fill_masked(weight.detach(), counts, 0)
    if shares is not None:
        shares = shares.to(target.dtype)
        shares = shares.sqrt() if is_of_lists else shares  # that of a list counts once for each of its pairs
    check_domain(owner, link, scores)
    check_nonnegative(owner, link, scores)
    if of_batch:
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return LogSumExp(link, scale, weight_link)(scores, target, shares)
    potentials = _potentials(link, scores.to(target.dtype), scale)
    shares = torch.ones_like(target) if shares is None else shares
    loss = _logistic(potentials, target, shares, weight_link, discounts, k)
    return loss.to(torch.promote_types(predicted.dtype, torch.float32))


def _potentials(link: Link, scores: Tensor, scale: float) -> Tensor:
    return scale * (scores if isinstance(link, ConstantLink) else link.potential(scores))


def _precise(tensor: Tensor) -> Tensor:
    """In double precision, where the device has it."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)


@dataclass
class LogSumExp(KnownGradient):
    """`1/s log(1 + sum r_i r_j w_ij exp(u_j - u_i))` over targets y_i > y_j, of potentials u times s, and shares r.

    Few pairs are summed up as they are. Of many, in the order of the targets, the weights telescope: w_ij is the sum of
    the rises between i and j, so that the sum over pairs is one over places of rise x (sum of exp(u) below) x (sum of
    exp(-u) above), with positive terms only. Where all weights are 1, each exp(-u_i) meets the sum of exp(u) below the
    first of its equals.

    Attributes:
        link: The link of the potentials.
        scale: Their factor s.
        weight_link: The link whose rise is a weight; None for weights of 1.
    """

    link: Link
    scale: float
    weight_link: Link | None
    one_by_one = True

    @override
    def value(self, *tensors: Any) -> Tensor:
        given, targets, shares = tensors
        scores = _precise(given)
        # The scores' memory may be written to.
        potentials, slope = self.link._logits(scores.clone() if scores is given else scores, self.scale)
        of_all = self._of_few if 0 < len(given) <= _FEW_PAIRS else self._of_many
        value, slopes = of_all(potentials, targets, shares)
        self.gradient = slopes.mul_(slope / self.scale).to(given)
        return (value / self.scale).to(given)

    def _of_few(self, potentials: Tensor, targets: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor]:
        """The logarithm, and its slopes, by all pairs: the first of two is the better one."""
        weights = _pair_weights(self._heights(targets), by_rise=self.weight_link is not None)
        if shares is not None:
            weights = weights * shares * shares.unsqueeze(1)
        exponents = torch.where(weights > 0, potentials - potentials.unsqueeze(1), -math.inf)
        if self.weight_link is not None or shares is not None:
            most = weights.amax().clamp_min_(torch.finfo(weights.dtype).tiny)
            weights, exponents = weights.div_(most), exponents.add_(most.log_())
        # What would overflow is drawn out; log(1 + total) keeps its digits where it is small.
        too_high = (exponents.amax() - _HIGHEST_EXPONENT * math.log(torch.finfo(exponents.dtype).max)).clamp_min_(0)
        terms = exponents.sub_(too_high).exp_().mul_(weights)
        of_worse, of_better = terms.sum(0), terms.sum(1)
        rest = of_worse.sum() + torch.expm1(-too_high)
        return too_high + torch.log1p(rest), (of_worse - of_better).div_(1 + rest)

    def _of_many(self, potentials: Tensor, targets: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same by sums over places in the order of the targets.

        Of two rows the first goes up that order, past the worse ones, the second goes down it, past the better ones.
        Where exponentials may overflow, products and sums are those of their logarithms.
        """
        targets, order = targets.sort()
        heights = _up_and_down(self._heights(targets))
        rises = heights.diff(dim=1, prepend=heights[:, :1]).clamp_min_(0)
        ordered = potentials[order]
        sums: Callable[..., Tensor]
        times: Callable[..., Tensor]
        is_wide, middle = True, 0.0
        if answers_at_once(potentials) and len(order):
            low, high, rise = map(float, (*potentials.aminmax(), heights[0, -1] - heights[0, 0]))
            share = 1.0 if shares is None else float(shares.amax())
            spread = high - low + math.log1p(max(rise, 0)) + 2 * math.log1p(share)
            is_wide, middle = not spread < _WIDEST, (low + high) / 2
        if is_wide:
            sums, times, nothing = torch.logcumsumexp, torch.add, -math.inf
            rises, sides = rises.log_(), _up_and_down(ordered)
        else:
            sums, times, nothing = torch.cumsum, torch.mul, 0.0
            sides = _up_and_down(ordered.sub_(middle)).exp_()
        if shares is not None:
            shares = torch.stack([shares[order], shares[order].flip(0)])
            sides = times(sides, shares.log_() if is_wide else shares)
        passed = torch.cat([sides.new_full((2, 1), nothing), sums(sides, 1)], 1)[:, :-1]
        if self.weight_link is None:  # those that are equal have passed the same ones
            weighed = torch.where(rises > nothing, passed, nothing).cummax(1).values
        else:
            weighed = sums(times(passed, rises), 1)
        of_better, of_worse = terms = times(weighed, sides.flip(0, 1))
        if is_wide:
            total = of_better.logsumexp(0)
            value = torch.logaddexp(total, torch.zeros_like(total))
            of_better, of_worse = (terms - value).exp_()
        else:
            total = of_better.sum()
            value = torch.log1p(total)
            of_better, of_worse = terms.div_(1 + total)
        slopes = of_worse.flip(0).sub_(of_better)
        return value, torch.empty_like(slopes).index_copy_(0, order, slopes)

    def _heights(self, targets: Tensor) -> Tensor:
        """What weights are differences of, or what tells which targets are higher."""
        targets = _precise(targets)
        return targets if self.weight_link is None else self.weight_link.h(targets)

    @override
    def plain(self, *tensors: Any) -> Tensor:
        """The double sum."""
        given, targets, shares = tensors
        potentials = _potentials(self.link, _precise(given), self.scale)
        weights = _pair_weights(self._heights(targets), by_rise=self.weight_link is not None)
        if shares is not None:
            weights = weights * shares.unsqueeze(1) * shares
        exponents = torch.where(weights > 0, weights.log() + potentials - potentials.unsqueeze(1), -math.inf).flatten()
        total = torch.cat([exponents.new_zeros(1), exponents]).logsumexp(0)
        return (total / self.scale).to(given)


def _up_and_down(ordered: Tensor) -> Tensor:
    """Two rows: numbers in an order, and in the opposite one what they are to those, less than 0 if they were more."""
    return torch.stack([ordered, ordered.neg().flip(0)])


def _pair_weights(heights: Tensor, *, by_rise: bool) -> Tensor:
    """At [..., i, j] how much it matters to put i above j, of shape (..., n, n); 0 unless it is higher."""
    rises = heights.unsqueeze(-1) - heights.unsqueeze(-2)
    return rises.clamp_min_(0) if by_rise else (rises > 0).to(heights.dtype)


def _logistic(
    potentials: Tensor, targets: Tensor, shares: Tensor, weight_link: Link | None, discounts: bool, k: int | None
) -> Tensor:
    """The mean over pairs of a list whose targets differ, weighed by their shares."""
    of_pairs = shares.unsqueeze(-1) * shares.unsqueeze(-2) * (targets.unsqueeze(-1) > targets.unsqueeze(-2))
    ranks = ranks_of(potentials, shares == 0)
    if k is not None:
        of_pairs = of_pairs * among_first(ranks, k)
    heights = targets if weight_link is None else weight_link(targets)
    weights = _pair_weights(heights, by_rise=weight_link is not None)
    if discounts:
        weights = weights * _discount_differences(ranks, targets, shares, weight_link, k)
    losses = torch.nn.functional.softplus(potentials.unsqueeze(-2) - potentials.unsqueeze(-1), threshold=40)
    return reduce_loss("order_loss", losses * weights, of_pairs > 0, of_pairs, "mean")


def _discount_differences(
    ranks: Tensor, targets: Tensor, shares: Tensor, weight_link: Link | None, k: int | None
) -> Tensor:
    """How much the discounts of two ranks differ, in shares of the list's ideal sum of discounted gains."""
    grades = torch.where(shares > 0, targets, 0).clamp_min(0)
    gains = grades if weight_link is None else weight_link(grades) - weight_link(torch.zeros_like(grades))
    by_rank = 1 / torch.arange(2.0, 2.0 + ranks.shape[-1], dtype=targets.dtype, device=targets.device).log2()
    ideal = (gains.sort(descending=True).values * by_rank)[..., :k].sum(-1, keepdim=True).clamp_min(SMALLEST_IDEAL)
    own = by_rank[ranks]
    return (own.unsqueeze(-1) - own.unsqueeze(-2)).abs() / ideal.unsqueeze(-1)
