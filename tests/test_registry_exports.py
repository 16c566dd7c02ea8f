"""Data as people export them: check marks, codes for what is missing, several opinions on a row, and what follows."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses as st_losses

from selective_st.losses import SelectiveEmbedDistillLoss
from selective_st.registry import DataFormat, Suggestions, check_dataset, detect_format, suggest_losses
from tests import model_types

N = 24
FIRST = [f"the old library near the river has {k} rooms" for k in range(N)]
SECOND = [f"there are {k} rooms in the library by the water" for k in range(N)]
FRACTIONS = [round(0.03 + k / 25, 3) for k in range(N)]


def _cycled(*values: Any) -> list[Any]:
    return [values[k * 7 % 11 % len(values)] for k in range(N)]


def _of(label: str | None = None, *values: Any, first: str = "text1", second: str = "text2", **more: Any) -> DataFormat:
    columns = {first: FIRST, second: SECOND, **({label: _cycled(*values)} if label else {}), **more}
    found = detect_format(columns)
    assert isinstance(found, DataFormat)
    return found


def _suggested(data: Any, model_type: Any = "SentenceTransformer") -> Suggestions:
    found = suggest_losses(data, model_type=model_type)
    assert isinstance(found, Suggestions)
    return found


def _doubts(found: DataFormat) -> str:
    return " / ".join(found.doubts)


@pytest.mark.parametrize("mark", ["x", "yes", 1, 1.0, True])
def test_a_mark_in_some_rows_is_a_label_not_the_same_in_all(mark: Any) -> None:
    found = _of("duplicate", mark, None)
    assert (found.certainty, found.label_column) == ("unclear", "duplicate")
    assert "nothing in the others" in _doubts(found)


@pytest.mark.parametrize(("first", "second", "mark"), [("anchor", "positive", "ok"), ("text1", "text2", "Treffer")])
def test_a_mark_is_told_whatever_its_column_is_called(first: str, second: str, mark: str) -> None:
    assert _of(mark, "x", None, first=first, second=second).certainty == "unclear"


def test_one_word_in_all_rows_that_says_no_is_no_pair_of_positives() -> None:
    assert _of("match", "no").certainty == "unclear"
    assert _of("verdict", "different").certainty == "unclear"
    for name, word in (("match", "yes"), ("lang", "no"), ("note", "ok")):
        assert (_of(name, word).label, _of(name, word).certainty) == ("none", "likely")
    assert _of("conflict", "yes", "no").certainty == "unclear"


@pytest.mark.parametrize("name", ["is_false_positive", "false_match", "false_duplicate"])
def test_what_is_falsely_so_does_not_belong_together(name: str) -> None:
    assert _of(name, 0, 1).certainty == "unclear"
    assert _of("false_negative", 0, 1).label != "similarity"
    texts = {"query": FIRST, "positive": SECOND, name.removeprefix("is_"): FIRST[::-1]}
    assert detect_format(texts).inputs[2:] == (name.removeprefix("is_"),)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "values",
    [
        ("a1", "a2"), ("A", "B"), ("left", "right"), ("first", "second"), ("1st", "2nd"), ("response 1", "response 2"),
        ("model_a", "model_b", "tie"), ("Answer A", "Answer B", "both"),
    ],
)  # fmt: skip
def test_labels_that_say_which_of_two_texts_are_no_classes(values: tuple[str, ...]) -> None:
    for names in (("argument1", "argument2"), ("text_a", "text_b"), ("answer0", "answer1")):
        found = _of("label", *values, first=names[0], second=names[1])
        assert (found.certainty, found.label) == ("unclear", None)
    assert _of("label", "type_1", "type_2").label == "class"


def test_a_verdict_beside_a_score_may_be_the_label() -> None:
    for name, values in (("feedback", ("up", "down")), ("accepted", (0, 1))):
        assert _of(name, *values, first="query", second="passage", chunk_score=FRACTIONS).certainty == "unclear"
    assert _of(similarity=FRACTIONS, pos_tag=_cycled("N", "V")).label_column == "similarity"


@pytest.mark.parametrize("trust", ["confidence", "weight", "prob", "certainty"])
def test_how_sure_somebody_is_of_a_label_is_no_other_label(trust: str) -> None:
    found = detect_format({"text": FIRST, "topic": _cycled("art", "sport"), trust: FRACTIONS})
    assert isinstance(found, DataFormat)
    assert (found.label_column, found.certainty) == ("topic", "likely")
    assert _of(weight=FRACTIONS, is_dup=_cycled(0, 1)).label_column == "is_dup"


def test_the_labels_of_several_people_beside_the_one_that_holds() -> None:
    several = [["entailment", "neutral"]] * N
    found = _of("gold_label", "entailment", "neutral", "contradiction", annotator_labels=several)
    assert (found.label, found.label_column, found.certainty) == ("class", "gold_label", "likely")


def test_texts_written_as_a_list_are_not_lost() -> None:
    written = {"text": FIRST, "paraphrases": [repr([text]) for text in SECOND], "category": _cycled("question", "note")}
    assert detect_format(written).certainty == "unclear"  # type: ignore[union-attr]


def test_antonyms_are_no_positives() -> None:
    assert _of(first="word", second="antonym").certainty == "unclear"


@pytest.mark.parametrize("missing", ["NA", "\\N", "n/a"])
def test_yes_and_no_with_a_word_for_missing(missing: str) -> None:
    data = Dataset.from_dict({"text1": FIRST, "text2": SECOND, "label": _cycled("0", "1", missing)})
    found = detect_format(data)
    assert isinstance(found, DataFormat)
    assert (found.label, found.certainty) == ("binary", "likely")
    [step] = found.steps
    assert set(step.apply(data)["label"]) == {0, 1, None}


def test_none_beside_agreement_is_a_class() -> None:
    assert _of("gold_relation", "agree", "disagree", "none").label == "class"


@pytest.mark.parametrize("code", [-99, -9.0, 999])
def test_a_number_that_stands_for_missing_is_no_end_of_the_scale(code: float) -> None:
    data = Dataset.from_dict({"text1": FIRST, "text2": SECOND, "score": _cycled(0.5, 1.5, 4.5, float(code))})
    found = detect_format(data)
    assert isinstance(found, DataFormat)
    assert (found.certainty, len(found.readings)) == ("unclear", 1)
    for step in found.readings[0].steps:
        data = step.apply(data)
    assert set(data["score"]) == {0.5, 1.5, 4.5}
    assert _of("score", -2.5, -1.0, 0.5, 3.0).certainty == "certain"  # logits


def test_lines_of_codes_are_no_texts() -> None:
    assert detect_format({"line": [f"{k % 5} 0 doc{k} {k % 3}" for k in range(N)]}).certainty == "unclear"  # type: ignore[union-attr]


def test_yes_and_no_are_no_text_to_train_on() -> None:
    found = _of("entailment", "YES", "NO", first="text", second="hypothesis")
    assert (found.label, found.label_column) == ("binary", "entailment")


# --- Advice that works ------------------------------------------------------------------------------------------------


def _conversions(label: str, values: list[Any], first: list[str] = FIRST) -> dict[tuple[Any, ...], Any]:
    data = Dataset.from_dict({"query": first, "passage": SECOND, label: values})
    found = {each.to: each for each in _suggested(data).conversions}
    for each in found.values():
        space: dict[str, Any] = {"dataset": data}
        exec(each.code, space)
        after = _suggested(space["dataset"])
        assert after.format.certainty != "unclear"
        if each.to[1] != "none":
            assert set(each.losses) <= {suggestion.loss for suggestion in after}
    return found


def test_conversions_run_where_labels_are_missing() -> None:
    assert _conversions("score", [None, *FRACTIONS[1:]])
    assert _conversions("label", [*_cycled(0, 1)[:-1], None])


def test_conversions_are_offered_only_for_texts_that_were_judged_both_ways() -> None:
    twice = [FIRST[k // 2] for k in range(N)]
    assert ("triplet", "none") in _conversions("label", [k % 2 for k in range(N)], twice)
    assert ("triplet", "none") not in _conversions("label", [k // 2 % 2 for k in range(N)], twice)
    assert ("pair", "none") not in _conversions("score", [value / 2 for value in FRACTIONS])


def test_lists_of_yes_and_no_are_what_they_are_said_to_be() -> None:
    twice = [FIRST[k // 3] for k in range(N)]
    assert ("n-tuple", "binary list") in _conversions("label", [int(k % 3 == 0) for k in range(N)], twice)


def test_no_class_is_called_right_or_wrong_by_its_place() -> None:
    twice = [FIRST[k // 4] for k in range(N)]
    assert not _conversions("esci_label", [("E", "S", "C", "I")[k % 4] for k in range(N)], twice)
    named = [("entailment", "neutral", "contradiction", "neutral")[k % 4] for k in range(N)]
    assert ("triplet", "none") in _conversions("label", named, twice)


def test_scores_of_a_teacher_are_compared_whatever_the_size_of_its_embeddings(
    static_model: SentenceTransformer,
) -> None:
    data = {"text": FIRST, "label": [[float(i + k) for k in range(24)] for i in range(N)]}
    assert check_dataset(data, SelectiveEmbedDistillLoss(static_model)).ok
    [error] = check_dataset(data, st_losses.MSELoss(static_model)).errors
    space: dict[str, Any] = {"model": static_model}
    exec(error.mend, space)
    assert check_dataset(data, space["loss"]).ok


def test_a_list_is_enough_for_the_loss_that_is_suggested_for_it() -> None:
    documents = [[text, FIRST[0]] for text in SECOND]
    data = Dataset.from_dict({"query": FIRST, "documents": documents, "labels": [[0.9, 0.2]] * N})
    loss = _suggested(data, "CrossEncoder").of().build(model_types.cross_encoder())
    assert check_dataset(data, loss).ok


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("label", ["score", "is_duplicate", "gold_label", "similarity"])
def test_advice_for_a_stream_and_for_a_transform_runs(is_stream: bool, label: str) -> None:
    values: dict[str, tuple[Any, ...]] = {
        "score": (0.5, 4.5), "is_duplicate": ("yes", "no"), "gold_label": ("a", "b", "c"), "similarity": ("4%", "90%"),
    }  # fmt: skip
    rows = Dataset.from_dict({"text1": FIRST, "text2": SECOND, label: _cycled(*values[label])})
    data = rows.to_iterable_dataset() if is_stream else rows.with_transform(lambda batch: batch)
    found = _suggested(data)
    lines = [each.code.partition("\nloss = ")[0] for each in found if each.steps]
    lines += [each.code for each in found.conversions] + [each.code() for each in found.format.readings]
    assert lines
    for code in lines:
        space: dict[str, Any] = {"dataset": data}
        exec(code, space)
        assert next(iter(space["dataset"]))
