"""What a training step with a WeightedLoss of two losses costs, against the dearer of the two alone.

A step is one of the trainer: collate and tokenise the batch, forward, loss, backward, clip the gradients, AdamW,
learning rate schedule. The three losses take turns on the same rows, on three copies of a model. Run it with

    python benchmarks/weighted_cost.py
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator

import common
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import pairwise_cos_sim
from torch import nn

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss, WeightedLoss
from selective_st.schedules import linear_schedule
from selective_st.training import train_tokenizer

DOCUMENTS = 4


def ranking(model: SentenceTransformer) -> nn.Module:
    """The first loss."""
    return SelectiveListwiseLoss(model, pairwise_cos_sim, temperature=0.1)


def weighted(model: SentenceTransformer) -> nn.Module:
    """Both, annealed and balanced."""
    losses = {"ranking": ranking(model), "scores": SelectivePointwiseLoss(model)}
    weights = {"ranking": linear_schedule(1, 0), "scores": linear_schedule(0, 1)}
    return WeightedLoss(model, losses, weights, balance=True)


def models(texts: list[str], folder: str) -> Iterator[tuple[str, Callable[[], SentenceTransformer]]]:
    """The models: one whose pass costs next to nothing, and a small transformer."""
    tokenizer = train_tokenizer(texts)

    def transformer() -> SentenceTransformer:
        module = Transformer(saved)
        return SentenceTransformer(modules=[module, Pooling(module.get_embedding_dimension())])

    yield f"static {common.VOCABULARY} x {common.DIMENSION}", lambda: common.static_model(tokenizer)
    saved = common.bert_folder(texts, f"{folder}/bert")
    yield "BERT, 2 layers of 64", transformer


def main() -> None:
    """Print a table of medians."""
    options = common.options(common.parser_of(__doc__, steps=150, threads="how many"))
    pairs = graded_pairs(2048)
    texts = [text for first, second, _ in pairs for text in (first, second)]
    rows = []
    for place, (first, second, score) in enumerate(pairs):
        others = {f"document_{k}": pairs[(place + 97 * k) % len(pairs)][1] for k in range(2, DOCUMENTS + 1)}
        labels = [score / HIGHEST_SCORE, *(0.1 * k for k in range(DOCUMENTS - 1))]
        rows.append({"query": first, "document_1": second, **others, "scores": labels})
    kinds = {"listwise": ranking, "pointwise": SelectivePointwiseLoss, "weighted": weighted}
    print(common.machine())
    title = f"A query and {DOCUMENTS} documents a row; both losses, to the dearer of the two"
    common.print_heading(title, common.TIMES)
    with tempfile.TemporaryDirectory() as folder:
        for name, make in models(texts, folder):
            for batch_size in (16, 64):
                steps = {}
                for kind, make_loss in kinds.items():
                    model = make()
                    loss = make_loss(model)
                    callbacks = [loss.callback] if isinstance(loss, WeightedLoss) else []
                    steps[kind] = common.Trainee(model, loss, rows, batch_size, folder, callbacks).step
                times = common.take_turns(steps, 0, options.steps, options.steps)
                dearer = max(("listwise", "pointwise"), key=lambda kind: statistics.median(times[kind]))
                common.print_times(f"{name}: weighted / {dearer}", batch_size, times[dearer], times["weighted"], None)


if __name__ == "__main__":
    main()
