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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from selective_st._validation import finite_number
from selective_st.functional._common import (
    Reduction,
    check_domain,
    check_link,
    check_mask,
    check_nonnegative,
    check_scores,
    reduce_loss,
    single_or_double,
)
from selective_st.functional.listwise import check_smoothing
from selective_st.links import ConstantLink, Link, _to_working_precision

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
    logits: Tensor,
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
        logits: Logits z, of shape (..., vocabulary).
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
    owner = "vocabulary_loss"
    softmax = _softmax_of(owner, link, temperature, center)
    smoothing = check_smoothing(owner, label_smoothing)
    logits = _check_logits(owner, "logits", logits)
    counts = _check_labels(owner, labels, logits, ignore_index)
    tokens = counts.view(-1).nonzero().flatten()
    objective = _Labels(softmax, labels.reshape(-1)[tokens].long(), smoothing)
    return _reduce(owner, logits, counts, tokens, objective, reduction)


def vocabulary_matching_loss(
    logits: Tensor,
    teacher: Tensor | TopTokens,
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
        logits: The student's logits, of shape (..., vocabulary).
        teacher: The teacher's logits in that shape; or their `TopTokens`, made with the same link, `target_temperature`
            and `center`.
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
    owner = "vocabulary_matching_loss"
    calibration = finite_number(owner, "calibration", calibration, nonnegative=True)
    calibration_link = check_link(owner, link if calibration_link is None else calibration_link, "calibration_link")
    if isinstance(calibration_link, ConstantLink):
        calibration = 0.0
    softmax, of_teacher = (
        _softmax_of(owner, link, each, center, uses_scores=calibration > 0)
        for each in (temperature, temperature if target_temperature is None else target_temperature)
    )
    logits = _check_logits(owner, "logits", logits)
    _check_teacher(owner, teacher, logits)
    mask = check_mask(owner, mask, logits[..., 0], "logits without its last dimension")
    counts = torch.ones(logits.shape[:-1], dtype=torch.bool, device=logits.device) if mask is None else mask
    tokens = counts.reshape(-1).nonzero().flatten()
    rows: Tensor | TopTokens
    if isinstance(teacher, TopTokens):
        scores, numbers, rest = (part.flatten(0, logits.dim() - 2) for part in teacher[:3])
        rows = TopTokens(scores, numbers, rest, teacher.vocabulary)
    else:
        rows = teacher.reshape(-1, teacher.shape[-1])
    objective = _Matching(softmax, of_teacher, rows, tokens, calibration, calibration_link)
    return _reduce(owner, logits, counts, tokens, objective, reduction)


def top_tokens(
    teacher: Tensor, k: int, link: Link, temperature: float = 1.0, *, center: Center = "logsumexp"
) -> TopTokens:
    """A teacher's logits, cut to the k most probable tokens and the sum of the rest, to keep them in little memory.

    Args:
        teacher: The teacher's logits, of shape (..., vocabulary).
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
    owner = "top_tokens"
    softmax = _softmax_of(owner, link, temperature, center, uses_scores=True)
    teacher = _check_logits(owner, "teacher", teacher)
    vocabulary = teacher.shape[-1]
    if isinstance(k, bool) or not isinstance(k, int) or not 0 < k < vocabulary:
        raise ValueError(
            f"{owner}: k must be an integer from 1 to {vocabulary - 1}, one less than the vocabulary, got {k!r}."
        )
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.no_grad():
        flat = teacher.detach().reshape(-1, vocabulary)
        for rows in flat.split(_block_length(flat)):
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
    owner = "vocabulary_log_probabilities"
    softmax = _softmax_of(owner, link, temperature, center)
    return softmax.plain(*single_or_double(_check_logits(owner, "logits", logits)))


# --- Checks ---------------------------------------------------------------------------------------------------------


def check_center(owner: str, center: object) -> Center:
    """Return `center` if it is one of the two, or raise."""
    for known in _CENTERS:
        if center == known:
            return known
    raise ValueError(f"{owner}: center must be one of {', '.join(map(repr, _CENTERS))}, got {center!r}.")


def _softmax_of(
    owner: str, link: object, temperature: object, center: object, *, uses_scores: bool = False
) -> _Softmax:
    link = check_link(owner, link)
    temperature = finite_number(owner, "temperature", temperature, positive=True)
    center = check_center(owner, center)
    # The plain Softmax is the same whatever is added to the logits; what else uses the scores is not.
    matters = uses_scores or not isinstance(link, ConstantLink)
    return _Softmax(owner, link, temperature, center is not None and matters)


def _check_logits(owner: str, name: str, logits: object) -> Tensor:
    scores = check_scores(owner, name, logits)
    if not scores.is_floating_point():
        raise TypeError(f"{owner}: {name} must be floating-point numbers, got {scores.dtype}. Use {name}.float().")
    if scores.dim() < 2 or not scores.numel():
        raise ValueError(
            f"{owner}: {name} must have shape (..., tokens, vocabulary) with at least one of each, got "
            f"{tuple(scores.shape)}."
        )
    return scores


def _check_labels(owner: str, labels: object, logits: Tensor, ignore_index: object) -> Tensor:
    """Which labels count."""
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
            "For a teacher's scores use vocabulary_matching_loss."
        )
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"{owner}: labels must have the shape of logits without the vocabulary, {tuple(logits.shape[:-1])}, got "
            f"{tuple(labels.shape)}."
        )
    counts = labels != ignore_index
    low, high = (int(end) for end in torch.where(counts, labels, 0).aminmax())
    vocabulary = logits.shape[-1]
    if low < 0 or high >= vocabulary:
        raise ValueError(
            f"{owner}: labels must be from 0 to {vocabulary - 1} for a vocabulary of {vocabulary}, or "
            f"ignore_index={ignore_index}, got labels from {low} to {high}. Give labels that do not count the label "
            f"{ignore_index}: labels.masked_fill(labels == pad_token_id, {ignore_index})."
        )
    return counts


def _check_vocabulary(owner: str, theirs: int, logits: Tensor) -> None:
    ours = logits.shape[-1]
    if theirs != ours:
        raise ValueError(
            f"{owner}: teacher and student need one vocabulary, but the teacher gives {theirs} logits and the "
            f"student {ours}. If they only differ in unused tokens at the end, cut both: "
            f"logits[..., :{min(theirs, ours)}]."
        )


def _check_teacher(owner: str, teacher: object, logits: Tensor) -> None:
    if isinstance(teacher, TopTokens):
        shapes = tuple(tuple(part.shape) for part in teacher[:3])
        places, k = tuple(logits.shape[:-1]), teacher.scores.shape[-1]
        if shapes != ((*places, k), (*places, k), places):
            raise ValueError(
                f"{owner}: teacher must hold the top tokens of each of the student's {places} places, got shapes "
                f"{', '.join(map(str, shapes))}. Make it of the teacher's logits of the same texts by top_tokens."
            )
        _check_vocabulary(owner, teacher.vocabulary, logits)
    else:
        if isinstance(teacher, Tensor) and teacher.shape[:-1] == logits.shape[:-1] != ():
            _check_vocabulary(owner, teacher.shape[-1], logits)
        check_scores(owner, "teacher", teacher, like=logits, name_of_like="logits")
    parts = teacher if isinstance(teacher, tuple) else (teacher,)
    if any(isinstance(part, Tensor) and part.requires_grad for part in parts):
        raise TypeError(
            f"{owner}: teacher must not require a gradient, which would not reach it. Run the teacher under "
            "torch.no_grad(), or use teacher.detach()."
        )


def _reduce(
    owner: str, logits: Tensor, counts: Tensor, tokens: Tensor, objective: _Objective, reduction: Reduction
) -> Tensor:
    losses = _TokenLosses.apply(logits.reshape(-1, logits.shape[-1]), tokens, objective)
    if reduction != "none":
        return reduce_loss(owner, losses, None, None, reduction)
    return torch.zeros_like(counts, dtype=losses.dtype).masked_scatter(counts, losses)


# --- The mathematics, block by block ----------------------------------------------------------------------------------


def _block_length(flat: Tensor) -> int:
    """How many tokens make a block."""
    scores = _BLOCK if flat.device.type == "cpu" else _BLOCK_ELSEWHERE
    return max(scores // flat.shape[-1], 1)


def _working_copy(rows: Tensor) -> Tensor:
    """A copy in at least single precision, which may be overwritten."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32), copy=True)


@dataclass(frozen=True)
class _Softmax:
    """The composite Softmax of centred logits."""

    owner: str
    link: Link
    temperature: float
    centers: bool

    def scores(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """The scores of logits, which are overwritten, and the plain probabilities, which centring needs going back."""
        if self.centers:
            z = torch.log_softmax(z, -1)
        check_domain(self.owner, self.link, z)
        return z, z.exp() if self.centers else None

    def logits(self, scores: Tensor) -> tuple[Tensor, Tensor | float]:
        """`G(s) / T` and its slope `h(s) / T`; the scores are overwritten."""
        return self.link._logits(scores, 1 / self.temperature)

    def backward(self, gradient: Tensor, slope: Tensor | float, plain: Tensor | None) -> Tensor:
        """From the gradient with respect to `G(s) / T`, which is overwritten, to that with respect to the logits."""
        if isinstance(slope, Tensor) or slope != 1:
            gradient.mul_(slope)
        if plain is not None:
            gradient.addcmul_(plain, gradient.sum(-1, keepdim=True), value=-1)
        return gradient

    def plain(self, z: Tensor) -> Tensor:
        """`log softmax(G(s) / T)`, for automatic differentiation to any order."""
        scores = torch.log_softmax(z, -1) if self.centers else z
        check_domain(self.owner, self.link, scores)
        return torch.log_softmax(self.link.potential(scores) / self.temperature, -1)


class _Objective(ABC):
    """What is to be computed of each token."""

    softmax: _Softmax

    @abstractmethod
    def block(self, z: Tensor, place: slice, wants_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """The losses of some tokens, and their gradients with respect to the logits z, which are overwritten."""

    @abstractmethod
    def plain(self, z: Tensor) -> Tensor:
        """The losses of all tokens, for automatic differentiation to any order."""


@dataclass(frozen=True)
class _Labels(_Objective):
    softmax: _Softmax
    labels: Tensor
    smoothing: float

    def block(self, z: Tensor, place: slice, wants_gradient: bool) -> tuple[Tensor, Tensor | None]:
        labels = self.labels[place].unsqueeze(-1)
        scores, plain = self.softmax.scores(z)
        check_nonnegative(self.softmax.owner, self.softmax.link, scores)
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


@dataclass(frozen=True)
class _Matching(_Objective):
    softmax: _Softmax
    of_teacher: _Softmax
    teacher: Tensor | TopTokens
    tokens: Tensor
    calibration: float
    calibration_link: Link

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

    def _of_teacher(self, like: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Log-probabilities and scores of the chosen tokens, which those are (None for all), and those of the rest."""
        if isinstance(self.teacher, TopTokens):
            scores, chosen, rest = (part[rows] for part in self.teacher[:3])
            scores, rest = scores.to(like.dtype), rest.to(like.dtype)
            logits, _ = self.of_teacher.logits(scores.clone())
            total = torch.logaddexp(torch.logsumexp(logits, -1), rest)
            return logits.sub_(total.unsqueeze(-1)), scores, chosen, rest - total
        scores, _ = self.of_teacher.scores(self.teacher[rows].to(like.dtype))
        logits, _ = self.of_teacher.logits(scores.clone() if self.calibration else scores)
        return torch.log_softmax(logits, -1), scores, None, None

    def plain(self, z: Tensor) -> Tensor:
        with torch.no_grad():
            log_q, targets, chosen, log_q_rest = self._of_teacher(_working_copy(z.detach()), self.tokens)
        log_r = self.softmax.plain(z)
        q = log_q.exp()
        losses = _divergence(q, log_q, log_r if chosen is None else log_r.gather(-1, chosen))
        if chosen is not None and log_q_rest is not None:
            log_r_rest = torch.logsumexp(log_r.scatter(-1, chosen, -math.inf), -1)
            losses = losses + _divergence(log_q_rest.exp(), log_q_rest, log_r_rest, dim=None)
        if self.calibration:
            scores = torch.log_softmax(z, -1) if self.softmax.centers else z
            scores = scores if chosen is None else scores.gather(-1, chosen)
            divergence = self.calibration_link.divergence(scores, targets)
            losses = losses + (self.calibration / self.softmax.temperature) * (q * divergence).sum(-1)
        return losses


def _divergence(q: Tensor, log_q: Tensor, log_r: Tensor, dim: int | None = -1) -> Tensor:
    """`q (log q - log r)`, summed over `dim`; 0 where q is, even if a logarithm is infinite."""
    terms = (q * (log_q - log_r)).masked_fill(q == 0, 0)
    return terms if dim is None else terms.sum(dim)


class _TokenLosses(Function):
    """The losses of the tokens that count; arguments are logits of shape (all tokens, vocabulary), which, and how."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor, objective: _Objective) -> Tensor:
        wants_gradient = ctx.needs_input_grad[0]
        losses, gradient = _run(logits, tokens, objective, wants_gradient=wants_gradient)
        ctx.objective = objective
        if wants_gradient:
            ctx.save_for_backward(logits, tokens)
            # Kept by hand, for backward to give away rather than to copy: it is the most memory.
            ctx.gradient = gradient
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        logits, tokens = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            losses = ctx.objective.plain(*single_or_double(logits[tokens]))
            (found,) = torch.autograd.grad(losses, logits, gradients[0], create_graph=True)
            return found, None, None
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:  # given away by an earlier backward through the same graph
            _, gradient = _run(logits, tokens, ctx.objective, wants_gradient=True)
        factors = gradients[0].new_zeros(len(logits)).index_copy_(0, tokens, gradients[0])
        length = _block_length(logits)  # in blocks, for a product of two dtypes copies
        for rows, factor in zip(gradient.split(length), factors.split(length), strict=True):
            rows.mul_(factor.unsqueeze(-1))
        return gradient, None, None


def _blocks(tokens: Tensor, length: int) -> Iterator[slice]:
    return (slice(begin, begin + length) for begin in range(0, len(tokens), length))


def _run(
    logits: Tensor, tokens: Tensor, objective: _Objective, *, wants_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """The losses, and the gradient with respect to all logits."""
    losses = logits.new_zeros(len(tokens), dtype=torch.promote_types(logits.dtype, torch.float32))
    gradient = torch.zeros_like(logits) if wants_gradient else None
    for place in _blocks(tokens, _block_length(logits)):
        rows = tokens[place]
        losses[place], of_rows = objective.block(logits[rows].to(losses.dtype), place, wants_gradient)
        if gradient is not None and of_rows is not None:
            gradient.index_copy_(0, rows, of_rows.to(gradient.dtype))
    return losses, gradient
