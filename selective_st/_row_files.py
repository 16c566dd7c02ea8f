"""Files that are read a row at a time and written anew with further columns: in constant memory, however long."""

from __future__ import annotations

import csv
import itertools
import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selective_st._delimited import column_names, delimiter_of, rows_of, sample_rows
from selective_st._text_files import checked_ending, open_lines
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

    Args:
        path: Where it is.
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
        if asked is None:
            sample = [values for _, values in itertools.islice(self.rows(), _LOOKED_AT)]
            if not sample:
                raise DataError(f"{self.path.name} has no rows of data.")
            places = [place for place, values in enumerate(zip(*sample, strict=True)) if _are_texts(values)]
        else:
            numbers = {str(place): place - 1 for place in range(1, len(self.names) + 1)}
            known = numbers | {name: place for place, name in enumerate(self.names)}
            places = [known[name] for name in asked if name in known]
        if len(places) == 2 == len({*places}) and len(asked or places) == 2:
            return places
        others = dict.fromkeys([*(self.names[place] for place in places), *self.names, "OTHER"])
        example = shlex.quote(",".join([*others][:2]))
        why = f"--columns {','.join(asked)} are not two of them" if asked else f"{len(places)} of them hold texts"
        raise DataError(
            f"{self.path.name} has the columns {', '.join(self.names[:20])}; {why}. A score needs two texts a row: "
            f"say which, such as --columns {example}"
        )

    def pairs(self, columns: Sequence[int]) -> Iterator[tuple[str, str]]:
        """The two texts of each row, empty ones where they are missing."""
        for where, values in self.rows(columns):
            first, second = ("" if value is None else value for value in values)
            if not (isinstance(first, str) and isinstance(second, str)):
                raise DataError(
                    f"{self.path.name}: {first!r:.60} and {second!r:.60} in {where} are not two texts. Choose two "
                    "columns of texts: --columns NAME,NAME"
                )
            yield first, second


def _are_texts(values: Sequence[Any]) -> bool:
    """Whether a column holds texts, and not numbers in writing."""
    texts = [value for value in values if value is not None and value != ""]
    if not texts or not all(isinstance(text, str) for text in texts):
        return False
    try:
        return not [float(text) for text in texts]
    except ValueError:
        return True


class _TextRows(RowFile):
    """A text file, each row of which stays as it is written."""

    head = 0  # how many of its rows name the columns
    missing = ""

    @abstractmethod
    def joined(self, row: str, names: Sequence[str], added: Sequence[str]) -> str:
        """A row, without the end of its line, with further values."""

    @abstractmethod
    def all_rows(self) -> Iterator[tuple[str, str, list[Any]]]:
        """Where each row stands, the head with them, how it is written, and its values."""

    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[str, list[Any]]]:
        for where, _, values in itertools.islice(self.all_rows(), self.head, None):
            yield where, values if columns is None else [values[column] for column in columns]

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        def written(value: Any) -> str:  # scores are computed in single precision, of which no digit is lost
            number = value if isinstance(value, bool) else np.float32(value or 0)
            return self.missing if value is None else str(number).lower()

        every = itertools.chain([names] * self.head, (list(map(written, values)) for values in added))
        with target.open("w", encoding="utf-8", newline="") as file:
            for (_, raw, _), values in zip(self.all_rows(), every, strict=True):
                row = raw.rstrip("\r\n")
                file.write(self.joined(row, names, values) + (raw[len(row) :] or "\n"))


class _Delimited(_TextRows):
    """A CSV or TSV file; read by the rules of `read_file`, as far as its beginning tells them."""

    def __init__(self, path: Path, header: bool | None) -> None:
        super().__init__(path)
        self._delimiter, self._skipped = delimiter_of(path)
        with open_lines(path) as lines:
            sample = list(itertools.islice(lines, _LOOKED_AT))[self._skipped :]
        plain, quoted = (sample_rows(sample, self._delimiter, how) for how in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL))
        in_quotes = any(cell.startswith('"') for row in plain for cell in row) and [] not in quoted
        self._quoting: Any = csv.QUOTE_MINIMAL if in_quotes or self._delimiter == "," else csv.QUOTE_NONE
        rows = [row for row in (plain if self._quoting == csv.QUOTE_NONE else quoted) if row]
        columns = list(zip(*(row for row in rows if len(row) == len(rows[0])), strict=True))
        if not columns:
            raise DataError(f"{path.name} has no rows that can be read as CSV in its first {len(sample)} lines.")
        self.names, self.head, note = column_names(path.name, columns, header)
        self.notes.append(note)

    def all_rows(self) -> Iterator[tuple[str, str, list[Any]]]:
        taken, after = list[str](), self._skipped + 1
        try:
            with open_lines(self.path) as lines:
                left = itertools.islice(lines, self._skipped, None)
                noted = (taken.append(line) or line for line in left)  # type: ignore[func-returns-value]
                for line, after, cells in rows_of(noted, self._delimiter, self._quoting, self._skipped):
                    raw = "".join(taken)
                    taken.clear()
                    if cells and len(cells) != len(self.names):
                        after = line
                        raise csv.Error(f"{len(cells)} cells, not {len(self.names)}")
                    if cells:
                        yield f"line {line}", raw, cells
        except csv.Error as error:
            how = f"a cell that holds {self._delimiter!r} stands in quotes, each quote in it twice"
            raise DataError(
                f"{self.path.name} could not be read as CSV: {error}, in the row that begins in line {after}. Check "
                f'it: {how}, as in "like ""this"""'
            ) from error

    def joined(self, row: str, names: Sequence[str], added: Sequence[str]) -> str:
        return self._delimiter.join((row, *added))


class _JsonLines(_TextRows):
    """A file with a JSON object a line."""

    missing = "null"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = []
        self.names = next((list(json.loads(raw)) for _, raw, _ in self.all_rows()), [])

    def all_rows(self) -> Iterator[tuple[str, str, list[Any]]]:
        with open_lines(self.path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    values = [row.get(name) for name in self.names]
                except (ValueError, RecursionError, AttributeError) as error:
                    mend = f"Write an object a line: jq -c '.[]' {shlex.quote(self.path.name)} > rows.jsonl"
                    raise DataError(f"{self.path.name}: line {number} is no JSON object ({error}). {mend}") from error
                yield f"line {number}", line, values

    def joined(self, row: str, names: Sequence[str], added: Sequence[str]) -> str:
        start = row.rstrip()[:-1].rstrip()
        more = (f"{json.dumps(name)}: {value}" for name, value in zip(names, added, strict=True))
        return f"{start}{', ' if start != '{' else ''}{', '.join(more)}}}"


class _Parquet(RowFile):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = next(self._parts()).names

    def _parts(self, columns: Sequence[int] | None = None) -> Iterator[Any]:
        """Its schema, then its rows, some at a time."""
        names = None if columns is None else [self.names[column] for column in columns]
        try:
            with pq.ParquetFile(self.path) as file:
                yield file.schema_arrow
                for batch in file.iter_batches(_BATCH, columns=names):
                    yield batch if names is None else batch.select(names)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.path.name} could not be read as Parquet: {error}. Write the file anew.") from error

    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[str, list[Any]]]:
        number = itertools.count(1)
        for batch in itertools.islice(self._parts(columns), 1, None):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield f"row {next(number)}", list(values)

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        batches = self._parts()
        schema = next(batches)
        for name, kind in zip(names, (pa.float64(), pa.bool_()), strict=False):
            schema = schema.append(pa.field(name, kind))
        with pq.ParquetWriter(target, schema) as writer:
            for batch in batches:
                more = zip(*itertools.islice(added, batch.num_rows), strict=True)
                writer.write_table(pa.table([*batch.columns, *(pa.array(list(of)) for of in more)], schema=schema))


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
    if not path.is_file():
        raise DataError(f"{path} is no file. Check the path (looked in {Path.cwd()}).")
    kind = checked_ending(path)
    if kind == ".parquet":
        return _Parquet(path)
    return _Delimited(path, header) if kind in (".csv", ".tsv") else _JsonLines(path)
