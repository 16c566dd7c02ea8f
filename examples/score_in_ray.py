"""Score pairs inside Ray Data's `map_batches`, on many machines, and decide which match.

    pip install "ray[data]"
    python examples/score_in_ray.py                                             # offline, with a model made on the spot
    python examples/score_in_ray.py --model MODEL --data s3://bucket/pairs/ --columns text1,text2 --actors 8

The same `Scorer` as in score_in_datasets.py: each actor makes one, which loads the model once.
"""

from __future__ import annotations

import argparse

import ray
from score_in_datasets import Scorer, make_model

from selective_st.demo import graded_pairs


def main() -> None:
    """Score Parquet files, or pairs made on the spot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", help="a folder that every machine can read, of `selective-st train` or `distill`")
    parser.add_argument("--data", help="Parquet files, as ray.data.read_parquet takes them")
    parser.add_argument("--columns", default="first,second")
    parser.add_argument("--actors", type=int, default=1)
    options = parser.parse_args()
    first, second = options.columns.split(",")
    made = [{first: a, second: b} for a, b, _ in graded_pairs(1000, seed=1)]
    pairs = ray.data.read_parquet(options.data) if options.data else ray.data.from_items(made)
    scored = pairs.map_batches(
        Scorer,
        fn_constructor_args=(options.model or make_model("output/scorer"), (first, second)),
        batch_size=4096,
        batch_format="numpy",
        concurrency=options.actors,
    )
    scored.write_parquet("output/scored_by_ray", mode="overwrite")
    found = ray.data.read_parquet("output/scored_by_ray")
    print(f"{found.sum('match'):,} of {found.count():,} pairs match; saved: output/scored_by_ray")


if __name__ == "__main__":
    main()
