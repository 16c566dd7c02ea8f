"""The pointwise loss for a CrossEncoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sentence_transformers import CrossEncoder
from torch import Tensor, nn
from typing_extensions import override

from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss, TextPairs
from selective_st.links import Link, SigmoidLink
from selective_st.losses._common import ScoreSpace, score_link
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Pointwise


@dataclass(frozen=True, kw_only=True)
class _ScoresOfPairs(TextPairs):
    """Scores as `CrossEncoder.predict` gives them, where they are to be reached.

    Attributes:
        targets: What labels are.
    """

    targets: str

    @override
    def default_activation(self) -> nn.Module:
        return nn.Sigmoid() if self.targets == "scores" else nn.Identity()


class SelectivePointwiseLoss(CrossEncoderLoss):
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

    scorer_type = _ScoresOfPairs
    objective_type = Pointwise

    @staticmethod
    @override
    def default_link(space: ScoreSpace, targets: str | None) -> Link:
        link = score_link(space, targets)
        if space.range.high <= 1:
            return link
        return SigmoidLink(scale=1.0, shift=0.0) if targets == "link_values" else link.linear_outside(0.0, 1.0)

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        pos_weight: float | Tensor | None = None,
        *,
        link: Link | None = None,
        targets: Literal["scores", "link_values"] = "scores",
    ) -> None: ...
