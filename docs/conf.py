"""Sphinx's settings. `make site` assembles the sources (docs/write_site.py) and builds them, without a network.

Other projects' names become links where their inventories can be reached when the site is built; elsewhere they stay
plain code.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml, unichar2tex
from sphinx.application import Sphinx

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from write_site import REPOSITORY

from selective_st import __version__

project = "selective_st"
author = "The selective_st authors"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
]
default_role = "code"  # docstrings mark code as Markdown does
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"selective_st {__version__}"
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

myst_heading_anchors = 4
myst_fence_as_directive = ["math"]

autosummary_generate = False  # docs/write_site.py writes the pages
autodoc_typehints = "signature"
autodoc_preserve_defaults = True  # as they are written
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
napoleon_use_rtype = False
napoleon_use_ivar = True

_INVENTORIES = {
    "sentence_transformers": "https://www.sbert.net/",
    "torch": "https://docs.pytorch.org/docs/stable/",
    "transformers": "https://huggingface.co/docs/transformers/main/en/",
    "python": "https://docs.python.org/3/",
}


def _can_be_reached(address: str) -> bool:
    try:
        with urllib.request.urlopen(address + "objects.inv", timeout=5):
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


intersphinx_mapping = {name: (address, None) for name, address in _INVENTORIES.items() if _can_be_reached(address)}


def _mark_formulas(_app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Mark the indented paragraphs of a docstring, which are formulas, as literal blocks."""
    made: list[str] = []
    indent, blank, in_formula = 0, False, False
    for line in lines:
        width = len(line) - len(line.lstrip())
        if line.strip():
            begins = not in_formula and blank and width >= indent + 4
            in_formula = begins or (in_formula and width > indent)
            if begins:
                made += [" " * indent + "::", ""]
            if not in_formula:
                indent = width
        blank = not line.strip()
        made.append(line if in_formula else re.sub(r"(?<![\w`+])\|(\w+)\|", r"\|\1\|", line))
    lines[:] = made


def _show_math(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Formulas as MathML, which browsers show without a script."""
    block = isinstance(node, nodes.math_block)
    tree = latex2mathml.tex2mathml(node.astext().translate(unichar2tex.uni2tex_table), as_block=block)
    translator.body.append(f'<div class="math">{tree}</div>' if block else tree)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register what Sphinx does not have."""
    app.config.html_extra_path = [str(Path(app.srcdir) / "extra")]
    app.connect("autodoc-process-docstring", _mark_formulas, priority=100)
    app.add_html_math_renderer("mathml", inline_renderers=(_show_math, None), block_renderers=(_show_math, None))
