"""Distillation into sparse embeddings: an encoder's scores of lists into a SPLADE model.

The student's score is a dot product without an upper end; the teacher's cosines become dot products from 0 to 10. The
plain Softmax ranks, the calibration term places the scores at the top, and `SpladeLoss` keeps the embeddings sparse.

    python examples/sparse_distillation.py    # offline; or --data texts.csv --teacher all-MiniLM-L6-v2 --model MODEL

Output of the first:

    texts: 898 to train on, 99 to report on
    built-in: SparseDistillKLDivLoss; selective: SelectiveListwiseLoss
    on test                       base  built-in  selective
    ndcg@10                      0.874     0.868      0.843
    rmse_top@10                190.131    46.864      3.388
    bias_top@10                190.006    46.816      2.650
    active words               366.000    86.788     21.000
    saved: output/sparse_distillation
"""

from __future__ import annotations

import argparse

import torch
from sentence_transformers import SparseEncoder, SparseEncoderModelCardData
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.losses import SparseDistillKLDivLoss, SpladeLoss
from sentence_transformers.sparse_encoder.modules import SpladePooling
from shared import compare, dataset_of_lists, load_teacher, read_texts, run, samples_of, save, scored_lists, tiny_bert

from selective_st.evaluation import ScoreListEvaluator
from selective_st.links import ConstantLink, high_scores
from selective_st.sparse_encoder.losses import SelectiveListwiseLoss

HIGHEST = 10.0  # the dot product that stands for a cosine of 1


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    train, test = read_texts(options, 60 if options.quick else 500)
    teacher = load_teacher(options)
    dataset = dataset_of_lists(train, *scored_lists(teacher, train, size=8, highest=HIGHEST))
    samples = samples_of(test, *scored_lists(teacher, test, size=10, highest=HIGHEST))
    evaluator = ScoreListEvaluator(samples, at_k=10, name="test", main_metric="ndcg@10")

    def make_model() -> SparseEncoder:
        torch.manual_seed(options.seed)
        card = SparseEncoderModelCardData(model_name="Distilled sparse embeddings", local_files_only=True)
        if options.model:
            return SparseEncoder(options.model, model_card_data=card)
        with tiny_bert("BertForMaskedLM", train, vocabulary=1000) as folder:
            modules = [Transformer(folder, transformer_task="fill-mask"), SpladePooling("max")]
        return SparseEncoder(modules=modules, model_card_data=card)

    def measure(model: SparseEncoder) -> dict[str, float]:
        return evaluator(model) | {"active words": float(model.sparsity(model.encode(test))["active_dims"])}

    weights = {"document_regularizer_weight": 1e-5, "query_regularizer_weight": 1e-5}
    high = high_scores(3.0, score_range=(0.0, HIGHEST)).linear_outside(None, HIGHEST)
    ours = {"link": ConstantLink(), "calibration": 0.05, "calibration_link": high}
    trainer = compare(
        options,
        make_model,
        {
            "SparseDistillKLDivLoss": lambda model: SpladeLoss(model, SparseDistillKLDivLoss(model), **weights),
            "SelectiveListwiseLoss": lambda model: SpladeLoss(model, SelectiveListwiseLoss(model, **ours), **weights),
        },
        dataset,
        measure,
        ("ndcg@10", "rmse_top@10", "bias_top@10", "active words"),
        evaluators=evaluator,
        num_train_epochs=1 if options.quick else 5,
        per_device_train_batch_size=16,
        learning_rate=2e-5 if options.model else 2e-3,
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "teacher", "model")
