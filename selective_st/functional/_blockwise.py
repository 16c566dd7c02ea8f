"""The mean loss of score matrices' rows, a block of rows at a time, with the embeddings' gradients in the same pass.

The products are in the precision that was asked for: operands rounded to it, what is summed in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from selective_st._autograd import KnownSlopes, pull_through
from selective_st.functional._common import without_autocast

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
Precision = Literal["auto", "bf16", "fp16", "tf32", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("auto", "bf16", "fp16", "tf32", "fp32")
_LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
# What float32 products are made of, where that is asked for; else as torch is set.
_MATMUL = {"tf32": ("high", "tf32"), "fp32": ("highest", "ieee")}
_UNCHANGED = nullcontext()
_HIGH = 2.0**14  # of half precision, whose products are summed in float32
_SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize
_NUMBERS_ON_GPU = 2**24  # of embeddings at once, where few launches save more than little memory

# Of scores' slopes: those of all, and those of the anchor's own candidates, which are apart, where there are such.
Slopes = tuple[Tensor, Tensor | None]


class Products:
    """Products of matrices of float32 (or double), by operands of low precision where that is asked for.

    Attributes:
        low: The operands' dtype; None for that of the matrices.
        is_mixed: Whether the device multiplies these and sums in float32; else they are rounded, and multiplied as
            they were.
        is_exact: Whether the products are those of the matrices as they are.
        is_rounding: Whether the device rounds the operands itself, to tf32.
        matmul: What its float32 products are made of, by the old and the new name; None for as torch is set.
    """

    def __init__(self, precision: Precision, *embeddings: Tensor) -> None:
        """Say in which precision.

        Args:
            precision: One of `PRECISIONS`.
            *embeddings: The embeddings, as they were given: where it is "auto" and autocast is off, theirs is taken.
        """
        device, dtype = embeddings[0].device.type, embeddings[0].dtype
        for matrix in embeddings[1:]:
            dtype = torch.promote_types(dtype, matrix.dtype)
        is_double, is_cuda = dtype == torch.float64, device == "cuda"
        if precision == "auto" and not is_double and torch.is_autocast_enabled(device):  # which leaves doubles alone
            dtype = torch.get_autocast_dtype(device)
        low = dtype if precision == "auto" else _LOW.get(precision)
        self.low = low if low in _LOW.values() else None
        self.is_mixed = is_cuda and self.low is not None and not is_double and "dtype" in torch.ops.aten.mm.overloads()
        self.matmul = _MATMUL.get(precision) if is_cuda else None
        self.is_rounding = self.low is None and is_cuda and precision == "tf32"
        self.is_exact = self.low is None and not self.is_rounding

    def in_precision(self) -> AbstractContextManager[None]:
        """The context of the products."""
        return _UNCHANGED if self.matmul is None else _matmul_precision(*self.matmul)

    def operand(self, matrix: Tensor) -> Tensor:
        """A matrix as the products take it."""
        if self.low is None:
            return matrix
        return matrix.to(self.low) if self.is_mixed else matrix.to(self.low).to(matrix.dtype)

    def weights(self, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weights as the products take them, and the factor of what these give, if there is one.

        The largest is made so large for half precision that those of small probability keep their digits.
        """
        if self.low != torch.float16:
            return (matrix if matrix.dtype == self.low else self.operand(matrix)), None
        largest = matrix.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
        return self.operand(matrix * (_HIGH / largest)), largest / _HIGH

    def multiply(self, left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
        """The product of two operands, in the matrices' own dtype."""
        if self.is_mixed:
            return torch.mm(left, right, out_dtype=torch.float32, out=out)
        return torch.mm(left, right, out=out)

    def add(self, total: Tensor, left: Tensor, right: Tensor, factor: Tensor | None, *, anew: bool) -> None:
        """Add to `total` the product of two operands, times a factor; `anew` if nothing is in it yet."""
        if factor is not None:
            product = self.multiply(left, right, total if anew else None).mul_(factor)
            if not anew:
                total.add_(product)
        elif self.is_mixed:
            torch.addmm(total, left, right, torch.float32, beta=int(not anew), alpha=1.0, out=total)
        elif anew:
            torch.mm(left, right, out=total)
        else:
            total.addmm_(left, right)


@contextmanager
def _matmul_precision(old: str, new: str) -> Iterator[None]:
    """A context in which CUDA multiplies float32 in a precision, by its old and its new name."""
    change: Callable[[str], None] = torch.set_float32_matmul_precision
    wanted = old
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # which was set by its new name, after which the old one is refused
        backend = torch.backends.cuda.matmul
        change, before, wanted = partial(setattr, backend, "fp32_precision"), backend.fp32_precision, new
    change(wanted)
    try:
        yield
    finally:
        change(before)


def differentiated(
    losses_of: Callable[[Mapping[Any, Tensor]], Tensor], scores: Mapping[Any, Tensor], share: Any, wants_slopes: bool
) -> tuple[Tensor, dict[Any, Slopes]]:
    """Losses of scores, and the slopes of these by automatic differentiation.

    Args:
        losses_of: Gives the losses of anchors by the scores of each direction.
        scores: The scores, a row for each anchor.
        share: The share of each loss in the mean.
        wants_slopes: Whether slopes are wanted.

    Returns:
        The losses, and the slopes of each direction; none if they are not wanted.
    """
    leaves = {name: matrix.detach().requires_grad_(wants_slopes) for name, matrix in scores.items()}
    with torch.set_grad_enabled(wants_slopes):
        losses = losses_of(leaves)
    if not wants_slopes:
        return losses, {}
    slopes = torch.autograd.grad(losses, list(leaves.values()), torch.ones_like(losses) * share)
    return losses.detach(), {name: (slope, None) for name, slope in zip(leaves, slopes, strict=True)}


class Blockwise(KnownSlopes):
    """The mean loss of embeddings, queries and columns of documents, by their scores in some directions.

    What becomes of the scores of a block of anchors is for `rows` to say. Queries and documents are held as one matrix,
    so that a small batch takes few operations; of pairs of its parts, the first is of queries, the second of documents.
    """

    one_by_one = True

    def __init__(
        self,
        rows: Any,
        plain: Callable[..., Tensor],
        products: Products,
        block_size: int,
        *,
        normalize: bool = False,
        wants_gradients: bool = True,
    ) -> None:
        """Say how to compute it.

        Args:
            rows: What the rows of scores become: `InBatchRows`, or what has its attributes and methods.
            plain: The loss of the embeddings, for automatic differentiation to any order.
            products: How matrices are multiplied.
            block_size: Rows of a block.
            normalize: Whether embeddings are normalised first.
            wants_gradients: Whether to find the gradients too.
        """
        self._rows, self._plain, self._products = rows, plain, products
        self._block_size, self._normalize, self._wants_gradients = block_size, normalize, wants_gradients
        self._is_one_block = block_size >= rows.end - rows.begin
        self._gradient: tuple[Tensor, ...] | None = None
        self._slabs: dict[tuple[str, int], Tensor] = {}

    def value(self, *tensors: Tensor) -> Tensor:
        rows, products = self._rows, self._products
        self._count = count = len(tensors[0])
        whole, norms = torch.cat(tensors), None
        if self._normalize:
            norms = torch.linalg.vector_norm(whole, dim=1, keepdim=True).clamp_min_(_SMALLEST_NORM)
            whole.div_(norms)
        self._units = self._operands = whole[:count], whole[count:]
        if products.low is not None:
            operands = products.operand(whole)
            self._operands = operands[:count], operands[count:]
        # What is written once need not be set before: of one direction, each query's row, and each document's block.
        is_one_way = len(rows.directions) == 1 or rows.reads_columns
        self._is_written_once = is_one_way and rows.end - rows.begin == count
        self._norms = norms
        if self._wants_gradients:
            # In one piece; or for many blocks in two: a query that has had its block is needed no more, and its
            # gradient takes its place. Kept by hand, to be given away on the way back: it is the most memory.
            if self._is_written_once and not self._is_one_block and products.low is None:
                self._gradient = self._units[0], torch.zeros_like(self._units[1])
            else:
                is_set = self._is_written_once and self._is_one_block
                self._gradient = (torch.empty_like(whole) if is_set else torch.zeros_like(whole),)
        with products.in_precision() if products.matmul else _UNCHANGED:
            if rows.reads_columns:
                for begin in range(rows.begin, rows.end, self._block_size):
                    scores = self._scores("query_to_doc", begin, min(begin + self._block_size, rows.end))
                    rows.read_columns(scores, begin, None if self._is_one_block else self._slab)
                rows.end_columns()
            if self._is_one_block:
                losses = self._block(rows.begin)
            else:
                losses = torch.cat([self._block(begin) for begin in range(rows.begin, rows.end, self._block_size)])
        value: Tensor = rows.mean(losses)
        self._slabs.clear()
        if self._gradient is not None and norms is not None:
            units = (whole,) if len(self._gradient) == 1 else self._units
            self._unnormalise(self._gradient[-1], units[-1], norms[-len(units[-1]) :])
        del self._units, self._operands
        return value

    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled():  # a gradient of the gradient may be wanted
            with without_autocast(gradient.device.type):
                return pull_through(self._plain, gradient, needed, tensors)
        if self._gradient is None:  # given away by an earlier backward through the same graph
            self._wants_gradients = True
            with without_autocast(gradient.device.type):
                self.value(*tensors)
        own, self._gradient = self._gradient, None
        assert own is not None
        first, rest = own[:-1], own[-1]
        for part in own:
            part.mul_(gradient)
        return *first, *rest.split(list(map(len, tensors[len(first) :])))

    def _block(self, begin: int) -> Tensor:
        """The losses of some anchors: the mean over the Softmaxes that each has."""
        rows, end, found = self._rows, min(begin + self._block_size, self._rows.end), []
        for group in (("query_to_doc",),) if rows.reads_columns else rows.groups:
            scores = {}
            for name in group:
                scores[name] = self._scores(name, begin, end)
            slab = None if self._is_one_block else self._slab
            losses, slopes = rows.losses_and_slopes(scores, begin, end, slab, self._wants_gradients)
            for name, of_direction in slopes.items():
                self._add(name, begin, end, *of_direction)
            found.append(losses)
        return found[0] if len(found) == 1 else torch.stack(found).mean(0)

    def _scores(self, direction: str, begin: int, end: int) -> Tensor:
        """The scores of some anchors, in memory that is used again for the next block."""
        from_documents, to_documents = self._rows.directions[direction]
        left, right = self._operands[from_documents][begin:end], self._operands[to_documents]
        out = None if self._is_one_block else self._slab(direction, len(left), len(right))
        scores = self._products.multiply(left, right.mT, out)
        if from_documents != to_documents and self._products.is_rounding:
            own = self._rows.own(begin, end, to_documents, scores.device)[:, :1]
            scores.scatter_(1, own, (left * right[begin:end]).sum(1, keepdim=True))
        return scores

    def _slab(self, name: str, rows: int, columns: int) -> Tensor:
        """Memory for each block of scores; directions may have other numbers of candidates."""
        key = name, columns
        if key not in self._slabs:
            self._slabs[key] = self._units[0].new_empty(self._block_size, columns)
        return self._slabs[key][:rows]

    def _add(self, direction: str, begin: int, end: int, weights: Tensor, apart: Tensor | None) -> None:
        """Add to the gradient what the slopes of a direction's scores make of the embeddings."""
        assert self._gradient is not None
        products, count = self._products, self._count
        from_documents, to_documents = self._rows.directions[direction]
        if from_documents != to_documents and not products.is_exact and apart is None:
            own = self._rows.own(begin, end, to_documents, weights.device)
            apart = weights.gather(1, own)
            weights.scatter_(1, own, 0)
        factor = None
        if products.low is not None:
            weights, factor = products.weights(weights)
        whole = self._gradient[0]
        gradients = self._gradient if len(self._gradient) > 1 else (whole[:count], whole[count:])
        to_left, to_right = gradients[from_documents][begin:end], gradients[to_documents]
        left, right = self._operands[from_documents][begin:end], self._operands[to_documents]
        of_left, of_right = self._units[from_documents][begin:end], self._units[to_documents]
        products.add(to_right, weights.mT, left, factor, anew=self._is_written_once and self._is_one_block)
        takes_place = len(self._gradient) > 1
        new = torch.empty_like(to_left) if takes_place else to_left
        products.add(new, weights, right, factor, anew=self._is_written_once)
        for column, pull in enumerate(() if apart is None else apart.split(1, 1)):  # what has a label, in float32
            place = slice(begin + column * count, end + column * count)
            new.addcmul_(pull, of_right[place])
            to_right[place].addcmul_(pull, of_left)
        if takes_place:
            if self._norms is not None:
                self._unnormalise(new, of_left, self._norms[begin:end])
            to_left.copy_(new)

    def _unnormalise(self, gradient: Tensor, units: Tensor, norms: Tensor) -> None:
        """Make a gradient of the units that of the embeddings as they were given."""
        size = max(self._block_size, _NUMBERS_ON_GPU // units.shape[1] if units.is_cuda else 0)
        size = len(units) if self._is_one_block else size
        for part, unit, norm in zip(gradient.split(size), units.split(size), norms.split(size), strict=True):
            # What points along the embedding only changes its length.
            part.addcmul_(unit, (part * unit).sum(1, keepdim=True), value=-1).div_(norm)
