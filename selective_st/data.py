"""Graded sentence pairs from the user's files: read, checked, and mapped to the score's range.

Nothing is guessed in silence: what was decided about a header row, the columns and the labels is in the notes.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset

from selective_st._validation import score_interval
from selective_st.links import Interval

# The trainer takes the first of these for the label, in this order, and tokenises every other column.
LABEL_COLUMNS = ("label", "labels", "score", "scores")
PAIR_COLUMNS = ("sentence1", "sentence2", "score")
_FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}
_COSINE_RANGE = Interval(-1.0, 1.0)
_SHOWN = 5  # bad rows shown in an error


class DataError(ValueError):
    """Something is wrong with the user's data; the message says what, where, and what mends it."""


@dataclass(frozen=True)
class GradedPairs:
    """Sentence pairs with scores on the similarity's scale.

    Attributes:
        dataset: Columns sentence1, sentence2 and score (float).
        name: Where they come from, for people.
        notes: What was decided while reading.
    """

    dataset: Dataset
    name: str
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def sentences1(self) -> list[str]:
        """The first sentence of each pair."""
        return list(self.dataset["sentence1"])

    @property
    def sentences2(self) -> list[str]:
        """The second sentence of each pair."""
        return list(self.dataset["sentence2"])

    @property
    def scores(self) -> list[float]:
        """The scores."""
        return list(self.dataset["score"])

    def split(self, name: str, fraction: float, seed: int = 0) -> tuple[GradedPairs, GradedPairs]:
        """Set a random fraction of the rows aside.

        Args:
            name: What the part set aside is called.
            fraction: How much of the rows it gets.
            seed: Which random part.

        Returns:
            The rest, and the part set aside.

        Raises:
            DataError: If there are too few rows for it.
        """
        count = max(1, round(len(self) * fraction))
        if len(self) - count < 1:
            raise DataError(
                f"{self.name} has {len(self)} row(s), too few to set some aside as the {name} split. Give the splits "
                "as files: --eval-data FILE --test-data FILE."
            )
        parts = self.dataset.train_test_split(test_size=count, seed=seed)
        note = f"{count:,} of {len(self):,} rows of {self.name} set aside at random as the {name} split (seed {seed})"
        rest = GradedPairs(parts["train"], self.name, [*self.notes, note])
        return rest, GradedPairs(parts["test"], f"{name} split of {self.name}")


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
    if not isinstance(source, str) or not source.strip():
        raise DataError(f"The data must be the path of a file or the name of a dataset, got {source!r}.")
    if score_range is not None:
        if isinstance(score_range, str) or len(score_range) != 2:
            raise DataError(f"score_range must be a pair of numbers such as (0, 5), got {score_range!r}.")
        score_range = score_interval("read_pairs", *score_range, names=("score_range[0]", "score_range[1]"))
    table, names_are_given, notes = _read_table(source, header, split)
    label = Path(source).name or source
    if not len(table):
        raise DataError(f"{label} has no rows of data.")
    first, second, score = _choose_columns(label, table.column_names, names_are_given, columns)
    notes.append(f"{label}: {len(table):,} rows; texts {first!r} and {second!r}, label {score!r}")
    texts = [_checked_texts(label, name, table[name]) for name in (first, second)]
    scores = _checked_scores(label, score, table[score], score_range)
    if score_range is not None:
        notes.append(f"{label}: labels mapped from [{score_range[0]:g}, {score_range[1]:g}] to [0, 1]")
    dataset = Dataset.from_dict(dict(zip(PAIR_COLUMNS, (*texts, scores), strict=True)))
    return GradedPairs(dataset, label, notes)


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
        return datasets.load_dataset(kind, data_files=str(path.resolve()), split="train"), True, []
    except Exception as error:  # readers raise errors of many libraries; all mean that the file cannot be read
        if "corresponds to no data" in str(error) or "BatchSize must be greater than 0" in str(error):
            raise DataError(f"{path.name} has no rows of data.") from None
        reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{source} could not be read as {kind.upper()}: {reason[-1]}") from error


def _read_csv(path: Path, header: bool | None) -> tuple[Dataset, bool, list[str]]:
    """The table of a CSV or TSV file as texts, whether a header row names its columns, and notes.

    Read with Python's own csv module: pandas takes the surplus cells of a long row for an index, in silence.
    """
    rows, quote_note = _csv_rows(path)
    names, has_header, note = _csv_columns(path, rows[0][1], header)
    body = rows[1:] if has_header else rows
    wrong = [(line, len(cells)) for line, cells in body if len(cells) != len(names)]
    if wrong:
        line, count = wrong[0]
        raise DataError(
            f"{path.name} has {len(names)} columns, but {count} cells in line {line}"
            + (f" (and {len(wrong) - 1:,} more such lines)" if len(wrong) > 1 else "")
            + '. Mend the line; a cell that holds the delimiter must stand in quotes: "like, this".'
        )
    columns = {name: [cells[i] for _, cells in body] for i, name in enumerate(names)}
    return Dataset.from_dict(columns), has_header, [note, *quote_note]


def _csv_rows(path: Path) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The rows of the file with the line each ends on, blank lines left out; and a note on quotes."""
    is_tsv = path.suffix.lower() == ".tsv"
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

    def parse(quoting: Any) -> list[tuple[int, list[str]]]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter="\t" if is_tsv else ",", quoting=quoting, strict=True)
            return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]

    notes: list[str] = []
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
        raise DataError(
            f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}); convert it first."
        ) from error
    except csv.Error as error:
        raise DataError(f"{path.name} could not be read as CSV: {error}. Check the quotes in that line.") from error
    if not rows:
        raise DataError(f"{path.name} is empty.")
    return rows, notes


def _csv_columns(path: Path, first: list[str], header: bool | None) -> tuple[list[str], bool, str]:
    """The column names, whether a header row gives them, and a note on it."""
    numbers = [cell for cell in first if _as_number(cell) is not None]
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


def _as_number(cell: Any) -> float | None:
    """The finite number that a cell holds; None where it holds none. Stricter than Python: no True, no 1_000."""
    if isinstance(cell, bool) or (isinstance(cell, str) and ("_" in cell or not cell.isascii())):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _choose_columns(
    label: str, available: list[str], named: bool, columns: Sequence[str] | None
) -> tuple[str, str, str]:
    shown = ", ".join(available)
    if columns is not None:
        columns = [columns] if isinstance(columns, str) else [str(name) for name in columns]
        if len(columns) != 3:
            raise DataError(
                f"--columns takes two text columns and the label column, got {len(columns)}: {', '.join(columns)}. "
                f"{label} has the columns {shown}; write for example --columns sentence1,sentence2,score."
            )
        chosen = [
            available[int(name) - 1]
            if name not in available and name.isdecimal() and 1 <= int(name) <= len(available)
            else name
            for name in columns
        ]
        missing = [name for name in chosen if name not in available]
        if missing:
            raise DataError(f"{label} has no column {', '.join(map(repr, missing))}; it has {shown}. Mend --columns.")
        if len(set(chosen)) != 3:
            raise DataError(f"--columns names a column twice: {', '.join(columns)}. {label} has the columns {shown}.")
        return chosen[0], chosen[1], chosen[2]
    if len(available) < 3:
        raise DataError(
            f"{label} has {len(available)} column(s) ({shown}), but graded pairs take three: two texts and a label."
        )
    labels = [name for name in LABEL_COLUMNS if name in available] if named else available[-1:]
    texts = [name for name in available if name not in labels]
    if len(labels) != 1 or len(texts) != 2:
        raise DataError(
            f"It is not clear which columns of {label} to use: it has {shown}. Say the two texts and the label, for "
            f"example --columns {','.join(available[:3])}."
        )
    return texts[0], texts[1], labels[0]


def _rows(numbers: list[int]) -> str:
    more = f" and {len(numbers) - _SHOWN:,} more" if len(numbers) > _SHOWN else ""
    return f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:_SHOWN]))}{more}"


def _checked_texts(label: str, name: str, values: Any) -> list[str]:
    texts = list(values)
    wrong = [i for i, text in enumerate(texts, start=1) if not isinstance(text, str)]
    if wrong:
        value = texts[wrong[0] - 1]
        raise DataError(
            f"{label}: column {name!r} must hold texts, but {_rows(wrong)} hold(s) {value!r}. Mend the rows, or choose "
            "other columns with --columns."
        )
    empty = [i for i, text in enumerate(texts, start=1) if not text.strip()]
    if empty:
        raise DataError(f"{label}: the text in column {name!r} is empty in {_rows(empty)}. Remove such rows.")
    return texts


def _checked_scores(label: str, name: str, values: Any, score_range: tuple[float, float] | None) -> list[float]:
    raw = list(values)
    numbers = [_as_number(value) for value in raw]
    wrong = [i for i, number in enumerate(numbers, start=1) if number is None]
    if wrong:
        raise DataError(
            f"{label}: the label in column {name!r} is not a number in {_rows(wrong)}: {raw[wrong[0] - 1]!r}. Mend or "
            "remove such rows; if this is not the label column, say --columns; if row 1 is a header, say --header."
        )
    scores = [number for number in numbers if number is not None]
    low, high = min(scores), max(scores)
    if score_range is None:
        if low < _COSINE_RANGE.low or high > _COSINE_RANGE.high:
            raise DataError(
                f"{label}: the labels in column {name!r} go from {low:g} to {high:g}, but a cosine similarity only "
                f"reaches {_COSINE_RANGE}. Say the ends of your label scale, which are then mapped to 0 and 1; if it "
                f"is the range seen here: --score-range {math.floor(low)},{math.ceil(high)}"
            )
        return scores
    bottom, top = score_range
    outside = [i for i, score in enumerate(scores, start=1) if not bottom <= score <= top]
    if outside:
        raise DataError(
            f"{label}: the label in column {name!r} lies outside --score-range {bottom:g},{top:g} in {_rows(outside)}: "
            f"{scores[outside[0] - 1]:g}. The labels go from {low:g} to {high:g}."
        )
    return [(score - bottom) / (top - bottom) for score in scores]
