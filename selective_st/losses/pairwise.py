"""The pairwise loss module: a positive against its negatives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sentence_transformer.losses import MarginMSELoss
from sentence_transformers.util import pairwise_dot_score, similarity_fct_name
from torch import Tensor, nn

from selective_st._validation import finite_number
from selective_st.functional import listwise_matching_loss, margin_loss, pairwise_loss
from selective_st.links import Interval, Link
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

_TARGETS = ("margins", "scores")


class SelectivePairwiseLoss(nn.Module):
    r"""Rank each positive above its negatives, by as much as the labels say, where the scores matter.

    With the scores p of the positive and n of a negative, a link h of potential `G`, and what the labels are, the loss
    is the mean over all (positive, negative) pairs of

        log(1 + e^((G(n) - G(p)) / T))           without labels: ranks the positive above the negative
        D(p - n, m)                              for margins m: the matching loss of the margin
        D((p, n), (s_p, s_n))                    for scores: the matching loss of the list of two, as
        SelectiveListwiseLoss

    Args:
        model: The SentenceTransformer model to train.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        link: What matters. Without labels it must be positive on the scores. Default: `ExponentialLink(1.0)` with the
            mean value 1 on the scores from 0 to 1, going on linearly above 1 where the similarity is not bounded.
        temperature: The temperature T > 0 of the forms without labels and with scores, in units of the potential.
        targets: What labels are: `"margins"` or `"scores"`. Default: by their shape; n + 1 numbers for n negatives
            could be both, so that the loss asks.
        calibration: For scores: the weight >= 0 of the calibration term.
        calibration_link: For scores: the link of the calibration term. Default: `link`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the columns, or the shape, type or values of
            the labels do not fit.

    Inputs:
        +-------------------------------------------------+----------------------------------------+-------------------+
        | Inputs                                          | Labels                                 | Setting           |
        +=================================================+========================================+===================+
        | (anchor, positive, negative) triplets,          | none                                   |                   |
        | (anchor, positive, negative_1, ..., negative_n) |                                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (anchor, positive, negative) triplets           | margin score(positive) -               |                   |
        |                                                 | score(negative)                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (anchor, positive, negative_1, ..., negative_n) | n margins; NaN marks a padded negative |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (anchor, positive, negative_1, ..., negative_n) | n + 1 scores; NaN marks a padded       | targets="margins" |
        |                                                 | negative                               | or "scores"       |
        +-------------------------------------------------+----------------------------------------+-------------------+

    Relations:
        - With `IdentityLink()` and margins it is half of `MarginMSELoss`.
        - With `ConstantLink()` and no labels it is the logistic loss (RankNet, BPR) of (p - n) / T.
        - `SelectiveListwiseLoss` compares all candidates with one another, not only with the positive.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Hofstätter et al. 2020, arXiv 2010.02666, for margins as targets.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, util
        >>> from selective_st.losses import SelectivePairwiseLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "anchor": ["It's nice weather outside today.", "He drove to work."],
        ...     "positive": ["It's so sunny.", "He took the car to the office."],
        ...     "negative": ["It's very cold.", "She walked to the store."],
        ... })
        >>> loss = SelectivePairwiseLoss(model, util.pairwise_cos_sim, temperature=0.1)           # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    def __init__(
        self,
        model: SentenceTransformer,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        *,
        link: Link | None = None,
        temperature: float = 1.0,
        targets: Literal["margins", "scores"] | None = None,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        check_model(owner, model)
        check_similarity(owner, similarity_fct, pairwise=True)
        if targets is not None and targets not in _TARGETS:
            raise ValueError(
                f"{owner}: targets must be None or one of {', '.join(map(repr, _TARGETS))}, got {targets!r}."
            )
        self.model = model
        self.similarity_fct = similarity_fct
        self.link = list_link(owner, link, similarity_fct)
        self.temperature = finite_number(owner, "temperature", temperature, positive=True)
        self.targets = targets
        self.calibration = finite_number(owner, "calibration", calibration, nonnegative=True)
        self._calibration_link = calibration_link_of(owner, calibration_link, self.link, similarity_fct)

    @property
    def calibration_link(self) -> Link:
        """The link of the calibration term."""
        return self.link if self._calibration_link is None else self._calibration_link

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: None, or margins or scores.

        Returns:
            The mean loss, a scalar.
        """
        return self.compute_loss_from_embeddings(embed_columns(self.model, sentence_features), labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column: anchors, positives, one or more negatives.
            labels: None; margins of shape (batch_size,) for one negative or (batch_size, n) for n; or scores of shape
                (batch_size, n + 1).

        Returns:
            The mean loss, a scalar.

        Raises:
            ValueError: If there are fewer than three columns, or `targets` is set but there are no labels.
        """
        owner = type(self).__name__
        negatives = len(embeddings) - 2
        if negatives < 1:
            raise ValueError(
                f"{owner} compares a positive with negatives, so the dataset needs at least three text columns "
                f"(anchor, positive, negative, ...), but has {len(embeddings)}. For pairs use "
                "SelectiveMultipleNegativesRankingLoss or SelectivePointwiseLoss, or find negatives with "
                "sentence_transformers.util.mine_hard_negatives."
            )
        if not len(embeddings[0]):
            raise ValueError(f"{owner}: got an empty batch; sentence_features must hold at least one row.")
        kind = "ranking" if labels is None else self._kind_of_labels(labels, len(embeddings[0]), negatives)
        scores = pairwise_scores(embeddings, self.similarity_fct)
        positive, negative = scores[:, 0], scores[:, 1:]
        if labels is None:
            if self.targets is not None:
                raise ValueError(
                    f'{owner}: targets="{self.targets}" needs labels, but there are none. The dataset needs a column '
                    'named "label", "labels", "score" or "scores"; without labels leave targets out.'
                )
            return pairwise_loss(positive, negative, self.link, self.temperature)
        if kind == "margins":
            margins = self._margins(labels, negatives)
            return margin_loss(positive, negative, margins.to(scores), self.link, mask=~margins.isnan())
        what = f"the range of {similarity_fct_name(self.similarity_fct)}"
        check_label_range(owner, labels, {(what, score_range_of(self.similarity_fct)): MAP_SCORES})
        targets = labels.to(scores)
        return listwise_matching_loss(
            torch.stack([positive.unsqueeze(1).expand_as(negative), negative], -1),
            torch.stack([targets[:, :1].expand_as(negative), targets[:, 1:]], -1),
            self.link,
            self.temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            mask=~(targets[:, :1] + targets[:, 1:]).isnan().unsqueeze(-1).expand(-1, -1, 2),
        )

    def _margins(self, labels: Tensor, negatives: int) -> Tensor:
        """Target margins of shape (batch_size, negatives), checked."""
        if labels.dim() == 1:
            labels = labels.unsqueeze(1)
        if labels.shape[1] == negatives + 1:
            labels = labels[:, :1] - labels[:, 1:]
        scores = score_range_of(self.similarity_fct)
        what = f"the range of differences of {similarity_fct_name(self.similarity_fct)}"
        check_label_range(
            type(self).__name__,
            labels,
            {(what, Interval(scores.low - scores.high, scores.high - scores.low)): "Scale the margins to the scores."},
        )
        return labels

    def _kind_of_labels(self, labels: Any, rows: int, negatives: int) -> str:
        """Whether labels are margins or scores; an error where they are neither, or could be both."""
        owner = type(self).__name__
        if not isinstance(labels, Tensor) or not labels.is_floating_point():
            got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(
                f"{owner}: labels must be a tensor of floats, margins or scores, got {got}. Remove the label column "
                "with "
                'dataset.remove_columns("label") to rank without labels, or cast it to floats.'
            )
        shape = tuple(labels.shape)
        if shape == (rows, negatives + 1):
            if self.targets is None:
                raise ValueError(
                    f"{owner}: targets must be given, because the {negatives + 1} labels of each row could mean two "
                    'things: with targets="margins" their differences are the margins (as in MarginMSELoss), with '
                    'targets="scores" they are scores to be reached.'
                )
            return self.targets
        if shape == (rows, negatives) or (negatives == 1 and shape == (rows,)):
            if self.targets == "scores":
                raise ValueError(
                    f'{owner}: targets="scores" takes {negatives + 1} labels a row, one for each document, but the '
                    f'labels have the shape {shape}, as margins have. Use targets="margins", or add the missing score.'
                )
            return "margins"
        margins = f"({rows}, {negatives})" if negatives > 1 else f"({rows},)"
        raise ValueError(
            f"{owner}: labels must be margins of shape {margins} or scores of shape ({rows}, {negatives + 1}) for "
            f"{negatives + 2} text columns, got shape {shape}."
        )

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            "link": self.link.get_config_dict(),
            "temperature": self.temperature,
            "targets": self.targets,
            "calibration": self.calibration,
            "calibration_link": self.calibration_link.get_config_dict(),
        }

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, and on margins as targets."""
        return PAPER_CITATION + builtin_citation(MarginMSELoss, self)
