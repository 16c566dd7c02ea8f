"""`selective-st evaluate` and `selective-st plot`."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from selective_st.cli.common import (
    AS_QUERIES_HELP,
    FOCUS_HELP,
    METRICS_FILE,
    POSITIVE_FROM,
    POSITIVE_FROM_HELP,
    be_quiet,
    check_positive_from,
    floats,
    load_model,
    make_console,
    print_notes,
    print_written,
    two_numbers,
    versions,
    write_metrics,
)
from selective_st.cli.options import DATA_HELP, DataOptions, argument, command, option

if TYPE_CHECKING:
    from selective_st.evaluation import ScoreRegionEvaluator, ScoreThreshold
    from selective_st.evaluation.comparison import Comparison
    from selective_st.evaluation.overlap import Overlap
    from selective_st.focus import Focus
    from selective_st.layouts import GradedPairs
    from selective_st.output import Output
    from selective_st.registry.catalog import ModelType
    from selective_st.report import Measured

_REPORT_FILE = "report.html"
_PICTURES = (".png", ".svg", ".pdf")
_SPLITS = {"data": ("test", "validation", "dev", "train"), "validation": ("validation", "dev", "eval")}
_TARGETS = (0.2, 0.9)
_OTHER_NAMES = {"MultiVectorEncoder": "ColBERT"}  # PyLate's, which Sentence Transformers takes too


@dataclass(frozen=True, kw_only=True)
class _ModelArgument:
    """What stands before the data."""

    model: str = argument("The model: a path, or a name on the Hugging Face hub.")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DataOptions, _ModelArgument):
    """What `evaluate` was asked to do."""

    data: str = argument(f"Sentence pairs with a label. {DATA_HELP}")
    against: str | None = option(None, "Another model to compare with, such as the one before training.")
    focus: str = option("high", FOCUS_HELP)
    split: str | None = option(None, "Which split of a hub dataset. Default: its test split, if it has one.")
    validation_data: str | None = option(
        None,
        "Other pairs, on which each model's threshold is chosen. Default: the threshold saved with the model, if there "
        "is one.",
    )
    threshold_metric: str = option(
        "f1", "What the threshold maximises there: f1, f0.5 (precision counts more) or f2 (recall)."
    )
    positive_from: float = option(POSITIVE_FROM, POSITIVE_FROM_HELP)
    as_queries: bool | None = option(None, AS_QUERIES_HELP, "--as-queries/--no-as-queries")
    check: bool = option(
        True,
        "Refuse labels that are known to say something else than how similar the texts are, such as classes; "
        "--no-check takes them for grades.",
        "--check/--no-check",
    )
    output: Path = option(Path("evaluation"), "Folder for the report, the metrics and the pictures.")
    as_json: bool = option(False, "Print the metrics as JSON, for other programs.", "--json")
    overwrite: bool = option(False, "Replace an earlier output of this command there.", "--overwrite")


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """What `plot` was asked to do."""

    focus: list[str] | None = option(None, f"{FOCUS_HELP} Give it several times to compare. Default: high.")
    output: Path = option(Path("links.png"), f"The picture to write: {', '.join(_PICTURES)}.")
    score_range: tuple[float, float] = option(
        "0,1", "Ends of the labels' scale, which are the scores 0 and 1.", parse=two_numbers, metavar="LOW,HIGH"
    )
    targets: str | None = option(
        None,
        "Labels around which the loss is drawn, on their own scale. Default: a fifth and nine tenths of it.",
        metavar="LABEL,...",
    )
    overwrite: bool = option(False, "Replace a picture of that name.", "--overwrite")


@command(EvaluateOptions)
def evaluate(job: EvaluateOptions) -> None:
    """Evaluate MODEL on the labelled pairs of DATA where it matters, and write a report that explains itself.

    Writes report.html (one file, to be opened in a browser), metrics.json and the pictures, and prints a table.
    """
    _evaluate(job)


@command(PlotOptions)
def plot(options: PlotOptions) -> None:
    """Draw what a link makes matter: its values, its sensitivity, and its loss around some targets."""
    focus, output, (low, high), targets = options.focus, options.output, options.score_range, options.targets
    if output.suffix.lower() not in _PICTURES:
        raise ValueError(f"--output {output}: the name must end in {', '.join(_PICTURES)}; say links.png.")
    usual = [low + share * (high - low) for share in _TARGETS]
    around = usual if targets is None else floats(targets)
    if not around or not all(low <= target <= high for target in around):
        raise ValueError(
            f"--targets takes scores within --score-range, {low:g} to {high:g}, with a comma between, such as "
            f"{','.join(f'{label:g}' for label in usual)}; got {targets!r}."
        )
    from selective_st.output import Output, is_picture_of

    recognise = partial(is_picture_of, maker="plot_links")
    place = Output(output, "plot", overwrite=options.overwrite, recognise=recognise)
    _need_pictures()
    from selective_st.focus import parse_focus
    from selective_st.plotting import plot_links

    links = {}
    for text in focus or ["high"]:
        link = parse_focus(text).link
        links[repr(link) if text.lstrip().startswith("{") else text.strip()] = link
    with place:
        scores = [(target - low) / (high - low) for target in around]
        plot_links(links, place.new, targets=scores, label_range=(low, high))
        place.publish()
    print_written(make_console(), "picture", place.given)


def _need_pictures() -> None:
    try:
        import selective_st.plotting  # noqa: F401
    except ImportError as error:
        raise ValueError(str(error)) from None


def _evaluate(job: EvaluateOptions) -> None:
    from selective_st.output import Output

    reads = {
        "the model": job.model,
        "--against": job.against,
        "the data": job.data,
        "--validation-data": job.validation_data,
    }
    with Output(job.output, "evaluate", reads, overwrite=job.overwrite) as output:
        _evaluate_into(output, job)


def _evaluate_into(output: Output, job: EvaluateOptions) -> None:
    """Cheap checks come first, heavy imports last."""
    check_positive_from(job.positive_from)
    be_quiet()
    # With --json, standard output holds the JSON and nothing else.
    console = Console(stderr=True) if job.as_json else make_console()
    with console.status("Loading libraries ..."):
        from selective_st.evaluation.claims import about_labels
        from selective_st.evaluation.comparison import compare, resamples_for
        from selective_st.evaluation.overlap import HOW, overlap
        from selective_st.focus import parse_focus
        from selective_st.report import summary
    focus = parse_focus(job.focus)
    pairs = _read(job, job.data, "data")
    validation = None if job.validation_data is None else _read(job, job.validation_data, "validation")
    evaluator = focus.evaluator(pairs, "data")
    focus.check_on(pairs, evaluator.metrics(evaluator.scores))
    by = pairs.grouping()
    groups = [group.rows for group in pairs.groups(by)] if by == "first" else []
    notes = [note for split in filter(None, (pairs, validation)) for note in split.notes]
    notes += about_labels(pairs.name, pairs.scores)
    common = None
    if validation is not None:
        common = overlap((pairs.sentences1, pairs.sentences2), (validation.sentences1, validation.sentences2))
        others = validation.name if validation.name != pairs.name else "the validation data"
        notes.append(f"{common.sentence(pairs.name, others)} ({HOW})")
    notes.append("whether the model has seen these pairs in its training is not known here")
    print_notes(console, notes)

    sources = dict(zip(_names(job), filter(None, (job.model, job.against)), strict=True))
    predicted: dict[str, Any] = {}
    as_queries: dict[str, bool] = {}
    thresholds: dict[str, ScoreThreshold] = {}
    reasons: dict[str, str] = {}
    for name, source in sources.items():
        with console.status(f"Scoring the pairs with {escape(name)} ..."):
            loaded = _load(source)
            as_queries[name], said = _roles(job, loaded, pairs)
            said += _about_similarity(loaded)
            predicted[name] = focus.evaluator(pairs, "data", as_queries=as_queries[name]).predict(loaded)
            on_validation = None
            if validation is not None:
                on_validation = focus.evaluator(validation, validation.name, as_queries=as_queries[name])
            threshold, reasons[name] = _threshold(job, source, loaded, on_validation, focus, common)
        print_notes(console, said := [f"{name}: {note}" for note in said])
        notes += said
        if threshold is not None:
            thresholds[name] = threshold
    with console.status("Computing the metrics and their intervals ..."):
        comparison = compare(
            pairs.scores,
            predicted,
            thresholds=thresholds,
            at_least=focus.at_least,
            at_most=focus.at_most,
            regions=focus.regions,
            groups=groups,
            positive_from=job.positive_from,
            clusters=pairs.sentences1,
            resamples=resamples_for(len(pairs)),
        )
    measured = _measured(job, pairs, focus, sources, reasons, notes, comparison)
    results = {
        "model": job.model,
        "against": job.against,
        "data": job.data,
        "validation_data": job.validation_data,
        "score_range": job.score_range,
        "focus": focus.name,
        "main_metric": measured.main_metric,
        "summary": summary(comparison, measured),
        "threshold_notes": reasons,
        "as_queries": as_queries,
        "overlap_with_validation_data": None if common is None else common.as_dict(),
        "notes": notes,
        "versions": dict(measured.versions),
        **comparison.as_dict(),
    }
    written = _write(output.new, comparison, measured, results, focus)
    output.publish()
    if job.as_json:
        print(json.dumps(results, indent=2, allow_nan=False))
        return
    _print(console, comparison, measured)
    print_written(console, "report", output.given / _REPORT_FILE)
    print_written(console, "metrics", output.given / METRICS_FILE)
    if written:
        print_written(console, "pictures", ", ".join(written))
    else:
        console.print('[yellow]Note:[/] no pictures, as matplotlib is missing: pip install "selective-st\\[plot]"')


def _roles(job: EvaluateOptions, model: Any, pairs: GradedPairs) -> tuple[bool, list[str]]:
    """Whether a model embeds the first texts as queries, and what to say of it."""
    from selective_st.evaluation.scoring import Encoding, embeds_queries_apart, note_on_roles

    told = pairs.first_are_queries() if job.as_queries is None else job.as_queries
    encoding = Encoding(told)
    if job.as_queries is None and told is not None and pairs.columns is not None and embeds_queries_apart(model):
        first, second = pairs.columns
        how = "as queries and documents" if told else "alike"
        other = "--no-as-queries" if told else "--as-queries"
        note = f"its texts are embedded {how}, as the columns' names {first!r} and {second!r} say; {other} changes it"
        return encoding.roles_of(model, pairs.sentences1), [note]
    note = note_on_roles(encoding, model, pairs.sentences1, ("--as-queries", "--no-as-queries"))
    return encoding.roles_of(model, pairs.sentences1), [note] if note else []


def _about_similarity(model: Any) -> list[str]:
    """What to say of scores that are not on the scale of the gold scores."""
    name = getattr(model, "similarity_fn_name", "cosine")
    if name == "cosine":
        return []
    return [
        f"it scores with {name}, which is not on the scale of the gold scores: its order can be compared, its error "
        "and bias say little"
    ]


def _read(job: EvaluateOptions, source: str, role: str) -> GradedPairs:
    from selective_st.cli.reading import read_source
    from selective_st.data import hub_splits

    available = hub_splits(source)
    split = (job.split if role == "data" else None) or next((s for s in _SPLITS[role] if s in available), "train")
    if available and split not in available:
        wanted = job.split if job.split and role == "data" else " or ".join(_SPLITS[role])
        raise ValueError(f"{source} has no split named {wanted}; it has {', '.join(available)}.")
    job = replace(job, data=source, split=split if available else job.split)
    found = read_source(replace(job, score_range=None))
    if job.check:
        found.refuse_other_labels(job, "evaluate")
    pairs = found.graded_pairs(job)
    notes = [f"{source}: its split {split}"] if available else []
    return replace(pairs, notes=[*pairs.notes, *notes, *filter(None, [found.conflicts])])


def _names(job: EvaluateOptions) -> list[str]:
    """Short names for the models, told apart."""
    sources = [source for source in (job.model, job.against) if source is not None]
    names = [Path(source).name or source for source in sources]
    if len(set(names)) == len(names):
        return names
    parts = [Path(os.path.abspath(source)).parts[-2:] for source in sources]
    longer = ["/".join(part) for part in parts]
    if len(set(longer)) == len(longer):
        return longer
    if os.path.abspath(sources[0]) == os.path.abspath(sources[1]):
        raise ValueError(f"--against {sources[1]} is the model itself. Give another model, or leave --against out.")
    return [str(Path(source)) for source in sources]


def _load(name: str) -> Any:
    return load_model("The model", name, _model_type(name))


def _model_type(name: str) -> ModelType:
    """The type of model that its files name; an embedding model where they name none."""
    from sentence_transformers.util import load_file_path

    from selective_st.evaluation.thresholds import model_config
    from selective_st.registry.catalog import MODEL_TYPES

    kind = model_config(name).get("model_type")
    if kind is None and load_file_path(name, "modules.json") is None:
        # So cross encoders were saved before they had a config of Sentence Transformers.
        architectures = model_config(name, "config.json").get("architectures") or []
        if any(str(architecture).endswith("ForSequenceClassification") for architecture in architectures):
            return "CrossEncoder"
    named = (known for known in MODEL_TYPES if kind in (known, _OTHER_NAMES.get(known, known)))
    return next(named, "SentenceTransformer")


def _threshold(
    job: EvaluateOptions,
    source: str,
    model: Any,
    validation: ScoreRegionEvaluator | None,
    focus: Focus,
    common: Overlap | None,
) -> tuple[ScoreThreshold | None, str]:
    """A model's threshold, and how it came about, or why there is none."""
    from selective_st.evaluation import load_threshold
    from selective_st.evaluation.claims import Support, figure

    if validation is not None and common is not None:
        # The threshold decides for the gold score that the main metric is about.
        side = focus.score_metric.split("_")
        gold = float(side[2]) if side[0] == "ap" else None
        found = validation.choose_threshold(model, gold, job.threshold_metric)
        value = figure(found.metric_value or 0.0, Support(found.positives or 0, found.pairs or 0))
        part = f"{common.pairs:,} of the {common.rows:,} pairs reported here had a part in it"
        if not common.pairs:
            part = "the pairs reported here had no part in it"
        if common.texts > common.pairs:
            part += f", {common.texts:,} share a text with those that had"
        return found, (
            f"on {validation.name} ({found.pairs:,} pairs, {found.positives:,} of them to be found), where it gives "
            f"the highest {str(found.metric).upper()}, {value}; {part}"
        )
    found_saved = load_threshold(source)
    if found_saved is None:
        return None, "none was saved with it, and no --validation-data was given to choose one on."
    sign = "at least" if found_saved.side == "at_least" else "at most"
    how = "as given"
    if found_saved.metric:
        how = (
            f"where it gave the highest {found_saved.metric.upper()} for gold {sign} {found_saved.gold:g} on "
            f"{found_saved.chosen_on or 'a validation split'}; whether the pairs reported here had a part in it is not "
            "known"
        )
    return found_saved, f"it was saved with the model, {how}"


def _is_defined(name: str, comparison: Comparison) -> bool:
    """Whether a metric says something of one of the models."""
    return any(not math.isnan(model.metrics.get(name, math.nan)) for model in comparison.models)


def _measured(
    job: EvaluateOptions,
    pairs: GradedPairs,
    focus: Focus,
    sources: dict[str, str],
    reasons: dict[str, str],
    notes: list[str],
    comparison: Comparison,
) -> Measured:
    from selective_st.report import Measured

    names = [name for name in focus.shown_metrics if name != "spearman"]
    if comparison.is_binary:  # every threshold between 0 and 1 asks the same
        names = [name for name in names if not name.startswith("ap_") or name == focus.score_metric]
    for low, high in focus.regions:
        names += [f"{kind}_{low:g}_{high:g}" for kind in ("rmse", "bias", "spearman")]
    names += ["spearman", "rmse", "bias", "spread"]
    regions = " and ".join(f"gold scores from {low:g} to {high:g}" for low, high in focus.regions)
    return Measured(
        data=pairs.name,
        focus=focus.name,
        focus_meaning=regions,
        main_metric=focus.score_metric,
        metrics=[name for name in dict.fromkeys(names) if _is_defined(name, comparison)],
        score_range=job.score_range,
        sources=sources,
        threshold_notes=reasons,
        notes=notes,
        versions=versions(),
        command=shlex.join(["selective-st", *sys.argv[1:]]) if sys.argv[1:2] == ["evaluate"] else "",
    )


def _write(
    folder: Path, comparison: Comparison, measured: Measured, results: dict[str, Any], focus: Focus
) -> list[str]:
    """Write everything, and name the pictures; none without matplotlib."""
    import numpy as np

    from selective_st.report import html_report

    pictures: dict[str, Path] = {}
    try:
        from selective_st.plotting import plot_error_by_score_bin, plot_scores_against_gold
    except ImportError:
        pass
    else:
        bins = {model.name: model.bins for model in comparison.models}
        score_range = (comparison.models[0].bins[0]["low"], comparison.models[0].bins[-1]["high"])
        for metric, caption in (("rmse", "Error by gold score"), ("bias", "Bias by gold score")):
            path = folder / f"{'error' if metric == 'rmse' else 'bias'}_by_score.png"
            pictures[caption] = plot_error_by_score_bin(bins, path, regions=focus.regions, metrics=[metric])
        gold: Any = comparison.gold
        every = np.concatenate([model.predicted for model in comparison.models])
        for number, model in enumerate(comparison.models, start=1):
            own: dict[str, Any] = {model.name: model.predicted}
            pictures[f"Scores of {model.name} against gold"] = plot_scores_against_gold(
                gold,
                own,
                folder / f"scores_{number}.png",
                score_range=score_range,
                predicted_range=(min(every.min(), score_range[0]), max(every.max(), score_range[1])),
                regions=focus.regions,
            )
    write_metrics(folder, results)
    (folder / _REPORT_FILE).write_text(html_report(comparison, measured, pictures), encoding="utf-8")
    return [path.name for path in pictures.values()]


def _print(console: Console, comparison: Comparison, measured: Measured) -> None:
    from rich import box
    from rich.table import Table

    from selective_st.evaluation.claims import counted
    from selective_st.report import summary, table, tabled

    title = escape(f"{measured.data}, {counted(len(comparison.gold), 'pair')}")
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    shown.add_column("metric")
    for model in comparison.models:
        shown.add_column(escape(model.name), justify="right", overflow="fold")
    shown.add_column("rests on", justify="right")
    both = len(comparison.models) == 2
    if both:
        shown.add_column("difference (95 % interval)", justify="right")
        shown.add_column("better", overflow="fold")
    for row in table(comparison, tabled(comparison, measured)):
        cells = [*(value.text or "-" for value in row.values), row.support]
        if both:
            cells += [f"{row.difference} ({row.interval})" if row.interval else row.difference, escape(row.verdict)]
        shown.add_row(row.title, *cells)
    console.print(shown)
    for text in summary(comparison, measured):
        console.print(f"[dim]·[/] {escape(text)}", soft_wrap=True, highlight=False)
