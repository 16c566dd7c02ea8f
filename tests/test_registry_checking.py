"""The checks before training: each trap is seen, and good data are left in peace."""

from __future__ import annotations

import inspect
import json
import math
import random
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.data_collator import BaseDataCollator
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from sentence_transformers.sentence_transformer import losses as st_losses
from sentence_transformers.util import pairwise_cos_sim
from torch import nn
from transformers import PretrainedConfig

from selective_st.cross_encoder.losses import SelectiveOrderLoss as CrossOrderLoss
from selective_st.errors import DataError
from selective_st.links import ExponentialLink, IdentityLink, Link, PiecewiseLink, SigmoidLink, high_scores
from selective_st.losses import SelectiveMultipleNegativesRankingLoss, SelectiveOrderLoss, SelectivePairwiseLoss
from selective_st.registry.catalog import MODEL_TYPES, Row, loss_entry, rows
from selective_st.registry.checks import (
    CHECKS,
    CheckReport,
    Finding,
    check_dataset,
    false_negative_rate,
    matching_rows,
)
from selective_st.registry.checks.scan import scan
from selective_st.registry.table import tables
from tests import test_checks_mends

N = 24


def texts(stem: str, count: int = N) -> list[str]:
    words = ["river", "stone", "window", "garden", "letter", "market", "engine", "forest", "winter", "summer"]
    return [f"the {words[i % 10]} of {stem} number {i} was {words[(i * 7 + 3) % 10]}" for i in range(count)]


def good(row: Row) -> dict[str, Any]:
    """A clean dataset for a row of the tables."""
    generator = random.Random(0)
    data: dict[str, Any]
    if row.shape == "single":
        data = {"text": texts("a")}
    elif row.shape == "list":
        data = {"query": texts("a"), "documents": [[f"{text} {k}" for k in "xyz"] for text in texts("b")]}
    else:
        count = {"pair": 2, "triplet": 3, "n-tuple": 4, "any": 2}[row.shape]
        names = ["anchor", "positive", "negative"] if count == 3 else ["query", "doc_1", "doc_2", "doc_3"]
        if count == 2:
            names = ["anchor", "positive"] if row.label in ("none", "any") else ["sentence1", "sentence2"]
        data = dict(zip(names[:count], map(texts, "abcd"), strict=False))
        if "(anchor, anchor)" in row.inputs:
            data["positive"] = data["anchor"]
        if "damaged" in row.inputs:
            data = {
                "damaged": [" ".join(text.split()[1::2]) for text in data["positive"]],
                "original": data["positive"],
            }
    if "in some rows the same text twice" in row.note:
        half = [text if i % 2 else data["anchor"][i] for i, text in enumerate(data["positive"])]
        data = {"text1": data["anchor"], "text2": half}
    number = {
        "class": lambda i: i % 3,
        "binary": lambda i: i % 2,
        "similarity": lambda i: round(generator.random(), 2),
        "margin": lambda i: round(generator.uniform(-0.5, 0.9), 2),
        "class probabilities": lambda i: [0.2, 0.3, 0.5],
        "margins": lambda i: [round(generator.uniform(-0.5, 0.9), 2) for _ in range(len(data) - 2)],
        "binary list": lambda i: [float(k == i % 3) for k in range(len(data) - 1)],
        "embedding": lambda i: [generator.gauss(0, 1) for _ in range(32)],
        "embeddings": lambda i: [[generator.gauss(0, 1) for _ in range(32)] for _ in data],
        "scores": lambda i: [round(generator.random(), 2) for _ in range(3 if row.shape == "list" else len(data) - 1)],
    }.get(row.label)
    if number is not None:
        name = "scores" if row.label in ("scores", "margins") else "score" if row.label == "similarity" else "label"
        made = [number(i) for i in range(N)]
        data[name] = made
    return data


CLEAN = [
    (row, name)
    for model_type in MODEL_TYPES
    for row in rows(model_type)
    if row.origin in ("sentence_transformers", "selective_st")
    for name in dict.fromkeys((*row.losses, *(selective.loss for selective in row.selective)))
]


@pytest.mark.parametrize(
    ("row", "name"), CLEAN, ids=[f"{row.model_type}-{row.shape}-{row.label}-{name}" for row, name in CLEAN]
)
def test_good_data_of_every_loss_are_left_in_peace(row: Row, name: str) -> None:
    dataset = Dataset.from_dict(good(row))
    if row.shape == "single" and loss_entry(name, row.model_type).min_columns == 2:  # pairs are made of single texts
        finding = only(check_dataset(dataset, name, model_type=row.model_type), "too-few-columns")
        dataset = mended(finding, dataset)["dataset"]
    report = check_dataset(dataset, name, model_type=row.model_type)
    assert not report.findings, str(report)
    assert report.ok


# --- Traps: data that fall in, and what the mending code leaves ------------------------------------------------------

A, B, C, D = (texts(stem) for stem in "abcd")
SCORES = [round((i * 7 % N) / N, 2) for i in range(N)]
BINARY = [i % 2 for i in range(N)]
LISTS = [[s, s / 2, s / 3] for s in SCORES]
TWO = [scores[:2] for scores in LISTS]
DOCUMENTS = [list(pair) for pair in zip(B, C, strict=True)]


def first(values: list[Any], value: Any) -> list[Any]:
    return [value, *values[1:]]


# (code, loss, data, what the mending code needs); the clean counterparts are above, and what the mending leaves.
TRAPS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("reserved-column", "CosineSimilarityLoss", {"a": A, "b": B, "score": SCORES, "return_loss": A}, {}),
    ("second-label", "CosineSimilarityLoss", {"a": A, "b": B, "score": SCORES, "label": BINARY}, {}),
    (
        "id-column",
        "MultipleNegativesRankingLoss",
        {"query": A, "answer": B, "doc_id": [i * 3 % 97 for i in range(N)]},
        {},
    ),
    ("id-column", "CosineSimilarityLoss", {"id": [f"q{i}" for i in range(N)], "a": A, "b": B, "score": SCORES}, {}),
    (
        "number-column",
        "ContrastiveLoss",
        {"a": A, "b": B, "label": BINARY, "year": [1990 + i % 7 for i in range(N)]},
        {},
    ),
    ("empty-column", "ContrastiveLoss", {"a": A, "b": B, "label": BINARY, "note": [""] * N}, {}),
    ("column-order", "MultipleNegativesRankingLoss", {"answer": B, "question": A}, {}),
    ("column-order", "TripletLoss", {"anchor": A, "negative": C, "positive": B}, {}),
    ("list-column", "MultipleNegativesRankingLoss", {"query": A, "positives": DOCUMENTS}, {}),
    ("no-list-column", "LambdaLoss", {"query": A, "doc_1": B, "doc_2": C, "doc_3": D, "labels": LISTS}, {}),
    ("too-few-columns", "MultipleNegativesRankingLoss", {"text": A}, {}),
    ("too-few-columns", "TripletLoss", {"text": A, "label": [i % 3 for i in range(N)]}, {}),
    ("too-many-columns", "ContrastiveLoss", {"a": A, "b": B, "c": C, "label": BINARY}, {}),
    ("ignored-columns", "CosineSimilarityLoss", {"a": A, "b": B, "c": C, "score": SCORES}, {}),
    ("missing-text", "CosineSimilarityLoss", {"a": first(A, None), "b": B, "score": SCORES}, {}),
    ("empty-text", "CosineSimilarityLoss", {"a": A, "b": first(B, "  "), "score": SCORES}, {}),
    (
        "empty-text",
        "LambdaLoss",
        {"query": A, "docs": first([[*pair, "a text"] for pair in DOCUMENTS], ["x", "", "y"]), "labels": LISTS},
        {},
    ),
    ("positive-is-negative", "TripletLoss", {"anchor": A, "positive": B, "negative": first(C, B[0])}, {}),
    ("one-kind-of-pairs", "ContrastiveTensionLoss", {"text1": A, "text2": A}, {}),
    ("no-label", "CosineSimilarityLoss", {"a": A, "b": B, "similarity": SCORES}, {}),
    ("label-unused", "MultipleNegativesRankingLoss", {"anchor": A, "positive": B, "label": BINARY}, {}),
    ("label-unused", "MultipleNegativesRankingLoss", {"anchor": A, "positive": B, "label": [1] * N}, {}),
    ("label-text", "CosineSimilarityLoss", {"a": A, "b": B, "score": list(map(str, SCORES))}, {}),
    ("label-text", "SoftmaxLoss", {"a": A, "b": B, "label": ["yes", "no", "maybe"] * (N // 3)}, {}),
    ("label-is-list", "CosineSimilarityLoss", {"a": A, "b": B, "scores": [[s, s] for s in SCORES]}, {}),
    ("list-lengths", "DistillKLDivLoss", {"q": A, "d1": B, "d2": C, "scores": first(TWO, [0.5])}, {}),
    ("list-lengths", "DistillKLDivLoss", {"q": A, "d1": B, "d2": C, "d3": D, "scores": TWO}, {}),
    ("list-lengths", "LambdaLoss", {"query": A, "docs": DOCUMENTS, "labels": first(TWO, [1.0])}, {}),
    ("missing-label", "CosineSimilarityLoss", {"a": A, "b": B, "score": first(SCORES, None)}, {}),
    ("missing-label", "CosineSimilarityLoss", {"a": A, "b": B, "score": first(SCORES, math.nan)}, {}),
    ("missing-label", "DistillKLDivLoss", {"q": A, "d1": B, "d2": C, "scores": first(TWO, [0.5, math.nan])}, {}),
    ("infinite-label", "CosineSimilarityLoss", {"a": A, "b": B, "score": first(SCORES, math.inf)}, {}),
    (
        "label-integer",
        "SelectiveListwiseLoss",
        {"q": A, "d1": B, "d2": C, "labels": [[i % 2, 1 - i % 2] for i in range(N)]},
        {},
    ),
    ("label-float", "SoftmaxLoss", {"a": A, "b": B, "label": [float(i % 3) for i in range(N)]}, {}),
    ("label-integer", "SoftmaxLoss", {"a": A, "b": B, "label": [[i % 2, 1 - i % 2] for i in range(N)]}, {}),
    ("ignored-columns", "CoSENTLoss", {"a": A, "b": B, "c": C, "label": [[s, s] for s in SCORES]}, {}),
    ("label-boolean", "ContrastiveLoss", {"a": A, "b": B, "label": [i % 2 == 0 for i in range(N)]}, {}),
    ("label-range", "CosineSimilarityLoss", {"a": A, "b": B, "score": [5 * s for s in SCORES]}, {}),
    ("label-range", "BinaryCrossEntropyLoss", {"a": A, "b": B, "score": [100 * s for s in SCORES]}, {}),
    (
        "label-range",
        "SelectiveListwiseLoss",
        {"q": A, "d1": B, "d2": C, "scores": [[9 * s, 4 * s] for s in SCORES]},
        {},
    ),
    ("unreachable-label", "SparseCosineSimilarityLoss", {"a": A, "b": B, "score": [2 * s - 1 for s in SCORES]}, {}),
    ("label-not-binary", "OnlineContrastiveLoss", {"a": A, "b": B, "label": [2 * i - 1 for i in BINARY]}, {}),
    ("lists-tied", "LambdaLoss", {"query": A, "docs": DOCUMENTS, "labels": first([[1.0, 1.0]] * N, [1.0, 0.0])}, {}),
    ("gain-range", "LambdaLoss", {"query": A, "docs": DOCUMENTS, "labels": [[9.5 * s, -8.0] for s in SCORES]}, {}),
    ("single-class", "BatchAllTripletLoss", {"text": A, "label": [0, 1, 2, *(i % 3 + 3 for i in range(N - 3))]}, {}),
    ("class-range", "SoftmaxLoss", {"a": A, "b": B, "label": [i % 3 - 1 for i in range(N)]}, {}),
    ("class-range", "SoftmaxLoss", {"a": A, "b": B, "label": [i % 3 + 1 for i in range(N)]}, {}),
    ("margin-range", "SelectivePairwiseLoss", {"q": A, "d1": B, "d2": C, "label": [9 * s - 3 for s in SCORES]}, {}),
    ("margin-range", "MarginMSELoss", {"q": A, "d1": B, "d2": C, "label": [9 * s - 3 for s in SCORES]}, {}),
    ("stray-column", "MultipleNegativesRankingLoss", {"anchor": A, "positive": B, "source": ["web"] * N}, {}),
    ("column-order", "ListNetLoss", {"docs": DOCUMENTS, "query": A, "labels": TWO}, {}),
    ("unnamed-negatives", "MultipleNegativesRankingLoss", {"query": A, "title": C, "passage": B}, {}),
    ("unnamed-negatives", "TripletLoss", {"a": A, "b": B, "c": C}, {}),
    ("anchor-is-negative", "MultipleNegativesRankingLoss", {"query": A, "positive": B, "negative": first(C, A[0])}, {}),
    ("label-unused", "MultipleNegativesRankingLoss", {"a": A, "b": B, "label": first(BINARY, None)}, {}),
    ("label-text", "MultipleNegativesRankingLoss", {"anchor": A, "positive": B, "label": ["yes", "no"] * (N // 2)}, {}),
    ("label-text", "CosineSimilarityLoss", {"a": A, "b": B, "label": [{"x": score} for score in SCORES]}, {}),
    ("conflicting-labels", "CosineSimilarityLoss", {"a": first(A, A[1]), "b": first(B, B[1]), "score": SCORES}, {}),
    ("missing-label", "MultipleNegativesRankingLoss", {"anchor": A, "positive": B, "label": first([1] * N, None)}, {}),
    ("missing-label", "MultipleNegativesRankingLoss", {"a": A, "b": B, "label": first([[1.0]] * N, [None])}, {}),
    ("missing-label", "SelectiveListwiseLoss", {"q": A, "d1": B, "d2": C, "scores": first(TWO, [0.5, None])}, {}),
    ("missing-label", "LambdaLoss", {"query": A, "docs": DOCUMENTS, "labels": first(TWO, [1.0, None])}, {}),
    ("missing-label", "MSELoss", {"text": A, "label": first([[0.1] * 99] * N, [0.1] * 98 + [None])}, {}),
    ("list-lengths", "MultipleNegativesRankingLoss", {"anchor": A, "positive": B, "scores": first(TWO, [0.5])}, {}),
    (
        "list-lengths",
        "SelectiveMultipleNegativesRankingLoss",
        {"anchor": A, "positive": B, "scores": TWO},
        {},
    ),
    (
        "label-range",
        "SelectiveMultipleNegativesRankingLoss",
        {"anchor": A, "positive": B, "score": [5 * s for s in SCORES]},
        {},
    ),
    ("teacher-labels", "SelectiveMultipleNegativesRankingLoss", {"anchor": A, "positive": B, "score": SCORES}, {}),
    ("short-lists", "LambdaLoss", {"query": A, "docs": [*([b] for b in B[:20]), *DOCUMENTS[20:]],
                                   "labels": [*([s] for s in SCORES[:20]), *TWO[20:]]}, {}),
]  # fmt: skip


def codes(report: CheckReport) -> list[str]:
    return [finding.code for finding in report.findings]


def only(report: CheckReport, code: str) -> Finding:
    found = [finding for finding in report.findings if finding.code == code]
    assert found, f"{code} is not among {codes(report)}\n{report}"
    return found[0]


def mended(finding: Finding, dataset: Any, **names: Any) -> dict[str, Any]:
    """What the mending code leaves."""
    space = {"dataset": dataset, **names}
    exec(finding.mend, space)
    return space


@pytest.mark.parametrize(
    ("code", "loss", "data", "options"), TRAPS, ids=[f"{t[0]}-{t[1]}-{k}" for k, t in enumerate(TRAPS)]
)
def test_a_trap_is_seen_and_its_mending_code_mends_it(
    code: str, loss: str, data: dict[str, Any], options: dict[str, Any]
) -> None:
    dataset = Dataset.from_dict(data)
    report = check_dataset(dataset, loss)
    finding = only(report, code)
    assert finding.message.endswith(".")
    for before in report.findings[: report.findings.index(finding) + 1]:  # a line works once those before it have run
        dataset = mended(before, dataset, **options)["dataset"]
    after = check_dataset(dataset, loss)
    assert code not in codes(after), f"{finding}\n--- after mending ---\n{after}"


@pytest.mark.slow
def test_rows_and_counts_are_exact_in_shuffled_and_selected_datasets() -> None:
    count = 25_000
    rng = np.random.default_rng(0)
    bad = sorted(rng.choice(count, 7, replace=False).tolist())
    scores = rng.random(count)
    scores[bad] = 3.0
    stored = Dataset.from_dict({"a": texts("a", count), "b": texts("b", count), "score": scores})
    for dataset in (stored, stored.shuffle(seed=1), stored.shuffle(seed=2).select(range(100, 20_000)),
                    stored.select([*bad, *bad, *range(50)])):  # fmt: skip
        finding = only(check_dataset(dataset, "CosineSimilarityLoss"), "label-range")
        expected = np.flatnonzero(np.asarray(dataset["score"]) > 1)
        assert finding.count == len(expected)
        assert finding.rows == tuple(expected[:5].tolist())
        assert (finding.severity, finding.column) == ("error", "score")


@pytest.mark.parametrize("batch_size", [2, 8, 30])
def test_the_rate_of_false_negatives_is_that_of_simulated_batches(batch_size: int) -> None:
    rng = np.random.default_rng(3)
    anchors, positives = rng.integers(0, 25, 60), rng.integers(0, 40, 60)
    matches = matching_rows([anchors, positives])
    same = (anchors[:, None] == anchors) | (positives[:, None] == positives)
    assert matches.tolist() == (same.sum(1) - 1).tolist()
    met = []
    for _ in range(20_000):
        batch = rng.permutation(60)[:batch_size]
        met.append((same[np.ix_(batch, batch)].sum(1) > 1).mean())
    error = np.std(met) / math.sqrt(len(met))
    assert false_negative_rate(matches, batch_size) == pytest.approx(np.mean(met), abs=5 * error)


def test_the_rate_of_false_negatives_of_a_batch_of_all_rows_and_of_one_row() -> None:
    matches = np.array([1, 1, 0])
    assert false_negative_rate(matches, 3) == pytest.approx(2 / 3)
    assert false_negative_rate(matches, 100) == pytest.approx(2 / 3)
    assert false_negative_rate(matches, 1) == 0


def test_duplicates_are_false_negatives_unless_the_sampler_avoids_them() -> None:
    dataset = Dataset.from_dict({"anchor": [A[i // 2] for i in range(N)], "positive": B})
    finding = only(check_dataset(dataset, "MultipleNegativesRankingLoss", batch_size=8), "false-negatives")
    assert finding.count == N
    assert f"{7 / (N - 1):.1%}" in finding.message
    assert finding.rows == (0, 1, 2, 3, 4)

    class Arguments:
        batch_sampler = "batch_sampler"

    arguments = mended(finding, dataset, args=Arguments())["args"]
    assert not check_dataset(dataset, "MultipleNegativesRankingLoss", sampler=arguments.batch_sampler).findings
    assert not check_dataset(dataset, "CosineSimilarityLoss").warnings
    both = Dataset.from_dict({"anchor": A, "positive": first(B, B[1])})
    assert only(check_dataset(both, "MultipleNegativesRankingLoss"), "false-negatives").count == 2


def test_constant_and_tied_labels() -> None:
    data = {"a": A, "b": B, "score": [0.5] * N}
    assert only(check_dataset(data, "CoSENTLoss"), "label-constant").severity == "error"
    assert only(check_dataset(data, "CosineSimilarityLoss"), "label-constant").severity == "warning"
    data["score"] = first(data["score"], 1.0)
    assert "label-tied" in codes(check_dataset(data, "CoSENTLoss"))
    assert not check_dataset(data, "CosineSimilarityLoss").findings
    assert not check_dataset({**data, "score": SCORES}, "CoSENTLoss").findings


RAMP = PiecewiseLink((0.7, 0.8, 0.9), (0.0, 1.0, 0.0))


@pytest.mark.parametrize(
    ("link", "scores", "mend"),
    [  # the labels from the lowest to the highest, and a part of what mends it; None where there is nothing to mend
        (SigmoidLink(20, 0.8), (1.0, 5.0), 'scale_labels(dataset, "score", 1, 5)'),
        (SigmoidLink(200, 0.9), (0.0, 0.4), "scale=5.0, weight_link=SigmoidLink(50, 0.2)"),
        (SigmoidLink(200, -5.0), (0.0, 1.0), "scale=5.0, weight_link=SigmoidLink(20, 0.5)"),
        (RAMP, (0.0, 0.5), "weight_link=SigmoidLink(40, 0.25)"),
        (RAMP, (0.0, 1.0), None),
        (SigmoidLink(4, 3), (1.0, 5.0), None),
        (high_scores(5), (0.0, 1.0), None),
        (high_scores(5), (0.0, 0.1), None),
        (IdentityLink(), (0.0, 5.0), None),
        (None, (0.0, 5.0), None),
    ],
)
@pytest.mark.parametrize("other", [None, ExponentialLink(2.0)])
def test_a_weight_link_that_is_flat_on_the_labels(
    link: Link | None, scores: tuple[float, float], mend: str | None, other: Link | None, static_model: Any
) -> None:
    low, high = scores
    data = {"a": A, "b": B, "score": [low + (high - low) * (i % 5) / 4 for i in range(N)]}
    loss = SelectiveOrderLoss(static_model, 5.0, weight_link=link, link=other)
    report = check_dataset(Dataset.from_dict(data), loss, model=static_model)
    if mend is None:
        assert "flat-weight-link" not in codes(report)
        return
    finding = only(report, "flat-weight-link")
    assert finding.severity == "error"
    assert mend in finding.mend
    assert f"from {low:g} to {high:g}" in finding.message
    names = mended(finding, Dataset.from_dict(data), loss=loss, model=static_model)
    after = names.get("loss", loss)
    assert after.link == loss.link
    assert "flat-weight-link" not in codes(check_dataset(names["dataset"], after, model=static_model))


def test_a_weight_link_that_is_flat_on_the_labels_of_lists() -> None:
    class CrossEncoder(nn.Module):
        num_labels = 1

    model: Any = CrossEncoder()
    lists = {"query": A, "docs": DOCUMENTS, "labels": [[0.1 * (i % 2), 0.3] for i in range(N)]}
    for link, expected in ((SigmoidLink(200, 0.8), True), (SigmoidLink(20, 0.2), False)):
        loss = CrossOrderLoss(model, weight_link=link)
        report = check_dataset(Dataset.from_dict(lists), loss, model=model)
        assert ("flat-weight-link" in codes(report)) is expected


def test_classes_are_no_scores(static_model: SentenceTransformer) -> None:
    features = Features({"premise": Value("string"), "hypothesis": Value("string"),
                         "label": ClassLabel(names=["entailment", "neutral", "contradiction"])})  # fmt: skip
    data = {"premise": [A[i // 3] for i in range(N)], "hypothesis": B, "label": [i % 3 for i in range(N)]}
    dataset = Dataset.from_dict(data, features=features)
    report = check_dataset(dataset, "CosineSimilarityLoss")
    assert "label-range" not in codes(report)
    space = mended(only(report, "label-classes"), dataset, model=static_model)
    assert space["dataset"].column_names == ["anchor", "positive", "negative"]
    assert not check_dataset(space["dataset"], space["loss"]).errors
    assert check_dataset(dataset, "SoftmaxLoss").ok


def test_batches_of_classes() -> None:
    data = {"text": A, "label": [i // 2 for i in range(N)]}
    assert "GROUP_BY_LABEL" in only(check_dataset(data, "BatchHardTripletLoss", batch_size=4), "class-batches").mend
    assert not check_dataset(data, "BatchHardTripletLoss", sampler="group_by_label").findings
    odd = check_dataset(data, "BatchHardTripletLoss", sampler="group_by_label", batch_size=5)
    assert only(odd, "group-batch-size").mend == "args.per_device_train_batch_size = 6"


def test_texts_longer_than_the_model_takes(
    transformer_model: SentenceTransformer, static_model: SentenceTransformer
) -> None:
    data = {"a": first(A, "river stone " * 200), "b": B, "score": SCORES}
    transformer_model.max_seq_length = 48
    loss = st_losses.CosineSimilarityLoss(transformer_model)
    finding = only(check_dataset(data, loss), "too-long")
    assert (finding.column, finding.rows, finding.count) == ("a", (0,), 1)
    mended(finding, data, model=transformer_model)
    assert transformer_model.max_seq_length == 64
    short = {**data, "a": [f"river {i}" for i in range(N)], "b": ["stone"] * N}
    assert not check_dataset(short, loss).findings
    assert not check_dataset(data, "CosineSimilarityLoss", model=static_model).findings
    assert any("too long" in what for what in check_dataset(data, "CosineSimilarityLoss").not_checked)


def test_matryoshka_cuts_the_embeddings_of_a_teacher(static_model: SentenceTransformer) -> None:
    distill = st_losses.MSELoss(static_model)
    matryoshka = st_losses.MatryoshkaLoss(static_model, distill, [32, 16])
    embeddings = {"text": A, "label": [[float(i + k) for k in range(32)] for i in range(N)]}
    report = check_dataset(embeddings, matryoshka)
    assert report.ok
    assert report.loss == "MatryoshkaLoss(MSELoss)"
    short = {"text": A, "label": [[float(i + k) for k in range(24)] for i in range(N)]}
    assert "embedding-size" in codes(check_dataset(short, distill))


def test_teacher_scores_of_another_scale(static_model: SentenceTransformer) -> None:
    data = {"q": A, "d1": B, "d2": C, "scores": [[8 + 4 * s, -6 - s] for s in SCORES]}
    finding = only(check_dataset(data, "DistillKLDivLoss"), "teacher-scale")
    from sentence_transformers.util import pairwise_cos_sim

    space = mended(finding, data, model=static_model, pairwise_cos_sim=pairwise_cos_sim, **vars(st_losses))
    assert not check_dataset(data, space["loss"]).findings
    assert not check_dataset({**data, "scores": [[s, s / 2] for s in SCORES]}, "DistillKLDivLoss").findings


def test_the_loss_may_be_an_object_a_name_or_one_for_each_dataset(static_model: SentenceTransformer) -> None:
    pairs = Dataset.from_dict({"a": A, "b": B, "score": [5 * s for s in SCORES]})
    both = DatasetDict({"graded": pairs, "plain": Dataset.from_dict({"anchor": A, "positive": B})})
    names = {"graded": "CosineSimilarityLoss", "plain": st_losses.MultipleNegativesRankingLoss(static_model)}
    report = check_dataset(both, names)
    assert [(finding.dataset, finding.code) for finding in report.findings] == [("graded", "label-range")]
    assert "label-range in graded" in str(report.findings[0])
    assert " in None" not in str(check_dataset(pairs, "CosineSimilarityLoss").findings[0])
    assert not check_dataset(mended(report.findings[0], both)["dataset"], names).findings
    with pytest.raises(ValueError, match="lacks 'plain'"):
        check_dataset(both, {"graded": "CosineSimilarityLoss"})
    with pytest.raises(ValueError, match="Did you mean CoSENTLoss"):
        check_dataset(pairs, "CoSentLoss")
    with pytest.raises(TypeError, match="loss must be a loss"):
        check_dataset(pairs, st_losses.CoSENTLoss)
    with pytest.raises(ValueError, match="sampler must be one of"):
        check_dataset(pairs, "CoSENTLoss", sampler="no_doubles")
    with pytest.raises(TypeError, match="sampler must be one of"):
        check_dataset(pairs, "CoSENTLoss", sampler=5)
    assert check_dataset(pairs, "CoSENTLoss", sampler=NoDuplicatesBatchSampler).ok
    with pytest.raises(ValueError, match="batch_size"):
        check_dataset(pairs, "CoSENTLoss", batch_size=0)


@pytest.mark.parametrize(
    ("code", "label", "other"),
    [
        ("label-float", [[score] for score in SCORES], ""),
        ("label-is-list", [[[score] * 2] * 2 for score in SCORES], "EmbedDistillLoss(model)"),
    ],
)
def test_lists_that_are_no_class_probabilities(code: str, label: list[Any], other: str) -> None:
    finding = only(check_dataset({"a": A, "b": B, "label": label}, "SoftmaxLoss"), code)
    assert finding.severity == "error"
    assert other in finding.mend
    assert check_dataset({"a": A, "b": B, "label": [[i % 3] for i in range(N)]}, "SoftmaxLoss").ok


def test_an_unknown_loss_is_checked_for_what_holds_of_every_loss() -> None:
    class OwnLoss(nn.Module):
        pass

    report = check_dataset({"a": first(A, None), "b": B}, OwnLoss())
    assert codes(report) == ["missing-text"]
    assert "register_loss" in report.not_checked[0] or "register_loss" in " ".join(report.not_checked)


def test_a_report_says_all_it_knows_and_raises_for_errors() -> None:
    report = check_dataset({"a": A, "b": B, "score": [5 * s for s in SCORES]}, "CosineSimilarityLoss")
    assert json.loads(json.dumps(report.as_dict()))["findings"][0]["code"] == "label-range"
    assert "scale_labels" in str(report)
    with pytest.raises(DataError, match="scale_labels"):
        report.raise_for_errors()
    later = replace(report, findings=(*report.findings, Finding("warning", "small", "what comes after")))
    with pytest.raises(DataError, match="label-range") as raised:
        later.raise_for_errors()
    assert "what comes after" not in str(raised.value)
    check_dataset({"a": A, "b": B, "score": SCORES}, "CosineSimilarityLoss").raise_for_errors()


def test_padded_lists_are_fine_for_our_losses_only() -> None:
    data = {"q": A, "d1": B, "d2": C, "d3": first(D, ""), "scores": first(LISTS, [0.5, 0.2, math.nan])}
    assert not check_dataset(data, "SelectiveListwiseLoss").findings
    assert {"missing-label"} <= set(codes(check_dataset(data, "DistillKLDivLoss")))
    unpadded = {**data, "d2": first(C, "")}
    assert "empty-text" in codes(check_dataset(unpadded, "SelectiveListwiseLoss"))


def test_streams_and_transforms_are_read_as_far_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Dataset.from_dict({"a": A, "b": first(B, ""), "score": SCORES})
    stream = check_dataset(stored.to_iterable_dataset(), "CosineSimilarityLoss")
    assert codes(stream) == ["empty-text"]
    assert "stream" in stream.read
    transformed = stored.with_transform(lambda batch: batch)
    assert only(check_dataset(transformed, "CosineSimilarityLoss"), "empty-text").rows == (0,)
    for report in (stream, check_dataset(transformed, "CosineSimilarityLoss")):
        assert f"more than {report.read}" in report.not_checked
    monkeypatch.setattr("selective_st.registry.checks.SCAN_ROWS", N - 1)
    assert f"all {N} rows: counts are of {N}" in check_dataset(stored, "CosineSimilarityLoss").not_checked


@pytest.mark.parametrize("label", [[i % 3 for i in range(N)], [i % 3 == 0 for i in range(N)], [[1, 0]] * N])
@pytest.mark.parametrize("negatives", [{}, {"negative": C}])
def test_integers_are_no_scores_of_in_batch_losses_that_ignore_them(
    negatives: dict[str, Any], label: list[Any]
) -> None:
    data = {"anchor": A, "positive": B, **negatives, "label": label}
    assert codes(check_dataset(data, "SelectiveMultipleNegativesRankingLoss")) == ["label-unused"]


@pytest.mark.parametrize(
    ("scores", "widest"), [([-1.5, 1.0, -1.0], 2.5), ([1.5, 1.2, 1.0], 0), ([1.0, -1.2, 0.5], 2.2)]
)
def test_the_margins_of_a_teachers_scores_are_those_of_the_first_from_the_others(
    scores: list[float], widest: float
) -> None:
    data = {"query": A, "positive": B, "negative_1": C, "negative_2": texts("d"), "scores": [scores] * N}
    found = [one.message for one in check_dataset(data, "MarginMSELoss").findings if one.code == "margin-range"]
    assert len(found) == bool(widest)
    assert all(f"as large as {widest:g}." in message for message in found)


def test_one_number_where_a_list_is_needed() -> None:
    data = {"q": A, "d1": B, "d2": C, "score": SCORES}
    assert only(check_dataset(data, "DistillKLDivLoss"), "label-is-scalar").severity == "error"
    assert "label-is-scalar" not in codes(check_dataset(data, "MarginMSELoss"))


def test_the_outputs_of_a_cross_encoder_suit_the_loss() -> None:
    class CrossEncoder(nn.Module):
        num_labels = 3
        config = PretrainedConfig(name_or_path="a/reranker")

    model = CrossEncoder()
    pairs = {"a": A, "b": B, "label": BINARY}
    finding = only(check_dataset(pairs, "BinaryCrossEntropyLoss", model=model), "model-outputs")
    assert "num_labels=1" in finding.mend
    assert check_dataset(pairs, "CrossEntropyLoss", model=model).ok
    classes = {**pairs, "label": [i % 5 for i in range(N)]}
    mend = only(check_dataset(classes, "CrossEntropyLoss", model=model), "class-range").mend
    assert "CrossEncoder('a/reranker', num_labels=5)" in mend.replace('"', "'")


def test_a_sparse_loss_needs_its_wrapper() -> None:
    class SparseEncoder(nn.Module):
        pass

    class SparseCosineSimilarityLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = SparseEncoder()

    class SpladeLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.loss = SparseEncoder(), SparseCosineSimilarityLoss()

    data = {"a": A, "b": B, "score": SCORES}
    assert "SpladeLoss(" in only(check_dataset(data, SparseCosineSimilarityLoss()), "not-wrapped").mend
    assert not check_dataset(data, SpladeLoss()).findings


def test_the_mending_of_one_dataset_of_several_leaves_column_names_alone() -> None:
    data = Dataset.from_dict({"a": ["x", "y"], "dataset text": [["p", None], ["q", "r"]], "labels": [[1.0, 0.0]] * 2})
    report = check_dataset(DatasetDict({"train": data}), "LambdaLoss", model_type="CrossEncoder")
    (found,) = [finding for finding in report.findings if finding.code == "missing-text"]
    condition = "all(text is not None for text in texts or [None])"
    line = f'.filter(lambda texts: {condition}, input_columns="dataset text")  # leaves out 1 row(s)'
    assert found.mend == f'dataset["train"] = dataset["train"]{line}'


# What resembles the traps above and is none.
@pytest.mark.parametrize(
    ("loss", "data"),
    [
        ("ListNetLoss", {"query": A, "docs": DOCUMENTS, "labels": [[i % 4, 0] for i in range(N)]}),
        ("PListMLELoss", {"query": A, "docs": DOCUMENTS, "labels": [[i % 4 + 1, 0] for i in range(N)]}),
        ("MultipleNegativesRankingLoss", {"query": A, "passage": B, "hard_negative": C}),
        ("MultipleNegativesRankingLoss", {"premise": A, "entailment": B, "contradiction": C}),
        ("CosineSimilarityLoss", {"sentence1": A, "sentence2": B, "score": SCORES}),
        ("SelectivePairwiseLoss", {"query": A, "positive": B, "negative": C}),
        ("SelectiveListwiseLoss", {"q": A, "d1": B, "d2": C, "scores": first(TWO, [0.5, math.nan])}),
        ("SelectiveMultipleNegativesRankingLoss", {"query": A, "positive": B, "negative": C, "scores": TWO}),
    ],
)
def test_data_that_only_resemble_a_trap_are_left_in_peace(loss: str, data: dict[str, Any]) -> None:
    report = check_dataset(Dataset.from_dict(data), loss)
    assert not report.findings, str(report)


def collated(model: Any, data: dict[str, Any]) -> tuple[list[Any], Any]:
    """What the trainer makes of the first rows."""
    batch = BaseDataCollator(model.preprocess)(Dataset.from_dict(data).select(range(4)).to_list())
    label = batch.pop("label", None)
    names = list(dict.fromkeys(key.split("_")[0] for key in batch))
    return [{key[len(n) + 1 :]: value for key, value in batch.items() if key.split("_")[0] == n} for n in names], label


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("label-text", ["yes", "no"] * (N // 2)),
        ("label-text", [["x"]] * N),
        ("missing-label", first([1] * N, None)),
        ("missing-label", first([[1.0]] * N, [None])),
        ("list-lengths", first(TWO, [0.5])),
    ],
)
def test_the_trainer_makes_tensors_of_labels_that_the_loss_does_not_read(
    static_model: SentenceTransformer, code: str, label: list[Any]
) -> None:
    data = {"anchor": A, "positive": B, "label": label}
    finding = only(check_dataset(data, st_losses.MultipleNegativesRankingLoss(static_model)), code)
    assert finding.severity == "error"
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        collated(static_model, data)
    ragged = check_dataset(data, "MultipleNegativesRankingLoss", model_type="CrossEncoder")
    assert (code in codes(ragged)) == (code != "list-lengths")  # there labels are a list of tensors
    nan = check_dataset({**data, "label": first([0.7] * N, math.nan)}, "MultipleNegativesRankingLoss")
    assert nan.ok, str(nan)  # a tensor can be made of it, and it is not read


def test_scores_of_pairs_are_a_teachers_to_our_in_batch_losses(static_model: SentenceTransformer) -> None:
    loss = SelectiveMultipleNegativesRankingLoss(static_model)
    data = {"anchor": A, "positive": B, "score": [5 * s for s in SCORES]}
    report = check_dataset(data, loss)
    assert only(report, "label-range").severity == "error"
    with pytest.raises(ValueError, match="must lie within"):
        loss(*collated(static_model, data))
    fine = {**data, "score": SCORES}
    assert [(found.code, found.severity) for found in check_dataset(fine, loss).findings] == [
        ("teacher-labels", "warning")
    ]
    assert math.isfinite(loss(*collated(static_model, fine)).item())
    assert not check_dataset({"anchor": A, "positive": B}, loss).findings


def test_labels_that_could_be_margins_or_scores_need_targets(static_model: SentenceTransformer) -> None:
    data = {"query": A, "positive": B, "negative": C, "scores": TWO}
    loss = SelectivePairwiseLoss(static_model)
    finding = only(check_dataset(data, loss), "loss-targets")
    assert '"scores"' in finding.message
    assert '"margins"' in finding.message
    with pytest.raises(ValueError, match="targets must be given"):
        loss(*collated(static_model, data))
    names = {"SelectivePairwiseLoss": SelectivePairwiseLoss, "pairwise_cos_sim": pairwise_cos_sim}
    told = mended(finding, data, model=static_model, **names)["loss"]
    assert not check_dataset(data, told).findings
    assert math.isfinite(told(*collated(static_model, data)).item())
    margins = {**data, "scores": [pair[:1] for pair in TWO]}
    assert not check_dataset(margins, loss).findings
    finding = only(check_dataset(margins, told), "loss-targets")
    with pytest.raises(ValueError, match=r"must be scores of shape \(4, 2\)"):
        told(*collated(static_model, margins))
    assert check_dataset(margins, mended(finding, data, model=static_model, **names)["loss"]).ok
    del data["scores"]
    assert "loss-targets" in codes(check_dataset(data, told))
    assert not check_dataset(data, loss).findings


@pytest.mark.parametrize(
    ("loss", "model_type"),
    [
        ("MultipleNegativesRankingLoss", "SentenceTransformer"),
        ("MultipleNegativesRankingLoss", "CrossEncoder"),
        ("SelectiveMultipleNegativesRankingLoss", "SentenceTransformer"),
    ],
)
def test_a_batch_of_one_row_teaches_nothing_without_negatives(loss: str, model_type: Any) -> None:
    pairs = Dataset.from_dict({"anchor": A, "positive": B})
    finding = only(check_dataset(pairs, loss, model_type=model_type, batch_size=1), "lone-row")
    assert finding.severity == "error"

    class Arguments:
        per_device_train_batch_size = 1

    size = mended(finding, pairs, args=Arguments())["args"].per_device_train_batch_size
    assert not check_dataset(pairs, loss, model_type=model_type, batch_size=size).findings
    one = only(check_dataset(pairs.select([0]), loss, model_type=model_type), "lone-row")
    assert not one.mend  # no line makes the rows that are lacking
    assert "concatenate_datasets" in one.message
    triplets = pairs.add_column("negative", C)
    assert not check_dataset(triplets, loss, model_type=model_type, batch_size=1).findings
    graded = Dataset.from_dict({"a": A, "b": B, "score": SCORES})
    assert "lone-row" in codes(check_dataset(graded, "CoSENTLoss", batch_size=1))
    assert not check_dataset(graded, "CosineSimilarityLoss", batch_size=1).findings


def test_lists_of_one_document_have_no_order() -> None:
    data = {"query": A, "docs": [[b] for b in B], "labels": [[s] for s in SCORES]}
    finding = only(check_dataset(data, "ListNetLoss"), "short-lists")
    assert (finding.severity, finding.count) == ("error", N)
    few = {"query": A, "docs": first(DOCUMENTS, B[:1]), "labels": first(TWO, [0.5])}
    assert not check_dataset(few, "ListNetLoss").findings


def test_an_empty_list_is_no_missing_label() -> None:
    data = {"query": A, "docs": first(DOCUMENTS, []), "labels": first(TWO, [])}
    assert codes(check_dataset(Dataset.from_dict(data), "ListNetLoss")) == ["empty-text"]
    text = {"text": A, "label": first([[0.1, 0.2]] * N, [])}
    assert "missing-label" in codes(check_dataset(text, "MSELoss"))


def test_lists_before_the_query_are_an_error() -> None:
    data = {"docs": DOCUMENTS, "query": A, "labels": TWO}
    assert only(check_dataset(data, "ListNetLoss"), "column-order").severity == "error"
    swapped = {"answer": B, "question": A}
    assert only(check_dataset(swapped, "MultipleNegativesRankingLoss"), "column-order").severity == "warning"


def test_an_anchor_among_the_negatives_is_an_error_where_it_is_the_rule() -> None:
    data = {"query": A, "positive": B, "negative": A}
    finding = only(check_dataset(data, "MultipleNegativesRankingLoss"), "anchor-is-negative")
    assert (finding.severity, finding.count, finding.column) == ("error", N, "negative")
    data["negative"] = first(C, A[0])
    finding = only(check_dataset(data, "MultipleNegativesRankingLoss"), "anchor-is-negative")
    assert (finding.severity, finding.rows) == ("warning", (0,))


def test_labels_that_are_all_0_may_be_those_of_negatives() -> None:
    data = {"anchor": A, "positive": B, "label": [0] * N}
    zero = only(check_dataset(data, "MultipleNegativesRankingLoss"), "label-unused")
    assert (zero.severity, zero.mend) == ("error", "")  # no line makes positives of negatives
    data["label"] = [1] * N
    assert only(check_dataset(data, "MultipleNegativesRankingLoss"), "label-unused").severity == "warning"
    classes = Features({"premise": Value("string"), "hypothesis": Value("string"),
                        "label": ClassLabel(names=["entailment", "neutral", "contradiction"])})  # fmt: skip
    entailed = Dataset.from_dict({"premise": A, "hypothesis": B, "label": [0] * N}, features=classes)
    report = check_dataset(entailed, "MultipleNegativesRankingLoss")
    assert only(report, "label-unused").severity == "warning", str(report)


@pytest.mark.parametrize("as_text", [False, True])
def test_a_label_under_another_name_is_checked_as_it_would_be_read(as_text: bool) -> None:
    grades = [round(5 * s, 2) for s in SCORES]
    data = {"sentence1": A, "sentence2": B, "similarity": list(map(str, grades)) if as_text else grades}
    dataset = Dataset.from_dict(data)
    report = check_dataset(dataset, "CosineSimilarityLoss")
    assert codes(report) == ["no-label", "label-range"], str(report)
    assert report.findings[1].column == "similarity"
    assert report.findings[1].message.startswith("once 'similarity' is the label: ")
    assert report.findings[1].rows == tuple(i for i, grade in enumerate(grades) if grade > 1)[:5]
    for finding in report.findings:
        dataset = mended(finding, dataset)["dataset"]
    assert not check_dataset(dataset, "CosineSimilarityLoss").findings
    assert max(dataset["score"]) <= 1
    fine = {**data, "similarity": SCORES}
    assert codes(check_dataset(fine, "CosineSimilarityLoss")) == ["no-label"]
    assert "label-range" not in codes(check_dataset(data, "CoSENTLoss"))


def test_a_csr_loss_needs_an_autoencoder() -> None:
    class SparseAutoEncoder(nn.Module):
        pass

    class SpladePooling(nn.Module):
        pass

    class SparseEncoder(nn.Sequential):
        pass

    splade, csr = SparseEncoder(SpladePooling()), SparseEncoder(SpladePooling(), SparseAutoEncoder())
    data = {"anchor": A, "positive": B}
    finding = only(check_dataset(data, "CSRLoss", model=splade), "no-autoencoder")
    assert "SpladeLoss(" in finding.mend
    assert check_dataset(data, "CSRLoss", model=csr).ok
    assert check_dataset(data, "SpladeLoss", model=splade).ok


def test_the_classifier_of_softmax_suits_the_model(static_model: SentenceTransformer) -> None:
    data = {"a": A, "b": B, "label": [i % 3 for i in range(N)]}
    size = static_model.get_embedding_dimension()
    assert size is not None
    wrong = st_losses.SoftmaxLoss(static_model, size + 1, num_labels=3)
    finding = only(check_dataset(data, wrong), "classifier-size")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        wrong(*collated(static_model, data))
    right = mended(finding, data, model=static_model, SoftmaxLoss=st_losses.SoftmaxLoss)["loss"]
    assert not check_dataset(data, right).findings
    all_parts = st_losses.SoftmaxLoss(static_model, size, num_labels=3, concatenation_sent_multiplication=True)
    assert not check_dataset(data, all_parts).findings


def test_every_check_has_a_trap_here() -> None:
    source = inspect.getsource(sys.modules[__name__]) + inspect.getsource(test_checks_mends)
    assert not [code for code in CHECKS if f'"{code}"' not in source]
    assert "no-such-code" not in CHECKS


def test_a_scan_puts_no_texts_together_that_are_longer_than_arrow_holds() -> None:
    part = pa.array([f"{row}{'x' * 2**20}" for row in range(40)])
    stored = pa.table({"text": pa.chunked_array([part] * 60)})
    selected = Dataset(stored, fingerprint="long").select([2399, 0, 1303, 1303, 1304, 41])
    [(rows, batch)] = tables(selected)[0].scan("text")
    found = [text.rstrip("x") for text in batch["text"].to_pylist()]
    assert dict(zip(rows.tolist(), found, strict=True)) == {0: "39", 1: "0", 2: "23", 3: "23", 4: "24", 5: "1"}


def test_texts_are_told_apart_by_their_numbers() -> None:
    generator = random.Random(0)
    letters = ["a", "b", "ß", "", " "]
    values = ["".join(generator.choices(letters, k=generator.randrange(6))) for _ in range(5_000)]
    values += ["x" * 600_000, "y" + "x" * 599_999, "x" * 600_000]
    found = scan(tables({"text": values})[0], ["text"], None).texts["text"].codes
    assert found is not None
    expected = dict(zip(values, found.tolist(), strict=True))
    assert [expected[value] for value in values] == found.tolist()
    assert len(set(found.tolist())) == len(set(values))
