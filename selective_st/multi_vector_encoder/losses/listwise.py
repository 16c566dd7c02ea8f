"""The listwise loss for late interaction."""

from __future__ import annotations

from typing import Literal

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.losses import MultiVectorDistillKLDivLoss

from selective_st.links import Link
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Listwise
from selective_st.multi_vector_encoder.losses._scoring import (
    LateInteraction,
    LateInteractionLoss,
    LateInteractionOfLists,
)


class SelectiveListwiseLoss(LateInteractionLoss):
    r"""Match the late-interaction scores of a query's candidates to a teacher's, to graded relevances, or to labels.

    A link h of potential `G` and the temperature T make probabilities of scores, softmax(G(z) / T). With target scores
    s and q = softmax(G(s) / T), the loss of a list is the matching loss of the composite Softmax, a ranking term and a
    calibration term:

        KL(q || softmax(G(p) / T)) + (calibration / T) sum_k q_k D(p_k, s_k)

    and for labels y (probabilities over the candidates) the cross entropy `-sum_k y_k log softmax(G(p) / T)_k`.

    Args:
        model: The MultiVectorEncoder to train (the student).
        similarity_fct: Takes query tokens (batch_size, tokens, dim), document tokens (batch_size, n, tokens, dim) and
            the keywords `queries_mask` and `documents_mask`, gives the (batch_size, n) scores. Default:
            `colbert_kd_scores` (MaxSim). For target scores between 0 and 1 use `mean_colbert_kd_scores`.
        temperature: The temperature T > 0, in units of the potential, which rises about as the score does. Small is
            sharp.
        student_temperature: Overrides `temperature` for the student's probabilities.
        teacher_temperature: Overrides `temperature` for the target's probabilities q.
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.
        link: What matters. For `targets="labels"` it must be positive on the scores. Default: an `ExponentialLink` with
            the mean value 1 on the scores from 0 to 32 (from 0 to 1 where scores are means over tokens), linear above.
        targets: `"scores"` if the labels are scores to be reached, `"labels"` if they say which candidates are right.
            Scores of minus infinity are taken as of candidates that are never right, without a calibration term.
        calibration: The weight >= 0 of the calibration term: 1 gives the matching loss, 0 ranks only. It pulls scores
            towards the targets, so these must be on the scale of the scores; the loss warns where they are not.
        calibration_link: The link of the calibration term. Default: `link`.
        label_smoothing: For `targets="labels"`: how much of the label, 0 to 1, is spread over the candidates.
        teacher_space: What target scores are: `"cosine"` (in [-1, 1]), `"probability"` (in [0, 1]), or `"logit"` (of a
            cross encoder, say; mapped to the score 1 / (1 + e^-logit)). Default: scores in the student's own space.
        label_range: The ends of a scale of graded relevance, such as (0, 5), which is mapped to scores from 0 to 1.
        lists: What a list is: `"rows"`, the documents of a row; or `"batch"`, for graded pairs: all pairs of the batch
            are one list, as in `selective_st.losses.SelectiveListwiseLoss`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or excludes another, `similarity_fct` is of another kind, or (when a
            batch comes) the columns, or the shape, type or values of the labels do not fit.

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
        - With `ConstantLink()` and target scores it is `MultiVectorDistillKLDivLoss` with the same temperature T,
          divided by T^2.
        - With `ConstantLink()` and labels it is the cross entropy of the scores divided by T.
        - For T to infinity, T times the loss is the mean of `SelectivePointwiseLoss` over the candidates.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Santhanam et al. 2022, *ColBERTv2*, for distillation into late interaction.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.multi_vector_encoder.losses import SelectiveListwiseLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "document_1": ["Leonardo da Vinci painted it.", "Paris is the capital of France."],
        ...     "document_2": ["Van Gogh painted The Starry Night.", "Berlin is the capital of Germany."],
        ...     "label": [[29.5, 12.1], [28.8, 14.0]],
        ... })
        >>> loss = SelectiveListwiseLoss(model, temperature=2.0)                                  # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtin = MultiVectorDistillKLDivLoss
    scorer_type = LateInteractionOfLists
    objective_type = Listwise

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        similarity_fct: LateInteraction | None = None,
        temperature: float = 1.0,
        student_temperature: float | None = None,
        teacher_temperature: float | None = None,
        mini_batch_size: int | None = None,
        link: Link | None = None,
        targets: Literal["scores", "labels"] = "scores",
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        label_smoothing: float = 0.0,
        teacher_space: Literal["cosine", "probability", "logit"] | None = None,
        label_range: tuple[float, float] | None = None,
        lists: Literal["rows", "batch"] = "rows",
    ) -> None: ...
