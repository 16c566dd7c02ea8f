"""Links: presets, algebra, configs, and the errors for bad input."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Interval,
    LinearOutsideLink,
    Link,
    PiecewiseLink,
    SigmoidLink,
    SinhLink,
    WeightedSumLink,
    extreme_scores,
    high_scores,
    link_for_thresholds,
    link_from_config,
    low_scores,
    middle_scores,
    register_link,
    score_region,
)
from tests.tolerances import INTEGRATED, assert_close, assert_within, largest

pytestmark = pytest.mark.numerical

PRESETS = [
    high_scores(),
    low_scores(),
    extreme_scores(),
    middle_scores(),
    score_region(0.6, 0.8),
    link_for_thresholds([0.85]),
    link_for_thresholds([0.3, 0.9], weights=[2, 1], width=0.1, elsewhere=0.25),
]


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class TestPresets:
    @pytest.mark.parametrize("link", PRESETS, ids=repr)
    def test_costs_like_half_the_squared_error_on_average(self, link: Link) -> None:
        scores = torch.linspace(0, 1, 10001, dtype=torch.float64)
        assert_within(torch.trapezoid(link.sensitivity(scores), scores), 1.0, 100 / len(scores) ** 2)

    def test_where_the_sensitivity_lies(self) -> None:
        ends_and_middle = tensor(0, 0.5, 1)
        low, middle, high = high_scores().sensitivity(ends_and_middle).tolist()
        assert low < middle < high
        assert high / low == pytest.approx(math.exp(5))
        low, middle, high = low_scores().sensitivity(ends_and_middle).tolist()
        assert low > middle > high
        low, middle, high = extreme_scores().sensitivity(ends_and_middle).tolist()
        assert low == pytest.approx(high)
        assert high / middle == pytest.approx(math.cosh(5))
        low, middle, high = middle_scores().sensitivity(ends_and_middle).tolist()
        assert low == pytest.approx(high)
        assert middle > 30 * high
        outside, inside = score_region(0.6, 0.8, strength=7).sensitivity(tensor(0.2, 0.7)).tolist()
        assert inside == pytest.approx(7 * outside)

    def test_other_score_ranges(self) -> None:
        link = high_scores(score_range=(-1, 1))
        assert_close(link.difference(tensor(1), tensor(-1)), tensor(2))
        bottom, top = link.sensitivity(tensor(-1, 1)).tolist()
        assert top / bottom == pytest.approx(math.exp(5))

    @pytest.mark.parametrize("preset", [high_scores, low_scores, extreme_scores, middle_scores])
    def test_bad_arguments(self, preset: Any) -> None:
        with pytest.raises(ValueError, match=r"strength must be a finite number > 0, got 0"):
            preset(strength=0)
        with pytest.raises(ValueError, match=r"score_range\[0\] must be below score_range\[1\]"):
            preset(score_range=(1, 0))
        with pytest.raises(TypeError, match=r"score_range must be a list of two numbers, got '0,5'"):
            preset(score_range="0,5")
        with pytest.raises(TypeError, match="strength must be a finite number > 0, got 'big' of type str"):
            preset(strength="big")

    def test_a_region_outside_the_score_range(self) -> None:
        with pytest.raises(ValueError, match=r"score_region\(0.5, 4, score_range=\(0, 4\)\)"):
            score_region(0.5, 4)


class TestLinkForThresholds:
    """The hump at t has the sensitivity e / w (1 + e)^2 with e = exp((z - t) / w): 1 / 4w at t."""

    def test_is_humps_and_a_floor(self) -> None:
        link = link_for_thresholds([0.2, 0.9], weights=[3, 1], width=0.04, elsewhere=0.1)
        low, floor, high = link.sensitivity(tensor(0.2, 0.55, 0.9)).tolist()
        top = 3 / (4 * 0.04)
        assert floor / low == pytest.approx(0.1, abs=1e-3)  # between them there is hardly any hump left
        assert high / low == pytest.approx((0.9 * top / 3 + 0.1 * top) / top, rel=1e-5)
        assert link.get_config_dict()["links"] == [
            {"type": "SigmoidLink", "scale": 25.0, "shift": 0.2},
            {"type": "SigmoidLink", "scale": 25.0, "shift": 0.9},
            {"type": "IdentityLink"},
        ]
        factors = link.get_config_dict()["weights"]
        assert factors[0] / factors[1] == pytest.approx(3)
        assert factors[2] / factors[0] == pytest.approx(0.1 / 0.9 * top / 3, rel=1e-6)

    @pytest.mark.parametrize(
        ("thresholds", "weights", "width"),
        [
            ([0.5], None, 0.05),
            ([0.5, 0.55], None, 0.05),  # one hump, its top between the two
            ([0.5, 0.5, 0.55], [1, 2, 2.5], 0.05),
            ([0.1, 0.2, 0.3, 0.9], [1, 4, 4, 5], 0.07),
            ([0.2, 0.8], [1, 9], 1e-4),
            ([0.0, 1.0], None, 5.0),
        ],
    )
    @pytest.mark.parametrize("elsewhere", [0.02, 0.5, 0.9])
    def test_the_floor_is_its_share_of_the_highest_sensitivity(
        self, thresholds: list[float], weights: list[float] | None, width: float, elsewhere: float
    ) -> None:
        link = link_for_thresholds(thresholds, weights, width, elsewhere)
        assert isinstance(link, WeightedSumLink)
        around = [torch.linspace(place - width, place + width, 100001, dtype=torch.float64) for place in thresholds]
        highest = float(link.sensitivity(torch.cat([*around, torch.linspace(0, 1, 100001, dtype=torch.float64)])).max())
        assert link.weights[-1] / highest == pytest.approx(elsewhere, rel=1e-6)

    def test_no_floor_and_nothing_but_the_floor(self) -> None:
        assert link_for_thresholds([0.7], elsewhere=0) == SigmoidLink(20, 0.7).normalized(0, 1)
        assert_close(link_for_thresholds([0.7], elsewhere=1).sensitivity(tensor(0, 0.7, 1)), tensor(1, 1, 1))

    def test_other_score_ranges(self) -> None:
        link = link_for_thresholds([4], width=0.25, score_range=(0, 5))
        assert_close(link.difference(tensor(5), tensor(0)), tensor(5))
        unit = link_for_thresholds([0.8])
        assert_close(link.sensitivity(tensor(1, 4, 4.5)), unit.sensitivity(tensor(0.2, 0.8, 0.9)))
        assert link_for_thresholds([-0.5], score_range=(-1, 1)).sensitivity(tensor(-0.5)) > 1

    def test_keeps_its_name_and_its_config(self) -> None:
        link = link_for_thresholds([0.8, 0.9], weights=[1, 2], elsewhere=0.2, width=0.05)
        assert repr(link) == "link_for_thresholds((0.8, 0.9), weights=(1.0, 2.0), elsewhere=0.2)"
        assert repr(2 * link) == f"2 * {link!r}"
        assert eval(repr(link)) == link
        assert repr(link_for_thresholds([0.85])) == "link_for_thresholds((0.85,))"
        again = link_from_config(json.loads(json.dumps(link.get_config_dict())))
        assert again == link
        assert torch.equal(again.divergence(tensor(0.1), tensor(0.9)), link.divergence(tensor(0.1), tensor(0.9)))

    def test_takes_arrays_and_tensors(self) -> None:
        expected = link_for_thresholds([0.25, 0.75], [1, 2])
        for make in (tuple, np.array, torch.tensor):
            found = link_for_thresholds(make([0.25, 0.75]), make([1, 2]))
            assert found == expected
            assert repr(found) == repr(expected)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([],), r"give at least one threshold, for example link_for_thresholds\(\[0.85\]\)"),
            (([0.5, 1.2],), r"thresholds must lie within score_range \(0, 1\), got 1.2.*score_range=\(0, 1.2\)"),
            (([-0.1],), r"thresholds must lie within score_range \(0, 1\), got -0.1"),
            ((0.85,), r"thresholds must be a list of numbers, got 0.85; use \[0.85\]"),
            ((torch.tensor(0.5),), r"thresholds must be a list of numbers, got 0.5; use \[0.5\]"),
            (("0.85",), "thresholds must be a list of numbers, got '0.85'"),
            (([math.nan],), r"thresholds\[0\] must be a finite number, got nan"),
            (([True],), r"thresholds\[0\] must be a finite number, got True"),
            (([0.5], [1, 2]), "thresholds and weights must have the same length, got 1 and 2"),
            (([0.5], [0]), r"weights\[0\] must be a finite number > 0, got 0"),
            (([0.5], [-1]), r"weights\[0\] must be a finite number > 0, got -1"),
            (([0.5], None, 0), "width must be a finite number > 0, got 0"),
            (([0.5], None, -0.1), "width must be a finite number > 0, got -0.1"),
            (([0.5], None, 0.05, 1.5), "elsewhere must be from 0 to 1, got 1.5"),
            (([0.5], None, 0.05, -0.5), "elsewhere must be a finite number >= 0, got -0.5"),
            (([0.5], None, 0.05, 0.1, (1, 0)), r"score_range\[0\] must be below score_range\[1\]"),
        ],
    )
    def test_bad_arguments(self, arguments: Any, message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=f"link_for_thresholds: {message}"):
            link_for_thresholds(*arguments)


class TestAlgebra:
    def test_operators(self) -> None:
        link = 0.3 * IdentityLink() + SigmoidLink(20, 0.8) * 2
        assert link == WeightedSumLink([0.3, 2], [IdentityLink(), SigmoidLink(20, 0.8)])
        assert sum([IdentityLink(), IdentityLink()]) == WeightedSumLink([1, 1], [IdentityLink(), IdentityLink()])
        assert repr(link) == "0.3 * IdentityLink() + 2.0 * SigmoidLink(scale=20.0, shift=0.8)"

    def test_a_sum_of_sums_is_one_sum(self) -> None:
        link = 2 * (0.5 * IdentityLink() + SigmoidLink())
        assert isinstance(link, WeightedSumLink)
        assert link.weights == (1.0, 2.0)

    @pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf])
    def test_only_positive_multiples(self, factor: float) -> None:
        with pytest.raises(ValueError, match="weight must be a finite number > 0"):
            factor * IdentityLink()

    def test_products_are_checked_like_factors(self) -> None:
        for factor in (1e100, 1e-100):
            link: Link = IdentityLink()
            with pytest.raises(ValueError, match="weight must be"):  # noqa: PT012
                for _ in range(5):
                    link = factor * link

    def test_what_is_built_can_be_rebuilt(self) -> None:
        link: Link = SigmoidLink()
        with pytest.raises(ValueError, match="nested at most 50 deep"):  # noqa: PT012
            for _ in range(60):
                link = 2 * link.linear_outside(0, 1) + IdentityLink()
        assert link_from_config(json.loads(json.dumps(link.get_config_dict()))) == link

    def test_wrong_operands(self) -> None:
        with pytest.raises(TypeError):
            IdentityLink() + 1  # type: ignore[operator]
        with pytest.raises(TypeError):
            IdentityLink() * IdentityLink()  # type: ignore[operator]
        with pytest.raises(TypeError, match="weight must be a finite number > 0, got '2'"):
            "2" * IdentityLink()  # type: ignore[operator]

    def test_links_are_values(self) -> None:
        link = 0.3 * IdentityLink() + PiecewiseLink([0.0, 1.0], [1.0, 2.0])
        assert copy.deepcopy(link) == link
        assert pickle.loads(pickle.dumps(link)) == link
        assert len({link, copy.deepcopy(link), IdentityLink()}) == 2
        assert SigmoidLink(2) != SigmoidLink(3)
        assert SigmoidLink() != SinhLink()
        with pytest.raises(AttributeError):
            SigmoidLink().scale = 2.0  # type: ignore[misc]


class TestRangesAndConjugates:
    def test_ranges(self) -> None:
        assert ConstantLink().range == (1, 1)
        assert SigmoidLink().range == (0, 1)
        assert ExponentialLink(2).range == (0, math.inf)
        assert ExponentialLink(-2).range == (-math.inf, 0)
        assert (SigmoidLink() + 2 * SigmoidLink(3, 1)).range == (0, 3)
        assert (SigmoidLink() + IdentityLink()).range == (-math.inf, math.inf)
        assert PiecewiseLink([0, 1], [0, 2]).range == (0, math.inf)
        assert PiecewiseLink([0, 1, 2], [0, 2, 0]).range == (0, 2)
        assert SigmoidLink().linear_outside(-1, 1).range == (-math.inf, math.inf)

    def test_conjugates_in_closed_form(self) -> None:
        y = tensor(0.1, 0.5, 0.9)
        entropy = y * y.log() + (1 - y) * (1 - y).log()
        assert_close(SigmoidLink(4, 0.5).conjugate(y), 0.5 * y + entropy / 4)
        assert_close(IdentityLink().conjugate(y), y**2 / 2)
        assert_close(ExponentialLink(3).conjugate(y), (y * y.log() - y) / 3)
        assert_close(SinhLink(2, 0.3).conjugate(y), 0.3 * y + (y * y.asinh() - (1 + y**2).sqrt()) / 2)
        assert_close(SigmoidLink(4, 0.5).conjugate(tensor(0, 1)), tensor(0, 0.5))
        assert SigmoidLink().conjugate(tensor(-0.1, 1.1)).isposinf().all()

    def test_ends_of_the_range_give_the_area_under_the_tail(self) -> None:
        p = tensor(-1, 0.3, 2)
        link = SigmoidLink(4, 0.5)
        assert_close(link.fenchel_young(p, torch.zeros(3)), torch.nn.functional.softplus(4 * (p - 0.5)) / 4)
        assert_close(link.fenchel_young(p, torch.ones(3)), torch.nn.functional.softplus(-4 * (p - 0.5)) / 4)
        assert_close(ExponentialLink(3).fenchel_young(p, torch.zeros(3)), torch.exp(3 * p) / 3)
        assert_close(
            (2 * link + ExponentialLink(3)).fenchel_young(p, torch.zeros(3)),
            2 * link.fenchel_young(p, torch.zeros(3)) + torch.exp(3 * p) / 3,
        )
        p.requires_grad_()
        (gradient,) = torch.autograd.grad(link.fenchel_young(p, torch.ones(3)).sum(), p)
        assert_close(gradient, link(p.detach()) - 1)

    @pytest.mark.parametrize("link", [middle_scores(), 0.3 * SigmoidLink(20, 0.5), 0.3 * ConstantLink()], ids=repr)
    def test_ends_rounded_to_single_precision(self, link: Link) -> None:
        predicted = torch.tensor([0.3, 0.9])
        loss = link.fenchel_young(predicted, link(torch.tensor([5.0, -5.0])))
        assert loss.isfinite().all()
        assert not link.inverse(link(torch.tensor([5.0, -5.0]))).isnan().any()

    def test_nan_and_gradients_at_the_ends(self) -> None:
        assert SigmoidLink().conjugate(tensor(math.nan)).isnan().all()
        y = tensor(0, 0.5, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(SigmoidLink().conjugate(y).sum(), y)
        assert gradient.tolist() == [-math.inf, 0.0, math.inf]
        (gradient,) = torch.autograd.grad(SigmoidLink().fenchel_young(tensor(0.3, 0.3, 0.3), y).sum(), y)
        assert not gradient.isnan().any()

    def test_values_outside_the_range(self) -> None:
        with pytest.raises(ValueError, match=r"link_values must lie within the link's range \[0, 1\], got values from"):
            SigmoidLink().fenchel_young(tensor(0.5, 0.5), tensor(0, 5))
        with pytest.raises(ValueError, match=r"y must lie within the link's range \[0, inf\]"):
            ExponentialLink(1).inverse(tensor(-1))
        with pytest.raises(ValueError, match=r"must lie within the link's range .* got values from nan .* finite"):
            SigmoidLink().fenchel_young(tensor(0.5), tensor(math.nan))


class TestNormalized:
    def test_of_value(self) -> None:
        link = ExponentialLink(1).normalized(-1, 1, of="value")
        scores = torch.linspace(-1, 1, 10001, dtype=torch.float64)
        assert_within(torch.trapezoid(link(scores), scores) / 2, 1.0, 100 / len(scores) ** 2)

    def test_nothing_to_normalise(self) -> None:
        with pytest.raises(ValueError, match=r"average sensitivity over .* must be positive"):
            ConstantLink().normalized(0, 1)
        with pytest.raises(ValueError, match="Choose a link that is positive on the range"):
            SinhLink().normalized(-1, 0, of="value")

    def test_an_overflow(self) -> None:
        with pytest.raises(ValueError, match="overflows there; lower its scale"):
            high_scores(5, (1000, 1001))
        assert high_scores(500).sensitivity(torch.tensor([0.0, 0.5, 1.0])).isfinite().all()

    def test_bad_arguments(self) -> None:
        with pytest.raises(ValueError, match='of must be "sensitivity" or "value", got \'slope\''):
            IdentityLink().normalized(0, 1, of="slope")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="low must be below high, got 1 and 0"):
            IdentityLink().normalized(1, 0)
        with pytest.raises(ValueError, match="Give a range of some width"):
            IdentityLink().normalized(1, 1)


class TestLinearOutside:
    def test_continues_with_the_slope_at_the_end(self) -> None:
        link = ExponentialLink(5).linear_outside(0, 1)
        assert_close(link(tensor(2)), torch.exp(tensor(5)) * 6)
        assert_close(link.divergence(tensor(3), tensor(2)), 5 * torch.exp(tensor(5)) / 2)
        assert link.divergence(torch.tensor(1e4), torch.tensor(-1e4)).isfinite()

    def test_bad_arguments(self) -> None:
        with pytest.raises(ValueError, match="narrow the range"):
            ExponentialLink(5).linear_outside(0, 1000)
        with pytest.raises(ValueError, match="low must be below high"):
            ExponentialLink(5).linear_outside(1, 0)
        with pytest.raises(TypeError, match="link must be a Link, got str"):
            LinearOutsideLink("exp", 0, 1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="give low or high, or both"):
            ExponentialLink(5).linear_outside(None, None)
        with pytest.raises(ValueError, match=r"\[1000, inf\].*overflows|overflows at an end of \[1000, inf\]"):
            ExponentialLink(5).linear_outside(1000, None)

    def test_one_side_only(self) -> None:
        link = ExponentialLink(5).linear_outside(None, 1)
        assert link.range == (0, math.inf)
        assert_close(link(tensor(-2)), torch.exp(tensor(-10)))
        assert_close(link(tensor(2)), torch.exp(tensor(5)) * 6)
        below = ExponentialLink(5).linear_outside(0, None)
        assert below.range == (-math.inf, math.inf)
        assert_close(below(tensor(-1)), tensor(-4))
        assert json.loads(json.dumps(below.get_config_dict(), allow_nan=False))["high"] is None

        class Positive(Link):
            domain = Interval(0, 1)

            def h(self, z: Tensor) -> Tensor:
                return z**3

        assert Positive().linear_outside(None, 0.5).domain == (0, math.inf)


class TestParameters:
    @pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf, 1e300])
    @pytest.mark.parametrize("link_class", [SigmoidLink, SinhLink])
    def test_scale_must_be_positive(self, link_class: type[Link], scale: float) -> None:
        with pytest.raises(ValueError, match=rf"{link_class.__name__}: scale must be"):
            link_class(scale=scale)  # type: ignore[call-arg]

    @pytest.mark.parametrize("scale", [0, math.nan, math.inf, -math.inf, 10**400])
    def test_exponential_scale(self, scale: float) -> None:
        with pytest.raises(ValueError, match="ExponentialLink: scale must"):
            ExponentialLink(scale)

    @pytest.mark.parametrize("scale", ["5", True, None, [1.0], 1j])
    def test_scale_must_be_a_number(self, scale: Any) -> None:
        with pytest.raises(TypeError, match="scale must be a finite number"):
            ExponentialLink(scale)

    def test_numpy_numbers_are_numbers(self) -> None:
        assert SigmoidLink(np.float32(2), np.int64(1)) == SigmoidLink(2.0, 1.0)

    @pytest.mark.parametrize(
        ("knots", "sensitivities", "message"),
        [
            ([0, 1], [1], "knots and sensitivities must have the same length, got 2 and 1"),
            ([], [], r"must not all be 0, got \(\)"),
            ([1, 0], [1, 1], "knots must increase strictly, got 1, 0"),
            ([0, 0], [1, 1], "knots must increase strictly"),
            ([0, 1], [1, -1], r"sensitivities\[1\] must be a finite number >= 0, got -1"),
            ([0, 1], [0, 0], "must not all be 0"),
            ([0, math.nan], [0, 1], r"knots\[1\] must be a finite number"),
        ],
    )
    def test_piecewise(self, knots: list[float], sensitivities: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            PiecewiseLink(knots, sensitivities)  # type: ignore[arg-type]

    def test_piecewise_types(self) -> None:
        with pytest.raises(TypeError, match="knots must be a list of numbers, got '01'"):
            PiecewiseLink("01", [1, 1])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"sensitivities\[0\] must be a finite number >= 0, got 'a'"):
            PiecewiseLink([0, 1], ["a", 1])  # type: ignore[arg-type]
        assert PiecewiseLink(np.array([0.0, 1.0]), torch.tensor([1.0, 2.0])).knots == (0.0, 1.0)  # type: ignore[arg-type]

    def test_sums(self) -> None:
        with pytest.raises(ValueError, match="weights and links must have the same length, got 1 and 2"):
            WeightedSumLink([1.0], [IdentityLink(), IdentityLink()])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="links must hold links, got 'identity'"):
            WeightedSumLink([1.0], ["identity"])  # type: ignore[arg-type, list-item]
        with pytest.raises(TypeError, match="weights must be a list of numbers"):
            WeightedSumLink({1.0, 2.0}, [IdentityLink(), ConstantLink()])  # type: ignore[arg-type]


class TestOwnLinks:
    def test_h_is_enough(self) -> None:
        class CubicLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return z**3

        link, p, s = CubicLink(), tensor(0.9, -1, 2), tensor(0.5, 1, 2)
        assert_close(link.potential(p), p**4 / 4)
        assert_close(link.sensitivity(p), 3 * p**2)
        assert_close(link.divergence(p, s), (p - s) ** 2 * (p**2 + 2 * p * s + 3 * s**2) / 4)
        assert_close(link.inverse(p**3), p)
        assert link.range == (-math.inf, math.inf)

    def test_defining_call_works_too(self) -> None:
        class CubicLink(Link):
            def __call__(self, z: Tensor) -> Tensor:
                return z**3

        assert_close(CubicLink().divergence(tensor(2), tensor(1)), tensor(2.75))

    def test_a_jump(self) -> None:
        class StepLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return (z > 0.5).to(z.dtype)

        # The area of the step between the scores: a hinge.
        assert_within(StepLink().divergence(tensor(1), tensor(0)), tensor(0.5), 0.025)
        assert_within(StepLink().divergence(tensor(0), tensor(1)), tensor(0.5), 0.025)

    @pytest.mark.parametrize("steepness", [10.0, 20.0, 60.0])
    def test_a_small_rise_upon_a_large_constant(self, steepness: float) -> None:
        class OffsetLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return 1 + 0.004 * torch.sigmoid(steepness * (z - 0.5))

        expected = 0.004 * SigmoidLink(steepness, 0.5).divergence(tensor(1, 0.9), tensor(0, 0.52))
        for place, value in enumerate(OffsetLink().divergence(tensor(1, 0.9), tensor(0, 0.52))):
            assert_within(value, expected[place], INTEGRATED * float(expected[place]))
        difference = 0.004 * SigmoidLink(steepness, 0.5).difference(tensor(1), tensor(0))
        assert_within(OffsetLink().difference(tensor(1), tensor(0)), difference, INTEGRATED * float(difference))

    def test_inference_mode(self) -> None:
        class CubicLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return z**3

        p, s = tensor(0.9, 0.5001), tensor(0.5, 0.5)
        expected = CubicLink().divergence(p, s), CubicLink().sensitivity(p)
        with torch.inference_mode():
            assert_close((CubicLink().divergence(p, s), CubicLink().sensitivity(p)), expected)

    @pytest.mark.parametrize(("low", "high"), [(5.0, 10.0), (200.0, 300.0), (-300.0, -200.0)])
    def test_a_domain_far_away(self, low: float, high: float) -> None:
        class RootLink(Link):
            domain = (low, high)  # type: ignore[assignment]  # becomes an Interval

            def h(self, z: Tensor) -> Tensor:
                return (z - (low - 1)).sqrt()

        link, p, s = RootLink(), tensor(low + 1, low + 2), tensor(low + 3, low + 4)
        assert link.domain == Interval(low, high)
        assert_close(link.inverse(link(s)), s)
        size = largest(p * link(s))
        assert_close(link.fenchel_young(p, link(s)), link.divergence(p, s), size=size)
        assert_close(link.potential(p) + link.conjugate(link(s)) - p * link(s), link.divergence(p, s), size=size)
        for outside in (low - 1, high + 1):
            with pytest.raises(ValueError, match=r"must lie within the link's domain .*linear_outside"):
                link.divergence(tensor(outside), s[:1])
        with pytest.raises(ValueError, match="must lie within the link's domain"):
            link.normalized(low - 5, high)

    def test_an_infinite_end(self) -> None:
        class LogarithmLink(Link):
            domain = Interval(0.0, math.inf)

            def h(self, z: Tensor) -> Tensor:
                return torch.log(z)

        link, p = LogarithmLink(), tensor(0.5, 2)
        assert_close(link.potential(p), p * p.log() - p + 1)
        assert_close(link.conjugate(tensor(-0.5)), torch.exp(tensor(-0.5)) - 1)

    @pytest.mark.parametrize("domain", [(1.0, 0.0), (1.0,), "all", Interval(1.0, 1.0)])
    def test_a_wrong_domain(self, domain: Any) -> None:
        with pytest.raises(TypeError, match=r"domain must be Interval\(low, high\) with low < high"):
            type("WrongLink", (Link,), {"domain": domain})

    def test_a_range_that_infinity_does_not_tell(self) -> None:
        class SoftsignLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return z / (1 + z.abs())

        assert SoftsignLink().range == (-1.0, 1.0)
        assert SoftsignLink().conjugate(tensor(5)).isposinf().all()

    def test_decreasing_is_refused(self) -> None:
        class FallingLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return -z

        with pytest.raises(ValueError, match=r"FallingLink: a link must be nondecreasing, but h\("):
            FallingLink().divergence(tensor(1), tensor(0))
        with pytest.raises(ValueError, match="nondecreasing"):
            FallingLink() + IdentityLink()

    def test_a_bump_is_refused(self) -> None:
        class BumpLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return z + torch.sin(20 * z)

        with pytest.raises(ValueError, match="nondecreasing"):
            BumpLink().validate()

    def test_nan_asks_for_a_domain(self) -> None:
        class LogarithmLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return torch.log(z)

        class PositiveLogarithmLink(LogarithmLink):
            domain = Interval(1e-6, math.inf)

        with pytest.raises(ValueError, match=r"domain = Interval\(low, high\)"):
            LogarithmLink().validate()
        p, s = tensor(2), tensor(1)
        assert_close(PositiveLogarithmLink().divergence(p, s), p * p.log() - p + s)

    def test_a_wrong_shape(self) -> None:
        class SummingLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return z.sum()

        with pytest.raises(TypeError, match="h must return one value for each score"):
            SummingLink().validate()

    def test_no_h(self) -> None:
        with pytest.raises(NotImplementedError, match=r"must define h\(self, z\)"):
            Link()(tensor(1))

    def test_parameters_must_be_kept(self) -> None:
        class LosingLink(Link):
            def __init__(self, scale: float) -> None:
                self._scale = scale

            def h(self, z: Tensor) -> Tensor:
                return z

        with pytest.raises(TypeError, match=r"Add self.scale = scale"):
            LosingLink(1.0).get_config_dict()

    def test_registering(self) -> None:
        with pytest.raises(TypeError, match="must be a subclass of Link"):
            register_link(int)  # type: ignore[type-var]

        class SigmoidLink(Link):
            pass

        with pytest.raises(ValueError, match=r"the name 'SigmoidLink' is taken by selective_st.links.SigmoidLink"):
            register_link(SigmoidLink)


class TestConfigs:
    @pytest.mark.parametrize("link", PRESETS, ids=repr)
    def test_presets_round_trip(self, link: Link) -> None:
        assert link_from_config(json.loads(json.dumps(link.get_config_dict()))) == link

    @pytest.mark.parametrize(
        ("config", "error", "message"),
        [
            ({"type": "CubicLink"}, ValueError, "unknown link type 'CubicLink'; known types: .*SigmoidLink"),
            ({"type": "os.system"}, ValueError, "unknown link type 'os.system'"),
            ({"type": ["SigmoidLink"]}, ValueError, "unknown link type"),
            ({"scale": 1}, ValueError, "unknown link type None"),
            ({}, ValueError, "unknown link type None"),
            ("SigmoidLink", TypeError, "config must be a dict"),
            (None, TypeError, "config must be a dict"),
            ({"type": "SigmoidLink", "scale": 1}, ValueError, "lacks 'shift'; its fields are: type, scale, shift"),
            ({"type": "IdentityLink", "scale": 1}, ValueError, "has unknown 'scale'"),
            (
                {"type": "SigmoidLink", "scale": "1", "shift": 0},
                TypeError,
                "scale must be a finite number > 0, got '1'",
            ),
            (
                {"type": "SigmoidLink", "scale": 10**400, "shift": 0},
                ValueError,
                "scale must be a finite number > 0, got inf",
            ),
            ({"type": "SigmoidLink", "scale": 1e30, "shift": 0}, ValueError, "scale must be at most 1e\\+06"),
            ({"type": "SigmoidLink", "scale": math.nan, "shift": 0}, ValueError, "scale must be"),
            ({"type": "ExponentialLink", "scale": {"type": "IdentityLink"}}, TypeError, "scale must be"),
            ({"type": "PiecewiseLink", "knots": "abc", "sensitivities": [1]}, TypeError, "knots must be a list"),
            (
                {"type": "PiecewiseLink", "knots": [0, [1]], "sensitivities": [1, 1]},
                TypeError,
                r"knots\[1\] must be a finite number",
            ),
            ({"type": "WeightedSumLink", "weights": [1], "links": [3]}, TypeError, "links must hold links, got 3"),
            (
                {"type": "WeightedSumLink", "weights": [-1], "links": [{"type": "IdentityLink"}]},
                ValueError,
                "weight must",
            ),
            ({"type": "LinearOutsideLink", "link": None, "low": 0, "high": 1}, TypeError, "link must be a Link"),
        ],
    )
    def test_bad_configs(self, config: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            link_from_config(config)

    def test_a_bottomless_config(self) -> None:
        config: dict[str, Any] = {"type": "IdentityLink"}
        for _ in range(500):
            config = {"type": "WeightedSumLink", "weights": [1.0], "links": [config]}
        with pytest.raises(ValueError, match="nested more than"):
            link_from_config(config)


class TestArguments:
    def test_numbers_and_integers_are_scores(self) -> None:
        assert_close(IdentityLink().divergence(0.9, 0.5), torch.tensor(0.08))  # type: ignore[arg-type]
        assert_close(IdentityLink().divergence(torch.tensor([3]), torch.tensor([1])), torch.tensor([2.0]))

    @pytest.mark.parametrize("method", ["__call__", "potential", "sensitivity", "inverse", "conjugate"])
    def test_types(self, method: str) -> None:
        with pytest.raises(TypeError, match=r"must be a torch.Tensor, got list"):
            getattr(SigmoidLink(), method)([0.5])
        with pytest.raises(TypeError, match=r"must hold real numbers, got dtype torch.bool"):
            getattr(SigmoidLink(), method)(torch.tensor([True]))
        with pytest.raises(TypeError, match=r"must hold real numbers, got dtype torch.complex64"):
            getattr(SigmoidLink(), method)(torch.tensor([1j]))

    def test_shapes(self) -> None:
        with pytest.raises(
            ValueError, match=r"predicted and target must have shapes that broadcast, got \(2,\) and \(3,\)"
        ):
            SigmoidLink().divergence(torch.zeros(2), torch.zeros(3))

    def test_nan_stays_visible(self) -> None:
        for link in [*PRESETS, ConstantLink(), IdentityLink(), SigmoidLink().linear_outside(0, 1)]:
            assert link.divergence(tensor(math.nan, 0.5), tensor(0.5, math.nan)).isnan().all()

    def test_autocast_does_not_lower_the_precision(self) -> None:
        p, s = torch.tensor([0.9001]), torch.tensor([0.9])
        for link in PRESETS:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                inside = link.divergence(p, s)
            assert_close(inside, link.divergence(p, s), 0)

    def test_mixed_precision_gives_the_wider(self) -> None:
        assert SigmoidLink().divergence(torch.zeros(1), torch.ones(1, dtype=torch.float64)).dtype == torch.float64


class Bounded(Link):
    """A link of one's own, defined on an interval."""

    def __init__(self, low: float, high: float) -> None:
        self.domain = Interval(low, high)

    def h(self, z: Tensor) -> Tensor:
        return (z - self.domain.low).sqrt()


class TestWhatIsEasilyLost:
    """Each test fails if a detail that looks needless is taken away."""

    @pytest.mark.parametrize("link", [SinhLink(2.0, 0.3), ExponentialLink(-1.5), SigmoidLink(4.0, 0.2)], ids=repr)
    def test_a_multiple_is_inverted_with_its_weight(self, link: Link) -> None:
        scores = tensor(-0.7, 0.3, 1.1)
        for weight in (3.0, 1e-3):
            assert_close((weight * link).inverse(weight * link(scores)), scores)
            assert_close((weight * link).conjugate(weight * link(scores)), weight * link.conjugate(link(scores)))

    def test_an_end_that_is_only_approached_lies_on_its_own_side(self) -> None:
        class SoftsignLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return z / (1 + z.abs())

        assert SoftsignLink().inverse(tensor(-1, 0, 1)).tolist() == [-math.inf, 0.0, math.inf]

    def test_only_rounding_is_allowed_beyond_the_range(self) -> None:
        p = tensor(0.3)
        assert_close(SigmoidLink().fenchel_young(p, tensor(1 + 5e-7)), SigmoidLink().fenchel_young(p, tensor(1)))
        for value in (1 + 2e-6, 1.0005, -2e-6):
            with pytest.raises(ValueError, match="link_values must lie within the link's range"):
                SigmoidLink().fenchel_young(p, tensor(value))

    @pytest.mark.parametrize("low", [-2.0, 0.4], ids=str)
    def test_the_table_of_a_potential_has_its_constant(self, low: float) -> None:
        """Softmaxes over columns compare scores of different tables."""

        class Arctan(Link):
            def h(self, z: Tensor) -> Tensor:
                return torch.atan(z)

        scores = torch.linspace(low, 3.0, 2**16, dtype=torch.float64)
        few = scores[::1000]
        logits, slope = Arctan()._logits(scores.clone(), 2.0)
        assert_close(logits[::1000], 2 * Arctan().potential(few))
        assert_close(logits[::1000], 2 * (few * few.atan() - (1 + few**2).log() / 2))
        assert isinstance(slope, Tensor)
        assert_close(slope, 2 * scores.atan())

    def test_validate_looks_closely_near_0(self) -> None:
        """Where scores lie; the even grid, a tenth wide, does not see it."""

        class BumpLink(Link):
            def h(self, z: Tensor) -> Tensor:
                return z + 0.05 * torch.exp(-(((z - 0.05) / 0.01) ** 2))

        with pytest.raises(ValueError, match=r"nondecreasing, but h\(0\.0"):
            BumpLink().validate()

    def test_the_domain_of_a_sum_is_where_all_are_defined(self) -> None:
        link = Bounded(-1.0, 2.0) + 2.0 * Bounded(0.0, 5.0) + SigmoidLink()
        assert link.domain == Interval(0.0, 2.0)
        inside = tensor(0.5, 1.5)
        expected = Bounded(-1.0, 2.0)(inside) + 2 * Bounded(0.0, 5.0)(inside) + inside.sigmoid()
        assert_close(link(inside), expected)
        for outside in (-0.5, 2.5):
            with pytest.raises(ValueError, match=r"must lie within the link's domain \[0, 2\]"):
                link.divergence(tensor(outside), tensor(1.0))
        with pytest.raises(ValueError, match="the links' domains do not meet"):
            Bounded(-1.0, 0.0) + Bounded(1.0, 2.0)
