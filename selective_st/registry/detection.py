"""What format a dataset has: what the trainer will make of it, and what it is meant to be.

The two are kept apart. The *facts* follow the trainer's rule: the first of `label`, `labels`, `score`, `scores` is the
label, every other column is an input, in the order of the columns, whatever it holds. The *meaning* is read off names
and values; where they allow two readings, both are told, and nothing is certain.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from selective_st.catalog import ANCHOR_POSITIVE, SAID, LabelKind, ModelType, Row, Shape, check_model_type, fitting_rows
from selective_st.registry.columns import Column, ColumnKind, columns_of
from selective_st.registry.meaning import read
from selective_st.registry.names import RESERVED, TRAINER_LABELS
from selective_st.registry.reading import Certainty, Reading
from selective_st.registry.readings import FormatReading, readings_of
from selective_st.registry.roles import choose_columns
from selective_st.registry.steps import Step
from selective_st.registry.table import Table, tables


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
        readings: Where it is unclear, two or three ways to read the data, each with the steps that choose it.
        steps: What makes the trainer read the data as they are meant; empty where it does.
        read: What was read of the data.
        rows: How many rows there are; None for a stream.
    """

    name: str | None = None
    shape: Shape | None = None
    label: LabelKind | None = None
    meaning: str = ""
    certainty: Certainty = "certain"
    inputs: tuple[str, ...] = ()
    label_column: str | None = None
    trainer_inputs: tuple[str, ...] = ()
    trainer_label: str | None = None
    columns: tuple[Column, ...] = ()
    label_values: tuple[float, float] | None = None
    label_scale: tuple[float, float] | None = None
    classes: int | None = None
    label_length: int | None = None
    reasons: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    alternatives: tuple[tuple[Shape, LabelKind], ...] = ()
    steps: tuple[Step, ...] = ()
    read: str = ""
    rows: int | None = None
    readings: tuple[FormatReading, ...] = ()

    @cached_property
    def kinds(self) -> dict[str, ColumnKind]:
        """What each column holds."""
        return {column.name: column.kind for column in self.columns}

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
        return fitting_rows(self.shape, self.label, model_type, self.meaning)

    def in_words(self) -> str:
        """What the data are, in plain words.

        Returns:
            A line.

        Example:
            >>> pairs = {"question": ["a", "b"], "answer": ["c", "d"], "label": [1, 0]}
            >>> print(detect_format(pairs).in_words())
            probably two texts (question, answer), and 1 or 0 for whether they belong together (label)
        """
        if self.shape is None or self.label is None or self.certainty == "unclear":
            return f"it is not clear what the columns mean ({', '.join(self.trainer_inputs)})"
        label = SAID["labels"][self.label]
        texts = SAID["texts" if label else "texts without label"][self.shape]
        if (self.shape, label) == ("pair", "") and self.meaning not in ("", ANCHOR_POSITIVE):
            texts = self.meaning
        inputs = f"{texts} ({', '.join(self.inputs)})"
        probably = "probably " if self.certainty == "likely" else ""
        return f"{probably}{inputs}, and {label} ({self._label_line()})" if label else probably + inputs

    def __str__(self) -> str:
        lines = [
            *([f"dataset: {self.name}"] if self.name is not None else []),
            self.in_words(),
            *(f"because {reason}" for reason in self.reasons),
            *(f"in doubt: {doubt}" for doubt in self.doubts),
        ]
        if self.alternatives and not self.readings:
            others = ((SAID["texts"][shape], SAID["labels"][label]) for shape, label in self.alternatives)
            lines.append(f"it could also be: {'; '.join(' and '.join(filter(None, each)) for each in others)}")
        if self.steps:
            texts, label = ", ".join(self.trainer_inputs) or "no column", self.trainer_label or "no column"
            lines.append(f"as they are, a trainer would take {texts} for the texts, and {label} for the label; first:")
            lines += [f"    {line}" for step in self.steps for line in step.code().splitlines()]
        for reading in self.readings:
            lines += [f"if {reading.words}:", *(f"    {line}" for line in reading.code().splitlines())]
        return "\n".join([*lines, f"read: {self.read}"])

    def _label_line(self) -> str:
        parts = [] if self.label_column is None else [self.label_column]
        if self.classes is not None:
            parts.append(f"of {self.classes}")
        elif self.label_values is not None and self.label not in ("binary", "binary list"):
            parts.append("from {:.3g} to {:.3g}".format(*self.label_values))
            if self.label_scale not in (None, self.label_values):
                parts.append("on a scale from {:g} to {:g}".format(*self.label_scale or ()))
        if self.label_length is not None:
            parts.append(f"{self.label_length} in each row")
        return ", ".join(parts)


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
    found = {table.name: format_of(table) for table in tables(data)}
    return found[None] if None in found else {str(name): entry for name, entry in found.items()}


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
    trainer_label = next((name for name in TRAINER_LABELS if name in table.columns), None)
    trainer_inputs = tuple(name for name in table.columns if name not in (trainer_label, "dataset_name"))
    reading = Reading(columns_of(table), trainer_inputs, trainer_label, table.is_complete)
    choose_columns(reading)
    read(reading)
    ways = readings_of(reading) if reading.certainty == "unclear" else ()
    others = dict.fromkeys(pair for pair in reading.alternatives if pair != (reading.shape, reading.label))
    known: dict[str, Any] = {field.name: getattr(reading, field.name, None) for field in fields(DataFormat)}
    known |= {
        "name": table.name,
        "inputs": tuple(reading.input_names),
        "label_column": reading.label_name,
        "columns": tuple(replace(column, cells=[], known=[]) for column in reading.columns),  # a format holds no data
        "reasons": tuple(reading.reasons),
        "doubts": tuple(reading.doubts),
        "alternatives": () if reading.certainty == "certain" else tuple(others),
        "steps": table.ready(_steps(reading)),
        "read": table.read(),
        "rows": table.rows,
        "readings": tuple(replace(way, steps=table.ready(way.steps), needs=table.ready(way.needs)) for way in ways),
    }
    return DataFormat(**known)


# --- Steps ------------------------------------------------------------------------------------------------------------


def name_for(label: LabelKind | None) -> str:
    """What a label of this kind is to be called, so that the trainer knows it."""
    return {"similarity": "score", "margin": "score", "scores": "scores"}.get(str(label), "label")


def named_label(column: str, target: str) -> Step:
    """What gives a label the name that the trainer knows."""
    return Step("rename_column", (column, target), why="the trainer knows the label by its name")


def _steps(reading: Reading) -> tuple[Step, ...]:
    """What turns the trainer's reading into the meant one."""
    label, inputs = reading.label_name, tuple(reading.input_names)
    if not inputs or reading.certainty == "unclear":
        return ()  # what is to be done depends on the reading
    steps: list[Step] = []
    names = {column.name for column in reading.columns}
    read = tuple(name for name in reading.trainer_inputs if name != label)
    if read != inputs or reading.trainer_label not in (label, None) or names.intersection(RESERVED):
        needed = [name for step in reading.mends for name in step.arguments if name in names and name not in inputs]
        kept = (*inputs, *needed) if label is None else (*inputs, label)
        why = "only the columns that are meant" if set(read) != set(inputs) else "the order that the names say"
        steps.append(Step("select_columns", (kept,), why=why))
    if label is not None and label not in TRAINER_LABELS:
        steps.append(named_label(label, name_for(reading.label)))
        label = name_for(reading.label)
    calls = [replace(step, arguments=(label,)) for step in reading.label_mends]
    return (*steps, *calls, *reading.mends)
