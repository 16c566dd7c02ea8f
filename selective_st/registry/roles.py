"""Which columns are meant: the label, the inputs, and what is set aside, each by its name and by its values.

A role is *certain* where name and values both say it, *likely* where one speaks and nothing contradicts, and *unclear*
where they disagree. How many columns there are decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from selective_st.catalog import SAID
from selective_st.registry import names
from selective_st.registry.columns import Column, ColumnKind, are_class_names, is_metadata
from selective_st.registry.names import Role, roles_of
from selective_st.registry.reading import Reading, listed, said
from selective_st.registry.table import present

_NUMERIC: tuple[ColumnKind, ...] = ("integer", "float", "boolean", "class label", "numbers", "number lists")
_INPUTS: tuple[ColumnKind, ...] = ("text", "texts", "media")
_PLAUSIBLE_CLASSES = 11  # more different whole numbers are hardly classes
_FEW = 0.25  # of the rows at most have another text, where it is an instruction


def choose_columns(reading: Reading) -> None:
    """Choose the label column and the inputs; what is left would be trained on as text."""
    usable = [column for column in reading.columns if column.name not in names.RESERVED]
    texts = [column for column in usable if column.kind in _INPUTS and not _is_said_of_a_text(column)]
    _choose_label(reading, usable, texts)
    left = _without(usable, (reading.label_column, *reading.label_rivals))
    sentences = sum(text.looks in ("text", "") for text in texts)
    given = [column for column in left if column.kind in _INPUTS]
    inputs = [column for column in given if not _is_stray(reading, column, texts, sentences)]
    _choose_inputs(reading, inputs, left)
    strays = _without(reading.columns, (*reading.inputs, reading.label_column))
    for column in strays:
        reading.because(_why_aside(column))
    # A column of IDs is known by its name; what else is left out was judged.
    if reading.certainty == "certain" and not all("named id" in column.tags for column in strays):
        reading.certainty = "likely"


def _without(columns: Iterable[Column], others: Iterable[Column | None]) -> list[Column]:
    """The columns that are not among others."""
    known = {column.name for column in others if column is not None}
    return [column for column in columns if column.name not in known]


def _why_aside(column: Column) -> str:
    if column.name in names.RESERVED:
        return f"{column} is a name that the trainer refuses"
    what = SAID["looks"].get(column.looks) or SAID["kinds"][column.kind]
    if column.looks == "constant" and "instruction" in column.tags:
        what += " (an instruction: give it to the trainer as prompts)"
    return f"{column} {what}: it is no input, though the trainer would read it"


def _is_said_of_a_text(column: Column) -> bool:
    """Whether texts are no input: by their name, unless they are more than a word or two, or by their looks."""
    if column.looks == "constant":
        return column.role != "anchor" or "instruction" in column.tags
    if column.looks == "date" or (column.looks in ("code", "named") and column.role is None):
        return True
    return is_metadata(column) and (column.looks != "text" or "named topic" in column.tags)


def _is_complete(kinds: Collection[Role | None]) -> bool:
    """Whether there is a text, and another that it belongs to."""
    return ("anchor" in kinds and "positive" in kinds) or list(kinds).count("numbered") > 1


# --- The label --------------------------------------------------------------------------------------------------------


def _choose_label(reading: Reading, columns: Sequence[Column], texts: Sequence[Column]) -> None:
    taken = next((column for column in columns if column.name == reading.trainer_label), None)
    if taken and taken.kind == "empty":
        reading.doubt(f"the trainer's label column {taken} is empty")
        taken = None
    sentences = [column for column in texts if column.looks != "category"]
    longer = [column for column in sentences if column.looks != "short"] or sentences
    roles = roles_of([column.name for column in texts])
    is_pair = {"anchor", "positive"} <= {roles.get(column.name) for column in sentences}
    are_premises = names.are_premises([column.name for column in sentences])
    alone = 2 if are_premises else 0 if is_pair else len(longer)  # a pair is one without its label, premises are not
    candidates = [column for column in columns if column is not taken and _may_be_label(column, alone, roles)]
    candidates = [column for column in candidates if not _is_said_of_another(column, candidates)]
    candidates = candidates or _judgements(columns)
    named = [column for column in candidates if column.hint or _says_how_two_relate(column)]
    by_name = {column.name for column in named}
    named = named and [column for column in candidates if column.name in by_name or _is_verdict(column)]
    named = [column for column in named if "named weak label" not in column.tags] or named
    sides = {names.side_of_scores(column.name) for column in named if column.kind != "numbers"}
    if len(named) == 2 and sides == {"positive", "negative"}:  # each is the score of one side, none the label
        reading.doubt(said("scores of two sides", listed(named, " and ")))
        candidates, named = _without(candidates, named), []
    named = [column for column in named if "gold" in column.words] or named
    if taken is not None:
        reading.label_column = taken
        _compare(reading, taken, _without_repeats(reading, taken, named))
        return
    named = [*named[:1], *_without_repeats(reading, named[0], named[1:])] if named else []
    floats = [column for column in candidates if column.kind == "float"]
    if len(named) == 1 and named[0].kind == "float" and len(named[0].words) > 1:
        named = floats  # several metrics of a row
    candidates = named or candidates
    if len(candidates) > 1:
        reading.unclear(f"{listed(candidates)} may each be the label: keep one, or make one of them")
        reading.label_rivals = tuple(candidates)
    elif candidates:
        reading.label_column = found = candidates[0]
        reading.doubt(f"{found} is taken for the label, which a trainer knows only if it is called label or score")
        if _is_doubtful(found, alone, len(longer), are_premises=are_premises):
            reading.unclear(f"{found} may be a label, or something else that is known of a row")
            reading.without_label = True
    elif len(sentences) == 1:
        groups = [column for column in columns if column.kind == "id" and "group" in column.tags]
        for group in groups[:1]:
            reading.unclear(f"{group} seems to say which texts are the same: it may be their class")
            reading.label_rivals = (group,)


def _is_doubtful(found: Column, alone: int, longer: int, *, are_premises: bool) -> bool:
    """Whether neither the name nor the values of a column say that it is the label."""
    values = list(found.classes) or list(map(str, found.known))
    are_told = are_premises or names.are_yes_and_no(values) or names.are_relation_values(values)
    is_told = (found.looks == "category" or found.kind == "class label") and are_told
    is_told = is_told or names.is_flag(found.name, values) or _is_class_of_text(found, alone)
    if is_told or found.hint or "unnamed" in found.tags:
        return False
    is_graded = found.kind in ("integer", "float") and len(found.distinct) > 2  # more than a flag
    is_asked = found.kind not in ("numbers", "number lists") and (longer > 1 or is_graded)
    return is_asked or not _is_plausible(found) or "fit" in found.tags


def _judgements(columns: Sequence[Column]) -> list[Column]:
    """What each of several people said of a row, or how many said what: of these a label is to be made."""
    numbers = [column for column in columns if column.kind in _NUMERIC[:4] and _is_plausible(column)]
    found = [column for column in numbers if "named judgement" in column.tags]
    return found if len(found) > 1 else []


def _compare(reading: Reading, taken: Column, others: Sequence[Column]) -> None:
    """Tell which further columns may be the label beside what the trainer takes."""
    for other in others:
        if names.stem_of(other.name)[0] == names.key_of(taken.name):
            reading.doubt(f"{other} seems to be what one of several people said: {taken} is what holds")
        else:
            reading.unclear(f"{taken}, which the trainer takes, and {other} both look like the label: keep one")
            reading.label_rivals = (*(reading.label_rivals or (taken,)), other)


def _without_repeats(reading: Reading, label: Column, others: Sequence[Column]) -> list[Column]:
    """The columns that do not say the same as the label; those that do may tell what its numbers are in words."""
    repeats = {other: words for other in others if (words := _same_label(label, other)) is not None}
    for other, words in repeats.items():
        reading.because(f"{other} holds the labels of {label} again")
        reading.label_words = reading.label_words or words
    return _without(others, repeats)


def _same_label(label: Column, other: Column) -> dict[float, str] | None:
    """What the labels are in another column's words, if it has one value for each of the label's; else None."""
    if other.kind not in ("text", "integer", "float", "boolean", "class label"):
        return None
    known = [row for row in zip(label.cells, other.cells, strict=True) if len(present(row)) == 2]
    pairs = {(str(first), str(second)): (first, second) for first, second in known}
    sides = [len(set(side)) for side in zip(*pairs, strict=True)]
    again = sides == [len(pairs)] * 2 and 2 * len(pairs) <= len(known)
    if not known or not (again or all(first == second for first, second in known)):
        return None
    is_told = other.kind == "text" and label.kind in ("integer", "float", "boolean")
    return {float(number): word for number, word in pairs.values()} if is_told else {}


def _is_class_of_text(column: Column, alone: int) -> bool:
    """Whether a column is named as the class of the only text, or not at all."""
    told = column.speaks_of("named class", "unnamed") or column.words[-1] == "code"
    return alone == 1 and ("named topic" in column.tags or (column.looks == "category" and told))


def _may_be_label(column: Column, alone: int, roles: Mapping[str, Role]) -> bool:
    is_topic, beside_others = _is_class_of_text(column, alone), "named topic" in column.tags and alone > 1
    if column.kind in _NUMERIC:
        return not is_metadata(column) or is_topic or (column.kind == "class label" and beside_others)
    is_category = column.looks == "category"  # a few short texts that come again, beside longer ones that do not
    if column.kind != "text":
        return False
    if column.looks == "constant" and not (column.hint and names.says(column.known[:1], "negative value")):
        return False  # one text in all rows tells nothing, unless it says that none belong together
    if column.name in roles and column.role is None and not is_category:
        return False  # beside the others its name is that of an input
    *of, head = column.words
    is_attribute = bool(of) and "named class" in column.tags
    # Named as something said of an input, `question_type` beside `question`, though its words may be of two texts.
    is_of_input = is_attribute and head not in ("quality", "status", "level") and of in map(names.words_of, roles)
    of_two = (names.are_relation_values, names.are_yes_and_no, names.are_judgements) if head == "label" else ()
    if is_of_input and alone != 1 and not any(are(column.known) for are in of_two):
        return False
    if _is_label_text(column) or (is_topic and are_class_names(column.cells)):
        return True
    if not is_category or column.role is not None or "damaged" in column.tags:
        return False
    is_person = "person" in column.tags and len(column.words) == 1  # speaker A, speaker B
    is_judged = names.are_judgements(column.known) and "named metadata" not in column.tags and not is_person
    if (is_attribute and not is_of_input) or beside_others or is_judged:
        return True
    is_other = is_metadata(column) or ("unnamed" in column.tags and alone != 1)
    return not is_other and (alone >= 1 or column.is_mark or _says_how_two_relate(column))


def _is_said_of_another(column: Column, candidates: Sequence[Column]) -> bool:
    """Whether a column is named as something said of a candidate: `confidence`, `stance_confidence` beside `stance`."""
    *of, head = column.words
    is_said = "named attribute" in column.tags or "fit" in names.tags_of(head)
    is_trust = not of and "trust" in column.tags
    others = candidates if is_said or is_trust else ()
    return any((is_said and other.words == of) or (is_trust and "fit" not in other.tags) for other in others)


def _says_how_two_relate(column: Column) -> bool:
    """Whether the words of a column are several that say how two texts relate, whatever its name."""
    if column.looks != "category" or column.speaks_of("named attribute", "person"):
        return False
    return sum(names.are_relation_values([value]) for value in set(column.known)) > 1


def _is_verdict(column: Column) -> bool:
    """Whether a column is what somebody said of a row: accepted, or thumbs up and down."""
    return "flag" in column.tags or (column.looks == "category" and names.are_judgements(column.known, letters=False))


def _is_label_text(column: Column) -> bool:
    """Whether texts are labels by the column's name: those that could be inputs by it must be marks, as yes and no."""
    if column.role is not None and "better" not in column.tags:
        return names.is_flag(column.name, column.known)
    return bool(column.hint) and are_class_names(column.known)


def _is_plausible(column: Column) -> bool:
    if column.kind == "integer":
        return len(column.distinct) <= _PLAUSIBLE_CLASSES
    return column.kind != "float" or (column.ends[0] >= -1 and column.ends[1] <= 100)


# --- The inputs -------------------------------------------------------------------------------------------------------


def _is_stray(reading: Reading, column: Column, texts: Sequence[Column], sentences: int) -> bool:
    """Whether texts are none to train on; `sentences` tells how many columns hold more than a word or two."""
    if names.key_of(column.name) in names.TRAINER_LABELS or _is_said_of_a_text(column):
        return True
    if column.kind != "text":  # the labels of several people beside the one that holds
        return column.kind == "texts" and column.hint == "label" and reading.label_column is not None
    others = _without(texts, [column])
    if reading.label_column and "remark" in column.tags and _is_complete(roles_of([o.name for o in others]).values()):
        return True
    if "instruction" in column.tags and others and len(set(column.known)) <= _FEW * len(column.known):
        return any(other.role in ("anchor", "numbered") for other in others)
    if column.role is not None or column.speaks_of("unnamed", "damaged"):
        return _is_label_text(column)
    if column.hint and reading.label_column is None:
        return are_class_names(column.cells)
    most = {"category": 0, "short": 1, "code": 1}  # so many sentences may stand beside a text that looks so
    return column.looks in most and sentences > most[column.looks]


def _choose_inputs(reading: Reading, inputs: list[Column], left: Sequence[Column]) -> None:
    """The inputs, in the order that their names ask for."""
    inputs = _without_contradicted(reading, _once(reading, inputs))
    roles = roles_of([column.name for column in inputs])
    named = [column for column in inputs if column.name in roles]
    extra = [column for column in inputs if column.name not in roles]
    kinds = [roles[column.name] for column in named]
    complete, label = _is_complete(kinds), reading.label_column
    choices = [column for column in left if "named choices" in column.tags and column.kind in (*_INPUTS, "other")]
    if choices:
        reading.unclear(said("choices", listed(choices)))
    elif complete and extra:
        aside = all(column.speaks_of("remark", "named attribute") for column in extra)
        takes_two = label is not None and label.kind not in ("numbers", "number lists")
        if takes_two and len(named) == 2 and (aside or "numbered" not in kinds):
            reading.doubt(said("further texts", listed(extra)))
        else:
            reading.unclear(f"{listed(extra)} may be text to train on, or not: keep only the columns to train on")
            reading.others.append((tuple(inputs), "none"))
        inputs = named
    if not inputs or not (complete or len(inputs) > 1):
        inputs, roles = _with_ids(reading, inputs, left, roles)
    elif "negative" not in kinds:
        for column in left:
            if column.kind in ("id", "ids") and names.role_of(names.without_id(column.name)) == "negative":
                reading.doubt(f"{column} holds IDs of negatives: resolve_ids puts the texts in their place")
    _doubt_values(reading, inputs)
    reading.inputs = _ordered(inputs, roles)
    if reading.inputs != inputs:
        order = ", ".join(reading.input_names)
        reading.because(f"by their names the inputs come in the order {order}; the trainer goes by the columns' order")


def _once(reading: Reading, inputs: list[Column]) -> list[Column]:
    """The inputs without those that hold a text in another way of writing."""
    first = {names.text_of(column.name): column for column in reversed(inputs)}
    again = [column for column in inputs if first[names.text_of(column.name)] is not column]
    if again:
        reading.doubt(f"{listed(again)} seem(s) to hold a text again, in another way of writing")
    return _without(inputs, again)


def _without_contradicted(reading: Reading, inputs: list[Column]) -> list[Column]:
    """The inputs without those whose values are no texts though their names are, where the others do without them."""
    odd = ("category", "constant", "code", "date", "named")
    kept = [column for column in inputs if column.looks not in odd or column.role == "anchor"]
    if reading.label_column:  # the title of a document stands beside it
        kept = [column for column in kept if column.words[1:][-1:] != ["title"]]
    doubtful = [column for column in _without(inputs, kept) if column.role != "anchor"]
    if not doubtful or not _is_complete(roles_of([column.name for column in kept]).values()):
        return inputs
    doubt = reading.unclear if any(column.is_mark for column in doubtful) else reading.doubt
    doubt(f"{listed(doubtful)} hold(s) no texts to train on, whatever the name says")
    return _without(inputs, doubtful)


def _with_ids(
    reading: Reading, inputs: list[Column], left: Sequence[Column], roles: dict[str, Role]
) -> tuple[list[Column], dict[str, Role]]:
    """The inputs with the IDs that stand for others."""
    known = {column.role for column in inputs}
    stands_for = {column.name: names.without_id(column.name) for column in left if column.kind in ("id", "ids")}
    ids = [column for column in left if names.role_of(stands_for.get(column.name, "")) not in (None, *known)]
    if not ids or (inputs and known == {None}):
        return inputs, roles
    reading.unclear(said("ids", listed(ids)))
    inputs = [column for column in left if column in (*inputs, *ids)]
    texts = {column.name: stands_for.get(column.name, column.name) for column in inputs}
    by_text = roles_of(list(texts.values()))
    return inputs, {name: by_text[text] for name, text in texts.items() if text in by_text}


def _doubt_values(reading: Reading, inputs: Sequence[Column]) -> None:
    """Inputs by their names whose values name something instead of saying it, or are those of labels."""
    texts = [column for column in inputs if column.kind in ("text", "texts")]
    codes = [column for column in texts if column.holds_codes]
    doubt_codes = reading.deny if len(codes) == len(inputs) else reading.doubt
    for column in texts:
        if column.looks == "named" or (column.kind == "texts" and column.holds_names_only):
            reading.deny(said("names only", column))
        elif column in codes:
            doubt_codes(f"{column} looks like IDs: if it holds them, resolve_ids puts the texts in their place")
        elif column.looks == "category" and column.role in ("positive", "negative") and len(inputs) > 1:
            reading.class_of.append(column)
            doubt = reading.doubt if names.key_of(column.name) == "positive" else reading.unclear
            doubt(f"{column} is named like a text, but holds a few short ones, as labels are")
        if "named id" in column.tags:
            reading.doubt(f"{column} is named like IDs, but holds sentences")


def _ordered(inputs: list[Column], roles: Mapping[str, Role]) -> list[Column]:
    own = [column.name for column in inputs]
    are_known = all(name in roles for name in own)
    are_turned = names.is_damaged_first(own[::-1]) or (names.are_parts(own) and "title" not in inputs[0].tags)
    if are_turned and not are_known:
        return inputs[::-1]
    ranks = {"anchor": 0, "numbered": 0, "positive": 1, "negative": 2}
    if are_known:
        return sorted(inputs, key=lambda each: (ranks[roles[each.name]], names.stem_of(each.name)[1] or 0))
    # What is not named an anchor comes after it; lists come last.
    ranks = ranks if "anchor" in roles.values() else dict.fromkeys(ranks, 0)
    return sorted(inputs, key=lambda each: (ranks[roles.get(each.name, "positive")], each.kind in ("texts", "ids")))
