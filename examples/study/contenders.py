"""The losses of the study, each with the settings that are tuned for it on the dev split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.cross_encoder import losses as cross_builtin
from sentence_transformers.cross_encoder.losses.lambda_loss import LambdaRankScheme, NDCGLoss2PPScheme
from sentence_transformers.sentence_transformer import losses as builtin
from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric
from sentence_transformers.util import pairwise_cos_sim
from torch import Tensor, nn

from selective_st import losses
from selective_st.cross_encoder import losses as cross_losses
from selective_st.links import ConstantLink, ExponentialLink, IdentityLink, Link, SigmoidLink, high_scores

Make = Callable[[Any], nn.Module]
Families = dict[str, dict[str, Make]]  # of each loss, as the table names it, the settings by their names


@dataclass(frozen=True)
class Contender:
    """A loss with one setting.

    Attributes:
        family: The loss, as the table names it; its settings are tuned against one another.
        setting: What tells it from others of its family.
        make: Makes it for a model.
    """

    family: str
    setting: str
    make: Make

    @property
    def selective(self) -> bool:
        """Whether it is one of this library."""
        return self.family.startswith("Selective")


def contenders(families: Families) -> list[Contender]:
    """Each loss with each of its settings."""
    return [Contender(family, setting, make) for family, made in families.items() for setting, make in made.items()]


class WeightedSquaredError(nn.Module):
    """The squared error of the cosine, weighted by a power of the label: what one might write instead of a link.

    Args:
        model: The model.
        power: The weight is `label ** power`, of mean 1 over a batch.
        more: What is added to the label before, and to the weight after.
    """

    def __init__(self, model: SentenceTransformer, power: float, more: tuple[float, float] = (0.0, 0.1)) -> None:
        super().__init__()
        self.model, self.power, self.more = model, power, more

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The weighted mean."""
        weight = (labels.clamp(min=0) + self.more[0]) ** self.power
        weight = self.more[1] + weight / weight.mean().clamp(min=1e-6)
        return (weight * (pairwise_cos_sim(*embeddings) - labels).square()).mean()


class OfPairs(nn.Module):
    """A loss of pairs, which has `compute_loss_from_embeddings`, on lists: each candidate with its query."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss: Any = loss

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """The loss of all pairs."""
        query, *candidates = embeddings
        pairs = [query.repeat(len(candidates), 1), torch.cat(candidates)]
        found: Tensor = self.loss.compute_loss_from_embeddings(pairs, labels.T.reshape(-1))
        return found


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


def by_value(strength: float) -> Link:
    """A link for high scores with the mean value 1 on the scores from 0 to 1; constant for 0."""
    return high_scores(strength).normalized(0, 1, of="value") if strength else ConstantLink()


def _pointwise(link: Link, **options: Any) -> Make:
    return partial(losses.SelectivePointwiseLoss, link=link, **options)


def _of_steepness(*strengths: float) -> dict[str, Make]:
    return {f"high_scores({a:g})": _pointwise(high_scores(a)) for a in strengths}


def _listwise(temperature: float, **options: Any) -> Make:
    return partial(losses.SelectiveListwiseLoss, similarity_fct=pairwise_cos_sim, temperature=temperature, **options)


def _kl(*temperatures: float) -> dict[str, Make]:
    made = partial(builtin.DistillKLDivLoss, similarity_fct=pairwise_cos_sim)
    return each("T", made, "temperature", temperatures)


def order(scale: float, strength: float, weights: float) -> dict[str, Make]:
    """SelectiveOrderLoss with high scores as potential and as weights, by the name of this setting."""
    made = partial(losses.SelectiveOrderLoss, scale=scale, link=by_value(strength), weight_link=high_scores(weights))
    return {f"scale {scale:g}, high_scores({strength:g}) by value, weights high_scores({weights:g})": made}


def each(named: str, make: Any, argument: str, values: Iterable[float]) -> dict[str, Make]:
    """A loss with each value of an argument, by the names of these settings."""
    return {f"{named} {value:g}": partial(make, **{argument: value}) for value in values}


def scales(loss: Any, of: Iterable[float]) -> dict[str, Make]:
    """A loss with several scales."""
    return each("scale", loss, "scale", of)


def graded() -> list[Contender]:
    """For pairs with a graded score."""
    every = (1.0, 2.5, 5.0, 10.0, 20.0)
    region = {
        f"0.3 Identity + Sigmoid({a:g}, 0.9)": _pointwise((0.3 * IdentityLink() + SigmoidLink(a, 0.9)).normalized(0, 1))
        for a in (10.0, 20.0)
    }
    # The pairs of a batch as one list: average precision asks for the order at the top, not for the scores' level.
    as_list: dict[str, Any] = {"calibration": 0.3, "calibration_link": high_scores(5.0), "lists": "batch"}
    return contenders(
        {
            "CosineSimilarityLoss": {"": builtin.CosineSimilarityLoss},
            "CoSENTLoss": scales(builtin.CoSENTLoss, every),
            "AnglELoss": scales(builtin.AnglELoss, every),
            "squared error weighted by label": each("power", WeightedSquaredError, "power", (1, 2, 4)),
            "SelectivePointwiseLoss": _of_steepness(2, 3, 5, 8) | region,
            "SelectiveOrderLoss": {
                setting: make for s, w in product((5, 10, 20), (3, 5)) for setting, make in order(s, 2, w).items()
            },
            "SelectiveListwiseLoss over the batch": {
                f"T {t:g}, high_scores({a:g}) by value": _listwise(t, link=by_value(a), **as_list)
                for t, a in product((0.4, 0.8, 1.6), (1.0, 2.0, 3.0))
            },
        }
    )


def graded_of_encoder() -> list[Contender]:
    """The same, a few settings of each: a run takes minutes."""
    kept = (
        "", "scale 5", "scale 20", "high_scores(2)", "high_scores(5)",
        "T 0.4, high_scores(2) by value", "T 0.8, high_scores(2) by value",
        "scale 20, high_scores(2) by value, weights high_scores(3)",
    )  # fmt: skip
    # AnglELoss at its default scale only.
    return [c for c in graded() if c.setting in kept and (c.family, c.setting) != ("AnglELoss", "scale 5")]


def graded_of_fine_tuning() -> list[Contender]:
    """For pairs with a graded score and a whole encoder: with the rates six settings of each."""
    weighted = partial(WeightedSquaredError, more=(0.05, 0.0))
    return contenders(
        {
            "CosineSimilarityLoss": {"": builtin.CosineSimilarityLoss},
            "label-weighted squared error": each("power", weighted, "power", (1, 2, 3)),
            "CoSENTLoss": scales(builtin.CoSENTLoss, (10, 20, 40)),
            "AnglELoss": scales(builtin.AnglELoss, (10, 20, 40)),
            "SelectivePointwiseLoss": _of_steepness(3, 5, 8),
            "SelectiveOrderLoss": order(20, 2, 3) | order(20, 2, 5) | order(10, 2, 3),
        }
    )


_SQUARED: Families = {"CosineSimilarityLoss": {"": _pointwise(IdentityLink())}}
_MARGINS: Families = {"MarginMSELoss": {"": partial(builtin.MarginMSELoss, similarity_fct=pairwise_cos_sim)}}


def distillation() -> list[Contender]:
    """For lists of candidates with a teacher's scores: one entry for each weight of calibration, a line of points."""
    links = {"IdentityLink": IdentityLink(), "high_scores(3)": high_scores(3.0)}
    lines: Families = {
        f"SelectiveListwiseLoss, {name} {c:g}": {
            "T 1": _listwise(1.0, link=ConstantLink(), calibration=c, calibration_link=link)
        }
        for name, link in links.items()
        for c in (0.03, 0.1, 0.3)
    }
    kl, pointwise = {"DistillKLDivLoss": _kl(0.3, 1, 3)}, {"SelectivePointwiseLoss": _of_steepness(1, 3)}
    return contenders({**_SQUARED, **_MARGINS, **kl, **pointwise, **lines})


def frontier() -> Families:
    """For the same, all settings of which are shown: the losses by the lines of the picture."""
    ours = partial(_listwise, 0.3)
    high: dict[str, Any] = {"link": ConstantLink(), "calibration_link": high_scores(3.0)}
    return {
        "squared error (CosineSimilarityLoss)": _SQUARED["CosineSimilarityLoss"],
        "SelectivePointwiseLoss, high_scores(3)": {"": _pointwise(high_scores(3.0))},
        **_MARGINS,
        "DistillKLDivLoss": {setting.replace("T ", "T = "): make for setting, make in _kl(0.1, 0.3, 1).items()},
        "SelectiveListwiseLoss, T = 0.3, default link": {
            f"calibration = {c:g}": ours(calibration=c) for c in (0.0, 0.1, 1.0)
        },
        "SelectiveListwiseLoss, T = 0.3, ConstantLink, calibrated by high_scores(3)": {
            f"calibration = {c:g}": ours(calibration=c, **high) for c in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
        },
    }


def _value_links(*strengths: float) -> dict[str, Link]:
    """Links for lists and batches."""
    return {f"high_scores({a:g}) by value" if a else "constant": by_value(a) for a in strengths}


def _in_batch() -> Families:
    every = (2.5, 5.0, 10.0, 20.0)
    both: dict[str, Any] = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    theirs, ours = builtin.MultipleNegativesRankingLoss, losses.SelectiveMultipleNegativesRankingLoss
    links = _value_links(0.5, 1, 2)
    name, middle = list(links.items())[1]
    return {
        "MultipleNegativesRankingLoss": scales(theirs, every)
        | {f"scale {s:g}, both directions": partial(theirs, scale=s, **both) for s in (10.0, 20.0)},
        "SelectiveMultipleNegativesRankingLoss": {
            f"scale {s:g}, {n}": partial(ours, scale=s, link=link) for s in every for n, link in links.items()
        }
        | {f"scale {s:g}, {name}, both directions": partial(ours, scale=s, link=middle, **both) for s in (10, 20)}
        | {
            f"scale {s:g}, {name}, smoothing 0.1": partial(ours, scale=s, link=middle, label_smoothing=0.1)
            for s in (5, 10)
        },
    }


def in_batch() -> list[Contender]:
    """For positives, with or without hard negatives."""
    return contenders(_in_batch())


def in_batch_one_way() -> list[Contender]:
    """The same, from query to document only and without smoothing, at the scales that matter."""
    return [c for c in in_batch() if "," not in c.setting.replace(", high", "") and "2.5" not in c.setting]


def in_batch_with_hard_negatives() -> list[Contender]:
    """The same, and losses of triplets."""
    triplet = partial(builtin.TripletLoss, distance_metric=TripletDistanceMetric.COSINE)
    pairwise = partial(losses.SelectivePairwiseLoss, similarity_fct=pairwise_cos_sim)
    return contenders(
        {
            "TripletLoss": each("margin", triplet, "triplet_margin", (0.1, 0.25, 0.5)),
            **_in_batch(),
            "SelectivePairwiseLoss": {
                f"T {t:g}, {name}": partial(pairwise, temperature=t, link=link)
                for t in (0.1, 0.2, 0.4, 0.8)
                for name, link in _value_links(1, 2, 0).items()
            },
        }
    )


def answers() -> list[Contender]:
    """For questions with candidates, right or wrong."""
    temperatures = (0.05, 0.1, 0.2)

    def of_pairs(loss: Any) -> dict[str, Make]:
        return {f"margin {m:g}": lambda model, m=m: OfPairs(loss(model, margin=m)) for m in (0.25, 0.5, 1.0)}

    values = {
        f"Sigmoid({a:g}, {c:g}), link values": _pointwise(SigmoidLink(a, c), targets="link_values")
        for a in (10.0, 20.0)
        for c in (0.3, 0.5, 0.7)
    }
    return contenders(
        {
            **_SQUARED,
            "ContrastiveLoss": of_pairs(builtin.ContrastiveLoss),
            "OnlineContrastiveLoss": of_pairs(builtin.OnlineContrastiveLoss),
            **_MARGINS,
            "DistillKLDivLoss": _kl(*temperatures),
            "SelectivePointwiseLoss": _of_steepness(1, 3) | values,
            "SelectiveListwiseLoss": {
                f"T {t:g}, {name}, labels": _listwise(t, link=link, targets="labels")
                for t in (*temperatures, 0.4)
                for name, link in _value_links(0.5, 1, 2, 0).items()
            },
        }
    )


def of_teacher_embeddings(dimension: int | None, *, sums: bool) -> list[Contender]:
    """For a teacher's embeddings: each text alone, or for the KL divergence mined lists with their scores.

    Args:
        dimension: Of the teacher's embeddings, to project onto; None where the student's are as many.
        sums: Whether sums of two losses are among them.
    """

    def ours(temperature: float, calibration: float) -> Make:
        return partial(losses.SelectiveEmbedDistillLoss, temperature=temperature, calibration=calibration)

    def embed(metric: Any) -> Make:
        return partial(builtin.EmbedDistillLoss, distance_metric=metric, projection_dim=dimension)

    def both(weight: float) -> Make:
        return lambda model: Sum(embed("cosine")(model), ours(0.3, 3)(model), weight)

    return contenders(
        {
            "MSELoss": {"": partial(builtin.MSELoss, projection_dim=dimension)},
            "EmbedDistillLoss": {metric: embed(metric) for metric in ("cosine", "l2")},
            "DistillKLDivLoss": _kl(0.05, 0.1, 0.3, 1),
            "SelectiveEmbedDistillLoss": {
                f"T {t:g}, calibration {c:g}": ours(t, c) for t, c in ((0.1, 3), (0.3, 3), (0.3, 10), (1, 10))
            },
            "SelectiveEmbedDistillLoss and EmbedDistillLoss": {
                f"T 0.3, calibration 3; cosine, {w:g} times": both(w) for w in (3, 10, 30) if sums
            },
        }
    )


def of_teacher_embeddings_by_layers() -> list[Contender]:
    """One setting of each, and two temperatures of those that have one: runs take minutes."""
    kept = ("", "cosine", "T 0.1", "T 0.3", "T 0.1, calibration 3", "T 0.3, calibration 10")
    return [c for c in of_teacher_embeddings(None, sums=False) if c.setting in kept]


def rerankers() -> list[Contender]:
    """For cross encoders: questions with candidates, right or wrong."""
    ours = partial(cross_losses.SelectiveListwiseLoss, targets="labels")

    def squashed(strength: float, **options: Any) -> Make:
        return partial(ours, activation_fn=nn.Sigmoid(), temperature=0.1, link=by_value(strength), **options)

    binary, lambda_loss = cross_builtin.BinaryCrossEntropyLoss, cross_builtin.LambdaLoss
    return contenders(
        {
            "BinaryCrossEntropyLoss": {
                name: partial(binary, pos_weight=torch.tensor(weight))
                for name, weight in (("", 1.0), ("pos_weight 3", 3.0))
            },
            "ListNetLoss": {"": cross_builtin.ListNetLoss},
            "RankNetLoss": {"": cross_builtin.RankNetLoss, "sigma 2": partial(cross_builtin.RankNetLoss, sigma=2.0)},
            "LambdaLoss": {
                "": lambda model: lambda_loss(model, weighting_scheme=NDCGLoss2PPScheme()),
                "LambdaRank": lambda model: lambda_loss(model, weighting_scheme=LambdaRankScheme()),
            },
            "SelectiveListwiseLoss": {
                "constant": partial(ours, activation_fn=None, temperature=1.0, link=ConstantLink()),
                "Sigmoid, T 0.1, high_scores(1) by value": squashed(1.0),
                "Sigmoid, T 0.1, high_scores(2) by value": squashed(2.0),
                "default link, relevances": partial(cross_losses.SelectiveListwiseLoss, calibration=0.0),
                "Sigmoid, T 0.1, high_scores(1) by value, smoothing 0.3": squashed(1.0, label_smoothing=0.3),
            },
        }
    )


def rerankers_by_order() -> list[Contender]:
    """Losses of order for cross encoders, three settings each; gains and discounts are those of NDCG."""
    factors = (0.5, 1.0, 2.0)
    net, rank, by_lambda = cross_builtin.ListNetLoss, cross_builtin.RankNetLoss, cross_builtin.LambdaLoss
    gains = partial(cross_losses.SelectiveOrderLoss, weight_link=ExponentialLink(math.log(2)), discounts=True)
    plain = {
        f"gains, discounts, scale {f:g}": partial(gains, activation_fn=None, scale=f, link=None) for f in (1.0, 2.0)
    }
    squashed = partial(gains, activation_fn=nn.Sigmoid(), scale=10.0, link=by_value(2.0))
    return contenders(
        {
            "ListNetLoss": {f"logits times {f:g}": partial(net, activation_fn=Scaled(f)) for f in factors},
            "RankNetLoss": each("sigma", rank, "sigma", factors),
            "LambdaLoss": {"NDCGLoss2++": by_lambda}
            | {
                f"LambdaRank, sigma {f:g}": partial(by_lambda, weighting_scheme=LambdaRankScheme(), sigma=f)
                for f in (1.0, 2.0)
            },
            "SelectiveOrderLoss": {
                **plain,
                "gains, discounts, Sigmoid, scale 10, high_scores(2) by value": squashed,
            },
        }
    )
