"""Matryoshka: embeddings that may be cut to fewer dimensions, with the scores that matter right at each size.

`MatryoshkaLoss` applies the selective loss to the first 256, 64 and 16 dimensions of the same embeddings.

    python examples/matryoshka.py                                       # offline, on data made on the spot
    python examples/matryoshka.py --data pairs.csv --score-range 0,5    # two texts and a score in each row
    python examples/matryoshka.py --data sentence-transformers/stsb --model sentence-transformers/all-MiniLM-L6-v2

Output of the first:

    pairs: 4501 to train on, 499 to report on
    on test               dimensions      base   trained
    ap_ge_0.95                   256     0.555     0.965
    ap_ge_0.95                    64     0.537     0.967
    ap_ge_0.95                    16     0.468     0.942
    rmse_0.8_1                   256     0.206     0.060
    rmse_0.8_1                    64     0.214     0.062
    rmse_0.8_1                    16     0.225     0.078
    saved: output/matryoshka
"""

from __future__ import annotations

import argparse

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerModelCardData,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PrinterCallback

from selective_st.data import GradedPairs, read_pairs
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import high_scores
from selective_st.losses import SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

DIMENSIONS = (256, 64, 16)
SHOWN = ("ap_ge_0.95", "rmse_0.8_1")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train embeddings that may be cut to fewer dimensions.")
    parser.add_argument("--data", help="a file or hub dataset: two texts and a score in each row")
    parser.add_argument("--score-range", default="0,1", help="the ends of the scores' scale in --data, such as 0,5")
    parser.add_argument("--model", help="a model to fine-tune, of at least 256 dimensions; default: a static one")
    parser.add_argument("--output", default="output/matryoshka", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    if arguments.data:
        low, high = map(float, arguments.score_range.split(","))
        pairs = read_pairs(arguments.data, score_range=(low, high))
    else:
        made = graded_pairs(600 if arguments.quick else 5000)
        rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in made]
        pairs = GradedPairs(Dataset.from_list(rows), "pairs made on the spot")
    train, test = pairs.split("test", 0.1, arguments.seed, by="either")  # no text on both sides
    print(f"pairs: {len(train)} to train on, {len(test)} to report on")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(model_name="Matryoshka embeddings", local_files_only=True)
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        static = StaticEmbedding(train_tokenizer([*train.sentences1, *train.sentences2]), embedding_dim=DIMENSIONS[0])
        model = SentenceTransformer(modules=[static], model_card_data=card)

    loss = MatryoshkaLoss(model, SelectivePointwiseLoss(model, link=high_scores()), matryoshka_dims=list(DIMENSIONS))
    evaluator = ScoreRegionEvaluator(test.sentences1, test.sentences2, test.scores, name="test")
    # For the card, an evaluator of Sentence Transformers that cuts the embeddings by itself.
    of_sizes = [
        EmbeddingSimilarityEvaluator(
            test.sentences1, test.sentences2, test.scores, name=f"test-{size}", truncate_dim=size
        )
        for size in DIMENSIONS
    ]

    def measure() -> dict[int, dict[str, float]]:
        found = {}
        for size in DIMENSIONS:
            with model.truncate_embeddings(size):
                found[size] = evaluator(model)
        return found

    before = measure()
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            arguments.output,
            num_train_epochs=1 if arguments.model else 5,
            per_device_train_batch_size=64,
            learning_rate=2e-5 if arguments.model else 0.3,
            seed=arguments.seed,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=train.dataset,
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss, evaluators=[evaluator, *of_sizes])],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    after = measure()
    print(f"{'on test':<20}{'dimensions':>12}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        for size in DIMENSIONS:
            print(f"{name:<20}{size:>12}{before[size][f'test_{name}']:>10.3f}{after[size][f'test_{name}']:>10.3f}")
    model.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
