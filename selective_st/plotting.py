"""Pictures: a link with its sensitivity and its loss, and a model's error by score bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure

from selective_st.links import Link

__all__ = ["plot_error_by_score_bin", "plot_links"]

# Told apart in grey print and by colour-blind readers: the colours differ in lightness, and so do the line styles.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7b3294", "#555555")
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def _figure(columns: int, width: float, height: float) -> Figure:
    with matplotlib.rc_context({"font.size": 10}):
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        figure.subplots(1, columns, squeeze=False)
    return figure


def plot_links(
    links: Mapping[str, Link],
    path: str | Path,
    *,
    score_range: tuple[float, float] = (0.0, 1.0),
    targets: Sequence[float] = (0.2, 0.9),
) -> Path:
    """Draw links side by side: the values h, the sensitivities h', and the losses around target scores.

    Args:
        links: Links by the name to show.
        path: The picture to write; its ending chooses the format.
        score_range: The scores to show.
        targets: Target scores whose loss is drawn.

    Returns:
        The path written.

    Raises:
        ValueError: If there is no link, or more than can be told apart.
    """
    if not 0 < len(links) <= len(_COLOURS):
        raise ValueError(f"plot_links: links must hold 1 to {len(_COLOURS)} links, got {len(links)}.")
    figure = _figure(3, 11, 3.4)
    scores = torch.linspace(*score_range, 401, dtype=torch.float64)
    value_axes, sensitivity_axes, loss_axes = figure.axes
    with torch.no_grad():
        for (name, link), colour, style in zip(links.items(), _COLOURS, _STYLES, strict=False):
            line: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": 1.8}
            value_axes.plot(scores, link(scores), label=name, **line)
            sensitivity_axes.plot(scores, link.sensitivity(scores), **line)
            for target in targets:
                loss_axes.plot(scores, link.divergence(scores, torch.tensor(target, dtype=torch.float64)), **line)
    for target in targets:
        loss_axes.axvline(target, color="#bbbbbb", linewidth=0.8, zorder=0)
    value_axes.set(title="link h: the gradient's scale", xlabel="score")
    sensitivity_axes.set(title="sensitivity h': what matters", xlabel="score")
    shown = " and ".join(f"{target:g}" for target in targets)
    loss_axes.set(title=f"loss around the targets {shown}", xlabel="predicted score", ylim=(0, 0.25))
    value_axes.legend(frameon=False, fontsize=9)
    return _write(figure, path)


def plot_error_by_score_bin(
    errors: Mapping[str, Sequence[Mapping[str, float]]],
    path: str | Path,
    *,
    regions: Sequence[tuple[float, float]] = (),
) -> Path:
    """Draw the error of one or more models in bins of the gold score.

    Args:
        errors: For each model, the rows of `selective_st.evaluation.error_by_score_bin`.
        path: The picture to write; its ending chooses the format.
        regions: Score regions to shade: those that matter.

    Returns:
        The path written.

    Raises:
        ValueError: If there is no model, or more than can be told apart.
    """
    if not 0 < len(errors) <= len(_COLOURS):
        raise ValueError(f"plot_error_by_score_bin: errors must hold 1 to {len(_COLOURS)} models, got {len(errors)}.")
    figure = _figure(2, 10, 3.8)
    for axes, metric, title in zip(
        figure.axes, ("rmse", "bias"), ("root mean squared error", "bias: predicted - gold"), strict=True
    ):
        for low, high in regions:
            axes.axvspan(low, high, color="#f2e6b1", zorder=0, label="the scores that matter")
        for (name, rows), colour, style in zip(errors.items(), _COLOURS, _STYLES, strict=False):
            centres = [(row["low"] + row["high"]) / 2 for row in rows]
            axes.plot(
                centres,
                [row[metric] for row in rows],
                label=name,
                color=colour,
                linestyle=style,
                marker="o",
                markersize=3,
            )
        if metric == "bias":
            axes.axhline(0, color="#999999", linewidth=0.8)
        axes.set(title=title, xlabel="gold score", xlim=(0, 1))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return _write(figure, path)


def _write(figure: Figure, path: str | Path) -> Path:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", linewidth=0.3)
    path = Path(path)
    figure.savefig(path)
    return path
