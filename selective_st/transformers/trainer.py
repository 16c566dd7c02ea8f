"""A Trainer with a second model, which is not trained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer
from typing_extensions import override

from selective_st.transformers._common import ReferenceLoss


class ReferenceTrainer(Trainer):
    """The `Trainer` of transformers with a second model to compare with: a teacher, or the reference of preferences.

    `compute_loss_func` is given a model's outputs and the labels, but not the inputs that a second model needs. This
    Trainer runs that model on the same inputs, without a gradient, before the model that it trains, and hands what the
    loss needs of it to `compute_loss_func` as `reference`; everything else is as in `Trainer`. Where the dataset holds
    it (a column `teacher_logits` or `reference_log_probs`, kept by `remove_unused_columns=False`), no second model is
    needed.

    Args:
        *args: As for `Trainer`.
        reference_model: The second model: set to evaluate, and moved to the training's device; it gets no gradient. Not
            the model to be trained, nor one that shares its parameters: make a copy of that.
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
        if not isinstance(self.compute_loss_func, ReferenceLoss):
            raise TypeError(
                f"{owner}: compute_loss_func must be a SelectiveDistillationLoss or SelectivePreferenceLoss, got "
                f"{self.compute_loss_func!r}. Other losses go to the Trainer of transformers."
            )
        if reference_model is not None and not isinstance(reference_model, nn.Module):
            raise TypeError(f"{owner}: reference_model must be a model, got {type(reference_model).__name__}.")
        if reference_model is not None and reference_model is self.accelerator.unwrap_model(self.model):
            raise ValueError(
                f"{owner}: reference_model must not be the model to be trained, from which nothing could be learned. "
                "Use copy.deepcopy(model), or load it twice."
            )
        if reference_model is not None:
            model = cast(nn.Module, self.model)
            trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
            shared = [name for name, parameter in reference_model.named_parameters() if id(parameter) in trained]
            if shared:
                raise ValueError(
                    f"{owner}: reference_model must not share parameters with the model to be trained, but it shares "
                    f"{len(shared)}, such as {shared[0]}, and would change with it. (Adapters are put into the model "
                    "they are made for.) Use copy.deepcopy(model) before, or load it twice."
                )
        if self.args.n_gpu > 1:
            raise ValueError(
                f"{owner}: several GPUs need a process each. Start the script by torchrun or accelerate launch, or "
                "choose one GPU by CUDA_VISIBLE_DEVICES=0."
            )
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
        if reference is None and self.reference_model is not None:
            with torch.no_grad():
                outputs = self.reference_model(**{name: value for name, value in inputs.items() if name != "labels"})
                reference = loss.of_reference(outputs, labels)
                del outputs
        if not model.training:
            num_items_in_batch = None  # the Trainer's count, in place of that of get_batch_samples
        self.compute_loss_func = partial(loss, reference=reference)
        try:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        finally:
            self.compute_loss_func = loss

    @property
    def _loss(self) -> ReferenceLoss:
        return cast(ReferenceLoss, self.compute_loss_func)
