"""What the chosen columns mean: the rules that tell formats apart.

Each rule is one function. It sets the kind of the labels, says why, and says what it could not tell.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from selective_st.registry.catalog import LabelKind, ModelType, Row, Shape, rows
from selective_st.registry.columns import (
    Column,
    are_class_names,
    are_whole,
    holds_infinite,
    holds_messages,
    is_metadata,
    is_missing,
    nested_fields,
    numbers_of,
    values_of,
)
from selective_st.registry.names import (
    CHOICE_WORDS,
    NEGATIONS,
    NEGATIVE_VALUES,
    POSITIVE_VALUES,
    TRAINER_LABELS,
    Role,
    Says,
    are_parts,
    are_premises,
    are_relation_values,
    are_sides,
    hint_of,
    is_damaged_first,
    is_label_name,
    is_nameless,
    is_negating,
    is_of_one_text,
    is_relation_name,
    is_search_name,
    key_of,
    name_sides,
    role_of,
    roles_of,
    says_quality,
    says_right,
    side_of_scores,
    stem_of,
    words_of,
)
from selective_st.registry.steps import Step
from selective_st.registry.table import Table
from selective_st.written import read_written

Certainty = Literal["certain", "likely", "unclear"]


_SCALE_ENDS = (5, 10, 100)
_LOOKED_AT = 1_000  # rows in which texts are compared, and numbers of lists read
_EMBEDDING_LENGTH = 8  # a shorter list is hardly an embedding
_IDENTICAL_SOME = 0.1  # of the rows hold the same text twice: not by chance
_DAMAGED_MOST = 0.95  # of the rows hold a damaged text and its original
_DAMAGED_WORDS_LEFT = (0.2, 3)  # a damaged text keeps at least this share of the words, and this many on average
_PLAUSIBLE_CLASSES = 11
_MARGIN_WORDS = {"margin", "margins", "difference", "differences", "diff", "diffs"}
_YES = {"yes", "true", "ja", "oui", "si", "sim"}
_GRANTED = "the labels are 0 and 1; that 1 says the texts belong together is taken for granted"


class LabelMend(NamedTuple):
    """A call on the label column, and what for."""

    call: str
    why: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass
class Reading:
    """The meaning as far as it is known; every doubt lowers its certainty, and nothing raises it again."""

    shape: Shape | None = None
    label: LabelKind | None = None
    meaning: str = ""
    certainty: Certainty = "certain"
    inputs: list[Column] = field(default_factory=list)
    label_column: Column | None = None
    values: tuple[float, float] | None = None
    scale: tuple[float, float] | None = None
    classes: int | None = None
    length: int | None = None
    reasons: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    alternatives: list[tuple[Shape, LabelKind]] = field(default_factory=list)
    label_rivals: tuple[Column, ...] = ()  # columns of which each may be the label
    label_words: dict[float, str] = field(default_factory=dict)  # what numbers of the label are in another column
    class_of: list[Column] = field(default_factory=list)  # another reading takes one of the inputs for a class
    values_deny: bool = False  # what speaks against a reading is in the values, so that no names settle it
    flattening: list[Step] = field(default_factory=list)  # what takes texts out of cells that hold more
    without: list[Column] = field(default_factory=list)  # another reading sets one of these aside
    others: list[tuple[tuple[Column, ...], LabelKind]] = field(default_factory=list)  # other inputs, and their labels
    no_label: bool = False  # by its name, the label says something else than losses read, such as the opposite
    mends: list[Step] = field(default_factory=list)
    says_opposite: LabelKind | None = None  # what the label would be, but for its name, by which 1 is 0
    label_mends: list[LabelMend] = field(default_factory=list)

    def because(self, reason: str) -> None:
        """A reason for this reading."""
        self.reasons.append(reason)

    def doubt(self, doubt: str, *labels: LabelKind) -> None:
        """A doubt that leaves this reading the likely one; `labels` are the others."""
        if self.certainty == "certain":
            self.certainty = "likely"
        self.doubts.append(doubt)
        self._or(labels)

    def unclear(self, doubt: str, *labels: LabelKind) -> None:
        """A doubt that leaves it open."""
        self.certainty = "unclear"
        self.doubts.append(doubt)
        self._or(labels)

    def deny(self, doubt: str) -> None:
        """Values that speak against what the names say."""
        self.unclear(doubt)
        self.values_deny = True

    def or_without(self, column: Column) -> None:
        """Another reading: a column that is set aside."""
        self.without.append(column)

    def or_with(self, inputs: Sequence[Column]) -> None:
        """Another reading: these inputs."""
        self.others.append((tuple(inputs), "none"))

    def or_pairs(self, label: LabelKind) -> None:
        """Further readings: the first text with each of the others."""
        first, *rest = self.inputs
        self.others += [((first, other), label) for other in rest[:2]]
        self.others += [((rest[0], rest[1]), label)] if len(rest) > 1 else []
        self.alternatives.append(("pair", label))

    def _or(self, labels: Sequence[LabelKind]) -> None:
        if self.shape is not None:
            self.alternatives += [(self.shape, label) for label in labels]


# --- What inputs and labels mean --------------------------------------------------------------------------------------


def read(table: Table, reading: Reading, columns: Sequence[Column], trainer_label: str | None) -> None:
    """Read what the chosen columns mean, and write it into the reading.

    Args:
        table: The data.
        reading: The chosen inputs and label column.
        columns: All columns.
        trainer_label: What the trainer takes for the label.
    """
    lists = [column for column in reading.inputs if column.kind in ("texts", "ids")]
    for column in columns:
        if column.kind == "other" and _may_be_needed(table, reading, column):
            reading.unclear(_unread(table, column))
            nested = nested_fields(table.values[column.name])
            step = nested.step(column.name) if nested else None
            reading.flattening += [step] if step else []
    count = len(reading.inputs)
    if not count:
        reading.unclear("no column holds texts, images or audio to train on")
        return
    if lists:
        _read_lists(table, reading, lists)
    else:
        reading.shape = ("single", "pair", "triplet", "n-tuple")[min(count, 4) - 1]
        _read_columns(table, reading, trainer_label)
    _read_names(table, reading)
    _read_relation(table, reading)
    unresolved = any(column.kind in ("id", "ids") for column in reading.inputs)
    if reading.shape and reading.label and not reading.meaning and not (unresolved and reading.label == "none"):
        fitting = fitting_rows(reading.shape, reading.label)
        is_mixed = (reading.shape, reading.label) == ("pair", "none")
        reading.meaning = fitting[0].inputs if fitting and not is_mixed else ""


def _may_be_needed(table: Table, reading: Reading, column: Column) -> bool:
    """Whether what cannot be read may be an input or the label."""
    if role_of(column.name) or hint_of(column.name):
        return True
    if nested_fields(table.values[column.name]):
        return len(reading.inputs) < 2 and not is_metadata(column)
    if column.looks == "numbers":
        return reading.label_column is None
    return not column.looks and any(isinstance(value, str) for value in table.values[column.name])


def _unread(table: Table, column: Column) -> str:
    """What a column holds that cannot be read as it is."""
    if column.looks == "numbers":
        example = next(iter(values_of(table, column.name)))
        return f"{column.name!r} holds numbers in a way of writing that is not read, such as {example!r}"
    if holds_infinite(table.values[column.name]):
        return f"{column.name!r} holds infinite numbers: leave out their rows"
    nested = nested_fields(table.values[column.name])
    what = (
        f"{nested}, whose texts must be taken out" if nested else "what cannot be read, such as lists written as text"
    )
    return f"{column.name!r} holds {what}"


def _read_names(table: Table, reading: Reading) -> None:
    """What the names of labels and inputs say against the reading."""
    for given in reading.inputs:
        if holds_messages(table, given.name):
            reading.unclear(f"{given.name!r} holds chat messages (role and content): they must be made texts first")
    column, kind = reading.label_column, reading.label
    if column is None or reading.shape == "single" or column.kind == "number lists" or kind == "embedding":
        return
    words = set(words_of(column.name))
    roles = {role_of(other.name) for other in reading.inputs}
    is_margin = kind in ("margin", "margins") and bool(words & _MARGIN_WORDS)  # a difference of two scores
    is_graded = kind not in ("class", "class probabilities")
    values = _label_words(table, reading, column)
    if words & CHOICE_WORDS or name_sides(values, [given.name for given in reading.inputs]):
        reading.no_label = True
        reading.unclear(f"{column.name!r} may say which of the inputs is better, not whether they belong together")
    elif is_graded and is_negating(column.name) and not is_margin:
        reading.no_label, reading.says_opposite = True, kind
        reading.doubts = [doubt for doubt in reading.doubts if doubt != _GRANTED]
        reading.unclear(
            f"by its name, 1 (or more) in {column.name!r} seems to mean 'does not belong together', while losses read "
            "1 as 'belongs together': turn the values round, into a column with a name that says so"
        )
    elif is_graded and reading.shape == "pair" and roles == {"positive", "negative"}:
        reading.unclear("one text is named a positive and one a negative, but there is no anchor to which they are so")
    else:
        return
    if kind is not None and reading.shape is not None:
        reading.alternatives.append((reading.shape, kind))
    reading.label, reading.scale, reading.classes, reading.meaning = None, None, None, ""


def _read_relation(table: Table, reading: Reading) -> None:
    """What names and values say against a label that tells how two texts relate."""
    column = reading.label_column
    if reading.shape == "single" and reading.label and column is not None:
        values = _label_words(table, reading, column)
        if is_relation_name(column.name) or sum(are_relation_values([value]) for value in values) > 1:
            reading.deny(f"{column.name!r} is named like how two texts relate, but there is one: where is the other?")
    if reading.shape != "pair" or reading.label not in ("class", "binary", "similarity") or column is None:
        return
    names = [given.name for given in reading.inputs]
    says = hint_of(column.name)
    values = _label_words(table, reading, column)
    if is_of_one_text(column.name):
        _disagree(reading, f"{column.name!r} is named like what one text is like, not how two relate")
        return
    if are_relation_values(values) or is_relation_name(column.name):
        return
    if says == "binary" or (says == "score" and column.name not in TRAINER_LABELS and not says_quality(column.name)):
        return
    words = {key_of(word) for word in values}
    if are_parts(names):
        _disagree(reading, f"{names[0]!r} and {names[1]!r} are named like parts of one text, of which the label may be")
    elif (
        _asks(names) and words and words <= POSITIVE_VALUES | NEGATIVE_VALUES and words & {"yes", "no", "true", "false"}
    ):
        _disagree(reading, f"yes and no in {column.name!r} may be the answer, or say whether the texts belong together")
    elif _are_related(names):
        return
    elif reading.label == "class" or (reading.label == "similarity" and _is_quality(table, column)):
        what = "the class" if reading.label == "class" else "how good it is"
        _disagree(reading, f"{column.name!r} may tell {what}, of one text, or how {names[0]!r} and {names[1]!r} relate")


def _are_related(names: Sequence[str]) -> bool:
    """Whether the names of two texts say that the label is of both; or say nothing at all."""
    told = len(roles_of(names)) == 2 or any(map(is_search_name, names)) or are_sides(names)
    return told or all(map(is_nameless, names))


def _is_quality(table: Table, column: Column) -> bool:
    """Whether grades may be of one text, and not of how two belong together."""
    return says_quality(column.name) or are_whole(numbers_of(table, column))


def _asks(names: Sequence[str]) -> bool:
    """Whether names are those of a question and of the text that it is asked of."""
    first, second = (set(words_of(name)) for name in names)
    return bool(first & {"question", "frage", "pregunta", "domanda", "pergunta", "vraag"}) and bool(
        second & {"passage", "context", "document", "paragraph", "text", "article", "kontext", "contexto", "contexte"}
    )


def _label_words(table: Table, reading: Reading, column: Column) -> list[str]:
    """The labels in words, if they are."""
    if column.kind == "class label":
        return [str(name) for name in table.features[column.name].names]
    if column.kind == "text":
        return sorted(set(values_of(table, column.name)))
    return ["true", "false"] if column.kind == "boolean" else list(reading.label_words.values())


def _disagree(reading: Reading, doubt: str) -> None:
    """The label may be of one text: what it is for two is one reading."""
    kind = reading.label
    reading.unclear(doubt)
    reading.alternatives = [("single", "class"), *([("pair", kind)] if kind else []), *reading.alternatives]  # type: ignore[list-item]
    reading.label, reading.scale, reading.meaning = None, None, ""


def fitting_rows(shape: Shape, label: LabelKind, model_type: ModelType | None = None) -> list[Row]:
    """The rows of the tables of losses for a shape and a kind of labels.

    Args:
        shape: The inputs.
        label: The kind of the labels.
        model_type: Of which models. Default: of all.

    Returns:
        The rows of losses and of distillation.
    """
    wanted = {(shape, label)}
    if label in ("embedding", "embeddings") and shape != "single":
        wanted = {("n-tuple", label)}  # those rows hold for any number of inputs
    elif (shape, label) == ("triplet", "margins"):
        wanted = {("triplet", "margin")}  # lists of one margin
    elif (shape, label) == ("triplet", "binary list"):
        wanted = {("n-tuple", label)}
    elif (shape, label) == ("list", "binary list"):
        wanted = {("list", "scores")}
    return [
        row for row in rows(model_type) if row.section in ("main", "distillation") and (row.shape, row.label) in wanted
    ]


def _read_columns(table: Table, reading: Reading, trainer_label: str | None) -> None:
    """The label of inputs that stand in columns of their own."""
    column = reading.label_column
    if column is None:
        if not reading.label_rivals:
            _read_unlabelled(table, reading)
        return
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
        reading.label_mends.append(LabelMend("labels_to_int", "classes are whole numbers"))
    elif column.stored_as_text:
        reading.label_mends.append(LabelMend("labels_to_float", "the labels are numbers written as text"))


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
            reading.or_without(column)
        else:
            reading.doubt(_GRANTED, other)
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
    retrieval = any(role_of(name) in ("anchor", "positive") or is_search_name(name) for name in names)
    if says == "class" or (few and is_label_name(column.name) and (not retrieval or are_premises(names))):
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
        reading.or_without(column)
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
    named = kinds == ["anchor", "positive", "negative"] or bool(set(words_of(column.name)) & _MARGIN_WORDS)
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
    _odd_inputs(reading)
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


def opposites(values: Iterable[Any]) -> dict[str, int] | None:
    """The number of each of two words, 1 for yes; None where they do not say opposite things, or others stand there."""
    said = read_written(Counter(values))
    if said.kind != "opposites" or said.others or len(said.values) != 2:
        return None
    return {word: int(number) for word, number in said.values.items()}


def turned_round(table: Table, column: Column) -> Step | None:
    """What makes labels say that texts belong together which say that they do not; None where that is not clear."""
    why = "by its name, it says that the texts differ"
    if column.kind == "text":
        said = opposites(values_of(table, column.name))
        mapping = None if said is None else {word: 1 - number for word, number in said.items()}
        return None if mapping is None else Step("labels_to_int", (column.name,), (("mapping", mapping),), why)
    if column.kind not in ("integer", "float", "boolean"):
        return None
    numbers = numbers_of(table, column)
    if set(numbers) <= {0, 1}:
        return Step("labels_to_int", (column.name,), (("mapping", {0: 1, 1: 0}),), why)
    low, high = min(0, math.floor(min(numbers))), math.ceil(max(numbers))
    why = why if (low, high) == (0, 1) else f"{why}; the ends of its scale are a guess: give those of yours"
    return Step("scale_labels", (column.name, low, high), (("reverse", True),), why)


def is_negation(negative: str, positive: str) -> bool:
    """Whether the first of two names denies what the second says."""
    no, yes = key_of(negative), key_of(positive)
    if (no, yes) == ("0", "1") or (no in NEGATIVE_VALUES and yes in POSITIVE_VALUES):
        return True
    return any(no in (f"{negation}{yes}", f"{negation}_{yes}") for negation in NEGATIONS)


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
    said = opposites(values) if reading.shape == "pair" else None
    if said is not None:
        no, yes = sorted(said, key=lambda word: said[word])
        reading.label, reading.classes = "binary", 2
        reading.doubt(
            f"that {yes!r} says the texts belong together, and {no!r} that they do not, is read off the words", "class"
        )
        reading.label_mends.append(LabelMend("labels_to_int", f"1 is {yes!r}", (("mapping", said),)))
        return
    _read_classes(reading, names)
    reading.doubt("the classes are written as text")
    reading.label_mends.append(LabelMend("class_encode_column", "classes are numbers"))


# --- Labels that are lists --------------------------------------------------------------------------------------------


def _read_number_list(table: Table, reading: Reading, column: Column) -> None:
    found = numbers_of(table, column)
    lengths = {len(value) for value in found}
    numbers = _flat(found)
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
        _read_scores(reading, numbers)
        if length >= _EMBEDDING_LENGTH:
            reading.doubt("a list of that length could also be an embedding", "embedding")
    elif documents >= 2 and length == documents - 1:
        reading.label = "margins"
        reading.because(f"{documents} documents have {length} number(s), one fewer: margins to the first")
        if length >= _EMBEDDING_LENGTH:
            reading.doubt("a list of that length could also be an embedding", "embedding")
        _odd_inputs(reading)
    elif reading.shape == "pair" and length > 1 and all(_is_distribution(value) for value in found[:_LOOKED_AT]):
        reading.label, reading.classes, reading.scale = "class probabilities", length, (0, 1)
        reading.because(f"{column.name!r} holds numbers that sum to 1 in each row")
        if set(numbers) <= {0, 1}:
            reading.doubt("the labels are 0 and 1 only: classes, one of them in each row", "class")
        elif length == 2:
            reading.doubt("two numbers that sum to 1 could also be a score and what it lacks", "similarity")
        elif length >= _EMBEDDING_LENGTH:
            reading.doubt("a list of that length could also be an embedding", "embedding")
    else:
        _read_embedding(reading, column, numbers, length)


def _read_scores(reading: Reading, numbers: list[float]) -> None:
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
    named = set(words_of(column.name)) & {"embedding", "embeddings", "emb", "vector"}
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


def _flat(found: Sequence[Any]) -> list[float]:
    return [float(x) for value in found[:_LOOKED_AT] for x in value if not is_missing(x)]


# --- List columns of inputs -------------------------------------------------------------------------------------------


def _read_lists(table: Table, reading: Reading, lists: Sequence[Column]) -> None:
    label, texts = reading.label_column, len(reading.inputs) - len(lists)
    names = ", ".join(repr(column.name) for column in lists)
    roles = roles_of([column.name for column in reading.inputs])
    of_role = {role: [column for column in reading.inputs if roles.get(column.name) == role] for role in _ROLES}
    sides = [len(of_role[role]) for role in _ROLES]
    if len(lists) == 1 and texts == 1 and label is not None and label.kind == "numbers":
        _read_scored_list(table, reading, lists[0], label)
    elif sides in ([1, 1, 0], [1, 1, 1]) and sum(sides) == len(reading.inputs) and _are_sides(of_role, lists):
        _read_sides(table, reading, of_role["positive"][0], *of_role["negative"])
    elif label is None and not reading.label_rivals and texts >= 1:
        reading.shape, reading.label = ("list" if len(lists) == texts == 1 else None), "none"
        reading.alternatives.append(("n-tuple", "none"))
        reading.unclear(
            f"{names} hold(s) lists of texts without scores: right documents, wrong ones, or both? Add a column of "
            "scores, or names that say so: positives, negatives"
        )
    else:
        what = "no label" if label is None else f"the label {label.name!r} ({label.kind})"
        reading.unclear(f"{names} holds lists of texts beside {texts} text column(s) and {what}: no loss takes that")


_ROLES: tuple[Role, ...] = ("anchor", "positive", "negative")


def _are_sides(of_role: Mapping[Role, Sequence[Column]], lists: Sequence[Column]) -> bool:
    """Whether lists hold right or wrong texts, by their names."""
    [anchor], [positive], *_ = of_role.values()
    return anchor not in lists and bool(of_role["negative"] or says_right(positive.name))


def _read_sides(table: Table, reading: Reading, positives: Column, negatives: Column | None = None) -> None:
    """Right texts and wrong ones by their names, in lists: a row for each right one, or lists with labels."""
    scores = {side_of_scores(column.name): column for column in reading.label_rivals}
    sides = [positives.name, *([negatives.name] if negatives else [])]
    if negatives and set(scores) == {"positive", "negative"}:
        reading.certainty, reading.doubts = "likely", []  # two columns of scores are no rivals: each is of one side
        reading.shape, reading.label, reading.label_rivals = "list", "scores", ()
        columns = (*sides, scores["positive"].name, scores["negative"].name)
        reading.mends.append(
            Step("join_lists", columns, why="the right and the wrong texts in one list, with their scores")
        )
        return
    if reading.label_column is not None or reading.label_rivals:
        what = ", ".join(repr(each.name) for each in (reading.label_column, *reading.label_rivals) if each is not None)
        reading.unclear(f"{', '.join(map(repr, sides))} say what is right and wrong, so that {what} is not needed")
        return
    widest = max((len(value) for value in values_of(table, negatives.name)), default=0) if negatives else 0
    if negatives and negatives.kind == "text":
        widest = 1
    reading.shape, reading.label = ("pair", "triplet", "n-tuple")[min(widest, 2)], "none"
    reading.meaning = "(anchor, positive) pairs" if not widest else ""
    why = "a row for each right text" + (", with the wrong ones" if widest else "")
    short = sum(not value for value in table.values[negatives.name]) if negatives else 0
    if short:
        why += "; rows without a wrong text are left out"
    reading.because(f"the names {', '.join(sides)} say which texts are right" + (" and which wrong" if widest else ""))
    reading.mends.append(Step("rows_of_positives", tuple(sides), why=why))


def _read_scored_list(table: Table, reading: Reading, documents: Column, label: Column) -> None:
    reading.shape = "list"
    rows = zip(table.values[documents.name], table.values[label.name], strict=True)
    pairs = [(a, b) for a, b in rows if a is not None and b is not None]
    numbers = _flat([scores for _, scores in pairs])
    if not numbers:
        reading.unclear(f"the lists in {label.name!r} hold no numbers")
        return
    reading.values = (min(numbers), max(numbers))
    lengths = {len(scores) for _, scores in pairs}
    if len(lengths) == 1:
        reading.length = lengths.pop()
    unequal = sum(len(a) != len(b) for a, b in pairs)
    if unequal:
        reading.unclear(f"{unequal} row(s) have not as many {label.name!r} as {documents.name!r}", "scores")
        return
    if len(lengths) > 1:
        reading.because(f"the lists have {min(lengths)} to {max(lengths)} documents")
    _read_scores(reading, numbers)
    reading.alternatives.append(("n-tuple", reading.label or "scores"))


# --- Inputs without labels --------------------------------------------------------------------------------------------


def _read_unlabelled(table: Table, reading: Reading) -> None:
    reading.label = "none"
    names = [column.name for column in reading.inputs]
    roles = roles_of(names)
    if any(column.kind == "id" for column in reading.inputs):
        return
    if reading.shape == "pair":
        _read_pair(table, reading, roles)
    elif reading.shape != "single":
        _odd_inputs(reading)
        kinds = [roles.get(name) for name in names]
        numbered = kinds[:2] == ["numbered", "numbered"]  # sentence0, sentence1, hard_negative
        known = numbered or kinds[:2] == ["anchor", "positive"]
        known = known and kinds[2:] == ["negative"] * (len(names) - 2)
        if known:
            reading.because(f"the names {', '.join(names)} say so")
        elif kinds.count("anchor") > 1:
            reading.unclear("several columns are named as anchors: keep one, or make one text of them")
            reading.or_pairs("none")
        elif kinds[0] == "anchor" and kinds.count("positive") > 1:
            reading.unclear("several columns are named as documents or positives, none of which is said to be wrong")
            reading.or_pairs("none")
        elif "numbered" in kinds:
            reading.unclear(f"{', '.join(names)} are numbered: texts that mean the same, or right and wrong ones?")
            reading.others.append((tuple(reading.inputs[:2]), "none"))
        else:
            reading.unclear("the columns' names do not say what is the anchor, what the positive, what a negative")
            reading.others.append((tuple(reading.inputs[:2]), "none"))


def _odd_inputs(reading: Reading) -> None:
    """Three and more inputs of which two are of different kinds of documents, as a title and its text."""
    stems = {stem_of(column.name)[0] for column in reading.inputs if role_of(column.name) == "positive"}
    if len(stems) > 1:
        reading.unclear(f"the inputs are named {' and '.join(sorted(stems))}: parts of one document, or several?")


def _read_pair(table: Table, reading: Reading, roles: Mapping[str, Role]) -> None:
    names = [column.name for column in reading.inputs]
    texts = [
        (first, second)
        for first, second in zip(*(table.values[name] for name in names), strict=True)
        if isinstance(first, str) and isinstance(second, str)
    ]
    damaged = _are_damaged(texts[:_LOOKED_AT])
    identical = sum(first == second for first, second in texts) / len(texts) if texts else 0.0
    if identical == 1:
        reading.meaning = "(anchor, anchor) pairs"
        reading.because("both columns hold the same text in every row")
        if not table.is_complete or len(texts) < 2:
            reading.doubt("only the rows that were read were compared")
    elif identical >= _IDENTICAL_SOME:
        reading.deny(
            f"{identical:.0%} of the rows hold the same text twice and the others two texts: ContrastiveTensionLoss "
            "reads labels off that; for other losses remove these rows"
        )
    elif is_damaged_first(names) or (damaged and not any(roles.values())):
        reading.meaning = "(damaged_input, original_input) pairs"
        reading.doubt("the first text is, by names or words, the second with words deleted; it may be a positive")
    else:
        _read_positives(reading, [roles.get(name) for name in names], names)
        if damaged and names != ["anchor", "positive"]:
            reading.unclear(f"each {names[0]!r} is its {names[1]!r} with words deleted, whatever the names say")


def _read_positives(reading: Reading, kinds: list[Role | None], names: list[str]) -> None:
    if "negative" in kinds:
        reading.unclear("a column is named a negative, but there is no anchor with a positive: pairs would be wrong")
    elif are_premises(names):
        reading.unclear("premises and hypotheses without labels may contradict: they are no positives by themselves")
    else:
        reading.meaning = "(anchor, positive) pairs"
        if kinds == ["anchor", "positive"]:
            reading.because(f"the names {' and '.join(names)} say that the texts belong together")
        else:
            reading.doubt("two texts without a label are taken for texts that belong together")


def _are_damaged(texts: Sequence[tuple[str, str]]) -> bool:
    """Whether the first texts are the second ones with words deleted: from within, not cut off."""
    words = [(first.lower().split(), second.lower().split()) for first, second in texts]
    if len(words) < 2:
        return False
    least, average = _DAMAGED_WORDS_LEFT
    kept = [(a, b) for a, b in words if len(a) < len(b) and len(a) >= least * len(b) and _is_subsequence(a, b)]
    if len(kept) < _DAMAGED_MOST * len(words) or sum(len(a) for a, _ in kept) < average * len(kept):
        return False
    cut = sum(f" {' '.join(a)} " in f" {' '.join(b)} " for a, b in kept)
    return cut < len(kept) / 2


def _is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


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
