"""A fixed threshold on predicted scores: chosen on a validation split, saved and loaded with the model.

>>> threshold = choose_threshold(gold=[0.0, 0.4, 0.9, 1.0], predicted=[0.2, 0.5, 0.6, 0.8], gold_at_least=0.9)
>>> round(threshold.value, 2), threshold.metric_value
(0.55, 1.0)
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import scipy  # whose parts come when they are used
from torch import nn

from selective_st._validation import finite_number, instance_of, one_of
from selective_st.catalog import MODEL_TYPES
from selective_st.evaluation._checks import TIE, Bools, Floats, checked_pair, checked_scores

if TYPE_CHECKING:
    from sentence_transformers.base.model import BaseModel

# How much recall counts against precision.
_BETAS = {"f1": 1.0, "f0.5": 0.5, "f2": 2.0}
THRESHOLD_METRICS = tuple(_BETAS)
# What can be promised: by which argument, what the share is called, and what its pairs are.
_PROMISES = {
    "precision": ("at_least", "precision", "found"),
    "recall": ("at_least", "recall", "to be found"),
    "fpr": ("at_most", "false-positive rate", "not to be found"),
}
_STARTS = 3  # how often a search for a precision may begin
_CONFIG_FILE = "config_sentence_transformers.json"
_CONFIG_KEY = "score_threshold"
THRESHOLD_FILE = "score_threshold.json"
_VERSION = 1  # of that file
_MODEL_FILES = ("modules.json", _CONFIG_FILE, "config.json")
_QUANTILES = 21

Side = Literal["at_least", "at_most"]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoreThreshold:
    """A decision by the predicted score, for what gold scores decide.

    Attributes:
        value: The threshold on predicted scores. A score equal to it is on the side of those found.
        gold: The threshold on gold scores: what is to be found.
        side: `at_least`: find gold >= `gold` by predicted >= `value`. `at_most`: find gold <= `gold` by predicted <=
            `value`.
        metric: What was maximised or promised to choose it; None if it was given as a number.
        metric_value: Its value on the split that it was chosen on.
        chosen_on: The name of that split.
        pairs: How many pairs the split has.
        positives: How many of them were to be found.
        quantiles: The predicted scores of that split, from the lowest to the highest, at even shares of its pairs.
        similarity: The similarity function that gave them, such as `cosine`; None if that is not known.
        as_queries: Whether first texts were embedded as queries; None if that is not known.
        promised: Of a promise, the bound of the metric.
        confidence: With which confidence it holds.

    Example:
        >>> print(ScoreThreshold(0.74, 0.95, metric="f1", metric_value=0.61, chosen_on="dev", pairs=1500, positives=94))
        predicted >= 0.740 for gold >= 0.95: the highest F1 on dev, 0.610 (1,500 pairs, 94 to be found)
    """

    value: float
    gold: float
    side: Side = "at_least"
    metric: str | None = None
    metric_value: float | None = None
    chosen_on: str = ""
    pairs: int | None = None
    positives: int | None = None
    quantiles: tuple[float, ...] = field(default=(), repr=False)
    similarity: str | None = field(default=None, compare=False)
    as_queries: bool | None = field(default=None, compare=False)
    promised: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "gold"):
            object.__setattr__(self, name, finite_number("ScoreThreshold", name, getattr(self, name)))
        one_of("ScoreThreshold", "side", self.side, ("at_least", "at_most"))
        quantiles = tuple(finite_number("ScoreThreshold", "quantiles", value) for value in self.quantiles)
        if list(quantiles) != sorted(quantiles):
            raise ValueError(f"ScoreThreshold: quantiles must rise, got {quantiles!r:.60}. Write [0.1, 0.5, 0.9].")
        object.__setattr__(self, "quantiles", quantiles)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        sign = ">=" if self.side == "at_least" else "<="
        text = f"predicted {sign} {self.value:.3f} for gold {sign} {self.gold:g}"
        if self.metric is None:
            return f"{text}: as given"
        known = {"pairs": self.pairs, "to be found": self.positives}
        counts = ", ".join(f"{count:,} {what}" for what, count in known.items() if count is not None)
        reached = "" if self.metric_value is None else f", {self.metric_value:.3f}"
        text += f": {self.aim} on {self.chosen_on or 'a validation split'}{reached}"
        return f"{text} ({counts})" if counts else text

    @property
    def aim(self) -> str:
        """What it was chosen for, in words."""
        if self.promised is None or self.metric not in _PROMISES:
            return f"the highest {str(self.metric).upper()}"
        argument, name, _ = _PROMISES[self.metric]
        certain = f" with {100 * self.confidence:g} % confidence" if self.confidence else ""
        return f"a {name} of {argument.replace('_', ' ')} {self.promised:g}{certain}"

    @property
    def sign(self) -> int:
        """What scores are multiplied by, so that the greater are found."""
        return 1 if self.side == "at_least" else -1

    @property
    def suffix(self) -> str:
        """What the names of its metrics end with, such as `ge_0.95`."""
        return f"{'ge' if self.side == 'at_least' else 'le'}_{self.gold:g}"

    def is_sought(self, gold: Any) -> Bools:
        """Which gold scores are to be found.

        Args:
            gold: Gold scores.

        Returns:
            True for each that is.
        """
        found: Bools = self.sign * np.asarray(gold, dtype=np.float64) >= self.sign * self.gold - TIE
        return found

    def is_found(self, predicted: Any) -> Bools:
        """Which predicted scores are on the side of those found.

        Args:
            predicted: Predicted scores.

        Returns:
            True for each that is.
        """
        found: Bools = self.sign * np.asarray(predicted, dtype=np.float64) >= self.sign * self.value
        return found

    def decide(self, scores: Any) -> Bools:
        """Decide about pairs by their scores.

        Args:
            scores: Predicted scores: a list, an array or a tensor of finite numbers.

        Returns:
            True for each that the threshold finds.

        Raises:
            ValueError: If that are no finite numbers.

        Example:
            >>> ScoreThreshold(value=0.8, gold=0.95).decide([0.7, 0.8, 0.9]).tolist()
            [False, True, True]
        """
        return self.is_found(checked_scores("scores", scores))

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, config: Any) -> ScoreThreshold:
        """The threshold of a config.

        Args:
            config: What `as_dict` gave.

        Returns:
            The threshold.

        Raises:
            ValueError: If the config is not of that kind.
        """
        try:
            return cls(**config)
        except (TypeError, ValueError) as error:
            needed = 'it needs at least {"value": 0.8, "gold": 0.95}'
            raise ValueError(f"{config!r:.200} is not the config of a score threshold ({error}); {needed}.") from None


def choose_threshold(
    gold: Sequence[float],
    predicted: Sequence[float],
    gold_at_least: float | None = None,
    metric: str = "f1",
    *,
    gold_at_most: float | None = None,
    chosen_on: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    confidence: float = 0.95,
) -> ScoreThreshold:
    """Choose the threshold on predicted scores that finds the pairs with gold >= t best, or that keeps a promise.

    Choose it on a validation split, never on the pairs that are reported. The threshold lies half way between two
    neighbouring predicted scores, so that rounding does not move a pair across. Pairs with tied scores are found
    together; of thresholds that are as good the one that finds fewest pairs is taken.

    A promise, such as `metric="precision", at_least=0.95`, holds with the given confidence on pairs drawn as those of
    the split were, independently of one another (learn then test: Angelopoulos, Bates, Candes, Jordan and Lei 2021,
    arXiv 2110.01052). Thresholds are tested in a fixed order, by exact binomial bounds, down to the first that fails:
    for precision and `fpr` from the highest down, for recall from the lowest up. The last that passes is the lowest
    (for recall the highest) that can be promised. As few pairs can promise no precision, that search begins where
    enough are found, and anew where two and four times as many are, for which it divides what may go wrong (the
    fallback procedure: Wiens 2003, Pharmaceutical Statistics 2).

    Args:
        gold: Gold scores of the validation split.
        predicted: Predicted scores, as many.
        gold_at_least: t: pairs with gold >= t are to be found, by high scores.
        metric: What to maximise: `f1`, `f0.5` (precision counts more) or `f2` (recall counts more). Or what to promise:
            `precision` (of the pairs found, the share that is to be) or `recall` (of the pairs to be found, the share
            that is) with `at_least`, or `fpr` (of all other pairs, the share that is found) with `at_most`.
        gold_at_most: Instead: pairs with gold <= t are to be found, by low scores.
        chosen_on: A name for the split.
        at_least: The least precision or recall to promise, above 0 and below 1.
        at_most: The greatest false-positive rate to promise, above 0 and below 1.
        confidence: With which confidence the promise is to hold, above 0 and below 1.

    Returns:
        The threshold, with the value of the metric on this split.

    Raises:
        ValueError: If not exactly one t is given, the metric is not known or goes with another bound, all or none of
            the pairs are to be found, or no threshold keeps the promise: then the message says how many pairs it needs.

    Example:
        >>> choose_threshold([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], gold_at_least=1).value  # the tied go together
        0.3
        >>> choose_threshold([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], gold_at_least=1, metric="f0.5").value
        0.7
        >>> gold, predicted = [0, 1] * 100, [0.2, 0.9] * 100
        >>> choose_threshold(gold, predicted, 1, "precision", at_least=0.95).aim
        'a precision of at least 0.95 with 95 % confidence'
    """
    owner = "choose_threshold"
    limits: dict[Side, Any] = {"at_least": gold_at_least, "at_most": gold_at_most}
    sought = [ScoreThreshold(0.0, limit, side) for side, limit in limits.items() if limit is not None]
    if len(sought) != 1:
        mend = "give either gold_at_least or gold_at_most, for example gold_at_least=0.95"
        raise ValueError(f"{owner}: {mend}; got {limits}.")
    one_of(owner, "metric", metric, (*THRESHOLD_METRICS, *_PROMISES))
    wanted = [_PROMISES[metric][0]] if metric in _PROMISES else []
    bounds = {name: value for name, value in (("at_least", at_least), ("at_most", at_most)) if value is not None}
    if list(bounds) != wanted:
        mend = 'Write metric="precision", at_least=0.95; or metric="fpr", at_most=0.05; or metric="f1".'
        raise ValueError(f"{owner}: metric={metric!r} goes with {' '.join(wanted) or 'no bound'}, got {bounds}. {mend}")
    for name, value in {**bounds, "confidence": confidence}.items():
        if not 0 < finite_number(owner, name, value) < 1:
            raise ValueError(f"{owner}: {name} must be above 0 and below 1, got {value:g}. Write {name}=0.95.")
    gold_scores, scores = checked_pair(gold, predicted)
    relevant = sought[0].is_sought(gold_scores)
    if relevant.all() or not relevant.any():
        which = f"{'every' if relevant.any() else 'no'} pair of {chosen_on or 'the validation split'}"
        what = f"{sought[0].side.replace('_', ' ')} {sought[0].gold:g}"
        got = f"its gold scores go from {gold_scores.min():g} to {gold_scores.max():g}"
        mend = "Give a split with both kinds of pairs, or another threshold on gold scores."
        raise ValueError(f"{owner}: {which} has gold {what} ({got}), so there is nothing to choose. {mend}")
    order = sought[0].sign * scores
    counts = _counts(relevant, order)
    bound = next(iter(bounds.values()), None)
    choice = _best_cut(*counts, metric) if bound is None else _safe_cut(*counts, metric, bound, confidence)
    # Half way to the next lower score; there is none below the lowest.
    cut, below = choice[0], order[order < choice[0]]
    return replace(
        sought[0],
        value=sought[0].sign * (float((cut + below.max()) / 2) if below.size else cut),
        metric=metric,
        metric_value=choice[1],
        chosen_on=chosen_on,
        pairs=len(scores),
        positives=int(relevant.sum()),
        quantiles=tuple(np.quantile(scores, np.linspace(0, 1, _QUANTILES)).tolist()),
        promised=bound,
        confidence=confidence if bounds else None,
    )


def _counts(relevant: Bools, order: Floats) -> tuple[Floats, Ints, Ints]:
    """The different scores from the highest down; how many are found from each on, rightly and wrongly."""
    cuts, place = np.unique(order, return_inverse=True)
    right, wrong = (np.bincount(place, of, len(cuts))[::-1].cumsum() for of in (relevant, ~relevant))
    return cuts[::-1], right, wrong


def _best_cut(cuts: Floats, right: Ints, wrong: Ints, metric: str) -> tuple[float, float]:
    """The highest score from which to find, for the highest value of the metric, and that value."""
    square = _BETAS[metric] ** 2
    values = (1 + square) * right / (square * right[-1] + right + wrong)
    best = int(np.argmax(values >= values.max() - TIE))
    return float(cuts[best]), float(values[best])


# --- Promises ---------------------------------------------------------------------------------------------------------


def _safe_cut(
    cuts: Floats, right: Ints, wrong: Ints, metric: str, bound: float, confidence: float
) -> tuple[float, float]:
    """The last score to find from, in a fixed order, that keeps a promise, and the value of the metric there."""
    risk, share = 1 - confidence, bound if metric == "fpr" else 1 - bound  # of failures, at most
    failures, trials = wrong, right + wrong if metric == "precision" else np.full(len(cuts), wrong[-1])
    if metric == "recall":  # from the lowest up
        cuts, failures, trials = cuts[::-1], (right[-1] - right)[::-1], np.full(len(cuts), right[-1])
    # Of so few failures, if the promise were not kept.
    chances = np.asarray(scipy.stats.binom.cdf(failures, trials, share))
    starts = _starts(trials, share, risk) if metric == "precision" else [0]
    last, level = -1, 0.0
    for begin, end in pairwise([*starts, len(cuts)]):
        level += risk / len(starts)
        fails = np.flatnonzero(chances[begin:end] > level)
        reached = begin + int(fails[0]) if fails.size else end
        last = max(last, reached - 1) if reached > begin else last
        level = 0.0 if fails.size else level  # what has not gone wrong is passed on
    if last < 0:
        argument, name, of = _PROMISES[metric]
        raise ValueError(
            f"choose_threshold: no threshold promises a {name} of {argument.replace('_', ' ')} {bound:g} with "
            f"{100 * confidence:g} % confidence on these {int(right[-1] + wrong[-1]):,} pairs. At least "
            f"{_fewest(share, risk):,} pairs {of} are needed for it, without a failure: give more, or promise less."
        )
    rate = failures[last] / trials[last]
    return float(cuts[last]), float(rate if metric == "fpr" else 1 - rate)


def _fewest(share: float, risk: float) -> int:
    """How many trials without a failure promise that at most this share fails."""
    return math.ceil(math.log(risk) / math.log1p(-share))


def _starts(trials: Ints, share: float, risk: float) -> list[int]:
    """Where the search for a precision begins: where enough are found to tell, and again; whatever their labels are."""
    searches = [_fewest(share, risk / count) * 2 ** np.arange(count) for count in range(_STARTS, 0, -1)]
    least = next((found for found in searches if found[-1] <= trials[-1]), searches[-1])
    return sorted({min(int(place), len(trials) - 1) for place in np.searchsorted(trials, least)})


def remember_threshold(model: BaseModel, threshold: ScoreThreshold | None) -> None:
    """Have a threshold saved with the model: by `save_pretrained`, `push_to_hub` and the trainer's checkpoints.

    It stands in the model's `config_sentence_transformers.json`. Sentence Transformers leaves unknown entries of that
    file alone, so whoever loads the model needs nothing of this library. A model that was loaded and is saved anew
    does not carry the old threshold on: it may have been trained in between.

    Args:
        model: The model; of any type.
        threshold: The threshold, from `choose_threshold`; None forgets it.

    Raises:
        TypeError: If the model or the threshold is of another kind.
    """
    mend = "Write choose_threshold(...), or ScoreThreshold(value, gold)."
    instance_of("remember_threshold", "threshold", threshold, (ScoreThreshold, type(None)), mend)
    settings: Any = model
    settings.__dict__.pop("_get_model_config", None)
    settings.__dict__.pop(_CONFIG_KEY, None)
    if threshold is not None:
        setattr(settings, _CONFIG_KEY, threshold)
        # An entry of the instance, found before the method of its class; copied and pickled along with the model.
        settings._get_model_config = functools.partial(_config_with_threshold, model)


def _config_with_threshold(model: Any) -> dict[str, Any]:
    config: dict[str, Any] = type(model)._get_model_config(model)
    return config | {_CONFIG_KEY: getattr(model, _CONFIG_KEY).as_dict()}


def save_threshold(model_path: str | os.PathLike[str], threshold: ScoreThreshold) -> None:
    """Store a threshold in the folder of a saved model, as `score_threshold.json`; an earlier one goes.

    Args:
        model_path: The folder.
        threshold: The threshold, from `choose_threshold`.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If no model is saved there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "modules.json").write_text("[]")  # for a model's files
        ...     save_threshold(folder, choose_threshold([1, 0], [0.9, 0.5], gold_at_least=1, chosen_on="dev"))
        ...     print(load_threshold(folder))
        predicted >= 0.700 for gold >= 1: the highest F1 on dev, 1.000 (2 pairs, 1 to be found)
    """
    folder = Path(model_path)
    if not any((folder / name).is_file() for name in _MODEL_FILES):
        mend = 'Save the model first: model.save_pretrained("model").'
        raise ValueError(f"save_threshold: model_path must be the folder of a saved model, got {folder}. {mend}")
    _write_json(folder / THRESHOLD_FILE, {"version": _VERSION} | threshold.as_dict())
    config = dict(model_config(str(folder)))
    if config.pop(_CONFIG_KEY, None) is not None:  # remembered before
        _write_json(folder / _CONFIG_FILE, config)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file at once, so that none is ever there in part."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(new, path)


def load_threshold(model: BaseModel | str | os.PathLike[str]) -> ScoreThreshold | None:
    """The threshold that was saved with a model.

    Args:
        model: The folder of a model, its name on the Hugging Face hub, or a model itself.

    Returns:
        The threshold; None if there is none.

    Raises:
        TypeError: If `model` is neither a model nor its folder or name.
        ValueError: If there is no such folder, or what is stored there is damaged, or of a newer version.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     text = '{"score_threshold": {"value": 0.8, "gold": 0.95}}'
        ...     _ = Path(folder, "config_sentence_transformers.json").write_text(text)
        ...     load_threshold(folder).value
        0.8
    """
    if isinstance(model, nn.Module):
        found: ScoreThreshold | None = getattr(model, _CONFIG_KEY, None)
        return found
    name = os.fspath(model)
    if not name.strip() or (name.startswith((".", "/", "~")) and not os.path.exists(os.path.expanduser(name))):
        mend = 'Write load_threshold("model").'
        raise ValueError(f"load_threshold: model must be the folder of a model, or its name, got {name!r}. {mend}")
    config = model_config(name).get(_CONFIG_KEY)  # of a model that was saved over an earlier one, if both are there
    if config is not None:
        return ScoreThreshold.from_dict(config)
    try:
        stored = _json_of(name, THRESHOLD_FILE)
        if stored is None:
            return None
        if finite_number(THRESHOLD_FILE, "version", stored.pop("version", None)) > _VERSION:
            raise ValueError("a newer version of this library wrote it: pip install -U selective-st")
        return ScoreThreshold.from_dict(stored)
    except (AttributeError, TypeError, ValueError) as error:
        mend = f"Choose it anew, save_threshold({name!r}, choose_threshold(...)), or remove that file."
        raise ValueError(f"load_threshold: {THRESHOLD_FILE} of {name} cannot be read ({error}). {mend}") from error


def model_config(name: str, file_name: str = _CONFIG_FILE) -> Mapping[str, Any]:
    """What stands in a model's `config_sentence_transformers.json`, or another of its files.

    Args:
        name: The model's folder, or its name on the Hugging Face hub.
        file_name: The file.

    Returns:
        The config; empty if there is no such file.
    """
    config = _json_of(name, file_name)
    return config if isinstance(config, dict) else {}


def named_model_type(name: str) -> Any:
    """The type of model that its files name, as Sentence Transformers calls it.

    Args:
        name: The model's folder, or its name on the Hugging Face hub.

    Returns:
        The type; None where none is named that Sentence Transformers has.
    """
    kind = model_config(name).get("model_type")
    if kind is None and _json_of(name, _MODEL_FILES[0]) is None:
        # So cross encoders were saved before they had a config of Sentence Transformers.
        architectures = model_config(name, "config.json").get("architectures") or []
        is_classifier = any(str(each).endswith("ForSequenceClassification") for each in architectures)
        return "CrossEncoder" if is_classifier else None
    kind = "MultiVectorEncoder" if kind == "ColBERT" else kind  # PyLate's name, which Sentence Transformers takes too
    return kind if kind in MODEL_TYPES else None


def _json_of(name: str, file_name: str) -> Any:
    """What stands in a JSON file of a model; None if there is no such file."""
    path: Any = Path(name, file_name)
    if not Path(name).is_dir():  # a name on the hub
        from sentence_transformers.util import load_file_path

        path = load_file_path(name, file_name)
    if path is None or not os.path.isfile(path):
        return None
    return json.loads(Path(path).read_text(encoding="utf-8"))
