"""Pointwise losses on tensors: values, masks, weights, reductions, errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from selective_st.functional import fenchel_young_loss, matching_loss, pointwise
from selective_st.links import ConstantLink, IdentityLink, SigmoidLink, high_scores
from tests.link_cases import LINK_CASES, LinkCase
from tests.tolerances import STEEPEST, assert_close, largest

pytestmark = pytest.mark.numerical


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


P, S = tensor(0.2, 0.9, 0.5, -0.3), tensor(0.4, 0.8, 0.5, 0.1)


@pytest.mark.parametrize("case", LINK_CASES, ids=lambda case: case.name)
def test_the_mean_is_the_naive_loop(case: LinkCase) -> None:
    expected = sum(float(case.divergence(p, s)) for p, s in zip(P.tolist(), S.tolist(), strict=True)) / 4
    assert_close(float(matching_loss(P, S, case.link)), expected, exponent=STEEPEST)


@pytest.mark.parametrize("case", LINK_CASES, ids=lambda case: case.name)
def test_both_targets_agree(case: LinkCase) -> None:
    of_scores = matching_loss(P, S, case.link, reduction="none")
    of_values = fenchel_young_loss(P, case.link(S), case.link, reduction="none")
    assert_close(of_values, of_scores, exponent=STEEPEST)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identity_is_half_the_squared_error(dtype: torch.dtype) -> None:
    predicted, target = (x.clone().to(dtype).requires_grad_() for x in (P, S))
    ours, theirs = matching_loss(predicted, target, IdentityLink()), torch.nn.functional.mse_loss(predicted, target) / 2
    assert_close(ours, theirs)
    assert_close(torch.autograd.grad(ours, predicted), torch.autograd.grad(theirs, predicted))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (20.0, 0.8), (0.1, -3.0)])
def test_sigmoid_is_the_binary_cross_entropy(scale: float, shift: float, dtype: torch.dtype) -> None:
    predicted = torch.randn(50, dtype=dtype, requires_grad=True)
    labels = torch.randint(2, (50,)).to(dtype)
    ours = fenchel_young_loss(predicted, labels, SigmoidLink(scale, shift))
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(scale * (predicted - shift), labels) / scale
    reach = scale * largest(predicted - shift)
    assert_close(ours, theirs, exponent=reach)
    assert_close(torch.autograd.grad(ours, predicted), torch.autograd.grad(theirs, predicted), exponent=reach)


def test_soft_labels_are_the_binary_cross_entropy_less_their_entropy() -> None:
    predicted, labels = torch.randn(50, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    ours = fenchel_young_loss(predicted, labels, SigmoidLink())
    entropy = -(labels * labels.log() + (1 - labels) * (1 - labels).log()).mean()
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(predicted, labels)
    assert_close(ours, theirs - entropy, size=float(entropy))


class TestReduction:
    def test_modes(self) -> None:
        each = matching_loss(P, S, high_scores(), reduction="none")
        assert each.shape == (4,)
        assert_close(matching_loss(P, S, high_scores(), reduction="sum"), each.sum())
        assert_close(matching_loss(P, S, high_scores()), each.mean())

    def test_masked_is_removed(self) -> None:
        mask = torch.tensor([True, False, True, True])
        predicted, target = P.clone(), S.clone()
        predicted[1] = target[1] = math.nan
        predicted.requires_grad_()
        for reduction in ("mean", "sum"):
            masked = matching_loss(predicted, target, high_scores(), mask=mask, reduction=reduction)  # type: ignore[arg-type]
            removed = matching_loss(P[mask], S[mask], high_scores(), reduction=reduction)  # type: ignore[arg-type]
            assert_close(masked, removed)
        (gradient,) = torch.autograd.grad(matching_loss(predicted, target, high_scores(), mask=mask), predicted)
        assert gradient.isfinite().all()
        assert gradient[1] == 0
        assert (gradient[[0, 3]] != 0).all()
        assert matching_loss(predicted, target, high_scores(), mask=mask, reduction="none")[1] == 0

    def test_masked_link_values_may_be_nan(self) -> None:
        mask, values = torch.tensor([True, False]), tensor(1, math.nan)
        loss = fenchel_young_loss(tensor(0.3, 0.4), values, SigmoidLink(), mask=mask)
        assert_close(loss, fenchel_young_loss(tensor(0.3), tensor(1), SigmoidLink()))

    def test_without_a_mask_no_stand_in_is_worked_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = matching_loss(P, S, SigmoidLink())
        monkeypatch.delattr(pointwise, "some_score")
        assert torch.equal(matching_loss(P, S, SigmoidLink()), expected)

    def test_nothing_left_is_zero_with_a_graph(self) -> None:
        for kwargs in ({"mask": torch.zeros(4, dtype=torch.bool)}, {"weight": torch.zeros(4)}):
            predicted = P.clone().requires_grad_()
            loss = matching_loss(predicted, S, high_scores(), **kwargs)  # type: ignore[arg-type]
            assert loss == 0
            loss.backward()
            assert (predicted.grad == 0).all()
        empty = torch.zeros(0, requires_grad=True)
        loss = matching_loss(empty, torch.zeros(0), high_scores())
        assert loss == 0
        loss.backward()
        assert empty.grad is not None

    def test_a_nan_that_counts_stays_visible(self) -> None:
        predicted = P.clone()
        predicted[0] = math.nan
        assert matching_loss(predicted, S, high_scores()).isnan()
        assert matching_loss(predicted, S, high_scores(), mask=torch.tensor([True, False, False, False])).isnan()
        assert matching_loss(predicted, S, ConstantLink()).isnan()

    def test_weights(self) -> None:
        weight = tensor(1, 2, 0, 3)
        each = matching_loss(P, S, high_scores(), reduction="none")
        assert_close(matching_loss(P, S, high_scores(), weight=weight), (each * weight).sum() / 6)
        # Of weight 2 is twice there.
        twice = torch.cat([P, P[1:2]]), torch.cat([S, S[1:2]])
        weight = tensor(1, 2, 1, 1)
        assert_close(matching_loss(P, S, high_scores(), weight=weight), matching_loss(*twice, high_scores()))

    def test_a_weight_a_row(self) -> None:
        predicted, target = P.view(2, 2), S.view(2, 2)
        loss = matching_loss(predicted, target, high_scores(), weight=tensor(1, 0))
        assert_close(loss, matching_loss(predicted[0], target[0], high_scores()))

    def test_weight_and_mask(self) -> None:
        mask, weight = torch.tensor([True, False, True, True]), tensor(1, 100, 2, 3)
        masked = matching_loss(P, S, high_scores(), mask=mask, weight=weight)
        assert_close(masked, matching_loss(P[mask], S[mask], high_scores(), weight=weight[mask]))

    def test_half_precision(self) -> None:
        predicted = P.bfloat16().detach().requires_grad_()
        loss = matching_loss(predicted, S.bfloat16(), high_scores())
        assert loss.dtype == torch.float32
        loss.backward()
        assert predicted.grad is not None
        assert predicted.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("loss", [matching_loss, fenchel_young_loss])
class TestErrors:
    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"predicted": [0.1]}, TypeError, "predicted must be a torch.Tensor, got list"),
            (
                {"predicted": torch.tensor([True] * 4)},
                TypeError,
                "predicted must hold real numbers, got dtype torch.bool",
            ),
            ({"target": tensor(0.1)}, ValueError, r"must have the shape of predicted, \(4,\), got \(1,\)"),
            ({"target": tensor(0.1, 0.2, 0.3, 0.4).view(4, 1)}, ValueError, r"got \(4, 1\)"),
            ({"target": None}, TypeError, "must be a torch.Tensor, got NoneType"),
            ({"link": "high"}, TypeError, "link must be a Link, got 'high'"),
            ({"link": {"type": "IdentityLink"}}, TypeError, r"Use link_from_config\(config\)"),
            ({"link": SigmoidLink}, TypeError, r"Make one: SigmoidLink\(...\)"),
            ({"mask": torch.ones(4)}, TypeError, "mask must be a boolean tensor .* got torch.float32"),
            (
                {"mask": torch.ones(3, dtype=torch.bool)},
                ValueError,
                r"mask must have the shape of predicted, \(4,\), got \(3,\)",
            ),
            ({"weight": [1, 1, 1, 1]}, TypeError, "weight must be a torch.Tensor, got list"),
            ({"weight": torch.ones(3)}, ValueError, "weight must have the shape of predicted"),
            ({"weight": tensor(1, -1, 1, 1)}, ValueError, "weight must hold finite numbers >= 0, got -1"),
            ({"weight": tensor(1, math.nan, 1, 1)}, ValueError, "weight must hold finite numbers >= 0, got nan"),
            ({"reduction": "avg"}, ValueError, "reduction must be one of 'none', 'mean', 'sum', got 'avg'"),
        ],
    )
    def test_bad_arguments(self, loss: Any, change: dict[str, Any], error: type[Exception], message: str) -> None:
        arguments: dict[str, Any] = {
            "predicted": P,
            "target": tensor(0.1, 0.2, 0.3, 0.4),
            "link": SigmoidLink(),
            **change,
        }
        predicted, target, link = arguments.pop("predicted"), arguments.pop("target"), arguments.pop("link")
        with pytest.raises(error, match=message):
            loss(predicted, target, link, **arguments)


@pytest.mark.parametrize("pos_weight", [0.2, 1.0, 5.0])
def test_a_one_counts_as_much_as_its_weight_says(pos_weight: float) -> None:
    """Against the binary cross entropy of torch, less what it is at the best score."""
    scores = tensor(0.3, -1.2, 2.0, 0.1, 0.7).requires_grad_()
    share = tensor(1.0, 0.25, 0.0, 0.5, 0.75)
    of_torch = torch.nn.functional.binary_cross_entropy_with_logits(
        2 * (scores - 0.5), share, pos_weight=tensor(pos_weight), reduction="none"
    )
    total = 1 + (pos_weight - 1) * share
    best = (pos_weight * share / total).clamp(max=1)
    lowest = total * torch.nn.functional.binary_cross_entropy(best, best, reduction="none")
    link = SigmoidLink(scale=2.0, shift=0.5)
    ours = fenchel_young_loss(scores, share, link, pos_weight=pos_weight, reduction="none")
    assert_close(ours, (of_torch - lowest) / 2, size=largest(of_torch))
    slopes = pos_weight * share * (link(scores) - 1) + (1 - share) * link(scores)
    assert_close(torch.autograd.grad(ours.sum(), scores)[0], slopes)
    # The mean is over the elements; weights of rows and a mask count besides.
    assert_close(fenchel_young_loss(scores, share, link, pos_weight=pos_weight), ours.mean())
    rows, mask = tensor(1.0, 2.0, 0.0, 3.0, 1.0), torch.tensor([True, True, True, True, False])
    padded = torch.where(mask, share, math.nan)
    found = fenchel_young_loss(scores, padded, link, pos_weight=pos_weight, weight=rows, mask=mask)
    assert_close(found, (ours * rows)[:4].sum() / 6)
    assert torch.autograd.grad(found, scores)[0].isfinite().all()


def test_a_weight_of_ones_that_is_none() -> None:
    for pos_weight in (0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="pos_weight must be a finite number > 0"):
            fenchel_young_loss(P, S, SigmoidLink(), pos_weight=pos_weight)
    with pytest.raises(ValueError, match=r"labels must lie from 0 to 1 for a pos_weight, .* from 0 to 2"):
        fenchel_young_loss(P, tensor(0.0, 1.0, 2.0, 0.5), IdentityLink(), pos_weight=2.0)
    empty = fenchel_young_loss(tensor(), tensor(), SigmoidLink(), pos_weight=2.0)
    assert empty == 0
