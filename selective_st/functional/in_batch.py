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
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import Tensor

from selective_st._autograd import in_transform
from selective_st._caller import caller
from selective_st.functional._blockwise import Blockwise, Direction, Precision, Products
from selective_st.functional._checks import check_embeddings, check_weight, checked
from selective_st.functional._common import single_or_double, without_autocast
from selective_st.functional._in_batch_common import (
    Batch,
    HardnessMode,
    InBatchSetting,
    Keep,
    PartitionMode,
    SimilarityMatrix,
)
from selective_st.functional._in_batch_rows import InBatchRows
from selective_st.links import ConstantLink, Link
from selective_st.links._numerics import check_tensor

# Rows of a block, on a CPU: a fraction of the scores that saves nearly all memory, between bounds. More rows save time,
# since the documents' gradient is read and written once a block.
_FEWEST_ROWS, _MOST_ROWS = 256, 1024
_FEWEST_SCORES, _MOST_SCORES = 2**20, 2**23
_BLOCK_SCORES_ON_GPU = 2**26
_REQUIRES_GRAD = attrgetter("requires_grad")
_SHARE_OF_FREE_MEMORY, _BYTES_OF_A_SCORE = 0.5, 64  # as much as the options take


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
    keep: Tensor | None = None,
    target_scores: Tensor | None = None,
    calibration: float = 1.0,
    calibration_link: Link | None = None,
    weight: Tensor | None = None,
    rows: tuple[int, int] | None = None,
    normalize: bool = False,
    similarity_fct: SimilarityMatrix | None = None,
    form: Literal["fused", "plain"] = "fused",
    block_size: int | None = None,
    precision: Precision = "auto",
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
        keep: A mask of shape (anchors, documents): False for a document that is no negative of that anchor in the
            direction query_to_doc, and left out; a positive never is. None if all are kept.
        target_scores: A teacher's scores of each query's own documents, of shape (queries, 1 + hard negatives), or of
            all documents, (queries, documents); NaN where unknown, minus infinity for what is never right. Then, in the
            direction query_to_doc, the label's place is taken by the Softmax of the known ones, and the loss is the
            matching loss with its two terms.
        calibration: The weight >= 0 of the calibration term, `scale sum_k q_k D(p_k, s_k)`, with `target_scores`.
        calibration_link: The link of D. Default: `link`.
        weight: Weights >= 0 of the anchors, of shape (anchors,), for the mean; their documents are candidates whatever
            the weight.
        rows: `(begin, end)`, if only these queries are to be anchors; all still are candidates. The loss is their mean.
        normalize: Whether to normalise all embeddings first, so that the scores are cosines.
        similarity_fct: Another similarity than the dot product: takes (a, dim) and (b, dim), gives (a, b). It is
            differentiated automatically, in the plain form.
        form: `"fused"`, or `"plain"`: whole score matrices, differentiated automatically.
        block_size: Rows of a block of the fused form. Default: as many as stay in the cache, or on a GPU in a share of
            its free memory.
        precision: That of the fused form's matrix products: `"bf16"` and `"fp16"` round their operands; scores, sums
            and what the positive does are in float32 all the same, or in double where the embeddings are. `"tf32"`
            and `"fp32"` say how CUDA multiplies float32. `"auto"` is what autocast says where it is on, else the
            embeddings' dtype.

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
    owner = caller("in_batch_loss")
    options = directions, partition_mode, hardness_mode, hardness_strength, label_smoothing, precision
    setting = InBatchSetting(link, scale, calibration, calibration_link, *options, owner)
    checked(owner, form=form, block_size=block_size)
    return in_batch_loss_of_setting(
        setting,
        queries,
        documents,
        document_ids=document_ids,
        keep=keep,
        target_scores=target_scores,
        weight=weight,
        rows=rows,
        normalize=normalize,
        similarity_fct=_dot if similarity_fct is None and form == "plain" else similarity_fct,
        block_size=block_size,
    )


def in_batch_loss_of_setting(
    setting: InBatchSetting,
    queries: Tensor,
    documents: Tensor | Sequence[Tensor],
    *,
    normalize: bool = False,
    similarity_fct: SimilarityMatrix | None = None,
    block_size: int | None = None,
    **of_batch: Any,
) -> Tensor:
    """`in_batch_loss` with settings that have been checked.

    Args:
        setting: What is the same for every batch.
        queries: Query embeddings.
        documents: Document embeddings.
        normalize: Whether to normalise them first.
        similarity_fct: A similarity to be differentiated automatically, in the plain form; None for the fused form.
        block_size: Rows of a block of the fused form.
        **of_batch: What `_batch` takes.

    Returns:
        The mean loss.

    Raises:
        ValueError: If what is given does not fit together.
    """
    columns = list(documents) if isinstance(documents, Sequence) else [documents]
    total, are_alike = _documents(setting.owner, queries, columns)
    batch = _batch(setting, queries, len(queries), total, **of_batch)
    embeddings = (queries, *columns) if are_alike else single_or_double(queries, *columns)
    if batch.begin == batch.end or in_transform():
        batch.ask()
    if batch.begin == batch.end:
        return 0 * torch.stack([matrix.sum() for matrix in embeddings]).sum()
    if block_size is None:
        is_small = len(queries) <= _FEWEST_ROWS
        block_size = _FEWEST_ROWS if is_small else _default_block_size(queries.device, total, setting.link)
    products = Products(setting.precision, queries, *columns)
    rows = InBatchRows(batch, setting, products)

    def plain(*embeddings: Tensor) -> Tensor:
        return _plain(rows, embeddings, normalize, _dot if similarity_fct is None else similarity_fct)

    with without_autocast(queries.device.type):
        if similarity_fct is not None:
            return plain(*embeddings)
        wants_gradients = torch.is_grad_enabled() and any(map(_REQUIRES_GRAD, embeddings))
        fused = Blockwise(rows, plain, products, block_size, normalize=normalize, wants_gradients=wants_gradients)
        return fused(*embeddings)


def in_batch_loss_of_scores(setting: InBatchSetting, scores: Tensor, queries: int, **of_batch: Any) -> Tensor:
    """`in_batch_loss` of scores that are known, in the one direction `"query_to_doc"`, with settings that are checked.

    Args:
        setting: What is the same for every batch.
        scores: The anchors' scores against all documents, of shape (anchors, documents); documents in the order of
            `in_batch_loss`.
        queries: How many queries the documents belong to, anchors or not.
        **of_batch: What `_batch` takes.

    Returns:
        The mean loss.

    Raises:
        ValueError: If what is given does not fit together.
    """
    begin, end = of_batch.get("rows") or (0, queries)
    columns = scores.shape[1] if scores.dim() == 2 and queries else 0
    is_one_way = setting.directions == ("query_to_doc",)
    if not columns or columns % queries or len(scores) != end - begin or not is_one_way:
        raise ValueError(
            f"{setting.owner}: scores must have a row for each of the {end - begin} anchors and as many columns for "
            f'each of the {queries} queries, in directions=("query_to_doc",), got the shape {tuple(scores.shape)} in '
            f"{setting.directions!r}."
        )
    batch = _batch(setting, scores, queries, columns, **of_batch)
    if begin == end:
        batch.ask()
        return 0 * scores.sum()
    with without_autocast(scores.device.type):
        rows = InBatchRows(batch, setting, Products("fp32", scores))
        return rows.mean(rows.losses({"query_to_doc": single_or_double(scores)[0]}))


def _default_block_size(device: torch.device, documents: int, link: Link) -> int:
    if device.type != "cpu":
        scores = _BLOCK_SCORES_ON_GPU
        if device.type == "cuda" and documents**2 > _FEWEST_SCORES:
            free, _ = torch.cuda.mem_get_info(device)
            free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            scores = min(scores, int(free * _SHARE_OF_FREE_MEMORY) // _BYTES_OF_A_SCORE)
        return 1 << int(math.log2(max(scores // documents, 1)))  # mostly blocks of one size, compiled for once
    rows = documents // 11
    if not isinstance(link, ConstantLink):  # whose slopes take a block of their own
        rows = min(rows, documents**2 >> 16)
    rows = min(rows, _MOST_SCORES // documents, _MOST_ROWS)
    return max(rows, _FEWEST_ROWS, _FEWEST_SCORES // documents)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return left @ right.mT


def _documents(owner: str, queries: Any, columns: list[Any]) -> tuple[int, bool]:
    """How many documents there are, and whether all is dense, of one dtype; an error where it does not fit together."""
    are_alike, wrong, counts, dimensions = True, "", [], set()
    for place, value in enumerate((queries, *columns)):
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() != 2:
            check_embeddings(owner, "documents" if place else "queries", value)  # which tells what it is
        are_alike &= value.dtype == queries.dtype and value.dtype.itemsize >= 4 and value.layout == torch.strided
        counts.append(len(value))
        dimensions.add(value.shape[1])
    count, total = counts[0], sum(counts[1:])
    if len(dimensions) > 1:
        wrong = f"have the dim of queries, {queries.shape[1]}"
    elif len(columns) > 1 and len({*counts}) > 1:
        wrong = f"have a row for each of the {count} queries in each column"
    elif total < count or not columns or (count and total % count):
        wrong = f"hold one positive for each of the {count} queries, then as many hard negatives for each"
    if wrong:
        raise ValueError(f"{owner}: documents must {wrong}, got {[tuple(column.shape) for column in columns]}.")
    return total, are_alike


def _batch(
    setting: InBatchSetting,
    like: Tensor,
    count: int,
    documents: int,
    *,
    rows: Any = None,
    document_ids: Any = None,
    keep: Tensor | Keep | None = None,
    target_scores: Any = None,
    weight: Any = None,
) -> Batch:
    """What is known of a batch, checked.

    Args:
        setting: What is the same for every batch.
        like: A tensor of its dtype and device.
        count: How many queries it has.
        documents: How many documents.
        rows: Which queries are anchors.
        document_ids: Integers that tell texts apart.
        keep: Which candidates are kept: a mask, or what tells them for a block.
        target_scores: A teacher's scores.
        weight: Weights of the anchors.

    Returns:
        The batch.

    Raises:
        TypeError: If something has the wrong type.
        ValueError: If something does not fit.
    """
    owner, device = setting.owner, like.device
    columns, begin, end, shares = documents // count if count else 1, 0, count, None
    if rows is not None:
        is_pair = isinstance(rows, Sequence) and len(rows) == 2
        are_numbers = is_pair and isinstance(rows[0], int) and isinstance(rows[1], int)
        if not are_numbers or not 0 <= rows[0] <= rows[1] <= count:
            raise ValueError(f"{owner}: rows must be (begin, end) within the {count} queries, got {rows!r}.")
        begin, end = rows
    if document_ids is not None:
        of = "of one number for each document. Give each text a number"
        document_ids = check_tensor(owner, "document_ids", document_ids, "whole", (documents,), of=of).to(device)
        # Where it is free to ask, and a mask is not.
        if device.type == "cpu" and len(document_ids.unique()) == len(document_ids):
            document_ids = None
    if keep is not None and not callable(keep):
        of = "of a row for each anchor and a column for each document"
        mask = check_tensor(owner, "keep", keep, "boolean", (end - begin, documents), of=of).to(device)

        def keep(direction: Direction, first: int, last: int) -> Tensor | None:
            return mask[first - begin : last - begin] if direction == "query_to_doc" else None

    if target_scores is not None:
        of = "of the scores of each query's own documents, or of all"
        shapes = ((count, columns), (count, documents))
        target_scores = check_tensor(owner, "target_scores", target_scores, "floating-point", *shapes, of=of)
        target_scores = target_scores.detach().to(device)
        if setting.label_smoothing:
            raise ValueError(
                f"{owner}: label_smoothing and target_scores exclude each other: smoothing is for labels. Use "
                "label_smoothing=0; a lower scale makes the teacher's distribution smoother."
            )
    batch = Batch(count, columns, begin, end, document_ids, target_scores, keep)
    if weight is not None:
        shares = check_weight(owner, weight, torch.Size([end - begin]), batch.note_ends)
    if shares is not None:
        shares = shares.detach().to(device, torch.promote_types(like.dtype, torch.float32)).unsqueeze(1)
        total = shares.sum()
        object.__setattr__(batch, "shares", shares / torch.where(total > 0, total, 1))
    if target_scores is not None:
        batch.note_targets(setting)
    return batch


def _plain(rows: InBatchRows, embeddings: Sequence[Tensor], normalize: bool, similarity: SimilarityMatrix) -> Tensor:
    """The plain form: whole matrices, differentiated automatically."""
    if normalize:
        embeddings = [torch.nn.functional.normalize(matrix, dim=1) for matrix in embeddings]
    queries, documents, batch = embeddings[0], torch.cat(list(embeddings[1:])), rows.batch
    scores: dict[Direction, Tensor] = {}
    for direction, (from_documents, to_documents) in rows.directions.items():
        left = (documents if from_documents else queries)[batch.begin : batch.end]
        right = documents if to_documents else queries
        found = similarity(right, left).mT if from_documents else similarity(left, right)
        if found.shape != (len(left), len(right)):
            raise ValueError(
                f"{rows.setting.owner}: similarity_fct must compare all with all, giving shape "
                f"{(len(left), len(right))} here, but gave {tuple(found.shape)}. Use a function such as "
                "sentence_transformers.util.euclidean_sim."
            )
        scores[direction] = found
    return rows.mean(rows.losses(scores))
