"""Naive references of the losses: loops over rows and candidates, written from the formulas and from nothing else.

Losses of a list are computed in 50-digit mpmath, where cancellation costs nothing. The in-batch loss is a loop over
single scores in torch, so that its gradients come from automatic differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath as mp
import torch
from torch import Tensor

from selective_st.links import (
    ConstantLink,
    ExponentialLink,
    Link,
    PiecewiseLink,
    SigmoidLink,
    register_link,
)
from tests.link_cases import LinkCase

mp.mp.dps = 50

Numbers = Sequence[float]


def total(values: Sequence[mp.mpf]) -> mp.mpf:
    return sum(values, mp.mpf(0))


def log_softmax(logits: Sequence[mp.mpf]) -> list[mp.mpf]:
    log_sum = mp.log(total([mp.exp(logit) for logit in logits]))
    return [logit - log_sum for logit in logits]


# --- Lists, in mpmath ----------------------------------------------------------------------------------------------


def pairwise(positive: float, negatives: Numbers, case: LinkCase, temperature: float) -> list[mp.mpf]:
    """`softplus((G(n) - G(p)) / T)` for each negative of one row."""
    p = mp.mpf(positive)
    return [mp.log(1 + mp.exp((case.H(mp.mpf(n)) - case.H(p)) / mp.mpf(temperature))) for n in negatives]


def pairwise_gradient(positive: float, negative: float, case: LinkCase, temperature: float) -> tuple[mp.mpf, mp.mpf]:
    """The derivatives with respect to the positive and the negative score."""
    p, n, t = mp.mpf(positive), mp.mpf(negative), mp.mpf(temperature)
    share = 1 / (1 + mp.exp((case.H(p) - case.H(n)) / t))
    return -share * case.h(p) / t, share * case.h(n) / t


def listwise_matching(
    predicted: Numbers,
    target: Numbers,
    case: LinkCase,
    temperature: float,
    *,
    calibration: float = 1.0,
    calibration_case: LinkCase | None = None,
    target_temperature: float | None = None,
) -> tuple[mp.mpf, list[mp.mpf]]:
    """One row's loss and its gradient; a NaN in `target` is a candidate that is not there."""
    there = [k for k, s in enumerate(target) if not math.isnan(s)]
    zero = [mp.mpf(0)] * len(target)
    if not there:
        return mp.mpf(0), zero
    scores = calibration_case or case
    t = mp.mpf(temperature)
    t_target = t if target_temperature is None else mp.mpf(target_temperature)
    p, s = ({k: mp.mpf(values[k]) for k in there} for values in (predicted, target))
    log_q = dict(zip(there, log_softmax([case.H(s[k]) / t_target for k in there]), strict=True))
    log_r = dict(zip(there, log_softmax([case.H(p[k]) / t for k in there]), strict=True))
    ranking = total([mp.exp(log_q[k]) * (log_q[k] - log_r[k]) for k in there])
    weight = mp.mpf(calibration) / t
    placing = total([mp.exp(log_q[k]) * scores.divergence(p[k], s[k]) for k in there])
    gradient = zero
    for k in there:
        q, r = mp.exp(log_q[k]), mp.exp(log_r[k])
        gradient[k] = case.h(p[k]) / t * (r - q) + weight * q * scores.difference(p[k], s[k])
    return ranking + weight * placing, gradient


def composite_divergence(predicted: Numbers, target: Numbers, case: LinkCase, temperature: float) -> mp.mpf:
    """The Bregman divergence of `log sum_k exp(G(z_k) / T)`, by its definition."""
    t = mp.mpf(temperature)
    p, s = [mp.mpf(x) for x in predicted], [mp.mpf(x) for x in target]

    def potential(z: list[mp.mpf]) -> mp.mpf:
        return mp.log(total([mp.exp(case.H(x) / t) for x in z]))

    q = [mp.exp(x) for x in log_softmax([case.H(x) / t for x in s])]
    links = [case.h(s[k]) / t * q[k] for k in range(len(s))]
    return potential(p) - potential(s) - total([(p[k] - s[k]) * links[k] for k in range(len(s))])


def listwise_label(
    predicted: Numbers, probabilities: Numbers, case: LinkCase, temperature: float, *, label_smoothing: float = 0.0
) -> tuple[mp.mpf, list[mp.mpf]]:
    """One row's loss and its gradient; a NaN in `probabilities` is a candidate that is not there."""
    there = [k for k, y in enumerate(probabilities) if not math.isnan(y)]
    gradient = [mp.mpf(0)] * len(predicted)
    if not there:
        return mp.mpf(0), gradient
    e, t = mp.mpf(label_smoothing), mp.mpf(temperature)
    p = {k: mp.mpf(predicted[k]) for k in there}
    y = {k: (1 - e) * mp.mpf(probabilities[k]) + e / len(there) for k in there}
    log_r = dict(zip(there, log_softmax([case.H(p[k]) / t for k in there]), strict=True))
    for k in there:
        gradient[k] = case.h(p[k]) / t * (mp.exp(log_r[k]) * total(list(y.values())) - y[k])
    return -total([y[k] * log_r[k] for k in there]), gradient


# --- In-batch, a loop over single scores ------------------------------------------------------------------------


@register_link
class OwnPositiveLink(Link):
    """A user's own link: nothing but h, positive everywhere."""

    def h(self, z: Tensor) -> Tensor:
        return 2 + torch.atan(3 * z)


@dataclass(frozen=True)
class PositiveLink:
    """A link of positive values, with its h and H in torch, for a loop to use."""

    name: str
    link: Link
    h: Callable[[Tensor], Tensor]
    H: Callable[[Tensor], Tensor]

    def divergence(self, p: Tensor, s: Tensor) -> Tensor:
        return self.H(p) - self.H(s) - (p - s) * self.h(s)


def _ramp(z: Tensor) -> Tensor:
    """Of the `PiecewiseLink` below: its slope is 0 up to -0.5, rises to 2 at 0.5, and stays."""
    x = z + 0.5
    return torch.where(x < 0, 0, torch.where(x < 1, x**2, 2 * x - 1))


def _ramp_potential(z: Tensor) -> Tensor:
    x = z + 0.5
    return torch.where(x < 0, 0, torch.where(x < 1, x**3 / 3, x**2 - x + 1 / 3))


CONSTANT = PositiveLink("constant", ConstantLink(), torch.ones_like, lambda z: z)
_MEAN = math.expm1(1.0)  # of e^z over [0, 1]
POSITIVE_LINKS = [
    CONSTANT,
    PositiveLink(
        "exponential(1) of mean value 1",
        ExponentialLink(1.0).normalized(0, 1, of="value"),
        lambda z: torch.exp(z) / _MEAN,
        lambda z: torch.exp(z) / _MEAN,
    ),
    PositiveLink("exponential(3)", ExponentialLink(3.0), lambda z: torch.exp(3 * z), lambda z: torch.exp(3 * z) / 3),
    PositiveLink(
        "sigmoid(8, 0.3)",
        SigmoidLink(8.0, 0.3),
        lambda z: torch.sigmoid(8 * (z - 0.3)),
        lambda z: torch.log(1 + torch.exp(8 * (z - 0.3))) / 8,
    ),
    PositiveLink("piecewise", PiecewiseLink([-0.5, 0.5], [0.0, 2.0]), _ramp, _ramp_potential),
    PositiveLink(
        "0.3 constant + exponential(2)",
        0.3 * ConstantLink() + ExponentialLink(2.0),
        lambda z: 0.3 + torch.exp(2 * z),
        lambda z: 0.3 * z + torch.exp(2 * z) / 2,
    ),
    PositiveLink(
        "exponential(2), linear from 0.5 on",
        ExponentialLink(2.0).linear_outside(None, 0.5),
        lambda z: torch.exp(2 * z.clamp(max=0.5)) * (1 + 2 * (z - 0.5).clamp(min=0)),
        lambda z: torch.exp(2 * z.clamp(max=0.5)) * (0.5 + (z - 0.5).clamp(min=0) + (z - 0.5).clamp(min=0) ** 2),
    ),
    PositiveLink(
        "own link: 2 + arctan",
        OwnPositiveLink(),
        lambda z: 2 + torch.atan(3 * z),
        lambda z: 2 * z + z * torch.atan(3 * z) - torch.log(1 + 9 * z * z) / 6,
    ),
]


def _log_sum(logits: list[Tensor]) -> Tensor:
    return torch.logsumexp(torch.stack(logits), 0)


def in_batch(
    queries: Tensor,
    documents: list[Tensor],
    link: PositiveLink,
    scale: float,
    *,
    directions: Sequence[str] = ("query_to_doc",),
    partition_mode: str = "joint",
    hardness_mode: str | None = None,
    hardness_strength: float = 0.0,
    label_smoothing: float = 0.0,
    document_ids: Sequence[int] | None = None,
    keep: Tensor | None = None,
    target_scores: Tensor | None = None,
    weight: Tensor | None = None,
    calibration: float = 1.0,
    calibration_link: PositiveLink | None = None,
    rows: tuple[int, int] | None = None,
) -> Tensor:
    """The in-batch loss; `documents` are the positives, then each column of hard negatives.

    A document with the text of the positive, or that is not kept, is left out, unless it is the positive or the teacher
    has scored it.
    """
    count, columns = len(queries), len(documents)
    ids = None if document_ids is None else [int(x) for x in document_ids]

    def is_taught(i: int, column: int, k: int) -> bool:
        """Whether the teacher has scored document k for query i."""
        if target_scores is None:
            return False
        if target_scores.shape[1] == count * columns:
            return not bool(target_scores[i, k].isnan())
        return k == column * count + i and not bool(target_scores[i, column].isnan())

    of_rows = []
    for i in range(*(rows or (0, count))):
        logits: dict[str, list[Tensor]] = {direction: [] for direction in directions}
        scores: dict[int, Tensor] = {}  # of this query with each document that counts
        place: dict[int, int] = {}  # of each such document among the logits
        for column in range(columns):
            for j in range(count):
                own, k = i == j, column * count + j
                positive = own and column == 0
                same = ids is not None and ids[k] == ids[i]
                dropped = keep is not None and not keep[i - (rows or (0, 0))[0], k]
                if (same or dropped) and not positive and not is_taught(i, column, k):
                    continue
                score = (queries[i] * documents[column][j]).sum()
                logit = scale * link.H(score)
                if (
                    hardness_mode is not None
                    and {
                        "in_batch_negatives": not own,
                        "hard_negatives": own and column > 0,
                        "all_negatives": not positive,
                    }[hardness_mode]
                ):
                    logit = logit + hardness_strength * score.detach()
                scores[k], place[k] = score, len(logits["query_to_doc"])
                logits["query_to_doc"].append(logit)
        for j in range(count):
            same = ids is not None and ids[i] == ids[j]
            if "query_to_query" in directions and j != i and not same:
                logits["query_to_query"].append(scale * link.H((queries[i] * queries[j]).sum()))
            if "doc_to_query" in directions and (j == i or not same):
                logits["doc_to_query"].append(scale * link.H((documents[0][i] * queries[j]).sum()))
            for column in range(columns):
                same = ids is not None and ids[i] == ids[column * count + j]
                if "doc_to_doc" in directions and j != i and not same:
                    logits["doc_to_doc"].append(scale * link.H((documents[0][i] * documents[column][j]).sum()))

        positive_logit = logits["query_to_doc"][place[i]]

        def cross_entropy(candidates: list[Tensor], positive_logit: Tensor = positive_logit) -> Tensor:
            smoothed = label_smoothing * torch.stack(candidates).mean()
            return _log_sum(candidates) - (1 - label_smoothing) * positive_logit - smoothed

        def matching(
            candidates: list[Tensor],
            i: int = i,
            own_logits: list[Tensor] = logits["query_to_doc"],
            scores: dict[int, Tensor] = scores,
            place: dict[int, int] = place,
        ) -> Tensor:
            assert target_scores is not None
            of_all = target_scores.shape[1] == count * columns
            known = {k: target_scores[i, k if of_all else k // count] for k in scores if is_taught(i, k // count, k)}
            of_targets = scale * link.H(torch.stack(list(known.values())))
            log_q = of_targets - torch.logsumexp(of_targets, 0)
            log_r = torch.stack([own_logits[place[k]] for k in known]) - _log_sum(candidates)
            p, t = torch.stack([scores[k] for k in known]), torch.stack(list(known.values()))
            placing = (calibration_link or link).divergence(p, t)
            return (log_q.exp() * (log_q - log_r + calibration * scale * placing)).sum()

        of_queries = cross_entropy if target_scores is None else matching
        if partition_mode == "joint":
            of_rows.append(of_queries([logit for direction in directions for logit in logits[direction]]))
        else:
            losses = [
                (of_queries if direction == "query_to_doc" else cross_entropy)(logits[direction])
                for direction in directions
            ]
            of_rows.append(sum(losses[1:], losses[0]) / len(losses))
    if weight is None:
        return torch.stack(of_rows).mean()
    total = sum(float(w) for w in weight)
    return sum((float(w) * row for w, row in zip(weight, of_rows, strict=True)), 0 * of_rows[0]) / (total or 1)
