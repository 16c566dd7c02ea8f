"""Distillation into sparse embeddings: an encoder's scores of lists into a SPLADE model.

The student's score is a dot product over the vocabulary, and has no upper end; the teacher's cosines are mapped to
dot products from 0 to 10, which the student can reach with few words. The plain Softmax (`ConstantLink`) ranks, the
calibration term with `high_scores` places the scores at the top, and `SpladeLoss` keeps the embeddings sparse.

    python examples/sparse_distillation.py                                                 # offline
    python examples/sparse_distillation.py --data texts.csv --teacher all-MiniLM-L6-v2 --model splade-model

With --data each text column is used, and its labels are not.

Output of the first:

    texts: 898 to train on, 99 to report on
    against the teacher       base   trained
    ndcg@10                  0.917     0.981
    rmse_top@10             11.465     1.370
    bias_top@10             11.294     0.741
    active words             369.4     143.0
    saved: output/sparse_distillation
"""

from __future__ import annotations

import argparse
import tempfile

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    SparseEncoder,
    SparseEncoderModelCardData,
    SparseEncoderTrainer,
    SparseEncoderTrainingArguments,
)
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.sparse_encoder.modules import SpladePooling
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast, PrinterCallback

from selective_st.data import read_table
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import ConstantLink, high_scores
from selective_st.losses import SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.sparse_encoder.losses import SelectiveListwiseLoss
from selective_st.training import train_tokenizer

SHOWN = ("ndcg@10", "rmse_top@10", "bias_top@10")
HIGHEST = 10.0  # the dot product that stands for a cosine of 1


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Distil an encoder's scores into a sparse model.")
    parser.add_argument("--data", help="a file or hub dataset; all its texts are used, labels are not")
    parser.add_argument(
        "--teacher", help="a SentenceTransformer; default: static embeddings, trained on the demo pairs"
    )
    parser.add_argument("--model", help="a student to go on with; default: a small BERT from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 2e-3 from nothing, 2e-5 with --model")
    parser.add_argument("--output", default="output/sparse_distillation", help="where to save the student")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def load_teacher(name: str | None, output: str) -> SentenceTransformer:
    """The teacher: from a folder or the hub, or made on the spot."""
    if name:
        return SentenceTransformer(name)
    pairs = graded_pairs(2000, seed=1)
    tokenizer = train_tokenizer([text for first, second, _ in pairs for text in (first, second)])
    teacher = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=64)])
    rows = [{"sentence1": first, "sentence2": second, "score": score / HIGHEST_SCORE} for first, second, score in pairs]
    settings = SentenceTransformerTrainingArguments(
        output, learning_rate=0.1, num_train_epochs=3, per_device_train_batch_size=64, save_strategy="no",
        report_to="none", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        teacher, settings, Dataset.from_list(rows), loss=SelectivePointwiseLoss(teacher)
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return teacher


def scored_lists(
    teacher: SentenceTransformer, texts: list[str], size: int
) -> tuple[list[list[int]], list[list[float]]]:
    """For each text the numbers of those that the teacher holds nearest and of as many others, and the scores."""
    units = teacher.encode(texts, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False).cpu()
    scores = (units @ units.T).clamp(-1, 1).fill_diagonal_(-2)  # not the text itself
    nearest = scores.topk(size // 2).indices
    others = torch.randint(len(texts) - 1, (len(texts), size - size // 2))
    chosen = torch.cat([nearest, others + (others >= torch.arange(len(texts)).unsqueeze(1))], 1)
    return chosen.tolist(), (HIGHEST * scores.gather(1, chosen)).tolist()


def load_student(name: str | None, texts: list[str]) -> SparseEncoder:
    """The student: from a folder or the hub, or a small BERT from nothing."""
    card = SparseEncoderModelCardData(model_name="Distilled sparse embeddings", local_files_only=True)
    if name:
        return SparseEncoder(name, model_card_data=card)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(texts, vocabulary=1000),
        unk_token="[UNK]",
        pad_token="[UNK]",
        mask_token="[UNK]",
    )
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    with tempfile.TemporaryDirectory() as folder:
        BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(folder, transformer_task="fill-mask")
    return SparseEncoder(modules=[transformer, SpladePooling("max")], model_card_data=card)


def active_words(model: SparseEncoder, texts: list[str]) -> float:
    """How many dimensions a text's embedding has that are not 0."""
    return float(model.sparsity(model.encode(texts, show_progress_bar=False))["active_dims"])


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    if arguments.data:
        table = read_table(arguments.data)
        columns = [name for name, feature in table.features.items() if getattr(feature, "dtype", "") == "string"]
        texts = [text for name in columns for text in table[name] if text]
    else:
        pairs = graded_pairs(60 if arguments.quick else 500, seed=arguments.seed)
        texts = [text for first, second, _ in pairs for text in (first, second)]
    texts = list(dict.fromkeys(texts))
    texts = [texts[place] for place in torch.randperm(len(texts)).tolist()]
    held_out, train = texts[: len(texts) // 10], texts[len(texts) // 10 :]
    print(f"texts: {len(train)} to train on, {len(held_out)} to report on")

    teacher = load_teacher(arguments.teacher, arguments.output)
    lists, labels = scored_lists(teacher, train, size=8)
    columns = {f"document_{k + 1}": [train[row[k]] for row in lists] for k in range(8)}
    dataset = Dataset.from_dict({"query": train, **columns, "label": labels})
    lists, labels = scored_lists(teacher, held_out, size=10)
    samples = [
        {"query": text, "documents": [held_out[number] for number in row], "labels": scores}
        for text, row, scores in zip(held_out, lists, labels, strict=True)
    ]
    evaluator = ScoreListEvaluator(samples, at_k=10, name="held-out", main_metric="ndcg@10")

    student = load_student(arguments.model, train)
    inner = SelectiveListwiseLoss(
        student,
        link=ConstantLink(),
        calibration=0.05,
        calibration_link=high_scores(3.0, score_range=(0.0, HIGHEST)).linear_outside(None, HIGHEST),
    )
    loss = SpladeLoss(student, inner, document_regularizer_weight=1e-5, query_regularizer_weight=1e-5)
    settings = SparseEncoderTrainingArguments(
        arguments.output,
        learning_rate=arguments.learning_rate or (2e-5 if arguments.model else 2e-3),
        num_train_epochs=1 if arguments.quick else 5,
        per_device_train_batch_size=16,
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        seed=arguments.seed,
    )
    before, many = evaluator(student), active_words(student, held_out)
    callback = SelectiveModelCardCallback(loss, evaluators=evaluator, metrics=SHOWN)
    trainer = SparseEncoderTrainer(student, settings, dataset, loss=loss, callbacks=[callback])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    after = evaluator(student)
    print(f"{'against the teacher':<20}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<20}{before[f'held-out_{name}']:>10.3f}{after[f'held-out_{name}']:>10.3f}")
    print(f"{'active words':<20}{many:>10.1f}{active_words(student, held_out):>10.1f}")
    student.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
