"""Rows that are left out: empty ones, repeated ones, those of rare classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from datasets import Dataset, Value

from selective_st._validation import whole_number
from selective_st.conversion._common import (
    check_column,
    check_columns,
    converter,
    hashable,
    is_missing,
    mapped,
    mean_of_known,
    values_in,
)
from selective_st.errors import DataError, literal


@converter
def remove_empty_rows(dataset: Dataset, columns: Sequence[str] | None = None) -> Dataset:
    """Leave out rows in which something is missing.

    Missing is None, NaN, a text of nothing but white space, and a list that is empty or holds only such values. A list
    of labels in which some are NaN, and a list of texts of which some are empty, is padded, not missing.

    Args:
        dataset: The dataset.
        columns: Where to look. Default: in all columns.

    Returns:
        The dataset without these rows.

    Raises:
        DataError: If there is no such column, or no row is left.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", " ", "y"], "b": ["z", "w", None]})
        >>> remove_empty_rows(pairs)[:]
        {'a': ['x'], 'b': ['z']}
    """
    owner = "remove_empty_rows"
    columns = check_columns(owner, dataset, columns)
    kept = [row for row, values in enumerate(values_in(dataset, columns)) if not any(map(is_missing, values))]
    if not kept:
        raise DataError(
            f"{owner}: every row has something missing in one of the columns {', '.join(columns)}. Name the columns "
            f"that must be full: dataset = {owner}(dataset, [{', '.join(map(literal, columns[:2]))}])."
        )
    return dataset if len(kept) == len(dataset) else dataset.select(kept)


@converter
def remove_duplicate_rows(
    dataset: Dataset, columns: Sequence[str] | None = None, mean_of: str | None = None
) -> Dataset:
    """Leave out rows that repeat an earlier one.

    Args:
        dataset: The dataset.
        columns: The columns in which rows are compared. Default: all columns.
        mean_of: A column of numbers, of which equal rows get the mean. Default: the first row stays as it is.

    Returns:
        The dataset with the first of equal rows.

    Raises:
        DataError: If there is no such column, or `mean_of` holds other than numbers.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "x", "x"], "b": ["z", "z", "w"], "score": [0.5, 1.0, 0.0]})
        >>> remove_duplicate_rows(pairs, ["a", "b"])[:]
        {'a': ['x', 'x'], 'b': ['z', 'w'], 'score': [0.5, 0.0]}
        >>> remove_duplicate_rows(pairs, ["a", "b"], mean_of="score")["score"][:]
        [0.75, 0.0]
    """
    owner = "remove_duplicate_rows"
    columns = check_columns(owner, dataset, columns)
    rows: dict[Any, list[int]] = {}
    for row, values in enumerate(values_in(dataset, columns)):
        rows.setdefault(tuple(map(hashable, values)), []).append(row)
    kept = [same[0] for same in rows.values()]
    result = dataset if len(kept) == len(dataset) else dataset.select(kept)
    if mean_of is None:
        return result
    check_column(owner, dataset, mean_of)
    labels = [value for (value,) in values_in(dataset, [mean_of])]
    if not all(label is None or isinstance(label, (int, float)) for label in labels):
        raise DataError(
            f"{owner}: column {mean_of!r} must hold numbers. Make it so: dataset = labels_to_float(dataset, "
            f"{literal(mean_of)})."
        )
    means = [mean_of_known([labels[row] for row in same]) for same in rows.values()]
    features = {**dataset.features, mean_of: Value("float64")}
    settings = (owner, mean_of, *columns)

    def change(batch: dict[str, list[Any]], places: list[int]) -> dict[str, list[Any]]:
        return {mean_of: [means[place] for place in places]}

    return mapped(result, change, features, settings, with_indices=True)


@converter
def remove_rare_classes(dataset: Dataset, column: str, least: int = 2) -> Dataset:
    """Leave out rows whose class has few rows.

    Args:
        dataset: The dataset.
        column: The label column.
        least: The fewest rows that a class must have.

    Returns:
        The dataset without these rows, and without those that have no class.

    Raises:
        DataError: If there is no such column, or no class has enough rows.
        ValueError: If `least` is not a whole number of at least 1.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "dog", "oak"], "label": ["animal", "animal", "tree"]})
        >>> remove_rare_classes(texts, "label")["text"][:]
        ['cat', 'dog']
    """
    owner = "remove_rare_classes"
    check_column(owner, dataset, column)
    whole_number(owner, "least", least, least=1)
    classes = [None if is_missing(value) else hashable(value) for (value,) in values_in(dataset, [column])]
    counts = Counter(classes)
    kept = [row for row, value in enumerate(classes) if value is not None and counts[value] >= least]
    if not kept:
        raise DataError(f"{owner}: no class in column {column!r} has {least} rows. Write least={least - 1 or 1}.")
    return dataset if len(kept) == len(dataset) else dataset.select(kept)
