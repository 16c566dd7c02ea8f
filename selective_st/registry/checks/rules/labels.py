"""Are there labels, and are they of the kind that the loss takes?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from selective_st.registry.catalog import OURS
from selective_st.registry.checks.context import LISTS, SCALARS, Context, change, keep, quoted
from selective_st.registry.checks.engine import LABEL, Bad, Mend, Part, Stage, bad, row_numbers, rule, says
from selective_st.registry.checks.rules.losses import other_loss
from selective_st.registry.columns import nested_fields
from selective_st.registry.names import NLI_VALUES, POSITIVE_VALUES, TRAINER_LABELS, are_premises, key_of
from selective_st.registry.steps import Step

LABEL_NAMES = f"{', '.join(TRAINER_LABELS[:-1])} or {TRAINER_LABELS[-1]}"
_READS_ANY_LABELS = ("ContrastiveTensionLoss", "AnglELoss")  # labels that the tables do not list are used as well
_NO_BOOLEANS = ("ContrastiveLoss", "SoftmaxLoss", "CrossEntropyLoss")
_FLOATS = {"similarity", "margin", "margins", "scores", "embedding", "embeddings"}
_SHOWN_NAMES = 6
_MOST_OTHERS = 10  # different texts that are no labels are written into the line that leaves them out
_TO_FLOAT, _TO_INT = Step("labels_to_float", (LABEL,)), Step("labels_to_int", (LABEL,))
_TO_LISTS = Step("pairs_to_lists", why="leaves out texts that have one label only")

# --- Is there a label? ------------------------------------------------------------------------------------------------


def _named(c: Context, found: Bad) -> Mend:
    """Lines that name the label and read it; or those to choose from; or a loss that needs none."""
    if c.label_column is not None:
        # A label that cannot be read is named all the same: the next check tells of it.
        naming = c.label_column.naming
        is_read = naming is None or naming[0].call == "labels_to_int"  # which turns it round
        return None if naming is None else (*naming, *(() if is_read else _reading(c) or ()))
    ways = [(way.words, way.code("{dataset}")) for way in c.format.readings if way.label_column and way.steps]
    ways = ways or [(f"{name!r} is the label", _rename(name)) for name in c.rivals]
    if ways:
        return "\n".join(
            ["# Choose one:", *(f"# If {words}:\n# " + code.replace("\n", "\n# ") for words, code in ways)]
        )
    return other_loss(c, c.shape, "none")


def _rename(name: str) -> str:
    return Step("rename_column", (name, "label")).code("{dataset}")


@rule("no-label", "data", "error", Stage.NAME, _named)
@says(f"{{loss}} needs labels ({{c.wanted}}) in a column called {LABEL_NAMES}; {{what}}")
def no_label(c: Context) -> Bad | None:
    """No label, where the loss needs one."""
    found = c.label_column
    if c.is_named or not c.needs_labels:
        return None
    what, column = "there is no label", None if found is None else found.source
    if found is not None and found.naming is None:
        what = f"{column!r} may be one, but by its name it says something else than that the texts belong together"
    elif found is not None:
        what = f"the label is called {column!r}, which the trainer tokenizes as a text"
        what += f"; {_written(c)}" if c.labels.written is not None else ""
    elif c.rivals:
        what = f"{quoted(c.rivals)} may each be the label: keep one of them, and call it so"
    return bad(column=column, what=what)


@rule("number-column", "data", "error", Stage.NAME, _named)
@says("column {column!r} is a label, but its name is none that the trainer knows, and so it is tokenized as a text")
def unnamed_label(c: Context) -> str | None:
    """A label under a name that the trainer does not know, where the loss needs none."""
    found = c.label_column
    return found.source if found is not None and not c.is_named and not c.needs_labels else None


# --- Labels that the loss does not read -------------------------------------------------------------------------------


def _positives(c: Context, limit: float) -> Step:
    """Keep the pairs with a high label, as positives."""
    with np.errstate(invalid="ignore"):
        less = 0 if c.numbers is None else int((c.numbers < limit).sum())
    why = f"leaves out {less:,} row(s) with a lower label, repeated pairs, and the labels"
    return Step("pairs_to_positives", (), (("positive_from", limit),), why)


def _high(c: Context) -> float:
    """From which label on a pair is a positive one: the higher of two labels, or the upper fifth of the scale."""
    is_graded = len(np.unique(c.labels.values)) > 2
    return round(c.lowest + 0.8 * (c.highest - c.lowest), 4) if is_graded else c.highest


def _is_ignored(c: Context) -> bool:
    return not c.takes_labels and c.entry.name not in _READS_ANY_LABELS


def _are_taken_for_positives(c: Context) -> bool:
    """Whether pairs that have numbers are all taken for pairs that belong together."""
    says_numbers = c.labels.written is not None or c.format.label != "class"
    is_graded = len(c.inputs) == 2 and says_numbers and c.numbers is not None
    return _is_ignored(c) and c.entry.in_batch_negatives and is_graded and len(c.labels.values) > 0


@rule("label-unused", "label", "error", Stage.CHANGE, lambda c, found: _positives(c, found.facts["limit"]))
@says("{loss} ignores the labels in {label!r} and takes each row for a positive: {rows} have less than {limit:g}")
def low_label_unused(c: Context) -> Bad | None:
    """Low labels, which would be trained as positives."""
    if not _are_taken_for_positives(c) or c.numbers is None or not c.lowest < c.highest:
        return None
    with np.errstate(invalid="ignore"):
        return bad(c.scan.tally(c.numbers < _high(c)), limit=_high(c))


@rule("label-unused", "label", "error", Stage.CHANGE)
@says("{loss} ignores the labels in {label!r} and takes each row for a positive, but all are 0, as those of negatives")
def zero_label_unused(c: Context) -> bool:
    """Labels of negatives only: not where class 0 is a positive one, such as entailment."""
    names = {*map(key_of, c.class_names)}
    first = key_of(c.class_names[0]) if names else ""
    is_positive = first in POSITIVE_VALUES or NLI_VALUES & names or (not names and are_premises(c.inputs))
    return _are_taken_for_positives(c) and not c.labels.values.any() and not is_positive


def _nli_ends(c: Context) -> tuple[str, ...]:
    """The names of the classes of natural language inference for a positive and a negative."""
    names = {key_of(name): name for name in c.class_names or c.labels.names}
    return (names["entailment"], names["contradiction"]) if {"entailment", "contradiction"} <= names.keys() else ()


def _nli_triplets(c: Context) -> Step:
    return Step("pairs_to_triplets", _nli_ends(c), why="of texts that have both; leaves out the others, and the labels")


@rule("label-unused", "label", "error", Stage.CHANGE, lambda c, found: _nli_triplets(c))
@says("{loss} ignores the labels in {label!r} and takes each row for a positive: {rows} are not of class {positive!r}")
def class_unused(c: Context) -> Bad | None:
    """Contradictions, which would be trained as positives."""
    ends, numbers = _nli_ends(c), c.labels.numbers
    if not ends or numbers is None or not _is_ignored(c) or not c.entry.in_batch_negatives or len(c.inputs) != 2:
        return None
    place = (c.class_names or c.labels.names).index(ends[0])
    return bad(c.scan.tally(np.isfinite(numbers) & (numbers != place)), positive=ends[0])


@rule(
    "label-unused", "label", "warning", Stage.CHANGE,
    lambda c, found: _positives(c, c.lowest) if _are_taken_for_positives(c) else None,
)  # fmt: skip
@says("{loss} does not read the labels in {label!r}")
def label_unused(c: Context) -> bool:
    """A label that the loss does not read."""
    return _is_ignored(c) and not any(told(c) for told in (low_label_unused, zero_label_unused, class_unused))


@rule(
    "teacher-labels", "label", "warning", Stage.CHANGE,
    lambda c, found: None if c.numbers is None else _positives(c, _high(c)),
)  # fmt: skip
@says(
    "{loss} takes the numbers in {label!r} for a teacher's scores of each row's second text, among the other rows' as "
    "negatives; for graded pairs there is SelectivePointwiseLoss(model)"
)
def teacher_labels(c: Context) -> bool:
    """Numbers beside pairs, which our in-batch losses take for a teacher's scores."""
    return c.are_teacher_scores and len(c.inputs) == 2


# --- Labels that are no numbers ---------------------------------------------------------------------------------------


@rule("label-text", "label", "error", Stage.READ, lambda c, found: _reading(c))
@says("the labels in {label!r} are {what}, of which no tensor can be made{effect}")
def label_text(c: Context) -> Bad | None:
    """Labels stored as text, or other things that are no numbers."""
    labels = c.labels
    is_text = labels.written is not None or labels.type == "other"
    if not is_text or not c.is_named or labels.missing.count == len(c.scan.rows):  # there are none at all
        return None
    effect = "" if c.takes_labels else f", which the trainer does though {c.entry.name} does not read them"
    what = "no numbers" if labels.written is None else f"stored as text: {_written(c)}"
    return bad(labels.others if labels.others.count else None, what=what, effect=effect)


def _written(c: Context) -> str:
    """What labels that are texts say."""
    labels = c.labels
    assert labels.written is not None
    kind, names = labels.written.kind, [*map(repr, labels.names[:_SHOWN_NAMES])]
    shown = ", ".join([*names, *(["..."] if len(labels.names) > _SHOWN_NAMES else [])])
    mixed = f"numbers and other things, or numbers written in several ways, such as {shown}"
    what = {"numbers": "numbers", "lists": "several numbers each", "texts": "texts", "mixed": mixed}.get(kind, shown)
    others = ", ".join(map(repr, labels.written.others[:_SHOWN_NAMES]))
    is_partly = labels.others.count and kind != "mixed"
    return f"{what}, but {others} in {row_numbers(labels.others)}" if is_partly else what


def _reading(c: Context) -> tuple[Part, ...] | None:
    """The steps that make numbers, or classes, of labels that are texts."""
    labels, label = c.labels, str(c.label)
    if labels.written is None:
        return _field(c)
    written, others = labels.written, labels.written.others
    wants_class = "class" in c.label_kinds
    if len(others) > _MOST_OTHERS or written.kind == "mixed" or (written.kind == "texts" and not wants_class):
        return None
    if labels.are_names or (wants_class and written.kind in ("opposites", "grades")):
        return _as_classes(c, label, others)
    values = {} if written.kind in ("numbers", "lists") else written.values
    mapping: dict[str, Any] = {**values, **dict.fromkeys(others)}
    why = "in the order that the words seem to have: edit the numbers" if written.kind == "grades" else ""
    is_whole = labels.type == "integer" and (wants_class or c.label_kinds <= {"binary", "none"})
    if is_whole:
        mapping = {text: None if number is None else int(number) for text, number in mapping.items()}
    options: dict[str, Any] = {"mapping": mapping} if mapping else {}
    if written.kind == "lists" and c.label_kinds - {"none"} <= SCALARS:
        options["mean"], why = True, "the mean of several raters"
    step = Step("labels_to_int" if is_whole else "labels_to_float", (label,), tuple(options.items()), why)
    return (step, _labelled_rows(label, labels.others.count)) if others else (step,)


def _labelled_rows(label: str, count: int) -> Step:
    return Step("remove_empty_rows", ((label,),), why=f"leaves out {count:,} row(s)")


def _as_classes(c: Context, label: str, others: tuple[str, ...]) -> tuple[Part, ...]:
    """Classes of names, without those that are none."""
    steps = [_labelled_rows(label, c.labels.missing.count)] if c.labels.missing.count else []
    if others:
        kept = keep("label", f"label not in {list(others)!r}", label)
        steps.append(replace(kept, why=f"leaves out {c.labels.others.count:,} row(s)"))
    return (*steps, Step("class_encode_column", (label,)))


def _field(c: Context) -> tuple[Part, ...] | None:
    """Take the number out of objects that hold one."""
    nested = nested_fields(c.table.values[str(c.source)])
    numbers = [] if nested is None else [name for name, kind in nested.fields.items() if kind == "numbers"]
    return (Step("flatten_cells", (c.label, numbers[0])),) if len(numbers) == 1 else None


# --- Labels of another kind -------------------------------------------------------------------------------------------


def _for_classes(c: Context, found: Bad) -> Mend:
    """Triplets of natural language inference, or a loss for classes."""
    triplets = [(_nli_triplets(c), *lines) for lines in other_loss(c, "triplet", "none")] if _nli_ends(c) else []
    return [*triplets, *other_loss(c, c.shape, "class")]


@rule("label-classes", "read label", "error", Stage.LOSS, _for_classes)
@says("{label!r} holds {classes} classes, which do not say how similar texts are, but {loss} takes {c.wanted}")
def label_classes(c: Context) -> Bad | None:
    """Classes, where the loss takes numbers that say how similar texts are; not what may be grades as well."""
    if c.label_kinds & {"class", "any", "none"}:
        return None
    if c.labels.written is not None:
        return bad(classes=len(c.labels.names)) if c.labels.written.kind == "classes" else None
    is_grade = any(kind in ("similarity", "scores") for _, kind in c.format.alternatives) and not are_premises(c.inputs)
    if c.format.label != "class" or c.format.certainty == "unclear" or is_grade:
        return None
    return bad(severity="error" if c.format.certainty == "certain" else "warning", classes=c.format.classes)


def _one_of_list(c: Context, found: Bad) -> Mend:
    """The mean of raters, the likeliest class, or a loss for lists."""
    if c.format.label == "class probabilities" and "class" in c.label_kinds:
        return replace(change("labels", "labels.index(max(labels))", str(c.label)), why="the likeliest class")
    mean = Step("labels_to_float", (c.label,), (("mean", True),), "the mean of several raters")
    return [*([(mean,)] if c.may_be_raters else []), *other_loss(c, c.shape, c.format.label)]


@rule("label-is-list", "read label", "error", Stage.READ, _one_of_list)
@says("{loss} takes one label for each row, but {label!r} holds lists")
def label_is_list(c: Context) -> bool:
    """Lists of labels, where the loss takes one for each row."""
    lengths, kind = c.labels.lengths, c.labels.type
    is_list = kind in ("list", "lists") and c.labels.written is None and c.label_kinds <= SCALARS
    one_each = kind == "list" and lengths is not None and bool((lengths == 1).all())
    return is_list and not one_each and not c.becomes_pairs


@rule(
    "label-is-scalar", "read label", "error", Stage.CHANGE,
    lambda c, found: [*([(_TO_LISTS,)] if _may_be_listed(c) else []), *other_loss(c, c.shape, c.format.label)],
)  # fmt: skip
@says("{loss} takes {count} for each row ({c.wanted}), but {label!r} holds one number")
def label_is_scalar(c: Context) -> Bad | None:
    """One label for each row, where the loss takes lists."""
    is_list = c.label_kinds - {"none"} <= LISTS and c.targets != "labels"
    if not is_list or c.labels.type not in ("integer", "float", "boolean"):
        return None
    if c.are_teacher_scores and len(c.inputs) == 2:
        return None  # a score for the one document
    if c.entry.origin == OURS and c.entry.in_batch_negatives and c.labels.type != "float":
        return None  # integers are ignored there
    return bad(count=f"{len(c.inputs) - 1} labels" if len(c.inputs) > 2 else "a list of labels")


def _may_be_listed(c: Context) -> bool:
    return len(c.inputs) == 2 and bool(c.label_kinds & {"scores", "binary list"})


def _padded(c: Context, length: int | None = None) -> Step:
    size = int(np.max(c.labels.lengths)) if length is None and c.labels.lengths is not None else length
    return Step("pad_labels", (c.label, size), why="fills shorter lists up with NaN")


@rule("list-lengths", "label", "error", Stage.VALUES, lambda c, found: _padded(c))
@says("of the lists in {label!r}, of different lengths, no tensor can be made, which the trainer does all the same")
def ragged_lists(c: Context) -> bool:
    """Lists of different lengths, which the loss does not read."""
    lengths = c.labels.lengths
    if c.takes_labels or c.lists or c.entry.model_type == "CrossEncoder" or lengths is None or not len(lengths):
        return False
    inner = c.labels.inner_lengths or (0, 0)
    return bool(lengths.min() < lengths.max()) or inner[0] < inner[1]


@rule(
    "list-lengths", "read label", "error", Stage.ROWS,
    lambda c, found: keep("labels, texts", "len(labels) == len(texts)", str(c.label), c.lists[0]),
)  # fmt: skip
@says("{label!r} and {c.lists[0]!r} hold lists of different lengths in {rows}")
def labels_of_list(c: Context) -> Any:
    """A list of labels that does not go with its list of texts."""
    sizes = c.scan.texts[c.lists[0]].lengths if c.lists else None
    return None if sizes is None or c.labels.lengths is None else sizes != c.labels.lengths


@rule("list-lengths", "read label", "error", Stage.ROWS, lambda c, found: _fit_lengths(c))
@says("the lists in {label!r} must have {wanted} labels for the columns {columns}, but have {sizes}, wrong in {where}")
def list_lengths(c: Context) -> Bad | None:
    """Lists of labels of the wrong length."""
    lengths, allowed = c.labels.lengths, sorted(_allowed_lengths(c))
    if lengths is None or not allowed:
        return None
    tally, found = c.scan.tally(~np.isin(lengths, allowed) & (lengths > 0)), np.unique(lengths).tolist()
    is_mixed = len(allowed) > 1 and len(found) > 1
    if not tally.count and not is_mixed:
        return None
    where = row_numbers(tally) if tally.count else "all rows: one of them for all"
    sizes = ", ".join(map(str, found[:6])) + (", ..." if len(found) > 6 else "")
    wanted = " or ".join(map(str, allowed))
    return bad(tally if tally.count else None, wanted=wanted, columns=quoted(c.inputs), sizes=sizes, where=where)


def _allowed_lengths(c: Context) -> set[int]:
    """How many labels a row may have; empty where that is another rule's."""
    lengths, kinds, documents = c.labels.lengths, c.label_kinds, len(c.inputs) - 1
    if lengths is None or c.lists:
        return set()
    if kinds & {"embedding", "embeddings", "class probabilities"} and len(lengths):
        return ({len(c.inputs)} if c.labels.type == "lists" else {int(np.bincount(lengths).argmax())}) - {0}
    scores = {documents} if kinds & {"scores", "binary list"} and c.targets != "margins" else set()
    margins = {documents - 1, documents} if kinds & {"margins", "margin"} or c.targets == "margins" else set()
    return (scores | margins) - {0}


def _fit_lengths(c: Context) -> Mend:
    """What makes labels and columns fit: labels filled up, rows left out, columns left out; or another loss."""
    lengths, documents = c.labels.lengths, len(c.inputs) - 1
    if lengths is None:
        return None
    if c.entry.origin == OURS and lengths.min() < lengths.max() <= documents:
        return _padded(c, documents)
    fitting = [length for length in sorted(_allowed_lengths(c)) if (lengths == length).any()]
    if fitting:
        return keep("labels", f"len(labels) == {fitting[-1]}", str(c.label))
    shortest = int(lengths[lengths > 0].min()) if (lengths > 0).any() else 0
    if 2 <= shortest < documents:
        return Step("select_columns", ((*c.inputs[: shortest + 1], c.label),))
    return _one_of_list(c, Bad())


# --- Labels of another type -------------------------------------------------------------------------------------------


@rule("label-integer", "read label", "error", Stage.VALUES, _TO_FLOAT)
@says("the labels in {label!r} are {type}s, where {loss} takes floats ({floats})")
def label_integer(c: Context) -> Bad | None:
    """Integers, where the loss takes floats."""
    labels, kinds = c.labels, c.label_kinds
    is_integer = labels.type in ("integer", "boolean") or (labels.type == "list" and c.holds_integers)
    if not is_integer or labels.written is not None or label_classes(c):
        return None
    if kinds <= {"binary"} or not kinds - {"none"} <= _FLOATS | {"binary"}:
        return None
    ours = c.entry.origin == OURS and c.targets not in ("link_values", "labels")
    binary = bool(len(labels.values)) and bool(np.isin(labels.values, (0, 1)).all())
    by_name = ours and binary and "binary" in kinds and c.loss is None
    is_fine = by_name or c.entry.in_batch_negatives if ours else binary or c.entry.order_only or bool(c.lists)
    floats = " or ".join(sorted(kinds & _FLOATS))
    type_ = "integer" if labels.type == "list" else labels.type
    return None if is_fine else bad(severity=None if ours else "warning", type=type_, floats=floats)


@rule(
    "label-float", "read label", "error", Stage.VALUES,
    lambda c, found: other_loss(c, c.shape, "similarity") if found.facts["scores"] else _TO_INT,
)  # fmt: skip
@says("the labels in {label!r} are floats, where {loss} takes classes, which are integers{scores}")
def label_float(c: Context) -> Bad | None:
    """Floats, where the loss takes classes; batches of classes only compare labels with one another."""
    values = c.labels.values
    if "class" not in c.label_kinds or c.entry.class_batches or c.labels.type != "float":
        return None
    is_whole = bool(len(values)) and bool((values == np.round(values)).all())
    return bad(scores="" if is_whole else "; they look like scores")


@rule("label-boolean", "label", "error", Stage.VALUES, _TO_INT)
@says("the labels in {label!r} are booleans, with which {loss} cannot calculate")
def label_boolean(c: Context) -> bool:
    """Booleans, where the loss calculates with the labels."""
    return c.entry.name in _NO_BOOLEANS and c.labels.type == "boolean"
