"""What the losses of language models share: the Trainer's arguments, the default link, the config."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from selective_st._validation import finite_number
from selective_st.functional import HiddenStates
from selective_st.links import ConstantLink, Link, SigmoidLink
from selective_st.losses._common import PAPER_CITATION
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
        raise ValueError(
            f"{owner}: strength must be above 1 and above below 1, got {strength:g} and {above:g}. Where all tokens "
            "matter alike, use ConstantLink()."
        )
    link = ConstantLink() + (strength - 1) * SigmoidLink(1.0, math.log(above))
    return link.normalized(_LOWEST, 0.0, of="value")


# Takes what else a loss finds of each of its items, by the names that it has in the log.
Report = Callable[[dict[str, Tensor]], None]


class LanguageModelLoss(ABC):
    """What the losses of language models share: a `compute_loss_func` for the Trainer, with its settings.

    Attributes:
        link: What matters.
        ignore_index: The label of tokens that do not count.
        shift_labels: Whether each label is that of the place before.
    """

    _settings: ClassVar[tuple[str, ...]]
    _citation: ClassVar[str] = ""

    def __init__(self, link: Link, ignore_index: int, shift_labels: bool) -> None:
        """Check and keep what all these losses have."""
        self._owner = owner = type(self).__name__
        self.link = a_link(owner, "link", link)
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise TypeError(f"{owner}: ignore_index must be an integer, got {ignore_index!r}.")
        if not isinstance(shift_labels, bool):
            raise TypeError(f"{owner}: shift_labels must be True or False, got {shift_labels!r}.")
        self.ignore_index = ignore_index
        self.shift_labels = shift_labels

    def _logits_of(self, outputs: object) -> Any:
        """The logits among a model's outputs, or the hidden states that `without_logits` has in their place."""
        logits = None
        if isinstance(outputs, Mapping):
            logits = outputs.get("logits")
            got = f"a mapping with the keys {', '.join(map(str, outputs))}"
        elif isinstance(outputs, (tuple, list)) and outputs:
            logits = outputs[0]
            got = f"a {type(outputs).__name__} that begins with {type(logits).__name__}"
        else:
            got = type(outputs).__name__
        if not isinstance(logits, (Tensor, HiddenStates)):
            raise TypeError(
                f"{self._owner}: outputs must be those of a language model, with logits, got {got}. Give the Trainer a "
                "model such as AutoModelForCausalLM makes; with use_liger_kernel a model gives no logits."
            )
        if logits.dim() != 3 or not logits.numel():
            raise ValueError(
                f"{self._owner}: logits must have shape (texts, tokens, vocabulary) with at least one of each, got "
                f"{tuple(logits.shape)}."
            )
        return logits

    def _labels_of(self, labels: object, logits: Any) -> Tensor:
        """The label of each place of the logits: of the next token, if they are to be shifted."""
        if labels is None:
            raise ValueError(
                f'{self._owner}: got no labels. The batch needs "labels": the token ids, and {self.ignore_index} where '
                "a token does not count; DataCollatorForLanguageModeling(tokenizer, mlm=False) makes them."
            )
        labels = self._token_ids(labels)
        if labels.shape != logits.shape[:-1]:
            raise ValueError(
                f"{self._owner}: labels must have the shape (texts, tokens) of the logits, {tuple(logits.shape[:-1])}, "
                f"got {tuple(labels.shape)}. The model must give logits for every token: leave logits_to_keep out."
            )
        labels = labels.to(logits.device)
        if self.shift_labels:  # labels rather than logits, of which that would make a copy
            labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=self.ignore_index)
        return labels

    def _token_ids(self, labels: object) -> Tensor:
        """The labels, if they are a tensor of integers, or a TypeError."""
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
            got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(f"{self._owner}: labels must be a tensor of token ids, got {got}.")
        return labels

    def _mean_of(self, losses: Tensor, counts: Tensor, num_items_in_batch: object, advice: str = "") -> Tensor:
        """The sum of the losses, over how many items the whole batch has, all accumulated steps and processes together.

        Args:
            losses: The losses of the items that this call has, 0 where one does not count.
            counts: Which count.
            num_items_in_batch: How many there are altogether; None for those that count here.
            advice: What to do where nothing counts. Default: what to do where no token does.

        Returns:
            The mean; 0 if nothing counts where no gradient is wanted, as in an evaluation.

        Raises:
            TypeError: If the number is none.
            ValueError: If nothing counts in a training.
        """
        items = num_items_in_batch
        if items is None:
            items = counts.sum()
        elif isinstance(items, bool) or not isinstance(items, (int, float, Tensor)):
            raise TypeError(
                f"{self._owner}: num_items_in_batch must be a number, or a tensor with one, got {type(items).__name__}."
            )
        number = torch.as_tensor(items, device=losses.device).flatten()[:1]  # for DataParallel it is given repeatedly
        if bool((number > 0).all()) and len(number):
            return losses.sum() / number.squeeze(0)
        ignored = self.ignore_index
        advice = advice or (
            f"All labels are {ignored} (but for the first of a text, which is no token's next one). Leave such texts "
            f"out, or keep more of each: dataset.filter(lambda row: any(label != {ignored} for label in "
            'row["labels"][1:])).'
        )
        if torch.is_grad_enabled():
            raise ValueError(f"{self._owner}: nothing in the batch counts. {advice}")
        # In an evaluation, which is no reason to end a training.
        logger.warning(f"{self._owner}: nothing in a batch of the evaluation counts, so that its loss is 0. {advice}")
        return losses.sum()

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable."""
        settings = {name: getattr(self, name) for name in (*self._settings, "ignore_index", "shift_labels")}
        return {name: value.get_config_dict() if isinstance(value, Link) else value for name, value in settings.items()}

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, and on what this one generalises."""
        return PAPER_CITATION + self._citation


class ReferenceLoss(LanguageModelLoss):
    """A loss that compares with a second model; `ReferenceTrainer` runs it.

    Attributes:
        reference_column: The entry of a batch that holds what `of_reference` gives, where it has been computed before.
    """

    reference_column: str

    @abstractmethod
    def of_reference(self, outputs: Any, labels: Tensor | None) -> Any:
        """What the loss needs of the second model's outputs, in as little memory as it can be had.

        Args:
            outputs: What the second model gave for the same inputs.
            labels: Token ids of shape (texts, tokens).

        Returns:
            What `__call__` takes as `reference`.
        """

    @abstractmethod
    def number_of_items(self, labels: Tensor) -> int:
        """How many items of the loss a batch with these labels has."""

    @abstractmethod
    def __call__(
        self,
        outputs: Any,
        labels: Tensor | None,
        num_items_in_batch: Tensor | int | float | None = None,
        *,
        reference: Any = None,
        report: Report | None = None,
    ) -> Tensor:
        """The loss of one batch."""

    def _no_reference(self) -> ValueError:
        owner = self._owner
        return ValueError(
            f"{owner}: got no reference to compare with, which a Trainer does not hand over. Use "
            f"ReferenceTrainer(model, args, reference_model=..., compute_loss_func={owner}(...)) from "
            f"selective_st.transformers; a column {self.reference_column} of the dataset needs it too, and is kept by "
            "remove_unused_columns=False."
        )
