"""Are there labels of the kind that the loss takes, and can it learn from them what is meant?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy  # whose parts come when they are used

from selective_st.catalog import OURS, loss_entry, rows
from selective_st.registry.checks.context import EMBEDDINGS, LISTS, SCALARS, Context, quoted
from selective_st.registry.checks.engine import Bad, Found, Mend, Part, Stage, Tells, bad, rule, tells
from selective_st.registry.checks.lines import TO_LISTS, change, keep, loss_line, more_outputs, other_loss
from selective_st.registry.checks.report import row_numbers
from selective_st.registry.checks.rules.setup import meets_none
from selective_st.registry.checks.scan import Labels, Mask, Numbers
from selective_st.registry.columns import but_for_few, nested_fields, scale_around
from selective_st.registry.names import are_premises, key_of, says, words_for
from selective_st.registry.steps import Step

_READS_ANY_LABELS = ("ContrastiveTensionLoss", "AnglELoss")  # labels that the tables do not list are used as well
_NO_BOOLEANS = ("ContrastiveLoss", "SoftmaxLoss", "CrossEntropyLoss")
_FLOATS = {"similarity", "margin", "margins", "scores", *EMBEDDINGS}
_SHOWN = 6  # names, or lengths
_MOST_OTHERS = 10  # different texts that are no labels are written into the line that leaves them out
_ROUNDING = 1e-4  # labels may lie beyond their range by so much
_TIED = 0.9  # of the pairs of rows with the same label are almost all
_SAME_BATCH = 0.1  # of the batches may hold one label only
_LARGEST_GAIN = 100  # 2 to a label beyond that overflows
_SATURATED = 0.999  # of the probability on one document leaves nothing for the others
_FLAT = 0.02  # a spread of logits that hardly differs from none

# --- Is there a label? ------------------------------------------------------------------------------------------------


def _named(c: Context, found: Found) -> Mend:
    """Lines that name the label and read it; or those to choose from; or a loss that needs none."""
    naming = c.label_column.naming
    if c.label is not None:
        # A label that cannot be read is named all the same: the next check tells of it.
        is_read = naming is None or naming[0].call == "labels_to_int"  # which turns it round
        return None if naming is None else (*naming, *(() if is_read else _reading(c) or ()))
    steps = {f"{name!r} is the label": Step("rename_column", (name, "label")) for name in c.rivals}
    ways = {way.words: way for way in c.format.readings if way.label_column and way.steps} or steps
    shown = [f"# If {words}:\n# " + way.code("{dataset}").replace("\n", "\n# ") for words, way in ways.items()]
    return "\n".join(["# Choose one:", *shown]) if ways else other_loss(c, c.shape, "none")


@rule("no-label", "data", "error", Stage.NAME, _named)
def no_label(c: Context) -> Tells:
    """{loss} needs labels ({c.wanted}) in a column called label, labels, score or scores; {what}."""
    column = c.label_column.source
    if c.is_named or not c.needs_labels:
        return
    if c.label_column.naming is None:
        what = f"{column!r} may be one, but by its name it says something else than that the texts belong together"
    elif column is not None:
        what = f"the label is called {column!r}, which the trainer tokenizes as a text"
        what += f"; {_written(c)}" if c.labels.written is not None else ""
    elif c.rivals:
        what = f"{quoted(c.rivals)} may each be the label: keep one of them, and call it so"
    else:
        what = "there is no label"
    yield bad(column=column, what=what)


@rule("number-column", "data", "error", Stage.NAME, _named)
def unnamed_label(c: Context) -> Bad | None:
    """Column {column!r} is a label, but its name is none that the trainer knows, and so it is tokenized as a text."""
    column = c.label_column.source
    return bad(column=column) if column is not None and not c.is_named and not c.needs_labels else None


# --- Labels that the loss does not read -------------------------------------------------------------------------------


def _positives(c: Context, limit: float) -> Step:
    """Keep the pairs with a high label, as positives."""
    less = int((c.numbers < limit).sum())
    why = f"leaves out {less:,} row(s) with a lower label, repeated pairs, and the labels"
    return Step("pairs_to_positives", (), (("positive_from", limit),), why)


def _high(c: Context) -> float:
    """From which label on a pair is a positive one: the higher of two labels, or the upper fifth of the scale."""
    is_graded = len(np.unique(c.labels.values)) > 2
    return round(c.lowest + 0.8 * (c.highest - c.lowest), 4) if is_graded else c.highest


def _nli_ends(c: Context) -> tuple[str, ...]:
    """The names of the classes of natural language inference for a positive and a negative."""
    names = {key_of(name): name for name in c.class_names or c.labels.names}
    return (names["entailment"], names["contradiction"]) if {"entailment", "contradiction"} <= names.keys() else ()


def _nli_triplets(c: Context) -> Step:
    return Step("pairs_to_triplets", _nli_ends(c), why="of texts that have both; leaves out the others, and the labels")


@rule("label-unused", "label", "error", Stage.CHANGE)
def label_unused(c: Context) -> Tells:
    """{loss} {what}{rows}{of}."""
    if c.takes_labels or c.entry.name in _READS_ANY_LABELS:
        return
    is_of_pairs = c.entry.in_batch_negatives and len(c.inputs) == 2  # which are all taken for positives
    are_graded = is_of_pairs and c.has_amounts and (c.labels.written is not None or c.format.label != "class")
    what = f"ignores the labels in {c.source!r} and takes each row for a positive"
    if are_graded and c.lowest < c.highest:
        limit = _high(c)
        yield bad(c.numbers < limit, what=f"{what}: ", of=f" have less than {limit:g}", mend=_positives(c, limit))
        return
    names = [key_of(name) for name in c.class_names]
    is_nli = not words_for("nli value").isdisjoint(names)
    is_positive = is_nli or (says(names[:1], "positive value") if names else are_premises(c.inputs))
    if are_graded and not c.labels.values.any() and not is_positive:
        yield bad(what=f"{what}, but all are 0, as of negatives", of="")
        return
    ends, numbers = _nli_ends(c), c.labels.numbers
    if ends and is_of_pairs:
        others = np.isfinite(numbers) & (numbers != (c.class_names or c.labels.names).index(ends[0]))
        if others.any():
            yield bad(others, what=f"{what}: ", of=f" are not of class {ends[0]!r}", mend=_nli_triplets(c))
            return
    mend = _positives(c, c.lowest) if are_graded else None
    yield bad(severity="warning", what=f"does not read the labels in {c.source!r}", of="", mend=mend)


@rule("teacher-labels", "label", "warning", Stage.CHANGE)
def teacher_labels(c: Context) -> Tells:
    """{loss} takes the numbers in {label!r} for a teacher's scores of each row's second text.

    The other rows' texts count as negatives; for graded pairs there is SelectivePointwiseLoss(model).
    """
    if c.are_teacher_scores and len(c.inputs) == 2:
        yield bad(mend=_positives(c, _high(c)) if c.has_amounts else None)


# --- Labels that are no numbers ---------------------------------------------------------------------------------------


@rule("label-text", "label", "error", Stage.READ, lambda c, found: _reading(c))
def label_text(c: Context) -> Tells:
    """The labels in {label!r} are {what}, of which no tensor can be made{effect}."""
    labels, unread = c.labels, f", which the trainer does though {c.entry.name} does not read them"
    is_text = labels.written is not None or labels.type == "other"
    if is_text and c.is_named and not labels.missing.all():
        what = "no numbers" if labels.written is None else f"stored as text: {_written(c)}"
        rows = labels.others if labels.others.any() else None
        yield bad(rows, what=what, effect="" if c.takes_labels else unread)


def _first(values: list[Any]) -> str:
    return ", ".join([*map(str, values[:_SHOWN]), *(["..."] if len(values) > _SHOWN else [])])


def _written(c: Context) -> str:
    """What labels that are texts say."""
    labels = c.labels
    assert labels.written is not None
    kind, shown = labels.written.kind, _first([*map(repr, labels.names)])
    mixed = f"numbers and other things, or numbers written in several ways, such as {shown}"
    what = {"numbers": "numbers", "lists": "several numbers each", "texts": "texts", "mixed": mixed}.get(kind, shown)
    if not labels.others.any() or kind == "mixed":
        return what
    return f"{what}, but {quoted(labels.written.others[:_SHOWN])} in {row_numbers(c.scan.numbers(labels.others))}"


def _reading(c: Context) -> tuple[Part, ...] | None:
    """The steps that make numbers, or classes, of labels that are texts."""
    labels, written = c.labels, c.labels.written
    if written is None:  # objects, of which one that holds a number is taken
        nested = nested_fields(c.table.values[str(c.source)])
        numbers = [] if nested is None else [name for name, kind in nested.fields.items() if kind == "numbers"]
        return (Step("flatten_cells", (c.label, numbers[0])),) if len(numbers) == 1 else None
    others, wants_class = written.others, "class" in c.label_kinds
    if len(others) > _MOST_OTHERS or written.kind == "mixed" or (written.kind == "texts" and not wants_class):
        return None
    if labels.are_names or (wants_class and written.kind in ("opposites", "grades")):
        return _as_classes(c, others)
    mapping = dict(written.values) if written.kind not in ("numbers", "lists") else {}
    is_whole = labels.type == "integer" and (wants_class or c.label_kinds <= {"binary", "none"})
    numbers_of: dict[str, Any] = {text: int(number) if is_whole else number for text, number in mapping.items()}
    numbers_of |= dict.fromkeys(others)
    options: dict[str, Any] = {"mapping": numbers_of} if numbers_of else {}
    why = "in the order that the words seem to have: edit the numbers" if written.kind == "grades" else ""
    if written.kind == "lists" and c.label_kinds - {"none"} <= SCALARS:
        options["mean"], why = True, "the mean of several raters"
    step = Step("labels_to_int" if is_whole else "labels_to_float", (c.label,), tuple(options.items()), why)
    return (step, _labelled_rows(c, labels.others)) if others else (step,)


def _labelled_rows(c: Context, without: Mask) -> Step:
    return Step("remove_empty_rows", ((c.label,),), why=f"leaves out {without.sum():,} row(s)")


def _as_classes(c: Context, others: tuple[str, ...]) -> tuple[Part, ...]:
    """Classes of names, without those that are none."""
    steps = [_labelled_rows(c, c.labels.missing)] if c.labels.missing.any() else []
    why = f"leaves out {c.labels.others.sum():,} row(s)"
    steps += [keep("label", f"label not in {list(others)!r}", c.label, why=why)] if others else []
    return (*steps, Step("class_encode_column", (c.label,)))


# --- Labels of another kind -------------------------------------------------------------------------------------------


def _for_classes(c: Context, found: Found) -> Mend:
    """Triplets of natural language inference, or a loss for classes."""
    triplets = [(_nli_triplets(c), line) for line in other_loss(c, "triplet", "none")] if _nli_ends(c) else []
    return [*triplets, *other_loss(c, c.shape, "class")]


@rule("label-classes", "read label", "error", Stage.LOSS, _for_classes)
def label_classes(c: Context) -> Tells:
    """{label!r} holds {classes} classes, which do not say how similar texts are, but {loss} takes {c.wanted}."""
    written, is_known = c.labels.written, c.format.label == "class" and c.format.certainty != "unclear"
    is_grade = any(kind in ("similarity", "scores") for _, kind in c.format.alternatives) and not are_premises(c.inputs)
    if c.label_kinds & {"class", "any", "none"}:
        return
    if written is not None and written.kind == "classes":
        yield bad(classes=len(c.labels.names))
    elif written is None and is_known and not is_grade:
        yield bad(severity="error" if c.format.certainty == "certain" else "warning", classes=c.format.classes)


def _one_of_list(c: Context, found: Found) -> Mend:
    """The mean of raters, the likeliest class, or a loss for lists."""
    if c.format.label == "class probabilities" and "class" in c.label_kinds:
        return change("labels", "labels.index(max(labels))", c.label, why="the likeliest class")
    mean = Step("labels_to_float", (c.label,), (("mean", True),), "the mean of several raters")
    return [*([mean] if c.may_be_raters else []), *other_loss(c, c.shape, c.format.label)]


@rule("label-is-list", "read label", "error", Stage.READ, _one_of_list)
def label_is_list(c: Context) -> Tells:
    """{loss} takes {wanted} for each row, but {label!r} holds {what}."""
    kind, is_scalar = c.labels.type, c.label_kinds <= SCALARS
    is_list = kind == "list" and is_scalar and not c.labels.are_lists_of(1)
    is_nested = kind == "lists" and not c.label_kinds & {*EMBEDDINGS, "any"}
    if c.labels.written is None and not c.becomes_pairs and (is_list or is_nested):
        yield bad(wanted="one label" if is_scalar else c.wanted, what="lists" if is_scalar else "lists of lists")


@rule("label-is-scalar", "read label", "error", Stage.CHANGE)
def label_is_scalar(c: Context) -> Tells:
    """{loss} takes {several} for each row ({c.wanted}), but {label!r} holds one number."""
    is_asked = c.label_kinds - {"none"} <= LISTS and c.targets != "labels"
    is_of_one = c.are_teacher_scores and len(c.inputs) == 2  # one score is for the one document
    if is_asked and c.labels.type in ("integer", "float", "boolean") and not is_of_one:
        may_be_listed = len(c.inputs) == 2 and c.label_kinds & {"scores", "binary list"}
        mend = [*([TO_LISTS] if may_be_listed else []), *other_loss(c, c.shape, c.format.label)]
        yield bad(several=f"{len(c.inputs) - 1} labels" if len(c.inputs) > 2 else "a list of labels", mend=mend)


def _padded(c: Context, length: int) -> Step:
    return Step("pad_labels", (c.label, length), why="fills shorter lists up with NaN")


@rule("list-lengths", "label", "error", Stage.VALUES, lambda c, found: _padded(c, int(c.labels.lengths.max())))
def ragged_lists(c: Context) -> bool:
    """Of the lists in {label!r}, of different lengths, no tensor can be made, which the trainer does all the same."""
    is_asked = not (c.takes_labels or c.lists or c.entry.model_type == "CrossEncoder")
    return is_asked and any(len(np.unique(each)) > 1 for each in (c.labels.lengths, c.labels.sizes))


@rule("list-lengths", "read label", "error", Stage.ROWS)
def labels_of_list(c: Context) -> Tells:
    """{label!r} and {c.lists[0]!r} hold lists of different lengths in {rows}."""
    sizes = c.scan.texts[c.lists[0]].lengths if c.lists else None
    if sizes is not None and c.labels.is_list:
        mend = keep("labels, texts", "len(labels) == len(texts)", c.label, c.lists[0])
        yield bad(sizes != c.labels.lengths, mend=mend)


def _fit_lengths(c: Context, found: Found) -> Mend:
    """What makes labels and columns fit: labels filled up, rows left out, columns left out; or another loss."""
    lengths, documents = c.labels.lengths, len(c.inputs) - 1
    if c.entry.origin == OURS and lengths.min() < lengths.max() <= documents:
        return _padded(c, documents)
    fitting = [length for length in sorted(_allowed_lengths(c)) if (lengths == length).any()]
    if fitting:
        return keep("labels", f"len(labels) == {fitting[-1]}", c.label)
    shortest = int(lengths[lengths > 0].min(initial=documents))
    if 2 <= shortest < documents:
        return Step("select_columns", ((*c.inputs[: shortest + 1], c.label),))
    return _one_of_list(c, found)


@rule("list-lengths", "read label", "error", Stage.ROWS, _fit_lengths)
def list_lengths(c: Context) -> Tells:
    """The lists in {label!r} must have {wanted} labels for the columns {columns}, but have {sizes}: {where}."""
    lengths, allowed = c.labels.lengths, sorted(_allowed_lengths(c))
    wrong, found = ~np.isin(lengths, allowed) & (lengths > 0), np.unique(lengths).tolist()
    if allowed and (wrong.any() or (len(allowed) > 1 and len(found) > 1)):
        where = row_numbers(c.scan.numbers(wrong)) if wrong.any() else "all rows: one of them for all"
        wanted, sizes = " or ".join(map(str, allowed)), _first(found)
        rows = wrong if wrong.any() else None
        yield bad(rows, wanted=wanted, columns=quoted(c.inputs), sizes=sizes, where=where)


def _allowed_lengths(c: Context) -> set[int]:
    """How many labels a row may have; empty where that is another rule's."""
    lengths, kinds, documents = c.labels.lengths, c.label_kinds, len(c.inputs) - 1
    if not c.labels.is_list or c.lists:
        return set()
    if kinds & {*EMBEDDINGS, "class probabilities"}:
        return ({len(c.inputs)} if c.labels.type == "lists" else {int(np.bincount(lengths).argmax())}) - {0}
    scores = {documents} if kinds & {"scores", "binary list"} and c.targets != "margins" else set()
    margins = {documents - 1, documents} if kinds & {"margins", "margin"} or c.targets == "margins" else set()
    return (scores | margins) - {0}


# --- Labels of another type -------------------------------------------------------------------------------------------


@rule("label-integer", "read label", "error", Stage.VALUES, lambda c, found: Step("labels_to_float", (c.label,)))
def label_integer(c: Context) -> Tells:
    """The labels in {label!r} are {type}s, where {loss} takes floats ({floats})."""
    labels, kinds = c.labels, c.label_kinds
    is_integer = labels.type in ("integer", "boolean") or (labels.type == "list" and c.holds_integers)
    if not is_integer or labels.written is not None or tells(label_classes, c):
        return
    stored = "integer" if labels.type == "list" else labels.type
    if labels.type == "list" and "class probabilities" in kinds and not labels.are_lists_of(1):
        yield bad(type=stored, floats="class probabilities")
    elif not kinds <= {"binary"} and kinds - {"none"} <= _FLOATS | {"binary"}:
        ours = c.entry.origin == OURS and c.targets not in ("link_values", "labels")
        binary = bool(len(labels.values)) and bool(np.isin(labels.values, (0, 1)).all())
        by_name = binary and "binary" in kinds and c.loss is None
        is_fine = by_name or c.entry.in_batch_negatives if ours else binary or c.entry.order_only or c.lists
        if not is_fine:
            floats = " or ".join(sorted(kinds & _FLOATS))
            yield bad(severity=None if ours else "warning", type=stored, floats=floats)


@rule("label-float", "read label", "error", Stage.VALUES)
def label_float(c: Context) -> Tells:
    """The labels in {label!r} are floats, where {loss} takes classes, which are integers{scores}."""
    labels, values = c.labels, c.labels.values
    of_one = labels.type == "list" and labels.are_lists_of(1) and not c.holds_integers
    if "class" in c.label_kinds and not c.entry.class_batches and (labels.type == "float" or of_one):
        if not of_one and len(values) and (values == np.round(values)).all():
            yield bad(scores="", mend=Step("labels_to_int", (c.label,)))
        else:
            yield bad(scores="; they look like scores", mend=other_loss(c, c.shape, "similarity"))


@rule("label-boolean", "label", "error", Stage.VALUES, lambda c, found: Step("labels_to_int", (c.label,)))
def label_boolean(c: Context) -> bool:
    """The labels in {label!r} are booleans, with which {loss} cannot calculate."""
    return c.entry.name in _NO_BOOLEANS and c.labels.type == "boolean"


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
    if c.may_be_raters and c.takes_labels and c.label_kinds <= SCALARS:
        return  # of several raters, some may have given none
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
    if kinds <= {"binary"} or (ours and entry.in_batch_negatives and not c.is_cosine):
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
    if entry.order_only:  # but for a calibration term
        return cosine if c.is_cosine and getattr(loss, "calibration", None) else None
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
    middle = (c.lowest + c.highest) / 2
    why = f"labels above {middle:g} become 1: set the limit" if len(np.unique(c.labels.values)) > 2 else ""
    return Step("labels_to_binary", (c.label,), (("above", middle),), why)


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
    return [loss_line(c, entry, "also learns from rows with the same label") for entry in others[:1]]


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
    is_model, classes = c.entry.model_type == "CrossEncoder", len(np.unique(c.labels.values))
    outputs = getattr(c.model if is_model else c.loss, "num_labels", None)
    allowed = outputs if isinstance(outputs, int) else max(classes, len(c.class_names))
    if not _are_class_numbers(c) or c.lowest < 0 or few_outputs != (outputs == allowed < c.highest + 1 == classes):
        return None
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
    ends = np.stack((c.labels.lows, c.labels.highs))
    is_asked = "DistillKLDivLoss" in c.entry.name and (c.labels.lengths > 1).all()
    known = np.diff(ends[:, np.isfinite(ends).all(0)], axis=0)
    spread = float(np.median(known)) if is_asked and known.size else 0.0
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
    advice = {name: value for name, value in c.entry.arguments if name == "similarity_fct"}
    advice |= {"student_temperature": f"{student:g}", "teacher_temperature": f"{spread / min(4.0, limit):.2g}"}
    return bad(spread=spread, scaled=scaled, what=what, mend=loss_line(c, c.entry, **advice))


def _temperature(c: Context, name: str) -> float:
    """A temperature of the loss; of one given by its name, as the registry suggests it or as is its default."""
    usual = dict(c.entry.arguments).get("temperature", 2.0 if c.entry.model_type == "SparseEncoder" else 1.0)
    return float(getattr(c.loss, name, None) or getattr(c.loss, "temperature", None) or usual)


def _top_probability(c: Context, temperature: float) -> float:
    """The largest probability of a list, in the middle of the sampled rows."""
    lists = ([score for score in value or [] if score is not None] for value in c.table.values[str(c.source)])
    known = ([score / temperature for score in scores if math.isfinite(score)] for scores in lists)
    return float(np.median([scipy.special.softmax(scores).max() for scores in known if len(scores) > 1] or [0.0]))


@rule("embedding-size", "label", "error", Stage.LOSS)
def embedding_size(c: Context) -> Tells:
    """The embeddings in {label!r} have {size} numbers, but those of the model {c.dimension}."""
    lengths, sizes = c.labels.lengths, c.labels.sizes
    compares_scores = c.entry.origin == OURS  # which are numbers whatever the embeddings' size
    if c.label_kinds <= EMBEDDINGS and not c.lists and lengths.any() and not compares_scores:
        size = int(sizes.max(initial=0)) or int(np.bincount(lengths).argmax())
        if c.dimension is None:
            c.not_checked.append("whether the teacher's embeddings have the model's size: give model= (--model)")
        elif getattr(c.loss, "projection", None) is None and size != c.dimension:
            yield bad(size=size, mend=loss_line(c, c.entry, projection_dim=str(size)))
