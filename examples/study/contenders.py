"""The losses of the study, each with the settings that are tuned for it on the dev split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.cross_encoder import losses as cross_builtin
from sentence_transformers.cross_encoder.losses.lambda_loss import (
    BaseWeightingScheme,
    LambdaRankScheme,
    NDCGLoss2PPScheme,
)
from sentence_transformers.sentence_transformer import losses as builtin
from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor, nn

from selective_st import losses
from selective_st.cross_encoder import losses as cross_losses
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink, high_scores

Make = Callable[[Any], nn.Module]
CALIBRATIONS = (0.03, 0.1, 0.3)


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


class OfPairs(nn.Module):
    """A loss of pairs on lists: each candidate with its query.

    Args:
        loss: The loss; it must have `compute_loss_from_embeddings`.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss: Any = loss

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of all pairs."""
        query, *candidates = embeddings
        pairs = [query.repeat(len(candidates), 1), torch.cat(candidates)]
        found: Tensor = self.loss.compute_loss_from_embeddings(pairs, labels.T.reshape(-1))
        return found


def _many(family: str, settings: Iterable[tuple[str, Make]], *, selective: bool = False) -> list[Contender]:
    return [Contender(family, setting, make, selective) for setting, make in settings]


def _pointwise(link: Link, **options: Any) -> Make:
    return lambda model: losses.SelectivePointwiseLoss(model, link=link, **options)


def _region_links() -> dict[str, Link]:
    """Links for high scores: exponentials, and everything a little with a threshold's region much."""
    found: dict[str, Link] = {f"high_scores({a:g})": high_scores(a) for a in (2.0, 3.0, 5.0, 8.0)}
    for scale in (10.0, 20.0):
        link = (0.3 * IdentityLink() + SigmoidLink(scale, 0.9)).normalized(0, 1)
        found[f"0.3 Identity + Sigmoid({scale:g}, 0.9)"] = link
    return found


def _list_over_batch(temperature: float, steepness: float) -> Make:
    """The pairs of a batch as one list: average precision asks for the order at the top, not for the scores' level."""
    return _listwise(
        temperature,
        link=high_scores(steepness).normalized(0, 1, of="value"),
        calibration=0.3,
        calibration_link=high_scores(5.0),
        lists="batch",
    )


def _order(scale: float, strength: float) -> Make:
    link = high_scores(2.0).normalized(0, 1, of="value")
    return lambda model: losses.SelectiveOrderLoss(model, scale, link=link, weight_link=high_scores(strength))


def graded() -> list[Contender]:
    """For pairs with a graded score."""
    scales = (1.0, 2.5, 5.0, 10.0, 20.0)
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
            "SelectiveOrderLoss",
            [
                (f"scale {s:g}, high_scores(2) by value, weights high_scores({w:g})", _order(s, w))
                for s in (5.0, 10.0, 20.0)
                for w in (3.0, 5.0)
            ],
            selective=True,
        ),
        *_many(
            "SelectiveListwiseLoss over the batch",
            [
                (f"T {t:g}, high_scores({a:g}) by value", _list_over_batch(t, a))
                for t in (0.4, 0.8, 1.6)
                for a in (1.0, 2.0, 3.0)
            ],
            selective=True,
        ),
    ]


def graded_of_encoder() -> list[Contender]:
    """The same, a few settings of each: a run takes minutes."""
    kept = (
        "", "scale 5", "scale 20", "high_scores(2)", "high_scores(5)",
        "T 0.4, high_scores(2) by value", "T 0.8, high_scores(2) by value",
        "scale 20, high_scores(2) by value, weights high_scores(3)",
    )  # fmt: skip
    # AnglELoss at its default scale only.
    return [c for c in graded() if c.setting in kept and (c.family, c.setting) != ("AnglELoss", "scale 5")]


def _listwise(temperature: float, **options: Any) -> Make:
    return lambda model: losses.SelectiveListwiseLoss(model, pairwise_cos_sim, temperature, **options)


def distillation() -> list[Contender]:
    """For lists of candidates with a teacher's scores: one entry for each weight of calibration, a line of points."""
    builtins = [
        *_many("CosineSimilarityLoss", [("", lambda model: losses.SelectivePointwiseLoss(model, IdentityLink()))]),
        *_many("MarginMSELoss", [("", lambda model: builtin.MarginMSELoss(model, pairwise_cos_sim))]),
        *_many(
            "DistillKLDivLoss",
            [
                (f"T {t:g}", lambda model, t=t: builtin.DistillKLDivLoss(model, pairwise_cos_sim, temperature=t))
                for t in (0.3, 1.0, 3.0)
            ],
        ),
    ]
    pointwise = [(f"high_scores({a:g})", _pointwise(high_scores(a))) for a in (1.0, 3.0)]
    found = [*builtins, *_many("SelectivePointwiseLoss", pointwise, selective=True)]
    for name, link in (("IdentityLink", IdentityLink()), ("high_scores(3)", high_scores(3.0))):
        for c in CALIBRATIONS:
            make = _listwise(1.0, link=ConstantLink(), calibration=c, calibration_link=link)
            found += _many(f"SelectiveListwiseLoss, {name} {c:g}", [("T 1", make)], selective=True)
    return found


def _value_links() -> dict[str, Link]:
    """Links for lists and batches."""
    return {f"high_scores({a:g}) by value": high_scores(a).normalized(0, 1, of="value") for a in (0.5, 1.0, 2.0)} | {
        "constant": ConstantLink()
    }


def in_batch() -> list[Contender]:
    """For positives, with or without hard negatives."""
    scales = (2.5, 5.0, 10.0, 20.0)
    both: dict[str, Any] = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    theirs, ours = builtin.MultipleNegativesRankingLoss, losses.SelectiveMultipleNegativesRankingLoss
    links = {f"high_scores({a:g}) by value": high_scores(a).normalized(0, 1, of="value") for a in (0.5, 1.0, 2.0)}
    name, middle = list(links.items())[1]

    def selective(scale: float, link: Link, **options: Any) -> Make:
        return lambda model: ours(model, scale, link=link, **options)

    return [
        *_many(
            "MultipleNegativesRankingLoss",
            [(f"scale {s:g}", lambda model, s=s: theirs(model, s)) for s in scales]
            + [(f"scale {s:g}, both directions", lambda model, s=s: theirs(model, s, **both)) for s in (10.0, 20.0)],
        ),
        *_many(
            "SelectiveMultipleNegativesRankingLoss",
            [(f"scale {s:g}, {n}", selective(s, link)) for s in scales for n, link in links.items()]
            + [(f"scale {s:g}, {name}, both directions", selective(s, middle, **both)) for s in (10.0, 20.0)]
            + [(f"scale {s:g}, {name}, smoothing 0.1", selective(s, middle, label_smoothing=0.1)) for s in (5.0, 10.0)],
            selective=True,
        ),
    ]


def in_batch_one_way() -> list[Contender]:
    """The same, from query to document only and without smoothing, at the scales that matter."""
    return [c for c in in_batch() if "," not in c.setting.replace(", high", "") and "2.5" not in c.setting]


def in_batch_with_hard_negatives() -> list[Contender]:
    """The same, and losses of triplets."""
    triplets = _many(
        "TripletLoss",
        [
            (f"margin {m:g}", lambda model, m=m: builtin.TripletLoss(model, TripletDistanceMetric.COSINE, m))
            for m in (0.1, 0.25, 0.5)
        ],
    )
    pairwise = _many(
        "SelectivePairwiseLoss",
        [
            (
                f"T {t:g}, {name}",
                lambda model, t=t, link=link: losses.SelectivePairwiseLoss(
                    model, pairwise_cos_sim, temperature=t, link=link
                ),
            )
            for t in (0.1, 0.2, 0.4, 0.8)
            for name, link in _value_links().items()
            if "0.5" not in name
        ],
        selective=True,
    )
    return [*triplets, *in_batch(), *pairwise]


def answers() -> list[Contender]:
    """For questions with candidates, right or wrong."""
    temperatures, margins = (0.05, 0.1, 0.2), (0.25, 0.5, 1.0)
    return [
        *_many("CosineSimilarityLoss", [("", lambda model: losses.SelectivePointwiseLoss(model, IdentityLink()))]),
        *_many(
            "ContrastiveLoss",
            [(f"margin {m:g}", lambda model, m=m: OfPairs(builtin.ContrastiveLoss(model, margin=m))) for m in margins],
        ),
        *_many(
            "OnlineContrastiveLoss",
            [
                (f"margin {m:g}", lambda model, m=m: OfPairs(builtin.OnlineContrastiveLoss(model, margin=m)))
                for m in margins
            ],
        ),
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
            [
                *((f"high_scores({a:g})", _pointwise(high_scores(a))) for a in (1.0, 3.0)),
                *(
                    (f"Sigmoid({a:g}, {c:g}), link values", _pointwise(SigmoidLink(a, c), targets="link_values"))
                    for a in (10.0, 20.0)
                    for c in (0.3, 0.5, 0.7)
                ),
            ],
            selective=True,
        ),
        *_many(
            "SelectiveListwiseLoss",
            [
                (f"T {t:g}, {name}, labels", _listwise(t, link=link, targets="labels"))
                for t in (*temperatures, 0.4)
                for name, link in _value_links().items()
            ],
            selective=True,
        ),
    ]


def of_teacher_embeddings(dimension: int | None, *, sums: bool) -> list[Contender]:
    """For a teacher's embeddings: each text alone, or for the KL divergence mined lists with their scores.

    Args:
        dimension: Of the teacher's embeddings, to project onto; None where the student's are as many.
        sums: Whether sums of two losses are among them.

    Returns:
        The losses.
    """

    def ours(temperature: float, calibration: float) -> Make:
        return lambda model: losses.SelectiveEmbedDistillLoss(model, temperature=temperature, calibration=calibration)

    def both(weight: float) -> Make:
        return lambda model: Sum(embed("cosine")(model), ours(0.3, 3)(model), weight)

    def embed(metric: Any) -> Make:
        return lambda model: builtin.EmbedDistillLoss(model, metric, projection_dim=dimension)

    return [
        *_many("MSELoss", [("", lambda model: builtin.MSELoss(model, projection_dim=dimension))]),
        *_many("EmbedDistillLoss", [(metric, embed(metric)) for metric in ("cosine", "l2")]),
        *_many(
            "DistillKLDivLoss",
            [
                (f"T {t:g}", lambda model, t=t: builtin.DistillKLDivLoss(model, pairwise_cos_sim, temperature=t))
                for t in (0.05, 0.1, 0.3, 1.0)
            ],
        ),
        *_many(
            "SelectiveEmbedDistillLoss",
            [(f"T {t:g}, calibration {c:g}", ours(t, c)) for t, c in ((0.1, 3), (0.3, 3), (0.3, 10), (1, 10))],
            selective=True,
        ),
        *_many(
            "SelectiveEmbedDistillLoss and EmbedDistillLoss",
            [(f"T 0.3, calibration 3; cosine, {w:g} times", both(w)) for w in (3, 10, 30) if sums],
            selective=True,
        ),
    ]


def of_teacher_embeddings_by_layers() -> list[Contender]:
    """One setting of each, and two temperatures of those that have one: runs take minutes."""
    kept = ("", "cosine", "T 0.1", "T 0.3", "T 0.1, calibration 3", "T 0.3, calibration 10")
    return [c for c in of_teacher_embeddings(None, sums=False) if c.setting in kept]


def rerankers() -> list[Contender]:
    """For cross encoders: questions with candidates, right or wrong."""

    def listwise(temperature: float, steepness: float, **options: Any) -> Make:
        link = high_scores(steepness).normalized(0, 1, of="value") if steepness else ConstantLink()
        squash = nn.Sigmoid() if steepness else None
        return lambda model: cross_losses.SelectiveListwiseLoss(
            model, squash, temperature=temperature, link=link, targets="labels", **options
        )

    def binary(weight: float) -> Make:
        return lambda model: cross_builtin.BinaryCrossEntropyLoss(model, pos_weight=torch.tensor(weight))

    def lambda_loss(scheme: type[BaseWeightingScheme]) -> Make:
        return lambda model: cross_builtin.LambdaLoss(model, weighting_scheme=scheme())

    return [
        *_many("BinaryCrossEntropyLoss", [("", binary(1.0)), ("pos_weight 3", binary(3.0))]),
        *_many("ListNetLoss", [("", lambda model: cross_builtin.ListNetLoss(model))]),
        *_many(
            "RankNetLoss",
            [
                ("", lambda model: cross_builtin.RankNetLoss(model)),
                ("sigma 2", lambda model: cross_builtin.RankNetLoss(model, sigma=2.0)),
            ],
        ),
        *_many("LambdaLoss", [("", lambda_loss(NDCGLoss2PPScheme)), ("LambdaRank", lambda_loss(LambdaRankScheme))]),
        *_many(
            "SelectiveListwiseLoss",
            [
                ("constant", listwise(1.0, 0.0)),
                ("Sigmoid, T 0.1, high_scores(1) by value", listwise(0.1, 1.0)),
                ("Sigmoid, T 0.1, high_scores(2) by value", listwise(0.1, 2.0)),
                ("default link, relevances", lambda model: cross_losses.SelectiveListwiseLoss(model, calibration=0.0)),
                (
                    "Sigmoid, T 0.1, high_scores(1) by value, smoothing 0.3",
                    listwise(0.1, 1.0, label_smoothing=0.3),
                ),
            ],
            selective=True,
        ),
    ]


class Sum(nn.Module):
    """A multiple of a loss, and another on the same batch."""

    def __init__(self, loss: nn.Module, other: nn.Module, weight: float) -> None:
        super().__init__()
        self.losses: Any = nn.ModuleList([loss, other])
        self.weight = weight

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Any) -> Tensor:
        """The sum."""
        first, second = (loss.compute_loss_from_embeddings(embeddings, labels) for loss in self.losses)
        found: Tensor = self.weight * first + second
        return found


class Scaled(nn.Module):
    """Logits times a factor, for losses that have no argument for it."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        """The product."""
        return self.factor * logits


def rerankers_by_order() -> list[Contender]:
    """Losses of order for cross encoders, three settings each; gains and discounts are those of NDCG."""

    def order(scale: float, link: Link | None = None) -> Make:
        return lambda model: cross_losses.SelectiveOrderLoss(
            model,
            None if link is None else nn.Sigmoid(),
            scale=scale,
            link=link,
            weight_link=ExponentialLink(math.log(2)),
            discounts=True,
        )

    def lambda_rank(sigma: float) -> Make:
        return lambda model: cross_builtin.LambdaLoss(model, LambdaRankScheme(), sigma=sigma)

    factors = (0.5, 1.0, 2.0)
    by_value = high_scores(2.0).normalized(0, 1, of="value")
    return [
        *_many(
            "ListNetLoss",
            [(f"logits times {f:g}", lambda m, f=f: cross_builtin.ListNetLoss(m, Scaled(f))) for f in factors],
        ),
        *_many(
            "RankNetLoss", [(f"sigma {f:g}", lambda m, f=f: cross_builtin.RankNetLoss(m, sigma=f)) for f in factors]
        ),
        *_many(
            "LambdaLoss",
            [
                ("NDCGLoss2++", lambda model: cross_builtin.LambdaLoss(model)),
                *((f"LambdaRank, sigma {f:g}", lambda_rank(f)) for f in (1.0, 2.0)),
            ],
        ),
        *_many(
            "SelectiveOrderLoss",
            [
                *((f"gains, discounts, scale {f:g}", order(f)) for f in (1.0, 2.0)),
                ("gains, discounts, Sigmoid, scale 10, high_scores(2) by value", order(10.0, by_value)),
            ],
            selective=True,
        ),
    ]


torch.set_num_threads(1)
