"""The losses of the study, each with the settings that are tuned for it on the dev split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses as builtin
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor, nn

from selective_st import losses
from selective_st.functional import listwise_matching_loss, matching_loss
from selective_st.links import ConstantLink, IdentityLink, Link, SigmoidLink, high_scores

Make = Callable[[SentenceTransformer], nn.Module]


@dataclass(frozen=True)
class Contender:
    """A loss with one setting.

    Attributes:
        family: The loss, as the table names it; its settings are tuned against one another.
        setting: What tells it from others of its family.
        make: Makes it for a model.
        selective: Whether it is one of this library.
    """

    family: str
    setting: str
    make: Make
    selective: bool = False


class WeightedSquaredError(nn.Module):
    """The squared error of the cosine, weighted by the label: what one might write instead of a link.

    Args:
        model: The model.
        power: The weight is `label ** power`, of mean 1 over a batch, plus a tenth.
    """

    def __init__(self, model: SentenceTransformer, power: float) -> None:
        super().__init__()
        self.model, self.power = model, power

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The weighted mean."""
        weight = labels.clamp(min=0) ** self.power
        weight = 0.1 + weight / weight.mean().clamp(min=1e-6)
        return (weight * (pairwise_cos_sim(*embeddings) - labels).square()).mean()


class BatchAsList(nn.Module):
    """The pairs of a batch as one list to be ranked, and a pointwise term that places the scores.

    The pointwise loss spends itself on the level of all scores; average precision asks for the order at the top only.

    Args:
        model: The model.
        temperature: Of the Softmax over the batch's scores.
        weight: Of the pointwise term with `high_scores(5)`.
    """

    def __init__(self, model: SentenceTransformer, temperature: float, weight: float) -> None:
        super().__init__()
        self.model, self.temperature, self.weight = model, temperature, weight

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The sum of both, the ranking times the squared temperature."""
        scores = pairwise_cos_sim(*embeddings)
        ranking = listwise_matching_loss(scores[None], labels[None], ConstantLink(), self.temperature, calibration=0.0)
        return ranking * self.temperature**2 + self.weight * matching_loss(scores, labels, high_scores(5.0))


def _many(family: str, settings: Iterable[tuple[str, Make]], *, selective: bool = False) -> list[Contender]:
    return [Contender(family, setting, make, selective) for setting, make in settings]


def _pointwise(link: Link) -> Make:
    return lambda model: losses.SelectivePointwiseLoss(model, link=link)


def _region_links() -> dict[str, Link]:
    """Links for high scores: exponentials, and everything a little with a threshold's region much."""
    found: dict[str, Link] = {f"high_scores({a:g})": high_scores(a) for a in (2.0, 3.0, 5.0, 8.0)}
    for shift in (0.8, 0.9):
        for scale in (10.0, 20.0):
            link = (0.3 * IdentityLink() + SigmoidLink(scale, shift)).normalized(0, 1)
            found[f"0.3 Identity + Sigmoid({scale:g}, {shift:g})"] = link
    return found


def graded() -> list[Contender]:
    """For pairs with a graded score."""
    scales = (10.0, 20.0, 40.0)
    return [
        *_many("CosineSimilarityLoss", [("", lambda model: builtin.CosineSimilarityLoss(model))]),
        *_many("CoSENTLoss", [(f"scale {s:g}", lambda model, s=s: builtin.CoSENTLoss(model, s)) for s in scales]),
        *_many("AnglELoss", [(f"scale {s:g}", lambda model, s=s: builtin.AnglELoss(model, s)) for s in scales]),
        *_many(
            "squared error weighted by label",
            [(f"power {p:g}", lambda model, p=p: WeightedSquaredError(model, p)) for p in (1.0, 2.0, 4.0)],
        ),
        *_many(
            "SelectivePointwiseLoss", [(n, _pointwise(link)) for n, link in _region_links().items()], selective=True
        ),
        *_many(
            "listwise over the batch + pointwise",
            [
                (f"T {t:g}, pointwise {w:g}", lambda model, t=t, w=w: BatchAsList(model, t, w))
                for t in (0.1, 0.2, 0.4)
                for w in (0.03, 0.3)
            ],
            selective=True,
        ),
    ]


def _listwise(temperature: float, **options: Any) -> Make:
    return lambda model: losses.SelectiveListwiseLoss(model, pairwise_cos_sim, temperature, **options)


def distillation() -> list[Contender]:
    """For lists of candidates with a teacher's scores."""
    temperatures = (0.1, 0.3, 1.0)
    calibrated = [
        (
            f"T {t:g}, calibration {c:g} by high_scores({a:g})",
            _listwise(t, link=ConstantLink(), calibration=c, calibration_link=high_scores(a)),
        )
        for t in (0.1, 0.3)
        for c in (0.03, 0.1, 0.3, 1.0)
        for a in (1.0, 3.0)
    ]
    return [
        *_many("CosineSimilarityLoss", [("", lambda model: losses.SelectivePointwiseLoss(model, IdentityLink()))]),
        *_many("MarginMSELoss", [("", lambda model: builtin.MarginMSELoss(model, pairwise_cos_sim))]),
        *_many(
            "DistillKLDivLoss",
            [
                (f"T {t:g}", lambda model, t=t: builtin.DistillKLDivLoss(model, pairwise_cos_sim, temperature=t))
                for t in temperatures
            ],
        ),
        *_many(
            "SelectivePointwiseLoss",
            [(f"high_scores({a:g})", _pointwise(high_scores(a))) for a in (1.0, 3.0, 5.0)],
            selective=True,
        ),
        *_many("SelectiveListwiseLoss", calibrated, selective=True),
    ]


def _value_links() -> dict[str, Link]:
    """Links for lists and batches."""
    return {f"high_scores({a:g}) by value": high_scores(a).normalized(0, 1, of="value") for a in (0.5, 1.0, 2.0)} | {
        "constant": ConstantLink()
    }


def in_batch() -> list[Contender]:
    """For positives, with or without hard negatives."""
    scales = (10.0, 20.0, 40.0)
    ours = losses.SelectiveMultipleNegativesRankingLoss
    return [
        *_many(
            "MultipleNegativesRankingLoss",
            [(f"scale {s:g}", lambda model, s=s: builtin.MultipleNegativesRankingLoss(model, s)) for s in scales],
        ),
        *_many(
            "SelectiveMultipleNegativesRankingLoss",
            [
                (f"scale {s:g}, {name}", lambda model, s=s, link=link: ours(model, s, link=link))
                for s in scales
                for name, link in _value_links().items()
                if name != "constant"
            ]
            + [
                (f"scale {s:g}, {name}, smoothing 0.1", lambda m, s=s, k=k: ours(m, s, link=k, label_smoothing=0.1))
                for s in scales
                for name, k in list(_value_links().items())[1:2]
            ],
            selective=True,
        ),
    ]


def answers() -> list[Contender]:
    """For questions with candidates, right or wrong."""
    temperatures = (0.05, 0.1, 0.2)
    return [
        *_many("CosineSimilarityLoss", [("", lambda model: losses.SelectivePointwiseLoss(model, IdentityLink()))]),
        *_many("MarginMSELoss", [("", lambda model: builtin.MarginMSELoss(model, pairwise_cos_sim))]),
        *_many(
            "DistillKLDivLoss",
            [
                (f"T {t:g}", lambda model, t=t: builtin.DistillKLDivLoss(model, pairwise_cos_sim, temperature=t))
                for t in temperatures
            ],
        ),
        *_many(
            "SelectivePointwiseLoss",
            [(f"high_scores({a:g})", _pointwise(high_scores(a))) for a in (1.0, 3.0)],
            selective=True,
        ),
        *_many(
            "SelectiveListwiseLoss",
            [
                (f"T {t:g}, {name}, labels", _listwise(t, link=link, targets="labels"))
                for t in temperatures
                for name, link in _value_links().items()
            ]
            + [
                (f"T {t:g}, constant, calibration {c:g}", _listwise(t, link=ConstantLink(), calibration=c))
                for t in temperatures
                for c in (0.0, 0.1)
            ],
            selective=True,
        ),
    ]


torch.set_num_threads(1)
