"""A Trainer with a second model, which is not trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput
from typing_extensions import override

from selective_st._validation import instance_of
from selective_st.losses._common import said
from selective_st.transformers.losses import SelectiveDistillationLoss, SelectivePreferenceLoss


class ReferenceTrainer(Trainer):
    """The `Trainer` of transformers with a second model to compare with: a teacher, or the reference of preferences.

    `compute_loss_func` is given a model's outputs and the labels, but not the inputs that a second model needs. This
    Trainer runs that model on the same inputs, without a gradient, before the model that it trains, and hands what the
    loss needs of it to `compute_loss_func` as `reference`; everything else is as in `Trainer`. Where the dataset holds
    it (a column `teacher_logits` or `reference_log_probs`, kept by `remove_unused_columns=False`), no second model is
    needed; nor where the model has adapters (PEFT), without which it is its own reference.

    What a loss reports of its items, such as the rewards of preferences, it logs as means over the items since the log
    before, in all processes; those of an evaluation are among its metrics, `metric_for_best_model` included.

    Args:
        *args: As for `Trainer`.
        reference_model: The second model: set to evaluate, and moved to the training's device; it gets no gradient. Not
            the model to be trained, nor one that shares its parameters: make a copy of that. None where the dataset
            holds what it would say, or for the model itself with its adapters off.
        **kwargs: As for `Trainer`; `compute_loss_func` must be a `SelectiveDistillationLoss` or
            `SelectivePreferenceLoss`.

    Raises:
        TypeError: If `compute_loss_func` is another loss, or `reference_model` is no model.
        ValueError: If both models are one or share parameters to be trained, or several GPUs are to share one process.

    Example:
        >>> from selective_st.transformers import ReferenceTrainer, SelectiveDistillationLoss
        >>> trainer = ReferenceTrainer(                                        # doctest: +SKIP
        ...     student,
        ...     args,
        ...     train_dataset=dataset,
        ...     compute_loss_func=SelectiveDistillationLoss(temperature=2.0),
        ...     reference_model=teacher,
        ... )
    """

    def __init__(self, *args: Any, reference_model: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owner = type(self).__name__
        mend = "Other losses go to the Trainer of transformers."
        losses = (SelectiveDistillationLoss, SelectivePreferenceLoss)
        instance_of(owner, "compute_loss_func", self.compute_loss_func, losses, mend)
        mend = "Load it: AutoModelForCausalLM.from_pretrained(...)."
        instance_of(owner, "reference_model", reference_model, (nn.Module, type(None)), mend)
        trained = {id(each) for each in cast(nn.Module, self.model).parameters() if each.requires_grad}
        theirs = [] if reference_model is None else reference_model.named_parameters()
        shared = [name for name, parameter in theirs if id(parameter) in trained]
        if shared:
            raise ValueError(said("shared_parameters", owner, shared=shared))
        if self.args.n_gpu > 1:
            raise ValueError(said("gpus_in_one_process", owner))
        self._reported: dict[bool, dict[str, tuple[Tensor, int]]] = {True: {}, False: {}}
        self.reference_model = reference_model
        if reference_model is not None:
            self.reference_model = self.accelerator.prepare_model(reference_model, evaluation_mode=True).eval()

    @override
    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The batches of one step, and how many items of the loss they have, in all processes together.

        Args:
            epoch_iterator: Where the batches come from.
            num_batches: How many.
            device: Where to count.

        Returns:
            The batches and the number.
        """
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        # The Trainer counts tokens, and for models that it does not know the first of a text too.
        numbers = [self._loss.number_of_items(batch["labels"]) for batch in batches if "labels" in batch]
        if not numbers:
            return batches, count
        items = torch.tensor(sum(numbers), device=device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            items = self.accelerator.gather(items).sum()
        return batches, items

    @override
    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """The loss of a batch, with what the second model says to it.

        Args:
            model: The model to be trained.
            inputs: The batch.
            return_outputs: Whether to return the model's outputs, too.
            num_items_in_batch: How many items of the loss there are in the whole batch.

        Returns:
            The loss; or the loss and the outputs.
        """
        loss, inputs = self._loss, dict(inputs)
        labels = inputs.get("labels")
        reference = inputs.pop(loss.reference_column, None)
        if reference is None:
            reference = self._of_reference(model, {name: x for name, x in inputs.items() if name != "labels"}, labels)
        if not model.training:
            num_items_in_batch = None  # the Trainer's count, in place of that of get_batch_samples
        self.compute_loss_func = partial(loss, reference=reference, report=partial(self._note, model.training))
        try:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        finally:
            self.compute_loss_func = loss

    def _of_reference(self, model: nn.Module, inputs: dict[str, Any], labels: Any) -> Any:
        """What the second model, or the model without its adapters, says; None where there is neither."""
        if self.reference_model is not None:
            with torch.no_grad():
                return self._loss.of_reference(self.reference_model(**inputs), labels)
        own: Any = self.accelerator.unwrap_model(model)
        with ExitStack() as stack, torch.no_grad():
            if callable(getattr(own, "disable_adapter", None)):  # of PEFT
                stack.enter_context(own.disable_adapter())
            elif getattr(own, "_hf_peft_config_loaded", False):  # a model of transformers that has loaded some
                own.disable_adapters()
                stack.callback(own.enable_adapters)
            else:
                return None
            stack.callback(model.train, model.training)
            model.eval()
            return self._loss.of_reference(model(**inputs), labels)

    def _note(self, in_training: bool, values: dict[str, Tensor]) -> None:
        noted = self._reported[in_training]
        for name, items in values.items():
            total, count = noted.get(name, (0.0, 0))
            noted[name] = items.sum() + total, count + len(items)

    def _means(self, in_training: bool) -> dict[str, float]:
        """What was reported since they were last asked for, in all processes."""
        means, noted = {}, self._reported[in_training]
        for name, (total, count) in noted.items():
            whole, items = self.accelerator.reduce(torch.stack([total, torch.full_like(total, count)]), "sum").tolist()
            means[name] = whole / items
        noted.clear()
        return means

    @override
    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the means of what the loss has reported.

        Args:
            logs: What is logged; the means of a training are added to it.
            *args: As for `Trainer`.
            **kwargs: As for `Trainer`.
        """
        if "loss" in logs:
            logs.update(self._means(True))
        super().log(logs, *args, **kwargs)

    @override
    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate or predict, with the means of what the loss has reported among the metrics.

        Args:
            *args: As for `Trainer`.
            **kwargs: As for `Trainer`.

        Returns:
            As for `Trainer`.
        """
        self._reported[False].clear()
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        means = {f"{prefix}_{name}": mean for name, mean in self._means(False).items()}
        return output._replace(metrics=(output.metrics or {}) | means)

    @property
    def _loss(self) -> SelectiveDistillationLoss | SelectivePreferenceLoss:
        return cast(Any, self.compute_loss_func)  # type: ignore[no-any-return]
