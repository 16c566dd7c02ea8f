"""Do classes suit the batches, the loss and the model?"""

from __future__ import annotations

import numpy as np

from selective_st.registry.catalog import rows_of
from selective_st.registry.checks.batches import false_negative_rate
from selective_st.registry.checks.context import Checked, Context, Found, row_numbers

_ALONE = 0.5  # of the rows of a batch may lack another row of their class


def single_class(context: Context) -> Checked:
    """Classes with one row, which has no positive."""
    label = context.label
    if label is None or not context.entry.class_batches or context.labels.numbers is None:
        return
    numbers = context.labels.numbers
    classes, places, counts = np.unique(numbers[~np.isnan(numbers)], return_inverse=True, return_counts=True)
    alone = context.scan.tally(np.isin(numbers, classes[counts == 1]))
    if not alone.count:
        return
    rows = int((counts[places] > 1).sum())
    few = int((counts > 1).sum()) < 2
    name = context.variable
    yield Found(
        "error" if few else "warning",
        f"of {len(classes):,} classes in {label!r} {int((counts == 1).sum()):,} have one row, which has no positive: "
        f"{row_numbers(alone)}; {rows:,} rows are left" + (", in fewer than two classes" if few else ""),
        "from collections import Counter\n"
        f"counts = Counter({name}[{label!r}])\n"
        f"{name} = {name}.filter(lambda label: counts[label] > 1, input_columns={label!r})",
        label,
        alone,
    )


def class_batches(context: Context) -> Checked:
    """Batches in which most rows are alone in their class."""
    label = context.label
    if label is None or not context.entry.class_batches or context.labels.numbers is None:
        return
    if context.sampler == "group_by_label":
        return
    numbers = context.labels.numbers
    _, places, counts = np.unique(numbers[~np.isnan(numbers)], return_inverse=True, return_counts=True)
    others = counts[places].astype(np.int64) - 1
    if not (others > 0).any():
        return
    missing = 1 - false_negative_rate(others, context.batch_size)
    if missing > _ALONE:
        yield Found(
            "warning",
            f"{missing:.1%} of the rows of a random batch of {min(context.batch_size, len(others))} have no other row "
            "of their class in it, and so no positive",
            "from sentence_transformers.sentence_transformer.training_args import BatchSamplers\n"
            "args.batch_sampler = BatchSamplers.GROUP_BY_LABEL",
            label,
        )


def group_batch_size(context: Context) -> Checked:
    """A batch size that the sampler of classes does not take."""
    size = context.batch_size
    if context.sampler == "group_by_label" and (size < 4 or size % 2):
        yield Found(
            "error",
            f"the sampler group_by_label takes an even batch size of at least 4, got {size}",
            f"args.per_device_train_batch_size = {max(4, size + size % 2)}",
        )


def class_range(context: Context) -> Checked:
    """Classes beyond those that the loss or the model has outputs for."""
    label = context.read_label
    if label is None or "class" not in context.label_kinds:
        return
    numbers = context.labels.numbers
    if context.entry.class_batches or numbers is None or not len(context.labels.values):
        return
    values = context.labels.values
    if (values != np.round(values)).any():
        return
    negative = context.scan.tally(numbers < 0)
    if negative.count:
        yield Found(
            "error",
            f"classes are numbered from 0, but {label!r} has {values.min():g} in {row_numbers(negative)}, as rows "
            "without a class often have",
            context.keep("label", "label >= 0", label),
            label,
            negative,
        )
        return
    outputs, owner = _outputs(context)
    highest = int(values.max())
    classes = len(np.unique(values))
    names = getattr(context.table.features[label], "names", None) or []
    allowed = outputs if outputs is not None else max(classes, len(names))
    if highest < allowed:
        return
    tally = context.scan.tally(numbers >= allowed)
    if outputs is not None and highest + 1 == classes:
        # The classes are right, and the outputs too few.
        of_model = context.entry.model_type == "CrossEncoder"
        mend = f"model = CrossEncoder(name, num_labels={classes})" if of_model else f"num_labels = {classes}"
    else:
        mend = context.step("class_encode_column", label)
    yield Found(
        "error",
        f"the classes in {label!r} go up to {highest}, but {owner} numbers {allowed} classes from 0 to {allowed - 1}: "
        f"{row_numbers(tally)}",
        mend,
        label,
        tally,
    )


def _outputs(context: Context) -> tuple[int | None, str]:
    """How many classes the loss or the model knows, and which of them says so."""
    found = getattr(context.loss, "num_labels", None)
    if isinstance(found, int):
        return found, context.entry.name
    if context.entry.model_type == "CrossEncoder" and context.model is not None:
        found = getattr(context.model, "num_labels", None)
        if isinstance(found, int):
            return found, "the model"
    return None, context.entry.name


def model_outputs(context: Context) -> Checked:
    """A model with more or fewer outputs than the loss takes."""
    if context.entry.model_type != "CrossEncoder" or context.model is None:
        return
    outputs = getattr(context.model, "num_labels", None)
    wanted = {row.outputs for row in rows_of(context.entry.name, "CrossEncoder")}
    if not isinstance(outputs, int):
        return
    if wanted == {"1"} and outputs != 1:
        yield Found(
            "error",
            f"{context.entry.name} takes a model with one output label, but this one has {outputs}",
            "model = CrossEncoder(name, num_labels=1)",
        )
    elif wanted == {"num_classes"} and outputs == 1:
        classes = max(2, context.format.classes or 0)
        yield Found(
            "error",
            f"{context.entry.name} takes a model with an output label for each class, but this one has 1",
            f"model = CrossEncoder(name, num_labels={classes})",
        )
