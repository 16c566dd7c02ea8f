"""What the commands share: errors, the console, what they print and write, and quiet libraries."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from selective_st.errors import loading

if TYPE_CHECKING:
    from rich.progress import Progress

CLASS_LABELS = ("class", "class probabilities")
NO_PICTURES = r'[yellow]Note:[/] no pictures, as matplotlib is missing: pip install "selective-st\[plot]"'


@contextlib.contextmanager
def mistakes_in_words() -> Iterator[None]:
    """Turn the user's mistakes into one readable message and exit status 1, and Ctrl-C into status 130."""
    # Whoever ends this process politely, or closes its terminal, gets the same clean end as with Ctrl-C.
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:  # not everywhere
        if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            with contextlib.suppress(ValueError):  # only the main thread may
                signal.signal(number, signal.default_int_handler)
    status = 1
    try:
        yield
        return
    except KeyboardInterrupt as error:  # an output that was being written says what has become of it
        status, text = 130, f"[yellow]Interrupted: {escape(str(error) or 'nothing was written.')}[/]"
    except (OSError, ValueError, TypeError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        is_ours = frame.f_globals.get("__name__", "").startswith("selective_st")
        if not is_ours and getattr(error, "filename", None) is None:
            raise  # not said by this library for the user to read: a bug, which shows where it arose
        mend = ". Check the path and your rights there." if isinstance(error, OSError) else ""
        text = f"[bold red]Error:[/] {escape(str(error))}{mend}"
    Console(stderr=True, soft_wrap=True).print(text)
    raise typer.Exit(status)


def make_console() -> Console:
    """The console; where its width is not known, as in a log file, a wide one: tables must stay readable."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=max(found.width, 140))


def progress_bar(console: Console, description: str, noun: str) -> Progress:
    """A bar with what is done and the time that is left, in a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (description, BarColumn(), MofNCompleteColumn(), noun, TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, speed_estimate_period=600, disable=not console.is_terminal)


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


def load_model(what: str, name: str, model_type: str = "") -> Any:
    """Load a model.

    Args:
        what: What named it, for the message: an option or an argument.
        name: Its folder, or its name on the hub.
        model_type: The name of its class in Sentence Transformers. Default: the one that its files name.

    Returns:
        The model.

    Raises:
        ValueError: If it cannot be had.
    """
    import sentence_transformers

    from selective_st.evaluation.thresholds import named_model_type

    if os.path.isfile(name):
        order = "" if what.startswith("--") else " The model comes before the data."
        raise ValueError(f"{what} {name} is a file, but a model is a folder, or a name on the hub.{order}")
    model_type = model_type or named_model_type(name) or "SentenceTransformer"
    failure = f"{what} {name} could not be loaded as a {model_type}"
    with loading(failure, "its folder, or a name on the hub (with a connection)."):
        return getattr(sentence_transformers, model_type)(name)


def versions() -> dict[str, str]:
    """The versions of the libraries that the numbers depend on."""
    import sentence_transformers
    import torch

    import selective_st

    return {module.__name__: module.__version__ for module in (selective_st, sentence_transformers, torch)}


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print what was decided, a line each."""
    for note in dict.fromkeys(notes):
        console.print(f"[dim]·[/] {escape(note)}", soft_wrap=True)


def print_table(
    console: Console, title: str, heads: Sequence[str], *sections: Sequence[tuple[str, Sequence[str]]], left: str = ""
) -> None:
    """Print a table, in which no word is broken; row by row where the screen is too narrow for one.

    Args:
        console: Where to.
        title: Its title.
        heads: The headings of its columns. Numbers stand at the right, the first column and those in `left` do not.
        *sections: Rows, each with its style; a line parts the sections.
        left: Headings of columns of words.
    """
    every = [heads, *(cells for rows in sections for _, cells in rows)]
    widths = _widths(list(zip_longest(*every, fillvalue="")), console.width - 3 * len(heads) - 1)
    if widths is None:
        console.print(escape(title), soft_wrap=True)
        for style, (name, *values) in (row for rows in sections for row in rows):
            console.print(escape(name), style=style, soft_wrap=True)
            for head, cell in ((head, cell) for head, cell in zip(heads[1:], values, strict=False) if cell):
                console.print(f"    {escape(head)}: {escape(cell)}", highlight=False, soft_wrap=True)
        return
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left")
    for place, (head, width) in enumerate(zip(heads, widths, strict=True)):
        is_left = place == 0 or head in left.split(", ")
        table.add_column(escape(head), justify="left" if is_left else "right", width=width)
    for rows in sections:
        for style, cells in rows:
            table.add_row(*map(escape, cells), style=style)
        table.add_section()
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """How wide columns are to be; None where their longest words do not fit beside one another."""
    widths = [max(cell_len(word) for cell in column for word in [*cell.split(), ""]) for column in columns]
    lacking = [max(map(cell_len, column)) - width for column, width in zip(columns, widths, strict=True)]
    room -= sum(widths)
    while room > 0 and max(lacking) > 0:
        most = lacking.index(max(lacking))
        widths[most], lacking[most], room = widths[most] + 1, lacking[most] - 1, room - 1
    return None if room < 0 else widths


def print_written(console: Console, what: str, path: object) -> None:
    """Print where something was written."""
    console.print(f"{what:9} {path}", soft_wrap=True, markup=False, highlight=False)


def print_template(console: Console, name: str, macro: str, **facts: Any) -> None:
    """Print a macro of a template of the package, which is in rich's markup."""
    console.print(text_of(name, macro, **facts), soft_wrap=True, highlight=False)


def text_of(name: str, macro: str, **facts: Any) -> str:
    """What a macro of a template of the package says."""
    from selective_st._templates import template  # late: `--help` needs none

    return str(getattr(template(name), macro)(**facts)).strip("\n")
