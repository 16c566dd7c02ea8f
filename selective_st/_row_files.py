"""Files that are read a row at a time and written anew with further columns: in constant memory, however long."""

from __future__ import annotations

import itertools
import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selective_st._delimited import DelimitedFile
from selective_st._json_lines import json_rows
from selective_st._text_files import checked_ending, open_lines
from selective_st.errors import DataError

_AT_ONCE = 1_000  # rows that are read, written, or looked at for which columns hold texts
_ROW_GROUP = 65_536  # rows of a Parquet file that are written together
Added = Callable[[int], Sequence[pa.Array]]  # the values of the further columns, of as many rows as it is told


class RowFile(ABC):
    """A file of rows.

    Attributes:
        path: Where it is.
        names: The names of its columns; numbers from 1 where it has none.
        notes: What was decided while reading.
        counted: What the numbers of rows count.

    Args:
        path: Where it is.
    """

    names: list[str]
    counted = "line"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    @abstractmethod
    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        """For each row its number and its values in some columns; None for a missing one."""

    @abstractmethod
    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        """Write the file anew with further columns of these names."""

    def text_columns(self, asked: Sequence[str] | None) -> list[str]:
        """The two columns of texts: those asked for, by name or number, else the only two there are."""
        if asked is None:
            sample = [values for _, values in itertools.islice(self.rows(self.names), _AT_ONCE)]
            if not sample:
                raise DataError(f"{self.path.name} has no rows of data.")
            columns = zip(self.names, zip(*sample, strict=True), strict=True)
            found = [name for name, values in columns if _are_texts(values)]
            why = f"{len(found)} of them hold texts"
        else:
            known = {str(place): name for place, name in enumerate(self.names, start=1)}
            found = [known.get(name, name) if name not in self.names else name for name in asked]
            why = f"--columns {','.join(asked)} are not two of them"
        if len(found) == 2 == len({*found} & {*self.names}):
            return found
        others = [*dict.fromkeys([*(name for name in found if name in self.names), *self.names, "OTHER"])]
        raise DataError(
            f"{self.path.name} has the columns {', '.join(self.names[:20])}; {why}. A score needs two texts a row: "
            f"say which, such as --columns {shlex.quote(','.join(others[:2]))}"
        )

    def pairs(self, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The two texts of each row, empty ones where they are missing."""
        for number, values in self.rows(columns):
            first, second = ("" if value is None else value for value in values)
            if not isinstance(first, str) or not isinstance(second, str):
                raise DataError(
                    f"{self.path.name}: {first!r:.60} and {second!r:.60} in {self.counted} {number} are not two texts. "
                    "Choose two columns of texts: --columns NAME,NAME"
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
    def raws(self) -> Iterator[str]:
        """How each row is written, the head with them."""

    @abstractmethod
    def joined(self, row: str, names: Sequence[str], cells: Sequence[str]) -> str:
        """A row, without the end of its line, with further cells."""

    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        def extended(raw: str, cells: Sequence[str]) -> str:
            row = raw.rstrip("\r\n")
            return self.joined(row, names, cells) + (raw[len(row) :] or "\n")

        raws = self.raws()
        with target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(extended(raw, names) for raw in itertools.islice(raws, self.head))
            while part := list(itertools.islice(raws, _AT_ONCE)):
                cells = zip(*map(self._cells, added(len(part))), strict=True)
                file.writelines(map(extended, part, cells))

    def _cells(self, values: pa.Array) -> list[str]:
        """Scores or decisions as they are written."""
        if pa.types.is_boolean(values.type):
            return values.cast(pa.string()).fill_null(self.missing).to_pylist()  # type: ignore[no-any-return]
        # Scores are computed in single precision, of which no digit is lost.
        scores = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return np.where(np.isnan(scores), self.missing, scores.astype(str)).tolist()  # type: ignore[no-any-return]


class _Delimited(_TextRows):
    """A CSV or TSV file, read as `read_file` does."""

    def __init__(self, path: Path, header: bool | None) -> None:
        self.path, self._file = path, DelimitedFile(path, header)
        self.names, self.head, self.notes = self._file.names, self._file.head, self._file.notes

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        places = [self.names.index(name) for name in columns]
        rows = itertools.islice(self._file.rows(), self.head, None)
        return ((row.line, [row.cells[place] for place in places]) for row in rows)

    def raws(self) -> Iterator[str]:
        return (row.raw for row in self._file.rows())

    def joined(self, row: str, names: Sequence[str], cells: Sequence[str]) -> str:
        return self._file.delimiter.join((row, *cells))


class _JsonLines(_TextRows):
    """A file with a JSON object a line."""

    missing = "null"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = next((list(row) for _, row in self._objects()), [])

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The line of each row, and what it holds."""
        name = self.path.name
        with open_lines(self.path) as lines:
            unit, rows = json_rows(name, lines)
            for number, row in rows:
                if unit != "line" or not isinstance(row, dict):
                    mend = f"Write one object a line: jq -c '.[]' {shlex.quote(name)} > rows.jsonl"
                    raise DataError(f"{name}: {unit} {number} is no JSON object in a line of its own. {mend}")
                yield number, row

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        return ((line, [row.get(name) for name in columns]) for line, row in self._objects())

    def raws(self) -> Iterator[str]:
        with open_lines(self.path) as lines:
            yield from (line for line in lines if not line.isspace())

    def joined(self, row: str, names: Sequence[str], cells: Sequence[str]) -> str:
        added = ", ".join(f"{json.dumps(name)}: {cell}" for name, cell in zip(names, cells, strict=False))
        return f"{row.rstrip()[:-1].rstrip()}, {added}}}"


class _Parquet(RowFile):
    """A Parquet file."""

    counted = "row"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = next(self._parts()).names

    def _parts(self, rows: int = _AT_ONCE, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Its schema, then its rows, some at a time."""
        try:
            with pq.ParquetFile(self.path) as file:
                yield file.schema_arrow
                for batch in file.iter_batches(rows, columns=columns):
                    yield batch if columns is None else batch.select(columns)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.path.name} could not be read as Parquet: {error}. Write the file anew.") from error

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
    kind = checked_ending(path)
    if kind == ".parquet":
        return _Parquet(path)
    return _Delimited(path, header) if kind in (".csv", ".tsv") else _JsonLines(path)
