"""Losses for `SparseEncoderTrainer`: those of `selective_st.losses`, with the defaults of the built-in sparse losses.

They score by dot products, which have no upper end, so that the default links are linear above 1, and they are to be
wrapped in `SpladeLoss`, `CachedSpladeLoss` or `CSRLoss`, which keep the embeddings sparse.
"""

from selective_st.sparse_encoder.losses.selective import (
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)

__all__ = [
    "SelectiveListwiseLoss",
    "SelectiveMultipleNegativesRankingLoss",
    "SelectiveOrderLoss",
    "SelectivePairwiseLoss",
    "SelectivePointwiseLoss",
]
