"""Labels: their scale, their type, how people write them, how many there are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, Value

from selective_st._validation import instance_of, whole_number
from selective_st.conversion import _common as common
from selective_st.conversion._common import converter
from selective_st.errors import DataError, literal
from selective_st.written import Written, read_written

__all__ = [
    "labels_to_binary", "labels_to_float", "labels_to_int", "pad_labels", "scale_labels", "scale_margins",
]  # fmt: skip

_NAN = float("nan")


@converter("column")
def scale_labels(dataset: Dataset, column: str, low: float, high: float, *, reverse: bool = False) -> Dataset:
    """Map labels to the scale from 0 to 1.

    Args:
        dataset: The dataset.
        column: The label column: numbers, or lists of numbers.
        low: The lowest score of the labels' scale; it becomes 0.
        high: The highest; it becomes 1.
        reverse: Whether the lowest becomes 1 and the highest 0: of distances, similarities.

    Returns:
        The dataset with `(label - low) / (high - low)`; reversed, 1 less that. Missing labels (None, NaN) stay missing.

    Raises:
        DataError: If there is no such column, it holds other than numbers, or a label lies outside the scale.
        TypeError: If an argument is of another kind.
        ValueError: If `low` is not below `high`.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"], "score": [2, 5]})
        >>> scale_labels(pairs, "score", 0, 5)["score"][:]
        [0.4, 1.0]
    """
    instance_of("scale_labels", "reverse", reverse, bool, "Write reverse=True, or leave it out.")
    low, high = common.finite("low", low), common.finite("high", high)
    if not low < high:
        raise ValueError(f"low must be below high, got low={low:g} and high={high:g}. Swap them.")

    def scaled(label: Any) -> float:
        number = _number(label, low, high, f"outside the scale from {low:g} to {high:g}")
        return (high - number if reverse else number - low) / (high - low)

    mend = f"Give the ends of the labels' scale: dataset = scale_labels(dataset, {literal(column)}, 0, 10)."
    return _relabelled(dataset, column, scaled, "float64", mend)


@converter("column")
def scale_margins(dataset: Dataset, column: str, width: float) -> Dataset:
    """Map the margins between a teacher's scores to those on the scale from 0 to 1.

    Args:
        dataset: The dataset.
        column: The label column: margins, or lists of margins.
        width: The width of the scale of the teacher's scores: its highest less its lowest.

    Returns:
        The dataset with `margin / width`. Missing margins (None, NaN) stay missing.

    Raises:
        DataError: If there is no such column, it holds other than numbers, or a margin is wider than the scale.
        ValueError: If `width` is not above 0.

    Example:
        >>> triplets = Dataset.from_dict({"q": ["x"], "a": ["y"], "b": ["z"], "label": [-5.0]})
        >>> scale_margins(triplets, "label", 20)["label"][:]
        [-0.25]
    """
    width = common.finite("width", width)
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width:g}. Give the highest score less the lowest.")

    wider = f"wider than the scale, {width:g}"
    mend = f"Give the width of the teacher's scale, here 20: dataset = scale_margins(dataset, {literal(column)}, 20)."
    return _relabelled(dataset, column, lambda margin: _number(margin, -width, width, wider) / width, "float64", mend)


@converter("column")
def labels_to_float(
    dataset: Dataset, column: str, mapping: Mapping[Any, float | None] | None = None, *, mean: bool = False
) -> Dataset:
    """Make labels floats: of integers, booleans, classes, and of texts that say numbers or what a mapping says.

    Texts may say numbers as people write them: `"0.5"`, `"0,5"`, `"80%"`, `"4/5"`, `"4 out of 5"`, `"4 stars"`; percent
    and fractions become numbers from 0 to 1. All must be written in one way, or lie from 0 to 1.

    Args:
        dataset: The dataset.
        column: The label column: such labels, or lists of them; also lists stored as text, such as `"[0.5, 1]"`.
        mapping: What labels become, such as `{"good": 1, "bad": 0, "NA": None}`; others are read as numbers.
        mean: Whether lists, the labels of several raters, become their mean.

    Returns:
        The dataset. Missing labels (None, NaN, empty text) are None.

    Raises:
        DataError: If there is no such column, or it holds something that is no number.
        TypeError: If the mapping is no dict of labels and numbers.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"], "score": ["80%", "5%"]})
        >>> labels_to_float(pairs, "score")["score"][:]
        [0.8, 0.05]
        >>> graded = pairs.remove_columns("score").add_column("score", ["good", "fair"])
        >>> labels_to_float(graded, "score", mapping={"bad": 0, "fair": 0.5, "good": 1})["score"][:]
        [1.0, 0.5]
    """
    number, mend = _reader(dataset, column, mapping, "labels_to_float")
    return _relabelled(dataset, column, number, "float64", mend, mean=mean)


@converter("column")
def labels_to_int(dataset: Dataset, column: str, mapping: Mapping[Any, int | None] | None = None) -> Dataset:
    """Make labels integers: of floats that are whole, booleans, classes, and texts as `labels_to_float` takes them.

    Args:
        dataset: The dataset.
        column: The label column: such labels, or lists of them.
        mapping: What labels become, such as `{"match": 1, "mismatch": 0}`; others are read as numbers.

    Returns:
        The dataset. Missing labels (None, NaN, empty text) are None.

    Raises:
        DataError: If there is no such column, or it holds something that is no whole number.
        TypeError: If the mapping is no dict of labels and numbers.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"], "label": [0.0, 2.0]})
        >>> labels_to_int(pairs, "label")["label"][:]
        [0, 2]
    """
    number, mend = _reader(dataset, column, mapping, "labels_to_int")

    def whole(label: Any) -> int | None:
        read = number(label)
        if read is not None and not float(read).is_integer():
            raise _BadCellError(
                f"not a whole number; if it is a score: dataset = labels_to_float(dataset, {literal(column)})"
            )
        return None if read is None else int(read)

    return _relabelled(dataset, column, whole, "int64", mend)


@converter("column")
def labels_to_binary(dataset: Dataset, column: str, above: float) -> Dataset:
    """Make 1 of the labels above a limit, and 0 of the others.

    Args:
        dataset: The dataset.
        column: The label column: numbers, or lists of numbers.
        above: The limit.

    Returns:
        The dataset. Missing labels (None, NaN) are None.

    Raises:
        DataError: If there is no such column, or it holds other than numbers.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"], "score": [2.5, 4.0]})
        >>> labels_to_binary(pairs, "score", above=3)["score"][:]
        [0, 1]
    """
    limit = common.finite("above", above)

    mend = f"Give numbers: dataset = labels_to_float(dataset, {literal(column)})."
    return _relabelled(dataset, column, lambda label: int(_number(label) > limit), "int64", mend)


@converter("column")
def pad_labels(dataset: Dataset, column: str, size: int) -> Dataset:
    """Fill lists of labels up with NaN, which stands for a label that is not there.

    Args:
        dataset: The dataset.
        column: The label column: lists of numbers.
        size: How many labels each list gets; longer lists stay as they are.

    Returns:
        The dataset; None in a list, or in place of one, is NaN too.

    Raises:
        DataError: If there is no such column, or it holds other than lists of numbers.
        ValueError: If `size` is not a whole number of at least 1.

    Example:
        >>> lists = Dataset.from_dict({"query": ["x", "y"], "scores": [[0.9, 0.1], [0.5]]})
        >>> pad_labels(lists, "scores", 2)["scores"][:]
        [[0.9, 0.1], [0.5, nan]]
    """
    whole_number("pad_labels", "size", size, least=1)
    feature = dataset.features[column]
    if not common.holds_lists(feature) or not common.is_numeric(common.inner_feature(feature)):
        raise DataError(f"column {column!r} does not hold lists of numbers. Name one that does.")

    def padded(labels: list[Any] | None) -> list[float]:
        known = [_NAN if common.is_missing(label) else float(label) for label in labels or []]
        return [*known, *[_NAN] * (size - len(known))]

    values = list(map(padded, common.values_of(dataset, column)))
    return common.with_column(dataset, column, values, datasets.Sequence(Value("float64")))


# --- One label after the other ----------------------------------------------------------------------------------------


class _BadCellError(Exception):
    """A label cannot be converted; the message says why."""


def _number(value: Any, low: float = -math.inf, high: float = math.inf, outside: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _BadCellError("not a number; make it one with labels_to_float" if isinstance(value, str) else "no number")
    if not low <= value <= high:
        raise _BadCellError(outside)
    return float(value)


def _relabelled(
    dataset: Dataset, column: str, change: Callable[[Any], Any], dtype: str, mend: str, *, mean: bool = False
) -> Dataset:
    """The dataset with the labels changed one by one, also within lists."""
    feature, cells = dataset.features[column], common.values_of(dataset, column)
    if isinstance(feature, dict):
        raise common.refused("objects", column=column, field=next(iter(feature)))
    # Lists that are stored as text are found in the values.
    written = read_written({} if common.holds_lists(feature) else Counter(_texts_in(cells)))
    lists = written.values if written.kind == "lists" else {}
    several = bool(lists) or common.holds_lists(feature)

    def changed(value: Any) -> Any:
        value = lists.get(value.strip(), value) if isinstance(value, str) else value
        if isinstance(value, (list, tuple, np.ndarray)):
            return [changed(part) for part in value]
        if value is None or value != value:
            return None if dtype != "float64" else _NAN if several else value
        return change(value)

    found, bad = [], {}
    for row, cell in enumerate(cells):
        try:
            made = None if cell is None else changed(cell)
            found.append(common.mean_of_known(made) if mean else made)
        except _BadCellError as error:
            bad[row] = f"{cell!r}, {error}"
    if bad:
        what = next(iter(bad.values()))
        raise DataError(f"column {column!r} holds in {common.shown([*bad])} what cannot be: {what}. {mend}")
    kind = Value(dtype) if mean else datasets.Sequence(Value(dtype)) if lists else _with_dtype(feature, dtype)
    return common.with_column(dataset, column, found, kind)


def _with_dtype(feature: Any, dtype: str) -> Any:
    if isinstance(feature, (Value, ClassLabel)):
        return Value(dtype)
    return datasets.Sequence(_with_dtype(common.inner_feature(feature), dtype), length=getattr(feature, "length", -1))


# --- What labels say --------------------------------------------------------------------------------------------------


def _reader(
    dataset: Dataset, column: str, mapping: Mapping[Any, Any] | None, owner: str
) -> tuple[Callable[[Any], float | None], str]:
    """What says the number of a label, and what to write where it cannot."""
    given = _checked_mapping(dataset.features[column], mapping)
    texts = _texts_in(common.values_of(dataset, column))
    written = read_written(Counter(text for text in texts if text not in given and text.strip() not in given))
    known = written.values if written.kind in ("numbers", "mixed") else {}

    def number(label: Any) -> float | None:
        if isinstance(label, str):
            label = label if label in given else label.strip()
        if isinstance(label, Hashable) and label in given:
            return given[label]
        if label == "":
            return None
        try:
            found = float(known[label] if isinstance(label, str) else label)
        except (TypeError, ValueError, KeyError):
            raise _BadCellError("not a number") from None
        return None if math.isnan(found) else found

    return number, _mapping_mend(f"dataset = {owner}(dataset, {literal(column)}, mapping=", column, written)


def _texts_in(cells: Iterable[Any]) -> Iterator[str]:
    """The texts among cells, also within lists."""
    for cell in cells:
        if isinstance(cell, str):
            yield cell
        elif isinstance(cell, (list, tuple)):
            yield from _texts_in(cell)


def _mapping_mend(start: str, column: str, written: Written) -> str:
    if written.kind in ("opposites", "grades"):
        return f"If they mean this, say so: {start}{literal(dict(written.values))})."
    example = literal(dict.fromkeys(written.others[:1]) or {"NA": None})
    return (
        f"Say what such labels mean, None if nothing: {start}{example}). If they are classes: dataset = "
        f"dataset.class_encode_column({literal(column)})."
    )


def _checked_mapping(feature: Any, mapping: Mapping[Any, Any] | None) -> dict[Any, float | None]:
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping) or not all(
        value is None or common.is_number(value) for value in mapping.values()
    ):
        raise common.refused("no_mapping", TypeError, shown=f"{mapping!r:.80}")
    names = getattr(feature, "names", None) or []
    return {names.index(key) if key in names else key: value for key, value in mapping.items()}
