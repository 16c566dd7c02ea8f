"""What a training step with the selective loss costs, against one with CosineSimilarityLoss.

A step is one of the trainer: collate and tokenise the batch, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The two losses take turns on the same rows, on twin models. Run it with

    make bench-step
"""

from __future__ import annotations

import tempfile

import common
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.links import IdentityLink, SigmoidLink, high_scores, score_region
from selective_st.losses import SelectivePointwiseLoss
from selective_st.training import train_tokenizer


def main() -> None:
    """Print a table of paired medians."""
    steps = common.options(common.parser_of(__doc__, steps=300)).steps
    pairs = graded_pairs(4096)
    rows = [{"sentence1": a, "sentence2": b, "score": score / HIGHEST_SCORE} for a, b, score in pairs]
    tokenizer = train_tokenizer([text for pair in pairs for text in pair[:2]])
    print(common.machine())
    title = f"StaticEmbedding {common.VOCABULARY} x {common.DIMENSION}, link / CosineSimilarityLoss"
    common.print_heading(title, common.TIMES)
    with tempfile.TemporaryDirectory() as folder:
        for batch_size in (64, 512):
            for link in (high_scores(), IdentityLink(), SigmoidLink(20, 0.8), score_region(0.7, 0.9)):
                base, ours = common.static_model(tokenizer), common.static_model(tokenizer)
                losses = {"base": CosineSimilarityLoss(base), repr(link): SelectivePointwiseLoss(ours, link)}
                trained = {
                    name: common.Trainee(loss.model, loss, rows, batch_size, folder).step
                    for name, loss in losses.items()
                }
                common.compare("base", trained, batch_size, (0, steps, steps), None, "{ours}")


if __name__ == "__main__":
    main()
