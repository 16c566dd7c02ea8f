"""The pointwise loss for late interaction."""

from __future__ import annotations

from typing import Literal

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores_pairwise
from typing_extensions import override

from selective_st.links import Link
from selective_st.losses._common import ScoreSpace, score_link
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Pointwise
from selective_st.multi_vector_encoder.losses._scoring import LateInteraction, LateInteractionLoss


class SelectivePointwiseLoss(LateInteractionLoss):
    r"""Match each predicted late-interaction score to its label, with errors weighed by where the scores lie.

    With a link `h` of potential `H`, a predicted score `p` and a target score `s`, the loss is the mean of the matching
    loss

        D(p, s) = H(p) - H(s) - (p - s) h(s),      with gradient h(p) - h(s),

    or, for labels `y` that are link values (such as 0/1 with a `SigmoidLink`), of `H(p) + H*(y) - p y`. The score of a
    query and a document is, by default, the mean over the query's tokens of the highest similarity to a token of the
    document (MeanMaxSim): about a cosine, whatever the query's length.

    Args:
        model: The MultiVectorEncoder to train. For MeanMaxSim set `model.similarity_fn_name = "meanmaxsim"`.
        link: What matters: a preset such as `high_scores()`, or any `Link`. It is used as given, never rescaled.
            Default: `high_scores()` for `targets="scores"`, `SigmoidLink(scale=20, shift=0.5)` for
            `targets="link_values"`, the first going on linearly above the score 1; for sums over tokens (MaxSim) the
            same, stretched to the scores from 0 to 32.
        similarity_fct: Takes query tokens (batch_size, tokens, dim), document tokens (batch_size, tokens, dim) and the
            keywords `queries_mask` and `documents_mask`, gives the (batch_size,) scores.
        targets: `"scores"` if the labels are scores to be reached, on the scale of the similarity; `"link_values"` if
            they are values of the link, within `link.range`, such as 0/1 labels.
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `similarity_fct` is of another kind, or (when a batch comes) the
            number of columns, or the shape, type or values of the labels do not fit.

    Inputs:
        +--------------------------------------+--------------------------------------------+-------------------------+
        | Inputs                               | Labels                                     | Setting                 |
        +======================================+============================================+=========================+
        | (query, document) pairs              | float similarity score                     | targets="scores"        |
        +--------------------------------------+--------------------------------------------+-------------------------+
        | (query, document) pairs              | 1 if positive, 0 if negative               | targets="link_values"   |
        +--------------------------------------+--------------------------------------------+-------------------------+
        | (query, doc_1, ..., doc_n)           | [score(query, doc_1), ..., score(query,    | targets="scores"        |
        |                                      | doc_n)]; NaN marks a padded document       |                         |
        +--------------------------------------+--------------------------------------------+-------------------------+

    Relations:
        - With `IdentityLink()` it is half of the mean squared error of the scores.
        - With a `SigmoidLink` and `targets="link_values"` it is the binary cross entropy of the logit
          `scale * (score - shift)`, divided by `scale`.
        - No built-in loss of the multi-vector encoder takes labels of single pairs.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Khattab & Zaharia 2020, arXiv 2004.12832, for late interaction.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.links import high_scores
        >>> from selective_st.multi_vector_encoder.losses import SelectivePointwiseLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> model.similarity_fn_name = "meanmaxsim"                                               # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "document": ["Leonardo da Vinci painted it.", "Berlin is the capital of Germany."],
        ...     "score": [0.95, 0.2],
        ... })
        >>> loss = SelectivePointwiseLoss(model, link=high_scores())                              # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    objective_type = Pointwise

    @staticmethod
    @override
    def default_link(space: ScoreSpace, targets: str | None) -> Link:
        link = score_link(space, targets)
        return link if targets == "link_values" else link.linear_outside(None, space.highest)

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        link: Link | None = None,
        *,
        similarity_fct: LateInteraction | None = mean_colbert_scores_pairwise,
        targets: Literal["scores", "link_values"] = "scores",
        mini_batch_size: int | None = None,
    ) -> None: ...
