"""What the commands print on a narrow screen, how long a training takes, and the options on how it computes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from rich.console import Console
from typer.testing import CliRunner, Result

from selective_st.cli import app
from selective_st.cli.common import print_table
from selective_st.cli.training import TrainOptions, _Progress, _settings
from selective_st.demo import graded_pairs
from selective_st.loss_kinds import loss_kind
from selective_st.training import model_maker

HEADS = ["loss (learning rate)", "AP gold ≥ 0.95 ↑", "AP gold ≥ 0.8 ↑", "RMSE gold 0.8-1 ↓", "Spearman ↑"]
LOSSES = [
    ("SelectivePointwiseLoss (0.03)", "CosineSimilarityLoss (0.03)", "CoSENTLoss (0.1)"),
    ("SelectiveMultipleNegativesRankingLoss (2e-05)", "CachedMultipleNegativesRankingLoss (scale 20, 2e-05)"),
    ("CachedSelectiveMultipleNegativesRankingLoss (scale 20, 2e-05)", "MultipleNegativesRankingLoss (2e-05)"),
]


def printed(console_width: int, losses: tuple[str, ...], cell: str) -> list[str]:
    console = Console(file=io.StringIO(), width=console_width)
    rows = [("", [name, *[cell] * 4]) for name in ("rests on", *losses)]
    differences = [("", [f"selective - {name.partition(' ')[0]}", *[cell] * 4]) for name in losses[1:]]
    print_table(console, "Test split", HEADS, rows, differences)
    file: Any = console.file
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 140])
@pytest.mark.parametrize("losses", LOSSES)
@pytest.mark.parametrize("cell", ["0.920", "0.920 ± 0.012", "1,371 of 12,800 pairs"])
def test_a_table_breaks_no_word(width: int, losses: tuple[str, ...], cell: str) -> None:
    lines = printed(width, losses, cell)
    words = {word for line in lines for word in line.replace(":", " ").split()}
    for text in (*HEADS[1:], *losses, cell):
        assert {*text.split()} <= words
    if max(map(len, losses)) < width - 40:  # then it is a table: a loss takes a line or two
        assert max(map(len, lines)) <= width
        assert len(lines) <= 8 + 3 * (2 * len(losses))


def test_the_table_of_a_training_fits_in_80_columns() -> None:
    lines = printed(80, LOSSES[0], "0.920")
    assert [line.split()[0] for line in lines if "0.920" in line][1:4] == [name.split()[0] for name in LOSSES[0]]
    assert max(map(len, lines)) <= 80


def test_each_line_says_how_many_runs_there_are_and_how_long_they_take() -> None:
    now = 1.0
    console = Console(file=io.StringIO(), width=200)
    progress = _Progress(console, [50] * 4, 2)
    progress.bar.get_time = lambda: now
    for rate in (0.03, 0.1):
        progress.on_run("CoSENTLoss", rate, 0)
        for _ in range(50):
            now += 1
            progress.on_step()
    file: Any = console.file
    # A step takes a second: 200 in all, less the 50 that are done.
    assert file.getvalue().splitlines() == [
        "run 3/6: CoSENTLoss, learning rate 0.03, seed 0",
        "run 4/6: CoSENTLoss, learning rate 0.1, seed 0 (about 0:02:30 left)",
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("sentence1", "sentence2", "score"), *graded_pairs(300)])
    return path


def train(data: Path, *options: object) -> Result:
    arguments = ["train", data, "--score-range", "0,5", "--output", data.parent / "out", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--warmup", "2"), "--warmup is a share of the steps, from 0 to below 1, such as 0.1; got 2."),
        (("--warmup", "-0.1"), "--warmup is a share of the steps, from 0 to below 1, such as 0.1; got -0.1."),
        (("--max-length", "1", "--model", "x"), "--max-length is a number of tokens, 2 or more, such as 128; got 1."),
        (("--max-length", "64"), "--max-length does not apply to --model static, which reads whole texts; leave it"),
        (
            ("--device", "gpu"),
            "--device must be one of cpu, cuda, mps; got 'gpu'. To choose a GPU, set CUDA_VISIBLE_DEVICES=1.",
        ),
        (("--device", "mps"), "--device mps: torch"),
    ],
)
def test_a_wrong_value_ends_in_one_line(options: tuple[str, ...], message: str, data: Path) -> None:
    result = train(data, *options)
    assert result.exit_code == 1
    [line] = [line for line in result.output.splitlines() if "Error: " in line]
    assert line.startswith(f"Error: {message}")
    assert not (data.parent / "out").exists()


def test_how_it_computes_reaches_the_training(data: Path, transformer_folder: Path) -> None:
    model = str(transformer_folder)
    job = TrainOptions(data=str(data), model=model, device="cpu", bf16=True, max_length=16, warmup=0.25)
    settings = _settings(job, loss_kind("pointwise"))
    assert (settings.device, settings.bf16, settings.max_length, settings.warmup) == ("cpu", True, 16, 0.25)
    pairs: Any = None  # a pretrained model needs none
    made = model_maker(settings, pairs)(0)
    assert (made.device, made.max_seq_length) == (torch.device("cpu"), 16)
    job = TrainOptions(data="", model=model, max_length=4096)
    with pytest.raises(ValueError, match=r"--max-length 4096: .* reads \d+ tokens at most; say that or less"):
        model_maker(_settings(job, loss_kind("pointwise")), pairs)


@pytest.mark.slow
def test_a_training_in_bfloat16_of_short_texts(data: Path, transformer_folder: Path) -> None:
    options = ("--model", transformer_folder, "--device", "cpu", "--bf16", "--max-length", 8, "--warmup", 0)
    result = train(data, *options, "--epochs", 1, "--batch-size", 16, "--learning-rates", "1e-4")
    assert result.exit_code == 0, result.output
    assert "run 1/1" in result.output


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("train", ["model", "loss", "focus", "threshold", "score_range"]),
        ("evaluate", ["model", "data", "focus", "threshold"]),
        ("suggest", ["focus", "threshold"]),
        ("score", ["model", "file"]),
        ("distill", ["teacher", "texts", "threshold"]),
    ],
)
def test_the_help_begins_with_what_one_sets_first(name: str, first: list[str]) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert [parameter.name for parameter in command.params][: len(first)] == first
    assert not any("\n" in paragraph for paragraph in command.help.split("\n\n"))  # it is wrapped where it is shown
