"""Train with the real trainer in one process or several, and write down every step's loss.

    accelerate launch --num_processes 2 -m tests.gather_script FOLDER RUN ...

The batches coincide: rows go in order (or, in the run "shuffled", in one seeded order), batches of the joined size
divided by the number of processes are dealt to the processes in turn, and no sampler looks at the texts.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback

from selective_st.losses import CachedSelectiveMultipleNegativesRankingLoss, SelectiveMultipleNegativesRankingLoss
from tests import random_inputs
from tests.loss_cases import ALL_DIRECTIONS, SYMMETRIC
from tests.model_types import bert_model, sentence, static_model

JOINED = 8  # rows of a joined batch
ROWS = 3 * JOINED + 3  # the last, smaller batch is left out
LEARNING_RATE = 0.05


@dataclass(frozen=True)
class Run:
    """A run of the trainer.

    Attributes:
        model: What is trained.
        loss: With which loss.
        columns: How many text columns.
        shuffled: Whether the rows go in the trainer's own order.
        teacher: Whether there are teacher scores.
        arguments: More training arguments.
    """

    model: Callable[[], SentenceTransformer]
    loss: Callable[..., nn.Module]
    columns: int = 3
    shuffled: bool = False
    teacher: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


_CACHED = partial(CachedSelectiveMultipleNegativesRankingLoss, mini_batch_size=3)
RUNS = {
    "static": Run(static_model, partial(SelectiveMultipleNegativesRankingLoss, mask_same_text=True)),
    "shuffled": Run(static_model, partial(SelectiveMultipleNegativesRankingLoss, **ALL_DIRECTIONS), shuffled=True),
    "teacher": Run(bert_model, partial(SelectiveMultipleNegativesRankingLoss, scale=5.0), teacher=True),
    "cached": Run(bert_model, partial(_CACHED, **SYMMETRIC), columns=2),
    "cached, accumulated": Run(bert_model, _CACHED, arguments={"gradient_accumulation_steps": 3}),
    "not gathered": Run(static_model, partial(SelectiveMultipleNegativesRankingLoss, gather_across_devices=False)),
}


def in_order(dataset: Dataset, batch_size: int, drop_last: bool, **_: Any) -> DefaultBatchSampler:
    """A batch sampler that goes through the rows in order."""
    return DefaultBatchSampler(SequentialSampler(range(len(dataset))), batch_size=batch_size, drop_last=drop_last)


def rows(run: Run, count: int, first: int = 0) -> Dataset:
    """Some rows of sentences; every fifth positive is that of the row before."""
    names = ("anchor", "positive", *(f"negative_{i}" for i in range(1, run.columns - 1)))
    numbers = [range(first + 100 * column, first + 100 * column + count) for column in range(run.columns)]
    table: dict[str, list[Any]] = {
        name: [sentence(number - (column == 1 and number % 5 == 4)) for number in of_column]
        for column, (name, of_column) in enumerate(zip(names, numbers, strict=True))
    }
    if run.teacher:
        table["label"] = torch.linspace(-0.5, 0.9, count * (run.columns - 1)).view(count, -1).tolist()
    return Dataset.from_dict(table)


def train(name: str, folder: Path, processes: int) -> tuple[list[dict[str, float]], torch.Tensor]:
    """What the trainer logs, and the trained parameters."""
    run = RUNS[name]
    torch.manual_seed(random_inputs.seed_of(0))
    model = run.model()
    loss = run.loss(model, **({} if name == "not gathered" else {"gather_across_devices": True}))
    arguments = SentenceTransformerTrainingArguments(
        str(folder / "output"),
        per_device_train_batch_size=JOINED // processes,
        per_device_eval_batch_size=JOINED // processes,
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        optim="sgd",  # shows the size of the gradient, which Adam divides out
        dataloader_drop_last=True,
        logging_steps=1,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=1,
        **({} if run.shuffled else {"batch_sampler": in_order}),
        **run.arguments,
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=rows(run, ROWS), eval_dataset=rows(run, JOINED, ROWS), loss=loss
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    kept = ("loss", "grad_norm", "eval_loss")
    logs = [{key: entry[key] for key in kept if key in entry} for entry in trainer.state.log_history]
    return [entry for entry in logs if entry], torch.cat([p.detach().flatten() for p in model.parameters()])


def main(place: str, *names: str) -> None:
    """Some runs, each process in a file of its own."""
    torch.set_num_threads(1)
    folder, rank = Path(place), os.environ["RANK"]
    for name in names:
        RUNS[
            name
        ].model()  # now: in a process group only the first process would write the files that it is loaded from
    found = {name: train(name, folder, int(os.environ["WORLD_SIZE"])) for name in names}
    (folder / f"{rank}.json").write_text(json.dumps({name: logs for name, (logs, _) in found.items()}))
    torch.save({name: parameters for name, (_, parameters) in found.items()}, folder / f"{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
