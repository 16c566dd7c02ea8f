"""The catalog: every data format and every loss, as data, on which the rest of the package stands.

A `LossEntry` says what is true of a loss whatever the data: where it is, what it needs, how it reads columns and
labels. A `Row` is a row of the loss tables of Sentence Transformers: a data format, the losses of a model type for it,
and the selective loss or the reason why there is none. Losses are strings here, imported when one is built: the catalog
imports nothing heavy. The data stand in `losses.yaml` and `formats.yaml`.
"""

from selective_st.catalog._data import HELPERS, LINKS
from selective_st.catalog._kinds import (
    CLASSES,
    DEFAULT_MODEL,
    LABEL_KINDS,
    MODEL_TYPES,
    OURS,
    PACKAGES,
    SECTION_TITLES,
    SHAPES,
    UPSTREAM,
    LabelKind,
    LossEntry,
    ModelType,
    Role,
    Row,
    ScoreRange,
    Section,
    Selective,
    Shape,
)
from selective_st.catalog._lookup import (
    TRAINABLE,
    Trainable,
    check_model_type,
    did_you_mean,
    entry_of,
    find_loss,
    formats_of,
    loss_entry,
    losses,
    model_type_of,
    register_loss,
    rows,
    rows_of,
    trainable,
    uncompiled,
    unregister_loss,
)

__all__ = [
    "CLASSES", "DEFAULT_MODEL", "HELPERS", "LABEL_KINDS", "LINKS", "MODEL_TYPES", "OURS", "PACKAGES",
    "SECTION_TITLES", "SHAPES", "TRAINABLE", "UPSTREAM", "LabelKind", "LossEntry", "ModelType",
    "Role", "Row", "ScoreRange", "Section", "Selective", "Shape", "Trainable", "check_model_type", "did_you_mean",
    "entry_of", "find_loss", "formats_of", "loss_entry", "losses", "model_type_of", "register_loss",
    "rows", "rows_of", "trainable", "uncompiled", "unregister_loss",
]  # fmt: skip
