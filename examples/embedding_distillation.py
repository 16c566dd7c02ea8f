"""Distil a teacher's embeddings into fewer dimensions, so that a threshold on its scores still holds.

`SelectiveEmbedDistillLoss` matches the similarities of a batch, so that the student may have any dimension;
`EmbedDistillLoss` matches the embeddings themselves, through a projection that is learnt beside the student.

    python examples/embedding_distillation.py                                    # offline, with a teacher made first
    python examples/embedding_distillation.py --texts texts.txt --teacher sentence-transformers/all-MiniLM-L6-v2

Output of the first:

    texts: 6000, of which 1000 to report on; the teacher has 256 dimensions, a student 32
    on pairs of the teacher's nearest     EmbedDistillLoss    selective
    error of the teacher's ten nearest               0.170        0.080
    recall of the ten nearest                        0.500        0.600
    F1 at the teacher's threshold                    0.500        0.700
    saved: output/embedding_distillation
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, EmbedDistillLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import nn
from transformers import PrinterCallback

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.losses import SelectiveEmbedDistillLoss
from selective_st.training import train_tokenizer

THRESHOLD, DIMENSION = 0.8, 32


def static(texts: list[str], dimension: int) -> SentenceTransformer:
    """Static embeddings from nothing."""
    torch.manual_seed(0)
    return SentenceTransformer(modules=[StaticEmbedding(train_tokenizer(texts), embedding_dim=dimension)])


def fit(model: SentenceTransformer, loss: nn.Module, rows: Dataset) -> SentenceTransformer:
    """The model after training."""
    arguments = SentenceTransformerTrainingArguments(
        "output/embedding_distillation", num_train_epochs=5, per_device_train_batch_size=128, learning_rate=0.1,
        save_strategy="no", report_to="none", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return model


def compared(student: SentenceTransformer, teacher: SentenceTransformer, texts: list[str]) -> list[float]:
    """The error of the scores of the ten nearest, their recall, and F1 of the teacher's decisions at its threshold."""
    units = [model.encode(texts, convert_to_tensor=True, normalize_embeddings=True) for model in (teacher, student)]
    wanted, found = ((each @ each.T).fill_diagonal_(-1) for each in units)
    top, own = wanted.topk(10).indices, found.topk(10).indices
    error = (wanted.gather(1, top) - found.gather(1, top)).square().mean().sqrt()
    right, decided = wanted >= THRESHOLD, found >= THRESHOLD
    recall = (top.unsqueeze(2) == own.unsqueeze(1)).any(2).float().mean()
    return [float(error), float(recall), float(2 * (right & decided).sum() / (right.sum() + decided.sum()))]


def main() -> None:
    """Read, train with both losses, compare, save."""
    parser = argparse.ArgumentParser(description="Distil a teacher's embeddings into fewer dimensions.")
    parser.add_argument("--texts", help="a file with a text in each line; give a --teacher too")
    parser.add_argument("--teacher", help="the teacher; default: one that is trained first")
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    options = parser.parse_args()
    made = graded_pairs(600 if options.quick else 5000)
    texts = Path(options.texts).read_text("utf-8").splitlines() if options.texts else [text for *both, _ in made for text in both]
    texts = list(dict.fromkeys(texts))
    if options.teacher:
        teacher = SentenceTransformer(options.teacher)
    else:
        rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in made]
        teacher = static(texts, 256)
        fit(teacher, CosineSimilarityLoss(teacher), Dataset.from_list(rows))
    train, test = texts[: -len(texts) // 5], texts[-len(texts) // 5 :]
    dimension = teacher.get_embedding_dimension()
    print(f"texts: {len(train)} to train on, {len(test)} to report on; dimensions: {dimension}, of the students {DIMENSION}")
    rows = Dataset.from_dict({"text": train, "label": teacher.encode(train)})
    plain, ours = static(train, DIMENSION), static(train, DIMENSION)
    fit(plain, EmbedDistillLoss(plain, projection_dim=dimension), rows)
    fit(ours, SelectiveEmbedDistillLoss(ours), rows)
    print(f"{'on test':<32}{'EmbedDistillLoss':>18}{'selective':>12}")
    names = ("error of the ten nearest", "recall of the ten nearest", f"F1 at the threshold {THRESHOLD}")
    for name, *values in zip(names, compared(plain, teacher, test), compared(ours, teacher, test), strict=True):
        print(f"{name:<32}{values[0]:>18.3f}{values[1]:>12.3f}")
    ours.save_pretrained("output/embedding_distillation")
    print("saved: output/embedding_distillation")


if __name__ == "__main__":
    main()
