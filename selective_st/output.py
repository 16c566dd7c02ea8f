"""Outputs appear whole or not at all, replace only an earlier output of the same command, and survive a crash.

While `model` is written, a folder `.model.selective_st` stands beside it. It holds `lock`, which the writing process
has locked; `new`, which is to take the name; `earlier`, the output that it replaces, where the two cannot be exchanged
in one step; and what an interrupted command goes on from (`State`). A dead process holds no lock, so the next command
can tell what one left behind: it puts the earlier output back, and removes the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import math
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from selective_st import __version__
from selective_st.errors import first_line

METRICS_FILE = "metrics.json"
_MARKER = ".selective_st.json"  # in an output folder: the command that wrote it, what that read, and the files
_BESIDE = ".selective_st"  # how the folder beside an output ends
_LOCK, _NEW, _EARLIER = "lock", "new", "earlier"
_OF_THE_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini"}  # left by file managers, never anybody's work
_LEAST_ROOM = 1 << 20
_PATIENCE = 0.5  # seconds; whoever only clears up after the dead is gone by then
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_NO_ROOM_WORDS = ("No space left", "StorageFull", "os error 28", "PytorchStreamWriter failed", "Disk quota")
_PICTURE_STARTS = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF-", ".html": b"<!doctype html>"}
_PICTURE_TAGS = {".png": "Software", ".svg": "Creator", ".pdf": "Creator"}
_LARGEST_PICTURE = 1 << 26


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
        room: How many bytes it needs at least.
        option: What the user says it with.

    Raises:
        OutputError: If it may not be written, or cannot be.

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
    room: int = 0
    option: str = "--output"

    def __post_init__(self) -> None:
        self.given = Path(self.path).expanduser()
        self.path = Path(os.path.realpath(self.given))
        self.published = False
        self._reads = {name: source for name, source in (self.reads or {}).items() if source and str(source).strip()}
        self._states: list[State] = []
        self._workplace = _Workplace(self.path)
        with self._in_words():
            _clear_up_after_the_dead(self.path.parent)
            self._check()

    @property
    def new(self) -> Path:
        """What to write to: a folder that is there, or the name of the file."""
        folder = self._workplace.folder / _NEW
        return folder / self.path.name if self.recognise else folder

    @property
    def has_state(self) -> bool:
        """Whether an interrupted command has left something to go on from."""
        return any(self._workplace.states(self.command))

    def state(self, key: str) -> State:
        """A folder that outlives an interruption, so that the same command can go on from there.

        Args:
            key: A digest of all that decides about its contents; with another key it is another folder.

        Returns:
            The state.
        """
        folder = self._workplace.folder / f"{self.command}-{key}"
        others = [other for other in self._workplace.states(self.command) if other != folder]
        folder.mkdir(exist_ok=True)
        self._states.append(State(folder, others))
        return self._states[-1]

    def __enter__(self) -> Output:
        with self._in_words():
            if not self._workplace.claim():
                raise OutputError(
                    f"{self.option} {self.given}: another command{self._workplace.holder()} is writing there. Wait "
                    f"until it ends, or choose another: {self._another()}"
                )
            try:
                self._check()  # whoever wrote there until now may have come to an end
                free = shutil.disk_usage(self._workplace.folder).free
                needed = max(self.room, _LEAST_ROOM)
                if free < needed:
                    raise OutputError(
                        f"{self.option} {self.given}: only {free / 1e6:.1f} MB are free there, and it needs at least "
                        f"{needed / 1e6:.1f} MB. Make room, or choose another disk."
                    )
                (self._workplace.folder / _NEW).mkdir()
            except BaseException:
                self._workplace.leave()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept, nothing = "" if self.published else self._kept(), f"nothing was written to {self.given}"
        self._workplace.leave()
        if isinstance(error, KeyboardInterrupt):
            done = f"{self.given} was already written, and is whole" if self.published else nothing
            raise KeyboardInterrupt(f"{done}.{kept}") from None
        if error is not None and not self.published and _is_for_want_of_room(error):
            raise OutputError(f"{nothing}: {first_line(error)}.{kept} Make room, or choose another disk.") from error

    def _spelled(self, path: Path) -> str:
        """Another path as the user spells paths: from the root, or from where one is."""
        return str(path) if self.given.is_absolute() else os.path.relpath(path)

    def _kept(self) -> str:
        """What is kept of the work, in a sentence; the rest is removed."""
        for state in self._states:
            if not state.says:
                shutil.rmtree(state.folder, ignore_errors=True)
        return "".join(
            f" {state.says} in {self._spelled(state.folder.parent)}; the same command goes on from there."
            for state in self._states
            if state.says
        )

    def publish(self) -> None:
        """Let what was written take the output's name, at once; what stood there goes.

        Raises:
            OutputError: If it cannot; the message names where the new output is kept.
        """
        new = self.new
        try:
            self._check()  # hours may have passed
            if not self.recognise:
                facts = {"command": self.command, "version": __version__, "reads": self._recorded()}
                facts["files"] = {name: _digest(new / name) for name in _files(new)}
                (new / _MARKER).write_text(json.dumps(facts, indent=1), encoding="utf-8")
            settle(self._workplace.folder / _NEW)
            self._workplace.give_name(new, self.path)
        except (OSError, OutputError) as error:
            place = _free(self.path, is_file=self.recognise is not None)
            os.rename(new, place)
            for state in self._states:
                state.says = ""  # all that came of it is in that place
            raise OutputError(
                f"{first_line(error)}. What was to take that name is kept: {self._spelled(place)}"
            ) from error
        self.published = True
        for folder in self._workplace.states(self.command):
            shutil.rmtree(folder, ignore_errors=True)

    def _recorded(self) -> dict[str, str]:
        """What is read, as a marker has it: a path from the output, so that both may move together."""

        def recorded(source: str | Path) -> str:
            if isinstance(source, str) and not _spellings(source):
                return source
            with contextlib.suppress(ValueError):  # another drive
                return Path(os.path.relpath(os.path.realpath(Path(source).expanduser()), self.path)).as_posix()
            return str(source)

        return {name: recorded(source) for name, source in self._reads.items()}

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.option} {self.given} cannot be written: {error.strerror or error}. Choose another place, or "
                "mend your rights there."
            ) from error

    def _check(self) -> None:
        """Raise unless the place is allowed, and free or held by what may be replaced."""
        reason = self._against_place(self.path)
        if reason is None and _stands_in_the_way(self.path, is_file=self.recognise is not None):
            reason = self._against_replacing()
            if reason is None and not self.overwrite:
                state = "exists already" if self.recognise else "exists and is not empty"
                raise OutputError(
                    f"{self.option} {self.given} {state}. Choose another, such as {self._another()}, or add "
                    "--overwrite."
                )
        if reason is not None:
            raise OutputError(f"{self.option} {self.given} {reason}. Choose another: {self._another()}")

    def _against_place(self, path: Path) -> str | None:
        """Why nothing may be written at a path, whatever stands there."""
        for part in (self.given, *self.given.parents) if path == self.path else ():
            if part.is_symlink() and not part.exists():
                where = "is" if part == self.given else f"lies behind {part},"
                return f"{where} a link to {os.readlink(part)}, which does not exist"
        for part in path.parents:
            if part.exists() and not part.is_dir():
                return f"is below {part}, which exists and is no folder"
        if any(_same(path, part) for part in (Path.cwd(), *Path.cwd().parents)):
            return "is the folder you are in, or above it"
        if path.exists() and path.is_dir() == (self.recognise is not None):
            return f"exists and is no {'file' if self.recognise else 'folder'}"
        if os.path.ismount(path):
            return "is a mount point, which cannot be replaced; a folder in it can"
        for name, source in self._reads.items():
            relation = _relation(path, source)
            if relation is not None:
                return f"{relation} {name} ({source}), which this command reads"
        for part in path.parents:
            if part.name.endswith(_BESIDE) and (part / _LOCK).exists():
                return f"lies inside {part}, which comes and goes with another output"
            if (part / _MARKER).is_file() or is_model(part):
                return f"lies inside {part}, a trained model or another output"
        return None

    def _against_replacing(self) -> str | None:
        """Why what stands there may not be replaced by this command."""
        if self.recognise:
            mine = self.recognise(self.path)
            return None if mine else f"exists and was not written by this command, selective-st {self.command}"
        try:
            marker = json.loads((self.path / _MARKER).read_text(encoding="utf-8"))
            command, reads, files = str(marker["command"]), dict(marker["reads"]), dict(marker["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return f"exists and was not written by this command (it has no readable {_MARKER})"
        if command != self.command:
            return f"was written by selective-st {command}, not by selective-st {self.command}"
        if self.same_reads and reads != self._recorded():
            return f"was written by selective-st {command}, from other data than now"
        strange = {name for name in _files(self.path) if name.split("/")[-1] not in _OF_THE_SYSTEM} - {*files, _MARKER}
        if strange:
            return f"contains files that this command did not write: {', '.join(sorted(strange)[:5])}"
        there = {name: self.path / name for name in files if (self.path / name).is_file()}
        changed = [name for name, path in there.items() if _digest(path) != files[name]]
        if changed:
            return f"contains files that were changed since this command wrote them: {', '.join(sorted(changed)[:5])}"
        return None

    def _another(self) -> str:
        """A free place that may be written, as an option."""
        is_file = self.recognise is not None
        inside = any(_same(self.path, part) for part in (Path.cwd(), *Path.cwd().parents))
        path = Path.cwd() / f"{self.command}-output" if inside else Path(os.path.abspath(self.given))
        for parent in path.parents:
            candidate = _free(parent / path.name, is_file=is_file)
            if os.access(parent, os.W_OK) and self._against_place(candidate) is None:
                return f"{self.option} {shlex.quote(self._spelled(candidate))}"
        return f"{self.option} on another disk"


def settle(folder: Path) -> None:
    """Have everything in a folder on the disk, before it takes its name: so it is there whole even if the power fails.

    Args:
        folder: The folder.
    """
    for place, _, names in os.walk(folder, topdown=False):
        for name in (*names, ""):
            _sync(Path(place, name))


def _sync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _files(folder: Path) -> list[str]:
    """Every file below a folder, by its path from there; links are not followed."""
    return sorted(
        (Path(place) / name).relative_to(folder).as_posix()
        for place, folders, names in os.walk(folder)
        for name in (*names, *(name for name in folders if (Path(place) / name).is_symlink()))
    )


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Workplace:
    """The folder beside an output, for one process at a time."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.with_name(f".{target.name}{_BESIDE}") if target.name else target
        self._lock: Any = None
        self._made: list[Path] = []  # folders above the output that were not there

    def states(self, command: str) -> list[Path]:
        """The folders that interrupted runs of a command can go on from."""
        return sorted(self.folder.glob(f"{command}-*"))

    def holder(self) -> str:
        """Who writes there, for a message."""
        with contextlib.suppress(OSError):  # it may just have ended
            text = (self.folder / _LOCK).read_text(encoding="utf-8")
            return f" ({text})" if text else ""
        return ""

    def claim(self, patience: float = _PATIENCE) -> bool:
        """Make the folder this process's own until it leaves or dies; False if it is another's.

        What a dead process has left there is cleared up.
        """
        self._made = [part for part in self.target.parents if not part.exists()]
        until = time.monotonic() + patience
        try:
            while not self._try_lock():
                if time.monotonic() > until:
                    return False
                time.sleep(0.02)
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            self._lock.flush()
            os.fsync(self._lock.fileno())
            self._put_back()
        except BaseException:
            self.leave()
            raise
        return True

    def _try_lock(self) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # whoever was there has just left
            if self.folder.is_symlink() or (any(self.folder.iterdir()) and not (self.folder / _LOCK).exists()):
                raise OutputError(f"{self.folder} is in the way, and nothing that this library made. Move it away.")
            # Never through a link, which anybody may lay where many may write.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            file = os.fdopen(os.open(self.folder / _LOCK, flags, 0o644), "r+", encoding="utf-8")
            if _lock(file) and os.path.samestat(os.fstat(file.fileno()), os.stat(self.folder / _LOCK)):
                self._lock = file
                return True
            file.close()
        return False

    def _put_back(self) -> None:
        """Undo what was begun here and not brought to an end."""
        earlier, new = self.folder / _EARLIER, self.folder / _NEW
        if earlier.is_dir() and not _stands_in_the_way(self.target, is_file=False):
            if self.target.is_dir():
                self.target.rmdir()
            os.rename(earlier, self.target)
        elif earlier.is_dir() and new.is_dir():  # something else has got the name in the meantime
            os.rename(earlier, _free(self.target, is_file=False))
        for folder in (earlier, new):
            shutil.rmtree(folder, ignore_errors=True)
        for state in self.folder.iterdir():
            with contextlib.suppress(OSError):  # there is something in it
                state.rmdir()

    def give_name(self, new: Path, target: Path) -> None:
        """Let the new output take its name; at no time is there neither the earlier one nor the new one."""
        if new.is_file():
            os.replace(new, target)
        elif not target.exists():
            os.rename(new, target)
        elif not _exchange(new, target):
            earlier = self.folder / _EARLIER
            os.rename(target, earlier)
            try:
                os.rename(new, target)
            except BaseException:
                os.rename(earlier, target)
                raise
        _sync(target.parent)

    def leave(self) -> None:
        """Remove what is not to outlive this process, and let others in."""
        lock, self._lock = self._lock, None
        with contextlib.suppress(OSError):  # there is a state, or somebody else
            if lock is not None:
                self._put_back()
                if os.name == "nt":
                    lock.close()  # an open file cannot be removed there
                if [entry.name for entry in self.folder.iterdir()] == [_LOCK]:
                    (self.folder / _LOCK).unlink()
                    self.folder.rmdir()
            for part in self._made:
                part.rmdir()
        if lock is not None:
            lock.close()


def _clear_up_after_the_dead(parent: Path) -> None:
    """Put back and remove what dead processes have left beside the outputs of a folder."""
    for folder in parent.glob(f".?*{_BESIDE}"):
        if not folder.is_symlink() and (folder / _LOCK).is_file():
            workplace = _Workplace(parent / folder.name[1 : -len(_BESIDE)])
            with contextlib.suppress(OSError, OutputError):  # another user's
                if workplace.claim(patience=0):
                    workplace.leave()


def _lock(file: Any) -> bool:
    """Lock an open file until it is closed or the process dies; False if another has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_LEAST_ROOM)  # beyond the text, which others read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):  # a file system without locks
            raise
    return True


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    here, at_once = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), at_once) == 0


def _free(path: Path, *, is_file: bool) -> Path:
    """The path, or the first with a number, that is neither there nor being written."""
    stem, suffix = (path.stem, path.suffix) if is_file else (path.name, "")
    number, free = 1, path
    while os.path.lexists(free) or _Workplace(free).folder.exists():
        number += 1
        free = path.with_name(f"{stem}-{number}{suffix}")
    return free


def _stands_in_the_way(path: Path, *, is_file: bool) -> bool:
    """Whether something is there that would be lost; an empty folder is nothing."""
    return path.exists() and (is_file or not path.is_dir() or any(path.iterdir()))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one place, however spelled: by links, mounts, or letters that the disk takes for alike."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return one == other


def _spellings(source: str | Path) -> list[Path]:
    """The paths that a source of a command means, where it is one: as written, and with links followed."""
    for path in (Path(source), Path(source).expanduser()):
        if os.path.lexists(path):
            return [Path(os.path.abspath(path)), Path(os.path.realpath(path))]
    return []


def _relation(path: Path, source: str | Path) -> str | None:
    """How an output would meddle with something that is read, or None."""
    beside = _Workplace(path).folder
    spellings = _spellings(source)
    if not spellings and Path(os.path.abspath(source)) in (path, *path.parents):  # on a hub, until now
        return "takes the name of"
    for spelled in spellings:
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


def _is_for_want_of_room(error: BaseException) -> bool:
    """Whether a disk was full or not to be written; writers of weights raise errors of their own for it."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return not isinstance(error, OutputError) and any(words in str(error) for words in _NO_ROOM_WORDS)


def save_elsewhere(save: Callable[[Path], object]) -> Path | None:
    """Save something dear where there is room, when its own place has none.

    Args:
        save: Saves it to a folder.

    Returns:
        The folder; None if it could be saved nowhere.
    """
    for parent in (None, os.path.expanduser("~"), "/dev/shm"):  # None is the system's folder for such things
        try:
            place = Path(tempfile.mkdtemp(prefix="selective-st-", dir=parent))
        except OSError:
            continue
        try:
            save(place)
        except Exception:  # as many kinds as there are writers of weights; all mean that it cannot be saved here
            shutil.rmtree(place, ignore_errors=True)
        else:
            return place
    return None


def size_of(source: str | None) -> int:
    """The size of a local folder in bytes; 0 for anything else.

    Args:
        source: A path, or the name of something on a hub.

    Returns:
        The size.
    """
    files = [Path(source, name) for name in _files(Path(source))] if source else []
    return sum(file.stat().st_size for file in files if file.is_file())


def picture_metadata(path: Path, maker: str) -> dict[str, str]:
    """What a picture is to say of its maker, so that it is recognised.

    Args:
        path: The picture; its ending tells the format.
        maker: The function that draws it.

    Returns:
        The metadata for matplotlib; none for other formats.
    """
    tag = _PICTURE_TAGS.get(path.suffix.lower())
    return {} if tag is None else {tag: f"selective_st {maker}"}


def is_picture_of(path: Path, maker: str) -> bool:
    """Whether a file is a picture that a function of this library has drawn.

    Args:
        path: The file; its ending tells the format.
        maker: The function.

    Returns:
        Whether it is.
    """
    start = _PICTURE_STARTS.get(path.suffix.lower())
    if start is None or not path.is_file() or path.stat().st_size > _LARGEST_PICTURE:
        return False
    content = path.read_bytes()
    return content.startswith(start) and f"selective_st {maker}".encode() in content


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
