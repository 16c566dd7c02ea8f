"""The losses that `selective-st train` knows, with what they are compared with: settings are those of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric
from torch import Tensor, nn

from selective_st._validation import instance_of
from selective_st.focus import Focus
from selective_st.layouts import By, Examples, GradedPairs, as_lists, as_pairs, as_positives, as_triplets
from selective_st.registry.catalog import TRAINABLE, Trainable, did_you_mean, rows_of, trainable
from selective_st.registry.choice import command_of, first_choice, format_of_pairs, suggestion_for, suggestions_for
from selective_st.registry.suggestion import Suggestion

_STATIC, _PRETRAINED = "static", "pretrained"

LossFactory = Callable[[SentenceTransformer], nn.Module]
Layout = Callable[[GradedPairs, "By | None", int, float], Examples]


class PaddedLists(nn.Module):
    """A built-in loss for lists of one length, on lists that are filled up with NaN: each at its own length.

    Args:
        loss: The loss; it must have `compute_loss_from_embeddings`.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        if not hasattr(loss, "compute_loss_from_embeddings"):
            raise TypeError(
                f"PaddedLists: loss must have compute_loss_from_embeddings, got {type(loss).__name__}. Write "
                "PaddedLists(DistillKLDivLoss(model))."
            )
        self.loss: Any = loss

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The mean over the lists.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: Labels of shape (batch_size, n); NaN, after the others, where a list has ended.

        Returns:
            The mean loss, a scalar.
        """
        embeddings = embed_columns(self.loss.model, sentence_features)
        lengths = (~labels.isnan()).sum(dim=1)
        losses = []
        for length in lengths.unique().tolist():
            rows = lengths == length
            columns = [column[rows] for column in embeddings[: length + 1]]
            losses.append(self.loss.compute_loss_from_embeddings(columns, labels[rows, :length]) * rows.sum())
        return torch.stack(losses).sum() / len(labels)

    def get_config_dict(self) -> dict[str, Any]:
        """The settings of the loss within."""
        config: dict[str, Any] = self.loss.get_config_dict()
        return config


@dataclass(frozen=True)
class BuiltIn:
    """A built-in loss to compare with, as the catalog has it.

    Attributes:
        name: The name of its class.
        settings: Arguments that are not the catalog's.
        takes: The argument that a temperature is given by: `temperature`, or `scale`, its inverse; empty if none.
        in_lists: Whether it takes lists, all of one length.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes: Literal["temperature", "scale", ""] = ""
    in_lists: bool = False

    def build(self, model: SentenceTransformer, temperature: float | None = None) -> nn.Module:
        """Make it.

        Args:
            model: The model.
            temperature: By which score differences are divided. Default: its own.

        Returns:
            The loss.
        """
        suggestion = suggestion_for(self.name, rows_of(self.name)[0])
        loss = suggestion.build(model, **{**self.settings, **_given(self.takes, temperature)})
        return PaddedLists(loss) if self.in_lists else loss


def _given(name: str, temperature: float | None) -> dict[str, float]:
    if temperature is None or not name:
        return {}
    return {name: 1 / temperature if name == "scale" else temperature}


@dataclass(frozen=True)
class LossKind:
    """What `--loss` means: an entry of the catalog's losses to train, and what it takes to train and compare it.

    Attributes:
        entry: What the catalog says of it.
        layout: What it takes, made from graded pairs.
        compared: The built-in losses of that layout.
        note: Their settings, where these are not the catalog's.
        chosen_by: What chooses learning rates and seeds: the focus's metric, or the ranking where there are questions.
        takes_list_size: Whether `--list-size` means anything.
        batch_sizes: The default number of rows in a step.
        takes_static: Whether it trains static embeddings.
        groups: Whether the layout asks for other candidates of the same text.
        of_labels: The kind that takes its place where every label is 0 or 1, by name; its own if it needs such labels.
    """

    entry: Trainable
    layout: Layout
    compared: tuple[BuiltIn, ...]
    note: str = ""
    chosen_by: Literal["focus", "ranking"] = "ranking"
    takes_list_size: bool = True
    batch_sizes: Mapping[str, int] = field(default_factory=lambda: {_STATIC: 64, _PRETRAINED: 32})
    takes_static: bool = True
    groups: bool = True
    of_labels: str = ""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.entry.name

    @property
    def selective(self) -> str:
        """The name of its class."""
        return self.entry.loss

    @property
    def temperature(self) -> float | None:
        """The default temperature; None if it has none."""
        return self.entry.temperature

    @property
    def builtins(self) -> tuple[str, ...]:
        """The names of the built-in losses to compare with."""
        return tuple(builtin.name for builtin in self.compared)

    def suggestion(self, focus: Focus) -> Suggestion:
        """The loss with its settings, as it is suggested for such data.

        Args:
            focus: What matters.

        Returns:
            The suggestion.
        """
        return suggestion_for(self.selective, self.entry.row, focus)

    def build(self, model: SentenceTransformer, focus: Focus, temperature: float | None = None) -> nn.Module:
        """Make the loss.

        Args:
            model: The model.
            focus: What matters.
            temperature: By which score differences are divided. Default: that of the catalog.

        Returns:
            The loss.
        """
        name = "scale" if self.entry.scale else "temperature" if self.temperature else ""
        return self.suggestion(focus).build(model, **_given(name, temperature))

    def factories(self, focus: Focus, temperature: float | None, *, compare: bool) -> dict[str, LossFactory]:
        """For each loss to train, by name, how to make it for a model; the selective one first.

        Args:
            focus: What matters.
            temperature: By which score differences are divided. Default: each loss's own.
            compare: Whether the built-in losses are among them.

        Returns:
            The factories.
        """
        found: dict[str, LossFactory] = {self.selective: lambda model: self.build(model, focus, temperature)}
        for builtin in self.compared if compare else ():
            found[builtin.name] = lambda model, builtin=builtin: builtin.build(model, temperature)  # type: ignore[misc]
        return found


_LISTS = (
    BuiltIn("DistillKLDivLoss", takes="temperature", in_lists=True),
    BuiltIn("MarginMSELoss", in_lists=True),
)
_IN_LISTS: dict[str, Any] = {
    "layout": as_lists,
    "compared": _LISTS,
    "note": "each list at its own length",
    "batch_sizes": {_STATIC: 16, _PRETRAINED: 8},
    "of_labels": "listwise-labels",
}
_TRIPLET_MARGIN = 0.5  # of cosine distances; the built-in default of 5 is for Euclidean ones
_NEEDED: dict[str, dict[str, Any]] = {
    "pointwise": {
        "layout": as_pairs,
        "compared": (BuiltIn("CosineSimilarityLoss"), BuiltIn("CoSENTLoss"), BuiltIn("AnglELoss")),
        "chosen_by": "focus",
        "takes_list_size": False,
        "groups": False,
    },
    "pairwise": {
        "layout": as_triplets,
        "compared": (
            BuiltIn(
                "TripletLoss",
                {"distance_metric": TripletDistanceMetric.COSINE, "triplet_margin": _TRIPLET_MARGIN},
            ),
            BuiltIn("MultipleNegativesRankingLoss"),
        ),
        "note": f"TripletLoss with cosine distances and margin {_TRIPLET_MARGIN:g}",
    },
    "listwise": _IN_LISTS,
    "listwise-labels": _IN_LISTS,
    "in-batch": {
        "layout": as_positives,
        "compared": (BuiltIn("MultipleNegativesRankingLoss", takes="scale"),),
        "takes_list_size": False,
    },
    "cached-in-batch": {
        "layout": as_positives,
        "compared": (BuiltIn("CachedMultipleNegativesRankingLoss", takes="scale"),),
        "takes_list_size": False,
        "batch_sizes": {_STATIC: 128, _PRETRAINED: 128},
        "takes_static": False,
    },
}
LOSSES = tuple(LossKind(entry, **_NEEDED[entry.name]) for entry in TRAINABLE)


def loss_kind(name: str) -> LossKind:
    """The loss that `train` knows by a name.

    Args:
        name: As on the command line, or the name of the class.

    Returns:
        The row.

    Raises:
        ValueError: If there is no such loss.

    Example:
        >>> loss_kind("listwise").selective
        'SelectiveListwiseLoss'
    """
    instance_of("loss_kind", "name", name, str, 'Write for example "pointwise".')
    entry = trainable(name.strip())
    if entry is not None:
        return next(kind for kind in LOSSES if kind.entry is entry)
    comparing = [kind for kind in LOSSES if name.strip() in kind.builtins]
    if comparing:
        best = min(comparing, key=lambda kind: kind.builtins.index(name.strip()))
        raise ValueError(
            f"--loss {name.strip()}: `train` trains a selective loss, and {name.strip()} beside it to compare. Say "
            f"--loss {best.name} --compare."
        )
    names = [kind.name for kind in LOSSES]
    classes = dict.fromkeys(kind.selective for kind in LOSSES)
    hint = did_you_mean(name, [*names, "auto", *classes])
    raise ValueError(
        f"--loss must be {', '.join(names)}, auto, or the class of one of them ({', '.join(classes)}); got {name!r}. "
        f"{hint}".strip()
    )


def suited_kind(train: GradedPairs) -> tuple[LossKind, str]:
    """The loss that suits pairs best: what `--loss auto` takes.

    Args:
        train: The training pairs.

    Returns:
        The row of the table of losses, and why.

    Example:
        >>> from datasets import Dataset
        >>> columns = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.2, 0.9]}
        >>> suited_kind(GradedPairs(Dataset.from_dict(columns), "two pairs"))[0].name
        'pointwise'
    """
    check_pairs("suited_kind", "train", train)
    found = suggestions_for(format_of_pairs(train.scores))
    chosen, why = first_choice(found, train.dataset)
    entry = command_of(chosen)
    return loss_kind(entry.name if entry else "pointwise"), why


def kind_of_labels(kind: LossKind, train: GradedPairs) -> LossKind:
    """The row for labels as those of the training pairs.

    Args:
        kind: A row of the table of losses.
        train: The training pairs.

    Returns:
        That row, or the one that takes its place where every label is 0 or 1.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If it needs such labels, and there are others.

    Example:
        >>> from datasets import Dataset
        >>> columns = {"sentence1": ["a", "a"], "sentence2": ["c", "d"], "score": [0.0, 1.0]}
        >>> kind_of_labels(loss_kind("listwise"), GradedPairs(Dataset.from_dict(columns), "two answers")).name
        'listwise-labels'
    """
    instance_of("kind_of_labels", "kind", kind, LossKind, 'Write loss_kind("listwise").')
    check_pairs("kind_of_labels", "train", train)
    other = next((score for score in train.scores if score not in (0, 1)), None)
    if other is None:
        return loss_kind(kind.of_labels or kind.name)
    if kind.of_labels == kind.name:
        raise ValueError(
            f"--loss {kind.name} takes candidates that are right (1) or wrong (0), but {train.name} has the label "
            f"{other:g}. Use --loss listwise."
        )
    return kind


def check_pairs(owner: str, name: str, pairs: Any) -> None:
    """Raise a TypeError unless an argument is graded pairs.

    Args:
        owner: The function whose argument it is.
        name: The argument's name.
        pairs: What was given.
    """
    instance_of(owner, name, pairs, GradedPairs, 'Read them with selective_st.data.read_pairs("pairs.csv").')
