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
from selective_st.evaluation import compare_curves, threshold_curve
from selective_st.links import IdentityLink, high_scores, link_for_thresholds
from selective_st.plotting import (
    FrontierPoint,
    plot_error_by_score_bin,
    plot_frontier,
    plot_links,
    plot_scores_against_gold,
    plot_threshold_curves,
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
        plot_threshold_curves({name: CURVES["ours"]}, tmp_path / "curves.svg"),
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


# --- Threshold curves -------------------------------------------------------------------------------------------------

SCORES = {
    "untrained": 0.3 + 0.4 * GOLD,
    "ours": np.clip(GOLD + 0.05 * np.sin(40 * GOLD), 0, 1),
    "theirs": 0.1 + 0.8 * GOLD,
}
CURVES = {name: threshold_curve(scores, GOLD, np.linspace(0.01, 0.99, 50)) for name, scores in SCORES.items()}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are written."""
    found: list[Any] = []
    write: Callable[..., Path] = plotting._write
    monkeypatch.setattr(plotting, "_write", lambda figure, path: (found.append(figure), write(figure, path))[1])
    return found


def curve_lines(axes: Any) -> list[Any]:
    return [line for line in axes.lines if len(line.get_xdata()) == 50]


class TestThresholdCurves:
    def test_the_lines_are_the_curves(self, tmp_path: Path, figures: list[Any]) -> None:
        path = plot_threshold_curves(CURVES, tmp_path / "curves.png", baseline="untrained", gold=GOLD)
        assert matplotlib.image.imread(path).std() > 0.01
        axes = figures[0].axes[0]
        for line, (at, losses) in zip(curve_lines(axes), CURVES.values(), strict=True):
            assert line.get_xdata() == pytest.approx(at)
            assert line.get_ydata() == pytest.approx(losses)
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > max(losses.max() for _, losses in CURVES.values())
        assert axes.get_xlabel() == "threshold that one decides at, 260 pairs"

    def test_a_line_and_the_counts_at_each_threshold(self, tmp_path: Path, figures: list[Any]) -> None:
        svg = plot_threshold_curves(CURVES, tmp_path / "curves.svg", thresholds=[0.9, 0.72], gold=GOLD)
        # Gold scores are 26 even ones, ten pairs each: 8 of them from 0.72 on, where 0.72 itself counts; 3 from 0.9 on.
        for at, count in ((0.72, 80), (0.9, 30)):
            assert f"{at}: {count} of 260 pairs at or above" in texts(svg)
        lines = [line for line in figures[0].axes[0].lines if set(line.get_xdata()) <= {0.72, 0.9}]
        assert sorted(line.get_xdata()[0] for line in lines) == [0.72, 0.9]
        assert "pairs" not in texts(plot_threshold_curves(CURVES, tmp_path / "b.svg", thresholds=[0.5]))

    @pytest.mark.parametrize("at", [0.2, 0.5, 0.85])
    def test_the_sensitivity_is_shaded_under_them(self, at: float, tmp_path: Path, figures: list[Any]) -> None:
        svg = plot_threshold_curves(CURVES, tmp_path / "a.svg", link=link_for_thresholds([at], elsewhere=0.25))
        assert "how much a threshold counts (the link)" in texts(svg)
        axes = figures[0].axes[0]
        x, y = axes.collections[0].get_paths()[0].vertices.T
        assert x[y.argmax()] == pytest.approx(at, abs=0.01)
        assert y.max() < axes.get_ylim()[1] / 2
        far = y[np.argmin(np.abs(x - (0.99 if at < 0.5 else 0.01)) + (y == 0))]
        assert far / y.max() == pytest.approx(0.25, abs=0.01)

    def test_each_name_stands_in_the_legend(self, tmp_path: Path, figures: list[Any]) -> None:
        names = ["SelectivePointwiseLoss", "CosineSimilarityLoss", "CoSENTLoss", "AnglELoss", LONG]
        curves = {name: (CURVES["ours"][0], (1 + number) * CURVES["ours"][1]) for number, name in enumerate(names)}
        plot_threshold_curves(curves, tmp_path / "curves.png", thresholds=[0.8], gold=GOLD)
        figure = figures[0]
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == [*names, "0.8: 60 of 260 pairs at or above"]
        box = legend.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert box.y1 <= figure.axes[0].get_window_extent().y0

    def test_readable_in_grey_and_at_420_pixels(self, tmp_path: Path, figures: list[Any]) -> None:
        plot_threshold_curves(CURVES, tmp_path / "curves.png", baseline="untrained", thresholds=[0.8], gold=GOLD)
        figure = figures[0]
        lines = curve_lines(figure.axes[0])
        assert len({(line.get_linestyle(), line._unscaled_dash_pattern) for line in lines}) == 3  # type: ignore[misc]
        smallest = min(text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text())
        assert smallest / 72 * 420 / figure.get_figwidth() > 9  # pixels, in a picture that is 420 wide

    def test_two_that_were_compared(self, tmp_path: Path, figures: list[Any]) -> None:
        gold = np.tile(np.linspace(0, 1, 201), 4)
        noise = np.random.default_rng(0).normal(size=len(gold))
        found = compare_curves(
            gold, {"ours": gold + 0.02 * noise, "theirs": gold + 0.2 * noise}, np.linspace(0.2, 0.8, 30)
        )
        assert [of.model for of in found.better()] == ["ours"]
        svg = plot_threshold_curves(found, tmp_path / "two.svg")
        assert "ours clearly better" in texts(svg)
        assert "theirs clearly better" not in texts(svg)
        (bar,) = (line for line in figures[0].axes[0].lines if line.get_linewidth() == 4)
        assert tuple(bar.get_xdata()) == (found.better()[0].low, found.better()[0].high)

    @pytest.mark.parametrize("losses", [[0.0, 0.0, 0.0], [0.0, 1e-9, 0.0]])
    def test_next_to_no_loss(self, losses: list[float], tmp_path: Path) -> None:
        assert plot_threshold_curves({"best": ([0.2, 0.5, 0.9], losses)}, tmp_path / "a.png").is_file()

    @pytest.mark.parametrize(
        ("curves", "options", "error", "message"),
        [
            ({}, {}, ValueError, "curves must hold 1 to 5 names, got 0"),
            (dict.fromkeys("abcdef", CURVES["ours"]), {}, ValueError, "1 to 5 names, got 6"),
            ({"a": ([0.1, 0.2], [0.3])}, {}, ValueError, "same length, got 2 and 1"),
            ({"a": ([0.1], [float("nan")])}, {}, ValueError, "losses of a must hold finite numbers, got nan"),
            (CURVES, {"baseline": "base"}, ValueError, "baseline must be the name of a curve, untrained, ours, theirs"),
            (CURVES, {"thresholds": 0.85}, TypeError, "must be a list of thresholds"),
            (CURVES, {"thresholds": [float("nan")]}, ValueError, "must be a finite number"),
            (CURVES, {"gold": []}, ValueError, "gold must be a list of numbers"),
        ],
    )
    def test_refused(
        self, curves: Any, options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(error, match=message):
            plot_threshold_curves(curves, tmp_path / "a.png", **options)
        assert not list(tmp_path.iterdir())


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
def test_long_names_fit_below(tmp_path: Path, draw: str, figures: list[Any]) -> None:
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
    with pytest.raises(ValueError, match="links must hold 1 to 5 names, got 0"):
        plot_links({}, tmp_path / "links.png")
    with pytest.raises(ValueError, match="label_range must be two numbers"):
        plot_links({"high": high_scores()}, tmp_path / "links.png", label_range=(0, 1, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="errors must hold 1 to 5 names, got 6"):
        plot_error_by_score_bin({str(i): [] for i in range(6)}, tmp_path / "errors.png")
    with pytest.raises(ValueError, match="metrics must hold names of rmse, bias, at least one, got"):
        plot_error_by_score_bin({"a": ROWS}, tmp_path / "errors.png", metrics=["f1"])
    with pytest.raises(ValueError, match="predicted must hold 1 to 5 names, got 0"):
        plot_scores_against_gold([0.1], {}, tmp_path / "scores.png")
    with pytest.raises(ValueError, match="same length, got 2 and 1"):
        plot_scores_against_gold([0.1, 0.2], {"a": [0.1]}, tmp_path / "scores.png")
    with pytest.raises(ValueError, match="points must hold FrontierPoint, at least one"):
        plot_frontier([], tmp_path / "frontier.png")


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    spec = importlib.util.spec_from_file_location("plotting_anew", str(plotting.__file__))
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match=re.escape('pip install "selective-st[plot]"')):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
