"""`selective-st formats`, `suggest`, `check` and the checks of `train`, as a user meets them."""

from __future__ import annotations

import csv
import json
import runpy
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import scipy
from packaging.version import Version
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner, Result

from selective_st.cli import app
from selective_st.demo import graded_pairs
from selective_st.registry.catalog import MODEL_TYPES, rows


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def text(result: Result) -> str:
    return " ".join(result.output.split())


def write(path: Path, table: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*([header] if header else []), *table])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as users have them."""
    folder = tmp_path_factory.mktemp("files")
    pairs = graded_pairs(200, seed=3)
    write(folder / "graded.csv", pairs)  # no header, scores out of 5
    write(folder / "mapped.csv", [(a, b, s / 5) for a, b, s in pairs], ("sentence1", "sentence2", "score"))
    write(folder / "positives.csv", [(a, b) for a, b, s in pairs if s >= 3], ("anchor", "positive"))
    questions = [(a, b, int(k == 0)) for a, _, _ in pairs[:30] for k, (_, b, _) in enumerate(pairs[:4])]
    write(folder / "questions.csv", questions, ("question", "answer", "label"))
    ids = [(f"q{i}", a, b) for i, (a, b, _) in enumerate(pairs)]
    write(folder / "ids.csv", ids, ("id", "query", "answer"))
    write(folder / "odd.csv", [(a, i % 7, b, i % 5) for i, (a, b, _) in enumerate(pairs)], ("x", "y", "z", "w"))
    return folder


def _names(command: str, *arguments: object) -> dict[str, Any]:
    result = run(command, *arguments, "--json")
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


class TestFormats:
    @pytest.mark.parametrize("model_type", MODEL_TYPES)
    def test_names_every_loss_of_every_row(self, model_type: Any) -> None:
        result = run("formats", "--model-type", model_type)
        assert result.exit_code == 0
        for row in rows(model_type):
            for name in (*row.losses, *(found.loss for found in row.selective)):
                assert name in result.output
        listed = json.loads(run("formats", "--model-type", model_type, "--json").stdout)
        assert [tuple(row["losses"]) for row in listed] == [row.losses for row in rows(model_type)]
        assert all(row["selective"] or row["why_none"] for row in listed)

    def test_an_unknown_model_type(self) -> None:
        result = run("formats", "--model-type", "Reranker")
        assert result.exit_code == 1
        assert "must be one of SentenceTransformer, CrossEncoder" in text(result)


_MODELS = "sentence_transformers transformers sklearn scipy.stats torch._dynamo"
if Version(scipy.__version__) >= Version("1.11"):  # an older scipy.special brings it
    _MODELS += " scipy.sparse"
_DATA = f"{_MODELS} torch matplotlib"
_NOTHING = f"{_DATA} datasets pandas pyarrow jinja2"


_LATER = f"{_MODELS} matplotlib"
_PLOT = f"{_MODELS} datasets pandas"


@pytest.mark.parametrize(
    "commands",  # one after the other in one process: a later one may need more
    [
        [
            ("--help", _NOTHING),
            ("train --help", _NOTHING),
            ("formats", _NOTHING),
            ("formats --json", _NOTHING),
            ("check FILE --loss pointwise", _DATA),
            ("check FILE --loss CoSENTLoss", _DATA),
            ("suggest FILE", _DATA),
            ("suggest FILE --script", _DATA),
            ("suggest FILE --focus high", _LATER),
            ("suggest FILE --threshold 0.7 --all", _LATER),
            ("suggest FILE --focus 0.7:0.9 --script", _LATER),
        ],
        [
            ("plot --output FOLDER/links.png", _PLOT),
            ("plot --output FOLDER/region.png --focus 0.7:0.9", _PLOT),
            ("evaluate model FOLDER/missing.csv --output FOLDER/report", "sentence_transformers"),
        ],
    ],
    ids=["texts", "pictures"],
)
def test_a_command_imports_what_it_needs_only(commands: list[tuple[str, str]], folder: Path) -> None:
    code = "import sys\nfrom typer.testing import CliRunner\nfrom selective_st.cli import app\n"
    for command, without in commands:
        arguments = command.replace("FILE", str(folder / "mapped.csv")).replace("FOLDER", str(folder)).split()
        code += (
            f"code = CliRunner().invoke(app, {arguments!r}).exit_code\n"
            f"assert code == {int('missing' in command)}, ({command!r}, code)\n"
            f"found = sorted(set({without.split()!r}) & set(sys.modules))\n"
            f"assert not found, ({command!r}, found)\n"
        )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class TestSuggest:
    def test_a_file_without_header(self, folder: Path) -> None:
        result = run("suggest", folder / "graded.csv")
        assert result.exit_code == 0, result.output
        assert result.output.startswith(
            "graded.csv: probably two texts (1, 2), and a number for how well they belong together (3, from 0 to 5)\n"
            "SelectiveOrderLoss: ranks graded pairs by their labels"
        )
        for part in (
            'dataset = dataset.rename_column("3", "score")',
            "loss = SelectiveOrderLoss(",
            "scale=20.0",
            "weight_link=high_scores(5)",
            f"selective-st train {shlex.quote(str(folder / 'graded.csv'))} --loss auto --score-range 0,5",
        ):
            assert part in result.output
        assert "CosineSimilarityLoss: " not in result.output
        every = run("suggest", folder / "graded.csv", "--all").output
        assert every.startswith(result.output[: result.output.index("\nNext: ")])
        for part in ("CosineSimilarityLoss\n    squared error", "no header row", "because '3' holds"):
            assert part in every

    @pytest.mark.parametrize(
        ("data", "first", "link"),
        [
            ("mapped.csv", "SelectiveOrderLoss", "weight_link=high_scores(5)"),
            ("questions.csv", "SelectiveListwiseLoss", 'link=ExponentialLink(2).normalized(0, 1, of="value")'),
            ("positives.csv", "SelectiveMultipleNegativesRankingLoss", "link=ExponentialLink(1).normalized(0, 1"),
            ("ids.csv", "SelectiveMultipleNegativesRankingLoss", "link=ExponentialLink(1).normalized(0, 1"),
            ("odd.csv", "it is not clear what the columns mean (x, y, z, w)", ""),
        ],
    )
    def test_the_answer_comes_first_and_fits_on_a_screen(self, data: str, first: str, link: str, folder: Path) -> None:
        lines = CliRunner().invoke(app, ["suggest", str(folder / data)], env={"COLUMNS": "80"}).output.splitlines()
        assert len(lines) <= 15
        assert first in "".join(lines[:2])
        assert link in " ".join(line.strip() for line in lines)
        assert "--all" in lines[-1]
        assert not any(word in " ".join(lines) for word in ("the trainer reads", "label none", "certainty"))

    def test_the_focus_chooses_the_link(self, folder: Path) -> None:
        found = _names("suggest", folder / "mapped.csv", "--focus", "0.6:0.8")
        assert found["suggestions"][0]["loss"] == "SelectivePointwiseLoss"
        assert found["suggestions"][0]["link"] == "score_region(0.6, 0.8)"
        assert "as they are, which an order alone does not give" in found["suggestions"][0]["why"]
        assert "--focus 0.6:0.8" in found["next"]
        assert "score_region(0.6, 0.8)" in run("suggest", folder / "mapped.csv", "--focus", "0.6:0.8").output

    def test_thresholds_choose_the_link(self, folder: Path) -> None:
        told = ("--threshold", "0.85", "--threshold", 0.7)
        found = _names("suggest", folder / "mapped.csv", *told)
        assert found["suggestions"][0]["link"] == "link_for_thresholds([0.85, 0.7])"
        assert found["next"].endswith("--threshold 0.85 --threshold 0.7")
        shown = run("suggest", folder / "mapped.csv", *told).output
        assert "loss = SelectivePointwiseLoss(model, link=link_for_thresholds([0.85, 0.7]))" in shown
        script = run("suggest", folder / "mapped.csv", *told[:2], "--script", "--loss", "order").output
        assert "weight_link=SigmoidLink(scale=20.0, shift=0.85)" in script

    @pytest.mark.parametrize(
        ("told", "said"),
        [
            (("--focus", "high"), "high: 50 % of its weight is on thresholds above 0.86"),
            (("--focus", "0.7:0.9"), "0.7:0.9: 55 % of its weight is on thresholds from 0.7 to 0.9"),
            (("--threshold", "0.85"), "--threshold 0.85: 50 % of its weight is on thresholds from 0.77 to 0.93"),
        ],
    )
    def test_links_are_explained_by_thresholds(self, told: tuple[str, ...], said: str, folder: Path) -> None:
        assert said in text(run("suggest", folder / "mapped.csv", *told))

    def test_other_models(self, folder: Path) -> None:
        found = _names("suggest", folder / "mapped.csv", "--model-type", "CrossEncoder")
        assert "BinaryCrossEntropyLoss" in [suggestion["loss"] for suggestion in found["suggestions"]]
        assert "--model-type CrossEncoder" in found["next"]

    def test_the_next_command_reads_the_file_alike(self, folder: Path, tmp_path: Path) -> None:
        assert "--no-header --script" in _names("suggest", folder / "positives.csv", "--no-header")["next"]
        assert "header" not in _names("suggest", folder / "positives.csv")["next"]
        named = tmp_path / "named.csv"
        rows = [f"some words {i},other words {i},{i % 6 / 2}" for i in range(30)]
        named.write_text("\n".join(['"text, a","text, b",rating', *rows]))
        assert "--columns 1,2,3 --header" in _names("suggest", named, "--header")["next"]

    def test_what_cannot_be_told_is_said(self, folder: Path) -> None:
        result = run("suggest", folder / "odd.csv")
        assert result.exit_code == 1
        assert result.output.startswith(
            "odd.csv: it is not clear what the columns mean (x, y, z, w)\nIf 'y' grades how"
        )
        assert "· 'y' holds the whole numbers 0, 1, 2, 3, 4, 5: classes, or grades" in result.output
        assert "in doubt: 'y' holds the whole numbers" in run("suggest", folder / "odd.csv", "--all").output

    @pytest.mark.parametrize("name", ["ids.csv", "graded.csv"])
    @pytest.mark.slow
    def test_the_script_trains_as_it_is(
        self, name: str, folder: Path, transformer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = run("suggest", folder / name, "--script", "--model", transformer_folder)
        assert result.exit_code == 0, result.output
        (tmp_path / "train.py").write_text(result.stdout, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        runpy.run_path("train.py", run_name="__main__")
        model = SentenceTransformer(str(tmp_path / "output" / "model"), device="cpu")
        assert model.encode(["a text"]).shape == (1, 32)

    def test_the_script_of_another_loss(self, folder: Path) -> None:
        result = run("suggest", folder / "mapped.csv", "--script", "--loss", "CoSENTLoss")
        assert "loss = CoSENTLoss(model)" in result.stdout
        compile(result.stdout, "train.py", "exec")
        result = run("suggest", folder / "mapped.csv", "--script", "--loss", "TripletLoss")
        assert result.exit_code == 1
        assert "TripletLoss is for (anchor, positive, negative) triplets" in text(result)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("nowhere.csv",), "nowhere.csv does not exist"),
            (("mapped.csv", "--focus", "hihg"), "--focus must be high"),
            (("mapped.csv", "--threshold", "nan"), "--threshold nan: a threshold lies between 0 and 1"),
            (("mapped.csv", "--threshold", "0.5", "--focus", "low"), "--threshold 0.5 and --focus low both say which"),
            (("mapped.csv", "--model-type", "x"), "must be one of SentenceTransformer"),
        ],
    )
    def test_bad_input(
        self, arguments: tuple[str, ...], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        result = run("suggest", *arguments)
        assert result.exit_code == 1
        assert message in text(result)


class TestCheck:
    def test_good_data(self, folder: Path) -> None:
        result = run("check", folder / "mapped.csv", "--loss", "CosineSimilarityLoss")
        assert result.exit_code == 0, result.output
        assert "0 errors" in result.output

    def test_errors_with_the_line_that_mends_them(self, folder: Path) -> None:
        result = run("check", folder / "ids.csv", "--loss", "MultipleNegativesRankingLoss")
        assert result.exit_code == 1
        assert "error" in result.output
        assert 'dataset.remove_columns(["id"])' in result.output
        found = _names("check", folder / "ids.csv", "--loss", "MultipleNegativesRankingLoss")
        assert found["errors"] >= 1
        assert {finding["column"] for finding in found["findings"]} >= {"id"}

    def test_the_names_of_train_do_too(self, folder: Path) -> None:
        assert run("check", folder / "mapped.csv", "--loss", "pointwise").exit_code == 0
        result = run("check", folder / "mapped.csv", "--loss", "CosinLoss")
        assert result.exit_code == 1
        assert "Did you mean" in text(result)
        assert "CosineSimilarityLoss" in text(result)

    def test_a_model_shows_texts_that_are_too_long(
        self, folder: Path, transformer_folder: Path, tmp_path: Path
    ) -> None:
        long = write(
            tmp_path / "long.csv",
            [("a plane takes off " * 40, f"text {i}", i / 10) for i in range(10)],
            ("sentence1", "sentence2", "score"),
        )
        without = run("check", long, "--loss", "CosineSimilarityLoss")
        assert "not checked: whether texts are too long" in text(without)
        result = run("check", long, "--loss", "CosineSimilarityLoss", "--model", transformer_folder)
        assert result.exit_code == 0, result.output
        assert "warning" in result.output
        assert "too-long" in result.output

    def test_duplicates_at_a_batch_size(self, folder: Path) -> None:
        small, large = (
            _names(
                "check",
                folder / "questions.csv",
                "--loss",
                "SelectiveMultipleNegativesRankingLoss",
                "--batch-size",
                size,
            )
            for size in (2, 64)
        )
        codes = [[finding["code"] for finding in found["findings"]] for found in (small, large)]
        assert "false-negatives" in codes[1]


def test_the_best_loss_is_checked_on_the_data_as_it_takes_them(tmp_path: Path) -> None:
    file = tmp_path / "lists.jsonl"
    lists = ({"query": f"question {k}", "documents": [f"one {k}", f"two {k}"], "scores": [0.9, 0.1]} for k in range(20))
    file.write_text("\n".join(map(json.dumps, lists)))
    result = run("check", file, "--loss", "auto")
    assert result.exit_code == 0, result.output
    assert "--loss auto: SelectiveListwiseLoss, as it takes a column for each document" in text(result)
    assert "dataset = split_lists(dataset)" in text(result)


class TestTrain:
    QUICK = ("--epochs", 1, "--learning-rates", "0.1")

    @pytest.mark.slow
    def test_auto_takes_what_suits(self, folder: Path, tmp_path: Path) -> None:
        for name, options, kind in (
            ("graded.csv", ("--score-range", "0,5"), "order"),
            ("graded.csv", ("--score-range", "0,5", "--focus", "0.7:0.9", "--overwrite"), "pointwise"),
            ("questions.csv", (), "listwise-labels"),
        ):
            output = tmp_path / name
            result = run("train", folder / name, "--loss", "auto", *options, *self.QUICK, "--output", output)
            assert result.exit_code == 0, result.output
            assert f"--loss auto: {kind}, as" in text(result)
            SentenceTransformer(str(output), device="cpu")

    @pytest.mark.slow
    def test_two_commands_from_a_file_to_a_model(self, folder: Path, tmp_path: Path) -> None:
        following = _names("suggest", folder / "graded.csv")["next"]
        words = shlex.split(following)
        assert words[:2] == ["selective-st", "train"]
        result = run(*words[1:], *self.QUICK, "--output", tmp_path / "model")
        assert result.exit_code == 0, result.output
        SentenceTransformer(str(tmp_path / "model"), device="cpu")

    @pytest.mark.slow
    def test_errors_stop_it_and_nothing_is_written(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import selective_st.registry

        def refuse(*_: Any, **__: Any) -> selective_st.registry.CheckReport:
            finding = selective_st.registry.Finding("error", "made-up", "Something is wrong.", mend="mend_it()")
            return selective_st.registry.CheckReport((finding,), (), "all rows", "SelectivePointwiseLoss", {})

        monkeypatch.setattr("selective_st.registry.check_dataset", refuse)
        arguments = ("train", folder / "mapped.csv", *self.QUICK, "--output", tmp_path / "model")
        result = run(*arguments)
        assert result.exit_code == 1
        assert "Something is wrong. (made-up)" in text(result)
        assert "mend_it()" in result.output
        assert "--no-check" in result.output
        assert not (tmp_path / "model").exists()
        assert run(*arguments, "--no-check").exit_code == 0

    def test_positives_only(self, folder: Path, tmp_path: Path) -> None:
        rows_of_one_label = [(a, b, 1) for a, b, s in graded_pairs(120, seed=5) if s >= 3]
        data = write(tmp_path / "ones.csv", rows_of_one_label, ("a", "b", "label"))
        from selective_st.data import read_pairs
        from selective_st.focus import parse_focus
        from selective_st.loss_kinds import suited_kind

        assert suited_kind(read_pairs(str(data)), parse_focus("high"))[0].name == "in-batch"
