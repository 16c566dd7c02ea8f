"""One reader for all commands: a file or hub dataset, with the columns and the labels' scale that the options say."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from datasets import Dataset

from selective_st.cli.common import CLASS_LABELS
from selective_st.cli.options import DataOptions, told_words
from selective_st.data import check_scale, named_columns, numbers_in, read_pairs
from selective_st.errors import DataError, literal
from selective_st.files import FileTable, read_file
from selective_st.layouts import GradedPairs
from selective_st.registry import names
from selective_st.registry.catalog import LabelKind, ModelType
from selective_st.registry.choice import are_labelled_pairs, first_choice, suggestions_for, with_choice
from selective_st.registry.code import table_line
from selective_st.registry.columns import are_class_names, as_number, scale_around
from selective_st.registry.detection import DataFormat, format_of
from selective_st.registry.steps import Step, code_of
from selective_st.registry.suggestion import Suggestion, Suggestions
from selective_st.registry.table import tables

_FEW_CLASSES = 20
_SHOWN_CLASSES = 6
_MOST_NAMED = 12  # columns in a command that is shown
_SHOWN_CONFLICTS = 3
_AS_NUMBERS = "write numbers, higher for more similar, and "
_READ_TABLE = "from selective_st.data import read_table"
_ROWS_OF_A_CLASS = 5  # on average, at least, for short texts to be classes


@dataclass(frozen=True)
class Source:
    """Data as the options say to read them.

    Attributes:
        table: What was read.
        dataset: The same with the columns that were named, in their order, and the labels mapped to the scale from 0
            to 1 where their scale was given.
        format: What that is.
        steps: What made it of what was read.
        told: Whether the columns were named.
        notes: What was decided.
    """

    table: FileTable
    dataset: Dataset
    format: DataFormat
    steps: tuple[Step, ...] = ()
    told: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def not_similarity(self) -> str:
        """Why the label of two texts does not say how similar they are, and what mends it; else empty."""
        column, shape, label = self.format.label_column, self.format.shape, self.format.label
        if column is None or shape != "pair":
            return ""
        if label in CLASS_LABELS:
            values = sorted(set(map(str, self.dataset[column])))
            classes = list(getattr(self.dataset.features[column], "names", values))
            shown = ", ".join([*classes[:_SHOWN_CLASSES], *(["..."] if len(classes) > _SHOWN_CLASSES else [])])
            turned = [doubt for doubt in self.format.doubts if doubt.startswith("the class ")]  # such as that 0 is yes
            are_numbers = classes == values and not turned and None not in map(as_number, classes)
            as_numbers = "" if are_numbers else _AS_NUMBERS
            return (
                f"{self.table.name}: the labels in column {column!r} are classes ({shown}), not grades of how similar "
                f"the texts are{''.join(f'; {doubt}' for doubt in turned)}. If they do grade that, {as_numbers}call "
                'the column "score"'
            )
        if self.unclear and _says_something_else(column):
            return (
                f"{self.table.name}: by its name, column {column!r} says something else than that 1 (or more) is for "
                "texts that belong together: that they differ, or which is better. Make it say that, by another name"
            )
        return ""

    def refuse_other_labels(self, options: DataOptions, do: str) -> None:
        """Raise if labels must be converted first, or are known to say something else than how similar two texts are.

        Args:
            options: What was asked.
            do: What the command does.

        Raises:
            DataError: If it is.
        """
        conversions = self.conversions(options)
        if conversions:
            words, command = next(iter(conversions.items()))
            raise DataError(f"{self.unclear}. If {words}, convert the file first: {command}")
        if self.not_similarity:
            told = told_words(replace(options, score_range=None))
            raise DataError(
                f"{self.not_similarity}; or {do} regardless with --no-check. To see which losses suit them: "
                f"`{shlex.join(['selective-st', 'suggest', options.data, *told])}`"
            )

    def graded_pairs(self, options: Any, do: str) -> GradedPairs:
        """The data as graded pairs.

        Args:
            options: The columns, the labels' scale, and whether to check what the labels say.
            do: What the command does.

        Returns:
            The pairs.

        Raises:
            DataError: If they are none.
        """
        if options.check:
            self.refuse_other_labels(options, do)
        pairs = read_pairs(self.table, columns=options.columns, score_range=options.score_range)
        notes = [f"{self.unclear}; taken for two texts and how well they belong together"] if self.unclear else []
        return replace(pairs, notes=[*pairs.notes, *notes])

    @cached_property
    def conflicts(self) -> str:
        """What to say of rows that hold the same texts with different labels; empty where there are none."""
        label, inputs = self.format.label_column, self.format.inputs
        features = self.dataset.features
        if label is None or isinstance(features[label], (list, dict)) or hasattr(features[label], "feature"):
            return ""  # no label, or a List, which was a Sequence before datasets 4
        if not inputs or any(getattr(features[name], "dtype", "") not in ("string", "large_string") for name in inputs):
            return ""
        in_order = len(inputs) != 2 or self.format.label not in ("similarity", "binary")
        columns = [self.dataset[name][:] for name in (*inputs, label)]  # at once, as row by row takes ten times as long
        first: dict[tuple[str, ...], dict[Any, int]] = {}  # by texts, the first row of each label
        for row, (*texts, given) in enumerate(zip(*columns, strict=True)):
            if None not in (*texts, given) and given == given:
                first.setdefault(tuple(texts if in_order else sorted(texts)), {}).setdefault(given, row)
        found = [rows for rows in first.values() if len(rows) > 1]
        if not found:
            return ""
        first_few = found[:_SHOWN_CONFLICTS]
        shown = [f"{self.table.rows_in_words([*rows.values()])}: {', '.join(map(str, rows))}" for rows in first_few]
        examples = "; ".join([*shown, *(["..."] if len(found) > len(shown) else [])])
        what = f"{len(found):,} {'text' if len(inputs) == 1 else 'pair'}{'s' if len(found) > 1 else ''}"
        mend = "one is wrong, or the texts do not tell it"
        return f"{self.table.name}: {what} with different labels ({examples}): {mend}"

    @property
    def unclear(self) -> str:
        """What is not clear of what the data mean; else empty."""
        if self.format.certainty != "unclear":
            return ""
        doubts = "; ".join(doubt.rstrip(".") for doubt in self.format.doubts)
        return f"{self.table.name}: it is not clear what the data mean: {doubts or 'they fit no known format'}"

    def ways(self) -> list[tuple[str, dict[str, Any]]]:
        """The ways to read the data where that is not clear: what they would mean, and the options that say so."""
        found = []
        for reading in self.format.readings:
            columns = [*reading.inputs, *([reading.label_column] if reading.label_column else [])]
            if not 0 < len(columns) <= _MOST_NAMED or not {*columns} <= {*self.table.dataset.column_names}:
                continue
            told: dict[str, Any] = {"columns": columns}
            scale = scale_around(*self.format.label_values) if self.format.label_values else None
            guess = f" (that its scale is from {scale[0]} to {scale[1]} is a guess)" if scale else ""
            for words, options in ((reading.words, told), (reading.words + guess, {**told, "score_range": scale})):
                form = as_told(self.table, **options).format
                if form.certainty != "unclear" and (form.shape, form.label) == (reading.shape, reading.label):
                    found.append((words, options))
                    break
        return found

    def conversions(self, options: DataOptions) -> dict[str, str]:
        """The readings that need the values changed, and the command that writes a file with them changed."""
        new = f"{self.table.name.partition('.')[0]}-converted.jsonl"
        read = table_line(options.data, header=options.header, split=options.split)
        found = {}
        for reading in (reading for reading in self.format.readings if reading.shape is None):
            lines = code_of((*self.steps, *reading.steps)).splitlines()
            program = [_READ_TABLE, read, *lines, f"dataset.to_json({literal(new)}, force_ascii=False)"]
            convert, suggest = ["python", "-c", "; ".join(program)], ["selective-st", "suggest", new]
            found[reading.words] = f"{shlex.join(convert)} && {shlex.join(suggest)}"
        return found

    def choice(self, found: Suggestions) -> tuple[Suggestion, str]:
        """The loss that comes first.

        Args:
            found: The losses that suit the data, as `suggestions` gives them.

        Returns:
            The loss, with the steps that lay the data out for it, and why it is chosen.

        Raises:
            DataError: If it is not clear what the data mean, or no loss suits them.
        """
        if self.unclear:
            told = [(words, told_words(DataOptions(data="", **options))) for words, options in self.ways()]
            ways = "".join(f" If {words}: {shlex.join(options)}." for words, options in told)
            raise DataError(f"{self.unclear}.{ways} Or name the loss with --loss, if you know that it suits.")
        return first_choice(found, self.dataset)

    def is_for_train(self, found: Suggestions) -> bool:
        """Whether `train` takes them: two texts, and a number that grades them or says yes or no."""
        kind = self.format.kinds.get(str(self.format.label_column))
        return are_labelled_pairs(found) and kind in ("integer", "float")

    def suggestions(self, focus: Any, model_type: ModelType) -> Suggestions:
        """The losses that suit the data as they are now.

        Args:
            focus: Which scores matter.
            model_type: Of which models.

        Returns:
            The losses.
        """
        found = None if self.unclear else suggestions_for(self.dataset, focus, model_type)
        if not found or found.format != self.format:  # the options may say more than the data
            found = with_choice(suggestions_for(self.format, focus, model_type), self.dataset)
        return found


def checked_split(data: str, available: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of some splits that a hub dataset has; None for a file.

    Args:
        data: The dataset.
        available: Its splits.
        wanted: Those that come into question, the likeliest first.

    Returns:
        The split.

    Raises:
        DataError: If it has none of these.
    """
    if available and not {*wanted} & {*available}:
        raise DataError(f"{data} has no split named {' or '.join(wanted)}; it has {', '.join(available)}.")
    return next((name for name in wanted if name in available), None)


def read_source(options: DataOptions) -> Source:
    """Read data as the options say.

    Args:
        options: Which, and how.

    Returns:
        The data, and what they are.

    Raises:
        DataError: If they cannot be read, the columns are not there, or labels lie outside their scale.
    """
    table = read_file(options.data, header=options.header, split=options.split or "train")
    return as_told(table, options.columns, options.score_range)


def as_told(
    table: FileTable, columns: Sequence[str] | None = None, score_range: tuple[float, float] | None = None
) -> Source:
    """The columns and labels of what was read, as the options say.

    Args:
        table: What was read.
        columns: As `--columns` has them.
        score_range: As `--score-range` has it.

    Returns:
        The data, and what they are.

    Raises:
        DataError: If the columns are not there, or labels lie outside their scale.
    """
    if columns is None:
        source = Source(table, table.dataset, format_of(*tables(table.dataset)), notes=tuple(table.notes))
    else:
        source = _with_columns(table, named_columns(table, columns))
    return source if score_range is None else _with_scale(source, score_range)


# --- Columns ----------------------------------------------------------------------------------------------------------


def _with_columns(table: FileTable, chosen: Sequence[str]) -> Source:
    """The columns that were named: who names them knows which is the label, and what order the texts have."""
    dataset, steps = table.dataset, tuple[Step, ...]()
    if list(chosen) != dataset.column_names:
        steps = (Step("select_columns", (tuple(chosen),), why="the columns that were named"),)
        dataset = steps[0].apply(dataset)
    source = Source(table, dataset, format_of(*tables(dataset)), steps, told=True, notes=tuple(table.notes))
    label = chosen[-1] if len(chosen) > 1 and _is_label(source.dataset, chosen[-1]) else None
    inputs = tuple(name for name in chosen if name != label)
    if label is not None and label not in names.TRAINER_LABELS and not _says_something_else(label):
        known = [step for step in source.format.steps if step.call == "rename_column"]
        told = Step("rename_column", (label, "label"), why="it was named as the label")
        renamed = _done(source, known[0] if known else told)
        # A name that the trainer knows may say less than the one that it had.
        if renamed.format.certainty != "unclear" or source.format.label_column != label:
            source = renamed
    if {*source.format.inputs} != {*inputs} or source.format.certainty == "unclear":
        return _by_place(source, inputs)
    kept = tuple(step for step in source.format.steps if step.call != "select_columns")
    form = replace(source.format, inputs=inputs, steps=kept)
    if form.label == "binary" and set(table.dataset.column_names) - {*chosen}:
        # A column that was left out may say in words what 0 and 1 mean.
        whole = format_of(*tables(table.dataset))
        if whole.label in CLASS_LABELS and (whole.label_column, {*whole.inputs}) == (label, {*inputs}):
            of_label = ("label", "meaning", "classes", "reasons", "doubts", "alternatives")
            form = replace(form, **{name: getattr(whole, name) for name in of_label})
    return replace(source, format=form)


def _by_place(source: Source, inputs: tuple[str, ...]) -> Source:
    """The texts under names that say what their places do, where that makes it clear what they are."""
    negatives = ["negative"] if len(inputs) == 3 else [f"negative_{k}" for k in range(1, len(inputs) - 1)]
    places = ("anchor", "positive", *negatives)[: len(inputs)]
    if len(inputs) == 2 and source.format.trainer_label is not None:
        places = ("sentence1", "sentence2")
    if len(inputs) == 1 or {*places} & ({*source.dataset.column_names} - {*inputs}):
        return source
    by_place = dict(zip(inputs, places, strict=True))
    renamed = _done(source, Step("rename_columns", (by_place,), why="by the places that they were named at"))
    return source if renamed.format.certainty == "unclear" else renamed


def _says_something_else(label: str) -> bool:
    """Whether a name of a label says the reverse of what losses read, or which of the texts is better."""
    return names.is_negating(label) or "better" in names.tags_of(label)


def _is_label(dataset: Dataset, column: str) -> bool:
    """Whether a column is a label beside texts: no text, named as labels are, or few words that come again."""
    values = [value for value in dataset[column] if value is not None]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    if not all(isinstance(text, str) for text in texts) or column in names.TRAINER_LABELS:
        return True
    if any(isinstance(value, list) for value in values) or names.role_of(column) is not None:
        return False
    if names.hint_of(column) or names.key_of(column) in names.words_for("topic"):
        return True
    words = {names.key_of(text) for text in texts}
    few = len(words) <= _FEW_CLASSES and len(words) * _ROWS_OF_A_CLASS <= len(texts)
    return words <= names.words_for("positive value", "negative value") or (few and are_class_names(texts))


# --- Labels -----------------------------------------------------------------------------------------------------------


def _with_scale(source: Source, score_range: tuple[float, float]) -> Source:
    """The labels mapped to the scale from 0 to 1; classes have none, and stay."""
    form = source.format
    low, high = (int(end) if int(end) == end else end for end in score_range)
    column = form.label_column or form.trainer_label
    if column is None:
        mend = f"Say which column is one: --columns {','.join([*form.inputs, 'LABEL'])}."
        raise DataError(f"{source.table.name}: --score-range is about a label, but none is known. {mend}")
    if form.label in (*CLASS_LABELS, "embedding", "embeddings"):
        why = source.not_similarity or f"{source.table.name}: the labels in column {column!r} are {form.label}"
        return replace(source, notes=(*source.notes, f"--score-range {low:g},{high:g} does not apply: {why}"))
    if form.label in ("margin", "margins"):
        return _done(source, Step("scale_margins", (column, high - low), why="--score-range"))
    labels = list(source.dataset[column])
    if not any(isinstance(label, list) for label in labels):
        check_scale(source.table, column, numbers_in(source.table, column, labels), score_range)
    mapped = _done(source, Step("scale_labels", (column, low, high), why="--score-range"))
    if mapped.format.certainty != "unclear":
        return replace(mapped, format=replace(mapped.format, inputs=form.inputs)) if source.told else mapped
    # A scale is one of grades: that settles what the label is, if it is clear which column is meant.
    label: LabelKind = "binary" if {*mapped.dataset[column]} <= {0, 1} else "similarity"
    of_label = [reading for reading in mapped.format.readings if reading.label_column is not None]
    settled = next((reading for reading in of_label if reading.label == label), None)
    if settled is not None and {reading.label_column for reading in of_label} == {column}:
        inputs, steps = settled.inputs, settled.needs
    elif len(form.inputs) != 2 or {*mapped.dataset.column_names} != {*form.inputs, column} or source.not_similarity:
        return mapped
    else:
        rename = Step("rename_column", (column, "score"))
        inputs, steps = form.inputs, () if column in names.TRAINER_LABELS else (rename,)
    told = replace(
        mapped.format, shape="pair", label=label, certainty="likely", inputs=inputs, label_column=column, steps=steps,
        doubts=(), alternatives=(), readings=(),
    )  # fmt: skip
    return replace(mapped, format=told)


# --- What they share --------------------------------------------------------------------------------------------------


def _done(source: Source, step: Step) -> Source:
    """The data after a step."""
    dataset = step.apply(source.dataset)
    return replace(source, dataset=dataset, format=format_of(*tables(dataset)), steps=(*source.steps, step))


def after(steps: tuple[Step, ...], found: Suggestions) -> Suggestions:
    """Say all that is suggested for data before some steps.

    Args:
        steps: What made the data of those that were read.
        found: The losses that suit them.

    Returns:
        The losses and conversions, whose steps and code begin with these.
    """
    if not steps:
        return found
    code = code_of(steps)
    suggestions = [replace(each, steps=(*steps, *each.steps)) for each in found]
    conversions = [
        replace(each, steps=(*steps, *each.steps) if each.steps else (), code=f"{code}\n{each.code}")
        for each in found.conversions
    ]
    return Suggestions(suggestions, found.format, conversions, found.model_type)
