"""The seed of all random inputs, in one place: `INPUT_SEED=2 pytest ...` runs the same tests on other numbers."""

from __future__ import annotations

import os

import torch

SEED = int(os.environ.get("INPUT_SEED", "0"))
_APART = 1_000_003  # further than any two numbers that tests ask for


def seed_of(number: int = 0) -> int:
    """A seed that differs by the number and by `INPUT_SEED`; with that at 0, its default, the number itself."""
    return number + _APART * SEED


def generator(number: int = 0) -> torch.Generator:
    """A generator of its own, in a state of the given number."""
    return torch.Generator().manual_seed(seed_of(number))
