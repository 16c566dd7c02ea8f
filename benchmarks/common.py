"""What the benchmarks share: options, models, a trainer's steps, steps that take turns, peak memory, the machine."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from itertools import cycle
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
import transformers
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import Tensor, nn

from selective_st.training import train_tokenizer

THREADS = 2
MEGABYTE = 2**20


VOCABULARY, DIMENSION = 10_000, 256  # of a static model


def options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line, read; and so many threads, and no warnings."""
    found = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(getattr(found, "threads", THREADS))
    return found


def parser_of(described: str | None, quick: str = "", steps: int = 0, threads: str = "") -> argparse.ArgumentParser:
    """A parser, with the options that many benchmarks have; the texts are their help."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    if steps:
        parser.add_argument("--steps", type=int, default=steps, help="timed steps for each loss and comparison")
    if threads:
        parser.add_argument("--threads", type=int, default=THREADS, help=threads)
    return parser


# --- Models -----------------------------------------------------------------------------------------------------------


class Echo(nn.Module):
    """A model of which the losses only keep a reference, or whose features are the embeddings."""

    similarity_fn_name = "cosine"

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Give the features back."""
        return features


def bert(kind: str = "BertModel", heads: int = 2, width: int = 256, **more: Any) -> Any:
    """A random BERT of two layers of 64, whose model is of transformers."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": heads, "intermediate_size": width}
    config = transformers.BertConfig(**{"vocab_size": 1000, **sizes, **more})
    return getattr(transformers, kind)(config, **({"add_pooling_layer": False} if kind == "BertModel" else {}))


class TinyTransformer(nn.Module):
    """A random BERT with the mean of its token embeddings."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        self.bert = bert(**sizes)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add the mean embedding to the features."""
        mask = features["attention_mask"]
        tokens = self.bert(input_ids=features["input_ids"], attention_mask=mask).last_hidden_state
        weight = (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)
        return features | {"sentence_embedding": (tokens * weight).sum(1)}


def texts_of(rows: int, longest: int, shortest: int, vocabulary: int) -> dict[str, Any]:
    """Random texts of different lengths, as tokens."""
    mask = (torch.arange(longest) < torch.randint(shortest, longest + 1, (rows, 1))).long()
    return {"input_ids": torch.randint(1, vocabulary, mask.shape) * mask, "attention_mask": mask}


def bert_folder(texts: Sequence[str], folder: str, kind: str = "BertModel", **more: Any) -> str:
    """The folder of a random BERT with a tokenizer of the words of some texts."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = train_tokenizer(texts)
    words.add_special_tokens(specials)
    names = zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=64, **dict(names))
    for part in (bert(kind, vocab_size=len(tokenizer), **more), tokenizer):
        part.save_pretrained(folder)
    return folder


def static_model(tokenizer: Tokenizer) -> SentenceTransformer:
    """A static model, the same each time."""
    torch.manual_seed(0)
    module = StaticEmbedding(tokenizer, embedding_weights=torch.randn(VOCABULARY, DIMENSION))
    return SentenceTransformer(modules=[module])


# --- Time -------------------------------------------------------------------------------------------------------------


class Trainee:
    """A trainer whose steps are taken one by one: collate, forward, loss, backward, clip, AdamW, schedule.

    Args:
        model: The model; its type has the trainer.
        loss: Its loss.
        rows: The rows, of which steps take one batch after the other, again and again.
        batch_size: Rows in a step.
        folder: A folder for the trainer.
        callbacks: What is told of each step.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        rows: list[dict[str, Any]],
        batch_size: int,
        folder: str,
        callbacks: Sequence[Any] = (),
    ) -> None:
        kind = type(model).__name__
        make = getattr(sentence_transformers, f"{kind}TrainingArguments")
        settings = make(folder, report_to="none", disable_tqdm=True, use_cpu=True)
        settings.per_device_train_batch_size = batch_size
        trainer = getattr(sentence_transformers, f"{kind}Trainer")
        self.trainer = trainer(model, settings, Dataset.from_list(rows), loss=loss, callbacks=[*callbacks])
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


def seconds_of(step: Callable[[], object]) -> float:
    """How long a step takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def clear(columns: Sequence[Tensor]) -> None:
    """Forget gradients."""
    for column in columns:
        column.grad = None


def from_embeddings(
    loss: Any, columns: list[Tensor], labels: Tensor | None = None, context: Callable[[], Any] = nullcontext
) -> Callable[[], Tensor]:
    """A step that goes from the embeddings to their gradients, forward in a context; it gives the value."""
    for column in columns:
        column.requires_grad_()

    def step() -> Tensor:
        clear(columns)
        with context():
            value: Tensor = loss.compute_loss_from_embeddings(columns, labels)
        value.backward()
        return value.detach()

    return step


def take_turns(
    steps: Mapping[str, Callable[[], object]],
    seconds: float,
    least: int,
    most: int,
    timed: Callable[[Callable[[], object]], float] = seconds_of,
) -> dict[str, list[float]]:
    """Time steps that take turns, in an order that changes from round to round.

    Args:
        steps: What to time, by name.
        seconds: How long to go on, roughly.
        least: Rounds to time at least.
        most: Rounds to time at most.
        timed: What times a step.

    Returns:
        The seconds of each step, round by round.
    """

    def a_round(number: int) -> dict[str, float]:
        names = list(steps)
        first = number % len(names)
        return {name: timed(steps[name]) for name in (names[first:] + names[:first])[:: -1 if number % 2 else 1]}

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


def compare(
    base: str,
    steps: Mapping[str, Callable[[], object]],
    batch_size: int,
    rounds: tuple[float, int, int],
    at_most: float | None,
    name: str = "{ours} / {base}",
) -> None:
    """Time steps in turns (`take_turns`), and print those of each against the base."""
    times = take_turns(steps, *rounds)
    for ours in steps:
        if ours != base:
            print_times(name.format(ours=ours, base=base)[:44], batch_size, times[base], times[ours], at_most)


TIMES = "ratio of medians  median of ratios  ratio of fastest  to reach"


# --- Memory -----------------------------------------------------------------------------------------------------------


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
