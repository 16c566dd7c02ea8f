"""The losses on late-interaction scores: those of `selective_st.losses`, by other scorers and with other defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.multi_vector_encoder import losses as host
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores_pairwise
from sentence_transformers.util import all_gather_padded, cat_padded_token_embeddings
from torch import Tensor
from typing_extensions import override

from selective_st.functional._in_batch_common import MarginStrategy
from selective_st.functional.in_batch import in_batch_loss_of_scores
from selective_st.links import Link
from selective_st.losses import _settings as settings
from selective_st.losses._common import ScoreSpace, flat_link, score_link
from selective_st.losses._loss import constructor
from selective_st.losses._objectives import Listwise, Pairwise, Pointwise
from selective_st.losses.in_batch import InBatchLoss, Others
from selective_st.losses.selective import Order
from selective_st.multi_vector_encoder.losses import _scoring as late
from selective_st.multi_vector_encoder.losses._scoring import LateInteraction, TokenEmbeddings


class SelectivePointwiseLoss(late.LateInteractionLoss):
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


class SelectivePairwiseLoss(late.LateInteractionLoss):
    r"""Rank each positive above its negatives, by as much as the labels say, where the late-interaction scores matter.

    With the scores p of the positive and n of a negative, a link h of potential `G`, and what the labels are, the loss
    is the mean over all (positive, negative) pairs of

        log(1 + e^((G(n) - G(p)) / T))           without labels: ranks the positive above the negative
        D(p - n, m)                              for margins m: the matching loss of the margin
        D((p, n), (s_p, s_n))                    for scores: the matching loss of the list of two

    Args:
        model: The MultiVectorEncoder to train.
        similarity_fct: Takes query tokens (batch_size, tokens, dim), document tokens (batch_size, tokens, dim) and the
            keywords `queries_mask` and `documents_mask`, gives the (batch_size,) scores. Default:
            `colbert_scores_pairwise` (MaxSim).
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.
        link: What matters. Without labels it must be positive on the scores. Default: an `ExponentialLink` with the
            mean value 1 on the scores from 0 to 32 (from 0 to 1 where scores are means over tokens), linear above.
        temperature: The temperature T > 0 of the forms without labels and with scores, in units of the potential.
        targets: What labels are: `"margins"` or `"scores"`. Default: by their shape; n + 1 numbers for n negatives
            could be both, so that the loss asks.
        calibration: For scores: the weight >= 0 of the calibration term.
        calibration_link: For scores: the link of the calibration term. Default: `link`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `similarity_fct` is of another kind, or (when a batch comes) the
            columns, or the shape, type or values of the labels do not fit.

    Inputs:
        +-------------------------------------------------+----------------------------------------+-------------------+
        | Inputs                                          | Labels                                 | Setting           |
        +=================================================+========================================+===================+
        | (query, positive, negative) triplets,           | none                                   |                   |
        | (query, positive, negative_1, ..., negative_n)  |                                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative) triplets            | margin score(positive) -               |                   |
        |                                                 | score(negative)                        |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative_1, ..., negative_n)  | n margins; NaN marks a padded negative |                   |
        +-------------------------------------------------+----------------------------------------+-------------------+
        | (query, positive, negative_1, ..., negative_n)  | n + 1 scores; NaN marks a padded       | targets="margins" |
        |                                                 | negative                               | or "scores"       |
        +-------------------------------------------------+----------------------------------------+-------------------+

    Relations:
        - With `IdentityLink()` and margins it is half of `MultiVectorMarginMSELoss`.
        - With `ConstantLink()` and no labels it is the logistic loss (RankNet, BPR) of (p - n) / T.
        - `SelectiveListwiseLoss` compares all candidates with one another, not only with the positive.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Hofstätter et al. 2020, arXiv 2010.02666, for margins as targets.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.multi_vector_encoder.losses import SelectivePairwiseLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "positive": ["Leonardo da Vinci painted it.", "Paris is the capital of France."],
        ...     "negative": ["Van Gogh painted The Starry Night.", "Berlin is the capital of Germany."],
        ...     "label": [3.5, 2.8],
        ... })
        >>> loss = SelectivePairwiseLoss(model)                                                   # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtins = (host.MultiVectorMarginMSELoss,)
    objective_type = Pairwise

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        similarity_fct: LateInteraction | None = None,
        mini_batch_size: int | None = None,
        link: Link | None = None,
        temperature: float = 1.0,
        targets: Literal["margins", "scores"] | None = None,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
    ) -> None: ...


class SelectiveListwiseLoss(late.LateInteractionLoss):
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

    builtins = (host.MultiVectorDistillKLDivLoss,)
    scorer_type = late.LateInteractionOfLists
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


class SelectiveOrderLoss(late.LateInteractionLoss):
    r"""Score graded pairs in the order of their labels, by late interaction, where it matters to tell them apart.

    As `selective_st.losses.SelectiveOrderLoss`, of the late-interaction scores of a query and a document.

    Args:
        model: The MultiVectorEncoder to train. For MeanMaxSim set `model.similarity_fn_name = "meanmaxsim"`.
        scale: The factor s > 0 of differences, an inverse temperature.
        similarity_fct: Takes query tokens (batch_size, tokens, dim), document tokens (batch_size, tokens, dim) and the
            keywords `queries_mask` and `documents_mask`, gives the (batch_size,) scores.
        link: Which scores matter, positive on the scores. Default: all alike.
        weight_link: Between which labels confusion matters. Default: between all alike.
        calibration: The weight >= 0 of a calibration term, the matching loss of scores and labels.
        calibration_link: Its link. Default: `link`, or `IdentityLink()` where there is none and scores have bounds.
        gather_across_devices: Whether the pairs of all devices are compared.
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `similarity_fct` is of another kind, the weight link is flat, or
            (when a batch comes) the columns or labels do not fit.

    Inputs:
        As `selective_st.losses.SelectiveOrderLoss`.

    Relations:
        - No built-in loss of the multi-vector encoder takes labels of single pairs; on embeddings it is `CoSENTLoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446, for
          links.
        - Khattab & Zaharia 2020, arXiv 2004.12832, for late interaction.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.links import high_scores
        >>> from selective_st.multi_vector_encoder.losses import SelectiveOrderLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "document": ["Leonardo da Vinci painted it.", "Berlin is the capital of Germany."],
        ...     "score": [0.95, 0.2],
        ... })
        >>> loss = SelectiveOrderLoss(model, weight_link=high_scores(3))                          # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    objective_type = Order
    default_link = staticmethod(flat_link)
    said_if_not: ClassVar[dict[str, Any]] = {"gather_across_devices": False}

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        scale: float = 20.0,
        similarity_fct: LateInteraction | None = mean_colbert_scores_pairwise,
        *,
        link: Link | None = None,
        weight_link: Link | None = None,
        calibration: float = 0.0,
        calibration_link: Link | None = None,
        gather_across_devices: bool = False,
        mini_batch_size: int | None = None,
    ) -> None: ...


class SelectiveMultipleNegativesRankingLoss(late.LateInteractionLoss, InBatchLoss):
    r"""Rank each query's positive above all other documents of the batch, where the late-interaction scores matter.

    With the scores S of queries and documents, and a link h of potential `G`, the loss of query i is the cross entropy
    of the composite Softmax with its positive as the label:

        log sum_j e^(scale G(S_ij)) - scale G(S_ii)

    Args:
        model: The MultiVectorEncoder to train.
        scale: The factor of the potential, 1 / temperature.
        similarity_fct: Takes query tokens (queries, tokens, dim), document tokens (queries, n, tokens, dim) and the
            keywords `queries_mask` and `documents_mask`, gives the (queries, queries * n) scores, those against the
            first query's documents first. Default: `colbert_scores` (MaxSim).
        mini_batch_size: The most documents embedded in one forward pass; None for no limit.
        score_mini_batch_size: The most queries scored at once; None for no limit.
        gather_across_devices: Whether the other devices' documents are negatives too.
        link: What matters, positive on the scores. Default: an `ExponentialLink` with the mean value 1 on the scores
            from 0 to 32 (from 0 to 1 where scores are means over tokens), linear above.
        label_smoothing: How much of the label, 0 to 1, is spread evenly over all candidates.
        mask_same_text: Whether an in-batch document with the same tokens as the query's positive is left out, rather
            than taken for a negative.
        calibration: For teacher scores: the weight >= 0 of the calibration term.
        calibration_link: For teacher scores: the link of the calibration term. Default: `link`.
        guide: A SentenceTransformer that tells false negatives, as in
            `selective_st.losses.SelectiveMultipleNegativesRankingLoss`.
        margin: How far below the positive's cosine, by the guide, a negative's must stay.
        margin_strategy: `"absolute"` for a `margin` that is this distance, `"relative"` for a share of the positive's
            cosine.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, `similarity_fct` is of another kind, the link is negative on the
            scores, or (when a batch comes) the columns or labels do not fit.

    Inputs:
        +-------------------------------------------------+------------------------------------------------------+
        | Inputs                                          | Labels                                               |
        +=================================================+======================================================+
        | (query, positive) pairs                         | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | (query, positive, negative) triplets            | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | (query, positive, negative_1, ..., negative_n)  | none                                                 |
        +-------------------------------------------------+------------------------------------------------------+
        | any of these                                    | a teacher's score of each document; NaN if unknown   |
        +-------------------------------------------------+------------------------------------------------------+

    Relations:
        - With `ConstantLink()` it is `MultiVectorMultipleNegativesRankingLoss`.
        - `CachedSelectiveMultipleNegativesRankingLoss` is the same loss for batches too large to embed at once.
        - With a teacher's scores, the query's own documents are ranked and calibrated as in `SelectiveListwiseLoss`,
          and the documents of the other queries are negatives.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderTrainer
        >>> from selective_st.multi_vector_encoder.losses import SelectiveMultipleNegativesRankingLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "query": ["Who painted the Mona Lisa?", "What is the capital of France?"],
        ...     "positive": ["Leonardo da Vinci painted it.", "Paris is the capital of France."],
        ... })
        >>> loss = SelectiveMultipleNegativesRankingLoss(model)                                   # doctest: +SKIP
        >>> trainer = MultiVectorEncoderTrainer(model=model, train_dataset=train_dataset, loss=loss)   # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    score_mini_batch_size: Any
    builtins: ClassVar[tuple[Any, ...]] = (host.MultiVectorMultipleNegativesRankingLoss,)
    scorer_type: ClassVar[type[Any]] = late.LateInteractionOfAll

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        scale: float = 1.0,
        similarity_fct: LateInteraction | None = None,
        mini_batch_size: int | None = None,
        score_mini_batch_size: int | None = None,
        gather_across_devices: bool = False,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
    ) -> None: ...

    @override
    def _loss(self, embeddings: list[TokenEmbeddings], others: Others) -> Tensor:
        queries, documents = self._compared(embeddings)
        scores = [scores for _, scores in self._scored(queries, documents)]
        scores_of_all = scores[0] if len(scores) == 1 else torch.cat(scores)
        return self._loss_of_some(scores_of_all, 0, len(queries), len(documents), others)

    def _compared(self, embeddings: list[TokenEmbeddings]) -> tuple[TokenEmbeddings, TokenEmbeddings]:
        """The queries, and the documents, one group a query: those of other devices too where they are gathered."""
        queries, *documents = embeddings
        if self._gathers():  # only documents, padded to the longest text of any: each device scores its own queries
            for place, column in enumerate(map(late.with_mask, documents)):
                gathered = all_gather_padded(column.embeddings, cast(Tensor, column.mask), with_grad=True)
                documents[place] = TokenEmbeddings(*gathered)
        return queries, late.stack(documents)

    def _scored(self, queries: TokenEmbeddings, documents: TokenEmbeddings) -> Iterator[tuple[int, Tensor]]:
        """Where each part of the queries begins that is scored at once, and its scores against all documents."""
        step = self.score_mini_batch_size or len(queries)
        for begin in range(0, len(queries), step):
            yield begin, self.scorer.of_some(queries, begin, step, documents)

    def _loss_of_some(self, scores: Tensor, begin: int, rows: int, groups: int, others: Others) -> Tensor:
        """What the queries from `begin` on add to the mean loss of the rows, given their scores against all groups."""
        if others.known["target_scores"] is not None:
            self._remark(scores, others.known["target_scores"])
        # Here a query's documents stand side by side; the in-batch loss wants the positives first, then each column of
        # hard negatives.
        by_column = scores.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1)
        first, weight = others.begin + begin, others.weight
        share: Any = len(scores) / rows
        if weight is not None:
            total, weight = weight.sum(), weight[begin : begin + len(scores)]
            share = weight.sum() / torch.where(total > 0, total, 1) * others.share
        anchors = (first, first + len(scores))
        loss = in_batch_loss_of_scores(self.objective, by_column, groups, rows=anchors, weight=weight, **others.known)
        return cast(Tensor, loss * share)


@dataclass(frozen=True, kw_only=True)
class _OfAllInMiniBatches(late.LateInteractionOfAll):
    """The same, where texts are embedded in mini-batches.

    Attributes:
        mini_batch_size: How many texts are embedded at once.
        mini_batch_num_tokens: How many tokens.
    """

    mini_batch_size: int = settings.whole()
    mini_batch_num_tokens: int | None = settings.whole(None)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self._settle(score_mini_batch_size=self.score_mini_batch_size or self.mini_batch_size)


class CachedSelectiveMultipleNegativesRankingLoss(
    host.CachedMultiVectorMultipleNegativesRankingLoss, SelectiveMultipleNegativesRankingLoss
):
    r"""`SelectiveMultipleNegativesRankingLoss` for large batches: embedded in mini-batches, with cached gradients.

    The batch is embedded twice, mini-batch by mini-batch: once without gradients, for the loss over the whole batch and
    its gradient with respect to the embeddings (the cache); then with gradients, to carry that cache on to the
    parameters. Value and gradients are those of `SelectiveMultipleNegativesRankingLoss`.

    Args:
        model: The MultiVectorEncoder to train.
        scale: The factor of the potential, 1 / temperature.
        similarity_fct: As in `SelectiveMultipleNegativesRankingLoss`.
        mini_batch_size: How many texts are embedded at once; as large as memory allows is fastest.
        mini_batch_num_tokens: If given, mini-batches are packed up to this many tokens instead.
        score_mini_batch_size: How many queries are scored at once. Default: `mini_batch_size`.
        gather_across_devices: Whether the other devices' documents are negatives too.
        show_progress_bar: Whether to show the progress of embedding.
        link: As in `SelectiveMultipleNegativesRankingLoss`.
        label_smoothing: As in `SelectiveMultipleNegativesRankingLoss`.
        mask_same_text: As in `SelectiveMultipleNegativesRankingLoss`.
        calibration: As in `SelectiveMultipleNegativesRankingLoss`.
        calibration_link: As in `SelectiveMultipleNegativesRankingLoss`.
        guide: As in `SelectiveMultipleNegativesRankingLoss`; it embeds in mini-batches too.
        margin: As in `SelectiveMultipleNegativesRankingLoss`.
        margin_strategy: As in `SelectiveMultipleNegativesRankingLoss`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or `similarity_fct` is of another kind.

    Inputs:
        As `SelectiveMultipleNegativesRankingLoss`.

    Relations:
        - With `ConstantLink()` it is `CachedMultiVectorMultipleNegativesRankingLoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*, arXiv 2101.06983.

    Example:
        >>> from sentence_transformers import MultiVectorEncoder
        >>> from selective_st.multi_vector_encoder.losses import CachedSelectiveMultipleNegativesRankingLoss
        >>> model = MultiVectorEncoder("answerdotai/ModernBERT-base")                             # doctest: +SKIP
        >>> loss = CachedSelectiveMultipleNegativesRankingLoss(model, mini_batch_size=8)          # doctest: +SKIP
    """

    builtins = (host.MultiVectorMultipleNegativesRankingLoss, host.CachedMultiVectorMultipleNegativesRankingLoss)
    scorer_type = _OfAllInMiniBatches
    model: Any
    _of_batch: tuple[Tensor | None, list[Tensor] | None, list[Tensor] | None] = (None, None, None)

    @constructor
    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        scale: float = 1.0,
        similarity_fct: LateInteraction | None = None,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        score_mini_batch_size: int | None = None,
        gather_across_devices: bool = False,
        show_progress_bar: bool = False,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
    ) -> None: ...

    @override
    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        features = list(sentence_features)
        self.objective.check_columns(len(features))
        self._of_batch = labels, *self._read(features)
        try:
            return host.CachedMultiVectorMultipleNegativesRankingLoss.forward(self, features)
        finally:
            self._of_batch = None, None, None

    # Those of the built-in loss, which is here for how it embeds, know nothing of ours.
    get_config_dict = SelectiveMultipleNegativesRankingLoss.get_config_dict
    citation = SelectiveMultipleNegativesRankingLoss.citation

    def calculate_loss(
        self, reps: list[list[Tensor]], masks_chunks: list[list[Tensor]], *, with_backward: bool = False
    ) -> Tensor:
        """The loss over the whole batch, from its embedded mini-batches.

        Args:
            reps: For each column the embeddings of its mini-batches.
            masks_chunks: For each column the masks of its mini-batches.
            with_backward: Whether to carry the gradient back to `reps`.

        Returns:
            The mean loss, a scalar; detached if it was carried back.
        """
        columns = [
            TokenEmbeddings(*cat_padded_token_embeddings(column, masks))
            for column, masks in zip(reps, masks_chunks, strict=True)
        ]
        others = self._others(columns, *self._of_batch)
        if not with_backward:
            return self._loss(columns, others)
        queries, documents = self._compared(columns)
        # All steps share how the documents were joined and gathered: the way back through that is taken once, with the
        # sum of their gradients.
        leaf = TokenEmbeddings(documents.embeddings.detach().requires_grad_(), documents.mask)
        losses_of_steps = []
        for begin, scores in self._scored(queries, leaf):
            loss = self._loss_of_some(scores, begin, len(queries), len(leaf), others)
            # Outside autocast, where the trainer calls backward too.
            with torch.autocast(loss.device.type, enabled=False):
                loss.backward()  # of the queries, the steps share only joining and padding, which save no tensors
            losses_of_steps.append(loss.detach())
        torch.autograd.backward(documents.embeddings, leaf.embeddings.grad)
        return torch.stack(losses_of_steps).sum()
