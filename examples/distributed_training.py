"""In-batch negatives on several devices: the documents of all processes are each other's negatives.

It is the script for one device with `gather_across_devices=True`. The batch is shared out among the processes, so any
number of them takes the same steps. Equal texts in one batch would be false negatives, and a batch sampler keeps them
apart only within a process: `mask_same_text=True` does it for all. See docs/distributed.md.

    python examples/distributed_training.py                                      # offline, in one process
    torchrun --nproc_per_node 2 examples/distributed_training.py                 # the same in two

Output of the first:

    processes: 1, with 128 of the 128 rows of a batch each
    pairs: 2772 to train on; 693 queries, each with one of 3462 texts to find
    built-in: MultipleNegativesRankingLoss; selective: SelectiveMultipleNegativesRankingLoss
    on test                       base  built-in  selective
    cosine_accuracy@1            0.215     0.918      0.926
    cosine_recall@10             0.466     0.999      0.999
    cosine_mrr@10                0.294     0.953      0.955
    saved: output/distributed_training
"""

from __future__ import annotations

import argparse
import os

from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import get_device_name
from shared import compare, model_of, read_positives, run, save, say

from selective_st.links import ExponentialLink
from selective_st.losses import SelectiveMultipleNegativesRankingLoss

BATCH = 128  # of all processes together
SHOWN = ("cosine_accuracy@1", "cosine_recall@10", "cosine_mrr@10")


def main(options: argparse.Namespace) -> None:
    """Read, train, compare, save."""
    processes = int(os.environ.get("WORLD_SIZE", 1))  # as the launcher says
    say(f"processes: {processes}, with {BATCH // processes} of the {BATCH} rows of a batch each")
    train, texts, evaluator = read_positives(options)
    several = {"gather_across_devices": processes > 1}
    link = ExponentialLink(3.0).normalized(0, 1, of="value")
    trainer = compare(
        options,
        model_of(options, texts, "Trained on several devices, with all of their negatives", size=128),
        {
            "MultipleNegativesRankingLoss": lambda model: MultipleNegativesRankingLoss(model, scale=20.0, **several),
            "SelectiveMultipleNegativesRankingLoss": lambda model: SelectiveMultipleNegativesRankingLoss(
                model, link=link, scale=20.0, mask_same_text=True, **several
            ),
        },
        train,
        evaluator,
        SHOWN,
        num_train_epochs=1 if options.model else 5,
        per_device_train_batch_size=BATCH // processes,
        dataloader_drop_last=True,
        learning_rate=2e-5 if options.model else 0.1,
        use_cpu=get_device_name() == "cpu",  # or each process would train a model of its own
    )
    save(options, trainer.model)


if __name__ == "__main__":
    run(main, "data", "model")
