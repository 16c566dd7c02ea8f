"""Who is to be named in a message: what the user called, where that calls functions of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

_Method = TypeVar("_Method", bound=Callable[..., Any])
_CALLER: ContextVar[tuple[str, Mapping[str, str]] | None] = ContextVar("caller", default=None)


def caller(name: str) -> str:
    """What the user called: a function, or what has called it for the user."""
    called = _CALLER.get()
    return name if called is None else called[0]


def wording(name: str) -> str:
    """How the user says what a function says by this name."""
    called = _CALLER.get()
    return name if called is None else called[1].get(name, name)


def named(name: str | None = None, **words: str) -> Callable[[_Method], _Method]:
    """A decorator for what calls functions of ours on the user's behalf, so that their messages name it.

    Args:
        name: What the user called; None for the `owner` of the method's object, or its class.
        **words: How the user says what those functions say.

    Returns:
        The decorator.
    """

    def decorate(method: _Method) -> _Method:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            if _CALLER.get() is not None:  # what the user called comes first
                return method(*args, **kwargs)
            token = _CALLER.set((getattr(args[0], "owner", type(args[0]).__name__) if name is None else name, words))
            try:
                return method(*args, **kwargs)
            finally:
                _CALLER.reset(token)

        return call  # type: ignore[return-value]

    return decorate
