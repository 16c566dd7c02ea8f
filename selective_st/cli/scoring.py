"""`selective-st score`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selective_st._validation import LARGEST_PARAMETER
from selective_st.cli.common import be_quiet, load_model, make_console, print_notes, print_written, progress_bar
from selective_st.cli.options import argument, column_names, command, option

if TYPE_CHECKING:
    from selective_st.evaluation import ScoreThreshold


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What `score` was asked to do.

    Attributes:
        model: A model of any type: a path, or a name on the Hugging Face hub.
        file: Pairs of texts: a .csv, .tsv, .jsonl or .parquet file.
        output: The file to write, with the same ending as FILE.
        threshold: The lowest score of a match. Default: the threshold stored with the model, if there is one.
        columns: The two columns of texts, by name or number (from 1). Default: detected, if there are only two.
        header: Whether a CSV file has a header row. Default: detected, and reported.
        as_queries: Whether the first texts are queries, for models that embed these differently. Default: as when the
            threshold was chosen, else detected from the first pairs.
        names: Names for the two added columns. Default: score,match.
        batch_size: How many texts or pairs to pass through the model at once.
        devices: Devices, such as cuda:0,cuda:1 or cpu,cpu, with one process each.
        overwrite: Replace an earlier output of this command.
    """

    model: str = argument()
    file: Path = argument()
    output: Path = option(MISSING)
    threshold: float | None = option(None)
    columns: list[str] | None = option(None, parse=column_names, metavar="TEXT,TEXT")
    header: bool | None = option(None, "--header/--no-header")
    as_queries: bool | None = option(None, "--as-queries/--no-as-queries")
    names: list[str] | None = option(None, parse=column_names, metavar="SCORE,MATCH")
    batch_size: int = option(64, min=1)
    devices: list[str] | None = option(None, parse=column_names, metavar="DEVICE,...")
    overwrite: bool = option(False, "--overwrite")


_PASSED_ON = ("columns", "header", "as_queries", "names", "batch_size", "devices", "overwrite")


@command(ScoreOptions)
def score(job: ScoreOptions) -> None:
    """Score the pairs in FILE with MODEL: write a copy of FILE with the added columns score and match.

    Files may be of any length. If interrupted, the same command continues where it stopped.
    """
    from selective_st.scoring import score_file

    console = make_console()
    be_quiet()
    with progress_bar(console, "scoring", "rows") as bar:
        task = bar.add_task("scoring", total=None)
        threshold = _threshold(job)
        found = score_file(
            lambda: _model(job),
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
        text = f"scored {found.rows:,} rows without matches: {job.model} has no threshold; give one with --threshold"
    else:
        text = f"{found.matches:,} of {found.rows:,} rows match: {threshold}"
    console.print(text, soft_wrap=True, highlight=False, markup=False)
    print_written(console, "scores", job.output)


def _model(job: ScoreOptions) -> Any:
    model, threshold = load_model("MODEL", job.model), job.threshold
    if threshold is not None and abs(threshold) > 1 and getattr(model, "similarity_fn_name", None) == "cosine":
        mend = "which is at most 1. Write for example --threshold 0.85."
        raise ValueError(f"--threshold {threshold:g}: {job.model} scores by cosine similarity, {mend}")
    return model


def _threshold(job: ScoreOptions) -> ScoreThreshold | None:
    """The threshold stored with the model, moved to where it was told."""
    from selective_st.evaluation.thresholds import ScoreThreshold, load_threshold

    stored = load_threshold(job.model)
    if job.threshold is None:
        return stored
    if not abs(job.threshold) <= LARGEST_PARAMETER:  # nor is NaN
        allowed = f"must be a number of at most {LARGEST_PARAMETER:g} in size, such as 0.85"
        raise ValueError(f"--threshold {allowed}; got {job.threshold:g}.")
    given = ScoreThreshold(job.threshold, gold=job.threshold)
    return replace(stored, value=given.value, metric=None, metric_value=None) if stored else given
