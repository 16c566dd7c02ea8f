"""Several losses at once: first order the pairs, then place their scores.

A ranking loss only compares the pairs of a batch with one another, so it may move all scores up or down on its way to a
good order; a pointwise loss brings each score to its place. Here the training begins with the first and ends with the
second: their shares go from 1 to 0 and from 0 to 1, and `balance=True` has the weights mean shares, though one loss is
many times the other. The model embeds each batch once.

A loss whose weights change says little of which checkpoint is best, so that is chosen by a metric on a validation
split: `metric_for_best_model` is the evaluator's `primary_metric`, and `load_best_model_at_end` loads it.

    python examples/weighted_losses.py                                       # offline, on data made on the spot
    python examples/weighted_losses.py --data pairs.csv --score-range 0,5    # two texts and a score in each row

Output of the first:

    pairs: 4049 to train on, 452 to choose by, 499 to report on
    the loss, in parts     ranking    scores
    in epoch 1               0.632     0.052
    in epoch 2               0.228     0.094
    in epoch 3               0.167     0.161
    in epoch 4               0.114     0.266
    in epoch 5               0.038     0.362
    best on dev: step 256, dev_ap_ge_0.95 0.969
    on test                   base   trained
    spearman                 0.571     0.953
    ap_ge_0.8                0.662     0.960
    rmse_0.8_1               0.211     0.059
    saved: output/weighted_losses
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
from sentence_transformers.util import pairwise_cos_sim
from transformers import PrinterCallback

from selective_st.data import GradedPairs, read_pairs
from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import ConstantLink, high_scores
from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss, WeightedLoss
from selective_st.model_card import SelectiveModelCardCallback
from selective_st.schedules import linear_schedule
from selective_st.training import train_tokenizer

SHOWN = ("spearman", "ap_ge_0.8", "rmse_0.8_1")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train with a ranking loss that gives way to a pointwise one.")
    parser.add_argument("--data", help="a file or hub dataset: two texts and a score in each row")
    parser.add_argument("--score-range", default="0,1", help="the ends of the scores' scale in --data, such as 0,5")
    parser.add_argument("--model", help="a model to fine-tune; default: static embeddings from nothing")
    parser.add_argument("--learning-rate", type=float, help="default: 0.3 from nothing, 2e-5 with --model")
    parser.add_argument("--output", default="output/weighted_losses", help="where to save the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="little data, to see that it runs")
    return parser.parse_args()


def main() -> None:
    """Read, train, compare, save."""
    arguments = parse_arguments()
    low, high = map(float, arguments.score_range.split(","))
    if arguments.data:
        pairs = read_pairs(arguments.data, score_range=(low, high))
    else:
        made = graded_pairs(600 if arguments.quick else 5000)
        rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in made]
        pairs = GradedPairs(Dataset.from_list(rows), "pairs made on the spot")
    train, test = pairs.split("test", 0.1, arguments.seed, by="either")  # no text on both sides
    train, dev = train.split("dev", 0.1, arguments.seed, by="either")
    print(f"pairs: {len(train)} to train on, {len(dev)} to choose by, {len(test)} to report on")

    torch.manual_seed(arguments.seed)
    card = SentenceTransformerModelCardData(model_name=f"Ranked, then placed: {train.name}", local_files_only=True)
    if arguments.model:
        model = SentenceTransformer(arguments.model, model_card_data=card)
    else:
        static = StaticEmbedding(train_tokenizer([*train.sentences1, *train.sentences2]), embedding_dim=256)
        model = SentenceTransformer(modules=[static], model_card_data=card)

    loss = WeightedLoss(
        model,
        {
            # All pairs of a batch are one list; the plain Softmax ranks, and does not place.
            "ranking": SelectiveListwiseLoss(
                model, pairwise_cos_sim, 0.1, link=ConstantLink(), calibration=0.0, lists="batch"
            ),
            "scores": SelectivePointwiseLoss(model, link=high_scores()),
        },
        weights={"ranking": linear_schedule(1, 0), "scores": linear_schedule(0, 1)},
        balance=True,
    )
    evaluator = ScoreRegionEvaluator(test.sentences1, test.sentences2, test.scores, name="test")
    chooser = ScoreRegionEvaluator(dev.sentences1, dev.sentences2, dev.scores, name="dev")
    before = evaluator(model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            arguments.output,
            num_train_epochs=1 if arguments.model else 5,
            per_device_train_batch_size=64,
            learning_rate=arguments.learning_rate or (2e-5 if arguments.model else 0.3),
            seed=arguments.seed,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model=f"eval_{chooser.primary_metric}",
            greater_is_better=chooser.greater_is_better,
            logging_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=train.dataset,
        evaluator=chooser,
        loss=loss,
        # The first tells the schedules how far the training is.
        callbacks=[loss.callback, SelectiveModelCardCallback(loss, evaluators=evaluator, metrics=SHOWN)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    print(f"{'the loss, in parts':<20}{'ranking':>10}{'scores':>10}")
    for entry in trainer.state.log_history:
        if "ranking" in entry:
            print(f"in epoch {entry['epoch']:<11.0f}{entry['ranking']:>10.3f}{entry['scores']:>10.3f}")
    steps = (trainer.state.best_model_checkpoint or "").rpartition("-")[2]
    print(f"best on dev: step {steps}, {chooser.primary_metric} {trainer.state.best_metric:.3f}")
    after = evaluator(model)
    print(f"{'on test':<20}{'base':>10}{'trained':>10}")
    for name in SHOWN:
        print(f"{name:<20}{before[f'test_{name}']:>10.3f}{after[f'test_{name}']:>10.3f}")
    model.save_pretrained(arguments.output)
    print(f"saved: {arguments.output}")


if __name__ == "__main__":
    main()
