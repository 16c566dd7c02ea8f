"""One autograd Function for every value whose slopes are known, also inside the transforms of `torch.func`."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

# Whether torch.func.grad, vmap or another such transform runs. Where torch no longer tells, as if one always did.
in_transform: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


class KnownSlopes(ABC):
    """A function of tensors that gives its slopes itself.

    One object serves one call, so that `value` can keep what it finds for the way back. There, `slopes` are asked for
    if gradients of gradients may be wanted, and must be made of what autograd can follow; else `kept_slopes`.

    Attributes:
        one_by_one: Whether `torch.func.vmap` calls it once for each item, rather than with one more dimension in front.
    """

    one_by_one = False

    @abstractmethod
    def value(self, *tensors: Tensor) -> Tensor:
        """The value; the tensors are plain ones, whatever transforms run, and nothing is recorded."""

    @abstractmethod
    def pull(self, gradient: Tensor, needed: Sequence[bool], *tensors: Tensor) -> Sequence[Tensor | None]:
        """From the gradient of the value to those of the tensors, where needed.

        With `torch.is_grad_enabled()` gradients of gradients may be wanted: then it is made of what autograd can follow.
        """

    def __call__(self, *tensors: Tensor | None) -> Tensor:
        """The value, with a graph."""
        if in_transform():
            return cast(Tensor, _Known.apply(self, *tensors))
        # As `Function.apply` does in the end, after looking at the signature, which takes longer than many a value.
        return cast(Tensor, super(Function, _Known).apply(self, *tensors))


class _Known(Function):
    @staticmethod
    def forward(rule: KnownSlopes, *tensors: Tensor) -> Tensor:
        value = rule.value(*tensors)
        return value.view_as(value) if value is tensors[0] else value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.rule, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, *ctx.rule.pull(gradients[0], ctx.needs_input_grad[1:], *ctx.saved_tensors)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], rule: KnownSlopes, *tensors: Tensor | None) -> tuple[Tensor, int]:
        size = info.batch_size
        batched = [
            tensor
            if tensor is None
            else (tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0))
            for dim, tensor in zip(in_dims[1:], tensors, strict=True)
        ]
        if not rule.one_by_one:
            return rule(*batched), 0
        items = ([tensor if tensor is None else tensor[i] for tensor in batched] for i in range(size))
        return torch.stack([copy.copy(rule)(*item) for item in items]), 0


def pull_through(
    plain: Callable[..., Tensor], gradient: Tensor, needed: Sequence[bool], tensors: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """`KnownSlopes.pull` by automatic differentiation of a form that autograd can follow."""
    wanted = [tensor for tensor, is_needed in zip(tensors, needed, strict=True) if is_needed]
    found = iter(torch.autograd.grad(plain(*tensors), wanted, gradient, create_graph=True))
    return [next(found) if is_needed else None for is_needed in needed]
