"""The pairwise loss module: a positive against its negatives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.util import pairwise_dot_score, similarity_fct_name
from torch import Tensor

from selective_st.links import Link
from selective_st.losses._common import (
    SimilarityFunction,
    check_model,
    check_similarity,
    labels_and_weight,
    pairwise_scores,
    space_of,
)
from selective_st.losses._objectives import PairwiseObjective


class SelectivePairwiseLoss(PairwiseObjective):
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
        check_model(owner, model, self.model_type)
        check_similarity(owner, similarity_fct, pairwise=True)
        self._set_objective(
            owner,
            space_of(similarity_fct, self.model_type),
            link=link,
            temperature=temperature,
            targets=targets,
            calibration=calibration,
            calibration_link=calibration_link,
        )
        self.model = model
        self.similarity_fct = similarity_fct

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: None, or margins or scores.

        Returns:
            The mean loss, a scalar.
        """
        return self.compute_loss_from_embeddings(embed_columns(self.model, sentence_features), labels)

    def compute_loss_from_embeddings(
        self, embeddings: list[Tensor], labels: Tensor | None, weight: Tensor | None = None
    ) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column: anchors, positives, one or more negatives.
            labels: None; margins of shape (batch_size,) for one negative or (batch_size, n) for n; or scores of shape
                (batch_size, n + 1).
            weight: Weights >= 0 of the rows, of shape (batch_size,), for the mean. They may come with the labels too:
                `{"label": labels, "weight": weight}`, as `with_row_weights` has them collated.

        Returns:
            The mean loss, a scalar.

        Raises:
            ValueError: If there are fewer than three columns, or `targets` is set but there are no labels.
        """
        self._check_columns(len(embeddings), len(embeddings[0]) if embeddings else 0)
        labels, weight = labels_and_weight(type(self).__name__, labels, weight, len(embeddings[0]))
        return self.loss_of_scores(pairwise_scores(embeddings, self.similarity_fct, labels), labels, weight)

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {"similarity_fct": similarity_fct_name(self.similarity_fct), **self._objective_config()}
