"""The in-batch losses of some anchors from their rows of scores, for every option; differentiated automatically."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selective_st._autograd import KnownSlopes
from selective_st.functional._in_batch_common import DIRECTIONS, Batch, Direction, InBatchSetting, targets_of
from selective_st.links import Link

logger = logging.getLogger(__name__)
_WORTH_COMPILING = 2**22  # scores of a block: compiling takes seconds


class FastLogits(KnownSlopes):
    """`scale * G(scores)` in the dtype of the scores, with the slope found beside it."""

    def __init__(self, link: Link, scale: float) -> None:
        self._link, self._scale = link, scale
        self._slope: Tensor | float | None = None

    def value(self, *tensors: Tensor) -> Tensor:
        logits, self._slope = self._link._logits(tensors[0].clone(), self._scale)
        return logits

    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        assert self._slope is not None
        return [gradient * self._slope]


def exact_logits(link: Link, scale: float) -> Callable[[Tensor], Tensor]:
    """The same to the last digit, and with derivatives of any order."""
    return lambda scores: scale * link.potential(scores)


LogitsOf = Callable[[Link, float], Callable[[Tensor], Tensor]]


@dataclass
class _Rows:
    """Logits of one direction.

    Attributes:
        logits: Those of the candidates; of the others a number that is nothing beside them.
        candidates: Which are; None if all are.
        positive: The logit of each anchor's positive (or own query), of shape (anchors, 1).
        label: The label of every candidate, where a teacher gave it.
        extra: How much the loss is more than the cross entropy.
    """

    logits: Tensor
    candidates: Tensor | None
    positive: Tensor
    label: Tensor | None = None
    extra: Tensor | float = 0.0

    @property
    def sums(self) -> tuple[Tensor, Tensor | int]:
        """The sum of the candidates' logits, and how many they are."""
        if self.candidates is None:
            return self.logits.sum(1, keepdim=True), self.logits.shape[1]
        sums = torch.where(self.candidates, self.logits, 0).sum(1, keepdim=True)
        return sums, self.candidates.sum(1, keepdim=True)


def losses_of_rows(
    scores: Iterable[tuple[Direction, Tensor]], batch: Batch, setting: InBatchSetting, logits_of: LogitsOf
) -> Tensor:
    """The losses of a batch's anchors.

    Args:
        scores: Of each direction the scores, a row for each anchor.
        batch: What is known of the batch.
        setting: What is the same for every batch.
        logits_of: How logits are made.

    Returns:
        The losses, of shape (anchors,).
    """
    rows = {direction: _rows(direction, matrix, batch, setting, logits_of) for direction, matrix in scores}
    groups = [[rows[direction] for direction in group] for group in setting.options.groups]
    losses = [_cross_entropy(group, batch.begin, setting.options.label_smoothing) for group in groups]
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean(0)


def _rows(direction: Direction, scores: Tensor, batch: Batch, setting: InBatchSetting, logits_of: LogitsOf) -> _Rows:
    options = setting.options
    batch.note_scores(setting, scores)
    from_documents, to_documents = DIRECTIONS[direction]
    has_positive, is_labelled = from_documents != to_documents, direction == "query_to_doc"
    own = batch.own_columns(batch.begin, to_documents)
    logits = logits_of(setting.link, setting.scale)(scores)
    if is_labelled and options.hardness_mode is not None and options.hardness_strength:
        in_batch, own_penalised = options.penalised(batch.columns)
        penalised = torch.full_like(scores, in_batch, dtype=torch.bool)
        for i, column in enumerate(own):
            diagonal_of(penalised, column).fill_(i in own_penalised)
        logits = logits + options.hardness_strength * torch.where(penalised, scores.detach(), 0)
    left_out = batch.left_out(direction, batch.begin, batch.end)
    if not has_positive:
        left_out = torch.zeros_like(scores, dtype=torch.bool) if left_out is None else left_out
        for column in own:
            diagonal_of(left_out, column).fill_(True)
    elif left_out is not None:
        diagonal_of(left_out, own[0]).fill_(False)
    label, extra = _label(scores, batch, setting, left_out) if is_labelled else (None, 0.0)
    if left_out is not None:
        logits = logits.masked_fill(left_out, torch.finfo(logits.dtype).min / 4)
    positive = diagonal_of(logits, own[0]).unsqueeze(1)
    return _Rows(logits, None if left_out is None else ~left_out, positive, label, extra)


def _label(
    scores: Tensor, batch: Batch, setting: InBatchSetting, left_out: Tensor | None
) -> tuple[Tensor | None, Tensor | float]:
    """A teacher's label of every document, and what is added to the cross entropy; what it scored is not left out."""
    targets = targets_of(batch, setting, batch.begin, batch.end, scores)
    if targets.scores is None or targets.known is None:
        return None, 0.0
    label, teacher, known = targets.probabilities, targets.scores, targets.known
    if not batch.teaches_all:
        anchors = torch.arange(batch.begin, batch.end, device=scores.device)
        places = anchors[:, None] + batch.queries * torch.arange(batch.columns, device=scores.device)
        scores = scores.gather(1, places)
        if left_out is not None:
            left_out.scatter_(1, places, left_out.gather(1, places) & ~known)
        of_all = label.new_zeros(batch.anchors, batch.queries * batch.columns).scatter(1, places, label)
    else:
        of_all = label
        if left_out is not None:
            left_out &= ~known
    extra = targets.constant
    if setting.calibrates:
        teacher = torch.where(known, teacher.to(scores), scores.detach())
        divergence = setting.calibration_link.divergence(scores, teacher)
        extra = extra + setting.calibration * setting.scale * (label * divergence).sum(1)
    return of_all, extra


def _cross_entropy(group: Sequence[_Rows], begin: int, smoothing: float) -> Tensor:
    """The anchors' losses in one Softmax, whose label is in the first direction."""
    first = group[0]
    if first.label is not None:
        log_normaliser = _logsumexp([rows.logits for rows in group])
        losses = log_normaliser - (first.label * torch.where(first.label > 0, first.logits, 0)).sum(1, keepdim=True)
    else:
        others = first.logits.clone()
        diagonal_of(others, begin).fill_(torch.finfo(others.dtype).min / 4)
        rest = _logsumexp([others, *(rows.logits for rows in group[1:])]) - first.positive
        # log(1 + rest / positive): where the positive has most of the probability, what is left of it keeps its digits.
        losses = torch.logaddexp(rest, torch.zeros_like(rest))
        log_normaliser = first.positive + losses
    if smoothing:
        sums, counts = zip(*(rows.sums for rows in group), strict=True)
        losses = (1 - smoothing) * losses + smoothing * (log_normaliser - sum(sums) / sum(counts))
    return losses.squeeze(1) + first.extra


def shares_of(
    scores: Tensor, anchors: Tensor, left_out: Tensor | None, link: Link, scale: float, low: torch.dtype | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the Softmax of some anchors makes of their candidates, in operations that a compiler can make few of.

    Args:
        scores: The scores of some queries against the documents.
        anchors: Which queries they are.
        left_out: Which documents are left out, unless they are the positive.
        link: The link.
        scale: The factor of its potential.
        low: In which dtype the weights are wanted; None for that of the scores.

    Returns:
        The probability of all but the positive; that of the positive; and what the embeddings are multiplied by in the
        anchors' gradient: that of the positive, and the others'.
    """
    is_own = anchors[:, None] == torch.arange(scores.shape[1], device=scores.device)
    logits, slope = link._logits(scores.clone(), scale)
    if left_out is not None:
        logits = logits.masked_fill(left_out & ~is_own, -math.inf)
    weights = torch.softmax(logits, 1)
    positive = torch.where(is_own, weights, 0).sum(1)
    weights = torch.where(is_own, 0, weights)
    rest = weights.sum(1)
    own_slope = torch.where(is_own, slope, 0).sum(1) if isinstance(slope, Tensor) else slope
    weights = weights * slope
    return rest, positive, -rest * own_slope, weights if low is None else weights.to(low)


class _Compiled:
    """A function of tensors, compiled where a GPU gains by it; as it is from the first time that this fails."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None
        self._fails = False

    def __call__(self, first: Tensor, *others: Any) -> Any:
        if not self._fails and first.is_cuda and first.numel() >= _WORTH_COMPILING:
            try:
                self._compiled = self._compiled or torch.compile(self._function)
                return self._compiled(first, *others)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of the compiler, or of what it needs: Triton, a C compiler
                self._fails = True
                logger.warning("torch.compile fails, so the in-batch loss goes without: %s", f"{error!s:.200}")
        return self._function(first, *others)


compiled_shares_of = _Compiled(shares_of)


def _logsumexp(parts: Sequence[Tensor]) -> Tensor:
    sums = [torch.logsumexp(part, 1, keepdim=True) for part in parts]
    return sums[0] if len(sums) == 1 else torch.logsumexp(torch.cat(sums, 1), 1, keepdim=True)


def diagonal_of(matrix: Tensor, column: int) -> Tensor:
    """The entries (i, column + i), as a view."""
    return matrix[:, column : column + len(matrix)].diagonal()
