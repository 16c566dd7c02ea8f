"""A loss with its parts: one tensor for whoever computes with it, a dict for whoever logs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

# What asks for the kind of a tensor, where that of the total is meant.
_OF_THE_TOTAL = (Tensor.__format__, Tensor.__deepcopy__, Tensor.__reduce_ex__)


class LossParts(Tensor):
    """A loss with its parts: a tensor, the total, that is also a dict of what it adds up.

    It is used as any loss: `backward()`, `item()`, comparisons, gradient scalers. The trainer of Sentence Transformers,
    and the losses that take another, ask whether a loss is a dict; to them it is one, so that the parts are logged.
    Sums with it, and multiples of it, keep the parts; whatever else is computed with it is an ordinary tensor.

    Args:
        parts: The parts by name, which add up to the total.
        total: The total, where the parts are only for the log: they then get no gradient, and what is missing in their
            sum is a further part, called "rest".
        **named: Further parts.

    Example:
        >>> parts = LossParts(ranking=torch.tensor(2.0), scores=torch.tensor(1.0))
        >>> float(parts), float(parts["ranking"])
        (3.0, 2.0)
        >>> (0.5 * parts + parts).total
        tensor(4.5000)
    """

    REST = "rest"
    _parts: dict[str, Tensor]

    def __new__(cls, parts: Any = (), /, *, total: Tensor | None = None, **named: Tensor) -> LossParts:
        """The total, with the parts."""
        values = dict(parts, **named)
        if total is None:
            return cls._made(sum_of(values), values)
        values = {name: value.detach() for name, value in values.items()}
        return cls._made(total, {**values, cls.REST: total - sum_of(values)})

    @classmethod
    def _made(cls, total: Tensor, values: dict[str, Tensor]) -> LossParts:
        made = total.as_subclass(cls)
        made._parts = values
        return made

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` goes by, beside the type."""
        return dict

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute with the total; what comes out is no longer a loss with parts."""
        if func in _OF_THE_TOTAL:
            args = (args[0].total, *args[1:])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @property
    def total(self) -> Tensor:
        """The loss, as an ordinary tensor."""
        return self.as_subclass(Tensor)

    def __getitem__(self, place: Any) -> Tensor:
        """A part by name, the total by "loss"; by another index what the total has there."""
        if not isinstance(place, str):
            return self.total[place]
        return self.total if place == "loss" else self._parts[place]

    def __iter__(self) -> Iterator[str]:
        """The names of the parts."""
        return iter(self._parts)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a part."""
        return name in self._parts

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self._parts)

    # From these a mapping has the others.
    keys, values, items, get = Mapping.keys, Mapping.values, Mapping.items, Mapping.get  # type: ignore[assignment]

    def __eq__(self, other: Any) -> Any:
        """As for any tensor; with a dict whether the parts are alike."""
        if isinstance(other, Mapping) and not isinstance(other, Tensor):
            return self._parts == dict(other)
        return self.total == other

    __hash__ = Tensor.__hash__

    def __mul__(self, factor: Any) -> LossParts:
        """Each part times a factor."""
        factor = sum_of(factor)
        return self._made(self.total * factor, {name: value * factor for name, value in self._parts.items()})

    def __truediv__(self, divisor: Any) -> LossParts:
        """Each part divided by a number."""
        divisor = sum_of(divisor)
        return self._made(self.total / divisor, {name: value / divisor for name, value in self._parts.items()})

    def __add__(self, other: Any) -> LossParts:
        """The sum by parts; what has no name is a part of its own, called "rest"."""
        if not isinstance(other, dict):
            if not isinstance(other, Tensor) and not other:
                return self
            other = {self.REST: torch.zeros_like(self.total) + other}
        sums = {name: self[name] + value if name in self else value for name, value in other.items()}
        return self._made(self.total + sum_of(other), {**self._parts, **sums})

    # Not in place: the parts would no longer add up to the total.
    __rmul__ = __imul__ = __mul__
    __radd__ = __iadd__ = __add__
    __itruediv__, __isub__ = __truediv__, Tensor.__sub__


def sum_of(value: Any) -> Any:
    """The sum of a loss that has parts; anything else as it is."""
    if isinstance(value, Tensor):
        return value.total if isinstance(value, LossParts) else value
    return torch.stack(list(value.values())).sum(0) if isinstance(value, Mapping) else value
