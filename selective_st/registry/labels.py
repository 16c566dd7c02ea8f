"""What the values of a label column mean beside the inputs: a class, a grade, a margin, scores, an embedding.

Each rule is one function. It sets the kind of the labels, says why, and says what it could not tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from selective_st.registry.catalog import LabelKind, Shape
from selective_st.registry.columns import Column, are_class_names, are_whole, is_missing, numbers_of, values_of
from selective_st.registry.names import (
    TRAINER_LABELS,
    Says,
    are_premises,
    hint_of,
    is_negation,
    role_of,
    roles_of,
    speaks_of,
    stem_of,
)
from selective_st.registry.reading import Reading
from selective_st.registry.signs import signs_of
from selective_st.registry.steps import Step
from selective_st.registry.table import Table

_SCALE_ENDS = (5, 10, 100)
_LOOKED_AT = 1_000  # rows in which texts are compared, and numbers of lists read
_EMBEDDING_LENGTH = 8  # a shorter list is hardly an embedding
_PLAUSIBLE_CLASSES = 11
GRANTED = "the labels are 0 and 1; that 1 says the texts belong together is taken for granted"


def read_label(table: Table, reading: Reading, trainer_label: str | None) -> None:
    """The label of inputs that stand in columns of their own."""
    column = reading.label_column
    assert column is not None
    if column.kind == "numbers":
        _read_number_list(table, reading, column)
        _check_order(table, reading)
    elif column.kind == "number lists":
        _read_matrix(table, reading, column)
        _check_order(table, reading)
    elif column.kind == "class label":
        _read_class_names(table, reading, column)
    elif column.kind == "text":
        _read_text_label(table, reading, column)
    elif column.kind in ("integer", "float", "boolean"):
        readers: dict[Shape, Callable[[Reading, Column, list[float], bool], None]] = {
            "single": _read_single_number,
            "pair": _read_pair_number,
            "triplet": _read_triplet_number,
        }
        numbers = numbers_of(table, column)
        reading.values = (min(numbers), max(numbers))
        if reading.shape is not None and reading.shape in readers:
            readers[reading.shape](reading, column, numbers, column.name == trainer_label)
        else:
            reading.unclear(f"{len(reading.inputs)} inputs have one number, {column.name!r}: no loss takes that")
            reading.or_pairs("similarity")
        _check_order(table, reading)
        _convert(reading, column)
        _scale(reading, numbers)
    else:
        reading.unclear(f"of {column.name!r} no label can be made as it is")


def _check_order(table: Table, reading: Reading) -> None:
    """Numbers that belong to inputs one by one would not change places with them."""
    names = [column.name for column in reading.inputs]
    first = 0 if reading.label == "embeddings" else 1
    present = [name for name in table.columns if name in names[first:]]
    if reading.label in ("margin", "margins", "scores", "binary list", "embeddings") and names[first:] != present:
        reading.unclear(
            f"the names ask for the order {', '.join(names)}, but the numbers may follow the columns' present order: "
            "put both in one order"
        )


def _convert(reading: Reading, column: Column) -> None:
    """Numbers that the trainer cannot take as they are."""
    float_class = reading.label == "class" and column.kind == "float"
    if column.kind == "boolean" or float_class or (column.stored_as_text and reading.label == "class"):
        reading.label_mends.append(Step("labels_to_int", why="classes are whole numbers"))
    elif column.stored_as_text:
        reading.label_mends.append(Step("labels_to_float", why="the labels are numbers written as text"))


# --- Labels of one number ---------------------------------------------------------------------------------------------


def _read_single_number(reading: Reading, column: Column, numbers: list[float], taken: bool) -> None:
    distinct = set(numbers)
    if not are_whole(numbers):
        reading.unclear("single texts have numbers that are no classes: no loss takes that")
    elif hint_of(column.name) == "score" or (len(distinct) == len(numbers) and len(numbers) > _PLAUSIBLE_CLASSES):
        reading.unclear(f"{column.name!r} holds whole numbers for single texts: classes, or scores?", "class")
    else:
        reading.label, reading.classes = "class", len(distinct)
        reading.doubt("the classes are numbers: they are told from grades by the single text only")


def _read_pair_number(reading: Reading, column: Column, numbers: list[float], taken: bool) -> None:
    distinct, says = set(numbers), hint_of(column.name)
    if reading.label_words.keys() == {0.0, 1.0}:
        reading.because(f"another column has words for {column.name!r}: {reading.label_words}")
        _read_classes(reading, [reading.label_words[0.0], reading.label_words[1.0]])
    elif column.kind == "boolean" or distinct <= {0, 1}:
        reading.label = "binary"
        other: LabelKind = "similarity" if column.kind == "float" or says == "score" else "class"
        if len(distinct) == 1 and says != "binary":
            reading.unclear(f"all labels are {numbers[0]:g}: they could be of any kind", "class", "similarity")
            reading.label, reading.alternatives = None, []
            reading.without.append(column)
        else:
            reading.doubt(GRANTED, other)
    elif distinct <= {-1, 0, 1}:
        reading.unclear(
            "the labels are -1 and 1: map them to 0 and 1 if they are negative and positive", "binary", "class"
        )
    elif not are_whole(numbers):
        reading.label = "similarity"
        reading.because(f"{column.name!r} holds real numbers for two inputs")
        if not taken:
            reading.doubt(f"that {column.name!r} is a similarity is read off its values only")
    else:
        _read_pair_grades(reading, column, distinct, says)


def _read_pair_grades(reading: Reading, column: Column, distinct: set[float], says: Says) -> None:
    """Whole numbers beyond 0 and 1: classes or grades."""
    names = [column.name for column in reading.inputs]
    classes = int(max(distinct)) + 1 if min(distinct) >= -1 else len(distinct)
    few = column.kind == "integer" and max(distinct) <= 2 and min(distinct) >= -1 and len(distinct) > 1
    retrieval = any(role_of(name) in ("anchor", "positive") or speaks_of(name, "search") for name in names)
    if says == "class" or (few and speaks_of(column.name, "label") and (not retrieval or are_premises(names))):
        reading.label, reading.classes = "class", classes
        reading.doubt("the labels are whole numbers, which are taken for classes", "similarity")
        if -1 in distinct:
            reading.doubt("the label -1 mostly stands for rows without a class: remove them")
    elif len(distinct) > _PLAUSIBLE_CLASSES and (min(distinct) < 0 or max(distinct) > _SCALE_ENDS[-1]):
        reading.unclear(
            f"{column.name!r} holds whole numbers from {min(distinct):g} to {max(distinct):g}: votes or counts of one "
            "text, or grades of similarity?",
            "similarity",
        )
        reading.without.append(column)
    elif says == "score":
        reading.label = "similarity"
        reading.doubt("the labels are whole numbers; the column's name speaks of scores", "class")
    elif column.kind == "float" and max(distinct) > 2:
        reading.label = "similarity"
        reading.doubt("the labels are whole numbers stored as floats", "class")
    else:
        reading.unclear(
            f"{column.name!r} holds the whole numbers {', '.join(f'{x:g}' for x in sorted(distinct)[:6])}: classes, or "
            'grades of similarity? Rename it to "score" if it grades.',
            "class",
            "similarity",
        )


def _read_triplet_number(reading: Reading, column: Column, numbers: list[float], taken: bool) -> None:
    if column.kind == "boolean" or set(numbers) <= {-1, 0, 1}:
        reading.unclear("three inputs have labels of -1, 0 and 1: no margins, and no loss takes which one is better")
        reading.or_pairs("binary")
        return
    kinds = [
        role for given in reading.inputs if (role := roles_of([each.name for each in reading.inputs]).get(given.name))
    ]
    named = kinds == ["anchor", "positive", "negative"] or speaks_of(column.name, "margin")
    documents = (
        kinds == ["anchor", "positive", "positive"] and len({stem_of(x.name)[0] for x in reading.inputs[1:]}) == 1
    )
    if not named and not (documents and min(numbers) < 0):
        reading.unclear(
            "three texts have one number, and the names do not speak of a positive and a negative, or of a margin: a "
            "margin, or the similarity of two of them?",
            "margin",
        )
        reading.or_pairs("similarity")
        return
    reading.label = "margin"
    reading.because("three inputs have one number: a margin between two documents")
    doubt_odd_inputs(reading)
    if are_whole(numbers):
        reading.doubt("the margins are whole numbers")
    if not taken or hint_of(column.name) == "score":
        reading.doubt(f"{column.name!r} could also be the score of one document only")


# --- Labels of names --------------------------------------------------------------------------------------------------


def _read_class_names(table: Table, reading: Reading, column: Column) -> None:
    names: list[str] = list(table.features[column.name].names)
    numbers = numbers_of(table, column)
    reading.values = (min(numbers), max(numbers))
    if reading.shape in ("triplet", "n-tuple"):
        reading.unclear(f"{len(reading.inputs)} inputs have a class, {column.name!r}: no loss takes that")
        return
    reading.because(f"{column.name!r} is a ClassLabel: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}")
    _read_classes(reading, names)
    if -1 in numbers:
        reading.doubt("the label -1 stands for rows without a class: remove them")


def _read_classes(reading: Reading, names: Sequence[str]) -> None:
    """Named classes; of two names for pairs one may say that the texts belong together."""
    reading.label, reading.classes = "class", len(names)
    if reading.shape != "pair" or len(names) != 2:
        return
    if is_negation(*names):
        reading.label = "binary"
        reading.classes = None
        reading.doubt(f"of the classes {names[0]!r} and {names[1]!r}, the second is taken for a positive pair", "class")
        reading.scale = (0, 1)
    elif is_negation(names[1], names[0]):
        reading.doubt(f"the class {names[0]!r} is 0: for binary labels, a positive pair must be 1", "binary")
    else:
        reading.doubt("two classes could also be negative and positive pairs", "binary")


def _read_text_label(table: Table, reading: Reading, column: Column) -> None:
    values = values_of(table, column.name)
    if reading.shape in ("triplet", "n-tuple"):
        reading.unclear(f"{len(reading.inputs)} inputs have a text for a label, {column.name!r}: no loss takes that")
        return
    if not are_class_names(values):
        reading.unclear(f"the label column {column.name!r} holds texts that do not look like names of classes", "class")
        return
    names = sorted(set(values))
    reading.because(f"{column.name!r} holds the names {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}")
    signs = signs_of(table, column) if reading.shape == "pair" else None
    if signs is not None and len(names) > 1:
        reading.label, reading.scale = "binary", (0, 1)
        reading.doubt(f"{' and '.join(map(repr, signs.yes))} in {column.name!r} is taken for a positive pair", "class")
        reading.label_mends.append(replace(signs.step(""), arguments=()))
        return
    _read_classes(reading, names)
    reading.doubt("the classes are written as text")
    reading.label_mends.append(Step("class_encode_column", why="classes are numbers"))


# --- Labels that are lists --------------------------------------------------------------------------------------------


def _read_number_list(table: Table, reading: Reading, column: Column) -> None:
    found = numbers_of(table, column)
    lengths = {len(value) for value in found}
    numbers = numbers_in(found)
    if not numbers:
        reading.unclear(f"the lists in {column.name!r} hold no numbers")
        return
    reading.values = (min(numbers), max(numbers))
    if len(lengths) > 1:
        reading.unclear(
            f"the lists in {column.name!r} have {min(lengths)} to {max(lengths)} numbers: pad the inputs with empty "
            "texts and the labels with NaN, or cut them to one length"
        )
        return
    length = reading.length = lengths.pop()
    documents = len(reading.inputs) - 1
    if documents >= 2 and length == documents:
        read_scores(reading, numbers)
        _or_embedding(reading, length)
    elif documents >= 2 and length == documents - 1:
        reading.label = "margins"
        reading.because(f"{documents} documents have {length} number(s), one fewer: margins to the first")
        _or_embedding(reading, length)
        doubt_odd_inputs(reading)
    elif reading.shape == "pair" and length > 1 and all(_is_distribution(value) for value in found[:_LOOKED_AT]):
        reading.label, reading.classes, reading.scale = "class probabilities", length, (0, 1)
        reading.because(f"{column.name!r} holds numbers that sum to 1 in each row")
        if set(numbers) <= {0, 1}:
            reading.doubt("the labels are 0 and 1 only: classes, one of them in each row", "class")
        elif length == 2:
            reading.doubt("two numbers that sum to 1 could also be a score and what it lacks", "similarity")
        else:
            _or_embedding(reading, length)
    else:
        _read_embedding(reading, column, numbers, length)


def _or_embedding(reading: Reading, length: int) -> None:
    if length >= _EMBEDDING_LENGTH:
        reading.doubt("a list of that length could also be an embedding", "embedding")


def read_scores(reading: Reading, numbers: list[float]) -> None:
    """Numbers of which there is one for each document."""
    count = reading.length if reading.length is not None else "as many"
    reading.because(f"each row has {count} number(s) for its documents, one for each")
    if set(numbers) <= {0, 1}:
        reading.label = "binary list"
        reading.doubt("the scores are only 0 and 1: right and wrong documents, or grades", "scores")
    else:
        reading.label = "scores"
        if are_whole(numbers):
            reading.doubt("the scores are whole numbers: grades")
    _scale(reading, numbers)


def _read_embedding(reading: Reading, column: Column, numbers: list[float], length: int) -> None:
    named = speaks_of(column.name, "embedding")
    if are_whole(numbers) or (length < _EMBEDDING_LENGTH and not named):
        reading.unclear(
            f"{len(reading.inputs)} input(s) have lists of {length} number(s) in {column.name!r}: neither scores nor "
            "margins of the documents, nor an embedding"
        )
        return
    if column.name not in TRAINER_LABELS and reading.shape != "single":
        reading.alternatives.append((reading.shape or "pair", "none"))
        reading.unclear(f"{column.name!r} may be the teacher's embedding to learn from, or one that was only kept")
        return
    reading.label = "embedding"
    reading.because(f"{column.name!r} holds {length} real numbers in each row, which no scores of the inputs can be")
    if not named:
        reading.doubt("that the long list is an embedding is read off its length")


def _read_matrix(table: Table, reading: Reading, column: Column) -> None:
    found = numbers_of(table, column)[:_LOOKED_AT]
    counts = {len(value) for value in found}
    lengths = {len(row) if row is not None else 0 for value in found for row in value}
    if counts == {len(reading.inputs)} and len(lengths) == 1 and len(reading.inputs) > 1:
        reading.label, reading.length = "embeddings", lengths.pop()
        reading.because(f"{column.name!r} holds one list of {reading.length} numbers for each of {counts.pop()} inputs")
        return
    reading.unclear(
        f"{column.name!r} holds lists of {min(counts)} to {max(counts)} lists of numbers; per-input embeddings "
        f"would be {len(reading.inputs)}, all of one length"
    )


def _is_distribution(value: Sequence[float | None]) -> bool:
    numbers = [number for number in value if number is not None]
    return len(numbers) == len(value) and min(numbers) >= 0 and math.isclose(sum(numbers), 1, abs_tol=0.01)


def numbers_in(found: Sequence[Any]) -> list[float]:
    """All numbers of lists."""
    return [float(x) for value in found[:_LOOKED_AT] for x in value if not is_missing(x)]


def doubt_odd_inputs(reading: Reading) -> None:
    """Three and more inputs of which two are of different kinds of documents, as a title and its text."""
    stems = {stem_of(column.name)[0] for column in reading.inputs if role_of(column.name) == "positive"}
    if len(stems) > 1:
        reading.unclear(f"the inputs are named {' and '.join(sorted(stems))}: parts of one document, or several?")


# --- Scales -------------------------------------------------------------------------------------------------------


def _scale(reading: Reading, numbers: Sequence[float]) -> None:
    """The ends of the labels' scale: the smallest usual one that holds them."""
    if reading.label not in ("binary", "similarity", "scores", "binary list"):
        return
    low, high = min(numbers), max(numbers)
    if low >= -1 and high <= 1:
        reading.scale = (0, 1) if low >= 0 else (-1, 1)
        return
    end = next((end for end in _SCALE_ENDS if high <= end), None)
    # Grades of 0 to 3 have a scale of their own; real numbers seldom reach its end.
    short = end is not None and are_whole(numbers) and high < (end if end < _SCALE_ENDS[-1] else 0.8 * end)
    if low < 0 or end is None or short or high < end / 2:
        reading.doubts.append(f"the labels go from {low:g} to {high:g}, which does not tell the ends of their scale")
        return
    reading.scale = (1, end) if low == 1 and end == 5 else (0, end)
    if low > 1 and end == 5:
        reading.doubts.append("the labels' scale could also begin at 1")
