"""The same file and options read alike, and one loss, by `suggest`, its script, `check` and `train`."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner, Result

import selective_st.cli.training as training_commands
from selective_st.cli import app
from selective_st.cli.evaluation import EvaluateOptions
from selective_st.cli.options import DataOptions, told_words, words_of
from selective_st.cli.registry import CheckOptions, SuggestOptions
from selective_st.cli.training import TrainOptions
from selective_st.data import read_table
from selective_st.demo import graded_pairs
from selective_st.focus import parse_focus
from selective_st.layouts import GradedPairs
from selective_st.loss_kinds import loss_kind
from selective_st.registry import suggest_losses
from selective_st.registry.catalog import TRAINABLE, Trainable
from selective_st.registry.suggestion import Suggestions
from tests.model_types import model_for

PAIRS = graded_pairs(120, seed=3)
FIRST, SECOND = [first for first, _, _ in PAIRS], [second for _, second, _ in PAIRS]
SCORES = [score for _, _, score in PAIRS]
QUESTIONS = [
    (f"What about {FIRST[i][:-1].lower()}?", SECOND[(4 * i + k) % 120], int(k == i % 4))
    for i in range(30) for k in range(4)
]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def text(result: Result) -> str:
    return " ".join(result.output.split())


def found(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code in (0, 1), result.output
    assert result.stdout.startswith("{"), result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def write(path: Path, header: str, rows: Sequence[Sequence[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*([header.split(",")] if header else []), *rows])
    return path


def pairs_with(labels: Sequence[Any]) -> list[tuple[str, str, Any]]:
    return list(zip(FIRST, SECOND, labels, strict=True))


def every(values: Sequence[Any]) -> list[Any]:
    return [values[i % len(values)] for i in range(120)]


class StopError(Exception):
    """What ends a training before it begins."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `train` was about to do, without doing it."""
    kept: dict[str, Any] = {}
    read_splits = training_commands._read_splits

    def stop(*_: Any, **__: Any) -> None:
        raise StopError

    def keep(*given: Any) -> Any:
        kept["kind"], kept["train"], *_ = splits = read_splits(*given)
        return splits

    monkeypatch.setattr(training_commands, "_read_splits", keep)
    monkeypatch.setattr("selective_st.training.prepare", stop)
    return kept


# For each file: its header and rows, the loss that comes first, and what `train` calls it; None if it does not take it.
FILES: dict[str, tuple[str, Sequence[Sequence[Any]], str, str | None]] = {
    "graded without header": ("", PAIRS, "SelectiveOrderLoss", "order"),
    "graded": (
        "sentence1,sentence2,score", pairs_with([score / 5 for score in SCORES]), "SelectiveOrderLoss", "order",
    ),
    "graded beside ids": (
        "id,text_a,text_b,rating", [(i, *row) for i, row in enumerate(PAIRS)], "SelectiveOrderLoss", "order",
    ),
    "binary": ("sentence1,sentence2,label", pairs_with(every([0, 1, 1])), "SelectivePointwiseLoss", "pointwise"),
    "duplicates": (
        "question1,question2,is_duplicate", pairs_with(every([1, 0])), "SelectivePointwiseLoss", "pointwise",
    ),
    "duplicates only": (
        "text1,text2,is_duplicate", pairs_with(every([1])), "SelectiveMultipleNegativesRankingLoss", "in-batch",
    ),
    "answers": ("question,answer,label", QUESTIONS, "SelectiveListwiseLoss", "listwise-labels"),
    "graded answers": (
        "query,document,relevance", [(q, a, 7 * i % 4) for i, (q, a, _) in enumerate(QUESTIONS)],
        "SelectiveListwiseLoss", "listwise",
    ),
    "scored answers": (
        "query,document,score", [(q, a, 7 * i % 10 / 10) for i, (q, a, _) in enumerate(QUESTIONS)],
        "SelectiveListwiseLoss", "listwise",
    ),
    "classes of pairs": ("premise,hypothesis,label", pairs_with(every([0, 1, 2])), "SoftmaxLoss", None),
    "classes of texts": ("text,label", [(t, i % 4) for i, t in enumerate(FIRST)], "BatchAllTripletLoss", None),
    "positives": (
        "anchor,positive", list(zip(FIRST, SECOND, strict=True)), "SelectiveMultipleNegativesRankingLoss", None,
    ),
    "triplets": (
        "anchor,positive,negative", list(zip(FIRST, SECOND, SECOND[9:] + SECOND[:9], strict=True)),
        "SelectiveMultipleNegativesRankingLoss", None,
    ),
    "yes and no": (
        "question1,question2,is_duplicate", pairs_with(every(["yes", "no"])), "SelectivePointwiseLoss", None,
    ),
}  # fmt: skip
LISTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "lists of scores": (
        [
            {"query": FIRST[i], "documents": SECOND[i : i + 3], "scores": [0.9, 0.4 - i / 500, 0]}
            for i in range(60)
        ],
        "SelectiveListwiseLoss",
    ),
    "columns of scores": (
        [
            {"query": FIRST[i], "positive": SECOND[i], "negative_1": SECOND[i + 5], "negative_2": SECOND[i + 6],
             "label": [0.9 - i / 500, 0.1, 0.2]}
            for i in range(60)
        ],
        "SelectiveListwiseLoss",
    ),
    "right and wrong columns": (
        [
            {"query": FIRST[i], "doc_1": SECOND[i], "doc_2": SECOND[i + 5], "doc_3": SECOND[i + 6],
             "label": [1.0, 0, 0]}
            for i in range(60)
        ],
        "SelectiveListwiseLoss",
    ),
}  # fmt: skip


def file_of(name: str, folder: Path) -> tuple[Path, str, str | None]:
    """A file, the loss that comes first, and what `train` calls it."""
    if name in LISTS:
        rows, loss = LISTS[name]
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return path, loss, None
    header, table, loss, kind = FILES[name]
    return write(folder / f"{name}.csv", header, table), loss, kind


class TestOneLoss:
    @pytest.mark.parametrize("name", [*FILES, *LISTS])
    def test_every_command_agrees(self, name: str, asked: dict[str, Any], tmp_path: Path) -> None:
        path, loss, kind = file_of(name, tmp_path)
        suggested = found("suggest", path)
        assert suggested["suggestions"][0]["loss"] == loss
        script = run("suggest", path, "--script").stdout
        assert re.findall(r"^loss = (\w+)\(", script, re.MULTILINE) == [loss]
        compile(script, "train.py", "exec")
        assert found("check", path, "--loss", "auto")["loss"] == loss
        following = shlex.split(suggested["next"])
        if kind is None:
            assert following[:3] == ["selective-st", "suggest", str(path)]
            result = run("train", path, "--loss", "auto", "--output", tmp_path / "model")
            assert result.exit_code == 1
            assert not asked
            assert "selective-st suggest" in text(result)
            assert loss in text(result) or "are classes" in text(result)
            return
        assert following[:5] == ["selective-st", "train", str(path), "--loss", "auto"]
        assert isinstance(run(*following[1:], "--output", tmp_path / "model").exception, StopError)
        assert asked["kind"].name == kind
        assert asked["kind"].loss == loss
        options = following[5:]
        assert found("check", path, "--loss", "auto", *options)["loss"] == loss
        assert found("suggest", path, *options)["suggestions"][0]["loss"] == loss

    @pytest.mark.parametrize("name", ["answers", "graded answers", "lists of scores", "duplicates only"])
    def test_the_script_trains(
        self, name: str, transformer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, _, _ = file_of(name, tmp_path)
        script = run("suggest", path, "--script", "--model", transformer_folder).stdout
        monkeypatch.chdir(tmp_path)
        exec(compile(script, "train.py", "exec"), {"__name__": "__main__"})
        assert SentenceTransformer("output/model", device="cpu").encode(["a text"]).shape == (1, 32)

    def test_check_lays_the_pairs_out_as_train_does(self, tmp_path: Path) -> None:
        path, _, _ = file_of("answers", tmp_path)
        for entry, rows in (("listwise", 30), ("pairwise", 90), ("in-batch", 30), ("pointwise", 120)):
            report = found("check", path, "--loss", entry)
            assert report["loss"] == next(known.loss for known in TRAINABLE if known.name == entry)
            assert report["read"] == f"all {rows} rows"
        assert found("check", path, "--loss", "SelectiveListwiseLoss")["read"] == "all 120 rows"  # as they stand


# --- The columns that are named ---------------------------------------------------------------------------------------

THIRD = SECOND[9:] + SECOND[:9]
SHARES = [score / 5 for score in SCORES]
NAMELESS = {"one": FIRST, "two": SECOND, "three": THIRD, "number": [share - 0.3 for share in SHARES]}
FEELINGS = {"reply": FIRST, "message": SECOND, "feel": every(["joy", "anger", "fear"])}
IN_BATCH, POINTWISE, ORDER = (
    "SelectiveMultipleNegativesRankingLoss", "SelectivePointwiseLoss", "SelectiveOrderLoss",
)  # fmt: skip
# Columns of a file; which are named; the shape, the kind of labels, and the loss.
NAMED: list[tuple[dict[str, list[Any]], str, str, str, str]] = [
    ({"title": FIRST, "body": SECOND, "votes": SCORES}, "title,body,votes", "pair", "similarity", ORDER),
    ({"source": FIRST, "author": SECOND, "weight": SHARES}, "author,source,weight", "pair", "similarity", ORDER),
    (NAMELESS, "one,two,three", "triplet", "none", IN_BATCH),
    (NAMELESS, "1,2,4", "pair", "similarity", ORDER),
    (NAMELESS, "one,two,three,number", "triplet", "margin", "SelectivePairwiseLoss"),
    ({"a": FIRST, "b": SECOND, "c": THIRD, "d": FIRST[::-1]}, "a,b,c,d", "n-tuple", "none", IN_BATCH),
    (FEELINGS, "message,feel", "single", "class", "BatchAllTripletLoss"),
    (FEELINGS, "message,reply", "pair", "none", IN_BATCH),
    ({"a": FIRST, "b": SECOND, "same": every(["yes", "no"]), "n": SCORES}, "a,b,same", "pair", "binary", POINTWISE),
    (
        {"q1": FIRST, "q2": SECOND, "is_match": every([0, 1]), "n": SCORES},
        "q1,q2,is_match",
        "pair",
        "binary",
        POINTWISE,
    ),
]


class TestColumns:
    @pytest.mark.parametrize(("columns", "named", "shape", "label", "loss"), NAMED, ids=[each[1] for each in NAMED])
    def test_who_names_them_is_taken_at_his_word(
        self, columns: dict[str, list[Any]], named: str, shape: str, label: str, loss: str, tmp_path: Path
    ) -> None:
        path = write(tmp_path / "data.csv", ",".join(columns), list(zip(*columns.values(), strict=True)))
        scale = ("--score-range", "0,5") if "votes" in columns else ()
        suggested = found("suggest", path, "--columns", named, *scale)
        assert (suggested["format"]["shape"], suggested["format"]["label"]) == (shape, label)
        assert suggested["format"]["certainty"] != "unclear"
        assert suggested["suggestions"][0]["loss"] == loss
        assert f"--columns {named}" in suggested["next"]
        checked = found("check", path, "--columns", named, *scale, "--loss", "auto")
        assert checked["loss"] == loss
        assert not {"no-label", "stray-column", "id-column", "number-column"} & {x["code"] for x in checked["findings"]}
        # The code that is shown makes the same columns of the file as it is.
        names: dict[str, Any] = {"dataset": Dataset.from_dict(columns)}
        exec("\n".join(checked["steps"]), names)
        order = [list(columns)[int(name) - 1] if name.isdecimal() else name for name in named.split(",")]
        texts = [name for name in order if isinstance(columns[name][0], str) and name not in ("feel", "same")]
        dataset = names["dataset"]
        assert [dataset[name][:] for name in dataset.column_names[: len(texts)]] == [columns[name] for name in texts]

    def test_a_label_is_a_label_whatever_its_name(self, asked: dict[str, Any], tmp_path: Path) -> None:
        path = write(tmp_path / "data.csv", "title,body,votes", pairs_with([score * 10 for score in SCORES]))
        told = ("--columns", "2,1,3", "--score-range", "0,50", "--loss", "auto")
        assert isinstance(run("train", path, *told, "--output", tmp_path / "model").exception, StopError)
        assert asked["kind"].name == "order"
        train = asked["train"]
        row = SECOND.index(train.sentences1[0])
        assert train.sentences2[0] == FIRST[row]
        assert train.scores[0] == pytest.approx(SHARES[row])

    @pytest.mark.parametrize("command", [("suggest",), ("check", "--loss", "auto"), ("train",)])
    def test_what_is_not_there(self, command: tuple[str, ...], tmp_path: Path) -> None:
        path = write(tmp_path / "data.csv", "a,b,score", pairs_with(SCORES))
        output = ("--output", tmp_path / "model") if command == ("train",) else ()
        for columns, message in (("a,b,rating", "no column 'rating'; it has a, b"), ("a,a,score", "a column twice")):
            result = run(command[0], path, *command[1:], "--columns", columns, *output)
            assert result.exit_code == 1
            assert message in text(result)

    @pytest.mark.parametrize(
        ("columns", "example"),
        [
            (
                {
                    "genre": every(["drama", "comedy"]),
                    "file": [f"f{i}.txt" for i in range(120)],
                    "year": [1990 + i % 20 for i in range(120)],
                    "title": FIRST,
                    "plot": SECOND,
                    "stars": every([1, 2, 3, 4, 5]),
                },
                "title,plot,stars",
            ),
            ({"n": SCORES, "when": every(["2020-01-01"]), "left": FIRST, "right": SECOND}, "left,right,n"),
            ({"code": [f"a{i}" for i in range(120)], "one": FIRST, "points": SCORES, "two": SECOND}, "one,two,points"),
        ],
        ids=["films", "label first", "label between"],
    )
    def test_an_example_comes_from_the_values(
        self, columns: dict[str, list[Any]], example: str, asked: dict[str, Any], tmp_path: Path
    ) -> None:
        path = write(tmp_path / "data.csv", ",".join(columns), list(zip(*columns.values(), strict=True)))
        result = run("train", path, "--output", tmp_path / "model")
        assert f"for example --columns {example}" in text(result)
        result = run("train", path, "--columns", example, "--score-range", "0,5", "--output", tmp_path / "model")
        assert isinstance(result.exception, StopError), result.output

    def test_no_example_where_there_is_none(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "data.csv", "genre,file,year", [("drama", f"f{i}.txt", 1990 + i % 20) for i in range(60)]
        )
        result = run("train", path, "--score-range", "0,5", "--output", tmp_path / "model")
        assert result.exit_code == 1
        assert "--columns genre" not in text(result)


# --- Classes are no grades --------------------------------------------------------------------------------------------

CLASSES: dict[str, list[Any]] = {
    "numbers": every([0, 1, 2]),
    "from one": every([1, 2]),
    "words": every(["entailment", "neutral", "contradiction"]),
}


class TestClasses:
    @pytest.mark.parametrize("kind", ["numbers", "words", "class labels"])
    def test_all_commands_say_so(self, kind: str, asked: dict[str, Any], tmp_path: Path) -> None:
        names = ["entailment", "neutral", "contradiction"]
        path = tmp_path / "nli.csv"
        if kind == "class labels":
            path = tmp_path / "nli.parquet"
            rows = Dataset.from_dict({"premise": FIRST, "hypothesis": SECOND, "label": CLASSES["numbers"]})
            rows.cast_column("label", ClassLabel(names=names)).to_parquet(str(path))
        else:
            write(path, "premise,hypothesis,label", pairs_with(CLASSES[kind]))
        suggested = found("suggest", path)
        assert suggested["format"]["label"] == "class"
        assert suggested["suggestions"][0]["loss"] == "SoftmaxLoss"
        for options in ((), ("--score-range", "0,2"), ("--loss", "pointwise"), ("--loss", "auto")):
            result = run("train", path, *options, "--output", tmp_path / "model")
            assert result.exit_code == 1
            shown = "0, 1, 2" if kind == "numbers" else ", ".join(names if kind == "class labels" else sorted(names))
            assert f"the labels in column 'label' are classes ({shown}), not grades" in text(result)
            assert 'call the column "score"; or train regardless with --no-check' in text(result)
        assert not asked
        checked = found("check", path, "--loss", "CosineSimilarityLoss", "--score-range", "0,2")
        assert any("are classes" in note and "--score-range 0,2 does not apply" in note for note in checked["notes"])
        assert not checked["steps"]
        for report in (checked, found("check", path, "--loss", "pointwise")):
            assert report["findings"][0]["severity"] == "error"
            assert "are classes" in report["findings"][0]["message"]
            assert not any("scale_labels" in finding["mend"] for finding in report["findings"])
        assert not any("are classes" in x["message"] for x in found("check", path, "--loss", "SoftmaxLoss")["findings"])
        suggested = found("suggest", path, "--score-range", "0,2")
        assert suggested["suggestions"][0]["loss"] == "SoftmaxLoss"
        assert "--score-range" not in suggested["next"]

    def test_who_insists_is_obeyed(self, asked: dict[str, Any], tmp_path: Path) -> None:
        path = write(tmp_path / "nli.csv", "premise,hypothesis,label", pairs_with(CLASSES["numbers"]))
        train = ("train", path, "--score-range", "0,2", "--output", tmp_path / "model")
        assert isinstance(run(*train, "--no-check").exception, StopError)
        assert set(asked["train"].scores) == {0.0, 0.5, 1.0}
        path = write(tmp_path / "grades.csv", "premise,hypothesis,score", pairs_with(CLASSES["numbers"]))
        assert isinstance(run("train", path, *train[2:]).exception, StopError)

    @pytest.mark.parametrize("name", ["is_different", "not_similar", "dissimilarity", "winner", "preference"])
    def test_a_label_that_says_something_else(self, name: str, asked: dict[str, Any], tmp_path: Path) -> None:
        path = write(tmp_path / "data.csv", f"a,b,{name}", pairs_with(every([0, 1])))
        assert found("suggest", path, "--columns", f"a,b,{name}")["next"] == ""
        train = ("train", path, "--columns", f"a,b,{name}", "--output", tmp_path / "model")
        result = run(*train)
        assert result.exit_code == 1
        assert f"column '{name}' says something else than that 1 (or more) is for texts that belong together" in text(
            result
        )
        assert run(*train, "--score-range", "0,1").exit_code == 1
        assert not asked
        assert isinstance(run(*train, "--no-check").exception, StopError)


# --- Scales -----------------------------------------------------------------------------------------------------------


class TestScales:
    @pytest.mark.parametrize(
        ("labels", "guess"),
        [
            ([1.2 + 5.6 * i / 119 for i in range(120)], "from 1.2 to 6.8"),
            ([3.9 * i / 119 for i in range(120)], "from 0 to 3.9"),
            ([20 + 77.5 * i / 119 for i in range(120)], "from 20 to 97.5"),
        ],
    )
    def test_a_guess_is_called_one(
        self, labels: list[float], guess: str, asked: dict[str, Any], tmp_path: Path
    ) -> None:
        path = write(tmp_path / "data.csv", "sentence1,sentence2,score", pairs_with(labels))
        suggested = found("suggest", path)
        [note] = [note for note in suggested["notes"] if "guess" in note]
        assert guess in note
        assert "give it with --score-range LOW,HIGH" in note
        result = run("train", path, "--output", tmp_path / "model")
        assert "(a guess)" in text(result)
        assert isinstance(run(*shlex.split(suggested["next"])[1:], "--output", tmp_path / "model").exception, StopError)
        assert 0 <= min(asked["train"].scores) < max(asked["train"].scores) <= 1

    @pytest.mark.parametrize("labels", [every([0, 2.5, 5]), [score / 5 for score in SCORES], every([0, 1])])
    def test_what_is_none_is_not(self, labels: list[float], tmp_path: Path) -> None:
        path = write(tmp_path / "data.csv", "sentence1,sentence2,score", pairs_with(labels))
        assert not any("guess" in note for note in found("suggest", path)["notes"])

    @pytest.mark.parametrize(
        ("name", "labels", "scale"),
        [
            ("label", every(range(6)), "0,5"),
            ("stars", every(range(1, 6)), "1,5"),
            ("label", every([1]), "0,1"),
        ],
    )
    def test_who_says_the_scale_says_that_there_is_one(
        self, name: str, labels: list[int], scale: str, asked: dict[str, Any], tmp_path: Path
    ) -> None:
        path = write(tmp_path / "data.csv", f"text1,text2,{name}", pairs_with(labels))
        assert found("suggest", path)["format"]["certainty"] == "unclear"
        told = ("--columns", f"text1,text2,{name}", "--score-range", scale)
        suggested = found("suggest", path, *told)
        assert suggested["format"]["certainty"] != "unclear"
        loss = suggested["suggestions"][0]["loss"]
        assert loss == ("SelectiveOrderLoss" if len(set(labels)) > 1 else "SelectiveMultipleNegativesRankingLoss")
        assert found("check", path, "--loss", "auto", *told)["loss"] == loss
        assert isinstance(run("train", path, "--loss", "auto", *told, "--output", tmp_path / "m").exception, StopError)
        assert asked["kind"].loss == loss
        low, high = map(int, scale.split(","))
        assert sorted(set(asked["train"].scores)) == [(x - low) / (high - low) for x in sorted(set(labels))]

    def test_margins_are_divided_by_its_width(self, tmp_path: Path) -> None:
        rows = list(zip(FIRST, SECOND, THIRD, [10 - i / 6 for i in range(120)], strict=True))
        path = write(tmp_path / "data.csv", "query,positive,negative,margin", rows)
        checked = found("check", path, "--columns", "1,2,3,4", "--score-range", "0,20", "--loss", "MarginMSELoss")
        assert checked["steps"][-1] == 'dataset = scale_margins(dataset, "score", 20)'

    def test_a_label_beyond_it_is_named_alike(self, tmp_path: Path) -> None:
        path = write(tmp_path / "data.csv", "sentence1,sentence2,score", pairs_with([*SCORES[:77], 9, *SCORES[78:]]))
        for command in (("suggest",), ("check", "--loss", "auto"), ("train", "--output", str(tmp_path / "model"))):
            result = run(command[0], path, *command[1:], "--score-range", "0,5")
            assert result.exit_code == 1
            assert "column 'score' lies outside --score-range 0,5 in line 79: 9." in text(result)


# What is not clear, and how many ways to read it the options can choose.
UNCLEAR: dict[str, tuple[dict[str, list[Any]], int]] = {
    "three texts": ({"one": FIRST, "two": SECOND, "three": THIRD}, 3),
    "grades or classes": ({"sentence1": FIRST, "sentence2": SECOND, "label": every(range(6))}, 1),
    "stars": ({"review_a": FIRST, "review_b": SECOND, "stars": every(range(1, 6))}, 2),
    "parts of a text": ({"subject": FIRST, "message": SECOND, "label": every(range(3))}, 2),
    "one label": ({"text1": FIRST, "text2": SECOND, "label": every([1])}, 1),
}


class TestUnclear:
    @pytest.mark.parametrize("name", UNCLEAR)
    def test_the_options_choose_a_reading(self, name: str, asked: dict[str, Any], tmp_path: Path) -> None:
        columns, count = UNCLEAR[name]
        path = write(tmp_path / "data.csv", ",".join(columns), list(zip(*columns.values(), strict=True)))
        suggested = found("suggest", path)
        assert suggested["format"]["certainty"] == "unclear"
        assert not suggested["suggestions"]
        assert not suggested["next"]
        assert len(suggested["ways"]) == count
        forms = set()
        for words, command in suggested["ways"].items():
            chosen = found(*shlex.split(command)[1:])
            assert chosen["format"]["certainty"] != "unclear"
            assert chosen["suggestions"]
            assert ("--score-range" in command) == ("is a guess" in words)
            forms.add((chosen["format"]["shape"], chosen["format"]["label"], tuple(chosen["format"]["inputs"])))
        assert len(forms) == count
        for command in (
            ("suggest", path, "--script"),
            ("check", path, "--loss", "auto"),
            ("train", path, "--loss", "auto"),
        ):
            result = run(*command, *(("--output", tmp_path / "model") if command[0] == "train" else ()))
            assert result.exit_code == 1
            for words in suggested["ways"]:
                assert f"If {words}: --" in text(result)
        assert not asked


# --- Rows -------------------------------------------------------------------------------------------------------------


class TestRows:
    def test_check_counts_as_train_does(self, tmp_path: Path) -> None:
        rows = pairs_with([score / 5 for score in SCORES])
        rows[3], rows[7] = (rows[3][0], "", 0.5), (rows[7][0], " ", 0.5)
        rows[20] = (f"{rows[20][0]}\nin two lines", *rows[20][1:])
        rows[30] = (*rows[30][:2], 7.0)
        path = write(tmp_path / "data.csv", "sentence1,sentence2,score", rows)
        checked = found("check", path, "--loss", "CosineSimilarityLoss")
        messages = {finding["code"]: finding["message"] for finding in checked["findings"]}
        assert "2 row(s) (lines 5, 9)" in messages["empty-text"]
        assert "1 row(s) (line 33)" in messages["label-range"]
        result = run("train", path, "--output", tmp_path / "model")
        assert "column 'sentence2' must hold texts, but lines 5, 9 hold(s)" in text(result)

    def test_rows_without_lines_count_from_one(self, tmp_path: Path) -> None:
        path = tmp_path / "data.parquet"
        second = [*SECOND[:4], "", *SECOND[5:]]
        Dataset.from_dict({"a": FIRST, "b": second, "score": [s / 5 for s in SCORES]}).to_parquet(str(path))
        checked = found("check", path, "--loss", "CosineSimilarityLoss")
        assert "(row 5)" in checked["findings"][0]["message"]
        assert "must hold texts, but row 5 hold(s)" in text(run("train", path, "--output", tmp_path / "model"))


# --- Names of losses --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("names") / "pairs.csv", "sentence1,sentence2,score", pairs_with(SHARES))


class TestLossNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [("listwize", "listwise"), ("cosent", "CoSENTLoss"), ("CosineSimilarity", "CosineSimilarityLoss"),
         ("Pointwise", "pointwise"), ("SelectivePointwise", "SelectivePointwiseLoss")],
    )  # fmt: skip
    @pytest.mark.parametrize("command", ["check", "suggest"])
    def test_near_ones_are_offered(self, command: str, name: str, meant: str, path: Path) -> None:
        result = run(command, path, "--loss", name)
        assert result.exit_code == 1
        assert re.search(rf"Did you mean [^?]*\b{meant}\b[^?]*\?", text(result))

    @pytest.mark.parametrize("name", ["listwize", "hinge", "SelectiveLoss"])
    def test_each_is_listed_once(self, name: str, path: Path, tmp_path: Path) -> None:
        for result in (
            run("check", path, "--loss", name),
            run("train", path, "--loss", name, "--output", tmp_path / "m"),
        ):
            listed = re.sub(r"Did you mean [^?]*\?", "", text(result))
            for known in {*(entry.name for entry in TRAINABLE), *(entry.loss for entry in TRAINABLE), "auto"}:
                assert len(re.findall(rf"(?<![\w-]){known}(?![\w-])", listed)) <= 1, listed
            for entry in TRAINABLE:
                assert re.search(rf"(?<![\w-]){entry.name}(?![\w-])", listed)

    @pytest.mark.parametrize("name", ["CoSENTLoss", "CosineSimilarityLoss", "SelectivePointwiseLoss"])
    def test_built_in_ones_are_taken_where_they_are_said_to_be(self, name: str, path: Path, tmp_path: Path) -> None:
        assert found("check", path, "--loss", name)["loss"] == name
        assert f"loss = {name}(model" in run("suggest", path, "--script", "--loss", name).stdout
        result = run("train", path, "--loss", name, "--epochs", 0, "--output", tmp_path / "model")
        assert result.exit_code == 2  # the option, not the name
        if not name.startswith("Selective"):
            result = run("train", path, "--loss", name, "--output", tmp_path / "model")
            kind = "order" if name == "CoSENTLoss" else "pointwise"
            assert f"Write --loss {kind} --compare." in text(result)

    def test_of_other_models(self, path: Path) -> None:
        result = run("check", path, "--loss", "BinaryCrossEntropyLoss")
        assert "is a loss for CrossEncoder: add --model-type CrossEncoder." in text(result)
        assert found("check", path, "--loss", "BinaryCrossEntropyLoss", "--model-type", "CrossEncoder")["loss"]
        assert "there is no such loss" in text(run("check", path, "--loss", "listwise", "--model-type", "CrossEncoder"))

    def test_the_names_of_train_are_those_of_the_script_too(self, path: Path, tmp_path: Path) -> None:
        answers, _, _ = file_of("answers", tmp_path)
        for name, step in (("pairwise", "pairs_to_triplets"), ("in-batch", "pairs_to_positives"), ("pointwise", "")):
            script = run("suggest", answers, "--script", "--loss", name).stdout
            assert (f"dataset = {step}(dataset" in script) == bool(step)


# --- One dataclass a command ------------------------------------------------------------------------------------------


class TestOptions:
    @pytest.mark.parametrize("options", [SuggestOptions, CheckOptions, TrainOptions, EvaluateOptions])
    def test_every_command_reads_data_alike(self, options: type[Any]) -> None:
        command = {SuggestOptions: "suggest", CheckOptions: "check", TrainOptions: "train"}.get(options, "evaluate")
        names = [each.name for each in fields(options)]
        assert {each.name for each in fields(DataOptions)} <= {*names}
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        for option in ("--columns", "--score-range", "--no-header", "--split"):
            assert option in shown

    def test_the_words_of_options_ask_for_the_same(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        jobs: list[TrainOptions] = []
        monkeypatch.setattr(training_commands, "_train", jobs.append)
        job = TrainOptions(
            data="some data.csv", columns=["a b", "2", "label"], score_range=(-1.0, 5.5), header=False, split="dev",
            output=tmp_path / "a model", loss="auto", focus="0.6:0.8", learning_rates=(1e-5, 0.03), temperature=0.25,
            compare=True, seeds=3, check=False, overwrite=True,
        )  # fmt: skip
        assert run("train", *words_of(job)).exit_code == 0
        assert jobs == [job]
        assert run("train", "pairs.csv").exit_code == 0
        assert jobs[1] == TrainOptions(data="pairs.csv")
        at_thresholds = replace(job, focus=None, threshold=[0.85, 0.5])
        assert run("train", *words_of(at_thresholds)).exit_code == 0
        assert jobs[2] == at_thresholds
        assert told_words(job) == [
            "--score-range",
            "-1,5.5",
            "--columns",
            "a b,2,label",
            "--no-header",
            "--split",
            "dev",
        ]

    def test_the_help_has_the_settings_of_the_catalog(self) -> None:
        shown = text(CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "400"}))
        for entry in TRAINABLE:
            assert f"{entry.name}: {entry.what}" in shown
            if entry.temperature is not None:
                assert f"{entry.name} {entry.temperature:g}" in shown

    def test_the_split_of_a_hub_dataset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def load(source: str, split: str) -> Dataset:
            asked.append(split)
            return Dataset.from_dict({"sentence1": FIRST, "sentence2": SECOND, "score": [s / 5 for s in SCORES]})

        monkeypatch.setattr("datasets.load_dataset", load)
        suggested = found("suggest", "some/pairs", "--split", "dev")
        assert suggested["next"].endswith("--loss auto --split dev")
        assert (
            'read_table("some/pairs", split="dev")' in run("suggest", "some/pairs", "--split", "dev", "--script").stdout
        )
        assert found("check", "some/pairs", "--loss", "auto")["loss"] == "SelectiveOrderLoss"
        assert asked == ["dev", "dev", "train"]


# --- Evaluation -------------------------------------------------------------------------------------------------------


class TestEvaluationOfOtherLabels:
    """`evaluate` takes no label for a grade that says something else, be it in its data or on the validation split."""

    @pytest.mark.parametrize("role", ["data", "--validation-data"])
    @pytest.mark.parametrize(
        ("header", "labels", "options", "said"),
        [
            ("question1,question2,not_duplicate", [0, 1], (), "says something else"),
            ("a,b,different", [0, 1], ("--columns", "a,b,different"), "says something else"),
            ("answer_a,answer_b,winner", [1, 0], (), "says something else"),
            ("premise,hypothesis,label", [0, 1, 2], ("--score-range", "0,2"), "are classes (0, 1, 2)"),
            ("premise,hypothesis,label", ["entailment", "neutral", "contradiction"], (), "are classes"),
        ],
    )
    def test_is_refused(
        self, header: str, labels: list[Any], options: tuple[str, ...], said: str, role: str, tmp_path: Path
    ) -> None:
        path = write(tmp_path / "other.csv", header, pairs_with(every(labels)))
        texts = ",".join(header.split(",")[:2])
        grades = write(tmp_path / "grades.csv", f"{texts},score", pairs_with([score / 5 for score in SCORES]))
        if role == "data":
            result = run("evaluate", "no-model", path, *options, "--output", tmp_path / "out")
        else:
            scale = ("--score-range", "0,2") if "0,2" in options else ()
            result = run(
                "evaluate", "no-model", grades, "--columns", "1,2,3", *scale, role, path, "--output", tmp_path / "out"
            )
        assert result.exit_code == 1
        assert said in text(result)
        assert "or evaluate regardless with --no-check" in text(result)
        suggest = re.search(r"`selective-st (suggest [^`]*)`", text(result))
        assert suggest is not None
        assert run(*shlex.split(suggest[1])).exit_code in (0, 1)
        assert not (tmp_path / "out").exists()
        words = ("--columns", header, "--no-check")
        insisting = text(run("evaluate", "no-model", path, *options, *words, "--output", tmp_path / "out"))
        found_words = "are words" in insisting or "is not a number" in insisting
        assert "no-model could not be loaded" in insisting if isinstance(labels[0], int) else found_words

    def test_grades_and_yes_or_no_are_taken(self, tmp_path: Path) -> None:
        for header, labels in (("a,b,score", [0.1, 0.9, 1]), ("q1,q2,label", [0, 1])):
            path = write(tmp_path / "pairs.csv", header, pairs_with(every(labels)))
            assert "no-model could not be loaded" in text(run("evaluate", "no-model", path, "--output", tmp_path / "o"))

    @pytest.mark.parametrize(
        ("header", "yes", "no"), [("a,b,is_duplicate", "yes", "no"), ("text_a,text_b,label", "match", "mismatch")]
    )
    def test_words_for_yes_and_no_are_named(self, header: str, yes: str, no: str, tmp_path: Path) -> None:
        path = write(tmp_path / "pairs.csv", header, pairs_with(every([yes, no])))
        result = run("evaluate", "no-model", path, "--columns", header, "--output", tmp_path / "out")
        assert f"are words. Write 1 for {yes}, 0 for {no}." in text(result)

    @pytest.mark.parametrize("role", ["--eval-data", "--test-data"])
    def test_train_looks_at_every_file(self, role: str, asked: dict[str, Any], tmp_path: Path) -> None:
        grades = write(tmp_path / "grades.csv", "a,b,score", pairs_with([score / 5 for score in SCORES]))
        other = write(tmp_path / "other.csv", "a,b,not_similar", pairs_with(every([0, 1])))
        command = ("train", grades, "--columns", "1,2,3", role, other, "--output", tmp_path / "model")
        result = run(*command)
        assert result.exit_code == 1
        assert "other.csv: by its name, column 'not_similar' says something else" in text(result)
        assert not asked
        assert isinstance(run(*command, "--no-check").exception, StopError)


class TestConflicts:
    """Rows with the same texts and other labels are named by `suggest` as by `check`, with examples."""

    @pytest.mark.parametrize(
        ("header", "rows", "said"),
        [
            ("sentence1,sentence2,score", [("a b", "c d", 0.9), ("a b", "c d", 0.1)], "1 pair with different labels"),
            ("sentence1,sentence2,score", [("a b", "c d", 0.9), ("c d", "a b", 0.1)], "1 pair with different labels"),
            (
                "text,label",
                [("a b c d e", "x"), ("a b c d e", "y"), ("f g h i", "y"), ("f g h i", "x")],
                "2 texts with",
            ),
        ],
    )
    def test_suggest(self, header: str, rows: list[tuple[Any, ...]], said: str, tmp_path: Path) -> None:
        others = [(one, f"{two} too", score / 5) for one, two, score in PAIRS]
        if header == "text,label":
            others = [(one, "xy"[i % 2]) for i, one in enumerate(dict.fromkeys(FIRST))]  # type: ignore[misc]
        path = write(tmp_path / "data.csv", header, [*rows, *others])
        [note] = [note for note in found("suggest", path)["notes"] if "different labels" in note]
        assert said in note
        assert "(lines 2, 3: " in note
        write(path, header, others)
        assert not [note for note in found("suggest", path)["notes"] if "different labels" in note]

    def test_rows_without_a_label_do_not_shift_the_lines(self, tmp_path: Path) -> None:
        rows = [
            {"sentence1": a, "sentence2": b, "score": None if i < 3 else s / 5} for i, (a, b, s) in enumerate(PAIRS)
        ]
        rows += [rows[10] | {"score": 0.123}, rows[20] | {"sentence2": None}]
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        [note] = [note for note in found("suggest", path)["notes"] if "different labels" in note]
        assert f"1 pair with different labels (lines 11, 121: {rows[10]['score']}, 0.123)" in note


class TestWordsThatTurnTheLabelRound:
    """0 and 1 whose words say the reverse are classes, also where the column of words is left out; the mend works."""

    @pytest.mark.parametrize(
        ("zero", "one", "right"),
        [
            ("same", "different", False),
            ("duplicate", "not_duplicate", False),
            ("yes", "no", False),
            ("different", "same", True),
            ("no", "yes", True),
        ],
    )
    @pytest.mark.parametrize("command", ["train", "evaluate"])
    def test_beside_it(
        self, command: str, zero: str, one: str, right: bool, asked: dict[str, Any], tmp_path: Path
    ) -> None:
        rows = [(*pair, (zero, one)[int(pair[2])]) for pair in pairs_with(every([0, 1, 1]))]
        path = write(tmp_path / "data.csv", "text_a,text_b,label,label_name", rows)
        call = ("train", path) if command == "train" else ("evaluate", "no-model", path)
        result = run(*call, "--columns", "text_a,text_b,label", "--output", tmp_path / "out")
        if right:
            reached = bool(asked) if command == "train" else "no-model could not be loaded" in text(result)
            assert reached, text(result)
            return
        assert f"the class '{zero}' is 0: for binary labels, a positive pair must be 1" in text(result)
        assert "write numbers, higher for more similar, and call the column" in text(result)
        assert not asked
        mended = [(a, b, 1 - label) for a, b, label, _ in rows]  # as it says
        path = write(tmp_path / "data.csv", "text_a,text_b,score", mended)
        result = run(*call, "--columns", "text_a,text_b,score", "--output", tmp_path / "out")
        assert bool(asked) if command == "train" else "no-model could not be loaded" in text(result)
        if command == "train":
            assert asked["train"].scores[:3] != [0.0, 1.0, 1.0]


@pytest.mark.parametrize("entry", TRAINABLE, ids=lambda entry: entry.name)
@pytest.mark.parametrize("focus", ["high", "0.4:0.6"])
def test_train_makes_the_loss_that_is_suggested_for_what_it_lays_out(entry: Trainable, focus: str) -> None:
    """Name by name: the same link, temperature and settings, and the temperature that `train --help` gives."""
    grades = [i % 2 if entry.label == "binary list" else 0.25 * (i % 5) for i in range(120)]
    columns = {"sentence1": [FIRST[i // 5] for i in range(120)], "sentence2": SECOND, "score": map(float, grades)}
    pairs = GradedPairs(Dataset.from_dict({name: list(values) for name, values in columns.items()}), "pairs")
    kind, model = loss_kind(entry.name), model_for("SentenceTransformer")
    laid_out = kind.layout(pairs, "first", 4, 0.8).dataset
    suggested = suggest_losses(laid_out, focus=focus)
    assert isinstance(suggested, Suggestions)
    made = [
        kind.build(model, parse_focus(focus)).get_config_dict(),  # type: ignore[operator]
        suggested.of(entry.loss).build(model).get_config_dict(),
    ]
    assert made[0] == made[1]
    given = made[0].get("temperature", 1 / made[0]["scale"] if "scale" in made[0] else None)
    assert given == (None if entry.temperature is None else pytest.approx(entry.temperature))


# --- Options that say nothing, or two things --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("suggest", "FILE", "--script", "--json"), "--script prints a program, --json the suggestions"),
        (("suggest", "FILE", "--split", "test"), "is a file, which has no split 'test'. Leave --split out"),
        (("evaluate", "no-model", "FILE", "--threshold-metric", "f3"), "--threshold-metric must be one of f1"),
        (("evaluate", "no-model", "FILE", "--threshold-metric", "F1"), "--threshold-metric must be one of f1"),
        (("score", "no-model", "FILE", "--threshold", "nan"), "--threshold must be a number of at most 1e+06 in size"),
    ],
)
def test_are_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "sentence1,sentence2,similarity", pairs_with([score / 5 for score in SCORES]))
    given = [path if word == "FILE" else word for word in arguments]
    output = ("--output", tmp_path / "out.csv") if arguments[0] != "suggest" else ()
    result = run(*given, *output)
    assert result.exit_code == 1
    assert said in text(result)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("kind", ["CrossEncoder", "MultiVectorEncoder"])
def test_another_type_of_model_is_not_trained_as_an_embedding_model(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "sentence1,sentence2,score", pairs_with([score / 5 for score in SCORES]))
    model_for(kind).save_pretrained(str(tmp_path / "model"))
    config = tmp_path / "model" / "config_sentence_transformers.json"
    config.write_text(config.read_text().replace("MultiVectorEncoder", "ColBERT"))  # as PyLate names it
    result = run("train", path, "--model", tmp_path / "model", "--epochs", "1", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert f"is a {kind}, but this command trains a SentenceTransformer" in text(result)


def test_the_same_pair_again_is_no_list(tmp_path: Path) -> None:
    rows = [(FIRST[i % 30], SECOND[i % 30], round(i / 120, 2)) for i in range(120)]
    path = write(tmp_path / "p.csv", "sentence1,sentence2,score", rows)
    assert found("suggest", path)["suggestions"][0]["loss"] == "SelectiveOrderLoss"
    assert found("check", path, "--loss", "auto")["loss"] == "SelectiveOrderLoss"


@pytest.mark.parametrize(
    ("labels", "scale"),
    [
        ([1, 40, 100], "0,100"),
        ([0.2, 2.5, 4.9], "0,5"),
        ([1.5, 3.0, 6.8], "0,10"),
        ([1, 4, 7], "1,7"),
        ([0, 2, 3], "0,3"),
    ],
)
def test_one_scale_is_named_by_all(labels: list[Any], scale: str, tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "sentence1,sentence2,score", pairs_with(every(labels)))
    assert f"--score-range {scale}" in found("suggest", path)["next"]
    assert f"--score-range {scale}" in text(run("train", path, "--output", tmp_path / "out"))
    checked = found("check", path, "--loss", "CosineSimilarityLoss")
    assert f'scale_labels(dataset, "score", {scale.replace(",", ", ")})' in str(checked["findings"])


def test_one_label_far_beyond_is_named_and_no_scale(tmp_path: Path) -> None:
    labels = [99 if row == 6 else score / 5 for row, score in enumerate(SCORES)]
    path = write(tmp_path / "p.csv", "sentence1,sentence2,score", pairs_with(labels))
    assert "Fix line 8, the only ones" in text(run("train", path, "--output", tmp_path / "out"))


def test_nested_objects_are_no_dataset_without_columns(tmp_path: Path) -> None:
    rows = [{"pair": {"a": first, "b": second}, "score": score} for first, second, score in PAIRS]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = run("suggest", path)
    assert result.exit_code == 1
    assert "objects with the fields 'a' (texts), 'b' (texts)" in text(run("suggest", path, "--all"))
    assert "no columns" not in text(result)


class TestNumbersInAnotherWriting:
    """Labels such as 0,72 or 72 % are text; the message says which command writes them as numbers."""

    @pytest.mark.parametrize("written", ["{:.2f}", "{:.0%}"])
    def test_the_command_that_converts_them(
        self, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        scores = [score / 5 for score in every(SCORES)]
        labels = [written.format(score).replace(".", ",") for score in scores]
        write(Path("pairs.csv"), "sentence1,sentence2,score", pairs_with(labels))
        ways = found("suggest", "pairs.csv")["ways"]
        assert list(ways) == ["the numbers in 'score' are the labels"]
        refused = text(run("train", "pairs.csv", "--output", "model"))
        assert "If the numbers in 'score' are the labels, convert the file first: python -c " in refused
        convert, suggest = ways["the numbers in 'score' are the labels"].split(" && ")
        exec(compile(shlex.split(convert)[2], "convert", "exec"), {})
        assert shlex.split(suggest) == ["selective-st", "suggest", "pairs-converted.jsonl"]
        assert read_table("pairs-converted.jsonl")["score"][:] == pytest.approx([round(s, 2) for s in scores])
        assert found("suggest", "pairs-converted.jsonl")["next"]
