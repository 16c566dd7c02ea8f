"""The properties that every link must have, each a function that asserts it on given scores.

Kept apart from the tests, so that another test can show that wrong links fail them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import torch
from torch import Tensor

from selective_st.links import Link, link_from_config
from tests.tolerances import DTYPES, INTEGRATED, SCORE, STEEPEST, assert_close, assert_within, rounding

Property = Callable[[Link, Tensor, Tensor], None]


def monotone(link: Link, p: Tensor, s: Tensor) -> None:
    scores = torch.cat([p, s]).sort().values
    values = link(scores)
    slack = rounding(torch.float64, exponent=STEEPEST) * (values.abs()[1:] + values.abs()[:-1])
    assert (values.diff() >= -slack).all()
    assert (link.difference(p, s) * (p - s) >= 0).all()


def potential_has_the_link_as_derivative(link: Link, p: Tensor, s: Tensor) -> None:
    # By the fundamental theorem, with Simpson's rule on panels so small that its error is far below the tolerance.
    middle, width = p, torch.full_like(p, 1e-3)
    rise = link.potential(middle + width) - link.potential(middle - width)
    by_simpson = width / 3 * (link(middle - width) + 4 * link(middle) + link(middle + width))
    # A kink of the sensitivity makes Simpson's rule less exact: O(width^3 sensitivity).
    slack = 1e-3 * (link.sensitivity(p + width) + link.sensitivity(p - width) + link.sensitivity(p)) * width**2
    assert ((rise - by_simpson).abs() <= slack + 1e-9 * (1 + link.potential(p).abs())).all()
    scores = p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(link.potential(scores).sum(), scores)
    assert_close(gradient, link(p))


def sensitivity_is_the_slope(link: Link, p: Tensor, s: Tensor) -> None:
    width = 1e-6
    slope = link.difference(p + width, p - width) / (2 * width)
    left, right, at = link.sensitivity(p - width), link.sensitivity(p + width), link.sensitivity(p)
    low, high = torch.minimum(torch.minimum(left, right), at), torch.maximum(torch.maximum(left, right), at)
    assert (slope >= low - 1e-6 * high - 1e-300).all()
    assert (slope <= high + 1e-6 * high + 1e-300).all()
    assert (at >= 0).all()


def divergence_is_its_definition(link: Link, p: Tensor, s: Tensor) -> None:
    definition = link.potential(p) - link.potential(s) - (p - s) * link(s)
    size = link.potential(p).abs() + link.potential(s).abs() + ((p - s) * link(s)).abs()
    assert ((link.divergence(p, s) - definition).abs() <= rounding(torch.float64, exponent=STEEPEST) * (size + 1)).all()


def divergence_is_nonnegative(link: Link, p: Tensor, s: Tensor) -> None:
    for dtype in (torch.float64, torch.float32):
        assert (link.divergence(p.to(dtype), s.to(dtype)) >= 0).all()


def divergence_is_zero_at_the_match(link: Link, p: Tensor, s: Tensor) -> None:
    scores = p.clone().requires_grad_()
    divergence = link.divergence(scores, p)
    assert (divergence == 0).all()
    divergence.sum().backward()
    assert scores.grad is not None
    assert (scores.grad == 0).all()


def gradient_is_the_difference_of_link_values(link: Link, p: Tensor, s: Tensor) -> None:
    scores, targets = p.clone().requires_grad_(), s.clone().requires_grad_()
    to_p, to_s = torch.autograd.grad(link.divergence(scores, targets).sum(), [scores, targets])
    size = link(p).abs() + link(s).abs()
    assert ((to_p - (link(p) - link(s))).abs() <= rounding(torch.float64, exponent=STEEPEST) * size).all()
    assert_close(to_s, (s - p) * link.sensitivity(s))


def local_quadratic(link: Link, p: Tensor, s: Tensor) -> None:
    near = s + 1e-7
    smallest = torch.minimum(link.sensitivity(s), link.sensitivity(near))
    largest = torch.maximum(link.sensitivity(s), link.sensitivity(near))
    square = (near - s).square() / 2
    divergence = link.divergence(near, s)
    assert (divergence >= smallest * square * (1 - 1e-5)).all()
    assert (divergence <= largest * square * (1 + 1e-5) + 1e-300).all()


def fenchel_young_agrees(link: Link, p: Tensor, s: Tensor) -> None:
    values = link(s)
    scores = p.clone().requires_grad_()
    loss = link.fenchel_young(scores, values)
    divergence = link.divergence(p, s)
    # h(s) holds s only up to its rounding, which a flat link magnifies.
    share = rounding(torch.float64, exponent=STEEPEST)
    lost = rounding(torch.float64, SCORE) * (1 + values.abs()) * ((p - s).abs() + 1e-6)
    assert ((loss - divergence).abs() <= INTEGRATED / 10 * divergence + 5 * lost).all()
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert ((gradient - (link(p) - values)).abs() <= share * (1 + link(p).abs() + values.abs())).all()
    by_definition = link.potential(p) + link.conjugate(values) - p * values
    size = 1 + link.potential(p).abs() + link.conjugate(values).abs() + (p * values).abs()
    assert ((loss - by_definition).abs() <= share * size).all()


def conjugate_is_the_supremum(link: Link, p: Tensor, s: Tensor) -> None:
    conjugate = link.conjugate(link(s))
    others = p.unsqueeze(1) * link(s) - link.potential(p).unsqueeze(1)
    size = 1 + conjugate.abs() + others.abs()
    assert (others <= conjugate + rounding(torch.float64, exponent=STEEPEST) * size).all()


def algebra(link: Link, p: Tensor, s: Tensor) -> None:
    doubled, summed = 2 * link, link + link
    for of in (lambda x: x(p), lambda x: x.potential(p), lambda x: x.sensitivity(p), lambda x: x.divergence(p, s)):
        assert_close(of(doubled), 2 * of(link))
        assert_close(of(summed), 2 * of(link))


def normalised(link: Link, p: Tensor, s: Tensor) -> None:
    low, high = float(torch.cat([p, s]).min()), float(torch.cat([p, s]).max())
    if high - low < 1e-3:
        return
    scores = torch.linspace(low, high, 20001, dtype=torch.float64)
    average_sensitivity = float(torch.trapezoid(link.sensitivity(scores), scores)) / (high - low)
    if average_sensitivity > 1e-6:
        ours = link.normalized(low, high)
        assert_within(torch.trapezoid(ours.sensitivity(scores), scores) / (high - low), 1.0, 2 / len(scores))
    average_value = float(torch.trapezoid(link(scores), scores)) / (high - low)
    if average_value > 1e-6:
        ours = link.normalized(low, high, of="value")
        assert_within(torch.trapezoid(ours(scores), scores) / (high - low), 1.0, 2 / len(scores))


def linear_outside(link: Link, p: Tensor, s: Tensor) -> None:
    low, high = float(p.min()), float(p.max())
    if high - low < 1e-6:
        return
    bounded = link.linear_outside(low, high)
    inside = s.clamp(low, high)
    assert_close(bounded(inside), link(inside))
    assert_close(bounded.divergence(p, inside), link.divergence(p, inside), exponent=STEEPEST)
    far = torch.tensor([-1e4, 1e4], dtype=torch.float32)
    assert bounded.divergence(far, torch.tensor(high).float()).isfinite().all()
    assert_close(bounded.sensitivity(torch.tensor(high + 5.0)), link.sensitivity(torch.tensor(high)), exponent=STEEPEST)


def config_round_trip(link: Link, p: Tensor, s: Tensor) -> None:
    again = link_from_config(json.loads(json.dumps(link.get_config_dict(), allow_nan=False)))
    assert again == link
    assert hash(again) == hash(link)
    assert torch.equal(again.divergence(p, s), link.divergence(p, s))


def extremes(link: Link, p: Tensor, s: Tensor) -> None:
    for dtype in (torch.float32, torch.float64):
        huge = torch.tensor([-1e4, -300.0, -1.0, 0.0, 1.0, 300.0, 1e4], dtype=dtype)
        predicted = huge.repeat(len(huge)).requires_grad_()
        divergence = link.divergence(predicted, huge.repeat_interleave(len(huge)))
        assert not divergence.isnan().any()
        assert (divergence >= 0).all()
        (gradient,) = torch.autograd.grad(divergence.sum(), predicted)
        assert not gradient.isnan().any()


def half_precision(link: Link, p: Tensor, s: Tensor) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        half_p, half_s = p.to(dtype).requires_grad_(), s.to(dtype)
        divergence = link.divergence(half_p, half_s)
        assert divergence.dtype == torch.float32
        assert_close(divergence, link.divergence(half_p.float(), half_s.float()))
        for value in (link(half_s), link.potential(half_s), link.sensitivity(half_s)):
            assert value.dtype == torch.float32
        (gradient,) = torch.autograd.grad(divergence.sum(), half_p)
        assert gradient.dtype == dtype


def range_holds(link: Link, p: Tensor, s: Tensor) -> None:
    values = link(torch.cat([p, s]))
    assert (values >= link.range.low).all()
    assert (values <= link.range.high).all()
    inverse = link.inverse(values)
    finite = inverse.isfinite()
    assert_close(link(inverse[finite]), values[finite], exponent=STEEPEST)


def shapes(link: Link, p: Tensor, s: Tensor) -> None:
    column, row = p.unsqueeze(1), s.unsqueeze(0)
    table = link.divergence(column, row)
    assert table.shape == (len(p), len(s))
    assert_close(table[:, 0], link.divergence(p, s[0].expand_as(p)))
    assert link.divergence(p[:0], s[:0]).shape == (0,)
    assert math.prod(link.potential(p.reshape(1, -1)).shape) == len(p)


def logits_are_the_scaled_potential(link: Link, p: Tensor, s: Tensor) -> None:
    scores = torch.cat([p, s])
    for dtype in DTYPES:
        tolerance = rounding(dtype, SCORE)
        for scale in (1.0, 20.0):
            given = scores.to(dtype)
            logits, slope = link._logits(given.clone(), scale)
            assert logits.dtype == dtype
            slope = slope if isinstance(slope, Tensor) else torch.full_like(logits, slope)
            # Single precision rounds the link's argument too.
            size = link.potential(scores).abs() + (scores.abs() + 1) * (link(scores).abs() + link.sensitivity(scores))
            assert ((logits - scale * link.potential(given.double())).abs() <= tolerance * scale * (size + 1)).all()
            size = link(scores).abs() + (scores.abs() + 1) * link.sensitivity(scores)
            assert ((slope - scale * link(given.double())).abs() <= tolerance * scale * (size + 1)).all()


PROPERTIES: list[Property] = [
    logits_are_the_scaled_potential,
    monotone,
    potential_has_the_link_as_derivative,
    sensitivity_is_the_slope,
    divergence_is_its_definition,
    divergence_is_nonnegative,
    divergence_is_zero_at_the_match,
    gradient_is_the_difference_of_link_values,
    local_quadratic,
    fenchel_young_agrees,
    conjugate_is_the_supremum,
    algebra,
    normalised,
    linear_outside,
    config_round_trip,
    extremes,
    half_precision,
    range_holds,
    shapes,
]
