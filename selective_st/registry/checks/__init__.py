"""Is this data right for that loss? What would stop the training, or make it learn something else than is meant.

Each check is one function, a row of the table `CHECKS`: it reads what is known of the data, the loss and the model, and
yields what it found. What can be counted column by column is counted over all rows (up to a million) in one pass of
Arrow batches; the rest is looked up in the sample of `selective_st.registry.table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from selective_st.registry.catalog import ModelType, check_model_type
from selective_st.registry.checks import classes, columns, label_values, labels, setup, teachers, texts
from selective_st.registry.checks.batches import false_negative_rate, matching_rows
from selective_st.registry.checks.context import UNKNOWN, Checked, Context, Found, subjects_of
from selective_st.registry.checks.renamed import renamed_context
from selective_st.registry.checks.report import CheckReport, Finding
from selective_st.registry.detection import format_of
from selective_st.registry.table import SCAN_ROWS, tables

__all__ = [
    "CHECKS",
    "CheckReport",
    "Finding",
    "check_dataset",
    "false_negative_rate",
    "matching_rows",
]

_BATCH_SIZE = 32  # where none is given
_SAMPLERS = ("batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label")
_SAMPLER_CLASSES = {"NoDuplicatesBatchSampler": "no_duplicates", "GroupByLabelBatchSampler": "group_by_label"}

_INPUT_CHECKS: dict[str, Callable[[Context], Checked]] = {
    "reserved-column": columns.reserved_column,
    "second-label": columns.second_label,
    "id-column": columns.id_column,
    "number-column": columns.number_column,
    "empty-column": columns.empty_column,
    "stray-column": columns.stray_column,
    "column-order": columns.column_order,
    "unnamed-negatives": columns.unnamed_negatives,
    "list-column": columns.list_column,
    "no-list-column": columns.no_list_column,
    "too-few-columns": columns.too_few_columns,
    "too-many-columns": columns.too_many_columns,
    "ignored-columns": columns.ignored_columns,
    "missing-text": texts.missing_text,
    "empty-text": texts.empty_text,
    "positive-is-negative": texts.positive_is_negative,
    "anchor-is-negative": texts.anchor_is_negative,
    "one-kind-of-pairs": texts.one_kind_of_pairs,
    "too-long": texts.too_long,
    "false-negatives": texts.false_negatives,
}
# What may speak of the label.
_LABEL_CHECKS: dict[str, Callable[[Context], Checked]] = {
    "no-label": labels.no_label,
    "label-unused": labels.label_unused,
    "teacher-labels": labels.teacher_labels,
    "label-text": labels.label_text,
    "label-classes": labels.label_classes,
    "label-is-list": labels.label_is_list,
    "label-is-scalar": labels.label_is_scalar,
    "list-lengths": labels.list_lengths,
    "missing-label": label_values.missing_label,
    "infinite-label": label_values.infinite_label,
    "label-integer": labels.label_integer,
    "label-float": labels.label_float,
    "label-boolean": labels.label_boolean,
    "label-range": label_values.label_range,
    "unreachable-label": label_values.unreachable_label,
    "label-not-binary": label_values.label_not_binary,
    "label-constant": label_values.label_constant,
    "label-tied": label_values.label_tied,
    "lists-tied": label_values.lists_tied,
    "gain-range": label_values.gain_range,
    "single-class": classes.single_class,
    "class-batches": classes.class_batches,
    "group-batch-size": classes.group_batch_size,
    "class-range": classes.class_range,
    "model-outputs": classes.model_outputs,
    "margin-range": teachers.margin_range,
    "teacher-scale": teachers.teacher_scale,
    "embedding-size": teachers.embedding_size,
    "matryoshka-labels": teachers.matryoshka_labels,
    "not-wrapped": teachers.not_wrapped,
    "lone-row": setup.lone_row,
    "short-lists": setup.short_lists,
    "loss-targets": setup.loss_targets,
    "no-autoencoder": setup.no_autoencoder,
    "classifier-size": setup.classifier_size,
}
CHECKS = _INPUT_CHECKS | _LABEL_CHECKS


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
        >>> pairs = {"text1": ["a", "b", "c"], "text2": ["d", "e", "f"], "score": [0.0, 4.5, 2.0]}
        >>> report = check_dataset(pairs, "CosineSimilarityLoss")
        >>> report.ok
        False
        >>> report.errors[0].code, report.errors[0].column, report.errors[0].count
        ('label-range', 'score', 2)
        >>> print(report.errors[0].mend)
        from selective_st.conversion import scale_labels
        dataset = scale_labels(dataset, "score", 0, 5)
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
    formats = []
    for table, within in zip(read, subjects, strict=True):
        formats.append(format_of(table))
        prefix = "" if table.name is None else f"{table.name}: "
        for subject in within:
            context = Context(table, formats[-1], subject, batch_size or _BATCH_SIZE, sampler_name)
            for code, check in CHECKS.items():
                findings += [_finding(code, found, table.name) for found in check(context)]
            findings += _of_renamed_label(context)
            not_checked += [prefix + what for what in (*context.not_checked, *_unchecked(context))]
    findings = list(dict.fromkeys(findings))  # what is wrong with the data is so for all losses that are added up
    findings.sort(key=lambda finding: finding.severity != "error")
    parts = [table.read() if table.name is None else f"{table.name}: {table.read()}" for table in read]
    names = dict.fromkeys(subject.name for within in subjects for subject in within)
    return CheckReport(
        tuple(findings), tuple(dict.fromkeys(not_checked)), "; ".join(parts), ", ".join(names), tuple(formats)
    )


def _of_renamed_label(context: Context) -> list[Finding]:
    """What is to be said of a label under another name, once it is renamed: its mending comes after that."""
    renamed = renamed_context(context)
    if renamed is None:
        return []
    after, label = renamed
    column = context.format.label_column
    found = [(code, what) for code, check in _LABEL_CHECKS.items() for what in check(after) if what.column == label]
    return [
        _finding(
            code,
            replace(what, column=column, message=f"once {column!r} is the label: {what.message}"),
            context.table.name,
        )
        for code, what in found
    ]


def _finding(code: str, found: Found, dataset: str | None) -> Finding:
    rows, count = ((), None) if found.tally is None else (found.tally.rows, found.tally.count)
    return Finding(found.severity, code, f"{found.message}.", found.column, rows, count, found.mend, dataset)


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
