"""The command line, as a user meets it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner, Result

from selective_st.cli import app
from selective_st.demo import write_demo_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_demo_data(tmp_path_factory.mktemp("data"), {"train": 300, "eval": 80, "test": 80})


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def text(result: Result) -> str:
    return " ".join(result.output.split())


QUICK = ("--epochs", 1, "--learning-rates", "0.1", "--score-range", "0,5")


@pytest.fixture(scope="module")
def trained(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    output = tmp_path_factory.mktemp("run") / "model"
    splits = ("--eval-data", data["eval"], "--test-data", data["test"])
    return run("train", data["train"], *splits, *QUICK, "--compare", "--seeds", 2, "--output", output), output


class TestTrain:
    def test_prints_one_table_and_every_path(self, trained: tuple[Result, Path]) -> None:
        result, output = trained
        assert result.exit_code == 0, result.output
        assert result.output.count("Test split, 80 pairs: mean of 2 seeds ± 95 % interval") == 1
        for loss in (
            "SelectivePointwiseLoss (0.1)",
            "CosineSimilarityLoss (0.1)",
            "CoSENTLoss (0.1)",
            "AnglELoss (0.1)",
        ):
            assert loss in result.output
        assert "selective - CoSENTLoss" in result.output
        for path in (output, output / "README.md", output / "metrics.json", output / "error_by_score.png"):
            assert str(path) in result.output
            assert path.exists()

    def test_the_metrics_are_those_of_the_saved_model(
        self, trained: tuple[Result, Path], data: dict[str, Path]
    ) -> None:
        from selective_st.data import read_pairs
        from selective_st.evaluation import region_metrics

        metrics = json.loads((trained[1] / "metrics.json").read_text())
        assert metrics["link"]["type"] == "WeightedSumLink"
        assert len(metrics["runs"]) == 4 * 2
        saved = metrics["saved"]
        run_of_saved = next(
            run for run in metrics["runs"] if (run["loss"], run["seed"]) == (saved["loss"], saved["seed"])
        )
        model = SentenceTransformer(str(trained[1]), device="cpu")
        test = read_pairs(str(data["test"]), score_range=(0, 5))
        cosine = model.similarity_pairwise(model.encode(test.sentences1), model.encode(test.sentences2)).tolist()
        for name, value in region_metrics(test.scores, cosine).items():
            assert run_of_saved["test"][name] == pytest.approx(value, abs=1e-5)
        ours = [run["test"]["spearman"] for run in metrics["runs"] if run["loss"] == saved["loss"]]
        assert metrics["test"][saved["loss"]]["spearman"]["mean"] == pytest.approx(sum(ours) / 2)
        best = max(
            (run for run in metrics["runs"] if run["loss"] == saved["loss"]), key=lambda r: r["eval"]["ap_ge_0.95"]
        )
        assert best["seed"] == saved["seed"]

    def test_the_card(self, trained: tuple[Result, Path]) -> None:
        card = (trained[1] / "README.md").read_text(encoding="utf-8")
        assert '"type": "ExponentialLink"' in card
        assert "eprint={2506.04446}" in card

    def test_sets_splits_aside_and_takes_a_pretrained_model(
        self, data: dict[str, Path], transformer_folder: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "model"
        result = run(
            "train", data["train"], "--score-range", "0,5", "--model", transformer_folder, "--output", output,
            "--focus", "0.4:0.6", "--learning-rates", "1e-4",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        assert "27 of 270 rows of train.csv set aside at random as the eval split" in text(result)
        assert "RMSE gold 0.4-0.6 ↓" in result.output
        assert SentenceTransformer(str(output), device="cpu").get_embedding_dimension() == 32

    def test_never_overwrites_unasked(self, trained: tuple[Result, Path], data: dict[str, Path]) -> None:
        before = {path: path.stat().st_mtime_ns for path in trained[1].iterdir()}
        result = run("train", data["train"], *QUICK, "--output", trained[1])
        assert result.exit_code == 1
        assert "exists and is not empty" in text(result)
        assert "say --overwrite" in text(result)
        assert {path: path.stat().st_mtime_ns for path in trained[1].iterdir()} == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nowhere.csv"], "Error: nowhere.csv does not exist"),
            (["{train}"], "labels in column 'score' go from 0 to 5, but a cosine similarity only reaches [-1, 1]"),
            (["{train}"], "--score-range 0,5"),
            (["{train}", "--score-range", "5"], "--score-range takes two numbers with a comma between"),
            (["{train}", "--score-range", "5,0"], "LOW must be below HIGH, got 5 and 0"),
            (["{train}", "--score-range", "0,4"], "lies outside --score-range 0,4 in rows"),
            (["{train}", "--score-range", "0,5", "--focus", "top"], "--focus must be high, low, extremes, middle"),
            (
                ["{train}", "--score-range", "0,5", "--focus", '{"type": "SigmoidLink", "scale": -1, "shift": 0}'],
                "scale must be",
            ),
            (["{train}", "--score-range", "0,5", "--columns", "a,b,c"], "has no column 'a', 'b', 'c'"),
            (["{train}", "--score-range", "0,5", "--learning-rates", "fast"], "--learning-rates takes numbers"),
            (
                ["{train}", "--score-range", "0,5", "--learning-rates", "0"],
                "a learning rate must be a finite number > 0",
            ),
            (["{train}", "--score-range", "0,5", "--model", "./nowhere"], "--model ./nowhere could not be loaded"),
        ],
    )
    def test_bad_input(self, arguments: list[str], message: str, data: dict[str, Path], tmp_path: Path) -> None:
        output = tmp_path / "model"
        result = run(
            "train", *(a.format(train=data["train"]) if a == "{train}" else a for a in arguments), "--output", output
        )
        assert result.exit_code == 1, result.output
        assert message in text(result)
        assert "Traceback" not in result.output
        assert list(tmp_path.iterdir()) == []

    def test_a_focus_without_pairs(self, data: dict[str, Path], tmp_path: Path) -> None:
        rows = (line for line in data["train"].read_text().splitlines() if not line.endswith((",4.8", ",5.0")))
        low = tmp_path / "low.csv"
        low.write_text("\n".join(rows))
        result = run("train", low, *QUICK, "--output", tmp_path / "model")
        assert result.exit_code == 1
        assert "has no pair in the score region of the focus 'high': ap_ge_0.95 is not defined" in text(result)
        assert names(tmp_path) == ["low.csv"]

    def test_training_that_diverges(self, data: dict[str, Path], tmp_path: Path) -> None:
        steep = json.dumps({"type": "ExponentialLink", "scale": 500.0})
        result = run("train", data["train"], *QUICK, "--focus", steep, "--output", tmp_path / "model")
        assert result.exit_code == 1
        assert "diverged with every learning rate (0.1)" in text(result)
        assert names(tmp_path) == []

    def test_a_model_of_another_similarity(
        self, data: dict[str, Path], transformer_folder: Path, tmp_path: Path
    ) -> None:
        model = SentenceTransformer(str(transformer_folder), similarity_fn_name="dot", device="cpu")
        model.save_pretrained(str(tmp_path / "dot"))
        result = run("train", data["train"], *QUICK, "--model", tmp_path / "dot", "--output", tmp_path / "model")
        assert result.exit_code == 1
        assert "compares embeddings by 'dot', but this command trains cosine similarities" in text(result)

    def test_a_path_that_cannot_be(self, data: dict[str, Path]) -> None:
        result = run("train", data["train"], *QUICK, "--output", data["eval"] / "below")
        assert result.exit_code == 1
        assert "exists and is no folder" in text(result)

    def test_usage_errors(self, data: dict[str, Path]) -> None:
        assert run("train", data["train"], "--seeds", 0).exit_code == 2
        assert run("train", data["train"], "--no-such-option").exit_code == 2

    def test_a_bug_shows_where_it_is(
        self, data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> None:
            int("not a number")

        monkeypatch.setattr("selective_st.data.read_pairs", lambda *_, **__: json.loads("{"))
        result = run("train", data["train"], *QUICK, "--output", tmp_path / "model")
        assert isinstance(result.exception, json.JSONDecodeError)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing(stop: signal.Signals, data: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "model"
    command = [sys.executable, "-m", "selective_st.cli", "train", str(data["train"]), "--score-range", "0,5"]
    command += ["--epochs", "500", "--output", str(output)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("run 1/"):
                break
        time.sleep(2)
        assert list(tmp_path.iterdir())  # it is at work
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Interrupted: nothing was written" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom selective_st.cli import app\n"
        "for arguments in (['--help'], ['train', '--help'], ['--version']):\n"
        "    assert CliRunner().invoke(app, arguments).exit_code == 0\n"
        "print(sorted({'torch', 'sentence_transformers', 'datasets', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_demo_says_what_it_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs: list[Any] = []
    monkeypatch.setattr("selective_st.cli._train", jobs.append)
    result = run("demo", "--output", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "demo" / "data" / "train.csv").is_file()
    # An earlier output, or the user's own data, is never overwritten unasked.
    assert run("demo", "--output", tmp_path / "demo").exit_code == 1
    # What it says is the same as what it does.
    shown = next(line for line in result.output.splitlines() if line.strip().startswith("selective-st train"))
    run(*shlex.split(shown)[1:])
    assert jobs[0] == jobs[1]
