"""Are the values of the labels such that the loss can learn from them?"""

from __future__ import annotations

import math

import numpy as np

from selective_st.registry.catalog import OURS, loss_entry, rows
from selective_st.registry.checks.batches import log_no_match
from selective_st.registry.checks.context import SCALARS, Context, keep
from selective_st.registry.checks.engine import LABEL, Bad, Mend, Stage, bad, rule, says
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
_LABELLED = Step("remove_empty_rows", ((LABEL,),))

# --- Missing and infinite ---------------------------------------------------------------------------------------------


@rule("missing-label", "label", "error", Stage.ROWS, _LABELLED)
@says("column {label!r} has no label{none} in {rows}{effect}")
def missing_label(c: Context) -> Bad | None:
    """None in place of a label; of what the loss does not read, the trainer makes a tensor all the same."""
    if c.labels.lengths is not None and not c.takes_labels:
        return None
    unread = f": no tensor can be made of it, which the trainer does though {c.entry.name} does not read it"
    none = " (None)" if c.labels.lengths is None else ""
    return bad(c.labels.missing, none=none, effect="" if c.takes_labels else unread)


def _without_nan(c: Context, found: Bad) -> Step:
    if c.labels.lengths is None:
        return _LABELLED
    each = "label for label in labels" if c.labels.type == "list" else "value for label in labels for value in label"
    value = each.split()[0]
    return keep("labels", f"all({value} == {each})", str(c.label))


@rule("missing-label", "read label", "error", Stage.ROWS, _without_nan)
@says("column {label!r} has the label NaN in {rows}")
def nan_label(c: Context) -> Tally | None:
    """NaN in place of a label; in a list of our losses it is padding."""
    is_padding = c.labels.lengths is not None and (c.entry.origin == OURS or c.becomes_pairs)
    return None if is_padding or c.are_raters else c.labels.nan


@rule("missing-label", "read label", "error", Stage.ROWS, lambda c, found: keep("labels", "labels", str(c.label)))
@says("column {label!r} has an empty list in {rows}")
def empty_label(c: Context) -> Tally | None:
    """An empty list of labels; a query without documents teaches nothing, and does no harm."""
    return None if c.are_raters or (c.lists and c.entry.model_type == "CrossEncoder") else c.labels.empty


def _without_null(c: Context, found: Bad) -> Step:
    if found.facts["padding"]:
        return Step("pad_labels", (c.label, 1), why="None becomes NaN")
    return keep("labels", "labels and None not in labels", str(c.label))


@rule("missing-label", "label", "error", Stage.ROWS, _without_null)
@says("the lists in {label!r} hold None in {rows}, of which no tensor can be made{padding}")
def null_label(c: Context) -> Bad | None:
    """None in a list of labels."""
    is_fillable = c.labels.type == "list" and (c.entry.origin == OURS or not c.takes_labels)
    return None if c.are_raters else bad(c.labels.nulls, padding="; a padded label is NaN" if is_fillable else "")


def _finite(c: Context, found: Bad) -> Step:
    if c.labels.lengths is None:
        return keep("label", "abs(label) < 1e30", str(c.label))
    return keep("labels", "all(abs(label) < 1e30 for label in labels)", str(c.label))


@rule("infinite-label", "read label", "error", Stage.VALUES, _finite)
@says("column {label!r} has infinite labels in {rows}")
def infinite_label(c: Context) -> Tally:
    """Infinite labels."""
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
@says(
    "the labels in {label!r} run from {c.lowest:g} to {c.highest:g}, but {what} lies in [{low:g}, {high:g}]: {rows} "
    "cannot be reached"
)
def label_range(c: Context) -> Bad | None:
    """Labels outside of what the loss's score can reach."""
    limits = _limits(c)
    if limits is None or c.labels.are_names or label_classes(c):
        return None  # classes are not to be scaled
    low, high, what = limits
    return bad(c.scan.tally(outside(c.labels, low, high)), low=low, high=high, what=what)


def outside(labels: Labels, low: float, high: float) -> Mask:
    """Which rows have a label outside a range; infinite ones are another rule's."""
    lows = labels.numbers if labels.numbers is not None else labels.lows
    highs = labels.numbers if labels.numbers is not None else labels.highs
    if lows is None or highs is None:
        return np.zeros(0, dtype=bool)
    with np.errstate(invalid="ignore"):
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
    return c.labels.lengths is not None and bool((c.labels.lengths == len(c.inputs) - 2).all())


@rule("unreachable-label", "read label", "warning", Stage.VALUES, Step("scale_labels", (LABEL, -1, 1)))
@says(
    "the labels in {label!r} go down to {c.lowest:g}, but sparse embeddings have no negative entries, so that their "
    "cosine similarity is not below 0: {rows} cannot be reached"
)
def unreachable_label(c: Context) -> Bad | None:
    """Labels below 0, which the cosine similarity of sparse embeddings cannot reach."""
    is_asked = c.entry.model_type == "SparseEncoder" and c.entry.score == "cosine" and not label_range(c)
    return bad(c.scan.tally(c.numbers < -ROUNDING)) if is_asked and c.numbers is not None else None


@rule("gain-range", "label", "warning", Stage.VALUES, scaled)
@says(
    "{loss} takes labels for grades, whose gain is 2^label - 1: negative ones count as 0, and large ones overflow, as "
    "in {rows} of {label!r}, from {c.lowest:g} to {c.highest:g}"
)
def gain_range(c: Context) -> Mask | None:
    """Labels for which the gain of a ranking is 0 or overflows."""
    is_asked = c.entry.name == "LambdaLoss" and c.labels.lows is not None
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
@says("{loss} takes the labels 1 and 0; {effect}: in {label!r} {rows} have others, from {c.lowest:g} to {c.highest:g}")
def label_not_binary(c: Context) -> Bad | None:
    """Labels other than 0 and 1, where the loss takes these."""
    numbers = c.numbers
    if not c.label_kinds <= {"binary"} or numbers is None or label_classes(c):
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
    if c.numbers is None or c.format.label == "class" or c.lowest < highest or len(c.inputs) != 2:
        return None
    step = Step(
        "pairs_to_positives", (), (("positive_from", c.lowest),), "each row is a positive; leaves out the labels"
    )
    return [(step, *lines) for lines in other_loss(c, "pair", "none")]


@rule("label-constant", "read label", "warning", Stage.LOSS, _as_positives)
@says("all labels in {label!r} are {value}: {effect}")
def label_constant(c: Context) -> Bad | None:
    """The same label in all rows."""
    labels = c.labels
    if labels.numbers is None or len(labels.values) < 2 or c.lowest < c.highest:
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
@says(
    "{tied:.1%} of the pairs of rows have the same label in {label!r}, so that {loss} has little to order; {same:.1%} "
    "of the batches of {drawn} teach nothing"
)
def label_tied(c: Context) -> Bad | None:
    """The same label in almost all rows, where the loss learns from their order."""
    if not c.entry.order_only or c.numbers is None:
        return None
    _, counts = np.unique(c.labels.values, return_counts=True)
    total = int(counts.sum())
    if len(counts) < 2:
        return None
    tied = float((counts * (counts - 1.0)).sum() / (total * (total - 1.0)))
    drawn = min(c.batch_size, total)
    same = sum(math.exp(log_no_match(total, total - int(count), drawn)) for count in counts if count >= drawn)
    return None if tied < _TIED and same < _SAME_BATCH else bad(tied=tied, same=same, drawn=drawn)


@rule(
    "lists-tied", "read label", "error", Stage.ROWS,
    lambda c, found: keep("labels", "min(labels) < max(labels)", str(c.label)),
)  # fmt: skip
@says("all labels of a list are equal in {rows} of {label!r}: such a list has no order to learn")
def lists_tied(c: Context) -> Bad | None:
    """Lists of equal labels, which have no order."""
    lows, highs, lengths = c.labels.lows, c.labels.highs, c.labels.lengths
    no_order = bool(c.label_kinds & {"class probabilities", "embedding", "embeddings", "any"}) or are_margins(c)
    no_order |= c.label_kinds <= SCALARS
    if lows is None or highs is None or lengths is None or no_order:
        return None
    several = int((lengths > 1).sum())
    tally = c.scan.tally((lengths > 1) & (lows == highs))
    return bad(tally, severity=None if tally.count == several else "warning") if tally.count >= 0.5 * several else None


# --- Classes ----------------------------------------------------------------------------------------------------------


def _are_class_numbers(c: Context) -> bool:
    """Whether labels are numbers of classes that must go from 0 on."""
    values = c.labels.values
    is_asked = "class" in c.label_kinds and not c.entry.class_batches and c.labels.numbers is not None
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
    tally = c.scan.tally(np.asarray(c.labels.numbers) >= allowed)
    return bad(tally, owner=owner, allowed=allowed, last=allowed - 1) if c.lowest >= 0 else None


@rule("class-range", "read label", "error", Stage.VALUES, lambda c, found: keep("label", "label >= 0", str(c.label)))
@says("classes are numbered from 0, but {label!r} has {c.lowest:g} in {rows}, as rows without a class often have")
def negative_class(c: Context) -> Tally | None:
    """Classes below 0."""
    return c.scan.tally(np.asarray(c.labels.numbers) < 0) if _are_class_numbers(c) else None


_BEYOND = (
    "the classes in {label!r} go up to {c.highest:g}, but {owner} numbers {allowed} classes from 0 to {last}: {rows}"
)


@rule("class-range", "read label", "error", Stage.VALUES, Step("class_encode_column", (LABEL,)))
@says(_BEYOND)
def class_gaps(c: Context) -> Bad | None:
    """Numbers of classes with gaps."""
    if not _are_class_numbers(c) or _too_few_outputs(c):
        return None
    return _beyond(c, _outputs(c) or max(len(np.unique(c.labels.values)), len(c.class_names)))


def _more_outputs(c: Context, found: Bad) -> str:
    classes = int(c.highest) + 1
    if c.entry.model_type == "CrossEncoder":
        return model_line(c, classes)
    return loss_line(c, c.entry, "model.get_embedding_dimension()", f"num_labels={classes}")


@rule("class-range", "read label", "error", Stage.MODEL, _more_outputs)
@says(_BEYOND)
def class_range(c: Context) -> Bad | None:
    """Classes beyond those that the loss or the model has outputs for."""
    return _beyond(c, _outputs(c) or 0) if _too_few_outputs(c) else None
