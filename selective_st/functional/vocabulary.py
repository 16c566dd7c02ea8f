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
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from selective_st._autograd import KnownSlopes, in_transform, look, pull_through
from selective_st._caller import caller, wording
from selective_st._validation import finite_number
from selective_st.functional._common import (
    Reduction,
    calibration_weight,
    check_link,
    check_mask,
    check_nonnegative,
    check_scores,
    check_smoothing,
    one_of,
    reduce_loss,
    single_or_double,
)
from selective_st.functional.output_layer import HiddenStates, block_length, losses_in_blocks
from selective_st.links import ConstantLink, Interval, Link
from selective_st.links._numerics import _to_working_precision
from selective_st.links.base import check_domain

Center = Literal["logsumexp"] | None
_CENTERS: tuple[Center, ...] = ("logsumexp", None)
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
    softmax = _softmax_of(owner, link, temperature, center)
    smoothing = check_smoothing(owner, label_smoothing)
    logits = _check_logits(owner, "logits", logits)
    counts, labels = _check_labels(owner, labels, logits, ignore_index)
    losses = _losses_of(logits, counts, partial(_Labels, softmax, smoothing), labels)
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
    calibration = finite_number(owner, "calibration", calibration, nonnegative=True)
    calibration_link = check_link(owner, link if calibration_link is None else calibration_link, "calibration_link")
    calibration = calibration_weight(calibration, calibration_link)
    softmax, of_teacher = (
        _softmax_of(owner, link, each, center, uses_scores=calibration > 0)
        for each in (temperature, temperature if target_temperature is None else target_temperature)
    )
    logits = _check_logits(owner, "logits", logits)
    _check_teacher(owner, teacher, logits)
    mask = check_mask(owner, mask, torch.empty(logits.shape[:-1], device="meta"), "logits without its last dimension")
    counts = torch.ones(logits.shape[:-1], dtype=torch.bool, device=logits.device) if mask is None else mask
    of_teacher_parts = teacher[:3] if isinstance(teacher, TopTokens) else (teacher,)
    make = partial(_Matching, softmax, of_teacher, calibration, calibration_link)
    losses = _losses_of(logits, counts, make, *of_teacher_parts)
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
    teacher = _check_logits(owner, "teacher", teacher)
    vocabulary = teacher.shape[-1]
    if isinstance(k, bool) or not isinstance(k, int) or not 0 < k < vocabulary:
        raise ValueError(
            f"{owner}: k must be an integer from 1 to {vocabulary - 1}, one less than the vocabulary, got {k!r}."
        )
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.no_grad():
        for rows in _rows_in_blocks(teacher.detach()):
            scores, _ = softmax.scores(_working_copy(rows))
            top = scores.topk(k)
            logits, _ = softmax.logits(scores)
            rest = torch.logsumexp(logits.scatter_(-1, top.indices, -math.inf), -1)
            parts.append((top.values, top.indices, rest))
    shape = teacher.shape[:-1]
    values, tokens, rests = (torch.cat(part) for part in zip(*parts, strict=True))
    return TopTokens(values.view(*shape, k), tokens.view(*shape, k), rests.view(shape), vocabulary)


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
    return softmax.plain(*single_or_double(_check_logits(owner, "logits", logits)))


# --- Checks ---------------------------------------------------------------------------------------------------------


def check_center(owner: str, center: object) -> Center:
    """Return `center` if it is one of the two, or raise."""
    return cast(Center, one_of(owner, "center", center, _CENTERS))


def _softmax_of(
    owner: str, link: object, temperature: object, center: object, *, uses_scores: bool = False
) -> _Softmax:
    link = check_link(owner, link)
    temperature = finite_number(owner, "temperature", temperature, positive=True)
    center = check_center(owner, center)
    # The plain Softmax is the same whatever is added to the logits; what else uses the scores is not.
    matters = uses_scores or not isinstance(link, ConstantLink)
    return _Softmax(owner, link, temperature, center is not None and matters)


def _losses_of(
    logits: Tensor | HiddenStates, counts: Tensor, make: Callable[..., _Objective], *of_tokens: Any
) -> Tensor:
    """The losses of tokens, 0 where one does not count."""
    if isinstance(logits, HiddenStates) and in_transform():  # where nothing can be made again on the way back
        logits = logits.whole()
        of_tokens = tuple(each.whole() if isinstance(each, HiddenStates) else each for each in of_tokens)
    if isinstance(logits, HiddenStates):

        def losses_of(keep: bool, some: Tensor, *parts: Tensor) -> Tensor:
            return _TokenLosses(make, some, keep)(some, torch.ones_like(some[..., 0], dtype=torch.bool), *parts)

        return losses_in_blocks(logits, counts, losses_of, *of_tokens)
    return _TokenLosses(make, logits)(logits, counts, *of_tokens)


def _check_logits(owner: str, name: str, logits: Any) -> Any:
    if isinstance(logits, HiddenStates):
        if not logits.numel():
            raise ValueError(f"{owner}: {name} must be of at least one token, got {tuple(logits.shape)}.")
        return logits
    scores = check_scores(owner, name, logits)
    if not scores.is_floating_point():
        raise TypeError(f"{owner}: {name} must be floating-point numbers, got {scores.dtype}. Use {name}.float().")
    if scores.dim() < 2 or not scores.numel():
        raise ValueError(
            f"{owner}: {name} must have shape (..., tokens, vocabulary) with at least one of each, got "
            f"{tuple(scores.shape)}."
        )
    return scores


def _check_labels(owner: str, labels: object, logits: Any, ignore_index: object) -> tuple[Tensor, Tensor]:
    """Which labels count, and the labels, 0 for the others."""
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise TypeError(f"{owner}: ignore_index must be an integer, got {ignore_index!r}.")
    if (
        not isinstance(labels, Tensor)
        or labels.is_floating_point()
        or labels.is_complex()
        or labels.dtype == torch.bool
    ):
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(
            f"{owner}: labels must be a tensor of integers, the number of a token in the vocabulary, got {got}. "
            f"For a teacher's scores use {wording('vocabulary_matching_loss')}."
        )
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"{owner}: labels must have the shape of logits without the vocabulary, {tuple(logits.shape[:-1])}, got "
            f"{tuple(labels.shape)}."
        )
    counts = labels != ignore_index
    labels = torch.where(counts, labels, 0).long()
    look(partial(_check_tokens, owner, logits.shape[-1], ignore_index), labels)
    return counts, labels


def _check_tokens(owner: str, vocabulary: int, ignore_index: int, labels: Tensor) -> None:
    low, high = (int(end) for end in labels.aminmax())
    if low < 0 or high >= vocabulary:
        raise ValueError(
            f"{owner}: labels must be from 0 to {vocabulary - 1} for a vocabulary of {vocabulary}, or "
            f"ignore_index={ignore_index}, got labels from {low} to {high}. Give labels that do not count the label "
            f"{ignore_index}: labels.masked_fill(labels == pad_token_id, {ignore_index})."
        )


def _check_vocabulary(owner: str, theirs: int, logits: Any) -> None:
    ours = logits.shape[-1]
    if theirs != ours:
        raise ValueError(
            f"{owner}: teacher and student need one vocabulary, but the teacher gives {theirs} logits and the "
            f"student {ours}. If they only differ in unused tokens at the end, cut both: "
            f"logits[..., :{min(theirs, ours)}]."
        )


def _check_teacher(owner: str, teacher: object, logits: Any) -> None:
    if isinstance(teacher, TopTokens):
        shapes = tuple(tuple(part.shape) for part in teacher[:3])
        places, k = tuple(logits.shape[:-1]), teacher.scores.shape[-1]
        if shapes != ((*places, k), (*places, k), places):
            raise ValueError(
                f"{owner}: teacher must hold the top tokens of each of the student's {places} places, got shapes "
                f"{', '.join(map(str, shapes))}. Make it of the teacher's logits of the same texts by "
                f"{wording('top_tokens')}."
            )
        _check_vocabulary(owner, teacher.vocabulary, logits)
    elif isinstance(teacher, HiddenStates):
        if not isinstance(logits, HiddenStates):
            raise TypeError(
                f"{owner}: teacher must be logits where the student's are, got HiddenStates. Give "
                "HiddenStates(hidden, weight) for both."
            )
        _check_vocabulary(owner, teacher.shape[-1], logits)
        if teacher.shape[:-1] != logits.shape[:-1]:
            raise ValueError(
                f"{owner}: teacher must have hidden states of the student's {tuple(logits.shape[:-1])} places, got "
                f"{tuple(teacher.shape[:-1])}."
            )
    else:
        if isinstance(teacher, Tensor) and teacher.shape[:-1] == logits.shape[:-1]:
            _check_vocabulary(owner, teacher.shape[-1], logits)
        like = torch.empty(logits.shape, device="meta")
        check_scores(owner, "teacher", teacher, like=like, name_of_like="logits")
    parts: tuple[Any, ...] = teacher if isinstance(teacher, tuple) else (teacher,)
    if isinstance(teacher, HiddenStates):
        parts = (teacher.hidden,)  # of a teacher that is not trained the layer may still require one
    if any(isinstance(part, Tensor) and part.requires_grad for part in parts):
        raise TypeError(
            f"{owner}: teacher must not require a gradient, which would not reach it. Run the teacher under "
            "torch.no_grad(), or use teacher.detach()."
        )


# --- The mathematics, block by block ----------------------------------------------------------------------------------


def _block_length(flat: Tensor) -> int:
    """How many tokens make a block."""
    scores = _BLOCK if flat.device.type == "cpu" else _BLOCK_ELSEWHERE
    return max(scores // flat.shape[-1], 1)


def _rows_in_blocks(logits: Tensor | HiddenStates) -> Iterator[Tensor]:
    """The logits of all tokens, a block of them at a time."""
    if isinstance(logits, HiddenStates):
        tokens = torch.arange(logits.shape[:-1].numel(), device=logits.device)
        yield from map(logits.logits, tokens.split(block_length(logits)))
    else:
        flat = logits.reshape(-1, logits.shape[-1])
        yield from flat.split(_block_length(flat))


def _working_copy(rows: Tensor) -> Tensor:
    """A copy in at least single precision, which may be overwritten."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32), copy=True)


@dataclass(frozen=True)
class _Softmax:
    """The composite Softmax of centred logits. A logit of minus infinity forbids a token: no link gives it back."""

    owner: str
    link: Link
    temperature: float
    centers: bool

    @property
    def some_score(self) -> float:
        """A score within the link's domain."""
        return min(max(0.0, self.link.domain.low), self.link.domain.high)

    def scores(self, z: Tensor, *, positive: bool = False) -> tuple[Tensor, Tensor | None]:
        """The scores of logits, which are overwritten, and the plain probabilities, which centring needs going back."""
        if self.centers:
            z = torch.log_softmax(z, -1)
        self._check(z, positive)
        return z, z.exp() if self.centers else None

    def _check(self, scores: Tensor, positive: bool) -> None:
        """Raise where scores leave the link's domain, or it must be positive on them and is not."""
        if self.link.domain == Interval(-math.inf, math.inf) and (self.link._lowest_value >= 0 or not positive):
            return
        look(partial(self._check_allowed, positive), scores)

    def _check_allowed(self, positive: bool, scores: Tensor) -> None:
        allowed = scores[scores > -math.inf]
        check_domain(self.owner, self.link, allowed)
        if positive:
            check_nonnegative(self.owner, self.link, allowed)

    def logits(self, scores: Tensor) -> tuple[Tensor, Tensor | float]:
        """`G(s) / T` and its slope `h(s) / T`; the scores are overwritten."""
        forbidden = None
        if self.link._potential_at_bottom != -math.inf and bool(scores.amin() == -math.inf):
            forbidden = scores == -math.inf
            scores = scores.masked_fill_(forbidden, self.some_score)
        logits, slope = self.link._logits(scores, 1 / self.temperature)
        if forbidden is not None:
            logits = logits.masked_fill_(forbidden, -math.inf)
            slope = slope.masked_fill_(forbidden, 0) if isinstance(slope, Tensor) else slope
        return logits, slope

    def backward(self, gradient: Tensor, slope: Tensor | float, plain: Tensor | None) -> Tensor:
        """From the gradient with respect to `G(s) / T`, which is overwritten, to that with respect to the logits."""
        if isinstance(slope, Tensor) or slope != 1:
            gradient.mul_(slope)
        if plain is not None:
            gradient.addcmul_(plain, gradient.sum(-1, keepdim=True), value=-1)
        return gradient

    def plain_scores(self, z: Tensor) -> Tensor:
        """`scores`, for automatic differentiation to any order."""
        scores = torch.log_softmax(z, -1) if self.centers else z
        self._check(scores, positive=False)
        return scores

    def plain_logits(self, scores: Tensor) -> Tensor:
        """`logits`, likewise."""
        forbidden = scores == -math.inf
        logits = self.link.potential(torch.where(forbidden, self.some_score, scores)) / self.temperature
        return torch.where(forbidden, -math.inf, logits)

    def plain(self, z: Tensor) -> Tensor:
        """`log softmax(G(s) / T)`, likewise."""
        return torch.log_softmax(self.plain_logits(self.plain_scores(z)), -1)


class _Objective(ABC):
    """What is to be computed of each of some tokens, which are chosen among all."""

    @abstractmethod
    def block(self, z: Tensor, place: slice, wants_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """The losses of some tokens, and their gradients with respect to the logits z, which are overwritten."""

    @abstractmethod
    def plain(self, z: Tensor) -> Tensor:
        """The losses of all tokens, for automatic differentiation to any order."""


class _Labels(_Objective):
    def __init__(self, softmax: _Softmax, smoothing: float, tokens: Tensor, labels: Tensor) -> None:
        self.softmax, self.smoothing, self.labels = softmax, smoothing, labels.reshape(-1)[tokens]

    def block(self, z: Tensor, place: slice, wants_gradient: bool) -> tuple[Tensor, Tensor | None]:
        labels = self.labels[place].unsqueeze(-1)
        scores, plain = self.softmax.scores(z, positive=True)
        logits, slope = self.softmax.logits(scores)
        log_r = torch.log_softmax(logits, -1)
        losses = self._losses(log_r, labels)
        if not wants_gradient:
            return losses, None
        gradient = torch.exp(log_r, out=logits)
        if self.smoothing:
            gradient.sub_(self.smoothing / gradient.shape[-1])
        gradient.scatter_add_(-1, labels, gradient.new_full(labels.shape, self.smoothing - 1))
        return losses, self.softmax.backward(gradient, slope, plain)

    def plain(self, z: Tensor) -> Tensor:
        return self._losses(self.softmax.plain(z), self.labels.unsqueeze(-1))

    def _losses(self, log_r: Tensor, labels: Tensor) -> Tensor:
        losses = log_r.gather(-1, labels).squeeze(-1) * (self.smoothing - 1)
        return losses - self.smoothing * log_r.mean(-1) if self.smoothing else losses


class _Matching(_Objective):
    def __init__(
        self,
        softmax: _Softmax,
        of_teacher: _Softmax,
        calibration: float,
        calibration_link: Link,
        tokens: Tensor,
        *teacher: Tensor,
    ) -> None:
        self.softmax, self.of_teacher, self.tokens = softmax, of_teacher, tokens
        self.calibration, self.calibration_link = calibration, calibration_link
        # Scores of all tokens; or of the top ones, which these are, and the rest.
        self.scores, self.chosen, self.rest = teacher if len(teacher) > 1 else (*teacher, None, None)

    def block(self, z: Tensor, place: slice, wants_gradient: bool) -> tuple[Tensor, Tensor | None]:
        log_q, targets, chosen, log_q_rest = self._of_teacher(z, self.tokens[place])
        scores, plain = self.softmax.scores(z)
        of_chosen = scores.clone() if chosen is None and self.calibration else scores
        of_chosen = of_chosen if chosen is None else of_chosen.gather(-1, chosen)
        logits, slope = self.softmax.logits(scores)
        log_r = torch.log_softmax(logits, -1)
        q = log_q.exp()
        losses = _divergence(q, log_q, log_r if chosen is None else log_r.gather(-1, chosen))
        gradient = None
        if chosen is not None and log_q_rest is not None:
            of_rest = log_r.scatter(-1, chosen, -math.inf)
            log_r_rest = torch.logsumexp(of_rest, -1)
            losses += _divergence(log_q_rest.exp(), log_q_rest, log_r_rest, dim=None)
            if wants_gradient:
                # For the rest r_k - q_rest r_k / r_rest, of which the quotient may overflow, but not this.
                lowest = torch.finfo(z.dtype).min
                gradient = of_rest.sub_(log_r_rest.clamp(min=lowest).unsqueeze(-1)).exp_()
                gradient.mul_((log_r_rest.exp() - log_q_rest.exp()).unsqueeze(-1))
                gradient.scatter_(-1, chosen, log_r.gather(-1, chosen).exp_().sub_(q))
        elif wants_gradient:
            gradient = log_r.exp_().sub_(q)
        if gradient is not None:
            gradient = self.softmax.backward(gradient, slope, None)
        if self.calibration:
            check_domain(self.softmax.owner, self.calibration_link, of_chosen, targets)
            divergence, difference = self.calibration_link._matching(
                _to_working_precision(of_chosen), _to_working_precision(targets)
            )
            factor = q * (self.calibration / self.softmax.temperature)
            losses += (factor * divergence.to(q)).masked_fill_(q == 0, 0).sum(-1)
            if gradient is not None:
                pull = (factor * difference.to(q)).masked_fill_(q == 0, 0)
                gradient = gradient.add_(pull) if chosen is None else gradient.scatter_add_(-1, chosen, pull)
        if gradient is not None:
            gradient = self.softmax.backward(gradient, 1.0, plain)
        return losses, gradient

    def _rows(self, teacher: Tensor | None, rows: Tensor, dtype: torch.dtype | None = None) -> Tensor | None:
        """Some rows of a part of the teacher's, of which each has one for every token."""
        if teacher is None:
            return None
        places = teacher.dim() - (1 if teacher is self.rest else 2)
        return teacher.flatten(0, places)[rows].to(dtype)

    def _of_teacher(self, like: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Log-probabilities and scores of the chosen tokens, which those are (None for all), and those of the rest."""
        scores, rest = (self._rows(part, rows, like.dtype) for part in (self.scores, self.rest))
        assert scores is not None
        if rest is not None:
            logits, _ = self.of_teacher.logits(scores.clone())
            total = torch.logaddexp(torch.logsumexp(logits, -1), rest)
            return logits.sub_(total.unsqueeze(-1)), scores, self._rows(self.chosen, rows), rest - total
        scores, _ = self.of_teacher.scores(scores)
        logits, _ = self.of_teacher.logits(scores.clone() if self.calibration else scores)
        return torch.log_softmax(logits, -1), scores, None, None

    def plain(self, z: Tensor) -> Tensor:
        scores, rest = (self._rows(part, self.tokens, z.dtype) for part in (self.scores, self.rest))
        assert scores is not None
        chosen, log_r = self._rows(self.chosen, self.tokens), self.softmax.plain(z)
        with torch.no_grad():
            targets = scores if chosen is not None else self.of_teacher.plain_scores(scores)
            logits = self.of_teacher.plain_logits(targets)
            total = torch.logsumexp(logits, -1) if rest is None else torch.logaddexp(torch.logsumexp(logits, -1), rest)
            log_q = logits - total.unsqueeze(-1)
        q = log_q.exp()
        losses = _divergence(q, log_q, log_r if chosen is None else log_r.gather(-1, chosen))
        if chosen is not None and rest is not None:
            log_r_rest = torch.logsumexp(log_r.scatter(-1, chosen, -math.inf), -1)
            losses = losses + _divergence((rest - total).exp(), rest - total, log_r_rest, dim=None)
        if self.calibration:
            of_student = self.softmax.plain_scores(z)
            of_student = of_student if chosen is None else of_student.gather(-1, chosen)
            matters = q > 0
            divergence = self.calibration_link.divergence(
                *(torch.where(matters, x, self.softmax.some_score) for x in (of_student, targets))
            )
            losses = losses + (self.calibration / self.softmax.temperature) * (q * divergence).sum(-1)
        return losses


def _divergence(q: Tensor, log_q: Tensor, log_r: Tensor, dim: int | None = -1) -> Tensor:
    """`q (log q - log r)`, summed over `dim`; 0 where q is, even if a logarithm is infinite."""
    terms = (q * (log_q - log_r)).masked_fill(q == 0, 0)
    return terms if dim is None else terms.sum(dim)


class _TokenLosses(KnownSlopes):
    """The losses of tokens, 0 where one does not count: of logits, which count, and what the objective is made of."""

    def __init__(self, make: Callable[..., _Objective], logits: Tensor, keep: bool = True) -> None:
        """Say how to compute them.

        Args:
            make: Takes the numbers of tokens and all tensors after the second, gives the objective of these tokens.
            logits: The logits, of which a gradient may be wanted.
            keep: Whether to compute it with the losses and keep it, rather than to compute it when it is wanted.
        """
        self._make = make
        self._wants_gradient = keep and logits.requires_grad and torch.is_grad_enabled()
        self._gradient: Tensor | None = None

    def value(self, *tensors: Tensor) -> Tensor:
        losses, gradient = self._run(*tensors, wants_gradient=self._wants_gradient)
        # Kept by hand, for the way back to give away rather than to copy: it is the most memory.
        self._gradient = gradient
        return losses

    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled():  # a gradient of the gradient may be wanted
            return pull_through(self._plain, gradient, needed, tensors)
        own, self._gradient = self._gradient, None
        if own is None:  # given away by an earlier backward through the same graph
            _, own = self._run(*tensors, wants_gradient=True)
        assert own is not None
        flat = own.view(-1, own.shape[-1])
        length = _block_length(flat)  # in blocks, for a product of two dtypes copies
        for rows, factor in zip(flat.split(length), gradient.reshape(-1).split(length), strict=True):
            rows.mul_(factor.unsqueeze(-1))
        return own, *(None for _ in needed[1:])

    def _run(
        self, logits: Tensor, counts: Tensor, *others: Tensor, wants_gradient: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The losses, and the gradient with respect to all logits."""
        flat, tokens = logits.reshape(-1, logits.shape[-1]), counts.reshape(-1).nonzero().flatten()
        objective = self._make(tokens, *others)
        losses = flat.new_zeros(len(flat), dtype=torch.promote_types(logits.dtype, torch.float32))
        gradient = torch.zeros_like(flat) if wants_gradient else None
        for place in _blocks(tokens, _block_length(flat)):
            rows = tokens[place]
            losses[rows], of_rows = objective.block(flat[rows].to(losses.dtype), place, wants_gradient)
            if gradient is not None and of_rows is not None:
                gradient.index_copy_(0, rows, of_rows.to(gradient.dtype))
        return losses.view(counts.shape), None if gradient is None else gradient.view(logits.shape)

    def _plain(self, logits: Tensor, counts: Tensor, *others: Tensor) -> Tensor:
        """The same of all tokens, those that do not count with logits of 0, for automatic differentiation."""
        flat = torch.where(counts.unsqueeze(-1), logits, 0).flatten(0, counts.dim() - 1)
        losses = self._make(torch.arange(len(flat), device=flat.device), *others).plain(*single_or_double(flat))
        return torch.where(counts, losses.view(counts.shape), 0)


def _blocks(tokens: Tensor, length: int) -> Iterator[slice]:
    return (slice(begin, begin + length) for begin in range(0, len(tokens), length))
