"""One view of whatever holds a user's data: a sample of rows to look at, and batches of columns to count in.

What is read does not grow with the data. A *sample* of at most 10,000 rows is read as Python values: all of them, or
the first and last 1,000 and the others at random with a fixed seed. A *scan* goes through at most 1,000,000 rows in
Arrow batches, for what can be counted column by column: all rows, or a hundred blocks at random. Of a stream, and of a
dataset with a transform (`set_transform`), fewer rows are read: the first 10,000, and a sample of 1,000.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from selective_st.errors import DataError
from selective_st.registry.steps import ON_STREAMS, Step, callable_as_step

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray

SAMPLE_ROWS = 10_000
SCAN_ROWS = 1_000_000
TRANSFORM_ROWS = 1_000
_ENDS = 1_000  # of a sample lie at the beginning, and as many at the end
_BATCH = 10_000
_SEED = 0


@dataclass(frozen=True)
class Table:
    """A dataset as far as it is looked at.

    Attributes:
        name: Its name in a dict of datasets; None for a single one.
        columns: The columns, in the order in which the trainer sees them.
        rows: How many rows it has; None for a stream.
        sampled: The numbers of the sampled rows, counted from 0.
        values: For each column the values of the sampled rows.
        is_stream: Whether it is an IterableDataset.
        has_transform: Whether rows pass a transform of the user's.
        has_features: Whether it says which columns it has, without which the trainer takes no stream.
        is_dataset: Whether it is a Dataset or a stream, or else something of which one is made.
    """

    name: str | None
    columns: tuple[str, ...]
    rows: int | None
    sampled: tuple[int, ...] = field(repr=False)
    values: Mapping[str, list[Any]] = field(repr=False)
    is_stream: bool = False
    has_transform: bool = False
    has_features: bool = True
    is_dataset: bool = True
    _dataset: Any = field(default=None, repr=False)

    def in_arrow(self, *columns: str) -> pa.Table:
        """All values of columns, in Arrow."""
        found: pa.Table = self._dataset.select_columns(list(columns)).with_format("arrow")[:]
        return found.select(list(columns))

    @property
    def to_dataset(self) -> Step:
        """The step that makes a Dataset of it."""
        return Step("to_dataset", why="all rows of the stream" if self.is_stream else "")

    def ready(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Steps, after the one that makes a Dataset of a stream, or of what has a transform, where they need one."""
        need_all = self.has_transform or (self.is_stream and any(step.call not in ON_STREAMS for step in steps))
        return (self.to_dataset, *steps) if steps and need_all and self.to_dataset not in steps else steps

    @property
    def is_complete(self) -> bool:
        """Whether the sample holds every row."""
        return self.rows is not None and len(self.sampled) == self.rows

    @property
    def scanned(self) -> int:
        """How many rows `scan` goes through."""
        return min(len(self._dataset), SCAN_ROWS)

    @cached_property  # the dataset copies them each time
    def features(self) -> Any:
        """The `datasets.Features` of the columns: of the sampled rows, where there is a transform or a stream."""
        return self._dataset.features

    def sample(self) -> Dataset:
        """The sampled rows as a dataset.

        Returns:
            The dataset.
        """
        is_sample = self.is_stream or self.has_transform or self.is_complete
        found: Dataset = self._dataset if is_sample else self._dataset.select(list(self.sampled))
        return found

    def holds_integers(self, column: str) -> bool:
        """Whether a column is of integers or booleans, or of lists of these.

        Args:
            column: The column.

        Returns:
            Whether it is.
        """
        feature = self.features[column]
        while hasattr(feature, "feature") or isinstance(feature, list):
            feature = feature[0] if isinstance(feature, list) else feature.feature
        return str(getattr(feature, "dtype", "")).startswith(("int", "uint", "bool"))

    def scan(self, *columns: str) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
        """Go through columns in Arrow batches.

        Args:
            *columns: Which columns, at least one.

        Yields:
            The numbers of a batch's rows, counted from 0 in the dataset's order, and the batch.
        """
        # In the order in which rows are stored: of a shuffled dataset each would else be looked for by itself.
        stored, indices = self._dataset._data.table.select(list(columns)), self._dataset._indices
        blocks = _blocks(len(self._dataset))
        numbers = places = np.concatenate([np.arange(start, stop) for start, stop in blocks])
        if indices is not None:
            found = [indices.column(0).slice(start, stop - start).to_numpy() for start, stop in blocks]
            places = np.concatenate(found).astype(np.int64)
            order = np.argsort(places)
            numbers, places = numbers[order], places[order]
        of_sample = np.asarray(self.sampled) if self.is_stream or self.has_transform else None
        for first in range(0, len(numbers), _BATCH):
            rows = numbers[first : first + _BATCH]
            yield rows if of_sample is None else of_sample[rows], _rows_at(stored, places[first : first + _BATCH])

    def read(self) -> str:
        """What was read, for people."""
        if self.is_stream:
            return f"the first {len(self.sampled):,} rows of a stream"
        if self.has_transform:
            return f"{len(self.sampled):,} of {self.rows:,} rows, through the dataset's transform"
        if self.is_complete:
            return f"all {self.rows:,} rows"
        scanned = f"all {self.rows:,}" if self.scanned == self.rows else f"{self.scanned:,} of {self.rows:,}"
        return f"a sample of {len(self.sampled):,} rows; {scanned} rows scanned for what can be counted"


def present(values: Iterable[Any]) -> list[Any]:
    """The values that are there: no None, no NaN, no text without a character to read."""
    known = [value for value in values if value is not None and not (isinstance(value, float) and math.isnan(value))]
    return [value for value in known if value.__class__ is not str or value.strip()]


def tables(data: object) -> list[Table]:
    """View data, whatever holds it.

    Args:
        data: A Dataset or IterableDataset, a DatasetDict or dict of these, a dict of columns, a list of rows (dicts),
            or a pandas DataFrame.

    Returns:
        One table, or one for each dataset of a dict.

    Raises:
        TypeError: If the data are of another kind.
        DataError: If there are no rows or no columns, or a column mixes kinds of values.

    Example:
        >>> tables({"anchor": ["a", "b"], "positive": ["c", "d"]})[0].columns
        ('anchor', 'positive')
    """
    from datasets import Dataset, IterableDataset

    if isinstance(data, Mapping):
        if not data:
            raise DataError("data is an empty dict. Give columns of values, or datasets by name.")
        parts = [isinstance(value, (Dataset, IterableDataset)) for value in data.values()]
        if all(parts):
            return [_table(value, str(name)) for name, value in data.items()]
        if any(parts):
            raise TypeError("data is a dict of datasets and of other values. Give datasets only, or columns only.")
    return [_table(data, None)]


def without_trainer_transform(dataset: Any) -> Any:
    """The dataset without what a trainer adds to each row: with the user's own transform, or with none.

    Args:
        dataset: A Dataset.

    Returns:
        The dataset; itself where no trainer has put a transform on it.
    """
    added = own = dataset.format["format_kwargs"].get("transform")
    while isinstance(own, partial) and own.func.__name__.endswith("dataset_name_transform"):
        own = own.keywords.get("transform")
    if own is added:
        return dataset
    return dataset.with_format(None) if own is None else dataset.with_transform(own)


@callable_as_step
def to_dataset(data: Any) -> Any:
    """Make a `datasets.Dataset` of whatever holds rows, so that they can be converted.

    Args:
        data: A stream (all of it is read: shorten it with `take`), a Dataset with a transform (which is done for good),
            a dict of columns, a list of rows (dicts), or a pandas DataFrame.

    Returns:
        The dataset; a Dataset without a transform as it is.

    Raises:
        TypeError: If the data are of another kind.
        DataError: If there are no rows, or a column mixes kinds of values.

    Example:
        >>> to_dataset([{"a": "x", "b": "y"}, {"a": "z", "b": "w"}]).column_names
        ['a', 'b']
    """
    from datasets import Dataset, IterableDataset

    found = _as_dataset(data)
    is_stream = isinstance(found, IterableDataset)
    if not is_stream and found.format["type"] != "custom":
        return found
    return _made("The dataset", Dataset.from_list, list(found), features=found.features if is_stream else None)


def _as_dataset(data: Any) -> Any:
    """A Dataset or a stream of whatever holds data."""
    import pandas as pd
    from datasets import Dataset, IterableDataset

    if isinstance(data, IterableDataset):
        return data
    if isinstance(data, Dataset):
        return without_trainer_transform(data)
    for name, values in data.items() if isinstance(data, Mapping) else ():
        if isinstance(values, (str, Mapping, Set, pd.DataFrame)):  # whose items are no rows, or in no order
            write = "Dataset.from_pandas(frame) of each frame" if isinstance(values, pd.DataFrame) else "list"
            got = f"a {type(values).__name__} in {name!r}"
            raise TypeError(f"data must hold a list in each column, got {got}. Write a {write}.")
    if isinstance(data, pd.DataFrame):
        return _made("The data", Dataset.from_pandas, data, preserve_index=False)
    if isinstance(data, Mapping):
        return _made("The data", Dataset.from_dict, dict(data))
    if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
        every = dict.fromkeys(itertools.chain.from_iterable(data))  # those of the first row would be taken alone
        return _made("The data", Dataset.from_list, [dict.fromkeys(every) | dict(row) for row in data])
    what = f"a list of {type(data[0]).__name__}" if isinstance(data, list) and data else type(data).__name__
    raise TypeError(
        f"data must be a Dataset, IterableDataset, DatasetDict, dict of columns, list of dicts or pandas DataFrame; "
        f"got {what}. Read a file with selective_st.data.read_table(path)."
    )


def _table(data: Any, name: str | None) -> Table:
    from datasets import Dataset, IterableDataset

    label = "The dataset" if name is None else f"The dataset {name!r}"
    dataset = _as_dataset(data)
    is_stream = isinstance(dataset, IterableDataset)
    # A transform decides which columns the trainer sees; other formats (torch, numpy) only wrap the same values.
    has_transform = not is_stream and dataset.format["type"] == "custom"
    has_features = dataset.column_names is not None
    rows = None if is_stream else len(dataset)
    sampled = _sample(SAMPLE_ROWS if rows is None else rows, TRANSFORM_ROWS if has_transform else SAMPLE_ROWS)
    if is_stream or has_transform:
        found = list(itertools.islice(dataset, SAMPLE_ROWS)) if is_stream else [dataset[row] for row in sampled]
        # Streams that know their features keep them: the names of classes, above all.
        is_known = is_stream and found and list(dataset.features or ()) == list(found[0])
        dataset = _made(label, Dataset.from_list, found, features=dataset.features if is_known else None)
        sampled = sampled[: len(found)]
    dataset = dataset.with_format(None)
    columns = dataset.column_names
    if not len(dataset) or not columns:
        raise DataError(f"{label} has no {'rows' if columns else 'columns'}. There is nothing to look at.")
    plain = dataset if len(dataset) == len(sampled) else dataset.select(sampled)
    for column, kind in dataset.features.items():
        if getattr(kind, "decode", False) is True:
            plain = plain.cast_column(column, type(kind)(decode=False))  # media would be decoded for nothing
    is_given = isinstance(data, (Dataset, IterableDataset))
    return Table(
        name, tuple(columns), rows, tuple(sampled), plain[:], is_stream, has_transform, has_features, is_given, dataset
    )


def _made(label: str, make: Callable[..., Dataset], *rows: Any, **options: Any) -> Dataset:
    import pyarrow as pa

    try:
        return make(*rows, **options)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{label} could not be made a datasets.Dataset: {error}. Give every column one kind of value, and as many "
            "values as the others."
        ) from error


def _rows_at(stored: pa.Table, places: NDArray[np.int64]) -> pa.Table:
    """The rows at places in rising order; a table's own `take` may put all its chunks together, beyond what fits."""
    import pyarrow as pa

    part = stored.slice(places[0], places[-1] + 1 - places[0])
    if (np.diff(places) == 1).all():
        return part
    pieces, start = [], places[0]
    for piece in part.to_batches():
        first, last = np.searchsorted(places, (start, start + len(piece)))
        pieces += [piece.take(pa.array(places[first:last] - start))] if first < last else []
        start += len(piece)
    return pa.Table.from_batches(pieces)


def _sample(rows: int, size: int) -> list[int]:
    if rows <= size:
        return list(range(rows))
    ends = min(_ENDS, size // 10)
    middle = random.Random(_SEED).sample(range(ends, rows - ends), size - 2 * ends)
    return [*range(ends), *sorted(middle), *range(rows - ends, rows)]


def _blocks(rows: int) -> list[tuple[int, int]]:
    """Where the scan goes: everything, or blocks of rows at random."""
    if rows <= SCAN_ROWS:
        return [(0, rows)]
    chosen = random.Random(_SEED).sample(range(rows // _BATCH), SCAN_ROWS // _BATCH)
    return [(block * _BATCH, (block + 1) * _BATCH) for block in sorted(chosen)]
