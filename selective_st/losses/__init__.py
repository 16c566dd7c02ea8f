"""Losses for a SentenceTransformer, to pass to `SentenceTransformerTrainer` like any built-in loss."""

from __future__ import annotations

from selective_st.losses.in_batch import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveMultipleNegativesRankingLoss,
)
from selective_st.losses.selective import (
    SelectiveEmbedDistillLoss,
    SelectiveListwiseLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
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
