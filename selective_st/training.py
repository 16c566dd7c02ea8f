"""The main job: train on graded pairs with a selective loss, and compare it with the built-in losses.

One run trains one model with one loss, learning rate and seed. `train_and_compare` does all runs at equal work (same
model, data, order of batches, steps), chooses each loss's learning rate on the eval split, and reports on the test
split.
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerModelCardData,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer import losses as builtin_losses
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import PrinterCallback, TrainerCallback

from selective_st.data import GradedPairs
from selective_st.evaluation import ScoreRegionEvaluator, error_by_score_bin, region_metrics
from selective_st.focus import Focus
from selective_st.losses import SelectivePointwiseLoss

STATIC = "static"
_STATIC_DIMENSION = 256
_STATIC_VOCABULARY = 10_000
# Learning rates for tables trained from nothing are a thousand times those for fine-tuning a transformer.
LEARNING_RATES = {STATIC: (0.003, 0.01, 0.03, 0.1), "pretrained": (1e-5, 2e-5, 5e-5)}
BATCH_SIZES = {STATIC: 64, "pretrained": 32}
EPOCHS = {STATIC: 5, "pretrained": 1}
SELECTIVE = "SelectivePointwiseLoss"

LossFactory = Callable[[SentenceTransformer], nn.Module]


@dataclass(frozen=True)
class Settings:
    """What is the same for every run.

    Attributes:
        model: `static`, or a path or hub name of a SentenceTransformer.
        epochs: Passes over the training pairs.
        batch_size: Pairs in a step.
        learning_rates: The grid, the same for every loss.
        seeds: How many seeds, counted from 0: of the initial weights (`static`) and of the order of the pairs.
        compare: Whether the built-in losses are trained too.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rates: tuple[float, ...]
    seeds: int
    compare: bool


@dataclass
class Run:
    """One training run, with its metrics on the eval and the test split."""

    loss: str
    learning_rate: float
    seed: int
    eval: dict[str, float]
    test: dict[str, float]
    test_scores: list[float]


@dataclass
class Report:
    """All runs, and what follows from them.

    Attributes:
        runs: Every run.
        untrained: Test metrics of the model before training (seed 0).
        chosen_rates: For each loss, the learning rate that is best on the eval split.
        saved: The run whose model was saved.
        test_gold: The gold scores of the test split.
    """

    runs: list[Run]
    untrained: dict[str, float]
    chosen_rates: dict[str, float]
    saved: Run
    test_gold: list[float]

    def chosen(self, loss: str) -> list[Run]:
        """The runs of a loss at its chosen learning rate, by seed."""
        rate = self.chosen_rates[loss]
        return [run for run in self.runs if run.loss == loss and run.learning_rate == rate]

    def mean(self, loss: str, metric: str) -> tuple[float, float]:
        """Mean over the seeds of a test metric, and half the width of its 95 % interval (NaN for one seed)."""
        return mean_and_interval([run.test[metric] for run in self.chosen(loss)])

    def difference(self, loss: str, metric: str) -> tuple[float, float]:
        """The selective loss less another, seed by seed: mean, and half the width of its 95 % interval."""
        pairs = zip(self.chosen(SELECTIVE), self.chosen(loss), strict=True)
        return mean_and_interval([ours.test[metric] - other.test[metric] for ours, other in pairs])

    def error_by_bin(self, bins: int = 10) -> dict[str, list[dict[str, float]]]:
        """For each loss the error in bins of the gold score, over all seeds at the chosen learning rate."""
        return {
            loss: error_by_score_bin(
                [gold for _ in self._sound(loss) for gold in self.test_gold],
                [score for run in self._sound(loss) for score in run.test_scores],
                bins=bins,
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
        others = [loss for loss in self.chosen_rates if loss != SELECTIVE]

        def entry(values: tuple[float, float]) -> dict[str, float]:
            return {"mean": values[0], "half_width_95": values[1]}

        report = {
            "saved": {"loss": self.saved.loss, "learning_rate": self.saved.learning_rate, "seed": self.saved.seed},
            "chosen_learning_rates": self.chosen_rates,
            "untrained": self.untrained,
            "test": {loss: {m: entry(self.mean(loss, m)) for m in metrics} for loss in self.chosen_rates},
            "paired_difference_to": {loss: {m: entry(self.difference(loss, m)) for m in metrics} for loss in others},
            "error_by_score_bin": self.error_by_bin(),
            "runs": [{key: value for key, value in asdict(run).items() if key != "test_scores"} for run in self.runs],
        }
        without_nan: dict[str, Any] = _without_nan(report)
        return without_nan


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return float(array.mean()), math.nan
    quantile = float(stats.t.ppf(0.975, len(array) - 1))
    return float(array.mean()), quantile * float(array.std(ddof=1)) / math.sqrt(len(array))


def builtin_loss_factories() -> dict[str, LossFactory]:
    """The built-in losses of Sentence Transformers for pairs with float scores, with their defaults."""
    classes = (builtin_losses.CosineSimilarityLoss, builtin_losses.CoSENTLoss, builtin_losses.AnglELoss)
    return {loss_class.__name__: loss_class for loss_class in classes}


def train_tokenizer(texts: Sequence[str], vocabulary: int = _STATIC_VOCABULARY) -> Tokenizer:
    """Train a lower-casing byte-pair tokenizer; the same texts give the same tokenizer.

    Args:
        texts: What to train it on.
        vocabulary: The most tokens it may have.

    Returns:
        The tokenizer.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Training WordPiece, or byte pairs with a prefix for continuations, gives another vocabulary in each process.
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def model_maker(spec: str, train: GradedPairs) -> Callable[[int], SentenceTransformer]:
    """How to make the untrained model, anew for each run.

    Args:
        spec: `static`, for a tokenizer and a `StaticEmbedding` from nothing, or a path or hub name.
        train: The training pairs, on which a tokenizer is trained.

    Returns:
        A function of the seed. A pretrained model is the same for every seed.

    Raises:
        ValueError: If the model cannot be loaded.
    """
    if spec == STATIC:
        tokenizer = train_tokenizer([*train.sentences1, *train.sentences2])

        def make_static(seed: int) -> SentenceTransformer:
            torch.manual_seed(seed)
            module = StaticEmbedding(Tokenizer.from_str(tokenizer.to_str()), embedding_dim=_STATIC_DIMENSION)
            card = SentenceTransformerModelCardData(
                model_name=f"Static embeddings trained on {train.name}", local_files_only=True
            )
            return SentenceTransformer(modules=[module], model_card_data=card)

        return make_static
    try:
        if not spec.strip():
            raise FileNotFoundError("an empty name")
        pretrained = SentenceTransformer(spec)
    except Exception as error:  # the hub client raises many kinds; all mean that the model cannot be had
        first_line = (str(error).splitlines() or ["no details"])[0]
        raise ValueError(
            f"--model {spec} could not be loaded ({type(error).__name__}: {first_line}). Give the folder of a "
            f"SentenceTransformer, a name on the hub (with a connection), or {STATIC}."
        ) from error
    if pretrained.similarity_fn_name != "cosine":
        raise ValueError(
            f"--model {spec} compares embeddings by {pretrained.similarity_fn_name!r}, but this command trains cosine "
            'similarities. If that is what you want, set model.similarity_fn_name = "cosine", save the model, and give '
            "the folder."
        )
    pretrained.to("cpu")

    def make_copy(seed: int) -> SentenceTransformer:
        torch.manual_seed(seed)
        return copy.deepcopy(pretrained)

    return make_copy


class _StepCallback(TrainerCallback):
    def __init__(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self._on_step()


def train_once(
    model: SentenceTransformer,
    loss: nn.Module,
    train: GradedPairs,
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
        train: The training pairs.
        settings: Epochs and batch size.
        learning_rate: The peak learning rate, after 10 % of the steps; it then falls linearly to 0.
        seed: The seed of the order of the pairs.
        working_folder: Where the trainer may write.
        on_step: Called after each step.
    """
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(working_folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=learning_rate,
        warmup_steps=math.ceil(0.1 * steps_of_run(len(train), settings)),
        seed=seed,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=train.dataset,
        loss=loss,
        callbacks=[_StepCallback(on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def steps_of_run(rows: int, settings: Settings) -> int:
    """How many steps a run takes on one device."""
    return settings.epochs * math.ceil(rows / settings.batch_size)


def count_runs(settings: Settings) -> int:
    """How many runs the settings ask for."""
    losses = 1 + (len(builtin_loss_factories()) if settings.compare else 0)
    return losses * len(settings.learning_rates) * settings.seeds


def train_and_compare(
    train: GradedPairs,
    evaluation: GradedPairs,
    test: GradedPairs,
    focus: Focus,
    settings: Settings,
    folder: Path,
    on_run: Callable[[str, float, int], None] = lambda loss, learning_rate, seed: None,
    on_step: Callable[[], None] = lambda: None,
) -> Report:
    """Do all runs, and save the best selective model with its card to `folder`.

    For each loss the learning rate with the best mean of the focus's main metric on the eval split is chosen; of its
    runs with the selective loss, the model of the seed that is best on the eval split is saved.

    Args:
        train: The training pairs.
        evaluation: The pairs that choose learning rates and the saved seed.
        test: The pairs that are reported, and choose nothing.
        focus: The link, and the metrics.
        settings: What is the same for every run.
        folder: Where the model goes.
        on_run: Called before each run, with the loss's name, the learning rate and the seed.
        on_step: Called after each step.

    Returns:
        The report.
    """
    evaluators = {
        name: ScoreRegionEvaluator(
            pairs.sentences1,
            pairs.sentences2,
            pairs.scores,
            at_least=focus.at_least,
            at_most=focus.at_most,
            regions=focus.regions,
            main_metric=focus.main_metric,
            name=name,
        )
        for name, pairs in (("eval", evaluation), ("test", test))
    }
    for split, pairs in (("eval", evaluation), ("test", test)):
        # What the gold scores say of themselves: a metric that is not defined for them cannot choose anything.
        perfect = region_metrics(
            pairs.scores, pairs.scores, at_least=focus.at_least, at_most=focus.at_most, regions=focus.regions
        )
        if math.isnan(perfect[focus.main_metric]):
            raise ValueError(
                f"{pairs.name} has no pair in the score region of the focus {focus.name!r}: {focus.main_metric} is not "
                f"defined there (its scores go from {min(pairs.scores):g} to {max(pairs.scores):g}). Give a larger "
                f"file with --{split}-data, a --focus within these scores, or mend --score-range."
            )
    make_model = model_maker(settings.model, train)
    factories: dict[str, LossFactory] = {SELECTIVE: lambda model: SelectivePointwiseLoss(model, link=focus.link)}
    if settings.compare:
        factories |= builtin_loss_factories()
    model = make_model(0)
    untrained = _metrics(evaluators["test"], model, evaluators["test"].predict(model))

    working_folder = folder / "working"
    kept: dict[float, tuple[Run, Path]] = {}  # the best selective model so far, for each learning rate
    runs: list[Run] = []
    for loss_name, make_loss in factories.items():
        for learning_rate in settings.learning_rates:
            for seed in range(settings.seeds):
                on_run(loss_name, learning_rate, seed)
                model = make_model(seed)
                train_once(model, make_loss(model), train, settings, learning_rate, seed, working_folder, on_step)
                of_eval, of_test = (evaluators[split].predict(model) for split in ("eval", "test"))
                run = Run(
                    loss_name,
                    learning_rate,
                    seed,
                    _metrics(evaluators["eval"], model, of_eval),
                    _metrics(evaluators["test"], model, of_test),
                    of_test.tolist(),
                )
                runs.append(run)
                best = kept.get(learning_rate)
                if loss_name == SELECTIVE and (best is None or _better(focus, run, best[0])):
                    place = working_folder / f"best-{learning_rate}"
                    shutil.rmtree(place, ignore_errors=True)
                    model.save_pretrained(str(place))
                    kept[learning_rate] = (run, place)

    chosen_rates = {
        loss: max(
            settings.learning_rates,
            key=lambda rate: _goodness(
                focus, [run.eval[focus.main_metric] for run in runs if (run.loss, run.learning_rate) == (loss, rate)]
            ),
        )
        for loss in factories
    }
    saved, place = kept[chosen_rates[SELECTIVE]]
    if math.isnan(saved.eval[focus.main_metric]):
        raise ValueError(
            f"Training with {SELECTIVE} diverged with every learning rate ("
            f"{', '.join(f'{rate:g}' for rate in settings.learning_rates)}): its scores are no numbers any more. "
            "Lower --learning-rates, or the steepness of the link."
        )
    for item in place.iterdir():
        shutil.move(str(item), str(folder / item.name))
    shutil.rmtree(working_folder)
    return Report(runs, untrained, chosen_rates, saved, test.scores)


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


def _better(focus: Focus, run: Run, other: Run) -> bool:
    return _goodness(focus, [run.eval[focus.main_metric]]) > _goodness(focus, [other.eval[focus.main_metric]])
