"""In-batch negatives: questions or sentences with a text that belongs to each, and nothing else.

Each text's partner is compared with all other texts of the batch. `SelectiveMultipleNegativesRankingLoss` is
`MultipleNegativesRankingLoss` with a link: here high-scored texts get more of the gradient, a little like hard-negative
weighting. Two equal texts in one batch would be false negatives, so the batch sampler keeps them apart.

    python examples/in_batch_negatives.py                               # offline, on data made on the spot
    python examples/in_batch_negatives.py --data pairs.csv              # two (or more) texts in each row
    python examples/in_batch_negatives.py --data sentence-transformers/natural-questions \
        --model sentence-transformers/all-MiniLM-L6-v2

Output of the first:

    pairs: 2772 to train on; 693 queries, each with one of 3462 texts to find
    on test                   base   trained
    cosine_accuracy@1        0.215     0.906
    cosine_recall@10         0.466     0.997
    cosine_mrr@10            0.294     0.944
    saved: output/in_batch_negatives
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
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from transformers import PrinterCallback

from selective_st.data import read_table
from selective_st.demo import graded_pairs
from selective_st.links import ExponentialLink
from selective_st.losses import SelectiveMultipleNegativesRankingLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

SHOWN = ("cosine_accuracy@1", "cosine_recall@10", "cosine_mrr@10")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train on pairs of texts that belong together.")
    parser.add_argument("--data", help="a file or hub dataset: a text, its partner, and any hard negatives in each row")
    parser.add_argument("--model", help="a model to fine-tune; default: static embeddings from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 0.1 from nothing, 2e-5 with --model")
    parser.add_argument("--output", default="output/in_batch_negatives", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def paraphrases(count: int) -> Dataset:
    """Sentences with a paraphrase, made on the spot."""
    pairs = [(first, second) for first, second, score in graded_pairs(count) if score >= 4.4 and first != second]
    return Dataset.from_dict({"anchor": [first for first, _ in pairs], "positive": [second for _, second in pairs]})


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    table = read_table(arguments.data) if arguments.data else paraphrases(1000 if arguments.quick else 12000)
    splits = table.train_test_split(test_size=0.2, seed=arguments.seed)
    train, test = splits["train"], splits["test"]
    query, document, *_ = test.column_names
    # Each question of the test split shall find its partner among all that occur.
    corpus = list(dict.fromkeys([*table[document]]))
    place = {text: str(number) for number, text in enumerate(corpus)}
    evaluator = InformationRetrievalEvaluator(
        queries=dict(enumerate(test[query])),
        corpus={number: text for text, number in place.items()},
        relevant_docs={row: {place[text]} for row, text in enumerate(test[document])},
        name="test",
    )
    print(f"pairs: {len(train)} to train on; {len(test)} queries, each with one of {len(corpus)} texts to find")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(
        model_name="Trained on pairs, with in-batch negatives", local_files_only=True
    )
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        tokenizer = train_tokenizer([text for column in train.column_names for text in train[column]])
        model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=128)], model_card_data=card)

    # A link that ranks is normalised by its value: then the scale means what it means in the built-in loss.
    link = ExponentialLink(3.0).normalized(0, 1, of="value")
    loss = SelectiveMultipleNegativesRankingLoss(model, link=link, scale=20.0)
    before = evaluator(model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            arguments.output,
            num_train_epochs=1 if arguments.model else 5,
            per_device_train_batch_size=64,
            learning_rate=arguments.learning_rate or (2e-5 if arguments.model else 0.1),
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            seed=arguments.seed,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=train,
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss, evaluators=evaluator, metrics=SHOWN)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    after = evaluator(model)
    print(f"{'on test':<20}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<20}{before[f'test_{name}']:>10.3f}{after[f'test_{name}']:>10.3f}")
    model.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
