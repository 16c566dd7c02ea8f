"""The scorers: from what a model is given to scores. They keep no model and no state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, ClassVar

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.util import fullname, similarity_fct_name
from torch import Tensor, nn
from torch.autograd import Function
from typing_extensions import override

from selective_st._autograd import KnownSlopes, in_transform, pull_through
from selective_st.functional._common import single_or_double, without_autocast
from selective_st.links import Interval
from selective_st.losses import _common as common
from selective_st.losses._settings import Part, found

_SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize
_SMALLEST_NORM_OF_ONE = 1e-8  # as torch.cosine_similarity
_ONE_BY_ONE = {"cpu"}  # devices where documents are compared one after the other


@dataclass(frozen=True, kw_only=True)
class Scorer(Part, ABC):
    """From a batch to scores."""

    @abstractmethod
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> common.ScoreSpace:
        """Where the scores lie; raises where the model does not fit."""

    def remarks_on(self, model: nn.Module) -> list[str]:
        """What is odd in the model."""
        return []

    def remarks(self, scores: Tensor, targets: Tensor) -> list[str]:
        """What is odd in the scores of the first batch that are to reach targets."""
        return []


@dataclass(frozen=True, kw_only=True)
class AllSimilarities(Scorer):
    """The similarity of all anchors' embeddings to all documents'.

    Attributes:
        similarity_fct: Takes (a, dim) and (b, dim), gives (a, b).
    """

    embed: ClassVar[Any] = staticmethod(embed_columns)
    is_pairwise: ClassVar[bool] = False
    similarity_fct: common.SimilarityFunction

    def __post_init__(self) -> None:
        super().__post_init__()
        common.check_similarity(self.owner, self.similarity_fct, pairwise=self.is_pairwise)

    @override
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> common.ScoreSpace:
        bounds = Interval(-1.0, 1.0) if common.is_cosine(self.similarity_fct) else Interval(-math.inf, math.inf)
        sign = int(model_type is SparseEncoder) if common.is_dot_product(self.similarity_fct) else None
        return common.ScoreSpace(similarity_fct_name(self.similarity_fct), bounds, sign)


@dataclass(frozen=True, kw_only=True)
class Similarity(AllSimilarities):
    """The similarity of the first column's embedding to each other column's, row by row.

    Attributes:
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        cos_score_transformation: Applied to the similarities; None for none.
    """

    is_pairwise = True
    cos_score_transformation: nn.Module | None = None
    _at_once: type[KnownSlopes] | None = found()

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cos_score_transformation is None:
            self._settle(cos_score_transformation=nn.Identity())
        if not isinstance(self.cos_score_transformation, nn.Module):
            got = type(self.cos_score_transformation).__name__
            raise TypeError(f"{self.owner}: cos_score_transformation must be a torch.nn.Module, got {got}.")
        at_once = _DotProducts if common.is_dot_product(self.similarity_fct) else None
        self._settle(_at_once=_Cosines if common.is_cosine(self.similarity_fct) else at_once)

    @override
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> common.ScoreSpace:
        if isinstance(self.cos_score_transformation, nn.Identity):
            return super().space(model, model_type)
        return common.ScoreSpace(fullname(self.cos_score_transformation))

    def scores(self, embeddings: Sequence[Tensor], mask: Tensor | None) -> Tensor:
        """The scores of a batch, in at least single precision.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column: the anchors, then one or more columns of
                documents.
            mask: Which documents of the last columns count: nothing of another's embedding, be it NaN, reaches the
                scores or gradients of others. None for all.

        Returns:
            Scores of shape (batch_size,) for one column of documents, (batch_size, documents) for more.
        """
        # A cosine of 0.95 in bfloat16 is 0.95 +- 0.004: too coarse for a loss that cares about a region.
        columns, is_mixed = [], False
        for column in embeddings:
            column = column if column.layout == torch.strided else column.to_dense()
            columns.append(column.float() if column.dtype.itemsize < 4 else column)
            is_mixed |= columns[-1].dtype != columns[0].dtype
        if is_mixed:
            columns = list(single_or_double(*columns))
        if mask is not None:
            columns[1:] = common.without_padding(columns[1:], mask)
        is_pair_of_cosine = self.similarity_fct is torch.cosine_similarity and len(columns) == 2
        # Ours go number by number, which autocast leaves as it is.
        if is_pair_of_cosine and not (in_transform() or torch.compiler.is_compiling()):
            scores: Tensor = _Cosine.apply(*columns)  # type: ignore[no-untyped-call]
        elif self._at_once and not is_pair_of_cosine:
            scores = self._at_once()(*columns)
            scores = scores.squeeze(1) if len(columns) == 2 else scores
        else:
            with without_autocast(columns[0].device.type):
                one_by_one = list(map(self.similarity_fct, repeat(columns[0]), columns[1:]))
            if one_by_one[0].shape != columns[0].shape[:1]:
                name = getattr(self.similarity_fct, "__name__", repr(self.similarity_fct))
                expected, got = tuple(columns[0].shape[:1]), tuple(one_by_one[0].shape)
                raise ValueError(self.said("similarity_shape", expected=expected, name=name, got=got))
            scores = one_by_one[0] if len(columns) == 2 else torch.stack(one_by_one, dim=1)
        transform: Any = self.cos_score_transformation
        return scores if isinstance(transform, nn.Identity) else transform(scores)


class _Cosine(Function):
    """The cosines of one document with each anchor, in half the operators of `torch.cosine_similarity`."""

    @staticmethod
    def forward(ctx: Any, *columns: Tensor) -> Tensor:
        anchors, documents = columns
        norms = anchors.new_empty(2, *anchors.shape[:-1])
        for column, place in zip(columns, norms, strict=True):
            torch.linalg.vector_norm(column, dim=-1, out=place)
        inverse = norms.clamp_min(_SMALLEST_NORM_OF_ONE).reciprocal_()
        of_both = inverse.prod(0)
        cosines: Tensor = (anchors * documents).sum(-1).mul_(of_both)
        ctx.save_for_backward(*columns, norms, inverse, of_both, cosines)
        return cosines

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        anchors, documents, norms, inverse, of_both, cosines = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            return tuple(pull_through(torch.cosine_similarity, gradient, ctx.needs_input_grad, (anchors, documents)))
        across = (gradient * of_both).unsqueeze(-1)
        # What points along an embedding only changes its length; of a short one as in torch's own gradient.
        along = (inverse * (gradient * cosines)).div_(torch.threshold(norms, 0.0, math.inf))
        of_anchors, of_documents = along.unsqueeze(-1)
        return (
            (across * documents).addcmul_(of_anchors, anchors, value=-1),
            (across * anchors).addcmul_(of_documents, documents, value=-1),
        )


class _DotProducts(KnownSlopes):
    """The dot products of each anchor with its documents: one node of the graph, instead of some for each document."""

    are_cosines = False

    @override
    def value(self, *tensors: Tensor) -> Tensor:
        # In one tensor, which takes few operators; a CPU's cache prefers one document after the other.
        self._together = len(tensors) > 2 and tensors[0].device.type not in _ONE_BY_ONE
        norm = torch.linalg.vector_norm
        if self._together:
            columns = torch.stack(tensors)
            norms = norm(columns, dim=-1).movedim(0, -1) if self.are_cosines else None
            scores = columns[1:].mul_(columns[0]).sum(-1).movedim(0, -1)
        else:
            anchors, *documents = tensors
            products, scores = torch.empty_like(anchors), anchors.new_empty(*anchors.shape[:-1], len(documents))
            for document, place in zip(documents, scores.unbind(-1), strict=True):
                torch.sum(torch.mul(anchors, document, out=products), -1, out=place)
            norms = torch.stack([norm(column, dim=-1) for column in tensors], dim=-1) if self.are_cosines else None
        if norms is None:
            return scores
        inverse = norms.clamp_min(_SMALLEST_NORM).reciprocal_()
        self._of_both = inverse[..., :1] * inverse[..., 1:]
        # A length that is not divided by, for being too short, does not turn what it is the length of.
        self._squares = torch.threshold(norms, _SMALLEST_NORM, math.inf).square_()
        self._cosines = scores.mul_(self._of_both)
        return self._cosines

    @override
    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            return pull_through(self._one_by_one, gradient, needed, tensors)
        if not self.are_cosines:
            return self._gradients(gradient, *tensors)
        to_units = self._gradients(gradient * self._of_both, *tensors)
        # What points along an embedding only changes its length.
        along = gradient * self._cosines
        factors = torch.cat([along.sum(-1, keepdim=True), along], -1).div_(self._squares).unsqueeze(-1).unbind(-2)
        trios = zip(to_units, factors, tensors, strict=True)
        return [to_one.addcmul_(factor, one, value=-1) for to_one, factor, one in trios]

    def _one_by_one(self, *columns: Tensor) -> Tensor:
        anchors, *documents = map(_unit, columns) if self.are_cosines else columns
        return torch.stack([torch.linalg.vecdot(anchors, document) for document in documents], -1)

    def _gradients(self, gradient: Tensor, anchors: Tensor, *documents: Tensor) -> list[Tensor]:
        if self._together:
            factors = gradient.movedim(-1, 0).unsqueeze(-1)
            return [torch.stack(documents).mul_(factors).sum(0), *(factors * anchors)]
        first, *others = of_each = gradient.unsqueeze(-1).unbind(-2)
        to_anchors = first * documents[0]
        for factor, document in zip(others, documents[1:], strict=True):
            to_anchors.addcmul_(factor, document)
        return [to_anchors, *map(anchors.mul, of_each)]


class _Cosines(_DotProducts):
    """As `_DotProducts`, for cosines."""

    are_cosines = True


def _unit(embeddings: Tensor) -> Tensor:
    """As `torch.nn.functional.normalize`, with derivatives of any order where an embedding is 0."""
    norm = torch.linalg.vector_norm
    is_short = norm(embeddings, dim=-1, keepdim=True) <= _SMALLEST_NORM
    lengths = norm(torch.where(is_short, 1, embeddings), dim=-1, keepdim=True)
    return embeddings / torch.where(is_short, _SMALLEST_NORM, lengths)
