"""Several losses on one batch, with one pass of the model."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any, cast

import torch
import torch.distributed as dist
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from sentence_transformers.base.losses.gradcache import uses_gradient_cache
from sentence_transformers.base.losses.merged_forward import column_merging_disabled, embed_columns
from sentence_transformers.base.model import BaseModel
from sentence_transformers.base.model_card import get_losses
from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss
from sentence_transformers.sparse_encoder.losses import CSRLoss, CSRReconstructionLoss
from torch import Tensor, nn
from transformers import TrainerCallback
from typing_extensions import override

from selective_st._validation import finite_number, instance_of
from selective_st.catalog import formats_of, model_type_of
from selective_st.losses._common import bibtex_entries, said
from selective_st.losses._parts import LossParts, sum_of
from selective_st.schedules import TrainingProgress, WeightSchedule

logger = logging.getLogger(__name__)

Weight = float | WeightSchedule

# What the trainer, a loss around this one, or this one itself calls its own numbers in the log.
_RESERVED = (
    "loss", "steps", "step", "epoch", "learning_rate", "grad_norm", "runtime", "samples_per_second", "steps_per_second",
    "base_loss", "document_regularizer_loss", "query_regularizer_loss", LossParts.REST,
)  # fmt: skip
# These read more of the model than the embeddings of its inputs, or change it between its passes.
_BEYOND_EMBEDDINGS = (AdaptiveLayerLoss, CSRLoss, CSRReconstructionLoss)
# Two kinds of labels that do for one another, with the shapes of texts where they do.
_DO_FOR: dict[frozenset[str], set[str]] = {
    frozenset({"similarity", "binary"}): {"pair"},  # 0 and 1 are scores too
    # The loss without labels takes the second text for the positive, which it is in these formats.
    **{frozenset({"none", labels}): {"triplet", "n-tuple"} for labels in ("margin", "margins", "scores")},
}
_MEANS = ("magnitudes", "observed")
_WINDOW = 100  # batches that the running mean of a magnitude reaches back


class WeightedLoss(nn.Module):
    r"""Several losses on one batch, with one pass of the model: the weighted sum of them.

    For losses L_i with weights w_i, and the running mean m_i of the magnitude of each with `balance=True` (else 1)

        L = sum_i w_i / m_i L_i(embeddings, labels)

    The model embeds the batch once. Each loss then runs as it would alone, only that it gets these embeddings where it
    asks its model for them: so nearly every loss can take part, built-in or not, also one that looks at more of the
    batch than its embeddings. It returns the weighted sum, a tensor that has the parts with it: `loss["ranking"]`. The
    trainer logs them by name; within `MatryoshkaLoss` and others that multiply and add losses, too.

    In training the parts are as they are added up. In evaluation (of a model in `eval()` mode, or without gradients)
    the loss has one unit, so that evaluations of a training, and of several trainings, can be compared: nothing is
    divided by a mean, and a schedule's weight is its last. There each part is logged as its loss gives it, without its
    weight (`eval_ranking`), and `eval_rest` is what is missing to the weighted sum, `eval_loss`.

    Args:
        model: The model to train, a SentenceTransformer, SparseEncoder or MultiVectorEncoder.
        losses: The losses by name; the names stand in the log. Or a list of them, which are then called by their
            class. All must be made with this very `model`.
        weights: The weight of each loss by name, or a list of them in the same order: a number >= 0, or a schedule of
            `selective_st.schedules`. Default: 1.
        balance: Whether to divide each loss by the running mean of its own magnitude, so that the weights say which
            share of the loss each has, whatever its scale. The mean, over about the last 100 batches, counts as a
            constant in the gradient. Several processes average it in each step: not for one of a dict of losses there.

    Attributes:
        names: The names of the losses.
        weights: The weight of each, a number or a schedule.
        progress: How far the training has come, for the schedules, also those of a `WeightedLoss` within: set by
            `callback`, or by your own training loop.
        callback: Pass it to the trainer, `callbacks=[loss.callback]`, or `trainer.add_callback(trainer.loss.callback)`
            where the trainer makes the loss: it tells the schedules how far the training is, has the means of `balance`
            begin anew with each training, and has them saved with each checkpoint. For a `WeightedLoss` within this
            one, too.

    Raises:
        TypeError: If an argument has the wrong type, or a loss embeds with another kind of model.
        ValueError: If there is no loss, a weight is negative or not finite, all weights are 0 or end at 0, a name is
            unknown or taken by the trainer's log; or if a loss was made with another model, cannot do with one pass of
            the model (the cached losses), or reads the labels differently than another.

    Inputs:
        +---------------------------------------+-----------------------------+
        | Inputs                                | Labels                      |
        +=======================================+=============================+
        | what all of its losses take           | what all of its losses take |
        +---------------------------------------+-----------------------------+

    Relations:
        - With one loss of weight 1 it is that loss.
        - `SelectiveListwiseLoss(calibration=...)` weighs a ranking and a calibration term by itself.
        - It can be in `MatryoshkaLoss`, `AdaptiveLayerLoss`, `Matryoshka2dLoss`, `SpladeLoss`, `CachedSpladeLoss`,
          `CSRLoss` and in another `WeightedLoss`; in it there can be `MatryoshkaLoss`, and none of the cached losses.

    References:
        - Liu et al. 2019, *End-to-End Multi-Task Learning with Attention*, arXiv 1803.10704, on weights and magnitudes
          of losses.

    Example:
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        >>> from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss, WeightedLoss
        >>> from selective_st.schedules import linear_schedule
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> loss = WeightedLoss(                                                                  # doctest: +SKIP
        ...     model,
        ...     {"ranking": SelectiveListwiseLoss(model, temperature=0.1), "scores": SelectivePointwiseLoss(model)},
        ...     weights={"ranking": 1.0, "scores": linear_schedule(0, 1, fraction=0.5)},
        ... )
        >>> trainer = SentenceTransformerTrainer(                                                 # doctest: +SKIP
        ...     model=model, train_dataset=train_dataset, loss=loss, callbacks=[loss.callback]
        ... )
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    magnitudes: Tensor
    observed: Tensor

    def __init__(
        self,
        model: nn.Module,
        losses: Mapping[str, nn.Module] | Sequence[nn.Module],
        weights: Mapping[str, Weight] | Sequence[Weight] | None = None,
        *,
        balance: bool = False,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        if not isinstance(model, nn.Module):
            raise TypeError(said("no_model_to_weigh", owner, got=type(model).__name__, loss=owner))
        base = _base_model(model)
        if isinstance(base, CrossEncoder):
            raise TypeError(said("weighted_cross_encoder", owner))
        named = _named(owner, losses)
        for name, loss in named.items():
            _check_part(owner, name, loss, model)
        _check_labels_agree(owner, named, model_type_of(base) or "SentenceTransformer")
        self.model = model
        self.names = tuple(named)
        self.parts = nn.ModuleList(named.values())
        self.weights = _weights(owner, self.names, weights)
        self.balance = instance_of(owner, "balance", balance, bool, "Write balance=True.")
        self._progress: TrainingProgress | None = None
        self._said_that_nobody_tells = False
        self.register_buffer("magnitudes", torch.ones(len(named)))
        self.register_buffer("observed", torch.zeros(len(named)))
        # Not as modules, which they are already.
        self._holders = [holder for loss in named.values() for holder in _holders(loss, model)]
        self._callback: WeightedLossCallback | None = None

    @property
    def losses(self) -> dict[str, nn.Module]:
        """The losses by name."""
        return dict(zip(self.names, self.parts, strict=True))

    @property
    def progress(self) -> TrainingProgress | None:
        """How far the training has come; None where nobody told."""
        return self._progress

    @progress.setter
    def progress(self, progress: TrainingProgress | None) -> None:
        if progress is not None and self._progress is not None and progress.steps < self._progress.steps:
            self.restart()
        for loss in self._weighted_losses():
            loss._progress = progress

    def restart(self) -> None:
        """Forget the training so far: the running means of `balance` begin anew, here and in a loss of its kind within.

        `callback` does so where a training begins, and setting `progress` to an earlier step.
        """
        for loss in self._weighted_losses():
            loss._said_that_nobody_tells = False
            loss.magnitudes = torch.ones_like(loss.magnitudes)
            loss.observed = torch.zeros_like(loss.observed)

    def _weighted_losses(self) -> Iterator[WeightedLoss]:
        """This loss, and those of its kind within it, in a fixed order."""
        return (loss for loss in self.modules() if isinstance(loss, WeightedLoss))

    @property
    def callback(self) -> WeightedLossCallback:
        """What tells the loss how far the training is, and saves its state: for `callbacks=` of the trainer."""
        if self._callback is None:
            # A class of its own, since the trainer restores a callback from a checkpoint by its class alone.
            self._callback = type(WeightedLossCallback.__name__, (WeightedLossCallback,), {"loss": self})()
        return self._callback

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: it has a callback of its own."""
        return {**self.__dict__, "_callback": None}

    @property
    def current_weights(self) -> dict[str, float]:
        """The weights at this point of the training.

        Raises:
            RuntimeError: If there is a schedule, and the loss was not told how far the training is.
        """
        found = {}
        for name, weight in self.weights.items():
            if isinstance(weight, WeightSchedule):
                if self.progress is None:
                    raise RuntimeError(said("nobody_tells_steps", type(self).__name__, name=repr(name), weight=weight))
                weight = weight(self.progress)
            found[name] = weight
        return found

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> LossParts:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: What the losses take for labels.

        Returns:
            The weighted sum, a scalar that has the parts by name.
        """
        answers = _Answers(self.model, list(sentence_features))
        # What the losses hold may be wrapped since, for several processes say.
        held = [getattr(holder, name) for holder, name in self._holders]
        for holder, name in self._holders:
            setattr(holder, name, answers)
        try:
            # So that each loss asks for the columns that it is given, and not for a merged batch of its own.
            with column_merging_disabled():
                values = [loss(answers.columns(), labels) for loss in self.parts]
        finally:
            for (holder, name), model in zip(self._holders, held, strict=True):
                setattr(holder, name, model)
        return self._weighed(values)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None = None) -> LossParts:
        """The loss from embeddings.

        Args:
            embeddings: One tensor a column, of the shape that the losses take.
            labels: What the losses take for labels.

        Returns:
            The weighted sum, a scalar that has the parts by name.

        Raises:
            TypeError: If one of the losses cannot be had from embeddings alone.
        """
        for name, loss in self.losses.items():
            if not hasattr(loss, "compute_loss_from_embeddings"):
                raise TypeError(said("part_beyond_embeddings", type(self).__name__, part=_called(name, loss)))
        return self._weighed([cast(Any, loss).compute_loss_from_embeddings(embeddings, labels) for loss in self.parts])

    def _weighed(self, values: list[Any]) -> LossParts:
        """The weighted sum; in evaluation with the parts as they are, so that it has one unit whatever the training."""
        # Some losses return parts of their own, which are one part here.
        parts = {name: sum_of(value) for name, value in zip(self.names, values, strict=True)}
        for name, value in parts.items():
            if not isinstance(value, Tensor) or value.dim():
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                part = _called(name, self.losses[name])
                raise TypeError(said("part_no_scalar", type(self).__name__, part=part, got=got))
        # The trainer sets the mode of the model, not that of the loss.
        if torch.is_grad_enabled() and _base_model(self.model).training:
            if self.balance:
                self._observe(list(parts.values()))
                means = self.magnitudes.unbind()
                parts = {name: value / mean for (name, value), mean in zip(parts.items(), means, strict=True)}
            weights = self.current_weights
            return LossParts({name: value * weights[name] for name, value in parts.items()})
        last = {name: _last(weight) for name, weight in self.weights.items()}
        if set(last.values()) == {1.0}:
            return LossParts(parts)
        return LossParts(parts, total=torch.stack([value * last[name] for name, value in parts.items()]).sum())

    @torch.no_grad()
    def _observe(self, values: list[Tensor]) -> None:
        """Take the magnitudes of a training batch into the running means."""
        if self.progress is None and not self._said_that_nobody_tells:
            self._said_that_nobody_tells = True
            logger.warning(said("nobody_tells_begin", type(self).__name__))
        sizes = torch.stack([value.detach().abs().float() for value in values]).to(self.magnitudes)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            # All processes must weigh alike: they train one model.
            dist.all_reduce(sizes)
            sizes /= dist.get_world_size()
        # An overflow says nothing of the magnitude, and a loss of 0 cannot be scaled.
        usable = sizes.isfinite() & (sizes > 0)
        # Not in place: a loss around this one asks for several values before it goes backward.
        self.observed = self.observed + usable
        means = torch.lerp(self.magnitudes, sizes, 1 / self.observed.clamp(1, _WINDOW))
        self.magnitudes = torch.where(usable, means, self.magnitudes)

    def describe(self) -> list[str]:
        """What the loss adds up, a line for each of its losses; the model card shows them."""
        weights = (f"{weight:g}" if isinstance(weight, float) else weight for weight in self.weights.values())
        parts = zip(self.losses.items(), weights, strict=True)
        return [f"`{name}`: `{type(loss).__name__}`, weight {weight}" for (name, loss), weight in parts]

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings and those of its parts, JSON-serialisable; the model card shows them."""
        parts = {
            name: {
                "loss": type(loss).__name__,
                "weight": self.weights[name],
                "config": cast(Any, loss).get_config_dict() if hasattr(loss, "get_config_dict") else {},
            }
            for name, loss in self.losses.items()
        }
        config: dict[str, Any] = json.loads(json.dumps({"losses": parts, "balance": self.balance}, default=_plain))
        return config

    @property
    def citation(self) -> str:
        """BibTeX of all that its losses cite, each entry once."""
        cited = (str(getattr(loss, "citation", "")) for part in self.parts for loss in get_losses(part))
        return "\n" + "\n\n".join(dict.fromkeys(entry for text in cited for entry in bibtex_entries(text))) + "\n"


class WeightedLossCallback(TrainerCallback):
    """Tells a `WeightedLoss` how far the training is, and has its state saved with each checkpoint.

    Sentence Transformers saves the model, and nothing of a loss. The trainer does save its own state, from which the
    schedules know where they are; the running means of `balance` are added to it.

    Attributes:
        loss: The loss, whose `callback` this is.
    """

    loss: WeightedLoss

    @override
    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Not begun, for an evaluation before it; then each step, and its end.
        fraction = min(1.0, state.global_step / state.max_steps) if state.max_steps > 0 else 0.0
        self.loss.progress = TrainingProgress(float(state.global_step), float(state.epoch or 0.0), fraction)

    on_step_begin = on_train_end = on_init_end

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.loss.restart()
        self.on_init_end(args, state, control)
        saved = state.stateful_callbacks.get(WeightedLossCallback.__name__, [])[self._place(state) :]
        if state.global_step and saved:
            for loss, means in zip(self._balanced(), saved[0]["attributes"].get("means", []), strict=False):
                if means["names"] == list(loss.names):
                    for name in _MEANS:
                        setattr(loss, name, torch.tensor(means[name]).to(getattr(loss, name)))

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # For an evaluation after the step, and for a checkpoint: in the form of the trainer's own states of callbacks,
        # but with one for each loss, of which it would keep the first.
        self.on_init_end(args, state, control)
        means = [
            {"names": list(loss.names), **{name: getattr(loss, name).tolist() for name in _MEANS}}
            for loss in self._balanced()
        ]
        if means:
            place, saved = self._place(state), state.stateful_callbacks.setdefault(WeightedLossCallback.__name__, [])
            saved.extend({"args": {}, "attributes": {}} for _ in range(place + 1 - len(saved)))
            saved[place] = {"args": {}, "attributes": {"means": means}}

    def _balanced(self) -> list[WeightedLoss]:
        return [loss for loss in self.loss._weighted_losses() if loss.balance]

    def _place(self, state: Any) -> int:
        """Which of the trainer's losses this is, by the order of their callbacks."""
        told: list[WeightedLoss] = vars(state).setdefault("_weighted_losses", [])
        if self.loss not in told:
            told.append(self.loss)
        return told.index(self.loss)


class _Answers(nn.Module):
    """Stands for the model while the losses run: it knows what the model gave for each column of the batch.

    It takes the model's place in the losses, rather than in the model: nothing that hooks onto a forward pass (FSDP,
    profilers) then sees passes that are none.
    """

    def __init__(self, model: nn.Module, features: list[dict[str, Tensor]]) -> None:
        super().__init__()
        # Not as a submodule, of which the model is none.
        self._model = [model]
        # As they come: the model writes into the dicts that it is given, where a loss around this one may look for it.
        self._features = [dict(column) for column in features]
        self._known: dict[tuple[int, tuple[tuple[str, Any], ...]], dict[str, Any]] = {}
        self.training = model.training
        if not isinstance(_base_model(model), MultiVectorEncoder):
            for place, embedding in enumerate(embed_columns(model, features)):
                self._known[place, ()] = {**self._features[place], "sentence_embedding": embedding}

    def columns(self) -> list[dict[str, Tensor]]:
        """The features of the columns, for a loss to ask with."""
        return [dict(column) for column in self._features]

    def forward(self, features: dict[str, Tensor], **options: Any) -> dict[str, Any]:
        """What the model gives for a column; the model is asked once."""
        # A loss may copy the dict of a column, or write more into it.
        is_column = (all(features.get(name) is value for name, value in column.items()) for column in self._features)
        place = next((place for place, found in enumerate(is_column) if found), None)
        if place is None:
            raise RuntimeError(said("asked_about_other_inputs", WeightedLoss.__name__))
        key = place, tuple(sorted(options.items()))
        if key not in self._known:
            self._known[key] = self._model[0](features, **options)
        return dict(self._known[key])  # for the loss to write into

    def __getattr__(self, name: str) -> Any:
        """What else a loss wants of the model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._model[0], name)


def _base_model(model: nn.Module) -> nn.Module:
    """The model within what wraps it for several processes or compiles it."""
    return next((module for module in model.modules() if isinstance(module, BaseModel)), model)


def _holders(loss: nn.Module, model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Where a loss, or one within it, holds a model to embed with: the module and the attribute.

    That is the model given, under any name; and any that stands under the name `model`, which the trainer knows.
    """
    for name, child in loss.named_children():
        if child is model or name == "model":
            yield loss, name
        elif not isinstance(child, BaseModel):
            yield from _holders(child, model)


def _called(name: str, loss: nn.Module) -> str:
    return f"{name!r} ({type(loss).__name__})"


def _named(owner: str, losses: Any) -> dict[str, nn.Module]:
    """The losses by name, with the names checked."""
    if not isinstance(losses, (Mapping, list, tuple)):
        raise TypeError(said("no_losses", owner, got=type(losses).__name__))
    if not losses:
        raise ValueError(said("no_losses", owner, got=f"an empty {type(losses).__name__}"))
    if not isinstance(losses, Mapping):
        kinds = [type(loss).__name__ for loss in losses]
        before = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
        names = (f"{kind}_{count + 1}" if count else kind for kind, count in zip(kinds, before, strict=True))
        losses = dict(zip(names, losses, strict=True))
    for name in losses:
        if not isinstance(name, str) or not name.strip() or name in _RESERVED:
            raise ValueError(said("reserved_name", owner, name=repr(name), other=repr(f"{name}_part")))
    return dict(losses)


def _check_part(owner: str, name: str, loss: object, model: nn.Module) -> None:
    """Raise unless the loss can be computed from what the model gives for the batch's columns."""
    if not isinstance(loss, nn.Module):
        raise TypeError(said("part_no_loss", owner, name=repr(name), got=repr(loss)))
    part, holders = _called(name, loss), list(_holders(loss, model))
    for module in (*(holder for holder, _ in reversed(holders)), loss):  # the innermost first: it is the one to replace
        if isinstance(module, _BEYOND_EMBEDDINGS) or uses_gradient_cache(module):
            facts = {"loss": type(module).__name__, "cached": uses_gradient_cache(module)}
            raise ValueError(said("part_beyond_one_pass", owner, part=part, **facts))
    held: list[Any] = [getattr(holder, attribute) for holder, attribute in holders]
    for other in held or [child for child in loss.children() if isinstance(child, BaseModel)]:
        if other is not model:
            theirs, ours = (type(_base_model(each)).__name__ for each in (other, model))
            raise ValueError(said("part_of_other_model", owner, part=part, theirs=theirs, ours=ours))
    if not holders:
        raise TypeError(said("part_without_model", owner, part=part))


def _check_labels_agree(owner: str, losses: Mapping[str, nn.Module], model_type: Any) -> None:
    """Raise where two losses read the labels differently, as far as the registry knows them."""
    known = []
    for name, loss in _leaves(losses):
        formats = next(filter(None, (formats_of(each, model_type) for each in get_losses(loss))), [])
        known.append((_called(name, loss), formats))
    for (one, first), (other, second) in combinations([each for each in known if each[1]], 2):
        if not any(_agree(*formats) for formats in product(first, second)):
            raise ValueError(said("parts_read_differently", owner, one=one, first=first, other=other, second=second))


def _leaves(losses: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """The losses by name, those of a WeightedLoss within in its place."""
    for name, loss in losses.items():
        inner = next((each for each in get_losses(loss) if isinstance(each, WeightedLoss)), None)
        yield from [(name, loss)] if inner is None else _leaves(inner.losses)


def _agree(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether one dataset can be of both formats."""
    shapes, labels = ({first, second} - {"any"} for first, second in zip(one, other, strict=True))
    return len(shapes) < 2 and (len(labels) < 2 or bool(shapes & _DO_FOR.get(frozenset(labels), set())))


def _weights(owner: str, names: tuple[str, ...], weights: Any) -> dict[str, Weight]:
    """The weight of each loss, checked."""
    if isinstance(weights, (list, tuple)) and len(weights) == len(names):
        weights = dict(zip(names, weights, strict=True))
    if not isinstance(weights, Mapping | None) or not set(names).issuperset(weights or ()):
        raise ValueError(said("weights_of_losses", owner, names=names, got=repr(weights)))
    found: dict[str, Weight] = {**dict.fromkeys(names, 1.0), **(weights or {})}
    for name, weight in found.items():
        if not isinstance(weight, WeightSchedule):
            found[name] = finite_number(owner, f"weights[{name!r}]", weight, nonnegative=True)
    if not any(map(_last, found.values())):
        raise ValueError(said("weights_end_at_0", owner))
    return found


def _last(weight: Weight) -> float:
    """A weight at the end of its schedule, or as it is."""
    return weight.end if isinstance(weight, WeightSchedule) else weight


def _plain(value: Any) -> Any:
    """What JSON holds in place of a value of a config: the config of a module or schedule, the name of a function."""
    if hasattr(value, "get_config_dict"):
        config = value.get_config_dict()
        return {"loss": type(value).__name__, "config": config} if isinstance(value, nn.Module) else config
    return str(getattr(value, "__name__", type(value).__name__))
