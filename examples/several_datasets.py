"""Several datasets at once: each with its own selective loss, one model.

Graded pairs place the scores (`SelectivePointwiseLoss`), pairs that belong together teach to find the partner among
many (`SelectiveMultipleNegativesRankingLoss`). The trainer takes a dict of datasets and a dict of losses; each batch
comes from one of them, and the card tells of each.

    python examples/several_datasets.py                                       # offline, on data made on the spot
    python examples/several_datasets.py --data pairs.csv --score-range 0,5    # two texts and a score in each row
    python examples/several_datasets.py --data pairs.csv --positives partners.csv      # the latter: two texts a row

Output of the first:

    to train on: 4501 graded pairs and 1695 with a partner; 499 pairs to report on
    on test                       base   trained
    test_ap_ge_0.95              0.555     0.952
    test_rmse_0.8_1              0.206     0.086
    test_cosine_accuracy@1       0.363     0.951
    saved: output/several_datasets
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
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.sentence_transformer.training_args import BatchSamplers, MultiDatasetBatchSamplers
from transformers import PrinterCallback

from selective_st.conversion import pairs_to_positives
from selective_st.data import GradedPairs, read_pairs, read_table
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import high_scores
from selective_st.losses import SelectiveMultipleNegativesRankingLoss, SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

SHOWN = ("test_ap_ge_0.95", "test_rmse_0.8_1", "test_cosine_accuracy@1")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train on graded pairs and on pairs that belong together.")
    parser.add_argument("--data", help="a file or hub dataset: two texts and a score in each row")
    parser.add_argument("--score-range", default="0,1", help="the ends of the scores' scale in --data, such as 0,5")
    parser.add_argument("--positives", help="another: two texts that belong together; default: the best of --data")
    parser.add_argument("--model", help="a model to fine-tune; default: static embeddings from nothing")
    parser.add_argument("--output", default="output/several_datasets", help="where to save the model")
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
    positives = read_table(arguments.positives) if arguments.positives else pairs_to_positives(train.dataset)
    datasets = {"graded": train.dataset, "partners": positives}
    found = pairs_to_positives(test.dataset)
    print(f"to train on: {len(train)} graded pairs and {len(positives)} with a partner; {len(test)} pairs to report on")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(model_name="Trained on two kinds of pairs", local_files_only=True)
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        static = StaticEmbedding(train_tokenizer([*train.sentences1, *train.sentences2]), embedding_dim=256)
        model = SentenceTransformer(modules=[static], model_card_data=card)

    losses = {
        "graded": SelectivePointwiseLoss(model, link=high_scores()),
        "partners": SelectiveMultipleNegativesRankingLoss(model),
    }
    regions = ScoreRegionEvaluator(test.sentences1, test.sentences2, test.scores, name="test")
    retrieval = InformationRetrievalEvaluator(
        queries=dict(enumerate(found["anchor"])),
        corpus={text: text for text in test.sentences2},
        relevant_docs={row: {text} for row, text in enumerate(found["positive"])},
        name="test",
    )
    before = regions(model) | retrieval(model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            arguments.output,
            num_train_epochs=1 if arguments.model else 5,
            per_device_train_batch_size=64,
            learning_rate=2e-5 if arguments.model else 0.3,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            multi_dataset_batch_sampler=MultiDatasetBatchSamplers.PROPORTIONAL,
            seed=arguments.seed,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=datasets,
        loss=losses,
        callbacks=[SelectiveModelCardCallback(losses, evaluators=[regions, retrieval])],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    after = regions(model) | retrieval(model)
    print(f"{'on test':<24}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<24}{before[name]:>10.3f}{after[name]:>10.3f}")
    model.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
