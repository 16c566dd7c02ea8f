"""The pointwise loss: each score matched to its label."""

from __future__ import annotations

from typing import Literal

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from torch import nn

from selective_st.links import Link
from selective_st.losses._common import SimilarityFunction, score_link
from selective_st.losses._loss import Loss, constructor
from selective_st.losses._objectives import Pointwise


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
    default_link = staticmethod(score_link)

    @constructor
    def __init__(
        self,
        model: SentenceTransformer | SparseEncoder,
        link: Link | None = None,
        cos_score_transformation: nn.Module | None = None,
        similarity_fct: SimilarityFunction = torch.cosine_similarity,
        targets: Literal["scores", "link_values"] = "scores",
    ) -> None: ...
