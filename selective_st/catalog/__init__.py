"""The catalog: every data format and every loss, as data, on which the rest of the package stands.

A `LossEntry` says what is true of a loss whatever the data: where it is, what it needs, how it reads columns and
labels. A `Row` is a row of the loss tables of Sentence Transformers: a data format, the losses of a model type for it,
and the selective loss or the reason why there is none. Losses are strings here, imported when one is built: the catalog
imports nothing heavy. The data stand in `losses.yaml` and `formats.yaml`.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from importlib.resources import files
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from selective_st._validation import one_of

__all__ = [
    "ANCHOR_POSITIVE", "CLASSES", "DEFAULT_MODEL", "HELPERS", "LABEL_KINDS", "LINKS", "MODEL_TYPES", "MODULES",
    "OURS", "PACKAGES", "POSITIVE_FROM", "SAID", "SECTION_TITLES", "SHAPES", "TRAINABLE", "UPSTREAM", "LabelKind",
    "LossEntry", "ModelType", "Role", "Row", "ScoreRange", "Section", "Selective", "Shape", "Trainable",
    "check_model_type", "did_you_mean", "entry_of", "find_loss", "fitting_rows", "formats_of", "loss_entry", "losses",
    "model_type_of", "register_loss", "rows", "rows_of", "shape_of", "trainable", "uncompiled", "unregister_loss",
]  # fmt: skip

ModelType = Literal["SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder"]
Shape = Literal["single", "pair", "triplet", "n-tuple", "list", "any"]
LabelKind = Literal[
    "none", "class", "class probabilities", "binary", "similarity", "margin", "margins", "scores", "binary list",
    "embedding", "embeddings", "any",
]  # fmt: skip
Section = Literal["main", "modifier", "regularization", "distillation"]
Role = Literal["loss", "modifier", "regularizer"]
ScoreRange = Literal["cosine", "probability", "nonnegative", "any"]

MODEL_TYPES: tuple[ModelType, ...] = get_args(ModelType)
SHAPES: tuple[Shape, ...] = get_args(Shape)
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)

ANCHOR_POSITIVE = "(anchor, positive) pairs"  # of pairs without labels
POSITIVE_FROM = 0.8  # the label from 0 to 1 from which conversions take a pair for a positive, unless told another
UPSTREAM = "sentence_transformers"
OURS = "selective_st"
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"  # in code and scripts, where the user has named none
CLASSES = "{classes}"  # in a setup line: stands for the code that counts the classes


@dataclass(frozen=True)
class LossEntry:
    """What is true of a loss whatever the data.

    Attributes:
        name: The name of its class.
        model_type: Which models it trains.
        module: Where its class is imported from.
        why: What it is good for, in a line.
        role: A loss; a modifier that wraps one; or a regularizer that is added to one.
        min_columns: The fewest text columns it reads.
        max_columns: The most; None for any number.
        extra_columns: What happens to text columns beyond `max_columns`: an error, or ignored in silence.
        score: Where its labels must lie: a cosine's range [-1, 1], [0, 1], at 0 and above, or anywhere.
        in_batch_negatives: Whether the other rows of a batch are negatives, so that duplicates are false ones.
        order_only: Whether it only compares labels with one another: equal labels teach nothing.
        class_batches: Whether a batch must hold several rows of a class.
        setup: Code lines that make what the required arguments need; they may use `model` and `dataset`, and
            `{classes}` stands for the code that counts the classes.
        arguments: The required arguments after the model, and those that suit the model type, as code.
        caveats: What else to know, a sentence each.
        deprecated: What replaces it; empty if it is not deprecated.
        since: The release of Sentence Transformers it came with.
        origin: The package it comes from.
    """

    name: str
    model_type: ModelType
    module: str
    why: str
    role: Role = "loss"
    min_columns: int = 1
    max_columns: int | None = None
    extra_columns: Literal["error", "ignored"] = "error"
    score: ScoreRange = "any"
    in_batch_negatives: bool = False
    order_only: bool = False
    class_batches: bool = False
    setup: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    caveats: tuple[str, ...] = ()
    deprecated: str = ""
    since: str = "6.0"
    origin: str = UPSTREAM

    @property
    def is_wrapped(self) -> bool:
        """Whether it works within another only, which adds the sparsity."""
        return self.model_type == "SparseEncoder" and self.role == "loss" and self.name != "SparseMSELoss"

    def load(self) -> type[Any]:
        """Import the class.

        Returns:
            The class.

        Raises:
            ImportError: If the installed version does not have it.
        """
        found: type[Any] | None = getattr(importlib.import_module(self.module), self.name, None)
        if found is None:
            raise ImportError(
                f"{self.module} has no {self.name}: it needs sentence-transformers {self.since} or newer. Upgrade with "
                "`pip install -U sentence-transformers`."
            )
        return found


@dataclass(frozen=True)
class Selective:
    """A selective loss for a row.

    Attributes:
        loss: The name of the loss.
        link: Its default link for this row, as code.
        is_default: Whether the loss takes that link by itself; else it must be passed.
        arguments: Further arguments for this row, as code.
    """

    loss: str
    link: str
    is_default: bool = True
    arguments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """A data format and the losses for it.

    Attributes:
        model_type: Which models.
        section: The table it stands in.
        inputs: The inputs, as Sentence Transformers writes them.
        labels: The labels, likewise.
        shape: The inputs by their number of columns: single, pair, triplet, n-tuple (four or more), list (a query and a
            list column), any.
        label: The kind of the labels.
        losses: The losses for it, in the order of the documentation.
        recommended: Those that Sentence Transformers commonly recommends.
        selective: Our losses for it, the best first.
        why_none: Why there is no selective loss, where there is none.
        outputs: How many output labels a cross encoder must have.
        note: What the columns alone do not say.
        since: The release of Sentence Transformers that the row came with.
        origin: The package it comes from.
    """

    model_type: ModelType
    section: Section
    inputs: str
    labels: str
    shape: Shape
    label: LabelKind
    losses: tuple[str, ...]
    recommended: tuple[str, ...] = ()
    selective: tuple[Selective, ...] = ()
    why_none: str = ""
    outputs: str = ""
    note: str = ""
    since: str = "6.0"
    origin: str = UPSTREAM


# --- Read from the files ----------------------------------------------------------------------------------------------


def _read(name: str) -> Any:
    text = files("selective_st.catalog").joinpath(name).read_text("utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _frozen(value: Any) -> Any:
    """Lists as tuples, and what they hold likewise."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _entries(groups: list[dict[str, Any]]) -> dict[tuple[str, str], LossEntry]:
    """Each loss, with what its group says and, where the group is like another model type's, what holds there."""
    found: dict[tuple[str, str], LossEntry] = {}
    for group in groups:
        shared = {key: value for key, value in group.items() if key not in ("like", "losses")}
        for own in group["losses"]:
            base = vars(found[group["like"], own["name"]]) if "like" in group else {}
            traits = {**base, **shared, **own}
            entry = LossEntry(**{key: _frozen(value) for key, value in traits.items()})
            found[entry.model_type, entry.name] = entry
    return found


def _rows(model_type: ModelType) -> Iterator[Row]:
    for each in _FORMATS["formats"]:
        if model_type not in each:
            continue
        shared = {key: value for key, value in each.items() if key not in MODEL_TYPES}
        traits = {"section": "main", **shared, **_FORMATS["defaults"].get(model_type, {}), **each[model_type]}
        names, uses = traits.pop("losses").split(), traits.pop("ours", "").split()
        yield Row(
            model_type=model_type,
            losses=tuple(name.removeprefix("*") for name in names),
            recommended=tuple(name[1:] for name in names if name.startswith("*")),
            selective=tuple(_selective(_FORMATS["selective"][model_type][use]) for use in uses),
            **traits,
        )


def _selective(traits: dict[str, Any]) -> Selective:
    return Selective(**{**traits, "arguments": tuple(traits.get("arguments", {}).items())})


_LOSSES, _FORMATS = _read("losses.yaml"), _read("formats.yaml")

# The losses by model type and name, and the rows of formats: those of the files, and what is registered.
_ENTRIES = _entries(_LOSSES["groups"])
_ROWS = [row for model_type in MODEL_TYPES for row in _rows(model_type)]
LINKS: dict[str, str] = _FORMATS["links"]
SAID: dict[str, dict[str, str]] = _FORMATS["said"]
SECTION_TITLES: dict[Section, str] = _FORMATS["sections"]
PACKAGES: dict[ModelType, str] = {of["model_type"]: of["module"] for of in _LOSSES["groups"] if "origin" not in of}
HELPERS: dict[ModelType, list[str]] = _LOSSES["helpers"]
MODULES: dict[str, str] = {name: module for module, names in _LOSSES["imports"].items() for name in names}


# --- Looked up --------------------------------------------------------------------------------------------------------

_READING = ("targets", "lists")  # arguments of our losses that say how they read the data


def check_model_type(owner: str, model_type: object) -> ModelType:
    """Return the model type, or raise.

    Args:
        owner: The function whose argument it is, for the message.
        model_type: The name of a model class of Sentence Transformers.

    Returns:
        The model type.

    Raises:
        ValueError: If there is no such model type.
    """
    known: ModelType = one_of(owner, "model_type", model_type, MODEL_TYPES)
    return known


def model_type_of(model: object) -> ModelType | None:
    """Which of the model types a model is.

    Args:
        model: The model.

    Returns:
        The model type, of the class nearest to the model's own; None if it is of none.

    Example:
        >>> model_type_of("no model") is None
        True
    """
    names = [base.__name__ for base in type(uncompiled(model)).__mro__]
    return next((known for name in names for known in MODEL_TYPES if known == name), None)


def uncompiled(model: Any) -> Any:
    """The model within what `torch.compile` makes of it; any other model as it is."""
    return getattr(model, "_orig_mod", model)


# --- Losses and formats -----------------------------------------------------------------------------------------------


def losses(model_type: ModelType | None = None) -> list[LossEntry]:
    """The registered losses.

    Args:
        model_type: Of which models. Default: of all.

    Returns:
        Their entries, in the order of the tables.

    Example:
        >>> [loss.name for loss in losses("MultiVectorEncoder")][3]
        'MultiVectorMarginMSELoss'
    """
    return [entry for entry in _ENTRIES.values() if model_type in (None, entry.model_type)]


def rows(model_type: ModelType | None = None) -> list[Row]:
    """The rows of the tables.

    Args:
        model_type: Of which models. Default: of all.

    Returns:
        The rows.

    Example:
        >>> [row.losses for row in rows("SparseEncoder") if row.section == "regularization"]
        [('FlopsLoss', 'CSRReconstructionLoss')]
    """
    return [row for row in _ROWS if model_type in (None, row.model_type)]


def shape_of(inputs: Sized) -> Shape:
    """The shape of so many inputs, none of which holds lists."""
    return SHAPES[:4][min(len(inputs), 4) - 1]


def fitting_rows(
    shape: Shape, label: LabelKind | None, model_type: ModelType | None = None, inputs: str = ""
) -> list[Row]:
    """The rows of the tables of losses for a shape and a kind of labels.

    Args:
        shape: The inputs.
        label: The kind of the labels.
        model_type: Of which models. Default: of all.
        inputs: Of pairs without labels, what they are to each other. Default: anything.

    Returns:
        The rows of losses and of distillation.
    """
    wanted = f"{shape}, {label}"
    if label in ("embedding", "embeddings") and shape != "single":
        wanted = f"n-tuple, {label}"  # those rows hold for any number of inputs
    wanted = _FORMATS["stands_for"].get(wanted, wanted)
    is_told = inputs != "" and wanted == "pair, none"
    found = [row for row in rows(model_type) if row.section in ("main", "distillation")]
    return [row for row in found if f"{row.shape}, {row.label}" == wanted and (not is_told or row.inputs == inputs)]


def find_loss(name: str, model_type: ModelType) -> LossEntry | None:
    """The entry of a loss; None if there is none."""
    return _ENTRIES.get((model_type, name))


def loss_entry(name: str, model_type: ModelType = "SentenceTransformer") -> LossEntry:
    """The entry of a loss.

    Args:
        name: The name of its class.
        model_type: Of which models.

    Returns:
        The entry.

    Raises:
        ValueError: If no such loss is registered; the message names similar ones, or the model type that has it.

    Example:
        >>> loss_entry("CoSENTLoss").order_only
        True
    """
    entry = find_loss(name, model_type)
    if entry is not None:
        return entry
    others = sorted(of for of, known in _ENTRIES if known == name)
    if others:
        hint = f'It is a loss for {", ".join(others)}: say model_type="{others[0]}".'
    else:
        names = [entry.name for entry in losses(model_type)]
        hint = did_you_mean(name, names) or f"There are {', '.join(names)}. "
        hint += "Add a loss of your own with selective_st.registry.register_loss."
    raise ValueError(f"There is no loss {name!r} for {model_type} in the registry. {hint}")


def rows_of(name: str, model_type: ModelType = "SentenceTransformer") -> list[Row]:
    """The rows that a loss stands in, be it as a built-in or as a selective one.

    Args:
        name: The name of its class.
        model_type: Of which models.

    Returns:
        The rows.

    Example:
        >>> [row.labels for row in rows_of("CosineSimilarityLoss")]
        ['float similarity score between 0 and 1']
    """
    return [row for row in rows(model_type) if name in (*row.losses, *(ours.loss for ours in row.selective))]


def entry_of(loss: object, model_type: ModelType = "SentenceTransformer") -> LossEntry | None:
    """The entry of a loss that is built.

    Args:
        loss: The loss.
        model_type: Of which models.

    Returns:
        The entry of its class, or of the nearest class that it derives from; None if there is none.

    Example:
        >>> entry_of("no loss") is None
        True
    """
    found = (find_loss(base.__name__, model_type) for base in type(loss).__mro__)
    return next((entry for entry in found if entry is not None), None)


def formats_of(loss: object, model_type: ModelType = "SentenceTransformer") -> list[tuple[str, str]]:
    """The data that a loss that is built reads, with its settings.

    Args:
        loss: The loss.
        model_type: Of which models.

    Returns:
        Pairs of a shape and a kind of labels, as `register_loss` takes them; none where nothing is known: of a loss
        that is not registered, wraps another, or only regularizes.

    Example:
        >>> formats_of("no loss")
        []
    """
    entry = entry_of(loss, model_type)
    if entry is None or entry.role != "loss":  # a regularizer reads no labels, whatever they are
        return []
    formats: dict[tuple[str, str], None] = {}
    for row in rows_of(entry.name, model_type):
        settings = [dict(selective.arguments) for selective in row.selective if selective.loss == entry.name]
        if not settings or any(_is_set_so(loss, arguments) for arguments in settings):
            formats[row.shape, row.label] = None
    # Our in-batch losses take floats for a teacher's scores, which the tables list for lists alone.
    if entry.origin == OURS and entry.in_batch_negatives:
        formats["pair", "similarity"] = None
    return list(formats)


def _is_set_so(loss: object, arguments: dict[str, str]) -> bool:
    """Whether a loss reads the data as these arguments, in code, would have it; None is read off the labels."""
    defaults = {key: each.default for key, each in inspect.signature(type(loss)).parameters.items() if key in _READING}
    wanted = defaults | {key: ast.literal_eval(arguments[key]) for key in defaults if key in arguments}
    return all(getattr(loss, key, None) in (None, value) for key, value in wanted.items())


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """A question with names that are nearly one that is not known; empty if there is none.

    Args:
        name: What was given.
        names: What is known.

    Returns:
        The question, and a space.

    Example:
        >>> did_you_mean("cosent", ["CosineSimilarityLoss", "CoSENTLoss", "TripletLoss"])
        'Did you mean CoSENTLoss? '
    """
    keys = {key: known for known in names for key in (known.lower(), known.lower().removesuffix("loss"))}
    near = dict.fromkeys(keys[key] for key in difflib.get_close_matches(str(name).lower(), keys, n=4, cutoff=0.5))
    return f"Did you mean {' or '.join(list(near)[:3])}? " if near else ""


# --- Losses that `train` knows ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trainable:
    """A loss that `selective-st train` makes the data ready for.

    Attributes:
        name: What `--loss` calls it.
        loss: The name of its class.
        shape: The inputs that the pairs are laid out to.
        label: The kind of their labels then; with the shape, its row.
        what: What it learns from, for people.
        builtins: The built-in losses to compare it with.
        temperatures: Those that a comparison tries, with every loss that has one.
        scale: The default scale of its class, where the temperature of the scores is its inverse.
        static_scale: The scale for static embeddings, where it is another one.
        batch_sizes: The default number of rows in a step, for static embeddings and for pretrained models.
        takes_static: Whether it trains static embeddings.
        of_labels: The loss that takes its place where every label is 0 or 1, by name; its own if it needs such labels.
        laid_out_by: The conversion that makes its inputs of labelled pairs; empty where these are what it takes.
    """

    name: str
    loss: str
    shape: Shape
    label: LabelKind
    what: str
    builtins: Sequence[str]
    temperatures: Sequence[float]
    scale: float | None = None
    static_scale: float | None = None
    batch_sizes: Sequence[int] = (64, 32)
    takes_static: bool = True
    of_labels: str = ""
    laid_out_by: str = ""

    @property
    def row(self) -> Row:
        """Its row, which has its settings."""
        return next(row for row in rows_of(self.loss) if (row.shape, row.label) == (self.shape, self.label))

    @property
    def temperature(self) -> float | None:
        """The temperature in its row's settings; None if it has none."""
        if self.scale:
            return 1 / self.scale
        selective = next(selective for selective in self.row.selective if selective.loss == self.loss)
        given = dict(selective.arguments).get("temperature")
        return None if given is None else float(given)


TRAINABLE = tuple(Trainable(**each) for each in _FORMATS["trainable"])


def trainable(name: str) -> Trainable | None:
    """What `train` makes of a loss's name.

    Args:
        name: As `--loss` calls it, or the name of its class.

    Returns:
        The loss, the first of its class; None if `train` does not know it.

    Example:
        >>> trainable("SelectiveListwiseLoss").name
        'listwise'
    """
    return next((known for known in TRAINABLE if name in (known.name, known.loss)), None)


# --- Losses of one's own ----------------------------------------------------------------------------------------------


def register_loss(
    loss: type[Any] | str,
    *,
    formats: Sequence[tuple[str, str]],
    why: str,
    model_type: ModelType = "SentenceTransformer",
    recommended: bool = False,
    exist_ok: bool = False,
    **traits: Any,
) -> LossEntry:
    """Add a loss of your own to the registry: it is then suggested, checked and listed with the others.

    Args:
        loss: Its class, or where to import it from: `"package.module.ClassName"`; then it is imported only when used.
        formats: For which data: pairs of a shape (single, pair, triplet, n-tuple, list, any) and a kind of labels
            (none, class, class probabilities, binary, similarity, margin, margins, scores, binary list, embedding,
            embeddings, any); or of inputs and labels as a row of `loss_table` names them.
        why: What it is good for, in a line.
        model_type: Which models it trains.
        recommended: Whether it is suggested before the losses that are not.
        exist_ok: Whether it may take the place of a loss of that name.
        **traits: Further attributes of `LossEntry`, such as `max_columns=2` or `in_batch_negatives=True`.

    Returns:
        The entry.

    Raises:
        TypeError: If a trait is unknown or of the wrong type, or `loss` is neither a class nor a text.
        ValueError: If the name is taken, or a format is unknown.

    Example:
        >>> from selective_st.registry import loss_table
        >>> entry = register_loss(
        ...     "my_package.losses.HuberLoss", formats=[("pair", "similarity")], why="tolerates wrong labels",
        ...     max_columns=2, score="cosine", exist_ok=True,
        ... )
        >>> "HuberLoss" in loss_table("SentenceTransformer")
        True
        >>> unregister_loss("HuberLoss")
    """
    owner = "register_loss"
    model_type = check_model_type(owner, model_type)
    module, name = _place_of(owner, loss)
    _check_traits(owner, traits)
    if not isinstance(why, str) or not why.strip():
        raise ValueError(f"{owner}: why must say in a line what {name} is good for; got {why!r}.")
    if find_loss(name, model_type) and not exist_ok:
        raise ValueError(
            f"{owner}: {model_type} has a loss {name} already. Rename yours, or pass exist_ok=True to replace it."
        )
    pairs = formats if isinstance(formats, (list, tuple)) else ()
    if not pairs or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise ValueError(
            f"{owner}: formats must hold at least one pair of a shape and a kind of labels, got {formats!r}. Write "
            'formats=[("pair", "similarity")].'
        )
    places = {_ROWS.index(_row(owner, model_type, *pair)) for pair in pairs}
    origin = module.partition(".")[0]
    entry = LossEntry(name=name, model_type=model_type, module=module, why=why, origin=origin, **traits)
    _remove(name, model_type)
    for place in places:
        row, more = _ROWS[place], (name,) if recommended else ()
        _ROWS[place] = replace(row, losses=(*row.losses, name), recommended=(*row.recommended, *more))
    _ENTRIES[model_type, name] = entry
    return entry


def _place_of(owner: str, loss: object) -> tuple[str, str]:
    """The module and the name of a loss."""
    if inspect.isclass(loss):
        return loss.__module__, loss.__name__
    if not isinstance(loss, str):
        raise TypeError(f"{owner}: loss must be a class or the text package.module.ClassName; got {loss!r}.")
    module, _, name = loss.rpartition(".")
    if not module or not name.isidentifier():
        raise ValueError(f"{owner}: loss must be written package.module.ClassName; got {loss!r}.")
    return module, name


def _check_traits(owner: str, traits: dict[str, Any]) -> None:
    hints = get_type_hints(LossEntry)
    known = hints.keys() - {"name", "model_type", "module", "why", "origin"}
    for trait, value in traits.items():
        if trait not in known:
            raise TypeError(f"{owner}: unknown {trait}; a loss may have {', '.join(sorted(known))}.")
        hint = hints[trait]
        allowed = get_args(hint) if get_origin(hint) in (Literal, UnionType) else (get_origin(hint) or hint,)
        if (value if get_origin(hint) is Literal else type(value)) not in allowed:
            wanted = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            raise TypeError(f"{owner}: {trait} must be of type {wanted}, got {value!r}.")


def _row(owner: str, model_type: ModelType, inputs: str, labels: str) -> Row:
    """A row, by its names or by its kinds; of several rows of a kind the most general one."""
    known = rows(model_type)
    found = [row for row in known if (row.inputs, row.labels) == (inputs, labels)]
    found += sorted((row for row in known if (row.shape, row.label) == (inputs, labels)), key=lambda row: row.note > "")
    if found:
        return found[0]
    formats = ", ".join(f'("{row.shape}", "{row.label}")' for row in known)
    raise ValueError(f'{owner}: {model_type} has no format ("{inputs}", "{labels}"). There are {formats}.')


def unregister_loss(name: str, model_type: ModelType = "SentenceTransformer") -> None:
    """Take a loss out of the registry.

    Args:
        name: The name of its class.
        model_type: Of which models.

    Raises:
        ValueError: If there is no such loss.
    """
    loss_entry(name, model_type)
    _remove(name, model_type)


def _remove(name: str, model_type: ModelType) -> None:
    _ENTRIES.pop((model_type, name), None)
    for place, row in enumerate(_ROWS):
        if row.model_type == model_type and name in row.losses:
            losses, starred = (tuple(each for each in of if each != name) for of in (row.losses, row.recommended))
            _ROWS[place] = replace(row, losses=losses, recommended=starred)
