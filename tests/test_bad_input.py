"""Wrong inputs of wrong types, shapes and sizes: each is refused with the argument, what it got, and what mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformer

from selective_st import conversion, plotting, report, training
from selective_st.evaluation import (
    ScoreListEvaluator,
    ScoreRegionEvaluator,
    ScoreThreshold,
    choose_threshold,
    error_by_score_bin,
    list_metrics,
    load_threshold,
    predict_scores,
    ranking_metrics,
    region_metrics,
    remember_threshold,
    store_threshold,
)
from selective_st.evaluation.comparison import compare, metric_meaning
from selective_st.focus import parse_focus
from selective_st.layouts import GradedPairs
from selective_st.links import high_scores
from selective_st.losses import SelectivePointwiseLoss
from selective_st.model_card import SelectiveModelCardCallback, add_to_model_card, describe_link
from selective_st.registry import Step, check_dataset, create_loss, detect_format, register_loss, suggest_losses

GOLD, PREDICTED = [0.0, 0.5, 0.9, 1.0], [0.1, 0.4, 0.8, 0.9]
FIRST, SECOND = ["a b", "c d", "e f", "g h"], ["i j", "k l", "m n", "o p"]
PAIRS = Dataset.from_dict({"a": FIRST, "b": SECOND, "score": GOLD})
NO_ROWS = PAIRS.select([])
TRIPLETS = Dataset.from_dict({"q": FIRST, "p": SECOND, "n": FIRST})
SINGLE = Dataset.from_dict({"text": ["cat", "dog", "oak", "elm"], "label": [0, 0, 1, 1]})
LISTS = Dataset.from_dict({"query": ["x"], "documents": [["a", "b"]], "scores": [[0.9, 0.1]]})
GRADED = GradedPairs(Dataset.from_dict({"sentence1": FIRST, "sentence2": SECOND, "score": GOLD}), "four pairs")
SAMPLES = [{"query": "q", "positive": "a", "negative": ["b"]}]
LINKS = {"high": high_scores()}
BIN = {"low": 0.0, "high": 1.0, "rmse": 0.1, "bias": 0.1}
POINT = plotting.FrontierPoint("x", 1.0, 1.0)
FOCUS = parse_focus("high")


def regions(*given: Any, **more: Any) -> Any:
    return region_metrics(*(given or (GOLD, PREDICTED)), **more)


def evaluator(*given: Any, **more: Any) -> ScoreRegionEvaluator:
    return ScoreRegionEvaluator(*(given or (FIRST, SECOND, GOLD)), **more)


def compared(predicted: Any = None, **more: Any) -> Any:
    return compare(GOLD, {"m": PREDICTED} if predicted is None else predicted, **more)


def measured(*metrics: str, main: str = "rmse") -> report.Measured:
    return report.Measured("pairs", "high", "gold scores from 0.8 to 1", main, metrics or ["rmse"])


# What is called, by what the message must name: the argument, then what it got or what mends it.
# Each takes a model and a folder.
Call = Callable[[Any, Path], Any]
CASES: list[tuple[str, Call]] = [
    # Metrics.
    ("gold must be a list of numbers.*'abc'", lambda m, f: regions("abc", PREDICTED)),
    ("gold must be a list of numbers, at least one", lambda m, f: regions([], [])),
    ("gold must be a list of numbers, at least one", lambda m, f: regions([GOLD], [PREDICTED])),
    ("predicted must be a list of numbers", lambda m, f: regions(GOLD, ["x"] * 4)),
    ("at_least must be a list of thresholds, got 0.8", lambda m, f: regions(at_least=0.8)),
    (r"at_least\[0\] must be a finite number", lambda m, f: regions(at_least=["x"])),
    (r"at_least must be a list.*\[0.8, 0.95\]", lambda m, f: regions(at_least="0.8")),
    (r"regions\[0\] must be a list of two numbers, got 0.8", lambda m, f: regions(regions=(0.8, 1.0))),
    ("regions must be a list of pairs", lambda m, f: regions(regions=5)),
    (r"regions\[0\] must be two numbers", lambda m, f: regions(regions=[(0, 0.5, 1)])),
    ("bins must be a whole number", lambda m, f: regions(bins=2.5)),
    ("bins must be a whole number", lambda m, f: regions(bins=-1)),
    ("score_range must be a list of two numbers", lambda m, f: regions(bins=3, bin_range=5)),
    ("thresholds must be of type ScoreThreshold", lambda m, f: regions(thresholds=[0.5])),
    ("labels must be a list of numbers", lambda m, f: ranking_metrics([[0, 1]], "ab", PREDICTED)),  # type: ignore[arg-type]
    ("groups must be a list of lists", lambda m, f: ranking_metrics(5, GOLD, PREDICTED)),  # type: ignore[arg-type]
    ("groups must hold.*numbers of its rows", lambda m, f: ranking_metrics([[0.5, 1]], GOLD, PREDICTED)),  # type: ignore[list-item]
    ("groups must hold.*numbers of its rows", lambda m, f: ranking_metrics([["a"]], GOLD, PREDICTED)),  # type: ignore[list-item]
    ("groups must hold.*numbers of its rows", lambda m, f: ranking_metrics([[[0, 1]]], GOLD, PREDICTED)),  # type: ignore[list-item]
    ("labels must be a list", lambda m, f: list_metrics(5, 5)),  # type: ignore[arg-type]
    (r"labels\[0\] must be a list of numbers", lambda m, f: list_metrics(["ab"], ["ab"])),  # type: ignore[list-item]
    ("at_k must be a list of cutoffs", lambda m, f: list_metrics([[1, 0]], [[1, 0]], at_k=None)),  # type: ignore[arg-type]
    ("top_error must be of type bool", lambda m, f: list_metrics([[1, 0]], [[1, 0]], top_error="x")),  # type: ignore[arg-type]
    ("gold must be a list of numbers", lambda m, f: error_by_score_bin("a", "b")),  # type: ignore[arg-type]
    ("bins must be a whole number", lambda m, f: error_by_score_bin(GOLD, PREDICTED, bins="x")),  # type: ignore[arg-type]
    ("bins must be a whole number", lambda m, f: error_by_score_bin(GOLD, PREDICTED, bins=True)),
    ("score_range must be two numbers", lambda m, f: error_by_score_bin(GOLD, PREDICTED, score_range=(0, 1, 2))),  # type: ignore[arg-type]
    ("no metric named ''", lambda m, f: metric_meaning("")),
    # Thresholds and models.
    ("gold must be a list of numbers", lambda m, f: choose_threshold("a", "b", 0.9)),  # type: ignore[arg-type]
    ("metric must be one of f1", lambda m, f: choose_threshold(GOLD, PREDICTED, 0.9, metric=["f1"])),  # type: ignore[arg-type]
    ("model must be the folder of a model.*''", lambda m, f: load_threshold("")),
    ("model must be the folder of a model", lambda m, f: load_threshold(str(f / "nowhere"))),
    ("threshold must be of type ScoreThreshold", lambda m, f: remember_threshold(m, 0.5)),  # type: ignore[arg-type]
    ("model must be a SentenceTransformer.*Load it", lambda m, f: store_threshold(5, evaluator())),  # type: ignore[arg-type]
    ("model must be a SentenceTransformer", lambda m, f: predict_scores("name", FIRST, SECOND)),
    ("first and second must have the same length", lambda m, f: predict_scores(m, FIRST, SECOND[:2])),
    ("first and second must hold texts, at least one, got none", lambda m, f: predict_scores(m, [], [])),
    ("first must be a list of texts, got 'abcd'", lambda m, f: predict_scores(m, "abcd", SECOND)),
    ("first must hold texts, got 1 in row 0", lambda m, f: predict_scores(m, [1, 2, 3, 4], SECOND)),  # type: ignore[list-item]
    ("batch_size must be a whole number", lambda m, f: predict_scores(m, FIRST, SECOND, batch_size=0)),
    # Evaluators.
    ("scores must be a list of numbers", lambda m, f: evaluator(FIRST, SECOND, "abcd")),
    ("sentences1 must be a list of texts", lambda m, f: evaluator(5, 5, 5)),
    ("sentences1 must hold texts, got None in row 1", lambda m, f: evaluator(["a", None, "c", "d"], SECOND, GOLD)),
    ("at_least must be a list of thresholds", lambda m, f: evaluator(at_least=0.8)),
    (r"regions\[0\] must be a list of two numbers", lambda m, f: evaluator(regions=(0.8, 1.0))),
    ("positive_from must be a finite number", lambda m, f: evaluator(positive_from="x", groups=[[0, 1]])),
    ("threshold_metric must be one of f1", lambda m, f: evaluator(threshold_metric="f9")),
    ("bins must be a whole number", lambda m, f: evaluator(bins="x")),
    ("predicted must be a list of numbers", lambda m, f: evaluator().metrics("x")),
    ("model must be a SentenceTransformer", lambda m, f: evaluator()(5)),  # type: ignore[arg-type]
    ("'query' of sample 0 must hold texts", lambda m, f: ScoreListEvaluator([{**SAMPLES[0], "query": 5}])),
    (
        "'positive' of sample 0 must be a list",
        lambda m, f: ScoreListEvaluator([{**SAMPLES[0], "positive": 5}]),
    ),
    ("at_k must be a list", lambda m, f: ScoreListEvaluator(SAMPLES, at_k=2.5)),  # type: ignore[arg-type]
    # Comparisons and reports.
    ("predicted must hold one or two models", lambda m, f: compared({})),
    ("gold and clusters must have the same length", lambda m, f: compared(clusters=[1])),
    ("clusters must be a list", lambda m, f: compared(clusters=5)),
    ("thresholds has 'n', which is none of", lambda m, f: compared(thresholds={"n": ScoreThreshold(0.5, 0.9)})),
    ("must be one of the metrics compared, got 'nope'", lambda m, f: report.summary(compared(), measured(main="nope"))),
    ("main_metric must be one of", lambda m, f: report.summary(compared(resamples=2), measured(main="ap_ge_0.1"))),
    # Pictures.
    ("Format 'xyz' is not supported", lambda m, f: plotting.plot_links(LINKS, f / "a.xyz")),
    ("score_range must be a list of two", lambda m, f: plotting.plot_links(LINKS, f / "a.png", score_range=5)),  # type: ignore[arg-type]
    ("must be below score_range", lambda m, f: plotting.plot_links(LINKS, f / "a.png", score_range=(1, 0))),
    ("columns must be a whole number", lambda m, f: plotting.plot_links(LINKS, f / "a.png", columns=0)),
    ("bins must be a whole", lambda m, f: plotting.plot_scores_against_gold(GOLD, {"m": GOLD}, f / "a.png", bins=0)),
    ("ranking must be a finite number", lambda m, f: plotting.FrontierPoint("x", "a", 1.0)),  # type: ignore[arg-type]
    ("ranking_interval must be a finite number >= 0", lambda m, f: plotting.FrontierPoint("x", 1, 1, -1)),
    ("points must hold FrontierPoint", lambda m, f: plotting.plot_frontier([5], f / "a.png")),  # type: ignore[list-item]
    ("points must be a list", lambda m, f: plotting.plot_frontier(POINT, f / "a.png")),  # type: ignore[arg-type]
    # Cards.
    ("link must be of type Link", lambda m, f: describe_link("high")),  # type: ignore[arg-type]
    ("score_range must be a list of two numbers", lambda m, f: describe_link(high_scores(), 5)),  # type: ignore[arg-type]
    ("score_range must be two numbers", lambda m, f: describe_link(high_scores(), (0, 1, 2))),  # type: ignore[arg-type]
    ("evaluators must be a list", lambda m, f: add_to_model_card(m, SelectivePointwiseLoss(m), 5)),  # type: ignore[arg-type]
    ("metrics must be a list", lambda m, f: add_to_model_card(m, SelectivePointwiseLoss(m), metrics=5)),  # type: ignore[arg-type]
    ("base_model must be", lambda m, f: add_to_model_card(m, SelectivePointwiseLoss(m), base_model="x")),  # type: ignore[arg-type]
    (
        "what threshold gives must be of type ScoreThreshold",
        lambda m, f: add_to_model_card(m, SelectivePointwiseLoss(m), threshold=lambda model: 0.5),  # type: ignore[arg-type, return-value]
    ),
    ("score_range must be", lambda m, f: SelectiveModelCardCallback(SelectivePointwiseLoss(m), score_range=5)),  # type: ignore[arg-type]
    ("metrics must be a list", lambda m, f: SelectiveModelCardCallback(SelectivePointwiseLoss(m), metrics=5)),  # type: ignore[arg-type]
    # Conversions.
    ("scale_labels: the dataset has no rows", lambda m, f: conversion.scale_labels(NO_ROWS, "score", 0, 5)),
    ("columns must be a list of names", lambda m, f: conversion.remove_empty_rows(PAIRS, 5)),  # type: ignore[arg-type]
    ("columns must be a list of names", lambda m, f: conversion.remove_duplicate_rows(PAIRS, 5)),  # type: ignore[arg-type]
    ("split_lists: the dataset has no rows", lambda m, f: conversion.split_lists(LISTS.select([]))),
    ("seed must be a whole number", lambda m, f: conversion.class_to_triplets(SINGLE, "x")),  # type: ignore[arg-type]
    ("class_to_triplets: the dataset has no rows", lambda m, f: conversion.class_to_triplets(Dataset.from_dict({}))),
    ("seed must be a whole number", lambda m, f: conversion.damage_texts(SINGLE, seed=-1)),
    ("seed must be a whole number", lambda m, f: conversion.texts_to_pairs(SINGLE, different=1, seed="x")),  # type: ignore[arg-type]
    ("must be two labels", lambda m, f: conversion.pairs_to_triplets(PAIRS, positive=[1], negative=[2])),
    ("must be two labels", lambda m, f: conversion.pairs_to_triplets(PAIRS, positive=1, negative=1)),
    ("pairs_to_lists: the dataset has no rows", lambda m, f: conversion.pairs_to_lists(NO_ROWS)),
    ("pairs_to_positives: the dataset has no rows", lambda m, f: conversion.pairs_to_positives(NO_ROWS)),
    # The registry.
    ("got a str in 'a'", lambda m, f: detect_format({"a": "abc"})),
    ("sampler must be one of", lambda m, f: check_dataset(PAIRS, "CoSENTLoss", sampler=5)),
    ("model must be a model", lambda m, f: check_dataset(PAIRS, "CoSENTLoss", model="name")),
    ("formats must hold at least one pair", lambda m, f: register_loss("a.BLoss", formats=5, why="x")),  # type: ignore[arg-type]
    ("formats must hold at least one pair", lambda m, f: register_loss("a.BLoss", formats=["pair"], why="x")),  # type: ignore[list-item]
    (
        "max_columns must be of type int | None, got 'x'",
        lambda m, f: register_loss("a.BLoss", formats=[("pair", "class")], why="x", max_columns="x"),
    ),
    (
        "in_batch_negatives must be of type bool",
        lambda m, f: register_loss("a.BLoss", formats=[("pair", "class")], why="x", in_batch_negatives=1),
    ),
    (
        "score must be of type Literal",
        lambda m, f: register_loss("a.BLoss", formats=[("pair", "class")], why="x", score="cosines"),
    ),
    ("why must say", lambda m, f: register_loss("a.BLoss", formats=[("pair", "class")], why=5)),  # type: ignore[arg-type]
    ("call must be the name of a method", lambda m, f: Step(5)),  # type: ignore[arg-type]
    ("call must be one of rename_column", lambda m, f: Step("x").apply(PAIRS)),
    ("dataset must be of type Dataset", lambda m, f: Step("remove_columns", ("a",)).apply(None)),
    ("loss must be the name of a loss", lambda m, f: suggest_losses(PAIRS).of(5)),  # type: ignore[union-attr, arg-type]
    ("There is no loss ''", lambda m, f: create_loss(m, PAIRS, loss="")),
    ("model must be of type str", lambda m, f: suggest_losses(PAIRS)[0].script("x", 5)),  # type: ignore[index, arg-type]
    ("data must be of type str", lambda m, f: suggest_losses(PAIRS)[0].script(5, "x")),  # type: ignore[index, arg-type]
    # Training.
    ("values must hold numbers, at least one", lambda m, f: training.mean_and_interval([])),
    ("values must be a list", lambda m, f: training.mean_and_interval(5)),  # type: ignore[arg-type]
    ("texts must hold texts, at least one", lambda m, f: training.train_tokenizer([])),
    ("texts must be a list", lambda m, f: training.train_tokenizer("abc")),
    ("vocabulary must be a whole number", lambda m, f: training.train_tokenizer(FIRST, 0)),
]


@pytest.mark.parametrize(("message", "call"), CASES, ids=[f"{k}: {case[0]}" for k, case in enumerate(CASES)])
def test_it_is_refused(message: str, call: Call, static_model: SentenceTransformer, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        call(static_model, tmp_path)
    assert list(tmp_path.iterdir()) == []
