"""One pass over the columns that a loss reads, in Arrow batches: what must be counted over all rows."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from selective_st.registry.table import Table
from selective_st.written import Written, read_written

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_ROWS = 5  # of those with something wrong are named
_LONG_LIST = 64  # longer label lists are vectors: their values are not looked at one by one

Mask = NDArray[np.bool_]
Unsigned = NDArray[np.uint64]
Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
LabelType = Literal["integer", "boolean", "float", "text", "list", "lists", "other"]
_NUMBER_TYPES: dict[str, LabelType] = {
    "bool": "boolean", "int": "integer", "uint": "integer", "halffloat": "float", "float": "float", "double": "float",
    "decimal": "float"
}  # fmt: skip


def _nothing() -> Numbers:
    return np.empty(0)


@dataclass
class Tally:
    """Rows with something: their numbers, and how many there are, where that is no more than an estimate."""

    parts: list[Integers] = field(default_factory=list)
    estimate: int | None = None

    def add(self, mask: Mask, rows: Integers) -> None:
        """Count those of the rows that are masked."""
        if mask.any():
            self.parts.append(rows[mask])

    @property
    def count(self) -> int:
        """How many."""
        return sum(map(len, self.parts)) if self.estimate is None else self.estimate

    @property
    def all(self) -> Integers:
        """Their numbers, in order."""
        return np.sort(np.concatenate(self.parts)) if self.parts else np.empty(0, dtype=np.int64)

    @property
    def rows(self) -> tuple[int, ...]:
        """The numbers of the first few."""
        return tuple(self.all[:_FIRST_ROWS].tolist())


@dataclass
class Texts:
    """A column of texts, or of lists of texts."""

    missing: Tally = field(default_factory=Tally)  # None
    empty: Tally = field(default_factory=Tally)  # or white space only; a text whose label is NaN is padding
    lengths: Integers | None = None  # of lists
    hashes: Unsigned | None = None  # for each row 64 bits that stand for its text, where they were asked for

    @property
    def codes(self) -> Integers | None:
        """For each row the number of its text among the different ones."""
        return None if self.hashes is None else np.unique(self.hashes, return_inverse=True)[1].reshape(-1)


@dataclass
class Labels:
    """The label column."""

    type: LabelType = "other"  # what is stored; of texts that can be read, what they say
    written: Written | None = None  # what texts say
    names: list[str] = field(default_factory=list)  # the different texts, without the others
    others: Tally = field(default_factory=Tally)  # a text that says something else than most
    missing: Tally = field(default_factory=Tally)  # no label: None, or a list of NaN only
    empty: Tally = field(default_factory=Tally)  # an empty list
    nulls: Tally = field(default_factory=Tally)  # None in place of a list, or within it
    nan: Tally = field(default_factory=Tally)  # NaN; in lists, a part is NaN
    infinite: Tally = field(default_factory=Tally)
    is_list: bool = False
    numbers: Numbers = field(
        default_factory=_nothing
    )  # the labels, NaN where there is none; for names, a number for each
    lengths: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # of lists
    inner_lengths: tuple[int, int] | None = None  # of lists of lists, the lowest and the highest
    lows: Numbers = field(default_factory=_nothing)  # of lists that are not long, the lowest label of each
    highs: Numbers = field(default_factory=_nothing)
    margin_lows: Numbers = field(default_factory=_nothing)  # the lowest difference of the first from another
    margin_highs: Numbers = field(default_factory=_nothing)

    @property
    def are_names(self) -> bool:
        """Whether they are texts that say no amount, such as names of classes."""
        return self.written is not None and self.written.kind in ("classes", "mixed", "texts")

    @cached_property
    def values(self) -> Numbers:
        """The known labels, or the ends of the known ones of each row."""
        values = np.concatenate((self.lows, self.highs)) if self.is_list else self.numbers
        return values[np.isfinite(values)]

    def are_lists_of(self, length: int) -> bool:
        """Whether each row has so many labels."""
        return self.is_list and bool((self.lengths == length).all())


@dataclass
class Scan:
    """What the pass found."""

    rows: Integers  # their numbers, counted from 0, in the order in which they came
    texts: dict[str, Texts]
    labels: Labels | None
    same: dict[tuple[str, ...], Tally]  # for the first or the second column and a later one, if they hold the same text

    def tally(self, mask: Mask) -> Tally:
        """Count those of the scanned rows that are masked."""
        tally = Tally()
        tally.add(mask, self.rows)
        return tally


def scan(table: Table, texts: Sequence[str], label: str | None, coded: Sequence[str] = ()) -> Scan:
    """Go through a table once."""
    found = {column: Texts() for column in texts}
    labels = _LabelScan()
    same: dict[tuple[str, ...], Tally] = {
        (one, other): Tally() for place, one in enumerate(texts[:2]) for other in texts[place + 1 :]
    }
    hashes: dict[str, list[Unsigned]] = {column: [] for column in coded}
    lengths: dict[str, list[Integers]] = {column: [] for column in texts}
    numbers: list[Integers] = []
    wanted = [*texts, *([] if label is None else [label])]
    batches: Any = table.scan(*wanted) if wanted else [(np.arange(table.scanned), {})]
    for rows, batch in batches:
        numbers.append(rows)
        padded = None if label is None else labels.add(_array(batch[label]), rows)
        arrays = {column: _array(batch[column]) for column in texts}
        for place, (column, array) in enumerate(arrays.items()):
            is_padded = padded is not None and place > 0 and padded.shape[1] == len(texts) - 1
            sizes = _count_empty(array, rows, found[column], padded[:, place - 1] if is_padded else None)  # type: ignore[index]
            if sizes is not None:
                lengths[column].append(sizes)
            if column in hashes:
                hashes[column].append(_hashes(array))
        for columns, tally in same.items():
            tally.add(_equal(*(arrays[column] for column in columns)), rows)
    for column in texts:
        found[column].hashes = np.concatenate(hashes[column]) if hashes.get(column) else None
        found[column].lengths = np.concatenate(lengths[column]) if lengths[column] else None
    seen = np.concatenate(numbers)
    return Scan(seen, found, None if label is None else labels.done(len(seen)), same)


def _array(column: pa.ChunkedArray) -> pa.Array:
    """A column of a batch as one array, extension types as they are stored."""
    import pyarrow as pa

    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    array = array.storage if isinstance(array, pa.ExtensionArray) else array
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_list(kind: pa.DataType) -> bool:
    return str(kind).startswith(("list<", "large_list<", "fixed_size_list<"))


def _is_text(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string")


def _number_type(kind: pa.DataType) -> LabelType:
    return _NUMBER_TYPES.get(re.sub(r"[\d(].*", "", str(kind)), "other")


def _mask(array: pa.Array) -> Mask:
    mask: Mask = array.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _blank(array: pa.Array) -> Mask:
    """Which texts are empty, or white space only."""
    import pyarrow.compute as pc

    return _mask(pc.or_(pc.equal(pc.binary_length(array), 0), pc.utf8_is_space(array)))


def _numbers(array: pa.Array) -> Numbers:
    """Numbers with NaN for None; whole ones beyond 2^53 are rounded."""
    array = array.cast("int8") if array.type == "bool" else array
    return np.asarray(array.cast("float64", safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _list_lengths(array: pa.Array) -> Integers:
    import pyarrow.compute as pc

    return np.asarray(pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _any_of(flags: Mask, lengths: Integers) -> Mask:
    """For each list whether any of its flags is set."""
    found = np.zeros(len(lengths), dtype=bool)
    if flags.any():
        found[np.repeat(np.arange(len(lengths)), lengths)[flags]] = True
    return found


def _of_each(reduce: np.ufunc, values: NDArray[Any], lengths: Integers, empty: float) -> NDArray[Any]:
    """The values of each list reduced to one, and what stands for those of an empty list."""
    found = np.full(len(lengths), empty, dtype=values.dtype)
    filled = lengths > 0
    if filled.any():
        found[filled] = reduce.reduceat(values, (np.cumsum(lengths) - lengths)[filled])
    return found


def _count_empty(array: pa.Array, rows: Integers, texts: Texts, is_padding: Mask | None) -> Integers | None:
    """Count missing and empty texts; the lengths of lists."""
    missing = _mask(array.is_null()) if array.null_count else np.zeros(len(array), dtype=bool)
    lengths = None
    empty = _blank(array) if _is_text(array.type) else np.zeros(len(array), dtype=bool)
    if _is_list(array.type):
        lengths, inner = _list_lengths(array), array.flatten()
        empty = (lengths == 0) & ~missing
        if inner.null_count:
            missing = missing | _any_of(_mask(inner.is_null()), lengths)
        if _is_text(inner.type):
            empty |= _any_of(_blank(inner), lengths)
    counted = slice(None) if is_padding is None else ~is_padding
    texts.missing.add(missing[counted], rows[counted])
    texts.empty.add(empty[counted], rows[counted])
    return lengths


def _equal(one: pa.Array, other: pa.Array) -> Mask:
    """Which texts are the same."""
    import pyarrow.compute as pc

    if not (_is_text(one.type) and _is_text(other.type)):
        return np.zeros(len(one), dtype=bool)
    return _mask(pc.equal(one.cast("large_string"), other.cast("large_string")))  # whose offsets go beyond 2 GB


def _hashes(array: pa.Array) -> Unsigned:
    """A number of 64 bits for each text, so that texts need not be kept to see which are the same."""
    texts = array.cast("large_binary").to_pylist()
    return np.fromiter((xxh3_64_intdigest(text or b"") for text in texts), dtype=np.uint64, count=len(texts))


class _LabelScan:
    """The label column, batch by batch."""

    def __init__(self) -> None:
        self.labels = Labels()
        self.parts: dict[str, list[Any]] = {}
        self.texts: list[tuple[pa.DictionaryArray, Integers]] = []
        self.is_long = False

    def done(self, rows: int) -> Labels:
        """What was found."""
        if self.texts:
            self._read_texts()
        for part in ("numbers", "lengths", "lows", "highs", "margin_lows", "margin_highs"):
            arrays = [] if self.is_long and part not in ("lengths", "numbers") else self.parts.get(part, [])
            nothing = np.broadcast_to(0 if part == "lengths" else math.nan, rows)
            setattr(self.labels, part, np.concatenate(arrays) if arrays else nothing)
        return self.labels

    def add(self, array: pa.Array, rows: Integers) -> Mask | None:
        """Count a batch; where its lists are NaN, if they all have one length."""
        if _is_list(array.type):
            return self._add_lists(array, rows)
        missing = _mask(array.is_null())
        self.labels.type = "text" if _is_text(array.type) else _number_type(array.type)
        if self.labels.type == "text":
            missing |= _blank(array)
            self.texts.append((array.dictionary_encode(), rows))
        elif self.labels.type != "other":
            self._add_numbers(_numbers(array), ~missing, rows)
        self.labels.missing.add(missing, rows)
        return None

    def _keep(self, **arrays: NDArray[Any]) -> None:
        for part, array in arrays.items():
            self.parts.setdefault(part, []).append(array)

    def _add_numbers(self, values: Numbers, known: Mask, rows: Integers) -> None:
        self.labels.nan.add(np.isnan(values) & known, rows)
        self.labels.infinite.add(np.isinf(values), rows)
        self._keep(numbers=values)

    def _read_texts(self) -> None:
        """The numbers of labels that are stored as text, as far as they say any; for names a number for each."""
        import pyarrow as pa

        labels, counts = self.labels, Counter[str]()
        for array, _ in self.texts:
            places, times = np.unique(array.indices.drop_null().to_numpy(), return_counts=True)
            names = array.dictionary.take(pa.array(places)).to_pylist()
            counts.update(dict(zip(names, times.tolist(), strict=True)))
        labels.written = written = read_written(counts)
        labels.names = sorted({name.strip() for name in counts} - {"", *written.others})
        said = {name: place for place, name in enumerate(labels.names)} if labels.are_names else written.values
        for array, rows in self.texts:
            names = [name.strip() for name in array.dictionary.to_pylist()] or [""]
            indices, known = array.indices.fill_null(0).to_numpy(), ~_mask(array.indices.is_null())
            labels.others.add(np.asarray([name in written.others for name in names])[indices] & known, rows)
            if written.kind == "lists":
                lists = pa.array([said.get(name) for name in names], pa.list_(pa.float64()))
                self._add_lists(lists.take(array.indices), rows)
            else:
                values = np.asarray([said.get(name, math.nan) for name in names], dtype=np.float64)[indices]
                is_said = np.asarray([name in said for name in names])[indices] & known
                self._add_numbers(np.where(known, values, math.nan), is_said, rows)
        if "numbers" in self.parts and not labels.are_names:
            known = np.concatenate(self.parts["numbers"])
            is_whole = bool((np.isnan(known) | (known == np.round(known))).all())
            labels.type = "integer" if is_whole and written.kind != "grades" else "float"

    def _add_lists(self, array: pa.Array, rows: Integers) -> Mask | None:
        labels, lengths, inner = self.labels, _list_lengths(array), array.flatten()
        self._keep(lengths=lengths)
        nulls = _mask(array.is_null())
        labels.empty.add((lengths == 0) & ~nulls, rows)
        nulls |= _any_of(_mask(inner.is_null()), lengths)
        labels.is_list = True
        labels.type = "lists" if _is_list(inner.type) else "list"
        if labels.type == "lists":
            self._add_matrices(inner, lengths, rows, nulls)
            return None
        labels.nulls.add(nulls, rows)
        if _number_type(inner.type) == "other":
            labels.type = "other"
            return None
        values = _numbers(inner)
        self.is_long |= bool(len(lengths)) and int(lengths.max()) > _LONG_LIST
        if self.is_long:
            self._add_vectors(values, lengths, rows, ~nulls)
            return None
        self._add_short(values, lengths, rows, ~nulls)
        is_even = len(lengths) and lengths.min() == lengths.max() > 0 and len(values) == len(rows) * lengths[0]
        return np.isnan(values.reshape(len(rows), -1)) if is_even else None

    def _add_matrices(self, inner: pa.Array, lengths: Integers, rows: Integers, nulls: Mask) -> None:
        """Lists of vectors."""
        labels, sizes, deep = self.labels, _list_lengths(inner), inner.flatten()
        if len(sizes):
            low, high = labels.inner_lengths or (int(sizes[0]), int(sizes[0]))
            labels.inner_lengths = min(low, int(sizes.min())), max(high, int(sizes.max()))
        nulls = nulls | _any_of(_any_of(_mask(deep.is_null()), sizes), lengths)
        missing = _any_of(sizes == 0, lengths) & ~nulls
        labels.nulls.add(nulls, rows)
        labels.missing.add(missing, rows)
        self._add_vectors(_numbers(deep), _of_each(np.add, sizes, lengths, 0), rows, ~missing & ~nulls)

    def _add_vectors(self, values: Numbers, lengths: Integers, rows: Integers, known: Mask) -> None:
        """Long lists: whether a value is NaN or infinite shows in their sums."""
        sums = _of_each(np.add, values, lengths, 0.0)
        self.labels.nan.add(np.isnan(sums) & known, rows)
        self.labels.infinite.add(np.isinf(sums), rows)

    def _add_short(self, values: Numbers, lengths: Integers, rows: Integers, known: Mask) -> None:
        unknown = np.isnan(values)
        unknowns = _of_each(np.add, unknown.astype(np.int64), lengths, 0)
        is_missing = (lengths > 0) & (unknowns == lengths)
        self.labels.missing.add(is_missing & known, rows)
        self.labels.nan.add((unknowns > 0) & ~is_missing & known, rows)
        self.labels.infinite.add(_any_of(np.isinf(values), lengths), rows)
        rest, starts = values.copy(), (np.cumsum(lengths) - lengths)[lengths > 0]
        rest[starts] = math.nan
        firsts = np.full(len(lengths), math.nan)
        firsts[lengths > 0] = values[starts]
        (lows, highs), (rest_lows, rest_highs) = (
            [_of_each(reduce, of, lengths, math.nan) for reduce in (np.fmin, np.fmax)] for of in (values, rest)
        )
        self._keep(lows=lows, highs=highs, margin_lows=firsts - rest_highs, margin_highs=firsts - rest_lows)
