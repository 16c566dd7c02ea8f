"""`selective-st score`."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from selective_st.cli.common import be_quiet, load_model, make_console, print_notes, print_written, progress_bar
from selective_st.cli.options import argument, column_names, command, option

if TYPE_CHECKING:
    from selective_st.evaluation import ScoreThreshold


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What `score` was asked to do."""

    model: str = argument("The model, of any type: a path, or a name on the Hugging Face hub.")
    file: Path = argument("Pairs of texts: a .csv, .tsv, .jsonl or .parquet file.")
    output: Path = option(MISSING, "The file to write, of the same kind.")
    threshold: float | None = option(
        None, "From which score a pair matches. Default: the threshold stored with the model, if there is one."
    )
    columns: list[str] | None = option(
        None,
        "The two columns of texts, by name or number from 1. Default: the only two there are.",
        parse=column_names,
        metavar="TEXT,TEXT",
    )
    header: bool | None = option(
        None, "Whether a CSV has a header row. Default: told from its first row, and said.", "--header/--no-header"
    )
    as_queries: bool | None = option(
        None,
        "Whether the first texts are queries, where the model embeds these otherwise. Default: as when the threshold "
        "was chosen; else told by the first pairs.",
        "--as-queries/--no-as-queries",
    )
    names: list[str] | None = option(
        None, "What to call the two columns. Default: score,match.", parse=column_names, metavar="SCORE,MATCH"
    )
    batch_size: int = option(64, "How many texts, or pairs, to put through the model at once.", min=1)
    devices: list[str] | None = option(
        None, "Devices, such as cuda:0,cuda:1 or cpu,cpu: a process on each.", parse=column_names, metavar="DEVICE,..."
    )
    overwrite: bool = option(False, "Replace an earlier output of this command.", "--overwrite")


_PASSED_ON = ("columns", "header", "as_queries", "names", "batch_size", "devices", "overwrite")


@command(ScoreOptions)
def score(job: ScoreOptions) -> None:
    """Score the pairs of FILE with MODEL, and say which match: FILE anew, with the columns score and match.

    Works through files of any length; an interrupted command goes on where it was.
    """
    from selective_st.scoring import score_file

    console = make_console()
    be_quiet()
    with progress_bar(console, "scoring", "rows") as bar:
        task = bar.add_task("scoring", total=None)
        threshold = _threshold(job)
        found = score_file(
            lambda: load_model("MODEL", job.model),
            job.file,
            job.output,
            threshold=threshold,
            on_rows=lambda done, rows: bar.update(task, completed=done, total=rows),
            **{name: value for name in _PASSED_ON if (value := getattr(job, name)) is not None},
        )
    print_notes(console, found.notes)
    if found.warning:
        console.print(f"[bold yellow]Warning:[/] {found.warning}.", soft_wrap=True, highlight=False)
    if threshold is None:
        text = f"scores of {found.rows:,} rows, and no matches: {job.model} has no threshold; give one with --threshold"
    else:
        text = f"{found.matches:,} of {found.rows:,} rows match: {threshold}"
    console.print(text, soft_wrap=True, highlight=False, markup=False)
    print_written(console, "scores", job.output)


def _threshold(job: ScoreOptions) -> ScoreThreshold | None:
    """The threshold stored with the model, moved to where it was told."""
    from selective_st.evaluation.thresholds import ScoreThreshold, load_threshold

    stored = load_threshold(job.model)
    if job.threshold is None:
        return stored
    if not math.isfinite(job.threshold):
        raise ValueError(f"--threshold must be a finite number, such as 0.85; got {job.threshold}.")
    given = ScoreThreshold(job.threshold, gold=job.threshold)
    return replace(stored, value=given.value, metric=None, metric_value=None) if stored else given
