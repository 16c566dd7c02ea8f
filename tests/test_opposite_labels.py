"""Labels that say the opposite, words that mean 1 and 0, infinite labels, and scales that are guesses."""

from __future__ import annotations

import math
from typing import Any

import pytest

from selective_st.registry import DataFormat, check_dataset, detect_format, suggest_losses
from selective_st.registry.table import to_dataset

ROWS = 20
A = [f"the old house number {i} stands here" for i in range(ROWS)]
B = [f"a river {i} runs by the house" for i in range(ROWS)]
GRADES = [i / (ROWS - 1) for i in range(ROWS)]


def formats(**labels: list[Any]) -> DataFormat:
    found = detect_format({"sentence1": A, "sentence2": B, **labels})
    assert isinstance(found, DataFormat)
    return found


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("not_duplicate", [1, 0] * 10, [0, 1] * 10),
        ("is_different", [True, False] * 10, [0, 1] * 10),
        ("mismatch", ["yes", "no"] * 10, [0, 1] * 10),
        ("unrelated", ["nein", "ja"] * 10, [1, 0] * 10),
        ("dissimilarity", GRADES, GRADES[::-1]),
        ("distance", [3 * grade for grade in GRADES], GRADES[::-1]),
    ],
)
def test_a_label_that_says_the_opposite_is_read_the_other_way_round(
    name: str, values: list[Any], expected: list[float]
) -> None:
    found = formats(**{name: values})
    assert (found.certainty, found.label) == ("unclear", None)
    assert not suggest_losses({"sentence1": A, "sentence2": B, name: values})
    [reading] = found.readings
    assert repr(name) in reading.words
    dataset = to_dataset({"sentence1": A, "sentence2": B, name: values})
    for step in reading.steps:
        dataset = step.apply(dataset)
    again = detect_format(dataset)
    assert isinstance(again, DataFormat)
    assert again.certainty != "unclear"
    assert again.label == ("binary" if set(expected) == {0, 1} else "similarity")
    assert dataset[again.label_column][:] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("yes", "no"),
        ("Y", "N"),
        ("ja", "nein"),
        ("oui", "non"),
        ("да", "нет"),
        ("はい", "いいえ"),
        ("是", "否"),
        ("match", "mismatch"),
        ("entailment", "not_entailment"),
        ("same", "different"),
        ("True", "False"),
    ],
)
def test_words_of_a_label_are_read_by_what_they_say(yes: str, no: str) -> None:
    for words in ([yes, no], [no, yes]):
        data = {"sentence1": A, "sentence2": B, "label": words * 10}
        found = formats(label=words * 10)
        assert (found.shape, found.label, found.certainty) == ("pair", "binary", "likely")
        dataset = to_dataset(data)
        for step in found.steps:
            dataset = step.apply(dataset)
        assert dataset["label"][:] == [int(word == yes) for word in words] * 10


@pytest.mark.parametrize(
    ("columns", "loss"),
    [
        ({"score": [math.inf, 0.5] * 10}, "CosineSimilarityLoss"),
        ({"negative": B, "label": [-math.inf, -3.0] * 10}, "MarginMSELoss"),
        ({"negative": B, "margin": [math.inf, 1.0] * 10}, "SelectivePairwiseLoss"),
        ({"negative": B, "scores": [[math.inf, 0.5], [0.5, 0.25]] * 10}, "MarginMSELoss"),
    ],
)
def test_infinite_labels_are_named_and_left_out(columns: dict[str, Any], loss: str) -> None:
    data = {"sentence1": A, "sentence2": B, **columns}
    found = detect_format(data)
    assert isinstance(found, DataFormat)
    assert found.certainty == "unclear"
    assert any("infinite" in doubt for doubt in found.doubts)
    report = check_dataset(data, loss)
    [finding] = [each for each in report.findings if each.code == "infinite-label"]
    assert "1e30" in finding.mend


@pytest.mark.parametrize(
    ("scores", "guessed"),
    [([1.25, 6.75] * 10, True), ([0.5, 4.5] * 10, True), ([0.0, 2.5, 5.0, 1.5] * 5, False), (GRADES, False)],
)
def test_a_scale_that_is_a_guess_is_called_one(scores: list[float], guessed: bool) -> None:
    [best, *_] = suggest_losses({"sentence1": A, "sentence2": B, "score": scores})
    assert any("is a guess" in caveat for caveat in best.caveats) == guessed


@pytest.mark.parametrize("scores", [[3, 3] * 10, [7.0, 7.0] * 10, [-2.0, -2.0] * 10])
def test_labels_of_one_value_get_a_scale_that_can_be_used(scores: list[float]) -> None:
    data = {"sentence1": A, "sentence2": B, "score": scores}
    for suggestion in suggest_losses(data):
        dataset = to_dataset(data)
        for step in suggestion.steps:  # type: ignore[union-attr]
            dataset = step.apply(dataset)
        scaled = [step for step in suggestion.steps if step.call == "scale_labels"]  # type: ignore[union-attr]
        assert all(low < high for _, low, high in (step.arguments for step in scaled))


@pytest.mark.parametrize(
    ("name", "values", "are_positives"),
    [
        ("is_duplicate", [1] * ROWS, True),
        ("is_duplicate", [True] * ROWS, True),
        ("is_duplicate", [0] * ROWS, False),
        ("is_duplicate", [False] * ROWS, False),
        ("score", [5.0] * ROWS, True),
        ("score", [0.5] * ROWS, False),
        ("score", [3.5] * ROWS, False),
    ],
)
def test_pairs_of_one_label_are_positives_only_where_it_is_the_highest(
    name: str, values: list[Any], are_positives: bool
) -> None:
    data = {"sentence1": A, "sentence2": B, name: values}
    found = suggest_losses(data)
    assert found
    assert ("pairs_to_positives" in [step.call for step in found[0].steps]) == are_positives  # type: ignore[index]
