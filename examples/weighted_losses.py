"""Several losses at once: first order the pairs, then place their scores.

A ranking loss only compares the pairs of a batch with one another, so it may move all scores up or down; a pointwise
loss brings each score to its place. Here the training begins with the first and ends with the second: their shares go
from 1 to 0 and from 0 to 1, and `balance=True` has the weights mean shares. Such a loss says little of which checkpoint
is best, so that is chosen by a metric on a validation split.

    python examples/weighted_losses.py                                       # offline, on data made on the spot
    python examples/weighted_losses.py --data pairs.csv --score-range 0,5    # two texts and a score in each row

Output of the first:

    pairs: 4050 to train on, 450 to choose by, 500 to report on
    built-in: CosineSimilarityLoss; selective: WeightedLoss
    on test                       base  built-in  selective
    spearman                     0.577     0.956      0.956
    ap_ge_0.8                    0.663     0.959      0.960
    rmse_0.8_1                   0.211     0.077      0.065
    the loss, ranking, epoch by epoch: 0.637, 0.227, 0.173, 0.114, 0.040
    the loss, scores, epoch by epoch: 0.057, 0.097, 0.182, 0.282, 0.380
    saved: output/weighted_losses
"""

from __future__ import annotations

import argparse

from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from sentence_transformers.util import pairwise_cos_sim
from shared import compare, model_of, read_graded, run, save

from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import ConstantLink, high_scores
from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss, WeightedLoss
from selective_st.schedules import linear_schedule


def weighted(model: object) -> WeightedLoss:
    """First the order of all pairs of a batch, by a plain Softmax; then their places."""
    alone = {"temperature": 0.1, "link": ConstantLink(), "calibration": 0.0, "lists": "batch"}
    ranking = SelectiveListwiseLoss(model, pairwise_cos_sim, **alone)
    return WeightedLoss(
        model,
        {"ranking": ranking, "scores": SelectivePointwiseLoss(model, link=high_scores())},
        weights={"ranking": linear_schedule(1, 0), "scores": linear_schedule(0, 1)},
        balance=True,
    )


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = read_graded(options).split("test", 0.1, options.seed, by="either")  # no text on both sides
    train, dev = train.split("dev", 0.1, options.seed, by="either")
    print(f"pairs: {len(train)} to train on, {len(dev)} to choose by, {len(test)} to report on")
    chooser = ScoreRegionEvaluator(dev.sentences1, dev.sentences2, dev.scores, name="dev")
    trainer = compare(
        options,
        model_of(options, [*train.sentences1, *train.sentences2], f"Ranked, then placed: {train.name}"),
        {"CosineSimilarityLoss": CosineSimilarityLoss, "WeightedLoss": weighted},
        train.dataset,
        ScoreRegionEvaluator(test.sentences1, test.sentences2, test.scores, name="test"),
        ("spearman", "ap_ge_0.8", "rmse_0.8_1"),
        num_train_epochs=1 if options.model else 5,
        per_device_train_batch_size=64,
        learning_rate=2e-5 if options.model else 0.3,
        evaluator=chooser,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{chooser.primary_metric}",
    )
    for part in ("ranking", "scores"):
        values = [entry[part] for entry in trainer.state.log_history if part in entry]
        print(f"the loss, {part}, epoch by epoch: {', '.join(f'{value:.3f}' for value in values)}")
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "score-range", "model")
