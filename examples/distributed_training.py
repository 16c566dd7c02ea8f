"""In-batch negatives on several devices: the documents of all processes are each other's negatives.

It is the script for one device with `gather_across_devices=True`. The batch is shared out among the processes, so any
number of them takes the same steps. Equal texts in one batch would be false negatives, and a batch sampler keeps them
apart only within a process: `mask_same_text=True` does it for all. See docs/distributed.md.

    python examples/distributed_training.py                                      # offline, in one process
    torchrun --nproc_per_node 2 examples/distributed_training.py                 # the same in two
    accelerate launch --multi_gpu --num_processes 2 examples/distributed_training.py

Output of the first:

    processes: 1, with 128 of the 128 rows of a batch each
    pairs: 2772 to train on; 693 queries, each with one of 3462 texts to find
    on test                   base   trained
    cosine_accuracy@1        0.215     0.926
    cosine_recall@10         0.466     0.999
    cosine_mrr@10            0.294     0.955
    saved: output/distributed_training
"""

from __future__ import annotations

import argparse
import os

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
from sentence_transformers.util import get_device_name
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
    parser = argparse.ArgumentParser(description="Train on pairs of texts, on one device or several.")
    parser.add_argument("--data", help="a file or hub dataset: a text, its partner, and any hard negatives in each row")
    parser.add_argument("--model", help="a model to fine-tune; default: static embeddings from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 0.1 from nothing, 2e-5 with --model")
    parser.add_argument("--batch-size", type=int, default=128, help="of all processes together")
    parser.add_argument("--output", default="output/distributed_training", help="where to save the model")
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
    processes = int(os.environ.get("WORLD_SIZE", 1))  # as the launcher says
    training = SentenceTransformerTrainingArguments(
        arguments.output,
        num_train_epochs=1 if arguments.model else 5,
        per_device_train_batch_size=arguments.batch_size // processes,
        dataloader_drop_last=True,
        learning_rate=arguments.learning_rate or (2e-5 if arguments.model else 0.1),
        seed=arguments.seed,
        use_cpu=get_device_name() == "cpu",  # or each process would train a model of its own
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
    )
    is_first = training.process_index == 0  # one process says and saves it for all

    table = read_table(arguments.data) if arguments.data else paraphrases(1000 if arguments.quick else 12000)
    splits = table.train_test_split(test_size=0.2, seed=arguments.seed)
    train, test = splits["train"], splits["test"]
    query, document, *_ = test.column_names
    corpus = list(dict.fromkeys([*table[document]]))
    place = {text: str(number) for number, text in enumerate(corpus)}
    evaluator = InformationRetrievalEvaluator(
        queries=dict(enumerate(test[query])),
        corpus={number: text for text, number in place.items()},
        relevant_docs={row: {place[text]} for row, text in enumerate(test[document])},
        name="test",
    )
    if is_first:
        size = f"{training.per_device_train_batch_size} of the {arguments.batch_size}"
        print(f"processes: {processes}, with {size} rows of a batch each")
        print(f"pairs: {len(train)} to train on; {len(test)} queries, each with one of {len(corpus)} texts to find")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(
        model_name="Trained on several devices, with all of their negatives", local_files_only=True
    )
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        tokenizer = train_tokenizer([text for column in train.column_names for text in train[column]])
        model = SentenceTransformer(
            modules=[StaticEmbedding(tokenizer, embedding_dim=128)], model_card_data=card, device=str(training.device)
        )

    link = ExponentialLink(3.0).normalized(0, 1, of="value")
    loss = SelectiveMultipleNegativesRankingLoss(
        model, link=link, scale=20.0, gather_across_devices=processes > 1, mask_same_text=True
    )
    before = evaluator(model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=training,
        train_dataset=train,
        loss=loss,
        callbacks=[SelectiveModelCardCallback(loss, evaluators=evaluator, metrics=SHOWN)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    after = evaluator(model)
    if not is_first:
        return
    print(f"{'on test':<20}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<20}{before[f'test_{name}']:>10.3f}{after[f'test_{name}']:>10.3f}")
    model.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
