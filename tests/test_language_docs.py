"""docs/language_models.md and examples/language_model.py run, and print what they show."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from selective_st import transformers

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "language_models.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "language_model.py"
NUMBER = re.compile(r"(?<![\w.@-])[+-]?\d[\d,]*(?:\.\d+)?(?![\w.]*\w)")


@pytest.mark.slow
def test_the_code_runs_and_prints_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "language_models"}
    printed, blocks = "", 0
    for match in re.finditer(r"```(python|text)\n(.*?)```", PAGE, re.DOTALL):
        kind, block = match.groups()
        if kind == "text":
            assert printed == block
            continue
        code = "\n" * PAGE.count("\n", 0, match.start(2)) + block
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, "docs/language_models.md", "exec"), namespace)
        # What the Trainer itself prints is no part of it.
        printed = "".join(line for line in output.getvalue().splitlines(keepends=True) if not line.startswith("{"))
        blocks += 1
    assert blocks == 5


def test_the_page_names_what_there_is() -> None:
    for name in transformers.__all__:
        assert f"`{name}" in PAGE or f"{name}(" in PAGE, name
    of_trainer = {"metric_for_best_model", "greater_is_better"}
    for name in set(re.findall(r"`(\w+)=", PAGE)) - of_trainer:
        known = [set(inspect.signature(getattr(transformers, each)).parameters) for each in transformers.__all__]
        assert any(name in parameters for parameters in known), name


def shape(printed: str) -> list[str]:
    return [" ".join(NUMBER.sub("#", line).split()) for line in printed.strip().splitlines()]


@pytest.mark.slow
def test_the_example_runs_and_prints_what_its_docstring_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name, "--quick"])
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    docstring = ast.get_docstring(ast.parse(EXAMPLE.read_text(encoding="utf-8"))) or ""
    assert shape(printed.getvalue()) == shape(docstring.split("Output of the first:", 1)[1])
    model = LlamaForCausalLM.from_pretrained("output/language_model", local_files_only=True)
    assert torch.isfinite(model(torch.tensor([[1, 2]])).logits).all()
