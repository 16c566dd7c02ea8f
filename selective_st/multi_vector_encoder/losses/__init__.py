"""Losses for `MultiVectorEncoderTrainer`, on late-interaction scores: drop-in for the built-in ones, with a link.

What to know of late-interaction scores: MaxSim (`colbert_scores` and its like) is a sum of one cosine for each token of
the query, so that it has no fixed range: with 32 tokens it lies about between 0 and 32. MeanMaxSim
(`mean_colbert_scores`) divides it by the number of tokens, and lies about between -1 and 1, as cosines do. Neither
normalises embeddings: that is for a `Normalize` module in the model. So:

- `SelectivePointwiseLoss` scores by MeanMaxSim unless told otherwise: labels from 0 to 1 can be reached by it, and a
  threshold means the same for long and short queries.
- The other losses score by MaxSim unless told otherwise, as the built-in losses do. Their default link has the mean
  value 1 on the scores from 0 to 32 (for MeanMaxSim and XTR: from 0 to 1), and is linear above, so that it cannot
  overflow, and temperatures and scales keep the meaning that they have in the built-in losses.
- A link of your own shall fit the scores too: `high_scores().linear_outside(None, 1.0)` with MeanMaxSim,
  `high_scores(score_range=(0, 32)).linear_outside(None, 32.0)` with MaxSim.
"""

from selective_st.multi_vector_encoder.losses.selective import (
    CachedSelectiveMultipleNegativesRankingLoss,
    SelectiveListwiseLoss,
    SelectiveMultipleNegativesRankingLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)

__all__ = [
    "CachedSelectiveMultipleNegativesRankingLoss",
    "SelectiveListwiseLoss",
    "SelectiveMultipleNegativesRankingLoss",
    "SelectiveOrderLoss",
    "SelectivePairwiseLoss",
    "SelectivePointwiseLoss",
]
