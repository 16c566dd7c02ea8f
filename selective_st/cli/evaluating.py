"""What `selective-st evaluate` does, step by step; imported when it is asked for, as it needs all of the libraries."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape

from selective_st._templates import say
from selective_st._validation import one_of
from selective_st.cli import common
from selective_st.cli.evaluation import EvaluateOptions
from selective_st.cli.reading import checked_split, read_source
from selective_st.data import hub_splits, named_columns
from selective_st.evaluation import (
    ScoreThreshold,
    ThresholdConsistency,
    load_threshold,
    parts_by,
    threshold_consistency,
)
from selective_st.evaluation.claims import about_labels, counted, table
from selective_st.evaluation.comparison import CONSTANT, Comparison, compare_on
from selective_st.evaluation.diagnosis import HOW, Overlap, overlap
from selective_st.evaluation.metrics import at_threshold
from selective_st.evaluation.thresholds import THRESHOLD_METRICS
from selective_st.files import FileTable
from selective_st.focus import Focus
from selective_st.layouts import GradedPairs
from selective_st.output import METRICS_FILE, Output, write_metrics
from selective_st.report import Measured, html_report, summary, tabled

_REPORT_FILE = "report.html"
_SPLITS = {"data": ("test", "validation", "dev", "train"), "validation": ("validation", "dev", "eval", "train")}


class _Model(NamedTuple):
    """A model, its scores of the pairs, its threshold and why that one, and what was decided."""

    name: str
    source: str
    predicted: Any
    as_queries: bool
    threshold: ScoreThreshold | None
    reason: str
    notes: list[str]


def evaluate_into(output: Output, job: EvaluateOptions, console: Console) -> None:
    """Evaluate as the options say, cheap checks first, and write into the output.

    Args:
        output: The output.
        job: The options.
        console: Where to print.
    """
    one_of("evaluate", "--threshold-metric", job.threshold_metric, THRESHOLD_METRICS)
    focus = job.read_focus()
    pairs, read = _read(job, job.data, "data")
    validation = None if job.validation_data is None else _read(job, job.validation_data, "validation")[0]
    by = pairs.grouping()
    groups = [group.rows for group in pairs.groups(by)] if by == "first" else []
    evaluator = focus.evaluator(pairs, "data", groups=groups, positive_from=job.positive_from)
    focus.check_on(pairs, evaluator.metrics(evaluator.scores))
    notes, shared = [*pairs.notes, *about_labels(pairs.name, pairs.scores)], None
    if validation is not None:
        shared = overlap((pairs.sentences1, pairs.sentences2), (validation.sentences1, validation.sentences2))
        other = validation.name if validation.name != pairs.name else "the validation data"
        notes += [*validation.notes, f"{shared.sentence(pairs.name, other)} ({HOW})"]
    notes.append("it is not known whether the model was trained on these pairs")
    common.print_notes(console, notes)

    column = None if job.by is None else _column(job.by, read, focus, pairs)
    models = []
    for name, source in _named(job).items():
        with console.status(f"Scoring the pairs with {escape(name)} ..."):
            models.append(_scored(job, name, source, focus, pairs, validation, shared))
        common.print_notes(console, models[-1].notes)
        notes += models[-1].notes
    notes = list(dict.fromkeys(notes))
    with console.status("Computing the metrics and their intervals ..."):
        predicted = {model.name: model.predicted for model in models}
        thresholds = {model.name: model.threshold for model in models if model.threshold is not None}
        comparison = compare_on(evaluator, predicted, thresholds=thresholds)
    consistency = {} if column is None else _by_column(column, focus, pairs, models)
    measured = Measured(
        data=pairs.name,
        focus=focus.name,
        focus_meaning=focus.meaning,
        main_metric=focus.score_metric,
        metrics=_reported(focus, comparison),
        score_range=job.score_range,
        sources={model.name: model.source for model in models},
        threshold_notes={model.name: model.reason for model in models},
        consistency=consistency,
        notes=notes,
        versions=common.versions(),
        command=shlex.join(["selective-st", *sys.argv[1:]]) if sys.argv[1:2] == ["evaluate"] else "",
        texts=list(zip(pairs.sentences1, pairs.sentences2, strict=True)),
        link=focus.link,
        thresholds=focus.thresholds,
    )
    told = ("score_range", "focus", "main_metric", "notes", "versions", "threshold_notes")
    found = {
        **{name: getattr(job, name) for name in ("model", "against", "data", "validation_data")},
        **{name: getattr(measured, name) for name in told},
        "summary": summary(comparison, measured),
        "as_queries": {model.name: model.as_queries for model in models},
        "threshold_consistency": {name: found.as_dict() for name, found in consistency.items()},
        "overlap_with_validation_data": shared and shared.as_dict(),
        **comparison.as_dict(),
    }
    pictures = _draw(output.new, comparison, focus)
    results = write_metrics(output.new, found)
    (output.new / _REPORT_FILE).write_text(html_report(comparison, measured, pictures), encoding="utf-8")
    output.publish()
    if job.as_json:
        print(json.dumps(results, indent=2))
        return
    _print(console, comparison, measured, results["summary"])
    common.print_notes(console, [f"{name}: {found.sentence()}" for name, found in consistency.items()])
    common.print_written(console, "report", output.given / _REPORT_FILE)
    common.print_written(console, "metrics", output.given / METRICS_FILE)
    if pictures:
        common.print_written(console, "pictures", ", ".join(path.name for path in pictures.values()))
    else:
        console.print(common.NO_PICTURES)


def _column(by: str, read: FileTable, focus: Focus, pairs: GradedPairs) -> list[Any]:
    """The column whose values one threshold is to serve."""
    if focus.decides_for is None or focus.at_most:
        raise ValueError(f"--by is for thresholds that find pairs by high scores: give --focus high, not {focus.name}.")
    (name,) = named_columns(read, [by], "--by")
    column = list(read.dataset[name])
    if len(column) != len(pairs):
        raise ValueError(f"--by {name}: {read.name} has {len(column)} rows but {len(pairs)} pairs; give a pair a row.")
    return column


def _by_column(
    column: list[Any], focus: Focus, pairs: GradedPairs, models: list[_Model]
) -> dict[str, ThresholdConsistency]:
    """For each model whether its threshold serves all values of a column."""
    gold: Any = focus.decides_for
    cuts = {model.name: model.threshold.value if model.threshold else None for model in models}
    return {
        model.name: threshold_consistency(parts_by(pairs.scores, model.predicted, column), gold, cuts[model.name])
        for model in models
    }


def _scored(
    job: EvaluateOptions,
    name: str,
    source: str,
    focus: Focus,
    pairs: GradedPairs,
    validation: GradedPairs | None,
    shared: Overlap | None,
) -> _Model:
    """Load a model, and ask it."""
    from selective_st.evaluation import predict_scores  # takes seconds, as Sentence Transformers does
    from selective_st.outcome import roles

    model = common.load_model("The model", source)
    as_queries, notes = roles(model, pairs, job.as_queries)
    predicted = predict_scores(model, pairs.sentences1, pairs.sentences2, as_queries=as_queries)
    if validation is None:
        threshold = load_threshold(source)
        reason = say("saved_threshold", t=threshold)
    else:
        on_validation = focus.evaluator(validation, validation.name, as_queries=as_queries)
        threshold = on_validation.choose_threshold(model, focus.decides_for, job.threshold_metric)
        reason = say("chosen_on_validation", t=threshold, name=validation.name, common=shared)
    similarity = getattr(model, "similarity_fn_name", "cosine")
    if similarity != "cosine":
        notes.append(f"it scores with {similarity}, not on the scale of the gold scores: compare the order, not error")
    return _Model(name, source, predicted, as_queries, threshold, reason, [f"{name}: {note}" for note in notes])


def _read(job: EvaluateOptions, source: str, role: str) -> tuple[GradedPairs, FileTable]:
    """The pairs, and the table that they were read from."""
    wanted = [job.split] if job.split and role == "data" else _SPLITS[role]
    split = checked_split(source, hub_splits(source), wanted)
    job = replace(job, data=source, split=split or job.split)
    found = read_source(replace(job, score_range=None))
    pairs = found.graded_pairs(job, "evaluate")
    notes = [f"{source}: its split {split}"] if split else []
    return replace(pairs, notes=[*pairs.notes, *notes, *filter(None, [found.conflicts])]), found.table


def _named(job: EvaluateOptions) -> dict[str, str]:
    """The models by short names, told apart."""
    sources = [source for source in (job.model, job.against) if source is not None]
    places = [os.path.abspath(source) for source in sources]
    if len(set(places)) < len(places):
        raise ValueError(f"--against {job.against} is the model itself. Give another model, or leave --against out.")
    ends = ["/".join(Path(place).parts[-2:]) for place in places]
    every = ([Path(source).name or source for source in sources], ends, sources)
    return dict(next(zip(names, sources, strict=True) for names in every if len(set(names)) == len(names)))


def _reported(focus: Focus, comparison: Comparison) -> list[str]:
    """The metrics that are reported: those of the focus, then those of all pairs, as far as they are defined."""
    names = [metric.name for cut in focus.thresholds for metric in at_threshold(cut)]
    names += [name for name in focus.shown_metrics if name != "spearman"]
    if comparison.is_binary:  # every threshold between 0 and 1 asks the same
        names = [name for name in names if not name.startswith("ap_") or name == focus.score_metric]
    for low, high in focus.regions:
        names += [f"{kind}_{low:g}_{high:g}" for kind in ("rmse", "bias", "spearman")]
    names += ["spearman", "rmse", "bias", "spread"]
    return [name for name in dict.fromkeys(names) if comparison.is_defined(name)]


def _draw(folder: Path, comparison: Comparison, focus: Focus) -> dict[str, Path]:
    """The pictures, by what they show; none without matplotlib."""
    try:
        from selective_st.plotting import plot_scores_against_gold, plot_threshold_curves
    except ImportError:
        return {}
    found: Any = comparison.compared_curves
    alone = len(comparison.models) == 1
    if alone:  # nothing is said of where it is better than the mean gold score
        found = {name: (found.thresholds, losses) for name, losses in zip(found.models, found.losses, strict=True)}
    more: dict[str, Any] = {"link": focus.link, "thresholds": focus.cuts, "gold": comparison.gold}
    path = plot_threshold_curves(found, folder / "threshold_curves.png", baseline=CONSTANT if alone else None, **more)
    pictures = {"Loss at each threshold: how far scores on its wrong side lie beyond it, on average": path}
    bins, gold = comparison.models[0].bins, comparison.gold.tolist()
    low, high = bins[0]["low"], bins[-1]["high"]
    scores = np.concatenate([model.predicted for model in comparison.models])
    ends = min(float(scores.min()), low), max(float(scores.max()), high)
    for number, model in enumerate(comparison.models, start=1):
        pictures[f"Scores of {model.name} against gold"] = plot_scores_against_gold(
            gold,
            {model.name: model.predicted.tolist()},
            folder / f"scores_{number}.png",
            score_range=(low, high),
            predicted_range=ends,
            regions=focus.regions,
        )
    return pictures


def _print(console: Console, comparison: Comparison, measured: Measured, told: Sequence[str]) -> None:
    heads = ["metric", *(model.name for model in comparison.models), "rests on"]
    both = len(comparison.models) == 2
    rows = []
    for row in table(comparison, tabled(comparison, measured)):
        difference = f"{row.difference} ({row.interval})" if row.interval else row.difference
        compared = (difference, row.verdict) if both else ()
        rows.append(("", [row.title, *(value.text or "-" for value in row.values), row.support, *compared]))
    heads += ["difference (95 % interval)", "better"] if both else []
    common.print_table(console, f"{measured.data}, {counted(len(comparison.gold), 'pair')}", heads, rows, left="better")
    for text in told:
        console.print(f"[dim]·[/] {escape(text)}", soft_wrap=True, highlight=False)
