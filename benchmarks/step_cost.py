"""What a training step with the selective loss costs, against one with CosineSimilarityLoss.

A step is one of the trainer: collate and tokenise the batch, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The two losses take turns on the same rows, on twin models, so that a drift of the machine's
speed hits both; "median of ratios" is the median over the pairs of steps. Run it with

    make bench-step
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import nn

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.links import IdentityLink, Link, SigmoidLink, high_scores, score_region
from selective_st.losses import SelectivePointwiseLoss
from selective_st.training import train_tokenizer

VOCABULARY = 10_000
DIMENSION = 256
WARM_UP = 20


class Trainee:
    """A model with a loss, and a trainer whose steps are taken one by one."""

    def __init__(self, tokenizer: Tokenizer, link: Link | None, data: Dataset, batch_size: int, folder: str) -> None:
        torch.manual_seed(0)
        module = StaticEmbedding(tokenizer, embedding_weights=torch.randn(VOCABULARY, DIMENSION))
        self.model = SentenceTransformer(modules=[module])
        self.loss: nn.Module = SelectivePointwiseLoss(self.model, link) if link else CosineSimilarityLoss(self.model)
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder, per_device_train_batch_size=batch_size, report_to="none", disable_tqdm=True
        )
        self.trainer = SentenceTransformerTrainer(self.model, arguments, data, loss=self.loss)
        self.trainer.create_optimizer_and_scheduler(1_000_000)
        self.trainer.current_gradient_accumulation_steps = 1  # set by train(), which is not called here

    def step(self, rows: list[dict[str, Any]]) -> float:
        """Do one step and return its seconds."""
        start = time.perf_counter()
        self.trainer.training_step(self.model, self.trainer.data_collator(rows))
        self.trainer.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.trainer.optimizer.step()
        self.trainer.lr_scheduler.step()
        self.model.zero_grad()
        return time.perf_counter() - start


def main() -> None:
    """Print a table of paired medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="timed steps for each loss and batch size")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(2)
    links = {
        "high_scores()": high_scores(),
        "IdentityLink()": IdentityLink(),
        "SigmoidLink(20, 0.8)": SigmoidLink(20, 0.8),
        "score_region(0.7, 0.9)": score_region(0.7, 0.9),
    }
    pairs = graded_pairs(4096)
    rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in pairs]
    data = Dataset.from_list(rows)
    tokenizer = train_tokenizer([text for pair in pairs for text in pair[:2]])
    print(f"StaticEmbedding {VOCABULARY} x {DIMENSION}, {arguments.steps} pairs of steps, 2 threads")
    print(f"{'link':22}  batch  CosineSimilarityLoss  selective  ratio of medians  median of ratios")
    with tempfile.TemporaryDirectory() as folder:
        for batch_size in (64, 512):
            for name, link in links.items():
                base, ours = (Trainee(tokenizer, choice, data, batch_size, folder) for choice in (None, link))
                times: list[tuple[float, float]] = []
                for i in range(arguments.steps + WARM_UP):
                    start = i * batch_size % (len(rows) - batch_size + 1)
                    batch = rows[start : start + batch_size]
                    took = {trainee: trainee.step(batch) for trainee in ((base, ours) if i % 2 else (ours, base))}
                    times.append((took[base], took[ours]))
                of_base, of_ours = (statistics.median(column) for column in zip(*times[WARM_UP:], strict=True))
                ratio = statistics.median(ours / base for base, ours in times[WARM_UP:])
                print(
                    f"{name:22}  {batch_size:5}  {1e3 * of_base:17.2f} ms  {1e3 * of_ours:6.2f} ms"
                    f"  {of_ours / of_base:16.3f}  {ratio:16.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
