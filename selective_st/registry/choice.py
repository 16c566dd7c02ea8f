"""Which loss comes first: one decision for `suggest`, its script, `create_loss`, and `--loss auto`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from selective_st import catalog
from selective_st._validation import instance_of
from selective_st.catalog import MODEL_TYPES, TRAINABLE, LabelKind, ModelType, Row, Shape, Trainable
from selective_st.errors import DataError
from selective_st.registry.code import call_of
from selective_st.registry.columns import as_number
from selective_st.registry.conversions import scale_of
from selective_st.registry.detection import DataFormat, format_of
from selective_st.registry.steps import Step, code_of
from selective_st.registry.suggestion import Suggestion, Suggestions, in_layout, said, suited_to
from selective_st.registry.table import Table, tables

if TYPE_CHECKING:
    from selective_st.focus import Focus
    from selective_st.links import Link

_IN_LISTS = 0.5  # of the rows, from which on labelled pairs are lists of candidates


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
            scale=20.0,
            weight_link=high_scores(5),
            link=ExponentialLink(2).normalized(0, 1, of="value"),
        )
    """
    model_type = catalog.check_model_type("suggest_losses", model_type)
    chosen = None
    if focus is not None:
        from selective_st.registry.focused import chosen_focus  # late: it imports torch

        chosen = chosen_focus(focus)
    if isinstance(data, DataFormat):
        return suited_to(data, None, chosen, model_type)
    if isinstance(data, Mapping) and data and all(isinstance(value, DataFormat) for value in data.values()):
        return {str(name): suited_to(form, None, chosen, model_type) for name, form in data.items()}
    found = {}
    for view in tables(data):
        suited = suited_to(format_of(view), view, chosen, model_type)
        found[view.name] = with_choice(suited, view) if suited else suited
    return found[None] if None in found else {str(name): suggestions for name, suggestions in found.items()}


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
    model_type = catalog.model_type_of(model)
    if model_type is None:
        raise TypeError(
            f"create_loss: model must be a {', '.join(MODEL_TYPES[:-1])} or {MODEL_TYPES[-1]}, got "
            f'{type(model).__name__}. Load it with SentenceTransformer("...").'
        )
    found = suggest_losses(dataset, focus=focus, model_type=model_type)
    if isinstance(found, Suggestions):
        return _created(model, dataset, found, loss, focus)
    return {name: _created(model, dataset[name], suggested, loss, focus) for name, suggested in found.items()}


def _created(model: Any, dataset: Any, found: Suggestions, name: str | None, focus: Any) -> Any:
    suggestion = found.of(name)
    loss, row = suggestion.loss, suggestion.row
    if focus is not None and not suggestion.selective:
        raise DataError(said("no_link", of=suggestion))
    outputs = getattr(model, "num_labels", None) if suggestion.model_type == "CrossEncoder" else None
    needed = found.format.classes if row.outputs == "num_classes" else 1
    if isinstance(outputs, int) and needed is not None and (outputs < needed or needed == 1 != outputs):
        raise DataError(said("other_outputs", of=suggestion, needed=needed, outputs=outputs))
    if suggestion.steps:
        code = code_of(suggestion.steps, explained=True)
        raise DataError(said("steps_first", of=suggestion, dataset=found.format.name, code=code))
    is_autoencoder = any(type(module).__name__ == "SparseAutoEncoder" for module in model.modules())
    if is_autoencoder and suggestion.expression.startswith("SpladeLoss("):
        inner = call_of(loss, dict(suggestion.arguments))
        suggestion = replace(suggestion, expression=f"CSRLoss(model, loss={inner})")
    return suggestion.build(model, dataset if hasattr(dataset, "column_names") else None)


# --- The first --------------------------------------------------------------------------------------------------------


def first_choice(found: Suggestions, dataset: Any) -> tuple[Suggestion, str]:
    """Decide on one of the losses that suit data.

    Args:
        found: The losses that suit them.
        dataset: The data.

    Returns:
        The loss, with the steps that lay the data out for it, and why it is chosen.

    Raises:
        TypeError: If `found` holds no suggestions.
        DataError: If it is not clear what the data mean, or no loss suits them.

    Example:
        >>> rows = {"question": ["a"] * 2 + ["b"] * 2, "answer": ["c", "d", "e", "f"], "label": [1, 0, 0, 1]}
        >>> chosen, why = first_choice(suggest_losses(rows), rows)
        >>> chosen.loss, [step.call for step in chosen.steps], why
        ('SelectiveListwiseLoss', ['pairs_to_lists'], '4 of 4 rows share their first text and differ in label')
    """
    instance_of("first_choice", "found", found, Suggestions, "Write found=suggest_losses(dataset).")
    if found.choice:
        return found.choice
    form = found.format
    convert = next((each for each in found.conversions if each.steps), None)
    if not found and convert is not None and form.certainty != "unclear":
        return _laid_out(found, *convert.to, convert.steps).of(), f"it takes {convert.why}"
    first = found.of()
    first_of_all = first, f"it comes first: {first.why}"
    if not are_labelled_pairs(found):
        return first_of_all
    (view,) = [dataset] if isinstance(dataset, Table) else tables(dataset)
    rows = view.in_arrow(*form.inputs, str(form.label_column)).rename_columns(["text", "candidate", "label"])
    rows = rows.filter(pc.invert(pc.is_null(rows["label"], nan_is_null=True)))
    labels = pc.unique(rows["label"]).to_pylist()
    numbers = [float(label) if isinstance(label, bool) else as_number(label) for label in labels]
    if numbers == [(scale_of(form)[0] or (0, 1))[1]]:
        return _of_train(found, "in-batch"), "every pair has the highest label: they are positives"
    counted = rows.group_by("text").aggregate(
        [("text", "count"), ("candidate", "count_distinct"), ("label", "count_distinct")]
    )
    # The same candidate again, with whatever label, makes no list.
    several = pc.greater(pc.min_element_wise(counted["candidate_count_distinct"], counted["label_count_distinct"]), 1)
    in_lists = pc.sum(counted.filter(several)["text_count"]).as_py() or 0
    if in_lists < _IN_LISTS * len(rows):
        return first_of_all
    ends = form.label_scale or form.label_values or (0, 1)
    chosen = "listwise-labels" if form.label == "binary" or {*numbers} <= {*ends} else "listwise"
    why = f"{in_lists:,} of {len(rows):,} rows share their first text and differ in label"
    return _of_train(found, chosen), why


def _of_train(found: Suggestions, name: str) -> Suggestion:
    return suggestion_of(found, next(entry for entry in TRAINABLE if entry.name == name))


def with_choice(found: Suggestions, dataset: Any) -> Suggestions:
    """Put the loss that is chosen before the others.

    Args:
        found: The losses that suit the data.
        dataset: The data.

    Returns:
        The losses, the chosen one first; as they are where it is not clear what the data mean.

    Example:
        >>> pairs = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.9, 0.25]}
        >>> with_choice(suggest_losses(pairs), pairs)[0].loss
        'SelectiveOrderLoss'
    """
    try:
        chosen, why = choice = first_choice(found, dataset)
    except DataError:
        return found
    same = [each for each in found if (each.loss, each.steps) == (chosen.loss, chosen.steps)]
    losses = [*(same or [replace(chosen, why=f"{chosen.why}; {why}")]), *(each for each in found if each not in same)]
    return Suggestions(losses, found.format, found.conversions, found.model_type, found.named, choice, found.focus)


def suggestion_of(found: Suggestions, entry: Trainable) -> Suggestion:
    """A loss by what `selective-st train` calls it.

    Args:
        found: The losses that suit the data.
        entry: Which.

    Returns:
        The loss; for labelled pairs with the steps that lay them out for it, as `train` does.

    Raises:
        DataError: If it does not suit the data.

    Example:
        >>> pairs = {"sentence1": ["a", "a"], "sentence2": ["c", "d"], "score": [0.9, 0.25]}
        >>> from selective_st.registry.catalog import trainable
        >>> suggestion_of(suggest_losses(pairs), trainable("pairwise")).steps[-1].call
        'pairs_to_triplets'
    """
    if not entry.laid_out_by or not are_labelled_pairs(found):
        return found.of(entry.loss)
    every = (each.steps for each in found.conversions if each.steps and each.steps[-1].call == entry.laid_out_by)
    steps = next(every, (*found.format.steps, Step(entry.laid_out_by)))
    return _laid_out(found, entry.shape, entry.label, steps).of(entry.loss)


def are_labelled_pairs(found: Suggestions) -> bool:
    """Whether data are what `selective-st train` takes: two texts, and a label that grades them or says yes or no."""
    kinds = ("binary", "similarity")
    return found.model_type == "SentenceTransformer" and found.format.shape == "pair" and found.format.label in kinds


def command_of(suggestion: Suggestion) -> Trainable | None:
    """What `selective-st train` calls a loss that is suggested; None where it does not train it."""
    label = "similarity" if suggestion.row.label == "binary" else suggestion.row.label
    wanted = (suggestion.loss, suggestion.row.shape, label)
    return next((known for known in TRAINABLE if (known.loss, known.shape, known.label) == wanted), None)


# --- Of a format ------------------------------------------------------------------------------------------------------


def suggestions_for(
    data: Any, focus: str | Link | Focus | None = None, model_type: ModelType = "SentenceTransformer"
) -> Suggestions:
    """The losses for a single dataset.

    Args:
        data: The dataset, or its format.
        focus: Which scores matter.
        model_type: Of which models.

    Returns:
        The losses.
    """
    found = suggest_losses(data, focus=focus, model_type=model_type)
    assert isinstance(found, Suggestions)  # one dataset has one format
    return found


def suggestion_for(loss: str, row: Row, focus: str | Link | Focus | None = None) -> Suggestion:
    """A loss of a row of the tables, for data that are as the row says.

    Args:
        loss: The name of its class.
        row: The row.
        focus: Which scores matter.

    Returns:
        The loss, as it is suggested for such data.

    Example:
        >>> from selective_st.registry.catalog import rows_of
        >>> [row] = rows_of("CosineSimilarityLoss")
        >>> suggestion_for("CosineSimilarityLoss", row).expression
        'CosineSimilarityLoss(model)'
    """
    form = in_layout(DataFormat(inputs=("anchor", "positive")), row.shape, row.label, pairs=row.inputs)
    return suggestions_for(form, focus, row.model_type).of(loss)


def format_of_pairs(labels: Sequence[float]) -> DataFormat:
    """The format of graded pairs as `selective_st.layouts.GradedPairs` has them: two texts and a score.

    Args:
        labels: Their labels.

    Returns:
        The format.
    """
    label: LabelKind = "binary" if set(labels) <= {0, 1} else "similarity"
    ends = (min(labels), max(labels))
    scale = (0.0, 1.0) if ends[0] >= 0 else (-1.0, 1.0)
    form = DataFormat(inputs=("sentence1", "sentence2"), label_column="score", label_values=ends, label_scale=scale)
    return in_layout(form, "pair", label)


def _laid_out(found: Suggestions, shape: Shape, label: LabelKind, steps: tuple[Step, ...]) -> Suggestions:
    """The losses for the data after steps, when nothing is in doubt any more."""
    nothing: dict[str, Any] = {"label_column": None, "doubts": (), "alternatives": (), "readings": ()}
    form = in_layout(found.format, shape, label, steps=steps, certainty="certain", **nothing)
    return suited_to(form, None, found.focus, found.model_type)
