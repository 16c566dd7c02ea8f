"""The losses that a student may learn its teacher's scores by, each with its settings to choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from selective_st.functional import listwise_matching_loss, matching_loss, order_loss
from selective_st.kept_runs import Contender
from selective_st.links import ConstantLink, IdentityLink, Link, link_for_thresholds

OfScores = Callable[[Tensor, Tensor], Tensor]  # the student's and the teacher's scores of pairs, to a loss
OURS, SQUARED, EMBEDDINGS = "selective", "squared error", "embedding distillation"
COSENT, KL, DECISIONS = "CoSENTLoss", "softmax KL", "cross entropy of decisions"
_LIST = 16  # pairs with the same first text, at most
_SHAPES = ((0.05, 0.0), (0.05, 0.15), (0.02, 0.0))  # width and floor of the link at a threshold
_SCALES = (20.0, 10.0, 40.0)
_TEMPERATURES = (0.1, 0.05, 0.3)


def contenders(thresholds: Sequence[float], losses: Sequence[str], pairs: int) -> list[Contender]:
    """The losses, each with the settings to choose from; the first of each is tried with every rate.

    Args:
        thresholds: At which will be decided.
        losses: Which losses.
        pairs: How many pairs a text has.

    Returns:
        The contenders.

    Example:
        >>> [each.setting for each in contenders([0.8], ["selective"], 48)]
        ['width 0.05, floor 0', 'width 0.05, floor 0.15', 'width 0.02, floor 0']
    """
    size = max(min(_LIST, pairs // 2), 2)
    scores = -1.0 if min(thresholds) < 0 else 0.0, 1.0
    hump = partial(link_for_thresholds, thresholds, score_range=scores)
    links = {f"width {width:g}, floor {floor:g}": hump(width=width, elsewhere=floor) for width, floor in _SHAPES}
    ours = [Contender(OURS, said, _matching(link), link=link) for said, link in links.items()]
    every = {
        OURS: ours,
        SQUARED: [Contender(SQUARED, "", _matching(IdentityLink()), link=IdentityLink())],
        COSENT: [Contender(COSENT, f"scale {a:g}", partial(_cosent, scale=a)) for a in _SCALES],
        KL: [
            Contender(KL, f"temperature {t:g}", partial(_kl, temperature=t, size=size), list_size=size)
            for t in _TEMPERATURES
        ],
        DECISIONS: [
            Contender(DECISIONS, f"scale {a:g}", partial(_of_decisions, thresholds=thresholds, scale=a))
            for a in _SCALES
        ],
        EMBEDDINGS: [Contender(EMBEDDINGS)],
    }
    return [contender for loss in losses for contender in every[loss]]


def _matching(link: Link) -> OfScores:
    return lambda predicted, target: matching_loss(predicted, target, link)


def _cosent(predicted: Tensor, target: Tensor, scale: float) -> Tensor:
    """That of CoSENTLoss, which is CoSENT's in time B log B."""
    return scale * order_loss(predicted, target, scale=scale)


def _kl(predicted: Tensor, target: Tensor, temperature: float, size: int) -> Tensor:
    """That of DistillKLDivLoss on lists."""
    of_student, of_teacher = (scores.view(-1, size) for scores in (predicted, target))
    return temperature**2 * listwise_matching_loss(of_student, of_teacher, ConstantLink(), temperature)


def _of_decisions(predicted: Tensor, target: Tensor, thresholds: Sequence[float], scale: float) -> Tensor:
    """The binary cross entropy of the teacher's decisions."""
    at = torch.tensor(thresholds, device=predicted.device)
    decided = (target[:, None] >= at).to(predicted.dtype)
    return nn.functional.binary_cross_entropy_with_logits(scale * (predicted[:, None] - at), decided)


def batches(first_texts: Tensor, size: int, generator: torch.Generator, list_size: int) -> Iterator[Tensor]:
    """The pairs of an epoch, batch by batch.

    Args:
        first_texts: The number of each pair's first text.
        size: Pairs in a batch.
        generator: Of their order.
        list_size: How many pairs with the same first text stand together; those left over are left out.

    Yields:
        The numbers of the pairs.
    """
    order = torch.randperm(len(first_texts), generator=generator)
    if list_size > 1:
        order = order[first_texts[order].argsort(stable=True)]
        counts = torch.bincount(first_texts)
        place = torch.arange(len(order)) - (counts.cumsum(0) - counts)[first_texts[order]]
        whole = (counts // list_size * list_size)[first_texts[order]]
        lists = order[place < whole].view(-1, list_size)
        order = lists[torch.randperm(len(lists), generator=generator)].view(-1)
    yield from order.split(max(size // list_size, 1) * list_size)
