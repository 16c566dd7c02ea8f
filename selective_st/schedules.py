"""Weights that change while a model is trained, for `selective_st.losses.WeightedLoss`.

A schedule gives the weight at a point of the training:

>>> weight = linear_schedule(1.0, 0.0, fraction=0.5)
>>> print(weight)
from 1 to 0, linearly over 0.5 of the training
>>> [weight(TrainingProgress(fraction=done)) for done in (0.0, 0.25, 0.5, 1.0)]
[1.0, 0.5, 0.0, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from selective_st._validation import finite_number, one_of

__all__ = ["TrainingProgress", "WeightSchedule", "cosine_schedule", "linear_schedule"]


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training has come.

    Attributes:
        steps: Steps that the optimizer has made.
        epochs: Passes over the data, with the part of the current one.
        fraction: The part of the whole training, from 0 to 1.
    """

    steps: float = 0.0
    epochs: float = 0.0
    fraction: float = 0.0


# How far the weight has come when a share t of its time is over.
_SHAPES: dict[str, tuple[Callable[[float], float], str]] = {
    "linear": (lambda t: t, "linearly"),
    "cosine": (lambda t: (1 - math.cos(math.pi * t)) / 2, "along a cosine"),
}
_UNITS = {"steps": "{:g} steps", "epochs": "{:g} epochs", "fraction": "{:g} of the training"}


@dataclass(frozen=True)
class WeightSchedule:
    """A weight that goes from one value to another, and stays there. `linear_schedule` and `cosine_schedule` make them.

    Attributes:
        shape: Its way: `"linear"` or `"cosine"`.
        begin: Its first value.
        end: Its last.
        length: How long it takes.
        unit: In what that is counted: `"steps"` of the optimizer, `"epochs"`, or `"fraction"` of the training.

    Raises:
        TypeError: If a number is none.
        ValueError: If an argument is out of range.
    """

    shape: str
    begin: float
    end: float
    length: float
    unit: str

    def __post_init__(self) -> None:
        one_of("WeightSchedule", "shape", self.shape, [*_SHAPES])
        one_of("WeightSchedule", "unit", self.unit, [*_UNITS])
        number, largest = partial(finite_number, f"{self.shape}_schedule"), 1.0 if self.unit == "fraction" else math.inf
        for name in ("begin", "end"):
            object.__setattr__(self, name, number(name, getattr(self, name), nonnegative=True))
        object.__setattr__(self, "length", number(self.unit, self.length, positive=True, largest=largest))

    def __call__(self, progress: TrainingProgress) -> float:
        """The weight at a point of the training.

        Args:
            progress: How far the training has come.

        Returns:
            The weight.
        """
        share = min(1.0, getattr(progress, self.unit) / self.length)
        done = _SHAPES[self.shape][0](share)
        return (1 - done) * self.begin + done * self.end

    def __str__(self) -> str:
        """From what to what, and how."""
        over = "the training" if (self.unit, self.length) == ("fraction", 1) else _UNITS[self.unit].format(self.length)
        return f"from {self.begin:g} to {self.end:g}, {_SHAPES[self.shape][1]} over {over}"

    def get_config_dict(self) -> dict[str, Any]:
        """The schedule's settings, JSON-serialisable."""
        return {"schedule": self.shape, "begin": self.begin, "end": self.end, self.unit: self.length}


def linear_schedule(
    begin: float, end: float, *, steps: float | None = None, epochs: float | None = None, fraction: float | None = None
) -> WeightSchedule:
    """A weight that goes evenly from `begin` to `end`, and stays there.

    Args:
        begin: The first weight, >= 0.
        end: The last weight, >= 0.
        steps: Over how many steps of the optimizer. Give one of `steps`, `epochs` and `fraction`.
        epochs: Over how many epochs; 0.5 is half of one.
        fraction: Over which part of the training. Default, where none of the three is given: 1, all of it.

    Returns:
        The schedule, for the `weights` of `WeightedLoss`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of range, or more than one length is given.

    Example:
        >>> linear_schedule(0, 1, steps=100)(TrainingProgress(steps=25))
        0.25
    """
    return _schedule("linear", begin, end, steps=steps, epochs=epochs, fraction=fraction)


def cosine_schedule(
    begin: float, end: float, *, steps: float | None = None, epochs: float | None = None, fraction: float | None = None
) -> WeightSchedule:
    """A weight that goes from `begin` to `end` along half a cosine, slowly at both ends, and stays there.

    Args:
        begin: The first weight, >= 0.
        end: The last weight, >= 0.
        steps: Over how many steps of the optimizer. Give one of `steps`, `epochs` and `fraction`.
        epochs: Over how many epochs; 0.5 is half of one.
        fraction: Over which part of the training. Default, where none of the three is given: 1, all of it.

    Returns:
        The schedule, for the `weights` of `WeightedLoss`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If a number is out of range, or more than one length is given.

    Example:
        >>> cosine_schedule(0, 1, epochs=2)(TrainingProgress(epochs=0.5))
        0.1464466094067262
    """
    return _schedule("cosine", begin, end, steps=steps, epochs=epochs, fraction=fraction)


def _schedule(shape: str, begin: float, end: float, **lengths: float | None) -> WeightSchedule:
    given = {unit: length for unit, length in lengths.items() if length is not None} or {"fraction": 1.0}
    if len(given) > 1:
        got = ", ".join(f"{unit}={length!r}" for unit, length in given.items())
        raise ValueError(f"{shape}_schedule: give one of steps, epochs and fraction, got {got}.")
    ((unit, length),) = given.items()
    return WeightSchedule(shape, begin, end, length, unit)
