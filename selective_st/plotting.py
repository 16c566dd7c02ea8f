"""Pictures: links, threshold curves, scores against gold, error by score, and ranking against calibration.

They need matplotlib: `pip install "selective-st[plot]"`. Lines are told apart by lightness and style as well as by
colour, for grey print and for colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import selective_st.evaluation._checks as checks
from selective_st._validation import finite_number, interval_of, list_of, whole_number
from selective_st.evaluation._checks import Floats
from selective_st.evaluation.claims import counted
from selective_st.evaluation.curve import BetterRange, CurveComparison
from selective_st.evaluation.metrics import QUANTILES, bins_of
from selective_st.link_words import weighed
from selective_st.links import Link
from selective_st.output import picture_metadata

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        f'Pictures need matplotlib, which could not be imported ({error}): pip install "selective-st[plot]"'
    ) from error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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

_STYLE = matplotlib.rc_params_from_file(
    Path(__file__).with_name("templates") / "pictures.mplstyle", use_default_template=False
)
_SMALL = float(_STYLE["legend.fontsize"])


@contextmanager
def _drawn(
    owner: str, path: str | Path, panels: int, columns: int, size: tuple[float, float], legend: int, share: bool = False
) -> Iterator[Figure]:
    """A figure of panels of that size in inches, in rows of so many columns, which is written when all is drawn.

    One legend for all panels stands below them, in so many columns at most; 0 for none.
    """
    columns = min(panels, whole_number(owner, "columns", columns, least=1))
    rows = -(-panels // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), dpi=200, layout="constrained")
        figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
        for axes in figure.axes[panels:]:
            axes.remove()
        figure.set_label(owner)  # who drew it, which the file will say
        yield figure
        if legend:
            _legend_below(figure, legend)
        _write(figure, Path(path))


def _lines(owner: str, name: str, shown: Collection[str], **more: Any) -> dict[str, dict[str, Any]]:
    """How to draw the line of each name, told apart by colour and style; or raise if they are too many for that."""
    if not 0 < len(shown) <= len(_COLOURS):
        mend = f'Write {name}={{"name": ...}}, with the name to show for each.'
        raise ValueError(f"{owner}: {name} must hold 1 to {len(_COLOURS)} names, got {len(shown)}. {mend}")
    told_apart = zip(shown, _COLOURS, _STYLES, strict=False)
    return {each: {"color": colour, "linestyle": style, **more} for each, colour, style in told_apart}


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
    lines = _lines(owner, "links", links, linewidth=1.8)
    low, high = interval_of(owner, "score_range", score_range)
    scores = torch.linspace(low, high, 401, dtype=torch.float64)
    first, last = (low, high) if label_range is None else interval_of(owner, "label_range", label_range)

    def label(score: Any) -> Any:
        return first + (score - low) / (high - low) * (last - first)

    what = "score" if (first, last) == (low, high) else "score, on the labels' scale"
    with torch.no_grad(), _drawn(owner, path, 3, columns, (3.7, 3.4), legend=0) as figure:
        value_axes, sensitivity_axes, loss_axes = figure.axes
        height = 0.0
        for name, link in links.items():
            value_axes.plot(label(scores), link(scores), label=name, **lines[name])
            sensitivity_axes.plot(label(scores), link.sensitivity(scores), **lines[name])
            for target in targets:
                losses = link.divergence(scores, torch.tensor(target, dtype=torch.float64))
                height = max(height, float(losses.quantile(0.75)))
                loss_axes.plot(label(scores), losses, **lines[name])
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
    if baseline is not None and baseline not in curves:
        known, mend = ", ".join(curves) or "none", "Leave it out where there is none."
        raise ValueError(f"{owner}: baseline must be the name of a curve, {known}; got {baseline!r}. {mend}")
    points = {}
    for name, (at, losses) in curves.items():
        points[name] = checks.checked_pair(at, losses, names=(f"thresholds of {name}", f"losses of {name}"))
    thresholds = sorted(checks.checked_thresholds(owner, "thresholds", thresholds))
    scores = None if gold is None else checks.checked_scores("gold", gold)
    lines = _lines(owner, "curves", [name for name in curves if name != baseline] or curves, linewidth=1.8)
    lines |= {} if baseline is None else {baseline: _BASELINE}
    low, high = min(at.min() for at, _ in points.values()), max(at.max() for at, _ in points.values())
    highest = max(float(losses.max()) for _, losses in points.values()) or 1.0
    with _drawn(owner, path, 1, 1, (5.2, 4.4), legend=2) as figure:
        axes = figure.axes[0]
        pairs = "" if scores is None else f", {counted(len(scores), 'pair')}"
        axes.set(xlabel=f"threshold that one decides at{pairs}", ylabel="mean loss (lower is better)")
        axes.set(xlim=(low, high), ylim=(0, 1.12 * highest))
        if link is not None:
            places, counts = weighed(link, (low, high))
            shaded = (counts * 0.4 * highest / max(float(counts.max()), 1e-30)).numpy()
            axes.fill_between(places, 0, shaded, label="how much a threshold counts (the link)", **_MATTERS)
        for name, (at, losses) in points.items():
            order = np.argsort(at, kind="stable")
            axes.plot(at[order], losses[order], label=name, **lines[name])
        for of in better:
            bar = lines[of.model] | {"linewidth": 4, "marker": "|", "label": f"{of.model} clearly better"}
            axes.plot([of.low, of.high], [0.03 * highest] * 2, **bar)
        for threshold in thresholds:
            reached = 0 if scores is None else int((scores >= threshold - checks.TIE).sum())
            said = "" if scores is None else f": {reached:,} of {counted(len(scores), 'pair')} at or above"
            axes.axvline(threshold, color="#333333", linewidth=1, label=f"{threshold:g}{said}")
    return Path(path)


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
    lines = _lines(owner, "errors", errors, markersize=4)
    metrics = list_of(owner, "metrics", metrics, f"names of {', '.join(_ERRORS)}", '["rmse"]', [*_ERRORS].__contains__)
    regions = checks.checked_regions(owner, regions)
    with _drawn(owner, path, len(metrics), columns, (5, 3.8), legend=3) as figure:
        edges = [row[end] for rows in errors.values() for row in rows for end in ("low", "high")]
        for axes, metric in zip(figure.axes, metrics, strict=True):
            _shade(axes, regions)
            for (name, line), marker in zip(lines.items(), _MARKERS, strict=False):
                centres = [(row["low"] + row["high"]) / 2 for row in errors[name]]
                axes.plot(centres, [row[metric] for row in errors[name]], label=name, marker=marker, **line)
            if metric == "bias":
                axes.axhline(0, color="#777777", linewidth=0.8)
            axes.set(title=_ERRORS[metric], xlabel="gold score", xlim=(min(edges), max(edges)))
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
    lines = _lines(owner, "predicted", predicted)
    panels = {name: checks.checked_pair(gold, scores) for name, scores in predicted.items()}
    score_range = interval_of(owner, "score_range", score_range)
    regions = checks.checked_regions(owner, regions)
    if predicted_range is None:
        every = np.concatenate([scores for _, scores in panels.values()])
        predicted_range = min(float(every.min()), score_range[0]), max(float(every.max()), score_range[1])
    low, high = interval_of(owner, "predicted_range", predicted_range)
    size, legend = ((5, 4.2), 2) if len(panels) == 1 else ((4, 4.2), 5)
    with _drawn(owner, path, len(panels), columns, size, legend, share=True) as figure:
        for axes, (name, (gold_scores, scores)) in zip(figure.axes, panels.items(), strict=True):
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
                band: dict[str, Any] = {"color": lines[name]["color"], "linewidth": 0}
                axes.fill_between(centres, quantiles[0], quantiles[4], alpha=0.18, label="middle 90 %", **band)
                axes.fill_between(centres, quantiles[1], quantiles[3], alpha=0.35, label="middle 50 %", **band)
                axes.plot(centres, quantiles[2], label="median", marker="o", markersize=4, **band | {"linewidth": 2})
            axes.set(title=name, xlabel="gold score", ylabel="predicted score")
            axes.label_outer()
        # The scores' range is what a reader compares, so that the panels share it.
        figure.axes[0].set(xlim=(score_range[0] - 0.02, score_range[1] + 0.02), ylim=(low - 0.02, high + 0.02))
    return Path(path)


def _binned_quantiles(
    gold: Floats, scores: Floats, bins: int, score_range: tuple[float, float]
) -> tuple[Floats, Floats]:
    """The centres of the bins that hold enough pairs, and the five quantiles of the scores in each."""
    edges, place = bins_of(gold, bins, score_range)
    filled = [number for number in range(bins) if (place == number).sum() >= _FEWEST]
    quantiles = [np.quantile(scores[place == number], QUANTILES) for number in filled]
    return (edges[:-1] + edges[1:])[filled] / 2, np.array(quantiles).reshape(len(filled), len(QUANTILES)).T


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
        for name in ("ranking", "calibration", "ranking_interval", "calibration_interval"):
            finite_number("FrontierPoint", name, getattr(self, name), nonnegative=name.endswith("_interval"))


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
    points = list_of(owner, "points", points, "FrontierPoint", example, lambda of: isinstance(of, FrontierPoint))
    families: dict[str, list[FrontierPoint]] = {}
    for point in points:
        families.setdefault(point.family, []).append(point)
    if len(families) > len(_MARKERS):
        raise ValueError(f"{owner}: points must be of at most {len(_MARKERS)} families, got {len(families)}.")
    with _drawn(owner, path, 1, 1, (6.4, 4.6), legend=2 if any(families) else 0) as figure:
        axes = figure.axes[0]
        for number, (family, members) in enumerate(families.items()):
            style = _STYLES[number % len(_STYLES)] if family and len(members) > 1 else "none"
            look: dict[str, Any] = {"marker": _MARKERS[number], "markersize": 6, "linewidth": 1.2, "elinewidth": 0.9}
            look |= {"color": _COLOURS[number % len(_COLOURS)], "linestyle": style, "label": family}
            x, y = [of.calibration for of in members], [of.ranking for of in members]
            errors = [of.calibration_interval for of in members], [of.ranking_interval for of in members]
            axes.errorbar(x, y, xerr=errors[0], yerr=errors[1], **look)
        axes.margins(x=0.16, y=0.12)
        axes.invert_xaxis()  # better is right, and up
        for point in points:
            # A label stands on the inner side, where there is room for it.
            side = 1 if point.calibration > float(np.mean(axes.get_xlim())) else -1
            words: dict[str, Any] = {"fontsize": _SMALL, "ha": "left" if side > 0 else "right"}
            words |= {"xytext": (7 * side, 6), "textcoords": "offset points", "bbox": _BOX | {"alpha": 0.7}}
            axes.annotate(point.label, (point.calibration, point.ranking), **words)
        axes.set(xlabel=f"{calibration} (smaller is better →)", ylabel=f"{ranking} (larger is better →)", title=title)
    return Path(path)


def _shade(axes: Axes, regions: Sequence[tuple[float, float]]) -> None:
    for low, high in regions:
        axes.axvspan(low, high, label="the scores that matter", **_MATTERS)  # its dotted ends are seen in any print


def _legend_below(figure: Figure, columns: int) -> None:
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
    kind = path.suffix.lower().removeprefix(".")
    figure.savefig(path, format=kind, metadata=picture_metadata(path, str(figure.get_label())))
