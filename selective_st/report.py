"""The report of `selective-st evaluate`: one HTML file with its tables and pictures, that a stranger understands.

It needs nothing beside itself: no script, no font, no style sheet, no picture from anywhere else.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from selective_st._validation import instance_of, list_of
from selective_st.evaluation import RANKING_METRICS
from selective_st.evaluation.claims import (
    FEWEST,
    NO_DIFFERENCE,
    NOT_DEFINED,
    TOO_FEW,
    Support,
    counted,
    figure,
    figures,
    sentence,
    verdict,
)
from selective_st.evaluation.comparison import Comparison, ModelScores, metric_meaning
from selective_st.evaluation.thresholds import ScoreThreshold

__all__ = ["Measured", "Row", "html_report", "summary", "table"]

_LARGE_BIAS = 0.1  # of the range of gold scores, from where a bin is told of
_FEW_PAIRS = 30
_DECISION_LABELS = ("found rightly", "found wrongly", "missed", "left rightly", "precision", "recall", "F1")


@dataclass(frozen=True)
class Measured:
    """What was measured, and how.

    Attributes:
        data: What the pairs are called.
        focus: Which scores matter, as it was said.
        focus_meaning: The same in a sentence's end, such as "gold scores from 0.8 to 1".
        main_metric: The metric that says most about them.
        metrics: The metrics of the first table, the main one first.
        score_range: The labels' own scale, where it was mapped to 0 to 1.
        sources: For each model where it comes from: its path or hub name.
        threshold_notes: For each model why there is a threshold, or none.
        notes: What was decided on the way.
        versions: Versions of the libraries.
        command: The command that made the report.
    """

    data: str
    focus: str
    focus_meaning: str
    main_metric: str
    metrics: Sequence[str]
    score_range: tuple[float, float] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    threshold_notes: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    def __post_init__(self) -> None:
        for name in ("data", "focus", "focus_meaning"):
            instance_of("Measured", name, getattr(self, name), str, f'Write {name}="...".')
        metrics = list_of("Measured", "metrics", self.metrics, "names", '["spearman"]')
        if not metrics:
            raise ValueError('Measured: metrics must hold at least one name, got none. Write metrics=["spearman"].')
        for name in (self.main_metric, *metrics):
            metric_meaning(name)  # refuses what is no metric


def _check(owner: str, comparison: Any, measured: Any) -> None:
    instance_of(owner, "comparison", comparison, Comparison, "Give what compare(gold, predicted) gives.")
    instance_of(owner, "measured", measured, Measured, "Write Measured(...).")
    for model in comparison.models:
        if measured.main_metric not in model.metrics:
            raise ValueError(
                f"{owner}: main_metric must be one of the metrics compared, got {measured.main_metric!r}. Choose one "
                f"of {', '.join(model.metrics)}."
            )


# --- Tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """A model's number in a row, with its interval, and whether it is the better one."""

    text: str
    interval: str
    best: bool


@dataclass(frozen=True)
class Row:
    """A row of the table of metrics, as people read it.

    Attributes:
        title: What the metric is called.
        meaning: What it says, and which end is better.
        support: What it rests on.
        values: Each model's number.
        difference: With two models, the first less the second.
        interval: Its 95 % interval.
        verdict: Which is better.
    """

    title: str
    meaning: str
    support: str
    values: tuple[Value, ...]
    difference: str = ""
    interval: str = ""
    verdict: str = ""


def table(comparison: Comparison, names: Iterable[str]) -> list[Row]:
    """The rows of a table of metrics; for the page and the console alike.

    Args:
        comparison: The numbers.
        names: The metrics, in order.

    Returns:
        The rows.
    """
    return [_row(comparison, name) for name in dict.fromkeys(names)]


def _row(comparison: Comparison, name: str) -> Row:
    meaning, support, found = metric_meaning(name), comparison.support.get(name), comparison.differences.get(name)
    better = f" {meaning.better.capitalize()} is better." if meaning.better else ""
    values = []
    for number, model in enumerate(comparison.models):
        text = figure(model.metrics[name], support) if name in model.metrics else ""
        best = found is not None and found.better == number
        values.append(Value(text, figures(model.intervals.get(name), support), best))
    row = Row(meaning.title, meaning.meaning + better, str(support or ""), tuple(values))
    if found is None:
        return row
    winner = NO_DIFFERENCE if found.better is None else comparison.models[found.better].name
    return Row(
        row.title,
        row.meaning,
        row.support,
        row.values,
        figure(found.value, support, signed=True),
        figures((found.low, found.high), support, signed=True),
        TOO_FEW if support is not None and support.too_few else winner,
    )


def tabled(comparison: Comparison, measured: Measured) -> list[str]:
    """The metrics that the headline is made from: those of the tables."""
    thresholds = [model.threshold for model in comparison.models if model.threshold is not None]
    decided = [f"f1_{threshold.suffix}" for threshold in thresholds]
    return list(dict.fromkeys([*measured.metrics, *decided, *_rankings(comparison)]))


def _rankings(comparison: Comparison) -> list[str]:
    """The metrics of rankings that are defined."""
    return [name for name in RANKING_METRICS if math.isfinite(comparison.models[0].metrics.get(name, math.nan))]


# --- Sentences --------------------------------------------------------------------------------------------------------


def _main_sentence(comparison: Comparison, measured: Measured) -> str:
    """What the main metric says."""
    row, name = _row(comparison, measured.main_metric), measured.main_metric
    what = f"It says most of what matters here, {measured.focus_meaning}."
    texts = [value.text for value in row.values]
    if NOT_DEFINED in texts:
        return f"{row.title}: not defined, as it rests on {row.support}. {what}"
    interval = row.interval if len(texts) == 2 else row.values[0].interval
    shown = f" (95 % interval {interval})" if interval else ""
    difference = f", difference {row.difference}" if row.difference else ""
    winner = {NO_DIFFERENCE: f": {NO_DIFFERENCE}", TOO_FEW: "", "": ""}.get(row.verdict, f": {row.verdict} is better")
    better = metric_meaning(name).better
    end = f"; {better} is better" if better and not winner else ""
    return f"{row.title}: {' against '.join(texts)}{difference}{shown}, from {row.support}{winner}{end}. {what}"


def _sentence_on(comparison: Comparison, name: str, one: str, none: str, better: str) -> str:
    """What a metric says: of one model, of two alike, or with `{}` for the better one."""
    row = _row(comparison, name)
    found = comparison.differences.get(name)
    values = f"{row.title if name != 'spearman' else 'rank correlation'} "
    values += f"{' against '.join(value.text for value in row.values)}, from {row.support}"
    if len(comparison.models) == 1 or row.verdict == TOO_FEW or NOT_DEFINED in values:
        return f"{one}: {values}."
    if found is None or found.better is None:
        return f"{none}: {values}."
    return f"{better.format(comparison.models[found.better].name)}: {values}."


def _squeeze_sentence(model: ModelScores, comparison: Comparison) -> str:
    support = comparison.support["spread"]
    if support.too_few:
        return f"Whether the scores of {model.name} are squeezed cannot be said of {support}: {TOO_FEW}."
    if model.squeeze == "unknown":
        return f"Whether the scores of {model.name} are squeezed cannot be said: the gold scores are all alike."
    ends = figures((model.metrics["q5"], model.metrics["q95"]), support)
    said = {
        "squeezed": "are squeezed together",
        "stretched": "are stretched",
        "as wide as gold": "are about as spread as the gold scores",
    }[model.squeeze]
    wide = f"{model.metrics['spread']:.2g} times as wide as gold's"
    return f"The scores of {model.name} {said}: their middle 90 % lie from {ends}, {wide}."


def _bias_sentence(model: ModelScores, *, binary: bool) -> str:
    """Where a model errs most, in the same direction over neighbouring bins."""
    filled = [row for row in model.bins if row["count"]]
    first, last = model.bins[0]["low"], model.bins[-1]["high"]
    if not filled:
        return f"No pair has gold {first:g} to {last:g}, so where {model.name} errs there cannot be said."
    count = sum(row["count"] for row in filled)
    within, off = (f"For gold {first:g} to {last:g}, ", "off") if count < len(model.predicted) else ("", "Off")
    width = (last - first) * _LARGE_BIAS
    spans: list[tuple[int, list[Mapping[str, float]]]] = []
    for row in filled:
        sign = 0 if abs(row["bias"]) < width else 1 if row["bias"] > 0 else -1
        if spans and spans[-1][0] == sign:
            spans[-1][1].append(row)
        else:
            spans.append((sign, [row]))
    parts = []
    for sign, rows in spans:
        if sign:
            of_span = int(sum(row["count"] for row in rows))
            mean = sum(row["bias"] * row["count"] for row in rows) / of_span
            low, high = rows[0]["low"], rows[-1]["high"]
            where = "the label 0" if high < 1 else "the label 1"
            where = where if binary and len(rows) == 1 else f"gold {low:g} to {high:g}"
            shown = figure(mean, Support(of_span, of_span), signed=True).removesuffix(f" ({TOO_FEW})")
            few = f": {TOO_FEW}" if of_span < FEWEST else ""
            parts.append(
                f"too {'high' if sign > 0 else 'low'} for {where} (on average {shown}, {counted(of_span, 'pair')}{few})"
            )
    if not parts:
        few = f" ({counted(int(count), 'pair')}: {TOO_FEW} to rely on)" if count < FEWEST else ""
        return f"{within}{model.name} is nowhere off by more than {width:.2g} on average{few}."
    return f"{within}{off} by {width:.2g} or more on average, {model.name} scores {' and '.join(parts)}."


def _threshold_sentence(model: ModelScores, note: str) -> str:
    threshold, decided = model.threshold, model.decisions
    if threshold is None or decided is None:
        return f"{model.name} has no threshold: {note}" if note else f"{model.name} has no threshold."
    precision, recall = (model.metrics[f"{name}_{threshold.suffix}"] for name in ("precision", "recall"))
    found, sought = (decided["found"] + decided[other] for other in ("found_wrongly", "missed"))
    sign = "at least" if threshold.side == "at_least" else "at most"
    return (
        f"Calling a pair found when {model.name} scores it {sign} {threshold.value:.3f} gives precision "
        f"{figure(precision, Support(found, found))} ({decided['found']:,} of {found:,} found rightly) and recall "
        f"{figure(recall, Support(sought, sought))} ({decided['found']:,} of {sought:,}) for gold {sign} "
        f"{threshold.gold:g}. How the threshold was chosen: {note or _chosen_how(threshold)}."
    )


def _chosen_how(threshold: ScoreThreshold) -> str:
    return "it was given" if threshold.metric is None else str(threshold).partition(": ")[2]


def summary(comparison: Comparison, measured: Measured) -> list[str]:
    """The report in a few sentences.

    Args:
        comparison: The numbers.
        measured: What was measured.

    Returns:
        The sentences, the most important first.
    """
    _check("summary", comparison, measured)
    sentences = []
    if len(comparison.models) == 2:
        sentences.append(sentence(verdict(comparison, tabled(comparison, measured)).headline()))
    sentences.append(_main_sentence(comparison, measured))
    if measured.main_metric != "spearman":
        none = "Over all pairs, there is no clear difference in how well they are ordered"
        sentences.append(
            _sentence_on(comparison, "spearman", "Over all pairs", none, "Over all pairs, {} orders better")
        )
    if "map" in _rankings(comparison):
        rank = "rank the candidates of a text"
        none = f"There is no clear difference in how well the scores {rank}"
        one, better = f"How well the scores {rank}", f"The scores of {{}} better {rank}"
        sentences.append(_sentence_on(comparison, "map", one, none, better))
    for model in comparison.models:
        sentences.append(_squeeze_sentence(model, comparison))
        sentences.append(_bias_sentence(model, binary=comparison.is_binary))
        sentences.append(_threshold_sentence(model, measured.threshold_notes.get(model.name, "")))
    return sentences


# --- The page ---------------------------------------------------------------------------------------------------------


def _broken(text: str) -> Markup:
    """A name for a table's narrow cells: it may break where its parts meet."""
    parts = re.split(r"(?<=[-_/.])(?=\w)|(?<=[a-z])(?=[A-Z])", text)
    return Markup("<wbr>").join(escape(part) for part in parts)


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("selective_st", "templates"), autoescape=True, trim_blocks=True, undefined=StrictUndefined
    )
    found.filters["broken"] = _broken
    return found


def html_report(comparison: Comparison, measured: Measured, pictures: Mapping[str, Path]) -> str:
    """Write the report.

    Args:
        comparison: The numbers.
        measured: What was measured.
        pictures: PNG files by what they show, in order: the captions start with `Scores`, `Error` or `Bias`, which
            says where they stand. Without any, the report has its tables only.

    Returns:
        The HTML of one page that needs no other file.
    """
    owner = "html_report"
    _check(owner, comparison, measured)
    mend = 'Write {"Error by gold score": Path("error.png")}, or {} for none.'
    for caption, path in instance_of(owner, "pictures", pictures, Mapping, mend).items():
        if not instance_of(owner, f"pictures[{caption!r}]", path, Path, mend).is_file():
            raise ValueError(f"{owner}: pictures[{caption!r}] must be a PNG file, but {path} does not exist. {mend}")
    names = [model.name for model in comparison.models]
    notes = list(measured.notes)
    if not pictures:
        notes.append('there are no pictures, as matplotlib is missing: pip install "selective-st[plot]"')
    difference_is = (
        f" Difference: {' less '.join(names)}. One is called better only where the difference's interval leaves out 0."
        if len(names) == 2
        else ""
    )
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=f"How well {names[0]} scores text pairs" + (f", against {names[1]}" if len(names) == 2 else ""),
            pairs=counted(len(comparison.gold), "text pair"),
            names=names,
            measured=measured,
            summary=summary(comparison, measured),
            says=_says(comparison, measured),
            warnings=_warnings(comparison),
            results=table(comparison, measured.metrics),
            fewest=FEWEST,
            difference_is=difference_is,
            errs=[_bias_sentence(model, binary=comparison.is_binary) for model in comparison.models],
            error_pictures=_chosen(pictures, ("Error", "Bias")),
            bins=_bins(comparison),
            squeezes=[_squeeze_sentence(model, comparison) for model in comparison.models],
            quantiles=[name[1:] for name in comparison.gold_quantiles],
            spreads=_spreads(comparison),
            score_pictures=_chosen(pictures, ("Scores",)),
            decided=_decided(comparison, measured),
            decisions=_decisions(comparison),
            decision_labels=_DECISION_LABELS,
            rankings=table(comparison, _rankings(comparison)),
            resamples=f"{comparison.resamples:,}",
            notes=notes,
        )
    )


def _says(comparison: Comparison, measured: Measured) -> str:
    """What the label of a pair says."""
    gold = comparison.gold
    if comparison.is_binary:
        return f"a label, the gold score: 1 where its texts belong together ({np.sum(gold == 1):,} pairs), else 0"
    scale = ""
    if measured.score_range is not None:
        scale = f" (labels from {measured.score_range[0]:g} to {measured.score_range[1]:g}, mapped to 0 to 1)"
    return f"a gold score, which says how alike its texts are: from {gold.min():g} to {gold.max():g} here{scale}"


def _warnings(comparison: Comparison) -> list[str]:
    """What forbids to conclude much."""
    pairs = len(comparison.gold)
    found = [f"There are only {counted(pairs, 'pair')}: {TOO_FEW} to conclude much."] if pairs < _FEW_PAIRS else []
    if np.ptp(comparison.gold) == 0:
        found.append("All labels are equal: no model can be better than another in order, or in finding pairs.")
    return found


@dataclass(frozen=True)
class _Bin:
    """A row of the table of bins: error and bias of each model."""

    ends: str
    count: str
    values: tuple[tuple[str, str], ...]


def _bins(comparison: Comparison) -> list[_Bin]:
    rows = []
    for number, row in enumerate(comparison.models[0].bins):
        support = Support(int(row["count"]), int(row["count"]))
        if support.cases:
            of_models = [model.bins[number] for model in comparison.models]
            values = tuple(
                (figure(found["rmse"], support), figure(found["bias"], support, signed=True)) for found in of_models
            )
            rows.append(_Bin(f"{row['low']:g} to {row['high']:g}", f"{support.cases:,}", values))
    return rows


def _spreads(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """The quantiles and the spread of the gold scores and of each model's."""
    support = comparison.support["spread"]
    rows = [("gold", {**comparison.gold_quantiles, "spread": 1.0})]
    rows += [(model.name, model.metrics) for model in comparison.models]
    names = (*comparison.gold_quantiles, "spread")
    return [(name, [figure(values[key], support) for key in names]) for name, values in rows]


def _decided(comparison: Comparison, measured: Measured) -> list[str]:
    """What the thresholds decide, and how they came about."""
    notes = measured.threshold_notes
    paragraphs = [_threshold_sentence(model, notes.get(model.name, "")) for model in comparison.models]
    suffixes = [model.threshold.suffix for model in comparison.models if model.threshold is not None]
    if len(suffixes) == 2 and suffixes[0] == suffixes[1]:
        row = _row(comparison, f"f1_{suffixes[0]}")
        said = f"{row.verdict} decides better"
        if row.verdict in (NO_DIFFERENCE, TOO_FEW):
            said = "No clear difference in F1" if row.verdict == NO_DIFFERENCE else "Too few pairs to compare F1"
        interval = f" (95 % interval {row.interval})" if row.interval else ""
        paragraphs.append(f"{said}: it differs by {row.difference}{interval}, from {row.support}.")
    return paragraphs


def _decisions(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """For each model with a threshold its counts and shares."""
    rows = []
    for model in comparison.models:
        if model.threshold is not None and model.decisions is not None:
            names = [f"{name}_{model.threshold.suffix}" for name in ("precision", "recall", "f1")]
            shares = [figure(model.metrics[name], comparison.support[name]) for name in names]
            rows.append((model.name, [*(f"{count:,}" for count in model.decisions.values()), *shares]))
    return rows


def _chosen(pictures: Mapping[str, Path], starts: tuple[str, ...]) -> dict[str, str]:
    """The pictures whose caption starts so, as text."""
    found = {caption: path for caption, path in pictures.items() if caption.startswith(starts)}
    return {caption: base64.b64encode(path.read_bytes()).decode("ascii") for caption, path in found.items()}
