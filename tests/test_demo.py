"""The data that the package makes itself."""

from __future__ import annotations

import numpy as np
import pytest

from selective_st.demo import graded_pairs


def test_graded_pairs() -> None:
    pairs = graded_pairs(500, seed=1)
    assert pairs == graded_pairs(500, seed=1)
    assert pairs != graded_pairs(500, seed=2)
    scores = np.array([score for _, _, score in pairs])
    assert scores.min() == 0
    assert scores.max() == 5
    assert ((scores >= 4.75).mean() > 0.1) & ((scores <= 1).mean() > 0.1)
    shared = np.array([len(set(a.lower().split()) & set(b.lower().split())) for a, b, _ in pairs])
    assert np.corrcoef(shared, scores)[0, 1] > 0.5


def test_refused() -> None:
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        graded_pairs(0)
