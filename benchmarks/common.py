"""What the benchmarks share: steps that take turns, a trainer's steps, peak memory, tables, the machine."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import BertConfig, BertModel

THREADS = 2
MEGABYTE = 2**20


class Echo(nn.Module):
    """A model of which the losses only keep a reference: they are given embeddings."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Give the features back."""
        return features


class TinyTransformer(nn.Module):
    """A random BERT of two layers, with the mean of its token embeddings."""

    def __init__(self) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=1000, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256
        )
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add the mean embedding to the features."""
        mask = features["attention_mask"]
        tokens = self.bert(input_ids=features["input_ids"], attention_mask=mask).last_hidden_state
        weight = (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)
        return features | {"sentence_embedding": (tokens * weight).sum(1)}


class Trainee:
    """A trainer whose steps are taken one by one: collate, forward, loss, backward, clip, AdamW, schedule.

    Args:
        kind: The trainer's class.
        arguments: The class of its arguments.
        model: The model.
        loss: Its loss.
        rows: The rows, of which steps take one batch after the other, again and again.
        batch_size: Rows in a step.
        folder: A folder for the trainer.
        callbacks: What is told of each step.
    """

    def __init__(
        self,
        kind: Any,
        arguments: Any,
        model: nn.Module,
        loss: nn.Module,
        rows: list[dict[str, Any]],
        batch_size: int,
        folder: str,
        callbacks: Sequence[Any] = (),
    ) -> None:
        settings = arguments(folder, report_to="none", disable_tqdm=True, use_cpu=True)
        settings.per_device_train_batch_size = batch_size
        self.trainer = kind(model, settings, Dataset.from_list(rows), loss=loss, callbacks=[*callbacks])
        self.trainer.create_optimizer_and_scheduler(1_000_000)
        self.trainer.current_gradient_accumulation_steps = 1  # set by train(), which is not called here
        self._callbacks = callbacks
        self._batches = cycle(rows[i : i + batch_size] for i in range(0, len(rows) - batch_size + 1, batch_size))

    def step(self) -> None:
        """Do one step."""
        trainer = self.trainer
        told = trainer.args, trainer.state, trainer.control
        torch.manual_seed(0)  # the same in-batch negatives for all
        for callback in self._callbacks:
            callback.on_step_begin(*told)
        trainer.training_step(trainer.model, trainer.data_collator(next(self._batches)))
        trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        trainer.model.zero_grad()
        for callback in self._callbacks:
            callback.on_step_end(*told)


def progress(text: str) -> None:
    """Say on the standard error stream what is going on."""
    print(f"... {text}", file=sys.stderr, flush=True)


def take_turns(steps: dict[str, Callable[[], None]], seconds: float, least: int, most: int) -> dict[str, list[float]]:
    """Time steps that take turns, in an order that changes from round to round.

    Args:
        steps: What to time, by name.
        seconds: How long to go on, roughly.
        least: Rounds to time at least.
        most: Rounds to time at most.

    Returns:
        The seconds of each step, round by round.
    """

    def a_round(number: int) -> dict[str, float]:
        names = list(steps)
        first = number % len(names)
        took = {}
        for name in (names[first:] + names[:first])[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            steps[name]()
            took[name] = time.perf_counter() - start
        return took

    for i in range(2):
        a_round(i)
    rounds: list[dict[str, float]] = []
    start = time.perf_counter()
    while len(rounds) < least or (len(rounds) < most and time.perf_counter() - start < seconds):
        rounds.append(a_round(len(rounds)))
    return {name: [took[name] for took in rounds] for name in steps}


def print_heading(title: str, unit: str) -> None:
    """Print the title of a table and its columns."""
    print(f"\n{title}\n{'compared':44}  {'batch':>5}  {'other':>10}  {'selective':>10}  {unit}", flush=True)


def verdict(ratio: float, at_most: float | None) -> str:
    """What is to be reached, and whether it is."""
    return "" if at_most is None else f"<= {at_most:<5}{'ok' if ratio <= at_most else 'MISSED'}"


def print_times(
    name: str, batch_size: int, base: Sequence[float], ours: Sequence[float], at_most: float | None
) -> None:
    """Print paired medians."""
    of_base, of_ours = statistics.median(base), statistics.median(ours)
    ratio = statistics.median(b / a for a, b in zip(base, ours, strict=True))
    fastest = min(ours) / min(base)
    print(
        f"{name:44}  {batch_size:5}  {1e3 * of_base:7.2f} ms  {1e3 * of_ours:7.2f} ms  {of_ours / of_base:16.3f}"
        f"  {ratio:16.3f}  {fastest:16.3f}  {verdict(ratio, at_most)}",
        flush=True,
    )


TIMES = "ratio of medians  median of ratios  ratio of fastest  to reach"


def status_bytes(field: str) -> int:
    """A size from the process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def peak_memory(step: Callable[[], object]) -> float:
    """The extra peak memory of a step in this process, which must have done little else, in megabytes."""
    gc.collect()
    before = status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    return (status_bytes("VmHWM") - before) / MEGABYTE


def in_a_process(*arguments: str) -> str:
    """The last line that Python prints with some arguments, with memory given back as soon as it is free."""
    at_once = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, **at_once})
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine() -> str:
    """What was measured on, and with what."""
    versions = f"torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}"
    return f"{THREADS} threads of {processor()}, {os.cpu_count()} cores; {versions}"
