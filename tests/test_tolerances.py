"""The tolerances bear rounding and nothing else, and stand in one place; so do the seeds, which change the inputs."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch

from tests import random_inputs
from tests.loss_cases import LOSS_CASES
from tests.loss_properties import columns_for
from tests.tolerances import DTYPES, FEW, about, assert_close, assert_same_step, precision, rounding

ROOT = Path(__file__).parent.parent
NUMERICAL = [
    path
    for path in sorted((ROOT / "tests").glob("*.py"))
    if "pytest.mark.numerical" in path.read_text(encoding="utf-8") and path != Path(__file__)
] + [ROOT / "tests" / f"{name}.py" for name in ("gather_cases", "gather_script", "link_properties", "loss_properties")]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("terms", [10, 1_000, 100_000])
def test_sums_in_any_order_agree_and_no_far_larger_error_does(dtype: torch.dtype, terms: int) -> None:
    numbers = torch.rand(terms, generator=random_inputs.generator(3), dtype=torch.float64).to(dtype)
    one_by_one, reversed_ = numbers.cumsum(0)[-1], numbers.flip(0).cumsum(0)[-1]
    assert_close(one_by_one, reversed_, terms)
    assert_close(one_by_one, numbers.sum(), terms)
    wrong = one_by_one * (1 + 2 * rounding(dtype, terms))
    with pytest.raises(AssertionError):
        assert_close(wrong, numbers.sum(), terms)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_exponential_has_the_rounding_of_its_exponent(dtype: torch.dtype) -> None:
    scores = torch.randn(1_000, 8, generator=random_inputs.generator(4), dtype=dtype)
    exact = (20 * scores.double().sum(1)).softmax(0)
    rounded = (20 * scores.flip(1).cumsum(1)[:, -1]).softmax(0)
    assert_close(rounded, exact.to(dtype), exponent=20 * float(scores.sum(1).abs().max()))
    with pytest.raises(AssertionError):
        assert_close(rounded * (1 + 1e-3), exact.to(dtype), exponent=20.0)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_a_wrong_value_or_gradient_is_told_apart(dtype: torch.dtype, error: float) -> None:
    right = [torch.tensor(0.5, dtype=dtype), torch.tensor([1.0, -2.0], dtype=dtype), torch.tensor([0.0], dtype=dtype)]
    assert_same_step(right, [tensor.clone() for tensor in right])
    for place in range(2):
        wrong = list(right)
        wrong[place] = wrong[place] * (1 + error)
        with pytest.raises(AssertionError):
            assert_same_step(wrong, right)
    assert 0.5 * (1 + error) != about(0.5, dtype)
    assert {"a": 0.5, "b": float("nan")} == about({"a": 0.5, "b": float("nan")}, dtype)


def test_the_less_precise_type_counts_and_half_precision_bears_few_operations() -> None:
    assert precision(torch.zeros(1), torch.zeros(1).double(), 1.0) == torch.float32
    assert precision(1.0, torch.ones(1, dtype=torch.int64)) == torch.float64
    with pytest.raises(AssertionError, match="bears no more than"):
        rounding(torch.bfloat16, FEW)
    with pytest.raises(AssertionError):
        assert_close(torch.tensor(float("nan")), torch.tensor(1.0))
    with pytest.raises(AssertionError):
        assert_close([torch.ones(2)], [torch.ones(2), torch.ones(2)])


def test_another_seed_gives_other_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for seed in (0, 0, 1, 2):
        monkeypatch.setattr(random_inputs, "SEED", seed)
        drawn.append(columns_for(LOSS_CASES[0])[0].detach())
    assert torch.equal(drawn[0], drawn[1])
    for one, other in itertools.combinations(drawn[1:], 2):
        assert not torch.equal(one, other)


@pytest.mark.parametrize("path", NUMERICAL, ids=lambda path: path.stem)
def test_no_numerical_test_has_a_tolerance_or_a_seed_of_its_own(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"rtol=|atol=|torch\.testing|derandomize", text)
    assert not re.findall(r"(?:manual_seed|Random|default_rng)\((?!random_inputs)", text)


def test_each_setting_is_tried() -> None:
    made = re.search(r"^NUMERICS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert made is not None
    tried = [tuple(setting.split("-")) for setting in made.group(1).split()]
    # Seed 0 is that of all other runs.
    assert [set(values) for values in zip(*tried, strict=True)] == [{"default", "avx2"}, {"1", "2"}, {"1", "2"}]
