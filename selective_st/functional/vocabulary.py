r"""Losses of language models: for each token, the whole vocabulary through the composite Softmax.

A link h of potential G and a temperature T make probabilities of a token's logits z, `softmax(G(z) / T)`. With
`ConstantLink()` it is the plain Softmax, and does not change when the same number is added to all logits of a token.
With another link it does: which scores matter depends on where they lie, and no language model is trained to keep its
logits at a level. So the scores here are `z - logsumexp(z)`, unless `center=None`: the model's own log-probabilities,
from minus infinity to 0, the same whatever is added to the logits. Then `softmax(G(.) / T)` is a function of the
distribution that the model already has, a one-to-one function where h > 0 and G has no lower bound, so that the losses
stay proper. (Centring by the largest logit would do as well, but has a kink where the first two tokens tie.)

The tokens are gone through in blocks, which give losses and gradients at once: the only memory of the size of the
logits is the gradient, in the dtype of the logits. Half-precision logits are computed in single precision.

>>> import torch
>>> from selective_st.functional import vocabulary_loss
>>> from selective_st.links import ConstantLink
>>> logits, labels = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [1.0, 1.0, 1.0]]), torch.tensor([0, 2, -100])
>>> vocabulary_loss(logits, labels, ConstantLink())     # as torch.nn.functional.cross_entropy
tensor(1.7513)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from selective_st._autograd import KnownSlopes, in_transform, look, may_hold, pull_through
from selective_st._caller import caller, wording
from selective_st._validation import instance_of
from selective_st.functional._checks import check_calibration, check_indices, check_mask, check_nonnegative, checked
from selective_st.functional._common import Reduction, mean_under, potentials, reduce_loss, single_or_double, some_score
from selective_st.functional.output_layer import HiddenStates, block_length, by_tokens, linear_logits, logits_of
from selective_st.links import ConstantLink, Link
from selective_st.links._numerics import check_tensor
from selective_st.links.base import check_domain

Center = Literal["logsumexp"] | None
# How many scores a block holds: what fits into a processor's cache, and what keeps a GPU busy.
_BLOCK, _BLOCK_ELSEWHERE = 2**18, 2**26


class TopTokens(NamedTuple):
    """A teacher's logits, cut to the most probable tokens of each place; made by `top_tokens`.

    Attributes:
        scores: The scores of these tokens, of shape (..., k).
        tokens: Their numbers in the vocabulary, of that shape.
        rest: The logarithm of what the Softmax sums up over all other tokens, of shape (...,).
        vocabulary: How many tokens the vocabulary has.
    """

    scores: Tensor
    tokens: Tensor
    rest: Tensor
    vocabulary: int


def vocabulary_loss(
    logits: Tensor | HiddenStates,
    labels: Tensor,
    link: Link,
    temperature: float = 1.0,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    center: Center = "logsumexp",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The cross entropy of each token's label through the composite Softmax over the vocabulary.

        -sum_k y_k log softmax(G(s) / T)_k,        s = z - logsumexp(z)

    with y the label, of which `label_smoothing` is spread evenly over the vocabulary.

    Args:
        logits: Logits z, of shape (..., vocabulary); or what they are made of, to have few of them in memory at once.
        labels: The number of each token's label, integers of shape (...,).
        link: The link h of potential G, with h >= 0 on the scores; `ConstantLink()` gives the plain cross entropy.
        temperature: The temperature T > 0, in units of the potential: small is sharp.
        label_smoothing: How much of the label, 0 to 1, is spread.
        ignore_index: The label of tokens that do not count; their logits may be NaN.
        center: `"logsumexp"` for scores that are log-probabilities, None for the logits as they are.
        reduction: `"mean"` over the tokens that count, `"sum"`, or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or in the shape of `labels` for `reduction="none"`, 0 where ignored. Where
        no token counts it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes do not fit, a label lies outside the vocabulary, the link is negative on the scores, or
            another argument is out of range.

    Source:
        arXiv 2506.04446 for the composite Softmax; the centring is this project's own.

    Example:
        >>> import torch
        >>> from selective_st.functional import vocabulary_loss
        >>> from selective_st.links import ConstantLink, SigmoidLink
        >>> logits, labels = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]]), torch.tensor([0, 2])
        >>> vocabulary_loss(logits, labels, ConstantLink() + SigmoidLink(2.0, shift=-1.0))
        tensor(2.1290)
    """
    owner = caller("vocabulary_loss")
    softmax = _softmax_of(owner, link, temperature, center, is_positive=True)
    (smoothing,) = checked(owner, label_smoothing=label_smoothing)
    _check_logits(owner, "logits", logits)
    counts, labels = _check_labels(owner, labels, logits, ignore_index)
    losses = _losses_of(logits, counts, partial(_label_losses, softmax, smoothing), labels)
    return reduce_loss(owner, losses, counts, None, reduction)


def vocabulary_matching_loss(
    logits: Tensor | HiddenStates,
    teacher: Tensor | HiddenStates | TopTokens,
    link: Link,
    temperature: float = 1.0,
    *,
    target_temperature: float | None = None,
    calibration: float = 1.0,
    calibration_link: Link | None = None,
    mask: Tensor | None = None,
    center: Center = "logsumexp",
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The matching loss of each token's logits against a teacher's: a ranking and a calibration term.

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k),    q = softmax(G(s) / target_temperature)

    where p are the student's and s the teacher's centred logits. Against `TopTokens` all other tokens count as one,
    with the sum of their probabilities, and have no calibration term: that is a lower bound of the whole loss, and 0
    for a student that agrees with the teacher.

    Args:
        logits: The student's logits, of shape (..., vocabulary); or what they are made of, to have few of them in
            memory at once.
        teacher: The teacher's logits in that shape, or what they are made of (where the student's are given so, too);
            or their `TopTokens`, made with the same link, `target_temperature` and `center`.
        link: The link h of potential G; `ConstantLink()` gives the KL divergence of plain Softmaxes.
        temperature: The temperature T > 0 of the student, in units of the potential.
        target_temperature: Another temperature for the teacher. Default: `temperature`.
        calibration: The weight >= 0 of the calibration term: 1 is the matching loss, 0 ranks only.
        calibration_link: The link of the calibration term. Default: `link`.
        mask: Boolean, of shape (...,): True where a token counts. What is masked may be NaN.
        center: `"logsumexp"` for scores that are log-probabilities, None for the logits as they are.
        reduction: `"mean"` over the tokens that count, `"sum"`, or `"none"`.

    Returns:
        The loss, at least float32: a scalar, or one number for each token with `reduction="none"`. There is no factor
        T^2; where no token counts it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype, or the teacher's logits require a gradient.
        ValueError: If shapes do not fit, or another argument is out of range.

    Source:
        arXiv 2506.04446 for matching losses with a composite Softmax; Hinton et al. 2015, arXiv 1503.02531, for
        distillation.

    Example:
        >>> import torch
        >>> from selective_st.functional import vocabulary_matching_loss
        >>> from selective_st.links import ConstantLink
        >>> student, teacher = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 3.0, 0.0]])
        >>> vocabulary_matching_loss(student, teacher, ConstantLink())
        tensor(0.8112)
    """
    owner = caller("vocabulary_matching_loss")
    calibration, calibration_link = check_calibration(owner, link, calibration, calibration_link)
    softmax, of_teacher = (
        _softmax_of(owner, link, each, center, uses_scores=calibration > 0)
        for each in (temperature, temperature if target_temperature is None else target_temperature)
    )
    _check_logits(owner, "logits", logits)
    _check_teacher(owner, teacher, logits)
    mask = check_mask(owner, mask, torch.empty(logits.shape[:-1], device="meta"), "logits without its last dimension")
    counts = torch.ones(logits.shape[:-1], dtype=torch.bool, device=logits.device) if mask is None else mask
    losses_of = partial(_teacher_losses, softmax, of_teacher, calibration, calibration_link)
    of_tokens = teacher[:3] if isinstance(teacher, TopTokens) else (teacher,)
    losses = _losses_of(logits, counts, losses_of, *of_tokens)
    return reduce_loss(owner, losses, counts, None, reduction)


def top_tokens(
    teacher: Tensor | HiddenStates, k: int, link: Link, temperature: float = 1.0, *, center: Center = "logsumexp"
) -> TopTokens:
    """A teacher's logits, cut to the k most probable tokens and the sum of the rest, to keep them in little memory.

    Args:
        teacher: The teacher's logits, of shape (..., vocabulary), or what they are made of.
        k: How many tokens to keep of each place, fewer than the vocabulary has.
        link: The link of the loss.
        temperature: The temperature of the teacher.
        center: As in the loss.

    Returns:
        What `vocabulary_matching_loss` takes instead of the logits.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> from selective_st.functional import top_tokens
        >>> from selective_st.links import ConstantLink
        >>> top_tokens(torch.tensor([[1.0, 3.0, 0.0]]), 2, ConstantLink()).tokens
        tensor([[1, 0]])
    """
    owner = caller("top_tokens")
    softmax = _softmax_of(owner, link, temperature, center, uses_scores=True)
    _check_logits(owner, "teacher", teacher)
    vocabulary, shape = teacher.shape[-1], teacher.shape[:-1]
    if isinstance(k, bool) or not isinstance(k, int) or not 0 < k < vocabulary:
        raise ValueError(
            f"{owner}: k must be an integer from 1 to {vocabulary - 1}, one less than the vocabulary, got {k!r}."
        )
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.no_grad():
        flat = by_tokens(teacher, len(shape))
        for tokens in torch.arange(shape.numel(), device=teacher.device).split(_block_length(teacher)):
            scores = softmax.scores(*single_or_double(logits_of(flat, tokens)))
            top = scores.topk(k)
            rest = torch.logsumexp(softmax.logits(scores).scatter(-1, top.indices, -math.inf), -1)
            parts.append((top.values, top.indices, rest))
    values, places, rests = (torch.cat(part) for part in zip(*parts, strict=True))
    return TopTokens(values.view(*shape, k), places.view(*shape, k), rests.view(shape), vocabulary)


def vocabulary_log_probabilities(
    logits: Tensor, link: Link, temperature: float = 1.0, *, center: Center = "logsumexp"
) -> Tensor:
    """The logarithm of the probabilities that a model trained through a link gives: `log softmax(G(s) / T)`.

    Args:
        logits: Logits, of shape (..., vocabulary).
        link: The link of the loss.
        temperature: The temperature of the loss.
        center: As in the loss.

    Returns:
        The log-probabilities, in the shape of `logits` and at least float32; with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> from selective_st.functional import vocabulary_log_probabilities
        >>> from selective_st.links import ConstantLink, SigmoidLink
        >>> logits = torch.tensor([[2.0, 1.0, 0.0]])
        >>> vocabulary_log_probabilities(logits, ConstantLink() + SigmoidLink(2.0, shift=-1.0)).exp()
        tensor([[0.7805, 0.1669, 0.0526]])
    """
    owner = caller("vocabulary_log_probabilities")
    softmax = _softmax_of(owner, link, temperature, center)
    _check_logits(owner, "logits", logits)
    return softmax.log_probabilities(softmax.scores(*single_or_double(logits)))


# --- Checks ---------------------------------------------------------------------------------------------------------


def check_center(owner: str, center: object) -> Center:
    """Return `center` if it is one of the two, or raise."""
    return cast(Center, checked(owner, center=center)[0])


def _softmax_of(
    owner: str,
    link: Any,
    temperature: Any,
    center: Any,
    *,
    uses_scores: bool = False,
    is_positive: bool = False,
) -> _Softmax:
    link, temperature, center = checked(owner, link=link, temperature=temperature, center=center)
    # The plain Softmax is the same whatever is added to the logits; what else uses the scores is not.
    matters = uses_scores or not isinstance(link, ConstantLink)
    return _Softmax(owner, link, temperature, center is not None and matters, is_positive)


def _check_logits(owner: str, name: str, logits: Any) -> None:
    if not isinstance(logits, HiddenStates):
        check_tensor(owner, name, logits, "floating-point")
    if logits.dim() < 2 or not logits.numel():
        raise ValueError(
            f"{owner}: {name} must have shape (..., tokens, vocabulary) with at least one of each, got "
            f"{tuple(logits.shape)}."
        )


def _check_labels(owner: str, labels: Any, logits: Any, ignore_index: Any) -> tuple[Tensor, Tensor]:
    """Which labels count, and the labels, 0 for the others."""
    instance_of(owner, "ignore_index", ignore_index, int, "Write ignore_index=-100.")
    check_tensor(owner, "labels", labels, "whole", logits.shape[:-1], of="of logits without the vocabulary")
    counts = labels != ignore_index
    labels = torch.where(counts, labels, 0).long()
    mend = f"Give labels that do not count {ignore_index}: labels.masked_fill(labels == pad_token_id, {ignore_index})."
    look(partial(check_indices, owner, logits.shape[-1], mend), labels)
    return counts, labels


def _check_teacher(owner: str, teacher: Any, logits: Any) -> None:
    ours, places = logits.shape[-1], logits.shape[:-1]
    parts: tuple[Tensor, ...]
    if isinstance(teacher, TopTokens):
        parts, shapes = teacher[:3], [teacher.rest.shape, *(part.shape[:-1] for part in teacher[:2])]
    elif isinstance(teacher, HiddenStates):
        if not isinstance(logits, HiddenStates):
            raise TypeError(
                f"{owner}: teacher must be logits where the student's are, got HiddenStates. Give "
                "HiddenStates(hidden, weight) for both."
            )
        # Of a teacher that is not trained the layer may still require a gradient.
        parts, shapes = (teacher.hidden,), [teacher.shape[:-1]]
    else:
        parts, shapes = (check_tensor(owner, "teacher", teacher),), [teacher.shape[:-1]]
    if wrong := [tuple(shape) for shape in shapes if shape != places]:
        raise ValueError(
            f"{owner}: teacher must have the shape of logits without the vocabulary, {tuple(places)}, got {wrong[0]}. "
            f"Give the teacher's logits of the same texts, or what {wording('top_tokens')} makes of them."
        )
    theirs = teacher.vocabulary if isinstance(teacher, TopTokens) else teacher.shape[-1]
    if theirs != ours:
        raise ValueError(
            f"{owner}: teacher and student need one vocabulary, but the teacher gives {theirs} logits and the "
            f"student {ours}. If they only differ in unused tokens at the end, cut both: "
            f"logits[..., :{min(theirs, ours)}]."
        )
    if any(part.requires_grad for part in parts):
        raise TypeError(
            f"{owner}: teacher must not require a gradient, which would not reach it. Run the teacher under "
            "torch.no_grad(), or use teacher.detach()."
        )


# --- The mathematics, of some tokens, by what can be differentiated to any order --------------------------------------


@dataclass(frozen=True)
class _Softmax:
    """The composite Softmax of centred logits. A logit of minus infinity forbids a token: no link gives it back."""

    owner: str
    link: Link
    temperature: float
    centers: bool
    is_positive: bool

    def scores(self, z: Tensor) -> Tensor:
        """The scores of logits; an error where they leave the link's domain, or it is negative and must not be."""
        scores = torch.log_softmax(z, -1) if self.centers else z
        if self.link.domain != Link.domain or (self.is_positive and self.link._lowest_value < 0):
            look(self._check, scores.detach())
        return scores

    def _check(self, scores: Tensor) -> None:
        allowed = scores[scores > -math.inf]
        check_domain(self.owner, self.link, allowed)
        if self.is_positive:
            check_nonnegative(self.owner, self.link, allowed)

    def logits(self, scores: Tensor) -> Tensor:
        """`G(s) / T`."""
        scale = 1 / self.temperature
        if self.link._potential_at_bottom == -math.inf or not may_hold(forbidden := scores == -math.inf):
            return potentials(self.link, scores, scale)
        scores = torch.where(forbidden, some_score(self.link), scores)
        return potentials(self.link, scores, scale).masked_fill(forbidden, -math.inf)

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """`log softmax(G(s) / T)`."""
        return torch.log_softmax(self.logits(scores), -1)


def _label_losses(softmax: _Softmax, smoothing: float, z: Tensor, labels: Tensor) -> Tensor:
    """The losses of tokens by their logits and labels."""
    log_r = softmax.log_probabilities(softmax.scores(z))
    losses = log_r.gather(-1, labels.unsqueeze(-1)).squeeze(-1) * (smoothing - 1)
    return losses - smoothing * log_r.mean(-1) if smoothing else losses


def _teacher_losses(
    softmax: _Softmax,
    of_teacher: _Softmax,
    calibration: float,
    calibration_link: Link,
    z: Tensor,
    teacher: Tensor,
    chosen: Tensor | None = None,
    rest: Tensor | None = None,
) -> Tensor:
    """The losses of tokens by their logits and the teacher's; or by its scores of those that are chosen, and the rest.

    As a list of `listwise_matching_loss`, of which all that are not chosen are one candidate.
    """
    p = softmax.scores(z)
    logits = softmax.logits(p)
    if chosen is not None:
        # Not minus infinity: where all others are forbidden, too, that would have no gradient.
        of_rest = logits.scatter(-1, chosen, torch.finfo(z.dtype).min).logsumexp(-1)
        p, logits = p.gather(-1, chosen), _joined(logits.gather(-1, chosen), of_rest)
    log_r = torch.log_softmax(logits, -1)
    with torch.no_grad():
        s = teacher.to(z) if rest is not None else of_teacher.scores(teacher.to(z))
        logits = of_teacher.logits(s)
        log_q = torch.log_softmax(logits if rest is None else _joined(logits, rest.to(z)), -1)
        q = log_q.exp()
    losses = mean_under(q, log_q - log_r)
    if calibration:
        q = q[..., : p.shape[-1]]
        p, s = (torch.where(q > 0, scores, some_score(calibration_link)) for scores in (p, s))
        check_domain(softmax.owner, calibration_link, p, s)
        losses = losses + calibration / softmax.temperature * mean_under(q, calibration_link.divergence(p, s))
    return losses


def _joined(of_chosen: Tensor, of_rest: Tensor) -> Tensor:
    return torch.cat([of_chosen, of_rest.unsqueeze(-1)], -1)


# --- Block by block ---------------------------------------------------------------------------------------------------


def _losses_of(
    logits: Tensor | HiddenStates, counts: Tensor, losses_of: Callable[..., Tensor], *of_tokens: Any
) -> Tensor:
    """The losses of tokens, 0 where one does not count."""
    if in_transform():  # where nothing can be made again on the way back
        logits = logits.whole() if isinstance(logits, HiddenStates) else logits
        of_tokens = tuple(each.whole() if isinstance(each, HiddenStates) else each for each in of_tokens)
    if not isinstance(logits, HiddenStates):
        return _TokenLosses(losses_of, logits)(logits, counts, *of_tokens)

    states, hidden = logits, logits.hidden.flatten(0, -2)
    places = counts.flatten().nonzero().squeeze(1)
    flat = [by_tokens(each, counts.dim()) for each in of_tokens]

    def block(calls: Iterator[int], tokens: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        some = linear_logits(rows, weight, bias)
        others = (logits_of(each, tokens) for each in flat)
        is_way_back = next(calls) > 0
        return _TokenLosses(losses_of, some, is_way_back)(some, torch.ones_like(tokens, dtype=torch.bool), *others)

    losses = []
    for tokens in places.split(block_length(states)):
        parts = count(), tokens, hidden[tokens], states.weight, states.bias
        losses.append(checkpoint(block, *parts, use_reentrant=False, preserve_rng_state=False))
    found = torch.cat(losses)
    return found.new_zeros(counts.numel()).index_put((places,), found).view(counts.shape)


class _TokenLosses(KnownSlopes):
    """The losses of tokens, 0 where one does not count: of logits, which count, and what else is known of them."""

    def __init__(self, losses_of: Callable[..., Tensor], logits: Tensor, keep: bool = True) -> None:
        """Say how to compute them.

        Args:
            losses_of: Takes the rows of some tokens, of the logits and all tensors after the second; gives the losses.
            logits: The logits, of which a gradient may be wanted.
            keep: Whether to compute it with the losses and keep it, rather than to compute it when it is wanted.
        """
        self._losses_of, self._transforms = losses_of, in_transform()
        self._wants_gradient = keep and logits.requires_grad and torch.is_grad_enabled()

    def _own_hooks(self) -> AbstractContextManager[object]:
        """Hooks that do nothing: those of a checkpoint around would take what is saved here for its own."""
        return nullcontext() if self._transforms else saved_tensors_hooks(lambda saved: saved, lambda saved: saved)

    def value(self, *tensors: Tensor) -> Tensor:
        # Kept by hand, for the way back to give away rather than to copy: it is the most memory.
        losses, self._gradient = self._run(self._wants_gradient, *tensors)
        return losses

    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled():  # a gradient of the gradient may be wanted
            return pull_through(self._plain, gradient, needed, tensors)
        own, self._gradient = self._gradient, None
        if own is None:  # given away by an earlier backward through the same graph
            _, own = self._run(True, *tensors)
        assert own is not None
        flat = own.view(-1, own.shape[-1])
        length = _block_length(flat)  # in blocks, for a product of two dtypes copies
        for rows, factor in zip(flat.split(length), gradient.reshape(-1).split(length), strict=True):
            rows.mul_(factor.unsqueeze(-1))
        return own, *(None for _ in needed[1:])

    def _run(
        self, wants_gradient: bool, logits: Tensor, counts: Tensor, *of_tokens: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The losses, and the gradient with respect to all logits."""
        flat, *others = (by_tokens(each, counts.dim()) for each in (logits, *of_tokens))
        losses = flat.new_zeros(len(flat), dtype=torch.promote_types(logits.dtype, torch.float32))
        gradient = torch.zeros_like(flat) if wants_gradient else None
        for tokens in counts.reshape(-1).nonzero().squeeze(1).split(_block_length(flat)):
            with torch.set_grad_enabled(wants_gradient), self._own_hooks():
                rows = flat[tokens].to(losses.dtype).detach().requires_grad_(wants_gradient)
                found = self._losses_of(rows, *(other[tokens] for other in others))
            losses[tokens] = found.detach()
            if gradient is not None:
                gradient[tokens] = torch.autograd.grad(found, rows, torch.ones_like(found))[0].to(gradient.dtype)
        return losses.view(counts.shape), None if gradient is None else gradient.view(logits.shape)

    def _plain(self, logits: Tensor, counts: Tensor, *of_tokens: Tensor) -> Tensor:
        """The same of all tokens, those that do not count with logits of 0, for automatic differentiation."""
        logits, *others = (
            by_tokens(each, counts.dim()) for each in (torch.where(counts.unsqueeze(-1), logits, 0), *of_tokens)
        )
        return torch.where(counts, self._losses_of(*single_or_double(logits), *others).view(counts.shape), 0)


def _block_length(logits: Tensor | HiddenStates) -> int:
    """How many tokens make a block."""
    if isinstance(logits, HiddenStates):
        return block_length(logits)
    return max((_BLOCK if logits.device.type == "cpu" else _BLOCK_ELSEWHERE) // logits.shape[-1], 1)
