"""Models whose losses make the logits themselves, a few tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from selective_st.functional import HiddenStates
from selective_st.losses._common import said

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
            layer: Any = _output_layer(model)
            before = vars(layer).get("forward")  # of a layer in another such block, or with a hook of accelerate
            # Of this object: its parameters stay where they are, also those shared with others.
            layer.forward = partial(_hidden_states, layer)
            stack.callback(_put_back, layer, before)
        yield


def _hidden_states(layer: nn.Linear, hidden: Tensor) -> HiddenStates:
    kind = hidden.device.type
    if torch.is_autocast_enabled(kind):
        hidden = hidden.to(torch.get_autocast_dtype(kind))  # as the layer itself would
    return HiddenStates(hidden, layer.weight, layer.bias)


def _put_back(layer: Any, before: Any) -> None:
    if before is None:
        del layer.forward
    else:
        layer.forward = before


def _output_layer(model: nn.Module) -> nn.Linear:
    find = getattr(model, "get_output_embeddings", None)
    layer, name = find() if callable(find) else None, type(model).__name__
    if type(layer) is not nn.Linear:
        raise TypeError(said("no_output_layer", "without_logits", name=name, got=type(layer).__name__))
    settings = {setting: getattr(getattr(model, "config", None), setting, None) for setting in _AFTER_IT}
    changed = [f"{setting}={value}" for setting, value in settings.items() if value not in (None, 1)]
    if changed:
        raise ValueError(said("changed_logits", "without_logits", name=name, changed=changed))
    return layer
