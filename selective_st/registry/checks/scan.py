"""One pass over the columns that a loss reads, in Arrow batches: what must be counted over all rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
    """A column of texts, or of lists of texts.

    Attributes:
        missing: Rows with None.
        empty: Rows with an empty text or white space only; texts whose label is NaN are padding and do not count.
        lengths: For lists, how long they are.
        hashes: For each row a number of 64 bits that stands for its text, where it was asked for.
    """

    missing: Tally = field(default_factory=Tally)
    empty: Tally = field(default_factory=Tally)
    lengths: Integers | None = None
    hashes: Unsigned | None = None

    @property
    def codes(self) -> Integers | None:
        """For each row the number of its text among the different ones."""
        return None if self.hashes is None else np.unique(self.hashes, return_inverse=True)[1].reshape(-1)


@dataclass
class Labels:
    """The label column.

    Attributes:
        type: What is stored; of texts that can be read, what they say.
        written: What texts say; None where it is not stored as text.
        names: The different texts, without the others.
        others: Rows with a text that says something else than most.
        missing: Rows without a label: None, or a list of NaN only.
        empty: Rows with an empty list.
        nulls: For lists, rows with None, in place of the list or within it.
        nan: Rows with NaN: for lists, of which a part is NaN.
        infinite: Rows with an infinite label.
        numbers: For numbers, the labels; NaN where there is none. For names, a number for each.
        lengths: For lists, how long they are.
        inner_lengths: For lists of lists, the lowest and the highest length of the inner ones.
        lows: For lists that are not long, the lowest label of each row.
        highs: The highest.
        firsts: The first.
        rest_lows: The lowest but for the first.
        rest_highs: The highest but for the first.
    """

    type: LabelType = "other"
    written: Written | None = None
    names: list[str] = field(default_factory=list)
    others: Tally = field(default_factory=Tally)
    missing: Tally = field(default_factory=Tally)
    empty: Tally = field(default_factory=Tally)
    nulls: Tally = field(default_factory=Tally)
    nan: Tally = field(default_factory=Tally)
    infinite: Tally = field(default_factory=Tally)
    numbers: Numbers | None = None
    lengths: Integers | None = None
    inner_lengths: tuple[int, int] | None = None
    lows: Numbers | None = None
    highs: Numbers | None = None
    firsts: Numbers | None = None
    rest_lows: Numbers | None = None
    rest_highs: Numbers | None = None

    @property
    def are_names(self) -> bool:
        """Whether they are texts that say no amount, such as names of classes."""
        return self.written is not None and self.written.kind in ("classes", "mixed", "texts")

    @property
    def values(self) -> Numbers:
        """The known labels, or the ends of the known ones of each row."""
        parts = [part for part in (self.numbers, self.lows, self.highs) if part is not None]
        values = np.concatenate(parts) if parts else np.empty(0)
        return values[np.isfinite(values)]


@dataclass
class Scan:
    """What the pass found.

    Attributes:
        rows: The numbers of the rows, counted from 0, in the order in which they came.
        texts: The text columns.
        labels: The label column; None if there is none.
        copies: Rows whose first two texts are the same.
        positive_is_negative: For each column after the second, the rows in which it holds the second's text.
        anchor_is_negative: For each of these columns, the rows in which it holds the first's text.
    """

    rows: Integers
    texts: dict[str, Texts]
    labels: Labels | None
    copies: Tally
    positive_is_negative: dict[str, Tally]
    anchor_is_negative: dict[str, Tally]

    def tally(self, mask: Mask) -> Tally:
        """Count those of the scanned rows that are masked."""
        tally = Tally()
        tally.add(mask, self.rows)
        return tally


def scan(table: Table, texts: Sequence[str], label: str | None, coded: Sequence[str] = ()) -> Scan:
    """Go through a table once.

    Args:
        table: The table.
        texts: The columns with texts or lists of texts.
        label: The label column.
        coded: Those of the text columns for which rows with the same text are wanted.

    Returns:
        What was found.
    """
    found = {column: Texts() for column in texts}
    labels = _LabelScan()
    copies = Tally()
    same, anchors = ({column: Tally() for column in texts[2:]} for _ in range(2))
    hashes: dict[str, list[Unsigned]] = {column: [] for column in coded}
    lengths: dict[str, list[Integers]] = {column: [] for column in texts}
    numbers: list[Integers] = []
    wanted = [*texts, *([] if label is None else [label])]
    nothing: list[tuple[Integers, Any]] = [(np.arange(table.scanned), None)]
    batches: Iterable[tuple[Integers, Any]] = table.scan(*wanted) if wanted else nothing
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
        first, *others = arrays.values() if arrays else [None]
        if others:
            _count_same(first, others[:1], rows, [copies])
            _count_same(first, others[1:], rows, list(anchors.values()))
            _count_same(others[0], others[1:], rows, list(same.values()))
    for column in texts:
        found[column].hashes = np.concatenate(hashes[column]) if hashes.get(column) else None
        found[column].lengths = np.concatenate(lengths[column]) if lengths[column] else None
    return Scan(np.concatenate(numbers), found, None if label is None else labels.done(), copies, same, anchors)


def _array(column: pa.ChunkedArray) -> pa.Array:
    """A column of a batch as one array, extension types as they are stored."""
    import pyarrow as pa

    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    array = array.storage if isinstance(array, pa.ExtensionArray) else array
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _mask(array: pa.Array) -> Mask:
    import pyarrow.compute as pc

    mask: Mask = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
    return mask


def _blank(array: pa.Array) -> Mask:
    """Which texts are empty, or white space only."""
    import pyarrow.compute as pc

    return _mask(pc.or_(pc.equal(pc.binary_length(array), 0), pc.utf8_is_space(array)))


def _numbers(array: pa.Array) -> Numbers:
    """Numbers with NaN for None; whole ones beyond 2^53 are rounded."""
    import pyarrow as pa

    array = array.cast(pa.int8()) if pa.types.is_boolean(array.type) else array
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _number_type(kind: pa.DataType) -> LabelType:
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    return "float" if pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "other"


def _list_lengths(array: pa.Array) -> Integers:
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, dtype=np.int64)


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


def _count_same(array: Any, others: Sequence[Any], rows: Integers, tallies: Sequence[Tally]) -> None:
    """Count rows in which another column holds the text of a column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for other, tally in zip(others, tallies, strict=True):
        if _is_text(array.type) and _is_text(other.type):
            # With offsets that do not overflow beyond 2 GB.
            tally.add(_mask(pc.equal(other.cast(pa.large_string()), array.cast(pa.large_string()))), rows)


def _hashes(array: pa.Array) -> Unsigned:
    """A number of 64 bits for each text, so that texts need not be kept to see which are the same."""
    import pyarrow as pa

    texts = array.cast(pa.large_binary()).to_pylist()
    return np.fromiter((xxh3_64_intdigest(text or b"") for text in texts), dtype=np.uint64, count=len(texts))


class _LabelScan:
    """The label column, batch by batch."""

    def __init__(self) -> None:
        self.labels = Labels()
        self.parts: dict[str, list[Any]] = {}
        self.texts: list[tuple[pa.DictionaryArray, Integers]] = []
        self.is_long = False

    def done(self) -> Labels:
        """What was found."""
        if self.texts:
            self._read_texts()
        for part, arrays in self.parts.items():
            if not self.is_long or part in ("lengths", "numbers"):
                setattr(self.labels, part, np.concatenate(arrays))
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
        self._keep(firsts=firsts, lows=lows, highs=highs, rest_lows=rest_lows, rest_highs=rest_highs)
