"""The order loss on tensors, against the double sum over pairs and against the built-in losses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sentence_transformers.cross_encoder.losses import LambdaRankScheme
from sentence_transformers.sentence_transformer.losses import AnglELoss, CoSENTLoss
from torch import Tensor, nn

from selective_st.functional import order, order_loss
from selective_st.functional.pairwise import scheme_weights
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Link,
    PiecewiseLink,
    SigmoidLink,
    high_scores,
)
from tests.random_inputs import generator
from tests.tolerances import FIRST_ORDER, SECOND_ORDER, assert_close

NAN = float("nan")
LINKS: list[Link | None] = [None, ConstantLink(), high_scores(2.0), SigmoidLink(5.0, 0.5)]
WEIGHT_LINKS: list[Link | None] = [
    None,
    IdentityLink(),
    high_scores(3.0),
    SigmoidLink(20.0, 0.8),
    PiecewiseLink([0.5, 0.8], [0.0, 1.0]),
]
EXACT = 1e-12
"""Of the double sum, in double precision."""

SINGLE = 1e-5
"""Of the double sum, in single precision."""


def double_sum(
    predicted: Tensor,
    target: Tensor,
    link: Link | None,
    scale: float,
    weight_link: Link | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """The definition, one pair of pairs after the other."""
    potentials = predicted if link is None else link.potential(predicted)
    total = torch.ones((), dtype=predicted.dtype) + 0 * predicted.sum()
    for i in range(len(target)):
        for j in range(len(target)):
            if target[i] > target[j]:
                rise = 1.0 if weight_link is None else weight_link(target[i]) - weight_link(target[j])
                shares = 1.0 if weight is None else weight[i] * weight[j]
                total = total + rise * shares * (scale * (potentials[j] - potentials[i])).exp()
    return total.log() / scale


def scores(size: int, number: int = 0) -> tuple[Tensor, Tensor]:
    """Predicted scores, and targets of which many are equal."""
    random = generator(number)
    predicted = torch.rand(size, generator=random, dtype=torch.float64, requires_grad=True)
    return predicted, (5 * torch.rand(size, generator=random, dtype=torch.float64)).round() / 5


def value_and_gradient(loss: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    return loss.detach(), torch.autograd.grad(loss, predicted)[0]


@pytest.mark.parametrize("weight_link", WEIGHT_LINKS, ids=repr)
@pytest.mark.parametrize("link", LINKS, ids=repr)
@pytest.mark.parametrize("size", [1, 2, 3, 33])
def test_it_is_the_double_sum(size: int, link: Link | None, weight_link: Link | None) -> None:
    predicted, target = scores(size)
    for scale in (0.5, 5.0, 20.0):
        ours = value_and_gradient(order_loss(predicted, target, link, scale, weight_link=weight_link), predicted)
        theirs = value_and_gradient(double_sum(predicted, target, link, scale, weight_link), predicted)
        for own, other in zip(ours, theirs, strict=True):
            assert (own - other).abs().max() <= EXACT
        single = predicted.detach().float().requires_grad_()
        ours = value_and_gradient(order_loss(single, target.float(), link, scale, weight_link=weight_link), single)
        for own, other in zip(ours, theirs, strict=True):
            assert own.dtype == torch.float32
            assert (own - other).abs().max() <= SINGLE


@pytest.mark.parametrize("weight_link", WEIGHT_LINKS, ids=repr)
def test_rows_have_weights(weight_link: Link | None) -> None:
    predicted, target = scores(12)
    weight = torch.rand(12, generator=generator(3), dtype=torch.float64)
    weight[4] = 0
    ours = order_loss(predicted, target, high_scores(), 5.0, weight_link=weight_link, weight=weight)
    theirs = double_sum(predicted, target, high_scores(), 5.0, weight_link, weight)
    assert (ours - theirs).abs() <= EXACT
    assert torch.autograd.grad(ours, predicted)[0][4] == 0


@pytest.mark.parametrize("weight_link", WEIGHT_LINKS, ids=repr)
def test_what_is_masked_or_has_no_target_is_not_there(weight_link: Link | None) -> None:
    predicted, target = scores(9)
    kept = torch.tensor([True, False, True, True, False, True, True, True, True])
    spoilt = torch.where(kept, predicted, NAN)
    expected = order_loss(predicted[kept], target[kept], None, 5.0, weight_link=weight_link)
    for loss in (
        order_loss(spoilt, target, None, 5.0, weight_link=weight_link, mask=kept),
        order_loss(spoilt, torch.where(kept, target, NAN), None, 5.0, weight_link=weight_link),
        order_loss(predicted, target, None, 5.0, weight_link=weight_link, weight=kept.double()),
    ):
        assert (loss - expected).abs() <= EXACT
        assert torch.autograd.grad(loss, predicted, retain_graph=True)[0].isfinite().all()


@pytest.mark.parametrize("form", ["log_sum_exp", "logistic"])
@pytest.mark.parametrize("target", [[], [0.5], [0.7, 0.7, 0.7], [NAN, NAN, 0.5]])
def test_without_two_targets_that_differ_it_is_0_with_a_graph(target: list[float], form: Any) -> None:
    predicted = torch.rand(len(target), requires_grad=True)
    for weight_link in (None, IdentityLink()):
        loss = order_loss(predicted, torch.tensor(target), weight_link=weight_link, form=form)
        assert loss == 0
        loss.backward()  # type: ignore[no-untyped-call]
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


@pytest.mark.parametrize("weight_link", WEIGHT_LINKS, ids=repr)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3, 1e6])
def test_any_scale(scale: float, weight_link: Link | None) -> None:
    """At a large scale it is the worst confusion, and nothing overflows."""
    predicted = torch.tensor([0.1, 0.9, -0.5, 0.4], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([1.0, 0.0, 0.7, 0.2])
    value, gradient = value_and_gradient(order_loss(predicted, target, None, scale, weight_link=weight_link), predicted)
    assert value.isfinite()
    assert gradient.isfinite().all()
    if scale == 1e6:
        assert value.item() == pytest.approx(0.9 + 0.5, abs=1e-5)
        assert gradient.tolist() == pytest.approx([0.0, 1.0, -1.0, 0.0], abs=1e-5)


def test_a_pair_nearly_right_keeps_its_digits() -> None:
    predicted, target = torch.tensor([1.0, -1.0], dtype=torch.float64), torch.tensor([1.0, 0.0])
    assert order_loss(predicted, target, None, 20.0).item() == pytest.approx(math.exp(-40) / 20, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    predicted, target = scores(16)
    half = predicted.detach().to(dtype).requires_grad_()
    loss = order_loss(half, target.to(dtype), high_scores())
    expected = order_loss(half.detach().double(), target.to(dtype).double(), high_scores())
    assert loss.dtype == torch.float32
    assert (loss - expected).abs() <= SINGLE
    assert torch.autograd.grad(loss, half)[0].dtype == dtype


@pytest.mark.parametrize("weight_link", WEIGHT_LINKS, ids=repr)
@pytest.mark.parametrize("form", ["log_sum_exp", "logistic"])
def test_derivatives(form: Any, weight_link: Link | None) -> None:
    predicted, target = scores(7)

    def loss(p: Tensor) -> Tensor:
        return order_loss(p, target, high_scores(), 3.0, weight_link=weight_link, form=form)

    assert torch.autograd.gradcheck(loss, predicted, **FIRST_ORDER)
    assert torch.autograd.gradgradcheck(loss, predicted, **SECOND_ORDER)
    for transformed in (torch.func.grad(loss)(predicted), torch.func.vmap(torch.func.grad(loss))(predicted[None])[0]):
        assert_close(transformed, torch.autograd.grad(loss(predicted), predicted)[0])


@pytest.mark.parametrize("size", [5, 2000])
@pytest.mark.parametrize("builtin", [CoSENTLoss, AnglELoss])
def test_cosent(builtin: type[Any], size: int) -> None:
    """Without a weight link it is `CoSENTLoss`, divided by its scale; so with the angle similarity `AnglELoss`."""
    random = generator(1)
    target = (20 * torch.rand(size, generator=random)).round() / 20
    embeddings = [torch.randn(size, 8, generator=random, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    theirs = builtin(nn.Identity(), scale=5.0)
    predicted = theirs.similarity_fct(*embeddings)
    ours = order_loss(predicted, target, ConstantLink(), 5.0)
    expected = theirs.compute_loss_from_embeddings(embeddings, target) / 5.0
    assert_close(ours, expected, 4 * size)
    for own, other in zip(
        torch.autograd.grad(ours, embeddings, retain_graph=True), torch.autograd.grad(expected, embeddings), strict=True
    ):
        assert_close(own, other, 4 * size)


# --- Lists --------------------------------------------------------------------------------------------------------


def lists() -> tuple[Tensor, Tensor]:
    """Three lists of up to four documents, graded from 0 to 3."""
    predicted = torch.randn(3, 4, generator=generator(2), dtype=torch.float64, requires_grad=True)
    return predicted, torch.tensor([[0.0, 2, 1, 3], [1, 1, 0, NAN], [3, 0, NAN, NAN]], dtype=torch.float64)


def mean_over_pairs(weights: Any) -> Tensor:
    """The mean over the pairs of the lists of `w softplus(2 (p_j - p_i))`, one after the other."""
    predicted, target = lists()
    terms = [
        weights(row, i, j) * nn.functional.softplus(2.0 * (predicted[row, j] - predicted[row, i]))
        for row in range(3)
        for i in range(4)
        for j in range(4)
        if target[row, i] > target[row, j]
    ]
    return torch.stack(terms).mean()


def test_lists_have_the_logistic_form() -> None:
    predicted, target = lists()
    assert_close(order_loss(predicted, target, None, 2.0), mean_over_pairs(lambda *_: 1.0))
    for link in (IdentityLink(), SigmoidLink(3.0, 2.0)):

        def rise(row: int, i: int, j: int, link: Link = link) -> Tensor:
            return link(target[row, i]) - link(target[row, j])

        assert_close(order_loss(predicted, target, None, 2.0, weight_link=link), mean_over_pairs(rise))


@pytest.mark.parametrize("k", [None, 1, 2])
def test_with_the_gains_of_ndcg_and_discounts_it_is_lambda_rank(k: int | None) -> None:
    predicted, target = lists()
    known = ~target.isnan()
    weights = scheme_weights(predicted, target, LambdaRankScheme(), k)
    ranks = predicted.detach().masked_fill(~known, -math.inf).argsort(descending=True).argsort()

    def is_pair(row: int, i: int, j: int) -> bool:
        return bool(target[row, i] > target[row, j]) and (k is None or int(min(ranks[row, i], ranks[row, j])) < k)

    terms = [
        weights[row, i, j] * nn.functional.softplus(predicted[row, j] - predicted[row, i])
        for row in range(3)
        for i in range(4)
        for j in range(4)
        if is_pair(row, i, j)
    ]
    gains = ExponentialLink(math.log(2.0))
    ours = order_loss(predicted, target, None, 1.0, weight_link=gains, discounts=True, k=k)
    assert_close(ours, torch.stack(terms).mean())


def test_a_list_that_is_padded_or_weighs_nothing_is_not_there() -> None:
    predicted, target = lists()
    padded = torch.cat([predicted, torch.full((3, 2), NAN)], 1)
    more = torch.cat([target, torch.full((3, 2), NAN)], 1)
    assert_close(order_loss(padded, more, None, 2.0), order_loss(predicted, target, None, 2.0))
    weighted = order_loss(predicted, target, None, 2.0, weight=torch.tensor([1.0, 0.0, 1.0]))
    assert_close(weighted, order_loss(predicted[[0, 2]], target[[0, 2]], None, 2.0))
    assert torch.autograd.grad(order_loss(padded, more), predicted)[0].isfinite().all()


# --- What is wrong ------------------------------------------------------------------------------------------------

P, Y = torch.tensor([0.2, 0.7]), torch.tensor([0.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0}, "order_loss: scale must be a finite number > 0, got 0"),
        ({"target": Y[:1]}, r"order_loss: target must have the shape of predicted, \(2,\), got \(1,\)"),
        ({"weight_link": ConstantLink()}, r"weight_link must rise .* Use IdentityLink\(\)"),
        ({"link": IdentityLink(), "predicted": -P}, "link must not be negative on the scores"),
        ({"form": "hinge"}, "form must be one of 'log_sum_exp', 'logistic', got 'hinge'"),
        ({"discounts": True}, "discounts is for lists"),
        ({"k": 1}, "k is for lists"),
        ({"k": 0, "form": "logistic"}, "k must be a whole number of at least 1, got 0"),
        (
            {"predicted": torch.tensor(0.5), "target": torch.tensor(1.0)},
            r"predicted must have the shape \(n,\).*got \(\)",
        ),
        (
            {"predicted": P[None], "target": Y[None], "form": "log_sum_exp"},
            r"predicted must have the shape \(n,\) for .* got \(1, 2\). Use predicted.flatten\(\)",
        ),
    ],
)
def test_wrong_values(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        order_loss(**{"predicted": P, "target": Y, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": [0.0, 1.0]}, "target must be a torch.Tensor, got list"),
        ({"link": 3}, "link must be a Link, got 3"),
        ({"weight_link": high_scores}, "weight_link must be a Link"),
        ({"scale": "20"}, "scale must be a finite number > 0, got '20' of type str"),
        ({"k": "2", "form": "logistic"}, "k must be a whole number of at least 1, got '2'"),
        ({"mask": torch.ones(2)}, "mask must be a boolean tensor"),
    ],
)
def test_wrong_types(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        order_loss(**{"predicted": P, "target": Y, **arguments})


@pytest.mark.parametrize("scale", [0.5, 20.0, 5000.0])
@pytest.mark.parametrize("weight_link", [None, IdentityLink(), SigmoidLink(20, 0.5)], ids=repr)
@pytest.mark.parametrize("with_weights", [False, True])
def test_few_pairs_are_summed_up_as_many_are(
    monkeypatch: pytest.MonkeyPatch, scale: float, weight_link: Link | None, with_weights: bool
) -> None:
    numbers = generator(7)
    predicted = torch.rand(40, generator=numbers, dtype=torch.float64)
    target = torch.randint(0, 6, (40,), generator=numbers) / 5
    weight = torch.randint(0, 3, (40,), generator=numbers).double() if with_weights else None
    found = []
    for few in (0, 40):
        monkeypatch.setattr(order, "_FEW_PAIRS", few)
        scores = predicted.clone().requires_grad_()
        loss = order_loss(scores, target, None, scale, weight_link=weight_link, weight=weight)
        found.append((loss.detach(), *torch.autograd.grad(loss, scores)))
    for many, few_ones in zip(*found, strict=True):
        torch.testing.assert_close(few_ones, many, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("size", [20, 150])
def test_weights_and_scores_may_be_huge(size: int) -> None:
    """Neither a weight of e^300 nor the rounding of scores of 10^18 overflows."""
    numbers = generator(0)
    predicted, target = (2 * torch.rand(size, generator=numbers, dtype=torch.float64) - 1 for _ in range(2))
    steep, flat = high_scores(3.0), PiecewiseLink([-0.5, 0.5], [0.0, 2.0])
    scores, labels = predicted + 100, target + 100
    values = steep(labels)
    rises = values.unsqueeze(1) - values
    exponents = 20 * (flat.potential(scores) - flat.potential(scores).unsqueeze(1)) + rises.clamp(min=0).log()
    expected = torch.cat([torch.zeros(1, dtype=torch.float64), exponents.flatten()]).logsumexp(0) / 20
    for weight in (None, torch.full((size,), 1e60, dtype=torch.float64)):
        more = 0.0 if weight is None else 120 * math.log(10) / 20
        ours = order_loss(scores, labels, flat, 20.0, weight_link=steep, weight=weight)
        assert ours.item() == pytest.approx(expected.item() + more, rel=1e-12)
    for scale in (1e17, 1e18, 3e18, 6e18, 1e19, 1e30):
        loss = order_loss(scale * predicted, target, None, 1.0, weight_link=SigmoidLink(20.0, 0.8))
        pairs = target.unsqueeze(1) > target
        worst = torch.where(pairs, scale * (predicted - predicted.unsqueeze(1)), 0).amax()
        assert loss.item() == pytest.approx(worst.item(), rel=1e-9)
