"""Distillation in a batch, against the lists' loss on the whole matrix of scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from selective_st.functional import in_batch_matching_loss, listwise_matching_loss
from selective_st.links import ConstantLink, ExponentialLink, Link, high_scores
from tests.random_inputs import generator
from tests.tolerances import FIRST_ORDER, SECOND_ORDER, assert_close

LINKS: list[Link] = [ConstantLink(), ExponentialLink(1.0), high_scores()]


def embeddings(queries: int, documents: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Of a student of 3 and a teacher of 5 dimensions."""
    random = generator(queries)
    tensors = [
        torch.nn.functional.normalize(torch.randn(rows, dim, generator=random, dtype=torch.float64), dim=1).to(dtype)
        for dim in (3, 5)
        for rows in (queries, documents)
    ]
    return tensors[0].requires_grad_(), tensors[1].requires_grad_(), *tensors[2:]


def plain(tensors: tuple[Tensor, ...], link: Link, mask: Tensor | None = None, **settings: Any) -> Tensor:
    """The same, of all scores at once."""
    queries, documents, teacher_queries, teacher_documents = tensors
    scores, targets = queries @ documents.T, teacher_queries @ teacher_documents.T
    return listwise_matching_loss(scores, targets, link, 0.2, mask=mask, **settings)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("block_size", [1, 3, 4, 100, None])
@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_it_is_the_loss_of_lists(link: Link, block_size: int | None, dtype: torch.dtype) -> None:
    tensors = embeddings(7, 9, dtype)
    settings: dict[str, Any] = {"calibration": 0.3, "calibration_link": high_scores(), "target_temperature": 0.1}
    for some in ({}, settings):
        ours = in_batch_matching_loss(*tensors, link, 0.2, block_size=block_size, **some)
        theirs = plain(tensors, link, **some)
        assert_close(ours, theirs, exponent=10)
        expected = torch.autograd.grad(theirs, tensors[:2])
        for own, other in zip(torch.autograd.grad(3 * ours, tensors[:2]), expected, strict=True):
            assert_close(own, 3 * other, exponent=10)


@pytest.mark.parametrize("block_size", [2, None])
def test_a_batch_against_itself(block_size: int | None) -> None:
    own, _, teacher, _ = embeddings(6, 6)
    tensors = (own, own, teacher, teacher)
    ours = in_batch_matching_loss(*tensors, high_scores(), 0.2, without_self=True, block_size=block_size)
    theirs = plain(tensors, high_scores(), ~torch.eye(6, dtype=torch.bool))
    assert_close(ours, theirs, exponent=10)
    assert_close(torch.autograd.grad(ours, own)[0], torch.autograd.grad(theirs, own)[0], exponent=10)


def test_a_student_that_scores_as_its_teacher_has_no_loss() -> None:
    teacher = embeddings(6, 6)[2]
    turned = (
        teacher @ torch.linalg.qr(torch.randn(5, 5, generator=generator(1), dtype=torch.float64)).Q
    ).requires_grad_()
    loss = in_batch_matching_loss(turned, turned, teacher, teacher, high_scores(), 0.1)
    assert abs(loss.item()) <= 1e-12
    assert torch.autograd.grad(loss, turned)[0].abs().max() <= 1e-12


@pytest.mark.parametrize("rows", [0, 1])
def test_without_lists_it_is_0_with_a_graph(rows: int) -> None:
    own = torch.ones(rows, 3, requires_grad=True)
    teacher = torch.ones(rows, 5)
    loss = in_batch_matching_loss(own, own, teacher, teacher, ConstantLink(), without_self=True)
    assert loss == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None
    assert (own.grad == 0).all()


def test_derivatives() -> None:
    tensors = embeddings(4, 3)

    def loss(*student: Tensor) -> Tensor:
        return in_batch_matching_loss(*student, *tensors[2:], high_scores(), 0.5, block_size=3)

    assert torch.autograd.gradcheck(loss, tensors[:2], **FIRST_ORDER)
    assert torch.autograd.gradgradcheck(loss, tensors[:2], **SECOND_ORDER)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    tensors = [tensor.detach().to(dtype) for tensor in embeddings(5, 6)]
    single = [tensor.float() for tensor in tensors]
    tensors[0].requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = in_batch_matching_loss(*tensors, high_scores(), 0.2)
    assert loss.dtype == torch.float32
    assert_close(loss, in_batch_matching_loss(*single, high_scores(), 0.2))
    assert torch.autograd.grad(loss, tensors[0])[0].dtype == dtype


@pytest.mark.parametrize(
    ("place", "given", "message"),
    [
        (0, torch.ones(3), r"queries must hold a row for each text, shape \(texts, dim\), got \(3,\)"),
        (3, [1.0], "teacher_documents must be a torch.Tensor, got list"),
        (1, torch.ones(3, 2), "queries and documents must have the same dimension, got 3 and 2"),
        (
            2,
            torch.ones(2, 5),
            "teacher_queries and queries must have one embedding for each of the same texts.* got 2 and 4",
        ),
    ],
)
def test_wrong_arguments(place: int, given: Any, message: str) -> None:
    arguments: list[Any] = list(embeddings(4, 3))
    arguments[place] = given
    with pytest.raises((TypeError, ValueError), match=message):
        in_batch_matching_loss(*arguments, ConstantLink())


@pytest.mark.parametrize("block_size", [0, -1, 2.5])
def test_a_wrong_block_size(block_size: Any) -> None:
    with pytest.raises(
        (TypeError, ValueError), match="in_batch_matching_loss: block_size must be a whole number of at"
    ):
        in_batch_matching_loss(*embeddings(4, 3), ConstantLink(), block_size=block_size)


def test_no_documents() -> None:
    with pytest.raises(ValueError, match="documents must hold at least one embedding, got none for 4 queries"):
        in_batch_matching_loss(*embeddings(4, 0), ConstantLink())
