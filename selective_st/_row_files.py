"""What a file of rows is: read as a table, or a row at a time and written anew with further columns, however long."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from selective_st.errors import shown_rows

AT_ONCE = 1_000  # rows that are read, written, or looked at for which columns hold texts
Added = Callable[[int], Sequence[pa.Array]]  # the values of the further columns, of as many rows as it is told


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
        written: The cells as they are written, of columns that were made numbers.
    """

    dataset: Dataset
    name: str
    named: bool = True
    notes: list[str] = field(default_factory=list)
    lines: Sequence[int] | None = None
    written: Mapping[str, pa.ChunkedArray] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self.dataset.column_names)

    def texts(self, column: str) -> list[Any]:
        """The values of a column; where it was made one of numbers, the cells as they are written in the file.

        Args:
            column: Its name.

        Returns:
            The value of each row.
        """
        return self.written[column].to_pylist() if column in self.written else list(self.dataset[column])

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


class RowFile(ABC):
    """A file of rows.

    Attributes:
        path: Where it is.
        name: What it is called, for people.
        names: The names of its columns; numbers from 1 where it has none.
        notes: What was decided while reading.
        unit: What the numbers of rows count.

    Args:
        path: Where it is.
    """

    names: Any
    unit = "line"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.notes: list[str] = []

    @abstractmethod
    def table(self) -> FileTable:
        """All of it."""

    @abstractmethod
    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        """For each row its number and its values in some columns; None for a missing one."""

    @abstractmethod
    def write(self, target: Path, names: Sequence[str], added: Added) -> None:
        """Write the file anew with further columns of these names."""


class TextRows(RowFile):
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
            while part := list(itertools.islice(raws, AT_ONCE)):
                cells = zip(*map(self._cells, added(len(part))), strict=True)
                file.writelines(map(extended, part, cells))

    def _cells(self, values: pa.Array) -> list[str]:
        """Scores or decisions as they are written."""
        if pa.types.is_boolean(values.type):
            return values.cast(pa.string()).fill_null(self.missing).to_pylist()  # type: ignore[no-any-return]
        # Scores are computed in single precision, of which no digit is lost.
        scores = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return np.where(np.isnan(scores), self.missing, scores.astype(str)).tolist()  # type: ignore[no-any-return]
