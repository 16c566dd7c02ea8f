"""Are the columns those that the loss takes, in their order, and are they all texts?"""

from __future__ import annotations

import json
from dataclasses import replace

from selective_st.registry.catalog import rows_of
from selective_st.registry.checks.context import Checked, Context, Found, quoted
from selective_st.registry.names import RESERVED, TRAINER_LABELS, roles_of
from selective_st.registry.steps import Step, code_of


def reserved_column(context: Context) -> Checked:
    """A column whose name the trainer refuses."""
    for column in RESERVED:
        if column in context.table.columns:
            yield Found(
                "error",
                f"the trainer refuses a column called {column!r}",
                context.step("remove_columns", (column,)),
                column,
            )


def second_label(context: Context) -> Checked:
    """A second label, which the trainer takes for a text."""
    meant = context.format.label_column
    for column, code in context.strays.items():
        if code != "second-label":
            continue
        wrong = context.label if meant == column and context.label is not None else column
        yield Found(
            "error",
            f"the trainer takes {context.label!r} for the label, the first of {', '.join(TRAINER_LABELS)}, and "
            f"tokenizes {column!r} as a text",
            context.step("remove_columns", (wrong,)),
            column,
        )


def _stray(context: Context, column: str, what: str) -> Found:
    """An input that is none: where it comes after all that the loss reads, it does no harm yet."""
    place = context.format.trainer_inputs.index(column)
    ignored = context.entry.extra_columns == "ignored" and context.entry.max_columns is not None
    harmless = ignored and place >= (context.entry.max_columns or 0)
    effect = "the loss ignores it" if harmless else "it is tokenized and trained on as a text"
    return Found(
        "warning" if harmless else "error",
        f"column {column!r} {what}; {effect}",
        context.step("remove_columns", (column,)),
        column,
    )


def id_column(context: Context) -> Checked:
    """Ids among the inputs."""
    found = [column for column, code in context.strays.items() if code == "id-column"]
    if found and not context.inputs:
        lookups = ", ".join(f"{json.dumps(column)}: texts" for column in found)
        yield Found(
            "error",
            f"the inputs {quoted(found)} hold ids, not texts; with `texts`, a dataset of ids and texts, they are "
            "looked up",
            "from sentence_transformers.util import resolve_ids\n"
            f"{context.variable}.set_transform(resolve_ids({{{lookups}}}))",
            found[0],
        )
        return
    for column in found:
        yield _stray(context, column, "holds ids")


def number_column(context: Context) -> Checked:
    """Numbers, or other things that are no texts, among the inputs."""
    for column, code in context.strays.items():
        if code == "number-column":
            if column == context.format.label_column and context.label is None and context.takes_labels:
                continue  # it is the label under another name, and another check tells of it
            yield _stray(context, column, f"holds no texts ({context.kinds[column]})")


def empty_column(context: Context) -> Checked:
    """A column without any value among the inputs."""
    for column, code in context.strays.items():
        if code == "empty-column":
            yield _stray(context, column, "is empty in all rows")


def stray_column(context: Context) -> Checked:
    """Texts that describe a row but are no inputs."""
    for column, code in context.strays.items():
        if code == "stray-column":
            found = _stray(context, column, "looks as if it described the row")
            yield replace(found, severity="warning")


def column_order(context: Context) -> Checked:
    """Inputs in another order than their names say."""
    meant = context.format.inputs
    present = context.inputs
    if set(meant) != set(present) or meant == present:
        return
    symmetric = {"similarity", "binary"} >= context.label_kinds and context.entry.model_type != "CrossEncoder"
    if len(meant) == 2 and symmetric:
        return
    label = (context.label,) if context.label is not None else ()
    yield Found(
        "warning" if len(meant) == 2 and not context.has_list else "error",  # a list for the query crashes
        f"the loss takes the columns by their order, {quoted(present)}, but their names mean {quoted(meant)}",
        context.step("select_columns", (*meant, *label)),
        present[0],
    )


def list_column(context: Context) -> Checked:
    """Lists of texts, where the loss takes a text in each column."""
    if not context.shapes or context.shapes & {"list", "any"}:
        return
    for column in context.inputs:
        if context.kinds[column] == "texts":
            yield Found(
                "error",
                f"column {column!r} holds lists of texts, but {context.entry.name} takes a text in each column",
                context.step("split_lists", column),
                column,
            )


def no_list_column(context: Context) -> Checked:
    """No lists of texts, where the loss takes them."""
    if context.shapes == {"list"} and not context.has_list:
        calls = ["pairs_to_lists", "join_columns"] if len(context.inputs) < 3 else ["join_columns"]
        yield Found(
            "error",
            f"{context.entry.name} takes a query and a list of texts, with a list of labels, but there is no column of "
            "lists",
            "\n".join(context.step(call) for call in calls),
        )


def too_few_columns(context: Context) -> Checked:
    """Fewer inputs than the loss takes."""
    count = len(context.inputs)
    if count >= context.min_columns or (not count and "id-column" in context.strays.values()):
        return
    if context.has_list and context.entry.model_type != "CrossEncoder":
        return  # a list of texts becomes as many columns, as another check says
    if count == 1 and context.label is not None:
        mend = context.step("class_to_triplets")
    elif count == 1:
        step = Step("texts_to_pairs")
        if context.entry.name == "DenoisingAutoEncoderLoss":
            step = Step("damage_texts")
        elif context.entry.name == "ContrastiveTensionLoss":
            step = Step("texts_to_pairs", options=(("different", 1),))
        mend = code_of([step], context.variable)
    elif context.label is not None:
        mend = context.step("pairs_to_triplets")
    else:
        mend = (
            "from sentence_transformers.util import mine_hard_negatives\n"
            f"{context.variable} = mine_hard_negatives({context.variable}, model)"
        )
    yield Found(
        "error",
        f"{context.entry.name} takes {_counted(context)}, but there {'is' if count == 1 else 'are'} "
        f"{count}: {quoted(context.inputs) or 'none'}",
        mend,
    )


def _counted(context: Context) -> str:
    """How many columns a loss takes."""
    fewest, most = context.min_columns, context.entry.max_columns
    if most is None:
        return f"{fewest} or more text columns"
    return f"{fewest} text column(s)" if most == fewest else f"{fewest} to {most} text columns"


def _selected(context: Context) -> str:
    """The code that keeps what the loss reads."""
    label = (context.label,) if context.label is not None else ()
    return context.step("select_columns", (*context.read_inputs, *label))


def too_many_columns(context: Context) -> Checked:
    """More inputs than the loss takes, at which it fails."""
    extra = context.inputs[len(context.read_inputs) :]
    if extra and context.entry.extra_columns == "error":
        yield Found(
            "error",
            f"{context.entry.name} takes {_counted(context)}, but there are {len(context.inputs)}; "
            f"{quoted(extra)} would be too many",
            _selected(context),
            extra[0],
        )


def ignored_columns(context: Context) -> Checked:
    """More inputs than the loss reads."""
    extra = context.inputs[len(context.read_inputs) :]
    listed = {row.inputs for row in rows_of(context.entry.name, context.entry.model_type)}
    if context.format.meaning in listed:
        return  # such as the same text twice, of which one is enough
    if extra and context.entry.extra_columns == "ignored":
        yield Found(
            "warning",
            f"{context.entry.name} reads the first {context.entry.max_columns} text column(s) and ignores "
            f"{quoted(extra)} in silence",
            _selected(context),
            extra[0],
        )


def unnamed_negatives(context: Context) -> Checked:
    """Three or more columns whose names do not say that the second is the positive and the others are negatives."""
    inputs, meant = context.read_inputs, context.format.inputs
    if len(inputs) < 3 or context.has_list or (context.read_label is not None):
        return
    triplets = ("triplet", "n-tuple")
    of_loss = rows_of(context.entry.name, context.entry.model_type)
    if not any(row.shape in triplets and row.label == "none" for row in of_loss):
        return
    if set(meant) == set(context.inputs) and meant != context.inputs:
        return  # their names say another order, as another check tells
    roles = roles_of(inputs)
    if roles.get(inputs[1]) == "positive" or "negative" in [roles.get(column) for column in inputs[2:]]:
        return
    positive = next((column for column in inputs[2:] if roles.get(column) == "positive"), inputs[1])
    names = {column: f"negative_{k}" for k, column in enumerate(inputs[2:], 1)}
    rename = ", ".join(f"{json.dumps(old)}: {json.dumps(new)}" for old, new in {inputs[1]: "positive", **names}.items())
    yield Found(
        "warning",
        f"{context.entry.name} takes {inputs[1]!r} for the positive of {inputs[0]!r}, and {quoted(inputs[2:])} for "
        "negative(s), by their order alone: their names do not say so",
        context.step("select_columns", (inputs[0], positive))
        + f"\n# or, if they are positive and negative(s): {context.variable}.rename_columns({{{rename}}})",
        inputs[2],
    )
