"""`selective-st train` and `selective-st demo`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from selective_st._validation import finite_number
from selective_st.catalog import TRAINABLE
from selective_st.cli import common
from selective_st.cli.options import (
    PairOptions,
    TextOptions,
    argument,
    command,
    option,
    positive_numbers,
    told_words,
    words_of,
)
from selective_st.cli.registry import AUTO, print_code, print_report
from selective_st.demo import write_demo_data
from selective_st.output import METRICS_FILE, Output, write_metrics

if TYPE_CHECKING:
    from selective_st.cli.reading import Source
    from selective_st.distillation import Taught
    from selective_st.focus import Focus
    from selective_st.loss_kinds import LossKind
    from selective_st.training import Report, Settings, Splits, Task

_WRITTEN = {"card": "README.md", "metrics": METRICS_FILE}
_WRITTEN |= {"threshold": "score_threshold.json", "picture": "threshold_curves.png"}
_HELD_OUT = 0.1  # of the rows, for an eval or test split that was not given
_TEMPERATURES = ", ".join(
    f"{known.name} {known.temperature:g}" + (f" (static: {1 / known.static_scale:g})" if known.static_scale else "")
    for known in TRAINABLE
    if known.temperature
)
_STATIC = "static"
DEVICES = ("cpu", "cuda", "mps")
_FEW_LABELS = ("labels: more pairs, or a teacher's scores (--teacher MODEL --texts FILE),",)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(PairOptions, TextOptions):
    """What `train` was asked to do.

    Attributes:
        data: Sentence pairs with a label (graded, or 0/1): a .csv, .tsv, .jsonl or .parquet file, or the name of a
            dataset on the Hugging Face hub.
        model: The SentenceTransformer to train: a path, a hub name, or 'static' (embeddings trained from scratch).
        output: The folder to write: the model, its card, metrics and a picture.
        eval_data: Pairs to choose learning rates and seeds on. Default: 10 % of DATA, sharing no texts with the rest.
        test_data: Pairs to report on. Default: 10 % of DATA, sharing no texts with the rest if possible.
        compare: Also train the built-in losses for the same data under equal conditions; losses with a scale or
            temperature are tried with several, unless --temperature is given.
        seeds: How many runs with each setting.
        epochs: Passes over the training pairs. Default: 5 for static, else 1.
        batch_size: Rows per step. Default: 64 for static, else 32; lists 16 and 8; cached-in-batch 128.
        learning_rates: Learning rates to choose from, the same for every loss. Default: 0.003,0.01,0.03,0.1 for static,
            else 1e-5,2e-5,5e-5.
        warmup: The share of steps over which the learning rate rises to its value.
        max_length: Truncate texts to this many tokens. Default: the model's maximum.
        device: cpu, cuda, mps. Default: the fastest one available.
        bf16: Use bfloat16 where it is precise enough: faster on recent GPUs.
        list_size: The maximum number of candidates per list (listwise) or triplets per text (pairwise). Default: 16.
        teacher: A SentenceTransformer or CrossEncoder (a path or hub name) that scores pairs of --texts, to learn from
            these too; the eval split chooses their weight.
        texts: Texts without labels, for --teacher: .txt files with one text per line, or a .csv, .tsv, .jsonl or
            .parquet file, or the name of a dataset on the Hugging Face hub.
        teacher_pairs: How many pairs of --texts to draw.
        diagnose: First find out with two short runs what limits the decisions at the thresholds of the focus: the
            model, or the labels.
        check: Check the data before training; --no-check trains regardless, and treats classes as grades.
    """

    data: str = argument()
    model: str = option(_STATIC)
    loss: str = option(
        "pointwise",
        help=f"{'; '.join(f'{known.name}: {known.what}' for known in TRAINABLE)}; {AUTO}: what suits the data. Or the "
        "class of one of these losses.",
    )
    output: Path = option(Path("selective-model"))
    eval_data: str | None = option(None)
    test_data: str | None = option(None)
    compare: bool = option(False, "--compare")
    seeds: int = option(1, min=1, max=100)
    epochs: int | None = option(None, min=1)
    batch_size: int | None = option(None, min=2)
    learning_rates: tuple[float, ...] | None = option(None, parse=positive_numbers, metavar="LR,...")
    warmup: float = option(0.1)
    max_length: int | None = option(None)
    device: str | None = option(None)
    bf16: bool = option(False, "--bf16")
    temperature: float | None = option(
        None,
        help="What score differences are divided by; the smaller, the more only the top counts. Not for pointwise. "
        f"Default: {_TEMPERATURES}; built-in losses use their own.",
    )
    list_size: int | None = option(None, min=2)
    teacher: str | None = option(None)
    texts: list[str] | None = option(None)
    teacher_pairs: int = option(20_000, min=100)
    diagnose: bool = option(False, "--diagnose")
    check: bool = option(True, "--check/--no-check")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.warmup < 1:
            raise ValueError(f"--warmup is a share of the steps, from 0 to below 1, such as 0.1; got {self.warmup:g}.")
        if self.max_length is not None and self.max_length < 2:
            raise ValueError(f"--max-length is a number of tokens, 2 or more, such as 128; got {self.max_length}.")
        if self.max_length is not None and self.model == _STATIC:
            raise ValueError("--max-length does not apply to --model static, which reads whole texts; leave it out.")
        if (self.teacher is None) != (not self.texts):
            given, missing = ("--texts", "--teacher MODEL") if self.texts else ("--teacher", "--texts FILE")
            raise ValueError(f"{given} also needs {missing}: the teacher scores pairs of these texts.")
        if self.device not in (None, *DEVICES):
            mend = "To choose a GPU, set CUDA_VISIBLE_DEVICES=1."
            raise ValueError(f"--device must be one of {', '.join(DEVICES)}; got {self.device!r}. {mend}")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What `demo` was asked to do.

    Attributes:
        output: The folder to write: the data, and the model in its subfolder 'model'.
        overwrite: Replace an earlier demo in that folder.
    """

    output: Path = option(Path("demo"))
    overwrite: bool = option(False, "--overwrite")


@command(TrainOptions, "model", "loss", "focus", "threshold", "score_range", "columns", "output")
def train(job: TrainOptions) -> None:
    """Train an embedding model on labelled sentence pairs, with the focus on the scores that matter.

    If texts occur in several pairs, such as questions with their answers, losses for lists and triplets learn from
    these candidates, and rankings are evaluated.

    Prints a table of metrics on the test split, and writes the best model with its card, metrics.json and a picture.
    """
    _train(job)


@command(DemoOptions)
def demo(options: DemoOptions) -> None:
    """Train and compare on generated pairs, to try it out: no download, about a minute."""
    rows = {"train": 1200, "eval": 400, "test": 800}
    train, evaluation, test = (options.output / "data" / f"{name}.csv" for name in rows)
    reads = {"the data": train, "--eval-data": evaluation, "--test-data": test}
    # The model is written as `train` writes it, but no model trained on other data is replaced; the data are the same
    # each time, so that an interrupted demo goes on.
    Output(options.output / "model", "train", reads, overwrite=options.overwrite, same_reads=True)
    with Output(options.output / "data", "demo", overwrite=True) as data:
        write_demo_data(data.new, rows)
        data.publish()
    job = TrainOptions(
        data=str(train),
        output=options.output / "model",
        score_range=(0.0, 5.0),
        eval_data=str(evaluation),
        test_data=str(test),
        compare=True,
        learning_rates=(0.03, 0.1, 0.3, 1.0),
        overwrite=options.overwrite,
    )
    console = common.make_console()
    console.print(f"Made graded sentence pairs in {escape(str(train.parent))}. The same as:")
    words = shlex.join(["selective-st", "train", *words_of(job)])
    console.print(f"  {words}", style="bold", markup=False, soft_wrap=True)
    _train(job)


def _train(job: TrainOptions) -> None:
    reads = {"the data": job.data, "--eval-data": job.eval_data, "--test-data": job.test_data, "--teacher": job.teacher}
    reads |= {"--model": None if job.model == _STATIC else job.model}
    reads |= {f"--texts ({number})": source for number, source in enumerate(job.texts or (), start=1)}
    with Output(job.output, "train", reads, overwrite=job.overwrite) as output:
        _train_into(output, job)


def _train_into(output: Output, job: TrainOptions) -> None:
    """The main job. Cheap checks come first, heavy imports last."""
    console = common.make_console()
    common.be_quiet()
    with console.status("Loading libraries ..."):
        from selective_st import training
        from selective_st.kept_runs import KeptRuns
    focus = job.read_focus()
    splits = _read_splits(job, focus)
    taught = _taught(console, output, job, splits, focus) if job.teacher else None
    task = training.prepare(splits, focus, _settings(job, splits.kind), taught)
    common.print_notes(console, task.notes)
    if job.check:
        _check_examples(console, task)
    common.print_template(console, "training.txt", "plan", task=task, pairs=splits)

    if job.diagnose:
        with console.status("Two short runs ..."):
            diagnosis = training.diagnosed(task, splits, output.new)
        common.print_notes(console, [f"diagnosis: {diagnosis.sentence(*_FEW_LABELS * (taught is None))}"])
    kept = KeptRuns(output.state(training.key_of_runs(task)), [*task.runs])
    common.print_notes(console, filter(None, [kept.note]))
    progress = _Progress(console, [steps for key, steps in task.runs.items() if key not in kept], len(kept))
    with progress.bar:
        report = training.train_and_compare(task, kept, output.new, progress.on_run, progress.on_step)
    _write_results(output.new, report, job)
    output.publish()
    _print_results(console, report, len(splits.test))
    common.print_written(console, "model", output.given)
    for label, name in _WRITTEN.items():
        if (output.given / name).exists():
            common.print_written(console, label, output.given / name)
    if find_spec("matplotlib") is None:
        console.print(common.NO_PICTURES)
    _print_use(console, output.given)
    found = report.against_untrained
    console.print(found["sentence"], style="" if found["verdict"] == "better" else "bold yellow", soft_wrap=True)


def _taught(console: Console, output: Output, job: TrainOptions, splits: Splits, focus: Focus) -> Taught:
    """Pairs of `--texts` with the teacher's scores."""
    from selective_st.distillation import read_all_texts, taught_pairs

    texts, notes = read_all_texts(job.texts or (), job.text_columns)
    common.print_notes(console, notes)
    name = str(job.teacher)
    teacher, held_out = common.load_model("--teacher", name), [splits.eval, splits.test]
    with console.status("Asking the teacher ..."):
        return taught_pairs(output, teacher, name, texts, splits.train, held_out, focus.edges, job.teacher_pairs)


def _print_use(console: Console, folder: Path) -> None:
    """Print the lines that load the model, score pairs and decide by the threshold stored with it."""
    from selective_st.card_section import deciding
    from selective_st.evaluation import load_threshold

    threshold = load_threshold(folder)
    if threshold is not None:
        console.print("To use it, with load_threshold and predict_scores of selective_st.evaluation:")
        print_code(console, deciding("SentenceTransformer", str(folder), threshold))


def _settings(job: TrainOptions, kind: LossKind) -> Settings:
    """What is the same for every run, with defaults for what was not told."""
    from selective_st.training import EPOCHS, LEARNING_RATES, Settings

    model = _STATIC if job.model == _STATIC else "pretrained"
    told = {field.name: value for field in fields(Settings) if (value := getattr(job, field.name)) is not None}
    defaults = {"epochs": EPOCHS[model], "learning_rates": LEARNING_RATES[model]}
    return Settings(**{**defaults, "batch_size": kind.batch_sizes[model != _STATIC], **told, "loss": kind.name})


def _check_examples(console: Console, task: Task) -> None:
    """Say what is wrong with the training data; stop if it is more than a warning."""
    from selective_st.registry import check_dataset

    report = check_dataset(
        task.examples.dataset,
        task.kind.loss,
        model=task.make_model(0),
        batch_size=task.settings.batch_size,
        sampler=None if task.examples.fewest_texts is None else "no_duplicates",
    )
    if report.findings:
        print_report(console, report)
    if report.errors:
        raise ValueError(f"These data do not suit {task.kind.loss}: see above. Mend them, or train with --no-check.")


def _check_options(job: TrainOptions, kind: LossKind) -> None:
    """Refuse options that are out of range, or mean nothing for the loss."""
    if job.temperature is not None:
        if kind.temperature is None:
            raise ValueError(f"--temperature does not apply to --loss {kind.name}; leave it out.")
        finite_number("train", "--temperature", job.temperature, positive=True)
    if job.list_size is not None and not kind.takes_list_size:
        raise ValueError(f"--list-size does not apply to --loss {kind.name}; leave it out, or choose listwise.")


def _read_splits(job: TrainOptions, focus: Focus) -> Splits:
    """The splits as given, or of the hub dataset, or set aside from the data."""
    from selective_st.cli.reading import checked_split, read_source
    from selective_st.data import hub_splits
    from selective_st.loss_kinds import kind_of_labels, loss_kind, suited_kind
    from selective_st.training import Splits

    if job.loss != AUTO:
        _check_options(job, loss_kind(job.loss))

    def read(data: str, split: str | None) -> Source:
        return read_source(replace(job, data=data, split=split, score_range=None))

    available = hub_splits(job.data)
    checked_split(job.data, available, [job.split or "train"])
    source = read(job.data, job.split)
    if job.check:
        _judge(job, source)
    train = source.graded_pairs(job, "train")
    if job.loss == AUTO:
        kind, why = suited_kind(train, focus)
        _check_options(job, kind)
        train.notes.append(f"--loss auto: {kind.name}, as {why}")
    else:
        asked = loss_kind(job.loss)
        kind = kind_of_labels(asked, train)
        if kind is not asked:
            train.notes.append(f"every label is 0 or 1: --loss {kind.name}")
    by = train.grouping()
    if by == "either" and not kind.groups:
        by = None  # a few texts that occur again do not make graded pairs a set of questions
    others, parts = [], {"test": (job.test_data, ["test"]), "eval": (job.eval_data, ["validation", "dev", "eval"])}
    for seed, (name, (given, names)) in enumerate(parts.items()):
        own = next((split for split in names if split in available), None)
        if given is None and own is None:
            train, part = train.split(name, _HELD_OUT, seed)
        else:
            data, split = (job.data, own) if given is None else (given, None)
            part = read(data, split).graded_pairs(replace(job, data=data, split=split), "train")
        others.append(part)
    return Splits(kind, train, others[1], others[0], by)


def _judge(job: TrainOptions, source: Source) -> None:
    """Refuse what is not two texts with grades, or with yes or no, as far as that can be told."""
    from selective_st.registry.choice import are_labelled_pairs

    source.refuse_other_labels(job, "train")
    if source.unclear and (job.loss != AUTO or job.score_range is not None):
        return
    found = source.suggestions(job.read_focus(), "SentenceTransformer")
    takes = source.is_for_train(found) or (source.told and not are_labelled_pairs(found))
    if takes and not source.unclear:
        return
    chosen, _ = source.choice(found)
    suggest = shlex.join(["selective-st", "suggest", job.data, *told_words(replace(job, score_range=None))])
    raise ValueError(
        f"{source.table.name}: {source.format.in_words()}. But `train` needs two texts and a grade, or 1 and 0 for yes "
        f"and no. To train {chosen.loss} on these data: `{suggest} --script > train.py && python train.py`"
    )


class _Progress:
    """A progress bar over all steps of all runs, in a terminal; one line a run elsewhere, with the time left."""

    def __init__(self, console: Console, steps: Sequence[int], done: int) -> None:
        self._runs, self._started = done + len(steps), done
        self.bar = common.progress_bar(console, "{task.description}", "steps")
        self._task = self.bar.add_task("", total=sum(steps))
        self.on_step = partial(self.bar.advance, self._task)

    def on_run(self, loss: str, learning_rate: float, seed: int) -> None:
        """Show which run begins, and how long it all takes as far as earlier ones tell."""
        self._started += 1
        text = f"run {self._started}/{self._runs}: {loss}, learning rate {learning_rate:g}, seed {seed}"
        self.bar.update(self._task, description=text)
        seconds = self.bar.tasks[0].time_remaining
        if not self.bar.console.is_terminal:
            left = f" (about {timedelta(seconds=seconds)} left)" if seconds else ""
            self.bar.console.print(text + left, highlight=False, soft_wrap=True)


def _write_results(folder: Path, report: Report, job: TrainOptions) -> None:
    task = report.task
    settings = replace(task.settings, temperature=report.trained.temperature)
    results = {
        "loss": task.kind.loss,
        "focus": task.focus.name,
        "thresholds": list(task.focus.cuts),
        "link": report.link,
        "main_metric": task.focus.main_metric,
        "data": {"train": job.data, "eval": job.eval_data, "test": job.test_data, "score_range": job.score_range},
        "settings": asdict(settings),
        "versions": common.versions(),
        **report.as_dict(),
    }
    write_metrics(folder, results)


def _print_results(console: Console, report: Report, test_rows: int) -> None:
    from selective_st.outcome import results

    found, settings = results(report), report.task.settings
    title = common.text_of("training.txt", "title", report=report, settings=settings, rows=test_rows)
    styles = {"rests on": "dim", "untrained": "dim"}
    own = f"{report.task.kind.loss} ("
    every = [("bold" if row[0].startswith(own) else styles.get(row[0], ""), row) for row in found.losses]
    names, ats = report.task.focus.shown_metrics, [f"_{at:g}" for at in report.task.focus.thresholds]
    parts = [[name for name in names if name.endswith(at)] for at in ats] if len(ats) > 1 else []
    rest = [name for name in names if not any(name in part for part in parts)]
    for number, part in enumerate([*parts, rest]):  # a table for each of several thresholds
        places = [0, *(1 + names.index(name) for name in part)]
        losses = [(style, [row[place] for place in places]) for style, row in every]
        differences = [("", [row[place] for place in places]) for row in found.differences]
        heads = [found.heads[place] for place in places]
        common.print_table(console, "" if number else title, heads, losses, differences)
    ends = {min(settings.learning_rates), max(settings.learning_rates)}
    at_end = [loss for loss, runs in report.best.items() if runs[0].learning_rate in ends]
    common.print_template(console, "training.txt", "saved", report=report, at_end=at_end)
