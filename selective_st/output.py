"""Outputs appear whole or not at all, replace only an earlier output of the same command, and survive a crash.

While `model` is written, a folder `.model.selective_st` stands beside it. It holds `lock`, which the writing process
has locked; `new`, which is to take the name; `earlier`, the output that it replaces; and what an interrupted command
goes on from (`State`). A dead process holds no lock, so the next command that writes there can tell what one left
behind: it gives the earlier output its name again, and removes the rest.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from selective_st import __version__
from selective_st.errors import first_line

METRICS_FILE = "metrics.json"
_MARKER = ".selective_st.json"  # in an output folder: the command that wrote it, what that read, and the files
_OF_NOBODY = {_MARKER, ".DS_Store", "Thumbs.db", "desktop.ini"}  # the others are left by file managers
_PICTURE_STARTS = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF-", ".html": b"<!doctype html>"}


class OutputError(ValueError):
    """The output cannot be written; the message says why, what was kept, and what to do."""


@dataclass
class State:
    """What outlives the interruption of a command, and goes when its output is there.

    Attributes:
        folder: Where it is.
        others: The folders of the same command and output with another key.
        says: What is kept there, for whoever interrupts the command; nothing worth keeping if empty.
    """

    folder: Path
    others: list[Path] = field(default_factory=list)
    says: str = ""


@dataclass(eq=False)
class Output:
    """A folder, or a single file, that a command writes.

    Making one refuses what may not be written, before any work. Entering it claims the place. What is then written to
    `new` takes the output's name with `publish`; without that, as after an error, everything stays as it was.

    Args:
        path: The output, as the user wrote it. Links are followed.
        command: The command that writes it.
        reads: What the command reads, by what names it: an option or an argument. A `str` may be no path at all.
        overwrite: Whether an earlier output of this command may be replaced.
        recognise: For a single file: whether one that exists was written by this command.
        same_reads: Whether only an output of a command that has read the same may be replaced.
        option: What the user says it with.

    Raises:
        OutputError: If it may not be written.
        OSError: If it cannot be.

    Example:
        >>> with Output(Path(getfixture("tmp_path")) / "report", "evaluate") as output:
        ...     _ = (output.new / "report.html").write_text("<p>Fine.</p>")
        ...     output.publish()
        >>> output.path.name, [path.name for path in output.path.glob("*.html")]
        ('report', ['report.html'])
    """

    path: Path
    command: str
    reads: Mapping[str, str | Path | None] | None = None
    _: KW_ONLY
    overwrite: bool = False
    recognise: Callable[[Path], bool] | None = None
    same_reads: bool = False
    option: str = "--output"

    def __post_init__(self) -> None:
        self.given = Path(self.path).expanduser()
        self.path = Path(os.path.realpath(self.given))
        self.published = False
        self._reads = {name: str(source) for name, source in (self.reads or {}).items() if source}
        self._states: list[State] = []
        self._beside = _beside(self.path)
        self._earlier, self._new = self._beside / "earlier", self._beside / "new"
        self._check()

    @property
    def new(self) -> Path:
        """What to write to: a folder that is there, or the name of the file."""
        return self._new / self.path.name if self.recognise else self._new

    def state(self, key: str) -> State:
        """A folder that outlives an interruption, so that the same command can go on from there.

        Args:
            key: A digest of all that decides about its contents; with another key it is another folder.

        Returns:
            The state.
        """
        folder = self._beside / f"{self.command}-{key}"
        folder.mkdir(exist_ok=True)
        others = [other for other in sorted(self._beside.glob(f"{self.command}-*")) if other != folder]
        self._states.append(State(folder, others))
        return self._states[-1]

    def __enter__(self) -> Output:
        from filelock import FileLock, Timeout  # late: `--help` needs none

        self._beside.mkdir(parents=True, exist_ok=True)
        there = {entry.name for entry in self._beside.iterdir()}
        if self._beside.is_symlink() or (there and "lock" not in there):
            what = f"{self._spelled(self._beside)} is in the way, which this library has not made. Move it away"
            raise OutputError(f"{self.option} {self.given}: {what}, or choose another: {self._another()}")
        self._lock = FileLock(self._beside / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            what = "another command is writing there. Wait until it ends"
            raise OutputError(f"{self.option} {self.given}: {what}, or choose another: {self._another()}") from None
        try:
            self._put_back()
            shutil.rmtree(self._new, ignore_errors=True)
            self._check()  # whoever wrote there until now may have come to an end
            self._new.mkdir()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept, nothing = "" if self.published else self._kept(), f"nothing was written to {self.given}"
        self._leave()
        if isinstance(error, KeyboardInterrupt):
            done = f"{self.given} was already written, and is whole" if self.published else nothing
            raise KeyboardInterrupt(f"{done}.{kept}") from None
        is_told = self.published or isinstance(error, OutputError)
        if "No space left" in str(error) and not is_told:  # writers of weights raise errors of their own for it
            raise OutputError(f"{nothing}: {error}.{kept} Make room, or choose another disk.") from error

    def publish(self) -> None:
        """Let what was written take the output's name; what stood there goes.

        Raises:
            OutputError: If it cannot; the message names where the new output is kept.
        """
        try:
            self._check()  # hours may have passed
            if not self.recognise:
                facts = {"command": self.command, "version": __version__, "reads": self._reads}
                facts["files"] = _digests(self._new)
                (self._new / _MARKER).write_text(json.dumps(facts, indent=1), encoding="utf-8")
            for path in self._new.rglob("*"):  # on the disk, before what stands there goes
                if path.is_file():
                    with path.open("rb" if os.name == "posix" else "rb+") as file:  # some are not to be written to
                        os.fsync(file.fileno())
            if not self.recognise and self.path.exists():
                os.rename(self.path, self._earlier)
            os.replace(self.new, self.path)
        except (OSError, OutputError) as error:
            self._put_back()
            place = _free(self.path, is_file=self.recognise is not None)
            os.rename(self.new, place)
            for state in self._states:
                state.says = ""  # all that came of it is in that place
            kept = f"What was to take that name is kept: {self._spelled(place)}"
            raise OutputError(f"{first_line(error)}. {kept}") from error
        self.published = True
        for folder in self._beside.glob(f"{self.command}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _put_back(self) -> None:
        """Give the earlier output its name again, where the new one has not taken it; else remove it."""
        taken = _is_taken(self.path)
        if self._earlier.is_dir() and (self._new.is_dir() or not taken):  # taken by something else since a process died
            os.rename(self._earlier, _free(self.path, is_file=False) if taken else self.path)
        shutil.rmtree(self._earlier, ignore_errors=True)

    def _leave(self) -> None:
        """Remove what is not to outlive this process, and let others in."""
        self._put_back()
        shutil.rmtree(self._new, ignore_errors=True)
        if [entry.name for entry in self._beside.iterdir()] == ["lock"]:
            shutil.rmtree(self._beside, ignore_errors=True)
        self._lock.release()

    def _kept(self) -> str:
        """What is kept of the work, in a sentence; the rest is removed."""
        told = ""
        for state in self._states:
            if state.says:
                told += f" {state.says} in {self._spelled(state.folder.parent)}; the same command goes on from there."
            else:
                shutil.rmtree(state.folder, ignore_errors=True)
        return told

    def _spelled(self, path: Path) -> str:
        """Another path as the user spells paths: from the root, or from where one is."""
        return str(path) if self.given.is_absolute() else os.path.relpath(path)

    def _check(self) -> None:
        """Raise unless the place is allowed, and free or held by what may be replaced."""
        reason, or_else = self._against_place(self.path), ""
        if reason is None and _is_taken(self.path):
            reason = self._against_replacing()
            if reason is None and not self.overwrite:
                reason, or_else = "exists already", ", or add --overwrite."
        if reason is not None:
            raise OutputError(f"{self.option} {self.given} {reason}. Choose another: {self._another()}{or_else}")

    def _against_place(self, path: Path) -> str | None:
        """Why nothing may be written at a path, whatever stands there."""
        if any(_same(path, part) for part in (Path.cwd(), *Path.cwd().parents)):
            return "is the folder you are in, or above it"
        if os.path.ismount(path):
            return "is a mount point, which cannot be replaced; a folder in it can"
        for name, source in self._reads.items():
            relation = _relation(path, source)
            if relation is not None:
                return f"{relation} {name} ({source}), which this command reads"
        for part in path.parents:
            if (part / _MARKER).is_file() or is_model(part):
                return f"lies inside {part}, a trained model or another output"
        return None

    def _against_replacing(self) -> str | None:
        """Why what stands there may not be replaced by this command."""
        not_mine = f"exists and was not written by this command, selective-st {self.command}"
        if self.recognise:
            unknown = f"exists, and nothing in it shows that this command, selective-st {self.command}, wrote it"
            return None if self.path.is_file() and self.recognise(self.path) else unknown
        try:
            marker = json.loads((self.path / _MARKER).read_text(encoding="utf-8"))
            command, reads, files = str(marker["command"]), dict(marker["reads"]), dict(marker["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return f"{not_mine} (it has no readable {_MARKER})"
        if command != self.command:
            return f"was written by selective-st {command}, not by selective-st {self.command}"
        if self.same_reads and reads != self._reads:
            return f"was written by selective-st {command}, from other data than now"
        others = [name for name, digest in _digests(self.path).items() if files.get(name) != digest]
        if others:
            return f"contains files that are not as this command wrote them: {', '.join(others[:5])}"
        return None

    def _another(self) -> str:
        """A free place that may be written, as an option."""
        given = Path(os.path.abspath(self.given))
        for parent in given.parents:
            place = _free(parent / given.name, is_file=self.recognise is not None)
            if os.access(parent, os.W_OK) and self._against_place(place) is None:
                return f"{self.option} {shlex.quote(self._spelled(place))}"
        return f"{self.option} {self.command}-output"


def _beside(path: Path) -> Path:
    return path.parent / f".{path.name}.selective_st"


def _digests(folder: Path) -> dict[str, str]:
    """Every file below a folder with its digest, and every link that leads to none with that of nothing."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name not in _OF_NOBODY and (path.is_symlink() or not path.is_dir()):
            digest = hashlib.blake2b(digest_size=16)
            with path.open("rb") if path.is_file() else io.BytesIO() as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found


def _free(path: Path, *, is_file: bool) -> Path:
    """The path, or the first with a number, that is neither there nor being written."""
    stem, suffix = (path.stem, path.suffix) if is_file else (path.name, "")
    numbered = (path.with_name(f"{stem}-{number}{suffix}") for number in itertools.count(2))
    every = itertools.chain([path], numbered)
    return next(free for free in every if not os.path.lexists(free) and not _beside(free).exists())


def _is_taken(path: Path) -> bool:
    """Whether something is there that would be lost; an empty folder is nothing."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one place, however spelled: by links, mounts, or letters that the disk takes for alike."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _relation(path: Path, source: str | Path) -> str | None:
    """How an output would meddle with something that is read, or take its name from a hub; or None."""
    beside, source = _beside(path), Path(source).expanduser()
    for spelled in (Path(os.path.abspath(source)), Path(os.path.realpath(source))):
        if _same(path, spelled):
            return "is"
        if any(_same(path, part) or _same(beside, part) for part in spelled.parents):
            return "is a folder that holds"
        if any(_same(part, spelled) for part in path.parents):
            return "lies inside"
    return None


def is_model(folder: Path) -> bool:
    """Whether a folder holds a saved model."""
    weights = ("*.safetensors", "pytorch_model*.bin")
    return any((folder / name).is_file() for name in ("modules.json", "config_sentence_transformers.json")) or (
        (folder / "config.json").is_file() and any(any(folder.glob(pattern)) for pattern in weights)
    )


def picture_metadata(path: Path, maker: str) -> dict[str, str]:
    """What a picture is to say of its maker, so that it is recognised.

    Args:
        path: The picture; its ending tells the format.
        maker: The function that draws it.

    Returns:
        The metadata for matplotlib; none for other formats.
    """
    return {"Creator": f"selective_st {maker}"} if path.suffix.lower() in (".png", ".svg", ".pdf") else {}


def is_picture_of(path: Path, maker: str) -> bool:
    """Whether a file is a picture that a function of this library has drawn.

    Args:
        path: The file; its ending tells the format.
        maker: The function.

    Returns:
        Whether it is.
    """
    start, content = _PICTURE_STARTS.get(path.suffix.lower()), path.read_bytes()
    return start is not None and content.startswith(start) and f"selective_st {maker}".encode() in content


def save_elsewhere(save: Callable[[str], object]) -> Path | None:
    """Save something dear where there is room, when its own place has none.

    Args:
        save: Saves it to a folder.

    Returns:
        The folder; None if it could be saved nowhere.
    """
    for parent in (tempfile.gettempdir, Path.home):
        try:
            place = Path(tempfile.mkdtemp(prefix="selective-st-", dir=parent()))
            save(str(place))
        except Exception:  # as many kinds as there are writers of weights; a folder with parts of it does no harm
            continue
        return place
    return None


def write_metrics(folder: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """Write the metrics file of an output folder: plain data without NaN, which JSON does not have.

    Args:
        folder: The folder.
        results: The data.

    Returns:
        The data as they stand there.
    """
    text = json.dumps(without_nan(results), indent=2, allow_nan=False)
    (folder / METRICS_FILE).write_text(f"{text}\n", encoding="utf-8")
    return dict(json.loads(text))


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
