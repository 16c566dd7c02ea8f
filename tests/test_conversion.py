"""Converters of datasets."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from selective_st import conversion
from selective_st.conversion import (
    class_to_triplets,
    damage_texts,
    join_columns,
    labels_to_float,
    labels_to_int,
    pairs_to_lists,
    pairs_to_positives,
    pairs_to_triplets,
    remove_duplicate_rows,
    remove_empty_rows,
    scale_labels,
    scale_margins,
    split_lists,
    texts_to_pairs,
)
from selective_st.errors import DataError
from selective_st.written import read_written


def pairs(label: list[Any], name: str = "label") -> Dataset:
    rows = range(len(label))
    return Dataset.from_dict({"a": [f"a{row}" for row in rows], "b": [f"b{row}" for row in rows], name: label})


class TestLabels:
    def test_scaled(self) -> None:
        assert scale_labels(pairs([1, 3, 5], "score"), "score", 1, 5)["score"][:] == [0.0, 0.5, 1.0]
        assert scale_labels(pairs([1, 3, 5], "score"), "score", 1, 5, reverse=True)["score"][:] == [1.0, 0.5, 0.0]
        with pytest.raises(TypeError, match=r"reverse must be .* got .*Write reverse=True"):
            scale_labels(pairs([1, 3, 5], "score"), "score", 1, 5, reverse="no")  # type: ignore[arg-type]

    @pytest.mark.parametrize("label", [[0, 5, 0], [0.0, 5.0, 0.0]])
    def test_integers_do_not_stay_integers(self, label: list[float]) -> None:
        # Whole results would fit into the old type.
        scaled = scale_labels(pairs(label), "label", 0, 5)
        assert scaled.features["label"] == Value("float64")
        assert scaled["label"][:] == [0.0, 1.0, 0.0]

    def test_lists_and_missing_labels(self) -> None:
        scaled = scale_labels(pairs([[0.0, 10.0], [5.0, math.nan]]), "label", 0, 10)["label"][:]
        assert scaled[0] == [0.0, 1.0]
        assert scaled[1][0] == 0.5
        assert math.isnan(scaled[1][1])
        assert scale_labels(pairs([1.0, None]), "label", 0, 1)["label"][:] == [1.0, None]

    def test_other_columns_and_the_dataset_given_stay(self) -> None:
        data = pairs([0.0, 4.0])
        scaled = scale_labels(data, "label", 0, 4)
        assert scaled.column_names == ["a", "b", "label"]
        assert scaled["a"][:] == data["a"][:]
        assert data["label"][:] == [0.0, 4.0]

    def test_a_format_does_not_matter(self) -> None:
        scaled = scale_labels(pairs([0.0, 4.0]).with_format("numpy"), "label", 0, 4)
        assert scaled.format["type"] == "numpy"
        assert scaled.with_format(None)["label"][:] == [0, 1]
        lists = Dataset.from_dict({"q": ["x"], "documents": [["a", "b"]]}).with_format("numpy")
        assert split_lists(lists)[:] == split_lists(lists.with_format(None))[:]
        assert len(remove_duplicate_rows(lists)) == len(remove_empty_rows(lists)) == 1

    def test_outside_the_scale(self) -> None:
        with pytest.raises(DataError, match=r"column 'label' holds in rows 1, 2 \(counted from 0\).*6.*from 0 to 5"):
            scale_labels(pairs([5, 6, -1]), "label", 0, 5)

    def test_rows_are_counted_through_the_dataset(self) -> None:
        with pytest.raises(DataError, match=r"row 2500 \(counted"):
            scale_labels(pairs([*[1.0] * 2500, 9.0]), "label", 0, 5)

    def test_many_rows_are_not_all_named(self) -> None:
        with pytest.raises(DataError, match="rows 0, 1, 2, 3, 4 and 15 more"):
            scale_labels(pairs([7] * 20), "label", 0, 5)

    @pytest.mark.parametrize(("low", "high"), [(5, 0), (1, 1), (0, math.inf), ("0", 5), (True, 5)])
    def test_a_wrong_scale(self, low: Any, high: Any) -> None:
        with pytest.raises(ValueError, match=r"scale_labels: (low|high) must be"):
            scale_labels(pairs([1.0]), "label", low, high)

    def test_texts_are_told_to_be_converted(self) -> None:
        with pytest.raises(DataError, match="labels_to_float"):
            scale_labels(pairs(["1", "2"]), "label", 0, 5)

    def test_margins(self) -> None:
        assert scale_margins(pairs([-5, 10]), "label", 10)["label"][:] == [-0.5, 1.0]
        assert scale_margins(pairs([[-5.0, 10.0]]), "label", 10)["label"][:] == [[-0.5, 1.0]]
        assert scale_margins(pairs([-0.5, 0.25]), "label", 0.5)["label"][:] == [-1.0, 0.5]
        with pytest.raises(DataError, match=r"row 1 .*wider"):
            scale_margins(pairs([1, -11]), "label", 10)
        with pytest.raises(ValueError, match="width must be above 0"):
            scale_margins(pairs([1]), "label", 0)

    @pytest.mark.parametrize(
        ("label", "floats"),
        [
            (["0.5", " 1 ", ""], [0.5, 1.0, None]),
            ([0, 1, None], [0.0, 1.0, None]),
            ([True, False], [1.0, 0.0]),
            ([[1, 0], [0, 1]], [[1.0, 0.0], [0.0, 1.0]]),
            (["[0.5, 1]", "[0, 2]"], [[0.5, 1.0], [0.0, 2.0]]),
            (["[0.5, 1]", None], [[0.5, 1.0], None]),
            ([[0.5, 1], None], [[0.5, 1.0], None]),
        ],
    )
    def test_floats(self, label: list[Any], floats: list[Any]) -> None:
        assert labels_to_float(pairs(label), "label")["label"][:] == floats

    def test_floats_of_classes(self) -> None:
        data = pairs([1, 0]).cast_column("label", ClassLabel(names=["bad", "good"]))
        made = labels_to_float(data, "label")
        assert made["label"][:] == [1.0, 0.0]
        assert made.features["label"] == Value("float64")

    @pytest.mark.parametrize("label", [["1", "good"], ["[1]", "[x]"]])
    def test_what_is_no_number(self, label: list[str]) -> None:
        with pytest.raises(DataError, match=r"row 1 "):
            labels_to_float(pairs(label), "label")

    @pytest.mark.parametrize(("word", "number"), [("maybe", 0.5), ("very similar", 1.0), ("Duplikat", 1.0)])
    def test_one_word_alone_says_its_number(self, word: str, number: float) -> None:
        assert read_written({word: 3}).values == {word: number}

    def test_integers(self) -> None:
        assert labels_to_int(pairs([0.0, 2.0]), "label")["label"][:] == [0, 2]
        assert labels_to_int(pairs(["1", ""]), "label")["label"][:] == [1, None]
        assert labels_to_int(pairs([1.0]), "label").features["label"] == Value("int64")
        with pytest.raises(DataError, match=r"row 0 .*0.5, not a whole number.*labels_to_float"):
            labels_to_int(pairs([0.5]), "label")

    @pytest.mark.parametrize(
        "convert", [labels_to_float, labels_to_int, lambda data, name: scale_labels(data, name, 0, 5)]
    )
    def test_objects_are_told_to_be_taken_apart(self, convert: Any) -> None:
        with pytest.raises(DataError, match=r'holds objects.*flatten_cells\(dataset, "label", "v"\)'):
            convert(pairs([{"v": 1.0}, {"v": 0.0}]), "label")

    def test_datasets_that_adds_columns_without_a_type(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As the oldest that is allowed does."""
        add = Dataset.add_column
        monkeypatch.setattr(Dataset, "add_column", lambda data, name, column, new_fingerprint: add(data, name, column))
        labels = Dataset.from_dict({"label": [None, "1"], "a": ["x", "y"]}).shuffle(seed=1)
        converted = labels_to_float(labels, "label")
        assert converted.features["label"] == Value("float64")
        assert converted[:] == {**labels[:], "label": [{"1": 1.0, None: None}[text] for text in labels["label"]]}

    def test_numbers_beyond_integers(self) -> None:
        with pytest.raises(OverflowError):
            labels_to_int(pairs([1e308, 1.0]), "label")


class TestRows:
    def test_empty(self) -> None:
        data = Dataset.from_dict(
            {
                "a": ["x", "", "\t ", None, "y", "z", "w"],
                "list": [["p"], ["p"], ["p"], ["p"], [], ["", "p"], ["p"]],
                "score": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, math.nan],
            }
        )
        assert remove_empty_rows(data)["a"][:] == ["x", "z"]
        assert remove_empty_rows(data, ["list"])["a"][:] == ["x", "", "\t ", None, "z", "w"]
        assert remove_empty_rows(data, ["a", "score"])["a"][:] == ["x", "y", "z"]

    def test_padded_lists_are_not_empty(self) -> None:
        data = Dataset.from_dict({"a": ["x", "y"], "scores": [[1.0, math.nan], [math.nan, math.nan]]})
        assert remove_empty_rows(data)["a"][:] == ["x"]

    def test_across_batches(self) -> None:
        data = Dataset.from_dict({"a": [f"{row}" if row % 3 else " " for row in range(3500)]})
        assert remove_empty_rows(data)["a"][:] == [f"{row}" for row in range(3500) if row % 3]

    def test_nothing_left(self) -> None:
        with pytest.raises(DataError, match=r"remove_empty_rows\(dataset, \[\"a\", \"b\"\]\)"):
            remove_empty_rows(Dataset.from_dict({"a": ["", "x"], "b": ["x", ""]}))

    def test_duplicates(self) -> None:
        data = Dataset.from_dict(
            {"a": ["x", "y", "x", "x"], "b": ["1", "1", "1", "2"], "score": [[0.0], [1.0], [0.0], [1.0]]}
        )
        assert len(remove_duplicate_rows(data)) == 3
        assert remove_duplicate_rows(data, ["a"])["b"][:] == ["1", "1"]
        assert remove_duplicate_rows(data, ["score"])["a"][:] == ["x", "y"]

    def test_a_wrong_column(self) -> None:
        with pytest.raises(DataError, match="no column 'c'; the dataset has a, b, label"):
            remove_duplicate_rows(pairs([1]), ["c"])
        with pytest.raises(TypeError, match=r'Write columns=\["a"\]'):
            remove_empty_rows(pairs([1]), "a")
        with pytest.raises(DataError, match="columns is empty"):
            remove_empty_rows(pairs([1]), [])


class TestLists:
    LISTS: dict[str, Any] = {  # noqa: RUF012 - it is not changed
        "query": ["x", "y"], "documents": [["a", "b", "c"], ["d"]], "scores": [[3.0, 2.0, 1.0], [5.0]],
    }  # fmt: skip

    def test_to_columns(self) -> None:
        split = split_lists(Dataset.from_dict(self.LISTS))
        assert split.column_names == ["query", "document_1", "document_2", "document_3", "scores"]
        assert split["document_2"][:] == ["b", ""]
        assert split["scores"][0] == [3.0, 2.0, 1.0]
        assert split["scores"][1][0] == 5.0
        assert all(map(math.isnan, split["scores"][1][1:]))

    def test_the_first_of_each_list(self) -> None:
        split = split_lists(Dataset.from_dict(self.LISTS), size=2)
        assert split.column_names == ["query", "document_1", "document_2", "scores"]
        assert split["scores"][0] == [3.0, 2.0]

    def test_there_and_back(self) -> None:
        data = Dataset.from_dict(self.LISTS)
        assert join_columns(split_lists(data))[:] == data[:]

    def test_without_labels_texts_take_turns(self) -> None:
        data = Dataset.from_dict({"q": ["x", "y"], "p": ["s", "t"], "negatives": [["a", "b", "c"], ["d", "e"]]})
        split = split_lists(data)
        assert split.column_names == ["q", "p", "negative_1", "negative_2", "negative_3"]
        assert split["negative_3"][:] == ["c", "d"]

    def test_labels_for_a_positive_beside_the_list(self) -> None:
        data = Dataset.from_dict(
            {"q": ["x", "y"], "p": ["s", "t"], "negatives": [["a", "b"], ["c"]], "label": [[3, 2, 1], [3, 2]]}
        )
        assert split_lists(data, size=1)["label"][:] == [[3.0, 2.0], [3.0, 2.0]]
        assert split_lists(data)["label"][0] == [3.0, 2.0, 1.0]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"documents": [["a"], []], "scores": [[1.0], []]}, r"empty list in row 1 .*remove_empty_rows"),
            ({"scores": [[1.0, 2.0, 3.0], [1.0, 2.0]]}, r"in row 1 .*has not as many labels"),
            ({"document_1": ["x", "y"]}, "a column 'document_1' already"),
            ({"others": [["x"], ["y"]]}, "one column with lists of texts, got documents, others"),
        ],
    )
    def test_what_cannot_be_split(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            split_lists(Dataset.from_dict({**self.LISTS, **change}))

    @pytest.mark.parametrize("size", [0, 1.5, True])
    def test_a_wrong_size(self, size: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="size must be a whole number"):
            split_lists(Dataset.from_dict(self.LISTS), size=size)

    @pytest.mark.parametrize(("name", "singular"), [("replies", "reply_1"), ("pass", "pass_1"), ("texts", "text_1")])
    def test_names_in_the_singular(self, name: str, singular: str) -> None:
        assert singular in split_lists(Dataset.from_dict({"query": ["x"], name: [["a"]]})).column_names

    def test_tuples_to_lists(self) -> None:
        data = Dataset.from_dict({"q": ["x"], "p": ["a"], "n1": ["b"], "n2": ["c"]})
        assert join_columns(data)[0] == {"q": "x", "documents": ["a", "b", "c"], "labels": [1.0, 0.0, 0.0]}
        assert join_columns(data, "passages").column_names == ["q", "passages", "labels"]

    def test_a_column_of_the_name_that_a_new_one_gets_is_not_lost(self) -> None:
        data = Dataset.from_dict({"q": ["x"], "pos": [["a"]], "neg": [["b"]], "positive": ["c"], "labels": [[1.0]]})
        with pytest.raises(DataError, match="a column 'positive' already"):
            conversion.rows_of_positives(data, "pos", "neg")
        with pytest.raises(DataError, match="a column 'labels' already"):
            conversion.join_lists(data, "pos", "neg")

    def test_scores_stay_and_their_column_keeps_its_name(self) -> None:
        data = Dataset.from_dict({"q": ["x"], "p": ["a"], "n": [""], "score": [[0.7, math.nan]]})
        assert join_columns(data)[0] == {"q": "x", "documents": ["a"], "score": [0.7]}

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"q": ["x"], "p": ["a"]}, "three or more columns.*mine_hard_negatives"),
            ({"q": ["x"], "p": ["a"], "n": ["b"], "label": [0.5]}, 'remove_columns\\("label"\\)'),
            ({"q": ["x"], "p": ["a"], "n": ["b"], "label": [[0.5]]}, "2 labels, one for each of p, n"),
            ({"q": ["x"], "p": ["a"], "n": ["b"], "id": [1]}, r"select_columns\(\[\"q\", \"p\", \"n\"\]\)"),
        ],
    )
    def test_what_cannot_be_joined(self, data: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            join_columns(Dataset.from_dict(data))


class TestTexts:
    def test_triplets_of_classes(self) -> None:
        kinds = [row % 3 for row in range(60)]
        data = Dataset.from_dict({"text": [f"{kind} {row}" for row, kind in enumerate(kinds)], "label": kinds})
        made = class_to_triplets(data)
        assert sorted(made["anchor"]) == sorted(data["text"])
        assert sorted(made["positive"]) == sorted(data["text"]), "each is a positive once"
        for row in made:
            assert row["anchor"] != row["positive"]
            assert row["anchor"][0] == row["positive"][0] != row["negative"][0]
        assert made[:] == class_to_triplets(data)[:]
        assert made[:] != class_to_triplets(data, seed=1)[:]

    def test_classes_of_one_text_and_repeated_texts(self) -> None:
        data = Dataset.from_dict({"text": ["a", "a", "b", "c", "d", " "], "label": ["x", "x", "x", "y", "z", "y"]})
        made = class_to_triplets(data)
        assert sorted(made["anchor"]) == ["a", "b"]
        assert set(made["negative"]) <= {"c", "d"}

    def test_a_text_of_two_classes_is_no_negative(self) -> None:
        data = Dataset.from_dict({"text": ["a", "b", "a", "c"], "label": [0, 0, 1, 1]})
        assert [(row["anchor"], row["negative"]) for row in class_to_triplets(data)][:2] == [("a", "c"), ("b", "c")]

    @pytest.mark.parametrize("label", [[0, 0, 0], [0, 1, 2]])
    def test_classes_that_make_none(self, label: list[int]) -> None:
        with pytest.raises(DataError, match="class"):
            class_to_triplets(Dataset.from_dict({"text": ["a", "b", "c"], "label": label}))
        with pytest.raises(DataError, match="no label column"):
            class_to_triplets(Dataset.from_dict({"text": ["a"]}))

    def test_damage(self) -> None:
        words = [f"word{k}" for k in range(200)]
        data = Dataset.from_dict({"text": [" ".join(words)] * 50, "id": list(range(50))})
        made = damage_texts(data)
        assert made.column_names == ["damaged", "original"]
        kept = [row["damaged"].split() for row in made]
        assert all(row == [word for word in words if word in set(row)] for row in kept), "in order"
        share = sum(map(len, kept)) / (50 * 200)
        assert abs(share - 0.4) < 0.02
        assert len(set(map(tuple, kept))) == 50, "each row loses others"
        assert made[:] == damage_texts(data)[:]
        assert made[:] != damage_texts(data, seed=1)[:]

    @pytest.mark.parametrize("text", ["one two", "一二三四", "a", "", None])
    def test_short_texts_keep_something(self, text: str | None) -> None:
        for seed in range(10):
            row = damage_texts(Dataset.from_dict({"text": [text, "x y"]}), ratio=0.99, seed=seed)[0]
            assert row["original"] == (text or "")
            assert bool(row["damaged"]) == bool(text)
            assert len(row["damaged"]) <= len(text or "")

    @pytest.mark.parametrize("ratio", [0, 1, 2, math.nan, "half"])
    def test_a_wrong_ratio(self, ratio: Any) -> None:
        with pytest.raises(ValueError, match="ratio must"):
            damage_texts(Dataset.from_dict({"text": ["a b"]}), ratio=ratio)

    def test_pairs_of_equal_and_different_texts(self) -> None:
        names = [f"t{k}" for k in range(9)]
        made = texts_to_pairs(Dataset.from_dict({"text": [*names, "t0", " "]}), different=7)
        assert len(made) == 9 * 8
        equal = [row["text_1"] for row in made if row["text_1"] == row["text_2"]]
        assert equal == names
        assert texts_to_pairs(Dataset.from_dict({"text": names}))["text_2"][:] == names

    def test_too_few_texts(self) -> None:
        with pytest.raises(DataError, match="1 distinct text"):
            texts_to_pairs(Dataset.from_dict({"text": ["a", "a"]}), different=1)
        with pytest.raises(ValueError, match="different must be"):
            texts_to_pairs(Dataset.from_dict({"text": ["a", "b"]}), different=-1)

    def test_which_column(self) -> None:
        data = Dataset.from_dict({"title": ["a b"], "body": ["c d"], "label": ["x"]})
        with pytest.raises(DataError, match=r'got title, body.*select_columns\(\["title", "label"\]\)'):
            damage_texts(data)
        assert damage_texts(data, "body")["original"][:] == ["c d"]
        with pytest.raises(DataError, match="no column 'x'"):
            texts_to_pairs(data, "x")


class TestPairs:
    GRADED: dict[str, Any] = {  # noqa: RUF012 - it is not changed
        "q": ["x", "x", "x", "y", "y"], "d": ["a", "b", "c", "d", "e"], "score": [0.9, 0.5, 0.1, 0.3, 0.8],
    }  # fmt: skip

    def test_triplets_of_classes(self) -> None:
        data = Dataset.from_dict(
            {"p": ["x", "x", "x", "x", "y"], "h": ["e1", "e2", "n", "c", "e"], "label": [0, 0, 1, 2, 0]}
        )
        made = pairs_to_triplets(data, positive=0, negative=2)
        assert made[:] == {"anchor": ["x", "x"], "positive": ["e1", "e2"], "negative": ["c", "c"]}
        features = Features({"p": Value("string"), "h": Value("string"),
                             "label": ClassLabel(names=["entailment", "neutral", "contradiction"])})  # fmt: skip
        named = data.cast(features)
        assert pairs_to_triplets(named, positive="entailment", negative="contradiction")[:] == made[:]
        with pytest.raises(DataError, match="no class 'no'; there are entailment, neutral, contradiction"):
            pairs_to_triplets(named, positive="entailment", negative="no")
        with pytest.raises(DataError, match='positive="entailment", negative="contradiction"'):
            pairs_to_triplets(named)
        with pytest.raises(DataError, match=r"no pair has the label negative=7; column 'label' has 0, 1, 2"):
            pairs_to_triplets(data, positive=0, negative=7)
        with pytest.raises(TypeError, match="must be two labels, or both left out"):
            pairs_to_triplets(data, positive=0)

    def test_classes_by_name_stored_as_text(self) -> None:
        data = Dataset.from_dict({"p": ["x", "x"], "h": ["e", "c"], "label": ["yes", "no"]})
        assert pairs_to_triplets(data, positive="yes", negative="no")["negative"][:] == ["c"]

    def test_no_text_with_both(self) -> None:
        with pytest.raises(DataError, match="mine_hard_negatives"):
            pairs_to_triplets(pairs([0, 1]), positive=1, negative=0)

    def test_triplets_of_grades(self) -> None:
        made = pairs_to_triplets(Dataset.from_dict(self.GRADED))
        assert made.column_names == ["anchor", "positive", "negative"]
        assert ("x", "a", "c") in [tuple(row.values()) for row in made]
        assert ("y", "e", "d") in [tuple(row.values()) for row in made]
        grade = dict(zip(self.GRADED["d"], self.GRADED["score"], strict=True))
        assert all(grade[row["positive"]] > grade[row["negative"]] for row in made)

    def test_lists(self) -> None:
        made = pairs_to_lists(Dataset.from_dict(self.GRADED))
        assert made.column_names == ["anchor", "doc_1", "doc_2", "doc_3", "label"]
        assert [made[0][f"doc_{k}"] for k in (1, 2, 3)] == ["a", "b", "c"]
        assert made[0]["label"] == [0.9, 0.5, 0.1]
        assert made[1]["doc_3"] == ""
        joined = join_columns(made)
        assert joined[1] == {"anchor": "y", "documents": ["e", "d"], "label": [0.8, 0.3]}
        assert pairs_to_lists(Dataset.from_dict(self.GRADED), list_size=2).column_names[-2] == "doc_2"

    def test_positives(self) -> None:
        data = Dataset.from_dict(self.GRADED)
        assert pairs_to_positives(data)[:] == {"anchor": ["x", "y"], "positive": ["a", "e"], "negative": ["b", "d"]}
        assert pairs_to_positives(data, positive_from=0.85)["positive"][:] == ["a"]
        with pytest.raises(DataError, match=r"positive_from=0.95; they go from 0.1 to 0.9.*positive_from=0.9\)"):
            pairs_to_positives(data, positive_from=0.95)

    @pytest.mark.parametrize("convert", [pairs_to_lists, pairs_to_positives, pairs_to_triplets])
    def test_errors(self, convert: Any) -> None:
        with pytest.raises(DataError, match=r"remove_empty_rows"):
            convert(Dataset.from_dict({**self.GRADED, "score": [0.9, None, 0.1, 0.3, 0.8]}))
        with pytest.raises(DataError, match="labels_to_float"):
            convert(Dataset.from_dict({**self.GRADED, "score": ["0.9", "0.1", "0.1", "0.3", "0.8"]}))
        with pytest.raises(DataError, match="two columns of texts"):
            convert(Dataset.from_dict({**self.GRADED, "other": ["o"] * 5}))
        with pytest.raises(DataError, match="no label column"):
            convert(Dataset.from_dict({"a": ["x"], "b": ["y"]}))

    @pytest.mark.parametrize("size", [1, 2.0, True])
    def test_a_wrong_list_size(self, size: Any) -> None:
        for convert in (pairs_to_lists, pairs_to_triplets):
            with pytest.raises((TypeError, ValueError), match="list_size must be"):
                convert(Dataset.from_dict(self.GRADED), list_size=size)


@pytest.mark.parametrize("name", conversion.__all__)
def test_what_is_no_dataset(name: str) -> None:
    function = getattr(conversion, name)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    numbers = {"low": 0, "high": 1, "width": 1, "above": 0.5, "size": 2}
    needed = [each for each in parameters if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    more = [numbers.get(each.name, "label") for each in needed]
    data = pairs([1.0, 0.0])
    with pytest.raises(TypeError, match=r"Dataset\.from_dict"):
        function({"a": [1]}.items(), *more)
    with pytest.raises(TypeError, match=r'dataset\["train"\]'):
        function(DatasetDict({"train": data}), *more)
    with pytest.raises(DataError, match="transform"):
        function(data.with_transform(lambda batch: batch), *more)


def test_a_result_on_the_disk_is_found_again_by_its_settings(tmp_path: Path) -> None:
    Dataset.from_dict({"a": ["x", "y"], "b": ["z", "w"], "score": [2, 5]}).save_to_disk(str(tmp_path / "pairs"))
    pairs = Dataset.load_from_disk(str(tmp_path / "pairs"))
    datasets.fingerprint.fingerprint_warnings.clear()
    pairs = pairs.select_columns(["a"])
    first, other, again = (conversion.damage_texts(pairs, "a", seed=seed) for seed in (5, 10, 5))
    assert first["original"][:] == ["x", "y"]
    assert again.cache_files == first.cache_files != other.cache_files
    # datasets was not left to find out what the function depends on, which takes long and fails.
    assert not datasets.fingerprint.fingerprint_warnings


def test_only_numbers_are_taken_for_numbers() -> None:
    """A column without a value may become one of numbers; one of arrays may not."""
    texts = {"a": ["x", "x"], "b": ["y", "y"]}
    nothing = Dataset.from_dict({**texts, "label": [None, None]})
    assert conversion.remove_duplicate_rows(nothing, ["a", "b"], "label")[:] == {
        "a": ["x"],
        "b": ["y"],
        "label": [None],
    }
    with pytest.raises(DataError, match="a text or label is missing in rows 0, 1"):
        conversion.pairs_to_lists(nothing)
    kinds = {"a": Value("string"), "b": Value("string"), "label": datasets.Array2D((1, 2), "float32")}
    arrays = Dataset.from_dict({**texts, "label": [[[1.0, 2.0]]] * 2}, features=Features(kinds))
    for convert in (
        lambda: conversion.remove_duplicate_rows(arrays, ["a", "b"], "label"),
        lambda: conversion.pairs_to_lists(arrays),
    ):
        with pytest.raises(DataError, match=r"must hold numbers, but holds \[\[1.0, 2.0\]\]. Make it so"):
            convert()
