"""The settings of a loss: fields of frozen dataclasses, each with its check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from typing import Any

from selective_st._validation import finite_number, whole_number
from selective_st.functional import _checks as functional
from selective_st.links import Link
from selective_st.losses._common import said

# Checks a setting: of the loss, the setting's name, and its value, which it gives back as it is to be kept.
Check = Callable[[str, str, Any], Any]


def setting(check: Check, default: Any = MISSING) -> Any:
    """A field that is a setting, with its check; None is allowed where it is the default."""
    return field(default=default, metadata={"check": check})


def found(default: Any = MISSING) -> Any:
    """A field that is no setting, but found from them."""
    return field(init=False, compare=False, repr=False, default=default)


def a_link(owner: str, name: str, value: Any) -> Link:
    """A link, also within."""
    link = functional.check_link(owner, value, name)
    link.validate()
    return link


def _no_link(owner: str, name: str, value: Any) -> None:
    if isinstance(value, Link):
        raise TypeError(said("link_for_number", owner, name=name))


def _whole(owner: str, name: str, value: Any) -> int:
    _no_link(owner, name, value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(said("whole_number", owner, name=name, value=repr(value)))
    return value


def _number(owner: str, name: str, value: Any, **bounds: bool) -> float:
    _no_link(owner, name, value)
    return finite_number(owner, name, value, **bounds)


link = partial(setting, a_link)
positive = partial(setting, partial(_number, positive=True))
nonnegative = partial(setting, partial(_number, nonnegative=True))
whole = partial(setting, _whole)
at_least_1 = partial(setting, partial(whole_number, least=1))
smoothing = partial(setting, lambda owner, _, value: functional.check_smoothing(owner, value))


def one_of(*allowed: Any, default: Any = MISSING) -> Any:
    """A setting that is one of some values."""
    return setting(partial(functional.one_of, allowed=(None, *allowed) if default is None else allowed), default)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a loss, whose fields are settings of the loss.

    Attributes:
        owner: The loss, for messages.
    """

    owner: str = field(compare=False)

    def __post_init__(self) -> None:
        for one in fields(self):
            if "check" in one.metadata:
                value = getattr(self, one.name)
                if value is not None or one.default is not None:
                    self._settle(**{one.name: one.metadata["check"](self.owner, one.name, value)})

    def _settle(self, **values: Any) -> None:
        """Keep what has been made of the settings."""
        self.__dict__.update(values)

    def said(self, what: str, /, **facts: Any) -> str:
        """A sentence of `templates/losses.txt`, of the loss."""
        return said(what, self.owner, **facts)
