"""The losses that `selective-st train` knows, with what they are compared with: settings are those of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric
from torch import Tensor, nn

from selective_st._templates import say
from selective_st.catalog import TRAINABLE, Trainable, did_you_mean, loss_entry, rows_of, trainable
from selective_st.focus import Focus
from selective_st.kept_runs import Contender
from selective_st.layouts import By, Examples, GradedPairs, as_lists, as_pairs, as_positives, as_triplets
from selective_st.registry.choice import command_of, first_choice, format_of_pairs, suggestion_for, suggestions_for
from selective_st.registry.suggestion import Suggestion

Layout = Callable[[GradedPairs, "By | None", int, float], Examples]


class PaddedLists(nn.Module):
    """A built-in loss for lists of one length, on lists that are filled up with NaN: each at its own length."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss: Any = loss

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The mean over the lists; labels are NaN, after the others, where a list has ended."""
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
        return dict(self.loss.get_config_dict())


@dataclass(frozen=True)
class BuiltIn:
    """A built-in loss to compare with, with the catalog's settings unless others are given.

    Attributes:
        name: The name of its class.
        settings: Arguments that are not the catalog's.
        takes: The argument that a temperature is given by: `temperature`, or `scale`, its inverse; empty if none.
        in_lists: Whether it takes lists, all of one length.
        note: Its settings, where these are not the catalog's.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes: Literal["temperature", "scale", ""] = ""
    in_lists: bool = False
    note: str = ""

    def build(self, model: SentenceTransformer, temperature: float | None = None) -> nn.Module:
        """Make it, with a temperature that is not its own where one is given."""
        suggestion = suggestion_for(self.name, rows_of(self.name)[0])
        loss = suggestion.build(model, **self.settings, **_given(self.takes, temperature))
        return PaddedLists(loss) if self.in_lists else loss


_MARGIN = 0.5  # of cosine distances; the built-in default of 5 is for Euclidean ones
_TRIPLETS = {"distance_metric": TripletDistanceMetric.COSINE, "triplet_margin": _MARGIN}
_EACH_ALONE = "each list at its own length"
_BUILT_IN = (
    BuiltIn("CosineSimilarityLoss"),
    BuiltIn("CoSENTLoss", takes="scale"),
    BuiltIn("AnglELoss", takes="scale"),
    BuiltIn("TripletLoss", _TRIPLETS, note=f"TripletLoss with cosine distances and margin {_MARGIN:g}"),
    BuiltIn("MultipleNegativesRankingLoss", takes="scale"),
    BuiltIn("CachedMultipleNegativesRankingLoss", takes="scale"),
    BuiltIn("DistillKLDivLoss", takes="temperature", in_lists=True, note=_EACH_ALONE),
    BuiltIn("MarginMSELoss", in_lists=True, note=_EACH_ALONE),
)


def _given(name: str, temperature: float | None) -> dict[str, float]:
    if temperature is None or not name:
        return {}
    return {name: 1 / temperature if name == "scale" else temperature}


@dataclass(frozen=True)
class LossKind(Trainable):
    """What `--loss` means: a loss of the catalog, and what it takes to train and compare it."""

    @property
    def groups(self) -> bool:
        """Whether its layout asks for other candidates of the same text."""
        return self.label != "similarity"

    @property
    def takes_list_size(self) -> bool:
        """Whether `--list-size` means anything."""
        return self.shape != "pair"

    @property
    def layout(self) -> Layout:
        """What it takes, made from graded pairs."""
        layouts: dict[str, Layout] = {"pair": as_positives, "triplet": as_triplets, "n-tuple": as_lists}
        return layouts[self.shape] if self.groups else as_pairs

    @property
    def chosen_by(self) -> Literal["focus", "order", "ranking"]:
        """What chooses learning rates and seeds: the ranking where there are questions, else the focus's metric.

        For a loss that leaves it free where scores lie, one of their order.
        """
        if self.groups:
            return "ranking"
        return "order" if loss_entry(self.loss).order_only else "focus"

    @property
    def compared(self) -> list[BuiltIn]:
        """The built-in losses to compare with."""
        return [each for name in self.builtins for each in _BUILT_IN if each.name == name]

    @property
    def note(self) -> str:
        """Their settings, where these are not the catalog's."""
        return "; ".join(dict.fromkeys(each.note for each in self.compared if each.note))

    def suggestion(self, focus: Focus) -> Suggestion:
        """The loss with its settings, as it is suggested for such data."""
        return suggestion_for(self.loss, self.row, focus)

    @property
    def takes(self) -> Literal["temperature", "scale", ""]:
        """The argument that a temperature is given by."""
        return "scale" if self.scale else "temperature" if self.temperature else ""

    def build(self, model: SentenceTransformer, focus: Focus, temperature: float | None = None) -> nn.Module:
        """Make the loss, with the temperature of the catalog unless another is given."""
        return self.suggestion(focus).build(model, **_given(self.takes, temperature))

    def contenders(
        self, focus: Focus, temperature: float | None, *, compare: bool, is_static: bool = False
    ) -> list[Contender]:
        """The losses to train, the selective one first; a comparison tries several temperatures of each."""
        own = 1 / self.static_scale if is_static and self.static_scale else self.temperature
        losses: list[tuple[str, str, Callable[..., nn.Module]]] = [
            (self.loss, self.takes, partial(self.build, focus=focus))
        ]
        if compare:
            losses += [(each.name, each.takes, each.build) for each in self.compared]
        tried = self.temperatures if compare and temperature is None else (temperature or own,)
        found = []
        for name, takes, make in losses:
            for at in tried if takes else (None,):
                words = [f"{argument} {value:g}" for argument, value in _given(takes, at).items() if len(tried) > 1]
                found.append(Contender(name, "".join(words), partial(make, temperature=at), at))
        return found


LOSSES = tuple(LossKind(**vars(entry)) for entry in TRAINABLE)


def loss_kind(name: str) -> LossKind:
    """The loss that `train` knows by a name.

    Args:
        name: As on the command line, or the name of the class.

    Returns:
        The row.

    Raises:
        ValueError: If there is no such loss.

    Example:
        >>> loss_kind("listwise").loss
        'SelectiveListwiseLoss'
    """
    name = name.strip()
    entry = trainable(name)
    if entry is not None:
        return next(kind for kind in LOSSES if kind.name == entry.name)
    comparing = [kind for kind in LOSSES if name in kind.builtins]
    if comparing:
        best = min(comparing, key=lambda kind: kind.builtins.index(name))
        raise ValueError(say("loss_to_compare", name=name, kind=best))
    names, classes = [kind.name for kind in LOSSES], dict.fromkeys(kind.loss for kind in LOSSES)
    nearest = did_you_mean(name, [*names, "auto", *classes])
    raise ValueError(say("no_loss", name=name, names=names, classes=classes, nearest=nearest))


def suited_kind(train: GradedPairs, focus: Focus) -> tuple[LossKind, str]:
    """The loss that suits pairs best, which is what `--loss auto` takes, and why.

    Args:
        train: The training pairs.
        focus: What matters.

    Returns:
        The loss, and why.

    Example:
        >>> from datasets import Dataset
        >>> from selective_st.focus import parse_focus
        >>> columns = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.2, 0.9]}
        >>> pairs = GradedPairs(Dataset.from_dict(columns), "two pairs")
        >>> [suited_kind(pairs, parse_focus(focus))[0].name for focus in ("high", "0.7:0.9")]
        ['order', 'pointwise']
    """
    chosen, why = first_choice(suggestions_for(format_of_pairs(train.scores), focus), train.dataset)
    entry = command_of(chosen)
    return loss_kind(entry.name if entry else "pointwise"), why


def kind_of_labels(kind: LossKind, train: GradedPairs) -> LossKind:
    """A loss, or the one that takes its place where every label of the training pairs is 0 or 1.

    Args:
        kind: The loss.
        train: The training pairs.

    Returns:
        The loss for such labels.

    Raises:
        ValueError: If it needs such labels, and there are others.

    Example:
        >>> from datasets import Dataset
        >>> columns = {"sentence1": ["a", "a"], "sentence2": ["c", "d"], "score": [0.0, 1.0]}
        >>> kind_of_labels(loss_kind("listwise"), GradedPairs(Dataset.from_dict(columns), "two answers")).name
        'listwise-labels'
    """
    other = next((score for score in train.scores if score not in (0, 1)), None)
    if other is None:
        return loss_kind(kind.of_labels or kind.name)
    if kind.of_labels == kind.name:
        raise ValueError(say("not_right_or_wrong", kind=kind, pairs=train, label=other))
    return kind
