"""The fused form of the in-batch loss: one pass over blocks of rows of the scores gives the loss and the gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._autograd import KnownSlopes, pull_through
from selective_st.functional._common import check_domain, check_nonnegative
from selective_st.functional._in_batch_common import (
    DIRECTIONS,
    Batch,
    Direction,
    InBatchOptions,
    InBatchSetting,
    Targets,
    targets_of,
)
from selective_st.links import ConstantLink
from selective_st.links._numerics import _to_working_precision

_SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize
_SMALL_POSITIVE = 1e-6  # relative to the largest; a smaller one might vanish
_VANISHING = 1e-36  # a probability whose logarithm single precision can still tell
_SIMPLE = InBatchOptions()
_SYMMETRIC = InBatchOptions(directions=("query_to_doc", "doc_to_query"))


class FusedLoss(KnownSlopes):
    """The mean loss of embeddings, queries and columns of documents, with the gradients in one pass."""

    one_by_one = True

    def __init__(
        self,
        plain: Callable[..., Tensor],
        setting: InBatchSetting,
        batch: Batch,
        block_size: int,
        *,
        wants_gradients: bool,
    ) -> None:
        """Say how to compute it.

        Args:
            plain: The plain form.
            setting: What is the same for every batch.
            batch: What is known of the batch besides its embeddings.
            block_size: Rows of a block.
            wants_gradients: Whether to find the gradients too.
        """
        self._plain, self._setting, self._batch, self._block_size = plain, setting, batch, block_size
        self._wants_gradients = wants_gradients
        self._gradients: list[Tensor] | None = None

    @override
    def value(self, *tensors: Tensor) -> Tensor:
        loss, gradients = self._run(tensors, self._wants_gradients)
        if self._wants_gradients:
            # Kept by hand, to be given away on the way back, not copied: in large batches they are the most memory.
            self._gradients = gradients
        return loss

    @override
    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled():  # a gradient of the gradient may be wanted
            return pull_through(lambda *e: self._plain(e, self._batch, self._setting), gradient, needed, tensors)
        own, self._gradients = self._gradients, None
        if own is None:  # given away by an earlier backward through the same graph
            _, own = self._run(tensors, wants_gradients=True)
        for matrix in own:
            matrix.mul_(gradient)
        to_queries, to_documents = own
        return to_queries, *to_documents.split([len(column) for column in tensors[1:]])

    def _run(self, embeddings: Sequence[Tensor], wants_gradients: bool) -> tuple[Tensor, list[Tensor]]:
        """The mean loss, and its gradients with respect to the queries and to all documents."""
        one_pass = _Pass(self._setting, self._batch, self._block_size, embeddings, wants_gradients=wants_gradients)
        one_pass.run()
        return self._batch.mean(torch.cat(one_pass.losses)), one_pass.finished_gradients()


def _norms(matrix: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
    return norms.clamp_min_(_SMALLEST_NORM)


class _Pass:
    """One pass over the scores. Of the embeddings, True stands for the documents and False for the queries."""

    def __init__(
        self,
        setting: InBatchSetting,
        batch: Batch,
        block_size: int,
        embeddings: Sequence[Tensor],
        *,
        wants_gradients: bool,
    ) -> None:
        self.setting, self.batch, self._block_size = setting, batch, block_size
        self.losses: list[Tensor] = []
        self._slabs: dict[str, Tensor] = {}
        queries, *columns = (matrix.detach() for matrix in embeddings)
        self._norms: dict[bool, Tensor] = {}
        self._right: dict[bool, Tensor] = {}
        if setting.normalize:
            documents = queries.new_empty(sum(len(column) for column in columns), queries.shape[1])
            norms = [_norms(column) for column in columns]
            for column, norm, place in zip(columns, norms, documents.split([len(c) for c in columns]), strict=True):
                torch.div(column, norm, out=place)
            self._norms = {False: _norms(queries), True: torch.cat(norms) if len(norms) > 1 else norms[0]}
        else:
            documents = torch.cat(columns) if len(columns) > 1 else columns[0]
        self._right[True] = documents
        self._queries = queries
        if len(queries) <= block_size or any(not DIRECTIONS[name][1] for name in setting.options.directions):
            self._right[False] = queries / self._norms[False] if setting.normalize else queries
        is_plain = batch.keeps_all and batch.target_scores is None and batch.shares is None
        has_all = is_plain and batch.anchors == batch.queries
        self._is_symmetric = has_all and replace(setting.options, partition_mode="joint") == _SYMMETRIC
        self._is_simple = is_plain and setting.options == _SIMPLE
        self._is_one_block = block_size >= batch.queries == batch.anchors
        self.gradients: dict[bool, Tensor] = {}
        if wants_gradients:
            # A simple single block sets the gradients; others add to them.
            start = torch.empty_like if self._is_simple and self._is_one_block else torch.zeros_like
            self.gradients = {False: start(queries), True: start(documents)}

    def _rows(self, of_documents: bool, begin: int, end: int) -> Tensor:
        """Some rows of the queries or documents, normalised if they are to be."""
        if of_documents or False in self._right:
            return self._right[of_documents][begin:end]
        rows = self._queries[begin:end]
        return rows / self._norms[False][begin:end] if self.setting.normalize else rows

    def finished_gradients(self) -> list[Tensor]:
        """The gradients with respect to the embeddings as they were given."""
        self._slabs.clear()
        for side, norms in self._norms.items() if self.gradients else ():
            gradient = self.gradients[side]
            for begin in range(0, len(gradient), self._block_size):
                rows = slice(begin, begin + self._block_size)
                unit, part = self._rows(side, rows.start, rows.stop), gradient[rows]
                # What points along the embedding only changes its length.
                part.addcmul_(unit, (part * unit).sum(1, keepdim=True), value=-1).div_(norms[rows])
        return list(self.gradients.values())

    def run(self) -> None:
        """Go through all anchors."""
        if self._is_symmetric:
            self.losses.append(self._symmetric())
            return
        for begin, end in self._blocks():
            self.block(begin, end)

    def _blocks(self) -> list[tuple[int, int]]:
        first, last = self.batch.begin, self.batch.end
        return [(begin, min(begin + self._block_size, last)) for begin in range(first, last, self._block_size)]

    def block(self, begin: int, end: int) -> None:
        """Add the losses and gradients of the anchors from `begin` to `end`."""
        if self._is_simple:
            loss = self._simple(begin, end)
            if loss is not None:
                self.losses.append(loss)
                return
            if self._is_one_block:
                for gradient in self.gradients.values():
                    gradient.zero_()
        groups = self.setting.options.groups
        losses = [self._softmax(group, begin, end, 1 / len(groups)) for group in groups]
        self.losses.append(losses[0] if len(losses) == 1 else torch.stack(losses).mean(0))

    def _logits(self, begin: int, end: int) -> tuple[Tensor, Tensor, Tensor | float]:
        """Some queries' embeddings, and their logits and slopes against the documents."""
        link, scale, owner = self.setting.link, self.setting.scale, self.setting.options.owner
        left, right = self._rows(False, begin, end), self._right[True]
        if isinstance(link, ConstantLink):
            return left, self._product("query_to_doc", left * scale, right), scale
        scores = self._product("query_to_doc", left, right)
        check_domain(owner, link, scores)
        check_nonnegative(owner, link, scores)
        return left, *link._logits(scores, scale, self._slab("logits", *scores.shape))

    def _simple(self, begin: int, end: int) -> Tensor | None:
        """`block` for queries against documents without options, in few operations; None if it cannot tell the loss."""
        left, logits, slope = self._logits(begin, end)
        right = self._right[True]
        weights = torch.softmax(logits, 1, out=logits)
        diagonal = _diagonal(weights, begin)
        positive = diagonal.clone()
        if bool((positive < _VANISHING).any()):
            return None
        diagonal.zero_()
        rest = weights.sum(1)
        if self.gradients:
            factor = 1 / self.batch.anchors
            if isinstance(slope, Tensor):
                pull = rest * _diagonal(slope, begin) * -factor
                weights.mul_(slope)
            else:
                factor *= slope
                pull = rest * -factor
            own = slice(begin, end)
            to_left, to_right = self.gradients[False][own], self.gradients[True]
            torch.mm(weights, right, out=to_left).mul_(factor).addcmul_(pull.unsqueeze(1), right[own])
            if self._is_one_block:
                torch.mm(weights.mT, left * factor, out=to_right)
            else:
                to_right.addmm_(weights.mT, left * factor)
            to_right[own].addcmul_(pull.unsqueeze(1), left)
        return rest.div_(positive).log1p_()

    def _symmetric(self) -> Tensor:
        """All losses for queries against documents and back without other options, over one score matrix.

        It is gone through twice, because the Softmax of a column is known only after all rows: four matrix products
        instead of the six of two directions.
        """
        count, blocks = self.batch.queries, self._blocks()
        top = self._queries.new_full((count,), -math.inf)
        total = torch.zeros_like(top)
        of_rows, of_positives = [], []
        for begin, end in blocks:
            _, logits, _ = self._logits(begin, end)
            of_positives.append(_diagonal(logits, begin).clone())
            of_rows.append(torch.logsumexp(logits, 1))
            back = logits[:, :count]
            new_top = torch.maximum(top, back.amax(0))
            total.mul_((top - new_top).exp_()).add_(back.sub_(new_top).exp_().sum(0))
            top = new_top
        rows, positives, columns = torch.cat(of_rows), torch.cat(of_positives), top + total.log()
        if self.setting.options.partition_mode == "joint":
            share = 1.0
            rows = columns = loss = torch.logaddexp(rows, columns)
        else:
            share = 0.5
            loss = (rows + columns) / 2
        if not self.gradients:
            return loss - positives
        for begin, end in blocks:
            left, logits, slope = self._logits(begin, end)
            right, own = self._right[True], slice(begin, end)
            back = (logits[:, :count] - columns).exp_()
            weights = logits.sub_(rows[own, None]).exp_()
            weights[:, :count] += back
            diagonal = _diagonal(weights, begin)
            pull = diagonal - 1 / share
            diagonal.zero_()
            factor = share / self.batch.anchors
            if isinstance(slope, Tensor):
                pull *= _diagonal(slope, begin)
                weights.mul_(slope)
            else:
                factor *= slope
            pull = pull.mul_(factor).unsqueeze(1)
            to_left, to_right = self.gradients[False][own], self.gradients[True]
            torch.mm(weights, right, out=to_left).mul_(factor).addcmul_(pull, right[own])
            to_right.addmm_(weights.mT, left * factor)
            to_right[own].addcmul_(pull, left)
        return loss - positives

    def _product(self, direction: Direction, left: Tensor, right: Tensor) -> Tensor:
        """`left @ right.mT`, in memory that is used again for the next block."""
        return torch.mm(left, right.mT, out=self._slab(direction, len(left), len(right)))

    def _slab(self, name: str, rows: int, columns: int) -> Tensor | None:
        """Memory for a block of scores; None where there is only one."""
        if self._block_size >= self.batch.anchors:
            return None
        slab = self._slabs.get(name)
        if slab is None:
            slab = self._slabs[name] = self._queries.new_empty(min(self._block_size, self.batch.anchors), columns)
        return slab[:rows]

    def _softmax(self, group: tuple[Direction, ...], begin: int, end: int, share: float) -> Tensor:
        """The anchors' losses in one Softmax, whose gradients are added with the weight `share`."""
        smoothing = self.setting.options.label_smoothing
        # The first direction holds the label: query_to_doc, or doc_to_query where that has a Softmax of its own.
        parts = [self._part(direction, begin, end, is_labelled=i == 0) for i, direction in enumerate(group)]
        top = parts[0].logits.amax(1, keepdim=True)
        for part in parts[1:]:
            top = torch.maximum(top, part.logits.amax(1, keepdim=True))
        first = parts[0]
        count = torch.zeros_like(top)
        sums = torch.zeros_like(top)
        if smoothing:
            for part in parts:
                finite = part.logits > -math.inf
                sums += torch.where(finite, part.logits, 0).sum(1, keepdim=True)
                count += finite.sum(1, keepdim=True)
        for part in parts:
            part.logits.sub_(top).exp_()
        positive = first.take_positive()
        rest = first.logits.sum(1, keepdim=True)
        for part in parts[1:]:
            rest += part.logits.sum(1, keepdim=True)
        total = rest if positive is None else rest + positive
        log_normaliser = top + total.log()
        loss = log_normaliser - first.expected_logit
        if positive is not None:
            # Where the positive has most of the probability, what is left of it keeps its digits.
            loss = torch.where(positive > _SMALL_POSITIVE, torch.log1p(rest / positive), loss)
        if smoothing:
            loss = (1 - smoothing) * loss + smoothing * (log_normaliser - sums / count)
        if self.gradients:
            factor = share * self.batch.share(begin, end)
            pull = 1.0 if positive is None else rest / total - smoothing
            smoothed = smoothing * factor / count if smoothing else count
            for part in parts:
                self._add_gradients(part, begin, end, factor, factor / total, smoothed, pull)
        return loss.squeeze(1) + first.extra

    def _part(self, direction: Direction, begin: int, end: int, *, is_labelled: bool) -> _Part:
        """The logits of one direction, and its labels if it has them."""
        setting, batch = self.setting, self.batch
        from_documents, to_documents = DIRECTIONS[direction]
        left = self._rows(from_documents, begin, end)
        scores = self._product(direction, left, self._right[to_documents])
        check_domain(setting.options.owner, setting.link, scores)
        if batch.needs_positive_link(setting):
            check_nonnegative(setting.options.owner, setting.link, scores)
        own = batch.own_columns(begin, to_documents)
        own_scores = _own_entries(scores, own)
        to_own = direction == "query_to_doc"
        in_batch, own_penalised = setting.options.penalised(batch.columns) if to_own else (False, [])
        targets = None
        if is_labelled:
            labels = batch if to_own else replace(batch, target_scores=None)
            targets = targets_of(labels, setting, begin, end, scores)
        teaches_all = is_labelled and to_own and batch.teaches_all
        raw = scores.clone() if in_batch or teaches_all else None
        part = _Part(setting, from_documents, to_documents, left, own, *setting.link._logits(scores, setting.scale))
        if raw is not None and in_batch:
            kept = _own_entries(part.logits, own)
            part.logits.add_(raw, alpha=setting.options.hardness_strength)
            for i, column in enumerate(own):
                if i not in own_penalised:
                    _diagonal(part.logits, column).copy_(kept[:, i])
        else:
            for i in own_penalised:
                _diagonal(part.logits, own[i]).add_(own_scores[:, i], alpha=setting.options.hardness_strength)
        part.exclude(batch.left_out(direction, begin, end), targets)
        if targets is not None:
            part.label(targets, own_scores if raw is None or not teaches_all else raw, all_candidates=teaches_all)
        return part

    def _add_gradients(
        self,
        part: _Part,
        begin: int,
        end: int,
        factor: Tensor | float,
        row_factor: Tensor,
        smoothed: Tensor,
        pull: Tensor | float,
    ) -> None:
        """Add the gradients of the embeddings that a part's scores come from.

        Args:
            part: The part, its logits by now e^(logit - top).
            begin: The first anchor.
            end: One past the last anchor.
            factor: The weight of an anchor's loss, one number or one an anchor.
            row_factor: What makes weighted probabilities of the part's weights, one number an anchor.
            smoothed: The label that smoothing gives every candidate, weighted.
            pull: How much of the own labels the weights lack.
        """
        weights = part.logits
        smoothing = self.setting.options.label_smoothing
        if smoothing or part.dense_labels is not None:
            weights.mul_(row_factor)
            row_factor = torch.ones_like(row_factor)
            if smoothing:
                weights.sub_(smoothed if part.left_out is None else torch.where(part.left_out, 0, smoothed))
            if part.dense_labels is not None:
                _add(weights, part.dense_labels, factor, sign=-1)
        if isinstance(part.slope, Tensor) or part.dense_calibration is not None:
            weights.mul_(part.slope)
        else:
            row_factor = row_factor * part.slope
        if part.dense_calibration is not None:
            _add(weights, part.dense_calibration, factor)
        left, right = part.left, self._right[part.to_documents]
        to_left, to_right = self.gradients[part.from_documents][begin:end], self.gradients[part.to_documents]
        to_left.addcmul_(weights @ right, row_factor)
        to_right.addmm_(weights.mT, left * row_factor)
        for column, gradient in part.own_gradients(pull):
            gradient = factor * gradient.unsqueeze(1)
            to_left.addcmul_(gradient, right[column : column + end - begin])
            to_right[column : column + end - begin].addcmul_(gradient, left)


@dataclass
class _Part:
    """The scores of one direction in a block of anchors, on their way to logits, weights and gradients.

    Attributes:
        setting: What is the same for every batch.
        from_documents: Whether the anchors are documents.
        to_documents: Whether the candidates are.
        left: The anchors' embeddings.
        logits: Of every candidate; later e^(logit - top).
        slope: `scale h` of every candidate, or one number for all.
        own: The column of the first anchor's own document of each kind (or own query); the others' lie diagonally.
        left_out: Candidates left out; None if none is.
        teaches: Whether a teacher gave the labels.
        expected_logit: The mean logit under the label.
        extra: How much the loss is more than the cross entropy.
        dense_labels: The label of every candidate, where a teacher gave one.
        dense_calibration: The gradient of the calibration term, likewise.
    """

    setting: InBatchSetting
    from_documents: bool
    to_documents: bool
    left: Tensor
    own: list[int]
    logits: Tensor
    slope: Tensor | float
    left_out: Tensor | None = None
    teaches: bool = False
    expected_logit: Tensor | float = 0.0
    extra: Tensor | float = 0.0
    dense_labels: Tensor | None = None
    dense_calibration: Tensor | None = None
    _own_labels: Tensor | None = None
    _own_calibration: Tensor | None = None

    def exclude(self, left_out: Tensor | None, targets: Targets | None) -> None:
        """Leave out what is no negative: an anchor itself, and what is given, but for its positive."""
        compares_alike = self.from_documents == self.to_documents
        if left_out is None and compares_alike:
            left_out = torch.zeros_like(self.logits, dtype=torch.bool)
        if left_out is None:
            return
        if compares_alike:
            for column in self.own:
                _diagonal(left_out, column).fill_(True)
        else:
            _diagonal(left_out, self.own[0]).fill_(False)
            if targets is not None and targets.known is not None:  # what the teacher has scored is a candidate
                if targets.known.shape == left_out.shape:
                    left_out &= ~targets.known
                else:
                    for i, column in enumerate(self.own):
                        _diagonal(left_out, column).logical_and_(~targets.known[:, i])
        self.left_out = left_out
        self.logits.masked_fill_(left_out, -math.inf)

    def label(self, targets: Targets, scores: Tensor, *, all_candidates: bool) -> None:
        """Take labels, of all candidates or of the first own ones, whose scores are given."""
        y = targets.probabilities
        logits = self.logits if all_candidates else _own_entries(self.logits, self.own[: y.shape[1]])
        self.teaches = targets.scores is not None
        self.expected_logit = (y * torch.where(y > 0, logits, 0)).sum(1, keepdim=True)
        self.extra = targets.constant
        calibration = None
        if targets.scores is not None and self.setting.calibrates:
            check_domain(self.setting.options.owner, self.setting.calibration_link, scores)
            divergence, difference = self.setting.calibration_link._matching(
                _to_working_precision(scores), targets.scores
            )
            factor = y * (self.setting.calibration * self.setting.scale)
            self.extra = self.extra + (factor * divergence.to(y)).sum(1)
            calibration = factor * difference.to(y)
        if all_candidates:
            self.dense_labels, self.dense_calibration = y, calibration
        else:
            self._own_labels, self._own_calibration = y, calibration

    def take_positive(self) -> Tensor | None:
        """Take the positive's weight out of the matrix, if the label is one positive; None if a teacher labels."""
        if self.teaches or self._own_labels is None:
            return None
        weights = _diagonal(self.logits, self.own[0])
        positive = weights.unsqueeze(1).clone()
        weights.zero_()
        return positive

    def own_gradients(self, pull: Tensor | float) -> list[tuple[int, Tensor]]:
        """For each own candidate with a label its column, and the gradient of its score that the weights lack."""
        if self._own_labels is None:
            return []
        pulls = -pull * self._own_labels
        labelled = self.own[: pulls.shape[1]]
        pulls = pulls * (_own_entries(self.slope, labelled) if isinstance(self.slope, Tensor) else self.slope)
        if self._own_calibration is not None:
            pulls = pulls + self._own_calibration
        return [(column, pulls[:, i]) for i, column in enumerate(labelled)]


def _add(matrix: Tensor, other: Tensor, factor: Tensor | float, sign: int = 1) -> None:
    """Add `sign factor other`, the factor one number or one a row."""
    if isinstance(factor, Tensor):
        matrix.addcmul_(other, factor, value=sign)
    else:
        matrix.add_(other, alpha=sign * factor)


def _diagonal(matrix: Tensor, column: int) -> Tensor:
    """The entries (i, column + i), as a view."""
    return matrix[:, column : column + len(matrix)].diagonal()


def _own_entries(matrix: Tensor, own: list[int]) -> Tensor:
    """A copy of the entries of the anchors' own candidates, of shape (anchors, own)."""
    if len(own) == 1:
        return _diagonal(matrix, own[0]).unsqueeze(1).clone()
    return torch.stack([_diagonal(matrix, column) for column in own], 1)
