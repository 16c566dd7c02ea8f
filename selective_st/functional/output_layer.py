r"""Losses over a vocabulary without its logits: with the output layer of the model, a few tokens at a time.

A batch's logits take more memory than the model where the vocabulary is large. They are made of the hidden states of
the last layer, so the losses on the vocabulary take these as well, and never hold the logits of more than a block of
tokens:

>>> import torch
>>> from selective_st.functional import HiddenStates, vocabulary_loss
>>> from selective_st.links import ConstantLink
>>> hidden, layer = torch.eye(4), torch.nn.Linear(4, 6, bias=False)
>>> labels = torch.tensor([0, 1, 2, -100])
>>> whole = vocabulary_loss(layer(hidden), labels, ConstantLink())
>>> bool(torch.isclose(vocabulary_loss(HiddenStates(hidden, layer.weight), labels, ConstantLink()), whole))
True

The logits of a block are made again on the way back, so that a step takes one more product of the output layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from selective_st.links._numerics import check_tensor

# How many logits a block holds, as many as keep the processor busy.
_BLOCK, _BLOCK_ELSEWHERE = 2**23, 2**26


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """What a model's output layer makes logits of, in the place of these.

    Attributes:
        hidden: The hidden states of the last layer, of shape (..., dim).
        weight: The weight of the output layer, of shape (vocabulary, dim).
        bias: Its bias, of shape (vocabulary,); None for none.

    Raises:
        TypeError: If they are no tensors of floating-point numbers.
        ValueError: If their shapes do not fit.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_tensor(owner, "hidden", self.hidden, "floating-point")
        check_tensor(owner, "weight", self.weight, "floating-point")
        dim = self.hidden.shape[-1] if self.hidden.dim() > 1 else None
        if self.weight.dim() != 2 or self.weight.shape[1] != dim:
            raise ValueError(
                f"{owner}: hidden must have shape (..., tokens, dim) and weight (vocabulary, dim), got "
                f"{tuple(self.hidden.shape)} and {tuple(self.weight.shape)}. Give layer.weight of the output layer."
            )
        if self.bias is not None:
            of = "of one number for each token of the vocabulary"
            check_tensor(owner, "bias", self.bias, "floating-point", self.weight.shape[:1], of=of)

    @property
    def shape(self) -> torch.Size:
        """The shape of the logits."""
        return torch.Size([*self.hidden.shape[:-1], len(self.weight)])

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.hidden.device

    def dim(self) -> int:
        """How many dimensions the logits have."""
        return self.hidden.dim()

    def numel(self) -> int:
        """How many logits there are."""
        return self.shape.numel()

    def whole(self) -> Tensor:
        """The logits of all tokens, in the memory that they take."""
        return linear_logits(self.hidden, self.weight, self.bias)

    def detach(self) -> HiddenStates:
        """The same, without a graph."""
        bias = None if self.bias is None else self.bias.detach()
        return HiddenStates(self.hidden.detach(), self.weight.detach(), bias)


def _no_logits(self: HiddenStates, *_: Any) -> Any:
    raise TypeError(
        "HiddenStates: there are no logits here, and the model (or what uses it) is about to change or read them. "
        "Models that do more to their logits than their output layer does are trained with them; text is generated "
        "after the block `with without_logits(model):`."
    )


_OPERATORS = "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "neg", "matmul", "getitem"
for _operator in _OPERATORS:
    setattr(HiddenStates, f"__{_operator}__", _no_logits)


def block_length(states: HiddenStates) -> int:
    """How many tokens make a block."""
    return max((_BLOCK if states.device.type == "cpu" else _BLOCK_ELSEWHERE) // len(states.weight), 1)


def linear_logits(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The logits that an output layer makes of rows of hidden states."""
    # As autocast does: where hidden states are in half precision, and parameters are not.
    return linear(rows, weight.to(rows.dtype), None if bias is None else bias.to(rows.dtype))


def logits_of(flat: Any, tokens: Tensor) -> Tensor:
    """The rows of some tokens, by their numbers: of hidden states their logits, in the dtype of these."""
    if isinstance(flat, HiddenStates):
        return linear_logits(flat.hidden.flatten(0, -2)[tokens], flat.weight, flat.bias)
    found: Tensor = flat[tokens]
    return found


def by_tokens(each: Any, dims: int) -> Any:
    """With one dimension in the place of those of the tokens; hidden states as they are."""
    return each if isinstance(each, HiddenStates) else each.flatten(0, dims - 1)
