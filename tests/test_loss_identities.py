"""Built-in losses of Sentence Transformers are special cases: value, and gradient to every column."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    CosineSimilarityLoss,
    DistillKLDivLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
    MultipleNegativesSymmetricRankingLoss,
)
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, softplus

from selective_st.links import ConstantLink, IdentityLink
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from tests import random_inputs
from tests.loss_cases import EchoModel
from tests.loss_properties import value_and_gradients
from tests.tolerances import DTYPES, FEW, assert_close, assert_same_step, largest, operations_of

pytestmark = pytest.mark.numerical

ROWS = (1, 2, 7, 64)
SEEDS = (0, 1)
Of = dict[str, Any]

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
similarities = pytest.mark.parametrize(
    "similarity", [util.pairwise_dot_score, util.pairwise_cos_sim], ids=lambda function: function.__name__
)


def embeddings(columns: int, rows: int, dtype: torch.dtype, seed: int) -> list[Tensor]:
    generator = random_inputs.generator(1000 * rows + seed)
    return [
        torch.randn(rows, 8, generator=generator, dtype=torch.float64).div(8**0.5).to(dtype).requires_grad_()
        for _ in range(columns)
    ]


def assert_same(
    ours: list[Tensor], theirs: list[Tensor], factor: float, dtype: torch.dtype, logit: float = 1.0
) -> None:
    """Up to the rounding of the largest logit; by a score's share in the mean of the rows where gradients cancel."""
    rows = len(theirs[1])
    expected = [factor * tensor for tensor in theirs]
    assert_same_step(ours, expected, FEW + rows, exponent=logit, size=factor, slope=logit / rows, dtype=dtype)


def assert_moves(gradients: list[Tensor]) -> None:
    assert all((gradient != 0).any() for gradient in gradients)


@dtypes
class TestPointwise:
    def test_half_of_cosine_similarity_loss(self, dtype: torch.dtype) -> None:
        for rows, seed in itertools.product(ROWS, SEEDS):
            columns = embeddings(2, rows, dtype, seed)
            labels = torch.rand(rows).to(dtype)
            ours = value_and_gradients(SelectivePointwiseLoss(EchoModel(), IdentityLink()), columns, labels)
            theirs = value_and_gradients(CosineSimilarityLoss(EchoModel()), columns, labels)
            assert_same(ours, theirs, 0.5, dtype)
            assert_moves(ours[1:])


@dtypes
@similarities
@pytest.mark.parametrize("negatives", [1, 3])
class TestPairwise:
    def test_half_of_margin_mse_loss(self, dtype: torch.dtype, similarity: Any, negatives: int) -> None:
        for rows, seed in itertools.product(ROWS, SEEDS):
            columns = embeddings(2 + negatives, rows, dtype, seed)
            margins = 2 * torch.rand(rows, negatives, dtype=dtype) - 1
            scores = 2 * torch.rand(rows, 1 + negatives, dtype=dtype) - 1
            loss = SelectivePairwiseLoss(EchoModel(), similarity, link=IdentityLink())
            of_scores = SelectivePairwiseLoss(EchoModel(), similarity, link=IdentityLink(), targets="margins")
            built_in = MarginMSELoss(EchoModel(), similarity)
            theirs = value_and_gradients(built_in, columns, margins)
            assert_same(value_and_gradients(loss, columns, margins), theirs, 0.5, dtype)
            assert_same(value_and_gradients(of_scores, columns, margins), theirs, 0.5, dtype)
            assert_moves(theirs[1:])
            theirs = value_and_gradients(built_in, columns, scores)
            assert_same(value_and_gradients(of_scores, columns, scores), theirs, 0.5, dtype)
            if negatives == 1:
                theirs = value_and_gradients(built_in, columns, margins[:, 0])
                assert_same(value_and_gradients(loss, columns, margins[:, 0]), theirs, 0.5, dtype)

    def test_the_logistic_loss_of_differences(self, dtype: torch.dtype, similarity: Any, negatives: int) -> None:
        for rows, seed, temperature in itertools.product(ROWS, SEEDS, (0.05, 1.0)):
            columns = embeddings(2 + negatives, rows, dtype, seed)
            loss = SelectivePairwiseLoss(EchoModel(), similarity, link=ConstantLink(), temperature=temperature)
            ours = value_and_gradients(loss, columns, None)
            positive, *others = (similarity(columns[0], column) for column in columns[1:])
            margins = (torch.stack(others, 1) - positive.unsqueeze(1)) / temperature
            logistic = softplus(margins, threshold=500).mean()  # at 20, its default, it drops e^-20
            theirs = [logistic.detach(), *torch.autograd.grad(logistic, columns)]
            assert_same(ours, theirs, 1.0, dtype, largest(margins))
            assert_moves(ours[1:])


@dtypes
@similarities
@pytest.mark.parametrize("documents", [2, 4])
class TestListwise:
    def test_distill_kl_div_loss(self, dtype: torch.dtype, similarity: Any, documents: int) -> None:
        temperatures: list[Of] = [
            {},
            {"temperature": 0.3},
            {"temperature": 2.0, "teacher_temperature": 0.5},
            {"student_temperature": 0.4, "teacher_temperature": 0.2},
        ]
        for rows, seed, arguments in itertools.product(ROWS, SEEDS, temperatures):
            columns = embeddings(1 + documents, rows, dtype, seed)
            labels = 6 * torch.rand(rows, documents, dtype=dtype) - 3
            if similarity is util.pairwise_cos_sim:
                labels = labels / 3
            theirs_loss = DistillKLDivLoss(EchoModel(), similarity, **arguments)
            loss = SelectiveListwiseLoss(EchoModel(), similarity, link=ConstantLink(), **arguments)
            theirs = value_and_gradients(theirs_loss, columns, labels)
            ours = value_and_gradients(loss, columns, labels)
            logit = max(3 / theirs_loss.student_temperature, largest(labels) / theirs_loss.teacher_temperature)
            assert_same(ours, theirs, 1 / theirs_loss.student_temperature**2, dtype, logit)
            assert_moves(ours[1:])

    def test_cross_entropy(self, dtype: torch.dtype, similarity: Any, documents: int) -> None:
        for rows, seed, smoothing in itertools.product(ROWS, SEEDS, (0.0, 0.1)):
            columns = embeddings(1 + documents, rows, dtype, seed)
            generator = random_inputs.generator(seed)
            index = torch.randint(documents, (rows,), generator=generator)
            probabilities = torch.rand(rows, documents, generator=generator, dtype=dtype).log().softmax(1)
            loss = SelectiveListwiseLoss(
                EchoModel(),
                similarity,
                0.2,
                link=ConstantLink(),
                targets="labels",
                label_smoothing=smoothing,
            )
            for labels in (index, probabilities):
                ours = value_and_gradients(loss, columns, labels)
                scores = torch.stack([similarity(columns[0], column) for column in columns[1:]], 1)
                theirs = cross_entropy(scores / 0.2, labels, label_smoothing=smoothing)
                assert_same(ours, [theirs.detach(), *torch.autograd.grad(theirs, columns)], 1.0, dtype, 3 / 0.2)
                assert_moves(ours[1:])


DIRECTIONS = [
    {"directions": ("query_to_doc", *others)}
    for size in range(4)
    for others in itertools.combinations(("query_to_query", "doc_to_query", "doc_to_doc"), size)
]
PARTITIONS: list[Of] = [
    *({**directions, "partition_mode": "joint"} for directions in DIRECTIONS),
    {"partition_mode": "per_direction"},
    {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
]
HARDNESS: list[Of] = [
    {},
    *({"hardness_mode": mode, "hardness_strength": 4.0} for mode in ("in_batch_negatives", "hard_negatives")),
    {"hardness_mode": "all_negatives", "hardness_strength": 9.0},
]


def id_of(options: Of) -> str:
    return " ".join("+".join(value) if isinstance(value, tuple) else str(value) for value in options.values()) or "none"


@pytest.mark.parametrize("hardness", HARDNESS, ids=id_of)
@pytest.mark.parametrize("partition", PARTITIONS, ids=id_of)
def test_in_batch(partition: Of, hardness: Of) -> None:
    for dtype, rows, negatives in itertools.product(DTYPES, ROWS[: 3 if hardness else 4], (0, 1, 3)):
        arguments: Of = {"scale": 20.0, **partition, **hardness}
        if negatives == 1:
            arguments.update(scale=1.0, similarity_fct=util.dot_score)
        columns = embeddings(2 + negatives, rows, dtype, seed=negatives)
        loss = SelectiveMultipleNegativesRankingLoss(EchoModel(), link=ConstantLink(), **arguments)
        ours = value_and_gradients(loss, columns, None)
        theirs = value_and_gradients(MultipleNegativesRankingLoss(EchoModel(), **arguments), columns, None)
        assert_same(ours, theirs, 1.0, dtype, arguments["scale"] + arguments.get("hardness_strength", 0.0))
        if rows > 1:
            assert_moves(ours[1:])


@pytest.mark.filterwarnings("ignore:The MultipleNegativesSymmetricRankingLoss is deprecated")
@dtypes
def test_the_symmetric_loss(dtype: torch.dtype) -> None:
    for rows, seed in itertools.product(ROWS, SEEDS):
        columns = embeddings(2, rows, dtype, seed)
        loss = SelectiveMultipleNegativesRankingLoss(
            EchoModel(),
            directions=("query_to_doc", "doc_to_query"),
            partition_mode="per_direction",
            link=ConstantLink(),
        )
        theirs = value_and_gradients(MultipleNegativesSymmetricRankingLoss(EchoModel()), columns, None)
        assert_same(value_and_gradients(loss, columns, None), theirs, 1.0, dtype, 20.0)


# --- Cached, with a model


ROWS_OF_TEXT = 5


def features_for(columns: int, model: SentenceTransformer, pairs: list[tuple[str, str, float]]) -> list[Any]:
    texts = [text for pair in pairs for text in pair[:2]]
    return [model.preprocess(texts[i * ROWS_OF_TEXT : (i + 1) * ROWS_OF_TEXT]) for i in range(columns)]


def of_model(loss: nn.Module, model: SentenceTransformer, features: list[Any], labels: Tensor | None) -> list[Tensor]:
    for parameter in model.parameters():
        parameter.grad = None
    result = loss([dict(column) for column in features], labels)
    result.backward()
    return [
        result.detach(),
        *(torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()),
    ]


def assert_same_in_model(ours: list[Tensor], theirs: list[Tensor], model: SentenceTransformer) -> None:
    # Texts of a random model have nearly the same embeddings, so that what pulls at them, 20 a row, nearly cancels.
    assert_same_step(ours, theirs, operations_of(model), exponent=20.0, slope=20.0 / ROWS_OF_TEXT)


@pytest.mark.parametrize(
    ("negatives", "partition"),
    [(0, PARTITIONS[0]), (3, PARTITIONS[0]), (1, PARTITIONS[7]), (0, PARTITIONS[9]), (3, PARTITIONS[9])],
    ids=lambda value: id_of(value) if isinstance(value, dict) else str(value),
)
def test_cached(
    negatives: int, partition: Of, transformer_model: SentenceTransformer, pairs: list[tuple[str, str, float]]
) -> None:
    model = transformer_model
    features = features_for(2 + negatives, model, pairs)
    plain: Of = {**partition, "link": ConstantLink()}
    cached_built_in = CachedMultipleNegativesRankingLoss(model, mini_batch_size=4, **partition)
    built_in = of_model(cached_built_in, model, features, None)
    uncached = of_model(SelectiveMultipleNegativesRankingLoss(model, **partition), model, features, None)
    for arguments, expected, sizes in (
        (plain, built_in, {"mini_batch_size": 100}),
        (plain, built_in, {"mini_batch_size": 4}),
        (partition, uncached, {"mini_batch_size": 2}),
        (partition, uncached, {"mini_batch_num_tokens": 20}),
    ):
        loss = CachedSelectiveMultipleNegativesRankingLoss(model, **arguments, **sizes)  # type: ignore[arg-type]
        assert_same_in_model(of_model(loss, model, features, None), expected, model)


def test_cached_with_every_other_option(
    transformer_model: SentenceTransformer, pairs: list[tuple[str, str, float]]
) -> None:
    model = transformer_model
    features = features_for(3, model, pairs)
    for key, value in features[1].items():
        if isinstance(value, Tensor) and len(value) == ROWS_OF_TEXT:
            features[1][key] = torch.cat([value[:-1], value[:1]])  # the last positive is the first again
    labels = 2 * torch.rand(ROWS_OF_TEXT, 2) - 1
    variants: list[tuple[Of, Tensor | None]] = [
        ({"hardness_mode": "all_negatives", "hardness_strength": 5.0}, None),
        ({"label_smoothing": 0.2, "similarity_fct": util.dot_score, "scale": 0.5}, None),
        ({"mask_same_text": True}, None),
        ({"calibration": 0.3, "calibration_link": IdentityLink()}, labels),
    ]
    without = of_model(SelectiveMultipleNegativesRankingLoss(model), model, features, None)
    for arguments, targets in variants:
        uncached = of_model(SelectiveMultipleNegativesRankingLoss(model, **arguments), model, features, targets)
        loss = CachedSelectiveMultipleNegativesRankingLoss(model, mini_batch_size=4, **arguments)
        assert_same_in_model(of_model(loss, model, features, targets), uncached, model)
        assert abs(uncached[0] - without[0]) > 1e-4  # the option does something


def test_masking_the_same_text(transformer_model: SentenceTransformer) -> None:
    """Texts that occur twice count once, whatever the padding of their columns."""
    model = transformer_model
    anchors = ["a man plays", "a woman reads a book", "a dog"]
    positives = ["a man plays a guitar", "a woman reads", "a man plays a guitar"]
    negatives = ["a man plays a guitar", "the cat", "a car drives on the long road today"]
    loss = SelectiveMultipleNegativesRankingLoss(model, mask_same_text=True, link=ConstantLink())
    features = [model.preprocess(texts) for texts in (anchors, positives, negatives)]
    ours = loss(features, None)
    queries, *documents = (model.encode(texts, convert_to_tensor=True) for texts in (anchors, positives, negatives))
    scores = 20 * util.cos_sim(queries, torch.cat(documents))
    texts = positives + negatives
    for i, positive in enumerate(positives):
        for j, text in enumerate(texts):
            if j != i and text == positive:
                scores[i, j] = -torch.inf
    assert_close(ours.detach(), cross_entropy(scores, torch.arange(3)), operations_of(model), exponent=20.0)


@pytest.mark.parametrize("columns", [2, 4])
def test_the_defaults_are_those_of_the_built_in_losses(columns: int) -> None:
    """The default link's mean value is 1, so that scale and temperature mean what they mean there."""
    embedded = embeddings(columns, 64, torch.float64, 0)
    ours = SelectiveMultipleNegativesRankingLoss(EchoModel())
    assert (ours.scale, ours.similarity_fct) == (20.0, util.cos_sim)
    theirs = MultipleNegativesRankingLoss(EchoModel())
    one, other = (float(value_and_gradients(loss, embedded, None)[0]) for loss in (ours, theirs))
    assert 0.5 < one / other < 2


def test_a_nearly_right_loss_is_told_apart() -> None:
    """The comparisons can fail."""
    columns = embeddings(3, 7, torch.float64, 0)
    theirs = value_and_gradients(MultipleNegativesRankingLoss(EchoModel(), scale=20.0), columns, None)
    almost = SelectiveMultipleNegativesRankingLoss(EchoModel(), scale=20.0 * (1 + 1e-5), link=ConstantLink())
    with pytest.raises(AssertionError):
        assert_same(value_and_gradients(almost, columns, None), theirs, 1.0, torch.float64, 20.0)
    for i in range(1, 4):
        wrong = list(theirs)
        wrong[i] = -wrong[i]
        with pytest.raises(AssertionError):
            assert_same(wrong, theirs, 1.0, torch.float32, 20.0)
    assert cosine_similarity(columns[0], columns[1]).abs().max() <= 1
