"""Converters: from the format that a dataset has to the one that a loss takes.

Each takes a `datasets.Dataset` and gives another; the one given stays as it is. Rows are counted from 0. Where columns
are not named, the label is the column that the trainer takes for it (`label`, `labels`, `score` or `scores`), and all
others are inputs, in their order.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import ClassLabel, Dataset, Value
from datasets.fingerprint import Hasher

from selective_st._validation import list_of, whole_number
from selective_st.errors import DataError, literal, shown_rows
from selective_st.layouts import GradedPairs, as_lists, as_positives, as_triplets
from selective_st.registry.names import TRAINER_LABELS
from selective_st.registry.table import without_trainer_transform
from selective_st.written import Written, read_written

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

_BATCH = 1_000
_TRIES = 20  # to draw a text of another class that is not of this one too


# --- Labels -----------------------------------------------------------------------------------------------------------


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
        ValueError: If `low` is not below `high`.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"], "score": [2, 5]})
        >>> scale_labels(pairs, "score", 0, 5)["score"][:]
        [0.4, 1.0]
    """
    owner = "scale_labels"
    _check_column(owner, dataset, column)
    low, high = _number(owner, "low", low), _number(owner, "high", high)
    if not low < high:
        raise ValueError(f"{owner}: low must be below high, got low={low:g} and high={high:g}. Swap them.")

    def change(label: Any) -> float:
        number = _checked_number(label)
        if not low <= number <= high:
            raise _BadCellError(f"outside the scale from {low:g} to {high:g}")
        return (high - number if reverse else number - low) / (high - low)

    return _change_labels(
        owner, dataset, column, change, "float64",
        f"Give the ends of the labels' scale: dataset = {owner}(dataset, {literal(column)}, 0, 10).",
        (low, high, reverse),
    )  # fmt: skip


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
    owner = "scale_margins"
    _check_column(owner, dataset, column)
    width = _number(owner, "width", width)
    if not width > 0:
        raise ValueError(f"{owner}: width must be above 0, got {width:g}. Give the highest score less the lowest.")

    def change(margin: Any) -> float:
        number = _checked_number(margin)
        if not -width <= number <= width:
            raise _BadCellError(f"wider than the scale, {width:g}")
        return number / width

    return _change_labels(
        owner, dataset, column, change, "float64",
        f"Give the width of the teacher's scale, here 20: dataset = {owner}(dataset, {literal(column)}, 20).", (width,),
    )  # fmt: skip


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
    owner = "labels_to_float"
    _check_column(owner, dataset, column)
    number, advice = _read_labels(owner, dataset, column, mapping)
    settings = (tuple((mapping or {}).items()), mean)
    return _change_labels(owner, dataset, column, number, "float64", advice, settings, mean=mean)


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
    owner = "labels_to_int"
    _check_column(owner, dataset, column)
    number, advice = _read_labels(owner, dataset, column, mapping)

    def change(label: Any) -> int | None:
        read = number(label)
        if read is not None and not float(read).is_integer():
            raise _BadCellError(
                f"not a whole number; if it is a score: dataset = labels_to_float(dataset, {literal(column)})"
            )
        return None if read is None else int(read)

    return _change_labels(owner, dataset, column, change, "int64", advice, tuple((mapping or {}).items()))


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
    owner = "labels_to_binary"
    _check_column(owner, dataset, column)
    limit = _number(owner, "above", above)
    return _change_labels(
        owner, dataset, column, lambda label: int(_checked_number(label) > limit), "int64",
        f"Give numbers: dataset = labels_to_float(dataset, {literal(column)}).", (limit,),
    )  # fmt: skip


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
    owner = "pad_labels"
    _check_column(owner, dataset, column)
    whole_number(owner, "size", size, least=1)
    feature = dataset.features[column]
    if not _is_list(feature) or not str(getattr(_inner(feature), "dtype", "")).startswith(("int", "float", "bool")):
        raise DataError(f"{owner}: column {column!r} does not hold lists of numbers. Name one that does.")

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        lists = [
            [math.nan if _is_missing(label) else float(label) for label in labels or []] for labels in batch[column]
        ]
        return {column: [[*labels, *[math.nan] * (size - len(labels))] for labels in lists]}

    features = {**dataset.features, column: datasets.Sequence(Value("float64"))}
    return _mapped(dataset, change, features, (owner, column, size))


def _read_labels(
    owner: str, dataset: Dataset, column: str, mapping: Mapping[Any, Any] | None
) -> tuple[Callable[[Any], float | None], str]:
    """What says the number of a label, and what to write where it cannot."""
    given = _checked_mapping(owner, dataset.features[column], mapping)
    texts = Counter(text for text in _texts_in(dataset, column) if text not in given and text.strip() not in given)
    written = read_written(texts)
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

    return number, _mapping_advice(owner, column, written)


def _texts_in(dataset: Dataset, column: str) -> Iterator[str]:
    """The texts of a column, also within lists, also within lists that are stored as text."""
    left = [value for (value,) in _rows(dataset, [column])]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            left += value


def _mapping_advice(owner: str, column: str, written: Written) -> str:
    start = f"dataset = {owner}(dataset, {literal(column)}, mapping="
    if written.kind in ("opposites", "grades"):
        return f"If they mean this, say so: {start}{literal(dict(written.values))})."
    example = literal(dict.fromkeys(written.others[:1]) or {"NA": None})
    return f"Say what such labels mean, None if nothing: {start}{example}). If they are classes: dataset = " + (
        f"dataset.class_encode_column({literal(column)})."
    )


def _checked_mapping(owner: str, feature: Any, mapping: Mapping[Any, Any] | None) -> dict[Any, float | None]:
    if mapping is None:
        return {}
    is_dict = isinstance(mapping, Mapping)
    if not is_dict or not all(value is None or _is_number(value) for value in mapping.values()):
        raise TypeError(
            f"{owner}: mapping must be a dict of labels and the numbers that they become, got {mapping!r:.80}. Write "
            'mapping={"good": 1, "bad": 0, "NA": None}.'
        )
    names = getattr(feature, "names", None) or []
    return {names.index(key) if key in names else key: value for key, value in mapping.items()}


# --- Rows -------------------------------------------------------------------------------------------------------------


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
    columns = _check_columns(owner, dataset, columns)
    kept = [row for row, values in enumerate(_rows(dataset, columns)) if not any(map(_is_missing, values))]
    if not kept:
        raise DataError(
            f"{owner}: every row has something missing in one of the columns {', '.join(columns)}. Name the columns "
            f"that must be full: dataset = {owner}(dataset, [{', '.join(map(literal, columns[:2]))}])."
        )
    return dataset if len(kept) == len(dataset) else dataset.select(kept)


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
    columns = _check_columns(owner, dataset, columns)
    rows: dict[Any, list[int]] = {}
    for row, values in enumerate(_rows(dataset, columns)):
        rows.setdefault(tuple(map(_hashable, values)), []).append(row)
    kept = [same[0] for same in rows.values()]
    result = dataset if len(kept) == len(dataset) else dataset.select(kept)
    if mean_of is None:
        return result
    _check_column(owner, dataset, mean_of)
    labels = [value for (value,) in _rows(dataset, [mean_of])]
    if not all(label is None or isinstance(label, (int, float)) for label in labels):
        raise DataError(
            f"{owner}: column {mean_of!r} must hold numbers. Make it so: dataset = labels_to_float(dataset, "
            f"{literal(mean_of)})."
        )
    means = [_mean([labels[row] for row in same]) for same in rows.values()]
    features = {**dataset.features, mean_of: Value("float64")}
    settings = (owner, mean_of, *columns)

    def change(batch: dict[str, list[Any]], places: list[int]) -> dict[str, list[Any]]:
        return {mean_of: [means[place] for place in places]}

    return _mapped(result, change, features, settings, with_indices=True)


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
    _check_column(owner, dataset, column)
    whole_number(owner, "least", least, least=1)
    classes = [None if _is_missing(value) else _hashable(value) for (value,) in _rows(dataset, [column])]
    counts = Counter(classes)
    kept = [row for row, value in enumerate(classes) if value is not None and counts[value] >= least]
    if not kept:
        raise DataError(f"{owner}: no class in column {column!r} has {least} rows. Write least={least - 1 or 1}.")
    return dataset if len(kept) == len(dataset) else dataset.select(kept)


# --- Lists and columns ------------------------------------------------------------------------------------------------


def split_lists(dataset: Dataset, column: str | None = None, size: int | None = None) -> Dataset:
    """Make one column for each text of a list column: (query, documents, scores) becomes (query, document_1, ...).

    Where there are lists of labels, shorter lists are filled up with empty texts and the label NaN, which
    `SelectiveListwiseLoss` leaves out. Without them each text counts, so shorter lists repeat their own texts in turn.

    Args:
        dataset: The dataset.
        column: The column with lists of texts. Default: the only one.
        size: How many texts of each list are taken, the first ones. Default: as many as the longest list has.

    Returns:
        The dataset, with the new columns in the place of the old one, numbered from 1, and its name in the singular.

    Raises:
        DataError: If there is no such column, or it is not clear which; a list is empty; or a list of labels does not
            go with its list of texts.
        ValueError: If `size` is not a whole number of at least 1.

    Example:
        >>> lists = Dataset.from_dict(
        ...     {"query": ["x", "y"], "documents": [["a", "b"], ["c"]], "scores": [[0.9, 0.1], [0.5]]}
        ... )
        >>> split_lists(lists)[1]
        {'query': 'y', 'document_1': 'c', 'document_2': '', 'scores': [0.5, nan]}
    """
    owner = "split_lists"
    _check_dataset(owner, dataset)
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(
            f"{owner}: size must be a whole number of at least 1, or None for the longest; got {size!r}. Write size=8."
        )
    label = _label_column(dataset)
    column = _list_column(owner, dataset, column, label)
    labelled = label is not None and _is_list(dataset.features[label])
    names = [column, label] if labelled and label is not None else [column]
    longest, extra = 0, 0
    bad: dict[str, list[int]] = {"empty": [], "labels": []}
    for row, cells in enumerate(_rows(dataset, names)):
        texts = cells[0] or []
        longest = max(longest, len(texts))
        if not texts:
            bad["empty"].append(row)
        elif labelled:
            # A label more than texts in the list belongs to a column beside it: (query, positive, [negatives]).
            more = len(cells[1] or []) - len(texts)
            extra = more if row == 0 else extra
            if more != extra or not 0 <= more <= len(dataset.column_names) - 3:
                bad["labels"].append(row)
    if bad["empty"]:
        raise DataError(
            f"{owner}: column {column!r} has an empty list in {_shown(bad['empty'])}. Leave such rows out: dataset = "
            f"remove_empty_rows(dataset, [{literal(column)}])."
        )
    if bad["labels"]:
        raise DataError(
            f"{owner}: in {_shown(bad['labels'])} column {label!r} has not as many labels as column {column!r} has "
            "texts. Each text needs its label: mend or remove such rows."
        )
    number = longest if size is None else min(size, longest)
    singular = _singular(column)
    fresh = [f"{singular}_{k + 1}" for k in range(number)]
    _check_free(owner, dataset, [name for name in fresh if name != column])
    fill: str | None = "" if labelled else None

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        changed: dict[str, list[Any]] = {}
        for name, values in batch.items():
            if name == column:
                for k, place in enumerate(fresh):
                    changed[place] = [
                        texts[k] if k < len(texts) else (texts[k % len(texts)] if fill is None else fill)
                        for texts in values
                    ]
            elif labelled and name == label:
                width = number + extra
                changed[name] = [[*given[:width], *[math.nan] * (width - len(given))] for given in values]
            else:
                changed[name] = values
        return changed

    features: dict[str, Any] = {}
    for name, feature in dataset.features.items():
        if name == column:
            features |= dict.fromkeys(fresh, Value("string"))
        elif labelled and name == label:
            features[name] = datasets.Sequence(Value("float64"))
        else:
            features[name] = feature
    made = _mapped(dataset, change, features, (owner, column, number), remove_columns=dataset.column_names)
    return made.select_columns(list(features))


def lists_to_rows(dataset: Dataset, column: str | None = None) -> Dataset:
    """Make one row for each text of a list column: (query, documents, scores) becomes (query, document, score).

    Args:
        dataset: The dataset.
        column: The column with lists of texts. Default: the only one.

    Returns:
        The dataset, with the column's name in the singular, and the values of the other columns in each of the rows; of
        a list of labels each row gets its own. Rows whose list is empty are left out.

    Raises:
        DataError: If there is no such column, or it is not clear which; no list holds a text; or a list of labels does
            not go with its list of texts.

    Example:
        >>> lists = Dataset.from_dict({"query": ["x", "y"], "positives": [["a", "b"], ["c"]]})
        >>> lists_to_rows(lists)[:]
        {'query': ['x', 'x', 'y'], 'positive': ['a', 'b', 'c']}
    """
    owner = "lists_to_rows"
    _check_dataset(owner, dataset)
    label = _label_column(dataset)
    column = _list_column(owner, dataset, column, label)
    each = [column, label] if label is not None and _is_list(dataset.features[label]) else [column]
    if len(each) > 1:
        bad = [row for row, (a, b) in enumerate(_rows(dataset, each)) if len(a or []) != len(b or [])]
        if bad:
            raise DataError(
                f"{owner}: in {_shown(bad)} column {label!r} has not as many labels as column {column!r} has texts. "
                "Each text needs its label: mend or remove such rows."
            )
    name = _singular(column)
    _check_free(owner, dataset, [name] if name != column else [])

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = [(row, k) for row, texts in enumerate(batch[column]) for k in range(len(texts or []))]
        return {
            fresh: [values[row][k] if old in each else values[row] for row, k in rows]
            for (old, values), fresh in zip(batch.items(), features, strict=True)
        }

    features = {
        name if old == column else old: _inner(feature) if old in each else feature
        for old, feature in dataset.features.items()
    }
    made = _mapped(dataset, change, features, (owner, column), remove_columns=dataset.column_names)
    if not len(made):
        raise DataError(f"{owner}: all lists in column {column!r} are empty. Choose another column.")
    return made


def flatten_cells(dataset: Dataset, column: str, *fields: str) -> Dataset:
    """Take fields out of cells that are objects, or lists of objects: [{"docid": "7", "text": "x"}] becomes ["x"].

    Args:
        dataset: The dataset.
        column: The column with such cells.
        *fields: Which fields. One takes the column's place and name; several become columns of their own, named by the
            column and the field.

    Returns:
        The dataset. Of a list it holds lists, of a missing cell None.

    Raises:
        DataError: If there is no such column, its cells are no objects, or they have no such field.

    Example:
        >>> rows = {"query": ["x"], "passages": [[{"docid": "1", "text": "a"}, {"docid": "2", "text": "b"}]]}
        >>> flatten_cells(Dataset.from_dict(rows), "passages", "text")[0]
        {'query': 'x', 'passages': ['a', 'b']}
    """
    owner = "flatten_cells"
    _check_column(owner, dataset, column)
    feature = dataset.features[column]
    is_list = _is_list(feature)
    inner = (feature[0] if isinstance(feature, list) else feature.feature) if is_list else feature
    if not isinstance(inner, dict):
        raise DataError(f"{owner}: the cells of column {column!r} hold no fields. Name a column of objects.")
    missing = [field for field in fields if field not in inner]
    if missing or not fields:
        named = f"have no field {missing[0]!r}; they" if missing else "must be told which field: they"
        raise DataError(
            f"{owner}: the cells of column {column!r} {named} have {', '.join(inner)}. Name one: dataset = "
            f"{owner}(dataset, {literal(column)}, {literal(next(iter(inner), 'text'))})."
        )
    names = [column] if len(fields) == 1 else [f"{column}_{field}" for field in fields]
    taken = sorted((set(names) & set(dataset.column_names)) - {column})
    if taken:
        raise DataError(
            f"{owner}: there is a column {taken[0]!r} already. Rename it: "
            f'dataset = dataset.rename_column({literal(taken[0])}, "{taken[0]}_old").'
        )

    def part(cell: Any, field: str) -> Any:
        if isinstance(cell, list):
            return [part(item, field) for item in cell]
        return None if cell is None else cell[field]

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {name: [part(cell, field) for cell in batch[column]] for name, field in zip(names, fields, strict=True)}

    made: dict[str, Any] = {}
    for name, kept in dataset.features.items():
        if name == column:
            parts = [datasets.Sequence(inner[field]) if is_list else inner[field] for field in fields]
            made |= dict(zip(names, parts, strict=True))
        else:
            made[name] = kept
    unused = [] if column in names else [column]
    return _mapped(dataset, change, made, (owner, column, fields), remove_columns=unused).select_columns(list(made))


def join_columns(dataset: Dataset, name: str = "documents") -> Dataset:
    """Make one list column of all documents: (query, positive, negative_1, ...) becomes (query, documents, labels).

    It is what the list losses of cross encoders take. Texts without a label (NaN, from padding) are left out, and so
    are empty ones.

    Args:
        dataset: Three or more columns of texts, with a list of scores for the documents, or without labels.
        name: What the list column is called.

    Returns:
        The dataset, with the scores given, or 1 for the second column (the positive) and 0 for the others.

    Raises:
        DataError: If there are fewer than three text columns, or the labels are not one for each document.

    Example:
        >>> triplets = Dataset.from_dict({"query": ["x"], "positive": ["a"], "negative": ["b"]})
        >>> join_columns(triplets)[0]
        {'query': 'x', 'documents': ['a', 'b'], 'labels': [1.0, 0.0]}
    """
    owner = "join_columns"
    _check_dataset(owner, dataset)
    label = _label_column(dataset)
    query, *documents = _text_columns(owner, dataset, label)
    if len(documents) < 2:
        raise DataError(
            f"{owner}: the dataset must have three or more columns of texts, got {', '.join([query, *documents])}. For "
            "pairs without labels draw negatives first: sentence_transformers.util.mine_hard_negatives."
        )
    if label is not None and not _is_list(dataset.features[label]):
        raise DataError(
            f"{owner}: column {label!r} must hold a list with a label for each of the {len(documents)} documents, but "
            f"holds single values. Leave it out: dataset = dataset.remove_columns({literal(label)})."
        )
    label_name = label or "labels"
    if not isinstance(name, str) or not name:
        raise ValueError(f'{owner}: name must be the name of a column, got {name!r}. Write name="documents".')
    if name in (query, label_name):
        raise DataError(f"{owner}: name={name!r} is the name of another column. Choose another, such as 'documents'.")
    bad = [
        row
        for row, (values,) in enumerate(_rows(dataset, [label] if label else []))
        if len(values or []) != len(documents)
    ]
    if bad:
        raise DataError(
            f"{owner}: column {label!r} must hold {len(documents)} labels, one for each of {', '.join(documents)}, but "
            f"does not in {_shown(bad)}. Mend or remove such rows."
        )

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        lists: list[list[str]] = []
        labels: list[list[float]] = []
        for row, texts in enumerate(zip(*(batch[column] for column in documents), strict=True)):
            given = batch[label][row] if label else [1.0, *[0.0] * (len(documents) - 1)]
            kept = [pair for pair in zip(texts, given, strict=True) if not any(map(_is_missing, pair))]
            lists.append([text for text, _ in kept])
            labels.append([score for _, score in kept])
        return {query: batch[query], name: lists, label_name: labels}

    features = {
        query: dataset.features[query],
        name: datasets.Sequence(Value("string")),
        label_name: datasets.Sequence(Value("float64")),
    }
    made = _mapped(dataset, change, features, (owner, name), remove_columns=dataset.column_names)
    return made.select_columns(list(features))


def rows_of_positives(dataset: Dataset, positives: str, negatives: str | None = None) -> Dataset:
    """Make a row for each right text: (query, [positives], [negatives]) becomes (query, positive, negative_1, ...).

    A row with fewer negatives than the longest repeats its own in turn. In batches the same query then has several
    positives, so train with `batch_sampler=BatchSamplers.NO_DUPLICATES`.

    Args:
        dataset: The dataset.
        positives: The column with the right text of each row, or a list of them.
        negatives: The column with the wrong text of each row, or a list of them. Default: none.

    Returns:
        The other columns, then `positive`, then `negative` or `negative_1` and so on. Rows without a right text, and
        those without a wrong one where there is a column of these, are left out.

    Raises:
        DataError: If there is no such column, it holds no texts, or no row has both.

    Example:
        >>> lists = Dataset.from_dict({"query": ["x"], "pos": [["a", "b"]], "neg": [["c", "d"]]})
        >>> rows_of_positives(lists, "pos", "neg")[1]
        {'query': 'x', 'positive': 'b', 'negative_1': 'c', 'negative_2': 'd'}
    """
    owner = "rows_of_positives"
    _check_dataset(owner, dataset)
    sides = [positives] if negatives is None else [positives, negatives]
    for column in sides:
        _check_column(owner, dataset, column)
    cells = [tuple(map(_as_texts, row)) for row in _rows(dataset, sides)]
    complete = [row for row, lists in enumerate(cells) if all(lists)]
    if not complete:
        raise DataError(
            f"{owner}: no row has a text in {' and in '.join(map(repr, sides))}. Choose the columns with the right and "
            "the wrong texts, or leave out negatives where there are none."
        )
    width = 0 if negatives is None else max(len(cells[row][1]) for row in complete)
    names = ["negative"] if width == 1 else [f"negative_{k + 1}" for k in range(width)]
    source = [row for row in complete for _ in cells[row][0]]
    made = dataset.select(source).remove_columns(sides)
    made = made.add_column("positive", [text for row in complete for text in cells[row][0]])
    for k, name in enumerate(names):
        made = made.add_column(name, [cells[row][1][k % len(cells[row][1])] for row in source])
    return made


def join_lists(
    dataset: Dataset,
    positives: str,
    negatives: str,
    positive_scores: str | None = None,
    negative_scores: str | None = None,
) -> Dataset:
    """Join the right and the wrong texts of a row in one list: (query, documents, labels).

    Args:
        dataset: The dataset.
        positives: The column with the right text of each row, or a list of them.
        negatives: The same for the wrong ones.
        positive_scores: The column with the scores of the right texts. Default: 1 for each.
        negative_scores: The column with the scores of the wrong texts. Default: 0 for each.

    Returns:
        The other columns, then `documents` and `labels`. Rows without any text are left out.

    Raises:
        DataError: If there is no such column, or a row has not as many scores as texts.

    Example:
        >>> lists = Dataset.from_dict({"query": ["x"], "pos": [["a"]], "neg": [["c", "d"]]})
        >>> join_lists(lists, "pos", "neg")[0]
        {'query': 'x', 'documents': ['a', 'c', 'd'], 'labels': [1.0, 0.0, 0.0]}
    """
    owner = "join_lists"
    _check_dataset(owner, dataset)
    given = [column for column in (positive_scores, negative_scores) if column is not None]
    for column in (positives, negatives, *given):
        _check_column(owner, dataset, column)
    texts = [tuple(map(_as_texts, row)) for row in _rows(dataset, [positives, negatives])]
    labels = [
        _scores_of(owner, dataset, column, [len(row[side]) for row in texts], 1.0 - side)
        for side, column in enumerate((positive_scores, negative_scores))
    ]
    rows = [row for row, lists in enumerate(texts) if any(lists)]
    made = dataset.select(rows).remove_columns([positives, negatives, *given])
    made = made.add_column("documents", [[*texts[row][0], *texts[row][1]] for row in rows])
    return made.add_column("labels", [[*labels[0][row], *labels[1][row]] for row in rows])


def _scores_of(owner: str, dataset: Dataset, column: str | None, sizes: list[int], default: float) -> list[list[float]]:
    """The scores in a column, as many in each row as there are texts; without a column, the same for all texts."""
    if column is None:
        return [[default] * size for size in sizes]
    scores = [value if isinstance(value, list) else [value] for (value,) in _rows(dataset, [column])]
    bad = [row for row, size in enumerate(sizes) if len(scores[row]) != size]
    if bad:
        raise DataError(
            f"{owner}: column {column!r} has not as many scores as there are texts in {_shown(bad)}. Mend or remove "
            "such rows."
        )
    return scores


def _as_texts(value: Any) -> list[str]:
    """The texts of a cell: one, or a list of them, without empty ones."""
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str) and text.strip()]


# --- Single texts -----------------------------------------------------------------------------------------------------


def class_to_triplets(dataset: Dataset, seed: int = 0) -> Dataset:
    """Make triplets of single texts with classes: a text, another of its class, and one of another class.

    Args:
        dataset: A column of texts and a label column with classes.
        seed: Which of the texts are drawn.

    Returns:
        Columns anchor, positive and negative: a row for each distinct text of a class that has at least two.

    Raises:
        DataError: If there is not one text column and a label column, or the classes make no triplets.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "dog", "oak", "elm"], "label": [0, 0, 1, 1]})
        >>> class_to_triplets(texts)["positive"][:]
        ['dog', 'cat', 'elm', 'oak']
    """
    owner = "class_to_triplets"
    _check_dataset(owner, dataset)
    label = _needed_label(owner, dataset)
    column = _single_text_column(owner, dataset, label, None)
    classes: dict[Any, dict[str, None]] = {}  # of each class its texts, each once, in order
    for text, kind in _rows(dataset, [column, label]):
        if not _is_missing(text) and not _is_missing(kind):
            classes.setdefault(kind, {})[text] = None
    usable = {kind: list(texts) for kind, texts in classes.items() if len(texts) > 1}
    if len(classes) < 2 or not usable:
        raise DataError(
            f"{owner}: column {label!r} has {len(classes)} class(es), {len(usable)} of them with two or more texts. "
            "Triplets need two classes, one of which has two texts: choose the right label column with "
            'dataset = dataset.rename_column("...", "label").'
        )
    random = np.random.default_rng(whole_number(owner, "seed", seed))
    everything = [text for texts in classes.values() for text in texts]
    rows: list[tuple[str, str, str]] = []
    for kind, texts in usable.items():
        order = [texts[i] for i in random.permutation(len(texts))]
        positives = dict(zip(order, [*order[1:], order[0]], strict=True))
        for text in texts:
            for _ in range(_TRIES):
                negative = everything[random.integers(len(everything))]
                if negative not in classes[kind]:
                    rows.append((text, positives[text], negative))
                    break
            else:  # nearly all texts are of this class
                others = [other for other in everything if other not in classes[kind]]
                if others:
                    rows.append((text, positives[text], others[random.integers(len(others))]))
    if not rows:
        raise DataError(
            f"{owner}: every text is in the same class, or in all of them. Choose the right label column with "
            'dataset = dataset.rename_column("...", "label").'
        )
    return _from_rows(("anchor", "positive", "negative"), rows)


def damage_texts(dataset: Dataset, column: str | None = None, ratio: float = 0.6, seed: int = 0) -> Dataset:
    """Make (damaged, original) pairs of single texts, by deleting words at random, as `DenoisingAutoEncoderLoss` needs.

    At least one word is left. Of a text without white space characters are deleted.

    Args:
        dataset: The dataset.
        column: The column of texts. Default: the only one.
        ratio: The share of words that is deleted, on average.
        seed: Which words.

    Returns:
        Columns damaged and original; other columns are left out, since the loss would read them.

    Raises:
        DataError: If it is not clear which column to take.
        ValueError: If `ratio` is not between 0 and 1.

    Example:
        >>> damage_texts(Dataset.from_dict({"text": ["one two three four"]}), seed=1)[0]
        {'damaged': 'two four', 'original': 'one two three four'}
    """
    owner = "damage_texts"
    _check_dataset(owner, dataset)
    ratio = _number(owner, "ratio", ratio)
    if not 0 < ratio < 1:
        raise ValueError(f"{owner}: ratio must lie between 0 and 1, such as 0.6; got {ratio:g}.")
    whole_number(owner, "seed", seed)
    column = _single_text_column(owner, dataset, _label_column(dataset), column)

    def change(batch: dict[str, list[Any]], rows: list[int]) -> dict[str, list[Any]]:
        texts = [text or "" for text in batch[column]]
        return {
            "damaged": [_damaged(text, ratio, seed, row) for text, row in zip(texts, rows, strict=True)],
            "original": texts,
        }

    features = {"damaged": Value("string"), "original": Value("string")}
    settings = (owner, column, ratio, seed)
    made = _mapped(dataset, change, features, settings, with_indices=True, remove_columns=dataset.column_names)
    return made.select_columns(list(features))


def texts_to_pairs(dataset: Dataset, column: str | None = None, different: int = 0, seed: int = 0) -> Dataset:
    """Make pairs of single texts for the Contrastive Tension losses.

    Args:
        dataset: The dataset.
        column: The column of texts. Default: the only one.
        different: For each text, how many pairs with another text there are beside the pair of the text with itself:
            0 for `ContrastiveTensionLossInBatchNegatives`, 7 for `ContrastiveTensionLoss`.
        seed: Which other texts.

    Returns:
        Columns text_1 and text_2.

    Raises:
        DataError: If it is not clear which column to take, or there are not two different texts to pair.
        ValueError: If `different` is not a whole number of at least 0.

    Example:
        >>> texts = Dataset.from_dict({"text": ["cat", "oak"]})
        >>> texts_to_pairs(texts)[:]
        {'text_1': ['cat', 'oak'], 'text_2': ['cat', 'oak']}
        >>> texts_to_pairs(texts, different=1)["text_2"][:]
        ['cat', 'oak', 'oak', 'cat']
    """
    owner = "texts_to_pairs"
    _check_dataset(owner, dataset)
    if isinstance(different, bool) or not isinstance(different, int) or different < 0:
        raise ValueError(f"{owner}: different must be a whole number such as 0 or 7; got {different!r}.")
    column = _single_text_column(owner, dataset, _label_column(dataset), column)
    texts = list(dict.fromkeys(text for (text,) in _rows(dataset, [column]) if not _is_missing(text)))
    if len(texts) < (2 if different else 1):
        raise DataError(
            f"{owner}: column {column!r} has {len(texts)} distinct text(s), so there is nothing to pair. Give more "
            "texts, or another column: texts_to_pairs(dataset, column=...)."
        )
    random = np.random.default_rng(whole_number(owner, "seed", seed))
    rows: list[tuple[str, str]] = []
    for place, text in enumerate(texts):
        rows.append((text, text))
        if different:
            # A step of 1 to n - 1 never leads back to the text itself.
            steps = random.integers(1, len(texts), size=different)
            rows += [(text, texts[(place + int(step)) % len(texts)]) for step in steps]
    return _from_rows(("text_1", "text_2"), rows)


# --- Labelled pairs ---------------------------------------------------------------------------------------------------


def pairs_to_triplets(dataset: Dataset, positive: Any = None, negative: Any = None, list_size: int = 16) -> Dataset:
    """Make triplets of labelled pairs that share their first text.

    Args:
        dataset: Two columns of texts and a label column.
        positive: The label of a positive, such as 0 or "entailment" for natural language inference. Default: labels are
            grades, and a pair with a higher one is better than a pair with a lower one.
        negative: The label of a negative; to be given with `positive`.
        list_size: The most triplets of a text, where labels are grades.

    Returns:
        Columns anchor, positive and negative. With `positive` and `negative` each positive and each negative of a text
        is used once, and those of which there are fewer take turns.

    Raises:
        DataError: If the dataset does not hold labelled pairs, there is no such label, or no text has a positive and a
            negative.
        TypeError: If only one of `positive` and `negative` is given.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "x"], "b": ["good", "bad"], "label": [1, 0]})
        >>> pairs_to_triplets(pairs, positive=1, negative=0)[0]
        {'anchor': 'x', 'positive': 'good', 'negative': 'bad'}
    """
    owner = "pairs_to_triplets"
    _check_dataset(owner, dataset)
    if (positive is None) != (negative is None):
        raise TypeError(
            f"{owner}: give positive and negative, or neither; got {positive=} and {negative=}. Write positive=1, "
            "negative=0."
        )
    label = _needed_label(owner, dataset)
    if positive is None:
        _check_size(owner, list_size)
        pairs = _graded_pairs(owner, dataset, label)
        return as_triplets(pairs, pairs.grouping(), list_size, 0.8).dataset
    if not all(isinstance(value, (str, int, float)) for value in (positive, negative)) or positive == negative:
        raise TypeError(
            f"{owner}: positive and negative must be two labels, got {positive=} and {negative=}. Write positive=1, "
            "negative=0."
        )
    first, second = _two_text_columns(owner, dataset, label)
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel):
        positive, negative = (_class_number(owner, feature, value) for value in (positive, negative))
    groups: dict[str, tuple[list[str], list[str]]] = {}
    seen: Counter[Any] = Counter()
    for text, other, value in _rows(dataset, [first, second, label]):
        seen[_hashable(value)] += 1
        if value in (positive, negative) and not _is_missing(text) and not _is_missing(other):
            groups.setdefault(text, ([], []))[value == negative].append(other)
    for given, wanted in (("positive", positive), ("negative", negative)):
        if wanted not in seen:
            known = ", ".join(repr(value) for value, _ in seen.most_common(10))
            raise DataError(
                f"{owner}: no pair has the label {given}={wanted!r}; column {label!r} has {known}. Choose two of them."
            )
    rows = [
        (text, positives[k % len(positives)], negatives[k % len(negatives)])
        for text, (positives, negatives) in groups.items()
        if positives and negatives
        for k in range(max(len(positives), len(negatives)))
    ]
    if not rows:
        raise DataError(
            f"{owner}: no text of column {first!r} stands both in a pair with the label {positive!r} and in one with "
            f"{negative!r}. Keep the positives and mine negatives: sentence_transformers.util.mine_hard_negatives."
        )
    return _from_rows(("anchor", "positive", "negative"), rows)


def pairs_to_lists(dataset: Dataset, list_size: int = 16) -> Dataset:
    """Make lists of graded pairs that share a text: the text, its candidates and their labels.

    Args:
        dataset: Two columns of texts and a label column with grades, the higher the better.
        list_size: The most candidates of a text.

    Returns:
        Columns anchor, doc_1, ..., doc_n, label. Shorter lists are filled up with empty texts and the label NaN, which
        `SelectiveListwiseLoss` leaves out; `join_columns` makes list columns of them.

    Raises:
        DataError: If the dataset does not hold graded pairs, or no text has two candidates with different labels.
        ValueError: If `list_size` is not a whole number of at least 2.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "x"], "b": ["good", "bad"], "score": [1.0, 0.2]})
        >>> pairs_to_lists(pairs)[0]
        {'anchor': 'x', 'doc_1': 'good', 'doc_2': 'bad', 'label': [1.0, 0.2]}
    """
    owner = "pairs_to_lists"
    _check_dataset(owner, dataset)
    _check_size(owner, list_size)
    pairs = _graded_pairs(owner, dataset, _needed_label(owner, dataset))
    return as_lists(pairs, pairs.grouping(), list_size, 0.8).dataset


def pairs_to_positives(dataset: Dataset, positive_from: float = 0.8) -> Dataset:
    """Keep the pairs with a high label, as positives without labels.

    Args:
        dataset: Two columns of texts and a label column with grades, the higher the better.
        positive_from: The lowest label of a positive.

    Returns:
        Columns anchor and positive; and negative, where at least 90 % of the positives have a candidate of the same
        text with a lower label.

    Raises:
        DataError: If the dataset does not hold graded pairs, or no label is high enough.

    Example:
        >>> pairs = Dataset.from_dict({"a": ["x", "y"], "b": ["good", "bad"], "score": [1.0, 0.2]})
        >>> pairs_to_positives(pairs)[:]
        {'anchor': ['x'], 'positive': ['good']}
    """
    owner = "pairs_to_positives"
    _check_dataset(owner, dataset)
    positive_from = _number(owner, "positive_from", positive_from)
    pairs = _graded_pairs(owner, dataset, _needed_label(owner, dataset))
    if max(pairs.scores) < positive_from:
        raise DataError(
            f"{owner}: no pair has a label of at least positive_from={positive_from:g}; they go from "
            f"{min(pairs.scores):g} to {max(pairs.scores):g}. Lower it: "
            f"dataset = {owner}(dataset, positive_from={max(pairs.scores):g})."
        )
    return as_positives(pairs, pairs.grouping(), 0, positive_from).dataset


# --- What they share --------------------------------------------------------------------------------------------------


class _BadCellError(Exception):
    """A label cannot be converted; the message says why."""


def _mapped(dataset: Dataset, change: Any, features: dict[str, Any], settings: tuple[Any, ...], **more: Any) -> Dataset:
    """The dataset with batches changed.

    The fingerprint, by which datasets finds a result on the disk again, is made here: for one of its own datasets would
    look through all that the function leads to, which takes half a second, and fails where a function calls itself.

    Args:
        dataset: The dataset.
        change: The function of a batch.
        features: What comes out.
        settings: What the function depends on besides the dataset and this module.
        **more: Further arguments of `Dataset.map`.

    Returns:
        The changed dataset.
    """
    plain = dataset.with_format(None)
    fingerprint = Hasher.hash((plain._fingerprint, Path(__file__).read_bytes(), settings))
    return plain.map(change, batched=True, features=datasets.Features(features), new_fingerprint=fingerprint, **more)


def _change_labels(
    owner: str,
    dataset: Dataset,
    column: str,
    change: Callable[[Any], Any],
    dtype: str,
    advice: str,
    settings: tuple[Any, ...] = (),
    mean: bool = False,
) -> Dataset:
    """The dataset with the labels changed one by one, also within lists; `settings` are what `change` depends on."""
    feature = dataset.features[column]
    is_list = _is_list(feature)
    # Lists that are stored as text are found in the values.
    written = read_written({} if is_list else Counter(_texts_in(dataset, column)))
    lists = written.values if written.kind == "lists" else {}
    several = is_list or bool(lists)

    def changed(value: Any) -> Any:
        value = lists.get(value.strip(), value) if isinstance(value, str) else value
        if isinstance(value, (list, tuple, np.ndarray)):
            return [changed(part) for part in value]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None if dtype != "float64" else math.nan if several else value
        return change(value)

    def change_batch(batch: dict[str, list[Any]], rows: list[int]) -> dict[str, list[Any]]:
        found = []
        bad: list[int] = []
        what = ""
        for value, row in zip(batch[column], rows, strict=True):
            try:
                found.append(_mean(changed(value)) if mean else changed(value))
            except _BadCellError as error:
                what = what or f"{value!r}, {error}"
                bad.append(row)
        if bad:
            raise DataError(f"{owner}: column {column!r} holds in {_shown(bad)} what cannot be: {what}. {advice}")
        return {column: found}

    features = dict(dataset.features)
    features[column] = datasets.Sequence(Value(dtype)) if lists else _with_dtype(feature, dtype)
    if mean:
        features[column] = Value(dtype)
    made = _mapped(dataset, change_batch, features, (owner, column, *settings), with_indices=True)
    return made.with_format(dataset.format["type"], **dataset.format["format_kwargs"])


def _mean(labels: Any) -> float | None:
    """The mean of the labels that are there; a single label is its own."""
    known = [label for label in (labels if isinstance(labels, list) else [labels]) if not _is_missing(label)]
    return sum(known) / len(known) if known else None


def _with_dtype(feature: Any, dtype: str) -> Any:
    if isinstance(feature, (Value, ClassLabel)):
        return Value(dtype)
    return datasets.Sequence(_with_dtype(_inner(feature), dtype), length=getattr(feature, "length", -1))


def _checked_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _BadCellError("not a number; make it one with labels_to_float" if isinstance(value, str) else "no number")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(owner: str, name: str, value: Any) -> float:
    if not _is_number(value):
        raise ValueError(f"{owner}: {name} must be a finite number, got {value!r}. Write for example {name}=0.8.")
    return float(value)


def _check_size(owner: str, list_size: Any) -> None:
    if isinstance(list_size, bool) or not isinstance(list_size, int) or list_size < 2:
        raise ValueError(
            f"{owner}: list_size must be a whole number of at least 2, got {list_size!r}. Write list_size=16."
        )


def _check_dataset(owner: str, dataset: Any) -> None:
    if isinstance(dataset, dict):
        raise TypeError(
            f"{owner}: dataset must be a datasets.Dataset, got a {type(dataset).__name__}. Convert each by itself: "
            f'{owner}(dataset["{next(iter(dataset), "train")}"], ...).'
        )
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"{owner}: dataset must be a datasets.Dataset, got {type(dataset).__name__}. Make one with "
            "Dataset.from_dict, Dataset.from_list or Dataset.from_pandas; of a stream, with "
            "selective_st.registry.table.to_dataset."
        )
    if not len(dataset):
        raise DataError(
            f"{owner}: the dataset has no rows. Give one that has some: look at what it was read or filtered from."
        )
    if without_trainer_transform(dataset).format["type"] == "custom":
        raise DataError(
            f"{owner}: the dataset has a transform, which a conversion would leave out. Do it first, for good: "
            "from selective_st.registry.table import to_dataset; dataset = to_dataset(dataset)."
        )


def _check_column(owner: str, dataset: Any, column: Any) -> None:
    _check_dataset(owner, dataset)
    if column not in dataset.column_names:
        raise DataError(
            f"{owner}: there is no column {column!r}; the dataset has {', '.join(dataset.column_names)}. Name one."
        )


def _check_free(owner: str, dataset: Dataset, names: Sequence[str]) -> None:
    taken = sorted(set(names) & set(dataset.column_names))
    if taken:
        raise DataError(
            f"{owner}: there is a column {taken[0]!r} already. Rename it: "
            f'dataset = dataset.rename_column({literal(taken[0])}, "{taken[0]}_old").'
        )


def _check_columns(owner: str, dataset: Any, columns: Sequence[str] | None) -> list[str]:
    _check_dataset(owner, dataset)
    if isinstance(columns, str):
        raise TypeError(f"{owner}: columns must be a list of names, got {columns!r}. Write [{literal(columns)}].")
    example = f"[{literal(dataset.column_names[0])}]"
    chosen = list_of(owner, "columns", dataset.column_names if columns is None else columns, "names", example)
    for column in chosen:
        _check_column(owner, dataset, column)
    if not chosen:
        raise DataError(f"{owner}: columns is empty. Name one of {', '.join(dataset.column_names)}.")
    return chosen


def _label_column(dataset: Dataset) -> str | None:
    return next((name for name in TRAINER_LABELS if name in dataset.column_names), None)


def _needed_label(owner: str, dataset: Dataset) -> str:
    label = _label_column(dataset)
    if label is None:
        raise DataError(
            f"{owner}: there is no label column; the dataset has {', '.join(dataset.column_names)}. Call it so: "
            f'dataset = dataset.rename_column({literal(dataset.column_names[-1])}, "label").'
        )
    return label


def _is_text(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")


def _is_list(feature: Any) -> bool:
    return isinstance(feature, list) or hasattr(feature, "feature")


def _inner(feature: Any) -> Any:
    """The feature of what a list holds."""
    return feature[0] if isinstance(feature, list) else feature.feature


def _text_columns(owner: str, dataset: Dataset, label: str | None) -> list[str]:
    """All columns but the label; all must be texts."""
    inputs = [name for name in dataset.column_names if name != label]
    strays = [name for name in inputs if not _is_text(dataset.features[name])]
    texts = [name for name in inputs if name not in strays]
    if strays or not texts:
        kept = [*texts, *([label] if label else [])]
        raise DataError(
            f"{owner}: column(s) {', '.join(map(repr, strays))} do not hold texts. Keep those that do, and the label: "
            f"dataset = dataset.select_columns([{', '.join(map(literal, kept))}])."
        )
    return texts


def _two_text_columns(owner: str, dataset: Dataset, label: str) -> tuple[str, str]:
    texts = _text_columns(owner, dataset, label)
    if len(texts) != 2:
        kept = [*texts[:2], label] if len(texts) > 2 else ["text_1", "text_2", label]
        raise DataError(
            f"{owner}: there must be two columns of texts beside the label, got {', '.join(texts)}. Choose them: "
            f"dataset = dataset.select_columns([{', '.join(map(literal, kept))}])."
        )
    return texts[0], texts[1]


def _single_text_column(owner: str, dataset: Dataset, label: str | None, column: str | None) -> str:
    if column is not None:
        _check_column(owner, dataset, column)
        if not _is_text(dataset.features[column]):
            raise DataError(f"{owner}: column {column!r} does not hold texts. Name one of texts.")
        return column
    names: list[str] = dataset.column_names
    texts = [name for name in names if name != label and _is_text(dataset.features[name])]
    if len(texts) != 1:
        kept = ", ".join(map(literal, [*(texts[:1] or ["text"]), *([label] if label else [])]))
        raise DataError(
            f"{owner}: there must be one column of texts, got {', '.join(texts) or 'none'} of "
            f"{', '.join(dataset.column_names)}. Choose it: dataset = dataset.select_columns([{kept}])."
        )
    return texts[0]


def _list_column(owner: str, dataset: Dataset, column: str | None, label: str | None) -> str:
    lists: list[str] = [
        name
        for name, feature in dataset.features.items()
        if name != label and _is_list(feature) and _is_text(_inner(feature))
    ]
    if column is None:
        if len(lists) != 1:
            raise DataError(
                f"{owner}: there must be one column with lists of texts, got {', '.join(lists) or 'none'} of "
                f"{', '.join(dataset.column_names)}. Name it: dataset = {owner}(dataset, "
                f"{literal(lists[0] if lists else 'documents')})."
            )
        return lists[0]
    _check_column(owner, dataset, column)
    if column not in lists:
        raise DataError(f"{owner}: column {column!r} does not hold lists of texts; {', '.join(lists) or 'none'} does.")
    return column


def _graded_pairs(owner: str, dataset: Dataset, label: str) -> GradedPairs:
    first, second = _two_text_columns(owner, dataset, label)
    feature = dataset.features[label]
    if isinstance(feature, ClassLabel) and feature.num_classes > 2:
        raise DataError(
            f"{owner}: the labels in column {label!r} are classes ({', '.join(feature.names)}), not grades. Say which "
            f"are the positives and the negatives: dataset = pairs_to_triplets(dataset, positive="
            f"{literal(feature.names[0])}, negative={literal(feature.names[-1])})."
        )
    firsts, seconds, scores = [], [], []
    bad = []
    for row, (one, other, value) in enumerate(_rows(dataset, [first, second, label])):
        if _is_missing(one) or _is_missing(other) or _is_missing(value):
            bad.append(row)
        elif not isinstance(value, (int, float)):
            raise DataError(
                f"{owner}: column {label!r} must hold numbers, but holds {value!r} in row {row}. Make it so: dataset = "
                f"labels_to_float(dataset, {literal(label)})."
            )
        else:
            firsts.append(one)
            seconds.append(other)
            scores.append(float(value))
    if bad:
        raise DataError(
            f"{owner}: a text or label is missing in {_shown(bad)}. Leave such rows out: dataset = "
            "remove_empty_rows(dataset)."
        )
    columns = {"sentence1": firsts, "sentence2": seconds, "score": scores}
    return GradedPairs(Dataset.from_dict(columns), owner)


def _class_number(owner: str, feature: ClassLabel, value: Any) -> int:
    if isinstance(value, str):
        if value not in feature.names:
            raise DataError(f"{owner}: there is no class {value!r}; there are {', '.join(feature.names)}. Choose one.")
        return int(feature.str2int(value))
    return int(value)


def _rows(dataset: Dataset, columns: list[str]) -> Any:
    """The rows of some columns, as tuples, batch by batch."""
    if not columns:
        return iter(())
    return itertools.chain.from_iterable(
        zip(*(batch[column] for column in columns), strict=True)
        for batch in dataset.with_format(None).select_columns(columns).iter(_BATCH)
    )


def _from_rows(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Dataset:
    return Dataset.from_dict(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, (list, tuple)):
        return all(map(_is_missing, value))
    return False


def _hashable(value: Any) -> Any:
    """The value, or a text that stands for it."""
    if isinstance(value, float) and math.isnan(value):
        return "nan", None  # equal to itself
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    return repr(value) if isinstance(value, (dict, set)) else value


def _damaged(text: str, ratio: float, seed: int, row: int) -> str:
    words, glue = text.split(), " "
    if len(words) == 1:
        words, glue = list(words[0]), ""
    if len(words) < 2:
        return text
    random = np.random.default_rng([seed, row])
    kept = random.random(len(words)) >= ratio
    if not kept.any():
        kept[random.integers(len(words))] = True
    return glue.join(word for word, keep in zip(words, kept, strict=True) if keep)


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 1 else name


def _shown(rows: Sequence[int]) -> str:
    return f"{shown_rows(rows)} (counted from 0)"
