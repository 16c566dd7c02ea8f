"""Labels on their way to the CPU while the model runs, so that to look at them is not to wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# Of a tensor its copy, what tells when that is complete, and the version of the tensor that it is of.
_COPIES: Any = WeakTensorKeyDictionary()


def send_ahead(labels: Any) -> None:
    """Begin to copy labels (a tensor, or several by names) to the CPU, before a model is asked for scores."""
    for tensor in labels.values() if isinstance(labels, Mapping) else [labels]:
        if isinstance(tensor, Tensor) and tensor.is_cuda:
            copy = torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor.detach(), non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            _COPIES[tensor] = copy, event, tensor._version


def on_cpu(tensor: Tensor) -> Tensor:
    """The copy that was sent ahead, if one was; else the tensor."""
    copy, event, version = _COPIES.get(tensor, (tensor, None, None))
    if event is None or version != tensor._version:
        return tensor
    event.synchronize()
    found: Tensor = copy
    return found
