"""Converters: from the format that a dataset has to the one that a loss takes.

Each takes a `datasets.Dataset` and gives another; the one given stays as it is. Rows are counted from 0. Where columns
are not named, the label is the column that the trainer takes for it (`label`, `labels`, `score` or `scores`), and all
others are inputs, in their order.
"""

from selective_st.conversion import _labels, _rows
from selective_st.conversion._labels import *  # noqa: F403
from selective_st.conversion._rows import *  # noqa: F403

__all__ = sorted([*_labels.__all__, *_rows.__all__])
