"""Data that may be read in several ways: each way in words, with the steps that choose it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selective_st.catalog import SAID, LabelKind, Shape, shape_of
from selective_st.registry import names
from selective_st.registry.columns import Column, are_class_names, are_whole
from selective_st.registry.labels import signs_of
from selective_st.registry.reading import Reading
from selective_st.registry.steps import Step, code_of

_MOST = 3

# What steps mean without which the data cannot be read.
_NEEDED = {
    "flatten_cells": "the texts in the cells of {} are to be trained on",
    "labels_to_float": "the numbers in {} are the labels",
}
_LABEL_NAMES: dict[LabelKind, str] = {"similarity": "score", "scores": "scores"}  # label for others


@dataclass(frozen=True)
class FormatReading:
    """One of several ways to read data.

    Attributes:
        words: What the data would mean, for people.
        shape: The inputs; None where the steps only make the data such that they can be read.
        label: The kind of the labels; None likewise.
        inputs: The input columns, in the order in which a loss should see them.
        label_column: The label column.
        steps: What chooses this reading: after them it is not unclear any more. None where the values themselves
            speak against it, and only the name of a loss decides.
        needs: What of it the trainer needs, if the loss is named.
    """

    words: str
    shape: Shape | None
    label: LabelKind | None
    inputs: tuple[str, ...]
    label_column: str | None
    steps: tuple[Step, ...]
    needs: tuple[Step, ...] = ()

    def code(self, name: str = "dataset") -> str:
        """The steps as code.

        Args:
            name: What the dataset is called.

        Returns:
            The lines.
        """
        return code_of(self.steps, name)


def readings_of(reading: Reading) -> tuple[FormatReading, ...]:
    """The ways to read data that are unclear.

    Args:
        reading: What was found of them.

    Returns:
        At most three, the likeliest first; none where the values must be changed before they can be read at all.
    """
    if reading.needed:
        named = {call: [repr(step.arguments[0]) for step in reading.needed if step.call == call] for call in _NEEDED}
        words = " and ".join(said.format(" and ".join(named[call])) for call, said in _NEEDED.items() if named[call])
        return (FormatReading(words, None, None, (), None, tuple(reading.needed)),)
    found: dict[tuple[object, ...], FormatReading] = {}
    for label, inputs, column in _candidates(reading):
        shape, column = shape_of(inputs), None if label == "none" else column
        is_told = f"{shape}, {label}" in SAID["readings"] and (column is None) == (label == "none")
        are_texts = all(given.kind == "text" and not names.are_yes_and_no(given.known) for given in inputs)
        if label and is_told and are_texts:
            own, label_column = tuple(given.name for given in inputs), None if column is None else column.name
            words = _words(shape, label, own, column)
            steps, needs = (_choosing(reading, shape, label, own, column, told=told) for told in (True, False))
            named_as_texts = column is not None and any(given in reading.class_of for given in inputs)
            steps = () if reading.values_deny or named_as_texts else steps
            found[label, own, label_column] = FormatReading(words, shape, label, own, label_column, steps, needs)
    return tuple(found.values())[:_MOST]


def _candidates(reading: Reading) -> Iterator[tuple[LabelKind | None, tuple[Column, ...], Column | None]]:
    """The ways that come into question, the likeliest first; some cannot be put in words."""
    inputs, label = tuple(reading.inputs), reading.label_column
    if not inputs or any(column.kind != "text" for column in inputs):
        return
    shape = shape_of(inputs)
    for column in reading.label_rivals[: _MOST - 1]:  # the last place is for none of them
        yield _guess(column, len(inputs)), inputs, column
    turned: LabelKind | None = None  # what the label of two texts is that, by its name, says that they differ
    if reading.no_label and label is not None and shape == "pair":
        turned = "binary" if signs_of(label) is not None else "similarity" if _are_distances(label) else None
    yield turned, inputs, label
    own: list[tuple[Shape, LabelKind | None]] = [(shape, reading.label), *reading.alternatives]
    for of, kind in own if not reading.no_label else ():
        if kind is None or (kind == "none" and label is not None) or (kind == "margin" and reading.label != kind):
            continue
        if of == shape and not _is_denied(kind, inputs, label):
            yield kind, inputs, label
        elif of == "single":
            bodies = [column for column in inputs if "body" in column.tags]  # the part to train on alone
            yield kind, (max(bodies or inputs, key=lambda column: sum(map(len, column.known))),), label
    if len(inputs) == 2 and reading.class_of:
        yield "class", tuple(given for given in inputs if given != reading.class_of[0]), reading.class_of[0]
    for others, other in reading.others:
        yield other if label is None or other == "none" else _guess(label, len(others)), others, label
    is_told = label is not None and label.name in names.TRAINER_LABELS and not reading.without_label
    if not turned and not is_told and not _is_denied("none", inputs, None):
        yield "none", inputs, None
    if any(kind == "margin" for _, kind in reading.alternatives):
        yield "margin", inputs, label


def _words(shape: Shape, label: LabelKind, inputs: tuple[str, ...], column: Column | None) -> str:
    """A reading in words."""
    words = SAID["readings"][f"{shape}, {label}"].format(*inputs, label=None if column is None else column.name)
    if label == "similarity" and column is not None and _are_distances(column):
        return f"{column} says how far {inputs[0]!r} and {inputs[1]!r} differ"
    signs = signs_of(column) if label == "binary" and column is not None else None
    return words if signs is None else " and ".join(map(str, signs.yes)) + words.removeprefix("1")


def _are_distances(column: Column) -> bool:
    """Whether numbers say how far texts differ: by the column's name, the more the less alike."""
    return names.is_negating(column.name) and column.kind in ("integer", "float")


def _is_denied(kind: LabelKind, inputs: Sequence[Column], label: Column | None) -> bool:
    """Whether a reading is none: wrong texts as positives, or 0 and 1 as classes of pairs."""
    if kind == "none" and len(inputs) == 2:
        return any(column.role == "negative" for column in inputs)
    if label is None:
        return len(inputs) > 2 and any(column.looks not in ("text", "short") for column in inputs)
    if label.kind in ("numbers", "number lists"):
        return kind in ("class", "similarity")
    return len(inputs) == 2 and (kind == "binary") != (_guess(label, 2) == "binary")


def _guess(column: Column, inputs: int) -> LabelKind | None:
    """What a column's values would be as labels of so many inputs."""
    if column.kind in ("class label", "text"):
        is_sign = signs_of(column) is not None
        if column.classes:
            is_sign = len(column.classes) == 2 and names.is_negation(*column.classes)
        return "binary" if inputs == 2 and is_sign else "class"
    if column.kind in ("integer", "float", "boolean", "id") and inputs == 1:
        return "class"
    if column.kind in ("integer", "float", "boolean"):
        return "binary" if column.distinct <= {0, 1} else "similarity"
    return "scores" if column.kind == "numbers" and inputs > 2 else None


def _choosing(
    reading: Reading, shape: Shape, label: LabelKind, inputs: tuple[str, ...], column: Column | None, *, told: bool
) -> tuple[Step, ...]:
    """The steps after which the trainer reads the data so; if `told`, names and values say it too."""
    kept = (*inputs, *([column.name] if column is not None else []))
    steps = [] if kept == tuple(each.name for each in reading.columns) else [Step("select_columns", (kept,))]
    telling = _telling(shape, label, inputs) if told else {}
    wanted = _LABEL_NAMES.get(label, "label")
    if column is not None and (column.name not in names.TRAINER_LABELS or (told and wanted == "score")):
        telling[column.name] = wanted
    renamed = {old: new for old, new in telling.items() if old != new}
    steps += [Step("rename_columns", (renamed,))] if renamed else []
    if column is not None:
        steps += _as_labels(label, column, telling.get(column.name, column.name), told=told)
    return tuple(steps)


def _telling(shape: Shape, label: LabelKind, inputs: tuple[str, ...]) -> dict[str, str]:
    """Names for the inputs that say what they are for."""
    negatives = [f"negative_{k}" if len(inputs) > 3 else "negative" for k in range(1, len(inputs) - 1)]
    wanted = ["text"] if shape == "single" else ["anchor", "positive", *negatives]
    if shape == "pair" and label != "none":
        are_told = list(names.roles_of(inputs).values()) == ["anchor", "positive"]
        wanted = ["query", "document"] if are_told else ["sentence1", "sentence2"]
    return dict(zip(inputs, wanted, strict=True))


def _as_labels(label: LabelKind, column: Column, name: str, *, told: bool) -> list[Step]:
    """The steps that make values the labels that they are said to be."""
    signs = signs_of(column) if label == "binary" else None
    if signs is not None:
        return [signs.step(name)]
    if label == "similarity" and column.kind == "text":
        grades = dict(column.written.values)
        return [Step("labels_to_float", (name,), (("mapping", grades),), "edit the numbers")]
    is_text = column.kind in ("text", "id") and isinstance(column.known[0], str)
    if is_text or (label == "class" and told):
        is_encoded = column.kind == "class label" or (label != "class" and not are_class_names(column.cells))
        return [] if is_encoded else [Step("class_encode_column", (name,))]
    steps = [Step("labels_to_float", (name,))] if column.stored_as_text else []
    if label != "similarity":
        return steps
    low, high = column.ends
    ends = min(0, math.floor(low)), math.ceil(high)
    if _are_distances(column):
        why = "" if ends == (0, 1) else "the ends of its scale are a guess: give those of yours"
        steps.append(Step("scale_labels", (name, *ends), (("reverse", True),), why))
    elif told and are_whole(column.distinct) and not 0 <= low <= high <= 1:
        steps.append(Step("scale_labels", (name, *ends)))
    return steps
