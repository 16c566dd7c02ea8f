"""Losses for a CrossEncoder, to pass to `CrossEncoderTrainer` like any built-in loss."""

from __future__ import annotations

from selective_st.cross_encoder.losses.selective import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveCrossEntropyLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)

__all__ = [
    "CachedSelectiveMultipleNegativesRankingLoss",
    "SelectiveCrossEntropyLoss",
    "SelectiveListwiseLoss",
    "SelectiveMultipleNegativesRankingLoss",
    "SelectiveOrderLoss",
    "SelectivePairwiseLoss",
    "SelectivePointwiseLoss",
]
