"""The fused form of the in-batch loss: one pass over blocks of rows of the scores gives the loss and the gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from selective_st._autograd import KnownSlopes, pull_through
from selective_st.functional._common import check_nonnegative
from selective_st.functional._in_batch_common import (
    DIRECTIONS,
    Batch,
    Direction,
    InBatchOptions,
    InBatchSetting,
)
from selective_st.functional._in_batch_rows import FastLogits, diagonal_of, losses_of_rows
from selective_st.links import ConstantLink
from selective_st.links.base import check_domain

_SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize
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

    def value(self, *tensors: Tensor) -> Tensor:
        loss, gradients = self._run(tensors, self._wants_gradients)
        if self._wants_gradients:
            # Kept by hand, to be given away on the way back, not copied: in large batches they are the most memory.
            self._gradients = gradients
        return loss

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
        self.losses.append(self._general(begin, end))

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
        diagonal = diagonal_of(weights, begin)
        positive = diagonal.clone()
        if bool((positive < _VANISHING).any()):
            return None
        diagonal.zero_()
        rest = weights.sum(1)
        if self.gradients:
            factor = 1 / self.batch.anchors
            if isinstance(slope, Tensor):
                pull = rest * diagonal_of(slope, begin) * -factor
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
            of_positives.append(diagonal_of(logits, begin).clone())
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
            diagonal = diagonal_of(weights, begin)
            pull = diagonal - 1 / share
            diagonal.zero_()
            factor = share / self.batch.anchors
            if isinstance(slope, Tensor):
                pull *= diagonal_of(slope, begin)
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

    def _general(self, begin: int, end: int) -> Tensor:
        """`block` for any options, by automatic differentiation of the losses with respect to the scores."""
        batch, wants_gradients = replace(self.batch, begin=begin, end=end), bool(self.gradients)
        scores: dict[Direction, Tensor] = {}
        for direction in self.setting.options.directions:
            from_documents, to_documents = DIRECTIONS[direction]
            left = self._rows(from_documents, begin, end)
            scores[direction] = self._product(direction, left, self._right[to_documents])
        with torch.set_grad_enabled(wants_gradients):
            leaves = [matrix.requires_grad_(wants_gradients) for matrix in scores.values()]
            losses = losses_of_rows(scores.items(), batch, self.setting, FastLogits)
        if wants_gradients:
            share = self.batch.share(begin, end)
            factors = share.squeeze(1) if isinstance(share, Tensor) else torch.full_like(losses, share)
            for direction, slope in zip(scores, torch.autograd.grad(losses, leaves, factors), strict=True):
                from_documents, to_documents = DIRECTIONS[direction]
                self.gradients[from_documents][begin:end].addmm_(slope, self._right[to_documents])
                self.gradients[to_documents].addmm_(slope.mT, self._rows(from_documents, begin, end))
        return losses.detach()
