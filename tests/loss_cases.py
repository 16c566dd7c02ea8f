"""Every loss module in each of its forms, so that one suite can go through them all."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from sentence_transformers.base.losses import gradcache
from sentence_transformers.util import cos_sim, dot_score, pairwise_cos_sim, pairwise_dot_score
from torch import Tensor, nn

from selective_st.links import ConstantLink, high_scores, score_region
from selective_st.losses import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)

MakeLoss = Callable[[nn.Module], nn.Module]
MakeLabels = Callable[[int, torch.Generator], Tensor]


# Before 6.2 Sentence Transformers carries cached gradients back in single precision, whatever the model's.
CACHE_KEEPS_DOUBLE = "promote_types" in inspect.getsource(gradcache)


class EchoModel(nn.Module):
    """Returns the embeddings it is given."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return features


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
        mean_over: What that mean is over: rows, or the pairs in them.
        pads: Whether a NaN among the labels marks a padded document.
        exact_gradient: Whether the gradient is the loss's derivative (hardness takes scores as constants).
        uncached: For a cached loss the same loss without a cache.
    """

    name: str
    make: MakeLoss
    columns: int
    labels: MakeLabels | None = None
    labels_are: Literal["none", "documents", "negatives", "index"] = "none"
    fixed: int = 0
    bounded: bool = True
    row_wise: bool = True
    mean_over: Literal["rows", "pairs"] = "rows"
    pads: bool = False
    exact_gradient: bool = True
    uncached: MakeLoss | None = None

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
