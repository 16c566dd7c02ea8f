"""Every loss module in each of its forms, so that one suite can go through them all."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import torch
from sentence_transformers.base.losses import gradcache
from sentence_transformers.util import cos_sim, dot_score, pairwise_cos_sim, pairwise_dot_score
from torch import Tensor, nn

from selective_st.cross_encoder import losses as cross
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, high_scores, score_region
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveEmbedDistillLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from selective_st.multi_vector_encoder import losses as multi_vector
from selective_st.sparse_encoder import losses as sparse
from tests.late_interaction import exact_all, exact_lists, exact_pairs

MakeLoss = Callable[[nn.Module], nn.Module]
MakeLabels = Callable[[int, torch.Generator], Tensor]


# Before 6.2 Sentence Transformers carries cached gradients back in single precision, whatever the model's.
CACHE_KEEPS_DOUBLE = "promote_types" in inspect.getsource(gradcache)


class EchoModel(nn.Module):
    """Returns the embeddings it is given. An echo of another model type also says how a loss is given embeddings."""

    @staticmethod
    def given(columns: list[Tensor], labels: Any) -> tuple[Any, Any]:
        """Columns of embeddings and labels, as the trainer would give a loss columns of texts and labels."""
        return [{"sentence_embedding": column} for column in columns], labels

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features


class EchoCrossEncoder(nn.Module):
    """Reads a pair of embeddings: its logits are their dot product, or that of parts of them for several outputs.

    Attributes:
        num_labels: How many outputs it has.
        in_lists: Whether the documents of a row are given in a list, rather than in columns.
    """

    device = torch.device("cpu")

    def __init__(self, num_labels: int = 1, *, in_lists: bool = False) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.in_lists = in_lists

    def given(self, columns: list[Tensor], labels: Any) -> tuple[Any, Any]:
        queries, *documents = (list(column.unbind()) for column in columns)
        lists = isinstance(labels, Tensor) and labels.dim() == 2
        labels = list(labels.unbind()) if lists else labels  # as the collator gives them
        return [
            queries,
            *([[list(row) for row in zip(*documents, strict=True)]] if self.in_lists else documents),
        ], labels

    def preprocess(
        self, inputs: list[tuple[Tensor, Tensor]], prompt: str | None = None, task: str | None = None
    ) -> dict[str, Tensor]:
        query, document = (torch.stack(list(column)) for column in zip(*inputs, strict=True))
        return {"query": query, "document": document}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        # In single precision at least, as a model computes its last layer.
        query, document = (
            features[name].float() if features[name].dtype.itemsize < 4 else features[name]
            for name in ("query", "document")
        )
        products = query * document
        return {"scores": products.unflatten(-1, (self.num_labels, -1)).sum(-1)}


@dataclass(frozen=True)
class LossCase:
    """A loss, what it takes, and what is to be expected of it.

    Attributes:
        name: For the tests' ids.
        make: The loss for a model.
        columns: How many text columns it is given.
        labels: Labels for a number of rows; None where there are none.
        labels_are: What the last dimension of the labels stands for: nothing, each document, each negative, or the
            index of a document.
        fixed: How many documents have a place of their own (the positive), so that only the others may change places.
        bounded: Whether the similarity is a cosine, which does not depend on the lengths of embeddings.
        row_wise: Whether a batch is the mean of its rows.
        mean_over: What that mean is over: rows, the pairs of a query or positive in them, or all pairs of documents.
        pads: Whether a NaN among the labels marks a padded document.
        exact_gradient: Whether the gradient is the loss's derivative (hardness takes scores as constants).
        uncached: For a cached loss the same loss without a cache.
        model_type: Which models it trains.
        echo: A model of that type, for embeddings in place of texts.
    """

    name: str
    make: MakeLoss
    columns: int
    labels: MakeLabels | None = None
    labels_are: Literal["none", "documents", "negatives", "index"] = "none"
    fixed: int = 0
    bounded: bool = True
    row_wise: bool = True
    mean_over: Literal["rows", "pairs", "all pairs"] = "rows"
    pads: bool = False
    exact_gradient: bool = True
    uncached: MakeLoss | None = None
    model_type: str = "SentenceTransformer"
    echo: Callable[[], nn.Module] = EchoModel

    def loss(self) -> nn.Module:
        """A loss, for an echo."""
        return self.make(self.echo())

    @cached_property
    def shared(self) -> nn.Module:
        """The same for all who leave it as it is."""
        return self.loss()

    @property
    def documents(self) -> int:
        return self.columns - 1


def uniform(width: int, low: float, high: float, rows: int, generator: torch.Generator) -> Tensor:
    """Scores, of shape (rows, width), or (rows,) for a width of 0."""
    shape = (rows, width) if width else (rows,)
    return low + (high - low) * torch.rand(shape, generator=generator)


def zeros_and_ones(rows: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (rows,), generator=generator)


def positions(documents: int, rows: int, generator: torch.Generator) -> Tensor:
    return torch.randint(documents, (rows,), generator=generator)


def several_positives(documents: int, rows: int, generator: torch.Generator) -> Tensor:
    labels = torch.randint(2, (rows, documents), generator=generator)
    labels[torch.arange(rows), positions(documents, rows, generator)] = 1
    return labels


def probabilities(documents: int, rows: int, generator: torch.Generator) -> Tensor:
    return torch.rand(rows, documents, generator=generator, dtype=torch.float64).add(0.1).log().softmax(1)


def half_the_cosine(a: Tensor, b: Tensor) -> Tensor:
    """A similarity of the user's own."""
    return cos_sim(a, b) / 2


def teacher_embeddings(columns: int, rows: int, generator: torch.Generator) -> Tensor:
    shape = (rows, columns, 5) if columns else (rows, 5)
    return torch.randn(shape, generator=generator)


_ORDER: dict[str, Any] = {"scale": 5.0, "weight_link": high_scores(3.0)}
_CONTRASTIVE = {"fixed": 1, "row_wise": False}
SYMMETRIC = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
ALL_DIRECTIONS = {"directions": ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")}
_OF_COSINES = {"similarity_fct": pairwise_cos_sim, "temperature": 0.2}

LOSS_CASES = [
    LossCase("pointwise, pairs", partial(SelectivePointwiseLoss), 2, partial(uniform, 0, -1.0, 1.0), mean_over="pairs"),
    LossCase(
        "pointwise, documents",
        partial(SelectivePointwiseLoss, link=score_region(0.6, 0.8)),
        4,
        partial(uniform, 3, 0.0, 1.0),
        labels_are="documents",
        mean_over="pairs",
        pads=True,
    ),
    LossCase("pointwise, link values", partial(SelectivePointwiseLoss, targets="link_values"), 2, zeros_and_ones),
    LossCase(
        "pointwise, dot products",
        partial(
            SelectivePointwiseLoss, link=high_scores().linear_outside(-1.0, 1.0), similarity_fct=pairwise_dot_score
        ),
        2,
        partial(uniform, 0, -2.0, 2.0),
        bounded=False,
    ),
    LossCase("pairwise, no labels", partial(SelectivePairwiseLoss, **_OF_COSINES), 4, fixed=1, mean_over="pairs"),
    LossCase("pairwise, dot products", SelectivePairwiseLoss, 3, fixed=1, bounded=False),
    LossCase(
        "pairwise, a margin", partial(SelectivePairwiseLoss, **_OF_COSINES), 3, partial(uniform, 0, -1.0, 1.0), fixed=1
    ),
    LossCase(
        "pairwise, margins",
        partial(SelectivePairwiseLoss, link=high_scores(), **_OF_COSINES),
        4,
        partial(uniform, 2, -1.0, 1.0),
        labels_are="negatives",
        fixed=1,
        mean_over="pairs",
        pads=True,
    ),
    LossCase(
        "pairwise, margins of dot products",
        partial(SelectivePairwiseLoss, targets="margins"),
        4,
        partial(uniform, 3, -1.0, 1.0),
        labels_are="documents",
        fixed=1,
        bounded=False,
        mean_over="pairs",
        pads=True,
    ),
    LossCase(
        "pairwise, scores",
        partial(SelectivePairwiseLoss, targets="scores", calibration=0.5, **_OF_COSINES),
        4,
        partial(uniform, 3, -1.0, 1.0),
        labels_are="documents",
        fixed=1,
        mean_over="pairs",
        pads=True,
    ),
    LossCase(
        "order, pairs",
        partial(SelectiveOrderLoss, link=high_scores(2.0), **_ORDER),
        2,
        partial(uniform, 0, 0.0, 1.0),
        row_wise=False,
    ),
    LossCase(
        "order, pairs with calibration",
        partial(SelectiveOrderLoss, calibration=0.5, calibration_link=high_scores()),
        2,
        partial(uniform, 0, 0.0, 1.0),
        row_wise=False,
    ),
    LossCase(
        "order, dot products",
        partial(SelectiveOrderLoss, similarity_fct=pairwise_dot_score),
        2,
        partial(uniform, 0, -2.0, 2.0),
        row_wise=False,
        bounded=False,
    ),
    LossCase("order, positives and negatives", SelectiveOrderLoss, 4, **_CONTRASTIVE),
    LossCase(
        "order, lists",
        partial(SelectiveOrderLoss, **_ORDER),
        4,
        partial(uniform, 3, 0.0, 1.0),
        labels_are="documents",
        mean_over="all pairs",
        pads=True,
    ),
    LossCase(
        "distillation, a batch against itself",
        partial(SelectiveEmbedDistillLoss, temperature=0.3),
        1,
        partial(teacher_embeddings, 0),
        row_wise=False,
    ),
    LossCase(
        "distillation, queries and documents",
        partial(SelectiveEmbedDistillLoss, temperature=0.3, block_size=2),
        2,
        partial(teacher_embeddings, 2),
        row_wise=False,
    ),
    LossCase(
        "listwise, scores",
        partial(SelectiveListwiseLoss, **_OF_COSINES),
        4,
        partial(uniform, 3, -1.0, 1.0),
        labels_are="documents",
        pads=True,
    ),
    LossCase(
        "listwise, dot products",
        partial(SelectiveListwiseLoss),
        4,
        partial(uniform, 3, -2.0, 2.0),
        labels_are="documents",
        bounded=False,
        pads=True,
    ),
    LossCase(
        "listwise, plain ranking and selective calibration",
        partial(
            SelectiveListwiseLoss,
            link=ConstantLink(),
            calibration=0.1,
            calibration_link=high_scores(),
            teacher_temperature=0.1,
            **_OF_COSINES,
        ),
        4,
        partial(uniform, 3, -1.0, 1.0),
        labels_are="documents",
        pads=True,
    ),
    LossCase(
        "listwise, graded relevance",
        partial(SelectiveListwiseLoss, label_range=(0, 5), **_OF_COSINES),
        4,
        partial(uniform, 3, 0.0, 5.0),
        labels_are="documents",
        pads=True,
    ),
    LossCase(
        "listwise, logits of a teacher",
        partial(SelectiveListwiseLoss, teacher_space="logit", **_OF_COSINES),
        4,
        partial(uniform, 3, -8.0, 8.0),
        labels_are="documents",
        pads=True,
    ),
    LossCase(
        "listwise, index of the positive",
        partial(SelectiveListwiseLoss, targets="labels", **_OF_COSINES),
        4,
        partial(positions, 3),
        labels_are="index",
    ),
    LossCase(
        "listwise, several positives",
        partial(SelectiveListwiseLoss, targets="labels", **_OF_COSINES),
        5,
        partial(several_positives, 4),
        labels_are="documents",
    ),
    LossCase(
        "listwise, probabilities",
        partial(SelectiveListwiseLoss, targets="labels", label_smoothing=0.1, **_OF_COSINES),
        4,
        partial(probabilities, 3),
        labels_are="documents",
    ),
]

# Each with and without a cache.
_IN_BATCH: dict[str, dict[str, object]] = {
    "pairs": {"columns": 2},
    "negatives": {"columns": 4},
    "plain": {"columns": 3, "link": ConstantLink()},
    "dot products": {"columns": 3, "scale": 1.0, "similarity_fct": dot_score},
    "own similarity": {"columns": 3, "similarity_fct": half_the_cosine},
    "all directions": {"columns": 4, **ALL_DIRECTIONS},
    "symmetric": {"columns": 3, **SYMMETRIC},
    "hardness": {"columns": 4, "hardness_mode": "all_negatives", "hardness_strength": 3.0},
    "smoothing": {"columns": 4, "label_smoothing": 0.1},
    "teacher": {"columns": 4},
}


def _in_batch_case(name: str, arguments: dict[str, object], *, cached: bool) -> LossCase:
    arguments = {"scale": 5.0, **arguments}
    columns = arguments.pop("columns")
    assert isinstance(columns, int)
    uncached = partial(SelectiveMultipleNegativesRankingLoss, **arguments)  # type: ignore[arg-type]
    of_cache = partial(CachedSelectiveMultipleNegativesRankingLoss, mini_batch_size=4, **arguments)  # type: ignore[arg-type]
    return LossCase(
        f"{'cached' if cached else 'in-batch'}, {name}",
        of_cache if cached else uncached,
        columns,
        partial(uniform, columns - 1, -1.0, 1.0) if name == "teacher" else None,
        labels_are="documents" if name == "teacher" else "none",
        fixed=1,
        bounded=name != "dot products",
        row_wise=False,
        exact_gradient=name != "hardness",
        uncached=uncached if cached else None,
    )


LOSS_CASES += [
    _in_batch_case(name, arguments, cached=cached) for cached in (False, True) for name, arguments in _IN_BATCH.items()
]


# --- CrossEncoder


def _of_cross_encoder(
    name: str, make: MakeLoss, columns: int, labels: MakeLabels | None = None, *, in_lists: bool = False, **more: Any
) -> LossCase:
    """Logits have no bounds; what lengthens an embedding changes them."""
    return LossCase(
        f"cross encoder, {name}",
        make,
        columns,
        labels,
        **{
            "bounded": False,
            "model_type": "CrossEncoder",
            "echo": partial(EchoCrossEncoder, in_lists=in_lists),
            **more,
        },
    )


_DOCUMENTS: dict[str, Any] = {"labels_are": "documents", "pads": True}
_LISTS: dict[str, Any] = {"in_lists": True, **_DOCUMENTS}
_ONE_OF_FOUR = partial(EchoCrossEncoder, 4)

LOSS_CASES += [
    _of_cross_encoder("pointwise", cross.SelectivePointwiseLoss, 2, partial(uniform, 0, 0.0, 1.0), mean_over="pairs"),
    _of_cross_encoder(
        "pointwise, logits",
        partial(cross.SelectivePointwiseLoss, activation_fn=nn.Identity()),
        2,
        partial(uniform, 0, -2.0, 2.0),
    ),
    _of_cross_encoder(
        "pointwise, link values", partial(cross.SelectivePointwiseLoss, targets="link_values"), 2, zeros_and_ones
    ),
    _of_cross_encoder(
        "pointwise, lists",
        cross.SelectivePointwiseLoss,
        4,
        partial(uniform, 3, 0.0, 1.0),
        mean_over="pairs",
        **_LISTS,
    ),
    _of_cross_encoder("pairwise, no labels", cross.SelectivePairwiseLoss, 4, fixed=1, mean_over="pairs"),
    _of_cross_encoder(
        "pairwise, margins",
        cross.SelectivePairwiseLoss,
        4,
        partial(uniform, 2, -1.0, 1.0),
        labels_are="negatives",
        fixed=1,
        mean_over="pairs",
        pads=True,
    ),
    _of_cross_encoder(
        "pairwise, scores",
        partial(cross.SelectivePairwiseLoss, targets="scores", activation_fn=nn.Sigmoid()),
        4,
        partial(uniform, 3, 0.0, 1.0),
        fixed=1,
        mean_over="pairs",
        **_DOCUMENTS,
    ),
    *(
        _of_cross_encoder(
            f"pairwise, {targets} of lists",
            partial(cross.SelectivePairwiseLoss, targets=targets),
            4,
            partial(uniform, 3, -1.0, 1.0),
            mean_over="all pairs",
            **_LISTS,
        )
        for targets in ("order", "margins", "scores")
    ),
    _of_cross_encoder(
        "order, pairs",
        partial(cross.SelectiveOrderLoss, weight_link=IdentityLink()),
        2,
        partial(uniform, 0, 0.0, 3.0),
        row_wise=False,
    ),
    _of_cross_encoder(
        "order, lists",
        partial(cross.SelectiveOrderLoss, weight_link=ExponentialLink(0.7)),
        4,
        partial(uniform, 3, 0.0, 3.0),
        mean_over="all pairs",
        **_LISTS,
    ),
    _of_cross_encoder(
        "listwise, columns", cross.SelectiveListwiseLoss, 4, partial(uniform, 3, -2.0, 2.0), **_DOCUMENTS
    ),
    _of_cross_encoder(
        "listwise, scores",
        partial(cross.SelectiveListwiseLoss, mini_batch_size=4),
        4,
        partial(uniform, 3, -2.0, 2.0),
        **_LISTS,
    ),
    _of_cross_encoder(
        "listwise, graded relevance",
        partial(cross.SelectiveListwiseLoss, activation_fn=nn.Sigmoid(), label_range=(0, 5), temperature=0.2),
        4,
        partial(uniform, 3, 0.0, 5.0),
        **_LISTS,
    ),
    _of_cross_encoder(
        "listwise, several positives",
        partial(cross.SelectiveListwiseLoss, targets="labels"),
        5,
        partial(several_positives, 4),
        in_lists=True,
        labels_are="documents",
    ),
    _of_cross_encoder(
        "listwise, index of the positive",
        partial(cross.SelectiveListwiseLoss, targets="labels", label_smoothing=0.1),
        4,
        partial(positions, 3),
        labels_are="index",
    ),
    _of_cross_encoder(
        "in-batch", partial(cross.SelectiveMultipleNegativesRankingLoss, num_negatives=None), 2, **_CONTRASTIVE
    ),
    _of_cross_encoder(
        "in-batch, negatives and logits",
        partial(cross.SelectiveMultipleNegativesRankingLoss, num_negatives=None, scale=2.0, activation_fn=None),
        4,
        **_CONTRASTIVE,
    ),
    _of_cross_encoder(
        "cached in-batch",
        partial(cross.CachedSelectiveMultipleNegativesRankingLoss, num_negatives=None, scale=2.0, mini_batch_size=5),
        3,
        uncached=partial(cross.SelectiveMultipleNegativesRankingLoss, num_negatives=None, scale=2.0),
        **_CONTRASTIVE,
    ),
    _of_cross_encoder("classes", cross.SelectiveCrossEntropyLoss, 2, partial(positions, 4), echo=_ONE_OF_FOUR),
    _of_cross_encoder(
        "class probabilities",
        partial(cross.SelectiveCrossEntropyLoss, label_smoothing=0.1),
        2,
        partial(probabilities, 4),
        echo=_ONE_OF_FOUR,
    ),
]

# --- SparseEncoder


def _of_sparse_encoder(
    name: str, make: MakeLoss, columns: int, labels: MakeLabels | None = None, **more: Any
) -> LossCase:
    """On dot products, which have no bounds."""
    return LossCase(
        f"sparse encoder, {name}", make, columns, labels, **{"bounded": False, "model_type": "SparseEncoder", **more}
    )


_MARGINS: dict[str, Any] = {"labels_are": "negatives", "fixed": 1, "mean_over": "pairs", "pads": True}

LOSS_CASES += [
    _of_sparse_encoder("pointwise", sparse.SelectivePointwiseLoss, 2, partial(uniform, 0, -2.0, 2.0)),
    _of_sparse_encoder(
        "pointwise, documents",
        sparse.SelectivePointwiseLoss,
        4,
        partial(uniform, 3, 0.0, 2.0),
        mean_over="pairs",
        **_DOCUMENTS,
    ),
    _of_sparse_encoder(
        "pointwise, cosines",
        partial(sparse.SelectivePointwiseLoss, similarity_fct=pairwise_cos_sim),
        2,
        partial(uniform, 0, -1.0, 1.0),
        bounded=True,
    ),
    _of_sparse_encoder("pairwise, no labels", sparse.SelectivePairwiseLoss, 4, fixed=1, mean_over="pairs"),
    _of_sparse_encoder(
        "pairwise, margins", sparse.SelectivePairwiseLoss, 4, partial(uniform, 2, -1.0, 1.0), **_MARGINS
    ),
    _of_sparse_encoder(
        "order",
        partial(sparse.SelectiveOrderLoss, **_ORDER),
        2,
        partial(uniform, 0, 0.0, 1.0),
        row_wise=False,
        bounded=True,
    ),
    _of_sparse_encoder("listwise", sparse.SelectiveListwiseLoss, 4, partial(uniform, 3, -2.0, 2.0), **_DOCUMENTS),
    _of_sparse_encoder("in-batch", sparse.SelectiveMultipleNegativesRankingLoss, 4, **_CONTRASTIVE),
    _of_sparse_encoder(
        "in-batch, symmetric",
        partial(sparse.SelectiveMultipleNegativesRankingLoss, **SYMMETRIC),  # type: ignore[arg-type]
        3,
        **_CONTRASTIVE,
    ),
]


# --- MultiVectorEncoder


class EchoMultiVector(nn.Module):
    """Cuts an embedding into a query's four tokens of two dimensions, or a document's three and one that is padding."""

    @staticmethod
    def given(columns: list[Tensor], labels: Any) -> tuple[Any, Any]:
        features: list[dict[str, Any]] = []
        for column in columns:
            mask = torch.ones(len(column), 4, dtype=torch.long)
            mask[:, 3] = int(not features)
            features.append({"token_embeddings": column.unflatten(1, (4, 2)), "attention_mask": mask})
        return features, labels

    def forward(self, features: dict[str, Tensor], task: str) -> dict[str, Tensor]:
        return features


def _of_multi_vector(
    name: str, make: MakeLoss, columns: int, labels: MakeLabels | None = None, **more: Any
) -> LossCase:
    """On MaxSim, which has no bounds."""
    return LossCase(
        f"multi-vector encoder, {name}",
        make,
        columns,
        labels,
        **{"bounded": False, "model_type": "MultiVectorEncoder", "echo": EchoMultiVector, **more},
    )


_PAIR_SCORES: dict[str, Any] = {"similarity_fct": exact_pairs}
_LIST_SCORES: dict[str, Any] = {"similarity_fct": exact_lists}
_MULTI_VECTOR_IN_BATCH: dict[str, dict[str, Any]] = {
    "pairs": {"columns": 2},
    "negatives": {"columns": 4},
    "in parts": {"columns": 3, "score_mini_batch_size": 4},
    "plain": {"columns": 3, "link": ConstantLink()},
    "smoothing": {"columns": 4, "label_smoothing": 0.1},
    "teacher": {"columns": 4, "calibration": 0.5},
}


def _multi_vector_in_batch_case(name: str, arguments: dict[str, Any], *, cached: bool) -> LossCase:
    arguments = {"similarity_fct": exact_all, **arguments}
    columns = arguments.pop("columns")
    uncached = partial(multi_vector.SelectiveMultipleNegativesRankingLoss, **arguments)
    arguments.setdefault("mini_batch_size", 4)
    of_cache = partial(multi_vector.CachedSelectiveMultipleNegativesRankingLoss, **arguments)
    return _of_multi_vector(
        f"{'cached' if cached else 'in-batch'}, {name}",
        of_cache if cached else uncached,
        columns,
        partial(uniform, columns - 1, -1.0, 1.0) if name == "teacher" else None,
        labels_are="documents" if name == "teacher" else "none",
        uncached=uncached if cached else None,
        **_CONTRASTIVE,
    )


LOSS_CASES += [
    _of_multi_vector(
        "order",
        partial(multi_vector.SelectiveOrderLoss, similarity_fct=exact_pairs, weight_link=high_scores(3.0)),
        2,
        partial(uniform, 0, 0.0, 1.0),
        row_wise=False,
    ),
    _of_multi_vector(
        "pointwise", partial(multi_vector.SelectivePointwiseLoss, **_PAIR_SCORES), 2, partial(uniform, 0, -2.0, 2.0)
    ),
    _of_multi_vector(
        "pointwise, documents",
        partial(multi_vector.SelectivePointwiseLoss, **_PAIR_SCORES),
        4,
        partial(uniform, 3, 0.0, 9.0),
        mean_over="pairs",
        **_DOCUMENTS,
    ),
    _of_multi_vector(
        "pointwise, link values",
        partial(multi_vector.SelectivePointwiseLoss, targets="link_values", **_PAIR_SCORES),
        2,
        zeros_and_ones,
    ),
    _of_multi_vector(
        "pairwise, no labels",
        partial(multi_vector.SelectivePairwiseLoss, **_PAIR_SCORES),
        4,
        fixed=1,
        mean_over="pairs",
    ),
    _of_multi_vector(
        "pairwise, margins",
        partial(multi_vector.SelectivePairwiseLoss, **_PAIR_SCORES),
        4,
        partial(uniform, 2, -1.0, 1.0),
        **_MARGINS,
    ),
    _of_multi_vector(
        "pairwise, scores",
        partial(multi_vector.SelectivePairwiseLoss, targets="scores", **_PAIR_SCORES),
        4,
        partial(uniform, 3, 0.0, 9.0),
        fixed=1,
        mean_over="pairs",
        **_DOCUMENTS,
    ),
    _of_multi_vector(
        "listwise, scores",
        partial(multi_vector.SelectiveListwiseLoss, **_LIST_SCORES),
        4,
        partial(uniform, 3, 0.0, 9.0),
        **_DOCUMENTS,
    ),
    _of_multi_vector(
        "listwise, several positives",
        partial(multi_vector.SelectiveListwiseLoss, targets="labels", **_LIST_SCORES),
        5,
        partial(several_positives, 4),
        labels_are="documents",
    ),
    *(
        _multi_vector_in_batch_case(name, arguments, cached=cached)
        for cached in (False, True)
        for name, arguments in _MULTI_VECTOR_IN_BATCH.items()
    ),
]
