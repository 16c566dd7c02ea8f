"""Losses on tensors: scores in, loss out. Knows torch and links, nothing of models."""

from __future__ import annotations

from selective_st.functional.in_batch import in_batch_loss
from selective_st.functional.in_batch_matching import in_batch_matching_loss
from selective_st.functional.listwise import listwise_label_loss, listwise_matching_loss
from selective_st.functional.order import order_loss
from selective_st.functional.output_layer import HiddenStates
from selective_st.functional.pairwise import margin_loss, pairwise_loss
from selective_st.functional.pointwise import fenchel_young_loss, matching_loss
from selective_st.functional.vocabulary import (
    TopTokens,
    top_tokens,
    vocabulary_log_probabilities,
    vocabulary_loss,
    vocabulary_matching_loss,
)

__all__ = [
    "HiddenStates",
    "TopTokens",
    "fenchel_young_loss",
    "in_batch_loss",
    "in_batch_matching_loss",
    "listwise_label_loss",
    "listwise_matching_loss",
    "margin_loss",
    "matching_loss",
    "order_loss",
    "pairwise_loss",
    "top_tokens",
    "vocabulary_log_probabilities",
    "vocabulary_loss",
    "vocabulary_matching_loss",
]
