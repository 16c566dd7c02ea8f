"""Losses on tensors: scores in, loss out. Knows torch and links, nothing of models."""

from __future__ import annotations

from selective_st.functional.pointwise import fenchel_young_loss, matching_loss

__all__ = ["fenchel_young_loss", "matching_loss"]
