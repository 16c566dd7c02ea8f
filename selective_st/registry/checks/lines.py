"""The lines that mend: steps that keep or change rows; another loss, or the same with other settings."""

from __future__ import annotations

from collections.abc import Callable

from selective_st import catalog
from selective_st.catalog import ANCHOR_POSITIVE, LabelKind, LossEntry, Shape, fitting_rows, loss_entry
from selective_st.errors import literal
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.engine import Found, LossLine, Mend, Part
from selective_st.registry.code import Expression, classes_in, loss_call
from selective_st.registry.steps import Code, Step

_NEEDS_TRANSFORMER = ("static embeddings", "needs a transformer")  # of caveats
TO_LISTS = Step("pairs_to_lists", why="leaves out texts that have one label only")


def keep(argument: str, condition: str, *columns: str | None, why: str = "") -> Step:
    """The step that keeps rows."""
    names = columns[0] if len(columns) == 1 else columns
    return Step("filter", (Code(f"lambda {argument}: {condition}"),), (("input_columns", names),), why)


def change(argument: str, value: str, column: str | None, why: str = "") -> Step:
    """The step that changes the values of a column."""
    return Step("map", (Code(f"lambda {argument}: {{{literal(column)}: {value}}}"),), (("input_columns", column),), why)


def other_loss(c: Context, shape: Shape, label: LabelKind | None) -> list[Part]:
    """Lines that take a loss for another format."""
    kind = c.entry.model_type
    fitting = fitting_rows(shape, label, kind, c.format.meaning or ANCHOR_POSITIVE)
    fitting = fitting or fitting_rows(shape, label, kind, ANCHOR_POSITIVE)
    ours = {one.loss: one.arguments for row in reversed(fitting) for one in row.selective}
    names = [name for row in fitting for name in (*row.recommended, *row.losses, *(one.loss for one in row.selective))]
    known = [loss_entry(name, kind) for name in names]
    chosen = next((entry for entry in known if _can_be_taken(c, entry)), None)
    if chosen is None or c.entry in known:
        return []
    return [loss_line(c, chosen, f"for labels: {label}", **dict(ours.get(chosen.name, ())))]


def _can_be_taken(c: Context, entry: LossEntry) -> bool:
    """Whether a loss needs nothing but the model, and takes this one."""
    is_static = "StaticEmbedding" in c.modules
    is_unfit = is_static and any(words in caveat for caveat in entry.caveats for words in _NEEDS_TRANSFORMER)
    return not is_unfit and not entry.deprecated and "guide" not in dict(entry.arguments)


def loss_line(c: Context, entry: LossEntry, why: str = "", **given: str) -> LossLine:
    """The lines that make a loss, with other arguments than the usual ones where they are given."""
    made = Expression(loss_call(entry, given or dict(entry.arguments)), entry.model_type)
    classes = classes_in(c.label, are_lists=c.source is not None and c.labels.is_list, dataset="{dataset}")
    setup = [] if given else [line.replace(catalog.CLASSES, classes) for line in entry.setup]
    line = LossLine("\n".join([*made.imports(), *setup, f"{{loss}} = {made}" + (f"  # {why}" if why else "")]))
    line.entry = entry
    return line


def more_outputs(c: Context, labels: int) -> str:
    """The lines that make the cross encoder, or the loss, for another number of classes."""
    if c.entry.model_type != "CrossEncoder":
        return loss_line(c, c.entry, **{**dict(c.entry.arguments), "num_labels": str(labels)})
    name = getattr(getattr(c.model, "config", None), "name_or_path", "") or catalog.DEFAULT_MODEL
    load = f"{{model}} = CrossEncoder({literal(str(name))}, num_labels={labels})  # and make the loss for it"
    return f"from sentence_transformers import CrossEncoder\n{load}"


def with_sampler(name: str) -> Callable[[Context, Found], Mend]:
    """What chooses a sampler of batches, which a stream cannot have."""
    line = (
        "from sentence_transformers.sentence_transformer.training_args import BatchSamplers\n"
        f"args.batch_sampler = BatchSamplers.{name}"
    )
    return lambda c, found: (c.table.to_dataset, line) if c.table.is_stream else line
