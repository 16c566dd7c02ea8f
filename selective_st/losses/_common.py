"""What the losses share: where scores lie, checks of models and labels, default links, texts told apart."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple, cast

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder, util
from sentence_transformers.util import similarity_fct_name
from torch import Tensor, nn

from selective_st.functional._common import check_nonnegative, is_finite
from selective_st.links import ExponentialLink, Interval, Link, SigmoidLink, high_scores

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
_COSINES: tuple[SimilarityFunction, ...] = (torch.cosine_similarity, util.pairwise_cos_sim, util.cos_sim)
_DOT_PRODUCTS: tuple[SimilarityFunction, ...] = (util.pairwise_dot_score, util.dot_score)
_ROW_BY_ROW = {
    "pairwise_cos_sim": "cos_sim",
    "pairwise_dot_score": "dot_score",
    "pairwise_euclidean_sim": "euclidean_sim",
    "pairwise_manhattan_sim": "manhattan_sim",
}
# What a model of more than texts adds to their tokens, which then do not tell its inputs apart.
_OTHER_MODALITIES = ("pixel_", "image_", "video_", "audio_", "input_features", "input_values")
# A teacher's cosine of 1.0000001 is a rounding error, not a label of another scale.
_RANGE_TOLERANCE = 1e-4
_FEW_LABELS = 256


class ScoreSpace(NamedTuple):
    """Where scores come from, for defaults, checks and messages.

    Attributes:
        name: What gives them, such as "pairwise_cos_sim" or "Sigmoid".
        range: The range that the scores cannot leave; all real numbers where none is known.
        sign: 1 where the model's scores are known not to be negative, whatever labels may be, 0 where they are known to
            lie on both sides of 0; None where that is not known.
        highest: The highest score that is to be expected.
        are_logits: Whether they are a model's logits as they are.
        inputs: What the loss calls its inputs.
        outputs: How many output labels the model has, where that is known.
    """

    name: str
    range: Interval = Interval(-math.inf, math.inf)
    sign: int | None = None
    highest: float = 1.0
    are_logits: bool = False
    inputs: str = "sentence_features"
    outputs: int | None = None

    @property
    def lowest(self) -> float:
        """The lowest score that there can be, minus infinity where nothing bounds them."""
        return max(self.range.low, 0.0) if self.sign == 1 else self.range.low

    @property
    def is_bounded_below(self) -> bool:
        """Whether a lowest score is known."""
        return self.range.low > -math.inf


# Which model each package of losses is for.
_MODEL_TYPES: dict[type[nn.Module], str] = {
    SentenceTransformer: "selective_st.losses",
    CrossEncoder: "selective_st.cross_encoder.losses",
    SparseEncoder: "selective_st.sparse_encoder.losses",
    MultiVectorEncoder: "selective_st.multi_vector_encoder.losses",
}

# A loss sees a batch, never the column: it cannot know the ends of the labels' scale, nor what the column is called.
MAP_SCORES = (
    "Map the labels to the score's range before training, by the ends of the whole column's scale. This shows them, "
    "with the line that maps them: from selective_st.registry import check_dataset; print(check_dataset(dataset, "
    "loss)). On the command line say --score-range LOW,HIGH."
)
DECLARE_RANGE = "label_range=(LOW, HIGH) with the ends of the whole column's scale"


NEEDS_LABELS = 'The dataset needs a column named "label", "labels", "score" or "scores".'

# A loss is not told what the label column is called: the first of these names.
LABEL_COLUMN = 'next(name for name in ("label", "labels", "score", "scores") if name in dataset.column_names)'
REMOVE_LABELS = f"dataset = dataset.remove_columns({LABEL_COLUMN})"


def cast_labels(dtype: str) -> str:
    """The code that casts the label column."""
    return f'dataset = dataset.cast_column({LABEL_COLUMN}, Value("{dtype}"))'


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a loss; its fields are settings of the loss, checked in `__post_init__`.

    Attributes:
        owner: The loss, for messages.
    """

    owner: str = field(compare=False)

    def _settle(self, **values: Any) -> None:
        """Keep what has been made of the settings."""
        self.__dict__.update(values)


def one_of(owner: str, name: str, value: object, *allowed: object) -> None:
    """Raise a ValueError unless `value` is one of those allowed, which None may be the first of."""
    if value not in allowed:
        named = ", ".join(repr(one) for one in allowed if one is not None)
        which = "None or one of" if None in allowed else "one of"
        raise ValueError(f"{owner}: {name} must be {which} {named}, got {value!r}.")


def without_padding(documents: Sequence[Tensor], labels: Any) -> list[Tensor]:
    """Columns of documents' embeddings, 0 for those that a NaN among the labels of the last columns marks as padded."""
    documents = list(documents)
    if not isinstance(labels, Tensor) or labels.dim() != 2 or not labels.is_floating_point() or is_finite(labels):
        return documents
    padded = labels.isnan()
    if len(padded) != len(documents[0]) or padded.shape[1] > len(documents):
        return documents  # of which the check of labels tells
    for place in range(-padded.shape[1], 0):
        rows = padded[:, place].to(documents[place].device).view(-1, *(1,) * (documents[place].dim() - 1))
        documents[place] = torch.where(rows, 0, documents[place])
    return documents


def labels_and_weight(owner: str, labels: Any, weight: Any, rows: int) -> tuple[Any, Tensor | None]:
    """The labels of a batch, and the weights of its rows.

    Args:
        owner: The loss, for messages.
        labels: The labels; or a dict of these (`label`, if there are any) and of the weights (`weight`), as a data
            collator with weights gives them.
        weight: The weights, where they are given apart; None for none.
        rows: How many rows there are.

    Returns:
        The labels, and the weights, of shape (rows,); None for none.

    Raises:
        TypeError: If the weights are no tensor, or given twice.
        ValueError: If the dict has other names, or there is not one weight a row.
    """
    if isinstance(labels, Mapping):
        if not {"weight"} <= set(labels) <= {"label", "weight"}:
            raise ValueError(
                f"{owner}: labels must be a tensor, or a dict of the labels and of the rows' weights, {{'label': ..., "
                f"'weight': ...}}, got one of {', '.join(map(repr, labels)) or 'nothing'}."
            )
        if weight is not None:
            raise TypeError(f"{owner}: weight is given twice, by itself and with the labels. Leave weight out.")
        labels, weight = labels.get("label"), labels["weight"]
    if weight is None:
        return labels, None
    if not isinstance(weight, Tensor):
        raise TypeError(
            f"{owner}: weight must be a tensor of one number >= 0 a row, got {type(weight).__name__}. Write "
            "weight=torch.tensor(...)."
        )
    if tuple(weight.shape) != (rows,):
        raise ValueError(
            f"{owner}: weight must have one number >= 0 for each of the {rows} rows, shape ({rows},), got "
            f"{tuple(weight.shape)}."
        )
    return labels, weight


def score_range_of(similarity_fct: SimilarityFunction) -> Interval:
    """The range that the similarity function cannot leave; all real numbers where none is known."""
    return Interval(-1.0, 1.0) if is_cosine(similarity_fct) else Interval(-math.inf, math.inf)


def space_of(similarity_fct: SimilarityFunction, model_type: type[nn.Module] = SentenceTransformer) -> ScoreSpace:
    """The space of the scores that a similarity function gives.

    Args:
        similarity_fct: The function.
        model_type: The type of model whose embeddings it is given; a SparseEncoder's are never negative.

    Returns:
        The space.
    """
    sign = (1 if model_type is SparseEncoder else 0) if is_dot_product(similarity_fct) else None
    return ScoreSpace(similarity_fct_name(similarity_fct), score_range_of(similarity_fct), sign)


def is_cosine(similarity_fct: SimilarityFunction) -> bool:
    """Whether it is known to be the cosine similarity."""
    return similarity_fct in _COSINES


def is_dot_product(similarity_fct: SimilarityFunction) -> bool:
    """Whether it is known to be the dot product."""
    return similarity_fct in _DOT_PRODUCTS


def check_model(owner: str, model: object, model_type: type[nn.Module] = SentenceTransformer) -> None:
    """Raise a TypeError unless `model` is a module, and not a model of another type.

    Args:
        owner: The loss, for messages.
        model: What was given. Modules that are no model of Sentence Transformers may wrap one, and are taken.
        model_type: The type of model that the loss is for.

    Raises:
        TypeError: If it is no module, or a model of another type; with the package that has the right loss.
    """
    name = model_type.__name__
    # The losses on embeddings train sparse ones too; those of the other package only have other defaults.
    right_types = (model_type, SparseEncoder) if model_type is SentenceTransformer else model_type
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{owner}: model must be the {name} to train, got {type(model).__name__}. "
            f"Load it first: {owner}({name}(...), link=...)."
        )
    for other, package in _MODEL_TYPES.items():
        if isinstance(model, other) and not isinstance(model, right_types):
            losses = import_module(package).__all__
            right = f"from {package} import {owner}" if owner in losses else f"{package} has {', '.join(losses)}"
            raise TypeError(
                f"{owner}: model must be a {name}, got a {type(model).__name__}, whose losses are in another package: "
                f"{right}."
            )


def check_similarity(owner: str, similarity_fct: object, *, pairwise: bool) -> None:
    """Raise unless `similarity_fct` is a function, and of the right kind where that is known.

    Args:
        owner: The loss, for messages.
        similarity_fct: What was given.
        pairwise: Whether it must give one score a row, rather than all against all.

    Raises:
        TypeError: If it is no function, or a link.
        ValueError: If it is known to be of the other kind.
    """
    if isinstance(similarity_fct, Link):
        raise TypeError(f"{owner}: similarity_fct must be a function of two tensors, got a link. Write link=....")
    if not callable(similarity_fct):
        example = "pairwise_dot_score" if pairwise else "dot_score"
        raise TypeError(
            f"{owner}: similarity_fct must be a function of two tensors, got {similarity_fct!r}. "
            f"Use for example sentence_transformers.util.{example}."
        )
    name = getattr(similarity_fct, "__name__", "")
    is_row_by_row = similarity_fct is torch.cosine_similarity or (name.startswith("pairwise_") and hasattr(util, name))
    is_matrix = name in _ROW_BY_ROW.values() and hasattr(util, name)
    if pairwise and is_matrix and not is_row_by_row:
        right = next(row for row, matrix in _ROW_BY_ROW.items() if matrix == name)
        raise ValueError(
            f"{owner}: similarity_fct must give one score a row, but {name} compares all with all. Use "
            f"sentence_transformers.util.{right}."
        )
    if not pairwise and is_row_by_row:
        right = _ROW_BY_ROW.get(name, "cos_sim")
        raise ValueError(
            f"{owner}: similarity_fct must compare all with all, but {name} gives one score a row. Use "
            f"sentence_transformers.util.{right}."
        )


def check_link_of_space(owner: str, link: Link, space: ScoreSpace) -> None:
    """Raise a ValueError where the scores leave the link's domain, as far as is known before there are any."""
    if space.is_bounded_below and not link.domain.includes(space.range):
        raise ValueError(
            f"{owner}: the scores of {space.name} lie in {space.range}, beyond the domain {link.domain} of {link!r}. "
            "Use link.linear_outside(low, high), with ends inside the domain."
        )


def check_positive_link(owner: str, link: Link, space: ScoreSpace, scores: Tensor | None = None) -> None:
    """Raise a ValueError where a link that must not be negative is so on scores that there can be, not only there are.

    Args:
        owner: The loss, for messages.
        link: The link.
        space: Where the scores come from.
        scores: Scores of a batch; None before there are any. Where scores have no bounds and both signs, one as far
            below 0 as these are from it is to be expected.
    """
    if math.isfinite(space.lowest):
        check_nonnegative(owner, link, space.lowest)
    elif scores is not None and scores.numel() and link._lowest_value < 0 and space.sign == 0:
        check_nonnegative(owner, link, -float(scores.detach().abs().max()))


def list_link(space: ScoreSpace) -> Link:
    """The default link of a loss on lists: high scores matter gently, up to the highest that is to be expected."""
    return gentle_link(space.highest, bounded=space.range.high <= 1)


def score_link(space: ScoreSpace, targets: str | None) -> Link:
    """The default link of a loss on single scores, on their scale.

    Args:
        space: Where the scores come from.
        targets: What labels are: "scores" or "link_values".

    Returns:
        The link.
    """
    highest = space.highest
    if targets == "link_values":
        return SigmoidLink(scale=20.0 / highest, shift=0.5 * highest)
    return high_scores(score_range=(0.0, highest))


def gentle_link(highest: float, *, bounded: bool = False) -> Link:
    """An exponential link that makes high scores matter gently: `e` times as much as the score 0.

    Args:
        highest: The highest score that is to be expected. The mean value is 1 from 0 to there.
        bounded: Whether scores cannot be higher; else the link is linear above, so that it cannot overflow.

    Returns:
        The link.
    """
    link = ExponentialLink(1.0 / highest).normalized(0.0, highest, of="value")
    return link if bounded else link.linear_outside(None, highest)


def check_label_range(owner: str, labels: Tensor, ranges: dict[tuple[str, Interval], str]) -> Tensor | None:
    """Check that labels lie within ranges, and find the padded ones.

    Args:
        owner: The loss, for the message.
        labels: Labels of shape (batch_size,), or (batch_size, documents) where NaN marks a padded document.
        ranges: For each range, what it is and the range; and the advice for labels outside it.

    Returns:
        Which labels count; None for all.

    Raises:
        ValueError: If a row has no label at all, or a label lies outside a range; with the line that maps it.
    """
    if labels.numel() > _FEW_LABELS:
        ends = labels.aminmax()
        low, high, total = float(ends.min), float(ends.max), float(labels.sum())
    else:  # which cost less to look through than tensor operations do to start
        values = labels.flatten().tolist()
        low, high, total = min(values), max(values), sum(values)
    mask = None
    if math.isnan(total):
        mask = ~labels.isnan()
        rows = (~mask.view(len(mask), -1).any(dim=1)).nonzero().flatten().tolist()
        if rows:
            raise ValueError(
                f"{owner}: labels must be numbers, but are NaN in row(s) {', '.join(map(str, rows[:5]))} of the batch. "
                "Leave such rows out: from selective_st.conversion import remove_empty_rows; dataset = "
                "remove_empty_rows(dataset)."
            )
        low, high = (float(end) for end in labels[mask].aminmax())
    if math.isinf(low) or math.isinf(high):
        raise ValueError(f"{owner}: labels must be finite, but this batch has labels from {low:g} to {high:g}.")
    for (what, allowed), advice in ranges.items():
        if low < allowed.low - _RANGE_TOLERANCE or high > allowed.high + _RANGE_TOLERANCE:
            raise ValueError(
                f"{owner}: labels must lie within {allowed}, {what}, but the labels of this batch go from {low:g} to "
                f"{high:g}, so their scale is at least that wide. {advice}"
            )
    return mask


def bibtex_entries(citation: str) -> list[str]:
    """The entries of a BibTeX text.

    Args:
        citation: The text.

    Returns:
        Each entry, without the lines around it.
    """
    return [stripped for entry in re.split(r"(?m)^(?=@)", citation) if (stripped := entry.strip())]


def builtin_citation(builtin: type[nn.Module], loss: nn.Module) -> str:
    """What the built-in loss that a loss generalises would cite, with that loss's settings."""
    return str(cast(Any, builtin).citation.fget(loss))


@lru_cache(maxsize=16)
def _hash_factors(length: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-(2**62), 2**62, (length,), generator=generator).mul_(2).add_(1).to(device)


def text_ids(features: dict[str, Tensor]) -> Tensor | None:
    """One integer for each text, equal for equal tokens: the same on every device and in every process.

    Args:
        features: Tokenized texts: padded (`input_ids` of shape (texts, tokens), `attention_mask`), or in one sequence
            with the `offsets` of a StaticEmbedding, or with the `cu_seq_lens_q` of unpadded inputs.

    Returns:
        A 64-bit hash for each text; different texts share one with the probability of about 1e-19. None for features of
        another kind.
    """
    tokens = features.get("input_ids")
    if not isinstance(tokens, Tensor) or tokens.is_floating_point():
        return None
    if any(name.startswith(_OTHER_MODALITIES) for name in features):
        return None
    tokens = tokens.long() + 1
    offsets = features.get("offsets")
    if "cu_seq_lens_q" in features:  # texts one after the other, without padding
        tokens, offsets = tokens.flatten(), features["cu_seq_lens_q"][:-1].long()
    if tokens.dim() == 2:
        mask = features.get("attention_mask")
        mask = torch.ones_like(tokens) if mask is None else mask.long()
        position = (mask.cumsum(1) - 1).clamp(min=0)  # so that padding on the left changes nothing
        factors = _hash_factors(_power_of_two(tokens.shape[1]), tokens.device)
        return (tokens * mask * factors[position]).sum(1)
    if tokens.dim() != 1 or not isinstance(offsets, Tensor):
        return None
    index = torch.arange(len(tokens), device=tokens.device)
    text = torch.searchsorted(offsets, index, right=True) - 1
    position = index - offsets[text]
    factors = _hash_factors(_power_of_two(len(tokens)), tokens.device)
    return torch.zeros_like(offsets).index_add_(0, text, tokens * factors[position])


def _power_of_two(length: int) -> int:
    """The next power of two, so that few lengths are kept."""
    return 1 << max(length - 1, 1).bit_length()
