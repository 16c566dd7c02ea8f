"""The order over all processes equals that of one process with the joined batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from selective_st.links import high_scores
from selective_st.losses import SelectiveOrderLoss
from tests import random_inputs
from tests.processes import START
from tests.tolerances import assert_close

WORLD, ROWS, DIMENSION = 2, 10, 4


class Table(torch.nn.Module):
    """A model with a row for each text, so that the gradient of its parameter shows that of each embedding."""

    def __init__(self) -> None:
        super().__init__()
        values = torch.randn(2 * ROWS, DIMENSION, generator=random_inputs.generator(1), dtype=torch.float64)
        self.values = torch.nn.Parameter(values)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**features, "sentence_embedding": self.values[features["input_ids"].flatten()]}


def run(rows: slice, weighted: bool, *, ddp: bool) -> tuple[Tensor, Tensor]:
    """The value for some rows of the joined batch, and the gradient of the table."""
    model: Any = Table()
    loss: Any = SelectiveOrderLoss(
        model, 5.0, link=high_scores(2.0), weight_link=high_scores(3.0), calibration=0.3, gather_across_devices=ddp
    )
    if ddp:
        loss.model = DistributedDataParallel(model)
    features = [{"input_ids": torch.arange(begin, begin + ROWS)[rows, None]} for begin in (0, ROWS)]
    labels: Any = torch.linspace(0, 1, ROWS, dtype=torch.float64).roll(3)[rows]
    if weighted:
        weight = torch.rand(ROWS, generator=random_inputs.generator(2), dtype=torch.float64)[rows]
        labels = {"label": labels, "weight": weight}
    value = loss(features, labels)
    value.backward()
    return value.detach(), model.values.grad


def in_process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    rows = slice(rank * ROWS // WORLD, (rank + 1) * ROWS // WORLD)
    results: list[Any] = [run(rows, weighted, ddp=True) for weighted in (False, True)]
    try:
        run(slice(0, 4 + rank), False, ddp=True)
    except ValueError as error:
        results.append(str(error))
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_processes_equal_one_with_the_joined_batch(tmp_path: Path) -> None:
    mp.start_processes(in_process, (str(tmp_path),), WORLD, start_method=START)  # type: ignore[no-untyped-call]
    for rank in range(WORLD):
        *results, refusal = torch.load(tmp_path / f"{rank}.pt")
        for weighted, ours in zip((False, True), results, strict=True):
            theirs = run(slice(None), weighted, ddp=False)
            assert_close(list(ours), list(theirs), exponent=5)
            assert (theirs[1] != 0).any()
        assert "all processes need batches of the same size, got [4, 5]" in refusal
