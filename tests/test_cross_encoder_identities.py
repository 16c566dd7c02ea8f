"""The losses for a CrossEncoder with the settings that make them the built-in losses: value and gradients."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses as builtin
from torch import Tensor, nn

from selective_st.cross_encoder.losses import (
    SelectiveCrossEntropyLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from selective_st.links import ConstantLink, IdentityLink, Link, SigmoidLink
from tests import random_inputs
from tests.model_types import cross_encoder, sentence
from tests.tolerances import assert_same_step, precision

pytestmark = pytest.mark.numerical

ROWS = 5
CONSTANT, IDENTITY, SIGMOID = ConstantLink(), IdentityLink(), SigmoidLink(scale=1.0, shift=0.0)
DOUBLE, SINGLE = torch.float64, torch.float32
LENGTHS = [3, 1, 4, 2, 4]


def texts(column: int, rows: int = ROWS) -> list[str]:
    return [sentence(100 * column + row) for row in range(rows)]


def columns(number: int) -> list[list[str]]:
    return [texts(column) for column in range(number)]


def lists() -> list[Any]:
    return [texts(0), [texts(1 + row, length) for row, length in enumerate(LENGTHS)]]


def numbers(*shape: int) -> Tensor:
    """Exact in single precision, to which some built-in losses round labels."""
    return torch.randint(-8, 9, shape, generator=random_inputs.generator(7)) / 4


def lists_of_labels() -> list[Tensor]:
    return [numbers(length) + row for row, length in enumerate(LENGTHS)]


class Step(NamedTuple):
    """What a batch does to a model.

    Attributes:
        found: The value of the loss, and its gradient with respect to each parameter.
        pull: The sum of the gradients of the scores, without their signs: of such terms a parameter's gradient is made,
            and at the last bias they cancel.
    """

    found: list[Tensor]
    pull: float

    def times(self, factor: float) -> Step:
        return Step([factor * tensor for tensor in self.found], factor * self.pull)


def value_and_gradients(model: CrossEncoder, loss: nn.Module, inputs: list[Any], labels: Any) -> Step:
    scores: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: dict[str, Tensor]) -> None:
        if output["scores"].requires_grad:
            output["scores"].retain_grad()
            scores.append(output["scores"])

    torch.manual_seed(random_inputs.seed_of(11))
    model.zero_grad()
    hook = model.register_forward_hook(keep)
    result = loss([list(column) for column in inputs], labels)
    result.backward()
    hook.remove()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) > 5
    pull = sum(float(each.grad.abs().sum()) for each in scores if each.grad is not None)
    return Step([result.detach(), *gradients], pull)


def assert_same(ours: Step, theirs: Step, model: CrossEncoder, size: float = 0.0) -> None:
    """To the precision in which the built-in computes: some do in single, whatever the model's.

    Args:
        ours: Of our loss.
        theirs: Of the built-in.
        model: Of both.
        size: Of the terms whose difference the value is.
    """
    assert float(theirs.found[0]) != 0
    assert theirs.pull > 0
    dtype = precision(theirs.found[0])
    options = {"size": size, "slope": theirs.pull, "through": model, "dtype": dtype, "check_dtype": False}
    assert_same_step(ours.found, theirs.found, **options)  # type: ignore[arg-type]


def check(
    ours: type[nn.Module],
    arguments: dict[str, Any],
    theirs: nn.Module,
    inputs: list[Any],
    labels: Any,
    factor: float = 1,
) -> None:
    """That ours is theirs, times a factor."""
    model = theirs.model
    assert isinstance(model, CrossEncoder)
    result = value_and_gradients(model, ours(model, **arguments), inputs, labels)
    assert_same(result, value_and_gradients(model, theirs, inputs, labels).times(factor), model)


@pytest.fixture(params=[DOUBLE, SINGLE], ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    result: torch.dtype = request.param
    return result


@pytest.fixture
def model(dtype: torch.dtype) -> CrossEncoder:
    return cross_encoder().to(dtype)


@pytest.mark.parametrize("link", [SIGMOID, None])
def test_binary_cross_entropy(model: CrossEncoder, link: Link | None) -> None:
    """It is also what it does without a link."""
    labels = torch.tensor([1, 0, 0, 1, 1])
    arguments = {"link": link, "targets": "link_values"}
    check(SelectivePointwiseLoss, arguments, builtin.BinaryCrossEntropyLoss(model), columns(2), labels)


def test_binary_cross_entropy_of_probabilities(model: CrossEncoder) -> None:
    """Less the entropy of the labels, which has no gradient; in the model's precision."""

    class BinaryCrossEntropy(nn.Module):
        def forward(self, inputs: list[Any], labels: Tensor) -> Tensor:
            logits = model(model.preprocess(list(zip(*inputs, strict=True))))["scores"].view(-1)
            return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits)) - entropy

    labels = torch.tensor([1.0, 0.25, 0.0, 0.5, 0.75]).to(model.dtype)
    entropy = nn.functional.binary_cross_entropy(labels, labels)
    ours = value_and_gradients(model, SelectivePointwiseLoss(model, targets="link_values"), columns(2), labels)
    theirs = value_and_gradients(model, BinaryCrossEntropy(), columns(2), labels)
    assert_same(ours, theirs, model, size=float(entropy))


@pytest.mark.parametrize("activation", [nn.Identity(), nn.Sigmoid(), nn.Tanh()])
def test_squared_error(model: CrossEncoder, activation: nn.Module) -> None:
    labels = numbers(ROWS) if isinstance(activation, nn.Identity) else numbers(ROWS).abs() / 2
    theirs = builtin.MSELoss(model, activation_fn=activation)
    arguments = {"activation_fn": activation, "link": IDENTITY}
    check(SelectivePointwiseLoss, arguments, theirs, columns(2), labels, factor=0.5)


@pytest.mark.parametrize("negatives", [1, 3])
def test_squared_error_of_margins(model: CrossEncoder, negatives: int) -> None:
    theirs = builtin.MarginMSELoss(model)
    margins: Any = numbers(ROWS) if negatives == 1 else list(numbers(ROWS, negatives))
    inputs = columns(2 + negatives)
    check(SelectivePairwiseLoss, {"link": IDENTITY}, theirs, inputs, margins, factor=0.5)
    scores = list(numbers(ROWS, negatives + 1))
    arguments = {"link": IDENTITY, "targets": "margins"}
    check(SelectivePairwiseLoss, arguments, theirs, inputs, scores, factor=0.5)


@pytest.mark.parametrize("activation", [nn.Identity(), nn.Sigmoid()])
@pytest.mark.parametrize("mini_batch_size", [None, 3, 0])
def test_listnet(activation: nn.Module, mini_batch_size: int | None) -> None:
    """Less the entropy of the target, which has no gradient; in single precision, as the built-in computes."""
    model = cross_encoder()
    labels = lists_of_labels()
    theirs = value_and_gradients(model, builtin.ListNetLoss(model, activation, mini_batch_size), lists(), labels)
    loss = SelectiveListwiseLoss(model, activation, mini_batch_size, link=CONSTANT)
    ours = value_and_gradients(model, loss, lists(), labels)
    entropies = [-(row.double().softmax(0) * row.double().log_softmax(0)).sum() for row in labels]
    cross_entropy = theirs.found[0]
    theirs.found[0] = (cross_entropy - torch.stack(entropies).mean()).float()
    assert_same(ours, theirs, model, size=float(cross_entropy))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_ranknet(temperature: float) -> None:
    """All pairs of a list with different labels, by the pairwise loss on lists."""
    model = cross_encoder()
    theirs = builtin.RankNetLoss(model, sigma=1 / temperature, reduction_log="natural")
    arguments = {"link": CONSTANT, "temperature": temperature}
    for labels in (lists_of_labels(), [torch.arange(length) % 2 for length in LENGTHS]):
        check(SelectivePairwiseLoss, arguments, theirs, lists(), labels)
        check(SelectivePairwiseLoss, {**arguments, "targets": "order"}, theirs, lists(), labels)


def test_ranknet_of_columns() -> None:
    model = cross_encoder()
    labels = list(numbers(ROWS, 3))
    documents = columns(4)
    as_lists = [documents[0], [list(row) for row in zip(*documents[1:], strict=True)]]
    theirs = value_and_gradients(model, builtin.RankNetLoss(model, reduction_log="natural"), as_lists, labels)
    loss = SelectivePairwiseLoss(model, link=CONSTANT, targets="order")
    assert_same(value_and_gradients(model, loss, documents, labels), theirs, model)


@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.parametrize("arguments", [{}, {"num_negatives": 2}, {"num_negatives": None}, {"scale": 3.0}])
def test_in_batch_negatives(model: CrossEncoder, negatives: int, arguments: dict[str, Any]) -> None:
    """With the same negatives, drawn from the same seed."""
    theirs = builtin.MultipleNegativesRankingLoss(model, **arguments)
    ours = {"link": CONSTANT, **arguments}
    check(SelectiveMultipleNegativesRankingLoss, ours, theirs, columns(2 + negatives), None)


@pytest.mark.parametrize("activation", [None, nn.Identity(), nn.Tanh()])
def test_in_batch_negatives_after_an_activation(model: CrossEncoder, activation: nn.Module | None) -> None:
    theirs = builtin.MultipleNegativesRankingLoss(model, scale=2.0, activation_fn=activation)
    ours = {"link": CONSTANT, "scale": 2.0, "activation_fn": activation}
    check(SelectiveMultipleNegativesRankingLoss, ours, theirs, columns(3), None)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(dtype: torch.dtype, smoothing: float) -> None:
    model = cross_encoder(num_labels=4).to(dtype)
    theirs = builtin.CrossEntropyLoss(model, label_smoothing=smoothing)
    ours = {"link": CONSTANT, "label_smoothing": smoothing}
    classes = torch.tensor([0, 3, 1, 2, 2])
    probabilities = torch.softmax(numbers(ROWS, 4).to(dtype), 1)
    for labels in (classes, probabilities):
        check(SelectiveCrossEntropyLoss, ours, theirs, columns(2), labels)
    loss = SelectiveCrossEntropyLoss(model, **ours)
    assert torch.equal(loss(columns(2), classes.unsqueeze(1)), loss(columns(2), classes))


def test_a_list_of_two_is_a_pair(model: CrossEncoder) -> None:
    """Ranking without labels, the same pairs in a list, and in a list with the first document right."""
    inputs = columns(3)
    as_lists = [inputs[0], [list(row) for row in zip(*inputs[1:], strict=True)]]
    first = [torch.tensor([1, 0])] * ROWS
    pairs = value_and_gradients(model, SelectivePairwiseLoss(model), inputs, None)
    in_lists = value_and_gradients(model, SelectivePairwiseLoss(model), as_lists, first)
    listwise = value_and_gradients(model, SelectiveListwiseLoss(model, targets="labels"), as_lists, first)
    assert_same(in_lists, pairs, model)
    assert_same(listwise, pairs, model)
    assert math.isfinite(pairs.found[0])
