"""Labels as people write them: numbers in many ways, yes and no, grades in words, names of classes.

Words are known in English, German, French, Spanish, Italian, Portuguese and Dutch, some in a few more languages: they
are in `written.json`, alternatives parted by "|". There `plain` are yes and no to whatever was asked, where other words
say themselves what they are about; `letters` say yes and no beside each other only; `modifiers` tell how much of it
there is, 1 being that without a word for it; `orders` go from the least to the most, a word being in a family once.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

Kind = Literal["numbers", "lists", "opposites", "grades", "classes", "mixed", "texts"]

_FEW = 0.2  # of the rows may hold something else than numbers, to be left out; marks of a missing label may be more
_NAME_WORDS = 5  # a longer text is no name of a class

# --- Numbers ----------------------------------------------------------------------------------------------------------

_PLAIN_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)"
_NUMBER = r"([+-]?\d+(?:[.,]\d+)?)"
_UNIT = r"[^\W\d_][^\d%]*"
# Ways of writing one: what is not a number for `stars`, a part and a whole for `fraction`, else the number.
_WAYS = {
    "plain": f"({_PLAIN_NUMBER})",
    "comma": rf"([+-]?\d+,\d+|{_PLAIN_NUMBER})",
    "percent": rf"{_NUMBER}\s*%|(0)",
    "fraction": rf"{_NUMBER}\s*(?:/|out of|of|von|sur|de|su|di|van|из)\s*{_NUMBER}(?:\s*{_UNIT})?",
    "stars": "[★⭐]+☆*|☆+",
    "named": rf"{_NUMBER}\s*[-\u2013:=.)]\s*{_UNIT}",  # with what it means: 2 - fair
    "counted": rf"{_NUMBER}[\s-]*{_UNIT}",
    "prefixed": rf"{_UNIT}[:=]\s*{_NUMBER}",  # score: 0.5
}
_COMMAS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")  # thousands, or a decimal comma before three digits: who knows


def _number(way: str, text: str) -> float | None:
    """The number that a text says, where it is written in that way."""
    found = re.fullmatch(_WAYS[way], text, re.IGNORECASE)
    if not found:
        return None
    if way == "stars":
        return float(len(text.rstrip("☆")))
    part, *whole = (float(number.replace(",", ".")) for number in found.groups() if number)
    if way == "percent":
        return part / 100
    if way == "fraction":
        return part / whole[0] if whole[0] > 0 else None
    return part


def _numbers(counts: Mapping[str, int]) -> tuple[dict[str, float], bool]:
    """The numbers that texts say in the way of writing that most of them have; in several, if all lie from 0 to 1.

    Args:
        counts: How often each text stands there.

    Returns:
        The number of each text that says one so, and whether some of the others say one in another way.
    """
    found, together = dict[str, float](), dict[str, float]()
    for way in _WAYS:
        if len(found) == len(counts):
            break
        read = {text: number for text in counts if (number := _number(way, text)) is not None}
        if way == "comma" and all(map(_COMMAS.fullmatch, (text for text in read if "," in text))):
            read = {text: number for text, number in read.items() if "," not in text}
        if way in ("counted", "prefixed") and len({re.sub(r"[\d\W_]", "", text.casefold())[:3] for text in read}) > 1:
            continue  # 4 kg and 3 days are no numbers of one kind
        found = max(found, read, key=lambda texts: sum(counts[text] for text in texts))
        together = {**read, **together}
    if len(together) > len(found) and all(0 <= number <= 1 for number in together.values()):
        return together, False
    return found, len(together) > len(found)


def _list(text: str) -> list[float] | None:
    """Several numbers in one text: `[3, 4, 5]`, `3; 4; 5`, `3|4|5` or `3, 4, 5`."""
    if not text.startswith("["):
        numbers = [_number("plain", part.strip()) for part in re.split(r"\s*[;|]\s*|,\s+", text)]
        found = [number for number in numbers if number is not None]
        return found if len(found) == len(numbers) > 1 else None
    try:
        values = json.loads(re.sub(r"\bnan\b", "null", text, flags=re.IGNORECASE))
    except ValueError:
        return None
    if not all(isinstance(value, (int, float, type(None))) for value in values):
        return None
    return [math.nan if value is None else float(value) for value in values]


# --- Words ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _key(text: str) -> str:
    """A text in one way of writing: without accents, case and marks."""
    text = "null" if text == r"\N" else text.casefold()  # as databases export it
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", plain.replace("\u0131", "i")).strip()


def _set(words: str) -> frozenset[str]:
    return frozenset(key for word in words.split("|") if (key := _key(word)))


_WORDS = json.loads(files("selective_st").joinpath("written.json").read_text("utf-8"))
_MISSING, _YES, _NO, _PLAIN, _MAYBE, _NOT = (
    _set(_WORDS[name]) for name in ("missing", "yes", "no", "plain", "maybe", "not")
)
_SAID = {**dict.fromkeys(_MAYBE, 0.5), **dict.fromkeys(_YES, 1.0), **dict.fromkeys(_NO, 0.0)}
_LETTERS: dict[str, str] = _WORDS["letters"]
_NEGATIONS = (*(f"{word} " for word in _NOT), *_WORDS["not_prefixes"])
_MODIFIERS = {float(strength): _set(words) for strength, words in _WORDS["modifiers"].items()}
_ORDERS = [
    {word: float(place) for place, tier in enumerate(tiers) for word in _set(tier)} for tiers in _WORDS["orders"]
]


def _rests(key: str, modifiers: Iterable[str]) -> set[str]:
    """What is left of a text without a word before it."""
    return {key.removeprefix(f"{modifier} ") for modifier in modifiers} - {key}


def _relation(key: str) -> float | None:
    """How far a word says that two texts belong together: 1 for yes, 0 for no, between them for less than yes."""
    if key in _SAID:
        return _SAID[key]
    if any(key.startswith(negation) and key[len(negation) :] in _YES for negation in _NEGATIONS):
        return 0.0
    for strength, modifiers in _MODIFIERS.items():
        rests = _rests(key, modifiers)
        if rests & _YES:
            return strength
        if rests & _NO and strength > 1:
            return -0.2
    return None


def are_plain(texts: Iterable[str]) -> bool:
    """Whether texts are yes and no, in words or letters that leave to the question what that is about."""
    keys = {_key(text) for text in texts}
    return keys <= _PLAIN or any(keys == {yes, no} for yes, no in _LETTERS.items())


def _place(order: Mapping[str, float], key: str) -> float | None:
    """Where a word stands in an order; a word such as `very` moves it away from the middle."""
    moved = min((order[rest] for rest in _rests(key, _MODIFIERS[1.2]) if rest in order), default=None)
    if key in order or moved is None:
        return order.get(key)
    return moved + (0.5 if moved > max(order.values()) / 2 else -0.5)


def _ranked(keys: Mapping[str, str]) -> tuple[Kind, dict[str, float]] | None:
    """Opposites or grades: the number from 0 to 1 of each text; None where texts are none."""
    different = sorted(set(keys.values()), key=len)
    if not keys or {*different} >= {"entailment", "contradiction"}:
        return None
    for yes, no in _LETTERS.items():
        if {*different} == {yes, no}:
            return "opposites", _spread({text: float(key == yes) for text, key in keys.items()})
    said = {text: rank for text, key in keys.items() if (rank := _relation(key)) is not None}
    orders = (
        {text: place for text, key in keys.items() if (place := _place(order, key)) is not None} for order in _ORDERS
    )
    every = (places for places in orders if len(places) == len(keys))
    graded = next((places for places in every if len(set(places.values())) == len(different) > 1), None)
    # Several words for yes may be more and less of it: identical, similar, different.
    if len(said) == len(keys) and (graded is None or len(set(said.values())) == len(different)):
        return ("opposites" if set(said.values()) <= {0.0, 1.0} else "grades"), _spread(said)
    if len(different) == 2 and different[0] in _rests(different[1], _NOT):  # whatever that is: overlap, no overlap
        return "opposites", {text: float(key == different[0]) for text, key in keys.items()}
    return None if graded is None else ("grades", _spread(graded))


def _spread(ranks: Mapping[str, float]) -> dict[str, float]:
    """Ranks as numbers from 0 to 1, at equal distances; yes and no keep theirs."""
    different = sorted(set(ranks.values()))
    if len(different) == 1:
        return {text: min(max(rank, 0.0), 1.0) for text, rank in ranks.items()}
    if set(different) <= {0.0, 1.0}:
        return dict(sorted(ranks.items(), key=lambda item: -item[1]))
    spaced = {rank: round(place / (len(different) - 1), 2) for place, rank in enumerate(different)}
    return {text: spaced[rank] for text, rank in sorted(ranks.items(), key=lambda item: item[1])}


# --- What a column of texts says --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """What texts say that stand where a label is expected.

    Attributes:
        kind: `numbers` in some way of writing; `lists` of several numbers; `opposites`, such as yes and no; `grades` in
            words that have an order; `classes`: names without one; `mixed`: numbers and other things, or numbers
            written in several ways; `texts`.
        values: The number of each text that says one (a list of them for lists), for all kinds but the last three.
        others: The texts beside them that say none, such as NA.
    """

    kind: Kind
    values: Mapping[str, Any]
    others: tuple[str, ...] = ()


def read_written(counts: Mapping[str, int]) -> Written:
    """Read labels that are written as text.

    Args:
        counts: How often each text stands there; empty texts do not count.

    Returns:
        What they say.

    Example:
        >>> read_written({"80%": 3, "25 %": 4, "n/a": 1})
        Written(kind='numbers', values={'80%': 0.8, '25 %': 0.25}, others=('n/a',))
        >>> read_written({"Duplikat": 5, "kein Duplikat": 7}).values
        {'Duplikat': 1.0, 'kein Duplikat': 0.0}
        >>> read_written({"poor": 2, "very good": 3, "fair": 1}).values
        {'poor': 0.0, 'fair': 0.5, 'very good': 1.0}
        >>> read_written({"sports": 4, "politics": 3}).kind
        'classes'
    """
    stripped: Counter[str] = Counter()
    for text, count in counts.items():
        stripped[text.strip()] += count
    del stripped[""]
    total = stripped.total()
    lists = {text: several for text in stripped if (several := _list(text)) is not None}
    numbers, in_several_ways = _numbers(stripped)
    if len(lists) * 2 >= len(stripped) and len(lists) > len(numbers):
        return Written("lists", lists, tuple(text for text in stripped if text not in lists))
    if len(numbers) == len(stripped):
        return Written("numbers", numbers)
    keys = {text: _key(text) for text in stripped}
    present = {text: key for text, key in keys.items() if key and key not in _MISSING}
    for chosen in (keys, present):
        ranked = _ranked(chosen)
        if ranked is not None:
            return Written(*ranked, tuple(text for text in stripped if text not in chosen))
    others = tuple(text for text in stripped if text not in numbers)
    share = sum(stripped[text] for text in others) / total if total else 0.0
    if numbers and share <= 0.5:
        can_be_left_out = not in_several_ways and (share <= _FEW or not set(others) & set(present))
        return Written("numbers" if can_be_left_out else "mixed", numbers, others)
    are_data = all(text.startswith(("{", "[")) for text in stripped)
    if are_data or not any(re.search(r"[^\W\d_]", text) for text in stripped):
        return Written("mixed", {})
    if total > len(stripped) and all(len(text.split()) <= _NAME_WORDS for text in stripped):
        names = present if len(present) > 1 else keys
        return Written("classes", {}, tuple(text for text in stripped if text not in names))
    return Written("texts", {})
