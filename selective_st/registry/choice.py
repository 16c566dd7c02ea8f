"""Which loss comes first: one decision for `suggest`, its script, and `--loss auto` of `check` and `train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selective_st.registry.catalog import TRAINABLE, LabelKind, Row, Shape, Trainable
from selective_st.registry.columns import as_number
from selective_st.registry.steps import Step
from selective_st.registry.suggestion import Suggestion, Suggestions, suggest_losses

if TYPE_CHECKING:
    from selective_st.focus import Focus
    from selective_st.links import Link
    from selective_st.registry.detection import DataFormat

_POSITIVES = "(anchor, positive) pairs"
_IN_LISTS = 0.5  # of the rows, from which on labelled pairs are lists of candidates


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
    first, form = found.of(), found.format
    if (form.shape, found.model_type) != ("pair", "SentenceTransformer") or form.label not in ("binary", "similarity"):
        return first, f"it {first.why}"
    rows = zip(dataset[form.inputs[0]], dataset[str(form.label_column)], strict=True)
    labelled = [(text, label) for text, label in rows if label is not None and label == label]
    if len({label for _, label in labelled}) == 1:
        why = "every pair has the same label: they are positives"
        return _laid_out(found, "pair", "none", "pairs_to_positives", focus), why
    in_lists = _rows_in_lists(labelled)
    if in_lists < _IN_LISTS * len(labelled):
        return first, f"it {first.why}"
    ends = form.label_scale or form.label_values or (0, 1)
    right_or_wrong = form.label == "binary" or {as_number(label) for _, label in labelled} <= {*ends}
    why = f"{in_lists:,} of {len(labelled):,} rows share their first text and differ in label"
    return _laid_out(found, "n-tuple", "binary list" if right_or_wrong else "scores", "pairs_to_lists", focus), why


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
        'SelectivePointwiseLoss'
    """
    if not found or found.format.certainty == "unclear":
        return found
    chosen, why = first_choice(found, dataset, focus)
    others = [each for each in found if each is not chosen]
    if len(others) == len(found):
        chosen = replace(chosen, why=f"{chosen.why}; {why}")
    return Suggestions([chosen, *others], found.format, found.conversions, found.model_type)


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
    return _suggested(form, focus, row.model_type).of(loss)


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


def _rows_in_lists(rows: Sequence[tuple[str, Any]]) -> int:
    """How many rows share their first text with a row of another label."""
    labels: dict[str, list[Any]] = {}
    for text, label in rows:
        labels.setdefault(text, []).append(label)
    return sum(len(found) for found in labels.values() if len(set(found)) > 1)


def _laid_out(found: Suggestions, shape: Shape, label: LabelKind, call: str, focus: Any) -> Suggestion:
    """The first loss for the data in another layout."""
    every = (each.steps for each in found.conversions if each.steps and each.steps[-1].call == call)
    steps = next(every, (*found.format.steps, Step(call)))
    form = _as_read(found.format, shape, label, _POSITIVES if shape == "pair" else "", steps)
    return _suggested(form, focus, found.model_type).of()


def _as_read(form: DataFormat, shape: Shape, label: LabelKind, meaning: str, steps: tuple[Step, ...]) -> DataFormat:
    return replace(
        form, shape=shape, label=label, meaning=meaning, certainty="certain", label_column=None, doubts=(),
        alternatives=(), steps=steps,
    )  # fmt: skip


def _any_format() -> DataFormat:
    from selective_st.registry.detection import DataFormat, detect_format

    form = detect_format({"anchor": ["a cat", "a dog"], "positive": ["a kitten", "a puppy"]})
    assert isinstance(form, DataFormat)  # one dataset has one format
    return form


def _suggested(form: DataFormat, focus: Any, model_type: Any) -> Suggestions:
    found = suggest_losses(form, focus=focus, model_type=model_type)
    assert isinstance(found, Suggestions)
    return found
