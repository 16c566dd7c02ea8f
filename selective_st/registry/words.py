"""The vocabulary of column names and labels: `words.json` holds the words of each concept, by language."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def _vocabulary() -> dict[str, dict[str, str]]:
    text = files("selective_st.registry").joinpath("words.json").read_text("utf-8")
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


@cache
def words_for(*concepts: str) -> frozenset[str]:
    """The words of concepts, in all languages."""
    return frozenset(
        word for concept in concepts for words in _vocabulary()[concept].values() for word in words.split()
    )


@cache
def couples_for(concept: str) -> tuple[tuple[str, str], ...]:
    """The couples of names that a concept has."""
    couples = [couple.split() for words in _vocabulary()[concept].values() for couple in words.split("|")]
    return tuple((first, second) for first, second in couples)


@cache
def unspaced_words() -> frozenset[str]:
    """The words that are written without a space to the next one: those with no letter of an alphabet."""
    concepts = [name for name in _vocabulary() if "|" not in "".join(_vocabulary()[name].values())]
    return frozenset(word for word in words_for(*concepts) if len(word) > 1 and min(word) > "\u2e7f")
