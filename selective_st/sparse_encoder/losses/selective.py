"""The losses of `selective_st.losses` for a SparseEncoder: other defaults, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, cast

from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.util import dot_score, pairwise_dot_score
from torch import Tensor, nn
from typing_extensions import override

from selective_st import losses
from selective_st.functional._in_batch_common import (
    Direction,
    HardnessMode,
    MarginStrategy,
    PartitionMode,
    SimilarityMatrix,
)
from selective_st.links import Link
from selective_st.losses._common import SimilarityFunction, gentle_link, is_dot_product

logger = logging.getLogger(__name__)


# Dot products of sparse embeddings reach some tens: a link made for scores from 0 to 1 would be many times too steep.
_HIGHEST = 32.0


def _list_link(link: Link | None, similarity_fct: SimilarityFunction | SimilarityMatrix) -> Link | None:
    """The link given, or the default for dot products; None for the default of `selective_st.losses`."""
    return gentle_link(_HIGHEST) if link is None and is_dot_product(similarity_fct) else link


class SparseLoss(nn.Module):
    """What the losses for a SparseEncoder share: they belong into a loss that keeps the embeddings sparse."""

    model_type: ClassVar[type[nn.Module]] = SparseEncoder
    _warned_alone = False

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch, with nothing to keep the embeddings sparse; warns of that once.

        Args:
            sentence_features: Tokenized features, one dict for each column.
            labels: What the loss takes as labels.

        Returns:
            The mean loss, a scalar.
        """
        if not self._warned_alone:
            self._warned_alone = True
            name = type(self).__name__
            logger.warning(
                f"{name} is used alone: nothing keeps the embeddings sparse, unless the model does. Wrap it: "
                f"SpladeLoss(model, loss={name}(model, ...), document_regularizer_weight=3e-5, "
                "query_regularizer_weight=5e-5), or CSRLoss(model, loss=...) for a SparseAutoEncoder."
            )
        result: Tensor = super().forward(sentence_features, labels)
        return result


class SelectivePointwiseLoss(SparseLoss, losses.SelectivePointwiseLoss):
    r"""`selective_st.losses.SelectivePointwiseLoss` for a SparseEncoder: by default on dot products.

    Args:
        model: The SparseEncoder to train.
        link: What matters. Default: `high_scores()` for `targets="scores"` and `SigmoidLink(scale=20, shift=0.5)` for
            `targets="link_values"`, the first going on linearly above 1 where the similarity is not bounded.
        cos_score_transformation: Applied to the score before it is compared.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities. For labels
            from 0 to 1 use `pairwise_cos_sim`, and set `model.similarity_fn_name = "cosine"`.
        targets: `"scores"` if the labels are scores to be reached, on the scale of the similarity; `"link_values"` if
            they are values of the link, within `link.range`, such as 0/1 labels.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        As `selective_st.losses.SelectivePointwiseLoss`.

    Relations:
        - With `IdentityLink()` and `similarity_fct=pairwise_cos_sim` it is half of `SparseCosineSimilarityLoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from sentence_transformers import SparseEncoder, util
        >>> from sentence_transformers.sparse_encoder.losses import SpladeLoss
        >>> from selective_st.sparse_encoder.losses import SelectivePointwiseLoss
        >>> model = SparseEncoder("distilbert/distilbert-base-uncased")                           # doctest: +SKIP
        >>> model.similarity_fn_name = "cosine"                                                   # doctest: +SKIP
        >>> loss = SelectivePointwiseLoss(model, similarity_fct=util.pairwise_cos_sim)            # doctest: +SKIP
        >>> loss = SpladeLoss(
        ...     model, loss, document_regularizer_weight=5e-5, use_document_regularizer_only=True
        ... )                                                                                     # doctest: +SKIP
    """

    def __init__(
        self,
        model: SparseEncoder,
        link: Link | None = None,
        cos_score_transformation: nn.Module | None = None,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        targets: Literal["scores", "link_values"] = "scores",
    ) -> None:
        super().__init__(cast(Any, model), link, cos_score_transformation, similarity_fct, targets)

    @override
    def _default_link(self, targets: str) -> Link:
        link = super()._default_link(targets)
        return link if targets != "scores" or self.space.range.high <= 1 else link.linear_outside(None, 1.0)


class SelectivePairwiseLoss(SparseLoss, losses.SelectivePairwiseLoss):
    r"""`selective_st.losses.SelectivePairwiseLoss` for a SparseEncoder.

    Args:
        model: The SparseEncoder to train.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        link: What matters. Without labels it must be positive on the scores. Default: `ExponentialLink(1.0)` with the
            mean value 1 on the scores from 0 to 1, going on linearly above 1 where the similarity is not bounded: of
            slope 1.6 there, as margins need it. To rank without labels, take a higher temperature, or a link for the
            scores that the model gives.
        temperature: The temperature T > 0 of the forms without labels and with scores, in units of the potential.
        targets: What labels are: `"margins"` or `"scores"`. Default: by their shape; n + 1 numbers for n negatives
            could be both, so that the loss asks.
        calibration: For scores: the weight >= 0 of the calibration term.
        calibration_link: For scores: the link of the calibration term. Default: `link`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        As `selective_st.losses.SelectivePairwiseLoss`.

    Relations:
        - With `IdentityLink()` and margins it is half of `SparseMarginMSELoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from sentence_transformers import SentenceTransformer, SparseEncoder
        >>> from sentence_transformers.sparse_encoder.losses import SpladeLoss
        >>> from selective_st.sparse_encoder.losses import SelectivePairwiseLoss
        >>> model = SparseEncoder("distilbert/distilbert-base-uncased")                           # doctest: +SKIP
        >>> loss = SpladeLoss(
        ...     model,
        ...     SelectivePairwiseLoss(model, targets="margins"),
        ...     document_regularizer_weight=3e-5,
        ...     query_regularizer_weight=5e-5,
        ... )                                                                                     # doctest: +SKIP
    """

    def __init__(
        self,
        model: SparseEncoder,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        *,
        link: Link | None = None,
        temperature: float = 1.0,
        targets: Literal["margins", "scores"] | None = None,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
    ) -> None:
        super().__init__(
            cast(Any, model),
            similarity_fct,
            link=link,
            temperature=temperature,
            targets=targets,
            calibration=calibration,
            calibration_link=calibration_link,
        )


class SelectiveListwiseLoss(SparseLoss, losses.SelectiveListwiseLoss):
    r"""`selective_st.losses.SelectiveListwiseLoss` for a SparseEncoder: by default at the temperature 2.

    Args:
        model: The SparseEncoder to train (the student).
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        temperature: The temperature T > 0, in units of the potential.
        student_temperature: Overrides `temperature` for the student's probabilities.
        teacher_temperature: Overrides `temperature` for the target's probabilities q.
        link: What matters. For `targets="labels"` it must be positive on the scores. Default: an
            `ExponentialLink` with the mean value 1 on the scores from 0 to 32, going on linearly above; from 0 to 1 for
            a cosine similarity.
        targets: `"scores"` if the labels are scores to be reached, `"labels"` if they say which candidates are right.
            Scores of minus infinity are taken as of candidates that are never right, without a calibration term.
        calibration: The weight >= 0 of the calibration term: 1 gives the matching loss, 0 ranks only.
        calibration_link: The link of the calibration term. Default: `link`.
        label_smoothing: For `targets="labels"`: how much of the label, 0 to 1, is spread over the candidates.
        teacher_space: What target scores are: `"cosine"`, `"probability"`, or `"logit"` (mapped to the score
            1 / (1 + e^-logit)). Default: scores in the student's own space.
        label_range: The ends of a scale of graded relevance, such as (0, 5), which is mapped to scores from 0 to 1.
        lists: What a list is: `"rows"`, the documents of a row; or `"batch"`, for graded pairs: all pairs of the batch
            are one list, as in `selective_st.losses.SelectiveListwiseLoss`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        As `selective_st.losses.SelectiveListwiseLoss`.

    Relations:
        - With `ConstantLink()` and target scores it is `SparseDistillKLDivLoss` with the same temperature T, divided by
          T^2.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from sentence_transformers import SentenceTransformer, SparseEncoder
        >>> from sentence_transformers.sparse_encoder.losses import SpladeLoss
        >>> from selective_st.sparse_encoder.losses import SelectiveListwiseLoss
        >>> model = SparseEncoder("distilbert/distilbert-base-uncased")                           # doctest: +SKIP
        >>> loss = SpladeLoss(
        ...     model, SelectiveListwiseLoss(model), document_regularizer_weight=3e-5, query_regularizer_weight=5e-5
        ... )                                                                                     # doctest: +SKIP
    """

    def __init__(
        self,
        model: SparseEncoder,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        temperature: float = 2.0,
        student_temperature: float | None = None,
        teacher_temperature: float | None = None,
        *,
        link: Link | None = None,
        targets: Literal["scores", "labels"] = "scores",
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        label_smoothing: float = 0.0,
        teacher_space: Literal["cosine", "probability", "logit"] | None = None,
        label_range: tuple[float, float] | None = None,
        lists: Literal["rows", "batch"] = "rows",
    ) -> None:
        super().__init__(
            cast(Any, model),
            similarity_fct,
            temperature,
            student_temperature,
            teacher_temperature,
            link=_list_link(link, similarity_fct),
            targets=targets,
            calibration=calibration,
            calibration_link=calibration_link,
            label_smoothing=label_smoothing,
            teacher_space=teacher_space,
            label_range=label_range,
            lists=lists,
        )


class SelectiveMultipleNegativesRankingLoss(SparseLoss, losses.SelectiveMultipleNegativesRankingLoss):
    r"""`selective_st.losses.SelectiveMultipleNegativesRankingLoss` for a SparseEncoder: dot products, at the scale 1.

    For large batches wrap it in `CachedSpladeLoss`, which embeds in mini-batches and caches the gradients of all parts.

    Args:
        model: The SparseEncoder to train.
        scale: The factor of the potential, 1 / temperature.
        similarity_fct: Compares all anchors with all documents: takes (a, dim) and (b, dim), gives (a, b). `cos_sim`
            and `dot_score` are computed block by block.
        gather_across_devices: Whether the other devices' documents are negatives too.
        directions: What is compared: `"query_to_doc"` (always), `"query_to_query"`, `"doc_to_query"`, `"doc_to_doc"`.
        partition_mode: `"joint"` for one Softmax over all directions, `"per_direction"` for the mean of one each.
        hardness_mode: Which negatives' logits are raised by `hardness_strength` times their similarity:
            `"in_batch_negatives"`, `"hard_negatives"`, `"all_negatives"`, or None.
        hardness_strength: How much, >= 0.
        link: What matters, positive on the scores. Default: an `ExponentialLink` with the mean value 1 on the
            scores from 0 to 32, going on linearly above; from 0 to 1 for a cosine similarity.
        label_smoothing: How much of the label, 0 to 1, is spread evenly over all candidates.
        calibration: For teacher scores: the weight >= 0 of the calibration term.
        calibration_link: For teacher scores: the link of the calibration term. Default: `link`.
        guide: A SentenceTransformer that tells false negatives, as in
            `selective_st.losses.SelectiveMultipleNegativesRankingLoss`.
        margin: How far below the positive's cosine, by the guide, a negative's must stay.
        margin_strategy: `"absolute"` for a `margin` that is this distance, `"relative"` for a share of the positive's
            cosine.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or excludes another, or (when a batch comes) the columns or labels do
            not fit.

    Inputs:
        As `selective_st.losses.SelectiveMultipleNegativesRankingLoss`. The wrappers hand over embeddings, which do not
        tell the same text twice: train with `batch_sampler=BatchSamplers.NO_DUPLICATES`. Nor does a `guide` work there.

    Relations:
        - With `ConstantLink()` it is `SparseMultipleNegativesRankingLoss`, with all of its options.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from sentence_transformers import SparseEncoder
        >>> from sentence_transformers.sparse_encoder.losses import CachedSpladeLoss
        >>> from selective_st.sparse_encoder.losses import SelectiveMultipleNegativesRankingLoss
        >>> model = SparseEncoder("distilbert/distilbert-base-uncased")                           # doctest: +SKIP
        >>> loss = CachedSpladeLoss(
        ...     model,
        ...     SelectiveMultipleNegativesRankingLoss(model),
        ...     document_regularizer_weight=3e-5,
        ...     query_regularizer_weight=5e-5,
        ...     mini_batch_size=32,
        ... )                                                                                     # doctest: +SKIP
    """

    def __init__(
        self,
        model: SparseEncoder,
        scale: float = 1.0,
        similarity_fct: SimilarityMatrix = dot_score,
        gather_across_devices: bool = False,
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition_mode: PartitionMode = "joint",
        hardness_mode: HardnessMode | None = None,
        hardness_strength: float = 0.0,
        *,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
    ) -> None:
        super().__init__(
            cast(Any, model),
            scale,
            similarity_fct,
            gather_across_devices,
            directions,
            partition_mode,
            hardness_mode,
            hardness_strength,
            link=_list_link(link, similarity_fct),
            label_smoothing=label_smoothing,
            calibration=calibration,
            calibration_link=calibration_link,
            guide=guide,
            margin=margin,
            margin_strategy=margin_strategy,
        )
