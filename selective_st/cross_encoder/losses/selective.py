"""The losses for a CrossEncoder: on single scores, pairs and lists of documents, classes, and in-batch negatives."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder import losses as host
from sentence_transformers.cross_encoder.losses.lambda_loss import BaseWeightingScheme
from torch import Tensor, nn
from typing_extensions import override

from selective_st import functional
from selective_st._caller import named
from selective_st._validation import instance_of, list_of
from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss, Documents, TextPairs
from selective_st.functional._in_batch_common import MarginStrategy
from selective_st.functional.pairwise import among_first, ranks_of, scheme_weights
from selective_st.links import Link, SigmoidLink
from selective_st.losses import _settings as settings
from selective_st.losses._common import (
    ScoreSpace,
    flat_link,
    labels_and_weight,
    score_link,
    sentence,
    tensor_of,
)
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Listwise, Objective, Pairwise, Pointwise, Targets
from selective_st.losses.selective import Order

_SIGMOID = nn.Sigmoid()
# Its steps are taken as they are; they ask the loss for its negatives, and for the loss of logits.
_BUILTIN = cast(Any, host.CachedMultipleNegativesRankingLoss)


@dataclass(frozen=True, kw_only=True)
class _ScoresOfPairs(TextPairs):
    """Scores as `CrossEncoder.predict` gives them, where they are to be reached.

    Attributes:
        targets: What labels are.
    """

    targets: str

    @property
    def are_graded(self) -> bool:  # type: ignore[override]
        """Whether labels lie from 0 to 1."""
        return self.targets == "scores"


class SelectivePointwiseLoss(CrossEncoderLoss):
    r"""Match each predicted score to its label, with errors weighed by where the scores lie.

    With a link `h` of potential `H`, a predicted score `p` and a target score `s`, the loss is the mean over the pairs
    of the matching loss

        D(p, s) = H(p) - H(s) - (p - s) h(s),      with gradient h(p) - h(s),

    or, for labels `y` that are link values (such as 0/1 with a `SigmoidLink`), of `H(p) + H*(y) - p y`, with gradient
    `h(p) - y`. The score is the model's logit, after the activation.

    Args:
        model: The CrossEncoder to train, with one output label.
        activation_fn: Applied to the logits. Default: `torch.nn.Sigmoid()` for `targets="scores"`, so that scores lie
            in [0, 1] as those of `model.predict` do; none for `targets="link_values"`, whose link does the squashing.
            For a teacher's logits as targets give `torch.nn.Identity()`.
        pos_weight: For `targets="link_values"`: how much more a 1 counts than a 0, a number or a tensor of one, as in
            `BinaryCrossEntropyLoss`; for mined hard negatives their number for each positive.
        link: What matters: a preset such as `high_scores()`, or any `Link`, used as given. Default for
            `targets="scores"`: `high_scores()`, going on linearly outside [0, 1] where scores are not bounded. Default
            for `targets="link_values"`: `SigmoidLink(scale=1, shift=0)` on logits, the binary cross entropy;
            `SigmoidLink(scale=20, shift=0.5)` on scores of at most 1.
        targets: `"scores"` if the labels are scores to be reached; `"link_values"` if they are values of the link,
            within `link.range`, such as 0/1 labels (integers allowed).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has several output labels, `targets` is unknown, or (when a batch comes) the columns,
            or the shape, type or values of the labels do not fit.

    Inputs:
        +--------------------------------------+----------------------------------------+-------------------------+
        | Inputs                               | Labels                                 | Setting                 |
        +======================================+========================================+=========================+
        | (input_A, input_B) pairs             | float similarity score between 0 and 1 | targets="scores"        |
        +--------------------------------------+----------------------------------------+-------------------------+
        | (anchor, positive/negative) pairs    | 1 if positive, 0 if negative           | targets="link_values"   |
        +--------------------------------------+----------------------------------------+-------------------------+
        | (query, doc_1, ..., doc_n), or       | a label for each document; NaN marks a | either                  |
        | (query, [doc_1, ..., doc_n])         | padded one                             |                         |
        +--------------------------------------+----------------------------------------+-------------------------+

    Relations:
        - With `SigmoidLink(1, 0)` and `targets="link_values"` it is `BinaryCrossEntropyLoss`.
        - With `IdentityLink()` and `activation_fn=torch.nn.Identity()` it is half of `MSELoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectivePointwiseLoss
        >>> from selective_st.links import high_scores
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=1)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "sentence1": ["It's nice weather outside today.", "He drove to work."],
        ...     "sentence2": ["It's so sunny.", "She walked to the store."],
        ...     "score": [1.0, 0.3],
        ... })
        >>> loss = SelectivePointwiseLoss(model, link=high_scores())                              # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    scorer_type = _ScoresOfPairs
    objective_type = Pointwise

    @staticmethod
    @override
    def default_link(space: ScoreSpace, targets: str | None) -> Link:
        link = score_link(space, targets)
        if space.range.high <= 1:
            return link
        return SigmoidLink(scale=1.0, shift=0.0) if targets == "link_values" else link.linear_outside(0.0, 1.0)

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        pos_weight: float | Tensor | None = None,
        *,
        link: Link | None = None,
        targets: Literal["scores", "link_values"] = "scores",
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class PairsOfLists(Pairwise):
    """A positive against its negatives; of lists, all pairs of documents with different labels.

    Attributes:
        k: How many documents are first; a pair of a list counts if one of them is in it. None for all.
        weighting_scheme: The weights of pairs of a list, by the ranks; None for none.
    """

    targets: str | None = settings.one_of("margins", "scores", "order", default=None)
    k: int | None = settings.at_least_1(None)
    weighting_scheme: Any = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        scheme = self.weighting_scheme
        if scheme is None:
            return
        if not isinstance(scheme, BaseWeightingScheme) or isinstance(scheme, host.NDCGLoss1Scheme):
            raise TypeError(self.said("no_scheme", got=repr(scheme)))
        if not self.orders:
            raise ValueError(self.said("scheme_of_targets", targets=self.targets))

    @property
    def orders(self) -> bool:
        """Whether of the labels of lists only the order counts."""
        return self.targets in (None, "order")

    @property
    def link_is_positive(self) -> bool:  # type: ignore[override]
        """Whether the link must not be negative: not where it may be to match scores or margins."""
        return self.targets == "order"

    @override
    def takes_integers(self, labels: Sequence[Tensor]) -> bool:
        return self.orders

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if not of_lists and self.targets != "order":
            for name in ("k", "weighting_scheme"):
                if getattr(self, name) is not None:
                    raise ValueError(self.said("for_lists", name=name))
            return super().targets_of(labels, shape)
        if not isinstance(labels, Tensor) or not labels.is_floating_point():
            got = getattr(labels, "dtype", type(labels).__name__)
            raise TypeError(self.said("integer_order", got=got, targets=self.targets))
        if labels.shape != shape:
            raise ValueError(self.said("shape_of_order", shape=shape, got=tuple(labels.shape)))
        ranges = self.space.ranges() if self.targets == "scores" else ()
        return Targets(labels, self.known(labels, ranges), of_lists=True)

    @override
    @named(predicted="scores", target="labels")
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        """Of lists the mean over all pairs of a row's documents with different labels; 0, with a graph, without any."""
        if not targets.of_lists:
            return super().loss_of(scores, targets, weight)
        labels = targets.values
        counts = labels.unsqueeze(2) > labels.unsqueeze(1)
        if self.k is not None:
            counts &= among_first(ranks_of(scores, labels.isnan()), self.k)
        row, better, worse = counts.nonzero(as_tuple=True)
        positive, negative = scores[row, better], scores[row, worse]
        weight = None if weight is None else weight.to(scores)[row]
        if self.orders:
            self.check_positive(scores)
            ordered = partial(functional.pairwise_loss, positive, negative, self.link, self.temperature)
            if self.weighting_scheme is None:
                return ordered(weight=weight)
            # The scheme's weights are part of the loss, and not of what its mean is taken over.
            factors = scheme_weights(scores, labels, self.weighting_scheme, self.k)[row, better, worse]
            rows = torch.ones_like(positive) if weight is None else weight
            return ordered(weight=factors * rows, reduction="sum") / torch.where(rows.sum() > 0, rows.sum(), 1)
        high, low = labels[row, better].to(scores), labels[row, worse].to(scores)
        if self.targets == "scores":
            return self.matched(positive, negative, high, low, weight)
        if len(row):
            self.check_margins(high - low)
        return functional.margin_loss(positive, negative, high - low, self.link, weight=weight)


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
    def builtins(self) -> tuple[Any, ...]:  # type: ignore[override]
        """The losses that it generalises."""
        return host.MarginMSELoss, host.RankNetLoss if self.weighting_scheme is None else host.LambdaLoss


@dataclass(frozen=True, kw_only=True)
class _ListsOfPairs(TextPairs):
    """Scores from 0 to 1 where the labels are such.

    Attributes:
        label_range: The ends of a scale of graded relevance, or None.
        teacher_space: What target scores are.
    """

    label_range: Any
    teacher_space: str | None

    @property
    def are_graded(self) -> bool:  # type: ignore[override]
        """Whether labels lie from 0 to 1."""
        return self.label_range is not None or self.teacher_space == "probability"


class SelectiveListwiseLoss(CrossEncoderLoss):
    r"""Match the scores of a query's documents to a teacher's scores, graded relevances, or labels, as a list.

    A link h of potential `G` and the temperature T make probabilities of scores, softmax(G(z) / T). With target scores
    s and q = softmax(G(s) / T), the loss of a list is the matching loss of the composite Softmax, a ranking term and a
    calibration term:

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k)

    and for labels y (probabilities over the documents) the cross entropy `-sum_k y_k log softmax(G(p) / T)_k`. Lists
    may have different lengths: a list counts as it would alone.

    Args:
        model: The CrossEncoder to train, with one output label.
        activation_fn: Applied to the logits. Default: none; a Sigmoid with `label_range` or
            `teacher_space="probability"`, whose values go from 0 to 1, as those of `CrossEncoder.predict`. (Where the
            logits get as large as 10, its gradient vanishes; `torch.nn.Identity()` does without.)
        mini_batch_size: How many pairs the model reads at once, as in `LambdaLoss`: None for as many as the batch has
            rows, 0 and below for all.
        temperature: The temperature T > 0, in units of the potential. Small is sharp.
        student_temperature: Overrides `temperature` for the student's probabilities.
        teacher_temperature: Overrides `temperature` for the target's probabilities q.
        link: What matters. For `targets="labels"` it must be positive on the scores. Default: half a constant and
            `SigmoidLink(scale=1, shift=0)`, so that high logits count up to three times as much as low ones; for scores
            of at most 1 (a Sigmoid's) `ExponentialLink(1.0)` with the mean value 1 on the scores from 0 to 1.
        targets: `"scores"` if the labels are scores to be reached, `"labels"` if they say which documents are right.
            Scores of minus infinity are taken as of documents that are never right, without a calibration term, and
            integers 0 and 1 as the floats that they equal, as `ListNetLoss` takes them.
        calibration: The weight >= 0 of the calibration term: 1 gives the matching loss, 0 ranks only.
        calibration_link: The link of the calibration term. Default: `link`.
        label_smoothing: For `targets="labels"`: how much of the label, 0 to 1, is spread over the documents.
        teacher_space: What target scores are: `"cosine"` (in [-1, 1]), `"probability"` (in [0, 1]), or `"logit"` (which
            is mapped to the score 1 / (1 + e^-logit) where there is an activation, and else taken as it is: the
            student's scores are logits then too). Default: scores as the student's, after the activation.
        label_range: The ends of a scale of graded relevance, such as (0, 5), which is mapped to scores from 0 to 1.
        lists: What a list is: `"rows"`, the documents of a row; or `"batch"`, for graded pairs: all pairs of the batch
            are one list, as in `selective_st.losses.SelectiveListwiseLoss`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has several output labels, an argument is out of range or excludes another, or (when a
            batch comes) the columns, or the shape, type or values of the labels do not fit.

    Inputs:
        +---------------------------------+--------------------------------------------------+------------------+
        | Inputs                          | Labels                                           | Setting          |
        +=================================+==================================================+==================+
        | (query, [doc_1, ..., doc_n])    | [score_1, ..., score_n]                          | targets="scores" |
        +---------------------------------+--------------------------------------------------+------------------+
        | (query, [doc_1, ..., doc_n])    | [relevance_1, ..., relevance_n], also integers   | targets="scores",|
        |                                 |                                                  | label_range=(0,5)|
        +---------------------------------+--------------------------------------------------+------------------+
        | (query, [doc_1, ..., doc_n])    | [1 if right, 0 if not], or probabilities         | targets="labels" |
        +---------------------------------+--------------------------------------------------+------------------+
        | (query, doc_1, ..., doc_n)      | any of these, or the index of the right document |                  |
        +---------------------------------+--------------------------------------------------+------------------+
        | (input_A, input_B) pairs        | float similarity score                           | lists="batch"    |
        +---------------------------------+--------------------------------------------------+------------------+

    Relations:
        - With `ConstantLink()`, target scores and the temperature 1 it is `ListNetLoss` less the entropy of its target,
          with the same gradient.
        - `RankNetLoss` is `SelectivePairwiseLoss` on lists.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Cao et al. 2007, *Learning to Rank: From Pairwise Approach to Listwise Approach*.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectiveListwiseLoss
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=1)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["What are pandas?", "What is the capital of France?"],
        ...     "docs": [
        ...         ["Pandas are a kind of bear.", "Pandas are kind of like fish."],
        ...         ["The capital of France is Paris.", "Paris is the capital of France.", "Paris is quite large."],
        ...     ],
        ...     "labels": [[1, 0], [1, 1, 0]],
        ... })
        >>> loss = SelectiveListwiseLoss(model, targets="labels")                                 # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtins = (host.ListNetLoss,)
    scorer_type = _ListsOfPairs
    objective_type = Listwise

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        mini_batch_size: int | None = None,
        *,
        temperature: float = 1.0,
        student_temperature: float | None = None,
        teacher_temperature: float | None = None,
        link: Link | None = None,
        targets: Literal["scores", "labels"] = "scores",
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        label_smoothing: float = 0.0,
        teacher_space: Literal["cosine", "probability", "logit"] | None = None,
        label_range: tuple[float, float] | None = None,
        lists: Literal["rows", "batch"] = "rows",
    ) -> None: ...


class SelectiveOrderLoss(CrossEncoderLoss):
    r"""Score the documents of a query in the order of their labels, where it matters to tell labels apart, and scores.

    Wherever the labels of two documents are y_i > y_j, the score p_i is to exceed p_j. A pair weighs as much as the
    weight link rises between the labels, and scores count by the potential `G` of the link. The loss is the mean over
    the pairs of all lists of

        w_ij log(1 + exp(s (G(p_j) - G(p_i)))),      w_ij = h_w(y_i) - h_w(y_j)

    and for graded pairs of texts, which a batch compares with each other,

        1/s log(1 + sum w_ij exp(s (G(p_j) - G(p_i))))

    Args:
        model: The CrossEncoder to train, with one output label.
        activation_fn: Applied to the logits. Default: none.
        mini_batch_size: How many pairs the model reads at once, as in `RankNetLoss`: None for as many as the batch has
            rows, 0 and below for all.
        scale: The factor s > 0 of differences, `sigma` of `RankNetLoss`.
        link: Which scores matter, positive on the scores. Default: all alike.
        weight_link: Between which labels confusion matters; `ExponentialLink(math.log(2))` weighs relevances by the
            gains of NDCG. Default: between all alike.
        discounts: For lists, whether weights are multiplied by the difference of the discounts of the predicted ranks,
            and divided by the list's ideal sum of discounted gains.
        k: For lists, a pair counts if one of its documents is among the k that the model puts first. Default: all.
        calibration: The weight >= 0 of a calibration term, the matching loss of scores and labels.
        calibration_link: Its link. Default: `link`, or `IdentityLink()` where there is none and scores have bounds.
        gather_across_devices: For pairs, whether those of all devices are compared.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has several output labels, an argument is out of range, the link is negative on the
            scores, the weight link is flat, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        +----------------------------------------+---------------------------------------------------+
        | Inputs                                 | Labels                                            |
        +========================================+===================================================+
        | (query, [doc_1, ..., doc_n])           | [grade_1, ..., grade_n], of any scale             |
        +----------------------------------------+---------------------------------------------------+
        | (query, doc_1, ..., doc_n)             | a grade for each document; NaN marks a padded one |
        +----------------------------------------+---------------------------------------------------+
        | (input_A, input_B) pairs               | a grade, of any scale                             |
        +----------------------------------------+---------------------------------------------------+

    Relations:
        - On lists without links it is `RankNetLoss(reduction_log="natural")`; with
          `weight_link=ExponentialLink(math.log(2))` and `discounts=True` it is `LambdaLoss` with `LambdaRankScheme()`.
        - `SelectivePairwiseLoss` takes the other schemes of `LambdaLoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446, for
          links.
        - Burges et al. 2006, *Learning to Rank with Nonsmooth Cost Functions*, for LambdaRank.

    Example:
        >>> import math
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectiveOrderLoss
        >>> from selective_st.links import ExponentialLink
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=1)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["What are pandas?", "What is the capital of France?"],
        ...     "docs": [
        ...         ["Pandas are a kind of bear.", "Pandas are kind of like fish."],
        ...         ["The capital of France is Paris.", "Paris is the capital of France.", "Paris is quite large."],
        ...     ],
        ...     "labels": [[1, 0], [2, 2, 0]],
        ... })
        >>> gains = ExponentialLink(math.log(2))
        >>> loss = SelectiveOrderLoss(model, weight_link=gains, discounts=True)                   # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    objective_type = Order
    builtins = (host.RankNetLoss,)
    default_link = staticmethod(flat_link)

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        mini_batch_size: int | None = None,
        *,
        scale: float = 1.0,
        link: Link | None = None,
        weight_link: Link | None = None,
        discounts: bool = False,
        k: int | None = None,
        calibration: float = 0.0,
        calibration_link: Link | None = None,
        gather_across_devices: bool = False,
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class _ClassesOfPairs(TextPairs):
    """The model's score of each class."""

    of_classes: ClassVar[bool] = True

    @override
    def scores(self, model: Any, documents: Documents, prompt: str | None, task: str | None) -> Tensor:
        return self.outputs_of(model, documents, prompt, task)


@dataclass(frozen=True, kw_only=True)
class Classes(Objective):
    """The right class above the others.

    Attributes:
        temperature: The temperature, in units of the potential.
        label_smoothing: How much of the label is spread evenly over all classes.
        weight: A weight for each class, or None.
        ignore_index: The class that marks a row to be left out.
    """

    columns = range(2, 3)
    columns_said = "columns_of_classes"
    link_is_positive = True
    temperature: float = settings.positive()
    label_smoothing: float = settings.smoothing()
    weight: Any
    ignore_index: int

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        instance_of(self.owner, "ignore_index", self.ignore_index, int, "Write ignore_index=-100.")
        if self.weight is not None:
            self._settle(weight=self._checked_weight(self.weight))

    def _checked_weight(self, given: Any) -> Tensor:
        weight: Tensor = given
        if not isinstance(given, Tensor):
            weight = torch.tensor(list_of(self.owner, "weight", given, "numbers, one for each class", "[1.0, 2.0]"))
        classes = self.space.outputs
        if weight.dim() != 1 or len(weight) != (classes or len(weight)):
            raise ValueError(self.said("class_weight_shape", classes=classes, shape=tuple(weight.shape)))
        if not bool(((weight >= 0) & weight.isfinite()).all()) or not bool((weight > 0).any()):
            raise ValueError(self.said("class_weight_values", got=weight.tolist()))
        return weight.float() if not weight.is_floating_point() else weight

    @override
    def targets_of(self, labels: Any, shape: tuple[int, ...], *, of_lists: bool = False) -> Targets:
        if of_lists:
            raise ValueError(f"{self.owner} {sentence('lists_for_classes')}")
        labels = tensor_of(self.owner, labels)
        if labels.is_floating_point() and labels.dim() == 1:
            raise TypeError(self.said("float_classes", dtype=labels.dtype))
        return Targets(labels.view(-1) if not labels.is_floating_point() and labels.shape == (*shape, 1) else labels)

    @override
    @named(listwise_matching_loss="SelectivePointwiseLoss")
    def loss_of(self, scores: Tensor, targets: Targets, weight: Tensor | None) -> Tensor:
        labels = targets.values
        self.check_positive(scores)
        if not labels.is_floating_point():
            counts = labels != self.ignore_index
            scores, labels = scores[counts], labels[counts]
            weight = None if weight is None else weight[counts]
        weights = {"class_weight": self.weight, "weight": weight}
        return functional.listwise_label_loss(
            scores, labels, self.link, self.temperature, label_smoothing=self.label_smoothing, **weights
        )


class SelectiveCrossEntropyLoss(CrossEncoderLoss):
    r"""Tell classes apart, where the scores matter: the cross entropy through the composite Softmax.

    With the scores p of the classes, a link h of potential `G`, a temperature T, and the label y (a class, or
    probabilities of the classes), the loss is the mean over the pairs of

        -sum_k y_k log softmax(G(p) / T)_k,       with gradient h(p_k) / T (softmax(G(p) / T)_k - y_k)

    Args:
        model: The CrossEncoder to train, with one output label for each class.
        activation_fn: Applied to the logits. Default: none.
        link: What matters, positive on the scores. Default: half a constant and `SigmoidLink(scale=1, shift=0)`, so
            that high logits count up to three times as much as low ones; for scores of at most 1 (a Sigmoid's)
            `ExponentialLink(1.0)` with the mean value 1 on the scores from 0 to 1.
        temperature: The temperature T > 0, in units of the potential.
        label_smoothing: How much of the label, 0 to 1, is spread evenly over all classes.
        weight: A weight >= 0 for each class, as in `torch.nn.CrossEntropyLoss`.
        ignore_index: The class that marks a row to be left out.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model has a single output label, an argument is out of range, the link is negative on the
            scores, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        +------------------------------+----------------------------------------+-------------------------------+
        | Inputs                       | Labels                                 | Number of Model Output Labels |
        +==============================+========================================+===============================+
        | (input_A, input_B) pairs     | class                                  | number of classes             |
        +------------------------------+----------------------------------------+-------------------------------+
        | (input_A, input_B) pairs     | a probability for each class           | number of classes             |
        +------------------------------+----------------------------------------+-------------------------------+

    Relations:
        - With `ConstantLink()` it is `CrossEntropyLoss`, also with its `label_smoothing`, `weight` and `ignore_index`,
          of the logits divided by T.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import CrossEncoder, CrossEncoderTrainer
        >>> from selective_st.cross_encoder.losses import SelectiveCrossEntropyLoss
        >>> model = CrossEncoder("microsoft/mpnet-base", num_labels=2)                            # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "sentence1": ["How can I be a good geologist?", "What is the capital of France?"],
        ...     "sentence2": ["What should I do to be a great geologist?", "What is the capital of Germany?"],
        ...     "label": [1, 0],
        ... })
        >>> loss = SelectiveCrossEntropyLoss(model)                                               # doctest: +SKIP
        >>> trainer = CrossEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)    # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    scorer_type = _ClassesOfPairs
    objective_type = Classes

    @constructor
    def __init__(
        self,
        model: CrossEncoder,
        activation_fn: nn.Module | None = None,
        *,
        link: Link | None = None,
        temperature: float = 1.0,
        label_smoothing: float = 0.0,
        weight: Tensor | Sequence[float] | None = None,
        ignore_index: int = -100,
    ) -> None: ...


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
        return functional.listwise_label_loss(
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
        in_batch = list(self.get_in_batch_negatives(queries, inputs[1:]))
        columns = [positives, *in_batch, *hard_negatives]
        pairs = [pair for column in columns for pair in zip(queries, column, strict=True)]
        scores = self.scorer.scores(self.model, Documents(pairs, len(queries), None), prompt, task)
        mask = self._mask(inputs, in_batch)
        loss: Tensor = self.objective.loss_of(scores.view(len(queries), -1), mask, weight)
        return loss

    def _check_inputs(self, inputs: Sequence[Sequence[Any]], labels: object) -> Tensor | None:
        """The rows' weights; a ValueError if columns or rows are missing; says once that labels are not used."""
        rows = self.objective.rows_of(inputs)
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

    mini_batch_size: int = settings.at_least_1()


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
