"""What the converters share: the dataset that they are given, its columns, its rows."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

import datasets
from datasets import ClassLabel, Dataset, Value
from datasets.fingerprint import Hasher

from selective_st import __version__
from selective_st._templates import template
from selective_st._validation import list_of
from selective_st.errors import DataError, literal, shown_rows
from selective_st.registry.names import TRAINER_LABELS
from selective_st.registry.steps import callable_as_step
from selective_st.registry.table import without_trainer_transform

_BATCH = 1_000
Row = dict[str, Any]
_DECIDING: ContextVar[tuple[str, Any]] = ContextVar("deciding")  # the converter that is at work, and its arguments
_Converter = TypeVar("_Converter", bound=Callable[..., Dataset])


def converter(*columns: str) -> Callable[[_Converter], _Converter]:
    """A decorator for a function that takes a dataset and gives another.

    What it is given is checked, its errors begin with its name, and it may be a `Step`.

    Args:
        *columns: Which of its arguments are columns that must be there.

    Returns:
        The decorator.
    """

    def decorate(function: _Converter) -> _Converter:
        owner, signature = function.__name__, inspect.signature(function)

        @wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            given = signature.bind(*arguments, **options).arguments
            dataset = given.pop("dataset")
            before = _DECIDING.set((owner, given))
            try:
                _check_dataset(owner, dataset)
                check_columns(dataset, [given[column] for column in columns if given.get(column) is not None])
                return function(*arguments, **options)
            except (TypeError, ValueError) as error:
                if not str(error).startswith(owner):
                    error.args = (f"{owner}: {error}",)
                raise
            finally:
                _DECIDING.reset(before)

        return callable_as_step(checked)  # type: ignore[return-value]

    return decorate


def mapped(dataset: Dataset, change: Callable[[Row, int], Iterable[Row]], features: dict[str, Any]) -> Dataset:
    """The dataset with rows made anew, batch by batch.

    The fingerprint, by which datasets finds a result on the disk again, is made here: for one of its own datasets would
    look through all that the function leads to, which takes half a second, and fails where a function calls itself.

    Args:
        dataset: The dataset.
        change: The new rows of a row, given it and its number.
        features: The columns that come out, in their order.

    Returns:
        The changed dataset.
    """

    def made_of(batch: dict[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        each = zip(numbers, *batch.values(), strict=True)
        rows = [row for number, *cells in each for row in change(dict(zip(batch, cells, strict=True)), number)]
        return {name: [row[name] for row in rows] for name in features}

    plain, columns = dataset.with_format(None), datasets.Features(features)
    fingerprint = str(Hasher.hash((dataset._fingerprint, __version__, _DECIDING.get())))
    settings = {"remove_columns": dataset.column_names, "new_fingerprint": fingerprint}
    return plain.map(made_of, batched=True, with_indices=True, features=columns, **settings)


def with_column(dataset: Dataset, column: str, values: list[Any], feature: Any) -> Dataset:
    """The dataset with other values in a column, in its place.

    `Dataset.add_column` of the oldest datasets that are allowed takes no type.
    """
    new = "_".join([*dataset.column_names, "new"])  # which is none of them
    added = Dataset.from_dict({new: values}, features=datasets.Features({new: feature}))
    made = datasets.concatenate_datasets([dataset.with_format(None), added], split=dataset.split, axis=1)
    made = made.remove_columns(column).rename_column(new, column).select_columns(dataset.column_names)
    return made.with_format(dataset.format["type"], **dataset.format["format_kwargs"])


# --- Values -----------------------------------------------------------------------------------------------------------


def values_in(dataset: Dataset, columns: list[str]) -> Any:
    """The rows of some columns, as tuples, batch by batch."""
    return itertools.chain.from_iterable(
        zip(*(batch[column] for column in columns), strict=True)
        for batch in dataset.with_format(None).select_columns(columns).iter(_BATCH)
    )


def values_of(dataset: Dataset, column: str) -> list[Any]:
    """The values of a column, as Python has them."""
    return [value for (value,) in values_in(dataset, [column])]


def is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (list, tuple)):
        return all(map(is_missing, value))
    return value is None or (isinstance(value, float) and math.isnan(value))


def mean_of_known(labels: Any) -> float | None:
    """The mean of the labels that are there; a single label is its own."""
    known = [label for label in (labels if isinstance(labels, list) else [labels]) if not is_missing(label)]
    return sum(known) / len(known) if known else None


def hashable(value: Any) -> Any:
    """The value, or a text that stands for it."""
    if isinstance(value, float) and math.isnan(value):
        return "nan", None  # equal to itself
    if isinstance(value, (list, tuple)):
        return tuple(map(hashable, value))
    return repr(value) if isinstance(value, (dict, set)) else value


def shown(rows: Sequence[int]) -> str:
    return f"{shown_rows(rows)} (counted from 0)"


def refused(what: str, kind: type[Exception] = DataError, **facts: Any) -> Exception:
    """The error that says a sentence of `templates/conversions.txt`."""
    return kind(" ".join(str(getattr(template("conversions.txt"), what)(**facts)).splitlines()))


# --- Arguments --------------------------------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def finite(name: str, value: Any) -> float:
    if not is_number(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}. Write for example {name}=0.8.")
    return float(value)


def _check_dataset(owner: str, dataset: Any) -> None:
    if not isinstance(dataset, Dataset):
        raise refused("no_dataset", TypeError, dataset=dataset, owner=owner)
    if not len(dataset):
        raise DataError("the dataset has no rows. Give one that has some: look at what it was read or filtered from.")
    if without_trainer_transform(dataset).format["type"] == "custom":
        raise refused("has_transform")


# --- Columns ----------------------------------------------------------------------------------------------------------


def check_columns(dataset: Dataset, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in dataset.column_names:
            raise refused("no_column", column=column, dataset=dataset)


def check_numbers(dataset: Dataset, column: str) -> None:
    known = () if is_numeric(dataset.features[column]) else values_of(dataset, column)
    for value in known:
        if value is not None:  # a column may have no value at all
            raise refused("no_numbers", column=column, value=value)


def chosen_columns(owner: str, dataset: Dataset, columns: Sequence[str] | None) -> list[str]:
    """The columns that are named, or all."""
    if columns is None:
        return list(dataset.column_names)
    chosen = list_of(owner, "columns", columns, "names", f"[{literal(dataset.column_names[0])}]")
    check_columns(dataset, chosen)
    if not chosen:
        raise DataError(f"columns is empty. Name one of {', '.join(dataset.column_names)}.")
    return chosen


def check_free(dataset: Dataset, names: Sequence[str]) -> None:
    taken = sorted(set(names) & set(dataset.column_names))
    if taken:
        raise refused("name_is_taken", name=taken[0])


def label_column(dataset: Dataset) -> str | None:
    return next((name for name in TRAINER_LABELS if name in dataset.column_names), None)


def needed_label(dataset: Dataset) -> str:
    label = label_column(dataset)
    if label is None:
        raise refused("no_label_column", dataset=dataset)
    return label


def is_text(feature: Any) -> bool:
    return isinstance(feature, Value) and feature.dtype in ("string", "large_string")


def is_numeric(feature: Any) -> bool:
    return isinstance(feature, (ClassLabel, Value)) and feature.dtype.startswith(("int", "uint", "float", "bool"))


def holds_lists(feature: Any) -> bool:
    return isinstance(feature, list) or hasattr(feature, "feature")


def inner_feature(feature: Any) -> Any:
    """The feature of what a list holds."""
    return feature[0] if isinstance(feature, list) else feature.feature


def text_columns(dataset: Dataset, label: str | None) -> list[str]:
    """All columns but the label; all must be texts."""
    inputs = [name for name in dataset.column_names if name != label]
    texts = [name for name in inputs if is_text(dataset.features[name])]
    if texts != inputs or not texts:
        raise refused("not_all_texts", others=[name for name in inputs if name not in texts], texts=texts, label=label)
    return texts


def single_text_column(dataset: Dataset, label: str | None, column: str | None) -> str:
    features: dict[str, Any] = dataset.features
    texts = [name for name, feature in features.items() if name != label and is_text(feature)]
    if column is not None:
        if not is_text(dataset.features[column]):
            raise DataError(f"column {column!r} does not hold texts. Name one of texts.")
        return column
    if len(texts) != 1:
        raise refused("not_one_column", dataset=dataset, texts=texts, label=label)
    return texts[0]
