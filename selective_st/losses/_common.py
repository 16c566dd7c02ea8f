"""What the losses share: where scores lie, checks of models and labels, default links, texts told apart."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple, cast

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder, util
from sentence_transformers.util import similarity_fct_name
from torch import Tensor, nn

from selective_st._ahead import on_cpu
from selective_st._templates import template
from selective_st._validation import finite_number
from selective_st.functional._checks import check_link, check_nonnegative, check_smoothing
from selective_st.links import ConstantLink, ExponentialLink, Interval, Link, SigmoidLink, high_scores

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


# Where labels must lie: what says so, the range, and the sentence of advice for labels outside it.
Ranges = Sequence[tuple[str, Interval, str]]
# Checks of a setting: of the loss, the setting's name, and its value, which they give back as it is to be kept.
Check = Callable[..., Any]


def _number(owner: str, name: str, value: Any, **bounds: bool) -> float:
    if isinstance(value, Link):
        raise TypeError(said("link_for_number", owner, name=name))
    return finite_number(owner, name, value, **bounds)


def a_link(owner: str, name: str, value: Any) -> Link:
    """A link, also within."""
    link = check_link(owner, value, name)
    link.validate()
    return link


def whole(owner: str, name: str, value: Any, allowed: str = "") -> int:
    """A whole number > 0."""
    if isinstance(value, Link):
        raise TypeError(said("link_for_number", owner, name=name))
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(said("whole_number", owner, name=name, value=repr(value), allowed=allowed))
    return value


def smoothing(owner: str, name: str, value: Any) -> float:
    """A number from 0 to 1."""
    return check_smoothing(owner, value)


POSITIVE: Check = partial(_number, positive=True)
NONNEGATIVE: Check = partial(_number, nonnegative=True)


def one_of(*allowed: Any) -> Check:
    """One of some values, which None may be among."""

    def check(owner: str, name: str, value: Any) -> Any:
        if value not in allowed:
            raise ValueError(said("one_of", owner, name=name, allowed=allowed, value=repr(value)))
        return value

    return check


def optional(check: Check, allowed: str = "") -> Check:
    """None, or what another check allows."""
    words = {"allowed": allowed} if allowed else {}
    return lambda owner, name, value: None if value is None else check(owner, name, value, **words)


def setting(check: Check, default: Any = MISSING) -> Any:
    """A field that is a setting, with its check."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a loss; its fields are settings of the loss, each with its check.

    Attributes:
        owner: The loss, for messages.
    """

    owner: str = field(compare=False)

    def __post_init__(self) -> None:
        for one in fields(self):
            if "check" in one.metadata:
                self._settle(**{one.name: one.metadata["check"](self.owner, one.name, getattr(self, one.name))})

    def _settle(self, **values: Any) -> None:
        """Keep what has been made of the settings."""
        self.__dict__.update(values)


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
    if weight is None:
        return labels, None
    if not isinstance(weight, Tensor):
        raise TypeError(said("weight_type", owner, got=type(weight).__name__))
    if tuple(weight.shape) != (rows,):
        raise ValueError(said("weight_shape", owner, rows=rows, shape=tuple(weight.shape)))
    return labels, weight


def tensor_of(owner: str, labels: Any) -> Tensor:
    """The labels, if they are a tensor, or a TypeError."""
    if not isinstance(labels, Tensor):
        raise TypeError(said("no_tensor", owner, got=type(labels).__name__))
    return labels


def dtype_of(labels: Any) -> str:
    """What labels are, for a message."""
    return str(labels.dtype) if isinstance(labels, Tensor) else type(labels).__name__


def space_of(similarity_fct: SimilarityFunction, model_type: type[nn.Module] = SentenceTransformer) -> ScoreSpace:
    """The space of the scores that a similarity function gives, of embeddings of such a model."""
    bounds = Interval(-1.0, 1.0) if is_cosine(similarity_fct) else Interval(-math.inf, math.inf)
    sign = (1 if model_type is SparseEncoder else 0) if is_dot_product(similarity_fct) else None
    return ScoreSpace(similarity_fct_name(similarity_fct), bounds, sign)


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
        raise TypeError(said("no_model", owner, type=name, got=type(model).__name__, loss=owner))
    for other, package in _MODEL_TYPES.items():
        if isinstance(model, other) and not isinstance(model, right_types):
            losses = import_module(package).__all__
            right = f"from {package} import {owner}" if owner in losses else f"{package} has {', '.join(losses)}"
            raise TypeError(said("other_model", owner, type=name, got=type(model).__name__, right=right))


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
        raise TypeError(said("similarity_is_link", owner))
    if not callable(similarity_fct):
        example = "pairwise_dot_score" if pairwise else "dot_score"
        raise TypeError(said("no_similarity", owner, got=repr(similarity_fct), example=example))
    name = getattr(similarity_fct, "__name__", "")
    is_row_by_row = similarity_fct is torch.cosine_similarity or (name.startswith("pairwise_") and hasattr(util, name))
    is_matrix = name in _ROW_BY_ROW.values() and hasattr(util, name)
    if pairwise and is_matrix and not is_row_by_row:
        right = next(row for row, matrix in _ROW_BY_ROW.items() if matrix == name)
        raise ValueError(said("similarity_of_all", owner, name=name, right=right))
    if not pairwise and is_row_by_row:
        raise ValueError(said("similarity_of_rows", owner, name=name, right=_ROW_BY_ROW.get(name, "cos_sim")))


def without_weight(link: Link) -> Link:
    """The link, its weight within the exponent of what it weighs where that has one: the same values by fewer steps."""
    weight, inner = link._absorb(1.0)
    return inner if weight == 1 else link


def check_link_of_space(owner: str, link: Link, space: ScoreSpace) -> None:
    """Raise a ValueError where the scores leave the link's domain, as far as is known before there are any."""
    if space.range.low > -math.inf and not link.domain.includes(space.range):
        raise ValueError(said("beyond_domain", owner, space=space, link=link))


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


def flat_link(space: ScoreSpace, targets: str | None) -> Link:
    """The default link of a loss that ranks as it does without one: all scores matter alike."""
    return ConstantLink()


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


def check_label_range(owner: str, labels: Tensor, ranges: Ranges = (), *, may_be_never: bool = False) -> Tensor | None:
    """Check that labels lie within ranges, and find the padded ones, by one look at the values on their device.

    Args:
        owner: The loss, for the message.
        labels: Labels of shape (batch_size,), or (batch_size, documents) where NaN marks a padded document.
        ranges: Where they must lie.
        may_be_never: Whether minus infinity is allowed, for a document that is never right.

    Returns:
        Which labels count; None for all, which are finite then.

    Raises:
        ValueError: If a row has no label at all, or a label lies outside a range; with the line that maps it.
    """
    seen = on_cpu(labels) if labels.is_cuda else labels
    if seen.numel() > _FEW_LABELS:
        low, high = torch.stack(seen.aminmax()).tolist()
        has_padding = math.isnan(low)
    else:  # which cost less to look through than tensor operations do to start
        values = seen.flatten().tolist()
        low, high, has_padding = min(values), max(values), math.isnan(sum(values))
    mask = None
    if has_padding or (may_be_never and -math.inf in (low, high)):
        known = seen > -math.inf if may_be_never else ~seen.isnan()
        rows = (~known.view(len(known), -1).any(dim=1)).nonzero().flatten().tolist()
        if rows:
            raise ValueError(said("nan_rows", owner, rows=rows[:5]))
        low, high = torch.stack(seen[known].aminmax()).tolist()
        mask = (~seen.isnan()).to(labels.device, non_blocking=True)
    if math.isinf(low) or math.isinf(high):
        raise ValueError(said("not_finite", owner, low=low, high=high))
    for what, allowed, advice in ranges:
        if low < allowed.low - _RANGE_TOLERANCE or high > allowed.high + _RANGE_TOLERANCE:
            facts = {"allowed": allowed, "what": what, "low": low, "high": high, "advice": sentence(advice)}
            raise ValueError(said("out_of_range", owner, **facts))
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
