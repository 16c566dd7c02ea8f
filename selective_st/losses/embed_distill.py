"""Distillation from a teacher's embeddings: the student's scores within a batch matched to the teacher's."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
from sentence_transformers.util import cos_sim
from torch import Tensor
from torch.nn.functional import normalize
from typing_extensions import override

from selective_st._caller import named
from selective_st.functional import in_batch_matching_loss
from selective_st.functional._common import at_least_single, dense, without_autocast
from selective_st.functional._in_batch_common import SimilarityMatrix
from selective_st.links import ConstantLink, Link, high_scores
from selective_st.losses import _common as common
from selective_st.losses import _settings as settings
from selective_st.losses._loss import Loss, constructor
from selective_st.losses._objectives import Calibrated
from selective_st.losses._scorers import AllSimilarities


@dataclass(frozen=True, kw_only=True)
class BlockwiseSimilarities(AllSimilarities):
    """Cosines or dot products, whose gradients are known block by block."""

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if not common.is_cosine(self.similarity_fct) and not common.is_dot_product(self.similarity_fct):
            raise ValueError(self.said("cosine_or_dot", got=getattr(self.similarity_fct, "__name__", "another")))

    def units(self, embeddings: Tensor) -> Tensor:
        """Embeddings whose dot products are the scores."""
        embeddings = at_least_single(dense(embeddings))
        return normalize(embeddings, dim=-1) if common.is_cosine(self.similarity_fct) else embeddings


@dataclass(frozen=True, kw_only=True)
class TeacherEmbeddings(Calibrated):
    """A student's scores of all with all, matched to its teacher's.

    Attributes:
        temperature: The temperature, in units of the potential.
        teacher_temperature: That of the target's probabilities.
        block_size: How many queries are scored at once.
    """

    columns = range(1, sys.maxsize)
    columns_said = "columns_of_scores"
    temperature: float = settings.positive(1.0)
    teacher_temperature: Any = settings.positive(None)
    block_size: int | None = settings.whole(None)

    @override
    def __post_init__(self) -> None:
        if self.calibration_link is None and isinstance(self.link, ConstantLink):
            link = high_scores()
            self._settle(calibration_link=link if self.space.range.high <= 1 else link.linear_outside(None, 1.0))
        super().__post_init__()

    @named(queries="embeddings", teacher_queries="labels", teacher_documents="labels", target="labels")
    def loss_of_embeddings(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The loss of the first column with the others, or of a single column with itself."""
        alone = len(student) == 1
        sides = [(one[0], one[0] if alone else torch.cat(list(one[1:]))) for one in (student, teacher)]
        return in_batch_matching_loss(
            *sides[0],
            *sides[1],
            self.link,
            self.temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            target_temperature=self.teacher_temperature,
            without_self=alone,
            block_size=self.block_size,
        )


class SelectiveEmbedDistillLoss(Loss):
    r"""Match the student's similarities within a batch to those of the teacher's embeddings.

    Each query's similarities p to all documents of the batch are a list, and those of the teacher's embeddings, s, are
    its target: with the potential `G` of the link and q = softmax(G(s) / T) the loss is the mean over queries of

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k)

    Embeddings themselves are not compared: the teacher's may have any dimension, without a projection, and no lists
    have to be mined. The calibration term ties the values of scores, so that a teacher's threshold holds on its
    student. Computed block by block, without the matrix of scores in memory.

    Args:
        model: The SentenceTransformer model to train (the student).
        similarity_fct: `cos_sim` or `dot_score`, of student and teacher.
        temperature: The temperature T > 0, in units of the potential: small looks at the nearest only.
        teacher_temperature: Overrides `temperature` for the target's probabilities q.
        link: The link of the composite Softmax. Default: `ConstantLink()`, the plain one.
        calibration: The weight >= 0 of the calibration term: 0 ranks only.
        calibration_link: Its link: at which scores errors matter. Default: `link`, or `high_scores()` where that is
            flat.
        block_size: How many queries are scored at once. Default: as many as make about a million scores.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the labels are no embeddings of its texts.

    Inputs:
        +------------------------------------------+-----------------------------------------------------------+
        | Inputs                                   | Labels                                                    |
        +==========================================+===========================================================+
        | input: the batch against itself          | teacher embeddings (batch_size, teacher_dim)              |
        +------------------------------------------+-----------------------------------------------------------+
        | query, document_1, ..., document_n: each | teacher embeddings (batch_size, columns, teacher_dim), or |
        | query against all documents              | (batch_size, teacher_dim), the same for all columns       |
        +------------------------------------------+-----------------------------------------------------------+

    Relations:
        - `MSELoss` and `EmbedDistillLoss` take the same data, and match embeddings, for which other dimensions need a
          projection. With it they learn in fewer passes over the texts; this loss gains from many.
        - `SelectiveListwiseLoss` and `DistillKLDivLoss` match lists of scores that were made before.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        >>> from selective_st.losses import SelectiveEmbedDistillLoss
        >>> student = SentenceTransformer("microsoft/mpnet-base")                                 # doctest: +SKIP
        >>> teacher = SentenceTransformer("sentence-transformers/all-mpnet-base-v2")              # doctest: +SKIP
        >>> dataset = Dataset.from_dict({"text": ["It's so sunny.", "He drove to work."]})
        >>> def embed(batch):
        ...     return {"label": teacher.encode(batch["text"])}
        >>> dataset = dataset.map(embed, batched=True)                                            # doctest: +SKIP
        >>> loss = SelectiveEmbedDistillLoss(student)                                             # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=student, train_dataset=dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtins = (EmbedDistillLoss,)
    scorer_type = BlockwiseSimilarities
    objective_type = TeacherEmbeddings

    default_link = staticmethod(common.flat_link)

    @constructor
    def __init__(
        self,
        model: SentenceTransformer,
        similarity_fct: SimilarityMatrix = cos_sim,
        *,
        temperature: float = 0.3,
        teacher_temperature: float | None = None,
        link: Link | None = None,
        calibration: float = 10.0,
        calibration_link: Link | None = None,
        block_size: int | None = None,
    ) -> None: ...

    @override
    def compute_loss_from_embeddings(
        self, embeddings: list[Any], labels: Any = None, weight: Tensor | None = None
    ) -> Tensor:
        columns, rows = len(embeddings), len(embeddings[0]) if embeddings else 0
        self.objective.check_batch(columns, rows)
        if weight is not None or isinstance(labels, Mapping):
            raise ValueError(common.said("no_row_weights", type(self).__name__))
        teacher = self._teacher(labels, columns, rows)
        with without_autocast(embeddings[0].device.type):
            units = self.scorer.units
            student = [units(column) for column in embeddings]
            loss: Tensor = self.objective.loss_of_embeddings(student, [units(one.to(student[0])) for one in teacher])
        return loss

    def _teacher(self, labels: Any, columns: int, rows: int) -> list[Tensor]:
        """The teacher's embeddings, one tensor a column."""
        owner = type(self).__name__
        given = [common.tensor_of(owner, one) for one in (labels if isinstance(labels, (list, tuple)) else [labels])]
        teacher = given
        if isinstance(labels, Tensor):
            teacher = list(labels.unbind(1)) if labels.dim() == 3 else given * columns
        fits = len(teacher) == columns and all(one.shape == teacher[0].shape for one in teacher)
        if not fits or teacher[0].dim() != 2 or len(teacher[0]) != rows or not teacher[0].numel():
            got = [tuple(one.shape) for one in given]
            raise ValueError(common.said("teacher_embeddings", owner, rows=rows, columns=columns, got=got))
        if not all(one.is_floating_point() and bool(one.isfinite().all()) for one in teacher):
            raise ValueError(common.said("teacher_not_finite", owner, dtype=teacher[0].dtype))
        return teacher
