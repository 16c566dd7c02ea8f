"""What the values of a label column mean beside the inputs: a class, a grade, a margin, scores, an embedding.

Each rule is one function. It sets the kind of the labels, says why, and says what it could not tell.

Which of two values says that two texts belong together is told by what they mean, never by their order: the words of a
label say it themselves (`match`, `mismatch`), or are yes and no to what the column's name says: a yes to `is_duplicate`
is 1, a yes to `is_different` is 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selective_st.catalog import SAID
from selective_st.registry import names
from selective_st.registry.columns import Column, are_class_names, are_whole, but_for_few, usual_scale
from selective_st.registry.reading import Reading, said
from selective_st.registry.steps import Step
from selective_st.written import are_plain, read_written

_SHOWN = 3  # words among numbers
_LOOKED_AT = 1_000  # rows in which numbers of lists are read
_EMBEDDING_LENGTH = 8  # a shorter list is hardly an embedding
_PLAUSIBLE_CLASSES = 11
_SIGNS = ("integer", "float", "boolean", "text", "class label")
_TURNED = "by its name, it says that the texts differ"
GRANTED = "the labels are 0 and 1; that 1 says the texts belong together is taken for granted"


# --- Two values -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signs:
    """What the values of a label say.

    Attributes:
        mapping: What each is: 1 where the texts belong together, 0 where they do not, None where there is no label.
        turned: Whether that is the reverse of what they say without the column's name.
    """

    mapping: dict[Any, int | None]
    turned: bool

    @property
    def yes(self) -> tuple[Any, ...]:
        """The values that say that the texts belong together."""
        return tuple(value for value, sign in self.mapping.items() if sign == 1)

    def step(self, column: str) -> Step:
        """What makes them 0 and 1."""
        why = _TURNED if self.turned else f"1 is {' and '.join(map(str, self.yes))}"
        return Step("labels_to_int", (column,), (("mapping", self.mapping),), why)


def signs_of(column: Column, known: Iterable[Any] | None = None) -> Signs | None:
    """Read a label that says yes or no.

    Args:
        column: The label.
        known: Its values, where the column does not hold them.

    Returns:
        What its values say; None where it is not known, or where they are numbers that need no change.
    """
    if column.kind not in _SIGNS:
        return None
    values: Collection[Any] = column.classes or set(column.known if known is None else known)
    negating = names.is_negating(column.name)
    if not any(isinstance(value, str) for value in values):
        return Signs({0: 1, 1: 0}, turned=True) if negating and values and {*values} <= {0, 1} else None
    texts = sorted(map(str, values))
    written = read_written(dict.fromkeys(texts, 2))
    numbers = {text: written.values.get(text.strip()) for text in texts}
    # NA among yes and no is no label; "none" beside "agree" and "disagree" is a class.
    missing = {None} if written.kind == "opposites" and are_plain(written.values) else set()
    if written.kind not in ("opposites", "numbers") or not set(numbers.values()) - missing <= {0, 1}:
        return None
    turned = negating and not speak_for_themselves(texts)
    if written.kind == "numbers" and not turned:
        return None
    if turned and not are_plain(written.values):
        return None  # positive, correct: to the name, or of the texts?
    mapping = {text: None if number is None else int(number != turned) for text, number in numbers.items()}
    return Signs(dict(sorted(mapping.items(), key=lambda item: -(item[1] or 0))), turned)


def speak_for_themselves(values: Collection[str]) -> bool:
    """Whether words say how two texts relate, whatever their column is called."""
    return names.are_relation_values(values) or any(names.hint_of(value) == "binary" for value in values)


# --- All labels -------------------------------------------------------------------------------------------------------


def read_label(reading: Reading, column: Column) -> None:
    """The label of inputs that stand in columns of their own."""
    readers = {"numbers": _read_number_list, "number lists": _read_matrix, "text": _read_names}
    readers |= {"class label": _read_names} | dict.fromkeys(("integer", "float", "boolean"), _read_number)
    if column.kind not in readers:
        reading.unclear(f"{column} {SAID['kinds'][column.kind]}: no label can be made of it as it is")
        return
    if column.is_mark:
        reading.unclear(said("mark", column, column.known[0]))
        return
    readers[column.kind](reading, column)
    # Numbers that belong to inputs one by one would not change places with them.
    wanted = reading.input_names[reading.label != "embeddings" :]
    present = [column.name for column in reading.columns if column.name in wanted]
    if reading.label in ("margin", "margins", "scores", "binary list", "embeddings") and wanted != present:
        reading.unclear(said("another order", ", ".join(reading.input_names)))
    # Numbers that the trainer cannot take as they are.
    written = column.kind == "float" or column.stored_as_text
    if column.kind == "boolean" or (reading.label == "class" and written):
        reading.label_mends.append(Step("labels_to_int", why="classes are whole numbers"))
    elif column.stored_as_text:
        reading.label_mends.append(Step("labels_to_float", why="the labels are numbers written as text"))
    if readers[column.kind] is _read_number:
        _scale(reading, column.numbers)
        if reading.label == "similarity" and (code := _code_for_missing(column.numbers)) is not None:
            reading.unclear(said("code for missing", column, code))
            reading.needed = _numbers_only(column, {code: None})


# --- Labels of one number ---------------------------------------------------------------------------------------------


def _read_number(reading: Reading, column: Column) -> None:
    reading.label_values, count = column.ends, len(column.distinct)
    if reading.shape == "n-tuple":
        reading.unclear(f"{len(reading.inputs)} inputs have one number, {column}: no loss takes that")
        reading.or_pairs("similarity")
    elif reading.shape == "triplet":
        _read_number_of_triplet(reading, column)
    elif reading.shape == "pair":
        _read_number_of_pair(reading, column)
    elif not are_whole(column.distinct):
        reading.unclear("single texts have numbers that are no classes: no loss takes that")
    elif column.hint == "score" or _PLAUSIBLE_CLASSES < count == len(column.numbers):
        reading.unclear(f"{column} holds whole numbers for single texts: classes, or scores?", "class")
    else:
        reading.label, reading.classes = "class", count
        reading.doubt("the classes are numbers: they are told from grades by the single text only")


def _read_number_of_pair(reading: Reading, column: Column) -> None:
    if reading.label_words.keys() == {0.0, 1.0}:
        reading.because(f"another column has words for {column}: {reading.label_words}")
        _read_classes(reading, [reading.label_words[number] for number in (0.0, 1.0)])
    elif column.distinct in ({0}, {1}) and column.hint != "binary":
        reading.unclear(f"all labels are {column.ends[0]:g}: they could be of any kind")
        reading.alternatives = []
        reading.without_label = column.distinct == {1}
    elif column.distinct <= {0, 1}:
        reading.label = "binary"
        reading.doubt(GRANTED, "similarity" if column.kind == "float" or column.hint == "score" else "class")
    elif column.distinct <= {-1, 0, 1}:
        reading.unclear(said("minus one"), "binary", "class")
    elif are_whole(column.distinct):
        _read_grades_of_pair(reading, column)
    else:
        reading.label = "similarity"
        reading.because(f"{column} holds real numbers for two inputs")
        if column.name != reading.trainer_label:
            reading.doubt(f"that {column} is a similarity is read off its values only")


def _read_grades_of_pair(reading: Reading, column: Column) -> None:
    """Whole numbers beyond 0 and 1: classes or grades."""
    distinct, (low, high) = column.distinct, column.ends
    few = column.kind == "integer" and high <= 2 and low >= -1 and len(distinct) > 1
    retrieval = any(given.role in ("anchor", "positive") or "search" in given.tags for given in reading.inputs)
    inference = not retrieval or names.are_premises(reading.input_names)
    if column.hint == "class" or (few and "label" in column.tags and inference):
        reading.label, reading.classes = "class", int(high) + 1 if low >= -1 else len(distinct)
        reading.doubt("the labels are whole numbers, which are taken for classes", "similarity")
        if -1 in distinct:
            reading.doubt("the label -1 mostly stands for rows without a class: remove them")
    elif len(distinct) > _PLAUSIBLE_CLASSES and (low < 0 or high > 100):
        reading.unclear(said("votes", column, low, high), "similarity")
        reading.without_label = True
    elif column.hint == "score" or (column.kind == "float" and high > 2):
        reading.label = "similarity"
        why = "; the column's name speaks of scores" if column.hint == "score" else " stored as floats"
        reading.doubt(f"the labels are whole numbers{why}", "class")
    else:
        shown = ", ".join(f"{number:g}" for number in sorted(distinct)[:6])
        reading.unclear(said("classes or grades", column, shown), "class", "similarity")


def _read_number_of_triplet(reading: Reading, column: Column) -> None:
    if column.distinct <= {-1, 0, 1}:
        reading.unclear("three inputs have labels of -1, 0 and 1: no margins, and no loss takes which one is better")
        reading.or_pairs("binary")
        return
    stems = {names.stem_of(name)[0] for name in reading.input_names[1:]}
    named = reading.roles == ["anchor", "positive", "negative"] or "margin" in column.tags
    documents = reading.roles == ["anchor", "positive", "positive"] and len(stems) == 1 and column.ends[0] < 0
    if not named and not documents:
        reading.unclear(said("three and a number"), "margin")
        reading.or_pairs("similarity")
        return
    reading.label = "margin"
    reading.because("three inputs have one number: a margin between two documents")
    doubt_odd_inputs(reading)
    if are_whole(column.distinct) or column.name != reading.trainer_label or column.hint == "score":
        reading.doubt(f"{column} could also be the score of one document only")


# --- Labels of names --------------------------------------------------------------------------------------------------


def _read_names(reading: Reading, column: Column) -> None:
    """The names of a ClassLabel, or texts that are names."""
    is_text, is_pair = column.kind == "text", reading.shape == "pair"
    if not is_text:
        reading.label_values = column.ends
    if reading.shape in ("triplet", "n-tuple"):
        reading.unclear(f"{len(reading.inputs)} inputs have one class, {column}: no loss takes that")
        return
    found = column.names
    if len(found) == 1:
        reading.unclear(f"all labels are {found[0]!r}: they tell nothing apart")
        reading.without_label = is_pair
        return
    signs = signs_of(column) if is_text and is_pair else None
    if is_text and signs is None and _are_no_classes(reading, column):
        return
    what = "holds the names" if is_text else "is a ClassLabel:"
    reading.because(f"{column} {what} {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}")
    if signs is not None:
        reading.label, reading.label_scale = "binary", (0, 1)
        reading.doubt(f"{' and '.join(map(repr, signs.yes))} in {column} is taken for a positive pair", "class")
        reading.label_mends.append(replace(signs.step(""), arguments=()))
        return
    _read_classes(reading, found)
    if is_text:
        reading.doubt("the classes are written as text")
        reading.label_mends.append(Step("class_encode_column", why="classes are numbers"))
    elif -1 in column.known:
        reading.doubt("the label -1 stands for rows without a class: remove them")


def _are_no_classes(reading: Reading, column: Column) -> bool:
    """Whether texts are other labels than names of classes, or do not tell anything; which is said."""
    written, is_pair = column.written, reading.shape == "pair"
    are_names = are_class_names(column.known)
    if written.kind == "numbers" and (is_pair or not are_names):
        others = ", ".join(map(repr, written.others[:_SHOWN]))
        but = f", but {others} too: leave out these rows" if others else ""
        reading.unclear(f"{column} holds numbers written as text{but}")
        reading.needed += _numbers_only(column, dict.fromkeys(written.others))
    elif not are_names:
        reading.unclear(f"the label column {column} holds texts that do not look like names of classes", "class")
    elif written.kind == "grades" and is_pair and len(written.values) > 2 and column.hint != "class":
        order = ", ".join(map(repr, written.values))
        reading.unclear(f"{column} holds grades, it seems, in this order: {order}; or classes", "similarity", "class")
    else:
        return False
    return True


def _numbers_only(column: Column, others: dict[Any, None]) -> list[Step]:
    """The steps that leave the numbers, without the rows that hold something else."""
    read = Step("labels_to_float", (column.name,), (("mapping", others),) if others else ())
    return [read, *([Step("remove_empty_rows", ((column.name,),))] if others else [])]


def _read_classes(reading: Reading, found: Sequence[str]) -> None:
    """Named classes; of two names for pairs one may say that the texts belong together."""
    reading.label, reading.classes = "class", len(found)
    if reading.shape != "pair" or len(found) != 2:
        return
    first, second = found
    if names.is_negation(first, second):
        reading.label, reading.classes, reading.label_scale = "binary", None, (0, 1)
        reading.doubt(f"of the classes {first!r} and {second!r}, the second is taken for a positive pair", "class")
    elif names.is_negation(second, first):
        reading.doubt(f"the class {first!r} is 0: for binary labels, a positive pair must be 1", "binary")
    else:
        reading.doubt("two classes could also be negative and positive pairs", "binary")


# --- Labels that are lists --------------------------------------------------------------------------------------------


def _read_number_list(reading: Reading, column: Column) -> None:
    lengths, documents = lengths_of(reading, column), len(reading.inputs) - 1
    if len(lengths) > 1:
        reading.unclear(said("lengths", column, min(lengths), max(lengths)))
    if len(lengths) != 1:
        return
    [length] = lengths
    if documents >= 2 and length == documents:
        read_scores(reading, column.numbers)
        _or_embedding(reading, length)
    elif documents >= 2 and length == documents - 1:
        reading.label = "margins"
        reading.because(f"{documents} documents have {length} number(s), one fewer: margins to the first")
        _or_embedding(reading, length)
        doubt_odd_inputs(reading)
    elif reading.shape == "pair" and length > 1 and all(map(_is_distribution, column.known[:_LOOKED_AT])):
        reading.label, reading.classes, reading.label_scale = "class probabilities", length, (0, 1)
        reading.because(f"{column} holds numbers that sum to 1 in each row")
        if column.distinct <= {0, 1}:
            reading.doubt("the labels are 0 and 1 only: classes, one of them in each row", "class")
        elif length == 2:
            reading.doubt("two numbers that sum to 1 could also be a score and what it lacks", "similarity")
        else:
            _or_embedding(reading, length)
    else:
        _read_embedding(reading, column, length)


def lengths_of(reading: Reading, column: Column) -> set[int]:
    """How many numbers the lists of a label hold; none where they hold none."""
    if not column.numbers:
        reading.unclear(f"the lists in {column} hold no numbers")
        return set()
    reading.label_values, lengths = column.ends, set(map(len, column.known))
    reading.label_length = min(lengths) if len(lengths) == 1 else None
    return lengths


def _or_embedding(reading: Reading, length: int) -> None:
    if length >= _EMBEDDING_LENGTH:
        reading.doubt("a list of that length could also be an embedding", "embedding")


def read_scores(reading: Reading, numbers: list[float]) -> None:
    """Numbers of which there is one for each document."""
    reading.because("each row has one number for each of its documents")
    reading.label = "binary list" if set(numbers) <= {0, 1} else "scores"
    if are_whole(numbers):
        reading.doubt("the scores are whole numbers: grades, or 1 and 0 for right and wrong documents", "scores")
    _scale(reading, numbers)


def _read_embedding(reading: Reading, column: Column, length: int) -> None:
    named = "embedding" in column.tags
    if are_whole(column.distinct) or (length < _EMBEDDING_LENGTH and not named):
        reading.unclear(said("odd lists", len(reading.inputs), length, column))
    elif column.name not in names.TRAINER_LABELS and reading.shape != "single":
        reading.alternatives.append((reading.shape or "pair", "none"))
        reading.unclear(f"{column} may be the teacher's embedding to learn from, or one that was only kept")
    else:
        reading.label = "embedding"
        reading.because(f"{column} holds {length} real numbers in each row, which no scores of the inputs can be")
        if not named:
            reading.doubt("that the long list is an embedding is read off its length")


def _read_matrix(reading: Reading, column: Column) -> None:
    found = column.known[:_LOOKED_AT]
    counts = set(map(len, found))
    lengths = {len(row or ()) for value in found for row in value}
    if counts == {len(reading.inputs)} and len(lengths) == 1 and len(reading.inputs) > 1:
        reading.label, reading.label_length = "embeddings", lengths.pop()
        reading.because(f"{column} holds one list of {reading.label_length} numbers for each of {counts.pop()} inputs")
        return
    reading.unclear(said("lists of lists", column, min(counts), max(counts), len(reading.inputs)))


def _is_distribution(value: Sequence[float | None]) -> bool:
    numbers = [number for number in value if number is not None]
    return len(numbers) == len(value) and min(numbers) >= 0 and math.isclose(sum(numbers), 1, abs_tol=0.01)


def doubt_odd_inputs(reading: Reading) -> None:
    """Three and more inputs of which two are of different kinds of documents, as a title and its text."""
    stems = {names.stem_of(column.name)[0] for column in reading.inputs if column.role == "positive"}
    if len(stems) > 1:
        reading.unclear(f"the inputs are named {' and '.join(sorted(stems))}: parts of one document, or several?")


# --- Scales -------------------------------------------------------------------------------------------------------


def _scale(reading: Reading, numbers: Sequence[float]) -> None:
    """The ends of the labels' scale: the smallest usual one that holds them."""
    if reading.label not in ("binary", "similarity", "scores", "binary list"):
        return
    if shares := but_for_few(numbers):
        beyond = len(numbers) - len(shares)
        reading.doubt(f"{beyond:,} of {len(numbers):,} labels lie beyond the others, which go from -1 to 1 at most")
    numbers = shares or numbers
    low, high = min(numbers), max(numbers)
    reading.label_scale = usual_scale(numbers)
    if reading.label_scale is None:
        reading.doubts.append(f"the labels go from {low:g} to {high:g}, which does not tell the ends of their scale")
    elif low > 1 and reading.label_scale[1] == 5:
        reading.doubts.append("the labels' scale could also begin at 1")


def _code_for_missing(numbers: Sequence[float]) -> float | None:
    """The number that seems to stand for a missing label: a negative one beside others from 0, or 99 far above them."""
    if but_for_few(numbers):
        return None  # mistakes, which are told as such
    low, high = min(numbers), max(numbers)
    above, below = ([number for number in numbers if number != end] for end in (low, high))
    if above and low < 0 <= min(above) and are_whole([low]) and (low < -1 or high > 1):
        return int(low)
    return int(high) if below and high in (99, 999, 9999) and 9 * max(below) < high else None
