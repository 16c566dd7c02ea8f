"""Which loss for this data, and is this data right for that loss?

`detect_format` says what a dataset holds, `suggest_losses` and `create_loss` find a loss for it, `check_dataset` looks
for what would go wrong, `loss_table` shows every format with its losses, and `register_loss` adds one of your own.
"""

from selective_st.errors import DataError
from selective_st.registry.catalog import LossEntry, Row, Selective, loss_table, register_loss, unregister_loss
from selective_st.registry.checks import CheckReport, Finding, check_dataset
from selective_st.registry.choice import create_loss, suggest_losses
from selective_st.registry.conversions import Conversion
from selective_st.registry.detection import DataFormat, detect_format
from selective_st.registry.steps import Step
from selective_st.registry.suggestion import Suggestion, Suggestions

__all__ = [
    "CheckReport",
    "Conversion",
    "DataError",
    "DataFormat",
    "Finding",
    "LossEntry",
    "Row",
    "Selective",
    "Step",
    "Suggestion",
    "Suggestions",
    "check_dataset",
    "create_loss",
    "detect_format",
    "loss_table",
    "register_loss",
    "suggest_losses",
    "unregister_loss",
]
