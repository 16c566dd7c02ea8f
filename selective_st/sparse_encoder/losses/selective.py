"""The losses of `selective_st.losses` for a SparseEncoder: other defaults, and nothing else."""

from __future__ import annotations

from sentence_transformers import SparseEncoder
from sentence_transformers.util import dot_score, pairwise_dot_score
from typing_extensions import override

from selective_st import losses
from selective_st.links import Link
from selective_st.losses._common import ScoreSpace, gentle_link, list_link, score_link
from selective_st.losses._loss import with_defaults

# Dot products of sparse embeddings reach some tens: a link made for scores from 0 to 1 would be many times too steep.
_HIGHEST = 32.0


def _list_link(space: ScoreSpace, targets: str | None) -> Link:
    """The default link of a loss on lists."""
    return gentle_link(_HIGHEST) if space.sign == 1 else list_link(space, targets)


class SelectivePointwiseLoss(losses.SelectivePointwiseLoss):
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

    model_type = SparseEncoder

    @staticmethod
    @override
    def default_link(space: ScoreSpace, targets: str | None) -> Link:
        link = score_link(space, targets)
        return link if targets == "link_values" or space.range.high <= 1 else link.linear_outside(None, 1.0)

    __init__ = with_defaults(losses.SelectivePointwiseLoss.__init__, similarity_fct=pairwise_dot_score)


class SelectivePairwiseLoss(losses.SelectivePairwiseLoss):
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

    model_type = SparseEncoder


class SelectiveListwiseLoss(losses.SelectiveListwiseLoss):
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

    model_type = SparseEncoder
    default_link = staticmethod(_list_link)

    __init__ = with_defaults(losses.SelectiveListwiseLoss.__init__, temperature=2.0)


class SelectiveMultipleNegativesRankingLoss(losses.SelectiveMultipleNegativesRankingLoss):
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
        precision: That of the matrix products, as in `selective_st.losses.SelectiveMultipleNegativesRankingLoss`.

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

    model_type = SparseEncoder
    default_link = staticmethod(_list_link)

    # The wrappers hand over embeddings, which do not tell the same text twice.
    __init__ = with_defaults(
        losses.SelectiveMultipleNegativesRankingLoss.__init__,
        scale=1.0,
        similarity_fct=dot_score,
        without="mask_same_text",
    )


class SelectiveOrderLoss(losses.SelectiveOrderLoss):
    r"""`selective_st.losses.SelectiveOrderLoss` for a SparseEncoder.

    Args:
        model: The SparseEncoder to train.
        scale: The factor s > 0 of differences, an inverse temperature.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        link: Which scores matter, positive on the scores. Default: all alike.
        weight_link: Between which labels confusion matters. Default: between all alike.
        calibration: The weight >= 0 of a calibration term, the matching loss of scores and labels.
        calibration_link: Its link. Default: `link`, or `IdentityLink()` where there is none and scores have bounds.
        gather_across_devices: Whether the pairs of all devices are compared.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        As `selective_st.losses.SelectiveOrderLoss`.

    Relations:
        - Without links it is `SparseCoSENTLoss`, divided by its scale; with `similarity_fct=pairwise_angle_sim` so is
          `SparseAnglELoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446, for
          links.

    Example:
        >>> from sentence_transformers import SparseEncoder
        >>> from sentence_transformers.sparse_encoder.losses import SpladeLoss
        >>> from selective_st.links import high_scores
        >>> from selective_st.sparse_encoder.losses import SelectiveOrderLoss
        >>> model = SparseEncoder("distilbert/distilbert-base-uncased")                           # doctest: +SKIP
        >>> loss = SelectiveOrderLoss(model, weight_link=high_scores(3))                          # doctest: +SKIP
        >>> loss = SpladeLoss(
        ...     model, loss, document_regularizer_weight=5e-5, use_document_regularizer_only=True
        ... )                                                                                     # doctest: +SKIP
    """

    model_type = SparseEncoder
