"""A focus as code: the links that make it matter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch

from selective_st.focus import PRESETS, Focus, parse_focus
from selective_st.link_words import preset_of
from selective_st.links import Link
from selective_st.registry.code import Expression, UnknownCodeError, in_brackets
from selective_st.registry.steps import literal


@dataclass(frozen=True)
class Chosen:
    """A focus, with the code of its links.

    Attributes:
        link: The link for single scores.
        value_link: That for lists and batches; None for the default of their losses.
        what: What matters, for people.
        weight_link: The link between whose values pairs of pairs are weighed.
        reads_scores: Whether the scores themselves are to be right.
    """

    link: str
    value_link: str | None
    what: str
    weight_link: str
    reads_scores: bool


def chosen_focus(focus: Any) -> Chosen:
    """The code of a focus, however it is given: by name, as a region, a link or its config."""
    if isinstance(focus, str):
        focus = parse_focus(focus)
    elif isinstance(focus, Link):
        focus = Focus("link", focus, (), (), (), "")
    elif not isinstance(focus, Focus):
        raise TypeError(
            f'focus must be {", ".join(map(literal, PRESETS))}, a region such as "0.7:0.9", or a link; got '
            f'{type(focus).__name__}. Write for example focus="high".'
        )
    code = f"link_for_thresholds({list(focus.thresholds)!r})" if focus.thresholds else link_code(focus.link)
    what, _ = preset_of(focus.link, 0.0, 1.0) or ("the scores at which your link is steep", "")
    weight = link_code(focus.weight_link) if focus.thresholds else code
    value_code = None
    if focus.value_link is not None:  # the link, raised by what it lacks where it is negative, and normalised
        lowest = torch.tensor(max(-1.0, focus.link.domain.low), dtype=torch.float64)
        bases = in_brackets(code), f"({code} + {-float(focus.link(lowest))!r} * ConstantLink())"
        ways = (f'{base}.normalized(0, 1, of="value")' for base in bases)
        value_code = next((way for way in ways if _same(way, focus.value_link)), None) or link_code(focus.value_link)
    return Chosen(code, value_code, what, weight, focus.reads_scores)


def link_code(link: Link) -> str:
    """The code of a link."""
    code, config = repr(link), link.get_config_dict()
    try:
        json.dumps(config)
    except TypeError:
        raise ValueError(
            f"focus must be a link that can be written as code, of numbers and links; {code} holds something else. "
            "Give it to a loss yourself: link=..."
        ) from None
    return code if _same(code, link) else f"link_from_config({config!r})"


def _same(code: str, link: Link) -> bool:
    """Whether code makes this link."""
    try:
        return bool(Expression(code).value({}) == link)
    except (UnknownCodeError, SyntaxError, TypeError, ValueError):
        return False
