"""One autograd Function for every value whose slopes are known, also inside the transforms of `torch.func`."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

from selective_st._caller import caller

# Whether torch.func.grad, vmap or another such transform runs. Where torch no longer tells, as if one always did.
in_transform: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


class KnownSlopes(ABC):
    """A function of tensors that gives its slopes itself.

    One object serves one call, so that `value` can keep what it finds for the way back. If gradients of gradients may
    be wanted there, `pull` must be made of what autograd can follow.

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

        With `torch.is_grad_enabled()` gradients of gradients may be wanted: then autograd must be able to follow it.
        """

    def push(self, tangents: Sequence[Tensor | None], *tensors: Tensor) -> Tensor:
        """From the tangents of the tensors, where they have one, to that of the value."""
        raise NotImplementedError(
            f"{caller('this loss')} has no forward-mode derivative, which torch.func.jvp, jacfwd and hessian ask for. "
            "Use torch.func.jacrev, and jacrev(jacrev(f)) for a Hessian."
        )

    def __call__(self, *tensors: Tensor | None) -> Tensor:
        """The value, with a graph."""
        if torch.compiler.is_compiling():
            from selective_st._uncompiled import as_it_is  # late: it imports the compiler, which takes 1.5 s

            return cast(Tensor, as_it_is(self, *tensors))
        if in_transform():
            return cast(Tensor, _KnownInTransform.apply(self, *tensors))  # type: ignore[no-untyped-call]
        # As `Function.apply` does in the end, after looking at what a transform would need.
        return cast(Tensor, super(Function, _Known).apply(self, *tensors))  # type: ignore[no-untyped-call]


class _Known(Function):
    @staticmethod
    def forward(ctx: Any, rule: KnownSlopes, *tensors: Tensor) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        return rule.value(*tensors)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return ctx.rule.push(tangents[1:], *ctx.saved_tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, *ctx.rule.pull(gradients[0], ctx.needs_input_grad[1:], *ctx.saved_tensors)


class _KnownInTransform(_Known):
    @staticmethod
    def forward(rule: KnownSlopes, *tensors: Tensor) -> Tensor:  # type: ignore[override]
        value = rule.value(*tensors)
        return value.view_as(value) if value is tensors[0] else value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.rule, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], rule: KnownSlopes, *tensors: Tensor | None
    ) -> tuple[Tensor, int]:
        batched = _in_front(info.batch_size, in_dims[1:], tensors)
        if not rule.one_by_one:
            return rule(*batched), 0
        items = ([tensor if tensor is None else tensor[i] for tensor in batched] for i in range(info.batch_size))
        return torch.stack([copy.copy(rule)(*item) for item in items]), 0


def pull_through(
    plain: Callable[..., Tensor], gradient: Tensor, needed: Sequence[bool], tensors: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """`KnownSlopes.pull` by automatic differentiation of a form that autograd can follow."""
    places = [i for i, is_needed in enumerate(needed) if is_needed]
    # Views, for one tensor may be made of another, and what it gives that one is not to be counted here.
    wanted = [cast(Tensor, tensors[i]).view_as(cast(Tensor, tensors[i])) for i in places]

    def of_wanted(*some: Tensor) -> Tensor:
        every = list(tensors)
        for i, tensor in zip(places, some, strict=True):
            every[i] = tensor
        return plain(*cast(list[Tensor], every))

    if in_transform():  # whose tensors have no graph that torch.autograd.grad would find
        found = torch.func.vjp(of_wanted, *wanted)[1](gradient)
    else:
        found = torch.autograd.grad(of_wanted(*wanted), wanted, gradient, create_graph=True)
    pulled: list[Tensor | None] = [None] * len(needed)
    for i, tensor in zip(places, found, strict=True):
        pulled[i] = tensor
    return pulled


def answers_at_once(tensor: Tensor) -> bool:
    """Whether a number of a tensor may be asked for: a GPU would have to be waited for, and a compiler cannot ask."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def look(check: Callable[..., None], *tensors: Tensor | None) -> None:
    """Run a check on the values of tensors, which inside a transform cannot be asked for.

    Args:
        check: Raises where something is wrong; inside a transform the tensors may have more dimensions in front.
        *tensors: What it is given.
    """
    if in_transform():
        _Look.apply(check, *tensors)  # type: ignore[no-untyped-call]
    else:
        check(*tensors)


class _Look(Function):
    @staticmethod
    def forward(check: Callable[..., None], *tensors: Tensor | None) -> Tensor:
        check(*tensors)
        return torch.zeros(())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return (None,) * len(ctx.needs_input_grad)

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], check: Callable[..., None], *tensors: Tensor | None
    ) -> tuple[Tensor, None]:
        look(check, *_in_front(info.batch_size, in_dims[1:], tensors))
        return torch.zeros(()), None


def _in_front(size: int, dims: Sequence[int | None], tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The tensors with the dimension that vmap goes through in front, also where they are the same for all."""
    return [
        tensor if tensor is None else (tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0))
        for dim, tensor in zip(dims, tensors, strict=True)
    ]


def may_hold(condition: Tensor) -> bool:
    """Whether a condition holds anywhere; yes, where its values cannot be asked for."""
    return in_transform() or bool(condition.any())
