"""gather_across_devices: two processes equal one with the joined batch, in value and gradients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor
from torch.testing import assert_close

from selective_st.links import ConstantLink, ExponentialLink, Link
from selective_st.losses import SelectiveMultipleNegativesRankingLoss
from tests.loss_cases import EchoModel

RANKS, ROWS, NEGATIVES, DIMENSION = 2, 3, 2, 8
ALL = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
CASES: dict[str, tuple[Link | None, dict[str, Any]]] = {
    "default": (None, {}),
    "constant": (ConstantLink(), {}),
    "symmetric": (None, {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}),
    "all directions": (ExponentialLink(2.0), {"directions": ALL, "label_smoothing": 0.1}),
    "hardness": (None, {"hardness_mode": "all_negatives", "hardness_strength": 3.0}),
    "texts": (None, {"directions": ALL}),
    "teacher": (None, {"calibration": 0.5}),
}


def batch() -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The joined batch: columns of embeddings, ids of the documents' texts, a teacher's scores."""
    generator = torch.Generator().manual_seed(3)
    shape = (RANKS * ROWS, DIMENSION)
    columns = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2 + NEGATIVES)]
    ids = [torch.randint(0, 4, (RANKS * ROWS,), generator=generator) for _ in range(1 + NEGATIVES)]
    scores = torch.rand(RANKS * ROWS, 1 + NEGATIVES, generator=generator, dtype=torch.float64)
    return columns, ids, scores


def run(case: str, rows: slice, *, gather: bool) -> list[Tensor]:
    """The loss of some rows, and its gradients with respect to their columns."""
    link, options = CASES[case]
    columns, ids, scores = batch()
    columns = [column[rows].clone().requires_grad_() for column in columns]
    loss = SelectiveMultipleNegativesRankingLoss(EchoModel(), link=link, gather_across_devices=gather, **options)
    value = loss.compute_loss_from_embeddings(
        columns, scores[rows] if case == "teacher" else None, [x[rows] for x in ids] if case == "texts" else None
    )
    value.backward()
    return [value.detach(), *(column.grad for column in columns if column.grad is not None)]


def process(rank: int, folder: str) -> None:
    """What each process does: its rows of every case, and the built-in loss for comparison."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    rows = slice(rank * ROWS, (rank + 1) * ROWS)
    results: dict[str, list[Tensor]] = {case: run(case, rows, gather=True) for case in CASES}
    columns = [column[rows].clone() for column in batch()[0]]
    builtin = MultipleNegativesRankingLoss(EchoModel(), gather_across_devices=True)
    results["built-in"] = [builtin.compute_loss_from_embeddings(columns, None)]
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Tensor]]]:
    folder = tmp_path_factory.mktemp("gather")
    torch.multiprocessing.spawn(process, (str(folder),), nprocs=RANKS)
    return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


@pytest.mark.skipif(not dist.is_available() or sys.platform == "win32", reason="needs gloo")
@pytest.mark.parametrize("case", CASES)
def test_processes_equal_one_with_the_joined_batch(case: str, results: list[dict[str, list[Tensor]]]) -> None:
    value, *gradients = run(case, slice(None), gather=False)
    assert_close(sum(result[case][0] for result in results) / RANKS, value, rtol=1e-9, atol=1e-12)
    assert len(gradients) == 2 + NEGATIVES
    for i, gradient in enumerate(gradients, start=1):
        assert gradient.abs().sum() > 0
        # Each process back-propagates its own mean; their average is the mean of all.
        joined = torch.cat([result[case][i] for result in results]) / RANKS
        assert_close(joined, gradient, rtol=1e-9, atol=1e-12)


def test_the_built_in_loss_in_each_process(results: list[dict[str, list[Tensor]]]) -> None:
    for result in results:
        assert_close(result["constant"][0], result["built-in"][0])
