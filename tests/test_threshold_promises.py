"""Thresholds with a promise: that it holds as often as it says, and what is said where none can be made."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sentence_transformers import SentenceTransformer

from selective_st.evaluation import (
    ScoreRegionEvaluator,
    ScoreThreshold,
    choose_threshold,
    load_threshold,
    store_threshold,
)
from tests import random_inputs

DRAWS = 2000
Chance = Callable[[Any], Any]
WORLDS: dict[str, Chance] = {
    "rising": lambda score: 1 / (1 + np.exp(-14 * (score - 0.55))),
    "steep": lambda score: np.where(score > 0.6, 0.97, 0.05),
    "just short": lambda score: np.full(np.shape(score), 0.949),  # no threshold keeps 0.95, all of them nearly
    "falling at the top": lambda score: np.where(score > 0.9, 0.9, np.where(score > 0.5, 0.99, 0.3)),
    "in steps": lambda score: np.round(1 / (1 + np.exp(-12 * (score - 0.5))), 1),
}


def shares(chance: Chance, steps: int) -> tuple[Any, dict[str, Any]]:
    """The scores that there are, equally likely, and the true shares of what is found from each on."""
    scores = (np.arange(steps) + 0.5) / steps
    right = chance(scores)
    above = right[::-1].cumsum()[::-1]
    return scores, {
        "precision": above / np.arange(steps, 0, -1),
        "recall": above / right.sum(),
        "fpr": (1 - right)[::-1].cumsum()[::-1] / (1 - right).sum(),
    }


PROMISES: list[tuple[str, dict[str, float]]] = [
    ("precision", {"at_least": 0.95}),
    ("recall", {"at_least": 0.9}),
    ("fpr", {"at_most": 0.05}),
]
# Each promise in each world; with ties (20 scores) and without in turn, so that each of both meets either.
PROMISED = [
    (*promise, world, (20, 5000)[(i + k) % 2]) for i, promise in enumerate(PROMISES) for k, world in enumerate(WORLDS)
]


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "promise", "world", "steps"), PROMISED)
def test_a_promise_fails_as_seldom_as_it_says(metric: str, promise: dict[str, float], world: str, steps: int) -> None:
    generator = np.random.default_rng(random_inputs.seed_of())
    scores, truth = shares(WORLDS[world], steps)
    (bound,) = promise.values()
    failed = 0
    for _ in range(DRAWS):
        drawn = generator.integers(steps, size=500)
        gold = (generator.random(500) < WORLDS[world](scores[drawn])).astype(float)
        try:
            found = choose_threshold(gold, scores[drawn], 1, metric, **promise)  # type: ignore[arg-type]
        except ValueError:
            continue
        place = np.searchsorted(scores, found.value)
        value = truth[metric][place]
        failed += bool(value < bound - 1e-12 if "at_least" in promise else value > bound + 1e-12)
    assert failed / DRAWS <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / DRAWS)


def test_with_enough_pairs_it_comes_near_the_best_threshold() -> None:
    generator = np.random.default_rng(random_inputs.seed_of(1))
    scores, truth = shares(WORLDS["rising"], 5000)
    drawn = generator.integers(5000, size=50_000)
    gold = (generator.random(50_000) < WORLDS["rising"](scores[drawn])).astype(float)
    for metric, promise, best in (
        ("precision", {"at_least": 0.95}, scores[truth["precision"] >= 0.95].min()),
        ("recall", {"at_least": 0.9}, scores[truth["recall"] >= 0.9].max()),
        ("fpr", {"at_most": 0.01}, scores[truth["fpr"] <= 0.01].min()),
    ):
        found = choose_threshold(gold, scores[drawn], 1, metric, **promise)  # type: ignore[arg-type]
        assert found.value == pytest.approx(best, abs=0.02)
        assert (found.promised, found.confidence) == (*promise.values(), 0.95)


class TestByHand:
    def test_the_bounds_are_exact(self) -> None:
        # 59 of 59: 0.95 ^ 59 < 0.05 < 0.95 ^ 58. One search begins there; for two 144 pairs would be needed.
        gold = [1] * 59 + [0] * 41
        predicted = [0.9] * 59 + [0.1] * 41
        found = choose_threshold(gold, predicted, 1, "precision", at_least=0.95)
        assert found.value == pytest.approx(0.5)
        assert found.metric_value == 1
        with pytest.raises(ValueError, match="At least 59 pairs found are needed"):
            choose_threshold([1] * 58 + [0] * 42, [0.9] * 58 + [0.1] * 42, 1, "precision", at_least=0.95)
        # No false hit among 299 and not among 298: 0.99 ^ 299 < 0.05 < 0.99 ^ 298.
        for negatives, fits in ((299, True), (298, False)):
            labels, scores = [1] * 20 + [0] * negatives, [0.9] * 20 + [0.1] * negatives
            if fits:
                assert choose_threshold(labels, scores, 1, "fpr", at_most=0.01).value == pytest.approx(0.5)
            else:
                with pytest.raises(ValueError, match="At least 299 pairs not to be found are needed"):
                    choose_threshold(labels, scores, 1, "fpr", at_most=0.01)
        # Recall of 0.9 from 29 that are all found, not from 28.
        labels, scores = [1] * 29 + [0] * 5, [0.9] * 29 + [0.1] * 5
        assert choose_threshold(labels, scores, 1, "recall", at_least=0.9).value == pytest.approx(0.5)
        with pytest.raises(ValueError, match="At least 29 pairs to be found are needed"):
            choose_threshold(labels[1:], scores[1:], 1, "recall", at_least=0.9)

    def test_it_stops_at_the_first_that_fails(self) -> None:
        # 300 right, 60 wrong and 10 right: what lies below the stretch is not reached from above.
        gold = [1] * 300 + [0] * 60 + [1] * 10
        predicted = np.linspace(1, 0, 370)
        found = choose_threshold(gold, predicted, 1, "precision", at_least=0.95)  # type: ignore[arg-type]
        taken = found.is_found(predicted)
        wrong = int((taken & (np.array(gold) == 0)).sum())
        assert 300 < taken.sum() < 320
        level = 0.05  # after three searches that did not fail nothing is held back
        assert stats.binom.cdf(wrong, taken.sum(), 0.05) <= level
        assert stats.binom.cdf(wrong + 1, taken.sum() + 1, 0.05) > level
        assert found.metric_value == pytest.approx(1 - wrong / taken.sum())

    def test_one_wrong_pair_at_the_top_does_not_end_the_search(self) -> None:
        gold = [0] + [1] * 999 + [0] * 500
        found = choose_threshold(gold, np.linspace(1, 0, 1500), 1, "precision", at_least=0.95)  # type: ignore[arg-type]
        assert found.is_found(np.linspace(1, 0, 1500)).sum() > 1000

    def test_low_scores(self) -> None:
        gold, predicted = [0] * 100 + [1] * 100, [0.1] * 100 + [0.9] * 100
        found = choose_threshold(gold, predicted, gold_at_most=0, metric="precision", at_least=0.95)
        assert found.value == pytest.approx(0.5)
        assert found.is_found([0.1, 0.9]).tolist() == [True, False]

    def test_is_said_and_stored(self, static_model: SentenceTransformer) -> None:
        found = choose_threshold([0, 1] * 300, [0.2, 0.9] * 300, 1, "fpr", at_most=0.01, chosen_on="dev")
        assert str(found) == (
            "predicted >= 0.550 for gold >= 1: a false-positive rate of at most 0.01 with 95 % confidence on dev, "
            "0.000 (600 pairs, 300 to be found)"
        )
        assert ScoreThreshold.from_dict(found.as_dict()) == found
        texts = [f"text {row}" for row in range(60)]
        pairs = ScoreRegionEvaluator([*texts, *texts], [*texts, *texts[1:], "a"], [1.0] * 60 + [0.0] * 60, name="dev")
        stored = store_threshold(static_model, pairs, gold=1, metric="recall", at_least=0.9)
        assert load_threshold(static_model) == stored
        assert (stored.metric, stored.promised, stored.confidence) == ("recall", 0.9, 0.95)

    def test_more_confidence_asks_for_more(self) -> None:
        gold, predicted = [0, 1] * 40, [0.2, 0.9] * 40
        assert choose_threshold(gold, predicted, 1, "precision", at_least=0.9, confidence=0.9).confidence == 0.9
        with pytest.raises(ValueError, match="with 99 % confidence"):
            choose_threshold(gold, predicted, 1, "precision", at_least=0.9, confidence=0.99)


class TestAgainstMapie:
    """MAPIE's learn then test, by its own p-values, on the thresholds and in the order in which they are tested here.

    It is a reference, not the engine: it begins at the first threshold given, where too few are found to promise a
    precision; it decides every pair at every threshold; and it rounds a share times its pairs up, so that 3.0000000001
    failures are 4. Of 512 pairs no share is rounded.
    """

    @staticmethod
    def by_mapie(metric: str, bound: float, gold: Any, scores: Any, thresholds: Any) -> float:
        risk_control = pytest.importorskip("mapie.risk_control")
        controller = risk_control.BinaryClassificationController(
            lambda rows: np.column_stack([1 - rows[:, 0], rows[:, 0]]),
            risk=metric,
            target_level=bound,
            confidence_level=0.95,
            list_predict_params=thresholds,
            fwer_method="fixed_sequence",
        )
        controller.calibrate(scores[:, None], gold)
        return float(np.ravel(controller.valid_predict_params)[-1])

    @pytest.mark.parametrize("draw", range(4))
    @pytest.mark.parametrize(("metric", "promise"), [("recall", {"at_least": 0.9}), ("fpr", {"at_most": 0.05})])
    def test_of_512_pairs_that_count(self, metric: str, promise: dict[str, float], draw: int) -> None:
        generator = np.random.default_rng(random_inputs.seed_of(draw))
        gold = np.repeat([1, 0], 512)
        scores = np.round(np.clip(generator.normal(0.35 + 0.3 * gold, 0.15), 0, 1), 2)  # with ties
        cuts = np.unique(scores)
        (bound,) = promise.values()
        last = self.by_mapie(metric, bound, gold, scores, cuts if metric == "recall" else cuts[::-1])
        ours = choose_threshold(gold, scores, 1, metric, **promise)  # type: ignore[arg-type]
        assert ours.value == pytest.approx((last + cuts[cuts < last].max()) / 2)

    def test_a_precision_from_where_enough_are_found(self) -> None:
        """Of 128 pairs one search can be made, which begins where 59 are found: 0.95 ^ 59 < 0.05."""
        scores = np.linspace(0.99, 0.01, 128)
        gold = np.repeat([1, 0, 1, 0, 1, 0], [60, 1, 40, 1, 3, 23])
        cuts = np.sort(scores)[::-1]
        last = self.by_mapie("precision", 0.95, gold, scores, cuts[58:])
        ours = choose_threshold(gold, scores, 1, "precision", at_least=0.95)  # type: ignore[arg-type]
        assert ours.value == pytest.approx((last + cuts[cuts < last].max()) / 2)


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"metric": "precision"}, r"metric='precision' goes with at_least, got \{\}\. Write metric="),
            ({"metric": "precision", "at_most": 0.9}, "goes with at_least, got {'at_most': 0.9}"),
            ({"metric": "fpr", "at_least": 0.9}, "goes with at_most, got {'at_least': 0.9}"),
            ({"metric": "f1", "at_least": 0.9}, "metric='f1' goes with no bound, got {'at_least': 0.9}"),
            ({"metric": "recall", "at_least": 1}, "at_least must be above 0 and below 1, got 1"),
            ({"metric": "recall", "at_least": math.nan}, "at_least must be a finite number, got nan"),
            ({"metric": "fpr", "at_most": 0}, "at_most must be above 0 and below 1, got 0"),
            ({"metric": "recall", "at_least": 0.9, "confidence": 1}, "confidence must be above 0 and below 1, got 1"),
        ],
    )
    def test_wrong_bounds(self, settings: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            choose_threshold([0, 1] * 50, [0.2, 0.9] * 50, 1, **settings)

    def test_says_how_many_pairs_it_needs(self) -> None:
        with pytest.raises(ValueError, match=r"no threshold promises a precision of at least 0\.95 with 95 %") as told:
            choose_threshold([0, 1] * 25, [0.2, 0.9] * 25, 1, "precision", at_least=0.95)
        assert "At least 59 pairs found are needed for it, without a failure" in str(told.value)
        assert choose_threshold([0, 1] * 59, [0.2, 0.9] * 59, 1, "precision", at_least=0.95).value < 0.9
