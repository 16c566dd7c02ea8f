"""A section in the model's card: what its loss cares about, what that changed, and the threshold to decide by.

Pass `SelectiveModelCardCallback` to a trainer, or call `add_to_model_card` when the training is done. From then on
every card of the model has the section: those of `save_pretrained`, `push_to_hub` and the trainer's checkpoints.

    >>> from selective_st.links import high_scores
    >>> print(describe_link(high_scores()))
    The loss cares most about high scores (`high_scores()`): errors at scores near 1 cost 148 times as much as near 0.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sentence_transformers.base.evaluation import BaseEvaluator, SequentialEvaluator
from sentence_transformers.base.model import BaseModel
from sentence_transformers.base.model_card import get_losses
from torch import nn
from transformers import TrainerCallback

from selective_st import card_section as sections
from selective_st._templates import say
from selective_st._validation import instance_of, interval_of, list_of
from selective_st.evaluation import ScoreRegionEvaluator, ScoreThreshold, load_threshold, remember_threshold
from selective_st.evaluation.evaluators import ScoreEvaluator
from selective_st.evaluation.metrics import NEGATIVE
from selective_st.link_words import describe_link, in_words
from selective_st.losses._common import bibtex_entries

__all__ = ["SelectiveModelCardCallback", "add_to_model_card", "describe_link"]

ThresholdOrHow = ScoreThreshold | Callable[[Any], ScoreThreshold]

_logger = logging.getLogger(__name__)

_SECTION_KEY = "_selective_st_section"
_STATE_KEY = "selective_st_base_metrics"


def _plain(evaluator: BaseEvaluator, found: Any) -> dict[str, float]:
    """An evaluator's numbers, without the data set's name before them."""
    plain, prefix = {}, _prefix(evaluator)
    found = found if isinstance(found, Mapping) else {"score": found}
    whole = all(name.startswith(prefix) for name in found)
    for name, value in found.items():
        with contextlib.suppress(TypeError, ValueError):  # some of upstream's report texts beside their numbers
            plain[name.removeprefix(prefix) if whole else name] = float(value)
    return plain


def _prefix(evaluator: BaseEvaluator) -> str:
    name = getattr(evaluator, "name", None)
    return f"{name}_" if name else ""


def _title_of(evaluator: BaseEvaluator) -> str:
    name = getattr(evaluator, "name", None)
    return str(evaluator.description) + (f" on {sections.code(name)}" if name else "")


# --- Into the card ----------------------------------------------------------------------------------------------------


def _attach(model: Any, section: sections.Section) -> None:
    """Have the section written into each card of the model from now on.

    Upstream has no place for more text in a card: its templates are whole files, one for each kind of model, that
    change with every release, and the variables that they print are fixed. So the section is put into the finished
    text. All ways to a card (`save`, `save_pretrained`, `push_to_hub`, the trainer's checkpoints, its `push_to_hub`
    and `create_model_card`) lead through `model._create_model_card(path, ...)`, which is therefore what is wrapped:
    `save` alone would miss the trainer's last two. An entry of this one model's `__dict__` is found before the method
    of its class; no class changes. It is a partial of a function of this module, so that `copy.deepcopy` and pickle
    take it along, bound to the copy. The data stand with upstream's own data for the card, `model.model_card_data`:
    whoever replaces those (as `merge` does) drops the section with them.
    """
    section.model_type = type(model).__name__
    setattr(model.model_card_data, _SECTION_KEY, section)
    model._create_model_card = functools.partial(_create_model_card, model)


def _create_model_card(model: Any, path: str, *args: Any, **kwargs: Any) -> None:
    """Write the card as upstream does, then the section into it and its pictures beside it."""
    data = model.model_card_data
    section: sections.Section | None = getattr(data, _SECTION_KEY, None)
    if section is not None:
        data.citations = _each_entry_once(data.citations)
    type(model)._create_model_card(model, path, *args, **kwargs)
    if section is None or not Path(path, "README.md").is_file():  # upstream logs an error where it cannot make a card
        return
    if section.training != _training_of(model):
        _logger.warning(say("trained_again"))
        return
    anew = not model._model_card_text or "generated_from_trainer" in data.tags
    told = {_title_of(evaluator) for evaluator in data.eval_results_dict} <= {
        metrics.title for metrics in section.metrics if metrics.trained
    }
    section.model_id = data.model_id or section.model_id
    try:
        section.write(Path(path), load_threshold(model), anew=anew, told=told)
    except Exception:  # as upstream: a card is not worth a lost training
        _logger.exception("The section on the selective loss could not be written into the card in %s.", path)


def _each_entry_once(citations: Mapping[str, str]) -> dict[str, str]:
    """The citations with each BibTeX entry once.

    Upstream joins losses with the same citation, but each of ours cites the paper and also the built-in loss it
    generalises: with two of them the paper would stand there twice.
    """
    losses_of: dict[str, list[str]] = defaultdict(list)
    for name, citation in citations.items():
        for entry in bibtex_entries(citation):
            losses_of[entry].append(name)
    entries_of: dict[str, list[str]] = defaultdict(list)
    for entry, names in losses_of.items():
        entries_of[in_words(names)].append(entry)
    return {names: "\n\n".join(entries) for names, entries in entries_of.items()}


def _training_of(model: Any) -> float | None:
    """When the model's last training began; None if this process has not trained it."""
    return getattr(model.model_card_data, "_training_start_time", None)


def _unwrapped(model: Any) -> Any:
    return getattr(model, "_orig_mod", model)  # of torch.compile


def add_to_model_card(
    model: BaseModel,
    loss: nn.Module | Mapping[str, nn.Module],
    evaluators: BaseEvaluator | Sequence[BaseEvaluator] = (),
    *,
    base_model: BaseModel | None = None,
    threshold: ThresholdOrHow | None = None,
    metrics: Sequence[str] | None = None,
    score_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Add a section on its selective loss to a trained model's card.

    Call it after the training; `SelectiveModelCardCallback` does the same, and measures the base model by itself. The
    section stands in each card that is written from then on. A card that was loaded with the model and is kept by
    Sentence Transformers, because there was no training, keeps its text too: the section is put into it, or in the
    place of the one it has.

    Args:
        model: The trained model, of any type.
        loss: The loss it was trained with, or a dict of them by dataset. Losses within others, such as
            `MatryoshkaLoss`, are found.
        evaluators: What measures the models: any evaluators of Sentence Transformers, best `ScoreRegionEvaluator`.
        base_model: The model that the training started from, to compare with.
        threshold: The threshold to decide by, or a function that chooses it for the trained model; it is saved with the
            model. Default: that of the first evaluator that has one, or else the one remembered with the model
            (`store_threshold`).
        metrics: Names of the metrics to show, without the evaluator's name before them. Default: all; those beyond the
            first dozen folded away.
        score_range: The scores to describe and draw the link on.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If no loss has a link, `score_range` is empty, or a name is not that of a metric.

    Example:
        >>> add_to_model_card(model, loss, evaluator, base_model=SentenceTransformer(name))       # doctest: +SKIP
        >>> model.save_pretrained("model")                                                        # doctest: +SKIP
    """
    owner = "add_to_model_card"
    writer = SectionWriter(owner, loss, evaluators, threshold, metrics, score_range)
    model = instance_of(owner, "model", _unwrapped(model), BaseModel, 'Load it: SentenceTransformer("...").')
    mend = 'Load it: SentenceTransformer("..."), or leave it out.'
    base_model = instance_of(owner, "base_model", _unwrapped(base_model), (BaseModel, type(None)), mend)
    writer.start()
    if base_model is not None:
        writer.section.base_model = _base_model_of(base_model)
        writer.measure(base_model, "base")
    writer.measure(model, "trained")
    writer.finish(model)
    data: Any = model.model_card_data
    if not data.citations:  # not trained by a trainer, which would have told of the losses
        data.set_losses(list(dict.fromkeys(found for module in writer.losses.values() for found in get_losses(module))))
    writer.section.training = _training_of(model)
    _attach(model, writer.section)


def _base_model_of(model: Any) -> str:
    """The name of the folder that a model's transformer was loaded from, where upstream may not find it on the hub."""
    config = getattr(getattr(model, "transformers_model", None), "config", None)
    name = str(getattr(config, "_name_or_path", "") or "")
    return f"{sections.code(Path(name).name)} (a local folder)" if name and Path(name).is_dir() else ""


@dataclass
class SectionWriter:
    """Makes a section: checks the arguments, measures, and finds the threshold.

    Attributes:
        owner: What was called, for messages.
        loss: The loss, or the losses by dataset.
        evaluators: An evaluator, or several.
        threshold: The threshold, or how it is chosen.
        metrics: The metrics to show. Default: all.
        score_range: The scores to describe links on.
        section: The section.
    """

    owner: str
    loss: Any
    evaluators: Any
    threshold: ThresholdOrHow | None
    metrics: Sequence[str] | None = None
    score_range: tuple[float, float] = (0.0, 1.0)
    section: sections.Section = field(default_factory=lambda: sections.Section([], []), init=False)

    def __post_init__(self) -> None:
        """Check what was given; one loss alone has the name ""."""
        owner = self.owner
        self.losses: dict[str, nn.Module] = dict(self.loss) if isinstance(self.loss, Mapping) else {"": self.loss}
        mend = f"Give the loss given to the trainer, or a dict of them by dataset: {owner}(trainer.loss, ...)."
        modules = [instance_of(owner, "loss", module, nn.Module, mend) for module in self.losses.values()]
        if not any(sections.has_link(found) for module in modules for _, found in sections.within(module)):
            raise ValueError(say("no_link", owner=owner, losses=[type(module).__name__ for module in modules]))
        given = [self.evaluators] if isinstance(self.evaluators, BaseEvaluator) else self.evaluators
        self.evaluators = []
        for evaluator in list_of(owner, "evaluators", given, "evaluators", "ScoreRegionEvaluator(...)"):
            instance_of(owner, "evaluators", evaluator, BaseEvaluator, "Write evaluators=[ScoreRegionEvaluator(...)].")
            self.evaluators += evaluator.evaluators if isinstance(evaluator, SequentialEvaluator) else [evaluator]
        if self.threshold is not None and not callable(self.threshold):
            mend = "Use selective_st.evaluation.choose_threshold, or a function of the model that gives a threshold."
            instance_of(owner, "threshold", self.threshold, ScoreThreshold, mend)
        if self.metrics is not None:
            self.metrics = list_of(owner, "metrics", self.metrics, "names", '["spearman"]')
        self.score_range = interval_of(owner, "score_range", self.score_range)

    def start(self) -> sections.Section:
        """Begin a section without measurements."""
        given = self.threshold if isinstance(self.threshold, ScoreThreshold) else None
        metrics = []
        for evaluator in self.evaluators:
            found = sections.Metrics(_title_of(evaluator), "")
            if isinstance(evaluator, ScoreEvaluator):
                found.support = evaluator.support()
            if isinstance(evaluator, ScoreRegionEvaluator):
                found.gold, found.cuts = evaluator.scores, evaluator.thresholds
            metrics.append(found)
        self.section = sections.about(self.losses, self.score_range, metrics, given)
        return self.section

    def measure(self, model: Any, of: Literal["base", "trained"], epoch: float = -1, steps: int = -1) -> None:
        """Ask the evaluators about a model."""
        for place, evaluator in enumerate(self.evaluators):
            training, started = model.training, time.time()
            try:
                # Upstream's own trainer gives a fraction of an epoch where an integer is written.
                found = _plain(evaluator, evaluator(model, epoch=epoch, steps=steps))
            finally:
                model.train(training)
                model.model_card_data.evaluation_duration += time.time() - started
            unknown = next((name for name in self.metrics or () if name not in found), None)
            if unknown is not None:
                title = self.section.metrics[place].title
                raise ValueError(say("no_such_metric", owner=self.owner, title=title, known=found, unknown=unknown))
            self.set(place, found, of)

    def set(self, place: int, found: dict[str, float], of: Literal["base", "trained"]) -> None:
        """Take what the evaluator at that place found."""
        evaluator, metrics = self.evaluators[place], self.section.metrics[place]
        # Some know it, or put a name before it, only now; some have a function there.
        metrics.primary = str(evaluator.primary_metric or "").removeprefix(_prefix(evaluator))
        # An evaluator may report fewer numbers to the card than it gives, as ScoreRegionEvaluator does.
        # Counts, quantiles and what has a minus stand in another place, or say nothing of how good a model is.
        is_told = sections.title_of if metrics.support else bool
        told = [name for name in found if name == metrics.primary or (is_told(name) and NEGATIVE not in name)]
        names = told if self.metrics is None else [name for name in self.metrics if name in found]
        setattr(metrics, of, {name: found[name] for name in names})
        if isinstance(evaluator, ScoreRegionEvaluator) and evaluator.curve is not None:
            metrics.curves[sections.UNTRAINED if of == "base" else of] = evaluator.curve
        if of == "trained" and self.threshold is None and self.section.threshold is None:
            threshold = getattr(evaluator, "threshold", None)
            self.section.threshold = threshold if isinstance(threshold, ScoreThreshold) else None

    def finish(self, model: Any) -> None:
        """Choose the threshold for the trained model, where a function does, and have it saved with the model."""
        if callable(self.threshold):
            mend = "Let the function give choose_threshold(...), or ScoreThreshold(value, gold)."
            found = self.threshold(model)
            self.section.threshold = instance_of(self.owner, "what threshold gives", found, ScoreThreshold, mend)
        if self.section.threshold is not None:
            remember_threshold(model, self.section.threshold)

    def forget_trained(self) -> None:
        """The weights change: what was measured of the trained model does not hold any more."""
        for metrics in self.section.metrics:
            metrics.trained = {}
            metrics.curves.pop("trained", None)
        if not isinstance(self.threshold, ScoreThreshold):
            self.section.threshold = None


def _warn_of_direction(args: Any, evaluators: Sequence[BaseEvaluator]) -> None:
    """Warn where a trainer takes the largest error for the best: it knows no direction but that of a loss."""
    asked = (args.metric_for_best_model or "").removeprefix("eval_")
    for evaluator in evaluators if args.greater_is_better and args.load_best_model_at_end else ():
        right = f"{NEGATIVE}{asked.removeprefix(_prefix(evaluator))}"
        if right in getattr(evaluator, "metric_names", ()):
            told = {"metric": args.metric_for_best_model, "right": f"eval_{_prefix(evaluator)}{right}"}
            _logger.warning(say("largest_error", **told))


class SelectiveModelCardCallback(TrainerCallback):
    """Adds a section on its selective loss to the card of the model that a trainer trains.

    It tells what the loss cares about, with a picture of the link and its config; compares the trained model with the
    one that the training started from; and gives the threshold to decide by, with how it was chosen. Works with the
    trainers of all four model types, and stays with the model: each card written during the training and after it has
    the section, in whatever folder or hub repository, with the picture beside it.

    Args:
        loss: The loss given to the trainer, or the dict of them by dataset; each gets its part. Losses within others,
            such as `MatryoshkaLoss`, are found.
        evaluators: What measures the model before the training and after it: any evaluators of Sentence Transformers,
            best `ScoreRegionEvaluator`. Where the trainer has them too, checkpoints show what it found.
        threshold: The threshold to decide by, or a function that chooses it for the trained model; it is saved with the
            model. Default: that of the first evaluator that has one, or else the one remembered with the model
            (`store_threshold`).
        metrics: Names of the metrics to show, without the evaluator's name before them. Default: all; those beyond the
            first dozen folded away.
        score_range: The scores to describe and draw the link on.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If no loss has a link, or `score_range` is empty; when the training begins, if a name is not that of
            a metric.

    Example:
        >>> callback = SelectiveModelCardCallback(loss, evaluators=evaluator)                     # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(                                                 # doctest: +SKIP
        ...     model, train_dataset=dataset, loss=loss, evaluator=evaluator, callbacks=[callback]
        ... )
        >>> trainer.train()                                                                       # doctest: +SKIP
        >>> model.save_pretrained("model")                                                        # doctest: +SKIP
    """

    def __init__(
        self,
        loss: nn.Module | Mapping[str, nn.Module],
        evaluators: BaseEvaluator | Sequence[BaseEvaluator] = (),
        *,
        threshold: ThresholdOrHow | None = None,
        metrics: Sequence[str] | None = None,
        score_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self._writer = SectionWriter(type(self).__name__, loss, evaluators, threshold, metrics, score_range)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the base model.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        model, writer = _unwrapped(kwargs["model"]), self._writer
        _warn_of_direction(args, writer.evaluators)
        writer.start()
        # The trainer saves it in each checkpoint: who goes on from one has another model at hand, not the base.
        kept: Any = state.stateful_callbacks
        if state.global_step == 0:
            writer.measure(model, "base", epoch=0, steps=0)
            kept[_STATE_KEY] = {"args": {}, "attributes": {"base": [m.base for m in writer.section.metrics]}}
        else:
            base = kept.get(_STATE_KEY, {}).get("attributes", {}).get("base", [])
            for place, found in enumerate(base[: len(writer.evaluators)]):
                writer.set(place, found, "base")
            if len(base) < len(writer.evaluators):
                writer.section.note = say("base_unknown")
        writer.section.base_model = _base_model_of(model)
        _attach(model, writer.section)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Forget what was measured of the model, which is about to change.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        data: Any = _unwrapped(kwargs["model"]).model_card_data
        self._writer.forget_trained()
        for evaluator in self._writer.evaluators:
            data.eval_results_dict.pop(evaluator, None)
        self._writer.section.training = data._training_start_time  # upstream's callback sets it after on_train_begin

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take what the trainer's evaluators found, where they are the section's too.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        reported = _unwrapped(kwargs["model"]).model_card_data.eval_results_dict
        for place, evaluator in enumerate(self._writer.evaluators if self._writer.section.metrics else ()):
            if evaluator in reported:
                self._writer.set(place, _plain(evaluator, reported[evaluator]), "trained")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the trained model, after the trainer has loaded the best checkpoint where it does.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives: its model.
        """
        model = _unwrapped(kwargs["model"])
        is_last = not (args.load_best_model_at_end and state.best_model_checkpoint)
        # The log of the last step is not the place for the numbers of the best one.
        epoch, steps = (state.epoch or 0.0, state.global_step) if is_last else (-1, -1)
        self._writer.measure(model, "trained", epoch, steps)
        try:
            self._writer.finish(model)
        except Exception:  # the training must not end with this
            _logger.exception("No threshold could be chosen; the model's card will be without.")
