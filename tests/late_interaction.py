"""MaxSim in the precision of the embeddings, for tests: that of Sentence Transformers is in single precision."""

from __future__ import annotations

import torch
from torch import Tensor


def _similarities(
    queries: Tensor, documents: Tensor, queries_mask: Tensor | None, documents_mask: Tensor | None
) -> Tensor:
    """MaxSim over the last two dimensions."""
    similarities = queries @ documents.mT
    if documents_mask is not None:
        similarities = similarities.masked_fill(~documents_mask.unsqueeze(-2), -torch.inf)
    best = similarities.amax(-1)
    if queries_mask is not None:
        best = torch.where(queries_mask, best, 0.0)
    return best.sum(-1)


def exact_pairs(
    queries: Tensor, documents: Tensor, queries_mask: Tensor | None = None, documents_mask: Tensor | None = None
) -> Tensor:
    """MaxSim of each query with one document."""
    return _similarities(queries, documents, queries_mask, documents_mask)


def exact_lists(
    queries: Tensor, documents: Tensor, queries_mask: Tensor | None = None, documents_mask: Tensor | None = None
) -> Tensor:
    """MaxSim of each query with its own documents."""
    mask = None if queries_mask is None else queries_mask.unsqueeze(1)
    return _similarities(queries.unsqueeze(1), documents, mask, documents_mask)


def exact_all(
    queries: Tensor, documents: Tensor, queries_mask: Tensor | None = None, documents_mask: Tensor | None = None
) -> Tensor:
    """MaxSim of each query with the documents of all."""
    mask = None if queries_mask is None else queries_mask.unsqueeze(1)
    documents = documents.flatten(0, 1)
    documents_mask = None if documents_mask is None else documents_mask.flatten(0, 1)
    return _similarities(queries.unsqueeze(1), documents, mask, documents_mask)
