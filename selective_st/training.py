"""The main job: train on graded pairs with a selective loss, and compare it with the built-in losses.

What differs from loss to loss stands in `selective_st.loss_kinds`. One run trains one model with one loss, learning
rate and seed. `train_and_compare` does all runs at equal work (same model, data, order of batches, steps), chooses each
loss's learning rate on the eval split, and reports on the test split.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.losses import has_static_embedding_input
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from sentence_transformers.util import get_device_name
from torch import nn
from transformers import PrinterCallback, TrainerCallback

from selective_st import __version__
from selective_st._validation import finite_number, instance_of, list_of, whole_number
from selective_st.evaluation import ScoreRegionEvaluator, error_by_score_bin, save_threshold
from selective_st.evaluation._checks import range_of_gold
from selective_st.evaluation.claims import Support
from selective_st.evaluation.metrics import NEGATIVE
from selective_st.focus import Focus
from selective_st.kept_runs import KeptRuns, Run
from selective_st.layouts import By, Examples, GradedPairs
from selective_st.loss_kinds import LossFactory, LossKind, check_pairs, loss_kind
from selective_st.outcome import arguments_of_roles, judge, notes_on_splits, overlaps, roles, write_card
from selective_st.output import State, without_nan
from selective_st.registry.names import TRAINER_LABELS
from selective_st.untrained import STATIC, model_maker, train_tokenizer

__all__ = [
    "EPOCHS",
    "LEARNING_RATES",
    "STATIC",
    "KeptRuns",
    "Report",
    "Run",
    "Settings",
    "Task",
    "count_runs",
    "fitting",
    "key_of_runs",
    "mean_and_interval",
    "model_maker",
    "no_static_message",
    "prepare",
    "runs_asked_for",
    "steps_of_run",
    "train_and_compare",
    "train_once",
    "train_tokenizer",
]

# Learning rates for tables trained from nothing are a thousand times those for fine-tuning a transformer.
LEARNING_RATES = {STATIC: (0.003, 0.01, 0.03, 0.1), "pretrained": (1e-5, 2e-5, 5e-5)}
EPOCHS = {STATIC: 5, "pretrained": 1}
_FEW_QUESTIONS = 20
_CHOOSE_RUNS = ("learning_rates", "seeds", "compare")  # settings that say which runs are done, not how
_LARGE_FILE = 1 << 20


@dataclass(frozen=True)
class Settings:
    """What is the same for every run.

    Attributes:
        model: `static`, or a path or hub name of a SentenceTransformer.
        epochs: Passes over the training pairs.
        batch_size: Rows in a step.
        learning_rates: The grid, the same for every loss.
        seeds: How many seeds, counted from 0: of the initial weights (`static`) and of the order of the pairs.
        compare: Whether the built-in losses are trained too.
        loss: The name of the selective loss on the command line.
        temperature: By which score differences are divided; None for each loss's own.
        list_size: The most candidates in a list, and triplets of a text.
        positive_from: From which label a candidate counts as positive.
        as_queries: Whether the first texts are queries, and embedded as such; None to be told by the data.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rates: tuple[float, ...]
    seeds: int
    compare: bool
    loss: str = "pointwise"
    temperature: float | None = None
    list_size: int = 16
    positive_from: float = 0.8
    as_queries: bool | None = None

    def __post_init__(self) -> None:
        instance_of("Settings", "model", self.model, str, f'Write model="{STATIC}", or a path or hub name.')
        for name, least in (("epochs", 1), ("batch_size", 1), ("seeds", 1), ("list_size", 2)):
            whole_number("Settings", name, getattr(self, name), least=least)
        rates = list_of("Settings", "learning_rates", self.learning_rates, "learning rates", "(0.01, 0.1)")
        for place, rate in enumerate(rates):
            finite_number("Settings", f"learning_rates[{place}]", rate, positive=True)
        if not rates:
            raise ValueError(
                "Settings: learning_rates must hold at least one, got none. Write learning_rates=(0.01, 0.1)."
            )
        loss_kind(self.loss)
        if self.temperature is not None:
            finite_number("Settings", "temperature", self.temperature, positive=True)
        finite_number("Settings", "positive_from", self.positive_from)


def key_of_runs(task: Task, settings: Settings) -> str:
    """A digest of all that decides how a run comes out, but for its own loss, learning rate and seed.

    Args:
        task: The data, the evaluators, the focus and the model.
        settings: The settings.

    Returns:
        The digest.
    """
    instance_of("key_of_runs", "task", task, Task, "Make one with prepare(...).")
    instance_of("key_of_runs", "settings", settings, Settings, "Write Settings(...).")
    model = task.make_model(0)
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", model.tokenizer)
    focus = {part.name: getattr(task.focus, part.name) for part in fields(task.focus) if part.name != "link"}
    facts = {
        "settings": {name: value for name, value in asdict(settings).items() if name not in _CHOOSE_RUNS},
        "focus": focus | {"link": task.focus.link.get_config_dict()},
        "versions": [__version__, *(version(name) for name in ("sentence-transformers", "transformers", "torch"))],
        "as_queries": task.as_queries,
        "model": [get_device_name(), repr(model), model.prompts, model.similarity_fn_name],
        "tokenizer": tokenizer.to_str() if hasattr(tokenizer, "to_str") else repr(tokenizer),
        "evaluators": [
            [it.sentences1, it.sentences2, it.scores.tolist(), [list(group) for group in it.groups], it.metric_names]
            for it in task.evaluators.values()
        ],
    }
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8)
    for rows in task.examples.dataset.iter(10_000):
        digest.update(json.dumps(rows).encode())
    for name, weights in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@dataclass
class Report:
    """All runs, and what follows from them.

    Attributes:
        runs: Every run.
        untrained: Test metrics of the model before training (seed 0).
        chosen_rates: For each loss, the learning rate that is best on the eval split.
        saved: The run whose model was saved.
        test_gold: The gold scores of the test split.
        selective: The name of the selective loss.
        link: The config of its link.
        untrained_scores: The scores of the model before training.
        support: What each metric of the test split rests on.
        overlap: How much the splits hold of each other.
        against_untrained: Whether the saved model is better than the untrained one.
    """

    runs: list[Run]
    untrained: dict[str, float]
    chosen_rates: dict[str, float]
    saved: Run
    test_gold: list[float]
    selective: str
    link: dict[str, Any]
    untrained_scores: list[float]
    support: dict[str, Support]
    overlap: dict[str, dict[str, float]]
    against_untrained: dict[str, Any] = field(default_factory=dict)

    def chosen(self, loss: str) -> list[Run]:
        """The runs of a loss at its chosen learning rate, by seed."""
        rate = self.chosen_rates[loss]
        return [run for run in self.runs if run.loss == loss and run.learning_rate == rate]

    def mean(self, loss: str, metric: str) -> tuple[float, float]:
        """Mean over the seeds of a test metric, and half the width of its 95 % interval (NaN for one seed)."""
        return mean_and_interval([run.test[metric] for run in self.chosen(loss)])

    def difference(self, loss: str, metric: str) -> tuple[float, float]:
        """The selective loss less another, seed by seed: mean, and half the width of its 95 % interval."""
        pairs = zip(self.chosen(self.selective), self.chosen(loss), strict=True)
        return mean_and_interval([ours.test[metric] - other.test[metric] for ours, other in pairs])

    def error_by_bin(self, bins: int = 10) -> dict[str, list[dict[str, float]]]:
        """For each loss the error in bins of the gold score, over all seeds at the chosen learning rate."""
        return {
            loss: error_by_score_bin(
                [gold for _ in self._sound(loss) for gold in self.test_gold],
                [score for run in self._sound(loss) for score in run.test_scores],
                bins=bins,
                score_range=range_of_gold(self.test_gold),
            )
            for loss in self.chosen_rates
            if self._sound(loss)
        }

    def _sound(self, loss: str) -> list[Run]:
        """The chosen runs that have not diverged."""
        return [run for run in self.chosen(loss) if np.isfinite(run.test_scores).all()]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-serialisable data; NaN becomes None."""
        metrics = list(self.runs[0].test)
        others = [loss for loss in self.chosen_rates if loss != self.selective]

        def entry(metric: str, values: tuple[float, float]) -> dict[str, float]:
            support = self.support.get(metric.removeprefix(NEGATIVE))
            mean = math.nan if support is not None and not support.cases else values[0]
            return {"mean": mean, "half_width_95": math.nan if support is not None and support.too_few else values[1]}

        report = {
            "saved": {"loss": self.saved.loss, "learning_rate": self.saved.learning_rate, "seed": self.saved.seed},
            "chosen_learning_rates": self.chosen_rates,
            "against_untrained": self.against_untrained,
            "overlap": self.overlap,
            "support": {name: support.as_dict() for name, support in self.support.items()},
            "untrained": {name: entry(name, (value, math.nan))["mean"] for name, value in self.untrained.items()},
            "test": {loss: {m: entry(m, self.mean(loss, m)) for m in metrics} for loss in self.chosen_rates},
            "paired_difference_to": {loss: {m: entry(m, self.difference(loss, m)) for m in metrics} for loss in others},
            "error_by_score_bin": self.error_by_bin(),
            "runs": [{key: value for key, value in asdict(run).items() if key != "test_scores"} for run in self.runs],
        }
        found: dict[str, Any] = without_nan(report)
        return found


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval by Student's t (NaN for fewer than two values).

    Args:
        values: One number for each seed.

    Returns:
        The two numbers.

    Example:
        >>> mean_and_interval([1.0, 2.0, 3.0])
        (2.0, 2.484...)
    """
    found = list_of("mean_and_interval", "values", values, "numbers", "[0.1, 0.2]")
    if not found or not all(isinstance(value, (int, float, np.number)) for value in found):
        raise ValueError(
            f"mean_and_interval: values must hold numbers, at least one, got {values!r:.60}. Write [0.1, 0.2]."
        )
    array = np.asarray(found, dtype=np.float64)
    if len(array) < 2:
        return float(array.mean()), math.nan
    quantile = float(stats.t.ppf(0.975, len(array) - 1))
    return float(array.mean()), quantile * float(array.std(ddof=1)) / math.sqrt(len(array))


class _StepCallback(TrainerCallback):
    def __init__(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self._on_step()


def train_once(
    model: SentenceTransformer,
    loss: nn.Module,
    examples: Examples,
    settings: Settings,
    learning_rate: float,
    seed: int,
    working_folder: Path,
    on_step: Callable[[], None],
) -> None:
    """Train a model in place.

    Args:
        model: The model.
        loss: The loss, made for this model.
        examples: The training data in the loss's layout.
        settings: Epochs and batch size.
        learning_rate: The peak learning rate, after 10 % of the steps; it then falls linearly to 0.
        seed: The seed of the order of the rows.
        working_folder: Where the trainer may write.
        on_step: Called after each step.

    Raises:
        ValueError: If there are too few different texts to fill a batch.
    """
    owner = "train_once"
    instance_of(owner, "model", model, SentenceTransformer, 'Load it: SentenceTransformer("...").')
    instance_of(owner, "loss", loss, nn.Module, "Write SelectivePointwiseLoss(model).")
    _check_run(owner, examples, settings)
    no_duplicates = examples.fewest_texts is not None
    if examples.fewest_texts is not None and examples.fewest_texts < settings.batch_size:
        raise _no_step(examples, settings)
    roles_of_columns: dict[str, Any] = {}
    if settings.as_queries:
        columns = [name for name in examples.dataset.column_names if name not in TRAINER_LABELS]
        roles_of_columns = dict(arguments_of_roles(model, columns))
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(working_folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=learning_rate,
        warmup_steps=math.ceil(0.1 * steps_of_run(examples, settings)),
        seed=seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES if no_duplicates else BatchSamplers.BATCH_SAMPLER,
        dataloader_drop_last=no_duplicates,  # a last batch of a single row would have nothing to compare
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        **roles_of_columns,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=examples.dataset,
        loss=loss,
        callbacks=[_StepCallback(on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if not trainer.state.global_step:
        raise _no_step(examples, settings)


def _no_step(examples: Examples, settings: Settings) -> ValueError:
    return ValueError(
        f"Not one step could be made with batches of {settings.batch_size} {examples.noun} in which no text stands "
        "twice: too many share a text. Lower --batch-size, or choose another --loss."
    )


def _check_run(owner: str, examples: Any, settings: Any) -> None:
    instance_of(owner, "examples", examples, Examples, "Lay pairs out: selective_st.layouts.as_pairs(...).")
    instance_of(owner, "settings", settings, Settings, "Write Settings(...).")


def steps_of_run(examples: Examples, settings: Settings) -> int:
    """How many steps a run takes on one device.

    Args:
        examples: The training data.
        settings: Epochs and batch size.

    Returns:
        The number.
    """
    _check_run("steps_of_run", examples, settings)
    if examples.fewest_texts is not None:
        return settings.epochs * (len(examples) // settings.batch_size)
    return settings.epochs * math.ceil(len(examples) / settings.batch_size)


def fitting(settings: Settings, examples: Examples) -> tuple[Settings, str]:
    """Settings with a batch size for which there are enough different texts, so that each batch is another choice.

    Args:
        settings: The settings.
        examples: The training data.

    Returns:
        The settings, and what was decided; nothing if empty.
    """
    largest = None if examples.fewest_texts is None else max(2, min(examples.fewest_texts // 2, len(examples)))
    if largest is None or settings.batch_size <= largest:
        return settings, ""
    return replace(settings, batch_size=largest), (
        f"batch size {largest}: a column has only {examples.fewest_texts:,} different texts, and no text may stand "
        "twice in a batch"
    )


def count_runs(settings: Settings) -> int:
    """How many runs the settings ask for."""
    instance_of("count_runs", "settings", settings, Settings, "Write Settings(...).")
    return len(runs_asked_for(settings))


def runs_asked_for(settings: Settings) -> list[tuple[str, float, int]]:
    """The loss, learning rate and seed of each run, in order; the selective loss comes first.

    Args:
        settings: The settings.

    Returns:
        The runs.
    """
    kind = loss_kind(settings.loss)
    losses = [kind.selective, *(kind.builtins if settings.compare else ())]
    return list(product(losses, settings.learning_rates, range(settings.seeds)))


@dataclass(frozen=True)
class Task:
    """What is trained and evaluated.

    Attributes:
        train: The training pairs.
        examples: The same, in the layout of the loss.
        evaluators: For the `eval` and the `test` split.
        focus: What matters, and which metrics show it.
        notes: What was decided.
        make_model: Makes the untrained model, for a seed.
        as_queries: Whether the first texts are embedded as queries.
        overlap: How much the splits hold of each other.
        claims: What is verified of the splits, a sentence each without a full stop.
    """

    train: GradedPairs
    examples: Examples
    evaluators: dict[str, ScoreRegionEvaluator]
    focus: Focus
    notes: list[str]
    make_model: Callable[[int], SentenceTransformer]
    as_queries: bool = False
    overlap: dict[str, dict[str, float]] = field(default_factory=dict)
    claims: list[str] = field(default_factory=list)


def prepare(
    train: GradedPairs, evaluation: GradedPairs, test: GradedPairs, by: By | None, focus: Focus, settings: Settings
) -> Task:
    """Lay the training pairs out for the loss, and decide how the other splits are evaluated.

    Args:
        train: The training pairs.
        evaluation: The pairs that choose learning rates and the saved seed.
        test: The pairs that are reported, and choose nothing.
        by: How the pairs make groups of candidates, if they do.
        focus: The link, and the metrics of scores.
        settings: The loss and its layout's sizes.

    Returns:
        The task.

    Raises:
        ValueError: If the layout or the model cannot be had, or the metric that chooses is not defined on a split.
    """
    owner = "prepare"
    for name, pairs in (("train", train), ("evaluation", evaluation), ("test", test)):
        check_pairs(owner, name, pairs)
    instance_of(owner, "focus", focus, Focus, 'Write parse_focus("high").')
    instance_of(owner, "settings", settings, Settings, "Write Settings(...).")
    if by not in (None, "first", "either"):
        raise ValueError(f'{owner}: by must be "first", "either" or None, got {by!r}. Write by=train.grouping().')
    kind = loss_kind(settings.loss)
    examples = kind.layout(train, by, settings.list_size, settings.positive_from)
    splits = {"eval": evaluation, "test": test}
    make_model = model_maker(settings.model, train)
    as_queries, notes = (False, []) if settings.model == STATIC else roles(make_model(0), train, settings.as_queries)
    evaluators = {
        name: focus.evaluator(
            pairs,
            name,
            groups=[group.rows for group in pairs.groups(by)] if by else (),
            positive_from=settings.positive_from,
            as_queries=as_queries,
        )
        for name, pairs in splits.items()
    }
    # What the gold scores say of themselves.
    perfect = {name: evaluator.metrics(evaluator.scores) for name, evaluator in evaluators.items()}
    questions = {name: int(metrics.get("questions", 0)) for name, metrics in perfect.items()}
    if all(questions.values()):
        focus = focus.with_ranking(chooses=kind.chosen_by == "ranking")
        counts = " and ".join(f"{number:,} in {splits[name].name}" for name, number in questions.items())
        few = questions["eval"] < _FEW_QUESTIONS and kind.chosen_by == "ranking"
        notes.append(
            f"ranked as questions: {'first texts' if by == 'first' else 'texts on either side'} with a positive (label "
            f"at least {settings.positive_from:g}) and another candidate, {counts}"
            + ("; few to choose a learning rate by, a larger file with --eval-data would serve better" if few else "")
        )
    elif kind.chosen_by == "ranking":
        notes.append(
            "the eval and test splits do not both have texts with a positive and another candidate, so no ranking is "
            f"evaluated; {focus.main_metric} chooses the learning rate"
        )
    for split, pairs in splits.items():
        focus.check_on(pairs, perfect[split], f"--{split}-data")
    found, sentences = overlaps({"train": train, **splits})
    claims = [*sentences, *notes_on_splits(evaluators, focus)]
    notes = [*examples.notes, *notes, *claims]
    return Task(train, examples, evaluators, focus, notes, make_model, as_queries, found, claims)


def train_and_compare(
    task: Task,
    settings: Settings,
    folder: Path,
    on_run: Callable[[str, float, int], None] = lambda loss, learning_rate, seed: None,
    on_step: Callable[[], None] = lambda: None,
    kept: KeptRuns | None = None,
) -> Report:
    """Do all runs that are not done yet, and save the best selective model with its card to `folder`.

    For each loss the learning rate with the best mean of the focus's main metric on the eval split is chosen; of its
    runs with the selective loss, the model of the seed that is best on the eval split is saved.

    Args:
        task: The data, the evaluators and the focus.
        settings: What is the same for every run.
        folder: Where the model goes.
        on_run: Called before each run, with the loss's name, the learning rate and the seed.
        on_step: Called after each step.
        kept: The runs that are done, and where each further one is kept.

    Returns:
        The report.

    Raises:
        ValueError: If the model does not suit the loss, or every run has diverged.
    """
    instance_of("train_and_compare", "task", task, Task, "Make one with prepare(...).")
    instance_of("train_and_compare", "settings", settings, Settings, "Write Settings(...).")
    kind, focus, evaluators = loss_kind(settings.loss), task.focus, task.evaluators
    factories = kind.factories(focus, settings.temperature, compare=settings.compare)
    model = task.make_model(0)
    if not kind.takes_static and has_static_embedding_input(model):
        raise ValueError(no_static_message(kind, settings.model))
    own_loss: Any = factories[kind.selective](model)
    link = own_loss.link.get_config_dict()
    settings = replace(settings, as_queries=task.as_queries)
    untrained_scores = evaluators["test"].predict(model)
    untrained = _metrics(evaluators["test"], model, untrained_scores)

    working_folder = folder / "working"
    if kept is None:
        kept = KeptRuns(State(working_folder / "kept"), runs_asked_for(settings))
        (working_folder / "kept").mkdir(parents=True)
    runs, best = _do_runs(task, settings, factories, kept, working_folder, on_run, on_step)

    chosen_rates = {
        loss: max(
            settings.learning_rates,
            key=lambda rate: _goodness(
                focus, [run.eval[focus.main_metric] for run in runs if (run.loss, run.learning_rate) == (loss, rate)]
            ),
        )
        for loss in factories
    }
    saved = best[chosen_rates[kind.selective]]
    if math.isnan(saved.eval[focus.main_metric]):
        kept.discard()
        raise ValueError(
            f"Training with {kind.selective} diverged with every learning rate ("
            f"{', '.join(f'{rate:g}' for rate in settings.learning_rates)}): its scores are no numbers any more. "
            "Lower --learning-rates, or the steepness of the link."
        )
    shutil.copytree(kept.model(saved), folder, copy_function=_link_or_copy, dirs_exist_ok=True)
    shutil.rmtree(working_folder, ignore_errors=True)  # none where every run was done before
    _store_threshold(task, folder)
    report = Report(
        runs,
        untrained,
        chosen_rates,
        saved,
        evaluators["test"].scores.tolist(),
        kind.selective,
        link,
        untrained_scores.tolist(),
        evaluators["test"].support(),
        task.overlap,
    )
    judge(task, report)
    write_card(folder, own_loss, task, settings, report)
    return report


def _store_threshold(task: Task, folder: Path) -> None:
    """Choose on the eval split where to cut the scores, and store that with the model."""
    with contextlib.suppress(ValueError):  # no score to cut at, or all pairs on one side of it
        chosen = task.evaluators["eval"].choose_threshold(SentenceTransformer(str(folder)), task.focus.decides_for)
        save_threshold(folder, chosen)


def _do_runs(
    task: Task,
    settings: Settings,
    factories: dict[str, LossFactory],
    kept: KeptRuns,
    working_folder: Path,
    on_run: Callable[[str, float, int], None],
    on_step: Callable[[], None],
) -> tuple[list[Run], dict[float, Run]]:
    """All runs, in order, and for each learning rate the selective run that is best: its model is kept."""
    selective = loss_kind(settings.loss).selective
    goodness = partial(_goodness_of_run, task.focus)
    for rate in settings.learning_rates:
        done = [run for seed in range(settings.seeds) if (run := kept.find(selective, rate, seed))]
        if done and not kept.model(max(done, key=goodness)).is_dir():
            for run in done:
                kept.forget(run)
    runs: list[Run] = []
    best: dict[float, Run] = {}
    for loss, rate, seed in runs_asked_for(settings):
        finished = kept.find(loss, rate, seed)
        if finished is None:
            on_run(loss, rate, seed)
            model = task.make_model(seed)
            train_once(model, factories[loss](model), task.examples, settings, rate, seed, working_folder, on_step)
        run = finished or _measured(task, model, loss, rate, seed)
        earlier = best.get(rate)
        is_best = loss == selective and (earlier is None or goodness(run) > goodness(earlier))
        if finished is None:
            kept.add(run, model if is_best else None, working_folder)
            if is_best and earlier is not None:
                shutil.rmtree(kept.model(earlier), ignore_errors=True)
        if is_best:
            best[rate] = run
        runs.append(run)
    return runs, best


def no_static_message(kind: LossKind, model: str) -> str:
    """Why a loss does not train static embeddings, and what to do.

    Args:
        kind: The loss.
        model: What `--model` says.

    Returns:
        The message.
    """
    return (
        f"--loss {kind.name} embeds a batch in parts, which static embeddings (--model {model}) do not allow. Give a "
        "transformer with --model, the path or hub name of a SentenceTransformer, or use --loss in-batch, which "
        "computes the same."
    )


def _measured(task: Task, model: SentenceTransformer, loss: str, learning_rate: float, seed: int) -> Run:
    """What a run has come to."""
    of_eval, of_test = (task.evaluators[split].predict(model) for split in ("eval", "test"))
    return Run(
        loss,
        learning_rate,
        seed,
        _metrics(task.evaluators["eval"], model, of_eval),
        _metrics(task.evaluators["test"], model, of_test),
        of_test.tolist(),
    )


def _metrics(evaluator: ScoreRegionEvaluator, model: SentenceTransformer, scores: Any) -> dict[str, float]:
    """The metrics without the evaluator's name, noted for the card; all NaN where training has diverged."""
    if not np.isfinite(scores).all():
        return dict.fromkeys(evaluator.metric_names, math.nan)
    prefix = f"{evaluator.name}_"
    return {name.removeprefix(prefix): value for name, value in evaluator.report(model, scores).items()}


def _goodness(focus: Focus, values: Sequence[float]) -> float:
    mean = float(np.mean(values))
    if math.isnan(mean):
        return -math.inf
    return mean if focus.greater_is_better else -mean


def _goodness_of_run(focus: Focus, run: Run) -> float:
    return _goodness(focus, [run.eval[focus.main_metric]])


def _link_or_copy(source: str, target: str) -> None:
    """Have a file in two places, a large one without taking up room twice."""
    if os.path.getsize(source) > _LARGE_FILE:
        try:
            return os.link(source, target)
        except OSError:  # a disk without links
            pass
    shutil.copy2(source, target)
    return None
