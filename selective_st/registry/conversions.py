"""What opens more losses: changes of the data, with the losses for what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selective_st.registry.catalog import DEFAULT_MODEL, LabelKind, ModelType, Shape, loss_entry, rows
from selective_st.registry.columns import scale_around
from selective_st.registry.steps import Step, code_of, literal

if TYPE_CHECKING:
    from selective_st.registry.detection import DataFormat

ANCHOR_POSITIVE = "(anchor, positive) pairs"


@dataclass(frozen=True)
class Conversion:
    """A change of the data that opens more losses.

    Attributes:
        to: The shape and the kind of labels that come out.
        code: Code ready to paste; `dataset` is yours, and `model` where it stands.
        why: What it is good for, in a line.
        losses: The losses for what comes out, the best first.
        steps: The steps, where all of it is steps.
    """

    to: tuple[Shape, LabelKind]
    code: str
    why: str
    losses: tuple[str, ...]
    steps: tuple[Step, ...] = ()


def conversions_of(data_format: DataFormat, view: Any, model_type: ModelType) -> list[Conversion]:
    """The changes of data that open losses of a model type; `view` is the data as far as they are read, if at all."""
    found: list[Conversion] = []

    def add(shape: Shape, label: LabelKind, why: str, *steps: Step, inputs: str = "", code: str = "") -> None:
        names = _losses_for(model_type, shape, label, inputs)
        if names:
            every = (*data_format.steps, *steps)
            text = code_of(data_format.steps) + ("\n" if data_format.steps else "") + code if code else code_of(every)
            found.append(Conversion((shape, label), text, why, names, () if code else every))

    shape, label = data_format.shape, data_format.label
    lists_only = model_type == "CrossEncoder"
    column = name_after(data_format.label_column, data_format.steps)
    identifiers = identifiers_of(data_format)
    if identifiers:
        _add_resolved(add, data_format, identifiers, lists_only)
        return found
    if shape == "single" and label == "class":
        add("triplet", "none", "texts of a class as positives, of another as negatives", Step("class_to_triplets"))
    if shape == "single" and label == "none":
        add(
            "pair", "none", "texts with words deleted, to be restored", Step("damage_texts"),
            inputs="(damaged_input, original_input) pairs",
        )  # fmt: skip
        add(
            "pair", "none", "each text with itself; the other texts of the batch are negatives",
            Step("texts_to_pairs"), inputs="(anchor, anchor) pairs",
        )  # fmt: skip
        add(
            "pair", "none", "each text with itself, and with 7 others",
            Step("texts_to_pairs", (), (("different", 7),)), inputs="(input_A, input_B) pairs",
        )  # fmt: skip
    if shape == "pair" and label in ("class", "binary", "similarity"):
        _add_from_labelled_pairs(add, data_format, view, column, lists_only)
    if shape == "pair" and label == "none" and data_format.meaning in ("", ANCHOR_POSITIVE):
        _add_mined(add, data_format, lists_only)
    if shape == "list" and not lists_only and label in ("scores", "binary list", "none"):
        why = "a column for each document of the lists"
        if data_format.label_length is None and label != "none":
            why += "; shorter lists are padded, which of these losses only the selective ones take"
        add("n-tuple", label, why, Step("split_lists"))
    if shape in ("triplet", "n-tuple") and label in ("none", "scores", "binary list") and lists_only:
        why = "lists of documents, for the losses that rank lists"
        rows_made = next((step for step in data_format.steps if step.call == "rows_of_positives"), None)
        if rows_made is None:
            add("list", "scores", why, Step("join_columns"))
        else:  # the right and the wrong texts are lists already
            every = tuple(step for step in data_format.steps if step != rows_made)
            every += (Step("join_lists", rows_made.arguments, why="the right and the wrong texts in one list"),)
            names = _losses_for(model_type, "list", "scores")
            found.append(Conversion(("list", "scores"), code_of(every), why, names, every))
    return found


def identifiers_of(data_format: DataFormat) -> dict[str, str]:
    """The columns of IDs and their kinds, where there is nothing else to train on."""
    kinds = {each.name: each.kind for each in data_format.columns}
    if any(kind in ("text", "texts", "media") for kind in kinds.values()):
        return {}
    return {name: kind for name, kind in kinds.items() if kind in ("id", "ids")}


def _add_from_labelled_pairs(
    add: Callable[..., None], data_format: DataFormat, view: Any, column: str | None, lists_only: bool
) -> None:
    label, values = data_format.label, data_format.label_values
    scale, guessed = scale_of(data_format)
    scaled: tuple[Step, ...] = ()
    if label == "similarity" and scale and column and not (scale[0] >= 0 and scale[1] <= 1):
        low, high = (int(end) if float(end).is_integer() else end for end in scale)
        scaled = (Step("scale_labels", (column, low, high), why=why_scaled(low, high, guessed=guessed)),)
        add("pair", "similarity", "labels as scores from 0 to 1, as most losses take them", *scaled)
    if label == "class":
        shares = _shares_texts(data_format, view)
        if shares is not False:
            # Natural language inference: 0 entailment, 1 neutral, 2 contradiction.
            positive, negative = _entailment(data_format, view) or (0, max(1, (data_format.classes or 3) - 1))
            options = (("positive", positive), ("negative", negative))
            why = "a text with one of the one class and one of the other; say which classes are right and wrong"
            add("triplet", "none", why, Step("pairs_to_triplets", (), options))
        return
    if label == "binary":
        high = 1 if values is None else int(values[1])
        low = 0 if values is None else int(values[0])
        options = (("positive", high), ("negative", low))
        triplets = Step("pairs_to_triplets", (), options)
    else:
        triplets = Step("pairs_to_triplets")
    if _shares_texts(data_format, view) is not False:
        add("triplet", "none", "better and worse candidates of the same text", *scaled, triplets)
        lists = Step("pairs_to_lists")
        if lists_only:
            add("list", "scores", "all candidates of a text together", *scaled, lists, Step("join_columns"))
        else:
            why = "all candidates of a text together; shorter lists are padded, which only selective losses take"
            add("n-tuple", "scores", why, *scaled, lists)
    why = "the pairs with a high label as positives, with hard negatives where a text has others"
    add("pair", "none", why, *scaled, Step("pairs_to_positives"), inputs=ANCHOR_POSITIVE)


def _add_mined(add: Callable[..., None], data_format: DataFormat, lists_only: bool) -> None:
    anchor, positive = data_format.inputs

    def mined(model: str, output: str) -> str:
        return "\n".join(
            [
                "dataset = mine_hard_negatives(",
                f"    dataset, {model},",
                f"    anchor_column_name={literal(anchor)}, positive_column_name={literal(positive)},",
                f"    num_negatives=3, relative_margin=0.05, output_format={literal(output)},",
                ")",
            ]
        )

    imported = "from sentence_transformers.util import mine_hard_negatives"
    embedder = (
        f"from sentence_transformers import SentenceTransformer\n{imported}\n\n"
        f"embedder = SentenceTransformer({literal(DEFAULT_MODEL)})  # finds the negatives\n"
    )
    if lists_only:
        why = "texts that an embedding model takes for near, as negatives"
        add("pair", "binary", why, code=embedder + mined("embedder", "labeled-pair"))
        add("list", "scores", f"{why}, in lists", code=embedder + mined("embedder", "labeled-list"))
        return
    why = "texts that the model takes for near, as negatives: they teach more than those of the batch"
    add("n-tuple", "none", why, code=f"{imported}\n\n{mined('model', 'n-tuple')}")


def _add_resolved(
    add: Callable[..., None], data_format: DataFormat, identifiers: Mapping[str, str], lists_only: bool
) -> None:
    names = [name for name in (data_format.inputs or data_format.trainer_inputs) if name in identifiers]
    names = names or list(identifiers)
    listed = any(identifiers[name] == "ids" for name in names)
    has_label = data_format.trainer_label is not None
    shape: Shape = {1: "single", 2: "pair", 3: "triplet"}.get(len(names), "n-tuple")  # type: ignore[assignment]
    if listed:
        shape = "list" if lists_only else "n-tuple"
    label: LabelKind = "scores" if has_label else "none"
    if has_label and not listed:
        label = {"single": "class", "pair": "similarity", "triplet": "margin"}.get(shape, "scores")  # type: ignore[assignment]
    sources = ", ".join(f"{literal(name)}: {'queries' if k == 0 else 'documents'}" for k, name in enumerate(names))
    options = ', output_format="lists"' if listed and lists_only else ""
    code = "\n".join(
        [
            "from datasets import load_dataset",
            "from sentence_transformers.util import resolve_ids",
            "",
            "# Two datasets with a column of IDs and a column of texts each: put yours here.",
            'queries = load_dataset("...", "queries", split="train")',
            'documents = load_dataset("...", "documents", split="train")',
            f"dataset.set_transform(resolve_ids({{{sources}}}{options}))",
        ]
    )
    add(shape, label, "the texts in the place of their IDs; as they are, IDs would be trained as if texts", code=code)


def _losses_for(model_type: ModelType, shape: Shape, label: LabelKind, inputs: str = "") -> tuple[str, ...]:
    """The losses for a format: selective ones, recommended ones, others; no deprecated ones."""
    wanted = [row for row in rows(model_type) if (row.shape, row.label) == (shape, label)]
    wanted = [row for row in wanted if row.section in ("main", "distillation")]
    if shape == "pair" and label == "none":
        wanted = [row for row in wanted if row.inputs == (inputs or ANCHOR_POSITIVE)]
    names = [selective.loss for row in wanted for selective in row.selective]
    names += [name for row in wanted for name in row.recommended]
    names += [name for row in wanted for name in row.losses]
    return tuple(name for name in dict.fromkeys(names) if not loss_entry(name, model_type).deprecated)


def _shares_texts(data_format: DataFormat, view: Any) -> bool | None:
    """Whether a text stands in several pairs of the sample; None if that is not known."""
    if view is None or len(data_format.inputs) != 2:
        return None
    texts = [view.values[name] for name in data_format.inputs if name in view.values]
    return any(len(set(map(str, column))) < len(column) for column in texts)


def _entailment(data_format: DataFormat, view: Any) -> tuple[str, str] | None:
    """The names of the classes of natural language inference, where the labels have them."""
    feature = None if view is None or not view.features else view.features.get(data_format.label_column)
    names = {str(name).lower(): str(name) for name in getattr(feature, "names", None) or ()}
    if "entailment" in names and "contradiction" in names:
        return names["entailment"], names["contradiction"]
    return None


def scale_of(data_format: DataFormat) -> tuple[tuple[float, float] | None, bool]:
    """The scale of the labels, and whether it is a guess from those seen."""
    scale, seen = data_format.label_scale, data_format.label_values
    if seen is None:
        return scale, False
    if scale is None:
        scale = scale_around(*seen)
    return scale, scale != seen and not (seen[0] >= -1 and seen[1] <= 1)


def why_scaled(low: float, high: float, *, guessed: bool) -> str:
    """What a step that scales labels is for."""
    return "to scores from 0 to 1" + (f"; that the scale is from {low} to {high} is a guess" if guessed else "")


def name_after(column: str | None, steps: Sequence[Step]) -> str | None:
    """What a column is called after the steps."""
    for step in steps:
        if step.call == "rename_column" and step.arguments[0] == column:
            column = step.arguments[1]
    return column
