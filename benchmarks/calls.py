"""How many functions of this package one batch calls, forward and backward; and a suggestion for 200 pairs.

`python benchmarks/calls.py` prints them; `--names` which they are.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import Echo
from datasets import Dataset
from torch import Tensor, nn

import selective_st
from selective_st import losses
from selective_st.registry import suggest_losses

PACKAGE = str(Path(selective_st.__file__).parent)
ROWS, DIMENSION = 32, 64


def calls(work: Callable[[], Any]) -> Counter[str]:
    """How often some work calls each function of this package, in all threads: backward has one of its own.

    The work is done twice: first without counting, since first batches are looked at more closely.
    """
    found: Counter[str] = Counter()

    def note(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            found[f"{Path(code.co_filename).relative_to(PACKAGE)}:{getattr(code, 'co_qualname', code.co_name)}"] += 1

    work()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return found


def batch(loss: nn.Module, columns: int, labels: Tensor | None) -> Callable[[], None]:
    """One batch through a loss, forward and backward."""
    given = [nn.functional.normalize(torch.randn(ROWS, DIMENSION)) for _ in range(columns)]
    embeddings = [column.requires_grad_() for column in given]
    features = [{"sentence_embedding": column} for column in embeddings]
    return lambda: loss(features, labels).backward()


def cases() -> dict[str, Callable[[], Any]]:
    """What is counted, by its name."""
    torch.manual_seed(0)
    model: Any = Echo()
    pairs = Dataset.from_dict(
        {
            "sentence1": [f"a text about the number {row}" for row in range(200)],
            "sentence2": [f"words on {row}, other ones" for row in range(200)],
            "score": [row % 51 / 50 for row in range(200)],
        }
    )
    return {
        "SelectivePointwiseLoss": batch(losses.SelectivePointwiseLoss(model), 2, torch.rand(ROWS)),
        "SelectiveListwiseLoss": batch(losses.SelectiveListwiseLoss(model), 5, torch.rand(ROWS, 4)),
        "SelectiveMultipleNegativesRankingLoss": batch(losses.SelectiveMultipleNegativesRankingLoss(model), 2, None),
        "suggest_losses": lambda: suggest_losses(pairs),
    }


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", action="store_true", help="print which functions")
    arguments = parser.parse_args()
    for name, one in cases().items():
        found = calls(one)
        print(f"{name}: {sum(found.values())}")
        if arguments.names:
            for function, count in found.most_common(60):
                print(f"    {count:5} {function}")


if __name__ == "__main__":
    main()
