"""What `--focus` and `--threshold` mean: the link that makes it matter, and the metrics that show it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Literal

import torch

from selective_st import links
from selective_st._caller import named
from selective_st._templates import say
from selective_st.evaluation.metrics import RANKING_METRICS, metric_meaning
from selective_st.links import Link

if TYPE_CHECKING:
    from selective_st.evaluation import ScoreRegionEvaluator
    from selective_st.layouts import GradedPairs

_DEFAULT = "high"
PRESETS = {
    _DEFAULT: links.high_scores,
    "low": links.low_scores,
    "extremes": links.extreme_scores,
    "middle": links.middle_scores,
}
_RANKING = RANKING_METRICS[0]  # of these it chooses
_LOWEST_COSINE = -1.0
_STEEP = 20.0  # a weight link this steep counts next to nothing but the pairs on both sides of a threshold


@dataclass(frozen=True)
class Focus:
    """A choice of what matters, on scores from 0 to 1.

    Attributes:
        name: As it was written.
        link: The link with its sensitivity there.
        regions: The score regions that matter.
        at_least: Thresholds t for the average precision of pairs with gold >= t.
        at_most: Thresholds t for the average precision of pairs with gold <= t.
        score_metric: The metric of the scores that matters most.
        ranking: Whether the rankings of questions are evaluated: shown, or also used to choose.
        thresholds: The thresholds that one will decide at, where these were given.
    """

    name: str
    link: Link
    regions: tuple[tuple[float, float], ...]
    at_least: tuple[float, ...]
    at_most: tuple[float, ...]
    score_metric: str
    ranking: Literal["no", "shown", "chooses"] = "no"
    thresholds: tuple[float, ...] = ()

    @property
    def main_metric(self) -> str:
        """The metric that chooses learning rates and seeds on the eval split."""
        return _RANKING if self.ranking == "chooses" else self.score_metric

    @property
    def cuts(self) -> tuple[float, ...]:
        """The gold scores to decide at: the thresholds, or the one that the main metric finds pairs by."""
        kind, _, rest = self.score_metric.partition("_")
        return self.thresholds or ((float(rest.partition("_")[2]),) if kind == "ap" else ())

    @property
    def edges(self) -> tuple[float, ...]:
        """The gold scores that part what matters from the rest; not all of them are decided at."""
        return (*self.at_most, *self.at_least)

    @property
    def decides_for(self) -> float | None:
        """The gold score that a stored cut decides for, the first."""
        return next(iter(self.cuts), None)

    @property
    def reads_scores(self) -> bool:
        """Whether the scores themselves are to be right: at thresholds, or where the metric is an error."""
        return bool(self.thresholds) or not self.cuts

    @property
    def meaning(self) -> str:
        """What matters, as the end of a sentence."""
        if self.thresholds:
            return f"decisions at {' and '.join(f'{at:g}' for at in self.thresholds)}"
        return " and ".join(f"gold scores from {low:g} to {high:g}" for low, high in self.regions)

    @property
    def weight_link(self) -> Link:
        """The link between whose values the order loss weighs pairs of pairs: at thresholds, those on both sides."""
        if not self.thresholds:
            return self.link
        return reduce(add, (links.SigmoidLink(_STEEP, at) for at in self.thresholds))

    @property
    def value_link(self) -> Link | None:
        """The link for lists and batches, of mean value 1; None for `high`, which their losses have by default.

        A link that is negative on a cosine's scores is raised by a constant: its sensitivity, which says what matters,
        stays as it is, and a higher score counts for more everywhere, as those losses need it.
        """
        if self.name == _DEFAULT:
            return None
        lowest = float(self.link(torch.tensor(max(_LOWEST_COSINE, self.link.domain.low), dtype=torch.float64)))
        link = self.link if lowest >= 0 else self.link + -lowest * links.ConstantLink()
        return link.normalized(0.0, 1.0, of="value")

    def with_ranking(self, *, chooses: bool) -> Focus:
        """This focus where the data are questions with candidates.

        Args:
            chooses: Whether the mean average precision over the questions chooses learning rates and seeds.

        Returns:
            The focus, which shows the ranking's metrics too.
        """
        return replace(self, ranking="chooses" if chooses else "shown")

    def by_order(self) -> Focus:
        """This focus for a loss that orders pairs and leaves it free where their scores lie: it picks them out."""
        return replace(self, score_metric=f"ap_ge_{self.thresholds[0]:g}") if self.thresholds else self

    def evaluator(self, pairs: GradedPairs, name: str, **settings: Any) -> ScoreRegionEvaluator:
        """The evaluator that shows what matters on pairs.

        Args:
            pairs: The pairs.
            name: What their metrics begin with.
            **settings: Further arguments of `ScoreRegionEvaluator`.

        Returns:
            The evaluator.
        """
        from selective_st.evaluation import ScoreRegionEvaluator  # which needs Sentence Transformers

        own = {of: getattr(self, of) for of in ("at_least", "at_most", "regions", "thresholds")}
        own |= {"main_metric": self.score_metric, "name": name, **settings}
        return ScoreRegionEvaluator(pairs.sentences1, pairs.sentences2, pairs.scores, **own)

    def check_on(self, pairs: GradedPairs, perfect: Mapping[str, float], option: str = "") -> None:
        """Raise unless some of the pairs matter: a metric that is not defined for them can choose nothing.

        Args:
            pairs: The pairs.
            perfect: The metrics of their gold scores, taken for predicted ones.
            option: The option that other pairs are given with, if there is one.

        Raises:
            ValueError: If the main metric is not defined.
        """
        for at in self.thresholds:
            reached = sum(score >= at for score in pairs.scores)
            if not 0 < reached < len(pairs.scores):
                raise ValueError(say("nothing_decided", pairs=pairs, reached=reached, at=f"{at:g}", option=option))
        if math.isnan(perfect[self.main_metric]):
            raise ValueError(say("no_pair_in_focus", pairs=pairs, focus=self, option=option))

    @property
    def greater_is_better(self) -> bool:
        """Whether a larger main metric is better."""
        return metric_meaning(self.main_metric).better == "higher"

    @property
    def shown_metrics(self) -> list[str]:
        """The metrics to show, the main one first."""
        names = [f"{kind}_{at:g}" for at in self.thresholds for kind in ("loss_at", "f1_at")]
        names += [f"ap_ge_{t:g}" for t in sorted(self.at_least, reverse=True)]
        names += [f"ap_le_{t:g}" for t in sorted(self.at_most)]
        names += [f"rmse_{low:g}_{high:g}" for low, high in self.regions]
        names.sort(key=lambda name: name != self.score_metric)
        if self.ranking == "chooses":
            return [*RANKING_METRICS, names[0]]
        return [*names, "spearman", _RANKING] if self.ranking == "shown" else [*names, "spearman"]


def read_focus(text: str | None, thresholds: Sequence[float] | None) -> Focus | None:
    """Read what matters, which `--focus` or `--threshold` says.

    Args:
        text: As for `parse_focus`; None if it was not given.
        thresholds: Those of `--threshold`; none if it was not given.

    Returns:
        The focus; None if neither was given.

    Raises:
        ValueError: If both were given, or one is not allowed.

    Example:
        >>> read_focus(None, [0.85]).link
        link_for_thresholds((0.85,))
    """
    if not thresholds:
        return None if text is None else parse_focus(text)
    if text is not None:
        raise ValueError(say("focus_and_threshold", text=text, at=f"{thresholds[0]:g}"))
    return threshold_focus(thresholds)


def threshold_focus(thresholds: Sequence[float]) -> Focus:
    """The focus on decisions at thresholds.

    Losses that compare scores get `link_for_thresholds`; those on lists and batches the same, of mean value 1; the
    order loss a weight link that is steep at each threshold.

    Args:
        thresholds: The thresholds, on the scale of the mapped labels. A cut is stored for the first one.

    Returns:
        The focus.

    Raises:
        ValueError: If one is no number between 0 and 1.

    Example:
        >>> threshold_focus([0.85]).shown_metrics
        ['loss_at_0.85', 'f1_at_0.85', 'ap_ge_0.85', 'spearman']
    """
    for at in thresholds:
        if not 0 < at < 1:
            raise ValueError(say("threshold_outside", at=f"{at:g}"))
    each = tuple(dict.fromkeys(map(float, thresholds)))
    name = " ".join(f"--threshold {at:g}" for at in each)
    return Focus(name, links.link_for_thresholds(each), (), each, (), f"loss_at_{each[0]:g}", thresholds=each)


def parse_focus(text: str) -> Focus:
    """Read a focus.

    Args:
        text: `high`, `low`, `extremes`, `middle`, a score region `LOW:HIGH` within 0 and 1, or a link's config as JSON.

    Returns:
        The focus. For a link's JSON the region is where its sensitivity is at least half of its largest on [0, 1].

    Raises:
        ValueError: If the text is none of these, or the region or the config is not allowed.

    Example:
        >>> parse_focus("high").main_metric
        'ap_ge_0.95'
        >>> parse_focus("0.4:0.6").shown_metrics
        ['rmse_0.4_0.6', 'ap_ge_0.4', 'spearman']
    """
    text = text.strip()
    if text == "middle":
        return _region_focus(text, PRESETS[text](), 0.3, 0.7)
    if text in PRESETS:
        high, low = text != "low", text != "high"
        regions = tuple(region for region, matters in (((0.8, 1.0), high), ((0.0, 0.2), low)) if matters)
        at_least, at_most = (0.8, 0.95) if high else (), (0.05, 0.2) if low else ()
        return Focus(text, PRESETS[text](), regions, at_least, at_most, "ap_ge_0.95" if high else "ap_le_0.05")
    if text.startswith("{"):
        try:
            link = named("--focus")(links.link_from_config)(json.loads(text))
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"--focus: this is not valid JSON: {error}. Got {text[:80]!r}.") from None
        except TypeError as error:
            raise ValueError(str(error)) from None
        return _region_focus(text, link, *_sensitive_region(link))
    try:
        first, last = map(float, text.split(":"))
    except ValueError:
        raise ValueError(say("no_focus", text=text, presets=PRESETS)) from None
    if not 0 <= first < last <= 1:
        raise ValueError(say("region_outside", text=text))
    return _region_focus(text, links.score_region(first, last), first, last)


def _region_focus(name: str, link: Link, low: float, high: float) -> Focus:
    at_least, at_most = ((low,), ()) if low > 0 else ((), (high,))
    return Focus(name, link, ((low, high),), at_least, at_most, f"rmse_{low:g}_{high:g}")


def _sensitive_region(link: Link) -> tuple[float, float]:
    scores = torch.linspace(0, 1, 101, dtype=torch.float64)
    with torch.no_grad():
        sensitivity = link.sensitivity(scores)
    largest = float(sensitivity.max())
    if not largest > 0:
        raise ValueError(say("no_sensitivity", link=link))
    inside = scores[sensitivity >= largest / 2]
    low, high = round(float(inside.min()), 2), round(float(inside.max()), 2)
    return (low, high) if low < high else (max(0.0, low - 0.01), min(1.0, high + 0.01))
