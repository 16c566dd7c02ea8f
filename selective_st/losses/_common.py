"""What the loss modules share: from embeddings to scores, and the checks of labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
from sentence_transformers import util
from torch import Tensor

from selective_st.links import Interval

SimilarityFunction = Callable[[Tensor, Tensor], Tensor]

PAPER_CITATION = """
@misc{shamir2025selective,
    title={Selective Matching Losses -- Not All Scores Are Created Equal},
    author={Gil I. Shamir and Manfred K. Warmuth},
    year={2025},
    eprint={2506.04446},
    archivePrefix={arXiv},
    primaryClass={cs.LG},
    url={https://arxiv.org/abs/2506.04446},
}
"""

# Where a similarity function cannot leave a range, labels outside it are a mistake.
_COSINES: tuple[SimilarityFunction, ...] = (torch.cosine_similarity, util.pairwise_cos_sim)
# A teacher's cosine of 1.0000001 is a rounding error, not a label of another scale.
_RANGE_TOLERANCE = 1e-4


MAP_SCORES = (
    "If your label scale goes from {low} to {high}, map it to the score's range before training: "
    'dataset.map(lambda row: {{"score": (row["score"] - {low}) / ({high} - {low})}}), or on the command line '
    "--score-range {low},{high}."
)


def pairwise_scores(embeddings: list[Tensor], similarity_fct: SimilarityFunction) -> Tensor:
    """The score of the first column against each other column, in at least single precision.

    Args:
        embeddings: One tensor of shape (batch_size, dim) a column: the anchors, then one or more columns of documents.
        similarity_fct: Takes two such tensors, gives (batch_size,) scores.

    Returns:
        Scores of shape (batch_size,) for one column of documents, (batch_size, documents) for more.
    """
    device = embeddings[0].device.type
    # A cosine of 0.95 in bfloat16 is 0.95 +- 0.004: too coarse for a loss that cares about a region.
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
        anchors, *others = (column.float() if column.dtype.itemsize < 4 else column for column in embeddings)
        scores = [similarity_fct(anchors, other) for other in others]
    if scores[0].shape != anchors.shape[:1]:
        name = getattr(similarity_fct, "__name__", repr(similarity_fct))
        raise ValueError(
            f"similarity_fct must give one score a row, of shape {tuple(anchors.shape[:1])}, but {name} gave shape "
            f"{tuple(scores[0].shape)}. Use a pairwise function, such as sentence_transformers.util.pairwise_cos_sim."
        )
    return scores[0] if len(scores) == 1 else torch.stack(scores, dim=1)


def score_range_of(similarity_fct: SimilarityFunction) -> Interval:
    """The range that the similarity function cannot leave; all real numbers where none is known."""
    is_cosine = any(similarity_fct is cosine for cosine in _COSINES)
    return Interval(-1.0, 1.0) if is_cosine else Interval(-math.inf, math.inf)


def check_label_range(owner: str, labels: Tensor, ranges: dict[tuple[str, Interval], str]) -> Tensor | None:
    """Check that labels lie within ranges, and find the padded ones.

    Args:
        owner: The loss, for the message.
        labels: Labels of shape (batch_size,), or (batch_size, documents) where NaN marks a padded document.
        ranges: For each range, what it is and the range; and the advice for labels outside it, in which {low} and
            {high} stand for the ends of a scale that would hold them.

    Returns:
        Which labels count; None for all.

    Raises:
        ValueError: If a row has no label at all, or a label lies outside a range; with the line that maps it.
    """
    # A batch has few labels, and a list of floats costs less to look through than tensor operations do to start.
    values = labels.flatten().tolist()
    mask = None
    if math.isnan(sum(values)):
        mask = ~labels.isnan()
        rows = (~mask.view(len(mask), -1).any(dim=1)).nonzero().flatten().tolist()
        if rows:
            raise ValueError(
                f"{owner}: labels must be numbers, but are NaN in row(s) {', '.join(map(str, rows[:5]))} of the batch. "
                "Leave such rows out: dataset.filter(lambda row: row['score'] == row['score'])."
            )
        values = labels[mask].tolist()
    low, high = min(values), max(values)
    if math.isinf(low) or math.isinf(high):
        raise ValueError(f"{owner}: labels must be finite, but this batch has labels from {low:g} to {high:g}.")
    for (what, allowed), advice in ranges.items():
        if low < allowed.low - _RANGE_TOLERANCE or high > allowed.high + _RANGE_TOLERANCE:
            raise ValueError(
                f"{owner}: labels must lie within {allowed}, {what}, but this batch has labels from {low:g} to "
                f"{high:g}. " + advice.format(low=math.floor(low), high=math.ceil(high))
            )
    return mask
