"""Every loss module has every property; works inside the wrappers; trains. And wrong losses are caught."""

from __future__ import annotations

import importlib
import importlib.util
import math
import pkgutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss, MatryoshkaLoss
from sentence_transformers.util import dot_score, pairwise_cos_sim, pairwise_dot_score
from torch import Tensor, nn

import selective_st
from selective_st.links import ExponentialLink
from selective_st.losses import SelectiveListwiseLoss, SelectiveMultipleNegativesRankingLoss, SelectivePointwiseLoss
from tests.loss_cases import CACHE_KEEPS_DOUBLE, LOSS_CASES, LossCase
from tests.loss_properties import EXPONENT, PROPERTIES, columns_for, labels_for, value_and_gradients
from tests.model_types import model_for, sentence
from tests.tolerances import assert_close, assert_same_step

pytestmark = pytest.mark.numerical

BY_NAME = {case.name: case for case in LOSS_CASES}
TEXT_ROWS = 4
# The wrappers are for models of one embedding a text.
of_sentences = pytest.mark.parametrize(
    "case", [case for case in LOSS_CASES if case.model_type == "SentenceTransformer"], ids=lambda case: case.name
)


def exported_losses() -> set[type[nn.Module]]:
    """What the packages of losses export, those of all model types."""
    names = [
        f"selective_st.{found.name}.losses" for found in pkgutil.iter_modules(selective_st.__path__) if found.ispkg
    ]
    specs = {name: importlib.util.find_spec(name) for name in names}
    names = [name for name, spec in specs.items() if spec is not None and spec.submodule_search_locations]
    assert len(names) >= 3
    packages = [importlib.import_module(name) for name in ("selective_st.losses", *names)]
    exported = [getattr(package, name) for package in packages for name in package.__all__]
    return {each for each in exported if isinstance(each, type) and issubclass(each, nn.Module)}


# They have no scores of their own, and tests of their own: tests/test_weighted_loss.py.
COMBINATIONS = {"WeightedLoss"}


def test_every_loss_has_a_case() -> None:
    exported = {each for each in exported_losses() if each.__name__ not in COMBINATIONS}
    tested = {type(case.loss()) for case in LOSS_CASES}
    assert exported == tested, f"without a case: {exported - tested}; not exported: {tested - exported}"


def test_cases_are_of_their_model_type() -> None:
    assert len(BY_NAME) == len(LOSS_CASES)
    for case in LOSS_CASES:
        assert case.loss().model_type.__name__ == case.model_type  # type: ignore[union-attr]


@pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: case.name)
def test_it_has_every_property(case: LossCase) -> None:
    for check in PROPERTIES:  # the traceback names it
        check(case)


@pytest.mark.parametrize("case", [case for case in LOSS_CASES if case.uncached], ids=lambda case: case.name)
def test_a_cached_loss_is_the_uncached(case: LossCase) -> None:
    assert case.uncached is not None
    for dtype in (torch.float64, torch.float32):
        columns, labels = columns_for(case, rows=7, dtype=dtype), labels_for(case, rows=7, dtype=dtype)
        theirs = value_and_gradients(case.uncached(case.echo()), columns, labels)
        for mini_batch_size in (1, 2, 7, 100):
            loss = case.loss()
            loss.mini_batch_size = mini_batch_size  # type: ignore[assignment]
            ours = value_and_gradients(loss, columns, labels)
            assert_close(ours, theirs, dtype=dtype if CACHE_KEEPS_DOUBLE else torch.float32)


# --- With a model


@pytest.fixture
def model(transformer_model: SentenceTransformer) -> SentenceTransformer:
    return transformer_model


def features_for(case: LossCase, model: SentenceTransformer, pairs: list[tuple[str, str, float]]) -> list[Any]:
    texts = [text for pair in pairs for text in pair[:2]]
    columns = [texts[i * TEXT_ROWS : (i + 1) * TEXT_ROWS] for i in range(case.columns)]
    return [model.preprocess(column) for column in columns]


def copies(features: list[Any]) -> list[Any]:
    """Because a wrapper may write into them."""
    return [dict(column) for column in features]


def gradients_of(model: SentenceTransformer) -> list[Tensor]:
    gradients = []
    for parameter in model.parameters():
        gradients.append(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone())
        parameter.grad = None
    return gradients


@of_sentences
def test_inside_matryoshka(case: LossCase, model: SentenceTransformer, pairs: list[tuple[str, str, float]]) -> None:
    features = features_for(case, model, pairs)
    labels = labels_for(case, TEXT_ROWS, torch.float32)
    dims, weights = [32, 16, 6], [1.0, 0.5, 0.25]
    wrapped = MatryoshkaLoss(model, case.make(model), dims, weights)
    ours = wrapped(copies(features), labels)
    ours.backward()
    our_gradients = gradients_of(model)

    loss = (case.uncached or case.make)(model)
    embeddings = [model(column)["sentence_embedding"] for column in copies(features)]
    theirs = torch.zeros(())
    for dim, weight in zip(dims, weights, strict=True):
        truncated = [nn.functional.normalize(column[:, :dim], dim=-1) for column in embeddings]
        theirs = theirs + weight * loss.compute_loss_from_embeddings(truncated, labels)  # type: ignore[operator]
    theirs.backward()
    expected = [theirs.detach(), *gradients_of(model)]
    assert_same_step([ours.detach(), *our_gradients], expected, exponent=EXPONENT, through=model)


@of_sentences
def test_inside_adaptive_layers(
    case: LossCase, model: SentenceTransformer, pairs: list[tuple[str, str, float]]
) -> None:
    features = features_for(case, model, pairs)
    labels = labels_for(case, TEXT_ROWS, torch.float32)
    if case.uncached is not None:
        with pytest.warns(UserWarning, match="AdaptiveLayerLoss is not compatible with CachedSelective"):
            AdaptiveLayerLoss(model, case.make(model))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        wrapped = AdaptiveLayerLoss(model, case.make(model), n_layers_per_step=-1)
    ours = wrapped(copies(features), labels)
    assert ours.isfinite()
    ours.backward()
    gradients = gradients_of(model)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0


def given_texts(
    case: LossCase, model: SentenceTransformer, pairs: list[tuple[str, str, float]]
) -> tuple[nn.Module, Any]:
    """A model of the case's type, and texts as its trainer would give them."""
    if case.model_type == "SentenceTransformer":
        return model, features_for(case, model, pairs)
    numbers = range(case.columns * TEXT_ROWS)
    texts = [sentence(number) for number in numbers]
    columns = [texts[i * TEXT_ROWS : (i + 1) * TEXT_ROWS] for i in range(case.columns)]
    echo = case.echo()
    trained = model_for(case.model_type, getattr(echo, "num_labels", 1))
    if case.model_type != "CrossEncoder":
        return trained, [trained.preprocess(column) for column in columns]
    if echo.in_lists:
        return trained, [columns[0], [list(row) for row in zip(*columns[1:], strict=True)]]
    return trained, columns


# Of the cached losses, whose gradients are those of the uncached, two.
TRAINED = [case for case in LOSS_CASES if not case.uncached or case.name in ("cached, negatives", "cached, teacher")]


@pytest.mark.parametrize("case", TRAINED, ids=lambda case: case.name)
@pytest.mark.slow
def test_a_few_steps_lower_the_loss(
    case: LossCase, model: SentenceTransformer, pairs: list[tuple[str, str, float]]
) -> None:
    trained, inputs = given_texts(case, model, pairs)
    labels: Any = labels_for(case, TEXT_ROWS, torch.float32)
    if case.model_type == "CrossEncoder" and labels is not None and labels.dim() == 2:
        labels = list(labels)
    loss = case.make(trained)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=2e-3)
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        result = loss([dict(column) if isinstance(column, dict) else column for column in inputs], labels)
        result.backward()
        optimiser.step()
        losses.append(float(result.detach()))
    assert all(math.isfinite(number) for number in losses)
    assert losses[-1] < 0.995 * losses[0]


# --- The suite can fail


class Wrong(nn.Module):
    """A right loss, with something done to it."""

    def __init__(self, model: nn.Module, make: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.model = model
        object.__setattr__(self, "right", make(model))

    def forward(self, sentence_features: Any, labels: Tensor | None) -> Tensor:
        return self.compute_loss_from_embeddings([column["sentence_embedding"] for column in sentence_features], labels)

    def of(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        result = self.right.compute_loss_from_embeddings(embeddings, labels)
        assert isinstance(result, Tensor)
        return result

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.of(embeddings, labels)

    def get_config_dict(self) -> dict[str, Any]:
        return dict(self.right.get_config_dict())

    @property
    def citation(self) -> str:
        return str(self.right.citation)


class FlippedGradient(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        loss = self.of(embeddings, labels)
        return 2 * loss.detach() - loss


class ForgottenFactor(Wrong):
    """Its gradient does not depend on what comes in."""

    class _Unit(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, loss: Tensor) -> Tensor:
            return loss.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return torch.ones_like(gradients[0])

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self._Unit.apply(self.of(embeddings, labels))  # type: ignore[no-any-return, no-untyped-call]


class IgnoredColumn(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.of(embeddings[:-1], labels)


class CountedPadding(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.of(embeddings, None if labels is None else labels.nan_to_num(0.0))


class PaddingInTheMean(Wrong):
    """Leaves the padded out of the sum, but not out of the count."""

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        assert labels is not None
        return self.of(embeddings, labels) * (~labels.isnan()).double().mean()


class PaddingByProduct(Wrong):
    """Leaves the padded out by a factor of 0, which a NaN survives."""

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        assert labels is not None
        factor = (~labels[:, -1:].isnan()).to(embeddings[-1])
        return self.of([*embeddings[:-1], embeddings[-1] * factor], labels.nan_to_num(0.0))


class LayoutDependent(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.of([embeddings[0].roll(1, 0) * 0.01 + embeddings[0], *embeddings[1:]], labels)


class OrderDependent(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.of([*embeddings[:-1], embeddings[-1] + 0.01 * embeddings[0]], labels)


class BatchDependent(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.of(embeddings, labels) * len(embeddings[0])


class InHalfPrecision(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        anchors, others = embeddings[0], embeddings[1]
        return (torch.cosine_similarity(anchors, others) - (0 if labels is None else labels)).square().mean()


class UnderAutocast(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        scores = 5 * nn.functional.normalize(embeddings[0], dim=1) @ nn.functional.normalize(embeddings[1], dim=1).T
        return nn.functional.cross_entropy(scores, torch.arange(len(scores)))


class SteepAtTheEnds(Wrong):
    """The angle's derivative is infinite at a cosine of 1."""

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return torch.acos(torch.cosine_similarity(embeddings[0], embeddings[1])).mean()


class WritesIntoItsInputs(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        result = self.of(embeddings, labels)
        embeddings[0].data.mul_(0.5)
        return result


class HidesNaN(Wrong):
    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.of([column.nan_to_num(0.0) for column in embeddings], labels)


class BadConfig(Wrong):
    def get_config_dict(self) -> dict[str, Any]:
        return {**super().get_config_dict(), "largest": math.inf}

    @property
    def citation(self) -> str:
        return "Shamir & Warmuth 2025"


class NamesALoss(Wrong):
    def __init__(self, model: nn.Module, make: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__(model, make)
        self.loss = 0.0


class WrongInAllWays(Wrong):
    """Of any model type."""

    def forward(self, inputs: Any, labels: Any) -> Tensor:
        return self.right(inputs, labels)  # type: ignore[no-any-return]


class FlippedGradientOfTexts(WrongInAllWays):
    def forward(self, inputs: Any, labels: Any) -> Tensor:
        loss = super().forward(inputs, labels)
        return 2 * loss.detach() - loss


class CountedPaddingOfLists(WrongInAllWays):
    def forward(self, inputs: Any, labels: Any) -> Tensor:
        return super().forward(inputs, [row.nan_to_num(0.0) for row in labels])


class ForgottenLastDocument(WrongInAllWays):
    def forward(self, inputs: Any, labels: Any) -> Tensor:
        return super().forward([inputs[0], [row[:-1] for row in inputs[1]]], [row[:-1] for row in labels])


class ListsInOneList(WrongInAllWays):
    """The documents of all queries against one another."""

    def forward(self, inputs: Any, labels: Any) -> Tensor:
        queries, lists = inputs
        rows = len(queries)
        return (
            super().forward([queries[:1], [[document for row in lists for document in row]]], [torch.cat(labels)])
            / rows
        )


def wrong(name: str, wrapper: type[Wrong]) -> LossCase:
    case = BY_NAME[name]
    return replace(case, name=wrapper.__name__, make=partial(wrapper, make=case.make), uncached=None)


WRONG_LOSSES: list[tuple[LossCase, set[str]]] = [
    (wrong("pairwise, no labels", FlippedGradient), {"gradient_is_the_derivative"}),
    (wrong("in-batch, negatives", FlippedGradient), {"gradient_is_the_derivative"}),
    (wrong("in-batch, pairs", ForgottenFactor), {"incoming_gradient_multiplies"}),
    (wrong("in-batch, negatives", IgnoredColumn), {"gradients_reach_every_column", "a_nan_stays_visible"}),
    (wrong("listwise, scores", CountedPadding), {"padding_is_removed"}),
    (wrong("pairwise, margins", CountedPadding), {"padding_is_removed"}),
    (wrong("pointwise, documents", PaddingInTheMean), {"padding_is_removed"}),
    (wrong("listwise, scores", PaddingInTheMean), {"padding_is_removed"}),
    (wrong("pointwise, documents", PaddingByProduct), {"what_is_padded_may_be_nan"}),
    (wrong("listwise, scores", PaddingByProduct), {"what_is_padded_may_be_nan"}),
    (wrong("listwise, scores", LayoutDependent), {"rows_in_any_order", "batch_is_the_mean_of_its_rows"}),
    (wrong("in-batch, negatives", LayoutDependent), {"rows_in_any_order"}),
    (wrong("listwise, scores", OrderDependent), {"candidates_in_any_order"}),
    (wrong("in-batch, negatives", OrderDependent), {"candidates_in_any_order"}),
    (wrong("pairwise, no labels", BatchDependent), {"batch_is_the_mean_of_its_rows"}),
    (wrong("pointwise, pairs", InHalfPrecision), {"half_precision"}),
    (wrong("in-batch, pairs", UnderAutocast), {"autocast", "half_precision"}),
    (wrong("pointwise, pairs", SteepAtTheEnds), {"identical_and_opposite_embeddings"}),
    (wrong("pointwise, pairs", WritesIntoItsInputs), {"inputs_are_left_alone"}),
    (wrong("pairwise, no labels", HidesNaN), {"a_nan_stays_visible"}),
    (wrong("in-batch, pairs", BadConfig), {"config_is_json", "citation_names_the_paper"}),
    (wrong("pointwise, pairs", NamesALoss), {"keeps_the_model_and_no_loss"}),
    (wrong("cross encoder, listwise, scores", FlippedGradientOfTexts), {"gradient_is_the_derivative"}),
    (wrong("cross encoder, in-batch", FlippedGradientOfTexts), {"gradient_is_the_derivative"}),
    (wrong("cross encoder, listwise, scores", CountedPaddingOfLists), {"padding_is_removed"}),
    (wrong("cross encoder, pairwise, order of lists", CountedPaddingOfLists), {"padding_is_removed"}),
    (wrong("cross encoder, pointwise, lists", ForgottenLastDocument), {"gradients_reach_every_column"}),
    (wrong("cross encoder, listwise, scores", ListsInOneList), {"batch_is_the_mean_of_its_rows"}),
    (
        replace(
            BY_NAME["in-batch, negatives"],
            name="forgotten normalisation, in-batch",
            make=partial(SelectiveMultipleNegativesRankingLoss, scale=5.0, similarity_fct=dot_score),
        ),
        {"lengths_of_embeddings_do_not_matter"},
    ),
    (
        replace(
            BY_NAME["listwise, scores"],
            name="forgotten normalisation, listwise",
            make=partial(SelectiveListwiseLoss, temperature=0.2, similarity_fct=pairwise_dot_score),
        ),
        {"lengths_of_embeddings_do_not_matter"},
    ),
    (
        replace(
            BY_NAME["pointwise, dot products"],
            name="overflow",
            make=partial(SelectivePointwiseLoss, link=ExponentialLink(5.0), similarity_fct=pairwise_dot_score),
        ),
        {"huge_embeddings"},
    ),
    (
        replace(
            BY_NAME["listwise, scores"],
            name="a mean over pairs taken for one over rows",
            make=partial(
                SelectivePointwiseLoss,
                similarity_fct=pairwise_cos_sim,
            ),
        ),
        {"padding_is_removed"},
    ),
]


@pytest.mark.parametrize(("case", "expected"), WRONG_LOSSES, ids=lambda value: getattr(value, "name", ""))
def test_a_wrong_loss_is_caught(case: LossCase, expected: set[str]) -> None:
    names = {check.__name__: check for check in PROPERTIES}
    for name in expected:
        with pytest.raises((AssertionError, ValueError, RuntimeError)):
            names[name](case)
