"""Labels that say yes or no: 1 is what the words mean, not what comes second, and a name that denies turns it round."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import ClassLabel, Dataset

from selective_st.errors import DataError
from selective_st.registry import DataFormat, Suggestions, check_dataset, detect_format, suggest_losses
from selective_st.registry.catalog import losses, rows
from selective_st.registry.choice import first_choice, suggestion_for

N = 20


def _pairs(name: str, *values: Any) -> Dataset:
    """Pairs of questions; every text has a pair of each label."""
    first = [f"how long is the river number {k // 2}" for k in range(N)]
    second = [f"the river has a length of {k} miles" for k in range(N)]
    return Dataset.from_dict(
        {"question1": first, "question2": second, name: [values[k % len(values)] for k in range(N)]}
    )


def _format(data: Any) -> DataFormat:
    found = detect_format(data)
    assert isinstance(found, DataFormat)
    return found


def _suggestions(data: Any) -> Suggestions:
    found = suggest_losses(data)
    assert isinstance(found, Suggestions)
    return found


def _labels(data: Dataset, steps: Any) -> list[Any]:
    for step in steps:
        data = step.apply(data)
    return list(data["label"])


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("is_duplicate", "yes", "no"), ("label", "Y", "N"), ("is_duplicate", "oui", "non"), ("label", "ja", "nein"),
        ("label", "sí", "no"), ("label", "si", "no"), ("is_duplicate", "s", "n"), ("label", "sim", "não"),
        ("label", "vero", "falso"), ("label", "true", "false"), ("label", "はい", "いいえ"), ("是否", "是", "否"),
        ("label", "да", "нет"), ("label", "예", "아니요"), ("label", "same", "different"),
        ("label", "duplicate", "not_duplicate"), ("mismatch", "match", "mismatch"),
        ("is_different", "same", "different"),
    ],
)  # fmt: skip
def test_words_are_read_by_their_meaning(name: str, yes: str, no: str) -> None:
    for values in ((yes, no), (no, yes)):
        data = _pairs(name, *values)
        found = _format(data)
        assert (found.shape, found.label, found.certainty) == ("pair", "binary", "likely")
        assert _labels(data, found.steps) == [int(value == yes) for value in data[name]]


@pytest.mark.parametrize(
    ("name", "apart", "together"),
    [
        ("not_duplicate", 1, 0), ("is_different", "yes", "no"), ("mismatch", True, False), ("non_match", "Y", "N"),
        ("not_duplicate", "1", "0"), ("dissimilar", "true", "false"), ("is_different", "ja", "nein"),
        ("unrelated", 1.0, 0.0),
    ],
)  # fmt: skip
def test_a_name_that_denies_turns_the_label_round(name: str, apart: Any, together: Any) -> None:
    data = _pairs(name, apart, together)
    found = _format(data)
    assert found.certainty == "unclear"
    assert found.label is None
    [reading] = found.readings  # that all belong together is none
    right = [int(value == together) for value in data[name]]
    assert _labels(data, reading.steps) == _labels(data, reading.needs) == right
    assert reading.words.startswith(("0 in ", f"{together} in "))
    named = _suggestions(data).of("ContrastiveLoss")
    assert _labels(data, named.steps) == right
    steps = [step for finding in check_dataset(data, "ContrastiveLoss").findings for step in finding.steps]
    assert _labels(data, steps) == right


def test_a_class_label_is_turned_round_by_its_names() -> None:
    data = _pairs("not_duplicate", 0, 1).cast_column("not_duplicate", ClassLabel(names=["no", "yes"]))
    steps = next(way.steps for way in _format(data).readings if way.label == "binary")
    assert _labels(data, steps) == [1, 0] * (N // 2)


@pytest.mark.parametrize("values", [("alpha", "beta"), ("red", "blue"), ("group one", "group two")])
def test_words_without_a_known_meaning_are_classes(values: tuple[str, str]) -> None:
    found = _format(_pairs("label", *values))
    assert found.label == "class"
    assert "two classes could also be negative and positive pairs" in found.doubts


def test_words_to_which_a_name_may_say_no_are_left_to_people() -> None:
    """Whether `correct` says so of the texts or of `not_duplicate` is not known."""
    found = _format(_pairs("not_duplicate", "positive", "negative"))
    assert found.certainty == "unclear"
    assert all(way.label != "binary" for way in found.readings)


# --- Scales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "scale", "guess"),
    [([0.0, 2.5, 4.5], (0, 5), True), ([1.2, 3.3, 6.8], (0, 10), True), ([0.0, 2.5, 5.0], (0, 5), False)],
)
def test_a_scale_that_is_guessed_is_called_a_guess(scores: list[float], scale: tuple[int, int], guess: bool) -> None:
    found = _suggestions(_pairs("score", *scores)).of("CosineSimilarityLoss")
    [step] = [step for step in found.steps if step.call == "scale_labels"]
    assert step.arguments[1:] == scale
    said = f"scale is from {scale[0]} to {scale[1]} is a guess"
    assert (said in " ".join(found.caveats), said in found.code) == (guess, guess)


# --- What comes first -------------------------------------------------------------------------------------------------


def test_the_first_suggestion_is_that_of_train() -> None:
    for data in (
        _pairs("label", 1, 0),
        _pairs("score", 0.1, 0.8, 0.35),
        _pairs("is_duplicate", 1),
        _pairs("label", 0, 1, 1),
    ):
        found = _suggestions(data)
        chosen, _ = first_choice(found, data)
        assert (found[0].loss, found[0].steps) == (chosen.loss, chosen.steps)
    assert _suggestions(_pairs("label", 1, 0))[0].loss == "SelectiveListwiseLoss"


def test_a_choice_is_made_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from selective_st.registry import choice

    data = _pairs("label", 1, 0)
    found = _suggestions(data)
    with_focus = suggest_losses(data, focus="0.7:0.9")
    assert isinstance(with_focus, Suggestions)
    chosen, _ = first_choice(with_focus, data)  # the layout's losses have the focus that the others were found for
    assert "score_region(0.7, 0.9)" in chosen.expression
    assert [step.call for step in chosen.steps] == ["pairs_to_lists"]
    monkeypatch.setattr(choice, "tables", None)  # the rows are not looked at again
    chosen, why = first_choice(found, data)
    assert (chosen.loss, why) == (found[0].loss, f"{N} of {N} rows share their first text and differ in label")
    assert [step.call for step in chosen.steps] == ["pairs_to_lists"]


def test_a_choice_is_made_of_suggestions() -> None:
    data = _pairs("label", 1, 0)
    with pytest.raises(TypeError, match=r"(?s)first_choice: found must be .*Write found=suggest_losses\(dataset\)"):
        first_choice(data, data)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"--focus must be high.*got 'hihg'"):
        suggest_losses(data, focus="hihg")


def test_what_is_said_of_a_choice_is_a_sentence_for_every_loss() -> None:
    """`--loss auto: NAME, as ...`: what a loss is good for begins with a verb or a noun, and both must fit."""
    texts, seen = _format({"text": ["one text", "another one"]}), 0
    for row in rows():
        for loss in row.losses if row.section in ("main", "distillation") else ():
            only = suggestion_for(loss, row)
            _, why = first_choice(Suggestions([only], texts, model_type=row.model_type), None)
            assert why == f"it comes first: {only.why}"
            seen += 1
    assert seen > 80
    for entry in losses():
        if entry.role == "regularizer":
            with pytest.raises(DataError, match=r"but is added to one \(") as error:
                Suggestions([], texts, model_type=entry.model_type).of(entry.name)
            assert f"({entry.why}). " in str(error.value)


def test_a_teachers_embeddings_find_their_loss() -> None:
    data = {
        "sentence1": [f"text number {k}" for k in range(N)],
        "sentence2": [f"another one, {k}" for k in range(N)],
        "label": [[[0.1 * k] * 16, [0.2] * 16] for k in range(N)],
    }
    [found] = check_dataset(data, "CoSENTLoss").errors
    assert (found.code, "loss = EmbedDistillLoss(model)" in found.mend) == ("label-is-list", True)


# --- Infinite numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [float("inf"), -float("inf")])
def test_infinite_labels_are_named(wrong: float) -> None:
    data = _pairs("score", wrong, 0.5, 0.2)
    assert any("'score' holds infinite numbers" in doubt for doubt in _format(data).doubts)
    triplets = data.rename_columns({"question1": "query", "question2": "positive"}).add_column("negative", ["x y"] * N)
    report = check_dataset(triplets, "MarginMSELoss")
    assert [finding.code for finding in report.errors] == ["infinite-label"]


def test_a_finding_says_which_part_of_its_message_names_rows() -> None:
    [finding] = check_dataset(_pairs("score", float("inf"), 0.5, 0.2), "CoSENTLoss").errors
    assert finding.rows_shown == "(0, 3, 6, 9, 12, ...)"
    assert finding.rows_shown in finding.message
