"""The pairwise loss: a positive against its negatives."""

from __future__ import annotations

from typing import Literal

from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.losses import MarginMSELoss
from sentence_transformers.util import pairwise_dot_score

from selective_st.links import Link
from selective_st.losses._common import SimilarityFunction
from selective_st.losses._loss import Loss, constructor
from selective_st.losses._objectives import Pairwise


class SelectivePairwiseLoss(Loss):
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

    builtins = (MarginMSELoss,)
    objective_type = Pairwise

    @constructor
    def __init__(
        self,
        model: SentenceTransformer | SparseEncoder,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        *,
        link: Link | None = None,
        temperature: float = 1.0,
        targets: Literal["margins", "scores"] | None = None,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
    ) -> None: ...
