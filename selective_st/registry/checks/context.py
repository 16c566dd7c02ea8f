"""What the rules read: the data, the loss and the model, and what is known of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from selective_st import catalog
from selective_st.catalog import OURS, LossEntry, ModelType, Shape, model_type_of, shape_of, uncompiled
from selective_st.registry.checks.scan import Labels, Numbers, Scan, scan
from selective_st.registry.detection import DataFormat, name_for, named_label
from selective_st.registry.labels import signs_of
from selective_st.registry.names import RESERVED, TRAINER_LABELS, hint_of, is_negating, tags_of
from selective_st.registry.steps import Step
from selective_st.registry.table import Table, present
from selective_st.written import read_written

EMBEDDINGS = {"embedding", "embeddings"}
SCALARS = {"class", "binary", "similarity", "margin"}
LISTS = {"margins", "scores", "binary list", "class probabilities", *EMBEDDINGS}
UNKNOWN = "nothing is known of it"
_MOST_RATERS = 20  # a longer list of labels is no one's several opinions
_FEWEST = {"single": 1, "pair": 2, "triplet": 3, "n-tuple": 3, "list": 2}
_MODEL_ATTRIBUTES = ("model", "sentence_embedder", "encoder", "model2")


class LabelColumn(NamedTuple):
    """The label: its present name, the one under which the trainer will read it, and what gives it that name."""

    source: str | None = None
    name: str | None = None
    naming: tuple[Step, ...] | None = ()  # None where that would make it say the opposite, or something else
    turned: bool = False  # whether the first step makes 0 of 1


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a rule may read: the loss, what the registry knows of it and the object where there is one; the data."""

    entry: LossEntry
    is_known: bool = True
    loss: Any = None
    wrappers: tuple[Any, ...] = ()
    model: Any = None
    table: Table
    format: DataFormat
    batch_size: int
    sampler: str | None
    loss_variable: str | None = "loss"  # what the loss is called in code; None where it is that of several datasets
    not_checked: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The loss within what wraps it."""
        return "".join(f"{type(of).__name__}(" for of in self.wrappers) + self.entry.name + ")" * len(self.wrappers)

    @property
    def modules(self) -> list[str]:
        """The names of the classes of the model's modules."""
        return [type(module).__name__ for module in getattr(self.model, "children", list)()]

    @property
    def variable(self) -> str:
        """What the dataset is called in code."""
        return "dataset" if self.table.name is None else f"dataset[{json.dumps(self.table.name)}]"

    @cached_property
    def scan(self) -> Scan:
        """What was counted over all rows."""
        texts = [column for column in self.inputs if self.format.kinds[column] in ("text", "texts")]
        found = scan(self.table, texts, self.source)
        if self.label_column.turned and found.labels is not None:
            found.labels.lows = found.labels.highs = 1 - found.labels.lows
        return found

    # The inputs.

    @cached_property
    def strays(self) -> dict[str, str]:
        """The inputs that are no inputs, each with the code of the rule that tells of it."""
        of_label = {self.label_column.source, *(self.rivals if len(self.rivals) > 1 else ())}
        columns = [column for column in self.format.trainer_inputs if column not in of_label]
        return {column: code for column in columns if (code := self._stray_as(column))}

    def _stray_as(self, column: str) -> str | None:
        kind, meant = self.format.kinds[column], self.format.inputs
        if column in RESERVED:
            return "reserved-column"
        if column in TRAINER_LABELS and kind != "empty":
            return "second-label"
        if kind not in ("text", "texts", "media"):
            return {"empty": "empty-column", "id": "id-column", "ids": "id-column"}.get(kind, "number-column")
        is_other = meant and self.format.certainty != "unclear" and column not in meant
        return "stray-column" if is_other else None

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the loss would get if the strays were gone, and the label had its name."""
        out = {*self.strays, *self.rivals, self.label_column.source}
        return tuple(column for column in self.format.trainer_inputs if column not in out)

    @property
    def read_inputs(self) -> tuple[str, ...]:
        """Those of them that the loss reads."""
        return self.inputs[: self.entry.max_columns]

    @property
    def lists(self) -> tuple[str, ...]:
        """The inputs that hold lists of texts."""
        return tuple(column for column in self.inputs if self.format.kinds[column] == "texts")

    @property
    def shape(self) -> Shape:
        """The shape of the data, by the inputs."""
        return "list" if self.lists else shape_of(self.inputs)

    # The labels.

    @cached_property
    def label_column(self) -> LabelColumn:
        """The label, as it is meant."""
        trainer = self.format.trainer_label
        column = self.format.label_column or (self.rivals[0] if len(self.rivals) == 1 else None)
        if column in (None, trainer) or (trainer is not None and self.format.kinds[trainer] != "empty"):
            return LabelColumn(trainer, trainer)
        renamed = [step.arguments[1] for step in self.format.steps if step.call == "rename_column"]
        targets = (*renamed, name_for(self.format.label), *TRAINER_LABELS)
        target = next((name for name in targets if name not in self.table.columns), targets[0])
        rename = named_label(column, target)
        if is_negating(column) and self.format.label not in ("margin", "margins"):
            found = next(each for each in self.format.columns if each.name == column)
            signs = signs_of(found, present(self.table.values[column]))
            turned = signs is not None and signs.turned
            return LabelColumn(column, target, None if signs is None else (signs.step(column), rename), turned)
        says_which = "better" in tags_of(column)  # of the inputs is better
        return LabelColumn(column, target, None if says_which else (rename,))

    @cached_property
    def rivals(self) -> tuple[str, ...]:
        """The columns that may each be the label, where none has a name that the trainer knows."""
        if self.format.trainer_label is not None or self.format.label_column is not None:
            return ()
        named = [way.label_column for way in self.format.readings if way.label_column is not None]
        unread = [column.name for column in self.format.columns if column.kind == "other" and hint_of(column.name)]
        texts = {name: Counter(text for text in self.table.values[name] if isinstance(text, str)) for name in unread}
        amounts = ("numbers", "opposites", "grades", "lists")
        return tuple(dict.fromkeys(named or [name for name in unread if read_written(texts[name]).kind in amounts]))

    @property
    def label(self) -> str | None:
        """The name of the label when the lines before have run; None where there is none."""
        return self.label_column.name

    @property
    def source(self) -> str | None:
        """The present name of the label; None where there is none that can be read as one."""
        return None if self.label_column.naming is None else self.label_column.source

    @property
    def is_named(self) -> bool:
        """Whether the trainer takes the label for one."""
        return self.label is not None and self.label_column.source == self.format.trainer_label

    @cached_property
    def class_names(self) -> list[str]:
        """The names of the classes, where the label column has them."""
        feature = self.table.features[self.source] if self.source is not None else None
        return list(getattr(feature, "names", None) or [])

    @property
    def labels(self) -> Labels:
        """The labels; only to be read where there is a label column."""
        assert self.scan.labels is not None
        return self.scan.labels

    @property
    def lowest(self) -> float:
        """The lowest label; only to be read where there is one."""
        return float(self.labels.values.min())

    @property
    def highest(self) -> float:
        """The highest label; only to be read where there is one."""
        return float(self.labels.values.max())

    @property
    def numbers(self) -> Numbers:
        """The labels where they are amounts; NaN where there is none, or they are lists or names."""
        return np.full(len(self.scan.rows), np.nan) if self.labels.are_names else self.labels.numbers

    @property
    def has_amounts(self) -> bool:
        """Whether labels are amounts: neither lists nor names."""
        return self.source is not None and bool(np.isfinite(self.numbers).any())

    @property
    def holds_integers(self) -> bool:
        """Whether the label column is of integers or booleans, or of lists of these."""
        return self.labels.written is None and self.table.holds_integers(str(self.source))

    # What the loss takes.

    @cached_property
    def min_columns(self) -> int:
        """The fewest text columns that the loss reads, with its settings."""
        formats = [] if self.loss is None else catalog.formats_of(self.loss, self.entry.model_type)
        fewest = min((_FEWEST[shape] for shape, _ in formats if shape in _FEWEST), default=1)
        return max(fewest, self.entry.min_columns)

    @cached_property
    def shapes(self) -> set[str]:
        """The shapes of data that the loss is for."""
        return {row.shape for row in catalog.rows_of(self.entry.name, self.entry.model_type)}

    def label_kinds_of(self, *shapes: str) -> set[str]:
        """The kinds of labels that the loss takes with inputs of some shapes."""
        known = catalog.rows_of(self.entry.name, self.entry.model_type)
        return {row.label for row in known if row.shape in shapes}

    @cached_property
    def label_kinds(self) -> set[str]:
        """The kinds of labels that the loss takes for as many inputs; `any` where nothing is known."""
        if not self.is_known or self.entry.role != "loss":
            return {"any"}
        if self.may_be_taught and self.holds_integers:
            return {"none"}
        found = self.label_kinds_of(self.shape, "any")
        # The rows of several inputs with a teacher's embeddings hold for any number of them.
        every = self.label_kinds_of(*self.shapes)
        found |= every & EMBEDDINGS if len(self.inputs) > 1 else set()
        return (found or every or {"any"}) | ({"scores"} if self.are_teacher_scores else set())

    @property
    def may_be_taught(self) -> bool:
        """Whether the loss is an in-batch one of ours: these take floats for a teacher's scores, no integers."""
        return self.entry.origin == OURS and self.entry.in_batch_negatives and self.source is not None

    @property
    def are_teacher_scores(self) -> bool:
        """Whether the loss takes the labels for a teacher's scores."""
        return self.may_be_taught and self.labels.type in ("float", "list") and not self.holds_integers

    @property
    def may_be_raters(self) -> bool:
        """Whether lists of labels may be those of several raters: not where there is a label for each document."""
        is_asked = self.source is not None and len(self.inputs) == 2 and str(self.format.label) not in LISTS
        return is_asked and self.labels.type == "list" and int(self.labels.lengths.max()) <= _MOST_RATERS

    @property
    def has_label_each(self) -> bool:
        """Whether there is a label for each document, of which the margins are the differences."""
        return self.source is not None and self.labels.are_lists_of(len(self.inputs) - 1)

    @property
    def becomes_pairs(self) -> bool:
        """Whether a row has several documents and a label for each, where the loss takes pairs."""
        return self.has_label_each and len(self.inputs) > 2 and self.entry.max_columns == 2

    @property
    def takes_labels(self) -> bool:
        """Whether the loss reads labels that the tables list."""
        return bool(self.label_kinds - {"none"})

    @property
    def reads_label(self) -> bool:
        """Whether it reads those that there are: where columns are lacking, the labels will be others."""
        return self.takes_labels and len(self.inputs) >= self.min_columns

    @property
    def needs_labels(self) -> bool:
        """Whether the loss cannot do without labels."""
        return self.takes_labels and not self.label_kinds & {"none", "any"}

    @property
    def wanted(self) -> str:
        """The kinds of labels that the loss takes, in words."""
        return " or ".join(sorted(self.label_kinds - {"none"}))

    @property
    def targets(self) -> str:
        """What labels mean to one of our losses, by its argument `targets`; empty where that is not known."""
        return str(getattr(self.loss, "targets", None) or "") if self.entry.origin == OURS else ""

    @cached_property
    def dimension(self) -> int | None:
        """The size of the model's embeddings; None where that is not known."""
        size = getattr(self.model, "get_embedding_dimension", lambda: None)()
        return size if isinstance(size, int) else None

    @property
    def is_cosine(self) -> bool | None:
        """Whether the loss's scores are cosines; None where that is not known."""
        name = str(getattr(getattr(self.loss, "similarity_fct", None), "__name__", ""))
        if self.loss is None:  # by its name alone, the loss is taken as the registry suggests it
            name = dict(self.entry.arguments).get("similarity_fct", "")
            if not name and self.entry.origin == OURS and self.entry.model_type == "SentenceTransformer":
                name = "pairwise_cos_sim"
        if "cos" in name or ("dot" in name and "Normalize" in self.modules):
            return True
        return False if name else None


def quoted(columns: Sequence[str]) -> str:
    """Names of columns, for a message."""
    return ", ".join(map(repr, columns))


def contexts_of(owner: str, loss: Any, model: Any, model_type: ModelType | None, **data: Any) -> list[Context]:
    """What is known of the losses within a loss, or of itself where it wraps none, and of the data."""
    if isinstance(loss, str):
        having: list[ModelType] = [kind for kind in catalog.MODEL_TYPES if catalog.find_loss(loss, kind)]
        known = catalog.loss_entry(loss, model_type or model_type_of(model) or [*having, "SentenceTransformer"][0])
        return [Context(entry=known, model=uncompiled(model), **data)]
    if isinstance(loss, type) or not callable(loss):
        what = f"the class {loss.__name__}" if isinstance(loss, type) else f"{loss!r}"
        raise TypeError(f"{owner}: loss must be a loss, such as CoSENTLoss(model), or its name; got {what}.")
    loss = uncompiled(loss)
    own = [found for name in _MODEL_ATTRIBUTES if (found := getattr(loss, name, None)) is not None]
    model = uncompiled([*own, None][0] if model is None else model)
    kind = model_type or model_type_of(model) or "SentenceTransformer"
    entry = catalog.entry_of(loss, kind)
    several = getattr(loss, "losses", None)
    inner = list(several.values()) if isinstance(several, Mapping) else [getattr(loss, "loss", None)]
    inner = [one for one in inner if hasattr(one, "forward")]
    if inner and (entry is None or entry.role == "modifier"):
        found = [context for one in inner for context in contexts_of(owner, one, model, model_type, **data)]
        return [replace(context, wrappers=(loss, *context.wrappers)) for context in found]
    of = type(loss)
    known = entry or LossEntry(name=of.__name__, model_type=kind, module=of.__module__, why=UNKNOWN, origin="")
    return [Context(entry=known, is_known=entry is not None, loss=loss, model=model, **data)]
