"""The in-batch negatives loss modules for late interaction, as they are and with cached gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.multi_vector_encoder.losses import (
    CachedMultiVectorMultipleNegativesRankingLoss,
    MultiVectorMultipleNegativesRankingLoss,
)
from sentence_transformers.util import (
    all_gather,
    all_gather_padded,
    cat_padded_token_embeddings,
    get_rank,
    similarity_fct_name,
)
from torch import Tensor
from typing_extensions import override

from selective_st import losses
from selective_st.functional._common import at_least_single
from selective_st.functional._in_batch_common import InBatchSetting, Keep, MarginStrategy
from selective_st.functional.in_batch import in_batch_loss_of_scores
from selective_st.links import Link
from selective_st.losses._common import builtin_citation, labels_and_weight
from selective_st.multi_vector_encoder.losses._late_interaction import (
    LateInteractionLoss,
    check_size,
    column_sizes,
    is_plain,
)
from selective_st.multi_vector_encoder.losses._scoring import (
    ALL,
    LateInteraction,
    TokenEmbeddings,
    all_scores,
    check_scoring,
    list_link_for,
    rows_of,
    stack,
    with_mask,
)


class SelectiveMultipleNegativesRankingLoss(LateInteractionLoss, losses.SelectiveMultipleNegativesRankingLoss):
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

    builtin = MultiVectorMultipleNegativesRankingLoss
    scoring_kind = ALL
    model: Any  # each base class has its own type of model

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
    ) -> None:
        owner = type(self).__name__
        similarity_fct = check_scoring(owner, similarity_fct, self.scoring_kind)
        super().__init__(
            cast(Any, model),
            scale,
            similarity_fct,
            gather_across_devices,
            link=list_link_for(similarity_fct) if link is None else link,
            label_smoothing=label_smoothing,
            mask_same_text=mask_same_text,
            calibration=calibration,
            calibration_link=calibration_link,
            guide=guide,
            margin=margin,
            margin_strategy=margin_strategy,
        )
        self._set_scorer(owner, model, similarity_fct, mini_batch_size)
        check_size(owner, "score_mini_batch_size", score_mini_batch_size)
        self.score_mini_batch_size = score_mini_batch_size

    @override
    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: None, or a teacher's scores.

        Returns:
            The mean loss, a scalar.
        """
        features = list(sentence_features)
        guided = None if self._guide is None else self._guide.embed(features, self.mini_batch_size)
        return self.compute_loss_from_embeddings(self.embed(features), labels, self._document_ids(features), guided)

    @override
    def compute_loss_from_embeddings(  # type: ignore[override]
        self,
        embeddings: list[TokenEmbeddings],
        labels: Tensor | None,
        document_ids: list[Tensor] | None = None,
        guide_embeddings: list[Tensor] | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: For each column the embeddings of its tokens: queries, positives, then any hard negatives.
            labels: None; or a teacher's scores of each row's documents, of shape (batch_size, documents).
            document_ids: For each column of documents one integer a row, the same for the same text: an in-batch
                document with the text of the positive is left out. None: nothing is.
            guide_embeddings: The guide's embeddings of each column, where the loss has a guide.
            weight: Weights >= 0 of the rows, of shape (batch_size,), for the mean. They may come with the labels too:
                `{"label": labels, "weight": weight}`, as `with_row_weights` has them collated.

        Returns:
            The mean loss, a scalar.
        """
        batch = self._batch(embeddings, labels, document_ids, guide_embeddings, weight)
        rows = len(batch.queries.embeddings)
        step = self.score_mini_batch_size or rows
        scores = [self._scores(batch, begin, min(begin + step, rows)) for begin in range(0, rows, step)]
        return self._loss_of_scores(batch, scores[0] if len(scores) == 1 else torch.cat(scores), 0)

    def _batch(
        self,
        embeddings: list[TokenEmbeddings],
        labels: Tensor | None,
        document_ids: list[Tensor] | None,
        guide_embeddings: list[Tensor] | None,
        weight: Tensor | None = None,
    ) -> _Batch:
        """What is compared in a batch, with the documents of other devices where these are gathered."""
        columns, rows = column_sizes(embeddings)
        self._check_columns(columns, rows)
        labels, weight = labels_and_weight(type(self).__name__, labels, weight, rows)
        queries, *documents = embeddings
        target_scores = self._target_scores(labels, rows, columns - 1)
        guided = self._guide_embeddings(guide_embeddings, rows, columns)
        first = 0
        if self._gathers():
            device = queries.embeddings.device
            self._check_same_everywhere(device, rows, columns, target_scores, document_ids, weight)
            first = get_rank() * rows
            # Only documents: each device scores its own queries.
            documents = [_gather_tokens(column) for column in documents]
            target_scores = None if target_scores is None else all_gather(target_scores)
            document_ids = None if document_ids is None else [all_gather(ids) for ids in document_ids]
            guided = None if guided is None else self._gathered(guided, first, all_gather)
        return _Batch(
            queries,
            stack(documents),
            first,
            target_scores,
            None if document_ids is None else torch.cat(document_ids),
            None if guided is None or self._guide is None else self._guide.guidance(guided).keep,
            weight,
            1.0 if weight is None else self._share(weight.to(at_least_single(queries.embeddings))),
        )

    def _scores(self, batch: _Batch, begin: int, end: int) -> Tensor:
        """The scores of some queries against all documents."""
        return all_scores(rows_of(batch.queries, begin, end), batch.documents, self.similarity_fct)

    def _loss_of_scores(self, batch: _Batch, scores: Tensor, begin: int) -> Tensor:
        """What the queries from `begin` on add to the mean loss, given their scores against all documents."""
        if batch.target_scores is not None and not is_plain(self.link, self.calibration, self.calibration_link):
            self._check_scale(scores, batch.target_scores)
        groups, columns = batch.documents.embeddings.shape[:2]
        # Here a query's documents stand side by side; the in-batch loss wants the positives first, then each column of
        # hard negatives.
        by_column = scores.unflatten(1, (groups, columns)).transpose(1, 2).flatten(1)
        first = batch.first + begin
        weight, rows = batch.weight, len(batch.queries.embeddings)
        loss = in_batch_loss_of_scores(
            InBatchSetting(
                self.link, self.scale, self.options, self.calibration, self.calibration_link, normalize=False
            ),
            by_column,
            groups,
            rows=(first, first + len(scores)),
            target_scores=batch.target_scores,
            document_ids=batch.document_ids,
            keep=batch.keep,
            weight=None if weight is None else weight[begin : begin + len(scores)],
        )
        if weight is None:
            return loss * (len(scores) / rows)
        whole = weight.sum()
        part = weight[begin : begin + len(scores)].sum() / torch.where(whole > 0, whole, 1)
        return loss * part * batch.share

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {
            "scale": self.scale,
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            "mini_batch_size": self.mini_batch_size,
            "score_mini_batch_size": self.score_mini_batch_size,
            "gather_across_devices": self.gather_across_devices,
            "link": self.link.get_config_dict(),
            "label_smoothing": self.label_smoothing,
            "mask_same_text": self.mask_same_text,
            **self._calibration_config(),
            **self._guide_config(),
        }


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

    model: Any
    mini_batch_size: Any
    score_mini_batch_size: Any

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
    ) -> None:
        # Not that of the built-in loss, which is here for how it embeds.
        SelectiveMultipleNegativesRankingLoss.__init__(
            self,
            model,
            scale=scale,
            similarity_fct=similarity_fct,
            mini_batch_size=mini_batch_size,
            score_mini_batch_size=mini_batch_size if score_mini_batch_size is None else score_mini_batch_size,
            gather_across_devices=gather_across_devices,
            link=link,
            label_smoothing=label_smoothing,
            mask_same_text=mask_same_text,
            calibration=calibration,
            calibration_link=calibration_link,
            guide=guide,
            margin=margin,
            margin_strategy=margin_strategy,
        )
        owner = type(self).__name__
        if mini_batch_size is None:
            raise ValueError(
                f"{owner}: mini_batch_size must be a whole number > 0, got None. Without mini-batches use "
                "SelectiveMultipleNegativesRankingLoss."
            )
        check_size(owner, "mini_batch_num_tokens", mini_batch_num_tokens)
        self.mini_batch_num_tokens = mini_batch_num_tokens
        self.show_progress_bar = show_progress_bar
        self._of_batch: tuple[Tensor | None, list[Tensor] | None, list[Tensor] | None] = (None, None, None)

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: None, or a teacher's scores.

        Returns:
            The mean loss, a scalar; its backward embeds the batch again.
        """
        features = list(sentence_features)
        self._check_columns(len(features), 1)
        guided = None
        if self._guide is not None:
            guided = self._guide.embed(features, self.mini_batch_size, self.mini_batch_num_tokens)
        self._of_batch = labels, self._document_ids(features), guided
        try:
            return CachedMultiVectorMultipleNegativesRankingLoss.forward(self, features)
        finally:
            self._of_batch = None, None, None

    def compute_loss_from_embeddings(  # type: ignore[override]
        self,
        embeddings: list[TokenEmbeddings],
        labels: Tensor | None,
        document_ids: list[Tensor] | None = None,
        guide_embeddings: list[Tensor] | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """As in `SelectiveMultipleNegativesRankingLoss`.

        Args:
            embeddings: For each column the embeddings of its tokens.
            labels: None, or a teacher's scores.
            document_ids: For each column of documents one integer a row, the same for the same text.
            guide_embeddings: The guide's embeddings of each column, where the loss has a guide.
            weight: Weights >= 0 of the rows, of shape (batch_size,), for the mean. They may come with the labels too:
                `{"label": labels, "weight": weight}`, as `with_row_weights` has them collated.

        Returns:
            The mean loss, a scalar.
        """
        return SelectiveMultipleNegativesRankingLoss.compute_loss_from_embeddings(
            self, embeddings, labels, document_ids, guide_embeddings, weight
        )

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
        batch = self._batch(columns, *self._of_batch)
        documents = batch.documents.embeddings
        if with_backward:
            # All steps share how the documents were joined and gathered: the way back through that is taken once, with
            # the sum of their gradients.
            leaf = documents.detach().requires_grad_()
            batch = batch._replace(documents=batch.documents._replace(embeddings=leaf))
        rows = len(batch.queries.embeddings)
        step = self.score_mini_batch_size or rows
        losses_of_steps = []
        for begin in range(0, rows, step):
            scores = self._scores(batch, begin, min(begin + step, rows))
            loss = self._loss_of_scores(batch, scores, begin)
            if with_backward:
                # Outside autocast, where the trainer calls backward too.
                with torch.autocast(loss.device.type, enabled=False):
                    loss.backward()  # of the queries, the steps share only joining and padding, which save no tensors
                loss = loss.detach()
            losses_of_steps.append(loss)
        if with_backward and leaf.grad is not None:
            torch.autograd.backward(documents, leaf.grad)
        return torch.stack(losses_of_steps).sum()

    def get_config_dict(self) -> dict[str, Any]:
        """The loss's settings, JSON-serialisable; the model card shows them."""
        return {
            **SelectiveMultipleNegativesRankingLoss.get_config_dict(self),
            "mini_batch_num_tokens": self.mini_batch_num_tokens,
        }

    @property
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, in-batch negatives, and cached gradients."""
        own = builtin_citation(SelectiveMultipleNegativesRankingLoss, self)
        return own + builtin_citation(CachedMultiVectorMultipleNegativesRankingLoss, self)


class _Batch(NamedTuple):
    """What is compared in a batch.

    Attributes:
        queries: Those of this device.
        documents: Of all, one group a query.
        first: The group of the first query.
        target_scores: A teacher's, of each group's documents; None for labels.
        document_ids: The same for the same text, column after column; None if texts are not told apart.
        keep: Which documents a guide keeps; None without one.
        weight: Weights of this device's queries; None for none.
        share: How much their mean counts in that of all devices.
    """

    queries: TokenEmbeddings
    documents: TokenEmbeddings
    first: int
    target_scores: Tensor | None
    document_ids: Tensor | None
    keep: Keep | None
    weight: Tensor | None
    share: Tensor | float


def _gather_tokens(column: TokenEmbeddings) -> TokenEmbeddings:
    """A column of all devices, padded to the longest text of any."""
    embeddings, mask = with_mask(column)
    assert mask is not None
    return TokenEmbeddings(*all_gather_padded(embeddings, mask, with_grad=True))
