"""The page in which one sees what a link does, and makes one: `selective-st plot --interactive`."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from selective_st._templates import render
from selective_st._validation import finite_number, instance_of, interval_of, list_of
from selective_st.focus import PRESETS, Focus
from selective_st.links import Link, link_for_thresholds, score_region

_MODES = {"thresholds": "Thresholds", "preset": "Preset", "region": "Region", "drawn": "Draw", "json": "JSON"}


def link_designer(
    focus: Focus | None = None, targets: Sequence[float] = (0.2, 0.9), label_range: tuple[float, float] = (0.0, 1.0)
) -> str:
    """A page that shows a link as one changes it: its sensitivity, its loss, and what it makes of scores of one's own.

    It is one file, which loads nothing and sends nothing; the numbers in it are those of this library.

    Args:
        focus: What it begins with. Default: a threshold at 0.8.
        targets: The scores from 0 to 1 around which it shows the loss at first.
        label_range: The labels that stand for the scores 0 and 1, in the files that will be loaded there.

    Returns:
        The page, as HTML.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `label_range` is empty or a target no finite number.

    Example:
        >>> from selective_st.focus import parse_focus
        >>> page = link_designer(parse_focus("0.6:0.8"))
        >>> page[:15]
        '<!doctype html>'
    """
    owner = "link_designer"
    ends = interval_of(owner, "label_range", label_range)
    around = list_of(owner, "targets", targets, "scores", "[0.2, 0.9]")
    begin = {
        "targets": [finite_number(owner, f"targets[{place}]", target) for place, target in enumerate(around)],
        "labels": [] if ends == (0, 1) else ends,
    }
    if focus is not None:
        begin |= _beginning(instance_of(owner, "focus", focus, Focus, 'Write parse_focus("high").'))
    presets: list[Callable[..., Link]] = [*PRESETS.values(), score_region, link_for_thresholds]
    facts = {"presets": {each.__name__: _facts(each) for each in presets}, "initial": begin}
    return render("link_designer.html", modes=_MODES, facts=facts)


def _beginning(focus: Focus) -> dict[str, Any]:
    """A focus as the page has it."""
    if focus.thresholds:
        return {"mode": "thresholds", "thresholds": list(focus.thresholds)}
    if focus.name in PRESETS:
        return {"mode": "preset", "preset": PRESETS[focus.name].__name__}
    if focus.name.startswith("{"):
        return {"mode": "json", "json": json.dumps(focus.link.get_config_dict(), indent=2)}
    ((low, high),) = focus.regions
    return {"mode": "region", "from": low, "to": high}


def _facts(preset: Callable[..., Link]) -> dict[str, Any]:
    """What a preset's signature and docstring say of it, without their marks of code."""
    parameters = inspect.signature(preset).parameters.values()
    words = str(inspect.getdoc(preset)).replace("`", "")
    strength = re.search(r"^ +strength: (.+(?:\n {8}.+)*)", words, re.MULTILINE)
    return {
        "defaults": {each.name: each.default for each in parameters if each.default is not each.empty},
        "summary": words.splitlines()[0],
        "strength": " ".join(strength[1].split()) if strength else "",
    }
