"""Links of any parameters, at scores as far out as floats go: right, or infinite where the right value is too large.

`make accuracy` runs this with 20,000 links.
"""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import torch
from torch import Tensor

from selective_st.functional import (
    fenchel_young_loss,
    listwise_label_loss,
    listwise_matching_loss,
    matching_loss,
)
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    Interval,
    Link,
    SigmoidLink,
    SinhLink,
    high_scores,
    low_scores,
    score_region,
)
from tests.far_out import DIGITS, RandomLinks, reference, tensors, within

PAIRS = 6
LARGEST = torch.finfo(torch.float64).max


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_random_links(dtype: torch.dtype, pytestconfig: pytest.Config) -> None:
    made = RandomLinks(seed=0)
    failures = []
    with mp.workdps(DIGITS):
        for _ in range(pytestconfig.getoption("--far-out-cases") // 2):
            link = made.link()
            p, s = tensors([made.scores() for _ in range(PAIRS)], dtype)
            divergence = link.divergence(p, s)
            to_p, to_s = torch.autograd.grad(divergence.sum(), [p, s])
            exact = reference(link)
            for p_, s_, *found in zip(*(x.tolist() for x in (p, s, divergence, to_p, to_s)), strict=True):
                right = [mp.mpf(0)] * 3
                if p_ != s_:
                    right = [exact.divergence(p_, s_), exact.difference(p_, s_), exact.to_target(p_, s_)]
                for name, value, number in zip(("divergence", "to p", "to s"), found, right, strict=True):
                    if not within(value, number, dtype):
                        failures.append(f"{name} of {link!r} at {p_!r}, {s_!r}: {value!r}, not {mp.nstr(number, 8)}")
    assert not failures, f"{len(failures)} wrong:\n" + "\n".join(failures[:20])


def test_the_reference_tells_wrong_values() -> None:
    for dtype in (torch.float64, torch.float32):
        assert within(1.0, mp.mpf(1), dtype)
        assert not within(1.0001, mp.mpf(1), dtype)
        assert not within(math.nan, mp.mpf(0), dtype)
        assert not within(math.inf, mp.mpf(1), dtype)
        assert not within(1.0, mp.mpf(10) ** 400, dtype)
        assert within(math.inf, mp.mpf(10) ** 400, dtype)
        assert not within(-math.inf, mp.mpf(10) ** 400, dtype)


class Cubic(Link):
    def h(self, z: Tensor) -> Tensor:
        return z**3


class Arctan(Link):
    def h(self, z: Tensor) -> Tensor:
        return torch.atan(z)


class Root(Link):
    domain = Interval(0.0, math.inf)

    def h(self, z: Tensor) -> Tensor:
        return z.sqrt()


class Logarithm(Link):
    domain = Interval(0.0, math.inf)

    def h(self, z: Tensor) -> Tensor:
        return torch.log(z)


class Growing(Link):
    def h(self, z: Tensor) -> Tensor:
        return torch.exp(z)


OWN = [Cubic(), Arctan(), Root(), Logarithm(), Growing()]
STEEP = [
    *OWN,
    2.5 * Cubic() + 1e-3 * Growing(),
    Root() + SigmoidLink(1e3, 0.5),
    Growing().linear_outside(None, 1.0),
    SinhLink(1e3, 50.0) + ExponentialLink(1e3),  # infinite in both directions at once
    ExponentialLink(-1e3).linear_outside(None, 0.5),
    ConstantLink() + high_scores(500),
    high_scores(500, (0.0, 1e-3)),
    score_region(0.6, 0.8, 500),
]


@pytest.mark.parametrize("link", STEEP, ids=repr)
def test_never_nan_however_far_out(link: Link) -> None:
    positive = [0.0, 1e-300, 0.5, 1.0, 709.0, 710.0, 1e4, 1e110, 1e155, 1e300, LARGEST]
    every = torch.tensor([*positive, *(-score for score in positive)], dtype=torch.float64)
    every = every[(every >= link.domain.low) & (every <= link.domain.high)].unique()
    p, s = (x.flatten().requires_grad_() for x in torch.meshgrid(every, every, indexing="ij"))
    divergence = link.divergence(p, s)
    gradients = torch.autograd.grad(divergence.sum(), [p, s])
    assert (divergence >= 0).all()
    for values in (divergence, *gradients):
        assert not values.isnan().any()
        assert (values[p == s] == 0).all()
    assert (gradients[0].sign() * (p - s).sign() >= 0).all()
    if link._is_exact_far_out:
        assert not link.potential(every[every.abs() <= 1e300]).isnan().any()
        assert not link.sensitivity(every).isnan().any()


def test_what_a_weight_brings_back_into_range() -> None:
    """e^750 is beyond all floats, but not where the link is normalised."""
    link, score = high_scores(500), torch.tensor(1.5, dtype=torch.float64)
    assert_within(link(score), mp.exp(750) / (mp.exp(500) - 1))
    assert_within(link.potential(score), mp.exp(750) / (mp.exp(500) - 1) / 500)
    assert_within(link.sensitivity(score), 500 * mp.exp(750) / (mp.exp(500) - 1))
    assert_within((1e-300 * SinhLink(10, 0)).potential(score * 60), mp.mpf(1e-300) * mp.cosh(900) / 10)


def assert_within(value: Tensor, exact: object) -> None:
    assert within(float(value), exact, torch.float64)


SCORES_NEAR_OVERFLOW = [
    (SinhLink(9.124447558845517, 0.7192304533215058), 79.00175554623745, 79.00175551209894),
    (ExponentialLink(10.0), 71.2, 71.2 - 1e-8),
    (1e-3 * ExponentialLink(-10.0), -71.5, -71.5 + 1e-8),
    (ExponentialLink(10.0).linear_outside(0.0, None), 71.2, 71.2 - 1e-8),
]


@pytest.mark.parametrize(("link", "p", "s"), SCORES_NEAR_OVERFLOW)
def test_the_slope_to_a_near_target_where_the_sensitivity_overflows(link: Link, p: float, s: float) -> None:
    (p_, s_), (p, s) = tensors([(p, s)], torch.float64), (p, s)
    with mp.workdps(DIGITS):
        right = reference(link).to_target(p, s)
    assert link.sensitivity(s_.detach()).isinf().all()
    assert abs(right) < LARGEST
    assert within(float(torch.autograd.grad(link.divergence(p_, s_).sum(), s_)[0]), right, torch.float64)
    (at_match,) = torch.autograd.grad(link.divergence(s_.detach(), s_).sum(), s_)
    assert at_match == 0


def test_a_weight_reaches_into_what_goes_on_linearly() -> None:
    link = 1e-10 * ExponentialLink(10.0).linear_outside(0.0, None)
    assert_within(link(torch.tensor(72.0, dtype=torch.float64)), mp.mpf(1e-10) * mp.exp(720))


class TestLinkValues:
    FAR = torch.tensor([-1e4, -800.0, -1.0, 0.0, 1.0, 800.0, 1e4], dtype=torch.float64)

    @pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
    def test_every_derivative(self, value: float) -> None:
        p = self.FAR.clone().requires_grad_()
        loss = fenchel_young_loss(p, torch.full_like(p, value), SigmoidLink(), reduction="sum")
        (first,) = torch.autograd.grad(loss, p, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), p, create_graph=True)
        (third,) = torch.autograd.grad(second.sum(), p)
        sigmoid = self.FAR.sigmoid()
        torch.testing.assert_close(first, sigmoid - value)
        torch.testing.assert_close(second, sigmoid * (-self.FAR).sigmoid())
        torch.testing.assert_close(third, sigmoid * (-self.FAR).sigmoid() * (1 - 2 * sigmoid))

    @pytest.mark.parametrize(
        ("link", "value", "expected"),
        [
            (3.0 * SigmoidLink(2.0, 0.5) + 2.0 * SigmoidLink(1.0, 0.0), 5.0, "both tails"),
            (3.0 * SigmoidLink(2.0, 0.5) + 2.0 * SigmoidLink(1.0, 0.0), 0.0, "both tails"),
            (2.0 * SigmoidLink(2.0, 0.5) + 3.0 * ExponentialLink(1.5), 0.0, "both tails"),
            (low_scores(), 0.0, "potential"),
            (high_scores().linear_outside(None, 1.0), 0.0, "potential"),
        ],
    )
    def test_ends_that_a_link_only_approaches(self, link: Link, value: float, expected: str) -> None:
        p = torch.tensor([-0.5, 0.2, 0.9], dtype=torch.float64)
        loss = link.fenchel_young(p, torch.full_like(p, value))
        if expected == "potential":
            torch.testing.assert_close(loss, link.potential(p))
            return
        parts = zip(link.weights, link.links, strict=True)  # type: ignore[attr-defined]
        ends = 0.0 if value == 0 else 1.0
        tails = sum(weight * part.fenchel_young(p, torch.full_like(p, ends)) for weight, part in parts)
        torch.testing.assert_close(loss, tails)

    def test_an_end_without_sensitivity_beside_one_that_is_approached(self) -> None:
        link = score_region(0.2, 0.4).links[0]  # type: ignore[attr-defined]
        flat = type(link)((0.0, 0.5, 1.0), (0.0, 2.0, 0.0))
        p = torch.tensor([-0.5, 0.2, 0.9, 3.0], dtype=torch.float64)
        both = flat + 2.0 * SigmoidLink(3.0, 0.5)
        for value in (0.0, 1.0):
            expected = flat.divergence(p, torch.full_like(p, value)) + 2 * SigmoidLink(3.0, 0.5).fenchel_young(
                p, torch.full_like(p, value)
            )
            torch.testing.assert_close(both.fenchel_young(p, torch.full_like(p, 3.0 * value)), expected)

    def test_an_own_link_does_not_guess_its_tail(self) -> None:
        for link in (Arctan(), Arctan() + SigmoidLink(), Arctan().linear_outside(None, 3.0)):
            with pytest.raises(ValueError, match="the loss is infinite for the link value"):
                link.fenchel_young(torch.zeros(2), torch.full((2,), link.range.low))


@pytest.mark.parametrize("link", [ExponentialLink(5), high_scores(), SinhLink(10, 0)], ids=repr)
def test_a_weight_of_0_leaves_out_what_overflows(link: Link) -> None:
    p = torch.tensor([0.2, 1e4, 0.9], dtype=torch.float64, requires_grad=True)
    s, weight = torch.tensor([0.1, 0.0, 0.8]), torch.tensor([1.0, 0.0, 3.0])
    loss = matching_loss(p, s, link, weight=weight)
    (gradient,) = torch.autograd.grad(loss, p)
    there = weight > 0
    expected = matching_loss(p[there], s[there], link, weight=weight[there])
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, p)[0])


FAR_LISTS = torch.tensor(
    [[0.3, -0.2, 0.9], [1e4, 2e4, 1e4], [-1e4, 0.1, 1e4], [800.0, 801.0, 2.0]], dtype=torch.float64
)


@pytest.mark.parametrize(
    "link", [ExponentialLink(1.0), high_scores(), SinhLink(2.0, 0.1), ConstantLink(), Cubic()], ids=repr
)
class TestLists:
    """Where potentials overflow: finite or infinite, never NaN, and 0 at the match."""

    @pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.1, 2.0)], ids=str)
    @pytest.mark.parametrize("calibration", [0.0, 1.0])
    def test_matching(self, link: Link, temperatures: tuple[float, float], calibration: float) -> None:
        def loss(p: Tensor, s: Tensor) -> Tensor:
            of = temperatures
            arguments = {"calibration": calibration, "target_temperature": of[1], "reduction": "none"}
            return listwise_matching_loss(p, s, link, of[0], **arguments)  # type: ignore[arg-type]

        for target in (*FAR_LISTS, *FAR_LISTS.flip(1)):
            p, s = FAR_LISTS.clone().requires_grad_(), target.expand_as(FAR_LISTS)
            for mask_out in (None, 1):
                s = s if mask_out is None else s.index_fill(1, torch.tensor([mask_out]), math.nan)
                value = loss(p, s)
                assert (value >= 0).all()
                assert not torch.autograd.grad(value.sum(), p)[0].isnan().any()
        if temperatures[0] == temperatures[1]:
            p = FAR_LISTS.clone().requires_grad_()
            assert (loss(p, FAR_LISTS) == 0).all()
            assert (torch.autograd.grad(loss(p, FAR_LISTS).sum(), p)[0] == 0).all()
        # What lies in reach is as it is alone.
        assert_same = torch.testing.assert_close
        assert_same(
            loss(FAR_LISTS, FAR_LISTS.flip(1))[0], loss(FAR_LISTS[:1], FAR_LISTS[:1].flip(1))[0], rtol=0, atol=0
        )

    def test_labels(self, link: Link) -> None:
        lists = FAR_LISTS.abs()
        for labels in (torch.tensor([0, 1, 2, 0]), torch.tensor([[1, 0, 1]] * 4), torch.full((4, 3), 1 / 3)):
            p = lists.clone().requires_grad_()
            value = listwise_label_loss(p, labels, link, 0.5, reduction="none")
            assert (value >= 0).all()
            assert not torch.autograd.grad(value.sum(), p)[0].isnan().any()
