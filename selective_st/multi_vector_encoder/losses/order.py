"""The order loss for late interaction."""

from __future__ import annotations

from typing import Any, ClassVar

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores_pairwise

from selective_st.links import Link
from selective_st.losses._common import flat_link
from selective_st.losses._loss import constructor
from selective_st.losses.order import Order
from selective_st.multi_vector_encoder.losses._scoring import LateInteraction, LateInteractionLoss


class SelectiveOrderLoss(LateInteractionLoss):
    r"""Score graded pairs in the order of their labels, by late interaction, where it matters to tell them apart.

    As `selective_st.losses.SelectiveOrderLoss`, of the late-interaction scores of a query and a document.

    Args:
        model: The MultiVectorEncoder to train. For MeanMaxSim set `model.similarity_fn_name = "meanmaxsim"`.
        scale: The factor s > 0 of differences, an inverse temperature.
        similarity_fct: Takes query tokens (batch_size, tokens, dim), document tokens (batch_size, tokens, dim) and the
            keywords `queries_mask` and `documents_mask`, gives the (batch_size,) scores.
        link: Which scores matter, positive on the scores. Default: all alike.
        weight_link: Between which labels confusion matters. Default: between all alike.
        calibration: The weight >= 0 of a calibration term, the matching loss of scores and labels.
        calibration_link: Its link. Default: `link`, or `IdentityLink()` where there is none and scores have bounds.
        gather_across_devices: Whether the pairs of all devices are compared.
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `similarity_fct` is of another kind, the weight link is flat, or
            (when a batch comes) the columns or labels do not fit.

    Inputs:
        As `selective_st.losses.SelectiveOrderLoss`.

    Relations:
        - No built-in loss of the multi-vector encoder takes labels of single pairs; on embeddings it is `CoSENTLoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446, for
          links.
        - Khattab & Zaharia 2020, arXiv 2004.12832, for late interaction.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.links import high_scores
        >>> from selective_st.multi_vector_encoder.losses import SelectiveOrderLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "document": ["Leonardo da Vinci painted it.", "Berlin is the capital of Germany."],
        ...     "score": [0.95, 0.2],
        ... })
        >>> loss = SelectiveOrderLoss(model, weight_link=high_scores(3))                          # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    objective_type = Order
    default_link = staticmethod(flat_link)
    said_if_not: ClassVar[dict[str, Any]] = {"gather_across_devices": False}

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        scale: float = 20.0,
        similarity_fct: LateInteraction | None = mean_colbert_scores_pairwise,
        *,
        link: Link | None = None,
        weight_link: Link | None = None,
        calibration: float = 0.0,
        calibration_link: Link | None = None,
        gather_across_devices: bool = False,
        mini_batch_size: int | None = None,
    ) -> None: ...
