"""Is this data right for that loss? What would stop the training, or make it learn something else than is meant.

Each check is a rule (`checks.engine`, `checks.rules`): it reads what is known of the data, the loss and the model
(`checks.context`), and tells what is bad, with the lines that mend it. What can be counted column by column is counted
over all rows (up to a million) in one pass of Arrow batches (`checks.scan`); the rest is looked up in the sample of
`selective_st.registry.table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selective_st._validation import whole_number
from selective_st.catalog import ModelType, check_model_type
from selective_st.errors import literal
from selective_st.registry.checks import rules
from selective_st.registry.checks.context import UNKNOWN, Context, contexts_of
from selective_st.registry.checks.engine import RULES
from selective_st.registry.checks.plan import Plan
from selective_st.registry.checks.report import CheckReport, Finding
from selective_st.registry.checks.rules.setup import conflicting_rows, false_negative_rate, matching_rows
from selective_st.registry.detection import format_of
from selective_st.registry.table import SCAN_ROWS, Table, tables

__all__ = [
    "CHECKS",
    "CheckReport",
    "Finding",
    "check_dataset",
    "conflicting_rows",
    "false_negative_rate",
    "matching_rows",
    "rules",
]

CHECKS = tuple(dict.fromkeys(rule.code for rule in RULES))
_BATCH_SIZE = 32  # where none is given
_SAMPLERS = ("batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label")
_SAMPLER_CLASSES = {"NoDuplicatesBatchSampler": "no_duplicates", "GroupByLabelBatchSampler": "group_by_label"}


def check_dataset(
    dataset: object,
    loss: object,
    *,
    model: Any = None,
    model_type: ModelType | None = None,
    batch_size: int | None = None,
    sampler: Any = None,
) -> CheckReport:
    """Check data before training: do they suit the loss?

    Args:
        dataset: A Dataset, IterableDataset, DatasetDict or dict of datasets, a dict of columns, a list of rows (dicts),
            or a pandas DataFrame.
        loss: The name of a loss of the registry, or the loss itself, which is looked into where it wraps another; or a
            dict of these by the names of the datasets.
        model: The model, for the length of texts and the size of embeddings. Default: that of the loss.
        model_type: Which models the loss trains, where it is given by its name. Default: that of the model, or the one
            that has a loss of this name.
        batch_size: How many rows a batch has. Default: 32.
        sampler: The `batch_sampler` of the training arguments. Default: random batches.

    Returns:
        The report: what was found, with the code that mends it, and what was not checked.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no such loss, model type or sampler, or the dict of losses lacks one of the datasets.
        DataError: If there are no rows or no columns.

    Example:
        >>> from datasets import Dataset
        >>> pairs = {"text1": ["a", "b", "c"], "text2": ["d", "e", "f"], "score": [0.0, 4.5, 2.0]}
        >>> report = check_dataset(Dataset.from_dict(pairs), "CosineSimilarityLoss")
        >>> report.ok
        False
        >>> report.errors[0].code, report.errors[0].column, report.errors[0].count
        ('label-range', 'score', 2)
        >>> print(report.errors[0].mend)
        from selective_st.conversion import scale_labels
        dataset = scale_labels(dataset, "score", 0, 5)  # a guess from labels of 0 to 4.5: give the ends of your scale
    """
    owner = "check_dataset"
    if batch_size is not None:
        whole_number(owner, "batch_size", batch_size, least=1)
    if isinstance(model, (str, int, float, bytes)):
        raise TypeError(f'{owner}: model must be a model, got {model!r:.60}. Load it: SentenceTransformer("...").')
    if model_type is not None:
        model_type = check_model_type(owner, model_type)
    known: dict[str, Any] = {"batch_size": batch_size or _BATCH_SIZE, "sampler": _sampler_name(owner, sampler)}
    read = tables(dataset)
    if isinstance(loss, Mapping) and (lacking := [table.name for table in read if table.name not in loss]):
        raise ValueError(
            f"{owner}: loss is a dict for {', '.join(map(str, loss))}, but lacks {', '.join(map(repr, lacking))}. Give "
            "one for each dataset, by its name; a single dataset takes a single loss."
        )
    each: list[list[Context]] = []  # of the losses for each dataset
    for table in read:
        one, variable = loss, "loss" if table.name is None else None
        if isinstance(loss, Mapping):
            one, variable = loss[table.name], f"loss[{literal(table.name)}]"
        known |= {"table": table, "format": format_of(table), "loss_variable": variable}
        each.append(contexts_of(owner, one, model, model_type, **known))
    findings = tuple(finding for contexts in each for finding in Plan(contexts).run())
    every = [context for contexts in each for context in contexts]
    unchecked = (_of(c.table, what) for c in every for what in (*c.not_checked, *_unchecked(c)))
    return CheckReport(
        findings,
        not_checked=tuple(dict.fromkeys(unchecked)),
        read="; ".join(_of(table, table.read()) for table in read),
        loss=", ".join(dict.fromkeys(c.name for c in every)),
        formats=tuple(contexts[0].format for contexts in each),
    )


def _of(table: Table, what: str) -> str:
    return what if table.name is None else f"{table.name}: {what}"


def _unchecked(context: Context) -> Iterator[str]:
    """What the checks could not see."""
    name, table = context.entry.name, context.table
    if context.model is None:
        yield "whether texts are too long for the model: give model= (--model), or the loss itself"
    if not context.is_known:
        yield f"what {name} needs: {UNKNOWN}; tell it with selective_st.registry.register_loss"
    elif context.entry.role == "modifier":
        yield f"the loss within {name}: give the loss itself, not its name"
    if context.format.certainty == "unclear":
        yield from (f"what the data mean: {doubt}" for doubt in context.format.doubts)
    if table.is_stream or table.has_transform:
        yield f"more than {table.read()}"
    elif table.rows is not None and table.rows > SCAN_ROWS:
        yield f"all {table.rows:,} rows: counts are of {table.scanned:,}"


def _sampler_name(owner: str, sampler: Any) -> str | None:
    """The name of a batch sampler, given as the training arguments take it."""
    value = getattr(sampler, "value", sampler)
    if value is None or value in _SAMPLERS:
        return None if value is None else str(value)
    if isinstance(value, str) or not (callable(value) or hasattr(value, "__iter__")):
        raise (ValueError if isinstance(value, str) else TypeError)(
            f"{owner}: sampler must be one of {', '.join(_SAMPLERS)}, or a sampler's class; got {sampler!r}. Write "
            'sampler="no_duplicates".'
        )
    bases = [base.__name__ for base in getattr(value, "__mro__", type(value).__mro__)]
    return next((name for base, name in _SAMPLER_CLASSES.items() if base in bases), "other")
