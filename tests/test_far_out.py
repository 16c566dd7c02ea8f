"""Links of any parameters, at scores as far out as floats go: right, or infinite where the right value is too large.

`make accuracy` runs this with 20,000 links.
"""

from __future__ import annotations

import mpmath as mp
import pytest
import torch

from tests.far_out import DIGITS, RandomLinks, reference, tensors, within

PAIRS = 6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_random_links(dtype: torch.dtype, pytestconfig: pytest.Config) -> None:
    made = RandomLinks(seed=0)
    failures = []
    with mp.workdps(DIGITS):
        for _ in range(pytestconfig.getoption("--far-out-cases") // 2):
            link = made.link()
            p, s = tensors([made.scores() for _ in range(PAIRS)], dtype)
            divergence = link.divergence(p, s)
            to_p, to_s = torch.autograd.grad(divergence.sum(), [p, s])
            exact = reference(link)
            for p_, s_, *found in zip(*(x.tolist() for x in (p, s, divergence, to_p, to_s)), strict=True):
                right = [exact.divergence(p_, s_), exact.difference(p_, s_), exact.to_target(p_, s_)]
                if p_ == s_:
                    right = [mp.mpf(0)] * 3
                for name, value, number in zip(("divergence", "to p", "to s"), found, right, strict=True):
                    if not within(value, number, dtype):
                        failures.append(f"{name} of {link!r} at p={p_!r}, s={s_!r}: {value!r}, not {mp.nstr(number, 8)}")
    assert not failures, f"{len(failures)} wrong:\n" + "\n".join(failures[:20])
