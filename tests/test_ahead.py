"""Labels that are sent ahead: looked at on the CPU, as long as they are what was sent."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from selective_st import _ahead
from selective_st._ahead import on_cpu, send_ahead
from selective_st.functional._common import is_finite
from selective_st.links import ConstantLink, high_scores
from selective_st.losses import (
    SelectiveListwiseLoss,
    SelectiveOrderLoss,
    SelectivePairwiseLoss,
    SelectivePointwiseLoss,
)
from tests.random_inputs import generator


def _known(labels: Tensor) -> Tensor | None:
    mask: Tensor | None = SelectivePointwiseLoss(torch.nn.Identity()).objective.known(labels)  # type: ignore[arg-type]
    return mask


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The copies that were sent, as from a GPU; how often one was waited for is their `waited`."""
    copies: list[Tensor] = []

    def event() -> Any:
        return SimpleNamespace(record=lambda: None, synchronize=lambda: None)

    def empty_like(tensor: Tensor, **kwargs: Any) -> Tensor:
        copies.append(torch.zeros(tensor.shape, dtype=tensor.dtype))
        return copies[-1]

    monkeypatch.setattr(torch.cuda, "Event", event)
    monkeypatch.setattr(_ahead.torch, "empty_like", empty_like)
    monkeypatch.setattr(Tensor, "is_cuda", property(lambda tensor: True))
    return copies


def test_the_copy_is_looked_at(sent: list[Tensor]) -> None:
    labels, other = torch.tensor([0.25, 0.5]), torch.tensor([0.25, 0.5])
    send_ahead(labels)
    assert on_cpu(labels) is sent[0]
    assert sent[0].tolist() == [0.25, 0.5]
    assert on_cpu(other) is other
    send_ahead({"label": other, "weight": None})
    assert on_cpu(other) is sent[1]


def test_checks_ask_the_copy(sent: list[Tensor]) -> None:
    labels = torch.tensor([[0.25, 0.5], [0.75, 1.0]])
    send_ahead(labels)
    sent[0][0, 1] = math.nan
    mask = _known(labels)
    assert mask is not None
    assert mask.tolist() == [[True, False], [True, True]]
    assert not is_finite(labels)
    sent[0][0] = math.nan
    with pytest.raises(ValueError, match="rows"):
        _known(labels)


def test_what_was_changed_since_is_not_what_was_sent(sent: list[Tensor]) -> None:
    labels = torch.tensor([0.25, 0.5])
    send_ahead(labels)
    labels[0] = math.nan
    assert on_cpu(labels) is labels


class _Questions(TorchDispatchMode):
    """Counts the operations that wait for what a device has computed."""

    asked = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        self.asked += func in (aten._local_scalar_dense.default, aten.equal.default, aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("make", "columns"),
    [
        (SelectivePointwiseLoss, 2),
        (partial(SelectivePairwiseLoss, targets="margins", similarity_fct=pairwise_cos_sim), 4),
        (partial(SelectiveListwiseLoss, similarity_fct=pairwise_cos_sim), 4),
        (partial(SelectiveListwiseLoss, link=ConstantLink(), calibration=0), 4),
        (partial(SelectiveListwiseLoss, temperature=0.5), 4),
        (partial(SelectiveOrderLoss, weight_link=high_scores(3)), 2),
    ],
    ids=["pointwise", "pairwise", "listwise", "plain listwise", "listwise of dot products", "order"],
)
def test_nothing_is_asked_of_what_the_model_gave(make: Any, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("functional.listwise", "links.combined"):  # as for a GPU's tensors
        monkeypatch.setattr(f"selective_st.{module}.answers_at_once", lambda tensor: False)
    loss = make(torch.nn.Identity())
    embeddings = [torch.randn(8, 4, generator=generator(i)).requires_grad_() for i in range(columns)]
    labels = torch.rand(8, 3, generator=generator(9)) if columns > 2 else torch.rand(8, generator=generator(9))
    loss.compute_loss_from_embeddings(embeddings, labels)  # the first batch is looked at more closely
    with _Questions() as questions:
        loss.compute_loss_from_embeddings(embeddings, labels).backward()
    assert questions.asked == 0
