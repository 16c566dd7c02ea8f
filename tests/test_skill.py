"""The skill for coding agents: its Python runs, its commands exist, and it is not longer than an agent reads."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from typer.main import get_command

from selective_st.cli import app
from selective_st.demo import graded_pairs
from selective_st.evaluation import load_threshold
from selective_st.losses import SelectivePointwiseLoss
from selective_st.training import train_tokenizer

ROOT = Path(__file__).parent.parent
SKILL = ROOT / "skills" / "selective-losses" / "SKILL.md"
TEXT = SKILL.read_text(encoding="utf-8")


def test_the_head_says_when_to_use_it() -> None:
    _, head, body = TEXT.split("---\n", 2)
    said = yaml.safe_load(head)
    assert said["name"] == SKILL.parent.name
    assert set(said) == {"name", "description"}
    assert "Use when" in said["description"]
    assert len(said["description"]) <= 1024
    assert len(body.splitlines()) < 200
    for path in re.findall(r"`(docs/\w+\.md|llms\.txt)`", body):
        assert (ROOT / path).is_file()


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = graded_pairs(200)
    texts1, texts2, gold = [a for a, _, _ in pairs], [b for _, b, _ in pairs], [score / 5 for _, _, score in pairs]
    model = SentenceTransformer(modules=[StaticEmbedding(train_tokenizer(texts1 + texts2), embedding_dim=32)])
    given: dict[str, Any] = {"model": model, "texts1": texts1, "texts2": texts2, "gold": gold}
    for block in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(block, str(SKILL), "exec"), given)
    assert isinstance(given["loss"], SelectivePointwiseLoss)
    assert len(given["matches"]) == 200
    assert load_threshold("model") == given["cut"]


def test_the_commands_and_their_options_exist() -> None:
    commands: Any = get_command(app)
    lines = re.findall(r"^selective-st (.*)$|`selective-st ([^`]*)`", TEXT, re.MULTILINE)
    assert len(lines) > 6
    for first, second in lines:
        name, *words = shlex.split(first or second, comments=True)
        known = {option for parameter in commands.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, (name, words)
