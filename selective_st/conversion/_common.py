"""What the converters share: the dataset that they are given, its columns, its rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import datasets
from datasets import Dataset, Value
from datasets.fingerprint import Hasher

from selective_st._validation import list_of
from selective_st.errors import DataError, literal, shown_rows
from selective_st.registry.names import TRAINER_LABELS
from selective_st.registry.steps import callable_as_step
from selective_st.registry.table import without_trainer_transform

_BATCH = 1_000
_Converter = TypeVar("_Converter", bound=Callable[..., Dataset])


def converter(function: _Converter) -> _Converter:
    """A function that takes a dataset and gives another: what it is given is checked, and it may be a `Step`."""

    @wraps(function)
    def checked(dataset: Any, *arguments: Any, **options: Any) -> Any:
        check_dataset(function.__name__, dataset)
        return function(dataset, *arguments, **options)

    return cast(_Converter, callable_as_step(checked))


@cache
def _sources() -> bytes:
    """The code of all converters, on which what they make depends."""
    return b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))


def mapped(dataset: Dataset, change: Any, features: dict[str, Any], settings: tuple[Any, ...], **more: Any) -> Dataset:
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
    fingerprint = Hasher.hash((plain._fingerprint, _sources(), settings))
    return plain.map(change, batched=True, features=datasets.Features(features), new_fingerprint=fingerprint, **more)


def mean_of_known(labels: Any) -> float | None:
    """The mean of the labels that are there; a single label is its own."""
    known = [label for label in (labels if isinstance(labels, list) else [labels]) if not is_missing(label)]
    return sum(known) / len(known) if known else None


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def finite(owner: str, name: str, value: Any) -> float:
    if not is_number(value):
        raise ValueError(f"{owner}: {name} must be a finite number, got {value!r}. Write for example {name}=0.8.")
    return float(value)


def check_size(owner: str, list_size: Any) -> None:
    if isinstance(list_size, bool) or not isinstance(list_size, int) or list_size < 2:
        raise ValueError(
            f"{owner}: list_size must be a whole number of at least 2, got {list_size!r}. Write list_size=16."
        )


def check_dataset(owner: str, dataset: Any) -> None:
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


def check_column(owner: str, dataset: Any, column: Any) -> None:
    if column not in dataset.column_names:
        raise DataError(
            f"{owner}: there is no column {column!r}; the dataset has {', '.join(dataset.column_names)}. Name one."
        )


def check_free(owner: str, dataset: Dataset, names: Sequence[str]) -> None:
    taken = sorted(set(names) & set(dataset.column_names))
    if taken:
        raise DataError(
            f"{owner}: there is a column {taken[0]!r} already. Rename it: "
            f'dataset = dataset.rename_column({literal(taken[0])}, "{taken[0]}_old").'
        )


def check_columns(owner: str, dataset: Any, columns: Sequence[str] | None) -> list[str]:
    if isinstance(columns, str):
        raise TypeError(f"{owner}: columns must be a list of names, got {columns!r}. Write [{literal(columns)}].")
    example = f"[{literal(dataset.column_names[0])}]"
    chosen = list_of(owner, "columns", dataset.column_names if columns is None else columns, "names", example)
    for column in chosen:
        check_column(owner, dataset, column)
    if not chosen:
        raise DataError(f"{owner}: columns is empty. Name one of {', '.join(dataset.column_names)}.")
    return chosen


def label_column(dataset: Dataset) -> str | None:
    return next((name for name in TRAINER_LABELS if name in dataset.column_names), None)


def needed_label(owner: str, dataset: Dataset) -> str:
    label = label_column(dataset)
    if label is None:
        raise DataError(
            f"{owner}: there is no label column; the dataset has {', '.join(dataset.column_names)}. Call it so: "
            f'dataset = dataset.rename_column({literal(dataset.column_names[-1])}, "label").'
        )
    return label


def is_text(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")


def holds_lists(feature: Any) -> bool:
    return isinstance(feature, list) or hasattr(feature, "feature")


def inner_feature(feature: Any) -> Any:
    """The feature of what a list holds."""
    return feature[0] if isinstance(feature, list) else feature.feature


def text_columns(owner: str, dataset: Dataset, label: str | None) -> list[str]:
    """All columns but the label; all must be texts."""
    inputs = [name for name in dataset.column_names if name != label]
    strays = [name for name in inputs if not is_text(dataset.features[name])]
    texts = [name for name in inputs if name not in strays]
    if strays or not texts:
        kept = [*texts, *([label] if label else [])]
        raise DataError(
            f"{owner}: column(s) {', '.join(map(repr, strays))} do not hold texts. Keep those that do, and the label: "
            f"dataset = dataset.select_columns([{', '.join(map(literal, kept))}])."
        )
    return texts


def single_text_column(owner: str, dataset: Dataset, label: str | None, column: str | None) -> str:
    if column is not None:
        check_column(owner, dataset, column)
        if not is_text(dataset.features[column]):
            raise DataError(f"{owner}: column {column!r} does not hold texts. Name one of texts.")
        return column
    names: list[str] = dataset.column_names
    texts = [name for name in names if name != label and is_text(dataset.features[name])]
    if len(texts) != 1:
        kept = ", ".join(map(literal, [*(texts[:1] or ["text"]), *([label] if label else [])]))
        raise DataError(
            f"{owner}: there must be one column of texts, got {', '.join(texts) or 'none'} of "
            f"{', '.join(dataset.column_names)}. Choose it: dataset = dataset.select_columns([{kept}])."
        )
    return texts[0]


def values_in(dataset: Dataset, columns: list[str]) -> Any:
    """The rows of some columns, as tuples, batch by batch."""
    if not columns:
        return iter(())
    return itertools.chain.from_iterable(
        zip(*(batch[column] for column in columns), strict=True)
        for batch in dataset.with_format(None).select_columns(columns).iter(_BATCH)
    )


def of_rows(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Dataset:
    return Dataset.from_dict(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, (list, tuple)):
        return all(map(is_missing, value))
    return False


def hashable(value: Any) -> Any:
    """The value, or a text that stands for it."""
    if isinstance(value, float) and math.isnan(value):
        return "nan", None  # equal to itself
    if isinstance(value, (list, tuple)):
        return tuple(map(hashable, value))
    return repr(value) if isinstance(value, (dict, set)) else value


def shown(rows: Sequence[int]) -> str:
    return f"{shown_rows(rows)} (counted from 0)"
