"""How far the test split decides: differences of the main metric, with its pairs or questions drawn anew.

The study's intervals are over seeds: they say what another training would change, not what other test data would.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from report import chosen
from tasks import Task

DRAWS = 1000


def resample(task: Task, folder: Path) -> dict[str, object]:
    """Train the chosen setting of each loss with the first seed, and resample the test split.

    Args:
        task: The task.
        folder: Where the study's runs are.

    Returns:
        The settings, and of each pair of a selective and another loss the difference in the main metric, as mean and
        ends of the 95 % interval.
    """
    contenders = {(contender.family, contender.setting): contender for contender in task.contenders}
    entries = chosen(folder, task)
    size, metrics = 0, {}
    for entry in entries:
        model = task.train(contenders[entry["family"], entry["setting"]], entry["rate"], 0)
        size, metrics[entry["family"]] = task.main_metric_of_rows(model)
    generator = np.random.default_rng(0)
    draws = [generator.integers(size, size=size) for _ in range(DRAWS)]
    drawn = {family: np.array([metric(rows) for rows in draws]) for family, metric in metrics.items()}
    differences = {}
    for ours in (entry["family"] for entry in entries if entry["selective"]):
        for theirs in (entry["family"] for entry in entries if not entry["selective"]):
            difference = drawn[ours] - drawn[theirs]
            low, high = np.quantile(difference, [0.025, 0.975])
            differences[f"{ours} - {theirs}"] = [float(difference.mean()), float(low), float(high)]
    return {"settings": settings(entries), "differences": differences}


def settings(entries: list[dict[str, object]]) -> list[object]:
    """What the chosen settings are, to know whether a resampling is of them."""
    return [[entry["family"], entry["setting"], entry["rate"]] for entry in entries]
