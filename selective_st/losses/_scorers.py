"""The scorers: from what a model is given to scores. They keep no model and no state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.util import fullname
from torch import Tensor, nn
from typing_extensions import override

from selective_st._autograd import KnownSlopes
from selective_st.functional._common import without_autocast
from selective_st.losses._common import (
    Part,
    ScoreSpace,
    SimilarityFunction,
    check_similarity,
    is_cosine,
    is_dot_product,
    space_of,
    without_padding,
)

_SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize


@dataclass(frozen=True, kw_only=True)
class Scorer(Part, ABC):
    """From a batch to scores."""

    @abstractmethod
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> ScoreSpace:
        """Where the scores lie; raises where the model does not fit."""

    def remarks_on(self, model: nn.Module) -> list[str]:
        """What is odd in the model."""
        return []

    def remarks(self, scores: Tensor, targets: Tensor) -> list[str]:
        """What is odd in the scores of the first batch that are to reach targets."""
        return []


@dataclass(frozen=True, kw_only=True)
class Similarity(Scorer):
    """The similarity of the first column's embedding to each other column's, row by row.

    Attributes:
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        cos_score_transformation: Applied to the similarities; None for none.
    """

    similarity_fct: SimilarityFunction
    cos_score_transformation: nn.Module | None = None
    _lists: type[KnownSlopes] | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_similarity(self.owner, self.similarity_fct, pairwise=True)
        of_lists = _ListOfDotProducts if is_dot_product(self.similarity_fct) else None
        self._settle(_lists=_ListOfCosines if is_cosine(self.similarity_fct) else of_lists)
        if self.cos_score_transformation is None:
            self._settle(cos_score_transformation=nn.Identity())
        if not isinstance(self.cos_score_transformation, nn.Module):
            raise TypeError(
                f"{self.owner}: cos_score_transformation must be a torch.nn.Module, got "
                f"{type(self.cos_score_transformation).__name__}."
            )

    @override
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> ScoreSpace:
        if isinstance(self.cos_score_transformation, nn.Identity):
            return space_of(self.similarity_fct, model_type)
        return ScoreSpace(fullname(self.cos_score_transformation))

    def embed(self, model: nn.Module, features: Iterable[dict[str, Tensor]]) -> list[Tensor]:
        """The embeddings of each column."""
        return embed_columns(model, features)

    def sizes(self, embeddings: Sequence[Tensor]) -> tuple[int, int]:
        """How many columns, and how many rows."""
        return len(embeddings), len(embeddings[0]) if embeddings else 0

    def scores(self, embeddings: Sequence[Tensor], labels: Any) -> Tensor:
        """The scores of a batch, in at least single precision.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column: the anchors, then one or more columns of
                documents.
            labels: Labels of the last columns, in which NaN marks a padded document: nothing of that one's embedding,
                be it NaN, reaches the scores or gradients of others.

        Returns:
            Scores of shape (batch_size,) for one column of documents, (batch_size, documents) for more.
        """
        # A cosine of 0.95 in bfloat16 is 0.95 +- 0.004: too coarse for a loss that cares about a region.
        with without_autocast(embeddings[0].device.type):
            anchors, *documents = map(_dense_single, embeddings)
            if isinstance(labels, Tensor) and labels.dim() == 2:
                documents = without_padding(documents, labels)
            if len(documents) > 1 and self._lists is not None:
                scores = self._lists()(anchors, *documents)
            elif len(documents) > 1:
                scores = torch.stack([self._similarity(anchors, document) for document in documents], dim=1)
            else:
                scores = self._similarity(anchors, documents[0])
        transform: Any = self.cos_score_transformation
        return scores if isinstance(transform, nn.Identity) else transform(scores)

    def _similarity(self, anchors: Tensor, documents: Tensor) -> Tensor:
        scores = self.similarity_fct(anchors, documents)
        if scores.shape != anchors.shape[:1]:
            name = getattr(self.similarity_fct, "__name__", repr(self.similarity_fct))
            raise ValueError(
                f"similarity_fct must give one score a row, of shape {tuple(anchors.shape[:1])}, but {name} gave shape "
                f"{tuple(scores.shape)}. Use a pairwise function, such as sentence_transformers.util.pairwise_cos_sim."
            )
        return scores


def _dense_single(column: Tensor) -> Tensor:
    """An embedding in the usual layout, in at least single precision."""
    if column.layout != torch.strided:
        column = column.to_dense()
    return column.float() if column.dtype.itemsize < 4 else column


class _ListOfDotProducts(KnownSlopes):
    """The dot products of each anchor with its documents: one node of the graph, instead of one for each document."""

    @override
    def value(self, *tensors: Tensor) -> Tensor:
        anchors, *documents = tensors
        return _dot_products(anchors, documents)

    @override
    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        anchors, *documents = tensors
        return _gradients_of_dot_products(gradient, anchors, documents)


def _dot_products(anchors: Tensor, documents: Sequence[Tensor]) -> Tensor:
    products, scores = torch.empty_like(anchors), anchors.new_empty(*anchors.shape[:-1], len(documents))
    for document, place in zip(documents, scores.unbind(-1), strict=True):
        torch.sum(torch.mul(anchors, document, out=products), -1, out=place)
    return scores


def _gradients_of_dot_products(gradient: Tensor, anchors: Tensor, documents: list[Tensor]) -> tuple[Tensor, ...]:
    factors = gradient.unsqueeze(-1).unbind(-2)
    to_anchors = factors[0] * documents[0]
    for factor, document in zip(factors[1:], documents[1:], strict=True):
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            to_anchors = torch.addcmul(to_anchors, factor, document)
        else:
            to_anchors.addcmul_(factor, document)
    return to_anchors, *(factor * anchors for factor in factors)


class _ListOfCosines(_ListOfDotProducts):
    """As `_ListOfDotProducts`, for cosines."""

    @override
    def value(self, *tensors: Tensor) -> Tensor:
        norms = [column.norm(dim=-1).clamp_min_(_SMALLEST_NORM) for column in tensors]
        products = super().value(*tensors)
        return products.div_(torch.stack(norms[1:], dim=-1)).div_(norms[0].unsqueeze(-1))

    @override
    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        norms = [column.norm(dim=-1, keepdim=True).clamp_min(_SMALLEST_NORM) for column in tensors]
        units = [column / norm for column, norm in zip(tensors, norms, strict=True)]
        to_units = super().pull(gradient, needed, *units)
        # What points along an embedding only changes its length.
        return [
            (to_unit - (to_unit * unit).sum(-1, keepdim=True) * unit) / norm
            for to_unit, unit, norm in zip(to_units, units, norms, strict=True)
        ]
