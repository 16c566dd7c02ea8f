"""The listwise loss: all candidates of a query against one another."""

from __future__ import annotations

from typing import Literal

from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from sentence_transformers.util import pairwise_dot_score

from selective_st.links import Link
from selective_st.losses._common import SimilarityFunction
from selective_st.losses._loss import Loss, constructor
from selective_st.losses._objectives import Listwise


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

    builtins = (DistillKLDivLoss,)
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
