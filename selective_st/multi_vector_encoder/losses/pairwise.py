"""The pairwise loss for late interaction."""

from __future__ import annotations

from typing import Literal

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMarginMSELoss

from selective_st.links import Link
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Pairwise
from selective_st.multi_vector_encoder.losses._scoring import LateInteraction, LateInteractionLoss


class SelectivePairwiseLoss(LateInteractionLoss):
    r"""Rank each positive above its negatives, by as much as the labels say, where the late-interaction scores matter.

    With the scores p of the positive and n of a negative, a link h of potential `G`, and what the labels are, the loss
    is the mean over all (positive, negative) pairs of

        log(1 + e^((G(n) - G(p)) / T))           without labels: ranks the positive above the negative
        D(p - n, m)                              for margins m: the matching loss of the margin
        D((p, n), (s_p, s_n))                    for scores: the matching loss of the list of two

    Args:
        model: The MultiVectorEncoder to train.
        similarity_fct: Takes query tokens (batch_size, tokens, dim), document tokens (batch_size, tokens, dim) and the
            keywords `queries_mask` and `documents_mask`, gives the (batch_size,) scores. Default:
            `colbert_scores_pairwise` (MaxSim).
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.
        link: What matters. Without labels it must be positive on the scores. Default: an `ExponentialLink` with the
            mean value 1 on the scores from 0 to 32 (from 0 to 1 where scores are means over tokens), linear above.
        temperature: The temperature T > 0 of the forms without labels and with scores, in units of the potential.
        targets: What labels are: `"margins"` or `"scores"`. Default: by their shape; n + 1 numbers for n negatives
            could be both, so that the loss asks.
        calibration: For scores: the weight >= 0 of the calibration term.
        calibration_link: For scores: the link of the calibration term. Default: `link`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `similarity_fct` is of another kind, or (when a batch comes) the
            columns, or the shape, type or values of the labels do not fit.

    Inputs:
        +-------------------------------------------------+----------------------------------------+-------------------+
        | Inputs                                          | Labels                                 | Setting           |
        +=================================================+========================================+===================+
        | (query, positive, negative) triplets,           | none                                   |                   |
        | (query, positive, negative_1, ..., negative_n)  |                                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative) triplets            | margin score(positive) -               |                   |
        |                                                 | score(negative)                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative_1, ..., negative_n)  | n margins; NaN marks a padded negative |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative_1, ..., negative_n)  | n + 1 scores; NaN marks a padded       | targets="margins" |
        |                                                 | negative                               | or "scores"       |
        +-------------------------------------------------+----------------------------------------+-------------------+

    Relations:
        - With `IdentityLink()` and margins it is half of `MultiVectorMarginMSELoss`.
        - With `ConstantLink()` and no labels it is the logistic loss (RankNet, BPR) of (p - n) / T.
        - `SelectiveListwiseLoss` compares all candidates with one another, not only with the positive.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Hofstätter et al. 2020, arXiv 2010.02666, for margins as targets.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.multi_vector_encoder.losses import SelectivePairwiseLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "positive": ["Leonardo da Vinci painted it.", "Paris is the capital of France."],
        ...     "negative": ["Van Gogh painted The Starry Night.", "Berlin is the capital of Germany."],
        ...     "label": [3.5, 2.8],
        ... })
        >>> loss = SelectivePairwiseLoss(model)                                                   # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtin = MultiVectorMarginMSELoss
    objective_type = Pairwise

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        similarity_fct: LateInteraction | None = None,
        mini_batch_size: int | None = None,
        link: Link | None = None,
        temperature: float = 1.0,
        targets: Literal["margins", "scores"] | None = None,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
    ) -> None: ...
