"""Graded pairs of STS-B and STS 2012-14, as the studies of the order loss read them."""

from __future__ import annotations

import csv
from pathlib import Path

SPLITS = {"train": "stsb/train", "dev": "stsb/dev", "test": "stsb/test", "sts12-14": "sts12-14/pairs"}
TOP = 0.95  # a gold score of nearly the same meaning


def read(folder: Path) -> dict[str, tuple[list[list[str]], list[float]]]:
    """Of each split the two columns of texts, and scores from 0 to 1."""
    found = {}
    for split, name in SPLITS.items():
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        found[split] = [[row[side] for row in rows] for side in (0, 1)], [float(row[2]) / 5 for row in rows]
    return found
