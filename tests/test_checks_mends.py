"""Advice works when pasted: all the mends of a check, in the order printed, raise nothing and lose nothing unsaid."""

from __future__ import annotations

import re
import string
import zlib
from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict, Value
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer import losses as st_losses

from selective_st.errors import DataError
from selective_st.registry import create_loss
from selective_st.registry.catalog import MODEL_TYPES, losses, model_type_of
from selective_st.registry.checks import CheckReport, Finding, check_dataset, conflicting_rows
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.engine import RULES
from selective_st.registry.checks.report import Finding as Reported
from selective_st.registry.steps import Code, Step, code_of
from selective_st.registry.table import to_dataset, without_trainer_transform
from selective_st.written import read_written
from tests.awkward_labels import AWKWARD, ROWS, Awkward
from tests.format_corpus import ANSWERS, CASES, QUESTIONS, WRONG
from tests.mends import Mended, mend, paste
from tests.model_types import model_for, static_model

A, B, C = QUESTIONS, ANSWERS, WRONG[0]
SCORES = [round((i * 7 % ROWS) / ROWS, 2) for i in range(ROWS)]
KEPT = ("label", "labels", "score", "scores", "positive", "negative")


@cache
def model_of(model_type: str) -> Any:
    return static_model() if model_type == "SentenceTransformer" else model_for(model_type)


def only(report: CheckReport, code: str) -> Finding:
    found = [finding for finding in report.findings if finding.code == code]
    assert found, f"{code} is not in\n{report}"
    return found[0]


def assert_mended(done: Mended) -> None:
    """Nothing was lost unsaid, and there is less to mend."""
    assert done.is_better, f"{done.before}\n--- after ---\n{done.after}"


def assert_nothing_lost(before: Dataset, done: Mended) -> None:
    """Rows, and columns that hold labels, positives or negatives, are there unless the words say that they are not."""
    after = done.dataset
    says = re.search(
        "leaves out|left out|a row for each|of texts|each text|pairs of|mine_hard|choose", done.words, re.I
    )
    if len(after) != len(before):
        assert says, done.before
    for column in set(KEPT) & set(before.column_names) - set(after.column_names):
        assert says or "rename_column" in done.words or "split_lists" in done.words, (column, done.before)


# --- Every mend that the corpora can produce --------------------------------------------------------------------------

LOSSES = [
    ("SentenceTransformer", name)
    for name in (
        "CosineSimilarityLoss", "CoSENTLoss", "ContrastiveLoss", "SoftmaxLoss", "MultipleNegativesRankingLoss",
        "TripletLoss", "MarginMSELoss", "DistillKLDivLoss", "BatchAllTripletLoss", "MSELoss", "ContrastiveTensionLoss",
        "DenoisingAutoEncoderLoss", "SelectivePointwiseLoss", "SelectivePairwiseLoss", "SelectiveListwiseLoss",
        "SelectiveMultipleNegativesRankingLoss",
    )
]  # fmt: skip
LOSSES += [
    ("CrossEncoder", "BinaryCrossEntropyLoss"),
    ("CrossEncoder", "LambdaLoss"),
    ("CrossEncoder", "CrossEntropyLoss"),
]
LOSSES += [("SparseEncoder", "SparseCosineSimilarityLoss"), ("SparseEncoder", "SparseTripletLoss")]
_SHARE = 8  # of the pairs of a dataset and a loss one is tried; all of them were, when the rules were written


def _is_tried(case: str, loss: str) -> bool:
    return zlib.crc32(f"{case} {loss}".encode()) % _SHARE == 0


TRIED = [
    (case, model_type, loss)
    for case in CASES
    for model_type, loss in LOSSES
    if "image" not in case.id and _is_tried(case.id, loss)
]


@pytest.mark.parametrize(("case", "model_type", "loss"), TRIED, ids=[f"{c.id}-{name}" for c, _, name in TRIED])
def test_all_mends_of_the_corpus_of_formats_work(case: Any, model_type: Any, loss: str) -> None:
    data = case.make()
    done = mend(data, loss, model=model_of(model_type), model_type=model_type)
    assert_mended(done)
    if isinstance(data, Dataset) and data.format["type"] is None:
        assert_nothing_lost(data, done)


def test_a_mend_that_does_not_work_would_be_noticed() -> None:
    report = CheckReport((Reported("error", "x", "y.", mend='dataset = dataset.remove_columns("no")'),), (), "", "", ())
    done = Mended(report, report, None)
    assert not done.is_better
    with pytest.raises(ValueError, match="no"):
        paste(report.findings[0].mend, {"dataset": Dataset.from_dict({"a": A})})


# --- Awkward labels ---------------------------------------------------------------------------------------------------


def pairs(labels: list[Any], name: str = "label") -> Dataset:
    return Dataset.from_dict({"sentence1": A, "sentence2": B, name: labels})


def test_there_are_enough_awkward_labels() -> None:
    assert len(AWKWARD) >= 53
    assert len({case.id for case in AWKWARD}) == len(AWKWARD)


each_awkward = pytest.mark.parametrize("case", AWKWARD, ids=[case.id for case in AWKWARD])


def numbers_of(case: Awkward) -> dict[str, float]:
    """For each text the number that is expected, without the rows whose label says nothing."""
    told = zip(A, case.labels, strict=True)
    return {text: number for text, label in told if (number := case.numbers[case.of(label)]) is not None}


@pytest.mark.parametrize("name", ["score", "similarity"])
@each_awkward
def test_awkward_labels_become_the_scores_that_they_say(case: Awkward, name: str) -> None:
    if name == "similarity" and case.kind in ("unclear", "classes"):
        pytest.skip("a column that may hold anything")
    before = pairs(case.labels, name)
    done = mend(before, "CosineSimilarityLoss", model=model_of("SentenceTransformer"))
    assert_mended(done)
    after = done.dataset
    if case.kind == "unclear":
        assert after[:] == before[:], done.before
        assert "label-text" in [finding.code for finding in done.before.findings]
        return
    if case.kind == "classes":
        assert type(done.space["loss"]).__name__ in ("SoftmaxLoss", "MultipleNegativesRankingLoss"), done.before
        return
    assert not done.after.findings, f"{done.before}\n--- after ---\n{done.after}"
    assert dict(zip(after["sentence1"], after["score" if "score" in after.column_names else "label"], strict=True)) == (
        pytest.approx(numbers_of(case), abs=0.005)
    )
    assert len(after) == ROWS or "leaves out" in done.words


@each_awkward
def test_awkward_labels_become_1_and_0_where_they_say_opposite_things(case: Awkward) -> None:
    done = mend(pairs(case.labels), "ContrastiveLoss", model=model_of("SentenceTransformer"))
    assert_mended(done)
    if case.kind == "opposites":
        after = done.dataset
        assert dict(zip(after["sentence1"], after["label"], strict=True)) == numbers_of(case)
        assert after.features["label"] == Value("int64")


@each_awkward
def test_awkward_labels_become_positives_only_where_they_say_so(case: Awkward) -> None:
    done = mend(pairs(case.labels), "MultipleNegativesRankingLoss", model=model_of("SentenceTransformer"))
    assert_mended(done)
    if "raters" in case.id and "as text" not in case.id and "semicolons" not in case.id:
        assert "label" in done.dataset.column_names  # lists are not read as numbers of a pair
    elif case.kind in ("numbers", "opposites"):
        told = numbers_of(case)
        assert set(done.dataset["anchor"]) <= {text for text, number in told.items() if number > 0.5}
        assert {text for text, number in told.items() if number == 1} <= set(done.dataset["anchor"])


@each_awkward
def test_awkward_labels_become_classes_where_these_are_asked_for(case: Awkward) -> None:
    before = pairs(case.labels)
    done = mend(before, "SoftmaxLoss", model=model_of("SentenceTransformer"))
    assert_mended(done)
    if case.kind == "classes":
        both = set(zip(case.labels, done.dataset["label"], strict=True))
        assert len(both) == len(set(case.labels)) == len(set(done.dataset["label"]))
        assert not done.after.findings


def test_a_label_that_is_none_is_named_with_its_row() -> None:
    labels = [str(score) for score in SCORES] * 4
    labels[77] = "good"
    data = {"sentence1": A * 4, "sentence2": B * 4, "score": labels}
    found = only(check_dataset(Dataset.from_dict(data), "CosineSimilarityLoss"), "label-text")
    assert "'good' in 1 row(s) (77)" in found.message
    assert (found.rows, found.count) == ((77,), 1)
    assert [step.call for step in found.steps] == ["labels_to_float", "remove_empty_rows"]
    assert found.steps[0].options == (("mapping", {"good": None}),)


def test_grades_are_written_out_for_the_user_to_edit() -> None:
    found = only(check_dataset(pairs(["poor", "good", "excellent"] * 8), "CosineSimilarityLoss"), "label-text")
    assert 'mapping={"poor": 0.0, "good": 0.5, "excellent": 1.0}' in found.mend
    assert "edit the numbers" in found.mend


def test_a_column_has_one_fate() -> None:
    """`duplicate: yes/no` is renamed and read, never removed as well."""
    for loss in ("CosineSimilarityLoss", "ContrastiveLoss", "SoftmaxLoss", "MultipleNegativesRankingLoss"):
        done = mend(pairs(["yes", "no"] * 12, "duplicate"), loss, model=model_of("SentenceTransformer"))
        assert_mended(done)
        assert "remove_columns" not in done.words
        assert done.words.count("rename_column") == 1


def test_number_columns_are_not_left_out_with_the_label_among_them() -> None:
    years = [1990 + i % 7 for i in range(ROWS)]
    data = Dataset.from_dict({"sentence1": A, "sentence2": B, "rating": [i % 6 for i in range(ROWS)], "year": years})
    done = mend(data, "CosineSimilarityLoss", model=model_of("SentenceTransformer"))
    assert not done.after.findings
    assert done.dataset["score"][:] == [(i % 6) / 5 for i in range(ROWS)]
    assert done.dataset.column_names == ["sentence1", "sentence2", "score"]
    # Which of two it is, the user must say.
    raters = {f"rater_{k}": [(i + k) % 5 + 1 for i in range(ROWS)] for k in (1, 2)}
    report = check_dataset(Dataset.from_dict({"sentence1": A, "sentence2": B, **raters}), "CosineSimilarityLoss")
    found = only(report, "no-label")
    assert all(line.startswith("#") for line in found.mend.splitlines())
    assert {"rater_1", "rater_2"} <= set(re.findall(r"rater_\d", found.mend))
    assert [finding.code for finding in report.findings] == ["no-label"]
    # Where there is none, another loss takes the pairs as what they are.
    found = only(check_dataset(Dataset.from_dict({"anchor": A, "positive": B}), "CoSENTLoss"), "no-label")
    assert "loss = MultipleNegativesRankingLoss(model)" in found.mend


@pytest.mark.parametrize("labels", [["yes", "no"], [1, 0], [True, False], ["ja", "nein"]], ids=str)
@pytest.mark.parametrize("name", ["not_duplicate", "different"])
def test_a_label_that_says_the_opposite_is_turned_round(name: str, labels: list[Any]) -> None:
    data = pairs(labels * 12, name)
    done = mend(data, "CosineSimilarityLoss")
    assert_mended(done)
    assert done.dataset["label"][:] == [0, 1] * 12
    positives = mend(data, "MultipleNegativesRankingLoss")
    assert_mended(positives)
    assert positives.dataset["anchor"][:] == A[1::2]


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("value", [{"a": ["x"], "b": ["y"]}, [{"a": ["x"]}], ["a", "b"], [[1.0], [2.0]]], ids=str)
def test_no_mend_leaves_out_a_column_by_the_name_of_a_label_or_a_positive(name: str, value: Any) -> None:
    data = Dataset.from_dict({"query": A, "document": B, name: [value] * ROWS})
    for loss in ("MultipleNegativesRankingLoss", "CosineSimilarityLoss", "TripletLoss", "SoftmaxLoss"):
        for finding in check_dataset(data, loss).findings:
            for step in finding.steps:
                named = str(step.arguments)
                assert step.call != "remove_columns" or f"'{name}'" not in named, finding
                assert step.call != "select_columns" or f"'{name}'" in named, finding


def test_cells_of_objects_are_taken_apart_before_all_else() -> None:
    passages = [[{"docid": str(i), "text": text}] for i, text in enumerate(B)]
    wrong = [[{"docid": "x", "text": text}] for text in C]
    data = Dataset.from_dict({"query": A, "positive_passages": passages, "negative_passages": wrong})
    done = mend(data, "MultipleNegativesRankingLoss")
    assert_mended(done)
    assert done.dataset["query"][:] == A
    assert done.dataset["positive"][:] == B
    assert done.dataset["negative"][:] == C


def test_a_label_in_an_object_is_taken_out_of_it() -> None:
    done = mend(pairs([{"value": score, "by": "x"} for score in SCORES]), "CosineSimilarityLoss")
    assert not done.after.findings
    assert done.dataset["label"][:] == SCORES


def test_documents_with_a_label_each_become_pairs() -> None:
    labels = [[score, round(1 - score, 2)] for score in SCORES]
    for data in (
        Dataset.from_dict({"query": A, "doc_1": B, "doc_2": C, "labels": labels}),
        Dataset.from_dict({"query": A, "documents": [list(two) for two in zip(B, C, strict=True)], "labels": labels}),
    ):
        done = mend(data, "CosineSimilarityLoss")
        assert not done.after.findings, done.after
        assert len(done.dataset) == 2 * ROWS
        assert done.dataset[0] == {"query": A[0], "document": B[0], "labels": labels[0][0]}
        assert done.dataset[1] == {"query": A[0], "document": C[0], "labels": labels[0][1]}


def test_lists_of_right_texts_become_rows_and_no_negatives() -> None:
    data = Dataset.from_dict({"query": A, "pos": [[b, b + " Indeed."] for b in B], "neg": [[c] for c in C]})
    done = mend(data, "MultipleNegativesRankingLoss")
    assert_mended(done)
    assert len(done.dataset) == 2 * ROWS
    assert set(done.dataset["positive"]) == {*B, *(b + " Indeed." for b in B)}
    assert set(done.dataset["negative"]) == set(C)


def test_classes_of_inference_are_no_scores_whoever_numbers_them() -> None:
    texts = {"premise": [A[i // 3] for i in range(ROWS)], "hypothesis": B}
    data = Dataset.from_dict({**texts, "label": [i % 3 for i in range(ROWS)]})
    report = check_dataset(data, "CosineSimilarityLoss", model=model_of("SentenceTransformer"))
    assert [finding.code for finding in report.findings] == ["label-classes"]
    assert "scale_labels" not in str(report)
    contrastive = check_dataset(data, "ContrastiveLoss", model=model_of("SentenceTransformer"))
    assert "label-not-binary" not in [finding.code for finding in contrastive.findings]
    names = Features(
        {**dict.fromkeys(texts, Value("string")), "label": ClassLabel(names=["entailment", "neutral", "contradiction"])}
    )
    named = data.cast(names)
    found = only(check_dataset(named, "MultipleNegativesRankingLoss"), "label-unused")
    assert (found.severity, found.count) == ("error", 16)
    done = mend(named, "MultipleNegativesRankingLoss")
    assert not done.after.findings
    assert done.dataset[0] == {"anchor": A[0], "positive": B[0], "negative": B[2]}


def test_labels_that_are_all_0_have_no_mend_that_makes_them_positives() -> None:
    found = only(check_dataset(pairs([0] * ROWS), "MultipleNegativesRankingLoss"), "label-unused")
    assert (found.severity, found.mend) == ("error", "")


def test_a_scale_that_is_guessed_is_called_a_guess() -> None:
    found = only(
        check_dataset(pairs([1.5 + 5 * score for score in SCORES], "score"), "CosineSimilarityLoss"), "label-range"
    )
    assert "a guess from labels of 1.5 to 6.3" in found.mend
    whole = only(
        check_dataset(pairs([float(i % 6) for i in range(ROWS)], "score"), "CosineSimilarityLoss"), "label-range"
    )
    assert "guess" not in whole.mend


def test_what_is_left_out_is_said_with_its_number() -> None:
    data = Dataset.from_dict({"a": [None, *A[1:]], "b": ["", *B[1:3], "", *B[4:]], "score": SCORES})
    report = check_dataset(data, "CosineSimilarityLoss")
    assert "leaves out 1 row(s)" in only(report, "missing-text").mend
    # Row 0 is gone already.
    assert "leaves out 1 row(s)" in only(report, "empty-text").mend
    done = mend(data, "CosineSimilarityLoss")
    assert done.dataset["a"][:] == [text for i, text in enumerate(A) if i not in (0, 3)]


def test_no_mend_leaves_nothing() -> None:
    half = [None if i % 2 else text for i, text in enumerate(A)]
    other = [text if i % 2 else None for i, text in enumerate(B)]
    report = check_dataset(Dataset.from_dict({"a": half, "b": other, "score": SCORES}), "CosineSimilarityLoss")
    assert [bool(finding.mend) for finding in report.findings if finding.code == "missing-text"] == [True, False]


# --- The same texts with different labels -----------------------------------------------------------------------------


def test_the_same_pair_with_different_labels_is_named() -> None:
    data = Dataset.from_dict(
        {"a": [*A, A[3], A[3], A[9]], "b": [*B, B[3], B[3], B[9]], "score": [*SCORES, 0.9, 0.1, SCORES[9]]}
    )
    found = only(check_dataset(data, "CosineSimilarityLoss"), "conflicting-labels")
    assert (found.severity, found.rows, found.count) == ("warning", (3, 24, 25), 3)
    assert f"row 3: {SCORES[3]:g}, row 24: 0.9, row 25: 0.1" in found.message
    done = mend(data, "CosineSimilarityLoss")
    assert not done.after.findings
    assert len(done.dataset) == ROWS
    assert done.dataset["score"][3] == pytest.approx((SCORES[3] + 0.9 + 0.1) / 3)
    assert done.dataset["score"][:3] == SCORES[:3]
    assert "leaves out 3 repeated row(s)" in found.mend


def test_pairs_that_have_changed_places_are_the_same_to_a_symmetric_loss_only() -> None:
    data = Dataset.from_dict({"a": [*A, B[2]], "b": [*B, A[2]], "label": [*[i % 2 for i in range(ROWS)], 1]})
    assert only(check_dataset(data, "ContrastiveLoss"), "conflicting-labels").rows == (2, 24)
    assert not check_dataset(data, "BinaryCrossEntropyLoss").findings
    assert not check_dataset(data, "SoftmaxLoss").findings


def test_a_text_of_two_classes_is_named_by_the_classes() -> None:
    data = Dataset.from_dict({"text": [*B, B[1]], "label": [*["joy", "fear"] * 12, "joy"]})
    found = only(check_dataset(data, "BatchAllTripletLoss"), "conflicting-labels")
    assert "row 1: fear, row 24: joy" in found.message
    done = mend(data, "BatchAllTripletLoss")
    assert not done.after.findings
    assert len(done.dataset) == ROWS


def test_conflicts_are_exact_in_a_large_dataset() -> None:
    count = 30_000
    numbers = list(range(count))
    first = [f"text {i % 29_000}" for i in numbers]
    data = {"a": first, "b": first, "score": [(i % 7) / 7 for i in numbers]}
    expected: dict[str, set[float]] = {}
    for text, score in zip(first, data["score"], strict=True):
        expected.setdefault(text, set()).add(score)
    bad = [i for i in numbers if len(expected[first[i]]) > 1]
    for holder in (Dataset.from_dict(data).shuffle(seed=1), data):
        found = only(check_dataset(holder, "CosineSimilarityLoss"), "conflicting-labels")
        assert found.count == len(bad)
        assert found.message.startswith(f"{len(bad):,} rows")
        assert "leaves out 1,000 repeated row(s)" in found.mend
    assert found.rows == tuple(bad[:5])
    alike = check_dataset({**data, "score": [0.5] * count}, "CosineSimilarityLoss")
    assert "conflicting-labels" not in {finding.code for finding in alike.findings}
    told = conflicting_rows(data, ("a", "b"), "score")
    assert told is not None
    assert (told.rows.tolist(), told.groups, told.repeated) == (bad, len(bad) // 2, 1000)
    assert conflicting_rows({**data, "score": [0.5] * count}, ("a", "b"), "score") is None


def test_conflicts_are_not_sought_in_columns_of_lists() -> None:
    """Where it cannot be told whether texts are the same, this is said."""
    lists = {"a": ["x", "x"], "b": [["y"], ["y"]], "score": [0.0, 1.0]}
    with pytest.raises(TypeError, match="column 'b' must hold texts"):
        conflicting_rows(lists, ("a", "b"), "score")


@pytest.mark.parametrize(
    ("inputs", "label", "says"),
    [
        ("a", "score", r"inputs must be a list of names of columns \(a, b, score\), got 'a' of type str"),
        ((), "score", r'inputs must hold names of columns .*, at least one, got \(\)\. Write inputs=\["a", "b"\]'),
        (("a", "c"), "score", r"inputs must hold names of columns .*got \('a', 'c'\)"),
        (("a", "b"), "gold", "label must be one of score, got 'gold'"),
        (("a", "score"), "score", "label must be one of b, got 'score'"),
        (("score",), "b", "column 'score' must hold texts, got values of type float"),
    ],
)
def test_columns_in_which_conflicts_cannot_be_sought(inputs: Any, label: str, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"conflicting_rows: {says}"):
        conflicting_rows({"a": ["x", "x"], "b": ["y", "y"], "score": [0.0, 1.0]}, inputs, label)


def test_the_same_pair_with_the_same_label_is_no_conflict() -> None:
    data = Dataset.from_dict({"a": A * 2, "b": B * 2, "score": SCORES * 2})
    assert not check_dataset(data, "CosineSimilarityLoss").findings


# --- What the trainer refuses -----------------------------------------------------------------------------------------


def trained(model: Any, data: Any, loss: Any, **options: Any) -> None:
    arguments = SentenceTransformerTrainingArguments(
        "no folder", max_steps=2, per_device_train_batch_size=4, save_strategy="no", report_to="none", **options
    )
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()


def rows() -> list[dict[str, Any]]:
    return [{"a": a, "b": b, "score": score} for a, b, score in zip(A, B, SCORES, strict=True)]


@pytest.mark.slow
def test_a_dict_of_streams_is_refused_and_mended() -> None:
    model = static_model()
    loss = st_losses.CosineSimilarityLoss(model)
    stream = Dataset.from_list(rows()).to_iterable_dataset()
    for data in ({"one": stream, "two": stream}, IterableDatasetDict({"one": stream, "two": stream})):
        report = check_dataset(data, loss)
        assert [(finding.code, finding.dataset) for finding in report.findings] == [
            ("stream-dict", "one"), ("stream-dict", "two"),
        ]  # fmt: skip
        with pytest.raises(ValueError, match="not compatible with"):
            trained(model, dict(data), loss)
        done = mend(data, loss)
        assert not done.after.findings
        trained(model, done.dataset, loss)


def test_a_stream_without_features_is_refused_and_mended() -> None:
    model = model_for("SentenceTransformer")
    loss = st_losses.CosineSimilarityLoss(model)
    stream = IterableDataset.from_generator(lambda: iter(rows()))
    assert [finding.code for finding in check_dataset(stream, loss).findings] == ["stream-features"]
    with pytest.raises(ValueError, match="must have Features"):
        trained(model, stream, loss)
    done = mend(stream, loss)
    assert not done.after.findings
    assert done.dataset.features == Features({"a": Value("string"), "b": Value("string"), "score": Value("float64")})


def test_a_stream_of_batches_that_cannot_be_cut_is_mended() -> None:
    model = static_model()
    loss = st_losses.CosineSimilarityLoss(model)
    stream = Dataset.from_list(rows()).to_iterable_dataset()
    found = only(check_dataset(stream, loss), "stream-batches")
    assert 'accelerator_config={"dispatch_batches": False}' in found.mend
    with pytest.raises(RuntimeError):
        trained(model, stream, loss)
    trained(model, stream, loss, accelerator_config={"dispatch_batches": False})
    arguments = SentenceTransformerTrainingArguments("no folder", report_to="none")
    paste(found.mend, {"args": arguments})
    assert arguments.accelerator_config.dispatch_batches is False
    assert not check_dataset(stream, st_losses.CosineSimilarityLoss(model_for("SentenceTransformer"))).findings
    assert not check_dataset(Dataset.from_list(rows()), loss).findings


def test_a_stream_has_no_sampler() -> None:
    stream = Dataset.from_dict({"anchor": A, "positive": B}).to_iterable_dataset()
    found = only(check_dataset(stream, "MultipleNegativesRankingLoss", sampler="no_duplicates"), "stream-sampler")
    assert "to_dataset" in found.mend
    doubled = Dataset.from_dict({"anchor": A[:12] * 2, "positive": B}).to_iterable_dataset()
    done = mend(doubled, "MultipleNegativesRankingLoss")
    assert isinstance(done.dataset, Dataset)
    assert not done.after.findings


def test_what_the_trainer_adds_to_a_dataset_is_not_the_users() -> None:
    model = static_model()
    both = DatasetDict({"one": Dataset.from_list(rows()), "two": Dataset.from_list(rows()).shuffle(seed=0)})
    by_name = {name: st_losses.CosineSimilarityLoss(model) for name in both}
    trained(model, both, by_name)
    assert "dataset_name" in both["one"][0]
    assert not check_dataset(both, by_name).findings
    assert not check_dataset(both["one"], by_name["one"]).findings
    assert check_dataset(both["one"], by_name["one"]).read == "all 24 rows"
    create_loss(model, both["one"])
    # Mends work on it as on any other.
    wrong = DatasetDict({"one": Dataset.from_dict({"a": A, "b": B, "score": [5 * s for s in SCORES]})})
    trained(model, wrong, {"one": st_losses.CosineSimilarityLoss(model)})
    done = mend(wrong, {"one": "CosineSimilarityLoss"})
    assert not done.after.findings
    assert max(done.dataset["one"].with_format(None)["score"]) <= 1


def test_a_transform_of_the_users_stays_below_that_of_the_trainer() -> None:
    model = static_model()
    shouted = Dataset.from_list(rows()).with_transform(lambda batch: {**batch, "a": [a.upper() for a in batch["a"]]})
    both = DatasetDict({"one": shouted})
    trained(model, both, {"one": st_losses.CosineSimilarityLoss(model)})
    assert set(both["one"][0]) == {"a", "b", "score", "dataset_name"}
    assert set(without_trainer_transform(both["one"])[0]) == {"a", "b", "score"}
    made = to_dataset(both["one"])
    assert made["a"][0] == A[0].upper()
    assert made.column_names == ["a", "b", "score"]


def test_a_column_of_that_name_that_is_stored_is_the_users() -> None:
    data = Dataset.from_list(rows()).add_column("dataset_name", ["x"] * ROWS)
    assert [finding.code for finding in check_dataset(data, "CosineSimilarityLoss").findings] == ["reserved-column"]


def test_a_compiled_model_is_a_model() -> None:
    for model_type in MODEL_TYPES:
        assert model_type_of(torch.compile(model_of(model_type))) == model_type
    compiled = torch.compile(static_model())
    data = Dataset.from_list(rows())
    loss = create_loss(compiled, data)
    assert loss.model is compiled
    assert not check_dataset(data, loss).findings
    assert not check_dataset(data, "CosineSimilarityLoss", model=compiled).findings
    own = st_losses.CosineSimilarityLoss(compiled)
    assert not check_dataset(data, own).not_checked


@pytest.mark.parametrize("holder", ["dict", "list", "frame", "transform"])
def test_mends_work_whatever_holds_the_data(holder: str) -> None:
    columns = {"a": A, "b": B, "score": [5 * score for score in SCORES], "id": [f"x{i}" for i in range(ROWS)]}
    dataset = Dataset.from_dict(columns)
    data = {
        "dict": columns,
        "list": dataset.to_list(),
        "frame": dataset.to_pandas(),
        "transform": dataset.with_transform(lambda batch: {**batch, "a": [a + "!" for a in batch["a"]]}),
    }[holder]
    done = mend(data, "CosineSimilarityLoss")
    assert not done.after.findings
    assert done.dataset["score"][:] == pytest.approx(SCORES)
    assert done.dataset["a"][0] == (A[0] + "!" if holder == "transform" else A[0])


# --- Rules, steps and words -------------------------------------------------------------------------------------------


def test_every_rule_has_a_code_and_words_with_known_facts() -> None:
    assert len(RULES) >= 60
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.code)
        assert rule.words.endswith(".")
        assert not rule.words.startswith(rule.code)
        read = {name for _, name, _, _ in string.Formatter().parse(rule.words) if name and name.startswith("c.")}
        assert all(re.split(r"\W", name)[1] in {*dir(Context), *Context.__dataclass_fields__} for name in read), read


def test_a_step_with_code_is_shown_and_not_applied() -> None:
    step = Step("filter", (Code("lambda label: label > 0"),), (("input_columns", "label"),), "why")
    assert code_of([step], explained=True) == (
        'dataset = dataset.filter(lambda label: label > 0, input_columns="label")  # why'
    )
    with pytest.raises(ValueError, match="Paste the line"):
        step.apply(pairs([1] * ROWS))


def test_a_step_writes_a_mapping_as_a_dict() -> None:
    step = Step("labels_to_int", ("label",), (("mapping", {"ja": 1, "nein": 0, "k. A.": None}),))
    assert step.code() == 'dataset = labels_to_int(dataset, "label", mapping={"ja": 1, "nein": 0, "k. A.": None})'
    assert step.apply(pairs(["ja", "nein", "k. A."] * 8))["label"][:3] == [1, 0, None]


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1,000", "2,500"], "mixed", {}),
        (["0,125", "3,875"], "numbers", {"0,125": 0.125, "3,875": 3.875}),
        (["4 kg", "3 days"], "texts", {}),
        (["80", "80%"], "mixed", {"80": 80.0}),
        (["formal", "informal", "formal"], "classes", {}),
        (["side", "inside", "side"], "classes", {}),
        (["overlap", "no overlap"], "opposites", {"overlap": 1.0, "no overlap": 0.0}),
        (["exact", "substitute", "complement", "irrelevant"], "grades",
         {"irrelevant": 0.0, "complement": 0.33, "substitute": 0.67, "exact": 1.0}),
        (["はい", "いいえ"], "opposites", {"はい": 1.0, "いいえ": 0.0}),
        (["", " "], "numbers", {}),
        (["yes"], "opposites", {"yes": 1.0}),
    ],
)  # fmt: skip
def test_what_texts_say(texts: list[str], kind: str, values: dict[str, float]) -> None:
    found = read_written(Counter(texts))
    assert (found.kind, dict(found.values)) == (kind, values)


def test_losses_by_name_exist() -> None:
    known = {(entry.model_type, entry.name) for entry in losses()}
    assert set(LOSSES) <= known


def test_errors_of_a_check_come_with_the_lines_that_they_need() -> None:
    """The line of an error works once those before it have run, also those of warnings."""
    data = Dataset.from_dict({"a": A, "b": B, "source": ["web"] * ROWS, "similarity": [5 * score for score in SCORES]})
    with pytest.raises(DataError, match=r"(?s)rename_column.*scale_labels"):
        check_dataset(data, "CosineSimilarityLoss").raise_for_errors()


def test_a_model_may_be_any(transformer_model: SentenceTransformer) -> None:
    assert check_dataset(Dataset.from_list(rows()), "CosineSimilarityLoss", model=transformer_model).ok


def test_lists_of_one_label_stay_where_those_that_are_tied_go() -> None:
    lengths = [1, 2, 2, 2, 2, 3] * 4
    columns = {"q": A[:24], "docs": [[B[k]] * n for k, n in enumerate(lengths)], "labels": [[1.0] * n for n in lengths]}
    done = mend(Dataset.from_dict(columns), "SelectiveListwiseLoss", model=model_of("SentenceTransformer"))
    assert_mended(done)
    assert len(done.dataset) == 4
