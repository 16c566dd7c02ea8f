"""Are the values of the labels such that the loss can learn from them, and the student reach what the teacher gives?"""

from __future__ import annotations

import math

import numpy as np

from selective_st.catalog import OURS, loss_entry, rows
from selective_st.registry.checks.context import EMBEDDINGS, SCALARS, Context
from selective_st.registry.checks.engine import Bad, Found, Mend, Stage, Tells, bad, rule, tells
from selective_st.registry.checks.lines import keep, loss_line, more_outputs, other_loss
from selective_st.registry.checks.rules.batches import meets_none
from selective_st.registry.checks.rules.labels import label_classes
from selective_st.registry.checks.scan import Labels, Mask, Numbers
from selective_st.registry.columns import but_for_few, scale_around
from selective_st.registry.steps import Step

_ROUNDING = 1e-4  # labels may lie beyond their range by so much
_TIED = 0.9  # of the pairs of rows with the same label are almost all
_SAME_BATCH = 0.1  # of the batches may hold one label only
_LARGEST_GAIN = 100  # 2 to a label beyond that overflows
_FEW_LABELS = 10  # different ones, which a mapping can write out
_SATURATED = 0.999  # of the probability on one document leaves nothing for the others
_FLAT = 0.02  # a spread of logits that hardly differs from none

# --- Missing and infinite ---------------------------------------------------------------------------------------------


@rule("missing-label", "label", "error", Stage.ROWS)
def missing_label(c: Context) -> Tells:
    """Column {label!r} has {what} in {rows}{effect}."""
    labels, is_ours = c.labels, c.entry.origin == OURS
    labelled = Step("remove_empty_rows", ((c.label,),))
    if c.takes_labels:
        yield bad(labels.missing, what="no label" if labels.is_list else "no label (None)", effect="", mend=labelled)
    elif not labels.is_list:
        unread = f": no tensor can be made of it, which the trainer does though {c.entry.name} does not read it"
        yield bad(labels.missing, what="no label (None)", effect=unread, mend=labelled)
    if c.are_raters:
        return
    if c.reads_label and not (labels.is_list and (is_ours or c.becomes_pairs)):  # where it is padding
        yield bad(labels.nan, what="the label NaN", effect="", mend=_where(c, "label == label"))
    if c.reads_label and not (c.lists and c.entry.model_type == "CrossEncoder"):
        yield bad(labels.empty, what="an empty list", effect="", mend=labelled)
    fill, effect = keep("labels", "labels and None not in labels", c.label), ", of which no tensor can be made"
    if labels.type == "list" and (is_ours or not c.takes_labels):
        fill, effect = Step("pad_labels", (c.label, 1), why="None becomes NaN"), f"{effect}; a padded label is NaN"
    yield bad(labels.nulls, what="None in lists", effect=effect, mend=fill)


def _where(c: Context, condition: str) -> Step:
    """Keep the rows whose label, or each of whose labels, is so."""
    if not c.labels.is_list:
        return keep("label", condition, c.label)
    each = "for label in labels" if c.labels.type == "list" else "for vector in labels for label in vector"
    return keep("labels", f"all({condition} {each})", c.label)


@rule("infinite-label", "read label", "error", Stage.VALUES, lambda c, found: _where(c, "abs(label) < 1e30"))
def infinite_label(c: Context) -> Mask:
    """Column {label!r} has infinite labels in {rows}."""
    return c.labels.infinite


# --- Their range ------------------------------------------------------------------------------------------------------


def _scaled(c: Context, found: Found | None = None) -> Step:
    """Map the scale that the labels have, or seem to have, to the one from 0 to 1; leave out a few stray labels."""
    limits, known = _limits(c), c.format.label_scale
    if limits is not None and not c.labels.is_list and but_for_few(c.labels.values.tolist()):
        return keep("label", f"{limits[0]:g} <= label <= {limits[1]:g}", c.label)
    low, high = min(c.lowest, 0.0), c.highest
    if known is not None and known[0] <= c.lowest and high <= known[1] and not (known[0] == -1 and high <= 1):
        low, high = known
    elif c.format.label == "similarity" and (low < -1 or high > 1):
        low, high = scale_around(c.lowest, c.highest)
    why = ["if they are grades, not classes"] if c.format.label == "class" else []
    if (low, high) != (c.lowest, c.highest):
        why.append(f"a guess from labels of {c.lowest:g} to {c.highest:g}: give the ends of your scale")
    return Step("scale_labels", (c.label, _short(low), _short(high)), why="; ".join(why))


def _short(number: float) -> float:
    return int(number) if number == int(number) else number


@rule("label-range", "read label", "error", Stage.VALUES, _scaled)
def label_range(c: Context) -> Tells:
    """The labels in {label!r} run from {c.lowest:g} to {c.highest:g}, but {what} lies in [{low:g}, {high:g}].

    The labels of {rows} cannot be reached.
    """
    limits = _limits(c)
    if limits is not None and not c.labels.are_names and not tells(label_classes, c):  # classes are not to be scaled
        low, high, what = limits
        yield bad(_outside(c.labels, low, high), low=low, high=high, what=what)


def _outside(labels: Labels, low: float, high: float) -> Mask:
    """Which rows have a label outside a range; infinite ones are another rule's."""
    is_below, is_above = labels.lows < low - _ROUNDING, labels.highs > high + _ROUNDING
    return is_below & np.isfinite(labels.lows) | is_above & np.isfinite(labels.highs)


def _limits(c: Context) -> tuple[float, float, str] | None:
    """Where labels must lie, and what says so; None where they may lie anywhere."""
    entry, kinds, loss, ours = c.entry, c.label_kinds, c.loss, c.entry.origin == OURS
    cosine = -1.0, 1.0, "the cosine similarity"
    if kinds <= {"binary"} or c.labels.type == "lists" or (ours and entry.in_batch_negatives and not c.is_cosine):
        return None  # at labels of 1 and 0 another rule looks
    if ours and entry.in_batch_negatives:
        return cosine  # a teacher's scores must lie where the student's do
    if entry.score == "probability":
        return 0.0, 1.0, "a probability"
    if _are_margins(c):
        return None  # these have a range of their own
    if entry.score == "cosine":
        link = loss.link if ours and loss is not None else None
        if link is not None and c.targets == "link_values":
            return float(link.range.low), float(link.range.high), f"a value of {link!r}"
        if link is not None and c.is_cosine is False:
            return float(link.domain.low), float(link.domain.high), f"the domain of {link!r}"
        is_plain = type(getattr(loss, "cos_score_transformation", None)).__name__ in ("NoneType", "Identity")
        return cosine if is_plain else None
    if not ours or not c.is_cosine or not kinds & {"scores", "binary list"} or c.targets in ("labels", "margins"):
        return None
    ends, space = getattr(loss, "label_range", None), str(getattr(loss, "teacher_space", None))
    if ends is not None:
        return float(ends[0]), float(ends[1]), "label_range"
    return {"logit": None, "probability": (0.0, 1.0, "a probability (teacher_space)")}.get(space, cosine)


def _are_margins(c: Context) -> bool:
    """Whether labels are margins, or are made to be margins."""
    if c.targets == "margins" or "margin" in c.label_kinds:
        return c.labels.type != "list" or c.targets == "margins"
    return c.labels.are_lists_of(len(c.inputs) - 2)


@rule("unreachable-label", "read label", "warning", Stage.VALUES)
def unreachable_label(c: Context) -> Bad | None:
    """The labels in {label!r} go down to {c.lowest:g}, but sparse embeddings have no negative entries.

    Their cosine similarity is not below 0: the labels of {rows} cannot be reached.
    """
    is_asked = c.entry.model_type == "SparseEncoder" and c.entry.score == "cosine" and not tells(label_range, c)
    return bad(c.numbers < -_ROUNDING, mend=Step("scale_labels", (c.label, -1, 1))) if is_asked else None


@rule("gain-range", "label", "warning", Stage.VALUES, _scaled)
def gain_range(c: Context) -> Mask | None:
    """{loss} takes labels for grades, whose gain is 2^label - 1.

    Negative ones count as 0, and large ones overflow: {rows} of {label!r}, from {c.lowest:g} to {c.highest:g}.
    """
    is_asked = c.entry.name == "LambdaLoss" and c.labels.is_list
    return _outside(c.labels, 0, _LARGEST_GAIN) if is_asked else None


def _binary(c: Context, found: Found) -> Step:
    """Make 1 of the labels above the middle, and 0 of the others."""
    middle, different = (c.lowest + c.highest) / 2, np.unique(c.labels.values).tolist()
    why = f"labels above {middle:g} become 1: set the limit"
    if len(different) > _FEW_LABELS:
        return Step("labels_to_binary", (c.label,), (("above", middle),), why)
    mapping = {_short(value): int(value > middle) for value in different}
    return Step("labels_to_int", (c.label,), (("mapping", mapping),), why if len(different) > 2 else "")


@rule("label-not-binary", "read label", "error", Stage.VALUES, _binary)
def label_not_binary(c: Context) -> Tells:
    """{loss} takes the labels 1 and 0; {effect}: {rows} of {label!r}, from {c.lowest:g} to {c.highest:g}."""
    wrong = np.isfinite(c.numbers) & ~np.isin(c.numbers, (0, 1))
    if c.label_kinds <= {"binary"} and wrong.any() and not tells(label_classes, c):
        is_online = c.entry.name.startswith("Online")
        effect = "rows with other labels are ignored" if is_online else "other labels weigh both of its terms"
        is_mild = not is_online and c.lowest >= 0 and c.highest <= 1
        yield bad(wrong, severity="warning" if is_mild else None, effect=effect)


# --- Is there something to tell apart? --------------------------------------------------------------------------------


def _as_positives(c: Context, found: Found) -> Mend:
    """Pairs whose labels are all the highest are positives."""
    highest = 1.0 if c.format.label_scale is None else c.format.label_scale[1]
    if not c.has_amounts or c.format.label == "class" or c.lowest < highest or len(c.inputs) != 2:
        return None
    why = "each row is a positive; leaves out the labels"
    step = Step("pairs_to_positives", (), (("positive_from", c.lowest),), why)
    return [(step, line) for line in other_loss(c, "pair", "none")]


@rule("label-constant", "read label", "warning", Stage.LOSS, _as_positives)
def label_constant(c: Context) -> Tells:
    """All labels in {label!r} are {value}: {effect}."""
    labels, is_useless = c.labels, c.entry.order_only or "class" in c.label_kinds
    if not labels.is_list and len(labels.values) > 1 and c.lowest == c.highest:
        value = repr(labels.names[0]) if labels.are_names else format(c.lowest, "g")
        useless = "there is nothing to tell apart, and the loss teaches nothing"
        effect = useless if is_useless else "there is little to learn"
        yield bad(np.isfinite(labels.numbers), severity="error" if is_useless else None, value=value, effect=effect)


def _not_order_only(c: Context, found: Found) -> Mend:
    """A loss for similarities that also learns from rows with the same label."""
    fitting = [row for row in rows(c.entry.model_type) if (row.shape, row.label) == ("pair", "similarity")]
    entries = (loss_entry(name, c.entry.model_type) for row in fitting for name in row.losses)
    others = [entry for entry in entries if not entry.order_only and not entry.deprecated]
    return [loss_line(c, entry, why="also learns from rows with the same label") for entry in others[:1]]


@rule("label-tied", "read label", "warning", Stage.LOSS, _not_order_only)
def label_tied(c: Context) -> Tells:
    """{tied:.1%} of the pairs of rows have the same label in {label!r}, so that {loss} has little to order.

    Of the batches of {drawn} {same:.1%} teach nothing.
    """
    counts = np.unique(c.labels.values, return_counts=True)[1].astype(np.float64)
    if c.entry.order_only and c.has_amounts and len(counts) > 1:
        total = int(counts.sum())
        tied, drawn = float((counts * (counts - 1)).sum() / (total * (total - 1))), min(c.batch_size, total)
        same = float(meets_none(total, total - counts, drawn).sum())
        if tied >= _TIED or same >= _SAME_BATCH:
            yield bad(tied=tied, same=same, drawn=drawn)


@rule("lists-tied", "read label", "error", Stage.ROWS)
def lists_tied(c: Context) -> Tells:
    """All labels of a list are equal in {rows} of {label!r}: such a list has no order to learn."""
    no_order = bool(c.label_kinds & {"class probabilities", *EMBEDDINGS, "any"}) or _are_margins(c)
    several = c.labels.lengths > 1
    tied = several & (c.labels.lows == c.labels.highs)
    if not no_order and not c.label_kinds <= SCALARS and tied.sum() >= 0.5 * several.sum():
        mend = keep("labels", "len(labels) < 2 or min(labels) < max(labels)", c.label)
        yield bad(tied, severity=None if (tied == several).all() else "warning", mend=mend)


# --- Classes ----------------------------------------------------------------------------------------------------------


def _are_class_numbers(c: Context) -> bool:
    """Whether labels are numbers of classes that must go from 0 on."""
    values = c.labels.values
    is_asked = "class" in c.label_kinds and not c.entry.class_batches and not c.labels.is_list
    return is_asked and len(values) > 0 and not (values != np.round(values)).any()


@rule("class-range", "read label", "error", Stage.VALUES, lambda c, found: keep("label", "label >= 0", c.label))
def negative_class(c: Context) -> Mask | None:
    """Classes are numbered from 0, but {label!r} has {c.lowest:g} in {rows}, as rows without a class often have."""
    return c.labels.numbers < 0 if _are_class_numbers(c) else None


def _beyond(c: Context, *, few_outputs: bool) -> Bad | None:
    """The rows whose classes have no output; where the outputs are too few, or else where the classes have gaps."""
    if not _are_class_numbers(c) or c.lowest < 0:
        return None
    is_model, classes = c.entry.model_type == "CrossEncoder", len(np.unique(c.labels.values))
    outputs = getattr(c.model if is_model else c.loss, "num_labels", None)
    are_few = isinstance(outputs, int) and outputs < c.highest + 1 == classes
    if are_few != few_outputs:
        return None
    allowed = outputs if isinstance(outputs, int) else max(classes, len(c.class_names))
    owner = "the model" if is_model else c.entry.name
    return bad(c.labels.numbers >= allowed, owner=owner, allowed=allowed, last=allowed - 1)


@rule("class-range", "read label", "error", Stage.VALUES, lambda c, found: Step("class_encode_column", (c.label,)))
def class_gaps(c: Context) -> Bad | None:
    """The classes in {label!r} go up to {c.highest:g}, but {owner} numbers {allowed} from 0 to {last}: {rows}."""
    return _beyond(c, few_outputs=False)


@rule("class-range", "read label", "error", Stage.MODEL, lambda c, found: more_outputs(c, int(c.highest) + 1))
def class_range(c: Context) -> Bad | None:
    """The classes in {label!r} go up to {c.highest:g}, but {owner} numbers {allowed} from 0 to {last}: {rows}."""
    return _beyond(c, few_outputs=True)


# --- Can the student reach what the teacher gives? --------------------------------------------------------------------


@rule("margin-range", "read label", "error", Stage.VALUES)
def margin_range(c: Context) -> Tells:
    """The teacher's margins in {label!r} are as large as {widest:g}.

    Differences of cosine similarities are at most 2: {rows} cannot be reached.
    """
    is_margin = c.label_kinds & {"margin", "margins"} or c.targets == "margins"
    ends = _margins(c) if c.is_cosine and is_margin else None
    if ends is not None:
        widths = np.maximum(*np.abs(ends))
        beyond = (widths > 2 + _ROUNDING) & np.isfinite(widths)  # infinite ones are another rule's
        widest = float(widths[beyond].max(initial=0.0))
        why = f"{widest:g} is the widest margin seen: give the width of your teacher's scale"
        narrowed = Step("scale_margins", (c.label, math.ceil(widest)), why=why)
        is_sure = c.loss is not None or c.entry.origin == OURS
        mend = _scaled(c) if c.has_label_each else narrowed
        yield bad(beyond, severity=None if is_sure else "warning", mend=mend, widest=widest)


def _margins(c: Context) -> tuple[Numbers, Numbers] | None:
    """The lowest and the highest margin of each row; None where there are none."""
    labels, is_ours = c.labels, c.entry.origin == OURS
    if not c.has_label_each:
        return None if labels.are_names else (labels.lows, labels.highs)
    if c.targets == "scores" or (is_ours and c.targets != "margins"):
        return None
    return labels.margin_lows, labels.margin_highs


@rule("teacher-scale", "label", "warning", Stage.LOSS)
def teacher_scale(c: Context) -> Bad | None:
    """The teacher's scores in {label!r} span {spread:.3g} in half of the rows, {scaled:.3g} by temperature: {what}."""
    spreads = c.labels.highs - c.labels.lows
    known, is_asked = spreads[np.isfinite(spreads)], "DistillKLDivLoss" in c.entry.name
    spread = float(np.median(known)) if is_asked and len(known) and (c.labels.lengths > 1).all() else 0.0
    if not spread > 0:
        return None
    teacher, student = (_temperature(c, f"{which}_temperature") for which in ("teacher", "student"))
    top, scaled = _top_probability(c, teacher), spread / teacher
    limit = 2 / student if c.is_cosine else math.inf
    if scaled > limit + _ROUNDING:
        what = f"the student's cosines, which span at most {limit:.3g} by its own, cannot match them"
    elif top > _SATURATED:
        what = f"one document has {top:.2%} of the probability, and the order of the others is not learned"
    elif scaled < _FLAT:
        what = "all documents have nearly the same probability, and there is little to learn"
    else:
        return None
    advice = [f"{name}={value}" for name, value in c.entry.arguments if name == "similarity_fct"]
    advice += [f"student_temperature={student:g}", f"teacher_temperature={spread / min(4.0, limit):.2g}"]
    return bad(spread=spread, scaled=scaled, what=what, mend=loss_line(c, c.entry, *advice))


def _temperature(c: Context, name: str) -> float:
    """A temperature of the loss; of one given by its name, as the registry suggests it or as is its default."""
    for of in (name, "temperature"):
        found = getattr(c.loss, of, None)
        if isinstance(found, (int, float)):
            return float(found)
    default = 2.0 if c.entry.model_type == "SparseEncoder" else 1.0
    return float(dict(c.entry.arguments).get("temperature", default))


def _top_probability(c: Context, temperature: float) -> float:
    """The largest probability of a list, in the middle of the sampled rows."""
    found = []
    for value in c.table.values[str(c.source)]:
        scores = np.asarray([score for score in value or [] if score is not None], dtype=np.float64)
        scores = scores[np.isfinite(scores)]
        if len(scores) > 1:
            found.append(1 / np.exp((scores - scores.max()) / temperature).sum())
    return float(np.median(found or [0.0]))


@rule("embedding-size", "label", "error", Stage.LOSS)
def embedding_size(c: Context) -> Tells:
    """The embeddings in {label!r} have {size} numbers, but those of the model {c.dimension}."""
    lengths, sizes = c.labels.lengths, c.labels.sizes
    if c.label_kinds <= EMBEDDINGS and not c.lists and lengths.any():
        size = int(sizes.max(initial=0)) or int(np.bincount(lengths).argmax())
        if c.dimension is None:
            c.not_checked.append("whether the teacher's embeddings have the model's size: give model= (--model)")
        elif getattr(c.loss, "projection", None) is None and size != c.dimension:
            yield bad(size=size, mend=loss_line(c, c.entry, f"projection_dim={size}"))
