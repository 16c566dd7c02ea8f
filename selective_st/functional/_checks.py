"""Checks of the arguments of losses on tensors: a rule for each name, said once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from selective_st import _validation
from selective_st._autograd import look
from selective_st._caller import wording
from selective_st._validation import finite_number, whole_number
from selective_st.links import ConstantLink, Link
from selective_st.links._numerics import check_tensor

_ROUNDING = 1e-4
one_of = partial(_validation.one_of, shown=repr)  # None is allowed, too


def check_link(owner: str, link: object, name: str = "link") -> Link:
    """Return `link` if it is one, or raise a TypeError that says how to get one."""
    if isinstance(link, Link):
        return link
    advice = "Use a preset such as high_scores() from selective_st.links, or a link such as SigmoidLink(20, 0.8)"
    if isinstance(link, dict):
        advice = "Use link_from_config(config)"
    if isinstance(link, type) and issubclass(link, Link):
        advice = f"Make one: {link.__name__}(...)"
    raise TypeError(f"{owner}: {name} must be a Link, got {link!r}. {advice}.")


def check_scores(
    owner: str, name: str, value: object, like: Tensor | None = None, name_of_like: str = "predicted"
) -> Tensor:
    """Return `value` if it is a real floating-point or integer tensor (of the shape of `like`), or raise."""
    if like is None:
        return check_tensor(owner, name, value)
    of = (
        f"of {name_of_like}. Shapes that merely broadcast would pair scores wrongly; use "
        f"{name}.view_as({name_of_like}) if the values correspond."
    )
    return check_tensor(owner, name, value, "real", like.shape, of=of)


def check_embeddings(owner: str, name: str, value: Any) -> Tensor:
    """Return `value` if it is a matrix of floating-point numbers, a row for each text; or raise."""
    if check_tensor(owner, name, value, "floating-point").dim() != 2:
        raise ValueError(
            f"{owner}: {name} must hold a row for each text, shape (texts, dim), got {tuple(value.shape)}. Use "
            f"{name}.unsqueeze(0) for a single text."
        )
    found: Tensor = value
    return found


def check_indices(owner: str, count: int, mend: str, labels: Tensor) -> None:
    """Raise a ValueError if labels are no indices of so many candidates."""
    low, high = (int(end) for end in labels.aminmax()) if labels.numel() else (0, 0)
    if low < 0 or high >= count:
        raise ValueError(
            f"{owner}: labels must be indices from 0 to {count - 1}, got labels from {low} to {high}. {mend}"
        )


def check_weight(
    owner: str,
    weight: object,
    shape: torch.Size,
    ask_ends: Callable[..., None] | None = None,
    name: str = "weight",
    of: str = "",
) -> Tensor | None:
    """The weights of elements, of the elements' shape; an error where they fit neither them nor their rows.

    Args:
        owner: The calling function, for messages.
        weight: A weight for each element, or for each row (the first dimension); None for none.
        shape: The elements' shape.
        ask_ends: What calls a check with the lowest and the highest number of a tensor. Default: at once.
        name: The argument's name.
        of: What the shape is. Default: that of the predicted scores, or of their rows.

    Returns:
        The weights.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If the weights have another shape, or one is negative or not finite.
    """
    if weight is None:
        return None
    of = of or f"of {wording('predicted')}, or one number a row"
    weight = check_tensor(owner, name, weight, "real", *dict.fromkeys((shape, shape[:1])), of=of)
    (ask_ends or _ask_ends)(partial(_check_weights, owner, name), weight)
    return weight.view(weight.shape + (1,) * (len(shape) - weight.dim())).expand(shape)


def _ask_ends(check: Callable[[float, float], None], tensor: Tensor) -> None:
    """Call a check with the lowest and the highest number of a tensor."""
    if tensor.numel():
        look(lambda tensor: check(*(float(end) for end in tensor.aminmax())), tensor.detach())


def _check_weights(owner: str, name: str, low: float, high: float) -> None:
    if not (low >= 0 and high < math.inf):
        bad = high if low >= 0 else low
        raise ValueError(
            f"{owner}: {name} must hold finite numbers >= 0, got {bad:g}. Use {name}.nan_to_num(0, 0).clamp(min=0)."
        )


def check_mask(owner: str, mask: object, like: Tensor, name_of_like: str = "predicted") -> Tensor | None:
    """Return `mask` if it is None or a boolean tensor of the shape of `like`, or raise."""
    if mask is None:
        return None
    return check_tensor(owner, "mask", mask, "boolean", like.shape, of=f"of {name_of_like}")


def check_nonnegative(owner: str, link: Link, scores: Tensor | float) -> None:
    """Raise if the link is negative at the lowest of the scores: there its potential falls as the score rises.

    Args:
        owner: The calling function or loss, for the message.
        link: The link.
        scores: Scores, or the lowest that there can be.

    Raises:
        ValueError: If it is negative; with a link that is not.
    """
    if link._lowest_value >= 0:
        return
    if not isinstance(scores, Tensor):
        scores = torch.tensor(max(scores, link.domain.low), dtype=torch.float64)
    look(partial(_check_nonnegative, owner, link), scores.detach())


def _check_nonnegative(owner: str, link: Link, scores: Tensor) -> None:
    if not scores.numel():
        return
    lowest = scores.amin().double()
    # A cosine of -1.0000001 is a rounding error, not a score where the link is negative.
    if float(link(lowest + _ROUNDING * lowest.abs().clamp(min=1))) < 0:
        value = float(link(lowest))
        raise ValueError(
            f"{owner}: link must not be negative on the scores, but {link!r} is {value:.4g} at the score "
            f"{float(lowest):.4g}: there the loss would push the positive down. Use a link that is positive, such as "
            'ExponentialLink(1.0).normalized(0, 1, of="value") or SigmoidLink(scale, shift), or add a constant: '
            f"link + {math.ceil(-value):g} * ConstantLink()."
        )


def check_smoothing(owner: str, label_smoothing: object) -> float:
    """Return `label_smoothing` if it is a number from 0 to 1, or raise."""
    smoothing = finite_number(owner, "label_smoothing", label_smoothing, nonnegative=True)
    if smoothing > 1:
        raise ValueError(f"{owner}: label_smoothing must be a number from 0 to 1, got {smoothing:g}.")
    return smoothing


def calibration_weight(weight: float, link: Link) -> float:
    """The weight of a calibration term: 0 for a link without sensitivity, whose divergence is 0."""
    return 0.0 if isinstance(link, ConstantLink) else weight


def check_calibration(owner: str, link: Link, weight: Any, calibration_link: Any) -> tuple[float, Link]:
    """The weight of a calibration term, checked, as `calibration_weight` gives it; and its link."""
    calibration_link = link if calibration_link is None else check_link(owner, calibration_link, "calibration_link")
    weight = finite_number(owner, "calibration", weight, nonnegative=True)
    return calibration_weight(weight, calibration_link), calibration_link


_POSITIVE, _NONNEGATIVE = partial(finite_number, positive=True), partial(finite_number, nonnegative=True)
RULES: dict[str, Callable[[str, str, Any], Any]] = {
    **dict.fromkeys(("temperature", "target_temperature", "scale", "pos_weight"), _POSITIVE),
    **dict.fromkeys(("calibration", "hardness_strength"), _NONNEGATIVE),
    **dict.fromkeys(("block_size", "k"), partial(whole_number, least=1)),
    **dict.fromkeys(("link", "weight_link"), lambda owner, name, link: check_link(owner, link, name)),
    "label_smoothing": lambda owner, name, value: check_smoothing(owner, value),
    "form": partial(one_of, allowed=("fused", "plain")),
    "center": partial(one_of, allowed=("logsumexp", None)),
    "partition_mode": partial(one_of, allowed=("joint", "per_direction")),
    "hardness_mode": partial(one_of, allowed=(None, "in_batch_negatives", "hard_negatives", "all_negatives")),
}
_MAY_BE_NONE = ("target_temperature", "weight_link", "block_size", "k")


def checked(owner: str, **given: Any) -> list[Any]:
    """Arguments as the rules for their names have them, in the order given; an error where one breaks its rule."""
    return [
        None if value is None and name in _MAY_BE_NONE else RULES[name](owner, name, value)
        for name, value in given.items()
    ]
