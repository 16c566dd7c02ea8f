"""Are there labels, and are they of the kind that the loss takes?"""

from __future__ import annotations

from typing import Any

import numpy as np

from selective_st.catalog import OURS
from selective_st.registry.checks.context import EMBEDDINGS, LISTS, SCALARS, Context, quoted
from selective_st.registry.checks.engine import Bad, Found, Mend, Part, Stage, Tells, bad, rule, tells
from selective_st.registry.checks.lines import TO_LISTS, change, keep, other_loss
from selective_st.registry.checks.report import row_numbers
from selective_st.registry.checks.scan import Mask
from selective_st.registry.columns import nested_fields
from selective_st.registry.names import NLI_VALUES, POSITIVE_VALUES, are_premises, key_of
from selective_st.registry.steps import Step

_READS_ANY_LABELS = ("ContrastiveTensionLoss", "AnglELoss")  # labels that the tables do not list are used as well
_NO_BOOLEANS = ("ContrastiveLoss", "SoftmaxLoss", "CrossEntropyLoss")
_FLOATS = {"similarity", "margin", "margins", "scores", *EMBEDDINGS}
_SHOWN = 6  # names, or lengths
_MOST_OTHERS = 10  # different texts that are no labels are written into the line that leaves them out

# --- Is there a label? ------------------------------------------------------------------------------------------------


def _named(c: Context, found: Found) -> Mend:
    """Lines that name the label and read it; or those to choose from; or a loss that needs none."""
    naming = c.label_column.naming
    if c.label is not None:
        # A label that cannot be read is named all the same: the next check tells of it.
        is_read = naming is None or naming[0].call == "labels_to_int"  # which turns it round
        return None if naming is None else (*naming, *(() if is_read else _reading(c) or ()))
    ways = [(way.words, way.code("{dataset}")) for way in c.format.readings if way.label_column and way.steps]
    renamed = {name: Step("rename_column", (name, "label")).code("{dataset}") for name in c.rivals}
    ways = ways or [(f"{name!r} is the label", code) for name, code in renamed.items()]
    shown = [f"# If {words}:\n# " + code.replace("\n", "\n# ") for words, code in ways]
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
    is_positive = NLI_VALUES & {*names} or (names[0] in POSITIVE_VALUES if names else are_premises(c.inputs))
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
    if others:
        why = f"leaves out {c.labels.others.sum():,} row(s)"
        steps.append(keep("label", f"label not in {list(others)!r}", c.label, why=why))
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
    """{loss} takes {count} for each row ({c.wanted}), but {label!r} holds one number."""
    is_asked = c.label_kinds - {"none"} <= LISTS and c.targets != "labels"
    # One score is for the one document; integers our in-batch losses ignore.
    is_of_one = c.are_teacher_scores and len(c.inputs) == 2
    is_unread = c.entry.origin == OURS and c.entry.in_batch_negatives and c.labels.type != "float"
    if is_asked and c.labels.type in ("integer", "float", "boolean") and not is_of_one and not is_unread:
        may_be_listed = len(c.inputs) == 2 and c.label_kinds & {"scores", "binary list"}
        mend = [*([TO_LISTS] if may_be_listed else []), *other_loss(c, c.shape, c.format.label)]
        yield bad(count=f"{len(c.inputs) - 1} labels" if len(c.inputs) > 2 else "a list of labels", mend=mend)


def _padded(c: Context, length: int) -> Step:
    return Step("pad_labels", (c.label, length), why="fills shorter lists up with NaN")


@rule("list-lengths", "label", "error", Stage.VALUES, lambda c, found: _padded(c, int(c.labels.lengths.max())))
def ragged_lists(c: Context) -> bool:
    """Of the lists in {label!r}, of different lengths, no tensor can be made, which the trainer does all the same."""
    lengths, sizes = c.labels.lengths, c.labels.sizes
    is_asked = not (c.takes_labels or c.lists or c.entry.model_type == "CrossEncoder")
    return is_asked and any(len(np.unique(each)) > 1 for each in (lengths, sizes))


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
    shortest = int(lengths[lengths > 0].min()) if (lengths > 0).any() else 0
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
