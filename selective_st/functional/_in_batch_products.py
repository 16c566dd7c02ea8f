"""The matrix products of the in-batch loss in a precision: operands rounded to it, what is summed in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["auto", "bf16", "fp16", "tf32", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("auto", "bf16", "fp16", "tf32", "fp32")
_LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
# What float32 products are made of, where that is asked for; else as torch is set.
_MATMUL = {"tf32": ("high", "tf32"), "fp32": ("highest", "ieee")}
_UNCHANGED = nullcontext()
_HIGH = 2.0**14  # of half precision, whose products are summed in float32


class Products:
    """Products of matrices of float32 (or double), by operands of low precision where that is asked for.

    Attributes:
        low: The operands' dtype; None for that of the matrices.
        is_mixed: Whether the device multiplies these and sums in float32; else they are rounded, and multiplied as
            they were.
        is_exact: Whether the products are those of the matrices as they are.
        is_rounding: Whether the device rounds the operands itself, to tf32.
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
        is_double = dtype == torch.float64
        if precision == "auto" and torch.is_autocast_enabled(device) and not is_double:  # which autocast leaves alone
            dtype = torch.get_autocast_dtype(device)
        low = dtype if precision == "auto" else _LOW.get(precision)
        self.low = low if low in _LOW.values() else None
        is_cuda = device == "cuda"
        self.is_mixed = is_cuda and self.low is not None and not is_double and "dtype" in torch.ops.aten.mm.overloads()
        self._matmul = _MATMUL.get(precision) if is_cuda else None
        self.is_rounding = self.low is None and is_cuda and precision == "tf32"
        self.is_exact = self.low is None and not self.is_rounding

    @property
    def _matmul_precision(self) -> AbstractContextManager[None]:
        return _UNCHANGED if self._matmul is None else _matmul_precision(*self._matmul)

    def operand(self, matrix: Tensor) -> Tensor:
        """A matrix as the products take it."""
        if self.low is None:
            return matrix
        return matrix.to(self.low) if self.is_mixed else matrix.to(self.low).to(matrix.dtype)

    def weights(self, matrix: Tensor) -> tuple[Tensor, Tensor | float]:
        """Weights as the products take them, and the factor of what these give.

        The largest is made so large for half precision that those of small probability keep their digits.
        """
        if self.low != torch.float16:
            return (matrix if matrix.dtype == self.low else self.operand(matrix)), 1.0
        largest = matrix.abs().amax().clamp_min(torch.finfo(torch.float32).tiny)
        return self.operand(matrix * (_HIGH / largest)), largest / _HIGH

    def multiply(self, left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
        """The product of two operands, in the matrices' own dtype."""
        if self.is_mixed:
            return torch.mm(left, right, out_dtype=torch.float32, out=out)
        with self._matmul_precision:
            return torch.mm(left, right, out=out)

    def add(
        self, total: Tensor, left: Tensor, right: Tensor, factor: Tensor | float = 1.0, *, anew: bool = False
    ) -> Tensor:
        """Add to `total` the product of two operands, times a factor; `anew` if nothing is in it yet."""
        if not isinstance(factor, Tensor):
            beta = int(not anew)
            if self.is_mixed:
                return torch.addmm(total, left, right, torch.float32, beta=beta, alpha=factor, out=total)
            if self.low is None:
                with self._matmul_precision:
                    return total.addmm_(left, right, beta=beta, alpha=factor)
        if anew:
            return self.multiply(left, right, total).mul_(factor)
        return total.add_(self.multiply(left, right).mul_(factor))


@contextmanager
def _matmul_precision(old: str, new: str) -> Iterator[None]:
    """A context in which CUDA multiplies float32 in a precision, by its old and its new name."""
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # which was set by its new name, after which the old one is refused
        backend = torch.backends.cuda.matmul
        before, backend.fp32_precision = backend.fp32_precision, new
        try:
            yield
        finally:
            backend.fp32_precision = before
        return
    torch.set_float32_matmul_precision(old)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
