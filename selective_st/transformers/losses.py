"""Losses for language models: of the next token, of a teacher, of preferences; and what they share."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import partial
from importlib import resources
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LogitsProcessorList

from selective_st._caller import named
from selective_st._validation import finite_number, instance_of, one_of
from selective_st.functional import (
    HiddenStates,
    TopTokens,
    fenchel_young_loss,
    matching_loss,
    top_tokens,
    vocabulary_log_probabilities,
    vocabulary_loss,
    vocabulary_matching_loss,
)
from selective_st.functional._checks import RULES
from selective_st.functional.vocabulary import Center
from selective_st.links import ConstantLink, Link, SigmoidLink
from selective_st.losses._common import PAPER_CITATION, bibtex_entries, said
from selective_st.losses._settings import a_link

logger = logging.getLogger(__name__)

# Where probable tokens and all others part: over the log-probabilities from here to 0 the link has the mean 1.
_LOWEST = math.log(1e-4)


def probable_tokens(strength: float = 3.0, above: float = 0.05) -> Link:
    """Tokens matter that the model holds more probable than `above`: a link for log-probabilities.

    A `SigmoidLink` on a constant, with the mean value 1 over the log-probabilities from log(0.0001) to 0, so that
    temperatures and learning rates keep their meaning. It is positive everywhere, its potential rises without bounds,
    and nothing in it can overflow: not even logits as they are, without centring, ask for `linear_outside`. (An
    `ExponentialLink` falls to 0 for improbable tokens: they would get no gradient, and keep a probability.)

    Args:
        strength: How many times as much the gradient of the most probable tokens' scores counts as that of the least
            probable ones, > 1: nearly so for a small `above`; `1 + (strength - 1) / (1 + above)` times for any.
        above: The probability, between 0 and 1, around which it rises.

    Returns:
        The link.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> from selective_st.transformers import probable_tokens
        >>> probable_tokens()(torch.tensor([0.9, 0.05, 0.001]).log())
        tensor([1.7431, 1.2043, 0.6258])
    """
    owner = "probable_tokens"
    strength = finite_number(owner, "strength", strength, positive=True, largest=500)
    above = finite_number(owner, "above", above, positive=True)
    if strength <= 1 or above >= 1:
        raise ValueError(said("strength_and_above", owner, strength=strength, above=above))
    link = ConstantLink() + (strength - 1) * SigmoidLink(1.0, math.log(above))
    return link.normalized(_LOWEST, 0.0, of="value")


# Takes what else a loss finds of each of its items, by the names that it has in the log.
Report = Callable[[dict[str, Tensor]], None]
# How each setting is checked, by its name.
_RULES: dict[str, Callable[[str, str, Any], Any]] = {
    **RULES,
    **dict.fromkeys(("link", "calibration_link"), a_link),
    "beta": partial(finite_number, positive=True),
    "sft": partial(finite_number, nonnegative=True),
    "top_k": RULES["k"],
    "log_probs": partial(one_of, allowed=("sum", "mean")),
    "ignore_index": partial(instance_of, kinds=int, mend="Write -100."),
    "shift_labels": partial(instance_of, kinds=bool, mend="Write True."),
}


class LanguageModelLoss:
    """What the losses of language models share: a `compute_loss_func` for the Trainer, whose fields are its settings.

    Attributes:
        link: What matters.
        ignore_index: The label of tokens that do not count.
        shift_labels: Whether each label is that of the place before.
    """

    _cites: ClassVar[tuple[str, ...]] = ()  # in templates/citations.bib
    _default_link: ClassVar[Callable[[], Link]] = probable_tokens
    link: Link | None
    ignore_index: int
    shift_labels: bool

    def __post_init__(self) -> None:
        """Check each setting by its rule; one may be None where that is its default."""
        self._owner = type(self).__name__
        if self.link is None:
            self.link = type(self)._default_link()
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if each.name in _RULES and (value is not None or each.default is not None):
                setattr(self, each.name, _RULES[each.name](self._owner, each.name, value))

    def _logits_of(self, outputs: Any) -> Any:
        """The logits among a model's outputs, or the hidden states that `without_logits` has in their place."""
        is_list = isinstance(outputs, (tuple, list)) and len(outputs) > 0
        logits = outputs.get("logits") if isinstance(outputs, Mapping) else outputs[0] if is_list else None
        if not isinstance(logits, (Tensor, HiddenStates)):
            raise TypeError(said("no_logits", self._owner, got=f"{outputs!r:.60}"))
        return logits

    def _labels_of(self, labels: object, logits: Any) -> Tensor:
        """The label of each place of the logits: of the next token, if they are to be shifted."""
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
            got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(said("no_token_ids", self._owner, ignored=self.ignore_index, got=got))
        shape = tuple(logits.shape[:-1])
        if labels.dim() != 2 or tuple(labels.shape) != shape:
            raise ValueError(said("shape_of_tokens", self._owner, wanted=shape, got=tuple(labels.shape)))
        if self.shift_labels:  # labels rather than logits, of which that would make a copy
            labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=self.ignore_index)
        return labels.to(logits.device)

    def _mean_of(self, losses: Tensor, counts: Tensor, num_items_in_batch: Any, *, tokens: bool = True) -> Tensor:
        """The sum of the losses, over how many items the whole batch has, all accumulated steps and processes together.

        Args:
            losses: The losses of the items that this call has, 0 where one does not count.
            counts: Which count.
            num_items_in_batch: How many there are altogether; None for those that count here.
            tokens: Whether the items are tokens; else they are pairs.

        Returns:
            The mean; 0 if nothing counts where no gradient is wanted, as in an evaluation.

        Raises:
            ValueError: If nothing counts in a training.
        """
        items = counts.sum() if num_items_in_batch is None else num_items_in_batch
        items = torch.as_tensor(items, device=losses.device).flatten()[0]  # for DataParallel it is given repeatedly
        if items > 0:
            return losses.sum() / items
        problem = said("nothing_counts", self._owner, ignored=self.ignore_index, tokens=tokens)
        if torch.is_grad_enabled():
            raise ValueError(problem)
        logger.warning(f"{problem} In this evaluation the batch has the loss 0.")  # no reason to end a training
        return losses.sum()

    def _own(self, *names: str) -> dict[str, Any]:
        """The settings of these names."""
        return {name: getattr(self, name) for name in names}

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable."""
        settings = self._own(*(each.name for each in fields(self)))  # type: ignore[arg-type]
        return {name: value.get_config_dict() if isinstance(value, Link) else value for name, value in settings.items()}

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, and on what this one generalises."""
        entries = bibtex_entries(resources.files("selective_st").joinpath("templates/citations.bib").read_text("utf-8"))
        cited = [entry for entry in entries if entry.partition("{")[2].partition(",")[0] in self._cites]
        return "\n".join([PAPER_CITATION, *cited])


# --- The next token ---------------------------------------------------------------------------------------------------


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
        own = self._own("link", "temperature", "label_smoothing", "ignore_index", "center")
        losses = vocabulary_loss(logits, labels, **own, reduction="none")
        return self._mean_of(losses, labels != self.ignore_index, num_items_in_batch)

    @named()
    def log_probabilities(self, logits: Tensor) -> Tensor:
        """The logarithm of the probabilities that the model stands for when it is trained with this loss.

        Args:
            logits: The model's logits, of shape (..., vocabulary).

        Returns:
            `log softmax(G(s) / T)`, in that shape and at least float32.
        """
        return vocabulary_log_probabilities(logits, **self._own("link", "temperature", "center"))

    def logits_processor(self) -> LogitsProcessorList:
        """What `model.generate(logits_processor=...)` needs to sample from these probabilities.

        Greedy decoding is the same without, where the link is positive.

        Returns:
            A list with one processor.
        """
        return LogitsProcessorList([lambda input_ids, scores: self.log_probabilities(scores)])


# --- A teacher --------------------------------------------------------------------------------------------------------


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
        if self.calibration_link is None:
            self.calibration_link = self.link

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
        return top_tokens(logits, self.top_k, **self._own("link", "temperature", "center"))

    def number_of_items(self, labels: Tensor) -> int:
        """How many labels count.

        Args:
            labels: Token ids of shape (texts, tokens).

        Returns:
            The number, without the first label of each text if labels are shifted.
        """
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
            raise ValueError(said("no_reference", self._owner, loss=self._owner, column=self.reference_column))
        if isinstance(reference, Tensor):
            reference = self.of_reference((reference.to(logits.device),), labels)
        counts = self._labels_of(labels, logits) != self.ignore_index
        own = self._own("link", "temperature", "calibration", "calibration_link", "center")
        losses = vocabulary_matching_loss(logits, reference, **own, mask=counts, reduction="none")
        return self._mean_of(losses, counts, num_items_in_batch)


# --- Preferences ------------------------------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class SelectivePreferenceLoss(LanguageModelLoss):
    r"""Prefer the chosen of two answers to the rejected one, by a matching loss on the margin of their log-ratios.

    The log-ratio of an answer is its log-probability under the model less that under a reference model, and the margin
    m of a pair is the log-ratio of the chosen answer less that of the rejected one. The loss of the pair is

        F(beta m, y) = H(beta m) + H*(y) - beta m y,     with the gradient  beta (h(beta m) - y)

    for a link h of potential H and the link value y to be reached; or the matching loss `D(beta m, target_margin)`.
    The slope of the link says which margins matter: `SigmoidLink()` those around 0, where the model cannot tell the
    answers apart yet.

    Give it to a `ReferenceTrainer` with the reference as `reference_model`, and make batches with `PreferenceCollator`:
    their rows are the chosen and the rejected answer of the first pair, those of the second, and so on. That trainer
    logs the means over the pairs of the rewards, which are beta times the log-ratios (`rewards/chosen`,
    `rewards/rejected`), of their `rewards/margins`, how often the chosen answer has the higher one
    (`rewards/accuracies`), and the log-probabilities (`logps/chosen`, `logps/rejected`); in an evaluation with `eval_`
    before them.

    Args:
        link: Which margins matter. Default: `SigmoidLink()`.
        beta: The scale > 0 of the margin: small lets the model go far from the reference.
        target_value: The link value y to be reached, within the link's range. Default: 1, where no margin is given.
        target_margin: The margin beta m to be reached, instead.
        log_probs: `"sum"` for the log-probability of an answer, `"mean"` for that of a token of it, on the average, so
            that long answers count no more than short ones.
        sft: The weight >= 0 of a further term, which keeps the chosen answer probable: its mean negative
            log-probability a token.
        ignore_index: The label of tokens that do not count, such as those of the prompt.
        shift_labels: Whether each label is that of the place before, as for a causal model.

    Raises:
        TypeError: If an argument has the wrong type, or (when a batch comes) the outputs or labels have.
        ValueError: If an argument is out of range or excludes another, or (when a batch comes) shapes do not fit, rows
            are odd in number, an answer has no label that counts, or there is no reference.

    Inputs:
        +-------------------------------------+--------------------------------------------+-----------------------+
        | Outputs                             | Labels                                     | Reference             |
        +=====================================+============================================+=======================+
        | logits (2 pairs, tokens,            | token ids (2 pairs, tokens), -100 =        | `reference_model` of  |
        | vocabulary)                         | ignored                                    | a ReferenceTrainer    |
        +-------------------------------------+--------------------------------------------+-----------------------+
        | logits                              | token ids                                  | `reference_log_probs` |
        |                                     |                                            | in the batch          |
        +-------------------------------------+--------------------------------------------+-----------------------+

    Relations:
        - With `SigmoidLink()` it is the loss of DPO with the same beta, `-log sigmoid(beta m)`.
        - With `SigmoidLink()` and `target_value=1 - e` it is DPO with label smoothing e, less a constant.
        - With `IdentityLink()` and `target_margin=0.5` it is `beta^2 / 2` times the loss of IPO,
          `(m - 1 / (2 beta))^2`; with `log_probs="mean"` as trl computes it.
        - With `sft` it is the loss of RPO.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Rafailov et al. 2023, *Direct Preference Optimization*, arXiv 2305.18290.
        - Azar et al. 2023, *A General Theoretical Paradigm to Understand Learning from Human Preferences*, arXiv
          2310.12036, for IPO.
        - Pang et al. 2024, *Iterative Reasoning Preference Optimization*, arXiv 2404.19733, for the further term.

    Example:
        >>> import torch
        >>> from selective_st.transformers import SelectivePreferenceLoss
        >>> loss = SelectivePreferenceLoss(beta=0.1)
        >>> logits, labels = torch.zeros(2, 3, 8), torch.tensor([[-100, 5, 2], [-100, 5, 3]])
        >>> loss({"logits": logits}, labels, reference=torch.tensor([-4.0, -5.0]))     # the margin is -1
        tensor(0.7444)
        >>> from selective_st.transformers import ReferenceTrainer
        >>> trainer = ReferenceTrainer(                                                # doctest: +SKIP
        ...     model, args, train_dataset=dataset, compute_loss_func=loss, reference_model=reference
        ... )
    """

    reference_column: ClassVar[str] = "reference_log_probs"
    _cites = ("rafailov2023direct", "azar2023general")
    _default_link = SigmoidLink
    link: Link | None = None
    beta: float = 0.1
    _: KW_ONLY
    target_value: float | None = None
    target_margin: float | None = None
    log_probs: Literal["sum", "mean"] = "sum"
    sft: float = 0.0
    ignore_index: int = -100
    shift_labels: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        owner, link = self._owner, cast(Link, self.link)
        if isinstance(link, ConstantLink):
            raise ValueError(said("flat_link", owner))
        if self.target_value is not None and self.target_margin is not None:
            raise ValueError(said("two_targets", owner))
        name, allowed = ("target_value", link.range) if self.target_margin is None else ("target_margin", link.domain)
        given = getattr(self, name)
        target = finite_number(owner, name, 1.0 if given is None else given)
        if not allowed.low <= target <= allowed.high:
            raise ValueError(f"{owner}: {name} must lie within {allowed} for {link!r}, got {target:g}.")
        setattr(self, name, target)

    def number_of_items(self, labels: Tensor) -> int:
        """How many pairs a batch has."""
        return len(labels) // 2

    @named(vocabulary_matching_loss="SelectiveDistillationLoss")
    def of_reference(self, outputs: Any, labels: Tensor | None) -> Tensor:
        """The log-probability of each row's answer.

        Args:
            outputs: What a model gave: a mapping with `logits`, or a tuple that begins with them.
            labels: Token ids of shape (rows, tokens).

        Returns:
            The sum of the log-probabilities of the tokens that count, or their mean, of shape (rows,).
        """
        return self._log_probs(outputs, labels)[0]

    def _log_probs(self, outputs: Any, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The log-probability of each row's answer, as `log_probs` says, and the mean of its tokens."""
        logits = self._logits_of(outputs)
        labels = self._labels_of(labels, logits)
        counts = (labels != self.ignore_index).sum(-1)
        empty = (counts == 0).nonzero().flatten().tolist()
        if len(labels) % 2 or empty:
            raise ValueError(said("no_answers", self._owner, rows=len(labels), empty=empty))
        losses = vocabulary_loss(logits, labels, ConstantLink(), ignore_index=self.ignore_index, reduction="none")
        sums = -losses.sum(-1)
        return sums if self.log_probs == "sum" else sums / counts, sums / counts

    def margins(self, outputs: Any, labels: Tensor | None, reference: Tensor) -> Tensor:
        """The margin m of each pair: > 0 where the model prefers the chosen answer more than the reference does.

        Args:
            outputs: What the model gave.
            labels: Token ids of shape (rows, tokens).
            reference: The log-probability of each row under the reference, of shape (rows,).

        Returns:
            The margins, of shape (pairs,).
        """
        chosen, rejected = self._log_ratios(self.of_reference(outputs, labels), reference)
        return chosen - rejected

    def _log_ratios(self, log_probs: Tensor, reference: Any) -> tuple[Tensor, Tensor]:
        """Those of the chosen and of the rejected answers."""
        is_tensor = isinstance(reference, Tensor)
        if not is_tensor or not reference.is_floating_point() or reference.shape != log_probs.shape:
            got = f"{reference.dtype} of shape {tuple(reference.shape)}" if is_tensor else type(reference).__name__
            raise ValueError(said("no_log_probs", self._owner, shape=tuple(log_probs.shape), got=got))
        chosen, rejected = (log_probs - reference.detach().to(log_probs)).view(-1, 2).unbind(1)
        return chosen, rejected

    @named(vocabulary_matching_loss="SelectiveDistillationLoss")
    def __call__(
        self,
        outputs: Any,
        labels: Tensor | None,
        num_items_in_batch: Tensor | int | float | None = None,
        *,
        reference: Tensor | None = None,
        report: Report | None = None,
    ) -> Tensor:
        """The loss of one batch.

        Args:
            outputs: What the model gave.
            labels: Token ids of shape (rows, tokens).
            num_items_in_batch: How many pairs the whole batch has, all accumulated steps together: not tokens, which a
                plain Trainer counts. Default: the pairs of this one.
            reference: The log-probability of each row under the reference, of shape (rows,): what `of_reference` gives
                for the reference's outputs.
            report: Takes the rewards and log-probabilities of the pairs, by the names that they have in the log.

        Returns:
            The sum over the pairs, divided by that number; a scalar.
        """
        if reference is None:
            raise ValueError(said("no_reference", self._owner, loss=self._owner, column=self.reference_column))
        log_probs, means = self._log_probs(outputs, labels)
        chosen, rejected = self._log_ratios(log_probs, reference)
        scores = self.beta * (chosen - rejected)
        by_value, link = self.target_margin is None, cast(Link, self.link)
        targets = torch.full_like(scores, cast(float, self.target_value if by_value else self.target_margin))
        losses = (fenchel_young_loss if by_value else matching_loss)(scores, targets, link, reduction="none")
        surprise = -means[::2]  # of a token of the chosen answer
        if self.sft:
            losses = losses + self.sft * surprise
        if report is not None:
            found = {
                "rewards/chosen": self.beta * chosen,
                "rewards/rejected": self.beta * rejected,
                "rewards/margins": scores,
                "rewards/accuracies": (chosen > rejected).to(scores),
                "logps/chosen": log_probs[::2],
                "logps/rejected": log_probs[1::2],
            }
            found |= {"nll_loss": surprise} if self.sft else {}
            report({name: values.detach() for name, values in found.items()})
        return self._mean_of(losses, torch.ones_like(losses), num_items_in_batch, tokens=False)


class PreferenceCollator:
    """Makes batches for `SelectivePreferenceLoss` of rows with token ids.

    A row has `prompt_ids`, `chosen_ids` and `rejected_ids`, lists of token ids, of which the answers' end with the
    token that ends a text; and, where it has been computed before, `reference_log_probs`, the reference's
    log-probabilities of the chosen and the rejected answer. Train with `remove_unused_columns=False`.

    Args:
        pad_token_id: The token to pad with, on the right.
        ignore_index: The label of tokens that do not count: of prompts and padding.

    Raises:
        TypeError: If an argument is no integer.

    Example:
        >>> from selective_st.transformers import PreferenceCollator
        >>> row = {"prompt_ids": [7, 8], "chosen_ids": [5, 1], "rejected_ids": [1]}
        >>> PreferenceCollator(pad_token_id=0)([row])["labels"]
        tensor([[-100, -100,    5,    1],
                [-100, -100,    1, -100]])
    """

    def __init__(self, pad_token_id: int, ignore_index: int = -100) -> None:
        mend = "A tokenizer without a padding token can pad with any other: pad_token_id=tokenizer.eos_token_id."
        self.pad_token_id = instance_of("PreferenceCollator", "pad_token_id", pad_token_id, int, mend)
        self.ignore_index = instance_of("PreferenceCollator", "ignore_index", ignore_index, int, "Write -100.")

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """A batch of two rows for each pair.

        Args:
            rows: The pairs.

        Returns:
            `input_ids`, `attention_mask` and `labels`, of shape (2 pairs, tokens), and `reference_log_probs` of shape
            (2 pairs,) if the rows have them.

        Raises:
            ValueError: If a row lacks something.
        """
        needed, known = ("prompt_ids", "chosen_ids", "rejected_ids"), SelectivePreferenceLoss.reference_column
        names = needed + (known,) * any(row.get(known) is not None for row in rows)  # datasets have None for nothing
        for number, row in enumerate(rows):
            missing = [name for name in names if row.get(name) is None]
            if missing:
                told = {"row": number, "names": names, "missing": missing, "optional": known}
                raise ValueError(said("row_lacks", "PreferenceCollator", **told))
        both = [(list(row["prompt_ids"]), list(row[name])) for row in rows for name in needed[1:]]
        texts = [torch.tensor(prompt + answer) for prompt, answer in both]
        labels = [torch.tensor([self.ignore_index] * len(prompt) + answer) for prompt, answer in both]
        padded = partial(pad_sequence, batch_first=True)
        batch = {
            "input_ids": padded(texts, padding_value=self.pad_token_id),
            "attention_mask": padded([torch.ones_like(text) for text in texts]),
            "labels": padded(labels, padding_value=self.ignore_index),
        }
        if known in names:
            batch[known] = torch.tensor([number for row in rows for number in row[known]])
        return batch
