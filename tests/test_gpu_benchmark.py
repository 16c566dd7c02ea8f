"""`make gpu`, as far as it can be tried without a GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import gpu

from tests.processes import script, started

ROOT = Path(__file__).parent.parent


def without_a_device() -> None:
    script(str(ROOT / "benchmarks" / "gpu.py"), CUDA_VISIBLE_DEVICES="")


def test_without_a_device_it_says_so_and_exits_with_2() -> None:
    with started(without_a_device) as process:
        printed, errors, status = process.end()
    assert status == 2
    assert "no CUDA device is at hand" in errors
    assert not printed


def test_the_tables_on_a_cpu_in_the_place_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loss runs and is right; times and sizes are no GPU's."""
    columns_of, labels_of, autocast = gpu.columns_of, gpu.labels_of, torch.autocast

    def gradients(loss: Any, columns: list[torch.Tensor], labels: Any) -> list[Any]:
        gpu.step_of(loss, columns, labels, "fp16")()
        return [column.grad for column in columns]

    monkeypatch.setattr(gpu, "columns_of", lambda count, rows, size, _: columns_of(count, rows, size, "cpu"))
    monkeypatch.setattr(gpu, "labels_of", lambda *args: labels_of(*args[:3], "cpu", *args[4:]))
    monkeypatch.setattr(gpu, "with_scaler", gradients)
    monkeypatch.setattr(torch, "autocast", lambda device, *args, **kwargs: autocast("cpu", *args, **kwargs))
    table = gpu.accuracy(rows=20, dimension=16)
    kinds = {row["loss"].split(",")[0] for row in table}
    assert kinds >= {"pointwise", "pairwise", "listwise", "in-batch", "symmetric", "teacher"}
    for row in table:
        assert row["value, fp32"] < 1e-4
        assert row["fp32"] < 1e-4
        assert row["fp16"] < 0.02
        assert row["bf16"] < 0.1
    assert len(gpu.markdown(table).splitlines()) == 2 + len(table)

    monkeypatch.setattr(gpu, "DEVICE", "cpu")
    monkeypatch.setattr(gpu, "DIMENSIONS", (8,))
    monkeypatch.setattr(gpu, "megabytes", lambda step, columns: [step(), 1.0][1])
    monkeypatch.setattr(gpu, "milliseconds", lambda steps, rounds: dict.fromkeys(steps, 1.0))
    rows = gpu.in_batch((16,), 1, float("inf"))
    assert [row["precision"] for row in rows] == ["bf16", "tf32", "fp32"]
    for row in rows:
        assert {"constant, ms", "exponential, ms", "built-in, MB", "three products, ms"} <= set(row)
    assert {row["batch"] for row in gpu.small(1)} == {64, 512}
