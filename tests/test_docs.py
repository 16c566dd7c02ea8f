"""The pages: their Python code runs and prints what it shows; in docs/losses.md each loss has the same kind of card."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest

from selective_st import losses

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "losses.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
CARD = ("```math", "**Generalises**", "| inputs | labels | setting |", "**Link.**", "calibration.**", "**Example.**")


@pytest.mark.parametrize("page", ["losses.md", "evaluation.md", "thresholds.md"])
@pytest.mark.slow
def test_the_code_runs_and_prints_what_is_shown(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    text, printed, blocks = (DOCS / page).read_text(encoding="utf-8"), "", 0
    for match in re.finditer(r"```(python|text)\n(.*?)```", text, re.DOTALL):
        kind, block = match.groups()
        if kind == "text":
            assert printed == block
            continue
        # So that a traceback names the line of the page.
        code = "\n" * text.count("\n", 0, match.start(2)) + block
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, str(DOCS / page), "exec"), namespace)
        printed, blocks = output.getvalue(), blocks + 1
    assert blocks > (len(losses.__all__) if page == "losses.md" else 1)


@pytest.mark.parametrize("name", losses.__all__)
def test_each_loss_has_a_card(name: str) -> None:
    card = SECTIONS[name]
    places = [card.find(part) for part in (*CARD, "**Limits.**")]
    assert min(places) >= 0
    assert places == sorted(places)
    assert re.search(rf"```python\n(?:(?!```).)*\b{name}\(", card, re.DOTALL)  # it is made in an example
    text = SECTIONS["What holds for all of them"] + card
    if name.startswith("Cached"):
        text += SECTIONS[name.removeprefix("Cached")]
    for parameter in list(inspect.signature(getattr(losses, name)).parameters)[1:]:
        assert re.search(rf"`[^`\n]*\b{parameter}\b", text), parameter


def test_the_table_at_the_top_names_each_loss() -> None:
    table = PAGE[: PAGE.index("On this page")]
    assert {f"#{name.lower()}" for name in losses.__all__} == set(re.findall(r"\]\((#.*?)\)", table)) - {
        "#cross-encoders",
        "#what-is-not-as-in-the-built-in-losses",
    }


def test_links_lead_somewhere() -> None:
    headings = [re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in re.findall(r"^#+ (.+)$", PAGE, re.M)]
    for target in re.findall(r"\]\((.*?)\)", PAGE):
        path, _, anchor = target.partition("#")
        if path.startswith("https:"):
            continue
        assert not path or (DOCS / path).is_file(), target
        assert path or anchor in headings, target


def test_the_figures_quoted_are_those_of_the_run() -> None:
    table = (DOCS / "frontier.md").read_text(encoding="utf-8")
    quoted = re.findall(r"\b0\.\d{3}\b", PAGE)
    assert quoted
    assert set(quoted) <= set(re.findall(r"\b0\.\d{3}\b", table))
    targets = re.findall(r"^([a-z-]+):", (DOCS.parent / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)", PAGE + table)) <= set(targets)


def test_the_figures_of_the_study_are_those_of_its_tables() -> None:
    head, tables = (DOCS / "study.md").read_text(encoding="utf-8").split("\n## Graded pairs, ", 1)
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    quoted = [*re.findall(r"\b0\.\d{3}\b", head), *_figures_beside(readme, "docs/study.md")]
    assert len(quoted) > 20
    assert set(quoted) <= set(re.findall(r"\b0\.\d{3}\b", tables))


def _figures_beside(page: str, link: str) -> list[str]:
    """The figures in the paragraphs that name a file."""
    paragraphs = [text for text in page.split("\n\n") if link in text]
    assert paragraphs
    return [figure for text in paragraphs for figure in re.findall(r"\b0\.\d{3}\b", text)]


def test_the_tables_of_formats_are_those_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import write_formats

    assert write_formats.FORMATS.read_text(encoding="utf-8") == write_formats.formats_page()
    readme = write_formats.README.read_text(encoding="utf-8")
    assert write_formats.readme_table() in readme
    assert write_formats.readme(readme) == readme
