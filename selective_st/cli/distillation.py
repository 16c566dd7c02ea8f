"""`selective-st distill`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from selective_st.cli import common
from selective_st.cli.options import DATA_HELP, TextOptions, argument, command, option, positive_numbers
from selective_st.output import Output, size_of

_TEMPLATE = "distillation.txt"


@dataclass(frozen=True, kw_only=True)
class DistillOptions(TextOptions):
    """What `distill` was asked to do."""

    teacher: str = argument("The model to learn from: a SentenceTransformer or CrossEncoder, its folder or hub name.")
    texts: list[str] = argument(f"Texts without labels: .txt files with a text a line, or others. {DATA_HELP}")
    threshold: list[float] = option(
        MISSING, "A score of the teacher at which you will decide. May be given several times."
    )
    output: Path = option(Path("distilled-model"), "Folder for the student, its threshold and the metrics.")
    student: str = option(
        "static", "'static': word vectors of the teacher's own tokenizer; or the path or hub name of a model."
    )
    dimensions: int = option(64, "Of the student's embeddings.", min=1)
    layers: int | None = option(None, "Instead: the student is so many first layers of the teacher.", min=1)
    pairs: int = option(48, "Pairs drawn for each text.", min=1)
    epochs: int | None = option(None, "Passes over the pairs. Default: 2 for static, else 1.", min=1)
    batch_size: int | None = option(None, "Pairs in a step. Default: 1024 for static, else 32.", min=2)
    learning_rates: tuple[float, ...] | None = option(
        None,
        "Learning rates to choose from, for every loss alike. Default: 0.05 for static, else 1e-4; with --compare also "
        "0.02 and 5e-5.",
        parse=positive_numbers,
        metavar="LR,...",
    )
    compare: bool = option(
        False,
        "Train squared error, CoSENTLoss, softmax KL, the cross entropy of decisions and embedding distillation too.",
        "--compare",
    )
    diagnose: bool = option(
        False, "Say what limits the student, its size or the texts, from two short runs.", "--diagnose"
    )
    seed: int = option(0, "Of the splits, the pairs and their order.", min=0)
    overwrite: bool = option(False, "Replace an earlier output of this command there.", "--overwrite")


@command(DistillOptions)
def distill(job: DistillOptions) -> None:
    """Train a small, fast model that decides as TEACHER does at a threshold, from TEXTS without labels.

    Writes the student with its threshold, and metrics.json, and prints how well the two agree on texts not trained on.
    After an interruption the same command goes on from there.
    """
    reads = {"TEACHER": job.teacher, "--student": None if job.student == "static" else job.student}
    reads |= {f"text file {number}": source for number, source in enumerate(job.texts, start=1)}
    room = size_of(job.teacher if job.layers else None)
    with Output(job.output, "distill", reads, overwrite=job.overwrite, room=room) as output:
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
    common.print_written(console, "metrics", output.given / common.METRICS_FILE)


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
