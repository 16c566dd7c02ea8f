r"""Distillation in a batch: a student's scores of all with all, row by row matched to its teacher's.

The scores of a query with all documents of the batch are a list, and those of the teacher's embeddings are its targets:
`listwise_matching_loss`, block by block, so that memory grows as the batch and not as its square. Only scores meet, so
that the teacher's embeddings may have any dimension.

>>> import torch
>>> from selective_st.functional import in_batch_matching_loss
>>> from selective_st.links import ConstantLink
>>> student, teacher = torch.eye(3)[:, :2], torch.eye(3)
>>> in_batch_matching_loss(student, student, teacher, teacher, ConstantLink(), 0.5)
tensor(0.1443)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._autograd import KnownSlopes, pull_through
from selective_st._caller import caller, named
from selective_st._validation import whole_number
from selective_st.functional._common import check_link, single_or_double, without_autocast
from selective_st.functional.listwise import listwise_matching_loss
from selective_st.links import Link

_SCORES_OF_A_BLOCK = 2**20


def in_batch_matching_loss(
    queries: Tensor,
    documents: Tensor,
    teacher_queries: Tensor,
    teacher_documents: Tensor,
    link: Link,
    temperature: float = 1.0,
    *,
    calibration: float = 1.0,
    calibration_link: Link | None = None,
    target_temperature: float | None = None,
    without_self: bool = False,
    block_size: int | None = None,
) -> Tensor:
    r"""The mean over queries of the matching loss of their scores with all documents against the teacher's scores.

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k),    q = softmax(G(s) / target_temperature)

    for p = queries documents^T and s = teacher_queries teacher_documents^T, in O(block_size x documents) memory.

    Args:
        queries: The student's embeddings of shape (queries, dim); normalised ones give cosines.
        documents: The student's embeddings of shape (documents, dim).
        teacher_queries: The teacher's embeddings of the same queries, of shape (queries, any dim).
        teacher_documents: The teacher's embeddings of the same documents, of shape (documents, any dim).
        link: The link h of potential G of the composite Softmax; `ConstantLink()` gives the plain one.
        temperature: The temperature T > 0, in units of the potential: small is sharp.
        calibration: The weight >= 0 of the calibration term: 1 is the true matching loss, 0 ranks only.
        calibration_link: The link of the calibration term. Default: `link`.
        target_temperature: Another temperature for the target's probabilities q. Default: `temperature`.
        without_self: Whether query i is left out of its own list: document i is the same text.
        block_size: How many queries are scored at once. Default: as many as make about a million scores.

    Returns:
        The loss, at least float32: a scalar. Over no lists of two it is 0, with a graph.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes do not fit, or another argument is out of range.

    Source:
        arXiv 2506.04446 for matching losses with a composite Softmax; in-batch targets are this project's own.

    Example:
        >>> import torch
        >>> from selective_st.functional import in_batch_matching_loss
        >>> from selective_st.links import high_scores
        >>> student, teacher = torch.eye(3)[:, :2], torch.eye(3)
        >>> in_batch_matching_loss(student, student, teacher, teacher, high_scores(), 0.5, without_self=True)
        tensor(0.)
    """
    owner = caller("in_batch_matching_loss")
    link = check_link(owner, link)
    named_embeddings = {
        "queries": queries,
        "documents": documents,
        "teacher_queries": teacher_queries,
        "teacher_documents": teacher_documents,
    }
    for name, embeddings in named_embeddings.items():
        if not isinstance(embeddings, Tensor) or embeddings.dim() != 2 or not embeddings.is_floating_point():
            got = f"{embeddings.dtype} of shape {tuple(embeddings.shape)}" if isinstance(embeddings, Tensor) else None
            raise TypeError(
                f"{owner}: {name} must be a floating-point tensor of shape (texts, dim), got "
                f"{got or type(embeddings).__name__}."
            )
    for own, other in (("queries", "documents"), ("teacher_queries", "teacher_documents")):
        if named_embeddings[own].shape[1] != named_embeddings[other].shape[1]:
            raise ValueError(
                f"{owner}: {own} and {other} must have the same dimension, got {named_embeddings[own].shape[1]} and "
                f"{named_embeddings[other].shape[1]}."
            )
    for own, other in (("teacher_queries", "queries"), ("teacher_documents", "documents")):
        if len(named_embeddings[own]) != len(named_embeddings[other]):
            raise ValueError(
                f"{owner}: {own} must hold one embedding for each of the {len(named_embeddings[other])} {other}, got "
                f"{len(named_embeddings[own])}: embed the same texts with the teacher, in the same order."
            )
    if without_self and len(queries) != len(documents):
        raise ValueError(
            f"{owner}: without_self needs as many documents as queries, the same texts, got {len(queries)} and "
            f"{len(documents)}. Leave it out."
        )
    if len(queries) and not len(documents):
        raise ValueError(f"{owner}: documents must hold at least one embedding, got none for {len(queries)} queries.")
    if block_size is not None:
        whole_number(owner, "block_size", block_size, least=1)
    settings = {
        "link": link,
        "temperature": temperature,
        "calibration": calibration,
        "calibration_link": calibration_link,
        "target_temperature": target_temperature,
    }
    size = block_size or max(_SCORES_OF_A_BLOCK // max(len(documents), 1), 1)
    with without_autocast(queries.device.type):
        student = single_or_double(queries, documents)
        teacher = single_or_double(teacher_queries.detach(), teacher_documents.detach())
        return _InBatchMatching(settings, without_self, size)(*student, *teacher)


@dataclass
class _InBatchMatching(KnownSlopes):
    """A block of rows after the other: its loss, and from the gradient of its scores those of the embeddings."""

    settings: dict[str, Any]
    without_self: bool
    size: int
    one_by_one = True

    @override
    def value(self, *tensors: Tensor) -> Tensor:
        queries, documents, *_ = tensors
        total = queries.new_zeros(())
        self._pulls = (torch.zeros_like(queries), torch.zeros_like(documents))
        for rows, scores, targets, mask in self._blocks(*tensors):
            with torch.enable_grad():
                scores.requires_grad_()
                loss = self._loss(scores, targets, mask)
                slopes = torch.autograd.grad(loss, scores)[0].to(queries) if loss.requires_grad else 0 * scores
            total += loss.detach()
            torch.mm(slopes, documents, out=self._pulls[0][rows])
            self._pulls[1].addmm_(slopes.T, queries[rows])
        count = max(len(queries), 1)
        for pull in self._pulls:
            pull /= count
        return total / count

    @override
    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        if torch.is_grad_enabled():  # gradients of gradients may be wanted
            return pull_through(self._plain, gradient, (*needed[:2], False, False), tensors)
        return *(gradient * pull if need else None for pull, need in zip(self._pulls, needed, strict=False)), None, None

    def _plain(self, *tensors: Tensor) -> Tensor:
        """What autograd can follow."""
        losses = [self._loss(scores, targets, mask) for _, scores, targets, mask in self._blocks(*tensors)]
        return torch.stack([*losses, 0 * tensors[0].sum()]).sum() / max(len(tensors[0]), 1)

    def _blocks(self, *tensors: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor | None]]:
        queries, documents, teacher_queries, teacher_documents = tensors
        for begin in range(0, len(queries), self.size):
            rows = slice(begin, begin + self.size)
            scores, targets = queries[rows] @ documents.T, teacher_queries[rows] @ teacher_documents.T
            mask = None
            if self.without_self:
                mask = torch.ones_like(scores, dtype=torch.bool)
                mask.diagonal(begin).fill_(False)
            yield rows, scores, targets, mask

    @named("in_batch_matching_loss", predicted="the student's scores", target="the teacher's scores")
    def _loss(self, scores: Tensor, targets: Tensor, mask: Tensor | None) -> Tensor:
        return listwise_matching_loss(scores, targets.to(scores), mask=mask, reduction="sum", **self.settings)
