"""Preferences: of two answers the better one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor
from typing_extensions import override

from selective_st._caller import named
from selective_st._validation import finite_number
from selective_st.functional import fenchel_young_loss, matching_loss, vocabulary_loss
from selective_st.links import ConstantLink, Link, SigmoidLink
from selective_st.transformers._common import ReferenceLoss, Report

_PLAIN = ConstantLink()
_PREFERENCES = """
@misc{rafailov2023direct,
    title={Direct Preference Optimization: Your Language Model is Secretly a Reward Model},
    author={Rafael Rafailov and Archit Sharma and Eric Mitchell and Stefano Ermon and Christopher D. Manning and
        Chelsea Finn},
    year={2023},
    eprint={2305.18290},
    archivePrefix={arXiv},
    primaryClass={cs.LG},
    url={https://arxiv.org/abs/2305.18290},
}

@misc{azar2023general,
    title={A General Theoretical Paradigm to Understand Learning from Human Preferences},
    author={Mohammad Gheshlaghi Azar and Mark Rowland and Bilal Piot and Daniel Guo and Daniele Calandriello and
        Michal Valko and Rémi Munos},
    year={2023},
    eprint={2310.12036},
    archivePrefix={arXiv},
    primaryClass={cs.AI},
    url={https://arxiv.org/abs/2310.12036},
}
"""


class SelectivePreferenceLoss(ReferenceLoss):
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

    reference_column = "reference_log_probs"
    _settings = ("link", "beta", "target_value", "target_margin", "log_probs", "sft")
    _citation = _PREFERENCES

    def __init__(
        self,
        link: Link | None = None,
        beta: float = 0.1,
        *,
        target_value: float | None = None,
        target_margin: float | None = None,
        log_probs: Literal["sum", "mean"] = "sum",
        sft: float = 0.0,
        ignore_index: int = -100,
        shift_labels: bool = True,
    ) -> None:
        super().__init__(SigmoidLink() if link is None else link, ignore_index, shift_labels)
        owner = self._owner
        if isinstance(self.link, ConstantLink):
            raise ValueError(
                f"{owner}: link must have a slope somewhere: with ConstantLink() the loss of every margin is 0. Use "
                "SigmoidLink(), or IdentityLink() where all margins matter alike."
            )
        self.beta = finite_number(owner, "beta", beta, positive=True)
        if target_value is not None and target_margin is not None:
            raise ValueError(
                f"{owner}: target_value and target_margin exclude each other: the margin s stands for the value h(s). "
                "Give one of them."
            )
        if target_margin is not None:
            target_margin = finite_number(owner, "target_margin", target_margin)
            if not self.link.domain.low <= target_margin <= self.link.domain.high:
                raise ValueError(
                    f"{owner}: target_margin must lie within the domain {self.link.domain} of {self.link!r}, got "
                    f"{target_margin:g}."
                )
        else:
            target_value = finite_number(owner, "target_value", 1.0 if target_value is None else target_value)
            if not self.link.range.low <= target_value <= self.link.range.high:
                raise ValueError(
                    f"{owner}: target_value must lie within the range {self.link.range} of {self.link!r}, got "
                    f"{target_value:g}. Or give the margin to be reached: target_margin=..."
                )
        if log_probs not in ("sum", "mean"):
            raise ValueError(f"{owner}: log_probs must be 'sum' or 'mean', over an answer's tokens, got {log_probs!r}.")
        self.log_probs = log_probs
        self.sft = finite_number(owner, "sft", sft, nonnegative=True)
        self.target_value = target_value
        self.target_margin = target_margin

    @override
    def number_of_items(self, labels: Tensor) -> int:
        """How many pairs a batch has."""
        return len(labels) // 2

    @override
    @named(vocabulary_matching_loss="SelectiveDistillationLoss")
    def of_reference(self, outputs: Any, labels: Tensor | None) -> Tensor:
        """The log-probability of each row's answer.

        Args:
            outputs: What a model gave: a mapping with `logits`, or a tuple that begins with them.
            labels: Token ids of shape (rows, tokens).

        Returns:
            The sum of the log-probabilities of the tokens that count, or their mean, of shape (rows,).
        """
        return self._measured(*self._sums_and_counts(outputs, labels))

    def _measured(self, sums: Tensor, counts: Tensor) -> Tensor:
        return sums if self.log_probs == "sum" else sums / counts

    def _sums_and_counts(self, outputs: Any, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The log-probability of each row's answer, and how many tokens it has."""
        owner, logits = self._owner, self._logits_of(outputs)
        labels = self._labels_of(labels, logits)
        if len(labels) % 2:
            raise ValueError(
                f"{owner}: the rows of a batch must be pairs, the chosen answer and then the rejected one, but there "
                f"are {len(labels)} rows. Make batches with PreferenceCollator."
            )
        counts = (labels != self.ignore_index).sum(-1)
        empty = counts == 0
        if bool(empty.any()):
            rows = ", ".join(map(str, empty.nonzero().flatten().tolist()[:5]))
            raise ValueError(
                f"{owner}: every answer needs a label that counts, but all labels are {self.ignore_index} in row(s) "
                f"{rows} of the batch. Leave empty answers out, and shorten prompts rather than answers."
            )
        losses = vocabulary_loss(logits, labels, _PLAIN, ignore_index=self.ignore_index, reduction="none")
        return -losses.sum(-1), counts

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
        owner = type(self).__name__
        if not isinstance(reference, Tensor) or not reference.is_floating_point():
            got = reference.dtype if isinstance(reference, Tensor) else type(reference).__name__
            raise TypeError(f"{owner}: reference must be a tensor of log-probabilities, got {got}.")
        if reference.shape != log_probs.shape:
            raise ValueError(
                f"{owner}: reference must hold one log-probability a row, of shape {tuple(log_probs.shape)}, got "
                f"{tuple(reference.shape)}. Make it with of_reference."
            )
        chosen, rejected = (log_probs - reference.detach().to(log_probs)).view(-1, 2).unbind(1)
        return chosen, rejected

    @override
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
            raise self._no_reference()
        sums, counts = self._sums_and_counts(outputs, labels)
        log_probs = self._measured(sums, counts)
        chosen, rejected = self._log_ratios(log_probs, reference)
        scores = self.beta * (chosen - rejected)
        if self.target_value is not None:
            targets = torch.full_like(scores, self.target_value)
            losses = fenchel_young_loss(scores, targets, self.link, reduction="none")
        else:
            targets = torch.full_like(scores, cast(float, self.target_margin))
            losses = matching_loss(scores, targets, self.link, reduction="none")
        surprise = -sums[::2] / counts[::2]  # of a token of the chosen answer
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
        for name, value in (("pad_token_id", pad_token_id), ("ignore_index", ignore_index)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(
                    f"PreferenceCollator: {name} must be an integer, got {value!r}. A tokenizer without a padding "
                    "token can pad with any other: pad_token_id=tokenizer.eos_token_id."
                )
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
            ValueError: If there is no row, or one lacks something.
        """
        if not rows:
            raise ValueError("PreferenceCollator: rows must hold at least one pair, got none. Leave empty batches out.")
        texts: list[tuple[list[int], list[int]]] = []
        for number, row in enumerate(rows):
            missing = [name for name in ("prompt_ids", "chosen_ids", "rejected_ids") if row.get(name) is None]
            if missing:
                raise ValueError(
                    f"PreferenceCollator: every row needs prompt_ids, chosen_ids and rejected_ids, but row {number} "
                    f"lacks {', '.join(missing)} and has {', '.join(row) or 'nothing'}. Tokenize the dataset by "
                    "dataset.map(...), and train with remove_unused_columns=False."
                )
            prompt = list(row["prompt_ids"])
            texts += [(prompt, list(row["chosen_ids"])), (prompt, list(row["rejected_ids"]))]
        length = max((len(prompt) + len(answer) for prompt, answer in texts), default=0)
        padding = [length - len(prompt) - len(answer) for prompt, answer in texts]
        pad, ignored = self.pad_token_id, self.ignore_index
        parts = list(zip(texts, padding, strict=True))
        batch = {
            "input_ids": torch.tensor([prompt + answer + [pad] * rest for (prompt, answer), rest in parts]),
            "attention_mask": torch.tensor([[1] * (length - rest) + [0] * rest for rest in padding]),
            "labels": torch.tensor(
                [[ignored] * len(prompt) + answer + [ignored] * rest for (prompt, answer), rest in parts]
            ),
        }
        name = SelectivePreferenceLoss.reference_column
        known = [row.get(name) is not None for row in rows]  # None is what datasets put where a row has none
        if any(known) and not all(known):
            raise ValueError(
                f"PreferenceCollator: either all rows or none must have {name}, but row {known.index(False)} lacks it. "
                "Compute it for the whole dataset, or leave it out and give a reference_model."
            )
        if any(known):
            batch[name] = torch.tensor([number for row in rows for number in row[name]])
        return batch
