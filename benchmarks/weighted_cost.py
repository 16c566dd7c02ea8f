"""What a training step with a WeightedLoss of two losses costs, against the dearer of the two alone.

A step is one of the trainer: collate and tokenise the batch, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The three losses take turns on the same rows, on three copies of a model, so that a drift of
the machine's speed hits all; "median of ratios" is the median over the rounds. Run it with

    python benchmarks/weighted_cost.py
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from sentence_transformers.util import pairwise_cos_sim
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss, WeightedLoss
from selective_st.schedules import linear_schedule
from selective_st.training import train_tokenizer

VOCABULARY = 10_000
DIMENSION = 256
DOCUMENTS = 4
WARM_UP = 10
MakeLoss = Callable[[SentenceTransformer], nn.Module]


def ranking(model: SentenceTransformer) -> nn.Module:
    """The first loss."""
    return SelectiveListwiseLoss(model, pairwise_cos_sim, temperature=0.1)


def scores(model: SentenceTransformer) -> nn.Module:
    """The second."""
    return SelectivePointwiseLoss(model)


def weighted(model: SentenceTransformer) -> nn.Module:
    """Both, annealed and balanced."""
    losses = {"ranking": ranking(model), "scores": scores(model)}
    weights = {"ranking": linear_schedule(1, 0), "scores": linear_schedule(0, 1)}
    return WeightedLoss(model, losses, weights, balance=True)


class Trainee:
    """A model with a loss, and a trainer whose steps are taken one by one."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, model: SentenceTransformer, make: MakeLoss, data: Dataset, batch_size: int, folder: str) -> None:
        self.model, self.loss = model, make(model)
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder, per_device_train_batch_size=batch_size, report_to="none", disable_tqdm=True
        )
        self.callbacks = [self.loss.callback] if isinstance(self.loss, WeightedLoss) else []
        self.trainer = SentenceTransformerTrainer(model, arguments, data, loss=self.loss, callbacks=self.callbacks)
        self.trainer.create_optimizer_and_scheduler(1_000_000)
        self.trainer.current_gradient_accumulation_steps = 1  # set by train(), which is not called here

    def step(self, rows: list[dict[str, Any]]) -> float:
        """Do one step and return its seconds."""
        trainer = self.trainer
        start = self.clock()
        for callback in self.callbacks:
            callback.on_step_begin(trainer.args, trainer.state, trainer.control)
        trainer.training_step(self.model, trainer.data_collator(rows))
        trainer.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        self.model.zero_grad()
        for callback in self.callbacks:
            callback.on_step_end(trainer.args, trainer.state, trainer.control)
        return self.clock() - start


def models(texts: list[str], folder: str) -> Iterator[tuple[str, Callable[[], SentenceTransformer]]]:
    """The models: one whose pass costs next to nothing, and a small transformer."""
    tokenizer = train_tokenizer(texts)

    def static() -> SentenceTransformer:
        torch.manual_seed(0)
        module = StaticEmbedding(tokenizer, embedding_weights=torch.randn(VOCABULARY, DIMENSION))
        return SentenceTransformer(modules=[module])

    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[UNK]")
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(fast), **sizes)).save_pretrained(f"{folder}/bert")
    fast.save_pretrained(f"{folder}/bert")

    def transformer() -> SentenceTransformer:
        module = Transformer(f"{folder}/bert")
        return SentenceTransformer(modules=[module, Pooling(module.get_embedding_dimension())])

    yield f"static {VOCABULARY} x {DIMENSION}", static
    yield "BERT, 2 layers of 64", transformer


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150, help="timed steps for each loss, model and batch size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="time of this process alone, on a busy machine")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    if arguments.cpu_time:
        Trainee.clock = staticmethod(time.process_time)
    torch.set_num_threads(arguments.threads)
    pairs = graded_pairs(2048)
    texts = [text for first, second, _ in pairs for text in (first, second)]
    rows = []
    for place, (first, second, score) in enumerate(pairs):
        others = {f"document_{k}": pairs[(place + 97 * k) % len(pairs)][1] for k in range(2, DOCUMENTS + 1)}
        labels = [score / HIGHEST_SCORE, *(0.1 * k for k in range(DOCUMENTS - 1))]
        rows.append({"query": first, "document_1": second, **others, "scores": labels})
    data = Dataset.from_list(rows)
    print(f"A query and {DOCUMENTS} documents a row, {arguments.steps} rounds of steps, {arguments.threads} thread(s)")
    print(f"{'model':20}  batch   listwise  pointwise   weighted  to the dearer: median of ratios, ratio of fastest")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in models(texts, folder):
            for batch_size in (16, 64):
                trainees = [Trainee(make(), loss, data, batch_size, folder) for loss in (ranking, scores, weighted)]
                times: list[list[float]] = []
                for i in range(arguments.steps + WARM_UP):
                    start = i * batch_size % (len(rows) - batch_size + 1)
                    took = {}
                    for turn in range(3):  # each goes first, second and last as often
                        place = (turn + i) % 3
                        took[place] = trainees[place].step(rows[start : start + batch_size])
                    times.append([took[place] for place in range(3)])
                medians = [statistics.median(column) for column in zip(*times[WARM_UP:], strict=True)]
                fastest = [min(column) for column in zip(*times[WARM_UP:], strict=True)]
                dearer = max((0, 1), key=lambda place: medians[place])
                ratio = statistics.median(row[2] / row[dearer] for row in times[WARM_UP:])
                print(
                    f"{name:20}  {batch_size:5}  "
                    + "  ".join(f"{1e3 * median:6.2f} ms" for median in medians)
                    + f"  {ratio:31.3f}  {fastest[2] / fastest[dearer]:16.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
