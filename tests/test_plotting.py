"""Pictures are written, and show what they should."""

from __future__ import annotations

import html
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from selective_st import plotting
from selective_st.links import IdentityLink, high_scores
from selective_st.plotting import (
    FrontierPoint,
    plot_error_by_score_bin,
    plot_frontier,
    plot_links,
    plot_scores_against_gold,
)

ROWS = [{"low": i / 10, "high": (i + 1) / 10, "count": 3, "rmse": i / 10, "bias": -i / 10} for i in range(10)]
GOLD = np.tile(np.linspace(0, 1, 26), 10)
LONG = "a-model-with-quite-a-long-name-as-they-often-are"


def texts(path: Path) -> str:
    """What an SVG file writes, as comments of matplotlib tell it."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8")))


def test_links(tmp_path: Path) -> None:
    path = plot_links({"all alike": IdentityLink(), "high": high_scores()}, tmp_path / "links.png")
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 300
    assert picture.shape[1] > 1000
    assert picture.std() > 0.01
    svg = plot_links({"high": high_scores()}, tmp_path / "links.svg")
    assert svg.read_text().count("<path") > 10
    assert "high" in texts(svg)


@pytest.mark.parametrize("name", [r"$\frac{$", "$x_1$ costs $5", "100 % & more_than ^ {it} \\"])
def test_a_name_is_no_formula(tmp_path: Path, name: str) -> None:
    paths = [
        plot_links({name: high_scores()}, tmp_path / "links.svg"),
        plot_error_by_score_bin({name: ROWS, "other": ROWS}, tmp_path / "errors.svg"),
        plot_scores_against_gold(GOLD, {name: GOLD, "other": GOLD}, tmp_path / "scores.svg"),  # type: ignore[arg-type]
        plot_frontier([FrontierPoint(name, 1.0, 1.0, family=name)], tmp_path / "frontier.svg", title=name),
    ]
    for path in paths:
        assert name in html.unescape(texts(path))


def test_errors(tmp_path: Path) -> None:
    path = plot_error_by_score_bin({"ours": ROWS, "theirs": ROWS}, tmp_path / "errors.png", regions=[(0.8, 1.0)])
    wide = matplotlib.image.imread(path)
    assert wide.std() > 0.01
    path = plot_error_by_score_bin({"ours": ROWS}, tmp_path / "bias.png", metrics=["bias"])
    assert matplotlib.image.imread(path).shape[1] == wide.shape[1] / 2


def test_scores_against_gold(tmp_path: Path) -> None:
    scores = {"before": 0.4 + 0.3 * GOLD, "after": GOLD}
    svg = texts(plot_scores_against_gold(GOLD, scores, tmp_path / "scores.svg", regions=[(0.8, 1.0)]))  # type: ignore[arg-type]
    for shown in ("before", "after", "median", "middle 90 %", "predicted = gold", "the scores that matter"):
        assert shown in svg
    many = np.tile(GOLD, 20)
    path = plot_scores_against_gold(many, {"dense": many}, tmp_path / "dense.png")  # type: ignore[dict-item, arg-type]
    assert matplotlib.image.imread(path).std() > 0.01


def test_quantiles_of_the_bins() -> None:
    gold = np.repeat([0.05, 0.3, 1.0], [10, 4, 20])
    scores = np.concatenate([np.arange(10) / 10, np.zeros(4), np.full(20, 0.7)])
    centres, quantiles = plotting._binned_quantiles(gold, scores, 10, (0.0, 1.0))
    assert centres == pytest.approx([0.05, 0.95])  # the bin of four pairs says nothing; 1.0 is in the last bin
    assert quantiles[2] == pytest.approx([0.45, 0.7])


def test_frontier(tmp_path: Path) -> None:
    points = [
        FrontierPoint("T = 0.3", 0.58, 0.13, 0.01, 0.004, "softmax"),
        FrontierPoint("T = 1", 0.55, 0.12, 0.01, 0.004, "softmax"),
        FrontierPoint("squared error", 0.52, 0.07),
    ]
    svg = texts(plot_frontier(points, tmp_path / "frontier.svg", ranking="nDCG@5", title="Answers"))
    for shown in ("T = 0.3", "squared error", "softmax", "nDCG@5 (larger is better", "smaller is better", "Answers"):
        assert shown in svg


@pytest.mark.parametrize("draw", ["errors", "scores"])
def test_long_names_fit_below(tmp_path: Path, draw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    write: Callable[..., Path] = plotting._write
    monkeypatch.setattr(plotting, "_write", lambda figure, path: (figures.append(figure), write(figure, path))[1])
    if draw == "errors":
        names = [f"{LONG}-{i}" for i in range(5)]
        plot_error_by_score_bin(dict.fromkeys(names, ROWS), tmp_path / "a.png", metrics=["rmse"])
    else:
        plot_scores_against_gold(GOLD, {LONG: GOLD}, tmp_path / "a.png")  # type: ignore[dict-item, arg-type]
    box = figures[0].legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figures[0].bbox.width


def test_colours_differ_in_lightness() -> None:
    lightness = [float(np.dot(matplotlib.colors.to_rgb(colour), (0.299, 0.587, 0.114))) for colour in plotting._COLOURS]
    assert len(set(plotting._STYLES)) == len(plotting._COLOURS)
    assert abs(lightness[0] - lightness[1]) > 0.05


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="links must hold 1 to 5 links, got 0"):
        plot_links({}, tmp_path / "links.png")
    with pytest.raises(ValueError, match="label_range must be two numbers"):
        plot_links({"high": high_scores()}, tmp_path / "links.png", label_range=(0, 1, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="errors must hold 1 to 5 models, got 6"):
        plot_error_by_score_bin({str(i): [] for i in range(6)}, tmp_path / "errors.png")
    with pytest.raises(ValueError, match="metrics must be of rmse, bias, got f1"):
        plot_error_by_score_bin({"a": ROWS}, tmp_path / "errors.png", metrics=["f1"])
    with pytest.raises(ValueError, match="predicted must hold 1 to 5 models, got 0"):
        plot_scores_against_gold([0.1], {}, tmp_path / "scores.png")
    with pytest.raises(ValueError, match="same length, got 2 and 1"):
        plot_scores_against_gold([0.1, 0.2], {"a": [0.1]}, tmp_path / "scores.png")
    with pytest.raises(ValueError, match="at least one point"):
        plot_frontier([], tmp_path / "frontier.png")


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    spec = importlib.util.spec_from_file_location("plotting_anew", str(plotting.__file__))
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=re.escape('pip install "selective-st[plot]"')):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
