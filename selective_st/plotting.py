"""Pictures: links, threshold curves, scores against gold, error by score, and ranking against calibration.

They need matplotlib: `pip install "selective-st[plot]"`. Lines are told apart by lightness and style as well as by
colour, for grey print and for colour-blind readers.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import selective_st.evaluation._checks as checks
from selective_st._validation import finite_number, instance_of, interval_of, list_of, whole_number
from selective_st.evaluation._checks import Floats
from selective_st.evaluation.claims import counted
from selective_st.evaluation.curve import BetterRange, CurveComparison
from selective_st.link_words import weighed
from selective_st.links import Link
from selective_st.output import picture_metadata

try:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox
except ImportError as error:
    raise ImportError(
        f'Pictures need matplotlib, which could not be imported ({error}): pip install "selective-st[plot]"'
    ) from error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = [
    "FrontierPoint",
    "plot_error_by_score_bin",
    "plot_frontier",
    "plot_links",
    "plot_scores_against_gold",
    "plot_threshold_curves",
]

# Told apart in grey print and by colour-blind readers: the colours differ in lightness, and so do the line styles.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7b3294", "#555555")
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MANY = 2000  # points, from which their density is drawn instead
_FEWEST = 5  # pairs in a bin, for its quantiles to say anything
_ERRORS = {"rmse": "root mean squared error", "bias": "bias: predicted - gold"}
_BOX: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # around a label
# Light, so that bands over it keep their shades in grey.
_MATTERS: dict[str, Any] = {"facecolor": "#faf3d3", "edgecolor": "#8a7a2f", "linestyle": ":", "zorder": 0}
_BASELINE: dict[str, Any] = {"color": "#777777", "linestyle": (0, (1, 1.2)), "linewidth": 1.4}
_LABEL_WIDTH = 26  # letters in a line of a label
_LABEL_DISTANCES = (3, 9, 18, 30, 44, 60, 80)  # points from the curve that a label may stand at

_STYLE = matplotlib.rc_params_from_file(
    Path(__file__).with_name("templates") / "pictures.mplstyle", use_default_template=False
)
_SMALL = float(_STYLE["legend.fontsize"])


@contextmanager
def _drawn(
    owner: str, path: str | Path, panels: int, columns: int, width: float, height: float, *, share: bool = False
) -> Iterator[Figure]:
    """A figure of panels of that size in inches, in rows of so many columns, which is written when all is drawn."""
    target = _checked_path(owner, path)
    columns = min(panels, whole_number(owner, "columns", columns, least=1))
    rows = -(-panels // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width * columns, height * rows), dpi=200, layout="constrained")
        figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
        for axes in figure.axes[panels:]:
            axes.remove()
        figure.set_label(owner)  # who drew it, which the file will say
        yield figure
        _write(figure, target)


def _check_named(owner: str, name: str, values: Any, what: str) -> None:
    """Raise unless it is a dict of as many as can be told apart."""
    mend = f'Write {name}={{"name": ...}}, with the name to show for each.'
    instance_of(owner, name, values, Mapping, mend)
    if not 0 < len(values) <= len(_COLOURS):
        raise ValueError(f"{owner}: {name} must hold 1 to {len(_COLOURS)} {what}, got {len(values)}. {mend}")


def _lines(names: Iterable[str], **more: Any) -> dict[str, dict[str, Any]]:
    """How to draw the line of each name, told apart by colour and style."""
    told_apart = zip(names, _COLOURS, _STYLES, strict=False)
    return {name: {"color": colour, "linestyle": style, **more} for name, colour, style in told_apart}


def _checked_path(owner: str, path: Any) -> Path:
    """Where a picture can be written."""
    found = Path(instance_of(owner, "path", path, (str, os.PathLike), 'Write path="picture.png".'))
    kinds = Figure().canvas.get_supported_filetypes()
    if found.suffix.lower().removeprefix(".") not in kinds or found.is_dir():
        endings = ", ".join(f".{kind}" for kind in kinds)
        raise ValueError(
            f'{owner}: path must name a file that ends in one of {endings}, got {path!r}. Write path="picture.png".'
        )
    if not found.parent.is_dir():
        raise ValueError(
            f"{owner}: path {path!r} lies in a folder that does not exist. Make {str(found.parent)!r} first."
        )
    return found


def plot_links(
    links: Mapping[str, Link],
    path: str | Path,
    *,
    score_range: tuple[float, float] = (0.0, 1.0),
    targets: Sequence[float] = (0.2, 0.9),
    columns: int = 3,
    label_range: tuple[float, float] | None = None,
) -> Path:
    """Draw links side by side: the values h, the sensitivities h', and the losses around target scores.

    Args:
        links: Links by the name to show.
        path: The picture to write; its ending chooses the format.
        score_range: The scores to show.
        targets: Target scores whose loss is drawn.
        columns: How many of the three panels stand side by side.
        label_range: The labels that the ends of `score_range` stand for, which the axes then show. Default: the scores
            themselves.

    Returns:
        The path written.

    Raises:
        ValueError: If there is no link, or more than can be told apart.
    """
    owner = "plot_links"
    _check_named(owner, "links", links, "links")
    for link in links.values():
        instance_of(owner, "links", link, Link, 'Write links={"high": high_scores()}.')
    low, high = interval_of(owner, "score_range", score_range)
    targets = list_of(owner, "targets", targets, "scores", "[0.2, 0.9]", lambda _: True)
    targets = [finite_number(owner, f"targets[{place}]", target) for place, target in enumerate(targets)]
    scores = torch.linspace(low, high, 401, dtype=torch.float64)
    of_labels = (low, high) if label_range is None else interval_of(owner, "label_range", label_range)

    def label(score: Any) -> Any:
        return of_labels[0] + (score - low) / (high - low) * (of_labels[1] - of_labels[0])

    shown = label(scores)
    what = "score" if label_range in (None, (low, high)) else "score, on the labels' scale"
    with torch.no_grad(), _drawn(owner, path, 3, columns, 3.7, 3.4) as figure:
        value_axes, sensitivity_axes, loss_axes = figure.axes
        height = 0.0
        for name, line in _lines(links, linewidth=1.8).items():
            link = links[name]
            value_axes.plot(shown, link(scores), label=name, **line)
            sensitivity_axes.plot(shown, link.sensitivity(scores), **line)
            for target in targets:
                losses = link.divergence(scores, torch.tensor(target, dtype=torch.float64))
                height = max(height, float(losses.quantile(0.75)))
                loss_axes.plot(shown, losses, **line)
        for target in targets:
            loss_axes.axvline(label(target), color="#bbbbbb", linewidth=0.8, zorder=0)
        value_axes.set(title="link h: the gradient's scale", xlabel=what)
        sensitivity_axes.set(title="sensitivity h': what matters", xlabel=what, ylim=(0, None))
        around = ", ".join(f"{label(target):g}" for target in targets)
        loss_axes.set(title=f"loss around {around}", xlabel=f"predicted {what}", ylim=(0, height or None))
        value_axes.legend()
    return Path(path)


def plot_threshold_curves(
    curves: Mapping[str, tuple[Sequence[float] | Floats, Sequence[float] | Floats]] | CurveComparison,
    path: str | Path,
    *,
    link: Link | None = None,
    thresholds: Sequence[float] = (),
    gold: Sequence[float] | Floats | None = None,
    baseline: str | None = None,
) -> Path:
    """Draw threshold curves (a Murphy diagram): which model decides better, and at which thresholds.

    The lower a curve, the less the model's decisions at that threshold cost. Of two models that were compared, a bar at
    the bottom shows where one is clearly better.

    Args:
        curves: For each model what `selective_st.evaluation.threshold_curve` gives: the thresholds, and the loss at
            each; or the `compare_curves` of two.
        path: The picture to write; its ending chooses the format.
        link: The link trained with: its sensitivity, which says how much each threshold counts, is shaded below.
        thresholds: The thresholds that one decides at: a line at each.
        gold: The gold scores, to say how many pairs there are, and how many of them reach each threshold.
        baseline: The name of the curve that the others are held against, such as that of the untrained model: thin and
            grey.

    Returns:
        The path written.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no curve, or more than can be told apart; if the two lists of one differ in length or
            are not finite; or if `baseline` names none of them.

    Example:
        >>> from selective_st.evaluation import threshold_curve
        >>> gold = [0.1, 0.4, 0.8, 0.9]
        >>> curves = {"small": threshold_curve([0.3, 0.3, 0.6, 0.7], gold)}
        >>> plot_threshold_curves(curves, "curves.png", thresholds=[0.7], gold=gold)              # doctest: +SKIP
        PosixPath('curves.png')
    """
    owner, better = "plot_threshold_curves", list[BetterRange]()
    if isinstance(curves, CurveComparison):
        better = curves.better()
        curves = {name: (curves.thresholds, of) for name, of in zip(curves.models, curves.losses, strict=True)}
    points = _checked_curves(owner, curves, baseline)
    instance_of(owner, "link", link, (Link, type(None)), "Write link=high_scores().")
    thresholds = sorted(checks.checked_thresholds(owner, "thresholds", thresholds))
    scores = None if gold is None else checks.checked_scores("gold", gold)
    low, high = min(at[0] for at, _ in points.values()), max(at[-1] for at, _ in points.values())
    highest = max(float(losses.max()) for _, losses in points.values()) or 1.0
    lines = _lines([name for name in points if name != baseline], linewidth=1.8)
    lines |= {} if baseline is None else {baseline: _BASELINE}
    with _drawn(owner, path, 1, 1, 5.2, 3.8) as figure:
        axes = figure.axes[0]
        pairs = "" if scores is None else f", {counted(len(scores), 'pair')}"
        axes.set(xlabel=f"threshold that one decides at{pairs}", ylabel="mean loss (lower is better)")
        axes.set(xlim=(low, high), ylim=(0, (1.12 + 0.1 * len(thresholds)) * highest))
        if link is not None:
            _shade_sensitivity(axes, link, 0.4 * highest)
        for name, (at, losses) in points.items():
            axes.plot(at, losses, **lines[name])
        for of in better:
            bar = lines[of.model] | {"linewidth": 4, "marker": "|", "label": f"{of.model} clearly better"}
            axes.plot([of.low, of.high], [0.03 * highest] * 2, **bar)
        said = [_mark_threshold(axes, at, row, scores) for row, at in enumerate(thresholds)]
        _legend_below(figure, 2)
        figure.draw_without_rendering()  # which lays it out
        taken = [text.get_window_extent() for text in said]
        paths = {name: axes.transData.transform(_dense(at, losses)) for name, (at, losses) in points.items()}
        for name in points:
            taken.append(_label_curve(axes, name, lines[name]["color"], paths, taken))
    return Path(path)


def _checked_curves(owner: str, curves: Any, baseline: str | None) -> dict[str, tuple[Floats, Floats]]:
    """The curves, in order of their thresholds; or raise."""
    mend = 'Write curves={"new": threshold_curve(predicted, gold)}.'
    instance_of(owner, "curves", curves, Mapping, mend)
    if baseline is not None and baseline not in curves:
        raise ValueError(
            f"{owner}: baseline must be the name of a curve, {', '.join(curves) or 'none'}; got {baseline!r}. Leave "
            "it out where there is none."
        )
    _check_named(
        owner, "curves", {name: of for name, of in curves.items() if name != baseline or len(curves) == 1}, "models"
    )
    found = {}
    for name, of in curves.items():
        if not isinstance(of, (tuple, list)) or len(of) != 2:
            raise ValueError(f"{owner}: curves[{name!r}] must be thresholds and losses, got {of!r:.60}. {mend}")
        at, losses = checks.checked_pair(of[0], of[1], names=(f"thresholds of {name}", f"losses of {name}"))
        order = np.argsort(at, kind="stable")
        found[name] = at[order], losses[order]
    return found


def _shade_sensitivity(axes: Axes, link: Link, height: float) -> None:
    """What counts, from the bottom to a height."""
    scores, counts = weighed(link, axes.get_xlim())
    shaded = (counts * height / max(float(counts.max()), 1e-30)).numpy()
    label = "how much a threshold counts (the link)"
    axes.fill_between(scores, 0, shaded, label=label, **_MATTERS)


def _mark_threshold(axes: Axes, at: float, row: int, gold: Floats | None) -> Text:
    """A line at a threshold, with the pairs on its sides; the text of each stands in a row of its own."""
    axes.axvline(at, color="#333333", linewidth=1)
    said = f"{at:g}"
    if gold is not None:
        said += f": {int((gold >= at - checks.TIE).sum()):,} of {counted(len(gold), 'pair')} at or above"
    side = -1 if at > np.mean(axes.get_xlim()) else 1  # where there is room for it
    words: dict[str, Any] = {"fontsize": _SMALL, "ha": "left" if side > 0 else "right", "va": "top"}
    words |= {"xytext": (4 * side, -4 - 13 * row), "textcoords": "offset points", "bbox": _BOX | {"alpha": 0.8}}
    return axes.annotate(said, (at, 1), xycoords=("data", "axes fraction"), **words)


def _dense(at: Floats, losses: Floats) -> Floats:
    """Points of a curve, near one another."""
    places = np.linspace(at[0], at[-1], 400)
    return np.column_stack([places, np.interp(places, at, losses)])


def _label_curve(axes: Axes, name: str, colour: str, paths: Mapping[str, Floats], taken: Sequence[Bbox]) -> Bbox:
    """Write a curve's name beside it, where it covers least: neither curves nor what is written already."""
    words: dict[str, Any] = {"fontsize": _SMALL, "color": colour, "ha": "center", "va": "center"}
    written = textwrap.fill(name, _LABEL_WIDTH)
    measured = axes.text(0, 0, written, **words)
    size, inside, point = measured.get_window_extent(), axes.get_window_extent(), axes.figure.dpi / 72
    measured.remove()
    half = np.array([size.width, size.height]) / 2 + 2 * point
    others = np.concatenate([path for other, path in paths.items() if other != name] or [np.full((1, 2), np.inf)])

    def cost(distance: float, centre: Floats) -> float:
        box = Bbox([centre - half, centre + half])
        outside = np.any(box.min < inside.min) or np.any(box.max > inside.max)
        hidden = sum(box.overlaps(each) for each in taken)
        covered = sum((np.abs(path - centre) < half).all(axis=1).sum() for path in (paths[name], others))
        own, other = (np.hypot(*(path - centre).T).min() for path in (paths[name], others))
        return float(1e6 * outside + 1e4 * hidden + 10 * covered + 40 * (other < own) + distance)

    places = [
        (distance, at, at + np.array([0, sign * (half[1] + distance * point)]))
        for at in paths[name][12:-12:12]
        for distance in _LABEL_DISTANCES
        for sign in (1, -1)
    ]
    _, at, centre = min(places, key=lambda place: cost(place[0], place[2]))
    ends = axes.transData.inverted().transform([at, centre])
    line = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0}
    axes.annotate(written, ends[0], ends[1], **words, arrowprops=line).set_in_layout(False)
    axes.plot(*ends[0], marker="o", markersize=3, color=colour)
    return Bbox([centre - half, centre + half])


def plot_error_by_score_bin(
    errors: Mapping[str, Sequence[Mapping[str, float]]],
    path: str | Path,
    *,
    regions: Sequence[tuple[float, float]] = (),
    metrics: Sequence[str] = ("rmse", "bias"),
    columns: int = 2,
) -> Path:
    """Draw the error of one or more models in bins of the gold score.

    Args:
        errors: For each model, the rows of `selective_st.evaluation.error_by_score_bin`.
        path: The picture to write; its ending chooses the format.
        regions: Score regions to shade: those that matter.
        metrics: Which panels to draw: `rmse`, `bias`.
        columns: How many panels stand side by side.

    Returns:
        The path written.

    Raises:
        ValueError: If there is no model, or more than can be told apart, or a metric is not known.
    """
    owner = "plot_error_by_score_bin"
    _check_named(owner, "errors", errors, "models")
    metrics = list_of(owner, "metrics", metrics, f"names of {', '.join(_ERRORS)}", '["rmse"]', [*_ERRORS].__contains__)
    needed = {"low", "high", *metrics}
    for name, rows in errors.items():
        list_of(
            owner, f"errors[{name!r}]", rows, "bins", "error_by_score_bin(gold, predicted)",
            lambda row: isinstance(row, Mapping) and needed <= {*row},
        )  # fmt: skip
    regions = checks.checked_regions(owner, regions)
    with _drawn(owner, path, len(metrics), columns, 5, 3.8) as figure:
        edges = [row[end] for rows in errors.values() for row in rows for end in ("low", "high")]
        for axes, metric in zip(figure.axes, metrics, strict=True):
            _shade(axes, regions)
            for (name, line), marker in zip(_lines(errors, markersize=4).items(), _MARKERS, strict=False):
                centres = [(row["low"] + row["high"]) / 2 for row in errors[name]]
                axes.plot(centres, [row[metric] for row in errors[name]], label=name, marker=marker, **line)
            if metric == "bias":
                axes.axhline(0, color="#777777", linewidth=0.8)
            axes.set(title=_ERRORS[metric], xlabel="gold score", xlim=(min(edges), max(edges)))
        _legend_below(figure)
    return Path(path)


def plot_scores_against_gold(
    gold: Sequence[float],
    predicted: Mapping[str, Sequence[float]],
    path: str | Path,
    *,
    bins: int = 10,
    score_range: tuple[float, float] = (0.0, 1.0),
    predicted_range: tuple[float, float] | None = None,
    regions: Sequence[tuple[float, float]] = (),
    columns: int = 3,
) -> Path:
    """Draw the predicted scores of one or more models against the gold scores, a panel for each.

    In bins of the gold score, the median of the predicted scores and the bands that hold their middle 50 % and 90 %;
    behind these the pairs themselves, or where they are many, their density. On the diagonal predicted equals gold.

    Args:
        gold: Gold scores.
        predicted: For each model its predicted scores, as many; for example before and after training.
        path: The picture to write; its ending chooses the format.
        bins: How many bins.
        score_range: The range of gold scores to cut into bins. Pairs outside it are drawn, but in no bin.
        predicted_range: The predicted scores to show. Default: all, and at least those of `score_range`.
        regions: Score regions to shade: those that matter.
        columns: How many panels stand side by side.

    Returns:
        The path written.

    Raises:
        ValueError: If there is no model, or more than five, or the scores differ in length or are not finite.
    """
    owner = "plot_scores_against_gold"
    _check_named(owner, "predicted", predicted, "models")
    panels = {name: checks.checked_pair(gold, scores) for name, scores in predicted.items()}
    whole_number(owner, "bins", bins, least=1)
    score_range = interval_of(owner, "score_range", score_range)
    regions = checks.checked_regions(owner, regions)
    with _drawn(owner, path, len(panels), columns, 5 if len(panels) == 1 else 4, 4.2, share=True) as figure:
        for axes, (name, (gold_scores, scores)), colour in zip(figure.axes, panels.items(), _COLOURS, strict=False):
            _shade(axes, regions)
            if len(scores) > _MANY:
                shades: dict[str, Any] = {"cmap": "Greys", "bins": "log", "linewidths": 0, "alpha": 0.5, "mincnt": 1}
                axes.hexbin(gold_scores, scores, gridsize=40, **shades)
            else:
                # Gold scores mostly have few values: spread a little, the pairs are seen.
                shaken = gold_scores + np.random.default_rng(0).normal(0, 0.006, len(scores)) * np.ptp(score_range)
                dots: dict[str, Any] = {"s": 4, "color": "#888888", "alpha": 0.35, "linewidths": 0, "rasterized": True}
                axes.scatter(shaken, scores, label="pairs, spread a little sideways", **dots)
            dashes: dict[str, Any] = {"color": "#333333", "linewidth": 0.9, "linestyle": (0, (4, 3))}
            axes.axline((0, 0), slope=1, label="predicted = gold", **dashes)
            centres, quantiles = _binned_quantiles(gold_scores, scores, bins, score_range)
            if centres.size:
                band: dict[str, Any] = {"color": colour, "linewidth": 0}
                axes.fill_between(centres, quantiles[0], quantiles[4], alpha=0.18, label="middle 90 %", **band)
                axes.fill_between(centres, quantiles[1], quantiles[3], alpha=0.35, label="middle 50 %", **band)
                axes.plot(centres, quantiles[2], color=colour, linewidth=2, marker="o", markersize=4, label="median")
            axes.set(title=name, xlabel="gold score", ylabel="predicted score")
            axes.label_outer()
        # The scores' range is what a reader compares, so that the panels share it.
        if predicted_range is not None:
            predicted_range = interval_of(owner, "predicted_range", predicted_range)
        else:
            every = np.concatenate([scores for _, scores in panels.values()])
            predicted_range = min(float(every.min()), score_range[0]), max(float(every.max()), score_range[1])
        low, high = predicted_range
        figure.axes[0].set(xlim=(score_range[0] - 0.02, score_range[1] + 0.02), ylim=(low - 0.02, high + 0.02))
        _legend_below(figure, 2 if len(panels) == 1 else 5)
    return Path(path)


def _binned_quantiles(
    gold: Floats, scores: Floats, bins: int, score_range: tuple[float, float]
) -> tuple[Floats, Floats]:
    """The centres of the bins that hold enough pairs, and the five quantiles of the scores in each."""
    edges = np.linspace(*score_range, bins + 1)
    place = np.searchsorted(edges, gold + checks.TIE, side="right") - 1
    place[np.abs(gold - edges[-1]) <= checks.TIE] = bins - 1  # the last bin has its upper end
    centres, quantiles = [], []
    for number in range(bins):
        inside = scores[place == number]
        if len(inside) >= _FEWEST:
            centres.append((edges[number] + edges[number + 1]) / 2)
            quantiles.append(np.quantile(inside, (0.05, 0.25, 0.5, 0.75, 0.95)))
    return np.array(centres), np.array(quantiles).reshape(len(centres), 5).T


@dataclass(frozen=True)
class FrontierPoint:
    """A model or a setting on the picture of ranking against calibration.

    Attributes:
        label: What to write beside it; empty for nothing.
        ranking: A metric of the ranking, larger is better.
        calibration: An error of the scores, smaller is better.
        ranking_interval: Half the width of its 95 % interval; 0 for none.
        calibration_interval: Half the width of its 95 % interval; 0 for none.
        family: Points of one family share a colour and a marker, and a line joins them in the order given.
    """

    label: str
    ranking: float
    calibration: float
    ranking_interval: float = 0.0
    calibration_interval: float = 0.0
    family: str = ""

    def __post_init__(self) -> None:
        for name in ("label", "family"):
            instance_of("FrontierPoint", name, getattr(self, name), str, f'Write {name}="MSE", or "" for none.')
        for name in ("ranking", "calibration"):
            finite_number("FrontierPoint", name, getattr(self, name))
            finite_number("FrontierPoint", f"{name}_interval", getattr(self, f"{name}_interval"), nonnegative=True)


def plot_frontier(
    points: Sequence[FrontierPoint],
    path: str | Path,
    *,
    ranking: str = "recall@10",
    calibration: str = "error of the top scores",
    title: str = "",
) -> Path:
    """Draw ranking against calibration: where a model gains in one, what does it pay in the other?

    Args:
        points: The models or settings.
        path: The picture to write; its ending chooses the format.
        ranking: What the ranking is measured by.
        calibration: What the calibration is measured by.
        title: A title.

    Returns:
        The path written.

    Raises:
        ValueError: If there is no point, or there are more families than can be told apart.

    Example:
        >>> points = [FrontierPoint("MSE", 0.52, 0.07), FrontierPoint("KL", 0.58, 0.13, ranking_interval=0.01)]
        >>> plot_frontier(points, "frontier.png")                                                 # doctest: +SKIP
        PosixPath('frontier.png')
    """
    owner, example = "plot_frontier", '[FrontierPoint("MSE", 0.52, 0.07)]'
    points = list_of(owner, "points", points, "FrontierPoint", example)
    for point in points:
        instance_of(owner, "points", point, FrontierPoint, f"Write points={example}.")
    for name, text in (("ranking", ranking), ("calibration", calibration), ("title", title)):
        instance_of(owner, name, text, str, f'Write {name}="...".')
    families = list(dict.fromkeys(point.family for point in points))
    if not points or len(families) > len(_MARKERS):
        raise ValueError(
            f"{owner}: points must hold at least one point, of 1 to {len(_MARKERS)} families; got {len(points)} of "
            f"{len(families)}. Write points={example}."
        )
    with _drawn(owner, path, 1, 1, 6.4, 4.6) as figure:
        axes = figure.axes[0]
        for number, family in enumerate(families):
            members = [point for point in points if point.family == family]
            style: Any = _STYLES[number % len(_STYLES)] if family and len(members) > 1 else "none"
            look: dict[str, Any] = {"marker": _MARKERS[number], "markersize": 6, "linewidth": 1.2, "elinewidth": 0.9}
            axes.errorbar(
                [point.calibration for point in members],
                [point.ranking for point in members],
                xerr=[point.calibration_interval for point in members],
                yerr=[point.ranking_interval for point in members],
                label=family,
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=style,
                **look,
            )
        axes.margins(x=0.16, y=0.12)
        axes.invert_xaxis()  # better is right, and up
        for point in points:
            # A label stands on the inner side, where there is room for it.
            side = 1 if point.calibration > float(np.mean(axes.get_xlim())) else -1
            words: dict[str, Any] = {"fontsize": _SMALL, "ha": "left" if side > 0 else "right"}
            words |= {"xytext": (7 * side, 6), "textcoords": "offset points", "bbox": _BOX | {"alpha": 0.7}}
            axes.annotate(point.label, (point.calibration, point.ranking), **words)
        axes.set(xlabel=f"{calibration} (smaller is better →)", ylabel=f"{ranking} (larger is better →)", title=title)
        if any(families):
            _legend_below(figure, 2)
    return Path(path)


def _shade(axes: Axes, regions: Sequence[tuple[float, float]]) -> None:
    for low, high in regions:
        axes.axvspan(low, high, label="the scores that matter", **_MATTERS)  # its dotted ends are seen in any print


def _legend_below(figure: Figure, columns: int = 3) -> None:
    """One legend for all panels, below them."""
    unique: dict[str, Any] = {}
    for axes in figure.axes:
        found = zip(*reversed(axes.get_legend_handles_labels()), strict=True)
        unique |= {label: handle for label, handle in found if label and label not in unique}
    # In points: what a handle takes, and a letter of that size.
    widest = 45 + 0.6 * _SMALL * max(map(len, unique), default=0)
    fitting = min(columns, max(1, int(72 * figure.get_figwidth() / widest)), max(1, len(unique)))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=fitting)


def _write(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata=picture_metadata(path, str(figure.get_label())))
