"""What the losses of language models share: the Trainer's arguments, the default link, the config."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib import resources
from typing import Any, ClassVar

import torch
from torch import Tensor

from selective_st._validation import finite_number
from selective_st.functional import HiddenStates
from selective_st.links import ConstantLink, Link, SigmoidLink
from selective_st.losses._common import PAPER_CITATION, a_link, bibtex_entries

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
_COUNT_NOTHING = (
    "All labels are {} (but for the first of a text, which is no token's next one). Leave such texts out, or keep more "
    'of each: dataset.filter(lambda row: any(label != {} for label in row["labels"][1:])).'
)


class LanguageModelLoss:
    """What the losses of language models share: a `compute_loss_func` for the Trainer, whose fields are its settings.

    Attributes:
        link: What matters.
        ignore_index: The label of tokens that do not count.
        shift_labels: Whether each label is that of the place before.
    """

    _cites: ClassVar[tuple[str, ...]] = ()  # in templates/citations.bib
    link: Link | None
    ignore_index: int
    shift_labels: bool

    def __post_init__(self) -> None:
        """Check what all these losses have."""
        self._owner = owner = type(self).__name__
        self.link = a_link(owner, "link", probable_tokens() if self.link is None else self.link)
        for name, example in (("ignore_index", -100), ("shift_labels", True)):
            value, kind = getattr(self, name), type(example)
            if type(value) is not kind:
                raise TypeError(f"{owner}: {name} must be of type {kind.__name__}, got {value!r}. Write {example}.")

    def _logits_of(self, outputs: Any) -> Any:
        """The logits among a model's outputs, or the hidden states that `without_logits` has in their place."""
        if isinstance(outputs, Mapping):
            logits = outputs.get("logits")
        else:
            logits = outputs[0] if isinstance(outputs, (tuple, list)) and outputs else None
        if not isinstance(logits, (Tensor, HiddenStates)):
            raise TypeError(
                f"{self._owner}: outputs must be those of a language model, with logits, got {outputs!r:.60}. Give the "
                "Trainer a model such as AutoModelForCausalLM makes; with use_liger_kernel a model gives no logits."
            )
        return logits

    def _labels_of(self, labels: object, logits: Any) -> Tensor:
        """The label of each place of the logits: of the next token, if they are to be shifted."""
        labels = self._token_ids(labels).to(logits.device)
        if self.shift_labels:  # labels rather than logits, of which that would make a copy
            labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=self.ignore_index)
        return labels

    def _token_ids(self, labels: object) -> Tensor:
        """The labels, if they are a tensor of integers, or a TypeError."""
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
            got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(
                f"{self._owner}: labels must be a tensor of token ids, with {self.ignore_index} where a token does not "
                f"count, got {got}. DataCollatorForLanguageModeling(tokenizer, mlm=False) makes them."
            )
        return labels

    def _mean_of(self, losses: Tensor, counts: Tensor, num_items_in_batch: Any, advice: str = _COUNT_NOTHING) -> Tensor:
        """The sum of the losses, over how many items the whole batch has, all accumulated steps and processes together.

        Args:
            losses: The losses of the items that this call has, 0 where one does not count.
            counts: Which count.
            num_items_in_batch: How many there are altogether; None for those that count here.
            advice: What to do where nothing counts. Default: what to do where no token does.

        Returns:
            The mean; 0 if nothing counts where no gradient is wanted, as in an evaluation.

        Raises:
            ValueError: If nothing counts in a training.
        """
        items = counts.sum() if num_items_in_batch is None else num_items_in_batch
        items = torch.as_tensor(items, device=losses.device).flatten()[0]  # for DataParallel it is given repeatedly
        if items > 0:
            return losses.sum() / items
        problem = f"{self._owner}: nothing in the batch counts. {advice.format(*[self.ignore_index] * 2)}"
        if torch.is_grad_enabled():
            raise ValueError(problem)
        logger.warning(f"{problem} In this evaluation the batch has the loss 0.")  # no reason to end a training
        return losses.sum()

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        return {name: value.get_config_dict() if isinstance(value, Link) else value for name, value in settings.items()}

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, and on what this one generalises."""
        entries = bibtex_entries(resources.files("selective_st").joinpath("templates/citations.bib").read_text("utf-8"))
        cited = [entry for entry in entries if entry.partition("{")[2].partition(",")[0] in self._cites]
        return "\n".join([PAPER_CITATION, *cited])

    def _no_reference(self, column: str) -> ValueError:
        owner = self._owner
        return ValueError(
            f"{owner}: got no reference to compare with, which a Trainer does not hand over. Use "
            f"ReferenceTrainer(model, args, reference_model=..., compute_loss_func={owner}(...)) from "
            f"selective_st.transformers; a column {column} of the dataset needs it too, and is kept by "
            "remove_unused_columns=False."
        )
