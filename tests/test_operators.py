"""The choices that are made for a GPU, on a CPU: the same values, in few operators."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selective_st.links import ExponentialLink, Link, SinhLink, high_scores, low_scores
from tests.random_inputs import generator
from tests.tolerances import DTYPES, STEEPEST, assert_close, assert_same_step

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import calls
import operators

CASES = operators.cases()
# Of a loss, how many operators it may take; the built-in one that it stands beside, where it is to take no more.
BOUNDS: dict[str, int | str] = {
    "pointwise": "CosineSimilarityLoss",
    "pairwise, margins, IdentityLink": 20,
    "listwise": 105,
    "listwise, ConstantLink": "DistillKLDivLoss",
    "order": "CoSENTLoss",
    "order, weighed": "CoSENTLoss",
    "in-batch": "MultipleNegativesRankingLoss",
}


# How many functions of ours a batch may call, and a suggestion for 200 pairs.
CALLS = {
    "SelectivePointwiseLoss": 15,
    "SelectiveListwiseLoss": 30,
    "SelectiveMultipleNegativesRankingLoss": 30,
    "suggest_losses": 1_000,
}


@pytest.mark.parametrize("name", list(CALLS))
def test_few_functions_of_ours_are_called(name: str) -> None:
    assert 0 < calls.calls(calls.cases()[name]).total() <= CALLS[name]


@pytest.mark.parametrize("name", list(BOUNDS))
def test_a_loss_takes_few_operators(name: str) -> None:
    with operators.as_on_a_gpu():
        taken = operators.operators(*CASES[name]).total()
        bound = BOUNDS[name]
        assert taken <= (bound if isinstance(bound, int) else operators.operators(*CASES[bound]).total())


@pytest.mark.numerical
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [name for name in CASES if "Loss" not in name])
def test_values_and_gradients_are_those_of_the_cpu(name: str, dtype: torch.dtype) -> None:
    loss: Any
    loss, columns, labels = CASES[name]
    given = [0.1 * torch.randn(operators.ROWS, 16, generator=generator(place)) for place in range(columns)]
    given[1][3] = 0.0  # of which the cosine turns nothing

    def step() -> list[Tensor]:
        leaves = [column.to(dtype).requires_grad_() for column in given]
        value = loss.compute_loss_from_embeddings(leaves, None if labels is None else labels.to(dtype))
        return [value.detach(), *torch.autograd.grad(value, leaves)]

    there = step()
    with operators.as_on_a_gpu():
        assert_same_step(step(), there)


@pytest.mark.numerical
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "link", [high_scores(), low_scores(), SinhLink(5, 0.5), ExponentialLink(-2), ExponentialLink(5)], ids=repr
)
def test_a_divergence_is_that_of_the_cpu(link: Link, dtype: torch.dtype) -> None:
    predicted, target = torch.randn(2, 1000, generator=generator(1), dtype=dtype)  # more than few
    target[:50] = predicted[:50] + 1e-5 * target[:50]
    target[0] = predicted[0]

    def both() -> list[Tensor]:
        return [*link.divergence(predicted, target), *link.difference(predicted, target)]

    there = both()
    with operators.as_on_a_gpu():
        assert_close(both(), there, exponent=STEEPEST)
