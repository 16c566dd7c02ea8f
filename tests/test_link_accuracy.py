"""Values and gradients against 50-digit arithmetic.

`make accuracy` runs this with 10,000 cases a link and prints the table.
"""

from __future__ import annotations

import math
import random

import mpmath as mp
import pytest
import torch

from tests import random_inputs
from tests.link_cases import LINK_CASES, LinkCase
from tests.tolerances import DTYPES, STEEPEST, accuracy, assert_close

pytestmark = pytest.mark.numerical

SMALLEST_DISTANCE = 1e-6


def random_pairs(case: LinkCase, count: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores whose distances are spread evenly over the orders of magnitude from 1e-6 to the whole range."""
    generator = random.Random(random_inputs.seed_of(0))
    largest = math.log10(case.high - case.low)
    pairs: list[tuple[float, float]] = []
    while len(pairs) < count:
        s = generator.uniform(case.low, case.high)
        p = s + generator.choice((-1, 1)) * 10 ** generator.uniform(math.log10(SMALLEST_DISTANCE), largest)
        rounded_p, rounded_s = torch.tensor([p, s], dtype=dtype).tolist()
        if case.low <= rounded_p <= case.high and abs(rounded_p - rounded_s) >= SMALLEST_DISTANCE:
            pairs.append((rounded_p, rounded_s))
    predicted, target = torch.tensor(pairs, dtype=dtype).unbind(1)
    return predicted, target


def relative_error(value: float, exact: mp.mpf, dtype: torch.dtype) -> float:
    if exact == 0:
        return 0.0 if value == 0 else math.inf
    if abs(exact) < torch.finfo(dtype).tiny:  # below, numbers have fewer digits
        return 0.0 if abs(value) <= torch.finfo(dtype).tiny else math.inf
    return float(abs((mp.mpf(value) - exact) / exact))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", LINK_CASES, ids=lambda case: case.name)
def test_relative_error(case: LinkCase, dtype: torch.dtype, pytestconfig: pytest.Config) -> None:
    count = pytestconfig.getoption("--accuracy-cases")
    p, s = random_pairs(case, count, dtype)
    p.requires_grad_()
    divergence = case.link.divergence(p, s)
    (gradient,) = torch.autograd.grad(divergence.sum(), p)
    assert (divergence >= 0).all()
    assert not divergence.isnan().any()
    worst_value = worst_gradient = 0.0
    for p_, s_, value, slope in zip(p.tolist(), s.tolist(), divergence.tolist(), gradient.tolist(), strict=True):
        worst_value = max(worst_value, relative_error(value, case.divergence(p_, s_), dtype))
        worst_gradient = max(worst_gradient, relative_error(slope, case.difference(p_, s_), dtype))
    print(f"{case.name:32} {dtype!s:14} {count:6,} cases: divergence {worst_value:.1e}, gradient {worst_gradient:.1e}")
    assert worst_value <= accuracy(dtype, STEEPEST)
    assert worst_gradient <= accuracy(dtype, STEEPEST)


@pytest.mark.parametrize("case", LINK_CASES, ids=lambda case: case.name)
def test_link_and_potential(case: LinkCase) -> None:
    scores = torch.linspace(case.low, case.high, 41, dtype=torch.float64)
    origin = case.H(mp.mpf(0)) - mp.mpf(float(case.link.potential(torch.zeros((), dtype=torch.float64))))
    for z, value, potential in zip(
        scores.tolist(), case.link(scores).tolist(), case.link.potential(scores).tolist(), strict=True
    ):
        assert_close(value, float(case.h(mp.mpf(z))), exponent=STEEPEST)
        # A potential is fixed up to a constant only.
        expected = float(case.H(mp.mpf(z)) - origin)
        assert_close(potential, expected, exponent=STEEPEST, size=float(abs(case.H(mp.mpf(0)))))


def test_the_naive_formula_fails_this_test() -> None:
    """What the stable forms are for: the definition in single precision is far off near the match."""
    case = next(case for case in LINK_CASES if case.name == "sinh(5, 0.5)")
    p, s = random_pairs(case, 200, torch.float32)
    naive = case.link.potential(p) - case.link.potential(s) - (p - s) * case.link(s)
    errors = [
        relative_error(value, case.divergence(p_, s_), torch.float32)
        for p_, s_, value in zip(p.tolist(), s.tolist(), naive.tolist(), strict=True)
    ]
    assert max(errors) > 1
