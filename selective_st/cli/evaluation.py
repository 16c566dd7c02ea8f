"""`selective-st evaluate` and `selective-st plot`."""

from __future__ import annotations

import json
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
    from selective_st.evaluation import ScoreThreshold
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
    from selective_st.output import Output

    reads = {
        "the model": job.model,
        "--against": job.against,
        "the data": job.data,
        "--validation-data": job.validation_data,
    }
    with Output(job.output, "evaluate", reads, overwrite=job.overwrite) as output:
        _evaluate_into(output, job)


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


def _evaluate_into(output: Output, job: EvaluateOptions) -> None:
    """Cheap checks come first, heavy imports last."""
    check_positive_from(job.positive_from)
    be_quiet()
    # With --json, standard output holds the JSON and nothing else.
    console = Console(stderr=True) if job.as_json else make_console()
    with console.status("Loading libraries ..."):
        from selective_st.evaluation.comparison import compare_on
        from selective_st.focus import parse_focus
    focus = parse_focus(job.focus)
    pairs = _read(job, job.data, "data")
    validation = None if job.validation_data is None else _read(job, job.validation_data, "validation")
    by = pairs.grouping()
    groups = [group.rows for group in pairs.groups(by)] if by == "first" else []
    evaluator = focus.evaluator(pairs, "data", groups=groups, positive_from=job.positive_from)
    focus.check_on(pairs, evaluator.metrics(evaluator.scores))
    common, notes = _about_data(pairs, validation)
    print_notes(console, notes)

    models = []
    for name, source in zip(_names(job), filter(None, (job.model, job.against)), strict=True):
        with console.status(f"Scoring the pairs with {escape(name)} ..."):
            models.append(_scored(job, name, source, focus, pairs, validation, common))
        print_notes(console, models[-1].notes)
        notes += models[-1].notes
    with console.status("Computing the metrics and their intervals ..."):
        predicted = {model.name: model.predicted for model in models}
        thresholds = {model.name: model.threshold for model in models if model.threshold is not None}
        comparison = compare_on(evaluator, predicted, thresholds=thresholds)
    measured = _measured(job, pairs, focus, models, notes, comparison)
    results = _results(job, models, measured, comparison, common)
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


def _about_data(pairs: GradedPairs, validation: GradedPairs | None) -> tuple[Overlap | None, list[str]]:
    """How much the validation pairs hold of those reported, and what is to be said of both."""
    from selective_st.evaluation.claims import about_labels
    from selective_st.evaluation.overlap import HOW, overlap

    notes = [*pairs.notes, *(validation.notes if validation else ()), *about_labels(pairs.name, pairs.scores)]
    common = None
    if validation is not None:
        common = overlap((pairs.sentences1, pairs.sentences2), (validation.sentences1, validation.sentences2))
        others = validation.name if validation.name != pairs.name else "the validation data"
        notes.append(f"{common.sentence(pairs.name, others)} ({HOW})")
    notes.append("whether the model has seen these pairs in its training is not known here")
    return common, list(dict.fromkeys(notes))


@dataclass(frozen=True)
class _Model:
    """A model, its scores of the pairs, its threshold and why that one, and what was decided."""

    name: str
    source: str
    predicted: Any
    as_queries: bool
    threshold: ScoreThreshold | None
    reason: str
    notes: list[str]


def _scored(
    job: EvaluateOptions,
    name: str,
    source: str,
    focus: Focus,
    pairs: GradedPairs,
    validation: GradedPairs | None,
    common: Overlap | None,
) -> _Model:
    """Load a model, and ask it."""
    from selective_st._templates import say
    from selective_st.evaluation import load_threshold

    model = _load(source)
    from selective_st.outcome import roles

    as_queries, notes = roles(model, pairs, job.as_queries)
    predicted = focus.evaluator(pairs, "data", as_queries=as_queries).predict(model)
    if validation is None:
        threshold = load_threshold(source)
        reason = say("saved_threshold", t=threshold)
    else:
        on_validation = focus.evaluator(validation, validation.name, as_queries=as_queries)
        threshold = on_validation.choose_threshold(model, focus.decides_for, job.threshold_metric)
        reason = say("chosen_on_validation", t=threshold, name=validation.name, common=common)
    said = [f"{name}: {note}" for note in (*notes, *_about_similarity(model))]
    return _Model(name, source, predicted, as_queries, threshold, reason, said)


def _results(
    job: EvaluateOptions, models: list[_Model], measured: Measured, comparison: Comparison, common: Overlap | None
) -> dict[str, Any]:
    """What metrics.json holds."""
    from selective_st.report import summary

    return {
        "model": job.model,
        "against": job.against,
        "data": job.data,
        "validation_data": job.validation_data,
        "score_range": job.score_range,
        "focus": measured.focus,
        "main_metric": measured.main_metric,
        "summary": summary(comparison, measured),
        "threshold_notes": dict(measured.threshold_notes),
        "as_queries": {model.name: model.as_queries for model in models},
        "overlap_with_validation_data": None if common is None else common.as_dict(),
        "notes": measured.notes,
        "versions": dict(measured.versions),
        **comparison.as_dict(),
    }


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


def _measured(
    job: EvaluateOptions,
    pairs: GradedPairs,
    focus: Focus,
    models: list[_Model],
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
    return Measured(
        data=pairs.name,
        focus=focus.name,
        focus_meaning=" and ".join(f"gold scores from {low:g} to {high:g}" for low, high in focus.regions),
        main_metric=focus.score_metric,
        metrics=[name for name in dict.fromkeys(names) if comparison.is_defined(name)],
        score_range=job.score_range,
        sources={model.name: model.source for model in models},
        threshold_notes={model.name: model.reason for model in models},
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
