"""JSON files: a row a line, be it an object or an array, or one array of rows; sets of texts become pairs."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from selective_st._text_files import MOST_COLUMNS, TextTable, open_lines
from selective_st.errors import DataError

_CELLS = 1_000_000  # in a batch
_ROWS = 10_000
_DEEPEST = 50  # lists and objects within one another
_MOST_KEYS = 1_000  # of the objects within a column, or of rows that have few in common
_SPARSE = 0.1  # of the cells filled
_KINDS = {str: "texts", int: "numbers", float: "numbers", bool: "truth values", list: "lists", dict: "objects"}
_TOO_LONG = "decimals and whole numbers of more digits than a decimal keeps: write these as texts"
_ONE_KIND = "Give each column one kind of value: mend such rows, or leave them out."


def read_json(path: Path) -> TextTable:
    """Read a JSON file.

    Args:
        path: Where it is.

    Returns:
        What was read.

    Raises:
        DataError: If it cannot be read, or a column holds several kinds of values.
    """
    name, notes = path.name, []
    with open_lines(path) as lines:
        unit, values = _values(name, lines)
        rows = _Rows(name, unit)
        rows.read(values)
    table, numbers = rows.table(), rows.numbers
    named = rows.shape == "an object"
    if not named:
        notes.append(f"{name}: each {unit} is an array; its values are the columns 1 to {len(table.column_names)}")
    if len(numbers) == 1 and (program := _unwrapping(table.to_pylist()[0], named=named)):
        call = f"jq -c {shlex.quote(program)} {shlex.quote(name)} > rows.jsonl"
        notes.append(f"{name} is one {'object' if named else 'array'}, a single row; if that holds the rows: {call}")
    if table.column_names == ["set"] and table.schema.field(0).type == pa.list_(pa.string()):
        table, numbers, note = _pairs_of_sets(name, table, numbers)
        notes.append(note)
    return TextTable(table, named, notes, numbers if unit == "line" else None, {})


class _BadJsonError(Exception):
    """A text is no JSON; the arguments are what is wrong, and where in it."""


def _reading(text: str) -> Any:
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _BadJsonError(f"{error.msg} (character {error.colno})", error.pos) from None
    except RecursionError:
        raise _BadJsonError(f"more than {_DEEPEST} lists or objects within one another", 0) from None
    except ValueError as error:  # a key twice, or too many digits
        raise _BadJsonError(str(error), 0) from None
    if text.count("[") + text.count("{") > _DEEPEST and _depth(value) > _DEEPEST + 1:
        raise _BadJsonError(f"more than {_DEEPEST} lists or objects within one another", 0)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {key!r} comes twice in an object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _depth(value: Any) -> int:
    """How many lists or objects stand within one another; level by level, as deep ones must not exhaust the stack."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, (list, dict))]:
        depth += 1
        level = list(itertools.chain.from_iterable(x.values() if isinstance(x, dict) else x for x in level))
    return depth


def _values(name: str, lines: Iterator[str]) -> tuple[str, Iterator[tuple[int, Any]]]:
    """What rows are counted by, lines or rows; and each row's number and value."""
    filled = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    start = next(filled, None)
    if start is None:
        raise DataError(f"{name} is empty.")
    try:
        first = _reading(start[1])
    except _BadJsonError as error:
        if error.args[1] < len(start[1].rstrip()):
            raise _no_json(name, start[0], error) from None
        return "row", enumerate(_whole(name, [start, *filled]), start=1)
    others = list(itertools.islice(filled, 1))
    if not others and isinstance(first, list) and first and all(isinstance(row, (list, dict)) for row in first):
        return "row", enumerate(first, start=1)

    def each() -> Iterator[tuple[int, Any]]:
        yield start[0], first
        for number, line in itertools.chain(others, filled):
            try:
                yield number, _reading(line)
            except _BadJsonError as error:
                raise _no_json(name, number, error) from None

    return "line", each()


def _whole(name: str, lines: Sequence[tuple[int, str]]) -> list[Any]:
    """The rows of a file that is one JSON value over several lines."""
    numbers, texts = zip(*lines, strict=True)
    try:
        value = _reading("".join(texts))
    except _BadJsonError as error:
        if len(texts) > 1 and _is_row(texts[1]):  # a row a line, of which the first is broken
            raise _no_json(name, numbers[0], _BadJsonError("the line ends within it", 0)) from None
        before = itertools.accumulate(map(len, texts))
        line = next((number for number, end in zip(numbers, before, strict=True) if error.args[1] < end), numbers[-1])
        if error.args[0].startswith("Extra data"):
            raise DataError(
                f"{name} holds a second value, from line {line}. Write a row a line: jq -c . {shlex.quote(name)} > "
                "rows.jsonl"
            ) from None
        raise _no_json(name, line, error) from None
    return value if isinstance(value, list) else [value]


def _is_row(text: str) -> bool:
    try:
        return isinstance(_reading(text), (list, dict))
    except _BadJsonError:
        return False


def _no_json(name: str, line: int, error: _BadJsonError) -> DataError:
    return DataError(
        f"{name} could not be read as JSON: line {line}: {error.args[0]}. Mend the line; each must hold a whole "
        'object, such as {"text": "...", "label": 1}, or a whole array.'
    )


# --- Rows to columns --------------------------------------------------------------------------------------------------


@dataclass
class _Rows:
    """Rows as they are read, batch by batch.

    Attributes:
        name: What the file is called.
        unit: What `numbers` count: lines, or rows.
        numbers: The number of each row.
        shape: What each row is.
    """

    name: str
    unit: str
    numbers: array[int] = field(default_factory=lambda: array("q"))
    shape: str = ""
    _batches: list[dict[str, pa.Array]] = field(default_factory=list)
    _cells: int = 0
    _kinds: dict[str, str] = field(default_factory=dict)  # by column, and what is within it
    _long: set[str] = field(default_factory=set)  # columns of whole numbers beyond 64 bits

    def read(self, values: Iterable[tuple[int, Any]]) -> None:
        """Read rows."""
        batch: list[dict[str, Any]] = []
        cells = 0
        for number, value in values:
            batch.append(self._row(number, value))
            self.numbers.append(number)
            cells += len(batch[-1])
            if len(batch) >= _ROWS or cells >= _CELLS:
                self._store(batch)
                batch, cells = [], 0
        if batch:
            self._store(batch)

    def table(self) -> pa.Table:
        """All rows."""
        names = dict.fromkeys(itertools.chain.from_iterable(self._batches))
        is_sparse = len(names) > _MOST_KEYS and self._cells < _SPARSE * len(names) * len(self.numbers)
        if len(names) > MOST_COLUMNS or is_sparse:
            raise DataError(
                f"{self.name}: its rows have {len(names):,} different keys, such as {next(reversed(names))!r}: they "
                "must be names of columns. Write lists of keys and values: jq -c to_entries"
            )
        return pa.table({name: self._column(name) for name in names})

    def _column(self, name: str) -> pa.ChunkedArray:
        """A column of all batches, of the type that holds them all."""
        sizes = [len(next(iter(batch.values()))) for batch in self._batches]
        parts = [batch.get(name, pa.nulls(size)) for batch, size in zip(self._batches, sizes, strict=True)]
        kinds = {part.type for part in parts} - {pa.null()}
        try:
            if name not in self._long and len(kinds) > 1 and any(map(pa.types.is_nested, kinds)):
                return pa.chunked_array([list(itertools.chain.from_iterable(part.to_pylist() for part in parts))])
            kind = pa.string() if name in self._long else pa.float64() if len(kinds) > 1 else [*kinds, pa.null()][0]
            return pa.chunked_array([part if part.type == kind else part.cast(kind) for part in parts])
        except pa.ArrowInvalid:
            raise DataError(f"{self.name}: column {name!r} holds {_TOO_LONG}.") from None

    def _row(self, number: int, value: Any) -> dict[str, Any]:
        if value in ([], {}):
            raise self._refused(number, "holds nothing")
        if not isinstance(value, (list, dict)):
            how = f" (jq -c '{{text: .}}' {shlex.quote(self.name)} > rows.jsonl)" if isinstance(value, str) else ""
            raise self._refused(number, f"holds {json.dumps(value):.60}: each row must be an object or an array{how}")
        shape = "an object" if isinstance(value, dict) else f"an array of {len(value)}"
        self.shape = self.shape or shape
        if shape != self.shape:
            raise self._refused(number, f"holds {shape}, but the first row {self.shape}")
        return value if isinstance(value, dict) else {str(place): cell for place, cell in enumerate(value, start=1)}

    def _refused(self, number: int, what: str) -> DataError:
        return DataError(f"{self.name}: {self.unit} {number} {what}. Mend it, or leave it out.")

    def _store(self, batch: list[dict[str, Any]]) -> None:
        numbers = self.numbers[-len(batch) :]
        self._cells += sum(map(len, batch))
        columns = {}
        for column in dict.fromkeys(itertools.chain.from_iterable(batch)):
            self._check_name(column)
            values = [row.get(column) for row in batch]
            self._check_kinds(column, numbers, values)
            columns[column] = self._array(column, numbers, values)
        self._batches.append(columns)

    def _check_name(self, name: str) -> None:
        if "\0" in name or not _fits(name):
            raise DataError(f"{self.name}: the name {name!r} holds what no name may hold. Mend it.")

    def _check_kinds(self, path: str, numbers: Sequence[int], values: Sequence[Any]) -> None:
        """Raise unless all values are of one kind, and what is within them too."""
        types = Counter(map(type, values))
        types.pop(type(None), None)
        if not types:
            return
        kind = self._kinds.setdefault(path, _KINDS[types.most_common(1)[0][0]])
        others = {found for found in types if _KINDS[found] != kind}
        if others:
            odd = [(n, value) for n, value in zip(numbers, values, strict=True) if type(value) in others]
            number, value = odd[0]
            more = f" and {len(odd) - 1:,} more" if len(odd) > 1 else ""
            raise DataError(
                f"{self.name}: column {path!r} holds {kind}, but {json.dumps(value):.60} in {self.unit} {number}"
                f"{more}. {_ONE_KIND}"
            )
        if kind == "numbers" and float in types and (math.inf in values or -math.inf in values):
            number = next(n for n, value in zip(numbers, values, strict=True) if value in (math.inf, -math.inf))
            raise self._refused(number, f"holds in {path!r} a number that is infinite or too large")
        if kind == "lists":
            inner = [(n, item) for n, value in zip(numbers, values, strict=True) for item in value or ()]
            if inner:
                self._check_kinds(f"{path}[]", *zip(*inner, strict=True))
        elif kind == "objects":
            keys = dict.fromkeys(itertools.chain.from_iterable(value or () for value in values))
            if len(keys) > _MOST_KEYS:
                raise DataError(
                    f"{self.name}: the objects in {path!r} have more than {_MOST_KEYS:,} different keys, such as "
                    f"{next(iter(keys))!r}: keys must be names. Write lists of keys and values: "
                    f"jq -c '.{path} |= to_entries'"
                )
            for key in keys:
                self._check_name(key)
                self._check_kinds(f"{path}.{key}", numbers, [None if x is None else x.get(key) for x in values])

    def _array(self, column: str, numbers: Sequence[int], values: list[Any]) -> pa.Array:
        try:
            return pa.array(values)
        except OverflowError:
            if {int, type(None)}.issuperset(map(type, values)):
                self._long.add(column)
                return pa.array([None if value is None else str(value) for value in values])
            reason = "a whole number of more digits than 64 bits keep: write it as a text"
        except pa.ArrowInvalid:
            reason = _TOO_LONG
        except UnicodeEncodeError:
            reason = "half of a surrogate pair, which is no character: mend that text"
        odd = next((f" in {self.unit} {n}" for n, v in zip(numbers, values, strict=True) if not _fits(v)), "")
        raise DataError(f"{self.name}: column {column!r} holds{odd} {reason}.")


def _unwrapping(row: dict[str, Any], *, named: bool) -> str:
    """What makes rows of an object or array that holds several, for jq; empty where it holds none."""
    if not named:
        return ".[] | {text: .}" if all(isinstance(value, str) for value in row.values()) else ""
    within = {key: value for key, value in row.items() if isinstance(value, (list, dict)) and len(value) > 1}
    lists = [key for key, value in within.items() if isinstance(value, list) and isinstance(value[0], dict)]
    if lists:
        return f".[{json.dumps(lists[0])}][]"
    objects = [value for value in within.values() if isinstance(value, dict)]
    if len(within) < max(2, len(row)) or len(objects) not in (0, len(row)) or len({*map(len, within.values())}) > 1:
        return ""
    place = "$i | tostring" if objects else "$i"  # as pandas numbers the rows of each column
    are_columns = all(key.isdecimal() for value in objects for key in value)
    return f"range(.[keys[0]] | length) as $i | map_values(.[{place}])" if are_columns else ".[]"


def _fits(value: Any) -> bool:
    try:
        pa.array([value])
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return False
    return True


def _pairs_of_sets(name: str, table: pa.Table, numbers: Sequence[int]) -> tuple[pa.Table, array[int], str]:
    """Texts that say the same, as the pairs that are published for such files; with the number of each, and a note."""
    anchors: list[str] = []
    positives: list[str] = []
    kept: array[int] = array("q")
    few = 0
    for number, cell in zip(numbers, table["set"], strict=True):
        texts = list(dict.fromkeys(text for text in cell.as_py() or () if text and text.strip()))
        following = [*texts[1:], *(texts[:1] if len(texts) > 2 else [])]
        few += not following
        anchors += texts[: len(following)]
        positives += following
        kept.extend([number] * len(following))
    if not anchors:
        raise DataError(f"{name}: no set holds two different texts, so there are no pairs to make. Look at the file.")
    note = (
        f"{name}: {len(table):,} sets of texts are made {len(anchors):,} pairs, of each text with the next of its set"
    )
    note += " and the last with the first" + (f"; {few:,} of fewer than two texts left out" if few else "")
    columns = {"anchor": pa.array(anchors, pa.string()), "positive": pa.array(positives, pa.string())}
    return pa.table(columns), kept, note
