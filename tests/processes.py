"""Processes that are forks of one which has imported everything: that saves each of them the seconds of importing."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
FORKS: Any = multiprocessing.get_context(START)
_IMPORTED = [
    "accelerate",
    "selective_st.losses",
    "selective_st.multi_vector_encoder.losses",
    "selective_st.scoring",
    "selective_st.training",
]
if START == "forkserver":  # told before the first process starts: there is one server for all tests
    FORKS.set_forkserver_preload(_IMPORTED)


def _work(printed: Connection, errors: str, folder: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Do the work as a process would that a shell has started in a folder."""
    with open(errors, "wb") as file:
        os.dup2(file.fileno(), 2)
    os.dup2(printed.fileno(), 1)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", closefd=False) for number in (1, 2))
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work(*arguments)


@dataclass
class Started:
    """A process, and what it prints."""

    process: Any
    printed: TextIO
    errors: Path

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self, timeout: float = 120) -> tuple[str, str, int]:
        """Wait for it: what else it printed, its errors, and its status, negative for the signal that killed it."""
        printed = self.printed.read()
        self.process.join(timeout)
        assert self.process.exitcode is not None, "it goes on"
        return printed, self.errors.read_text(encoding="utf-8"), self.process.exitcode


@contextmanager
def started(work: Callable[..., Any], *arguments: Any) -> Iterator[Started]:
    """Start a process in the working folder; it is killed in the end where it goes on still.

    Args:
        work: A function of a module.
        arguments: Of the function.

    Yields:
        The process.
    """
    read, write = FORKS.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, os.fdopen(os.dup(read.fileno()), encoding="utf-8") as printed:
        errors = Path(folder) / "errors"
        process = FORKS.Process(target=_work, args=(write, str(errors), str(Path.cwd()), work, arguments))
        process.start()
        for end in (read, write):
            end.close()
        try:
            yield Started(process, printed, errors)
        finally:
            process.kill()
            process.join()


def script(path: str, *arguments: str, **environment: str) -> None:
    """Run a Python file."""
    os.environ.update(environment)
    sys.argv = [path, *arguments]
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(path, run_name="__main__")


def command_line(*arguments: str) -> None:
    """Run `selective-st`."""
    from selective_st.cli import main

    sys.argv = ["selective-st", *arguments]
    main()
