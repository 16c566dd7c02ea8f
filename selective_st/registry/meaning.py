"""What the chosen columns mean: the rules that tell formats apart.

Each rule is one function. It sets the kind of the labels, says why, and says what it could not tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from selective_st.catalog import ANCHOR_POSITIVE, SHAPES, fitting_rows, shape_of
from selective_st.registry import labels, names
from selective_st.registry.columns import Column, are_messages, are_whole, holds_infinite, is_metadata, nested_fields
from selective_st.registry.names import Role
from selective_st.registry.reading import Reading, listed, said
from selective_st.registry.steps import Step

_LOOKED_AT = 1_000  # rows in which texts are compared
_IDENTICAL_SOME = 0.1  # of the rows hold the same text twice: not by chance
_DAMAGED_MOST = 0.95  # of the rows hold a damaged text and its original
_DAMAGED_WORDS_LEFT = (0.2, 3)  # a damaged text keeps at least this share of the words, and this many on average


def read(reading: Reading) -> None:
    """Read what the chosen columns mean, and write it into the reading."""
    for column in reading.columns:
        if column.kind == "other":
            _read_unread(reading, column)
    if not reading.inputs:
        reading.unclear("no column holds texts, images or audio to train on")
        return
    lists = [column for column in reading.inputs if column.kind in ("texts", "ids")]
    if lists:
        _read_lists(reading, lists)
    else:
        reading.shape = shape_of(reading.inputs)
        if reading.label_column is not None:
            labels.read_label(reading, reading.label_column)
        elif not reading.label_rivals:
            _read_unlabelled(reading)
    for given in reading.inputs:
        if are_messages(given.known):
            reading.unclear(f"{given} holds chat messages (role and content): they must be made texts first")
    if reading.label_column is not None:
        column = reading.label_column
        of_numbers = ["true", "false"] if column.kind == "boolean" else list(reading.label_words.values())
        values = column.names or of_numbers
        _read_name(reading, column, values)
        _read_relation(reading, column, values)
    unresolved = any(column.kind in ("id", "ids") for column in reading.inputs)
    is_mixed = reading.label == "none" and (unresolved or reading.shape == "pair")
    if reading.shape and reading.label and not reading.meaning and not is_mixed:
        fitting = fitting_rows(reading.shape, reading.label)
        reading.meaning = fitting[0].inputs if fitting else ""


def _read_unread(reading: Reading, column: Column) -> None:
    """What cannot be read as it is, where it may be an input or the label."""
    nested, step = nested_fields(column.cells), None
    if column.looks == "numbers":
        needed = reading.label_column is None
        what = f"numbers in a way of writing that is not read, such as {column.known[0]!r}"
        if column.written.kind == "numbers":
            step = Step("labels_to_float", (column.name,))
            what += "; labels_to_float of selective_st.conversion reads it"
    elif nested:
        needed, step = len(reading.inputs) < 2 and not is_metadata(column), nested.step(column.name)
        what = f"{nested}, whose texts must be taken out"
    else:
        needed = not column.looks and any(isinstance(value, str) for value in column.cells)
        what = "what cannot be read, such as lists written as text"
        if holds_infinite(column.cells):
            what = "infinite numbers, which no loss can reach: leave out these rows"
    if needed or column.role or column.hint:
        reading.needed += [step] if step else []
        reading.unclear(f"{column} holds {what}")


# --- What the name of the label says ----------------------------------------------------------------------------------


def _read_name(reading: Reading, column: Column, values: Sequence[str]) -> None:
    """What the names of label and inputs say against the reading."""
    kind = reading.label
    if reading.shape == "single" or column.kind == "number lists" or kind == "embedding":
        return
    is_margin = kind in ("margin", "margins") and "margin" in column.tags  # a difference of two scores
    is_graded = kind not in ("class", "class probabilities")
    is_turned = is_graded and names.is_negating(column.name) and not is_margin
    if "better" in column.tags or names.name_sides(values, reading.input_names):
        reading.no_label = True
        reading.withdraw_label(f"{column} may say which of the inputs is better, not whether they belong together")
    elif is_turned and not (values and labels.speak_for_themselves(values)):
        reading.no_label = True
        reading.doubts = [doubt for doubt in reading.doubts if doubt != labels.GRANTED]
        reading.withdraw_label(said("turned", column))
    elif is_graded and reading.shape == "pair" and {each.role for each in reading.inputs} == {"positive", "negative"}:
        what = "one text is named a positive and one a negative"
        reading.withdraw_label(f"{what}, but there is no anchor to which they are so")


def _read_relation(reading: Reading, column: Column, values: Sequence[str]) -> None:
    """What names and values say against a label that tells how two texts relate."""
    name = column.name
    is_relation = "relation" in column.tags
    if reading.shape == "single" and reading.label:
        relating = [value for value in values if names.are_relation_values([value])]
        if is_relation or len(relating) > 1:
            reading.deny(f"{name!r} is named like how two texts relate, but there is one: where is the other?")
        return
    if reading.shape != "pair" or reading.label not in ("class", "binary", "similarity"):
        return
    first, second = reading.input_names
    are_parts = names.are_parts(reading.input_names)
    is_other_score = "named bare score" in column.tags and (are_parts or len(column.words) > 1)
    is_quality = "quality" in column.tags or is_other_score
    told = is_relation or names.are_relation_values(values) or column.hint == "binary"
    told = told or (column.hint == "score" and name not in names.TRAINER_LABELS and not is_quality)
    says_yes = names.says(values, "positive value", "negative value")
    says_yes = says_yes and not {"yes", "no", "true", "false"}.isdisjoint(map(names.key_of, values))
    is_answer = says_yes and "asked" in names.tags_of(first) and "asked of" in names.tags_of(second)
    # Names that say what each text is for, or nothing at all, say that the label is of both.
    are_related = None not in reading.roles or names.are_sides(reading.input_names)
    are_related = are_related or any("search" in given.tags for given in reading.inputs)
    are_related = are_related or all("unnamed" in given.tags for given in reading.inputs)
    is_graded = reading.label == "similarity" and (is_quality or are_whole(column.distinct))
    is_open = (reading.label == "class" or is_graded) and not are_related
    is_open = is_open or are_parts or is_answer or names.is_said_before((first, second))
    if "of one text" in column.tags or (is_open and not told):
        doubt = f"{name!r} may be of one text, or tell how {first!r} and {second!r} relate"
        reading.withdraw_label(doubt, ("single", "class"))


# --- List columns of inputs -------------------------------------------------------------------------------------------


def _read_lists(reading: Reading, lists: Sequence[Column]) -> None:
    label, texts = reading.label_column, len(reading.inputs) - len(lists)
    given = [*zip(reading.inputs, reading.roles, strict=True)]
    anchors, positives, negatives = (
        [each for each, role in given if role == wanted] for wanted in ("anchor", "positive", "negative")
    )
    are_sides = len(anchors) == len(positives) == 1 and len(negatives) <= 1
    are_sides = are_sides and len(reading.inputs) == 2 + len(negatives) and anchors[0] not in lists
    if len(lists) == 1 and texts == 1 and label is not None and label.kind == "numbers":
        _read_scored_list(reading, lists[0], label)
    elif are_sides and (negatives or positives[0].speaks_of("explicit positive", "right")):
        _read_sides(reading, positives[0], *negatives)
    elif label is None and not reading.label_rivals and texts >= 1:
        reading.shape, reading.label = ("list" if len(lists) == texts == 1 else None), "none"
        reading.alternatives.append(("n-tuple", "none"))
        reading.unclear(said("lists without scores", listed(lists)))
    else:
        what = "no label" if label is None else f"the label {label} ({label.kind})"
        reading.unclear(said("lists and a label", listed(lists), texts, what))


def _read_sides(reading: Reading, positives: Column, negatives: Column | None = None) -> None:
    """Right texts and wrong ones by their names, in lists: a row for each right one, or lists with labels."""
    scores = {names.side_of_scores(column.name): column.name for column in reading.label_rivals}
    sides = [positives.name, *([negatives.name] if negatives else [])]
    if negatives and set(scores) == {"positive", "negative"}:
        reading.certainty, reading.doubts = "likely", []  # two columns of scores are no rivals: each is of one side
        reading.shape, reading.label, reading.label_rivals = "list", "scores", ()
        why = "the right and the wrong texts in one list, with their scores"
        reading.mends.append(Step("join_lists", (*sides, scores["positive"], scores["negative"]), why=why))
        return
    known = [each for each in (reading.label_column, *reading.label_rivals) if each is not None]
    if known:
        reading.unclear(said("sides and labels", ", ".join(map(repr, sides)), listed(known)))
        return
    wrong = [1 if isinstance(value, str) else len(value) for value in negatives.known] if negatives else []
    widest = max(wrong, default=0)
    reading.shape, reading.label = SHAPES[min(1 + widest, 3)], "none"
    reading.meaning = "" if widest else ANCHOR_POSITIVE
    why = "a row for each right text" + (", with the wrong ones" if widest else "")
    if negatives and not all(negatives.cells):
        why += "; rows without a wrong text are left out"
    reading.because(f"the names {', '.join(sides)} say which texts are right" + (" and which wrong" if widest else ""))
    reading.mends.append(Step("rows_of_positives", tuple(sides), why=why))


def _read_scored_list(reading: Reading, documents: Column, label: Column) -> None:
    reading.shape = "list"
    lengths = labels.lengths_of(reading, label)
    rows = [row for row in zip(documents.cells, label.cells, strict=True) if None not in row]
    unequal = sum(len(texts) != len(scores) for texts, scores in rows)
    if lengths and unequal:
        reading.unclear(f"{unequal} row(s) have not as many {label} as {documents}", "scores")
    if not lengths or unequal:
        return
    labels.read_scores(reading, label.numbers)
    reading.alternatives.append(("n-tuple", reading.label or "scores"))


# --- Inputs without labels --------------------------------------------------------------------------------------------


def _read_unlabelled(reading: Reading) -> None:
    reading.label = "none"
    if reading.shape == "single" or any(column.kind == "id" for column in reading.inputs):
        return
    own, kinds = ", ".join(reading.input_names), reading.roles
    first, second, *others = kinds
    if reading.shape == "pair":
        _read_pair(reading, kinds)
        return
    labels.doubt_odd_inputs(reading)
    # sentence0, sentence1, hard_negative
    if (first, second) in [("numbered", "numbered"), ("anchor", "positive")] and set(others) == {"negative"}:
        reading.because(f"the names {own} say so")
    elif kinds.count("anchor") > 1 or (first == "anchor" and kinds.count("positive") > 1):
        reading.unclear(f"of {own} several are named as anchors, or as positives: keep one, or make one text of them")
        reading.or_pairs("none")
    else:
        reading.unclear("the columns' names do not say what is the anchor, what the positive, what a negative")
        starts = (0,) if "numbered" in kinds else (0, 1)
        reading.others += [(tuple(reading.inputs[k : k + 2]), "none") for k in starts]


def _read_pair(reading: Reading, kinds: Sequence[Role | None]) -> None:
    first, second = reading.input_names
    cells = zip(*(column.cells for column in reading.inputs), strict=True)
    texts = [(one, other) for one, other in cells if isinstance(one, str) and isinstance(other, str)]
    damaged = _are_damaged(texts[:_LOOKED_AT])
    identical = sum(one == other for one, other in texts) / len(texts) if texts else 0.0
    if identical == 1:
        reading.meaning = "(anchor, anchor) pairs"
        reading.because("both columns hold the same text in every row")
        if not reading.is_complete or len(texts) < 2:
            reading.doubt("only the rows that were read were compared")
    elif identical >= _IDENTICAL_SOME:
        reading.deny(said("same text twice", identical))
    elif names.is_damaged_first((first, second)) or (damaged and not any(kinds)):
        reading.meaning = "(damaged_input, original_input) pairs"
        reading.doubt("the first text is, by names or words, the second with words deleted; it may be a positive")
    else:
        _read_positives(reading, kinds)
        if damaged and (first, second) != ("anchor", "positive"):
            reading.unclear(f"each {first!r} is its {second!r} with words deleted, whatever the names say")


def _read_positives(reading: Reading, kinds: Sequence[Role | None]) -> None:
    if "negative" in kinds or names.are_premises(reading.input_names):
        reading.unclear("by their names, the texts may contradict; there is no anchor with a positive")
        return
    reading.meaning = ANCHOR_POSITIVE
    empty = [column for column in reading.columns if column.kind == "empty" and column.hint]
    if kinds == ["anchor", "positive"]:
        reading.because(f"the names {' and '.join(reading.input_names)} say that the texts belong together")
    elif empty:
        reading.unclear(f"{listed(empty)} holds no labels, which would tell whether the texts belong together")
    else:
        reading.doubt("two texts without a label are taken for texts that belong together")


def _are_damaged(texts: Sequence[tuple[str, str]]) -> bool:
    """Whether the first texts are the second ones with words deleted: from within, not cut off."""
    least, average = _DAMAGED_WORDS_LEFT
    words = [(first.lower().split(), second.lower().split()) for first, second in texts]
    kept = [(a, b) for a, b in words if least * len(b) <= len(a) < len(b) and _is_subsequence(a, b)]
    few = len(words) < 2 or len(kept) < _DAMAGED_MOST * len(words)
    if few or sum(len(a) for a, _ in kept) < average * len(kept):
        return False
    cut = sum(f" {' '.join(a)} " in f" {' '.join(b)} " for a, b in kept)
    return cut < len(kept) / 2


def _is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)
