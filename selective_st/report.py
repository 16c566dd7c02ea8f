"""The report of `selective-st evaluate`: one HTML file with its tables and pictures, that a stranger understands.

It needs nothing beside itself: no script, no font, no style sheet, no picture from anywhere else.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from markupsafe import Markup, escape

from selective_st._templates import in_templates, render, say
from selective_st.evaluation import RANKING_METRICS, ThresholdConsistency
from selective_st.evaluation.claims import FEWEST, Support, row_of, sentence, table, verdict
from selective_st.evaluation.comparison import Comparison, ModelScores, metric_meaning
from selective_st.evaluation.metrics import NEGATIVE, losses_at
from selective_st.links import IdentityLink, Link

__all__ = ["Measured", "html_report", "summary", "table"]

_WORST = 5  # pairs of each kind that are shown
_LARGE_BIAS = 0.1  # of the range of gold scores, from where a bin is told of


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
        consistency: For each model whether one threshold serves all parts of the data, where that was asked.
        notes: What was decided on the way.
        versions: Versions of the libraries.
        command: The command that made the report.
        texts: The two texts of each pair, to show the worst ones; none to show none.
        link: The link by which an error counts as much as it matters.
        thresholds: The thresholds that one decides at, where these were given: then wrong decisions are what counts.
    """

    data: str
    focus: str
    focus_meaning: str
    main_metric: str
    metrics: Sequence[str]
    score_range: tuple[float, float] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    threshold_notes: Mapping[str, str] = field(default_factory=dict)
    consistency: Mapping[str, ThresholdConsistency] = field(default_factory=dict)
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    texts: Sequence[tuple[str, str]] = ()
    link: Link = field(default_factory=IdentityLink)
    thresholds: Sequence[float] = ()


# --- Sentences --------------------------------------------------------------------------------------------------------


def tabled(comparison: Comparison, measured: Measured) -> list[str]:
    """The metrics that the headline is made from: those of the tables."""
    decided = [f"f1_{model.threshold.suffix}" for model in comparison.models if model.threshold is not None]
    return list(dict.fromkeys([*measured.metrics, *decided, *_rankings(comparison)]))


def _rankings(comparison: Comparison) -> list[str]:
    """The metrics of rankings that are defined."""
    return [name for name in RANKING_METRICS if math.isfinite(comparison.models[0].metrics.get(name, math.nan))]


def _errs(model: ModelScores, *, binary: bool) -> str:
    """Where a model errs most, in the same direction over neighbouring bins."""
    filled = [row for row in model.bins if row["count"]]
    first, last = model.bins[0]["low"], model.bins[-1]["high"]
    pairs, width = int(sum(row["count"] for row in filled)), (last - first) * _LARGE_BIAS
    spans = []
    for sign, group in groupby(filled, lambda row: np.sign(row["bias"]) * (abs(row["bias"]) >= width)):
        rows = list(group)
        if sign:
            count, low, high = int(sum(row["count"] for row in rows)), rows[0]["low"], rows[-1]["high"]
            mean = sum(row["bias"] * row["count"] for row in rows) / count
            is_label = binary and len(rows) == 1
            where = f"the label {0 if high < 1 else 1}" if is_label else f"gold {low:g} to {high:g}"
            spans.append({"where": where, "mean": mean, "support": Support(count, count)})
    some_outside = pairs < len(model.predicted)
    return say("errs", name=model.name, ends=(first, last), width=width, pairs=pairs, outside=some_outside, spans=spans)


def _of_curves(comparison: Comparison, link: Link) -> str:
    """Which of two models decides better at which thresholds; or how much a single one's decisions cost."""
    found = comparison.compared_curves
    if len(comparison.models) == 2:
        text = found.sentence()
        return f"{text if text.startswith(found.models) else text.capitalize()}."
    inside = torch.from_numpy(found.thresholds).clamp(link.domain.low, link.domain.high)
    with torch.no_grad():
        counts = link.sensitivity(inside).nan_to_num(nan=0.0).numpy()
    own, constant = (found.losses * counts).sum(axis=1)
    worst = found.thresholds[found.losses[0].argmax()]
    return say("curve", model=comparison.models[0], ratio=own / constant if constant else math.nan, worst=worst)


def _said(comparison: Comparison, measured: Measured) -> dict[str, list[str]]:
    """The sentences, by the part of the page that they stand in; of the last three parts one for each model."""
    main, models, more = measured.main_metric, comparison.models, []
    if any(main not in model.metrics for model in models):
        known = ", ".join(models[0].metrics)
        raise ValueError(f"main_metric must be one of the metrics compared, got {main!r}. Choose one of {known}.")
    by_metric = say("main_metric", row=row_of(comparison, main), better=metric_meaning(main).better)
    if len(models) == 2:
        more.append(sentence(say("headline", v=verdict(comparison, tabled(comparison, measured)))))
    if main != "spearman":
        more.append(say("order", row=row_of(comparison, "spearman")))
    if "map" in _rankings(comparison):
        more.append(say("ranking", row=row_of(comparison, "map")))
    return {
        "verdict": [_of_curves(comparison, measured.link), by_metric],
        "more": more,
        "squeezes": [say("squeeze", model=model, support=comparison.support["spread"]) for model in models],
        "errs": [_errs(model, binary=comparison.is_binary) for model in models],
        "decided": [say("threshold", model=of, note=measured.threshold_notes.get(of.name, "")) for of in models],
    }


def summary(comparison: Comparison, measured: Measured) -> list[str]:
    """The report in a few sentences.

    Args:
        comparison: The numbers.
        measured: What was measured.

    Returns:
        The sentences, the most important first.
    """
    said = _said(comparison, measured)
    of_models = zip(said["squeezes"], said["errs"], said["decided"], strict=True)
    return [*said["verdict"], *said["more"], *chain(*of_models)]


# --- The worst pairs --------------------------------------------------------------------------------------------------


class Worst(NamedTuple):
    """A pair that a model errs on: its texts, its gold score, and each model's score."""

    first: str
    second: str
    gold: float
    scores: tuple[float, ...]


def worst_pairs(comparison: Comparison, measured: Measured) -> dict[str, list[Worst]]:
    """The pairs whose scores cost the first model most where it matters: at the thresholds, or by the link's loss.

    Args:
        comparison: The scores.
        measured: The texts, and what matters.

    Returns:
        Those scored too high and those scored too low, the worst first; nothing without texts.
    """
    if not measured.texts:
        return {}
    gold, scores = comparison.gold, comparison.models[0].predicted
    if measured.thresholds:
        costs = np.sum([losses_at(gold, scores, at) for at in measured.thresholds], axis=0)
    else:
        with torch.no_grad():
            of_link = measured.link.divergence(torch.from_numpy(scores), torch.from_numpy(gold))
        costs = of_link.nan_to_num(nan=0.0).numpy()
    models = np.stack([model.predicted for model in comparison.models], axis=1).tolist()
    found = {}
    for kind, sign in (("scored too high", 1), ("scored too low", -1)):
        cost = np.where((scores - gold) * sign > 0, costs, 0.0)
        worst = np.argsort(-cost, kind="stable")[:_WORST].tolist()
        pairs = [(*map(str, measured.texts[row]), gold[row], tuple(models[row])) for row in worst if cost[row] > 0]
        found[kind] = [Worst(*pair) for pair in pairs]
    return found


# --- The page ---------------------------------------------------------------------------------------------------------


@in_templates
def broken(text: str) -> Markup:
    """A name for a table's narrow cells: it may break where its parts meet."""
    parts = re.split(r"(?<=[-_/.])(?=\w)|(?<=[a-z])(?=[A-Z])", text)
    return Markup("<wbr>").join(escape(part) for part in parts)


def html_report(comparison: Comparison, measured: Measured, pictures: Mapping[str, Path]) -> str:
    """Write the report.

    Args:
        comparison: The numbers.
        measured: What was measured.
        pictures: PNG files by what they show, in order: the captions start with `Loss` or `Scores`, which says where
            they stand. Without any, the report has its tables only.

    Returns:
        The HTML of one page that needs no other file.
    """
    said = _said(comparison, measured)
    suffixes = [model.threshold.suffix for model in comparison.models if model.threshold is not None]
    if len(suffixes) == 2 and suffixes[0] == suffixes[1]:  # both decide for the same
        said["decided"].append(say("thresholds_compared", row=row_of(comparison, f"f1_{suffixes[0]}")))
    # What is read of metrics is explained on the page: of those that say how good a model is.
    names = dict.fromkeys(name for model in comparison.models for name in model.metrics if comparison.is_defined(name))
    shown = {caption: base64.b64encode(path.read_bytes()).decode("ascii") for caption, path in pictures.items()}
    return render(
        "report.html",
        comparison=comparison,
        measured=measured,
        **said,
        worst=worst_pairs(comparison, measured),
        says=say("gold", comparison=comparison, score_range=measured.score_range),
        results=table(comparison, measured.metrics),
        fewest=FEWEST,
        rankings=table(comparison, _rankings(comparison)),
        measures=[of for of in map(metric_meaning, names) if of.better and not of.name.startswith(NEGATIVE)],
        curve_pictures={caption: of for caption, of in shown.items() if caption.startswith("Loss")},
        score_pictures={caption: of for caption, of in shown.items() if caption.startswith("Scores")},
        lacks_pictures=not pictures,
    )
