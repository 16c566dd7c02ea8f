"""Matryoshka: embeddings that may be cut to fewer dimensions, with the scores that matter right at each size.

`MatryoshkaLoss` applies the selective loss to the first 256, 64 and 16 dimensions of the same embeddings.

    python examples/matryoshka.py                                       # offline, on data made on the spot
    python examples/matryoshka.py --data pairs.csv --score-range 0,5    # two texts and a score in each row
    python examples/matryoshka.py --data sentence-transformers/stsb --model sentence-transformers/all-MiniLM-L6-v2

Output of the first:

    pairs: 4500 to train on, 500 to report on
    built-in: CosineSimilarityLoss; selective: SelectivePointwiseLoss
    on test                       base  built-in  selective
    ap_ge_0.95         256       0.551     0.966      0.968
    ap_ge_0.95          64       0.542     0.964      0.963
    ap_ge_0.95          16       0.466     0.927      0.949
    rmse_0.8_1         256       0.205     0.072      0.058
    rmse_0.8_1          64       0.213     0.077      0.066
    rmse_0.8_1          16       0.240     0.091      0.077
    saved: output/matryoshka
"""

from __future__ import annotations

import argparse

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MatryoshkaLoss
from shared import compare, model_of, read_graded, run, save

from selective_st.evaluation import ScoreRegionEvaluator
from selective_st.links import high_scores
from selective_st.losses import SelectivePointwiseLoss

SIZES = [256, 64, 16]


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = read_graded(options).split("test", 0.1, options.seed, by="either")  # no text on both sides
    print(f"pairs: {len(train)} to train on, {len(test)} to report on")
    texts = test.sentences1, test.sentences2, test.scores
    evaluator = ScoreRegionEvaluator(*texts, name="test")
    # For the card, evaluators of Sentence Transformers that cut the embeddings by themselves.
    of_sizes = [EmbeddingSimilarityEvaluator(*texts, name=f"test-{size}", truncate_dim=size) for size in SIZES]

    def measure(model: SentenceTransformer) -> dict[str, float]:
        found = {}
        for size in SIZES:
            with model.truncate_embeddings(size):
                values = evaluator(model)
            found |= {f"{name:<16}{size:>6}": values[f"test_{name}"] for name in ("ap_ge_0.95", "rmse_0.8_1")}
        return found

    trainer = compare(
        options,
        model_of(options, [*train.sentences1, *train.sentences2], "Matryoshka embeddings", size=SIZES[0]),
        {
            "CosineSimilarityLoss": lambda model: MatryoshkaLoss(model, CosineSimilarityLoss(model), SIZES),
            "SelectivePointwiseLoss": lambda model: MatryoshkaLoss(
                model, SelectivePointwiseLoss(model, link=high_scores()), SIZES
            ),
        },
        train.dataset,
        measure,
        [f"{name:<16}{size:>6}" for name in ("ap_ge_0.95", "rmse_0.8_1") for size in SIZES],
        evaluators=[evaluator, *of_sizes],
        num_train_epochs=1 if options.model else 5,
        per_device_train_batch_size=64,
        learning_rate=2e-5 if options.model else 0.3,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "score-range", "model")
