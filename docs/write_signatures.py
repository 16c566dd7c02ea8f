"""Write the list in docs/losses.md of what differs between the signatures of our losses and of the built-in ones.

Run with `make docs-formats`; a test checks that the list is complete, and that the page shows it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from torch import nn

LOSSES = Path(__file__).parent / "losses.md"
_BEGIN, _END = "<!-- signatures: begin -->", "<!-- signatures: end -->"

# The built-in losses that each of ours stands for, by package; those of ours that have none; and what differs.
_TABLES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "signatures.yaml").read_text("utf-8"))
COUNTERPARTS: dict[str, dict[str, list[str]]] = _TABLES["counterparts"]
ALONE = {(package, name) for package, names in _TABLES["alone"].items() for name in names}


class Difference(NamedTuple):
    """What is not as in built-in losses.

    Attributes:
        losses: Those built-in losses.
        arguments: Their arguments.
        here: What is in their place.
        reason: Why.
    """

    losses: list[str]
    arguments: list[str]
    here: str
    reason: str


DIFFERENCES = [Difference(**each) for each in _TABLES["differences"]]


def ours(package: str, name: str) -> Any:
    """A loss of ours, of a package."""
    return getattr(
        import_module("selective_st.losses" if package == "sentence_transformer" else f"selective_st.{package}.losses"),
        name,
    )


def builtin(package: str, name: str) -> Any:
    """A built-in loss, of a package."""
    return getattr(import_module(f"sentence_transformers.{package}.losses"), name)


def differing(loss: Any, counterpart: Any) -> Iterator[str]:
    """The arguments of a built-in loss that a loss of ours does not have, or not at that place, or not by default."""
    own = inspect.signature(loss).parameters
    positional = [name for name, parameter in own.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    for place, (name, parameter) in enumerate(inspect.signature(counterpart).parameters.items()):
        if parameter.kind is parameter.VAR_KEYWORD:
            yield f"**{name}"
            continue
        moved = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and positional[place : place + 1] != [name]
        if moved or name not in own or not _alike(own[name].default, parameter.default):
            yield name


def _alike(one: object, other: object) -> bool:
    """Whether two defaults mean the same: None stands for no function, and modules are told apart by their kind."""
    one, other = (nn.Identity() if default is None else default for default in (one, other))
    if isinstance(one, nn.Identity) and isinstance(other, nn.Identity):
        return True
    return type(one) is type(other) if isinstance(one, nn.Module) else one == other


def table() -> str:
    """The list, as a table."""
    lines = ["| built-in loss | argument | here | why |", "|---|---|---|---|"]
    for difference in DIFFERENCES:
        losses, arguments = (", ".join(f"`{name}`" for name in names) for names in difference[:2])
        lines.append(f"| {losses} | {arguments} | {difference.here} | {difference.reason} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the list as it is now."""
    block = f"{_BEGIN}\n{table()}\n{_END}"
    return re.sub(f"{_BEGIN}.*?{_END}", lambda _: block, text, flags=re.DOTALL)


if __name__ == "__main__":
    LOSSES.write_text(page(LOSSES.read_text(encoding="utf-8")), encoding="utf-8")
