"""The in-batch negatives losses, as they are and with cached gradients."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.losses.gradcache import CachedLossMixin, has_static_embedding_input
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import all_gather, all_gather_with_grad, cos_sim, dot_score, get_rank
from sentence_transformers.util.environment import is_dist_initialized
from torch import Tensor, nn
from torch.nn.functional import pad
from typing_extensions import override

from selective_st.functional import _in_batch_common as functional
from selective_st.functional._blockwise import Direction, Precision
from selective_st.functional._common import at_least_single
from selective_st.functional._in_batch_common import HardnessMode, MarginStrategy, PartitionMode, SimilarityMatrix
from selective_st.functional.in_batch import in_batch_loss_of_setting
from selective_st.links import Link
from selective_st.losses import _settings as settings
from selective_st.losses._common import ScoreSpace, labels_and_weight, said, sentence, text_ids
from selective_st.losses._loss import Loss, constructor
from selective_st.losses._objectives import Calibrated
from selective_st.losses._scorers import AllSimilarities

Columns = list[Tensor] | None

_FUSED = (cos_sim, dot_score)
_CACHED_BLOCK_SIZE = 128  # little memory even where mini-batches are small


@dataclass(frozen=True, kw_only=True)
class InBatch(Calibrated, functional.InBatchSetting):
    """Each anchor's positive above all other documents of the batch: what the in-batch loss is told, as it takes it."""

    columns = range(2, sys.maxsize)
    columns_said = "columns_in_batch"
    link_is_positive = True
    scale: float = settings.positive(1.0)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        functional.InBatchSetting.__post_init__(self)
        self._settle(reaches=not self.is_plain)


class Others(NamedTuple):
    """What is known of a batch beside its embeddings, of all processes where these are gathered.

    Attributes:
        begin: The first of this process's queries.
        known: A teacher's scores (`target_scores`), what tells the same texts (`document_ids`), and which documents a
            guide keeps (`keep`); None for what there is not.
        weight: Weights of this process's queries; None for none.
        share: How much their mean counts in that of all processes, where they are averaged.
    """

    begin: int
    known: dict[str, Any]
    weight: Tensor | None
    share: Any


class InBatchLoss(Loss):
    """What the in-batch losses on embeddings share."""

    objective_type = InBatch
    gather_across_devices: bool
    scale: float
    similarity_fct: Any
    mask_same_text: bool = False

    @property
    def temperature(self) -> float:
        """1 / scale."""
        return 1 / self.scale

    @override
    def _compose(self, settings: dict[str, Any]) -> None:
        super()._compose(settings)
        mode = self.objective.hardness_mode
        if mode is not None and not self.objective.hardness_strength:
            self.say(sentence("no_hardness", mode=repr(mode)))

    @override
    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        features = list(sentence_features)
        read = self._read(features)  # before the model, which writes into its features
        return self.compute_loss_from_embeddings(self.scorer.embed(self.model, features), labels, *read)

    @override
    def compute_loss_from_embeddings(  # type: ignore[override]
        self,
        embeddings: list[Any],
        labels: Tensor | None = None,
        document_ids: list[Tensor] | None = None,
        guide_embeddings: list[Tensor] | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss from embeddings.

        Args:
            embeddings: One tensor of shape (batch_size, dim) a column, of a MultiVectorEncoder the embeddings of its
                tokens: anchors, positives, then any hard negatives.
            labels: None; or a teacher's scores of each row's documents, of shape (batch_size, documents).
            document_ids: For each column of documents one integer a row, the same for the same text: an in-batch
                document with the text of the positive is left out. None: nothing is.
            guide_embeddings: The guide's embeddings of each column, where the loss has a guide.
            weight: Weights >= 0 of the rows, of shape (batch_size,), for the mean. They may come with the labels too:
                `{"label": labels, "weight": weight}`, as `with_row_weights` has them collated.

        Returns:
            The mean loss, a scalar.
        """
        return self._loss(embeddings, self._others(embeddings, labels, document_ids, guide_embeddings, weight))

    def _loss(self, embeddings: list[Any], others: Others) -> Tensor:
        """The loss of a batch of which all is known."""
        raise NotImplementedError

    def _read(self, features: list[dict[str, Tensor]]) -> tuple[Columns, Columns]:
        """What else the texts give: which documents are the same, and the guide's embeddings."""
        # Those of the first batch are told apart in any case, to say whether some are the same.
        tells_apart = self.mask_same_text or "duplicates looked for" not in self._said
        ids = self._document_ids(features) if tells_apart else None
        if self._guide is None:
            return ids, None
        names = ("mini_batch_size", "mini_batch_num_tokens")
        return ids, self._guide.embed(features, **{name: getattr(self.scorer, name, None) for name in names})

    def _others(
        self, embeddings: list[Any], labels: Any, document_ids: Columns, guided: Columns, weight: Any = None
    ) -> Others:
        """What is known of a batch beside its embeddings, checked."""
        owner, guide = type(self).__name__, self._guide
        columns, lengths = len(embeddings), {*map(len, embeddings)}
        if len(lengths) != 1 or 0 in lengths or columns not in self.objective.columns:
            self.objective.rows_of(embeddings)  # which raises
        (rows,) = lengths
        if weight is not None or isinstance(labels, Mapping):
            labels, weight = labels_and_weight(owner, labels, weight, rows)
        targets = None if labels is None else self._target_scores(labels, rows, columns - 1)
        if (guide is None) != (guided is None):
            raise ValueError(said("guide_reads_texts" if guided is None else "embeddings_of_no_guide", owner))
        if guided is not None and [len(column) for column in guided] != [rows] * columns:
            got = [tuple(column.shape) for column in guided]
            raise ValueError(said("guide_embeddings", owner, columns=columns, rows=rows, got=got))
        begin, share = 0, cast(Any, 1.0)
        if self.gather_across_devices and self._gathers():
            of_tokens = embeddings[0]  # of late interaction
            like = of_tokens if isinstance(of_tokens, Tensor) else of_tokens.embeddings
            counts = {
                "rows": rows,
                "text columns": columns,
                "teacher's scores a row": 0 if targets is None else targets.shape[1],
                "columns of texts to tell apart": len(document_ids or ()),
                "weights a row": int(weight is not None),
            }
            self._check_same_everywhere(like.device, counts)
            begin = get_rank() * rows
            targets = None if targets is None else all_gather(targets)
            document_ids = None if document_ids is None else [all_gather(ids) for ids in document_ids]
            guided = None if guided is None else self._gathered(guided, begin, all_gather)
            if weight is not None:  # how much the mean of this process counts in that of all, where they are averaged
                total = weight.to(at_least_single(like)).sum()
                totals = all_gather(total[None])
                share = total / torch.where(totals.sum() > 0, totals.mean(), 1)
        known = {
            "target_scores": targets,
            "document_ids": None if document_ids is None else torch.cat(document_ids),
            "keep": guide.guidance(guided).keep if guide and guided else None,
        }
        return Others(begin, known, weight, share)

    def _gathered(self, columns: list[Tensor], begin: int, gather: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The columns of all processes; this one's queries begin at `begin`."""
        queries, *documents = columns
        documents = [gather(column) for column in documents]
        if any(not functional.DIRECTIONS[direction][1] for direction in self.objective.directions):
            return [gather(queries), *documents]
        # Nothing is compared with the other processes' queries: they need not be sent.
        return [pad(queries, (0, 0, begin, len(documents[0]) - begin - len(queries))), *documents]

    def _gathers(self) -> bool:
        """Whether what other devices have is to be gathered; warns where it cannot be."""
        if self.gather_across_devices and not is_dist_initialized():
            self.say(sentence("no_process_group"))
            return False
        return self.gather_across_devices

    def _check_same_everywhere(self, device: torch.device, counts: dict[str, int]) -> None:
        """Raise a ValueError in every process if their batches do not fit together, on which a gather would hang."""
        everywhere = all_gather(torch.tensor([list(counts.values())], device=device)).tolist()
        for name, *of_each in zip(counts, *everywhere, strict=True):
            for process, other in enumerate(of_each):
                if other != of_each[0]:
                    facts = {"first": of_each[0], "name": name, "other": other, "process": process}
                    raise ValueError(said("other_sizes", type(self).__name__, **facts))

    def _target_scores(self, labels: object, rows: int, documents: int) -> Tensor | None:
        """A teacher's scores, checked; None where labels are not such."""
        owner = type(self).__name__
        if not isinstance(labels, Tensor):
            raise TypeError(f"{owner}: labels must be None or a tensor, got {type(labels).__name__}.")
        if not labels.is_floating_point():
            self.say(sentence("integer_labels", dtype=labels.dtype))
            return None
        if labels.shape == (rows,) and documents == 1:
            labels = labels.unsqueeze(1)
        if labels.shape != (rows, documents):
            raise ValueError(said("shape_of_teacher", owner, rows=rows, documents=documents, shape=tuple(labels.shape)))
        self.objective.known(labels.masked_fill(labels == -math.inf, math.nan), self.objective.space.ranges())
        if "teacher" not in self._said:
            first = labels[labels > -math.inf]
            if first.numel() > 1 and bool((first == first[0]).all()):
                raise ValueError(said("equal_teacher", owner, score=float(first[0])))
            self._said.add("teacher")
            self.say(sentence("labels_teach"))
        return labels

    def _document_ids(self, features: list[dict[str, Tensor]]) -> list[Tensor] | None:
        """For each column an integer a document, the same for the same text; None if texts are not told apart."""
        known = [ids for column in features[1:] if (ids := text_ids(column)) is not None]
        if self.mask_same_text and len(known) == len(features) - 1:
            return known
        if self.mask_same_text:
            self.say(sentence("no_tokens"))
        elif known and len(known[0].unique()) < len(known[0]):
            same = len(known[0]) - len(known[0].unique())
            self.say(sentence("same_texts", same=same, positives=len(known[0])))
        self._said.add("duplicates looked for")
        return None


class SelectiveMultipleNegativesRankingLoss(InBatchLoss):
    r"""Rank each anchor's positive above all other documents of the batch, where the scores matter.

    With the similarity S of anchors and documents, and a link h of potential `G`, the loss of anchor i is the cross
    entropy of the composite Softmax with its positive as the label:

        log sum_j e^(scale G(S_ij)) - scale G(S_ii)

    It is computed block by block, with the gradient, in one pass: about as fast as three matrix products, and without
    the score matrix in memory.

    Args:
        model: The SentenceTransformer model to train.
        scale: The factor of the potential, 1 / temperature.
        similarity_fct: Compares all anchors with all documents: takes (a, dim) and (b, dim), gives (a, b). `cos_sim`
            and `dot_score` are computed block by block.
        gather_across_devices: Whether the other devices' documents are negatives too.
        directions: What is compared: `"query_to_doc"` (always), `"query_to_query"`, `"doc_to_query"`, `"doc_to_doc"`.
            With `("query_to_doc", "doc_to_query")` and `partition_mode="per_direction"` it is the symmetric loss.
        partition_mode: `"joint"` for one Softmax over all directions, `"per_direction"` for the mean of one each.
        hardness_mode: Which negatives' logits are raised by `hardness_strength` times their similarity:
            `"in_batch_negatives"`, `"hard_negatives"`, `"all_negatives"`, or None.
        hardness_strength: How much, >= 0.
        link: What matters, positive on the scores. Default: `ExponentialLink(1.0)` with the mean value 1 on the scores
            from 0 to 1, going on linearly above 1 where the similarity is not bounded.
        label_smoothing: How much of the label, 0 to 1, is spread evenly over all candidates.
        mask_same_text: Whether an in-batch document with the same tokens as the anchor's positive is left out, rather
            than taken for a negative.
        calibration: For teacher scores: the weight >= 0 of the calibration term.
        calibration_link: For teacher scores: the link of the calibration term. Default: `link`.
        guide: A SentenceTransformer that tells false negatives: what its cosine puts nearer to the anchor than the
            positive, less `margin`, is left out, rather than taken for a negative. It embeds each batch too.
        margin: How far below the positive's cosine, by the guide, a negative's must stay.
        margin_strategy: `"absolute"` for a `margin` that is this distance, `"relative"` for a share of the positive's
            cosine.
        precision: That of the matrix products of `cos_sim` and `dot_score`: `"bf16"`, `"fp16"`, `"tf32"` or `"fp32"`;
            scores and sums are in float32 all the same. `"auto"` is autocast's where it is on, else the embeddings'.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or excludes another, the link is negative on the scores, or (when a
            batch comes) the columns or labels do not fit.

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
        | any of these                                    | a teacher's score of each document; NaN if unknown   |
        +-------------------------------------------------+------------------------------------------------------+

    Relations:
        - With `ConstantLink()` it is `MultipleNegativesRankingLoss`, with all of its options.
        - With `ConstantLink()` and a `guide` it is `GISTEmbedLoss`: with `contrast_anchors` and `contrast_positives`
          for `directions=("query_to_doc", "query_to_query", "doc_to_doc")`, without them for the default. A hard
          negative is one in `"doc_to_doc"` too, which it is not there.
        - `CachedSelectiveMultipleNegativesRankingLoss` is the same loss for batches too large to embed at once.
        - With a teacher's scores, the anchor's own documents are ranked and calibrated as in `SelectiveListwiseLoss`,
          and the documents of the other anchors are negatives.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.

    Example:
        >>> from datasets import Dataset
        >>> from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        >>> from selective_st.losses import SelectiveMultipleNegativesRankingLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> train_dataset = Dataset.from_dict({
        ...     "anchor": ["It's nice weather outside today.", "He drove to work."],
        ...     "positive": ["It's so sunny.", "He took the car to the office."],
        ... })
        >>> loss = SelectiveMultipleNegativesRankingLoss(model)                                   # doctest: +SKIP
        >>> trainer = SentenceTransformerTrainer(model=model, train_dataset=train_dataset, loss=loss)  # doctest: +SKIP
        >>> trainer.train()                                                                       # doctest: +SKIP
    """

    builtins: ClassVar[tuple[Any, ...]] = (MultipleNegativesRankingLoss,)
    scorer_type: ClassVar[type[Any]] = AllSimilarities

    @constructor
    def __init__(
        self,
        model: SentenceTransformer | SparseEncoder,
        scale: float = 20.0,
        similarity_fct: SimilarityMatrix = cos_sim,
        gather_across_devices: bool = False,
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition_mode: PartitionMode = "joint",
        hardness_mode: HardnessMode | None = None,
        hardness_strength: float = 0.0,
        *,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
        precision: Precision = "auto",
    ) -> None: ...

    @override
    def _loss(self, embeddings: list[Any], others: Others) -> Tensor:
        rows = len(embeddings[0])
        if self.gather_across_devices and self._gathers():
            embeddings = self._gathered(embeddings, others.begin, all_gather_with_grad)
        queries, *documents = embeddings
        cached_at_once = getattr(self.scorer, "mini_batch_size", None)
        loss = in_batch_loss_of_setting(
            self.objective,
            queries,
            documents,
            normalize=self.similarity_fct is cos_sim,
            similarity_fct=None if self.similarity_fct in _FUSED else self.similarity_fct,
            block_size=cached_at_once and max(cached_at_once, _CACHED_BLOCK_SIZE),
            weight=others.weight,
            rows=(others.begin, others.begin + rows),
            **others.known,
        )
        return loss if others.weight is None else loss * others.share


@dataclass(frozen=True, kw_only=True)
class _SimilaritiesInMiniBatches(AllSimilarities):
    """The same, where texts are embedded in mini-batches.

    Attributes:
        mini_batch_size: How many texts are embedded at once.
        mini_batch_num_tokens: How many tokens.
    """

    mini_batch_size: int = settings.whole()
    mini_batch_num_tokens: int | None = settings.whole(None)

    @override
    def space(self, model: nn.Module, model_type: type[nn.Module]) -> ScoreSpace:
        if isinstance(model, SentenceTransformer) and has_static_embedding_input(model):
            raise ValueError(self.said("static_model"))
        return super().space(model, model_type)


class CachedSelectiveMultipleNegativesRankingLoss(CachedLossMixin, SelectiveMultipleNegativesRankingLoss):
    r"""`SelectiveMultipleNegativesRankingLoss` for large batches: embedded in mini-batches, with cached gradients.

    The batch is embedded twice, mini-batch by mini-batch: once without gradients, for the loss over the whole batch and
    its gradient with respect to the embeddings (the cache); then with gradients, to carry that cache on to the
    parameters. Value and gradients are those of `SelectiveMultipleNegativesRankingLoss`.

    Args:
        model: The SentenceTransformer model to train, not one of a StaticEmbedding.
        scale: The factor of the potential, 1 / temperature.
        similarity_fct: Compares all anchors with all documents: takes (a, dim) and (b, dim), gives (a, b). `cos_sim`
            and `dot_score` are computed block by block.
        mini_batch_size: How many texts are embedded at once; as large as memory allows is fastest.
        mini_batch_num_tokens: If given, mini-batches are packed up to this many tokens instead.
        gather_across_devices: Whether the other devices' documents are negatives too.
        directions: As in `SelectiveMultipleNegativesRankingLoss`.
        partition_mode: As in `SelectiveMultipleNegativesRankingLoss`.
        show_progress_bar: Whether to show the progress of embedding.
        hardness_mode: As in `SelectiveMultipleNegativesRankingLoss`.
        hardness_strength: As in `SelectiveMultipleNegativesRankingLoss`.
        link: As in `SelectiveMultipleNegativesRankingLoss`.
        label_smoothing: As in `SelectiveMultipleNegativesRankingLoss`.
        mask_same_text: As in `SelectiveMultipleNegativesRankingLoss`.
        calibration: As in `SelectiveMultipleNegativesRankingLoss`.
        calibration_link: As in `SelectiveMultipleNegativesRankingLoss`.
        guide: As in `SelectiveMultipleNegativesRankingLoss`; it embeds in mini-batches too.
        margin: As in `SelectiveMultipleNegativesRankingLoss`.
        margin_strategy: As in `SelectiveMultipleNegativesRankingLoss`.
        precision: As in `SelectiveMultipleNegativesRankingLoss`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or excludes another, or the model embeds with a StaticEmbedding.

    Inputs:
        As `SelectiveMultipleNegativesRankingLoss`.

    Relations:
        - With `ConstantLink()` it is `CachedMultipleNegativesRankingLoss`, and with a `guide` `CachedGISTEmbedLoss`.

    References:
        - Shamir & Warmuth 2025, *Selective Matching Losses -- Not All Scores Are Created Equal*, arXiv 2506.04446.
        - Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*, arXiv 2101.06983.

    Example:
        >>> from sentence_transformers import SentenceTransformer, SparseEncoder
        >>> from selective_st.losses import CachedSelectiveMultipleNegativesRankingLoss
        >>> model = SentenceTransformer("microsoft/mpnet-base")                                   # doctest: +SKIP
        >>> loss = CachedSelectiveMultipleNegativesRankingLoss(model, mini_batch_size=64)         # doctest: +SKIP
    """

    builtins = (MultipleNegativesRankingLoss, CachedMultipleNegativesRankingLoss)
    scorer_type = _SimilaritiesInMiniBatches

    @constructor
    def __init__(
        self,
        model: SentenceTransformer,
        scale: float = 20.0,
        similarity_fct: SimilarityMatrix = cos_sim,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        gather_across_devices: bool = False,
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition_mode: PartitionMode = "joint",
        show_progress_bar: bool = False,
        hardness_mode: HardnessMode | None = None,
        hardness_strength: float = 0.0,
        *,
        link: Link | None = None,
        label_smoothing: float = 0.0,
        mask_same_text: bool = False,
        calibration: float = 1.0,
        calibration_link: Link | None = None,
        guide: SentenceTransformer | None = None,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
        precision: Precision = "auto",
    ) -> None: ...

    _of_batch: tuple[Columns, Columns] = (None, None)

    @override
    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        features = list(sentence_features)
        self.objective.check_columns(len(features))
        self._of_batch = self._read(features)
        try:
            return self.forward_cached(features, labels)
        finally:
            self._of_batch = None, None

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss over the whole batch, from its embedded mini-batches.

        Args:
            reps: For each column the embeddings of its mini-batches.
            labels: None, or a teacher's scores.
            with_backward: Whether to carry the gradient back to `reps`.

        Returns:
            The mean loss, a scalar; detached if it was carried back.
        """
        embeddings = [torch.cat(column) for column in reps]
        loss = self.compute_loss_from_embeddings(embeddings, labels, *self._of_batch)
        if not with_backward:
            return loss
        # Outside autocast, where the trainer calls backward too: otherwise it would multiply in half precision.
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()
        return loss.detach()
