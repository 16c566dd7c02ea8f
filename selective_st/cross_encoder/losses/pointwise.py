"""The pointwise loss for a CrossEncoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from selective_st._validation import finite_number
from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss
from selective_st.links import Link, SigmoidLink, high_scores
from selective_st.losses._common import check_model, labels_and_weight
from selective_st.losses._objectives import PointwiseObjective


class SelectivePointwiseLoss(CrossEncoderLoss, PointwiseObjective):
    r"""Match each predicted score to its label, with errors weighed by where the scores lie.

    With a link `h` of potential `H`, a predicted score `p` and a target score `s`, the loss is the mean over the pairs
    of the matching loss

        D(p, s) = H(p) - H(s) - (p - s) h(s),      with gradient h(p) - h(s),

    or, for labels `y` that are link values (such as 0/1 with a `SigmoidLink`), of `H(p) + H*(y) - p y`, with gradient
    `h(p) - y`. The score is the model's logit, after the activation.

    Args:
        model: The CrossEncoder to train, with one output label.
        activation_fn: Applied to the logits. Default: `torch.nn.Sigmoid()` for `targets="scores"`, so that scores lie
            in [0, 1] as those of `model.predict` do; none for `targets="link_values"`, whose link does the squashing.
            For a teacher's logits as targets give `torch.nn.Identity()`.
        pos_weight: For `targets="link_values"`: how much more a 1 counts than a 0, a number or a tensor of one, as in
            `BinaryCrossEntropyLoss`; for mined hard negatives their number for each positive.
        link: What matters: a preset such as `high_scores()`, or any `Link`, used as given. Default for
            `targets="scores"`: `high_scores()`, going on linearly outside [0, 1] where scores are not bounded. Default
            for `targets="link_values"`: `SigmoidLink(scale=1, shift=0)` on logits, the binary cross entropy;
            `SigmoidLink(scale=20, shift=0.5)` on scores of at most 1.
        targets: `"scores"` if the labels are scores to be reached; `"link_values"` if they are values of the link,
            within `link.range`, such as 0/1 labels (integers allowed).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has several output labels, `targets` is unknown, or (when a batch comes) the columns,
            or the shape, type or values of the labels do not fit.

    Inputs:
        +--------------------------------------+----------------------------------------+-------------------------+
        | Inputs                               | Labels                                 | Setting                 |
        +======================================+========================================+=========================+
        | (input_A, input_B) pairs             | float similarity score between 0 and 1 | targets="scores"        |
        +--------------------------------------+----------------------------------------+-------------------------+
        | (anchor, positive/negative) pairs    | 1 if positive, 0 if negative           | targets="link_values"   |
        +--------------------------------------+----------------------------------------+-------------------------+
        | (query, doc_1, ..., doc_n), or       | a label for each document; NaN marks a | either                  |
        | (query, [doc_1, ..., doc_n])         | padded one                             |                         |
        +--------------------------------------+----------------------------------------+-------------------------+

    Relations:
        - With `SigmoidLink(1, 0)` and `targets="link_values"` it is `BinaryCrossEntropyLoss`.
        - With `IdentityLink()` and `activation_fn=torch.nn.Identity()` it is half of `MSELoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectivePointwiseLoss
        >>> from selective_st.links import high_scores
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=1)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "sentence1": ["It's nice weather outside today.", "He drove to work."],
        ...     "sentence2": ["It's so sunny.", "She walked to the store."],
        ...     "score": [1.0, 0.3],
        ... })
        >>> loss = SelectivePointwiseLoss(model, link=high_scores())                              # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        pos_weight: float | Tensor | None = None,
        *,
        link: Link | None = None,
        targets: Literal["scores", "link_values"] = "scores",
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        check_model(owner, model, self.model_type)
        if activation_fn is None and targets == "scores":
            activation_fn = nn.Sigmoid()
        space = self._set_activation(owner, activation_fn)
        self._set_objective(owner, space, link=link, targets=targets)
        self.pos_weight = self._checked_pos_weight(owner, pos_weight)
        self._set_model(owner, model)

    def _checked_pos_weight(self, owner: str, pos_weight: float | Tensor | None) -> float | None:
        if pos_weight is None:
            return None
        if self.targets == "scores":
            raise ValueError(
                f'{owner}: pos_weight is for 0/1 labels, targets="link_values", but targets is "scores". Write '
                f'{owner}(model, targets="link_values", pos_weight=...); where scores are to be reached, a link says '
                "which of them matter."
            )
        if isinstance(pos_weight, Tensor):
            if pos_weight.numel() != 1:
                raise ValueError(
                    f"{owner}: pos_weight must be one number, got a tensor of shape {tuple(pos_weight.shape)}. Write "
                    "pos_weight=4.0, say."
                )
            pos_weight = pos_weight.item()
        return finite_number(owner, "pos_weight", pos_weight, positive=True)

    def _default_link(self, targets: str) -> Link:
        if self.space.range.high <= 1:
            return super()._default_link(targets)
        return SigmoidLink(scale=1.0, shift=0.0) if targets == "link_values" else high_scores().linear_outside(0.0, 1.0)

    def _takes_integers(self, labels: Sequence[Tensor]) -> bool:
        return self.targets == "link_values"

    def forward(
        self,
        inputs: Sequence[Sequence[Any]],
        labels: Tensor | list[Tensor],
        prompt: str | None = None,
        task: str | None = None,
    ) -> Tensor:
        """The loss of one batch.

        Args:
            inputs: The columns: queries, then columns of documents, or one column of lists of documents.
            labels: A label for each document: of shape (batch_size,) or (batch_size, n), or a tensor for each row.
            prompt: Passed to the model's preprocessing.
            task: Passed to the model's preprocessing.

        Returns:
            The mean loss, a scalar.
        """
        documents = self._documents(inputs)
        labels, weight = labels_and_weight(type(self).__name__, labels, None, documents.rows)
        labels = self._labels(labels, documents)
        return self.loss_of_scores(self._scores(documents, prompt, task), labels, weight)

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {**self._activation_config(), **self._objective_config(), "pos_weight": self.pos_weight}
