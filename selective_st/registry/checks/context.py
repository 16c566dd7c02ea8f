"""What the checks read: the data, the loss and the model, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from selective_st.registry.catalog import (
    MODEL_TYPES,
    OURS,
    LossEntry,
    ModelType,
    entry_of,
    formats_of,
    loss_entry,
    losses,
    model_type_of,
    rows_of,
)
from selective_st.registry.checks.report import Severity
from selective_st.registry.checks.scan import Labels, Scan, Tally, scan
from selective_st.registry.detection import DataFormat
from selective_st.registry.names import RESERVED, TRAINER_LABELS
from selective_st.registry.steps import Step, code_of
from selective_st.registry.table import Table

UNKNOWN = "nothing is known of it"
_FEWEST = {"single": 1, "pair": 2, "triplet": 3, "n-tuple": 3}
_MODEL_ATTRIBUTES = ("model", "sentence_embedder", "encoder", "model2")


@dataclass(frozen=True)
class Subject:
    """The loss: what the registry knows, and the object where there is one."""

    entry: LossEntry
    is_known: bool
    loss: Any = None
    wrappers: tuple[Any, ...] = ()
    model: Any = None

    @property
    def name(self) -> str:
        """The loss within what wraps it."""
        names = [type(wrapper).__name__ for wrapper in self.wrappers]
        return "".join(f"{name}(" for name in names) + self.entry.name + ")" * len(names)


@dataclass(frozen=True)
class Context:
    """All that a check may read."""

    table: Table
    format: DataFormat
    subject: Subject
    batch_size: int
    sampler: str | None
    not_checked: list[str] = field(default_factory=list)

    # The data.

    @property
    def entry(self) -> LossEntry:
        """What the registry knows of the loss."""
        return self.subject.entry

    @property
    def loss(self) -> Any:
        """The loss, or None where only its name is given."""
        return self.subject.loss

    @property
    def model(self) -> Any:
        """The model, or None."""
        return self.subject.model

    @property
    def label(self) -> str | None:
        """The column that the trainer takes for the label."""
        return self.format.trainer_label

    @cached_property
    def kinds(self) -> dict[str, str]:
        """What each column holds."""
        return {column.name: column.kind for column in self.format.columns}

    @cached_property
    def strays(self) -> dict[str, str]:
        """The inputs that are no inputs, each with the code of the check that tells of it."""
        found = {}
        for column in self.format.trainer_inputs:
            kind = self.kinds[column]
            if column in RESERVED:
                found[column] = "reserved-column"
            elif column in TRAINER_LABELS:
                found[column] = "second-label"
            elif kind in ("id", "ids"):
                found[column] = "id-column"
            elif kind == "empty":
                found[column] = "empty-column"
            elif kind not in ("text", "texts", "media"):
                found[column] = "number-column"
            elif self.format.inputs and self.format.certainty != "unclear" and column not in self.format.inputs:
                found[column] = "stray-column"
        return found

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the loss would get if the strays were gone."""
        return tuple(column for column in self.format.trainer_inputs if column not in self.strays)

    @property
    def read_inputs(self) -> tuple[str, ...]:
        """Those of them that the loss reads."""
        return self.inputs[: self.entry.max_columns]

    @property
    def has_list(self) -> bool:
        """Whether an input is a list of texts."""
        return any(self.kinds[column] == "texts" for column in self.inputs)

    @cached_property
    def min_columns(self) -> int:
        """The fewest text columns that the loss reads, with its settings."""
        formats = [] if self.loss is None else formats_of(self.loss, self.entry.model_type)
        fewest = min((_FEWEST[shape] for shape, _ in formats if shape in _FEWEST), default=1)
        return max(fewest, self.entry.min_columns)

    @cached_property
    def shapes(self) -> set[str]:
        """The shapes of data that the loss is for."""
        return {row.shape for row in rows_of(self.entry.name, self.entry.model_type)}

    @cached_property
    def label_kinds(self) -> set[str]:
        """The kinds of labels that the loss takes for as many inputs; `any` where nothing is known."""
        if not self.subject.is_known or self.entry.role != "loss":
            return {"any"}
        count = len(self.inputs)
        shape = "list" if self.has_list else {1: "single", 2: "pair", 3: "triplet"}.get(count, "n-tuple")
        of_loss = rows_of(self.entry.name, self.entry.model_type)
        found = [row for row in of_loss if row.shape in (shape, "any")]
        # The rows of several inputs with a teacher's embeddings hold for any number of them.
        found += [row for row in of_loss if row.label in ("embedding", "embeddings") and count > 1]
        kinds = {str(row.label) for row in found or of_loss} or {"any"}
        return kinds | {"scores"} if self.are_teacher_scores else kinds

    @property
    def are_teacher_scores(self) -> bool:
        """Whether our in-batch losses take the labels for a teacher's scores, as they take floats."""
        if self.entry.origin != OURS or not self.entry.in_batch_negatives or self.label is None:
            return False
        return self.labels.type == "float" or (self.labels.type == "list" and not self.holds_integers)

    @property
    def holds_integers(self) -> bool:
        """Whether the label column is of integers or booleans, or of lists of these."""
        assert self.label is not None
        return self.table.holds_integers(self.label)

    @property
    def takes_labels(self) -> bool:
        """Whether the loss reads labels that the tables list."""
        return bool(self.label_kinds - {"none"})

    @property
    def read_label(self) -> str | None:
        """The label column, if the loss reads it."""
        return self.label if self.takes_labels else None

    @property
    def targets(self) -> str:
        """What labels mean to one of our losses, by its argument `targets`; empty where that is not known."""
        return str(getattr(self.loss, "targets", None) or "") if self.entry.origin == OURS else ""

    @cached_property
    def scan(self) -> Scan:
        """What was counted over all rows."""
        coded = self.read_inputs[:2] if self.entry.in_batch_negatives else ()
        coded = tuple(column for column in coded if self.kinds[column] == "text")
        texts = [column for column in self.inputs if self.kinds[column] in ("text", "texts")]
        return scan(self.table, texts, self.label, coded)

    @property
    def labels(self) -> Labels:
        """The labels; only to be read where there is a label column."""
        assert self.scan.labels is not None
        return self.scan.labels

    @property
    def variable(self) -> str:
        """What the dataset is called in code."""
        return "dataset" if self.table.name is None else f"dataset[{json.dumps(self.table.name)}]"

    @cached_property
    def dimension(self) -> int | None:
        """The size of the model's embeddings; None where that is not known."""
        for name in ("get_embedding_dimension", "get_sentence_embedding_dimension"):
            size = getattr(self.model, name, None)
            if callable(size):
                found = size()
                return found if isinstance(found, int) else None
        return None

    @property
    def is_cosine(self) -> bool | None:
        """Whether the loss's scores are cosines; None where that is not known."""
        similarity = getattr(self.loss, "similarity_fct", None)
        name = str(getattr(similarity, "__name__", ""))
        if self.loss is None:
            # By its name alone, the loss is taken as the registry suggests it.
            name = dict(self.entry.arguments).get("similarity_fct", "")
            if not name and self.entry.origin == OURS and self.entry.model_type == "SentenceTransformer":
                name = "pairwise_cos_sim"
        if "cos" in name:
            return True
        if "dot" in name and self.model is not None and _is_normalized(self.model):
            return True
        return False if name else None

    # The mending.

    def step(self, call: str, *arguments: Any) -> str:
        """The code of one step.

        Args:
            call: A method of datasets.Dataset, or a function of selective_st.conversion.
            *arguments: Its arguments.

        Returns:
            The code.
        """
        return code_of([Step(call, arguments)], self.variable)

    def keep(self, argument: str, condition: str, column: str) -> str:
        """The code that keeps rows.

        Args:
            argument: What a row's value is called.
            condition: Which values are kept.
            column: The column.

        Returns:
            The code.
        """
        name = self.variable
        return f"{name} = {name}.filter(lambda {argument}: {condition}, input_columns={json.dumps(column)})"

    def change(self, argument: str, value: str, column: str) -> str:
        """The code that changes the values of a column.

        Args:
            argument: What a row's value is called.
            value: What it becomes.
            column: The column.

        Returns:
            The code.
        """
        name = self.variable
        return f"{name} = {name}.map(lambda {argument}: {{{column!r}: {value}}}, input_columns={column!r})"


@dataclass(frozen=True)
class Found:
    """A finding of a check, which gets the check's name and the dataset's later."""

    severity: Severity
    message: str
    mend: str
    column: str | None = None
    tally: Tally | None = None


Checked = Iterator[Found]


def _is_normalized(model: Any) -> bool:
    return any(type(module).__name__ == "Normalize" for module in getattr(model, "children", list)())


def quoted(columns: Sequence[str]) -> str:
    """Names of columns, for a message.

    Args:
        columns: The names.

    Returns:
        The names in quotes.

    Example:
        >>> quoted(["anchor", "positive"])
        "'anchor', 'positive'"
    """
    return ", ".join(map(repr, columns))


def row_numbers(tally: Tally) -> str:
    """How many rows, and the first of them, for a message.

    Args:
        tally: The rows.

    Returns:
        Both.

    Example:
        >>> row_numbers(Tally(7, (0, 2, 3, 5, 8)))
        '7 row(s) (0, 2, 3, 5, 8, ...)'
    """
    shown = ", ".join(map(str, tally.rows))
    more = ", ..." if tally.count > len(tally.rows) else ""
    return f"{tally.count:,} row(s) ({shown}{more})"


def subjects_of(
    owner: str, loss: object, read: Sequence[Table], model: Any, model_type: ModelType | None
) -> list[list[Subject]]:
    """Look up the losses of datasets.

    Args:
        owner: The caller, for errors.
        loss: A loss, its name, or a dict of these by the names of the datasets.
        read: The datasets.
        model: The model, or None for that of each loss.
        model_type: Which models the loss trains, or None for that of the model.

    Returns:
        For each dataset its loss, or the losses that its loss adds up.

    Raises:
        TypeError: If a loss is neither a loss nor a name.
        ValueError: If there is no such loss, or the dict lacks one of the datasets.
    """
    if not isinstance(loss, Mapping):
        return [_subjects(owner, loss, model, model_type)] * len(read)
    names = [table.name for table in read]
    lacking = [name for name in names if name not in loss]
    if lacking:
        raise ValueError(
            f"{owner}: loss is a dict for {', '.join(map(str, loss))}, but lacks {', '.join(map(repr, lacking))}. Give "
            "one for each dataset, by its name; a single dataset takes a single loss."
        )
    return [_subjects(owner, loss[name], model, model_type) for name in names]


def _subjects(owner: str, loss: Any, model: Any, model_type: ModelType | None) -> list[Subject]:
    if isinstance(loss, str):
        wanted = model_type or model_type_of(model)
        if wanted is None:
            having = [kind for kind in MODEL_TYPES if any(entry.name == loss for entry in losses(kind))]
            wanted = having[0] if having else "SentenceTransformer"
        return [Subject(loss_entry(loss, wanted), True, model=model)]
    if isinstance(loss, type) or not callable(loss):
        what = f"the class {loss.__name__}" if isinstance(loss, type) else f"{loss!r}"
        raise TypeError(f"{owner}: loss must be a loss, such as CoSENTLoss(model), or its name; got {what}.")
    return _subjects_within(loss, model, model_type)


def _subjects_within(loss: Any, model: Any, model_type: ModelType | None) -> list[Subject]:
    """The losses within a loss, or itself where it wraps none."""
    model = model if model is not None else _model_of(loss)
    kind = model_type or model_type_of(model) or "SentenceTransformer"
    entry = entry_of(loss, kind)
    inner = [one for one in _inner(loss) if hasattr(one, "forward")]
    if inner and (entry is None or entry.role == "modifier"):
        found = [subject for one in inner for subject in _subjects_within(one, model, model_type)]
        return [replace(subject, wrappers=(loss, *subject.wrappers)) for subject in found]
    known = entry is not None
    if entry is None:
        name = type(loss).__name__
        entry = LossEntry(name=name, model_type=kind, module=type(loss).__module__, why=UNKNOWN, origin="")
    return [Subject(entry, known, loss, model=model)]


def _inner(loss: Any) -> list[Any]:
    """What a loss wraps: one loss or, by their names, several."""
    several = getattr(loss, "losses", None)
    return list(several.values()) if isinstance(several, Mapping) else [getattr(loss, "loss", None)]


def _model_of(loss: Any) -> Any:
    return next((found for name in _MODEL_ATTRIBUTES if (found := getattr(loss, name, None)) is not None), None)
