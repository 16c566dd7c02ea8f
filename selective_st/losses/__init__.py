"""Losses for a SentenceTransformer, to pass to `SentenceTransformerTrainer` like any built-in loss."""

from __future__ import annotations

from selective_st.losses.pointwise import SelectivePointwiseLoss

__all__ = ["SelectivePointwiseLoss"]
