"""What is suggested: for a data format the losses that suit it, each with code ready to paste."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from selective_st import catalog
from selective_st._templates import template
from selective_st._validation import instance_of
from selective_st.catalog import LINKS, LabelKind, LossEntry, ModelType, Row, Selective, Shape, loss_entry
from selective_st.errors import DataError
from selective_st.registry import code as codes
from selective_st.registry import conversions
from selective_st.registry.code import Expression, UnknownCodeError, in_brackets, sorted_imports, step_lines
from selective_st.registry.conversions import Conversion
from selective_st.registry.detection import DataFormat
from selective_st.registry.steps import Step, literal

if TYPE_CHECKING:
    from torch import nn

    from selective_st.registry.focused import Chosen

_SCRIPT_BATCH = 16
_SCALES = {"probability": (0.0, 1.0), "cosine": (-1.0, 1.0)}  # of labels for losses of such scores
_UNBOUNDED_MARGINS = ".linear_outside(-1, 1)"  # of logits
_UNBOUNDED = ".linear_outside(None, 1)"  # with which a focus on scores from 0 to 1 serves unbounded ones
_DUPLICATES = (
    "In-batch negatives: a text twice in a batch is a false negative, so train with "
    "batch_sampler=BatchSamplers.NO_DUPLICATES."
)
_CLASS_BATCHES = "A batch needs several rows of a class: train with batch_sampler=BatchSamplers.GROUP_BY_LABEL."
# What is told of a format, of a loss and of a conversion in JSON.
_OF_FORMAT = (
    "shape", "label", "meaning", "certainty", "inputs", "label_column", "label_values", "label_scale",
    "trainer_inputs", "trainer_label", "reasons", "doubts", "rows", "read",
)  # fmt: skip
_OF_LOSS = ("loss", "link", "selective", "recommended", "why", "caveats", "code")
_OF_CONVERSION = ("to", "why", "losses", "code")


@dataclass(frozen=True)
class Suggestion:
    """A loss for the data.

    Attributes:
        entry: Its entry in the registry.
        row: The row of the tables that it was found in.
        link: The code of its link; empty for losses without one.
        selective: Whether it is one of ours.
        why: What it is good for, in a line.
        caveats: What else to know, a sentence each.
        steps: What is to be done with the dataset before.
        arguments: Its arguments after the model, as code.
        setup: The lines of the code that make what the arguments need.
        expression: The expression of the code that makes the loss.
        known: What a setup line would find in the dataset, by its name.
    """

    entry: LossEntry
    row: Row
    link: str
    selective: bool
    why: str
    caveats: tuple[str, ...]
    steps: tuple[Step, ...]
    arguments: tuple[tuple[str, str], ...]
    setup: tuple[str, ...] = field(repr=False)
    expression: str = field(repr=False)
    known: tuple[tuple[str, Any], ...] = field(repr=False)

    @property
    def loss(self) -> str:
        """The name of its class."""
        return self.entry.name

    @property
    def model_type(self) -> ModelType:
        """Which models it trains."""
        return self.row.model_type

    @property
    def recommended(self) -> bool:
        """Whether Sentence Transformers commonly recommends it for such data."""
        return self.loss in self.row.recommended

    @cached_property
    def code(self) -> str:
        """Code ready to paste; `model` and `dataset` are yours."""
        lines = [*step_lines(self.steps), *self.setup, *self.as_code(self.expression).assigned("loss")]
        return "\n\n".join(filter(None, ("\n".join(each) for each in (sorted_imports(self._imports()), lines))))

    @property
    def sampler(self) -> str:
        """The name of the batch sampler that the loss needs; empty for the usual one."""
        if self.entry.class_batches:
            return "GROUP_BY_LABEL"
        return "NO_DUPLICATES" if self.entry.in_batch_negatives else ""

    def script(self, data: str | None, model: str, header: bool | None = None, split: str | None = None) -> str:
        """A complete program that trains with this loss.

        Args:
            data: The path of the file with the data, which the program reads with `selective_st.data.read_table`;
                None for `train.csv`, to be filled in.
            model: The name or the folder of the model to train.
            header: Whether a CSV file has a header row. Default: see `read_table`.
            split: Which split of a hub dataset. Default: train.

        Returns:
            The program.

        Raises:
            TypeError: If the path or the name is no text.
        """
        instance_of("script", "data", data, (str, type(None)), 'Write the path of the file: "train.csv".')
        instance_of("script", "model", model, str, f'Write its name or folder: "{catalog.DEFAULT_MODEL}".')
        kind = self.model_type
        imports = [
            *self._imports(),
            f"from sentence_transformers import {kind}, {kind}Trainer, {kind}TrainingArguments",
            "from selective_st.data import read_table",
            "from selective_st.registry import check_dataset",
            *(["from sentence_transformers.base.training_args import BatchSamplers"] if self.sampler else []),
            *(["from selective_st.model_card import SelectiveModelCardCallback"] if self.selective else []),
        ]
        # The model's card then tells what the loss cares about.
        callbacks = ", callbacks=[SelectiveModelCardCallback(loss)]" if self.selective else ""
        outputs = ""
        if kind == "CrossEncoder":
            classes = codes.classes_in(dict(self.known).get("label", "label"))
            outputs = f", num_labels={classes if self.row.outputs == 'num_classes' else 1}"
        trainer = Expression(f"{kind}Trainer(model=model, args=args, train_dataset=dataset, loss=loss{callbacks})")
        lines = template("suggested.txt").script(
            of=self,
            title=" ".join(model.replace("\\", "/").replace('"', "'").split()),  # harmless in a docstring
            imports=sorted_imports(imports),
            read=codes.table_line(data or "train.csv", header=header, split=split),
            steps=step_lines(self.steps),
            model=literal(model) + outputs,
            made=[*self.setup, *self.as_code(self.expression).assigned("loss")],
            batch=_SCRIPT_BATCH,
            trainer=trainer.assigned("trainer"),
        )
        return f"{lines}\n"

    def build(self, model: Any, dataset: Any = None, **given: Any) -> nn.Module:
        """Make the loss.

        Args:
            model: The model to train.
            dataset: The dataset, with the steps done; for losses that must count its classes.
            **given: Arguments to be passed instead of those in `arguments`, such as `guide=my_model`.

        Returns:
            The loss.

        Raises:
            TypeError: If the model is of another kind.
            DataError: If an argument cannot be made, such as the number of classes without the dataset.
            ImportError: If the installed version does not have the loss.
        """
        names = {"model": model, **({} if dataset is None else {"dataset": dataset}), **dict(self.known), **given}
        for line in self.setup:
            name, _, code = line.partition(" = ")
            # What is known is of the rows that were looked at; the dataset has them all.
            if name not in given and (name not in names or dataset is not None):
                names[name] = self._value(code, names)
        own = dict(self.arguments)
        called, asked = (codes.call_of(self.loss, each) for each in (own, own | {name: name for name in given}))
        built: nn.Module = self._value(self.expression.replace(called, asked), names)
        return built

    def as_code(self, code: str) -> Expression:
        """Code that may name this loss and those of its model type."""
        return Expression(code, self.model_type)

    def _imports(self) -> list[str]:
        """The imports of the code."""
        codes = [*(line.partition(" = ")[2] for line in self.setup), self.expression]
        found = [step.import_line for step in self.steps if step.import_line]
        return found + [line for code in codes for line in self.as_code(code).imports()]

    def _value(self, code: str, names: Mapping[str, Any]) -> Any:
        try:
            return self.as_code(code).value(names)
        except UnknownCodeError as error:
            raise DataError(
                f"{self.loss}: the value of {code!r} is not known here ({error}). Give it to build, such as "
                f"build(model, dataset), or paste the code of the suggestion: print(suggestion.code)."
            ) from None


class Suggestions(list[Suggestion]):
    """The losses for the data, the best first, and what else can be done.

    Args:
        found: The losses.
        data_format: The format of the data.
        conversions: What opens more losses.
        model_type: Which models.
        named: What `of` finds by its name besides: losses for the readings of data that are unclear.
        choice: The loss that was chosen of them, with the steps that lay the data out for it, and why.
        focus: Which scores matter.

    Attributes:
        format: The format of the data.
        conversions: What opens more losses.
        model_type: Which models.
        named: What `of` finds by its name besides.
        choice: The loss that was chosen of them, and why; None where the rows were not looked at.
        focus: Which scores matter, as code; None for each loss's own link.
    """

    def __init__(
        self,
        found: Sequence[Suggestion],
        data_format: DataFormat,
        conversions: Sequence[Conversion] = (),
        model_type: ModelType = "SentenceTransformer",
        named: Sequence[Suggestion] = (),
        choice: tuple[Suggestion, str] | None = None,
        focus: Chosen | None = None,
    ) -> None:
        super().__init__(found)
        self.format, self.model_type, self.choice, self.focus = data_format, model_type, choice, focus
        self.conversions, self.named = tuple(conversions), tuple(named)

    def of(self, loss: str | None = None) -> Suggestion:
        """A suggestion by the name of its loss.

        Args:
            loss: The name. Default: the first.

        Returns:
            The suggestion.

        Raises:
            DataError: If there is none, or it is not clear what the data mean and no loss is named; the message says
                what is suggested instead.
            TypeError: If the name is no text.
            ValueError: If there is no such loss.
        """
        where = "" if self.format.name is None else f"Dataset {self.format.name!r}: "
        if self.format.certainty == "unclear" and loss is None:
            raise DataError(where + said("unclear", found=self))
        known: tuple[Suggestion, ...] = (*self, *self.named)
        found = next((each for each in known if loss in (None, each.loss)), None)
        if found is None:
            raise DataError(where + _unsuited(self, loss))
        return found

    def as_dict(self) -> dict[str, Any]:
        """The suggestions as JSON-serialisable data."""
        return {
            "model_type": self.model_type,
            "format": _plain(self.format, _OF_FORMAT),
            "suggestions": [_plain(found, _OF_LOSS) for found in self],
            "conversions": [_plain(found, _OF_CONVERSION) for found in self.conversions],
        }

    def __str__(self) -> str:
        return str(template("suggested.txt").listing(self)).rstrip("\n")


def _plain(of: object, names: Sequence[str]) -> dict[str, Any]:
    """Attributes as JSON has them."""
    values = {name: getattr(of, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def said(what: str, **facts: Any) -> str:
    """Why no loss can be made, and what to do: a macro of `templates/suggested.txt`."""
    return str(getattr(template("suggested.txt"), what)(**facts))


def _unsuited(found: Suggestions, name: Any) -> str:
    """Why a loss does not suit, or none does, and what to do."""
    if name is None:
        return said("no_loss", found=found)
    if not isinstance(name, str):
        raise TypeError(said("no_name", kind=type(name).__name__))
    entry = loss_entry(name, found.model_type)
    if entry.role != "loss":
        inner = re.sub(r"\w+\(model\)", "create_loss(model, dataset)", entry.arguments[0][1]) if entry.arguments else ""
        raise DataError(said(f"no_{entry.role}_alone", entry=entry, inner=inner))
    opened = next((each for each in found.conversions if name in each.losses), None)
    wanted = catalog.rows_of(name, found.model_type)
    return said("unsuited", found=found, name=name, wanted=wanted, opened=opened)


# --- From a format and a row of the catalog to a loss -----------------------------------------------------------------


def suited_to(form: DataFormat, view: Any, focus: Chosen | None, model_type: ModelType) -> Suggestions:
    """The losses for a format, in the order of the catalog; `view` is the data as far as they are read, if at all."""
    opened = conversions.conversions_of(form, view, model_type)
    if form.certainty != "unclear" or conversions.identifiers_of(form):  # no loss learns from IDs
        found = [] if conversions.identifiers_of(form) else _once(form, view, focus, model_type)
        return Suggestions(found, form, opened, model_type, focus=focus)
    named: dict[str, Suggestion] = {}  # each where it comes first
    for way in form.readings:
        if way.shape and way.label:
            told: dict[str, Any] = {"steps": way.needs, "inputs": way.inputs, "label_column": way.label_column}
            for each in _once(in_layout(form, way.shape, way.label, **told), view, focus, model_type):
                named.setdefault(each.loss, each)
    return Suggestions([], form, (), model_type, list(named.values()), focus=focus)


def in_layout(form: DataFormat, shape: Shape, label: LabelKind, *, pairs: str = "", **changes: Any) -> DataFormat:
    """A format in another layout; `pairs` says which pairs are meant, where there are no labels to tell."""
    meaning = (pairs or catalog.ANCHOR_POSITIVE) if (shape, label) == ("pair", "none") else ""
    return replace(form, shape=shape, label=label, meaning=meaning, **changes)


def _once(form: DataFormat, view: Any, focus: Chosen | None, model_type: ModelType) -> list[Suggestion]:
    """The losses of the rows for a format, the best first, each where it comes first."""
    ranked: list[tuple[tuple[int, int, int], LossEntry, Row, Selective | None]] = []
    for row in form.matching_rows(model_type):
        of_ours = [(loss_entry(ours.loss, model_type), ours) for ours in row.selective]
        if focus is not None and focus.reads_scores:  # of which an order says nothing
            of_ours.sort(key=lambda each: each[0].order_only)
        ranked += [((0, place, 0), entry, row, ours) for place, (entry, ours) in enumerate(of_ours)]
        for place, name in enumerate(row.losses):
            entry = loss_entry(name, model_type)
            rank = (3 if entry.deprecated else 2, place, 1)
            if name in row.recommended and not entry.deprecated:
                beside_ours = row.label == "none" and focus is None
                rank = (0 if beside_ours else 1, row.recommended.index(name), 1)
            ranked.append((rank, entry, row, None))
    best: dict[str, tuple[LossEntry, Row, Selective | None]] = {}
    for _, entry, row, ours in sorted(ranked, key=itemgetter(0)):
        best.setdefault(entry.name, (entry, row, ours))
    return [_suggestion(form, view, focus, *each) for each in best.values()]


def _suggestion(
    form: DataFormat, view: Any, focus: Chosen | None, entry: LossEntry, row: Row, ours: Selective | None
) -> Suggestion:
    arguments = {**dict(entry.arguments), **(dict(ours.arguments) if ours else {})}
    why, caveats = entry.why, []
    if entry.deprecated:
        caveats.append(f"Deprecated: use {entry.deprecated}.")
    if ours and focus:
        why = f"{why}; here {focus.what} matter"
        order = [other for other in row.selective if loss_entry(other.loss, row.model_type).order_only]
        if focus.reads_scores and not entry.order_only and order:
            why += " as they are, which an order alone does not give"
        caveats += _focus_arguments(arguments, ours, focus)
    elif ours:
        arguments["link"] = ours.link
    more, notes = _more_steps(form, view, entry, row, ours, arguments)
    caveats += [*notes, *entry.caveats]
    caveats += [_DUPLICATES] if entry.in_batch_negatives else []
    caveats += [_CLASS_BATCHES] if entry.class_batches else []
    since = max(entry.since, row.since, key=lambda release: tuple(map(int, release.split("."))))
    if since != "6.0":
        caveats.append(f"It needs sentence-transformers {since} or newer.")
    setup, known = _setup(entry, row, form)
    steps = (*form.steps, *more) if view is None else view.ready((*form.steps, *more))
    return Suggestion(
        entry, row, arguments["link"] if ours else "", ours is not None, why, tuple(caveats), steps,
        tuple(arguments.items()), setup, codes.loss_call(entry, arguments), known,
    )  # fmt: skip


def _focus_arguments(arguments: dict[str, str], ours: Selective, focus: Chosen) -> list[str]:
    """Put the links of a focus into the arguments of one of our losses; what there is to say of it."""
    caveats = []
    if arguments.get("targets") == '"link_values"':
        del arguments["targets"]  # the link is for scores: labels 0 and 1 are scores too
        caveats.append("With a focus the labels 0 and 1 are taken for the scores to be reached.")
    of_logits, are_margins = ours.link == LINKS["logits"], arguments.get("targets") == '"margins"'
    if of_logits and not are_margins:
        # A focus is on scores from 0 to 1, as those of model.predict.
        arguments |= {"activation_fn": "Sigmoid()", "temperature": "0.1"}
    if "calibration_link" in arguments:
        arguments["calibration_link"] = focus.link
    if "weight_link" in arguments and focus.value_link is not None:
        arguments["weight_link"] = focus.weight_link
    unbounded = _UNBOUNDED if ".linear_outside(None, " in ours.link else ""
    orders_at_thresholds = focus.weight_link != focus.link and "weight_link" in dict(ours.arguments)
    arguments["link"] = ours.link
    if ours.loss == "SelectivePointwiseLoss":
        arguments["link"] = (in_brackets(focus.link) if unbounded else focus.link) + unbounded
    elif focus.value_link is not None and ours.link != LINKS["ranks_only"] and not orders_at_thresholds:
        of_margins = of_logits and ("targets", '"margins"') in ours.arguments
        arguments["link"] = focus.value_link + (_UNBOUNDED_MARGINS if of_margins else unbounded)
    return caveats


def _setup(entry: LossEntry, row: Row, form: DataFormat) -> tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]:
    """The setup lines, and what they would find in the dataset."""
    label = conversions.name_after(form.label_column, form.steps)
    are_lists = row.label == "class probabilities"
    number = form.label_length if are_lists else form.label_values and int(form.label_values[1]) + 1
    classes = codes.classes_in(label, are_lists=are_lists)
    counted = [line.removesuffix(f" = {catalog.CLASSES}") for line in entry.setup if line.endswith(catalog.CLASSES)]
    known = {"label": label} | dict.fromkeys(counted, number)
    lines = tuple(line.replace(catalog.CLASSES, classes) for line in entry.setup)
    return lines, tuple((name, value) for name, value in known.items() if value)


def _more_steps(
    form: DataFormat, view: Any, entry: LossEntry, row: Row, ours: Selective | None, arguments: Mapping[str, str]
) -> tuple[list[Step], list[str]]:
    """What this loss needs done to the data beyond making the trainer read them as they are meant, and notes on it."""
    label = conversions.name_after(form.label_column, form.steps)
    if row.shape == "single" and row.label == "none" and entry.name in conversions.PAIRS_OF_TEXTS:
        return [conversions.PAIRS_OF_TEXTS[entry.name]], []
    if label is None:
        return [], []
    are_margins, are_scores = row.label in ("margin", "margins"), row.label in ("similarity", "scores")
    width = math.ceil(max(map(abs, form.label_values or (0,))))
    bounded = arguments.get("similarity_fct") != "pairwise_dot_score" and row.model_type != "CrossEncoder"
    if are_margins and ours and width > 2 and bounded:
        step = Step("scale_margins", (label, width), why="to the margins that cosines can have")
        return [step], [f"{width} is the widest margin seen: give the width of your teacher's scale instead."]
    wanted = _wanted_scale(entry, row, ours, arguments)
    scaling = conversions.scaling(form, label, wanted) if are_scores and wanted else None
    if scaling is not None:
        _, low, high = scaling.arguments
        note = f"That the labels' scale is from {low} to {high} is a guess: give its ends, if they are others."
        return [scaling], [note] if conversions.scale_of(form)[1] else []
    floats = (are_margins or row.label == "scores") and not entry.order_only
    if ours:
        targets = arguments.get("targets")
        floats = targets is None if row.label == "binary" else (are_margins or are_scores) and targets != '"labels"'
    is_asked = floats and _holds_integers(form, view)
    return ([Step("labels_to_float", (label,), why="scores are floats")] if is_asked else []), []


def _wanted_scale(
    entry: LossEntry, row: Row, ours: Selective | None, arguments: Mapping[str, str]
) -> tuple[float, float] | None:
    """Where the labels must lie; None for anywhere."""
    if entry.score in _SCALES:
        return _SCALES[entry.score]
    if entry.model_type == "CrossEncoder":  # its logits are not bounded; a Sigmoid's scores are
        return (0.0, 1.0) if "activation_fn" in arguments and row.label == "scores" else None
    bounded = "dot_score" not in arguments.get("similarity_fct", "")
    # A link cares where scores lie.
    return (-1.0, 1.0) if ours is not None and row.label in ("scores", "similarity") and bounded else None


def _holds_integers(form: DataFormat, view: Any) -> bool:
    """Whether the labels are integers, and stay so in the steps."""
    column = form.label_column
    if column is None or any(step.call in ("labels_to_float", "scale_labels") for step in form.steps):
        return False
    of_integers = form.kinds.get(column) in ("integer", "boolean", "class label")
    return of_integers or (view is not None and bool(view.holds_integers(column)))
