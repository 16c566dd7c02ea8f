"""Output folders that appear whole or not at all, and what goes into their JSON files."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Lists what this library wrote to a folder, so that nothing else is ever replaced with it.
_RECORD = ".selective_st.json"


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
    path = _absolute(path)
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir() or (part == path and path.is_symlink()):
                raise OutputError(f"--output {path}: {part} exists and is no folder. Choose another name.")
            break
    if path == Path.cwd() or path in Path.cwd().parents:
        raise OutputError(
            f"--output {path} is the folder you are in, or above it. Choose a folder below: --output model."
        )
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"--output {path} exists and is not empty. Choose another folder, or say --overwrite.")
    try:
        written = set(json.loads((path / _RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise OutputError(
            f"--output {path} exists and was not written by this command (it has no {_RECORD}), so it is not "
            "overwritten. Choose another folder, or empty it yourself."
        ) from None
    others = sorted(entry.name for entry in path.iterdir() if entry.name not in written | {_RECORD})
    if others:
        raise OutputError(
            f"--output {path} holds something that this command did not write: {', '.join(others[:5])}. It is not "
            "overwritten; move that away, or choose another folder."
        )


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # unlike Path.absolute, without the .. in it


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
    path = _absolute(path)
    check_output(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    try:
        yield partial
        (partial / _RECORD).write_text(json.dumps(sorted(entry.name for entry in partial.iterdir())), encoding="utf-8")
        partial.chmod(0o755)  # mkdtemp makes it private
        check_output(path, overwrite=overwrite)
        earlier = partial.with_name(f"{partial.name}-earlier")
        try:
            if path.exists():
                path.rename(earlier)
            partial.rename(path)
        except BaseException:
            if earlier.exists() and not path.exists():
                earlier.rename(path)
            raise
        shutil.rmtree(earlier, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def without_nan(value: Any) -> Any:
    """Data with None for numbers that JSON does not have.

    Args:
        value: Dicts, lists and plain values.

    Returns:
        The same with None for NaN and infinity.

    Example:
        >>> without_nan({"rmse": [0.5, float("nan")]})
        {'rmse': [0.5, None]}
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
