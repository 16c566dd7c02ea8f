"""The losses for a SentenceTransformer: on scores, pairs, lists, the order of labels, and a teacher's embeddings."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer import losses as host
from sentence_transformers.util import (
    all_gather,
    all_gather_with_grad,
    cos_sim,
    is_dist_initialized,
    pairwise_cos_sim,
    pairwise_dot_score,
)
from torch import Tensor, nn
from torch.nn.functional import normalize
from typing_extensions import override

from selective_st import functional
from selective_st._caller import named
from selective_st.functional._common import at_least_single, dense, without_autocast
from selective_st.functional._in_batch_common import SimilarityMatrix
from selective_st.functional.order import LogSumExp
from selective_st.links import ConstantLink, IdentityLink, Interval, Link, high_scores
from selective_st.losses import _common as common
from selective_st.losses import _settings as settings
from selective_st.losses._common import SimilarityFunction
from selective_st.losses._loss import Loss, constructor
from selective_st.losses._objectives import Calibrated, Listwise, Pairwise, Pointwise, Targets
from selective_st.losses._scorers import AllSimilarities


class SelectivePointwiseLoss(Loss):
    r"""Match each predicted similarity to its label, with errors weighed by where the scores lie.

    The link's slope says how much a score region matters. With a link `h` of potential `H`, a predicted score `p` and a
    target score `s`, the loss is the mean over the batch of the matching loss

        D(p, s) = H(p) - H(s) - (p - s) h(s),      with gradient h(p) - h(s),

    or, for labels `y` that are link values (such as 0/1 with a `SigmoidLink`), of `H(p) + H*(y) - p y`, with gradient
    `h(p) - y`.

    Args:
        model: The SentenceTransformer model to train.
        link: What matters: a preset such as `high_scores()`, or any `Link`. It is used as given, never rescaled.
            Default: `high_scores()` for `targets="scores"`, `SigmoidLink(scale=20, shift=0.5)` for
            `targets="link_values"`.
        cos_score_transformation: Applied to the score before it is compared, as in `CosineSimilarityLoss`.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        targets: `"scores"` if the labels are scores to be reached, in the range of the similarity (for cosine within
            [-1, 1]); `"link_values"` if they are values of the link, within `link.range`, such as 0/1 labels.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `targets` is unknown, a link of your own decreases, or (when a batch comes) the number of
            columns, or the shape, type or values of the labels do not fit.

    Inputs:
        +--------------------------------------+--------------------------------------------+-------------------------+
        | Inputs                               | Labels                                     | Setting                 |
        +======================================+============================================+=========================+
        | (sentence_A, sentence_B) pairs       | float similarity score                     | targets="scores"        |
        +--------------------------------------+--------------------------------------------+-------------------------+
        | (anchor, positive/negative) pairs    | 1 if positive, 0 if negative               | targets="link_values"   |
        +--------------------------------------+--------------------------------------------+-------------------------+
        | (query, doc_1, ..., doc_n)           | [score(query, doc_1), ..., score(query,    | targets="scores"        |
        |                                      | doc_n)]; NaN marks a padded document       |                         |
        +--------------------------------------+--------------------------------------------+-------------------------+

    Relations:
        - With `IdentityLink()` it is half of `CosineSimilarityLoss`: every score matters alike.
        - With a `SigmoidLink` and `targets="link_values"` it is the binary cross entropy of the logit
          `scale * (score - shift)`, divided by `scale`.
        - `CoSENTLoss` and `AnglELoss` only order the pairs of a batch; this loss also places the scores, so that a
          threshold keeps its meaning.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        >>> from selective_st.links import high_scores
        >>> from selective_st.losses import SelectivePointwiseLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "sentence1": ["It's nice weather outside today.", "He drove to work."],
        ...     "sentence2": ["It's so sunny.", "She walked to the store."],
        ...     "score": [1.0, 0.3],
        ... })
        >>> loss = SelectivePointwiseLoss(model, link=high_scores())                              # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    objective_type = Pointwise
    default_link = staticmethod(common.score_link)

    @constructor
    def __init__(
        self,
        model: SentenceTransformer | SparseEncoder,
        link: Link | None = None,
        cos_score_transformation: nn.Module | None = None,
        similarity_fct: SimilarityFunction = torch.cosine_similarity,
        targets: Literal["scores", "link_values"] = "scores",
    ) -> None: ...


class SelectivePairwiseLoss(Loss):
    r"""Rank each positive above its negatives, by as much as the labels say, where the scores matter.

    With the scores p of the positive and n of a negative, a link h of potential `G`, and what the labels are, the loss
    is the mean over all (positive, negative) pairs of

        log(1 + e^((G(n) - G(p)) / T))           without labels: ranks the positive above the negative
        D(p - n, m)                              for margins m: the matching loss of the margin
        D((p, n), (s_p, s_n))                    for scores: the matching loss of the list of two, as
        SelectiveListwiseLoss

    Args:
        model: The SentenceTransformer model to train.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        link: What matters. Without labels it must be positive on the scores. Default: `ExponentialLink(1.0)` with the
            mean value 1 on the scores from 0 to 1, going on linearly above 1 where the similarity is not bounded.
        temperature: The temperature T > 0 of the forms without labels and with scores, in units of the potential.
        targets: What labels are: `"margins"` or `"scores"`. Default: by their shape; n + 1 numbers for n negatives
            could be both, so that the loss asks.
        calibration: For scores: the weight >= 0 of the calibration term.
        calibration_link: For scores: the link of the calibration term. Default: `link`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the columns, or the shape, type or values of
            the labels do not fit.

    Inputs:
        +-------------------------------------------------+----------------------------------------+-------------------+
        | Inputs                                          | Labels                                 | Setting           |
        +=================================================+========================================+===================+
        | (anchor, positive, negative) triplets,          | none                                   |                   |
        | (anchor, positive, negative_1, ..., negative_n) |                                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (anchor, positive, negative) triplets           | margin score(positive) -               |                   |
        |                                                 | score(negative)                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (anchor, positive, negative_1, ..., negative_n) | n margins; NaN marks a padded negative |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (anchor, positive, negative_1, ..., negative_n) | n + 1 scores; NaN marks a padded       | targets="margins" |
        |                                                 | negative                               | or "scores"       |
        +-------------------------------------------------+----------------------------------------+-------------------+

    Relations:
        - With `IdentityLink()` and margins it is half of `MarginMSELoss`.
        - With `ConstantLink()` and no labels it is the logistic loss (RankNet, BPR) of (p - n) / T.
        - `SelectiveListwiseLoss` compares all candidates with one another, not only with the positive.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Hofstätter et al. 2020, arXiv 2010.02666, for margins as targets.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, util
        >>> from selective_st.losses import SelectivePairwiseLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "anchor": ["It's nice weather outside today.", "He drove to work."],
        ...     "positive": ["It's so sunny.", "He took the car to the office."],
        ...     "negative": ["It's very cold.", "She walked to the store."],
        ... })
        >>> loss = SelectivePairwiseLoss(model, util.pairwise_cos_sim, temperature=0.1)           # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtins = (host.MarginMSELoss,)
    objective_type = Pairwise

    @constructor
    def __init__(
        self,
        model: SentenceTransformer | SparseEncoder,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        *,
        link: Link | None = None,
        temperature: float = 1.0,
        targets: Literal["margins", "scores"] | None = None,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
    ) -> None: ...


class SelectiveListwiseLoss(Loss):
    r"""Match the scores of a query's candidates to a teacher's scores, graded relevances, or labels, as a list.

    A link h of potential `G` and the temperature T make probabilities of scores, softmax(G(z) / T). With target scores
    s and q = softmax(G(s) / T), the loss of a list is the matching loss of the composite Softmax, a ranking term and a
    calibration term:

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k)

    and for labels y (probabilities over the candidates) the cross entropy `-sum_k y_k log softmax(G(p) / T)_k`.

    Args:
        model: The SentenceTransformer model to train (the student).
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        temperature: The temperature T > 0, in units of the potential, which rises about as the score does: for cosines
            0.05 to 1 is common. Small is sharp.
        student_temperature: Overrides `temperature` for the student's probabilities.
        teacher_temperature: Overrides `temperature` for the target's probabilities q.
        link: What matters. For `targets="labels"` it must be positive on the scores. Default: `ExponentialLink(1.0)`
            with the mean value 1 on the scores from 0 to 1, going on linearly above 1 where the similarity is not
            bounded.
        targets: `"scores"` if the labels are scores to be reached, `"labels"` if they say which candidates are right.
            Scores of minus infinity are taken as of candidates that are never right, without a calibration term.
        calibration: The weight >= 0 of the calibration term: 1 gives the matching loss, 0 ranks only; what lies between
            trades ranking against calibrated scores.
        calibration_link: The link of the calibration term. Default: `link`.
        label_smoothing: For `targets="labels"`: how much of the label, 0 to 1, is spread over the candidates.
        teacher_space: What target scores are: `"cosine"` (in [-1, 1]), `"probability"` (in [0, 1]), or `"logit"` (of a
            cross encoder, say; mapped to the score 1 / (1 + e^-logit)). Default: scores in the student's own space.
        label_range: The ends of a scale of graded relevance, such as (0, 5), which is mapped to scores from 0 to 1.
        lists: What a list is: `"rows"`, the documents of a row; or `"batch"`, for graded pairs: all pairs of the batch
            are one list, and their scores are ranked against one another, as `CoSENTLoss` does, and by the calibration
            term placed. For labels from 0 to 1 give `similarity_fct=pairwise_cos_sim`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or excludes another, or (when a batch comes) the columns, or the
            shape, type or values of the labels do not fit.

    Inputs:
        +---------------------------------+--------------------------------------------------+------------------+
        | Inputs                          | Labels                                           | Setting          |
        +=================================+==================================================+==================+
        | (query, document_1, ...,        | n scores of a teacher; NaN marks a padded        | targets="scores" |
        | document_n)                     | document                                         |                  |
        +---------------------------------+--------------------------------------------------+------------------+
        | (query, document_1, ...,        | n graded relevances                              | targets="scores",|
        | document_n)                     |                                                  | label_range=(0,5)|
        +---------------------------------+--------------------------------------------------+------------------+
        | (query, document_1, ...,        | index of the positive; or n numbers 0 or 1; or n | targets="labels" |
        | document_n)                     | probabilities; NaN marks a padded document       |                  |
        +---------------------------------+--------------------------------------------------+------------------+
        | (input_A, input_B) pairs        | float similarity score                           | lists="batch"    |
        +---------------------------------+--------------------------------------------------+------------------+

    Relations:
        - With `ConstantLink()` and target scores it is `DistillKLDivLoss` with the same temperature T, divided by T^2.
        - With `ConstantLink()` and labels it is the cross entropy of the scores divided by T.
        - For T to infinity, T times the loss is the mean of `SelectivePointwiseLoss` over the candidates.
        - With `lists="batch"` and `calibration=0` it orders graded pairs without regard to a shift of all scores, as
          `CoSENTLoss` does. A batch of one pair has nothing to rank, so that only the calibration term is left.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Lin et al. 2020, arXiv 2010.11386, for distillation by the KL divergence.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, util
        >>> from selective_st.losses import SelectiveListwiseLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["It's nice weather outside today.", "He drove to work."],
        ...     "document1": ["It's so sunny.", "He took the car to the office."],
        ...     "document2": ["It's very cold.", "She walked to the store."],
        ...     "scores": [[0.9, 0.3], [0.8, 0.1]],
        ... })
        >>> loss = SelectiveListwiseLoss(model, util.pairwise_cos_sim, temperature=0.1)           # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtins = (host.DistillKLDivLoss,)
    objective_type = Listwise

    @constructor
    def __init__(
        self,
        model: SentenceTransformer | SparseEncoder,
        similarity_fct: SimilarityFunction = pairwise_dot_score,
        temperature: float = 1.0,
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
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Order(Calibrated):
    """Graded pairs of a batch, or the documents of a list, in the order of their labels.

    Attributes:
        scale: The factor of differences of potentials.
        weight_link: The link whose rise between two labels is their weight; None for the same weight for all.
        gather_across_devices: Whether the pairs of all devices are one batch.
        discounts: Whether pairs of a list are weighed by the discounts of the ranks too.
        k: How many documents are first; a pair of a list counts if one of them is in it. None for all.
    """

    columns = range(2, sys.maxsize)
    columns_said = "columns_of_scores"
    scale: float = settings.positive(20.0)
    weight_link: Link | None = settings.link(None)
    calibration: float = settings.nonnegative(0.0)
    gather_across_devices: bool = False
    discounts: bool = False
    k: int | None = settings.whole(None)
    _straight_weight: Link | None = settings.found()

    @override
    def __post_init__(self) -> None:
        if self.calibration_link is None and isinstance(self.link, ConstantLink):
            if self.calibration and self.space.range.low == -math.inf:
                raise ValueError(self.said("no_calibration_link", space=self.space.name))
            self._settle(calibration_link=IdentityLink())
        super().__post_init__()
        if isinstance(self.weight_link, ConstantLink):
            raise ValueError(self.said("flat_weight_link", link=repr(self.weight_link)))
        self._settle(
            reaches=self.calibration > 0,
            _ranges=self.space.ranges() if self.calibration else (),
            is_simple=self.is_simple and self.link._lowest_value >= 0,
            _straight_weight=self.weight_link and common.without_weight(self.weight_link),
        )

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if len(shape) == 1 or (labels is not None and common.tensor_of(self.owner, labels).dim() != 1):
            return super().targets_of(labels, shape)
        # Positives and negatives as pairs, column by column: 1 and 0, as `AnglELoss` has them.
        rows, documents = shape
        positive = torch.ones(rows) if labels is None else self.fitted(labels, shape[:1])
        positive = positive.to(torch.promote_types(positive.dtype, torch.float))
        what = "as negatives get 1 - label"
        self.known(positive, [(what, Interval(0.0, 1.0), "grade_documents")])
        return Targets(torch.cat([positive, (1 - positive).repeat(documents - 1)]))

    @override
    def fitted(self, labels: Tensor, shape: tuple[int, ...]) -> Tensor:
        labels = labels.squeeze(-1) if labels.shape == (*shape, 1) else labels
        if labels.shape != shape:
            raise ValueError(self.said("shape_of_order", shape=shape, got=tuple(labels.shape)))
        return labels.float() if labels.dtype == torch.bool else labels

    @override
    @named(predicted="scores", target="labels")
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        labels, mask = targets.values.to(scores.device), targets.mask
        if labels.dim() < scores.dim():
            scores, weight = scores.T.flatten(), None if weight is None else weight.repeat(scores.shape[1])
        self.check_positive(scores)
        is_batch = scores.dim() == 1
        if is_batch and self.gather_across_devices:
            scores, labels, weight = self._gathered(scores, labels, weight)
        if is_batch and weight is None and self.is_simple:
            loss = LogSumExp(self._straight, self.scale, self._straight_weight)(scores, labels, None)
        else:
            of_lists: dict[str, Any] = {} if is_batch else {"discounts": self.discounts, "k": self.k}
            weights: Any = {"weight_link": self.weight_link, "weight": weight}
            loss = functional.order_loss(scores, labels, self.link, self.scale, **weights, **of_lists)
        if not self.calibration:
            return loss
        link = self.calibration_link
        term = functional.matching_loss(scores, labels.to(scores).clamp(*link.domain), link, mask=mask, weight=weight)
        return loss + self.calibration * term

    def _gathered(self, *tensors: Any) -> tuple[Any, ...]:
        """Scores, labels and weights of all devices; each then has the whole loss, whose gradients are averaged."""
        if not is_dist_initialized():
            return tensors
        scores, labels, weight = tensors
        sizes = all_gather(torch.tensor([len(scores)], device=scores.device)).tolist()
        if len(set(sizes)) > 1:
            raise ValueError(self.said("other_batch_sizes", sizes=sizes))
        return all_gather_with_grad(scores), all_gather(labels), None if weight is None else all_gather(weight)

    @override
    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        return True

    @override
    def remarks(self, labels: Any) -> list[str]:
        """That others cannot be gathered, or that nothing tells the labels of the first batch apart."""
        is_alone = self.gather_across_devices and not is_dist_initialized()
        remarks = [common.sentence("no_process_group")] if is_alone else []
        if not isinstance(labels, Tensor) or not labels.numel():
            return remarks
        labels = labels.double()
        low, high = labels[~labels.isnan()].aminmax()
        ends = {"low": f"{float(low):g}", "high": f"{float(high):g}"}
        if low == high:
            remarks.append(common.sentence("equal_labels", label=ends["low"]))
        elif self.weight_link is not None and not self.weight_link(high) > self.weight_link(low):
            facts = {"middle": f"{float(low + high) / 2:g}", "scale": f"{20 / float(high - low):g}"}
            remarks.append(common.sentence("flat_on_labels", link=repr(self.weight_link), **ends, **facts))
        return remarks


class SelectiveOrderLoss(Loss):
    r"""Score graded pairs in the order of their labels, where it matters to tell labels apart, and scores.

    Wherever the labels of two pairs of the batch are y_i > y_j, the score p_i is to exceed p_j. A pair of pairs weighs
    as much as the weight link rises between the labels, and scores count by the potential `G` of the link:

        1/s log(1 + sum w_ij exp(s (G(p_j) - G(p_i)))),      w_ij = h_w(y_i) - h_w(y_j)

    A weight link that is steep at t counts the pairs of pairs on both sides of t, a surrogate of the average precision
    of pairs with labels above t. In O(n log n) for n pairs. The scores' values are free, unless `calibration` ties
    them to the labels.

    Args:
        model: The SentenceTransformer model to train.
        scale: The factor s > 0 of differences, an inverse temperature.
        similarity_fct: Takes two tensors of shape (batch_size, dim), gives the (batch_size,) similarities.
        link: Which scores matter, positive on the scores. Default: all alike.
        weight_link: Between which labels confusion matters. Default: between all alike.
        calibration: The weight >= 0 of a calibration term, the matching loss of scores and labels.
        calibration_link: Its link. Default: `link`, or `IdentityLink()` where there is none and scores have bounds.
        gather_across_devices: Whether the pairs of all devices are compared.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the link is negative on the scores, the weight link is flat, or
            (when a batch comes) the columns or labels do not fit.

    Inputs:
        +-------------------------------------------------+--------------------------------------------------+
        | Inputs                                          | Labels                                           |
        +=================================================+==================================================+
        | (sentence_A, sentence_B) pairs                  | a grade, of any scale                            |
        +-------------------------------------------------+--------------------------------------------------+
        | (anchor, positive, negative_1, ..., negative_n) | none: positives above negatives, of all rows     |
        +-------------------------------------------------+--------------------------------------------------+
        | (query, doc_1, ..., doc_n)                      | a grade for each document: the mean over lists   |
        |                                                 | of `w_ij log(1 + exp(s (G(p_j) - G(p_i))))`; NaN |
        |                                                 | marks a padded document                          |
        +-------------------------------------------------+--------------------------------------------------+

    Relations:
        - Without links it is `CoSENTLoss`, divided by its scale; with `similarity_fct=pairwise_angle_sim` so is
          `AnglELoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446, for
          links.
        - Huang et al. 2024, *CoSENT: Consistent Sentence Embedding via Similarity Ranking*.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        >>> from selective_st.links import high_scores
        >>> from selective_st.losses import SelectiveOrderLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "sentence1": ["It's nice weather outside today.", "He drove to work."],
        ...     "sentence2": ["It's so sunny.", "She walked to the store."],
        ...     "score": [1.0, 0.3],
        ... })
        >>> loss = SelectiveOrderLoss(model, weight_link=high_scores(3))                          # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    objective_type = Order
    builtins = (host.CoSENTLoss,)
    default_link = staticmethod(common.flat_link)
    said_if_not: ClassVar[dict[str, Any]] = {"gather_across_devices": False}

    @constructor
    def __init__(
        self,
        model: SentenceTransformer | SparseEncoder,
        scale: float = 20.0,
        similarity_fct: SimilarityFunction = pairwise_cos_sim,
        *,
        link: Link | None = None,
        weight_link: Link | None = None,
        calibration: float = 0.0,
        calibration_link: Link | None = None,
        gather_across_devices: bool = False,
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class BlockwiseSimilarities(AllSimilarities):
    """Cosines or dot products, whose gradients are known block by block."""

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if not common.is_cosine(self.similarity_fct) and not common.is_dot_product(self.similarity_fct):
            raise ValueError(self.said("cosine_or_dot", got=getattr(self.similarity_fct, "__name__", "another")))

    def units(self, embeddings: Tensor) -> Tensor:
        """Embeddings whose dot products are the scores."""
        embeddings = at_least_single(dense(embeddings))
        return normalize(embeddings, dim=-1) if common.is_cosine(self.similarity_fct) else embeddings


@dataclass(frozen=True, kw_only=True)
class TeacherEmbeddings(Calibrated):
    """A student's scores of all with all, matched to its teacher's.

    Attributes:
        temperature: The temperature, in units of the potential.
        teacher_temperature: That of the target's probabilities.
        block_size: How many queries are scored at once.
    """

    columns = range(1, sys.maxsize)
    columns_said = "columns_of_scores"
    temperature: float = settings.positive(1.0)
    teacher_temperature: Any = settings.positive(None)
    block_size: int | None = settings.whole(None)

    @override
    def __post_init__(self) -> None:
        if self.calibration_link is None and isinstance(self.link, ConstantLink):
            link = high_scores()
            self._settle(calibration_link=link if self.space.range.high <= 1 else link.linear_outside(None, 1.0))
        super().__post_init__()

    @named(queries="embeddings", teacher_queries="labels", teacher_documents="labels", target="labels")
    def loss_of_embeddings(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The loss of the first column with the others, or of a single column with itself."""
        alone = len(student) == 1
        sides = [(one[0], one[0] if alone else torch.cat(list(one[1:]))) for one in (student, teacher)]
        return functional.in_batch_matching_loss(
            *sides[0],
            *sides[1],
            self.link,
            self.temperature,
            calibration=self.calibration,
            calibration_link=self.calibration_link,
            target_temperature=self.teacher_temperature,
            without_self=alone,
            block_size=self.block_size,
        )


class SelectiveEmbedDistillLoss(Loss):
    r"""Match the student's similarities within a batch to those of the teacher's embeddings.

    Each query's similarities p to all documents of the batch are a list, and those of the teacher's embeddings, s, are
    its target: with the potential `G` of the link and q = softmax(G(s) / T) the loss is the mean over queries of

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k)

    Embeddings themselves are not compared: the teacher's may have any dimension, without a projection, and no lists
    have to be mined. The calibration term ties the values of scores, so that a teacher's threshold holds on its
    student. Computed block by block, without the matrix of scores in memory.

    Args:
        model: The SentenceTransformer model to train (the student).
        similarity_fct: `cos_sim` or `dot_score`, of student and teacher.
        temperature: The temperature T > 0, in units of the potential: small looks at the nearest only.
        teacher_temperature: Overrides `temperature` for the target's probabilities q.
        link: The link of the composite Softmax. Default: `ConstantLink()`, the plain one.
        calibration: The weight >= 0 of the calibration term: 0 ranks only.
        calibration_link: Its link: at which scores errors matter. Default: `link`, or `high_scores()` where that is
            flat.
        block_size: How many queries are scored at once. Default: as many as make about a million scores.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or (when a batch comes) the labels are no embeddings of its texts.

    Inputs:
        +------------------------------------------+-----------------------------------------------------------+
        | Inputs                                   | Labels                                                    |
        +==========================================+===========================================================+
        | input: the batch against itself          | teacher embeddings (batch_size, teacher_dim)              |
        +------------------------------------------+-----------------------------------------------------------+
        | query, document_1, ..., document_n: each | teacher embeddings (batch_size, columns, teacher_dim), or |
        | query against all documents              | (batch_size, teacher_dim), the same for all columns       |
        +------------------------------------------+-----------------------------------------------------------+

    Relations:
        - `MSELoss` and `EmbedDistillLoss` take the same data, and match embeddings, for which other dimensions need a
          projection. With it they learn in fewer passes over the texts; this loss gains from many.
        - `SelectiveListwiseLoss` and `DistillKLDivLoss` match lists of scores that were made before.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        >>> from selective_st.losses import SelectiveEmbedDistillLoss
        >>> student = SentenceTransformer("microsoft/mpnet-base")                                 # doctest: +SKIP
        >>> teacher = SentenceTransformer("sentence-transformers/all-mpnet-base-v2")              # doctest: +SKIP
        >>> dataset = Dataset.from_dict({"text": ["It's so sunny.", "He drove to work."]})
        >>> def embed(batch):
        ...     return {"label": teacher.encode(batch["text"])}
        >>> dataset = dataset.map(embed, batched=True)                                            # doctest: +SKIP
        >>> loss = SelectiveEmbedDistillLoss(student)                                             # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=student, train_dataset=dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtins = (host.EmbedDistillLoss,)
    scorer_type = BlockwiseSimilarities
    objective_type = TeacherEmbeddings

    default_link = staticmethod(common.flat_link)

    @constructor
    def __init__(
        self,
        model: SentenceTransformer,
        similarity_fct: SimilarityMatrix = cos_sim,
        *,
        temperature: float = 0.3,
        teacher_temperature: float | None = None,
        link: Link | None = None,
        calibration: float = 10.0,
        calibration_link: Link | None = None,
        block_size: int | None = None,
    ) -> None: ...

    @override
    def compute_loss_from_embeddings(
        self, embeddings: list[Any], labels: Any = None, weight: Tensor | None = None
    ) -> Tensor:
        columns, rows = len(embeddings), self.objective.rows_of(embeddings)
        if weight is not None or isinstance(labels, Mapping):
            raise ValueError(common.said("no_row_weights", type(self).__name__))
        teacher = self._teacher(labels, columns, rows)
        with without_autocast(embeddings[0].device.type):
            units = self.scorer.units
            student = [units(column) for column in embeddings]
            loss: Tensor = self.objective.loss_of_embeddings(student, [units(one.to(student[0])) for one in teacher])
        return loss

    def _teacher(self, labels: Any, columns: int, rows: int) -> list[Tensor]:
        """The teacher's embeddings, one tensor a column."""
        owner = type(self).__name__
        given = [common.tensor_of(owner, one) for one in (labels if isinstance(labels, (list, tuple)) else [labels])]
        teacher = given
        if isinstance(labels, Tensor):
            teacher = list(labels.unbind(1)) if labels.dim() == 3 else given * columns
        fits = len(teacher) == columns and all(one.shape == teacher[0].shape for one in teacher)
        if not fits or teacher[0].dim() != 2 or len(teacher[0]) != rows or not teacher[0].numel():
            got = [tuple(one.shape) for one in given]
            raise ValueError(common.said("teacher_embeddings", owner, rows=rows, columns=columns, got=got))
        if not all(one.is_floating_point() and bool(one.isfinite().all()) for one in teacher):
            raise ValueError(common.said("teacher_not_finite", owner, dtype=teacher[0].dtype))
        return teacher
