"""What the rules read: the data, the loss and the model, and what is known of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from selective_st.registry.catalog import OURS, LossEntry, formats_of, rows_of
from selective_st.registry.checks.scan import Labels, Numbers, Scan, scan
from selective_st.registry.checks.subjects import Subject
from selective_st.registry.columns import is_metadata
from selective_st.registry.detection import DataFormat
from selective_st.registry.names import CHOICE_WORDS, RESERVED, TRAINER_LABELS, hint_of, is_negating, words_of
from selective_st.registry.steps import Code, Step
from selective_st.registry.table import Table
from selective_st.written import read_written

SCALARS = {"class", "binary", "similarity", "margin"}
LISTS = {"margins", "scores", "binary list", "embedding", "embeddings", "class probabilities"}
_MOST_RATERS = 20  # a longer list of labels is no one's several opinions
_FEWEST = {"single": 1, "pair": 2, "triplet": 3, "n-tuple": 3}
_NUMERIC = ("integer", "float", "boolean", "class label", "numbers", "number lists")


class LabelColumn(NamedTuple):
    """The label: its present name, the one under which the trainer will read it, and what gives it that name.

    `naming` is None where that would make it say the opposite, or something else.
    """

    source: str
    name: str
    naming: tuple[Step, ...] | None = ()


@dataclass(frozen=True)
class Context:
    """All that a rule may read."""

    table: Table
    format: DataFormat
    subject: Subject
    batch_size: int
    sampler: str | None
    loss_variable: str | None = "loss"  # what the loss is called in code; None where it is that of several datasets
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

    @cached_property
    def kinds(self) -> dict[str, str]:
        """What each column holds."""
        return {column.name: column.kind for column in self.format.columns}

    @cached_property
    def label_column(self) -> LabelColumn | None:
        """The label, as it is meant."""
        trainer = self.format.trainer_label
        if trainer is not None and self.kinds[trainer] != "empty":
            return LabelColumn(trainer, trainer)
        column = self.format.label_column or (self.rivals[0] if len(self.rivals) == 1 else None)
        if column is None or column == trainer:
            return None if trainer is None else LabelColumn(trainer, trainer)
        target = next((step.arguments[1] for step in self.format.steps if step.call == "rename_column"), None)
        if target is None:
            target = {"similarity": "score", "margin": "score", "scores": "scores"}.get(str(self.format.label), "label")
        target = next(name for name in (target, *TRAINER_LABELS) if name not in self.table.columns)
        rename = Step("rename_column", (column, target), why="the trainer knows the label by its name")
        if is_negating(column) and self.format.label not in ("margin", "margins"):
            turned = self._turned_round(column)
            return LabelColumn(column, target, None if turned is None else (turned, rename))
        says_which = bool(CHOICE_WORDS & set(words_of(column)))  # of the inputs is better
        return LabelColumn(column, target, None if says_which else (rename,))

    def _turned_round(self, column: str) -> Step | None:
        """What makes 1 of 0 or no, and 0 of 1 or yes, where a label says that texts do not belong together."""
        values = {value for value in self.table.values[column] if isinstance(value, (str, int, float))}
        said = read_written(Counter(value for value in values if isinstance(value, str)))
        mapping = {0: 1, 1: 0} if values <= {0, 1} else {text: 1 - int(number) for text, number in said.values.items()}
        if not mapping.keys() >= values or (0 not in mapping and said.kind != "opposites"):
            return None
        return Step("labels_to_int", (column,), (("mapping", mapping),), "by its name, it says that the texts differ")

    @cached_property
    def rivals(self) -> tuple[str, ...]:
        """The columns that may be the label, where none has a name that the trainer knows, and none is told by it."""
        if self.format.trainer_label is not None or self.format.label_column is not None:
            return ()
        left = [column for column in self.format.columns if column.name not in (*self.format.inputs, *RESERVED)]
        return tuple(
            column.name
            for column in left
            if not is_metadata(column)
            and (column.kind in _NUMERIC or (hint_of(column.name) and self._says_label(column.name)))
        )

    def _says_label(self, column: str) -> bool:
        """Whether texts say numbers, yes and no, or grades."""
        texts = Counter(value for value in self.table.values[column] if isinstance(value, str))
        return bool(texts) and read_written(texts).kind in ("numbers", "opposites", "grades", "lists")

    @property
    def label(self) -> str | None:
        """The name of the label when the lines before have run; None where there is none."""
        return None if self.label_column is None else self.label_column.name

    @property
    def source(self) -> str | None:
        """The present name of the label; None where there is none that can be read as one."""
        found = self.label_column
        return None if found is None or found.naming is None else found.source

    @property
    def is_named(self) -> bool:
        """Whether the trainer takes the label for one."""
        return self.label_column is not None and self.label_column.source == self.format.trainer_label

    @cached_property
    def class_names(self) -> list[str]:
        """The names of the classes, where the label column has them."""
        feature = self.table.features[self.source] if self.source is not None else None
        return list(getattr(feature, "names", None) or [])

    @cached_property
    def strays(self) -> dict[str, str]:
        """The inputs that are no inputs, each with the code of the rule that tells of it."""
        label = None if self.label_column is None else self.label_column.source
        found = {}
        for column in self.format.trainer_inputs:
            kind = self.kinds[column]
            if column == label or (len(self.rivals) > 1 and column in self.rivals):
                continue
            if column in RESERVED:
                found[column] = "reserved-column"
            elif kind == "empty":
                found[column] = "empty-column"
            elif column in TRAINER_LABELS:
                found[column] = "second-label"
            elif kind in ("id", "ids"):
                found[column] = "id-column"
            elif kind not in ("text", "texts", "media"):
                found[column] = "number-column"
            elif self.format.inputs and self.format.certainty != "unclear" and column not in self.format.inputs:
                found[column] = "stray-column"
        return found

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the loss would get if the strays were gone, and the label had its name."""
        label = None if self.label_column is None else self.label_column.source
        out = {*self.strays, *self.rivals, *([] if label is None else [label])}
        return tuple(column for column in self.format.trainer_inputs if column not in out)

    @property
    def read_inputs(self) -> tuple[str, ...]:
        """Those of them that the loss reads."""
        return self.inputs[: self.entry.max_columns]

    @property
    def lists(self) -> tuple[str, ...]:
        """The inputs that hold lists of texts."""
        return tuple(column for column in self.inputs if self.kinds[column] == "texts")

    @property
    def shape(self) -> str:
        """The shape of the data, by the inputs."""
        count = len(self.inputs)
        return "list" if self.lists else {1: "single", 2: "pair", 3: "triplet"}.get(count, "n-tuple")

    @cached_property
    def scan(self) -> Scan:
        """What was counted over all rows."""
        texts = [column for column in self.inputs if self.kinds[column] in ("text", "texts")]
        coded = self.read_inputs[:2] if self.entry.in_batch_negatives else ()
        coded = self.read_inputs if self.source is not None else coded
        found = scan(self.table, texts, self.source, [name for name in coded if self.kinds[name] == "text"])
        naming = None if self.label_column is None else self.label_column.naming
        if (
            naming
            and naming[0].call == "labels_to_int"
            and found.labels is not None
            and found.labels.numbers is not None
        ):
            found.labels.numbers = 1 - found.labels.numbers  # as they will be, turned round
        return found

    @property
    def labels(self) -> Labels:
        """The labels; only to be read where there is a label column."""
        assert self.scan.labels is not None
        return self.scan.labels

    @property
    def variable(self) -> str:
        """What the dataset is called in code."""
        return "dataset" if self.table.name is None else f"dataset[{json.dumps(self.table.name)}]"

    # The loss.

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
        of_loss = rows_of(self.entry.name, self.entry.model_type)
        found = [row for row in of_loss if row.shape in (self.shape, "any")]
        # The rows of several inputs with a teacher's embeddings hold for any number of them.
        found += [row for row in of_loss if row.label in ("embedding", "embeddings") and len(self.inputs) > 1]
        kinds = {str(row.label) for row in found or of_loss} or {"any"}
        return kinds | {"scores"} if self.are_teacher_scores else kinds

    def label_kinds_of(self, *shapes: str) -> set[str]:
        """The kinds of labels that the loss takes with inputs of some shapes.

        Args:
            *shapes: The shapes.

        Returns:
            The kinds.
        """
        return {row.label for row in rows_of(self.entry.name, self.entry.model_type) if row.shape in shapes}

    @property
    def are_teacher_scores(self) -> bool:
        """Whether our in-batch losses take the labels for a teacher's scores, as they take floats."""
        if self.entry.origin != OURS or not self.entry.in_batch_negatives or self.source is None:
            return False
        return self.labels.type == "float" or (self.labels.type == "list" and not self.holds_integers)

    @property
    def holds_integers(self) -> bool:
        """Whether the label column is of integers or booleans, or of lists of these."""
        assert self.source is not None
        return self.labels.written is None and self.table.holds_integers(self.source)

    @property
    def may_be_raters(self) -> bool:
        """Whether lists of labels may be those of several raters: not where there is a label for each document."""
        if self.source is None or self.labels.type != "list" or self.labels.lengths is None:
            return False
        is_short = len(self.labels.lengths) > 0 and int(self.labels.lengths.max()) <= _MOST_RATERS
        return is_short and len(self.inputs) == 2 and str(self.format.label) not in LISTS

    @property
    def are_raters(self) -> bool:
        """Whether they are, as the loss takes one label for each row."""
        return self.may_be_raters and self.takes_labels and self.label_kinds <= SCALARS

    @property
    def becomes_pairs(self) -> bool:
        """Whether a row has several documents and a label for each, where the loss takes pairs."""
        lengths = None if self.source is None else self.labels.lengths
        is_each = lengths is not None and bool((lengths == len(self.inputs) - 1).all())
        return is_each and len(self.inputs) > 2 and self.entry.max_columns == 2

    @property
    def takes_labels(self) -> bool:
        """Whether the loss reads labels that the tables list."""
        return bool(self.label_kinds - {"none"})

    @property
    def needs_labels(self) -> bool:
        """Whether the loss cannot do without labels."""
        return self.takes_labels and not self.label_kinds & {"none", "any"}

    @property
    def read_label(self) -> str | None:
        """The present name of the label, if the loss reads it."""
        return self.source if self.takes_labels else None

    @property
    def wanted(self) -> str:
        """The kinds of labels that the loss takes, in words."""
        return " or ".join(sorted(self.label_kinds - {"none"}))

    @property
    def lowest(self) -> float:
        """The lowest label; only to be read where there is one."""
        return float(self.labels.values.min())

    @property
    def highest(self) -> float:
        """The highest label; only to be read where there is one."""
        return float(self.labels.values.max())

    @property
    def numbers(self) -> Numbers | None:
        """The labels, where they are amounts: neither lists nor names."""
        return None if self.labels.are_names else self.labels.numbers

    @property
    def targets(self) -> str:
        """What labels mean to one of our losses, by its argument `targets`; empty where that is not known."""
        return str(getattr(self.loss, "targets", None) or "") if self.entry.origin == OURS else ""

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


# --- Steps ------------------------------------------------------------------------------------------------------------


def keep(argument: str, condition: str, *columns: str) -> Step:
    """The step that keeps rows.

    Args:
        argument: What a row's value is called; with several columns, its values.
        condition: Which rows are kept, as code.
        *columns: The columns.

    Returns:
        The step.

    Example:
        >>> print(keep("label", "label >= 0", "label").code())
        dataset = dataset.filter(lambda label: label >= 0, input_columns="label")
    """
    names = columns[0] if len(columns) == 1 else columns
    return Step("filter", (Code(f"lambda {argument}: {condition}"),), (("input_columns", names),))


def change(argument: str, value: str, column: str) -> Step:
    """The step that changes the values of a column.

    Args:
        argument: What a row's value is called.
        value: What it becomes, as code.
        column: The column.

    Returns:
        The step.

    Example:
        >>> print(change("labels", "labels[0]", "label").code())
        dataset = dataset.map(lambda labels: {"label": labels[0]}, input_columns="label")
    """
    code = Code(f"lambda {argument}: {{{json.dumps(column)}: {value}}}")
    return Step("map", (code,), (("input_columns", column),))
