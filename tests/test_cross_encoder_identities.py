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
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveCrossEntropyLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink
from tests import random_inputs
from tests.host import needs_host
from tests.loss_cases import CACHE_KEEPS_DOUBLE
from tests.model_types import cross_encoder, sentence
from tests.tolerances import are_close, assert_close, assert_same_step, operations_of, precision

pytestmark = pytest.mark.numerical

ROWS = 5
CONSTANT, IDENTITY, SIGMOID = ConstantLink(), IdentityLink(), SigmoidLink(scale=1.0, shift=0.0)
DOUBLE, SINGLE = torch.float64, torch.float32
LENGTHS = [3, 1, 4, 2, 4]
# Before 6.2 both documents of a pair must be among the first k.
CUT = needs_host("6.2", "k means something else in the built-in losses")


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


def assert_same(
    ours: Step, theirs: Step, model: CrossEncoder, size: float = 0.0, dtype: torch.dtype | None = None
) -> None:
    """To the precision in which the built-in computes: some do in single, whatever the model's.

    Args:
        ours: Of our loss.
        theirs: Of the built-in.
        model: Of both.
        size: Of the terms whose difference the value is.
        dtype: In which the gradients come back; by default in that of the built-in's value.
    """
    assert float(theirs.found[0]) != 0
    assert theirs.pull > 0
    dtype = dtype or precision(theirs.found[0])
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


class InModelPrecision(nn.Module):
    """A built-in loss with weights and labels in the model's precision."""

    def __init__(self, model: CrossEncoder, make: Any, loss: str, **tensors: Any) -> None:
        super().__init__()
        self.model, self.make, self.loss, self.tensors = model, make, loss, tensors

    def forward(self, inputs: list[Any], labels: Tensor) -> Tensor:
        tensors = {name: x.to(self.model.dtype) if isinstance(x, Tensor) else x for name, x in self.tensors.items()}
        loss = getattr(self.make(self.model, **tensors), self.loss)
        logits = self.model(self.model.preprocess(list(zip(*inputs, strict=True))))["scores"].squeeze(1)
        value: Tensor = loss(logits, labels if logits.dim() == 2 and labels.dim() == 1 else labels.to(logits))
        return value


@pytest.mark.parametrize("pos_weight", [4.0, 0.25])
def test_weights_of_positives(model: CrossEncoder, pos_weight: float) -> None:
    labels = torch.tensor([1, 0, 0, 1, 0])
    make, factor = builtin.BinaryCrossEntropyLoss, torch.tensor(pos_weight)
    theirs = InModelPrecision(model, make, "bce_with_logits_loss", pos_weight=factor)
    whole = make(model, pos_weight=factor)
    assert_close(whole(columns(2), labels), theirs(columns(2), labels), dtype=torch.float32, check_dtype=False)
    for given in (pos_weight, torch.tensor(pos_weight), torch.tensor([pos_weight])):
        arguments = {"targets": "link_values", "pos_weight": given}
        check(SelectivePointwiseLoss, arguments, theirs, columns(2), labels)
    without = value_and_gradients(model, SelectivePointwiseLoss(model, targets="link_values"), columns(2), labels)
    assert abs(float(without.found[0] - value_and_gradients(model, theirs, columns(2), labels).found[0])) > 0.01
    # Of labels between, the gradient; ours is 0 where the score is right.
    soft = torch.tensor([1.0, 0.25, 0.0, 0.5, 0.75]).to(model.dtype)
    loss = SelectivePointwiseLoss(model, targets="link_values", pos_weight=pos_weight)
    ours, expected = (value_and_gradients(model, each, columns(2), soft) for each in (loss, theirs))
    share = pos_weight * soft / (1 + (pos_weight - 1) * soft)
    lowest = (1 + (pos_weight - 1) * soft) * nn.functional.binary_cross_entropy(share, share, reduction="none")
    size = float(expected.found[0])
    expected.found[0] = expected.found[0] - lowest.mean()
    assert_same(ours, expected, model, size=size)


def test_weights_of_positives_in_lists(model: CrossEncoder) -> None:
    """Padded documents count nothing, and a link's scale divides the loss."""
    labels = [torch.arange(length) % 2 for length in LENGTHS]
    link = SigmoidLink(scale=2.0, shift=0.5)
    loss = SelectivePointwiseLoss(model, targets="link_values", link=link, pos_weight=3.0)
    pairs = [(query, document) for query, row in zip(*lists(), strict=True) for document in row]
    logits = model(model.preprocess(pairs))["scores"].view(-1)
    expected = nn.functional.binary_cross_entropy_with_logits(
        2 * (logits - 0.5), torch.cat(labels).to(logits), pos_weight=torch.tensor(3.0)
    )
    assert_close(loss(lists(), labels), expected / 2)


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


@pytest.mark.parametrize("k", [None, pytest.param(2, marks=CUT)])
def test_order(k: int | None) -> None:
    """On lists it is RankNet's loss; with the gains of NDCG and discounts that of LambdaRank."""
    model = cross_encoder()
    labels = [torch.arange(length) % 3 for length in LENGTHS]
    theirs: Any = builtin.RankNetLoss(model, k, sigma=2.0, reduction_log="natural")
    check(SelectiveOrderLoss, {"scale": 2.0, "k": k}, theirs, lists(), labels)
    theirs = builtin.LambdaLoss(model, builtin.LambdaRankScheme(), k, sigma=2.0, reduction_log="natural")
    arguments = {"scale": 2.0, "k": k, "weight_link": ExponentialLink(math.log(2.0)), "discounts": True}
    check(SelectiveOrderLoss, arguments, theirs, lists(), labels)


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


@pytest.fixture
def dropping() -> CrossEncoder:
    """A model with dropout on, in double precision."""
    model = cross_encoder().double().train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.3
    return model


@pytest.mark.parametrize("mini_batch_size", [1, 3, ROWS, 100])
@pytest.mark.parametrize(
    ("negatives", "arguments"),
    [(0, {}), (2, {"num_negatives": 2}), (1, {"num_negatives": None, "scale": 3.0}), (1, {"activation_fn": None})],
    ids=str,
)
def test_cached_in_batch_negatives(
    dropping: CrossEncoder, mini_batch_size: int, negatives: int, arguments: dict[str, Any]
) -> None:
    """With the same negatives and the same dropout, drawn from the same seed."""
    arguments = {**arguments, "mini_batch_size": mini_batch_size}
    theirs = builtin.CachedMultipleNegativesRankingLoss(dropping, **arguments)
    ours = {"link": CONSTANT, **arguments}
    check(CachedSelectiveMultipleNegativesRankingLoss, ours, theirs, columns(2 + negatives), None)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"link": SigmoidLink(scale=10.0, shift=0.5)},
        {"link": SIGMOID, "activation_fn": None, "scale": 2.0},
        {"label_smoothing": 0.2, "num_negatives": None},
        {"mask_same_text": True, "num_negatives": None},
    ],
    ids=str,
)
def test_the_cached_loss_is_the_uncached_with_dropout(dropping: CrossEncoder, arguments: dict[str, Any]) -> None:
    """In mini-batches of as many pairs as the uncached reads at once, so that dropout draws alike."""
    inputs = columns(3)
    inputs[1] = [sentence(100 + row // 2) for row in range(ROWS)]  # some have the text of another
    uncached = value_and_gradients(dropping, SelectiveMultipleNegativesRankingLoss(dropping, **arguments), inputs, None)
    loss = CachedSelectiveMultipleNegativesRankingLoss(dropping, mini_batch_size=ROWS, **arguments)
    dtype = DOUBLE if CACHE_KEEPS_DOUBLE else SINGLE
    assert_same(value_and_gradients(dropping, loss, inputs, None), uncached, dropping, dtype=dtype)
    dropping.eval()
    without = value_and_gradients(dropping, loss, inputs, None)
    assert not are_close(without.found[0], uncached.found[0], operations_of(dropping))  # there is dropout
    with torch.no_grad():
        torch.manual_seed(random_inputs.seed_of(11))
        assert_close(loss(inputs, None), without.found[0], operations_of(dropping))
    small = CachedSelectiveMultipleNegativesRankingLoss(dropping, mini_batch_size=2, **arguments)
    assert_same(value_and_gradients(dropping, small, inputs, None), without, dropping, dtype=dtype)


def test_the_cached_loss_reads_prompts_and_keeps_each_pass(dropping: CrossEncoder) -> None:
    """Two passes before a backward, multiplied, with a prompt: as the built-in loss."""
    found = []
    for make in (builtin.CachedMultipleNegativesRankingLoss, CachedSelectiveMultipleNegativesRankingLoss):
        loss = make(dropping, mini_batch_size=2, **({"link": CONSTANT} if "Selective" in make.__name__ else {}))
        torch.manual_seed(random_inputs.seed_of(5))
        dropping.zero_grad()
        first = loss(columns(2), None, prompt="red dog")
        second = loss(columns(3), None)
        (3 * first + second / 2).backward()
        gradients = [parameter.grad.clone() for parameter in dropping.parameters() if parameter.grad is not None]
        found.append([(first + second).detach(), *gradients])
        assert abs(float((loss(columns(2), None) - first).detach())) > 1e-6
    assert_same_step(found[1], found[0], through=dropping)


def test_the_cached_loss_shows_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    model = cross_encoder()
    for shown in (False, True):
        CachedSelectiveMultipleNegativesRankingLoss(model, show_progress_bar=shown)(columns(2), None)
        assert ("Predict mini-batches" in capsys.readouterr().err) == shown


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


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("ignored", [-100, 2, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_of_classes_and_rows_left_out(
    dtype: torch.dtype, smoothing: float, ignored: int, weighted: bool
) -> None:
    model = cross_encoder(num_labels=4).to(dtype)
    weight = torch.tensor([0.5, 2.0, 0.0, 3.0], dtype=dtype) if weighted else None
    theirs = InModelPrecision(
        model,
        builtin.CrossEntropyLoss,
        "ce_loss",
        weight=weight,
        ignore_index=ignored,
        label_smoothing=smoothing,
    )
    ours = {"link": CONSTANT, "label_smoothing": smoothing, "weight": weight, "ignore_index": ignored}
    classes = torch.tensor([0, 3, 1, 2, 2 if ignored == 2 else ignored])
    check(SelectiveCrossEntropyLoss, ours, theirs, columns(2), classes)
    probabilities = torch.softmax(numbers(ROWS, 4).to(dtype), 1)
    if ignored < 0:  # for probabilities torch does not take another
        check(SelectiveCrossEntropyLoss, ours, theirs, columns(2), probabilities)
    if weighted:
        as_list = SelectiveCrossEntropyLoss(model, **{**ours, "weight": [0.5, 2, 0, 3]})
        assert_close(as_list(columns(2), classes), theirs(columns(2), classes))
    nothing = SelectiveCrossEntropyLoss(model, **ours)(columns(2), torch.full((ROWS,), ignored))
    assert nothing == 0
    nothing.backward()


@pytest.mark.parametrize("k", [*(pytest.param(k, marks=CUT) for k in (1, 2, 3)), 100])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_ranknet_of_the_first(k: int, temperature: float) -> None:
    model = cross_encoder()
    theirs = builtin.RankNetLoss(model, k, sigma=1 / temperature, reduction_log="natural")
    arguments = {"link": CONSTANT, "temperature": temperature, "k": k}
    for labels in (lists_of_labels(), [torch.arange(length) % 2 for length in LENGTHS]):
        check(SelectivePairwiseLoss, arguments, theirs, lists(), labels)


@pytest.mark.parametrize("k", [None, pytest.param(2, marks=CUT)])
@pytest.mark.parametrize(
    "scheme",
    [
        builtin.NoWeightingScheme(),
        builtin.NDCGLoss2Scheme(),
        builtin.LambdaRankScheme(),
        builtin.NDCGLoss2PPScheme(),
        builtin.NDCGLoss2PPScheme(mu=2.0),
    ],
    ids=lambda scheme: type(scheme).__name__,
)
def test_lambda_loss(scheme: Any, k: int | None) -> None:
    model = cross_encoder()
    theirs = builtin.LambdaLoss(model, scheme, k, sigma=2.0, reduction_log="natural")
    arguments = {"link": CONSTANT, "temperature": 0.5, "k": k, "weighting_scheme": scheme}
    for labels in (
        [torch.arange(length) % 3 for length in LENGTHS],
        [row - 1 for row in lists_of_labels()],  # some below 0
    ):
        check(SelectivePairwiseLoss, arguments, theirs, lists(), labels)
    loss = SelectivePairwiseLoss(model, **arguments)
    assert "wang2018lambdaloss" in loss.citation
    assert loss.get_config_dict()["weighting_scheme"].endswith(type(scheme).__name__)
    with_link = SelectivePairwiseLoss(model, **{**arguments, "link": SIGMOID})
    assert not are_close(with_link(lists(), labels), loss(lists(), labels), operations_of(model))


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
