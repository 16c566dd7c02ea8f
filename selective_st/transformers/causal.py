"""The loss of the next token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor
from transformers import LogitsProcessorList

from selective_st._caller import named
from selective_st._validation import finite_number
from selective_st.functional import vocabulary_log_probabilities, vocabulary_loss
from selective_st.functional._common import check_smoothing
from selective_st.functional.vocabulary import Center, check_center
from selective_st.links import Link
from selective_st.transformers._common import LanguageModelLoss


@dataclass(eq=False, repr=False)
class SelectiveCausalLMLoss(LanguageModelLoss):
    r"""The loss of the next token through the composite Softmax: which of its scores a model shall get right.

    A link h of potential G and a temperature T make probabilities of a token's logits z, and the loss is their cross
    entropy:

        -log softmax(G(s) / T)_label,        s = z - logsumexp(z),

    with the gradient `h(s_k) / T (softmax(G(s) / T)_k - y_k)` with respect to the scores s. So a token's score is
    corrected `h(s_k)` times as much as by the plain cross entropy. The plain Softmax is the same whatever is added to
    the logits, so a model's logits lie anywhere; a link needs scores that mean something, and those are the model's
    log-probabilities s, from minus infinity to 0.

    The model's probabilities are then `softmax(G(s) / T)`, not `softmax(z)`: see `log_probabilities`, and
    `logits_processor` for sampling. The most probable token is the same.

    Args:
        link: What matters, h > 0 on the scores. Default: `probable_tokens()`. `ConstantLink()` gives the plain cross
            entropy.
        temperature: The temperature T > 0, in units of the potential.
        ignore_index: The label of tokens that do not count. The Trainer counts by -100, whatever is given here.
        label_smoothing: How much of a label, 0 to 1, is spread over the vocabulary. `label_smoothing_factor` of the
            training arguments has no effect beside a `compute_loss_func`.
        shift_labels: Whether the labels are those of a causal model's inputs, so that each is the label of the place
            before; False where the two lie side by side, as in an encoder-decoder.
        center: `"logsumexp"` for the scores s above, None for the logits as they are.

    Raises:
        TypeError: If an argument has the wrong type, or (when a batch comes) the outputs or labels have.
        ValueError: If an argument is out of range, or (when a batch comes) shapes do not fit, a label lies outside the
            vocabulary, no label counts, or the link is negative on the scores.

    Inputs:
        +-------------------------------------+--------------------------------------------+---------------------+
        | Outputs                             | Labels                                     | Setting             |
        +=====================================+============================================+=====================+
        | logits (texts, tokens, vocabulary)  | token ids (texts, tokens), -100 = ignored  |                     |
        +-------------------------------------+--------------------------------------------+---------------------+
        | logits of an encoder-decoder        | token ids of the decoder's outputs         | shift_labels=False  |
        +-------------------------------------+--------------------------------------------+---------------------+

    Relations:
        - With `ConstantLink()` it is the cross entropy that a causal model computes itself.
        - With `ConstantLink()` and `label_smoothing` it is the Trainer's `LabelSmoother`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> import torch
        >>> from selective_st.links import ConstantLink
        >>> from selective_st.transformers import SelectiveCausalLMLoss
        >>> loss = SelectiveCausalLMLoss(ConstantLink())
        >>> loss({"logits": torch.zeros(1, 3, 8)}, torch.tensor([[5, 2, -100]]))
        tensor(2.0794)
        >>> from transformers import Trainer
        >>> trainer = Trainer(model, args, train_dataset=dataset, compute_loss_func=loss)       # doctest: +SKIP
    """

    link: Link | None = None
    temperature: float = 1.0
    ignore_index: int = -100
    label_smoothing: float = 0.0
    shift_labels: bool = True
    center: Center = field(default="logsumexp", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.temperature = finite_number(self._owner, "temperature", self.temperature, positive=True)
        self.label_smoothing = check_smoothing(self._owner, self.label_smoothing)
        check_center(self._owner, self.center)

    @named(vocabulary_matching_loss="SelectiveDistillationLoss")
    def __call__(
        self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | int | float | None = None
    ) -> Tensor:
        """The loss of one batch.

        Args:
            outputs: What the model gave: a mapping with `logits`, or a tuple that begins with them.
            labels: Token ids of shape (texts, tokens).
            num_items_in_batch: How many labels count in the whole batch, all accumulated steps together. Default: in
                this one.

        Returns:
            The sum over the labels that count, divided by that number; a scalar.
        """
        logits = self._logits_of(outputs)
        labels = self._labels_of(labels, logits)
        losses = vocabulary_loss(
            logits,
            labels,
            cast(Link, self.link),
            self.temperature,
            label_smoothing=self.label_smoothing,
            ignore_index=self.ignore_index,
            center=self.center,
            reduction="none",
        )
        return self._mean_of(losses, labels != self.ignore_index, num_items_in_batch)

    @named()
    def log_probabilities(self, logits: Tensor) -> Tensor:
        """The logarithm of the probabilities that the model stands for when it is trained with this loss.

        Args:
            logits: The model's logits, of shape (..., vocabulary).

        Returns:
            `log softmax(G(s) / T)`, in that shape and at least float32.
        """
        link = cast(Link, self.link)
        return vocabulary_log_probabilities(logits, link, self.temperature, center=self.center)

    def logits_processor(self) -> LogitsProcessorList:
        """What `model.generate(logits_processor=...)` needs to sample from these probabilities.

        Greedy decoding is the same without, where the link is positive.

        Returns:
            A list with one processor.
        """
        return LogitsProcessorList([lambda input_ids, scores: self.log_probabilities(scores)])
