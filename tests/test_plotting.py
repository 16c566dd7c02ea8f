"""Pictures are written, and show what they should."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pytest

from selective_st.links import IdentityLink, high_scores
from selective_st.plotting import plot_error_by_score_bin, plot_links


def test_links(tmp_path: Path) -> None:
    path = plot_links({"all alike": IdentityLink(), "high": high_scores()}, tmp_path / "links.png")
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 300
    assert picture.shape[1] > 1000
    assert picture.std() > 0.01
    assert plot_links({"high": high_scores()}, tmp_path / "links.svg").read_text().count("<path") > 10


def test_errors(tmp_path: Path) -> None:
    rows = [{"low": i / 10, "high": (i + 1) / 10, "count": 3, "rmse": i / 10, "bias": -i / 10} for i in range(10)]
    path = plot_error_by_score_bin({"ours": rows, "theirs": rows}, tmp_path / "errors.png", regions=[(0.8, 1.0)])
    assert matplotlib.image.imread(path).std() > 0.01


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="links must hold 1 to 5 links, got 0"):
        plot_links({}, tmp_path / "links.png")
    with pytest.raises(ValueError, match="errors must hold 1 to 5 models, got 6"):
        plot_error_by_score_bin({str(i): [] for i in range(6)}, tmp_path / "errors.png")
