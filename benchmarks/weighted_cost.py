"""What a training step with a WeightedLoss of two losses costs, against the dearer of the two alone.

A step is one of the trainer: collate and tokenise the batch, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The three losses take turns on the same rows, on three copies of a model. Run it with

    python benchmarks/weighted_cost.py
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
from collections.abc import Callable, Iterator

import torch
from common import THREADS, TIMES, Trainee, machine, print_heading, print_times, take_turns
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
    parser.add_argument("--threads", type=int, default=THREADS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(arguments.threads)
    pairs = graded_pairs(2048)
    texts = [text for first, second, _ in pairs for text in (first, second)]
    rows = []
    for place, (first, second, score) in enumerate(pairs):
        others = {f"document_{k}": pairs[(place + 97 * k) % len(pairs)][1] for k in range(2, DOCUMENTS + 1)}
        labels = [score / HIGHEST_SCORE, *(0.1 * k for k in range(DOCUMENTS - 1))]
        rows.append({"query": first, "document_1": second, **others, "scores": labels})
    kinds = {"listwise": ranking, "pointwise": scores, "weighted": weighted}
    trainer = SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    print(machine())
    print_heading(f"A query and {DOCUMENTS} documents a row; both losses, to the dearer of the two", TIMES)
    with tempfile.TemporaryDirectory() as folder:
        for name, make in models(texts, folder):
            for batch_size in (16, 64):
                steps = {}
                for kind, make_loss in kinds.items():
                    model = make()
                    loss = make_loss(model)
                    callbacks = [loss.callback] if isinstance(loss, WeightedLoss) else []
                    steps[kind] = Trainee(*trainer, model, loss, rows, batch_size, folder, callbacks).step
                times = take_turns(steps, 0, arguments.steps, arguments.steps)
                dearer = max(("listwise", "pointwise"), key=lambda kind: statistics.median(times[kind]))
                print_times(f"{name}: weighted / {dearer}", batch_size, times[dearer], times["weighted"], None)


if __name__ == "__main__":
    main()
