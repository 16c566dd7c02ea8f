"""Do batches hold what the loss compares: other rows, other texts, rows of the same class?"""

from __future__ import annotations

from typing import Any

import numpy as np

from selective_st.registry.checks.batches import conflicts, false_negative_rate, matching_rows
from selective_st.registry.checks.context import Context, quoted
from selective_st.registry.checks.engine import Bad, Mend, Part, Stage, rule
from selective_st.registry.checks.rules.losses import argument_line, sampler_line
from selective_st.registry.steps import Code, Step

_FALSE_NEGATIVES = 0.01  # of the rows of a batch are worth a word
_ALONE = 0.5  # of the rows of a batch may lack another row of their class
_TO_DATASET = Step("to_dataset", why="all rows of the stream")


def _with_sampler(name: str) -> Any:
    """Choose a sampler of batches, which a stream cannot have."""

    def mend(context: Context, bad: Bad) -> tuple[Part, ...]:
        return (*([_TO_DATASET] if context.table.is_stream else []), sampler_line(name))

    return mend


# --- Streams ----------------------------------------------------------------------------------------------------------


@rule(
    "stream-dict",
    "data",
    "error",
    "the trainer takes no dict of streams: {name!r} is one",
    stage=Stage.STORE,
    mend=lambda c, bad: _TO_DATASET,
)
def stream_dict(context: Context) -> Bad | None:
    """A stream among several datasets."""
    table = context.table
    return Bad(facts={"name": table.name}) if table.is_stream and table.name is not None else None


@rule(
    "stream-features",
    "data",
    "error",
    "the stream does not say which columns it has (`features`), without which the trainer refuses it",
    stage=Stage.STORE,
    mend=lambda c, bad: _cast(c),
)
def stream_features(context: Context) -> bool:
    """A stream that does not know its columns."""
    return not context.table.has_features and context.table.name is None


def _cast(context: Context) -> tuple[Part, ...]:
    features = {name: context.table.features[name] for name in context.table.columns}
    code = repr(features)
    names = sorted({name for name in ("Value", "Sequence", "List", "LargeList", "ClassLabel") if f"{name}(" in code})
    return (f"from datasets import {', '.join(['Features', *names])}", Step("cast", (Code(f"Features({code})"),)))


@rule(
    "stream-batches",
    "data",
    "error",
    "this model's batches are no tensors with a row for each text, which the trainer would cut in pieces where the "
    "data are a stream: it crashes",
    stage=Stage.LOSS,
    mend=lambda c, bad: argument_line(
        "accelerator_config.dispatch_batches",
        'False  # or, when they are made: accelerator_config={"dispatch_batches": False}',
    ),
)
def stream_batches(context: Context) -> bool:
    """A stream for a model whose batches cannot be cut, such as static embeddings."""
    return context.table.is_stream and context.table.name is None and _are_flat(context.model)


def _are_flat(model: Any) -> bool:
    """Whether a batch of a model holds tensors without a row for each text."""
    preprocess = getattr(model, "preprocess", None) or getattr(model, "tokenize", None)
    if not callable(preprocess):
        return False
    batch = preprocess(["one", "two words", "three words here"])
    sizes = [len(value) for value in batch.values() if getattr(value, "ndim", 0)] if hasattr(batch, "values") else []
    return any(size != 3 for size in sizes)


@rule(
    "stream-sampler",
    "data",
    "warning",
    "a stream cannot have the sampler {sampler}: the trainer takes its rows in their order",
    stage=Stage.STORE,
    mend=lambda c, bad: _TO_DATASET,
)
def stream_sampler(context: Context) -> Bad | None:
    """A sampler that is not used."""
    is_asked = context.table.is_stream and context.sampler not in (None, "batch_sampler")
    return Bad(facts={"sampler": context.sampler}) if is_asked else None


# --- Batches ----------------------------------------------------------------------------------------------------------


@rule("lone-row", "data", "error", "{loss} compares the rows of a batch, but there is one row: it teaches nothing; add "
      "rows of the same columns: datasets.concatenate_datasets", stage=Stage.LOSS)  # fmt: skip
def lone_row(context: Context) -> bool:
    """A dataset of one row, where the loss compares rows."""
    return context.table.rows is not None and context.table.rows <= 1 and _compares_rows(context)


@rule(
    "lone-row",
    "data",
    "error",
    "{loss} compares the rows of a batch, but a batch has one row: it teaches nothing",
    stage=Stage.LOSS,
    mend=lambda c, bad: argument_line("per_device_train_batch_size", "32"),
)
def lone_batch(context: Context) -> bool:
    """Batches of one row, where the loss compares rows."""
    rows = context.table.rows
    return context.batch_size == 1 and (rows is None or rows > 1) and _compares_rows(context)


def _compares_rows(context: Context) -> bool:
    entry = context.entry
    if getattr(context.loss, "gather_across_devices", False) is True:
        return False
    in_batch = entry.in_batch_negatives and len(context.read_inputs) < 3 and context.read_label is None
    # Lists are ordered within a row, and pairs across rows.
    ordered = entry.order_only and context.source is not None and context.labels.numbers is not None
    return (in_batch or ordered or entry.class_batches) and len(context.read_inputs) >= entry.min_columns


@rule(
    "false-negatives",
    "data",
    "warning",
    "{rate:.1%} of the rows of a random batch of {size} meet a row with the same {what}, whose text counts as a "
    "negative though it is none; such rows are {rows}",
    stage=Stage.LOSS,
    mend=_with_sampler("NO_DUPLICATES"),
)
def false_negatives(context: Context) -> Bad | None:
    """Rows with the same text, which count as negatives of one another."""
    if not context.entry.in_batch_negatives or (context.sampler or "").startswith("no_duplicates"):
        return None
    columns = [column for column in context.read_inputs[:2] if context.kinds[column] == "text"]
    if getattr(context.loss, "mask_same_text", False) is True:
        columns = [column for column in columns if column == context.inputs[0]]
    codes = [code for column in columns if (code := context.scan.texts[column].codes) is not None]
    if not codes:
        return None
    matches = matching_rows(codes)
    rate = false_negative_rate(matches, context.batch_size)
    what, size = " or the same ".join(map(repr, columns)), min(context.batch_size, len(matches))
    if rate < _FALSE_NEGATIVES:
        return None
    return Bad(context.scan.tally(matches > 0), columns[0], facts={"rate": rate, "size": size, "what": what})


@rule(
    "conflicting-labels",
    "read label",
    "warning",
    "{conflicts}",
    stage=Stage.VALUES,
    mend=lambda c, bad: _merged(c, bad),
)
def conflicting_labels(context: Context) -> Bad | None:
    """The same texts with different labels."""
    texts = [context.scan.texts.get(column) for column in context.read_inputs]
    hashes = [text.hashes for text in texts if text is not None and text.hashes is not None]
    numbers = context.labels.numbers
    if not hashes or len(hashes) < len(context.read_inputs) or numbers is None:
        return None
    is_ordered = context.entry.model_type == "CrossEncoder" or not context.label_kinds <= {"similarity", "binary"}
    found = conflicts(hashes, numbers, context.scan.rows, is_ordered=is_ordered)
    if found is None:
        return None
    words = found.words(quoted(context.read_inputs), str(context.source), context.class_names)
    return Bad(found.tally, facts={"conflicts": words, "more": found.repeated})


def _merged(context: Context, bad: Bad) -> Mend:
    """One row for each pair, with the mean of its scores, or its first class."""
    more = f"leaves out {bad.facts['more']:,} repeated row(s)"
    columns, label = (context.read_inputs,), str(context.label)
    if context.label_kinds & {"similarity", "margin"}:
        return Step("remove_duplicate_rows", columns, (("mean_of", label),), f"the mean of their labels; {more}")
    return Step("remove_duplicate_rows", columns, why=f"keeps the first label of each; {more}")


# --- Batches of classes -----------------------------------------------------------------------------------------------


@rule(
    "single-class",
    "label",
    "warning",
    "of {classes:,} classes in {label!r} {alone:,} have one row, which has no positive: {rows}; {left:,} rows are left"
    "{few}",
    stage=Stage.VALUES,
    mend=lambda c, bad: None if bad.facts["few"] else Step("remove_rare_classes", (c.label,)),
)
def single_class(context: Context) -> Bad | None:
    """Classes with one row, which has no positive."""
    numbers = context.labels.numbers
    if not context.entry.class_batches or numbers is None:
        return None
    classes, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    tally = context.scan.tally(np.isin(numbers, classes[counts == 1]))
    if not tally.count:
        return None
    few = ", in fewer than two classes" if int((counts > 1).sum()) < 2 else ""
    facts = {"classes": len(classes), "alone": int((counts == 1).sum()), "left": int(counts[counts > 1].sum())}
    return Bad(tally, severity="error" if few else None, facts={**facts, "few": few})


@rule(
    "class-batches",
    "label",
    "warning",
    "{missing:.1%} of the rows of a random batch of {size} have no other row of their class in it, and so no positive",
    stage=Stage.LOSS,
    mend=_with_sampler("GROUP_BY_LABEL"),
)
def class_batches(context: Context) -> Bad | None:
    """Batches in which most rows are alone in their class."""
    numbers = context.labels.numbers
    if not context.entry.class_batches or numbers is None or context.sampler == "group_by_label":
        return None
    _, places, counts = np.unique(numbers[~np.isnan(numbers)], return_inverse=True, return_counts=True)
    others = counts[places].astype(np.int64) - 1
    if not (others > 0).any():
        return None
    missing = 1 - false_negative_rate(others, context.batch_size)
    return Bad(facts={"missing": missing, "size": min(context.batch_size, len(others))}) if missing > _ALONE else None


@rule(
    "group-batch-size",
    "data",
    "error",
    "the sampler group_by_label takes an even batch size of at least 4, got {size}",
    stage=Stage.LOSS,
    mend=lambda c, bad: argument_line("per_device_train_batch_size", str(max(4, c.batch_size + c.batch_size % 2))),
)
def group_batch_size(context: Context) -> Bad | None:
    """A batch size that the sampler of classes does not take."""
    size = context.batch_size
    is_wrong = context.sampler == "group_by_label" and (size < 4 or size % 2)
    return Bad(facts={"size": size}) if is_wrong else None
