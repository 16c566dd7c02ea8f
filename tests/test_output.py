"""Output folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from selective_st.output import OutputError, check_output, new_folder


def test_appears_when_done(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with new_folder(target) as folder:
        (folder / "metrics.json").write_text("{}")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["metrics.json"]
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(tmp_path / "model") as folder:  # noqa: PT012
        (folder / "half").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_the_earlier_output(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "metrics.json").write_text("old")
    with pytest.raises(RuntimeError), new_folder(target, overwrite=True):
        raise RuntimeError
    assert (target / "metrics.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_overwrites_only_when_told(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "metrics.json").write_text("old")
    with pytest.raises(OutputError, match=r"exists and is not empty. Choose another folder, or say --overwrite"):
        check_output(target, overwrite=False)
    with new_folder(target, overwrite=True) as folder:
        (folder / "new").write_text("x")
        assert (target / "metrics.json").read_text() == "old"
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    with new_folder(tmp_path / "model") as folder:
        (folder / "new").write_text("x")
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty", overwrite=False)


def test_a_folder_of_something_else_is_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter1.txt").write_text("years of work")
    with pytest.raises(OutputError, match="does not look like a model's folder"):
        check_output(target, overwrite=True)
    with pytest.raises(OutputError, match="is no folder"):
        check_output(target / "chapter1.txt", overwrite=True)
