"""The recipes run as they are, and do what they say."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import sys
from pathlib import Path

import pytest

from selective_st.evaluation import load_threshold

RECIPES = Path(__file__).parent.parent / "examples" / "recipes"
LONGEST = 80


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    printed = io.StringIO()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(RECIPES))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(RECIPES / f"{name}.py"), run_name="__main__")
    return printed.getvalue()


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


@pytest.mark.slow
def test_from_a_teacher_to_a_static_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, squared, speed, size, decided = run("teacher_to_static", tmp_path, monkeypatch).splitlines()
    f1, low, high, loss = numbers(ours.partition(":")[2].replace("F1", ""))
    assert 0 <= low < f1 < high <= 1
    assert loss < 1.05 * numbers(squared.partition(":")[2].replace("F1", ""))[-1]
    assert min(numbers(speed)) > 100
    assert numbers(size)[1] < numbers(size)[0]
    threshold = load_threshold(tmp_path / "output" / "teacher_to_static")
    assert threshold is not None
    assert numbers(decided)[-1] == pytest.approx(threshold.value, abs=1e-3)
    assert numbers(decided)[0] > 90


@pytest.mark.slow
def test_near_duplicates_are_found_and_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, agreed, _, *group = run("near_duplicates", tmp_path, monkeypatch).splitlines()
    texts, pairs, cut, groups = numbers(counts)
    assert groups <= texts - pairs / 3
    assert pairs > 50
    assert 0 < cut < 1
    assert numbers(agreed)[0] > 80
    assert len(group) >= 2
    assert len({line.split()[1] for line in group}) == 1


@pytest.mark.slow
def test_a_cache_keeps_its_budget_of_false_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, student = run("semantic_cache", tmp_path, monkeypatch).splitlines()
    for line, name in ((teacher, "teacher"), (student, "student")):
        assert line.startswith(name)
        _, hits, false, low, high, questions = numbers(line)
        assert hits > 0.9
        assert low <= false <= high
        assert false <= 0.05 + 2 * (0.05 * 0.95 / questions) ** 0.5  # a promise, and its chance


def test_recipes_are_short_and_listed() -> None:
    readme = (RECIPES.parent / "README.md").read_text(encoding="utf-8")
    for path in RECIPES.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
        assert f"](recipes/{path.name})" in readme
