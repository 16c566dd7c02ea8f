"""The transforms of torch.func on links and functional losses: as automatic differentiation and loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, vmap
from torch.testing import assert_close

from selective_st.functional import (
    TopTokens,
    fenchel_young_loss,
    in_batch_loss,
    listwise_label_loss,
    listwise_matching_loss,
    margin_loss,
    matching_loss,
    pairwise_loss,
    top_tokens,
    vocabulary_log_probabilities,
    vocabulary_loss,
    vocabulary_matching_loss,
)
from selective_st.links import ConstantLink, ExponentialLink, Interval, Link, SigmoidLink, score_region
from tests.link_cases import LINK_CASES, LinkCase

Loss = Callable[..., Tensor]


class Bounded(Link):
    """A link of one's own with a domain."""

    domain = Interval(0.0, 4.0)

    def h(self, z: Tensor) -> Tensor:
        return z.sqrt() if bool((z >= 0).all()) else z  # asks for values, which vmap would not allow


CASES = [*LINK_CASES, LinkCase("own link with a domain", Bounded(), 0.1, 3.9, lambda z: z, lambda z: z)]


def scores(case: LinkCase, *shape: int) -> Tensor:
    return case.low + (case.high - case.low) * torch.rand(*shape, dtype=torch.float64)


def by_autograd(of: Loss, *arguments: Tensor, create_graph: bool = False) -> tuple[Tensor, ...]:
    if not create_graph:
        arguments = tuple(argument.clone().requires_grad_() for argument in arguments)
    value = of(*arguments).sum()
    if not value.requires_grad:
        return tuple(map(torch.zeros_like, arguments))
    return torch.autograd.grad(value, arguments, create_graph=create_graph, allow_unused=True, materialize_grads=True)


def agrees(of: Loss, *arguments: Tensor) -> None:
    """Each transform of an elementwise function against plain automatic differentiation of it."""
    every = tuple(range(len(arguments)))
    expected, gradients = of(*arguments), by_autograd(of, *arguments)
    assert_close(vmap(of)(*arguments), expected)
    assert_close(vmap(of, in_dims=-1, out_dims=-1)(*arguments), expected)
    assert_close(
        vmap(of, in_dims=(0, *[None] * (len(arguments) - 1)))(
            *(x[:2] for x in arguments[:1]), *(x[0] for x in arguments[1:])
        ),
        of(arguments[0][:2], *(x[:1].expand(2, -1) for x in arguments[1:])),
    )
    assert_close(grad(lambda *x: of(*x).sum(), argnums=every)(*arguments), gradients)
    assert_close(vmap(grad(lambda *x: of(*x).sum(), argnums=every))(*arguments), gradients)
    for i, gradient in enumerate(gradients):
        jacobian = jacrev(of, argnums=i)(*arguments).flatten(0, 1).flatten(1)
        assert_close(jacobian, torch.diag(gradient.flatten()))
        hessian = jacrev(grad(lambda *x, i=i: of(*x).sum(), argnums=i), argnums=i)(*arguments).flatten(0, 1).flatten(1)
        second = by_autograd(lambda *x, i=i: by_autograd(of, *x, create_graph=True)[i], *arguments)
        assert_close(hessian, torch.diag(second[i].flatten()))
        # Forward mode, and what torch.func.hessian makes of both.
        assert_close(jacfwd(of, argnums=i)(*arguments).flatten(0, 1).flatten(1), torch.diag(gradient.flatten()))
        forward = jacfwd(grad(lambda *x, i=i: of(*x).sum(), argnums=i), argnums=i)(*arguments)
        assert_close(forward.flatten(0, 1).flatten(1), hessian)


METHODS = ["__call__", "potential", "sensitivity", "inverse", "conjugate", "difference", "divergence", "fenchel_young"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_links(case: LinkCase, method: str) -> None:
    of, z = getattr(case.link, method), scores(case, 3, 4)
    if method in ("inverse", "conjugate"):
        flat = case.link.sensitivity(z) == 0  # where the inverse has no slope
        agrees(of, case.link(torch.where(flat & (case.name == "piecewise"), 0.7, z)))
    elif method == "fenchel_young":
        agrees(of, z, case.link(scores(case, 3, 4)))
    else:
        agrees(of, *([z, scores(case, 3, 4)] if method in ("difference", "divergence") else [z]))


# --- Functional forms: of one row of a batch, which vmap goes over


@dataclass(frozen=True)
class Form:
    """A loss of rows.

    Attributes:
        name: For the test's id.
        of: The loss of (rows, ...) tensors.
        arguments: These.
        differentiable: For how many of them gradients are wanted.
    """

    name: str
    of: Loss
    arguments: tuple[Tensor, ...]
    differentiable: int = 1


def _rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


ROWS = 4
EXPONENTIAL = ExponentialLink(2.0).normalized(0, 1, of="value")
REGION, BELOW_ONE = score_region(0.6, 0.8), ExponentialLink(2.0).linear_outside(None, 0.5)
MASK = _rand(ROWS, 5) > 0.3
MASK[:, 0] = True
TARGET = _rand(ROWS, 5)
PADDED = TARGET.masked_fill(~MASK, math.nan)
NEVER = TARGET.masked_fill(~MASK, -math.inf)
INDEX = torch.tensor([0, 2, 1, 4])
CHOICE = torch.nn.functional.one_hot(INDEX, 5)
LOGITS, TOKENS = 4 * _rand(ROWS, 3, 6) - 2, torch.tensor([[0, 2, -100], [1, -100, 5], [3, 3, 3], [-100, 4, 0]])
FORMS = [
    Form("matching", lambda p, s: matching_loss(p, s, REGION), (_rand(ROWS, 5), TARGET), 2),
    Form(
        "matching, masked",
        lambda p, s, m, w: matching_loss(p, s, BELOW_ONE, mask=m, weight=w),
        (_rand(ROWS, 5), PADDED, MASK, _rand(ROWS, 5)),
    ),
    Form("fenchel-young", lambda p, y: fenchel_young_loss(p, y, SigmoidLink(4, 0.5)), (_rand(ROWS, 5), TARGET), 2),
    Form("pairwise", lambda p, n: pairwise_loss(p, n, EXPONENTIAL, 0.3), (_rand(ROWS), _rand(ROWS, 5)), 2),
    Form(
        "margins",
        lambda p, n, m, mask: margin_loss(p, n, m, REGION, mask=mask),
        (_rand(ROWS), _rand(ROWS, 5), TARGET, MASK),
        3,
    ),
    *(
        Form(
            f"listwise, {name}",
            lambda p, s, link=link: listwise_matching_loss(p, s, link, 0.3, target_temperature=0.5),
            (_rand(ROWS, 5), target),
        )
        for name, link, target in (
            ("exponential", EXPONENTIAL, TARGET),
            ("region", REGION, TARGET),
            ("linear above", BELOW_ONE, TARGET),
            ("padded", EXPONENTIAL, PADDED),
            ("never right", EXPONENTIAL, NEVER),
        )
    ),
    Form(
        "listwise, gradient to the target",
        lambda p, s: listwise_matching_loss(p, s, EXPONENTIAL, 0.3),
        (_rand(ROWS, 5), TARGET),
        2,
    ),
    *(
        Form(
            f"labels, {name}",
            lambda p, y: listwise_label_loss(p, y, EXPONENTIAL, 0.3, label_smoothing=0.1),
            (_rand(ROWS, 5), labels),
        )
        for name, labels in (
            ("index", INDEX),
            ("choice", CHOICE),
            ("probabilities", TARGET / TARGET.sum(-1, keepdim=True)),
        )
    ),
    Form(
        "labels, masked",
        lambda p, y, m: listwise_label_loss(p, y, EXPONENTIAL, 0.3, mask=m),
        (_rand(ROWS, 5), torch.zeros(ROWS, dtype=torch.long), MASK),
    ),
    *(
        Form(
            f"vocabulary, {name}",
            lambda z, y, link=link: vocabulary_loss(z, y, link, 0.7, label_smoothing=0.1),
            (LOGITS, TOKENS),
        )
        for name, link in (
            ("constant", ConstantLink()),
            ("exponential", ExponentialLink(1.0)),
            ("linear above", BELOW_ONE),
        )
    ),
    Form(
        "vocabulary, forbidden",
        lambda z, y: vocabulary_loss(z, y, ExponentialLink(1.0)),
        (torch.cat([LOGITS, torch.full_like(LOGITS[..., :1], -math.inf)], -1), TOKENS),
    ),
    Form(
        "vocabulary, teacher",
        lambda z, t, m: vocabulary_matching_loss(z, t, EXPONENTIAL, 0.7, mask=m),
        (LOGITS, LOGITS.flip(0), TOKENS > 0),
    ),
    Form(
        "vocabulary, top tokens",
        lambda z, *t: vocabulary_matching_loss(z, TopTokens(*t, 6), EXPONENTIAL, 0.7),
        (LOGITS, *top_tokens(LOGITS.flip(0), 2, EXPONENTIAL, 0.7)[:3]),
    ),
    Form("vocabulary, probabilities", lambda z: vocabulary_log_probabilities(z, EXPONENTIAL).sum(), (LOGITS,)),
    *(
        Form(
            f"in-batch, {name}",
            lambda q, d, options=options: in_batch_loss(q, d, EXPONENTIAL, 5.0, **options),
            (_rand(ROWS, 3, 4), _rand(ROWS, 6, 4)),
            2,
        )
        for name, options in {
            "default": {},
            "cosines": {"normalize": True},
            "symmetric": {"directions": ("query_to_doc", "doc_to_query")},
            "plain": {"form": "plain", "label_smoothing": 0.1},
            "hardness": {"hardness_mode": "all_negatives", "hardness_strength": 2.0},
            "same texts": {"document_ids": torch.tensor([0, 0, 1, 2, 3, 4])},
            "teacher": {"target_scores": _rand(3, 2)},
        }.items()
    ),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_functional_forms(form: Form) -> None:
    every = tuple(range(form.differentiable))
    rows = [tuple(argument[i] for argument in form.arguments) for i in range(ROWS)]

    def gradients(*row: Tensor) -> tuple[Tensor, ...]:
        row = (*(argument.clone().requires_grad_() for argument in row[: len(every)]), *row[len(every) :])
        return torch.autograd.grad(form.of(*row), row[: len(every)])

    each = [gradients(*row) for row in rows]
    expected = tuple(torch.stack(column) for column in zip(*each, strict=True))
    assert_close(vmap(form.of)(*form.arguments), torch.stack([form.of(*row) for row in rows]))
    assert_close(grad(form.of, argnums=every)(*rows[0]), each[0])
    assert_close(vmap(grad(form.of, argnums=every))(*form.arguments), expected)
    assert_close(jacrev(form.of, argnums=every)(*rows[0]), each[0])
    # A Jacobian of several losses, and a Hessian.
    jacobians = jacrev(lambda *x: vmap(form.of)(*x), argnums=every)(*form.arguments)
    for jacobian, gradient in zip(jacobians, expected, strict=True):
        assert_close(jacobian[range(ROWS), range(ROWS)], gradient)
    hessian = jacrev(grad(form.of))(*rows[0])
    second = torch.autograd.functional.hessian(lambda x: form.of(x, *rows[0][1:]), rows[0][0])
    assert_close(hessian, second)
    # Recorded by plain automatic differentiation outside.
    arguments = tuple(x.clone().requires_grad_() for x in form.arguments[: len(every)])
    assert_close(
        torch.autograd.grad(vmap(form.of)(*arguments, *form.arguments[len(every) :]).sum(), arguments), expected
    )


@pytest.mark.parametrize("form", [form for form in FORMS if "matching" not in form.name and "fenchel" not in form.name])
def test_forward_mode_of_lists_is_refused_with_what_to_use(form: Form) -> None:
    row = [argument[0] for argument in form.arguments]
    if form.name in (
        "margins",
        "vocabulary, probabilities",
        "in-batch, plain",
    ):  # which are elementwise, or plain torch
        assert_close(jacfwd(form.of)(*row), jacrev(form.of)(*row))
        return
    with pytest.raises(NotImplementedError, match=r"Use torch\.func\.jacrev, and jacrev\(jacrev\(f\)\) for a Hessian"):
        jacfwd(form.of)(*row)
