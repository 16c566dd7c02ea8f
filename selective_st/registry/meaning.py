"""What the chosen columns mean: the rules that tell formats apart.

Each rule is one function. It sets the kind of the labels, says why, and says what it could not tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selective_st.registry.catalog import LabelKind, ModelType, Row, Shape, rows
from selective_st.registry.columns import (
    Column,
    are_whole,
    holds_infinite,
    holds_messages,
    is_metadata,
    nested_fields,
    numbers_of,
    values_of,
)
from selective_st.registry.labels import GRANTED, doubt_odd_inputs, numbers_in, read_label, read_scores
from selective_st.registry.names import (
    NEGATIVE_VALUES,
    POSITIVE_VALUES,
    TRAINER_LABELS,
    Role,
    are_parts,
    are_premises,
    are_relation_values,
    are_sides,
    hint_of,
    is_bare_score,
    is_damaged_first,
    is_nameless,
    is_negating,
    key_of,
    name_sides,
    role_of,
    roles_of,
    side_of_scores,
    speaks_of,
    words_of,
)
from selective_st.registry.reading import Reading
from selective_st.registry.signs import speak_for_themselves
from selective_st.registry.steps import Step
from selective_st.registry.table import Table

_LOOKED_AT = 1_000  # rows in which texts are compared, and numbers of lists read
_IDENTICAL_SOME = 0.1  # of the rows hold the same text twice: not by chance
_DAMAGED_MOST = 0.95  # of the rows hold a damaged text and its original
_DAMAGED_WORDS_LEFT = (0.2, 3)  # a damaged text keeps at least this share of the words, and this many on average


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
        if reading.label_column is not None:
            read_label(table, reading, trainer_label)
        elif not reading.label_rivals:
            _read_unlabelled(table, reading)
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
    if holds_infinite(table, column.name):
        return f"{column.name!r} holds infinite numbers, which no loss can reach: leave out these rows"
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
    roles = {role_of(other.name) for other in reading.inputs}
    is_margin = kind in ("margin", "margins") and speaks_of(column.name, "margin")  # a difference of two scores
    is_graded = kind not in ("class", "class probabilities")
    values = _label_words(table, reading, column)
    if speaks_of(column.name, "better") or name_sides(values, [given.name for given in reading.inputs]):
        reading.no_label = True
        reading.unclear(f"{column.name!r} may say which of the inputs is better, not whether they belong together")
    elif is_graded and is_negating(column.name) and not is_margin and not (values and speak_for_themselves(values)):
        reading.no_label = True
        reading.doubts = [doubt for doubt in reading.doubts if doubt != GRANTED]
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
        if speaks_of(column.name, "relation") or sum(are_relation_values([value]) for value in values) > 1:
            reading.deny(f"{column.name!r} is named like how two texts relate, but there is one: where is the other?")
    if reading.shape != "pair" or reading.label not in ("class", "binary", "similarity") or column is None:
        return
    names = [given.name for given in reading.inputs]
    says = hint_of(column.name)
    values = _label_words(table, reading, column)
    if speaks_of(column.name, "of one text"):
        _disagree(reading, f"{column.name!r} is named like what one text is like, not how two relate")
        return
    if are_relation_values(values) or speaks_of(column.name, "relation"):
        return
    if says == "binary" or (says == "score" and _scores_two(column.name, names)):
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


def _scores_two(label: str, names: Sequence[str]) -> bool:
    """Whether the name of a score says, or leaves no doubt, that it is of both texts."""
    of_another = is_bare_score(label) and (are_parts(names) or len(words_of(label)) > 1)
    return label not in TRAINER_LABELS and not speaks_of(label, "quality") and not of_another


def _are_related(names: Sequence[str]) -> bool:
    """Whether the names of two texts say that the label is of both; or say nothing at all."""
    told = len(roles_of(names)) == 2 or any(speaks_of(name, "search") for name in names) or are_sides(names)
    return told or all(map(is_nameless, names))


def _is_quality(table: Table, column: Column) -> bool:
    """Whether grades may be of one text, and not of how two belong together."""
    is_other_score = is_bare_score(column.name) and len(words_of(column.name)) > 1
    return speaks_of(column.name, "quality") or is_other_score or are_whole(numbers_of(table, column))


def _asks(names: Sequence[str]) -> bool:
    """Whether names are those of a question and of the text that it is asked of."""
    return speaks_of(names[0], "asked") and speaks_of(names[1], "asked of")


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
    return anchor not in lists and bool(of_role["negative"] or speaks_of(positive.name, "explicit positive", "right"))


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
    numbers = numbers_in([scores for _, scores in pairs])
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
    read_scores(reading, numbers)
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
        doubt_odd_inputs(reading)
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
            reading.others += [(tuple(reading.inputs[k : k + 2]), "none") for k in (0, 1)]


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
