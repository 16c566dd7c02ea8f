"""The loss on classes for a CrossEncoder with several output labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from sentence_transformers import CrossEncoder
from torch import Tensor, nn
from typing_extensions import override

from selective_st._caller import named
from selective_st._validation import list_of
from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss, Documents, TextPairs
from selective_st.functional import listwise_label_loss
from selective_st.links import Link
from selective_st.losses._common import (
    POSITIVE,
    check_positive_link,
    said,
    sentence,
    setting,
    smoothing,
    tensor_of,
)
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Objective, Targets


@dataclass(frozen=True, kw_only=True)
class _ClassesOfPairs(TextPairs):
    """The model's score of each class."""

    outputs: ClassVar[str] = "..."
    _needs: ClassVar[str] = "one output label for each class"
    _instead: ClassVar[str] = "SelectivePointwiseLoss for a single score"

    @override
    def _fits(self, outputs: int) -> bool:
        return outputs > 1

    @override
    def scores(self, model: Any, documents: Documents, prompt: str | None, task: str | None) -> Tensor:
        return self.outputs_of(model, documents, prompt, task)


@dataclass(frozen=True, kw_only=True)
class Classes(Objective):
    """The right class above the others.

    Attributes:
        temperature: The temperature, in units of the potential.
        label_smoothing: How much of the label is spread evenly over all classes.
        weight: A weight for each class, or None.
        ignore_index: The class that marks a row to be left out.
    """

    columns = range(2, 3)
    columns_said = "columns_of_classes"
    link_is_positive = True
    temperature: float = setting(POSITIVE)
    label_smoothing: float = setting(smoothing)
    weight: Any
    ignore_index: int

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.ignore_index, bool) or not isinstance(self.ignore_index, int):
            raise TypeError(said("ignore_index", self.owner, got=repr(self.ignore_index)))
        self._settle(weight=None if self.weight is None else self._checked_weight(self.weight))

    def _checked_weight(self, given: Any) -> Tensor:
        weight: Tensor = given
        if not isinstance(given, Tensor):
            weight = torch.tensor(list_of(self.owner, "weight", given, "numbers, one for each class", "[1.0, 2.0]"))
        classes = self.space.outputs
        if weight.dim() != 1 or len(weight) != (classes or len(weight)):
            raise ValueError(said("class_weight_shape", self.owner, classes=classes, shape=tuple(weight.shape)))
        if not bool(((weight >= 0) & weight.isfinite()).all()) or not bool((weight > 0).any()):
            raise ValueError(said("class_weight_values", self.owner, got=weight.tolist()))
        return weight.float() if not weight.is_floating_point() else weight

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if of_lists:
            raise ValueError(f"{self.owner} {sentence('lists_for_classes')}")
        labels = tensor_of(self.owner, labels)
        if labels.is_floating_point() and labels.dim() == 1:
            raise TypeError(said("float_classes", self.owner, dtype=labels.dtype))
        return Targets(labels.view(-1) if not labels.is_floating_point() and labels.shape == (*shape, 1) else labels)

    @override
    @named(listwise_matching_loss="SelectivePointwiseLoss")
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        labels = targets.values
        check_positive_link(self.owner, self.link, self.space, scores)
        if not labels.is_floating_point():
            counts = labels != self.ignore_index
            scores, labels = scores[counts], labels[counts]
            weight = None if weight is None else weight[counts]
        return listwise_label_loss(
            scores,
            labels,
            self.link,
            self.temperature,
            label_smoothing=self.label_smoothing,
            class_weight=self.weight,
            weight=weight,
        )


class SelectiveCrossEntropyLoss(CrossEncoderLoss):
    r"""Tell classes apart, where the scores matter: the cross entropy through the composite Softmax.

    With the scores p of the classes, a link h of potential `G`, a temperature T, and the label y (a class, or
    probabilities of the classes), the loss is the mean over the pairs of

        -sum_k y_k log softmax(G(p) / T)_k,       with gradient h(p_k) / T (softmax(G(p) / T)_k - y_k)

    Args:
        model: The CrossEncoder to train, with one output label for each class.
        activation_fn: Applied to the logits. Default: none.
        link: What matters, positive on the scores. Default: half a constant and `SigmoidLink(scale=1, shift=0)`, so
            that high logits count up to three times as much as low ones; for scores of at most 1 (a Sigmoid's)
            `ExponentialLink(1.0)` with the mean value 1 on the scores from 0 to 1.
        temperature: The temperature T > 0, in units of the potential.
        label_smoothing: How much of the label, 0 to 1, is spread evenly over all classes.
        weight: A weight >= 0 for each class, as in `torch.nn.CrossEntropyLoss`.
        ignore_index: The class that marks a row to be left out.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has a single output label, an argument is out of range, the link is negative on the
            scores, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        +------------------------------+----------------------------------------+-------------------------------+
        | Inputs                       | Labels                                 | Number of Model Output Labels |
        +==============================+========================================+===============================+
        | (input_A, input_B) pairs     | class                                  | number of classes             |
        +------------------------------+----------------------------------------+-------------------------------+
        | (input_A, input_B) pairs     | a probability for each class           | number of classes             |
        +------------------------------+----------------------------------------+-------------------------------+

    Relations:
        - With `ConstantLink()` it is `CrossEntropyLoss`, also with its `label_smoothing`, `weight` and `ignore_index`,
          of the logits divided by T.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectiveCrossEntropyLoss
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=2)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "sentence1": ["How can I be a good geologist?", "What is the capital of France?"],
        ...     "sentence2": ["What should I do to be a great geologist?", "What is the capital of Germany?"],
        ...     "label": [1, 0],
        ... })
        >>> loss = SelectiveCrossEntropyLoss(model)                                               # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    scorer_type = _ClassesOfPairs
    objective_type = Classes

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        *,
        link: Link | None = None,
        temperature: float = 1.0,
        label_smoothing: float = 0.0,
        weight: Tensor | Sequence[float] | None = None,
        ignore_index: int = -100,
    ) -> None: ...
