"""What opens more losses: changes of the data, with the losses for what comes out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selective_st import catalog
from selective_st._templates import template
from selective_st.catalog import ANCHOR_POSITIVE, POSITIVE_FROM, LabelKind, ModelType, Shape
from selective_st.registry.columns import scale_around
from selective_st.registry.steps import Step, code_of
from selective_st.registry.table import present

if TYPE_CHECKING:
    from selective_st.registry.detection import DataFormat


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


PAIRS_OF_TEXTS = {  # what makes pairs of single texts for losses that take these
    "ContrastiveTensionLoss": Step(
        "texts_to_pairs", (), (("different", 7),), "each text with itself, and with 7 others"
    ),
    "DenoisingAutoEncoderLoss": Step("damage_texts", why="pairs of a damaged text and the text"),
}
_FULL_ROWS = Step("remove_empty_rows", why="rows without a text or a label")
_OF_TEXTS = {
    "(damaged_input, original_input)": (Step("damage_texts"), "texts with words deleted, to be restored"),
    "(anchor, anchor)": (Step("texts_to_pairs"), "each text with itself; the other texts of the batch are negatives"),
    "(input_A, input_B)": (Step("texts_to_pairs", (), (("different", 7),)), "each text with itself, and with 7 others"),
}


@dataclass(frozen=True)
class _Way:
    """A change that is possible: what comes out, what it is good for, and the steps, or else code."""

    to: tuple[Shape, LabelKind]
    why: str
    steps: tuple[Step, ...] = ()
    inputs: str = ANCHOR_POSITIVE  # of pairs without labels
    code: str = ""
    instead_of: Step | None = None  # of the format's own steps


def conversions_of(data_format: DataFormat, view: Any, model_type: ModelType) -> list[Conversion]:
    """The changes of data that open losses of a model type; `view` is the data as far as they are read, if at all."""
    found: list[Conversion] = []
    own = (*data_format.inputs, data_format.label_column)
    missing = view is not None and any(len(present(view.values[name])) < len(view.values[name]) for name in own if name)
    for way in _ways(data_format, view, lists_only=model_type == "CrossEncoder"):
        full = (_FULL_ROWS,) if missing and way.steps and data_format.shape in ("single", "pair") else ()
        steps = (*(step for step in data_format.steps if step != way.instead_of), *full, *way.steps)
        if names := _losses_for(model_type, way):
            steps = steps if view is None else view.ready(steps)
            code = "\n".join(filter(None, (code_of(steps), way.code)))
            found.append(Conversion(way.to, code, way.why, names, () if way.code else steps))
    return found


def _ways(data_format: DataFormat, view: Any, *, lists_only: bool) -> Iterator[_Way]:
    """The changes that data allow, whether or not there are losses for what comes out."""
    shape, label = data_format.shape, data_format.label
    if identifiers := identifiers_of(data_format):
        yield _resolved(data_format, identifiers, lists_only=lists_only)
    elif (shape, label) == ("single", "class"):
        why = "texts of a class as positives, of another as negatives"
        yield _Way(("triplet", "none"), why, (Step("class_to_triplets"),))
    elif (shape, label) == ("single", "none"):
        for inputs, (step, why) in _OF_TEXTS.items():
            yield _Way(("pair", "none"), why, (step,), f"{inputs} pairs")
    elif shape == "pair" and label in ("class", "binary", "similarity"):
        if label != "class":
            yield from _of_graded_pairs(data_format, view, lists_only=lists_only)
        else:
            yield from _of_classes(data_format, view)
    elif (shape, label) == ("pair", "none") and data_format.meaning in ("", ANCHOR_POSITIVE):
        yield from _mined(data_format, lists_only=lists_only)
    elif shape == "list" and not lists_only and label in ("scores", "binary list", "none"):
        why = "a column for each document of the lists"
        if data_format.label_length is None and label != "none":
            why += "; shorter lists are padded, which of these losses only the selective ones take"
        yield _Way(("n-tuple", label), why, (Step("split_lists"),))
    elif shape in ("triplet", "n-tuple") and lists_only and label in ("scores", "binary list", "none"):
        step, why = Step("join_columns"), "lists of documents, for the losses that rank lists"
        rows_made = next((step for step in data_format.steps if step.call == "rows_of_positives"), None)
        if rows_made is not None:  # the right and the wrong texts are lists already
            step = Step("join_lists", rows_made.arguments, why="the right and the wrong texts in one list")
        yield _Way(("list", "scores"), why, (step,), instead_of=rows_made)


def identifiers_of(data_format: DataFormat) -> dict[str, str]:
    """The columns of IDs and their kinds, where there is nothing else to train on."""
    kinds = data_format.kinds
    if not {"text", "texts", "media"}.isdisjoint(kinds.values()):
        return {}
    return {name: kind for name, kind in kinds.items() if kind in ("id", "ids")}


def _of_classes(data_format: DataFormat, view: Any) -> Iterator[_Way]:
    column = next((each for each in data_format.columns if each.name == data_format.label_column), None)
    classes = column.classes if column is not None else ()
    values = classes or ([] if view is None else view.values[data_format.label_column])
    names = {value.lower(): value for value in values if isinstance(value, str)}
    # Natural language inference: 0 entailment, 1 neutral, 2 contradiction, where no names say so.
    last = max(1, (data_format.classes or 3) - 1)
    ends = (names.get("entailment"), names.get("contradiction")) if names else (0, last)
    sought = {classes.index(end) if end in classes else end for end in ends}
    if None in ends or (not names and last > 2) or not _judged(data_format, view, sought):
        return
    step = Step("pairs_to_triplets", (), (("positive", ends[0]), ("negative", ends[1])))
    why = "a text with one of the one class and one of the other; say which classes are right and wrong"
    yield _Way(("triplet", "none"), why, (step,))


def _of_graded_pairs(data_format: DataFormat, view: Any, *, lists_only: bool) -> Iterator[_Way]:
    column = name_after(data_format.label_column, data_format.steps)
    scaled: tuple[Step, ...] = ()
    is_binary, highest = data_format.label == "binary", (data_format.label_values or (0, 1))[1]
    if not is_binary and column and (step := scaling(data_format, column, (0, 1))):
        scaled, (low, high) = (step,), step.arguments[1:]
        highest = (highest - low) / (high - low)
        yield _Way(("pair", "similarity"), "labels as scores from 0 to 1, as most losses take them", scaled)
    if _judged(data_format, view):
        triplets, lists = Step("pairs_to_triplets"), Step("pairs_to_lists")
        yield _Way(("triplet", "none"), "better and worse candidates of the same text", (*scaled, triplets))
        why = "all candidates of a text together"
        if lists_only:
            yield _Way(("list", "scores"), why, (*scaled, lists, Step("join_columns")))
        else:
            why += "; shorter lists are padded, which only selective losses take"
            yield _Way(("n-tuple", "binary list" if is_binary else "scores"), why, (*scaled, lists))
    if highest >= POSITIVE_FROM:
        why = "the pairs with a high label as positives, with hard negatives where a text has others"
        yield _Way(("pair", "none"), why, (*scaled, Step("pairs_to_positives")))


def _mined(data_format: DataFormat, *, lists_only: bool) -> Iterator[_Way]:
    why = "texts that an embedding model takes for near, as negatives"
    ways: list[tuple[Shape, LabelKind, str, str, str]] = [
        ("pair", "binary", why, "labeled-pair", catalog.DEFAULT_MODEL),
        ("list", "scores", f"{why}, in lists", "labeled-list", catalog.DEFAULT_MODEL),
    ]
    if not lists_only:
        why = "texts that the model takes for near, as negatives: they teach more than those of the batch"
        ways = [("n-tuple", "none", why, "n-tuple", "")]
    for shape, label, why, output, embedder in ways:
        code = str(template("suggested.txt").mined(data_format.inputs, output, embedder))
        yield _Way((shape, label), why, code=code)


def _resolved(data_format: DataFormat, identifiers: Mapping[str, str], *, lists_only: bool) -> _Way:
    names = [name for name in (data_format.inputs or data_format.trainer_inputs) if name in identifiers]
    names = names or list(identifiers)
    are_listed = "ids" in (identifiers[name] for name in names)
    shape: Shape = "list" if lists_only else "n-tuple"
    shape = shape if are_listed else catalog.shape_of(names)
    of_shape: dict[Shape, LabelKind] = {"single": "class", "pair": "similarity", "triplet": "margin"}
    label: LabelKind = "none" if data_format.trainer_label is None else of_shape.get(shape, "scores")
    code = str(template("suggested.txt").resolved(names, as_lists=are_listed and lists_only))
    why = "the texts in the place of their IDs; as they are, IDs would be trained as if texts"
    return _Way((shape, label), why, code=code)


def _losses_for(model_type: ModelType, way: _Way) -> tuple[str, ...]:
    """The losses for what comes out: selective ones, recommended ones, others; no deprecated ones."""
    wanted = catalog.fitting_rows(*way.to, model_type, way.inputs)
    names = [selective.loss for row in wanted for selective in row.selective]
    names += [name for row in wanted for name in row.recommended]
    names += [name for row in wanted for name in row.losses]
    return tuple(name for name in dict.fromkeys(names) if not catalog.loss_entry(name, model_type).deprecated)


def _judged(data_format: DataFormat, view: Any, sought: Collection[Any] = ()) -> bool:
    """Whether a text has candidates with different labels; with those that are sought, a text of the first column.

    True where that is not known; of more rows than were read, whether a text comes again.
    """
    if view is None or len(data_format.inputs) != 2:
        return True
    texts = [list(map(str, view.values[name])) for name in data_format.inputs]
    if not view.is_complete:
        return any(len(set(column)) < len(column) for column in texts)
    candidates: dict[tuple[int, str], dict[str, Any]] = defaultdict(dict)
    for first, second, label in zip(*texts, view.values[data_format.label_column], strict=True):
        candidates[0, first][second] = label
        candidates[1, second][first] = label
    for (side, _), found in candidates.items():
        labels = {*found.values()}
        if len(labels) > 1 and labels.issuperset(sought) and (side == 0 or not sought):
            return True
    return False


def scale_of(data_format: DataFormat) -> tuple[tuple[float, float] | None, bool]:
    """The scale of the labels, and whether it is a guess from those seen."""
    scale, seen = data_format.label_scale, data_format.label_values
    if seen is None:
        return scale, False
    if scale is None:
        scale = scale_around(*seen)
    return scale, scale != seen and not (seen[0] >= -1 and seen[1] <= 1)


def scaling(data_format: DataFormat, column: str, reached: tuple[float, float]) -> Step | None:
    """The step that makes scores of labels whose scale goes beyond what is reached."""
    scale, guessed = scale_of(data_format)
    if scale is None or (reached[0] <= scale[0] and scale[1] <= reached[1]):
        return None
    low, high = (int(end) if float(end).is_integer() else end for end in scale)
    guess = f"; that the scale is from {low} to {high} is a guess" if guessed else ""
    return Step("scale_labels", (column, low, high), why=f"to scores from 0 to 1{guess}")


def name_after(column: str | None, steps: Sequence[Step]) -> str | None:
    """What a column is called after the steps."""
    for step in steps:
        if step.call == "rename_column" and step.arguments[0] == column:
            column = step.arguments[1]
    return column
