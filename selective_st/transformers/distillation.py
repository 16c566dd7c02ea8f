"""Distillation of a language model, token by token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, cast

from torch import Tensor

from selective_st._caller import named
from selective_st._validation import finite_number, whole_number
from selective_st.functional import HiddenStates, TopTokens, top_tokens, vocabulary_matching_loss
from selective_st.functional.vocabulary import Center, check_center
from selective_st.links import Link
from selective_st.losses._common import a_link
from selective_st.transformers._common import LanguageModelLoss, Report


@dataclass(eq=False, repr=False)
class SelectiveDistillationLoss(LanguageModelLoss):
    r"""Match a student's logits to a teacher's at every token, with the vocabulary as the list.

    A link h of potential G and the temperature T make probabilities of logits. With the student's scores p, the
    teacher's s (both log-probabilities, `z - logsumexp(z)`) and q = softmax(G(s) / T), the loss of a token is the
    matching loss of the composite Softmax, a ranking and a calibration term:

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k)

    Both are 0 where the student agrees with the teacher. The calibration term asks for the teacher's log-probabilities
    themselves, most where the link is steep; the ranking term for its distribution. So the student's probabilities are
    those of its plain Softmax, as the teacher's are, whatever the link and the temperature.

    Give it to a `ReferenceTrainer` with the teacher as `reference_model`. A model of your own may give `teacher_logits`
    among its outputs instead, to any Trainer.

    Args:
        link: What matters. Default: `probable_tokens()`. `ConstantLink()` gives the KL divergence of plain Softmaxes.
        temperature: The temperature T > 0, in units of the potential. There is no factor T^2 in the loss; where it is
            customary (to keep the size of gradients, next to another loss), multiply by it.
        calibration: The weight >= 0 of the calibration term: 1 is the matching loss, 0 ranks only.
        calibration_link: The link of the calibration term. Default: `link`.
        top_k: How many of the teacher's most probable tokens to keep at each place; all others then count as one. The
            teacher's logits are cut before the student runs, which saves their memory. Default: all.
        ignore_index: The label of tokens that do not count. The Trainer counts by -100, whatever is given here.
        shift_labels: Whether each label is that of the place before, as for a causal model.
        center: `"logsumexp"` for the scores above, None for the logits as they are.

    Raises:
        TypeError: If an argument has the wrong type, or (when a batch comes) the outputs or labels have.
        ValueError: If an argument is out of range, or (when a batch comes) shapes or vocabularies do not fit, there is
            no teacher, or no label counts.

    Inputs:
        +-------------------------------------+--------------------------------------------+-----------------------+
        | Outputs                             | Labels, which only say what counts         | Teacher               |
        +=====================================+============================================+=======================+
        | logits (texts, tokens, vocabulary)  | token ids (texts, tokens), -100 = ignored  | `reference_model` of  |
        |                                     |                                            | a ReferenceTrainer    |
        +-------------------------------------+--------------------------------------------+-----------------------+
        | logits                              | token ids                                  | `teacher_logits` in   |
        |                                     |                                            | the batch, or outputs |
        +-------------------------------------+--------------------------------------------+-----------------------+

    Relations:
        - With `ConstantLink()` it is the KL divergence from the teacher, whatever `calibration` is: the loss of
          customary distillation, without its factor T^2.
        - With `top_k` it is at most the loss without, and still 0 only where the kept probabilities agree.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Hinton et al. 2015, *Distilling the Knowledge in a Neural Network*, arXiv 1503.02531.

    Example:
        >>> import torch
        >>> from selective_st.links import ConstantLink
        >>> from selective_st.transformers import SelectiveDistillationLoss
        >>> loss = SelectiveDistillationLoss(ConstantLink())
        >>> student, teacher = torch.zeros(1, 2, 4), torch.tensor([[[1.0, 2.0, 0.0, 0.0]] * 2])
        >>> loss({"logits": student}, torch.tensor([[1, 3]]), reference=teacher)
        tensor(0.3376)
        >>> from selective_st.transformers import ReferenceTrainer
        >>> trainer = ReferenceTrainer(                                                          # doctest: +SKIP
        ...     student, args, train_dataset=dataset, compute_loss_func=loss, reference_model=teacher
        ... )
    """

    reference_column: ClassVar[str] = "teacher_logits"
    _cites = ("hinton2015distilling",)
    link: Link | None = None
    temperature: float = 1.0
    calibration: float = 1.0
    calibration_link: Link | None = None
    _: KW_ONLY
    top_k: int | None = None
    ignore_index: int = -100
    shift_labels: bool = True
    center: Center = "logsumexp"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner, given = self._owner, self.link if self.calibration_link is None else self.calibration_link
        self.temperature = finite_number(owner, "temperature", self.temperature, positive=True)
        self.calibration = finite_number(owner, "calibration", self.calibration, nonnegative=True)
        self.calibration_link = a_link(owner, "calibration_link", given)
        check_center(owner, self.center)
        if self.top_k is not None:
            whole_number(owner, "top_k", self.top_k, least=1)

    @named(top_tokens="of_reference")
    def of_reference(self, outputs: Any, labels: Tensor | None) -> Tensor | HiddenStates | TopTokens:
        """The teacher's logits, cut to the `top_k`.

        Args:
            outputs: What the teacher gave.
            labels: Not read.

        Returns:
            What `__call__` takes as `reference`.
        """
        logits: Tensor | HiddenStates = self._logits_of(outputs).detach()
        if self.top_k is None or self.top_k >= logits.shape[-1]:
            return logits
        return top_tokens(logits, self.top_k, cast(Link, self.link), self.temperature, center=self.center)

    def number_of_items(self, labels: Tensor) -> int:
        """How many labels count.

        Args:
            labels: Token ids of shape (texts, tokens).

        Returns:
            The number, without the first label of each text if labels are shifted.

        Raises:
            TypeError: If the labels are no tensor of token ids.
        """
        labels = self._token_ids(labels)
        return int((labels[..., int(self.shift_labels) :] != self.ignore_index).sum())

    @named(top_tokens="of_reference")
    def __call__(
        self,
        outputs: Any,
        labels: Tensor | None,
        num_items_in_batch: Tensor | int | float | None = None,
        *,
        reference: Tensor | HiddenStates | TopTokens | None = None,
        report: Report | None = None,
    ) -> Tensor:
        """The loss of one batch.

        Args:
            outputs: What the student gave: a mapping with `logits`, or a tuple that begins with them.
            labels: Token ids of shape (texts, tokens).
            num_items_in_batch: How many labels count in the whole batch, all accumulated steps together. Default: in
                this one.
            reference: The teacher's logits, or what `of_reference` made of them. Default: `teacher_logits` in
                `outputs`.
            report: Not called: there is nothing to report.

        Returns:
            The sum over the tokens that count, divided by that number; a scalar.
        """
        logits = self._logits_of(outputs)
        if reference is None and isinstance(outputs, Mapping):
            reference = outputs.get(self.reference_column)
        if reference is None:
            raise self._no_reference(self.reference_column)
        if isinstance(reference, Tensor):
            reference = self.of_reference((reference.to(logits.device),), labels)
        counts = self._labels_of(labels, logits) != self.ignore_index
        losses = vocabulary_matching_loss(
            logits,
            reference,
            cast(Link, self.link),
            self.temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            mask=counts,
            center=self.center,
            reduction="none",
        )
        return self._mean_of(losses, counts, num_items_in_batch)
