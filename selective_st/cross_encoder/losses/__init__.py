"""Losses for a CrossEncoder, to pass to `CrossEncoderTrainer` like any built-in loss."""

from __future__ import annotations

from selective_st.cross_encoder.losses.cached_in_batch import CachedSelectiveMultipleNegativesRankingLoss
from selective_st.cross_encoder.losses.cross_entropy import SelectiveCrossEntropyLoss
from selective_st.cross_encoder.losses.in_batch import SelectiveMultipleNegativesRankingLoss
from selective_st.cross_encoder.losses.listwise import SelectiveListwiseLoss
from selective_st.cross_encoder.losses.order import SelectiveOrderLoss
from selective_st.cross_encoder.losses.pairwise import SelectivePairwiseLoss
from selective_st.cross_encoder.losses.pointwise import SelectivePointwiseLoss

__all__ = [
    "CachedSelectiveMultipleNegativesRankingLoss",
    "SelectiveCrossEntropyLoss",
    "SelectiveListwiseLoss",
    "SelectiveMultipleNegativesRankingLoss",
    "SelectiveOrderLoss",
    "SelectivePairwiseLoss",
    "SelectivePointwiseLoss",
]
