"""Which loss comes first: one decision for `suggest`, its script, and `--loss auto` of `check` and `train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from selective_st.errors import DataError
from selective_st.registry.catalog import TRAINABLE, LabelKind, ModelType, Row, Shape, Trainable
from selective_st.registry.columns import as_number
from selective_st.registry.conversions import scale_of
from selective_st.registry.detection import DataFormat, detect_format
from selective_st.registry.steps import Step
from selective_st.registry.suggestion import Suggestion, Suggestions, suggest_losses
from selective_st.registry.table import Table, tables

if TYPE_CHECKING:
    from selective_st.focus import Focus
    from selective_st.links import Link

_POSITIVES = "(anchor, positive) pairs"
_IN_LISTS = 0.5  # of the rows, from which on labelled pairs are lists of candidates
# What lays labelled pairs out, by the row that comes of it.
_CALLS: dict[tuple[Shape, LabelKind], str] = {
    ("triplet", "none"): "pairs_to_triplets",
    ("n-tuple", "scores"): "pairs_to_lists",
    ("n-tuple", "binary list"): "pairs_to_lists",
    ("pair", "none"): "pairs_to_positives",
}
_IN_BATCH, _LISTWISE, _RIGHT_OR_WRONG = (
    next(entry for entry in TRAINABLE if entry.name == name) for name in ("in-batch", "listwise", "listwise-labels")
)


def first_choice(found: Suggestions, dataset: Any, focus: str | Link | Focus | None = None) -> tuple[Suggestion, str]:
    """Decide on one of the losses that suit data.

    Args:
        found: The losses that suit them.
        dataset: The data.
        focus: Which scores matter.

    Returns:
        The loss, with the steps that lay the data out for it, and why it is chosen.

    Raises:
        DataError: If it is not clear what the data mean, or no loss suits them.

    Example:
        >>> rows = {"question": ["a"] * 2 + ["b"] * 2, "answer": ["c", "d", "e", "f"], "label": [1, 0, 0, 1]}
        >>> chosen, why = first_choice(suggest_losses(rows), rows)
        >>> chosen.loss, [step.call for step in chosen.steps], why
        ('SelectiveListwiseLoss', ['pairs_to_lists'], '4 of 4 rows share their first text and differ in label')
    """
    form = found.format
    convert = next((each for each in found.conversions if each.steps), None)
    if not found and convert is not None and form.certainty != "unclear":
        first = suggestions_for(_as_read(form, *convert.to, _POSITIVES, convert.steps), focus, found.model_type).of()
        return first, f"it takes {convert.why}"
    first = found.of()
    if not are_labelled_pairs(found):
        return first, f"it {first.why}"
    (view,) = [dataset] if isinstance(dataset, Table) else tables(dataset)
    rows = view.in_arrow(form.inputs[0], str(form.label_column))
    rows = rows.filter(pc.invert(pc.is_null(rows[1], nan_is_null=True)))
    labels = set(pc.unique(rows[1]).to_pylist())
    highest = (scale_of(form)[0] or (0, 1))[1]
    if len(labels) == 1 and _number(*labels) == highest:
        return suggestion_of(found, _IN_BATCH, focus), "every pair has the highest label: they are positives"
    in_lists = pc.sum(differing([rows[0]], rows[1])["rows"]).as_py() or 0
    if in_lists < _IN_LISTS * len(rows):
        return first, f"it {first.why}"
    ends = form.label_scale or form.label_values or (0, 1)
    right_or_wrong = form.label == "binary" or set(map(as_number, labels)) <= {*ends}
    why = f"{in_lists:,} of {len(rows):,} rows share their first text and differ in label"
    return suggestion_of(found, _RIGHT_OR_WRONG if right_or_wrong else _LISTWISE, focus), why


def suggestion_of(found: Suggestions, entry: Trainable, focus: str | Link | Focus | None = None) -> Suggestion:
    """A loss by what `selective-st train` calls it.

    Args:
        found: The losses that suit the data.
        entry: Which.
        focus: Which scores matter.

    Returns:
        The loss; for labelled pairs with the steps that lay them out for it, as `train` does.

    Raises:
        DataError: If it does not suit the data.

    Example:
        >>> pairs = {"sentence1": ["a", "a"], "sentence2": ["c", "d"], "score": [0.9, 0.25]}
        >>> from selective_st.registry.catalog import trainable
        >>> suggestion_of(suggest_losses(pairs), trainable("pairwise")).steps[-1].call
        'pairs_to_triplets'
    """
    form, call = found.format, _CALLS.get((entry.shape, entry.label))
    if call is None or not are_labelled_pairs(found):
        return found.of(entry.loss)
    every = (each.steps for each in found.conversions if each.steps and each.steps[-1].call == call)
    steps = next(every, (*form.steps, Step(call)))
    laid_out = _as_read(form, entry.shape, entry.label, _POSITIVES, steps)
    return suggestions_for(laid_out, focus, found.model_type).of(entry.loss)


def are_labelled_pairs(found: Suggestions) -> bool:
    """Whether data are what `selective-st train` takes: two texts, and a label that grades them or says yes or no."""
    kinds = ("binary", "similarity")
    return found.model_type == "SentenceTransformer" and found.format.shape == "pair" and found.format.label in kinds


def with_choice(found: Suggestions, dataset: Any, focus: str | Link | Focus | None = None) -> Suggestions:
    """Put the loss that is chosen before the others.

    Args:
        found: The losses that suit the data.
        dataset: The data.
        focus: Which scores matter.

    Returns:
        The losses, the chosen one first; as they are where it is not clear what the data mean.

    Example:
        >>> pairs = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.9, 0.25]}
        >>> with_choice(suggest_losses(pairs), pairs)[0].loss
        'SelectiveOrderLoss'
    """
    try:
        chosen, why = first_choice(found, dataset, focus)
    except DataError:
        return found
    same = [each for each in found if (each.loss, each.steps) == (chosen.loss, chosen.steps)]
    others = [each for each in found if each not in same]
    first = same[0] if same else replace(chosen, why=f"{chosen.why}; {why}")
    return Suggestions([first, *others], found.format, found.conversions, found.model_type, found._named)


def command_of(suggestion: Suggestion) -> Trainable | None:
    """What `selective-st train` calls a loss that is suggested; None where it does not train it."""
    label = "similarity" if suggestion.row.label == "binary" else suggestion.row.label
    wanted = (suggestion.loss, suggestion.row.shape, label)
    return next((known for known in TRAINABLE if (known.loss, known.shape, known.label) == wanted), None)


def suggestion_for(loss: str, row: Row, focus: str | Link | Focus | None = None) -> Suggestion:
    """A loss of a row of the tables, for data that are as the row says.

    Args:
        loss: The name of its class.
        row: The row.
        focus: Which scores matter.

    Returns:
        The loss, as it is suggested for such data.

    Example:
        >>> from selective_st.registry.catalog import rows_of
        >>> [row] = rows_of("CosineSimilarityLoss")
        >>> suggestion_for("CosineSimilarityLoss", row).expression
        'CosineSimilarityLoss(model)'
    """
    form = _as_read(_any_format(), row.shape, row.label, row.inputs, ())
    return suggestions_for(form, focus, row.model_type).of(loss)


def format_of_pairs(labels: Sequence[float]) -> DataFormat:
    """The format of graded pairs as `selective_st.layouts.GradedPairs` has them: two texts and a score.

    Args:
        labels: Their labels.

    Returns:
        The format.
    """
    label: LabelKind = "binary" if set(labels) <= {0, 1} else "similarity"
    ends = (min(labels), max(labels))
    scale = (0.0, 1.0) if ends[0] >= 0 else (-1.0, 1.0)
    form = _as_read(_any_format(), "pair", label, "", ())
    return replace(form, inputs=("sentence1", "sentence2"), label_column="score", label_values=ends, label_scale=scale)


def _number(label: Any) -> float | None:
    return float(label) if isinstance(label, bool) else as_number(label)


def differing(texts: Sequence[pa.ChunkedArray], labels: pa.ChunkedArray) -> pa.Table:
    """Where the same texts stand with different labels.

    Args:
        texts: For each place the texts of all rows.
        labels: Their labels. Rows where something is missing do not count.

    Returns:
        For each such group of rows its texts ("0", "1", ...), how many rows it has, and which is its first.
    """
    names = [str(place) for place in range(len(texts))]
    rows = pa.array(np.arange(len(labels)))
    table = pa.table([*texts, labels, rows], [*names, "label", "row"]).drop_null()
    wanted = [("label", "count_distinct"), ("row", "count"), ("row", "min")]
    groups = table.group_by(names, use_threads=False).aggregate(wanted)
    groups = groups.filter(pc.greater(groups["label_count_distinct"], 1)).sort_by("row_min")
    return groups.select([*names, "row_count", "row_min"]).rename_columns([*names, "rows", "first"])


def _as_read(form: DataFormat, shape: Shape, label: LabelKind, pairs: str, steps: tuple[Step, ...]) -> DataFormat:
    """A format in another layout; `pairs` says which pairs are meant, where there are no labels to tell."""
    meaning = pairs if (shape, label) == ("pair", "none") else ""
    return replace(
        form, shape=shape, label=label, meaning=meaning, certainty="certain", label_column=None, doubts=(),
        alternatives=(), readings=(), steps=steps,
    )  # fmt: skip


def _any_format() -> DataFormat:
    form = detect_format({"anchor": ["a cat", "a dog"], "positive": ["a kitten", "a puppy"]})
    assert isinstance(form, DataFormat)  # one dataset has one format
    return form


def suggestions_for(
    data: Any, focus: str | Link | Focus | None = None, model_type: ModelType = "SentenceTransformer"
) -> Suggestions:
    """The losses for a single dataset.

    Args:
        data: The dataset, or its format.
        focus: Which scores matter.
        model_type: Of which models.

    Returns:
        The losses.
    """
    found = suggest_losses(data, focus=focus, model_type=model_type)
    assert isinstance(found, Suggestions)  # one dataset has one format
    return found
