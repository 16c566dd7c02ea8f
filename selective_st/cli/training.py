"""`selective-st train` and `selective-st demo`."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console
from rich.markup import escape

from selective_st.cli.common import (
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
    make_console,
    positive_numbers,
    print_notes,
    print_written,
    two_numbers,
    versions,
    write_metrics,
)
from selective_st.cli.registry import print_report

if TYPE_CHECKING:
    from selective_st.data import By, GradedPairs
    from selective_st.focus import Focus
    from selective_st.output import Output
    from selective_st.training import LossKind, Report, Settings, Task

_PICTURE_FILE = "error_by_score.png"
_CARD_FILE = "README.md"
_HELD_OUT = 0.1  # of the rows, for an eval or test split that was not given
_MAXIMUM_SEEDS = 100

_RANKING_HEADINGS = {"map": "MAP ↑", "mrr@10": "MRR@10 ↑", "ndcg@10": "nDCG@10 ↑"}
_LIST_SIZE = 16
_AUTO = "auto"
_STATIC = "static"

_DATA_HELP = (
    "Sentence pairs with a label (graded, or 0/1): a .csv, .tsv, .jsonl or .parquet file, or the name of a dataset on "
    "the Hugging Face hub."
)
# The names stand in the table of losses, which takes a while to load.
_LOSS_HELP = (
    "pointwise: each pair; pairwise: a better against a worse candidate of a text; listwise: all candidates of a text; "
    "listwise-labels: the same, right or wrong; in-batch: positives against the rest of the batch; "
    "cached-in-batch: the same for large batches; auto: what suits the data. Or a class's name."
)


@dataclass(frozen=True)
class _Job:
    """What `train` was asked to do."""

    data: str
    output: Path
    loss: str = "pointwise"
    focus: str = "high"
    score_range: tuple[float, float] | None = None
    columns: list[str] | None = None
    header: bool | None = None
    eval_data: str | None = None
    test_data: str | None = None
    model: str = _STATIC
    compare: bool = False
    seeds: int = 1
    epochs: int | None = None
    batch_size: int | None = None
    learning_rates: tuple[float, ...] | None = None
    temperature: float | None = None
    list_size: int | None = None
    positive_from: float = POSITIVE_FROM
    check: bool = True
    overwrite: bool = False


def train(
    data: Annotated[str, typer.Argument(help=_DATA_HELP)],
    output: Annotated[Path, typer.Option(help="Folder for the model, its card, the metrics and the picture.")] = Path(
        "selective-model"
    ),
    loss: Annotated[str, typer.Option(help=_LOSS_HELP)] = "pointwise",
    focus: FocusOption = "high",
    score_range: ScoreRangeOption = None,
    columns: ColumnsOption = None,
    header: HeaderOption = None,
    eval_data: Annotated[
        Optional[str],  # noqa: UP045  (typer reads the annotation at run time, also on Python 3.10)
        typer.Option(help="Pairs that choose learning rates and seeds. Default: 10 % of DATA, set aside."),
    ] = None,
    test_data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Pairs that are reported and choose nothing. Default: 10 % of DATA, set aside."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(help="Path or hub name of a SentenceTransformer, or 'static': embeddings trained from nothing."),
    ] = _STATIC,
    compare: Annotated[
        bool, typer.Option("--compare", help="Train the built-in losses for the same data too, at equal work.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, max=_MAXIMUM_SEEDS, help="How many runs with each setting.")] = 1,
    epochs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Passes over the training pairs. Default: 5 for static, else 1."),
    ] = None,
    batch_size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=2,
            help="Rows in a step. Default: 64 for static, else 32; lists 16 and 8; cached-in-batch 128.",
        ),
    ] = None,
    learning_rates: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="LR,...",
            help="Learning rates to choose from, for every loss alike. Default: 0.003,0.01,0.03,0.1 for static, else "
            "1e-5,2e-5,5e-5.",
        ),
    ] = None,
    temperature: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="By which score differences are divided; smaller looks only at the top. Not for pointwise. "
            "Default: 0.1; in-batch 0.05."
        ),
    ] = None,
    list_size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=2, help=f"Most candidates in a list (listwise), triplets of a text (pairwise). Default: {_LIST_SIZE}."
        ),
    ] = None,
    positive_from: PositiveFromOption = POSITIVE_FROM,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look for what is wrong with the data before training.")
    ] = True,
    overwrite: OverwriteOption = False,
) -> None:
    """Train an embedding model on labelled sentence pairs, so that the scores that matter come out right.

    Where a text stands in several pairs (a question and its answers), these are its candidates: losses for lists and
    triplets learn from them, and rankings are evaluated.

    Prints one table of metrics on the test split, and writes the best model with its card, metrics.json and a picture.
    """
    with Errors():
        _train(
            _Job(
                data=data,
                output=output,
                loss=loss,
                focus=focus,
                score_range=two_numbers("--score-range", score_range),
                columns=column_names(columns),
                header=header,
                eval_data=eval_data,
                test_data=test_data,
                model=model,
                compare=compare,
                seeds=seeds,
                epochs=epochs,
                batch_size=batch_size,
                learning_rates=positive_numbers("--learning-rates", learning_rates),
                temperature=temperature,
                list_size=list_size,
                positive_from=positive_from,
                check=check,
                overwrite=overwrite,
            )
        )


def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the data, and for the model in its subfolder 'model'.")
    ] = Path("demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in that folder.")] = False,
) -> None:
    """Do the main job on graded pairs made on the spot: no download, about a minute."""
    with Errors():
        from selective_st.demo import write_demo_data
        from selective_st.output import Output

        rows = {"train": 1200, "eval": 400, "test": 800}
        paths = {name: output / "data" / f"{name}.csv" for name in rows}
        reads = {"the data": paths["train"], "--eval-data": paths["eval"], "--test-data": paths["test"]}
        # The model is written as `train` writes it, but no model trained on other data is replaced.
        model = Output(output / "model", "train", reads, overwrite=overwrite, same_reads=True)
        with Output(output / "data", "demo", overwrite=overwrite or model.has_state) as data:
            write_demo_data(data.new, rows)
            data.publish()
        arguments = {
            "--eval-data": str(paths["eval"]),
            "--test-data": str(paths["test"]),
            "--score-range": "0,5",
            "--focus": "high",
            "--seeds": "1",
            "--learning-rates": "0.03,0.1,0.3,1",
            "--output": str(output / "model"),
        }
        words = ["selective-st", "train", str(paths["train"]), "--compare", *(["--overwrite"] if overwrite else [])]
        shown = shlex.join([*words, *(word for pair in arguments.items() for word in pair)])
        console = make_console()
        console.print(f"Made graded sentence pairs in {escape(str(paths['train'].parent))}. The same as:")
        console.print(f"  {shown}", style="bold", markup=False, soft_wrap=True)
        _train(
            _Job(
                data=str(paths["train"]),
                output=output / "model",
                score_range=(0.0, 5.0),
                eval_data=str(paths["eval"]),
                test_data=str(paths["test"]),
                compare=True,
                learning_rates=(0.03, 0.1, 0.3, 1.0),
                overwrite=overwrite,
            )
        )


def _train(job: _Job) -> None:
    from selective_st.output import Output, size_of

    model = None if job.model == _STATIC else job.model
    reads = {"the data": job.data, "--eval-data": job.eval_data, "--test-data": job.test_data, "--model": model}
    with Output(job.output, "train", reads, overwrite=job.overwrite, room=size_of(model)) as output:
        _train_into(output, job)


def _train_into(output: Output, job: _Job) -> None:
    """The main job. Cheap checks come first, heavy imports last."""
    console = make_console()
    be_quiet()
    with console.status("Loading libraries ..."):
        from selective_st.focus import parse_focus
        from selective_st.training import (
            EPOCHS,
            LEARNING_RATES,
            KeptRuns,
            Settings,
            count_runs,
            key_of_runs,
            loss_kind,
            no_static_message,
            prepare,
            steps_of_run,
            train_and_compare,
        )
    focus = parse_focus(job.focus)
    is_static = job.model == _STATIC
    known = None if job.loss == _AUTO else loss_kind(job.loss)
    if known is not None:
        _check_options(job, known)
        if is_static and not known.takes_static:
            raise ValueError(no_static_message(known, job.model))
    kind, train_split, eval_split, test_split, by = _read_splits(job, known)
    if known is None:
        _check_options(job, kind)
    link = kind.link(focus)

    model = _STATIC if is_static else "pretrained"
    rates = job.learning_rates or LEARNING_RATES[model]
    settings = Settings(
        model=job.model,
        epochs=job.epochs or EPOCHS[model],
        batch_size=job.batch_size or kind.batch_sizes[model],
        learning_rates=tuple(rates),
        seeds=job.seeds,
        compare=job.compare,
        loss=kind.name,
        temperature=job.temperature or kind.temperature,
        list_size=job.list_size or _LIST_SIZE,
        positive_from=job.positive_from,
    )
    task = prepare(train_split, eval_split, test_split, by, focus, settings)
    focus, examples = task.focus, task.examples
    notes = [note for pairs in (train_split, eval_split, test_split) for note in pairs.notes] + task.notes
    if examples.fewest_texts is not None:
        # Each batch is to be another choice of the texts.
        largest = max(2, min(examples.fewest_texts // 2, len(examples)))
        if settings.batch_size > largest:
            settings = replace(settings, batch_size=largest)
            notes.append(
                f"batch size {largest}: a column has only {examples.fewest_texts:,} different texts, and no text may "
                "stand twice in a batch"
            )
    print_notes(console, notes)
    if job.check:
        _check_examples(console, task, kind, settings)
    runs = count_runs(settings)
    steps = steps_of_run(examples, settings)
    console.print(
        f"[dim]·[/] {len(examples):,} {examples.noun} to train, {len(eval_split):,} pairs to choose, "
        f"{len(test_split):,} to test; {runs} run{'s' if runs > 1 else ''} of {settings.epochs} "
        f"epoch{'s' if settings.epochs > 1 else ''}, batch size {settings.batch_size}, learning rates "
        f"{', '.join(f'{rate:g}' for rate in rates)}"
    )
    console.print(
        f"[dim]·[/] focus {escape(focus.name)}: "
        + (f"the default link of {kind.selective}" if link is None else escape(repr(link))),
        soft_wrap=True,
    )
    if settings.temperature is not None:
        console.print(f"[dim]·[/] temperature {settings.temperature:g} (scale {1 / settings.temperature:g})")
    if settings.compare and kind.builtins_note:
        console.print(f"[dim]·[/] compared with {', '.join(kind.builtins)} ({kind.builtins_note})")

    kept = KeptRuns(output.state(key_of_runs(task, settings)), settings)
    print_notes(console, kept.notes)
    with _Progress(console, runs, steps, len(kept)) as progress:
        report = train_and_compare(task, settings, output.new, progress.on_run, progress.on_step, kept)
    _write_results(output.new, report, focus, settings, job)
    output.publish()
    _print_results(console, report, focus, settings, len(test_split))
    print_written(console, "model", output.given)
    for label, name in (("card", _CARD_FILE), ("metrics", METRICS_FILE), ("picture", _PICTURE_FILE)):
        if (output.given / name).exists():
            print_written(console, label, output.given / name)
    if not (output.given / _PICTURE_FILE).exists():
        console.print(r'[yellow]Note:[/] no picture, as matplotlib is missing: pip install "selective-st\[plot]"')


def _check_examples(console: Console, task: Task, kind: LossKind, settings: Settings) -> None:
    """Say what is wrong with the training data; stop if it is more than a warning."""
    from selective_st.registry import check_dataset

    report = check_dataset(
        task.examples.dataset,
        kind.selective,
        model=task.make_model(0),
        batch_size=settings.batch_size,
        sampler=None if task.examples.fewest_texts is None else "no_duplicates",
    )
    if report.findings:
        print_report(console, report)
    if report.errors:
        raise ValueError(
            f"These data are not right for {kind.selective}: see above. Mend them, or train all the same with "
            "--no-check."
        )


def _check_options(job: _Job, kind: LossKind) -> None:
    """Refuse options that are out of range, or mean nothing for the loss."""
    from selective_st._validation import finite_number

    if job.temperature is not None:
        if kind.temperature is None:
            raise ValueError(
                f"--temperature means nothing for --loss {kind.name}; leave it out, or choose another loss."
            )
        finite_number("train", "--temperature", job.temperature, positive=True)
    if job.list_size is not None and not kind.takes_list_size:
        raise ValueError(f"--list-size means nothing for --loss {kind.name}; leave it out, or choose listwise.")
    check_positive_from(job.positive_from)


def _read_splits(job: _Job, kind: LossKind | None) -> tuple[LossKind, GradedPairs, GradedPairs, GradedPairs, By | None]:
    """The loss, and the training, eval and test pairs: as given, or of the hub dataset, or set aside from the data.

    And how they make groups of candidates of one text; what is set aside keeps these together.
    """
    from selective_st.data import hub_splits, read_pairs
    from selective_st.training import kind_of_labels, suited_kind

    read = partial(read_pairs, columns=job.columns, score_range=job.score_range, header=job.header)
    available = hub_splits(job.data)
    if available and "train" not in available:
        raise ValueError(f"{job.data} has no split named train; it has {', '.join(available)}.")
    train_split = read(job.data)
    if kind is None:
        kind, why = suited_kind(train_split)
        train_split.notes.append(f"--loss auto: {kind.name}, as {why}")
    else:
        asked, kind = kind, kind_of_labels(kind, train_split)
        if kind is not asked:
            train_split.notes.append(f"every label is 0 or 1: --loss {kind.name}")
    by = train_split.grouping()
    if by == "either" and not kind.groups:
        by = None  # a few texts that occur again do not make graded pairs a set of questions
    chosen: list[GradedPairs] = []
    for seed, (name, given, split_names) in enumerate(
        (("test", job.test_data, ("test",)), ("eval", job.eval_data, ("validation", "dev", "eval")))
    ):
        own = next((split for split in split_names if split in available), None)
        if given is not None:
            chosen.append(read(given))
        elif own is not None:
            chosen.append(read(job.data, split=own))
        else:
            train_split, part = train_split.split(name, _HELD_OUT, seed, by)
            chosen.append(part)
    return kind, train_split, chosen[1], chosen[0], by


class _Progress:
    """A progress bar over all steps of all runs, in a terminal; one line a run elsewhere."""

    def __init__(self, console: Console, runs: int, steps: int, done: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = console
        self._runs = runs
        self._started = done
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=runs * steps, completed=done * steps)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_run(self, loss: str, learning_rate: float, seed: int) -> None:
        """Show which run begins."""
        self._started += 1
        text = f"run {self._started}/{self._runs}: {loss}, learning rate {learning_rate:g}, seed {seed}"
        self._bar.update(self._task, description=text)
        if not self._console.is_terminal:
            self._console.print(text, highlight=False)

    def on_step(self) -> None:
        """Advance by one step."""
        self._bar.advance(self._task)


def _write_results(folder: Path, report: Report, focus: Focus, settings: Settings, job: _Job) -> None:
    results = {
        "loss": report.selective,
        "focus": focus.name,
        "link": report.link,
        "main_metric": focus.main_metric,
        "data": {"train": job.data, "eval": job.eval_data, "test": job.test_data, "score_range": job.score_range},
        "settings": asdict(settings),
        "versions": versions(),
        **report.as_dict(),
    }
    write_metrics(folder, results)
    try:
        from selective_st.plotting import plot_error_by_score_bin
    except ImportError:  # matplotlib is an optional extra
        return
    plot_error_by_score_bin(report.error_by_bin(), folder / _PICTURE_FILE, regions=focus.regions)


def _heading(metric: str) -> str:
    """`ap_ge_0.95` as a person reads it."""
    if metric in _RANKING_HEADINGS:
        return _RANKING_HEADINGS[metric]
    parts = metric.split("_")
    if parts[0] == "ap":
        return f"AP gold {'≥' if parts[1] == 'ge' else '≤'} {parts[2]} ↑"
    if parts[0] == "rmse":
        return f"RMSE gold {parts[1]}-{parts[2]} ↓"
    return "Spearman ↑"


def _cell(mean_and_half_width: tuple[float, float], *, signed: bool = False) -> str:
    mean, half_width = mean_and_half_width
    if mean != mean:
        return "-"
    text = f"{mean:+.3f}" if signed else f"{mean:.3f}"
    return text if half_width != half_width else f"{text} ± {half_width:.3f}"


def _print_results(console: Console, report: Report, focus: Focus, settings: Settings, test_rows: int) -> None:
    from rich import box
    from rich.table import Table

    seeds = f"mean of {settings.seeds} seeds ± 95 % interval" if settings.seeds > 1 else "1 seed"
    metrics = focus.shown_metrics
    ranked = report.untrained.get("questions")
    questions = f", {ranked:,.0f} questions" if ranked else ""
    table = Table(
        title=f"Test split, {test_rows:,} pairs{questions}: {seeds}", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.add_column("loss (learning rate)", overflow="fold")
    for metric in metrics:
        table.add_column(_heading(metric), justify="right", no_wrap=True)
    table.add_row("untrained", *(_cell((report.untrained[metric], float("nan"))) for metric in metrics), style="dim")
    for loss, rate in report.chosen_rates.items():
        style = "bold" if loss == report.selective else ""
        cells = (_cell(report.mean(loss, metric)) for metric in metrics)
        table.add_row(f"{loss} ({rate:g})", *cells, style=style)
    others = [loss for loss in report.chosen_rates if loss != report.selective]
    if others:
        table.add_section()
        for loss in others:
            cells = (_cell(report.difference(loss, metric), signed=True) for metric in metrics)
            table.add_row(f"selective - {loss}", *cells)
    console.print(table)
    ends = {min(settings.learning_rates), max(settings.learning_rates)}
    at_end = [loss for loss, rate in report.chosen_rates.items() if rate in ends]
    if at_end and len(settings.learning_rates) > 2:
        console.print(
            f"[yellow]Note:[/] the best learning rate of {', '.join(at_end)} lies at an end of the grid; a wider "
            "--learning-rates may serve it better."
        )
    saved = report.saved
    console.print(
        f"Saved: {saved.loss}, learning rate {saved.learning_rate:g}, seed {saved.seed}; both chosen "
        f"by {focus.main_metric} on the eval split.",
        highlight=False,
    )
