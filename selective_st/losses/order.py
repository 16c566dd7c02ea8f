"""The order loss: of two graded pairs the better one scored higher, by as much as confusing them matters."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from sentence_transformers.util import all_gather, all_gather_with_grad, is_dist_initialized, pairwise_cos_sim
from torch import Tensor
from typing_extensions import override

from selective_st._caller import named
from selective_st.functional import matching_loss, order_loss
from selective_st.functional.order import LogSumExp
from selective_st.links import ConstantLink, IdentityLink, Link
from selective_st.losses import _settings as settings
from selective_st.losses._common import SimilarityFunction, flat_link, sentence, tensor_of, without_weight
from selective_st.losses._loss import Loss, constructor
from selective_st.losses._objectives import Calibrated, Targets


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
            _straight_weight=self.weight_link and without_weight(self.weight_link),
        )

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if len(shape) == 1 or (labels is not None and tensor_of(self.owner, labels).dim() != 1):
            return super().targets_of(labels, shape)
        # Positives and negatives as pairs, column by column: 1 and 0, as `AnglELoss` has them.
        rows, documents = shape
        positive = torch.ones(rows) if labels is None else self.fitted(labels, shape[:1])
        positive = positive.to(torch.promote_types(positive.dtype, torch.float))
        values = torch.cat([positive, (1 - positive).repeat(documents - 1)])
        self.known(values, self._ranges)
        return Targets(values)

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
            loss = order_loss(scores, labels, self.link, self.scale, **weights, **of_lists)
        if not self.calibration:
            return loss
        link = self.calibration_link
        term = matching_loss(scores, labels.to(scores).clamp(*link.domain), link, mask=mask, weight=weight)
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
        remarks = [sentence("no_process_group")] if self.gather_across_devices and not is_dist_initialized() else []
        if not isinstance(labels, Tensor) or not labels.numel():
            return remarks
        labels = labels.double()
        low, high = labels[~labels.isnan()].aminmax()
        ends = {"low": f"{float(low):g}", "high": f"{float(high):g}"}
        if low == high:
            remarks.append(sentence("equal_labels", label=ends["low"]))
        elif self.weight_link is not None and not self.weight_link(high) > self.weight_link(low):
            facts = {"middle": f"{float(low + high) / 2:g}", "scale": f"{20 / float(high - low):g}"}
            remarks.append(sentence("flat_on_labels", link=repr(self.weight_link), **ends, **facts))
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
    builtins = (CoSENTLoss,)
    default_link = staticmethod(flat_link)
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
