"""How many operators one batch takes from embeddings to their gradients, beside the built-in losses.

On a GPU each operator is a launch, and a small loss costs what its launches cost. They are counted on the CPU, as it
does them and with the choices that are made for a GPU; views and empty tensors, for which nothing is launched, do not
count. `python benchmarks/operators.py` prints the counts; `--lines` what comes from where, as on a GPU.
"""

from __future__ import annotations

import argparse
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from common import Echo
from sentence_transformers.sentence_transformer import losses as built_in
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from selective_st import losses
from selective_st.links import ConstantLink, IdentityLink

ROWS, DOCUMENTS, DIMENSION = 64, 16, 384
PACKAGE = "selective_st"
# What asks whether a device answers.
ASKING = ("functional.listwise", "links.combined")
LAUNCH_NOTHING = {
    *("alias", "as_strided", "detach", "empty", "empty_like", "expand", "new_empty", "permute", "select", "slice"),
    *("split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view"),
}


class Operators(TorchDispatchMode):
    """Counts operators that launch something, by name and by the line of this package that they come from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count one, and do it."""
        name = str(func).split(".")[1]
        if name not in LAUNCH_NOTHING:
            frames = [frame for frame in traceback.extract_stack() if f"/{PACKAGE}/" in frame.filename]
            place = f"{frames[-1].filename.split(f'/{PACKAGE}/')[-1]}:{frames[-1].lineno}" if frames else "autograd"
            self.found[f"{name}  {place}"] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """The choices that are made for a GPU."""
    with ExitStack() as choices:
        for module in ASKING:
            choices.enter_context(patch(f"{PACKAGE}.{module}.answers_at_once", lambda tensor: False))
        choices.enter_context(patch.dict(f"{PACKAGE}.links._numerics._FEW_FOR_LAUNCHES", cpu=2**16))
        choices.enter_context(patch(f"{PACKAGE}.losses._scorers._ONE_BY_ONE", set()))
        yield


def operators(loss: nn.Module, columns: int, labels: Tensor | None) -> Counter[str]:
    """How often each operator of one batch is called, forward and backward, by name and place."""
    given = [nn.functional.normalize(torch.randn(ROWS, DIMENSION)).requires_grad_() for _ in range(columns)]
    features = [{"sentence_embedding": column} for column in given]
    loss(features, labels)  # the first batch is looked at more closely
    with Operators() as counted:
        torch.autograd.grad(loss(features, labels), given)
    return counted.found


def cases() -> dict[str, tuple[nn.Module, int, Tensor | None]]:
    """The losses, each with the number of columns and labels."""
    model: Any = Echo()
    scores, lists = torch.rand(ROWS), torch.rand(ROWS, DOCUMENTS)
    of_pairs = losses.SelectivePairwiseLoss
    return {
        "pointwise": (losses.SelectivePointwiseLoss(model), 2, scores),
        "CosineSimilarityLoss": (built_in.CosineSimilarityLoss(model), 2, scores),
        "pairwise, margins": (of_pairs(model, targets="margins"), 3, scores),
        "pairwise, margins, cosines": (of_pairs(model, pairwise_cos_sim, targets="margins"), 3, scores),
        "pairwise, margins, IdentityLink": (of_pairs(model, link=IdentityLink(), targets="margins"), 3, scores),
        "MarginMSELoss": (built_in.MarginMSELoss(model), 3, scores),
        "pairwise, no labels": (of_pairs(model), 3, None),
        "listwise": (losses.SelectiveListwiseLoss(model), DOCUMENTS + 1, lists),
        "listwise, cosines": (losses.SelectiveListwiseLoss(model, pairwise_cos_sim), DOCUMENTS + 1, lists),
        "listwise, ConstantLink": (losses.SelectiveListwiseLoss(model, link=ConstantLink()), DOCUMENTS + 1, lists),
        "DistillKLDivLoss": (built_in.DistillKLDivLoss(model), DOCUMENTS + 1, lists),
        "order": (losses.SelectiveOrderLoss(model), 2, scores),
        "order, weighed": (losses.SelectiveOrderLoss(model, weight_link=IdentityLink()), 2, scores),
        "CoSENTLoss": (built_in.CoSENTLoss(model), 2, scores),
        "in-batch": (losses.SelectiveMultipleNegativesRankingLoss(model), 2, None),
        "MultipleNegativesRankingLoss": (built_in.MultipleNegativesRankingLoss(model), 2, None),
    }


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", action="store_true", help="print which operators, and where they come from")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(f"{'':34}CPU  as on a GPU")
    for name, case in cases().items():
        on_cpu = operators(*case)
        with as_on_a_gpu():
            on_gpu = operators(*case)
        print(f"{name:32}{on_cpu.total():5}{on_gpu.total():13}")
        if arguments.lines:
            for place, count in on_gpu.items():
                print(f"    {count:5} {place}")


if __name__ == "__main__":
    main()
