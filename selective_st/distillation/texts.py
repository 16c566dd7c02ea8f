"""The texts of files, and those to train, to choose and to report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from selective_st._templates import say
from selective_st._text_files import ending, open_lines
from selective_st._validation import list_of
from selective_st.data import named_columns
from selective_st.errors import DataError
from selective_st.files import read_file
from selective_st.registry.columns import is_metadata
from selective_st.registry.detection import format_of
from selective_st.registry.table import tables

SPLITS = ("train", "validation", "test")
_HELD_OUT = 0.1  # of the texts, for each of the last two
_FEWEST = 10  # texts of a split


def checked_texts(owner: str, texts: Iterable[str]) -> list[str]:
    """The texts, or an error that names the argument."""
    return list_of(owner, "texts", texts, "texts", '["a text", "another"]', lambda text: isinstance(text, str))


def split_texts(texts: Sequence[str], seed: int = 0) -> dict[str, list[str]]:
    """Part texts into those to train, to choose and to report, by a hash: a text stays where it is as more come.

    Args:
        texts: The texts; each counts once, and empty ones do not.
        seed: Of the hash.

    Returns:
        The texts of `train` (8 of 10), `validation` and `test`.

    Raises:
        DataError: If there are too few.

    Example:
        >>> parts = split_texts([f"text {number}" for number in range(1000)])
        >>> [len(part) for part in parts.values()]
        [784, 106, 110]
    """
    found = checked_texts("distill", texts)
    parts: dict[str, list[str]] = {name: [] for name in SPLITS}
    different = dict.fromkeys(text for text in map(str.strip, found) if text)
    for text in different:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=str(seed).encode()[:16])
        share = int.from_bytes(digest.digest(), "big") / 2**64
        parts["train" if share >= 2 * _HELD_OUT else "validation" if share >= _HELD_OUT else "test"].append(text)
    if min(map(len, parts.values())) < _FEWEST:
        raise DataError(say("too_few_texts", texts=len(found), different=len(different)))
    return parts


def read_texts(source: str, columns: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """The texts of a file or a hub dataset.

    Args:
        source: A .txt file (compressed or not) with a text a line, or what `read_file` reads.
        columns: The columns that hold texts. Default: all that do.

    Returns:
        The texts, and what was decided.

    Raises:
        DataError: If there are none.
    """
    if ending(source) == ".txt":
        path = Path(source).expanduser()
        if not path.is_file():
            raise DataError(f"{source} does not exist, or is no file. Check the path (looked in {Path.cwd()}).")
        with open_lines(path) as lines:
            return [line.rstrip("\r\n") for line in lines], []
    table = read_file(source)
    if columns is None:
        found = format_of(*tables(table.dataset))
        chosen = [column.name for column in found.columns if column.kind == "text" and not is_metadata(column)]
    else:
        chosen = named_columns(table, columns, "--text-columns")
    texts = [text for name in chosen for text in table.texts(name) if isinstance(text, str)]
    if not texts:
        raise DataError(say("no_texts", table=table, chosen=chosen))
    return texts, [*table.notes, f"{table.name}: texts of {', '.join(map(repr, chosen))}"]


def read_all_texts(sources: Sequence[str], columns: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """The texts of several files or datasets.

    Args:
        sources: As for `read_texts`.
        columns: The columns that hold texts. Default: all that do.

    Returns:
        The texts, and what was decided.
    """
    found = [read_texts(source, columns) for source in sources]
    return [text for texts, _ in found for text in texts], [note for _, notes in found for note in notes]
