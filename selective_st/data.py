"""Graded sentence pairs of the user's files and hub datasets, checked and mapped to the score's range.

Nothing is guessed in silence: what was decided about the columns and the labels is in the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from selective_st._row_files import RowFile
from selective_st._validation import interval_of
from selective_st.errors import DataError
from selective_st.files import FileTable, hub_splits, read_file, read_table
from selective_st.layouts import PAIR_COLUMNS, GradedPairs
from selective_st.registry.columns import as_number, but_for_few, is_metadata, scale_around, usual_scale
from selective_st.registry.detection import format_of
from selective_st.registry.names import TRAINER_LABELS, says
from selective_st.registry.table import tables

__all__ = ["GradedPairs", "hub_splits", "read_pairs", "read_table"]

_NUMBERS = ("integer", "float", "boolean", "class label")


def read_pairs(
    source: str | FileTable,
    *,
    columns: Sequence[str] | None = None,
    score_range: tuple[float, float] | None = None,
    header: bool | None = None,
    split: str = "train",
) -> GradedPairs:
    """Read graded sentence pairs.

    Args:
        source: A file or a hub dataset, as for `read_file`; or what was read of one.
        columns: The two text columns and the label column, in this order: names, or numbers counted from 1. Default:
            the only possible choice, where there is one.
        score_range: The ends of the labels' scale, mapped to 0 and 1. Default: labels are taken as they are and must
            lie within [-1, 1].
        header: Whether a CSV or TSV file has a header row, as for `read_file`.
        split: Which split of a hub dataset.

    Returns:
        The pairs.

    Raises:
        DataError: If the source is missing, empty or unreadable; a column is missing or unclear; or a row has an empty
            text or a label that is not a number in range. The message names the lines of the file, or else the rows,
            counted from 1.
    """
    if score_range is not None:
        score_range = interval_of("read_pairs", "score_range", score_range)
    table = source if isinstance(source, FileTable) else read_file(source, header=header, split=split)
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
    return GradedPairs(dataset, table.name, notes, (first, second))


def named_columns(table: FileTable | RowFile, columns: Sequence[str], option: str = "--columns") -> list[str]:
    """The columns that are meant by names, or by numbers counted from 1.

    Args:
        table: What was read, or is.
        columns: Their names or numbers.
        option: What named them, for the message.

    Returns:
        Their names.

    Raises:
        DataError: If there is no such column, or one is named twice.
    """
    available = table.names
    asked = [columns] if isinstance(columns, str) else [str(name) for name in columns]
    numbered = {str(place): name for place, name in enumerate(available, start=1)}
    chosen = [name if name in available else numbered.get(name, name) for name in asked]
    missing = [name for name in chosen if name not in available]
    if missing or len({*chosen}) < len(chosen):
        twice = f": {option} names a column twice: {', '.join(asked)}"
        what = f" has no column {', '.join(map(repr, missing))}" if missing else twice
        raise DataError(f"{table.name}{what}; it has {', '.join(available)}. Mend {option}.")
    return chosen


def _pair_columns(table: FileTable, columns: Sequence[str] | None) -> list[str]:
    """The two texts and the label."""
    available = table.dataset.column_names
    columns = [columns] if isinstance(columns, str) else columns
    if columns is not None and len(columns) == 3:
        return named_columns(table, columns)
    labels = [name for name in TRAINER_LABELS if name in available] if table.named else available[-1:]
    texts = [name for name in available if name not in labels]
    if columns is None and len(labels) == 1 and len(texts) == 2:
        return [*texts, *labels]
    why = "it is not clear which columns to use"
    if columns is not None:
        why = f"--columns takes two text columns and the label column, got {len(columns)}: {', '.join(columns)}"
    elif len(available) < 3:
        why = "graded pairs need three columns: two texts and a label"
    likely = ",".join(_likely_columns(table.dataset))
    say = f"; name the two texts and the label, for example --columns {likely}" if likely else ""
    raise DataError(f"{table.name}: {why}. It has {len(available)} column(s): {', '.join(available)}{say}.")


def _likely_columns(dataset: Dataset) -> list[str]:
    """The two texts and the label, as far as values and names tell; empty where they do not."""
    found = format_of(*tables(dataset))
    if len(found.inputs) == 2 and found.label_column is not None:
        return [*found.inputs, found.label_column]
    numbers = [column for column in found.columns if column.kind in _NUMBERS and not is_metadata(column)]
    labels = sorted(numbers, key=lambda column: not column.hint)
    texts = [column for column in found.columns if column.kind == "text" and not is_metadata(column)]
    texts = sorted(sorted(texts, key=lambda column: column.looks != "text")[:2], key=found.columns.index)
    return [column.name for column in (*texts, labels[0])] if len(texts) == 2 and labels else []


def _checked_texts(table: FileTable, name: str) -> list[str]:
    texts = table.texts(name)
    wrong = [row for row, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
    if wrong:
        raise DataError(
            f"{table.name}: column {name!r} must hold texts, but {table.rows_in_words(wrong)} hold(s) "
            f"{texts[wrong[0]]!r}. Fix or remove these rows, or choose other columns with --columns."
        )
    return texts


def _checked_scores(table: FileTable, name: str, score_range: tuple[float, float] | None) -> list[float]:
    scores: Any = numbers_in(table, name, list(table.dataset[name]), missing=False)
    if score_range is not None:
        check_scale(table, name, scores, score_range)
        return [(score - score_range[0]) / (score_range[1] - score_range[0]) for score in scores]
    low, high = min(scores), max(scores)
    outside = [row for row, score in enumerate(scores) if not -1 <= score <= 1]
    if outside:
        few = f"Fix {table.rows_in_words(outside)}, the only ones, or give" if but_for_few(scores) else "Give"
        ends = usual_scale(scores) or scale_around(low, high)
        how = "if these are its ends" if ends == (low, high) else "a guess"
        raise DataError(
            f"{table.name}: the labels in column {name!r} range from {low:g} to {high:g}, but a cosine similarity from "
            f"-1 to 1. {few} the scale of your labels, which is then mapped to 0 to 1: --score-range "
            f"{ends[0]:g},{ends[1]:g} ({how})"
        )
    return scores  # type: ignore[no-any-return]


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
        words = {str(label) for label in labels}
        yes, no = (sorted(word for word in words if says([word], f"{sign} value")) for sign in ("positive", "negative"))
        if len(yes) + len(no) == len(words):
            mend = f"Write 1 for {' and '.join(yes) or 'yes'}, 0 for {' and '.join(no) or 'no'}."
            raise DataError(f"{table.name}: the labels in column {name!r} are words. {mend}")
        written = table.texts(name) if name in table.dataset.column_names else labels
        raise DataError(
            f"{table.name}: the label in column {name!r} is not a number in {table.rows_in_words(wrong)}: "
            f"{written[wrong[0]]!r}. Fix or remove these rows. If this is not the label column, pass --columns; if the "
            "first row is a header, pass --header."
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
            f"{table.rows_in_words(outside)}: {known[outside[0]]:g}. The labels go from {min(known.values()):g} to "
            f"{max(known.values()):g}."
        )
