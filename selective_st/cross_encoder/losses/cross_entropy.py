"""The loss on classes for a CrossEncoder with several output labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from selective_st._caller import named
from selective_st._validation import finite_number, list_of
from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss, logit_list_link
from selective_st.functional import listwise_label_loss
from selective_st.functional.listwise import check_smoothing
from selective_st.links import Link
from selective_st.losses._common import cast_labels, check_model, check_positive_link, labels_and_weight, list_link


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
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        check_model(owner, model, self.model_type)
        self.space = self._set_activation(owner, activation_fn)
        self.link = list_link(owner, logit_list_link(self.space) if link is None else link, self.space)
        check_positive_link(owner, self.link, self.space)
        self.temperature = finite_number(owner, "temperature", temperature, positive=True)
        self.label_smoothing = check_smoothing(owner, label_smoothing)
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise TypeError(
                f"{owner}: ignore_index must be a whole number, that of rows to be left out, got {ignore_index!r}. "
                "Write ignore_index=-100."
            )
        self.ignore_index = ignore_index
        self._set_model(owner, model, classes=True)
        self.weight = self._checked_weight(owner, weight)

    def _checked_weight(self, owner: str, given: Any) -> Tensor | None:
        if given is None:
            return None
        weight: Tensor = given
        if not isinstance(given, Tensor):
            weight = torch.tensor(list_of(owner, "weight", given, "numbers, one for each class", "[1.0, 2.0]"))
        classes = getattr(self.model, "num_labels", None)
        if weight.dim() != 1 or len(weight) != (classes or len(weight)):
            raise ValueError(
                f"{owner}: weight must have a number for each of the model's {classes} classes, got shape "
                f"{tuple(weight.shape)}."
            )
        if not bool(((weight >= 0) & weight.isfinite()).all()) or not bool((weight > 0).any()):
            raise ValueError(
                f"{owner}: weight must hold finite numbers >= 0, and one above it, got {weight.tolist()}. Write "
                "weight=[1.0, 2.0], say."
            )
        return weight.float() if not weight.is_floating_point() else weight

    @named(listwise_matching_loss="SelectivePointwiseLoss")
    def forward(
        self,
        inputs: Sequence[Sequence[Any]],
        labels: Tensor | list[Tensor],
        prompt: str | None = None,
        task: str | None = None,
    ) -> Tensor:
        """The loss of one batch.

        Args:
            inputs: The two columns of texts.
            labels: Classes of shape (batch_size,), or a probability for each class, of shape (batch_size, classes).
            prompt: Passed to the model's preprocessing.
            task: Passed to the model's preprocessing.

        Returns:
            The mean loss, a scalar.

        Raises:
            TypeError: If the labels are no tensor of classes or probabilities.
            ValueError: If the second column holds lists.
        """
        owner = type(self).__name__
        documents = self._documents(inputs)
        if documents.lengths is not None:
            raise ValueError(f"{owner} takes a single second text for each class, but the dataset has lists of them.")
        labels, weight = labels_and_weight(owner, labels, None, documents.rows)
        labels = self._labels(labels, documents)
        if not isinstance(labels, Tensor):
            raise TypeError(
                f"{owner}: labels must be a tensor, got {type(labels).__name__}. The dataset needs a column named "
                '"label", "labels", "score" or "scores".'
            )
        if labels.is_floating_point() and labels.dim() == 1:
            raise TypeError(
                f"{owner}: labels must be classes, integers from 0, or a probability for each class, got one number of "
                f"{labels.dtype} a row. For classes: {cast_labels('int64')}; for scores use SelectivePointwiseLoss."
            )
        if not labels.is_floating_point() and labels.shape == (documents.rows, 1):
            labels = labels.view(-1)
        scores = self._outputs(documents.pairs, documents.rows, prompt, task)
        check_positive_link(owner, self.link, self.space, scores)
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

    def _check_columns(self, columns: int, rows: int) -> None:
        if columns != 2:
            raise ValueError(
                f"{type(self).__name__} takes two text columns, (input_A, input_B) with a class, but the dataset has "
                f"{columns}. See dataset.select_columns."
            )
        super()._check_columns(columns, rows)

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {
            **self._activation_config(),
            "link": self.link.get_config_dict(),
            "temperature": self.temperature,
            "label_smoothing": self.label_smoothing,
            "weight": None if self.weight is None else self.weight.tolist(),
            "ignore_index": self.ignore_index,
        }
