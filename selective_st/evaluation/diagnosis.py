"""What limits the decisions at thresholds: the model or its labels; and whether one threshold serves all parts.

Also how much one set of pairs holds of another, as what was seen in training, or chose a threshold, proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from selective_st._templates import in_templates, say
from selective_st._validation import same_length
from selective_st.evaluation._checks import Floats, checked_pair, checked_thresholds
from selective_st.evaluation.claims import FEWEST
from selective_st.evaluation.curve import rows_by_cluster
from selective_st.evaluation.metrics import f1, losses_at
from selective_st.evaluation.thresholds import ScoreThreshold, choose_threshold

Limit = Literal["model", "labels", "nothing"]
_NORMAL = 1.96  # of a 95 % interval
_MOST_VALUES = 12  # of a column, that are parts of their own
_RANGES = 3  # of a column of many numbers
_NOTABLE = 0.01  # of F1
HOW = "texts are compared without regard to case and spacing, pairs without regard to their order"

# --- What limits decisions --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gain:
    """How much less a selective loss leaves at the thresholds than squared error, as a share of that.

    Attributes:
        share: The share; negative where it leaves more.
        low: The lower end of its 95 % interval over pairs, or clusters of them.
        high: The upper end.
        loss: What the selective loss leaves, per pair.
    """

    share: float
    low: float
    high: float
    loss: float


@dataclass(frozen=True)
class Diagnosis:
    """What limits the decisions at thresholds.

    Attributes:
        thresholds: The thresholds.
        training: The gain on training pairs.
        validation: The gain on validation pairs.
    """

    thresholds: tuple[float, ...]
    training: Gain
    validation: Gain

    @property
    def limit(self) -> Limit:
        """The model where the gain carries over, labels where it does not, nothing where there is none."""
        if self.validation.low > 0:
            return "model"
        return "labels" if self.training.low > 0 else "nothing"

    def sentence(self, few: str = "labels: more pairs, or a teacher's scores,") -> str:
        """What limits them and what helps, in words; `few` says what there are too few of, and what helps."""
        return say("limited", found=self, few=few)

    def as_dict(self) -> dict[str, Any]:
        """The figures and the words, for JSON."""
        return {**asdict(self), "limit": self.limit, "sentence": self.sentence()}


def diagnose(
    training: tuple[Any, Mapping[str, Any]],
    validation: tuple[Any, Mapping[str, Any]],
    thresholds: Sequence[float],
    *,
    clusters: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> Diagnosis:
    """Tell whether selectivity pays for a model and its data, from two short runs.

    A small model with plenty of labels must choose where to err, and a selective loss chooses the thresholds: there the
    gain on training pairs carries over to others. Where labels are few, it fits the training pairs only.

    Args:
        training: The gold scores of training pairs, and the scores predicted for them by two models: one trained by
            `squared`, one by a `selective` loss.
        validation: The same for pairs that neither was trained on, drawn as the training pairs were.
        thresholds: At which will be decided.
        clusters: For the pairs of both, the clusters that they belong to, such as their first texts. Default: each for
            itself.

    Returns:
        The diagnosis; `sentence()` says it.

    Raises:
        ValueError: If lists differ in length, a number is not finite, there is no threshold, or a model is missing.

    Example:
        >>> gold = np.linspace(0, 1, 1000)
        >>> noise = np.random.default_rng(0).normal(size=1000)
        >>> scores = {"squared": gold + 0.1 * noise, "selective": gold + 0.08 * noise}
        >>> diagnose((gold, scores), (gold, scores), [0.8]).limit
        'model'
    """
    at = checked_thresholds("diagnose", "thresholds", thresholds)
    if not at:
        raise ValueError("diagnose: give at least one threshold, for example [0.8].")
    of_training, of_validation = clusters or (None, None)
    return Diagnosis(at, _gain(*training, at, of_training), _gain(*validation, at, of_validation))


def _gain(gold: Any, predicted: Mapping[str, Any], at: Sequence[float], clusters: Sequence[Any] | None) -> Gain:
    """By the ratio of the mean losses, whose spread is that of its linear part."""
    pairs = (checked_pair(gold, predicted[name]) for name in ("squared", "selective"))
    squared, selective = (np.mean([losses_at(*of, each) for each in at], axis=0) for of in pairs)
    whole, loss = float(squared.mean()), float(selective.mean())
    if not whole:
        return Gain(0.0, 0.0, 0.0, loss)
    ratio = loss / whole
    order, starts = rows_by_cluster("diagnose", clusters, squared)
    residuals = np.add.reduceat((selective - ratio * squared)[order], starts)
    error = _NORMAL * float(np.sqrt((residuals**2).sum())) / len(squared) / whole
    return Gain(1 - ratio, 1 - ratio - error, 1 - ratio + error, loss)


# --- Whether one threshold serves all ---------------------------------------------------------------------------------


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
        got = f"{len(different)} different values, such as {next(iter(different))!r:.40}"
        mend = f"at most {_MOST_VALUES} can be parts. Choose a column such as source or language, or one of numbers."
        raise ValueError(f"parts_by: the column has {got}; {mend}")
    return {name: (scores[0][names == name], scores[1][names == name]) for name in dict.fromkeys(names)}


def _thirds(values: Floats) -> npt.NDArray[np.object_]:
    places = np.searchsorted(np.quantile(values, np.arange(1, _RANGES) / _RANGES), values)
    inside = {place: values[places == place] for place in np.unique(places).tolist()}
    names = {place: f"{these.min():g} to {these.max():g}" for place, these in inside.items()}
    return np.array([names[place] for place in places.tolist()], dtype=object)


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
        ValueError: If fewer than two parts have 10 pairs to be found and 10 others, or scores are not finite.

    Example:
        >>> gold = np.tile([0.0, 1.0], 200)
        >>> scores = 0.6 * gold + 0.1 * np.random.default_rng(0).normal(size=400)
        >>> found = threshold_consistency({"float32": (gold, scores), "int8": (gold, scores + 0.3)}, 1.0)
        >>> round(found.apart, 1), found.serves_all
        (0.3, False)
    """
    scores = {name: checked_pair(*of) for name, of in parts.items()}
    sought = {name: ScoreThreshold(0.0, gold_at_least).is_sought(gold) for name, (gold, _) in scores.items()}
    enough = [name for name, of in sought.items() if min(of.sum(), (~of).sum()) >= FEWEST]
    if len(enough) < 2:
        what = f"{FEWEST} pairs with gold >= {gold_at_least:g} and {FEWEST} others, got {len(enough)} of {len(parts)}"
        raise ValueError(f"threshold_consistency: two parts must have {what}. Give more pairs, or fewer parts.")
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


# --- How much one set of pairs holds of another -----------------------------------------------------------------------


@dataclass(frozen=True)
class Overlap:
    """How many rows of some pairs are found among others.

    Attributes:
        rows: How many rows there are.
        pairs: How many of them are pairs of the others too, in either order.
        texts: How many share at least a text with the others, those among them.
    """

    rows: int
    pairs: int
    texts: int

    def sentence(self, these: str, others: str) -> str:
        """What it is, with its counts.

        Args:
            these: What the pairs are called.
            others: What the others are called.

        Returns:
            The sentence, without a full stop.

        Example:
            >>> Overlap(100, 0, 4).sentence("test.csv", "train.csv")
            'no row of test.csv is a pair of train.csv too, but 4 of 100 rows (4 %) share a text with it'
        """
        return say("overlap", found=self, these=these, others=others)

    def as_dict(self) -> dict[str, Any]:
        """The counts and shares, for JSON."""
        shares = {"share_of_pairs": self.pairs / self.rows, "share_of_texts": self.texts / self.rows}
        return asdict(self) | shares


def overlap(these: tuple[Sequence[str], Sequence[str]], others: tuple[Sequence[str], Sequence[str]]) -> Overlap:
    """How many rows of some pairs are pairs of others, and how many share a text with them.

    Texts are the same where they differ in case and spacing only; a pair is the same in either order.

    Args:
        these: The first and the second texts of the pairs.
        others: Those of the others.

    Returns:
        The counts.

    Example:
        >>> overlap((["a cat", "a dog"], ["a car", "b"]), (["A car", "c"], ["a  cat", "a dog"]))
        Overlap(rows=2, pairs=1, texts=2)
    """
    found, known = (
        [tuple(sorted(map(_plain, pair))) for pair in zip(*sides, strict=True)] for sides in (these, others)
    )
    seen, texts = set(known), {text for pair in known for text in pair}
    return Overlap(len(found), sum(pair in seen for pair in found), sum(not texts.isdisjoint(pair) for pair in found))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
