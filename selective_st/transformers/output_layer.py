"""Models whose losses make the logits themselves, a few tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from selective_st.functional import HiddenStates

# What models do to the logits that their output layer gives, beyond it.
_AFTER_IT = ("final_logit_softcapping", "logit_scale", "logits_scaling")


@contextmanager
def without_logits(*models: nn.Module) -> Iterator[None]:
    """Train without the logits of a whole batch in memory: they are made in the loss, a block of tokens at a time.

    Within it, models give what their output layer makes logits of, and the losses of this package take that; value and
    gradients are the same. For large vocabularies the logits of a batch, and their gradient, are most of the memory. A
    step takes one more product of the output layer.

    Args:
        *models: The model, and the second one of a `ReferenceTrainer` if there is one.

    Yields:
        Nothing; after it the models are as before, and can generate.

    Raises:
        TypeError: If a model has no linear layer of outputs, or (when a batch comes) changes or reads its logits.
        ValueError: If there is no model, or a setting of one changes its logits after that layer.

    Example:
        >>> from selective_st.transformers import without_logits
        >>> with without_logits(model, reference):                             # doctest: +SKIP
        ...     trainer.train()
    """
    if not models:
        raise ValueError("without_logits: give the model that is trained, got none. Write without_logits(model).")
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(_without_logits(model))
        yield


@contextmanager
def _without_logits(model: nn.Module) -> Iterator[None]:
    layer = _output_layer(model)

    def forward(hidden: Tensor) -> HiddenStates:
        kind = hidden.device.type
        if torch.is_autocast_enabled(kind):
            hidden = hidden.to(torch.get_autocast_dtype(kind))  # as the layer itself would
        return HiddenStates(hidden, layer.weight, layer.bias)

    patched, of_object = cast(Any, layer), vars(layer)
    before = of_object.get("forward")  # of a layer that is in another such block, or has a hook of accelerate
    patched.forward = forward  # of this object: its parameters stay where they are, also those shared with others
    try:
        yield
    finally:
        if before is None:
            del patched.forward
        else:
            patched.forward = before


def _output_layer(model: nn.Module) -> nn.Linear:
    owner = "without_logits"
    find = getattr(model, "get_output_embeddings", None)
    layer = find() if callable(find) else None
    if type(layer) is not nn.Linear:
        of_layer = "" if layer is None else f" with a {type(layer).__name__} there"
        raise TypeError(
            f"{owner}: models must have a torch.nn.Linear as output layer, as those of AutoModelForCausalLM have, got "
            f"{type(model).__name__}{of_layer}. Train it with its logits."
        )
    config = getattr(model, "config", None)
    changed = [name for name in _AFTER_IT if getattr(config, name, None) not in (None, 1, 1.0)]
    if changed:
        raise ValueError(
            f"{owner}: the output layer's logits must be the model's, but {type(model).__name__} changes them "
            f"({changed[0]}={getattr(config, changed[0])}). Train it with its logits."
        )
    return layer
