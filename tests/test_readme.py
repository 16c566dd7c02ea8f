"""The README is short, begins with what one does, and its blocks and commands run alone."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from typer.testing import CliRunner

from selective_st.cli import app
from selective_st.data import read_table
from selective_st.demo import graded_pairs, write_demo_data
from selective_st.losses import SelectiveOrderLoss
from selective_st.training import train_tokenizer

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = [match.groups() for match in re.finditer(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]


def blocks(kind: str) -> list[str]:
    return [block for of, block in BLOCKS if of == kind]


def run(code: str, namespace: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(README), "exec"), namespace)
    return printed.getvalue()


def test_it_is_short_and_begins_with_what_one_does() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= 120
    first = [number for number, line in enumerate(lines) if line.startswith("selective-st ")]
    assert [lines[number].split()[1] for number in first[:2]] == ["distill", "score"]
    assert first[1] < 25
    assert lines.index("```diff") < 60
    assert {kind for kind, _ in BLOCKS} == {"bash", "diff", "python"}


@pytest.mark.parametrize("block", blocks("python"))
@pytest.mark.slow
def test_a_block_runs_alone(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run(block, {"__name__": "readme"})
    assert re.search(r"^predicted >= 0\.\d+ for gold >= 0\.9: ", printed, re.MULTILINE)
    card = (tmp_path / "output" / "model" / "README.md").read_text(encoding="utf-8")
    assert "SelectiveOrderLoss" in card
    assert "2506.04446" in card


def test_the_diff_makes_one_loss_of_the_other() -> None:
    (diff,) = blocks("diff")
    lines = diff.splitlines()
    assert len(lines) == 6
    assert {line[0] for line in lines} == {"+", "-", " "}
    made: dict[str, Any] = {}
    for sign in "-+":
        code = "\n".join(line[1:] for line in lines if line[0] in (sign, " "))
        namespace: dict[str, Any] = {"model": a_model(), "args": None, "train_dataset": None}
        namespace["SentenceTransformerTrainer"] = lambda **given: given
        run(code, namespace)
        made[sign] = namespace["trainer"]["loss"]
    assert type(made["-"]).__name__ == "CoSENTLoss"
    assert isinstance(made["+"], SelectiveOrderLoss)


def a_model() -> SentenceTransformer:
    torch.manual_seed(0)
    texts = [text for pair in graded_pairs(100) for text in pair[:2]]
    return SentenceTransformer(modules=[StaticEmbedding(train_tokenizer(texts), embedding_dim=64)], device="cpu")


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("README.md", ["distill", "score", "suggest", "train", "score"]),
        ("docs/first_steps.md", ["suggest", "check", "train", "score", "evaluate"]),
    ],
)
@pytest.mark.slow
def test_the_commands_run(page: str, named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (README.parent / page).read_text(encoding="utf-8")
    commands = [shlex.split(line, comments=True)[1:] for line in text.splitlines() if line.startswith("selective-st ")]
    assert [words[0] for words in commands] == named
    monkeypatch.chdir(tmp_path)
    a_model().save_pretrained("teacher")
    write_demo_data(tmp_path / "demo" / "data", {"train": 300, "eval": 100, "test": 100})
    texts = list(dict.fromkeys(text for pair in graded_pairs(200) for text in pair[:2]))
    nearly_the_same = [f"{text} {text.split()[0]}" for text in texts]
    Path("texts.txt").write_text("\n".join([*texts, *nearly_the_same]), encoding="utf-8")
    read_table("demo/data/test.csv").remove_columns("score").to_csv("pairs.csv", index=False)
    for words in commands:
        words = ["teacher" if word == "sentence-transformers/all-MiniLM-L6-v2" else word for word in words]
        ended = CliRunner().invoke(app, words)
        finds = words[0] == "check"  # that the labels go to 5
        assert ended.exit_code == int(finds), (words, ended.output)
        if words[0] == "score":
            added = {"predicted", "match"} if "--names" in words else {"score", "match"}
            assert added <= set(read_table(words[-1]).column_names)


def test_the_pictures_and_commands_exist() -> None:
    for path in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (README.parent / path).is_file()
    targets = re.findall(r"^([a-z-]+):", (README.parent / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", TEXT, re.MULTILINE))
    assert {"demo", "test"} <= {first or second for first, second in named} <= set(targets)
    assert re.search(r"^make demo ", TEXT, re.MULTILINE)
    assert re.search(r"^make test ", TEXT, re.MULTILINE)
