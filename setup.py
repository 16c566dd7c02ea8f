"""The description of the package: the README, whose links must lead somewhere on the package index too."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?![a-z]+:)([^()\s]+)\)")
ADDRESS = re.search(r'^Repository = "(.+?)/*"$', (HERE / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def absolute(link: re.Match[str]) -> str:
    """A link into the repository with its address; where no address is known only the words."""
    picture, words, target = link.groups()
    if ADDRESS is None:
        return "" if picture else words
    return f"{picture}[{words}]({ADDRESS[1]}/{'raw' if picture else 'blob'}/main/{target})"


readme = (HERE / "README.md").read_text(encoding="utf-8")
setup(long_description=LINK.sub(absolute, readme), long_description_content_type="text/markdown")
