"""Do batches hold what the loss compares: other rows, other texts, rows of the same class?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # whose parts come when they are used
from numpy.typing import NDArray

from selective_st.registry.checks.context import Context, quoted
from selective_st.registry.checks.engine import Bad, Found, Part, Stage, Tells, bad, rule
from selective_st.registry.checks.lines import TO_DATASET, with_sampler
from selective_st.registry.checks.scan import Integers, Numbers, Unsigned, scan
from selective_st.registry.steps import Code, Step
from selective_st.registry.table import tables

_FALSE_NEGATIVES = 0.01  # of the rows of a batch are worth a word
_ALONE = 0.5  # of the rows of a batch may lack another row of their class
_EXAMPLES = 3  # of conflicts are shown
_TIE = 1e-9  # labels that differ by less are equal
_CUT_BATCHES = (
    'args.accelerator_config.dispatch_batches = False  # or made with accelerator_config={"dispatch_batches": False}'
)

# --- Streams ----------------------------------------------------------------------------------------------------------


@rule("stream-dict", "data", "error", Stage.STORE, TO_DATASET)
def stream_dict(c: Context) -> bool:
    """The trainer takes no dict of streams: {c.table.name!r} is one."""
    return c.table.is_stream and c.table.name is not None


def _cast(c: Context, found: Found) -> tuple[Part, ...]:
    code = repr({name: c.table.features[name] for name in c.table.columns})
    names = sorted({name for name in ("Value", "Sequence", "List", "LargeList", "ClassLabel") if f"{name}(" in code})
    return f"from datasets import {', '.join(['Features', *names])}", Step("cast", (Code(f"Features({code})"),))


@rule("stream-features", "data", "error", Stage.STORE, _cast)
def stream_features(c: Context) -> bool:
    """The stream does not say which columns it has (`features`), without which the trainer refuses it."""
    return not c.table.has_features and c.table.name is None


@rule("stream-batches", "data", "error", Stage.LOSS, _CUT_BATCHES)
def stream_batches(c: Context) -> bool:
    """The trainer cuts the batches of a stream in pieces, but this model's hold no row for each text: it crashes."""
    preprocess = getattr(c.model, "preprocess", None)
    if not c.table.is_stream or c.table.name is not None or not callable(preprocess):
        return False
    batch: Any = preprocess(["one", "two words", "three words here"])
    return any(len(value) != 3 for value in batch.values() if getattr(value, "ndim", 0))


@rule("stream-sampler", "data", "warning", Stage.STORE, TO_DATASET)
def stream_sampler(c: Context) -> bool:
    """A stream cannot have the sampler {c.sampler}: the trainer takes its rows in their order."""
    return c.table.is_stream and c.sampler not in (None, "batch_sampler")


# --- Batches ----------------------------------------------------------------------------------------------------------


def matching_rows(codes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """How many other rows share a text with each row.

    Args:
        codes: For one column, or two, a number for each row that stands for its text.

    Returns:
        For each row the number of other rows with the same text in a column.

    Example:
        >>> matching_rows([np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])]).tolist()
        [1, 2, 1, 0]
    """
    matches: NDArray[np.int64] = sum((np.bincount(code)[code] - 1 for code in codes), np.zeros(len(codes[0]), np.int64))
    if len(codes) == 2:  # rows that share both texts were counted twice
        pairs = codes[0].astype(np.int64) * (int(codes[1].max()) + 1) + codes[1]
        _, places, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
        matches -= sizes[places] - 1
    return matches


def false_negative_rate(matches: NDArray[np.int64], batch_size: int) -> float:
    """The share of the rows of a random batch that meet a row which shares a text with them.

    Args:
        matches: For each row of the dataset, how many others share a text with it.
        batch_size: How many rows a batch has, drawn without replacement.

    Returns:
        The expected share, exactly: the mean over the rows of `1 - C(N - 1 - c, B - 1) / C(N - 1, B - 1)`.

    Example:
        >>> false_negative_rate(np.array([1, 1, 0, 0]), 2)  # of two rows with one text, one finds the other in 1 of 3
        0.166...
    """
    values, counts = np.unique(matches, return_counts=True)
    others = len(matches) - 1
    return float(np.average(1 - meets_none(others, values, min(batch_size - 1, others)), weights=counts))


def meets_none(others: int, matches: Any, drawn: int) -> Numbers:
    """The probability that none of the matches is among the rows drawn from the others."""
    left = others - matches
    log_factorial = scipy.special.gammaln  # of one less
    # Of fewer rows than are drawn, the logarithm is minus infinity.
    among_left = log_factorial(left + 1) - log_factorial(np.maximum(left - drawn + 1, 0))
    found: Numbers = np.exp(among_left - (log_factorial(others + 1) - log_factorial(others - drawn + 1)))
    return found


@rule("lone-row", "data", "error", Stage.LOSS)
def lone_row(c: Context) -> Tells:
    """{loss} compares the rows of a batch, but {what}: it teaches nothing."""
    in_batch = c.entry.in_batch_negatives and len(c.read_inputs) < 3 and not (c.source and c.takes_labels)
    # Lists are ordered within a row, and pairs across rows.
    compares = in_batch or c.entry.class_batches or (c.entry.order_only and c.has_amounts)
    is_gathered = getattr(c.loss, "gather_across_devices", None) is True
    if compares and len(c.read_inputs) >= c.entry.min_columns and not is_gathered:
        if c.table.rows is not None and c.table.rows <= 1:
            yield bad(what="there is one row (datasets.concatenate_datasets adds others)")
        elif c.batch_size == 1:
            yield bad(what="a batch has one row", mend="args.per_device_train_batch_size = 32")


@rule("false-negatives", "data", "warning", Stage.LOSS, with_sampler("NO_DUPLICATES"))
def false_negatives(c: Context) -> Tells:
    """{rate:.1%} of the rows of a random batch of {size} meet a row with the same {what}.

    Its text counts as a negative, though it is none; such rows are {rows}.
    """
    is_masked = getattr(c.loss, "mask_same_text", None) is True
    columns = [column for column in c.read_inputs[: 1 if is_masked else 2] if c.format.kinds[column] == "text"]
    if c.entry.in_batch_negatives and columns and not (c.sampler or "").startswith("no_duplicates"):
        matches = matching_rows([code for column in columns if (code := c.scan.texts[column].codes) is not None])
        rate, size = false_negative_rate(matches, c.batch_size), min(c.batch_size, len(matches))
        if rate >= _FALSE_NEGATIVES:
            what = " or the same ".join(map(repr, columns))
            yield bad(matches > 0, column=columns[0], rate=rate, size=size, what=what)


@dataclass(frozen=True)
class Conflicts:
    """Rows that hold the same texts with different labels.

    Attributes:
        rows: Their numbers, in order.
        groups: How many different texts, or pairs of texts, they hold.
        repeated: How many rows of the data repeat the texts of an earlier row, with whatever label.
        examples: For some of them, the rows and their labels.
    """

    rows: Integers
    groups: int
    repeated: int
    examples: tuple[tuple[tuple[int, float], ...], ...]


def conflicting_rows(data: object, inputs: tuple[str, ...], label: str, *, is_ordered: bool = True) -> Conflicts | None:
    """Find rows that hold the same texts with different labels.

    Args:
        data: A single dataset, as for `check_dataset`.
        inputs: The columns of texts.
        label: The label column: numbers, or texts that say numbers or classes.
        is_ordered: Whether two texts that have changed places are another pair.

    Returns:
        What was found; None if there is no such row.

    Example:
        >>> data = {"a": ["x", "y", "x"], "b": ["p", "q", "p"], "score": [0.2, 0.5, 0.9]}
        >>> found = conflicting_rows(data, ("a", "b"), "score")
        >>> found.rows.tolist(), found.examples
        ([0, 2], (((0, 0.2), (2, 0.9)),))
    """
    (table,) = tables(data)
    seen = scan(table, inputs, label, inputs)
    hashes = [texts.hashes for texts in seen.texts.values() if texts.hashes is not None]
    if seen.labels is None or len(hashes) < len(inputs):
        return None
    return _conflicts(hashes, seen.labels.numbers, seen.rows, is_ordered=is_ordered)


@rule("conflicting-labels", "read label", "warning", Stage.VALUES)
def conflicting_labels(c: Context) -> Tells:
    """{count} rows hold the same texts in {columns} as another row, but another label in {label!r} ({shown}).

    One of them is wrong, or the texts do not tell the label.
    """
    texts = [c.scan.texts.get(column) for column in c.read_inputs]
    hashes = [text.hashes for text in texts if text is not None and text.hashes is not None]
    is_ordered = c.entry.model_type == "CrossEncoder" or not c.label_kinds <= {"similarity", "binary"}
    is_asked = hashes and len(hashes) == len(texts)
    found = _conflicts(hashes, c.labels.numbers, c.scan.rows, is_ordered=is_ordered) if is_asked else None
    if found is None:
        return
    names = c.class_names or (c.labels.names if c.labels.are_names else [])
    shown = [
        ", ".join(f"row {row}: {names[int(number)] if names else format(number, 'g')}" for row, number in example)
        for example in found.examples
    ]
    has_mean = bool(c.label_kinds & {"similarity", "margin"})
    why = "the mean of their labels" if has_mean else "keeps the first label of each"
    options = (("mean_of", c.label),) if has_mean else ()
    why = f"{why}; leaves out {found.repeated:,} repeated row(s)"
    merged = Step("remove_duplicate_rows", (c.read_inputs,), options, why)
    more = "; ..." if found.groups > len(shown) else ""
    count, columns = f"{len(found.rows):,}", quoted(c.read_inputs)
    yield bad(found.rows, mend=merged, count=count, columns=columns, shown="; ".join(shown) + more)


def _conflicts(hashes: Sequence[Unsigned], numbers: Numbers, rows: Integers, *, is_ordered: bool) -> Conflicts | None:
    """The rows whose texts are those of another row, with another label; None if there are none."""
    known = np.flatnonzero(np.isfinite(numbers))
    known = known[np.argsort(rows[known], kind="stable")]
    columns = [column[known] for column in hashes]
    if len(columns) == 2 and not is_ordered:
        columns = [np.minimum(*columns), np.maximum(*columns)]
    keys = np.zeros(len(known), dtype=np.uint64)
    for column in columns:
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + column  # modulo 2^64: another multiple for each column
    different, group = np.unique(keys, return_inverse=True)
    lows, highs = np.full(len(different), np.inf), np.full(len(different), -np.inf)
    np.minimum.at(lows, group, numbers[known])
    np.maximum.at(highs, group, numbers[known])
    wrong = np.flatnonzero((highs - lows > _TIE)[group])
    groups, firsts = np.unique(group[wrong], return_index=True)
    members = (known[wrong[group[wrong] == one]][:_EXAMPLES] for one in group[wrong[np.sort(firsts)[:_EXAMPLES]]])
    examples = tuple(tuple((int(rows[place]), float(numbers[place])) for place in places) for places in members)
    repeated = len(known) - len(different)
    return Conflicts(rows[known[wrong]], len(groups), repeated, examples) if len(wrong) else None


# --- Batches of classes -----------------------------------------------------------------------------------------------


@rule("single-class", "label", "warning", Stage.VALUES)
def single_class(c: Context) -> Tells:
    """Of {classes:,} classes in {label!r} {alone:,} have one row, no positive: {rows}; {left:,} rows are left{few}."""
    numbers = c.labels.numbers
    if c.entry.class_batches:
        classes, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
        several, are_few = counts > 1, int((counts > 1).sum()) < 2
        yield bad(
            np.isin(numbers, classes[~several]),
            severity="error" if are_few else None,
            mend=None if are_few else Step("remove_rare_classes", (c.label,)),
            few=", in fewer than two classes" if are_few else "",
            classes=len(classes),
            alone=int((~several).sum()),
            left=int(counts[several].sum()),
        )


@rule("class-batches", "label", "warning", Stage.LOSS, with_sampler("GROUP_BY_LABEL"))
def class_batches(c: Context) -> Tells:
    """{missing:.1%} of the rows of a random batch of {size} have no other row of their class, and so no positive."""
    numbers = c.labels.numbers
    if c.entry.class_batches and c.sampler != "group_by_label":
        _, places, counts = np.unique(numbers[~np.isnan(numbers)], return_inverse=True, return_counts=True)
        others = counts[places].astype(np.int64) - 1
        missing = 1 - false_negative_rate(others, c.batch_size) if (others > 0).any() else 0.0
        if missing > _ALONE:
            yield bad(missing=missing, size=min(c.batch_size, len(others)))


@rule("group-batch-size", "data", "error", Stage.LOSS)
def group_batch_size(c: Context) -> Bad | None:
    """The sampler group_by_label takes an even batch size of at least 4, got {c.batch_size}."""
    mended = max(4, c.batch_size + c.batch_size % 2)
    is_wrong = c.sampler == "group_by_label" and mended != c.batch_size
    return bad(mend=f"args.per_device_train_batch_size = {mended}") if is_wrong else None
