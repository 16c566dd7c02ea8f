"""Do batches hold what the loss compares: other rows, other texts, rows of the same class?"""

from __future__ import annotations

from typing import Any

import numpy as np

from selective_st.registry.checks.batches import conflicts, false_negative_rate, matching_rows
from selective_st.registry.checks.context import Context, quoted
from selective_st.registry.checks.engine import Bad, Found, Part, Stage, bad, rule
from selective_st.registry.checks.lines import TO_DATASET, with_sampler
from selective_st.registry.steps import Code, Step

_FALSE_NEGATIVES = 0.01  # of the rows of a batch are worth a word
_ALONE = 0.5  # of the rows of a batch may lack another row of their class
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


@rule("lone-row", "data", "error", Stage.LOSS)
def lone_row(c: Context) -> Bad | None:
    """{loss} compares the rows of a batch, but {what}: it teaches nothing."""
    in_batch = c.entry.in_batch_negatives and len(c.read_inputs) < 3 and not (c.source and c.takes_labels)
    # Lists are ordered within a row, and pairs across rows.
    ordered = c.entry.order_only and c.has_amounts
    compares = (in_batch or ordered or c.entry.class_batches) and len(c.read_inputs) >= c.entry.min_columns
    if not compares or getattr(c.loss, "gather_across_devices", None) is True:
        return None
    if c.table.rows is not None and c.table.rows <= 1:
        return bad(what="there is one row (datasets.concatenate_datasets adds others)")
    is_one = c.batch_size == 1
    return bad(what="a batch has one row", mend="args.per_device_train_batch_size = 32") if is_one else None


@rule("false-negatives", "data", "warning", Stage.LOSS, with_sampler("NO_DUPLICATES"))
def false_negatives(c: Context) -> Bad | None:
    """{rate:.1%} of the rows of a random batch of {size} meet a row with the same {what}.

    Its text counts as a negative, though it is none; such rows are {rows}.
    """
    if not c.entry.in_batch_negatives or (c.sampler or "").startswith("no_duplicates"):
        return None
    masked = getattr(c.loss, "mask_same_text", None) is True
    columns = [column for column in c.read_inputs[: 1 if masked else 2] if c.kinds[column] == "text"]
    codes = [code for column in columns if (code := c.scan.texts[column].codes) is not None]
    if not codes:
        return None
    matches = matching_rows(codes)
    rate, size = false_negative_rate(matches, c.batch_size), min(c.batch_size, len(matches))
    what = " or the same ".join(map(repr, columns))
    is_often = rate >= _FALSE_NEGATIVES
    return bad(matches > 0, column=columns[0], rate=rate, size=size, what=what) if is_often else None


@rule("conflicting-labels", "read label", "warning", Stage.VALUES)
def conflicting_labels(c: Context) -> Bad | None:
    """{count} rows hold the same texts in {columns} as another row, but another label in {label!r} ({shown}): {why}."""
    texts = [c.scan.texts.get(column) for column in c.read_inputs]
    hashes = [text.hashes for text in texts if text is not None and text.hashes is not None]
    if not hashes or len(hashes) < len(c.read_inputs):
        return None
    is_ordered = c.entry.model_type == "CrossEncoder" or not c.label_kinds <= {"similarity", "binary"}
    found = conflicts(hashes, c.labels.numbers, c.scan.rows, is_ordered=is_ordered)
    if found is None:
        return None
    names = c.class_names or (c.labels.names if c.labels.are_names else [])
    shown = [
        ", ".join(f"row {row}: {names[int(value)] if names else format(value, 'g')}" for row, value in example)
        for example in found.examples
    ]
    shown += ["..."] if found.groups > len(shown) else []
    facts: dict[str, Any] = {
        "count": f"{found.tally.count:,}",
        "columns": quoted(c.read_inputs),
        "shown": "; ".join(shown),
    }
    why = "one of them is wrong, or the texts do not tell the label"
    more = f"leaves out {found.repeated:,} repeated row(s)"
    merged = Step("remove_duplicate_rows", (c.read_inputs,), why=f"keeps the first label of each; {more}")
    if c.label_kinds & {"similarity", "margin"}:
        mean = (("mean_of", c.label),)
        merged = Step("remove_duplicate_rows", (c.read_inputs,), mean, f"the mean of their labels; {more}")
    return bad(found.tally, mend=merged, why=why, **facts)


# --- Batches of classes -----------------------------------------------------------------------------------------------


@rule("single-class", "label", "warning", Stage.VALUES)
def single_class(c: Context) -> Bad | None:
    """Of {classes:,} classes in {label!r} {alone:,} have one row, no positive: {rows}; {left:,} rows are left{few}."""
    numbers = c.labels.numbers
    if not c.entry.class_batches:
        return None
    classes, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    several = counts[counts > 1]
    facts: dict[str, Any] = {"classes": len(classes), "alone": len(counts) - len(several), "left": int(several.sum())}
    rows = np.isin(numbers, classes[counts == 1])
    if len(several) < 2:
        return bad(rows, severity="error", few=", in fewer than two classes", **facts)
    return bad(rows, mend=Step("remove_rare_classes", (c.label,)), few="", **facts)


@rule("class-batches", "label", "warning", Stage.LOSS, with_sampler("GROUP_BY_LABEL"))
def class_batches(c: Context) -> Bad | None:
    """{missing:.1%} of the rows of a random batch of {size} have no other row of their class, and so no positive."""
    numbers = c.labels.numbers
    if not c.entry.class_batches or c.sampler == "group_by_label":
        return None
    _, places, counts = np.unique(numbers[~np.isnan(numbers)], return_inverse=True, return_counts=True)
    others = counts[places].astype(np.int64) - 1
    missing = 1 - false_negative_rate(others, c.batch_size) if (others > 0).any() else 0.0
    return bad(missing=missing, size=min(c.batch_size, len(others))) if missing > _ALONE else None


@rule("group-batch-size", "data", "error", Stage.LOSS)
def group_batch_size(c: Context) -> Bad | None:
    """The sampler group_by_label takes an even batch size of at least 4, got {c.batch_size}."""
    mended = max(4, c.batch_size + c.batch_size % 2)
    is_wrong = c.sampler == "group_by_label" and mended != c.batch_size
    return bad(mend=f"args.per_device_train_batch_size = {mended}") if is_wrong else None
