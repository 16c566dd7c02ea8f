"""Reranking: a cross encoder that puts a query's best documents first, and scores them on the scale of the labels.

`SelectiveListwiseLoss` compares all documents of a query with one another, by how relevant they are, where the scores
are high. Lists may differ in length. Through the Sigmoid the scores lie from 0 to 1, as those of `model.predict`.

    python examples/cross_encoder_reranking.py                 # offline, on descriptions made on the spot
    python examples/cross_encoder_reranking.py --data train.csv --test-data test.csv --columns question,answer,label
    python examples/cross_encoder_reranking.py --data train.csv --model cross-encoder/ms-marco-MiniLM-L6-v2

A row holds a query, a document, and how relevant it is, from 0 to 1. Output of the first:

    queries: 320 to train on, 80 to report on
    on test                   base   trained
    map                      0.607     0.832
    mrr@10                   0.398     0.714
    ndcg@10                  0.768     0.900
    saved: output/cross_encoder_reranking
"""

from __future__ import annotations

import argparse
import random
import tempfile

import torch
from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderModelCardData,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, PrinterCallback

from selective_st.cross_encoder.losses import SelectiveListwiseLoss
from selective_st.data import GradedPairs, read_pairs
from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import high_scores
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

SHOWN = ("map", "mrr@10", "ndcg@10")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a reranker on queries with documents.")
    parser.add_argument("--data", help="a file or hub dataset: a query, a document, and its relevance in each row")
    parser.add_argument("--test-data", help="what to report on; default: a fifth of the queries of --data")
    parser.add_argument("--columns", help="the columns to use, such as question,answer,label")
    parser.add_argument("--model", help="a cross encoder or encoder to fine-tune; default: a tiny one from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 1e-3 from nothing, 2e-5 with --model")
    parser.add_argument("--epochs", type=int, help="default: 16 from nothing, 2 with --model")
    parser.add_argument("--output", default="output/cross_encoder_reranking", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def made_descriptions(count: int, seed: int) -> GradedPairs:
    """Things of a colour. A description is right (1), right but for the colour or the thing (0.5), or wrong (0)."""
    generator = random.Random(seed)
    colours = {"red": "scarlet", "blue": "azure", "green": "emerald", "white": "pale", "black": "dark"}
    things = {"car": "automobile", "boat": "ship", "coat": "jacket", "house": "home", "stone": "rock"}
    rows = []
    for number in range(count):
        colour, thing = generator.choice(list(colours)), generator.choice(list(things))
        for place in range(generator.randint(5, 9)):
            # The first three are right, half right and half right, in an order that says nothing.
            other_colour = generator.choice([each for each in colours if each != colour])
            other_thing = generator.choice([each for each in things if each != thing])
            of_colour = other_colour if place in (1, 4, 6) or place > 6 else colour
            of_thing = other_thing if place in (2, 4, 6) or place > 6 else thing
            rows.append(
                {
                    "sentence1": f"{colour} {thing} {number}",
                    "sentence2": f"a {colours[of_colour]} {things[of_thing]}",
                    "score": ((of_colour == colour) + (of_thing == thing)) / 2,
                }
            )
    return GradedPairs(Dataset.from_list(rows), "descriptions made on the spot")


def made_model(texts: list[str], card: CrossEncoderModelCardData) -> CrossEncoder:
    """A tiny BERT from nothing."""
    words = train_tokenizer(texts)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words.add_special_tokens(specials)
    names = zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=32, **dict(names))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        initializer_range=0.1,  # so that a tiny model learns at once
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    with tempfile.TemporaryDirectory() as folder:
        BertForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return CrossEncoder(folder, num_labels=1, model_card_data=card)


def lists_of(pairs: GradedPairs) -> list[dict[str, object]]:
    """A row for each query: its documents, and how relevant they are."""
    return [
        {"query": group.anchor, "documents": group.others, "labels": group.labels}
        for group in pairs.groups("first")
        if len(set(group.labels)) > 1  # lists of equal labels teach and show nothing
    ]


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    columns = arguments.columns.split(",") if arguments.columns else None
    if arguments.data:
        train = read_pairs(arguments.data, columns=columns)
    else:
        train = made_descriptions(40 if arguments.quick else 400, arguments.seed)
    if arguments.test_data:
        test = read_pairs(arguments.test_data, columns=columns)
    else:
        train, test = train.split("test", 0.2, arguments.seed, by="first")  # the documents of a query together
    lists, samples = lists_of(train), lists_of(test)
    evaluator = ScoreListEvaluator(samples, at_k=[10], name="test", main_metric="map")
    print(f"queries: {len(lists)} to train on, {len(samples)} to report on")

    torch.manual_seed(arguments.seed)
    card = CrossEncoderModelCardData(model_name="Reranking", local_files_only=True)
    if arguments.model:
        model = CrossEncoder(arguments.model, num_labels=1, model_card_data=card)
    else:
        model = made_model([*train.sentences1, *train.sentences2], card)

    # A link that ranks is normalised by its value: then the temperature means what it means in a plain Softmax.
    link = high_scores(2.0).normalized(0, 1, of="value")
    loss = SelectiveListwiseLoss(model, torch.nn.Sigmoid(), temperature=0.2, link=link)
    before = evaluator(model)
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(
            arguments.output,
            num_train_epochs=arguments.epochs or (2 if arguments.model else 16),
            per_device_train_batch_size=8,
            learning_rate=arguments.learning_rate or (2e-5 if arguments.model else 1e-3),
            warmup_steps=20,
            seed=arguments.seed,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(lists),
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss, evaluators=evaluator)],
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
