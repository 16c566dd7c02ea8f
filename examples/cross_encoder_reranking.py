"""Reranking: a cross encoder that puts a query's best documents first, and scores them on the scale of the labels.

`SelectiveListwiseLoss` compares all documents of a query with one another, by how relevant they are, where the scores
are high. Lists may differ in length. Through the Sigmoid the scores lie from 0 to 1, as those of `model.predict`.

    python examples/cross_encoder_reranking.py                 # offline, on descriptions made on the spot
    python examples/cross_encoder_reranking.py --data train.csv --test-data test.csv --columns question,answer,label
    python examples/cross_encoder_reranking.py --data train.csv --model cross-encoder/ms-marco-MiniLM-L6-v2

A row holds a query, a document, and how relevant it is, from 0 to 1. Output of the first:

    queries: 319 to train on, 81 to report on
    built-in: ListNetLoss; selective: SelectiveListwiseLoss
    on test                       base  built-in  selective
    map                          0.560     0.968      0.856
    mrr@10                       0.458     0.957      0.812
    ndcg@10                      0.788     0.987      0.934
    saved: output/cross_encoder_reranking
"""

from __future__ import annotations

import argparse

import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, CrossEncoderModelCardData
from sentence_transformers.cross_encoder.losses import ListNetLoss
from shared import compare, lists_of, made_descriptions, run, save, split_questions, tiny_bert

from selective_st.cross_encoder.losses import SelectiveListwiseLoss
from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import high_scores


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = split_questions(options, made_descriptions, 40 if options.quick else 400)
    lists, samples = lists_of(train), lists_of(test)
    print(f"queries: {len(lists)} to train on, {len(samples)} to report on")

    def make_model() -> CrossEncoder:
        torch.manual_seed(options.seed)
        card = CrossEncoderModelCardData(model_name="Reranking", local_files_only=True)
        if options.model:
            return CrossEncoder(options.model, num_labels=1, model_card_data=card)
        texts, no_dropout = [*train.sentences1, *train.sentences2], {"hidden_dropout_prob": 0.0}
        with tiny_bert("BertForSequenceClassification", texts, num_labels=1, **no_dropout) as folder:
            return CrossEncoder(folder, num_labels=1, model_card_data=card)

    # A link that ranks is normalised by its value: then the temperature means what it means in a plain Softmax.
    link = high_scores(2.0).normalized(0, 1, of="value")
    trainer = compare(
        options,
        make_model,
        {
            "ListNetLoss": ListNetLoss,
            "SelectiveListwiseLoss": lambda model: SelectiveListwiseLoss(
                model, torch.nn.Sigmoid(), temperature=0.2, link=link
            ),
        },
        Dataset.from_list(lists),
        ScoreListEvaluator(samples, at_k=[10], name="test", main_metric="map"),
        ("map", "mrr@10", "ndcg@10"),
        num_train_epochs=2 if options.model else 16,
        per_device_train_batch_size=8,
        learning_rate=2e-5 if options.model else 1e-3,
        warmup_steps=20,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "test-data", "columns", "model")
