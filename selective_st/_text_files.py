"""Text files: lines of UTF-8, compressed or not, with what is to be said of a file that is none."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
from datasets import Dataset
from datasets.fingerprint import Hasher

from selective_st.errors import DataError, shown_rows
from selective_st.output import is_model

ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")  # of all files that are read
MOST_COLUMNS = 20_000
_GZIP = b"\x1f\x8b"
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
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}  # first, as UTF-16 begins alike
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_START = 4_096  # bytes, to tell UTF-16 without a mark
_LOOKED_AT = 1_000  # lines that are not UTF-8, for what else they may be


def ending(name: str) -> str:
    """The ending of a file's name, in small letters and without that of its compression."""
    return Path(name.lower().removesuffix(".gz")).suffix


def checked_ending(path: Path) -> str:
    """The ending of a file, or raise where it cannot be one of rows."""
    kind = ending(path.name)
    if not path.exists():
        raise DataError(f"{path} does not exist. Check the path (looked in {Path.cwd()}).")
    if path.is_dir():
        hint = " It holds a model: the model comes before the data, or after --model." if is_model(path) else ""
        raise DataError(f"{path} is a folder; give a file: {', '.join(ENDINGS)}.{hint}")
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


def dataset_of(path: Path, table: pa.Table) -> Dataset:
    """What was read of a file, under a fingerprint of the file: one of all values takes most of the time."""
    state = path.stat()
    told = str(path.resolve()), state.st_size, state.st_mtime_ns, table.column_names, table.num_rows
    return Dataset(table, fingerprint=Hasher.hash(told))


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
            yield _without_nul(path, text)
    except UnicodeDecodeError as error:
        raise _not_text(path) from error


def _without_nul(path: Path, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if "\0" in line:  # as in UTF-16, which may be UTF-8 too
            raise _not_text(path)
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
    encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "")
    if not encoding and start.count(0) > len(start) / 4:
        encoding = "utf-16be" if start[::2].count(0) > start[1::2].count(0) else "utf-16le"
    if encoding:
        return f"is {encoding.upper()} text; convert it first", f"iconv -f {encoding} -t utf-8"
    file.seek(0)
    bad, sample, is_mixed = list[int](), b"", False
    for number, line in enumerate((line for part in file for line in part.splitlines(keepends=True)), start=1):
        if 0 in line:
            return f"holds a NUL character in line {number}. Leave such out", r"sed 's/\x00//g'"
        try:
            is_mixed |= not line.decode().isascii()
        except UnicodeDecodeError:
            bad.append(number)
            sample += line if len(bad) < _LOOKED_AT else b""
    what = f"is not UTF-8 text in {shown_rows(bad, 'line')}; convert it first"
    if is_mixed:
        what = f"is UTF-8 text, but not in {shown_rows(bad, 'line')}. Mend these, or leave out what cannot be read"
        return what, "iconv -c -f utf-8 -t utf-8"
    beyond_ascii, in_runs = (b"".join(re.findall(of, sample)) for of in (rb"[\x80-\xff]", rb"[\x80-\xff]{3,}"))
    if 2 * len(in_runs) <= len(beyond_ascii):  # in Western text they stand mostly alone
        return f"{what}, for example", "iconv -f cp1252 -t utf-8"
    return f"{what} from its encoding, such as cp1251, shift_jis, gb18030 or euc-kr", "iconv -f ENCODING -t utf-8"
