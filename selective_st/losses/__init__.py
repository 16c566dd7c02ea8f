"""Losses for a SentenceTransformer, to pass to `SentenceTransformerTrainer` like any built-in loss."""

from __future__ import annotations

from selective_st.losses.embed_distill import SelectiveEmbedDistillLoss
from selective_st.losses.in_batch import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveMultipleNegativesRankingLoss,
)
from selective_st.losses.listwise import SelectiveListwiseLoss
from selective_st.losses.order import SelectiveOrderLoss
from selective_st.losses.pairwise import SelectivePairwiseLoss
from selective_st.losses.pointwise import SelectivePointwiseLoss
from selective_st.losses.weighted import WeightedLoss

__all__ = [
    "CachedSelectiveMultipleNegativesRankingLoss",
    "SelectiveEmbedDistillLoss",
    "SelectiveListwiseLoss",
    "SelectiveMultipleNegativesRankingLoss",
    "SelectiveOrderLoss",
    "SelectivePairwiseLoss",
    "SelectivePointwiseLoss",
    "WeightedLoss",
]
