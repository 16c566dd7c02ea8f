"""The user's files and hub datasets as tables: one reader for all commands.

Nothing is guessed in silence: what was decided about delimiters, quotes, a header row and numbers is in the notes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset

from selective_st._delimited import DelimitedFile
from selective_st._json_lines import JsonFile
from selective_st._row_files import AT_ONCE, Added, RowFile
from selective_st._row_files import FileTable as FileTable
from selective_st._text_files import ENDINGS, checked_ending, dataset_of, ending, is_compressed
from selective_st.errors import DataError, first_line

_ROW_GROUP = 65_536  # rows of a Parquet file that are written together


def read_file(source: str, *, header: bool | None = None, split: str = "train") -> FileTable:
    """Read a file or a hub dataset as it is, with all its columns, and say what was decided.

    Args:
        source: A .csv, .tsv, .jsonl (or .json) or .parquet file, the text files also compressed (.gz); or the name of
            a dataset on the Hugging Face hub.
        header: Whether a CSV or TSV file has a header row; without one, columns are named "1", "2" and so on. Default:
            decided by comparing the first row with the others.
        split: Which split of a hub dataset.

    Returns:
        The table, and what was decided.

    Raises:
        DataError: If the source is missing, empty or unreadable. The message names the line or row.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pairs.csv"
        >>> rows = ["question,answer,id", "What is it?,A pear,7", "Who is it?,A bear,"]
        >>> _ = path.write_text(chr(10).join(rows), encoding="utf-8")
        >>> table = read_file(str(path))
        >>> table.dataset["id"][:], list(table.lines)
        ([7, None], [2, 3])
        >>> table.notes[0]
        "pairs.csv: the first row is a header ('id' is above numbers): question, answer, id; ..."
    """
    if not isinstance(source, str) or not source.strip():
        raise DataError(f"The data must be the path of a file or the name of a dataset, got {source!r}.")
    path = _local(source)
    if path is not None and split != "train":
        raise DataError(f"{source} is a file, which has no split {split!r}. Leave --split out.")
    if path is None:
        found = FileTable(_from_hub(source, lambda: datasets.load_dataset(source, split=split)), Path(source).name)
    else:
        try:
            found = open_rows(path, header).table()
            for name in found.names:
                _check_column(found, name)
        except DataError:
            raise
        except (OSError, EOFError, zlib.error, ValueError, RecursionError, pa.ArrowException) as error:
            reason = (getattr(error, "strerror", None) or first_line(error)).rstrip(".")
            mend = "Check the file and your rights; get it anew if it is cut off."
            raise DataError(f"{source} could not be read: {reason}. {mend}") from error
        if is_compressed(path):
            found.notes.insert(0, f"{path.name}: compressed by gzip")
    if not len(found.dataset):
        hint = "" if header is not None or not found.notes else f" below its header. {found.notes[-1]}."
        raise DataError(f"{found.name} has no rows of data{hint or '.'}")
    return found


def read_table(source: str, *, header: bool | None = None, split: str = "train") -> Dataset:
    """Read a file or a hub dataset as it is, with all its columns.

    Args:
        source: As for `read_file`.
        header: As for `read_file`.
        split: As for `read_file`.

    Returns:
        The table. Columns of a CSV or TSV file whose cells are all numbers hold numbers, with None for empty cells.

    Raises:
        DataError: If the source is missing, empty or unreadable.
    """
    return read_file(source, header=header, split=split).dataset


def hub_splits(source: str) -> list[str]:
    """The splits of a hub dataset; none for a local file."""
    if _local(source) is not None:
        return []
    return list(_from_hub(source, lambda: datasets.get_dataset_split_names(source)))


# --- Where it is ------------------------------------------------------------------------------------------------------


def _local(source: str) -> Path | None:
    """The file that is meant; None if it is the name of a hub dataset."""
    if os.path.lexists(source):
        return Path(source)  # also where its name begins with a tilde
    is_file = source.startswith((".", "/", "~")) or ending(source) in ENDINGS
    return Path(os.path.expanduser(source)) if is_file else None


def _from_hub(source: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # the hub client raises many kinds; all mean that the data cannot be had
        raise DataError(
            f"{source} is no file here, and could not be loaded from the Hugging Face hub ({type(error).__name__}: "
            f"{first_line(error)}). Check the path, or the dataset's name and your connection."
        ) from error


# --- What it holds ----------------------------------------------------------------------------------------------------


def open_rows(path: Path, header: bool | None = None) -> RowFile:
    """Open a file of rows.

    Args:
        path: A .csv, .tsv, .jsonl (or .json) or .parquet file, the text files also compressed (.gz).
        header: Whether a CSV or TSV file has a header row. Default: told from its first rows.

    Returns:
        The file.

    Raises:
        DataError: If it is missing, empty, of another kind or broken.
    """
    kind = checked_ending(path)
    if kind == ".parquet":
        return _Parquet(path)
    return DelimitedFile(path, header) if kind in (".csv", ".tsv") else JsonFile(path)


class _Parquet(RowFile):
    """A Parquet file."""

    unit = "row"

    @cached_property
    def names(self) -> list[str]:
        return list(next(self._parts()).names)

    def _parts(self, rows: int = AT_ONCE, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Its schema, then its rows, some at a time."""
        try:
            with pq.ParquetFile(self.path) as file:
                yield file.schema_arrow
                for batch in file.iter_batches(rows, columns=columns):
                    yield batch if columns is None else batch.select(columns)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.name} could not be read as Parquet: {error}. Write the file anew.") from error

    def table(self) -> FileTable:
        with pq.ParquetFile(self.path) as file:
            table = file.read()
        odd = [name for name, number in Counter(table.column_names).items() if number > 1 or "\0" in name]
        if odd:
            raise DataError(f"{self.name}: the column name {odd[0]!r} comes twice, or holds a NUL character. Mend it.")
        dataset = dataset_of(self.path, table)
        for name, kind in zip(table.column_names, map(_plain_type, table.schema.types), strict=True):
            with contextlib.suppress(pa.ArrowInvalid):  # bytes that are no text stay bytes
                dataset = dataset.cast_column(name, datasets.Value(kind)) if kind else dataset
        return FileTable(dataset, self.name)

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        batches = itertools.islice(self._parts(columns=columns), 1, None)
        rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in batches)
        return enumerate(itertools.chain.from_iterable(rows), start=1)

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        batches = self._parts(_ROW_GROUP)
        schema = next(batches)
        told = json.loads((schema.metadata or {}).get(b"huggingface", "{}"))
        for name, kind in zip(names, (pa.float64(), pa.bool_()), strict=False):
            schema = schema.append(pa.field(name, kind))
            if "features" in told.get("info", ()):  # datasets may refuse a file with a column that is not among them
                told["info"]["features"][name] = {"dtype": str(kind).replace("double", "float64"), "_type": "Value"}
        if told:
            schema = schema.with_metadata({**schema.metadata, b"huggingface": json.dumps(told)})
        with pq.ParquetWriter(target, schema) as writer:
            for batch in batches:
                writer.write_table(pa.table([*batch.columns, *added(batch.num_rows)], schema=schema))


def _plain_type(kind: pa.DataType) -> str | None:
    """The type of texts or numbers that are stored in another one, which loses nothing; None for all others."""
    if pa.types.is_decimal(kind):
        whole = kind.scale <= 0
        return ("int64" if whole else "float64") if kind.precision <= (18 if whole else 15) else "string"
    if pa.types.is_float16(kind):  # of which some versions of pyarrow know little
        return "float32"
    of_texts = (pa.types.is_string_view, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return "string" if any(is_so(kind) for is_so in of_texts) else None


def _check_column(table: FileTable, name: str) -> None:
    """Raise if texts are no UTF-8, which is noticed only when they are read, or a number is infinite."""
    column, start = table.dataset.data.table[name], 0
    label = f"{table.name}: column {name!r} holds"
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError(f"{label} broken values ({first_line(error)}). Write the file anew.") from error
    for chunk in column.chunks:
        place = _infinite(chunk)
        if place is not None:
            where = table.rows_in_words([start + place])
            raise DataError(f"{label} an infinite number, or one too large, in {where}. Mend it, or leave it out.")
        start += len(chunk)


def _infinite(values: pa.Array) -> int | None:
    """The first value that is an infinite number, or holds one."""
    if pa.types.is_floating(values.type):
        place = pc.index(pc.is_inf(values), True).as_py()
        return place if place >= 0 else None
    if pa.types.is_struct(values.type):
        return min((place for place in map(_infinite, values.flatten()) if place is not None), default=None)
    if any(of(values.type) for of in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)):
        place = _infinite(pc.list_flatten(values))
        return None if place is None else pc.list_parent_indices(values)[place].as_py()
    return None
