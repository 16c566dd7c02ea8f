"""Output folders appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from selective_st.output import OutputError, check_output, new_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".selective_st.json")


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    with new_folder(tmp_path / "model") as folder:
        (folder / "metrics.json").write_text("old")
    return tmp_path / "model"


def test_appears_when_done(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with new_folder(target) as folder:
        (folder / "metrics.json").write_text("{}")
        assert not target.exists()
    assert names(target) == ["metrics.json"]
    assert names(target.parent) == ["model"]
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(tmp_path / "model") as folder:  # noqa: PT012
        (folder / "half").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_an_error_keeps_the_earlier_output(earlier: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(earlier, overwrite=True):
        raise RuntimeError
    assert (earlier / "metrics.json").read_text() == "old"
    assert names(earlier.parent) == ["model"]


def test_overwrites_only_when_told(earlier: Path) -> None:
    with pytest.raises(OutputError, match=r"exists and is not empty. Choose another folder, or say --overwrite"):
        check_output(earlier, overwrite=False)
    with new_folder(earlier, overwrite=True) as folder:
        (folder / "new").write_text("x")
        assert (earlier / "metrics.json").read_text() == "old"
    assert names(earlier) == ["new"]
    assert names(earlier.parent) == ["model"]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as folder:
        (folder / "new").write_text("x")
    assert names(tmp_path / "empty") == ["new"]


class TestNeverOverwritten:
    def test_what_this_command_did_not_write(self, tmp_path: Path) -> None:
        target = tmp_path / "project"
        target.mkdir()
        (target / "metrics.json").write_text("{}")
        with pytest.raises(OutputError, match="was not written by this command"):
            check_output(target, overwrite=True)

    def test_an_output_that_holds_something_else_by_now(self, earlier: Path) -> None:
        (earlier / "chapter1.txt").write_text("years of work")
        with pytest.raises(OutputError, match=r"holds something that this command did not write: chapter1.txt"):
            check_output(earlier, overwrite=True)

    def test_a_file_and_what_lies_below_it(self, earlier: Path) -> None:
        for path in (earlier / "metrics.json", earlier / "metrics.json" / "model"):
            with pytest.raises(OutputError, match=r"metrics.json exists and is no folder"):
                check_output(path, overwrite=True)

    def test_where_one_stands(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        for path in (Path(), Path(".."), Path("nosuch/.."), Path(os.sep)):
            with pytest.raises(OutputError, match="is the folder you are in, or above it"):
                check_output(path, overwrite=True)
