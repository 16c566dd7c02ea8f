"""One pass over the columns that a loss reads, in Arrow batches: what must be known of every row.

What is seen of a column is an array each (`Facts`), with an entry for each row: batches are looked at one by one, and
their arrays put together. Only labels that are texts are kept until all are there, as all together say what each means.
"""

from __future__ import annotations

import math
import re
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

_LONG_LIST = 64  # longer label lists are vectors: their values are not looked at one by one

Mask = NDArray[np.bool_]
Unsigned = NDArray[np.uint64]
Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
Facts = dict[str, NDArray[Any]]
LabelType = Literal["integer", "boolean", "float", "text", "list", "lists", "other"]
_NUMBER_TYPES: dict[str, LabelType] = {
    "bool": "boolean", "int": "integer", "uint": "integer", "halffloat": "float", "float": "float", "double": "float",
    "decimal": "float"
}  # fmt: skip
_NUMBERS = ("numbers", "lows", "highs", "margin_lows", "margin_highs")
# What stands for a fact of labels that have none.
_NONE: dict[str, Any] = {
    **dict.fromkeys(("missing", "empty", "nulls", "nan", "infinite", "others"), False),
    **dict.fromkeys(_NUMBERS, math.nan),
    "lengths": 0,
}


@dataclass
class Texts:
    """A column of texts, or of lists of texts."""

    missing: Mask  # None
    empty: Mask  # or white space only; a text whose label is NaN is padding
    lengths: Integers | None = None  # of lists
    hashes: Unsigned | None = None  # 64 bits that stand for the text, where they were asked for

    @property
    def codes(self) -> Integers | None:
        """For each row the number of its text among the different ones."""
        return None if self.hashes is None else np.unique(self.hashes, return_inverse=True)[1].reshape(-1)


@dataclass
class Labels:
    """The label column."""

    type: LabelType  # what is stored; of texts that can be read, what they say
    is_list: bool
    missing: Mask  # no label: None, or a list of NaN only
    empty: Mask  # an empty list
    nulls: Mask  # None in place of a list, or within it
    nan: Mask  # NaN; in lists, a part is NaN
    infinite: Mask
    others: Mask  # a text that says something else than most
    numbers: Numbers  # the labels, NaN where there is none; for names, a number for each
    lows: Numbers  # of lists that are not long, the lowest label of each
    highs: Numbers
    margin_lows: Numbers  # the lowest difference of the first from another
    margin_highs: Numbers
    lengths: Integers  # of lists
    inner_lengths: tuple[int, int] | None = None  # of lists of lists, the lowest and the highest
    written: Written | None = None  # what texts say
    names: list[str] = field(default_factory=list)  # the different texts, without the others

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
    same: dict[tuple[str, ...], Mask]  # whether the first or the second column and a later one hold the same text

    def numbers(self, mask: Mask) -> Integers:
        """The numbers of the rows that are masked, in order."""
        return np.sort(self.rows[mask])


def scan(table: Table, texts: Sequence[str], label: str | None, coded: Sequence[str] = ()) -> Scan:
    """Go through a table once."""
    columns = [*texts, *([] if label is None else [label])]
    pairs = [(one, other) for place, one in enumerate(texts[:2]) for other in texts[place + 1 :]]
    parts: dict[Any, list[Facts]] = defaultdict(list)  # of each column, of each pair of them, and of the label
    labels = []
    batches: Any = table.scan(*columns) if columns else [(np.arange(table.scanned), {})]
    for rows, batch in batches:
        arrays = {column: _array(batch[column]) for column in columns}
        facts: Facts = {}
        if label is not None:
            labels.append(arrays[label])
            facts = {} if _is_text(arrays[label].type) else _label_facts(arrays[label])
        padding = facts.pop("padding", np.empty((len(rows), 0)))
        parts[None].append(facts | {"rows": rows})
        for place, column in enumerate(texts):
            facts = _text_facts(arrays[column])
            if place > 0 and padding.shape[1] == len(texts) - 1:
                facts |= {name: facts[name] & ~padding[:, place - 1] for name in ("missing", "empty")}
            parts[column].append(facts | ({"hashes": _hashes(arrays[column])} if column in coded else {}))
        for pair in pairs:
            parts[pair].append({"same": _equal(*(arrays[column] for column in pair))})
    joined: dict[Any, Facts] = {}
    for key, of_batches in parts.items():  # what is known of every batch
        known = [name for name in of_batches[0] if all(name in facts for facts in of_batches)]
        joined[key] = {name: np.concatenate([facts[name] for facts in of_batches]) for name in known}
    rows = joined[None].pop("rows")
    return Scan(
        rows,
        {column: Texts(**joined[column]) for column in texts},
        _labels(labels, joined[None], len(rows)) if labels else None,
        {pair: joined[pair]["same"] for pair in pairs},
    )


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
    return _NUMBER_TYPES.get(re.sub(r"[\d(].*", "", str(kind)), "other")


def _mask(array: pa.Array) -> Mask:
    mask: Mask = array.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _blank(array: pa.Array) -> Mask:
    """Which texts are empty, or white space only."""
    return _mask(pc.or_(pc.equal(pc.binary_length(array), 0), pc.utf8_is_space(array)))


def _numbers(array: pa.Array) -> Numbers:
    """Numbers with NaN for None; whole ones beyond 2^53 are rounded."""
    array = array.cast("int8") if array.type == "bool" else array
    return np.asarray(array.cast("float64", safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _list_lengths(array: pa.Array) -> Integers:
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


# --- Texts ------------------------------------------------------------------------------------------------------------


def _text_facts(array: pa.Array) -> Facts:
    missing = _mask(array.is_null())
    if not _is_list(array.type):
        return {"missing": missing, "empty": _blank(array) if _is_text(array.type) else np.zeros(len(array), bool)}
    lengths, inner = _list_lengths(array), array.flatten()
    empty = (lengths == 0) & ~missing
    if _is_text(inner.type):
        empty |= _any_of(_blank(inner), lengths)
    return {"missing": missing | _any_of(_mask(inner.is_null()), lengths), "empty": empty, "lengths": lengths}


def _equal(one: pa.Array, other: pa.Array) -> Mask:
    """Which texts are the same."""
    if not (_is_text(one.type) and _is_text(other.type)):
        return np.zeros(len(one), dtype=bool)
    return _mask(pc.equal(one.cast("large_string"), other.cast("large_string")))  # whose offsets go beyond 2 GB


def _hashes(array: pa.Array) -> Unsigned:
    """A number of 64 bits for each text, so that texts need not be kept to see which are the same."""
    texts = array.cast("large_binary").to_pylist()
    return np.fromiter((xxh3_64_intdigest(text or b"") for text in texts), dtype=np.uint64, count=len(texts))


# --- Labels -----------------------------------------------------------------------------------------------------------


def _labels(batches: list[pa.Array], facts: Facts, rows: int) -> Labels:
    kind = batches[0].type
    more: dict[str, Any] = {"type": _number_type(kind)}
    if _is_text(kind):
        facts, more = _written_facts(batches)
    elif _is_list(kind):
        inner = kind.value_type
        more["type"] = "lists" if _is_list(inner) else "other" if _number_type(inner) == "other" else "list"
    if facts.get("lengths", np.zeros(1)).max() > _LONG_LIST:  # other batches may hold short ones only
        facts = {name: values for name, values in facts.items() if name not in _NUMBERS}
    if len(sizes := facts.get("sizes", ())):
        more["inner_lengths"] = int(min(sizes)), int(max(sizes))
    every: dict[str, Any] = {name: facts.get(name, np.full(rows, none)) for name, none in _NONE.items()}
    return Labels(is_list="lengths" in facts, **every, **more)


def _label_facts(array: pa.Array) -> Facts:
    if _is_list(array.type):
        return _list_facts(array)
    missing = _mask(array.is_null())
    numbers = {} if _number_type(array.type) == "other" else _number_facts(_numbers(array), ~missing)
    return {"missing": missing} | numbers


def _number_facts(values: Numbers, known: Mask) -> Facts:
    return {"numbers": values, "nan": np.isnan(values) & known, "infinite": np.isinf(values)}


def _written_facts(batches: list[pa.Array]) -> tuple[Facts, dict[str, Any]]:
    """The numbers of labels that are stored as text, as far as they say any; for names a number for each."""
    encoded = pa.chunked_array(batches).dictionary_encode().combine_chunks()
    texts = encoded.dictionary.to_pylist() or [""]
    indices, known = encoded.indices.fill_null(0).to_numpy(), ~_mask(encoded.indices.is_null())
    counts = np.bincount(indices[known], minlength=len(texts))
    written = read_written(Counter({text: int(count) for text, count in zip(texts, counts, strict=True) if count}))
    stripped = [text.strip() for text in texts]
    labels: dict[str, Any] = {"written": written, "names": sorted({*stripped} - {"", *written.others}), "type": "text"}
    are_names = written.kind in ("classes", "mixed", "texts")
    said: Any = {name: place for place, name in enumerate(labels["names"])} if are_names else written.values
    is_said, is_other, is_blank = (
        np.asarray([text in those for text in stripped])[indices] & known for those in (said, written.others, ("",))
    )
    if written.kind == "lists":
        lists = pa.array([said.get(text) for text in stripped], pa.list_(pa.float64()))
        facts, labels["type"] = _list_facts(lists.take(encoded.indices)), "list"
    else:
        values = np.asarray([said.get(text, math.nan) for text in stripped], dtype=np.float64)[indices]
        facts = _number_facts(np.where(known, values, math.nan), is_said)
        if not are_names:
            is_whole = bool((np.isnan(facts["numbers"]) | (facts["numbers"] % 1 == 0)).all())
            labels["type"] = "integer" if is_whole and written.kind != "grades" else "float"
    missing = facts.get("missing", np.zeros(len(known), dtype=bool)) | ~known | is_blank
    return facts | {"missing": missing, "others": is_other}, labels


def _list_facts(array: pa.Array) -> Facts:
    """Of lists of numbers, or of vectors; with `padding`, where those of one length are NaN."""
    lengths, inner, is_null = _list_lengths(array), array.flatten(), _mask(array.is_null())
    nulls = is_null | _any_of(_mask(inner.is_null()), lengths)
    facts: Facts = {"lengths": lengths, "empty": (lengths == 0) & ~is_null, "missing": np.zeros(len(lengths), bool)}
    if _is_list(inner.type):
        sizes, deep = _list_lengths(inner), inner.flatten()
        nulls |= _any_of(_any_of(_mask(deep.is_null()), sizes), lengths)
        missing = _any_of(sizes == 0, lengths) & ~nulls
        inside = _of_each(np.add, sizes, lengths, 0)
        return facts | {"nulls": nulls, "missing": missing, "sizes": sizes} | _sums(deep, inside, ~missing & ~nulls)
    facts["nulls"] = nulls
    if _number_type(inner.type) == "other":
        return facts
    if lengths.max(initial=0) > _LONG_LIST:
        return facts | _sums(inner, lengths, ~nulls)
    values = _numbers(inner)
    if len(lengths) and lengths.min() == lengths.max() > 0:
        facts["padding"] = np.isnan(values.reshape(len(lengths), -1))
    unknown = _of_each(np.add, np.isnan(values).astype(np.int64), lengths, 0)
    is_missing = (lengths > 0) & (unknown == lengths)
    facts |= {
        "missing": is_missing & ~nulls,
        "nan": (unknown > 0) & ~is_missing & ~nulls,
        "infinite": _any_of(np.isinf(values), lengths),
    }
    return facts | _ends(values, lengths)


def _sums(vectors: pa.Array, lengths: Integers, known: Mask) -> Facts:
    """Of long lists: whether a value is NaN or infinite shows in their sums."""
    sums = _of_each(np.add, _numbers(vectors), lengths, 0.0)
    return {"nan": np.isnan(sums) & known, "infinite": np.isinf(sums)}


def _ends(values: Numbers, lengths: Integers) -> Facts:
    """The ends of each list, and those of the differences of its first value from the others."""
    rest, starts = values.copy(), (np.cumsum(lengths) - lengths)[lengths > 0]
    rest[starts] = math.nan
    firsts = np.full(len(lengths), math.nan)
    firsts[lengths > 0] = values[starts]
    lows, highs, rest_lows, rest_highs = (
        _of_each(reduce, of, lengths, math.nan) for of in (values, rest) for reduce in (np.fmin, np.fmax)
    )
    return {"lows": lows, "highs": highs, "margin_lows": firsts - rest_highs, "margin_highs": firsts - rest_lows}
