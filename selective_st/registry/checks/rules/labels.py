"""Are there labels, and are they of the kind that the loss takes?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.catalog import OURS
from selective_st.registry.checks.context import Context, change, keep, quoted
from selective_st.registry.checks.engine import Bad, Mend, Part, Stage, row_numbers, rule
from selective_st.registry.checks.rules.inputs import LABEL_NAMES
from selective_st.registry.checks.rules.losses import other_loss
from selective_st.registry.names import NLI_NAMES, NLI_VALUES, POSITIVE_VALUES, key_of
from selective_st.registry.steps import Step

_READS_ANY_LABELS = ("ContrastiveTensionLoss", "AnglELoss")  # labels that the tables do not list are used as well
_NO_BOOLEANS = ("ContrastiveLoss", "SoftmaxLoss", "CrossEntropyLoss")
_SCALARS = {"class", "binary", "similarity", "margin"}
_LISTS = {"margins", "scores", "binary list", "embedding", "embeddings", "class probabilities"}
_FLOATS = {"similarity", "margin", "margins", "scores", "embedding", "embeddings"}
_SHOWN_NAMES = 6
_MOST_OTHERS = 10  # different texts that are no labels are written into the line that leaves them out
_MOST_RATERS = 20  # a longer list of labels is no one's several opinions

# --- Is there a label? ------------------------------------------------------------------------------------------------


@rule(
    "no-label",
    "data",
    "error",
    "{loss} needs labels ({kinds}) in a column called {names}; {what}",
    stage=Stage.NAME,
    mend=lambda c, bad: _named(c),
)
def no_label(context: Context) -> Bad | None:
    """No label, where the loss needs one."""
    found = context.label_column
    if context.is_named or not context.takes_labels or context.label_kinds & {"none", "any"}:
        return None
    what, column = "there is no label", None if found is None else found.source
    if found is not None and found.naming is None:
        what = f"{column!r} may be one, but by its name it says something else than that the texts belong together"
    elif found is not None:
        what = f"the label is called {column!r}, which the trainer tokenizes as a text"
        what += f"; {_written(context)}" if context.labels.written is not None else ""
    elif context.rivals:
        what = f"{quoted(context.rivals)} may each be the label: keep one of them, and call it so"
    return Bad(column=column, facts={"kinds": _kinds(context), "names": LABEL_NAMES, "what": what})


def _named(context: Context) -> Mend:
    """Lines that name the label and read it; or those to choose from; or a loss that needs none."""
    found = context.label_column
    if found is not None:
        reading = _reading(context) if found.naming is not None else None
        # A label that cannot be read is named all the same: the next check tells of it.
        return None if found.naming is None else (*found.naming, *(reading or ()))
    if context.format.readings:
        ways = [(f"If {way.words}:", *way.code("{dataset}").splitlines()) for way in context.format.readings]
        return "\n".join(["# Choose one:", *(f"# {line}" for lines in ways for line in lines)])
    if context.rivals:
        names = [Step("rename_column", (name, "label")).code("{dataset}") for name in context.rivals]
        return "\n".join(["# Choose one of these lines:", *(f"# {line}" for line in names)])
    return other_loss(context, context.shape, "none")


def _kinds(context: Context) -> str:
    return " or ".join(sorted(context.label_kinds - {"none"}))


@rule(
    "number-column",
    "data",
    "error",
    "column {column!r} is a label, but its name is none that the trainer knows, and so it is tokenized as a text",
    stage=Stage.NAME,
    mend=lambda c, bad: _named(c),
)
def unnamed_label(context: Context) -> str | None:
    """A label under a name that the trainer does not know, where the loss needs none."""
    found = context.label_column
    needed = context.takes_labels and not context.label_kinds & {"none", "any"}
    return found.source if found is not None and not context.is_named and not needed else None


# --- Labels that the loss does not read -------------------------------------------------------------------------------


@rule(
    "label-unused",
    "label",
    "error",
    "{loss} ignores the labels in {label!r} and takes each row's second text for a positive, also where the label is "
    "low: {rows} have less than {limit:g}",
    stage=Stage.CHANGE,
    mend=lambda c, bad: _positives(c, bad.facts["limit"]),
)
def low_label_unused(context: Context) -> Bad | None:
    """Low labels, which would be trained as positives."""
    values, numbers = context.labels.values, context.labels.numbers
    if not _are_taken_for_positives(context) or numbers is None or not values.min() < values.max():
        return None
    limit = float(values.max())
    if len(np.unique(values)) > 2:
        limit = float(values.min() + 0.8 * (values.max() - values.min()))
    with np.errstate(invalid="ignore"):
        return Bad(context.scan.tally(numbers < limit), facts={"limit": limit})


@rule(
    "label-unused",
    "label",
    "error",
    "{loss} ignores the labels in {label!r} and takes each row's second text for a positive, but all labels are 0, as "
    "those of negatives: there is no positive to learn from",
    stage=Stage.CHANGE,
)
def zero_label_unused(context: Context) -> bool:
    """Labels of negatives only."""
    return _are_taken_for_positives(context) and not context.labels.values.any() and _may_be_negative(context)


@rule(
    "label-unused",
    "label",
    "error",
    "{loss} ignores the labels in {label!r} and takes each row's second text for a positive, whatever its class: "
    "{rows} are of another class than {positive!r}",
    stage=Stage.CHANGE,
    mend=lambda c, bad: Step(
        "pairs_to_triplets", _nli_ends(c), why="of texts that have both; the other rows and the labels are left out"
    ),
)
def class_unused(context: Context) -> Bad | None:
    """Contradictions, which would be trained as positives."""
    ends, numbers = _nli_ends(context), context.labels.numbers
    if not ends or numbers is None or not _is_ignored(context) or len(context.inputs) != 2:
        return None
    names = context.class_names or context.labels.names
    tally = context.scan.tally(np.isfinite(numbers) & (numbers != names.index(ends[0])))
    is_wrong = context.entry.in_batch_negatives and tally.count
    return Bad(tally, facts={"positive": ends[0]}) if is_wrong else None


@rule(
    "label-unused",
    "label",
    "warning",
    "{loss} does not read the labels in {label!r}",
    stage=Stage.CHANGE,
    mend=lambda c, bad: _positives(c, float(c.labels.values.min())) if _are_taken_for_positives(c) else None,
)
def label_unused(context: Context) -> bool:
    """A label that the loss does not read."""
    others = (low_label_unused, zero_label_unused, class_unused)
    return _is_ignored(context) and not any(told(context) for told in others)


def _is_ignored(context: Context) -> bool:
    return not context.takes_labels and context.entry.name not in _READS_ANY_LABELS


def _are_taken_for_positives(context: Context) -> bool:
    """Whether pairs that have numbers are all taken for pairs that belong together."""
    known = context.labels.numbers is not None and not context.labels.are_names and len(context.labels.values) > 0
    is_graded = len(context.inputs) == 2 and context.format.label != "class"
    return _is_ignored(context) and context.entry.in_batch_negatives and known and is_graded


def _positives(context: Context, limit: float) -> Part:
    """Keep the pairs with a high label, as positives."""
    numbers = context.labels.numbers
    with np.errstate(invalid="ignore"):
        less = 0 if numbers is None else int((numbers < limit).sum())
    why = f"leaves out {less:,} row(s) with a lower label, repeated pairs, and the labels"
    return Step("pairs_to_positives", (), (("positive_from", limit),), why)


def _may_be_negative(context: Context) -> bool:
    """Whether the label 0 may mean that texts differ: not where class 0 is a positive one, such as entailment."""
    names = context.class_names
    if names:
        return key_of(names[0]) not in POSITIVE_VALUES and not NLI_VALUES & {*map(key_of, names)}
    return not NLI_NAMES & {*map(key_of, context.inputs)}


def _nli_ends(context: Context) -> tuple[str, ...]:
    """The names of the classes of natural language inference for a positive and a negative."""
    names = {key_of(name): name for name in context.class_names or context.labels.names}
    ends = tuple(names[end] for end in ("entailment", "contradiction") if end in names)
    return ends if len(ends) == 2 else ()


def _are_ragged(context: Context) -> bool:
    """Whether labels are lists of different lengths, where the trainer makes one tensor of all."""
    labels = context.labels
    if context.entry.model_type == "CrossEncoder" or labels.lengths is None or not len(labels.lengths):
        return False
    inner = labels.inner_lengths or (0, 0)
    return bool(labels.lengths.min() < labels.lengths.max()) or inner[0] < inner[1]


@rule(
    "teacher-labels",
    "label",
    "warning",
    "{loss} takes the numbers in {label!r} for a teacher's scores of each row's second text, among the other rows' as "
    "negatives; for graded pairs there is SelectivePointwiseLoss(model)",
    stage=Stage.CHANGE,
    mend=lambda c, bad: _positives(c, float(c.labels.values.max())) if c.labels.numbers is not None else None,
)
def teacher_labels(context: Context) -> bool:
    """Numbers beside pairs, which our in-batch losses take for a teacher's scores."""
    return context.are_teacher_scores and len(context.inputs) == 2


# --- Labels that are no numbers ---------------------------------------------------------------------------------------


@rule(
    "label-text",
    "label",
    "error",
    "the labels in {label!r} are {what}, of which no tensor can be made{effect}",
    stage=Stage.READ,
    mend=lambda c, bad: _reading(c),
)
def label_text(context: Context) -> Bad | None:
    """Labels stored as text, or other things that are no numbers."""
    labels = context.labels
    if (labels.written is None and labels.type != "other") or not context.is_named:
        return None
    if labels.missing.count == len(context.scan.rows):
        return None  # there are none at all
    effect = "" if context.takes_labels else f", which the trainer does though {context.entry.name} does not read them"
    what = "no numbers" if labels.written is None else f"stored as text: {_written(context)}"
    others = labels.others if labels.others.count else None
    return Bad(others, facts={"what": what, "effect": effect})


def _written(context: Context) -> str:
    """What labels that are texts say."""
    labels = context.labels
    assert labels.written is not None
    kind, names = labels.written.kind, [repr(name) for name in labels.names[: _SHOWN_NAMES + 1]]
    shown = ", ".join([*names[:_SHOWN_NAMES], *(["..."] if len(names) > _SHOWN_NAMES else [])])
    if kind == "mixed":
        return f"numbers and other things, or numbers written in several ways, such as {shown}"
    what = {"numbers": "numbers", "lists": "several numbers each", "texts": "texts"}.get(kind, shown)
    if not labels.others.count:
        return what
    others = ", ".join(map(repr, labels.written.others[:_SHOWN_NAMES]))
    return f"{what}, but {others} in {row_numbers(labels.others)}"


def _reading(context: Context) -> tuple[Part, ...] | None:
    """The steps that make numbers, or classes, of labels that are texts."""
    labels, label = context.labels, str(context.label)
    if labels.written is None:
        return _field(context)
    written, others = labels.written, labels.written.others
    wants_class, wants_binary = "class" in context.label_kinds, context.label_kinds <= {"binary", "none"}
    if len(others) > _MOST_OTHERS or written.kind == "mixed":
        return None
    without = Step("remove_empty_rows", ((label,),), why=f"leaves out the {labels.others.count:,} row(s) without one")
    if (wants_class and written.kind in ("opposites", "grades")) or labels.are_names:
        named: list[Part] = [without] if labels.missing.count else []
        if others:
            condition = f"label not in {list(others)!r}"
            named.append(_explained(keep("label", condition, label), f"leaves out {labels.others.count:,} row(s)"))
        return (*named, Step("class_encode_column", (label,)))
    mapping = {**({} if written.kind in ("numbers", "lists") else written.values), **dict.fromkeys(others)}
    options: dict[str, Any] = {}
    why = ""
    if written.kind == "grades":
        why = "in the order that the words seem to have: edit the numbers"
    whole = labels.type == "integer" and (wants_binary or wants_class)
    if whole:
        mapping = {text: None if number is None else int(number) for text, number in mapping.items()}
    if written.kind == "lists":
        options["mean"] = context.label_kinds - {"none"} <= _SCALARS
        why = "the mean of several raters" if options["mean"] else ""
    options |= {"mapping": mapping} if mapping else {}
    call = Step("labels_to_int" if whole else "labels_to_float", (label,), tuple(options.items()), why)
    return (call, *([without] if others else []))


def _explained(step: Step, why: str) -> Step:
    return Step(step.call, step.arguments, step.options, why)


def _field(context: Context) -> tuple[Part, ...] | None:
    """Take the number out of records that hold one."""
    feature = context.table.features[context.source]
    if not isinstance(feature, dict):
        return None
    numbers = [name for name, inner in feature.items() if str(getattr(inner, "dtype", "")).startswith(("int", "float"))]
    if len(numbers) != 1:
        return None
    return (change("label", f'label["{numbers[0]}"]', str(context.label)),)


# --- Labels of another kind -------------------------------------------------------------------------------------------


@rule(
    "label-classes",
    "read label",
    "error",
    "the labels in {label!r} are {classes} classes, whose numbers say nothing of how similar texts are, but {loss} "
    "takes {kinds}",
    stage=Stage.LOSS,
    mend=lambda c, bad: _for_classes(c),
)
def label_classes(context: Context) -> Bad | None:
    """Classes, where the loss takes numbers that say how similar texts are."""
    are_classes = context.format.label == "class" and context.format.certainty != "unclear"
    written = context.labels.written
    if written is not None:
        are_classes = written.kind == "classes"
    if (
        not are_classes
        or context.label_kinds & {"class", "any", "none"}
        or (written is None and _may_be_grade(context))
    ):
        return None
    is_certain = context.format.certainty == "certain" or written is not None
    classes = len(context.labels.names) if written is not None else context.format.classes
    return Bad(severity=None if is_certain else "warning", facts={"classes": classes, "kinds": _kinds(context)})


def _may_be_grade(context: Context) -> bool:
    """Whether labels that may be classes may also be scores."""
    return any(kind in ("similarity", "scores") for _, kind in context.format.alternatives)


def _for_classes(context: Context) -> Mend:
    """Triplets of natural language inference, or a loss for classes."""
    ends = _nli_ends(context)
    why = "of texts that have both; the other rows and the labels are left out"
    triplets: tuple[Part, ...] = (Step("pairs_to_triplets", ends, why=why),)
    both = [(*triplets, *lines) for lines in other_loss(context, "triplet", "none")] if ends else []
    return [*both, *other_loss(context, context.shape, "class")]


@rule(
    "label-is-list",
    "read label",
    "error",
    "{loss} takes one label for each row, but {label!r} holds lists",
    stage=Stage.READ,
    mend=lambda c, bad: _one_of_list(c),
)
def label_is_list(context: Context) -> bool:
    """Lists of labels, where the loss takes one for each row."""
    labels = context.labels
    is_list = labels.type in ("list", "lists") and labels.written is None
    return is_list and context.label_kinds <= _SCALARS and not _one_label_each(context) and not context.becomes_pairs


def _one_of_list(context: Context) -> Mend:
    """The mean of raters, the likeliest class, or a loss for lists."""
    label = str(context.label)
    if context.format.label == "class probabilities" and "class" in context.label_kinds:
        return _explained(change("labels", "labels.index(max(labels))", label), "the likeliest class")
    mean = Step("labels_to_float", (label,), (("mean", True),), "the mean of several raters")
    return [
        *([(mean,)] if _are_raters(context) else []),
        *other_loss(context, context.shape, str(context.format.label)),
    ]


def _are_raters(context: Context) -> bool:
    """Whether lists of labels may be those of several raters: not where there is a label for each document."""
    lengths = context.labels.lengths
    is_short = lengths is not None and int(lengths.max()) <= _MOST_RATERS
    known = str(context.format.label) in _LISTS
    return context.labels.type == "list" and is_short and len(context.inputs) == 2 and not known


def _one_label_each(context: Context) -> bool:
    lengths = context.labels.lengths
    return context.labels.type == "list" and lengths is not None and bool((lengths == 1).all())


@rule(
    "label-is-scalar",
    "read label",
    "error",
    "{loss} takes {wanted} for each row ({kinds}), but {label!r} holds one number",
    stage=Stage.CHANGE,
    mend=lambda c, bad: [
        *([(Step("pairs_to_lists", why="texts that have one label only are left out"),)] if _may_be_listed(c) else []),
        *other_loss(c, c.shape, str(c.format.label)),
    ],
)
def label_is_scalar(context: Context) -> Bad | None:
    """One label for each row, where the loss takes lists."""
    if not context.label_kinds - {"none"} <= _LISTS or context.targets == "labels":
        return None
    if context.labels.type not in ("integer", "float", "boolean"):
        return None
    if context.are_teacher_scores and len(context.inputs) == 2:
        return None  # a score for the one document
    if context.entry.origin == OURS and context.entry.in_batch_negatives and context.labels.type != "float":
        return None  # integers are ignored there
    wanted = f"{len(context.inputs) - 1} labels" if len(context.inputs) > 2 else "a list of labels"
    return Bad(facts={"wanted": wanted, "kinds": _kinds(context)})


def _may_be_listed(context: Context) -> bool:
    return len(context.inputs) == 2 and bool(context.label_kinds & {"scores", "binary list"})


@rule(
    "list-lengths",
    "label",
    "error",
    "the lists in {label!r} have different lengths: no tensor can be made of them, which the trainer does though "
    "{loss} does not read them",
    stage=Stage.VALUES,
    mend=lambda c, bad: _padded(c, bad.facts["length"]),
)
def ragged_lists(context: Context) -> Bad | None:
    """Lists of different lengths, which the loss does not read."""
    lengths = context.labels.lengths
    is_wrong = lengths is not None and not context.takes_labels and _are_ragged(context) and not context.lists
    return Bad(facts={"length": int(lengths.max())}) if is_wrong and lengths is not None else None


def _padded(context: Context, length: int) -> Part:
    return Step("pad_labels", (context.label, length), why="fills shorter lists up with NaN")


@rule(
    "list-lengths",
    "read label",
    "error",
    "{label!r} and {documents!r} hold lists of different lengths in {rows}",
    stage=Stage.ROWS,
    mend=lambda c, bad: keep("labels, texts", "len(labels) == len(texts)", str(c.label), c.lists[0]),
)
def labels_of_list(context: Context) -> Bad | None:
    """A list of labels that does not go with its list of texts."""
    sizes = context.scan.texts[context.lists[0]].lengths if context.lists else None
    lengths = context.labels.lengths
    if sizes is None or lengths is None:
        return None
    tally = context.scan.tally(sizes != lengths)
    return Bad(tally, facts={"documents": context.lists[0]}) if tally.count else None


@rule(
    "list-lengths",
    "read label",
    "error",
    "the lists in {label!r} must have {wanted} labels for the columns {columns}, but have {sizes}, wrong in {where}",
    stage=Stage.ROWS,
    mend=lambda c, bad: _fit_lengths(c, bad.facts["allowed"]),
)
def list_lengths(context: Context) -> Bad | None:
    """Lists of labels of the wrong length."""
    lengths, allowed = context.labels.lengths, _allowed_lengths(context)
    if lengths is None or not allowed:
        return None
    tally = context.scan.tally(~np.isin(lengths, list(allowed)) & (lengths > 0))
    mixed = len(allowed) > 1 and len(np.unique(lengths)) > 1
    if not tally.count and not mixed:
        return None
    found = sorted(map(int, np.unique(lengths)))
    facts = {
        "wanted": " or ".join(map(str, sorted(allowed))),
        "columns": quoted(context.inputs),
        "sizes": ", ".join(map(str, found[:6])) + (", ..." if len(found) > 6 else ""),
        "where": row_numbers(tally) if tally.count else "all rows: one of them for all",
        "allowed": allowed,
    }
    return Bad(tally if tally.count else None, facts=facts)


def _allowed_lengths(context: Context) -> set[int]:
    """How many labels a row may have; empty where that is another rule's."""
    lengths, kinds, documents = context.labels.lengths, context.label_kinds, len(context.inputs) - 1
    if lengths is None or context.lists:
        return set()
    if kinds & {"embedding", "embeddings", "class probabilities"} and len(lengths):
        lists = context.labels.type == "lists"
        return ({len(context.inputs)} if lists else {int(np.bincount(lengths).argmax())}) - {0}
    allowed: set[int] = set()
    if kinds & {"scores", "binary list"} and context.targets != "margins":
        allowed.add(documents)
    if kinds & {"margins", "margin"} or context.targets == "margins":
        allowed |= {documents - 1, documents}
    return allowed - {0}


def _fit_lengths(context: Context, allowed: set[int]) -> Mend:
    """What makes labels and columns fit: labels filled up, rows left out, columns left out; or another loss."""
    lengths: NDArray[np.int64] | None = context.labels.lengths
    assert lengths is not None
    label, documents, longest = str(context.label), len(context.inputs) - 1, int(lengths.max())
    if context.entry.origin == OURS and lengths.min() < longest <= documents:
        return _padded(context, documents)
    fitting = [length for length in sorted(allowed) if (lengths == length).any()]
    if fitting:
        return keep("labels", f"len(labels) == {fitting[-1]}", label)
    shortest = int(lengths[lengths > 0].min()) if (lengths > 0).any() else 0
    if 2 <= shortest < documents:
        return Step("select_columns", ((*context.inputs[: shortest + 1], label),))
    mean = Step("labels_to_float", (label,), (("mean", True),), "the mean of several raters")
    return [
        *([(mean,)] if _are_raters(context) else []),
        *other_loss(context, context.shape, str(context.format.label)),
    ]


# --- Labels of another type -------------------------------------------------------------------------------------------


@rule(
    "label-integer",
    "read label",
    "error",
    "the labels in {label!r} are {type}s, where {loss} takes floats ({kinds})",
    stage=Stage.VALUES,
    mend=lambda c, bad: Step("labels_to_float", (str(c.label),)),
)
def label_integer(context: Context) -> Bad | None:
    """Integers, where the loss takes floats."""
    labels, kinds = context.labels, context.label_kinds
    if labels.written is not None or labels.type not in ("integer", "boolean", "list"):
        return None
    if not kinds - {"none"} <= _FLOATS | {"binary"} or kinds <= {"binary"} or label_classes(context):
        return None
    ours = context.entry.origin == OURS and context.targets not in ("link_values", "labels")
    if labels.type == "list" and not context.holds_integers:
        return None
    if (ours and context.entry.in_batch_negatives) or (context.lists and not ours):
        return None
    binary = bool(len(labels.values)) and bool(np.isin(labels.values, (0, 1)).all())
    by_name = ours and binary and "binary" in kinds and context.loss is None
    if by_name or (binary and not ours) or (not ours and context.entry.order_only):
        return None
    facts = {"type": labels.type if labels.type != "list" else "integer", "kinds": " or ".join(sorted(kinds & _FLOATS))}
    return Bad(severity=None if ours else "warning", facts=facts)


@rule(
    "label-float",
    "read label",
    "error",
    "the labels in {label!r} are floats, where {loss} takes classes, which are integers{scores}",
    stage=Stage.VALUES,
    mend=lambda c, bad: other_loss(c, c.shape, "similarity") if bad.facts["scores"] else Step(
        "labels_to_int", (str(c.label),)
    ),
)  # fmt: skip
def label_float(context: Context) -> Bad | None:
    """Floats, where the loss takes classes."""
    values = context.labels.values
    # Batches of classes only compare labels with one another.
    if "class" not in context.label_kinds or context.entry.class_batches or context.labels.type != "float":
        return None
    whole = bool(len(values)) and bool((values == np.round(values)).all())
    return Bad(facts={"scores": "" if whole else "; they look like scores"})


@rule(
    "label-boolean",
    "label",
    "error",
    "the labels in {label!r} are booleans, with which {loss} cannot calculate",
    stage=Stage.VALUES,
    mend=lambda c, bad: Step("labels_to_int", (str(c.label),)),
)
def label_boolean(context: Context) -> bool:
    """Booleans, where the loss calculates with the labels."""
    return context.entry.name in _NO_BOOLEANS and context.labels.type == "boolean"
