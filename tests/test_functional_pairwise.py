"""Pairwise losses on tensors: references, identities, masks, weights, reductions, gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss, softplus

from selective_st.functional import margin_loss, matching_loss, pairwise_loss
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, SigmoidLink, high_scores
from tests import random_inputs
from tests.link_cases import LINK_CASES, LinkCase
from tests.loss_references import pairwise, pairwise_gradient
from tests.tolerances import DTYPES, SCORE, STEEPEST, accuracy, assert_close, largest, rounding

pytestmark = pytest.mark.numerical

# For each link the scores, from here to 1, on which it is positive, as a loss without target scores needs it.
POSITIVE_FROM = {
    case.name: low
    for case in LINK_CASES
    for low in (0.5, 0.0, -1.0)
    if case.link(torch.tensor(low, dtype=torch.float64)) >= 0
}
POSITIVE_CASES = [case for case in LINK_CASES if case.name in POSITIVE_FROM]


def scores_between(low: float, high: float, *shape: int, seed: int) -> Tensor:
    """Single-precision numbers, as doubles."""
    unit = torch.rand(*shape, generator=random_inputs.generator(seed))
    return (low + (high - low) * unit).double()


def largest_logit(case: LinkCase, temperature: float, *scores: Tensor) -> float:
    return largest(*(case.link.potential(each) for each in scores)) / temperature


def assert_relative(
    ours: Tensor, reference: list[Any], dtype: torch.dtype, exponent: float = STEEPEST, size: float = 0.0
) -> None:
    """Each entry, relative to itself, or to `size` in double precision; the reference is in 50 digits."""
    expected = torch.tensor([float(x) for x in reference], dtype=torch.float64).view(ours.shape)
    assert ours.dtype == dtype
    error = (ours.double() - expected).abs()
    allowed = accuracy(dtype, exponent) * expected.abs() + rounding(torch.float64, SCORE) * size
    assert (error <= allowed).all(), (error / allowed).max()


def test_most_links_are_positive_somewhere() -> None:
    assert len(POSITIVE_CASES) >= len(LINK_CASES) - 2


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
class TestReference:
    @pytest.mark.parametrize("case", POSITIVE_CASES, ids=lambda case: case.name)
    @pytest.mark.parametrize("temperature", [0.05, 1.0, 3.0])
    def test_pairwise(self, case: LinkCase, dtype: torch.dtype, temperature: float) -> None:
        low = POSITIVE_FROM[case.name]
        positive, negative = scores_between(low, 1, 6, seed=1), scores_between(low, 1, 6, 3, seed=2)
        negative[0] = positive[0]  # equal
        negative[1, 0] = positive[1] + 1e-6
        negative = negative.float().double()
        ours = pairwise_loss(
            positive.to(dtype), negative.to(dtype), case.link, temperature=temperature, reduction="none"
        )
        expected = [
            value
            for p, row in zip(positive.tolist(), negative.tolist(), strict=True)
            for value in pairwise(p, row, case, temperature)
        ]
        # log(1 + x) keeps of x what 1 + x does: an absolute error, in nats.
        assert_relative(ours, expected, dtype, largest_logit(case, temperature, positive, negative), size=1.0)

    @pytest.mark.parametrize("case", POSITIVE_CASES, ids=lambda case: case.name)
    def test_pairwise_gradient(self, case: LinkCase, dtype: torch.dtype) -> None:
        temperature = 0.3
        low = POSITIVE_FROM[case.name]
        positive = scores_between(low, 1, 6, seed=1).to(dtype).requires_grad_()
        negative = scores_between(low, 1, 6, 2, seed=2).to(dtype).requires_grad_()
        loss = pairwise_loss(positive, negative, case.link, temperature, reduction="sum")
        to_p, to_n = torch.autograd.grad(loss, [positive, negative])
        expected = [
            [pairwise_gradient(p, n, case, temperature) for n in row]
            for p, row in zip(positive.tolist(), negative.tolist(), strict=True)
        ]
        exponent = largest_logit(case, temperature, positive.detach(), negative.detach())
        steepest = largest(case.link(positive), case.link(negative)) / temperature
        assert_relative(to_p, [sum(gradient[0] for gradient in row) for row in expected], dtype, exponent, steepest)
        of_n = [gradient[1] for row in expected for gradient in row]
        assert_relative(to_n, of_n, dtype, exponent, steepest)

    @pytest.mark.parametrize("case", LINK_CASES, ids=lambda case: case.name)
    def test_margin(self, case: LinkCase, dtype: torch.dtype) -> None:
        positive, negative = scores_between(-0.5, 0.5, 6, seed=3), scores_between(-0.5, 0.5, 6, 2, seed=4)
        # Differences that single precision holds exactly: the subtraction is not what is tested.
        positive, negative = (x.mul(2**12).round().div(2**12) for x in (positive, negative))
        margin = scores_between(-1, 1, 6, 2, seed=5)
        margin[0] = positive[0] - negative[0] + 1e-6
        margin = margin.float().double()
        ours = margin_loss(positive.to(dtype), negative.to(dtype), margin.to(dtype), case.link, reduction="none")
        expected = [
            case.divergence(p - n, m)
            for p, row, margins in zip(positive.tolist(), negative.tolist(), margin.tolist(), strict=True)
            for n, m in zip(row, margins, strict=True)
        ]
        assert_relative(ours, expected, dtype)


class TestIdentities:
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("temperature", [0.05, 1.0])
    @pytest.mark.parametrize("negatives", [(), (1,), (3,)])
    def test_the_constant_link_is_the_logistic_loss(
        self, dtype: torch.dtype, temperature: float, negatives: tuple[int, ...]
    ) -> None:
        for rows in (1, 2, 7, 64):
            p = torch.randn(rows, dtype=dtype, requires_grad=True)
            n = torch.randn(rows, *negatives, dtype=dtype, requires_grad=True)
            ours = pairwise_loss(p, n, ConstantLink(), temperature)
            wide = p.unsqueeze(1) if negatives else p
            theirs = softplus(-(wide - n) / temperature, threshold=500).mean()  # at 20, its default, it drops e^-20
            # RankNet is the binary cross entropy of the margin; the loss of BPR is its other name.
            ranknet = torch.nn.functional.binary_cross_entropy_with_logits((wide - n) / temperature, torch.ones_like(n))
            reach = largest((wide - n) / temperature)
            assert_close(ours, ranknet, exponent=reach)
            assert_close(ours, theirs, exponent=reach)
            found = [torch.autograd.grad(loss, [p, n]) for loss in (ours, theirs)]
            assert_close(*found, exponent=reach)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("negatives", [(), (1,), (3,)])
    def test_the_identity_link_is_half_the_squared_error_of_the_margin(
        self, dtype: torch.dtype, negatives: tuple[int, ...]
    ) -> None:
        for rows in (1, 2, 7, 64):
            p = torch.randn(rows, dtype=dtype, requires_grad=True)
            n, m = (torch.randn(rows, *negatives, dtype=dtype, requires_grad=True) for _ in range(2))
            ours = margin_loss(p, n, m.detach(), IdentityLink())
            theirs = mse_loss((p.unsqueeze(1) if negatives else p) - n, m.detach()) / 2
            assert_close(ours, theirs)
            # Of a score with several negatives the terms may nearly cancel.
            size = largest(p, n, m) / rows
            assert_close(*(torch.autograd.grad(loss, [p, n]) for loss in (ours, theirs)), size=size)

    def test_the_margin_loss_is_the_matching_loss_of_the_margin(self) -> None:
        p, n, m = torch.randn(3, 20, dtype=torch.float64)
        assert_close(margin_loss(p, n, m, high_scores()), matching_loss(p - n, m, high_scores()))

    def test_a_potential_that_saturates(self) -> None:
        # Where the sigmoid's potential is flat, no order is asked for.
        link = SigmoidLink(20.0, 0.8)
        loss = pairwise_loss(torch.tensor([-0.9]), torch.tensor([-0.1]), link, 0.1)
        assert_close(loss, torch.tensor(math.log(2)), exponent=1.0)


P = torch.tensor([0.2, 0.9, 0.5, -0.3], dtype=torch.float64)
N = torch.tensor([[0.1, 0.3], [0.8, -0.5], [0.7, 0.5], [0.0, 0.2]], dtype=torch.float64)
M = torch.tensor([[0.2, 0.3], [0.0, 1.0], [0.1, 0.2], [-0.4, 0.3]], dtype=torch.float64)


def of_pairs(positive: Tensor, negative: Tensor, **arguments: Any) -> Tensor:
    return pairwise_loss(positive, negative, ExponentialLink(2.0), 0.2, **arguments)


def of_margins(positive: Tensor, negative: Tensor, **arguments: Any) -> Tensor:
    margin = M if negative.dim() == 2 else M[:, 0]
    margin = margin.to(negative.dtype)
    return margin_loss(positive, negative, margin, ExponentialLink(2.0), **arguments)


@pytest.mark.parametrize("loss", [of_pairs, of_margins])
class TestReduction:
    def test_modes(self, loss: Any) -> None:
        each = loss(P, N, reduction="none")
        assert each.shape == (4, 2)
        assert (each > 0).all()
        assert_close(loss(P, N, reduction="sum"), each.sum())
        assert_close(loss(P, N), each.mean())
        assert loss(P, N[:, 0], reduction="none").shape == (4,)
        assert_close(loss(P, N[:, 0], reduction="none"), each[:, 0])

    def test_masked_is_removed(self, loss: Any) -> None:
        mask = torch.tensor([[True, True], [False, True], [False, False], [True, False]])
        each = loss(P, N, reduction="none")
        hidden = N.masked_fill(~mask, math.nan).requires_grad_()
        positive = P.clone().requires_grad_()
        masked = loss(positive, hidden, mask=mask)
        assert_close(masked, each[mask].mean())
        assert_close(loss(P, hidden, mask=mask, reduction="sum"), each[mask].sum())
        assert (loss(P, hidden, mask=mask, reduction="none")[~mask] == 0).all()
        to_positive, to_negative = torch.autograd.grad(masked, [positive, hidden])
        assert (to_negative[~mask] == 0).all()
        assert (to_negative[mask] != 0).all()
        assert (to_positive[[0, 1, 3]] != 0).all()
        assert to_positive[2] == 0

    def test_nothing_left_is_zero_with_a_graph(self, loss: Any) -> None:
        for arguments in ({"mask": torch.zeros(4, 2, dtype=torch.bool)}, {"weight": torch.zeros(4)}):
            positive, negative = P.clone().requires_grad_(), N.clone().requires_grad_()
            value = loss(positive, negative, **arguments)
            assert value == 0
            value.backward()
            assert (positive.grad == 0).all()
            assert (negative.grad == 0).all()

    def test_a_nan_that_counts_stays_visible(self, loss: Any) -> None:
        broken = P.clone()
        broken[0] = math.nan
        assert loss(broken, N).isnan()
        mask = torch.tensor([[True, False]] * 4)
        assert loss(broken, N, mask=mask).isnan()
        assert loss(P, N.masked_fill(~mask.flip(1), math.nan), mask=mask).isnan()

    def test_weights(self, loss: Any) -> None:
        each = loss(P, N, reduction="none")
        weight = torch.tensor([1.0, 2, 0, 3], dtype=torch.float64)
        assert_close(loss(P, N, weight=weight), (each * weight[:, None]).sum() / 12)
        weights = torch.arange(8, dtype=torch.float64).view(4, 2)
        assert_close(loss(P, N, weight=weights), (each * weights).sum() / weights.sum())
        mask = torch.tensor([[True, True], [False, True], [False, False], [True, False]])
        assert_close(loss(P, N, weight=weights, mask=mask), (each * weights)[mask].sum() / weights[mask].sum())

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, loss: Any, dtype: torch.dtype) -> None:
        positive, negative = P.to(dtype).requires_grad_(), N.to(dtype).requires_grad_()
        value = loss(positive, negative)
        assert value.dtype == torch.float32
        if loss is of_pairs:
            assert_close(value, loss(positive.detach().float(), negative.detach().float()), SCORE)
        value.backward()
        assert positive.grad is not None
        assert positive.grad.dtype == dtype

    def test_gradients_of_both_orders(self, loss: Any) -> None:
        for negative in (N, N[:, 0]):
            inputs = (P.clone().requires_grad_(), negative.clone().requires_grad_())
            assert torch.autograd.gradcheck(loss, inputs)
            assert torch.autograd.gradgradcheck(loss, inputs)

    def test_extremes_are_finite(self, loss: Any) -> None:
        if loss is of_pairs:
            link = ExponentialLink(2.0).linear_outside(None, 1.0)
            for dtype in (torch.float32, torch.float64):
                huge = torch.tensor([-1e4, -1.0, 0.0, 1.0, 1e4], dtype=dtype)
                p = huge.repeat(5).requires_grad_()
                n = huge.repeat_interleave(5).requires_grad_()
                value = pairwise_loss(p, n, link, reduction="none")
                assert value.isfinite().all()
                assert (value >= 0).all()
                assert all(g.isfinite().all() for g in torch.autograd.grad(value.sum(), [p, n]))
