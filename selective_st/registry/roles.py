"""Which columns are meant: the label, the inputs, and what is set aside, each by its name and by its values.

A role is *certain* where name and values both say it, *likely* where one speaks and nothing contradicts, and *unclear*
where they disagree. How many columns there are decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selective_st.registry.columns import (
    Column,
    ColumnKind,
    are_class_names,
    holds_codes,
    holds_names_only,
    is_metadata,
    is_missing,
    numbers_of,
    values_of,
)
from selective_st.registry.names import (
    RESERVED,
    TRAINER_LABELS,
    Role,
    are_judgements,
    are_parts,
    are_premises,
    are_relation_values,
    are_yes_and_no,
    hint_of,
    is_attribute_name,
    is_choices_name,
    is_class_attribute,
    is_damaged_first,
    is_flag,
    is_id_name,
    is_nameless,
    is_topic_name,
    is_weak_label,
    key_of,
    role_of,
    roles_of,
    says,
    side_of_scores,
    speaks_of,
    stem_of,
    text_of,
    without_id,
    words_of,
)
from selective_st.registry.reading import Reading
from selective_st.registry.table import Table

_NUMERIC: tuple[ColumnKind, ...] = ("integer", "float", "boolean", "class label", "numbers", "number lists")
_INPUTS: tuple[ColumnKind, ...] = ("text", "texts", "media")
_PLAUSIBLE_CLASSES = 11  # more different whole numbers are hardly classes
_PLAUSIBLE_RANGE = (-1, 100)
_FEW = 0.25  # of the rows at most have another text, where it is an instruction

_WHAT = {
    "constant": "holds the same text in every row",
    "category": "holds a few short texts that come again",
    "short": "holds a word or two in each row",
    "date": "holds dates or times",
    "code": "holds codes",
    "named": "holds UUIDs, hashes or links",
}


_HOLDS: dict[ColumnKind, str] = {
    "text": "is named as something said of a text",
    "texts": "holds lists of texts that are not to be trained on",
    "id": "holds IDs",
    "ids": "holds lists of IDs",
    "integer": "holds numbers",
    "float": "holds numbers",
    "boolean": "holds truth values",
    "class label": "holds classes",
    "numbers": "holds lists of numbers",
    "number lists": "holds lists of numbers",
    "media": "holds images or the like",
    "empty": "is empty",
    "other": "holds no texts",
}


def choose_columns(table: Table, columns: Sequence[Column], trainer_label: str | None, reading: Reading) -> None:
    """Choose the label column and the inputs; what is left would be trained on as text.

    Args:
        table: The data.
        columns: All columns.
        trainer_label: What the trainer takes for the label.
        reading: What is filled in.
    """
    usable = [column for column in columns if column.name not in RESERVED]
    texts = [column for column in usable if column.kind in _INPUTS and not _is_said_of_a_text(column)]
    _choose_label(table, usable, texts, trainer_label, reading)
    taken = {column.name for column in (reading.label_column, *reading.label_rivals) if column is not None}
    left = [column for column in usable if column.name not in taken]
    inputs = [column for column in left if column.kind in _INPUTS and not _is_stray(table, column, texts, reading)]
    _choose_inputs(table, inputs, left, reading)
    kept = {column.name for column in (*reading.inputs, reading.label_column) if column is not None}
    strays = [column for column in columns if column.name not in kept]
    for column in strays:
        reading.because(_why_aside(column))
    # A column of IDs is known by its name; what else is left out was judged.
    if not all(is_id_name(column.name) for column in strays) and reading.certainty == "certain":
        reading.certainty = "likely"


def _why_aside(column: Column) -> str:
    if column.name in RESERVED:
        return f"{column.name!r} is a name that the trainer refuses"
    what = _WHAT.get(column.looks) or _HOLDS[column.kind]
    if column.looks == "constant" and speaks_of(column.name, "instruction"):
        what += " (an instruction: give it to the trainer as prompts)"
    return f"{column.name!r} {what}: it is no input, though the trainer would read it"


def _is_said_of_a_text(column: Column) -> bool:
    """Whether texts are no input: by their name, unless they are more than a word or two, or by their looks."""
    if speaks_of(column.name, "damaged"):
        return False
    if column.looks in ("constant", "date") or (column.looks in ("code", "named") and role_of(column.name) is None):
        return column.looks != "constant" or role_of(column.name) != "anchor" or speaks_of(column.name, "instruction")
    return is_metadata(column) and (column.looks != "text" or is_topic_name(column.name))


# --- The label --------------------------------------------------------------------------------------------------------


def _choose_label(
    table: Table, columns: Sequence[Column], texts: Sequence[Column], trainer_label: str | None, reading: Reading
) -> None:
    taken = next((column for column in columns if column.name == trainer_label), None)
    if taken is not None and taken.kind == "empty":
        reading.doubt(f"the trainer's label column {taken.name!r} is empty")
        taken = None
    sentences = [column for column in texts if column.looks != "category" or column.kind != "text"]
    roles = roles_of([column.name for column in texts])
    kinds = [roles[column.name] for column in sentences if column.name in roles]
    longer = [column for column in sentences if column.looks != "short"] or sentences
    alone = len(longer) if "anchor" not in kinds or "positive" not in kinds else 0  # a pair without its label
    alone = 2 if are_premises([column.name for column in sentences]) else alone  # which is nothing without
    candidates = [column for column in columns if column != taken and _may_be_label(table, column, alone, roles)]
    candidates = [column for column in candidates if not _is_said_of_another(column, candidates)]
    candidates = candidates or _judgements(table, columns)
    named = [column for column in candidates if hint_of(column.name) or _says_how_two_relate(table, column)]
    named = [column for column in named if not is_weak_label(column.name)] or named
    sides = _sides(named, reading)
    candidates, named = ([column for column in some if column not in sides] for some in (candidates, named))
    named = [column for column in named if "gold" in words_of(column.name)] or named
    if taken is not None:
        reading.label_column = taken
        _compare(table, taken, named, reading)
        return
    named = _without_repeats(table, named, reading)
    floats = [column for column in candidates if column.kind == "float"]
    if len(named) == 1 and named[0].kind == "float" and len(floats) > 1 and len(words_of(named[0].name)) > 1:
        named = floats  # several metrics of a row
    if len(named or candidates) > 1:
        names = ", ".join(repr(column.name) for column in named or candidates)
        reading.unclear(f"{names} may each be the label: keep one, or make one of them")
        reading.label_rivals = tuple(named or candidates)
        return
    if not candidates:
        groups = [column for column in columns if column.kind == "id" and speaks_of(column.name, "group")]
        if len(sentences) == 1 and groups:
            reading.unclear(f"{groups[0].name!r} seems to say which texts are the same: it may be their class")
            reading.label_rivals = (groups[0],)
        return
    found = (named or candidates)[0]
    reading.label_column = found
    reading.doubt(f"{found.name!r} is taken for the label, which a trainer knows only if it is called label or score")
    if _is_told(table, found, alone, sentences):
        return
    if not _is_plausible(table, found) or speaks_of(found.name, "fit"):
        reading.unclear(f"{found.name!r} holds numbers, but neither its name nor its values are those of labels")
        reading.without.append(found)
    elif found.kind not in ("numbers", "number lists") and (len(longer) > 1 or _is_graded(table, found)):
        reading.unclear(f"{found.name!r} may be a label, or something else that is known of a row: its name is neither")
        reading.without.append(found)


def _judgements(table: Table, columns: Sequence[Column]) -> list[Column]:
    """What each of several people said of a row, or how many said what: of these a label is to be made."""
    found = [column for column in columns if column.kind in _NUMERIC[:4] and _is_judgement(column.name)]
    few = [column for column in found if _is_plausible(table, column)]
    return few if len(few) > 1 else []


def _is_judgement(name: str) -> bool:
    counted = speaks_of(name, "count") and speaks_of(
        name, "positive value", "negative value", "binary", "relation value"
    )
    return counted or (speaks_of(name, "person") and not is_id_name(name))


def _is_told(table: Table, column: Column, alone: int, sentences: Sequence[Column]) -> bool:
    """Whether the name of a column says that it is the label, or its values do."""
    name, values = column.name, [str(value) for value in values_of(table, column.name)]
    if column.kind == "class label":
        values = [str(each) for each in table.features[name].names]
    told = bool(hint_of(name)) or is_nameless(name) or _is_class_of_text(column, alone) or is_flag(name, values)
    words = column.looks == "category" or column.kind == "class label"
    of_two = are_yes_and_no(values) or are_relation_values(values) or are_premises([each.name for each in sentences])
    return told or (words and of_two)


def _is_graded(table: Table, column: Column) -> bool:
    """Whether a column holds more different numbers than a flag."""
    return column.kind in ("integer", "float") and len(set(numbers_of(table, column))) > 2


def _sides(named: list[Column], reading: Reading) -> list[Column]:
    """The scores of a right and of a wrong text, each of which is one side's, and no label."""
    sides = {side_of_scores(column.name) for column in named}
    if len(named) != 2 or sides != {"positive", "negative"} or any(column.kind == "numbers" for column in named):
        return []
    names = " and ".join(repr(column.name) for column in named)
    reading.doubt(f"{names} are scores of the right and of the wrong text: their difference would be a margin")
    return named


def _without_repeats(table: Table, named: list[Column], reading: Reading) -> list[Column]:
    """The first of columns that are named as labels, if the others say the same."""
    rest = [(column, _same_label(table, named[0], column)) for column in named[1:]]
    if not rest or any(words is None for _, words in rest):
        return named
    for column, words in rest:
        reading.because(f"{column.name!r} holds the labels of {named[0].name!r} again")
        reading.label_words = reading.label_words or words or {}
    return named[:1]


def _compare(table: Table, taken: Column, others: Sequence[Column], reading: Reading) -> None:
    """Look whether further columns named as labels say the same."""
    rivals = []
    for other in others:
        words = _same_label(table, taken, other)
        if words is None and stem_of(other.name)[0] == key_of(taken.name):
            reading.doubt(f"{other.name!r} seems to be what one of several people said: {taken.name!r} is what holds")
        elif words is None:
            rivals.append(other)
        else:
            reading.because(f"{other.name!r} holds the labels of {taken.name!r} again")
            reading.label_words = reading.label_words or words
    for rival in rivals:
        reading.unclear(
            f"{taken.name!r}, which the trainer takes, and {rival.name!r} both look like the label: keep one"
        )
    if rivals:
        reading.label_rivals = (taken, *rivals)


def _same_label(table: Table, label: Column, other: Column) -> dict[float, str] | None:
    """What the labels are in another column's words, if it has one value for each of the label's; else None."""
    if other.kind not in ("text", "integer", "float", "boolean", "class label"):
        return None
    rows = zip(table.values[label.name], table.values[other.name], strict=True)
    known = [(first, second) for first, second in rows if not is_missing(first) and not is_missing(second)]
    if not known:
        return None
    both = list(zip(*known, strict=True))
    pairs = {(str(first), str(second)): (first, second) for first, second in known}
    first, second = (len(set(side)) for side in zip(*pairs, strict=True))
    again = len(pairs) == first == second and 2 * len(pairs) <= len(both[0])
    if not again and both[0] != both[1]:
        return None
    is_told = other.kind == "text" and label.kind in ("integer", "float", "boolean")
    return {float(number): word for number, word in pairs.values() if number is not None} if is_told else {}


def _is_class_of_text(column: Column, sentences: int) -> bool:
    """Whether a column is named as the class of the only text, or not at all."""
    told = is_class_attribute(column.name) or is_nameless(column.name) or words_of(column.name)[-1] == "code"
    is_attribute = column.looks == "category" and told
    return sentences == 1 and (is_topic_name(column.name) or is_attribute)


def _may_be_label(table: Table, column: Column, sentences: int, roles: Mapping[str, Role]) -> bool:
    is_topic = _is_class_of_text(column, sentences)
    if column.kind in _NUMERIC:
        is_topic |= column.kind == "class label" and is_topic_name(column.name) and sentences > 1
        return not is_metadata(column) or is_topic
    if column.kind != "text" or column.looks == "constant":
        return False
    if column.name in roles and role_of(column.name) is None and column.looks != "category":
        return False  # beside the others its name is that of an input
    is_attribute = len(words_of(column.name)) > 1 and is_class_attribute(column.name)
    if is_attribute and _is_of_input(column, roles) and sentences != 1 and not _is_of_two(table, column):
        return False
    if _is_label_text(table, column) or (is_topic and are_class_names(table.values[column.name])):
        return True
    # A few short texts that come again, beside longer ones that do not.
    if column.looks != "category" or role_of(column.name) is not None or speaks_of(column.name, "damaged"):
        return False
    if (is_attribute and not _is_of_input(column, roles)) or (is_topic_name(column.name) and sentences > 1):
        return True
    if are_judgements(values_of(table, column.name)) and not says([column.name], "metadata name"):
        return True
    if is_metadata(column) or (is_nameless(column.name) and sentences != 1):
        return False
    return sentences >= 1 or _says_how_two_relate(table, column)


def _is_of_two(table: Table, column: Column) -> bool:
    """Whether the words of a column may be said of two texts, though its name is that of something said of one."""
    values = values_of(table, column.name)
    return words_of(column.name)[-1] == "label" and (
        are_relation_values(values) or are_yes_and_no(values) or are_judgements(values)
    )


def _is_said_of_another(column: Column, candidates: Sequence[Column]) -> bool:
    """Whether a column is named as something said of a candidate: `stance_confidence` beside `stance`."""
    *of, head = words_of(column.name)
    is_said = is_attribute_name(column.name) or speaks_of(head, "fit")
    return is_said and any(words_of(other.name) == of for other in candidates)


def _says_how_two_relate(table: Table, column: Column) -> bool:
    """Whether the words of a column are several that say how two texts relate, whatever its name."""
    if column.looks != "category" or is_attribute_name(column.name) or speaks_of(column.name, "person"):
        return False
    return sum(are_relation_values([value]) for value in set(values_of(table, column.name))) > 1


def _is_of_input(column: Column, roles: Mapping[str, Role]) -> bool:
    """Whether a column is named as something said of an input: `question_type` beside `question`."""
    *of, head = words_of(column.name)
    return head not in ("quality", "status", "level") and any(words_of(name) == of for name in roles)


def _is_label_text(table: Table, column: Column) -> bool:
    """Whether texts are labels by the column's name: those that could be inputs by it must be marks, as yes and no."""
    values = values_of(table, column.name)
    is_choice = speaks_of(column.name, "better")
    if role_of(column.name) is not None and not is_choice:
        return is_flag(column.name, values)
    return bool(hint_of(column.name)) and are_class_names(values)


def _is_plausible(table: Table, column: Column) -> bool:
    if column.kind not in ("integer", "float"):
        return True
    numbers: list[float] = numbers_of(table, column)
    if column.kind == "integer":
        return len(set(numbers)) <= _PLAUSIBLE_CLASSES
    return min(numbers) >= _PLAUSIBLE_RANGE[0] and max(numbers) <= _PLAUSIBLE_RANGE[1]


# --- The inputs -------------------------------------------------------------------------------------------------------


def _is_stray(table: Table, column: Column, texts: Sequence[Column], reading: Reading) -> bool:
    """Whether texts are none to train on."""
    if key_of(column.name) in TRAINER_LABELS or _is_said_of_a_text(column):
        return True
    if column.kind != "text":
        return False
    others = [other for other in texts if other.name != column.name]
    sentences = [other for other in others if other.looks == "text" or other.kind != "text"]
    told = reading.label_column is not None and speaks_of(column.name, "remark")
    if told and _is_complete(list(roles_of([other.name for other in others]).values())):
        return True
    if speaks_of(column.name, "instruction") and others and _is_few(table, column):
        return any(role_of(other.name) in ("anchor", "numbered") for other in others)
    if role_of(column.name) is None and not is_nameless(column.name) and not speaks_of(column.name, "damaged"):
        if hint_of(column.name) and reading.label_column is None:
            return are_class_names(table.values[column.name])
        if column.looks == "category" and sentences:
            return True
        return column.looks in ("short", "code") and len(sentences) > 1
    return _is_label_text(table, column)


def _is_few(table: Table, column: Column) -> bool:
    values = values_of(table, column.name)
    return len(set(values)) <= _FEW * len(values)


def _choose_inputs(table: Table, inputs: list[Column], left: Sequence[Column], reading: Reading) -> None:
    """The inputs, in the order that their names ask for."""
    inputs = _without_contradicted(_once(inputs, reading), reading)
    roles = roles_of([column.name for column in inputs])
    named = [column for column in inputs if column.name in roles]
    kinds = [roles[column.name] for column in named]
    extra = [column for column in inputs if column.name not in roles]
    complete = _is_complete(kinds)
    choices = [column for column in left if is_choices_name(column.name) and column.kind in (*_INPUTS, "other")]
    if choices:
        names = ", ".join(repr(column.name) for column in choices)
        reading.unclear(f"{names} hold(s) answers to choose from: which of them is right must be looked up first")
    elif complete and extra:
        names = ", ".join(repr(column.name) for column in extra)
        aside = all(speaks_of(column.name, "remark") or is_attribute_name(column.name) for column in extra)
        if _takes_two(reading.label_column) and len(named) == 2 and (aside or "numbered" not in kinds):
            reading.doubt(f"{names} may be text to train on too, but the label is for two texts, and these are named")
        else:
            reading.unclear(f"{names} may be text to train on, or not: keep only the columns to train on")
            reading.others.append((tuple(inputs), "none"))
        inputs = named
    if not inputs or not (complete or len(inputs) > 1):
        inputs, roles = _with_ids(inputs, left, roles, reading)
    elif "negative" not in kinds:
        for column in left:
            if column.kind in ("id", "ids") and role_of(without_id(column.name)) == "negative":
                reading.doubt(f"{column.name!r} holds IDs of negatives: resolve_ids puts the texts in their place")
    _doubt_values(table, inputs, reading)
    reading.inputs = _ordered(inputs, roles)
    if [column.name for column in reading.inputs] != [column.name for column in inputs]:
        names = ", ".join(column.name for column in reading.inputs)
        reading.because(f"by their names the inputs come in the order {names}; the trainer goes by the columns' order")


def _is_complete(kinds: Sequence[Role]) -> bool:
    """Whether there is a text, and another that it belongs to."""
    return ("anchor" in kinds and "positive" in kinds) or kinds.count("numbered") > 1


def _once(inputs: list[Column], reading: Reading) -> list[Column]:
    """The inputs without those that hold a text in another way of writing."""
    first = {text_of(column.name): column.name for column in reversed(inputs)}
    again = [column for column in inputs if first[text_of(column.name)] != column.name]
    if again:
        names = ", ".join(repr(column.name) for column in again)
        reading.doubt(f"{names} seem(s) to hold a text again, in another way of writing")
    return [column for column in inputs if first[text_of(column.name)] == column.name]


def _without_contradicted(inputs: list[Column], reading: Reading) -> list[Column]:
    """The inputs without those whose values are no texts though their names are, where the others do without them."""
    odd = ("category", "constant", "code", "date", "named")
    said = [column for column in inputs if column.looks not in odd or role_of(column.name) == "anchor"]
    if reading.label_column:  # the title of a document stands beside it
        said = [column for column in said if words_of(column.name)[1:][-1:] != ["title"]]
    roles = roles_of([column.name for column in said])
    kept = {column.name for column in said}
    doubtful = [column for column in inputs if column.name not in kept and role_of(column.name) != "anchor"]
    if not doubtful or not _is_complete(list(roles.values())):
        return inputs
    names = ", ".join(repr(column.name) for column in doubtful)
    reading.doubt(f"{names} hold(s) no texts to train on, whatever the name says")
    return [column for column in inputs if column not in doubtful]


def _takes_two(label: Column | None) -> bool:
    """Whether a label is one value, which more than two texts hardly have."""
    return label is not None and label.kind not in ("numbers", "number lists")


def _with_ids(
    inputs: list[Column], left: Sequence[Column], roles: dict[str, Role], reading: Reading
) -> tuple[list[Column], dict[str, Role]]:
    """The inputs with the IDs that stand for others."""
    ids = [column for column in left if column.kind in ("id", "ids") and _is_input_id(column, inputs)]
    if not ids or (inputs and not any(role_of(column.name) for column in inputs)):
        return inputs, roles
    reading.unclear(
        f"{', '.join(repr(column.name) for column in ids)} hold(s) IDs of inputs: needs resolve_ids "
        "(sentence_transformers.util), which puts the texts in their place"
    )
    of_ids = {column.name for column in ids}
    inputs = [column for column in left if column in inputs or column.name in of_ids]
    stands_for = {column.name: without_id(column.name) if column.name in of_ids else column.name for column in inputs}
    by_text = roles_of(list(stands_for.values()))
    return inputs, {name: by_text[text] for name, text in stands_for.items() if text in by_text}


def _is_input_id(column: Column, inputs: Sequence[Column]) -> bool:
    """Whether IDs stand for an input that is not there as text."""
    role = role_of(without_id(column.name))
    return role is not None and all(role_of(other.name) != role for other in inputs)


def _doubt_values(table: Table, inputs: Sequence[Column], reading: Reading) -> None:
    """Inputs by their names whose values name something instead of saying it, or are those of labels."""
    texts = [column for column in inputs if column.kind in ("text", "texts")]
    codes = [column for column in texts if holds_codes(table, column.name)]
    if codes and len(codes) == len(inputs):
        reading.deny("every text looks like an ID: if they are, resolve_ids puts the texts in their place")
    for column in texts:
        if column.looks == "named" or (column.kind == "texts" and holds_names_only(table, column.name)):
            reading.deny(
                f"{column.name!r} holds UUIDs, hashes or links, which say nothing to a model: resolve_ids "
                "(sentence_transformers.util) puts the texts in their place"
            )
        elif column in codes:
            reading.doubt(
                f"{column.name!r} looks like IDs: if it holds them, resolve_ids puts the texts in their place"
            )
        elif column.looks == "category" and role_of(column.name) in ("positive", "negative") and len(inputs) > 1:
            reading.class_of.append(column)
            doubt = reading.doubt if key_of(column.name) == "positive" else reading.unclear
            doubt(f"{column.name!r} is named like a text, but holds a few short ones, as labels are")
        if is_id_name(column.name):
            reading.doubt(f"{column.name!r} is named like IDs, but holds sentences")


def _ordered(inputs: list[Column], roles: Mapping[str, Role]) -> list[Column]:
    rank = {"anchor": 0, "numbered": 0, "positive": 1, "negative": 2}
    if len(roles) >= len(inputs) and all(column.name in roles for column in inputs):
        return sorted(inputs, key=lambda column: (rank[roles[column.name]], stem_of(column.name)[1] or 0))
    names = [column.name for column in inputs]
    if is_damaged_first(names[::-1]) or (are_parts(names) and not speaks_of(names[0], "title")):
        return inputs[::-1]
    # What is not named an anchor comes after it; lists come last.
    has_anchor = "anchor" in roles.values()

    def place(column: Column) -> tuple[int, bool]:
        return rank[roles.get(column.name, "positive")] if has_anchor else 0, column.kind in ("texts", "ids")

    return sorted(inputs, key=place)
