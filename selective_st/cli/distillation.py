"""`selective-st distill`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from selective_st.cli import common
from selective_st.cli.options import TextOptions, argument, command, option, positive_numbers
from selective_st.output import METRICS_FILE, Output

_TEMPLATE = "distillation.txt"


@dataclass(frozen=True, kw_only=True)
class DistillOptions(TextOptions):
    """What `distill` was asked to do.

    Attributes:
        teacher: The model to learn from, a SentenceTransformer or CrossEncoder: a path or hub name.
        texts: Texts without labels: .txt files with one text per line, or a .csv, .tsv, .jsonl or .parquet file, or the
            name of a dataset on the Hugging Face hub.
        threshold: The teacher's score at which you will decide. Repeat the option for several thresholds.
        output: The folder to write: the student, its threshold and the metrics.
        student: 'static' (word embeddings for the teacher's tokenizer), or the path or hub name of a model.
        dimensions: The dimension of the student's embeddings.
        layers: Instead of --student: keep this many of the teacher's first layers.
        pairs: How many pairs to draw for each text.
        epochs: Passes over the pairs. Default: 2 for static, else 1.
        batch_size: Pairs per step. Default: 1024 for static, else 32.
        learning_rates: Learning rates to choose from, the same for every loss. Default: 0.05 for static, else 1e-4;
            with --compare also 0.02 and 5e-5.
        compare: Also train with squared error, CoSENTLoss, softmax KL, cross entropy of the decisions, and embedding
            distillation.
        diagnose: Find out with two short runs what limits the student: its size, or the texts.
        seed: The random seed of the splits, the pairs and their order.
        overwrite: Replace an earlier output of this command.
    """

    teacher: str = argument()
    texts: list[str] = argument()
    threshold: list[float] = option(MISSING)
    output: Path = option(Path("distilled-model"))
    student: str = option("static")
    dimensions: int = option(64, min=1)
    layers: int | None = option(None, min=1)
    pairs: int = option(48, min=1)
    epochs: int | None = option(None, min=1)
    batch_size: int | None = option(None, min=2)
    learning_rates: tuple[float, ...] | None = option(None, parse=positive_numbers, metavar="LR,...")
    compare: bool = option(False, "--compare")
    diagnose: bool = option(False, "--diagnose")
    seed: int = option(0, min=0)
    overwrite: bool = option(False, "--overwrite")


@command(DistillOptions)
def distill(job: DistillOptions) -> None:
    """Train a small, fast model that makes the same decisions as TEACHER at a threshold, from unlabelled TEXTS.

    Writes the student with its threshold and metrics.json, and prints how well the two agree on held-out texts. If
    interrupted, the same command continues where it stopped.
    """
    reads = {"TEACHER": job.teacher, "--student": None if job.student == "static" else job.student}
    reads |= {f"text file {number}": source for number, source in enumerate(job.texts, start=1)}
    with Output(job.output, "distill", reads, overwrite=job.overwrite) as output:
        console = common.make_console()
        common.be_quiet()
        with console.status("Loading libraries ..."):
            from selective_st.distillation import DistillSettings, distill_into, read_all_texts
        told = {each.name: getattr(job, each.name) for each in fields(DistillSettings) if hasattr(job, each.name)}
        settings = DistillSettings(**told, thresholds=job.threshold)
        texts, notes = read_all_texts(job.texts, job.text_columns)
        common.print_notes(console, notes)
        teacher = common.load_model("TEACHER", job.teacher)
        metrics = distill_into(output, teacher, texts, settings)
        output.publish()
    _print_results(console, metrics)
    common.print_written(console, "model", output.given)
    common.print_written(console, "metrics", output.given / METRICS_FILE)


def _print_results(console: Console, found: dict[str, Any]) -> None:
    """Print how well students and teacher agree: a table for each threshold, by the teacher's and by their own cut."""
    common.print_template(console, _TEMPLATE, "plan", found=found)
    heads = ["loss", "cut", "F1", "precision", "recall", "loss per mille"]
    heads += ["F1 gained by ours"] if found["f1_gained"] else []
    for place, one in enumerate(found["test"]["selective"]):
        title, *sections = (
            common.text_of(_TEMPLATE, macro, found=found, place=place) for macro in ("title", "as_teacher", "own_best")
        )
        rows = [[("", line.split("|")[: len(heads)]) for line in section.splitlines()] for section in sections]
        common.print_table(console, title, heads, *rows)
        common.print_template(console, _TEMPLATE, "caveats", found=found, one=one)
    common.print_template(console, _TEMPLATE, "conclusion", found=found)
