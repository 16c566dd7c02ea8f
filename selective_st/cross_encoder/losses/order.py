"""The order loss for a CrossEncoder: graded lists, or graded pairs of a batch."""

from __future__ import annotations

from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import RankNetLoss
from torch import nn

from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss
from selective_st.links import Link
from selective_st.losses._common import flat_link
from selective_st.losses._loss import constructor
from selective_st.losses.order import Order


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
    builtin = RankNetLoss
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
