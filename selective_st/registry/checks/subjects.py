"""The losses that a check is asked about, looked up in the registry, and looked into where one wraps another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selective_st.registry.catalog import (
    MODEL_TYPES,
    LossEntry,
    ModelType,
    entry_of,
    loss_entry,
    losses,
    model_type_of,
    uncompiled,
)
from selective_st.registry.table import Table

UNKNOWN = "nothing is known of it"
_MODEL_ATTRIBUTES = ("model", "sentence_embedder", "encoder", "model2")


@dataclass(frozen=True)
class Subject:
    """The loss: what the registry knows, and the object where there is one."""

    entry: LossEntry
    is_known: bool
    loss: Any = None
    wrappers: tuple[Any, ...] = ()
    model: Any = None

    @property
    def name(self) -> str:
        """The loss within what wraps it."""
        names = [type(wrapper).__name__ for wrapper in self.wrappers]
        return "".join(f"{name}(" for name in names) + self.entry.name + ")" * len(names)

    @property
    def names(self) -> list[str]:
        """The names of the loss, and of the classes of all that wraps it."""
        bases = [base.__name__ for wrapper in self.wrappers for base in type(wrapper).__mro__]
        return [*bases, self.entry.name]


def subjects_of(
    owner: str, loss: object, read: Sequence[Table], model: Any, model_type: ModelType | None
) -> list[list[Subject]]:
    """Look up the losses of datasets.

    Args:
        owner: The caller, for errors.
        loss: A loss, its name, or a dict of these by the names of the datasets.
        read: The datasets.
        model: The model, or None for that of each loss.
        model_type: Which models the loss trains, or None for that of the model.

    Returns:
        For each dataset its loss, or the losses that its loss adds up.

    Raises:
        TypeError: If a loss is neither a loss nor a name.
        ValueError: If there is no such loss, or the dict lacks one of the datasets.
    """
    if not isinstance(loss, Mapping):
        return [_subjects(owner, loss, model, model_type)] * len(read)
    names = [table.name for table in read]
    lacking = [name for name in names if name not in loss]
    if lacking:
        raise ValueError(
            f"{owner}: loss is a dict for {', '.join(map(str, loss))}, but lacks {', '.join(map(repr, lacking))}. Give "
            "one for each dataset, by its name; a single dataset takes a single loss."
        )
    return [_subjects(owner, loss[name], model, model_type) for name in names]


def _subjects(owner: str, loss: Any, model: Any, model_type: ModelType | None) -> list[Subject]:
    if isinstance(loss, str):
        having = [kind for kind in MODEL_TYPES if any(entry.name == loss for entry in losses(kind))]
        wanted = model_type or model_type_of(model) or (having or ["SentenceTransformer"])[0]
        return [Subject(loss_entry(loss, wanted), True, model=uncompiled(model))]
    if isinstance(loss, type) or not callable(loss):
        what = f"the class {loss.__name__}" if isinstance(loss, type) else f"{loss!r}"
        raise TypeError(f"{owner}: loss must be a loss, such as CoSENTLoss(model), or its name; got {what}.")
    return _subjects_within(loss, model, model_type)


def _subjects_within(loss: Any, model: Any, model_type: ModelType | None) -> list[Subject]:
    """The losses within a loss, or itself where it wraps none."""
    loss = uncompiled(loss)
    model = uncompiled(model if model is not None else _model_of(loss))
    kind = model_type or model_type_of(model) or "SentenceTransformer"
    entry = entry_of(loss, kind)
    inner = [one for one in _inner(loss) if hasattr(one, "forward")]
    if inner and (entry is None or entry.role == "modifier"):
        found = [subject for one in inner for subject in _subjects_within(one, model, model_type)]
        return [replace(subject, wrappers=(loss, *subject.wrappers)) for subject in found]
    known = entry is not None
    if entry is None:
        name = type(loss).__name__
        entry = LossEntry(name=name, model_type=kind, module=type(loss).__module__, why=UNKNOWN, origin="")
    return [Subject(entry, known, loss, model=model)]


def _inner(loss: Any) -> list[Any]:
    """What a loss wraps: one loss or, by their names, several."""
    several = getattr(loss, "losses", None)
    return list(several.values()) if isinstance(several, Mapping) else [getattr(loss, "loss", None)]


def _model_of(loss: Any) -> Any:
    return next((found for name in _MODEL_ATTRIBUTES if (found := getattr(loss, name, None)) is not None), None)
