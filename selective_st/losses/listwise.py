"""The listwise loss module: all candidates of a query against one another."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from sentence_transformers.util import pairwise_dot_score, similarity_fct_name
from torch import Tensor, nn

from selective_st._validation import finite_number, score_interval
from selective_st.functional import listwise_label_loss, listwise_matching_loss
from selective_st.functional._common import check_nonnegative
from selective_st.functional.listwise import check_smoothing
from selective_st.links import ConstantLink, Interval, Link
from selective_st.losses._common import (
    MAP_SCORES,
    PAPER_CITATION,
    SimilarityFunction,
    builtin_citation,
    calibration_link_of,
    check_label_range,
    check_model,
    check_similarity,
    list_link,
    pairwise_scores,
    score_range_of,
)

logger = logging.getLogger(__name__)

_TARGETS = ("scores", "labels")
_TEACHER_SPACES = {
    "cosine": Interval(-1.0, 1.0),
    "probability": Interval(0.0, 1.0),
    "logit": Interval(-math.inf, math.inf),
}
# Mean of the largest target probability, beyond which only the top counts, or hardly anything does.
_SATURATED, _FLAT = 0.99, 1.05
_CHECKED_ROWS = 1024


class SelectiveListwiseLoss(nn.Module):
    r"""Match the scores of a query's candidates to a teacher's scores, graded relevances, or labels, as a list.

    A link h of potential `G` and the temperature T make probabilities of scores, softmax(G(z) / T). With target scores
    s and q = softmax(G(s) / T), the loss of a list is the matching loss of the composite Softmax, a ranking term and a
    calibration term:

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k)

    and for labels y (probabilities over the candidates) the cross entropy `-sum_k y_k log softmax(G(p) / T)_k`.

    Args:
        model: The SentenceTransformer model to train (the student).
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        temperature: The temperature T > 0, in units of the potential, which rises about as the score does: for cosines
            0.02 to 0.3 is common. Small is sharp.
        student_temperature: Overrides `temperature` for the student's probabilities.
        teacher_temperature: Overrides `temperature` for the target's probabilities q.
        link: What matters. For `targets="labels"` it must be positive on the scores. Default: `ExponentialLink(1.0)`
            with the mean value 1 on the scores from 0 to 1, going on linearly above 1 where the similarity is not
            bounded.
        targets: `"scores"` if the labels are scores to be reached, `"labels"` if they say which candidates are right.
        calibration: The weight >= 0 of the calibration term: 1 gives the matching loss, 0 ranks only; what lies between
            trades ranking against calibrated scores.
        calibration_link: The link of the calibration term. Default: `link`.
        label_smoothing: For `targets="labels"`: how much of the label, 0 to 1, is spread over the candidates.
        teacher_space: What target scores are: `"cosine"` (in [-1, 1]), `"probability"` (in [0, 1]), or `"logit"` (of a
            cross encoder, say; mapped to the score 1 / (1 + e^-logit)). Default: scores in the student's own space.
        label_range: The ends of a scale of graded relevance, such as (0, 5), which is mapped to scores from 0 to 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or excludes another, or (when a batch comes) the columns, or the
            shape, type or values of the labels do not fit.

    Inputs:
        +---------------------------------+--------------------------------------------------+------------------+
        | Inputs                          | Labels                                           | Setting          |
        +=================================+==================================================+==================+
        | (query, document_1, ...,        | n scores of a teacher; NaN marks a padded        | targets="scores" |
        | document_n)                     | document                                         |                  |
        +---------------------------------+--------------------------------------------------+------------------+
        | (query, document_1, ...,        | n graded relevances                              | targets="scores",|
        | document_n)                     |                                                  | label_range=(0,5)|
        +---------------------------------+--------------------------------------------------+------------------+
        | (query, document_1, ...,        | index of the positive; or n numbers 0 or 1; or n | targets="labels" |
        | document_n)                     | probabilities; NaN marks a padded document       |                  |
        +---------------------------------+--------------------------------------------------+------------------+

    Relations:
        - With `ConstantLink()` and target scores it is `DistillKLDivLoss` with the same temperature T, divided by T^2.
        - With `ConstantLink()` and labels it is the cross entropy of the scores divided by T.
        - For T to infinity, T times the loss is the mean of `SelectivePointwiseLoss` over the candidates.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Lin et al. 2020, arXiv 2010.11386, for distillation by the KL divergence.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, util
        >>> from selective_st.losses import SelectiveListwiseLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["It's nice weather outside today.", "He drove to work."],
        ...     "document1": ["It's so sunny.", "He took the car to the office."],
        ...     "document2": ["It's very cold.", "She walked to the store."],
        ...     "scores": [[0.9, 0.3], [0.8, 0.1]],
        ... })
        >>> loss = SelectiveListwiseLoss(model, util.pairwise_cos_sim, temperature=0.1)           # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    def __init__(
        self,
        model: SentenceTransformer,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        temperature: float = 1.0,
        student_temperature: float | None = None,
        teacher_temperature: float | None = None,
        *,
        link: Link | None = None,
        targets: Literal["scores", "labels"] = "scores",
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        label_smoothing: float = 0.0,
        teacher_space: Literal["cosine", "probability", "logit"] | None = None,
        label_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        check_model(owner, model)
        check_similarity(owner, similarity_fct, pairwise=True)
        if targets not in _TARGETS:
            raise ValueError(f"{owner}: targets must be one of {', '.join(map(repr, _TARGETS))}, got {targets!r}.")
        if teacher_space is not None and teacher_space not in _TEACHER_SPACES:
            raise ValueError(
                f"{owner}: teacher_space must be None or one of {', '.join(map(repr, _TEACHER_SPACES))}, got "
                f"{teacher_space!r}."
            )
        if label_range is not None:
            if isinstance(label_range, str) or not isinstance(label_range, Sequence) or len(label_range) != 2:
                raise ValueError(f"{owner}: label_range must be two numbers such as (0, 5), got {label_range!r}.")
            label_range = score_interval(owner, *label_range, names=("label_range[0]", "label_range[1]"))
            if teacher_space is not None:
                raise ValueError(
                    f"{owner}: label_range and teacher_space exclude each other: both say what the labels' scale is. "
                    "Give label_range for graded relevance, teacher_space for a teacher's scores."
                )
        self.label_smoothing = check_smoothing(owner, label_smoothing)
        if targets == "labels":
            given = {"teacher_space": teacher_space, "label_range": label_range}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f'{owner}: {name} is for targets="scores", but targets is "labels". Leave it out.')
        elif self.label_smoothing:
            raise ValueError(
                f'{owner}: label_smoothing is for targets="labels", but targets is "scores". Use a higher '
                "teacher_temperature to make the target's probabilities smoother."
            )
        self.model = model
        self.similarity_fct = similarity_fct
        self.temperature = finite_number(owner, "temperature", temperature, positive=True)
        self.student_temperature, self.teacher_temperature = (
            self.temperature if value is None else finite_number(owner, name, value, positive=True)
            for name, value in (
                ("student_temperature", student_temperature),
                ("teacher_temperature", teacher_temperature),
            )
        )
        self.link = list_link(owner, link, similarity_fct)
        self.targets = targets
        self.calibration = finite_number(owner, "calibration", calibration, nonnegative=True)
        self._calibration_link = calibration_link_of(owner, calibration_link, self.link, similarity_fct)
        self.teacher_space = teacher_space
        self.label_range = label_range
        scores = score_range_of(similarity_fct)
        if targets == "labels" and scores.low > -math.inf:
            check_nonnegative(owner, self.link, scores.low)
        # Where target scores must lie: what says so, and what to do where they do not.
        self._label_ranges: dict[tuple[str, Interval], str] = {}
        if label_range is not None:
            self._label_ranges["label_range", Interval(*label_range)] = (
                "Mend the labels, or give label_range=({low}, {high})."
            )
        elif teacher_space is not None:
            what = f'teacher_space="{teacher_space}"'
            self._label_ranges[what, _TEACHER_SPACES[teacher_space]] = (
                'Declare the space of the labels: "logit" if they are unbounded, or label_range=({low}, {high}).'
            )
        elif not (
            isinstance(self.link, ConstantLink)
            and (not self.calibration or isinstance(self.calibration_link, ConstantLink))
        ):
            # A plain Softmax does not care where the scores lie; a link does.
            what = f"the range of {similarity_fct_name(similarity_fct)}"
            self._label_ranges[what, scores] = (
                'Declare what they are: teacher_space="logit" for the logits of a cross encoder, label_range=({low}, '
                "{high}) for graded relevance. " + MAP_SCORES
            )
        self._targets_checked = False

    @property
    def calibration_link(self) -> Link:
        """The link of the calibration term."""
        return self.link if self._calibration_link is None else self._calibration_link

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: Target scores, or labels.

        Returns:
            The mean loss, a scalar.
        """
        return self.compute_loss_from_embeddings(embed_columns(self.model, sentence_features), labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column: queries, then two or more columns of documents.
            labels: Target scores of shape (batch_size, documents); or labels of that shape, or of shape (batch_size,).

        Returns:
            The mean loss, a scalar.
        """
        self._check_shapes(embeddings, labels)
        if self.targets == "labels":
            mask = None
            if labels.is_floating_point() and bool(labels.isnan().any()):
                mask = ~labels.isnan()
                if not bool(mask.any(-1).all()):
                    check_label_range(type(self).__name__, labels, {})
                labels = torch.where(mask, labels, 0)
            scores = pairwise_scores(embeddings, self.similarity_fct)
            return listwise_label_loss(
                scores,
                labels,
                self.link,
                self.student_temperature,
                label_smoothing=self.label_smoothing,
                mask=mask,
            )
        mask = check_label_range(type(self).__name__, labels, self._label_ranges)
        scores = pairwise_scores(embeddings, self.similarity_fct)
        targets = self._to_scores(labels.to(scores))
        if not self._targets_checked:
            self._targets_checked = True
            self._warn_of_targets(targets[:_CHECKED_ROWS])
        return listwise_matching_loss(
            scores,
            targets,
            self.link,
            self.student_temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            target_temperature=self.teacher_temperature,
            mask=mask,
        )

    def _to_scores(self, labels: Tensor) -> Tensor:
        """Labels on the student's scale."""
        if self.label_range is not None:
            low, high = self.label_range
            return (labels - low) / (high - low)
        if self.teacher_space == "logit":
            return labels.sigmoid()
        return labels

    def _check_shapes(self, embeddings: list[Tensor], labels: Any) -> None:
        owner = type(self).__name__
        rows, documents = len(embeddings[0]) if embeddings else 0, len(embeddings) - 1
        if documents < 2:
            raise ValueError(
                f"{owner} compares candidates of a query, so the dataset needs at least three text columns (query, "
                f"document_1, document_2, ...), but has {len(embeddings)}: over a single candidate the Softmax is "
                "constant. For pairs use SelectivePointwiseLoss or SelectiveMultipleNegativesRankingLoss."
            )
        if not rows:
            raise ValueError(f"{owner}: got an empty batch; sentence_features must hold at least one row.")
        if not isinstance(labels, Tensor):
            raise TypeError(
                f"{owner}: labels must be a tensor, got {type(labels).__name__}. The dataset needs a column named "
                '"label", "labels", "score" or "scores".'
            )
        shape = tuple(labels.shape)
        if self.targets == "labels":
            if shape not in ((rows,), (rows, documents)):
                raise ValueError(
                    f"{owner}: labels must have shape ({rows},), the index of each row's positive, or ({rows}, "
                    f"{documents}), a number for each document, got {shape}."
                )
            return
        if not labels.is_floating_point():
            raise TypeError(
                f"{owner}: labels must be floats where they are scores to be reached, got {labels.dtype}. If they say "
                'which candidates are right use targets="labels"; if they are graded relevances cast them to floats '
                "and give label_range=(lowest, highest)."
            )
        if shape != (rows, documents):
            margins = (
                " As many margins as negatives are labels for SelectivePairwiseLoss."
                if shape == (rows, documents - 1)
                else ""
            )
            raise ValueError(
                f"{owner}: labels must have shape ({rows}, {documents}), a score for each document, got {shape}. Pad "
                f"shorter lists with NaN labels and any text.{margins}"
            )

    def _warn_of_targets(self, targets: Tensor) -> None:
        """Warn where the target's probabilities leave nothing to learn: all on one candidate, or the same for all."""
        with torch.no_grad():
            known = ~targets.isnan()
            logits = self.link.potential(torch.where(known, targets, 0)) / self.teacher_temperature
            logits = logits.masked_fill(~known, -math.inf)[known.sum(-1) > 1]
            if not len(logits):
                return
            counts = (logits > -math.inf).sum(-1)
            largest = torch.softmax(logits, -1).amax(-1)
            spread = logits.amax(-1) - torch.where(logits > -math.inf, logits, math.inf).amin(-1)
            typical = float(spread.median()) * self.teacher_temperature
            saturated, flat = float(largest.mean()) > _SATURATED, float((largest * counts).mean()) < _FLAT
        if not (saturated or flat):
            return
        effect = (
            "nearly all of the target's probability lies on one candidate, so the order of the others is not learned"
            if saturated
            else "the target's probabilities are nearly the same for all candidates, so there is little to learn"
        )
        advice = (
            f"In the first batch the target's potentials span {typical:.3g} within a list: try "
            f"teacher_temperature={typical / 4:.2g}."
            if typical > 0
            else "The target scores of the first batch do not differ within a list."
        )
        logger.warning(f"{type(self).__name__}: at teacher_temperature={self.teacher_temperature:g} {effect}. {advice}")

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        config: dict[str, Any] = {
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            "temperature": self.temperature,
        }
        for name in ("student_temperature", "teacher_temperature"):
            if getattr(self, name) != self.temperature:
                config[name] = getattr(self, name)
        return {
            **config,
            "link": self.link.get_config_dict(),
            "targets": self.targets,
            "calibration": self.calibration,
            "calibration_link": self.calibration_link.get_config_dict(),
            "label_smoothing": self.label_smoothing,
            "teacher_space": self.teacher_space,
            "label_range": self.label_range,
        }

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, and on distillation by the KL divergence."""
        return PAPER_CITATION + builtin_citation(DistillKLDivLoss, self)
