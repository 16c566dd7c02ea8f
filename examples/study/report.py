"""What the study writes: a table for each task, in Markdown, and a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from contenders import Contender
from matplotlib.figure import Figure
from tasks import Task

from selective_st.training import mean_and_interval

_NAMES = {
    "ap_ge_0.95": "AP gold ≥ 0.95 ↑",
    "ap_ge_0.8": "AP gold ≥ 0.8 ↑",
    "rmse_0.8_1": "RMSE gold 0.8-1 ↓",
    "spearman": "Spearman ↑",
    "recall@10": "recall@10 ↑",
    "rmse_top10": "RMSE of the top 10 ↓",
    "f1_at_teacher": "F1 at the teacher's threshold ↑",
    "f1_at_own": "F1 at its own ↑",
    "map": "MAP ↑",
    "mrr@10": "MRR@10 ↑",
    "ndcg@10": "nDCG@10 ↑",
}


RESAMPLED, UNTRAINED = "resampled.json", "untrained.json"
_AS_GOOD = 0.003  # on dev: what is less worse than the chosen setting is named too


def run_file(folder: Path, task: Task, contender: Contender, rate: str, seed: int | str) -> Path:
    """The file of a run."""
    name = f"{contender.family} {contender.setting} lr{rate} seed{seed}".replace("/", "-").replace(" ", "_")
    return folder / task.name / f"{name}.json"


def chosen_file(folder: Path, task: Task, family: str) -> Path:
    """The file of a loss's chosen setting, with its runs."""
    return folder / task.name / f"chosen {family}.json".replace(" ", "_")


def families(task: Task) -> list[str]:
    """The losses of a task."""
    return list(dict.fromkeys(contender.family for contender in task.contenders))


def chosen(folder: Path, task: Task) -> list[dict[str, Any]]:
    """The chosen setting of each loss, with its runs; of the losses that are done."""
    files = [chosen_file(folder, task, family) for family in families(task)]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    cells = [[f" {cell} " if cell else " " for cell in row] for row in (head, *rows)]
    lines = [f"|{'|'.join(row)}|" for row in cells]
    return [lines[0], f"|{'---|' * len(head)}", *lines[1:]]


def interval(values: Sequence[float], digits: int = 3, sign: str = "") -> str:
    """Mean and 95 % interval, by Student's t; the mean alone of one value."""
    mean, half = mean_and_interval(values)
    text = f"{mean:{sign}.{digits}f}"
    return text if math.isnan(half) else f"{text} ± {half:.{digits}f}"


def _values(entry: dict[str, Any], metric: str) -> list[float]:
    return [run[f"test_{metric}"] for run in entry["runs"]]


def table(folder: Path, task: Task) -> str:
    """The results of a task, in Markdown: of the losses, and paired differences to the best built-in one."""
    found = chosen(folder, task)
    if not found:
        return ""
    main = task.metrics[0]
    tuned_for = " and ".join(_NAMES[metric].split(" ↑")[0] for metric in task.tuned_for or (main,))
    tuned_for = f"the mean of {tuned_for}" if task.tuned_for else tuned_for
    rows = []
    untrained = folder / task.name / UNTRAINED
    for name, metrics in (json.loads(untrained.read_text()) if untrained.exists() else {}).items():
        cells = [f"{metrics[f'test_{metric}']:.3f}" for metric in task.metrics]
        rows.append([name, "", "", f"{task.goodness(metrics):.3f}", *cells])
    for entry in found:
        name = f"**{entry['family']}**" if entry["selective"] else entry["family"]
        at_end = " (end)" if entry["at_end"] else ""
        cells = [interval(_values(entry, metric)) for metric in task.metrics]
        settings = sum(contender.family == entry["family"] for contender in task.contenders)
        setting = f"{entry['setting'] or 'as it is'} (one of {settings})" if settings > 1 else entry["setting"] or "-"
        dev = sum(map(task.goodness, entry["runs"])) / len(entry["runs"])
        rows.append([name, setting, f"{entry['rate']:g}{at_end}", f"{dev:.3f}", *cells])
    best = max(
        (entry for entry in found if not entry["selective"]),
        key=lambda entry: mean_and_interval(_values(entry, main))[0],
    )
    for entry in (entry for entry in found if entry["selective"]):
        pairs = [zip(_values(entry, metric), _values(best, metric), strict=True) for metric in task.metrics]
        cells = [interval([ours - theirs for ours, theirs in of], sign="+") for of in pairs]
        rows.append([f"{entry['family']} - {best['family']}", "", "", "", *cells])
    lines = [
        f"## {task.title}",
        "",
        f"{len(found[0]['runs'])} seeds, learning rates {', '.join(f'{rate:g}' for rate in task.rates)}; settings and "
        f"rates chosen by {tuned_for} on the dev split.",
        "",
        *markdown(["loss", "setting", "learning rate", "dev", *(_NAMES[metric] for metric in task.metrics)], rows),
    ]
    lines += _as_good(task, found)
    resampled = folder / task.name / RESAMPLED
    if resampled.exists():
        lines += ["", *_resampled(json.loads(resampled.read_text())["differences"], task, best["family"])]
    missing = len(families(task)) - len(found)
    if missing:
        lines += ["", f"{missing} of the losses of this task are not done yet."]
    return "\n".join(lines) + "\n"


def _as_good(task: Task, found: list[dict[str, Any]]) -> list[str]:
    """Which other settings and rates were nearly as good on dev, in Markdown."""
    shown = []
    for entry in found:
        tried = sorted(entry.get("tried", ()), key=lambda each: -each[0])
        for dev, main, setting, rate in tried:
            best = tried[0][0]
            if dev >= best - _AS_GOOD and (setting, rate) != (entry["setting"], entry["rate"]):
                named = f"{entry['family']}: {setting}, " if setting else f"{entry['family']}: "
                shown.append(f"- {named}learning rate {rate:g}: {best - dev:.4f} less, test {main:.3f}")
    if not shown:
        return []
    seeds = "one seed" if task.tuning_seeds == 1 else f"{task.tuning_seeds} seeds"
    name = _NAMES[task.metrics[0]].split(" ↑")[0]
    return ["", f"Nearly as good on dev ({seeds} each; with {name} on test):", "", *shown]


def _resampled(differences: dict[str, list[float]], task: Task, best: str) -> list[str]:
    """What resampling the test split says, in Markdown."""
    shown = [name for name in differences if name.endswith((f" - {best}", " - CosineSimilarityLoss"))]
    lines = (
        f"- {name}: {mean:+.3f} ({low:+.3f} to {high:+.3f})"
        for name, (mean, low, high) in ((name, differences[name]) for name in shown)
    )
    return [
        f"The intervals above are over seeds. With {task.resamples} drawn anew, the difference in "
        f"{_NAMES[task.metrics[0]].split(' ↑')[0]} (first seed) is, with its 95 % interval:",
        "",
        *lines,
    ]


def picture(folder: Path, tasks: list[Task], path: Path) -> None:
    """Draw the main metric of every loss of every task, with its 95 % interval."""
    done = [task for task in tasks if chosen(folder, task)]
    rows = [len(chosen(folder, task)) + 1.5 for task in done]
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(9, 0.6 + 0.25 * sum(rows)), dpi=110, layout="constrained")
        panels = figure.subplots(len(done), 1, squeeze=False, gridspec_kw={"height_ratios": rows})[:, 0]
        for axes, task in zip(panels, done, strict=True):
            found = chosen(folder, task)
            for place, entry in enumerate(reversed(found)):
                mean, half = mean_and_interval(_values(entry, task.metrics[0]))
                colour, marker = ("#0072b2", "o") if entry["selective"] else ("#666666", "s")
                axes.errorbar(
                    mean, place, xerr=None if math.isnan(half) else half, color=colour, marker=marker, capsize=3
                )
            axes.set_yticks(range(len(found)), [entry["family"] for entry in reversed(found)])
            axes.set_ylim(-0.6, len(found) - 0.4)
            title = f"{task.title}: {_NAMES[task.metrics[0]].split(' ↑')[0]}"
            # To the left end of the labels: beside them it would not fit.
            axes.annotate(
                title, (0, 1), (5, 5), xycoords=("figure fraction", "axes fraction"), textcoords="offset points"
            )
            axes.grid(axis="x", linewidth=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)
