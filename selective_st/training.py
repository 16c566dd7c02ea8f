"""The main job: train on graded pairs with a selective loss, and compare it with the built-in losses.

What differs from loss to loss stands in `selective_st.loss_kinds`. One run trains one model with one loss, learning
rate and seed. `train_and_compare` does all runs at equal work (same model, data, order of batches, steps), chooses each
loss's learning rate on the eval split, and reports on the test split. With few labels, `prepare` takes pairs of other
texts that a teacher has scored (`taught_pairs`), whose weight the eval split chooses too.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from scipy import stats
from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData, SentenceTransformerTrainer
from sentence_transformers.base.losses import has_static_embedding_input
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.sentence_transformer.training_args import BatchSamplers, SentenceTransformerTrainingArguments
from sentence_transformers.util import get_device_name
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PrinterCallback, TrainerCallback

from selective_st import __version__, outcome
from selective_st._templates import say
from selective_st._validation import list_of, whole_number
from selective_st.card_section import UNTRAINED
from selective_st.distillation import Taught
from selective_st.distillation import distill as distill
from selective_st.distillation import taught_pairs as taught_pairs
from selective_st.errors import loading
from selective_st.evaluation import Diagnosis, ScoreRegionEvaluator, diagnose, error_by_score_bin, save_threshold
from selective_st.evaluation._checks import range_of_gold
from selective_st.evaluation.claims import Support, against_untrained
from selective_st.evaluation.comparison import compare_on
from selective_st.evaluation.curve import even_curve
from selective_st.evaluation.metrics import NEGATIVE
from selective_st.evaluation.thresholds import named_model_type
from selective_st.focus import Focus
from selective_st.kept_runs import Contender, KeptRuns, Key, Run, best_runs, do_runs
from selective_st.layouts import By, Examples, GradedPairs
from selective_st.loss_kinds import LossKind, loss_kind
from selective_st.losses import WeightedLoss
from selective_st.output import without_nan
from selective_st.registry.names import TRAINER_LABELS
from selective_st.scoring import add_weights

STATIC = "static"
# Learning rates for tables trained from nothing are a thousand times those for fine-tuning a transformer.
LEARNING_RATES = {STATIC: (0.003, 0.01, 0.03, 0.1), "pretrained": (1e-5, 2e-5, 5e-5)}
EPOCHS = {STATIC: 5, "pretrained": 1}
_STATIC_DIMENSION = 256
_STATIC_VOCABULARY = 10_000
_CHOOSE_RUNS = ("learning_rates", "seeds", "compare")  # settings that say which runs are done, not how


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
        as_queries: Whether the first texts are queries, and embedded as such; None to be told by the data, as `prepare`
            does.
        warmup: The share of the steps over which the learning rate rises.
        max_length: How many tokens of a text are read; None for as many as the model reads.
        device: `cpu`, `cuda` or `mps`; None for the fastest that there is.
        bf16: Whether to compute in bfloat16 where that is enough.
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
    warmup: float = 0.1
    max_length: int | None = None
    device: str | None = None
    bf16: bool = False


class Splits(NamedTuple):
    """The loss, the pairs to train, choose and report on, and how they make groups of candidates of one text."""

    kind: LossKind
    train: GradedPairs
    eval: GradedPairs
    test: GradedPairs
    by: By | None


@dataclass(frozen=True)
class Task:
    """What all runs have in common, and what is known of it before they begin."""

    kind: LossKind
    settings: Settings
    examples: Examples
    evaluators: dict[str, ScoreRegionEvaluator]
    focus: Focus
    make_model: Callable[[int], SentenceTransformer]
    notes: list[str]
    overlap: dict[str, dict[str, float]]
    claims: list[str]
    taught: Taught | None = None

    @cached_property
    def contenders(self) -> list[Contender]:
        """The losses, each with each of its settings and of a teacher's weights; the selective one first."""
        settings = self.settings
        found = self.kind.contenders(
            self.focus, settings.temperature, compare=settings.compare, is_static=settings.model == STATIC
        )
        return found if self.taught is None else [each for of in found for each in self.taught.contenders(of)]

    @property
    def runs(self) -> dict[Key, int]:
        """The loss with its setting, learning rate and seed of each run, in order, and its steps on one device."""
        each = product(self.contenders, self.settings.learning_rates, range(self.settings.seeds))
        return {(of.name, rate, seed): self.steps(of) for of, rate, seed in each}

    def datasets(self, contender: Contender) -> dict[str, Dataset]:
        """What it is trained on: the examples; with a teacher's pairs so often that both have as many steps."""
        examples = self.examples.dataset
        if self.taught is None or not contender.teacher_weight:
            return {"labels": examples}
        times = max(1, round(len(self.taught.pairs) / len(examples)))
        return {"labels": concatenate_datasets([examples] * times), "teacher": self.taught.pairs}

    def steps(self, contender: Contender) -> int:
        """How many steps a run makes, on one device."""
        rounded = math.ceil if self.examples.fewest_texts is None else math.floor
        rows = map(len, self.datasets(contender).values())
        return self.settings.epochs * sum(rounded(count / self.settings.batch_size) for count in rows)

    @property
    def temperatures(self) -> list[float]:
        """Those that are tried; none where no loss has one."""
        return list(dict.fromkeys(each.temperature for each in self.contenders if each.temperature))


# --- Before the training ----------------------------------------------------------------------------------------------


def train_tokenizer(texts: Sequence[str], vocabulary: int = _STATIC_VOCABULARY) -> Tokenizer:
    """Train a lower-casing byte-pair tokenizer; the same texts give the same tokenizer.

    Args:
        texts: What to train it on.
        vocabulary: The most tokens it may have.

    Returns:
        The tokenizer.
    """
    owner = "train_tokenizer"
    texts = list_of(owner, "texts", texts, "texts", '["a cat", "a dog"]', lambda text: isinstance(text, str))
    whole_number(owner, "vocabulary", vocabulary, least=1)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Training WordPiece, or byte pairs with a prefix for continuations, gives another vocabulary in each process.
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def model_maker(settings: Settings, train: GradedPairs) -> Callable[[int], SentenceTransformer]:
    """How to make the untrained model, anew for each run, of a seed; a pretrained one is the same for every seed."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(settings.device or "", True):
        raise ValueError(say("no_device", device=settings.device, version=torch.__version__))
    if settings.model == STATIC:
        tokenizer = train_tokenizer([*train.sentences1, *train.sentences2]).to_str()
    else:
        pretrained = _pretrained(settings)

    def make(seed: int) -> SentenceTransformer:
        torch.manual_seed(seed)
        if settings.model == STATIC:
            module = StaticEmbedding(Tokenizer.from_str(tokenizer), embedding_dim=_STATIC_DIMENSION)
            name = f"Static embeddings trained on {train.name}"
            card = SentenceTransformerModelCardData(model_name=name, local_files_only=True)
            model = SentenceTransformer(modules=[module], model_card_data=card)
        else:
            model = copy.deepcopy(pretrained)
        if settings.device is not None:
            model.to(settings.device)
        return model

    return make


def _pretrained(settings: Settings) -> SentenceTransformer:
    """The model that is trained, reading texts as far as is asked for, or raise if it cannot be had or is of no use."""
    spec = settings.model
    mend = f"the folder of a SentenceTransformer, a name on the hub (with a connection), or {STATIC}."
    with loading(f"--model {spec} could not be loaded", mend):
        if not spec.strip():
            raise FileNotFoundError("an empty name")
        model = SentenceTransformer(spec, device="cpu")
    kind = named_model_type(spec)
    if kind not in (None, "SentenceTransformer"):
        raise ValueError(f"--model {spec} is a {kind}, but this command trains a SentenceTransformer.")
    if model.similarity_fn_name != "cosine":
        raise ValueError(say("not_by_cosine", spec=spec, by=model.similarity_fn_name))
    if settings.max_length is not None:
        reads: Any = getattr(model[0], "config", None)
        most = getattr(reads, "max_position_embeddings", None) or math.inf
        if settings.max_length > most:
            raise ValueError(say("reads_less", asked=settings.max_length, spec=spec, most=most))
        model.max_seq_length = settings.max_length
    return model


def prepare(splits: Splits, focus: Focus, settings: Settings, taught: Taught | None = None) -> Task:
    """Lay the training pairs out for the loss, and decide how the other splits are evaluated.

    Args:
        splits: The loss and the pairs. Those of eval choose learning rates and the saved seed; those of test choose
            nothing.
        focus: The link, and the metrics of scores.
        settings: Of the loss and its layout.
        taught: Pairs of other texts that a teacher has scored, to learn beside the labelled ones.

    Returns:
        The task.

    Raises:
        ValueError: If the layout or the model cannot be had, the model does not suit the loss, or the metric that
            chooses is not defined on a split.
    """
    kind, train, by = splits.kind, splits.train, splits.by
    focus = focus.by_order() if kind.chosen_by == "order" else focus
    examples = kind.layout(train, by, settings.list_size, settings.positive_from)
    make_model = model_maker(settings, train)
    if not kind.takes_static and has_static_embedding_input(make_model(0)):
        raise ValueError(say("not_for_static", kind=kind, model=settings.model))
    as_queries, notes = False, list[str]()
    if settings.model != STATIC:
        as_queries, notes = outcome.roles(make_model(0), train, settings.as_queries)
    settings = replace(settings, as_queries=as_queries)
    held_out, evaluators = {"eval": splits.eval, "test": splits.test}, {}
    for name, pairs in held_out.items():
        groups = [group.rows for group in pairs.groups(by)] if by else ()
        own = {"groups": groups, "positive_from": settings.positive_from, "as_queries": as_queries}
        evaluators[name] = focus.evaluator(pairs, name, **own)
    # What the gold scores say of themselves.
    perfect = {name: evaluator.metrics(evaluator.scores) for name, evaluator in evaluators.items()}
    questions = {name: int(metrics.get("questions", 0)) for name, metrics in perfect.items()}
    ranked = kind.chosen_by == "ranking"
    if all(questions.values()):
        focus = focus.with_ranking(chooses=ranked)
        counts = [f"{number:,} in {held_out[name].name}" for name, number in questions.items()]
        notes.append(say("ranked", by=by, positive_from=settings.positive_from, counts=counts))
    elif ranked:
        notes.append(say("not_ranked", metric=focus.main_metric))
    for name, pairs in held_out.items():
        focus.check_on(pairs, perfect[name], f"--{name}-data")
    found, sentences = outcome.overlaps({"train": train, **held_out})
    claims = [*sentences, *outcome.notes_on_splits(evaluators, focus)]
    of_pairs = [note for pairs in (train, *held_out.values()) for note in pairs.notes]
    notes = [*of_pairs, *examples.notes, *notes, *claims]
    different = examples.fewest_texts
    if different is not None and settings.batch_size > (most := max(2, min(different // 2, len(examples)))):
        settings = replace(settings, batch_size=most)  # then each batch is another choice
        notes.append(say("smaller_batches", size=most, different=different))
    if taught is not None:
        taught = taught.laid_out(examples, kind.name, as_queries=as_queries)
        notes.append(taught.note)
    return Task(kind, settings, examples, evaluators, focus, make_model, notes, found, claims, taught)


def key_of_runs(task: Task) -> str:
    """A digest of all that decides how a run comes out, but for its own loss, learning rate and seed."""
    model = task.make_model(0)
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", model.tokenizer)
    facts = {
        "settings": {name: value for name, value in asdict(task.settings).items() if name not in _CHOOSE_RUNS},
        "focus": vars(task.focus) | {"link": task.focus.link.get_config_dict()},
        "versions": [__version__, *(version(name) for name in ("sentence-transformers", "transformers", "torch"))],
        "model": [get_device_name(), repr(model), model.prompts, model.similarity_fn_name],
        "tokenizer": tokenizer.to_str() if hasattr(tokenizer, "to_str") else repr(tokenizer),
        "evaluators": [
            [it.sentences1, it.sentences2, it.scores.tolist(), [list(group) for group in it.groups], it.metric_names]
            for it in task.evaluators.values()
        ],
    }
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8)
    for dataset in (task.examples.dataset, *([task.taught.pairs] if task.taught else [])):
        for rows in dataset.iter(10_000):
            digest.update(json.dumps(rows).encode())
    add_weights(digest, model)
    return digest.hexdigest()


# --- One run ----------------------------------------------------------------------------------------------------------


def train_once(
    model: SentenceTransformer,
    task: Task,
    contender: Contender,
    learning_rate: float,
    seed: int,
    working_folder: Path,
    on_step: Callable[[], None],
) -> None:
    """Train a model in place.

    Args:
        model: The model.
        task: The data and the settings.
        contender: The loss; with a teacher's pairs, a batch of these takes turns with one of examples.
        learning_rate: The peak learning rate, after the warmup; it then falls linearly to 0.
        seed: The seed of the order of the rows.
        working_folder: Where the trainer may write.
        on_step: Called after each step.

    Raises:
        ValueError: If there are too few different texts to fill a batch.
    """
    settings, examples, make = task.settings, task.examples, cast(Any, contender.make)
    no_duplicates = examples.fewest_texts is not None
    columns = [name for name in examples.dataset.column_names if name not in TRAINER_LABELS]
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(working_folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=learning_rate,
        warmup_steps=math.ceil(settings.warmup * task.steps(contender)),
        seed=seed,
        use_cpu="cpu" in (settings.device, get_device_name()),
        bf16=settings.bf16,
        batch_sampler=BatchSamplers.NO_DUPLICATES if no_duplicates else BatchSamplers.BATCH_SAMPLER,
        dataloader_drop_last=no_duplicates,  # a last batch of a single row would have nothing to compare
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        **(outcome.arguments_of_roles(model, columns) if settings.as_queries else {}),
    )
    data: Any = task.datasets(contender)
    loss = make(model)
    if "teacher" in data:
        weighted = WeightedLoss(model, {"teacher": make(model)}, {"teacher": contender.teacher_weight})
        loss = {"labels": loss, "teacher": weighted}
    else:
        data = data["labels"]
    counting: Any = TrainerCallback()
    counting.on_step_end = lambda *_, **__: on_step()
    trainer = SentenceTransformerTrainer(model, arguments, data, loss=loss, callbacks=[counting])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if not trainer.state.global_step:
        raise ValueError(say("no_step", size=settings.batch_size, noun=examples.noun))


# --- All runs ---------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """All runs, and what follows from them.

    Attributes:
        task: What was trained and evaluated.
        runs: Every run.
        untrained: Test metrics of the model before training (seed 0).
        untrained_scores: Its scores.
        best: For each loss the runs, by seed, of the setting and the learning rate that are best on the eval split.
        saved: The run whose model was saved.
        trained: The loss that it was trained with.
        link: The config of that loss's link.
    """

    task: Task
    runs: list[Run]
    untrained: dict[str, float]
    untrained_scores: list[float]
    best: dict[str, list[Run]]
    saved: Run
    trained: Contender
    link: dict[str, Any]

    @cached_property
    def support(self) -> dict[str, Support]:
        """What each metric of the test split rests on."""
        return self.task.evaluators["test"].support()

    @property
    def others(self) -> list[str]:
        """The losses that the selective one is compared with."""
        return [*self.best][1:]

    @property
    def of_teacher(self) -> list[str]:
        """What has come of a teacher's scores, if there were any."""
        return [self.task.taught.sentence(self.trained.teacher_weight)] if self.task.taught else []

    def mean(self, loss: str, metric: str) -> tuple[float, float]:
        """Mean over the seeds of a test metric, and half the width of its 95 % interval (NaN for one seed)."""
        return mean_and_interval([run.test[metric] for run in self.best[loss]])

    def difference(self, loss: str, metric: str) -> tuple[float, float]:
        """The selective loss less another, seed by seed: mean, and half the width of its 95 % interval."""
        pairs = zip(self.best[self.task.kind.loss], self.best[loss], strict=True)
        return mean_and_interval([ours.test[metric] - other.test[metric] for ours, other in pairs])

    @cached_property
    def of_all_seeds(self) -> dict[str, tuple[Any, Any]]:
        """For each loss the gold and the predicted scores of all seeds that have not diverged."""
        gold, found = self.task.evaluators["test"].scores, {}
        for loss, runs in self.best.items():
            scores = [run.test_scores for run in runs if np.isfinite(run.test_scores).all()]
            if scores:
                found[loss] = np.tile(gold, len(scores)), np.concatenate(scores)
        return found

    @property
    def curves(self) -> dict[str, tuple[Any, Any]]:
        """The threshold curves on the test split: of the untrained model, and of each loss."""
        untrained = even_curve(self.untrained_scores, self.task.evaluators["test"].scores)
        return {UNTRAINED: untrained} | {loss: even_curve(of[1], of[0]) for loss, of in self.of_all_seeds.items()}

    @cached_property
    def against_untrained(self) -> dict[str, Any]:
        """Whether the saved model is better than the untrained one on the test split."""
        predicted = {"saved": self.saved.test_scores, "untrained": self.untrained_scores}
        metrics = self.task.focus.shown_metrics
        return against_untrained(compare_on(self.task.evaluators["test"], predicted, metrics=metrics), metrics)

    def _entry(self, metric: str, mean: float, half_width: float) -> dict[str, float]:
        """A number for JSON; NaN where nothing, or too little for an interval, is under it."""
        support = self.support.get(metric.removeprefix(NEGATIVE))
        mean = math.nan if support is not None and not support.cases else mean
        return {"mean": mean, "half_width_95": math.nan if support is not None and support.too_few else half_width}

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-serialisable data; NaN becomes None."""
        metrics, entry, saved = list(self.runs[0].test), self._entry, asdict(self.saved)
        bins = partial(error_by_score_bin, score_range=range_of_gold(self.task.evaluators["test"].scores))
        report = {
            "saved": {name: saved[name] for name in ("loss", "setting", "learning_rate", "seed")},
            "chosen_settings": {loss: runs[0].setting for loss, runs in self.best.items()},
            "chosen_learning_rates": {loss: runs[0].learning_rate for loss, runs in self.best.items()},
            "teacher": self.task.taught and self.task.taught.as_dict(self.trained.teacher_weight),
            "against_untrained": self.against_untrained,
            "overlap": self.task.overlap,
            "support": {name: support.as_dict() for name, support in self.support.items()},
            "untrained": {name: entry(name, value, math.nan)["mean"] for name, value in self.untrained.items()},
            "test": {loss: {m: entry(m, *self.mean(loss, m)) for m in metrics} for loss in self.best},
            "paired_difference_to": {of: {m: entry(m, *self.difference(of, m)) for m in metrics} for of in self.others},
            "error_by_score_bin": {of: bins(*scores) for of, scores in self.of_all_seeds.items()},
            "runs": [{key: value for key, value in asdict(run).items() if key != "test_scores"} for run in self.runs],
        }
        return dict(without_nan(report))


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
    owner, numbers = "mean_and_interval", (int, float, np.number)
    found = list_of(owner, "values", values, "numbers", "[0.1, 0.2]", lambda value: isinstance(value, numbers))
    if len(found) < 2:
        return float(found[0]), math.nan
    return float(np.mean(found)), float(stats.t.ppf(0.975, len(found) - 1) * stats.sem(found))


def train_and_compare(
    task: Task, kept: KeptRuns, folder: Path, on_run: Callable[[str, float, int], None], on_step: Callable[[], None]
) -> Report:
    """Do all runs that are not done yet, and save the best selective model with its card to `folder`.

    For each loss the setting and the learning rate with the best mean of the focus's main metric on the eval split are
    chosen; of these runs with the selective loss, the model of the seed that is best on the eval split is saved.

    Args:
        task: What to train, and how.
        kept: The runs that are done, and where each further one is kept.
        folder: Where the model goes.
        on_run: Called before each run, with the loss's name, the learning rate and the seed.
        on_step: Called after each step.

    Returns:
        The report.

    Raises:
        ValueError: If every run has diverged.
    """
    evaluator, model = task.evaluators["test"], task.make_model(0)
    untrained_scores = evaluator.predict(model)
    untrained = _metrics(evaluator, untrained_scores)
    working_folder, goodness = folder / "working", partial(_goodness, task.focus)

    def do(contender: Contender, rate: float, seed: int) -> tuple[Run, SentenceTransformer]:
        on_run(contender.name, rate, seed)
        model = task.make_model(seed)
        train_once(model, task, contender, rate, seed, working_folder, on_step)
        return _measured(task, model, contender, rate, seed), model

    rates, seeds = task.settings.learning_rates, range(task.settings.seeds)
    found = do_runs(task.contenders, rates, seeds, kept, do, goodness)
    diverged = say("diverged", loss=task.kind.loss, rates=[f"{rate:g}" for rate in rates])
    best, saved = best_runs(found, kept, goodness, diverged)
    shutil.copytree(kept.model(saved), folder, dirs_exist_ok=True)
    shutil.rmtree(working_folder, ignore_errors=True)  # none where every run was done before
    _store_threshold(task, folder)
    runs = [run for of in found.values() for run in of]
    trained = next(each for each in task.contenders if each.name == saved.name)
    loss = cast(Any, trained.make)(model)
    link = loss.link.get_config_dict()
    report = Report(task, runs, untrained, untrained_scores.tolist(), best, saved, trained, link)
    outcome.write_card(folder, loss, report)
    return report


def _store_threshold(task: Task, folder: Path) -> None:
    """Choose on the eval split where to cut the scores, and store that with the model."""
    with contextlib.suppress(ValueError):  # no score to cut at, or all pairs on one side of it
        chosen = task.evaluators["eval"].choose_threshold(SentenceTransformer(str(folder)), task.focus.decides_for)
        save_threshold(folder, chosen)


def diagnosed(task: Task, splits: Splits, folder: Path) -> Diagnosis:
    """What limits the decisions at the thresholds of the focus, by short runs of squared error and the focus's link.

    Args:
        task: What is trained, and how; the diagnosis is of pairs alone, whatever the loss.
        splits: The pairs.
        folder: Where the trainer may write.

    Returns:
        The diagnosis.
    """
    kind, focus, settings = loss_kind("pointwise"), task.focus, task.settings
    examples = kind.layout(splits.train, splits.by, settings.list_size, settings.positive_from)
    settings = replace(settings, epochs=max(settings.epochs // 2, 1))
    short = replace(task, examples=examples, settings=settings, taught=None)
    contenders = {contender.loss: contender for contender in kind.contenders(focus, None, compare=True)}
    rate = sorted(settings.learning_rates)[len(settings.learning_rates) // 2]
    evaluators = [focus.evaluator(splits.train, "train"), task.evaluators["eval"]]
    found = dict[str, Any](), dict[str, Any]()
    for name, loss in (("squared", "CosineSimilarityLoss"), ("selective", kind.loss)):
        model = task.make_model(0)
        train_once(model, short, contenders[loss], rate, 0, folder / "working", lambda: None)
        for evaluator, scores in zip(evaluators, found, strict=True):
            scores[name] = evaluator.predict(model)
    both = (splits.train.scores, found[0]), (splits.eval.scores, found[1])
    return diagnose(*both, focus.edges, clusters=(splits.train.sentences1, splits.eval.sentences1))


def _measured(task: Task, model: SentenceTransformer, contender: Contender, learning_rate: float, seed: int) -> Run:
    """What a run has come to."""
    scores = {split: evaluator.predict(model) for split, evaluator in task.evaluators.items()}
    found = {split: _metrics(evaluator, scores[split]) for split, evaluator in task.evaluators.items()}
    if np.isfinite(scores["test"]).all():
        task.evaluators["test"].tell_card(model, found["test"])
    of_test = scores["test"].tolist()
    return Run(contender.loss, learning_rate, seed, found["eval"], found["test"], of_test, contender.setting)


def _metrics(evaluator: ScoreRegionEvaluator, scores: Any) -> dict[str, float]:
    """The metrics of scores; all NaN where training has diverged."""
    return evaluator.metrics(scores) if np.isfinite(scores).all() else dict.fromkeys(evaluator.metric_names, math.nan)


def _goodness(focus: Focus, *runs: Run) -> float:
    """What orders runs, the better the larger: those that have diverged come last."""
    mean = float(np.mean([run.eval[focus.main_metric] for run in runs]))
    return -math.inf if math.isnan(mean) else mean if focus.greater_is_better else -mean
