"""Is this data right for that loss? What would stop the training, or make it learn something else than is meant.

Each check is a rule (`checks.engine`, `checks.rules`): it reads what is known of the data, the loss and the model
(`checks.context`), and tells what is bad, with the lines that mend it. What can be counted column by column is counted
over all rows (up to a million) in one pass of Arrow batches (`checks.scan`); the rest is looked up in the sample of
`selective_st.registry.table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selective_st.errors import literal
from selective_st.registry.catalog import ModelType, check_model_type
from selective_st.registry.checks import rules
from selective_st.registry.checks.batches import Conflicts, conflicts, false_negative_rate, matching_rows
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.engine import RULES
from selective_st.registry.checks.plan import Plan
from selective_st.registry.checks.report import CheckReport, Finding
from selective_st.registry.checks.scan import scan
from selective_st.registry.checks.subjects import UNKNOWN, subjects_of
from selective_st.registry.detection import format_of
from selective_st.registry.table import SCAN_ROWS, tables

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
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int)):
        raise TypeError(f"{owner}: batch_size must be a whole number > 0, got {batch_size!r}.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"{owner}: batch_size must be a whole number > 0, got {batch_size}.")
    if isinstance(model, (str, int, float, bytes)):
        raise TypeError(f'{owner}: model must be a model, got {model!r:.60}. Load it: SentenceTransformer("...").')
    if model_type is not None:
        model_type = check_model_type(owner, model_type)
    sampler_name = _sampler_name(owner, sampler)
    read = tables(dataset)
    subjects = subjects_of(owner, loss, read, model, model_type)
    findings: list[Finding] = []
    not_checked: list[str] = []
    formats = [format_of(table) for table in read]
    is_dataset = _is_dataset(dataset)
    for table, within, known in zip(read, subjects, formats, strict=True):
        variable = (
            "loss" if table.name is None else f"loss[{literal(table.name)}]" if isinstance(loss, Mapping) else None
        )
        contexts = [
            Context(table, known, subject, batch_size or _BATCH_SIZE, sampler_name, variable) for subject in within
        ]
        findings += Plan(contexts, is_dataset=is_dataset).run()
        prefix = "" if table.name is None else f"{table.name}: "
        not_checked += [prefix + what for context in contexts for what in (*context.not_checked, *_unchecked(context))]
    parts = [table.read() if table.name is None else f"{table.name}: {table.read()}" for table in read]
    names = dict.fromkeys(subject.name for within in subjects for subject in within)
    return CheckReport(
        tuple(findings), tuple(dict.fromkeys(not_checked)), "; ".join(parts), ", ".join(names), tuple(formats)
    )


def conflicting_rows(data: object, inputs: tuple[str, ...], label: str, *, is_ordered: bool = True) -> Conflicts | None:
    """Find rows that hold the same texts with different labels.

    Args:
        data: A single dataset, as for `check_dataset`.
        inputs: The columns of texts.
        label: The label column: numbers, or texts that say numbers or classes.
        is_ordered: Whether two texts that have changed places are another pair.

    Returns:
        What was found, with its words; None if there is no such row.

    Example:
        >>> data = {"a": ["x", "y", "x"], "b": ["p", "q", "p"], "score": [0.2, 0.5, 0.9]}
        >>> found = conflicting_rows(data, ("a", "b"), "score")
        >>> found.tally.count, found.examples
        (2, (((0, 0.2), (2, 0.9)),))
    """
    (table,) = tables(data)
    seen = scan(table, inputs, label, inputs)
    hashes = [texts.hashes for texts in seen.texts.values() if texts.hashes is not None]
    if seen.labels is None or seen.labels.numbers is None or len(hashes) < len(inputs):
        return None
    return conflicts(hashes, seen.labels.numbers, seen.rows, is_ordered=is_ordered)


def _is_dataset(data: object) -> bool:
    """Whether data are a Dataset or a stream, or a dict of these."""
    from datasets import Dataset, IterableDataset

    parts = list(data.values()) if isinstance(data, Mapping) else [data]
    return all(isinstance(part, (Dataset, IterableDataset)) for part in parts)


def _unchecked(context: Context) -> Iterator[str]:
    """What the checks could not see."""
    name, table = context.entry.name, context.table
    if not context.subject.is_known:
        yield f"what {name} needs: {UNKNOWN}; tell it with selective_st.registry.register_loss"
    elif context.entry.role == "modifier":
        yield f"the loss within {name}: give the loss itself, not its name"
    if context.format.certainty == "unclear":
        for doubt in context.format.doubts:
            yield f"what the data mean: {doubt}"
    if table.is_stream or table.has_transform:
        yield f"more than {table.read()}"
    elif table.rows is not None and table.rows > SCAN_ROWS:
        yield f"all {table.rows:,} rows: counts are of {table.scanned:,}"


def _sampler_name(owner: str, sampler: Any) -> str | None:
    """The name of a batch sampler, given as the training arguments take it."""
    if sampler is None:
        return None
    value = getattr(sampler, "value", sampler)
    if not isinstance(value, str) and not callable(value) and not hasattr(value, "__iter__"):
        raise TypeError(
            f"{owner}: sampler must be one of {', '.join(_SAMPLERS)}, or a sampler's class; got {sampler!r}. Write "
            'sampler="no_duplicates".'
        )
    if isinstance(value, str):
        if value not in _SAMPLERS:
            raise ValueError(f"{owner}: sampler must be one of {', '.join(_SAMPLERS)}; got {value!r}.")
        return value
    bases = getattr(value, "__mro__", type(value).__mro__)
    return next((_SAMPLER_CLASSES[base.__name__] for base in bases if base.__name__ in _SAMPLER_CLASSES), "other")
