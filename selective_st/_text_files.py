"""Text files: lines of UTF-8, compressed or not, with what is to be said of a file that is none."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import itertools
import re
import shlex
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa

from selective_st.errors import DataError, shown_rows

ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")  # of all files that are read
MOST_COLUMNS = 20_000
_GZIP = b"\x1f\x8b"
# The longer marks first: UTF-16's is how UTF-32's begins.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# Files that are others than their names say: how they start, what they are, what is to be done, and the
# endings that are right.
_OTHERS = (
    (rb"PK\x03\x04", "a ZIP archive, or a spreadsheet", "Unpack it, or save the sheet as CSV: unzip {name}", ()),
    (rb"BZh\d1AY&SY", "compressed by bzip2", "Unpack it: bzip2 -dc {name} > plain{ending}", ()),
    (rb"\xfd7zXZ\0", "compressed by xz", "Unpack it: xz -dc {name} > plain{ending}", ()),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", "Unpack it: zstd -dc {name} > plain{ending}", ()),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the data", "Get these: git lfs pull --include {name}", ()),
    (rb"(?i)<(!doctype )?html", "a web page", "Get the file itself: the link for downloading is another", ()),
    (rb"%PDF-", "a PDF", "Give its table as text", ()),
    (rb"PAR1\x15", "a Parquet file", "Call it so: mv {name} {stem}.parquet", (".parquet",)),
    (rb'(\[\s*)?\{\s*"[^\t]*\Z', "JSON", "Call it so: mv {name} {stem}.jsonl", (".json", ".jsonl")),
)
_LONGEST = 2**28  # characters of a line
_START = 4_096  # bytes, to tell UTF-16 without a mark


class TextTable(NamedTuple):
    """What was read of a text file.

    Attributes:
        table: Its rows.
        named: Whether the names of the columns come from the file.
        notes: What was decided.
        lines: On which line each row begins; None where rows have no lines.
        written: The cells as they are written, of columns that were made numbers.
    """

    table: pa.Table
    named: bool
    notes: list[str]
    lines: array[int] | None
    written: dict[str, pa.ChunkedArray]


def ending(name: str) -> str:
    """The ending of a file's name, in small letters and without that of its compression."""
    return Path(name.lower().removesuffix(".gz")).suffix


def checked_ending(path: Path) -> str:
    """The ending of a file, or raise where it cannot be one of rows."""
    kind = ending(path.name)
    if kind not in ENDINGS:
        raise DataError(f"{path} has the unknown ending {kind!r}; known are {', '.join(ENDINGS)}.")
    if not path.is_file():
        raise DataError(f"{path} is no regular file. Write what it gives into one first.")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty.")
    with path.open("rb") as file:
        start = file.read(_START).removeprefix(codecs.BOM_UTF8).lstrip()
    for begins, what, mend, endings in _OTHERS:
        if kind not in endings and re.match(begins, start):
            name, stem = shlex.quote(path.name), shlex.quote(path.name.split(".")[0])
            raise DataError(f"{path} is {what}. {mend.format(name=name, stem=stem, ending=kind)}.")
    return kind


def is_compressed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def _open_bytes(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(path)) if is_compressed(path) else path.open("rb")


@contextlib.contextmanager
def open_lines(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a text file, with their ends, whichever these are; an error where it is no text."""
    try:
        with _open_bytes(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            yield _checked_lines(path, text)
    except UnicodeDecodeError as error:
        raise _not_text(path) from error


def _checked_lines(path: Path, text: io.TextIOWrapper) -> Iterator[str]:
    for number in itertools.count(start=1):
        line = text.readline(_LONGEST)
        if not line:
            return
        if "\0" in line:
            raise _not_text(path)
        if len(line) == _LONGEST:
            raise DataError(f"{path.name}: line {number} has more than {_LONGEST:,} characters. Part it into rows.")
        yield line


def _not_text(path: Path) -> DataError:
    """What to say of a file that is no text, or not in UTF-8: where, and a shell command that mends it anywhere."""
    with _open_bytes(path) as file:
        what, command = _fault(file)
    name = shlex.quote(path.name)
    there = "" if path.parent == Path() else f"cd {shlex.quote(str(path.parent))} && "
    call = f"gunzip -c {name} | {command}" if is_compressed(path) else f"{command} {name}"
    return DataError(f"{path.name} {what}: {there}{call} > utf8{ending(path.name)}")


def _fault(file: BinaryIO) -> tuple[str, str]:
    """What keeps a file from being UTF-8 text, with what to do; and the command for that."""
    start = file.read(_START)
    encoding = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if encoding is None and start.count(0) > len(start) / 4:
        encoding = "utf-16be" if start[::2].count(0) > start[1::2].count(0) else "utf-16le"
    if encoding is not None:
        return f"is {encoding.upper()} text; convert it first", f"iconv -f {encoding} -t utf-8"
    file.seek(0)
    bad: list[int] = []
    held: set[int] = set()
    is_mixed = False
    high, in_runs = 0, 0  # bytes beyond ASCII, which in Western text stand mostly alone
    parts = iter(lambda: file.readline(_LONGEST), b"")
    every = itertools.chain.from_iterable(part.splitlines(keepends=True) for part in parts)
    for number, line in enumerate(every, start=1):
        if 0 in line:
            return f"holds a NUL character in line {number}. Leave such out", r"sed 's/\x00//g'"
        try:
            is_mixed |= not line.decode().isascii()
        except UnicodeDecodeError as error:
            bad.append(number)
            held.update(line[error.start :])
            high += len(re.findall(rb"[\x80-\xff]", line))
            in_runs += sum(map(len, re.findall(rb"[\x80-\xff]{3,}", line)))
    lines = shown_rows(bad, "line")
    if is_mixed:
        what = f"is UTF-8 text, but not in {lines}. Mend these, or leave out what cannot be read"
        return what, "iconv -c -f utf-8 -t utf-8"
    if 2 * in_runs > high:
        what = (
            f"is not UTF-8 text in {lines}; convert it first from the encoding that it has, such as cp1251 for Russian"
        )
        return f"{what}, shift_jis for Japanese, gb18030 for Chinese or euc-kr for Korean", "iconv -f ENCODING -t utf-8"
    marks = held.intersection(range(0x80, 0xA0))  # no characters in Latin 1, but quotes and dashes on Windows
    encoding = "cp1252" if marks and not marks & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin1"
    return f"is not UTF-8 text in {lines}; convert it first, for example", f"iconv -f {encoding} -t utf-8"
