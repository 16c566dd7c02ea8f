"""Our losses beside the built-in ones they equal, under each feature of the trainers, of data, models and wrappers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from packaging.version import Version
from sentence_transformers import (
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    MultiVectorEncoderTrainer,
    MultiVectorEncoderTrainingArguments,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    SparseEncoderTrainer,
    SparseEncoderTrainingArguments,
)
from sentence_transformers.base.modules import Router
from sentence_transformers.cross_encoder import losses as builtin_cross
from sentence_transformers.multi_vector_encoder import losses as builtin_multi_vector
from sentence_transformers.sentence_transformer import losses as builtin
from sentence_transformers.sentence_transformer.modules import Normalize
from sentence_transformers.sparse_encoder import losses as builtin_sparse
from torch import nn

from selective_st import losses
from selective_st.cross_encoder import losses as cross
from selective_st.links import ConstantLink, IdentityLink
from selective_st.multi_vector_encoder import losses as multi_vector
from selective_st.sparse_encoder import losses as sparse
from tests import model_types, random_inputs
from tests.host import HOST
from tests.model_types import sentence
from tests.tolerances import LOGGED

pytestmark = pytest.mark.slow

ROWS = 8
SCORES = (0.9, 0.1, 0.6, 0.3, 0.8, 0.2, 0.5, 0.4)
TRAINERS: dict[str, tuple[Any, Any]] = {
    "SentenceTransformer": (SentenceTransformerTrainer, SentenceTransformerTrainingArguments),
    "CrossEncoder": (CrossEncoderTrainer, CrossEncoderTrainingArguments),
    "SparseEncoder": (SparseEncoderTrainer, SparseEncoderTrainingArguments),
    "MultiVectorEncoder": (MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments),
}
Make = Callable[[Any], nn.Module]


def texts(columns: int, label: list[Any] | None = None) -> Dataset:
    """Rows of different sentences in columns "a", "b", ..."""
    named = {"abcd"[place]: [sentence(100 * place + row) for row in range(ROWS)] for place in range(columns)}
    return Dataset.from_dict(named if label is None else {**named, "label": label})


@dataclass(frozen=True)
class Pair:
    """A loss of ours and the built-in one that is `factor` times as large."""

    ours: Make
    theirs: Make
    factor: float
    data: Callable[[], Dataset]


def graded() -> Dataset:
    return texts(2, list(SCORES))


def taught() -> Dataset:
    return texts(3, [[SCORES[row], SCORES[(row + 3) % 8]] for row in range(ROWS)])


def lists() -> Dataset:
    lengths = [2 + row % 3 for row in range(ROWS)]
    documents = [[sentence(10 * row + place) for place in range(length)] for row, length in enumerate(lengths)]
    grades = [[float((row + place) % 3) for place in range(length)] for row, length in enumerate(lengths)]
    return Dataset.from_dict({"a": [sentence(900 + row) for row in range(ROWS)], "b": documents, "label": grades})


def of_lists(ours: Any, theirs: Make, factor: float = 1) -> Pair:
    return Pair(partial(ours, link=ConstantLink()), theirs, factor, taught)


def in_batch(ours: Any, theirs: Any, **settings: int) -> Pair:
    return Pair(partial(ours, link=ConstantLink(), **settings), partial(theirs, **settings), 1, partial(texts, 3))


PAIRS: dict[str, dict[str, Pair]] = {
    "SentenceTransformer": {
        "pointwise": Pair(
            partial(losses.SelectivePointwiseLoss, link=IdentityLink()), builtin.CosineSimilarityLoss, 2, graded
        ),
        "order": Pair(losses.SelectiveOrderLoss, builtin.CoSENTLoss, 20, graded),
        "lists": of_lists(losses.SelectiveListwiseLoss, builtin.DistillKLDivLoss),
        "in-batch": in_batch(losses.SelectiveMultipleNegativesRankingLoss, builtin.MultipleNegativesRankingLoss),
        "cached": in_batch(
            losses.CachedSelectiveMultipleNegativesRankingLoss,
            builtin.CachedMultipleNegativesRankingLoss,
            mini_batch_size=2,
        ),
    },
    "CrossEncoder": {
        "pointwise": Pair(
            partial(cross.SelectivePointwiseLoss, activation_fn=nn.Identity(), link=IdentityLink()),
            builtin_cross.MSELoss,
            2,
            graded,
        ),
        "in-batch": in_batch(cross.SelectiveMultipleNegativesRankingLoss, builtin_cross.MultipleNegativesRankingLoss),
        "cached": in_batch(
            cross.CachedSelectiveMultipleNegativesRankingLoss,
            builtin_cross.CachedMultipleNegativesRankingLoss,
            mini_batch_size=3,
        ),
        "order": Pair(cross.SelectiveOrderLoss, builtin_cross.RankNetLoss, math.log2(math.e), lists),
    },
    "SparseEncoder": {
        "order": Pair(sparse.SelectiveOrderLoss, builtin_sparse.SparseCoSENTLoss, 20, graded),
        "lists": of_lists(sparse.SelectiveListwiseLoss, builtin_sparse.SparseDistillKLDivLoss, 4),
        "in-batch": in_batch(
            sparse.SelectiveMultipleNegativesRankingLoss, builtin_sparse.SparseMultipleNegativesRankingLoss
        ),
    },
    "MultiVectorEncoder": {
        "lists": of_lists(multi_vector.SelectiveListwiseLoss, builtin_multi_vector.MultiVectorDistillKLDivLoss),
        "in-batch": in_batch(
            multi_vector.SelectiveMultipleNegativesRankingLoss,
            builtin_multi_vector.MultiVectorMultipleNegativesRankingLoss,
        ),
        "cached": in_batch(
            multi_vector.CachedSelectiveMultipleNegativesRankingLoss,
            builtin_multi_vector.CachedMultiVectorMultipleNegativesRankingLoss,
            mini_batch_size=3,
        ),
    },
}


# --- Features -------------------------------------------------------------------------------------------------------


def with_dropout(model: Any) -> Any:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.3
    return model


def frozen(model: Any) -> Any:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layer.1" in name)
    return model


def truncated(model: Any) -> Any:
    model.truncate_dim = 8
    return model


def normalized(model: Any) -> Any:
    model.append(Normalize())
    return model


def compared_by(name: str) -> Callable[[Any], Any]:
    def change(model: Any) -> Any:
        model.similarity_fn_name = name
        return model

    return change


def routed(model: Any) -> Any:
    """Queries and documents through modules of their own: of a SparseEncoder, queries without a network."""
    other = model_types.bert_model() if type(model) is SentenceTransformer else model_types.sparse_static_model()
    return type(model)(modules=[Router.for_query_document(list(other), list(model))], device="cpu")


@dataclass(frozen=True)
class Feature:
    """What is changed of a plain training; for the model types and losses that it is for."""

    arguments: dict[str, Any] = field(default_factory=dict)
    model: Callable[[Any], Any] = lambda model: model
    data: Callable[[Dataset], Any] = lambda data: data
    wrap: Callable[[Any, nn.Module], Any] = lambda model, loss: loss
    types: tuple[str, ...] = tuple(TRAINERS)
    without: tuple[str, ...] = ()


_OF_EMBEDDINGS = ("SentenceTransformer", "SparseEncoder", "MultiVectorEncoder")
_SENTENCES = ("SentenceTransformer",)
_ROUTES = {"router_mapping": {"a": "query", "b": "document", "c": "document"}}
_EPOCH = {"max_steps": -1, "num_train_epochs": 1}

FEATURES = {
    "plain": Feature(),
    "dropout": Feature(model=with_dropout, types=_OF_EMBEDDINGS),
    "accumulation": Feature({"gradient_accumulation_steps": 2}),
    "checkpointing": Feature({"gradient_checkpointing": True}),
    "a last batch of one row": Feature(_EPOCH, data=lambda data: data.select(range(5))),
    "one prompt": Feature({"prompts": "very fast: "}),
    "prompts by column": Feature({"prompts": {"a": "very fast", "b": "the slow"}}, types=_OF_EMBEDDINGS),
    "prompts by dataset": Feature(
        {"prompts": {"x": "very", "y": "slow"}}, data=lambda data: DatasetDict(x=data, y=data)
    ),
    "datasets in turn": Feature(
        {"multi_dataset_batch_sampler": "round_robin"},
        data=lambda data: DatasetDict(x=data, y=data.select(range(5))),
        wrap=lambda model, loss: {"x": loss, "y": loss},
    ),
    "a stream": Feature(data=lambda data: data.to_iterable_dataset(), types=_OF_EMBEDDINGS),
    "no duplicates": Feature({"batch_sampler": "no_duplicates"}, types=_OF_EMBEDDINGS),
    "a function that makes the loss": Feature(wrap=lambda model, loss: lambda of_trainer: loss),
    "compiled": Feature({"torch_compile": True, "torch_compile_backend": "eager"}),
    "frozen layers": Feature(model=frozen),
    "truncated": Feature(model=truncated, types=_SENTENCES),
    "normalized": Feature(model=normalized, types=_SENTENCES),
    "similarity by distance": Feature(model=compared_by("euclidean"), types=_SENTENCES),
    "routes": Feature(_ROUTES, model=routed, types=("SentenceTransformer", "SparseEncoder")),
    "layers of dimensions": Feature(
        wrap=lambda model, loss: builtin.AdaptiveLayerLoss(
            model, builtin.MatryoshkaLoss(model, loss, [16, 8, 4], [1, 0.5, 0.25]), kl_temperature=0
        ),
        types=_SENTENCES,
        without=("cached",),
    ),
    "dimensions": Feature(wrap=lambda model, loss: builtin.MatryoshkaLoss(model, loss, [16, 8, 4]), types=_SENTENCES),
    "a cache around it": Feature(
        wrap=lambda model, loss: builtin_sparse.CachedSpladeLoss(model, loss, 3e-3, mini_batch_size=2),
        types=("SparseEncoder",),
    ),
}


class Times(nn.Module):
    """A loss times a factor, since those of sparse models are added to others."""

    def __init__(self, model: Any, loss: nn.Module, factor: float) -> None:
        super().__init__()
        self.model = model
        self.inner: Any = loss
        self.factor = factor

    def compute_loss_from_embeddings(self, embeddings: Any, labels: Any = None) -> Any:
        return self.factor * self.inner.compute_loss_from_embeddings(embeddings, labels)


def trained(model_type: str, make: Make, factor: float, data: Dataset, feature: Feature, folder: Path) -> Any:
    """The losses of each step, times the factor, and how far the weights moved in the end."""
    torch.manual_seed(random_inputs.seed_of(0))
    model = feature.model(model_types.model_for(model_type))
    loss = make(model)
    if model_type == "SparseEncoder":
        loss = Times(model, loss, factor)
        is_wrapped = feature is FEATURES["a cache around it"]
        loss = loss if is_wrapped else builtin_sparse.SpladeLoss(model, loss, 3e-3)
        factor = 1.0
    rate = 1e-5 if model_type == "MultiVectorEncoder" else 1e-2
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    trainer_type, arguments_type = TRAINERS[model_type]
    arguments = {
        "output_dir": str(folder),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "optim": "sgd",  # whose steps are as large as the gradients
        "learning_rate": factor * rate,
        "max_grad_norm": 0,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        **feature.arguments,
    }
    trainer = trainer_type(
        model=model,
        args=arguments_type(**arguments),
        train_dataset=feature.data(data),
        loss=feature.wrap(model, loss),
    )
    trainer.train()
    logged = [factor * entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return logged, nn.utils.parameters_to_vector(model.parameters()).detach() - before


def of_feature(place: int, feature: Feature, model_type: str) -> set[str]:
    """The losses that are tried with a feature: the cached one, which embeds twice, and one of the others in turn."""
    there = [loss for loss in PAIRS[model_type] if loss not in feature.without]
    others = [loss for loss in there if loss != "cached"]
    return {"cached", others[place % len(others)]}.intersection(there)


CASES = [
    pytest.param(model_type, loss, feature, id=f"{model_type}-{loss}-{feature}".replace(" ", "_"))
    for model_type, pairs in PAIRS.items()
    for place, (feature, it) in enumerate(FEATURES.items())
    if model_type in it.types
    for loss in sorted(set(pairs) if feature == "plain" else of_feature(place, it, model_type))
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("model_type", "loss", "feature"), CASES)
def test_it_trains_as_the_built_in_loss(model_type: str, loss: str, feature: str, tmp_path: Path) -> None:
    if feature == "a stream" and Version("6.2") > HOST:
        pytest.skip("an accelerate of its time dispatches tensors only")
    pair, chosen = PAIRS[model_type][loss], FEATURES[feature]
    (ours, our_way), (theirs, their_way) = (
        trained(model_type, make, factor, pair.data(), chosen, tmp_path)
        for make, factor in ((pair.ours, pair.factor), (pair.theirs, 1.0))
    )
    assert ours == pytest.approx(theirs, rel=10 * LOGGED, abs=LOGGED)
    assert their_way.norm() > 0
    assert (our_way - their_way).norm() < 10 * LOGGED * their_way.norm()
