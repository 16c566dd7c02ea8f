"""The pairwise loss for a CrossEncoder: a document against another that is less relevant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import LambdaLoss, MarginMSELoss, NDCGLoss1Scheme, RankNetLoss
from sentence_transformers.cross_encoder.losses.lambda_loss import BaseWeightingScheme
from torch import Tensor, nn
from typing_extensions import override

from selective_st._caller import named
from selective_st._validation import whole_number
from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss
from selective_st.functional import margin_loss, pairwise_loss
from selective_st.functional.pairwise import among_first, ranks_of, scheme_weights
from selective_st.links import Link
from selective_st.losses._common import (
    builtin_citation,
    check_label_range,
    check_positive_link,
    dtype_of,
    one_of,
    optional,
    said,
    setting,
)
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Pairwise, Targets


@dataclass(frozen=True, kw_only=True)
class PairsOfLists(Pairwise):
    """A positive against its negatives; of lists, all pairs of documents with different labels.

    Attributes:
        k: How many documents are first; a pair of a list counts if one of them is in it. None for all.
        weighting_scheme: The weights of pairs of a list, by the ranks; None for none.
    """

    targets: str | None = setting(one_of(None, "margins", "scores", "order"), None)
    k: int | None = setting(optional(partial(whole_number, least=1)), None)
    weighting_scheme: Any = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weighting_scheme is not None:
            self._check_scheme(self.weighting_scheme)

    @property
    @override
    def link_is_positive(self) -> bool:
        return self.targets == "order"

    def _check_scheme(self, scheme: object) -> None:
        if not isinstance(scheme, BaseWeightingScheme) or isinstance(scheme, NDCGLoss1Scheme):
            got = "NDCGLoss1Scheme, which weighs documents" if isinstance(scheme, NDCGLoss1Scheme) else repr(scheme)
            raise TypeError(said("no_scheme", self.owner, got=got))
        if self.targets not in (None, "order"):
            raise ValueError(said("scheme_of_targets", self.owner, targets=self.targets))

    @override
    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        return self.targets in (None, "order")

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if not of_lists and self.targets != "order":
            for name in ("k", "weighting_scheme"):
                if getattr(self, name) is not None:
                    raise ValueError(said("for_lists", self.owner, name=name))
            return super().targets_of(labels, shape)
        if not isinstance(labels, Tensor) or not labels.is_floating_point():
            raise TypeError(said("integer_order", self.owner, got=dtype_of(labels), targets=self.targets))
        if labels.shape != shape:
            raise ValueError(said("shape_of_order", self.owner, shape=shape, got=tuple(labels.shape)))
        ranges = self.space.ranges() if self.targets == "scores" else ()
        return Targets(labels, check_label_range(self.owner, labels, ranges), of_lists=True)

    @override
    @named(predicted="scores", target="labels")
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        """Of lists the mean over all pairs of a row's documents with different labels; 0, with a graph, without any."""
        if not targets.of_lists:
            return super().loss_of(scores, targets, weight)
        owner, labels = self.owner, targets.values
        counts = labels.unsqueeze(2) > labels.unsqueeze(1)
        if self.k is not None:
            counts &= among_first(ranks_of(scores, labels.isnan()), self.k)
        row, better, worse = counts.nonzero(as_tuple=True)
        positive, negative = scores[row, better], scores[row, worse]
        weight = None if weight is None else weight.to(scores)[row]
        if self.targets in (None, "order"):
            check_positive_link(owner, self.link, self.space, scores)
            if self.weighting_scheme is None:
                return pairwise_loss(positive, negative, self.link, self.temperature, weight=weight)
            # The scheme's weights are part of the loss, and not of what its mean is taken over.
            factors = scheme_weights(scores, labels, self.weighting_scheme, self.k)[row, better, worse]
            rows = torch.ones_like(positive) if weight is None else weight
            loss = pairwise_loss(
                positive, negative, self.link, self.temperature, weight=factors * rows, reduction="sum"
            )
            return loss / torch.where(rows.sum() > 0, rows.sum(), 1)
        high, low = labels[row, better].to(scores), labels[row, worse].to(scores)
        if self.targets == "margins":
            if len(row):
                self.check_margins(high - low)
            return margin_loss(positive, negative, high - low, self.link, weight=weight)
        return self.matched(positive, negative, high, low, weight)


class SelectivePairwiseLoss(CrossEncoderLoss):
    r"""Rank each document above those that are less relevant, by as much as the labels say, where the scores matter.

    With the scores p of the better document and n of the other, a link h of potential `G`, and what the labels are, the
    loss is the mean over all pairs of

        log(1 + e^((G(n) - G(p)) / T))           without labels, or labels that only order: ranks p above n
        D(p - n, m)                              for margins m: the matching loss of the margin
        D((p, n), (s_p, s_n))                    for scores: the matching loss of the list of two, as
        SelectiveListwiseLoss

    In columns the first document is the better one of each pair. In lists, and with `targets="order"`, all pairs of a
    row's documents with different labels are compared.

    Args:
        model: The CrossEncoder to train, with one output label.
        activation_fn: Applied to the logits. Default: none.
        link: What matters. Without labels, and for `targets="order"`, it must be positive on the scores. Default: half
            a constant and `SigmoidLink(scale=1, shift=0)`, so that high logits count up to three times as much as low
            ones; for scores of at most 1 (a Sigmoid's) `ExponentialLink(1.0)` with the mean value 1 on the scores from
            0 to 1.
        temperature: The temperature T > 0 of the forms that rank and of those with scores, in units of the potential.
        targets: What labels are: `"margins"`, `"scores"`, or `"order"` if only their order counts. Default: `"order"`
            for lists of documents; for columns by their shape, where n + 1 numbers for n negatives could be any of
            them, so that the loss asks.
        calibration: For scores: the weight >= 0 of the calibration term.
        calibration_link: For scores: the link of the calibration term. Default: `link`.
        mini_batch_size: How many pairs the model reads at once, as in `RankNetLoss`: None for as many as the batch has
            rows, 0 and below for all.
        k: For lists, as in `RankNetLoss`: a pair counts if one of its documents is among the k that the model puts
            first. Default: all.
        weighting_scheme: For the order of lists: the weights of pairs by the ranks that the model gives, as in
            `LambdaLoss`; one of its schemes, such as `NDCGLoss2PPScheme()`, with relevances as labels. Default: none.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has several output labels, an argument is out of range, or (when a batch comes) the
            columns, or the shape, type or values of the labels do not fit.

    Inputs:
        +-------------------------------------------------+----------------------------------------+-------------------+
        | Inputs                                          | Labels                                 | Setting           |
        +=================================================+========================================+===================+
        | (anchor, positive, negative) triplets,          | none                                   |                   |
        | (anchor, positive, negative_1, ..., negative_n) |                                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, document_one, document_two) triplets    | gold_sim(query, document_one) -        |                   |
        |                                                 | gold_sim(query, document_two)          |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative_1, ..., negative_n)  | n margins; NaN marks a padded negative |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative_1, ..., negative_n)  | n + 1 scores; NaN marks a padded       | targets="margins" |
        |                                                 | negative                               | or "scores"       |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, [doc_1, ..., doc_n])                    | [score_1, ..., score_n], also integers | targets="order",  |
        |                                                 | for "order"                            | or any other      |
        +-------------------------------------------------+----------------------------------------+-------------------+

    Relations:
        - With `IdentityLink()` and margins it is half of `MarginMSELoss`.
        - With `ConstantLink()` on lists it is `RankNetLoss(reduction_log="natural")`, with sigma = 1 / T.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Hofstätter et al. 2020, arXiv 2010.02666, for margins as targets.
        - Burges et al. 2005, *Learning to Rank using Gradient Descent*.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectivePairwiseLoss
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=1)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["What are pandas?", "What is the capital of France?"],
        ...     "positive": ["Pandas are a kind of bear.", "The capital of France is Paris."],
        ...     "negative": ["Pandas are a kind of fish.", "The capital of France is Berlin."],
        ...     "label": [8.2, 3.1],
        ... })
        >>> loss = SelectivePairwiseLoss(model)                                                   # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtin = MarginMSELoss
    objective_type = PairsOfLists

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        *,
        link: Link | None = None,
        temperature: float = 1.0,
        targets: Literal["margins", "scores", "order"] | None = None,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        mini_batch_size: int | None = None,
        k: int | None = None,
        weighting_scheme: BaseWeightingScheme | None = None,
    ) -> None: ...

    @property
    @override
    def citation(self) -> str:
        """BibTeX of the papers on selective matching losses, on margins as targets, and on ranking by pairs."""
        ranking = RankNetLoss if self.weighting_scheme is None else LambdaLoss
        return super().citation + builtin_citation(ranking, self)
