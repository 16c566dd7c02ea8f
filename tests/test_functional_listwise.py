"""Listwise losses on tensors: 50-digit references, identities, limits, padding, masks, gradients."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import mpmath as mp
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from selective_st.functional import listwise_label_loss, listwise_matching_loss
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink, SinhLink, high_scores
from tests import random_inputs
from tests.link_cases import LINK_CASES, From1, LinkCase
from tests.loss_references import composite_divergence, listwise_label, listwise_matching
from tests.tolerances import DTYPES, SCORE, accuracy, assert_close, assert_within, largest, rounding

pytestmark = pytest.mark.numerical

BY_NAME = {case.name: case for case in LINK_CASES}
# Each with the scores on which it is tried.
CASES = {
    "constant": (-1.0, 1.0),
    "identity": (-1.0, 1.0),
    "sigmoid(20, 0.8)": (-1.0, 1.0),
    "sinh(5, 0.5)": (-1.0, 1.0),
    "exponential(5)": (-1.0, 1.0),
    "exponential(-20)": (0.0, 1.0),
    "piecewise": (-1.0, 1.5),
    "0.3 identity + sigmoid": (-1.0, 1.0),
    "exponential(5), linear outside": (-2.0, 2.0),
    "own link: arctan": (-1.0, 1.0),
}
POSITIVE_CASES = {
    "constant": (-1.0, 1.0),
    "identity": (0.0, 1.0),
    "sigmoid(20, 0.8)": (-1.0, 1.0),
    "exponential(5)": (-1.0, 1.0),
    "piecewise": (-1.0, 1.5),
    "0.3 identity + sigmoid": (0.0, 1.0),
    "exponential(5), linear outside": (0.0, 2.0),
    "own link: arctan": (0.0, 1.0),
}


def scores(low: float, high: float, *shape: int, seed: int) -> Tensor:
    """Single-precision numbers, as doubles."""
    unit = torch.rand(*shape, generator=random_inputs.generator(seed))
    return (low + (high - low) * unit).double()


def lists(name: str, ranges: dict[str, tuple[float, float]] = CASES, n: int = 4) -> tuple[LinkCase, Tensor, Tensor]:
    """A link, predicted and target scores: far from each other, near, as near as 1e-6, some candidates equal."""
    low, high = ranges[name]
    target = scores(low, high, 7, n, seed=1)
    predicted = scores(low, high, 7, n, seed=2)
    for row, near in ((1, 1e-1), (2, 1e-2), (3, 1e-3), (4, 1e-5), (5, 1e-6)):
        predicted[row] = target[row] + near * scores(-1, 1, n, seed=row)
    predicted[6, :2] = target[6, :2]
    return BY_NAME[name], predicted.clamp(low, high).float().double(), target


def logits(case: LinkCase, temperature: float, scores: Tensor) -> Tensor:
    return case.link.potential(scores) / temperature


def assert_close_to_reference(ours: Tensor, reference: list[Any], exponent: float, size: float | Tensor) -> None:
    """Relative to each value, or to the largest of a row; or to `size`, where terms cancel in double precision."""
    numbers = [[float(x) for x in row] if isinstance(row, list) else float(row) for row in reference]
    expected = torch.tensor(numbers, dtype=torch.float64)
    error = (ours.double() - expected).abs()
    values = expected.abs() if expected.dim() == 1 else expected.abs().amax(1, keepdim=True)
    allowed = accuracy(ours.dtype, exponent) * values + rounding(torch.float64, SCORE, exponent) * size
    assert (error <= allowed).all(), (error / allowed).max()


def assert_matches_reference(
    name: str, temperature: float, dtype: torch.dtype, rows: int, matched: LinkCase | None = None, **settings: Any
) -> None:
    """Value and gradient of some lists; `matched` is the case of another link of the calibration."""
    case, predicted, target = lists(name)
    predicted, target = predicted[:rows], target[:rows]
    ours = predicted.to(dtype).requires_grad_()
    of_link = {} if matched is None else {"calibration_link": matched.link}
    loss = listwise_matching_loss(
        ours, target.to(dtype), case.link, temperature, reduction="none", **settings, **of_link
    )
    assert loss.dtype == dtype
    reference = [
        listwise_matching(p, s, case, temperature, calibration_case=matched, **settings)
        for p, s in zip(predicted.tolist(), target.tolist(), strict=True)
    ]
    at, of_target = (
        logits(case, temperature, predicted),
        logits(case, settings.get("target_temperature", temperature), target),
    )
    exponent = largest(at, of_target)
    # In nats, where a loss is next to nothing though the lists differ; its gradient in shares of the steepest score;
    # where the lists are nearly the same, the terms are nearly nothing too.
    near = (at - of_target).abs().amax(1).clamp(max=1)
    assert_close_to_reference(loss, [value for value, _ in reference], exponent, near.square())
    (gradient,) = torch.autograd.grad(loss.sum(), ours)
    steepest = largest(*(of.link(scores) for of in (case, matched or case) for scores in (predicted, target)))
    steepest *= max(1.0, settings.get("calibration", 1.0)) / temperature
    assert_close_to_reference(gradient, [row for _, row in reference], exponent, steepest * near.unsqueeze(1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("name", CASES)
class TestMatchingReference:
    def test_value_and_gradient(self, name: str, temperature: float, dtype: torch.dtype) -> None:
        assert_matches_reference(name, temperature, dtype, rows=7)

    def test_settings(self, name: str, temperature: float, dtype: torch.dtype) -> None:
        other = {"matched": BY_NAME["exponential(5)"], "target_temperature": 2 * temperature}
        for settings in ({"calibration": 0.1}, {"calibration": 0.0}, {"target_temperature": 0.3}):
            assert_matches_reference(name, temperature, dtype, rows=2, **settings)  # type: ignore[arg-type]
        assert_matches_reference(name, temperature, dtype, rows=2, calibration=2.5, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_the_bregman_divergence_of_the_composite(name: str) -> None:
    case, predicted, target = lists(name)
    for p, s in zip(predicted.tolist(), target.tolist(), strict=True):
        for temperature in (0.05, 1.0):
            value, gradient = listwise_matching(p, s, case, temperature)
            definition = composite_divergence(p, s, case, temperature)
            assert abs(value - definition) <= mp.mpf("1e-30") * abs(definition) + mp.mpf("1e-40")
            step = mp.mpf("1e-12")
            if min(abs(x - knot) for x in p for knot in (0.0, 0.25, 0.5, 0.75, 0.875, 1.0)) > 1e-6:
                raised = [mp.mpf(p[0]) + step, *map(mp.mpf, p[1:])]
                lowered = [mp.mpf(p[0]) - step, *map(mp.mpf, p[1:])]
                slope = composite_divergence(raised, s, case, temperature)
                slope = (slope - composite_divergence(lowered, s, case, temperature)) / (2 * step)
                # A difference is off by the square of the step and the third derivative.
                third = (abs(case.h(mp.mpf(p[0]))) + 100) ** 3 / mp.mpf(temperature) ** 3
                assert abs(slope - gradient[0]) <= mp.mpf("1e-6") * max(abs(x) for x in gradient) + step**2 * third


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("name", POSITIVE_CASES)
def test_label_reference(name: str, temperature: float, dtype: torch.dtype) -> None:
    case, predicted, _ = lists(name, POSITIVE_CASES)
    positives = torch.tensor([0, 3, 1, 2, 0, 1, 3])
    one_hot = torch.nn.functional.one_hot(positives, 4).double()
    several = torch.tensor([[1, 0, 1, 0]] * 4 + [[1, 1, 1, 1]] * 3)
    probabilities = scores(0, 1, 7, 4, seed=9)
    probabilities = (probabilities / probabilities.sum(1, keepdim=True)).to(dtype)
    probabilities = probabilities / probabilities.sum(1, keepdim=True)
    forms: list[tuple[Tensor, Tensor]] = [
        (positives, one_hot),
        (several, several / several.sum(1, keepdim=True)),
        (several.bool(), several / several.sum(1, keepdim=True)),
        (several.to(dtype), several / several.sum(1, keepdim=True)),
        (probabilities, probabilities.double()),
    ]
    for labels, as_probabilities in forms:
        for smoothing in (0.0, 0.1):
            ours = predicted.to(dtype).requires_grad_()
            loss = listwise_label_loss(
                ours, labels, case.link, temperature, label_smoothing=smoothing, reduction="none"
            )
            reference = [
                listwise_label(p, y, case, temperature, label_smoothing=smoothing)
                for p, y in zip(predicted.tolist(), as_probabilities.double().tolist(), strict=True)
            ]
            assert loss.dtype == dtype
            # A loss near 0 is a difference of potentials; a share near 0 or 1 is multiplied by the link's value.
            terms = logits(case, temperature, predicted).abs()
            exponent = largest(terms)
            assert_close_to_reference(loss, [value for value, _ in reference], exponent, terms.amax(1))
            (gradient,) = torch.autograd.grad(loss.sum(), ours)
            steepest = case.link(predicted).abs() / temperature
            assert_close_to_reference(gradient, [row for _, row in reference], exponent, steepest)


class TestIdentities:
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_the_constant_link_is_the_plain_divergence_of_softmaxes(self, dtype: torch.dtype, seed: int) -> None:
        torch.manual_seed(random_inputs.seed_of(seed))
        for rows in (1, 2, 7, 64):
            for n in (2, 4):
                for t, t_target in ((1.0, None), (0.3, None), (0.5, 2.0)):
                    predicted = torch.randn(rows, n, dtype=dtype, requires_grad=True)
                    target = torch.randn(rows, n, dtype=dtype)
                    ours = listwise_matching_loss(predicted, target, ConstantLink(), t, target_temperature=t_target)
                    theirs = kl_div(
                        (predicted / t).log_softmax(1), (target / (t_target or t)).softmax(1), reduction="batchmean"
                    )
                    # ListNet: the cross entropy of the softmaxes, which is the divergence plus the target's entropy.
                    q = (target / (t_target or t)).softmax(1)
                    list_net = cross_entropy(predicted / t, q) - torch.special.entr(q).sum(1).mean()
                    # The entropy, and the terms of the divergence, are about as large as the logits.
                    reach = largest(predicted / t, target / (t_target or t))
                    for other in (theirs, list_net):
                        assert_close(ours, other, size=reach)
                        assert_close(
                            torch.autograd.grad(ours, predicted, retain_graph=True),
                            torch.autograd.grad(other, predicted, retain_graph=True),
                            exponent=reach,
                            size=1 / t / rows,  # a score's share in a mean of rows, where one probability is nearly 1
                        )

    @pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_with_weights_of_classes_it_is_cross_entropy_with_them(self, smoothing: float, reduction: Any) -> None:
        generator = random_inputs.generator(0)
        predicted = torch.randn(9, 4, dtype=torch.float64, generator=generator, requires_grad=True)
        weight = torch.tensor([0.5, 0.0, 2.0, 1.0], dtype=torch.float64)
        indices = torch.tensor([0, 2, 1, 3, 3, 0, 1, 0, 2])  # some of a class of weight 0
        probabilities = torch.softmax(torch.randn(9, 4, dtype=torch.float64, generator=generator), 1)
        for labels in (indices, probabilities):
            options: dict[str, Any] = {"label_smoothing": smoothing, "reduction": reduction}
            ours = listwise_label_loss(predicted, labels, ConstantLink(), 0.3, class_weight=weight, **options)
            theirs = cross_entropy(predicted / 0.3, labels, weight, **options)
            assert_close(ours, theirs)
            gradients = (torch.autograd.grad(each.sum(), predicted)[0] for each in (ours, theirs))
            assert_close(*gradients)
        # Weights of rows besides, and a row of which nothing counts.
        rows, mask = torch.rand(9, dtype=torch.float64, generator=generator), torch.ones(9, 4, dtype=torch.bool)
        mask[4] = False
        each = cross_entropy(predicted / 0.3, indices, weight, reduction="none") * rows
        of_rows = listwise_label_loss(
            predicted,
            indices,
            ConstantLink(),
            0.3,
            class_weight=weight,
            weight=rows,
            mask=mask,
        )
        kept = mask.any(1)
        assert_close(of_rows, each[kept].sum() / (rows * weight[indices])[kept].sum())

    @pytest.mark.parametrize(
        ("weight", "error", "message"),
        [
            ([1.0, 2.0], TypeError, "class_weight must be a torch.Tensor, got list"),
            (torch.ones(3), ValueError, r"one number for each class, \(2,\), got \(3,\)"),
            (torch.tensor([1.0, -1.0]), ValueError, "finite numbers >= 0, got -1"),
            (torch.tensor([1.0, math.nan]), ValueError, "finite numbers >= 0"),
        ],
    )
    def test_weights_of_classes_that_are_none(self, weight: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            listwise_label_loss(torch.rand(3, 2), torch.tensor([0, 1, 0]), ConstantLink(), class_weight=weight)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
    def test_the_constant_link_is_cross_entropy(self, dtype: torch.dtype, smoothing: float) -> None:
        for rows in (1, 2, 7, 64):
            for n in (2, 4):
                predicted = torch.randn(rows, n, dtype=dtype, requires_grad=True)
                positives = torch.randint(n, (rows,))
                probabilities = torch.rand(rows, n, dtype=dtype).add(0.1)
                probabilities = probabilities / probabilities.sum(1, keepdim=True)
                for labels in (positives, probabilities):
                    ours = listwise_label_loss(predicted, labels, ConstantLink(), 0.3, label_smoothing=smoothing)
                    theirs = cross_entropy(predicted / 0.3, labels, label_smoothing=smoothing)
                    reach = largest(predicted) / 0.3
                    assert_close(ours, theirs, size=reach)
                    found = [torch.autograd.grad(loss, predicted) for loss in (ours, theirs)]
                    assert_close(*found, exponent=reach, size=1 / 0.3 / rows)

    def test_a_list_of_two_with_a_positive_is_the_pairwise_loss(self) -> None:
        from selective_st.functional import pairwise_loss

        predicted = torch.randn(20, 2, dtype=torch.float64)
        positives = torch.zeros(20, dtype=torch.int64)
        link = ExponentialLink(2.0)
        assert_close(
            listwise_label_loss(predicted, positives, link, 0.5), pairwise_loss(*predicted.unbind(1), link, 0.5)
        )

    def test_labels_of_the_predicted_softmax_are_the_minimum(self) -> None:
        predicted = torch.rand(5, 4, dtype=torch.float64, requires_grad=True)
        link = ExponentialLink(2.0)
        labels = (link.potential(predicted.detach()) / 0.3).softmax(1)
        loss = listwise_label_loss(predicted, labels, link, 0.3)
        (gradient,) = torch.autograd.grad(loss, predicted)
        reach = largest(link.potential(predicted)) / 0.3
        steepest = largest(link(predicted)) / 0.3 / len(predicted)
        assert_close(gradient, torch.zeros_like(gradient), exponent=reach, size=steepest)
        assert_close(loss, torch.special.entr(labels).sum(1).mean(), exponent=reach)


class TestLimits:
    @pytest.mark.parametrize("name", CASES)
    def test_at_a_high_temperature_it_is_pointwise(self, name: str) -> None:
        case, predicted, target = lists(name)
        loss = 1e6 * listwise_matching_loss(predicted, target, case.link, 1e6, reduction="none")
        pointwise = case.link.divergence(predicted, target).mean(1)
        # What is left is of the order of G^2 / T, G the size of the potential's differences.
        left = sum(largest(case.link.potential(scores)) for scores in (predicted, target)) ** 2 / 1e6
        assert_within(loss[:2], pointwise[:2], left + 1e6 * rounding(torch.float64))

    def test_at_a_low_temperature_only_the_top_counts(self) -> None:
        case, predicted, target = lists("exponential(5)")
        predicted, target = predicted[:1], target[:1]
        t = 1e-3
        loss = t * listwise_matching_loss(predicted, target, case.link, t)
        top = int(target.argmax())
        of_predicted = case.link.potential(predicted)[0]
        expected = of_predicted.max() - of_predicted[top] + case.link.divergence(predicted, target)[0, top]
        assert_within(loss, expected, t * largest(expected))

    def test_without_calibration_the_divergence_stays(self) -> None:
        case, predicted, target = lists("sigmoid(20, 0.8)")
        loss = listwise_matching_loss(predicted, target, case.link, 0.3, calibration=0)
        log_r, q = (
            (case.link.potential(predicted) / 0.3).log_softmax(1),
            (case.link.potential(target) / 0.3).softmax(1),
        )
        assert_close(loss, kl_div(log_r, q, reduction="batchmean"), size=largest(log_r))
        # Which does not change where every score moves the potential alike.
        shifted = listwise_matching_loss(predicted + 0.3, target, ConstantLink(), 0.3, calibration=0)
        assert_close(shifted, listwise_matching_loss(predicted, target, ConstantLink(), 0.3, calibration=0))

    @pytest.mark.parametrize("name", CASES)
    def test_at_the_target_it_is_zero(self, name: str) -> None:
        case, _, target = lists(name)
        for dtype in (torch.float32, torch.float64):
            predicted = target.to(dtype).requires_grad_()
            loss = listwise_matching_loss(predicted, target.to(dtype), case.link, 0.1)
            assert loss == 0
            loss.backward()
            assert predicted.grad is not None
            assert (predicted.grad == 0).all()

    @pytest.mark.parametrize("name", CASES)
    def test_it_is_never_negative(self, name: str) -> None:
        case, predicted, target = lists(name)
        for dtype in (torch.float32, torch.float64):
            for near in (1e-7, 1e-4, 1.0):
                close = (target + near * (predicted - target)).to(dtype)
                loss = listwise_matching_loss(close, target.to(dtype), case.link, 0.1, reduction="none")
                assert (loss >= 0).all()


def matching(predicted: Tensor, target: Tensor, **arguments: Any) -> Tensor:
    return listwise_matching_loss(predicted, target, high_scores(), 0.2, **arguments)


P, S = (scores(-1, 1, 4, 3, seed=seed) for seed in (1, 2))
Y = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]])
MASK = torch.tensor([[True, True, True], [True, True, False], [True, True, False], [False, True, True]])


def labelled(predicted: Tensor, target: Tensor, **arguments: Any) -> Tensor:
    """Positives where `target` would be; where that is NaN the mask says so."""
    mask = arguments.pop("mask", torch.ones_like(predicted, dtype=torch.bool)) & ~target.isnan()
    labels = torch.where(mask, Y[: len(predicted), : predicted.shape[1]], 0)
    labels = torch.where(mask.any(1, keepdim=True) & (labels.sum(1, keepdim=True) == 0), mask.long(), labels)
    return listwise_label_loss(predicted, labels, high_scores(), 0.2, label_smoothing=0.1, mask=mask, **arguments)


def test_what_does_not_count_needs_no_score_of_the_calibrations_domain() -> None:
    predicted, target = torch.tensor([[2.0, 3.0, 0.0]]), torch.tensor([[2.5, 2.0, math.nan]])
    padded, without = (
        listwise_matching_loss(p, s, ConstantLink(), calibration_link=From1())
        for p, s in ((predicted, target), (predicted[:, :2], target[:, :2]))
    )
    assert_close(padded, without)


@pytest.mark.parametrize("loss", [matching, labelled])
class TestReduction:
    def test_modes(self, loss: Any) -> None:
        each = loss(P, S, reduction="none")
        assert each.shape == (4,)
        assert (each > 0).all()
        assert_close(loss(P, S, reduction="sum"), each.sum())
        assert_close(loss(P, S), each.mean())

    def test_padding_and_mask_are_removal(self, loss: Any) -> None:
        hidden_p, hidden_s = P.masked_fill(~MASK, math.nan), S.masked_fill(~MASK, math.nan)
        each = []
        gradients = torch.zeros_like(P)
        for i, mask in enumerate(MASK):
            left_p = P[i, mask].unsqueeze(0).requires_grad_()
            if loss is matching:
                value = loss(left_p, S[i, mask].unsqueeze(0))
            else:
                value = listwise_label_loss(left_p, Y[i, mask].unsqueeze(0), high_scores(), 0.2, label_smoothing=0.1)
            gradients[i, mask] = torch.autograd.grad(value, left_p)[0][0]
            each.append(value.detach())
        expected = torch.stack(each)
        variants: list[tuple[Tensor, Tensor, dict[str, Any]]] = [
            (P, hidden_s, {}),
            (P, S, {"mask": MASK}),
            (hidden_p, hidden_s, {"mask": MASK}),
            (hidden_p, hidden_s, {}),
        ]
        for predicted, target, arguments in variants:
            ours = predicted.clone().requires_grad_()
            assert_close(loss(ours, target, reduction="none", **arguments), expected)
            mean = loss(ours, target, **arguments)
            assert_close(mean, expected.mean())
            (gradient,) = torch.autograd.grad(mean, ours)
            assert_close(gradient, gradients / 4)
            assert (gradient[~MASK] == 0).all()

    def test_more_padding_changes_nothing(self, loss: Any) -> None:
        wide_p = torch.cat([P, torch.full((4, 2), 0.3, dtype=torch.float64)], 1)
        wide_s = torch.cat([S, torch.full((4, 2), math.nan, dtype=torch.float64)], 1)
        if loss is matching:
            assert_close(loss(wide_p, wide_s, reduction="none"), loss(P, S, reduction="none"))
        else:
            wide_y = torch.cat([Y, torch.zeros(4, 2, dtype=torch.int64)], 1)
            arguments: dict[str, Any] = {"label_smoothing": 0.1, "reduction": "none"}
            wide = listwise_label_loss(wide_p, wide_y, high_scores(), 0.2, mask=~wide_s.isnan(), **arguments)
            assert_close(wide, listwise_label_loss(P, Y, high_scores(), 0.2, **arguments))
            positives = torch.tensor([0, 1, 2, 2])
            assert_close(
                listwise_label_loss(wide_p, positives, high_scores(), 0.2, mask=~wide_s.isnan(), **arguments),
                listwise_label_loss(P, positives, high_scores(), 0.2, **arguments),
            )

    def test_the_order_of_candidates_does_not_matter(self, loss: Any) -> None:
        order = [2, 0, 1]
        if loss is matching:
            assert_close(loss(P[:, order], S[:, order], reduction="none"), loss(P, S, reduction="none"))
        else:
            turned = listwise_label_loss(P[:, order], Y[:, order], high_scores(), 0.2)
            assert_close(turned, listwise_label_loss(P, Y, high_scores(), 0.2))

    def test_a_row_without_candidates_is_zero_and_not_counted(self, loss: Any) -> None:
        target = S.clone()
        target[1] = math.nan
        predicted = P.clone()
        predicted[1, 0] = math.nan
        predicted.requires_grad_()
        each = loss(predicted, target, reduction="none")
        assert each[1] == 0
        kept = [0, 2, 3]
        assert_close(loss(predicted, target), each[kept].mean())
        assert_close(loss(predicted, target, reduction="sum"), each[kept].sum())
        (gradient,) = torch.autograd.grad(loss(predicted, target), predicted)
        assert (gradient[1] == 0).all()
        assert gradient.isfinite().all()

    def test_nothing_left_is_zero_with_a_graph(self, loss: Any) -> None:
        for target, arguments in ((torch.full_like(S, math.nan), {}), (S, {"weight": torch.zeros(4)})):
            predicted = P.clone().requires_grad_()
            value = loss(predicted, target, **arguments)
            assert value == 0
            value.backward()
            assert (predicted.grad == 0).all()

    def test_a_nan_that_counts_stays_visible(self, loss: Any) -> None:
        broken = P.clone()
        broken[0, 1] = math.nan
        assert loss(broken, S).isnan()
        assert loss(broken, S, mask=MASK).isnan()
        assert loss(broken, S, reduction="none")[1:].isfinite().all()

    def test_weights(self, loss: Any) -> None:
        each = loss(P, S, reduction="none")
        weight = torch.tensor([1.0, 2, 0, 3], dtype=torch.float64)
        assert_close(loss(P, S, weight=weight), (each * weight).sum() / 6)
        assert_close(loss(P, S, weight=weight, reduction="sum"), (each * weight).sum())

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, loss: Any, dtype: torch.dtype) -> None:
        predicted = P.to(dtype).requires_grad_()
        value = loss(predicted, S.to(dtype))
        assert value.dtype == torch.float32
        assert_close(value, loss(predicted.detach().float(), S.to(dtype).float()), SCORE)
        value.backward()
        assert predicted.grad is not None
        assert predicted.grad.dtype == dtype
        assert (predicted.grad != 0).any()

    def test_gradients_of_both_orders(self, loss: Any) -> None:
        predicted = P.clone().requires_grad_()
        target = S.masked_fill(~MASK, math.nan)
        for of in (partial(loss, target=S), partial(loss, target=target)):
            assert torch.autograd.gradcheck(of, (predicted,))
            assert torch.autograd.gradgradcheck(of, (predicted,))


@pytest.mark.parametrize(
    "link", [ConstantLink(), IdentityLink(), SigmoidLink(8, 0.3), SinhLink(2, 0), ExponentialLink(-2)], ids=repr
)
def test_matching_gradients_of_both_orders(link: Any) -> None:
    predicted = P.clone().requires_grad_()
    for arguments in ({}, {"calibration": 0.3, "calibration_link": SinhLink(2, 0), "target_temperature": 0.7}):
        loss = partial(listwise_matching_loss, target=S, link=link, temperature=0.4, **arguments)
        assert torch.autograd.gradcheck(loss, (predicted,))
        assert torch.autograd.gradgradcheck(loss, (predicted,))


def test_leading_dimensions() -> None:
    predicted, target = scores(-1, 1, 2, 3, 4, seed=1), scores(-1, 1, 2, 3, 4, seed=2)
    each = matching(predicted, target, reduction="none")
    assert each.shape == (2, 3)
    assert_close(each.flatten(), matching(predicted.view(6, 4), target.view(6, 4), reduction="none"))
    assert matching(predicted[0, 0], target[0, 0], reduction="none").shape == ()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_huge_scores_are_finite(dtype: torch.dtype) -> None:
    link = ExponentialLink(1.0).linear_outside(-1.0, 1.0)
    huge = torch.tensor([[-1e4, 0.0, 1e4], [1e4, 0.0, -1e4], [1e4, 1e4, 1e4]], dtype=dtype)
    target = torch.tensor([[1.0, 0.5, -1e4], [1e4, 1e4, -1e4], [-1e4, 1e4, 0.0]], dtype=dtype)
    for call in (
        lambda p: listwise_matching_loss(p, target, link, 0.05, reduction="none"),
        lambda p: listwise_matching_loss(p, target, ConstantLink(), 0.05, reduction="none"),
        lambda p: listwise_label_loss(p, torch.tensor([0, 1, 2]), ConstantLink(), 0.05, reduction="none"),
    ):
        predicted = huge.clone().requires_grad_()
        loss = call(predicted)
        assert loss.isfinite().all()
        assert (loss >= 0).all()
        (gradient,) = torch.autograd.grad(loss.sum(), predicted)
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("link", "score"), [(ExponentialLink(1.0), 9984.0), (IdentityLink(), 1e9), (IdentityLink(), 0.5)]
)
def test_what_is_never_right_beside_huge_potentials(link: Link, score: float) -> None:
    predicted = torch.full((1, 5), score, dtype=torch.float64)
    target = predicted.clone()
    target[0, 1] = -math.inf
    assert_close(listwise_matching_loss(predicted, target, link), torch.tensor(math.log(5 / 4), dtype=torch.float64))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("top", [2.0, 4.0, 8.0])
def test_far_above_all_targets_it_is_the_cross_entropy_of_the_highest(dtype: torch.dtype, top: float) -> None:
    link = ExponentialLink(5.0)  # whose potential is up to 10^16, where the prediction's is below 10
    predicted = torch.tensor([[0.125, 0.5, 0.25], [0.5, -0.25, 0.375]], dtype=dtype, requires_grad=True)
    target = torch.tensor([[top, top / 2, 1.0], [0.5, 1.0, top]], dtype=dtype)
    never = torch.tensor([[False, False, True], [True, False, False]])
    for these in (target, target.masked_fill(never, -math.inf)):
        loss = listwise_matching_loss(predicted, these, link, calibration=0.0, reduction="none")
        expected = cross_entropy(link.potential(predicted.double()), torch.tensor([0, 2]), reduction="none")
        assert_close(loss, expected.to(dtype))
        gradients = [torch.autograd.grad(value.sum(), predicted)[0] for value in (loss, expected)]
        assert_close(*gradients)
