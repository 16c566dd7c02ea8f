"""Are there labels, and are they of the kind that the loss takes?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selective_st.registry.catalog import OURS
from selective_st.registry.checks.context import Checked, Context, Found, quoted, row_numbers
from selective_st.registry.checks.scan import Tally
from selective_st.registry.names import NLI_VALUES, POSITIVE_VALUES, TRAINER_LABELS, are_premises, key_of
from selective_st.registry.steps import code_of

_READS_ANY_LABELS = ("ContrastiveTensionLoss", "AnglELoss")  # labels that the tables do not list are used as well
_NO_BOOLEANS = ("ContrastiveLoss", "SoftmaxLoss", "CrossEntropyLoss")


def no_label(context: Context) -> Checked:
    """No label, where the loss needs one."""
    if context.label is not None or not context.takes_labels or context.label_kinds & {"none", "any"}:
        return
    column = context.format.label_column
    if column is not None:
        rename = [step for step in context.format.steps if step.call != "select_columns"]
        mend = code_of(rename, context.variable) if rename else context.step("rename_column", column, "label")
        message = f"the label is called {column!r}, which the trainer tokenizes as a text"
    else:
        name = context.variable
        mend = f'{name} = {name}.add_column("label", labels)  # `labels`: one for each row'
        message = "there is no label"
    yield Found(
        "error",
        f"{context.entry.name} needs labels ({' or '.join(sorted(context.label_kinds))}) in a column called "
        f"{', '.join(TRAINER_LABELS[:-1])} or {TRAINER_LABELS[-1]}; {message}",
        mend,
        column,
    )


def label_unused(context: Context) -> Checked:
    """A label that the loss does not read."""
    label, name = context.label, context.entry.name
    if label is None or context.takes_labels or name in _READS_ANY_LABELS:
        return
    labels = context.labels
    values = labels.values
    positives = len(context.inputs) == 2 and labels.numbers is not None and context.format.label != "class"
    if context.entry.in_batch_negatives and positives and len(values) and values.min() < values.max():
        highest = float(values.max())
        limit = highest if len(np.unique(values)) == 2 else float(values.min() + 0.8 * (highest - values.min()))
        tally = context.scan.tally(labels.numbers < limit) if labels.numbers is not None else Tally()
        known = "label is not None and " if labels.missing.count else ""
        yield Found(
            "error",
            f"{name} ignores the labels in {label!r} and takes each row's second text for a positive, also where the "
            f"label is low: {row_numbers(tally)} have less than {limit:g}",
            context.keep("label", f"{known}label >= {limit:g}", label)
            + "\n"
            + context.step("remove_columns", (label,)),
            label,
            tally,
        )
        return
    if (
        context.entry.in_batch_negatives
        and positives
        and len(values)
        and not values.any()
        and _may_be_negative(context)
    ):
        yield Found(
            "error",
            f"{name} ignores the labels in {label!r} and takes each row's second text for a positive, but all labels "
            "are 0, as those of negatives",
            context.step("remove_columns", (label,)) + "  # only if 0 does not mean that the texts differ",
            label,
        )
        return
    if _is_no_tensor(context):
        return  # an error, of which other checks tell
    yield Found(
        "warning", f"{name} does not read the labels in {label!r}", context.step("remove_columns", (label,)), label
    )


def _may_be_negative(context: Context) -> bool:
    """Whether the label 0 may mean that texts differ: not where class 0 is a positive one, such as entailment."""
    assert context.label is not None
    names = getattr(context.table.features[context.label], "names", None) or [""]
    if names[0]:
        return key_of(names[0]) not in POSITIVE_VALUES and not NLI_VALUES & {*map(key_of, names)}
    return not are_premises(context.inputs)


def _is_no_tensor(context: Context) -> bool:
    """Whether no tensor can be made of the labels, which the trainer does even where the loss does not read them."""
    labels = context.labels
    missing = labels.nulls if labels.lengths is not None else labels.missing
    return labels.type in ("text", "other") or bool(missing.count) or _are_ragged(context)


def _are_ragged(context: Context) -> bool:
    """Whether labels are lists of different lengths, where the trainer makes one tensor of all."""
    labels = context.labels
    if context.entry.model_type == "CrossEncoder" or labels.lengths is None or not len(labels.lengths):
        return False
    inner = labels.inner_lengths or (0, 0)
    return bool(labels.lengths.min() < labels.lengths.max()) or inner[0] < inner[1]


def teacher_labels(context: Context) -> Checked:
    """Numbers beside pairs, which our in-batch losses take for a teacher's scores."""
    label = context.label
    if label is None or not context.are_teacher_scores or len(context.inputs) != 2:
        return
    yield Found(
        "warning",
        f"{context.entry.name} takes the numbers in {label!r} for a teacher's scores of each row's second text, among "
        "the other rows' as negatives; for graded pairs there is SelectivePointwiseLoss(model)",
        context.step("remove_columns", (label,)) + "  # if each row is a positive and there is no teacher",
        label,
    )


def label_text(context: Context) -> Checked:
    """Labels stored as text, or other things that are no numbers."""
    label = context.label
    if label is None or context.labels.type not in ("text", "other"):
        return
    if context.labels.missing.count == len(context.scan.rows):
        return  # there are none at all
    what = "stored as text" if context.labels.type == "text" else "no numbers"
    if context.read_label is None:
        yield Found(
            "error",
            f"the labels in {label!r} are {what}, of which no tensor can be made, which the trainer does though "
            f"{context.entry.name} does not read them",
            context.step("remove_columns", (label,)),
            label,
        )
        return
    if context.labels.type == "other":
        name = context.variable
        yield Found(
            "error",
            f"the labels in {label!r} are no numbers, of which no tensor can be made",
            f"{name} = {name}.remove_columns({label!r}).add_column({label!r}, labels)  # `labels`: numbers",
            label,
        )
        return
    column = next(column for column in context.format.columns if column.name == label)
    classes = bool(context.label_kinds & {"class"})
    if column.stored_as_text:
        whole = classes or (column.kind in ("integer", "boolean") and "binary" in context.label_kinds)
        mend = context.step("labels_to_int" if whole else "labels_to_float", label)
    else:
        mend = context.step("class_encode_column" if classes else "labels_to_float", label)
    yield Found("error", f"the labels in {label!r} are stored as text, of which no tensor can be made", mend, label)


def label_classes(context: Context) -> Checked:
    """Classes, where the loss takes numbers that say how similar texts are."""
    label = context.read_label
    if label is None or context.format.label != "class":
        return
    certainty = context.format.certainty
    if context.label_kinds & {"class", "any", "none"} or certainty == "unclear" or context.labels.type == "text":
        return
    if _is_grade(context):
        return
    names = getattr(context.table.features[label], "names", None) or []
    is_nli = {"entailment", "contradiction"} <= set(names)
    ends = ("entailment", "contradiction") if is_nli else (0, 1)
    yield Found(
        "error" if certainty == "certain" else "warning",
        f"the labels in {label!r} are {context.format.classes} classes, whose numbers say nothing of how similar texts "
        f"are, but {context.entry.name} takes {' or '.join(sorted(context.label_kinds))}",
        context.step("pairs_to_triplets", *ends),
        label,
    )


def _is_grade(context: Context) -> bool:
    """Whether labels that may be classes may also be scores."""
    return any(kind in ("similarity", "scores") for _, kind in context.format.alternatives)


def label_is_list(context: Context) -> Checked:
    """Lists of labels, where the loss takes one for each row."""
    label, scalars = context.read_label, {"class", "binary", "similarity", "margin"}
    if label is None or not context.label_kinds <= scalars:
        return
    if context.labels.type in ("list", "lists") and not _one_label_each(context):
        yield Found(
            "error",
            f"{context.entry.name} takes one label for each row, but {label!r} holds lists",
            context.change("labels", "labels[0]", label),
            label,
        )


def _one_label_each(context: Context) -> bool:
    lengths = context.labels.lengths
    return context.labels.type == "list" and lengths is not None and bool((lengths == 1).all())


def label_is_scalar(context: Context) -> Checked:
    """One label for each row, where the loss takes lists."""
    label = context.read_label
    lists = {"margins", "scores", "binary list", "embedding", "embeddings", "class probabilities"}
    if label is None or not context.label_kinds - {"none"} <= lists:
        return
    if context.labels.type not in ("integer", "float", "boolean") or context.targets == "labels":
        return
    if context.are_teacher_scores and len(context.inputs) == 2:
        return  # a score for the one document
    if context.entry.origin == OURS and context.entry.in_batch_negatives and context.labels.type != "float":
        return  # integers are ignored there
    name = context.variable
    wanted = f"{len(context.inputs) - 1} labels" if len(context.inputs) > 2 else "a list of labels"
    yield Found(
        "error",
        f"{context.entry.name} takes {wanted} for each row ({' or '.join(sorted(context.label_kinds - {'none'}))}), "
        f"but {label!r} holds one number",
        context.step("pairs_to_lists")
        if len(context.inputs) == 2
        else f"{name} = {name}.remove_columns({label!r}).add_column({label!r}, scores)  # `scores`: lists",
        label,
    )


def list_lengths(context: Context) -> Checked:
    """Lists of labels of the wrong length."""
    label = context.label
    if label is None or context.labels.lengths is None:
        return
    if context.read_label is None:
        if _are_ragged(context):
            yield Found(
                "error",
                f"the lists in {label!r} have different lengths: no tensor can be made of them, which the trainer does "
                f"though {context.entry.name} does not read them",
                context.step("remove_columns", (label,)),
                label,
            )
        return
    lengths, kinds = context.labels.lengths, context.label_kinds
    lists = [column for column in context.inputs if context.kinds[column] == "texts"]
    if lists:
        sizes = context.scan.texts[lists[0]].lengths
        if sizes is None:
            return
        name, tally = context.variable, context.scan.tally(sizes != lengths)
        if tally.count:
            yield Found(
                "error",
                f"{label!r} and {lists[0]!r} hold lists of different lengths in {row_numbers(tally)}",
                f"{name} = {name}.filter(lambda row: len(row[{label!r}]) == len(row[{lists[0]!r}]))",
                label,
                tally,
            )
        return
    documents = len(context.inputs) - 1
    allowed = set()
    if kinds & {"scores", "binary list"} and context.targets != "margins":
        allowed.add(documents)
    if kinds & {"margins", "margin"} or context.targets == "margins":
        allowed |= {documents - 1, documents}
    if kinds & {"embedding", "embeddings", "class probabilities"} and len(lengths):
        allowed = {int(np.bincount(lengths).argmax())}
        if context.labels.type == "lists":
            allowed = {len(context.inputs)}
    allowed -= {0}
    if not allowed:
        return
    tally = context.scan.tally(~np.isin(lengths, list(allowed)) & (lengths > 0))
    mixed = len(allowed) > 1 and len(np.unique(lengths)) > 1
    if not tally.count and not mixed:
        return
    sizes_found = sorted(map(int, np.unique(lengths)))
    shown = ", ".join(map(str, sizes_found[:6])) + (", ..." if len(sizes_found) > 6 else "")
    wanted = " or ".join(map(str, sorted(allowed)))
    where = row_numbers(tally) if tally.count else "all rows: one of them for all"
    pads = context.entry.origin == OURS and len(sizes_found) > 1 and sizes_found[-1] <= documents
    yield Found(
        "error",
        f"the lists in {label!r} must have {wanted} labels for the columns {quoted(context.inputs)}, but have "
        f"{shown}, wrong in {where}",
        context.change("labels", f"labels + [float('nan')] * ({documents} - len(labels))", label)
        if pads
        else _fit_lengths(context, label, lengths, allowed, documents),
        label,
        tally,
    )


def _fit_lengths(context: Context, label: str, lengths: NDArray[np.int64], allowed: set[int], documents: int) -> str:
    """The code that makes labels and columns fit: rows left out, columns left out, or labels left out."""
    fitting = [length for length in sorted(allowed) if (lengths == length).any()]
    if fitting:
        return context.keep("labels", f"len(labels) == {fitting[-1]}", label)
    shortest = int(lengths[lengths > 0].min()) if (lengths > 0).any() else 0
    if 2 <= shortest < documents:
        return context.step("select_columns", (*context.inputs[: shortest + 1], label))
    return context.change("labels", f"labels[:{documents}]", label)


def label_integer(context: Context) -> Checked:
    """Integers, where the loss takes floats."""
    label = context.read_label
    floats = {"similarity", "margin", "margins", "scores", "embedding", "embeddings"}
    if label is None or context.labels.type not in ("integer", "boolean", "list"):
        return
    if not context.label_kinds - {"none"} <= floats | {"binary"} or context.label_kinds <= {"binary"}:
        return
    is_integer = context.labels.type != "list" or context.holds_integers
    ours = context.entry.origin == OURS and context.targets not in ("link_values", "labels")
    if not is_integer or (ours and context.entry.in_batch_negatives) or (context.has_list and not ours):
        return
    values = context.labels.values
    binary = bool(len(values)) and bool(np.isin(values, (0, 1)).all())
    by_name = ours and binary and "binary" in context.label_kinds and context.loss is None
    if by_name or (binary and not ours) or (not ours and context.entry.order_only):
        return
    yield Found(
        "error" if ours else "warning",
        f"the labels in {label!r} are {context.labels.type if context.labels.type != 'list' else 'integer'}s, where "
        f"{context.entry.name} takes floats ({' or '.join(sorted(context.label_kinds & floats))})",
        context.step("labels_to_float", label),
        label,
    )


def label_float(context: Context) -> Checked:
    """Floats, where the loss takes classes."""
    label = context.read_label
    if label is None or "class" not in context.label_kinds:
        return
    if context.entry.class_batches or context.labels.type != "float":
        return  # batches of classes only compare labels with one another
    values = context.labels.values
    whole = bool(len(values)) and bool((values == np.round(values)).all())
    mend = context.step("labels_to_int", label)
    if not whole:
        mend = f"loss = CosineSimilarityLoss(model)  # for scores; {context.entry.name} is for classes"
    yield Found(
        "error",
        f"the labels in {label!r} are floats, where {context.entry.name} takes classes, which are integers"
        + ("" if whole else "; they look like scores"),
        mend,
        label,
    )


def label_boolean(context: Context) -> Checked:
    """Booleans, where the loss calculates with the labels."""
    label = context.label
    if label is None or context.entry.name not in _NO_BOOLEANS or context.labels.type != "boolean":
        return
    yield Found(
        "error",
        f"the labels in {label!r} are booleans, with which {context.entry.name} cannot calculate",
        context.step("labels_to_int", label),
        label,
    )
