"""Threshold consistency: does one threshold serve all parts of the data, or all forms of a model?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from selective_st._templates import in_templates, say
from selective_st._validation import finite_number, instance_of, same_length
from selective_st.evaluation._checks import Floats, checked_pair
from selective_st.evaluation.claims import FEWEST
from selective_st.evaluation.metrics import f1
from selective_st.evaluation.thresholds import ScoreThreshold, choose_threshold

_MOST_VALUES = 12  # of a column, that are parts of their own
_RANGES = 3  # of a column of many numbers
_NOTABLE = 0.01  # of F1


@dataclass(frozen=True)
class Part:
    """A part of the data, or a form of a model.

    Attributes:
        name: Its name.
        pairs: How many pairs it has.
        positives: How many of them are to be found.
        threshold: The threshold that is best for it alone.
        own: F1 with a threshold of its own, chosen on one half of its pairs and measured on the other, both ways.
        common: F1 with the threshold of all, measured on the same pairs.
    """

    name: str
    pairs: int
    positives: int
    threshold: float
    own: float
    common: float

    @property
    def lost(self) -> float:
        """What is lost by the threshold of all; negative where a threshold of its own, from fewer pairs, is worse."""
        return self.own - self.common


@in_templates
@dataclass(frozen=True)
class ThresholdConsistency:
    """How far the best thresholds of parts lie apart, and what is lost by using one.

    Attributes:
        gold: Pairs with a gold score from here on are to be found.
        threshold: The one for all.
        parts: The parts with enough pairs of both kinds, the one that loses most first.
        too_few: The names of the others.
    """

    gold: float
    threshold: float
    parts: tuple[Part, ...]
    too_few: tuple[str, ...] = ()

    @property
    def apart(self) -> float:
        """How far the highest of the best thresholds lies from the lowest."""
        cuts = [part.threshold for part in self.parts]
        return max(cuts) - min(cuts)

    @property
    def serves_all(self) -> bool:
        """Whether no part loses more than 0.01 of F1 by the one threshold."""
        return all(part.lost <= _NOTABLE for part in self.parts)

    def sentence(self) -> str:
        """What follows, in words."""
        return say("consistency", found=self)

    def as_dict(self) -> dict[str, Any]:
        """The figures and the words, for JSON."""
        parts = [{**asdict(part), "lost": part.lost} for part in self.parts]
        return {**asdict(self), "parts": parts, "apart": self.apart, "sentence": self.sentence()}


def parts_by(gold: Any, predicted: Any, column: Sequence[Any]) -> dict[str, tuple[Floats, Floats]]:
    """Part pairs by the values of a column: each value, or thirds of their order where there are many numbers.

    Args:
        gold: Gold scores.
        predicted: Predicted scores.
        column: A value for each pair, such as its source, its language or its length.

    Returns:
        The gold and the predicted scores of each part.

    Raises:
        ValueError: If lists differ in length, or a column of other values has more than 12 different ones.

    Example:
        >>> list(parts_by([0, 1, 1], [0.1, 0.9, 0.8], ["news", "forum", "news"]))
        ['news', 'forum']
    """
    scores = checked_pair(gold, predicted)
    values = list(column)
    same_length("parts_by", "Give the column's value of each pair.", gold=scores[0], column=values)
    different = dict.fromkeys(values)
    if len(different) <= _MOST_VALUES:
        names = np.array([str(value) for value in values], dtype=object)
    elif all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in different):
        names = _thirds(np.asarray(values, dtype=np.float64))
    else:
        raise ValueError(
            f"parts_by: the column has {len(different)} different values, such as {next(iter(different))!r:.40}; at "
            f"most {_MOST_VALUES} can be parts. Choose a column such as source or language, or one of numbers."
        )
    return {name: (scores[0][names == name], scores[1][names == name]) for name in dict.fromkeys(names)}


def _thirds(values: Floats) -> npt.NDArray[np.object_]:
    ends = np.quantile(values, np.arange(1, _RANGES) / _RANGES)
    places = np.searchsorted(ends, values)
    found = np.empty(len(values), dtype=object)
    for place in np.unique(places):
        these = values[places == place]
        found[places == place] = f"{these.min():g} to {these.max():g}"
    return found


def threshold_consistency(
    parts: Mapping[str, tuple[Any, Any]], gold_at_least: float, threshold: float | None = None, *, seed: int = 0
) -> ThresholdConsistency:
    """Tell whether one threshold serves all parts of the data (`parts_by`), or all forms of a model.

    Forms of a model are a teacher and its student, or a model before and after quantisation or truncation: give each
    the same gold scores, and its own predicted ones. A threshold fits the pairs that it was chosen on too well; so it
    is chosen on one half of them and measured on the other, both ways, that of a part and that of all alike.

    Args:
        parts: The gold and the predicted scores of each part, by its name.
        gold_at_least: Pairs with a gold score from here on are to be found.
        threshold: The one threshold for all, such as that saved with the model. Default: the best for all parts
            together.
        seed: Of the halves.

    Returns:
        The consistency; `sentence()` says it.

    Raises:
        TypeError: If `parts` is no mapping.
        ValueError: If fewer than two parts have 10 pairs to be found and 10 others, or scores are not finite.

    Example:
        >>> gold = np.tile([0.0, 1.0], 200)
        >>> scores = 0.6 * gold + 0.1 * np.random.default_rng(0).normal(size=400)
        >>> found = threshold_consistency({"float32": (gold, scores), "int8": (gold, scores + 0.3)}, 1.0)
        >>> round(found.apart, 1), found.serves_all
        (0.3, False)
    """
    owner, mend = "threshold_consistency", 'Give the scores of parts by name: {"news": (gold, predicted), ...}.'
    instance_of(owner, "parts", parts, Mapping, mend)
    gold_at_least = finite_number(owner, "gold_at_least", gold_at_least)
    scores = {name: checked_pair(*of) for name, of in parts.items()}
    sought = {name: ScoreThreshold(0.0, gold_at_least).is_sought(gold) for name, (gold, _) in scores.items()}
    enough = [name for name, of in sought.items() if min(of.sum(), (~of).sum()) >= FEWEST]
    if len(enough) < 2:
        raise ValueError(
            f"{owner}: {'one part has' if enough else 'no part has'} {FEWEST} pairs with gold >= {gold_at_least:g} and "
            f"{FEWEST} others, of {len(parts)}; two must have. Give more pairs, or fewer parts."
        )
    halves = {name: _halves(sought[name], seed) for name in enough}

    def best(names: Sequence[str], half: int | None) -> float:
        rows = {name: slice(None) if half is None else halves[name] == half for name in names}
        gold, predicted = (np.concatenate([scores[name][side][rows[name]] for name in names]) for side in (0, 1))
        return choose_threshold(gold, predicted, gold_at_least).value  # type: ignore[arg-type]

    def measured(name: str) -> Part:
        found = []
        for half in (0, 1):
            of_all = best(enough, half) if threshold is None else threshold
            rest = [side[halves[name] != half] for side in scores[name]]
            cuts = (best([name], half), of_all)
            found.append([f1(ScoreThreshold(cut, gold_at_least)).compute(*rest) for cut in cuts])
        own, common = np.mean(found, axis=0).tolist()
        return Part(name, len(sought[name]), int(sought[name].sum()), best([name], None), own, common)

    some = sorted(map(measured, enough), key=lambda part: -part.lost)
    cut = best(enough, None) if threshold is None else threshold
    return ThresholdConsistency(gold_at_least, cut, tuple(some), tuple(name for name in parts if name not in enough))


def _halves(sought: Any, seed: int) -> npt.NDArray[np.int64]:
    """0 or 1 for each pair, as many of each among those sought and among the others."""
    found = np.empty(len(sought), dtype=np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(sought == kind)
        found[np.random.default_rng(seed).permutation(rows)] = np.arange(len(rows)) % 2
    return found
