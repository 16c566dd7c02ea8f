"""What is suggested: a loss with code ready to paste, and the losses for a dataset with what opens more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from selective_st._validation import instance_of
from selective_st.errors import DataError
from selective_st.registry.catalog import (
    DEFAULT_MODEL,
    LabelKind,
    LossEntry,
    ModelType,
    Row,
    loss_entry,
    rows_of,
)
from selective_st.registry.code import Expression, UnknownCodeError, one_line, sorted_imports, step_lines
from selective_st.registry.conversions import (
    Conversion,
)
from selective_st.registry.detection import DataFormat
from selective_st.registry.steps import Step, literal

if TYPE_CHECKING:
    from torch import nn


_SCRIPT_BATCH = 16

# How many classes there are, where a loss or a model needs it: classes count from 0.
NUMBER_OF_CLASSES: dict[LabelKind, str] = {
    "class": "int(max(dataset[{label}])) + 1",
    "class probabilities": "len(dataset[{label}][0])",
}


@dataclass(frozen=True)
class Suggestion:
    """A loss for the data.

    Attributes:
        loss: The name of its class.
        model_type: Which models it trains.
        entry: Its entry in the registry.
        row: The row of the tables that it was found in.
        link: The code of its link; empty for losses without one.
        selective: Whether it is one of ours.
        recommended: Whether Sentence Transformers commonly recommends it for such data.
        why: What it is good for, in a line.
        caveats: What else to know, a sentence each.
        steps: What is to be done with the dataset before.
        arguments: Its arguments after the model, as code.
        code: Code ready to paste; `model` and `dataset` are yours.
        setup: The lines of it that make what the arguments need.
        expression: The expression of it that makes the loss.
        known: What a setup line would find in the dataset, by its name.
    """

    loss: str
    model_type: ModelType
    entry: LossEntry
    row: Row
    link: str
    selective: bool
    recommended: bool
    why: str
    caveats: tuple[str, ...]
    steps: tuple[Step, ...]
    arguments: tuple[tuple[str, str], ...]
    code: str = field(repr=False)
    setup: tuple[str, ...] = field(default=(), repr=False)
    expression: str = field(default="", repr=False)
    known: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

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
        instance_of("script", "model", model, str, f'Write its name or folder: "{DEFAULT_MODEL}".')
        trainer, arguments = f"{self.model_type}Trainer", f"{self.model_type}TrainingArguments"
        read = [
            f"{name}={literal(value)}" for name, value in (("header", header), ("split", split)) if value is not None
        ]
        imports = {
            f"from sentence_transformers import {self.model_type}, {trainer}, {arguments}": None,
            "from selective_st.data import read_table": None,
            "from selective_st.registry import check_dataset": None,
        }
        options = ['output_dir="output"', "num_train_epochs=1", f"per_device_train_batch_size={_SCRIPT_BATCH}"]
        if self.sampler:
            imports["from sentence_transformers.base.training_args import BatchSamplers"] = None
            options.append(f"batch_sampler=BatchSamplers.{self.sampler}")
        options += ['save_strategy="no"', "logging_steps=50", 'report_to="none"']
        imports |= dict.fromkeys(self._imports())
        callbacks = ""
        if self.selective:  # the model's card then tells what the loss cares about
            imports["from selective_st.model_card import SelectiveModelCardCallback"] = None
            callbacks = ", callbacks=[SelectiveModelCardCallback(loss)]"
        model_options = ""
        if self.model_type == "CrossEncoder":
            classes = NUMBER_OF_CLASSES["class"].format(label=literal(self._label))
            model_options = f", num_labels={classes if self.row.outputs == 'num_classes' else 1}"
        made = Expression(f"{trainer}(model=model, args=args, train_dataset=dataset, loss=loss{callbacks})")
        lines = [
            f'"""Train {one_line(model)} with {self.loss}."""',
            "",
            *sorted_imports(imports),
            "",
            f"dataset = read_table({', '.join([literal(data or 'train.csv'), *read])})",
            *step_lines(self.steps),
            "",
            f"model = {self.model_type}({literal(model)}{model_options})",
            *self.setup,
            *self.as_code(self.expression).assigned("loss"),
            "",
            "# Stops with the line that mends it, if the data are not right for this loss.",
            f"check_dataset(dataset, loss, model=model, batch_size={_SCRIPT_BATCH}).raise_for_errors()",
            f"args = {arguments}(",
            *(f"    {option}," for option in options),
            ")",
            *made.assigned("trainer"),
            "trainer.train()",
            'model.save_pretrained("output/model")',
            'print("The trained model is in output/model.")',
        ]
        return "\n".join(lines) + "\n"

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
        names = {"model": model, **({} if dataset is None else {"dataset": dataset}), **dict(self.known)}
        for line in self.setup:
            name, _, code = line.partition(" = ")
            # What is known is of the rows that were looked at; the dataset has them all.
            if name not in given and (name not in names or dataset is not None):
                names[name] = self._value(code, names)
        built: nn.Module = self._made(self.expression, names, given)
        return built

    @property
    def _label(self) -> str:
        """The name of the label column after the steps, where code needs it."""
        return str(dict(self.known).get("label", "label"))

    def _imports(self) -> list[str]:
        """The imports of the code."""
        needed = [self.as_code(line.partition(" = ")[2]) for line in self.setup]
        found = [line for each in (*needed, self.as_code(self.expression)) for line in each.imports()]
        return [*(step.import_line for step in self.steps if step.import_line), *found]

    def as_code(self, code: str) -> Expression:
        """Code that may name this loss and those of its model type."""
        return Expression(code, self.model_type, self.entry)

    def _value(self, code: str, names: Mapping[str, Any]) -> Any:
        try:
            return self.as_code(code).value(names)
        except UnknownCodeError as error:
            raise DataError(
                f"{self.loss}: the value of {code!r} is not known here ({error}). Give it to build, such as "
                f"build(model, dataset), or paste the code of the suggestion: print(suggestion.code)."
            ) from None

    def _made(self, expression: str, names: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """The loss, with given arguments instead of its own, also within a wrapper."""
        call = self.as_code(expression).call
        if call is None:
            raise DataError(f"{self.loss}: the code {expression!r} is no call. Paste the code of the suggestion.")
        name, arguments = call
        is_own = name == self.loss
        loss_class = self._value(name, names)
        values = {
            key: self._made(code, names, given) if key == "loss" and not is_own else self._value(code, names)
            for key, code in arguments.items()
            if not (is_own and key in given)
        }
        return loss_class(names["model"], **values, **(given if is_own else {}))


class Suggestions(list[Suggestion]):
    """The losses for the data, the best first, and what else can be done.

    Args:
        found: The losses.
        data_format: The format of the data.
        conversions: What opens more losses.
        model_type: Which models.
        named: What `of` finds by its name besides: losses for the readings of data that are unclear.

    Attributes:
        format: The format of the data.
        conversions: What opens more losses.
        model_type: Which models.
    """

    def __init__(
        self,
        found: Sequence[Suggestion],
        data_format: DataFormat,
        conversions: Sequence[Conversion] = (),
        model_type: ModelType = "SentenceTransformer",
        named: Sequence[Suggestion] = (),
    ) -> None:
        super().__init__(found)
        self._named = tuple(named)
        self.format = data_format
        self.conversions = tuple(conversions)
        self.model_type = model_type

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
            raise DataError(f"{where}{_unclear(self)}")
        known: tuple[Suggestion, ...] = (*self, *self._named)
        found = next((suggestion for suggestion in known if loss in (None, suggestion.loss)), None)
        if found is None:
            raise DataError(f"{where}{_unsuited(self, loss)}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """The suggestions as JSON-serialisable data."""
        form = self.format
        return {
            "model_type": self.model_type,
            "format": {
                "shape": form.shape,
                "label": form.label,
                "meaning": form.meaning,
                "certainty": form.certainty,
                "inputs": list(form.inputs),
                "label_column": form.label_column,
                "label_values": form.label_values,
                "label_scale": form.label_scale,
                "trainer_inputs": list(form.trainer_inputs),
                "trainer_label": form.trainer_label,
                "reasons": list(form.reasons),
                "doubts": list(form.doubts),
                "rows": form.rows,
                "read": form.read,
            },
            "suggestions": [
                {
                    "loss": found.loss,
                    "link": found.link,
                    "selective": found.selective,
                    "recommended": found.recommended,
                    "why": found.why,
                    "caveats": list(found.caveats),
                    "code": found.code,
                }
                for found in self
            ],
            "conversions": [
                {"to": list(found.to), "why": found.why, "losses": list(found.losses), "code": found.code}
                for found in self.conversions
            ],
        }

    def __str__(self) -> str:
        lines = [str(self.format), ""]
        if not self:
            lines.append("No loss to suggest as the data are.")
        for number, suggestion in enumerate(self, start=1):
            mark = " (selective)" if suggestion.selective else " (recommended)" if suggestion.recommended else ""
            lines.append(f"{number}. {suggestion.loss}{mark}: {suggestion.why}")
            lines += [f"   - {caveat}" for caveat in suggestion.caveats]
        for conversion in self.conversions:
            shape, label = conversion.to
            lines += ["", f"More losses with a conversion to {shape}, labels {label}: {conversion.why}"]
            lines += [f"   {', '.join(conversion.losses)}", *(f"   {line}" for line in conversion.code.splitlines())]
        return "\n".join(lines)


def _check_role(loss: Any, model_type: ModelType) -> None:
    if not isinstance(loss, str):
        raise TypeError(
            f'loss must be the name of a loss, such as "CoSENTLoss", or None for the best; got {type(loss).__name__}. '
            "If it is built already, use it as it is."
        )
    entry = loss_entry(loss, model_type)
    if entry.role == "modifier":
        inner = re.sub(r"\w+\(model\)", "create_loss(model, dataset)", entry.arguments[0][1])
        options = ", ".join(["model", inner, *(f"{k}={v}" for k, v in entry.arguments[1:])])
        raise DataError(f"{loss} wraps another loss. Build that one, and wrap it: {loss}({options}).")
    if entry.role == "regularizer":
        raise DataError(
            f"{loss} is no loss by itself, but is added to one: it {entry.why}. Build a loss with "
            "create_loss(model, dataset)."
        )


def lines_of_steps(steps: Sequence[Step]) -> list[str]:
    """The imports of steps and their lines."""
    imports = dict.fromkeys(step.import_line for step in steps if step.import_line)
    return [*sorted_imports(imports), *step_lines(steps)]


def indented(lines: Sequence[str]) -> str:
    """Lines of code within a message."""
    return "\n".join(f"    {line}" for line in lines)


def _unclear(found: Suggestions) -> str:
    """What is not clear, and what settles it."""
    doubts = " ".join(f"{doubt}." for doubt in found.format.doubts) or "They fit no known format."
    lines = [f"It is not clear what the data mean: {doubts}"]
    for reading in found.format.readings:
        lines += [f"If {reading.words}:", indented(reading.code().splitlines())]
    if found._named:
        name = literal(found._named[0].loss)
        lines.append(f"Or name the loss, if you know that it suits: create_loss(model, dataset, loss={name}).")
    return "\n".join(lines) + _ways_out(found)


def _ways_out(found: Suggestions) -> str:
    lines = [
        f" Or convert them ({conversion.why}):\n{indented(conversion.code.splitlines())}"
        for conversion in found.conversions
    ]
    if not lines and not found.format.readings:
        lines.append(
            " Choose the columns in the order that the loss shall see them, and call the label so: dataset = "
            'dataset.select_columns(["anchor", "positive"]) or dataset.rename_column("...", "label").'
        )
    return "".join(lines)


def _unsuited(found: Suggestions, name: Any) -> str:
    """Why a loss does not suit, or none does, and what to do."""
    form = found.format
    read = f"read as {form.meaning or form.shape}, labels: {form.label}"
    if name is None:
        return f"There is no {found.model_type} loss for the data as they are, {read}.{_ways_out(found)}"
    _check_role(name, found.model_type)
    wanted = "; ".join(f"{row.inputs}, labels: {row.labels}" for row in rows_of(name, found.model_type))
    text = f"{name} is for {wanted}. The data are {read}; losses that suit: "
    text += f"{', '.join(suggestion.loss for suggestion in (*found, *found._named)) or 'none'}."
    opened = next((each for each in found.conversions if name in each.losses), None)
    if opened is not None:
        return f"{text} Convert them ({opened.why}):\n{indented(opened.code.splitlines())}"
    mend = f" Build one that suits: create_loss(model, dataset, loss={literal(found[0].loss)})." if found else ""
    return text + mend
