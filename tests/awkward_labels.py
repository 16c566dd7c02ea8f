"""Small datasets whose labels are written awkwardly, each with what the labels are.

The answers were written down before the checks were run on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ROWS = 24


@dataclass(frozen=True)
class Awkward:
    """Labels and what they are.

    Attributes:
        id: A name for the test's report.
        values: The labels, which come again until there are enough.
        numbers: For pairs whose labels say how similar they are, the number from 0 to 1 of each different label; None
            for a label that says nothing, so that its rows are left out. Empty for classes.
        kind: `numbers`, `opposites` (for 1 and 0), `classes`, or `unclear`: nothing may be done to them.
    """

    id: str
    values: tuple[Any, ...]
    numbers: dict[Any, float | None]
    kind: Literal["numbers", "opposites", "classes", "unclear"] = "numbers"

    @property
    def labels(self) -> list[Any]:
        """A label for each row."""
        return [self.values[row % len(self.values)] for row in range(ROWS)]

    def of(self, label: Any) -> Any:
        """What stands for a label among the numbers."""
        return tuple(label) if isinstance(label, list) else label


def _opposites(yes: Any, no: Any, name: str = "") -> Awkward:
    return Awkward(name or f"{yes} and {no}", (yes, no, no, yes, no), {yes: 1.0, no: 0.0}, "opposites")


def _numbers(name: str, numbers: dict[Any, float | None]) -> Awkward:
    return Awkward(name, tuple(numbers), numbers)


def _classes(name: str, *names: str) -> Awkward:
    return Awkward(name, names, {}, "classes")


def _rare(values: tuple[Any, ...], rare: Any) -> tuple[Any, ...]:
    """The values for all rows, with a rare one in row 5 and in row 17."""
    return tuple(rare if row in (5, 17) else values[row % len(values)] for row in range(ROWS))


AWKWARD = [
    # Words that say opposite things, in the languages of the names.
    _opposites("yes", "no"),
    _opposites("true", "false"),
    _opposites("True", "False", "booleans as Python writes them"),
    _opposites("Y", "N"),
    _opposites("match", "mismatch"),
    _opposites("duplicate", "not duplicate"),
    _opposites("related", "unrelated"),
    _opposites("entailment", "not_entailment"),
    _opposites("same", "different"),
    _opposites("Relevant", "Irrelevant"),
    _opposites("ja", "nein"),
    _opposites("wahr", "falsch"),
    _opposites("Duplikat", "kein Duplikat"),
    _opposites("ähnlich", "unähnlich"),
    _opposites("oui", "non"),
    _opposites("vrai", "faux"),
    _opposites("doublon", "pas un doublon"),
    _opposites("sí", "no", "sí and no in Spanish"),
    _opposites("relacionado", "no relacionado"),
    _opposites("sì", "no", "sì and no in Italian"),
    _opposites("vero", "falso"),
    _opposites("sim", "não"),
    _opposites("verdadeiro", "falso", "verdadeiro and falso"),
    _opposites("ja", "nee", "ja and nee"),
    _opposites("duplicaat", "geen duplicaat"),
    _opposites("ano", "ne"),
    _opposites("kyllä", "ei"),
    _opposites("ja", "nej"),
    _opposites("так", "ні"),
    _opposites("верно", "неверно"),
    _opposites("相关", "不相关"),
    _opposites("有", "没有"),
    _opposites("हाँ", "नहीं"),
    _opposites("accepted", "rejected"),
    Awkward("yes, no, and marks of none", _rare(("yes", "no"), "n/a"),
            {"yes": 1.0, "no": 0.0, "n/a": None}, "opposites"),
    Awkward("yes and no, written in several ways", ("yes", "NO", "Yes ", "no"),
            {"yes": 1.0, "Yes ": 1.0, "NO": 0.0, "no": 0.0}, "opposites"),
    # Numbers, as people write them.
    _numbers("percent", {"80%": 0.8, "5%": 0.05, "100%": 1.0, "0%": 0.0}),
    _numbers("percent with a space and a comma", {"12,5 %": 0.125, "99 %": 0.99}),
    _numbers("decimal commas", {"0,5": 0.5, "0,25": 0.25, "1": 1.0, "0": 0.0}),
    _numbers("fractions", {"4/5": 0.8, "1/5": 0.2, "5/5": 1.0}),
    _numbers("fractions in words", {"4 out of 5": 0.8, "1 out of 5": 0.2}),
    _numbers("fractions in German words", {"4 von 5": 0.8, "3 von 5": 0.6}),
    _numbers("stars in a word", {"1 star": 0.2, "3 stars": 0.6, "5 stars": 1.0}),
    _numbers("stars", {"★☆☆☆☆": 0.2, "★★★★★": 1.0, "★★★★☆": 0.8}),
    _numbers("points in German", {"1 Punkt": 0.1, "10 Punkte": 1.0, "5 Punkte": 0.5}),
    _numbers("numbers with their meaning", {"0 - bad": 0.0, "1 - fair": 0.5, "2 - good": 1.0}),
    _numbers("numbers with their name", {"score: 0.5": 0.5, "score: 1": 1.0, "score: 0": 0.0}),
    _numbers("numbers as text", {"0.5": 0.5, " 1.0": 1.0, "0": 0.0}),
    Awkward("numbers, but NA in two rows", _rare(("0.5", "0.25", "1.0"), "NA"),
            {"0.5": 0.5, "0.25": 0.25, "1.0": 1.0, "NA": None}),
    Awkward("numbers, but a word in two rows", _rare(("0.5", "0.25", "1.0"), "good"),
            {"0.5": 0.5, "0.25": 0.25, "1.0": 1.0, "good": None}),
    Awkward("percent, but a dash in two rows", _rare(("50%", "25%", "100%"), "-"),
            {"50%": 0.5, "25%": 0.25, "100%": 1.0, "-": None}),
    Awkward("numbers, but nothing in two rows", _rare(("0.5", "0.25", "1.0"), ""),
            {"0.5": 0.5, "0.25": 0.25, "1.0": 1.0, "": None}),
    _numbers("percent and fractions of 1", {"50%": 0.5, "0.25": 0.25, "4/5": 0.8}),
    # Several raters.
    Awkward("three raters", ([3, 4, 5], [1, 1, 1], [5, 5, 5]), {(3, 4, 5): 0.8, (1, 1, 1): 0.2, (5, 5, 5): 1.0}),
    Awkward("raters, one of them missing", ([0.0, 1.0], [1.0, None], [0.5, 0.5]),
            {(0.0, 1.0): 0.5, (1.0, None): 1.0, (0.5, 0.5): 0.5}),
    _numbers("raters as text", {"[3, 4, 5]": 0.8, "[0, 0, 0]": 0.0, "[5, 5, 5]": 1.0}),
    _numbers("raters with semicolons", {"3;4;5": 0.8, "0;0;0": 0.0, "5;5;5": 1.0}),
    # Grades in words: the order is known, the numbers are to be edited.
    _numbers("grades", {"bad": 0.0, "fair": 0.5, "good": 1.0}),
    _numbers("grades of relevance", {"not relevant": 0.0, "partially relevant": 0.33, "relevant": 0.67,
                                      "highly relevant": 1.0}),
    _numbers("how alike", {"different": 0.0, "similar": 0.5, "identical": 1.0}),
    _numbers("how alike in German", {"verschieden": 0.0, "ähnlich": 0.5, "identisch": 1.0}),
    _numbers("levels", {"none": 0.0, "partial": 0.5, "full": 1.0}),
    _numbers("levels in French", {"faible": 0.0, "moyen": 0.5, "élevé": 1.0}),
    _numbers("grades in German", {"schlecht": 0.0, "mittel": 0.33, "gut": 0.67, "sehr gut": 1.0}),
    _numbers("grades in Spanish", {"malo": 0.0, "regular": 0.5, "bueno": 1.0}),
    _numbers("levels in Italian", {"basso": 0.0, "medio": 0.5, "alto": 1.0}),
    _numbers("grades in Dutch", {"slecht": 0.0, "matig": 0.5, "goed": 1.0}),
    _numbers("no, maybe, yes", {"no": 0.0, "maybe": 0.5, "yes": 1.0}),
    _numbers("agreement", {"strongly disagree": 0.0, "disagree": 0.25, "neutral": 0.5, "agree": 0.75,
                            "strongly agree": 1.0}),
    # Names of classes, which have no order.
    _classes("emotions", "joy", "anger", "fear"),
    _classes("classes of inference", "entailment", "neutral", "contradiction"),
    _classes("departments", "Vertrieb", "Technik", "Einkauf"),
    _classes("letters", "A", "B", "C", "D"),
    # What cannot be told.
    Awkward("percent and numbers", ("80%", "80", "5%", "7"), {}, "unclear"),
    Awkward("objects as text", ('{"score": 0.5}', '{"score": 1}', '{"score": 0.2}'), {}, "unclear"),
    Awkward("numbers and grades", ("1", "2", "good", "bad"), {}, "unclear"),
    Awkward("thousands or three decimals", ("1,250", "2,500", "3,125"), {}, "unclear"),
]  # fmt: skip
