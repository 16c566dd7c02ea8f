"""Losses for language models, to pass to the `Trainer` of transformers as `compute_loss_func`.

`SelectiveCausalLMLoss` goes to any `Trainer`. The other two compare with a second model that is not trained, a teacher
or a reference, so they go to a `ReferenceTrainer`, which runs it.
"""

from __future__ import annotations

from selective_st.transformers.losses import (
    PreferenceCollator,
    SelectiveCausalLMLoss,
    SelectiveDistillationLoss,
    SelectivePreferenceLoss,
    probable_tokens,
)
from selective_st.transformers.output_layer import without_logits
from selective_st.transformers.trainer import ReferenceTrainer

__all__ = [
    "PreferenceCollator",
    "ReferenceTrainer",
    "SelectiveCausalLMLoss",
    "SelectiveDistillationLoss",
    "SelectivePreferenceLoss",
    "probable_tokens",
    "without_logits",
]
