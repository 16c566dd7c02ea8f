"""CSV and TSV files: what parts and quotes the cells, whether the first row is a header, which columns are numbers.

Python's csv module reads, a batch of rows at a time: others repair broken rows in silence, or cannot name their lines.
"""

from __future__ import annotations

import csv
import itertools
import re
import shlex
import statistics
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from selective_st._text_files import MOST_COLUMNS, TextTable, ending, open_lines
from selective_st.errors import DataError, shown_rows
from selective_st.registry.names import hint_of, role_of

_DELIMITERS = (",", "\t", ";", "|")
_LOOKED_AT = 100  # rows, for what parts their cells
_COMPARED = 1_000  # rows that the first one is compared with
_CELLS = 100_000  # in a batch
_NAMED = 20  # columns in a note
_HALF, _MOSTLY = 0.5, 0.8
_FEW = 0.25  # words to a number
_EXACT = 2**53  # up to here every whole number is a float
_ENOUGH = 4  # rows, to show that few values come again
_LONG = 3  # words; longer texts are no names
_ENDS = ".?!\u3002\uff1f\uff01\u061f\u0964"  # of sentences
_SHOWN_WORDS = 3
_TOO_LONG = "holds numbers of more digits than 64 bits keep: it stays text"

_MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "-", "--", "?", "."))
_FIGURE = re.compile(r"[+-]?(\d[\d.,:/-]*|[.,]\d+)([eE][+-]?\d+)?\s*%?")  # also a date, a time, a share
_CODE = re.compile(r"(?=\D*\d)\S+")
_NAME = re.compile(r"[^\W\d]\S{0,39}(?<![.?!])")
_SPACED_QUOTE = re.compile(r'\s+".*"\s*', re.DOTALL)
_BREAK = re.compile(r"\s*[\r\n]+\s*")
# Scripts without spaces, about two characters a word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_USUAL_NAMES = frozenset(("text", "texts", "sentence", "title", "body", "content", "source", "target", "id"))

_WHOLE = r"^[+-]?(0|[1-9][0-9]*)$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NAME_OF_DIGITS = r"^[+-]?0[0-9]"  # "007" is a name, not the number 7
_POINT_NUMBER = r"^[+-]?[0-9]*\.[0-9]+$"
_COMMA_NUMBER = r"^[+-]?[0-9]+,[0-9]+$"
_THOUSANDS = r"^[+-]?[1-9][0-9]{0,2},[0-9]{3}$"


def read_delimited(path: Path, header: bool | None) -> TextTable:
    """Read a CSV or TSV file.

    Args:
        path: Where it is.
        header: Whether it has a header row. Default: decided by comparing the first row with the others.

    Returns:
        What was read.

    Raises:
        DataError: If it cannot be read, or its rows are not alike.
    """
    delimiter, skipped = delimiter_of(path)
    cells, notes = _cells(path, delimiter, skipped)
    if delimiter != usual_delimiter(path):
        notes.insert(0, f"{path.name}: cells are separated by {delimiter!r}")
    _refuse_spaced_quotes(path, delimiter, cells.columns)
    rows = min(_COMPARED, max(10, _CELLS // len(cells.columns)))
    names, named, note = column_names(path.name, [column[:rows].to_pylist() for column in cells.columns], header)
    notes.insert(0, note)
    lines = cells.lines[int(named) :]
    columns, written = {}, {}
    for name, values in zip(names, cells.columns, strict=True):
        texts = values[int(named) :]
        columns[name], note = _typed(texts, lines, commas=delimiter != ",")
        if columns[name] is not texts:
            written[name] = texts
        notes += [f"{path.name}: column {name!r} {note}"] if note else []
    return TextTable(pa.table(columns), named, notes, lines, written)


def _refuse_spaced_quotes(path: Path, delimiter: str, columns: Sequence[pa.ChunkedArray]) -> None:
    """Raise where cells begin with a space and a quote, which is then no quote but a part of the text."""
    for place, column in enumerate(columns, start=1):
        cells = column[:_LOOKED_AT].to_pylist()
        if sum(bool(_SPACED_QUOTE.fullmatch(cell)) for cell in cells) > _HALF * len(cells):
            program = shlex.quote(f's/{delimiter} *"/{delimiter}"/g')
            raise DataError(
                f"{path.name}: in column {place} quotes stand after a space, where they are a part of the text. Take "
                f"these spaces out: sed {program} {shlex.quote(path.name)} > rows{path.suffix}"
            )


# --- Delimiters -------------------------------------------------------------------------------------------------------


class _Fit(NamedTuple):
    """How well a delimiter parts the first rows of a file, by what tells most first."""

    strict: bool  # whether quotes stand where they should
    no_prose: bool  # whether cells begin without a space, unlike after a comma within a sentence
    numbers: int  # columns that hold numbers below the first row
    share: float  # of the rows that have as many cells as the first


def usual_delimiter(path: Path) -> str:
    """What parts the cells, by the ending of the file's name."""
    return "\t" if ending(path.name) == ".tsv" else ","


def delimiter_of(path: Path) -> tuple[str, int]:
    """What parts the cells, by the first row and most of those below it; and how many lines come before these."""
    with open_lines(path) as lines:
        sample = list(itertools.islice(lines, _LOOKED_AT))
    told = re.fullmatch(r"sep=([,;|\t])\s*", sample[0]) if sample else None  # as Excel is told
    if told is not None:
        return told[1], 1
    usual = usual_delimiter(path)
    fits = {delimiter: fit for delimiter in _DELIMITERS if (fit := _fit(sample, delimiter)) is not None}
    ranks = {
        delimiter: (*fit, delimiter != ",", delimiter == usual)
        for delimiter, fit in fits.items()
        if fit.share > _HALF and (delimiter != "," or usual == "," or fit.no_prose)
    }
    others = [delimiter for delimiter in fits if delimiter not in (usual, ",")]
    if not ranks and others and usual not in fits:
        raise DataError(
            f"{path.name}: the first row holds {' and '.join(map(repr, others))}, but most rows below have not as "
            "many. If that parts the cells, mend these rows; if each row is one text, put the first one in quotes: "
            f'"{sample[0].strip():.60}"'
        )
    return max(ranks, key=ranks.__getitem__, default=usual), 0


def _fit(sample: Sequence[str], delimiter: str) -> _Fit | None:
    """How well a delimiter parts the first rows; None where it does not part the first of them."""
    quotings = (csv.QUOTE_MINIMAL,) if delimiter == "," else (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
    found = [sample_rows(sample, delimiter, quoting) for quoting in quotings]
    alike = [[row for row in rows if row and len(row) == len(rows[0])] for rows in found]
    shares = [len(part) / max(1, len(rows)) for part, rows in zip(alike, found, strict=True)]
    best = shares.index(max(shares))
    if not alike[best] or len(alike[best][0]) < 2:
        return None
    columns = list(zip(*(alike[best][1:] or alike[best]), strict=True))
    later = [cell for row in alike[best] for cell in row[1:]]
    return _Fit(
        strict=best == 0 and [] not in found[0],
        no_prose=sum(cell.startswith(" ") for cell in later) <= _HALF * len(later),
        numbers=sum(all(_FIGURE.fullmatch(cell.strip()) for cell in column) for column in columns),
        share=shares[best],
    )


def sample_rows(sample: Sequence[str], delimiter: str, quoting: Any) -> list[list[str]]:
    """The first rows that are not empty; one that cannot be read is the last, without cells."""
    rows: list[list[str]] = []
    try:
        rows.extend(cells for _, _, cells in rows_of(sample, delimiter, quoting) if any(cells))
    except csv.Error:
        rows.append([])
    return rows


# --- Rows -------------------------------------------------------------------------------------------------------------


def rows_of(
    lines: Iterable[str], delimiter: str, quoting: Any, skipped: int = 0
) -> Iterator[tuple[int, int, list[str]]]:
    """For each row the line on which it begins, that after its end, and its cells; other lines may come before."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    left, held, after = iter(lines), list[str](), skipped + 1
    every = iter(lambda: held.pop() if held else next(left, ""), "")
    reader = csv.reader(every, delimiter=delimiter, quoting=quoting, strict=True)
    for line in left:
        begin = after
        if quoting == csv.QUOTE_NONE or '"' not in line:  # then the line is a row, and parted in half the time
            row = line.rstrip("\r\n")
            cells, after = row.split(delimiter) if row else [], begin + 1
        else:
            held.append(line)
            before = reader.line_num
            cells = next(reader)
            after = begin + reader.line_num - before
        yield begin, after, cells


@dataclass
class _Cells:
    """The cells of a file.

    Attributes:
        columns: For each column its cells.
        lines: The line on which each row begins.
        several: The first lines of rows that go over several, as cells in quotes may.
        blank: The lines of rows left out, because no cell of them is filled.
        error: The line at which the file cannot be read so, and why.
    """

    columns: list[pa.ChunkedArray] = field(default_factory=list)
    lines: array[int] = field(default_factory=lambda: array("q"))
    several: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    error: tuple[int, str] | None = None


def _cells(path: Path, delimiter: str, skipped: int) -> tuple[_Cells, list[str]]:
    """The cells, and notes on quotes and on rows that are not as others."""
    name, notes = path.name, []
    # Many files that commas do not part do not quote: there a quote is a character like any other.
    found = _parsed(path, delimiter, csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE, skipped)
    starts = (pc.starts_with(column, '"') for column in found.columns)
    if delimiter != "," and (found.error is not None or any(pc.any(start).as_py() for start in starts)):
        quoted = _parsed(path, delimiter, csv.QUOTE_MINIMAL, skipped)
        as_well = len(quoted.lines) + len(quoted.blank) == len(found.lines) + len(found.blank)
        if quoted.error is None and (as_well or found.error is not None):
            found = quoted
            notes.append(f"{name}: cells in double quotes are taken without them")
        elif found.error is None:
            notes.append(f"{name}: double quotes are taken as part of the text")
        elif quoted.error is not None and quoted.error[0] > found.error[0]:
            found = quoted
    if found.error is not None:
        raise DataError(f"{name}{found.error[1]}")
    if not found.lines:
        raise DataError(f"{name} is empty.")
    seen = {"over several lines, from": found.several, "without a filled cell left out, in": found.blank}
    notes += [f"{name}: {len(of):,} row(s) {what} {shown_rows(of, 'line')}" for what, of in seen.items() if of]
    return found, notes


def _parsed(path: Path, delimiter: str, quoting: Any, skipped: int) -> _Cells:
    """The cells, as far as every row has as many as the first."""
    found = _Cells()
    batches: list[list[pa.Array]] = []
    batch: list[str] = []  # cells row by row: rows would have to be looked through for cycles
    wrong: list[tuple[int, int]] = []
    width, after = 0, skipped + 1

    def store() -> None:
        batches.append([pa.array(batch[place::width], pa.string()) for place in range(width)])
        batch.clear()

    try:
        with open_lines(path) as lines:
            left = itertools.islice(lines, skipped, None)
            for line, after, cells in rows_of(left, delimiter, quoting, skipped):
                if not (cells and cells[0].strip()) and not "".join(cells).strip():
                    found.blank += [line] if cells else []
                    continue
                width = width or len(cells)
                if width > MOST_COLUMNS:
                    why = f" has {width:,} cells in line {line}. Part it into rows of {MOST_COLUMNS:,} at most."
                    found.error = line, why
                    return found
                if len(cells) != width:
                    wrong.append((line, len(cells)))
                    continue
                batch += cells
                found.lines.append(line)
                if after > line + 1:
                    found.several.append(line)
                if len(batch) >= _CELLS:
                    store()
    except csv.Error as error:
        why = f" could not be read as CSV: {error}, in the row that begins in line {after}. Check the quotes in it: "
        found.error = after, why + 'within a cell in quotes each is written twice, as in "like ""this"""'
    if wrong:
        line, count = wrong[0]
        if len(wrong) > len(found.lines) and {cells for _, cells in wrong} == {count}:
            why = (
                f" has {width} cells in line {skipped + 1}, but {count} in most others: a title? Leave it out: tail -n "
            )
            found.error = line, why + f"+{line} {shlex.quote(path.name)} > rows.csv"
            return found
        more = f" (and {len(wrong) - 1:,} more such lines)" if len(wrong) > 1 else ""
        why = f" has {width} columns, but {count} cells in line {line}{more}. Mend the line; a cell that holds the "
        found.error = line, why + f'delimiter must stand in quotes: "like{delimiter} this".'
    if batch:
        store()
    found.columns = [pa.chunked_array(list(column), pa.string()) for column in zip(*batches, strict=True)]
    return found


# --- Headers ----------------------------------------------------------------------------------------------------------


def column_names(name: str, columns: Sequence[Sequence[str]], header: bool | None) -> tuple[list[str], bool, str]:
    """The column names, whether the first of some rows gives them, and a note on it."""
    columns = [[cell.strip() for cell in column] for column in columns]
    first = [column[0] for column in columns]
    named, why = (header, "as told") if header is not None else _is_header(first, [column[1:] for column in columns])
    if not named:
        hint = "" if header is not None else "; if it is one, pass --header"
        numbers = [str(place + 1) for place in range(len(first))]
        return numbers, False, f"{name}: no header row ({why}); columns are numbered 1 to {len(first)}{hint}"
    names = [_BREAK.sub(" ", cell) or f"Unnamed: {place}" for place, cell in enumerate(first)]
    repeated = sorted(given for given, number in Counter(names).items() if number > 1)
    if repeated:
        raise DataError(
            f"{name}: the header row names a column twice: {_shown(repeated)}. If it is no header, pass --no-header."
        )
    hint = "" if header is not None else "; if it is data, pass --no-header"
    return names, True, f"{name}: the first row is a header ({why}): {_shown(names)}{hint}"


def _shown(names: Sequence[str]) -> str:
    """The first few names, without characters that would tear a line of text."""
    first = [name if name.isprintable() else repr(name)[1:-1] for name in names[:_NAMED]]
    return ", ".join(first) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


Says = Literal["word over numbers", "number over numbers", "number over texts", "usual name", "name", "text", ""]
# How much a cell speaks for a header.
_WEIGHTS: dict[Says, int] = {"usual name": 2, "name": 1, "text": -2}


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[bool, str]:
    """Whether a first row names its columns, by what stands below it; and why."""
    says = [_says(cell, column) for cell, column in zip(first, below, strict=True)]

    def saying(*kinds: Says) -> list[str]:
        return [cell for cell, kind in zip(first, says, strict=True) if kind in kinds]

    figures, over_numbers = saying("number over numbers", "number over texts"), saying("word over numbers")
    words = [cell for cell in first if cell and cell not in figures]
    if over_numbers and (all(map(_NAME.fullmatch, words)) or "number over numbers" not in says):
        return True, f"{over_numbers[0]!r:.60} is above numbers"
    counted = [str(number) for number in range(len(figures) + 1)]
    if "number over texts" in says and not words and figures in (counted[:-1], counted[1:]):
        return True, "it counts the columns"
    if figures:
        if words and words == saying("usual name") and all(map(str.isdecimal, figures)):
            return True, f"{words[0]!r} is a name, and so may be {figures[0]}"
        return False, f"its first row contains the number {figures[0]}"
    sum_ = sum(_WEIGHTS.get(kind, 0) for kind in says)
    if sum_ < 0:
        return False, f"{saying('text')[0]!r:.60} is like the cells below it"
    if sum_ > 0:
        return True, f"{saying('usual name', 'name')[0]!r:.60} is unlike the cells below it"
    return True, "no cell of the first row is a number"


def _says(cell: str, below: Sequence[str]) -> Says:
    """What a cell of the first row says on whether that is a header, by the cells below it."""
    filled = [other for other in below if other.lower() not in _MISSING]
    figures = sum(bool(_FIGURE.fullmatch(other)) for other in filled)
    over_numbers = figures >= _MOSTLY * len(filled)
    if _FIGURE.fullmatch(cell):
        return "number over numbers" if over_numbers else "number over texts"
    own = _words(cell)
    if not cell or not filled:
        return "text" if own > _LONG else ""
    if cell.lower() in _MISSING:
        return "text"
    if over_numbers:
        return "word over numbers"
    typical = statistics.median(map(_words, filled))
    is_name = bool(_NAME.fullmatch(cell)) and typical >= 2 * own
    if is_name and (cell.lower() in _USUAL_NAMES or role_of(cell) or hint_of(cell)):
        return "usual name"
    if cell in filled:
        return "text"
    few = len(filled) >= _ENOUGH and len(set(filled)) <= _HALF * len(filled)
    if few and typical <= _LONG:  # a class, say: the cell is none of the values that come again
        return "name"
    codes = sum(bool(_CODE.fullmatch(other)) for other in filled) >= _MOSTLY * len(filled)
    ends = cell[-1] in _ENDS
    if own <= _LONG and not ends and (is_name or typical >= 2.5 * own or (codes and not _CODE.fullmatch(cell))):
        return "name"
    if own >= _LONG or ends:
        return "text" if typical > own / 3 else "name"
    return ""


def _words(text: str) -> float:
    """How many words a text has, about."""
    return max(len(text.split()), len(_UNSPACED.findall(text)) / 2)


# --- Numbers ----------------------------------------------------------------------------------------------------------


def _typed(cells: pa.ChunkedArray, lines: Sequence[int], *, commas: bool) -> tuple[pa.ChunkedArray, str]:
    """The cells as numbers, None where empty, if all that are filled are numbers and none loses a digit; and a note.

    Args:
        cells: The cells of a column.
        lines: On which line each stands.
        commas: Whether numbers may be written with decimal commas.

    Returns:
        The column, and what is to be said of it.
    """
    trimmed = pc.utf8_trim_whitespace(cells)
    filled, note = pc.not_equal(trimmed, ""), ""
    if commas and _count(pc.match_substring_regex(trimmed, _COMMA_NUMBER)) > _HALF * _count(filled):
        with_points = _with_points(trimmed)
        if with_points is None:
            return cells, "holds numbers whose commas may part thousands or decimals: it stays text; write 1234 or 1.5"
        trimmed, note = with_points, "has decimal commas, read as points"
    is_number = pc.match_substring_regex(trimmed, _NUMBER)
    numbers = _count(is_number)
    if not numbers or _count(pc.match_substring_regex(trimmed, _NAME_OF_DIGITS)):
        return cells, ""
    written = pc.if_else(is_number, pc.utf8_ltrim(trimmed, characters="+"), pa.scalar(None, pa.string()))
    floats = written.cast(pa.float64())
    infinite = pc.fill_null(pc.is_inf(floats), False)
    is_word = pc.and_(filled, pc.or_(pc.invert(is_number), infinite))
    if _count(is_word):
        return cells, _words_among(numbers, trimmed.filter(is_word), np.asarray(lines)[is_word.to_numpy()].tolist())
    if _count(pc.match_substring_regex(trimmed, _WHOLE)) == numbers:
        try:
            return written.cast(pa.int64()), note
        except pa.ArrowInvalid:
            return cells, _TOO_LONG
    plain = pc.invert(pc.match_substring(trimmed, "e", ignore_case=True))
    if _count(pc.and_(plain, pc.fill_null(pc.greater(pc.abs(floats), _EXACT), False))):
        return cells, _TOO_LONG
    return floats, note


def _count(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0


def _with_points(cells: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Numbers with a decimal comma as numbers with a point; None where the comma may part thousands."""
    commas, points, thousands = (
        pc.match_substring_regex(cells, pattern) for pattern in (_COMMA_NUMBER, _POINT_NUMBER, _THOUSANDS)
    )
    if _count(points) or _count(thousands) == _count(commas):
        return None
    return pc.if_else(commas, pc.replace_substring(cells, ",", "."), cells)


def _words_among(numbers: int, words: pa.ChunkedArray, lines: Sequence[int]) -> str:
    """What is to be said of a column of numbers among which are a few words; nothing where they are many."""
    known = pc.is_in(pc.utf8_lower(words), pa.array(_MISSING))
    if numbers < 2 or len(words) - _count(known) > _FEW * numbers:
        return ""
    places: dict[str, list[int]] = {}
    for word, line in zip(words.to_pylist(), lines, strict=True):
        places.setdefault(word, []).append(line)
    shown = [f"{word!r:.60} in {shown_rows(found, 'line')}" for word, found in [*places.items()][:_SHOWN_WORDS]]
    more = f" and {len(places) - _SHOWN_WORDS:,} other words" if len(places) > _SHOWN_WORDS else ""
    return f"holds numbers, but {', '.join(shown)}{more}: it stays text; mend these lines, or leave them out"
