"""Graded sentence pairs that the package makes itself, for a first run without a download.

A sentence tells who does what, with what, where and when. Its partner keeps the meaning in other words, or changes some
of it; each change lowers the score by how much the meaning changes. As in data graded by people, the scores are noisy,
and most so in the middle.
"""

from __future__ import annotations

import csv
import json
import random
from importlib import resources
from pathlib import Path

# For each part of a sentence, its possible meanings, and for each meaning its wordings.
_PARTS: dict[str, list[list[str]]] = json.loads(
    resources.files("selective_st").joinpath("templates/demo_sentences.json").read_text(encoding="utf-8")
)
# How much of a score out of 5 each part carries.
_WEIGHTS = {"who": 1.2, "what": 1.5, "with what": 1.3, "where": 0.7, "when": 0.3}
_OTHER_WORDING = 0.05
HIGHEST_SCORE = 5.0


def graded_pairs(count: int, seed: int = 0) -> list[tuple[str, str, float]]:
    """Make graded sentence pairs.

    Args:
        count: How many.
        seed: Which ones.

    Returns:
        `(sentence1, sentence2, score)` with scores from 0 (unrelated) to 5 (the same meaning), in steps of 0.2.

    Raises:
        ValueError: If `count` is not positive.

    Example:
        >>> for pair in graded_pairs(2, seed=5):
        ...     len(pair), 0 <= pair[2] <= 5
        (3, True)
        (3, True)
    """
    if count < 1:
        raise ValueError(f"graded_pairs: count must be at least 1, got {count}.")
    generator = random.Random(seed)
    pairs = []
    for _ in range(count):
        changes = generator.choice((0, 0, 1, 1, 1, 2, 2, 3, 4, 5))
        changed = set(generator.sample(list(_PARTS), changes))
        first, second, score = [], [], HIGHEST_SCORE
        for part, meanings in _PARTS.items():
            meaning = generator.choice(meanings)
            wording = generator.choice(meaning)
            if part in changed:
                other = generator.choice([choice for choice in meanings if choice is not meaning])
                other_wording = generator.choice(other)
                score -= _WEIGHTS[part]
            else:
                other_wording = generator.choice(meaning)
                score -= _OTHER_WORDING * (other_wording != wording)
            first.append(wording)
            second.append(other_wording)
        doubt = 0.05 + 0.5 * (score / HIGHEST_SCORE) * (1 - score / HIGHEST_SCORE) * 4
        score = min(HIGHEST_SCORE, max(0.0, generator.gauss(score, doubt)))
        pairs.append((" ".join(first).capitalize() + ".", " ".join(second).capitalize() + ".", round(score * 5) / 5))
    return pairs


def write_demo_data(folder: Path, rows: dict[str, int]) -> dict[str, Path]:
    """Write graded pairs as CSV files with a header row.

    Args:
        folder: Where to; made if it does not exist.
        rows: For each file's name (without .csv), how many pairs.

    Returns:
        The files, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for seed, (name, count) in enumerate(rows.items()):
        paths[name] = folder / f"{name}.csv"
        with paths[name].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["sentence1", "sentence2", "score"])
            writer.writerows(graded_pairs(count, seed))
    return paths
