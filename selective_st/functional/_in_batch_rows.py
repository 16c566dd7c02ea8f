"""The in-batch losses of some anchors from their rows of scores, for every option; differentiated automatically."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selective_st._autograd import KnownSlopes
from selective_st.functional._common import check_nonnegative
from selective_st.functional._in_batch_common import DIRECTIONS, Batch, Direction, InBatchSetting, targets_of
from selective_st.links import Link
from selective_st.links.base import check_domain


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
    owner, options = setting.options.owner, setting.options
    check_domain(owner, setting.link, scores)
    if batch.needs_positive_link(setting):
        check_nonnegative(owner, setting.link, scores)
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


def _logsumexp(parts: Sequence[Tensor]) -> Tensor:
    sums = [torch.logsumexp(part, 1, keepdim=True) for part in parts]
    return sums[0] if len(sums) == 1 else torch.logsumexp(torch.cat(sums, 1), 1, keepdim=True)


def diagonal_of(matrix: Tensor, column: int) -> Tensor:
    """The entries (i, column + i), as a view."""
    return matrix[:, column : column + len(matrix)].diagonal()
