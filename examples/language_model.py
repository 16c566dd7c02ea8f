"""Fine-tune a language model on a teacher's word: the probabilities of common words shall be right, rare ones' less so.

The text's source has known probabilities and is the teacher. A tiny Llama that has learned another one is fine-tuned on
it: by the plain KL divergence, and with a calibration term whose link says that log-probabilities matter above 5 %.

    python examples/language_model.py                       # offline, on text made on the spot
    python examples/language_model.py --calibration 3       # common words matter more

Output of the first:

    words: 12800 to train on, 1600 to report on
    on test                       base     plain  selective
    rmse p >= 0.05               4.776     0.968      0.601
    rmse p < 0.002               2.390     2.057      2.028
    kl divergence                4.120     0.482      0.475
    saved: output/language_model
"""

from __future__ import annotations

import argparse
import copy
import math
from typing import Any

import torch
from datasets import Dataset
from shared import LENGTH, USUAL, WORDS, Source, print_table, run, save
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, TrainingArguments, default_data_collator

from selective_st.links import ConstantLink, score_region
from selective_st.transformers import ReferenceTrainer, SelectiveDistillationLoss

COMMON, RARE = 0.05, 0.002


def fit(options: argparse.Namespace, model: Any, loss: Any, source: Source, texts: Dataset) -> LlamaForCausalLM:
    """Train a copy with the Trainer of transformers, and a teacher."""
    usual = {**USUAL, "num_train_epochs": 6, "per_device_train_batch_size": 32, "lr_scheduler_type": "cosine"}
    settings = TrainingArguments(options.output, learning_rate=1e-2, seed=options.seed, **usual)
    model, data = copy.deepcopy(model), {"train_dataset": texts, "data_collator": default_data_collator}
    trainer = ReferenceTrainer(model=model, args=settings, compute_loss_func=loss, reference_model=source, **data)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return model


@torch.no_grad()
def measure(model: LlamaForCausalLM, source: Source, texts: Dataset) -> dict[str, float]:
    """Errors of the model's log-probabilities by what the source gives, and the KL divergence."""
    words = torch.tensor(texts["input_ids"])
    found = torch.log_softmax(model.eval().cpu()(words).logits, -1)
    truth = source.logits[words].cpu()
    error, likely = (found - truth).square(), truth.exp()
    return {
        f"rmse p >= {COMMON}": error[likely >= COMMON].mean().sqrt().item(),
        f"rmse p < {RARE}": error[likely < RARE].mean().sqrt().item(),
        "kl divergence": (likely * (truth - found)).sum(-1).mean().item(),
    }


def main(options: argparse.Namespace) -> None:
    """Write, train, compare, save."""
    count, general, special = 80 if options.quick else 400, Source(), Source()
    before, train, test = general.texts(count), special.texts(count), special.texts(count // 8)
    print(f"words: {len(train) * LENGTH} to train on, {len(test) * LENGTH} to report on")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    untrained = LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, max_position_embeddings=LENGTH, **sizes))
    region = score_region(math.log(COMMON), math.log(0.75), strength=30, score_range=(-10, 0))  # of 5 % to 75 %
    own = {"calibration": float(options.calibration or 1), "calibration_link": region}
    plain, selective = (SelectiveDistillationLoss(ConstantLink(), **more) for more in ({"calibration": 0}, own))
    base = fit(options, untrained, plain, general, before)
    models = [base, *(fit(options, base, loss, special, train) for loss in (plain, selective))]
    results = [measure(model, special, test) for model in models]
    print_table(results, [*results[0]], "plain")
    save(options, models[-1])


if __name__ == "__main__":
    run(main, "calibration")
