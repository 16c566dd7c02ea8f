"""Converters: from the format that a dataset has to the one that a loss takes.

Each takes a `datasets.Dataset` and gives another; the one given stays as it is. Rows are counted from 0. Where columns
are not named, the label is the column that the trainer takes for it (`label`, `labels`, `score` or `scores`), and all
others are inputs, in their order.
"""

from selective_st.conversion._labels import (
    labels_to_binary,
    labels_to_float,
    labels_to_int,
    pad_labels,
    scale_labels,
    scale_margins,
)
from selective_st.conversion._lists import (
    flatten_cells,
    join_columns,
    join_lists,
    lists_to_rows,
    rows_of_positives,
    split_lists,
)
from selective_st.conversion._rows import (
    class_to_triplets,
    damage_texts,
    pairs_to_lists,
    pairs_to_positives,
    pairs_to_triplets,
    remove_duplicate_rows,
    remove_empty_rows,
    remove_rare_classes,
    texts_to_pairs,
)

__all__ = [
    "class_to_triplets",
    "damage_texts",
    "flatten_cells",
    "join_columns",
    "join_lists",
    "labels_to_binary",
    "labels_to_float",
    "labels_to_int",
    "lists_to_rows",
    "pad_labels",
    "pairs_to_lists",
    "pairs_to_positives",
    "pairs_to_triplets",
    "remove_duplicate_rows",
    "remove_empty_rows",
    "remove_rare_classes",
    "rows_of_positives",
    "scale_labels",
    "scale_margins",
    "split_lists",
    "texts_to_pairs",
]
