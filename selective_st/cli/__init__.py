"""The command line.

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from selective_st import __version__
from selective_st.cli.distillation import distill
from selective_st.cli.evaluation import evaluate, plot
from selective_st.cli.registry import check, formats, suggest
from selective_st.cli.scoring import score
from selective_st.cli.training import demo, train

app = typer.Typer(name="selective-st", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for _command in (train, distill, evaluate, score, plot, suggest, check, formats, demo):
    app.command(no_args_is_help=_command in (train, distill, evaluate, score, suggest, check))(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


_VERSION = typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)


@app.callback()
def _root(version: Annotated[bool, _VERSION] = False) -> None:
    """Selective losses for Sentence Transformers: for when some scores matter more than others."""


def main() -> None:
    """Run the command line."""
    sys.exit(app())
