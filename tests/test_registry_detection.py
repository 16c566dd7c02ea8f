"""The rules by which a format is told, one by one: what names say, what columns hold, what inputs and labels mean."""

from __future__ import annotations

import datetime
import json
import math
import re
from importlib import resources
from typing import Any, get_args

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, IterableDataset, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selective_st.registry import check_dataset
from selective_st.registry.catalog import LABEL_KINDS, MODEL_TYPES, SHAPES
from selective_st.registry.columns import Column, ColumnKind
from selective_st.registry.detection import DataFormat, detect_format
from selective_st.registry.names import (
    hint_of,
    is_negating,
    key_of,
    role_of,
    roles_of,
    stem_of,
    tags_of,
    without_id,
    words_of,
)
from selective_st.registry.reading import Certainty

ROWS = 6
CLASSES = [0, 1, 2, 1, 0, 2]
REAL = [0.1, 0.9, 0.4, 0.25, 0.7, 0.6]


def texts(word: str, rows: int = ROWS) -> list[str]:
    return [f"the {word} number {row} of all" for row in range(rows)]


def data(*names: str, **columns: list[Any]) -> dict[str, list[Any]]:
    """Columns of texts, then further columns."""
    return {**{name: texts(name) for name in names}, **columns}


def found(columns: Any) -> DataFormat:
    result = detect_format(columns)
    assert isinstance(result, DataFormat)
    return result


def read(columns: Any) -> tuple[str | None, str | None, str]:
    result = found(columns)
    return result.shape, result.label, result.certainty


def calls(columns: Any) -> list[tuple[Any, ...]]:
    return [(step.call, *step.arguments) for step in found(columns).steps]


# --- Names ------------------------------------------------------------------------------------------------------------


def test_the_vocabulary_is_written_as_names_are_compared() -> None:
    vocabulary = json.loads(resources.files("selective_st.registry").joinpath("words.json").read_text("utf-8"))
    assert {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "zh", "ja", "ko"} <= set(vocabulary["anchor"])
    for concept, languages in vocabulary.items():
        for language, words in languages.items():
            known = words.replace("|", " ").split()
            assert known, (concept, language)
            assert [word for word in known if key_of(word) != word] == [], (concept, language)


def test_every_tag_that_is_asked_for_can_be_had() -> None:
    folder = resources.files("selective_st.registry")
    source = "\n".join(path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".py"))
    asked_in = r"in (?:\w+(?:\[\d\])?\.tags|(?:names\.)?tags_of\(\w+\)|tags)\b"
    asked = set(re.findall(rf'"([a-z ]+)" (?:not )?{asked_in}', source))
    for tags in re.findall(r"\.speaks_of\(([^)]*)\)", source):
        asked |= set(re.findall('"([a-z ]+)"', tags))
    vocabulary = json.loads(folder.joinpath("words.json").read_text("utf-8"))
    names = [word for languages in vocabulary.values() for words in languages.values() for word in words.split()]
    names += ["column_3", "clause_type", "imdb_score", "yes_votes", "gold"]
    assert len(asked) > 30
    assert asked - {tag for name in names for tag in tags_of(name)} == set()


@pytest.mark.parametrize(
    ("name", "stem", "number"),
    [
        ("sentence1", "sentence", 1),
        ("sentence_0", "sentence", 0),
        ("sentenceB", "sentence", 2),
        ("Sentence A", "sentence", 1),
        ("textb", "text", 2),
        ("document_two", "document", 2),
        ("first_sentence", "sentence", 1),
        ("hard_negative_12", "hard_negative", 12),
        ("query", "query", None),
    ],
)
def test_a_name_is_parted_into_stem_and_number(name: str, stem: str, number: int | None) -> None:
    assert stem_of(name) == (stem, number)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("qtext", "anchor"),
        ("user_query", "anchor"),
        ("question1", "numbered"),
        ("positive_passage", "positive"),
        ("negative_passage", "negative"),
        ("doc_3", "positive"),
        ("text_a", "numbered"),
        ("chosen_response", "positive"),
        ("accepted", "positive"),
        ("winner", "positive"),
        ("rejected", "negative"),
        ("dispreferred_answer", "negative"),
        ("worse", "negative"),
        ("non_relevant_passage", "negative"),
        ("not_chosen", "negative"),
        ("text", None),
        ("3", None),
    ],
)
def test_a_name_says_what_an_input_is_for(name: str, role: str | None) -> None:
    assert role_of(name) == role


def test_some_names_say_it_only_beside_others() -> None:
    assert roles_of(["premise"]) == {}
    assert roles_of(["hypothesis", "premise"]) == {"premise": "anchor", "hypothesis": "positive"}
    contrasted = roles_of(["hypothesis", "entailment", "contradiction"])
    assert contrasted == {"hypothesis": "anchor", "entailment": "positive", "contradiction": "negative"}


def test_names_of_ids() -> None:
    ids = ["id", "qid", "pairID", "query_id", "document_ids", "idx", "guid", "__index_level_0__", "Unnamed: 0", "qid2"]
    ids += ["neg_pid", "positive_pids", "queryid", "docids"]
    assert [name for name in ids if "named id" not in tags_of(name)] == []
    others = ["idea", "text", "video", "paid", "3", "Unnamed: 3", "label"]
    assert [name for name in others if "named id" in tags_of(name)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qid", "query"),
        ("neg_pid", "neg_passage"),
        ("positive_id", "positive"),
        ("docid", "document"),
        ("corpus-id", "document"),
        ("queryIDs", "query"),
        ("qid2", "query_2"),
        ("id", ""),
    ],
)
def test_names_of_ids_say_what_they_stand_for(name: str, text: str) -> None:
    assert without_id(name) == text


_NEGATING = "not_duplicate isNotParaphrase dissimilarity cosine_distance different irrelevant unrelated is_negative"
_AFFIRMING = "is_duplicate similarity relevant label score not_different no note pos_neg gold correct nondescript"


def test_names_of_labels_that_say_the_opposite() -> None:
    assert [name for name in _NEGATING.split() if not is_negating(name)] == []
    assert [name for name in _AFFIRMING.split() if is_negating(name)] == []


def test_names_that_are_none() -> None:
    assert all({"headerless", "unnamed"} <= tags_of(name) for name in ["1", "column_3", "Unnamed: 3", "c0"])
    assert not any({"headerless", "unnamed"} & tags_of(name) for name in ["doc_3", "similarity", "1st"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("relatedness_score", "score"),
        ("is_duplicate", "binary"),
        ("gold_label", "label"),
        ("class", "class"),
        ("length", ""),
    ],
)
def test_a_name_says_what_kind_of_label_there_is(name: str, hint: str) -> None:
    assert hint_of(name) == hint


def test_words_without_spaces_come_in_the_order_of_the_name() -> None:
    assert words_of("質問回答")[1:] == ["質問", "回答"]
    assert words_of("回答質問")[1:] == ["回答", "質問"]


# --- What columns hold ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "as_text"),
    [
        (["a b", None, "c"], "text", False),
        (["1", " 2 ", "5"], "integer", True),
        (["0.5", "1e-3", "-2"], "float", True),
        (["0,5", "0,7", "1"], "other", False),
        (["2020-01-01", "2020-01-02", "2020-01-03"], "id", False),
        ([1, None, 5], "integer", False),
        ([1.0, math.nan, 2.5], "float", False),
        ([True, None, False], "boolean", False),
        ([None, None, None], "empty", False),
        (["", " ", None], "empty", False),
        ([["a"], ["b", "c"], None], "texts", False),
        ([[0.5], [], [1.0, None]], "numbers", False),
        ([[[0.5], [1.0]], [[0.1], [0.2]], [[1.0], [2.0]]], "number lists", False),
        ([{"image": "a.png", "text": "b"}] * 3, "media", False),
        ([[{"role": "user", "content": "b"}]] * 3, "media", False),
        ([{"page": 3}] * 3, "other", False),
        ([datetime.date(2020, 1, 1)] * 3, "other", False),
        (["[1, 2]", "[3]", "[]"], "other", False),
    ],
)
def test_the_kind_of_a_column(values: list[Any], kind: ColumnKind, as_text: bool) -> None:
    column = found({"anchor": ["x y", "y z", "z x"], "what": values}).columns[1]
    assert column == Column("what", kind, as_text)


def test_ids_are_told_by_name_by_counting_and_beside_sentences_by_their_look() -> None:
    kinds = found(
        data("text", query_id=["a", "b"] * 3, nr=list(range(7, 13)), url=[f"d-{i}" for i in range(6)])
    ).columns
    assert [column.kind for column in kinds] == ["text", "id", "integer", "id"]  # a number counts from 10 rows on
    assert found({"nr": list(range(7, 13)), **data("text")}).columns[0].kind == "id"  # or in the first column
    assert read({"a": ["x1", "x2"], "b": ["y1", "y2"]}) == ("pair", "none", "likely")  # short texts are texts
    codes = [f"d{row}" for row in range(10)]
    assert read({"query": codes, "answer": codes[::-1]})[2] == "unclear"  # but not where there are no others
    assert found(data("query_id", "document_id")).columns[0].kind == "text"  # named so, but they are sentences
    assert found({"text": texts("text", 12), "label": list(range(12))}).columns[1].kind == "integer"


def test_numbers_in_a_column_of_answers_are_texts() -> None:
    result = found(data("question", answer=["4", "8", "15", "16", "23", "42"]))
    assert (result.shape, result.label, result.inputs) == ("pair", "none", ("question", "answer"))


# --- Facts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["label", "labels", "score", "scores"])
def test_the_trainer_takes_the_first_of_four_names(first: str) -> None:
    names = ["scores", "score", "labels", "label"]
    present = names[: names.index(first) + 1]
    result = found(data("a", "b", dataset_name=["x"] * ROWS, **dict.fromkeys(present, REAL)))
    assert result.trainer_label == first
    assert result.trainer_inputs == ("a", "b", *[name for name in present if name != first])


# --- Which columns are meant ------------------------------------------------------------------------------------------


def test_what_is_no_input_is_left_out_in_the_order_of_the_names() -> None:
    columns = {"id": [f"x{i}" for i in range(ROWS)], **data("positive", "anchor", length=[3, 1, 4, 1, 5, 9])}
    result = found(columns)
    assert (result.inputs, result.label, result.certainty) == (("anchor", "positive"), "none", "likely")
    assert calls(columns) == [("select_columns", ("anchor", "positive"))]
    assert any("length" in reason for reason in result.reasons)


def test_steps_are_empty_where_the_trainer_reads_what_is_meant() -> None:
    assert calls(data("anchor", "positive", "negative")) == []
    assert calls({"score": REAL, **data("sentence1", "sentence2")}) == []


def test_a_label_of_another_name_is_renamed() -> None:
    assert calls(data("a", "b", closeness=REAL)) == [("rename_column", "closeness", "score")]
    assert calls(data("a", "b", is_duplicate=[0, 1] * 3)) == [("rename_column", "is_duplicate", "label")]
    assert calls(data("a", "b", Score=REAL, id=list("abcdef"))) == [
        ("select_columns", ("a", "b", "Score")),
        ("rename_column", "Score", "score"),
    ]


def test_numbers_that_are_no_labels_are_not_taken_for_them() -> None:
    assert read(data("question", "answer", year=[2001, 2005] * 3)) == ("pair", "none", "likely")
    assert read(data("question", "answer", views=[10, 20] * 3)) == ("pair", "none", "likely")
    assert read(data("question", "answer", code=[70031, 2, 19, 4711, 815, 9]))[1:] == (None, "unclear")
    assert read(data("question", "answer", height=[170.5, 1e4, 3.2, 4.5, 1.2, 9.9]))[2] == "unclear"


def test_two_columns_that_may_be_the_label_are_told() -> None:
    rivals = found(data("a", "b", label=[0, 1] * 3, score=REAL))
    assert rivals.certainty == "unclear"
    assert [each.label_column for each in rivals.readings][:2] == ["label", "score"]
    assert rivals.steps == ()
    neither = found(data("a", "b", rating=REAL, similarity=REAL[::-1]))
    assert (neither.shape, neither.label, neither.label_column, neither.certainty) == ("pair", None, None, "unclear")


def test_a_second_column_that_says_the_same_raises_no_doubt() -> None:
    names = [["no", "maybe", "yes"][label] for label in CLASSES]
    assert read(data("text", label=CLASSES, label_text=names)) == ("single", "class", "likely")
    assert read(data("a", "b", label=[0, 1] * 3, labels=[0, 1] * 3))[2] == "likely"
    # As many different values on both sides do not make them the same.
    assert read(data("a", "b", label=REAL, score=[0.3, 0.2, 0.9, 0.8, 0.7, 0.1]))[2] == "unclear"


def test_an_empty_label_is_left_out() -> None:
    result = found(data("anchor", "positive", label=[None] * ROWS))
    assert (result.trainer_label, result.label_column, result.label) == ("label", None, "none")
    assert calls(data("anchor", "positive", label=[None] * ROWS)) == [("select_columns", ("anchor", "positive"))]


def test_texts_beside_named_inputs_are_not_trained_on_in_silence() -> None:
    result = found(data("question", "answer", "remark"))
    assert (result.inputs, result.certainty) == (("question", "answer"), "unclear")


def test_ids_instead_of_texts_need_resolving() -> None:
    result = found({"query_id": ["q1", "q2"], "document_ids": [["d1", "d2"], ["d3", "d1"]], "scores": [[0.5, 2.5]] * 2})
    assert (result.certainty, result.inputs) == ("unclear", ("query_id", "document_ids"))
    assert any("resolve_ids" in doubt for doubt in result.doubts)


def test_reserved_names_are_left_out() -> None:
    columns = data("anchor", "positive", dataset_name=["x"] * ROWS)
    assert calls(columns) == [("select_columns", ("anchor", "positive"))]


def test_preferences_are_positives_and_negatives() -> None:
    triplet = found(data("prompt", "rejected", "chosen"))
    assert (triplet.shape, triplet.label, triplet.inputs) == ("triplet", "none", ("prompt", "chosen", "rejected"))
    assert calls(data("prompt", "rejected", "chosen")) == [("select_columns", ("prompt", "chosen", "rejected"))]
    assert read(data("query", "winner", "loser")) == ("triplet", "none", "certain")
    assert read(data("instruction", "prompt", "chosen", "rejected"))[2] == "unclear"  # two anchors


@pytest.mark.parametrize("label", [{}, {"score": REAL}, {"label": [0, 1] * 3}])
def test_preferences_without_an_anchor_are_unclear(label: dict[str, Any]) -> None:
    result = found(data("chosen", "rejected", **label))
    assert (result.certainty, result.meaning) == ("unclear", "")
    assert any("no anchor" in doubt for doubt in result.doubts)


def test_which_answer_is_better_is_no_label_of_pairs() -> None:
    for winner in ([0, 1] * 3, ["a", "b"] * 3):
        columns = data("response_a", "response_b", winner=winner)
        assert read(columns) == ("pair", None, "unclear")
        assert calls(columns) == []
    assert read(data("question", "answer", accepted=["yes", "no"] * 3)) == ("pair", "binary", "likely")


@pytest.mark.parametrize(
    ("names", "inputs"),
    [
        ("qid pid neg_pid", "qid pid neg_pid"),
        ("negative_id positive_id query_id", "query_id positive_id negative_id"),
        ("docid qid", "qid docid"),
    ],
)
@pytest.mark.parametrize("numbered", [True, False])
def test_ids_stand_for_inputs_by_their_names(names: str, inputs: str, numbered: bool) -> None:
    result = found({name: [7 * i if numbered else f"D{7 * i}" for i in range(ROWS)] for name in names.split()})
    assert result.inputs == tuple(inputs.split())
    assert (result.shape, result.certainty) == ("triplet" if len(result.inputs) == 3 else "pair", "unclear")
    assert any("resolve_ids" in doubt for doubt in result.doubts)


def test_ids_beside_texts() -> None:
    ids = [f"D{7 * i}" for i in range(ROWS)]
    assert found(data("query", pos_id=ids, neg_id=ids)).inputs == ("query", "pos_id", "neg_id")
    assert read(data("query", "positive", qid=ids, pid=ids)) == ("pair", "none", "certain")
    left_out = found(data("query", "positive", neg_id=ids))
    assert (left_out.inputs, left_out.certainty) == (("query", "positive"), "likely")
    assert any("neg_id" in doubt and "resolve_ids" in doubt for doubt in left_out.doubts)


@pytest.mark.parametrize(
    ("template", "certainty"),
    [
        ("{0:032x}", "unclear"),
        ("12345678-abcd-4abc-8abc-{0:012d}", "unclear"),
        ("https://example.org/{0}", "unclear"),
        ("doc-{0}", "likely"),
        ("number {0}", "certain"),
    ],
)
def test_an_input_of_ids_is_not_certain(template: str, certainty: str) -> None:
    codes = [template.format(row) for row in range(12)]
    for columns in ({"query": texts("a", 12), "positive": codes}, {"query": codes, "positive": texts("a", 12)}):
        result = found(columns)
        assert (result.shape, result.certainty) == ("pair", certainty)
        [name] = [name for name, values in columns.items() if values is codes]
        assert any(repr(name) in doubt and "resolve_ids" in doubt for doubt in result.doubts) == (
            certainty != "certain"
        )
    listed = {"query": texts("a", 12), "docs": [[code, code] for code in codes], "labels": [[0.5, 2.5]] * 12}
    assert read(listed) == ("list", "scores", certainty)


def test_chat_messages_must_be_made_texts() -> None:
    turn = {"role": "user", "content": "b"}
    for messages in ([[turn]] * ROWS, [turn] * ROWS, [[turn], []] * 3):
        for columns in ({"messages": messages}, data("query", positive=messages)):
            result = found(columns)
            assert result.certainty == "unclear"
            assert any("chat messages" in doubt and "made texts" in doubt for doubt in result.doubts)
    assert read(data("text", image=[{"image": "a.png"}] * ROWS))[2] != "unclear"  # other media are inputs


# --- Labels of one number ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (REAL, ("pair", "similarity", "certain")),
        ([0, 1] * 3, ("pair", "binary", "likely")),
        ([0.0, 1.0] * 3, ("pair", "binary", "likely")),
        ([True, False] * 3, ("pair", "binary", "likely")),
        (["0", "1"] * 3, ("pair", "binary", "likely")),
        (CLASSES, ("pair", "class", "likely")),
        (["entailment", "neutral", "contradiction"] * 2, ("pair", "class", "likely")),
        (["yes", "no"] * 3, ("pair", "binary", "likely")),
        (["same", "different"] * 3, ("pair", "binary", "likely")),
        (["match", "mismatch"] * 3, ("pair", "binary", "likely")),  # by what they mean, not in their order
        ([0, 1, 2, 3, 4, 5], ("pair", None, "unclear")),
        ([-1, 1] * 3, ("pair", None, "unclear")),
        ([1] * ROWS, ("pair", None, "unclear")),
        (texts("label"), ("pair", None, "unclear")),
        (["0,5", "0,7", "0,5"] * 2, ("pair", None, "unclear")),
    ],
)
def test_labels_of_pairs(labels: list[Any], expected: tuple[str, str | None, str]) -> None:
    assert read(data("sentence1", "sentence2", label=labels)) == expected


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["not_duplicate", "duplicate"], "binary"),
        (["irrelevant", "relevant"], "binary"),
        (["0", "1"], "binary"),
        (["entailment", "not_entailment"], "class"),
        (["cause", "effect"], "class"),
        (["a", "b", "c"], "class"),
    ],
)
def test_the_names_of_a_class_label(names: list[str], label: str) -> None:
    features = Features({**dict.fromkeys(("text1", "text2"), Value("string")), "label": ClassLabel(names=names)})
    dataset = Dataset.from_dict(data("text1", "text2", label=[0, 1] * 3), features=features)
    result = found(dataset)
    assert result.label == label
    assert result.certainty == ("certain" if len(names) == 3 else "likely")
    assert result.classes == (None if label == "binary" else len(names))


@pytest.mark.parametrize("name", ["not_duplicate", "dissimilarity", "distance", "different", "irrelevant"])
@pytest.mark.parametrize("labels", [[0, 1] * 3, [True, False] * 3, REAL])
def test_labels_that_say_the_opposite_are_not_read(name: str, labels: list[Any]) -> None:
    columns = data("a", "b", **{name: labels})
    result = found(columns)
    assert (result.shape, result.label, result.label_column, result.certainty) == ("pair", None, name, "unclear")
    assert any("does not belong together" in doubt and repr(name) in doubt for doubt in result.doubts)
    assert calls(columns) == []


def test_words_and_lists_that_say_the_opposite_are_not_read() -> None:
    assert read(data("query", "passage", irrelevant=["yes", "no"] * 3)) == ("pair", None, "unclear")
    assert read(data("query", docs=[["a b", "c d"]] * ROWS, distances=[[0.25, 0.5]] * ROWS))[1:] == (None, "unclear")
    assert read(data("query", "positive", "negative", distance=REAL))[1:] == (None, "unclear")
    assert read(data("query", "positive", "negative", score_difference=REAL)) == ("triplet", "margin", "likely")
    assert read(data("text", irrelevant=[0, 1] * 3)) == ("single", "class", "likely")  # nothing to belong to


def test_whole_numbers_are_graded_by_the_name_of_their_column() -> None:
    assert read(data("a", "b", score=[0, 3, 5, 1, 2, 4])) == ("pair", "similarity", "likely")
    assert found(data("a", "b", score=[0, 3, 5, 1, 2, 4])).alternatives == (("pair", "class"),)
    assert read(data("query", "document", label=CLASSES))[1:] == (None, "unclear")  # relevance, or classes


def test_labels_of_single_texts() -> None:
    assert read(data("text", label=CLASSES)) == ("single", "class", "likely")
    assert read(data("text", label=REAL)) == ("single", None, "unclear")
    assert read(data("text", category=["sport", "art"] * 3)) == ("single", "class", "likely")
    assert calls(data("text", label=["sport", "art"] * 3)) == [("class_encode_column", "label")]
    assert calls(data("text", label=[0.0, 1.0, 2.0] * 2)) == [("labels_to_int", "label")]


def test_labels_of_triplets_and_more() -> None:
    triplet = ("query", "positive", "negative")
    assert read(data(*triplet, label=[-1.5, 2.25] * 3)) == ("triplet", "margin", "certain")
    assert read(data(*triplet, score=REAL)) == ("triplet", "margin", "likely")
    assert read(data(*triplet, label=[0, 1] * 3)) == ("triplet", None, "unclear")
    assert read(data(*triplet, "negative_2", label=REAL)) == ("n-tuple", None, "unclear")


@pytest.mark.parametrize(
    ("labels", "scale"),
    [
        ([0.0, 0.5, 0.7], (0, 1)),
        ([-0.2, 0.5, 0.7], (-1, 1)),
        ([0.0, 4.8, 2.2], (0, 5)),
        ([1.0, 5.0, 2.5], (1, 5)),
        ([0.5, 7.5, 10.0], (0, 10)),
        ([12.5, 80.0, 99.0], (0, 100)),
        ([0.5, 1.5, 1.8], None),
        ([-8.5, 7.5, 2.5], None),
        ([0.5, 250.0, 3.5], None),
    ],
)
def test_the_scale_of_labels(labels: list[float], scale: tuple[float, float] | None) -> None:
    result = found(data("sentence1", "sentence2", score=labels * 2))
    assert result.label_scale == scale
    assert result.label_values == (min(labels), max(labels))
    assert (scale is None) == any("scale" in doubt for doubt in result.doubts)


def test_numbers_stored_as_text_are_converted() -> None:
    assert calls(data("a", "b", score=list(map(str, REAL)))) == [("labels_to_float", "score")]
    assert calls(data("text", label=list(map(str, CLASSES)))) == [("labels_to_int", "label")]
    columns = data("1", "2", **{"3": ["5.0", "3.8", "0.0"] * 2})
    assert calls(columns) == [("rename_column", "3", "score"), ("labels_to_float", "score")]


# --- Labels that are lists, and lists of inputs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "label", "expected"),
    [
        (("query", "positive", "negative"), [2.5, 0.5], ("triplet", "scores", "certain")),
        (("query", "positive", "negative"), [1, 0], ("triplet", "binary list", "likely")),
        (("query", "positive", "negative"), [1.5], ("triplet", "margins", "certain")),
        (("query", "positive", "negative_1", "negative_2"), [2.5, 0.5], ("n-tuple", "margins", "certain")),
        (("query", "positive", "negative"), [0.5, 0.25, 0.125], ("triplet", None, "unclear")),
        (("query", "positive", "negative"), [0.5, -0.25] * 8, ("triplet", "embedding", "likely")),
        (("query", "positive", "negative"), [[0.5, 1.5]] * 3, ("triplet", "embeddings", "certain")),
        (("query", "positive", "negative"), [[0.5, 1.5]] * 2, ("triplet", None, "unclear")),
        (("premise", "hypothesis"), [0.2, 0.5, 0.3], ("pair", "class probabilities", "certain")),
        (("premise", "hypothesis"), [0.2, 0.5, 0.9], ("pair", None, "unclear")),
        (("text",), [0.5, -0.25] * 8, ("single", "embedding", "likely")),
        (("text",), [0, 1, 1, 0], ("single", None, "unclear")),
    ],
)
def test_lists_of_numbers(names: tuple[str, ...], label: list[Any], expected: tuple[str, str | None, str]) -> None:
    assert read(data(*names, label=[label] * ROWS)) == expected


def test_numbers_of_inputs_that_change_places_are_unclear() -> None:
    scores = [[0.5, 1.5]] * ROWS
    assert read(data("negative", "query", "positive", labels=scores)) == ("triplet", "scores", "unclear")
    assert read(data("positive", "query", "negative", labels=scores)) == ("triplet", "scores", "certain")
    assert read(data("query", "negative", "positive", label=REAL)) == ("triplet", "margin", "unclear")
    assert read(data("positive", "anchor", label=[scores[0:2]] * ROWS)) == ("pair", "embeddings", "unclear")


def test_an_embedding_that_was_kept_beside_pairs_is_unclear() -> None:
    vectors = [[0.5, -0.25] * 8] * ROWS
    assert read(data("anchor", "positive", embedding=vectors)) == ("pair", None, "unclear")
    assert read(data("text", embedding=vectors)) == ("single", "embedding", "likely")


def test_ragged_lists_are_told() -> None:
    result = found(data("query", "doc_1", "doc_2", labels=[[0.5, 1.5], [0.25]] * 3))
    assert (result.label, result.certainty, result.label_length) == (None, "unclear", None)
    assert any("1 to 2 numbers" in doubt for doubt in result.doubts)


def test_lists_of_documents() -> None:
    documents, scores = [["a b", "c d"], ["e f"]] * 3, [[0.5, 2.5], [1.5]] * 3
    ragged = found(data("query", docs=documents, labels=scores))
    assert (ragged.shape, ragged.label, ragged.certainty, ragged.label_length) == ("list", "scores", "certain", None)
    assert read(data("query", docs=documents, labels=[[1, 0], [1]] * 3)) == ("list", "binary list", "likely")
    assert read(data("query", docs=documents, labels=[[1.5], [1.5]] * 3)) == ("list", None, "unclear")
    assert read(data("query", docs=documents)) == ("list", "none", "unclear")
    first = found({"docs": documents, **data("query"), "labels": scores})
    assert first.inputs == ("query", "docs")
    negatives = found(data("query", "positive", negatives=documents))
    assert (negatives.shape, negatives.label, negatives.certainty) == ("n-tuple", "none", "certain")
    assert [step.code() for step in negatives.steps] == [
        'dataset = rows_of_positives(dataset, "positive", "negatives")'
    ]


# --- Inputs without labels --------------------------------------------------------------------------------------------


def test_pairs_without_labels() -> None:
    same, other = texts("same"), texts("other")
    assert found({"a": same, "b": same}).meaning == "(anchor, anchor) pairs"
    assert found({"query": same, "answer": other}).meaning == "(anchor, positive) pairs"
    assert found({"query": same, "answer": other}).certainty == "certain"
    assert found({"text1": same, "text2": other}).certainty == "likely"
    mixed = found({"a": same, "b": same[:3] + other[3:]})
    assert (mixed.certainty, mixed.meaning) == ("unclear", "")
    assert "ContrastiveTension" in mixed.doubts[-1]
    assert found({"premise": same, "hypothesis": other}).certainty == "unclear"
    assert found({"anchor": same, "negative": other}).certainty == "unclear"


def test_damaged_texts() -> None:
    original = [f"a long text about the number {row} with many words" for row in range(ROWS)]
    damaged = [f"long about number {row} many" for row in range(ROWS)]
    result = found({"a": damaged, "b": original})
    assert (result.meaning, result.certainty) == ("(damaged_input, original_input) pairs", "likely")
    assert found({"original": original, "noisy": damaged}).inputs == ("noisy", "original")
    # The beginning of a text is not a damaged text, and a name is not overruled.
    assert found({"a": [text[:31] for text in original], "b": original}).meaning == "(anchor, positive) pairs"
    assert found({"query": damaged, "document": original}).certainty == "unclear"


def test_triplets_and_more_without_labels() -> None:
    assert read(data("anchor", "positive", "negative")) == ("triplet", "none", "certain")
    assert found(data("negative", "positive", "anchor")).inputs == ("anchor", "positive", "negative")
    assert read(data("1", "2", "3")) == ("triplet", "none", "unclear")  # their number says nothing
    assert read(data("anchor", "positive", "negative_1", "negative_2")) == ("n-tuple", "none", "certain")
    ordered = found(data("negative_10", "negative_2", "query", "positive"))
    assert ordered.inputs == ("query", "positive", "negative_2", "negative_10")
    assert read(data("question", "context", "answer")) == ("triplet", "none", "unclear")
    assert read(data("title", "abstract", "venue", "remarks")) == ("n-tuple", "none", "unclear")
    assert read(data("text")) == ("single", "none", "certain")


# --- The format -------------------------------------------------------------------------------------------------------


def test_several_datasets_have_a_format_each() -> None:
    parts = {"pairs": Dataset.from_dict(data("anchor", "positive")), "single": Dataset.from_dict(data("text"))}
    for held in (parts, DatasetDict(parts)):
        result = detect_format(held)
        assert isinstance(result, dict)
        assert {name: (part.name, part.shape) for name, part in result.items()} == {
            "pairs": ("pairs", "pair"),
            "single": ("single", "single"),
        }


def test_whatever_holds_the_data_they_are_the_same() -> None:
    columns = data("sentence1", "sentence2", score=REAL)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    dataset = Dataset.from_dict(columns)
    transformed = Dataset.from_dict(columns)
    transformed.set_transform(lambda batch: {name: batch[name] for name in columns})
    expected = ("pair", "similarity", "certain")
    held = [
        columns,
        rows,
        pd.DataFrame(columns),
        dataset,
        dataset.with_format("numpy"),
        dataset.with_format("torch"),
        transformed,
        dataset.to_iterable_dataset(),
        IterableDataset.from_generator(lambda: iter(rows)),
    ]
    assert [read(given) for given in held] == [expected] * len(held)


def test_rows_of_the_catalog() -> None:
    def losses(columns: Any, model_type: Any = "SentenceTransformer") -> set[str]:
        return {loss for row in found(columns).matching_rows(model_type) for loss in row.losses}

    pairs = losses(data("query", "answer"))
    assert "MultipleNegativesRankingLoss" in pairs
    assert "DenoisingAutoEncoderLoss" not in pairs
    assert "MarginMSELoss" in losses(data("query", "positive", "negative", label=[[1.5]] * ROWS))
    lists = data("query", docs=[["a", "b"]] * ROWS, labels=[[1, 0]] * ROWS)
    assert "LambdaLoss" in losses(lists, "CrossEncoder")
    assert losses(lists) == set()
    assert "MSELoss" in losses(data("a", "b", label=[[0.5, 0.25] * 16] * ROWS))
    assert losses(data("a", "b", label=[0, 1, 2, 3, 4, 5])) == set()  # it is not clear what they are
    with pytest.raises(ValueError, match="model_type must be one of"):
        found(data("text")).matching_rows("Encoder")  # type: ignore[arg-type]


def test_a_format_is_told_in_lines() -> None:
    lines = str(found({"id": list("abcdef"), **data("text2", "text1", rating=[0.0, 5.0, 2.5] * 2)})).splitlines()
    assert lines[0] == (
        "probably two texts (text1, text2), and a number for how well they belong together (rating, from 0 to 5)"
    )
    taken = (
        "as they are, a trainer would take id, text2, text1, rating for the texts, and no column for the label; first:"
    )
    assert lines[lines.index(taken) + 1 :][:3] == [
        '    dataset = dataset.select_columns(["text1", "text2", "rating"])',
        '    dataset = dataset.rename_column("rating", "score")',
        "read: all 6 rows",
    ]
    assert lines[-1] == "read: all 6 rows"


_VALUES = [
    st.text(max_size=5),
    st.sampled_from(["0", "1.5", "yes", "no", "[1]", "a b c d e f g"]),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(),
    st.lists(st.floats(), max_size=3),
    st.lists(st.text(max_size=3)),
    st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=2),
    st.dates(),
    st.binary(max_size=3),
]
_KNOWN = "label labels score scores query_id document_ids text text1 text2 anchor negative docs 1 2 x_score image"
_NAMES = st.sampled_from(_KNOWN.split()) | st.text(min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data(), st.integers(1, 5), st.lists(_NAMES, min_size=1, max_size=5, unique=True))
def test_odd_data_are_unclear_not_an_error(draw: st.DataObject, rows: int, names: list[str]) -> None:
    columns = {}
    for name in names:
        values = st.none() | draw.draw(st.sampled_from(_VALUES))
        columns[name] = draw.draw(st.lists(values, min_size=rows, max_size=rows))
    try:
        dataset = Dataset.from_dict(columns)
    except Exception:  # no dataset at all
        return
    result = found(dataset)
    assert result.certainty in get_args(Certainty)
    assert result.shape is None or result.shape in SHAPES
    assert result.label is None or result.label in LABEL_KINDS
    assert set(result.inputs) <= set(names)
    assert result.certainty != "unclear" or result.doubts
    assert result.certainty == "unclear" or (result.shape and result.label and result.meaning)
    assert str(result)
    for model_type in MODEL_TYPES:
        assert isinstance(result.matching_rows(model_type), list)


# --- Ways to read what is unclear -------------------------------------------------------------------------------------


def test_ids_that_may_be_a_class_are_made_numbers() -> None:
    first, *_ = found(data("text", duplicate=["doc-1", "doc-2", "doc-3"] * 2)).readings
    assert (first.label, first.label_column) == ("class", "duplicate")
    assert [step.call for step in first.needs] == ["rename_columns", "class_encode_column"]


def test_lists_of_two_numbers_are_no_grades() -> None:
    result = found(data("query", "document", "story", label=[[0.25, 0.75], [0.5, 0.5]] * 3))
    assert (result.label, result.certainty) == ("class probabilities", "unclear")
    assert ("pair", "similarity") in result.alternatives
    assert "similarity" not in [each.label for each in result.readings]  # a step for them there is none


# --- Labels that are not what they seem -------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["label", "score", "similarity"])
def test_an_empty_label_makes_no_positives_of_all_pairs(label: str) -> None:
    result = found(data("text1", "text2", **{label: [None] * ROWS}))
    assert result.certainty == "unclear"
    assert label in " ".join(result.doubts)


@pytest.mark.parametrize("value", ["0x1F", "pending", "yes", "entailment"])
def test_one_word_in_all_rows_tells_nothing_apart(value: str) -> None:
    assert read(data("text1", "text2", label=[value] * ROWS))[2] == "unclear"
    assert read(data("text", label=[value] * ROWS))[2] == "unclear"


def test_pairs_that_are_all_0_are_not_offered_as_positives() -> None:
    assert not found(data("text1", "text2", score=[0] * ROWS)).readings
    assert found(data("text1", "text2", score=[1] * ROWS)).readings


@pytest.mark.parametrize(
    "grades",
    [
        ("irrelevant", "somewhat relevant", "very relevant"), ("bad", "fair", "good"), ("low", "medium", "high"),
        ("different", "similar", "identical"), ("niedrig", "mittel", "hoch"), ("irrelevant", "complement", "exact"),
        ("irrelevant", "partially", "fully"),
    ],
)  # fmt: skip
def test_grades_in_words_are_no_classes_of_pairs(grades: tuple[str, ...]) -> None:
    columns = data("text1", "text2", score=[grades[row % 3] for row in range(ROWS)])
    result = found(columns)
    assert result.certainty == "unclear"
    [reading] = [each for each in result.readings if each.label == "similarity"]
    after = Dataset.from_dict(columns)
    for step in reading.steps:
        after = step.apply(after)
    by_word = dict(zip(columns["score"], after["score"][:], strict=True))
    assert [by_word[word] for word in grades] == sorted(by_word.values())
    assert found(after).label == "similarity"


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (("80%", "5%"), (0.8, 0.05)), (("0,5", "0,25"), (0.5, 0.25)), (("4/5", "1/5"), (0.8, 0.2)),
        (("score: 0.5", "score: 1"), (0.5, 1.0)),
        (("0.5", "n/a", "0.25", "0.5", "1", "0.75"), (0.5, 0.25, 0.5, 1, 0.75)),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them_come_with_the_line_that_reads_them(
    written: tuple[str, ...], numbers: tuple[float, ...]
) -> None:
    rows = len(written) * 2
    names = {name: [f"{name} number {row} of all" for row in range(rows)] for name in ("text1", "text2")}
    columns = {**names, "score": list(written) * 2}
    [reading] = found(columns).readings
    space: dict[str, Any] = {"dataset": Dataset.from_dict(columns)}
    exec(reading.code(), space)
    assert space["dataset"]["score"][:] == pytest.approx([*numbers, *numbers])
    assert found(space["dataset"]).label == "similarity"


def test_a_few_labels_far_beyond_the_others_are_no_scale() -> None:
    names = {name: [f"{name} number {row} of all" for row in range(60)] for name in ("text1", "text2")}
    columns = {**names, "score": [99.0 if row == 7 else row / 60 for row in range(60)]}
    result = found(columns)
    assert (result.certainty, result.label_scale) == ("likely", (0, 1))
    [error] = [each for each in check_dataset(columns, "CosineSimilarityLoss").errors if each.code == "label-range"]
    assert error.rows == (7,)
    space: dict[str, Any] = {"dataset": Dataset.from_dict(columns)}
    exec(error.mend, space)
    assert space["dataset"]["score"][:] == [row / 60 for row in range(60) if row != 7]


def test_whole_numbers_that_no_float_holds_name_something() -> None:
    assert found(data("text1", "text2", key=[2**60 + row for row in range(ROWS)])).label_column is None
    assert read(data("text1", "text2", label=[2**60 + 7 * row for row in range(ROWS)]))[2] == "unclear"


@pytest.mark.parametrize("names", [("parent_comment", "comment"), ("previous_turn", "turn"), ("reply", "quoted_reply")])
def test_a_label_may_be_of_what_is_said_after_something(names: tuple[str, str]) -> None:
    assert read(data(*names, label=[0, 1] * (ROWS // 2)))[2] == "unclear"


def test_words_of_signs_are_counted_as_words() -> None:
    values = ["ポジティブ", "ネガティブ"] * (ROWS // 2)
    assert read(data("レビュー", 感情=values))[:2] == ("single", "class")


def test_who_speaks_is_no_class() -> None:
    assert read(data("utterance", speaker=["A", "B"] * (ROWS // 2)))[:2] == ("single", "none")


# --- What holds the data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"a": {"x", "y"}, "b": {"z", "w"}}, "a set in 'a'. Write a list"),
        ({"train": pd.DataFrame({"a": ["x"], "b": ["y"]})}, "a DataFrame in 'train'. Write a Dataset.from_pandas"),
        ({"a": {"x": Dataset.from_dict({"t": ["u"]})}}, "a dict in 'a'. Write a list"),
    ],
)
def test_what_has_no_rows_in_an_order_is_no_column(held: Any, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        detect_format(held)


def test_a_key_that_the_first_row_lacks_is_a_column_too() -> None:
    rows = [
        {"question": "a b", "label": None},
        {"question": "c d", "answer": "e f"},
        {"answer": "g h", "question": "i"},
    ]
    assert found(rows).inputs == ("question", "answer")
    assert found([{"question": "a b"}, *rows]).trainer_label == "label"


def test_one_named_class_alone_tells_nothing_apart() -> None:
    columns = Dataset.from_dict(data("text1", "text2", label=[0] * ROWS)).cast_column("label", ClassLabel(names=["a"]))
    assert read(columns)[2] == "unclear"
