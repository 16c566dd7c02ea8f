"""Distil a teacher's embeddings into fewer dimensions, so that thresholds on its scores still hold.

`SelectiveEmbedDistillLoss` matches the similarities within a batch, so that the student may have any dimension;
`EmbedDistillLoss` matches the embeddings themselves, through a projection that is learnt beside the student.

    python examples/embedding_distillation.py       # offline, with a teacher made first; --quick: with little data

Output of the first:

    texts: 7968 to train on, 1991 to report on; 256 dimensions into 32
    on test                       base  built-in  selective
    rmse_of_ten                  0.154     0.060      0.050
    recall_of_ten                0.100     0.704      0.734
    f1_at_0.8                    0.002     0.604      0.629
    saved: output/embedding_distillation
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, EmbedDistillLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from shared import fit, print_table, read_graded, run, save
from sklearn.metrics import f1_score
from torch import nn

from selective_st.losses import SelectiveEmbedDistillLoss
from selective_st.training import train_tokenizer


def measured(student: SentenceTransformer, teacher: SentenceTransformer, texts: list[str]) -> dict[str, float]:
    """The error of the teacher's ten nearest, their recall, and whether its threshold still holds."""
    units = (model.encode(texts, convert_to_tensor=True, normalize_embeddings=True) for model in (teacher, student))
    wanted, found = ((each @ each.T).fill_diagonal_(-1) for each in units)
    top, own = wanted.topk(10).indices, found.topk(10).indices
    return {
        "rmse_of_ten": float((wanted.gather(1, top) - found.gather(1, top)).square().mean().sqrt()),
        "recall_of_ten": float((top.unsqueeze(2) == own.unsqueeze(1)).any(2).float().mean()),
        "f1_at_0.8": float(f1_score(wanted.flatten() >= 0.8, found.flatten() >= 0.8)),
    }


def main(options: argparse.Namespace) -> None:
    """Train with both losses, compare, save."""
    pairs = read_graded(options)
    texts = list(dict.fromkeys([*pairs.sentences1, *pairs.sentences2]))
    settings = {"num_train_epochs": options.epochs or 5, "learning_rate": options.learning_rate or 0.1}
    settings |= {"per_device_train_batch_size": 128, "logging_strategy": "no"}

    tokenizer = train_tokenizer(texts)

    def untrained(size: int) -> SentenceTransformer:
        torch.manual_seed(options.seed)
        return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=size)])

    def trained(size: int, loss: type[nn.Module], rows: Dataset, **more: Any) -> SentenceTransformer:
        model = untrained(size)
        fit(options, model, loss(model, **more), rows, **settings)
        return model

    teacher = trained(256, CosineSimilarityLoss, pairs.dataset)  # or SentenceTransformer("a large one")
    test, train = texts[: len(texts) // 5], texts[len(texts) // 5 :]
    print(f"texts: {len(train)} to train on, {len(test)} to report on; 256 dimensions into 32")
    rows = Dataset.from_dict({"text": train, "label": teacher.encode(train)})
    theirs, ours = trained(32, EmbedDistillLoss, rows, projection_dim=256), trained(32, SelectiveEmbedDistillLoss, rows)
    found = [measured(student, teacher, test) for student in (untrained(32), theirs, ours)]
    print_table(found, [*found[0]], "built-in")
    save(options, ours)


if __name__ == "__main__":
    run(main, "data", "score-range")
