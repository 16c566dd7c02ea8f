"""Graded pairs: find near-duplicates with a threshold on the cosine, chosen on a validation split.

Only pairs of nearly the same meaning are to be found, so high scores matter: the loss has the link `high_scores()`.
The threshold with the highest F1 on the validation split is saved with the model, and measured on the test split.

    python examples/graded_pairs.py                                       # offline, on data made on the spot
    python examples/graded_pairs.py --data pairs.csv --score-range 0,5    # two texts and a score in each row

Output of the first:

    pairs: 4050 to train on, 450 to choose the threshold on, 500 to report on
    built-in: CosineSimilarityLoss; selective: SelectivePointwiseLoss
    on test                       base  built-in  selective
    ap_ge_0.95                   0.573     0.952      0.960
    precision_ge_0.95            0.535     0.883      0.909
    recall_ge_0.95               0.550     0.820      0.811
    f1_ge_0.95                   0.542     0.850      0.857
    rmse_0.8_1                   0.211     0.077      0.064
    spearman                     0.577     0.956      0.958
    threshold: predicted >= 0.936 for gold >= 0.95: the highest F1 on dev, 0.894 (450 pairs, 96 to be found)
    saved: output/graded_pairs
"""

from __future__ import annotations

import argparse

from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from shared import compare, model_of, read_graded, run, save

from selective_st.evaluation import ScoreRegionEvaluator, store_threshold
from selective_st.links import high_scores
from selective_st.losses import SelectivePointwiseLoss

NEAR_DUPLICATE = 0.95  # pairs with a gold score from here on are to be found
SHOWN = ("ap_ge_0.95", "precision_ge_0.95", "recall_ge_0.95", "f1_ge_0.95", "rmse_0.8_1", "spearman")


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, parts = read_graded(options), []
    for name, source in (("test", options.test_data), ("dev", options.eval_data)):
        if source:
            parts.append(read_graded(options, source))
        else:
            train, part = train.split(name, 0.1, options.seed, by="either")  # no text on both sides
            parts.append(part)
    test, dev = parts
    print(f"pairs: {len(train)} to train on, {len(dev)} to choose the threshold on, {len(test)} to report on")
    on_dev = ScoreRegionEvaluator(dev.sentences1, dev.sentences2, dev.scores, name="dev")
    on_test = ScoreRegionEvaluator(
        test.sentences1, test.sentences2, test.scores, name="test", threshold_from=on_dev, threshold_gold=NEAR_DUPLICATE
    )
    trainer = compare(
        options,
        model_of(options, [*train.sentences1, *train.sentences2], f"Near-duplicates, trained on {train.name}"),
        {
            "CosineSimilarityLoss": CosineSimilarityLoss,
            "SelectivePointwiseLoss": lambda model: SelectivePointwiseLoss(model, link=high_scores()),
        },
        train.dataset,
        on_test,
        SHOWN,
        num_train_epochs=1 if options.model else 5,
        per_device_train_batch_size=64,
        learning_rate=2e-5 if options.model else 0.3,
        evaluator=on_dev,  # the epoch that is best on dev is kept
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{on_dev.primary_metric}",
    )
    print(f"threshold: {store_threshold(trainer.model, on_dev, gold=NEAR_DUPLICATE)}")
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "eval-data", "test-data", "score-range", "model")
