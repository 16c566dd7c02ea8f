"""The in-batch negatives losses for late interaction, as they are and with cached gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.multi_vector_encoder.losses import (
    CachedMultiVectorMultipleNegativesRankingLoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.util import all_gather_padded, cat_padded_token_embeddings
from torch import Tensor
from typing_extensions import override

from selective_st.functional._in_batch_common import MarginStrategy
from selective_st.functional.in_batch import in_batch_loss_of_scores
from selective_st.links import Link
from selective_st.losses import _settings as settings
from selective_st.losses._loss import constructor
from selective_st.losses.in_batch import InBatchLoss, Others
from selective_st.multi_vector_encoder.losses import _scoring as late
from selective_st.multi_vector_encoder.losses._scoring import LateInteraction, TokenEmbeddings


class _Batch(NamedTuple):
    """What is compared in a batch.

    Attributes:
        queries: Those of this device.
        documents: Of all, one group a query.
        others: What else is known.
    """

    queries: TokenEmbeddings
    documents: TokenEmbeddings
    others: Others


class SelectiveMultipleNegativesRankingLoss(late.LateInteractionLoss, InBatchLoss):
    r"""Rank each query's positive above all other documents of the batch, where the late-interaction scores matter.

    With the scores S of queries and documents, and a link h of potential `G`, the loss of query i is the cross entropy
    of the composite Softmax with its positive as the label:

        log sum_j e^(scale G(S_ij)) - scale G(S_ii)

    Args:
        model: The MultiVectorEncoder to train.
        scale: The factor of the potential, 1 / temperature.
        similarity_fct: Takes query tokens (queries, tokens, dim), document tokens (queries, n, tokens, dim) and the
            keywords `queries_mask` and `documents_mask`, gives the (queries, queries * n) scores, those against the
            first query's documents first. Default: `colbert_scores` (MaxSim).
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.
        score_mini_batch_size: The most queries scored at once; None for no limit.
        gather_across_devices: Whether the other devices' documents are negatives too.
        link: What matters, positive on the scores. Default: an `ExponentialLink` with the mean value 1 on the scores
            from 0 to 32 (from 0 to 1 where scores are means over tokens), linear above.
        label_smoothing: How much of the label, 0 to 1, is spread evenly over all candidates.
        mask_same_text: Whether an in-batch document with the same tokens as the query's positive is left out, rather
            than taken for a negative.
        calibration: For teacher scores: the weight >= 0 of the calibration term.
        calibration_link: For teacher scores: the link of the calibration term. Default: `link`.
        guide: A SentenceTransformer that tells false negatives, as in
            `selective_st.losses.SelectiveMultipleNegativesRankingLoss`.
        margin: How far below the positive's cosine, by the guide, a negative's must stay.
        margin_strategy: `"absolute"` for a `margin` that is this distance, `"relative"` for a share of the positive's
            cosine.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `similarity_fct` is of another kind, the link is negative on the
            scores, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        +-------------------------------------------------+------------------------------------------------------+
        | Inputs                                          | Labels                                               |
        +=================================================+======================================================+
        | (query, positive) pairs                         | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | (query, positive, negative) triplets            | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | (query, positive, negative_1, ..., negative_n)  | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | any of these                                    | a teacher's score of each document; NaN if unknown   |
        +-------------------------------------------------+------------------------------------------------------+

    Relations:
        - With `ConstantLink()` it is `MultiVectorMultipleNegativesRankingLoss`.
        - `CachedSelectiveMultipleNegativesRankingLoss` is the same loss for batches too large to embed at once.
        - With a teacher's scores, the query's own documents are ranked and calibrated as in `SelectiveListwiseLoss`,
          and the documents of the other queries are negatives.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.multi_vector_encoder.losses import SelectiveMultipleNegativesRankingLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "positive": ["Leonardo da Vinci painted it.", "Paris is the capital of France."],
        ... })
        >>> loss = SelectiveMultipleNegativesRankingLoss(model)                                   # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    score_mini_batch_size: Any
    builtins: ClassVar[tuple[Any, ...]] = (MultiVectorMultipleNegativesRankingLoss,)
    scorer_type: ClassVar[type[Any]] = late.LateInteractionOfAll

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        scale: float = 1.0,
        similarity_fct: LateInteraction | None = None,
        mini_batch_size: int | None = None,
        score_mini_batch_size: int | None = None,
        gather_across_devices: bool = False,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
    ) -> None: ...

    @override
    def _loss(self, embeddings: list[TokenEmbeddings], others: Others) -> Tensor:
        batch = self._batch(embeddings, others)
        scores = [scores for _, scores in self._scored(batch)]
        return self._loss_of_some(batch, scores[0] if len(scores) == 1 else torch.cat(scores), 0)

    def _batch(self, embeddings: list[TokenEmbeddings], others: Others) -> _Batch:
        """What is compared in a batch, with the documents of other devices where these are gathered."""
        queries, *documents = embeddings
        if self._gathers():  # only documents, padded to the longest text of any: each device scores its own queries
            for place, column in enumerate(map(late.with_mask, documents)):
                gathered = all_gather_padded(column.embeddings, cast(Tensor, column.mask), with_grad=True)
                documents[place] = TokenEmbeddings(*gathered)
        return _Batch(queries, late.stack(documents), others)

    def _scored(self, batch: _Batch) -> Iterator[tuple[int, Tensor]]:
        """Where each part of the queries begins that is scored at once, and its scores against all documents."""
        rows = len(batch.queries)
        step = self.score_mini_batch_size or rows
        for begin in range(0, rows, step):
            yield begin, self.scorer.of_some(batch.queries, begin, step, batch.documents)

    def _loss_of_some(self, batch: _Batch, scores: Tensor, begin: int) -> Tensor:
        """What the queries from `begin` on add to the mean loss, given their scores against all documents."""
        others, groups = batch.others, len(batch.documents)
        if others.known["target_scores"] is not None:
            self._remark(scores, others.known["target_scores"])
        # Here a query's documents stand side by side; the in-batch loss wants the positives first, then each column of
        # hard negatives.
        by_column = scores.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1)
        first, weight = others.begin + begin, others.weight
        share: Any = len(scores) / len(batch.queries)
        if weight is not None:
            total, weight = weight.sum(), weight[begin : begin + len(scores)]
            share = weight.sum() / torch.where(total > 0, total, 1) * others.share
        rows, setting = (first, first + len(scores)), self.objective.setting
        loss = in_batch_loss_of_scores(setting, by_column, groups, rows=rows, weight=weight, **others.known)
        return cast(Tensor, loss * share)


@dataclass(frozen=True, kw_only=True)
class _OfAllInMiniBatches(late.LateInteractionOfAll):
    """The same, where texts are embedded in mini-batches.

    Attributes:
        mini_batch_size: How many texts are embedded at once.
        mini_batch_num_tokens: How many tokens.
    """

    mini_batch_size: int = settings.whole()
    mini_batch_num_tokens: int | None = settings.whole(None)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self._settle(score_mini_batch_size=self.score_mini_batch_size or self.mini_batch_size)


class CachedSelectiveMultipleNegativesRankingLoss(
    CachedMultiVectorMultipleNegativesRankingLoss, SelectiveMultipleNegativesRankingLoss
):
    r"""`SelectiveMultipleNegativesRankingLoss` for large batches: embedded in mini-batches, with cached gradients.

    The batch is embedded twice, mini-batch by mini-batch: once without gradients, for the loss over the whole batch and
    its gradient with respect to the embeddings (the cache); then with gradients, to carry that cache on to the
    parameters. Value and gradients are those of `SelectiveMultipleNegativesRankingLoss`.

    Args:
        model: The MultiVectorEncoder to train.
        scale: The factor of the potential, 1 / temperature.
        similarity_fct: As in `SelectiveMultipleNegativesRankingLoss`.
        mini_batch_size: How many texts are embedded at once; as large as memory allows is fastest.
        mini_batch_num_tokens: If given, mini-batches are packed up to this many tokens instead.
        score_mini_batch_size: How many queries are scored at once. Default: `mini_batch_size`.
        gather_across_devices: Whether the other devices' documents are negatives too.
        show_progress_bar: Whether to show the progress of embedding.
        link: As in `SelectiveMultipleNegativesRankingLoss`.
        label_smoothing: As in `SelectiveMultipleNegativesRankingLoss`.
        mask_same_text: As in `SelectiveMultipleNegativesRankingLoss`.
        calibration: As in `SelectiveMultipleNegativesRankingLoss`.
        calibration_link: As in `SelectiveMultipleNegativesRankingLoss`.
        guide: As in `SelectiveMultipleNegativesRankingLoss`; it embeds in mini-batches too.
        margin: As in `SelectiveMultipleNegativesRankingLoss`.
        margin_strategy: As in `SelectiveMultipleNegativesRankingLoss`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or `similarity_fct` is of another kind.

    Inputs:
        As `SelectiveMultipleNegativesRankingLoss`.

    Relations:
        - With `ConstantLink()` it is `CachedMultiVectorMultipleNegativesRankingLoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*, arXiv 2101.06983.

    Example:
        >>> from sentence_transformers import MultiVectorEncoder
        >>> from selective_st.multi_vector_encoder.losses import CachedSelectiveMultipleNegativesRankingLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> loss = CachedSelectiveMultipleNegativesRankingLoss(model, mini_batch_size=8)          # doctest: +SKIP
    """

    builtins = (MultiVectorMultipleNegativesRankingLoss, CachedMultiVectorMultipleNegativesRankingLoss)
    scorer_type = _OfAllInMiniBatches
    model: Any
    _of_batch: tuple[Tensor | None, list[Tensor] | None, list[Tensor] | None] = (None, None, None)

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        scale: float = 1.0,
        similarity_fct: LateInteraction | None = None,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        score_mini_batch_size: int | None = None,
        gather_across_devices: bool = False,
        show_progress_bar: bool = False,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
    ) -> None: ...

    @override
    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        features = list(sentence_features)
        self.objective.check_batch(len(features), 1)
        self._of_batch = labels, *self._read(features)
        try:
            return CachedMultiVectorMultipleNegativesRankingLoss.forward(self, features)
        finally:
            self._of_batch = None, None, None

    # Those of the built-in loss, which is here for how it embeds, know nothing of ours.
    get_config_dict = SelectiveMultipleNegativesRankingLoss.get_config_dict
    citation = SelectiveMultipleNegativesRankingLoss.citation

    def calculate_loss(
        self, reps: list[list[Tensor]], masks_chunks: list[list[Tensor]], *, with_backward: bool = False
    ) -> Tensor:
        """The loss over the whole batch, from its embedded mini-batches.

        Args:
            reps: For each column the embeddings of its mini-batches.
            masks_chunks: For each column the masks of its mini-batches.
            with_backward: Whether to carry the gradient back to `reps`.

        Returns:
            The mean loss, a scalar; detached if it was carried back.
        """
        columns = [
            TokenEmbeddings(*cat_padded_token_embeddings(column, masks))
            for column, masks in zip(reps, masks_chunks, strict=True)
        ]
        others = self._others(columns, *self._of_batch)
        if not with_backward:
            return self._loss(columns, others)
        batch = self._batch(columns, others)
        # All steps share how the documents were joined and gathered: the way back through that is taken once, with the
        # sum of their gradients.
        documents, leaf = batch.documents.embeddings, batch.documents.embeddings.detach().requires_grad_()
        batch = batch._replace(documents=TokenEmbeddings(leaf, batch.documents.mask))
        losses_of_steps = []
        for begin, scores in self._scored(batch):
            loss = self._loss_of_some(batch, scores, begin)
            # Outside autocast, where the trainer calls backward too.
            with torch.autocast(loss.device.type, enabled=False):
                loss.backward()  # of the queries, the steps share only joining and padding, which save no tensors
            losses_of_steps.append(loss.detach())
        torch.autograd.backward(documents, leaf.grad)
        return torch.stack(losses_of_steps).sum()
