"""The README's Python code runs, and prints what the README shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.slow
def test_the_code_runs_and_prints_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(python|text)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "text", "python", "python", "text", "python", "text"]
    namespace: dict[str, object] = {"__name__": "readme"}
    printed = ""
    for kind, block in blocks:
        if kind == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(block, str(README), "exec"), namespace)
            printed = output.getvalue()
        else:
            assert printed == block
    card = (tmp_path / "output" / "model" / "README.md").read_text(encoding="utf-8")
    assert "SelectivePointwiseLoss" in card
    assert "2506.04446" in card


def test_the_first_result_is_shown_by_line_30() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert lines.index("```text") < 30


def test_the_pictures_and_commands_exist() -> None:
    text = README.read_text(encoding="utf-8")
    for path in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (README.parent / path).is_file()
    targets = re.findall(r"^([a-z-]+):", (README.parent / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`?make ([a-z-]+)", text)) <= set(targets)
