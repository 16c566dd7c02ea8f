"""Every loss and every format, read from `losses.yaml` and `formats.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml

from selective_st.catalog._kinds import MODEL_TYPES, LossEntry, ModelType, Row, Selective


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
        names = traits.pop("losses").split()
        yield Row(
            model_type=model_type,
            losses=tuple(name.removeprefix("*") for name in names),
            recommended=tuple(name[1:] for name in names if name.startswith("*")),
            selective=tuple(_selective(model_type, use) for use in traits.pop("ours", "").split()),
            **traits,
        )


def _selective(model_type: ModelType, use: str) -> Selective:
    traits = _FORMATS["selective"][model_type][use]
    return Selective(**{**traits, "arguments": tuple(traits.get("arguments", {}).items())})


_LOSSES, _FORMATS = _read("losses.yaml"), _read("formats.yaml")

ENTRIES = _entries(_LOSSES["groups"])
ROWS = [row for model_type in MODEL_TYPES for row in _rows(model_type)]
LINKS: dict[str, str] = _FORMATS["links"]
HELPERS: dict[ModelType, list[str]] = _LOSSES["helpers"]
TRAINED: list[dict[str, Any]] = _FORMATS["trainable"]
