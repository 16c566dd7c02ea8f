"""What may be said of numbers: from how many cases, with how many digits, with what interval, and who is better.

The console, the report, the JSON files and the cards all ask here, so that they say the same. A number that rests on
fewer than ten cases has no interval and decides nothing.

    >>> print(figure(0.8347, Support(17, 400)), "from", Support(17, 400))
    0.83 from 17 of 400 pairs
    >>> print(figure(0.8347, Support(3, 400)))
    0.8 (too few)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy  # whose parts come when they are used

from selective_st._templates import in_templates, say
from selective_st.evaluation._checks import Floats
from selective_st.evaluation.metrics import Metric, metric_meaning

if TYPE_CHECKING:
    from selective_st.evaluation.comparison import Comparison

FEWEST = 10  # cases, below which no interval is honest
_MANY = 100  # from which three digits mean something
_SAME = 5e-4  # differences that three digits do not show
NOT_DEFINED = "not defined"
TOO_FEW = "too few"
NO_DIFFERENCE = "no clear difference"
in_templates(metric_meaning)


@in_templates
@dataclass(frozen=True)
class Support:
    """What a number rests on.

    Attributes:
        cases: The pairs, questions or lists that it rests on: where it sets two kinds apart, the rarer kind.
        of: Out of how many.
        noun: What these are, in the plural.
        texts: Of how many different first texts the cases are; pairs of one text hang together. None if that is not
            known.
        finer: How many digits more than of other numbers mean something.
    """

    cases: int
    of: int
    noun: str = "pairs"
    texts: int | None = None
    finer: int = 0

    @property
    def independent(self) -> int:
        """How many cases tell something of their own."""
        return self.cases if self.texts is None else min(self.cases, self.texts)

    @property
    def too_few(self) -> bool:
        """Whether the number decides nothing."""
        return self.independent < FEWEST

    @property
    def digits(self) -> int:
        """How many digits after the point mean something."""
        return self.finer + (1 if self.too_few else 2 if self.independent < _MANY else 3)

    def __str__(self) -> str:
        noun = self.noun if self.of != 1 else self.noun.removesuffix("s")
        text = f"{self.of:,} {noun}" if self.cases == self.of else f"{self.cases:,} of {self.of:,} {noun}"
        few_texts = self.texts is not None and self.texts < self.cases and self.texts < FEWEST
        return f"{text} with {counted(self.texts or 0, 'first text')}" if few_texts else text

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return {"cases": self.cases, "of": self.of, "noun": self.noun, "too_few": self.too_few}


def support_of_pairs(
    metrics: Iterable[Metric], gold: Floats, clusters: Sequence[Any] | None = None
) -> dict[str, Support]:
    """What metrics of pairs rest on.

    Args:
        metrics: The metrics.
        gold: The gold scores.
        clusters: For each pair the cluster that it belongs to, such as its first text.

    Returns:
        For each metric its support, by its name.
    """
    found = {}
    for metric in metrics:
        if metric.rests_on is not None:
            rows = np.flatnonzero(metric.rests_on(gold)).tolist()
            texts = None if clusters is None else len({clusters[row] for row in rows})
            found[metric.name] = Support(len(rows), len(gold), texts=texts, finer=metric.finer)
    return found


@in_templates
def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Args:
        count: The number.
        noun: The noun in the singular.

    Returns:
        The text.

    Example:
        >>> counted(1, "pair"), counted(1200, "pair")
        ('1 pair', '1,200 pairs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """A text with a capital at its beginning and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


@in_templates
def figure(value: float, support: Support | None = None, *, signed: bool = False) -> str:
    """A number as far as it means something.

    Args:
        value: The number.
        support: What it rests on; None where that is not known.
        signed: Whether to write a plus.

    Returns:
        The text: "not defined" where it is, or where it would be the same for every model.
    """
    if not math.isfinite(value) or (support is not None and not support.cases):
        return NOT_DEFINED
    digits = 3 if support is None else support.digits
    text = f"{round(value, digits) + 0.0:{'+' if signed else ''}.{digits}f}"  # no minus before a zero
    return f"{text} ({TOO_FEW})" if support is not None and support.too_few else text


def rounded(value: float, support: Support | None = None) -> float:
    """A number with as many digits as mean something, for cards that write numbers themselves."""
    return value if support is None or not math.isfinite(value) else round(value, support.digits)


@in_templates
def figures(ends: tuple[float, float] | None, support: Support | None = None, *, signed: bool = False) -> str:
    """An interval from one number to another; empty where there is none."""
    if ends is None or not all(map(math.isfinite, ends)) or (support is not None and support.too_few):
        return ""
    return " to ".join(figure(end, support, signed=signed) for end in ends)


def interval(draws: Floats, support: Support) -> tuple[float, float] | None:
    """The 95 % interval of a number from its values in resamples.

    The percentiles are taken further out where there are few cases, as resamples of few vary too little (the expanded
    percentile interval, Hesterberg 2015).

    Args:
        draws: The values.
        support: What the number rests on.

    Returns:
        Both ends; None for fewer than ten cases.
    """
    draws = draws[np.isfinite(draws)]  # a resample may hold no pair of a region
    if support.too_few or not draws.size:
        return None
    cases = support.independent
    tail = float(scipy.stats.norm.cdf(-math.sqrt(cases / (cases - 1)) * scipy.stats.t.ppf(0.975, cases - 1)))
    low, high = np.quantile(draws, (tail, 1 - tail))
    return float(low), float(high)


def about_labels(name: str, gold: Sequence[float] | Floats) -> list[str]:
    """What the labels of a split alone forbid to say.

    Args:
        name: What the split is called.
        gold: Its labels.

    Returns:
        The sentences, without a full stop.
    """
    said = say("about_labels", name=name, gold=gold, alike=len(set(gold)) == 1, too_few=len(gold) < FEWEST)
    return [said] if said else []


# --- Tables -----------------------------------------------------------------------------------------------------------


class Value(NamedTuple):
    """A model's number in a row, with its interval, and whether it is the better one."""

    text: str
    interval: str
    best: bool


class MetricRow(NamedTuple):
    """A row of the table of metrics, as people read it: what may be said of one.

    Attributes:
        title: What the metric is called.
        meaning: What it says, and which end is better.
        support: What it rests on.
        values: Each model's number.
        difference: With two models, the first less the second.
        interval: Its 95 % interval.
        verdict: Which is better, or why none is.
        winner: The model that is better; none where that is not clear.
    """

    title: str
    meaning: str
    support: str
    values: tuple[Value, ...]
    difference: str = ""
    interval: str = ""
    verdict: str = ""
    winner: str = ""

    @property
    def is_defined(self) -> bool:
        """Whether each model has a number."""
        return all(value.text not in ("", NOT_DEFINED) for value in self.values)

    @property
    def is_told(self) -> bool:
        """Whether something can be said of the models' difference."""
        return self.is_defined and self.verdict != TOO_FEW


def table(comparison: Comparison, names: Iterable[str]) -> list[MetricRow]:
    """The rows of a table of metrics; for the page and the console alike.

    Args:
        comparison: The numbers.
        names: The metrics, in order.

    Returns:
        The rows.
    """
    return [row_of(comparison, name) for name in dict.fromkeys(names)]


def row_of(comparison: Comparison, name: str) -> MetricRow:
    """The row of one metric."""
    metric, support, found = metric_meaning(name), comparison.support.get(name), comparison.differences.get(name)
    better = f" {metric.better.capitalize()} is better." if metric.better else ""
    values = tuple(
        Value(
            figure(model.metrics[name], support) if name in model.metrics else "",
            figures(model.intervals.get(name), support),
            found is not None and found.better == number,
        )
        for number, model in enumerate(comparison.models)
    )
    told = (metric.title, metric.meaning + better, str(support or ""), values)
    if found is None:
        return MetricRow(*told)
    ends = figures((found.low, found.high), support, signed=True)
    winner = "" if found.better is None else comparison.models[found.better].name
    verdict = TOO_FEW if support is not None and support.too_few else winner or NO_DIFFERENCE
    return MetricRow(*told, figure(found.value, support, signed=True), ends, verdict, winner)


# --- Which is better --------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What a table of metrics says of two models.

    Attributes:
        models: Their names.
        better: For each the titles of the metrics in which it is clearly better.
        undecided: The titles of those without a clear difference.
        too_few: The titles of those that rest on too few cases to decide.
        kind: In short: `equal`, `both ways`, `one way`, `none` or `too few`.
    """

    models: tuple[str, str]
    better: list[list[str]]
    undecided: list[str]
    too_few: list[str]
    kind: str


@in_templates
def listed(titles: Sequence[str]) -> str:
    """The titles of metrics, as they stand within a sentence."""
    return "; ".join(title[0].lower() + title[1:] if title[1:2].islower() else title for title in titles)


def verdict(comparison: Comparison, names: Iterable[str]) -> Verdict:
    """What a table of metrics says of two models.

    Args:
        comparison: The models' numbers.
        names: The metrics of the table.

    Returns:
        The verdict.
    """
    rows = table(comparison, names)
    first, second = comparison.models
    better = [[row.title for row in rows if row.winner == of.name] for of in comparison.models]
    undecided, too_few = ([row.title for row in rows if row.verdict == what] for what in (NO_DIFFERENCE, TOO_FEW))
    kind = "both ways" if all(better) else "one way" if any(better) else "none" if undecided else "too few"
    kind = "equal" if np.abs(first.predicted - second.predicted).max() < _SAME else kind
    return Verdict((first.name, second.name), better, undecided, too_few, kind)


def against_untrained(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """Whether training made a model better, in words and for JSON.

    Args:
        comparison: The saved model and the untrained one, in this order.
        names: The metrics that are shown.

    Returns:
        `verdict` (`better`, `worse`, `mixed`, `equal`, `no clear difference`, `too few`), `sentence`, and the titles of
        the metrics that are clearly `better` and `worse`, `worse_by_value_alone`, `undecided` and `too_few`.
    """
    found, rows, worse = verdict(comparison, names), table(comparison, names), []
    for metric in map(metric_meaning, names):
        first, second = (metric.badness(comparison.said(metric.name, model)) for model in comparison.models)
        if metric.can_choose and first - second > _SAME / 10**metric.finer:
            worse.append(metric.title)
    defined = [row for row in rows if row.is_defined]
    shown = "; ".join(f"{listed([row.title])}: {' against '.join(of.text for of in row.values)}" for row in defined)
    kinds = {"both ways": "mixed", "none": NO_DIFFERENCE, "one way": "better" if found.better[0] else "worse"}
    return {
        "verdict": kinds.get(found.kind, found.kind),
        "sentence": say("against_untrained", v=found, values=shown or "nothing that is shown is defined", worse=worse),
        "better": found.better[0],
        "worse": found.better[1],
        "worse_by_value_alone": [title for title in worse if title not in found.better[1]],
        "undecided": found.undecided,
        "too_few": found.too_few,
    }
