"""The page that designs links is one file, and is written as outputs are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from selective_st.cli import app
from selective_st.focus import parse_focus
from selective_st.link_designer import link_designer


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_page_is_one_file_and_loads_nothing() -> None:
    page = link_designer(parse_focus('{"type": "SigmoidLink", "scale": 20, "shift": 0.8}'))
    assert "default-src 'none'" in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert not any(mark in page for mark in ("{{", "{%", " src=", "<link"))
    assert len(page) < 60_000


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"focus": "high"}, 'focus must be of type Focus, got .* Write parse_focus\\("high"\\).'),
        ({"targets": 0.5}, "targets must be a list of scores"),
        ({"targets": ["0.5"]}, r"targets\[0\] must be a"),
        ({"label_range": (5, 0)}, "must be below label_range"),
    ],
)
def test_a_wrong_argument_is_told(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"link_designer: .*{says}"):
        link_designer(**arguments)


def test_replaces_only_its_own_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("plot", "--interactive", "links.html").exit_code == 0
    again = " ".join(run("plot", "--interactive", "links.html").output.split())
    assert "--interactive links.html exists already. Choose another: --interactive links-2.html" in again
    assert run("plot", "--interactive", "links.html", "--overwrite", "--focus", "low").exit_code == 0
    assert '"low_scores"' in Path("links.html").read_text(encoding="utf-8").split('"initial"')[1]
    assert run("plot", "--interactive", "links.html", "--overwrite", "--threshold", 0.7).exit_code == 0
    begins = Path("links.html").read_text(encoding="utf-8").split('"initial"')[1]
    assert '"mode": "thresholds", "thresholds": [0.7]' in " ".join(begins.split())
    Path("mine.html").write_text("<!doctype html><p>Mine.", encoding="utf-8")
    refused = run("plot", "--interactive", "mine.html", "--overwrite").output
    assert "--interactive mine.html exists, and nothing in it shows that this command" in " ".join(refused.split())
    assert Path("mine.html").read_text(encoding="utf-8") == "<!doctype html><p>Mine."
    assert sorted(path.name for path in tmp_path.iterdir()) == ["links.html", "mine.html"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--interactive", "links.htm"], "--interactive links.htm: the name must end in .html, such as links.html."),
        (["--interactive", "links.png"], "the name must end in .html"),
        (["--output", "links.html"], "--output links.html: the name must end in .png, .svg, .pdf, such as links.png."),
        (["--interactive", "a.html", "--output", "a.png"], "--interactive writes a page, --output a picture"),
        (["--interactive", "a.html", "--focus", "low", "--focus", "high"], "got 2 --focus. Give one."),
        (["--interactive", "a.html", "--focus", "low", "--threshold", "0.7"], "--threshold"),
        (["--interactive", "a.html", "--focus", "lower"], "--focus must be high, low"),
        (
            ["--interactive", "a.html", "--targets", "7"],
            "--targets takes comma-separated labels within --score-range, 0 to 1",
        ),
        (["--interactive", "no-folder/x.csv/a.html"], "no-folder"),
    ],
)
def test_a_wrong_command_is_told(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "no-folder" in arguments[1]:
        Path("no-folder").mkdir()
        Path("no-folder/x.csv").touch()
    result = run("plot", *arguments)
    assert result.exit_code != 0
    assert says in " ".join(result.output.split())
    assert not list(tmp_path.glob("*.html"))
