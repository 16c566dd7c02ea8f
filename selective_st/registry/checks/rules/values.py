"""Are the values of the labels such that the loss can learn from them?"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from selective_st.registry.catalog import OURS, loss_entry, rows
from selective_st.registry.checks.batches import log_no_match
from selective_st.registry.checks.context import SCALARS, Context, keep
from selective_st.registry.checks.engine import Bad, Mend, Stage, bad, rule
from selective_st.registry.checks.rules.labels import label_classes
from selective_st.registry.checks.rules.losses import loss_line, other_loss
from selective_st.registry.checks.rules.setup import model_line
from selective_st.registry.checks.scan import Labels, Mask, Tally
from selective_st.registry.steps import Step

ROUNDING = 1e-4  # labels may lie beyond their range by so much
_TIED = 0.9  # of the pairs of rows with the same label are almost all
_SAME_BATCH = 0.1  # of the batches may hold one label only
_LARGEST_GAIN = 100  # 2 to a label beyond that overflows
_FEW_LABELS = 10  # different ones, which a mapping can write out

# --- Missing and infinite ---------------------------------------------------------------------------------------------


def _labelled(c: Context, found: Bad) -> Step:
    return Step("remove_empty_rows", ((c.label,),))


@rule("missing-label", "label", "error", Stage.ROWS, _labelled)
def missing_label(c: Context) -> Bad | None:
    """Column {label!r} has no label{none} in {rows}{effect}."""
    if c.labels.is_list and not c.takes_labels:
        return None
    unread = f": no tensor can be made of it, which the trainer does though {c.entry.name} does not read it"
    none = "" if c.labels.is_list else " (None)"
    return bad(c.labels.missing, none=none, effect="" if c.takes_labels else unread)


def _where(condition: str) -> Callable[[Context, Bad], Mend]:
    """Keep the rows whose label, or each of whose labels, is so."""

    def kept(c: Context, found: Bad) -> Step:
        if not c.labels.is_list:
            return keep("label", condition, str(c.label))
        each = "for label in labels" if c.labels.type == "list" else "for vector in labels for label in vector"
        return keep("labels", f"all({condition} {each})", str(c.label))

    return kept


@rule("missing-label", "read label", "error", Stage.ROWS, _where("label == label"))
def nan_label(c: Context) -> Tally | None:
    """Column {label!r} has the label NaN in {rows}."""
    is_padding = c.labels.is_list and (c.entry.origin == OURS or c.becomes_pairs)
    return None if is_padding or c.are_raters else c.labels.nan


@rule("missing-label", "read label", "error", Stage.ROWS, _labelled)
def empty_label(c: Context) -> Tally | None:
    """Column {label!r} has an empty list in {rows}."""
    return None if c.are_raters or (c.lists and c.entry.model_type == "CrossEncoder") else c.labels.empty


def _without_null(c: Context, found: Bad) -> Step:
    if found.facts["padding"]:
        return Step("pad_labels", (c.label, 1), why="None becomes NaN")
    return keep("labels", "labels and None not in labels", str(c.label))


@rule("missing-label", "label", "error", Stage.ROWS, _without_null)
def null_label(c: Context) -> Bad | None:
    """The lists in {label!r} hold None in {rows}, of which no tensor can be made{padding}."""
    is_fillable = c.labels.type == "list" and (c.entry.origin == OURS or not c.takes_labels)
    return None if c.are_raters else bad(c.labels.nulls, padding="; a padded label is NaN" if is_fillable else "")


@rule("infinite-label", "read label", "error", Stage.VALUES, _where("abs(label) < 1e30"))
def infinite_label(c: Context) -> Tally:
    """Column {label!r} has infinite labels in {rows}."""
    return c.labels.infinite


# --- Their range ------------------------------------------------------------------------------------------------------


def scaled(c: Context, found: Bad) -> Step:
    """Map the scale that the labels have, or seem to have, to the one from 0 to 1."""
    low, high, known = min(c.lowest, 0.0), c.highest, c.format.label_scale
    if known is not None and known[0] <= c.lowest and high <= known[1] and not (known[0] == -1 and high <= 1):
        low, high = known
    is_guess = (low, high) != (c.lowest, c.highest)
    why = f"a guess from labels of {c.lowest:g} to {c.highest:g}: give the ends of your scale" if is_guess else ""
    if c.format.label == "class":
        why = "; ".join(["if they are grades, not classes", *([why] if why else [])])
    return Step("scale_labels", (c.label, _short(low), _short(high)), why=why)


def _short(number: float) -> float:
    return int(number) if number == int(number) else number


@rule("label-range", "read label", "error", Stage.VALUES, scaled)
def label_range(c: Context) -> Bad | None:
    """The labels in {label!r} run from {c.lowest:g} to {c.highest:g}, but {what} lies in [{low:g}, {high:g}].

    The labels of {rows} cannot be reached.
    """
    limits = _limits(c)
    if limits is None or c.labels.are_names or label_classes(c):
        return None  # classes are not to be scaled
    low, high, what = limits
    return bad(c.scan.tally(outside(c.labels, low, high)), low=low, high=high, what=what)


def outside(labels: Labels, low: float, high: float) -> Mask:
    """Which rows have a label outside a range; infinite ones are another rule's."""
    lows, highs = (labels.lows, labels.highs) if labels.is_list else (labels.numbers, labels.numbers)
    return ((lows < low - ROUNDING) & np.isfinite(lows)) | ((highs > high + ROUNDING) & np.isfinite(highs))


def _limits(c: Context) -> tuple[float, float, str] | None:
    """Where labels must lie, and what says so; None where they may lie anywhere."""
    entry, kinds, cosine = c.entry, c.label_kinds, (-1.0, 1.0, "the cosine similarity")
    if kinds <= {"binary"}:
        return None  # another rule looks at these
    if entry.origin == OURS and entry.in_batch_negatives:
        return cosine if c.is_cosine else None  # a teacher's scores must lie where the student's do
    if entry.score == "probability":
        return 0.0, 1.0, "a probability"
    if are_margins(c):
        return None  # these have a range of their own
    if entry.score == "cosine":
        changed = getattr(c.loss, "cos_score_transformation", None)
        if changed is not None and type(changed).__name__ != "Identity":
            return None
        return (_limits_of_link(c) if entry.origin == OURS and c.loss is not None else None) or cosine
    if entry.origin != OURS or not c.is_cosine or not kinds & {"scores", "binary list"}:
        return None
    space, ends = getattr(c.loss, "teacher_space", None), getattr(c.loss, "label_range", None)
    if c.targets in ("labels", "margins") or (space == "logit" and ends is None):
        return None
    if ends is not None:
        return float(ends[0]), float(ends[1]), "label_range"
    return (0.0, 1.0, "a probability (teacher_space)") if space == "probability" else cosine


def _limits_of_link(c: Context) -> tuple[float, float, str] | None:
    """Where labels must lie for the loss's link."""
    link = c.loss.link
    if c.targets == "link_values":
        return float(link.range.low), float(link.range.high), f"a value of {link!r}"
    if c.is_cosine is False:
        return float(link.domain.low), float(link.domain.high), f"the domain of {link!r}"
    return None


def are_margins(c: Context) -> bool:
    """Whether labels are margins, or are made to be margins."""
    if c.targets == "margins" or "margin" in c.label_kinds:
        return c.labels.type != "list" or c.targets == "margins"
    return c.labels.are_lists_of(len(c.inputs) - 2)


@rule(
    "unreachable-label", "read label", "warning", Stage.VALUES, lambda c, found: Step("scale_labels", (c.label, -1, 1))
)
def unreachable_label(c: Context) -> Bad | None:
    """The labels in {label!r} go down to {c.lowest:g}, but sparse embeddings have no negative entries.

    Their cosine similarity is not below 0: the labels of {rows} cannot be reached.
    """
    is_asked = c.entry.model_type == "SparseEncoder" and c.entry.score == "cosine" and not label_range(c)
    return bad(c.scan.tally(c.numbers < -ROUNDING)) if is_asked else None


@rule("gain-range", "label", "warning", Stage.VALUES, scaled)
def gain_range(c: Context) -> Mask | None:
    """{loss} takes labels for grades, whose gain is 2^label - 1.

    Negative ones count as 0, and large ones overflow: {rows} of {label!r}, from {c.lowest:g} to {c.highest:g}.
    """
    is_asked = c.entry.name == "LambdaLoss" and c.labels.is_list
    return outside(c.labels, 0, _LARGEST_GAIN) if is_asked else None


def _binary(c: Context, found: Bad) -> Step:
    """Make 1 of the labels above the middle, and 0 of the others."""
    middle, different = (c.lowest + c.highest) / 2, sorted(set(c.labels.values.tolist()))
    why = f"labels above {middle:g} become 1: set the limit"
    if len(different) > _FEW_LABELS:
        return Step("labels_to_binary", (c.label,), (("above", middle),), why)
    mapping = {_short(value): int(value > middle) for value in different}
    return Step("labels_to_int", (c.label,), (("mapping", mapping),), why if len(different) > 2 else "")


@rule("label-not-binary", "read label", "error", Stage.VALUES, _binary)
def label_not_binary(c: Context) -> Bad | None:
    """{loss} takes the labels 1 and 0; {effect}: {rows} of {label!r}, from {c.lowest:g} to {c.highest:g}."""
    numbers = c.numbers
    if not c.label_kinds <= {"binary"} or label_classes(c):
        return None
    ignored = c.entry.name.startswith("Online")
    effect = "rows with other labels are ignored" if ignored else "other labels weigh both of its terms"
    tally = c.scan.tally(np.isfinite(numbers) & (numbers != 0) & (numbers != 1))
    is_mild = tally.count and not ignored and c.lowest >= 0 and c.highest <= 1
    return bad(tally, severity="warning" if is_mild else None, effect=effect)


# --- Is there something to tell apart? --------------------------------------------------------------------------------


def _as_positives(c: Context, found: Bad) -> Mend:
    """Pairs whose labels are all the highest are positives."""
    highest = 1.0 if c.format.label_scale is None else c.format.label_scale[1]
    if not c.has_amounts or c.format.label == "class" or c.lowest < highest or len(c.inputs) != 2:
        return None
    step = Step(
        "pairs_to_positives", (), (("positive_from", c.lowest),), "each row is a positive; leaves out the labels"
    )
    return [(step, line) for line in other_loss(c, "pair", "none")]


@rule("label-constant", "read label", "warning", Stage.LOSS, _as_positives)
def label_constant(c: Context) -> Bad | None:
    """All labels in {label!r} are {value}: {effect}."""
    labels = c.labels
    if labels.is_list or len(labels.values) < 2 or c.lowest < c.highest:
        return None
    nothing = c.entry.order_only or bool(c.label_kinds & {"class"})
    effect = "there is nothing to tell apart, and the loss teaches nothing" if nothing else "there is little to learn"
    value = repr(labels.names[0]) if labels.are_names else format(c.lowest, "g")
    tally = c.scan.tally(np.isfinite(labels.numbers))
    return bad(tally, severity="error" if nothing else None, value=value, effect=effect)


def _not_order_only(c: Context, found: Bad) -> Mend:
    """A loss for similarities that also learns from rows with the same label."""
    fitting = [row for row in rows(c.entry.model_type) if (row.shape, row.label) == ("pair", "similarity")]
    entries = [loss_entry(name, c.entry.model_type) for row in fitting for name in row.losses]
    chosen = next((entry for entry in entries if not entry.order_only and not entry.deprecated), None)
    return None if chosen is None else loss_line(c, chosen, why="also learns from rows with the same label")


@rule("label-tied", "read label", "warning", Stage.LOSS, _not_order_only)
def label_tied(c: Context) -> Bad | None:
    """{tied:.1%} of the pairs of rows have the same label in {label!r}, so that {loss} has little to order.

    Of the batches of {drawn} {same:.1%} teach nothing.
    """
    if not c.entry.order_only or not c.has_amounts:
        return None
    _, counts = np.unique(c.labels.values, return_counts=True)
    total = int(counts.sum())
    if len(counts) < 2:
        return None
    tied = float((counts * (counts - 1.0)).sum() / (total * (total - 1.0)))
    drawn = min(c.batch_size, total)
    same = sum(math.exp(log_no_match(total, total - int(count), drawn)) for count in counts if count >= drawn)
    return None if tied < _TIED and same < _SAME_BATCH else bad(tied=tied, same=same, drawn=drawn)


def _ordered_lists(c: Context, found: Bad) -> Mend:
    return keep("labels", "min(labels) < max(labels)", str(c.label))


@rule("lists-tied", "read label", "error", Stage.ROWS, _ordered_lists)
def lists_tied(c: Context) -> Bad | None:
    """All labels of a list are equal in {rows} of {label!r}: such a list has no order to learn."""
    lows, highs, lengths = c.labels.lows, c.labels.highs, c.labels.lengths
    no_order = bool(c.label_kinds & {"class probabilities", "embedding", "embeddings", "any"}) or are_margins(c)
    no_order |= c.label_kinds <= SCALARS
    if no_order:
        return None
    several = int((lengths > 1).sum())
    tally = c.scan.tally((lengths > 1) & (lows == highs))
    return bad(tally, severity=None if tally.count == several else "warning") if tally.count >= 0.5 * several else None


# --- Classes ----------------------------------------------------------------------------------------------------------


def _are_class_numbers(c: Context) -> bool:
    """Whether labels are numbers of classes that must go from 0 on."""
    values = c.labels.values
    is_asked = "class" in c.label_kinds and not c.entry.class_batches and not c.labels.is_list
    return is_asked and len(values) > 0 and not (values != np.round(values)).any()


def _outputs(c: Context) -> int | None:
    """How many classes the loss or the model knows."""
    found = getattr(c.model if c.entry.model_type == "CrossEncoder" else c.loss, "num_labels", None)
    return found if isinstance(found, int) else None


def _too_few_outputs(c: Context) -> bool:
    """Whether the classes are right, and the outputs of the loss or the model too few."""
    outputs = _outputs(c)
    is_asked = outputs is not None and _are_class_numbers(c)
    return is_asked and (outputs or 0) < c.highest + 1 == len(np.unique(c.labels.values))


def _beyond(c: Context, allowed: int) -> Bad | None:
    """The rows whose classes have no output."""
    owner = "the model" if c.entry.model_type == "CrossEncoder" else c.entry.name
    tally = c.scan.tally(c.labels.numbers >= allowed)
    return bad(tally, owner=owner, allowed=allowed, last=allowed - 1) if c.lowest >= 0 else None


@rule("class-range", "read label", "error", Stage.VALUES, lambda c, found: keep("label", "label >= 0", str(c.label)))
def negative_class(c: Context) -> Tally | None:
    """Classes are numbered from 0, but {label!r} has {c.lowest:g} in {rows}, as rows without a class often have."""
    return c.scan.tally(c.labels.numbers < 0) if _are_class_numbers(c) else None


@rule("class-range", "read label", "error", Stage.VALUES, lambda c, found: Step("class_encode_column", (c.label,)))
def class_gaps(c: Context) -> Bad | None:
    """The classes in {label!r} go up to {c.highest:g}, but {owner} numbers {allowed} from 0 to {last}: {rows}."""
    if not _are_class_numbers(c) or _too_few_outputs(c):
        return None
    return _beyond(c, _outputs(c) or max(len(np.unique(c.labels.values)), len(c.class_names)))


def _more_outputs(c: Context, found: Bad) -> str:
    classes = int(c.highest) + 1
    if c.entry.model_type == "CrossEncoder":
        return model_line(c, classes)
    return loss_line(c, c.entry, "model.get_embedding_dimension()", f"num_labels={classes}")


@rule("class-range", "read label", "error", Stage.MODEL, _more_outputs)
def class_range(c: Context) -> Bad | None:
    """The classes in {label!r} go up to {c.highest:g}, but {owner} numbers {allowed} from 0 to {last}: {rows}."""
    return _beyond(c, _outputs(c) or 0) if _too_few_outputs(c) else None
