r"""Listwise losses: the candidates of one query against each other, through the composite Softmax.

A link h of potential G and a temperature T turn a list of scores into probabilities, `softmax(G(z) / T)`. The matching
loss of a list splits into two terms, both >= 0, which are computed as such:

    D(p, s) = KL(q || softmax(G(p) / T))  +  (1 / T) sum_k q_k D_G(p_k, s_k)        q = softmax(G(s) / T)
              ranking                        calibration

>>> import torch
>>> from selective_st.functional import listwise_matching_loss
>>> from selective_st.links import ConstantLink, ExponentialLink
>>> predicted, target = torch.tensor([[0.5, 0.4, 0.1]]), torch.tensor([[0.9, 0.3, 0.2]])
>>> listwise_matching_loss(predicted, target, ConstantLink(), 0.1)      # ConstantLink: the KL of plain Softmaxes
tensor(0.3081)
>>> listwise_matching_loss(predicted, target, ExponentialLink(1.0).normalized(0, 1, of="value"), 0.1)
tensor(1.3575)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._autograd import answers_at_once, in_transform, look, may_hold
from selective_st._caller import caller, wording
from selective_st.functional._checks import (
    check_calibration,
    check_indices,
    check_mask,
    check_nonnegative,
    check_scores,
    check_weight,
    checked,
)
from selective_st.functional._common import (
    KnownGradient,
    Reduction,
    counting,
    fill_masked,
    is_finite,
    mean_under,
    precise,
    reduce_loss,
    some_score,
    without_padding,
)
from selective_st.links import Link
from selective_st.links._numerics import _to_working_precision, check_tensor, exponential_less_linear
from selective_st.links.base import check_domain

_PROBABILITY_TOLERANCE = 1e-3  # of the sum of a row, which may have been rounded to half precision


def listwise_matching_loss(
    predicted: Tensor,
    target: Tensor,
    link: Link,
    temperature: float = 1.0,
    *,
    calibration: float = 1.0,
    calibration_link: Link | None = None,
    target_temperature: float | None = None,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The matching loss of lists of scores against lists of target scores: a ranking and a calibration term.

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k),    q = softmax(G(s) / target_temperature)

    where G is the potential of `link` and D the matching loss of `calibration_link`.

    Args:
        predicted: Predicted scores p, of shape (..., candidates).
        target: Target scores s, in that shape; NaN marks a padded candidate, minus infinity one that is never right: it
            has no probability q, and no calibration term.
        link: The link h of the composite Softmax; `ConstantLink()` gives the plain one.
        temperature: The temperature T > 0, in units of the potential: small is sharp.
        calibration: The weight >= 0 of the calibration term: 1 is the true matching loss, 0 ranks only.
        calibration_link: The link of the calibration term. Default: `link`.
        target_temperature: Another temperature for the target's probabilities q. Default: `temperature`.
        mask: Boolean, in the shape of `predicted`: True where a candidate counts. What is masked may be NaN.
        weight: Weights >= 0, one for each list; of the weight 0 it is as if it were not there.
        reduction: `"mean"` over the lists that have a candidate (weighted by `weight`), `"sum"` or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or one number for each list with `reduction="none"`. Where nothing counts
        it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes differ, a list has no finite target, a temperature is not positive, `calibration` or a
            weight is negative, or `reduction` is unknown.

    Source:
        arXiv 2506.04446 for matching losses with a composite Softmax; the split is this project's own.

    Example:
        >>> import torch
        >>> from selective_st.functional import listwise_matching_loss
        >>> from selective_st.links import ConstantLink, high_scores
        >>> target = torch.tensor([[0.9, 0.3, float("nan")]])
        >>> predicted = torch.tensor([[0.7, 0.3, 0.5]])
        >>> listwise_matching_loss(predicted, target, ConstantLink(), 0.1, calibration_link=high_scores())
        tensor(0.4589)
    """
    owner = caller("listwise_matching_loss")
    link, temperature, of_target = checked(
        owner, link=link, temperature=temperature, target_temperature=target_temperature
    )
    calibration, calibration_link = check_calibration(owner, link, calibration, calibration_link)
    rule = ListMatching(link, calibration_link, temperature, of_target or temperature, calibration)
    predicted, mask, weight = _check_lists(owner, predicted, mask, weight)
    target, never = check_scores(owner, "target", target, like=predicted), None
    if not is_finite(target):
        mask, never = without_padding(mask, target), target == -math.inf
        never = never if may_hold(never) else None
    links = (link, rule.calibration_link) if rule.calibration else (link,)
    predicted = fill_masked(predicted, mask, some_score(*links))
    if mask is not None:
        target = torch.where(mask, target, predicted.detach().to(target.dtype))
    if never is not None:
        never = never if mask is None else never & mask
        look(partial(_check_never, owner), never, mask)
        target = torch.where(never, predicted.detach().to(target.dtype), target)
    for own in links:
        check_domain(owner, own, predicted, target)
    return reduce_loss(owner, rule(predicted, target, mask, never), _rows(mask), weight, reduction)


def _check_never(owner: str, never: Tensor, mask: Tensor | None) -> None:
    empty = (never if mask is None else never | ~mask).all(-1) & never.any(-1)
    if bool(empty.any()):
        row = int(empty.flatten().nonzero()[0])
        raise ValueError(
            f"{owner}: target must have a finite score in each list, but those of list {row} are minus infinity. Leave "
            "such lists out."
        )


def listwise_label_loss(
    predicted: Tensor,
    labels: Tensor,
    link: Link,
    temperature: float = 1.0,
    *,
    label_smoothing: float = 0.0,
    class_weight: Tensor | None = None,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The cross entropy of lists of scores against labels, through the composite Softmax.

        -sum_k y_k log softmax(G(p) / T)_k,       with gradient h(p_k) / T (softmax(G(p) / T)_k - y_k)

    Args:
        predicted: Predicted scores p, of shape (..., candidates).
        labels: Which candidates are right. Integers of shape (...,): the index of the positive. In the shape of
            `predicted`: probabilities y that sum to 1 in each list, or 0 and 1 (of any dtype) for one or several
            positives, which share the probability equally.
        link: The link h of the composite Softmax, with h >= 0 on the scores; `ConstantLink()` gives the plain one.
        temperature: The temperature T > 0, in units of the potential: small is sharp.
        label_smoothing: How much of the probability, 0 to 1, is spread evenly over the candidates that count.
        class_weight: Weights >= 0 of shape (candidates,), where these are classes: the terms y_k are multiplied by
            them, and a mean over indices is weighted by those of the positives, as in `torch.nn.CrossEntropyLoss`.
        mask: Boolean, in the shape of `predicted`: True where a candidate counts. What is masked may be NaN.
        weight: Weights >= 0, one for each list; of the weight 0 it is as if it were not there.
        reduction: `"mean"` over the lists that have a candidate (weighted by `weight`), `"sum"` or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or one number for each list with `reduction="none"`. Where nothing counts
        it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If the labels fit none of these forms, a list has no positive or a masked one, the link is negative
            on the scores, the temperature is not positive, or another argument is out of range.

    Source:
        arXiv 2506.04446 for the composite Softmax.

    Example:
        >>> import torch
        >>> from selective_st.functional import listwise_label_loss
        >>> from selective_st.links import ConstantLink
        >>> predicted = torch.tensor([[0.9, 0.3, 0.5], [0.2, 0.1, 0.8]])
        >>> listwise_label_loss(predicted, torch.tensor([0, 2]), ConstantLink(), 0.1)
        tensor(0.0120)
        >>> listwise_label_loss(predicted, torch.tensor([[1, 0, 1], [0, 0, 1]]), ConstantLink(), 0.1)   # two positives
        tensor(1.0120)
    """
    owner = caller("listwise_label_loss")
    link, temperature, smoothing = checked(owner, link=link, temperature=temperature, label_smoothing=label_smoothing)
    predicted, mask, weight = _check_lists(owner, predicted, mask, weight)
    probabilities, one_right = _check_labels(owner, labels, predicted, mask)
    predicted, rows = fill_masked(predicted, mask, some_score(link)), _rows(mask)
    if smoothing:
        one_right = False
        count: Tensor | int = predicted.shape[-1]
        if mask is not None:  # of lists alone, where weights left some out
            count = mask.expand_as(predicted).sum(-1, keepdim=True, dtype=probabilities.dtype)
        probabilities = (1 - smoothing) * probabilities + smoothing / count
    probabilities = fill_masked(probabilities, mask, 0)
    check_domain(owner, link, predicted)
    check_nonnegative(owner, link, predicted)
    rule = _Labels(link, temperature, one_right)
    class_weight = check_weight(
        owner, class_weight, predicted.shape[-1:], name="class_weight", of="of one number for each class"
    )
    if class_weight is None:
        return reduce_loss(owner, rule(predicted, probabilities, mask), rows, weight, reduction)
    classes = class_weight.to(probabilities)
    weighed = classes * probabilities
    total = weighed.sum(-1, keepdim=True)
    probabilities = torch.where(total > 0, weighed / torch.where(total > 0, total, 1), probabilities)
    loss = rule(predicted, probabilities, mask)
    loss = loss * total.squeeze(-1).to(loss)
    if reduction != "mean" or labels.shape == predicted.shape:
        return reduce_loss(owner, loss, rows, weight, reduction)
    of_positives = classes[labels.long()].to(loss)
    whole = reduce_loss(owner, of_positives, rows, weight, "sum")
    return reduce_loss(owner, loss, rows, weight, "sum") / torch.where(whole > 0, whole, 1)


def _check_lists(
    owner: str, predicted: object, mask: object, weight: object
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The scores in at least single precision, which candidates count, none of a list of weight 0, and the weights."""
    scores = check_scores(owner, "predicted", predicted)
    if scores.dim() == 0 or scores.shape[-1] == 0:
        raise ValueError(
            f"{owner}: predicted must hold lists of candidates, of shape (lists, candidates), got shape "
            f"{tuple(scores.shape)}. Use predicted.unsqueeze(0) for a single list."
        )
    scores = scores.float() if scores.dtype.itemsize < 4 or not scores.is_floating_point() else scores
    weights = check_weight(owner, weight, scores.shape[:-1])
    counts = counting(check_mask(owner, mask, scores), None if weights is None else weights.unsqueeze(-1))
    return scores, counts, weights


def _rows(mask: Tensor | None) -> Tensor | None:
    """Which lists count: those of which a candidate does."""
    return None if mask is None else mask.any(-1)


def _check_labels(owner: str, labels: object, predicted: Tensor, mask: Tensor | None) -> tuple[Tensor, bool]:
    """The labels as probabilities in working precision, and whether each list is known to have one right candidate."""
    labels = check_tensor(owner, "labels", labels, "any")
    lists, candidates = tuple(predicted.shape[:-1]), predicted.shape[-1]
    forms = (
        f"the index of each list's positive, integers of shape {lists}, or probabilities or 0/1 of shape "
        f"{tuple(predicted.shape)}"
    )
    is_index = not labels.is_floating_point() and labels.dtype != torch.bool
    if labels.shape == lists and is_index:
        look(partial(check_indices, owner, candidates, f"Labels must be {forms}."), labels)
        labels = labels.detach().unsqueeze(-1) == torch.arange(candidates, device=labels.device)
        if mask is None:
            return _to_working_precision(labels), True
    elif labels.shape != predicted.shape:
        raise ValueError(f"{owner}: labels must be {forms}; got {labels.dtype} of shape {tuple(labels.shape)}.")
    values = _to_working_precision(labels.detach())
    if mask is not None:
        look(partial(_check_masked_labels, owner), values, mask)
        values = fill_masked(values, mask, 0)
    total = values.sum(-1, keepdim=True)
    is_choice = ((values == 0) | (values == 1)).all(-1, keepdim=True)
    if not in_transform() and bool((is_choice & (total == 1)).all()):
        return values, True
    counts = torch.ones_like(total, dtype=torch.bool) if mask is None else mask.any(-1, keepdim=True)
    is_probability = (values >= 0).all(-1, keepdim=True) & ((total - 1).abs() <= _PROBABILITY_TOLERANCE)
    look(partial(_check_rows, owner, forms), values, ~counts | (is_choice & (total >= 1)) | is_probability)
    return values / torch.where(total > 0, total, 1), False


def _check_masked_labels(owner: str, labels: Tensor, mask: Tensor) -> None:
    if bool(((labels != 0) & ~mask & mask.any(-1, keepdim=True)).any()):
        raise ValueError(f"{owner}: labels must be 0 where the mask leaves a candidate out, but some are not.")


def _check_rows(owner: str, forms: str, labels: Tensor, right: Tensor) -> None:
    if bool(right.all()):
        return
    row = int((~right).flatten().nonzero()[0])
    got = labels.reshape(-1, labels.shape[-1])[row].tolist()
    hint = (
        "A list needs a positive; leave such lists out."
        if not any(got)
        else f"For target scores use {wording('listwise_matching_loss')}; divide probabilities by their list's sum."
    )
    raise ValueError(f"{owner}: labels must be {forms}; list {row} has {[round(value, 4) for value in got]}. {hint}")


# --- The mathematics, on lists whose masked scores are harmless ---------------------------------------------------


@dataclass
class ListMatching(KnownGradient):
    """The matching loss of lists, of predicted and target scores, which count, and which are never right.

    Attributes:
        link: That of the composite Softmax.
        calibration_link: That of the calibration term.
        temperature: That of the prediction.
        target_temperature: That of the target.
        calibration: The weight of the calibration term, as `calibration_weight` gives it.
        mean: Whether the value is the mean over lists, rather than one number each.
        may_overflow: Whether scores may lie so far out that potentials or their exponentials overflow.
    """

    link: Link
    calibration_link: Link
    temperature: float
    target_temperature: float
    calibration: float
    mean: bool = False
    may_overflow: bool = True

    @override
    def value(self, *tensors: Any) -> Tensor:
        """Value and gradient without cancellation. Where a candidate is never right, its target is the predicted score.

        Nothing is asked of a GPU, so that nothing waits for it.
        """
        given, target, mask, never = tensors
        both = precise(given, target)
        p, s = both
        divergence, difference = of_calibration = self.link._matching(p, s)
        if self.calibration and self.calibration_link is not self.link:
            of_calibration = self.calibration_link._matching(p, s)
        d = p - s
        both, slopes = self.link._logits(both, 1 / self.temperature)  # which may write to the scores' memory
        if self.may_overflow and self.link._overflows:
            ends = -_LARGEST_LOGIT, _LARGEST_LOGIT
            both, slopes = both.clamp_(*ends), slopes.clamp_(*ends) if isinstance(slopes, Tensor) else slopes
        of_predicted, of_target = both
        at_predicted, at_target = slopes if isinstance(slopes, Tensor) else (slopes, slopes)
        # G(p) - G(s) is not subtracted, but added up from what is exact for p near s.
        rise = d.mul_(at_target).add_(divergence, alpha=1 / self.temperature)
        logits = of_target
        if self.target_temperature != self.temperature:
            rise += of_target * (1 - self.temperature / self.target_temperature)
            logits = of_target * (self.temperature / self.target_temperature)
        left_out = never if mask is None else ~mask if never is None else ~mask | never
        if left_out is not None:
            logits, rise = logits.masked_fill(left_out, -math.inf), rise.masked_fill(left_out, 0)
        q = _softmax(logits)
        # With x = rise less its q-mean: KL = log sum q e^x = log(1 + sum q (e^x - 1 - x)), a sum of terms >= 0, and
        # r - q = q (e^(x - KL) - 1). What is never right adds e^y, its logit on the same scale, without any q.
        mean = (q * rise).sum(-1, keepdim=True)
        x = highest = rise.sub_(mean)
        if never is not None:
            top = logits.amax(-1, keepdim=True)  # taken out of both first: beside it what they differ by may be lost
            y = torch.where(never, of_target, -math.inf) - top - torch.logsumexp(logits - top, -1, keepdim=True) - mean
            highest = torch.maximum(x, y)
        is_near = None  # for all lists
        if self.may_overflow and not (answers_at_once(x) and x.numel() and float(highest.amax()) < LARGEST_RISE):
            is_near = highest.amax(-1, keepdim=True) < LARGEST_RISE
        cut = x if is_near is None else x.clamp(max=LARGEST_RISE)
        total = exponential_less_linear(cut).mul_(q).sum(-1, keepdim=True)
        if never is not None:
            total = total + y.clamp(max=LARGEST_RISE).exp().sum(-1, keepdim=True)
        kl = torch.log1p(total)
        tilt = (x - kl).expm1_().mul_(q)
        if never is not None:
            tilt = tilt + (y - kl).exp()
        if is_near is not None:  # far out, digits are lost that the probabilities themselves have
            log_q = torch.log_softmax(logits, -1)
            log_r = torch.log_softmax(of_predicted if mask is None else of_predicted.masked_fill(~mask, -math.inf), -1)
            kl = torch.where(is_near, kl, mean_under(q, log_q - log_r, keepdim=True))
            tilt = torch.where(is_near, tilt, log_r.exp() - log_q.exp())
        value, gradient = kl.squeeze(-1), tilt.mul_(at_predicted)
        if self.calibration:
            divergence, difference = of_calibration
            # Whether it is known that no divergence is infinite.
            is_seen = is_near is None if self.calibration_link is self.link else not self.may_overflow
            if not is_seen and self.calibration_link._overflows:
                divergence, difference = (torch.where(q > 0, of_link, 0) for of_link in (divergence, difference))
            share = self.calibration / self.temperature
            factor = q if share == 1 else q * share
            value = value + (factor * divergence).sum(-1)
            gradient = gradient.addcmul_(factor, difference)
        if self.mean:
            value, gradient = value.mean(), gradient.div_(value.numel())
        self.gradient = gradient.to(given)
        return value.to(given)

    @override
    def plain(self, *tensors: Any) -> Tensor:
        given, s, mask, never = tensors
        p, s = _to_working_precision(given), _to_working_precision(s)
        of_target = self.link.potential(s) / self.target_temperature
        of_predicted = self.link.potential(p) / self.temperature
        if mask is not None:
            of_target, of_predicted = (logits.masked_fill(~mask, -math.inf) for logits in (of_target, of_predicted))
        if never is not None:
            of_target = of_target.masked_fill(never, -math.inf)
        limits = -_LARGEST_LOGIT, _LARGEST_LOGIT
        log_q, log_r = (torch.log_softmax(logits.clamp(*limits), -1) for logits in (of_target, of_predicted))
        q = log_q.exp()
        terms = log_q - log_r
        if self.calibration:
            terms = terms + (self.calibration / self.temperature) * self.calibration_link.divergence(p, s)
        value = mean_under(q, terms).to(given)
        return value.mean() if self.mean else value


def _softmax(logits: Tensor) -> Tensor:
    """Over the last dimension; of many short lists faster than `torch.softmax` is on a CPU."""
    if logits.device.type != "cpu" or not logits.shape[-1] < 64 <= len(logits):
        return torch.softmax(logits, -1)
    shares = (logits - logits.amax(-1, keepdim=True)).exp_()
    return shares.div_(shares.sum(-1, keepdim=True))


LARGEST_RISE = 300.0  # beyond, e^x might overflow
_LARGEST_LOGIT = 1e300  # of which there may be two, and 0 times it is 0


@dataclass
class _Labels(KnownGradient):
    """The cross entropy of lists, of scores, probabilities, and which candidates count."""

    link: Link
    temperature: float
    one_right: bool

    @override
    def value(self, *tensors: Any) -> Tensor:
        given, y, mask = tensors
        scores = _to_working_precision(given)
        # The scores' memory may be written to.
        logits, slope = self.link._logits(scores.clone() if scores is given else scores, 1 / self.temperature)
        if self.link._overflows:
            logits = logits.clamp_(-_LARGEST_LOGIT, _LARGEST_LOGIT)
            slope = slope.clamp_(-_LARGEST_LOGIT, _LARGEST_LOGIT) if isinstance(slope, Tensor) else slope
        if mask is not None:
            logits = logits.masked_fill(~mask, -math.inf)
        is_positive = y == 1
        # Relative to the mean under y, so that a small loss is not the difference of two large numbers.
        weighted = torch.where(is_positive, logits, 0) if self.one_right else y * torch.where(y > 0, logits, 0)
        logits = logits - weighted.sum(-1, keepdim=True)
        others = logits.masked_fill(is_positive, -math.inf)
        rest = torch.logsumexp(others, -1, keepdim=True)
        # For a single positive it is log(1 + e^rest), which keeps its digits however small.
        value = torch.logaddexp(rest, torch.zeros_like(rest))
        if not self.one_right:
            value = torch.where(is_positive.any(-1, keepdim=True), value, rest)
        probabilities = (others - value).exp()
        tilt = torch.where(is_positive, -(rest - value).exp(), probabilities if self.one_right else probabilities - y)
        self.gradient = tilt.mul_(slope).to(given)
        return value.squeeze(-1).to(given)

    @override
    def plain(self, *tensors: Any) -> Tensor:
        p, y, mask = tensors
        logits = self.link.potential(_to_working_precision(p)) / self.temperature
        if mask is not None:
            logits = logits.masked_fill(~mask, -1e300)
        return -mean_under(y, torch.log_softmax(logits, -1)).to(p)
