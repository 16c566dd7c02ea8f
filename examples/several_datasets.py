"""Several datasets at once: each with its own selective loss, one model.

Graded pairs place the scores (`SelectivePointwiseLoss`), pairs that belong together teach to find the partner among
many (`SelectiveMultipleNegativesRankingLoss`). The trainer takes a dict of datasets and a dict of losses; each batch
comes from one of them, and the card tells of each.

    python examples/several_datasets.py                                       # offline, on data made on the spot
    python examples/several_datasets.py --data pairs.csv --score-range 0,5    # two texts and a score in each row
    python examples/several_datasets.py --data pairs.csv --positives partners.csv      # the latter: two texts a row

Output of the first:

    to train on: 4500 graded pairs and 1694 with a partner; 500 pairs to report on
    built-in: CosineSimilarityLoss and MultipleNegativesRankingLoss; selective: ours for each
    on test                       base  built-in  selective
    test_ap_ge_0.95              0.551     0.959      0.952
    test_rmse_0.8_1              0.205     0.093      0.089
    test_cosine_accuracy@1       0.371     0.951      0.941
    saved: output/several_datasets
"""

from __future__ import annotations

import argparse

from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import BatchSamplers, MultiDatasetBatchSamplers
from shared import compare, model_of, read_graded, run, save

from selective_st.conversion import pairs_to_positives
from selective_st.data import read_table
from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import high_scores
from selective_st.losses import SelectiveMultipleNegativesRankingLoss, SelectivePointwiseLoss


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = read_graded(options).split("test", 0.1, options.seed, by="either")  # no text on both sides
    positives = read_table(options.positives) if options.positives else pairs_to_positives(train.dataset)
    found = pairs_to_positives(test.dataset)
    print(f"to train on: {len(train)} graded pairs and {len(positives)} with a partner; {len(test)} pairs to report on")
    regions = ScoreRegionEvaluator(test.sentences1, test.sentences2, test.scores, name="test")
    retrieval = InformationRetrievalEvaluator(
        queries=dict(enumerate(found["anchor"])),
        corpus={text: text for text in test.sentences2},
        relevant_docs={row: {text} for row, text in enumerate(found["positive"])},
        name="test",
    )
    trainer = compare(
        options,
        model_of(options, [*train.sentences1, *train.sentences2], "Trained on two kinds of pairs"),
        {
            "CosineSimilarityLoss and MultipleNegativesRankingLoss": lambda model: {
                "graded": CosineSimilarityLoss(model),
                "partners": MultipleNegativesRankingLoss(model),
            },
            "ours for each": lambda model: {
                "graded": SelectivePointwiseLoss(model, link=high_scores()),
                "partners": SelectiveMultipleNegativesRankingLoss(model),
            },
        },
        {"graded": train.dataset, "partners": positives},
        lambda model: regions(model) | retrieval(model),
        ("test_ap_ge_0.95", "test_rmse_0.8_1", "test_cosine_accuracy@1"),
        evaluators=[regions, retrieval],
        num_train_epochs=1 if options.model else 5,
        per_device_train_batch_size=64,
        learning_rate=2e-5 if options.model else 0.3,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.PROPORTIONAL,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "score-range", "positives", "model")
