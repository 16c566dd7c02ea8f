"""What the columns of a dataset hold, by their types and values."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from selective_st.registry import names
from selective_st.registry.steps import Step
from selective_st.registry.table import Table, present
from selective_st.written import Written, read_written

ColumnKind = Literal[
    "text", "texts", "id", "ids", "integer", "float", "boolean", "class label", "numbers", "number lists", "media",
    "empty", "other",
]  # fmt: skip

Looks = Literal["text", "short", "category", "constant", "date", "code", "named", "numbers", "data", ""]

_FEW_ROWS = 4  # fewer do not show that values come again
_SHORT_WORDS = 2  # on average, of names and classes
_LONGEST_CLASS = 4  # words
_COUNTED_ROWS = 10  # so many numbers that count up are no labels; 3 in the first column
_CLASS_VALUE_WORDS = 5  # longer texts are no names of classes
# Numbers that Python does not read: 0,5 or 80 % or 4/5. A date has more than one separator.
_WRITTEN_NUMBER = re.compile(r"\s*[+-]?\d+([.,/]\d+)?\s*%?\s*")
_EXACT = 2**53  # a whole number beyond names something: as a float it would be another
_SCALE_ENDS = (5, 10, 100)
_STRAY = 0.05  # of the numbers at most are mistakes
_LOOKED_AT = 1_000  # lists whose items are looked at
_SENTENCE = 3  # words on average
_MEDIA = ("Image", "Audio", "Video", "Pdf")
_NAME_ONLY = re.compile(
    r"[{(]?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}[})]?"  # a UUID
    r"|(?=.*\d)[0-9a-f]{16,}"  # a hash
    r"|[a-z][a-z0-9+.-]*://\S+|www\.\S+",  # a link
    re.IGNORECASE,
)


# Scripts without spaces between words: about two signs a word, or four where a sign is a sound.
_SIGNS = re.compile(r"[\u4e00-\u9fff]")
_SOUNDS = re.compile(r"[\u3040-\u30ff\u0e00-\u0e7f]")
_PARTED = re.compile(r"\s*[>/|»]\s*")  # the parts of a path of categories
_TIME = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([ap]m)?"
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/. ]([a-z]{3,9}|\d{1,2})[-/. ,]+\d{2,4}|[a-z]{3,9} \d{1,2},? \d{4})"
    rf"([t ]+{_TIME})?\s*(z|utc|[+-]\d\d:?\d\d)?|{_TIME}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Column:
    """A column of the data: what it holds and, while it is read, its values and what its name says.

    Attributes:
        name: Its name.
        kind: What it holds, by its type and its values.
        stored_as_text: Whether it holds numbers that are written as text, as read from a CSV file.
        looks: What its texts look like: `text`, `short` (a word or two), `category` (a few short ones that come again),
            `constant` (one in all rows), `date`, `code`, `named` (a UUID, hash or link), `numbers` (in a way of writing
            that is not read: 80 %) or `data` (lists or dicts written as text); empty if it holds no texts.
        cells: The sampled values.
        known: Those that are there: no None, no NaN, no empty text.
        classes: The names of a ClassLabel.
    """

    name: str
    kind: ColumnKind
    stored_as_text: bool = False
    looks: Looks = field(default="", compare=False)
    cells: list[Any] = field(default_factory=list, compare=False, repr=False)
    known: list[Any] = field(default_factory=list, compare=False, repr=False)
    classes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        return repr(self.name)

    @cached_property
    def tags(self) -> frozenset[str]:
        """What is said of it by its name."""
        return names.tags_of(self.name)

    @cached_property
    def role(self) -> names.Role | None:
        """What an input is for, by its name alone."""
        return names.role_of(self.name)

    @cached_property
    def hint(self) -> names.Says:
        """What kind of label its name speaks of."""
        return names.hint_of(self.name)

    @cached_property
    def words(self) -> list[str]:
        """The words of its name."""
        return names.words_of(self.name)

    def speaks_of(self, *tags: str) -> bool:
        """Whether its name has one of some tags."""
        return not self.tags.isdisjoint(tags)

    @cached_property
    def numbers(self) -> list[float]:
        """The numbers that are there, also those that are written as text; of lists those in the first of them."""
        return numbers_in(self.known if self.kind == "numbers" else [self.known])

    @cached_property
    def distinct(self) -> set[float]:
        """The different numbers."""
        return set(self.numbers)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest number."""
        return min(self.numbers), max(self.numbers)

    @cached_property
    def names(self) -> list[str]:
        """The names of its classes, or its different texts."""
        return list(self.classes) or (sorted(set(self.known)) if self.kind == "text" else [])

    @cached_property
    def written(self) -> Written:
        """Its values as labels that people write."""
        return read_written(Counter(self.known))

    @property
    def is_mark(self) -> bool:
        """Whether it holds one value in some rows, such as an x, and nothing in the others."""
        return len(self.known) < len(self.cells) and all(value == self.known[0] for value in self.known)

    @property
    def holds_codes(self) -> bool:
        """Whether its texts are names of something, such as `doc-17`; a few rows do not show that."""
        return len(self.known) >= _COUNTED_ROWS and all(map(_is_code, _texts_in(self.known)))

    @property
    def holds_names_only(self) -> bool:
        """Whether its texts are UUIDs, hashes or links, which say nothing in however few rows."""
        texts = _texts_in(self.known)
        return bool(texts) and all(_NAME_ONLY.fullmatch(text.strip()) for text in texts)


def columns_of(table: Table) -> tuple[Column, ...]:
    """The columns of a table.

    Args:
        table: The table.

    Returns:
        A description of each column, in their order.
    """
    found = tuple(_column(table, name) for name in table.columns)
    texts = [column for column in found if column.kind == "text"]
    if all(column.looks == "constant" for column in found if column.kind in ("text", "texts", "id", "ids")):
        # The same text in all rows may be one to train on, where there is no other.
        are_texts = {column.name for column in texts if "named attribute" not in column.tags}
        found = tuple(replace(each, looks="text") if each.name in are_texts else each for each in found)
    # One-word texts with digits are names of something only beside texts that are more than one word.
    if not any(_are_sentences(column.known) for column in texts):
        return found
    return tuple(replace(column, kind="id", looks="") if _is_of_codes(column) else column for column in found)


def _column(table: Table, name: str) -> Column:
    cells = table.values[name]
    known = present(cells)
    feature = type(table.features.get(name)).__name__
    types = set(map(type, known))
    looks: Looks = ""
    if feature in _MEDIA or (known and all(map(_is_by_modality, known))) or are_messages(known):
        kind: ColumnKind = "media"
    elif not known:
        kind = "empty"
    elif feature == "ClassLabel":
        kind = "class label"
    elif types == {str}:
        kind, looks = _kind_of_texts(name, known, table)
        if looks == "constant" and len(known) < len(cells):
            looks = "category"  # a mark in some rows
    elif types == {bool}:
        kind = "boolean"
    elif types <= {int, float}:
        kind = "other" if math.inf in map(abs, known) else _kind_of_numbers(name, known, table)
    else:
        kind = _kind_of_lists(name, known) if types == {list} else "other"
    as_text = kind in ("integer", "float") and isinstance(known[0], str)
    classes = tuple(map(str, table.features[name].names)) if kind == "class label" else ()
    return Column(name, kind, as_text, looks, cells, known, classes)


def _kind_of_texts(name: str, values: list[str], table: Table) -> tuple[ColumnKind, Looks]:
    if "named id" in names.tags_of(name) and not _are_sentences(values):
        return "id", ""
    if names.role_of(name) is None:
        if None not in map(as_number, values):
            whole = all(re.fullmatch(r"\s*[+-]?\d+\s*", value) for value in values)
            return _kind_of_numbers(name, list(map(int, values)), table) if whole else "float", ""
        if all(map(_WRITTEN_NUMBER.fullmatch, values)):
            return "other", "numbers"
    if "media" in names.tags_of(name) and all(map(_is_code, values)):
        return "media", ""
    return ("other", "data") if all(map(_is_written_data, values)) else ("text", _looks(values))


def _looks(values: Sequence[str]) -> Looks:
    """What texts look like, whatever their column is called."""
    found = [value.strip() for value in values[:: -(-len(values) // _LOOKED_AT)]]
    different = len(set(found))
    if different == 1 and len(found) >= _FEW_ROWS and len(set(values)) == 1:
        return "constant"
    if all(map(_DATE.fullmatch, found)):
        return "date"
    if all(map(_NAME_ONLY.fullmatch, found)):
        return "named"
    parted = [_PARTED.sub("-", value) for value in found]
    words = [max(len(text.split()), len(_SIGNS.findall(text)) / 2 + len(_SOUNDS.findall(text)) / 4) for text in parted]
    short = sum(words) <= _SHORT_WORDS * len(words) and max(words) <= _LONGEST_CLASS
    if short and len(found) >= _FEW_ROWS and 2 * different <= len(found):
        return "category"
    if len(found) >= _COUNTED_ROWS and all(map(_is_code, found)):
        return "code"
    return "short" if short else "text"


def _kind_of_numbers(name: str, values: Sequence[float], table: Table) -> ColumnKind:
    whole = all(isinstance(value, int) for value in values)
    counts = whole and not names.hint_of(name) and _count_up(name, values, table)
    if "named id" in names.tags_of(name) or counts or (whole and max(map(abs, values)) > _EXACT):
        return "id"
    return "integer" if whole else "float"


def _count_up(name: str, values: Sequence[float], table: Table) -> bool:
    """Whether numbers count the rows, or are so many different ones that they name them."""
    least = 3 if name == table.columns[0] else _COUNTED_ROWS
    if len(values) < max(least, len(table.sampled) / 2):
        return False
    rows = [row for row, value in zip(table.sampled, table.values[name], strict=True) if present([value])]
    steps = {value - row for value, row in zip(values, rows, strict=True)}
    return len(steps) == 1 or (len(values) > 100 and len(set(values)) == len(values))


def _kind_of_lists(name: str, values: list[list[Any]]) -> ColumnKind:
    items = [item for value in values[:_LOOKED_AT] for item in value if item is not None]
    if not items:
        return "other" if any(values) else "empty"
    types = set(map(type, items))
    if "named id" in names.tags_of(name) and types <= {str, int, bool}:
        return "ids"
    if types == {str}:
        return "texts"
    if types <= {bool, int, float}:
        return "other" if any(map(math.isinf, items)) else "numbers"
    numbers: list[Any] = [number for item in items for number in (item if isinstance(item, list) else [None])]
    return "number lists" if all(type(each) in (int, float) and not math.isinf(each) for each in numbers) else "other"


@dataclass(frozen=True)
class NestedCells:
    """What cells hold that are objects, or lists of objects.

    Attributes:
        are_lists: Whether they are lists of objects.
        fields: What each field holds.
        texts: The fields with texts to train on, in their order: of lists one, of objects one or more.
    """

    are_lists: bool
    fields: dict[str, str]
    texts: tuple[str, ...]

    def __str__(self) -> str:
        fields = ", ".join(f"{name!r} ({kind})" for name, kind in self.fields.items())
        return f"{'lists of objects' if self.are_lists else 'objects'} with the fields {fields}"

    def step(self, column: str) -> Step | None:
        """The step that leaves only the texts of such cells; None where there are none.

        Args:
            column: The column with the cells.

        Returns:
            The step, which can be shown as code or applied.
        """
        return Step("flatten_cells", (column, *self.texts), why="the texts of its cells") if self.texts else None


def nested_fields(values: Sequence[Any]) -> NestedCells | None:
    """Tell what cells hold that are objects, or lists of objects.

    Args:
        values: The cells of a column.

    Returns:
        What they hold; None if they are not all of that kind.

    Example:
        >>> found = nested_fields([[{"docid": "7", "text": "a dog runs"}], [{"docid": "9", "text": "a cat sits"}]])
        >>> str(found), found.step("passages").code()
        ("lists of objects with the fields 'docid' (texts), 'text' (texts)",
        'dataset = flatten_cells(dataset, "passages", "text")')
    """
    cells = [value for value in values[:_LOOKED_AT] if value is not None]
    are_lists = all(isinstance(cell, list) for cell in cells)
    objects = [item for cell in cells for item in cell if item is not None] if are_lists else cells
    if not objects or not all(isinstance(item, dict) for item in objects):
        return None
    by_field = {name: [item.get(name) for item in objects] for name in dict.fromkeys(key for x in objects for key in x)}
    found = {name: present(part) for name, part in by_field.items()}
    texts = {name: _texts_in(part) for name, part in found.items() if "named id" not in names.tags_of(name)}
    sizes = {
        name: (sum(len(text.split()) for text in part) / len(part), sum(map(len, part)))
        for name, part in texts.items()
        if set(map(type, part)) == {str}
    }
    sentences = [name for name, (words, _) in sizes.items() if not are_lists and words >= _SENTENCE]
    chosen = sentences or ([max(sizes, key=lambda name: sizes[name])] if sizes else [])
    return NestedCells(are_lists, {name: _kind_of(part) for name, part in found.items()}, tuple(chosen))


def _kind_of(values: Sequence[Any]) -> str:
    """What values are, in a word."""
    kinds = {str: "texts", bool: "truth values", int: "numbers", float: "numbers", list: "lists", dict: "objects"}
    found = {kinds.get(type(value), "other values") for value in values}
    return found.pop() if len(found) == 1 else "nothing" if not found else "other values"


def _is_by_modality(value: Any) -> bool:
    """Whether it is inputs by modality, as multimodal models take them."""
    media = names.words_for("media")
    return isinstance(value, dict) and bool(value.keys() & media) and value.keys() <= {"text", *media}


def holds_infinite(value: Any) -> bool:
    """Whether it is an infinite number, or a list that holds one."""
    if isinstance(value, list):
        return any(map(holds_infinite, value))
    return isinstance(value, float) and math.isinf(value)


def are_messages(values: Sequence[Any]) -> bool:
    """Whether values are chat messages: dicts with role and content, or lists of these."""
    turns = [turn for value in values for turn in (value if isinstance(value, list) else [value])]
    return bool(turns) and all(isinstance(turn, dict) and {"role", "content"} <= turn.keys() for turn in turns)


def _is_written_data(text: str) -> bool:
    """Whether a text is a list or a dict, written as JSON or as Python does."""
    text = text.strip()
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return False
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return isinstance(read(text), (list, dict))
    return False


def _texts_in(values: Iterable[Any]) -> list[str]:
    """Texts, and those in lists of texts."""
    found = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return present(found)


def _is_of_codes(column: Column) -> bool:
    """Whether a column of texts, by its name and values, holds names of something."""
    if column.kind != "text" or column.looks == "category" or column.role is not None:
        return False
    return column.name not in names.TRAINER_LABELS and all(map(_is_code, column.known))


def _is_code(text: str) -> bool:
    """Whether a text names something instead of saying it: `doc-17`, a link, a path, a date, or several of them."""
    return text.isascii() and bool(text.strip()) and all(re.search(r"\d|://", word) for word in text.split())


def _are_sentences(values: list[str]) -> bool:
    return 2 * len([value for value in values if " " in value.strip()]) > len(values)


def as_number(cell: Any) -> float | None:
    """The finite number that a cell holds; None where it holds none. Stricter than Python: no True, no 1_000."""
    if isinstance(cell, bool) or (isinstance(cell, str) and ("_" in cell or not cell.isascii())):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def is_metadata(column: Column) -> bool:
    """Whether a column is neither input nor label, by its name."""
    if column.kind in ("text", "texts"):
        return "named attribute" in column.tags
    return column.speaks_of("named metadata", *(() if column.kind == "class label" else ("metadata word",)))


def are_class_names(values: Iterable[Any]) -> bool:
    """Whether texts are short, and come again."""
    found = present(values)
    are_numbers = sum(not re.search(r"[^\W\d_]", value) for value in found) > len(found) / 2  # such as 0,5 or 4/5
    if not found or are_numbers or any(len(value.split()) > _CLASS_VALUE_WORDS for value in found):
        return False
    known = {names.key_of(value) for value in found}
    return len(known) < len(found) or names.says(known, "nli value", "positive value", "negative value")


def numbers_in(lists: Sequence[Sequence[Any]]) -> list[float]:
    """The numbers of lists, of many the first ones."""
    return [float(number) for numbers in lists[:_LOOKED_AT] for number in present(numbers)]


def usual_scale(numbers: Sequence[float]) -> tuple[float, float] | None:
    """The smallest usual scale that holds labels; None where they do not tell it."""
    low, high = min(numbers), max(numbers)
    if low >= -1 and high <= 1:
        return (0 if low >= 0 else -1, 1)
    end = next((end for end in _SCALE_ENDS if high <= end), None)
    # Grades of 0 to 3 have a scale of their own; real numbers seldom reach its end.
    short = end is not None and are_whole(numbers) and high < (end if end < _SCALE_ENDS[-1] else 0.8 * end)
    if low < 0 or end is None or short or high < end / 2:
        return None
    return (1, end) if low == 1 and end == 5 else (0, end)


def scale_around(low: float, high: float) -> tuple[int, int]:
    """The narrowest scale of whole numbers that labels may have, from those that were seen.

    Args:
        low: The lowest label.
        high: The highest.

    Returns:
        Its ends.

    Example:
        >>> scale_around(1.2, 6.8), scale_around(5, 5)
        ((1, 7), (0, 5))
    """
    ends = math.floor(low), math.ceil(high)
    if ends[0] < ends[1]:
        return ends
    return min(ends[0], 0), max(ends[1], 0 if ends[0] else 1)  # one label alone says nothing of the other end


def but_for_few(numbers: Sequence[float]) -> list[float]:
    """The shares from -1 to 1 among numbers, where a few others must be mistakes; else none."""
    shares = [number for number in numbers if -1 <= number <= 1]
    are_few = (1 - _STRAY) * len(numbers) <= len(shares) < len(numbers)
    return shares if are_few and not are_whole(shares) else []


def are_whole(numbers: Iterable[float]) -> bool:
    """Whether all numbers are whole."""
    return all(float(number).is_integer() for number in numbers)
