"""The command line, as a user meets it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner, Result

from selective_st.cli import app
from selective_st.data import read_pairs
from selective_st.demo import graded_pairs, write_demo_data
from selective_st.evaluation import load_threshold, predict_scores, threshold_curve
from selective_st.links import link_for_thresholds
from selective_st.loss_kinds import LOSSES, loss_kind
from tests.processes import command_line, started


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_demo_data(tmp_path_factory.mktemp("data"), {"train": 300, "eval": 80, "test": 80})


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


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
    @pytest.mark.slow
    def test_prints_one_table_and_every_path(self, trained: tuple[Result, Path]) -> None:
        result, output = trained
        assert result.exit_code == 0, result.output
        assert result.output.count("Test split, 80 pairs: mean of 2 seeds ± 95 % interval") == 1
        assert "temperatures 0.4, 0.2, 0.05 (scales 2.5, 5, 20) of every loss that has one" in text(result)
        chosen = json.loads((output / "metrics.json").read_text())["chosen_settings"]
        assert [loss for loss, setting in chosen.items() if setting] == ["CoSENTLoss", "AnglELoss"]
        for loss, setting in chosen.items():
            assert setting in ("scale 2.5", "scale 5", "scale 20") if setting else "scale" not in setting
            assert f"{loss} ({setting}, 0.1)".replace("(, ", "(") in result.output
        assert "selective - CoSENTLoss" in result.output
        for path in (output, output / "README.md", output / "metrics.json", output / "threshold_curves.png"):
            assert str(path) in result.output
            assert path.exists()

    def test_the_metrics_are_those_of_the_saved_model(
        self, trained: tuple[Result, Path], data: dict[str, Path]
    ) -> None:
        from selective_st.data import read_pairs
        from selective_st.evaluation import region_metrics

        metrics = json.loads((trained[1] / "metrics.json").read_text())
        assert metrics["link"]["type"] == "WeightedSumLink"
        assert len(metrics["runs"]) == (1 + 1 + 3 + 3) * 2
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

    @pytest.mark.slow
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
        assert "exists already" in text(result)
        assert "add --overwrite" in text(result)
        assert {path: path.stat().st_mtime_ns for path in trained[1].iterdir()} == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nowhere.csv"], "Error: nowhere.csv does not exist"),
            (["{train}"], "labels in column 'score' range from 0 to 5, but a cosine similarity from -1 to 1"),
            (["{train}"], "--score-range 0,5"),
            (["{train}", "--score-range", "5"], "--score-range takes two numbers with a comma between"),
            (["{train}", "--score-range", "5,0"], "LOW must be below HIGH, got 5 and 0"),
            (["{train}", "--score-range", "0,4"], "lies outside --score-range 0,4 in lines"),
            (["{train}", "--score-range", "0,5", "--focus", "top"], "--focus must be high, low, extremes, middle"),
            (
                ["{train}", "--score-range", "0,5", "--focus", '{"type": "SigmoidLink", "scale": -1, "shift": 0}'],
                "scale must be",
            ),
            (
                ["{train}", "--score-range", "0,5", "--threshold", "4"],
                "--threshold 4: a threshold lies between 0 and 1",
            ),
            (["{train}", "--score-range", "0,5", "--threshold", "nan"], "--threshold nan: a threshold lies"),
            (
                ["{train}", "--score-range", "0,5", "--threshold", "0.8", "--focus", "high"],
                "--threshold 0.8 and --focus high both say which scores matter. Leave one",
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
        result = run("train", low, *QUICK, "--threshold", "0.98", "--output", tmp_path / "model")
        assert result.exit_code == 1
        assert "no pair has a label of at least 0.98 (its scores go from" in text(result)
        assert names(tmp_path) == ["low.csv"]

    @pytest.mark.parametrize(("loss", "main"), [("pointwise", "loss_at_0.8"), ("order", "ap_ge_0.8")])
    def test_thresholds(self, loss: str, main: str, data: dict[str, Path], tmp_path: Path) -> None:
        output = tmp_path / "model"
        splits = ("--eval-data", data["eval"], "--test-data", data["test"])
        told = ("--threshold", "0.8", "--threshold", "0.5", "--loss", loss)
        result = run("train", data["train"], *splits, *QUICK, *told, "--output", output)
        assert result.exit_code == 0, result.output
        metrics = json.loads((output / "metrics.json").read_text())
        assert metrics["main_metric"] == main
        assert metrics["focus"] == "--threshold 0.8 --threshold 0.5"
        assert metrics["thresholds"] == [0.8, 0.5]
        # A table for each threshold, and one for the rest: none is wide.
        tables = [line.split()[0] for line in result.output.splitlines() if line.strip().startswith("loss (")]
        assert len(tables) == 3
        assert max(map(len, result.output[result.output.index("Test split") :].split("Saved: ")[0].splitlines())) <= 100
        assert load_threshold(output).gold == 0.8
        model = SentenceTransformer(str(output), device="cpu")
        test = read_pairs(str(data["test"]), score_range=(0, 5))
        scores = model.similarity_pairwise(model.encode(test.sentences1), model.encode(test.sentences2)).numpy()
        _, losses = threshold_curve(scores, test.scores, [0.5, 0.8])
        for at, expected in zip((0.5, 0.8), losses, strict=True):
            assert metrics["runs"][0]["test"][f"loss_at_{at}"] == pytest.approx(expected, abs=1e-6)
            sought, found = np.array(test.scores) >= at - 1e-6, scores >= at
            f1 = 2 * (sought & found).sum() / (sought.sum() + found.sum())
            assert metrics["runs"][0]["test"][f"f1_at_{at}"] == pytest.approx(f1)
        # The lines at the end load, score and decide.
        lines = [line.strip() for line in result.output.splitlines()]
        begin = next(row for row, line in enumerate(lines) if line.startswith("model, threshold = "))
        code = "\n".join(lines[begin : begin + 3]).replace(
            "print(threshold.decide(scores))", "found = threshold.decide(scores)"
        )
        assert code.endswith("found = threshold.decide(scores)")
        names: dict[str, Any] = {
            "SentenceTransformer": SentenceTransformer,
            "load_threshold": load_threshold,
            "predict_scores": predict_scores,
        }
        exec(code, names)
        assert names["found"].tolist() == [names["scores"][0] >= load_threshold(output).value]
        card = (output / "README.md").read_text(encoding="utf-8")
        assert len(card.splitlines()) <= (250 if loss == "pointwise" else 260)  # which has two links
        if loss == "pointwise":
            assert metrics["link"] == link_for_thresholds([0.8, 0.5]).get_config_dict()
            assert "link_for_thresholds((0.8, 0.5))" in card
        assert "a gold score of at least 0.8" in card

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
        assert "Not a directory" in text(result)

    def test_usage_errors(self, data: dict[str, Path]) -> None:
        for name, allowed in {"--seeds": "from 1 to 100", "--epochs": "at least 1"}.items():
            result = run("train", data["train"], name, 0)
            assert result.exit_code == 2
            assert f"{name} must be {allowed}, got 0." in result.output
        assert run("train", data["train"], "--no-such-option").exit_code == 2

    def test_a_bug_shows_where_it_is(
        self, data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> None:
            int("not a number")

        monkeypatch.setattr("selective_st.cli.reading.read_pairs", lambda *_, **__: json.loads("{"))
        result = run("train", data["train"], *QUICK, "--output", tmp_path / "model")
        assert isinstance(result.exception, json.JSONDecodeError)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Questions with 0/1 labelled answers, as question, label, answer; also one with a single answer."""
    folder = tmp_path_factory.mktemp("questions")
    paths = {}
    for seed, (name, count) in enumerate({"train": 40, "eval": 24, "test": 24}.items()):
        pairs = graded_pairs(400, seed)
        close = [(first, second) for first, second, score in pairs if score >= 4][:count]
        others = [second for _, second, score in pairs if score < 3]
        rows = ["question,label,answer"]
        for i, (question, answer) in enumerate(close):
            wrong = others[4 * i : 4 * i + 2 + i % 3]
            rows += [
                f"{question},{label},{text}"
                for label, text in [(0, wrong[0]), (1, answer), *((0, w) for w in wrong[1:])]
            ]
        paths[name] = folder / f"{name}.csv"
        paths[name].write_text("\n".join([*rows, "Who?,1,Nobody."]) + "\n", encoding="utf-8")
    return paths


QUICK_LISTS = ("--epochs", 1, "--learning-rates", "0.03", "--batch-size", 8)


class TestLosses:
    @pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.name)
    @pytest.mark.slow
    def test_each_trains_on_questions(
        self, kind: Any, questions: dict[str, Path], transformer_folder: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "model"
        model = ("--model", "static" if kind.takes_static else transformer_folder)
        splits = ("--eval-data", questions["eval"], "--test-data", questions["test"])
        result = run(
            "train",
            questions["train"],
            *splits,
            *QUICK_LISTS,
            *model,
            "--loss",
            kind.name,
            "--compare",
            "--output",
            output,
        )
        assert result.exit_code == 0, result.output
        assert "texts 'question' and 'answer', label 'label'" in text(result)
        assert "first texts with a positive (label at least 0.8) and another candidate, 24 in eval.csv" in text(result)
        assert "24 questions: 1 seed" in text(result)
        assert "MAP ↑" in result.output
        metrics = json.loads((output / "metrics.json").read_text())
        assert list(dict.fromkeys(entry["loss"] for entry in metrics["runs"])) == [kind.loss, *kind.builtins]
        assert metrics["main_metric"] == ("ap_ge_0.95" if kind.name in ("pointwise", "order") else "map")
        trained = loss_kind(kind.of_labels or kind.name)  # the answers are right or wrong
        assert metrics["settings"]["loss"] == trained.name
        settings = {entry["setting"] for entry in metrics["runs"] if entry["loss"] == kind.loss}
        assert len(settings) == (1 if trained.temperature is None else len(trained.temperatures))
        assert metrics["saved"]["setting"] == metrics["chosen_settings"][kind.loss]
        assert metrics["settings"]["temperature"] in (trained.temperatures if trained.temperature else (None,))
        assert f"Saved: {', '.join(filter(None, [kind.loss, metrics['saved']['setting']]))}, " in text(result)
        assert (f"every label is 0 or 1: --loss {trained.name}" in text(result)) == (trained is not kind)
        card = (output / "README.md").read_text(encoding="utf-8")
        assert f"loss:{kind.loss}" in card
        assert "eprint={2506.04446}" in card
        SentenceTransformer(str(output), device="cpu").encode(["a question"])

    @pytest.mark.parametrize(
        ("loss", "noun"), [("listwise", "lists"), ("pairwise", "triplets"), ("in-batch", "positives")]
    )
    @pytest.mark.slow
    def test_a_single_file_of_graded_pairs(self, loss: str, noun: str, tmp_path: Path) -> None:
        pairs = graded_pairs(120, seed=3)
        rows = [f"{first}\t{second}\t{score}" for first, second, score in pairs]
        rows += [f"{pairs[(i + 1) % 120][1]}\t{first}\t0.4" for i, (first, _, _) in enumerate(pairs)]
        path = tmp_path / "graded.tsv"
        path.write_text("\n".join(rows), encoding="utf-8")
        output = tmp_path / "model"
        train = ("train", path, *QUICK_LISTS, "--score-range", "0,5", "--loss", loss, "--positive-from", 0.6)
        result = run(*train, "--output", output)
        # Every text is joined to every other by way of other pairs: what then stands on both sides is said.
        assert result.exit_code == 0, result.output
        assert "24 of 240 rows of graded.tsv set aside at random as the test split (seed 0)" in text(result)
        assert "of the rows set aside" in text(result)
        splits = ("--eval-data", path, "--test-data", path)
        result = run(*train, *splits, "--output", tmp_path / "another")
        assert result.exit_code == 0, result.output
        assert f"{noun} to train, 240 pairs to choose" in text(result)
        assert "texts on either side with a positive (label at least 0.6)" in text(result)

    def test_labels_of_right_and_wrong_are_needed_where_the_loss_reads_them(self, tmp_path: Path) -> None:
        path = tmp_path / "graded.csv"
        path.write_text("\n".join(f"a{i // 2},b{i},{i % 2 / 2}" for i in range(40)), encoding="utf-8")
        result = run("train", path, "--loss", "listwise-labels", "--output", tmp_path / "model")
        assert result.exit_code == 1
        assert "takes candidates that are right (1) or wrong (0), but graded.csv has the label 0.5" in text(result)
        assert "Use --loss listwise." in text(result)

    def test_few_different_positives_make_small_batches(self, tmp_path: Path) -> None:
        path = tmp_path / "topics.csv"
        path.write_text("\n".join(f"text {i} about it,topic {i % 6},1.0" for i in range(60)), encoding="utf-8")
        graded = tmp_path / "graded.csv"
        graded.write_text("\n".join(f"text {i},topic {i % 6},{i % 2}" for i in range(12)), encoding="utf-8")
        splits = ("--eval-data", graded, "--test-data", graded, *QUICK_LISTS[:4])
        train = ("train", path, *splits, "--loss", "in-batch", "--no-header", "--output", tmp_path / "model")
        result = run(*train)
        assert result.exit_code == 0, result.output
        assert "batch size 3: a column has only 6 different texts" in text(result)
        path.write_text("\n".join(f"text {i} about it,topic,1.0" for i in range(60)), encoding="utf-8")
        result = run(*train, "--overwrite", "--no-check")
        assert result.exit_code == 1
        assert "Not one step could be made with batches of 2 positives in which no text stands twice" in text(result)

    def test_what_is_set_aside_keeps_questions_whole(
        self, questions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        result = run(
            "train", questions["train"], *QUICK_LISTS, "--loss", "SelectiveListwiseLoss", "--output", tmp_path / "model"
        )
        assert result.exit_code == 0, result.output
        assert "as the test split (seed 0); " in text(result)
        assert "few to choose a learning rate by" in text(result)
        assert "SelectiveListwiseLoss (0.03)" in text(result)

    @pytest.mark.slow
    def test_another_focus_and_temperature(self, questions: dict[str, Path], tmp_path: Path) -> None:
        output = tmp_path / "model"
        splits = ("--eval-data", questions["eval"], "--test-data", questions["test"])
        result = run(
            "train", questions["train"], *splits, *QUICK_LISTS, "--loss", "in-batch", "--focus", "middle",
            "--temperature", 0.2, "--output", output,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        assert "temperature 0.2 (scale 5)" in text(result)
        metrics = json.loads((output / "metrics.json").read_text())
        assert "SigmoidLink" in json.dumps(metrics["link"])
        assert '"scale": 5.0' in (output / "README.md").read_text(encoding="utf-8")

    def test_without_questions_to_evaluate_the_focus_chooses(
        self, data: dict[str, Path], questions: dict[str, Path], tmp_path: Path
    ) -> None:
        pairs = tmp_path / "pairs.csv"
        rows = [line.rsplit(",", 1) for line in data["eval"].read_text().splitlines()[1:]]
        pairs.write_text("\n".join(f"{texts.replace(',', f',{float(score) / 5},')}" for texts, score in rows))
        splits = ("--columns", "1,3,2", "--header", "--eval-data", pairs, "--test-data", pairs)
        result = run(
            "train", questions["train"], *splits, *QUICK_LISTS, "--loss", "listwise", "--output", tmp_path / "model"
        )
        assert result.exit_code == 0, result.output
        assert "no ranking is evaluated; ap_ge_0.95 chooses the learning rate" in text(result)
        assert "MAP" not in result.output

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--loss", "hinge"], "--loss must be pointwise, order, pairwise, listwise, listwise-labels, in-batch,"),
            (["--temperature", "0.1"], "--temperature does not apply to --loss pointwise"),
            (["--loss", "listwise", "--temperature", "0"], "--temperature must be a finite number > 0"),
            (["--loss", "in-batch", "--list-size", "4"], "--list-size does not apply to --loss in-batch"),
            (["--positive-from", "0"], "--positive-from must be above 0 and at most 1"),
            (["--loss", "cached-in-batch"], "static embeddings (--model static) do not allow. Give a transformer"),
            (["--loss", "cached-in-batch", "--model", "{static}"], "do not allow. Give a transformer"),
            (["--loss", "listwise", "--score-range", "0,0.5"], "lies outside --score-range 0,0.5 in lines"),
        ],
    )  # fmt: skip
    def test_bad_input(
        self, arguments: list[str], message: str, questions: dict[str, Path], static_model: SentenceTransformer,
        tmp_path: Path,
    ) -> None:  # fmt: skip
        static_model.save_pretrained(str(tmp_path / "static"))
        arguments = [
            argument.format(static=tmp_path / "static") if argument == "{static}" else argument
            for argument in arguments
        ]
        result = run("train", questions["train"], *arguments, "--output", tmp_path / "model")
        assert result.exit_code == 1, result.output
        assert message in text(result)
        assert "Traceback" not in result.output
        assert names(tmp_path) == ["static"]

    def test_no_text_twice(self, tmp_path: Path) -> None:
        path = tmp_path / "unique.csv"
        path.write_text("\n".join(f"first {i},second {i},{i / 40}" for i in range(40)))
        result = run("train", path, "--loss", "listwise", "--output", tmp_path / "model")
        assert result.exit_code == 1
        assert "no text occurs in several pairs, so there are no lists to make" in text(result)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_ctrl_c_leaves_nothing(stop: signal.Signals, data: dict[str, Path], tmp_path: Path) -> None:
    arguments = ("train", str(data["train"]), "--score-range", "0,5", "--epochs", "500")
    with started(command_line, *arguments, "--output", str(tmp_path / "model")) as command:
        for line in command.printed:
            if line.startswith("run 1/"):
                break
        time.sleep(1)
        assert list(tmp_path.iterdir())  # it is at work
        command.send_signal(stop)
        _, errors, status = command.end(timeout=60)
    assert status == 130, errors
    assert "Interrupted: nothing was written" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom selective_st.cli import app\n"
        "for arguments in (['--help'], ['train', '--help'], ['--version']):\n"
        "    assert CliRunner().invoke(app, arguments).exit_code == 0\n"
        "print(sorted({'torch', 'sentence_transformers', 'datasets', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_help_names_every_loss() -> None:
    result = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "300"})
    for kind in LOSSES:
        assert f"{kind.name}:" in text(result)


def test_demo_says_what_it_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs: list[Any] = []
    monkeypatch.setattr("selective_st.cli.training._train", jobs.append)
    result = run("demo", "--output", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "demo" / "data" / "train.csv").is_file()
    # The user's own data are never overwritten.
    (tmp_path / "own" / "data").mkdir(parents=True)
    (tmp_path / "own" / "data" / "train.csv").write_text("mine")
    assert run("demo", "--output", tmp_path / "own", "--overwrite").exit_code == 1
    assert (tmp_path / "own" / "data" / "train.csv").read_text() == "mine"
    # What it says is the same as what it does.
    shown = next(line for line in result.output.splitlines() if line.strip().startswith("selective-st train"))
    run(*shlex.split(shown)[1:])
    assert jobs[0] == jobs[1]
