"""What a training step with the selective loss costs, against one with CosineSimilarityLoss.

A step is one of the trainer: collate and tokenise the batch, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The two losses take turns on the same rows, on twin models. Run it with

    make bench-step
"""

from __future__ import annotations

import argparse
import logging
import tempfile

import torch
from common import THREADS, TIMES, Trainee, machine, print_heading, print_times, take_turns
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.links import IdentityLink, SigmoidLink, high_scores, score_region
from selective_st.losses import SelectivePointwiseLoss
from selective_st.training import train_tokenizer

VOCABULARY = 10_000
DIMENSION = 256


def main() -> None:
    """Print a table of paired medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="timed steps for each loss and batch size")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(THREADS)
    links = [high_scores(), IdentityLink(), SigmoidLink(20, 0.8), score_region(0.7, 0.9)]
    pairs = graded_pairs(4096)
    rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in pairs]
    tokenizer = train_tokenizer([text for pair in pairs for text in pair[:2]])
    trainer = SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    print(machine())
    print_heading(f"StaticEmbedding {VOCABULARY} x {DIMENSION}, link / CosineSimilarityLoss", TIMES)
    with tempfile.TemporaryDirectory() as folder:
        for batch_size in (64, 512):
            for link in links:
                steps = {}
                for name in ("base", "ours"):
                    torch.manual_seed(0)
                    module = StaticEmbedding(tokenizer, embedding_weights=torch.randn(VOCABULARY, DIMENSION))
                    model = SentenceTransformer(modules=[module])
                    loss = CosineSimilarityLoss(model) if name == "base" else SelectivePointwiseLoss(model, link)
                    steps[name] = Trainee(*trainer, model, loss, rows, batch_size, folder).step
                times = take_turns(steps, 0, arguments.steps, arguments.steps)
                print_times(repr(link)[:44], batch_size, times["base"], times["ours"], None)


if __name__ == "__main__":
    main()
