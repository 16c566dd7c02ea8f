"""What the commands share: options, errors, the console, what they print and write, and quiet libraries."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

METRICS_FILE = "metrics.json"
POSITIVE_FROM = 0.8
CLASS_LABELS = ("class", "class probabilities")

FOCUS_HELP = "Which scores matter: high, low, extremes, middle, a region LOW:HIGH, or a link's JSON."

AS_QUERIES_HELP = (
    "Whether the first texts are queries: embedded as such, the second ones as documents, where the model does the two "
    "differently. Default: as the columns' names say, or if most first texts stand in several pairs."
)
POSITIVE_FROM_HELP = "From which label, after --score-range, a candidate of a text counts as positive."


class Errors:
    """Turn the user's mistakes into one readable message and exit status 1, and Ctrl-C into status 130."""

    def __enter__(self) -> None:
        import signal

        # Whoever ends this process politely, or closes its terminal, gets the same clean end as with Ctrl-C.
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # one of them is not known everywhere
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
                with contextlib.suppress(ValueError):  # only the main thread may
                    signal.signal(number, signal.default_int_handler)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None:
            return
        console = Console(stderr=True, soft_wrap=True)
        if issubclass(kind, OSError) and isinstance(error, OSError) and error.filename is not None:
            console.print(f"[bold red]Error:[/] {escape(str(error))}. Check the path and your rights there.")
            raise typer.Exit(1)
        if issubclass(kind, KeyboardInterrupt):
            # An output that was being written says what has become of it.
            console.print(f"Interrupted: {escape(str(error) or 'nothing was written.')}", style="yellow")
            raise typer.Exit(130)
        if issubclass(kind, (ValueError, TypeError)) and _is_from_the_user(error):
            console.print(f"[bold red]Error:[/] {escape(str(error))}")
            raise typer.Exit(1)


def _is_from_the_user(error: BaseException | None) -> bool:
    """Whether this library raised the error for the user to read; others are bugs, and show where they arose."""
    trace = error.__traceback__ if error else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("selective_st")


def make_console() -> Console:
    """The console; where its width is not known, a wide one."""
    # Tables must stay readable where the width is not known, as in a log file.
    found = Console()
    return found if found.is_terminal else Console(width=max(found.width, 140))


def be_quiet() -> None:
    """Silence the chatter of the libraries; this command prints its own progress and errors."""
    import logging
    import warnings

    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for name in ("sentence_transformers", "transformers", "datasets", "accelerate", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Without a GPU torch warns at every run that memory cannot be pinned for one.
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    import datasets

    datasets.disable_progress_bars()


def two_numbers(option: str, text: str | None) -> tuple[float, float] | None:
    """The two comma-separated numbers of an option, the smaller one first."""
    from selective_st._validation import score_interval

    values = floats(text)
    if values is None:
        return None
    if len(values) != 2:
        raise ValueError(f"{option} takes two numbers with a comma between, for example {option} 0,5; got {text!r}.")
    return score_interval(option, *values, names=("LOW", "HIGH"))


def positive_numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """The comma-separated positive numbers of an option, each once, in order of size."""
    from selective_st._validation import finite_number

    values = floats(text)
    if values is None:
        return None
    if not values:
        raise ValueError(f"{option} takes numbers with a comma between, for example {option} 0.01,0.03; got {text!r}.")
    return tuple(sorted({finite_number(option, "a learning rate", value, positive=True) for value in values}))


def column_names(option: str, text: str | None) -> list[str] | None:
    """The comma-separated names of an option."""
    return None if text is None else [name.strip() for name in text.split(",")]


def check_positive_from(value: float) -> None:
    """Raise unless `--positive-from` lies on the scale of the mapped labels."""
    if not 0 < value <= 1:
        raise ValueError(f"--positive-from must lie above 0, up to 1, the scale of the mapped labels; got {value:g}.")


def floats(text: str | None) -> list[float] | None:
    """The comma-separated numbers of a text; an empty list if it does not hold just those."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []


def load_model(what: str, name: str, model_type: str) -> Any:
    """Load a model.

    Args:
        what: What named it, for the message: an option or an argument.
        name: Its folder, or its name on the hub.
        model_type: The name of its class in Sentence Transformers.

    Returns:
        The model.

    Raises:
        ValueError: If it cannot be had.
    """
    import sentence_transformers

    try:
        return getattr(sentence_transformers, model_type)(name)
    except Exception as error:  # the hub client raises many kinds; all mean that the model cannot be had
        first_line = (str(error).splitlines() or ["no details"])[0]
        raise ValueError(
            f"{what} {name} could not be loaded as a {model_type} ({type(error).__name__}: {first_line}). Give its "
            "folder, or a name on the hub (with a connection)."
        ) from error


def versions() -> dict[str, str]:
    """The versions of the libraries that the numbers depend on."""
    import sentence_transformers
    import torch

    from selective_st import __version__

    return {
        "selective_st": __version__,
        "sentence_transformers": sentence_transformers.__version__,
        "torch": torch.__version__,
    }


def write_metrics(folder: Path, results: dict[str, Any]) -> None:
    """Write the metrics file of an output folder.

    Args:
        folder: The folder.
        results: Plain data without NaN, which JSON does not have.
    """
    text = json.dumps(results, indent=2, allow_nan=False)
    (folder / METRICS_FILE).write_text(f"{text}\n", encoding="utf-8")


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print what was decided, a line each.

    Args:
        console: Where to.
        notes: What was decided.
    """
    for note in dict.fromkeys(notes):
        console.print(f"[dim]·[/] {escape(note)}", soft_wrap=True)


def print_written(console: Console, what: str, path: object) -> None:
    """Print where something was written.

    Args:
        console: Where to.
        what: What it is, in a word.
        path: Where it is.
    """
    console.print(f"{what:8} {path}", soft_wrap=True, markup=False, highlight=False)
