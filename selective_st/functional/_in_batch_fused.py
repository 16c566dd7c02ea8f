"""The fused form of the in-batch loss: one pass over blocks of rows of the scores gives the loss and the gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from selective_st._autograd import KnownSlopes, pull_through
from selective_st.functional._in_batch_common import (
    DIRECTIONS,
    Batch,
    Direction,
    InBatchOptions,
    InBatchSetting,
)
from selective_st.functional._in_batch_products import Products
from selective_st.functional._in_batch_rows import FastLogits, compiled_shares_of, diagonal_of, losses_of_rows
from selective_st.links import ConstantLink

_SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize
_NUMBERS_ON_GPU = 2**24  # of embeddings at once, where few launches save more than little memory
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
        products: Products,
        block_size: int,
        *,
        wants_gradients: bool,
    ) -> None:
        """Say how to compute it.

        Args:
            plain: The plain form.
            setting: What is the same for every batch.
            batch: What is known of the batch besides its embeddings.
            products: How matrices are multiplied.
            block_size: Rows of a block.
            wants_gradients: Whether to find the gradients too.
        """
        self._plain, self._setting, self._batch, self._block_size = plain, setting, batch, block_size
        self._products = products
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
        one_pass = _Pass(
            self._setting,
            self._batch,
            self._products,
            self._block_size,
            embeddings,
            wants_gradients=wants_gradients,
        )
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
        products: Products,
        block_size: int,
        embeddings: Sequence[Tensor],
        *,
        wants_gradients: bool,
    ) -> None:
        self.setting, self.batch, self.products, self._block_size = setting, batch, products, block_size
        self.losses: list[Tensor] = []
        self._vanishes = False
        self._slabs: dict[str, Tensor] = {}
        self._apart: list[tuple[Tensor, Tensor, Tensor]] = []  # of the blocks of a GPU, until the last
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
        are_right = any(not DIRECTIONS[name][1] for name in setting.options.directions)
        if len(queries) <= block_size or are_right or queries.is_cuda:
            self._right[False] = queries / self._norms[False] if setting.normalize else queries
        self._operands = {side: products.operand(matrix) for side, matrix in self._right.items()}
        is_plain = batch.target_scores is None and batch.shares is None
        has_all = is_plain and batch.keeps_all and batch.anchors == batch.queries
        self._is_symmetric = has_all and replace(setting.options, partition_mode="joint") == _SYMMETRIC
        self._is_simple = is_plain and setting.options == _SIMPLE
        self._is_in_place = products.is_exact and not queries.is_cuda
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

    def _operand(self, of_documents: bool, begin: int, end: int) -> Tensor:
        """The same as the products take them."""
        if of_documents in self._operands:
            return self._operands[of_documents][begin:end]
        return self.products.operand(self._rows(of_documents, begin, end))

    def finished_gradients(self) -> list[Tensor]:
        """The gradients with respect to the embeddings as they were given."""
        self._slabs.clear()
        for side, norms in self._norms.items() if self.gradients else ():
            gradient = self.gradients[side]
            size = max(self._block_size, _NUMBERS_ON_GPU // gradient.shape[1] if gradient.is_cuda else 0)
            for begin in range(0, len(gradient), size):
                rows = slice(begin, begin + size)
                unit, part = self._rows(side, rows.start, rows.stop), gradient[rows]
                # What points along the embedding only changes its length.
                part.addcmul_(unit, (part * unit).sum(1, keepdim=True), value=-1).div_(norms[rows])
        return list(self.gradients.values())

    def run(self) -> None:
        """Go through all anchors."""
        if self._is_symmetric:
            self.losses.append(self._symmetric())
        else:
            self._go_through(self._simple if self._is_simple else self._general)
        self.batch.checks.read()
        if self._vanishes:
            for gradient in self.gradients.values():
                gradient.zero_()
            self.losses.clear()
            self._go_through(self._general)
            self.batch.checks.read()

    def _go_through(self, block: Callable[[int, int], Tensor]) -> None:
        for begin, end in self._blocks():
            self.losses.append(block(begin, end))

    def _blocks(self) -> list[tuple[int, int]]:
        first, last = self.batch.begin, self.batch.end
        return [(begin, min(begin + self._block_size, last)) for begin in range(first, last, self._block_size)]

    def _scores(self, direction: Direction, begin: int, end: int) -> Tensor:
        """The scores of some anchors, in memory that is used again for the next block."""
        from_documents, to_documents = DIRECTIONS[direction]
        left, right = self._operand(from_documents, begin, end), self._operands[to_documents]
        scores = self.products.multiply(left, right.mT, self._slab(direction, len(left), len(right)))
        if from_documents != to_documents and self.products.is_rounding:
            diagonal_of(scores, begin).copy_((left * right[begin:end]).sum(1))
        return scores

    def _logits(self, begin: int, end: int) -> tuple[Tensor, Tensor | float]:
        """The logits and slopes of some queries against the documents."""
        link, scale = self.setting.link, self.setting.scale
        if isinstance(link, ConstantLink):
            if not self.products.is_exact:
                return self._scores("query_to_doc", begin, end).mul_(scale), scale
            left, right = self._rows(False, begin, end) * scale, self._right[True]
            return self.products.multiply(left, right.mT, self._slab("query_to_doc", len(left), len(right))), scale
        scores = self._scores("query_to_doc", begin, end)
        self.batch.note_scores(self.setting, scores)
        return link._logits(scores, scale, self._slab("logits", *scores.shape))

    def _simple(self, begin: int, end: int) -> Tensor:
        """Losses and gradients of queries against documents without options, in few operations."""
        shares = self._shares_in_place if self._is_in_place else self._shares
        rest, positive, pull, weights, factor = shares(begin, end)
        if self.gradients:
            factor = factor / self.batch.anchors
            to_left, to_right = self.gradients[False][begin:end], self.gradients[True]
            self.products.add(to_left, weights, self._operands[True], factor, anew=True)
            left = self._operand(False, begin, end)
            self.products.add(to_right, weights.mT, left, factor, anew=self._is_one_block)
        if not self._queries.is_cuda:
            return self._with_positives(begin, end, rest, positive, pull)
        self._apart.append((rest, positive, pull))
        if end < self.batch.end:
            return rest.new_empty(0)
        parts = [torch.cat(part) for part in zip(*self._apart, strict=True)]
        self._apart.clear()
        return self._with_positives(self.batch.begin, end, *parts)

    def _with_positives(self, begin: int, end: int, rest: Tensor, positive: Tensor, pull: Tensor) -> Tensor:
        """The losses of some queries, whose positives' part of the gradients is added: on a GPU of all at once."""
        self.batch.checks.note(self._note_vanishing, positive)
        if self.gradients:
            pull, own = pull.div_(self.batch.anchors).unsqueeze(1), slice(begin, end)
            self.gradients[False][own].addcmul_(pull, self._right[True][own])
            self.gradients[True][own].addcmul_(pull, self._rows(False, begin, end))
        return rest.div_(positive).log1p_()

    def _note_vanishing(self, positive: float) -> None:
        """Note that the logarithm of a positive's probability is not to be had from it, if so."""
        self._vanishes = self._vanishes or positive < _VANISHING

    def _shares(self, begin: int, end: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | float]:
        """What the Softmax makes of some queries' candidates, as `shares_of`; and a factor of the weights."""
        scores = self._scores("query_to_doc", begin, end)
        self.batch.note_scores(self.setting, scores)
        anchors = torch.arange(begin, end, device=scores.device)
        left_out = self.batch.left_out("query_to_doc", begin, end)
        # Those in float16 are still to be made larger.
        low = torch.bfloat16 if self.products.is_mixed and self.products.low == torch.bfloat16 else None
        rest, positive, pull, weights = compiled_shares_of(
            scores, anchors, left_out, self.setting.link, self.setting.scale, low
        )
        return rest, positive, pull, *self.products.weights(weights)

    def _shares_in_place(self, begin: int, end: int) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
        """The same in the memory of the scores, which on a CPU saves most of the time."""
        logits, slope = self._logits(begin, end)
        left_out = self.batch.left_out("query_to_doc", begin, end)
        if left_out is not None:
            diagonal_of(left_out, begin).fill_(False)
            logits.masked_fill_(left_out, -math.inf)
        weights = torch.softmax(logits, 1, out=logits)
        diagonal = diagonal_of(weights, begin)
        positive = diagonal.clone()
        diagonal.zero_()
        rest = weights.sum(1)
        if isinstance(slope, Tensor):
            pull = rest.neg().mul_(diagonal_of(slope, begin))
            return rest, positive, pull, weights.mul_(slope) if self.gradients else weights, 1.0
        return rest, positive, rest * -slope, weights, slope

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
            logits, _ = self._logits(begin, end)
            diagonal = diagonal_of(logits, begin)
            of_positives.append(diagonal.clone())
            diagonal.fill_(torch.finfo(logits.dtype).min / 4)
            of_rows.append(torch.logsumexp(logits, 1))
            back = logits[:, :count]
            new_top = torch.maximum(top, back.amax(0))
            total.mul_((top - new_top).exp_()).add_(back.sub_(new_top).exp_().sum(0))
            top = new_top
        # By what the others have, as `_simple`: 1 less the positive's probability would lose its digits near the end.
        positives = torch.cat(of_positives)
        in_row, in_column = torch.cat(of_rows) - positives, top + total.log() - positives
        if self.setting.options.partition_mode == "joint":  # where the positive is twice
            share, twice = 1.0, torch.full_like(positives, math.log(2))
            loss = torch.logaddexp(torch.logaddexp(in_row, in_column), twice)
            rows = columns = positives + loss
        else:
            share, nothing = 0.5, torch.zeros_like(positives)
            in_row, in_column = torch.logaddexp(in_row, nothing), torch.logaddexp(in_column, nothing)
            loss, rows, columns = (in_row + in_column) / 2, positives + in_row, positives + in_column
        if not self.gradients:
            return loss
        rests, slopes, share = torch.zeros_like(rows), list[Tensor](), share / self.batch.anchors
        for begin, end in blocks:
            logits, slope = self._logits(begin, end)
            back = (logits[:, :count] - columns).exp_()
            weights = logits.sub_(rows[begin:end, None]).exp_()
            for part in (back, weights):
                diagonal_of(part, begin).zero_()
            rests[begin:end] += weights.sum(1)
            rests += back.sum(0)
            weights[:, :count] += back
            if isinstance(slope, Tensor):
                slopes.append(diagonal_of(slope, begin).clone())
                weights.mul_(slope)
            weights, factor = self.products.weights(weights)
            factor = factor * share * (1 if isinstance(slope, Tensor) else slope)
            self.products.add(self.gradients[False][begin:end], weights, self._operands[True], factor, anew=True)
            self.products.add(self.gradients[True], weights.mT, self._operand(False, begin, end), factor)
        pull = rests.mul_(torch.cat(slopes) if slopes else slope).mul_(-share).unsqueeze(1)
        for begin, end in blocks:
            own = slice(begin, end)
            self.gradients[False][own].addcmul_(pull[own], self._right[True][own])
            self.gradients[True][own].addcmul_(pull[own], self._rows(False, begin, end))
        return loss

    def _slab(self, name: str, rows: int, columns: int) -> Tensor | None:
        """Memory for a block of scores; None where there is only one."""
        if self._block_size >= self.batch.anchors:
            return None
        slab = self._slabs.get(name)
        if slab is None:
            slab = self._slabs[name] = self._queries.new_empty(min(self._block_size, self.batch.anchors), columns)
        return slab[:rows]

    def _general(self, begin: int, end: int) -> Tensor:
        """Losses and gradients for any options, by automatic differentiation with respect to the scores."""
        batch, wants_gradients = replace(self.batch, begin=begin, end=end), bool(self.gradients)
        scores = {direction: self._scores(direction, begin, end) for direction in self.setting.options.directions}
        with torch.set_grad_enabled(wants_gradients):
            leaves = [matrix.requires_grad_(wants_gradients) for matrix in scores.values()]
            losses = losses_of_rows(scores.items(), batch, self.setting, FastLogits)
        if wants_gradients:
            share = self.batch.share(begin, end)
            factors = share.squeeze(1) if isinstance(share, Tensor) else torch.full_like(losses, share)
            for direction, slope in zip(scores, torch.autograd.grad(losses, leaves, factors), strict=True):
                self._add(direction, begin, end, slope)
        return losses.detach()

    def _add(self, direction: Direction, begin: int, end: int, weights: Tensor) -> None:
        """Add to the gradients what the weights of a direction's scores make of the embeddings."""
        from_documents, to_documents = DIRECTIONS[direction]
        to_left, to_right = self.gradients[from_documents][begin:end], self.gradients[to_documents]
        if from_documents != to_documents and not self.products.is_exact:  # what has a label, apart
            for column in self.batch.own_columns(begin, to_documents):
                diagonal, own = diagonal_of(weights, column), slice(column, column + len(weights))
                pull = diagonal.clone().unsqueeze(1)
                diagonal.zero_()
                to_left.addcmul_(pull, self._right[to_documents][own])
                to_right[own].addcmul_(pull, self._rows(from_documents, begin, end))
        weights, factor = self.products.weights(weights)
        self.products.add(to_left, weights, self._operands[to_documents], factor)
        self.products.add(to_right, weights.mT, self._operand(from_documents, begin, end), factor)
