"""Assemble the site's sources in a folder: what the repository's pages say, and a reference of every public name.

Nothing is written twice. A page of the site is a file of the repository, with its links turned to the site's pages; a
file that is too long to be read at once is parted at its headings. `make site` builds it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader

import selective_st

ROOT = Path(__file__).parent.parent
LONGEST = 16_000  # characters of a page; longer files are parted
# For links to files that are no pages; where no address is known only the words stay.
_ADDRESS = re.search(r'^Repository = "(.+?)/*"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
REPOSITORY = _ADDRESS[1] if _ADDRESS else ""

# What stands in which part of the site. Pages of docs/ that no part names stand under the last.
PARTS: dict[str, tuple[str, ...]] = {
    "First steps": ("docs/first_steps.md", "docs/which_loss.md", "docs/recipes.md", "docs/thresholds.md"),
    "Losses and links": ("docs/losses.md", "docs/links.md", "docs/formats.md", "docs/language_models.md"),
    "Training and judging": ("docs/evaluation.md", "docs/distributed.md", "docs/gpu.md", "examples/README.md"),
    "Evidence": ("docs/encoder.md", "docs/order.md", "docs/study.md", "docs/frontier.md", "docs/loss_cost.md"),
    "Look up": ("docs/troubleshooting.md", "docs/glossary.md", "CHANGELOG.md", "CONTRIBUTING.md"),
}
START = "README.md"

# Public names of modules that have no __all__.
ALSO_PUBLIC: dict[str, tuple[str, ...]] = {
    "selective_st.demo": ("graded_pairs", "write_demo_data"),
    "selective_st.link_words": ("describe_thresholds",),
    "selective_st.distillation": ("DistillSettings", "Taught", "distill", "taught_pairs"),
    "selective_st.scoring": ("ScoredFile", "score_file"),
    "selective_st.training": ("train_tokenizer",),
}

# Classes of others, whose methods are told elsewhere.
_STRANGERS = "Module,Trainer,TrainerCallback,BaseEvaluator,tuple,dict,ValueError"

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
_CODE = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)


class Page(NamedTuple):
    """A page of the site, or a part of one.

    Attributes:
        name: Its path in the site, without an ending.
        source: The file of the repository that it is from.
        text: What stands in it.
        parts: The pages that it is parted into.
    """

    name: str
    source: str
    text: str
    parts: tuple[str, ...] = ()


def title(text: str) -> str:
    """The heading of a page."""
    return text.lstrip().splitlines()[0].lstrip("# ")


def first_sentence(text: str) -> str:
    """What a page begins with, without links and pictures."""
    paragraphs = [part.strip() for part in text.split("\n\n")[1:] if part.strip()]
    plain = next((part for part in paragraphs if re.match(r"[\w`*\[]", part)), "")
    words = " ".join(_LINK.sub(r"\2", plain).split()).replace("**", "")
    return re.split(r"(?<=\.) (?=[A-Z`])", words)[0]


def sources() -> dict[str, tuple[str, ...]]:
    """The files of the repository that are pages, by part of the site."""
    found = {part: tuple(path for path in paths if (ROOT / path).is_file()) for part, paths in PARTS.items()}
    named = {path for paths in found.values() for path in paths}
    others = sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))
    return {**found, "More": tuple(path for path in others if path not in named)}


def site_name(source: str) -> str:
    """The page of a file of the repository: `docs/losses.md` is `losses`."""
    special = {START: "index", "CHANGELOG.md": "changes"}
    name = special.get(source) or posixpath.splitext(source.removeprefix("docs/"))[0].lower()
    return name.replace("readme", "index")


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def parted(source: str, text: str) -> Iterator[Page]:
    """The pages of a file: one, or where it is too long one for each second-level heading too."""
    name = site_name(source)
    sections = _outside_code(text, r"^## (.+)$")
    if source == START or len(text) < LONGEST or not sections:
        yield Page(name, source, text)
        return
    starts = [start for start, _ in sections]
    names = tuple(f"{name}/{anchor(heading)}" for _, heading in sections)
    yield Page(f"{name}/index", source, text[: starts[0]], names)
    first_code = "```python" in text[: starts[0]]
    for part, start, end in zip(names, starts, [*starts[1:], len(text)], strict=True):
        body = re.sub(r"^#(#+ )", r"\1", text[start:end], flags=re.MULTILINE)
        if first_code and "```python" in body:
            heading, _, rest = body.partition("\n")
            before = f"[{title(text)}]({posixpath.basename(source)})"
            body = f"{heading}\n\n*The code goes on from that of {before}.*\n{rest}"
        yield Page(part, source, body)


def _outside_code(text: str, pattern: str) -> list[tuple[int, str]]:
    """Where a pattern matches outside code blocks, and its first group."""
    blank = _CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return [(match.start(), match[1]) for match in re.finditer(pattern, blank, re.MULTILINE)]


def examples() -> Iterator[Page]:
    """A page for each example: its script, or the cells of the notebook."""
    for path in sorted((ROOT / "examples").glob("*")):
        source = f"examples/{path.name}"
        if path.suffix == ".py":
            yield Page(site_name(source), source, f"# {path.name}\n\n````python\n{path.read_text('utf-8')}````\n")
        elif path.suffix == ".ipynb":
            cells = json.loads(path.read_text("utf-8"))["cells"]
            yield Page(site_name(source), source, "\n".join(_cell(cell) for cell in cells))


def _cell(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    return f"{text}\n" if cell["cell_type"] == "markdown" else f"```python\n{text}\n```\n"


def pages() -> list[Page]:
    """The pages that are files of the repository, with the links as they are there."""
    files = [START, *(path for paths in sources().values() for path in paths)]
    return [page for path in files for page in parted(path, (ROOT / path).read_text("utf-8"))] + list(examples())


class Links:
    """Turns the links of a file of the repository to pages of the site."""

    def __init__(self, known: Sequence[Page]) -> None:
        self.pictures: set[str] = set()
        self._pages = {page.source: page.name for page in reversed(known)}  # of a parted file the first
        self._anchors = {
            (page.source, anchor(heading)): page.name
            for page in known
            for _, heading in _outside_code(page.text, r"^#+ (.+)$")
        }

    def turned(self, page: Page) -> str:
        """The text of a page, with its links as they are in the site; a ValueError where one leads nowhere."""
        made, end = "", 0
        for code in _CODE.finditer(page.text):
            made += self._turned(page.text[end : code.start()], page) + code[0]
            end = code.end()
        return made + self._turned(page.text[end:], page)

    def _turned(self, text: str, page: Page) -> str:
        return _LINK.sub(lambda match: self._link(match, page), text)

    def _link(self, match: re.Match[str], page: Page) -> str:
        picture, shown, target = match.groups()
        if re.match(r"[a-z]+:", target):
            return match[0]
        shown = self._turned(shown, page)
        path, _, name = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), path)) if path else page.source
        if not (ROOT / path).exists():
            raise ValueError(f"{page.source}: the link {target} leads to no file of the repository")
        if picture:
            self.pictures.add(path)
            return f"![{shown}]({self._relative(page, path.removeprefix('docs/'))})"
        if path in self._pages:
            to = self._anchors.get((path, name), self._pages[path])
            if name and (path, name) not in self._anchors:
                raise ValueError(f"{page.source}: {target} has no such heading")
            return f"[{shown}]({self._relative(page, to)}.md{'#' + name if name else ''})"
        return f"[{shown}]({REPOSITORY}/blob/main/{path})" if REPOSITORY else shown

    @staticmethod
    def _relative(page: Page, to: str) -> str:
        return posixpath.relpath(to, posixpath.dirname(page.name) or ".")


def table_of_contents(names: Sequence[str], page: str = "index", caption: str = "", hidden: bool = True) -> str:
    """A MyST toctree of pages."""
    options = [":hidden:"] if hidden else [":maxdepth: 1"]
    if caption:
        options.append(f":caption: {caption}")
    entries = [posixpath.relpath(name, posixpath.dirname(page) or ".") for name in names]
    return "\n".join(["", "```{toctree}", *options, "", *entries, "```", ""])


def public_names() -> dict[str, dict[str, Any]]:
    """The public names of the package by module, each once, where its path is shortest: `__all__` and `ALSO_PUBLIC`."""
    found: dict[tuple[str, int], tuple[str, str, Any]] = {}
    for module in _modules():
        for name in getattr(module, "__all__", ALSO_PUBLIC.get(module.__name__, ())):
            thing = getattr(module, name)
            if not isinstance(thing, ModuleType):
                found.setdefault((name, id(thing)), (module.__name__, name, thing))
    by_module: dict[str, dict[str, Any]] = {}
    for module_name, name, thing in found.values():
        by_module.setdefault(module_name, {})[name] = thing
    return by_module


def _modules() -> list[ModuleType]:
    """The public modules of the package, those with the shortest path first."""
    found = pkgutil.walk_packages(selective_st.__path__, "selective_st.")
    names = [module.name for module in found if not re.search(r"\._|\.cli\b", module.name)]
    return [
        importlib.import_module(name)
        for name in sorted(names, key=lambda name: (name.count("."), "catalog" in name, name))
    ]


def filled(template: str, **facts: Any) -> str:
    """A template of docs/templates, filled in."""
    loader = FileSystemLoader(ROOT / "docs" / "templates")
    pages = Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return pages.get_template(template).render(facts)


def reference() -> dict[str, str]:
    """The pages of the API reference: one for each module, which lists those of its names."""
    named = public_names()
    order = sorted(named, key=lambda name: (name.count("."), name))
    made = {"api/index.rst": filled("api_index.rst", modules=order)}
    for module, names in named.items():
        described, constants = [], []
        for name in sorted(names, key=str.lower):
            (described if callable(names[name]) else constants).append(name)
        made[f"api/{module}.rst"] = filled("api_module.rst", module=module, described=described, constants=constants)
        for name, thing in names.items():
            kind = "function" if callable(thing) else type(thing).__name__
            facts = {"module": module, "name": name, "kind": "class" if isinstance(thing, type) else kind}
            made[f"api/names/{module}.{name}.rst"] = filled("api_name.rst", strangers=_STRANGERS, **facts)
    return made


def commands_page() -> str:
    """The page of the command line: every command with its arguments and options."""
    import typer.main

    from selective_st.cli import app

    group: Any = typer.main.get_command(app)
    return filled("commands.md", commands=group.commands, as_text=_as_text, option_row=_option_row)


def _option_row(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts] if option.param_type_name == "option" else [option.name]
    default = "needed" if option.required else option.default
    shown = "" if default in (None, False, ()) or callable(default) else f"`{default}`"
    told = "needed" if option.required else shown
    return f"| {', '.join(f'`{name}`' for name in names)} | {_as_text(option.help or '')} | {told} |".replace("\n", " ")


def _as_text(text: str) -> str:
    return re.sub(r"([<>|*_\[\]])", r"\\\1", re.sub(r"\[/?[a-z ]+\]", "", text))


def site() -> tuple[dict[str, str], set[str]]:
    """The files of the site's sources by path, and the pictures that they show."""
    known = pages()
    links = Links(known)
    made = {f"{page.name}.md": links.turned(page) + _parts_of(page) for page in known}
    made.update(reference())
    made["commands.md"] = commands_page()
    made["designer.md"] = filled("designer.md")
    made["index.md"] += _contents(known)
    overview = links.turned(Page("llms", "llms.txt", (ROOT / "llms.txt").read_text("utf-8")))
    made["extra/llms.txt"] = overview.replace(".md)", ".html)")
    return made, links.pictures


def _parts_of(page: Page) -> str:
    if page.name == "examples/index":
        return table_of_contents([example.name for example in examples()], page.name)
    return table_of_contents(page.parts, page.name, hidden=False) if page.parts else ""


def _contents(known: Sequence[Page]) -> str:
    """The toctrees of the start page, one for each part of the site."""
    first = {page.source: page.name for page in reversed(known)}
    further = {"First steps": ["designer"], "Training and judging": ["commands"], "Look up": ["api/index"]}
    return "".join(
        table_of_contents([*(first[path] for path in paths), *further.get(part, [])], caption=part)
        for part, paths in sources().items()
        if paths
    )


def write(folder: Path) -> None:
    """Write the site's sources in place of those of an earlier run."""
    made, pictures = site()
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for picture in pictures:
        path = folder / picture.removeprefix("docs/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / picture, path)
    extra = folder / "extra"  # what the site holds besides its pages
    page = extra / "link_designer.html"
    subprocess.run([sys.executable, "-m", "selective_st.cli", "plot", "--interactive", str(page)], check=True)
    print(f"{len(made)} pages in {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "site" / "source")
    write(parser.parse_args().folder)
