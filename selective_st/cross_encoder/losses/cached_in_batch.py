"""The in-batch negatives loss for a CrossEncoder, with cached gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder.losses import CachedMultipleNegativesRankingLoss
from torch import Tensor, nn
from typing_extensions import override

from selective_st._validation import instance_of, whole_number
from selective_st.cross_encoder.losses.in_batch import _SIGMOID, SelectiveMultipleNegativesRankingLoss
from selective_st.functional._in_batch_common import MarginStrategy
from selective_st.links import Link
from selective_st.losses._loss import constructor

# Its steps are taken as they are; they ask the loss for its negatives, and for the loss of logits.
_BUILTIN = cast(Any, CachedMultipleNegativesRankingLoss)


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
    def _compose(self, settings: dict[str, Any]) -> None:
        owner = type(self).__name__
        whole_number(owner, "mini_batch_size", settings["mini_batch_size"], least=1)
        bar = settings["show_progress_bar"]
        instance_of(owner, "show_progress_bar", bar, bool, "Write show_progress_bar=True.")
        super()._compose(settings)

    @override
    def forward(  # type: ignore[override]
        self,
        inputs: Sequence[Sequence[Any]],
        labels: Tensor | list[Tensor] | None = None,
        prompt: str | None = None,
        task: str | None = None,
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
        in_batch = self._in_batch_negatives(anchors, candidates)
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
