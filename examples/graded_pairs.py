"""Graded pairs: find near-duplicates with a threshold on the cosine, chosen on a validation split.

Only pairs of nearly the same meaning are to be found, so high scores matter: the loss has the link `high_scores()`.
After the training the threshold with the highest F1 on the validation split is saved with the model, and precision and
recall at it are measured on the test split.

    python examples/graded_pairs.py                                       # offline, on data made on the spot
    python examples/graded_pairs.py --data pairs.csv --score-range 0,5    # two texts and a score in each row
    python examples/graded_pairs.py --data sentence-transformers/stsb --model sentence-transformers/all-MiniLM-L6-v2

Output of the first:

    pairs: 4049 to train on, 452 to choose the threshold on, 499 to report on
    on test                   base   trained
    ap_ge_0.95               0.571     0.962
    precision_ge_0.95        0.482     0.837
    recall_ge_0.95           0.609     0.936
    f1_ge_0.95               0.538     0.884
    rmse_0.8_1               0.211     0.062
    spearman                 0.571     0.955
    threshold: predicted >= 0.897 for gold >= 0.95: the highest F1 on dev, 0.910 (452 pairs, 104 to be found)
    saved: output/graded_pairs
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
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PrinterCallback

from selective_st.data import GradedPairs, read_pairs
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import ScoreRegionEvaluator, load_threshold, store_threshold
from selective_st.links import high_scores
from selective_st.losses import SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

NEAR_DUPLICATE = 0.95  # pairs with a gold score from here on are to be found
SHOWN = ("ap_ge_0.95", "precision_ge_0.95", "recall_ge_0.95", "f1_ge_0.95", "rmse_0.8_1", "spearman")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Find near-duplicates with a threshold.")
    parser.add_argument("--data", help="a file or hub dataset: two texts and a score in each row")
    parser.add_argument("--eval-data", help="where to choose the threshold; default: a tenth of --data")
    parser.add_argument("--test-data", help="what to report on; default: a tenth of --data")
    parser.add_argument("--score-range", default="0,1", help="the ends of the scores' scale in --data, such as 0,5")
    parser.add_argument("--model", help="a model to fine-tune; default: static embeddings from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 0.3 from nothing, 2e-5 with --model")
    parser.add_argument("--output", default="output/graded_pairs", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def read_splits(arguments: argparse.Namespace) -> list[GradedPairs]:
    """The pairs to train on, to choose the threshold on and to report on, with scores from 0 to 1."""
    low, high = map(float, arguments.score_range.split(","))
    if arguments.data:
        train = read_pairs(arguments.data, score_range=(low, high))
    else:
        pairs = graded_pairs(600 if arguments.quick else 5000)
        rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in pairs]
        train = GradedPairs(Dataset.from_list(rows), "pairs made on the spot")
    parts = []
    for name, source in (("test", arguments.test_data), ("dev", arguments.eval_data)):
        if source:
            part = read_pairs(source, score_range=(low, high))
        else:
            train, part = train.split(name, 0.1, arguments.seed, by="either")  # no text on both sides
        parts.append(part)
    return [train, *reversed(parts)]


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    train, dev, test = read_splits(arguments)
    print(f"pairs: {len(train)} to train on, {len(dev)} to choose the threshold on, {len(test)} to report on")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(
        model_name=f"Near-duplicates, trained on {train.name}", local_files_only=True
    )
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        static = StaticEmbedding(train_tokenizer([*train.sentences1, *train.sentences2]), embedding_dim=256)
        model = SentenceTransformer(modules=[static], model_card_data=card)

    loss = SelectivePointwiseLoss(model, link=high_scores())
    on_dev = ScoreRegionEvaluator(dev.sentences1, dev.sentences2, dev.scores, name="dev")
    on_test = ScoreRegionEvaluator(
        test.sentences1, test.sentences2, test.scores, name="test", threshold_from=on_dev, threshold_gold=NEAR_DUPLICATE
    )
    before = on_test(model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            f"{arguments.output}-checkpoints",
            num_train_epochs=1 if arguments.model else 5,
            per_device_train_batch_size=64,
            learning_rate=arguments.learning_rate or (2e-5 if arguments.model else 0.3),
            seed=arguments.seed,
            # Keeps the epoch that is best on dev. A trainer takes the largest value for the best: of an error, such as
            # ScoreRegionEvaluator(..., main_metric="rmse"), the primary metric is the one with a minus.
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model=f"eval_{on_dev.primary_metric}",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=train.dataset,
        loss=loss,
        evaluator=on_dev,
        callbacks=[SelectiveModelCardCallback(loss, evaluators=on_test, metrics=SHOWN)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    store_threshold(model, on_dev, gold=NEAR_DUPLICATE)
    after = on_test(model)
    print(f"{'on test':<20}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<20}{before[f'test_{name}']:>10.3f}{after[f'test_{name}']:>10.3f}")
    model.save_pretrained(arguments.output)
    print(f"threshold: {load_threshold(arguments.output)}")
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
