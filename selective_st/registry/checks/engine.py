"""What a rule is.

A rule is a function with a decorator. The function tells the bad rows, or just whether something is bad, and its
docstring is what is said; the decorator holds the rule's code, what it looks at, how bad it is, and what mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal

import numpy as np

from selective_st.registry.catalog import LossEntry
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.report import Severity, in_brackets
from selective_st.registry.checks.scan import Mask, Tally
from selective_st.registry.steps import Step

About = Literal["data", "column", "stray", "text", "label", "read label"]
# A step of the dataset; or a line of code, in which {dataset} and {loss} stand for the user's variables.
Part = Step | str
# Lines, or a list of alternatives of which the first that can be done is taken; None where nothing mends it.
Mend = Part | tuple[Part, ...] | list[Any] | None


class LossLine(str):
    """Lines that take a loss, which is known by its entry."""

    entry: LossEntry


class Stage(IntEnum):
    """When a mend has its turn: what is called by a name comes after what gives the name."""

    STORE = 0
    NAME = 1
    DROP = 2
    ORDER = 3
    ROWS = 4
    READ = 5
    VALUES = 6
    CHANGE = 7
    LOSS = 8
    MODEL = 9


RULES: list[rule] = []


@dataclass(frozen=True)
class Bad:
    """What a rule has found: the rows, if it is about rows, and what the words and lines need to know besides."""

    tally: Tally | None = None
    column: str | None = None  # where it is not the one that the rule was asked about
    severity: Severity | None = None  # where it is not always the same
    facts: dict[str, Any] = field(default_factory=dict)  # what the words speak of


def bad(
    tally: Tally | None = None, *, column: str | None = None, severity: Severity | None = None, **facts: Any
) -> Bad | None:
    """What was found; None where it is about rows and there are none."""
    return None if tally is not None and not tally.count else Bad(tally, column, severity, facts)


@dataclass
class rule:  # noqa: N801 - it is used as a decorator
    """A check: the decorator of a function that tells what is bad, and whose docstring is what is said.

    The docstring has names of facts in braces: those of `bad`, loss, label, column, rows, and `c`, the context.
    """

    code: str  # its name, which stays the same
    about: About  # the data, each column, input that is none or column of texts, or the label (if the loss reads it)
    severity: Severity
    stage: Stage
    mend: Mend | Callable[[Context, Bad], Mend] = None  # the lines that mend it, or what makes them of what was found
    is_choice: bool = False  # whether its lines choose between columns, and so may leave one out whatever its name
    find: Callable[..., Any] = field(init=False)

    def __call__(self, find: Callable[..., Any]) -> Callable[..., Any]:
        """Make a rule of a function."""
        self.find = find
        RULES.append(self)
        return find

    @property
    def words(self) -> str:
        """What is said, in one line."""
        words = " ".join((self.find.__doc__ or f"{self.code}.").split())  # python -OO leaves no words
        return words if words[1:2].isupper() else words[0].lower() + words[1:]

    def look(self, context: Context) -> Iterator[Found]:
        """Each thing that is bad."""
        for column in self._columns(context):
            told = self.find(context) if column is None or "label" in self.about else self.find(context, column)
            each = (_as_bad(context, one, column) for one in (told if isinstance(told, Iterator) else [told]))
            yield from (Found(self, context, found) for found in each if found is not None)

    def _columns(self, context: Context) -> Sequence[str | None]:
        if self.about == "data":
            return [None]
        if "label" in self.about:
            # Where columns are lacking, the labels will be others.
            is_read = context.takes_labels and len(context.inputs) >= context.min_columns
            return [context.source] if context.source is not None and (self.about == "label" or is_read) else []
        if self.about == "stray":
            return [column for column, code in context.strays.items() if code == self.code]
        return context.table.columns if self.about == "column" else list(context.scan.texts)


def _as_bad(context: Context, told: Bad | Tally | Mask | bool | str | None, column: str | None) -> Bad | None:
    if isinstance(told, np.ndarray):
        told = context.scan.tally(told)
    if isinstance(told, Tally):
        told = bad(told)
    if isinstance(told, (bool, str)):
        told = Bad(column=told if isinstance(told, str) else None) if told else None
    return told if told is None or told.column is not None else replace(told, column=column)


@dataclass(frozen=True)
class Found:
    """Something that a rule has found."""

    rule: rule
    context: Context
    bad: Bad

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.bad.severity or self.rule.severity

    @property
    def message(self) -> str:
        """What is said."""
        context, rows = self.context, "" if self.bad.tally is None else row_numbers(self.bad.tally)
        facts = {"loss": context.entry.name, "label": context.source, "column": self.bad.column, "rows": rows}
        is_renamed = "label" in self.rule.about and context.source != context.label
        once = f"once {context.source!r} is the label: " if is_renamed else ""
        return once + self.rule.words.format(c=context, **facts | self.bad.facts)

    @property
    def mends(self) -> list[tuple[Part, ...]]:
        """The lines that mend it: alternatives, the best first."""
        found = self.rule.mend(self.context, self.bad) if callable(self.rule.mend) else self.rule.mend
        each = found if isinstance(found, list) else [found] if found else []
        return [one if isinstance(one, tuple) else (one,) for one in each]


def row_numbers(tally: Tally) -> str:
    """How many rows, and the first of them: `7 row(s) (0, 2, 3, 5, 8, ...)`."""
    return f"{tally.count:,} row(s) {in_brackets(tally.rows, tally.count)}"
