"""The threshold curve, against its definition and against the matching losses; two models by their curves."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from scipy import stats
from sentence_transformers import SentenceTransformer

from selective_st.evaluation import ScoreRegionEvaluator, compare_curves, threshold_curve
from selective_st.evaluation.metrics import metric_meaning
from selective_st.functional import matching_loss
from selective_st.links import (
    Link,
    PiecewiseLink,
    extreme_scores,
    high_scores,
    link_for_thresholds,
    low_scores,
    middle_scores,
    score_region,
)
from tests import random_inputs
from tests.link_cases import LINK_CASES

Pairs = list[tuple[float, float, float]]
PRESETS = [high_scores(), low_scores(), extreme_scores(), middle_scores(), score_region(0.6, 0.8)]
PRESETS.append(link_for_thresholds([0.3, 0.85]))


def by_definition(predicted: Any, target: Any, thresholds: Any, weight: Any) -> list[float]:
    losses = []
    for t in thresholds:
        found = [
            w * abs(p - t) if min(p, s) < t < max(p, s) else 0.0
            for p, s, w in zip(predicted, target, weight, strict=True)
        ]
        losses.append(math.fsum(found) / math.fsum(weight))
    return losses


def area(link: Link, predicted: Any, target: Any, weight: Any) -> float:
    """The area under the curve weighted by the sensitivity: Gauss's rule between neighbours, where nothing jumps."""
    knots, _ = threshold_curve(predicted, target)
    extra = np.linspace(knots[0], knots[-1], 200)
    bends = [knot for part in getattr(link, "links", (link,)) for knot in getattr(part, "knots", ())]
    knots = np.unique(np.concatenate([knots, extra, [knot for knot in bends if knots[0] < knot < knots[-1]]]))
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half, middle = np.diff(knots) / 2, (knots[1:] + knots[:-1]) / 2
    at, losses = threshold_curve(predicted, target, (middle[:, None] + half[:, None] * nodes).ravel(), weight)
    sensitivity = link.sensitivity(torch.from_numpy(at)).numpy()
    return float((sensitivity * losses * (half[:, None] * weights).ravel()).sum())


def random_piecewise() -> list[Link]:
    generator = np.random.default_rng(random_inputs.seed_of(3))
    links: list[Link] = []
    for knots in (1, 2, 5, 9):
        places = np.sort(generator.uniform(-1, 1, knots))
        links.append(PiecewiseLink(tuple(places.tolist()), tuple(generator.uniform(0, 10, knots).tolist())))
    return links


SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-1, 1, width=32))


@seed(random_inputs.seed_of())
@settings(max_examples=150, deadline=None, database=None)
@given(
    st.lists(st.tuples(SCORES, SCORES, st.floats(0.125, 4)), min_size=1, max_size=12),
    st.lists(SCORES, min_size=1, max_size=6),
)
def test_is_its_definition(pairs: Pairs, thresholds: list[float]) -> None:
    predicted, target, weight = zip(*pairs, strict=True)
    for at in (None, thresholds):
        found_at, found = threshold_curve(predicted, target, at, weight)
        expected_at = sorted({*predicted, *target}) if at is None else at
        assert found_at.tolist() == [score + 0.0 for score in expected_at]
        assert found == pytest.approx(by_definition(predicted, target, expected_at, weight), abs=1e-12, rel=1e-12)
    _, alike = threshold_curve(predicted, target, thresholds)
    assert alike == pytest.approx(by_definition(predicted, target, thresholds, [1.0] * len(pairs)), abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1000.0, -1e6])
def test_scores_far_from_zero_keep_their_digits(offset: float) -> None:
    generator = np.random.default_rng(random_inputs.seed_of(0))
    predicted, target = generator.integers(0, 1024, (2, 400)) / 1024 + offset  # exact, wherever they lie
    thresholds, losses = threshold_curve(predicted, target)
    expected = by_definition(predicted, target, thresholds, [1.0] * 400)
    assert losses == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("link", [case.link for case in LINK_CASES] + PRESETS + random_piecewise(), ids=repr)
@pytest.mark.parametrize("labels", [False, True])
def test_the_area_weighted_by_the_sensitivity_is_the_matching_loss(link: Link, labels: bool) -> None:
    generator = np.random.default_rng(random_inputs.seed_of(1))
    predicted, target = generator.uniform(-0.9, 0.95, (2, 60))
    target = np.round(target > 0).astype(float) if labels else np.where(generator.random(60) < 0.1, predicted, target)
    weight = generator.uniform(0, 2, 60)
    tensors = [torch.from_numpy(values) for values in (predicted, target)]
    for given_weight in (None, weight):
        of_pairs = None if given_weight is None else torch.from_numpy(given_weight)
        expected = float(matching_loss(*tensors, link, weight=of_pairs))
        assert area(link, predicted, target, given_weight) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_lower_curve_is_a_lower_loss_under_every_link() -> None:
    generator = np.random.default_rng(random_inputs.seed_of(2))
    target = generator.uniform(0, 1, 50)
    near, far = target + 0.01 * (offset := generator.normal(size=50)), target + 0.1 * offset
    at = np.linspace(-0.5, 1.5, 400)
    assert (threshold_curve(near, target, at)[1] <= threshold_curve(far, target, at)[1]).all()
    for link in PRESETS:
        losses = [matching_loss(torch.from_numpy(of), torch.from_numpy(target), link) for of in (near, far)]
        assert losses[0] < losses[1]


@pytest.mark.parametrize("labels", [False, True])
def test_is_the_murphy_diagram_of_model_diagnostics(labels: bool) -> None:
    """There a pair costs how far its observation lies beyond the threshold: observed and predicted change places."""
    scoring = pytest.importorskip("model_diagnostics.scoring")
    generator = np.random.default_rng(random_inputs.seed_of(4))
    predicted, target, weight = generator.uniform(0, 1, (3, 200))
    target = np.round(target) if labels else target
    thresholds = generator.uniform(-0.1, 1.1, 60)  # none at a score, where the two count the ends differently
    for given_weight in (None, weight):
        found = threshold_curve(predicted, target, thresholds, given_weight)[1]
        expected = [scoring.ElementaryScore(at)(predicted, target, weights=given_weight) for at in thresholds]
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_by_hand() -> None:
    # Labels: the positive at 0.2 costs t - 0.2 above it, the negative at 0.9 costs 0.9 - t below it.
    thresholds, losses = threshold_curve([0.2, 0.9], [1, 0])
    assert thresholds.tolist() == [0.0, 0.2, 0.9, 1.0]
    assert losses == pytest.approx([0, 0.7 / 2, 0.7 / 2, 0])
    assert threshold_curve([0.2, 0.9], [1, 0], [0.5])[1] == pytest.approx([(0.3 + 0.4) / 2])
    # One pair: a ramp that ends at its target; a threshold at the target has it on neither side.
    assert threshold_curve([0.4], [0.8], [0.3, 0.4, 0.5, 0.7999, 0.8, 0.9])[1] == pytest.approx(
        [0, 0, 0.1, 0.3999, 0, 0]
    )
    # Equal prediction and target cost nothing, but count; tied pairs add up.
    assert threshold_curve([0.4, 0.5, 0.4], [0.8, 0.5, 0.8], [0.5])[1] == pytest.approx([0.2 / 3])
    assert threshold_curve([0.5], [0.5])[1].tolist() == [0]
    assert threshold_curve([0.4, 0.1], [0.8, 0.9], [0.5], [1, 0])[1] == pytest.approx([0.1])
    # Far out of all scores it is 0, whatever the sums round to.
    generator = np.random.default_rng(random_inputs.seed_of(0))
    assert threshold_curve(*generator.normal(size=(2, 1000)), [-9, 9])[1].tolist() == [0, 0]


def test_takes_what_holds_numbers() -> None:
    predicted, target = [0.125, 0.5, 0.75], [1, 0, 1]
    expected = threshold_curve(predicted, target, [0.25, 0.5], [1, 2, 1])
    for make in (np.array, torch.tensor, tuple, lambda values: torch.tensor(values, dtype=torch.float32)):
        found = threshold_curve(*map(make, (predicted, target, [0.25, 0.5], [1, 2, 1])))  # type: ignore[no-untyped-call]
        assert all(isinstance(values, np.ndarray) and values.dtype == np.float64 for values in found)
        assert np.array_equal(found, expected)
    leaf = torch.tensor(predicted, requires_grad=True)
    assert np.array_equal(threshold_curve(leaf, np.array(target) == 1, [0.25, 0.5], [1, 2, 1]), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1, math.nan], [0, 1]), "predicted must hold finite numbers, got nan in row 1"),
        (([0.1, 0.2], [0, math.inf]), "target must hold finite numbers, got inf in row 1"),
        (([0.1], [0, 1]), "predicted and target must have the same length, got 1 and 2"),
        (([], []), "predicted must be a list of numbers, at least one"),
        ((["a"], [1]), "predicted must be a list of numbers"),
        (([0.1], [1], [math.nan]), "thresholds must hold finite numbers, got nan"),
        (([0.1], [1], []), "thresholds must be a list of numbers, at least one"),
        (([0.1], [1], 0.5), "thresholds must be a list of numbers, at least one, got 0.5"),
        (([0.1], [1], None, [1, 2]), r"weight must hold a number >= 0 for each of 1 pairs, not all 0, got \[1, 2\]"),
        (([0.1, 0.2], [1, 0], None, [1, -2]), r"weight must hold a number >= 0 .*, got \[1, -2\]"),
        (([0.1, 0.2], [1, 0], None, [0, 0]), r"weight must hold a number >= 0 .*, got \[0, 0\]"),
        (([0.1], [1], None, [math.nan]), "weight must hold finite numbers"),
    ],
)
def test_bad_input(arguments: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        threshold_curve(*arguments)


class TestTwoModels:
    def test_by_the_textbook(self) -> None:
        """At one threshold: the paired t interval of the mean difference, pair by pair or cluster by cluster."""
        generator = np.random.default_rng(random_inputs.seed_of(4))
        gold = generator.uniform(size=60)
        new, old = gold + 0.3 * generator.normal(size=60), gold + 0.3 * generator.normal(size=60)
        each = np.array([threshold_curve([a], [s], [0.5])[1] - threshold_curve([b], [s], [0.5])[1]
                         for a, b, s in zip(new, old, gold, strict=True)]).ravel()  # fmt: skip
        found = compare_curves(gold, {"new": new, "old": old}, [0.5])
        assert found.difference == pytest.approx([each.mean()])
        reach = stats.t.ppf(0.975, (each != 0).sum() - 1) * each.std(ddof=1) / math.sqrt(60)
        assert found.high - found.difference == pytest.approx([reach])
        assert found.difference - found.low == pytest.approx([reach])
        assert found.high_of_all == pytest.approx(found.high, rel=0.05)  # of one threshold all are one
        # Clusters of three: as if each were one pair of their mean.
        clustered = compare_curves(
            gold, {"new": new, "old": old}, [0.5], clusters=[f"text {i // 3}" for i in range(60)]
        )
        means = each.reshape(20, 3).mean(axis=1)
        reach = stats.t.ppf(0.975, (means != 0).sum() - 1) * means.std(ddof=1) / math.sqrt(20)
        assert clustered.high - clustered.difference == pytest.approx([reach])
        shuffled = generator.permutation(60)
        again = compare_curves(
            gold[shuffled], {"new": new[shuffled], "old": old[shuffled]}, [0.5], clusters=shuffled // 3
        )
        assert again.high == pytest.approx(clustered.high)
        # Names that have no order among each other.
        names = [(None if i // 3 % 2 else "text", i // 3) for i in range(60)]
        unordered = compare_curves(gold, {"new": new, "old": old}, [0.5], clusters=names)
        assert unordered.high == pytest.approx(clustered.high)
        # A pair of weight 2 counts like two rows of one cluster.
        twice = compare_curves(gold, {"new": new, "old": old}, weight=np.where(np.arange(60) < 9, 2, 1))
        rows = np.append(np.arange(60), np.arange(9))
        doubled = compare_curves(gold[rows], {"new": new[rows], "old": old[rows]}, clusters=rows.tolist())
        assert np.allclose(twice.low_of_all, doubled.low_of_all, equal_nan=True)

    def test_the_bands_hold_as_often_as_they_say(self) -> None:
        generator = np.random.default_rng(random_inputs.seed_of(5))
        at = np.linspace(0.1, 0.9, 17)
        alone, together, draws = 0, 0, 200
        for _ in range(draws):
            gold = generator.uniform(size=400)
            found = compare_curves(gold, {name: gold + 0.2 * generator.normal(size=400) for name in "ab"}, at)
            alone += int(found.low[8] <= 0 <= found.high[8])
            together += not found.better()
        for held in (alone, together):
            assert abs(held / draws - 0.95) <= 3 * math.sqrt(0.05 * 0.95 / draws)

    def test_says_where_which_is_better(self) -> None:
        generator = np.random.default_rng(random_inputs.seed_of(6))
        gold = generator.uniform(size=3000)
        noise = generator.normal(size=3000)
        high = gold + np.where(gold > 0.5, 0.02, 0.2) * noise
        low = gold + np.where(gold < 0.5, 0.02, 0.2) * noise
        found = compare_curves(gold, {"high": high, "low": low})
        assert len(found.thresholds) == 200
        first, second = found.better()
        assert (first.model, second.model) == ("low", "high")
        assert first.low < 0.1 < 0.4 < first.high < 0.5 < second.low < 0.6 < 0.9 < second.high
        assert found.sentence() == (
            f"low is better at all {first.points} thresholds from {first.low:.3g} to {first.high:.3g}; high is better "
            f"at all {second.points} thresholds from {second.low:.3g} to {second.high:.3g} (95 % confidence for all of "
            "it together)"
        )
        assert ((found.low_of_all <= found.low) & (found.high <= found.high_of_all)).all()
        one = compare_curves(gold, {"high": high, "low": low}, [0.8])
        assert one.sentence() == "high is better at the threshold 0.8 (95 % confidence for all of it together)"
        alike = compare_curves(gold, {"a": gold + 0.1 * noise, "b": gold - 0.1 * noise}, [0.7, 0.3])
        assert alike.sentence() == "no clear difference between a and b at any of 2 thresholds from 0.3 to 0.7"

    def test_few_pairs_tell_nothing(self) -> None:
        found = compare_curves([0, 1] * 4, {"right": [0, 1] * 4, "wrong": [1, 0] * 4})
        assert np.isnan(found.low).all()
        assert found.better() == []
        assert found.sentence() == "there are too few pairs to tell right and wrong apart"
        same = compare_curves([0.0, 1.0] * 40, {"a": [0.5] * 80, "b": [0.5] * 80})
        assert same.better() == []
        with np.errstate(invalid="raise"):  # the difference is the same for each pair, up to rounding
            always = compare_curves([0.9] * 64, {"a": [0.2] * 64, "b": [0.4] * 64})
        assert always.sentence().startswith("b is better at all 140 thresholds from 0.203 to 0.897")
        # At 0.5 the difference is the same for each pair, and known; the bands at others hold together all the same.
        gold, thresholds = np.repeat([0.625, 0.75, 0.875, 1.0], 16), [0.5, 0.6875, 0.8125]
        always = compare_curves(gold, {"a": [0.25] * 64, "b": [0.375] * 64}, thresholds)
        assert always.low_of_all[0] == always.high_of_all[0] == 0.125
        assert (always.low_of_all[1:] < always.low[1:]).all()

    @pytest.mark.parametrize(
        ("arguments", "settings", "message"),
        [
            (([0, 1], {"a": [0, 1]}), {}, "predicted must hold two models, got 1"),
            (([0, 1], {"a": [0, 1], "b": [1]}), {}, "must have the same length, got 2 and 1"),
            (([0, 1], {"a": [0, 1], "b": [1, math.nan]}), {}, "predicted must hold finite numbers"),
            (([0, 1], {"a": [0, 1], "b": [1, 0]}), {"clusters": ["x"]}, "gold and clusters must have the same length"),
            (
                ([0, 1], {"a": [0, 1], "b": [1, 0]}),
                {"weight": [1, -1]},
                "compare_curves: weight must hold a number >= 0",
            ),
            (([0, 1], {"a": [0, 1], "b": [1, 0]}), {"thresholds": 0.5}, "thresholds must be a list of numbers"),
        ],
    )
    def test_bad_input(self, arguments: Any, settings: Any, message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            compare_curves(*arguments, **settings)


class TestEvaluator:
    TEXTS = (["a cat", "a dog", "a car", "a tax"], ["a cat", "a car", "a dog", "a cat"], [1.0, 0.9, 0.2, 0.05])

    def test_reports_losses_and_writes_the_curve(self, static_model: SentenceTransformer, tmp_path: Path) -> None:
        evaluator = ScoreRegionEvaluator(*self.TEXTS, name="dev", thresholds=[0.85, 0.3], main_metric="loss_at_0.85")
        assert evaluator.primary_metric == "dev_negative_loss_at_0.85"
        predicted = evaluator.predict(static_model)
        for steps in (1, 2):
            metrics = evaluator(static_model, str(tmp_path), 1, steps)
        losses = threshold_curve(predicted, self.TEXTS[2], [0.85, 0.3])[1]
        assert [metrics[f"dev_loss_at_{at}"] for at in (0.85, 0.3)] == pytest.approx(losses.tolist())
        assert metrics["dev_negative_loss_at_0.3"] == -metrics["dev_loss_at_0.3"]
        assert evaluator.get_config_dict()["thresholds"] == [0.85, 0.3]
        assert evaluator.support()["loss_at_0.3"].cases == 2
        with (tmp_path / "score_region_evaluation_dev_threshold_curve.csv").open() as file:
            header, *rows = csv.reader(file)
        assert [row[1] for row in rows] == ["1", "2"]
        at = np.array(header[2:], dtype=float)
        assert (at[0], at[-1], len(at)) == (0.0025, 0.9975, 200)
        expected = threshold_curve(predicted, self.TEXTS[2], at)[1]
        assert np.array(rows[0][2:], dtype=float) == pytest.approx(expected, abs=1e-6)
        with pytest.raises(TypeError, match="thresholds must be a list of thresholds, got"):
            ScoreRegionEvaluator(*self.TEXTS, thresholds=0.85)  # type: ignore[arg-type]

    def test_a_curve_for_each_similarity(self, static_model: SentenceTransformer, tmp_path: Path) -> None:
        functions = ["cosine", "dot"]
        ScoreRegionEvaluator(*self.TEXTS, thresholds=[0.85], similarity_fn_names=functions)(static_model, str(tmp_path))
        names = {f"score_region_evaluation_threshold_curve_{function}.csv" for function in functions}
        assert {path.name for path in tmp_path.iterdir()} == {*names, "score_region_evaluation_results.csv"}

    def test_the_metric_is_known_by_its_name(self) -> None:
        metric = metric_meaning("loss_at_0.85")
        assert metric.title == "Loss at the threshold 0.85"
        assert metric.better == "lower"
        assert metric.meaning == (
            "How far the predicted score lies beyond 0.85 where the gold score lies on its other side, else 0."
        )
        assert metric_meaning("negative_loss_at_-0.5").name == "negative_loss_at_-0.5"
