"""Print how long the commands take that should answer at once. Run it with `make bench-door`.

Each in fresh processes: the medians of their times, and of their processor's, which other work disturbs less.
"""

from __future__ import annotations

import csv
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from itertools import cycle
from pathlib import Path

from selective_st.demo import graded_pairs

REPEAT = 5
CLI = "-m selective_st.cli"
CASES = {  # and how many seconds are asked
    "-c pass": None,
    "-c 'import selective_st'": 0.05,
    f"{CLI} --help": 0.6,
    f"{CLI} formats": 0.6,
    f"{CLI} suggest pairs.csv": 2,
    f"{CLI} suggest pairs.csv --focus high": 2,
    f"{CLI} suggest pairs.csv --threshold 0.8": 2,
    f"{CLI} check pairs.csv --loss SelectivePointwiseLoss": 4,
    f"{CLI} plot --overwrite": 4,
    f"{CLI} suggest million.csv": 5,
}


def seconds(words: list[str], folder: Path) -> tuple[float, float]:
    """The time and the processor time that Python takes with these arguments."""
    before = os.times()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.elapsed - before.elapsed, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        pairs = graded_pairs(1000)
        for name, rows in (("pairs", 1_000), ("million", 1_000_000)):
            with Path(place, f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                numbered = ((f"{a} {n}", b, score / 5) for n, (a, b, score) in zip(range(rows), cycle(pairs)))
                csv.writer(file).writerows([("sentence1", "sentence2", "score"), *numbered])
        found = [[seconds(shlex.split(words), Path(place)) for words in CASES] for _ in range(REPEAT)]
    print(f"{'python ...':60} {'s':>6} {'CPU s':>6} {'asked':>6}")
    for (words, asked), times in zip(CASES.items(), zip(*found, strict=True), strict=True):
        taken, worked = map(statistics.median, zip(*times, strict=True))
        print(f"{words:60} {taken:6.2f} {worked:6.2f} {asked or '':>6}")


if __name__ == "__main__":
    main()
