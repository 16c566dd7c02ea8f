"""One pass over the columns that a loss reads, in Arrow batches: what must be known of every row.

What is seen of a column is an array each (`Facts`), with an entry for each row: batches are looked at one by one, and
their arrays put together. Only labels that are texts are kept until all are there, as all together say what each means.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from selective_st.registry.table import Table
from selective_st.written import Written, read_written

_LONG_LIST = 64  # longer label lists are vectors

Mask = NDArray[np.bool_]
Unsigned = NDArray[np.uint64]
Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
Facts = dict[str, NDArray[Any]]
LabelType = Literal["integer", "boolean", "float", "text", "list", "lists", "other"]


@dataclass
class Texts:
    """A column of texts, or of lists of texts."""

    missing: Mask  # None
    empty: Mask  # or white space only; a text whose label is NaN is padding
    lengths: Integers | None = None  # of lists
    hashes: Unsigned | None = None  # 64 bits that stand for the text; None of lists

    @property
    def codes(self) -> Integers | None:
        """For each row the number of its text among the different ones."""
        return None if self.hashes is None else np.unique(self.hashes, return_inverse=True)[1].reshape(-1)


@dataclass
class Labels:
    """The label column; a label alone is as a list of one."""

    type: LabelType  # what is stored; of texts that can be read, what they say
    is_list: bool
    missing: Mask  # no label: None, or a list of NaN only
    empty: Mask  # an empty list
    nulls: Mask  # None in place of a list, or within it
    nan: Mask  # NaN; in lists, a part is NaN
    infinite: Mask
    others: Mask  # a text that says something else than most
    lows: Numbers  # the lowest label of each row, NaN where there is none; for names, a number for each
    highs: Numbers
    margin_lows: Numbers  # the lowest difference of the first from another
    margin_highs: Numbers
    lengths: Integers  # of lists
    sizes: Integers  # of the lists within lists
    written: Written | None = None  # what texts say
    names: list[str] = field(default_factory=list)  # the different texts, without the others
    are_names: bool = False  # whether these say no amount, such as names of classes

    @property
    def numbers(self) -> Numbers:
        """The labels where a row has one; else NaN."""
        return np.full(len(self.lows), math.nan) if self.is_list else self.lows

    @cached_property
    def values(self) -> Numbers:
        """The known labels, or the ends of the known ones of each row."""
        values = np.concatenate((self.lows, self.highs)) if self.is_list else self.lows
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

    def same(self, *columns: str) -> Mask | None:
        """Where two columns hold the same text; None where they do not hold texts."""
        one, other = (self.texts.get(column) for column in columns)
        if one is None or other is None or one.hashes is None or other.hashes is None:
            return None
        same: Mask = (one.hashes == other.hashes) & ~one.missing & ~other.missing
        return same

    def numbers(self, mask: Mask) -> Integers:
        """The numbers of the rows that are masked, in order."""
        return np.sort(self.rows[mask])


def scan(table: Table, texts: Sequence[str], label: str | None) -> Scan:
    """Go through a table once."""
    columns = [*texts, *([] if label is None else [label])]
    parts: dict[Any, list[Facts]] = defaultdict(list)  # of each column
    written: list[pa.Array] = []
    batches: Any = table.scan(*columns) if columns else [(np.arange(table.scanned), {})]
    for rows, batch in batches:
        arrays = {column: _array(batch[column]) for column in columns}
        padding = np.zeros((len(rows), len(texts)), dtype=bool)
        if label is not None and _is_text(arrays[label].type):
            written.append(arrays[label])
        elif label is not None:
            parts[label].append(_label_facts(arrays[label]))
            padding[:, 1:] |= _padding(arrays[label], len(texts) - 1)
        parts[None].append({"rows": rows})
        for column, is_padding in zip(texts, padding.T, strict=True):
            facts = _text_facts(arrays[column])
            parts[column].append(facts | {name: facts[name] & ~is_padding for name in ("missing", "empty")})
    joined: dict[Any, Any] = {
        key: {name: np.concatenate([facts[name] for facts in each]) for name in each[0]} for key, each in parts.items()
    }
    labels = None
    if label is not None:
        labels = _written_labels(written) if written else Labels(**_kind(arrays[label].type), **joined[label])
    return Scan(joined[None]["rows"], {column: Texts(**joined[column]) for column in texts}, labels)


# --- Arrays -----------------------------------------------------------------------------------------------------------


def _array(column: pa.ChunkedArray) -> pa.Array:
    """A column of a batch as one array, extension types as they are stored."""
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    array = array.storage if isinstance(array, pa.ExtensionArray) else array
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_list(kind: pa.DataType) -> bool:
    return str(kind).startswith(("list<", "large_list<", "fixed_size_list<"))


def _is_text(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string")


def _number_type(kind: pa.DataType) -> LabelType:
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return "boolean" if pa.types.is_boolean(kind) else "integer"
    return "float" if pa.types.is_floating(kind) or pa.types.is_decimal(kind) else "other"


def _mask(array: pa.Array) -> Mask:
    mask: Mask = array.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _blank(array: pa.Array) -> Mask:
    """Which texts are empty, or white space only."""
    return _mask(pc.or_(pc.equal(pc.binary_length(array), 0), pc.utf8_is_space(array)))


def _numbers(array: pa.Array) -> Numbers:
    """Numbers with NaN for None, and for what is no number; whole ones beyond 2^53 are rounded."""
    if _number_type(array.type) == "other":
        return np.full(len(array), math.nan)
    array = array.cast("int8") if array.type == "bool" else array
    return np.asarray(array.cast("float64", safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _lists(array: pa.Array) -> tuple[Integers, pa.Array]:
    """The lengths of lists, and what is in them; of other values, each by itself."""
    if not _is_list(array.type):
        return np.ones(len(array), dtype=np.int64), array
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, dtype=np.int64), array.flatten()


def _of_each(reduce: np.ufunc, values: NDArray[Any], lengths: Integers, empty: float) -> NDArray[Any]:
    """The values of each list reduced to one, and what stands for those of an empty list."""
    found = np.full(len(lengths), empty, dtype=values.dtype)
    filled = lengths > 0
    if filled.any():
        found[filled] = reduce.reduceat(values, (np.cumsum(lengths) - lengths)[filled])
    return found


def _any_of(flags: Mask, lengths: Integers) -> Mask:
    """For each list whether any of its flags is set."""
    return _of_each(np.logical_or, flags, lengths, False)


# --- Texts ------------------------------------------------------------------------------------------------------------


def _text_facts(array: pa.Array) -> Facts:
    is_null, (lengths, inner) = _mask(array.is_null()), _lists(array)
    empty = _any_of(_blank(inner), lengths) if _is_text(inner.type) else np.zeros(len(array), dtype=bool)
    facts = {"missing": is_null | _any_of(_mask(inner.is_null()), lengths), "empty": empty | (lengths == 0) & ~is_null}
    facts |= {"hashes": _hashes(array)} if _is_text(array.type) else {}
    return facts | ({"lengths": lengths} if _is_list(array.type) else {})


def _hashes(array: pa.Array) -> Unsigned:
    """A number of 64 bits for each text, so that texts need not be kept to see which are the same."""
    texts = array.cast("large_binary").to_pylist()
    return np.fromiter((xxh3_64_intdigest(text or b"") for text in texts), dtype=np.uint64, count=len(texts))


# --- Labels -----------------------------------------------------------------------------------------------------------


def _kind(kind: pa.DataType) -> dict[str, Any]:
    """The type of labels, and whether they are lists."""
    if not _is_list(kind):
        return {"type": _number_type(kind), "is_list": False}
    inner = kind.value_type
    stored = "other" if _number_type(inner) == "other" else "list"
    return {"type": "lists" if _is_list(inner) else stored, "is_list": True}


def _label_facts(array: pa.Array) -> dict[str, Any]:
    """Of numbers, of lists of them, or of lists of vectors."""
    is_list, is_null, (lengths, inner) = _is_list(array.type), _mask(array.is_null()), _lists(array)
    sizes, deep = _lists(inner)  # of lists of lists; else each value is one by itself
    inside = _of_each(np.add, sizes, lengths, 0)
    within = _any_of(_mask(inner.is_null()) | _any_of(_mask(deep.is_null()), sizes), lengths)
    is_known = ~(is_null | within)
    values = _numbers(deep)
    lows, highs = (_of_each(reduce, values, inside, math.nan) for reduce in (np.fmin, np.fmax))
    is_nan = is_known & _any_of(np.isnan(values), inside) & (_number_type(deep.type) != "other")
    is_all = is_nan & np.isnan(lows) | is_known & _any_of(sizes == 0, lengths)
    is_infinite = np.isinf(lows) | np.isinf(highs)
    if _is_list(inner.type) or lengths.max(initial=0) > _LONG_LIST:  # vectors, whose ends say nothing
        lows, highs, values = (np.full_like(each, math.nan) for each in (lows, highs, values))
    rest, starts, firsts = values.copy(), (np.cumsum(inside) - inside)[inside > 0], np.full(len(array), math.nan)
    firsts[inside > 0], rest[starts] = values[starts], math.nan
    rest_lows, rest_highs = (_of_each(reduce, rest, inside, math.nan) for reduce in (np.fmin, np.fmax))
    return {
        "missing": is_all if is_list else is_null,
        "empty": (lengths == 0) & ~is_null,
        "nulls": (is_null | within) & is_list,
        "nan": is_nan & ~(is_all & is_list),
        "infinite": is_infinite,
        "others": np.zeros(len(array), dtype=bool),
        "lows": lows,
        "highs": highs,
        "margin_lows": firsts - rest_highs,
        "margin_highs": firsts - rest_lows,
        "lengths": lengths if is_list else np.zeros(len(array), dtype=np.int64),
        "sizes": sizes if _is_list(inner.type) else np.empty(0, dtype=np.int64),
    }


def _padding(labels: pa.Array, documents: int) -> Mask:
    """Which texts of each row have a label that is NaN; where there is not a label for each, none."""
    lengths, inner = _lists(labels)
    is_asked = documents > 0 and _is_list(labels.type) and _number_type(inner.type) != "other"
    if not is_asked or (lengths != documents).any():
        return np.zeros((len(labels), max(documents, 0)), dtype=bool)
    return np.isnan(_numbers(inner)).reshape(-1, documents)


def _written_labels(batches: list[pa.Array]) -> Labels:
    """Labels that are stored as text: their numbers, as far as they say any; for names a number for each."""
    texts = [text and text.strip() for batch in batches for text in batch.to_pylist()]
    written = read_written(Counter(text for text in texts if text is not None))
    names = sorted({*texts} - {None, "", *written.others})
    is_list, are_names = written.kind == "lists", written.kind in ("classes", "mixed", "texts")
    said: Any = {name: place for place, name in enumerate(names)} if are_names else written.values
    numbers = [said.get(text) for text in texts]
    facts = _label_facts(pa.array(numbers, pa.list_(pa.float64()) if is_list else pa.float64()))
    kind: LabelType = "list" if is_list else "text"
    if not is_list and not are_names:
        is_whole = written.kind != "grades" and all(number is None or number % 1 == 0 for number in numbers)
        kind = "integer" if is_whole else "float"
    is_blank = np.asarray([not text for text in texts])
    facts["missing"] = is_blank | facts["missing"] if is_list else is_blank
    facts["others"] = np.asarray([text in written.others for text in texts])
    return Labels(type=kind, is_list=is_list, **facts, written=written, names=names, are_names=are_names)
