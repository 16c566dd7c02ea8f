"""`selective-st score` and `score_file`: files of each kind, what is resumed, and what is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, load_dataset
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner, Result

from selective_st import scoring
from selective_st._delimited import Row, rows_of
from selective_st.cli import app
from selective_st.evaluation import ScoreThreshold, choose_threshold, predict_scores, save_threshold
from selective_st.scoring import score_file
from tests import model_types
from tests.processes import FORKS, started

PAIRS = [(model_types.sentence(n), model_types.sentence(n * n % 7)) for n in range(30)]
PAIRS[3] = (PAIRS[3][0], PAIRS[3][0])
PAIRS[17] = (PAIRS[17][0], 'says "yes", and\tno; å')
PAIRS[20] = (PAIRS[20][0], "")
FIRST, SECOND = ([pair[side] for pair in PAIRS] for side in (0, 1))
FILLED = [row for row in range(len(PAIRS)) if row != 20]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return model_types.static_model()


@pytest.fixture(scope="module")
def scores(model: SentenceTransformer) -> list[float]:
    """By the model's own means."""
    return model.similarity_pairwise(model.encode(FIRST), model.encode(SECOND)).double().tolist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def threshold(scores: list[float]) -> ScoreThreshold:
    known = [scores[row] for row in FILLED]
    gold = [float(score > np.median(known)) for score in known]
    return choose_threshold(gold, known, 1.0, chosen_on="dev")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, threshold: ScoreThreshold) -> dict[str, Path]:
    """Saved models; the first has a threshold."""
    place = tmp_path_factory.mktemp("models")
    for name in ("SentenceTransformer", "SparseEncoder", "CrossEncoder"):
        found = model_types.static_model() if name == "SentenceTransformer" else model_types.model_for(name)
        found.save_pretrained(str(place / name))
    save_threshold(place / "SentenceTransformer", threshold)
    return {path.name: path for path in place.iterdir()}


def write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(["id", "question", "answer"])
        writer.writerows((row, *pair) for row, pair in enumerate(PAIRS))


def write_json(path: Path) -> None:
    rows = [{"id": row, "question": a, "answer": b or None} for row, (a, b) in enumerate(PAIRS)]
    path.write_text("".join(json.dumps(row, ensure_ascii=row["id"] == 17) + "\n" for row in rows), encoding="utf-8")


def write_parquet(path: Path) -> None:
    Dataset.from_dict({"id": range(len(PAIRS)), "question": FIRST, "answer": SECOND}).to_parquet(str(path))


def read(path: Path) -> list[dict[str, Any]]:
    """Rows as other programs read them."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kinds = {"score": float, "match": {"true": True, "false": False}.__getitem__, "id": int}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        return [{k: (kinds.get(k, str)(v) if v or k == "answer" else None) for k, v in row.items()} for row in rows]  # type: ignore[operator]


WRITERS: dict[str, Callable[[Path], None]] = {
    "csv": write_csv, "tsv": write_csv, "jsonl": write_json, "parquet": write_parquet,
}  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


def text(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.fixture
def pairs_csv(tmp_path: Path) -> Path:
    write_csv(tmp_path / "pairs.csv")
    return tmp_path / "pairs.csv"


@pytest.mark.parametrize("kind", WRITERS)
def test_each_kind_of_file(
    kind: str, folders: dict[str, Path], scores: list[float], threshold: ScoreThreshold, tmp_path: Path
) -> None:
    source, output = tmp_path / f"pairs.{kind}", tmp_path / f"out.{kind}"
    WRITERS[kind](source)
    before = source.read_bytes()
    result = run(folders["SentenceTransformer"], source, "--output", output)
    assert result.exit_code == 0, result.output
    found = read(output)
    assert [list(row) for row in found] == [["id", "question", "answer", "score", "match"]] * len(PAIRS)
    assert [(row["question"], row["answer"] or "") for row in found] == PAIRS
    assert [row["id"] for row in found] == list(range(len(PAIRS)))
    assert (found[20]["score"], found[20]["match"]) == (None, None)
    assert [found[row]["score"] for row in FILLED] == pytest.approx([scores[row] for row in FILLED], abs=1e-6)
    expected = [scores[row] >= threshold.value for row in FILLED]
    assert [found[row]["match"] for row in FILLED] == expected
    assert f"{sum(expected)} of 30 rows match: {threshold}" in text(result)
    assert "1 rows have no score" in text(result)
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name, source.name]
    if kind != "parquet":  # the rows stand as they stood
        lines, written = (path.read_text(encoding="utf-8").splitlines() for path in (source, output))
        assert all(new.startswith(old.rstrip("}")) for old, new in zip(lines, written, strict=True))
    else:
        features = json.loads(pq.read_schema(output).metadata[b"huggingface"])["info"]["features"]
        assert list(features) == ["id", "question", "answer", "score", "match"]
        assert load_dataset("parquet", data_files=str(output), split="train").column_names[-2:] == ["score", "match"]


@pytest.mark.parametrize("name", ["SentenceTransformer", "SparseEncoder", "CrossEncoder"])
def test_each_type_of_model(name: str, folders: dict[str, Path], pairs_csv: Path) -> None:
    import sentence_transformers

    output = pairs_csv.with_name("out.csv")
    result = run(folders[name], pairs_csv, "--output", output, "--threshold", 0.5, "--batch-size", 7)
    assert result.exit_code == 0, result.output
    loaded = getattr(sentence_transformers, name)(str(folders[name]), device="cpu")
    if name == "CrossEncoder":
        expected = loaded.predict([PAIRS[row] for row in FILLED])
    else:
        first, second = (loaded.encode([PAIRS[row][side] for row in FILLED]) for side in (0, 1))
        expected = loaded.similarity_pairwise(first, second)
    found = [read(output)[row] for row in FILLED]
    assert [row["score"] for row in found] == pytest.approx([float(score) for score in expected], abs=1e-5)
    assert [row["match"] for row in found] == [row["score"] >= 0.5 for row in found]


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("a.csv", "a cat,a dog\na car,a car\n", ["--no-header"], "a cat,a dog,{0},{m0}\na car,a car,{1},{m1}\n"),
        ("a.csv", "\ufeffx;y\r\na cat;a dog\r\na car;a car", [], "x;y;score;match\r\na cat;a dog;{0};{m0}\r\na car;a car;{1};{m1}\n"),  # noqa: E501
        ("a.csv", 'x,y\n"a\ncat",a dog\n\n"a ""car""","a ""car"""\n', [], 'x,y,score,match\n"a\ncat",a dog,{0},{m0}\n"a ""car""","a ""car""",{1},{m1}\n'),  # noqa: E501
        ("a.tsv", 'x\ty\na "cat\ta dog\n"a" car\t"a" car\n', [], 'x\ty\tscore\tmatch\na "cat\ta dog\t{0}\t{m0}\n"a" car\t"a" car\t{1}\t{m1}\n'),  # noqa: E501
        ("a.csv", "n,x,z,y\n1,a cat,one,a dog\n2,a car,two,a car\n", ["--columns", "x,4"], "n,x,z,y,score,match\n1,a cat,one,a dog,{0},{m0}\n2,a car,two,a car,{1},{m1}\n"),  # noqa: E501
        ("a.csv", "x,y,score\na cat,a dog,0.50\na car,a car,1\n", ["--names", "s,m"], "x,y,score,s,m\na cat,a dog,0.50,{0},{m0}\na car,a car,1,{1},{m1}\n"),  # noqa: E501
        ("a.json", '{{"x": "a cat", "y": "a dog", "n": 1e2}}\n{{ "y": "a car", "x": "a car" }}', [], '{{"x": "a cat", "y": "a dog", "n": 1e2, "score": {0}, "match": {m0}}}\n{{ "y": "a car", "x": "a car", "score": {1}, "match": {m1}}}\n'),  # noqa: E501
        ("a.csv.gz", "x,y\na cat,a dog\na car,a car\n", [], "x,y,score,match\na cat,a dog,{0},{m0}\na car,a car,{1},{m1}\n"),  # noqa: E501
    ],
)  # fmt: skip
def test_rows_stay_as_they_are_written(
    name: str, content: str, options: list[str], expected: str, model: SentenceTransformer, folders: dict[str, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    data = (content.format() if name == "a.json" else content).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    output = tmp_path / f"out{Path(name.removesuffix('.gz')).suffix}"
    result = run(folders["SentenceTransformer"], tmp_path / name, "--output", output, "--threshold", "0.99", *options)
    assert result.exit_code == 0, result.output
    cat, dog, car = "a cat", "a dog", "a car"
    if "\ncat" in content:
        cat, car = "a\ncat", 'a "car"'
    elif '"cat' in content and name == "a.tsv":
        cat, car = 'a "cat', '"a" car'
    values = predict_scores(model, [cat, car], [dog, car]).astype(np.float32)
    written = output.read_bytes().decode()
    numbers = re.findall(r"-?\d\.\d{3,}(?:e-\d+)?|(?<=[,;\t ])1\.0(?=[,;\t])", written)
    made = [float(number) for number in numbers]
    assert made == pytest.approx(values.tolist(), abs=1e-6)
    matches = [str(value >= 0.99).lower() for value in made]
    shown = [str(np.float32(value)) for value in made]
    if name == "a.json":
        expected = expected.replace("{{", "{").replace("}}}", "}}")
    for key, value in {"{0}": shown[0], "{1}": shown[1], "{m0}": matches[0], "{m1}": matches[1]}.items():
        expected = expected.replace(key, value)
    assert written == expected


def test_scores_only_without_a_threshold(folders: dict[str, Path], pairs_csv: Path) -> None:
    output = pairs_csv.with_name("out.csv")
    result = run(folders["SparseEncoder"], pairs_csv, "--output", output)
    assert result.exit_code == 0, result.output
    assert "has no threshold; give one with --threshold" in text(result)
    assert list(read(output)[0]) == ["id", "question", "answer", "score"]


def test_compares_as_the_threshold_was_chosen(model: SentenceTransformer, pairs_csv: Path) -> None:
    output = pairs_csv.with_name("out.csv")
    found = score_file(model, pairs_csv, output, threshold=ScoreThreshold(0.5, 1.0, similarity="dot"))
    first, second = model.encode(FIRST), model.encode(SECOND)
    expected = (first * second).sum(axis=1)[FILLED]
    assert [read(output)[row]["score"] for row in FILLED] == pytest.approx(expected.tolist(), rel=1e-5)
    assert found.matches == (expected >= 0.5).sum()
    assert any("compared by dot" in note for note in found.notes)
    assert model.similarity_fn_name == "cosine"
    low = score_file(model, pairs_csv, output.with_name("low.csv"), threshold=ScoreThreshold(0.5, 0.0, "at_most"))
    found_low = [row["score"] for row in read(output.with_name("low.csv")) if row["score"] is not None]
    assert low.matches == sum(score <= 0.5 for score in found_low)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONE])
def test_rows_are_parted_as_by_the_csv_module_and_stay_as_they_are_written(quoting: int) -> None:
    chosen, broken = random.Random(0), 0
    for _ in range(1_000):
        text = "".join(chosen.choices('ab ,;"\n\r', weights=(4, 4, 2, 4, 1, 2, 2, 1), k=40))
        lines = list(io.StringIO(text, newline=""))
        found: list[Row] = []
        expected: list[list[str]] = []
        errors = 0
        for rows, reader in (
            (found, rows_of(lines, ",", quoting)),
            (expected, csv.reader(lines, quoting=quoting, strict=True)),  # type: ignore[call-overload]
        ):
            try:
                rows.extend(reader)  # type: ignore[attr-defined]
            except csv.Error:
                errors += 1
        assert [row.cells for row in found] == expected
        before = ["".join(row.raw for row in found[:place]) for place in range(len(found) + 1)]
        assert text.startswith(before[-1])
        assert errors == 2 or (errors == 0 and text == before[-1])
        assert [row.line for row in found] == [len(list(io.StringIO(raw, newline=""))) + 1 for raw in before[:-1]]
        broken += errors // 2
    assert 0 < broken < 1_000 or quoting == csv.QUOTE_NONE


class Counting:
    """A model that counts the texts that it embeds, and stops at some number of calls."""

    def __init__(self, model: SentenceTransformer, stop_at: int = -1) -> None:
        self.inner, self.texts, self.calls, self.stop_at = model, list[str](), 0, stop_at

    def encode(self, texts: list[str], **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.texts += texts
        return self.inner.encode(texts, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __str__(self) -> str:
        return "counting"


def killed_at_16(folder: str, pairs: str) -> None:
    """Score the pairs of a file, and be killed after 16 of them."""
    scoring.WINDOW = 8
    model = SentenceTransformer(folder, device="cpu")
    output = Path(pairs).with_name("out.csv")
    score_file(model, pairs, output, on_rows=lambda done, _: done == 16 and os.kill(os.getpid(), signal.SIGKILL))


class TestResuming:
    @pytest.mark.parametrize("kind", WRITERS)
    def test_goes_on_after_the_last_whole_window(
        self, kind: str, model: SentenceTransformer, threshold: ScoreThreshold, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(scoring, "WINDOW", 8)
        source, output, whole = (tmp_path / f"{name}.{kind}" for name in ("pairs", "out", "whole"))
        WRITERS[kind](source)
        score_file(Counting(model), source, whole, threshold=threshold)
        with pytest.raises(
            KeyboardInterrupt, match=r"nothing was written to .*16 scores are kept .*goes on from there"
        ):
            score_file(Counting(model, stop_at=3), source, output, threshold=threshold)
        assert not output.exists()
        [kept] = tmp_path.glob(".out*/score-*/scores")
        with kept.open("ab") as file:
            file.write(b"half a wind")  # as a killed process may leave
        seen: list[tuple[int, int]] = []
        counting = Counting(model)
        found = score_file(counting, source, output, threshold=threshold, on_rows=lambda *now: seen.append(now))
        assert (found.resumed, found.rows, counting.calls) == (16, 30, 2)
        assert seen == [(16, 30), (24, 30), (30, 30)]
        assert read(output) == read(whole)
        assert output.read_bytes() == whole.read_bytes() or kind == "parquet"
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, output.name, whole.name])

    def test_begins_anew_where_the_input_or_the_model_is_another(
        self, model: SentenceTransformer, pairs_csv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scoring, "WINDOW", 8)
        output = pairs_csv.with_name("out.csv")
        with pytest.raises(KeyboardInterrupt):
            score_file(Counting(model, stop_at=3), pairs_csv, output)
        os.utime(pairs_csv, (1, 1))
        with pytest.raises(KeyboardInterrupt):
            score_file(Counting(model, stop_at=2), pairs_csv, output)
        other = Counting(model_types.bert_model())
        assert score_file(other, pairs_csv, output).resumed == 0
        assert len(read(output)) == 30

    @pytest.mark.slow
    def test_a_killed_process(self, folders: dict[str, Path], pairs_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with started(killed_at_16, *map(str, (folders["SentenceTransformer"], pairs_csv))) as process:
            assert process.end()[2] == -signal.SIGKILL
        monkeypatch.setattr(scoring, "WINDOW", 8)
        model = SentenceTransformer(str(folders["SentenceTransformer"]), device="cpu")
        assert score_file(model, pairs_csv, pairs_csv.with_name("out.csv")).resumed == 16
        assert score_file(model, pairs_csv, pairs_csv.with_name("whole.csv")).resumed == 0
        assert pairs_csv.with_name("out.csv").read_bytes() == pairs_csv.with_name("whole.csv").read_bytes()

    def test_each_different_text_is_embedded_once_a_window(
        self, model: SentenceTransformer, pairs_csv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scoring, "WINDOW", 10)
        counting = Counting(model)
        score_file(counting, pairs_csv, pairs_csv.with_name("out.csv"))
        windows = [[row for row in FILLED if row // 10 == number] for number in range(3)]
        assert len(counting.texts) == sum(len({text for row in window for text in PAIRS[row]}) for window in windows)


class TestWarning:
    @pytest.mark.parametrize(("shift", "warned"), [(0.0, False), (0.02, False), (0.6, True), (-0.6, True)])
    def test_of_scores_unlike_those_it_was_chosen_on(
        self, shift: float, warned: bool, model: SentenceTransformer, tmp_path: Path
    ) -> None:
        texts = [model_types.sentence(n) for n in range(60)]
        pairs = [(a, b) for a in texts[:20] for b in texts[20:]]
        table = pa.table({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})
        pq.write_table(table, tmp_path / "pairs.parquet")
        scores = predict_scores(model, *zip(*pairs, strict=True)) + shift
        gold = [float(score > np.median(scores)) for score in scores]
        threshold = choose_threshold(gold, scores.tolist(), 1.0, chosen_on="dev.csv")
        found = score_file(model, tmp_path / "pairs.parquet", tmp_path / "out.parquet", threshold=threshold)
        assert ("are unlike those of dev.csv" in found.warning) is warned
        assert warned or not found.warning

    def test_few_rows_say_nothing(self, model: SentenceTransformer, tmp_path: Path) -> None:
        (tmp_path / "pairs.csv").write_text("a,b\na cat,a cat\n")
        threshold = ScoreThreshold(0.5, 1.0, pairs=100, quantiles=(-0.5, 0.0, 0.2))
        assert not score_file(model, tmp_path / "pairs.csv", tmp_path / "out.csv", threshold=threshold).warning

    def test_equal_scores(self, model: SentenceTransformer, tmp_path: Path) -> None:
        (tmp_path / "pairs.csv").write_text("a,b\n" + "a cat,a cat\na car,a car\n" * 200)
        threshold = ScoreThreshold(0.5, 1.0, pairs=400, quantiles=(1.0, 1.0, 1.0))
        assert not score_file(model, tmp_path / "pairs.csv", tmp_path / "out.csv", threshold=threshold).warning


BAD: list[tuple[str, str, list[str], str]] = [
    ("pairs.csv", "", [], "is empty"),
    ("pairs.jsonl", "\n\n", [], "is empty"),
    ("pairs.csv", "x,y\n", [], "no rows of data"),
    ("pairs.csv", "x,y\n,\n a,\n", ["--columns", "x,y"], "no row with two texts in x and y"),
    ("pairs.csv", "x,y\na cat,1\na dog,2\n", [], "1 of them hold texts. A score needs two texts a row"),
    ("pairs.csv", "x,y,z\na b,c d,e f\nb c,d e,f g\n", [], "3 of them hold texts.*--columns x,y"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--columns", "x,w"], "has no column 'w'; it has x, y. Mend --columns"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--columns", "x"], "1 of them are named. A score needs two texts"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--columns", "x,1"], "--columns names a column twice: x, 1"),
    ("pairs.csv", "x,y\na cat,a dog\na cat\n", [], "has 2 columns, but 1 cells in line 3"),
    ("pairs.csv", "x,y,score\na cat,a dog,1\n", [], "a column score already.*--names predicted_score"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--names", "a;b"], "names must be two different names"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--output", "out.jsonl"], "must end in .csv.*--output out.csv"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--output", "out.csv.gz"], "must end in .csv.*--output out.csv"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--output", "pairs.csv", "--overwrite"], "is the file .*which this command reads"),  # noqa: E501
    ("pairs.csv", "x,y\na cat,a dog\n", ["--output", "there.csv"], "exists, and nothing in it shows that this command, selective-st score, wrote it"),  # noqa: E501
    ("pairs.csv", "x,y\na cat,a dog\n", ["--devices", "tpu9"], "--devices tpu9: no such device"),
    ("pairs.csv", "x,y\na cat,a dog\n", ["--threshold", "nan"], "--threshold must be a number of at most 1e.06 in size, such as 0.85; got nan"),  # noqa: E501
    ("pairs.csv", "x,y\na cat,a dog\n", ["--threshold", "1e9"], "--threshold must be a number .* got 1e.09"),
    ("pairs.csv", b"x,y\na cat,caf\xe9\n", [], "is not UTF-8 text in line 2.*iconv"),
    ("pairs.jsonl", '{"x": "a cat", "y": "a dog"}\n{"x": "a cat", "y": 5}\n', ["--columns", "x,y"], "'a cat' and 5 in line 2 are not two texts"),  # noqa: E501
    ("pairs.jsonl", '{"x": "a cat", "y": "a dog"}\n{"x": "a c\n', [], "read as JSON: line 2: .*jq -c"),
    ("pairs.jsonl", '[{"x": "a cat", "y": "a dog"}]\n', [], "row 1 is no JSON object in a line.*jq -c"),
    ("pairs.jsonl", '{"x": "a cat", "y": "a dog"}\n["a", "b"]\n', [], "line 2 is no JSON object"),
    ("pairs.parquet", "no parquet", [], "could not be read as Parquet"),
    ("pairs.txt", "a\tb\n", [], "unknown ending"),
    ("", "", [], "nowhere.csv does not exist"),
]  # type: ignore[list-item]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD)
def test_what_is_refused_in_one_line(
    name: str, content: str | bytes, options: list[str], message: str, folders: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if name:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "there.csv").write_text("a,b\n1,2\n")
    output = [] if "--output" in options else ["--output", f"out{Path(name).suffix}"]
    monkeypatch.setattr("selective_st.cli.scoring.load_model", lambda *_: pytest.fail("the model was loaded"))
    result = run(folders["SentenceTransformer"], name or "nowhere.csv", *output, *options)
    assert result.exit_code == 1, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.output
    assert re.search(message, lines[0]), lines[0]
    assert not (tmp_path / f"out{Path(name).suffix}").exists()


def test_an_output_of_its_own_is_replaced_when_told(folders: dict[str, Path], pairs_csv: Path) -> None:
    output = pairs_csv.with_name("out.csv")
    for options, code, message in (
        ([], 0, "rows match"),
        ([], 1, "exists already.*--overwrite"),
        (["--overwrite", "--threshold", "0.5"], 0, "rows match"),
    ):
        result = run(folders["SentenceTransformer"], pairs_csv, "--output", output, *options)
        assert result.exit_code == code, result.output
        assert re.search(message, text(result))
    assert all(row["match"] == (None if row["score"] is None else row["score"] >= 0.5) for row in read(output))


def test_a_damaged_threshold_and_a_broken_model(
    folders: dict[str, Path], pairs_csv: Path, model: SentenceTransformer, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "score_threshold.json").write_text("{")
    result = run(tmp_path / "model", pairs_csv, "--output", tmp_path / "out.csv")
    assert result.exit_code == 1
    assert "score_threshold.json of" in text(result)
    assert "cannot be read" in text(result)
    broken = Counting(model)
    broken.encode = lambda texts, **options: model.encode(texts, **options) * float("nan")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="no finite number"):
        score_file(broken, pairs_csv, tmp_path / "out.csv")


@pytest.mark.slow
def test_several_processes(folders: dict[str, Path], pairs_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.multiprocessing, "get_context", lambda method: FORKS)  # need not import anything
    outputs = [pairs_csv.with_name(f"{name}.csv") for name in ("one", "two")]
    for output, devices in zip(outputs, ("cpu", "cpu,cpu"), strict=True):
        done = run(folders["SentenceTransformer"], pairs_csv, "--output", output, "--devices", devices)
        assert done.exit_code == 0, done.output
    one, two = (read(output) for output in outputs)
    assert [row["match"] for row in one] == [row["match"] for row in two]
    assert [row["score"] for row in one if row["score"]] == pytest.approx([row["score"] for row in two if row["score"]])


def test_what_needs_no_model_imports_no_sentence_transformers(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("x,y\na cat,1\n")
    script = f"""
        import sys
        from typer.testing import CliRunner
        from selective_st.cli import app
        words = ["score", {str(folders["SentenceTransformer"])!r}, {str(tmp_path / "pairs.csv")!r}, "--output", "o.csv"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 1 and "needs two texts" in result.output, result.output
        assert "sentence_transformers" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"threshold": "0.5"},
            "threshold must be of type ScoreThreshold or NoneType, got '0.5' of type str. Write thr",
        ),
        ({"file": 5}, "file must be of type str or PathLike, got 5 of type int"),
        ({"model": 5}, "model must be a model, or load one, got 5"),
    ],
)
def test_arguments_of_another_type(wrong: dict[str, Any], message: str, pairs_csv: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"model": print, "file": pairs_csv, "output": tmp_path / "out.csv", **wrong}
    with pytest.raises(TypeError, match=f"^score_file: {re.escape(message)}"):
        score_file(**arguments)
