"""The transforms of torch.func on links and functional losses: as automatic differentiation and loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap
from torch.testing import assert_close

from selective_st.links import Interval, Link
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
    assert_close(vmap(of, in_dims=(0, *[None] * (len(arguments) - 1)))(*(x[:2] for x in arguments[:1]), *(x[0] for x in arguments[1:])), of(arguments[0][:2], *(x[:1].expand(2, -1) for x in arguments[1:])))
    assert_close(grad(lambda *x: of(*x).sum(), argnums=every)(*arguments), gradients)
    assert_close(vmap(grad(lambda *x: of(*x).sum(), argnums=every))(*arguments), gradients)
    for i, gradient in enumerate(gradients):
        jacobian = jacrev(of, argnums=i)(*arguments).flatten(0, 1).flatten(1)
        assert_close(jacobian, torch.diag(gradient.flatten()))
        hessian = jacrev(grad(lambda *x, i=i: of(*x).sum(), argnums=i), argnums=i)(*arguments).flatten(0, 1).flatten(1)
        second = by_autograd(lambda *x, i=i: by_autograd(of, *x, create_graph=True)[i], *arguments)
        assert_close(hessian, torch.diag(second[i].flatten()))


METHODS = ["__call__", "potential", "sensitivity", "inverse", "conjugate", "difference", "divergence", "fenchel_young"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_links(case: LinkCase, method: str) -> None:
    of, z = getattr(case.link, method), scores(case, 3, 4)
    if method in ("inverse", "conjugate"):
        agrees(of, case.link(z))
    elif method == "fenchel_young":
        agrees(of, z, case.link(scores(case, 3, 4)))
    else:
        agrees(of, *([z, scores(case, 3, 4)] if method in ("difference", "divergence") else [z]))
