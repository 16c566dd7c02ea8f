"""The report of `selective-st evaluate`: one HTML file with its tables and pictures, that a stranger understands.

It needs nothing beside itself: no script, no font, no style sheet, no picture from anywhere else.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from selective_st._validation import instance_of, list_of
from selective_st.evaluation import RANKING_METRICS
from selective_st.evaluation.comparison import Comparison, Difference, ModelScores, metric_meaning
from selective_st.evaluation.thresholds import ScoreThreshold

__all__ = ["Measured", "html_report", "summary"]

_NO_DIFFERENCE = "no clear difference"
_LARGE_BIAS = 0.1  # of the range of gold scores, from where a bin is told of
_FEW_PAIRS = 30


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


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 70rem; color: #1c1c1c; background: #fff;
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; padding-top: .5rem; border-top: 1px solid #ccc; }
p, ul { max-width: 46rem; margin: .5rem 0; }
li { margin: .3rem 0; }
.short { border-left: 4px solid #0072b2; background: #f2f6f9; padding: .6rem 1.1rem; margin: 1rem 0; }
.short p:first-child { font-weight: 600; margin-top: 0; }
.short ul { padding-left: 1.1rem; margin-bottom: 0; }
.muted { color: #555; font-size: .9rem; }
table { border-collapse: collapse; margin: .75rem 0; font-size: .95rem; }
caption { text-align: left; color: #555; font-size: .9rem; padding-bottom: .35rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid #ddd; }
thead th { border-bottom: 2px solid #888; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td small, th small { display: block; color: #555; font-weight: normal; font-size: .85rem; }
th small { max-width: 26rem; white-space: normal; }
thead th.n { white-space: normal; }
thead th.n, td.name { max-width: 10rem; overflow-wrap: break-word; }
tbody th { font-weight: 600; }
table.results tbody th { min-width: 14rem; }
.best { font-weight: 700; }
.pictures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem 2rem; margin: 1rem 0; }
figure { margin: 0; break-inside: avoid; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: #555; font-size: .9rem; }
code { font-size: .9em; overflow-wrap: anywhere; }
@media (max-width: 44rem) {
  body { padding: 1rem .9rem 2rem; }
  .pictures { grid-template-columns: minmax(0, 1fr); }
  table.wide, table.wide tbody, table.wide tr, table.wide th, table.wide td { display: block; }
  table.wide caption { display: block; }
  table.wide thead { position: absolute; left: -999rem; }
  table.wide tr { border-bottom: 1px solid #bbb; padding: .5rem 0; }
  table.wide th, table.wide td { border: 0; padding: .1rem 0; text-align: left; }
  table.wide td { display: flex; justify-content: space-between; gap: 1rem; white-space: normal; }
  table.wide td.name { max-width: none; }
  table.wide td::before { content: attr(data-label); color: #555; }
  table.wide td > span { text-align: right; }
  th, td { padding-right: .6rem; }
}
@media print {
  @page { margin: 1.6cm; }
  html { font-size: 9.5pt; }
  body { padding: 0; max-width: none; }
  .short { background: none; border-left-color: #000; }
  .muted, caption, figcaption, td small, th small { color: #333; }
  h2 { break-after: avoid; }
  tr, figure, .short { break-inside: avoid; }
  thead { display: table-header-group; }
}
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="muted">$subtitle</p>
</header>
<main>
$body
</main>
</body>
</html>
""")


def _number(value: float, *, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "not defined"
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _name(text: str) -> str:
    """A name for a table's narrow cells: it may break where its parts meet."""
    parts = re.split(r"(?<=[-_/.])(?=\w)|(?<=[a-z])(?=[A-Z])", text)
    return "<wbr>".join(escape(part) for part in parts)


def _range(ends: tuple[float, float] | None, *, signed: bool = False) -> str:
    if ends is None or not all(map(math.isfinite, ends)):
        return ""
    return f"{_number(ends[0], signed=signed)} to {_number(ends[1], signed=signed)}"


def _verdict(comparison: Comparison, difference: Difference) -> str:
    return _NO_DIFFERENCE if difference.better is None else comparison.models[difference.better].name


def _main_sentence(comparison: Comparison, measured: Measured) -> str:
    """What the main metric says."""
    meaning = metric_meaning(measured.main_metric)
    first = comparison.models[0]
    value = first.metrics[measured.main_metric]
    better = f", {meaning.better} is better" if meaning.better else ""
    if len(comparison.models) == 1:
        interval = _range(first.intervals.get(measured.main_metric))
        shown = f" (95 % interval {interval})" if interval else ""
        return f"Where it matters ({measured.focus_meaning}): {meaning.title}: {_number(value)}{shown}{better}."
    other = comparison.models[1]
    text = f"{meaning.title}: {_number(value)} against {_number(other.metrics[measured.main_metric])}{better}"
    found = comparison.differences.get(measured.main_metric)
    if found is None:
        return f"Where it matters ({measured.focus_meaning}), the models cannot be compared. {text}."
    interval = _range((found.low, found.high), signed=True)
    text += f", difference {_number(found.value, signed=True)}" + (f" (95 % interval {interval})" if interval else "")
    if found.better is None:
        return f"Where it matters ({measured.focus_meaning}), there is no clear difference. {text}."
    return f"Where it matters ({measured.focus_meaning}), {comparison.models[found.better].name} is better. {text}."


def _order_sentence(comparison: Comparison, measured: Measured) -> str:
    if len(comparison.models) == 1:
        return f"Over all pairs: rank correlation {_number(comparison.models[0].metrics['spearman'])}."
    found = comparison.differences.get("spearman")
    values = " against ".join(_number(model.metrics["spearman"]) for model in comparison.models)
    if found is None or found.better is None:
        return f"Over all pairs, there is no clear difference in how well they are ordered: rank correlation {values}."
    return f"Over all pairs, {comparison.models[found.better].name} orders better: rank correlation {values}."


def _squeeze_sentence(model: ModelScores) -> str:
    spread = model.metrics["spread"]
    if model.squeeze == "unknown":
        return f"Whether the scores of {model.name} are squeezed cannot be said: the gold scores are all alike."
    ends = _range((model.metrics["q5"], model.metrics["q95"]))
    verdict = {
        "squeezed": "are squeezed together",
        "stretched": "are stretched",
        "as wide as gold": "are about as spread as the gold scores",
    }[model.squeeze]
    wide = f"{spread:.2f} times as wide as gold's"
    return f"The scores of {model.name} {verdict}: their middle 90 % lie from {ends}, {wide}."


def _bias_sentence(model: ModelScores, *, binary: bool) -> str:
    """Where a model errs most, in the same direction over neighbouring bins."""
    filled = [row for row in model.bins if row["count"]]
    first, last = model.bins[0]["low"], model.bins[-1]["high"]
    if not filled:
        return f"No pair has gold {first:g} to {last:g}, so where {model.name} errs there cannot be said."
    beyond = sum(row["count"] for row in filled) < len(model.predicted)  # some pairs are in no bin
    within, off = (f"For gold {first:g} to {last:g}, ", "off") if beyond else ("", "Off")
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
            count = sum(row["count"] for row in rows)
            mean = sum(row["bias"] * row["count"] for row in rows) / count
            low, high = rows[0]["low"], rows[-1]["high"]
            where = "the label 0" if high < 1 else "the label 1"
            where = where if binary and len(rows) == 1 else f"gold {low:g} to {high:g}"
            parts.append(
                f"too {'high' if sign > 0 else 'low'} for {where} (on average {_number(mean, signed=True)}, "
                f"{count:,.0f} pairs)"
            )
    if not parts:
        return f"{within}{model.name} is nowhere off by more than {width:.2g} on average."
    return f"{within}{off} by {width:.2g} or more on average, {model.name} scores {' and '.join(parts)}."


def _ranking_sentence(comparison: Comparison) -> str:
    values = " against ".join(_number(model.metrics["map"]) for model in comparison.models)
    text = f"rank the candidates of a text: MAP {values}, higher is better"
    found = comparison.differences.get("map")
    if len(comparison.models) == 1:
        return f"How well the scores {text}."
    if found is None or found.better is None:
        return f"There is no clear difference in how well the scores {text}."
    return f"The scores of {comparison.models[found.better].name} better {text}."


def _threshold_sentence(model: ModelScores, note: str) -> str:
    threshold = model.threshold
    if threshold is None:
        return f"{model.name} has no threshold: {note}" if note else f"{model.name} has no threshold."
    suffix = threshold.suffix
    precision, recall = (model.metrics[f"{name}_{suffix}"] for name in ("precision", "recall"))
    sign = "at least" if threshold.side == "at_least" else "at most"
    return (
        f"Calling a pair found when {model.name} scores it {sign} {threshold.value:.3f} gives precision "
        f"{_number(precision)} and recall {_number(recall)} for gold {sign} {threshold.gold:g}."
    )


def summary(comparison: Comparison, measured: Measured) -> list[str]:
    """The report in a few sentences.

    Args:
        comparison: The numbers.
        measured: What was measured.

    Returns:
        The sentences, the most important first.
    """
    _check("summary", comparison, measured)
    sentences = [_main_sentence(comparison, measured)]
    if measured.main_metric != "spearman":
        sentences.append(_order_sentence(comparison, measured))
    if math.isfinite(comparison.models[0].metrics.get("map", math.nan)):
        sentences.append(_ranking_sentence(comparison))
    for model in comparison.models:
        sentences.append(_squeeze_sentence(model))
        sentences.append(_bias_sentence(model, binary=comparison.is_binary))
        sentences.append(_threshold_sentence(model, measured.threshold_notes.get(model.name, "")))
    return sentences


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
    title = f"How well {names[0]} scores text pairs" + (f", against {names[1]}" if len(names) == 2 else "")
    ranked = comparison.models[0].metrics.get("questions")
    parts = [
        _short(comparison, measured),
        _what(comparison, measured),
        _results(comparison, measured),
        _where(comparison, _chosen(pictures, ("Error", "Bias"))),
        _squeezed(comparison, _chosen(pictures, ("Scores",))),
        _decisions(comparison, measured),
        _ranking(comparison) if ranked else "",
        _about(comparison, measured, bool(pictures)),
    ]
    subtitle = f"{len(comparison.gold):,} pairs from {measured.data}; what matters: {measured.focus_meaning}"
    return _PAGE.substitute(title=escape(title), subtitle=escape(subtitle), body="\n".join(filter(None, parts)))


def _short(comparison: Comparison, measured: Measured) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in summary(comparison, measured))
    return f'<section class="short"><p>In short</p><ul>{items}</ul></section>'


def _what(comparison: Comparison, measured: Measured) -> str:
    gold = comparison.gold
    scale = ""
    if measured.score_range is not None:
        scale = f" (labels from {measured.score_range[0]:g} to {measured.score_range[1]:g}, mapped to 0 to 1)"
    models = ", ".join(
        f"<b>{escape(name)}</b> (<code>{escape(path)}</code>)" for name, path in measured.sources.items()
    )
    few = ""
    if len(gold) < _FEW_PAIRS:
        few = f"<p><b>There are only {len(gold)} pairs: too few to conclude much.</b></p>"
    says = f"a gold score, which says how alike its texts are: from {gold.min():g} to {gold.max():g} here{scale}"
    if comparison.is_binary:
        says = f"a label, the gold score: 1 where its texts belong together ({np.sum(gold == 1):,} pairs), else 0"
    return f"""<section><h2>What was measured</h2>
<p>Each of the {len(gold):,} text pairs of <b>{escape(measured.data)}</b> has {says}. The
model gives each pair a score of its own, from the texts alone. This report compares the two.</p>
<p>Model{"s" if len(measured.sources) > 1 else ""}: {models}.</p>
<p>What matters most here: {escape(measured.focus_meaning)} (focus <code>{escape(measured.focus)}</code>). The other
scores are measured too.</p>{few}</section>"""


def _value(model: ModelScores, name: str, *, best: bool) -> str:
    interval = _range(model.intervals.get(name))
    style = ' class="best"' if best else ""
    small = f"<small>{interval}</small>" if interval else ""
    return f"<span{style}>{_number(model.metrics.get(name, math.nan))}{small}</span>"


def _metrics_table(comparison: Comparison, names: Sequence[str], caption: str) -> str:
    both = len(comparison.models) == 2
    heads = "".join(f'<th scope="col" class="n">{_name(model.name)}</th>' for model in comparison.models)
    if both:
        heads += '<th scope="col" class="n">difference</th><th scope="col">better</th>'
    rows = []
    for name in names:
        meaning = metric_meaning(name)
        found = comparison.differences.get(name)
        cells = "".join(
            f'<td class="n" data-label="{escape(model.name)}">'
            f"{_value(model, name, best=found is not None and found.better == number)}</td>"
            for number, model in enumerate(comparison.models)
        )
        if both and found is not None:
            interval = _range((found.low, found.high), signed=True)
            cells += (
                f'<td class="n" data-label="difference"><span>{_number(found.value, signed=True)}'
                f'<small>{interval}</small></span></td><td class="name" data-label="better"><span>'
                f"{_name(_verdict(comparison, found))}</span></td>"
            )
        elif both:
            empty = "<span></span></td>"
            cells += f'<td class="n" data-label="difference">{empty}<td class="name" data-label="better">{empty}'
        better = f" {meaning.better.capitalize()} is better." if meaning.better else ""
        rows.append(
            f'<tr><th scope="row">{escape(meaning.title)}<small>{escape(meaning.meaning + better)}</small></th>'
            f"{cells}</tr>"
        )
    return (
        f'<table class="wide results"><caption>{escape(caption)}</caption><thead><tr><th scope="col">metric</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _results(comparison: Comparison, measured: Measured) -> str:
    caption = "Small print under a number: its 95 % interval."
    if len(comparison.models) == 2:
        first, second = (model.name for model in comparison.models)
        caption += (
            f" Difference: {first} less {second}. One is called better only where the difference's interval leaves "
            "out 0."
        )
    return f"<section><h2>Results</h2>{_metrics_table(comparison, measured.metrics, caption)}</section>"


def _where(comparison: Comparison, pictures: Mapping[str, Path]) -> str:
    heads = "".join(
        f'<th scope="col" class="n">{_name(model.name)}: error</th><th scope="col" class="n">bias</th>'
        for model in comparison.models
    )
    rows = []
    for number, row in enumerate(comparison.models[0].bins):
        if not row["count"]:
            continue
        cells = "".join(
            f'<td class="n" data-label="{escape(model.name)}: error"><span>{_number(model.bins[number]["rmse"])}</span>'
            f'</td><td class="n" data-label="{escape(model.name)}: bias"><span>'
            f"{_number(model.bins[number]['bias'], signed=True)}</span></td>"
            for model in comparison.models
        )
        rows.append(
            f'<tr><th scope="row">{row["low"]:g} to {row["high"]:g}</th><td class="n" data-label="pairs"><span>'
            f"{row['count']:,}</span></td>{cells}</tr>"
        )
    sentences = " ".join(escape(_bias_sentence(model, binary=comparison.is_binary)) for model in comparison.models)
    return f"""<section><h2>Where does each model err?</h2>
<p>{sentences}</p>{_figures(pictures)}
<table class="wide"><caption>Error (root mean squared, a typical distance between predicted and gold) and bias
(mean of predicted less gold) in bins of the gold score</caption><thead><tr><th scope="col">gold score</th>
<th scope="col" class="n">pairs</th>
{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></section>"""


def _squeezed(comparison: Comparison, pictures: Mapping[str, Path]) -> str:
    names = list(comparison.gold_quantiles)
    heads = "".join(f'<th scope="col" class="n">{name[1:]} %</th>' for name in names)

    def row(name: str, values: Mapping[str, float], spread: float) -> str:
        cells = "".join(
            f'<td class="n" data-label="{quantile[1:]} %"><span>{_number(values[quantile])}</span></td>'
            for quantile in names
        )
        return (
            f'<tr><th scope="row">{escape(name)}</th>{cells}<td class="n" data-label="spread"><span>{_number(spread)}'
            "</span></td></tr>"
        )

    rows = row("gold", comparison.gold_quantiles, 1.0)
    rows += "".join(row(model.name, model.metrics, model.metrics["spread"]) for model in comparison.models)
    sentences = " ".join(escape(_squeeze_sentence(model)) for model in comparison.models)
    return f"""<section><h2>Are the scores squeezed?</h2>
<p>{sentences}</p>
<table class="wide"><caption>Below which score lie 5 %, 25 %, ... of the pairs; spread: how far it is from the 5 % to
the 95 % column, against gold</caption><thead><tr><th scope="col">scores</th>{heads}
<th scope="col" class="n">spread</th></tr></thead><tbody>{rows}</tbody></table>{_figures(pictures)}</section>"""


def _decisions(comparison: Comparison, measured: Measured) -> str:
    paragraphs, rows = [], []
    for model in comparison.models:
        note = measured.threshold_notes.get(model.name, "")
        paragraphs.append(_threshold_sentence(model, note))
        if model.threshold is None or model.decisions is None:
            continue
        paragraphs[-1] += f" How the threshold was chosen: {note or _origin(model.threshold)}."
        suffix = model.threshold.suffix
        counts = [f"{model.decisions[kind]:,}" for kind in ("found", "found_wrongly", "missed", "left")]
        shares = [_number(model.metrics[f"{name}_{suffix}"]) for name in ("precision", "recall", "f1")]
        labels = ("found rightly", "found wrongly", "missed", "left rightly", "precision", "recall", "F1")
        cells = "".join(
            f'<td class="n" data-label="{label}"><span>{text}</span></td>'
            for label, text in zip(labels, counts + shares, strict=True)
        )
        rows.append(f'<tr><th scope="row">{escape(model.name)}</th>{cells}</tr>')
    table = ""
    if rows:
        heads = "".join(
            f'<th scope="col" class="n">{label}</th>'
            for label in ("found rightly", "found wrongly", "missed", "left rightly", "precision", "recall", "F1")
        )
        table = (
            '<table class="wide"><caption>Pairs by decision. Precision: of the pairs found, the share found rightly. '
            "Recall: of the pairs to be found, the share found. F1: both in one number; 1 is perfect.</caption><thead>"
            f'<tr><th scope="col">model</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        )
    chosen = [model.threshold for model in comparison.models if model.threshold is not None]
    if len(chosen) == 2 and chosen[0].suffix == chosen[1].suffix:
        found = comparison.differences.get(f"f1_{chosen[0].suffix}")
        if found is not None:
            verdict = (
                "No clear difference in F1" if found.better is None else f"{_verdict(comparison, found)} decides better"
            )
            interval = _range((found.low, found.high), signed=True)
            paragraphs.append(
                f"{verdict}: F1 differs by {_number(found.value, signed=True)} (95 % interval {interval})."
            )
    text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    return f"<section><h2>Deciding at a threshold</h2>{text}{table}</section>"


def _origin(threshold: ScoreThreshold) -> str:
    if threshold.metric is None:
        return "it was given"
    return str(threshold).partition(": ")[2]


def _ranking(comparison: Comparison) -> str:
    questions = comparison.models[0].metrics["questions"]
    caption = (
        f"Means over the {questions:,.0f} texts that have a positive and another candidate. Ties never favour a model."
    )
    names = [name for name in RANKING_METRICS if math.isfinite(comparison.models[0].metrics[name])]
    if not names:
        return ""
    return f"<section><h2>Ranking the candidates of a text</h2>{_metrics_table(comparison, names, caption)}</section>"


def _about(comparison: Comparison, measured: Measured, with_pictures: bool) -> str:
    notes = list(measured.notes)
    if not with_pictures:
        notes.append('there are no pictures, as matplotlib is missing: pip install "selective-st[plot]"')
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in measured.versions.items())
    command = f"<p>Made by <code>{escape(measured.command)}</code></p>" if measured.command else ""
    return f"""<section><h2>How to read this, and how it was made</h2>
<p>The 95 % intervals come from {comparison.resamples:,} resamples of the pairs (bootstrap; pairs that share their first
text are drawn together). They say how much the numbers depend on which pairs happen to be in the data; they do not say
how much a model would change if it were trained again.</p>
<ul>{items}</ul>{command}<p class="muted">{versions}</p></section>"""


def _chosen(pictures: Mapping[str, Path], starts: tuple[str, ...]) -> dict[str, Path]:
    return {caption: path for caption, path in pictures.items() if caption.startswith(starts)}


def _figures(pictures: Mapping[str, Path]) -> str:
    if not pictures:
        return ""
    figures = "".join(
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(path.read_bytes()).decode("ascii")}"><figcaption>{escape(caption)}</figcaption></figure>'
        for caption, path in pictures.items()
    )
    return f'<div class="pictures">{figures}</div>'
