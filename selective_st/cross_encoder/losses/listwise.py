"""The listwise loss for a CrossEncoder: all documents of a query against one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import ListNetLoss
from torch import nn
from typing_extensions import override

from selective_st.cross_encoder.losses._scoring import CrossEncoderLoss, TextPairs
from selective_st.links import Link
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Listwise


@dataclass(frozen=True, kw_only=True)
class _ListsOfPairs(TextPairs):
    """Scores from 0 to 1 where the labels are such.

    Attributes:
        label_range: The ends of a scale of graded relevance, or None.
        teacher_space: What target scores are.
    """

    label_range: Any
    teacher_space: str | None

    @override
    def default_activation(self) -> nn.Module:
        is_graded = self.label_range is not None or self.teacher_space == "probability"
        return nn.Sigmoid() if is_graded else nn.Identity()


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

    builtin = ListNetLoss
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
