"""Output folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A folder with one of these was written by this library or by Sentence Transformers.
_MARKS = ("metrics.json", "modules.json")


class OutputError(ValueError):
    """The output folder cannot be used; the message says why, and what to do."""


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise unless `path` can be written: it is free, empty, or an earlier output that may be overwritten.

    Args:
        path: The output folder.
        overwrite: Whether an earlier output there may be replaced.

    Raises:
        OutputError: If something is in the way.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"--output {path} exists and is no folder. Choose another name.")
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"--output {path} exists and is not empty. Choose another folder, or say --overwrite.")
    if not any((path / mark).is_file() for mark in _MARKS):
        raise OutputError(
            f"--output {path} exists and does not look like a model's folder (no {' or '.join(_MARKS)}), so it is not "
            "overwritten. Choose another folder, or empty it yourself."
        )


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder that takes its name only when all went well; after an error or Ctrl-C nothing is left behind.

    Args:
        path: The folder to write.
        overwrite: Whether an earlier output there may be replaced. It stays until the new one is whole.

    Yields:
        A temporary folder beside it, to write to.

    Raises:
        OutputError: If `path` cannot be written.
    """
    path = path.absolute()
    check_output(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp makes it private
        check_output(path, overwrite=overwrite)
        earlier = partial.with_name(f"{partial.name}-earlier")
        if path.exists():
            path.rename(earlier)
        try:
            partial.rename(path)
        except BaseException:
            if earlier.exists():
                earlier.rename(path)
            raise
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
