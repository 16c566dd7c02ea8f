"""Each loss has the arguments of the built-in loss that it stands for: names, order and defaults, but for a list."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import write_signatures as signatures

PAIRS = [
    (package, name, counterpart)
    for package, losses in signatures.COUNTERPARTS.items()
    for name, counterparts in losses.items()
    for counterpart in counterparts
]


@pytest.mark.parametrize(("package", "name", "counterpart"), PAIRS, ids=lambda part: part)
def test_what_differs_stands_in_the_list(package: str, name: str, counterpart: str) -> None:
    loss, builtin = signatures.ours(package, name), signatures.builtin(package, counterpart)
    told = {
        argument
        for difference in signatures.DIFFERENCES
        if counterpart in difference.losses
        for argument in difference.arguments
    }
    assert set(signatures.differing(loss, builtin)) <= told


def test_the_list_says_nothing_else() -> None:
    found = {
        (counterpart, argument)
        for package, name, counterpart in PAIRS
        for argument in signatures.differing(signatures.ours(package, name), signatures.builtin(package, counterpart))
    }
    for difference in signatures.DIFFERENCES:
        for argument in difference.arguments:
            if argument != "similarity_fct":  # which that loss does not have: its own default is in no signature
                assert any((loss, argument) in found for loss in difference.losses), (difference.losses, argument)


@pytest.mark.parametrize("package", signatures.COUNTERPARTS)
def test_every_loss_is_compared(package: str) -> None:
    losses = inspect.getmodule(signatures.ours(package, "SelectivePointwiseLoss"))
    assert losses is not None
    public: Any = sys.modules[losses.__package__ or ""]
    compared = set(signatures.COUNTERPARTS[package]) | {name for of, name in signatures.ALONE if of == package}
    assert compared == set(public.__all__)


def test_a_difference_is_found() -> None:
    def theirs(model: Any, scale: float = 1.0, rows: int = 2, **kwargs: Any) -> None: ...

    def same(model: Any, scale: float = 1.0, rows: int = 2, *, link: Any = None, **kwargs: Any) -> None: ...

    def swapped(model: Any, rows: int = 2, scale: float = 1.0) -> None: ...

    def other_default(model: Any, scale: float = 2.0, rows: int = 2) -> None: ...

    def by_name(model: Any, *, scale: float = 1.0) -> None: ...

    found = [set(signatures.differing(loss, theirs)) for loss in (same, swapped, other_default, by_name)]
    assert found == [
        {"**kwargs"},
        {"**kwargs", "scale", "rows"},
        {"**kwargs", "scale"},
        {"**kwargs", "scale", "rows"},
    ]


def test_the_page_shows_the_list() -> None:
    text = signatures.LOSSES.read_text(encoding="utf-8")
    assert signatures.table() in text
    assert signatures.page(text) == text
