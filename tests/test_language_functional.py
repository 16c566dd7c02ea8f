"""Losses over a vocabulary, on tensors: plain losses, loops over 50-digit numbers, derivatives, blocks, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from selective_st.functional import (
    TopTokens,
    listwise_label_loss,
    listwise_matching_loss,
    top_tokens,
    vocabulary,
    vocabulary_log_probabilities,
    vocabulary_loss,
    vocabulary_matching_loss,
)
from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    IdentityLink,
    Interval,
    Link,
    PiecewiseLink,
    SigmoidLink,
    SinhLink,
)
from tests import random_inputs
from tests.link_cases import ArctanCase, From1
from tests.tolerances import DTYPES, SCORE, SEARCHED, are_close, assert_close, assert_within, largest, rounding

pytestmark = pytest.mark.numerical

VOCABULARY = 11
POSITIVE: dict[str, Link] = {
    "constant": ConstantLink(),
    "exponential": ExponentialLink(0.3),
    "sigmoid + constant": SigmoidLink(1.5, -2.0) + 0.4 * ConstantLink(),
    "identity + constant": IdentityLink() + 40 * ConstantLink(),
    "linear outside": SigmoidLink(2.0, -1.0).linear_outside(-3.0, -0.5) + 30 * ConstantLink(),
    "piecewise": PiecewiseLink((-60.0, -4.0, -1.0), (0.0, 0.2, 1.0)) + ConstantLink(),
    "own": ArctanCase(0.7) + 2 * ConstantLink(),
}
SIGNED: dict[str, Link] = {**POSITIVE, "identity": IdentityLink(), "sinh": SinhLink(0.4, -2.0)}
CENTERS = ("logsumexp", None)
IGNORED = -100


@pytest.fixture(autouse=True)
def _blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_BLOCK", 3 * VOCABULARY)  # several blocks, the last of them not full


def logits(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64, spread: float = 3.0) -> Tensor:
    values = torch.randn(*shape, VOCABULARY, generator=random_inputs.generator(seed)) * spread
    return values.to(dtype).requires_grad_()


def labels(*shape: int, seed: int = 5) -> Tensor:
    found = torch.randint(VOCABULARY, shape, generator=random_inputs.generator(seed))
    return found.masked_fill(torch.rand(shape, generator=random_inputs.generator(seed + 1)) < 0.3, IGNORED)


def reach(z: Tensor, link: Link, temperature: float = 1.0) -> float:
    """The largest logit, of centred scores or of others."""
    return largest(link.potential(z), link.potential(z.log_softmax(-1))) / temperature


def assert_same(ours: Tensor, theirs: Tensor, z: Tensor, link: Link, temperature: float = 1.0) -> None:
    """Values, and gradients relative to the largest entry."""
    exponent = reach(z.detach(), link, temperature)
    assert_close(ours, theirs, size=1.0, exponent=exponent)
    of_ours, of_theirs = (torch.autograd.grad(loss.sum(), z)[0] for loss in (ours, theirs))
    assert of_ours.dtype == z.dtype
    assert of_theirs.abs().max() > 0
    assert_close(of_ours, of_theirs, exponent=exponent)


# --- Labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("smoothing", "temperature"), [(0.0, 1.0), (0.1, 1.0), (0.3, 2.5), (1.0, 0.5)])
def test_with_a_constant_link_it_is_the_plain_cross_entropy(
    dtype: torch.dtype, reduction: Any, smoothing: float, temperature: float
) -> None:
    z, y = logits(2, 5, dtype=dtype), labels(2, 5)
    for center in CENTERS:
        ours = vocabulary_loss(
            z, y, ConstantLink(), temperature, label_smoothing=smoothing, reduction=reduction, center=center
        )
        plain = cross_entropy(
            (z / temperature).view(-1, VOCABULARY), y.view(-1), label_smoothing=smoothing, reduction=reduction
        )
        assert_same(ours, plain.view(ours.shape), z, ConstantLink(), temperature)


def reference_scores(row: list[float], center: str | None) -> list[mp.mpf]:
    numbers = [mp.mpf(number) for number in row]
    shift = mp.log(mp.fsum(mp.exp(number) for number in numbers)) if center else mp.mpf(0)
    return [number - shift for number in numbers]


def reference_log_probabilities(
    row: list[float], potential: Callable[[mp.mpf], mp.mpf], temperature: float, center: str | None
) -> list[mp.mpf]:
    values = [potential(score) / temperature for score in reference_scores(row, center)]
    total = mp.log(mp.fsum(mp.exp(value) for value in values))
    return [value - total for value in values]


POTENTIALS: dict[str, Callable[[mp.mpf], mp.mpf]] = {
    "constant": lambda z: z,
    "exponential": lambda z: mp.exp(mp.mpf(0.3) * z) / mp.mpf(0.3),
    "sigmoid + constant": lambda z: mp.log(1 + mp.exp(1.5 * (z + 2))) / 1.5 + mp.mpf(0.4) * z,
    "identity + constant": lambda z: z**2 / 2 + 40 * z,
    "identity": lambda z: z**2 / 2,
}


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("name", [name for name in POTENTIALS if name in POSITIVE])
def test_labels_against_fifty_digits(name: str, center: Any) -> None:
    z, y, smoothing, temperature = logits(6), labels(6), 0.2, 1.7
    ours = vocabulary_loss(
        z, y, POSITIVE[name], temperature, label_smoothing=smoothing, center=center, reduction="none"
    )
    for loss, row, label in zip(ours.tolist(), z.tolist(), y.tolist(), strict=True):
        if label == IGNORED:
            assert loss == 0
            continue
        log_r = reference_log_probabilities(row, POTENTIALS[name], temperature, center)
        expected = -(1 - mp.mpf(smoothing)) * log_r[label] - mp.mpf(smoothing) * mp.fsum(log_r) / VOCABULARY
        assert_close(loss, float(expected), exponent=reach(z.detach(), POSITIVE[name], temperature))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("name", POSITIVE)
def test_labels_are_those_of_a_list(name: str, center: Any, dtype: torch.dtype) -> None:
    z, y = logits(4, 3, dtype=dtype), labels(4, 3)
    counts = y != IGNORED
    scores = torch.log_softmax(z, -1) if center else z
    theirs = listwise_label_loss(scores[counts], y[counts], POSITIVE[name], 1.5, label_smoothing=0.1)
    ours = vocabulary_loss(z, y, POSITIVE[name], 1.5, label_smoothing=0.1, center=center)
    assert_same(ours, theirs, z, POSITIVE[name], 1.5)


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("name", POSITIVE)
def test_derivatives_of_labels(name: str, center: Any) -> None:
    y = labels(4)

    def loss(z: Tensor) -> Tensor:
        return vocabulary_loss(z, y, POSITIVE[name], 1.3, label_smoothing=0.1, center=center, reduction="none")

    z = logits(4, spread=1.0)
    assert torch.autograd.gradcheck(loss, z, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, z, fast_mode=True)


@pytest.mark.parametrize("name", POSITIVE)
def test_centred_scores_do_not_change_with_the_level_of_the_logits(name: str) -> None:
    z, y, link = logits(8), labels(8), POSITIVE[name]
    moved = z.detach() + torch.linspace(-9, 9, 8).unsqueeze(-1)
    exponent = reach(moved, link)
    assert_close(vocabulary_loss(moved, y, link), vocabulary_loss(z, y, link), exponent=exponent)
    (gradient,) = torch.autograd.grad(vocabulary_loss(z, y, link), z)
    assert_close(gradient.sum(-1), torch.zeros(8).double(), exponent=exponent, size=largest(gradient))
    uncentred = [vocabulary_loss(each, y, link, center=None) for each in (moved, z)]
    assert are_close(*uncentred, exponent=exponent) == (name == "constant")


def test_it_is_proper_the_smallest_loss_is_at_the_labels_distribution() -> None:
    link = POSITIVE["sigmoid + constant"]
    truth = torch.tensor([0.5, 0.3, 0.1, 0.05, 0.03, 0.02]).double()
    z = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([z], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure() -> Tensor:
        optimizer.zero_grad()
        each = vocabulary_loss(z.expand(6, 6), torch.arange(6), link, 0.8, reduction="none")
        loss = (truth * each).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = vocabulary_log_probabilities(z, link, 0.8).exp()[0]
    assert_within(found, truth, SEARCHED)
    assert (torch.softmax(z, -1)[0] - truth).abs().max() > 0.02  # the plain Softmax is another distribution


@pytest.mark.parametrize("name", POSITIVE)
def test_log_probabilities(name: str) -> None:
    z, y = logits(5), torch.arange(5)
    for center in CENTERS:
        found = vocabulary_log_probabilities(z, POSITIVE[name], 1.4, center=center)
        exponent = reach(z.detach(), POSITIVE[name], 1.4)
        assert_close(found.exp().sum(-1), torch.ones(5).double(), exponent=exponent)
        losses = vocabulary_loss(z, y, POSITIVE[name], 1.4, center=center, reduction="none")
        assert_close(-found.gather(-1, y.unsqueeze(-1)).squeeze(-1), losses, exponent=exponent)
        if name != "identity + constant":
            assert torch.equal(found.argmax(-1), z.argmax(-1))  # greedy decoding stays the same


# --- A teacher's logits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_with_a_constant_link_it_is_the_kl_divergence(dtype: torch.dtype, temperature: float) -> None:
    z, s = logits(2, 3, dtype=dtype), logits(2, 3, seed=1, dtype=dtype).detach()
    for calibration in (0.0, 1.0):
        log_r, log_q = (torch.log_softmax(part / temperature, -1) for part in (z, s))
        theirs = kl_div(log_r, log_q, log_target=True, reduction="none").sum(-1)
        ours = vocabulary_matching_loss(z, s, ConstantLink(), temperature, calibration=calibration, reduction="none")
        assert_same(ours, theirs, z, ConstantLink(), temperature)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("name", SIGNED)
def test_a_teacher_is_matched_as_a_list(name: str, center: Any, dtype: torch.dtype) -> None:
    z, s, link = logits(4, 3, dtype=dtype), logits(4, 3, seed=1, dtype=dtype).detach(), SIGNED[name]
    mask = labels(4, 3) != IGNORED
    for setting in (
        {},
        {"calibration": 0.0},
        {"calibration": 0.3, "calibration_link": ExponentialLink(0.4)},
        {"target_temperature": 3.0},
    ):
        p, t = (torch.log_softmax(part, -1) if center else part for part in (z, s))
        theirs = listwise_matching_loss(p[mask], t[mask], link, 2.0, **setting)
        ours = vocabulary_matching_loss(z, s, link, 2.0, mask=mask, center=center, **setting)
        assert_same(ours, theirs, z, link, 2.0)


@pytest.mark.parametrize("cut", [None, 4])
@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("name", SIGNED)
def test_derivatives_for_a_teacher(name: str, center: Any, cut: int | None) -> None:
    link = SIGNED[name]
    teacher: Tensor | TopTokens = logits(3, seed=1, spread=1.0).detach()
    if cut is not None:
        teacher = top_tokens(teacher, cut, link, 1.3, center=center)
    mask = torch.tensor([True, False, True])

    def loss(z: Tensor) -> Tensor:
        return vocabulary_matching_loss(z, teacher, link, 1.3, mask=mask, center=center, reduction="none")

    z = logits(3, spread=1.0)
    assert torch.autograd.gradcheck(loss, z, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, z, fast_mode=True)


@pytest.mark.parametrize("name", [name for name in POTENTIALS if name in SIGNED])
def test_top_tokens_against_fifty_digits(name: str) -> None:
    z, s, link, k, temperature, of_teacher = logits(4), logits(4, seed=1).detach(), SIGNED[name], 3, 1.7, 2.2
    top = top_tokens(s, k, link, of_teacher)
    ours = vocabulary_matching_loss(
        z, top, link, temperature, target_temperature=of_teacher, calibration=0, reduction="none"
    )
    for loss, row, target in zip(ours.tolist(), z.tolist(), s.tolist(), strict=True):
        r, q = (
            [mp.exp(value) for value in reference_log_probabilities(numbers, POTENTIALS[name], t, "logsumexp")]
            for numbers, t in ((row, temperature), (target, of_teacher))
        )
        kept = sorted(range(VOCABULARY), key=lambda token: -target[token])[:k]
        others = [token for token in range(VOCABULARY) if token not in kept]
        pairs = [(q[token], r[token]) for token in kept]
        pairs.append((mp.fsum(q[token] for token in others), mp.fsum(r[token] for token in others)))
        exponent = max(reach(each.detach(), link, t) for each, t in ((z, temperature), (s, of_teacher)))
        assert_close(loss, float(mp.fsum(a * mp.log(a / b) for a, b in pairs)), exponent=exponent, size=1.0)


@pytest.mark.parametrize("name", SIGNED)
def test_top_tokens_are_a_bound_that_rises_to_the_whole_loss(name: str) -> None:
    z, s, link = logits(6), logits(6, seed=1).detach(), SIGNED[name]
    whole = vocabulary_matching_loss(z, s, link, 2.0)
    cut = [vocabulary_matching_loss(z, top_tokens(s, k, link, 2.0), link, 2.0) for k in range(1, VOCABULARY)]
    for less, more in zip(cut, [*cut[1:], whole], strict=True):
        assert 0 < less <= more * (1 + rounding(torch.float64))
    # With one token left it has the ranking term whole, and lacks one term of the calibration.
    ranking = [
        vocabulary_matching_loss(z, part, link, 2.0, calibration=0) for part in (top_tokens(s, 10, link, 2.0), s)
    ]
    assert_same(ranking[0], ranking[1], z, link, 2.0)
    for same in (s, top_tokens(s, 3, link, 2.0)):
        agreeing = s.clone().requires_grad_()
        loss = vocabulary_matching_loss(agreeing, same, link, 2.0)
        assert loss.abs() <= rounding(torch.float64)
        steepest = largest(link(s.log_softmax(-1))) / 2.0
        (gradient,) = torch.autograd.grad(loss, agreeing)
        assert_close(gradient, torch.zeros_like(gradient), exponent=reach(s, link, 2.0), size=steepest)


def test_top_tokens_keep_shapes_and_precision() -> None:
    s = logits(2, 3, seed=1, dtype=torch.bfloat16).detach()
    top = top_tokens(s, 4, ConstantLink())
    assert top.scores.shape == top.tokens.shape == (2, 3, 4)
    assert top.rest.shape == (2, 3)
    assert top.scores.dtype == top.rest.dtype == torch.float32
    assert torch.equal(top.tokens.sort().values, s.float().topk(4).indices.sort().values)


# --- What holds for both ----------------------------------------------------------------------------------------------


def both(link: Link) -> list[Callable[[Tensor], Tensor]]:
    s = logits(6, seed=1).detach()
    y, mask = labels(6), labels(6) != IGNORED
    top = top_tokens(s, 3, link)
    return [
        lambda z: vocabulary_loss(z, y, link, label_smoothing=0.1),
        lambda z: vocabulary_matching_loss(z, s, link, mask=mask),
        lambda z: vocabulary_matching_loss(z, top, link, mask=mask),
    ]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    for loss in both(POSITIVE["sigmoid + constant"]):
        z = logits(6, dtype=dtype)
        exact = z.detach().float().requires_grad_()
        ours, theirs = loss(z), loss(exact)
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, SCORE)
        ours.backward()
        theirs.backward()
        assert z.grad.dtype == dtype
        assert_close(z.grad, exact.grad.to(dtype), 2)


@pytest.mark.parametrize("rows", [1, 2, 10**6])
def test_blocks_of_any_length_give_the_same(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for loss in both(POSITIVE["piecewise"]):
        z = logits(6)
        expected = loss(z)
        (gradient,) = torch.autograd.grad(expected, z)
        monkeypatch.setattr(vocabulary, "_BLOCK", rows * VOCABULARY)
        ours = loss(z)
        assert_close(ours, expected)
        assert_close(torch.autograd.grad(ours, z)[0], gradient)
        monkeypatch.undo()


def test_what_is_ignored_may_be_nan_and_gets_no_gradient_but_what_counts_shows_it() -> None:
    ignored = labels(6) == IGNORED
    assert 0 < ignored.sum() < 6
    for loss in both(POSITIVE["exponential"]):
        z = logits(6).detach()
        expected = loss(z)
        z[ignored] = math.nan
        z.requires_grad_()
        assert torch.equal(loss(z), expected)
        (gradient,) = torch.autograd.grad(loss(z), z)
        assert (gradient[ignored] == 0).all()
        assert (gradient[~ignored] != 0).any()
        with torch.no_grad():
            z[(~ignored).nonzero()[0], 2] = math.nan
        assert loss(z).isnan()


def test_a_teacher_that_is_nan_shows_in_the_gradient() -> None:
    """For a Trainer keeps NaN out of the loss that it logs."""
    z, teacher = logits(2), logits(2, seed=1).detach()
    teacher[1, 2] = math.nan
    loss = vocabulary_matching_loss(z, teacher, POSITIVE["exponential"])
    (gradient,) = torch.autograd.grad(loss, z)
    assert loss.isnan()
    assert gradient.isnan().any(-1).tolist() == [False, True]


def test_a_token_that_is_ruled_out_counts_for_nothing() -> None:
    y = torch.tensor([0, 1, 2])
    for name in ("constant", "sigmoid + constant", "exponential"):
        link = POSITIVE[name]
        z = logits(3).detach()
        z[:, 7] = -math.inf
        z.requires_grad_()
        without = z.detach()[:, [i for i in range(VOCABULARY) if i != 7]].requires_grad_()
        pairs = [(vocabulary_loss(z, y, link), vocabulary_loss(without, y, link))]
        if name != "exponential":  # its potential has a lower bound, so that such a token keeps a probability
            s = logits(3, seed=1).detach()
            s[:, 7] = -math.inf
            short = s[:, [i for i in range(VOCABULARY) if i != 7]]
            for calibration in (0.0, 0.5):
                ours, theirs = (
                    vocabulary_matching_loss(p, t, link, calibration=calibration) for p, t in ((z, s), (without, short))
                )
                pairs.append((ours, theirs))
            for ours, theirs in pairs:
                assert_close(ours, theirs, exponent=reach(without.detach(), link))
        for ours, _ in pairs:
            (gradient,) = torch.autograd.grad(ours, z)
            assert gradient.isfinite().all()
            assert (gradient[:, 7] == 0).all()


@pytest.mark.parametrize("ruled_out", [-math.inf, -1000.0])
def test_a_token_that_is_ruled_out_needs_no_score_of_the_calibrations_domain(ruled_out: float) -> None:
    z, s = torch.tensor([[2.0, 3.0, ruled_out]]), torch.tensor([[2.5, 2.0, ruled_out]])
    ours, without = (
        vocabulary_matching_loss(p, t, ConstantLink(), calibration_link=From1(), center=None)
        for p, t in ((z, s), (z[:, :2], s[:, :2]))
    )
    assert_close(ours, without)


def test_where_nothing_counts_it_is_zero_with_a_graph() -> None:
    z = logits(3)
    nothing = torch.full((3,), IGNORED)
    for loss in (
        vocabulary_loss(z, nothing, POSITIVE["own"]),
        vocabulary_matching_loss(z, z.detach(), POSITIVE["own"], mask=nothing != IGNORED),
    ):
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, z)
        assert (gradient == 0).all()


def test_backward_twice_and_without_a_gradient() -> None:
    for loss in both(POSITIVE["own"]):
        z = logits(6)
        value = loss(z)
        first, second = (torch.autograd.grad(value, z, retain_graph=True)[0] for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(loss(z.detach()), value)
        before = z.detach().clone()
        loss(z).backward()
        assert torch.equal(z, before)  # the logits are left as they were


def test_large_logits_do_not_overflow() -> None:
    y = torch.tensor([0, 1])
    for name in ("constant", "sigmoid + constant", "exponential", "own"):
        z = torch.zeros(2, VOCABULARY)
        z[:, 0], z[:, 1] = 1e4, -1e4
        z.requires_grad_()
        loss = vocabulary_loss(z, y, POSITIVE[name], reduction="none")
        assert loss.isfinite().all()
        assert torch.autograd.grad(loss.sum(), z)[0].isfinite().all()


class Decreasing(Link):
    def h(self, z: Tensor) -> Tensor:
        return -z


Z, Y = torch.zeros(3, VOCABULARY), torch.tensor([1, 2, IGNORED])
ERRORS: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (TypeError, "link must be a Link, got 'high'", lambda: vocabulary_loss(Z, Y, "high")),  # type: ignore[arg-type]
    (TypeError, "logits must be a torch.Tensor", lambda: vocabulary_loss([0.0], Y, ConstantLink())),  # type: ignore[arg-type]
    (TypeError, "logits must hold floating-point", lambda: vocabulary_loss(Z.long(), Y, ConstantLink())),
    (TypeError, "labels must hold whole numbers", lambda: vocabulary_loss(Z, Y.float(), ConstantLink())),
    (TypeError, "labels must be a torch.Tensor", lambda: vocabulary_loss(Z, [1], ConstantLink())),  # type: ignore[arg-type]
    (TypeError, "ignore_index must be", lambda: vocabulary_loss(Z, Y, ConstantLink(), ignore_index=0.5)),  # type: ignore[arg-type]
    (TypeError, "ignore_index must be", lambda: vocabulary_loss(Z, Y, ConstantLink(), ignore_index=True)),
    (ValueError, "k must be an integer", lambda: top_tokens(Z, True, ConstantLink())),
    (TypeError, "must not require a gradient", lambda: vocabulary_matching_loss(Z, logits(3), ConstantLink())),
    (TypeError, "mask must be a boolean", lambda: vocabulary_matching_loss(Z, Z, ConstantLink(), mask=Y)),
    (TypeError, "temperature must be", lambda: vocabulary_loss(Z, Y, ConstantLink(), "1")),  # type: ignore[arg-type]
    (ValueError, "temperature must be", lambda: vocabulary_loss(Z, Y, ConstantLink(), 0.0)),
    (ValueError, "temperature must be", lambda: vocabulary_loss(Z, Y, ConstantLink(), math.nan)),
    (ValueError, "label_smoothing must be", lambda: vocabulary_loss(Z, Y, ConstantLink(), label_smoothing=1.5)),
    (ValueError, "center must be one of", lambda: vocabulary_loss(Z, Y, ConstantLink(), center="max")),  # type: ignore[arg-type]
    (ValueError, "reduction must be one of", lambda: vocabulary_loss(Z, Y, ConstantLink(), reduction="all")),  # type: ignore[arg-type]
    (ValueError, "must have the shape of logits", lambda: vocabulary_loss(Z, Y[:2], ConstantLink())),
    (ValueError, "logits must have shape", lambda: vocabulary_loss(Z[0], Y[0], ConstantLink())),
    (ValueError, "at least one of each", lambda: vocabulary_loss(Z[:0], Y[:0], ConstantLink())),
    (
        ValueError,
        r"got labels from 9 to 11\. .*masked_fill",
        lambda: vocabulary_loss(Z, Y.clamp(0) + 9, ConstantLink()),
    ),
    (ValueError, "got labels from -1 to 2", lambda: vocabulary_loss(Z, Y.clamp(-1), ConstantLink())),
    (ValueError, r"must not be negative.*ConstantLink\(\)", lambda: vocabulary_loss(Z, Y, IdentityLink())),
    (ValueError, "calibration must be", lambda: vocabulary_matching_loss(Z, Z, ConstantLink(), calibration=-1)),
    (ValueError, r"one vocabulary.*\[\.\.\., :10\]", lambda: vocabulary_matching_loss(Z, Z[:, 1:], ConstantLink())),
    (ValueError, "teacher must have the shape", lambda: vocabulary_matching_loss(Z, Z[1:], ConstantLink())),
    (
        ValueError,
        "teacher must have the shape.*top_tokens",
        lambda: vocabulary_matching_loss(Z, top_tokens(Z[1:], 2, ConstantLink()), ConstantLink()),
    ),
    (
        ValueError,
        "one vocabulary, but the teacher gives 11 logits and the student 5",
        lambda: vocabulary_matching_loss(
            Z[:, :5], top_tokens(torch.arange(33.0).view(3, 11), 2, ConstantLink()), ConstantLink()
        ),
    ),
    (ValueError, "k must be an integer from 1 to 10", lambda: top_tokens(Z, 11, ConstantLink())),
    (ValueError, "k must be an integer", lambda: top_tokens(Z, 0, ConstantLink())),
    (
        ValueError,
        r"domain.*linear_outside",
        lambda: vocabulary_loss(Z, Y, type("Short", (ArctanCase,), {"domain": Interval(-1.0, 0.0)})()),
    ),
]


@pytest.mark.parametrize(("kind", "message", "call"), ERRORS, ids=[f"{i}" for i in range(len(ERRORS))])
def test_bad_input(kind: type[Exception], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=message):
        call()
