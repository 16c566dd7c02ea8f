"""`selective-st evaluate` and `selective-st plot`."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from selective_st.cli.common import (
    FOCUS_HELP,
    METRICS_FILE,
    POSITIVE_FROM,
    ColumnsOption,
    Errors,
    FocusOption,
    HeaderOption,
    OverwriteOption,
    PositiveFromOption,
    ScoreRangeOption,
    be_quiet,
    check_positive_from,
    column_names,
    floats,
    load_model,
    make_console,
    print_notes,
    print_written,
    two_numbers,
    versions,
    write_metrics,
)

if TYPE_CHECKING:
    from selective_st.data import GradedPairs
    from selective_st.evaluation import ScoreThreshold
    from selective_st.evaluation.comparison import Comparison
    from selective_st.focus import Focus
    from selective_st.output import Output
    from selective_st.registry.catalog import ModelType
    from selective_st.report import Measured

_REPORT_FILE = "report.html"
_PICTURES = (".png", ".svg", ".pdf")
_SPLITS = {"data": ("test", "validation", "dev", "train"), "validation": ("validation", "dev", "eval")}
_MOST_RESAMPLES = 300
_FEWEST_RESAMPLES = 100
_WORK = 3_000_000  # pairs in all resamples together
_OTHER_NAMES = {"MultiVectorEncoder": "ColBERT"}  # PyLate's, which Sentence Transformers takes too


@dataclass(frozen=True)
class _Job:
    """What `evaluate` was asked to do."""

    model: str
    data: str
    output: Path
    against: str | None
    focus: str
    score_range: tuple[float, float] | None
    columns: list[str] | None
    header: bool | None
    validation_data: str | None
    threshold_metric: str
    positive_from: float
    as_json: bool
    overwrite: bool


def evaluate(
    model: Annotated[str, typer.Argument(help="The model: a path, or a name on the Hugging Face hub.")],
    data: Annotated[
        str,
        typer.Argument(
            help="Sentence pairs with a label: a .csv, .tsv, .jsonl or .parquet file, or the name of a dataset on the "
            "Hugging Face hub."
        ),
    ],
    against: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation at run time, also on Python 3.10)
        typer.Option(help="Another model to compare with, such as the one before training."),
    ] = None,
    focus: FocusOption = "high",
    score_range: ScoreRangeOption = None,
    columns: ColumnsOption = None,
    header: HeaderOption = None,
    validation_data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Other pairs, on which each model's threshold is chosen. Default: the threshold saved with the model, "
            "if there is one."
        ),
    ] = None,
    threshold_metric: Annotated[
        str, typer.Option(help="What the threshold maximises there: f1, f0.5 (precision counts more) or f2 (recall).")
    ] = "f1",
    positive_from: PositiveFromOption = POSITIVE_FROM,
    output: Annotated[Path, typer.Option(help="Folder for the report, the metrics and the pictures.")] = Path(
        "evaluation"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON, for other programs.")] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Evaluate MODEL on the labelled pairs of DATA where it matters, and write a report that explains itself.

    Writes report.html (one file, to be opened in a browser), metrics.json and the pictures, and prints a table.
    """
    with Errors():
        _evaluate(
            _Job(
                model=model,
                data=data,
                output=output,
                against=against,
                focus=focus,
                score_range=two_numbers("--score-range", score_range),
                columns=column_names(columns),
                header=header,
                validation_data=validation_data,
                threshold_metric=threshold_metric,
                positive_from=positive_from,
                as_json=as_json,
                overwrite=overwrite,
            )
        )


def plot(
    focus: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help=f"{FOCUS_HELP} Give it several times to compare. Default: high."),
    ] = None,
    output: Annotated[Path, typer.Option(help=f"The picture to write: {', '.join(_PICTURES)}.")] = Path("links.png"),
    score_range: Annotated[str, typer.Option(metavar="LOW,HIGH", help="The scores to show.")] = "0,1",
    targets: Annotated[
        str, typer.Option(metavar="SCORE,...", help="Target scores around which the loss is drawn.")
    ] = "0.2,0.9",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture of that name.")] = False,
) -> None:
    """Draw what a link makes matter: its values, its sensitivity, and its loss around some targets."""
    with Errors():
        if output.suffix.lower() not in _PICTURES:
            raise ValueError(f"--output {output}: the name must end in {', '.join(_PICTURES)}; say links.png.")
        shown = two_numbers("--score-range", score_range)
        around = floats(targets)
        assert shown is not None
        if not around or not all(shown[0] <= target <= shown[1] for target in around):
            raise ValueError(
                f"--targets takes scores within --score-range, with a comma between, such as 0.2,0.9; got {targets!r}."
            )
        from selective_st.output import Output, is_picture_of

        recognise = partial(is_picture_of, maker="plot_links")
        place = Output(output, "plot", overwrite=overwrite, recognise=recognise)
        _need_pictures()
        from selective_st.focus import parse_focus
        from selective_st.plotting import plot_links

        links = {}
        for text in focus or ["high"]:
            link = parse_focus(text).link
            links[repr(link) if text.lstrip().startswith("{") else text.strip()] = link
        with place:
            plot_links(links, place.new, score_range=shown, targets=around)
            place.publish()
        print_written(make_console(), "picture", place.given)


def _need_pictures() -> None:
    try:
        import selective_st.plotting  # noqa: F401
    except ImportError as error:
        raise ValueError(str(error)) from None


def _evaluate(job: _Job) -> None:
    from selective_st.output import Output

    reads = {
        "the model": job.model,
        "--against": job.against,
        "the data": job.data,
        "--validation-data": job.validation_data,
    }
    with Output(job.output, "evaluate", reads, overwrite=job.overwrite) as output:
        _evaluate_into(output, job)


def _evaluate_into(output: Output, job: _Job) -> None:
    """Cheap checks come first, heavy imports last."""
    check_positive_from(job.positive_from)
    be_quiet()
    # With --json, standard output holds the JSON and nothing else.
    console = Console(stderr=True) if job.as_json else make_console()
    with console.status("Loading libraries ..."):
        from selective_st.evaluation.comparison import compare
        from selective_st.focus import parse_focus
    focus = parse_focus(job.focus)
    pairs = _read(job, job.data, "data")
    validation = None if job.validation_data is None else _read(job, job.validation_data, "validation")
    evaluator = focus.evaluator(pairs, "data")
    focus.check_on(pairs, evaluator.metrics(evaluator.scores))
    by = pairs.grouping()
    groups = [group.rows for group in pairs.groups(by)] if by == "first" else []
    notes = [note for split in filter(None, (pairs, validation)) for note in split.notes]
    print_notes(console, notes)

    sources = dict(zip(_names(job), filter(None, (job.model, job.against)), strict=True))
    predicted: dict[str, Any] = {}
    thresholds: dict[str, ScoreThreshold] = {}
    reasons: dict[str, str] = {}
    for name, source in sources.items():
        with console.status(f"Scoring the pairs with {escape(name)} ..."):
            loaded = _load(source)
            predicted[name] = evaluator.predict(loaded)
            if getattr(loaded, "similarity_fn_name", "cosine") != "cosine":
                notes.append(
                    f"{name} scores with {loaded.similarity_fn_name}, which is not on the scale of the gold scores: "
                    "its order can be compared, its error and bias say little"
                )
            threshold, reasons[name] = _threshold(job, source, loaded, validation, focus)
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
            resamples=min(_MOST_RESAMPLES, max(_FEWEST_RESAMPLES, _WORK // len(pairs))),
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
        "threshold_notes": reasons,
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


def _read(job: _Job, source: str, role: str) -> GradedPairs:
    from selective_st.data import hub_splits, read_pairs

    available = hub_splits(source)
    split = next((name for name in _SPLITS[role] if name in available), "train")
    if available and split not in available:
        raise ValueError(f"{source} has no split named {' or '.join(_SPLITS[role])}; it has {', '.join(available)}.")
    pairs = read_pairs(source, columns=job.columns, score_range=job.score_range, header=job.header, split=split)
    if available:
        pairs.notes.append(f"{source}: its split {split}")
    return pairs


def _names(job: _Job) -> list[str]:
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
    job: _Job, source: str, model: Any, validation: GradedPairs | None, focus: Focus
) -> tuple[ScoreThreshold | None, str]:
    """A model's threshold, and how it came about, or why there is none."""
    from selective_st.evaluation import load_threshold

    if validation is not None:
        # The threshold decides for the gold score that the main metric is about.
        side = focus.score_metric.split("_")
        gold = float(side[2]) if side[0] == "ap" else None
        found = focus.evaluator(validation, validation.name).choose_threshold(model, gold, job.threshold_metric)
        metric, value = str(found.metric).upper(), found.metric_value
        return found, (
            f"on {validation.name} ({found.pairs:,} pairs, {found.positives:,} of them to be found), where it gives "
            f"the highest {metric}, {value:.3f}; the pairs reported here had no part in it"
        )
    found_saved = load_threshold(source)
    if found_saved is None:
        return None, "none was saved with it, and no --validation-data was given to choose one on."
    sign = "at least" if found_saved.side == "at_least" else "at most"
    return found_saved, (
        "it was saved with the model, "
        + (
            f"where it gave the highest {found_saved.metric.upper()} for gold {sign} {found_saved.gold:g} on "
            f"{found_saved.chosen_on or 'a validation split'}"
            if found_saved.metric
            else "as given"
        )
    )


def _is_defined(name: str, comparison: Comparison) -> bool:
    """Whether a metric says something of one of the models."""
    return any(not math.isnan(model.metrics.get(name, math.nan)) for model in comparison.models)


def _measured(
    job: _Job,
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

    from selective_st.evaluation.comparison import metric_meaning
    from selective_st.report import summary

    title = escape(f"{measured.data}, {len(comparison.gold):,} pairs")
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("metric")
    for model in comparison.models:
        table.add_column(escape(model.name), justify="right", overflow="fold")
    if len(comparison.models) == 2:
        table.add_column("difference (95 % interval)", justify="right")
        table.add_column("better", overflow="fold")
    names = [*measured.metrics]
    for model in comparison.models:
        if model.threshold is not None:
            names += [f"{kind}_{model.threshold.suffix}" for kind in ("precision", "recall", "f1")]
    names += [name for name in ("map", "mrr@10", "ndcg@10") if name in comparison.models[0].metrics]
    for name in dict.fromkeys(names):
        cells = [f"{model.metrics[name]:.3f}" if name in model.metrics else "-" for model in comparison.models]
        found = comparison.differences.get(name)
        if found is not None:
            cells.append(f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})")
            better = "no clear difference" if found.better is None else comparison.models[found.better].name
            cells.append(escape(better))
        table.add_row(metric_meaning(name).title, *cells)
    console.print(table)
    for sentence in summary(comparison, measured):
        console.print(f"[dim]·[/] {escape(sentence)}", soft_wrap=True, highlight=False)
