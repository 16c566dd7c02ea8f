"""Distillation into late interaction: an encoder's scores of lists into a model with a vector for each token.

The student's score is the mean over the query's tokens of the best match in the document (MeanMaxSim), which lies where
the teacher's cosines lie: the plain Softmax (`ConstantLink`) ranks, the calibration term places the scores at the top.

    python examples/multi_vector_distillation.py                                                  # offline
    python examples/multi_vector_distillation.py --data texts.csv --teacher all-MiniLM-L6-v2 --model colbert-model

Output of the first:

    texts: 898 to train on, 99 to report on
    built-in: MultiVectorDistillKLDivLoss; selective: SelectiveListwiseLoss
    on test                       base  built-in  selective
    map                          0.630     0.746      0.737
    mrr@10                       0.770     0.839      0.849
    ndcg@10                      0.777     0.849      0.847
    saved: output/multi_vector_distillation
"""

from __future__ import annotations

import argparse

import torch
from sentence_transformers import MultiVectorEncoder, MultiVectorEncoderModelCardData
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.evaluation import MultiVectorRerankingEvaluator
from sentence_transformers.multi_vector_encoder.losses import MultiVectorDistillKLDivLoss
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_kd_scores
from shared import compare, dataset_of_lists, load_teacher, read_texts, run, save, scored_lists, tiny_bert

from selective_st.links import ConstantLink, high_scores
from selective_st.multi_vector_encoder.losses import SelectiveListwiseLoss

SCORED = {"similarity_fct": mean_colbert_kd_scores, "temperature": 0.1}


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = read_texts(options, 60 if options.quick else 500)
    teacher = load_teacher(options)
    dataset = dataset_of_lists(train, *scored_lists(teacher, train, size=8))
    samples = []  # of which the first three, whose scores are highest, are to be found
    for text, row, scores in zip(test, *scored_lists(teacher, test, size=10), strict=True):
        best = [other for _, other in sorted(zip(scores, row, strict=True), reverse=True)]
        samples.append({"query": text, "positive": best[:3], "negative": best[3:]})

    def make_model() -> MultiVectorEncoder:
        torch.manual_seed(options.seed)
        card = MultiVectorEncoderModelCardData(model_name="Distilled late interaction", local_files_only=True)
        if options.model:
            student = MultiVectorEncoder(options.model, model_card_data=card)
        else:
            with tiny_bert("BertModel", train, vocabulary=1000) as folder:
                modules = [Transformer(folder), Normalize(module_input_name="token_embeddings")]
            student = MultiVectorEncoder(modules=modules, model_card_data=card)
        student.similarity_fn_name = "meanmaxsim"  # as the losses score
        return student

    high = high_scores(3.0).linear_outside(None, 1.0)
    ours = {**SCORED, "link": ConstantLink(), "calibration": 0.3, "calibration_link": high}
    trainer = compare(
        options,
        make_model,
        {
            "MultiVectorDistillKLDivLoss": lambda model: MultiVectorDistillKLDivLoss(model, **SCORED),
            "SelectiveListwiseLoss": lambda model: SelectiveListwiseLoss(model, **ours),
        },
        dataset,
        MultiVectorRerankingEvaluator(samples, name="test", write_csv=False),
        ("map", "mrr@10", "ndcg@10"),
        num_train_epochs=1 if options.quick else 3,
        per_device_train_batch_size=16,
        learning_rate=2e-5 if options.model else 1e-3,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "teacher", "model")
