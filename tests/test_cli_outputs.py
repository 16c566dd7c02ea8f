"""What the commands write, and what they never touch; and trainings that are interrupted and go on."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner, Result

from selective_st import training
from selective_st.cli import app
from selective_st.cli import training as training_command
from selective_st.demo import write_demo_data
from selective_st.evaluation import comparison
from selective_st.output import Output
from tests.processes import command_line, started
from tests.test_output import snapshot

QUICK = ("--eval-data", "data/eval.csv", "--test-data", "data/test.csv", "--score-range", "0,5", "--epochs", 1)
EVALUATE = ("--score-range", "0,5")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def text(result: Result) -> str:
    return " ".join(result.output.split())


def in_one_line(result: Result) -> str:
    """The error that a command ended with: one line, and no traceback."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.output
    return lines[0]


def assert_alike(one: Path, other: Path) -> None:
    for name in ("metrics.json", "model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.fixture
def trained_runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, int]]:
    """The runs that are trained: weights that depend on the run alone take the place of training."""
    done: list[tuple[str, float, int]] = []

    def instead(model: Any, task: Any, contender: Any, rate: float, seed: int, *_: Any) -> None:
        generator = torch.Generator().manual_seed(hash((len(contender.loss), rate, seed)) % 2**31)
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn(weights.shape, generator=generator) * 0.3)
        done.append((contender.name, rate, seed))

    monkeypatch.setattr(training, "train_once", instead)
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of `train`, a report of `evaluate`, and the data."""
    here = tmp_path_factory.mktemp("made")
    write_demo_data(here / "data", {"train": 200, "eval": 80, "test": 80})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        for name in ("_MOST_RESAMPLES", "_FEWEST_RESAMPLES"):
            patch.setattr(comparison, name, 10)
        for name, rate in (("m", 0.1), ("other", 0.3)):
            result = run("train", "data/train.csv", *QUICK, "--learning-rates", rate, "--output", name)
            assert result.exit_code == 0, result.output
        result = run("evaluate", "m", "data/test.csv", *EVALUATE, "--output", "report")
        assert result.exit_code == 0, result.output
    return here


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    shutil.copytree(made, here)
    (here / "link").symlink_to("m")
    (here / "up").symlink_to(".")
    (here / "pairs.svg").write_text("a,b,0.5\n")
    monkeypatch.chdir(here)
    for name in ("_MOST_RESAMPLES", "_FEWEST_RESAMPLES"):
        monkeypatch.setattr(comparison, name, 10)
    return here


class TestNothingIsLost:
    @pytest.mark.parametrize("overwrite", [("--overwrite",), ()])
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("evaluate", "m", "data/test.csv", "--output", "m"), "is the model (m), which this command reads"),
            (("evaluate", "m", "data/test.csv", "--output", "./m/../m/"), "is the model (m), which this command reads"),
            (("evaluate", "up/m", "data/test.csv", "--output", "link"), "is the model (up/m), which"),
            (("evaluate", "m", "data/test.csv", "--output", "up/m"), "is the model (m), which this command reads"),
            (("evaluate", "m", "data/test.csv", "--output", "m/report"), "lies inside the model (m), which"),
            (("evaluate", "m", "data/test.csv", "--output", "other/report"), "lies inside"),
            (("evaluate", "m", "data/test.csv", "--output", "data"), "holds the data (data/test.csv), which"),
            (("evaluate", "m", "pairs.svg", "--output", "."), "is the folder you are in, or above it"),
            (
                ("evaluate", "m", "data/test.csv", "--against", "other", "--output", "other"),
                "is --against (other), which this command reads",
            ),
            (
                ("evaluate", "m", "pairs.csv", "--validation-data", "data/eval.csv", "--output", "data"),
                "holds --validation-data (data/eval.csv), which",
            ),
            (
                ("evaluate", "m", "data/test.csv", "--output", "other"),
                "was written by selective-st train, not by selective-st evaluate",
            ),
            (("train", "data/train.csv", "--model", "m", "--output", "m"), "is --model (m), which this command reads"),
            (("train", "data/train.csv", "--model", "m", "--output", "link"), "is --model (m), which this"),
            (("train", "data/train.csv", "--model", "m", "--output", "m/tuned"), "lies inside --model (m), which"),
            (("train", "data/train.csv", "--output", "data"), "holds the data (data/train.csv), which"),
            (("train", "x.csv", "--eval-data", "data/eval.csv", "--output", "data"), "holds --eval-data (data/ev"),
            (("train", "x.csv", "--test-data", "data/test.csv", "--output", "data"), "holds --test-data (data/te"),
            (
                ("train", "data/train.csv", "--output", "report"),
                "was written by selective-st evaluate, not by selective-st train",
            ),
            (("plot", "--output", "pairs.svg"), "nothing in it shows that this command, selective-st plot, wrote it"),
            (("plot", "--output", "m/error_by_score.png"), "lies inside"),
            (("plot", "--output", "m/new.svg"), "lies inside"),
            (("demo", "--output", "."), "was not written by this command"),
        ],
    )  # fmt: skip
    @pytest.mark.slow
    def test_refused_before_any_work(
        self, place: Path, arguments: tuple[str, ...], reason: str, overwrite: tuple[str, ...]
    ) -> None:
        before = snapshot(place)
        assert reason in in_one_line(run(*arguments, *overwrite))
        assert snapshot(place) == before

    @pytest.mark.slow
    def test_each_command_replaces_its_own(self, place: Path, trained_runs: list[Any]) -> None:
        for arguments, output in (
            (("train", "data/train.csv", *QUICK, "--learning-rates", 0.2), "other"),
            (("evaluate", "m", "data/test.csv", "--against", "other", *EVALUATE), "report"),
            (("plot", "--focus", "low"), "new.svg"),
        ):
            if output == "new.svg":
                assert run("plot", "--output", output).exit_code == 0
            before = snapshot(place)
            refused = in_one_line(run(*arguments, "--output", output))
            assert f"--output {output} exists" in refused
            assert "or add --overwrite" in refused
            assert snapshot(place) == before
            result = run(*arguments, "--output", output, "--overwrite")
            assert result.exit_code == 0, result.output
            changed = {name for name, data in snapshot(place).items() if before.get(name) != data}
            assert changed
            assert all(name.startswith(output) for name in changed)

    def test_what_it_read_is_written_down(self, place: Path) -> None:
        assert json.loads((place / "report" / ".selective_st.json").read_text())["reads"] == {
            "the model": "m",
            "the data": "data/test.csv",
        }

    def test_a_full_disk_ends_an_evaluation_in_words(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("selective_st.cli.evaluating.write_metrics", full)
        before = snapshot(place)
        found = in_one_line(run("evaluate", "m", "data/test.csv", *EVALUATE, "--output", "new"))
        assert "nothing was written to new: [Errno 28] No space left on device. Make room" in found
        assert snapshot(place) == before


class TestDemo:
    @pytest.fixture
    def _only_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(training_command, "_train", lambda job: None)

    def train(self, *data: str) -> None:
        reads = dict(zip(("the data", "--eval-data", "--test-data"), data, strict=True))
        with Output(Path("demo/model"), "train", reads, overwrite=True) as output:
            (output.new / "modules.json").write_text("[]")
            output.publish()

    @pytest.mark.usefixtures("_only_shown")
    def test_replaces_its_own_data_and_model(self, place: Path) -> None:
        assert run("demo").exit_code == 0
        self.train(*(f"demo/data/{name}.csv" for name in ("train", "eval", "test")))
        before = snapshot(place)
        assert "--output demo/model exists already" in in_one_line(run("demo"))
        assert run("demo", "--overwrite").exit_code == 0
        assert snapshot(place) == before

    @pytest.mark.usefixtures("_only_shown")
    def test_but_no_model_that_was_trained_on_other_data(self, place: Path) -> None:
        assert run("demo").exit_code == 0
        self.train("data/train.csv", "data/eval.csv", "data/test.csv")
        (place / "demo" / "data" / "train.csv").unlink()
        before = snapshot(place)
        assert "--output demo/model was written by selective-st train, from other data" in in_one_line(
            run("demo", "--overwrite")
        )
        assert snapshot(place) == before

    @pytest.mark.parametrize("command", ["train", "evaluate"])
    def test_its_data_are_no_place_for_other_outputs(
        self, place: Path, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(training_command, "_train", lambda job: None)
            assert run("demo").exit_code == 0
        before = snapshot(place)
        arguments = ("train", "data/train.csv") if command == "train" else ("evaluate", "m", "data/test.csv")
        found = in_one_line(run(*arguments, "--output", "demo/data", "--overwrite"))
        assert f"was written by selective-st demo, not by selective-st {command}" in found
        assert snapshot(place) == before

    @pytest.mark.usefixtures("_only_shown")
    def test_goes_on_where_it_was_interrupted(self, place: Path) -> None:
        assert run("demo").exit_code == 0
        with pytest.raises(KeyboardInterrupt), Output(Path("demo/model"), "train") as output:  # noqa: PT012
            state = output.state("key")
            (state.folder / "run").mkdir()
            state.says = "1 of 2 runs is kept"
            raise KeyboardInterrupt
        assert run("demo").exit_code == 0
        (place / "demo" / "data" / "train.csv").write_text("mine")
        assert "are not as this command wrote them: train.csv" in in_one_line(run("demo"))


def interrupt_at(number: int, done: list[Any], error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training of a run, counted from 1 within this command, raise."""
    train, before = training.train_once, len(done)

    def failing(*arguments: Any) -> None:
        if len(done) - before == number - 1:
            raise error
        train(*arguments)

    monkeypatch.setattr(training, "train_once", failing)


MANY = ("--compare", "--learning-rates", "0.01,0.1", "--seeds", 5)  # of two losses, and two at three scales: 80 runs


class TestInterruptedTrainings:
    def train(self, *more: object, output: str = "new") -> Result:
        return run("train", "data/train.csv", *QUICK, *more, "--output", output)

    @pytest.mark.slow
    def test_at_run_79_of_80_nothing_is_lost(
        self, place: Path, trained_runs: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = snapshot(place)
        with monkeypatch.context() as patch:
            interrupt_at(79, trained_runs, KeyboardInterrupt(), patch)
            result = self.train(*MANY)
        assert result.exit_code == 130, result.output
        assert (
            "Interrupted: nothing was written to new. 78 of 80 runs are kept in .new.selective_st; the same command "
            "goes on from there." in text(result)
        )
        assert not (place / "new").exists()
        with monkeypatch.context() as patch:
            interrupt_at(2, trained_runs, KeyboardInterrupt(), patch)
            result = self.train(*MANY)
        assert "going on: 78 of 80 runs are done" in text(result)
        assert re.search(r"run 79/80: AnglELoss, scale 20, learning rate 0\.1, seed 3", text(result))
        assert "79 of 80 runs are kept in .new.selective_st; the same command goes on from there." in text(result)
        result = self.train(*MANY)
        assert result.exit_code == 0, result.output
        assert "going on: 79 of 80 runs are done" in text(result)
        assert len(trained_runs) == len(set(trained_runs)) == 80
        assert (place / "new" / "metrics.json").exists()
        shutil.rmtree(place / "new")
        assert snapshot(place) == before

    @pytest.mark.slow
    def test_changed_data_or_options_start_anew_and_lose_nothing(
        self, place: Path, trained_runs: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        some = ("--learning-rates", "0.01,0.1", "--seeds", 2)

        def interrupted(number: int, *options: object) -> str:
            with monkeypatch.context() as patch:
                interrupt_at(number, trained_runs, KeyboardInterrupt(), patch)
                result = self.train(*options)
            assert result.exit_code == 130, result.output
            return text(result)

        assert "3 of 4 runs are kept" in interrupted(4, *some)
        for changed in (("--batch-size", 8), ("--epochs", 2), ("--focus", "low"), ("--model", "m")):
            found = interrupted(1, *some, *changed)
            assert "starting anew: 3 runs of an interrupted training are kept, but with other data, options" in found
            assert "Interrupted: nothing was written to new." in found
            assert "of 4 runs" not in found
        assert "going on: 3 of 4 runs are done" in interrupted(1, *some)
        for name in ("train", "eval", "test"):
            path = place / "data" / f"{name}.csv"
            was = path.read_text()
            lines = was.splitlines()
            path.write_text("\n".join([*lines[:-1], lines[-1].replace(".,", "!,", 1)]) + "\n")
            assert "starting anew: 3 runs" in interrupted(1, *some), name
            path.write_text(was)
        # Options that only say which runs are done keep those that are.
        found = interrupted(2, "--learning-rates", "0.01,0.1,0.5", "--seeds", 2, "--no-check")
        assert "going on: 3 of 6 runs are done" in found
        assert "4 of 6 runs are kept" in found
        trained_runs.clear()
        assert self.train("--learning-rates", "0.1", "--seeds", 2).exit_code == 0
        assert trained_runs == []
        assert not list(place.glob(".*"))

    @pytest.mark.slow
    def test_fewer_seeds_than_before(
        self, place: Path, trained_runs: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The model of the best seed may be one that is not asked for any more."""
        with monkeypatch.context() as patch:
            interrupt_at(9, trained_runs, KeyboardInterrupt(), patch)
            assert self.train("--learning-rates", "0.1,0.5", "--seeds", 6).exit_code == 130
        assert self.train("--learning-rates", "0.1", "--seeds", 3).exit_code == 0
        assert self.train("--learning-rates", "0.1", "--seeds", 3, output="whole").exit_code == 0
        assert_alike(place / "new", place / "whole")

    @pytest.mark.parametrize("harm", ["no model", "cut", "empty", "not this"])
    @pytest.mark.slow
    def test_what_is_damaged_is_done_again(
        self, place: Path, harm: str, trained_runs: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        some = ("--learning-rates", "0.1", "--seeds", 4)
        with monkeypatch.context() as patch:
            interrupt_at(4, trained_runs, KeyboardInterrupt(), patch)
            self.train(*some)
        state = next(place.glob(".new.selective_st/train-*"))
        (best,) = state.glob("*/model")
        if harm == "no model":
            shutil.rmtree(best)
        else:
            written = (best.parent / "run.json").read_text()
            (best.parent / "run.json").write_text({"cut": written[:-9], "empty": "", "not this": '{"loss": 5}'}[harm])
        assert self.train(*some).exit_code == 0
        assert self.train(*some, output="whole").exit_code == 0
        assert_alike(place / "new", place / "whole")

    def test_a_bug_in_the_middle_keeps_the_runs_too(
        self, place: Path, trained_runs: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            interrupt_at(2, trained_runs, RuntimeError("out of memory"), patch)
            assert isinstance(self.train("--learning-rates", "0.1,0.2").exception, RuntimeError)
        result = self.train("--learning-rates", "0.1,0.2")
        assert "going on: 1 of 2 runs is done" in text(result)
        assert result.exit_code == 0

    def test_the_earlier_output_stays_until_then(
        self, place: Path, trained_runs: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = snapshot(place / "other")
        some = ("--learning-rates", "0.1,0.2", "--overwrite")
        with monkeypatch.context() as patch:
            interrupt_at(2, trained_runs, KeyboardInterrupt(), patch)
            assert "1 of 2 runs is kept" in text(self.train(*some, output="other"))
        assert snapshot(place / "other") == before
        assert self.train(*some, output="other").exit_code == 0
        assert len(trained_runs) == 2
        assert snapshot(place / "other") != before


@pytest.mark.parametrize("stage", ["first model", "second model", "metrics", "picture"])
def test_a_disk_that_fills_while_saving_keeps_the_runs(
    stage: str, place: Path, tmp_path: Path, trained_runs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = SentenceTransformer.save_pretrained
    command = ("train", "data/train.csv", *QUICK, "--learning-rates", "0.1,0.2", "--output", "new")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    def save_half(model: Any, path: str, *arguments: Any, **settings: Any) -> None:
        save(model, path, *arguments, **settings)
        if "elsewhere" not in path and (stage == "first model" or len(trained_runs) == 2):
            raise Exception('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })')

    (tmp_path / "elsewhere").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
        if stage.endswith("model"):
            patch.setattr(SentenceTransformer, "save_pretrained", save_half)
        elif stage == "metrics":
            patch.setattr(training_command, "write_metrics", full)
        else:
            patch.setattr("selective_st.plotting._write", full)
        found = in_one_line(run(*command))
    assert not (place / "new").exists()
    done = {"first model": 0, "second model": 1}.get(stage, 2)
    assert "No space left on device" in found
    if stage.endswith("model"):
        (kept,) = (tmp_path / "elsewhere").glob("selective-st-*")
        assert f"It is kept in {kept}: move it" in found
        assert f"the same command goes on after {done} of 2 runs." in found
        SentenceTransformer(str(kept), device="cpu").encode(["a text"])
    else:
        assert "nothing was written to new: " in found
        assert "2 of 2 runs are kept in .new.selective_st; the same command" in found
    trained_runs.clear()
    # With room again the same command goes on.
    assert run(*command).exit_code == 0
    assert len(trained_runs) == 2 - done
    assert run(*command[:-1], "whole").exit_code == 0
    assert_alike(place / "new", place / "whole")
    assert not list(place.glob(".*"))


def test_training_that_diverges_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(model: Any, *_: Any) -> None:
        with torch.no_grad():
            for weights in model.parameters():
                weights.fill_(float("nan"))

    monkeypatch.setattr(training, "train_once", diverge)
    before = snapshot(place)
    found = in_one_line(run("train", "data/train.csv", *QUICK, "--learning-rates", "0.1,0.2", "--output", "new"))
    assert "diverged with every learning rate (0.1, 0.2)" in found
    assert snapshot(place) == before


def stop_at(line: str, signal_: int, *arguments: str) -> tuple[str, str, int]:
    """Run a command, and stop it when it has printed a line that starts so."""
    with started(command_line, *arguments) as command:
        printed = ""
        for printed_line in command.printed:
            printed += printed_line
            if printed_line.startswith(line):
                command.send_signal(signal_)
                break
        more, errors, status = command.end()
        return printed + more, errors, status


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
@pytest.mark.slow
def test_killed_and_interrupted_for_real(place: Path) -> None:
    """The same figures and weights as of a training that went through."""
    arguments = ["train", "data/train.csv", *map(str, QUICK[:-1]), "40", "--learning-rates", "0.02,0.1", "--seeds", "2"]
    command = (*arguments, "--output", "new")
    _, _, status = stop_at("run 2/4", signal.SIGKILL, *command)
    assert status == -signal.SIGKILL
    assert [path.name for path in place.glob(".*")] == [".new.selective_st"]
    printed, errors, status = stop_at("run 4/4", signal.SIGTERM, *command)
    assert "going on: 1 of 4 runs is done" in printed
    assert "run 2/4" in printed
    assert status == 130
    errors = " ".join(errors.split())
    assert "Interrupted: nothing was written to new. 3 of 4 runs are kept in .new.selective_st; the same" in errors
    assert "Traceback" not in errors
    result = run(*arguments, "--output", "new")
    assert "going on: 3 of 4 runs are done" in text(result)
    assert "run 4/4" in text(result)
    assert "run 3/4" not in text(result)
    assert run(*arguments, "--output", "whole").exit_code == 0
    assert_alike(place / "new", place / "whole")
    assert not list(place.glob(".*"))
