r"""In-batch negatives: each query against all documents of the batch, through the composite Softmax.

With the scores `S = queries @ documents.T`, a link h of potential G and `scale` = 1 / temperature, the loss of query i
with its positive i is the cross entropy

    log sum_j e^(scale G(S_ij)) - scale G(S_ii),        gradient   scale h(S_ij) (softmax_ij - [i = j])

>>> import torch
>>> from selective_st.functional import in_batch_loss
>>> from selective_st.links import ConstantLink, ExponentialLink
>>> queries, documents = torch.eye(3), torch.tensor([[0.9, 0.1, 0.0], [0.3, 0.8, 0.1], [0.0, 0.2, 0.7]])
>>> in_batch_loss(queries, documents, ConstantLink(), scale=20.0)       # as MultipleNegativesRankingLoss
tensor(6.7036e-06)
>>> in_batch_loss(queries, documents, ExponentialLink(1.0).normalized(0, 1, of="value"), scale=20.0)
tensor(1.5369e-05)

The fused form goes through the scores in blocks of rows. The gradient of a block is known as soon as its Softmax is, so
one pass gives the loss and both gradients with three matrix products and the memory of one block; backward only
multiplies. Where the gradient of the gradient is asked for, and for similarities other than the dot product, the plain
form is differentiated automatically.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.autograd import Function

from selective_st._validation import finite_number
from selective_st.functional._common import check_domain, check_link, check_nonnegative, single_or_double
from selective_st.functional.listwise import check_smoothing
from selective_st.links import ConstantLink, Link, _apply, _to_working_precision

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
PartitionMode = Literal["joint", "per_direction"]
HardnessMode = Literal["in_batch_negatives", "hard_negatives", "all_negatives"]
SimilarityMatrix = Callable[[Tensor, Tensor], Tensor]

# From whom to whom each direction compares: True for documents, False for queries.
_DIRECTIONS: dict[str, tuple[bool, bool]] = {
    "query_to_doc": (False, True),
    "query_to_query": (False, False),
    "doc_to_query": (True, False),
    "doc_to_doc": (True, True),
}
_PARTITION_MODES = ("joint", "per_direction")
_HARDNESS_MODES = ("in_batch_negatives", "hard_negatives", "all_negatives")
_FORMS = ("fused", "plain")
# Scores in a block, and its fewest and most rows. Larger blocks save time (the documents' gradient is read and written
# once a block), smaller ones memory. Measured on a CPU; a GPU wants more to be kept busy.
_BLOCK_SCORES = {"cpu": 2**21}
_BLOCK_SCORES_ELSEWHERE = 2**26
_BLOCK_ROWS = (512, 1024)
_SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize
_SMALL_POSITIVE = 1e-6  # relative to the largest; a smaller one might vanish


def in_batch_loss(
    queries: Tensor,
    documents: Tensor | Sequence[Tensor],
    link: Link,
    scale: float = 20.0,
    *,
    directions: tuple[Direction, ...] = ("query_to_doc",),
    partition_mode: PartitionMode = "joint",
    hardness_mode: HardnessMode | None = None,
    hardness_strength: float = 0.0,
    label_smoothing: float = 0.0,
    document_ids: Tensor | None = None,
    target_scores: Tensor | None = None,
    calibration: float = 1.0,
    calibration_link: Link | None = None,
    rows: tuple[int, int] | None = None,
    normalize: bool = False,
    similarity_fct: SimilarityMatrix | None = None,
    form: Literal["fused", "plain"] = "fused",
    block_size: int | None = None,
) -> Tensor:
    r"""The in-batch negatives loss through the composite Softmax; with `ConstantLink()` the plain InfoNCE loss.

    Args:
        queries: Query embeddings, of shape (queries, dim).
        documents: Document embeddings, of shape (documents, dim): the positives in the order of the queries, then each
            column of hard negatives in that order. Or a list of these columns, each of shape (queries, dim).
        link: The link h of potential G, with h >= 0 on the scores.
        scale: The factor > 0 of the potential, 1 / temperature.
        directions: What is compared: `"query_to_doc"` (always), `"query_to_query"`, `"doc_to_query"`, `"doc_to_doc"`.
        partition_mode: `"joint"` for one Softmax over all directions, `"per_direction"` for the mean of one each.
        hardness_mode: Which negatives' logits are raised by `hardness_strength` times their score (taken as a
            constant): `"in_batch_negatives"`, `"hard_negatives"`, `"all_negatives"`, or None.
        hardness_strength: How much, >= 0.
        label_smoothing: How much of the label's probability, 0 to 1, is spread evenly over all candidates.
        document_ids: One integer for each document, the same for the same text: an in-batch document with the id of
            the query's positive is no negative, and left out. None if all differ.
        target_scores: A teacher's scores of each query's own documents, of shape (queries, 1 + hard negatives), or of
            all documents, (queries, documents); NaN where unknown. Then, in the direction query_to_doc, the label's
            place is taken by the Softmax of the known ones, and the loss is the matching loss with its two terms.
        calibration: The weight >= 0 of the calibration term, `scale sum_k q_k D(p_k, s_k)`, with `target_scores`.
        calibration_link: The link of D. Default: `link`.
        rows: `(begin, end)`, if only these queries are to be anchors; all still are candidates. The loss is their mean.
        normalize: Whether to normalise all embeddings first, so that the scores are cosines.
        similarity_fct: Another similarity than the dot product: takes (a, dim) and (b, dim), gives (a, b). It is
            differentiated automatically, in the plain form.
        form: `"fused"`, or `"plain"`: whole score matrices, differentiated automatically.
        block_size: Rows of a block of the fused form. Default: as many as stay in the cache.

    Returns:
        The mean loss over the anchors, a scalar of at least float32.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If shapes do not fit, an option is unknown or out of range, options exclude each other, or the link
            is negative on the scores.

    Source:
        arXiv 2506.04446 for the composite Softmax; the options follow `MultipleNegativesRankingLoss`.

    Example:
        >>> import torch
        >>> from selective_st.functional import in_batch_loss
        >>> from selective_st.links import ConstantLink
        >>> queries, positives, negatives = torch.nn.functional.normalize(torch.ones(3, 4, 8), dim=-1)
        >>> in_batch_loss(queries, [positives, negatives], ConstantLink(), directions=("query_to_doc", "doc_to_query"))
        tensor(2.4849)
    """
    owner = "in_batch_loss"
    setting = InBatchSetting(
        link=check_link(owner, link),
        scale=finite_number(owner, "scale", scale, positive=True),
        options=InBatchOptions(directions, partition_mode, hardness_mode, hardness_strength, label_smoothing),
        calibration=finite_number(owner, "calibration", calibration, nonnegative=True),
        calibration_link=link if calibration_link is None else check_link(owner, calibration_link, "calibration_link"),
        normalize=normalize,
    )
    if form not in _FORMS:
        raise ValueError(f"{owner}: form must be one of {', '.join(map(repr, _FORMS))}, got {form!r}.")
    if block_size is not None and (isinstance(block_size, bool) or not isinstance(block_size, int) or block_size < 1):
        raise ValueError(f"{owner}: block_size must be a whole number > 0, got {block_size!r}.")
    if similarity_fct is None and form == "plain":
        similarity_fct = _dot
    return in_batch_loss_of_setting(
        setting,
        queries,
        documents,
        document_ids=document_ids,
        target_scores=target_scores,
        rows=rows,
        similarity_fct=similarity_fct,
        block_size=block_size,
    )


def in_batch_loss_of_setting(
    setting: InBatchSetting,
    queries: Tensor,
    documents: Tensor | Sequence[Tensor],
    *,
    document_ids: Tensor | None = None,
    target_scores: Tensor | None = None,
    rows: tuple[int, int] | None = None,
    similarity_fct: SimilarityMatrix | None = None,
    block_size: int | None = None,
) -> Tensor:
    """`in_batch_loss` with settings that have been checked.

    Args:
        setting: What is the same for every batch.
        queries: Query embeddings.
        documents: Document embeddings.
        document_ids: Integers that tell texts apart.
        target_scores: A teacher's scores.
        rows: Which queries are anchors.
        similarity_fct: A similarity to be differentiated automatically, in the plain form; None for the fused form.
        block_size: Rows of a block of the fused form.

    Returns:
        The mean loss.

    Raises:
        ValueError: If what is given does not fit together.
    """
    owner = setting.options.owner
    queries, documents = _check_embeddings(owner, queries, documents)
    batch = _check_batch(owner, queries, documents, rows, document_ids, target_scores)
    if batch.target_scores is not None and setting.options.label_smoothing:
        raise ValueError(
            f"{owner}: label_smoothing and target_scores exclude each other: smoothing is for labels. Use "
            "label_smoothing=0; a lower scale makes the teacher's distribution smoother."
        )
    if batch.end == batch.begin:
        return 0 * (queries.sum() + documents.sum())
    device = queries.device.type
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
        if similarity_fct is not None:
            return _plain(queries, documents, batch, setting, similarity_fct)
        if block_size is None:
            fewest, most = _BLOCK_ROWS
            scores = _BLOCK_SCORES.get(device, _BLOCK_SCORES_ELSEWHERE)
            block_size = min(max(scores // len(documents), fewest), most)
        return _apply(_FusedLoss, queries, documents, batch, setting, block_size)


@dataclass(frozen=True)
class InBatchOptions:
    """Which comparisons an in-batch loss makes; checked.

    Attributes:
        directions: What is compared with what.
        partition_mode: One Softmax, or one for each direction.
        hardness_mode: Which negatives count more the harder they are.
        hardness_strength: How much.
        label_smoothing: How much of the label is spread.
        owner: Whose options they are, for messages.
    """

    directions: tuple[Direction, ...] = ("query_to_doc",)
    partition_mode: PartitionMode = "joint"
    hardness_mode: HardnessMode | None = None
    hardness_strength: float = 0.0
    label_smoothing: float = 0.0
    owner: str = "in_batch_loss"

    def __post_init__(self) -> None:
        owner = self.owner
        directions = self.directions
        if isinstance(directions, str) or not isinstance(directions, Sequence) or not directions:
            raise ValueError(
                f'{owner}: directions must be a tuple such as ("query_to_doc", "doc_to_query"), got {directions!r}.'
            )
        unknown = [direction for direction in directions if direction not in _DIRECTIONS]
        if unknown:
            raise ValueError(
                f"{owner}: directions must be among {', '.join(map(repr, _DIRECTIONS))}, got {unknown[0]!r}."
            )
        if "query_to_doc" not in directions:
            raise ValueError(
                f'{owner}: directions must include "query_to_doc", which holds the positives; got {directions!r}.'
            )
        # Each once, in one order, whatever order they were given in.
        object.__setattr__(self, "directions", tuple(name for name in _DIRECTIONS if name in directions))
        if self.partition_mode not in _PARTITION_MODES:
            raise ValueError(
                f"{owner}: partition_mode must be one of {', '.join(map(repr, _PARTITION_MODES))}, got "
                f"{self.partition_mode!r}."
            )
        without_positive = [name for name in ("query_to_query", "doc_to_doc") if name in directions]
        if self.partition_mode == "per_direction" and without_positive:
            raise ValueError(
                f'{owner}: partition_mode="per_direction" gives each direction a Softmax of its own, but '
                f'{without_positive[0]!r} in directions holds no positive. Use partition_mode="joint".'
            )
        if self.hardness_mode is not None and self.hardness_mode not in _HARDNESS_MODES:
            raise ValueError(
                f"{owner}: hardness_mode must be None or one of {', '.join(map(repr, _HARDNESS_MODES))}, got "
                f"{self.hardness_mode!r}."
            )
        strength = finite_number(owner, "hardness_strength", self.hardness_strength, nonnegative=True)
        object.__setattr__(self, "hardness_strength", strength)
        object.__setattr__(self, "label_smoothing", check_smoothing(owner, self.label_smoothing))

    @property
    def groups(self) -> tuple[tuple[Direction, ...], ...]:
        """The directions of each Softmax."""
        return (self.directions,) if self.partition_mode == "joint" else tuple((name,) for name in self.directions)

    def penalised(self, columns: int) -> tuple[bool, list[int]]:
        """Whether in-batch negatives are raised, and which of the query's own columns are."""
        if self.hardness_mode is None or not self.hardness_strength:
            return False, []
        in_batch = self.hardness_mode != "hard_negatives"
        return in_batch, [] if self.hardness_mode == "in_batch_negatives" else list(range(1, columns))


@dataclass(frozen=True)
class InBatchSetting:
    """What is the same for every batch.

    Attributes:
        link: The link of the composite Softmax.
        scale: 1 / temperature.
        options: Which comparisons are made.
        calibration: The weight of the calibration term.
        calibration_link: Its link.
        normalize: Whether embeddings are normalised first.
    """

    link: Link
    scale: float
    options: InBatchOptions
    calibration: float
    calibration_link: Link
    normalize: bool

    @property
    def calibrates(self) -> bool:
        """Whether the calibration term is more than 0."""
        return self.calibration > 0 and not isinstance(self.calibration_link, ConstantLink)


@dataclass(frozen=True)
class _Batch:
    """What is known of a batch besides its embeddings.

    Attributes:
        queries: How many queries.
        columns: How many documents each has: the positive and its hard negatives.
        begin: The first anchor.
        end: One past the last anchor.
        document_ids: The same for the same text; None if all differ.
        target_scores: The teacher's, for the own documents or all.
    """

    queries: int
    columns: int
    begin: int
    end: int
    document_ids: Tensor | None
    target_scores: Tensor | None

    @property
    def anchors(self) -> int:
        return self.end - self.begin

    @property
    def teaches_all(self) -> bool:
        return self.target_scores is not None and self.target_scores.shape[1] > self.columns

    def own_columns(self, begin: int, to_documents: bool) -> list[int]:
        """Where, for an anchor `begin`, its own documents (or its own query) stand among the candidates."""
        return [begin + column * self.queries for column in range(self.columns)] if to_documents else [begin]

    def same_text(self, begin: int, end: int, to_documents: bool) -> Tensor | None:
        """Which candidates have, or belong to, the text of the anchors' positives; None if no text occurs twice."""
        if self.document_ids is None:
            return None
        candidates = self.document_ids if to_documents else self.document_ids[: self.queries]
        return self.document_ids[begin:end, None] == candidates[None, :]


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return left @ right.mT


def _check_embeddings(owner: str, queries: object, documents: object) -> tuple[Tensor, Tensor]:
    """Both as matrices of one dtype."""
    if isinstance(documents, Sequence):
        columns = list(documents)
        shapes = {tuple(column.shape) if isinstance(column, Tensor) else None for column in columns}
        if not columns or len(shapes) != 1 or None in shapes:
            raise ValueError(
                f"{owner}: documents must be a tensor, or a list of tensors of one shape (queries, dim), got shapes "
                f"{', '.join(map(str, shapes)) or 'none'}."
            )
        if isinstance(queries, Tensor) and len(columns[0]) != len(queries):
            raise ValueError(
                f"{owner}: documents must have a row for each of the {len(queries)} queries in each column, got "
                f"{len(columns[0])} rows."
            )
        documents = columns[0] if len(columns) == 1 else torch.cat(columns)
    for name, value in (("queries", queries), ("documents", documents)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{owner}: {name} must be a floating-point tensor of embeddings, got {got}.")
        if value.dim() != 2:
            raise ValueError(f"{owner}: {name} must have the shape (rows, dim), got {tuple(value.shape)}.")
    queries, documents = single_or_double(cast(Tensor, queries), cast(Tensor, documents))
    if queries.shape[1] != documents.shape[1]:
        raise ValueError(
            f"{owner}: documents must have the dim of queries, {queries.shape[1]}, got {documents.shape[1]}."
        )
    if len(documents) < len(queries) or (len(queries) and len(documents) % len(queries)):
        raise ValueError(
            f"{owner}: documents must hold one positive for each of the {len(queries)} queries, then as many hard "
            f"negatives for each, got {len(documents)} documents."
        )
    return queries, documents


def _check_batch(
    owner: str,
    queries: Tensor,
    documents: Tensor,
    rows: object,
    document_ids: object,
    target_scores: object,
) -> _Batch:
    count = len(queries)
    columns = len(documents) // count if count else 1
    begin, end = 0, count
    if rows is not None:
        if not (
            isinstance(rows, Sequence)
            and len(rows) == 2
            and all(isinstance(row, int) for row in rows)
            and 0 <= rows[0] <= rows[1] <= count
        ):
            raise ValueError(f"{owner}: rows must be (begin, end) within the {count} queries, got {rows!r}.")
        begin, end = rows
    if document_ids is not None:
        if not isinstance(document_ids, Tensor) or document_ids.is_floating_point():
            raise TypeError(f"{owner}: document_ids must be a tensor of integers, got {document_ids!r:.80}.")
        if document_ids.shape != (len(documents),):
            raise ValueError(
                f"{owner}: document_ids must have one number for each document, shape ({len(documents)},), got "
                f"{tuple(document_ids.shape)}."
            )
        document_ids = document_ids.to(queries.device)
        if len(document_ids.unique()) == len(document_ids):
            document_ids = None
    if target_scores is not None:
        shapes = ((count, columns), (count, len(documents)))
        if not isinstance(target_scores, Tensor) or not target_scores.is_floating_point():
            raise TypeError(f"{owner}: target_scores must be a floating-point tensor, got {target_scores!r:.80}.")
        if tuple(target_scores.shape) not in shapes:
            raise ValueError(
                f"{owner}: target_scores must have the shape {shapes[0]} for the scores of each query's own documents, "
                f"or {shapes[1]} for all; got {tuple(target_scores.shape)}."
            )
        known = ~target_scores.isnan()
        if not bool(known.any(-1).all()):
            row = int((~known.any(-1)).nonzero()[0])
            raise ValueError(
                f"{owner}: target_scores must have a number in each row, but row {row} is all NaN. Leave such rows out."
            )
        target_scores = target_scores.detach().to(queries.device)
    return _Batch(count, columns, begin, end, document_ids, target_scores)


@dataclass
class _Targets:
    """The labels of a block of anchors.

    Attributes:
        probabilities: Of the first own documents (of the positive alone, if there is no teacher), or of all documents.
        constant: How much an anchor's loss is more than the cross entropy, leaving calibration aside.
        scores: The teacher's scores where known, the others replaced by a harmless number; None for labels.
    """

    probabilities: Tensor
    constant: Tensor | float
    scores: Tensor | None


def _targets(batch: _Batch, setting: InBatchSetting, begin: int, end: int, like: Tensor) -> _Targets:
    if batch.target_scores is None:
        return _Targets(torch.ones(end - begin, 1, dtype=like.dtype, device=like.device), 0.0, None)
    scores = batch.target_scores[begin:end]
    known = ~scores.isnan()
    # A fill that is a score of the row stays within the link's domain.
    scores = torch.where(known, scores, scores.nan_to_num(math.inf).amin(-1, keepdim=True))
    check_domain("in_batch_loss", setting.link, scores)
    precise = _to_working_precision(scores)
    logits = (setting.scale * setting.link._potential(precise)).masked_fill(~known, -math.inf)
    log_q = torch.log_softmax(logits, -1)
    q = log_q.exp()
    negative_entropy = (q * torch.where(q > 0, log_q, 0)).sum(-1)
    return _Targets(q.to(like), negative_entropy.to(like), precise)


def _diagonal(matrix: Tensor, column: int) -> Tensor:
    """The entries (i, column + i), as a view."""
    return matrix[:, column : column + len(matrix)].diagonal()


def _own_entries(matrix: Tensor, own: list[int]) -> Tensor:
    """A copy of the entries of the anchors' own candidates, of shape (anchors, own)."""
    if len(own) == 1:
        return _diagonal(matrix, own[0]).unsqueeze(1).clone()
    return torch.stack([_diagonal(matrix, column) for column in own], 1)


class _FusedLoss(Function):
    """Loss and gradients in one pass over blocks of rows; the gradient of the gradient through the plain form."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, documents: Tensor, batch: _Batch, setting: InBatchSetting, block_size: int
    ) -> Tensor:
        wants_gradients = any(ctx.needs_input_grad[:2])
        given = (queries, documents)
        norms: tuple[Tensor, ...] = ()
        if setting.normalize:
            norms = tuple(matrix.norm(dim=1, keepdim=True).clamp_min_(_SMALLEST_NORM) for matrix in given)
            queries, documents = (matrix / norm for matrix, norm in zip(given, norms, strict=True))
        one_block = block_size >= batch.anchors
        pass_over = _Pass(queries, documents, batch, setting, wants_gradients=wants_gradients, one_block=one_block)
        for begin in range(batch.begin, batch.end, block_size):
            pass_over.block(begin, min(begin + block_size, batch.end))
        ctx.batch, ctx.setting = batch, setting
        if wants_gradients:
            gradients = [pass_over.gradients[False], pass_over.gradients[True]]
            for gradient, unit, norm in zip(gradients, (queries, documents), norms, strict=False):
                # What points along the embedding only changes its length.
                gradient.addcmul_(unit, (gradient * unit).sum(1, keepdim=True), value=-1).div_(norm)
            ctx.save_for_backward(*given, *gradients)
        return torch.cat(pass_over.losses).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        queries, documents, to_queries, to_documents = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            loss = _plain(queries, documents, ctx.batch, ctx.setting, _dot)
            inputs = [x for x, needed in zip((queries, documents), ctx.needs_input_grad, strict=False) if needed]
            found = iter(torch.autograd.grad(loss, inputs, gradients[0], create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:2]), None, None, None
        return gradients[0] * to_queries, gradients[0] * to_documents, None, None, None


class _Pass:
    """One pass of the fused form over the score matrices."""

    def __init__(
        self,
        queries: Tensor,
        documents: Tensor,
        batch: _Batch,
        setting: InBatchSetting,
        *,
        wants_gradients: bool,
        one_block: bool,
    ) -> None:
        self.embeddings = {False: queries.detach(), True: documents.detach()}
        self.batch, self.setting = batch, setting
        self.losses: list[Tensor] = []
        self.gradients = {}
        if wants_gradients:
            self.gradients = {side: torch.zeros_like(matrix) for side, matrix in self.embeddings.items()}
        self._one_block = one_block
        self._slabs: dict[str, Tensor] = {}

    def block(self, begin: int, end: int) -> None:
        """Add the losses and gradients of the anchors from `begin` to `end`."""
        groups = self.setting.options.groups
        losses = [self._softmax(group, begin, end, 1 / len(groups)) for group in groups]
        self.losses.append(losses[0] if len(losses) == 1 else torch.stack(losses).mean(0))

    def _product(self, direction: Direction, left: Tensor, right: Tensor) -> Tensor:
        """`left @ right.mT`, in memory that is used again for the next block."""
        if self._one_block:
            return left @ right.mT
        slab = self._slabs.get(direction)
        if slab is None or len(slab) < len(left):
            slab = self._slabs[direction] = left.new_empty(len(left), len(right))
        return torch.mm(left, right.mT, out=slab[: len(left)])

    def _softmax(self, group: tuple[Direction, ...], begin: int, end: int, share: float) -> Tensor:
        """The anchors' losses in one Softmax, whose gradients are added with the weight `share`."""
        smoothing = self.setting.options.label_smoothing
        # The first direction holds the label: query_to_doc, or doc_to_query where that has a Softmax of its own.
        parts = [self._part(direction, begin, end, is_labelled=i == 0) for i, direction in enumerate(group)]
        top = parts[0].logits.amax(1, keepdim=True)
        for part in parts[1:]:
            top = torch.maximum(top, part.logits.amax(1, keepdim=True))
        first = parts[0]
        count = torch.zeros_like(top)
        sums = torch.zeros_like(top)
        if smoothing:
            for part in parts:
                finite = part.logits > -math.inf
                sums += torch.where(finite, part.logits, 0).sum(1, keepdim=True)
                count += finite.sum(1, keepdim=True)
        for part in parts:
            part.logits.sub_(top).exp_()
        positive = first.take_positive()
        rest = first.logits.sum(1, keepdim=True)
        for part in parts[1:]:
            rest += part.logits.sum(1, keepdim=True)
        total = rest if positive is None else rest + positive
        log_normaliser = top + total.log()
        loss = log_normaliser - first.expected_logit
        if positive is not None:
            # Where the positive has most of the probability, what is left of it keeps its digits.
            loss = torch.where(positive > _SMALL_POSITIVE, torch.log1p(rest / positive), loss)
        if smoothing:
            loss = (1 - smoothing) * loss + smoothing * (log_normaliser - sums / count)
        if self.gradients:
            factor = share / self.batch.anchors
            pull = 1.0 if positive is None else rest / total - smoothing
            for part in parts:
                self._add_gradients(part, begin, end, factor, factor / total, smoothing * factor / count, pull)
        return loss.squeeze(1) + first.extra

    def _part(self, direction: Direction, begin: int, end: int, *, is_labelled: bool) -> _Part:
        """The logits of one direction, and its labels if it has them."""
        setting, batch = self.setting, self.batch
        from_documents, to_documents = _DIRECTIONS[direction]
        scores = self._product(direction, self.embeddings[from_documents][begin:end], self.embeddings[to_documents])
        check_domain("in_batch_loss", setting.link, scores)
        if not batch.teaches_all:
            check_nonnegative("in_batch_loss", setting.link, scores)
        own = batch.own_columns(begin, to_documents)
        own_scores = _own_entries(scores, own)
        to_own = direction == "query_to_doc"
        in_batch, own_penalised = setting.options.penalised(batch.columns) if to_own else (False, [])
        targets = None
        if is_labelled:
            labels = batch if to_own else replace(batch, target_scores=None)
            targets = _targets(labels, setting, begin, end, scores)
        teaches_all = is_labelled and to_own and batch.teaches_all
        raw = scores.clone() if in_batch or teaches_all else None
        part = _Part(setting, from_documents, to_documents, own, *setting.link._logits(scores, setting.scale))
        if raw is not None and in_batch:
            kept = _own_entries(part.logits, own)
            part.logits.add_(raw, alpha=setting.options.hardness_strength)
            for i, column in enumerate(own):
                if i not in own_penalised:
                    _diagonal(part.logits, column).copy_(kept[:, i])
        else:
            for i in own_penalised:
                _diagonal(part.logits, own[i]).add_(own_scores[:, i], alpha=setting.options.hardness_strength)
        part.exclude(batch.same_text(begin, end, to_documents), targets)
        if targets is not None:
            part.label(targets, own_scores if raw is None or not teaches_all else raw, all_candidates=teaches_all)
        return part

    def _add_gradients(
        self,
        part: _Part,
        begin: int,
        end: int,
        factor: float,
        row_factor: Tensor,
        smoothed: Tensor,
        pull: Tensor | float,
    ) -> None:
        """Add the gradients of the embeddings that a part's scores come from.

        Args:
            part: The part, its logits by now e^(logit - top).
            begin: The first anchor.
            end: One past the last anchor.
            factor: The weight of an anchor's loss.
            row_factor: What makes weighted probabilities of the part's weights, one number an anchor.
            smoothed: The label that smoothing gives every candidate, weighted.
            pull: How much of the own labels the weights lack.
        """
        weights = part.logits
        smoothing = self.setting.options.label_smoothing
        if smoothing or part.dense_labels is not None:
            weights.mul_(row_factor)
            row_factor = torch.ones_like(row_factor)
            if smoothing:
                weights.sub_(smoothed if part.left_out is None else torch.where(part.left_out, 0, smoothed))
            if part.dense_labels is not None:
                weights.sub_(part.dense_labels, alpha=factor)
        if isinstance(part.slope, Tensor):
            weights.mul_(part.slope)
        else:
            row_factor = row_factor * part.slope
        if part.dense_calibration is not None:
            weights.add_(part.dense_calibration, alpha=factor)
        left, right = self.embeddings[part.from_documents][begin:end], self.embeddings[part.to_documents]
        to_left, to_right = self.gradients[part.from_documents][begin:end], self.gradients[part.to_documents]
        to_left.addcmul_(weights @ right, row_factor)
        to_right.addmm_(weights.mT, left * row_factor)
        for column, gradient in part.own_gradients(pull):
            gradient = (factor * gradient).unsqueeze(1)
            to_left.addcmul_(gradient, right[column : column + end - begin])
            to_right[column : column + end - begin].addcmul_(gradient, left)


@dataclass
class _Part:
    """The scores of one direction in a block of anchors, on their way to logits, weights and gradients.

    Attributes:
        logits: Of every candidate; later e^(logit - top).
        slope: `scale h` of every candidate, or one number for all.
        own: The column of the first anchor's own document of each kind (or own query); the others' lie diagonally.
        left_out: Candidates left out; None if none is.
        teaches: Whether a teacher gave the labels.
        expected_logit: The mean logit under the label.
        extra: How much the loss is more than the cross entropy.
        dense_labels: The label of every candidate, where a teacher gave one.
        dense_calibration: The gradient of the calibration term, likewise.
    """

    setting: InBatchSetting
    from_documents: bool
    to_documents: bool
    own: list[int]
    logits: Tensor
    slope: Tensor | float
    left_out: Tensor | None = None
    teaches: bool = False
    expected_logit: Tensor | float = 0.0
    extra: Tensor | float = 0.0
    dense_labels: Tensor | None = None
    dense_calibration: Tensor | None = None
    _own_labels: Tensor | None = None
    _own_calibration: Tensor | None = None

    def exclude(self, same_text: Tensor | None, targets: _Targets | None) -> None:
        """Leave out what is no negative: an anchor itself, and what has the text of its positive without being it."""
        compares_alike = self.from_documents == self.to_documents
        left_out = same_text
        if left_out is None and compares_alike:
            left_out = torch.zeros_like(self.logits, dtype=torch.bool)
        if left_out is None:
            return
        if compares_alike:
            for column in self.own:
                _diagonal(left_out, column).fill_(True)
        else:
            _diagonal(left_out, self.own[0]).fill_(False)
            if targets is not None and targets.scores is not None:  # what the teacher gave a chance is a candidate
                if targets.probabilities.shape == left_out.shape:
                    left_out &= targets.probabilities == 0
                else:
                    for i, column in enumerate(self.own):
                        _diagonal(left_out, column).logical_and_(targets.probabilities[:, i] == 0)
        self.left_out = left_out
        self.logits.masked_fill_(left_out, -math.inf)

    def label(self, targets: _Targets, scores: Tensor, *, all_candidates: bool) -> None:
        """Take labels, of all candidates or of the first own ones, whose scores are given."""
        y = targets.probabilities
        logits = self.logits if all_candidates else _own_entries(self.logits, self.own[: y.shape[1]])
        self.teaches = targets.scores is not None
        self.expected_logit = (y * torch.where(y > 0, logits, 0)).sum(1, keepdim=True)
        self.extra = targets.constant
        calibration = None
        if targets.scores is not None and self.setting.calibrates:
            divergence, difference = self.setting.calibration_link._matching(
                _to_working_precision(scores), targets.scores
            )
            factor = y * (self.setting.calibration * self.setting.scale)
            self.extra = self.extra + (factor * divergence.to(y)).sum(1)
            calibration = factor * difference.to(y)
        if all_candidates:
            self.dense_labels, self.dense_calibration = y, calibration
        else:
            self._own_labels, self._own_calibration = y, calibration

    def take_positive(self) -> Tensor | None:
        """Take the positive's weight out of the matrix, if the label is one positive; None if a teacher labels."""
        if self.teaches or self._own_labels is None:
            return None
        weights = _diagonal(self.logits, self.own[0])
        positive = weights.unsqueeze(1).clone()
        weights.zero_()
        return positive

    def own_gradients(self, pull: Tensor | float) -> list[tuple[int, Tensor]]:
        """For each own candidate with a label its column, and the gradient of its score that the weights lack."""
        if self._own_labels is None:
            return []
        pulls = -pull * self._own_labels
        labelled = self.own[: pulls.shape[1]]
        pulls = pulls * (_own_entries(self.slope, labelled) if isinstance(self.slope, Tensor) else self.slope)
        if self._own_calibration is not None:
            pulls = pulls + self._own_calibration
        return [(column, pulls[:, i]) for i, column in enumerate(labelled)]


# --- The plain form: whole matrices, differentiated automatically --------------------------------------------------


def _plain(
    queries: Tensor, documents: Tensor, batch: _Batch, setting: InBatchSetting, similarity: SimilarityMatrix
) -> Tensor:
    if setting.normalize:
        queries, documents = (torch.nn.functional.normalize(matrix, dim=1) for matrix in (queries, documents))
    begin, end = batch.begin, batch.end
    anchors = torch.arange(begin, end, device=queries.device)
    positives = documents[begin:end]
    matrices = {
        "query_to_doc": lambda: similarity(queries[begin:end], documents),
        "query_to_query": lambda: similarity(queries[begin:end], queries),
        "doc_to_query": lambda: similarity(queries, positives).mT,
        "doc_to_doc": lambda: similarity(documents, positives).mT,
    }
    options = setting.options
    targets = _targets(batch, setting, begin, end, queries)
    logits: dict[str, Tensor] = {}
    labels: dict[str, Tensor] = {}
    extra: Tensor | float = targets.constant
    for direction in options.directions:
        from_documents, to_documents = _DIRECTIONS[direction]
        scores = matrices[direction]()
        check_domain("in_batch_loss", setting.link, scores)
        if not batch.teaches_all:
            check_nonnegative("in_batch_loss", setting.link, scores)
        position = torch.arange(scores.shape[1], device=scores.device)
        own = (position % batch.queries) == anchors[:, None]
        positive = position == anchors[:, None]
        candidates = torch.ones_like(own) if from_documents != to_documents else ~own
        label = positive.to(scores)
        logit = setting.scale * setting.link.potential(scores)
        if direction == "query_to_doc":
            teacher = targets.scores
            if batch.target_scores is not None and teacher is not None:
                label = targets.probabilities
                if not batch.teaches_all:
                    label = torch.zeros_like(scores).masked_scatter(own, label)
                    teacher = torch.zeros_like(_to_working_precision(scores)).masked_scatter(own, teacher)
                if setting.calibrates:
                    teacher = torch.where(label > 0, teacher.to(scores), scores.detach())
                    divergence = setting.calibration_link.divergence(scores, teacher)
                    extra = extra + setting.calibration * setting.scale * (label * divergence).sum(1)
            penalised = {
                None: torch.zeros_like(own),
                "in_batch_negatives": ~own,
                "hard_negatives": own & ~positive,
                "all_negatives": ~positive,
            }[options.hardness_mode]
            logit = logit + options.hardness_strength * torch.where(penalised, scores.detach(), 0)
        same = batch.same_text(begin, end, to_documents)
        if same is not None:
            if from_documents != to_documents:
                same = same & ~positive & (label == 0)
            candidates = candidates & ~same
        logits[direction] = logit.masked_fill(~candidates, -math.inf)
        labels[direction] = label
    loss: Tensor | float = 0.0
    for group in options.groups:
        joint = torch.cat([logits[direction] for direction in group], 1)
        first, *others = (labels[direction] for direction in group)
        label = torch.cat([first, *(torch.zeros_like(other) for other in others)], 1)
        candidates = (joint > -math.inf).to(joint)
        even = candidates / candidates.sum(1, keepdim=True)
        label = (1 - options.label_smoothing) * label + options.label_smoothing * even
        expected = (label * torch.where(label > 0, joint, 0)).sum(1)
        group_loss = torch.logsumexp(joint, 1) - expected
        loss = loss + (group_loss + extra if group[0] == "query_to_doc" else group_loss) / len(options.groups)
    return cast(Tensor, loss).mean()
