"""What the losses share: where scores lie, checks of models and labels, default links, texts told apart."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder, util
from sentence_transformers.util import similarity_fct_name
from torch import Tensor, nn

from selective_st._templates import template
from selective_st.links import ConstantLink, ExponentialLink, Interval, Link, SigmoidLink, high_scores
from selective_st.links._numerics import check_tensor

SimilarityFunction = Callable[[Tensor, Tensor], Tensor]
# Where labels must lie: what says so, the range, and the sentence of advice for labels outside it.
Ranges = Sequence[tuple[str, Interval, str]]

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

# What compares all with all, and what compares row by row in the same way.
_SIMILARITIES: tuple[tuple[SimilarityFunction, ...], ...] = (
    (util.cos_sim, util.pairwise_cos_sim, torch.cosine_similarity, util.pairwise_angle_sim),
    (util.dot_score, util.pairwise_dot_score),
    (util.euclidean_sim, util.pairwise_euclidean_sim),
    (util.manhattan_sim, util.pairwise_manhattan_sim),
)
# What a model of more than texts adds to their tokens, which then do not tell its inputs apart.
_OTHER_MODALITIES = ("pixel_", "image_", "video_", "audio_", "input_features", "input_values")


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

    def ranges(self, advice: str = "map_scores") -> Ranges:
        """Where labels that are such scores lie."""
        return [(f"the range of {self.name}", self.range, advice)]


# Which model each package of losses is for.
_MODEL_TYPES: dict[type[nn.Module], str] = {
    SentenceTransformer: "selective_st.losses",
    CrossEncoder: "selective_st.cross_encoder.losses",
    SparseEncoder: "selective_st.sparse_encoder.losses",
    MultiVectorEncoder: "selective_st.multi_vector_encoder.losses",
}


def sentence(what: str, /, **facts: Any) -> str:
    """A sentence of `templates/losses.txt`, on one line."""
    return " ".join(str(getattr(template("losses.txt"), what)(**facts)).split())


def said(what: str, owner: str, /, **facts: Any) -> str:
    """The same, of a loss."""
    return f"{owner}: {sentence(what, **facts)}"


def without_padding(documents: Sequence[Tensor], mask: Tensor | None) -> list[Tensor]:
    """Columns of documents' embeddings, 0 where a mask of the last columns leaves one out."""
    documents = list(documents)
    if mask is None or mask.dim() == 1:
        return documents
    for place in range(-mask.shape[1], 0):
        rows = mask[:, place].to(documents[place].device).view(-1, *(1,) * (documents[place].dim() - 1))
        documents[place] = torch.where(rows, documents[place], 0)
    return documents


def json_of(link: Link) -> str:
    """A link's config as JSON; of what one of the user's own holds beside data, such as a function, the name."""
    return json.dumps(link.get_config_dict(), default=similarity_fct_name)


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
            raise ValueError(said("labels_dict", owner, got=", ".join(map(repr, labels)) or "nothing"))
        if weight is not None:
            raise TypeError(said("weight_twice", owner))
        labels, weight = labels.get("label"), labels["weight"]
    if weight is not None:
        check_tensor(owner, "weight", weight, "real", (rows,), of="of one number >= 0 a row")
    return labels, weight


def tensor_of(owner: str, labels: Any) -> Tensor:
    """The labels, if they are a tensor, or a TypeError."""
    if not isinstance(labels, Tensor):
        raise TypeError(said("no_tensor", owner, got=type(labels).__name__))
    return labels


def is_cosine(similarity_fct: SimilarityFunction) -> bool:
    """Whether it is known to be the cosine similarity."""
    return similarity_fct in (torch.cosine_similarity, util.pairwise_cos_sim, util.cos_sim)


def is_dot_product(similarity_fct: SimilarityFunction) -> bool:
    """Whether it is known to be the dot product."""
    return similarity_fct in (util.pairwise_dot_score, util.dot_score)


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
        raise TypeError(said("no_model", owner, type=name, got=type(model).__name__, loss=owner))
    for other, package in _MODEL_TYPES.items():
        if isinstance(model, other) and not isinstance(model, right_types):
            losses = import_module(package).__all__
            right = f"from {package} import {owner}" if owner in losses else f"{package} has {', '.join(losses)}"
            raise TypeError(said("other_model", owner, type=name, got=type(model).__name__, right=right))


def check_similarity(owner: str, similarity_fct: Any, *, pairwise: bool) -> None:
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
        raise TypeError(said("similarity_is_link", owner))
    if not callable(similarity_fct):
        example = "pairwise_dot_score" if pairwise else "dot_score"
        raise TypeError(said("no_similarity", owner, got=repr(similarity_fct), example=example))
    for matrix, *rows in _SIMILARITIES:
        if similarity_fct in ([matrix] if pairwise else rows):
            right = rows[0] if pairwise else matrix
            facts = {"name": similarity_fct.__name__, "right": right.__name__}
            raise ValueError(said("similarity_of_all" if pairwise else "similarity_of_rows", owner, **facts))


def without_weight(link: Link) -> Link:
    """The link, its weight within the exponent of what it weighs where that has one: the same values by fewer steps."""
    weight, inner = link._absorb(1.0)
    return inner if weight == 1 else link


def flat_link(space: ScoreSpace, targets: str | None) -> Link:
    """The default link of a loss that ranks as it does without one: all scores matter alike."""
    return ConstantLink()


def list_link(space: ScoreSpace, targets: str | None) -> Link:
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
    if targets == "link_values":
        return SigmoidLink(scale=20.0 / space.highest, shift=0.5 * space.highest)
    return high_scores(score_range=(0.0, space.highest))


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


def bibtex_entries(citation: str) -> list[str]:
    """The entries of a BibTeX text.

    Args:
        citation: The text.

    Returns:
        Each entry, without the lines around it.
    """
    return [stripped for entry in re.split(r"(?m)^(?=@)", citation) if (stripped := entry.strip())]


def _hash_factors(length: int, device: torch.device) -> Tensor:
    # The first of them are the same for any length.
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
    tokens, offsets = features.get("input_ids"), features.get("offsets")
    if not isinstance(tokens, Tensor) or tokens.is_floating_point():
        return None
    if any(name.startswith(_OTHER_MODALITIES) for name in features):
        return None
    tokens = tokens.long() + 1
    if "cu_seq_lens_q" in features:  # texts one after the other, without padding
        tokens, offsets = tokens.flatten(), features["cu_seq_lens_q"][:-1].long()
    if tokens.dim() == 2:
        mask = features.get("attention_mask", torch.ones_like(tokens)).long()
        position = (mask.cumsum(1) - 1).clamp(min=0)  # so that padding on the left changes nothing
        return (tokens * mask * _hash_factors(tokens.shape[1], tokens.device)[position]).sum(1)
    if offsets is None:
        return None
    index = torch.arange(len(tokens), device=tokens.device)
    text = torch.searchsorted(offsets, index, right=True) - 1
    factors = _hash_factors(len(tokens), tokens.device)[index - offsets[text]]
    return torch.zeros_like(offsets).index_add_(0, text, tokens * factors)
