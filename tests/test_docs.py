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


OWN_TEST = ("language_models.md",)  # tests/test_language_docs.py
WITH_CODE = [path.name for path in sorted(DOCS.glob("*.md")) if "```python" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", [name for name in WITH_CODE if name not in OWN_TEST])
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
    assert blocks > (len(losses.__all__) if page == "losses.md" else 0)


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


def test_the_pages_made_of_the_registry_are_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import write_formats

    assert {"formats.md", "which_loss.md", "README.md", "llms.txt", "SKILL.md"} == {
        path.name for path in write_formats.FILES
    }
    for path, text in write_formats.FILES.items():
        assert path.read_text(encoding="utf-8") == text(), f"{path.name}: run make docs-formats"


def test_the_decision_page_leads_to_every_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "which_loss.md").read_text(encoding="utf-8")
    assert {f"losses.md#{name.lower()}" for name in losses.__all__ if name != "WeightedLoss"} <= set(
        re.findall(r"\]\((losses\.md#\w+)\)", page)
    )


def test_the_figures_that_pages_share_are_said_once_and_quoted_right() -> None:
    """A figure with its interval or a third decimal stands in the page that its command writes; others quote it."""
    measured = ["encoder", "study", "order", "frontier", "loss_cost", "thresholds", "gpu"]
    pages = [path.read_text(encoding="utf-8") for name in measured if (path := DOCS / f"{name}.md").is_file()]
    known = {said for page in pages for figure in figures_in(page) for said in (figure, figure[:5])}
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    quoted = {figure for text in re.split(r"\n```", readme)[::2] for figure in figures_in(text)}
    assert len(quoted) > 20
    assert quoted <= known
    table = readme[readme.index("<!-- result: begin -->") : readme.index("<!-- result: end -->")]
    assert set(figures_in(table)) <= set(figures_in((DOCS / "encoder.md").read_text(encoding="utf-8")))
    for name in ("losses.md", "which_loss.md", "recipes.md"):
        prose = re.sub(r"^```.*?^```$", "", (DOCS / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        assert set(figures_in(prose)) <= known, name


def figures_in(text: str) -> list[str]:
    return re.findall(r"(?<![\d.+-])0\.\d{3}(?: ± 0\.\d{3})?(?!\d)", text)
