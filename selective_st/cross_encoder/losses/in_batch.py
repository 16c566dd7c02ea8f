"""The in-batch negatives losses for a CrossEncoder, as they are and with cached gradients."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder.losses import CachedMultipleNegativesRankingLoss
from torch import Tensor, nn
from typing_extensions import override

from selective_st._caller import named
from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss, Documents, TextPairs
from selective_st.functional import listwise_label_loss
from selective_st.functional._in_batch_common import MarginStrategy
from selective_st.links import Link
from selective_st.losses import _settings as settings
from selective_st.losses._common import labels_and_weight, sentence
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Objective

_SIGMOID = nn.Sigmoid()
# Its steps are taken as they are; they ask the loss for its negatives, and for the loss of logits.
_BUILTIN = cast(Any, CachedMultipleNegativesRankingLoss)


@dataclass(frozen=True, kw_only=True)
class DrawnNegatives(Objective):
    """The first document of each row above the others.

    Attributes:
        num_negatives: How many in-batch negatives are drawn for each anchor; None for all.
        scale: The factor of the potential.
        label_smoothing: How much of the label is spread evenly over all documents.
    """

    columns = range(2, sys.maxsize)
    columns_said = "columns_in_batch"
    link_is_positive = True
    num_negatives: int | None = settings.whole(None)
    scale: float = settings.positive()
    label_smoothing: float = settings.smoothing()

    @override
    @named()
    def loss_of(self, scores: Tensor, targets: Any, weight: Tensor | None) -> Tensor:
        """The mean loss of scores; targets are a mask of the documents that count, or None for all."""
        self.check_positive(scores)
        return listwise_label_loss(
            scores,
            torch.zeros(len(scores), dtype=torch.long, device=scores.device),
            self.link,
            1 / self.scale,
            label_smoothing=self.label_smoothing,
            mask=None if targets is None else targets.to(scores.device),
            weight=None if weight is None else weight.to(scores.device),
        )


class SelectiveMultipleNegativesRankingLoss(CrossEncoderLoss):
    r"""Rank each anchor's positive above other documents of the batch, where the scores matter.

    With the scores p of the anchor's positive (k = 0) and of its negatives, and a link h of potential `G`, the loss of
    an anchor is the cross entropy of the composite Softmax with its positive as the label:

        log sum_k e^(scale G(p_k)) - scale G(p_0)

    The model reads each pair of texts, so that only some of the other rows' documents, drawn at random, are negatives.

    Args:
        model: The CrossEncoder to train, with one output label.
        num_negatives: How many in-batch negatives are drawn for each anchor; None for all.
        scale: The factor of the potential, 1 / temperature.
        activation_fn: Applied to the logits; None for none.
        link: What matters, positive on the scores. Default: `ExponentialLink(1.0)` with the mean value 1 on the scores
            from 0 to 1; for scores without an upper end half a constant and `SigmoidLink(scale=1, shift=0)`.
        label_smoothing: How much of the label, 0 to 1, is spread evenly over all documents.
        mask_same_text: Whether an in-batch document with the text of the anchor's positive is left out, rather than
            taken for a negative.
        guide: A SentenceTransformer that tells false negatives: what its cosine puts nearer to the anchor than the
            positive, less `margin`, is left out, rather than taken for a negative. It embeds the batch's texts.
        margin: How far below the positive's cosine, by the guide, a negative's must stay.
        margin_strategy: `"absolute"` for a `margin` that is this distance, `"relative"` for a share of the positive's
            cosine.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has several output labels, an argument is out of range, the link is negative on the
            scores, or (when a batch comes) there are fewer than two columns.

    Inputs:
        +-------------------------------------------------+------------------------------------------------------+
        | Inputs                                          | Labels                                               |
        +=================================================+======================================================+
        | (anchor, positive) pairs                        | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | (anchor, positive, negative) triplets           | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | (anchor, positive, negative_1, ..., negative_n) | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+

    Relations:
        - With `ConstantLink()` it is `MultipleNegativesRankingLoss`, with the same negatives from the same seed.
        - With a `guide` the negatives are those of `GISTEmbedLoss`.
        - `CachedSelectiveMultipleNegativesRankingLoss` is the same loss for batches too large to read at once.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectiveMultipleNegativesRankingLoss
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=1)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["What are pandas?", "What is the capital of France?"],
        ...     "answer": ["Pandas are a kind of bear.", "The capital of France is Paris."],
        ... })
        >>> loss = SelectiveMultipleNegativesRankingLoss(model)                                   # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    objective_type = DrawnNegatives
    # The sampling of the built-in loss, which reads nothing of the loss but num_negatives.
    get_in_batch_negatives: Any = _BUILTIN.get_in_batch_negatives

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        num_negatives: int | None = 4,
        scale: float = 10.0,
        activation_fn: nn.Module | None = _SIGMOID,
        *,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
    ) -> None: ...

    @override
    def forward(  # type: ignore[override]
        self, inputs: Sequence[Sequence[Any]], labels: Any = None, prompt: str | None = None, task: str | None = None
    ) -> Tensor:
        weight = self._check_inputs(inputs, labels)
        queries, positives, *hard_negatives = inputs
        in_batch = self.get_in_batch_negatives(queries, inputs[1:])
        columns = [positives, *in_batch, *hard_negatives]
        pairs = [pair for column in columns for pair in zip(queries, column, strict=True)]
        scores = self.scorer.scores(self.model, Documents(pairs, len(queries), None), prompt, task)
        mask = self._mask(inputs, in_batch)
        loss: Tensor = self.objective.loss_of(scores.view(len(queries), -1), mask, weight)
        return loss

    def _check_inputs(self, inputs: Sequence[Sequence[Any]], labels: object) -> Tensor | None:
        """The rows' weights; a ValueError if columns or rows are missing; says once that labels are not used."""
        rows = len(inputs[0]) if inputs else 0
        self.objective.check_batch(len(inputs), rows)
        labels, weight = labels_and_weight(type(self).__name__, labels, None, rows)
        if labels is not None:
            self.say(sentence("unused_labels"))
        return weight

    def _mask(self, inputs: Sequence[Sequence[Any]], in_batch: Sequence[Sequence[Any]]) -> Tensor | None:
        """Which documents count: all but false negatives, by the text of the row's positive or the guide; None: all."""
        if not self.mask_same_text and self._guide is None:
            return None
        queries, positives, *hard_negatives = inputs
        mask = torch.ones(len(positives), 1 + len(in_batch) + len(hard_negatives), dtype=torch.bool)
        for place, column in enumerate(in_batch if self.mask_same_text else (), start=1):
            mask[:, place] = torch.tensor([text != positive for text, positive in zip(column, positives, strict=True)])
        if self._guide is not None:
            mask &= self._guide.keep_texts([queries, positives, *in_batch, *hard_negatives]).cpu()
        return mask


@dataclass(frozen=True, kw_only=True)
class _PairsInMiniBatches(TextPairs):
    """The same, where pairs are read in mini-batches.

    Attributes:
        mini_batch_size: How many pairs the model reads at once.
    """

    mini_batch_size: int = settings.whole()


class CachedSelectiveMultipleNegativesRankingLoss(SelectiveMultipleNegativesRankingLoss):
    r"""`SelectiveMultipleNegativesRankingLoss` for large batches: pairs read in mini-batches, with cached gradients.

    The model reads the pairs twice, mini-batch by mini-batch: once without gradients, for the loss of the whole batch
    and its gradient with respect to the logits (the cache); then with gradients and the same dropout, to carry that
    cache on to the parameters. Value and gradients are those of `SelectiveMultipleNegativesRankingLoss`.

    Args:
        model: The CrossEncoder to train, with one output label.
        num_negatives: How many in-batch negatives are drawn for each anchor; None for all.
        scale: The factor of the potential, 1 / temperature.
        activation_fn: Applied to the logits; None for none.
        mini_batch_size: How many pairs the model reads at once; as large as memory allows is fastest.
        show_progress_bar: Whether to show the progress of reading.
        link: As in `SelectiveMultipleNegativesRankingLoss`.
        label_smoothing: As in `SelectiveMultipleNegativesRankingLoss`.
        mask_same_text: As in `SelectiveMultipleNegativesRankingLoss`.
        guide: As in `SelectiveMultipleNegativesRankingLoss`.
        margin: As in `SelectiveMultipleNegativesRankingLoss`.
        margin_strategy: As in `SelectiveMultipleNegativesRankingLoss`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has several output labels, an argument is out of range, the link is negative on the
            scores, or (when a batch comes) there are fewer than two columns.

    Inputs:
        As `SelectiveMultipleNegativesRankingLoss`.

    Relations:
        - With `ConstantLink()` it is `CachedMultipleNegativesRankingLoss`, with the same negatives from the same seed.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*, arXiv 2101.06983.

    Example:
        >>> from sentence_transformers import CrossEncoder
        >>> from selective_st.cross_encoder.losses import CachedSelectiveMultipleNegativesRankingLoss
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=1)                            # doctest: +SKIP
        >>> loss = CachedSelectiveMultipleNegativesRankingLoss(model, mini_batch_size=64)         # doctest: +SKIP
    """

    uses_gradient_cache = True
    scorer_type = _PairsInMiniBatches
    predict_minibatch = _BUILTIN.predict_minibatch
    predict_minibatch_iter = _BUILTIN.predict_minibatch_iter
    embed_minibatch_iter = _BUILTIN.embed_minibatch_iter
    calculate_loss_and_cache_gradients = _BUILTIN.calculate_loss_and_cache_gradients
    _kept: Tensor | None = None
    _weight: Tensor | None = None

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        num_negatives: int | None = 4,
        scale: float = 10.0,
        activation_fn: nn.Module | None = _SIGMOID,
        mini_batch_size: int = 32,
        show_progress_bar: bool = False,
        *,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
    ) -> None: ...

    @override
    def forward(  # type: ignore[override]
        self, inputs: Sequence[Sequence[Any]], labels: Any = None, prompt: str | None = None, task: str | None = None
    ) -> Tensor:
        self._weight = self._check_inputs(inputs, labels)
        try:
            loss: Tensor = _BUILTIN.forward(self, [list(column) for column in inputs], None, prompt, task)
        finally:
            self._kept = self._weight = None
        return loss

    def get_in_batch_negatives(
        self, anchors: Sequence[Any], candidates: Sequence[Sequence[Any]]
    ) -> list[Sequence[Any]]:
        """The negatives of each anchor, in columns, drawn as the built-in loss draws them.

        Args:
            anchors: The anchors.
            candidates: The columns of positives and of any hard negatives.

        Returns:
            The columns of negatives.
        """
        in_batch = list(_BUILTIN.get_in_batch_negatives(self, anchors, candidates))
        self._kept = self._mask([anchors, *candidates], in_batch)
        return in_batch

    def calculate_loss(self, logits: Sequence[Tensor], batch_size: int) -> Tensor:
        """The loss over the whole batch, from the logits of its mini-batches.

        Args:
            logits: The logits, column by column.
            batch_size: How many anchors there are.

        Returns:
            The mean loss, a scalar.
        """
        scores = self.scorer.activated(torch.cat(list(logits))).view(-1, batch_size).T
        loss: Tensor = self.objective.loss_of(scores, self._kept, self._weight)
        return loss
