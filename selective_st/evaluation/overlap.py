"""How much one set of pairs holds of another: what was seen in training, or chose a threshold, proves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selective_st._templates import say
from selective_st._validation import list_of

HOW = "texts are compared without regard to case and spacing, pairs without regard to their order"


@dataclass(frozen=True)
class Overlap:
    """How many rows of some pairs are found among others.

    Attributes:
        rows: How many rows there are.
        pairs: How many of them are pairs of the others too, in either order.
        texts: How many share at least a text with the others, those among them.
    """

    rows: int
    pairs: int
    texts: int

    def sentence(self, these: str, others: str) -> str:
        """What it is, with its counts.

        Args:
            these: What the pairs are called.
            others: What the others are called.

        Returns:
            The sentence, without a full stop.

        Example:
            >>> Overlap(100, 0, 4).sentence("test.csv", "train.csv")
            'no row of test.csv is a pair of train.csv too, but 4 of 100 rows (4 %) share a text with it'
        """
        return say("overlap", found=self, these=these, others=others)

    def as_dict(self) -> dict[str, Any]:
        """The counts and shares, for JSON."""
        shares = {"share_of_pairs": self.pairs / self.rows, "share_of_texts": self.texts / self.rows}
        return asdict(self) | shares


def overlap(these: tuple[Sequence[str], Sequence[str]], others: tuple[Sequence[str], Sequence[str]]) -> Overlap:
    """How many rows of some pairs are pairs of others, and how many share a text with them.

    Texts are the same where they differ in case and spacing only; a pair is the same in either order.

    Args:
        these: The first and the second texts of the pairs.
        others: Those of the others.

    Returns:
        The counts.

    Example:
        >>> overlap((["a cat", "a dog"], ["a car", "b"]), (["A car", "c"], ["a  cat", "a dog"]))
        Overlap(rows=2, pairs=1, texts=2)
    """
    found, known = _pairs("these", these), _pairs("others", others)
    seen, texts = set(known), {text for pair in known for text in pair}
    return Overlap(len(found), sum(pair in seen for pair in found), sum(not texts.isdisjoint(pair) for pair in found))


def _pairs(name: str, sides: tuple[Sequence[str], Sequence[str]]) -> list[tuple[str, ...]]:
    """The pairs as they are compared."""
    first, second = list_of("overlap", name, sides, "two lists", '(["a cat"], ["a dog"])')
    if len(first) != len(second) or not len(first):
        raise ValueError(
            f"overlap: {name} must hold as many first texts as second ones, got {len(first)} and {len(second)}. Write "
            '(["a cat"], ["a dog"]).'
        )
    return [tuple(sorted(map(_plain, pair))) for pair in zip(first, second, strict=True)]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
