"""Outputs appear whole or not at all, and replace only an earlier output of the same command."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selective_st.output import Output, OutputError, is_picture_of, picture_metadata, save_elsewhere

MARKER = ".selective_st.json"


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below a folder, byte for byte."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != MARKER)


def write(path: Path, command: str, files: dict[str, str], **settings: Any) -> Output:
    with Output(path, command, **settings) as output:
        for name, text in files.items():
            (output.new / name).parent.mkdir(parents=True, exist_ok=True)
            (output.new / name).write_text(text)
        output.publish()
    return output


MODEL_FILES = {
    "modules.json": "[]",
    "metrics.json": "{}",
    "1_Pooling/config.json": "{}",
    "model.safetensors": "weights",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("made")
    (here / "data").mkdir()
    (here / "data" / "pairs.csv").write_text("a,b,0.5\n")
    (here / "data" / "test.csv").write_text("c,d,0.7\n")
    write(here / "m", "train", MODEL_FILES)
    write(here / "other", "train", MODEL_FILES)
    write(here / "report", "evaluate", {"report.html": "<p>", "metrics.json": "{}"})
    (here / "foreign").mkdir()
    (here / "foreign" / "modules.json").write_text("[]")
    (here / "deep").mkdir()
    for link, target in (("link", "m"), ("up", "."), ("deep/linked", "../m"), ("data/again", "pairs.csv")):
        (here / link).symlink_to(target)
    return here


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that one works in: models, data, reports, and links to them."""
    here = tmp_path / "here"
    shutil.copytree(made, here, symlinks=True)
    os.link(here / "data" / "pairs.csv", here / "hard.svg")
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    write(tmp_path / "model", "train", {"metrics.json": "old", "part/weights.bin": "old weights"})
    return tmp_path / "model"


class TestWholeOrNotAtAll:
    def test_appears_when_done(self, tmp_path: Path) -> None:
        target = tmp_path / "deep" / "model"
        with Output(target, "train") as output:
            (output.new / "metrics.json").write_text("{}")
            assert not target.exists()
            output.publish()
        assert names(target) == ["metrics.json"]
        assert names(target.parent) == ["model"]
        assert os.access(target, os.R_OK | os.X_OK)

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError])
    def test_nothing_is_left_after_an_error(self, tmp_path: Path, error: type[BaseException]) -> None:
        with pytest.raises(error), Output(tmp_path / "model", "train") as output:  # noqa: PT012
            (output.new / "half").write_text("x")
            raise error
        assert names(tmp_path) == []

    def test_nor_without_an_end(self, tmp_path: Path) -> None:
        with Output(tmp_path / "model", "train") as output:
            (output.new / "half").write_text("x")
        assert names(tmp_path) == []

    def test_an_error_keeps_the_earlier_output(self, earlier: Path) -> None:
        before = snapshot(earlier)
        with pytest.raises(RuntimeError), Output(earlier, "train", overwrite=True) as output:  # noqa: PT012
            (output.new / "half").write_text("x")
            raise RuntimeError
        assert snapshot(earlier) == before
        assert names(earlier.parent) == ["model"]

    def test_overwrites_only_when_told(self, earlier: Path) -> None:
        with pytest.raises(OutputError, match=r"exists already. Choose another: --output \S+, or add --overwrite"):
            Output(earlier, "train")
        with Output(earlier, "train", overwrite=True) as output:
            (output.new / "new").write_text("x")
            assert (earlier / "metrics.json").read_text() == "old"
            output.publish()
        assert names(earlier) == ["new"]
        assert names(earlier.parent) == ["model"]

    def test_an_empty_folder_is_free(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        write(tmp_path / "empty", "train", {"new": "x"})
        assert names(tmp_path / "empty") == ["new"]

    def test_a_link_is_followed_and_stays(self, earlier: Path) -> None:
        link = earlier.with_name("link")
        link.symlink_to("model")
        write(link, "train", {"new": "x"}, overwrite=True)
        assert os.readlink(link) == "model"
        assert names(earlier) == ["new"]

    def test_what_a_file_manager_leaves_is_nobodys_work(self, earlier: Path) -> None:
        (earlier / ".DS_Store").touch()
        write(earlier, "train", {"new": "x"}, overwrite=True)
        assert names(earlier) == ["new"]

    def test_the_home_folder_may_be_a_tilde(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        assert write(Path("~/model"), "train", {"new": "x"}).path == (tmp_path / "model").resolve()
        assert names(tmp_path) == ["model"]

    def test_the_marker_says_who_wrote_what_from_what(self, place: Path) -> None:
        reads = {"the data": "data/pairs.csv", "--against": "some/hub-model", "--test-data": None}
        write(place / "deep" / "new", "train", {"metrics.json": "{}"}, reads=reads)
        marker = json.loads((place / "deep" / "new" / MARKER).read_text())
        assert marker["command"] == "train"
        assert marker["reads"] == {"the data": "data/pairs.csv", "--against": "some/hub-model"}
        assert list(marker["files"]) == ["metrics.json"]
        assert marker["version"]


MODEL = [
    "m", "./m", "m/", "m/.", "./m/../m", "deep/../m", "nosuch/../m", "link", "link/", "up/m", "up/up/m", "deep/linked",
    "../here/m", "{here}/m", "{here}/deep/../m",
]  # fmt: skip
INSIDE = ["m/report", "m/1_Pooling", "m/1_Pooling/x", "m/a/b/c", "link/report", "up/m/report", "deep/linked/report"]
DATA = ["data", "data/", "./data", "up/data", "link/../data", "deep/../data"]


class TestNeverAnInput:
    """Nor a folder that holds one, nor inside one; however it is spelled, and whether --overwrite is said or not."""

    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize("source", ["m", "link", "up/m", "{here}/m"])
    @pytest.mark.parametrize("spelled", MODEL)
    def test_the_model(self, place: Path, spelled: str, source: str, overwrite: bool) -> None:
        before = snapshot(place)
        for command in ("evaluate", "train"):  # it is an output of train, but read all the same
            for name in ("the model", "--against", "--model"):
                reads = {name: source.format(here=place)}
                with pytest.raises(OutputError, match=rf"^--output \S+ is {name} \(\S+\), which this command reads"):
                    Output(Path(spelled.format(here=place)), command, reads, overwrite=overwrite)
        assert snapshot(place) == before

    @pytest.mark.parametrize("spelled", INSIDE)
    def test_inside_the_model(self, place: Path, spelled: str) -> None:
        before = snapshot(place)
        with pytest.raises(OutputError, match=r"lies inside the model \(m\), which this command reads"):
            Output(Path(spelled), "evaluate", {"the model": "m"}, overwrite=True)
        assert snapshot(place) == before

    @pytest.mark.parametrize("spelled", INSIDE)
    def test_inside_another_model_or_output(self, place: Path, spelled: str) -> None:
        with pytest.raises(OutputError, match=r"lies inside \S+/m, a trained model or another output"):
            Output(Path(spelled), "evaluate", {"the model": "other"})
        (place / "m" / MARKER).unlink()  # saved by other means
        with pytest.raises(OutputError, match=r"lies inside \S+/m, a trained model or another output"):
            Output(Path(spelled), "evaluate", overwrite=True)

    @pytest.mark.parametrize("spelled", DATA)
    @pytest.mark.parametrize("source", ["data/pairs.csv", "data/again", "up/data/pairs.csv", "{here}/data/pairs.csv"])
    def test_the_folder_of_the_data(self, place: Path, spelled: str, source: str) -> None:
        write(place / "data" / "new", "evaluate", {"report.html": "x"}, reads={"the data": "data/pairs.csv"})
        shutil.move(place / "data" / "new" / MARKER, place / "data" / MARKER)  # even where it looks like an output
        before = snapshot(place)
        for name in ("the data", "--validation-data", "--eval-data", "--test-data"):
            reads = {"the model": "m", name: source.format(here=place)}
            with pytest.raises(OutputError, match=rf"is a folder that holds {name} \(\S+\), which this command reads"):
                Output(Path(spelled), "evaluate", reads, overwrite=True)
        assert snapshot(place) == before

    def test_an_output_that_holds_data_by_now(self, place: Path) -> None:
        shutil.copy(place / "data" / "pairs.csv", place / "report" / "pairs.csv")
        for source in ("report/pairs.csv", "in"):
            if source == "in":
                (place / "in").symlink_to("report/pairs.csv")
            with pytest.raises(OutputError, match=r"is a folder that holds the data \("):
                Output(Path("report"), "evaluate", {"the data": source}, overwrite=True)

    def test_data_that_are_reached_through_a_link_in_it(self, place: Path) -> None:
        (place / "report" / "data").symlink_to("../data")
        with pytest.raises(OutputError, match=r"is a folder that holds the data \("):
            Output(Path("report"), "evaluate", {"the data": "report/data/pairs.csv"}, overwrite=True)

    @pytest.mark.parametrize("spelled", ["data/pairs.csv", "data/again", "hard.svg", "up/hard.svg"])
    def test_a_file_that_is_read(self, place: Path, spelled: str) -> None:
        before = snapshot(place)
        with pytest.raises(OutputError, match=r"is the data \(data/pairs.csv\), which this command reads"):
            Output(Path(spelled), "plot", {"the data": "data/pairs.csv"}, overwrite=True, recognise=lambda path: True)
        assert snapshot(place) == before

    def test_letters_that_the_disk_takes_for_alike(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on macOS and Windows: only the file system knows whether M is m."""

        def folding(function: Any) -> Any:
            return lambda path=".", *more, **settings: function(
                os.fspath(path).replace("/M", "/m") if isinstance(path, (str, Path)) else path, *more, **settings
            )

        with monkeypatch.context() as patch:
            for name in ("stat", "scandir"):
                patch.setattr(os, name, folding(getattr(os, name)))
            for spelled in ("M", "M/report"):
                with pytest.raises(OutputError, match=r"(is|lies inside) the model \(m\)"):
                    Output(place / spelled, "evaluate", {"the model": "m"}, overwrite=True)
        write(place / "M", "evaluate", {"report.html": "x"}, reads={"the model": "m"})

    def test_what_a_training_to_go_on_from_keeps(self, place: Path) -> None:
        with pytest.raises(KeyboardInterrupt), Output(Path("new"), "train") as output:  # noqa: PT012
            state = output.state("key")
            state.says = "1 of 2 runs is kept"
            (state.folder / "model").mkdir()
            raise KeyboardInterrupt
        kept = f"{state.folder}/model"
        for spelled, reason in ((Path("new"), "is a folder that holds"), (state.folder / "model" / "x", "lies inside")):
            with pytest.raises(OutputError, match=rf"{reason} --model"):
                Output(spelled, "train", {"--model": kept}, overwrite=True)

    def test_beside_what_is_read_is_fine(self, place: Path) -> None:
        reads = {"the model": "m", "the data": "data/pairs.csv", "--validation-data": "data/test.csv"}
        for spelled in ("new", "data/new", "deep/new", "m-2", "../new"):
            write(Path(spelled), "evaluate", {"report.html": "x"}, reads=reads)
        write(Path("data/new"), "evaluate", {"report.html": "y"}, reads=reads, overwrite=True)
        assert (place / "data" / "new" / "report.html").read_text() == "y"

    def test_a_name_on_a_hub_is_no_path_and_does_not_become_one(self, place: Path) -> None:
        reads = {"--model": "org/model", "the data": "pairs"}
        for spelled, taken in (("org/model", "--model"), ("org/model/x", "--model"), ("pairs/x", "the data")):
            with pytest.raises(OutputError, match=rf"(is|lies inside) {taken} \("):
                Output(Path(spelled), "train", reads)
        write(Path("org/other"), "train", {"metrics.json": "x"}, reads=reads)


class TestOnlyAnEarlierOutputOfTheSameCommand:
    @pytest.mark.parametrize(
        ("path", "command", "message"),
        [
            ("m", "evaluate", "was written by selective-st train, not by selective-st evaluate"),
            ("link", "evaluate", "was written by selective-st train, not by selective-st evaluate"),
            ("report", "train", "was written by selective-st evaluate, not by selective-st train"),
            ("m", "demo", "was written by selective-st train, not by selective-st demo"),
            ("foreign", "train", "was not written by this command"),
            ("data", "train", "was not written by this command"),
            ("up", "train", "is the folder you are in, or above it"),
            ("data/pairs.csv", "train", "was not written by this command"),
        ],
    )
    @pytest.mark.parametrize("overwrite", [True, False])
    def test_others_are_refused(self, place: Path, path: str, command: str, message: str, overwrite: bool) -> None:
        before = snapshot(place)
        with pytest.raises(OutputError, match=message) as caught:
            Output(Path(path), command, overwrite=overwrite)
        assert "--overwrite" not in str(caught.value)  # it would not help
        assert snapshot(place) == before

    @pytest.mark.parametrize(
        "path", ["m", "m/report", "data", "foreign", ".", "..", "/", "link", "data/pairs.csv", "report"]
    )
    def test_the_place_named_instead_can_be_used(self, place: Path, path: str) -> None:
        with pytest.raises(OutputError) as caught:
            Output(Path(path), "evaluate", {"the model": "m", "the data": "data/pairs.csv"})
        words = shlex.split(str(caught.value).replace(", or add", " or add"))
        named = words[len(words) - 1 - words[::-1].index("--output") + 1]
        write(Path(named), "evaluate", {"report.html": "x"}, reads={"the model": "m", "the data": "data/pairs.csv"})
        assert names(Path(named)) == ["report.html"]

    def test_and_in_a_model_where_one_stands(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(place / "m")
        with pytest.raises(OutputError, match=r"Choose another: --output \.\./evaluation$"):
            Output(Path("evaluation"), "evaluate", {"the model": "."})

    @pytest.mark.parametrize("strange", ["notes.txt", "1_Pooling/notes.txt", "new/deep/notes.txt"])
    def test_an_output_that_holds_something_else_by_now(self, place: Path, strange: str) -> None:
        (place / "m" / strange).parent.mkdir(parents=True, exist_ok=True)
        (place / "m" / strange).write_text("years of work")
        before = snapshot(place)
        with pytest.raises(OutputError, match=f"contains files that are not as this command wrote them: {strange}"):
            Output(Path("m"), "train", overwrite=True)
        assert snapshot(place) == before

    @pytest.mark.parametrize("changed", ["metrics.json", "model.safetensors", "1_Pooling/config.json"])
    def test_an_output_that_was_changed_by_hand(self, place: Path, changed: str) -> None:
        (place / "m" / changed).write_text("edited")
        with pytest.raises(OutputError, match=f"contains files that are not as this command wrote them: {changed}"):
            Output(Path("m"), "train", overwrite=True)
        (place / "m" / changed).unlink()  # what is gone cannot be lost
        write(Path("m"), "train", {"new": "x"}, overwrite=True)

    def test_a_link_in_it_goes_and_what_it_leads_to_stays(self, place: Path) -> None:
        (place / "m" / "weights").symlink_to("../data")
        with pytest.raises(OutputError, match="not as this command wrote them: weights"):
            Output(Path("m"), "train", overwrite=True)
        (place / "m" / "weights").unlink()
        shutil.move(place / "m" / "model.safetensors", place / "data" / "large")
        (place / "m" / "model.safetensors").symlink_to("../data/large")
        before = snapshot(place / "data")
        write(Path("m"), "train", {"new": "x"}, overwrite=True)
        assert snapshot(place / "data") == before

    @pytest.mark.parametrize(
        "text", ["", "{", "5", "null", '{"command": "train"}', '{"command": "train", "reads": 5, "files": 5}']
    )
    def test_a_marker_that_cannot_be_read(self, place: Path, text: str) -> None:
        (place / "m" / MARKER).write_text(text)
        with pytest.raises(OutputError, match="was not written by this command"):
            Output(Path("m"), "train", overwrite=True)

    def test_one_of_a_command_that_has_read_the_same(self, place: Path) -> None:
        mine, other = ({"the data": place / "data" / name} for name in ("pairs.csv", "test.csv"))
        write(Path("new"), "train", {"x": "1"}, reads=mine)
        with pytest.raises(OutputError, match="was written by selective-st train, from other data"):
            Output(Path("new"), "train", other, overwrite=True, same_reads=True)
        write(Path("new"), "train", {"x": "2"}, reads=mine, overwrite=True, same_reads=True)

    def test_where_one_stands(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        for path in (Path(), Path(".."), Path("nosuch/.."), Path(os.sep), Path("../here")):
            with pytest.raises(OutputError, match="is the folder you are in, or above it"):
                Output(path, "train", overwrite=True)

    def test_the_place_named_instead_is_where_one_may_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in tmp_path.parents)
        with pytest.raises(OutputError, match=r"Choose another: --output train-output$"):
            Output(Path(), "train")


class TestAFile:
    """A single file, such as a picture, is known by what it holds."""

    @pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
    def test_a_picture_says_who_drew_it(self, tmp_path: Path, ending: str) -> None:
        figure = pytest.importorskip("matplotlib.figure").Figure()
        mine, theirs, other = (tmp_path / f"{name}{ending}" for name in ("mine", "theirs", "other"))
        figure.savefig(mine, metadata=picture_metadata(mine, "plot_links"))
        figure.savefig(theirs)
        figure.savefig(other, metadata=picture_metadata(other, "plot_frontier"))
        assert [is_picture_of(path, "plot_links") for path in (mine, theirs, other)] == [True, False, False]
        data = tmp_path / f"pairs{ending}"
        for text in ("", "selective_st plot_links,b,0.5\n", "sentence1,sentence2,score\n"):
            data.write_text(text)
            assert not is_picture_of(data, "plot_links")
        assert not is_picture_of(mine.rename(tmp_path / "mine.csv"), "plot_links")

    def test_replaces_only_what_it_recognises(self, tmp_path: Path) -> None:
        target = tmp_path / "deep" / "x.svg"
        for text, overwrite in (("mine 1", False), ("mine 2", True)):
            with Output(
                target, "plot", overwrite=overwrite, recognise=lambda path: "mine" in path.read_text()
            ) as output:
                output.new.write_text(text)
                output.publish()
            assert target.read_text() == text
            assert names(target.parent) == ["x.svg"]
        with pytest.raises(OutputError, match=r"exists already. Choose another: --output \S+x-2.svg, or add"):
            Output(target, "plot", recognise=lambda path: True)
        target.write_text("a,b,0.5")
        with pytest.raises(OutputError, match="nothing in it shows that this command, selective-st plot, wrote it"):
            Output(target, "plot", overwrite=True, recognise=lambda path: "mine" in path.read_text())
        with pytest.raises(OutputError, match="nothing in it shows that this command"):
            Output(target.parent, "plot", overwrite=True, recognise=lambda path: True)
        assert target.read_text() == "a,b,0.5"


# A child process writes an output, and is killed where `KILL` says. Nothing heavy is imported.
CHILD = """
import os, shutil, signal, sys, time
from pathlib import Path
from selective_st.output import Output

target, kill = Path(sys.argv[1]), sys.argv[2]
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if kill.startswith("rename"):
    rename, left = os.rename, [int(kill[-1])]
    def counting(*paths):
        left[0] -= 1
        return die() if left[0] < 0 else rename(*paths)
    os.rename = os.replace = counting
with Output(target, "train", overwrite=True) as output:
    (output.new / "metrics.json").write_text("new")
    (output.new / "part").mkdir()
    (output.new / "part" / "weights.bin").write_text("new weights")
    print("writing", flush=True)
    if kill == "wait":
        time.sleep(60)
    if kill == "work":
        die()
    if kill == "after":
        shutil.rmtree = die
    output.publish()
"""


def child(target: Path, kill: str, *before: str) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-c", CHILD, str(target), kill]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


OLD = {"metrics.json": b"old", "part/weights.bin": b"old weights"}
NEW = {"metrics.json": b"new", "part/weights.bin": b"new weights"}


def content(folder: Path) -> dict[str, bytes | str]:
    return {name: data for name, data in snapshot(folder).items() if name != MARKER}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
class TestAfterACrash:
    @pytest.mark.parametrize(
        ("kill", "right_after", "in_the_end"),
        [
            ("work", OLD, OLD),
            ("rename0", OLD, OLD),  # before the first of the two renames
            ("rename1", None, OLD),  # between them
            ("after", NEW, NEW),
        ],
    )
    def test_what_was_there_is_there_again(
        self, earlier: Path, kill: str, right_after: dict[str, bytes] | None, in_the_end: dict[str, bytes]
    ) -> None:
        process = child(earlier, kill)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, errors
        assert earlier.exists() == (right_after is not None)
        assert right_after is None or content(earlier) == right_after
        # The next run puts it back, also where it then has nothing to do there.
        with pytest.raises(OutputError, match="exists already"), Output(earlier, "train"):
            pass
        assert content(earlier) == in_the_end

    @pytest.mark.parametrize("kill", ["work", "rename0", "rename1", "after"])
    def test_the_next_run_can_overwrite(self, earlier: Path, kill: str) -> None:
        child(earlier, kill).communicate(timeout=60)
        with Output(earlier, "train", overwrite=True) as output:
            assert content(earlier) == (NEW if kill == "after" else OLD)
            (output.new / "third").write_text("3")
            output.publish()
        assert [path.name for path in earlier.parent.iterdir()] == ["model"]
        assert names(earlier) == ["third"]

    def test_what_has_got_the_name_in_the_meantime_stays(self, earlier: Path) -> None:
        child(earlier, "rename1").communicate(timeout=60)
        earlier.mkdir()
        (earlier / "mine.txt").write_text("mine")
        with pytest.raises(OutputError, match="was not written by this command"):
            Output(earlier, "train", overwrite=True)
        assert names(earlier) == ["mine.txt"]
        assert content(earlier.parent / ".model.selective_st" / "earlier") == OLD
        shutil.rmtree(earlier)
        write(earlier.with_name("other"), "train", {"x": "mine"})
        earlier.with_name("other").rename(earlier)
        write(earlier, "train", {"x": "new"}, overwrite=True)
        assert content(earlier) == {"x": b"new"}
        assert content(earlier.with_name("model-2")) == OLD
        assert names(earlier.parent) == ["model", "model-2"]

    def test_the_earlier_one_comes_back_where_the_new_one_was_moved_away(self, earlier: Path) -> None:
        child(earlier, "rename1").communicate(timeout=60)
        (earlier.parent / ".model.selective_st" / "new").rename(earlier.with_name("rescued"))
        with pytest.raises(OutputError, match="exists already"), Output(earlier, "train"):
            pass
        assert content(earlier) == OLD

    @pytest.mark.parametrize("file", ["new/work.txt", "earlier/work.txt", "train-key/work.txt", "work.txt"])
    @pytest.mark.parametrize("linked", [False, True])
    def test_nothing_else_is_taken_for_what_was_left_behind(self, tmp_path: Path, file: str, linked: bool) -> None:
        beside = tmp_path / ("mine" if linked else ".model.selective_st")
        (beside / file).parent.mkdir(parents=True, exist_ok=True)
        (beside / file).write_text("work")
        if linked:
            (beside / "lock").touch()
            (tmp_path / ".model.selective_st").symlink_to("mine")
        before = snapshot(tmp_path)
        with pytest.raises(OutputError, match=r"in the way.*--output \S+model-2"), Output(tmp_path / "model", "train"):
            pass
        assert snapshot(tmp_path) == before

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.EBUSY, "busy")])
    def test_stopped_between_the_renames(self, earlier: Path, stop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        rename, calls = os.rename, []

        def stopping(*paths: Any) -> None:
            calls.append(paths)
            if len(calls) == 2:
                raise stop
            rename(*paths)

        with (  # noqa: PT012
            pytest.raises((KeyboardInterrupt, OutputError)) as caught,
            Output(earlier, "train", overwrite=True) as output,
        ):
            (output.new / "metrics.json").write_text("new")
            monkeypatch.setattr(os, "rename", stopping)
            monkeypatch.setattr(os, "replace", stopping)
            output.publish()
        assert content(earlier) == OLD
        kept = names(earlier.parent)[1:]
        if isinstance(stop, OSError):
            assert "busy" in str(caught.value)
            assert "kept: " in str(caught.value)
            assert kept == ["model-2"]
            assert content(earlier.with_name("model-2")) == {"metrics.json": b"new"}
        else:
            assert kept == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
class TestOneAtATime:
    def test_the_second_says_so_at_the_start(self, earlier: Path) -> None:
        process = child(earlier, "wait")
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            for path in (earlier, earlier.parent / "x" / ".." / "model"):
                with (
                    pytest.raises(OutputError, match="another command is writing there") as caught,
                    Output(path, "train", overwrite=True),
                ):
                    pass
                assert f"--output {earlier.with_name('model-2')}" in str(caught.value)
            write(earlier.with_name("beside"), "train", {"x": "x"})  # which leaves what lives alone
            assert any(earlier.parent.glob(".*/new/metrics.json"))
        finally:
            process.kill()
            process.communicate(timeout=60)
        write(earlier, "train", {"mine": "x"}, overwrite=True)
        assert names(earlier.parent) == ["beside", "model"]

    def test_in_one_process_too(self, tmp_path: Path) -> None:
        with Output(tmp_path / "model", "train") as output:
            with pytest.raises(OutputError, match="is writing there"), Output(tmp_path / "model", "evaluate"):
                pass
            output.publish()
        assert names(tmp_path) == ["model"]

    def test_many_at_once_in_one_folder(self, tmp_path: Path) -> None:
        processes = [child(tmp_path / f"m{number}", "no") for number in range(8)]
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        assert names(tmp_path) == [f"m{number}" for number in range(8)]
        assert all(content(tmp_path / f"m{number}") == NEW for number in range(8))

    def test_many_at_once_to_one_output(self, tmp_path: Path) -> None:
        processes = [child(tmp_path / "m", "no") for _ in range(6)]
        for process in processes:
            process.communicate(timeout=60)
        assert 0 in [process.returncode for process in processes]
        assert names(tmp_path) == ["m"]
        assert content(tmp_path / "m") == NEW


class TestAPlaceThatCannotBeWritten:
    """It is refused before any work."""

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
            (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
            (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
            (OSError(errno.ENAMETOOLONG, "File name too long"), "File name too long"),
        ],
    )
    def test_no_folder_can_be_made(
        self, tmp_path: Path, error: OSError, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(OSError, match=words), Output(tmp_path / "model", "train"):
            pytest.fail("it must not come to the work")
        assert names(tmp_path) == []

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        for path in (tmp_path / "deep" / ("m" * 250), tmp_path / ("m" * 300)):
            with pytest.raises(OSError, match="File name too long"), Output(path, "train"):
                pass
        assert not any(tmp_path.rglob("m*"))

    def test_where_a_disk_is_mounted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "disk").mkdir()
        monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "disk")
        with pytest.raises(OutputError, match="is a mount point"):
            Output(tmp_path / "disk", "train")


class TestADiskThatFills:
    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, "No space left on device"),
            Exception("No space left on device (os error 28)"),  # tokenizers
            Exception('I/O: IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'),
        ],
    )
    def test_ends_in_words(self, earlier: Path, error: Exception) -> None:
        with (  # noqa: PT012
            pytest.raises(OutputError, match=r"^nothing was written to \S+model: .*\. Make room, or choose") as caught,
            Output(earlier, "train", overwrite=True) as output,
        ):
            (output.new / "half").write_text("x")
            raise error
        assert str(error) in str(caught.value)
        assert content(earlier) == OLD
        assert names(earlier.parent) == ["model"]

    def test_other_errors_stay_what_they_are(self, tmp_path: Path) -> None:
        for error in (FileNotFoundError(errno.ENOENT, "gone", "x"), ValueError("bad"), RuntimeError("a bug")):
            with pytest.raises(type(error)) as caught, Output(tmp_path / "m", "train"):
                raise error
            assert caught.value is error

    def test_somebody_writes_there_during_the_work(self, earlier: Path) -> None:
        with (  # noqa: PT012
            pytest.raises(
                OutputError,
                match=r"not as this command wrote them: notes.txt.*What was to take that name is kept: \S+model-2",
            ),
            Output(earlier, "train", overwrite=True) as output,
        ):
            (output.new / "weights").write_text("dear")
            (earlier / "notes.txt").write_text("mine")
            output.publish()
        assert content(earlier) == {**OLD, "notes.txt": b"mine"}
        assert (earlier.with_name("model-2") / "weights").read_text() == "dear"
        assert names(earlier.parent) == ["model", "model-2"]


def test_what_is_dear_is_saved_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = save_elsewhere(lambda folder: Path(folder, "weights").write_text("dear"))
    assert found is not None
    assert found.parent == tmp_path
    assert (found / "weights").read_text() == "dear"

    def fail(folder: str) -> None:
        raise OSError("No space left on device")

    assert save_elsewhere(fail) is None


class TestState:
    def interrupt(self, target: Path, key: str, says: str, error: BaseException) -> None:
        with Output(target, "train", overwrite=True) as output:
            state = output.state(key)
            (state.folder / f"{key}.json").write_text(key)
            state.says = says
            (output.new / "half").touch()
            raise error

    def test_outlives_an_interruption_and_goes_with_success(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        target = Path("deep/model")
        with pytest.raises(KeyboardInterrupt) as caught:
            self.interrupt(target, "a", "79 of 80 runs are kept", KeyboardInterrupt())
        assert str(caught.value) == (
            "nothing was written to deep/model. 79 of 80 runs are kept in deep/.model.selective_st; the same command "
            "goes on from there."
        )
        assert not target.exists()
        with pytest.raises(KeyboardInterrupt):  # another key leaves it alone
            self.interrupt(target, "b", "1 of 2 runs is kept", KeyboardInterrupt())
        write(Path("deep/other"), "train", {"x": "x"})  # and so does another output,
        write(target, "evaluate", {"x": "x"})  # and another command
        shutil.rmtree(target)
        with Output(target, "train") as output:
            state = output.state("a")
            assert [path.name for path in state.folder.iterdir()] == ["a.json"]
            assert [path.name for path in state.others] == ["train-b"]
            output.publish()
        assert names(Path("deep")) == ["model", "other"]

    def test_outlives_a_kill_and_a_full_disk(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"device. 1 of 2 runs is kept in \S+; the same command goes on"):
            self.interrupt(tmp_path / "m", "a", "1 of 2 runs is kept", OSError(errno.ENOSPC, "No space left on device"))
        child(tmp_path / "m", "work").communicate(timeout=60)
        with Output(tmp_path / "m", "train") as output:
            assert names(output.state("a").folder) == ["a.json"]

    def test_nothing_worth_keeping_is_not_kept(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt, match=r"^nothing was written to \S+/m\.$"):
            self.interrupt(tmp_path / "m", "a", "", KeyboardInterrupt())
        assert names(tmp_path) == []

    def test_interrupted_after_the_end(self, tmp_path: Path) -> None:
        with (  # noqa: PT012
            pytest.raises(KeyboardInterrupt, match=r"m was already written, and is whole\.$"),
            Output(tmp_path / "m", "train") as output,
        ):
            output.publish()
            raise KeyboardInterrupt
        assert names(tmp_path) == ["m"]
