"""Region metrics against written-out arithmetic and a naive loop, and the evaluator."""

from __future__ import annotations

import copy
import csv
import itertools
import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder, SentenceTransformer
from sklearn.metrics import fbeta_score, precision_score, recall_score

from selective_st.evaluation import (
    ScoreRegionEvaluator,
    ScoreThreshold,
    choose_threshold,
    error_by_score_bin,
    list_metrics,
    load_threshold,
    ranking_metrics,
    region_metrics,
    remember_threshold,
    store_threshold,
)
from selective_st.evaluation.comparison import metric_meaning

GOLD = [0.0, 0.2, 0.8, 0.95, 1.0]
PREDICTED = [0.1, 0.6, 0.5, 0.9, 0.7]


def test_average_precision_by_hand() -> None:
    metrics = region_metrics(GOLD, PREDICTED, at_least=[0.8, 0.95], at_most=[0.2])
    # By falling score: 0.95, 1.0, 0.2, 0.8, 0.0. Of gold >= 0.8 found at ranks 1, 2, 4; of gold >= 0.95 at 1, 2.
    assert metrics["ap_ge_0.8"] == pytest.approx((1 / 1 + 2 / 2 + 3 / 4) / 3)
    assert metrics["ap_ge_0.95"] == 1
    # By rising score: 0.0, 0.8, 0.2: found at ranks 1 and 3.
    assert metrics["ap_le_0.2"] == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_errors_by_hand() -> None:
    metrics = region_metrics(GOLD, PREDICTED, regions=[(0.8, 1.0)])
    assert metrics["bias"] == pytest.approx((0.1 + 0.4 - 0.3 - 0.05 - 0.3) / 5)
    assert metrics["rmse"] == pytest.approx(math.sqrt((0.01 + 0.16 + 0.09 + 0.0025 + 0.09) / 5))
    assert metrics["rmse_0.8_1"] == pytest.approx(math.sqrt((0.09 + 0.0025 + 0.09) / 3))
    assert metrics["bias_0.8_1"] == pytest.approx(-0.65 / 3)
    assert metrics["count_0.8_1"] == 3
    assert metrics["spearman_0.8_1"] == pytest.approx(0.5)


def test_of_tied_pairs_the_worst_order_counts() -> None:
    gold, predicted = [1.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.5, 0.5]
    for order in (gold, gold[::-1]):
        metrics = region_metrics(order, predicted, at_least=[0.8], at_most=[0.2])
        assert metrics["ap_ge_0.8"] == metrics["ap_le_0.2"] == pytest.approx((1 / 3 + 2 / 4) / 2)
    partly = region_metrics([0.0, 1.0, 1.0, 0.1], [0.9, 0.5, 0.5, 0.2], at_least=[0.8], at_most=[0.1])
    assert partly["ap_ge_0.8"] == pytest.approx((1 / 2 + 2 / 3) / 2)  # 0.667 where ties favour the model
    assert partly["ap_le_0.1"] == pytest.approx((1 / 1 + 2 / 4) / 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=2, max_size=6))
def test_no_order_of_tied_pairs_has_a_lower_average_precision(rows: list[tuple[bool, int]]) -> None:
    gold, predicted = [float(sought) for sought, _ in rows], [score / 3 for _, score in rows]
    if 1.0 not in gold:
        return
    expected = []
    for order in itertools.permutations(range(len(rows))):
        if all(predicted[i] >= predicted[j] for i, j in itertools.pairwise(order)):
            ranks = [rank for rank, i in enumerate(order, start=1) if gold[i]]
            expected.append(np.mean([hits / rank for hits, rank in enumerate(ranks, start=1)]))
    mirrored = [1 - score for score in gold], [1 - score for score in predicted]
    assert region_metrics(gold, predicted, at_least=[1.0])["ap_ge_1"] == pytest.approx(min(expected))
    assert region_metrics(*mirrored, at_least=[], at_most=[0.0])["ap_le_0"] == pytest.approx(min(expected))


def test_errors_have_a_metric_whose_greater_value_is_better() -> None:
    metrics = region_metrics(GOLD, PREDICTED, regions=[(0.8, 1.0)])
    assert metrics["negative_rmse"] == -metrics["rmse"] < 0
    assert metrics["negative_rmse_0.8_1"] == -metrics["rmse_0.8_1"] < 0
    lists = list_metrics([[0.9, 0.1]], [[0.7, 0.2]], at_k=[1])
    assert lists["negative_rmse_top@1"] == -lists["rmse_top@1"] == pytest.approx(-0.2)
    errors = [name for name in (*metrics, *lists) if metric_meaning(name).better == "lower"]
    assert errors
    for name in errors:
        assert metric_meaning(f"negative_{name}").better == "higher"
        assert f"negative_{name}" in (*metrics, *lists)


@pytest.mark.parametrize(
    ("name", "title", "better"),
    [
        ("ap_ge_0.95", "Average precision, gold ≥ 0.95", "higher"),
        ("ap_le_-0.5", "Average precision, gold ≤ -0.5", "higher"),
        ("rmse_0.8_1", "Error, gold 0.8 to 1", "lower"),
        ("negative_rmse_0.8_1", "Error, gold 0.8 to 1, negative", "higher"),
        ("bias_bin_0_0.1", "Bias, gold 0 to 0.1", "nearer 0"),
        ("count_ge_0.8", "Pairs, gold ≥ 0.8", ""),
        ("mrr@10", "MRR@10", "higher"),
        ("base_ndcg@5", "nDCG@5 as given", ""),
        ("bias_top@3", "Bias of the top 3", "nearer 0"),
        ("f1_ge_0.9", "F1, gold ≥ 0.9", "higher"),
        ("q5", "5 % quantile", ""),
    ],
)
def test_a_metric_knows_its_title_and_its_better_end(name: str, title: str, better: str) -> None:
    found = metric_meaning(name)
    assert (found.title, found.better) == (title, better)
    assert found.meaning.endswith(".")
    assert found.name == name.replace("_bin", "")


def test_every_reported_metric_is_known_by_its_name() -> None:
    metrics = region_metrics(
        GOLD, PREDICTED, at_least=[0.123456], at_most=[0.2], thresholds=[ScoreThreshold(0.5, 0.8)], bins=3
    )
    lists = list_metrics([[0.9, 0.1]], [[0.7, 0.2]], at_k=[1, 10])
    for name in (*metrics, *lists):
        assert metric_meaning(name).title


def test_a_threshold_reached_up_to_rounding() -> None:
    assert region_metrics([4.75 / 5 - 1e-16, 0.0], [0.9, 0.1])["ap_ge_0.95"] == 1
    single = np.array([0.95, 1.0, 0.5, 0.2], dtype=np.float32)
    assert region_metrics(single, [0.99, 0.5, 0.6, 0.1])["ap_ge_0.95"] == pytest.approx(5 / 6)


def test_what_is_not_defined_is_nan() -> None:
    metrics = region_metrics([0.1, 0.2], [0.3, 0.4])
    assert math.isnan(metrics["ap_ge_0.95"])
    assert math.isnan(metrics["rmse_0.8_1"])
    assert metrics["count_0.8_1"] == 0
    assert math.isnan(region_metrics([0.5] * 4, [0.1, 0.2, 0.3, 0.4])["spearman"])


def test_bins_are_a_partition() -> None:
    generator = np.random.default_rng(0)
    gold = np.concatenate([generator.integers(0, 26, 200) / 25, [0.0, 1.0, 0.1, 0.3]])
    predicted = generator.random(len(gold))
    rows = error_by_score_bin(gold, predicted, bins=5)  # type: ignore[arg-type]
    assert [row["low"] for row in rows] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert sum(row["count"] for row in rows) == len(gold)
    inside = [i for i, score in enumerate(gold) if round(score * 25) in range(5, 10)]  # gold in [0.2, 0.4)
    assert rows[1]["count"] == len([score for score in gold if 0.2 - 1e-9 <= score < 0.4 - 1e-9])
    assert set(inside) <= {i for i, score in enumerate(gold) if 0.2 - 1e-9 <= score < 0.4}
    total = sum(row["count"] * row["rmse"] ** 2 for row in rows)
    assert total == pytest.approx(float(((predicted - gold) ** 2).sum()))
    assert math.isnan(error_by_score_bin([0.1], [0.2], bins=2)[1]["rmse"])


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        ([], [], "gold must be a list of numbers, at least one, got"),
        ([0.5], [0.5, 0.6], "same length, got 1 and 2"),
        ([0.5, math.nan], [0.5, 0.6], "gold must hold finite numbers, got nan in row 1"),
        ([0.5], [math.inf], "predicted must hold finite numbers, got inf in row 0"),
        ([[0.5]], [[0.5]], r"at least one, got \[\[0\.5\]\]"),
    ],
)
def test_bad_input(gold: Any, predicted: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        region_metrics(gold, predicted)


class TestRanking:
    def test_by_hand(self) -> None:
        # Positives at ranks 2 and 3 of four; and at rank 1 of two.
        metrics = ranking_metrics([[0, 1, 2, 3], [4, 5]], [0, 1, 1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1, 0.3, 0.2])
        assert metrics["map"] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
        assert metrics["mrr@10"] == pytest.approx((1 / 2 + 1) / 2)
        gain = (1 / math.log2(3) + 1 / math.log2(4)) / (1 / math.log2(2) + 1 / math.log2(3))
        assert metrics["ndcg@10"] == pytest.approx((gain + 1) / 2)
        assert metrics["questions"] == 2

    def test_only_questions_that_can_be_ranked_count(self) -> None:
        metrics = ranking_metrics([[0, 1], [2], [3, 4], []], [1, 1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5])
        assert metrics["questions"] == 0
        assert math.isnan(metrics["map"])

    def test_beyond_the_tenth_place(self) -> None:
        labels, scores = [0] * 10 + [1], list(range(11, 0, -1))
        metrics = ranking_metrics([range(11)], labels, scores)
        assert (metrics["mrr@10"], metrics["ndcg@10"]) == (0, 0)
        assert metrics["map"] == pytest.approx(1 / 11)

    @pytest.mark.parametrize("labels", [[1, 0, 0, 0], [0, 0, 0, 1]])
    def test_ties_do_not_favour_the_model(self, labels: list[float]) -> None:
        metrics = ranking_metrics([range(4)], labels, [0.5] * 4)
        assert metrics["map"] == pytest.approx(1 / 4)
        assert metrics["mrr@10"] == pytest.approx(1 / 4)
        assert metrics["ndcg@10"] == pytest.approx(sum(1 / math.log2(rank + 1) for rank in range(1, 5)) / 4)

    def test_graded_labels_and_negative_ones(self) -> None:
        labels = [1.0, 0.5, -0.5]
        best = ranking_metrics([range(3)], labels, labels)
        swapped = ranking_metrics([range(3)], labels, [1.0, -0.5, 0.5])
        assert best["ndcg@10"] == 1
        assert swapped["ndcg@10"] < 1
        assert swapped["map"] == 1
        assert ranking_metrics([range(3)], labels, [0.5, 1.0, 0.0], positive_from=0.5)["map"] == 1

    def test_against_random_scores_and_a_naive_loop(self) -> None:
        generator = np.random.default_rng(0)
        labels, scores = np.tile([0.0, 1.0, 1.0, 0.0, 0.0], 40), generator.random(200)
        groups = np.split(np.arange(200), 20)
        expected = []
        for rows in groups:
            order = rows[np.argsort(-scores[rows])]
            hits = np.flatnonzero(labels[order] == 1) + 1
            expected.append(((np.arange(len(hits)) + 1) / hits).mean())
        metrics = ranking_metrics(groups, labels, scores)  # type: ignore[arg-type]  # arrays serve as sequences
        assert metrics["questions"] == 20
        assert metrics["map"] == pytest.approx(np.mean(expected))

    @pytest.mark.parametrize(
        ("groups", "labels", "scores", "message"),
        [
            ([[0, 2]], [1, 0], [0.1, 0.2], r"numbers of its rows, from 0 to 1, got \[0, 2\]"),
            ([[-1, 0]], [1, 0], [0.1, 0.2], r"from 0 to 1, got \[-1, 0\]"),
            ([[0, 1]], [1, 0], [0.1], "same length, got 2 and 1"),
            ([[0, 1]], [1, 0], [0.1, math.nan], "scores must hold finite numbers"),
        ],
    )
    def test_bad_input(self, groups: Any, labels: Any, scores: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            ranking_metrics(groups, labels, scores)


class TestEvaluator:
    @pytest.fixture
    def data(self, pair_dataset: Dataset) -> tuple[list[str], list[str], list[float]]:
        return tuple(list(pair_dataset[name]) for name in ("sentence1", "sentence2", "score"))  # type: ignore[return-value]

    def test_reports_what_region_metrics_reports(
        self, data: tuple[list[str], list[str], list[float]], static_model: SentenceTransformer, tmp_path: Path
    ) -> None:
        evaluator = ScoreRegionEvaluator(*data, name="dev")
        metrics = evaluator(static_model, str(tmp_path), epoch=1, steps=10)
        first, second = (static_model.encode(texts, convert_to_tensor=True) for texts in data[:2])
        cosine = static_model.similarity_pairwise(first, second).tolist()
        expected = {f"dev_{name}": value for name, value in region_metrics(data[2], cosine).items()}
        assert metrics == pytest.approx(expected, nan_ok=True)
        assert evaluator.primary_metric == "dev_ap_ge_0.95"
        assert evaluator.primary_metric in metrics
        assert evaluator.greater_is_better
        with (tmp_path / "score_region_evaluation_dev_results.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert float(rows[0]["spearman"]) == pytest.approx(metrics["dev_spearman"])
        of_hub = ScoreRegionEvaluator(*data, name="sentence-transformers/stsb", thresholds=[0.85])
        assert "sentence-transformers/stsb_spearman" in of_hub(static_model, str(tmp_path))
        for what in ("results", "threshold_curve"):  # no folders are made of a name
            assert (tmp_path / f"score_region_evaluation_sentence-transformers_stsb_{what}.csv").is_file()

    def test_reports_rankings_of_groups(
        self, data: tuple[list[str], list[str], list[float]], static_model: SentenceTransformer
    ) -> None:
        groups = [list(range(begin, begin + 8)) for begin in range(0, 64, 8)]
        evaluator = ScoreRegionEvaluator(*data, main_metric="map", name="dev", groups=groups, positive_from=0.7)
        metrics = evaluator(static_model)
        expected = ranking_metrics(groups, data[2], evaluator.predict(static_model), positive_from=0.7)  # type: ignore[arg-type]
        assert {name: metrics[f"dev_{name}"] for name in expected} == pytest.approx(expected)
        assert expected["questions"] > 0
        assert evaluator.primary_metric == "dev_map"
        assert evaluator.greater_is_better
        assert evaluator.get_config_dict()["positive_from"] == 0.7
        with pytest.raises(ValueError, match="main_metric must be one of"):
            ScoreRegionEvaluator(*data, main_metric="map")
        with pytest.raises(ValueError, match="main_metric must be one of"):
            ScoreRegionEvaluator(*data, main_metric="questions", groups=groups)

    def test_main_metric(self, data: tuple[list[str], list[str], list[float]]) -> None:
        # A trainer takes the largest value for the best one.
        for named in ("rmse_0.8_1", "negative_rmse_0.8_1"):
            evaluator = ScoreRegionEvaluator(*data, main_metric=named, name="dev")
            assert evaluator.primary_metric == "dev_negative_rmse_0.8_1"
            assert evaluator.greater_is_better
        assert ScoreRegionEvaluator(*data, at_least=(), at_most=(0.1, 0.2)).primary_metric == "ap_le_0.1"
        assert ScoreRegionEvaluator(*data, at_least=(), regions=()).primary_metric == "spearman"
        with pytest.raises(ValueError, match=r"main_metric must be one of spearman, .* got 'f1'"):
            ScoreRegionEvaluator(*data, main_metric="f1")

    @pytest.mark.parametrize(
        ("gold", "settings", "message"),
        [
            (
                [1.0, 3.0, 4.5, 5.0],
                {},
                "ap_ge_0.95 is 1 for every model with these labels (they go from 1 to 5), so it cannot choose a "
                "checkpoint. Give labels on the scale of the scores, some of each kind, or name another: "
                "main_metric='spearman'.",
            ),
            ([0.1, 0.2, 0.5, 0.9], {}, "ap_ge_0.95 is not defined with these labels (they go from 0.1 to 0.9)"),
            ([0.5, 0.5, 0.5, 0.5], {"at_least": ()}, "spearman is not defined.*main_metric='rmse'"),
            (
                [0.0, 0.1, 0.1, 0.2],
                {"at_least": (), "at_most": (0.2,)},
                "ap_le_0.2 is 1 .* go from 0 to 0.2",
            ),
        ],
    )
    def test_warns_where_the_main_metric_cannot_choose(
        self,
        gold: list[float],
        settings: dict[str, Any],
        message: str,
        static_model: SentenceTransformer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        pattern = message if ".*" in message else re.escape(message)
        texts = ["a cat", "a dog", "a car", "a tax"]
        evaluator = ScoreRegionEvaluator(texts, texts[::-1], gold, **settings)
        evaluator(static_model)
        assert not caplog.text  # it may serve something else than choosing: said where a trainer asks, once
        for steps in (0, 4):
            evaluator(static_model, epoch=1, steps=steps)
            assert len(re.findall(f"ScoreRegionEvaluator: main_metric {pattern}", caplog.text)) == 1

    def test_says_nothing_where_the_main_metric_can_choose(
        self,
        data: tuple[list[str], list[str], list[float]],
        static_model: SentenceTransformer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        validation = ScoreRegionEvaluator(*data)
        settings_of: list[dict[str, Any]] = [
            {},
            {"main_metric": "rmse_0.8_1"},
            {"main_metric": "f1_ge_0.8", "threshold_from": validation, "threshold_gold": 0.8},  # chosen when asked
        ]
        for arguments in settings_of:
            ScoreRegionEvaluator(*data, **arguments)(static_model, epoch=1, steps=2)
        assert not caplog.text

    def test_another_header_gets_another_file(
        self, data: tuple[list[str], list[str], list[float]], static_model: SentenceTransformer, tmp_path: Path
    ) -> None:
        evaluators = [
            ScoreRegionEvaluator(*data, name="dev", at_least=at_least, bins=bins)
            for at_least, bins in (([0.8], 0), ([0.5], 0), ([0.5], 3))
        ]
        for steps in (1, 2):
            for evaluator in evaluators:
                evaluator(static_model, str(tmp_path), 1, steps)
        names = [f"score_region_evaluation_dev_results{end}.csv" for end in ("", "_2", "_3")]
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
        for name, evaluator in zip(names, evaluators, strict=True):
            with (tmp_path / name).open() as file:
                rows = list(csv.reader(file))
            assert rows[0] == ["epoch", "steps", *evaluator.metric_names]
            assert [row[1] for row in rows[1:]] == ["1", "2"]
            assert {len(row) for row in rows} == {len(rows[0])}

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="must have the same length, got 1, 2 and 1"):
            ScoreRegionEvaluator(["a"], ["b", "c"], [1.0])
        with pytest.raises(ValueError, match="scores must be a list of numbers, at least one"):
            ScoreRegionEvaluator([], [], [])

    def test_bins_quantiles_and_decisions(
        self, data: tuple[list[str], list[str], list[float]], static_model: SentenceTransformer
    ) -> None:
        evaluator = ScoreRegionEvaluator(*data, bins=4, threshold=0.5)
        metrics = evaluator(static_model)
        predicted = evaluator.predict(static_model)
        for row in error_by_score_bin(data[2], predicted, bins=4):  # type: ignore[arg-type]
            for name in ("rmse", "bias", "count"):
                assert metrics[f"{name}_bin_{row['low']:g}_{row['high']:g}"] == pytest.approx(row[name], nan_ok=True)
        sought = np.array(data[2]) >= 0.95 - 1e-9
        assert metrics["recall_ge_0.95"] == pytest.approx(recall_score(sought, predicted >= 0.5))
        assert metrics["precision_ge_0.95"] == pytest.approx(precision_score(sought, predicted >= 0.5, zero_division=0))
        assert metrics["threshold_ge_0.95"] == 0.5
        assert metrics["q5"] <= metrics["q50"] <= metrics["q95"]
        assert evaluator.get_config_dict()["threshold"] == 0.5
        stored = static_model.model_card_data.eval_results_dict[evaluator]
        assert {"spearman", "precision_ge_0.95", "rmse_0.8_1"} <= stored.keys()
        # A card tells how good a model is: counts, quantiles and the threshold itself have no better end.
        assert not {"q50", "count_ge_0.95", "count_0.8_1", "threshold_ge_0.95"} & stored.keys()
        assert not any("_bin_" in name for name in stored)
        named = ScoreRegionEvaluator(*data, bins=4, name="a_bin_set")  # a name like that of a metric hides nothing
        named(static_model)
        assert "a_bin_set_rmse" in static_model.model_card_data.eval_results_dict[named]

    def test_threshold_from_a_validation_split(
        self, data: tuple[list[str], list[str], list[float]], static_model: SentenceTransformer
    ) -> None:
        validation = ScoreRegionEvaluator(*(column[:32] for column in data), name="dev")
        evaluator = ScoreRegionEvaluator(
            *(column[32:] for column in data), threshold_from=validation, threshold_gold=0.8, threshold_metric="f0.5"
        )
        assert "f1_ge_0.8" in evaluator.metric_names
        assert math.isnan(evaluator.metrics(evaluator.scores)["f1_ge_0.8"])
        metrics = evaluator(static_model)
        expected = choose_threshold(
            data[2][:32], validation.predict(static_model), 0.8, "f0.5", chosen_on="dev"  # type: ignore[arg-type]
        )  # fmt: skip
        assert evaluator.threshold == expected
        assert metrics["threshold_ge_0.8"] == expected.value
        assert not math.isnan(metrics["f1_ge_0.8"])
        low = ScoreRegionEvaluator(*data, at_least=(), at_most=(0.2,), threshold=0.4)
        assert "recall_le_0.2" in low.metric_names

    def test_cross_encoders_score_pairs_themselves(
        self, data: tuple[list[str], list[str], list[float]], transformer_folder: Path
    ) -> None:
        model = CrossEncoder(str(transformer_folder), num_labels=1, device="cpu")
        scores = ScoreRegionEvaluator(*data).predict(model)
        assert scores == pytest.approx(model.predict(list(zip(*data[:2], strict=True))), abs=1e-5)

    def test_thresholds_refused(self, data: tuple[list[str], list[str], list[float]]) -> None:
        with pytest.raises(ValueError, match="threshold_from goes with no threshold"):
            ScoreRegionEvaluator(*data, threshold=0.5, threshold_from=ScoreRegionEvaluator(*data))
        with pytest.raises(ValueError, match=r"for example threshold_gold=0.9"):
            ScoreRegionEvaluator(*data, at_least=(), threshold=0.5)
        with pytest.raises(ValueError, match="value must be a finite number"):
            ScoreRegionEvaluator(*data, threshold=math.nan)
        two: dict[str, Any] = {"similarity_fn_names": ["cosine", "dot"]}
        with pytest.raises(ValueError, match="with one similarity function"):
            ScoreRegionEvaluator(*data, threshold_from=ScoreRegionEvaluator(*data), **two)
        with pytest.raises(ValueError, match=r"which gold score to decide for, for example gold=0.9"):
            ScoreRegionEvaluator(*data, at_least=()).choose_threshold(None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="main_metric must be one of"):
            ScoreRegionEvaluator(*data, main_metric="spread")


class TestSqueeze:
    def test_quantiles_and_spread(self) -> None:
        gold = np.linspace(0, 1, 101)
        metrics = region_metrics(gold, 0.4 + 0.3 * gold)  # type: ignore[arg-type]
        assert metrics["spread"] == pytest.approx(0.3)
        assert [metrics[f"q{level}"] for level in (5, 25, 50, 75, 95)] == pytest.approx(
            [0.415, 0.475, 0.55, 0.625, 0.685]
        )
        assert math.isnan(region_metrics([0.5, 0.5], [0.1, 0.9])["spread"])


class TestThreshold:
    def test_by_hand(self) -> None:
        gold, predicted = [1.0, 1.0, 0.5, 0.0], [0.9, 0.6, 0.7, 0.1]
        threshold = choose_threshold(gold, predicted, 0.95, chosen_on="dev")
        assert threshold.value == pytest.approx((0.6 + 0.1) / 2)  # finds three, two rightly
        assert threshold.metric_value == pytest.approx(0.8)
        assert (threshold.pairs, threshold.positives, threshold.suffix) == (4, 2, "ge_0.95")
        assert "predicted >= 0.350 for gold >= 0.95: the highest F1 on dev, 0.800" in str(threshold)
        precise = choose_threshold(gold, predicted, 0.95, "f0.5")
        assert precise.value == pytest.approx(0.8)
        low = choose_threshold(gold, predicted, gold_at_most=0.5)
        assert low.value == pytest.approx((0.7 + 0.9) / 2)
        assert low.is_found([0.8, 0.81]).tolist() == [True, False]

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 8)), min_size=2, max_size=30),
        st.sampled_from(["f1", "f0.5", "f2"]),
        st.booleans(),
    )
    def test_no_other_threshold_is_better(self, rows: list[tuple[float, int]], metric: str, low: bool) -> None:
        gold, predicted = [row[0] for row in rows], [row[1] / 8 for row in rows]
        limit = {"gold_at_most": 0.0} if low else {"gold_at_least": 1.0}
        sought = np.array(gold) <= 0 if low else np.array(gold) >= 1
        if sought.all() or not sought.any():
            with pytest.raises(ValueError, match="there is nothing to choose"):
                choose_threshold(gold, predicted, metric=metric, **limit)
            return
        found = choose_threshold(gold, predicted, metric=metric, **limit)
        beta = float(metric[1:])
        best = max(
            fbeta_score(sought, np.array(predicted) <= cut if low else np.array(predicted) >= cut, beta=beta)
            for cut in predicted
        )
        taken = found.is_found(predicted)
        assert fbeta_score(sought, taken, beta=beta) == pytest.approx(best)
        assert found.metric_value == pytest.approx(best)
        # The tied go one way, and the order of the rows does not matter.
        assert all(len({bool(taken[i]) for i, score in enumerate(predicted) if score == cut}) == 1 for cut in predicted)
        assert choose_threshold(gold[::-1], predicted[::-1], metric=metric, **limit) == found
        # Rounding moves no pair across, unless the threshold has no neighbour on that side.
        if not taken.all():
            assert (found.is_found(np.array(predicted) + 1e-7) == taken).all()
            assert (found.is_found(np.array(predicted) - 1e-7) == taken).all()

    @pytest.mark.parametrize(
        ("known", "end"),
        [
            ({}, "the highest F1 on a validation split"),
            ({"pairs": 1500}, "the highest F1 on a validation split (1,500 pairs)"),
            ({"positives": 94, "metric_value": 0.5}, "the highest F1 on a validation split, 0.500 (94 to be found)"),
            ({"pairs": 1500, "positives": 94}, "a validation split (1,500 pairs, 94 to be found)"),
        ],
    )
    def test_is_shown_as_far_as_it_is_known(self, known: dict[str, Any], end: str) -> None:
        found = ScoreThreshold.from_dict({"value": 0.8, "gold": 0.95, "metric": "f1", **known})
        assert str(found).startswith("predicted >= 0.800 for gold >= 0.95: ")
        assert str(found).endswith(end)

    def test_metrics_where_nothing_is_found_or_sought(self) -> None:
        metrics = region_metrics([1.0, 0.0], [0.4, 0.3], thresholds=[ScoreThreshold(0.9, 0.95)])
        assert [metrics[f"{name}_ge_0.95"] for name in ("precision", "recall", "f1")] == [0, 0, 0]
        metrics = region_metrics([0.1, 0.0], [0.4, 0.3], thresholds=[ScoreThreshold(0.35, 0.95)])
        assert math.isnan(metrics["f1_ge_0.95"])

    def test_refused(self) -> None:
        with pytest.raises(ValueError, match="either gold_at_least or gold_at_most"):
            choose_threshold([1, 0], [0.1, 0.2])
        with pytest.raises(ValueError, match=r"quantiles must rise, got \(2\.0, 1\.0\)"):
            ScoreThreshold(0.5, 1.0, quantiles=(2.0, 1.0))
        with pytest.raises(ValueError, match=r"one of f1, f0\.5, f2, precision, recall, fpr, got 'accuracy'"):
            choose_threshold([1, 0], [0.1, 0.2], 1.0, "accuracy")
        with pytest.raises(ValueError, match=r"no pair of dev has gold at least 0\.9"):
            choose_threshold([0.5, 0.1], [0.1, 0.2], 0.9, chosen_on="dev")
        for config in ({"value": "high", "gold": 1}, {"value": 0.5}, [1], {"value": 0.5, "gold": 1, "side": "left"}):
            with pytest.raises(ValueError, match="is not the config of a score threshold"):
                ScoreThreshold.from_dict(config)

    def test_is_saved_and_loaded_with_the_model(
        self, pair_dataset: Dataset, static_model: SentenceTransformer, tmp_path: Path
    ) -> None:
        columns = [list(pair_dataset[name]) for name in ("sentence1", "sentence2", "score")]
        threshold = store_threshold(static_model, ScoreRegionEvaluator(*columns, name="dev"), gold=0.8)
        assert load_threshold(static_model) == threshold
        for name, model in (
            ("model", static_model),
            ("copy", copy.deepcopy(static_model)),
            ("pickled", pickle.loads(pickle.dumps(static_model))),
        ):
            model.save_pretrained(str(tmp_path / name))
            assert load_threshold(tmp_path / name) == threshold
        config = json.loads((tmp_path / "model" / "config_sentence_transformers.json").read_text(encoding="utf-8"))
        assert config["model_type"] == "SentenceTransformer"
        loaded = SentenceTransformer(str(tmp_path / "model"), device="cpu")
        assert np.allclose(loaded.encode("a man"), static_model.encode("a man"))
        # What was loaded may be trained on: it does not carry the threshold of the old weights.
        loaded.save_pretrained(str(tmp_path / "again"))
        assert load_threshold(str(tmp_path / "again")) is None
        remember_threshold(static_model, None)
        static_model.save_pretrained(str(tmp_path / "forgotten"))
        assert load_threshold(static_model) is None
        assert load_threshold(tmp_path / "forgotten") is None

    def test_a_folder_without_a_config(self, tmp_path: Path) -> None:
        assert load_threshold(tmp_path) is None
