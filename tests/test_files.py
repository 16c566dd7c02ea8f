"""Reading the user's files: dialects, headers, numbers, JSON, compressed files; what is said, and what is refused."""

from __future__ import annotations

import bz2
import cProfile
import csv
import gzip
import json
import lzma
import pstats
import random
import shutil
import subprocess
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from selective_st.cli import app
from selective_st.conversion import flatten_cells
from selective_st.errors import DataError
from selective_st.files import FileTable, read_file, read_table
from selective_st.registry import check_dataset, detect_format, suggest_losses
from selective_st.registry.columns import nested_fields

N = 20
WORDS = "red dog runs over the green hill while seven birds sing along a quiet river bank today"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def texts(seed: int, words: int = 5, number: int = N) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS.split(), k=words)) for _ in range(number)]


FIRST, SECOND = texts(1), texts(2)


def written(path: Path, rows: Sequence[Sequence[Any]], **dialect: Any) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **dialect).writerows(rows)
    return str(path)


def put(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def lines_of(*values: Any) -> str:
    return "".join(f"{json.dumps(value)}\n" for value in values)


def rows_of(table: FileTable) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.dataset]


def says(table: FileTable, *words: str) -> bool:
    return any(all(word in note for word in words) for note in table.notes)


class TestDelimiters:
    @pytest.mark.parametrize("delimiter", [";", "\t", "|"])
    def test_a_text_that_holds_the_delimiter_is_named_with_its_line(self, tmp_path: Path, delimiter: str) -> None:
        rows = [[first, second, str(i)] for i, (first, second) in enumerate(zip(FIRST, SECOND, strict=True))]
        lines = [delimiter.join(row) for row in [["sentence1", "sentence2", "score"], *rows]]
        lines[12] = f"this{delimiter} and that{delimiter}{lines[12]}"
        with pytest.raises(DataError, match=r"^p\.csv has 3 columns, but 5 cells in line 13\. Mend it: .* quotes"):
            read_file(put(tmp_path / "p.csv", "\n".join(lines)))

    @pytest.mark.parametrize("delimiter", [";", "\t", "|"])
    @pytest.mark.parametrize("place", [1, 2, N])
    def test_a_bare_quote_is_text(self, tmp_path: Path, delimiter: str, place: int) -> None:
        rows = [
            ["sentence1", "sentence2", "score"],
            *([a, b, str(i)] for i, (a, b) in enumerate(zip(FIRST, SECOND, strict=True))),
        ]
        rows[place][0] = f'"{rows[place][0]}'
        found = read_file(put(tmp_path / "p.csv", "\n".join(map(delimiter.join, rows))))
        assert found.dataset["sentence1"][:] == [row[0] for row in rows[1:]]
        assert found.dataset["score"][:] == list(range(N))
        assert says(found, "double quotes are taken as part of the text")
        assert says(found, f"cells are separated by {delimiter!r}")

    def test_a_bare_quote_among_decimal_commas(self, tmp_path: Path) -> None:
        rows = [f"{a};{b};0,{i}" for i, (a, b) in enumerate(zip(FIRST[:9], SECOND, strict=False))]
        rows[4] = f'"{rows[4]}'
        found = read_file(put(tmp_path / "p.csv", "\n".join(rows)))
        assert found.dataset["3"][:] == [i / 10 for i in range(9)]
        assert found.dataset["1"][4] == f'"{FIRST[4]}'

    def test_quotes_and_a_row_without_cells(self, tmp_path: Path) -> None:
        found = read_file(put(tmp_path / "p.tsv", f'"text"\t"label"\n"{FIRST[0]}"\t"1"\n\t\n"{FIRST[1]}"\t"0"\n'))
        assert found.dataset[:] == {"text": FIRST[:2], "label": [1, 0]}

    def test_quotes_within_a_text(self, tmp_path: Path) -> None:
        found = read_file(put(tmp_path / "p.csv", 'text;label\nsay "yes" now;1\n"no" he said;0\nthe end;1\n'))
        assert rows_of(found) == [('say "yes" now', 1), ('"no" he said', 0), ("the end", 1)]

    @pytest.mark.parametrize("ending", ["csv", "tsv"])
    def test_cells_in_quotes_over_several_lines(self, tmp_path: Path, ending: str) -> None:
        rows = [["text", "label"], ["one\ntwo", "1"], ['a "b"; c,\td', "0"], ["x", "1"]]
        path = written(tmp_path / f"p.{ending}", rows, delimiter=";" if ending == "csv" else "\t")
        found = read_file(path)
        assert rows_of(found) == [("one\ntwo", 1), ('a "b"; c,\td', 0), ("x", 1)]
        assert list(found.lines or ()) == [2, 4, 5]
        assert says(found, "1 row(s) over several lines, from line 2")

    def test_an_open_quote_between_commas_is_refused(self, tmp_path: Path) -> None:
        content = "a,b\n" + "".join(f"{text},1\n" for text in FIRST[:4]) + '"x,2\ny,3\n'
        with pytest.raises(
            DataError, match=r"unexpected end of data, in the row that begins in line 6\. Check the quo"
        ):
            read_file(put(tmp_path / "p.csv", content))

    @pytest.mark.parametrize("head", ["sentence1;sentence2;score", "text|label", "a\tb"])
    def test_a_header_that_alone_is_parted(self, tmp_path: Path, head: str) -> None:
        path = put(tmp_path / "p.csv", "\n".join([head, *FIRST]))
        with pytest.raises(DataError, match=r"first row holds .*, but most rows below have not as many.*in quotes: \""):
            read_file(path)
        found = read_file(put(tmp_path / "p.csv", "\n".join([f'"{head}"', *FIRST])), header=True)  # the mend it names
        assert found.dataset[:] == {head: FIRST}

    def test_commas_and_spaces_in_texts_part_nothing(self, tmp_path: Path) -> None:
        rows = [f"{a}, {b};{b}, or {a};{i},5" for i, (a, b) in enumerate(zip(FIRST, SECOND, strict=True))]
        found = read_file(put(tmp_path / "p.csv", "\n".join(rows)))
        assert found.dataset["3"][:] == [i + 0.5 for i in range(N)]
        assert found.dataset["1"][0] == f"{FIRST[0]}, {SECOND[0]}"
        only = read_file(
            put(tmp_path / "p.csv", "text\n" + "".join(f"{a}; {b}\n" for a, b in zip(FIRST, SECOND, strict=True)))
        )
        assert only.dataset.column_names == ["text"]
        in_tsv = read_file(put(tmp_path / "p.tsv", "".join(f"{a}, {b}\n" for a, b in zip(FIRST, SECOND, strict=True))))
        assert in_tsv.dataset.column_names == ["1"]

    def test_the_delimiter_that_excel_is_told(self, tmp_path: Path) -> None:
        found = read_file(put(tmp_path / "p.csv", "sep=;\na;b\nx, y;1\nz;2\n"))
        assert found.dataset[:] == {"a": ["x, y", "z"], "b": [1, 2]}
        assert list(found.lines or ()) == [3, 4]

    @pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
    def test_ends_of_lines(self, tmp_path: Path, ends: str) -> None:
        found = read_file(put(tmp_path / "p.csv", ends.join(["a,b", "x,1", "", ",", "y,2", ""])))
        assert found.dataset[:] == {"a": ["x", "y"], "b": [1, 2]}
        assert list(found.lines or ()) == [2, 5]
        assert says(found, "1 row(s) without a filled cell left out, in line 4")


SCORES = [i / N for i in range(N)]
LABELS = [["yes", "no"][i % 2] for i in range(N)]
HEADERS: list[tuple[list[str], list[Sequence[Any]]]] = [
    (["sentence1", "sentence2", "score"], [FIRST, SECOND, SCORES]),
    (["text", "2", "score"], [FIRST, SECOND, SCORES]),
    (["0", "1", "2"], [FIRST, SECOND, SCORES]),
    (["", "0", "1", "2"], [range(N), FIRST, SECOND, SCORES]),
    (["1", "2"], [FIRST, SECOND]),
    (["text", "2019", "2020"], [FIRST, range(N), range(30, 30 + N)]),
    (["question", "answer"], [FIRST, SECOND]),
    (["Frage", "Antwort"], [FIRST, SECOND]),
    (
        ["问题", "答案"],
        [["今天天气怎么样呢我想知道", "明天会下雨吗请告诉我"] * 9, ["今天天气很好阳光明媚", "明天可能会下雨"] * 9],
    ),
    (["Original Text", "Shortened"], [texts(3, 12), texts(4, 6)]),
    (["a", "b", "gold"], [FIRST, SECOND, LABELS]),
    (["title", "share"], [texts(3, 2), [f"{i} %" for i in range(N)]]),
    (["query", "when"], [FIRST, [f"2024-01-{i + 1:02d}" for i in range(N)]]),
    (["qid", "text"], [[f"q{i}" for i in range(N)], FIRST]),
    (["text", "label"], [FIRST, [*range(N - 2), "unknown", "NA"]]),
    (["score", "text"], [[0.5, "NA", *SCORES[2:]], FIRST]),
]
NO_HEADERS: list[list[Sequence[Any]]] = [
    [FIRST, SECOND],
    [FIRST, SECOND, SCORES],
    [FIRST, SECOND, LABELS],
    [[f"{text}?" for text in texts(1, 2)], texts(2, 1)],
    [FIRST, ["NA", "n/a", *range(N - 2)]],
    [FIRST, [0, "unknown", *range(2, N)]],
    [["1984", *texts(3, 2, N - 1)], SECOND],
    [["今天天气怎么样", "明天会下雨吗请告诉我"] * 9, ["今天天气很好阳光明媚", "明天可能会下雨"] * 9],
    [[f"{text}." for text in FIRST]],
    [range(N), FIRST, SECOND],
    [FIRST[:1], SECOND[:1]],
]


class TestHeaders:
    @pytest.mark.parametrize(("names", "columns"), HEADERS, ids=lambda value: ",".join(map(str, value))[:30])
    def test_found(self, tmp_path: Path, names: list[str], columns: list[Sequence[Any]]) -> None:
        rows = [names, *zip(*columns, strict=True)]
        found = read_file(written(tmp_path / "p.csv", rows))
        assert found.named
        assert found.dataset.column_names == [name or "Unnamed: 0" for name in names]
        assert len(found.dataset) == len(columns[0])
        assert says(found, "p.csv: the first row is a header (", "if it is data, pass --no-header")
        assert len(read_file(written(tmp_path / "p.csv", rows), header=False).dataset) == len(columns[0]) + 1

    @pytest.mark.parametrize("columns", NO_HEADERS, ids=lambda value: str([column[0] for column in value])[:30])
    def test_none(self, tmp_path: Path, columns: list[Sequence[Any]]) -> None:
        rows = list(zip(*columns, strict=True))
        found = read_file(written(tmp_path / "p.csv", rows))
        assert not found.named
        assert found.dataset.column_names == [str(i + 1) for i in range(len(columns))]
        assert len(found.dataset) == len(rows)
        assert list(found.lines or ()) == list(range(1, len(rows) + 1))
        assert says(found, "p.csv: no header row (", "if it is one, pass --header")

    def test_where_nothing_tells_the_usual_is_said(self, tmp_path: Path) -> None:
        found = read_file(put(tmp_path / "p.csv", "cat,tiger\ndog,wolf\ncow,bull\n"))
        assert found.dataset.column_names == ["cat", "tiger"]
        assert says(found, "(no cell of the first row is a number)", "pass --no-header")

    def test_only_a_header(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no rows of data below its header.*first row is a header.*--no-header"):
            read_file(put(tmp_path / "p.csv", "a,b,score\n"))

    def test_as_told(self, tmp_path: Path) -> None:
        path = put(tmp_path / "p.csv", "a,1\nb,2\n")
        assert read_file(path, header=True).notes == ["p.csv: the first row is a header (as told): a, 1"]
        assert read_file(path, header=False).notes == ["p.csv: no header row (as told); columns are numbered 1 to 2"]

    def test_names_that_would_tear_a_line(self, tmp_path: Path) -> None:
        found = read_file(put(tmp_path / "p.csv", '"sen\r\ntence","sc\x1bore"\n' + "".join(f"{t},1\n" for t in FIRST)))
        assert found.dataset.column_names == ["sen tence", "sc\x1bore"]
        assert says(found, r"sen tence, sc\x1bore")


class TestNumbers:
    @pytest.mark.parametrize(
        ("cells", "values"),
        [
            (["1234567890123456789", "1234567890123456788"], [1234567890123456789, 1234567890123456788]),
            (["9223372036854775807", "-9223372036854775808"], [2**63 - 1, -(2**63)]),
            (["9007199254740993", "", "+5"], [9007199254740993, None, 5]),
            (["0.5", "1", "1e3", ".25", "", "-2."], [0.5, 1.0, 1000.0, 0.25, None, -2.0]),
            (["1e-105", "0.5"], [1e-105, 0.5]),
            ([" 1 ", "2"], [1, 2]),
            (["9007199254740992", "0.5"], [9007199254740992.0, 0.5]),
        ],
    )
    def test_typed_without_loss(self, tmp_path: Path, cells: list[str], values: list[Any]) -> None:
        found = read_file(written(tmp_path / "p.csv", [["id", "text"], *zip(cells, FIRST, strict=False)]))
        assert found.dataset["id"][:] == values
        assert [type(value) for value in found.dataset["id"]] == [type(value) for value in values]
        assert found.texts("id") == cells

    @pytest.mark.parametrize(
        ("cells", "note"),
        [
            (["9223372036854775808", "1"], "more digits than 64 bits keep"),
            (["12345678901234567890", "12345678901234567891"], "more digits than 64 bits keep"),
            (["1234567890123456789", "0.5"], "more digits than 64 bits keep"),
            (["1234567890123456789.0", "1.0"], "more digits than 64 bits keep"),
            (["1e999", "1.0"], "more digits than 64 bits keep"),
            (["007", "008"], ""),
            (["0x10", "0x11"], ""),
            (["1_000", "2_000"], ""),
            (["٣", "٤"], ""),
        ],
    )
    def test_text_where_digits_would_be_lost(self, tmp_path: Path, cells: list[str], note: str) -> None:
        found = read_file(written(tmp_path / "p.csv", [["id", "text"], *zip(cells, FIRST, strict=False)]), header=True)
        assert found.dataset["id"][:] == cells
        assert says(found, "column 'id'", note) == bool(note)

    @pytest.mark.parametrize(
        ("cells", "note"),
        [
            ([*range(49), "high"], "'high' in line 51"),
            (["NA", "x", *range(48)], "'NA' in line 2, 'x' in line 3"),
            ([*["NA"] * 6, "x", *range(43)], "'NA' in lines 2, 3, 4, 5, 6 and 1 more, 'x' in line 8"),
            ([*"abcde", *range(45)], "'a' in line 2, 'b' in line 3, 'c' in line 4 and 2 other words"),
            ([1, 2, "NA", "NA", "NA"], "'NA' in lines 4, 5, 6"),
            ([0.5, "inf", 0.25, 0.1, 0.3], "'inf' in line 3"),
            ([1, 2, 3, 4, "1e9999"], "'1e9999' in line 6"),
        ],
    )
    def test_a_few_words_among_numbers_are_named(self, tmp_path: Path, cells: list[Any], note: str) -> None:
        rows = [["score", "text"], *zip(cells, texts(1, number=50), strict=False)]
        found = read_file(written(tmp_path / "p.csv", rows))
        assert found.dataset["score"][:] == [str(cell) for cell in cells]
        assert says(found, f"column 'score' holds numbers, but {note}: it stays text; mend these lines")

    def test_texts_with_some_numbers_are_texts(self, tmp_path: Path) -> None:
        rows = [["answer", "text"], *zip(["42", "7", "a dog", "a cat", "Paris", "11"], FIRST, strict=False)]
        found = read_file(written(tmp_path / "p.csv", rows))
        assert not says(found, "column 'answer'")

    @pytest.mark.parametrize(
        ("cells", "values", "note"),
        [
            (["0,5", "0,25", "1", ""], [0.5, 0.25, 1.0, None], "has decimal commas"),
            (["1,234", "2,500", "1"], ["1,234", "2,500", "1"], "commas may part thousands or decimals"),
            (["0,5", "0.25", "1,5"], ["0,5", "0.25", "1,5"], "commas may part thousands or decimals"),
        ],
    )
    def test_decimal_commas(self, tmp_path: Path, cells: list[str], values: list[Any], note: str) -> None:
        rows = [["score", "text"], *zip(cells, FIRST, strict=False)]
        found = read_file(written(tmp_path / "p.csv", rows, delimiter=";"))
        assert found.dataset["score"][:] == values
        assert says(found, "column 'score'", note)


class TestJson:
    def test_arrays_are_columns(self, tmp_path: Path) -> None:
        found = read_file(put(tmp_path / "p.jsonl", lines_of(["a", "b", 0.5], ["c", "d", 1])))
        assert found.dataset[:] == {"1": ["a", "c"], "2": ["b", "d"], "3": [0.5, 1.0]}
        assert not found.named
        assert list(found.lines or ()) == [1, 2]
        assert says(found, "each line is an array; its values are the columns 1 to 3")

    def test_sets_are_pairs(self, tmp_path: Path) -> None:
        content = lines_of({"set": ["a", "b"]}, {"set": ["c", "d", "e"]}, {"set": ["f"]}, {"set": ["g", "g", " "]})
        found = read_file(put(tmp_path / "p.jsonl", content))
        assert rows_of(found) == [("a", "b"), ("c", "d"), ("d", "e"), ("e", "c")]
        assert found.dataset.column_names == ["anchor", "positive"]
        assert list(found.lines or ()) == [1, 2, 2, 2]
        assert says(found, "4 sets of texts are made 4 pairs", "2 of fewer than two texts left out")
        numbers = {"set": [1, 2]}
        assert list(read_file(put(tmp_path / "p.jsonl", lines_of(numbers))).dataset) == [numbers]
        with pytest.raises(DataError, match="no set holds two different texts"):
            read_file(put(tmp_path / "p.jsonl", lines_of({"set": ["a"]})))

    def test_lists_stay_lists(self, tmp_path: Path) -> None:
        rows = [{"query": "q", "pos": ["a", "b"], "neg": ["c"]}, {"query": "r", "pos": ["d"], "neg": []}]
        assert list(read_file(put(tmp_path / "p.jsonl", lines_of(*rows))).dataset) == rows
        both = {"set": ["a", "b"], "id": 1}
        assert list(read_file(put(tmp_path / "p.jsonl", lines_of(both))).dataset) == [both]

    @pytest.mark.parametrize("ending", ["json", "jsonl"])
    @pytest.mark.parametrize("indent", [None, 2])
    def test_one_array_of_rows(self, tmp_path: Path, ending: str, indent: int | None) -> None:
        rows = [{"a": "x", "b": 1}, {"a": "y", "b": None}]
        found = read_file(put(tmp_path / f"p.{ending}", json.dumps(rows, indent=indent)))
        assert list(found.dataset) == rows
        assert found.lines is None

    def test_keys_that_are_missing_are_none(self, tmp_path: Path) -> None:
        content = lines_of({"a": 1}, {"a": 0.5, "b": "x"}, {"c": [{"d": 1}]}, {"c": [{"e": "y"}]})
        found = read_file(put(tmp_path / "p.jsonl", content))
        assert found.dataset[:] == {
            "a": [1.0, 0.5, None, None],
            "b": [None, "x", None, None],
            "c": [None, None, [{"d": 1, "e": None}], [{"d": None, "e": "y"}]],
        }

    def test_values_as_they_are(self, tmp_path: Path) -> None:
        rows = [{"id": 1234567890123456789, "when": "2020-01-01T00:00:00", "text": "\u2028 \x00 é 🙂", "ok": True}]
        assert list(read_file(put(tmp_path / "p.jsonl", lines_of(*rows))).dataset) == rows

    def test_nothing_in_lists(self, tmp_path: Path) -> None:
        rows = [{"a": [None, None], "b": [], "c": None, "d": {"e": None}}, {"a": [None], "b": [], "c": None, "d": None}]
        assert list(read_file(put(tmp_path / "p.jsonl", lines_of(*rows))).dataset) == rows

    def test_whole_numbers_beyond_64_bits_are_texts(self, tmp_path: Path) -> None:
        found = read_file(put(tmp_path / "p.jsonl", lines_of({"id": 2**64}, {"id": 7}, {"id": None})))
        assert found.dataset["id"][:] == ["18446744073709551616", "7", None]

    def test_values_of_several_types(self, tmp_path: Path) -> None:
        rows: list[dict[str, Any]] = [{"a": 1, "b": [{"x": 1}], "c": {"y": "k"}, "e": None}] * 10_000
        rows += [{"a": 0.5, "b": [{"x": None, "z": [1.5]}], "c": {"w": [1]}, "d": "t"}]
        found = read_file(put(tmp_path / "p.jsonl", lines_of(*rows))).dataset
        first = {"a": 1.0, "b": [{"x": 1, "z": None}], "c": {"y": "k", "w": None}, "e": None, "d": None}
        assert found[0] == found[9_999] == first
        last = {"a": 0.5, "b": [{"x": None, "z": [1.5]}], "c": {"y": None, "w": [1]}, "e": None, "d": "t"}
        assert found[10_000] == last
        with pytest.raises(
            DataError, match="column 'a' cannot hold 1152921504606846977, as in line 10002: Integer value"
        ):
            read_file(put(tmp_path / "p.jsonl", lines_of(*rows, *[{"a": 2**60 + 1}] * 10)))
        lists = [*[{"a": [2**60 + 1]}] * 10_000, {"a": [0.5]}]
        with pytest.raises(DataError, match=r"column 'a' cannot hold \[0.5\], as in line 10001"):
            read_file(put(tmp_path / "p.jsonl", lines_of(*lists)))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{"a": 1}\n{"a": 2\n{"a": 3}\n', r"line 2: Expecting ',' delimiter .*Mend the line"),
            ('{"a": 1\n{"a": 2}\n{"a": 3}\n', r"line 2: Expecting ',' delimiter"),
            ('[\n{"a": 1},\n{"a": 2\n]', r"line 4: Expecting ',' delimiter"),
            ('{"a": 1}\n{"a": 2}\n{"a": 3', r"line 3: Expecting"),
            ('{"a":\n1}\n{"a":\n2}', r"line 3: Extra data .*: jq -c \. p\.jsonl"),
            ('{"a": 1, "a": 2}\n', r"line 1: a key comes twice, .*, in the object with 'a'"),
            (
                '{"a": 1}\n{"a": "NA"}\n{"a": 2}\n',
                r"column 'a' cannot hold \"NA\", as in line 2: .*\. Give each column one",
            ),
            (
                '{"a": "x"}\n{"a": 1}\n{"a": "y"}\n{"a": 2}\n{"a": "z"}',
                r"column 'a' cannot hold 1, as in line 2: Expected bytes",
            ),
            ('{"a": true}\n{"a": 0.5}\n', r"column 'a' cannot hold 0.5, as in line 2"),
            ('{"a": 0.5}\n{"a": true}\n', r"column 'a' cannot hold true, as in line 2: truth values and numbers"),
            ('{"a": [1, true]}\n', r"column 'a' cannot hold \[1, true\], as in line 1"),
            ('{"a": [0.5, true]}\n', r"column 'a' cannot hold \[0.5, true\], as in line 1"),
            ('{"a": [[0.5, true]]}\n', r"column 'a' cannot hold \[\[0.5, true\]\], as in line 1"),
            ('{"a": [{"b": 0.5}]}\n{"a": [{"b": true}]}\n', r"column 'a' cannot hold \[.*, as in line 2"),
            ('{"a": {"b": 1}}\n{"a": {"b": "x"}}\n', r"column 'a' cannot hold \{\"b\": \"x\"\}, as in line 2"),
            ('{"a": ["x"]}\n{"a": "y"}\n', r"column 'a' cannot hold \"y\", as in line 2: cannot mix list"),
            ('["a", "b"]\n["c"]\n', r"line 2 holds an array of 1, but the first row an array of 2"),
            ('["a"]\n{"a": 1}\n', r"line 2 holds an object, but the first row an array"),
            ('{"a": 1}\n["a"]\n', r"line 2 holds an array of 1, but the first row an object"),
            ('"a"\n"b"\n', r"line 1 is \"a\", but must be an object or array: jq -c"),
            ("{}\n", r"line 1 is {}, but must be"),
            ('{"a": 1}\n[]\n', r"line 2 is \[\], but must be"),
            ('{"a": 1}\n{"a": 1e999}\n', r"column 'a' holds an infinite number, or one too large, in line 2"),
            (
                '{"a": {"b": 1.0}}\n{"a": {"b": NaN, "c": [1e999]}}\n',
                r"column 'a' holds an infinite number, .* in line 2",
            ),
            (
                '{"a": [1.0]}\n{"a": [0.5, -Infinity]}\n',
                r"column 'a' holds an infinite number, or one too large, in line 2",
            ),
            ('{"a": "\\ud800"}\n', r"column 'a' cannot hold \"\\ud800\", as in line 1: .*surrogates"),
            (
                '{"a": [18446744073709551616]}\n',
                r"column 'a' cannot hold \[18446744073709551616\], as in line 1: .*too large",
            ),
            ('{"a": 0.5}\n{"a": 1234567890123456789}\n', r"column 'a' cannot hold 1234567890123456789, as in line 2"),
            ('{"a\\u0000": 1}\n', r"line 1: a key .* holds a NUL character, in the object with 'a\\x00'"),
            ('{"a": 1}\n{"b": {"a\\u0000c": 1}}\n', r"line 2: a key .* holds a NUL"),
            ("[]", r" has no rows of data\.$"),
            ('{"a": ' + "[" * 99_999 + "\n", r"line 1: maximum recursion depth"),
            ('{"a": ' + "9" * 5_000 + "}\n", r"line 1: Exceeds the limit"),
            (
                lines_of({"a": {f"key {i}": 1 for i in range(1_001)}}),
                r"column 'a': its objects have more than 1,000 different keys",
            ),
            (
                lines_of(*({f"key {i}": 1} for i in range(1_001))),
                r"its rows have more than 1,000 different keys.* jq -c to_entries",
            ),
            (lines_of([1] * 20_001), r"its rows have more than 20,000 different keys"),
            ("  \n\n", r"is empty"),
        ],
    )
    def test_refused(self, tmp_path: Path, content: str, message: str) -> None:
        with pytest.raises(DataError, match=rf"^p\.jsonl.*{message}"):
            read_file(put(tmp_path / "p.jsonl", content))


ROWS = [["text", "score"], ["a café", 0.5], ["b", 1]]
CONTENTS = {
    "csv": "text,score\na café,0.5\nb,1\n",
    "tsv": "text\tscore\na café\t0.5\nb\t1\n",
    "jsonl": '{"text": "a café", "score": 0.5}\n{"text": "b", "score": 1}\n',
    "json": '[{"text": "a café", "score": 0.5}, {"text": "b", "score": 1}]\n',
}


class TestEncodings:
    @pytest.mark.parametrize("ending", CONTENTS)
    def test_compressed(self, tmp_path: Path, ending: str) -> None:
        for name in (f"p.{ending}.gz", f"P.{ending.upper()}.GZ", f"p.{ending}"):
            found = read_file(put(tmp_path / name, gzip.compress(CONTENTS[ending].encode())), header=True)
            assert found.dataset[:] == {"text": ["a café", "b"], "score": [0.5, 1.0]}
            assert found.notes[0] == f"{name}: compressed by gzip"
        with pytest.raises(DataError, match=r"could not be read: .*get it anew if it is cut off"):
            read_file(put(tmp_path / f"p.{ending}.gz", gzip.compress(CONTENTS[ending].encode())[:-6]))
        plain = read_file(put(tmp_path / f"p.{ending}.gz", CONTENTS[ending]))  # some browsers decompress
        assert len(plain.dataset) == 2

    @pytest.mark.parametrize("ending", CONTENTS)
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_a_mark_is_no_text(self, tmp_path: Path, ending: str, mark: str) -> None:
        found = read_file(put(tmp_path / f"p.{ending}", mark + CONTENTS[ending]), header=True)
        assert found.dataset.column_names == ["text", "score"]

    @pytest.mark.parametrize("ending", CONTENTS)
    @pytest.mark.parametrize("compress", [False, True])
    @pytest.mark.parametrize("encoding", ["latin1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_the_mend_that_is_named_mends(self, tmp_path: Path, ending: str, compress: bool, encoding: str) -> None:
        folder = tmp_path / "it's here"
        folder.mkdir()
        content = CONTENTS[ending].replace("café", "“café”" if encoding == "cp1252" else "café").encode(encoding)
        path = put(folder / f"p.{ending}", gzip.compress(content) if compress else content)
        with pytest.raises(DataError, match=r"^p\.[a-z]+ (is (not )?UTF|holds a NUL .* UTF-16).* line|UTF") as error:
            read_file(path)
        assert "\n" not in str(error.value)
        command = str(error.value).split(": ", 1)[1]
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)
        found = read_file(str(folder / f"utf8.{ending}"), header=True)
        assert "café" in found.dataset["text"][0]

    def test_the_line_of_another_encoding(self, tmp_path: Path) -> None:
        mixed = "text\ncafé\nnaïve\n".encode() + "déjà\n".encode("latin1")
        with pytest.raises(
            DataError, match=r"p\.csv is UTF-8 text, but not in line 4\. .*iconv -c -f utf-8 -t utf-8 p"
        ):
            read_file(put(tmp_path / "p.csv", mixed))
        rows = [{"a": "x"}] * 6 + [{"a": "é"}] * 7
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("latin1")
        with pytest.raises(DataError, match=r"not UTF-8 text in lines 7, 8, 9, 10, 11 and 2 more; convert .*cp1252"):
            read_file(put(tmp_path / "p.jsonl", content))

    def test_a_nul(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"holds a NUL character in line 1\. Leave such out: .*sed") as error:
            read_file(put(tmp_path / "p.csv", "text,sc\0ore\na longer line of text,1\n"))
        subprocess.run(str(error.value).split(": ", 1)[1], shell=True, check=True)
        assert read_file(str(tmp_path / "utf8.csv"), header=True).dataset.column_names == ["text", "score"]


class TestSources:
    @pytest.mark.parametrize("name", ["~x.jsonl", "~nobody.jsonl", "#1 [a]*.jsonl", "-x.jsonl"])
    def test_odd_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.chdir(tmp_path)
        put(tmp_path / name, '{"a": "x"}\n')
        assert read_table(name)[:] == {"a": ["x"]}
        assert read_table(str(tmp_path / name))[:] == {"a": ["x"]}

    def test_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        put(tmp_path / "x.jsonl", '{"a": "x"}\n')
        assert read_table("~/x.jsonl")[:] == {"a": ["x"]}
        with pytest.raises(DataError, match=r"~nobody-here/x\.jsonl does not exist"):
            read_table("~nobody-here/x.jsonl")

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "link.csv").symlink_to(tmp_path / "gone")
        (tmp_path / "zero.csv").symlink_to("/dev/zero")
        with pytest.raises(DataError, match="does not exist"):
            read_file(str(tmp_path / "link.csv"))
        with pytest.raises(DataError, match="is no regular file"):
            read_file(str(tmp_path / "zero.csv"))
        with pytest.raises(DataError, match=r"unknown ending '\.gz'|unknown ending ''"):
            read_file(put(tmp_path / "x.gz", b"x"))


class TestParquet:
    @pytest.mark.parametrize(
        ("column", "message"),
        [
            (pa.array([0.5, float("inf")]), r"column 'b' holds an infinite number, .*, in row 2"),
            (pa.array([[0.5], [1.0, float("-inf")]]), r"column 'b' holds an infinite number, .*, in row 2"),
            (pa.array([[[float("inf")]], []]), r"column 'b' holds an infinite number, .*, in row 1"),
            (
                pa.array([b"ok", b"caf\xe9"]).view(pa.string()),
                r"column 'b' holds broken values \(.*Invalid UTF8",
            ),
        ],
    )
    def test_refused_with_the_row(self, tmp_path: Path, column: pa.Array, message: str) -> None:
        pq.write_table(pa.table({"a": ["x", "y"], "b": column}), tmp_path / "p.parquet")
        with pytest.raises(DataError, match=rf"^p\.parquet: {message}"):
            read_file(str(tmp_path / "p.parquet"))

    @pytest.mark.parametrize("names", [["a\0", "b"], ["a", "a"]])
    def test_names(self, tmp_path: Path, names: list[str]) -> None:
        pq.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], names=names), tmp_path / "p.parquet")
        with pytest.raises(DataError, match=r"p\.parquet: the column name 'a"):
            read_file(str(tmp_path / "p.parquet"))

    def test_values_as_they_are(self, tmp_path: Path) -> None:
        columns = {
            "a": pa.array([2**64 - 1, 1], pa.uint64()),
            "b": pa.array([1, None], pa.uint8()),
            "c": pa.array([2**62 + 1, 0]),
            "d": pa.array(np.array([np.nan, 1.0], np.float16)),
            "e": pa.array([[{"docid": "1", "text": "x"}], []]),
        }
        pq.write_table(pa.table(columns), tmp_path / "p.parquet")
        found = read_file(str(tmp_path / "p.parquet")).dataset
        assert found["a"][:] == [2**64 - 1, 1]
        assert found["c"][:] == [2**62 + 1, 0]
        assert found["e"][:] == [[{"docid": "1", "text": "x"}], []]
        assert detect_format(found) is not None


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "latin 1": ("p.jsonl", '{"a": "é", "b": "x", "score": 1}\n'.encode("latin1"), "not UTF-8 text in line 1"),
    "infinite": (
        "p.jsonl",
        b'{"a": "x", "b": "y", "score": Infinity}\n',
        "column 'score' holds an infinite number, or one too large, in line 1",
    ),
    "a NUL": ("p.csv", b"a,b,sc\0re\nx,y,1\n", "holds a NUL character in line 1"),
    "mixed": ("p.jsonl", b'{"a": 1}\n{"a": "x"}\n', "column 'a' cannot hold"),
    "an odd line": ("p.csv", b"a;b;score\nx;y;1\nx;y;z;1\nx;y;1\n", "4 cells in line 3"),
    "no Parquet": ("p.parquet", b"PAR1", "could not be read"),
}


class TestCommands:
    @pytest.mark.parametrize("kind", UNREADABLE)
    @pytest.mark.parametrize("command", ["suggest", "check --loss CosineSimilarityLoss", "train --output model"])
    def test_what_cannot_be_read_ends_in_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, command: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        name, content, message = UNREADABLE[kind]
        put(tmp_path / name, content)
        verb, *options = command.split()
        result = CliRunner().invoke(app, [verb, name, *options])
        assert result.exit_code == 1
        assert message in result.output
        assert name in result.output
        assert len(result.output.strip().splitlines()) == 1

    @pytest.mark.parametrize("command", ["suggest", "check --loss SelectivePointwiseLoss"])
    def test_whole_numbers_beyond_a_float(self, tmp_path: Path, command: str) -> None:
        rows = [[f"{2**60 + i}", a, b, i % 2] for i, (a, b) in enumerate(zip(FIRST, SECOND, strict=True))]
        path = written(tmp_path / "p.csv", [["key", "sentence1", "sentence2", "label"], *rows])
        verb, *options = command.split()
        result = CliRunner().invoke(app, [verb, path, *options])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert result.exit_code in (0, 1)


class TestOddColumns:
    """Whatever a column holds, the registry says something of it, and ends in no traceback."""

    @pytest.mark.parametrize(
        "labels",
        [
            pa.array([float("inf"), *SCORES[1:]]),
            pa.array([float("-inf")] * N),
            pa.array([2**60 + i for i in range(N)]),
            pa.array([2**64 - 1 - i for i in range(N)], pa.uint64()),
            pa.array([i % 2 for i in range(N)], pa.uint8()),
            pa.array([[0.5, float("inf")]] * N),
            pa.array([[2**60, 1]] * N),
            pa.array([{"a": 1}] * N),
            pa.array([b"\xff"] * N),
        ],
        ids=lambda array: str(array.type),
    )
    @pytest.mark.parametrize("others", [("sentence1", "sentence2"), ("anchor", "positive", "negative"), ("text",)])
    def test_no_traceback(self, labels: pa.Array, others: tuple[str, ...]) -> None:
        columns = dict(zip(others, (FIRST, SECOND, texts(3)), strict=False))
        dataset = datasets.Dataset(pa.table({**columns, "label": labels}))
        found = suggest_losses(dataset)
        for loss in ("CosineSimilarityLoss", "SoftmaxLoss", "MultipleNegativesRankingLoss"):
            assert check_dataset(dataset, loss).findings is not None
        if "inf" in str(labels.to_pylist()):
            assert found.format.certainty == "unclear"  # type: ignore[union-attr]

    def test_a_stream_of_numbers_beyond_64_bits(self) -> None:
        stream = datasets.Dataset(pa.table({"text": FIRST, "label": pa.array([2**64 - 1] * N, pa.uint64())}))
        with pytest.raises(DataError, match="too large"):
            detect_format(stream.to_iterable_dataset())
        with pytest.raises(DataError, match="could not be made"):
            detect_format({"a": ["x"], "label": [2**64]})


class TestWideTables:
    @pytest.mark.parametrize("kind", ["text", "number", "label"])
    @pytest.mark.slow
    def test_work_grows_as_the_columns_do(self, kind: str) -> None:
        def calls(columns: int) -> int:
            values = {"text": lambda i: f"a text of number {i}", "number": lambda i: i / 2, "label": lambda i: "yes"}
            name = "label" if kind == "label" else "column"
            dataset = datasets.Dataset.from_dict({f"{name}_{i}": [values[kind](i)] for i in range(columns)})
            profile = cProfile.Profile()
            profile.runcall(suggest_losses, dataset)
            return pstats.Stats(profile).total_calls  # type: ignore[attr-defined, no-any-return]

        calls(1_000)  # what names say is read once and kept
        assert calls(1_000) < 2.3 * calls(500)

    @pytest.mark.slow
    def test_the_work_of_a_check_grows_as_the_columns_do(self) -> None:
        def calls(columns: int) -> int:
            numbers = {f"n{i}": [row / (i + 1) for row in range(N)] for i in range(columns)}
            dataset = datasets.Dataset.from_dict(
                {"sentence1": FIRST, "sentence2": SECOND, **numbers, "score": [0.5] * N}
            )
            profile = cProfile.Profile()
            profile.runcall(check_dataset, dataset, "CosineSimilarityLoss")
            return pstats.Stats(profile).total_calls  # type: ignore[attr-defined, no-any-return]

        calls(400)
        assert calls(400) < 2.3 * calls(200)

    @pytest.mark.slow
    def test_ten_thousand_columns(self, tmp_path: Path) -> None:
        names, row = [f"c{i}" for i in range(10_000)], [f"a text {i}" for i in range(10_000)]
        found = read_file(written(tmp_path / "p.csv", [names, row, row]))
        assert found.dataset.column_names == names
        assert found.dataset[1]["c9999"] == "a text 9999"
        assert max(map(len, found.notes)) < 500
        assert list(read_file(put(tmp_path / "p.jsonl", lines_of(row, row))).dataset[0].values()) == row

    def test_too_many_columns(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"p\.csv has 20,001 cells in line 1\. Part it into rows"):
            read_file(put(tmp_path / "p.csv", "a," * 20_000 + "\n"))


class TestNestedCells:
    PASSAGES = ([{"docid": "7", "text": "a dog runs far"}, {"docid": "8", "text": "a cat sits"}], [], None)
    TRANSLATIONS = ({"en": "a dog runs far", "de": "ein Hund rennt weit"}, None, {"en": "a b c", "de": "d e f"})

    def test_lists_of_objects(self) -> None:
        found = nested_fields(self.PASSAGES)
        assert found is not None
        assert str(found) == "lists of objects with the fields 'docid' (texts), 'text' (texts)"
        step = found.step("positive_passages")
        assert step is not None
        assert step.code() == 'dataset = flatten_cells(dataset, "positive_passages", "text")'
        dataset = datasets.Dataset.from_dict({"query": ["x", "y", "z"], "positive_passages": list(self.PASSAGES)})
        assert step.apply(dataset)[:] == {
            "query": ["x", "y", "z"],
            "positive_passages": [["a dog runs far", "a cat sits"], [], None],
        }
        assert flatten_cells(dataset, "positive_passages", "docid")["positive_passages"][0] == ["7", "8"]

    def test_objects(self) -> None:
        found = nested_fields(self.TRANSLATIONS)
        assert found is not None
        step = found.step("translation")
        assert step is not None
        dataset = datasets.Dataset.from_dict({"translation": list(self.TRANSLATIONS), "id": [1, 2, 3]})
        assert step.apply(dataset)[:] == {
            "translation_en": ["a dog runs far", None, "a b c"],
            "translation_de": ["ein Hund rennt weit", None, "d e f"],
            "id": [1, 2, 3],
        }

    def test_objects_of_lists_and_of_numbers(self) -> None:
        found = nested_fields([{"text": ["a b c", "d"], "start": [1, 2]}])
        assert found is not None
        assert found.texts == ("text",)
        numbers = nested_fields([{"x": 1, "y": 0.5}])
        assert numbers is not None
        assert numbers.step("label") is None
        for other in ([["a"]], ["a"], [], [[]], [1]):
            assert nested_fields(other) is None

    def test_refused(self) -> None:
        dataset = datasets.Dataset.from_dict({"a": [[{"x": 1}]], "b": ["c"], "a_x": ["d"]})
        with pytest.raises(DataError, match=r"'a' have the fields x, got y\. .*flatten_cells\(dataset, \"a\", \"x\""):
            flatten_cells(dataset, "a", "y")
        with pytest.raises(DataError, match=r"have the fields x, got none"):
            flatten_cells(dataset, "a")
        with pytest.raises(DataError, match=r"cells of column 'b' hold no fields"):
            flatten_cells(dataset, "b", "x")


# --- Any bytes --------------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.sampled_from(
        ["", " ", '"', '""', "a,b", "a;b", "a\tb", "a|b", "1", "-2.5", "007", "1e999", "NA", "nan", "1,5", "\ufeff",
         "é", "12345678901234567890", "true", "null", "[1]", "{}", "'", "\\", "x\ny", "x\r\ny", "=1+1"]
    ),
)  # fmt: skip
DELIMITERS = st.sampled_from([",", ";", "\t", "|"])
DAMAGES = st.lists(
    st.tuples(
        st.floats(0, 1),  # where
        st.integers(0, 40),  # how many bytes are left out there
        st.sampled_from([b"", b"\0", b'"', b"\r", b"\n", b",", b";", b"\xff", b"\xe9", b"\xed\xa0\x80", b"\xef\xbb\xbf",
                         b"1e999", b"[" * 99, b"{", b"]", b"}", b"\x1f\x8b", b"NaN", b"\x85", b"\x1a", b"\\"]),
    ),
    max_size=4,
)  # fmt: skip
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6), st.just(1 << 53)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


def damaged(content: bytes, damages: Sequence[tuple[float, int, bytes]]) -> bytes:
    for where, length, put_in in damages:
        place = int(where * len(content))
        content = content[:place] + put_in + content[place + length :]
    return content


def tried(path: Path, content: bytes, header: bool | None = None) -> FileTable | None:
    """What is read; None where it is refused, which must be in one line that names the file."""
    put(path, content)
    refused = ""
    try:
        found = read_file(str(path), header=header)
    except DataError as error:
        refused = str(error)
    if refused:
        assert path.name in refused
        assert not set("\n\r\0") & set(refused)
        return None
    assert len(found.dataset) > 0
    assert found.lines is None or len(found.lines) == len(found.dataset)
    assert not [note for note in found.notes if set("\n\r\0") & set(note)]
    detect_format(found.dataset)
    return found


def expected_rows(content: bytes, found: FileTable) -> list[list[str]]:
    """The rows by the csv module alone, in the dialect that the notes tell."""
    notes = " ".join(found.notes)
    parted = next((mark for mark in ",;\t|" if f"cells are separated by {mark!r}" in notes), None)
    delimiter = parted or ("\t" if found.name.endswith("tsv") else ",")
    as_text = "double quotes are taken as part" in notes
    is_plain = delimiter != "," and "cells in double quotes are taken without them" not in notes
    lines = content.decode("utf-8-sig").splitlines(keepends=True)  # at more characters than ends of lines
    joined: list[str] = []
    for line in lines:
        if joined and not joined[-1].endswith(("\n", "\r")):
            joined[-1] += line
        else:
            joined.append(line)
    quoting = csv.QUOTE_NONE if as_text or is_plain else csv.QUOTE_MINIMAL
    rows = list(csv.reader(joined, delimiter=delimiter, quoting=quoting))
    if rows and "".join(joined[0]).startswith("sep="):
        rows = rows[1:]
    return [row for row in rows if "".join(row).strip()]


def quick(request: pytest.FixtureRequest, test: Any) -> None:
    """Run a property with as many examples as asked for."""
    number = request.config.getoption("--fuzz-examples")
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=number, deadline=None, derandomize=number < 1_000, suppress_health_check=checks)(test)()


class TestAnyBytes:
    """Nothing ends in a traceback, and nothing is read differently in silence; `--fuzz-examples` says how many."""

    @pytest.mark.parametrize("ending", ["csv", "tsv"])
    def test_tables_come_back(self, tmp_path: Path, request: pytest.FixtureRequest, ending: str) -> None:
        @given(st.integers(1 if ending == "csv" else 2, 4), st.data(), st.booleans())
        def check(width: int, data: st.DataObject, compress: bool) -> None:
            rows = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=2, max_size=8))
            names = [f"name {i}" for i in range(width)]
            path = tmp_path / f"p.{ending}"
            written(path, [names, *rows], delimiter="," if ending == "csv" else "\t", quoting=csv.QUOTE_ALL)
            content = path.read_bytes()
            found = tried(path, gzip.compress(content) if compress else content, header=True)
            filled = [row for row in rows if "".join(row).strip()]
            if found is None:
                assert not filled
                return
            if says(found, "double quotes are taken as part of the text"):
                return  # each line could be a row, though some are within quotes
            columns = [found.texts(name) for name in names]
            assert [list(row) for row in zip(*columns, strict=True)] == filled
            for name in names:
                for cell, value in zip(found.texts(name), found.dataset[name], strict=True):
                    number = cell.replace(",", ".") if ending == "tsv" else cell
                    assert value == cell or (value is None and not cell.strip()) or value == float(number)
                    assert not isinstance(value, int) or value == int(cell)

        quick(request, check)

    @pytest.mark.parametrize("ending", ["csv", "tsv"])
    def test_damaged_tables(self, tmp_path: Path, request: pytest.FixtureRequest, ending: str) -> None:
        @given(DELIMITERS, st.data(), DAMAGES)
        def check(delimiter: str, data: st.DataObject, damages: Any) -> None:
            rows = data.draw(st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=8))
            plain = data.draw(st.booleans())
            lines = (delimiter.join(row) for row in rows)
            path = tmp_path / f"p.{ending}"
            content = (
                "\n".join(lines).encode() if plain else Path(written(path, rows, delimiter=delimiter)).read_bytes()
            )
            content = damaged(content, damages)
            found = tried(path, content)
            if found is not None and not content.startswith(b"\x1f\x8b"):
                read = [
                    list(row) for row in zip(*(found.texts(name) for name in found.dataset.column_names), strict=True)
                ]
                expected = expected_rows(content, found)
                assert read == (expected[1:] if found.named else expected)

        quick(request, check)

    def test_damaged_json(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        @given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON), min_size=1, max_size=6), DAMAGES)
        def check(rows: list[dict[str, Any]], damages: Any) -> None:
            content = damaged(lines_of(*rows).encode(), damages)
            found = tried(tmp_path / "p.jsonl", content)
            if found is None or found.lines is None or "set" in str(found.notes):
                return
            lines = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
            for row, line in zip(found.dataset, found.lines, strict=True):
                value = json.loads(lines[line - 1])
                expected = {str(i): cell for i, cell in enumerate(value, 1)} if isinstance(value, list) else value
                assert is_same({key: cell for key, cell in row.items() if key in expected}, expected)
                assert all(cell is None for key, cell in row.items() if key not in expected)

        quick(request, check)

    def test_damaged_parquet(self, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        table = pa.table({"text": FIRST, "score": SCORES, "list": [[{"a": text}] for text in SECOND]})
        path = tmp_path / "p.parquet"
        pq.write_table(table, path)
        content = path.read_bytes()

        @given(DAMAGES)
        @example([(0.5, len(content), b"")])
        def check(damages: Any) -> None:
            found = tried(path, damaged(content, damages))
            if damaged(content, damages) == content:
                assert found is not None
                assert found.dataset[:] == table.to_pydict()

        quick(request, check)


def is_same(found: Any, given_value: Any) -> bool:
    """Whether a value was read as it was written: with None for a key that is missing, and long numbers as texts."""
    if isinstance(given_value, dict) and isinstance(found, dict):
        return all(is_same(found[key], given_value.get(key)) for key in found)
    if isinstance(given_value, list) and isinstance(found, list):
        return len(found) == len(given_value) and all(map(is_same, found, given_value))
    if isinstance(given_value, float) and given_value != given_value:
        return bool(found != found)
    is_truth = isinstance(given_value, bool) == isinstance(found, bool)
    return bool(found == given_value and is_truth) or (isinstance(given_value, int) and found == str(given_value))


class TestFilesThatAreOthersThanTheirNamesSay:
    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"PK\x03\x04\x14\0\x06\0", "a ZIP archive, or a spreadsheet.*unzip p"),
            (bz2.compress(b"a,b\n1,2\n"), "compressed by bzip2.*bzip2 -dc p"),
            (lzma.compress(b"a,b\n1,2\n"), "compressed by xz.*xz -dc p"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a pointer of Git LFS.*git lfs pull"),
            (b"<!DOCTYPE html>\n<html><body>Sign in, please</body></html>\n", "a web page"),
            (b"\xef\xbb\xbf<html>\n", "a web page"),
            (b"%PDF-1.4\n%\xe2\xe3\n", "a PDF"),
        ],
    )
    @pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.jsonl", "p.json", "p.parquet"])
    def test_are_called_what_they_are(self, tmp_path: Path, name: str, content: bytes, what: str) -> None:
        with pytest.raises(DataError, match=rf"{name} is {what}"):
            read_file(put(tmp_path / name, content))

    @pytest.mark.parametrize("content", ['[{"a": "x, y"}]', '{"a": "x"}\n{"a": "y"}\n', '[\n {"a": "x"}\n]'])
    def test_json_in_a_csv_and_parquet(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(DataError, match=r"p\.csv is JSON\. Call it so: mv p\.csv p\.jsonl"):
            read_file(put(tmp_path / "p.csv", content))
        pq.write_table(pa.table({"a": ["x"]}), tmp_path / "p.jsonl")
        with pytest.raises(DataError, match=r"p\.jsonl is a Parquet file\. Call it so: mv p\.jsonl p\.parquet"):
            read_file(str(tmp_path / "p.jsonl"))

    def test_what_only_begins_so_is_read(self, tmp_path: Path) -> None:
        assert read_file(put(tmp_path / "p.csv", "PAR1,BZh\nx,1\ny,2\n")).dataset.column_names == ["PAR1", "BZh"]
        cells = read_file(put(tmp_path / "p.tsv", '{"k": "v"}\t1\n{"k": "w"}\t2\n'), header=False)
        assert cells.dataset["1"][0] == '{"k": "v"}'

    @pytest.mark.parametrize("encoding", ["cp1251", "shift_jis", "gb18030", "euc-kr"])
    def test_no_western_encoding_is_named_for_other_scripts(self, tmp_path: Path, encoding: str) -> None:
        word = {"cp1251": "небо", "shift_jis": "青い空です", "gb18030": "蓝色天空", "euc-kr": "푸른하늘"}[encoding]
        with pytest.raises(DataError, match=r"not UTF-8 text in line 2.*iconv -f ENCODING"):
            read_file(put(tmp_path / "p.csv", f"a,b\n{word},x\n".encode(encoding)))

    @pytest.mark.parametrize("first", ["# made in May", "STS export"])
    def test_a_title_above_the_rows(self, tmp_path: Path, first: str) -> None:
        rows = "a,b,score\n" + "x,y,1\n" * 5
        with pytest.raises(
            DataError, match=r"has 1 columns, but 3 cells in line 2.* If the line before is a title"
        ) as error:
            read_file(put(tmp_path / "p.csv", f"{first}\n{rows}"))
        subprocess.run(str(error.value).partition("is a title: ")[2], shell=True, check=True, cwd=tmp_path)
        assert len(read_file(str(tmp_path / "rows.csv")).dataset) == 5

    @pytest.mark.parametrize("delimiter", [",", ";"])
    def test_spaces_before_quotes(self, tmp_path: Path, delimiter: str) -> None:
        rows = [(f'"{a}"', f'"{b}"', "0.5") for a, b in zip(FIRST, SECOND, strict=True)]
        content = "".join(f"{delimiter} ".join(row) + "\n" for row in [("a", '"b"', '"score"'), *rows])
        with pytest.raises(DataError, match="column 2 quotes stand after a space") as error:
            read_file(put(tmp_path / "p.csv", content))
        subprocess.run(str(error.value).partition("Take these spaces out: ")[2], shell=True, check=True, cwd=tmp_path)
        assert read_file(str(tmp_path / "rows.csv")).dataset[:] == {"a": FIRST, "b": SECOND, "score": [0.5] * N}

    @pytest.mark.skipif(shutil.which("jq") is None, reason="the lines are for jq")
    @pytest.mark.parametrize(
        "value",
        [
            {"version": "1.1", "data": [{"a": "x", "b": 1}, {"a": "y", "b": 2}]},
            {"a": ["x", "y"], "b": [1, 2]},
            {"a": {"5": "x", "3": "y"}, "b": {"5": 1, "3": 2}},
            {"first": {"a": "x", "b": 1}, "second": {"a": "y", "b": 2}},
        ],
    )
    def test_rows_within_one_object(self, tmp_path: Path, value: dict[str, Any]) -> None:
        note = read_file(put(tmp_path / "p.json", json.dumps(value))).notes[-1]
        subprocess.run(note.partition("that holds the rows: ")[2], shell=True, check=True, cwd=tmp_path)
        assert read_file(str(tmp_path / "rows.jsonl")).dataset[:] == {"a": ["x", "y"], "b": [1, 2]}

    @pytest.mark.skipif(shutil.which("jq") is None, reason="the lines are for jq")
    def test_texts_in_one_array(self, tmp_path: Path) -> None:
        note = read_file(put(tmp_path / "p.json", '["x", "y"]')).notes[-1]
        subprocess.run(note.partition("that holds the rows: ")[2], shell=True, check=True, cwd=tmp_path)
        assert read_file(str(tmp_path / "rows.jsonl")).dataset[:] == {"text": ["x", "y"]}

    @pytest.mark.parametrize(
        ("column", "expected"),
        [
            (pa.array(["x", "y"], pa.string_view()), ["x", "y"]), (pa.array([b"x", "é".encode()]), ["x", "é"]),
            (pa.array([b"\xff", b"y"]), [b"\xff", b"y"]), (pa.array([Decimal("0.5"), None]), [0.5, None]),
            (pa.array([Decimal(7), Decimal(8)]), [7, 8]),
            (pa.array([Decimal(10**20), Decimal(10**20 + 1)]), [str(10**20), str(10**20 + 1)]),
        ],
    )  # fmt: skip
    def test_parquet_types_that_hold_texts_and_numbers(self, tmp_path: Path, column: Any, expected: list[Any]) -> None:
        try:
            pq.write_table(pa.table({"a": ["u", "v"], "b": column}), tmp_path / "p.parquet")
        except pa.ArrowNotImplementedError as error:
            pytest.skip(f"this pyarrow cannot write it: {error}")
        assert read_file(str(tmp_path / "p.parquet")).dataset["b"][:] == expected

    def test_a_file_has_no_splits(self, tmp_path: Path) -> None:
        path = put(tmp_path / "p.csv", "a,b\nx,1\ny,2\n")
        with pytest.raises(DataError, match=r"p\.csv is a file, which has no split 'test'\. Leave --split out"):
            read_file(path, split="test")
