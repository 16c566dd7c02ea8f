"""The user's data: files and hub datasets as tables, and graded sentence pairs of them, checked and mapped.

Nothing is guessed in silence: what was decided about a header row, the columns and the labels is in the notes.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import glob
import itertools
import math
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset

from selective_st._validation import score_interval
from selective_st.errors import DataError, shown_rows
from selective_st.layouts import PAIR_COLUMNS, GradedPairs
from selective_st.registry.columns import as_number, is_metadata
from selective_st.registry.detection import DataFormat, detect_format
from selective_st.registry.names import TRAINER_LABELS, hint_of

__all__ = ["GradedPairs", "hub_splits", "read_pairs", "read_table", "read_table_with_notes"]

_NUMBERS = ("integer", "float", "boolean", "class label")
_SAMPLE = 1_000  # rows whose texts are compared by length

_FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}
_INTEGER = re.compile(r"\s*[+-]?\d{1,18}\s*$")
_NAME_OF_DIGITS = re.compile(r"\s*[+-]?0\d")
_OTHER_DELIMITERS = (";", "\t", "|")
_LOOKED_AT = 20  # rows, for what parts their cells
_COMMA_NUMBER = re.compile(r"\s*[+-]?\d+(,\d+)?\s*$")


def read_pairs(
    source: str,
    *,
    columns: Sequence[str] | None = None,
    score_range: tuple[float, float] | None = None,
    header: bool | None = None,
    split: str = "train",
) -> GradedPairs:
    """Read graded sentence pairs.

    Args:
        source: A .csv, .tsv, .jsonl (or .json) or .parquet file, or the name of a dataset on the Hugging Face hub.
        columns: The two text columns and the label column, in this order: names, or numbers counted from 1. Default:
            the only possible choice, where there is one.
        score_range: The ends of the labels' scale, mapped to 0 and 1. Default: labels are taken as they are and must
            lie within [-1, 1].
        header: Whether a CSV or TSV file has a header row. Default: it has one if no cell of the first row is a number.
        split: Which split of a hub dataset.

    Returns:
        The pairs.

    Raises:
        DataError: If the source is missing, empty or unreadable; a column is missing or unclear; or a row has an empty
            text or a label that is not a number in range. The message names the rows, counted from 1 after a header.
    """
    if score_range is not None:
        if isinstance(score_range, str) or len(score_range) != 2:
            raise DataError(f"score_range must be a pair of numbers such as (0, 5), got {score_range!r}.")
        score_range = score_interval("read_pairs", *score_range, names=("score_range[0]", "score_range[1]"))
    table = read_file(source, header=header, split=split)
    return pairs_of(table, columns=columns, score_range=score_range)


@dataclass(frozen=True)
class FileTable:
    """What was read of a file or a hub dataset."""

    dataset: Dataset
    name: str
    named: bool = True
    notes: list[str] = field(default_factory=list)
    lines: Sequence[int] | None = None
    _written: Any = None

    def texts(self, column: str) -> list[Any]:
        """The values of a column, as they are written in the file."""
        return list((self.dataset if self._written is None else self._written)[column])


def read_file(source: str, *, header: bool | None = None, split: str = "train") -> FileTable:
    """Read a file or a hub dataset."""
    if not isinstance(source, str) or not source.strip():
        raise DataError(f"The data must be the path of a file or the name of a dataset, got {source!r}.")
    table, named, notes = _read_table(source, header, split)
    name = Path(source).name or source
    if not len(table):
        raise DataError(f"{name} has no rows of data.")
    is_csv = Path(source).suffix.lower() in (".csv", ".tsv") and _is_local(source)
    return FileTable(_with_numbers(table) if is_csv else table, name, named, notes, None, table)


def read_table(source: str, *, header: bool | None = None, split: str = "train") -> Dataset:
    """Read a file or a hub dataset as it is, with all its columns.

    Args:
        source: A .csv, .tsv, .jsonl (or .json) or .parquet file, or the name of a dataset on the Hugging Face hub.
        header: Whether a CSV or TSV file has a header row; without one, columns are named "1", "2" and so on. Default:
            it has one if no cell of the first row is a number.
        split: Which split of a hub dataset.

    Returns:
        The table. Columns of a CSV or TSV file whose cells are all numbers hold numbers, with None for empty cells.

    Raises:
        DataError: If the source is missing, empty or unreadable.
    """
    return read_table_with_notes(source, header=header, split=split)[0]


def read_table_with_notes(
    source: str, *, header: bool | None = None, split: str = "train"
) -> tuple[Dataset, list[str]]:
    """Read a table, and say what was decided.

    Args:
        source: As for `read_table`.
        header: As for `read_table`.
        split: As for `read_table`.

    Returns:
        The table, and what was decided while reading.

    Raises:
        DataError: If the source is missing, empty or unreadable.
    """
    if not isinstance(source, str) or not source.strip():
        raise DataError(f"The data must be the path of a file or the name of a dataset, got {source!r}.")
    table, _, notes = _read_table(source, header, split)
    if not len(table):
        raise DataError(f"{Path(source).name or source} has no rows of data.")
    if Path(source).suffix.lower() in (".csv", ".tsv") and _is_local(source):
        table = _with_numbers(table)
    return table, notes


def _with_numbers(table: Dataset) -> Dataset:
    """A table of texts, as a CSV file holds, with numbers where a column holds only these."""
    columns = {name: list(table[name]) for name in table.column_names}
    return Dataset.from_dict(
        {name: _typed(cells) if all(isinstance(c, str) for c in cells) else cells for name, cells in columns.items()}
    )


def _typed(cells: list[str]) -> list[Any]:
    """The cells of a CSV column as numbers, where all that are not empty are numbers."""
    filled = [cell for cell in cells if cell.strip()]
    # "007" is a name, not the number 7.
    if not filled or any(as_number(cell) is None or _NAME_OF_DIGITS.match(cell) for cell in filled):
        return cells
    convert: Any = int if all(_INTEGER.match(cell) for cell in filled) else float
    return [convert(cell) if cell.strip() else None for cell in cells]


def hub_splits(source: str) -> list[str]:
    """The splits of a hub dataset; none for a local file."""
    if _is_local(source):
        return []
    return list(_from_hub(source, lambda: datasets.get_dataset_split_names(source)))


def _is_local(source: str) -> bool:
    path = Path(source)
    return path.exists() or path.suffix.lower() in _FORMATS or source.startswith((".", "/", "~"))


def _from_hub(source: str, load: Any) -> Any:
    try:
        return load()
    except Exception as error:  # the hub client raises many kinds; all mean that the data cannot be had
        raise DataError(
            f"{source} is not a file here, and could not be loaded from the Hugging Face hub either "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}). Check the path, "
            "or the dataset's name and your connection."
        ) from error


def _read_table(source: str, header: bool | None, split: str) -> tuple[Dataset, bool, list[str]]:
    """The raw table, whether its column names come from the data, and notes."""
    if not _is_local(source):
        return _from_hub(source, lambda: datasets.load_dataset(source, split=split)), True, []
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"{source} does not exist. Check the path (looked in {Path.cwd()}).")
    if path.is_dir():
        raise DataError(f"{source} is a folder; give a file: {', '.join(_FORMATS)}.")
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{source} has the unknown ending {path.suffix!r}; known are {', '.join(_FORMATS)}.")
    if not path.stat().st_size:
        raise DataError(f"{source} is empty.")
    if kind == "csv":
        return _read_csv(path, header)
    try:
        # A name is taken for a pattern there: "data[1].jsonl" would be data1.jsonl.
        return datasets.load_dataset(kind, data_files=glob.escape(str(path.resolve())), split="train"), True, []
    except Exception as error:  # readers raise errors of many libraries; all mean that the file cannot be read
        found = str(error.__cause__ or error)
        if "corresponds to no data" in found or "BatchSize must be greater than 0" in found:
            raise DataError(f"{path.name} has no rows of data.") from None
        reason = found.strip().splitlines() or [type(error).__name__]
        raise DataError(f"{source} could not be read as {kind.upper()}: {reason[-1]}") from error


def _read_csv(path: Path, header: bool | None) -> tuple[Dataset, bool, list[str]]:
    """The table of a CSV or TSV file as texts, whether a header row names its columns, and notes.

    Read with Python's own csv module: pandas takes the surplus cells of a long row for an index, in silence.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiter = _delimiter(path)
    rows, quote_note = _csv_rows(path, delimiter)
    names, has_header, note = _csv_columns(path, [_with_points([cell], delimiter)[0] for cell in rows[0][1]], header)
    body = rows[1:] if has_header else rows
    wrong = [(line, len(cells)) for line, cells in body if len(cells) != len(names)]
    if wrong:
        line, count = wrong[0]
        raise DataError(
            f"{path.name} has {len(names)} columns, but {count} cells in line {line}"
            + (f" (and {len(wrong) - 1:,} more such lines)" if len(wrong) > 1 else "")
            + '. Mend the line; a cell that holds the delimiter must stand in quotes: "like, this".'
        )
    columns = {name: _with_points([cells[i] for _, cells in body], delimiter) for i, name in enumerate(names)}
    return Dataset.from_dict(columns), has_header, [note, *quote_note]


def _delimiter(path: Path) -> str:
    """What parts the cells: a tab in TSV files; else another mark that parts the first rows all alike; else a comma."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    for delimiter in _OTHER_DELIMITERS:
        with contextlib.suppress(csv.Error, UnicodeDecodeError), path.open(newline="", encoding="utf-8-sig") as file:
            first = itertools.islice((row for row in csv.reader(file, delimiter=delimiter) if row), _LOOKED_AT)
            widths = {len(row) for row in first}
            if len(widths) == 1 and max(widths) > 1:
                return delimiter
    return ","


def _with_points(cells: list[str], delimiter: str) -> list[str]:
    """Numbers with a decimal comma as numbers with a point; where cells are parted by commas there are none."""
    filled = [cell for cell in cells if cell.strip()]
    if delimiter == "," or not filled or not all(_COMMA_NUMBER.match(cell) for cell in filled):
        return cells
    return [cell.replace(",", ".") for cell in cells]


def _csv_rows(path: Path, delimiter: str) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The rows of the file with the line each ends on, blank lines left out; and notes on delimiters and quotes."""
    is_tsv = path.suffix.lower() == ".tsv"

    def parse(quoting: Any) -> list[tuple[int, list[str]]]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
            return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]

    usual = "\t" if is_tsv else ","
    notes = [] if delimiter == usual else [f"{path.name}: cells are parted by {delimiter!r}"]
    try:
        rows = []
        if is_tsv:
            # Many TSV files do not quote: there a quote is a character like any other.
            rows = parse(csv.QUOTE_NONE)
            quoted = [cell for _, cells in rows for cell in cells if cell.startswith('"')]
            if quoted and all(len(cell) > 1 and cell.endswith('"') for cell in quoted):
                notes.append(f"{path.name}: cells in double quotes are taken without them")
                rows = []
            elif quoted:
                notes.append(f"{path.name}: double quotes are taken as part of the text")
        rows = rows or parse(csv.QUOTE_MINIMAL)
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            is_utf_16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        known = "UTF-16 text" if is_utf_16 else f"not UTF-8 text ({error.reason} at byte {error.start})"
        raise DataError(
            f"{path.name} is {known}; convert it first{'' if is_utf_16 else ', for example'}: iconv -f "
            f"{'utf-16' if is_utf_16 else 'latin1'} -t utf-8 {shlex.quote(path.name)} > utf8{path.suffix}"
        ) from error
    except csv.Error as error:
        raise DataError(f"{path.name} could not be read as CSV: {error}. Check the quotes in that line.") from error
    if not rows:
        raise DataError(f"{path.name} is empty.")
    return rows, notes


def _csv_columns(path: Path, first: list[str], header: bool | None) -> tuple[list[str], bool, str]:
    """The column names, whether a header row gives them, and a note on it."""
    numbers = [cell for cell in first if as_number(cell) is not None]
    has_header = not numbers if header is None else header
    if has_header:
        names = [name.strip() for name in first]
        why = "no cell of the first row is a number" if header is None else "as told"
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise DataError(
                f"{path.name}: the header row names a column twice: {', '.join(sorted(repeated))}. If it is no header "
                "row, say --no-header."
            )
        return names, True, f"{path.name}: the first row is a header ({why}): {', '.join(names)}"
    names = [str(i + 1) for i in range(len(first))]
    why = f"its first row holds the number {numbers[0]}" if header is None else "as told"
    return names, False, f"{path.name}: no header row ({why}); columns are numbered 1 to {len(first)}"


def pairs_of(
    table: FileTable, *, columns: Sequence[str] | None = None, score_range: tuple[float, float] | None = None
) -> GradedPairs:
    """Take graded sentence pairs from what was read.

    Args:
        table: What was read.
        columns: As for `read_pairs`.
        score_range: As for `read_pairs`.

    Returns:
        The pairs.

    Raises:
        DataError: As `read_pairs`.
    """
    first, second, score = _pair_columns(table, columns)
    notes = [
        *table.notes,
        f"{table.name}: {len(table.dataset):,} rows; texts {first!r} and {second!r}, label {score!r}",
    ]
    texts = [_checked_texts(table, name) for name in (first, second)]
    scores = _checked_scores(table, score, score_range)
    if score_range is not None:
        notes.append(f"{table.name}: labels mapped from [{score_range[0]:g}, {score_range[1]:g}] to [0, 1]")
    dataset = Dataset.from_dict(dict(zip(PAIR_COLUMNS, (*texts, scores), strict=True)))
    return GradedPairs(dataset, table.name, notes)


def named_columns(table: FileTable, columns: Sequence[str]) -> list[str]:
    """The columns that are meant by names, or by numbers counted from 1.

    Args:
        table: What was read.
        columns: Their names or numbers.

    Returns:
        Their names.

    Raises:
        DataError: If there is no such column, or one is named twice.
    """
    available = table.dataset.column_names
    columns = [columns] if isinstance(columns, str) else [str(name) for name in columns]
    chosen = [
        available[int(name) - 1]
        if name not in available and name.isdecimal() and 1 <= int(name) <= len(available)
        else name
        for name in columns
    ]
    missing = [name for name in chosen if name not in available]
    if missing:
        raise DataError(
            f"{table.name} has no column {', '.join(map(repr, missing))}; it has {', '.join(available)}. Mend "
            "--columns."
        )
    if len(set(chosen)) != len(chosen):
        raise DataError(
            f"--columns names a column twice: {', '.join(columns)}. {table.name} has the columns "
            f"{', '.join(available)}."
        )
    return chosen


def row_numbers(table: FileTable, rows: Sequence[int]) -> str:
    """Rows as people find them: by the lines of the file where it has some, else counted from 1.

    Args:
        table: What was read.
        rows: Their numbers, counted from 0.

    Returns:
        Their numbers, for a message.
    """
    if table.lines is None:
        return shown_rows([row + 1 for row in rows])
    return shown_rows([table.lines[row] for row in rows], "line")


def _pair_columns(table: FileTable, columns: Sequence[str] | None) -> list[str]:
    """The two texts and the label."""
    available = table.dataset.column_names
    shown = ", ".join(available)
    columns = [columns] if isinstance(columns, str) else columns
    if columns is not None and len(columns) == 3:
        return named_columns(table, columns)
    likely = ",".join(_likely_columns(table.dataset))
    if columns is not None:
        raise DataError(
            f"--columns takes two text columns and the label column, got {len(columns)}: {', '.join(columns)}. "
            f"{table.name} has the columns {shown}{f'; write for example --columns {likely}' if likely else ''}."
        )
    if len(available) < 3:
        raise DataError(
            f"{table.name} has {len(available)} column(s) ({shown}), but graded pairs take three: two texts and a "
            "label."
        )
    labels = [name for name in TRAINER_LABELS if name in available] if table.named else available[-1:]
    texts = [name for name in available if name not in labels]
    if len(labels) != 1 or len(texts) != 2:
        raise DataError(
            f"It is not clear which columns of {table.name} to use: it has {shown}. Say the two texts and the label, "
            + (
                f"for example --columns {likely}."
                if likely
                else "--columns TEXT1,TEXT2,LABEL: no column seems to be one."
            )
        )
    return [*texts, *labels]


def _likely_columns(dataset: Dataset) -> list[str]:
    """The two texts and the label, as far as values and names tell; empty where they do not."""
    found = detect_format(dataset)
    assert isinstance(found, DataFormat)  # one dataset has one format
    if len(found.inputs) == 2 and found.label_column is not None:
        return [*found.inputs, found.label_column]
    numbers = [column for column in found.columns if column.kind in _NUMBERS and not is_metadata(column)]
    words = {column.name: _words(dataset, column.name) for column in found.columns if column.kind == "text"}
    texts = sorted(sorted(words, key=lambda name: -words[name])[:2], key=dataset.column_names.index)
    labels = sorted(numbers, key=lambda column: not hint_of(column.name))
    return [*texts, labels[0].name] if len(texts) == 2 and labels else []


def _words(dataset: Dataset, column: str) -> float:
    """How many words the texts of a column have, where they differ."""
    texts = {text for text in dataset[:_SAMPLE][column] if text}
    return sum(len(text.split()) for text in texts) / _SAMPLE


def _checked_texts(table: FileTable, name: str) -> list[str]:
    texts = table.texts(name)
    wrong = [row for row, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        raise DataError(
            f"{table.name}: column {name!r} must hold texts, but {row_numbers(table, wrong)} hold(s) "
            f"{texts[wrong[0]]!r}. Mend the rows, or choose other columns with --columns."
        )
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty:
        raise DataError(
            f"{table.name}: the text in column {name!r} is empty in {row_numbers(table, empty)}. Remove such rows."
        )
    return texts


def _checked_scores(table: FileTable, name: str, score_range: tuple[float, float] | None) -> list[float]:
    labels = table.texts(name)
    scores = [number for number in numbers_in(table, name, labels, missing=False) if number is not None]
    if score_range is not None:
        check_scale(table, name, scores, score_range)
        return [(score - score_range[0]) / (score_range[1] - score_range[0]) for score in scores]
    low, high = min(scores), max(scores)
    if low < -1 or high > 1:
        raise DataError(
            f"{table.name}: the labels in column {name!r} go from {low:g} to {high:g}, but a cosine similarity only "
            "reaches [-1, 1]. Say the ends of your label scale, which are then mapped to 0 and 1; "
            + _a_scale(low, high)
        )
    return scores


def _a_scale(low: float, high: float) -> str:
    """A scale that holds all labels, and what it rests on."""
    ends = math.floor(low), math.ceil(high)
    if ends[0] == ends[1]:  # one label alone says nothing of the other end
        ends, why = (min(ends[0], 0), max(ends[1], 0)), "for example"
    elif ends == (low, high):
        why = "if these are its ends:"
    else:
        why = "the whole numbers around these are a guess:"
    return f"{why} --score-range {ends[0]},{ends[1]}"


def numbers_in(table: FileTable, name: str, labels: Sequence[Any], *, missing: bool = True) -> list[float | None]:
    """The numbers that labels are.

    Args:
        table: What was read.
        name: The label column.
        labels: The label of each row.
        missing: Whether labels may be missing.

    Returns:
        The number of each row; None where it is missing.

    Raises:
        DataError: If one is no number; the message names the rows.
    """
    numbers = [as_number(label) for label in labels]
    absent = [missing and (label is None or label != label) for label in labels]
    wrong = [row for row, number in enumerate(numbers) if number is None and not absent[row]]
    if wrong:
        raise DataError(
            f"{table.name}: the label in column {name!r} is not a number in {row_numbers(table, wrong)}: "
            f"{labels[wrong[0]]!r}. Mend or remove such rows; if this is not the label column, say --columns; if the "
            "first row is a header, say --header."
        )
    return numbers


def check_scale(table: FileTable, name: str, scores: Sequence[float | None], score_range: tuple[float, float]) -> None:
    """Raise unless labels lie within `--score-range`.

    Args:
        table: What was read.
        name: The label column.
        scores: The label of each row; None where it is missing.
        score_range: The ends of the labels' scale.

    Raises:
        DataError: If labels lie outside; the message names the rows.
    """
    bottom, top = score_range
    known = {row: score for row, score in enumerate(scores) if score is not None}
    outside = [row for row, score in known.items() if not bottom <= score <= top]
    if outside:
        raise DataError(
            f"{table.name}: the label in column {name!r} lies outside --score-range {bottom:g},{top:g} in "
            f"{row_numbers(table, outside)}: {known[outside[0]]:g}. The labels go from {min(known.values()):g} to "
            f"{max(known.values()):g}."
        )
