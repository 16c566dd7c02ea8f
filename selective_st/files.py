"""The user's files and hub datasets as tables: one reader for all commands.

Nothing is guessed in silence: what was decided about delimiters, quotes, a header row and numbers is in the notes.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset
from datasets.fingerprint import Hasher

from selective_st._delimited import read_delimited
from selective_st._json_lines import read_json
from selective_st._text_files import ENDINGS, TextTable, checked_ending, ending, is_compressed
from selective_st.errors import DataError, first_line, shown_rows


@dataclass(frozen=True)
class FileTable:
    """What was read of a file or a hub dataset.

    Attributes:
        dataset: Its rows. Columns of a CSV or TSV file hold numbers, with None for empty cells, where all cells that
            are filled are numbers and none of them loses a digit; else texts.
        name: What it is called, for people.
        named: Whether the names of the columns come from the data; else they are numbered from 1.
        notes: What was decided while reading.
        lines: On which line of the file each row begins; None where rows have no lines.
    """

    dataset: Dataset
    name: str
    named: bool = True
    notes: list[str] = field(default_factory=list)
    lines: Sequence[int] | None = None
    _written: Mapping[str, pa.ChunkedArray] = field(default_factory=dict, repr=False)

    def texts(self, column: str) -> list[Any]:
        """The values of a column; where it was made one of numbers, the cells as they are written in the file.

        Args:
            column: Its name.

        Returns:
            The value of each row.
        """
        return self._written[column].to_pylist() if column in self._written else list(self.dataset[column])

    def rows_in_words(self, rows: Sequence[int]) -> str:
        """Rows as people find them: by the lines of the file where it has some, else counted from 1.

        Args:
            rows: Their numbers, counted from 0.

        Returns:
            Their numbers, for a message.
        """
        if self.lines is None:
            return shown_rows([row + 1 for row in rows])
        return shown_rows([self.lines[row] for row in rows], "line")


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
            found = _read(path, header)
        except DataError:
            raise
        except (OSError, EOFError, zlib.error, ValueError, RecursionError, pa.ArrowException) as error:
            reason = (getattr(error, "strerror", None) or first_line(error)).rstrip(".")
            raise DataError(
                f"{source} could not be read: {reason}. Check the file and your rights; get it anew if it is cut off."
            ) from error
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
            f"{source} is not a file here, and could not be loaded from the Hugging Face hub either "
            f"({type(error).__name__}: {first_line(error)}). Check the path, or the dataset's name and your connection."
        ) from error


# --- What it holds ----------------------------------------------------------------------------------------------------


def _read(path: Path, header: bool | None) -> FileTable:
    kind = checked_ending(path)
    if kind == ".parquet":
        with pq.ParquetFile(path) as file:
            read = TextTable(file.read(), True, [], None, {})
    else:
        read = read_delimited(path, header) if kind in (".csv", ".tsv") else read_json(path)
        if is_compressed(path):
            read.notes.insert(0, f"{path.name}: compressed by gzip")
    names = Counter(read.table.column_names)
    odd = [name for name, number in names.items() if number > 1 or "\0" in name]
    if odd:
        raise DataError(f"{path.name}: the column name {odd[0]!r} comes twice, or holds a NUL character. Mend it.")
    # By default datasets takes a fingerprint of all values, which for wide tables takes most of the time.
    state = path.stat()
    fingerprint = Hasher.hash((str(path.resolve()), state.st_size, state.st_mtime_ns, header))
    dataset = Dataset(read.table, fingerprint=fingerprint)
    for name, type_ in zip(names, read.table.schema.types, strict=True):
        plain = _plain_type(type_)
        if plain is not None:
            with contextlib.suppress(pa.ArrowInvalid):  # bytes that are no text stay bytes
                dataset = dataset.cast_column(name, datasets.Value(plain))
    found = FileTable(dataset, path.name, *read[1:])
    for name in names:
        _check_column(found, name)
    return found


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
            raise DataError(
                f"{label} an infinite number, or one too large, in {where}. Mend it, or leave that row out."
            )
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
