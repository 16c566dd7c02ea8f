"""The losses for a SparseEncoder: identities with the built-in losses, alone and inside their wrappers; training."""

from __future__ import annotations

import inspect
import itertools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SparseEncoder, SparseEncoderTrainer, SparseEncoderTrainingArguments
from sentence_transformers.sparse_encoder import losses as built_in
from sentence_transformers.util import cos_sim, dot_score, pairwise_cos_sim, pairwise_dot_score
from torch import Tensor, nn

from selective_st import losses as dense
from selective_st.links import ConstantLink, IdentityLink, link_from_config
from selective_st.sparse_encoder.losses import (
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from tests import random_inputs
from tests.loss_cases import CACHE_KEEPS_DOUBLE, EchoModel
from tests.model_types import autoencoder_model, bert_model, cross_encoder, multi_vector_model, sentence, splade_model
from tests.tolerances import DTYPES, assert_close, assert_same_step, assert_within, largest, operations_of, rounding

pytestmark = pytest.mark.numerical

LOSSES: list[type[nn.Module]] = [
    SelectivePointwiseLoss,
    SelectivePairwiseLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
]
ROWS = 5
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_loss = pytest.mark.parametrize("make", LOSSES, ids=lambda loss: loss.__name__)


def echo() -> Any:
    return EchoModel()


def embeddings(columns: int, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    """Of mostly zeros, as a SparseEncoder's."""
    generator = random_inputs.generator(seed)
    shape = (columns, ROWS, 40)
    values = 2 * torch.rand(shape, generator=generator, dtype=torch.float64)
    values = torch.where(torch.rand(shape, generator=generator) < 0.3, values, 0.0)
    return [column.clone().to(dtype).requires_grad_() for column in values]


class Same:
    """A built-in loss, and the settings with which ours is the same up to a factor."""

    def __init__(
        self, ours: Any, theirs: Any, columns: int, labels: Callable[[torch.dtype], Tensor | None], factor: float,
        settings: dict[str, Any], shared: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.columns, self.labels, self.factor = columns, labels, factor
        shared = shared or {}
        self.ours = lambda model: ours(model, **shared, **settings)
        self.theirs = lambda model: theirs(model, **shared)


def scores(*shape: int, scale: float = 6.0) -> Callable[[torch.dtype], Tensor]:
    return lambda dtype: scale * torch.rand(ROWS, *shape, generator=random_inputs.generator(1)).to(dtype)


def nothing(dtype: torch.dtype) -> None:
    return None


_SYMMETRIC = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction", "scale": 0.5}
_ALL = {"directions": ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")}
_HARD = {"hardness_mode": "all_negatives", "hardness_strength": 0.3, "similarity_fct": cos_sim, "scale": 9.0}
_IN_BATCH = (SelectiveMultipleNegativesRankingLoss, built_in.SparseMultipleNegativesRankingLoss)
_MARGIN = (SelectivePairwiseLoss, built_in.SparseMarginMSELoss)
_LISTS = (SelectiveListwiseLoss, built_in.SparseDistillKLDivLoss)
_IDENTITY, _CONSTANT = {"link": IdentityLink()}, {"link": ConstantLink()}
_COSINES = {**_IDENTITY, "similarity_fct": pairwise_cos_sim}
IDENTITIES = {
    "cosine similarity": Same(
        SelectivePointwiseLoss, built_in.SparseCosineSimilarityLoss, 2, scores(scale=1.0), 0.5, _COSINES
    ),
    "a margin": Same(*_MARGIN, 3, scores(), 0.5, _IDENTITY),
    "margins": Same(*_MARGIN, 5, scores(3), 0.5, _IDENTITY),
    "margins of scores": Same(*_MARGIN, 5, scores(4), 0.5, {**_IDENTITY, "targets": "margins"}),
    "lists": Same(*_LISTS, 4, scores(3), 1 / 4, _CONSTANT),
    "lists at a temperature": Same(
        *_LISTS, 4, scores(3), 1 / 9, _CONSTANT, {"student_temperature": 3.0, "teacher_temperature": 0.7}
    ),
    "in-batch, pairs": Same(*_IN_BATCH, 2, nothing, 1.0, _CONSTANT),
    "in-batch, negatives": Same(*_IN_BATCH, 4, nothing, 1.0, _CONSTANT),
    "in-batch, symmetric": Same(*_IN_BATCH, 3, nothing, 1.0, _CONSTANT, _SYMMETRIC),
    "in-batch, all directions": Same(*_IN_BATCH, 3, nothing, 1.0, _CONSTANT, _ALL),
    "in-batch, hardness": Same(*_IN_BATCH, 3, nothing, 1.0, _CONSTANT, _HARD),
}
every_identity = pytest.mark.parametrize("name", IDENTITIES)


def gradients(value: Tensor, columns: list[Tensor]) -> list[Tensor]:
    for column in columns:
        column.grad = None
    value.backward()
    return [value.detach(), *(column.grad for column in columns if column.grad is not None)]


@dtypes
@every_identity
def test_built_in_losses_are_special_cases(name: str, dtype: torch.dtype) -> None:
    same, labels = IDENTITIES[name], IDENTITIES[name].labels(dtype)
    for seed in range(2):
        columns = embeddings(same.columns, dtype, seed)
        ours = gradients(same.ours(echo()).compute_loss_from_embeddings(columns, labels), columns)
        theirs = gradients(same.theirs(echo()).compute_loss_from_embeddings(columns, labels), columns)
        assert_same_step(ours, [same.factor * tensor for tensor in theirs])


# --- Inside the wrappers, with a model


def features(model: SparseEncoder, columns: int) -> list[dict[str, Any]]:
    """Of texts of one to five words."""
    return [
        model.preprocess(
            [" ".join(sentence(10 * column + row).split()[: 1 + (2 * row + column) % 5]) for row in range(ROWS)]
        )
        for column in range(columns)
    ]


def parts_and_gradients(
    loss: nn.Module, model: SparseEncoder, columns: int, labels: Tensor | None
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The parts of the loss of a batch, and their sum with its gradient with respect to all parameters."""
    model.zero_grad()
    parts = loss(features(model, columns), labels)
    assert isinstance(parts, dict)
    total = torch.stack(list(parts.values())).sum()
    total.backward()
    found = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    return {name: value.detach() for name, value in parts.items()}, [total.detach(), *found]


class Scaled(nn.Module):
    """A built-in loss times a factor, so that the wrapped losses can be compared."""

    def __init__(self, loss: Any, factor: float) -> None:
        super().__init__()
        self.of, self.factor = loss, factor

    def compute_loss_from_embeddings(self, columns: list[Tensor], labels: Tensor | None) -> Tensor:
        return self.factor * self.of.compute_loss_from_embeddings(columns, labels)


def splade(model: Any, loss: nn.Module) -> nn.Module:
    return built_in.SpladeLoss(model, loss, 3e-3, 5e-3)


def cached(model: Any, loss: nn.Module, mini_batch_size: int = 2) -> nn.Module:
    return built_in.CachedSpladeLoss(model, loss, 3e-3, 5e-3, mini_batch_size=mini_batch_size)


def csr(model: Any, loss: nn.Module) -> nn.Module:
    return built_in.CSRLoss(model, loss, gamma=2.0)


WRAPPERS: dict[str, tuple[Callable[[], SparseEncoder], Callable[[Any, nn.Module], nn.Module]]] = {
    "SpladeLoss": (splade_model, splade),
    "CachedSpladeLoss": (splade_model, cached),
    "CSRLoss": (autoencoder_model, csr),
}


@dtypes
@every_identity
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_special_cases_inside_the_wrappers(wrapper: str, name: str, dtype: torch.dtype) -> None:
    make, wrap = WRAPPERS[wrapper]
    same, model = IDENTITIES[name], make().to(dtype)
    labels = same.labels(dtype)
    ours, our_gradients = parts_and_gradients(wrap(model, same.ours(model)), model, same.columns, labels)
    inner = Scaled(same.theirs(model), same.factor)
    theirs, their_gradients = parts_and_gradients(wrap(model, inner), model, same.columns, labels)
    in_double = CACHE_KEEPS_DOUBLE or wrapper != "CachedSpladeLoss"
    assert_same_step(our_gradients, their_gradients, through=model, dtype=dtype if in_double else torch.float32)
    assert set(ours) == set(theirs)
    for part, value in ours.items():
        assert_close(value, theirs[part])


SETTINGS: dict[str, tuple[type[nn.Module], int, Callable[[torch.dtype], Tensor | None], dict[str, Any]]] = {
    "points": (SelectivePointwiseLoss, 2, scores(), {}),
    "points of lists": (SelectivePointwiseLoss, 4, scores(3), {}),
    "points of cosines": (SelectivePointwiseLoss, 2, scores(scale=1.0), {"similarity_fct": pairwise_cos_sim}),
    "ranking": (SelectivePairwiseLoss, 4, nothing, {}),
    "margins": (SelectivePairwiseLoss, 4, scores(2), {}),
    "lists": (SelectiveListwiseLoss, 4, scores(3), {"calibration": 0.2}),
    "in-batch": (SelectiveMultipleNegativesRankingLoss, 3, nothing, {}),
    "in-batch, teacher": (SelectiveMultipleNegativesRankingLoss, 3, scores(2), {"calibration": 0.2}),
    "in-batch, smooth": (SelectiveMultipleNegativesRankingLoss, 3, nothing, {"label_smoothing": 0.1}),
}


@dtypes
@pytest.mark.parametrize("name", SETTINGS)
def test_cached_splade_is_the_uncached(name: str, dtype: torch.dtype) -> None:
    make, columns, labels_of, settings = SETTINGS[name]
    model, labels = splade_model().to(dtype), labels_of(dtype)
    expected, their_gradients = parts_and_gradients(splade(model, make(model, **settings)), model, columns, labels)
    operations = operations_of(model)
    # The wrapper adds up the regularizers in single precision, and has the rest as the difference.
    regularizers = sum(float(value) for part, value in expected.items() if part != "base_loss")
    error = rounding(dtype, operations) * float(their_gradients[0]) + rounding(torch.float32) * regularizers
    for size in (1, 2, 100):
        loss = cached(model, make(model, **settings), size)
        parts, our_gradients = parts_and_gradients(loss, model, columns, labels)
        bears = dtype if CACHE_KEEPS_DOUBLE else torch.float32
        steepest = largest(*their_gradients[1:])
        assert_close(our_gradients[1:], their_gradients[1:], operations, size=steepest, dtype=bears)
        assert list(parts) == list(expected) == ["base_loss", "document_regularizer_loss", "query_regularizer_loss"]
        for part, value in parts.items():
            assert_within(value, expected[part], error)
    with torch.no_grad():
        parts = loss(features(model, columns), labels)
    for part, value in parts.items():
        assert_within(value, expected[part], error)


@pytest.mark.parametrize("name", SETTINGS)
def test_cached_under_autocast(name: str) -> None:
    """The wrapper goes backward to the embeddings within autocast."""
    make, count, labels_of, settings = SETTINGS[name]
    labels = labels_of(torch.float32)
    results = []
    for wrap in (splade, cached):
        columns = embeddings(count, torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            parts = wrap(echo(), make(echo(), **settings))([{"sentence_embedding": x} for x in columns], labels)
            total = torch.stack(list(parts.values())).sum()
        results.append(gradients(total, columns))
    assert_same_step(results[1], results[0])


# --- Arguments


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SelectivePairwiseLoss, built_in.SparseMarginMSELoss),
        (SelectiveListwiseLoss, built_in.SparseDistillKLDivLoss),
        (SelectiveMultipleNegativesRankingLoss, built_in.SparseMultipleNegativesRankingLoss),
    ],
)
def test_drop_in(ours: Any, theirs: Any) -> None:
    of_ours, of_theirs = (list(inspect.signature(loss).parameters.values()) for loss in (ours, theirs))
    assert [parameter.name for parameter in of_ours][: len(of_theirs)] == [parameter.name for parameter in of_theirs]
    for one, other in zip(of_ours, of_theirs, strict=False):
        assert (one.default, one.kind) == (other.default, other.kind)


@every_loss
def test_they_score_by_dot_products(make: Any) -> None:
    loss = make(echo())
    assert loss.similarity_fct is (dot_score if make is SelectiveMultipleNegativesRankingLoss else pairwise_dot_score)
    assert isinstance(loss, getattr(dense, make.__name__))
    # Linear above what is to be expected, so that the dot products of a SPLADE model do not overflow.
    link, ends = loss.link, torch.tensor([33.0, 500.0])
    assert_close(link.sensitivity(ends)[0], link.sensitivity(ends)[1])
    if make in (SelectiveListwiseLoss, SelectiveMultipleNegativesRankingLoss):
        # Of the mean value 1 there: temperatures and scales mean what they mean in the built-in losses.
        scores = torch.linspace(0, 32, 1001)
        assert_within(link(scores).mean(), 1.0, largest(link(scores)) / len(scores))  # the ends count whole
    cosine = cos_sim if make is SelectiveMultipleNegativesRankingLoss else pairwise_cos_sim
    assert make(echo(), similarity_fct=cosine).link.get_config_dict() == (
        getattr(dense, make.__name__)(echo(), similarity_fct=cosine).link.get_config_dict()
    )
    config = json.loads(json.dumps(loss.get_config_dict(), allow_nan=False))
    assert link_from_config(config["link"]).get_config_dict() == config["link"]
    assert loss.citation == getattr(dense, make.__name__)(echo()).citation


@every_loss
def test_models_of_other_types(make: Any) -> None:
    others = {
        "losses": bert_model(),
        "cross_encoder.losses": cross_encoder(),
        "multi_vector_encoder": multi_vector_model(),
    }
    for package, model in others.items():
        with pytest.raises(
            TypeError, match=rf"{make.__name__}: model must be a SparseEncoder.*selective_st\.{package}"
        ):
            make(model)
    assert getattr(dense, make.__name__)(splade_model()).model  # which has other defaults, and is no mistake
    with pytest.raises(TypeError, match=r"SparseEncoder\(\.\.\.\)"):
        make("splade")


@every_loss
def test_alone_it_warns(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    loss = make(echo())
    columns = embeddings(3, torch.float32)
    labels = None if make is SelectiveMultipleNegativesRankingLoss else torch.rand(ROWS, 2)
    kwargs = {"targets": "margins"} if make is SelectivePairwiseLoss else {}
    loss = make(echo(), **kwargs)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            value = loss([{"sentence_embedding": column} for column in columns], labels)
    assert_close(value, loss.compute_loss_from_embeddings(columns, labels))
    (message,) = [text for text in caplog.messages if "is used alone" in text]
    assert f"SpladeLoss(model, loss={make.__name__}(model, ...)" in message
    caplog.clear()
    splade(echo(), make(echo(), **kwargs))([{"sentence_embedding": column} for column in columns], labels)
    assert not [text for text in caplog.messages if "is used alone" in text]


# --- The trainer


def train(model: SparseEncoder, loss: nn.Module, data: Dataset, folder: Path) -> str:
    """Train, save, and give back the model's card."""
    arguments = SparseEncoderTrainingArguments(
        output_dir=str(folder / "run"),
        max_steps=12,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=4,
    )
    trainer = SparseEncoderTrainer(model, arguments, data, loss=loss)
    trainer.train()
    history = [entry for entry in trainer.state.log_history if "base_loss" in entry]
    assert history[-1]["base_loss"] < history[0]["base_loss"]  # each part is logged
    model.save_pretrained(str(folder / "model"))
    assert SparseEncoder(str(folder / "model"), local_files_only=True, device="cpu").encode(["a cat"]).shape[0] == 1
    return (folder / "model" / "README.md").read_text(encoding="utf-8")


# What a wrapper makes of a loss is told above; here each of both is trained.
@pytest.mark.parametrize(
    ("name", "wrapper"), [*zip(("points", "margins", "lists", "in-batch"), itertools.cycle(WRAPPERS))]
)
@pytest.mark.slow
def test_it_trains_and_the_card_tells(name: str, wrapper: str, tmp_path: Path) -> None:
    make_model, wrap = WRAPPERS[wrapper]
    make, columns, labels_of, settings = SETTINGS[name]
    names = ("query", "positive", "negative", "another")[:columns]
    rows = {key: [sentence(20 * i + row) for row in range(ROWS)] for i, key in enumerate(names)}
    labels = labels_of(torch.float32)
    data = Dataset.from_dict(rows if labels is None else {**rows, "label": labels.tolist()})
    model = make_model()
    card = train(model, wrap(model, make(model, **settings)), data, tmp_path)
    assert make.__name__ in card
    assert wrapper in card
    assert card.count("eprint={2506.04446}") == 1
