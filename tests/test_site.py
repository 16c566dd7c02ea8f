"""The site: every page and public name is in it, links lead somewhere, and it builds without a network or a warning."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import selective_st
from tests.processes import started

ROOT = Path(__file__).parent.parent
OWN_IMPORTS = re.compile(r"^from (selective_st[\w.]*) import (?:\(([^)]*)\)|(.+))$", re.MULTILINE)


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("write_site")


def test_every_page_of_the_folder_is_on_the_site(writer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {page.source for page in writer.pages()}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md"} <= held
    assert {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")} <= held
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "brand_new.md").write_text("# Brand new\n", encoding="utf-8")
    monkeypatch.setattr(writer, "ROOT", tmp_path)
    assert writer.sources()["More"] == ("docs/brand_new.md",)


def test_every_link_leads_to_a_page(writer: Any) -> None:
    pages = writer.pages()
    names = [page.name for page in pages]
    assert len(names) == len(set(names))
    links = writer.Links(pages)
    for page in pages:
        turned = links.turned(page)
        for target in re.findall(r"\]\(([^()\s]+?)\.md(?:#[^()\s]*)?\)", re.sub(r"```.*?```", "", turned, flags=re.S)):
            if not target.startswith("http"):
                assert str((Path("/") / page.name).parent.joinpath(target).resolve())[1:] in names, (page.name, target)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("losses.md", "[it](losses/index.md)"),
        ("losses.md#the-frontier", "[it](losses/the-frontier.md#the-frontier)"),
        ("../README.md", "[it](index.md)"),
        ("../examples/own_link.py", "[it](examples/own_link.md)"),
        ("https://arxiv.org/abs/2506.04446", "[it](https://arxiv.org/abs/2506.04446)"),
        ("../tests/test_gather.py", "it"),
    ],
)
def test_a_link_is_turned_to_the_site(writer: Any, link: str, said: str) -> None:
    links = writer.Links(writer.pages())
    assert links.turned(writer.Page("page", "docs/page.md", f"[it]({link})")) == said
    code = f"```text\n[it]({link})\n```"
    assert links.turned(writer.Page("page", "docs/page.md", code)) == code


@pytest.mark.parametrize(
    ("link", "told"),
    [("nowhere.md", "leads to no file"), ("losses.md#nowhere", "no such heading"), ("#nowhere", "no such heading")],
)
def test_a_link_to_nowhere_is_told(writer: Any, link: str, told: str) -> None:
    links = writer.Links(writer.pages())
    with pytest.raises(ValueError, match=told):
        links.turned(writer.Page("evaluation", "docs/evaluation.md", f"[it]({link})"))


def test_a_page_is_no_longer_than_one_reads_at_once(writer: Any) -> None:
    for page in writer.pages():
        if not page.name.startswith(("examples/", "changes")):
            assert len(page.text) < 1.2 * writer.LONGEST, page.name


def public() -> set[tuple[str, int]]:
    found = set()
    for module in pkgutil.walk_packages(selective_st.__path__, "selective_st."):
        if not re.search(r"\._|\.cli\b|__main__", module.name):
            loaded = importlib.import_module(module.name)
            for name in getattr(loaded, "__all__", ()):
                thing = getattr(loaded, name)
                if not isinstance(thing, ModuleType):
                    found.add((name, id(thing)))
    return found


def test_the_reference_has_every_public_name(writer: Any) -> None:
    named = writer.public_names()
    listed = [(name, id(thing)) for names in named.values() for name, thing in names.items()]
    assert len(listed) == len(set(listed))
    assert public() <= set(listed)
    made = writer.reference()
    for module, names in named.items():
        for name, thing in names.items():
            assert f"{module}.{name}" in made[f"api/names/{module}.{name}.rst"]
            assert re.search(rf"^   {name}$|:py:data:`{name}`", made[f"api/{module}.rst"], re.MULTILINE)
            assert getattr(importlib.import_module(module), name) is thing


def test_the_reference_has_what_the_pages_and_examples_import(writer: Any) -> None:
    known = {id(thing) for names in writer.public_names().values() for thing in names.values()}
    for page in writer.pages():
        for module, many, one in OWN_IMPORTS.findall(page.text):
            for part in re.split(r",\s*", (many or one.split("#")[0]).strip().strip(",")):
                name = part.split(" as ")[0].strip()
                thing = getattr(importlib.import_module(module), name)
                assert isinstance(thing, (ModuleType, float, str)) or id(thing) in known, (page.source, module, name)


def test_the_command_line_page_has_every_option(writer: Any) -> None:
    page = writer.commands_page()
    for command, options in {
        "train": ("--focus", "--compare"),
        "distill": ("--threshold",),
        "score": ("--output",),
    }.items():
        section = page.split(f"## {command}\n", 1)[1].split("\n## ", 1)[0]
        assert all(f"| `{option}`" in section for option in options)


def sphinx(*arguments: str) -> None:
    """Run `python -m sphinx`."""
    from sphinx.cmd.build import main

    sys.exit(main(arguments))


@pytest.mark.slow
def test_it_builds_without_a_warning_and_names_everything(writer: Any, tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    writer.write(tmp_path / "source")
    arguments = [
        "-W",
        "--keep-going",
        "--quiet",
        "-c",
        str(ROOT / "docs"),
        str(tmp_path / "source"),
        str(tmp_path / "html"),
    ]
    with started(sphinx, *arguments) as process:
        _, errors, status = process.end(timeout=600)
    assert status == 0, errors
    inventory = zlib.decompress((tmp_path / "html" / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]).decode()
    described = set(re.findall(r"^(\S+) py:", inventory, re.MULTILINE))
    for module, names in writer.public_names().items():
        assert {f"{module}.{name}" for name in names} <= described
    assert "SelectiveOrderLoss" in (tmp_path / "html" / "searchindex.js").read_text(encoding="utf-8")
    pages = list((tmp_path / "html").rglob("*.html"))
    for page in pages:
        assert not re.search(r'(?:src="|rel="stylesheet" href=")(?:https?:)?//', page.read_text(encoding="utf-8")), page
    assert "<mfrac>" in (tmp_path / "html" / "losses" / "selectiveorderloss.html").read_text(encoding="utf-8")
