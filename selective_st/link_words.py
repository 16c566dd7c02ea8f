"""What a loss with a link cares about, in words.

>>> from selective_st.links import high_scores
>>> print(describe_link(high_scores()))
The loss cares most about high scores (`high_scores()`): errors at scores near 1 cost 148 times as much as near 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from selective_st._templates import in_templates, say
from selective_st._validation import instance_of, interval_of, one_of
from selective_st.links import LinearOutsideLink, Link, extreme_scores, high_scores, low_scores, middle_scores

Weighing = Literal["sensitivity", "value"]

_GRID = 401
# Of the largest weight: from here on a score belongs to the region that matters; and this near, weights are alike.
_REGION_SHARE = 0.5
_ALIKE = 0.02
_LARGEST_RATIO = 1000.0
_HIGH = "high scores"
_WHOLE = re.compile(r"(?<=\d)\.0\b")  # what a whole number has as a decimal
_PRESETS = {
    "high_scores": _HIGH,
    "low_scores": "low scores",
    "extreme_scores": "scores at both ends",
    "middle_scores": "scores in the middle",
    "score_region": "scores from {} to {}",
    "link_for_thresholds": "decisions at {}",
}


def describe_link(link: Link, score_range: tuple[float, float] = (0.0, 1.0), of: Weighing = "sensitivity") -> str:
    """What a loss with this link cares about, in one sentence.

    Args:
        link: The link. A preset is called by its name, and a multiple of one by the preset it is shaped as.
        score_range: The scores to look at.
        of: What weighs the scores: the link's `"sensitivity"`, as in the loss that compares each score with its label
            (`SelectivePointwiseLoss`), or the size of its `"value"`, as in the losses that rank.

    Returns:
        The sentence.

    Raises:
        TypeError: If an end of the range is not a number.
        ValueError: If the range is empty or outside the link's domain, or `of` is unknown.

    Example:
        >>> from selective_st.links import IdentityLink, SigmoidLink
        >>> describe_link(IdentityLink())
        'The loss cares about every score alike: an error costs the same wherever the score lies.'
        >>> print(describe_link(0.3 * IdentityLink() + SigmoidLink(scale=20, shift=0.8)))
        The loss cares most about scores from 0.71 to 0.89: errors at scores near 0.8 cost 18 times as much as near 0.2.
    """
    one_of("describe_link", "of", of, ("sensitivity", "value"))
    words, weights = _on_grid("describe_link", link, score_range, of)
    low, high = words.low, words.high
    largest, smallest = float(weights.max()), float(weights.min())
    if largest == 0:
        return say("link_cares_not", low=low, high=high)
    if smallest >= (1 - _ALIKE) * largest:
        return say("link_cares_alike", of=of)
    regions = _runs(weights >= _REGION_SHARE * largest)
    peaks = [words.point(run) for run in _runs(weights >= (1 - _ALIKE) * largest)]
    what, code = preset_of(link, low, high) or ("", "")
    if of == "value" and what != _HIGH:
        what = ""  # a preset is named for its sensitivity; its value may be large elsewhere
    ratio = largest / smallest if smallest > 0 else math.inf
    return say(
        "link_cares",
        what=what,
        code=code,
        regions=[words.interval(run) for run in regions],
        of=of,
        peaks=peaks,
        least=words.point(max(_runs(weights <= (1 + _ALIKE) * smallest + 1e-6 * largest), key=len)),
        times=f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}" if ratio <= _LARGEST_RATIO else "more than 1000",
    )


def describe_thresholds(link: Link, score_range: tuple[float, float] = (0.0, 1.0)) -> str:
    """Which decisions a link stands for: where the heavier half of the thresholds lies that it is sensitive to.

    Args:
        link: The link; its sensitivity is the density of thresholds.
        score_range: The scores to look at.

    Returns:
        The end of a sentence.

    Raises:
        ValueError: If the range is empty.

    Example:
        >>> from selective_st.links import high_scores, link_for_thresholds
        >>> describe_thresholds(high_scores())
        '50 % of its weight is on thresholds above 0.86'
        >>> describe_thresholds(link_for_thresholds([0.4, 0.85]))
        '51 % of its weight is on thresholds from 0.34 to 0.46 and from 0.79 to 0.91'
    """
    words, weights = _on_grid("describe_thresholds", link, score_range)
    if weights.max() - weights.min() <= _ALIKE * weights.max():
        return "all thresholds weigh alike"
    highest_first = weights.sort(descending=True).values
    least = highest_first[int((highest_first.cumsum(0) < weights.sum() / 2).sum())]
    counts = weights >= least * (1 - 1e-9)
    regions = in_words([words.interval(run) for run in _runs(counts)])
    return f"{100 * float(weights[counts].sum() / weights.sum()):.0f} % of its weight is on thresholds {regions}"


def _on_grid(owner: str, link: Any, score_range: Any, of: Weighing = "sensitivity") -> tuple[_Words, Tensor]:
    """The scores of a range where the link is defined, in words; and how much each of them weighs."""
    instance_of(owner, "link", link, Link, f"Write {owner}(high_scores()).")
    low, high = interval_of(owner, "score_range", score_range)
    low, high = max(low, link.domain.low), min(high, link.domain.high)
    if not low < high:
        raise ValueError(f"{owner}: score_range {score_range} lies outside the link's domain {link.domain}.")
    return _Words(low, high), weighed(link, (low, high), of)[1]


def weighed(link: Link, score_range: tuple[float, float], of: Weighing = "sensitivity") -> tuple[Tensor, Tensor]:
    """The scores of a range that a link takes, from its low end to its high end, and how much each of them weighs."""
    low, high = score_range
    scores = torch.linspace(max(low, link.domain.low), min(high, link.domain.high), _GRID, dtype=torch.float64)
    with torch.no_grad():
        weights = (link.sensitivity(scores) if of == "sensitivity" else link(scores)).abs()
    return scores, weights.nan_to_num(nan=0.0)


class _Words(NamedTuple):
    """Scores of a range, cut into `_GRID` places, in words."""

    low: float
    high: float

    def _number(self, place: float) -> str:
        width = self.high - self.low
        digits = max(0, 2 - math.floor(math.log10(width)))
        return f"{round(self.low + place * (width / (_GRID - 1)), digits) + 0.0:.12g}"

    def point(self, places: Sequence[int]) -> str:
        """The middle of neighbouring places; the end of the range, if they are few that touch it."""
        first, last = places[0], places[-1]
        if last - first < _GRID // 20 and (first == 0 or last == _GRID - 1):
            return self._number(0 if first == 0 else _GRID - 1)
        return self._number((first + last) / 2)

    def interval(self, places: Sequence[int]) -> str:
        """From the first place to the last."""
        first, last = places[0], places[-1]
        if first == 0 and last < _GRID - 1:
            return f"below {self._number(last)}"
        if last == _GRID - 1 and first > 0:
            return f"above {self._number(first)}"
        return f"from {self._number(first)} to {self._number(last)}"


def _runs(mask: Tensor) -> list[list[int]]:
    """The places where the mask is true, neighbours together."""
    places = enumerate(mask.nonzero().flatten().tolist())
    return [[place for _, place in run] for _, run in groupby(places, lambda numbered: numbered[1] - numbered[0])]


@in_templates
def in_words(texts: Sequence[str]) -> str:
    """Texts as one enumerates them."""
    return " and ".join([", ".join(texts[:-1]), *texts[-1:]] if len(texts) > 1 else texts)


def preset_of(link: Link, low: float, high: float) -> tuple[str, str] | None:
    """What the preset that made a link cares about, and its code; None if none did."""
    inner = link
    if isinstance(link, LinearOutsideLink) and not any(
        edge is not None and low < edge < high for edge in (link.low, link.high)
    ):
        inner = link.link
    # A link of a config has lost its name; it is found again where it is a preset as it comes.
    usual = (high_scores(), low_scores(), extreme_scores(), middle_scores())
    inner = next((preset for preset in usual if preset == inner), inner)
    preset = inner.__dict__.get("_preset")
    if preset is None:
        return None
    name, code, given = preset
    told = [in_words([_plain(number) for number in (of if isinstance(of, Iterable) else [of])]) for of in given]
    shaped = "" if inner == link and repr(inner) == code else "shaped as "
    return _PRESETS[name].format(*told), f"{shaped}`{_WHOLE.sub('', code)}`"


def _plain(number: Any) -> str:
    return _WHOLE.sub("", repr(float(number)))
