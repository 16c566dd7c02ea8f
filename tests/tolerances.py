"""How far apart two floating-point results of the same mathematics may lie: the one place that says so.

In which order a sum is added up, and whether a product and a sum are rounded once or twice, depends on the processor,
on `ATEN_CPU_CAPABILITY` and on the number of threads. What two results may differ by therefore follows from the
precision, the size of the numbers that are added up and the number of operations; never from what one machine was seen
to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

FEW = 64
"""Operations of a formula over a handful of numbers; an elementary function counts as a few."""

SCORE = 8
"""Operations that make a score of two embeddings."""

STEEPEST = 40.0
"""The largest exponent that a link of `tests/link_cases.py` takes: a scale of 20, over scores from -1 to 1."""

INTEGRATED = 1e-7
"""Error of an integral of a link's sensitivity or value, by nodes as dense as it is steep."""

SEARCHED = 1e-5
"""Error of a minimum that an optimizer has found."""

LOGGED = 1e-4
"""Relative error of what a trainer logs: older ones round to four digits."""

FIRST_ORDER, SECOND_ORDER = {"atol": 1e-4, "rtol": 1e-3}, {"atol": 1e-3, "rtol": 1e-2}
"""What `torch.autograd.gradcheck` and `gradgradcheck` bear where links are steep: their step is 1e-6."""

DIFFERENCE = 1e-5
"""Step of a central difference of a loss, and its error: step^2 of the third derivative, eps/step of the value."""

PROMISED = 1e-6
"""Relative error against 50 digits in single precision: it is computed in double, so this is no bound of rounding."""

DTYPES = [torch.float64, torch.float32]


def rounding(dtype: torch.dtype, operations: int = FEW, exponent: float = 0.0) -> float:
    """By how much two results may differ, relative to the size of the terms that they are made of.

    An operation rounds its result by at most half an eps of it. In a chain of n this makes n/2 eps in the worst case
    (Higham 2002, Accuracy and Stability of Numerical Algorithms, 3.1), and at most 6 sqrt(n)/2 eps unless the roundings
    conspire, of which the odds are below 1e-7 (Higham and Mary 2019, SIAM J. Sci. Comput. 41, theorem 2.4). Each of the
    two results has this error. Where e^x is taken, that of x counts x times: e^(x(1 + d)) is e^x (1 + xd), nearly.

    Args:
        dtype: In which both are computed.
        operations: The longest chain: numbers that are added up, one after the other, through all layers.
        exponent: The largest number of which the exponential is taken: a score, times what it is multiplied by.

    Returns:
        The bound.
    """
    eps = torch.finfo(dtype).eps
    assert operations <= SCORE or eps < 1e-6, f"{dtype} bears no more than {SCORE} operations, of {operations}"
    return eps * (_chain(operations) + exponent * _chain(SCORE))


def _chain(operations: int) -> float:
    return min(operations, 6 * math.sqrt(operations))


def accuracy(dtype: torch.dtype, exponent: float = 0.0) -> float:
    """Relative error against 50 digits; see `rounding`."""
    return PROMISED if dtype == torch.float32 else rounding(dtype, exponent=exponent)


def operations_of(model: nn.Module) -> int:
    """The longest chain through a model: a matrix adds up as many products as it has columns, and, back, as rows."""
    return sum(sum(parameter.shape) for parameter in model.parameters() if parameter.dim() > 1)


def largest(*tensors: Any) -> float:
    """The largest finite entry of all, without its sign."""
    flat = [torch.as_tensor(tensor).detach().double().flatten() for tensor in tensors]
    entries = torch.cat([torch.zeros(1, dtype=torch.float64), *flat])
    return float(entries[entries.isfinite()].abs().max())


def precision(*results: Any) -> torch.dtype:
    """The least precise of the floating types of some results; that of plain numbers is double."""
    found = [result.dtype for result in results if isinstance(result, Tensor) and result.is_floating_point()]
    return max(found, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)


def assert_close(
    ours: Any,
    theirs: Any,
    operations: int = FEW,
    *,
    exponent: float = 0.0,
    size: float | None = None,
    dtype: torch.dtype | None = None,
    check_dtype: bool = True,
    equal_nan: bool = False,
) -> None:
    """That two results are the same up to rounding: `rounding(...)` times their size.

    Args:
        ours: A tensor, a number, or a sequence of them.
        theirs: Likewise.
        operations: See `rounding`; 0 for results that are the same to the last bit.
        exponent: See `rounding`.
        size: Of the terms, where they nearly cancel; by default the largest entry of `theirs`.
        dtype: In which they are computed; by default their own, of two the less precise.
        check_dtype: Whether both must be of one type.
        equal_nan: Whether NaN equals NaN.
    """
    options = {"exponent": exponent, "size": size, "dtype": dtype, "check_dtype": check_dtype, "equal_nan": equal_nan}
    if isinstance(ours, Sequence):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_close(one, other, operations, **options)  # type: ignore[arg-type]
        return
    terms = largest(theirs) if size is None else max(size, largest(theirs))
    allowed = rounding(dtype or precision(ours, theirs), operations, exponent) * terms
    torch.testing.assert_close(ours, theirs, rtol=0, atol=allowed, check_dtype=check_dtype, equal_nan=equal_nan)


def assert_same_step(
    ours: Sequence[Tensor],
    theirs: Sequence[Tensor],
    operations: int = FEW,
    *,
    exponent: float = 0.0,
    size: float = 0.0,
    slope: float = 0.0,
    through: nn.Module | None = None,
    dtype: torch.dtype | None = None,
    check_dtype: bool = True,
) -> None:
    """That a loss and its gradients are the same: the value by its own size, the gradients by the largest entry of all.

    Args:
        ours: The value, then the gradients.
        theirs: Likewise.
        operations: See `rounding`.
        exponent: See `rounding`.
        size: Of the terms of the value, where they nearly cancel.
        slope: Likewise, of the gradients.
        through: The model that the gradients, but not the value, come through.
        dtype: In which both are computed; by default the value's.
        check_dtype: Whether both must be of one type.
    """
    assert len(ours) == len(theirs) > 1
    dtype = dtype or precision(ours[0], theirs[0])
    options: dict[str, Any] = {"exponent": exponent, "dtype": dtype, "check_dtype": check_dtype}
    assert_close(ours[0], theirs[0], operations, size=size, **options)
    steepest = max(slope, largest(*theirs[1:]))
    assert steepest > 0
    operations += 0 if through is None else operations_of(through)
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert one.isfinite().all()
        assert_close(one, other, operations, size=steepest, **options)


def assert_within(ours: Any, theirs: Any, error: float) -> None:
    """That one is an approximation of the other, with an error that is none of rounding."""
    one, other = (torch.as_tensor(each).detach().double() for each in (ours, theirs))
    torch.testing.assert_close(one, other, rtol=0, atol=error)


def are_close(*arguments: Any, **settings: Any) -> bool:
    """Whether `assert_close` would hold."""
    try:
        assert_close(*arguments, **settings)
    except AssertionError:
        return False
    return True


def about(expected: Any, dtype: torch.dtype, operations: int = FEW, *, size: float | None = None) -> Any:
    """What `pytest.approx` takes for equal: numbers, lists, arrays or dictionaries of results computed in `dtype`."""
    values = list(expected.values()) if isinstance(expected, dict) else expected
    terms = largest(torch.as_tensor(values)) if size is None else size
    return pytest.approx(expected, rel=0, abs=rounding(dtype, operations) * terms, nan_ok=True)
