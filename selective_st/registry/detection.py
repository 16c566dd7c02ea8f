"""What format a dataset has: what the trainer will make of it, and what it is meant to be.

The two are kept apart. The *facts* follow the trainer's rule: the first of `label`, `labels`, `score`, `scores` is the
label, every other column is an input, in the order of the columns, whatever it holds. The *meaning* is read off names
and values; where they allow two readings, both are told, and nothing is certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selective_st.registry.catalog import LabelKind, ModelType, Row, Shape, check_model_type
from selective_st.registry.columns import (
    Column,
    ColumnKind,
    are_class_names,
    columns_of,
    holds_codes,
    holds_names_only,
    is_metadata,
    numbers_of,
    values_of,
)
from selective_st.registry.meaning import Certainty, Reading, fitting_rows, read
from selective_st.registry.names import (
    CHOICE_WORDS,
    RESERVED,
    TOPIC_NAMES,
    TRAINER_LABELS,
    Role,
    hint_of,
    is_damaged_first,
    is_flag,
    is_headerless,
    is_id_name,
    key_of,
    role_of,
    roles_of,
    stem_of,
    without_id,
    words_of,
)
from selective_st.registry.steps import Step
from selective_st.registry.table import Table, tables

_NUMERIC: tuple[ColumnKind, ...] = ("integer", "float", "boolean", "class label", "numbers", "number lists")
_INPUTS: tuple[ColumnKind, ...] = ("text", "texts", "media")
_PLAUSIBLE_CLASSES = 11  # more different whole numbers are hardly classes
_PLAUSIBLE_RANGE = (-1, 100)


@dataclass(frozen=True)
class DataFormat:
    """The format of a dataset.

    Attributes:
        name: Its name in a dict of datasets; None for a single one.
        shape: The inputs by their number, as they are meant; None where that is not clear.
        label: The kind of its labels, as they are meant; None where that is not clear.
        meaning: The inputs as the tables of losses write them; empty where that is not clear.
        certainty: `certain` where nothing else is possible, `likely`, or `unclear`.
        inputs: The input columns as they are meant, in the order in which a loss should see them.
        label_column: The label column as it is meant, by its present name.
        trainer_inputs: What the trainer takes for inputs, in its order.
        trainer_label: What the trainer takes for the label.
        columns: All columns, and what they hold.
        label_values: The lowest and the highest label seen.
        label_scale: The ends of the scale that the labels seem to have; None where that is not clear.
        classes: How many classes there are.
        label_length: How many numbers each label holds, where all labels are lists of one length.
        reasons: What speaks for this reading.
        doubts: What is not clear, and why.
        alternatives: Other readings, as shapes and kinds of labels, where it is not certain.
        steps: What makes the trainer read the data as they are meant; empty where it does.
        read: What was read of the data.
        rows: How many rows there are; None for a stream.
    """

    name: str | None
    shape: Shape | None
    label: LabelKind | None
    meaning: str
    certainty: Certainty
    inputs: tuple[str, ...]
    label_column: str | None
    trainer_inputs: tuple[str, ...]
    trainer_label: str | None
    columns: tuple[Column, ...]
    label_values: tuple[float, float] | None
    label_scale: tuple[float, float] | None
    classes: int | None
    label_length: int | None
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]
    alternatives: tuple[tuple[Shape, LabelKind], ...]
    steps: tuple[Step, ...]
    read: str
    rows: int | None

    def matching_rows(self, model_type: ModelType = "SentenceTransformer") -> list[Row]:
        """The rows of the tables of losses that this format stands in.

        Args:
            model_type: Of which models.

        Returns:
            The rows of losses and of distillation; none where the shape or the label is not clear.

        Raises:
            ValueError: If there is no such model type.

        Example:
            >>> triplets = detect_format({"anchor": ["a", "d"], "positive": ["b", "e"], "negative": ["c", "f"]})
            >>> [row.labels for row in triplets.matching_rows("SparseEncoder")]
            ['none']
        """
        model_type = check_model_type("matching_rows", model_type)
        if self.shape is None or self.label is None:
            return []
        found = fitting_rows(self.shape, self.label, model_type)
        if (self.shape, self.label) == ("pair", "none") and self.meaning:
            found = [row for row in found if row.inputs == self.meaning]
        return found

    def __str__(self) -> str:
        inputs = f"{self.meaning or self.shape or 'not clear'} from {', '.join(self.inputs) or 'no column'}"
        lines = [
            *([f"dataset: {self.name}"] if self.name is not None else []),
            f"inputs: {inputs}",
            f"label: {self._label_line()}",
            f"certainty: {self.certainty}",
            f"the trainer reads: {', '.join(self.trainer_inputs) or 'no input'}; label {self.trainer_label or 'none'}",
            *(f"because {reason}" for reason in self.reasons),
            *(f"doubt: {doubt}" for doubt in self.doubts),
        ]
        if self.alternatives:
            lines.append("it could also be: " + "; ".join(f"{shape}, {label}" for shape, label in self.alternatives))
        lines += [f"needs: {step.code()}" for step in self.steps]
        return "\n".join([*lines, f"read: {self.read}"])

    def _label_line(self) -> str:
        parts: list[str] = [self.label or "not clear"]
        if self.label_column is not None:
            parts.append(f"in {self.label_column}")
        if self.label_values is not None:
            parts.append(f"from {self.label_values[0]:g} to {self.label_values[1]:g}")
        if self.label_scale is not None:
            parts.append(f"on a scale from {self.label_scale[0]:g} to {self.label_scale[1]:g}")
        if self.classes is not None:
            parts.append(f"of {self.classes} classes")
        if self.label_length is not None:
            parts.append(f"of {self.label_length} numbers")
        return " ".join(parts)


def detect_format(data: object) -> DataFormat | dict[str, DataFormat]:
    """Detect the format of data: what the trainer makes of them, and what they are meant to be.

    Args:
        data: A Dataset, IterableDataset, DatasetDict or dict of datasets, a dict of columns, a list of rows (dicts), or
            a pandas DataFrame.

    Returns:
        The format; for a dict of datasets, a dict of formats.

    Raises:
        TypeError: If the data are of another kind.
        DataError: If there are no rows or no columns, or a column mixes kinds of values.

    Example:
        >>> found = detect_format({"id": [7, 3], "text2": ["b", "d"], "text1": ["a", "c"], "score": [0.3, 0.9]})
        >>> found.shape, found.label, found.inputs
        ('pair', 'similarity', ('text1', 'text2'))
        >>> found.trainer_inputs
        ('id', 'text2', 'text1')
        >>> found.steps[0].code()
        'dataset = dataset.select_columns(["text1", "text2", "score"])'
    """
    from datasets import Dataset, IterableDataset

    found = [format_of(table) for table in tables(data)]
    if isinstance(data, Mapping) and all(isinstance(value, (Dataset, IterableDataset)) for value in data.values()):
        return {str(entry.name): entry for entry in found}
    return found[0]


def format_of(table: Table) -> DataFormat:
    """Find out what a table holds.

    Args:
        table: What was read of a dataset.

    Returns:
        Its format.

    Example:
        >>> [table] = tables({"anchor": ["a", "b"], "positive": ["c", "d"]})
        >>> format_of(table).meaning
        '(anchor, positive) pairs'
    """
    columns = columns_of(table)
    trainer_label = next((name for name in TRAINER_LABELS if name in table.columns), None)
    trainer_inputs = tuple(name for name in table.columns if name not in (trainer_label, "dataset_name"))
    reading = Reading()
    _choose(table, columns, trainer_label, reading)
    read(table, reading, columns, trainer_label)
    certain = reading.certainty == "certain"
    own = (reading.shape, reading.label)
    label_column = reading.label_column.name if reading.label_column is not None else None
    return DataFormat(
        name=table.name,
        shape=reading.shape,
        label=reading.label,
        meaning=reading.meaning,
        certainty=reading.certainty,
        inputs=tuple(column.name for column in reading.inputs),
        label_column=label_column,
        trainer_inputs=trainer_inputs,
        trainer_label=trainer_label,
        columns=columns,
        label_values=reading.values,
        label_scale=reading.scale,
        classes=reading.classes,
        label_length=reading.length,
        reasons=tuple(reading.reasons),
        doubts=tuple(reading.doubts),
        alternatives=() if certain else tuple(dict.fromkeys(pair for pair in reading.alternatives if pair != own)),
        steps=_steps(reading, trainer_inputs, trainer_label, table.columns),
        read=table.read(),
        rows=table.rows,
    )


# --- Which columns are meant ------------------------------------------------------------------------------------------


def _choose(table: Table, columns: Sequence[Column], trainer_label: str | None, reading: Reading) -> None:
    """Choose the label column and the inputs; what is left would be trained on as text."""
    usable = [column for column in columns if column.name not in RESERVED]
    reading.label_column = _chosen_label(table, usable, trainer_label, reading)
    left = [column for column in usable if column != reading.label_column]
    inputs = [column for column in left if column.kind in _INPUTS and not _is_stray_text(table, column, left)]
    _choose_inputs(table, inputs, left, reading)
    chosen = {column.name for column in (*reading.inputs, reading.label_column) if column is not None}
    strays = [column for column in columns if column.name not in chosen]
    for column in strays:
        if column.name in RESERVED:
            reading.because(f"{column.name!r} is a name that the trainer refuses")
        else:
            reading.because(f"{column.name!r} ({column.kind} column) is no input, though the trainer would read it")
    # A column of IDs is known by its name; what else is left out was judged.
    if not all(is_id_name(column.name) for column in strays) and reading.certainty == "certain":
        reading.certainty = "likely"


def _is_stray_text(table: Table, column: Column, columns: Sequence[Column]) -> bool:
    if key_of(column.name) == "source" and any(key_of(other.name) == "target" for other in columns):
        return False
    if column.kind == "text" and role_of(column.name) is None and hint_of(column.name):
        return are_class_names(table.values[column.name])
    if column.kind == "text" and _is_label_text(table, column):
        return True
    return is_metadata(column) or key_of(column.name) in TRAINER_LABELS


def _chosen_label(
    table: Table, columns: Sequence[Column], trainer_label: str | None, reading: Reading
) -> Column | None:
    taken = next((column for column in columns if column.name == trainer_label), None)
    if taken is not None and taken.kind == "empty":
        reading.doubt(f"the trainer's label column {taken.name!r} is empty")
        taken = None
    texts = sum(column.kind in _INPUTS and not is_metadata(column) for column in columns)
    candidates = [column for column in columns if column != taken and _may_be_label(table, column, texts)]
    named = [column for column in candidates if hint_of(column.name)]
    if taken is not None:
        for rival in named:
            if _is_same_label(table, taken, rival):
                reading.because(f"{rival.name!r} holds the labels of {taken.name!r} again")
            else:
                reading.unclear(
                    f"{taken.name!r}, which the trainer takes, and {rival.name!r} both look like the label: keep one"
                )
        return taken
    if len(named or candidates) > 1:
        names = ", ".join(repr(column.name) for column in named or candidates)
        reading.unclear(f"{names} may each be the label: keep one, or make one of them")
        reading.rivals = True
        return None
    if not candidates:
        return None
    found = (named or candidates)[0]
    reading.doubt(f"the trainer does not take {found.name!r} for the label: its name is none of {TRAINER_LABELS}")
    if not hint_of(found.name) and not is_headerless(found.name) and not _is_plausible(table, found):
        reading.unclear(f"{found.name!r} holds numbers, but neither its name nor its values are those of labels")
    return found


def _is_same_label(table: Table, label: Column, other: Column) -> bool:
    """Whether a column says the same as the label, be it in other words: one value of it for each of the label's."""
    if other.kind not in ("text", "integer", "float", "boolean", "class label"):
        return False
    both = [table.values[column.name] for column in (label, other)]
    pairs = {(str(first), str(second)) for first, second in zip(*both, strict=True)}
    first, second = (len(set(side)) for side in zip(*pairs, strict=True))
    again = len(pairs) == first == second and 2 * len(pairs) <= len(both[0])
    return again or both[0] == both[1]


def _may_be_label(table: Table, column: Column, texts: int) -> bool:
    if column.kind in _NUMERIC:
        return not is_metadata(column) or (key_of(column.name) in TOPIC_NAMES and texts == 1)
    if column.kind != "text":
        return False
    topic = key_of(column.name) in TOPIC_NAMES and texts == 1
    return _is_label_text(table, column) or (topic and are_class_names(table.values[column.name]))


def _is_label_text(table: Table, column: Column) -> bool:
    """Whether texts are labels by the column's name: those that could be inputs by it must be marks, as yes and no."""
    values = values_of(table, column.name)
    is_choice = bool(CHOICE_WORDS & set(words_of(column.name)))
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


def _choose_inputs(table: Table, inputs: list[Column], left: Sequence[Column], reading: Reading) -> None:
    """The inputs, in the order that their names ask for."""
    roles = roles_of([column.name for column in inputs])
    named = [column for column in inputs if column.name in roles]
    kinds = [roles[column.name] for column in named]
    extra = [column for column in inputs if column not in named]
    complete = ("anchor" in kinds and "positive" in kinds) or kinds.count("numbered") > 1
    if complete and extra:
        names = ", ".join(repr(column.name) for column in extra)
        reading.unclear(f"{names} may be text to train on, or not: keep only the columns to train on")
        inputs = named
    if not inputs or not (complete or len(inputs) > 1):
        ids = [column for column in left if column.kind in ("id", "ids") and _is_input_id(column, inputs)]
        if ids:
            reading.unclear(
                f"{', '.join(repr(column.name) for column in ids)} hold(s) IDs of inputs: needs resolve_ids "
                "(sentence_transformers.util), which puts the texts in their place"
            )
            inputs = [column for column in left if column in inputs or column in ids]
            stands_for = {column.name: without_id(column.name) if column in ids else column.name for column in inputs}
            by_text = roles_of(list(stands_for.values()))
            roles = {name: by_text[text] for name, text in stands_for.items() if text in by_text}
    elif "negative" not in kinds:
        for column in left:
            if column.kind in ("id", "ids") and role_of(without_id(column.name)) == "negative":
                reading.doubt(f"{column.name!r} holds IDs of negatives: resolve_ids puts the texts in their place")
    _doubt_codes(table, inputs, reading)
    texts = [column for column in inputs if column.kind == "text"]
    for column in texts:
        if is_id_name(column.name):
            reading.doubt(f"{column.name!r} is named like IDs, but holds sentences")
    reading.inputs = _ordered(inputs, roles)
    if [column.name for column in reading.inputs] != [column.name for column in inputs]:
        names = ", ".join(column.name for column in reading.inputs)
        reading.because(f"by their names the inputs come in the order {names}; the trainer goes by the columns' order")


def _doubt_codes(table: Table, inputs: Sequence[Column], reading: Reading) -> None:
    """Texts that name something instead of saying it."""
    texts = [column for column in inputs if column.kind in ("text", "texts")]
    codes = [column for column in texts if holds_codes(table, column.name)]
    if codes and len(codes) == len(inputs):
        reading.unclear("every text looks like an ID: if they are, resolve_ids puts the texts in their place")
    for column in texts:
        if holds_names_only(table, column.name):
            reading.unclear(
                f"{column.name!r} holds UUIDs, hashes or links, which say nothing to a model: resolve_ids "
                "(sentence_transformers.util) puts the texts in their place"
            )
        elif column in codes:
            reading.doubt(
                f"{column.name!r} looks like IDs: if it holds them, resolve_ids puts the texts in their place"
            )


def _is_input_id(column: Column, inputs: Sequence[Column]) -> bool:
    """Whether IDs stand for an input that is not there as text."""
    role = role_of(without_id(column.name))
    return role is not None and all(role_of(other.name) != role for other in inputs)


def _ordered(inputs: list[Column], roles: Mapping[str, Role]) -> list[Column]:
    rank = {"anchor": 0, "numbered": 0, "positive": 1, "negative": 2}
    if len(roles) == len(inputs):
        return sorted(inputs, key=lambda column: (rank[roles[column.name]], stem_of(column.name)[1] or 0))
    if is_damaged_first([column.name for column in inputs[::-1]]):
        return inputs[::-1]
    # What is not named an anchor comes after it; lists come last.
    has_anchor = "anchor" in roles.values()

    def place(column: Column) -> tuple[int, bool]:
        return rank[roles.get(column.name, "positive")] if has_anchor else 0, column.kind in ("texts", "ids")

    return sorted(inputs, key=place)


# --- Steps ------------------------------------------------------------------------------------------------------------


def _steps(
    reading: Reading, trainer_inputs: tuple[str, ...], trainer_label: str | None, names: Sequence[str]
) -> tuple[Step, ...]:
    """What turns the trainer's reading into the meant one."""
    label = reading.label_column.name if reading.label_column is not None else None
    inputs = tuple(column.name for column in reading.inputs)
    if not inputs or reading.no_label:
        return ()  # a label that says something else is not given a name under which it would be read
    steps: list[Step] = []
    read = tuple(name for name in trainer_inputs if name != label)
    if read != inputs or trainer_label not in (label, None) or any(name in RESERVED for name in names):
        kept = inputs if label is None else (*inputs, label)
        why = "only the columns that are meant" if set(read) != set(inputs) else "the order that the names say"
        steps.append(Step("select_columns", (kept,), why=why))
    if label is not None and label != trainer_label:
        target = "score" if reading.label in ("similarity", "margin") else "label"
        target = "scores" if reading.label == "scores" else target
        if label not in TRAINER_LABELS:
            steps.append(Step("rename_column", (label, target), why="the trainer knows the label by its name"))
            label = target
    calls = [Step(call, (label,), why=why) for call, why in reading.label_mends]
    return (*steps, *calls, *reading.mends)
