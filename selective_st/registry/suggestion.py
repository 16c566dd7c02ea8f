"""Which loss for this data: those that suit it, the best first, and the one that is built."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selective_st.errors import DataError
from selective_st.registry.catalog import (
    CLASSES,
    LINKS,
    MODEL_TYPES,
    LabelKind,
    LossEntry,
    ModelType,
    Row,
    Selective,
    check_model_type,
    loss_entry,
    model_type_of,
)
from selective_st.registry.code import call_of, sorted_imports, step_lines
from selective_st.registry.conversions import (
    ANCHOR_POSITIVE,
    Conversion,
    conversions_of,
    identifiers_of,
    name_after,
    scale_of,
    why_scaled,
)
from selective_st.registry.detection import DataFormat, format_of
from selective_st.registry.steps import Step, literal
from selective_st.registry.suggested import NUMBER_OF_CLASSES, Suggestion, Suggestions, indented, lines_of_steps
from selective_st.registry.table import tables

if TYPE_CHECKING:
    from selective_st.focus import Focus
    from selective_st.links import Link
    from selective_st.registry.focused import Chosen
    from selective_st.registry.readings import FormatReading

__all__ = ["Conversion", "Suggestion", "Suggestions", "create_loss", "suggest_losses"]

_UNBOUNDED_MARGINS = ".linear_outside(-1, 1)"  # of logits
_UNBOUNDED = ".linear_outside(None, 1)"  # with which a focus on scores from 0 to 1 serves unbounded ones

_SPARSE_ALONE = ("SparseMSELoss",)
_DUPLICATES = (
    "In-batch negatives: a text twice in a batch is a false negative, so train with "
    "batch_sampler=BatchSamplers.NO_DUPLICATES."
)
_CLASS_BATCHES = "A batch needs several rows of a class: train with batch_sampler=BatchSamplers.GROUP_BY_LABEL."


def suggest_losses(
    data: Any, *, focus: str | Link | Focus | None = None, model_type: ModelType = "SentenceTransformer"
) -> Suggestions | dict[str, Suggestions]:
    """Find the losses that suit data.

    The first is what `selective-st train` chooses and `create_loss` builds: for pairs whose labels differ between the
    candidates of a text a loss on lists, for pairs of one label a loss on positives; for other graded pairs the order
    loss, which finds the highest pairs best, but the pointwise loss where the focus is a region, the middle or a link:
    there the scores themselves are to be right. With a focus the selective losses
    come next, with the link for it. Without one they come next for data with scores, which is what they are for, and
    beside the commonly recommended losses for data without labels. Then come the recommended losses, the others, and
    deprecated ones.

    Args:
        data: A Dataset, IterableDataset, DatasetDict, dict of columns, list of rows or pandas frame; or what
            `detect_format` found in it.
        focus: Which scores matter: `"high"`, `"low"`, `"extremes"`, `"middle"`, a region such as `"0.7:0.9"`, a link,
            or a link's config as JSON. Default: each loss's own link.
        model_type: Which models.

    Returns:
        The suggestions, the best first; a dict of them for several datasets.

    Raises:
        TypeError: If the data or the focus are of another kind.
        ValueError: If there is no such model type or focus.

    Example:
        >>> pairs = {"sentence1": ["a cat", "a dog"], "sentence2": ["a kitten", "a tree"], "score": [0.9, 0.25]}
        >>> best = suggest_losses(pairs, focus="high")[0]
        >>> print(best.code)
        from selective_st.links import ExponentialLink, high_scores
        from selective_st.losses import SelectiveOrderLoss
        <BLANKLINE>
        loss = SelectiveOrderLoss(
            model,
            scale=5.0,
            weight_link=high_scores(5),
            link=ExponentialLink(2).normalized(0, 1, of="value"),
        )
    """
    model_type = check_model_type("suggest_losses", model_type)
    chosen = None
    if focus is not None:
        from selective_st.registry.focused import chosen_focus  # late: it imports torch

        chosen = chosen_focus(focus)
    if isinstance(data, DataFormat):
        return _suggestions(data, None, chosen, model_type)
    if isinstance(data, Mapping) and data and all(isinstance(value, DataFormat) for value in data.values()):
        return {str(name): _suggestions(value, None, chosen, model_type) for name, value in data.items()}
    from selective_st.registry.choice import with_choice  # which suggests too

    found = {}
    for view in tables(data):
        suited = _suggestions(format_of(view), view, chosen, model_type)
        found[view.name] = with_choice(suited, view, focus) if suited else suited
    if None in found:  # a single dataset has no name
        return found[None]
    return {str(name): suggestions for name, suggestions in found.items()}


def create_loss(
    model: Any, dataset: Any, *, focus: str | Link | Focus | None = None, loss: str | None = None
) -> Any:  # fmt: skip
    """Build the best loss for data, or one by its name after a look at whether it suits.

    Args:
        model: The model to train: a SentenceTransformer, CrossEncoder, SparseEncoder or MultiVectorEncoder.
        dataset: The training data, as for `suggest_losses`.
        focus: Which scores matter, as for `suggest_losses`.
        loss: The name of a loss. Default: the best.

    Returns:
        The loss; a dict of losses by name for several datasets.

    Raises:
        DataError: If it is not clear what the data mean, the data must be changed before (the message shows how), or
            the loss does not suit them.
        TypeError: If the model is of another kind.
        ValueError: If there is no such loss or focus.

    Example:
        >>> from sentence_transformers import SentenceTransformer
        >>> model = SentenceTransformer("microsoft/mpnet-base")  # doctest: +SKIP
        >>> loss = create_loss(model, dataset, focus="high")  # doctest: +SKIP
    """
    found = suggest_losses(dataset, focus=focus, model_type=_needed_model_type(model))
    if isinstance(found, Suggestions):
        return _created(model, dataset, found, loss, focus)
    return {name: _created(model, dataset[name], suggested, loss, focus) for name, suggested in found.items()}


# --- Suggestions ------------------------------------------------------------------------------------------------------


def _suggestions(data_format: DataFormat, view: Any, focus: Chosen | None, model_type: ModelType) -> Suggestions:
    conversions = conversions_of(data_format, view, model_type)
    if identifiers_of(data_format):  # no loss learns from IDs
        return Suggestions([], data_format, conversions, model_type)
    if data_format.certainty != "unclear":
        found = _once(_ranked(data_format, view, focus, model_type))
        return Suggestions(found, data_format, conversions, model_type)
    readings = [_as_read(data_format, reading) for reading in data_format.readings if reading.shape is not None]
    named = _once(found for reading in readings for found in _ranked(reading, view, focus, model_type))
    return Suggestions([], data_format, (), model_type, named)


def _once(found: Iterable[Suggestion]) -> list[Suggestion]:
    """Each loss where it comes first."""
    return list({suggestion.loss: suggestion for suggestion in reversed(list(found))}.values())[::-1]


def _as_read(data_format: DataFormat, reading: FormatReading) -> DataFormat:
    """The format in one of its readings."""
    return replace(
        data_format,
        shape=reading.shape,
        label=reading.label,
        inputs=reading.inputs,
        label_column=reading.label_column,
        steps=reading.needs,
        meaning=ANCHOR_POSITIVE if (reading.shape, reading.label) == ("pair", "none") else "",
    )


def _ranked(data_format: DataFormat, view: Any, focus: Chosen | None, model_type: ModelType) -> Iterator[Suggestion]:
    ranked: list[tuple[tuple[int, int, int], LossEntry, Row, Selective | None]] = []
    reads_scores = focus is not None and focus.reads_scores
    for row in data_format.matching_rows(model_type):
        beside = row.label == "none" and focus is None
        of_ours = [(ours, loss_entry(ours.loss, model_type)) for ours in row.selective]
        if reads_scores:  # of which an order says nothing
            of_ours.sort(key=lambda each: each[1].order_only)
        for place, (ours, entry) in enumerate(of_ours):
            ranked.append(((0, place, 0), entry, row, ours))
        for place, name in enumerate(row.losses):
            entry = loss_entry(name, model_type)
            group = 3 if entry.deprecated else 2
            if name in row.recommended and not entry.deprecated:
                group = 0 if beside else 1
                place = row.recommended.index(name)
            ranked.append(((group, place, 1), entry, row, None))
    for _, entry, row, selective in sorted(ranked, key=lambda candidate: candidate[0]):
        yield _suggestion(data_format, view, focus, entry, row, selective)


def _suggestion(
    data_format: DataFormat, view: Any, focus: Chosen | None, entry: LossEntry, row: Row, selective: Selective | None
) -> Suggestion:
    why = entry.why
    link = selective.link if selective else ""
    arguments = {**dict(entry.arguments), **(dict(selective.arguments) if selective else {})}
    caveats: list[str] = []
    if selective and focus:
        why = f"{why}; here {focus.what} matter"
        if focus.reads_scores and not entry.order_only and _orders(row):
            why = f"{why} as they are, which an order alone does not give"
        if arguments.get("targets") == '"link_values"':
            del arguments["targets"]  # the link is for scores: labels 0 and 1 are scores too
            caveats.append("With a focus the labels 0 and 1 are taken for the scores to be reached.")
        if selective.link == LINKS["logits"] and arguments.get("targets") != '"margins"':
            # A focus is on scores from 0 to 1, as those of model.predict.
            arguments["activation_fn"] = "Sigmoid()"
            arguments["temperature"] = "0.1"
        if "calibration_link" in arguments:
            arguments["calibration_link"] = focus.link
        if "weight_link" in arguments and focus.value_link is not None:
            arguments["weight_link"] = focus.weight_link
        link = _focused(selective, focus)
    if selective:
        arguments["link"] = link
    label = name_after(data_format.label_column, data_format.steps)
    more, notes = _more_steps(data_format, view, entry, row, selective, label, arguments)
    steps = (*data_format.steps, *more)
    setup, known = _setup(entry, row, data_format, label)
    caveats += [*notes, *entry.caveats]
    if entry.in_batch_negatives:
        caveats.append(_DUPLICATES)
    if entry.class_batches:
        caveats.append(_CLASS_BATCHES)
    if entry.deprecated:
        caveats.insert(0, f"Deprecated: use {entry.deprecated}.")
    since = max(entry.since, row.since, key=lambda release: tuple(map(int, release.split("."))))
    if since != "6.0":
        caveats.append(f"It needs sentence-transformers {since} or newer.")
    expression = call_of(entry.name, arguments)
    if row.model_type == "SparseEncoder" and entry.name not in _SPARSE_ALONE:
        wrapper = dict(loss_entry("SpladeLoss", "SparseEncoder").arguments)
        wrapper["loss"] = expression
        expression = call_of("SpladeLoss", wrapper)
    found = Suggestion(
        loss=entry.name,
        model_type=row.model_type,
        entry=entry,
        row=row,
        link=link,
        selective=selective is not None,
        recommended=entry.name in row.recommended,
        why=why,
        caveats=tuple(caveats),
        steps=steps,
        arguments=tuple(arguments.items()),
        code="",
        setup=setup,
        expression=expression,
        known=known,
    )
    parts = [
        "\n".join(sorted_imports(found._imports())),
        "\n".join([*step_lines(steps), *setup, *found.as_code(expression).assigned("loss")]),
    ]
    return replace(found, code="\n\n".join(part for part in parts if part))


def _orders(row: Row) -> bool:
    """Whether one of our losses for a row only brings its rows into an order."""
    return any(loss_entry(ours.loss, row.model_type).order_only for ours in row.selective)


def _focused(selective: Selective, focus: Chosen) -> str:
    """The code of the link for a focus."""
    unbounded = _UNBOUNDED if ".linear_outside(None, " in selective.link else ""
    if selective.loss == "SelectivePointwiseLoss":
        return _operand(focus.link, unbounded)
    orders_at_thresholds = focus.weight_link != focus.link and "weight_link" in dict(selective.arguments)
    if focus.value_link is None or selective.link == LINKS["ranks_only"] or orders_at_thresholds:
        return selective.link
    if ("targets", '"margins"') in selective.arguments and selective.link == LINKS["logits"]:
        return focus.value_link + _UNBOUNDED_MARGINS
    return focus.value_link + unbounded


def _operand(code: str, method: str) -> str:
    """The code of a method's call, of which a sum or product must be in brackets."""
    return f"({code}){method}" if method and any(sign in code for sign in (" + ", " * ")) else code + method


def _setup(
    entry: LossEntry, row: Row, data_format: DataFormat, label: str | None
) -> tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]:
    """The setup lines, and what they would find in the dataset."""
    known: dict[str, Any] = {"label": label} if label else {}
    lines = []
    for line in entry.setup:
        name, _, code = line.partition(" = ")
        if CLASSES in line:
            kind: LabelKind = "class probabilities" if row.label == "class probabilities" else "class"
            line = line.replace(CLASSES, NUMBER_OF_CLASSES[kind].format(label=literal(label)))
            number = data_format.label_length
            if kind == "class":
                number = None if data_format.label_values is None else int(data_format.label_values[1]) + 1
            if code == CLASSES and number is not None:
                known[name] = number
        lines.append(line)
    return tuple(lines), tuple(known.items())


def _more_steps(
    data_format: DataFormat,
    view: Any,
    entry: LossEntry,
    row: Row,
    selective: Selective | None,
    label: str | None,
    arguments: Mapping[str, str],
) -> tuple[list[Step], list[str]]:
    """What this loss needs done to the data beyond making the trainer read them as they are meant."""
    if row.shape == "single" and row.label == "none":
        if entry.name == "ContrastiveTensionLoss":
            options = (("different", 7),)
            return [Step("texts_to_pairs", (), options, "each text with itself, and with 7 others")], []
        if entry.name == "DenoisingAutoEncoderLoss":
            return [Step("damage_texts", why="pairs of a damaged text and the text")], []
    if label is None:
        return [], []
    if row.label in ("margin", "margins") and selective is not None and data_format.label_values:
        widest = max(abs(value) for value in data_format.label_values)
        bounded = arguments.get("similarity_fct") != "pairwise_dot_score" and row.model_type != "CrossEncoder"
        if widest > 2 and bounded:
            width = math.ceil(widest)
            step = Step("scale_margins", (label, width), why="to the margins that cosines can have")
            return [step], [f"{width} is the widest margin seen: give the width of your teacher's scale instead."]
    wanted = _wanted_scale(entry, row, selective, arguments)
    scale, guessed = scale_of(data_format)
    if (
        row.label in ("similarity", "scores")
        and wanted
        and scale
        and not (wanted[0] <= scale[0] and scale[1] <= wanted[1])
    ):
        low, high = (int(end) if float(end).is_integer() else end for end in scale)
        note = f"That the labels' scale is from {low} to {high} is a guess: give its ends, if they are others."
        step = Step("scale_labels", (label, low, high), why=why_scaled(low, high, guessed=guessed))
        return [step], [note] if guessed else []
    targets = arguments.get("targets")
    if selective is None:
        floats = row.label in ("margin", "margins", "scores") and not entry.order_only
    elif row.label == "binary":
        floats = targets is None
    else:
        floats = row.label in ("similarity", "margin", "margins", "scores") and targets != '"labels"'
    if floats and _holds_integers(data_format, view):
        return [Step("labels_to_float", (label,), why="scores are floats")], []
    return [], []


def _wanted_scale(
    entry: LossEntry, row: Row, selective: Selective | None, arguments: Mapping[str, str]
) -> tuple[float, float] | None:
    """Where the labels must lie; None for anywhere."""
    if entry.score == "probability":
        return 0.0, 1.0
    if entry.score == "cosine":
        return -1.0, 1.0
    if entry.model_type == "CrossEncoder":  # its logits are not bounded; a Sigmoid's scores are
        return (0.0, 1.0) if "activation_fn" in arguments and row.label == "scores" else None
    bounded = "dot_score" not in arguments.get("similarity_fct", "")
    # A link cares where scores lie.
    return (-1.0, 1.0) if selective is not None and row.label in ("scores", "similarity") and bounded else None


def _holds_integers(data_format: DataFormat, view: Any) -> bool:
    """Whether the labels are integers, and stay so in the steps."""
    column = data_format.label_column
    if any(step.call in ("labels_to_float", "scale_labels") for step in data_format.steps):
        return False
    if any(each.name == column and each.kind in ("integer", "boolean", "class label") for each in data_format.columns):
        return True
    return view is not None and column is not None and bool(view.holds_integers(column))


# --- Building ---------------------------------------------------------------------------------------------------------


def _needed_model_type(model: Any) -> ModelType:
    found = model_type_of(model)
    if found is None:
        raise TypeError(
            f"create_loss: model must be a {', '.join(MODEL_TYPES[:-1])} or {MODEL_TYPES[-1]}, got "
            f'{type(model).__name__}. Load it with SentenceTransformer("...").'
        )
    return found


def _created(model: Any, dataset: Any, found: Suggestions, name: str | None, focus: Any) -> Any:
    suggestion = found.of(name)
    if focus is not None and not suggestion.selective:
        raise DataError(
            f"create_loss: focus needs a selective loss, but {suggestion.loss} has no link"
            + (f" ({suggestion.row.why_none})" if suggestion.row.why_none else "")
            + ". Leave focus out."
        )
    _check_outputs(model, suggestion, found.format)
    if suggestion.steps:
        which = "" if found.format.name is None else f" {found.format.name!r}"
        lines = indented(lines_of_steps(suggestion.steps))
        raise DataError(
            f"create_loss: for {suggestion.loss} the dataset{which} must be changed first. Do this, and call "
            f"create_loss again:\n{lines}"
        )
    if _is_sparse_autoencoder(model) and suggestion.expression.startswith("SpladeLoss("):
        inner = call_of(suggestion.loss, dict(suggestion.arguments))
        suggestion = replace(suggestion, expression=f"CSRLoss(model, loss={inner})")
    return suggestion.build(model, dataset if hasattr(dataset, "column_names") else None)


def _check_outputs(model: Any, suggestion: Suggestion, data_format: DataFormat) -> None:
    """Refuse a cross encoder with the wrong number of output labels."""
    outputs = getattr(model, "num_labels", None)
    if suggestion.model_type != "CrossEncoder" or not isinstance(outputs, int):
        return
    needed = data_format.classes if suggestion.row.outputs == "num_classes" else 1
    if needed is not None and (outputs != needed if needed == 1 else outputs < needed):
        raise DataError(
            f"create_loss: for these data {suggestion.loss} needs a model with {needed} output "
            f"label{'' if needed == 1 else 's'}, but this one has {outputs}. Load it so: CrossEncoder(name, "
            f"num_labels={needed})."
        )


def _is_sparse_autoencoder(model: Any) -> bool:
    return any(type(module).__name__ == "SparseAutoEncoder" for module in model.modules())
