"""Are the values of the labels such that the loss can learn from them?"""

from __future__ import annotations

import math

import numpy as np

from selective_st.registry.catalog import OURS, loss_entry, rows
from selective_st.registry.checks.batches import log_no_match
from selective_st.registry.checks.context import Context, keep
from selective_st.registry.checks.engine import Bad, Mend, Part, Stage, rule
from selective_st.registry.checks.rules.labels import label_classes
from selective_st.registry.checks.rules.losses import loss_line, other_loss
from selective_st.registry.checks.rules.setup import model_line
from selective_st.registry.checks.scan import Labels, Mask, Tally
from selective_st.registry.steps import Step

ROUNDING = 1e-4  # labels may lie beyond their range by so much
_TIED = 0.9  # of the pairs of rows with the same label are almost all
_SAME_BATCH = 0.1  # of the batches may hold one label only
_LARGEST_GAIN = 100  # 2 to a label beyond that overflows
_LIST_GAIN_LOSSES = ("LambdaLoss",)  # a label's gain is 2^label - 1, and negative labels count as 0
_FEW_LABELS = 10  # different ones, which a mapping can write out

# --- Missing and infinite ---------------------------------------------------------------------------------------------


@rule(
    "missing-label",
    "label",
    "error",
    "column {label!r} has no label{none} in {rows}{effect}",
    stage=Stage.ROWS,
    mend=lambda c, bad: Step("remove_empty_rows", ((c.label,),)),
)
def missing_label(context: Context) -> Bad | None:
    """None in place of a label."""
    labels = context.labels
    if not labels.missing.count or (labels.lengths is not None and not context.takes_labels):
        return None
    facts = {"none": " (None)" if labels.lengths is None else "", "effect": _effect(context)}
    return Bad(labels.missing, facts=facts)


def _effect(context: Context) -> str:
    """What the trainer does with labels that the loss does not read."""
    name = context.entry.name
    unread = f": no tensor can be made of it, which the trainer does though {name} does not read it"
    return "" if context.takes_labels else unread


@rule(
    "missing-label",
    "read label",
    "error",
    "column {label!r} has the label NaN in {rows}",
    stage=Stage.ROWS,
    mend=lambda c, bad: Step("remove_empty_rows", ((c.label,),)) if c.labels.lengths is None else _without_nan(c),
)
def nan_label(context: Context) -> Tally | None:
    """NaN in place of a label; to our losses, padding of a list."""
    is_padding = context.labels.lengths is not None and (context.entry.origin == OURS or context.becomes_pairs)
    return None if is_padding else context.labels.nan


def _without_nan(context: Context) -> Part:
    each = (
        "label for label in labels" if context.labels.type == "list" else "value for label in labels for value in label"
    )
    value = each.split()[0]
    return keep("labels", f"all({value} == {each})", str(context.label))


@rule(
    "missing-label",
    "read label",
    "error",
    "column {label!r} has an empty list in {rows}",
    stage=Stage.ROWS,
    mend=lambda c, bad: keep("labels", "labels", str(c.label)),
)
def empty_label(context: Context) -> Tally | None:
    """An empty list of labels; a query without documents teaches nothing, and does no harm."""
    is_harmless = bool(context.lists) and context.entry.model_type == "CrossEncoder"
    return None if is_harmless else context.labels.empty


@rule(
    "missing-label",
    "label",
    "error",
    "the lists in {label!r} hold None in {rows}, of which no tensor can be made{padding}",
    stage=Stage.ROWS,
    mend=lambda c, bad: (
        Step("pad_labels", (c.label, 1), why="None becomes NaN")
        if bad.facts["padding"]
        else keep("labels", "labels and None not in labels", str(c.label))
    ),
)
def null_label(context: Context) -> Bad | None:
    """None in a list of labels."""
    is_fillable = context.labels.type == "list" and (context.entry.origin == OURS or not context.takes_labels)
    padding = "; a padded label is NaN" if is_fillable else ""
    return Bad(context.labels.nulls, facts={"padding": padding}) if context.labels.nulls.count else None


@rule(
    "infinite-label",
    "read label",
    "error",
    "column {label!r} has infinite labels in {rows}",
    stage=Stage.VALUES,
    mend=lambda c, bad: (
        keep("label", "abs(label) < 1e30", str(c.label))
        if c.labels.lengths is None
        else keep("labels", "all(abs(label) < 1e30 for label in labels)", str(c.label))
    ),
)
def infinite_label(context: Context) -> Tally:
    """Infinite labels."""
    return context.labels.infinite


# --- Their range ------------------------------------------------------------------------------------------------------


def _scaled(context: Context, bad: Bad) -> Part:
    """Map the scale that the labels have to the one from 0 to 1."""
    low, high, guess = label_scale(context)
    return Step("scale_labels", (context.label, low, high), why=guess)


@rule(
    "label-range",
    "read label",
    "error",
    "the labels in {label!r} run from {lowest:g} to {highest:g}, but {what} lies in [{low:g}, {high:g}]: {rows} cannot "
    "be reached",
    stage=Stage.VALUES,
    mend=_scaled,
)
def label_range(context: Context) -> Bad | None:
    """Labels outside of what the loss's score can reach."""
    labels, limits = context.labels, _limits(context)
    if limits is None or labels.are_names or not len(labels.values) or label_classes(context):
        return None  # classes are not to be scaled
    low, high, what = limits
    ends = {"lowest": labels.values.min(), "highest": labels.values.max(), "low": low, "high": high, "what": what}
    tally = context.scan.tally(outside(labels, low, high))
    return Bad(tally, facts=ends) if tally.count else None


def outside(labels: Labels, low: float, high: float) -> Mask:
    """Which rows have a label outside a range; infinite ones are another rule's."""
    lows = labels.numbers if labels.numbers is not None else labels.lows
    highs = labels.numbers if labels.numbers is not None else labels.highs
    if lows is None or highs is None:
        return np.zeros(0, dtype=bool)
    with np.errstate(invalid="ignore"):
        return ((lows < low - ROUNDING) & np.isfinite(lows)) | ((highs > high + ROUNDING) & np.isfinite(highs))


def _limits(context: Context) -> tuple[float, float, str] | None:
    """Where labels must lie, and what says so; None where they may lie anywhere."""
    entry, loss, kinds = context.entry, context.loss, context.label_kinds
    if kinds <= {"binary"}:
        return None  # another rule looks at these
    if entry.origin == OURS and entry.in_batch_negatives:
        # A teacher's scores must lie where the student's do.
        return (-1.0, 1.0, "the cosine similarity") if context.is_cosine else None
    if entry.score == "probability":
        return 0.0, 1.0, "a probability"
    if are_margins(context):
        return None  # these have a range of their own
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
    return _limits_of_lists(context)


def _limits_of_lists(context: Context) -> tuple[float, float, str] | None:
    """Where the labels of our list losses must lie."""
    space, ends = getattr(context.loss, "teacher_space", None), getattr(context.loss, "label_range", None)
    if context.targets in ("labels", "margins"):
        return None
    if ends is not None:
        return float(ends[0]), float(ends[1]), "label_range"
    if space == "probability":
        return 0.0, 1.0, "a probability (teacher_space)"
    return None if space == "logit" else (-1.0, 1.0, "the cosine similarity")


def are_margins(context: Context) -> bool:
    """Whether labels are margins, or are made to be margins."""
    if context.targets == "margins" or "margin" in context.label_kinds:
        return context.labels.type != "list" or context.targets == "margins"
    lengths = context.labels.lengths
    return lengths is not None and bool((lengths == len(context.inputs) - 2).all())


def label_scale(context: Context) -> tuple[float, float, str]:
    """The scale of the labels: the one that they seem to have, or their ends.

    Args:
        context: What is known of the labels.

    Returns:
        The lowest and the highest label; and what to say where it is a guess.
    """
    values = context.labels.values
    lowest, highest = float(values.min()), float(values.max())
    low, high = min(lowest, 0.0), highest
    known = context.format.label_scale
    if known is not None and known[0] <= lowest and highest <= known[1] and not (known[0] == -1 and highest <= 1):
        low, high = known
    is_guess = (low, high) != (lowest, highest)
    why = f"a guess from labels of {lowest:g} to {highest:g}: give the ends of your scale" if is_guess else ""
    return _short(low), _short(high), why


def _short(number: float) -> float:
    return int(number) if number == int(number) else number


@rule(
    "unreachable-label",
    "read label",
    "warning",
    "the labels in {label!r} go down to {lowest:g}, but sparse embeddings have no negative entries, so that their "
    "cosine similarity is not below 0: {rows} cannot be reached",
    stage=Stage.VALUES,
    mend=lambda c, bad: Step("scale_labels", (c.label, -1, 1)),
)
def unreachable_label(context: Context) -> Bad | None:
    """Labels below 0, which the cosine similarity of sparse embeddings cannot reach."""
    numbers = context.labels.numbers
    is_asked = context.entry.model_type == "SparseEncoder" and context.entry.score == "cosine"
    if not is_asked or numbers is None or context.labels.are_names or label_range(context):
        return None
    tally = context.scan.tally(numbers < -ROUNDING)
    return Bad(tally, facts={"lowest": context.labels.values.min()}) if tally.count else None


@rule(
    "gain-range",
    "label",
    "warning",
    "{loss} takes labels for grades >= 0, whose gain is 2^label - 1: negative ones count as 0, and large ones "
    "overflow; {rows} of {label!r} have such labels, from {lowest:g} to {highest:g}",
    stage=Stage.VALUES,
    mend=_scaled,
)
def gain_range(context: Context) -> Bad | None:
    """Labels for which the gain of a ranking is 0 or overflows."""
    labels = context.labels
    if context.entry.name not in _LIST_GAIN_LOSSES or labels.lows is None:
        return None
    tally = context.scan.tally(outside(labels, 0, _LARGEST_GAIN))
    ends = {"lowest": labels.values.min(), "highest": labels.values.max()} if tally.count else {}
    return Bad(tally, facts=ends) if tally.count else None


@rule(
    "label-not-binary",
    "read label",
    "error",
    "{loss} takes the labels 1 and 0; {effect}: in {label!r} {rows} have others, from {lowest:g} to {highest:g}",
    stage=Stage.VALUES,
    mend=lambda c, bad: _binary(c, bad.facts["middle"]),
)
def label_not_binary(context: Context) -> Bad | None:
    """Labels other than 0 and 1, where the loss takes these."""
    numbers, values = context.labels.numbers, context.labels.values
    if not context.label_kinds <= {"binary"} or numbers is None or context.labels.are_names or label_classes(context):
        return None
    tally = context.scan.tally(np.isfinite(numbers) & (numbers != 0) & (numbers != 1))
    if not tally.count:
        return None
    ignored = context.entry.name.startswith("Online")
    effect = "rows with other labels are ignored" if ignored else "other labels weigh both of its terms"
    is_error = ignored or values.min() < 0 or values.max() > 1
    ends = {"lowest": values.min(), "highest": values.max(), "middle": float((values.min() + values.max()) / 2)}
    return Bad(tally, severity="error" if is_error else "warning", facts={"effect": effect, **ends})


def _binary(context: Context, middle: float) -> Part:
    """Make 1 of the labels above the middle, and 0 of the others."""
    label, different = str(context.label), sorted(set(context.labels.values.tolist()))
    why = f"labels above {middle:g} become 1: set the limit"
    if len(different) <= _FEW_LABELS:
        mapping = {_short(value): int(value > middle) for value in different}
        return Step("labels_to_int", (label,), (("mapping", mapping),), why if len(different) > 2 else "")
    return Step("labels_to_binary", (label,), (("above", middle),), why)


# --- Is there something to tell apart? --------------------------------------------------------------------------------


@rule(
    "label-constant",
    "read label",
    "warning",
    "all labels in {label!r} are {value}: {effect}",
    stage=Stage.LOSS,
    mend=lambda c, bad: _as_positives(c, bad),
)
def label_constant(context: Context) -> Bad | None:
    """The same label in all rows."""
    labels = context.labels
    if labels.numbers is None or len(labels.values) < 2 or labels.values.min() < labels.values.max():
        return None
    nothing = context.entry.order_only or bool(context.label_kinds & {"class"})
    effect = "there is nothing to tell apart, and the loss teaches nothing" if nothing else "there is little to learn"
    value = repr(labels.names[0]) if labels.are_names else format(labels.values[0], "g")
    tally = context.scan.tally(np.isfinite(labels.numbers))
    return Bad(tally, severity="error" if nothing else "warning", facts={"value": value, "effect": effect})


def _as_positives(context: Context, bad: Bad) -> Mend:
    """Pairs whose labels are all the highest are positives."""
    value, scale = float(context.labels.values[0]), context.format.label_scale
    highest = 1.0 if scale is None else scale[1]
    if context.labels.are_names or context.format.label == "class" or value < highest or len(context.inputs) != 2:
        return None
    step = Step("pairs_to_positives", (), (("positive_from", value),), "each row for a positive, without the labels")
    return [(step, *lines) for lines in other_loss(context, "pair", "none")]


@rule(
    "label-tied",
    "read label",
    "warning",
    "{tied:.1%} of the pairs of rows have the same label in {label!r}, so that {loss} has little to order; {same:.1%} "
    "of the batches of {drawn} teach nothing",
    stage=Stage.LOSS,
    mend=lambda c, bad: _not_order_only(c),
)
def label_tied(context: Context) -> Bad | None:
    """The same label in almost all rows, where the loss learns from their order."""
    if not context.entry.order_only or context.labels.numbers is None or context.labels.are_names:
        return None
    _, counts = np.unique(context.labels.values, return_counts=True)
    total = int(counts.sum())
    if len(counts) < 2:
        return None
    tied = float((counts * (counts - 1.0)).sum() / (total * (total - 1.0)))
    drawn = min(context.batch_size, total)
    same = sum(math.exp(log_no_match(total, total - int(count), drawn)) for count in counts if count >= drawn)
    return None if tied < _TIED and same < _SAME_BATCH else Bad(facts={"tied": tied, "same": same, "drawn": drawn})


def _not_order_only(context: Context) -> Mend:
    """A loss for similarities that also learns from rows with the same label."""
    model_type = context.entry.model_type
    fitting = [row for row in rows(model_type) if (row.shape, row.label) == ("pair", "similarity")]
    entries = [loss_entry(name, model_type) for row in fitting for name in row.losses]
    chosen = next((entry for entry in entries if not entry.order_only and not entry.deprecated), None)
    return None if chosen is None else loss_line(context, chosen, why="also learns from rows with the same label")


@rule(
    "lists-tied",
    "read label",
    "warning",
    "all labels of a list are equal in {rows} of {label!r}: such a list has no order to learn",
    stage=Stage.ROWS,
    mend=lambda c, bad: keep("labels", "min(labels) < max(labels)", str(c.label)),
)
def lists_tied(context: Context) -> Bad | None:
    """Lists of equal labels, which have no order."""
    labels, lengths = context.labels, context.labels.lengths
    if labels.lows is None or labels.highs is None or lengths is None or are_margins(context):
        return None
    if context.label_kinds & {"class probabilities", "embedding", "embeddings", "any"}:
        return None
    several = lengths > 1
    tally = context.scan.tally(several & (labels.lows == labels.highs))
    if not several.any() or tally.count < 0.5 * int(several.sum()):
        return None
    return Bad(tally, severity="error" if tally.count == int(several.sum()) else "warning")


# --- Classes ----------------------------------------------------------------------------------------------------------


@rule(
    "class-range",
    "read label",
    "error",
    "classes are numbered from 0, but {label!r} has {lowest:g} in {rows}, as rows without a class often have",
    stage=Stage.VALUES,
    mend=lambda c, bad: keep("label", "label >= 0", str(c.label)),
)
def negative_class(context: Context) -> Bad | None:
    """Classes below 0."""
    if not _are_class_numbers(context) or context.labels.numbers is None:
        return None
    tally = context.scan.tally(context.labels.numbers < 0)
    return Bad(tally, facts={"lowest": context.labels.values.min()}) if tally.count else None


@rule(
    "class-range",
    "read label",
    "error",
    "the classes in {label!r} go up to {highest}, but {loss} numbers {allowed} classes from 0 to {last}: {rows}",
    stage=Stage.VALUES,
    mend=lambda c, bad: Step("class_encode_column", (c.label,)),
)
def class_gaps(context: Context) -> Bad | None:
    """Numbers of classes with gaps."""
    if not _are_class_numbers(context) or _too_few_outputs(context):
        return None
    outputs = _outputs(context)
    return _beyond(context, outputs or max(len(np.unique(context.labels.values)), len(context.class_names)))


@rule(
    "class-range",
    "read label",
    "error",
    "the classes in {label!r} go up to {highest}, but {owner} numbers {allowed} classes from 0 to {last}: {rows}",
    stage=Stage.MODEL,
    mend=lambda c, bad: (
        model_line(c, bad.facts["classes"])
        if c.entry.model_type == "CrossEncoder"
        else loss_line(c, c.entry, "model.get_embedding_dimension()", f"num_labels={bad.facts['classes']}")
    ),
)
def class_range(context: Context) -> Bad | None:
    """Classes beyond those that the loss or the model has outputs for."""
    return _beyond(context, _outputs(context) or 0) if _too_few_outputs(context) else None


def _too_few_outputs(context: Context) -> bool:
    """Whether the classes are right, and the outputs of the loss or the model too few."""
    outputs, values = _outputs(context), context.labels.values
    if outputs is None or not _are_class_numbers(context):
        return False
    return outputs < int(values.max()) + 1 == len(np.unique(values))


def _beyond(context: Context, allowed: int) -> Bad | None:
    """The rows whose classes have no output."""
    numbers, highest = context.labels.numbers, int(context.labels.values.max())
    if numbers is None or context.labels.values.min() < 0 or highest < allowed:
        return None
    owner = "the model" if context.entry.model_type == "CrossEncoder" else context.entry.name
    facts = {"highest": highest, "owner": owner, "allowed": allowed, "last": allowed - 1, "classes": highest + 1}
    return Bad(context.scan.tally(numbers >= allowed), facts=facts)


def _are_class_numbers(context: Context) -> bool:
    """Whether labels are numbers of classes that must go from 0 on."""
    values = context.labels.values
    is_asked = "class" in context.label_kinds and not context.entry.class_batches
    return is_asked and len(values) > 0 and not (values != np.round(values)).any()


def _outputs(context: Context) -> int | None:
    """How many classes the loss or the model knows."""
    owner = context.model if context.entry.model_type == "CrossEncoder" else context.loss
    found = getattr(owner, "num_labels", None)
    return found if isinstance(found, int) else None
