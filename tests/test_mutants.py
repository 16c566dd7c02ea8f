"""The list of mutations fits the code: `make mutants`, which runs them, is for now and then."""

from __future__ import annotations

import ast
from functools import lru_cache

import pytest

from tests.mutants import DRAWN, EACH, MUTANTS, PACKAGE, ROOT, Mutant, drawn


@lru_cache
def as_it_is(file: str) -> str:
    return ast.dump(ast.parse((ROOT / PACKAGE / file).read_text()))


def test_there_are_enough_and_none_twice() -> None:
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name[:60])
def test_each_is_one_line_that_is_there_and_tests_that_are(mutant: Mutant) -> None:
    mutated = mutant.mutated((ROOT / PACKAGE / mutant.file).read_text())
    assert ast.dump(ast.parse(mutated)) != as_it_is(mutant.file)
    assert all((ROOT / "tests" / f"{test}.py").exists() for test in mutant.tests)


@pytest.mark.parametrize("folder", DRAWN)
def test_what_is_drawn_is_other_code_and_the_same_each_time(folder: str) -> None:
    mutants = drawn(folder, DRAWN[folder])
    files = {mutant.file for mutant in mutants}
    assert len(mutants) > (EACH - 1) * len(files)
    assert mutants == drawn(folder, DRAWN[folder])
    for mutant in mutants:
        mutated = mutant.mutated((ROOT / PACKAGE / mutant.file).read_text())
        assert ast.dump(ast.parse(mutated)) != as_it_is(mutant.file)
        assert all((ROOT / "tests" / f"{test}.py").exists() for test in mutant.tests)


def test_a_line_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="has 0 lines that read"):
        Mutant("links.py", "no such line", "pass", ()).mutated("a = 1\n")
    with pytest.raises(ValueError, match="has 2 lines that read"):
        Mutant("links.py", "a = 1", "a = 2", ()).mutated("a = 1\n    a = 1\n")
