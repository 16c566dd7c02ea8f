"""Links as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from selective_st._caller import caller
from selective_st.links.base import Link, _parameters_of

_LINKS: dict[str, type[Link]] = {}
_LinkType = TypeVar("_LinkType", bound=type[Link])
_DEEPEST_NESTING = 50  # links within links
_LARGEST_WEIGHT = 1e300


def register_link(link_class: _LinkType) -> _LinkType:
    """Make a link class of your own known to `link_from_config`, by its class name; use it as a decorator.

    Its constructor's parameters must be kept as attributes of the same names (a dataclass does so by itself).

    Args:
        link_class: A subclass of `Link`.

    Returns:
        The class, unchanged.

    Raises:
        TypeError: If it is not a subclass of `Link`.
        ValueError: If another class is registered under that name.

    Example:
        >>> from dataclasses import dataclass
        >>> from selective_st.links import Link, link_from_config, register_link
        >>> @register_link
        ... @dataclass(frozen=True, eq=False, repr=False)
        ... class SoftsignLink(Link):
        ...     scale: float = 1.0
        ...     def h(self, z):
        ...         return self.scale * z / (1 + (self.scale * z).abs())
        >>> link_from_config({"type": "SoftsignLink", "scale": 3.0})
        SoftsignLink(scale=3.0)
    """
    if not (isinstance(link_class, type) and issubclass(link_class, Link)):
        raise TypeError(f"register_link: link_class must be a subclass of Link, got {link_class!r}.")
    known = _LINKS.get(link_class.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (link_class.__module__, link_class.__qualname__):
        raise ValueError(
            f"register_link: the name {link_class.__name__!r} is taken by {known.__module__}.{known.__qualname__}; "
            "rename your class."
        )
    _LINKS[link_class.__name__] = link_class
    return link_class


def registered_links() -> dict[str, type[Link]]:
    """The link classes that `link_from_config` knows, by name."""
    return dict(_LINKS)


def link_from_config(config: Mapping[str, Any]) -> Link:
    """Rebuild a link from `Link.get_config_dict()`, exactly.

    A config is data: its type must be registered and its fields must be the type's parameters. Nothing in it is ever
    evaluated, imported or unpickled.

    Args:
        config: For example `{"type": "SigmoidLink", "scale": 20.0, "shift": 0.8}`.

    Returns:
        The link.

    Raises:
        TypeError: If the config is not a mapping, or a field has a value of the wrong type.
        ValueError: If the type is unknown, a field is missing or unknown, or a value is not allowed.

    Example:
        >>> from selective_st.links import link_from_config
        >>> link_from_config({"type": "SigmoidLink", "scale": 20, "shift": 0.8})
        SigmoidLink(scale=20.0, shift=0.8)
    """
    if not isinstance(config, Mapping):
        raise TypeError(
            f"{caller('link_from_config')}: config must be a dict such as "
            f"{{'type': 'SigmoidLink', 'scale': 20.0, 'shift': 0.8}}, got {type(config).__name__}."
        )
    return cast(Link, _rebuilt(config, depth=0))


def _rebuilt(value: Any, depth: int) -> Any:
    owner = caller("link_from_config")
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, (list, tuple)) for item in value):
            raise TypeError(f"{owner}: a list must hold numbers or links, got a list in it: {value!r:.80}.")
        return tuple(_rebuilt(item, depth) for item in value)
    if not isinstance(value, Mapping):
        return value
    if depth > _DEEPEST_NESTING:
        raise ValueError(f"{owner}: config is nested more than {_DEEPEST_NESTING} links deep.")
    fields = dict(value)
    link_type = fields.pop("type", None)
    link_class = _LINKS.get(link_type) if isinstance(link_type, str) else None
    if link_class is None:
        raise ValueError(
            f"{owner}: unknown link type {link_type!r}; known types: {', '.join(sorted(_LINKS))}. "
            "A link class of your own is made known with @register_link."
        )
    expected = _parameters_of(link_class)
    wrong = {
        "lacks": [name for name in expected if name not in fields],
        "has unknown": [name for name in fields if name not in expected],
    }
    problems = [f"{words} {', '.join(map(repr, names))}" for words, names in wrong.items() if names]
    if problems:
        raise ValueError(
            f"{owner}: the config of a {link_type} {' and '.join(problems)}; its fields are: "
            f"{', '.join(['type', *expected])}."
        )
    link = link_class(**{name: _rebuilt(item, depth + 1) for name, item in fields.items()})
    link.validate()
    return link
