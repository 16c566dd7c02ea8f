"""Preferences: of two answers the better one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from selective_st._caller import named
from selective_st._validation import finite_number, instance_of, one_of
from selective_st.functional import fenchel_young_loss, matching_loss, vocabulary_loss
from selective_st.links import ConstantLink, Link, SigmoidLink
from selective_st.transformers._common import LanguageModelLoss, Report

_PLAIN = ConstantLink()


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
        self.link = SigmoidLink() if self.link is None else self.link
        super().__post_init__()
        owner, link = self._owner, self.link
        if isinstance(link, ConstantLink):
            raise ValueError(
                f"{owner}: link must have a slope somewhere: with ConstantLink() the loss of every margin is 0. Use "
                "SigmoidLink(), or IdentityLink() where all margins matter alike."
            )
        if self.target_value is not None and self.target_margin is not None:
            raise ValueError(
                f"{owner}: target_value and target_margin exclude each other: the margin s stands for the value h(s). "
                "Give one of them."
            )
        name, allowed = ("target_value", link.range) if self.target_margin is None else ("target_margin", link.domain)
        given = getattr(self, name)
        target = finite_number(owner, name, 1.0 if given is None else given)
        if not allowed.low <= target <= allowed.high:
            raise ValueError(f"{owner}: {name} must lie within {allowed} for {link!r}, got {target:g}.")
        setattr(self, name, target)
        self.beta = finite_number(owner, "beta", self.beta, positive=True)
        self.sft = finite_number(owner, "sft", self.sft, nonnegative=True)
        one_of(owner, "log_probs", self.log_probs, ("sum", "mean"))

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
            raise ValueError(
                f"{self._owner}: the rows of a batch must be pairs, a chosen answer and then the rejected one, each "
                f"with a label that counts, got {len(labels)} rows, of which {len(empty)} have none {empty[:5]}. Make "
                "batches with PreferenceCollator, leave empty answers out, and shorten prompts rather than answers."
            )
        losses = vocabulary_loss(logits, labels, _PLAIN, ignore_index=self.ignore_index, reduction="none")
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
        if not isinstance(reference, Tensor) or reference.shape != log_probs.shape:
            got = tuple(reference.shape) if isinstance(reference, Tensor) else type(reference).__name__
            raise ValueError(
                f"{self._owner}: reference must be a tensor with one log-probability a row, of shape "
                f"{tuple(log_probs.shape)}, got {got}. Make it with of_reference."
            )
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
            raise self._no_reference(self.reference_column)
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
            report(
                {
                    "rewards/chosen": self.beta * chosen.detach(),
                    "rewards/rejected": self.beta * rejected.detach(),
                    "rewards/margins": scores.detach(),
                    "rewards/accuracies": (chosen > rejected).to(scores),
                    "logps/chosen": log_probs[::2].detach(),
                    "logps/rejected": log_probs[1::2].detach(),
                    **({"nll_loss": surprise.detach()} if self.sft else {}),
                }
            )
        return self._mean_of(losses, torch.ones_like(losses), num_items_in_batch, "Give it at least one pair.")


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
        instance_of("PreferenceCollator", "pad_token_id", pad_token_id, int, mend)
        self.pad_token_id = pad_token_id
        self.ignore_index = ignore_index

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
                raise ValueError(
                    f"PreferenceCollator: every row needs {', '.join(names)}, but row {number} lacks "
                    f"{', '.join(missing)}. Make them by dataset.map(...) for the whole dataset ({known} may be left "
                    "out of all), and train with remove_unused_columns=False."
                )
        texts, labels = [], []
        for row in rows:
            prompt = list(row["prompt_ids"])
            for answer in (list(row["chosen_ids"]), list(row["rejected_ids"])):
                texts.append(torch.tensor(prompt + answer))
                labels.append(torch.tensor([self.ignore_index] * len(prompt) + answer))
        padded = partial(pad_sequence, batch_first=True)
        batch = {
            "input_ids": padded(texts, padding_value=self.pad_token_id),
            "attention_mask": padded([torch.ones_like(text) for text in texts]),
            "labels": padded(labels, padding_value=self.ignore_index),
        }
        if known in names:
            batch[known] = torch.tensor([number for row in rows for number in row[known]])
        return batch
