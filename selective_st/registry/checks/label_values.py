"""Are the values of the labels such that the loss can learn from them?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.catalog import OURS
from selective_st.registry.checks.batches import log_no_match
from selective_st.registry.checks.context import Checked, Context, Found, row_numbers
from selective_st.registry.checks.labels import label_classes, label_unused
from selective_st.registry.checks.scan import Labels, Tally

ROUNDING = 1e-4  # labels may lie beyond their range by so much
_TIED = 0.9  # of the pairs of rows with the same label are almost all
_SAME_BATCH = 0.1  # of the batches may hold one label only
_LARGEST_GAIN = 100  # 2 to a label beyond that overflows
_LIST_GAIN_LOSSES = ("LambdaLoss",)  # a label's gain is 2^label - 1, and negative labels count as 0


def missing_label(context: Context) -> Checked:
    """None or NaN in place of a label."""
    label = context.label
    if label is None:
        return
    labels = context.labels
    if context.read_label is None:
        # The trainer makes a tensor of them all the same; NaN does no harm there.
        tally = labels.missing if labels.lengths is None else labels.nulls
        if tally.count and not any(found.severity == "error" for found in label_unused(context)):
            yield Found(
                "error",
                f"column {label!r} has no label (None) in {row_numbers(tally)}: no tensor can be made of it, which the "
                f"trainer does though {context.entry.name} does not read it",
                context.step("remove_columns", (label,)),
                label,
                tally,
            )
        return
    if labels.nulls.count:
        padded = context.entry.origin == OURS and labels.type == "list"
        change = context.change(
            "labels", "[float('nan') if label is None else label for label in labels or [None]]", label
        )
        yield Found(
            "error",
            f"the lists in {label!r} hold None in {row_numbers(labels.nulls)}, of which no tensor can be made"
            + ("; a padded label is NaN" if padded else ""),
            change if padded else context.keep("labels", "labels and None not in labels", label),
            label,
            labels.nulls,
        )
    for tally, what in (
        (labels.missing, "no label (None)" if labels.lengths is None else "no label"),
        (labels.empty, "an empty list"),
        (labels.nan, "the label NaN"),
    ):
        if tally is labels.empty and context.has_list and context.entry.model_type == "CrossEncoder":
            continue  # a query without documents teaches nothing, and does no harm
        if not tally.count:
            continue
        mend = context.step("remove_empty_rows", (label,))
        if tally is labels.empty:
            mend = context.keep("labels", "labels", label)
        if tally is labels.nan and labels.lengths is not None:
            if context.entry.origin == OURS:
                continue  # padding
            mend = context.keep("labels", "all(label == label for label in labels)", label)
            if labels.type == "lists":
                mend = context.keep("labels", "all(value == value for label in labels for value in label)", label)
        yield Found("error", f"column {label!r} has {what} in {row_numbers(tally)}", mend, label, tally)


def infinite_label(context: Context) -> Checked:
    """Infinite labels."""
    label = context.read_label
    if label is None or not context.labels.infinite.count:
        return
    tally = context.labels.infinite
    is_list = context.labels.lengths is not None
    mend = context.keep(
        "labels" if is_list else "label",
        "all(abs(label) < 1e30 for label in labels)" if is_list else "abs(label) < 1e30",
        label,
    )
    yield Found("error", f"column {label!r} has infinite labels in {row_numbers(tally)}", mend, label, tally)


def label_range(context: Context) -> Checked:
    """Labels outside of what the loss's score can reach."""
    label = context.read_label
    if label is None or not len(context.labels.values):
        return
    if any(True for _ in label_classes(context)):
        return  # classes are not to be scaled
    limits = _limits(context)
    if limits is None:
        return
    low, high, what = limits
    labels = context.labels
    outside = _outside(labels, low, high)
    tally = context.scan.tally(outside)
    if tally.count:
        values = labels.values
        yield Found(
            "error",
            f"the labels in {label!r} run from {values.min():g} to {values.max():g}, but {what} lies in [{low:g}, "
            f"{high:g}]: {row_numbers(tally)} cannot be reached",
            context.step("scale_labels", label, *label_scale(context)),
            label,
            tally,
        )


def _outside(labels: Labels, low: float, high: float) -> NDArray[np.bool_]:
    """Which rows have a label outside a range; infinite ones are another check's."""
    lows = labels.numbers if labels.numbers is not None else labels.lows
    highs = labels.numbers if labels.numbers is not None else labels.highs
    assert lows is not None  # there are values
    assert highs is not None
    with np.errstate(invalid="ignore"):
        below = (lows < low - ROUNDING) & np.isfinite(lows)
        return below | ((highs > high + ROUNDING) & np.isfinite(highs))


def _limits(context: Context) -> tuple[float, float, str] | None:
    """Where labels must lie, and what says so; None where they may lie anywhere."""
    entry, loss, kinds = context.entry, context.loss, context.label_kinds
    if kinds <= {"binary"}:
        return None  # another check looks at these
    if entry.origin == OURS and entry.in_batch_negatives:
        # A teacher's scores must lie where the student's do.
        return (-1.0, 1.0, "the cosine similarity") if context.is_cosine else None
    if entry.score == "probability":
        return 0.0, 1.0, "a probability"
    if entry.score == "cosine":
        changed = getattr(loss, "cos_score_transformation", None)
        if changed is not None and type(changed).__name__ != "Identity":
            return None
        if entry.origin == OURS and loss is not None:
            if context.targets == "link_values":
                return float(loss.link.range.low), float(loss.link.range.high), f"a value of {loss.link!r}"
            if context.is_cosine is False:
                return float(loss.link.domain.low), float(loss.link.domain.high), f"the domain of {loss.link!r}"
        return -1.0, 1.0, "the cosine similarity"
    if entry.origin != OURS or not context.is_cosine or not kinds & {"scores", "binary list"}:
        return None
    if context.targets in ("labels", "margins"):
        return None
    if getattr(loss, "label_range", None) is not None:
        return float(loss.label_range[0]), float(loss.label_range[1]), "label_range"
    space = getattr(loss, "teacher_space", None)
    if space == "logit":
        return None
    if space == "probability":
        return 0.0, 1.0, "a probability (teacher_space)"
    if _are_margins(context):
        return None
    return -1.0, 1.0, "the cosine similarity"


def _are_margins(context: Context) -> bool:
    """Whether labels are margins, or are made to be margins."""
    if context.targets == "margins" or "margin" in context.label_kinds:
        return context.labels.type != "list" or context.targets == "margins"
    lengths = context.labels.lengths
    return lengths is not None and bool((lengths == len(context.inputs) - 2).all())


def label_scale(context: Context) -> tuple[float, float]:
    """The scale of the labels: the one that they seem to have, or their ends.

    Args:
        context: What is known of the labels.

    Returns:
        The lowest and the highest label.
    """
    values = context.labels.values
    low, high = float(values.min()), float(values.max())
    known = context.format.label_scale
    if known is not None and known[0] <= low and high <= known[1] and not (known[0] == -1 and high <= 1):
        low, high = known
    else:
        low = min(low, 0.0)
    return (int(low) if low == int(low) else low), (int(high) if high == int(high) else high)


def unreachable_label(context: Context) -> Checked:
    """Labels below 0, which the cosine similarity of sparse embeddings cannot reach."""
    label = context.read_label
    if label is None or context.entry.model_type != "SparseEncoder":
        return
    if context.entry.score != "cosine" or context.labels.numbers is None or any(True for _ in label_range(context)):
        return
    tally = context.scan.tally(context.labels.numbers < -ROUNDING)
    if tally.count:
        values = context.labels.values
        yield Found(
            "warning",
            f"the labels in {label!r} go down to {values.min():g}, but sparse embeddings have no negative entries, so "
            f"that their cosine similarity is not below 0: {row_numbers(tally)} cannot be reached",
            context.step("scale_labels", label, -1, 1),
            label,
            tally,
        )


def label_not_binary(context: Context) -> Checked:
    """Labels other than 0 and 1, where the loss takes these."""
    label = context.read_label
    if label is None or not context.label_kinds <= {"binary"}:
        return
    numbers = context.labels.numbers
    if numbers is None:
        return
    values = context.labels.values
    tally = context.scan.tally(np.isfinite(numbers) & (numbers != 0) & (numbers != 1))
    if not tally.count:
        return
    middle = float((values.min() + values.max()) / 2)
    outside = values.min() < 0 or values.max() > 1
    ignored = context.entry.name.startswith("Online")
    effect = "rows with other labels are ignored" if ignored else "other labels weigh both of its terms"
    yield Found(
        "error" if ignored or outside else "warning",
        f"{context.entry.name} takes the labels 1 and 0; {effect}: in {label!r} {row_numbers(tally)} have others, from "
        f"{values.min():g} to {values.max():g}",
        context.change("label", f"1.0 if label > {middle:g} else 0.0", label),
        label,
        tally,
    )


def label_constant(context: Context) -> Checked:
    """The same label in all rows."""
    label = context.read_label
    if label is None:
        return
    labels = context.labels
    if labels.numbers is not None and len(labels.values) > 1 and labels.values.min() == labels.values.max():
        nothing = context.entry.order_only or context.label_kinds & {"class"}
        effect = (
            "there is nothing to tell apart, and the loss teaches nothing" if nothing else "there is little to learn"
        )
        mend = (
            "loss = MultipleNegativesRankingLoss(model)  # takes each row for a positive; without the labels\n"
            + context.step("remove_columns", (label,))
        )
        value = float(labels.values[0])
        yield Found(
            "error" if nothing else "warning",
            f"all labels in {label!r} are {value:g}: {effect}",
            mend,
            label,
            Tally(len(labels.values), tuple(sorted(map(int, context.scan.rows[:5])))),
        )


def label_tied(context: Context) -> Checked:
    """The same label in almost all rows, where the loss learns from their order."""
    label = context.read_label
    if label is None or not context.entry.order_only:
        return
    numbers = context.labels.numbers
    if numbers is None:
        return
    _, counts = np.unique(context.labels.values, return_counts=True)
    total = int(counts.sum())
    if len(counts) < 2:
        return
    tied = float((counts * (counts - 1.0)).sum() / (total * (total - 1.0)))
    drawn = min(context.batch_size, total)
    same = sum(math.exp(log_no_match(total, total - int(count), drawn)) for count in counts if count >= drawn)
    if tied < _TIED and same < _SAME_BATCH:
        return
    yield Found(
        "warning",
        f"{tied:.1%} of the pairs of rows have the same label in {label!r}, so that {context.entry.name} has little to "
        f"order; {same:.1%} of the batches of {drawn} teach nothing",
        "loss = CosineSimilarityLoss(model)  # also learns from rows with the same label",
        label,
    )


def lists_tied(context: Context) -> Checked:
    """Lists of equal labels, which have no order."""
    label = context.read_label
    if label is None or context.labels.lows is None or context.labels.highs is None:
        return
    if context.label_kinds & {"class probabilities", "embedding", "embeddings", "any"} or _are_margins(context):
        return
    lengths = context.labels.lengths
    several = lengths > 1 if lengths is not None else np.zeros(0, dtype=bool)
    tied = several & (context.labels.lows == context.labels.highs)
    tally = context.scan.tally(tied)
    if not several.any() or tally.count < 0.5 * int(several.sum()):
        return
    everywhere = tally.count == int(several.sum())
    yield Found(
        "error" if everywhere else "warning",
        f"all labels of a list are equal in {row_numbers(tally)} of {label!r}: such a list has no order to learn",
        context.keep("labels", "min(labels) < max(labels)", label),
        label,
        tally,
    )


def gain_range(context: Context) -> Checked:
    """Labels for which the gain of a ranking is 0 or overflows."""
    label = context.label
    if label is None or context.entry.name not in _LIST_GAIN_LOSSES or context.labels.lows is None:
        return
    tally = context.scan.tally(_outside(context.labels, 0, _LARGEST_GAIN))
    if tally.count:
        values = context.labels.values
        yield Found(
            "warning",
            f"{context.entry.name} takes labels for grades >= 0, whose gain is 2^label - 1: negative ones count as 0, "
            f"and large ones overflow; {row_numbers(tally)} of {label!r} have such labels, from {values.min():g} to "
            f"{values.max():g}",
            context.step("scale_labels", label, *label_scale(context)),
            label,
            tally,
        )
