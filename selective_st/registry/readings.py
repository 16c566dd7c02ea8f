"""Data that may be read in several ways: each way in words, with the steps that choose it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selective_st.registry.catalog import LabelKind, Shape
from selective_st.registry.columns import Column, are_class_names, are_whole, numbers_of, values_of
from selective_st.registry.names import TRAINER_LABELS, is_negating, is_negation, role_of, roles_of, speaks_of
from selective_st.registry.reading import Reading
from selective_st.registry.signs import signs_of
from selective_st.registry.steps import Step, code_of
from selective_st.registry.table import Table

_MOST = 3
_SHAPES: tuple[Shape, ...] = ("single", "pair", "triplet", "n-tuple")

# What the columns are called so that their names say the reading.
_INPUT_NAMES: dict[tuple[Shape, bool], tuple[str, ...]] = {
    ("single", False): ("text",),
    ("single", True): ("text",),
    ("pair", False): ("anchor", "positive"),
    ("pair", True): ("sentence1", "sentence2"),
    ("triplet", False): ("anchor", "positive", "negative"),
    ("triplet", True): ("anchor", "positive", "negative"),
}
_LABEL_NAMES: dict[LabelKind, str] = {
    "similarity": "score",
    "margin": "label",
    "class": "label",
    "binary": "label",
    "scores": "scores",
}
_WORDS: dict[tuple[Shape, LabelKind], str] = {
    ("single", "none"): "{0!r} holds texts to train on, without labels",
    ("single", "class"): "{label!r} is the class of {0!r}",
    ("pair", "none"): "{0!r} and {1!r} belong together in every row",
    ("pair", "similarity"): "{label!r} grades how well {0!r} and {1!r} belong together",
    ("pair", "binary"): "1 in {label!r} says that {0!r} and {1!r} belong together",
    ("pair", "class"): "{label!r} is a class of the pair {0!r}, {1!r}",
    ("triplet", "none"): "{1!r} belongs to {0!r}, and {2!r} does not",
    ("triplet", "scores"): "{label!r} holds a score for each text after {0!r}",
    ("n-tuple", "scores"): "{label!r} holds a score for each text after {0!r}",
    ("triplet", "margin"): "{label!r} is by how much {1!r} fits {0!r} better than {2!r}",
    ("n-tuple", "none"): "{1!r} belongs to {0!r}, and the texts after it do not",
}


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


def readings_of(table: Table, reading: Reading, columns: Sequence[Column]) -> tuple[FormatReading, ...]:
    """The ways to read data that are unclear.

    Args:
        table: The data.
        reading: What was found of them.
        columns: All columns.

    Returns:
        At most three, the likeliest first; none where the values must be changed before they can be read at all.
    """
    if reading.flattening:
        columns_named = " and ".join(repr(step.arguments[0]) for step in reading.flattening)
        words = f"the texts in the cells of {columns_named} are to be trained on"
        return (FormatReading(words, None, None, (), None, tuple(reading.flattening)),)
    found: dict[tuple[LabelKind, tuple[str, ...], str | None], FormatReading] = {}
    for shape, label, inputs, column in _candidates(table, reading, columns):
        names = tuple(given.name for given in inputs)
        key: tuple[LabelKind, tuple[str, ...], str | None] = (label, names, None if column is None else column.name)
        if key not in found and len(found) < _MOST:
            words = _words(table, shape, label, names, column)
            steps, needs = (_choosing(table, shape, label, names, column, told=told) for told in (True, False))
            named_as_texts = column is not None and any(given in reading.class_of for given in inputs)
            steps = () if reading.values_deny or named_as_texts else steps
            found[key] = FormatReading(
                words, shape, label, names, None if column is None else column.name, steps, needs
            )
    return tuple(found.values())


_Candidate = tuple[Shape, LabelKind, tuple[Column, ...], "Column | None"]


def _candidates(table: Table, reading: Reading, columns: Sequence[Column]) -> Iterator[_Candidate]:
    """The ways that come into question, the likeliest first."""
    inputs = tuple(reading.inputs)
    if not inputs or any(column.kind != "text" for column in inputs):
        return
    label = reading.label_column
    shape = _SHAPES[min(len(inputs), 4) - 1]
    for column in reading.label_rivals[: _MOST - 1]:  # the last place is for none of them
        for guess in _guess(table, column, len(inputs)):
            yield from _with(shape, guess, inputs, column)
    own: list[tuple[Shape, LabelKind | None]] = [(shape, reading.label)]
    margins: list[tuple[Shape, LabelKind | None]] = [each for each in reading.alternatives if each[1] == "margin"]
    turned = list(_turned(table, reading, shape, inputs))
    yield from turned
    for of, kind in [*own, *(each for each in reading.alternatives if each not in margins)]:
        if reading.no_label or kind is None or (kind == "none" and label is not None):
            continue
        if of == shape and not _is_denied(table, of, kind, inputs, label):
            yield from _with(of, kind, inputs, label)
        elif of == "single":
            yield from _with("single", kind, (_body(table, inputs),), label)
    if len(inputs) == 2 and reading.class_of:
        column = reading.class_of[0]
        yield from _with("single", "class", tuple(given for given in inputs if given != column), column)
    for others, guess in reading.others:
        kinds = (guess,) if label is None or guess == "none" else _guess(table, label, len(others))
        for each in kinds:
            yield from _with(_SHAPES[min(len(others), 4) - 1], each, others, label)
    is_told = bool(turned) or (label is not None and label.name in TRAINER_LABELS and not reading.without)
    if not is_told and not _is_denied(table, shape, "none", inputs, None):
        yield from _with(shape, "none", inputs, None)
    if margins:
        yield from _with(shape, "margin", inputs, label)


def _turned(table: Table, reading: Reading, shape: Shape, inputs: tuple[Column, ...]) -> Iterator[_Candidate]:
    """The ways to read a label that, by its name, says that texts do not belong together."""
    label = reading.label_column
    if not reading.no_label or label is None:
        return
    if signs_of(table, label) is not None:
        yield from _with(shape, "binary", inputs, label)
    elif shape == "pair" and _are_distances(label):
        yield from _with(shape, "similarity", inputs, label)


def _words(table: Table, shape: Shape, label: LabelKind, names: tuple[str, ...], column: Column | None) -> str:
    """A reading in words."""
    words = _WORDS[shape, label].format(*names, label=None if column is None else column.name)
    if label == "similarity" and column is not None and _are_distances(column):
        return f"{column.name!r} says how far {names[0]!r} and {names[1]!r} differ"
    signs = signs_of(table, column) if label == "binary" and column is not None else None
    if signs is None:
        return words
    yes = " and ".join(f"{value}" for value in signs.yes)
    return f"{yes}{words.removeprefix('1')}"


def _are_distances(column: Column) -> bool:
    """Whether numbers say how far texts differ: by the column's name, the more the less alike."""
    return is_negating(column.name) and column.kind in ("integer", "float")


def _is_denied(table: Table, shape: Shape, kind: LabelKind, inputs: Sequence[Column], label: Column | None) -> bool:
    """Whether a reading is none: wrong texts as positives, or 0 and 1 as classes of pairs."""
    if (shape, kind) == ("pair", "none"):
        return any(role_of(column.name) == "negative" for column in inputs)
    if label is None:
        return len(inputs) > 2 and any(column.looks not in ("text", "short") for column in inputs)
    if kind == "class" and label.kind in ("numbers", "number lists"):
        return True
    if shape != "pair":
        return False
    guess = _guess(table, label, len(inputs))
    is_word = kind == "binary" and label.kind in ("text", "class label") and "binary" not in guess
    is_sign = kind == "binary" and "similarity" in guess
    return is_word or is_sign or (kind in ("class", "similarity") and "binary" in guess)


def _body(table: Table, inputs: Sequence[Column]) -> Column:
    """Of the parts of a text the one to train on alone."""
    bodies = [column for column in inputs if speaks_of(column.name, "body")]
    return max(bodies or inputs, key=lambda column: sum(map(len, values_of(table, column.name))))


def _with(shape: Shape, kind: LabelKind, inputs: tuple[Column, ...], label: Column | None) -> Iterator[_Candidate]:
    if kind == "none":
        label = None
    elif label is None:
        return
    if (shape, kind) in _WORDS and all(column.kind == "text" for column in inputs):
        yield shape, kind, inputs, label


def _are_no_and_yes(table: Table, column: Column) -> bool:
    """Whether words, or the names of classes, are two that are read as 0 and 1."""
    if column.kind == "class label":
        names = list(table.features[column.name].names)
        return len(names) == 2 and is_negation(*names)
    return column.kind == "text" and signs_of(table, column) is not None


def _guess(table: Table, column: Column, inputs: int) -> tuple[LabelKind, ...]:
    """What a column's values would be as labels."""
    if inputs == 2 and _are_no_and_yes(table, column):
        return ("binary",)
    if column.kind in ("class label", "text") or (inputs == 1 and column.kind in ("integer", "float", "boolean", "id")):
        return ("class",)
    if column.kind in ("integer", "float", "boolean"):
        numbers: list[float] = [float(value) for value in values_of(table, column.name)]
        return ("binary",) if set(numbers) <= {0, 1} else ("similarity",)
    return ("scores",) if column.kind == "numbers" and inputs > 2 else ()


def _choosing(
    table: Table, shape: Shape, label: LabelKind, inputs: tuple[str, ...], column: Column | None, *, told: bool
) -> tuple[Step, ...]:
    """The steps after which the trainer reads the data so; if `told`, names and values say it too."""
    kept = (*inputs, *([column.name] if column is not None else []))
    steps = [] if kept == table.columns else [Step("select_columns", (kept,))]
    names = _telling(shape, label, inputs) if told else {}
    if column is not None and (column.name not in TRAINER_LABELS or (told and _LABEL_NAMES[label] == "score")):
        names[column.name] = _LABEL_NAMES[label]
    renamed = {old: new for old, new in names.items() if old != new}
    steps += [Step("rename_columns", (renamed,))] if renamed else []
    if column is not None:
        steps += _as_labels(table, label, column, names.get(column.name, column.name), told=told)
    return tuple(steps)


def _telling(shape: Shape, label: LabelKind, inputs: tuple[str, ...]) -> dict[str, str]:
    """Names for the inputs that say what they are for; none where theirs do."""
    wanted = _INPUT_NAMES.get((shape, label != "none"))
    if wanted is None:
        wanted = ("anchor", "positive", *(f"negative_{k}" for k in range(1, len(inputs) - 1)))
    own = list(roles_of(inputs).values())
    if (shape, own) == ("pair", ["anchor", "positive"]) and label != "none":
        wanted = ("query", "document")
    return dict(zip(inputs, wanted, strict=True))


def _as_labels(table: Table, label: LabelKind, column: Column, name: str, *, told: bool) -> list[Step]:
    """The steps that make values the labels that they are said to be."""
    signs = signs_of(table, column) if label == "binary" else None
    if signs is not None:
        return [signs.step(name)]
    if label == "class" and (told or column.kind == "text"):
        return [] if column.kind == "class label" else [Step("class_encode_column", (name,))]
    if column.kind == "text":
        return [Step("class_encode_column", (name,))] if are_class_names(table.values[column.name]) else []
    numbers = numbers_of(table, column)
    low, high = min(numbers), max(numbers)
    steps = [Step("labels_to_float", (name,))] if column.stored_as_text else []
    if label == "similarity" and _are_distances(column):
        ends = min(0, math.floor(low)), math.ceil(high)
        why = "" if ends == (0, 1) else "the ends of its scale are a guess: give those of yours"
        return [*steps, Step("scale_labels", (name, *ends), (("reverse", True),), why)]
    if told and label == "similarity" and are_whole(numbers) and not 0 <= low <= high <= 1:
        steps.append(Step("scale_labels", (name, min(0, math.floor(low)), math.ceil(high))))
    return steps
