"""Several losses on one batch, with one pass of the model."""

from __future__ import annotations

import logging
import operator
import re
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

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

from selective_st._validation import finite_number
from selective_st.catalog import formats_of, model_type_of
from selective_st.losses._common import bibtex_entries
from selective_st.schedules import TrainingProgress, WeightSchedule

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

Weight = float | WeightSchedule

# What the trainer, or a loss around this one, calls its own numbers in the log.
_RESERVED = (
    "loss", "steps", "step", "epoch", "learning_rate", "grad_norm", "runtime", "samples_per_second", "steps_per_second",
    "base_loss", "document_regularizer_loss", "query_regularizer_loss",
)  # fmt: skip
# These read more of the model than the embeddings of its inputs, or change it between its passes.
_NOT_FROM_EMBEDDINGS: dict[type[nn.Module], str] = {
    AdaptiveLayerLoss: "it needs the model's layers, not only its embeddings; put the WeightedLoss into it: "
    "{name}(model, WeightedLoss(...))",
    CSRLoss: "it needs the codes within the model, not only its embeddings; put the WeightedLoss into it: "
    "{name}(model, loss=WeightedLoss(...))",
    CSRReconstructionLoss: "it needs the codes within the model, not only its embeddings; CSRLoss adds it to a loss: "
    "CSRLoss(model, loss=WeightedLoss(...))",
}
_MEANS = ("magnitudes", "observed")
_WINDOW = 100  # batches that the running mean of a magnitude reaches back
# What asks for the kind of a tensor, where that of the total is meant.
_OF_THE_TOTAL = (Tensor.__format__, Tensor.__deepcopy__, Tensor.__reduce_ex__)


class LossParts(Tensor):
    """A loss with its parts: a tensor, the total, that is also a dict of what it adds up.

    It is used as any loss: `backward()`, `item()`, comparisons, gradient scalers. The trainer of Sentence Transformers,
    and the losses that take another, ask whether a loss is a dict; to them it is one, so that the parts are logged.
    Sums with it, and multiples of it, keep the parts; whatever else is computed with it is an ordinary tensor.

    Args:
        parts: The parts by name, which add up to the total.
        total: The total, where the parts are only for the log: they then get no gradient, and what is missing in their
            sum is a further part, called "rest".
        **named: Further parts.

    Example:
        >>> parts = LossParts(ranking=torch.tensor(2.0), scores=torch.tensor(1.0))
        >>> float(parts), float(parts["ranking"])
        (3.0, 2.0)
        >>> (0.5 * parts + parts).total
        tensor(4.5000)
    """

    REST = "rest"
    _parts: dict[str, Tensor]

    def __new__(cls, parts: Any = (), /, *, total: Tensor | None = None, **named: Tensor) -> LossParts:
        """The total, with the parts."""
        values = dict(parts, **named)
        if total is None:
            return cls._made(torch.stack(list(values.values())).sum(0), values)
        values = {name: value.detach() for name, value in values.items()}
        return cls._made(total, {**values, cls.REST: total - torch.stack(list(values.values())).sum(0)})

    @classmethod
    def _made(cls, total: Tensor, values: dict[str, Tensor]) -> LossParts:
        made = total.as_subclass(cls)
        made._parts = values
        return made

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` goes by, beside the type."""
        return dict

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute with the total; what comes out is no longer a loss with parts."""
        if func in _OF_THE_TOTAL:
            args = (args[0].total, *args[1:])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @property
    def total(self) -> Tensor:
        """The loss, as an ordinary tensor."""
        return self.as_subclass(Tensor)

    def keys(self) -> KeysView[str]:
        """The names of the parts."""
        return self._parts.keys()

    def values(self) -> ValuesView[Tensor]:  # type: ignore[override]
        """The parts."""
        return self._parts.values()

    def items(self) -> ItemsView[str, Tensor]:
        """The names and the parts."""
        return self._parts.items()

    def get(self, name: str, default: Any = None) -> Any:
        """A part; the total, where "loss" is asked for."""
        return self[name] if name in self or name == "loss" else default

    def __getitem__(self, place: Any) -> Tensor:
        """A part by name, the total by "loss"; by another index what the total has there."""
        if not isinstance(place, str):
            return self.total[place]
        return self.total if place == "loss" else self._parts[place]

    def __iter__(self) -> Iterator[str]:
        """The names of the parts."""
        return iter(self._parts)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a part."""
        return name in self._parts

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self._parts)

    def __eq__(self, other: Any) -> Any:
        """As for any tensor; with a dict whether the parts are alike."""
        if isinstance(other, Mapping) and not isinstance(other, Tensor):
            return self._parts == dict(other)
        return self.total == other

    __hash__ = Tensor.__hash__

    def _each(self, operation: Callable[[Any, Any], Any], number: Any) -> LossParts:
        number = _total(number)
        return self._made(
            operation(self.total, number), {name: operation(value, number) for name, value in self.items()}
        )

    def __mul__(self, factor: Any) -> LossParts:
        """Each part times a factor."""
        return self._each(operator.mul, factor)

    def __truediv__(self, divisor: Any) -> LossParts:
        """Each part divided by a number."""
        return self._each(operator.truediv, divisor)

    def __add__(self, other: Any) -> LossParts:
        """The sum by parts; what has no name is a part of its own, called "rest"."""
        if not isinstance(other, dict):
            if not isinstance(other, Tensor):
                if not other:
                    return self
                other = torch.full_like(self.total, other)
            other = LossParts({self.REST: other})
        sums = {name: self[name] + value if name in self else value for name, value in other.items()}
        return self._made(self.total + _total(other), {**self._parts, **sums})

    def __sub__(self, other: Any) -> LossParts:
        """The difference by parts."""
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> LossParts:
        """The difference by parts."""
        return self.__neg__().__add__(other)

    def __neg__(self) -> LossParts:
        """Each part with the other sign."""
        return self * -1

    # Not in place: the parts would no longer add up to the total.
    __rmul__ = __imul__ = __mul__
    __radd__ = __iadd__ = __add__
    __isub__, __itruediv__ = __sub__, __truediv__


def _total(value: Any) -> Any:
    """The sum of a loss that has parts; anything else as it is."""
    if isinstance(value, Tensor):
        return value.total if isinstance(value, LossParts) else value
    return torch.stack(list(value.values())).sum(0) if isinstance(value, Mapping) else value


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
            raise TypeError(
                f"{owner}: model must be the model to train, got {type(model).__name__}. Load it first: "
                f"model = SentenceTransformer(...), {owner}(model, losses)."
            )
        base = _base_model(model)
        if isinstance(base, CrossEncoder):
            raise TypeError(
                f"{owner}: model must embed texts, but a CrossEncoder scores pairs of them: its losses have no "
                "embeddings to share. The losses of selective_st.cross_encoder.losses weigh a ranking and a "
                "calibration term by themselves: SelectiveListwiseLoss(model, calibration=0.5)."
            )
        named = _named(owner, losses)
        for name, loss in named.items():
            _check_part(owner, name, loss, model)
        _check_labels_agree(owner, named, base)
        if not isinstance(balance, bool):
            raise TypeError(f"{owner}: balance must be True or False, got {balance!r}.")
        self.model = model
        self.names = tuple(named)
        self.parts = nn.ModuleList(named.values())
        self.weights = _weights(owner, self.names, weights)
        self.balance = balance
        self._progress: TrainingProgress | None = None
        self._seen = [base]  # in a list, since it is no module of the loss
        self._said_that_nobody_tells = False
        self.register_buffer("magnitudes", torch.ones(len(named)))
        self.register_buffer("observed", torch.zeros(len(named)))
        # Not as modules, which they are already.
        self._holders = [holder for loss in named.values() for holder in _holders(loss, model)]
        self._gives_sentence_embeddings = not isinstance(base, MultiVectorEncoder)
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
        before = self._progress
        if progress is not None and before is not None and progress.steps < before.steps:
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
        yield self
        for part in self.parts:
            for loss in get_losses(part):
                if isinstance(loss, WeightedLoss):
                    yield from loss._weighted_losses()

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
        return {name: self._weight(name, weight) for name, weight in self.weights.items()}

    def _weight(self, name: str, weight: Weight) -> float:
        if not isinstance(weight, WeightSchedule):
            return weight
        if self.progress is None:
            raise RuntimeError(
                f"{type(self).__name__}: the weight of {name!r} goes {weight}, but nobody tells the loss how far the "
                "training is. Pass callbacks=[loss.callback] to the trainer; where the trainer makes the loss by "
                "itself, write trainer.add_callback(trainer.loss.callback) before trainer.train(); in a training loop "
                "of your own, set loss.progress = TrainingProgress(steps=..., epochs=..., fraction=...) of "
                "selective_st.schedules before each step."
            )
        return weight(self.progress)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> LossParts:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: What the losses take for labels.

        Returns:
            The weighted sum, a scalar that has the parts by name.
        """
        features = list(sentence_features)
        answers = _Answers(self.model, features)
        if self._gives_sentence_embeddings:
            answers.know([{"sentence_embedding": column} for column in embed_columns(self.model, features)])
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
                raise TypeError(
                    f"{type(self).__name__}: the loss around it gives embeddings, but {_called(name, loss)} cannot be "
                    "had from embeddings alone: it has no compute_loss_from_embeddings. Leave that loss out."
                )
        return self._weighed([cast(Any, loss).compute_loss_from_embeddings(embeddings, labels) for loss in self.parts])

    def _weighed(self, values: list[Any]) -> LossParts:
        # Some losses return parts of their own, which are one part here.
        scalars = [_total(value) for value in values]
        for (name, loss), value in zip(self.losses.items(), scalars, strict=True):
            if not isinstance(value, Tensor) or value.dim():
                what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(
                    f"{type(self).__name__}: {_called(name, loss)} must return a scalar, or a dict of them, got {what}."
                )
        # The trainer sets the mode of the model, not that of the loss.
        if torch.is_grad_enabled() and _base_model(self.model).training:
            return self._in_training(scalars)
        return self._in_evaluation(scalars)

    def _in_training(self, values: list[Tensor]) -> LossParts:
        if self.balance:
            self._observe(values)
            values = [value / mean for value, mean in zip(values, self.magnitudes.unbind(), strict=True)]
        weighed = zip(self.current_weights.items(), values, strict=True)
        return LossParts({name: value * weight for (name, weight), value in weighed})

    def _in_evaluation(self, values: list[Tensor]) -> LossParts:
        parts = dict(zip(self.names, values, strict=True))
        weights = [_last(weight) for weight in self.weights.values()]
        if all(weight == 1 for weight in weights):
            return LossParts(parts)
        weighed = [value * weight for value, weight in zip(values, weights, strict=True)]
        return LossParts(parts, total=torch.stack(weighed).sum())

    @torch.no_grad()
    def _observe(self, values: list[Tensor]) -> None:
        """Take the magnitudes of a training batch into the running means."""
        base = _base_model(self.model)
        if self._seen[0] is not base:  # the trainer of a search takes a new model for each trial
            self._seen = [base]
            self.restart()
        if self.progress is None and not self._said_that_nobody_tells:
            self._said_that_nobody_tells = True
            logger.warning(
                f"{type(self).__name__}: nobody tells the loss when a training begins, so the running means of "
                "balance=True go on into the next one, and are not saved with checkpoints. Pass "
                "callbacks=[loss.callback] to the trainer; in a training loop of your own, call loss.restart() before "
                "each training."
            )
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
        lines = []
        for (name, loss), weight in zip(self.losses.items(), self.weights.values(), strict=True):
            shown = weight if isinstance(weight, WeightSchedule) else f"{weight:g}"
            lines.append(f"`{name}`: `{type(loss).__name__}`, weight {shown}")
        return lines

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings and those of its parts, JSON-serialisable; the model card shows them."""
        return {
            "losses": {
                name: {
                    "loss": type(loss).__name__,
                    "weight": weight.get_config_dict() if isinstance(weight, WeightSchedule) else weight,
                    "config": _config_of(loss),
                }
                for (name, loss), weight in zip(self.losses.items(), self.weights.values(), strict=True)
            },
            "balance": self.balance,
        }

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

    def _tell(self, state: TrainerState) -> None:
        fraction = min(1.0, state.global_step / state.max_steps) if state.max_steps > 0 else 0.0
        self.loss.progress = TrainingProgress(float(state.global_step), float(state.epoch or 0.0), fraction)

    def _place(self, state: TrainerState) -> int:
        """Which of the trainer's losses this is, by the order of their callbacks."""
        told: list[WeightedLoss] = vars(state).setdefault("_weighted_losses", [])
        if not any(loss is self.loss for loss in told):
            told.append(self.loss)
        return next(place for place, loss in enumerate(told) if loss is self.loss)

    def _save(self, state: TrainerState) -> None:
        kept: Any = state.stateful_callbacks
        means = [
            {"names": list(loss.names), **{name: getattr(loss, name).tolist() for name in _MEANS}}
            for loss in self.loss._weighted_losses()
            if loss.balance
        ]
        if means and isinstance(kept, dict):
            place, saved = self._place(state), kept.setdefault(WeightedLossCallback.__name__, [])
            saved.extend({"args": {}, "attributes": {}} for _ in range(place + 1 - len(saved)))
            saved[place] = {"args": {}, "attributes": {"means": means}}

    def _restore(self, state: TrainerState) -> None:
        kept: Any = state.stateful_callbacks or {}
        saved = kept.get(WeightedLossCallback.__name__, []) if isinstance(kept, dict) else []
        place = self._place(state)
        means = saved[place]["attributes"].get("means", []) if place < len(saved) else []
        balanced = [loss for loss in self.loss._weighted_losses() if loss.balance]
        for loss, own in zip(balanced, means, strict=False):
            if own["names"] == list(loss.names):
                for name in _MEANS:
                    setattr(loss, name, torch.tensor(own[name]).to(getattr(loss, name)))

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Tell the loss how far the training is: not begun, for an evaluation before it; then each step, and its end.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives.
        """
        self._tell(state)

    on_step_begin = on_train_end = on_init_end

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on where a checkpoint ended, or begin anew.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives.
        """
        self.loss.restart()
        self._tell(state)
        self._place(state)
        if state.global_step:
            self._restore(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Tell the loss of the step, for an evaluation after it, and leave its state for a checkpoint.

        Args:
            args: The trainer's arguments.
            state: The trainer's state.
            control: The trainer's control.
            **kwargs: What else the trainer gives.
        """
        self._tell(state)
        self._save(state)


class _Answers(nn.Module):
    """Stands for the model while the losses run: it knows what the model gave for each column of the batch.

    It takes the model's place in the losses, rather than in the model: nothing that hooks onto a forward pass (FSDP,
    profilers) then sees passes that are none.
    """

    def __init__(self, model: nn.Module, features: list[dict[str, Tensor]]) -> None:
        super().__init__()
        # Not as a submodule, of which the model is none.
        self._model = [model]
        # As they come: a model writes into the dicts that it is given.
        self._features = [dict(column) for column in features]
        self._known: dict[tuple[int, tuple[tuple[str, Any], ...]], dict[str, Any]] = {}
        self.training = model.training

    def columns(self) -> list[dict[str, Tensor]]:
        """The features of the columns, for a loss to ask with."""
        return [dict(column) for column in self._features]

    def know(self, outputs: list[dict[str, Any]]) -> None:
        """Take what the model gave for each column."""
        for place, (column, output) in enumerate(zip(self._features, outputs, strict=True)):
            self._known[place, ()] = {**column, **output}

    def forward(self, features: dict[str, Tensor], **options: Any) -> dict[str, Any]:
        """What the model gives for a column; the model is asked once."""
        place = next((k for k, column in enumerate(self._features) if _is_column(features, column)), None)
        if place is None:
            raise RuntimeError(
                "WeightedLoss embeds the columns of the batch once, but one of its losses asks the model about other "
                "inputs: it cuts the batch into mini-batches, or changes the texts. Leave out its mini_batch_size, or "
                "leave out that loss."
            )
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


def _is_column(features: dict[str, Any], column: dict[str, Any]) -> bool:
    """Whether features are those of a column: a loss may copy the dict, or write more into it."""
    return all(features.get(name) is value for name, value in column.items())


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


def _named(owner: str, losses: object) -> dict[str, nn.Module]:
    """The losses by name, with the names checked."""
    if isinstance(losses, nn.Module) or not isinstance(losses, (Mapping, Sequence)) or isinstance(losses, str):
        raise TypeError(
            f'{owner}: losses must be a dict of losses, such as {{"ranking": CoSENTLoss(model), "scores": '
            f"SelectivePointwiseLoss(model)}}, or a list of them, got {type(losses).__name__}."
        )
    if not losses:
        raise ValueError(f"{owner}: losses must hold at least one loss, got an empty {type(losses).__name__}.")
    if isinstance(losses, Mapping):
        named = dict(losses)
    else:
        named, counts = {}, dict.fromkeys((type(loss).__name__ for loss in losses), 0)
        for loss in losses:
            name = type(loss).__name__
            counts[name] += 1
            named[name if counts[name] == 1 else f"{name}_{counts[name]}"] = loss
    for name in named:
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"{owner}: the names of losses must be texts that stand in the log, got {name!r}.")
        if name in _RESERVED or name == LossParts.REST:
            raise ValueError(
                f"{owner}: {name!r} means something else in the trainer's log. Call that loss {name + '_part'!r}, say."
            )
    return named


def _check_part(owner: str, name: str, loss: object, model: nn.Module) -> None:
    """Raise unless the loss can be computed from what the model gives for the batch's columns."""
    if not isinstance(loss, nn.Module):
        raise TypeError(
            f"{owner}: losses must be losses, built with the model, but {name!r} is {loss!r}. Write for example "
            f"{name!r}: CoSENTLoss(model)."
        )
    called = _called(name, loss)
    holders = list(_holders(loss, model))
    for module in (loss, *(holder for holder, _ in holders)):
        reason = next((why for kind, why in _NOT_FROM_EMBEDDINGS.items() if isinstance(module, kind)), None)
        if reason is not None:
            raise ValueError(f"{owner}: {called} cannot be a part: {reason.format(name=type(module).__name__)}.")
        if uses_gradient_cache(module):
            uncached = re.sub("^Cached", "", type(module).__name__)
            option = "use_mini_batched_version=False" if uncached == type(module).__name__ else ""
            instead = f"{uncached}(model{', ' * bool(option)}{option})"
            raise ValueError(
                f"{owner}: {called} cannot be a part: it embeds the batch by itself, in mini-batches, once without and "
                "once with a graph, to save memory, which a pass that the losses share cannot save. Use "
                f"{instead}: the same loss without the cache."
            )
    held: list[Any] = [getattr(holder, attribute) for holder, attribute in holders]
    for other in held or [child for child in loss.children() if isinstance(child, BaseModel)]:
        if other is model:
            continue
        theirs, ours = (type(_base_model(each)).__name__ for each in (other, model))
        if theirs != ours:
            raise TypeError(
                f"{owner}: {called} is a loss for a {theirs}, but model is a {ours}. Take the loss of that name for a "
                f"{ours}."
            )
        raise ValueError(
            f"{owner}: {called} was made with another model object than the one given here. The losses share one pass "
            f"of one model: make each with it, {type(loss).__name__}(model, ...)."
        )
    if not holders:
        raise TypeError(
            f"{owner}: {called} cannot be a part: it keeps no model, so it does not embed with the one that the losses "
            "share. Leave it out, or train with it alone."
        )


def _check_labels_agree(owner: str, losses: Mapping[str, nn.Module], model: nn.Module) -> None:
    """Raise where two losses read the labels differently, as far as the registry knows them."""
    known = {name: _formats_of(loss, model) for name, loss in losses.items()}
    for one, other in combinations([name for name, formats in known.items() if formats], 2):
        if not any(_agree(first, second) for first in known[one] for second in known[other]):
            raise ValueError(
                f"{owner}: {_called(one, losses[one])} and {_called(other, losses[other])} read the data differently: "
                f"the first takes {_listed(known[one])}, the second {_listed(known[other])}. Give each a dataset of "
                "its own, with a dict of losses to the trainer, or leave one out."
            )


def _formats_of(loss: nn.Module, model: nn.Module) -> list[tuple[str, str]]:
    """The shapes of data and kinds of labels that a loss reads; none where that is not known."""
    if isinstance(loss, WeightedLoss):
        formats = [_formats_of(part, model) for part in loss.parts]
        first = next(filter(None, formats), [])
        return [
            one for one in first if all(any(_agree(one, other) for other in others) for others in formats if others)
        ]
    found = formats_of(loss, model_type_of(model) or "SentenceTransformer")
    if not found and isinstance(getattr(loss, "loss", None), nn.Module):
        return _formats_of(cast(Any, loss).loss, model)
    return found


# Labels of the second kind do for a loss on those of the first, for texts of these shapes.
_DO_FOR = {
    ("similarity", "binary"): ("pair",),  # 0 and 1 are scores too
    # The loss without labels takes the second text for the positive, which it is in these formats.
    ("none", "margin"): ("triplet", "n-tuple"),
    ("none", "margins"): ("triplet", "n-tuple"),
    ("none", "scores"): ("triplet", "n-tuple"),
}


def _agree(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether one dataset can be of both formats."""
    (shape, label), (other_shape, other_label) = one, other
    if "any" not in (shape, other_shape) and shape != other_shape:
        return False
    if "any" in (label, other_label) or label == other_label:
        return True
    shapes = _DO_FOR.get((label, other_label)) or _DO_FOR.get((other_label, label)) or ()
    return (other_shape if shape == "any" else shape) in shapes


def _listed(formats: Sequence[tuple[str, str]]) -> str:
    return ", ".join(
        f"{shape} with {'no labels' if label == 'none' else 'labels: ' + label}" for shape, label in formats
    )


def _weights(owner: str, names: tuple[str, ...], weights: object) -> dict[str, Weight]:
    """The weight of each loss, checked."""
    if weights is None:
        weights = {}
    elif isinstance(weights, Sequence) and not isinstance(weights, str):
        if len(weights) != len(names):
            raise ValueError(
                f"{owner}: weights must be as many as losses, {len(names)}, got {len(weights)}. Or give them by name: "
                f"weights={{{names[0]!r}: 1.0}}."
            )
        weights = dict(zip(names, weights, strict=True))
    elif not isinstance(weights, Mapping):
        raise TypeError(
            f"{owner}: weights must be a dict such as {{{names[0]!r}: 1.0}}, or a list of numbers and schedules in the "
            f"order of the losses, got {weights!r}."
        )
    unknown = [name for name in weights if name not in names]
    if unknown:
        raise ValueError(
            f"{owner}: weights must be for the losses {', '.join(map(repr, names))}; there is none called "
            f"{unknown[0]!r}."
        )
    found: dict[str, Weight] = {}
    for name in names:
        weight = weights.get(name, 1.0)
        if not isinstance(weight, WeightSchedule):
            if callable(weight):
                raise TypeError(
                    f"{owner}: weights[{name!r}] must be a number or a schedule, got {weight!r}. Use linear_schedule "
                    "or cosine_schedule of selective_st.schedules."
                )
            weight = finite_number(owner, f"weights[{name!r}]", weight, nonnegative=True)
        found[name] = weight
    if all(weight == 0 for weight in found.values()):
        raise ValueError(f"{owner}: all weights are 0, so there is nothing to learn. Give one loss a weight > 0.")
    if all(_last(weight) == 0 for weight in found.values()):
        raise ValueError(
            f"{owner}: all weights end at 0, and an evaluation takes the last weights, so that it can be compared with "
            "others: each would be 0. Let one end above it: linear_schedule(1, 0.01)."
        )
    return found


def _last(weight: Weight) -> float:
    """A weight at the end of its schedule, or as it is."""
    return weight.end if isinstance(weight, WeightSchedule) else weight


def _config_of(loss: Any) -> Any:
    return _plain(loss.get_config_dict()) if hasattr(loss, "get_config_dict") else {}


def _plain(value: Any) -> Any:
    """A value of a loss's config as JSON can hold it: modules by their config, functions by their name."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, nn.Module) and hasattr(value, "get_config_dict"):
        return {"loss": type(value).__name__, "config": _config_of(value)}
    return str(getattr(value, "__name__", type(value).__name__))
