"""Score pairs inside `datasets.map`, in as many processes as you like, and decide which match.

    python examples/score_in_datasets.py                                        # offline, with a model made on the spot
    python examples/score_in_datasets.py --model MODEL --data pairs.csv --columns text1,text2 --processes 4

`Scorer` loads the model once in each process. It works inside Ray Data too: see score_in_ray.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from selective_st.demo import HIGHEST_SCORE, graded_pairs
from selective_st.evaluation import choose_threshold, load_threshold, predict_scores, save_threshold
from selective_st.training import train_tokenizer


class Scorer:
    """Adds `score` and `match` to a batch of pairs, by a model and the threshold that is stored with it."""

    def __init__(self, model: str, columns: tuple[str, str]) -> None:
        self.model, self.columns = model, columns
        self.loaded: Any = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score a batch: columns of texts, lists or arrays."""
        if self.loaded is None:  # once in each process
            self.loaded = SentenceTransformer(self.model), load_threshold(self.model)
        model, threshold = self.loaded
        first, second = ([str(text) for text in batch[name]] for name in self.columns)
        scores = predict_scores(model, first, second)
        return {**batch, "score": scores, "match": threshold.decide(scores)}


def make_model(folder: str) -> str:
    """Save a small model with a threshold, for a first run."""
    pairs = graded_pairs(400)
    first, second, labels = [a for a, _, _ in pairs], [b for _, b, _ in pairs], [s / HIGHEST_SCORE for _, _, s in pairs]
    module = StaticEmbedding(train_tokenizer([*first, *second]), embedding_dim=64)
    model = SentenceTransformer(modules=[module], device="cpu")
    model.save_pretrained(folder)
    save_threshold(folder, choose_threshold(labels, predict_scores(model, first, second), 0.8))
    return folder


def main() -> None:
    """Score a file, or pairs made on the spot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", help="a folder that `selective-st train` or `distill` wrote")
    parser.add_argument("--data", help="a CSV file")
    parser.add_argument("--columns", default="first,second")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    first, second = options.columns.split(",")
    made = [{first: a, second: b} for a, b, _ in graded_pairs(1000, seed=1)]
    pairs = Dataset.from_csv(options.data) if options.data else Dataset.from_list(made)
    scorer = Scorer(options.model or make_model("output/scorer"), (first, second))
    scored = pairs.map(scorer, batched=True, batch_size=4096, num_proc=options.processes)
    Path("output").mkdir(exist_ok=True)
    scored.to_parquet("output/scored.parquet")
    print(f"{sum(scored['match']):,} of {len(scored):,} pairs match; saved: output/scored.parquet")


if __name__ == "__main__":
    main()
