"""What a rule is.

A rule is a function with a decorator. The function tells the bad rows, or just whether something is bad; the decorator
holds the rule's code, what it looks at, how bad it is, and the lines that mend it; above the function stand the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal

import numpy as np

from selective_st.registry.catalog import LossEntry
from selective_st.registry.checks.context import Context
from selective_st.registry.checks.report import Severity
from selective_st.registry.checks.scan import Mask, Tally
from selective_st.registry.steps import Step

About = Literal["data", "column", "stray", "text", "label", "read label"]
# A step of the dataset; or a line of code, in which {dataset} and {loss} stand for the user's variables.
Part = Step | str
# Lines, or several alternatives of which the first that can be done is taken; None where nothing mends it.
Mend = Part | tuple[Part, ...] | list[tuple[Part, ...]] | None
LABEL, COLUMN = "{label}", "{column}"  # in the steps of a rule: the label's name then, and the column that it is about


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


@dataclass(frozen=True)
class Bad:
    """What a rule has found: the rows, if it is about rows, and what the words and lines need to know besides.

    Attributes:
        tally: The rows.
        column: The column, where it is not the one that the rule was asked about.
        severity: How bad it is, where that is not always the same.
        mend: The lines, where they are not always the rule's.
        facts: What the words speak of.
    """

    tally: Tally | None = None
    column: str | None = None
    severity: Severity | None = None
    mend: Mend = None
    facts: dict[str, Any] = field(default_factory=dict)


def bad(
    tally: Tally | None = None,
    *,
    column: str | None = None,
    severity: Severity | None = None,
    mend: Mend = None,
    **facts: Any,
) -> Bad | None:
    """What was found; None where it is about rows and there are none."""
    return None if tally is not None and not tally.count else Bad(tally, column, severity, mend, facts)


@dataclass(frozen=True)
class Rule:
    """A check.

    Attributes:
        code: Its name, which stays the same.
        about: What it looks at: the data as a whole, each column, each input that is none, each column of texts, the
            label, or the label if the loss reads it.
        severity: How bad it is.
        stage: When its lines have their turn.
        mend: The lines that mend it, or what makes them of what was found.
        find: Tells what is bad.
        words: What is said, with names of facts in braces.
        is_choice: Whether its lines choose between columns, and so may leave one out whatever its name.
    """

    code: str
    about: About
    severity: Severity
    stage: Stage
    mend: Mend | Callable[[Context, Bad], Mend]
    find: Callable[..., Any]
    words: str
    is_choice: bool = False

    def look(self, context: Context) -> Iterator[Found]:
        """What it finds.

        Args:
            context: What is known of the data, the loss and the model.

        Yields:
            Each thing that is bad.
        """
        for column in self._columns(context):
            told = self.find(context) if column is None or "label" in self.about else self.find(context, column)
            for one in told if isinstance(told, Iterator) else [told]:
                found = _as_bad(context, one, column)
                if found is not None:
                    yield Found(self, context, found)

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

    rule: Rule
    context: Context
    bad: Bad

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return self.bad.severity or self.rule.severity

    @property
    def order(self) -> tuple[int, bool]:
        """When it has its turn."""
        return self.rule.stage, self.severity != "error"

    @property
    def message(self) -> str:
        """What is said."""
        context, rows = self.context, "" if self.bad.tally is None else row_numbers(self.bad.tally)
        facts = {"loss": context.entry.name, "label": context.source, "column": self.bad.column, "rows": rows}
        words = self.rule.words.format(c=context, **facts | self.bad.facts)
        if "label" in self.rule.about and context.source != context.label:
            words = f"once {context.source!r} is the label: {words}"
        return f"{words}."

    @property
    def mends(self) -> list[tuple[Part, ...]]:
        """The lines that mend it: alternatives, the best first."""
        found = self.bad.mend or self.rule.mend
        if callable(found):
            found = found(self.context, self.bad)
        if not found:
            return []
        return found if isinstance(found, list) else [found if isinstance(found, tuple) else (self._filled(found),)]

    def _filled(self, part: Part) -> Part:
        """A line about the label, or the column in question."""
        if isinstance(part, str):
            return part
        names = {LABEL: self.context.label, COLUMN: self.bad.column}

        def fill(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(fill, value))
            return names.get(value, value) if isinstance(value, str) else value

        return replace(part, arguments=fill(part.arguments), options=fill(part.options))


RULES: list[Rule] = []


def rule(
    code: str,
    about: About,
    severity: Severity,
    stage: Stage,
    mend: Mend | Callable[[Context, Bad], Mend] = None,
    *,
    is_choice: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a rule of a function that tells what is bad; see `Rule` for the arguments."""

    def register(find: Callable[..., Any]) -> Callable[..., Any]:
        RULES.append(Rule(code, about, severity, stage, mend, find, find.words, is_choice))  # type: ignore[attr-defined]
        return find

    return register


def says(words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The words of a rule; facts stand in braces: those of `bad`, loss, label, column, rows, and `c`, the context."""

    def attach(find: Callable[..., Any]) -> Callable[..., Any]:
        find.words = words  # type: ignore[attr-defined]
        return find

    return attach


def row_numbers(tally: Tally) -> str:
    """How many rows, and the first of them, for a message.

    Args:
        tally: The rows.

    Returns:
        Both.

    Example:
        >>> row_numbers(Tally([np.array([8, 0, 2, 3, 5, 13, 21])]))
        '7 row(s) (0, 2, 3, 5, 8, ...)'
    """
    shown = ", ".join(map(str, tally.rows))
    more = ", ..." if tally.count > len(tally.rows) else ""
    return f"{tally.count:,} row(s) ({shown}{more})"
