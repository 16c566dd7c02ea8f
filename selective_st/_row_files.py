"""Files that are read a row at a time and written anew with further columns: in constant memory, however long."""

from __future__ import annotations

import csv
import itertools
import json
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selective_st._delimited import _Cells, _delimiter, _names, _sample_rows
from selective_st._text_files import ending, not_text, open_lines
from selective_st.errors import DataError

_LOOKED_AT = 1_000  # rows, for a header and for which columns hold texts
_BATCH = 65_536  # rows of a Parquet file at once
Added = Iterator[tuple[Any, ...]]  # for each row the values of the further columns, None for none


class RowFile(ABC):
    """A file of rows.

    Attributes:
        path: Where it is.
        names: The names of its columns; numbers from 1 where it has none.
        notes: What was decided while reading.
    """

    names: list[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    @abstractmethod
    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[str, list[Any]]]:
        """For each row where it stands and its values, of all columns or some; None for a missing one."""

    @abstractmethod
    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        """Write the file anew with further columns of these names."""

    def text_columns(self, asked: Sequence[str] | None) -> list[int]:
        """The places of the two columns of texts: those asked for, else the only two there are."""
        listed = f"{self.path.name} has the columns {', '.join(self.names[:20])}"
        if asked is not None:
            places = [self._place(name, listed) for name in asked]
            if len(set(places)) != 2:
                raise DataError(
                    f"--columns takes two columns, the two texts of a pair, got {', '.join(asked)}; {listed}."
                )
            return places
        sample = [values for _, values in itertools.islice(self.rows(), _LOOKED_AT)]
        if not sample:
            raise DataError(f"{self.path.name} has no rows of data{' below its header' if self.names else ''}.")
        places = [place for place, values in enumerate(zip(*sample, strict=True)) if _are_texts(values)]
        if len(places) == 2:
            return places
        if len(places) < 2:
            found = f"only {self.names[places[0]]!r} holds texts" if places else "none of them holds texts"
            raise DataError(f"{listed}: {found}, but a score needs two texts a row. Add the other text as a column.")
        example = ",".join(self.names[place] for place in places[:2])
        raise DataError(
            f"{listed}, and {len(places)} of them hold texts. Say which two to compare: --columns "
            f"{shlex.quote(example)}"
        )

    def _place(self, name: str, listed: str) -> int:
        if name in self.names:
            return self.names.index(name)
        if name.isdecimal() and 1 <= int(name) <= len(self.names):
            return int(name) - 1
        raise DataError(f"--columns {name}: no such column; {listed}.")

    def pairs(self, columns: Sequence[int]) -> Iterator[tuple[str, str]]:
        """The two texts of each row, empty ones where they are missing."""
        for where, values in self.rows(columns):
            for column, value in zip(columns, values, strict=True):
                if value is not None and not isinstance(value, str):
                    raise DataError(
                        f"{self.path.name}: column {self.names[column]!r} holds {value!r:.60} in {where}, which is no "
                        "text. Choose two columns of texts: --columns NAME,NAME"
                    )
            yield values[0] or "", values[1] or ""


def _are_texts(values: Sequence[Any]) -> bool:
    """Whether a column holds texts, and not numbers in writing."""
    texts = [value for value in values if value is not None and value != ""]
    return bool(texts) and all(isinstance(text, str) for text in texts) and not all(map(_is_number, texts))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _TextRows(RowFile):
    """A text file, each row of which stays as it is written."""

    missing = ""

    @abstractmethod
    def raw_rows(self) -> Iterator[tuple[int, str, list[Any]]]:
        """For each row its line, its text as it stands in the file, and its values."""

    @abstractmethod
    def joined(self, row: str, names: Sequence[str], added: Sequence[str]) -> str:
        """A row, without the end of its line, with further values."""

    def head(self, names: Sequence[str]) -> str:
        """What stands above the rows."""
        return ""

    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[str, list[Any]]]:
        try:
            for line, _, values in self.raw_rows():
                yield f"line {line}", values if columns is None else [values[place] for place in columns]
        except UnicodeDecodeError as error:
            raise not_text(self.path) from error

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        with target.open("w", encoding="utf-8", newline="") as file:
            file.write(self.head(names))
            for (_, raw, _), values in zip(self.raw_rows(), added, strict=True):
                row = raw.rstrip("\r\n")
                written = [self.missing if value is None else _written(value) for value in values]
                file.write(self.joined(row, names, written) + (raw[len(row) :] or "\n"))


def _written(value: float | bool) -> str:
    """A value in CSV and JSON alike; scores are computed in single precision, of which no digit is lost."""
    return str(value).lower() if isinstance(value, bool) else str(np.float32(value))


class _Delimited(_TextRows):
    """A CSV or TSV file; read by the rules of `read_file`, as far as its beginning tells them."""

    def __init__(self, path: Path, header: bool | None) -> None:
        super().__init__(path)
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        usual = "\t" if ending(path.name) == ".tsv" else ","
        self._delimiter, self._skipped = _delimiter(path.name, usual, lambda: open_lines(path))
        with open_lines(path) as lines:
            sample = list(itertools.islice(lines, _LOOKED_AT))[self._skipped :]
        plain, quoted = (_sample_rows(sample, self._delimiter, how) for how in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL))
        quotes = any(cell.startswith('"') for row in plain for cell in row) and [] not in quoted
        self._quoting: Any = csv.QUOTE_MINIMAL if quotes or self._delimiter == "," else csv.QUOTE_NONE
        rows = [row for row in (quoted if self._quoting == csv.QUOTE_MINIMAL else plain) if row]
        self._width = len(rows[0]) if rows else 0
        alike = zip(*(row for row in rows if len(row) == self._width), strict=True)
        cells = _Cells([pa.chunked_array([list(column)], pa.string()) for column in alike])
        if not cells.columns:
            raise DataError(f"{path.name} has no rows that can be read as CSV in its first {len(sample)} lines.")
        self.names, self._named, note = _names(path.name, cells, header)
        self.notes.append(note)

    def raw_rows(self) -> Iterator[tuple[int, str, list[Any]]]:
        rows = self._all_rows()
        yield from itertools.islice(rows, int(self._named), None)

    def _all_rows(self) -> Iterator[tuple[int, str, list[Any]]]:
        name, after, taken = self.path.name, self._skipped + 1, list[str]()
        with open_lines(self.path) as lines:
            rest = itertools.islice(lines, self._skipped, None)
            noted = (taken.append(line) or line for line in rest)  # type: ignore[func-returns-value]
            reader = csv.reader(noted, delimiter=self._delimiter, quoting=self._quoting, strict=True)
            try:
                for cells in reader:
                    line, after, raw = after, self._skipped + reader.line_num + 1, "".join(taken)
                    taken.clear()
                    if cells and len(cells) != self._width:
                        raise DataError(
                            f"{name} has {self._width} columns, but {len(cells)} cells in line {line}. Mend the line; "
                            f'a cell that holds the delimiter must stand in quotes: "like{self._delimiter} this".'
                        )
                    if cells:
                        yield line, raw, cells
            except csv.Error as error:
                raise DataError(
                    f"{name} could not be read as CSV: {error}, in the row that begins in line {after}. Check the "
                    'quotes in it: within a cell in quotes each is written twice, as in "like ""this"""'
                ) from error

    def head(self, names: Sequence[str]) -> str:
        if not self._named:
            return ""
        _, raw, _ = next(self._all_rows())
        row = raw.rstrip("\r\n")
        return self.joined(row, (), names) + raw[len(row) :]

    def joined(self, row: str, names: Sequence[str], added: Sequence[str]) -> str:
        return self._delimiter.join((row, *added))


class _JsonLines(_TextRows):
    """A file with a JSON object, or an array, a line."""

    missing = "null"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._mend = f"Write a row a line: jq -c '.[]' {shlex.quote(path.name)} > rows.jsonl"
        self.names = []
        with open_lines(path) as lines:
            line = next(filter(str.strip, lines), "null")
        first = self._value(1, line)
        self._are_objects = isinstance(first, dict)
        self.names = list(first) if self._are_objects else [str(place + 1) for place in range(len(first))]

    def _value(self, line: int, text: str) -> Any:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path.name}: line {line} is no JSON value ({error}). {self._mend}") from error
        is_array = isinstance(value, list) and bool(value) and not isinstance(value[0], (dict, list))
        if not is_array and not isinstance(value, dict):
            raise DataError(f"{self.path.name}: line {line} is no object, and no array of values. {self._mend}")
        return value

    def raw_rows(self) -> Iterator[tuple[int, str, list[Any]]]:
        with open_lines(self.path) as lines:
            for line, text in enumerate(lines, start=1):
                if not text.strip():
                    continue
                value = self._value(line, text)
                is_object = isinstance(value, dict)
                if is_object is not self._are_objects or (not is_object and len(value) != len(self.names)):
                    first = "an object" if self._are_objects else f"an array of {len(self.names)} values"
                    raise DataError(
                        f"{self.path.name}: line {line} is not {first} as the first row is. Mend that line."
                    )
                yield line, text, [value.get(name) for name in self.names] if is_object else value

    def joined(self, row: str, names: Sequence[str], added: Sequence[str]) -> str:
        row = row.rstrip()
        if self._are_objects:
            added = [f"{json.dumps(name)}: {value}" for name, value in zip(names, added, strict=True)]
        start = row[:-1].rstrip()
        return f"{start}{', ' if start[1:].strip() else ''}{', '.join(added)}{row[-1]}"


class _Parquet(RowFile):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowException as error:
            raise DataError(f"{path.name} could not be read as Parquet: {error}. Write the file anew.") from error
        self.names = self._file.schema_arrow.names

    def _batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        names = None if columns is None else [self.names[place] for place in columns]
        try:
            yield from self._file.iter_batches(_BATCH, columns=names)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.path.name} could not be read as Parquet: {error}. Write the file anew.") from error

    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[str, list[Any]]]:
        number = itertools.count(1)
        for batch in self._batches(columns):
            order = batch.schema.names if columns is None else [self.names[place] for place in columns]
            for values in zip(*(batch.column(name).to_pylist() for name in order), strict=True):
                yield f"row {next(number)}", list(values)

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        schema = self._file.schema_arrow
        for name, kind in zip(names, (pa.float64(), pa.bool_()), strict=False):
            schema = schema.append(pa.field(name, kind))
        with pq.ParquetWriter(target, schema) as writer:
            for batch in self._batches():
                values = zip(*itertools.islice(added, batch.num_rows), strict=True)
                more = [pa.array(list(of), schema.field(name).type) for name, of in zip(names, values, strict=True)]
                writer.write_table(pa.Table.from_arrays([*batch.columns, *more], schema=schema))


def open_rows(path: Path, header: bool | None = None) -> RowFile:
    """Open a file of rows.

    Args:
        path: A .csv, .tsv, .jsonl (or .json with a row a line) or .parquet file, the text files also compressed (.gz).
        header: Whether a CSV or TSV file has a header row. Default: told from its first rows.

    Returns:
        The file.

    Raises:
        DataError: If it is missing, empty, of another kind or broken.
    """
    kind = ending(path.name)
    if not path.is_file():
        what = (
            "is a folder; give a file" if path.is_dir() else f"does not exist. Check the path (looked in {Path.cwd()})"
        )
        raise DataError(f"{path} {what}.")
    if kind not in ENDINGS:
        raise DataError(f"{path} has the unknown ending {kind!r}; known are {', '.join(ENDINGS)}.")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty.")
    try:
        if kind == ".parquet":
            return _Parquet(path)
        return _Delimited(path, header) if kind in (".csv", ".tsv") else _JsonLines(path)
    except UnicodeDecodeError as error:
        raise not_text(path) from error


ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
