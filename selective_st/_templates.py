"""Prose and markup are templates of the package (`templates/`): one environment, in which HTML is escaped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import rich.markup
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from selective_st.errors import literal

_Function = TypeVar("_Function", bound=Callable[..., Any])

_ENVIRONMENT = Environment(
    loader=PackageLoader("selective_st", "templates"),
    autoescape=select_autoescape(["html"]),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


_ENVIRONMENT.policies["json.dumps_kwargs"] = {}  # in the order that they have
_ENVIRONMENT.filters |= {"in_markup": rich.markup.escape, "literal": literal, "repr": repr}


def in_templates(function: _Function) -> _Function:
    """A decorator for functions that templates may call, as filters too."""
    _ENVIRONMENT.globals[function.__name__] = _ENVIRONMENT.filters[function.__name__] = function
    if _ENVIRONMENT.cache is not None:
        _ENVIRONMENT.cache.clear()  # a template that has been used before keeps the functions that it knew
    return function


def render(name: str, **facts: Any) -> str:
    """A template of that name, filled in.

    Args:
        name: The name of its file.
        **facts: What it tells.

    Returns:
        The text.
    """
    return _ENVIRONMENT.get_template(name).render(facts)


def template(name: str) -> Any:
    """The macros of a template.

    Args:
        name: The name of its file.

    Returns:
        Their module.
    """
    return _ENVIRONMENT.get_template(name).module


def say(sentence: str, **facts: Any) -> str:
    """A sentence of `templates/sentences.txt`.

    Args:
        sentence: The name of its macro.
        **facts: What it tells.

    Returns:
        The sentence, on one line.
    """
    return " ".join(str(getattr(template("sentences.txt"), sentence)(**facts)).split())
