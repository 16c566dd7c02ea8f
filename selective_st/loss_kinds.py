"""The losses that `selective-st train` knows, with what they are compared with: settings are those of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
Takes = Literal["temperature", "scale", ""]


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


_MARGIN = 0.5  # of cosine distances; the built-in default of 5 is for Euclidean ones
# Built-in losses whose settings are not the catalog's; that take lists, all of one length; and what a temperature is
# given by: an argument of that name, or `scale`, its inverse.
_SETTINGS = {"TripletLoss": {"distance_metric": TripletDistanceMetric.COSINE, "triplet_margin": _MARGIN}}
_IN_LISTS = ("DistillKLDivLoss", "MarginMSELoss")
_NOTES = {"TripletLoss": f"TripletLoss with cosine distances and margin {_MARGIN:g}"}
_NOTES |= dict.fromkeys(_IN_LISTS, "each list at its own length")
_SCALED = ("CoSENTLoss", "AnglELoss", "MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss")
_TAKES: dict[str, Takes] = {"DistillKLDivLoss": "temperature", **dict.fromkeys(_SCALED, "scale")}


def built_in(name: str, model: SentenceTransformer, temperature: float | None = None) -> nn.Module:
    """Make a built-in loss to compare with, as the catalog suggests it but for a few settings.

    Args:
        name: The name of its class.
        model: The model.
        temperature: A temperature that is not its own.

    Returns:
        The loss.
    """
    suggestion, given = suggestion_for(name, rows_of(name)[0]), _given(_TAKES.get(name, ""), temperature)
    loss = suggestion.build(model, **_SETTINGS.get(name, {}), **given)
    return PaddedLists(loss) if name in _IN_LISTS else loss


def _given(name: Takes, temperature: float | None) -> dict[str, float]:
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
    def note(self) -> str:
        """The settings of the built-in losses to compare with, where these are not the catalog's."""
        return "; ".join(dict.fromkeys(_NOTES[name] for name in self.builtins if name in _NOTES))

    def suggestion(self, focus: Focus) -> Suggestion:
        """The loss with its settings, as it is suggested for such data."""
        return suggestion_for(self.loss, self.row, focus)

    def build(self, model: SentenceTransformer, focus: Focus, temperature: float | None = None) -> nn.Module:
        """Make the loss, with the temperature of the catalog unless another is given."""
        takes: Takes = "scale" if self.scale else "temperature"
        return self.suggestion(focus).build(model, **_given(takes, temperature))

    def contenders(
        self, focus: Focus, temperature: float | None, *, compare: bool, is_static: bool = False
    ) -> list[Contender]:
        """The losses to train, the selective one first; a comparison tries several temperatures of each."""
        own = 1 / self.static_scale if is_static and self.static_scale else self.temperature
        takes: Takes = "scale" if self.scale else "temperature" if self.temperature else ""
        losses: list[tuple[str, Takes, Callable[..., nn.Module]]] = [
            (self.loss, takes, partial(self.build, focus=focus)),
            *((name, _TAKES.get(name, ""), partial(built_in, name)) for name in self.builtins if compare),
        ]
        tried = self.temperatures if compare and temperature is None else (temperature or own,)
        found = []
        for name, argument, make in losses:
            for at in tried if argument else (None,):
                words = [f"{of} {value:g}" for of, value in _given(argument, at).items() if len(tried) > 1]
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
