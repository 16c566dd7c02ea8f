"""The properties that every loss module must have, each a function that asserts it of a case.

Kept apart from the tests, so that another test can show that wrong losses fail them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from tests import random_inputs
from tests.loss_cases import CACHE_KEEPS_DOUBLE, EchoModel, LossCase
from tests.tolerances import DIFFERENCE, assert_close, assert_same_step, assert_within, largest

Property = Callable[[LossCase], None]
ROWS, DIM = 6, 8
EXPONENT = 20.0  # of the cases: their scores are cosines and the like, times at most so much, before e^x is taken


def precision_of(case: LossCase) -> torch.dtype:
    """In which gradients of double precision come back."""
    return torch.float64 if CACHE_KEEPS_DOUBLE or case.uncached is None else torch.float32


def columns_for(case: LossCase, rows: int = ROWS, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """Embeddings of length 1, about, as leaves; the numbers fit in single precision."""
    generator = random_inputs.generator(seed)
    return [
        (torch.randn(rows, DIM, generator=generator) / DIM**0.5).to(dtype).requires_grad_() for _ in range(case.columns)
    ]


def labels_for(case: LossCase, rows: int = ROWS, dtype: torch.dtype = torch.float64) -> Tensor | None:
    if case.labels is None:
        return None
    labels = case.labels(rows, random_inputs.generator(1))
    return labels.to(dtype) if labels.is_floating_point() else labels


def value(loss: nn.Module, columns: list[Tensor], labels: Tensor | None) -> Tensor:
    given = getattr(loss.model, "given", EchoModel.given)
    result = loss(*given(columns, labels))
    assert isinstance(result, Tensor)
    assert result.shape == ()
    return result


def value_and_gradients(loss: nn.Module, columns: list[Tensor], labels: Tensor | None) -> list[Tensor]:
    """By `backward`, because a cached loss knows no other way."""
    for column in columns:
        column.grad = None
    result = value(loss, columns, labels)
    result.backward()
    gradients = [torch.zeros_like(column) if column.grad is None else column.grad for column in columns]
    return [result.detach(), *gradients]


def pairs_in(case: LossCase, documents: int) -> int:
    """How much a row of so many documents counts."""
    if case.mean_over == "all pairs":
        return documents * (documents - 1) // 2
    return documents - case.fixed if case.mean_over == "pairs" else 1


def leaves(columns: list[Tensor]) -> list[Tensor]:
    return [column.detach().clone().requires_grad_() for column in columns]


def given(case: LossCase) -> tuple[nn.Module, list[Tensor], Tensor | None]:
    """The loss, which is left as it is, with the batch that most properties are about."""
    return case.shared, columns_for(case), labels_for(case)


@cache
def whole_batch(case: LossCase) -> list[Tensor]:
    """Value and gradients of that batch."""
    return value_and_gradients(*given(case))


def gradients_reach_every_column(case: LossCase) -> None:
    for gradient in whole_batch(case)[1:]:
        assert gradient.isfinite().all()
        assert (gradient != 0).any()


def gradient_is_the_derivative(case: LossCase) -> None:
    if not case.exact_gradient:
        return
    loss, columns, labels = given(case)
    _, *gradients = whole_batch(case)
    generator = random_inputs.generator(2)
    for i, column in enumerate(columns):
        way = torch.randn(column.shape, generator=generator, dtype=column.dtype)
        with torch.no_grad():
            ends = [
                value(loss, [*columns[:i], column + side * DIFFERENCE * way, *columns[i + 1 :]], labels)
                for side in (1, -1)
            ]
        slope = (ends[0] - ends[1]) / (2 * DIFFERENCE)
        assert_within((gradients[i] * way).sum(), slope, DIFFERENCE * largest(slope))


def loss_is_not_negative(case: LossCase) -> None:
    for seed in range(3):
        for dtype in (torch.float32, torch.float64):
            assert value(case.shared, columns_for(case, ROWS, dtype, seed), labels_for(case)) >= 0


def rows_in_any_order(case: LossCase) -> None:
    loss, columns, labels = given(case)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    whole = whole_batch(case)
    turned = value_and_gradients(
        loss, leaves([column[order] for column in columns]), None if labels is None else labels[order]
    )
    assert_same_step(turned, [whole[0], *(gradient[order] for gradient in whole[1:])])


def batch_is_the_mean_of_its_rows(case: LossCase) -> None:
    if not case.row_wise:
        return
    loss, columns, labels = given(case)
    rows = [
        value_and_gradients(
            loss, leaves([column[i : i + 1] for column in columns]), None if labels is None else labels[i : i + 1]
        )
        for i in range(ROWS)
    ]
    mean = torch.stack([row[0] for row in rows]).mean()
    gradients = [torch.cat([row[1 + i] for row in rows]) / ROWS for i in range(case.columns)]
    assert_same_step(whole_batch(case), [mean, *gradients])


def candidates_in_any_order(case: LossCase) -> None:
    loss, columns, labels = given(case)
    # Of the documents: what is fixed stays, the others move on by one.
    moving = list(range(case.fixed, case.documents))
    if len(moving) < 2:
        return
    order = [*range(case.fixed), *moving[1:], moving[0]]
    turned_labels = labels
    if labels is not None and case.labels_are == "documents":
        turned_labels = labels[:, order]
    elif labels is not None and case.labels_are == "negatives":
        turned_labels = labels[:, [i - case.fixed for i in order[case.fixed :]]]
    elif labels is not None and case.labels_are == "index":
        turned_labels = torch.tensor([order.index(int(label)) for label in labels])
    whole = whole_batch(case)
    turned = value_and_gradients(loss, leaves([columns[0], *(columns[1 + i] for i in order)]), turned_labels)
    assert_same_step(turned, [whole[0], whole[1], *(whole[2 + i] for i in order)])


def padding_is_removed(case: LossCase) -> None:
    if not case.pads:
        return
    loss, columns, labels = given(case)
    assert labels is not None
    # A column of nothing but padding changes nothing.
    whole = whole_batch(case)
    more = [*leaves(columns), torch.randn(ROWS, DIM, dtype=torch.float64).requires_grad_()]
    padded = value_and_gradients(loss, more, torch.cat([labels, torch.full((ROWS, 1), math.nan)], 1).double())
    assert_same_step(padded[:-1], whole)
    assert (padded[-1] == 0).all()
    # Padding in some rows leaves those rows without that column.
    some = labels.clone()
    some[2:, -1] = math.nan
    if labels.shape[1] > 2 or case.labels_are == "negatives":
        some[4, -1], some[4, -2] = labels[4, -1], math.nan
    ours = value_and_gradients(loss, leaves(columns), some)
    total, weights = torch.zeros((), dtype=torch.float64), 0
    gradients = [torch.zeros_like(column) for column in columns]
    first_labelled = case.columns - labels.shape[1]
    for i in range(ROWS):
        there = [k for k in range(case.columns) if k < first_labelled or not some[i, k - first_labelled].isnan()]
        row_labels = some[i : i + 1][~some[i : i + 1].isnan()].unsqueeze(0)
        row = value_and_gradients(loss, leaves([columns[k][i : i + 1] for k in there]), row_labels)
        weight = pairs_in(case, len(there) - 1)
        total, weights = total + weight * row[0], weights + weight
        for k, gradient in zip(there, row[1:], strict=True):
            gradients[k][i] = weight * gradient[0]
    assert_same_step(ours, [total / weights, *(gradient / weights for gradient in gradients)])


def what_is_padded_may_be_nan(case: LossCase) -> None:
    if not case.pads or case.model_type == "CrossEncoder":  # which has no embeddings
        return
    loss, labels = case.shared, labels_for(case)
    assert labels is not None
    padded = labels.clone()
    padded[1:4, -1] = math.nan
    expected = value_and_gradients(loss, columns_for(case), padded)
    columns = [column.detach() for column in columns_for(case)]
    columns[-1][1:4] = math.nan
    found = value_and_gradients(case.shared, leaves(columns), padded)
    assert_same_step(found, expected)
    assert (found[-1][1:4] == 0).all()
    # What counts is seen, in a padded row too.
    for i, row in ((len(columns) - 1, 0), (len(columns) - 2, 1), (0, 1)):
        broken = [column.detach() for column in columns_for(case)]
        broken[i][row, 0] = math.nan
        with torch.no_grad():
            assert value(case.shared, broken, padded).isnan()


def lengths_of_embeddings_do_not_matter(case: LossCase) -> None:
    if not case.bounded:
        return
    loss, columns, labels = given(case)
    whole = whole_batch(case)
    factors = [3.0 + i for i in range(case.columns)]
    longer = value_and_gradients(
        loss, leaves([factor * column for factor, column in zip(factors, columns, strict=True)]), labels
    )
    gradients = [factor * gradient for factor, gradient in zip(factors, longer[1:], strict=True)]
    assert_same_step([longer[0], *gradients], whole, exponent=EXPONENT, dtype=precision_of(case))


def identical_and_opposite_embeddings(case: LossCase) -> None:
    loss = case.shared
    for dtype in (torch.float32, torch.float64):
        labels = labels_for(case, dtype=dtype)
        anchors = columns_for(case, dtype=dtype)[0].detach()
        alike = [anchors[:1].expand(ROWS, DIM)] * case.columns
        same = [anchors] * case.columns
        opposite = [anchors, *[-anchors] * case.documents]
        mixed = [anchors, *((-1) ** i * anchors for i in range(case.documents))]
        for columns in (alike, same, opposite, mixed):
            for result in value_and_gradients(loss, leaves(columns), labels):
                assert result.isfinite().all()


def huge_embeddings(case: LossCase) -> None:
    """Dot products of 1e4, of either sign."""
    loss = case.shared
    for dtype in (torch.float32, torch.float64):
        labels = labels_for(case, dtype=dtype)
        columns = [100 * nn.functional.normalize(column.detach(), dim=1) for column in columns_for(case, dtype=dtype)]
        same = [columns[0]] * case.columns
        opposite = [columns[0], *[-columns[0]] * case.documents]
        for given in (columns, same, opposite):
            for result in value_and_gradients(loss, leaves(given), labels):
                assert result.isfinite().all()


def in_precision(case: LossCase, precision: str) -> Any:
    """The loss, with the products of matrices in a precision where it has them."""
    loss: Any = case.loss()
    if "precision" in getattr(loss, "_composed", {}):
        loss.precision = precision
    return loss


def half_precision(case: LossCase) -> None:
    loss = case.shared
    labels = labels_for(case, dtype=torch.float32)
    for dtype in (torch.bfloat16, torch.float16):
        columns = columns_for(case, dtype=dtype)
        half = value_and_gradients(loss, columns, labels)
        whole = in_precision(case, "bf16" if dtype == torch.bfloat16 else "fp16")
        single = value_and_gradients(whole, leaves([column.float() for column in columns]), labels)
        assert half[0].dtype == torch.float32
        assert_close(half[0], single[0], DIM)  # of the same numbers
        for ours, theirs in zip(half[1:], single[1:], strict=True):
            assert ours.dtype == dtype
            assert_close(ours, theirs.to(dtype), 3)


def autocast(case: LossCase) -> None:
    loss = case.shared
    labels = labels_for(case, dtype=torch.float32)
    columns = columns_for(case, dtype=torch.float32)
    whole = value_and_gradients(in_precision(case, "bf16"), columns, labels)
    for column in columns:
        column.grad = None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = value(loss, columns, labels)
    result.backward()
    assert result.dtype == torch.float32
    gradients = [column.grad for column in columns]
    assert all(gradient is not None for gradient in gradients)
    ours = [result.detach(), *(gradient for gradient in gradients if gradient is not None)]
    assert_same_step(ours, whole)


def without_gradients_it_is_the_same(case: LossCase) -> None:
    loss, columns, labels = given(case)
    result = whole_batch(case)[0]
    with torch.no_grad():
        again = value(loss, columns, labels)
    assert not again.requires_grad
    assert_close(again, result)
    assert_close(value(loss.eval(), columns, labels).detach(), result)
    loss.train()


def incoming_gradient_multiplies(case: LossCase) -> None:
    loss, columns, labels = given(case)
    _, *gradients = whole_batch(case)
    (3 * value(loss, columns, labels)).backward()
    for column, gradient in zip(columns, gradients, strict=True):
        assert_close(column.grad, 3 * gradient, dtype=precision_of(case))


def inputs_are_left_alone(case: LossCase) -> None:
    loss, columns, labels = given(case)
    before = [column.detach().clone() for column in columns]
    labels_before = None if labels is None else labels.clone()
    first = value_and_gradients(loss, columns, labels)
    for column, copy in zip(columns, before, strict=True):
        assert torch.equal(column, copy)
    if labels is not None and labels_before is not None:
        assert torch.equal(labels, labels_before)
    for one, other in zip(first, value_and_gradients(loss, columns, labels), strict=True):
        assert torch.equal(one, other)


def a_nan_stays_visible(case: LossCase) -> None:
    for i in range(case.columns):
        columns = [column.detach() for column in columns_for(case)]
        columns[i] = columns[i].clone()
        columns[i][1, 0] = math.nan
        with torch.no_grad():
            assert value(case.shared, columns, labels_for(case)).isnan()


def forward_is_the_loss_of_embeddings(case: LossCase) -> None:
    if case.model_type == "CrossEncoder":  # which knows no embeddings
        return
    loss, columns, labels = given(case)
    embeddings: Any = columns
    if case.model_type == "MultiVectorEncoder":  # whose embeddings are several tensors a column
        embeddings = loss.scorer.embed(loss.model, loss.model.given(columns, labels)[0])  # type: ignore[operator, union-attr]
    of_embeddings = loss.compute_loss_from_embeddings(embeddings, labels)  # type: ignore[operator]
    assert_close(value(loss, columns, labels).detach(), of_embeddings.detach())
    of_embeddings.backward()
    assert all(column.grad is not None for column in columns)


def keeps_the_model_and_no_loss(case: LossCase) -> None:
    model = nn.Sequential(case.echo(), nn.Linear(2, 2))
    loss = case.make(model)
    assert loss.model is model
    assert not hasattr(loss, "loss")  # the model card would follow it
    assert [name for name, _ in loss.named_parameters()] == ["model.1.weight", "model.1.bias"]


def config_is_json(case: LossCase) -> None:
    config = case.shared.get_config_dict()  # type: ignore[operator]
    again = json.loads(json.dumps(config, allow_nan=False))
    assert set(again) == set(config)
    assert set(again["link"]) >= {"type"}


def citation_names_the_paper(case: LossCase) -> None:
    citation = case.shared.citation
    assert isinstance(citation, str)
    assert "eprint={2506.04446}" in citation
    # Each entry is whole.
    assert citation.count("{") == citation.count("}")
    assert citation.strip().startswith("@")


PROPERTIES: list[Property] = [
    gradients_reach_every_column,
    gradient_is_the_derivative,
    loss_is_not_negative,
    rows_in_any_order,
    batch_is_the_mean_of_its_rows,
    candidates_in_any_order,
    padding_is_removed,
    what_is_padded_may_be_nan,
    lengths_of_embeddings_do_not_matter,
    identical_and_opposite_embeddings,
    huge_embeddings,
    half_precision,
    autocast,
    without_gradients_it_is_the_same,
    incoming_gradient_multiplies,
    inputs_are_left_alone,
    a_nan_stays_visible,
    forward_is_the_loss_of_embeddings,
    keeps_the_model_and_no_loss,
    config_is_json,
    citation_names_the_paper,
]
