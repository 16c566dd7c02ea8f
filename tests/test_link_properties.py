"""Every registered link has every property; and links that are wrong on purpose are caught."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from torch import Tensor

from selective_st.links import ConstantLink, ExponentialLink, Link, SigmoidLink, register_link, registered_links
from tests import random_inputs
from tests.link_cases import LINK_CASES, LinkCase
from tests.link_properties import PROPERTIES
from tests.tolerances import FIRST_ORDER, SECOND_ORDER

pytestmark = pytest.mark.numerical


def test_every_registered_link_has_a_case() -> None:
    missing = {
        name
        for name, link_class in registered_links().items()
        if getattr(sys.modules.get(link_class.__module__), name, None) is link_class  # not of an example in a docstring
        and link_class.__module__.startswith("selective_st")
    }
    missing -= {type(case.link).__name__ for case in LINK_CASES}
    assert not missing


@pytest.mark.parametrize("case", LINK_CASES, ids=lambda case: case.name)
def test_it_has_every_property(case: LinkCase) -> None:
    scores = st.lists(st.floats(case.low, case.high, width=32), min_size=2, max_size=6)

    @seed(random_inputs.seed_of())
    @settings(max_examples=15, deadline=None, database=None)
    @given(scores, scores)
    def run(p: list[float], s: list[float]) -> None:
        length = min(len(p), len(s))
        predicted, target = (torch.tensor(scores[:length], dtype=torch.float64) for scores in (p, s))
        for check in PROPERTIES:  # the traceback names it
            check(case.link, predicted, target)

    run()


@pytest.mark.parametrize("case", LINK_CASES, ids=lambda case: case.name)
def test_gradients_to_both_arguments(case: LinkCase) -> None:
    generator = random_inputs.generator(0)
    p, s = (case.low + (case.high - case.low) * torch.rand(40, generator=generator, dtype=torch.float64) for _ in "ps")
    # Where a loss is larger, a finite difference of it is rounded away.
    fits = (case.link.potential(p) < 1e4) & (case.link.potential(s) < 1e4)
    p, s = p[fits], s[fits]
    given = (p[:5].clone().requires_grad_(), s[:5].clone().requires_grad_())
    assert len(given[0]) == 5
    assert torch.autograd.gradcheck(case.link.divergence, given, **FIRST_ORDER)
    assert torch.autograd.gradgradcheck(case.link.divergence, given, **SECOND_ORDER)
    assert torch.autograd.gradcheck(case.link.potential, given[:1], **FIRST_ORDER)
    assert torch.autograd.gradgradcheck(case.link.potential, given[:1], **SECOND_ORDER)
    if not isinstance(case.link, ConstantLink):
        steep = case.link.sensitivity(s) > 1e-2  # elsewhere the inverse is too steep for finite differences
        assert steep.any()
        given = (p[steep][:5].clone().requires_grad_(), case.link(s[steep][:5]).requires_grad_())
        assert torch.autograd.gradcheck(case.link.fenchel_young, given, **FIRST_ORDER)


@pytest.mark.parametrize("values", [[0.0, 1.0, 1.0], [0.0, 0.5, 1.0], [0.2, 0.5, 0.9]], ids=str)
def test_gradients_with_link_values_at_the_ends(values: list[float]) -> None:
    p = torch.tensor([0.3, 0.4, -0.2], dtype=torch.float64, requires_grad=True)
    y = torch.tensor(values, dtype=torch.float64)
    assert torch.autograd.gradcheck(SigmoidLink(3.0, 0.1).fenchel_young, (p, y))
    assert torch.autograd.gradgradcheck(SigmoidLink(3.0, 0.1).fenchel_young, (p, y))


# --- The suite can fail


@register_link
class DecreasingLink(Link):
    def h(self, z: Tensor) -> Tensor:
        return -z

    def validate(self) -> None:
        pass  # so that the properties, not the constructor, must catch it


@register_link
class NaiveExponentialLink(ExponentialLink):
    """Subtracts what is nearly equal."""

    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        p32, s32 = p.float(), s.float()
        difference = self.h(p32) - self.h(s32)
        return (self._potential(p32) - self._potential(s32) - (p32 - s32) * self.h(s32)).to(p), difference.to(p)


@register_link
class WrongGradientLink(SigmoidLink):
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        divergence, difference = super()._matching(p, s)
        return divergence, 1.01 * difference


@register_link
class WrongPotentialLink(SigmoidLink):
    def _potential(self, z: Tensor) -> Tensor:
        return super()._potential(z) + 0.01 * z


@register_link
class WrongSensitivityLink(SigmoidLink):
    def _sensitivity(self, z: Tensor) -> Tensor:
        return 0.9 * super()._sensitivity(z)


@register_link
class OverflowingLink(ExponentialLink):
    def _matching(self, p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        x = self.scale * (p - s)
        factor = torch.exp(self.scale * s) / self.scale
        return factor * (torch.expm1(x) - x), factor * torch.expm1(x) * self.scale


@register_link
class ForgetfulLink(SigmoidLink):
    """Loses a parameter on the way through its config."""

    def get_config_dict(self) -> dict[str, object]:
        return {**super().get_config_dict(), "shift": 0.0}


WRONG_LINKS = [
    (DecreasingLink(), {"monotone", "divergence_is_nonnegative"}),
    (NaiveExponentialLink(5.0), {"local_quadratic"}),
    (WrongGradientLink(3.0), {"gradient_is_the_difference_of_link_values"}),
    (WrongPotentialLink(3.0), {"potential_has_the_link_as_derivative"}),
    (WrongSensitivityLink(3.0), {"sensitivity_is_the_slope"}),
    (OverflowingLink(5.0), {"extremes"}),
    (ForgetfulLink(3.0, 0.5), {"config_round_trip"}),
]


@pytest.mark.parametrize(("link", "expected"), WRONG_LINKS, ids=lambda value: type(value).__name__)
def test_a_wrong_link_is_caught(link: Link, expected: set[str]) -> None:
    generator = random_inputs.generator(0)
    p, s = (2 * torch.rand(50, generator=generator, dtype=torch.float64) - 1 for _ in range(2))
    failed = set()
    for check in PROPERTIES:
        try:
            check(link, p, s)
        except (AssertionError, ValueError):
            failed.add(check.__name__)
    assert expected <= failed
