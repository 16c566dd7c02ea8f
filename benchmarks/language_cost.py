"""What the losses of language models cost, against cross entropy, `LabelSmoother` and the KL divergence.

Time is that of forward and backward from logits to their gradient; in the last group from hidden states through the
output layer, of which `without_logits` never has all logits in memory. The losses take turns, and the ratio is the
median over the turns. Memory is the peak resident size meanwhile less that just before, gradients included, in a
process of its own for each figure; the inputs are not counted. Run it with

    python benchmarks/language_cost.py
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import common
import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.trainer_pt_utils import LabelSmoother

from selective_st.functional import HiddenStates
from selective_st.links import ConstantLink
from selective_st.transformers import SelectiveCausalLMLoss, SelectiveDistillationLoss

VOCABULARY, TEXTS, LENGTH, EPSILON, TEMPERATURE, DIM = 32_000, 4, 256, 0.1, 2.0, 512
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def plain_distillation(logits: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
    """The KL divergence from the teacher, as it is customarily written."""
    counts = labels[:, 1:] != -100
    student, target = (torch.log_softmax(part[:, :-1] / TEMPERATURE, -1) for part in (logits, teacher))
    return kl_div(student, target, log_target=True, reduction="none").sum(-1)[counts].mean()


def of_outputs(loss: Any) -> Loss:
    """A loss of the next token, or of a teacher's word, as the others are called."""
    if isinstance(loss, SelectiveDistillationLoss):
        return lambda logits, labels, teacher: loss({"logits": logits}, labels, reference=teacher)
    return lambda logits, labels, teacher: loss({"logits": logits}, labels)


def of_states(loss: SelectiveCausalLMLoss, make: Any = HiddenStates) -> Loss:
    """A loss from hidden states, with the output layer's weight in the teacher's place."""
    return lambda hidden, labels, weight: loss({"logits": make(hidden, weight)}, labels)


def layer(hidden: Tensor, weight: Tensor) -> Tensor:
    """All logits."""
    return hidden @ weight.mT


# Of each group the first is what the others are compared with.
GROUPS: tuple[dict[str, Loss], ...] = (
    {
        "cross entropy": lambda logits, labels, teacher: ForCausalLMLoss(logits, labels, VOCABULARY),
        "causal, constant": of_outputs(SelectiveCausalLMLoss(ConstantLink())),
        "causal, default link": of_outputs(SelectiveCausalLMLoss()),
    },
    {
        "LabelSmoother": lambda logits, labels, teacher: LabelSmoother(EPSILON)({"logits": logits}, labels, True),
        "causal, constant, smoothed": of_outputs(SelectiveCausalLMLoss(ConstantLink(), label_smoothing=EPSILON)),
    },
    {
        "KL divergence": plain_distillation,
        "distillation, constant": of_outputs(SelectiveDistillationLoss(ConstantLink(), TEMPERATURE)),
        "distillation, default link, no calibration": of_outputs(SelectiveDistillationLoss(None, TEMPERATURE, 0.0)),
        "distillation, default link": of_outputs(SelectiveDistillationLoss(None, TEMPERATURE)),
        "distillation, constant, top 64": of_outputs(SelectiveDistillationLoss(ConstantLink(), TEMPERATURE, top_k=64)),
    },
    {
        "layer and cross entropy": lambda hidden, labels, weight: ForCausalLMLoss(
            layer(hidden, weight), labels, VOCABULARY
        ),
        "layer and causal, default link": of_states(SelectiveCausalLMLoss(), layer),
        "causal, constant, without logits": of_states(SelectiveCausalLMLoss(ConstantLink())),
        "causal, default link, without logits": of_states(SelectiveCausalLMLoss()),
    },
)
LOSSES = {name: loss for group in GROUPS for name, loss in group.items()}


def make_step(name: str, texts: int) -> Callable[[], None]:
    """From logits, or hidden states and the weight of a layer in the teacher's place, to their gradient."""
    torch.manual_seed(0)
    logits = torch.randn(texts, LENGTH, DIM if name in GROUPS[3] else VOCABULARY).requires_grad_()
    teacher = torch.randn(texts, LENGTH, VOCABULARY) if name in GROUPS[2] else logits.detach()
    if name in GROUPS[3]:
        teacher = torch.randn(VOCABULARY, DIM).requires_grad_()
    labels = torch.randint(VOCABULARY, (texts, LENGTH))
    loss = LOSSES[name]

    def step() -> None:
        logits.grad = teacher.grad = None
        loss(logits, labels, teacher).backward()

    return step


def extra_memory(name: str, texts: int) -> float:
    """The extra peak memory of one step, in megabytes, in a process of its own."""
    return float(common.in_a_process(__file__, "--texts", str(texts), "--measure", name))


def main() -> None:
    """Print the table."""
    parser = common.parser_of(__doc__)
    parser.add_argument("--texts", type=int, default=TEXTS, help=f"how many texts of {LENGTH} tokens")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--measure", choices=LOSSES, help=argparse.SUPPRESS)
    arguments = common.options(parser)
    if arguments.measure:
        make_step(arguments.measure, 1)()
        print(common.peak_memory(make_step(arguments.measure, arguments.texts)))
        return
    size = 4 * arguments.texts * LENGTH * VOCABULARY / common.MEGABYTE
    print(f"{arguments.texts} x {LENGTH} tokens, vocabulary {VOCABULARY}, float32: the logits have {size:.0f} MB")
    print(f"{'':44}{'ms':>9}{'ratio':>8}{'MB':>9}{'ratio':>8}")
    for group in GROUPS:
        steps = {name: make_step(name, arguments.texts) for name in group}
        times = common.take_turns(steps, 0, arguments.turns, arguments.turns)
        del steps
        first = next(iter(group))
        base = extra_memory(first, arguments.texts)
        for name in group:
            ratio = statistics.median(b / a for a, b in zip(times[first], times[name], strict=True))
            memory = extra_memory(name, arguments.texts)
            milliseconds = 1e3 * statistics.median(times[name])
            print(f"{name:44}{milliseconds:9.1f}{ratio:8.3f}{memory:9.1f}{memory / base:8.3f}", flush=True)


if __name__ == "__main__":
    main()
