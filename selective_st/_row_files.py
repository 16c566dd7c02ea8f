"""Files that are read a row at a time and written anew with further columns: in constant memory, however long."""

from __future__ import annotations

import csv
import itertools
import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selective_st._delimited import column_names, delimiter_of, rows_of, sample_rows
from selective_st._text_files import checked_ending, open_lines
from selective_st.errors import DataError
from selective_st.output import is_model

_AT_ONCE = 1_000  # rows that are read, written, or looked at for a header and for which columns hold texts
_ROW_GROUP = 65_536  # rows of a Parquet file that are written together
Added = Callable[[int], Sequence[pa.Array]]  # the values of the further columns, of as many rows as it is told


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
    counted = "line"  # what the numbers of rows count

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    @abstractmethod
    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[int, Sequence[Any]]]:
        """For each row its number and its values, of all columns or several; None for a missing one."""

    @abstractmethod
    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        """Write the file anew with further columns of these names."""

    def text_columns(self, asked: Sequence[str] | None) -> list[int]:
        """The places of the two columns of texts: those asked for, else the only two there are."""
        if asked is None:
            sample = [values for _, values in itertools.islice(self.rows(), _AT_ONCE)]
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
        for number, (first, second) in self.rows(columns):
            if isinstance(first, str) and isinstance(second, str):
                yield first, second
            elif all(text is None or isinstance(text, str) for text in (first, second)):
                yield first or "", second or ""
            else:
                raise DataError(
                    f"{self.path.name}: {first!r:.60} and {second!r:.60} in {self.counted} {number} are not two texts. "
                    "Choose two columns of texts: --columns NAME,NAME"
                )


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
    def joined(self, row: str, added: Sequence[str]) -> str:
        """A row, without the end of its line, with further cells."""

    @abstractmethod
    def raws(self) -> Iterator[str]:
        """How each row is written, the head with them."""

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        def extended(raw: str, cells: Sequence[str]) -> str:
            row = raw.rstrip("\r\n")
            return self.joined(row, cells) + (raw[len(row) :] or "\n")

        raws = self.raws()
        with target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(extended(raw, names) for raw in itertools.islice(raws, self.head))
            while part := list(itertools.islice(raws, _AT_ONCE)):
                cells = zip(*map(self.cells, names, added(len(part))), strict=True)
                file.writelines(map(extended, part, cells))

    def cells(self, name: str, values: pa.Array) -> list[str]:
        """Scores or decisions as they are written."""
        if pa.types.is_boolean(values.type):
            return values.cast(pa.string()).fill_null(self.missing).to_pylist()  # type: ignore[no-any-return]
        # Scores are computed in single precision, of which no digit is lost.
        scores = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return np.where(np.isnan(scores), self.missing, scores.astype(str)).tolist()  # type: ignore[no-any-return]


class _Delimited(_TextRows):
    """A CSV or TSV file; read by the rules of `read_file`, as far as its beginning tells them."""

    def __init__(self, path: Path, header: bool | None) -> None:
        super().__init__(path)
        self._delimiter, self._skipped = delimiter_of(path)
        with open_lines(path) as lines:
            sample = list(itertools.islice(lines, _AT_ONCE))[self._skipped :]
        plain, quoted = (sample_rows(sample, self._delimiter, how) for how in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL))
        in_quotes = any(cell.startswith('"') for row in plain for cell in row) and [] not in quoted
        self._quoting: Any = csv.QUOTE_MINIMAL if in_quotes or self._delimiter == "," else csv.QUOTE_NONE
        rows = [row for row in (plain if self._quoting == csv.QUOTE_NONE else quoted) if row]
        columns = list(zip(*(row for row in rows if len(row) == len(rows[0])), strict=True))
        if not columns:
            raise DataError(f"{path.name} has no rows that can be read as CSV in its first {len(sample)} lines.")
        self.names, self.head, note = column_names(path.name, columns, header)
        self.notes.append(note)

    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[int, Sequence[Any]]]:
        chosen: Callable[[list[str]], Sequence[str]] = list if columns is None else itemgetter(*columns)
        return ((line, chosen(cells)) for line, cells in itertools.islice(self._rows(), self.head, None))

    def raws(self) -> Iterator[str]:
        taken = list[str]()
        for _ in self._rows(lambda lines: (taken.append(line) or line for line in lines)):  # type: ignore[func-returns-value]
            yield "".join(taken).lstrip("\r\n")  # without empty lines before it
            taken.clear()

    def _rows(
        self, noting: Callable[[Iterator[str]], Iterator[str]] = lambda lines: lines
    ) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, the head with them, and its cells; its lines are noted."""
        width, after = len(self.names), self._skipped + 1
        try:
            with open_lines(self.path) as lines:
                left = noting(itertools.islice(lines, self._skipped, None))
                for line, after, cells in rows_of(left, self._delimiter, self._quoting, self._skipped):
                    if len(cells) == width:
                        yield line, cells
                    elif cells:
                        after = line
                        raise csv.Error(f"{len(cells)} cells, not {width}")
        except csv.Error as error:
            how = f"a cell that holds {self._delimiter!r} stands in quotes, each quote in it twice"
            raise DataError(
                f"{self.path.name} could not be read as CSV: {error}, in the row that begins in line {after}. Check "
                f'it: {how}, as in "like ""this"""'
            ) from error

    def joined(self, row: str, added: Sequence[str]) -> str:
        return self._delimiter.join((row, *added))


class _JsonLines(_TextRows):
    """A file with a JSON object a line."""

    missing = "null"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = next((list(row) for _, row in self._objects()), [])

    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[int, Sequence[Any]]]:
        names = self.names if columns is None else [self.names[column] for column in columns]
        return ((line, [row.get(name) for name in names]) for line, row in self._objects())

    def raws(self) -> Iterator[str]:
        with open_lines(self.path) as lines:
            yield from (line for line in lines if not line.isspace())

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The line of each row, and what it holds."""
        with open_lines(self.path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.isspace():
                    continue
                try:
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError(f"but {line.strip():.40}")
                except (ValueError, RecursionError) as error:
                    mend = f"Write one object per line: jq -c '.[]' {shlex.quote(self.path.name)} > rows.jsonl"
                    raise DataError(f"{self.path.name}: line {number} is no JSON object ({error}). {mend}") from error
                yield number, row

    def joined(self, row: str, added: Sequence[str]) -> str:
        start = row.rstrip()[:-1].rstrip()
        return f"{start}{', ' if start != '{' else ''}{', '.join(added)}}}"

    def cells(self, name: str, values: pa.Array) -> list[str]:
        key = json.dumps(name)
        return [f"{key}: {value}" for value in super().cells(name, values)]


class _Parquet(RowFile):
    """A Parquet file."""

    counted = "row"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = next(self._parts()).names

    def _parts(self, columns: Sequence[int] | None = None, rows: int = _AT_ONCE) -> Iterator[Any]:
        """Its schema, then its rows, some at a time."""
        names = None if columns is None else [self.names[column] for column in columns]
        try:
            with pq.ParquetFile(self.path) as file:
                yield file.schema_arrow
                for batch in file.iter_batches(rows, columns=names):
                    yield batch if names is None else batch.select(names)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.path.name} could not be read as Parquet: {error}. Write the file anew.") from error

    def rows(self, columns: Sequence[int] | None = None) -> Iterator[tuple[int, Sequence[Any]]]:
        batches = itertools.islice(self._parts(columns), 1, None)
        rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in batches)
        return enumerate(itertools.chain.from_iterable(rows), start=1)

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        batches = self._parts(rows=_ROW_GROUP)
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
                columns = [*batch.columns, *added(batch.num_rows)]
                writer.write_table(pa.table(columns, schema=schema))


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
        hint = "The model comes before the file." if is_model(path) else f"Check the path (looked in {Path.cwd()})."
        raise DataError(f"{path} is no file. {hint}")
    kind = checked_ending(path)
    if kind == ".parquet":
        return _Parquet(path)
    return _Delimited(path, header) if kind in (".csv", ".tsv") else _JsonLines(path)
