"""A loss's settings: what it was made of, checked anew whenever one of them is assigned."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from typing import Any

from torch import nn

_IN_THE_MAKING: dict[str, Any] = {}
_OF_A_MODULE = {"_settings", *vars(nn.Module())}


class Checked(nn.Module):
    """A loss whose settings, the arguments of its constructor, can be assigned: then all are checked together anew.

    So a default follows what it depends on, and where a check fails, the loss stays as it was.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _keeping_settings(cls.__init__)  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        settings = self.__dict__.get("_settings") or _IN_THE_MAKING
        if name not in settings:
            super().__setattr__(name, value)
            return
        if name == "model" or (value is not None and value is self._modules.get(name)):
            super().__setattr__(name, value)  # as a trainer does to put a wrapped model in the model's place
        else:
            made = type(self).__new__(type(self))
            made.__dict__["_settings"] = _IN_THE_MAKING
            made.__init__(**{**settings, name: value})  # type: ignore[misc]
            # What has been said once need not be said again.
            found = {key: new for key, new in vars(made).items() if key not in _OF_A_MODULE and "_warned" not in key}
            self.__dict__.update(found)
            self._modules.update(made._modules)
        self.__dict__["_settings"] = {**settings, name: value}


def _keeping_settings(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def keep(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_settings" in self.__dict__:  # called by the constructor of a subclass
            init(self, *args, **kwargs)
            return
        signature = inspect.signature(init)
        for name, value in kwargs.items():
            if name not in signature.parameters:
                raise TypeError(_unknown(type(self).__name__, name, value, list(signature.parameters)[1:]))
        self.__dict__["_settings"] = _IN_THE_MAKING
        init(self, *args, **kwargs)
        settings = signature.bind(self, *args, **kwargs)
        settings.apply_defaults()
        self.__dict__["_settings"] = dict(list(settings.arguments.items())[1:])

    return keep


# Arguments of the neighbouring losses of Sentence Transformers: which of ours is in their place, and how.
_INVERSE = "is 1 / {name}: write {ours}={value}."
_OF_NEIGHBOURS: dict[str, dict[str, str]] = {
    "loss_fct": {"link": "says what an error costs: link=IdentityLink() from selective_st.links is half its square."},
    "temperature": {"scale": _INVERSE},
    "scale": {"temperature": _INVERSE},
    "sigma": {"temperature": _INVERSE},
    "distance_metric": {
        "similarity_fct": "is in its place, greater for what is nearer: write similarity_fct=pairwise_cos_sim, from "
        "sentence_transformers.util."
    },
    "margin": {"temperature": "is in its place: small, it asks for a small margin, without ever being content."},
}
_OF_NEIGHBOURS["triplet_margin"] = _OF_NEIGHBOURS["margin"]


def _unknown(owner: str, name: str, value: object, known: list[str]) -> str:
    """That a loss has no such argument, and what it has instead."""
    number = f"{1 / value:g}" if isinstance(value, (int, float)) and value > 0 else f"1 / {name}"
    advice = [
        f"{owner}'s {ours} {text.format(name=name, ours=ours, value=number)}"
        for ours, text in _OF_NEIGHBOURS.get(name, {}).items()
        if ours in known
    ] or [f"Write {close}=..., or leave it out." for close in get_close_matches(name, known, 1)]
    return (
        f"{owner}: got an unknown argument {name}={value!r:.60}. {' '.join(advice) or 'Leave it out.'} Its arguments "
        f"are {', '.join(known)}."
    )
