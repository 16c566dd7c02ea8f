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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from selective_st._caller import caller, named
from selective_st.functional._blockwise import Blockwise, Products, Slopes, differentiated
from selective_st.functional._checks import check_embeddings, check_link, checked
from selective_st.functional._common import single_or_double, without_autocast
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
    given = {
        "queries": queries,
        "documents": documents,
        "teacher_queries": teacher_queries,
        "teacher_documents": teacher_documents,
    }
    shapes = {name: check_embeddings(owner, name, embeddings).shape for name, embeddings in given.items()}
    pairs = [(1, "queries", "documents"), (1, "teacher_queries", "teacher_documents")]
    pairs += [(0, f"teacher_{name}", name) for name in ("queries", "documents")]
    pairs += [(0, "queries", "documents")] if without_self else []
    for dim, one, other in pairs:
        if shapes[one][dim] != shapes[other][dim]:
            what = "the same dimension" if dim else "one embedding for each of the same texts, in the same order"
            why = "" if one != "queries" or dim else ", with without_self"
            raise ValueError(
                f"{owner}: {one} and {other} must have {what}{why}, got {shapes[one][dim]} and {shapes[other][dim]}."
            )
    if len(queries) and not len(documents):
        raise ValueError(f"{owner}: documents must hold at least one embedding, got none for {len(queries)} queries.")
    checked(owner, block_size=block_size)
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
        rows = _MatchedRows(settings, without_self, *teacher)

        def plain(queries: Tensor, documents: Tensor) -> Tensor:
            return rows.loss_of(queries @ documents.T, 0, len(queries)).mean()

        if not len(queries):
            return 0 * (student[0].sum() + student[1].sum())
        wants_gradients = torch.is_grad_enabled() and any(matrix.requires_grad for matrix in student)
        return Blockwise(rows, plain, Products("auto", *student), size, wants_gradients=wants_gradients)(*student)


@dataclass(frozen=True)
class _MatchedRows:
    """What a student's rows of scores become, as `Blockwise` takes it: lists that are matched to a teacher's."""

    directions: ClassVar[dict[str, tuple[bool, bool]]] = {"query_to_doc": (False, True)}
    groups: ClassVar[tuple[tuple[str, ...], ...]] = (("query_to_doc",),)
    begin: ClassVar[int] = 0
    reads_columns: ClassVar[bool] = False
    settings: dict[str, Any]
    without_self: bool
    queries: Tensor
    documents: Tensor

    @property
    def end(self) -> int:
        return len(self.queries)

    def losses_and_slopes(
        self, scores: Mapping[str, Tensor], begin: int, end: int, slab: Callable[..., Tensor] | None, wants_slopes: bool
    ) -> tuple[Tensor, dict[str, Slopes]]:
        """The losses of some queries, and the slopes of their scores in the mean over all."""
        return differentiated(
            lambda of: self.loss_of(of["query_to_doc"], begin, end), scores, 1 / self.end, wants_slopes
        )

    @named("in_batch_matching_loss", predicted="the student's scores", target="the teacher's scores")
    def loss_of(self, scores: Tensor, begin: int, end: int) -> Tensor:
        """The losses of the lists of some queries."""
        targets, mask = self.queries[begin:end] @ self.documents.T, None
        if self.without_self:
            mask = torch.ones_like(scores, dtype=torch.bool)
            mask.diagonal(begin).fill_(False)
        return listwise_matching_loss(scores, targets.to(scores), mask=mask, reduction="none", **self.settings)

    def mean(self, losses: Tensor) -> Tensor:
        """The mean over all queries."""
        return losses.mean()
