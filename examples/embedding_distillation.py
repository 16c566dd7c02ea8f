"""Distil a teacher's embeddings into fewer dimensions, so that thresholds on its scores still hold.

`SelectiveEmbedDistillLoss` matches the similarities within a batch, so that the student may have any dimension;
`EmbedDistillLoss` matches the embeddings themselves, through a projection that is learnt beside the student.

    python examples/embedding_distillation.py       # offline, with a teacher made first; --quick: with little data

Output of the first:

    texts: 7968 to train on, 1991 to report on; 256 dimensions into 32
    on test           EmbedDistillLoss   selective
    rmse_of_ten                  0.061       0.049
    recall_of_ten                0.692       0.741
    f1_at_0.8                    0.582       0.619
    saved: output/embedding_distillation
"""

from __future__ import annotations

import sys

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, EmbedDistillLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sklearn.metrics import f1_score
from torch import nn
from transformers import PrinterCallback

from selective_st.demo import graded_pairs
from selective_st.losses import SelectiveEmbedDistillLoss
from selective_st.training import train_tokenizer


def trained(texts: list[str], size: int, loss: type[nn.Module], rows: Dataset, **options: int) -> SentenceTransformer:
    """Static embeddings, trained with a loss from nothing."""
    torch.manual_seed(0)
    model = SentenceTransformer(modules=[StaticEmbedding(train_tokenizer(texts), embedding_dim=size)])
    arguments = SentenceTransformerTrainingArguments(
        "output", num_train_epochs=5, per_device_train_batch_size=128, learning_rate=0.1, save_strategy="no",
        report_to="none", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model, arguments, train_dataset=rows, loss=loss(model, **options))
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return model


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


def main() -> None:
    """Train with both losses, compare, save."""
    first, second, scores = map(list, zip(*graded_pairs(600 if "--quick" in sys.argv else 5000), strict=True))
    texts = list(dict.fromkeys([*first, *second]))  # your texts here
    rows = Dataset.from_dict({"first": first, "second": second, "score": [score / 5 for score in scores]})
    teacher = trained(texts, 256, CosineSimilarityLoss, rows)  # or SentenceTransformer("a large one")
    test, train = texts[: len(texts) // 5], texts[len(texts) // 5 :]
    print(f"texts: {len(train)} to train on, {len(test)} to report on; 256 dimensions into 32")
    rows = Dataset.from_dict({"text": train, "label": teacher.encode(train)})
    theirs = measured(trained(train, 32, EmbedDistillLoss, rows, projection_dim=256), teacher, test)
    ours = measured(student := trained(train, 32, SelectiveEmbedDistillLoss, rows), teacher, test)
    print("on test           EmbedDistillLoss   selective")
    print("\n".join(f"{name:<16}{value:>18.3f}{ours[name]:>12.3f}" for name, value in theirs.items()))
    student.save_pretrained("output/embedding_distillation")
    print("saved: output/embedding_distillation")


if __name__ == "__main__":
    main()
