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
    if focus.value_link is None:
        return Chosen(code, None, what, weight, focus.reads_scores)
    raised = focus.value_link  # the link, raised by a constant if needed, and normalised
    value_code = f'{in_brackets(code)}.normalized(0, 1, of="value")'
    if not _same(value_code, raised):
        value_code = f'({code} + {_constant_of(focus)!r} * ConstantLink()).normalized(0, 1, of="value")'
    value_code = value_code if _same(value_code, raised) else link_code(raised)
    return Chosen(code, value_code, what, weight, focus.reads_scores)


def _constant_of(focus: Focus) -> float:
    """By how much `Focus.value_link` raises a link that is negative somewhere."""
    return -float(focus.link(torch.tensor(max(-1.0, focus.link.domain.low), dtype=torch.float64)))


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
