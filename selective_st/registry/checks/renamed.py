"""The label under another name, as it would be read after the steps that rename it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from selective_st.registry.checks.context import Context
from selective_st.registry.checks.labels import no_label
from selective_st.registry.detection import format_of
from selective_st.registry.steps import Step
from selective_st.registry.table import Table, tables

_CHEAP = ("rename_column", "select_columns")  # these touch no row


def renamed_context(context: Context) -> tuple[Context, str] | None:
    """What would be checked if the label had a name that the trainer knows.

    Args:
        context: What is known of the data.

    Returns:
        The same after the steps of the format, and the label's name there; None where the label needs no other name.
    """
    column = context.format.label_column
    if column is None or not any(True for _ in no_label(context)):
        return None
    steps = list(context.format.steps)
    renames = [step for step in steps if step.call == "rename_column" and step.arguments[0] == column]
    if not renames:
        renames = [Step("rename_column", (column, "label"))]
        steps = renames
    # Labels stored as text and the like are mended along; those steps go through rows, and get no more than the sample.
    table = _after(context.table, steps) or _after(context.table, [step for step in steps if step.call in _CHEAP])
    if table is None:
        return None
    format = format_of(table)
    if format.trainer_label is None:
        return None
    after = Context(table, format, context.subject, context.batch_size, context.sampler)
    return after, format.trainer_label


def _after(table: Table, steps: list[Step]) -> Table | None:
    """A table after steps; None where one of them fails, or changes the number of rows."""
    dataset: Any = table._dataset
    is_part = table.is_stream or table.has_transform
    if not all(step.call in _CHEAP for step in steps) and not is_part and len(dataset) > len(table.sampled):
        dataset = dataset.select(list(table.sampled))
        is_part = True
    rows = len(dataset)
    try:
        for step in steps:
            dataset = step.apply(dataset)
    except (ValueError, TypeError, KeyError, ArithmeticError):  # the step tells of it where it is run
        return None
    if len(dataset) != rows:
        return None
    found = tables(dataset)[0]
    if not is_part:
        return replace(found, name=table.name)
    return replace(
        found, name=table.name, rows=table.rows, sampled=table.sampled, is_stream=table.is_stream, has_transform=True
    )
