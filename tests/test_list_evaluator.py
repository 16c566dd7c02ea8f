"""List metrics against written-out values, scikit-learn and the evaluators of Sentence Transformers; in a trainer."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from sentence_transformers.sentence_transformer.evaluation import RerankingEvaluator
from sklearn.metrics import average_precision_score, ndcg_score

from selective_st.evaluation import ScoreListEvaluator, ScoreRegionEvaluator, list_metrics, ranking_metrics
from selective_st.losses import SelectivePointwiseLoss
from tests import random_inputs
from tests.model_types import multi_vector_model, sentence, splade_model
from tests.tolerances import about, operations_of, rounding

pytestmark = pytest.mark.numerical


@pytest.fixture(scope="module")
def samples(pairs: list[tuple[str, str, float]]) -> list[dict[str, Any]]:
    texts = [second for _, second, _ in pairs]
    return [
        {"query": pairs[i][0], "positive": texts[i : i + 1 + i % 3], "negative": texts[i + 4 : i + 16]}
        for i in range(0, 40, 4)
    ]


@pytest.fixture
def graded(pairs: list[tuple[str, str, float]]) -> list[dict[str, Any]]:
    return [
        {
            "query": pairs[i][0],
            "documents": [second for _, second, _ in pairs[i : i + 6]],
            "labels": [score / 5 for *_, score in pairs[i : i + 6]],
        }
        for i in range(0, 60, 6)
    ]


@pytest.fixture
def cross_encoder(transformer_folder: Path) -> CrossEncoder:
    """Its weights are ten times those of its folder, by which all pairs would score alike up to rounding."""
    model = CrossEncoder(str(transformer_folder), num_labels=1, device="cpu")
    for parameter in model.parameters():
        parameter.data.mul_(10 if parameter.dim() > 1 else 1)
    return model


class TestMetrics:
    def test_by_hand(self) -> None:
        labels = [[1, 0, 1, 0], [0, 1]]
        scores = [[0.9, 0.8, 0.7, 0.1], [0.6, 0.4]]
        metrics = list_metrics(labels, scores, at_k=[1, 2])
        assert metrics["map"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
        assert metrics["mrr@1"] == pytest.approx((1 + 0) / 2)
        assert metrics["mrr@2"] == pytest.approx((1 + 1 / 2) / 2)
        assert metrics["recall@1"] == pytest.approx((1 / 2 + 0) / 2)
        assert metrics["recall@2"] == pytest.approx((1 / 2 + 1) / 2)
        assert metrics["ndcg@2"] == pytest.approx((1 / (1 + 1 / math.log2(3)) + 1 / math.log2(3)) / 2)
        assert (metrics["lists"], metrics["questions"]) == (2, 2)
        assert not any(name.startswith("rmse") for name in metrics)

    def test_error_of_the_top_by_hand(self) -> None:
        labels, scores = [[1.0, 0.8, 0.2], [0.5, 0.1, 0.0]], [[0.9, 0.5, 0.6], [0.7, 0.9, 0.9]]
        metrics = list_metrics(labels, scores, at_k=[1, 2])
        assert metrics["bias_top@1"] == pytest.approx((-0.1 + 0.2) / 2)
        assert metrics["rmse_top@1"] == pytest.approx(math.sqrt((0.01 + 0.04) / 2))
        assert metrics["bias_top@2"] == pytest.approx(((-0.1 - 0.3) / 2 + (0.2 + 0.8) / 2) / 2)
        assert metrics["rmse_top@2"] == pytest.approx(math.sqrt(((0.01 + 0.09) / 2 + (0.04 + 0.64) / 2) / 2))

    def test_candidates_tied_with_the_last_of_the_top_count(self) -> None:
        metrics = list_metrics([[0.9, 0.5, 0.5]], [[0.9, 0.5, 0.8]], at_k=[2])
        assert metrics["bias_top@2"] == pytest.approx(0.1)

    def test_ties_never_favour_the_model(self) -> None:
        tied = list_metrics([[1, 0, 0, 0]], [[0.5] * 4], at_k=[1, 3, 4])
        assert (tied["mrr@3"], tied["mrr@4"], tied["recall@3"], tied["recall@4"]) == (0, 1 / 4, 0, 1)
        partly = list_metrics([[0, 1, 1]], [[0.9, 0.5, 0.5]], at_k=[10])
        assert partly["map"] == pytest.approx((1 / 2 + 2 / 3) / 2)  # 0.667 where ties favour the model
        assert tied["map"] == pytest.approx(1 / 4)
        assert tied["ndcg@4"] == pytest.approx(sum(1 / math.log2(rank + 1) for rank in range(1, 5)) / 4)

    def test_lists_that_say_nothing_are_left_out(self) -> None:
        metrics = list_metrics([[1, 1], [0, 0], [1, 0]], [[0.1, 0.2], [0.3, 0.4], [0.9, 0.1]])
        assert (metrics["lists"], metrics["questions"], metrics["map"], metrics["ndcg@10"]) == (3, 1, 1, 1)
        assert math.isnan(list_metrics([[1, 1]], [[0.1, 0.2]])["map"])

    def test_agrees_with_ranking_metrics(self) -> None:
        generator = np.random.default_rng(random_inputs.seed_of(0))
        labels, scores = np.tile([0.0, 1.0, 0.5, 0.0, 0.9], 20), generator.integers(0, 4, 100) / 4
        of_lists = list_metrics(labels.reshape(20, 5), scores.reshape(20, 5))  # type: ignore[arg-type]
        of_rows = ranking_metrics(np.split(np.arange(100), 20), labels, scores)  # type: ignore[arg-type]
        assert {name: of_lists[name] for name in of_rows} == pytest.approx(of_rows)

    @seed(random_inputs.seed_of())
    @settings(max_examples=40, deadline=None, database=None)
    @given(st.data())
    def test_against_scikit_learn_and_whatever_the_order(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(2, 8))
        labels = data.draw(st.lists(st.sampled_from([0.0, 0.3, 0.8, 1.0]), min_size=size, max_size=size))
        scores = data.draw(st.lists(st.integers(-3, 3).map(lambda n: n / 3), min_size=size, max_size=size))
        k = data.draw(st.integers(1, 9))
        metrics = list_metrics([labels], [scores], at_k=[k])
        relevant = np.array(labels) >= 0.8
        if relevant.any() and not relevant.all():
            # No order of the tied is worse than what is reported.
            of_orders = [
                average_precision_score(relevant[list(order)], range(size, 0, -1))
                for order in _orders(relevant, scores)
            ]
            assert metrics["map"] == pytest.approx(min(of_orders))
            if len(set(scores)) == size:
                assert metrics["map"] == pytest.approx(average_precision_score(relevant, scores))
            worst = min(
                ((relevant[list(order)][:k]).sum() / relevant.sum() for order in _orders(relevant, scores)),
            )
            assert metrics[f"recall@{k}"] == pytest.approx(worst)
        else:
            assert math.isnan(metrics["map"])
        if len(set(labels)) > 1:
            assert metrics[f"ndcg@{k}"] == pytest.approx(ndcg_score([labels], [scores], k=k))
        order = data.draw(st.permutations(range(size)))
        shuffled = list_metrics([[labels[i] for i in order]], [[scores[i] for i in order]], at_k=[k])
        assert shuffled == pytest.approx(metrics, nan_ok=True)

    def test_a_better_positive_never_lowers_a_metric(self) -> None:
        generator = np.random.default_rng(random_inputs.seed_of(1))
        labels = [[1.0, 0.0, 0.0, 1.0, 0.0]]
        for _ in range(20):
            scores = generator.integers(0, 4, 5).astype(float)
            raised = scores.copy()
            raised[0] += 1.5
            before, after = (list_metrics(labels, [row.tolist()], at_k=[2]) for row in (scores, raised))
            for name in ("map", "mrr@2", "recall@2", "ndcg@2"):
                assert after[name] >= before[name] - 1e-12

    @pytest.mark.parametrize(
        ("labels", "scores", "changes", "message"),
        [
            ([[1, 0]], [], {}, "labels and scores must have the same length, got 1 and 0"),
            ([[1, 0]], [[0.5]], {}, r"labels\[0\] and scores\[0\] must have the same length, got 2 and 1"),
            ([[1, math.nan]], [[0.5, 0.1]], {}, r"labels\[0\] must hold finite numbers, got nan in row 1"),
            ([[1, 0]], [[0.5, 0.1]], {"at_k": [0]}, "at_k must be a whole number of at least 1, got 0"),
            ([[1, 0]], [[0.5, 0.1]], {"at_k": []}, "at_k must hold cutoffs, at least one"),
        ],
    )
    def test_refused(self, labels: Any, scores: Any, changes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            list_metrics(labels, scores, **changes)


def samples_of(texts: list[str]) -> list[dict[str, Any]]:
    """Queries whose candidates came in no order."""
    labelled = {"query": texts[0], "documents": texts[1:4], "labels": [1, 0, 0]}
    return [labelled, {"query": texts[4], "positive": texts[5], "negative": texts[6]}]


def _orders(relevant: Any, scores: list[float]) -> list[tuple[int, ...]]:
    """Two orders by falling score: of the tied the positives first, and last."""
    return [
        tuple(sorted(range(len(scores)), key=lambda i: (-scores[i], first * int(relevant[i])))) for first in (-1, 1)
    ]


class TestEvaluator:
    def test_against_the_reranking_evaluator(
        self, samples: list[dict[str, Any]], transformer_model: SentenceTransformer
    ) -> None:
        theirs = RerankingEvaluator(samples, at_k=5, name="dev")(transformer_model)
        ours = ScoreListEvaluator(samples, at_k=5, name="dev")(transformer_model)
        assert {name: ours[name] for name in theirs} == about(theirs, torch.float64)

    def test_against_the_cross_encoder_reranking_evaluator(
        self, samples: list[dict[str, Any]], cross_encoder: CrossEncoder
    ) -> None:
        theirs = CrossEncoderRerankingEvaluator(samples, at_k=5, name="dev")(cross_encoder)
        ours = ScoreListEvaluator(samples, at_k=5, name="dev")(cross_encoder)
        assert {name: ours[name] for name in theirs} == about(theirs, torch.float64)
        ranked = [
            {"query": sample["query"], "positive": sample["positive"], "documents": sample["negative"]}
            for sample in samples
        ]
        theirs = CrossEncoderRerankingEvaluator(ranked, at_k=5)(cross_encoder)
        ours = ScoreListEvaluator(ranked, at_k=5)(cross_encoder)
        assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-5)

    @pytest.mark.parametrize("always", [True, False])
    def test_the_order_of_a_first_stage(
        self, pairs: list[tuple[str, str, float]], cross_encoder: CrossEncoder, always: bool
    ) -> None:
        """Positives at several places, missing in part, or not found at all."""
        texts = [second for _, second, _ in pairs]
        samples = [
            {"query": pairs[i][0], "positive": texts[i : i + 2], "documents": texts[i - i % 3 * 2 : i + 7 - i % 5]}
            for i in range(6, 40)
        ]
        samples += [{"query": pairs[0][0], "positive": ["not found"], "documents": texts[1:5]}]
        settings: dict[str, Any] = {"at_k": 3, "always_rerank_positives": always, "name": "dev"}
        theirs = CrossEncoderRerankingEvaluator(samples, **settings)(cross_encoder)
        evaluator = ScoreListEvaluator(samples, **settings)
        ours = evaluator(cross_encoder)
        assert len({round(ours[f"dev_{name}"], 3) for name in ("map", "base_map", "ndcg@3", "base_ndcg@3")}) == 4
        assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-5)
        assert evaluator.get_config_dict()["always_rerank_positives"] is always
        assert ours["dev_questions"] == ours["dev_lists"] == len(samples)
        assert not any(name.startswith("base_") for name in ScoreListEvaluator(samples_of(texts)).metric_names)

    def test_the_order_by_hand(self) -> None:
        sample = {"query": "a", "positive": ["p", "q"], "documents": ["x", "p", "y"]}
        evaluator = ScoreListEvaluator([sample], at_k=[1, 2])
        assert evaluator.documents == [["p", "q", "x", "y"]]
        metrics = evaluator.metrics([[0.9, 0.8, 0.1, 0.0]])
        assert (metrics["map"], metrics["base_mrr@1"], metrics["base_mrr@2"]) == (1, 0, 1 / 2)
        assert metrics["base_map"] == pytest.approx((1 / 2 + 2 / 4) / 2)  # what was not found comes last
        only = ScoreListEvaluator([sample, sample | {"positive": "z"}], at_k=1, always_rerank_positives=False)
        assert only.documents == [["x", "p", "y"]]
        metrics = only.metrics([[0.1, 0.9, 0.0]])
        assert (metrics["map"], metrics["recall@1"], metrics["questions"]) == (1 / 2, 1 / 2, 2)
        assert {str(support) for support in only.support().values()} == {"2 lists"}
        with pytest.raises(ValueError, match="at least one query, with a positive among its documents"):
            ScoreListEvaluator([sample | {"positive": "z"}], always_rerank_positives=False)

    def test_mrr_at_k_is_upstreams_older_name(self, samples: list[dict[str, Any]]) -> None:
        assert ScoreListEvaluator(samples, mrr_at_k=3).primary_metric == "ndcg@3"

    def test_exponential_gains(self) -> None:
        labels, scores = [[3.0, 1.0, 0.0]], [[0.2, 0.9, 0.1]]
        by_hand = (1 / 1 + 7 / math.log2(3)) / (7 / 1 + 1 / math.log2(3))
        found = list_metrics(labels, scores, at_k=[2], gains="exponential", top_error=False)
        assert found["ndcg@2"] == pytest.approx(by_hand)
        linear = (1 / 1 + 3 / math.log2(3)) / (3 / 1 + 1 / math.log2(3))
        assert list_metrics(labels, scores, at_k=[2], top_error=False)["ndcg@2"] == pytest.approx(linear)
        sample = {"query": "a", "documents": ["b", "c", "d"], "labels": labels[0]}
        evaluator = ScoreListEvaluator([sample], at_k=2, gains="exponential")
        assert evaluator.metrics(scores)["ndcg@2"] == pytest.approx(by_hand)
        assert evaluator.get_config_dict()["gains"] == "exponential"
        for make in (lambda: list_metrics(labels, scores, gains="x"), lambda: ScoreListEvaluator([sample], gains="x")):  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="gains must be one of linear, exponential, got"):
                make()

    def test_scores_are_the_models_own(
        self, graded: list[dict[str, Any]], static_model: SentenceTransformer, cross_encoder: CrossEncoder
    ) -> None:
        evaluator = ScoreListEvaluator(graded)
        for row, scores in enumerate(evaluator.predict(static_model)):
            expected = static_model.similarity(
                static_model.encode([evaluator.queries[row]]), static_model.encode(evaluator.documents[row])
            )
            assert scores == about(expected[0].numpy(), torch.float32)
        scores = evaluator.predict(cross_encoder)[3]
        pairs = [(evaluator.queries[3], document) for document in evaluator.documents[3]]
        assert scores == about(cross_encoder.predict(pairs), torch.float32, operations_of(cross_encoder))

    @pytest.mark.parametrize("similarity", ["maxsim", "meanmaxsim"])
    def test_late_interaction(self, similarity: str) -> None:
        model = multi_vector_model()
        model.similarity_fn_name = similarity
        model.prompts = {"query": "red old ", "document": "the "}
        # Some texts stand in several lists, and no two lists are of one size.
        samples = [
            {
                "query": sentence(i // 2),
                "documents": [f"{sentence(j)} {sentence(j + 1)}"[: 20 + 4 * j] for j in range(i, 2 * i + 2)],
                "labels": [j / 8 for j in range(i + 2)],
            }
            for i in range(4)
        ]
        evaluator = ScoreListEvaluator(samples, name="dev")
        predicted = evaluator.predict(model)
        operations = operations_of(model)
        for sample, scores in zip(samples, predicted, strict=True):
            queries, documents = model.encode_query([sample["query"]]), model.encode_document(sample["documents"])
            by_hand = [(queries[0] @ document.T).amax(1) for document in documents]
            total = torch.stack([best.sum() if similarity == "maxsim" else best.mean() for best in by_hand])
            assert scores == about(total.numpy(), torch.float32, operations)
            assert scores == about(model.similarity(queries, documents)[0].numpy(), torch.float32, operations)
            assert np.ptp(scores) > 10 * rounding(torch.float32, operations) * scores.max()
        metrics = evaluator(model)
        assert evaluator in model.model_card_data.eval_results_dict
        assert metrics["dev_ndcg@10"] == list_metrics(evaluator.labels, predicted, at_k=[10])["ndcg@10"]  # type: ignore[arg-type]
        regions = ScoreRegionEvaluator(
            [sample["query"] for sample in samples],
            [sample["documents"][0] for sample in samples],
            [0.0, 0.3, 0.6, 1.0],
        )
        # Queries stay queries there too.
        assert regions.predict(model) == about([scores[0] for scores in predicted], torch.float32, operations)
        assert "rmse" in regions(model)

    def test_sparse(self) -> None:
        model = splade_model()
        samples = [
            {"query": sentence(i), "positive": [sentence(i + 1)], "negative": [sentence(i + 2), sentence(i + 3)]}
            for i in range(4)
        ]
        evaluator = ScoreListEvaluator(samples)
        predicted = evaluator.predict(model)
        for row, scores in enumerate(predicted):
            query = model.encode_query([evaluator.queries[row]])
            expected = model.similarity(query, model.encode_document(evaluator.documents[row]))
            assert scores == about(expected[0].numpy(), torch.float32, operations_of(model))
            assert np.ptp(scores) > 0.01
        assert evaluator(model)["questions"] == 4

    def test_prompts_are_used(self, graded: list[dict[str, Any]], transformer_model: SentenceTransformer) -> None:
        before = ScoreListEvaluator(graded).predict(transformer_model)
        transformer_model.prompts = {"query": "a man is ", "document": "the "}
        after = ScoreListEvaluator(graded).predict(transformer_model)
        assert not np.allclose(before[0], after[0])

    def test_graded_labels_report_errors(
        self, graded: list[dict[str, Any]], samples: list[dict[str, Any]], static_model: SentenceTransformer
    ) -> None:
        metrics = ScoreListEvaluator(graded, at_k=(1, 3))(static_model)
        assert {"rmse_top@1", "bias_top@3"} <= set(metrics)
        assert "rmse_top@10" not in ScoreListEvaluator(samples).metric_names
        assert "rmse_top@10" in ScoreListEvaluator(samples, top_error=True).metric_names
        evaluator = ScoreListEvaluator(graded, at_k=3, main_metric="rmse_top@3")
        assert evaluator.primary_metric == "negative_rmse_top@3"
        assert evaluator.greater_is_better

    def test_csv_and_card(
        self, graded: list[dict[str, Any]], static_model: SentenceTransformer, tmp_path: Path
    ) -> None:
        evaluator = ScoreListEvaluator(graded, name="dev")
        for epoch in (1, 2):
            metrics = evaluator(static_model, str(tmp_path), epoch=epoch, steps=10 * epoch)
        with (tmp_path / "score_list_evaluation_dev_results.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["1", "2"]
        assert float(rows[1]["ndcg@10"]) == pytest.approx(metrics["dev_ndcg@10"])
        assert evaluator.primary_metric == "dev_ndcg@10"
        assert evaluator in static_model.model_card_data.eval_results_dict
        assert evaluator.get_config_dict() == {"at_k": [10], "positive_from": 0.8}

    @pytest.mark.parametrize(
        ("sample", "message"),
        [
            ({"positive": ["a"], "negative": ["b"]}, r"must have the keys \('query', 'positive', 'negative'\), or"),
            ({"query": "a", "documents": ["b"]}, r"it has \('query', 'documents'\)"),
            (
                {"query": "a", "documents": ["b", "c"], "labels": [1.0]},
                "documents and labels must have the same length",
            ),
            (
                {"query": "a", "positive": "b", "negative": ["c"], "labels": [1, 0]},
                r"it has \('query', 'positive', 'negative', 'labels'\)",
            ),
            ({"query": "a", "documents": ["b"], "labels": [math.nan]}, "finite numbers"),
            ({"query": "a", "documents": [3], "labels": [1.0]}, "must hold texts"),
            ({"query": "a", "positive": [], "negative": []}, "at least one query"),
            # One of two would be dropped in silence.
            ({"query": "a", "positive": "b", "negative": ["c"], "documents": ["b", "d"]}, "and no more of these"),
            ({"query": "a", "positive": "b", "documents": ["b", "c"], "labels": [1, 0]}, "and no more of these"),
            (
                {"query": "a", "positive": "b", "negative": "c", "documents": ["b", "c"], "labels": [1, 0]},
                "and no more of these",
            ),
            ({"query": "a", "negative": ["b"], "documents": ["b"], "labels": [1]}, "and no more of these"),
        ],
    )
    def test_bad_samples(self, sample: dict[str, Any], message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            ScoreListEvaluator([sample])

    def test_columns_without_a_value_are_left_out(self) -> None:
        """As rows of a dataset have them, where some queries have the one and some the other."""
        sample = {"query": "a", "positive": "b", "negative": ["c"], "documents": None, "labels": None}
        assert ScoreListEvaluator([sample]).documents == [["b", "c"]]

    def test_bad_settings(self, samples: list[dict[str, Any]]) -> None:
        with pytest.raises(ValueError, match="at least one query"):
            ScoreListEvaluator([])
        with pytest.raises(ValueError, match=r"main_metric must be one of map, .* got 'lists'"):
            ScoreListEvaluator(samples, main_metric="lists")
        with pytest.raises(ValueError, match="at_k must be a whole number of at least 1"):
            ScoreListEvaluator(samples, at_k=0)
        with pytest.raises(ValueError, match="at_k must be a whole number of at least 1"):
            ScoreListEvaluator(samples, mrr_at_k=0)
        with pytest.raises(TypeError, match="always_rerank_positives must be of type bool, got 'no'"):
            ScoreListEvaluator(samples, always_rerank_positives="no")  # type: ignore[arg-type]

    def test_warns_where_the_main_metric_cannot_choose(
        self, static_model: SentenceTransformer, caplog: pytest.LogCaptureFixture
    ) -> None:
        short = [{"query": "a pet", "positive": "a cat", "negative": ["a car"]}]
        ScoreListEvaluator(short)(static_model, epoch=1, steps=2)
        assert not caplog.text
        ScoreListEvaluator([{"query": "a pet", "positive": ["a cat"], "negative": []}])(static_model, epoch=1, steps=2)
        assert "ScoreListEvaluator: main_metric ndcg@10 is not defined with these labels" in caplog.text
        assert "on the scale of the scores, some of each kind." in caplog.text  # no other metric is either
        caplog.clear()
        ScoreListEvaluator(short, at_k=[1, 2], main_metric="recall@2")(static_model, epoch=1, steps=2)
        assert "recall@2 is 1 for every model with these labels" in caplog.text
        assert "or name another: main_metric='map'" in caplog.text
        caplog.clear()
        ScoreListEvaluator(short, at_k=[1, 2], main_metric="recall@1")(static_model, epoch=1, steps=2)
        assert not caplog.text

    def test_a_cross_encoder_with_several_scores(self, samples: list[dict[str, Any]], transformer_folder: Path) -> None:
        model = CrossEncoder(str(transformer_folder), num_labels=3, device="cpu")
        with pytest.raises(ValueError, match="gives 3 scores for a pair"):
            ScoreListEvaluator(samples)(model)


@pytest.mark.slow
class TestTrainers:
    def test_bi_encoder(
        self,
        static_model: SentenceTransformer,
        pair_dataset: Dataset,
        graded: list[dict[str, Any]],
        tmp_path: Path,
    ) -> None:
        arguments = SentenceTransformerTrainingArguments(
            str(tmp_path), max_steps=4, eval_strategy="steps", eval_steps=2, save_steps=2, learning_rate=0.1,
            per_device_train_batch_size=16, report_to="none", use_cpu=True, disable_tqdm=True,
            load_best_model_at_end=True, metric_for_best_model="eval_dev_ndcg@10",
        )  # fmt: skip
        texts = [list(pair_dataset[name]) for name in ("sentence1", "sentence2")]
        validation = ScoreRegionEvaluator(*texts, list(pair_dataset["score"]), name="validation")
        regions = ScoreRegionEvaluator(
            *texts, list(pair_dataset["score"]), name="test", bins=4, threshold_from=validation
        )
        trainer = SentenceTransformerTrainer(
            static_model,
            arguments,
            train_dataset=pair_dataset,
            loss=SelectivePointwiseLoss(static_model),
            evaluator=[ScoreListEvaluator(graded, name="dev"), regions],
        )
        trainer.train()
        logged = [entry for entry in trainer.state.log_history if "eval_dev_ndcg@10" in entry]
        assert len(logged) == 2
        assert {"eval_dev_rmse_top@10", "eval_test_f1_ge_0.95", "eval_test_rmse_bin_0.75_1"} <= set(logged[0])
        files = sorted(path.name for path in tmp_path.rglob("*_results.csv"))
        assert files == ["score_list_evaluation_dev_results.csv", "score_region_evaluation_test_results.csv"]
        static_model.save_pretrained(str(tmp_path / "model"))
        card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
        for shown in ("Score Lists", "ndcg@10", "rmse_top@10", "Score Regions", "f1_ge_0.95"):
            assert shown in card
        assert "rmse_bin" not in card

    def test_cross_encoder(
        self, cross_encoder: CrossEncoder, samples: list[dict[str, Any]], pair_dataset: Dataset, tmp_path: Path
    ) -> None:
        arguments = CrossEncoderTrainingArguments(
            str(tmp_path), max_steps=2, eval_strategy="steps", eval_steps=2, save_strategy="no", report_to="none",
            per_device_train_batch_size=8, use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        trainer = CrossEncoderTrainer(
            cross_encoder,
            arguments,
            train_dataset=pair_dataset,
            loss=BinaryCrossEntropyLoss(cross_encoder),
            evaluator=ScoreListEvaluator(samples, name="dev"),
        )
        trainer.train()
        assert any("eval_dev_map" in entry for entry in trainer.state.log_history)
