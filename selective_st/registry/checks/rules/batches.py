"""Do batches hold what the loss compares: other rows, other texts, rows of the same class?"""

from __future__ import annotations

from typing import Any

import numpy as np

from selective_st.registry.checks.batches import conflicts, false_negative_rate, matching_rows
from selective_st.registry.checks.context import Context, quoted
from selective_st.registry.checks.engine import Bad, Part, Stage, bad, rule, says
from selective_st.registry.checks.rules.losses import TO_DATASET, with_sampler
from selective_st.registry.steps import Code, Step

_FALSE_NEGATIVES = 0.01  # of the rows of a batch are worth a word
_ALONE = 0.5  # of the rows of a batch may lack another row of their class

# --- Streams ----------------------------------------------------------------------------------------------------------


@rule("stream-dict", "data", "error", Stage.STORE, TO_DATASET)
@says("the trainer takes no dict of streams: {c.table.name!r} is one")
def stream_dict(c: Context) -> bool:
    """A stream among several datasets."""
    return c.table.is_stream and c.table.name is not None


def _cast(c: Context, found: Bad) -> tuple[Part, ...]:
    code = repr({name: c.table.features[name] for name in c.table.columns})
    names = sorted({name for name in ("Value", "Sequence", "List", "LargeList", "ClassLabel") if f"{name}(" in code})
    return f"from datasets import {', '.join(['Features', *names])}", Step("cast", (Code(f"Features({code})"),))


@rule("stream-features", "data", "error", Stage.STORE, _cast)
@says("the stream does not say which columns it has (`features`), without which the trainer refuses it")
def stream_features(c: Context) -> bool:
    """A stream that does not know its columns."""
    return not c.table.has_features and c.table.name is None


@rule(
    "stream-batches", "data", "error", Stage.LOSS,
    'args.accelerator_config.dispatch_batches = False  # or made with accelerator_config={"dispatch_batches": False}',
)  # fmt: skip
@says("the trainer cuts the batches of a stream in pieces, but this model's hold no row for each text: it crashes")
def stream_batches(c: Context) -> bool:
    """A stream for a model whose batches cannot be cut, such as static embeddings."""
    return c.table.is_stream and c.table.name is None and _are_flat(c.model)


def _are_flat(model: Any) -> bool:
    """Whether a batch of a model holds tensors without a row for each text."""
    preprocess = getattr(model, "preprocess", None)
    batch: Any = preprocess(["one", "two words", "three words here"]) if callable(preprocess) else {}
    return any(len(value) != 3 for value in batch.values() if getattr(value, "ndim", 0))


@rule("stream-sampler", "data", "warning", Stage.STORE, TO_DATASET)
@says("a stream cannot have the sampler {c.sampler}: the trainer takes its rows in their order")
def stream_sampler(c: Context) -> bool:
    """A sampler that is not used."""
    return c.table.is_stream and c.sampler not in (None, "batch_sampler")


# --- Batches ----------------------------------------------------------------------------------------------------------


@rule(
    "lone-row", "data", "error", Stage.LOSS,
    lambda c, found: None if found.facts["are_few"] else "args.per_device_train_batch_size = 32",
)  # fmt: skip
@says("{loss} compares the rows of a batch, but {what}: it teaches nothing")
def lone_row(c: Context) -> Bad | None:
    """Batches of one row, where the loss compares the rows of a batch."""
    are_few = c.table.rows is not None and c.table.rows <= 1
    in_batch = c.entry.in_batch_negatives and len(c.read_inputs) < 3 and c.read_label is None
    # Lists are ordered within a row, and pairs across rows.
    ordered = c.entry.order_only and c.source is not None and c.labels.numbers is not None
    compares = (in_batch or ordered or c.entry.class_batches) and len(c.read_inputs) >= c.entry.min_columns
    if not compares or not (are_few or c.batch_size == 1) or getattr(c.loss, "gather_across_devices", None) is True:
        return None
    what = "there is one row (datasets.concatenate_datasets adds others)" if are_few else "a batch has one row"
    return bad(are_few=are_few, what=what)


@rule("false-negatives", "data", "warning", Stage.LOSS, with_sampler("NO_DUPLICATES"))
@says(
    "{rate:.1%} of the rows of a random batch of {size} meet a row with the same {what}, whose text counts as a "
    "negative though it is none; such rows are {rows}"
)
def false_negatives(c: Context) -> Bad | None:
    """Rows with the same text, which count as negatives of one another."""
    if not c.entry.in_batch_negatives or (c.sampler or "").startswith("no_duplicates"):
        return None
    masked = getattr(c.loss, "mask_same_text", None) is True
    columns = [column for column in c.read_inputs[: 1 if masked else 2] if c.kinds[column] == "text"]
    codes = [code for column in columns if (code := c.scan.texts[column].codes) is not None]
    if not codes:
        return None
    matches = matching_rows(codes)
    rate = false_negative_rate(matches, c.batch_size)
    what, size = " or the same ".join(map(repr, columns)), min(c.batch_size, len(matches))
    found = bad(c.scan.tally(matches > 0), column=columns[0], rate=rate, size=size, what=what)
    return found if rate >= _FALSE_NEGATIVES else None


def _merged(c: Context, found: Bad) -> Step:
    """One row for each pair, with the mean of its scores, or its first class."""
    more = f"leaves out {found.facts['more']:,} repeated row(s)"
    if c.label_kinds & {"similarity", "margin"}:
        return Step(
            "remove_duplicate_rows", (c.read_inputs,), (("mean_of", c.label),), f"the mean of their labels; {more}"
        )
    return Step("remove_duplicate_rows", (c.read_inputs,), why=f"keeps the first label of each; {more}")


@rule("conflicting-labels", "read label", "warning", Stage.VALUES, _merged)
@says("{conflicts}")
def conflicting_labels(c: Context) -> Bad | None:
    """The same texts with different labels."""
    texts = [c.scan.texts.get(column) for column in c.read_inputs]
    hashes = [text.hashes for text in texts if text is not None and text.hashes is not None]
    if c.labels.numbers is None or not hashes or len(hashes) < len(c.read_inputs):
        return None
    is_ordered = c.entry.model_type == "CrossEncoder" or not c.label_kinds <= {"similarity", "binary"}
    found = conflicts(hashes, c.labels.numbers, c.scan.rows, is_ordered=is_ordered)
    if found is None:
        return None
    names = c.class_names or (c.labels.names if c.labels.are_names else [])
    words = found.words(quoted(c.read_inputs), str(c.source), names)
    return bad(found.tally, conflicts=words, more=found.repeated)


# --- Batches of classes -----------------------------------------------------------------------------------------------


@rule(
    "single-class", "label", "warning", Stage.VALUES,
    lambda c, found: None if found.facts["few"] else Step("remove_rare_classes", (c.label,)),
)  # fmt: skip
@says(
    "of {classes:,} classes in {label!r} {alone:,} have one row, and no positive: {rows}; {left:,} rows are left{few}"
)
def single_class(c: Context) -> Bad | None:
    """Classes with one row, which has no positive."""
    numbers = c.labels.numbers
    if not c.entry.class_batches or numbers is None:
        return None
    classes, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    several = counts[counts > 1]
    few = ", in fewer than two classes" if len(several) < 2 else ""
    tally = c.scan.tally(np.isin(numbers, classes[counts == 1]))
    alone, left = len(counts) - len(several), int(several.sum())
    return bad(tally, severity="error" if few else None, classes=len(classes), alone=alone, left=left, few=few)


@rule("class-batches", "label", "warning", Stage.LOSS, with_sampler("GROUP_BY_LABEL"))
@says("{missing:.1%} of the rows of a random batch of {size} have no other row of their class, and so no positive")
def class_batches(c: Context) -> Bad | None:
    """Batches in which most rows are alone in their class."""
    numbers = c.labels.numbers
    if not c.entry.class_batches or numbers is None or c.sampler == "group_by_label":
        return None
    _, places, counts = np.unique(numbers[~np.isnan(numbers)], return_inverse=True, return_counts=True)
    others = counts[places].astype(np.int64) - 1
    missing = 1 - false_negative_rate(others, c.batch_size) if (others > 0).any() else 0.0
    return bad(missing=missing, size=min(c.batch_size, len(others))) if missing > _ALONE else None


@rule(
    "group-batch-size", "data", "error", Stage.LOSS,
    lambda c, found: f"args.per_device_train_batch_size = {max(4, c.batch_size + c.batch_size % 2)}",
)  # fmt: skip
@says("the sampler group_by_label takes an even batch size of at least 4, got {c.batch_size}")
def group_batch_size(c: Context) -> bool:
    """A batch size that the sampler of classes does not take."""
    return c.sampler == "group_by_label" and (c.batch_size < 4 or c.batch_size % 2 > 0)
