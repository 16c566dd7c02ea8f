"""JSON files: a row a line, be it an object or an array, or one array of rows; sets of texts become pairs."""

from __future__ import annotations

import bisect
import itertools
import json
import shlex
from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from selective_st._row_files import FileTable, TextRows
from selective_st._text_files import MOST_COLUMNS, dataset_of, open_lines
from selective_st.errors import DataError, first_line

_MOST_KEYS = 1_000  # of the objects in a column, or of rows that do not all have the same
_CANNOT_HOLD = (pa.ArrowException, OverflowError, UnicodeEncodeError)


class JsonFile(TextRows):
    """A JSON file; row by row only where each line holds an object."""

    missing = "null"

    @cached_property
    def names(self) -> list[str]:
        return next((list(row) for _, row in self._objects()), [])

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The line of each row, and what it holds."""
        with open_lines(self.path) as lines:
            unit, rows = json_rows(self.name, lines)
            for number, row in rows:
                if unit != "line" or not isinstance(row, dict):
                    mend = f"Write one object a line: jq -c '.[]' {shlex.quote(self.name)} > rows.jsonl"
                    raise DataError(f"{self.name}: {unit} {number} is no JSON object in a line of its own. {mend}")
                yield number, row

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        return ((line, [row.get(name) for name in columns]) for line, row in self._objects())

    def raws(self) -> Iterator[str]:
        with open_lines(self.path) as lines:
            yield from (line for line in lines if not line.isspace())

    def joined(self, row: str, names: Sequence[str], cells: Sequence[str]) -> str:
        added = ", ".join(f"{json.dumps(name)}: {cell}" for name, cell in zip(names, cells, strict=False))
        return f"{row.rstrip()[:-1].rstrip()}, {added}}}"

    def table(self) -> FileTable:
        name, shape, notes = self.name, "", self.notes
        numbers = array("q")
        columns: dict[Any, list[Any]] = {}
        with open_lines(self.path) as lines:
            unit, rows = json_rows(name, lines)
            for number, row in rows:
                own = "an object" if isinstance(row, dict) else f"an array of {len(row)}"
                shape = shape or own
                if own != shape:
                    raise DataError(f"{name}: {unit} {number} holds {own}, but the first row {shape}. Mend it.")
                _add(name, columns, row if isinstance(row, dict) else dict(enumerate(row, start=1)), len(numbers))
                numbers.append(number)
        for values in columns.values():
            values += [None] * (len(numbers) - len(values))
        arrays = {
            str(key): _array(f"{name}: column {str(key)!r}", values, unit, numbers) for key, values in columns.items()
        }
        table, named = pa.table(arrays), shape == "an object"
        if columns and not named:
            notes.append(f"{name}: each {unit} is an array; its values are the columns 1 to {len(columns)}")
        if len(numbers) == 1 and (program := _unwrapping({key: value for key, [value] in columns.items()}, named)):
            mend = f"jq -c {shlex.quote(program)} {shlex.quote(name)} > rows.jsonl"
            what = "object" if named else "array"
            notes.append(f"{name} is one {what}, a single row; if that holds the rows: {mend}")
        if list(columns) == ["set"] and table.schema.field(0).type == pa.list_(pa.string()):
            table, numbers, note = _pairs_of_sets(name, columns["set"], numbers)
            notes.append(note)
        return FileTable(dataset_of(self.path, table), name, named, notes, numbers if unit == "line" else None)


# --- Rows -------------------------------------------------------------------------------------------------------------


def json_rows(name: str, lines: Iterator[str]) -> tuple[str, Iterator[tuple[int, Any]]]:
    """The rows of a JSON file.

    Args:
        name: What the file is called.
        lines: Its lines.

    Returns:
        What the numbers of rows count, lines or (of one array) rows; and each row's number and its object or array.
    """
    filled = ((number, line) for number, line in enumerate(lines, start=1) if not line.isspace())
    start, line = next(filled, (0, ""))
    if not start:
        raise DataError(f"{name} is empty.")
    try:
        first = _DECODER.decode(line.rstrip())
    except json.JSONDecodeError as error:
        if error.pos < len(line.rstrip()):
            raise _no_json(name, start, error) from None
        value = _parsed(name, start, line + "".join(lines))  # one value over several lines
        return "row", _checked(name, "row", enumerate(value if isinstance(value, list) else [value], start=1))
    except (ValueError, RecursionError) as error:
        raise _no_json(name, start, error) from None
    second = list(itertools.islice(filled, 1))
    if not second and isinstance(first, list) and all(isinstance(row, (list, dict)) for row in first):
        return "row", _checked(name, "row", enumerate(first, start=1))
    others = ((number, _parsed(name, number, text)) for number, text in itertools.chain(second, filled))
    return "line", _checked(name, "line", itertools.chain([(start, first)], others))


def _checked(name: str, unit: str, rows: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    for number, row in rows:
        if not isinstance(row, (list, dict)) or not row:
            how = f": jq -c '{{text: .}}' {shlex.quote(name)} > rows.jsonl" if isinstance(row, str) else "."
            raise DataError(f"{name}: {unit} {number} is {json.dumps(row):.60}, but must be an object or array{how}")
        yield number, row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs) or "\0" in "".join(found):  # pyarrow would end the name there
        keys = ", ".join(map(repr, found))
        raise ValueError(f"a key comes twice, or holds a NUL character, in the object with {keys:.60}")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _parsed(name: str, line: int, text: str) -> Any:
    try:
        return _DECODER.decode(text.rstrip())
    except (ValueError, RecursionError) as error:
        raise _no_json(name, line, error) from None


def _no_json(name: str, line: int, error: Exception) -> DataError:
    what = f"{error.msg} (character {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)
    return DataError(
        f"{name} could not be read as JSON: line {line + getattr(error, 'lineno', 1) - 1}: {what}. Mend the line: "
        f"each must hold a whole object or array. If rows go over several: jq -c . {shlex.quote(name)} > rows.jsonl"
    )


# --- Rows to columns --------------------------------------------------------------------------------------------------


def _add(name: str, columns: dict[Any, list[Any]], row: dict[Any, Any], rows: int) -> None:
    """Add a row to the columns of those before it."""
    for key, value in row.items():
        if key not in columns and len(columns) >= (_MOST_KEYS if rows else MOST_COLUMNS):
            raise _too_many_keys(f"{name}: its rows have", len(columns), key)
        column = columns.setdefault(key, [])
        column += [None] * (rows - len(column))
        column.append(value)


def _too_many_keys(what: str, most: int, key: Any) -> DataError:
    mend = "keys must be names. Write lists of keys and values: jq -c to_entries"
    return DataError(f"{what} more than {most:,} different keys, such as {key!r}: {mend}")


def _array(label: str, values: list[Any], unit: str, numbers: Sequence[int]) -> pa.Array:
    """A column, or an error that names the first value that is not of the kind of those before it."""
    if len(keys := {key for value in values if isinstance(value, dict) for key in value}) > _MOST_KEYS:
        raise _too_many_keys(f"{label}: its objects have", _MOST_KEYS, min(keys))
    try:
        return _of_one_kind(values)
    except _CANNOT_HOLD as error:
        if isinstance(error, OverflowError) and {*map(type, values)} <= {int, type(None)}:  # such as the names of rows
            return pa.array([None if value is None else str(value) for value in values])
        reason = first_line(error)
    row = bisect.bisect_left(range(len(values)), True, key=lambda row: not _fits(values[: row + 1]))
    raise DataError(
        f"{label} cannot hold {json.dumps(values[row]):.60}, as in {unit} {numbers[row]}: {reason}. Give "
        "each column one kind of value: mend such rows, or leave them out."
    ) from None


def _of_one_kind(values: list[Any]) -> pa.Array:
    """An array; truth values among decimals, which pyarrow takes for numbers, are refused too."""
    _check_truth_values(values)
    return pa.array(values)


def _check_truth_values(values: list[Any]) -> None:
    kinds = {*map(type, values)}
    if {float, bool} <= kinds:
        raise pa.ArrowInvalid("truth values and numbers")
    if list in kinds:
        _check_truth_values([item for value in values if isinstance(value, list) for item in value])
    if dict in kinds:
        parts: dict[str, list[Any]] = {}
        for key, item in (pair for value in values if isinstance(value, dict) for pair in value.items()):
            parts.setdefault(key, []).append(item)
        for part in parts.values():
            _check_truth_values(part)


def _fits(values: list[Any]) -> bool:
    try:
        _of_one_kind(values)
    except _CANNOT_HOLD:
        return False
    return True


def _unwrapping(row: dict[Any, Any], named: bool) -> str:
    """What makes rows of a single one that may hold several, for jq; empty where it holds none."""
    values = [*row.values()]
    if not named:
        return ".[] | {text: .}" if all(isinstance(value, str) for value in values) else ""
    records = [key for key, value in row.items() if isinstance(value, list) and isinstance([*value, 0][0], dict)]
    if records or not all(isinstance(value, (list, dict)) for value in values):
        return f".[{json.dumps(records[0])}][]" if records else ""
    are_columns = all(isinstance(value, list) or all(map(str.isdecimal, value)) for value in values)
    return "(.[keys[0]] | keys_unsorted[]) as $row | map_values(.[$row])" if are_columns else ".[]"


def _pairs_of_sets(
    name: str, sets: Sequence[list[str] | None], numbers: Sequence[int]
) -> tuple[pa.Table, array[int], str]:
    """Texts that say the same, as the pairs that are published for such files; with the number of each, and a note."""
    pairs, kept, few = list[tuple[str, str]](), array("q"), 0
    for number, texts in zip(numbers, sets, strict=True):
        different = list(dict.fromkeys(text for text in texts or () if text and text.strip()))
        circle = [*different, different[0]] if len(different) > 2 else different
        found = list(itertools.pairwise(circle))
        few += not found
        pairs += found
        kept.extend([number] * len(found))
    if not pairs:
        raise DataError(f"{name}: no set holds two different texts, so there are no pairs to make. Look at the file.")
    left_out = f"; {few:,} of fewer than two texts left out" if few else ""
    note = f"{name}: {len(sets):,} sets of texts are made {len(pairs):,} pairs, of each text with the next of its set"
    table = pa.table(dict(zip(("anchor", "positive"), map(list, zip(*pairs, strict=True)), strict=True)))
    return table, kept, f"{note} and the last with the first{left_out}"
