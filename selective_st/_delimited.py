"""CSV and TSV files: what parts and quotes the cells, whether the first row is a header, which columns are numbers.

Python's csv module reads, a row at a time: others repair broken rows in silence, or cannot name their lines.
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
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from selective_st._row_files import FileTable, TextRows
from selective_st._text_files import MOST_COLUMNS, dataset_of, ending, open_lines
from selective_st.errors import DataError, shown_rows
from selective_st.registry.names import hint_of, role_of

_DELIMITERS = (",", "\t", ";", "|")
_LOOKED_AT = 100  # lines, for what parts the cells
_COMPARED = 1_000  # rows that the first one is compared with
_CELLS = 100_000  # in a batch
_NAMED = 20  # columns in a note
_HALF, _MOSTLY = 0.5, 0.8
_FEW = 0.25  # words to a number
_EXACT = 2**53  # up to here every whole number is a float
_LONG = 3  # words; longer texts are no names
_ENDS = ".?!\u3002\uff1f\uff01\u061f\u0964"  # of sentences
_SHOWN_WORDS = 3
_TOO_LONG = "holds numbers of more digits than 64 bits keep: it stays text"

_MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "-", "--", "?", "."))
_FIGURE = re.compile(r"[+-]?(\d[\d.,:/-]*|[.,]\d+)([eE][+-]?\d+)?\s*%?")  # also a date, a time, a share
_NAME = re.compile(r"[^\W\d]\S{0,39}(?<![.?!])")
_SPACED_QUOTE = re.compile(r'\s+".*"\s*', re.DOTALL)
# Scripts without spaces, about two characters a word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_USUAL_NAMES = frozenset(("text", "texts", "sentence", "title", "body", "content", "source", "target", "id"))

# "007" is a name, not the number 7.
_NUMBER = r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_COMMA_NUMBER = r"^[+-]?[0-9]+,[0-9]+$"
_THOUSANDS = r"^[+-]?[1-9][0-9]{0,2},[0-9]{3}$"


class Row(NamedTuple):
    """A row: the line on which it begins, how it is written, and its cells."""

    line: int
    raw: str
    cells: list[str]

    @property
    def is_several(self) -> bool:
        """Whether it goes over several lines."""
        return '"' in self.raw and re.search(r"[\r\n]", self.raw.rstrip("\r\n")) is not None

    @property
    def is_blank(self) -> bool:
        """Whether no cell of it is filled."""
        return not self.cells[0].strip() and not any(map(str.strip, self.cells))


def rows_of(lines: Iterable[str], delimiter: str, quoting: Any, skipped: int = 0) -> Iterator[Row]:
    """The rows of a file of which some lines were left out before; empty lines are rows without cells."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    taken: list[str] = []
    noted = (taken.append(line) or line for line in lines)  # type: ignore[func-returns-value]
    begin = skipped + 1
    try:
        for cells in csv.reader(noted, delimiter=delimiter, quoting=quoting, strict=True):
            yield Row(begin, "".join(taken), cells)
            begin += len(taken)
            taken.clear()
    except csv.Error as error:
        raise csv.Error(f"{error}, in the row that begins in line {begin}") from None


class DelimitedFile(TextRows):
    """A CSV or TSV file: what parts and quotes its cells, and what its columns are called.

    Attributes:
        delimiter: What parts the cells.
        head: How many of its rows name the columns.

    Args:
        path: Where it is.
        header: Whether it has a header row. Default: decided by comparing the first row with the others.
    """

    def __init__(self, path: Path, header: bool | None) -> None:
        super().__init__(path)
        self.delimiter, self._skipped = _delimiter_of(path)
        self._quoting, quotes = self._quotes()
        sample = [row.cells for row in itertools.islice(self.every(), _COMPARED)]
        if not sample:
            raise DataError(f"{self.name} is empty.")
        self.names, self.head, note = _column_names(self.name, list(zip(*sample, strict=True)), header)
        parted = f"{self.name}: cells are separated by {self.delimiter!r}"
        self.notes = [note, *([parted] if self.delimiter != _usual_delimiter(path) else []), *quotes]

    def every(self, quoting: Any = None) -> Iterator[Row]:
        """All rows, the head with them, but no empty lines; an error where one has not as many cells as the first."""
        quoting = self._quoting if quoting is None else quoting
        name, width, read = self.name, 0, 0
        try:
            with open_lines(self.path) as lines:
                left = itertools.islice(lines, self._skipped, None)
                for row in rows_of(left, self.delimiter, quoting, self._skipped):
                    if not row.cells or (len(row.cells) != width and row.is_blank):
                        continue
                    width = width or len(row.cells)
                    if width > MOST_COLUMNS:
                        raise DataError(f"{name} has {width:,} cells in line {row.line}. Part it into rows.")
                    if len(row.cells) != width:
                        what = f"{name} has {width} columns, but {len(row.cells)} cells in line {row.line}"
                        mend = f'Mend it: cells that hold the delimiter stand in quotes, "like{self.delimiter} this".'
                        if read == 1:
                            mend += (
                                f" If the line before is a title: tail -n +{row.line} {shlex.quote(name)} > rows.csv"
                            )
                        raise DataError(f"{what}. {mend}")
                    read += 1
                    yield row
        except csv.Error as error:
            raise DataError(
                f"{name} could not be read as CSV: {error}. Check the quotes in it: within a cell in quotes each is "
                'written twice, as in "like ""this"""'
            ) from None

    def _quotes(self) -> tuple[int, list[str]]:
        """How cells are quoted, and a note on it.

        Many files that commas do not part do not quote: there a quote is a character like any other.
        """
        if self.delimiter == ",":
            return csv.QUOTE_MINIMAL, []
        rows, in_quotes, several, error = self._tried(csv.QUOTE_MINIMAL)
        if error is not None or several:
            plain_rows, *_, plain_error = self._tried(csv.QUOTE_NONE)
            if plain_error is None:
                return csv.QUOTE_NONE, [f"{self.name}: double quotes are taken as part of the text"]
            if error is not None:
                raise error if rows > plain_rows else plain_error
        return csv.QUOTE_MINIMAL, [f"{self.name}: cells in double quotes are taken without them"] if in_quotes else []

    def _tried(self, quoting: int) -> tuple[int, bool, bool, DataError | None]:
        """How many rows can be read so, whether some are in quotes or over several lines, and what is wrong then."""
        rows, in_quotes, several, error = 0, False, False, None
        try:
            for rows, row in enumerate(self.every(quoting), start=1):  # noqa: B007
                if '"' in row.raw:
                    in_quotes = in_quotes or row.raw.startswith('"') or f'{self.delimiter}"' in row.raw
                    several = several or row.is_several
        except DataError as raised:
            error = raised
        return rows, in_quotes, several, error

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        places = [self.names.index(name) for name in columns]
        rows = itertools.islice(self.every(), self.head, None)
        return ((row.line, [row.cells[place] for place in places]) for row in rows)

    def raws(self) -> Iterator[str]:
        return (row.raw for row in self.every())

    def joined(self, row: str, names: Sequence[str], cells: Sequence[str]) -> str:
        return self.delimiter.join((row, *cells))

    def table(self) -> FileTable:
        several, blank, lines = list[int](), list[int](), array("q")
        width, cells = len(self.names), list[str]()  # row by row: rows would have to be looked through for cycles
        batches: list[list[pa.Array]] = []

        def store() -> None:
            batches.append([pa.array(cells[place::width], pa.string()) for place in range(width)])
            cells.clear()

        for row in itertools.islice(self.every(), self.head, None):
            if row.is_blank:
                blank.append(row.line)
                continue
            several += [row.line] if row.is_several else []
            lines.append(row.line)
            cells += row.cells
            if len(cells) >= _CELLS:
                store()
        store()
        told = {"over several lines, from": several, "without a filled cell left out, in": blank}
        notes = [f"{self.name}: {len(of):,} row(s) {what} {shown_rows(of, 'line')}" for what, of in told.items() if of]
        columns, written = {}, dict[str, pa.ChunkedArray]()
        for place, name in enumerate(self.names):
            texts = pa.chunked_array([batch[place] for batch in batches], pa.string())
            _refuse_spaced_quotes(self, place, texts)
            columns[name], note = _typed(texts, lines, commas=self.delimiter != ",")
            if columns[name] is not texts:
                written[name] = texts
            notes += [f"{self.name}: column {name!r} {note}"] if note else []
        notes = [*self.notes, *notes]
        return FileTable(dataset_of(self.path, pa.table(columns)), self.name, bool(self.head), notes, lines, written)


def _refuse_spaced_quotes(file: DelimitedFile, place: int, column: pa.ChunkedArray) -> None:
    """Raise where cells begin with a space and a quote, which is then no quote but a part of the text."""
    cells = column[:_LOOKED_AT].to_pylist()
    if sum(bool(_SPACED_QUOTE.fullmatch(cell)) for cell in cells) > _HALF * len(cells):
        name, program = shlex.quote(file.path.name), shlex.quote(f's/{file.delimiter} *"/{file.delimiter}"/g')
        raise DataError(
            f"{file.path.name}: in column {place + 1} quotes stand after a space, where they are a part of the text. "
            f"Take these spaces out: sed {program} {name} > rows{file.path.suffix}"
        )


# --- Delimiters -------------------------------------------------------------------------------------------------------


def _usual_delimiter(path: Path) -> str:
    """What parts the cells, by the ending of the file's name."""
    return "\t" if ending(path.name) == ".tsv" else ","


def _delimiter_of(path: Path) -> tuple[str, int]:
    """What parts the cells, by the first row and most of those below it; and how many lines come before these."""
    with open_lines(path) as lines:
        sample = list(itertools.islice(lines, _LOOKED_AT))
    if sample and (told := re.fullmatch(r"sep=([,;|\t])\s*", sample[0])):  # as Excel is told
        return told[1], 1
    usual = _usual_delimiter(path)
    fits = {mark: fit for mark in _DELIMITERS if (fit := _fit(sample, mark)) is not None}
    ranks = {
        mark: (*fit, mark != ",", mark == usual)
        for mark, fit in fits.items()
        if fit.share > _HALF and (mark != "," or usual == "," or fit.no_prose)
    }
    others = [mark for mark in fits if mark not in (usual, ",")]
    if not ranks and others and usual not in fits:
        raise DataError(
            f"{path.name}: the first row holds {' and '.join(map(repr, others))}, but most rows below have not as "
            "many. If that parts the cells, mend these rows; if each row is one text, put the first one in quotes: "
            f'"{sample[0].strip():.60}"'
        )
    return max(ranks, key=ranks.__getitem__, default=usual), 0


class _Fit(NamedTuple):
    """How well a delimiter parts the first rows of a file, by what tells most first."""

    strict: bool  # whether quotes stand where they should
    no_prose: bool  # whether cells begin without a space, unlike after a comma within a sentence
    numbers: int  # columns that hold numbers below the first row
    share: float  # of the rows that have as many cells as the first


def _fit(sample: Sequence[str], delimiter: str) -> _Fit | None:
    """How well a delimiter parts the first rows; None where it does not part the first of them."""
    ways = []
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)[: 1 if delimiter == "," else 2]:
        rows, broken = list[list[str]](), False
        try:
            rows.extend(row.cells for row in rows_of(sample, delimiter, quoting) if any(row.cells))
        except csv.Error:
            broken = True
        alike = [row for row in rows if len(row) == len(rows[0])]
        ways.append((len(alike) / max(1, len(rows) + broken), quoting == csv.QUOTE_MINIMAL and not broken, alike))
    share, strict, alike = max(ways, key=itemgetter(0))
    if not alike or len(alike[0]) < 2:
        return None
    later = [cell for row in alike for cell in row[1:]]
    no_prose = sum(cell.startswith(" ") for cell in later) <= _HALF * len(later)
    numbers = sum(all(map(_is_figure, column)) for column in zip(*(alike[1:] or alike), strict=True))
    return _Fit(strict, no_prose, numbers, share)


# --- Headers ----------------------------------------------------------------------------------------------------------


def _column_names(name: str, columns: Sequence[Sequence[str]], header: bool | None) -> tuple[list[str], int, str]:
    """The column names, how many of some first rows give them, and a note on it."""
    columns = [[cell.strip() for cell in column] for column in columns]
    first = [column[0] for column in columns]
    named, why = (header, "as told") if header is not None else _is_header(first, [column[1:] for column in columns])
    if not named:
        hint = "" if header is not None else "; if it is one, pass --header"
        numbers = [str(place + 1) for place in range(len(first))]
        return numbers, 0, f"{name}: no header row ({why}); columns are numbered 1 to {len(first)}{hint}"
    names = [re.sub(r"\s*[\r\n]+\s*", " ", cell) or f"Unnamed: {place}" for place, cell in enumerate(first)]
    repeated = sorted(given for given, number in Counter(names).items() if number > 1)
    if repeated:
        raise DataError(
            f"{name}: the header row names a column twice: {_shown(repeated)}. If it is no header, pass --no-header."
        )
    hint = "" if header is not None else "; if it is data, pass --no-header"
    return names, 1, f"{name}: the first row is a header ({why}): {_shown(names)}{hint}"


def _shown(names: Sequence[str]) -> str:
    """The first few names, without characters that would tear a line of text."""
    first = [name if name.isprintable() else repr(name)[1:-1] for name in names[:_NAMED]]
    return ", ".join(first) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[bool, str]:
    """Whether a first row names its columns, by what stands below it; and why."""
    filled = [[cell for cell in column if cell.lower() not in _MISSING] for column in below]
    are_numbers = [sum(map(_is_figure, column)) >= _MOSTLY * len(column) for column in filled]
    figures = [cell for cell in first if _is_figure(cell)]
    words = [cell for cell in first if cell and cell not in figures]
    above = [cell for cell, column, yes in zip(first, filled, are_numbers, strict=True) if yes and column]
    over_numbers = [cell for cell in above if cell in words and cell.lower() not in _MISSING]
    if over_numbers and (all(map(_NAME.fullmatch, words)) or not {*figures} & {*above}):
        return True, f"{over_numbers[0]!r:.60} is above numbers"
    counted = [str(number) for number in range(len(figures) + 1)]
    if not words and not all(are_numbers) and figures in (counted[:-1], counted[1:]):
        return True, "it counts the columns"
    weights = [(cell, _weight(cell, column)) for cell, column in zip(first, filled, strict=True) if cell in words]
    if figures:
        if words and all(weight == _USUAL for _, weight in weights) and all(map(str.isdecimal, figures)):
            return True, f"{words[0]!r} is a name, and so may be {figures[0]}"
        return False, f"its first row contains the number {figures[0]}"
    sum_ = sum(weight for _, weight in weights)
    if not sum_:
        return True, "no cell of the first row is a number"
    shown = next(cell for cell, weight in weights if weight * sum_ > 0)
    return sum_ > 0, f"{shown!r:.60} is {'un' if sum_ > 0 else ''}like the cells below it"


_USUAL, _NAMED_SO, _LIKE = 2, 1, -2


def _weight(cell: str, filled: Sequence[str]) -> int:
    """How much a cell of the first row speaks for a header, by the cells below it; below 0 where it is like them."""
    own = _words(cell)
    if not filled:
        return _LIKE if own > _LONG else 0
    typical = statistics.median(map(_words, filled))
    is_name = bool(_NAME.fullmatch(cell)) and typical >= 2 * own
    if is_name and (cell.lower() in _USUAL_NAMES or role_of(cell) or hint_of(cell)):
        return _USUAL
    if cell in filled or cell.lower() in _MISSING:
        return _LIKE
    ends = cell[-1] in _ENDS
    if own <= _LONG and not ends and (is_name or typical >= 2.5 * own):
        return _NAMED_SO
    if own >= _LONG or ends:
        return _LIKE if typical > own / 3 else _NAMED_SO
    return 0


def _is_figure(cell: str) -> bool:
    return _FIGURE.fullmatch(cell.strip()) is not None


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
    with_comma = pc.match_substring_regex(trimmed, _COMMA_NUMBER)
    if commas and _count(with_comma) > _HALF * _count(filled):
        thousands = pc.match_substring_regex(trimmed, _THOUSANDS)
        if _count(pc.match_substring_regex(trimmed, r"\.[0-9]")) or _count(thousands) == _count(with_comma):
            return cells, "holds numbers whose commas may part thousands or decimals: it stays text; write 1234 or 1.5"
        trimmed = pc.if_else(with_comma, pc.replace_substring(trimmed, ",", "."), trimmed)
        note = "has decimal commas, read as points"
    is_number = pc.match_substring_regex(trimmed, _NUMBER)
    is_word = pc.and_(filled, pc.invert(is_number))
    if not _count(is_number):
        return cells, ""
    if _count(is_word):
        lines_of_words = np.asarray(lines)[is_word.to_numpy()].tolist()
        return cells, _words_among(_count(is_number), trimmed.filter(is_word).to_pylist(), lines_of_words)
    written = pc.if_else(filled, pc.utf8_ltrim(trimmed, characters="+"), pa.scalar(None, pa.string()))
    try:
        if not _count(pc.match_substring_regex(trimmed, "[.eE]")):
            return written.cast(pa.int64()), note
    except pa.ArrowInvalid:
        return cells, _TOO_LONG
    floats = written.cast(pa.float64())
    return (cells, _TOO_LONG) if pc.max(pc.abs(floats)).as_py() > _EXACT else (floats, note)


def _count(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0


def _words_among(numbers: int, words: Sequence[str], lines: Sequence[int]) -> str:
    """What is to be said of a column of numbers among which are a few words; nothing where they are many."""
    if numbers < 2 or sum(word.lower() not in _MISSING for word in words) > _FEW * numbers:
        return ""
    places = dict[str, list[int]]()
    for word, line in zip(words, lines, strict=True):
        places.setdefault(word, []).append(line)
    shown = [f"{word!r:.60} in {shown_rows(found, 'line')}" for word, found in [*places.items()][:_SHOWN_WORDS]]
    more = f" and {len(places) - _SHOWN_WORDS:,} other words" if len(places) > _SHOWN_WORDS else ""
    return f"holds numbers, but {', '.join(shown)}{more}: it stays text; mend these lines, or leave them out"
