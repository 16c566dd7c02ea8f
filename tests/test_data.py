"""Reading the user's files: what is accepted, what is said, and what is refused with the row."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import GroupShuffleSplit

from selective_st.data import read_pairs, read_table
from selective_st.errors import DataError
from selective_st.layouts import By, Examples, GradedPairs, as_lists, as_pairs, as_positives, as_triplets

ROWS = [("a cat", "a tiger", 3.5), ("a dog", 'a "big" dog, running', 5.0), ("a car", "the moon", 0.0)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def values(pairs: GradedPairs) -> list[tuple[str, str, float]]:
    return list(zip(pairs.sentences1, pairs.sentences2, pairs.scores, strict=True))


EXPECTED = [(a, b, score / 5) for a, b, score in ROWS]
CSV_BODY = 'a cat,a tiger,3.5\na dog,"a ""big"" dog, running",5.0\na car,the moon,0\n'
TSV_BODY = 'a cat\ta tiger\t3.5\na dog\t"a ""big"" dog, running"\t5.0\na car\tthe moon\t0\n'
JSON_BODY = "".join(json.dumps({"text": a, "other": b, "label": score}) + "\n" for a, b, score in ROWS)


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "text", "note"),
        [
            ("pairs.csv", "sentence1,sentence2,score\n" + CSV_BODY, "the first row is a header"),
            ("pairs.csv", CSV_BODY, "no header row (its first row contains the number 3.5)"),
            ("pairs.tsv", "a\tb\tlabel\n" + TSV_BODY, "the first row is a header"),
            ("pairs.tsv", TSV_BODY, "no header row"),
            ("pairs.jsonl", JSON_BODY, "texts 'text' and 'other', label 'label'"),
            ("pairs.json", JSON_BODY, "3 rows"),
            ("bom.csv", "\ufeffa,b,score\n" + CSV_BODY, "the first row is a header"),
        ],
    )
    def test_text_files(self, tmp_path: Path, name: str, text: str, note: str) -> None:
        pairs = read_pairs(write(tmp_path / name, text), score_range=(0, 5))
        assert values(pairs) == EXPECTED
        assert any(note in line for line in pairs.notes)
        assert any("labels mapped from [0, 5] to [0, 1]" in line for line in pairs.notes)

    def test_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "pairs.parquet"
        datasets.Dataset.from_list([{"x": a, "y": b, "scores": s} for a, b, s in ROWS]).to_parquet(str(path))
        assert values(read_pairs(str(path), score_range=(0, 5))) == EXPECTED

    @pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
    def test_a_name_with_brackets_is_no_pattern(self, tmp_path: Path, ending: str) -> None:
        folder = tmp_path / "old [v2]"
        folder.mkdir()
        for name, first in ((f"data[1]{ending}", "this one"), (f"data1{ending}", "another")):
            table = datasets.Dataset.from_list([{"a": first, "b": "y", "score": 1.0}])
            write_table = table.to_json if ending == ".jsonl" else table.to_parquet
            write_table(str(folder / name))
        assert read_pairs(str(folder / f"data[1]{ending}")).sentences1 == ["this one"]

    def test_labels_in_range_need_no_map(self, tmp_path: Path) -> None:
        path = write(tmp_path / "pairs.csv", "a,b,score\nx,y,-0.5\nx,z,1\n")
        assert read_pairs(path).scores == [-0.5, 1.0]

    def test_a_changed_file_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "pairs.csv"
        assert len(read_pairs(write(path, "a,b,score\nx,y,1\n"))) == 1
        assert len(read_pairs(write(path, "a,b,score\nx,y,1\nx,z,0\n"))) == 2


class TestColumns:
    def test_by_name_in_any_order(self, tmp_path: Path) -> None:
        path = write(tmp_path / "p.csv", "id,rating,one,two\n1,5,x,y\n")
        pairs = read_pairs(path, columns=["one", "two", "rating"], score_range=(0, 5), header=True)
        assert values(pairs) == [("x", "y", 1.0)]

    def test_by_number(self, tmp_path: Path) -> None:
        path = write(tmp_path / "p.csv", "7,x,y,5\n")
        assert values(read_pairs(path, columns=["2", "3", "4"], score_range=(0, 5))) == [("x", "y", 1.0)]

    def test_the_trainers_label_column_wherever_it_stands(self, tmp_path: Path) -> None:
        path = write(tmp_path / "p.csv", "score,one,two\n0.5,x,y\n")
        assert values(read_pairs(path)) == [("x", "y", 0.5)]

    @pytest.mark.parametrize(
        ("text", "columns", "message"),
        [
            ("a,b,score\nx,y,1\n", ["a", "b", "label"], "has no column 'label'; it has a, b, score"),
            ("a,b,score\nx,y,1\n", ["a", "score"], "takes two text columns and the label column, got 2"),
            ("a,b,score\nx,y,1\n", ["a", "a", "score"], "names a column twice"),
            ("a,b,c,score\nx,y,z,1\n", None, r"not clear which columns .* name .* --columns a,b,score"),
            ("a,b,rating\nx,y,1\n", None, "not clear which columns"),
            ("text,label,score\nx,y,1\n", None, "not clear which columns"),
            ("a,score\nx,1\n", None, r"need three columns: .* It has 2 column\(s\): a, score"),
            ("a,a,score\nx,y,1\n", None, "names a column twice: a. If it is no header, pass --no-header"),
        ],
    )
    def test_refused(self, tmp_path: Path, text: str, columns: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_pairs(write(tmp_path / "p.csv", text), columns=columns)


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nowhere.csv does not exist. Check the path"):
            read_pairs(str(tmp_path / "nowhere.csv"))

    @pytest.mark.parametrize("text", ["", "\n\n"])
    def test_empty(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(DataError, match="is empty"):
            read_pairs(write(tmp_path / "p.csv", text))

    def test_only_a_header(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="has no rows of data"):
            read_pairs(write(tmp_path / "p.csv", "a,b,score\n"))

    def test_a_parquet_without_rows(self, tmp_path: Path) -> None:
        schema = pa.schema([("a", pa.string()), ("b", pa.string()), ("score", pa.float64())])
        with pq.ParquetWriter(tmp_path / "groups.parquet", schema) as writer:  # with a group of rows that is empty
            writer.write_table(schema.empty_table())
        pq.write_table(schema.empty_table(), tmp_path / "p.parquet")
        for name in ("groups.parquet", "p.parquet"):
            with pytest.raises(DataError, match=f"^{name} has no rows of data.$"):
                read_pairs(str(tmp_path / name))

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("name", ["wide.csv", "wide.tsv"])
    def test_utf_16(self, tmp_path: Path, name: str, encoding: str) -> None:
        text = "\ufeffa,b,score\nx,y,1\n".replace(",", "," if name.endswith("csv") else "\t")
        (tmp_path / name).write_bytes(text.encode(encoding))
        mend = f"iconv -f utf-16 -t utf-8 {name} > utf8{Path(name).suffix}"
        with pytest.raises(DataError, match=f"is UTF-16 text.* {mend}$"):
            read_pairs(str(tmp_path / name))

    def test_a_folder_and_an_unknown_ending(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is a folder"):
            read_pairs(str(tmp_path))
        with pytest.raises(DataError, match=r"unknown ending '.xlsx'; known are .csv"):
            read_pairs(write(tmp_path / "p.xlsx", "x"))

    def test_not_what_it_says(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="could not be read as JSON"):
            read_pairs(write(tmp_path / "p.jsonl", '{"a": 1\n'))
        with pytest.raises(DataError, match="has 3 columns, but 4 cells in line 3"):
            read_pairs(write(tmp_path / "p.csv", "a,b,score\nx,y,1\nx,y,1,2\n"))
        with pytest.raises(DataError, match="has 3 columns, but 2 cells in line 2"):
            read_pairs(write(tmp_path / "p.csv", "a,b,score\nx,1\n"))
        with pytest.raises(DataError, match=r"could not be read as CSV: .*Check the quotes"):
            read_pairs(write(tmp_path / "p.csv", 'a,b,score\nx,"y"z,1\n'))
        with pytest.raises(DataError, match=r"p\.parquet could not be read"):
            read_pairs(write(tmp_path / "p.parquet", "no parquet"))
        (tmp_path / "latin.csv").write_bytes(b"a,b,score\ncaf\xe9,y,1\n")
        with pytest.raises(DataError, match=r"is not UTF-8 text .* iconv -f cp1252 -t utf-8 latin.csv > utf8.csv"):
            read_pairs(str(tmp_path / "latin.csv"))

    def test_neither_a_file_nor_on_the_hub(self) -> None:
        with pytest.raises(DataError, match="is no file here, and could not be loaded from the Hugging Face hub"):
            read_pairs("nobody/nothing")


class TestQuotes:
    def test_a_tsv_that_does_not_quote(self, tmp_path: Path) -> None:
        text = '"Hi there\tHello\t0.9\nA\tB\t0.1\n"Go" away\tLeave\t0.8\n'
        pairs = read_pairs(write(tmp_path / "p.tsv", text))
        assert pairs.sentences1 == ['"Hi there', "A", '"Go" away']
        assert any("double quotes are taken as part of the text" in note for note in pairs.notes)

    def test_a_tsv_that_quotes(self, tmp_path: Path) -> None:
        pairs = read_pairs(write(tmp_path / "p.tsv", '"a ""b"""\tx\t0.5\n'))
        assert pairs.sentences1 == ['a "b"']

    def test_windows_lines_and_blank_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "p.csv"
        path.write_bytes(b'a,b,score\r\n\r\n"x, and\r\nmore",y,1\r\n')
        assert read_pairs(str(path)).sentences1 == ["x, and\r\nmore"]


class TestArguments:
    @pytest.mark.parametrize("source", ["", " ", None, 3])
    def test_no_source(self, source: Any) -> None:
        with pytest.raises(DataError, match="must be the path of a file or the name of a dataset"):
            read_pairs(source)

    def test_columns_and_score_range(self, tmp_path: Path) -> None:
        path = write(tmp_path / "p.csv", "x,y,3\n")
        assert read_pairs(path, columns=[1, 2, 3], score_range=(0, 5)).scores == [0.6]  # type: ignore[list-item]
        with pytest.raises(DataError, match="takes two text columns and the label column, got 1: a,b,c"):
            read_pairs(path, columns="a,b,c")
        with pytest.raises((TypeError, ValueError), match="score_range must be"):
            read_pairs(path, score_range="0,5")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"score_range\[0\] must be below score_range\[1\], got 5 and 0"):
            read_pairs(path, score_range=(5, 0))


class TestBadRows:
    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("x,y,1\nx,z,high\n", r"label in column 'score' is not a number in line 3: 'high'"),
            ("x,y,1\nx,z,\nx,z,\n", r"not a number in lines 3, 4: ''"),
            ("x,y,nan\nx,z,1\n", r"not a number in line 2: 'nan'"),
            ("x,y,inf\n", r"not a number in line 2"),
            ("x,y,1_000\n", r"not a number in line 2: '1_000'"),
            ("x,,1\n", r"column 'b' must hold texts, but line 2 hold\(s\) ''"),
            ("x,y,1\n  ,z,1\n", r"column 'a' must hold texts, but line 3 hold\(s\) '  '"),
            ("x,y,0\nx,z,4.5\n", r"labels in column 'score' range from 0 to 4.5, .*: --score-range 0,5"),
            ("x,y,5\nx,z,5\n", r"labels in column 'score' range from 5 to 5, .*--score-range 0,5 \(a guess\)$"),
            ("x,y,-3\n", r"labels in column 'score' range from -3 to -3, .*--score-range -3,0 \(a guess\)$"),
        ],
    )
    def test_refused_with_the_line(self, tmp_path: Path, rows: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_pairs(write(tmp_path / "p.csv", "a,b,score\n" + rows), header=True)

    def test_outside_the_score_range(self, tmp_path: Path) -> None:
        path = write(tmp_path / "p.csv", "a,b,score\n" + "x,y,1\n" * 3 + "x,y,6\n" * 9)
        with pytest.raises(DataError, match=r"outside --score-range 0,5 in lines 5, 6, 7, 8, 9 and 4 more: 6"):
            read_pairs(path, score_range=(0, 5))

    def test_texts_that_are_none(self, tmp_path: Path) -> None:
        path = write(tmp_path / "p.jsonl", '{"a": "x", "b": "y", "score": 1}\n{"a": "x", "b": null, "score": 1}\n')
        with pytest.raises(DataError, match=r"column 'b' must hold texts, but line 2 hold\(s\) None"):
            read_pairs(path)


class TestSplit:
    def test_sets_rows_aside(self, tmp_path: Path) -> None:
        path = write(tmp_path / "p.csv", "a,b,score\n" + "".join(f"x{i},y,0.5\n" for i in range(20)))
        rest, part = read_pairs(path).split("test", 0.1)
        assert (len(rest), len(part)) == (18, 2)
        assert not set(rest.sentences1) & set(part.sentences1)
        assert "2 of 20 rows of p.csv set aside at random as the test split (seed 0)" in rest.notes[-1]

    def test_too_few(self, tmp_path: Path) -> None:
        pairs = read_pairs(write(tmp_path / "p.csv", "a,b,score\nx,y,1\n"))
        with pytest.raises(DataError, match="too few to set some aside as the test split"):
            pairs.split("test", 0.1)


def graded(rows: Sequence[tuple[str, str, float]]) -> GradedPairs:
    columns = dict(zip(("sentence1", "sentence2", "score"), map(list, zip(*rows, strict=True)), strict=True))
    return GradedPairs(datasets.Dataset.from_dict(columns), "pairs.csv")


def rows_of(examples: Examples) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in examples.dataset]


QUESTIONS = graded(
    [
        ("q1", "a", 0), ("q1", "b", 1), ("q1", "c", 0), ("q1", "d", 1), ("q1", "e", 0),
        ("q2", "f", 0), ("q2", "g", 1),
        ("q3", "all", 1), ("q3", "right", 1),
        ("q4", "alone", 1),
    ]
)  # fmt: skip
GRADED = graded([("x", "y", 0.9), ("z", "x", 0.2), ("x", "w", 0.5), ("u", "v", 1.0), ("s", "s", 0.4)])
UNIQUE = graded([(f"x{i}", f"y{i}", i / 10) for i in range(10)])


class TestGroups:
    def test_how_pairs_make_groups(self) -> None:
        assert QUESTIONS.grouping() == "first"
        assert GRADED.grouping() == "either"
        assert UNIQUE.grouping() is None

    def test_by_first_text(self) -> None:
        first, *_, last = QUESTIONS.groups("first")
        assert (first.anchor, first.others, first.labels) == ("q1", list("abcde"), [0, 1, 0, 1, 0])
        assert (last.anchor, last.rows) == ("q4", [9])

    def test_by_either_side(self) -> None:
        groups = {group.anchor: group for group in GRADED.groups("either")}
        assert (groups["x"].others, groups["x"].rows) == (["y", "z", "w"], [0, 1, 2])
        assert groups["z"].others == ["x"]
        assert groups["s"].others == ["s"]  # once, though it stands on both sides


class TestLists:
    def test_positives_first_then_the_others_in_order(self) -> None:
        examples = as_lists(QUESTIONS, "first", 4, 0.8)
        assert examples.dataset.column_names == ["anchor", "doc_1", "doc_2", "doc_3", "doc_4", "label"]
        first, second = rows_of(examples)
        assert first == ("q1", "b", "d", "a", "c", [1, 1, 0, 0])
        assert second[:5] == ("q2", "g", "f", "", "")
        assert second[5][:2] == [1, 0]
        assert all(math.isnan(label) for label in second[5][2:])
        assert examples.noun == "lists"
        assert examples.fewest_texts is None
        assert examples.notes == [
            "pairs.csv: 4 groups by first text; left out: 1 with a single candidate, 1 whose labels are all equal",
            "pairs.csv: 2 lists of 2 to 4 candidates, 6 in all; 1 more of 1 long list left out (--list-size 4)",
        ]

    def test_a_list_always_keeps_room_for_a_negative(self) -> None:
        assert rows_of(as_lists(QUESTIONS, "first", 2, 0.8))[0] == ("q1", "b", "a", [1, 0])

    def test_graded_labels_on_either_side(self) -> None:
        examples = as_lists(GRADED, "either", 16, 0.8)
        assert rows_of(examples) == [("x", "y", "z", "w", [0.9, 0.2, 0.5])]
        assert "groups by text on either side, as first texts hardly repeat" in examples.notes[0]
        # Where the threshold does not part a list, its highest label does.
        assert rows_of(as_lists(GRADED, "either", 2, 0.95))[0] == ("x", "y", "z", [0.9, 0.2])
        assert rows_of(as_lists(GRADED, "either", 2, 0.1))[0] == ("x", "y", "z", [0.9, 0.2])

    def test_a_repeated_candidate_counts_once(self) -> None:
        pairs = graded([("q", "a", 0), ("q", "b", 0), ("q", "a", 1)])
        examples = as_lists(pairs, "first", 16, 0.8)
        assert rows_of(examples) == [("q", "a", "b", [1, 0])]
        assert "1 repeated candidate taken once, with the highest label" in examples.notes[0]


class TestTriplets:
    def test_positives_take_turns(self) -> None:
        examples = as_triplets(QUESTIONS, "first", 4, 0.8)
        assert rows_of(examples) == [
            ("q1", "b", "a"), ("q1", "d", "c"), ("q1", "b", "c"), ("q1", "d", "e"), ("q2", "g", "f"),
        ]  # fmt: skip
        assert examples.dataset.column_names == ["anchor", "positive", "negative"]
        assert examples.fewest_texts == 2
        assert examples.notes[1] == "pairs.csv: 5 triplets of 2 texts; 2 more left out (--list-size 4)"

    def test_the_largest_differences_first(self) -> None:
        assert rows_of(as_triplets(GRADED, "either", 2, 0.8)) == [("x", "y", "z"), ("x", "y", "w")]
        assert set(rows_of(as_triplets(GRADED, "either", 9, 0.8))) == {
            ("x", "y", "z"),
            ("x", "y", "w"),
            ("x", "w", "z"),
        }

    def test_every_triplet_where_there_is_room(self) -> None:
        labels = {"a": 0.0, "b": 1.0, "c": 0.5, "d": 0.5, "e": 0.9}
        pairs = graded([("q", text, label) for text, label in labels.items()])
        found = rows_of(as_triplets(pairs, "first", 100, 0.8))
        expected = {("q", p, n) for p in labels for n in labels if labels[p] > labels[n]}
        assert len(found) == len(expected)
        assert set(found) == expected


class TestPositives:
    def test_without_hard_negatives(self) -> None:
        examples = as_positives(QUESTIONS, "first", 16, 0.8)  # q3 and q4 have none
        assert examples.dataset.column_names == ["anchor", "positive"]
        assert len(examples) == 6
        assert "only 3 of them have a candidate of the same text with a lower label" in examples.notes[0]
        assert as_positives(UNIQUE, None, 16, 0.8).notes == [
            "pairs.csv: 2 pairs with a label of at least 0.8 are positives, without hard negatives: none of them has a "
            "candidate of the same text with a lower label"
        ]

    def test_with_hard_negatives(self) -> None:
        pairs = graded(
            list(zip(*(QUESTIONS.dataset[:7][name] for name in QUESTIONS.dataset.column_names), strict=True))
        )
        examples = as_positives(pairs, "first", 16, 0.8)
        assert rows_of(examples) == [("q1", "b", "a"), ("q1", "d", "c"), ("q2", "g", "f")]
        assert examples.fewest_texts == 2

    def test_the_few_without_one_are_left_out(self) -> None:
        rows = [(f"q{i}", f"{kind}{i}", label) for i in range(10) for kind, label in (("good", 1.0), ("bad", 0.0))]
        examples = as_positives(graded([*rows, ("q", "good", 1.0)]), "first", 16, 0.8)
        assert len(examples) == 10
        assert (
            "each with a hard negative, a candidate of the same text with a lower label (1 without one left out)"
            in (examples.notes[0])
        )

    def test_a_pair_rated_twice_is_no_negative_of_itself(self) -> None:
        twice = [(f"q{i}", f"good{i}", label) for i in range(6) for label in (0.2, 1.0, 0.9)]
        examples = as_positives(graded(twice), "first", 16, 0.8)
        assert rows_of(examples) == [(f"q{i}", f"good{i}") for i in range(6)]
        assert examples.notes[0].endswith("; 12 repeated pairs taken once, with the highest label")
        more = [(f"q{i}", f"bad{i}", 0.0) for i in range(6)]
        examples = as_positives(graded([*twice, *more]), "first", 16, 0.8)
        assert rows_of(examples) == [(f"q{i}", f"good{i}", f"bad{i}") for i in range(6)]
        # On whichever side the texts stand.
        both = graded([("x", "y", 1.0), ("y", "x", 0.1), ("x", "z", 0.0)])
        assert rows_of(as_positives(both, "either", 16, 0.8)) == [("x", "y", "z")]

    def test_a_label_on_the_threshold_counts(self) -> None:
        assert len(as_positives(graded([("a", "b", 4 / 5 - 1e-16), ("c", "d", 0.79)]), None, 16, 0.8)) == 1


def test_pairs_stay_as_they_are() -> None:
    assert as_pairs(QUESTIONS, None, 16, 0.8).dataset is QUESTIONS.dataset


@pytest.mark.parametrize(
    ("layout", "pairs", "message"),
    [
        (as_lists, UNIQUE, r"no text occurs in several pairs, so there are no lists to make\. Give data"),
        (as_triplets, UNIQUE, r"no triplets to make. .* or train with --loss pointwise"),
        (
            as_lists,
            graded([("q", "a", 1), ("q", "b", 1)]),
            "1 whose labels are all equal. So there are no lists to make",
        ),
        (as_positives, graded([("q", "a", 0), ("r", "b", 0.5)]), r"at least 0.8 \(they go from 0 to 0.5\).* Lower"),
    ],
)
def test_a_layout_that_cannot_be_had(layout: Callable[..., Examples], pairs: GradedPairs, message: str) -> None:
    with pytest.raises(DataError, match=message):
        layout(pairs, pairs.grouping(), 16, 0.8)


class TestSplitOfGroups:
    def test_a_question_stays_whole(self) -> None:
        pairs = graded([(f"q{i % 20}", f"a{i}", i % 2) for i in range(100)])
        rest, part = pairs.split("test", 0.1, by="first")
        assert len(set(part.sentences1)) == 2
        assert (len(rest), len(part)) == (90, 10)
        assert not set(rest.sentences1) & set(part.sentences1)
        assert rest.notes[-1].endswith("as the test split (seed 0, rows that share the first text together)")

    def test_no_text_on_both_sides(self) -> None:
        pairs = graded([(f"t{i}", f"t{(i * i) % 97 + 100 * (i % 3)}", 0.5) for i in range(60)])
        rest, part = pairs.split("test", 0.3, by="either")
        assert len(rest) + len(part) == 60
        assert len(part) > 0
        texts = [set(side.sentences1) | set(side.sentences2) for side in (rest, part)]
        assert not texts[0] & texts[1]

    @pytest.mark.parametrize("by", ["first", "either"])
    def test_one_long_text_costs_little_memory(self, by: By) -> None:
        pairs = graded([(f"q{i // 2}" if i else "x" * 100_000, f"a{i}", i % 2) for i in range(500)])
        tracemalloc.start()
        try:
            pairs.split("test", 0.1, by=by)
            assert tracemalloc.get_traced_memory()[1] < 20e6  # 200 MB where each text takes the room of the longest
        finally:
            tracemalloc.stop()

    def test_the_same_rows_as_ever_are_set_aside(self) -> None:
        rows = [(f"q{7 * i % 10}", f"a{3 * i % 20}", 0.5) for i in range(30)]
        members = np.unique([first for first, _, _ in rows], return_inverse=True)[1]
        expected = next(GroupShuffleSplit(1, test_size=2, random_state=3).split(members, groups=members))[1]
        part = graded(rows).split("test", 0.2, seed=3, by="first")[1]
        assert values(part) == [rows[row] for row in expected]

    def test_too_few(self) -> None:
        with pytest.raises(DataError, match=r"has 1 group\(s\) of rows that share a text, too few"):
            graded([("q", "a", 1), ("q", "b", 0)]).split("test", 0.1, by="first")


class TestTables:
    def test_numbers_are_numbers_and_names_of_digits_are_not(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        path.write_text("text,grade,share,code,gap\na,1,0.5,007,\nb,2,1,008,3\n", encoding="utf-8")
        table = read_table(str(path))
        assert table[:] == {
            "text": ["a", "b"], "grade": [1, 2], "share": [0.5, 1.0], "code": ["007", "008"], "gap": [None, 3],
        }  # fmt: skip

    def test_without_a_header_columns_are_numbered(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        path.write_text("a plane,a jet,4.5\na dog,a cat,1\n", encoding="utf-8")
        assert read_table(str(path)).column_names == ["1", "2", "3"]
        assert read_table(str(path), header=True).column_names == ["a plane", "a jet", "4.5"]

    @pytest.mark.parametrize("delimiter", [";", "\t", "|"])
    @pytest.mark.parametrize("header", ["satz1{0}satz2{0}score\n", ""])
    def test_other_delimiters_and_decimal_commas(self, delimiter: str, header: str, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        lines = [f"ein Satz, Nummer {i}{delimiter}noch, einer{delimiter}0,{i}" for i in range(9)]
        path.write_text(header.format(delimiter) + "\n".join(lines), encoding="utf-8")
        pairs = read_pairs(str(path))
        assert pairs.scores == [i / 10 for i in range(9)]
        assert pairs.sentences1[0] == "ein Satz, Nummer 0"
        assert any("cells are separated by" in note for note in pairs.notes)
        assert list(read_table(str(path))[:].values())[2] == [i / 10 for i in range(9)]

    def test_a_text_with_a_semicolon_is_no_table(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        path.write_text("text\na; b\nc; d\n", encoding="utf-8")
        assert read_table(str(path))[:] == {"text": ["a; b", "c; d"]}

    def test_the_example_of_columns_is_a_likely_one(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        rows = [f"{i},{i + 100},what is it {i},what was it {i},{i % 2}" for i in range(20)]
        path.write_text("id,qid,question1,question2,is_duplicate\n" + "\n".join(rows), encoding="utf-8")
        with pytest.raises(DataError, match="--columns question1,question2,is_duplicate"):
            read_pairs(str(path))

    def test_a_column_of_one_value_is_no_label(self, tmp_path: Path) -> None:
        rows = [f"a query for {i},us,some product {3 * i % 17} of it,{i % 9 / 8}" for i in range(40)]
        path = write(tmp_path / "table.csv", "\n".join(["query,locale,product,relevance", *rows]))
        with pytest.raises(DataError, match="for example --columns query,product,relevance"):
            read_pairs(path)
