"""What the catalog consists of: losses, and rows of formats with the losses for them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

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
SECTION_TITLES: dict[Section, str] = {
    "main": "Losses",
    "modifier": "Loss modifiers",
    "regularization": "Regularization",
    "distillation": "Distillation",
}
SHAPES: tuple[Shape, ...] = get_args(Shape)
LABEL_KINDS: tuple[LabelKind, ...] = get_args(LabelKind)

UPSTREAM = "sentence_transformers"
OURS = "selective_st"
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"  # in code and scripts, where the user has named none
CLASSES = "{classes}"  # in a setup line: stands for the code that counts the classes

PACKAGES: dict[ModelType, str] = {
    "SentenceTransformer": "sentence_transformers.sentence_transformer.losses",
    "CrossEncoder": "sentence_transformers.cross_encoder.losses",
    "SparseEncoder": "sentence_transformers.sparse_encoder.losses",
    "MultiVectorEncoder": "sentence_transformers.multi_vector_encoder.losses",
}


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

    def load(self) -> type[Any]:
        """Import the class.

        Returns:
            The class.

        Raises:
            ImportError: If the installed version does not have it.
        """
        found: Any = getattr(importlib.import_module(self.module), self.name, None)
        if found is None:
            raise ImportError(
                f"{self.module} has no {self.name}: it needs sentence-transformers {self.since} or newer. Upgrade with "
                "`pip install -U sentence-transformers`."
            )
        loss_class: type[Any] = found
        return loss_class


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
