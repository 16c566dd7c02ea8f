"""Answer selection: questions with lists of candidate sentences, some of which answer them.

`SelectiveListwiseLoss` with `targets="labels"` learns the right ones from 0 and 1 against the wrong candidates of the
same question. Lists may differ in length: `pairs_to_lists` fills them up, and what is filled up does not count.

    python examples/answer_selection.py                        # offline, on questions made on the spot
    python examples/answer_selection.py --data train.csv --test-data test.csv --columns question,answer,label
    python examples/answer_selection.py --data train.csv --model sentence-transformers/all-MiniLM-L6-v2

A row holds a question, a candidate, and 1 or 0. Output of the first:

    questions: 160 to train on, 40 to report on
    on test                   base   trained
    map                      0.551     1.000
    mrr@10                   0.551     1.000
    ndcg@10                  0.660     1.000
    recall@1                 0.325     1.000
    saved: output/answer_selection
"""

from __future__ import annotations

import argparse
import itertools
import random

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerModelCardData,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import pairwise_cos_sim
from transformers import PrinterCallback

from selective_st.conversion import pairs_to_lists
from selective_st.data import GradedPairs, read_pairs
from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import ExponentialLink
from selective_st.losses import SelectiveListwiseLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.training import train_tokenizer

SHOWN = ("map", "mrr@10", "ndcg@10", "recall@1")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train on questions with candidate answers.")
    parser.add_argument("--data", help="a file or hub dataset: a question, a candidate, and 1 or 0 in each row")
    parser.add_argument("--test-data", help="what to report on; default: a fifth of the questions of --data")
    parser.add_argument("--columns", help="the columns to use, such as question,answer,label")
    parser.add_argument("--model", help="a model to fine-tune; default: static embeddings from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 0.1 from nothing, 2e-5 with --model")
    parser.add_argument("--epochs", type=int, help="default: 5 from nothing, 2 with --model")
    parser.add_argument("--output", default="output/answer_selection", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def made_questions(count: int, seed: int) -> GradedPairs:
    """Questions for a place, a time or a reason. One candidate tells it of the right person, often in other words."""
    generator = random.Random(seed)
    who = {"doctor": "physician", "teacher": "instructor", "lawyer": "attorney", "thief": "robber", "cook": "chef"}
    did = {"buy": "acquired", "mend": "repaired", "paint": "drew", "hide": "put away", "sell": "gave up"}
    what = {"car": "vehicle", "boat": "ship", "coat": "jacket", "house": "home", "ring": "jewel", "picture": "image"}
    told = {
        "Where": ["in the garden", "at the shop", "near the sea", "on the hill", "downtown", "at school"],
        "When": ["in autumn", "at dawn", "last week", "on Monday", "around noon", "years ago"],
        "Why": ["out of fear", "for money", "by mistake", "to help a friend", "for fun", "on orders"],
    }
    rows = []
    for asked, person, act, thing in generator.sample(list(itertools.product(told, who, did, what)), count):
        wrong = [case for case in itertools.product(who, told) if case != (person, asked)]
        for name, part in [(person, asked), *generator.sample(wrong, generator.randint(4, 9))]:
            subject, about = generator.choice([name, who[name]]), generator.choice([thing, what[thing]])
            rows.append(
                {
                    "sentence1": f"{asked} did the {person} {act} the {thing}?",
                    "sentence2": f"The {subject} {did[act]} the {about} {generator.choice(told[part])}.",
                    "score": float((name, part) == (person, asked)),
                }
            )
    return GradedPairs(Dataset.from_list(rows), "questions made on the spot")


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    columns = arguments.columns.split(",") if arguments.columns else None
    if arguments.data:
        train = read_pairs(arguments.data, columns=columns)
    else:
        train = made_questions(60 if arguments.quick else 200, arguments.seed)
    if arguments.test_data:
        test = read_pairs(arguments.test_data, columns=columns)
    else:
        train, test = train.split("test", 0.2, arguments.seed, by="first")  # the candidates of a question together
    # Lists without a right or without a wrong candidate teach and show nothing.
    lists = pairs_to_lists(train.dataset, list_size=16)
    samples = [
        {"query": group.anchor, "documents": group.others, "labels": group.labels}
        for group in test.groups("first")
        if len(set(group.labels)) > 1
    ]
    evaluator = ScoreListEvaluator(samples, at_k=[1, 10], name="test", main_metric="map")
    print(f"questions: {len(lists)} to train on, {len(samples)} to report on")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(model_name="Answer selection", local_files_only=True)
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        static = StaticEmbedding(train_tokenizer([*train.sentences1, *train.sentences2]), embedding_dim=128)
        model = SentenceTransformer(modules=[static], model_card_data=card)

    # A link that ranks is normalised by its value: then the temperature means what it means in a plain Softmax.
    link = ExponentialLink(2.0).normalized(0, 1, of="value")
    loss = SelectiveListwiseLoss(model, pairwise_cos_sim, temperature=0.2, link=link, targets="labels")
    before = evaluator(model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            arguments.output,
            num_train_epochs=arguments.epochs or (2 if arguments.model else 5),
            per_device_train_batch_size=8,
            learning_rate=arguments.learning_rate or (2e-5 if arguments.model else 0.1),
            seed=arguments.seed,
            save_strategy="no",
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=lists,
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
