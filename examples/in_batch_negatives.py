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
    built-in: MultipleNegativesRankingLoss; selective: SelectiveMultipleNegativesRankingLoss
    on test                       base  built-in  selective
    cosine_accuracy@1            0.215     0.892      0.906
    cosine_recall@10             0.466     0.999      0.997
    cosine_mrr@10                0.294     0.937      0.944
    saved: output/in_batch_negatives
"""

from __future__ import annotations

import argparse

from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from shared import compare, model_of, read_positives, run, save

from selective_st.links import ExponentialLink
from selective_st.losses import SelectiveMultipleNegativesRankingLoss

SHOWN = ("cosine_accuracy@1", "cosine_recall@10", "cosine_mrr@10")


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, texts, evaluator = read_positives(options)
    # A link that ranks is normalised by its value: then the scale means what it means in the built-in loss.
    link = ExponentialLink(3.0).normalized(0, 1, of="value")
    trainer = compare(
        options,
        model_of(options, texts, "Trained on pairs, with in-batch negatives", size=128),
        {
            "MultipleNegativesRankingLoss": lambda model: MultipleNegativesRankingLoss(model, scale=20.0),
            "SelectiveMultipleNegativesRankingLoss": lambda model: SelectiveMultipleNegativesRankingLoss(
                model, link=link, scale=20.0
            ),
        },
        train,
        evaluator,
        SHOWN,
        num_train_epochs=1 if options.model else 5,
        per_device_train_batch_size=64,
        learning_rate=2e-5 if options.model else 0.1,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "model")
